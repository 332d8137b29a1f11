"""Figures of numbers: anchors by hand, and independent formulas in exact fractions as the oracle."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle

import lossmith
from lossmith import metrics
from lossmith.errors import DomainError, DtypeError, ParameterError, ShapeError


def drawn(seed, rows=60):
    random = np.random.default_rng(seed)
    y = (random.normal(size=rows) * 8).round(2)
    y[y == 0] = 1
    return (y + random.normal(size=rows)).round(2), y


def mean(values):
    values = list(values)
    return float(sum(values, Fraction(0)) / len(values))


def test_against_exact_fractions():
    pred, y = drawn(0)
    pairs = [(Fraction(float(p)), Fraction(float(t))) for p, t in zip(pred, y, strict=True)]
    centre = sum((t for _, t in pairs), Fraction(0)) / len(pairs)
    squares = mean((p - t) ** 2 for p, t in pairs)
    assert metrics.mae(pred, y) == pytest.approx(mean(abs(p - t) for p, t in pairs), rel=1e-12)
    assert metrics.mse(pred, y) == pytest.approx(squares, rel=1e-12)
    assert metrics.rmse(pred, y) == pytest.approx(math.sqrt(squares), rel=1e-12)
    assert metrics.mape(pred, y) == pytest.approx(mean(abs(p - t) / abs(t) for p, t in pairs), rel=1e-12)
    assert metrics.smape(pred, y) == pytest.approx(
        mean(2 * abs(p - t) / (abs(p) + abs(t)) for p, t in pairs), rel=1e-12
    )
    assert metrics.r2(pred, y) == pytest.approx(1 - squares / mean((t - centre) ** 2 for _, t in pairs), rel=1e-12)
    for quantile in (Fraction(1, 10), Fraction(3, 4)):
        theirs = mean(quantile * (t - p) if t >= p else (1 - quantile) * (p - t) for p, t in pairs)
        assert metrics.pinball(pred, y, quantile=float(quantile)) == pytest.approx(theirs, rel=1e-12)


def test_they_are_the_losses_of_the_same_name():
    pred, y = drawn(1)
    pair = torch.tensor(pred), torch.tensor(y)
    assert metrics.smape(pred, y) == pytest.approx(float(lossmith.SMAPELoss()(*pair)))
    assert metrics.mape(pred, y) == pytest.approx(float(lossmith.MAPELoss()(*pair)))
    assert metrics.pinball(pred, y, quantile=0.2) == pytest.approx(float(lossmith.QuantileLoss(q=0.2)(*pair)))
    assert metrics.rmse(*pair) == pytest.approx(float(lossmith.RMSELoss()(*pair)))


def test_smape_at_its_ends():
    assert metrics.smape([0.0, 5.0], [0.0, 5.0]) == 0
    assert metrics.smape([0.0, 5.0], [3.0, -5.0]) == 2
    assert metrics.smape([3.0], [1.0]) == 1


def test_intervals_by_hand():
    lower, upper, y = [0, 0, 0, 2, 1], [1, 2, 3, 2, 4], [0, 2, 3.1, 2, 0.9]
    assert metrics.coverage(lower, upper, y) == pytest.approx(3 / 5)
    assert metrics.interval_width(lower, upper) == pytest.approx((1 + 2 + 3 + 0 + 3) / 5)


def test_coverage_of_a_normal_interval():
    """A named oracle: 90 % of a normal variable lies within 1.6449 deviations."""
    y = np.random.default_rng(0).normal(size=200_000)
    assert metrics.coverage(np.full_like(y, -1.6449), np.full_like(y, 1.6449), y) == pytest.approx(0.9, abs=0.002)


def test_what_is_undefined_is_none_and_not_scikit_learns_number():
    assert metrics.mape([1.0, 2.0], [0.0, 2.0]) is None
    assert oracle.mean_absolute_percentage_error([0.0, 2.0], [1.0, 2.0]) > 1e15
    assert metrics.r2([1.0, 2.0], [5.0, 5.0]) is None
    assert metrics.r2([1.0], [1.0]) is None
    assert metrics.r2([9.0, 9.0], [1.0, 2.0]) < -200


def test_large_numbers_stay_finite():
    assert metrics.mse([1e140], [-1e140]) == pytest.approx(4e280)
    assert math.isfinite(metrics.r2([1e140, 1.0, 2.0], [-1e140, 0.0, 1.0]))


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda: metrics.mae([], []), ShapeError, "pred is empty"),
        (lambda: metrics.mae([1, 2], [1]), ShapeError, "pred has length 2 and y 1"),
        (lambda: metrics.mae([[1.0]], [[1.0]]), ShapeError, r"the shape \[N\], not \[1, 1\]"),
        (lambda: metrics.mae(None, [1]), ShapeError, "must have the shape"),
        (lambda: metrics.mae(["1"], [1]), DtypeError, "real numbers, not text"),
        (lambda: metrics.mae([1j], [1]), DtypeError, "real numbers, not complex"),
        (lambda: metrics.mae([1, "a"], [1, 2]), DtypeError, "real numbers, not text"),
        (lambda: metrics.mae([[1, 2], [1]], [1, 2]), DtypeError, "pred must be numbers"),
        (lambda: metrics.mae(torch.ones(1, requires_grad=True), [1]), DtypeError, "pred must be numbers"),
        (lambda: metrics.rmse([1, math.nan], [1, 2]), DomainError, "1 of 2 are missing or infinite"),
        (lambda: metrics.r2([1, 2], [1, math.inf]), DomainError, "y must be numbers; 1 of 2"),
        (lambda: metrics.mse([1e200], [0]), DomainError, "too large"),
        (lambda: metrics.pinball([1], [1], quantile=1.0), ParameterError, "between 0 and 1"),
        (lambda: metrics.coverage([0, 2], [1, 1], [1, 1]), DomainError, "1 of 2, first in row 2"),
        (lambda: metrics.coverage([0], [1], [1, 1]), ShapeError, "lower has length 1 and y 2"),
        (lambda: metrics.interval_width([0], [1, 1]), ShapeError, "upper 2"),
    ],
)
def test_misuse_is_one_sentence(call, kind, said):
    with pytest.raises(kind, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
