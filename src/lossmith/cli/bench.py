"""``lossmith bench``."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lossmith.cli.ending import FAILED, INTERRUPTED, leave

if TYPE_CHECKING:
    from lossmith.compare.many.session import Bench

LONGEST_LINE = 160


def bench(
    data: Annotated[
        Path,
        typer.Argument(
            help="A folder of CSV, TSV or Parquet files, or a CSV with the columns data, target and perhaps name.",
            metavar="FOLDER_OR_LIST",
            show_default=False,
        ),
    ],
    target: Annotated[
        str | None, typer.Option(help="The column to predict in every table of a folder. [default: the last one]")
    ] = None,
    losses: Annotated[
        list[str] | None,
        typer.Option(
            help='Losses to compare with cross-entropy, as in "compare"; all default arms if not given.',
            metavar="SPEC ...",
            show_default=False,
        ),
    ] = None,
    model: Annotated[str, typer.Option(help='The model, as in "compare".')] = "mlp",
    repeats: Annotated[int, typer.Option(help="Train/validation/test splits of every data set.")] = 8,
    metric: Annotated[str | None, typer.Option(help='Decision metric, as in "compare".', show_default=False)] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Time for all data sets together, such as 2h; each gets its share.", show_default=False),
    ] = None,
    timeout: Annotated[str, typer.Option(help="Time for one run.")] = "1h",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the page and every data set. [default: lossmith-report/bench-<name>]"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of splits, initial weights and batches.")] = 0,
    jobs: Annotated[int | None, typer.Option(help="Worker processes. [default: all cores]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the verdict alone, and no progress.")] = False,
) -> None:
    """Compare losses on many data sets, and say which is worth trying first, with tests over data sets.

    A data set that cannot be compared is listed with its reason, and the others go on; a second call goes on where the
    first one ended. Exit codes: 0 done, 1 no data set gave figures, 2 something given cannot be used (nothing is
    written), 130 interrupted (the page is partial).
    """
    from lossmith.compare.many.session import bench as run
    from lossmith.compare.runs.store import StoreError

    options: dict[str, Any] = {
        "losses": losses,
        "model": model,
        "repeats": repeats,
        "timeout": timeout,
        "seed": seed,
        "jobs": jobs,
    }
    if metric is not None:  # what is usual depends on the kind of target
        options["metric"] = metric
    try:
        found = run(data, target, out=out, budget=budget, told=progress(quiet), **options)
    except StoreError as error:
        leave(str(error), FAILED)
    tell(found, as_json, quiet)
    raise typer.Exit(INTERRUPTED if found.interrupted else 0 if found.results["verdict"]["judged"] else FAILED)


def progress(quiet: bool) -> Callable[[int, int, str, str | None], None]:
    """A line on standard error for every finished data set; a terminal also sees which one is at work."""
    from lossmith.text import clean

    terminal = sys.stderr.isatty()

    def told(done: int, planned: int, name: str, said: str | None) -> None:
        if quiet or (said is None and not terminal):
            return
        words = f"{done} of {planned} data sets: {name}{': ' + said if said else ' ...'}"
        start, end = ("\r\x1b[K", "" if said is None else "\n") if terminal else ("", "\n")
        print(f"{start}{clean(words, LONGEST_LINE)}", end=end, file=sys.stderr, flush=True)

    return told


def tell(found: "Bench", as_json: bool, quiet: bool) -> None:
    """The outcome on standard output."""
    if as_json:
        files = {name: str(found.folder / f"bench.{name}") for name in ("html", "md", "json")}
        print(json.dumps({**found.results, "files": files}, indent=1))
    elif quiet:
        print(found.verdict)
    else:
        from lossmith.compare.many.terminal import show

        show(found)
