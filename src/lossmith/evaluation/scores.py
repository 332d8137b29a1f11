"""Which class each score column belongs to, and the scores as one matrix with a column per class."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from lossmith.errors import InputError
from lossmith.evaluation.asked import Asked
from lossmith.evaluation.columns import Floats, in_order, numbers_of, refuse
from lossmith.metrics.labels import not_probabilities, usual_positive
from lossmith.text import listing, quote

SEPARATORS = "_-.: "


class Classes(NamedTuple):
    """The labels, the positive one of two (if any is), and the label of every score column."""

    labels: list[str]
    positive: str | None
    columns: dict[str, str]


class Scores(NamedTuple):
    """Scores to rank by, the same as probabilities where they are some, and the reason where they are not."""

    ranking: Floats
    probability: Floats | None
    reason: str


def classes(observed: set[str], asked: Asked) -> Classes:
    """The known labels, from --labels, the names of the score columns, or what occurs; then who is positive."""
    labels = list(asked.labels) if asked.labels else in_order(observed)
    columns: dict[str, str] = {}
    if len(asked.score) > 1:
        columns = labels_of_columns(asked.score, observed, asked.labels)
        labels = labels if asked.labels else in_order(columns.values())
    elif asked.score and not asked.labels and observed < {"0", "1"}:
        labels = ["0", "1"]
    positive = positive_of(labels, asked)
    if len(asked.score) == 1:
        columns = {asked.score[0]: positive_of_one(labels, positive, asked.score[0])}
        positive = columns[asked.score[0]]
    return Classes(labels, positive, columns)


def labels_of_columns(names: Sequence[str], observed: set[str], labels: Sequence[str] | None) -> dict[str, str]:
    """The label of each column: what follows a common beginning, or else the order of the labels."""
    first, last = min(names), max(names)  # what these two begin with, all between them do
    same = next((place for place, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    common = first[:same]
    cuts = [0, *(place + 1 for place, letter in enumerate(common) if letter in SEPARATORS)]
    for cut in reversed(cuts):
        ends = [name[cut:] for name in names]
        if set(ends) == set(labels) if labels else observed <= set(ends):
            return dict(zip(names, ends, strict=True))
    if labels and len(labels) == len(names):
        return dict(zip(names, labels, strict=True))
    if labels:
        raise InputError(f"there are {len(names)} score columns and {len(labels)} labels; give one column per label.")
    raise InputError(
        f"it is not clear which class each score column belongs to; name the columns after the classes "
        f'(such as "score_{sorted(observed)[0]}") or give the labels in the order of the columns; the table holds '
        f"{listing(in_order(observed))}."
    )


def positive_of(labels: Sequence[str], asked: Asked) -> str | None:
    """The positive class of two: the given one, or the 1 of 0 and 1 or the true of false and true."""
    if asked.positive is None:
        return usual_positive(labels) if len(labels) == 2 else None
    if asked.positive not in labels:
        raise InputError(f"positive {quote(asked.positive)} is not among the classes, which are {listing(labels)}.")
    if len(labels) > 2:
        raise InputError(f"positive is for two classes, and there are {len(labels)}: {listing(labels)}; leave it out.")
    return asked.positive


def positive_of_one(labels: Sequence[str], positive: str | None, name: str) -> str:
    """The class that a single score column belongs to: the positive one, or the one at the end of its name."""
    if len(labels) < 2:
        raise InputError(f"only the class {listing(labels)} occurs, and a score needs two; give both as labels.")
    if len(labels) > 2:
        raise InputError(f"there are {len(labels)} classes ({listing(labels)}) and one score column; give one each.")
    named = [label for label in labels if any((letter + name).endswith(letter + label) for letter in SEPARATORS)]
    if positive is None and len(named) == 1:
        return named[0]
    if positive is None:
        raise InputError(f"column {quote(name)} scores one class; say which of {listing(labels)} is positive.")
    if named and positive not in named:
        raise InputError(f"column {quote(name)} is named after {listing(named)}, but positive is {quote(positive)}.")
    return positive


def scores(frame: pd.DataFrame, found: Classes) -> Scores:
    """The score columns as a matrix in the order of the labels."""
    given = {label: numbers_of(frame[name]) for name, label in found.columns.items()}
    if len(given) == 1:
        ((positive, one),) = given.items()
        rank = {label: one if label == positive else -one for label in found.labels}
        given = {label: one if label == positive else 1 - one for label in found.labels}
    else:
        rank = given
    ranking, rows = (np.column_stack([matrix[label] for label in found.labels]) for matrix in (rank, given))
    reason = not_probabilities(rows)
    return Scores(ranking, None if reason else rows, reason)


def refuse_strange(name: str, values: Sequence[str], labels: Sequence[str]) -> None:
    """Nothing outside the known labels."""
    strange = ~pd.Series(values).isin(set(labels))
    if strange.any():
        first = quote(pd.Series(values)[strange].iloc[0])
        refuse(name, strange, f"holds {first}, not one of the labels {listing(labels)},", "correct it or the labels")
