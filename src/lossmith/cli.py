"""The command line. What is heavy is imported inside the commands, so that ``lossmith --help`` is quick."""

import csv
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
    from lossmith.text import clean

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
            'a default arm; several may follow, and "all" is every loss that fits. All default arms if not given.',
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


@app.command()
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
        save(out, result.results, data)
    if as_json:
        print(json.dumps(result.results, indent=1, allow_nan=False))
    elif quiet:
        print(terminal.headline(result))
    else:
        terminal.show(result)


def save(path: Path, document: dict[str, Any], data: Path) -> None:
    """The document as a file, whole or not at all, and never over the table that it is about."""
    from lossmith.files import home_expanded, write_text

    path = home_expanded(path)
    if path.exists() and path.samefile(home_expanded(data)):
        raise InputError(f"--out {path} is the table itself; give another file.")
    try:
        write_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}; give another --out.") from error


@app.command()
def audit(
    target: Annotated[
        str | None,
        typer.Argument(
            help='A loss: "package.module:Class(gamma=2)", a function of (input, target), path/to/file.py:Name, or one '
            'of lossmith\'s own, such as "focal(gamma=2)".',
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(help="softmax, sigmoid, regression, overlap, ... [default: found by trying]", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write one offline page to this file, too.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print one line and the failures, and no progress.")] = False,
    everything: Annotated[bool, typer.Option("--list", help="List all checks with their explanations.")] = False,
) -> None:
    """Ask a loss, anybody's, what a loss should get right, and name what it gets wrong.

    Importing the loss runs its module; its parameters are parsed, never evaluated. Exit codes: 0 nothing fails, 1 a
    check fails, 2 something given cannot be used (nothing is written).
    """
    from lossmith.audit import report, run

    if everything == (target is not None):
        raise InputError("give one loss to audit, or --list.")
    if html is not None and not html.expanduser().parent.is_dir():
        raise InputError(f"{html} cannot be written: there is no such folder; give another --html.")
    if target is None:
        report.catalogue()
        return
    with report.following(quiet) as progress:
        found = run.audit(audited(target), kind, progress=progress)
    if html is not None:
        save_page(html, report.page(found))
    if as_json:
        print(json.dumps(found.document(), indent=1))
    elif quiet:
        print("\n".join([found.sentence(), *(f"{one.name}: {one.seen}" for one in found.failures)]))
    else:
        report.show(found)
    raise typer.Exit(FAILED if found.failures else 0)


def audited(target: str) -> Any:
    """A specification of lossmith's own is made here; anything with a colon or a file is the audit's to find."""
    if ":" in target or target.endswith(".py"):
        return target
    from lossmith.spec import create

    return create(target)


def save_page(path: Path, text: str) -> None:
    """A page as a file, whole or not at all."""
    from lossmith.files import home_expanded, write_text

    try:
        write_text(home_expanded(path), text)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}; give another --html.") from error


@app.command("list")
def list_losses(
    family: Annotated[str | None, typer.Option(help="Only the losses of this family.", show_default=False)] = None,
) -> None:
    """List every loss with its family, its parameters and what it is."""
    from rich.console import Console
    from rich.padding import Padding

    from lossmith import spec

    console = Console(highlight=False, markup=False)
    rows = spec.catalogue(family)
    for name in dict.fromkeys(row["family"] for row in rows):
        members = [row for row in rows if row["family"] == name]
        console.print(name.replace("_", " "), style="bold underline")
        if members[0]["shared"]:
            console.print(Padding(f"most of them take {members[0]['shared']}", (0, 0, 0, 2)), style="dim")
        for row in members:
            call = f"{row['name']}({row['parameters']})" if row["parameters"] else row["name"]
            console.print(Padding(call, (0, 0, 0, 2)), style="bold")
            console.print(Padding(row["summary"].replace("`", ""), (0, 0, 0, 6)))
        console.print()
    console.print(
        "Every loss also takes reduction, normalizer, ignore_index and process_group. Around any of them: sums such as "
        "0.7*focal + 0.3*poly, and lossmith.Regularized(loss, model=, l1=, l2=) for structural risk."
    )
