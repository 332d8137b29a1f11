"""The kind of every column, and the numbers that it becomes by rules that look at one cell at a time.

A date's parts, a category's number: nothing of it is learnt. Everything that *is* learnt from the data happens in
``features`` and ``text``, on the training rows alone. What a column is, is decided once (`decided`) and can be applied
to other cells (`applied`), such as those that a saved model is to predict from.
"""

import re
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lossmith.compare.data.text import is_text
from lossmith.errors import InputError
from lossmith.text import quote

FEWEST_ROWS_OF_AN_ID = 20
ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?")
ID_NAME = re.compile(
    r"(?i:(^|.*[_\s-])(id|uuid|guid|key|index|row|nr|no|number)|id[_\s-].*|Unnamed: \d+)"
    r"|.*[a-z0-9](Id|ID|Uuid|UUID|Guid|GUID|Key|Index|Nr|No|Number)"
)
LIKE_A_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ,].*)?")
LARGEST_NUMBER = 1e100  # its square, summed over all rows, is still a number
NEARLY_ALL = 0.9
MOST_STRAY_WORDS = 3
FEWEST_AMOUNTS = 20

Floats = NDArray[np.float64]


class Known(NamedTuple):
    """What a column is: its kind, and the ``names`` of its categories or of the parts of its dates."""

    kind: str  # "boolean", "numeric", "date", "text" or "categorical"
    names: tuple[str, ...] = ()


class Part(NamedTuple):
    """One column of the matrix: the table's column itself, or a part of a date."""

    kind: str  # "number" or "category"
    values: Floats


class Column(NamedTuple):
    """What became of a column: what it is and its parts, or its texts, or the ``reason`` why it is left out."""

    known: Known
    parts: list[Part]
    reason: str = ""
    texts: list[str] | None = None

    @property
    def kind(self) -> str:
        """What kind of column it is; nothing where it is left out."""
        return self.known.kind


def understood(name: str, column: pd.Series, whole: pd.Series) -> Column:
    """The kind of a column and what becomes of it, or the reason why it is left out.

    ``whole`` has the rows without a target too, which a running number counts.
    """
    column = plain(column)
    known = decided(name, column, whole)
    return Column(Known(""), [], known) if isinstance(known, str) else applied(known, name, column)


def plain(column: pd.Series) -> pd.Series:
    """The cells themselves, where pandas keeps numbers of categories."""
    return column.astype(column.cat.categories.dtype) if isinstance(column.dtype, pd.CategoricalDtype) else column


def decided(name: str, column: pd.Series, whole: pd.Series) -> Known | str:
    """What a column is, or the reason why it is left out."""
    if column.nunique(dropna=False) == 1:
        return "constant: the same value in every row"
    if is_boolean(column):
        return Known("boolean")
    if is_number(column):
        return number_id(name, whole) or Known("numeric")
    dates = as_dates(column)
    if dates is not None:
        return Known("date", differing(date_parts(dates)))
    text = words(column)
    present = text.dropna()
    if is_text(text):
        return Known("text")
    if len(present) >= FEWEST_ROWS_OF_AN_ID and present.is_unique:
        return text_id(present)
    refuse_stray_words(name, present)
    return Known("categorical", tuple(sorted(present.unique())))


def applied(known: Known, name: str, column: pd.Series) -> Column:
    """What becomes of cells of a column that is known; a word that is no known category has the number after theirs.

    Raises `InputError` where the cells are of another kind.
    """
    if known.kind in ("text", "categorical"):
        text = words(column)
        if known.kind == "text":
            return Column(known, [], texts=text.fillna("").tolist())
        codes = pd.Index(known.names, dtype="object").get_indexer(text.astype("object"))
        codes = np.where(codes < 0, len(known.names), codes)
        return Column(known, [Part("category", np.where(text.isna(), np.nan, codes))])
    if known.kind == "date":
        dates = as_dates(column)
        if dates is None:
            raise of_another_kind(name, "dates (YYYY-MM-DD)", column)
        parts = date_parts(dates)
        return Column(known, [Part("number", parts[part]) for part in known.names])
    fits = is_boolean if known.kind == "boolean" else is_number
    if column.notna().any() and not fits(column):
        raise of_another_kind(name, "truth values" if known.kind == "boolean" else "numbers", column)
    return Column(known, [Part("number", checked(name, floats(column)))])


def of_another_kind(name: str, wanted: str, column: pd.Series) -> InputError:
    """The one sentence about cells that a known column cannot have."""
    present = column.dropna()
    odd = present[pd.to_numeric(present.astype(str), errors="coerce").isna()] if wanted == "numbers" else present
    example = quote((odd if len(odd) else present).iloc[0])
    return InputError(f"column {quote(name)} must hold {wanted}, and holds {example}; correct it or leave it empty.")


def words(column: pd.Series) -> pd.Series:
    """Cells as texts; what is missing stays so."""
    return column.astype(str).where(column.notna())


def is_boolean(column: pd.Series) -> bool:
    """True of a boolean column, also where missing values made objects of its cells."""
    return bool(pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.infer_dtype(column, skipna=True) == "boolean")


def is_number(column: pd.Series) -> bool:
    """True of numbers and durations, also where they are kept as objects."""
    kind = pd.api.types.infer_dtype(column, skipna=True)
    return kind in {"integer", "floating", "mixed-integer-float", "decimal", "timedelta64", "timedelta"}


def floats(column: pd.Series) -> Floats:
    """Numbers, booleans or durations (in seconds) as float64 with NaN for what is missing."""
    if pd.api.types.is_timedelta64_dtype(column.dtype):
        column = column.dt.total_seconds()
    cells = pd.Series(column, dtype="object").where(column.notna(), np.nan)
    try:
        values: Floats = cells.to_numpy(dtype="float64")
    except OverflowError as error:  # a whole number of Python has no limit
        raise InputError(f"column {quote(column.name)} holds a number that is too large; correct it.") from error
    return values


def checked(name: str, values: Floats) -> Floats:
    """Numbers that can be scaled, or one sentence."""
    infinite, huge = int(np.isinf(values).sum()), np.abs(values) > LARGEST_NUMBER
    if infinite:
        rows = "1 infinite value" if infinite == 1 else f"{infinite:,} infinite values"
        raise InputError(f"column {quote(name)} holds {rows}; replace them by numbers or leave them empty.")
    if huge.any():
        largest = f"{values[huge][0]:.3g}"
        raise InputError(f"column {quote(name)} holds {largest}, which is too large to compute with; correct it.")
    return values


def number_id(name: str, column: pd.Series) -> str:
    """Why a column of whole numbers, all different, is a row's name and not a measurement; else nothing.

    A measurement may well be different in every row, and in order; a name is called one, or counts the rows.
    """
    values = floats(column)
    present = values[~np.isnan(values)]
    if len(present) < FEWEST_ROWS_OF_AN_ID or (present != np.round(present)).any():
        return ""
    if len(np.unique(present)) < len(present):
        return ""
    counting = any(np.array_equal(values, np.arange(first, first + len(values))) for first in (0, 1))
    return "id-like: a different whole number in every row" if counting or ID_NAME.fullmatch(name) else ""


def text_id(present: pd.Series) -> str:
    """Why a column of texts, all different, is left out."""
    dated = present.map(lambda cell: bool(LIKE_A_DATE.fullmatch(cell.strip()))).mean() > 0.5
    hint = ", and not understood as a date (write dates as YYYY-MM-DD)" if dated else ""
    return f"id-like: a different text in every row{hint}"


def refuse_stray_words(name: str, present: pd.Series) -> None:
    """A few words among many different numbers stand for a missing value, and would make a category of each number."""
    numbers = pd.to_numeric(present, errors="coerce")
    stray = present[numbers.isna()]
    many = numbers.nunique() > FEWEST_AMOUNTS and numbers.notna().mean() >= NEARLY_ALL
    if many and 0 < stray.nunique() <= MOST_STRAY_WORDS:
        cells = "1 cell" if len(stray) == 1 else f"{len(stray):,} cells"
        raise InputError(
            f"column {quote(name)} is numeric but for {cells} such as {quote(stray.iloc[0])}; "
            "replace them by numbers or leave them empty."
        )


def as_dates(column: pd.Series) -> pd.Series | None:
    """The column as moments in time where it holds dates, or texts that are all ISO dates; else None."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return pd.to_datetime(column, utc=True)
    present = column.dropna()
    moments = pd.api.types.infer_dtype(present) in {"date", "datetime"}
    if not moments and not present.map(lambda cell: isinstance(cell, str) and bool(ISO_DATE.fullmatch(cell))).all():
        return None
    dates = pd.to_datetime(column, utc=True, format="ISO8601", errors="coerce")
    return dates if dates.notna().sum() == len(present) else None


def date_parts(dates: pd.Series) -> dict[str, Floats]:
    """Days since 1970 for the trend, and the month, weekday and hour."""
    days = (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
    numbers = {"days": days, "month": dates.dt.month, "weekday": dates.dt.day_of_week, "hour": dates.dt.hour}
    return {name: part.to_numpy(dtype="float64", na_value=np.nan) for name, part in numbers.items()}


def differing(parts: dict[str, Floats]) -> tuple[str, ...]:
    """The parts of dates that differ at all; the first where none does."""
    found = tuple(name for name, values in parts.items() if len(np.unique(values[~np.isnan(values)])) > 1)
    return found or tuple(parts)[:1]
