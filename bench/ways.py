"""Ways to compute one thing: made ready, compared in value, timed in turns, seen against their floor.

A way's floor is the bytes it has to move over the bandwidth, or the operations over the rate of bare matrix products,
whichever takes longer; both rates are those of yardsticks in the same turns.
"""

import logging
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bench.measure import Device, Run, Yardstick, turns
from bench.report import Found, Row, Timings

UPSTREAM = 3.0  # the gradient that comes from above: 1 would leave out a multiplication that training has
SECONDS = 20.0  # for the turns of one case
MANY = 31  # rounds, where a system that hands out memory now quickly and now slowly makes two speeds of one
BYTES, OPERATIONS = "bandwidth", "three GEMMs"  # names of yardsticks
log = logging.getLogger("bench")


class AbsentError(Exception):
    """Why a way is not there, in a word."""


@dataclass(frozen=True)
class Asked:
    """At most so much: of the time or memory of another way, of the floor, in ms or in MB.

    `of` is "floor", "ms", "MB", or the name of a way, in the same case unless `case` says otherwise.
    """

    most: float
    of: str
    case: str = ""
    memory: bool = False


@dataclass(frozen=True)
class Way:
    """One way to compute a case; `build` makes the run, which does both passes and returns the value of the loss."""

    case: str
    name: str
    build: Callable[[], Run]
    floor: dict[str, float]  # bytes or operations, by the name of the yardstick
    gradients: int = 0  # their bytes
    asked: tuple[Asked, ...] = ()
    same: bool = True  # whether its value is to be that of the first way of the case


@dataclass
class _Ready:
    way: Way
    run: Run | None = None
    memory: int | None = None
    value: float = 0.0
    note: str = ""
    times: list[float] = field(default_factory=list)
    floor: float = 0.0

    @property
    def seconds(self) -> float | None:
        return statistics.median(self.times) if self.times else None


def measured(
    ways: Sequence[Way], yardsticks: dict[str, Yardstick], on: Device, *, rounds: int = 15, budget: float = SECONDS
) -> Timings:
    """The ways and yardsticks of each case in turns; a way that cannot be made ready says why in its row.

    A way of another case that one is held against takes its turns there once more.
    """
    named, rows = {(way.case, way.name): way for way in ways}, []
    rates: dict[str, list[float]] = {name: [] for name in yardsticks}
    for case in dict.fromkeys(way.case for way in ways):
        torch.compiler.reset()  # of another size Dynamo would compile a version for all sizes
        own = [way for way in ways if way.case == case]
        others = ((one.case, one.of) for way in own for one in way.asked if one.case)
        beside = [named[key] for key in dict.fromkeys(others) if key in named and key[0] != case]
        ready = {(way.case, way.name): _ready(way, on) for way in [*own, *beside]}
        runs = {f"{key[0]}: {key[1]}": one.run for key, one in ready.items() if one.run is not None}
        log.info("%s: %d ways in turns", case, len(runs))
        everything = {**{name: yardstick.run for name, yardstick in yardsticks.items()}, **runs}
        times = turns(everything, on, rounds=rounds, warm=1, budget=budget)
        rate = {name: y.amount / statistics.median(times[name]) for name, y in yardsticks.items()}
        for key, one in ready.items():
            one.times, one.run = times.get(f"{key[0]}: {key[1]}", []), None  # what it holds is no longer needed
            one.floor = max(amount / rate[unit] for unit, amount in one.way.floor.items())
        rows += [_row(ready[case, way.name], ready) for way in own]
        for name, value in rate.items():
            rates[name].append(value)
    ceilings = {f"{name}, {y.unit}": statistics.median(rates[name]) / 1e9 for name, y in yardsticks.items()}
    return Timings(rows, ceilings)


def step(loss: Callable[..., Tensor], leaves: tuple[Tensor, ...], target: Tensor) -> Run:
    """The value of a loss, and the gradients in all of its inputs."""

    def run() -> Tensor:
        value = loss(*leaves, target)
        torch.autograd.grad(UPSTREAM * value, leaves)
        return value.detach()

    return run


def compiled(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The loss, compiled as a whole: a module in place, which is what a user does with it."""
    if not isinstance(loss, nn.Module):
        return torch.compile(loss, fullgraph=True)
    loss.compile(fullgraph=True)
    return loss


def reason(error: Exception) -> str:
    """Why a way cannot be measured, in a word or a line."""
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed"
    if isinstance(error, torch.OutOfMemoryError):
        return "out of memory"
    said = (str(error).splitlines() or [""])[0].replace("|", "/")[:80]
    return said if isinstance(error, AbsentError) else f"{type(error).__name__}: {said}"


def _ready(way: Way, on: Device) -> _Ready:
    log.info("%s: %s", way.case, way.name)
    values: list[Any] = []
    try:
        run = way.build()
        memory = on.peak(lambda: values.append(run()))
        value = float(values[-1])
    except Exception as error:  # of any library: its row says so, and the others are measured
        on.free()
        return _Ready(way, note=reason(error))
    return _Ready(way, run, None if memory is None else max(memory - way.gradients, 0), value)


def _row(one: _Ready, done: dict[tuple[str, str], _Ready]) -> Row:
    way, asked = one.way, tuple(_found(asked, one, done) for asked in one.way.asked)
    if one.seconds is None:
        return Row(way.case, way.name, floor=one.floor, asked=asked, note=one.note)
    first = next(other for other in done.values() if other.way.case == way.case and other.seconds)
    low, _, high = statistics.quantiles(one.times, n=4, method="inclusive")
    return Row(
        way.case,
        way.name,
        one.seconds,
        (low, high),
        len(one.times),
        one.seconds / (first.seconds or one.seconds),
        one.floor,
        one.memory,
        abs(one.value - first.value) / abs(first.value) if first.value and way.same else None,
        asked,
    )


def _found(asked: Asked, one: _Ready, done: dict[tuple[str, str], _Ready]) -> Found:
    seconds, memory = one.seconds, one.memory
    if asked.of == "ms":
        return Found("ms", asked.most, seconds and 1000 * seconds)
    if asked.of == "MB":
        return Found("extra MB", asked.most, None if memory is None else memory / 1e6)
    if asked.of == "floor":
        return Found("time / floor", asked.most, seconds and seconds / one.floor)
    other = done.get((asked.case or one.way.case, asked.of))
    what = f"{'memory' if asked.memory else 'time'} / {asked.of}" + (f" of {asked.case}" if asked.case else "")
    mine, theirs = (None if x is None else x.memory if asked.memory else x.seconds for x in (one, other))
    return Found(what, asked.most, None if mine is None or not theirs else mine / theirs)
