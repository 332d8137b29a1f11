"""The cells of a text table, from text to numbers and truth values by rules that never delete a word.

Only an empty cell is missing. Words such as NA are missing too where all other cells of the column are numbers; in a
column of words they are words, because a class may well be called "None".
"""

import re
from collections.abc import Sequence

import pandas as pd

MISSING_WORDS = frozenset(("na", "n/a", "#n/a", "nan", "-nan", "null", "none", "<na>"))
TRUTH = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
DECIMAL_COMMA = r"[+-]?\d+(?:,\d+)?"
CODE = re.compile(r"[+-]?0\d.*|[+-]?\d+[eE]\+?\d+")  # 007 and 1e3 are names: as numbers they would change
NOT_A_NUMBER = re.compile(r"0[xX]|_")


def typed(frame: pd.DataFrame, labels: Sequence[str], separator: str) -> pd.DataFrame:
    """The table with its columns of text made numbers or truth values where all of their cells are."""
    made = {name: typed_column(frame[name], str(name) in labels, separator != ",") for name in frame.columns}
    return pd.DataFrame(made, columns=frame.columns)


def typed_column(column: pd.Series, is_label: bool, decimal_comma: bool) -> pd.Series:
    """One column; labels keep their words unless they are numbers beyond doubt."""
    text = column.str.strip()
    words = pd.Series(text.dropna().unique(), dtype="object")
    words = words[[word.lower() not in MISSING_WORDS for word in words]]
    if not is_label and len(words) and words.isin(list(TRUTH)).all() and column.notna().eq(text.isin(words)).all():
        return text.map(TRUTH) if text.isna().any() else text.map(TRUTH).astype(bool)
    if decimal_comma and words.str.contains(",").any() and words.str.fullmatch(DECIMAL_COMMA).all():
        text, words = text.str.replace(",", "."), words.str.replace(",", ".")
    if not all_numbers(words) or (is_label and not plain_numbers(words)):
        return column
    return pd.to_numeric(text.where(text.isin(words)), errors="raise")


def all_numbers(words: pd.Series) -> bool:
    """True where every word is a number, and there is at least one."""
    found = pd.to_numeric(words, errors="coerce")
    return len(words) > 0 and bool(found.notna().all()) and not words.str.contains(NOT_A_NUMBER).any()


def plain_numbers(words: pd.Series) -> bool:
    """True where numbers tell apart what the words do, and none of the words is a code made of digits."""
    numbers = pd.to_numeric(words)
    return numbers.nunique() == len(words) and not any(CODE.fullmatch(word) for word in words)
