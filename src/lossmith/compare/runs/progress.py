"""Progress on standard error: a bar in a terminal, now and then a plain line elsewhere, nothing when quiet."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lossmith.text import clean

SECONDS_BETWEEN_LINES = 5.0

Step = Callable[[dict[str, Any]], None]


@contextmanager
def following(planned: int, done: int, quiet: bool) -> Iterator[Step]:
    """A function to call with every record that comes in."""
    if quiet:
        yield lambda record: None
    elif sys.stderr.isatty():
        with bar(planned, done) as step:
            yield step
    else:
        yield lines(planned, done)


def told(record: dict[str, Any]) -> str:
    """One run in words, and what went wrong with it."""
    name = f"{clean(record['arm'])}, repeat {record['repeat'] + 1}"
    return name if record["status"] == "ok" else f"{name}: {record['status']}, {clean(record['reason'], 200)}"


@contextmanager
def bar(planned: int, done: int) -> Iterator[Step]:
    """A bar with the time that is left; runs without success stay on the screen above it."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("Training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting workers", total=planned, completed=done)

        def step(record: dict[str, Any]) -> None:
            progress.update(task, advance=1, description=told({**record, "status": "ok"}))
            if record["status"] != "ok":
                progress.console.print(told(record), markup=False, highlight=False)

        yield step


def lines(planned: int, done: int) -> Step:
    """A line for each failure, for the last run, and otherwise every few seconds."""
    count, last = done, time.monotonic()
    if done:
        print(f"{done} of {planned} runs are there already", file=sys.stderr)

    def step(record: dict[str, Any]) -> None:
        nonlocal count, last
        count += 1
        if record["status"] != "ok" or count == planned or time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            print(f"{count} of {planned} runs: {told(record)}", file=sys.stderr, flush=True)

    return step
