"""How far long work is, on standard error: one line that changes on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE = 2.0  # seconds before anything is said
BETWEEN = 5.0  # seconds between lines where they stay


@contextmanager
def following(quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """Says which step of how many is running, once the work takes longer than two seconds."""
    started = last = time.monotonic()
    terminal = sys.stderr.isatty()

    def step(done: int, planned: int, what: str) -> None:
        nonlocal last
        now = time.monotonic()
        if quiet or now - started < PATIENCE or (not terminal and now - last < BETWEEN):
            return
        last = now
        words = f"{what}: {done} of {planned}"
        print(f"\r\x1b[K{words}" if terminal else words, end="" if terminal else "\n", file=sys.stderr, flush=True)

    try:
        yield step
    finally:
        if terminal and last != started:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
