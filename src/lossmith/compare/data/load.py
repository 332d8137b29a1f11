"""A table to compare losses on, from a file, a data frame or arrays: refused with one sentence where it cannot be."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lossmith.compare.data.sample import Sampled, sampled
from lossmith.errors import InputError
from lossmith.table.frames import array_of, check_cells, check_column, frame_of, named
from lossmith.table.reading import read_table
from lossmith.text import clean, listing, quote


@dataclass(frozen=True)
class Roles:
    """What columns other than the target and the features are for, and how the target is read."""

    group: str | None = None
    time: str | None = None
    weight: str | None = None
    slices: tuple[str, ...] = ()
    separator: str | None = None
    task: str = "auto"
    text_model: str | None = None

    @property
    def used(self) -> tuple[str, ...]:
        """The columns that have a role and are no features."""
        return tuple(name for name in (self.group, self.time, self.weight) if name is not None)


@dataclass(frozen=True)
class Room:
    """The bytes that a comparison may take in all its processes, and the seed of a sample that keeps to them."""

    memory: int
    jobs: int
    seed: int


@dataclass(frozen=True)
class Table:
    """What was given: a frame with unique names of columns, what these are for, and which rows are for test."""

    frame: pd.DataFrame
    targets: tuple[str, ...]
    source: str
    roles: Roles = Roles()
    test: NDArray[np.bool_] | None = None
    sampled: Sampled | None = None

    @property
    def target(self) -> str:
        """The target's name, or all of them."""
        return ", ".join(self.targets)


def load(
    data: Any,
    target: str | Sequence[str] | None,
    y: Any = None,
    roles: Roles = Roles(),
    test: Any = None,
    room: Room | None = None,
) -> Table:
    """The table from a path, a data frame or a pair of arrays, with its target and roles checked.

    Of a file that is larger than there is ``room`` for, a sample is taken.
    """
    targets = () if target is None else (target,) if isinstance(target, str) else tuple(map(str, target))
    frame, source, drawn = read(data, targets, room)
    if y is not None:
        frame, targets = with_target(frame, y, targets)
    frame = named(frame, source)
    given = None
    if test is not None:
        frame, given = with_test(frame, named(read(test, targets)[0], "the test table"))
    table = Table(frame, targets, source, roles, given, drawn)
    check_target(table)
    check_roles(table)
    check_values(table)
    return table


def read(data: Any, targets: tuple[str, ...], room: Room | None = None) -> tuple[pd.DataFrame, str, Sampled | None]:
    """A frame, what to call it, and how it was sampled."""
    if not isinstance(data, str | Path):
        return frame_of(data), "table", None
    if room is None:
        return read_table(data, targets), Path(data).name, None
    target = targets[0] if len(targets) == 1 else None
    frame, drawn = sampled(data, target, room.memory, room.seed, jobs=room.jobs)
    return frame, Path(data).name, drawn


def with_target(frame: pd.DataFrame, y: Any, targets: tuple[str, ...]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The features with the labels beside them; a target that is given too becomes the labels' name."""
    said = f"y must hold one label for each of the {len(frame):,} rows"
    labels = array_of(y, f"{said}.")
    if labels.shape != (len(frame),):
        raise InputError(f"{said}, not shape {labels.shape}.")
    name = targets[0] if targets else str(getattr(y, "name", None) or "target")
    if name in map(str, frame.columns):
        raise InputError(f"the features already have a column {quote(name)}; give either y or the target's name.")
    return frame.assign(**{name: labels}), (name,)


def with_test(frame: pd.DataFrame, test: pd.DataFrame) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """Both tables as one, and which of its rows are for test; columns that only one of them has are refused."""
    odd = [*frame.columns.difference(test.columns), *test.columns.difference(frame.columns)]
    if odd:
        raise InputError(f"column {listing(odd)} is in one of the two tables only; both need the same columns.")
    for name in frame.columns:
        one, other = (pd.api.types.is_numeric_dtype(table[name].dtype) for table in (frame, test))
        if one != other and table_is_there(frame[name]) and table_is_there(test[name]):
            words = "the test table" if one else "the training table"
            raise InputError(f"column {quote(name)} holds words in {words} and numbers in the other; make them alike.")
    whole = pd.concat([frame, test[frame.columns]], ignore_index=True)
    return whole, np.arange(len(whole)) >= len(frame)


def table_is_there(column: pd.Series) -> bool:
    """Whether any cell has a value."""
    return bool(column.notna().any())


def check_target(table: Table) -> None:
    """The target is named, is there, and leaves at least one feature."""
    columns = list(table.frame.columns)
    if not table.targets:
        raise InputError(f"no target given; name the column to predict, one of {listing(columns)}.")
    for name in table.targets:
        check_column(table.frame, name, table.source)
    if len(set(table.targets)) < len(table.targets):
        raise InputError(f"a target is given twice: {listing(table.targets)}.")
    if len(columns) <= len(table.targets):
        raise InputError(f"{clean(table.source)} has no column beside the target {quote(table.target)}.")


def check_roles(table: Table) -> None:
    """Columns with a role are there, and have one role each."""
    roles = table.roles
    given = roles.used
    for name in (*given, *roles.slices):
        check_column(table.frame, name, table.source)
    doubled = [name for name in given if name in table.targets or given.count(name) > 1]
    if doubled:
        raise InputError(f"column {quote(doubled[0])} is given two roles; it can have one.")
    if roles.time and table.test is not None:
        raise InputError("give either a test table or a time column: both say which rows are for test.")


def check_values(table: Table) -> None:
    """No column without a single value, and nothing in a cell that holds several."""
    empty = [name for name in table.frame.columns if table.frame[name].isna().all()]
    if empty:
        raise InputError(f"column {listing(empty)} has no value in any row; remove it.")
    check_cells(table.frame)
