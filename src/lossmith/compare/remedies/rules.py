"""Decision rules: the plain argmax, and offsets on log p that are tuned on validation rows.

For two classes the offsets are a threshold, found exactly. For more they are a prior correction, found by exact
searches along one class after the other, which never ends below where it starts: at the plain argmax.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

SWEEPS = 5
SMALLEST_GAIN = 1e-12
MOST_COUNTS = 4_000_000  # numbers in one table of counts; beyond it the cut points are thinned out

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Metric = Callable[[Floats, Floats, Floats], Floats]


def macro_f1(hits: Floats, predicted: Floats, true: Floats) -> Floats:
    """F1 of every class, averaged; 0 for a class that is neither there nor predicted."""
    scores: Floats = (2 * hits / np.maximum(predicted + true, 1)).mean(axis=-1)
    return scores


def balanced_accuracy(hits: Floats, predicted: Floats, true: Floats) -> Floats:
    """The recall of every class, averaged over the classes that are there."""
    scores: Floats = (hits / np.maximum(true, 1)).sum(axis=-1) / (true > 0).sum()
    return scores


def accuracy(hits: Floats, predicted: Floats, true: Floats) -> Floats:
    """The share of rows decided rightly."""
    scores: Floats = hits.sum(axis=-1) / true.sum()
    return scores


def mcc(hits: Floats, predicted: Floats, true: Floats) -> Floats:
    """Matthews' correlation of decision and truth, in Gorodkin's form for any number of classes."""
    rows = true.sum()
    covariance = hits.sum(axis=-1) * rows - (predicted * true).sum(axis=-1)
    spread = (rows**2 - (predicted**2).sum(axis=-1)) * (rows**2 - (true**2).sum())
    scores: Floats = covariance / np.sqrt(np.where(spread > 0, spread, np.inf))
    return scores


METRICS: dict[str, Metric] = {
    "macro_f1": macro_f1,
    "balanced_accuracy": balanced_accuracy,
    "mcc": mcc,
    "accuracy": accuracy,
}


def decide(log_probability: Floats, offsets: Floats) -> Labels:
    """The class with the largest log p after the offsets."""
    decided: Labels = np.argmax(log_probability + offsets, axis=1).astype(np.int64)
    return decided


def score(metric: str, decided: Labels, labels: Labels, classes: int) -> float:
    """One decision metric of decided labels."""
    hits, predicted, true = (
        np.bincount(rows, minlength=classes).astype(float) for rows in (labels[decided == labels], decided, labels)
    )
    return float(METRICS[metric](hits, predicted, true))


def tune(log_probability: Floats, labels: Labels, metric: str) -> Floats:
    """The offsets that maximise a decision metric on these (validation) rows."""
    classes = log_probability.shape[1]
    offsets = np.zeros(classes)
    best = score(metric, decide(log_probability, offsets), labels, classes)
    for _ in range(SWEEPS):
        before = best
        for label in range(1 if classes == 2 else 0, classes):
            candidate = offsets.copy()
            candidate[label] = best_offset(log_probability, labels, offsets, label, METRICS[metric])
            value = score(metric, decide(log_probability, candidate), labels, classes)
            if value > best + SMALLEST_GAIN:
                best, offsets = value, candidate
        if best == before or classes == 2:
            break
    return offsets


def best_offset(log_probability: Floats, labels: Labels, offsets: Floats, label: int, metric: Metric) -> float:
    """The best offset of one class while the others stay: every row changes hands at one known value.

    Among equally good values it is the one nearest to the present offset, for the smallest change of rule.
    """
    classes = len(offsets)
    rivals = log_probability + offsets
    rivals[:, label] = -np.inf
    rival = rivals.argmax(axis=1)
    change = rivals.max(axis=1) - log_probability[:, label]
    cuts = cut_points(change, MOST_COUNTS // classes)
    moved = np.searchsorted(cuts, change)  # a row belongs to the label from this cut on
    hits = gains(moved, labels, (labels == label) * 1 - ((labels == rival) & (labels != label)), cuts, classes)
    hits += np.bincount(labels[labels == rival], minlength=classes)
    predicted = -gains(moved, rival, np.ones(len(rival)), cuts, classes)
    predicted += np.bincount(rival, minlength=classes)
    predicted[:, label] = np.cumsum(np.bincount(moved, minlength=len(cuts) + 1))[:-1]
    values = metric(hits, predicted, np.bincount(labels, minlength=classes).astype(float))
    best = np.flatnonzero(values >= values.max() - SMALLEST_GAIN)
    return float(cuts[best[np.argmin(np.abs(cuts[best] - offsets[label]))]])


def cut_points(change: Floats, most: int) -> Floats:
    """Values between the points where rows change hands, and one beyond each end."""
    points = np.unique(change)
    points = points[np.linspace(0, len(points) - 1, min(len(points), most)).astype(int)]
    return np.concatenate([[points[0] - 1.0], (points[1:] + points[:-1]) / 2, [points[-1] + 1.0]])


def gains(moved: Labels, column: Labels, amount: Floats, cuts: Floats, classes: int) -> Floats:
    """For every cut and class: the sum of the amounts of the rows that have moved by then."""
    cells = np.bincount(moved * classes + column, weights=amount, minlength=(len(cuts) + 1) * classes)
    sums: Floats = np.cumsum(cells.reshape(-1, classes), axis=0, dtype=np.float64)[: len(cuts)]
    return sums
