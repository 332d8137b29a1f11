"""Figures of labels and scores of any kind: anchors by hand, scikit-learn as the oracle, and the one sentence."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics as oracle

from lossmith import metrics
from lossmith.errors import DomainError, DtypeError, LossmithError, ParameterError, ShapeError

Y = ["a", "a", "a", "b", "b", "c"]
PRED = ["a", "a", "b", "b", "c", "c"]


def drawn(seed, rows=300, labels=("owl", "cat", "emu", "dog")):
    random = np.random.default_rng(seed)
    y = random.choice(labels, rows, p=[0.55, 0.25, 0.15, 0.05])
    pred = np.where(random.random(rows) < 0.6, y, random.choice(labels, rows))
    z = random.normal(size=(rows, len(labels))) + 2 * (y[:, None] == np.array(labels))
    return pred, y, np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), list(labels)


def test_averages_by_hand():
    """TP 2, 1, 1; predicted 2, 2, 2; rows 3, 2, 1."""
    assert metrics.precision(PRED, Y) == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)
    assert metrics.recall(PRED, Y) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert metrics.f1(PRED, Y) == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    assert metrics.f1(PRED, Y, average="weighted") == pytest.approx((3 * 4 / 5 + 2 * 1 / 2 + 2 / 3) / 6)
    assert metrics.f1(PRED, Y, average="micro") == metrics.accuracy(PRED, Y) == pytest.approx(4 / 6)
    assert metrics.f1(PRED, Y, positive="c") == pytest.approx(2 / 3)
    assert metrics.confusion_matrix(PRED, Y) == (["a", "b", "c"], [[2, 1, 0], [0, 1, 1], [0, 0, 1]])


@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_averages_are_scikit_learns(name, average):
    pred, y, _, _ = drawn(0)
    theirs = getattr(oracle, f"{name}_score")(y, pred, average=average)
    assert getattr(metrics, name)(pred, y, average=average) == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_a_positive_class_is_scikit_learns_binary(name):
    pred, y, _, _ = drawn(1)
    pred, y = pred == "owl", y == "owl"
    theirs = getattr(oracle, f"{name}_score")(y, pred)
    assert getattr(metrics, name)(pred, y, positive=True) == pytest.approx(theirs, rel=1e-12)


def test_decisions_are_scikit_learns_for_any_kind_of_labels():
    pred, y, _, labels = drawn(2)
    number = {label: 10 * place for place, label in enumerate(labels)}
    numbered = [[number[word] for word in words] for words in (pred, y)]
    kinds = [(pred, y), (pred.tolist(), pd.Series(y)), numbered, [torch.tensor(one) for one in numbered]]
    for one, other in kinds:
        assert metrics.accuracy(one, other) == pytest.approx(oracle.accuracy_score(y, pred))
        assert metrics.balanced_accuracy(one, other) == pytest.approx(oracle.balanced_accuracy_score(y, pred))
        assert metrics.mcc(one, other) == pytest.approx(oracle.matthews_corrcoef(y, pred))


def test_the_classes_are_in_the_order_of_the_labels():
    pred, y, _, labels = drawn(3)
    found = metrics.per_class(pred, y, labels=labels)
    assert [row.label for row in found] == labels
    columns = oracle.precision_recall_fscore_support(y, pred, labels=labels)
    assert [(row.precision, row.recall, row.f1, row.support) for row in found] == [
        pytest.approx(row) for row in zip(*columns, strict=True)
    ]
    counts = oracle.confusion_matrix(y, pred, labels=labels)
    assert metrics.confusion_matrix(pred, y, labels=labels).counts == counts.tolist()
    assert [row.predicted for row in found] == counts.sum(axis=0).tolist()


def test_scores_of_several_classes_are_scikit_learns():
    _, y, prob, labels = drawn(4)
    each = [oracle.roc_auc_score(y == label, prob[:, place]) for place, label in enumerate(labels)]
    assert metrics.roc_auc(prob, y, labels=labels) == pytest.approx(np.mean(each))
    assert metrics.roc_auc(prob, y, labels=labels, positive="emu") == pytest.approx(each[2])
    onehot = (y[:, None] == np.array(labels)).astype(int)
    theirs = oracle.average_precision_score(onehot, prob, average="macro")
    assert metrics.average_precision(prob, y, labels=labels) == pytest.approx(theirs)
    order = np.argsort(labels)
    assert metrics.log_loss(prob, y, labels=labels) == pytest.approx(oracle.log_loss(y, prob[:, order]))
    assert metrics.log_loss(prob[:, order], y) == pytest.approx(oracle.log_loss(y, prob[:, order]))
    assert metrics.brier(prob, y, labels=labels) == pytest.approx(4 * oracle.mean_squared_error(onehot, prob))


@pytest.mark.parametrize("positive", ["cat", "owl"])
def test_one_column_of_scores_is_scikit_learns(positive):
    _, y, prob, _ = drawn(5)
    y, p = np.where(y == positive, positive, "else"), prob[:, 1]
    hit = y == positive
    assert metrics.roc_auc(p, y, positive=positive) == pytest.approx(oracle.roc_auc_score(hit, p))
    assert metrics.roc_auc(1e9 * p - 5, y, positive=positive) == pytest.approx(oracle.roc_auc_score(hit, p))
    theirs = oracle.average_precision_score(hit, p)
    assert metrics.average_precision(p, y, positive=positive) == pytest.approx(theirs)
    assert metrics.log_loss(p, hit) == metrics.log_loss(p, y, positive=positive)
    assert metrics.log_loss(p, hit) == pytest.approx(oracle.log_loss(hit, p))
    assert metrics.brier(p, hit) == pytest.approx(2 * oracle.brier_score_loss(hit, p))
    assert metrics.ece(p, hit) == pytest.approx(metrics.ece(np.c_[1 - p, p], hit))


def test_scores_by_hand():
    assert metrics.roc_auc([0.1, 0.5, 0.5, 0.9], [0, 1, 0, 1]) == pytest.approx(3.5 / 4)  # a tie is half a pair
    assert metrics.average_precision([0.9, 0.8, 0.7], [1, 0, 1]) == pytest.approx((1 + 2 / 3) / 2)
    assert metrics.log_loss([[0.5, 0.25, 0.25]], ["c"], labels=["a", "b", "c"]) == pytest.approx(math.log(4))
    assert metrics.brier([[0.5, 0.25, 0.25]], ["c"], labels=["a", "b", "c"]) == pytest.approx(1 / 4 + 1 / 16 + 9 / 16)
    assert metrics.ece([0.95, 0.05, 0.6, 0.4], [1, 0, 0, 0]) == pytest.approx((0.05 + 0.1) / 2)
    assert metrics.log_loss([0.333, 0.5], [1, 1]) == pytest.approx((-math.log(0.333) + math.log(2)) / 2)


def test_rounded_rows_are_probabilities_and_scaled():
    assert metrics.log_loss([[0.33, 0.33, 0.33]], [0], labels=[0, 1, 2]) == pytest.approx(math.log(3))


def test_what_is_undefined_is_none():
    never = (["a", "a", "a"], ["a", "b", "c"])
    assert metrics.precision(*never) is None
    assert metrics.precision(*never, average="weighted") is None
    assert metrics.precision(*never, positive="b") is None
    assert metrics.precision(*never, average="micro") == pytest.approx(1 / 3)
    assert metrics.f1(*never) == pytest.approx((1 / 2 + 0 + 0) / 3)
    assert metrics.mcc(["a", "b"], ["a", "a"]) is None
    assert metrics.recall(["a"], ["a"], labels=["a", "b"], positive="b") is None
    assert metrics.recall(["a"], ["a"], labels=["a", "b"]) == 1
    assert metrics.roc_auc([0.1, 0.2], [1, 1]) is None
    assert metrics.average_precision([0.1, 0.2], [0, 0]) is None
    assert metrics.average_precision([[0.9, 0.1]], [0], 2) == 0.0


def test_an_absent_class_leaves_the_means():
    """Predicted three times and never true, "z" costs the others recall and nothing else."""
    pred, y = ["z", "a", "b", "b"], ["a", "a", "b", "b"]
    assert metrics.recall(pred, y) == pytest.approx((1 / 2 + 1) / 2)
    assert metrics.precision(pred, y) == 1
    assert metrics.per_class(pred, y)[2] == ("z", 0, 1, 0.0, None, None)


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda: metrics.f1([], []), ShapeError, "pred is empty"),
        (lambda: metrics.f1(["a"], ["a", "b"]), ShapeError, "pred has length 1 and y 2"),
        (lambda: metrics.f1([["a"]], ["a"]), DtypeError, "all of text or all of numbers"),
        (lambda: metrics.f1(np.array([[1]]), [1]), ShapeError, r"not of shape \(1, 1\)"),
        (lambda: metrics.f1("ab", "ab"), DtypeError, "not one text"),
        (lambda: metrics.f1(None, [1]), DtypeError, "pred must be an array or a list"),
        (lambda: metrics.f1([1, 2], ["1", "2"]), DtypeError, "y holds text and pred numbers"),
        (lambda: metrics.f1([1, "a"], [1, 2]), DtypeError, "all of text or all of numbers"),
        (lambda: metrics.f1(["a", None], ["a", "b"]), DomainError, "1 of 2 are missing"),
        (lambda: metrics.f1([1.0, math.nan], [1, 2]), DomainError, "1 of 2 are missing"),
        (lambda: metrics.f1(np.array([1.0, np.nan]), [1, 2]), DomainError, "1 of 2 are missing"),
        (lambda: metrics.f1(["a", "x"], ["a", "b"], labels=["b", "a"]), DomainError, 'outside the known ones: "x"'),
        (lambda: metrics.f1(["a"], ["a"], labels=["a", "a"]), ParameterError, "twice"),
        (lambda: metrics.f1(["a"], ["a"], labels=[1, 2]), DtypeError, "hold text and labels numbers"),
        (lambda: metrics.f1(["a"], ["a"], positive="b"), ParameterError, '"b" is no known label'),
        (lambda: metrics.f1(["a"], ["a"], average="mikro"), ParameterError, "micro, macro, weighted"),
        (lambda: metrics.roc_auc([0.1, 0.2], ["a", "b"]), ParameterError, "is positive="),
        (lambda: metrics.roc_auc([0.1, 0.2], ["a", "b"], positive="c"), ParameterError, "no known label"),
        (lambda: metrics.roc_auc([0.1, 0.2, 0.3], [1, 2, 3], positive=1), ShapeError, "there are 3 labels"),
        (lambda: metrics.roc_auc([[0.1, 0.2, 0.7]], ["a"]), ShapeError, "give labels="),
        (lambda: metrics.roc_auc([0.1], [0, 1]), ShapeError, "prob has length 1 and y 2"),
        (lambda: metrics.roc_auc([0.1, math.nan], [0, 1]), DomainError, "missing or infinite"),
        (lambda: metrics.roc_auc(["x", "y"], [0, 1]), DtypeError, "real numbers, not text"),
        (lambda: metrics.log_loss([[0.2, 0.2]], [0], labels=[0, 1]), DomainError, "row 1 sums to 0.4, not 1"),
        (lambda: metrics.ece([0.5, 1.5], [0, 1]), DomainError, "row 2 holds 1.5, outside 0 to 1"),
        (lambda: metrics.brier([-0.5, 0.5], [0, 1]), DomainError, "row 1 holds -0.5, outside 0 to 1"),
    ],
)
def test_misuse_is_one_sentence(call, kind, said):
    with pytest.raises(kind, match=said) as caught:
        call()
    assert isinstance(caught.value, LossmithError)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_inputs_are_not_written_to():
    prob, y = np.array([[0.3, 0.7], [0.6, 0.4]]), np.array([0, 1])
    before = prob.copy(), y.copy()
    metrics.log_loss(prob, y)
    metrics.roc_auc(prob[:, 1], y)
    assert (prob == before[0]).all()
    assert (y == before[1]).all()
