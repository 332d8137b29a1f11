"""Paired timing: the candidates take turns, so that a noisy machine is noisy for all of them."""

import ctypes
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

Candidates = dict[str, Callable[[], object]]


def medians(candidates: Candidates, *, rounds: int = 15, warm: int = 3) -> dict[str, float]:
    """Seconds of each candidate: the median over rounds in which all took their turn, after `warm` unmeasured ones."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(warm + rounds):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            if turn >= warm:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def peak(run: Callable[[], object]) -> int:
    """Bytes of main memory that a second call of `run` takes at its highest, above what is held before it (Linux)."""
    run()
    ctypes.CDLL(None).malloc_trim(0)  # what the allocator kept of the first call would not be counted
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = _status("VmRSS")
    run()
    return max(_status("VmHWM") - before, 0)


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def machine() -> str:
    """One line that says where the figures were taken."""
    facts = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in facts if line.startswith("model name")]
    model = names[0] if names else platform.processor()
    return (
        f"{model}, {torch.get_num_threads()} threads, Python {platform.python_version()}, torch {torch.__version__}, "
        f"{platform.system()}"
    )


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
