"""Measuring a function of one entry x, and of a second entry y where it acts along an axis, in double precision.

Values and autograd's slopes are read off a grid, extremes are then searched for between its points, and limits are
taken at 1e50 and 1e100.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

INF = float("inf")
# Middles of cells: the kinks and jumps of activations lie at round numbers, and no middle of a cell is one.
NEAR = (torch.arange(-1000, 1000, dtype=torch.float64) + 0.5) / 100
FAR = torch.tensor([20.0, 40.0, 1e2, 1e3, 1e6, 1e50, 1e100], dtype=torch.float64)
X = torch.cat([-FAR.flip(0), NEAR, FAR])
Y = torch.cat([-FAR.flip(0), torch.arange(-40, 41, dtype=torch.float64) / 5, FAR])
ZERO = torch.zeros(1, dtype=torch.float64)
CORE = 7.0  # a bound that nothing within this distance of 0 reaches is a limit, which no input reaches
TINY = 1e-8
FLAT = 0.01  # less slope than this counts as none
FEW = 3

Read = Callable[[Tensor, Tensor], Tensor]  # the points x [N] and y [M] -> a number for each pair, [N, M]


@dataclass(frozen=True)
class Span:
    """From the least to the greatest value, infinite where there is none, and whether an input reaches the two ends.

    `values` holds all of the values where they are three at most.

    >>> str(Span(-1.0, INF, True, False)), str(Span(0.0, 1.0, True, True, (0.0, 1.0)))
    ('[-1, ∞)', '0 or 1')
    """

    low: float
    high: float
    low_reached: bool
    high_reached: bool
    values: tuple[float, ...] = ()

    def __str__(self) -> str:
        if self.values:
            return " or ".join(short(value) for value in self.values)
        return f"{'(['[self.low_reached]}{short(self.low)}, {short(self.high)}{')]'[self.high_reached]}"


@dataclass(frozen=True)
class Flat:
    """An end that saturates: beyond x = `start` the slope stays below 0.01, on its way to 0 or `exactly` 0.

    >>> str(Flat(3.0, True))
    '3\\\\*'
    """

    start: float
    exactly: bool

    def __str__(self) -> str:
        return short(self.start) + "\\*" * self.exactly


def short(value: float) -> str:
    """Three digits.

    >>> short(-0.27846), short(-INF), short(-1e-12)
    ('-0.278', '-∞', '0')
    """
    return f"{round(value, 8) + 0.0:.3g}".replace("inf", "∞")


def values_of(function: Callable[[Tensor], Tensor]) -> Read:
    """The first output on the axis of two entries (x, y)."""

    def read(x: Tensor, y: Tensor) -> Tensor:
        return function(torch.stack(torch.meshgrid(x, y, indexing="ij")))[0].detach()

    return read


def slopes_of(function: Callable[[Tensor], Tensor]) -> Read:
    """The derivative of the first output by x; 0 where the function cuts the graph, which a constant does."""

    def read(x: Tensor, y: Tensor) -> Tensor:
        pair = torch.stack(torch.meshgrid(x, y, indexing="ij")).requires_grad_()
        output = function(pair)[0]
        if not output.requires_grad:
            return torch.zeros_like(output)
        return torch.autograd.grad(output.sum(), pair)[0][0]

    return read


def span(read: Read, y: Tensor) -> Span:
    """The least and the greatest of what is read."""
    found = torch.unique(read(_core(X), _core(y)).round(decimals=9))
    values = tuple(found.tolist()) if len(found) <= FEW else ()
    high, high_reached = _greatest(read, y)
    low, low_reached = _greatest(lambda *points: -read(*points), y)
    return Span(0.0 - low, high, low_reached, high_reached, values)


def mean(read: Read, y: Tensor) -> float:
    """The mean of what is read where the entries are independent and standard normal."""
    shares = [torch.exp(-points * points / 2) for points in (X, y)]
    return float(shares[0] @ read(X, y) @ shares[1] / (shares[0].sum() * shares[1].sum()))


def monotone(read: Read, y: Tensor) -> str:
    """Which way it goes as x grows: "rising", "falling" (flat stretches allowed), or "no"."""
    step = read(X, y).diff(dim=0)
    ways = [bool((sign * step >= -TINY).all()) for sign in (1, -1)]
    return "rising" if ways[0] else "falling" if ways[1] else "no"


def flat_end(read: Read, sign: int) -> Flat | None:
    """How it saturates towards plus (sign 1) or minus (sign -1) infinity, with y = 0; None if it does not."""

    def steep(x: Tensor) -> Tensor:
        return read(sign * x, ZERO)[:, 0].abs()

    found = steep(X)
    if found[-1] > TINY:
        return None
    last = int((found >= FLAT).nonzero().max()) if bool((found >= FLAT).any()) else None
    if last is None:
        return Flat(-sign * INF, True)
    left, right = float(X[last]), float(X[last + 1])
    while right - left > 1e-3 * TINY:
        middle = (left + right) / 2
        left, right = (middle, right) if steep(ZERO + middle)[0] >= FLAT else (left, middle)
    return Flat(sign * right, bool(steep(ZERO + right + TINY)[0] == 0))


def _greatest(read: Read, y: Tensor) -> tuple[float, bool]:
    """The greatest of what is read, and whether it is reached."""
    everywhere, reached = read(X, y), _peak(read, _core(y))
    best = max(float(everywhere.max()), reached)
    short_of_last = read(X[1:-1], y[1:-1] if len(y) > 1 else y)
    if best > max(float(short_of_last.max()), reached) + TINY:
        return INF, False  # it is still growing between 1e50 and 1e100
    return best, reached >= best - TINY


def _peak(read: Read, y: Tensor) -> float:
    """The greatest of what is read near 0, to nine digits: the grid's best point, and ever finer grids around it."""
    x = _core(X)
    best = -INF
    for _ in range(4):
        found = read(x, y)
        best = max(best, float(found.max()))
        i, j = divmod(int(found.argmax()), len(y))
        ends = float(x[max(i - 1, 0)]), float(x[min(i + 1, len(x) - 1)])
        x, y = torch.linspace(*ends, 401, dtype=torch.float64), y[j : j + 1]
    return best


def _core(points: Tensor) -> Tensor:
    return points[points.abs() <= CORE]
