"""The command line. What is heavy is imported inside the commands, so that ``lossmith --help`` is quick."""

import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Never

from lossmith import __version__
from lossmith.errors import InputError, LossmithError

try:
    import typer
except ModuleNotFoundError:  # the losses need torch alone; the command line comes with the extra
    sys.stderr.write('The command line needs more packages: pip install "lossmith[compare]"\n')
    raise SystemExit(2) from None

if TYPE_CHECKING:
    from lossmith.compare import Comparison

FAILED, MISUSED, INTERRUPTED = 1, 2, 130
TABLE_ENDINGS = (".csv", ".tsv", ".parquet")

app = typer.Typer(
    name="lossmith",
    help="Training losses that are correct and fast, and an honest answer to which one your data needs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """The entry point: one sentence and exit code 2 for bad input, 1 for failed work, 130 for Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(args=spread(sys.argv[1:]), standalone_mode=True)
    except LossmithError as error:
        leave(str(error), MISUSED)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("lossmith"):
            raise
        leave(f'{error.name} is not installed: pip install "lossmith[compare]"', MISUSED)
    except KeyboardInterrupt:
        leave("interrupted", INTERRUPTED)


def leave(sentence: str, code: int) -> Never:
    """End with one sentence on standard error."""
    from lossmith.compare.text import clean

    print(f"lossmith: {clean(sentence, 1000)}", file=sys.stderr)
    raise SystemExit(code)


def spread(words: Sequence[str]) -> list[str]:
    """Let one ``--losses`` take several specs, up to the next option or table.

    >>> spread(["compare", "--losses", "focal", "poly", "data.csv"])
    ['compare', '--losses', 'focal', '--losses', 'poly', 'data.csv']
    """
    result: list[str] = []
    taking = False
    for word in (part for given in words for part in apart(given)):
        taking = taking and not word.startswith("--") and not word.lower().endswith(TABLE_ENDINGS)
        if taking and result[-1] != "--losses":
            result.append("--losses")
        result.append(word)
        taking = taking or word == "--losses"
    return result


def apart(word: str) -> list[str]:
    """``--losses=focal`` as its two words, so that more may follow it; any other word as it is."""
    name, equals, value = word.partition("=")
    return [name, value] if name == "--losses" and equals else [word]


def show_version(asked: bool) -> None:
    """Print the version and leave."""
    if asked:
        print(f"lossmith {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Training losses that are correct and fast, and an honest answer to which one your data needs."""


@app.command()
def compare(
    data: Annotated[Path | None, typer.Argument(help="A CSV, TSV or Parquet file.", show_default=False)] = None,
    target: Annotated[str | None, typer.Option(help="The column to predict.", show_default=False)] = None,
    losses: Annotated[
        list[str] | None,
        typer.Option(
            help='Losses to compare with cross-entropy, such as "focal(gamma=2)", my_losses.py:MyLoss, or the name of '
            "a default arm; several may follow. All default arms if not given.",
            metavar="SPEC ...",
            show_default=False,
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="mlp or linear.")] = "mlp",
    repeats: Annotated[int, typer.Option(help="Train/validation/test splits; below 6 no test is possible.")] = 8,
    metric: Annotated[
        str, typer.Option(help="Decision metric: macro_f1, balanced_accuracy, mcc or accuracy.")
    ] = "macro_f1",
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
    from lossmith.compare.engine import EngineError
    from lossmith.compare.session import DEMO, DEMO_TARGET, conduct
    from lossmith.compare.store import StoreError

    if demo == (data is not None):
        raise InputError("give one table (CSV, TSV or Parquet) and its --target, or --demo.")
    try:
        comparison = conduct(
            DEMO if demo else data,
            target or (DEMO_TARGET if demo else None),
            losses=losses,
            model=model,
            repeats=repeats,
            metric=metric,
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
        from lossmith.compare.terminal import show

        show(comparison)


def document(comparison: "Comparison") -> dict[str, Any]:
    """The results without the single runs, which are in the file that it names."""
    parts = {name: value for name, value in comparison.results.items() if name != "records"}
    files = {"report": str(comparison.report), "results": str(comparison.folder / "results.json")}
    return {**parts, "failures": comparison.failures, "files": files}


@app.command("list")
def list_losses(
    family: Annotated[str | None, typer.Option(help="Only the losses of this family.", show_default=False)] = None,
) -> None:
    """List every loss with its family, its parameters and what it is."""
    from rich.console import Console
    from rich.table import Table

    from lossmith import spec

    rows = spec.catalogue(family)
    for name in dict.fromkeys(row["family"] for row in rows):
        table = Table(title=name, title_justify="left", title_style="bold", box=None, show_header=False, pad_edge=False)
        table.add_column(no_wrap=True)
        table.add_column()
        for row in (row for row in rows if row["family"] == name):
            call = f"{row['name']}({row['parameters']})" if row["parameters"] else row["name"]
            table.add_row(call, row["summary"].replace("`", ""))
        Console(highlight=False, markup=False).print(table)
