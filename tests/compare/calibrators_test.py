"""Calibrators: closed forms and searches of their own as oracles, weights, states, and rows that say nothing."""

import json

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import log_softmax, softmax
from scipy.stats import norm

from lossmith import metrics
from lossmith.compare.remedies.calibrators import CALIBRATORS, calibrator, calibrator_of
from lossmith.errors import InputError, ParameterError

LEARNING = [name for name in CALIBRATORS if name != "none"]


def sample(rows=400, classes=3, heat=1.0, seed=0):
    """log p, labels drawn from softmax(log p / heat), weights."""
    generator = np.random.default_rng(seed)
    log_p = log_softmax(2 * generator.normal(size=(rows, classes)) - np.arange(classes), axis=1)
    p = softmax(log_p / heat, axis=1)
    labels = (p.cumsum(1) < generator.random((rows, 1))).sum(1)
    return log_p, labels, generator.choice([0.5, 1.0, 3.0], rows)


def made(name, classes=3):
    return calibrator(name, prior=2.0 ** -np.arange(classes))


def log_loss(log_p, labels, weights=None):
    return -np.average(log_p[np.arange(len(labels)), labels], weights=weights)


@pytest.mark.parametrize("heat", [0.4, 1.0, 2.5])
def test_temperature_recovers_the_temperature_that_made_the_labels(heat):
    log_p, labels, _ = sample(40_000, heat=heat)
    assert made("temperature").fit(log_p, labels).temperature == pytest.approx(heat, rel=0.03)


@pytest.mark.parametrize("classes", [2, 4])
def test_temperature_is_the_root_of_the_slope(classes):
    """The slope of the log-loss in 1/T is the mean score under p less the score of the label."""
    log_p, labels, weights = sample(300, classes, heat=1.7)

    def slope(sharpness):
        p = softmax(sharpness * log_p, axis=1)
        return np.average((p * log_p).sum(1) - log_p[np.arange(300), labels], weights=weights)

    expected = 1 / brentq(slope, 1e-3, 1e3)
    assert made("temperature").fit(log_p, labels, weights).temperature == pytest.approx(expected, rel=1e-5)


def test_temperature_changes_no_order_and_lowers_the_log_loss():
    log_p, labels, _ = sample(300, 2, heat=3.0)
    found = made("temperature").fit(log_p, labels).apply(log_p)
    ranked = [metrics.average_precision(np.exp(values), labels, 2, 1) for values in (log_p, found)]
    assert ranked[0] == pytest.approx(ranked[1], abs=1e-12)
    assert log_loss(found, labels) < log_loss(log_p, labels) - 0.05


def test_temperature_of_rows_that_are_all_right_stays_1():
    log_p = np.log([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    fitted = made("temperature", 2).fit(log_p, [0, 1, 1])
    assert fitted.temperature == 1.0
    np.testing.assert_array_equal(fitted.apply(log_p), log_p)


def pooled(x, hit, weights):
    """Isotonic regression by its max-min formula, for distinct x in order."""
    order = np.argsort(x)
    y, w = hit[order].astype(float), weights[order]
    means = [[np.average(y[a : b + 1], weights=w[a : b + 1]) for b in range(len(y)) if b >= a] for a in range(len(y))]
    return np.array([max(min(means[a][i - a :]) for a in range(i + 1)) for i in range(len(y))]), order


@pytest.mark.parametrize("classes", [2, 3])
def test_isotonic_is_the_max_min_formula(classes):
    log_p, labels, weights = sample(60, classes)
    expected = np.empty((60, classes))
    for label in range(classes):
        values, order = pooled(log_p[:, label], labels == label, weights)
        expected[order, label] = np.clip(values, 1 / 62, 61 / 62)
    expected /= expected.sum(1, keepdims=True)
    found = np.exp(made("isotonic", classes).fit(log_p, labels, weights).apply(log_p))
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_isotonic_probabilities_never_fall_and_are_never_certain():
    log_p, labels, _ = sample(50, 2)
    fitted = made("isotonic", 2).fit(log_p, labels)
    p = np.linspace(0, 1, 301)
    with np.errstate(divide="ignore"):
        found = np.exp(fitted.apply(np.log(np.column_stack([1 - p, p]))))[:, 1]
    assert (np.diff(found) >= 0).all()
    assert found.min() >= 1 / 52 - 1e-12
    assert found.max() <= 51 / 52 + 1e-12


def test_isotonic_leaves_out_a_class_that_validation_does_not_have():
    log_p, labels, _ = sample(200, 4)
    seen = labels != 3
    fitted = made("isotonic", 4).fit(log_p[seen], labels[seen])
    assert fitted.curves[3] is None
    ratio = np.exp(fitted.apply(log_p[:5])[:, 3] - log_p[:5, 3])  # what normalising the row has done
    assert ratio == pytest.approx(1 / (np.exp(log_p[:5, 3]) + others(fitted, log_p[:5])), rel=1e-9)


def others(fitted, log_p):
    return sum(np.interp(np.exp(log_p[:, k]), *fitted.curves[k]) for k in range(3))


def normals(prior, x):
    """The posterior log p of three normal distributions a unit apart under a prior."""
    joint = norm.logpdf(x[:, None], loc=np.arange(3)) + np.log(prior)
    return joint - np.log(np.exp(joint).sum(1, keepdims=True))


def test_prior_correction_is_bayes_with_equal_priors():
    x = np.linspace(-3, 5, 9)
    fitted = calibrator_of({"name": "prior_correction", "prior": [0.7, 0.2, 0.1], "tau": 1.0})
    np.testing.assert_allclose(fitted.apply(normals([0.7, 0.2, 0.1], x)), normals([1 / 3] * 3, x), atol=1e-12)
    half = calibrator_of({"name": "prior_correction", "prior": [0.7, 0.2, 0.1], "tau": 0.5})
    roots = np.sqrt([0.7, 0.2, 0.1])
    np.testing.assert_allclose(half.apply(normals([0.7, 0.2, 0.1], x)), normals(roots / roots.sum(), x), atol=1e-12)


def test_prior_correction_finds_tau_1_where_probabilities_are_right():
    generator = np.random.default_rng(0)
    labels = generator.choice(3, 60_000, p=[0.7, 0.2, 0.1])
    log_p = normals([0.7, 0.2, 0.1], labels + generator.normal(size=60_000))
    assert calibrator("prior_correction", prior=[70, 20, 10]).fit(log_p, labels).tau == pytest.approx(1.0, abs=0.05)


def test_prior_correction_has_the_least_balanced_log_loss():
    log_p, labels, weights = sample(300)
    fitted = made("prior_correction").fit(log_p, labels, weights)
    prior = 2.0 ** -np.arange(3)
    grid = np.linspace(0, 3, 30_001)
    risks = [
        np.mean(
            [
                log_loss(log_softmax(log_p - tau * np.log(prior), axis=1)[labels == k], np.full(sum(labels == k), k), w)
                for k in range(3)
                for w in [weights[labels == k]]
            ]
        )
        for tau in grid[::50]
    ]
    assert 0.1 < fitted.tau < 2.9
    assert fitted.tau == pytest.approx(grid[::50][np.argmin(risks)], abs=5e-3)


def test_prior_correction_of_equal_priors_changes_nothing():
    log_p, labels, _ = sample(100)
    fitted = calibrator("prior_correction", prior=[5, 5, 5]).fit(log_p, labels)
    assert fitted.tau == 0.0
    np.testing.assert_array_equal(fitted.apply(log_p), log_p)


@pytest.mark.parametrize("prior", [None, [1, 0], [1, -1], [1, np.nan], 3.0, [[1, 2]]])
def test_a_prior_that_is_none_is_one_sentence(prior):
    with pytest.raises(ParameterError, match="prior_correction: prior must be"):
        calibrator("prior_correction", prior=prior)


@pytest.mark.parametrize("name", LEARNING)
@pytest.mark.parametrize("classes", [2, 3])
def test_a_weight_of_k_is_the_row_k_times_and_0_is_no_row(name, classes):
    log_p, labels, _ = sample(80, classes)
    weights = np.arange(80) % 4
    by_weight = made(name, classes).fit(log_p, labels, weights).apply(log_p)
    repeated = np.repeat(np.arange(80), weights)
    by_hand = made(name, classes).fit(log_p[repeated], labels[repeated]).apply(log_p)
    if name == "isotonic":  # the margin is of rows, and a row counts once whatever its weight
        inside = (np.abs(np.exp(by_weight[:, 0]) - 0.5) < 0.46) & (weights > 0)
        if classes == 2:
            assert inside.sum() > 20
            np.testing.assert_allclose(by_weight[inside], by_hand[inside], atol=1e-6)
        dropped = made(name, classes).fit(log_p[weights > 0], labels[weights > 0], weights[weights > 0])
        np.testing.assert_array_equal(by_weight, dropped.apply(log_p))
    else:
        np.testing.assert_allclose(by_weight, by_hand, atol=1e-6)


@pytest.mark.parametrize("name", CALIBRATORS)
def test_rows_of_one_class_leave_everything_as_it_is(name):
    log_p, labels, _ = sample(50)
    for weights in (None, (labels == 1) * 2.0):
        seen = slice(None) if weights is not None else labels == 1
        fitted = made(name).fit(log_p[seen], labels[seen], None if weights is None else weights)
        np.testing.assert_array_equal(fitted.apply(log_p), log_p)


@pytest.mark.parametrize("name", LEARNING)
def test_fitting_again_forgets(name):
    log_p, labels, _ = sample(50)
    fitted = made(name).fit(log_p, labels)
    assert (fitted.apply(log_p) != log_p).any()
    assert fitted.fit(log_p[:1], labels[:1]) is fitted
    np.testing.assert_array_equal(fitted.apply(log_p), log_p)


@pytest.mark.parametrize("name", CALIBRATORS)
@pytest.mark.parametrize("classes", [2, 4])
def test_a_state_is_json_and_makes_the_same_calibrator(name, classes):
    log_p, labels, weights = sample(120, classes)
    before = log_p.copy()
    fitted = made(name, classes).fit(log_p, labels, weights)
    found = fitted.apply(log_p.astype(np.float32))
    again = calibrator_of(json.loads(json.dumps(fitted.state(), allow_nan=False)))
    np.testing.assert_array_equal(again.apply(log_p.astype(np.float32)), found)
    assert again.state() == fitted.state()
    assert found.dtype == np.float64
    np.testing.assert_allclose(np.exp(found).sum(1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(log_p, before)
    assert fitted.apply(np.zeros((0, classes))).shape == (0, classes)


@pytest.mark.parametrize("name", LEARNING)
@pytest.mark.parametrize("classes", [2, 3])
def test_certain_predictions_stay_finite(name, classes):
    log_p = log_softmax(1e4 * np.eye(classes)[np.arange(40) % classes], axis=1)
    log_p[0] = [0.0] + [-np.inf] * (classes - 1)
    labels = np.arange(40) % classes
    labels[:4] = classes - 1
    found = made(name, classes).fit(log_p, labels).apply(log_p)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(np.exp(found).sum(1), 1.0)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"name": "temprature"},
        {"name": "temperature"},
        {"name": "temperature", "temperature": 0},
        {"name": "temperature", "temperature": "2"},
        {"name": "temperature", "temperature": float("nan")},
        {"name": "isotonic"},
        {"name": "isotonic", "curves": [[[0.1, 0.1], [0.2, 0.3]]]},
        {"name": "isotonic", "curves": [[[0.1, 0.2], [0.2]]]},
        {"name": "isotonic", "curves": [[[0.1, 0.2], [0.2, 1.5]]]},
        {"name": "isotonic", "curves": [[1, 2, 3]]},
        {"name": "prior_correction", "tau": 1.0},
        {"name": "prior_correction", "prior": [0.5, 0.5], "tau": None},
    ],
)
def test_a_state_that_is_none_is_one_sentence(state):
    with pytest.raises(InputError, match="calibration of a saved model cannot be read") as caught:
        calibrator_of(state)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_one_sentence():
    with pytest.raises(ParameterError, match='did you mean "temperature"'):
        calibrator("temprature")
