"""Columns of numbers from whatever holds them; rows with gaps are counted and left out, the rest is checked."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lossmith.errors import InputError
from lossmith.table.frames import array_of
from lossmith.text import quote

Floats = NDArray[np.float64]
MOST_COLUMNS = 20
LARGEST = 1e140  # the square of a difference, summed over any table, is still a number


@dataclass(frozen=True)
class Rows:
    """Rows without gaps: x is [n, columns]; weights are None where all rows weigh the same."""

    x: Floats
    y: Floats
    weight: Floats | None
    names: tuple[str, ...]
    y_name: str
    left_out: int


def rows_of(x: Any, y: Any, weight: Any = None) -> Rows:
    """Arrays, lists, tensors or columns of a data frame as rows.

    Raises `InputError` in one sentence for lengths that differ, words, infinite numbers, an x that is constant.
    """
    columns = columns_of(x)
    names = [str(column.name) for column in columns]
    target = column_of(y, "y")
    others = [] if weight is None else [column_of(weight, "weight")]
    for column in [*columns, *others]:
        if len(column) != len(target):
            what = f"{quote(column.name)} has {len(column):,} values and {quote(target.name)} has {len(target):,}"
            raise InputError(f"{what}; give one of each per row.")
    table = np.column_stack([numbers(column) for column in [*columns, target, *others]])
    whole = ~np.isnan(table).any(1)
    if weight is not None:
        negative = whole & (table[:, -1] < 0)
        refuse(others[0].name, negative, "holds a negative weight", "weights are 0 or more")
        if not (table[whole, -1] > 0).any() and whole.any():
            raise InputError("all weights are 0; give some row a weight.")
        whole &= table[:, -1] != 0
    kept, width = table[whole], len(columns)
    if len(kept) < 2:
        raise InputError(f"there are {len(kept)} rows with a number in every column that is needed; give more.")
    for k, name in enumerate(names):
        if np.ptp(kept[:, k]) == 0:
            raise InputError(f"{quote(name)} is {kept[0, k]:g} in all rows; a curve needs an x that varies.")
    gaps = int(np.isnan(table).any(1).sum())
    return Rows(
        kept[:, :width], kept[:, width], None if weight is None else kept[:, -1], tuple(names), str(target.name), gaps
    )


def columns_of(x: Any) -> list[pd.Series]:
    """The columns of x with their names: those of a data frame, else x, or x1, x2 ..."""
    if isinstance(x, pd.DataFrame):
        found = [x[name].reset_index(drop=True).rename(str(name)) for name in x.columns]
    elif isinstance(x, pd.Series):
        found = [column_of(x, "x")]
    else:
        array = array_of(x, "x must hold numbers, one for each row, or rows of columns.")
        if array.ndim not in (1, 2):
            raise InputError(f"x must be one number for each row, or rows of columns, not of shape {array.shape}.")
        array = array[:, None] if array.ndim == 1 else array
        names = ["x"] if array.shape[1] == 1 else [f"x{k + 1}" for k in range(array.shape[1])]
        found = [pd.Series(array[:, k], name=name) for k, name in enumerate(names)]
    if not 1 <= len(found) <= MOST_COLUMNS:
        raise InputError(f"x has {len(found)} columns; give 1 to {MOST_COLUMNS}.")
    return found


def column_of(values: Any, name: str) -> pd.Series:
    """One column, under its own name where it has one."""
    if isinstance(values, pd.Series):
        return values.reset_index(drop=True).rename(str(values.name) if values.name is not None else name)
    array = array_of(values, f"{name} must hold one number for each row.")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InputError(f"{name} must be one number for each row, not of shape {array.shape}.")
    return pd.Series(array, name=name)


def numbers(column: pd.Series) -> Floats:
    """The numbers of a column, NaN where there is a gap."""
    name, gaps = column.name, column.isna().to_numpy()
    if pd.api.types.is_bool_dtype(column.dtype) or not pd.api.types.is_numeric_dtype(column.dtype):
        values = pd.to_numeric(column.astype(str).str.strip(), errors="coerce")
        words = values.isna().to_numpy() & ~gaps
        if words.any():
            said = f"holds {quote(column[words].iloc[0])}, which is no number,"
            refuse(name, words, said, "correct it or choose another column")
        column = values
    elif np.iscomplexobj(column.to_numpy()):
        raise InputError(f"column {quote(name)} holds complex numbers; give real ones.")
    found: Floats = column.to_numpy(dtype="float64", na_value=np.nan)
    refuse(name, np.isinf(found), "holds an infinite number", "correct it or remove the row")
    refuse(name, np.abs(found) > LARGEST, f"holds a number above {LARGEST:g}", "correct it")
    return np.where(gaps, np.nan, found)


def refuse(name: Any, bad: NDArray[np.bool_], what: str, advice: str) -> None:
    """One sentence where any row is bad, with their number and the first of them; rows count from 1."""
    found = np.flatnonzero(bad)
    if found.size:
        where = f"in row {found[0] + 1}" if found.size == 1 else f"in {found.size:,} rows, first in row {found[0] + 1}"
        raise InputError(f"column {quote(name)} {what} {where}; {advice}.")
