"""A table to compare losses on, from a file, a data frame or arrays: refused with one sentence where it cannot be."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lossmith.errors import InputError
from lossmith.table.frames import array_of, check_cells, check_column, frame_of, named
from lossmith.table.reading import read_table
from lossmith.text import clean, listing, quote


@dataclass(frozen=True)
class Table:
    """What was given: a frame with unique text names for its columns, and which of them is the target."""

    frame: pd.DataFrame
    target: str
    source: str


def load(data: Any, target: str | None, y: Any = None) -> Table:
    """The table from a path, a data frame or a pair of arrays, with its target checked."""
    if isinstance(data, str | Path):
        frame, source = read_table(data, () if target is None else (target,)), Path(data).name
    else:
        frame, source = frame_of(data), "table"
    if y is not None:
        frame, target = with_target(frame, y, target)
    table = Table(named(frame, source), str(target), source)
    check_target(table, target)
    check_values(table)
    return table


def with_target(frame: pd.DataFrame, y: Any, target: str | None) -> tuple[pd.DataFrame, str]:
    """The features with the labels beside them; a target that is given too becomes the labels' name."""
    said = f"y must hold one label for each of the {len(frame):,} rows"
    labels = array_of(y, f"{said}.")
    if labels.shape != (len(frame),):
        raise InputError(f"{said}, not shape {labels.shape}.")
    name = str(target if target is not None else getattr(y, "name", None) or "target")
    if name in map(str, frame.columns):
        raise InputError(f"the features already have a column {quote(name)}; give either y or the target's name.")
    return frame.assign(**{name: labels}), name


def check_target(table: Table, target: str | None) -> None:
    """The target is named, is there, and leaves at least one feature."""
    columns = list(table.frame.columns)
    if target is None:
        raise InputError(f"no target given; name the column to predict, one of {listing(columns)}.")
    check_column(table.frame, table.target, table.source)
    if len(columns) < 2:
        raise InputError(f"{clean(table.source)} has no column beside the target {quote(table.target)}.")


def check_values(table: Table) -> None:
    """No column without a single value, and nothing in a cell that holds several."""
    empty = [name for name in table.frame.columns if table.frame[name].isna().all()]
    if empty:
        raise InputError(f"column {listing(empty)} has no value in any row; remove it.")
    check_cells(table.frame)
