"""``lossmith compare``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lossmith.cli.ending import FAILED, INTERRUPTED, leave
from lossmith.errors import InputError

if TYPE_CHECKING:
    from lossmith.compare import Comparison


def compare(
    data: Annotated[
        Path | None,
        typer.Argument(help="A CSV, TSV or Parquet file, or a folder of images.", show_default=False),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="The column to predict: classes or numbers; several are labels.", metavar="COL ...", show_default=False
        ),
    ] = None,
    losses: Annotated[
        list[str] | None,
        typer.Option(
            help='Losses to compare with cross-entropy, such as "focal(gamma=2)", my_losses.py:MyLoss, or the name of '
            'a default arm; several may follow, and "all" is every loss that fits. All default arms if not given.',
            metavar="SPEC ...",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="mlp, linear, xgboost or lightgbm. [default: mlp; of images cnn, of masks unet]"),
    ] = None,
    repeats: Annotated[int, typer.Option(help="Train/validation/test splits; below 6 no test is possible.")] = 8,
    metric: Annotated[
        str | None,
        typer.Option(
            help="What decides: macro_f1, balanced_accuracy, mcc, accuracy or cost; of numbers mae, rmse, median_ae, "
            "mape or smape. [default: macro_f1; mae]"
        ),
    ] = None,
    cost: Annotated[
        str | None,
        typer.Option(
            help="What wrong decisions cost: fn=10,fp=1, or CLASS=10,...", metavar="COSTS", show_default=False
        ),
    ] = None,
    task: Annotated[str, typer.Option(help="classification or regression, where numbers do not tell.")] = "auto",
    group: Annotated[
        str | None, typer.Option(help="Column: its rows stay together.", metavar="COL", show_default=False)
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(help="Column: train on the past, judge on the future.", metavar="COL", show_default=False),
    ] = None,
    weight: Annotated[
        str | None, typer.Option(help="Column: how much a row counts.", metavar="COL", show_default=False)
    ] = None,
    slices: Annotated[
        list[str] | None,
        typer.Option("--slice", help="Column: figures for each of its values.", metavar="COL", show_default=False),
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="A table with the rows to be judged on.", show_default=False)
    ] = None,
    separator: Annotated[
        str | None,
        typer.Option(
            help='What stands between several labels in a cell, such as "|".', metavar="TEXT", show_default=False
        ),
    ] = None,
    text_model: Annotated[
        Path | None, typer.Option(help="A folder with a sentence-embedding model for texts.", show_default=False)
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Height and width of images. [default: 28 or 64]", show_default=False)
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            help="What all processes may take, such as 4GB; of a larger table a sample is compared. "
            "[default: half of what is there]",
            metavar="BYTES",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[str, typer.Option(help="local, or ray for the workers of a Ray cluster.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="Of the Ray cluster. [default: one is started here]", show_default=False)
    ] = None,
    track: Annotated[
        str | None,
        typer.Option(help="Log every run to mlflow, wandb or tensorboard too, offline.", show_default=False),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Time for everything, such as 90s, 10m or 1h30m.", show_default=False)
    ] = None,
    timeout: Annotated[str, typer.Option(help="Time for one run.")] = "1h",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the report and the finished runs. [default: lossmith-report/<name of the data>-<target>]"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of splits, initial weights and batches.")] = 0,
    jobs: Annotated[int | None, typer.Option(help="Worker processes. [default: all cores]")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over instead of going on.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the verdict alone, and no progress.")] = False,
    demo: Annotated[bool, typer.Option("--demo", help="Use the table that ships with lossmith.")] = False,
) -> None:
    """Train the same model under many losses on your table, and say which loss to use.

    A second call with the same data and settings goes on where the first one ended. Exit codes: 0 done, 1 no run
    succeeded, 2 something given cannot be used (nothing is written), 130 interrupted (the report is partial).
    """
    from lossmith.compare.call import DEMO, DEMO_TARGET, conduct
    from lossmith.compare.runs.engine import EngineError
    from lossmith.compare.runs.store import StoreError

    if demo == (data is not None):
        raise InputError("give one table (CSV, TSV or Parquet) and its --target, or --demo.")
    try:
        comparison = conduct(
            DEMO if demo else data,
            target or ([DEMO_TARGET] if demo else None),
            losses=losses,
            model=model,
            repeats=repeats,
            metric=metric,
            cost=cost,
            task=task,
            group=group,
            time=time,
            weight=weight,
            slices=slices,
            test=test,
            separator=separator,
            text_model=None if text_model is None else str(text_model),
            size=size,
            memory=memory,
            engine=engine,
            address=address,
            track=track,
            budget=budget,
            timeout=timeout,
            out=out,
            seed=seed,
            jobs=jobs,
            fresh=fresh,
            quiet=quiet,
        )
    except (EngineError, StoreError) as error:
        leave(str(error), FAILED)
    tell(comparison, as_json, quiet)
    raise typer.Exit(INTERRUPTED if comparison.interrupted else 0 if comparison.finished else FAILED)


def tell(comparison: "Comparison", as_json: bool, quiet: bool) -> None:
    """The outcome on standard output."""
    if as_json:
        print(json.dumps(document(comparison), indent=1))
    elif quiet:
        print(comparison.verdict)
    else:
        from lossmith.compare.report.terminal import show

        show(comparison)


def document(comparison: "Comparison") -> dict[str, Any]:
    """The results without the single runs, which are in the file that it names."""
    parts = {name: value for name, value in comparison.results.items() if name != "records"}
    files = {"report": str(comparison.report), "results": str(comparison.folder / "results.json")}
    return {**parts, "failures": comparison.failures, "files": files}
