"""Figures of predicted labels and of scores, for labels of any kind: text, numbers or truth values.

Each takes ``labels``, the known labels in the order of the score columns; without it they are all that occur, sorted.
Averages over the classes run over those that occur in ``y``, and are None where one of these has no figure.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, overload

import numpy as np

from lossmith.errors import ParameterError
from lossmith.metrics import encoded
from lossmith.metrics.labels import Coded, encode, probabilities, score

Average = Literal["macro", "micro", "weighted"]
AVERAGES: tuple[Average, ...] = ("micro", "macro", "weighted")


class ConfusionMatrix(NamedTuple):
    """Counts with true classes as rows and predicted ones as columns, both in the order of ``labels``."""

    labels: list[Any]
    counts: list[list[int]]


class ClassFigures(NamedTuple):
    """One class against the rest: how often it occurs and is predicted, and its precision, recall and F1."""

    label: Any
    support: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None


def accuracy(pred: Any, y: Any, *, labels: Sequence[Any] | None = None) -> float:
    """Share of the predictions that are right, 0 to 1.

    >>> accuracy(["a", "b", "b", "b"], ["a", "b", "b", "a"])
    0.75
    """
    return float(_decision(encode(labels, pred=pred, y=y))["accuracy"])


def balanced_accuracy(pred: Any, y: Any, *, labels: Sequence[Any] | None = None) -> float:
    """Mean recall of the classes that occur in ``y``, 0 to 1; a constant guess gets 1 over their number.

    >>> balanced_accuracy(["a", "b", "b", "a"], ["a", "b", "a", "a"])
    0.8333...
    """
    return float(_decision(encode(labels, pred=pred, y=y))["balanced_accuracy"])


def mcc(pred: Any, y: Any, *, labels: Sequence[Any] | None = None) -> float | None:
    """Matthews' correlation, -1 to 1; 0 for a constant guess, None where ``y`` holds one class only.

    Source: Gorodkin (2004), "Comparing two K-category assignments by a K-category correlation coefficient", eq. 8.

    >>> mcc([0, 1, 1, 0], [0, 1, 0, 0])   # (1 * 2 - 1 * 0) / sqrt(2 * 1 * 3 * 2)
    0.5773...
    """
    found: float | None = _decision(encode(labels, pred=pred, y=y))["mcc"]
    return found


def precision(
    pred: Any, y: Any, *, average: Average = "macro", positive: Any = None, labels: Sequence[Any] | None = None
) -> float | None:
    """How much of what was called a class is of it, ``TP / (TP + FP)``; None where it is never predicted.

    scikit-learn says 0 there, with a warning. With ``positive`` it is that label's own, otherwise an average over the
    classes: macro counts classes alike, weighted by their rows, and micro counts rows, which is the accuracy.

    >>> precision(["a", "b", "b", "a"], ["a", "b", "a", "a"], positive="b")
    0.5
    >>> precision(["a", "b", "b", "a"], ["a", "b", "a", "a"], average="weighted")   # (3 * 1 + 1 * 0.5) / 4
    0.875
    """
    return _averaged("precision", encode(labels, pred=pred, y=y), average, positive)


def recall(
    pred: Any, y: Any, *, average: Average = "macro", positive: Any = None, labels: Sequence[Any] | None = None
) -> float | None:
    """How much of a class was called so, ``TP / (TP + FN)``; None where it does not occur. Averages as in `precision`.

    >>> recall(["a", "b", "b", "a"], ["a", "b", "a", "a"], positive="a")
    0.6666...
    >>> recall(["a", "b", "b", "a"], ["a", "b", "a", "a"])   # the balanced accuracy
    0.8333...
    """
    return _averaged("recall", encode(labels, pred=pred, y=y), average, positive)


def f1(
    pred: Any, y: Any, *, average: Average = "macro", positive: Any = None, labels: Sequence[Any] | None = None
) -> float | None:
    """Harmonic mean of precision and recall, ``2 TP / (2 TP + FP + FN)``; None where the class does not occur.

    A class that occurs and is never predicted has F1 0. Averages as in `precision`.

    >>> f1(["a", "b", "b", "a"], ["a", "b", "a", "a"], positive="b")
    0.6666...
    >>> f1(["a", "b", "b", "a"], ["a", "b", "a", "a"])   # (4/5 + 2/3) / 2
    0.7333...
    """
    return _averaged("f1", encode(labels, pred=pred, y=y), average, positive)


def per_class(pred: Any, y: Any, *, labels: Sequence[Any] | None = None) -> list[ClassFigures]:
    """The figures of every class against the rest, in the order of the labels.

    >>> per_class(["a", "b", "b", "a"], ["a", "b", "a", "a"])[1]
    ClassFigures(label='b', support=1, predicted=2, precision=0.5, recall=1.0, f1=0.6666...)
    """
    coded = encode(labels, pred=pred, y=y)
    found = _decision(coded)
    predicted, support = (np.bincount(column, minlength=len(coded.labels)).tolist() for column in coded.columns)
    figures = (found["precision"], found["recall"], found["f1_per_class"])
    return [ClassFigures(*row) for row in zip(coded.labels, support, predicted, *figures, strict=True)]


def confusion_matrix(pred: Any, y: Any, *, labels: Sequence[Any] | None = None) -> ConfusionMatrix:
    """How often each class (row) was called each class (column).

    >>> confusion_matrix(["a", "b", "b", "a"], ["a", "b", "a", "a"])
    ConfusionMatrix(labels=['a', 'b'], counts=[[2, 1], [0, 1]])
    """
    coded = encode(labels, pred=pred, y=y)
    return ConfusionMatrix(coded.labels, _decision(coded)["confusion"])


def roc_auc(prob: Any, y: Any, *, labels: Sequence[Any] | None = None, positive: Any = None) -> float | None:
    """Chance that a row of the class scores above a row of another one, 0 to 1; ties count half.

    ``prob`` is [N], the score of the positive one of two classes (the 1 of 0 and 1, the True of False and True,
    otherwise say ``positive``), or [N, classes]. With ``positive`` the figure is that class's, otherwise the mean over
    the classes, each against the rest. None where ``y`` holds one class only.

    >>> roc_auc([0.1, 0.8, 0.3, 0.6], ["no", "yes", "yes", "no"], positive="yes")   # 3 of 4 pairs are in order
    0.75
    """
    return _ranked("roc_auc", prob, y, labels, positive)


@overload
def average_precision(prob: Any, y: Any, classes: int, positive: int | None = None) -> float: ...
@overload
def average_precision(
    prob: Any, y: Any, classes: None = None, positive: Any = None, *, labels: Sequence[Any] | None = None
) -> float | None: ...
def average_precision(
    prob: Any, y: Any, classes: int | None = None, positive: Any = None, *, labels: Sequence[Any] | None = None
) -> float | None:
    """Mean precision at the ranks where recall grows, ``sum (R_k - R_(k-1)) P_k``, 0 to 1. Arguments as in `roc_auc`.

    With ``classes``, their number, ``y`` must hold 0 .. classes - 1, nothing is checked, and what is undefined is 0:
    training calls it so after every epoch, and sees no progress there.

    >>> average_precision([0.1, 0.8, 0.3, 0.6], ["no", "yes", "yes", "no"], positive="yes")   # (1 + 2/3) / 2
    0.8333...
    """
    if classes is not None:
        return encoded.average_precision(prob, y, classes, positive)
    return _ranked("average_precision", prob, y, labels, positive)


def log_loss(prob: Any, y: Any, *, labels: Sequence[Any] | None = None, positive: Any = None) -> float:
    """Mean of ``-log p`` of the true class, in nats; ``prob`` as in `roc_auc`, rows summing to 1 within 0.01.

    >>> log_loss([0.8, 0.4], [1, 0])   # (-log 0.8 - log 0.6) / 2
    0.3669...
    """
    return _calibrated("log_loss", prob, y, labels, positive)


def brier(prob: Any, y: Any, *, labels: Sequence[Any] | None = None, positive: Any = None) -> float:
    """Mean over the rows of ``sum over classes (p - [it is that class])^2``, 0 to 2; ``prob`` as in `log_loss`.

    With two classes it is twice scikit-learn's. Source: Brier (1950), "Verification of forecasts expressed in terms
    of probability", eq. 2.

    >>> brier([0.8, 0.4], [1, 0])   # (2 * 0.2^2 + 2 * 0.4^2) / 2
    0.2
    """
    return _calibrated("brier", prob, y, labels, positive)


def ece(prob: Any, y: Any, *, labels: Sequence[Any] | None = None, positive: Any = None) -> float:
    """Expected calibration error, 0 to 1: how far the top probability is from the share of rows where it is right.

    Over 15 equal-width bins, weighted by their rows; ``prob`` as in `log_loss`. Source: Guo et al. (2017),
    arXiv:1706.04599, eq. 3.

    >>> ece([0.8, 0.4], [1, 0])   # top probabilities 0.8 and 0.6, both right: (0.2 + 0.4) / 2
    0.3
    """
    return _calibrated("ece", prob, y, labels, positive)


def _mean(values: Sequence[float | None], weights: Sequence[int]) -> float | None:
    """The mean of the values that have a weight; None where one of these is undefined."""
    counted = [(value, weight) for value, weight in zip(values, weights, strict=True) if weight]
    total = 0.0
    for value, weight in counted:
        if value is None:
            return None
        total += value * weight
    return total / sum(weight for _, weight in counted)


def _decision(coded: Coded) -> dict[str, Any]:
    pred, y = coded.columns
    return encoded.decision(pred, y, len(coded.labels))


def _averaged(figure: str, coded: Coded, average: Average, positive: Any) -> float | None:
    """A figure of the positive class, or its average over the classes."""
    if average not in AVERAGES:
        raise ParameterError(f"metrics: average must be one of {', '.join(AVERAGES)}, not {average!r}.")
    found = _decision(coded)
    values: list[float | None] = found["f1_per_class" if figure == "f1" else figure]
    if positive is not None:
        return values[coded.number(positive)]
    if average == "micro":  # every row has one label and one prediction, so wrong ones are as many FP as FN
        return float(found["accuracy"])
    support = np.bincount(coded.columns[1], minlength=len(coded.labels))
    return _mean(values, (support if average == "weighted" else np.sign(support)).tolist())


def _ranked(figure: str, prob: Any, y: Any, labels: Sequence[Any] | None, positive: Any) -> float | None:
    found = score(prob, y, labels, positive)
    value: float | None = encoded.ranking(found.scores, found.y, found.scores.shape[1], found.positive)[figure]
    return value


def _calibrated(figure: str, prob: Any, y: Any, labels: Sequence[Any] | None, positive: Any) -> float:
    found = score(prob, y, labels, positive)
    return float(encoded.calibration(probabilities(found), found.y, found.scores.shape[1])[figure])
