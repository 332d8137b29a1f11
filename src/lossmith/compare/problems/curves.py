"""Curves of a run on fixed grids, so that repeats can be averaged point by point."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from lossmith.compare.problems.problem import Floats

GRID = np.arange(101) / 100
"""Recall of the precision curve, false positive rate of the other."""

THRESHOLDS = np.arange(1, 100) / 100

DIGITS = 5


def curves(
    probability: Floats,
    labels: "np.ndarray[Any, Any]",
    positive: int | None,
    weight: Floats | None,
    costs: Sequence[float],
) -> dict[str, Any]:
    """Precision by recall and hits by false alarms, of the positive class or the mean over the classes.

    Of two classes also what every threshold on the positive one's probability gives.
    """
    classes = [positive] if positive is not None else range(probability.shape[1])
    drawn = [curve(probability[:, c], labels == c, weight) for c in classes if 0 < (labels == c).sum() < len(labels)]
    if not drawn:
        return {}
    found: dict[str, Any] = {
        name: rounded(np.mean([one[k] for one in drawn], axis=0)) for k, name in enumerate(("precision", "tpr"))
    }
    if positive is not None:
        found["threshold"] = thresholds(probability[:, positive], labels == positive, weight, positive, costs)
    return found


def curve(score: Floats, hit: "np.ndarray[Any, Any]", weight: Floats | None) -> tuple[Floats, Floats]:
    """The best precision at recall 0, .01 .. 1 or beyond, and the true positive rate at as many false ones."""
    precision, recall, _ = precision_recall_curve(hit, score, sample_weight=weight)
    false, true, _ = roc_curve(hit, score, sample_weight=weight, drop_intermediate=False)
    best = np.maximum.accumulate(precision[:-1])  # from the largest recall down
    at = np.searchsorted(-recall[:-1], -GRID, side="right") - 1
    return best[np.clip(at, 0, None)], np.interp(GRID, false, true)


def thresholds(
    score: Floats, hit: "np.ndarray[Any, Any]", weight: Floats | None, positive: int, costs: Sequence[float]
) -> dict[str, list[float | None]]:
    """Macro-F1, precision and recall (and cost) of calling a row positive from each threshold on."""
    rows = np.ones(len(hit)) if weight is None else weight
    order = np.argsort(score)
    at = np.searchsorted(score[order], THRESHOLDS, side="left")
    positives, all_rows = (np.r_[0.0, np.cumsum(values[order])] for values in (rows * hit, rows))
    true, called = positives[-1] - positives[at], all_rows[-1] - all_rows[at]
    missed, false = positives[-1] - true, called - true
    right = all_rows[-1] - positives[-1] - false
    found = {
        "macro_f1": (ratio(2 * true, 2 * true + missed + false) + ratio(2 * right, 2 * right + missed + false)) / 2,
        "recall": ratio(true, true + missed),
        "precision": ratio(true, called),
    }
    if costs:
        found["cost"] = (costs[positive] * missed + costs[1 - positive] * false) / all_rows[-1]
    return {name: rounded(values) for name, values in found.items()}


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """NaN where there is nothing to divide by."""
    return np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1.0), np.nan)


def rounded(values: Floats) -> "list[Any]":
    """Numbers with the digits that a figure shows; None for what is undefined."""
    return [None if np.isnan(value) else round(float(value), DIGITS) for value in values]
