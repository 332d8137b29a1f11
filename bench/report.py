"""What a suite found: text, tables and timings, as Markdown and as JSON of the same rows."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Table:
    """A table of cells as they are printed."""

    header: list[str]
    cells: list[list[str]]

    def __str__(self) -> str:
        lines = [self.header, ["---"] * len(self.header), *self.cells]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def data(self) -> list[dict[str, str]]:
        return [dict(zip(self.header, line, strict=True)) for line in self.cells]


@dataclass(frozen=True)
class Found:
    """Something that was asked for, and what there is."""

    what: str
    most: float
    found: float | None = None  # None: what it is a share of was not measured

    @property
    def met(self) -> bool:
        return self.found is not None and self.found <= self.most

    def __str__(self) -> str:
        if self.found is None:
            return f"{self.what}: not measured, asked at most {self.most:g}"
        text = f"{self.what}: {self.found:.3g}, asked at most {self.most:g}"
        return text if self.met else f"**{text}: missed**"


@dataclass(frozen=True)
class Row:
    """One way to compute a case: seconds of a forward and a backward pass, and what they are to be seen against."""

    case: str
    way: str
    seconds: float = math.nan  # the median
    quartiles: tuple[float, float] = (math.nan, math.nan)
    rounds: int = 0
    of_first: float = math.nan  # time over that of the first way of the case
    floor: float = math.nan  # seconds, from the yardsticks of the same turns
    memory: int | None = None  # bytes beyond inputs and gradients
    off: float | None = None  # the value's relative difference from the first way's
    asked: tuple[Found, ...] = ()
    note: str = ""  # why it was not measured

    @property
    def of_floor(self) -> float:
        return self.seconds / self.floor

    def cells(self) -> list[str]:
        if self.note:
            return [self.case, self.way, self.note, *[""] * 5, "; ".join(map(str, self.asked))]
        low, high = (1000 * value for value in self.quartiles)
        return [
            self.case,
            self.way,
            milliseconds(1000 * self.seconds),
            f"{milliseconds(low)} to {milliseconds(high)}",
            ratio(self.of_first),
            ratio(self.of_floor),
            "" if self.memory is None else f"{self.memory / 1e6:.0f}",
            "" if self.off is None else f"{self.off:.0e}",
            "; ".join(map(str, self.asked)),
        ]

    def data(self) -> dict[str, Any]:
        facts = dataclasses.asdict(self) | {"of_floor": self.of_floor}
        facts["asked"] = [dataclasses.asdict(one) | {"met": one.met} for one in self.asked]
        return {name: _finite(value) for name, value in facts.items()}


HEADER = ["case", "way", "ms", "quartiles, ms", "/ first", "/ floor", "extra MB", "value off by", "asked"]


@dataclass(frozen=True)
class Timings:
    """Rows that took turns, and the ceilings of the machine in the same turns."""

    rows: list[Row]
    ceilings: dict[str, float] = field(default_factory=dict)  # 1e9 per second, by the yardstick's name and unit

    def __str__(self) -> str:
        table = str(Table(HEADER, [row.cells() for row in self.rows]))
        said = "; ".join(f"{name} {value:.3g}" for name, value in self.ceilings.items())
        return f"{table}\n\nCeilings in the same turns: {said}."

    def data(self) -> dict[str, Any]:
        return {"ceilings": self.ceilings, "rows": [row.data() for row in self.rows]}


Part = str | Table | Timings


def markdown(parts: Sequence[Part]) -> str:
    """The parts, one below the other."""
    return "\n\n".join(map(str, parts))


def data(parts: Sequence[Part]) -> list[Any]:
    """The parts for JSON: a text is itself, a table a list of rows."""
    return [part if isinstance(part, str) else part.data() for part in parts]


def ratio(value: float) -> str:
    """Two digits after the point, none from 100 on.

    >>> ratio(0.4321), ratio(123.45)
    ('0.43', '123')
    """
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def milliseconds(value: float) -> str:
    """Three digits or all before the point.

    >>> milliseconds(0.12345), milliseconds(12.345), milliseconds(1234.5)
    ('0.123', '12.3', '1234')
    """
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _finite(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return [_finite(one) for one in value] if isinstance(value, tuple) else value
