"""The rows of one repeat as the model sees them: split, then encoded by what the training rows alone have taught."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lossmith.compare.data import features
from lossmith.compare.data.splits import Splitter
from lossmith.compare.data.text import TextEncoder
from lossmith.compare.models.fitted import Floats, Prepared
from lossmith.compare.problems.problem import Problem
from lossmith.compare.settings import Training

Arrays = dict[str, NDArray[Any]]
SPREAD_OF_QUARTILES = 1.349  # of a normal distribution, in standard deviations


@dataclass(frozen=True)
class Encoders:
    """What turned the rows of a repeat into inputs, to be used again on new rows."""

    table: features.Encoder | None
    texts: tuple[TextEncoder, ...]

    def transform(self, arrays: Arrays, rows: NDArray[np.int64] | slice) -> NDArray[Any]:
        """The inputs of some rows: encoded columns and then the words of each text, or images as they are."""
        if "images" in arrays:
            return arrays["images"][rows]
        found = [] if self.table is None else [self.table.transform(arrays["matrix"][rows])]
        chosen = [[text[k] for k in np.arange(len(text))[rows]] for text in texts_of(arrays)]
        found += [encoder.transform(text) for encoder, text in zip(self.texts, chosen, strict=True)]
        return np.ascontiguousarray(np.concatenate(found, axis=1), np.float32)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind of every encoded column."""
        return () if self.table is None else tuple(self.table.kinds_out)


def texts_of(arrays: Arrays) -> list[list[str]]:
    """The text columns, which travel as JSON."""
    return [json.loads(array.tobytes()) for name, array in arrays.items() if name.startswith("text:")]


def learn(arrays: Arrays, kinds: tuple[str, ...], rows: NDArray[np.int64]) -> Encoders:
    """The encoders that these rows teach."""
    table = features.Encoder(kinds).fit(arrays["matrix"][rows]) if kinds else None
    texts = tuple(TextEncoder().fit([text[k] for k in rows]) for text in texts_of(arrays))
    return Encoders(table, texts)


def prepare(
    arrays: Arrays, training: Training, problem: Problem, repeat: int, parts: dict[str, Any] | None = None
) -> tuple[Prepared, Encoders, dict[str, Any]]:
    """One repeat of a task's rows, what encoded them, and the row numbers of its parts (by default the split's)."""
    parts = parts or splitter_of(arrays, training).rows(repeat)._asdict()
    encoders = learn(arrays, training.kinds, parts["train"])
    targets = {part: arrays["targets"][rows] for part, rows in parts.items()}
    centre, scale = spread(targets["train"]) if problem.training.problem == "regression" else (0.0, 1.0)
    prepared = Prepared(
        repeat=repeat,
        inputs={part: torch.from_numpy(encoders.transform(arrays, rows)) for part, rows in parts.items()},
        targets=targets,
        counts=problem.counts(targets["train"]),
        weights={part: arrays["weights"][rows] for part, rows in parts.items()} if "weights" in arrays else None,
        kinds=encoders.kinds,
        scale=scale,
        centre=centre / scale,
    )
    return prepared, encoders, parts


def splitter_of(arrays: Arrays, training: Training, names: Sequence[str] = ()) -> Splitter:
    """How the rows of a task are split; images with masks are split as they come."""
    target = arrays["targets"]
    if training.problem == "segmentation":
        target = np.zeros(len(target), dtype=np.int64)
    return Splitter(
        target,
        training.seed,
        training.windows,
        groups=arrays.get("groups"),
        times=arrays.get("times"),
        test=arrays.get("test"),
        names=names,
    )


def spread(targets: Floats) -> tuple[float, float]:
    """The middle and the spread of training targets, which no few far rows move."""
    low, middle, high = np.quantile(targets, [0.25, 0.5, 0.75])
    for scale in ((high - low) / SPREAD_OF_QUARTILES, float(np.std(targets)), 1.0):
        if scale > 1e-12 * max(1.0, abs(middle)):
            return float(middle), float(scale)
    return float(middle), 1.0
