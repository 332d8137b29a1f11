"""A sample of a table that is larger than the memory it may take, drawn so that every class keeps its share.

The file is read twice in batches: once for its targets alone, which tells how many rows each class has, and once for
the chosen rows. Within a class every set of rows of the same size is as likely as any other (what a reservoir would
give, without what it throws away), and the choice depends on the seed, the counts and the order of the rows alone.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lossmith.compare.data.batches import LIMITS, Batches, batches
from lossmith.compare.data.memory import fixed_bytes, row_bytes, size_text
from lossmith.compare.data.target import MAX_CLASSES, MOST_NUMBERED_CLASSES
from lossmith.errors import InputError
from lossmith.table.cells import MISSING_WORDS, all_numbers
from lossmith.table.frames import check_column
from lossmith.table.reading import located, read_table
from lossmith.text import clean, listing, quote

FEWEST_OF_A_CLASS = 200
FEWEST_ROWS = 1000

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Sampled:
    """How many rows a table has and how many of them were kept, per class where the target has classes.

    ``raised`` names the classes that are in the sample above their share, because their share would have been less
    than ``FEWEST_OF_A_CLASS`` rows. Rows without a target are counted in ``rows_total`` and never kept.
    """

    rows_total: int
    rows_kept: int
    counts_total: dict[str, int]
    counts_kept: dict[str, int]
    without_target: int
    raised: tuple[str, ...]
    bytes_bound: int
    bytes_of_a_row: float
    reason: str

    def describe(self) -> dict[str, Any]:
        """All of it for the results, with its sentences."""
        return {**asdict(self), "raised": list(self.raised), "sentences": self.sentences()}

    @property
    def growth(self) -> float:
        """By how much a standard error is larger than in the whole table, at most about: sqrt(N / n)."""
        return math.sqrt((self.rows_total - self.without_target) / self.rows_kept)

    def sentences(self) -> list[str]:
        """What was done, and what it does to the certainty of the verdict."""
        said = [
            f"{self.reason} The comparison is on {self.rows_kept:,} of them, drawn at random"
            f"{' within each class' if self.counts_total else ''}; standard errors are at most about "
            f"{self.growth:.3g} times as large as on the whole table (the square root of "
            f"{self.rows_total - self.without_target:,} / {self.rows_kept:,})."
        ]
        if self.without_target:
            said.append(f"{self.without_target:,} rows without a target were left out of the sample.")
        if self.counts_total:
            said.append(self.rarest())
        if self.raised:
            said.append(self.shares())
        return said

    def rarest(self) -> str:
        """What the rarest class loses, on which most verdicts hang."""
        name = min(self.counts_total, key=lambda name: self.counts_total[name])
        total, kept = self.counts_total[name], self.counts_kept[name]
        if kept == total:
            return f"The rarest class, {quote(name)}, keeps all of its {total:,} rows."
        return (
            f"The rarest class, {quote(name)}, keeps {kept:,} of {total:,} rows, so its recall is at most about "
            f"{math.sqrt(total / kept):.3g} times as uncertain."
        )

    def shares(self) -> str:
        """Which classes are more frequent in the sample than in the table, and what that biases."""
        name = self.raised[0]
        now = self.counts_kept[name] / self.rows_kept
        share = self.counts_total[name] / sum(self.counts_total.values())
        return (
            f"Above its share, to have at least {FEWEST_OF_A_CLASS} rows or all that there are, is class "
            f"{listing(self.raised)} ({quote(name)}: {share:.2g} of the table, {now:.2g} of the sample); precision, "
            "average precision and probabilities are those of the sample's shares, not of the table's."
        )


def sampled(
    path: str | Path, target: str | None, memory: int, seed: int, *, jobs: int = 1, stratified: bool = True
) -> tuple[pd.DataFrame, Sampled | None]:
    """The table of a file as `read_table` gives it, or a sample of it where all of it would take more than ``memory``.

    How many rows fit: (memory - what ``1 + jobs`` processes take without data) / what a row takes, both as in
    `lossmith.compare.data.memory`. Every class keeps its share of them, and a class whose share would be less than
    ``FEWEST_OF_A_CLASS`` rows keeps that many, or all. A numeric target with many values, no target or
    ``stratified=False`` gives a uniform sample. The index of a sample holds the rows' numbers in the file.

    Raises `InputError` where the file cannot be read, and where ``memory`` is too little for any comparison.
    """
    file = located(path, LIMITS)
    source = batches(file, clean(file, 200), target)
    raw, typed = source.first()
    if target is not None:
        check_column(typed, target, file.name)
    of_a_row = row_bytes(raw, typed, target, jobs)
    size = fitting(memory, of_a_row, jobs)
    if source.most_rows <= size:
        return whole(file, target), None
    strata = Strata.of(source, target, stratified)
    if strata.rows <= size:  # lines were counted, and some were within quotes
        return whole(file, target), None
    if not strata.counts.sum():
        raise InputError(f"column {quote(target)} has no value in any row; give another target.")
    if size < FEWEST_ROWS:
        need = fixed_bytes(jobs) + FEWEST_ROWS * of_a_row
        raise InputError(
            f"memory {size_text(memory)} is too little for {jobs} worker{'s' * (jobs > 1)} and {FEWEST_ROWS:,} rows of "
            f"{clean(file.name)}; give at least {size_text(need * 1.01)} or fewer jobs."
        )
    kept = allocated(strata.counts, size)
    frame = source.kept(target, Draw(strata, kept, seed))
    return frame, strata.outcome(kept, size, memory, of_a_row)


def whole(path: Path, target: str | None) -> pd.DataFrame:
    """All of a table that fits, however many rows that is."""
    return read_table(path, () if target is None else (target,), LIMITS)


def fitting(memory: int, of_a_row: float, jobs: int) -> int:
    """How many rows fit into the memory."""
    return max(0, math.floor((memory - fixed_bytes(jobs)) / of_a_row))


class Strata:
    """The classes of a target with their numbers of rows, or one stratum of all rows that have a target."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.counts: Rows = np.zeros(0, np.int64)
        self.rows = 0
        self.uniform = False

    @classmethod
    def of(cls, source: Batches, target: str | None, stratified: bool) -> "Strata":
        """Counted in one pass over the targets."""
        strata = cls()
        strata.uniform = target is None or not stratified
        for column in source.targets(target):
            strata.count(column)
        if not strata.uniform and strata.are_amounts():
            strata.merge()
        return strata

    def count(self, column: pd.Series) -> None:
        """Count the targets of one batch; past ``MAX_CLASSES`` of them they are no classes."""
        numbers = self.of_rows(column)
        found = np.bincount(numbers[numbers >= 0], minlength=max(len(self.numbers), len(self.counts)))
        found[: len(self.counts)] += self.counts
        self.counts, self.rows = found, self.rows + len(column)
        if len(self.numbers) > MAX_CLASSES:
            self.merge()

    def merge(self) -> None:
        """Make one stratum of all."""
        self.uniform, self.numbers, self.counts = True, {}, self.counts.sum(keepdims=True)

    def are_amounts(self) -> bool:
        """True of many distinct numbers, which are something to regress on."""
        words = pd.Series([name for name in self.numbers if name.strip().lower() not in MISSING_WORDS], dtype="object")
        return len(words) > MOST_NUMBERED_CLASSES and all_numbers(words)

    def of_rows(self, column: pd.Series) -> Rows:
        """The number of every row's stratum, and -1 where the target is missing."""
        if self.uniform:
            return np.where(column.notna(), 0, -1)
        codes, distinct = pd.factorize(column)
        known = [self.numbers.setdefault(class_name(value), len(self.numbers)) for value in distinct]
        rows: Rows = np.array([*known, -1], np.int64)[codes]
        return rows

    def outcome(self, kept: Rows, size: int, memory: int, of_a_row: float) -> Sampled:
        """What is said of a sample with so many rows of each stratum."""
        names = {} if self.uniform else self.numbers
        above = kept > np.ceil(self.counts * (size / self.counts.sum()))
        return Sampled(
            rows_total=self.rows,
            rows_kept=int(kept.sum()),
            counts_total={name: int(self.counts[number]) for name, number in names.items()},
            counts_kept={name: int(kept[number]) for name, number in names.items()},
            without_target=self.rows - int(self.counts.sum()),
            raised=tuple(name for name, number in names.items() if above[number]),
            bytes_bound=memory,
            bytes_of_a_row=of_a_row,
            reason=(
                f"The table has {self.rows:,} rows, each of which takes about {size_text(of_a_row)} in all processes "
                f"together, and about {size:,} fit into {size_text(memory)}."
            ),
        )


def class_name(value: Any) -> str:
    """A class by the name that the task gives it.

    >>> class_name(1.0), class_name(True), class_name("1.0")
    ('1', 'True', '1.0')
    """
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)
    return f"{float(value):.15g}" if number else str(value)


def allocated(counts: Rows, size: int) -> Rows:
    """How many rows of each stratum to keep: its share, but not less than ``FEWEST_OF_A_CLASS`` or all it has.

    >>> allocated(np.array([90_000, 9_900, 100]), 10_000).tolist()
    [8918, 981, 100]

    The 100 rows of the last class stay; 9,900 are left, of which 90,000 / 99,900 are the first class's.
    """
    least = np.minimum(counts, FEWEST_OF_A_CLASS)
    if least.sum() > size:
        raise InputError(
            f"memory is too little for {FEWEST_OF_A_CLASS} rows of each of {len(counts)} classes "
            f"({size:,} rows fit); give more."
        )
    if counts.sum() <= size:
        return counts
    raised = np.zeros(len(counts), bool)
    while True:
        share = counts * ((size - least[raised].sum()) / counts[~raised].sum())
        below = ~raised & (share < least)
        if not below.any():
            return np.where(raised, least, np.floor(share)).astype(np.int64)
        raised |= below


class Draw:
    """Which rows of each batch are in the sample; batches have to come in the order of the file."""

    def __init__(self, strata: Strata, kept: Rows, seed: int) -> None:
        self.strata = strata
        self.seen = np.zeros(len(kept), np.int64)
        self.ordinals = [
            drawn(int(total), int(wanted), np.random.default_rng([seed, number]))
            for number, (total, wanted) in enumerate(zip(strata.counts, kept, strict=True))
        ]

    def __call__(self, column: pd.Series) -> Rows:
        """The row numbers within a batch, in order."""
        numbers = self.strata.of_rows(column)
        return np.sort(np.concatenate([np.zeros(0, np.int64), *self.of_each(numbers)]))

    def of_each(self, numbers: Rows) -> Iterator[Rows]:
        """The same, stratum by stratum."""
        for stratum in np.unique(numbers[numbers >= 0]):
            places = np.flatnonzero(numbers == stratum)
            seen, ordinals = self.seen[stratum], self.ordinals[stratum]
            first, last = np.searchsorted(ordinals, [seen, seen + len(places)])
            yield places[ordinals[first:last] - seen]
            self.seen[stratum] += len(places)


def drawn(total: int, wanted: int, generator: np.random.Generator) -> Rows:
    """``wanted`` of the numbers 0 .. ``total`` - 1, ascending, every such set as likely as any other.

    NumPy's own choice would take 8 bytes for each of ``total``; this takes them for each of ``wanted``.
    """
    if 2 * wanted > total:
        mask = np.ones(total, bool)
        mask[drawn(total, total - wanted, generator)] = False
        return np.flatnonzero(mask)
    found = np.zeros(0, np.int64)
    while len(found) < wanted:
        found = np.union1d(found, generator.integers(total, size=wanted - len(found) + 16))
    return np.sort(generator.choice(found, wanted, replace=False))
