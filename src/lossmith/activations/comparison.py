"""The comparison of all activation functions, measured rather than typed in.

An activation that mixes entries along an axis (softmax, GLU, Maxout, hardmax ...) is measured on an axis of two: how
the first output answers to the first entry x, for many values of the other entry y.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lossmith.activations.find import required, torch_modules
from lossmith.activations.maximum import Maxout, hardmax
from lossmith.activations.measure import (
    INF,
    ZERO,
    Flat,
    Span,
    Y,
    flat_end,
    mean,
    monotone,
    short,
    slopes_of,
    span,
    values_of,
)

NO_MEAN = 1e-5  # a mean that is 0 as far as the grid can tell


@dataclass(frozen=True)
class Row:
    """One activation function, measured; `table` says what its fields are."""

    name: str
    options: str
    elementwise: bool
    range: Span
    mean: float
    left: Flat | None
    right: Flat | None
    slope: Span
    monotone: str

    @property
    def zero_centred(self) -> bool:
        """The mean output is 0 where inputs are standard normal."""
        return abs(self.mean) < NO_MEAN

    @property
    def saturation(self) -> str:
        """Both ends in words; an asterisk (escaped, as Markdown wants it) where the slope is exactly 0."""
        if self.right and self.right.start == -INF:
            return "everywhere\\*"
        ends = [f"x {sign} {end}" for sign, end in (("<", self.left), (">", self.right)) if end]
        return ", ".join(ends) or "no"


def table() -> list[Row]:
    """One row for every activation function, torch's and ours: the elementwise ones first, then those along an axis.

    - `options`: the parameters it was measured with: torch's defaults, or 0 where there is none; learnt ones are at
      their first value, random ones as in evaluation.
    - `range`: the smallest interval that holds all outputs.
    - `mean`: the mean output where inputs are independent and standard normal; `zero_centred`: that mean is 0.
    - `left`, `right`: from which x on it saturates towards minus and plus infinity, which is to say that its slope
      goes to 0 (soft saturation) or is 0 (hard saturation); None: it does not. On an axis, with the other entry 0.
    - `slope`: the range of the derivative where there is one, which is not at kinks and jumps.
    - `monotone`: "rising" (or flat), "falling" (or flat), or "no".

    Extremes are right to about 1e-8, means to about 1e-4.

    >>> rows = {row.name: row for row in table()}
    >>> str(rows["Sigmoid"].range), str(rows["Sigmoid"].slope), rows["Sigmoid"].zero_centred
    ('(0, 1)', '(0, 0.25]', False)
    >>> rows["Hardtanh"].saturation
    'x < -1\\\\*, x > 1\\\\*'

    Source: soft and hard saturation as in Gulcehre et al. (2016), "Noisy activation functions", arXiv 1603.00391.
    """
    makers = {**torch_modules(), "Maxout": Maxout}
    rows = [_row(name, _options(make), _made(make)) for name, make in makers.items()]
    rows.append(_row("hardmax", "", partial(hardmax, dim=0)))
    return sorted(rows, key=lambda row: (not row.elementwise, row.name.lower()))


def markdown() -> str:
    """The rows of `table` as a Markdown table, the one in docs/activations.md.

    >>> print(markdown().splitlines()[2])
    | `CELU` (alpha = 1) | (-1, ∞) | 0.161 | no | x < -4.61 | (0, 1] | rising |
    """
    heads = ("activation", "range", "mean", "zero-centred", "saturates", "slope", "monotone")
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for row in table():
        call = f"`{row.name}`" + f" ({row.options})" * bool(row.options)
        centred = "yes" if row.zero_centred else "no"
        average = 0 if row.zero_centred else row.mean
        cells = (call, row.range, f"{average:.3f}", centred, row.saturation, row.slope, row.monotone)
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return "\n".join(lines)


def _row(name: str, options: str, function: Callable[[Tensor], Tensor]) -> Row:
    value, slope = values_of(function), slopes_of(function)
    alone = value(ZERO + 0.3, torch.tensor([-2.0, 0.1, 1.0], dtype=torch.float64))
    elementwise = len(torch.unique(alone)) == 1  # the other entry makes no difference
    y = ZERO if elementwise else Y
    return Row(
        name=name,
        options=options,
        elementwise=elementwise,
        range=span(value, y),
        mean=mean(value, y),
        left=flat_end(slope, -1),
        right=flat_end(slope, 1),
        slope=span(slope, y),
        monotone=monotone(value, y),
    )


def _given(make: type[nn.Module]) -> dict[str, Any]:
    """What a module is made with: 0 for every parameter without a default, and axis 0 where it has an axis."""
    axis = ["dim"] if "dim" in inspect.signature(make).parameters else []
    return dict.fromkeys([*required(make), *axis], 0)


def _made(make: type[nn.Module]) -> nn.Module:
    return make(**_given(make)).double().eval()


def _options(make: type[nn.Module]) -> str:
    """The parameters that the numbers depend on: all but the axis, switches and what is not set."""
    given = {name: one.default for name, one in inspect.signature(make).parameters.items()} | _given(make)
    numbers = {k: v for k, v in given.items() if isinstance(v, int | float) and not isinstance(v, bool) and k != "dim"}
    return ", ".join(f"{k} = {short(v)}" for k, v in numbers.items())
