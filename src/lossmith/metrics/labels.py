"""Labels and scores as users have them, checked and numbered 0 .. classes - 1 for the figures in ``encoded``."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lossmith.errors import DomainError, DtypeError, ParameterError, ShapeError
from lossmith.text import as_clause, listing, quote

TOLERANCE = 0.01
"""How far from 1 a row of probabilities may sum: rounded to two digits they seldom sum to 1 exactly."""

LARGEST = 1e140  # the square of a difference, summed over any table, is still a number
NUMBERS = (int, float, np.number, np.bool_)
USUAL_PAIRS = ({"0", "1"}, {"-1", "1"}, {"false", "true"})

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Coded(NamedTuple):
    """Columns of labels as class numbers, and the label of every number."""

    columns: tuple[Ints, ...]
    labels: list[Any]

    def number(self, label: Any) -> int:
        """The number of a label that must be known."""
        if label not in self.labels:
            raise ParameterError(f"metrics: {quote(label)} is no known label; they are {listing(self.labels)}.")
        return self.labels.index(label)


def encode(labels: Sequence[Any] | None, **columns: Any) -> Coded:
    """Number the labels of columns of equal length; the known ones are ``labels``, or all that occur, sorted."""
    arrays = {name: column(values, name) for name, values in columns.items()}
    same_length(**arrays)
    words = {name for name, array in arrays.items() if array.dtype.kind == "U"}
    if words and len(words) < len(arrays):
        raise DtypeError(f"metrics: {min(words)} holds text and {min(arrays.keys() - words)} numbers; make them alike.")
    known = known_labels(labels, bool(words)) if labels is not None else np.unique(np.concatenate([*arrays.values()]))
    order = np.argsort(known)
    coded = []
    for name, array in arrays.items():
        place = np.searchsorted(known, array, sorter=order).clip(max=len(known) - 1)
        numbers = order[place].astype(np.int64)
        refuse_unknown(name, array[known[numbers] != array], known)
        coded.append(numbers)
    return Coded(tuple(coded), known.tolist())


def column(values: Any, name: str) -> NDArray[Any]:
    """One label per row, as an array of numbers or of text, with none missing."""
    if isinstance(values, str):
        raise DtypeError(f"metrics: {name} must be a list of labels, not one text; put it in a list.")
    try:
        array = np.asarray(values if hasattr(values, "__array__") else np.fromiter(values, dtype=object))
    except (TypeError, ValueError, RuntimeError) as error:
        raise DtypeError(f"metrics: {name} must be an array or a list of labels: {as_clause(error)}.") from error
    if array.ndim != 1:
        raise ShapeError(f"metrics: {name} must be one label per row, not of shape {array.shape}.")
    if not array.size:
        raise ShapeError(f"metrics: {name} is empty; give at least one label.")
    if array.dtype.kind in "OT":
        array = of_one_kind(array, name)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise DomainError(f"metrics: {name} must be labels; {bad} of {len(array)} are missing or infinite.")
    if array.dtype.kind not in "biufU":
        raise DtypeError(f"metrics: {name} must be labels of text or numbers, not {array.dtype}.")
    return array


def of_one_kind(array: NDArray[Any], name: str) -> NDArray[Any]:
    """An array of objects as one of text or of numbers."""
    missing = sum(value is None or value != value for value in array)  # NaN alone differs from itself
    if missing:
        raise DomainError(f"metrics: {name} must be labels; {missing} of {len(array)} are missing.")
    if all(isinstance(value, str) for value in array):
        return array.astype(str)
    if all(isinstance(value, NUMBERS) for value in array):
        return np.array(array.tolist())
    raise DtypeError(f"metrics: {name} must be labels all of text or all of numbers; make them alike.")


def same_length(**columns: Any) -> None:
    """Columns with one entry per row each, or one sentence that names both lengths."""
    (first, one), *others = columns.items()
    for name, other in others:
        if len(other) != len(one):
            raise ShapeError(f"metrics: {first} has length {len(one)} and {name} {len(other)}; make them equally long.")


def known_labels(labels: Sequence[Any], words: bool) -> NDArray[Any]:
    """The labels that a user says there are, each once."""
    known = column(labels, "labels")
    if (known.dtype.kind == "U") != words:
        kinds = ("text", "numbers") if words else ("numbers", "text")
        raise DtypeError(f"metrics: the columns hold {kinds[0]} and labels {kinds[1]}; make them alike.")
    if len(np.unique(known)) < len(known):
        raise ParameterError("metrics: labels holds a label twice; give each once.")
    return known


def refuse_unknown(name: str, strange: NDArray[Any], known: NDArray[Any]) -> None:
    """Nothing outside the known labels."""
    if strange.size:
        found = listing(dict.fromkeys(strange.tolist()))
        one = "1 label" if strange.size == 1 else f"{strange.size} labels"
        raise DomainError(f"metrics: {name} holds {one} outside the known ones: {found}; known: {listing(known)}.")


class Scored(NamedTuple):
    """Scores with one column per class, the true class of every row, and the number of the positive one, if any."""

    scores: Floats
    y: Ints
    positive: int | None
    one_column: bool


def score(prob: Any, y: Any, labels: Sequence[Any] | None, positive: Any) -> Scored:
    """Scores [N, classes], or [N] of the positive class of two, beside their labels."""
    scores = numbers(prob, "prob", (1, 2))
    same_length(prob=scores, y=column(y, "y"))
    if scores.ndim == 1:
        return score_of_one(scores, y, labels, positive)
    coded = encode(labels, y=y)
    if scores.shape[1] != len(coded.labels) or len(coded.labels) < 2:
        raise ShapeError(
            f"metrics: prob has {scores.shape[1]} columns and there are {len(coded.labels)} labels "
            f"({listing(coded.labels)}); give labels=, at least two, in the order of the columns."
        )
    return Scored(scores, coded.columns[0], None if positive is None else coded.number(positive), False)


def score_of_one(scores: Floats, y: Any, labels: Sequence[Any] | None, positive: Any) -> Scored:
    """One score per row, of the positive class; the other class gets its opposite."""
    coded = encode(labels, y=y)
    positive = usual_positive(coded.labels) if positive is None else positive
    if positive is None:
        raise ParameterError(f"metrics: prob is one column; say which of {listing(coded.labels)} is positive=.")
    if labels is not None or len(coded.labels) == 2:
        coded.number(positive)
    if len(set(coded.labels) | {positive}) > 2:
        raise ShapeError(f"metrics: prob is one column, but there are {len(coded.labels)} labels; give one for each.")
    hit = np.array([label == positive for label in coded.labels])[coded.columns[0]]
    return Scored(np.column_stack([-scores, scores]), hit.astype(np.int64), 1, True)


def usual_positive(labels: Sequence[Any]) -> Any:
    """The 1 of 0 and 1 (or of -1 and 1), the True of False and True; None where the labels do not tell.

    >>> usual_positive([0, 1]), usual_positive(["False", "True"]), usual_positive(["cat", "dog"])
    (1, 'True', None)
    """
    words = {(f"{label:g}" if isinstance(label, float) else str(label)).casefold(): label for label in labels}
    fitting = [pair for pair in USUAL_PAIRS if set(words) <= pair]
    return (words.get("true") if "true" in fitting[0] else words.get("1", 1)) if fitting and words else None


def probabilities(scored: Scored) -> Floats:
    """The scores as probabilities [N, classes], or one sentence why they are none."""
    if scored.one_column:
        p = scored.scores[:, 1]
        scored = scored._replace(scores=np.column_stack([1 - p, p]))
    reason = not_probabilities(scored.scores)
    if reason:
        raise DomainError(f"metrics: prob must be probabilities; {reason}.")
    return scored.scores


def not_probabilities(rows: Floats) -> str:
    """Why rows of scores are no probabilities, as a clause; nothing where they are."""
    outside = np.flatnonzero(((rows < 0) | (rows > 1)).any(axis=1))
    if outside.size:
        row = rows[outside[0]]
        return f"row {outside[0] + 1} holds {row[(row < 0) | (row > 1)][-1]:.6g}, outside 0 to 1"
    sums = rows.sum(axis=1)
    off = np.flatnonzero(np.abs(sums - 1) > TOLERANCE + 1e-9)
    return f"row {off[0] + 1} sums to {sums[off[0]]:.6g}, not 1" if off.size else ""


def numbers(values: Any, name: str, dimensions: tuple[int, ...] = (1,)) -> Floats:
    """Finite float64 numbers that can be squared, of the given number of dimensions, at least one row."""
    try:
        array = np.asarray(values)
        plain = array.dtype.kind not in "USTc"
        array = array.astype(np.float64) if plain else array
    except (TypeError, ValueError, RuntimeError) as error:
        raise DtypeError(f"metrics: {name} must be numbers: {as_clause(error)}.") from error
    if not plain:
        raise DtypeError(
            f"metrics: {name} must be real numbers, not {'complex' if array.dtype.kind == 'c' else 'text'}."
        )
    if array.ndim not in dimensions:
        shapes = " or ".join("[N, classes]" if count == 2 else "[N]" for count in dimensions)
        raise ShapeError(f"metrics: {name} must have the shape {shapes}, not {list(array.shape)}.")
    if not array.size:
        raise ShapeError(f"metrics: {name} is empty; give at least one row.")
    bad = int((~np.isfinite(array)).sum())
    if bad:
        raise DomainError(f"metrics: {name} must be numbers; {bad} of {array.size} are missing or infinite.")
    if np.abs(array).max() > LARGEST:
        raise DomainError(f"metrics: {name} holds {np.abs(array).max():.3g}, too large to be squared and summed.")
    return array
