"""``lossmith fit``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossmith.cli.ending import FAILED, leave, save
from lossmith.cli.following import following
from lossmith.errors import InputError

if TYPE_CHECKING:
    from lossmith.curves.table import Fitting

ENDINGS = (".html", ".htm", ".png", ".svg")


def fit(
    data: Annotated[Path, typer.Argument(help="A CSV, TSV or Parquet file.", show_default=False)],
    x: Annotated[list[str], typer.Option("--x", help="A column of x; repeat it for several.", show_default=False)],
    y: Annotated[str, typer.Option("--y", help="The column to fit.", show_default=False)],
    model: Annotated[
        str,
        typer.Option(
            help='poly:3, spline:5, linear, or an expression of x and of parameters, such as "a*exp(-b*x) + c" '
            "(+ - * / **, exp, log, sqrt, sin, ...)."
        ),
    ] = "poly:3",
    loss: Annotated[
        list[str] | None,
        typer.Option(
            help='Residual losses, such as mse,huber,"quantile(q=0.05)"; commas between them, or repeat it. '
            "[default: huber]",
            metavar="SPEC[,SPEC ...]",
            show_default=False,
        ),
    ] = None,
    weight: Annotated[
        str | None, typer.Option(help="A column with the weight of each row.", metavar="COL", show_default=False)
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(help="Where the search for an expression starts, such as a=1,b=0.5.", show_default=False),
    ] = None,
    bootstrap: Annotated[
        int, typer.Option(help="Draw the rows anew so often, for 95 % intervals of the parameters.", metavar="DRAWS")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.", min=0)] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Write the picture to this .html, .png or .svg file.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the parameters alone, and no progress.")] = False,
) -> None:
    """Fit a curve to two columns of a table under each loss: least squares, robust, quantiles with their band.

    The model is parsed, never evaluated. Exit codes: 0 done, 1 no loss could be fitted, 2 something given cannot be
    used (nothing is written).
    """
    check_out(out, data)
    from lossmith.curves import table, terminal
    from lossmith.curves.problem import UnfittedError

    try:
        with following(quiet) as progress:
            found = table.fit(
                data,
                x=x,
                y=y,
                model=model,
                losses=[spec for word in loss or ["huber"] for spec in split(word)],
                weight=weight,
                start=None if start is None else starting(start),
                bootstrap=bootstrap,
                seed=seed,
                progress=progress,
            )
    except UnfittedError as error:
        leave(str(error), FAILED)
    if out is not None:
        write(out, found)
    if as_json:
        print(json.dumps(found.results, indent=1))
    elif quiet:
        print(terminal.brief(found))
    else:
        terminal.show(found)
    raise typer.Exit(0 if found.converged else FAILED)


def split(words: str) -> list[str]:
    """Specifications with commas between them; commas inside brackets belong to one.

    >>> split("mse, huber(delta=2), gaussian(a=[1,2])")
    ['mse', 'huber(delta=2)', 'gaussian(a=[1,2])']
    """
    found, depth = [""], 0
    for letter in words:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    return [spec.strip() for spec in found]


def starting(words: str) -> dict[str, float]:
    """Starting values by parameter."""
    found = {}
    for word in words.split(","):
        name, _, value = word.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            raise InputError(f"--start {words}: write it like a=1,b=0.5.") from None
    return found


def check_out(out: Path | None, data: Path) -> None:
    """Whether the picture can be written, before anything is fitted."""
    from lossmith.files import home_expanded

    if out is None:
        return
    path = home_expanded(out)
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"--out {out} must end in .html, .png or .svg.")
    if not path.parent.is_dir():
        raise InputError(f"{out} cannot be written: there is no such folder; give another --out.")
    if path.exists() and home_expanded(data).exists() and path.samefile(home_expanded(data)):
        raise InputError(f"--out {out} is the table itself; give another file.")


def write(out: Path, found: "Fitting") -> None:
    """The picture, or the page with it."""
    from lossmith.curves.report import written

    save(out, written(found, out), "--out")
