"""Columns as labels, numbers or texts, or one sentence about the first cell that is none."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lossmith.errors import InputError
from lossmith.metrics.labels import LARGEST
from lossmith.text import quote

Floats = NDArray[np.float64]


def refuse(name: str, bad: "pd.Series[bool] | NDArray[np.bool_]", what: str, advice: str) -> None:
    """One sentence where any row is bad, with their number and the first of them; rows count from 1, after a header."""
    rows = np.flatnonzero(np.asarray(bad))
    if rows.size:
        where = f"in row {rows[0] + 1}" if rows.size == 1 else f"in {rows.size:,} rows, first in row {rows[0] + 1}"
        raise InputError(f"column {quote(name)} {what} {where}; {advice}.")


def refuse_missing(column: pd.Series) -> None:
    """Every row has a value."""
    refuse(str(column.name), column.isna(), "has no value", "fill it in or remove the row")


def is_numeric(column: pd.Series) -> bool:
    """True of numbers, and not of truth values."""
    return bool(pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype))


def labels_of(column: pd.Series) -> list[str]:
    """Labels as text: 1 and 1.0 are the same number, and words stay as they are."""
    refuse_missing(column)
    if is_numeric(column):
        infinite = np.isinf(column.to_numpy(dtype="float64"))
        refuse(str(column.name), infinite, "holds an infinite label", "correct it")
        return [f"{value:.15g}" for value in column.to_numpy(dtype="float64").tolist()]
    return [str(cell) for cell in column]


def numbers_of(column: pd.Series) -> Floats:
    """Finite numbers that can be squared."""
    name = str(column.name)
    refuse_missing(column)
    if pd.api.types.is_bool_dtype(column.dtype) or not pd.api.types.is_numeric_dtype(column.dtype):
        values = pd.to_numeric(column.astype(str).str.strip(), errors="coerce")
        words = values.isna().to_numpy() & ~column.astype(str).str.fullmatch(r"(?i)\s*nan\s*").to_numpy()
        if words.any():
            refuse(name, words, f"holds {quote(column[words].iloc[0])}, which is no number,", "give numbers alone")
        refuse(name, values.isna(), "holds NaN", "fill it in or remove the row")
        column = values
    found: Floats = column.to_numpy(dtype="float64")
    refuse(name, ~np.isfinite(found), "holds an infinite number", "correct it")
    refuse(name, np.abs(found) > LARGEST, f"holds a number above {LARGEST:g}", "correct it")
    return found


def texts_of(column: pd.Series) -> list[str]:
    """Texts; an empty cell is an empty text."""
    return ["" if missing else str(cell) for cell, missing in zip(column, column.isna(), strict=True)]


def in_order(labels: Iterable[str]) -> list[str]:
    """Distinct labels, sorted as numbers where all are numbers and as text otherwise.

    >>> in_order(["10", "9"]), in_order(["b", "10", "9"])
    (['9', '10'], ['10', '9', 'b'])
    """
    distinct = sorted(set(labels))
    try:
        return sorted(distinct, key=float)
    except ValueError:
        return distinct
