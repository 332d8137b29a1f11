"""The target of a table: classes, numbers, or labels that are there or not."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lossmith.compare.data.columns import Floats, checked
from lossmith.compare.data.splits import NEEDED_ROWS
from lossmith.errors import InputError
from lossmith.text import quote

MAX_CLASSES = 200
MAX_LABELS = 200
MOST_NUMBERED_CLASSES = 50
MOST_FRACTIONAL_CLASSES = 20
FEWEST_NUMBERS = 30  # rows of a regression


class Goal(NamedTuple):
    """What is to be predicted: classes int64 [N], numbers float64 [N], or labels int8 [N, labels] with their names."""

    kind: str
    values: NDArray[Any]
    classes: list[str]
    counts: list[int]
    positive: int | None = None


def goal(frame: pd.DataFrame, targets: tuple[str, ...], separator: str | None, task: str) -> Goal:
    """The goal that the target columns set, or one sentence why they set none.

    ``task`` is "classification", "regression", or "auto": numbers that are amounts are predicted as numbers.
    """
    if len(targets) > 1 or separator is not None:
        if task == "regression":
            raise InputError("several targets are labels, which are there or not; give one target for a regression.")
        return labels_of(frame, targets, separator)
    column, name = frame[targets[0]], targets[0]
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    numeric = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    if task == "regression" and not numeric:
        raise InputError(f"target {quote(name)} holds words; a regression needs numbers.")
    if numeric:
        values = checked(name, column.to_numpy(dtype="float64"))
        if task == "regression" or (task == "auto" and are_amounts(values)):
            return numbers_of(name, values)
        distinct, codes = np.unique(values, return_inverse=True)
        names = [f"{value:.15g}" for value in distinct]
    else:
        refuse_twins(column, name)
        words, codes = np.unique(column.astype(str).to_numpy(dtype="U"), return_inverse=True)
        names = [str(word) for word in words]
    return classes_of(name, names, codes.astype(np.int64))


def classes_of(name: str, classes: list[str], codes: NDArray[np.int64]) -> Goal:
    """The classes, sorted as numbers or as text; of two the rarer one is positive, the last where they are even."""
    if len(classes) > MAX_CLASSES:
        raise InputError(
            f"target {quote(name)} has {len(classes):,} distinct values; a class is needed, "
            f"and at most {MAX_CLASSES} of them are accepted."
        )
    counts = np.bincount(codes, minlength=len(classes))
    check_counts(name, classes, counts)
    positive = int(counts[1] <= counts[0]) if len(classes) == 2 else None
    return Goal("binary" if len(classes) == 2 else "multiclass", codes, classes, counts.tolist(), positive)


def are_amounts(values: Floats) -> bool:
    """Whether numbers are amounts and not classes: many, or with fractions that hardly repeat."""
    distinct = np.unique(values)
    fractional = bool((distinct != np.round(distinct)).any())
    many = len(distinct) > (MOST_FRACTIONAL_CLASSES if fractional else MOST_NUMBERED_CLASSES)
    return many or (fractional and len(distinct) * NEEDED_ROWS > len(values))


def numbers_of(name: str, values: Floats) -> Goal:
    """Numbers, at least enough of them to learn from."""
    if len(values) < FEWEST_NUMBERS:
        raise InputError(f"target {quote(name)} has {len(values)} rows; a regression needs at least {FEWEST_NUMBERS}.")
    if np.ptp(values) == 0:
        raise InputError(f"target {quote(name)} is {values[0]:g} in every row; there is nothing to predict.")
    return Goal("regression", values, [], [])


def labels_of(frame: pd.DataFrame, targets: tuple[str, ...], separator: str | None) -> Goal:
    """Labels from columns of two values (0 and 1, no and yes), or from one column of lists such as ``red|green``."""
    if separator is None:
        names, columns = list(targets), [presence(name, frame[name]) for name in targets]
        matrix = np.column_stack(columns).astype(np.int8)
    else:
        if len(targets) > 1:
            raise InputError("a separator splits one column of labels; give one target with it.")
        cells = frame[targets[0]].fillna("").astype(str).str.split(separator, regex=False)
        lists = [{word.strip() for word in cell} - {""} for cell in cells]
        names = sorted(set().union(*lists))
        matrix = np.array([[name in found for name in names] for found in lists], dtype=np.int8).reshape(len(lists), -1)
    counts = matrix.sum(axis=0, dtype=np.int64)
    check_labels(names, counts, len(matrix))
    return Goal("multilabel", matrix, names, counts.tolist())


def presence(name: str, column: pd.Series) -> NDArray[np.bool_]:
    """A column of two values as absence and presence: 1, true, yes, or the later of two words."""
    values = sorted(column.dropna().unique(), key=str)
    if len(values) > 2:
        raise InputError(
            f"target {quote(name)} has {len(values):,} values; each of several targets is a label of 0 and 1."
        )
    found: NDArray[np.bool_] = (column == (values[-1] if values else 1)).to_numpy(dtype=bool)
    return found


def check_labels(names: list[str], counts: NDArray[np.int64], rows: int) -> None:
    """At least two labels, each there in some rows and absent in others."""
    if not 2 <= len(names) <= MAX_LABELS:
        raise InputError(f"the targets have {len(names)} labels; 2 to {MAX_LABELS} are accepted.")
    for name, count in zip(names, counts, strict=True):
        if min(count, rows - count) < NEEDED_ROWS:
            few, verb = min(count, rows - count), "has" if count < NEEDED_ROWS else "lacks"
            raise InputError(f"label {quote(name)}: {few} of {rows:,} rows {verb} it; {NEEDED_ROWS} are needed.")


def refuse_twins(column: pd.Series, target: str) -> None:
    """The text 1 and the number 1 would be one class."""
    words: dict[str, bool] = {}
    for cell in column.unique():
        text = isinstance(cell, str)
        if words.setdefault(str(cell), text) != text:
            raise InputError(f"target {quote(target)} holds {cell!s} both as a text and as a number; make it one.")


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
