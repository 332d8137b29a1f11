"""Repeated splits: 60 % to train, 20 % to choose on, 20 % to judge on, unless time or given test rows say otherwise.

A split depends on the target, the groups or times, the seed and the repeat alone, so every arm of a repeat sees the
same rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lossmith.compare.data import dealing
from lossmith.errors import InputError
from lossmith.text import quote

HELD_OUT = 0.2
SHARES = (1 - 2 * HELD_OUT, HELD_OUT, HELD_OUT)
SHARES_BESIDE_TEST = (0.75, 0.25)  # of the rows that are not given as test rows
NEEDED_ROWS = 5  # the fewest rows of a class that put 3 into training and 1 each into validation and test
TESTED = 0.5  # the last part of the rows in time order, which the windows of all repeats share
FEWEST_OF_A_WINDOW = 5
MOST_REPEATS_TRIED = 50
PARTS = ("training", "validation", "test")

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
Target = NDArray[Any]  # classes int64 [N], numbers float64 [N] or labels int8 [N, L]


class Split(NamedTuple):
    """The row numbers of the three parts."""

    train: Rows
    validation: Rows
    test: Rows


def split(labels: NDArray[np.int64], seed: int, repeat: int) -> Split:
    """The stratified split of one repeat; each class is in each part in its own share, with at least one row."""
    return Splitter(labels, seed, repeat + 1).rows(repeat)


@dataclass(frozen=True, eq=False)
class Splitter:
    """How rows are split: made from arrays and numbers alone, and again the same wherever it is made from them.

    ``groups``: a code for each row, and rows of one code are never in two parts; ``times``: float64 [N], trained on
    the past and judged on the future; ``test``: which rows are judged on in every repeat; ``names``: of the classes or
    labels, for the errors.

    >>> Splitter(np.arange(10) % 2, seed=0, repeats=8).rows(0).test.tolist()
    [2, 7]

    Raises `InputError` where a part would lack rows or a class, or training a label; a label that fewer than three rows
    have may be lacking, and so may any label in validation and test.
    """

    target: Target
    seed: int
    repeats: int
    groups: Rows | None = None
    times: Floats | None = None
    test: NDArray[np.bool_] | None = None
    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.times is not None:
            self.check_alone()
            self.check_windows()
        if self.test is not None:
            self.check_given()
        if self.groups is not None:
            self.check_groups(self.groups)
            self.rows(0)

    def rows(self, repeat: int) -> Split:
        """The sorted row numbers of one repeat, 0 up to ``repeats``."""
        generator = np.random.default_rng([self.seed, repeat])
        if self.times is not None:
            order, bounds = windows(self.times, self.repeats)
            first, middle, last = bounds[repeat : repeat + 3]
            return Split(*(np.sort(rows) for rows in (order[:first], order[first:middle], order[middle:last])))
        if self.test is None:
            parts = self.deal(np.arange(len(self.target)), SHARES, generator)
        else:
            free = np.flatnonzero(~self.test)
            parts = np.full(len(self.target), 2)
            parts[free] = self.deal(free, SHARES_BESIDE_TEST, generator)
        chosen = Split(*(np.flatnonzero(parts == part) for part in range(3)))
        self.check_parts(chosen)
        return chosen

    def deal(self, rows: Rows, shares: dealing.Shares, generator: np.random.Generator) -> Rows:
        """The part of each of these rows."""
        target = self.target[rows]
        if target.dtype.kind == "f":  # the ranges of these rows: given test rows say nothing about the others
            target = dealing.ranges(target)
        if self.groups is not None:
            groups = np.unique(self.groups[rows], return_inverse=True)[1]
            return dealing.by_group(dealing.tally(groups, target), shares, generator)[groups]
        return (dealing.by_labels if target.ndim == 2 else dealing.by_class)(target, shares, generator)

    def describe(self) -> str:
        """How rows are split, in one sentence for the report."""
        if self.times is not None:
            return (
                f"Rows are in the order of time: each of {self.repeats} repeats is judged on the next window of the "
                f"last {100 * window_share(self.repeats) * self.repeats:.0f} %, chooses on the window before it and "
                "trains on all that is earlier."
            )
        what = f"whole groups ({len(np.unique(self.groups)):,} in all)" if self.groups is not None else "the rows"
        if self.test is None:
            return f"Each repeat splits {what} anew, 60 % to train, 20 % to choose on, 20 % to judge on, {self.manner}."
        what = "whole groups" if self.groups is not None else "rows"
        return (
            f"Every repeat is judged on the same {int(self.test.sum()):,} given test rows; of the others 75 % of the "
            f"{what} train and 25 % are chosen on, split anew each time, {self.manner}."
        )

    @property
    def manner(self) -> str:
        """What keeps the parts alike."""
        near = "" if self.groups is None else "as near as whole groups allow "
        if self.target.ndim == 2:
            return f"with each label {near}in its own share"
        if self.target.dtype.kind == "f":
            return f"with low and high values of the target {near}in equal shares"
        if not self.target.any():  # of masks, which have no class as a whole
            return "at random"
        return f"with each class {near}in its own share"

    def lacking(self, rows: Rows, part: str) -> list[int]:
        """The classes that these rows lack; of labels, the ones that training does not have although three rows do."""
        if self.target.dtype.kind == "f" or (self.target.ndim == 2 and part != "training"):
            return []
        if self.target.ndim == 2:
            common = (self.target > 0).sum(axis=0) >= dealing.FEWEST_OF_A_LABEL
            return np.flatnonzero(common & ~(self.target[rows] > 0).any(axis=0)).tolist()
        return np.flatnonzero(np.bincount(self.target[rows], minlength=int(self.target.max()) + 1) == 0).tolist()

    def named(self, index: int) -> str:
        """A class or a label as the sentences call it."""
        kind = "label" if self.target.ndim == 2 else "class"
        return f"{kind} {quote(self.names[index])}" if len(self.names) else f"{kind} number {index}"

    def check_parts(self, chosen: Split) -> None:
        """Every part has rows, and of every class."""
        for part, rows in zip(PARTS, chosen, strict=True):
            if not len(rows):
                raise InputError(
                    f"the {part} part of a split has no row; {counted(len(self.target))} cannot be split so."
                )
            for index in self.lacking(rows, part):
                raise InputError(
                    f"no row of {self.named(index)} is in the {part} part of a split; merge it with another, leave it "
                    "out, or split in another way."
                )

    def check_alone(self) -> None:
        """Time says everything about a split."""
        if self.groups is not None:
            raise InputError("a window of time cuts groups in two; split either by groups or by time.")
        if self.test is not None:
            raise InputError("given test rows leave no window of time to judge on; give either them or a time.")

    def check_windows(self) -> None:
        """Every window has rows, and training before the first one too; the sentence says how many repeats would do."""
        assert self.times is not None
        missing = int((~np.isfinite(self.times)).sum())
        if missing:
            raise InputError(f"the time is missing in {counted(missing)}; fill it in or leave them out.")
        fault = self.fault_of_windows(self.repeats)
        if fault:
            near = sorted(range(1, MOST_REPEATS_TRIED + 1), key=lambda count: abs(count - self.repeats))
            works = next((count for count in near if not self.fault_of_windows(count)), None)
            hint = (
                f"{works} would do" if works else f"no number up to {MOST_REPEATS_TRIED} would do; split without time"
            )
            raise InputError(f"time order with {self.repeats} repeats {fault}; {hint}.")

    def fault_of_windows(self, repeats: int) -> str:
        """What is wrong with the windows of so many repeats, or nothing."""
        assert self.times is not None
        order, bounds = windows(self.times, repeats)
        parts = np.split(order, bounds[:-1])
        if min(map(len, parts)) < FEWEST_OF_A_WINDOW:
            return f"leaves a part with fewer than {FEWEST_OF_A_WINDOW} rows"
        for number, rows in enumerate(parts):
            part = ("training", "validation")[number] if number < 2 else "test"
            for index in self.lacking(rows, part):
                return f"leaves {part} rows of one of them without {self.named(index)}"
        return ""

    def check_given(self) -> None:
        """The other rows are enough to train and to choose on."""
        assert self.test is not None
        if not self.test.any() or self.test.all():
            raise InputError("test rows must be given beside rows to train on; there are only the one or the other.")
        for index in self.lacking(np.flatnonzero(self.test), "test"):
            raise InputError(f"the given test rows have no row of {self.named(index)}; add some, or leave it out.")
        if self.target.ndim == 2 or self.target.dtype.kind == "f":
            return
        counts = np.bincount(self.target[~self.test], minlength=int(self.target.max()) + 1)
        smallest = int(np.argmin(counts))
        if counts[smallest] < NEEDED_ROWS - 1:
            raise InputError(
                f"{self.named(smallest)} has {counted(counts[smallest])} beside the given test rows, but at least "
                f"{NEEDED_ROWS - 1} are needed to train and to choose on; merge it with another class or leave it out."
            )

    def check_groups(self, groups: Rows) -> None:
        """Enough groups, and enough of each class, for every part to have one."""
        free = np.ones(len(groups), np.bool_) if self.test is None else ~self.test
        shared = np.intersect1d(groups[free], groups[~free])
        if len(shared):
            raise InputError(
                f"the given test rows share {counted(len(shared), 'group')} with the others; give each to one side."
            )
        needed = 3 if self.test is None else 2
        found = len(np.unique(groups[free]))
        if found < needed:
            raise InputError(
                f"there are rows of {counted(found, 'group')} only to split; at least {needed} are needed."
            )
        if self.target.ndim == 1 and self.target.dtype.kind != "f":
            for label in range(int(self.target.max()) + 1):
                found = len(np.unique(groups[free & (self.target == label)]))
                if found < needed:
                    raise InputError(
                        f"{self.named(label)} is in {counted(found, 'group')} only, but {needed} are needed for "
                        "all parts; merge it with another class, leave it out, or split without groups."
                    )


def counted(number: int, what: str = "row") -> str:
    """A number of things.

    >>> counted(1), counted(2000, "group")
    ('1 row', '2,000 groups')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def window_share(repeats: int) -> float:
    """The share of the rows that one window has; a single one is no larger than a test part is otherwise."""
    return min(TESTED / repeats, HELD_OUT)


def windows(times: Floats, repeats: int) -> tuple[Rows, Rows]:
    """The rows in the order of time, and where in it the first validation window and each test window starts; the end.

    Repeat j trains before bound j, chooses before bound j + 1 and tests before bound j + 2. A bound among rows of one
    time moves to the nearer end of them.

    >>> windows(np.arange(20.0), 5)[1].tolist()
    [8, 10, 12, 14, 16, 18, 20]
    """
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    wanted = np.round(len(times) * (1 - window_share(repeats) * np.arange(repeats + 1, 0, -1))).astype(np.int64)
    wanted = np.minimum(wanted, len(times) - 1)
    low, high = (np.searchsorted(ordered, ordered[wanted], side) for side in ("left", "right"))
    return order, np.append(np.where(wanted - low <= high - wanted, low, high), len(times))
