"""What a table asks for: its classes, the kind of every column, and what is left out and why.

Columns become one matrix of float64 here by rules that look at one cell at a time (a date's parts, a category's
number), so nothing of it is learnt; everything that *is* learnt from the data happens in ``features``, on the
training rows alone.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lossmith.compare.data.load import Table
from lossmith.compare.data.splits import NEEDED_ROWS
from lossmith.errors import InputError
from lossmith.text import clean, quote

MAX_CLASSES = 200
MOST_NUMBERED_CLASSES = 50
MOST_FRACTIONAL_CLASSES = 20
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


class Part(NamedTuple):
    """One column of the matrix: the table's column itself, or a part of a date."""

    kind: str  # "number" or "category"
    values: Floats


@dataclass(frozen=True)
class Task:
    """A classification task: the matrix, the labels as numbers, and the words to describe them."""

    source: str
    target: str
    classes: list[str]
    counts: list[int]
    positive: int | None
    dropped_rows: int
    features: list[dict[str, Any]]
    dropped: list[dict[str, str]]
    kinds: list[str]
    matrix: Floats
    labels: NDArray[np.int64]

    def describe(self) -> dict[str, Any]:
        """The task as the results and the report show it."""
        return {
            "source": self.source,
            "target": self.target,
            "kind": "binary" if len(self.classes) == 2 else "multiclass",
            "classes": self.classes,
            "counts": self.counts,
            "positive": self.positive,
            "rows": len(self.labels),
            "dropped_rows": self.dropped_rows,
            "features": self.features,
            "dropped": self.dropped,
        }

    def digest(self) -> str:
        """A hash of all that training sees; names do not change a result and are not in it."""
        content = hashlib.sha256(repr((self.kinds, self.matrix.shape, len(self.classes), self.positive)).encode())
        content.update(np.ascontiguousarray(self.matrix).data)
        content.update(np.ascontiguousarray(self.labels).data)
        return content.hexdigest()


def infer(table: Table) -> Task:
    """The task that a table poses, or one sentence why it poses none that can be compared."""
    present = table.frame[table.target].notna().to_numpy()
    frame = table.frame.loc[present].reset_index(drop=True)
    labels, classes = classes_of(frame[table.target], table.target)
    counts = np.bincount(labels, minlength=len(classes))
    check_counts(table.target, classes, counts)
    features, dropped, parts = [], [], []
    for name in frame.columns.drop(table.target):
        kind, found, reason = column_parts(name, frame[name], table.frame[name])
        if reason:
            dropped.append({"name": name, "reason": reason})
            continue
        features.append({"name": name, "kind": kind, "missing": int(frame[name].isna().sum())})
        parts += found
    if not parts:
        reasons = "; ".join(f"{quote(column['name'])}: {column['reason']}" for column in dropped[:3])
        raise InputError(f"{clean(table.source)} has no usable feature column ({reasons}).")
    return Task(
        source=table.source,
        target=table.target,
        classes=classes,
        counts=[int(count) for count in counts],
        positive=rarer(counts) if len(classes) == 2 else None,
        dropped_rows=int((~present).sum()),
        features=features,
        dropped=dropped,
        kinds=[part.kind for part in parts],
        matrix=np.column_stack([part.values for part in parts]),
        labels=labels,
    )


def rarer(counts: NDArray[np.int64]) -> int:
    """The positive class of two: the rarer one, the last where they are equally frequent."""
    return int(counts[1] <= counts[0])


def classes_of(column: pd.Series, target: str) -> tuple[NDArray[np.int64], list[str]]:
    """The labels as numbers and the names of the classes, sorted as numbers or as text."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    numeric = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    if not numeric:
        refuse_twins(column, target)
    values = checked(target, column.to_numpy(dtype="float64")) if numeric else column.astype(str).to_numpy(dtype="U")
    distinct, labels = np.unique(values, return_inverse=True)
    if numeric:
        refuse_regression(distinct, len(values), target)
    if len(distinct) > MAX_CLASSES:
        raise InputError(
            f"target {quote(target)} has {len(distinct):,} distinct values; a class is needed, "
            f"and at most {MAX_CLASSES} of them are accepted."
        )
    names = [f"{value:.15g}" if numeric else str(value) for value in distinct]
    return labels.astype(np.int64), names


def refuse_twins(column: pd.Series, target: str) -> None:
    """The text 1 and the number 1 would be one class."""
    words: dict[str, bool] = {}
    for cell in column.unique():
        text = isinstance(cell, str)
        if words.setdefault(str(cell), text) != text:
            raise InputError(f"target {quote(target)} holds {cell!s} both as a text and as a number; make it one.")


def refuse_regression(distinct: Floats, rows: int, target: str) -> None:
    """Many numbers, or numbers with fractions that hardly repeat, are amounts and not classes."""
    fractional = bool((distinct != np.round(distinct)).any())
    many = len(distinct) > (MOST_FRACTIONAL_CLASSES if fractional else MOST_NUMBERED_CLASSES)
    if many or (fractional and len(distinct) * NEEDED_ROWS > rows):
        raise InputError(
            f"target {quote(target)} holds {len(distinct):,} distinct numbers, which is regression; "
            "this version compares losses for classification, so give a target with classes."
        )


def check_counts(target: str, classes: list[str], counts: NDArray[np.int64]) -> None:
    """At least two classes, each with rows for all three parts of a split."""
    if len(classes) < 2:
        only = f" (all rows are {quote(classes[0])})" if classes else ""
        raise InputError(f"target {quote(target)} has one class only{only}; at least two are needed.")
    smallest = int(np.argmin(counts))
    if counts[smallest] < NEEDED_ROWS:
        rows = "1 row" if counts[smallest] == 1 else f"{counts[smallest]} rows"
        raise InputError(
            f"class {quote(classes[smallest])} of target {quote(target)} has {rows}, but every class needs at least "
            f"{NEEDED_ROWS} to be in training, validation and test; merge it with another class or remove it."
        )


def column_parts(name: str, column: pd.Series, whole: pd.Series) -> tuple[str, list[Part], str]:
    """The kind of a column and its parts, or the reason why it is left out.

    ``whole`` has the rows without a target too, which a running number counts.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if column.nunique(dropna=False) == 1:
        return "", [], "constant: the same value in every row"
    if is_boolean(column):
        return "boolean", [Part("number", floats(column))], ""
    if is_number(column):
        reason = number_id(name, whole)
        return "numeric", [] if reason else [Part("number", checked(name, floats(column)))], reason
    dates = as_dates(column)
    if dates is not None:
        return "date", date_parts(dates), ""
    text = column.astype(str).where(column.notna())
    present = text.dropna()
    if len(present) >= FEWEST_ROWS_OF_AN_ID and present.is_unique:
        return "", [], text_id(present)
    refuse_stray_words(name, present)
    codes, _ = pd.factorize(text, sort=True)
    return "categorical", [Part("category", np.where(codes < 0, np.nan, codes))], ""


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


def date_parts(dates: pd.Series) -> list[Part]:
    """Days since 1970 for the trend, and the month, weekday and hour where they differ at all."""
    days = (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
    numbers = [days, dates.dt.month, dates.dt.day_of_week, dates.dt.hour]
    arrays = [part.to_numpy(dtype="float64", na_value=np.nan) for part in numbers]
    return [Part("number", array) for array in arrays if len(np.unique(array[~np.isnan(array)])) > 1] or [
        Part("number", arrays[0])
    ]
