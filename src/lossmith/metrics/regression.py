"""Figures of predicted numbers against the true ones. All are means over the rows; less is better except for R2."""

from typing import Any

import numpy as np
from sklearn import metrics as sklearn_metrics

from lossmith.errors import DomainError, ParameterError
from lossmith.metrics.labels import Floats, numbers, same_length


def mae(pred: Any, y: Any) -> float:
    """Mean absolute error ``mean |pred - y|``, in the unit of y.

    >>> mae([1.0, 4.0], [2.0, 2.0])
    1.5
    """
    pred, y = _pair(pred, y)
    return float(sklearn_metrics.mean_absolute_error(y, pred))


def mse(pred: Any, y: Any) -> float:
    """Mean squared error ``mean (pred - y)^2``, in the unit of y squared.

    >>> mse([1.0, 4.0], [2.0, 2.0])
    2.5
    """
    pred, y = _pair(pred, y)
    return float(sklearn_metrics.mean_squared_error(y, pred))


def rmse(pred: Any, y: Any) -> float:
    """Root of the mean squared error, in the unit of y.

    >>> rmse([1.0, 4.0], [2.0, 2.0])
    1.5811...
    """
    pred, y = _pair(pred, y)
    return float(sklearn_metrics.root_mean_squared_error(y, pred))


def mape(pred: Any, y: Any) -> float | None:
    """Mean absolute percentage error as a fraction, ``mean |pred - y| / |y|``; None where a y is 0.

    scikit-learn divides by 2.2e-16 there, and so gives 1e15 for one zero.

    >>> mape([3.0, 4.0], [4.0, 2.0])
    0.625
    """
    pred, y = _pair(pred, y)
    return float(sklearn_metrics.mean_absolute_percentage_error(y, pred)) if y.all() else None


def smape(pred: Any, y: Any) -> float:
    """Symmetric absolute percentage error as a fraction, 0 to 2: ``mean 2 |pred - y| / (|pred| + |y|)``, 0 at 0/0.

    Source: Makridakis (1993), "Accuracy measures: theoretical and practical concerns", eq. 7, without the 100; the
    same as `lossmith.SMAPELoss`.

    >>> smape([3.0, 0.0], [1.0, 0.0])
    0.5
    """
    pred, y = _pair(pred, y)
    size = np.abs(pred) + np.abs(y)
    return float(np.mean(2 * np.abs(pred - y) / np.where(size > 0, size, 1.0)))


def r2(pred: Any, y: Any) -> float | None:
    """Share of the variance explained, ``1 - sum (pred - y)^2 / sum (y - mean y)^2``; None where y is constant.

    1 is perfect, 0 is no better than the mean of y; there is no lower end.

    >>> r2([1.0, 2.0, 4.0], [1.0, 2.0, 3.0])
    0.5
    """
    pred, y = _pair(pred, y)
    return float(sklearn_metrics.r2_score(y, pred)) if np.ptp(y) > 0 else None


def pinball(pred: Any, y: Any, *, quantile: float = 0.5) -> float:
    """Quantile error ``mean max(q (y - pred), (q - 1) (y - pred))``, in the unit of y; half of the MAE at q = 0.5.

    Source: Koenker and Bassett (1978), "Regression quantiles"; scikit-learn's ``mean_pinball_loss``.

    >>> pinball([1.0, 4.0], [2.0, 2.0], quantile=0.9)   # (0.9 * 1 + 0.1 * 2) / 2
    0.55
    """
    if not 0 < quantile < 1:
        raise ParameterError(f"metrics: quantile must be between 0 and 1, not {quantile}.")
    pred, y = _pair(pred, y)
    return float(sklearn_metrics.mean_pinball_loss(y, pred, alpha=quantile))


def coverage(lower: Any, upper: Any, y: Any) -> float:
    """Share of the rows with ``lower <= y <= upper``, 0 to 1; a 90 % interval should have 0.9.

    >>> coverage([0, 0, 0, 0], [1, 1, 1, 1], [0.5, 1.0, 2.0, -1.0])
    0.5
    """
    lower, upper, y = _interval(lower, upper, y=numbers(y, "y"))
    return float(np.mean((lower <= y) & (y <= upper)))


def interval_width(lower: Any, upper: Any) -> float:
    """Mean of ``upper - lower``, in the unit of y: what a coverage was paid with.

    >>> interval_width([0.0, 1.0], [1.0, 4.0])
    2.0
    """
    lower, upper = _interval(lower, upper)
    return float(np.mean(upper - lower))


def _pair(pred: Any, y: Any) -> tuple[Floats, Floats]:
    columns = {"pred": numbers(pred, "pred"), "y": numbers(y, "y")}
    same_length(**columns)
    return columns["pred"], columns["y"]


def _interval(lower: Any, upper: Any, **others: Floats) -> tuple[Floats, ...]:
    """The ends of intervals, none of which is upside down, and what lies beside them."""
    columns = {"lower": numbers(lower, "lower"), "upper": numbers(upper, "upper"), **others}
    same_length(**columns)
    crossed = np.flatnonzero(columns["lower"] > columns["upper"])
    if crossed.size:
        where = f"{crossed.size} of {len(columns['lower'])}, first in row {crossed[0] + 1}"
        raise DomainError(f"metrics: lower must not be above upper; it is in {where}.")
    return tuple(columns.values())
