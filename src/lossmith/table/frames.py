"""Data frames from whatever holds rows and columns, their names and cells checked."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from lossmith.errors import InputError
from lossmith.table.reading import MAX_CELLS, MAX_COLUMNS, check_duplicates, check_limit
from lossmith.text import clean, listing, quote, suggestion

ODD_CELLS = (list, tuple, dict, set, bytes, np.ndarray)


def frame_of(data: Any) -> pd.DataFrame:
    """A data frame from a frame of any library that offers ``to_pandas``, or from a two-dimensional array."""
    if isinstance(data, pd.DataFrame):
        return data.reset_index(drop=True)
    if hasattr(data, "to_pandas"):
        return pd.DataFrame(data.to_pandas()).reset_index(drop=True)
    array = array_of(data, "data must be a path, a data frame or a two-dimensional array of features.")
    if array.ndim != 2:
        raise InputError(f"data must be a path, a data frame or an array of rows and columns, not shape {array.shape}.")
    return pd.DataFrame(array, columns=[f"x{column}" for column in range(array.shape[1])])


def array_of(data: Any, said: str) -> "np.ndarray[Any, Any]":
    """An array from whatever offers to be one; a sparse matrix does not, and a tensor may refuse to."""
    if hasattr(data, "toarray"):
        raise InputError(f"{said.rstrip('.')}; make the sparse matrix a dense one with its toarray().")
    try:
        data = data.detach().cpu() if hasattr(data, "detach") else data
        # NumPy would make the text "nan" of what is missing among words, and a text of a number
        return pd.Series(data).to_numpy() if isinstance(data, list | tuple) and is_flat(data) else np.asarray(data)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(said) from error


def is_flat(data: Sequence[Any]) -> bool:
    """True of plain values, none of which holds others."""
    return all(np.isscalar(value) or value is None for value in data)


def named(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """The frame with text for column names, each there once."""
    if isinstance(frame.columns, pd.MultiIndex):
        raise InputError(f"{clean(source)} has column names of several levels; join each into one text.")
    names = [str(column) for column in frame.columns]
    check_duplicates(names, source)
    if not len(frame):
        raise InputError(f"{clean(source)} has no rows.")
    check_limit(len(names), MAX_COLUMNS, f"{clean(source)} has", "columns")
    check_limit(frame.size, MAX_CELLS, f"{clean(source)} has", "cells")
    return frame.set_axis(names, axis=1)


def check_column(frame: pd.DataFrame, name: str, source: str) -> None:
    """The column is there, or one sentence with the nearest name."""
    columns = list(frame.columns)
    if name not in columns:
        hint = suggestion(name, columns) or f"; its columns are {listing(columns)}."
        raise InputError(f"{clean(source)} has no column {quote(name)}{hint}")


def check_cells(frame: pd.DataFrame) -> None:
    """Nothing in a cell that holds several values."""
    for name in frame.columns[frame.dtypes == "object"]:
        odd = {type(cell).__name__ for cell in frame[name] if isinstance(cell, ODD_CELLS)}
        if odd:
            raise InputError(f"column {quote(name)} holds cells of type {min(odd)}; make them text or numbers.")
