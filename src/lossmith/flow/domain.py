"""Step 1, legal values: objects that check a tensor, describe themselves in an error, and sample tests.

A domain is declared once, on the class of a loss or on one of its parameters; checks, messages, test data
and documentation are read from it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from lossmith.arrays import ops_of
from lossmith.errors import DomainError
from lossmith.kernels.eager import plain

_mode = "auto"


def set_checks(mode: str) -> None:
    """Say when tensor values are checked: ``"auto"`` (CPU tensors in eager mode), ``"always"``, ``"never"``.

    Shapes and dtypes are always checked; they cost nothing. Value checks read the data, which on a GPU waits
    for it, so ``"auto"`` leaves them out there and under ``torch.compile`` and ``torch.func`` transforms.

    >>> set_checks("auto")
    """
    global _mode
    if mode not in ("auto", "always", "never"):
        raise DomainError(f'set_checks: mode must be "auto", "always" or "never", not {mode!r}')
    _mode = mode


def may_look(x: Any) -> bool:
    """Whether the values of `x` may be read now without breaking a graph, a transform or the speed of a GPU."""
    if _mode == "never" or not plain(x):
        return False
    return _mode == "always" or x.device.type == "cpu"


class Domain:
    """A set of legal values: `outside` marks the others, `describe` completes "must be ...", `sample` draws."""

    neutral: float = 0.0  # a legal value that stands in where a mask hides the data

    def describe(self) -> str:
        raise NotImplementedError

    def outside(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def clean(self, x: Tensor) -> bool:
        """A quick look that may say False for nothing, never True wrongly."""
        return not bool(self.outside(x).any())

    def show(self, x: Tensor, bad: Tensor) -> str:
        """The first illegal value, in words."""
        first = x[bad].flatten()[0].item()
        return f"first {first:.6g}" if isinstance(first, float) else f"first {first}"

    def sample(self, shape: Sequence[int], generator: torch.Generator) -> Tensor:
        raise NotImplementedError

    def check(self, owner: str, name: str, x: Any) -> None:
        """Raise a `DomainError` that says how many values are outside, and shows the first."""
        if not isinstance(x, Tensor):
            x = ops_of(x).concrete(x)
        if may_look(x) and x.numel() and not self.clean(x):
            self.refuse(owner, name, x)

    def refuse(self, owner: str, name: str, x: Tensor) -> None:
        """As `check`, with a look in any case."""
        bad = self.outside(x)
        count = int(bad.sum())
        if count:
            verb = "is" if count == 1 else "are"
            raise DomainError(
                f"{owner}: {name} must be {self.describe()}; {count} of {bad.numel()} {verb} not, {self.show(x, bad)}"
            )


@dataclass(frozen=True)
class Interval(Domain):
    """Numbers from `low` to `high`; an end is left out where `open_low` or `open_high` says so.

    >>> Interval(0, 1, open_low=True).describe()
    'in (0, 1]'
    >>> Interval(0).describe(), Interval().describe()
    ('at least 0', 'finite')
    """

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    @property
    def neutral(self) -> float:  # type: ignore[override]
        if math.isfinite(self.low) and math.isfinite(self.high):
            return (self.low + self.high) / 2
        return 0.0 if self.holds(0.0) and self.holds(-1.0) else max(self.low, 0.0) + 1.0

    def describe(self) -> str:
        low, high = f"{self.low:g}", f"{self.high:g}"
        if math.isinf(self.low) and math.isinf(self.high):
            return "finite"
        if math.isinf(self.high):
            return f"greater than {low}" if self.open_low else f"at least {low}"
        if math.isinf(self.low):
            return f"less than {high}" if self.open_high else f"at most {high}"
        return f"in {'(' if self.open_low else '['}{low}, {high}{')' if self.open_high else ']'}"

    def holds(self, value: float) -> bool:
        above = value > self.low if self.open_low or math.isinf(self.low) else value >= self.low
        below = value < self.high if self.open_high or math.isinf(self.high) else value <= self.high
        return above and below

    def outside(self, x: Tensor) -> Tensor:
        above = x > self.low if self.open_low or math.isinf(self.low) else x >= self.low
        below = x < self.high if self.open_high or math.isinf(self.high) else x <= self.high
        return ~(above & below)

    def clean(self, x: Tensor) -> bool:
        least, most = torch.aminmax(x.detach())  # one pass; NaN in x is NaN in both, and no interval holds NaN
        return self.holds(least.item()) and self.holds(most.item())

    def sample(self, shape: Sequence[int], generator: torch.Generator) -> Tensor:
        low = self.low if math.isfinite(self.low) else min(-4.0, self.high - 8.0)
        high = self.high if math.isfinite(self.high) else max(4.0, low + 8.0)
        return low + (high - low) * (0.02 + 0.96 * torch.rand(*shape, generator=generator, dtype=torch.float64))


@dataclass(frozen=True)
class Presence(Interval):
    """How much a label is there, from 0 to 1. One that is hidden is absent: half there it would be a mixture, which
    costs twice as long."""

    low: float = 0.0
    high: float = 1.0

    @property
    def neutral(self) -> float:  # type: ignore[override]
        return 0.0


class _OfSize(Domain):
    """Numbers of which the absolute value says whether they are legal."""

    sizes: ClassVar[Interval]

    def clean(self, x: Tensor) -> bool:
        if x.dtype not in (torch.float32, torch.float64):  # some have no absolute value
            return super().clean(x)
        return self.sizes.clean(x.abs())


@dataclass(frozen=True)
class NonZero(_OfSize):
    """Finite numbers other than 0: what a relative error divides by."""

    neutral: float = 1.0
    sizes = Interval(0, open_low=True)

    def describe(self) -> str:
        return "finite and not 0 (mask those units, or use SMAPELoss)"

    def outside(self, x: Tensor) -> Tensor:
        return (x == 0) | ~torch.isfinite(x)

    def sample(self, shape: Sequence[int], generator: torch.Generator) -> Tensor:
        return Interval(0.5, 4).sample(shape, generator)


@dataclass(frozen=True)
class Signs(_OfSize):
    """The labels -1 and +1 of a margin loss."""

    neutral: float = 1.0
    sizes = Interval(1, 1)

    def describe(self) -> str:
        return "-1 or 1 (from 0/1 labels: 2 * target - 1)"

    def outside(self, x: Tensor) -> Tensor:
        return (x != 1) & (x != -1)

    def sample(self, shape: Sequence[int], generator: torch.Generator) -> Tensor:
        return torch.randint(0, 2, tuple(shape), generator=generator).double() * 2 - 1


@dataclass(frozen=True)
class Classes(Domain):
    """Class indices 0 ... count - 1."""

    count: int

    def describe(self) -> str:
        return f"class indices in [0, {self.count})"

    def outside(self, x: Tensor) -> Tensor:
        return (x < 0) | (x >= self.count)

    def clean(self, x: Tensor) -> bool:
        least, most = torch.aminmax(x)
        return bool(least.item() >= 0 and most.item() < self.count)

    def sample(self, shape: Sequence[int], generator: torch.Generator) -> Tensor:
        return torch.randint(0, self.count, tuple(shape), generator=generator)


@dataclass(frozen=True)
class Simplex(Domain):
    """Probabilities of the classes along `axis`: none below 0, together 1."""

    axis: int
    count: int

    @property
    def neutral(self) -> float:  # type: ignore[override]
        return 1 / self.count

    def describe(self) -> str:
        return "class probabilities, at least 0 and of sum 1"

    def show(self, x: Tensor, bad: Tensor) -> str:
        first = x.movedim(self.axis, -1)[bad][0]
        return f"the first has least value {first.min().item():.4g} and sum {first.sum().item():.4g}"

    def outside(self, x: Tensor) -> Tensor:
        total = x.sum(self.axis)
        return ~((x.amin(self.axis) >= 0) & ((total - 1).abs() <= 5e-3))  # 5e-3: a rounded bfloat16 row still passes

    def sample(self, shape: Sequence[int], generator: torch.Generator) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64).mul(4).softmax(self.axis)
