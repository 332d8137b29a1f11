"""``lossmith evaluate``."""

import csv
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from lossmith.cli.ending import save
from lossmith.errors import InputError


def evaluate(
    data: Annotated[Path, typer.Argument(metavar="PREDICTIONS", help="A CSV, TSV or Parquet file, one row per case.")],
    target: Annotated[str, typer.Option(help="The column with what is true.", show_default=False)],
    prediction: Annotated[str, typer.Option(help="The column with what was predicted.", show_default=False)],
    score: Annotated[
        list[str] | None,
        typer.Option(
            help="Classes: a column with scores; repeat it. One is the score of the positive class of two. Several are "
            "one per class, matched by what ends their names (p_cat and p_dog: cat and dog), else by the order of "
            "--labels. Log-loss, Brier and ECE need rows that sum to 1; other scores only rank.",
            metavar="COL",
            show_default=False,
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="classification, regression or text. [default: read off the columns]", show_default=False),
    ] = None,
    positive: Annotated[
        str | None,
        typer.Option(help="Classes: the positive one of two. [default: 1 of 0 and 1, true of false and true]"),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Classes: all there are, such as a,b,c; others are refused.", show_default=False)
    ] = None,
    quantile: Annotated[
        float | None, typer.Option(help="Numbers: the quantile that the predictions are, for the pinball loss.")
    ] = None,
    lower: Annotated[str | None, typer.Option(help="Numbers: the column with the lower end of an interval.")] = None,
    upper: Annotated[str | None, typer.Option(help="Numbers: the column with its upper end.")] = None,
    tokenize: Annotated[
        str | None,
        typer.Option(help="Texts: 13a, intl, zh, ja-mecab, ko-mecab, char or none. [default: 13a]", show_default=False),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the JSON document to this file, too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the headline figure alone.")] = False,
) -> None:
    """Say how good predictions are: classes, numbers or texts against what is true.

    What the table leaves undefined is shown with the reason, never as 0. Exit codes: 0 done, 2 something given cannot
    be used (nothing is written).
    """
    from lossmith.evaluation import session, terminal

    result = session.evaluate(
        data,
        target=target,
        prediction=prediction,
        score=score or (),
        task=task,
        positive=positive,
        labels=None if labels is None else next(csv.reader([labels], skipinitialspace=True), []),
        quantile=quantile,
        lower=lower,
        upper=upper,
        tokenize=tokenize,
    )
    if out is not None:
        save_beside(out, result.results, data)
    if as_json:
        print(json.dumps(result.results, indent=1, allow_nan=False))
    elif quiet:
        print(terminal.headline(result))
    else:
        terminal.show(result)


def save_beside(path: Path, document: dict[str, Any], data: Path) -> None:
    """The document as a file, and never over the table that it is about."""
    from lossmith.files import home_expanded

    if home_expanded(path).exists() and home_expanded(path).samefile(home_expanded(data)):
        raise InputError(f"--out {path} is the table itself; give another file.")
    save(path, json.dumps(document, indent=1, allow_nan=False) + "\n", "--out")
