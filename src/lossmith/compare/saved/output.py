"""Predictions as CSV that a spreadsheet shows and does not run."""

from typing import Any

import pandas as pd

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(predictions: pd.DataFrame) -> str:
    """One line for every row; texts that a spreadsheet would take for a formula begin with a quote."""
    columns = {guarded(name): predictions[name] for name in predictions.columns}
    frame = pd.DataFrame({name: column.map(guarded) for name, column in columns.items()})
    return str(frame.to_csv(index=False, lineterminator="\n"))


def guarded(cell: Any) -> Any:
    """A text that looks like a formula behind a quote; numbers, also those that are kept as text, as they are.

    >>> guarded("=1+1"), guarded("-1.5"), guarded(-1.5), guarded("a-b")
    ("'=1+1", '-1.5', -1.5, 'a-b')
    """
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) and not is_number(cell) else cell


def is_number(text: str) -> bool:
    """Whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
