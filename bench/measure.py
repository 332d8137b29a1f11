"""Paired timing: the candidates take turns, so that a noisy machine is noisy for all of them.

A device times one run and tells its peak memory; everything that only CUDA has is in `Cuda`. Yardsticks are what the
machine can do at best, measured in the same turns: the bytes of an addition, the operations of three matrix products.
"""

import ctypes
import platform
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

Run = Callable[[], object]
Candidates = dict[str, Run]
FEWEST = 5  # rounds that a median and its quartiles are taken of


class Device(Protocol):
    """Where tensors live, how a run is timed there, and how much memory it takes."""

    name: str

    def seconds(self, run: Run) -> float:
        """Seconds of one run."""

    def peak(self, run: Run) -> int | None:
        """Bytes that a second call of `run` takes at its highest, above what is held before it; None if unknown."""

    def free(self) -> None:
        """Give back what a failed run left behind."""

    def about(self) -> str:
        """The machine in a few words."""


class Cpu:
    """The processor's clock, and the resident memory of this process (Linux)."""

    name = "cpu"

    def seconds(self, run: Run) -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    def peak(self, run: Run) -> int | None:
        marks = Path("/proc/self/clear_refs")
        run()
        if not marks.exists():
            run()
            return None
        ctypes.CDLL(None).malloc_trim(0)  # what the allocator kept of the first call would not be counted
        marks.write_text("5")  # the high-water mark starts anew
        before = _status("VmRSS")
        run()
        return max(_status("VmHWM") - before, 0)

    def free(self) -> None:
        """The allocator does."""

    def about(self) -> str:
        facts = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
        names = [line.split(":")[1].strip() for line in facts if line.startswith("model name")]
        return f"{names[0] if names else platform.processor()}, {torch.get_num_threads()} threads"


class Cuda:
    """CUDA events around each run, the second-level cache overwritten before it; memory as PyTorch allocates it."""

    name = "cuda"

    def __init__(self) -> None:
        size = max(2 * torch.cuda.get_device_properties().L2_cache_size, 2**27)
        self.flush = torch.empty(size, dtype=torch.int8, device=self.name)

    def seconds(self, run: Run) -> float:
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        self.flush.zero_()  # it also keeps the device busy while the first kernels of the run are launched
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) / 1000

    def peak(self, run: Run) -> int | None:
        run()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before

    def free(self) -> None:
        torch.cuda.empty_cache()

    def about(self) -> str:
        return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"


def device(name: str) -> Device:
    """The device of a name; raises `RuntimeError` where there is none.

    >>> device("cpu").seconds(lambda: None) < 1
    True
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("there is no CUDA device, or this PyTorch was built without CUDA: use --device cpu")
    return Cuda() if name == "cuda" else Cpu()


def turns(
    candidates: Candidates, on: Device | None = None, *, rounds: int = 15, warm: int = 3, budget: float = float("inf")
) -> dict[str, list[float]]:
    """Seconds of each candidate in every round in which all took their turn, after `warm` unmeasured ones.

    `rounds` of them, or as many as fit into `budget` seconds, but 5 at least.
    """
    times: dict[str, list[float]] = {name: [] for name in candidates}
    timer, start = on or Cpu(), time.perf_counter()
    for turn in range(warm + rounds):
        order = list(candidates.items())
        random.Random(turn).shuffle(order)  # what came before leaves caches and memory behind: no one's always the same
        for name, run in order:
            took = timer.seconds(run)
            if turn >= warm:
                times[name].append(took)
        if turn - warm + 1 >= FEWEST and time.perf_counter() - start > budget:
            break
    return times


def medians(candidates: Candidates, *, rounds: int = 15, warm: int = 3) -> dict[str, float]:
    """Seconds of each candidate on the CPU: the median over `turns`."""
    return {name: statistics.median(values) for name, values in turns(candidates, rounds=rounds, warm=warm).items()}


def peak(run: Run) -> int:
    """Bytes of main memory that a second call of `run` takes at its highest (Linux)."""
    found = Cpu().peak(run)
    assert found is not None, "memory is measured on Linux"
    return found


@dataclass(frozen=True)
class Yardstick:
    """What a machine does at best: a run, and how many bytes it moves or operations it does."""

    run: Run
    amount: float
    unit: str


def adding(size: int, on: Device) -> Yardstick:
    """Two tensors of `size` bytes added into a third: what is read and written in a second is the bandwidth."""
    one, two, out = (torch.rand(-(-size // 4), device=on.name) for _ in range(3))
    return Yardstick(lambda: torch.add(one, two, out=out), 3 * one.nbytes, "GB/s")


def gemms(hidden: Tensor, weight: Tensor) -> Yardstick:
    """The three matrix products of a linear layer, bare: logits, and the gradients of its input and weight."""
    hidden, weight = hidden.detach(), weight.detach()
    logits = hidden.new_empty(len(hidden), len(weight))
    dhidden, dweight = torch.empty_like(hidden), torch.empty_like(weight)

    def run() -> None:
        torch.mm(hidden, weight.t(), out=logits)
        torch.mm(logits, weight, out=dhidden)
        torch.mm(logits.t(), hidden, out=dweight)

    return Yardstick(run, 6.0 * hidden.numel() * len(weight), "GFLOP/s")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def machine(on: Device | None = None) -> str:
    """One line that says where the figures were taken."""
    where = (on or Cpu()).about()
    return f"{where}, Python {platform.python_version()}, torch {torch.__version__}, {platform.system()}"
