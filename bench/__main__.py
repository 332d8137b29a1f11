"""``python -m bench --suite NAME``: what stands in bench/RESULTS.md and docs/performance.md, printed anew."""

import argparse
import importlib
import json
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from bench import plots
from bench.measure import Device, device, machine
from bench.report import Part, data, markdown
from lossmith.files import write_text

KERNELS = ("logits", "linear", "sigmoid", "overlap", "sampled")  # of a device and a size
WHOLES = (
    "compare",
    "boosting",
    "losses",
    "density",
    "comparison",
    "monitor",
    "selection",
    "scaling",
    "memory",
    "honesty",
)  # as they are, on the CPU
SUITES = (*KERNELS, *WHOLES)


class Parser(argparse.ArgumentParser):
    """What is wrong, in one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"bench: {message}\n")


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The command line; what does not go together, or cannot be written, ends it before anything is measured."""
    parser = Parser(prog="python -m bench", description="Speed and memory, measured against the other ways to do it.")
    parser.add_argument(
        "--suite", action="append", metavar="NAME", help=f"{', '.join(SUITES)}; several with commas; default: all"
    )
    parser.add_argument("--device", default="cpu", metavar="cpu|cuda", help="cpu, or cuda for the suites that have it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write what is printed, with all digits")
    parser.add_argument("--plot", type=Path, metavar="DIR", help="draw time and memory over sizes, in place of tables")
    parser.add_argument(
        "--small", action="store_true", help="tiny sizes, to see in a minute or two that all of it runs"
    )
    parser.add_argument("--quiet", action="store_true", help="no lines on stderr about what is under way")
    given = parser.parse_args(words)
    if given.device not in ("cpu", "cuda"):
        parser.error(f"--device is cpu or cuda, not {given.device!r}")
    named = [name.strip() for names in given.suite or () for name in names.split(",")]
    for name in named:
        if name not in SUITES:
            parser.error(f"there is no suite {name!r}; there are {', '.join(SUITES)}")
        if why := unable(name, given):
            parser.error(f"{name} {why}")
    given.suite = named or [name for name in SUITES if not unable(name, given)]
    if given.json and given.json.is_dir():
        parser.error(f"--json: {given.json} is a folder; name a file in it")
    for option, folder in (("--json", given.json and given.json.parent), ("--plot", given.plot)):
        if folder and (why := unwritable(folder)):
            parser.error(f"{option}: {why}")
    try:
        given.on = device(given.device)
    except RuntimeError as error:
        parser.error(str(error))
    return given


def unable(name: str, given: argparse.Namespace) -> str:
    """Why a suite does not go with the options; nothing where it does."""
    own = suite_of(name).SIZES if name in KERNELS else {"cpu": None}
    if given.device not in own:
        return f"is measured on the CPU alone: leave out --device {given.device}"
    if given.plot and not (name in KERNELS and hasattr(suite_of(name), "curves")):
        return "has no curves: leave out --plot"
    return "has one size: leave out --small" if given.small and name in WHOLES else ""


def unwritable(folder: Path) -> str:
    """Why nothing can be written there, tried out before a long measurement; nothing where something can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return f"nothing can be written in {folder}: {error.strerror}"
    return ""


def suite_of(name: str) -> Any:
    """The module of a suite: most want packages that the others do without."""
    return importlib.import_module(f"bench.{name}")


def printed(name: str, on: Device, small: bool) -> list[Part]:
    """A suite's tables."""
    suite = suite_of(name)
    parts: list[Part] = suite.report(on, size_of(suite, on, small)) if name in KERNELS else suite.report()
    print(f"## {name}\n\n{(suite.__doc__ or '').strip()}\n\n{markdown(parts)}\n", flush=True)
    return parts


def size_of(suite: Any, on: Device, small: bool) -> Any:
    """What a suite measures on a device."""
    return replace(suite.SIZES[on.name], **(suite.SMALL if small else {}))


def drawn(name: str, on: Device, small: bool, folder: Path) -> dict[str, Any]:
    """A suite's curves: the pictures, and what was measured."""
    found = {}
    for curve in suite_of(name).curves(on, size_of(suite_of(name), on, small)):
        points = plots.drawn(curve, folder)
        found[curve.name] = {size: timings.data() for size, timings in points.items()}
        print(folder / f"{curve.name}.svg", flush=True)
    return found


def main(words: Sequence[str]) -> int:
    given = parsed(words)
    said: list[str] = [word for word in words if word != "--quiet"]
    logging.basicConfig(stream=sys.stderr, format="bench %(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("bench").setLevel(logging.WARNING if given.quiet else logging.INFO)
    where = machine(given.on)
    if not given.plot:
        print(f"# Results\n\nAs printed by `python -m bench {' '.join(said)}`".rstrip() + f", on {where}.\n")
    suites: dict[str, Any] = {}
    for name in given.suite:
        logging.getLogger("bench").info("suite %s", name)
        start = time.perf_counter()
        found = drawn(name, given.on, given.small, given.plot) if given.plot else None
        what = {"curves": found} if given.plot else {"parts": data(printed(name, given.on, given.small))}
        suites[name] = {"seconds": time.perf_counter() - start, **what}
        if given.json:  # after each, so that what is cut short leaves what it has
            text = json.dumps({"command": said, "machine": where, "suites": suites}, indent=1, allow_nan=False)
            write_text(given.json, text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
