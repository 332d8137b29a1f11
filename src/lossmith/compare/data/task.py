"""What a table asks for: what to predict from which columns, and what is left out and why."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lossmith.compare.data.columns import Column, Known, Part, as_dates, floats, understood
from lossmith.compare.data.load import Table
from lossmith.compare.data.target import Goal, goal
from lossmith.compare.data.text import embedded
from lossmith.errors import InputError
from lossmith.text import clean, quote

MOST_SLICES = 30  # values of a column that figures are given for
FAR = 3.0  # quartile distances beyond the quartiles

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Task:
    """What is predicted from what, as arrays for the workers and as words for people.

    ``arrays`` has "targets" and "matrix" (float64 [N, columns]), or "images"; "text:0" and so on are JSON lists of
    texts; "weights", "groups", "times", "test" and "slices" are there where they were asked for. ``columns`` are what
    the features are, and ``origin`` is where they came from: both for what reads such a table again.
    """

    source: str
    target: str
    goal: Goal
    arrays: Arrays
    kinds: tuple[str, ...] = ()
    features: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[dict[str, str]] = field(default_factory=list)
    dropped_rows: int = 0
    slices: tuple[tuple[str, tuple[str, ...]], ...] = ()
    notes: list[str] = field(default_factory=list)
    columns: dict[str, Known] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)
    sampled: dict[str, Any] | None = None

    @property
    def inputs(self) -> str:
        """What a model sees: "table", "images", or images with "masks" to predict."""
        if "images" not in self.arrays:
            return "table"
        return "masks" if self.goal.kind == "segmentation" else "images"

    @property
    def classes(self) -> list[str]:
        """The names of the classes or labels."""
        return self.goal.classes

    @property
    def positive(self) -> int | None:
        """The class that two-class figures are about."""
        return self.goal.positive

    @property
    def counts(self) -> list[int]:
        """Rows of every class or label."""
        return self.goal.counts

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The columns as numbers."""
        return self.arrays["matrix"]

    @property
    def labels(self) -> NDArray[Any]:
        """What is to be predicted."""
        return self.arrays["targets"]

    def describe(self) -> dict[str, Any]:
        """The task as the results and the report show it."""
        return {
            "source": self.source,
            "target": self.target,
            "kind": self.goal.kind,
            "classes": self.classes,
            "counts": self.counts,
            "positive": self.positive,
            "rows": len(self.labels),
            "dropped_rows": self.dropped_rows,
            "features": self.features,
            "dropped": self.dropped,
            "notes": self.notes,
            "sampled": self.sampled,
            "origin": self.origin,
            "digest": self.digest,
        }

    @cached_property
    def digest(self) -> str:
        """A hash of all that training sees; names do not change a result and are not in it."""
        content = hashlib.sha256(repr((self.goal.kind, self.kinds, len(self.classes), self.positive)).encode())
        for name, array in sorted(self.arrays.items()):
            content.update(repr((name, array.shape, array.dtype.str)).encode())
            content.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
        return content.hexdigest()


def infer(table: Table) -> Task:
    """The task that a table poses, or one sentence why it poses none that can be compared."""
    roles = table.roles
    needed = [*table.targets, *roles.used]
    if roles.separator is not None or len(table.targets) > 1:  # no label is no missing target
        needed = needed[len(table.targets) :]
    present = table.frame[needed].notna().all(axis=1).to_numpy()
    frame = table.frame.loc[present].reset_index(drop=True)
    found = goal(frame, table.targets, roles.separator, roles.task)
    arrays: Arrays = {"targets": found.values}
    columns = {
        name: understood(name, frame[name], table.frame[name])
        for name in frame.columns.drop([*table.targets, *roles.used])
    }
    used = {name: column for name, column in columns.items() if not column.reason}
    dropped = [{"name": name, "reason": column.reason} for name, column in columns.items() if column.reason]
    if not used:
        reasons = "; ".join(f"{quote(column['name'])}: {column['reason']}" for column in dropped[:3])
        raise InputError(f"{clean(table.source)} has no usable feature column ({reasons}).")
    inputs, kinds = inputs_of(used, len(frame), roles.text_model)
    arrays |= inputs | role_arrays(table, frame, present)
    return Task(
        source=table.source,
        target=table.target,
        goal=found,
        arrays=arrays,
        kinds=kinds,
        features=[
            {"name": name, "kind": column.kind, "missing": int(frame[name].isna().sum())}
            for name, column in used.items()
        ],
        dropped=dropped,
        dropped_rows=int((~present).sum()),
        slices=sliced(table, frame, arrays),
        notes=[*diagnosis(found), *([] if table.sampled is None else table.sampled.sentences())],
        sampled=None if table.sampled is None else table.sampled.describe(),
        columns={name: column.known for name, column in used.items()},
    )


def inputs_of(used: Mapping[str, Column], rows: int, text_model: str | None) -> tuple[Arrays, tuple[str, ...]]:
    """The matrix of columns and the texts beside it, and the kind of every column of the matrix."""
    arrays: Arrays = {}
    parts = [part for column in used.values() for part in column.parts]
    parts += text_arrays(used, arrays, text_model)
    arrays["matrix"] = np.column_stack([part.values for part in parts]) if parts else np.zeros((rows, 0))
    return arrays, tuple(part.kind for part in parts)


def text_arrays(used: Mapping[str, Column], arrays: Arrays, model: str | None) -> list[Part]:
    """Texts as JSON beside the matrix, or as columns of it where a sentence model reads them, which learns nothing."""
    texts = [column.texts for column in used.values() if column.texts is not None]
    if model is not None:
        return [Part("number", column) for text in texts for column in embedded(text, model).T]
    for k, text in enumerate(texts):
        arrays[f"text:{k}"] = np.frombuffer(json.dumps(text).encode(), dtype=np.uint8)
    return []


def role_arrays(table: Table, frame: pd.DataFrame, present: NDArray[np.bool_]) -> Arrays:
    """Weights, groups, times and given test rows."""
    roles = table.roles
    found: Arrays = {}
    if roles.weight:
        found["weights"] = weights_of(frame[roles.weight], roles.weight)
    if roles.group:
        found["groups"] = pd.factorize(frame[roles.group])[0].astype(np.int64)
    if roles.time:
        found["times"] = times_of(frame[roles.time], roles.time)
    if table.test is not None:
        found["test"] = table.test[present]
    return found


def weights_of(column: pd.Series, name: str) -> NDArray[np.float64]:
    """Positive numbers, brought to a mean of 1."""
    try:
        weights = floats(column)
    except (TypeError, ValueError):
        weights = np.array([np.nan])
    if not np.isfinite(weights).all() or (weights <= 0).any():
        raise InputError(f"column {quote(name)} must hold a weight above 0 in every row; correct it or leave rows out.")
    scaled: NDArray[np.float64] = weights / weights.mean()
    return scaled


def times_of(column: pd.Series, name: str) -> NDArray[np.float64]:
    """Numbers, or dates as days."""
    dates = as_dates(column)
    if dates is not None:
        days: NDArray[np.float64] = ((dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)).to_numpy(
            dtype="float64"
        )
        return days
    if not pd.api.types.is_numeric_dtype(column.dtype):
        raise InputError(
            f"column {quote(name)} holds neither dates (YYYY-MM-DD) nor numbers, so it gives no order in time."
        )
    return floats(column)


def sliced(table: Table, frame: pd.DataFrame, arrays: Arrays) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """For every asked column its values, the most frequent first; the codes go into the arrays."""
    if not table.roles.slices:
        return ()
    columns, found = [], []
    for name in table.roles.slices:
        words = frame[name].map(lambda cell: "missing" if pd.isna(cell) else str(cell))
        values = words.value_counts().index.tolist()[:MOST_SLICES]
        columns.append(pd.Categorical(words, categories=values).codes.astype(np.int64))
        found.append((name, tuple(values)))
    arrays["slices"] = np.column_stack(columns)
    return tuple(found)


def diagnosis(found: Goal) -> list[str]:
    """What is worth knowing of a target before any training: numbers that are far from all others."""
    if found.kind != "regression":
        return []
    low, high = np.quantile(found.values, [0.25, 0.75])
    reach = FAR * (high - low)
    far = int(((found.values < low - reach) | (found.values > high + reach)).sum())
    if not far:
        return ["No target is far from the others, so losses of the residual should differ little."]
    rows = "1 target lies" if far == 1 else f"{far:,} targets ({100 * far / len(found.values):.2g} %) lie"
    return [
        f"{rows} more than {FAR:g} quartile distances outside the middle half: squared error will follow them, "
        "absolute error and Huber will not."
    ]
