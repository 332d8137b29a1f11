"""How good predictions are, in three separate senses: ranking, decision and calibration.

*Ranking* asks whether likelier examples get higher probabilities, *decision* whether the predicted labels are right
under some rule, *calibration* whether 0.8 means 80 %. A loss can improve one and spoil another, so they never mix.

Everything here is plain data (floats, lists, None) that goes into JSON unchanged. What the labels leave undefined,
such as the recall of a class that does not occur, is None: never NaN, never a made-up 0. Averages over the classes
("macro") run over the classes that occur in ``y``. Rows count alike, or as ``weight`` says: a weight of 2 is a row
that is there twice.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import log_loss, roc_auc_score

Values = list[float | None]
Weight = NDArray[np.float64] | None

DECISIONS: tuple[str, ...] = ("macro_f1", "balanced_accuracy", "mcc", "accuracy")
"""The scalar metrics of :func:`decision`; for all of them more is better."""

BINS = 15
"""Equal-width confidence bins of the expected calibration error, as in Guo et al. 2017."""


def ranking(
    prob: ArrayLike, y: ArrayLike, classes: int, positive: int | None = None, weight: Weight = None
) -> dict[str, Any]:
    """Average precision and ROC-AUC, one class against the rest.

    With ``positive`` (two classes) the headline figures are that class's own, otherwise means over the classes.

    >>> ranking([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], [0, 1, 0], 2, positive=1)["roc_auc"]
    1.0
    """
    scores, labels = np.asarray(prob, dtype=np.float64), np.asarray(y)
    areas = _per_class(_roc_auc, scores, labels, range(classes), weight)
    precisions = _per_class(_average_precision, scores, labels, range(classes), weight)
    return {
        "average_precision": _headline(precisions, positive),
        "roc_auc": _headline(areas, positive),
        "average_precision_per_class": precisions,
        "roc_auc_per_class": areas,
    }


def average_precision(
    prob: ArrayLike, y: ArrayLike, classes: int, positive: int | None = None, weight: Weight = None
) -> float:
    """The headline average precision of :func:`ranking` alone, fast enough to be called after every epoch.

    Where it is undefined (labels of one class only) it is 0, so that early stopping sees no progress.
    """
    asked = range(classes) if positive is None else (positive,)
    value = _mean(_per_class(_average_precision, np.asarray(prob), np.asarray(y), asked, weight))
    return 0.0 if value is None else value


def decision(pred: ArrayLike, y: ArrayLike, classes: int, weight: Weight = None) -> dict[str, Any]:
    """Figures of predicted labels against the true ones, all read off one confusion matrix (rows are true classes).

    >>> decision([0, 1, 1, 0], [0, 1, 0, 0], 2)["balanced_accuracy"]
    0.8333...
    """
    table = _confusion(np.asarray(pred), np.asarray(y), classes, weight)
    hits, true, predicted = np.diag(table), table.sum(axis=1), table.sum(axis=0)
    f1 = _divide(2 * hits, np.where(true > 0, true + predicted, 0))
    recall = _divide(hits, true)
    return {
        "macro_f1": _mean(f1),
        "balanced_accuracy": _mean(recall),
        "mcc": _matthews(table),
        "accuracy": float(hits.sum() / table.sum()) if table.sum() else None,
        "f1_per_class": f1,
        "recall": recall,
        "precision": _divide(hits, predicted),
        "confusion": table.tolist(),
    }


def calibration(prob: ArrayLike, y: ArrayLike, classes: int, weight: Weight = None) -> dict[str, Any]:
    """How far probabilities can be taken at their word; for all three figures less is better.

    ``brier`` sums the squared errors over the classes, as Brier (1950) did: 0 to 2, and with two classes twice the
    one-column version (scikit-learn's ``scale_by_half``). ``ece`` is the expected calibration error of the top class
    in 15 equal-width bins (Guo et al. 2017, arXiv:1706.04599, equation 3). Probabilities of the true class below
    2.2e-16 count as that in ``log_loss``, so one certain mistake costs 36 and not infinity.
    """
    raw, labels = np.asarray(prob, dtype=np.float64), np.asarray(y)
    p = raw / raw.sum(axis=1, keepdims=True)  # float32 rows sum to 1 only nearly
    bins = _bins(p.max(axis=1), p.argmax(axis=1) == labels, weight)
    gaps = [b["count"] * abs(b["confidence"] - b["accuracy"]) for b in bins if b["count"]]
    return {
        "log_loss": float(log_loss(labels, p, labels=range(classes), sample_weight=weight)),
        "brier": float(np.average(((p - np.eye(classes)[labels]) ** 2).sum(axis=1), weights=weight)),
        "ece": float(sum(gaps) / sum(b["count"] for b in bins)),
        "bins": bins,
    }


def _per_class(
    measure: Callable[..., float], scores: NDArray[Any], y: NDArray[Any], classes: Iterable[int], weight: Weight
) -> Values:
    """``measure(is it this class, its score, weight)`` of each class; None where ``y`` has only one side of it."""
    hits = {c: y == c for c in classes}
    return [
        float(measure(hit, scores[:, c], weight)) if hit.any() and not hit.all() else None for c, hit in hits.items()
    ]


def _roc_auc(hit: NDArray[np.bool_], score: NDArray[Any], weight: Weight) -> float:
    return float(roc_auc_score(hit, score, sample_weight=weight))


def _average_precision(hit: NDArray[np.bool_], score: NDArray[Any], weight: Weight) -> float:
    """scikit-learn's ``average_precision_score``, ties included, without its millisecond of checks per call."""
    order = np.argsort(-score, kind="stable")
    score = score[order]
    found, called = (
        (np.cumsum(hit[order]), np.arange(1, len(score) + 1))
        if weight is None
        else (np.cumsum((hit * weight)[order]), np.cumsum(weight[order]))
    )
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)  # equal scores are one step
    steps = np.diff(found[last], prepend=0)
    return float((steps * found[last] / np.maximum(called[last], 1e-300)).sum() / found[-1])


def _headline(values: Values, positive: int | None) -> float | None:
    return _mean(values) if positive is None else values[positive]


def _mean(values: Values) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _divide(numerator: NDArray[Any], denominator: NDArray[Any]) -> Values:
    return [float(n / d) if d else None for n, d in zip(numerator, denominator, strict=True)]


def _confusion(pred: NDArray[Any], y: NDArray[Any], classes: int, weight: Weight = None) -> NDArray[Any]:
    """scikit-learn's ``confusion_matrix`` for labels 0 .. classes - 1; tuning a rule asks for it thousands of times."""
    return np.bincount(y * classes + pred, weight, minlength=classes * classes).reshape(classes, classes)


def _matthews(table: NDArray[Any]) -> float | None:
    """Matthews' correlation for any number of classes (Gorodkin 2004); 0 for a constant guess, None for constant y."""
    count, hits = float(table.sum()), float(np.trace(table))
    true, predicted = table.sum(axis=1).astype(float), table.sum(axis=0).astype(float)
    spread_true, spread_predicted = count**2 - true @ true, count**2 - predicted @ predicted
    if spread_true == 0:
        return None
    if spread_predicted == 0:
        return 0.0
    return float((hits * count - true @ predicted) / np.sqrt(spread_true * spread_predicted))


def _bins(confidence: NDArray[np.float64], right: NDArray[np.bool_], weight: Weight) -> list[dict[str, Any]]:
    """One entry per bin (lower, upper], the empty ones included so that bins of repeats can be added up."""
    index = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    rows = np.bincount(index, weight, minlength=BINS)
    sure, hits = (
        np.bincount(index, values if weight is None else values * weight, minlength=BINS)
        for values in (confidence, right.astype(float))
    )
    return [
        {
            "confidence": float(sure[b] / rows[b]) if rows[b] else None,
            "accuracy": float(hits[b] / rows[b]) if rows[b] else None,
            "count": int(rows[b]) if weight is None else float(rows[b]),
        }
        for b in range(BINS)
    ]
