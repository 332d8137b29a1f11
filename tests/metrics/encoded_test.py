"""Figures of numbered labels against scikit-learn, and where labels leave a figure undefined."""

import json
import timeit

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from lossmith import metrics
from lossmith.metrics import encoded


def sample(seed, rows=200, classes=4, grid=None):
    """Probabilities and labels; ``grid`` rounds the probabilities so that many are tied."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(rows, classes))
    y = np.concatenate([np.arange(classes), random.integers(0, classes, rows - classes)])
    logits[np.arange(rows), y] += 1
    prob = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if grid:
        prob = np.round(prob * grid) / grid + 1e-3
        prob /= prob.sum(axis=1, keepdims=True)
    return prob, y


def numbers(value):
    if isinstance(value, dict):
        return [n for v in value.values() for n in numbers(v)]
    if isinstance(value, list):
        return [n for v in value for n in numbers(v)]
    return [] if value is None else [value]


@pytest.mark.parametrize("grid", [None, 4])
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_ranking_is_scikit_learn(classes, grid):
    prob, y = sample(classes, classes=classes, grid=grid)
    found = metrics.ranking(prob, y, classes)
    each = [oracle.average_precision_score(y == c, prob[:, c]) for c in range(classes)]
    assert found["average_precision_per_class"] == pytest.approx(each, rel=1e-12)
    assert found["average_precision"] == pytest.approx(np.mean(each), rel=1e-12)
    areas = [oracle.roc_auc_score(y == c, prob[:, c]) for c in range(classes)]
    assert found["roc_auc_per_class"] == pytest.approx(areas)
    assert found["roc_auc"] == pytest.approx(np.mean(areas))


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
@settings(max_examples=50)
def test_average_precision_with_any_ties(pairs):
    score, hit = np.array([p[0] / 5 for p in pairs]), np.array([p[1] for p in pairs])
    if hit.all() or not hit.any():
        assert metrics.average_precision(np.c_[1 - score, score], hit.astype(int), 2, 1) == 0.0
    else:
        found = metrics.average_precision(np.c_[1 - score, score], hit.astype(int), 2, 1)
        assert found == pytest.approx(oracle.average_precision_score(hit, score), rel=1e-12)


def test_the_positive_class_is_the_headline():
    prob, y = sample(1, classes=2)
    for positive in (0, 1):
        found = metrics.ranking(prob, y, 2, positive=positive)
        assert found["average_precision"] == found["average_precision_per_class"][positive]
        assert found["average_precision"] == metrics.average_precision(prob, y, 2, positive)


def test_float32_ranks_as_it_is():
    prob, y = sample(2, rows=500)
    prob = prob.astype(np.float32)
    found = metrics.average_precision(prob, y, 4)
    assert found == pytest.approx(np.mean([oracle.average_precision_score(y == c, prob[:, c]) for c in range(4)]))


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_decision_is_scikit_learn(classes):
    prob, y = sample(classes + 10, classes=classes)
    pred = prob.argmax(axis=1)
    found = metrics.decision(pred, y, classes)
    assert found["macro_f1"] == pytest.approx(oracle.f1_score(y, pred, average="macro"))
    assert found["balanced_accuracy"] == pytest.approx(oracle.balanced_accuracy_score(y, pred))
    assert found["mcc"] == pytest.approx(oracle.matthews_corrcoef(y, pred))
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(y, pred))
    assert found["f1_per_class"] == pytest.approx(oracle.f1_score(y, pred, average=None))
    assert found["recall"] == pytest.approx(oracle.recall_score(y, pred, average=None))
    assert found["precision"] == pytest.approx(oracle.precision_score(y, pred, average=None))
    assert found["confusion"] == oracle.confusion_matrix(y, pred).tolist()


@pytest.mark.parametrize("classes", [2, 5])
def test_calibration_is_scikit_learn(classes):
    prob, y = sample(classes + 20, classes=classes)
    found = metrics.calibration(prob, y, classes)
    assert found["log_loss"] == pytest.approx(oracle.log_loss(y, prob, labels=range(classes)))
    onehot = np.eye(classes)[y]
    assert found["brier"] == pytest.approx(classes * oracle.mean_squared_error(onehot, prob))
    if classes == 2:
        assert found["brier"] == pytest.approx(2 * oracle.brier_score_loss(y, prob[:, 1]))


def test_calibration_error_by_hand():
    # two rows at 0.95 (both right), two at 0.6 (one right): gaps 0.05 and 0.1, half of the rows each
    prob = [[0.95, 0.05], [0.05, 0.95], [0.6, 0.4], [0.4, 0.6]]
    found = metrics.calibration(prob, [0, 1, 0, 0], 2)
    assert found["ece"] == pytest.approx(0.5 * 0.05 + 0.5 * 0.1)
    assert len(found["bins"]) == metrics.BINS
    assert [b["count"] for b in found["bins"] if b["count"]] == [2, 2]
    assert sum(b["count"] for b in found["bins"]) == 4


def test_absent_class_is_undefined_and_left_out_of_means():
    prob, y = sample(3, classes=4)
    keep = y != 2
    prob, y = prob[keep], y[keep]
    rank, decide = metrics.ranking(prob, y, 4), metrics.decision(prob.argmax(axis=1), y, 4)
    assert rank["average_precision_per_class"][2] is None
    assert rank["roc_auc_per_class"][2] is None
    assert rank["roc_auc"] == pytest.approx(np.mean([v for v in rank["roc_auc_per_class"] if v is not None]))
    assert decide["recall"][2] is None
    assert decide["f1_per_class"][2] is None
    assert decide["precision"][2] == 0  # predicted, never right
    assert decide["macro_f1"] == pytest.approx(np.mean([decide["f1_per_class"][c] for c in (0, 1, 3)]))


def test_a_class_never_predicted_counts_as_zero_f1():
    found = metrics.decision([0, 0, 0], [0, 0, 1], 2)
    assert found["f1_per_class"] == pytest.approx([0.8, 0.0])
    assert found["precision"][1] is None
    assert found["mcc"] == 0.0


@pytest.mark.parametrize("classes", [2, 3])
def test_labels_of_one_class_give_null_not_nan(classes):
    prob, _ = sample(4, rows=20, classes=classes)
    y = np.zeros(20, dtype=int)
    rank = metrics.ranking(prob, y, classes, positive=1 if classes == 2 else None)
    assert rank["average_precision"] is None
    assert rank["roc_auc"] is None
    assert metrics.decision(prob.argmax(axis=1), y, classes)["mcc"] is None
    assert metrics.average_precision(prob, y, classes) == 0.0
    everything = [rank, metrics.decision(prob.argmax(axis=1), y, classes), metrics.calibration(prob, y, classes)]
    assert np.isfinite(numbers(everything)).all()


def test_certain_mistakes_stay_finite_and_everything_is_json():
    prob = np.array([[1, 0], [0, 1], [1, 0]], dtype=np.float32)
    y = np.array([1, 1, 0])
    everything = [metrics.ranking(prob, y, 2), metrics.decision(prob.argmax(1), y, 2), metrics.calibration(prob, y, 2)]
    assert json.loads(json.dumps(everything, allow_nan=False)) == everything
    assert everything[2]["log_loss"] == pytest.approx(-np.log(np.finfo(float).eps) / 3, rel=1e-3)


def test_names_of_the_decision_metrics_exist():
    assert set(metrics.DECISIONS) < set(metrics.decision([0, 1], [0, 1], 2))


def test_fast_enough_for_every_epoch():
    prob, y = sample(5, rows=1000, classes=5)
    ours = min(timeit.repeat(lambda: metrics.average_precision(prob, y, 5), number=5, repeat=5))

    def theirs():
        return [oracle.average_precision_score(y == c, prob[:, c]) for c in range(5)]

    assert ours < min(timeit.repeat(theirs, number=5, repeat=5))


@given(st.integers(0, 10_000))
def test_a_weight_is_how_often_a_row_is_there(seed):
    generator = np.random.default_rng(seed)
    rows = int(generator.integers(6, 40))
    y = np.r_[0, 1, 2, generator.integers(0, 3, rows - 3)]
    prob = generator.dirichlet(np.ones(3), rows).round(2) + 1e-3
    weight = generator.integers(1, 4, rows)
    again = np.repeat(np.arange(rows), weight)
    for figures in (
        encoded.ranking(prob, y, 3, weight=weight.astype(float)),
        encoded.decision(prob.argmax(1), y, 3, weight=weight.astype(float)),
        encoded.calibration(prob, y, 3, weight=weight.astype(float)),
    ):
        repeated = {
            **encoded.ranking(prob[again], y[again], 3),
            **encoded.decision(prob[again].argmax(1), y[again], 3),
            **encoded.calibration(prob[again], y[again], 3),
        }
        for name, value in figures.items():
            assert flat(value) == pytest.approx(flat(repeated[name]), abs=1e-12), name


def flat(value):
    """The numbers of a nested figure in order; None as -1."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for part in value for number in flat(part)]
    return [-1 if value is None else value]
