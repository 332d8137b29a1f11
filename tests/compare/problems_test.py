"""The figures of every kind of problem, against scikit-learn, direct sums and searches through all thresholds."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics as of_sklearn
import torch
from tables import blobs, labelled, numbers, training

from lossmith.compare.data.load import Roles, load
from lossmith.compare.data.task import infer
from lossmith.compare.models.fitted import Prepared
from lossmith.compare.problems import problem_of
from lossmith.compare.problems.asked import metrics_of
from lossmith.compare.problems.curves import curves
from lossmith.compare.problems.multilabel import Multilabel
from lossmith.compare.problems.regression import errors, interval
from lossmith.compare.remedies import rules
from lossmith.compare.runs.objective import Objective
from lossmith.compare.runs.slices import figures
from lossmith.compare.runs.train import Repeat
from lossmith.compare.settings import MODELS, Training

GRID = [k / 100 for k in range(101)]


@pytest.fixture
def generator():
    return np.random.default_rng(7)


@pytest.fixture(params=[False, True], ids=["plain", "weighted"])
def weighing(request, generator):
    return (lambda rows: generator.uniform(0.2, 3.0, rows)) if request.param else lambda rows: None


def of_kind(kind, classes, **options):
    """The problem with settings that no table has made."""
    recipe = MODELS["linear"]
    fixed = {name: getattr(recipe, name) for name in ("hidden", "epochs", "patience", "learning_rate", "batch_sizes")}
    metric = "mae" if kind == "regression" else "macro_f1"
    chosen = {"model": "linear", "kinds": ("number",), "texts": 0, "positive": None, "seed": 0, "metric": metric}
    return problem_of(Training(problem=kind, classes=classes, **{**fixed, **chosen, **options}))


def rows_of(validation, test, train=None, weights=None):
    """Prepared rows that have targets and nothing else."""
    targets = {"train": test if train is None else train, "validation": validation, "test": test}
    if weights is not None:
        weights = {"train": np.ones(len(targets["train"])), **weights}
    inputs = {part: torch.zeros(len(values), 1) for part, values in targets.items()}
    return Prepared(0, inputs, targets, np.zeros(0, np.int64), weights)


def two_of_a_kind(arm, problem):
    """The arm of that name."""
    return next(one for one in problem.arms() if one.name == arm)


# Numbers


def test_errors_of_numbers_are_those_of_scikit_learn(generator, weighing):
    y, prediction = generator.normal(5, 2, 41), generator.normal(5, 2, 41)
    weight = weighing(41)
    found = errors(prediction, y, weight, 4.5)
    options = {"sample_weight": weight}
    assert found["mae"] == pytest.approx(of_sklearn.mean_absolute_error(y, prediction, **options))
    assert found["rmse"] == pytest.approx(of_sklearn.root_mean_squared_error(y, prediction, **options))
    assert found["median_ae"] == pytest.approx(of_sklearn.median_absolute_error(y, prediction, **options))
    assert found["mape"] == pytest.approx(of_sklearn.mean_absolute_percentage_error(y, prediction, **options))
    assert found["r2"] == pytest.approx(of_sklearn.r2_score(y, prediction, **options))
    skill = of_sklearn.d2_absolute_error_score(y, prediction, **options)  # against the median of y itself
    by_hand = 1 - np.average(abs(y - prediction), weights=weight) / np.average(abs(y - 4.5), weights=weight)
    assert found["skill"] == pytest.approx(by_hand)
    assert found["skill"] >= skill  # no guess is better than the median of y
    smape = 2 * abs(y - prediction) / (abs(y) + abs(prediction))
    assert found["smape"] == pytest.approx(np.average(smape, weights=weight))


def test_errors_of_numbers_by_hand():
    """Off by 1, 1, 2 and 4 from 2, 4, 8 and -2."""
    found = errors(np.array([3.0, 3.0, 6.0, 2.0]), np.array([2.0, 4.0, 8.0, -2.0]), None, 2.0)
    assert found["mae"] == 2.0
    assert found["rmse"] == pytest.approx(np.sqrt(22 / 4))
    assert found["median_ae"] == 1.5
    assert found["mape"] == pytest.approx((1 / 2 + 1 / 4 + 2 / 8 + 4 / 2) / 4)
    assert found["smape"] == pytest.approx(2 * (1 / 5 + 1 / 7 + 2 / 14 + 4 / 4) / 4)
    assert found["r2"] == pytest.approx(1 - 22 / 52)
    assert found["skill"] == pytest.approx(1 - 2 / 3)


def test_what_numbers_leave_undefined_is_none():
    found = errors(np.zeros(3), np.zeros(3), None, 0.0)
    assert (found["mape"], found["r2"], found["skill"]) == (None, None, None)
    assert (found["mae"], found["smape"]) == (0.0, 0.0)


def test_whole_weights_of_numbers_are_repeated_rows(generator):
    y, prediction, weight = generator.normal(5, 2, 40), generator.normal(5, 2, 40), generator.integers(1, 4, 40)
    repeated = errors(np.repeat(prediction, weight), np.repeat(y, weight), None, 4.5)
    assert errors(prediction, y, weight / weight.mean(), 4.5) == pytest.approx(repeated)


@pytest.mark.parametrize("off", [[1.0, 3.0], [4.0, 1.0, 2.0, 8.0], [1.0, 2.0, 2.0, 7.0], [5.0, 6.0, 1.0]])
def test_the_median_of_rows_of_one_weight_is_the_median(off):
    for weight in (1.0, 0.7):
        found = errors(np.array(off), np.zeros(len(off)), np.full(len(off), weight), 1.0)
        assert found["median_ae"] == pytest.approx(np.median(off))


def test_the_conformal_interval_covers_what_it_should(generator):
    """Against sorted validation rows: the k-th smallest need, k = ceil(0.9 (n + 1)), is what both ends move by."""
    known, y = generator.normal(size=57), generator.normal(size=200)
    predicted = {
        "validation": np.column_stack([np.zeros(57), np.full(57, -0.5), np.full(57, 0.7)]),
        "test": np.column_stack([np.zeros(200), np.full(200, 0.7), np.full(200, -0.5)]),  # the ends may be crossed
    }
    found = interval(predicted, {"validation": known, "test": y}, {})
    needs = sorted(max(-0.5 - value, value - 0.7) for value in known)
    reach = needs[int(np.ceil(0.9 * 58)) - 1]
    assert found["level"] == 0.9
    assert found["coverage"] == pytest.approx(np.mean([-0.5 <= value <= 0.7 for value in y]))
    assert found["width"] == pytest.approx(1.2)
    assert found["conformal_coverage"] == pytest.approx(np.mean([-0.5 - reach <= value <= 0.7 + reach for value in y]))
    assert found["conformal_width"] == pytest.approx(1.2 + 2 * reach)
    assert found["coverage"] < 0.6
    assert found["conformal_coverage"] == pytest.approx(0.9, abs=0.06)


def test_an_interval_that_is_too_wide_becomes_narrower_and_never_turns_round(generator):
    known = generator.normal(size=99)
    ends = {
        part: np.column_stack([np.zeros(99), np.full(99, -50.0), np.full(99, 50.0)]) for part in ("validation", "test")
    }
    found = interval(ends, {"validation": known, "test": known}, {})
    assert found["conformal_width"] < 4.5
    assert found["conformal_coverage"] == pytest.approx(0.9, abs=0.02)
    ends["test"][:, 1:] = 0.0
    turned = interval(ends, {"validation": known, "test": known}, {})
    assert turned["conformal_width"] == 0.0


def test_the_guess_that_skill_compares_with_is_the_median_of_the_weighted_training_rows():
    problem = of_kind("regression", 0)
    train, test = np.array([1.0, 2.0, 9.0]), np.array([8.0, 12.0])
    weights = {"train": np.array([1.0, 1.0, 4.0]), "validation": np.ones(2), "test": np.ones(2)}
    outputs = dict.fromkeys(("validation", "test"), torch.tensor([[8.5], [11.0]]))
    found = problem.measure(rows_of(test, test, train, weights), outputs, problem.arms()[0])
    assert found["errors"]["skill"] == pytest.approx(1 - 1.5 / 4)  # off by 1 and 3 from 9


def test_whole_weights_of_an_interval_are_repeated_rows(generator):
    known, y, ends = generator.normal(size=400), generator.normal(size=50), np.array([[0.0, -1.0, 1.0]])
    weight = generator.integers(1, 4, 50)
    found = interval(
        {"validation": np.repeat(ends, 400, 0), "test": np.repeat(ends, 50, 0)},
        {"validation": known, "test": y},
        {"validation": np.ones(400), "test": weight / weight.mean()},
    )
    rows = int(weight.sum())
    repeated = interval(
        {"validation": np.repeat(ends, 400, 0), "test": np.repeat(ends, rows, 0)},
        {"validation": known, "test": np.repeat(y, weight)},
        {},
    )
    assert found == pytest.approx(repeated)


def test_a_run_on_numbers_measures_the_outputs_in_the_unit_of_the_target():
    task = infer(load(numbers(), "y"))
    repeat = Repeat(task.arrays, training(task), 0)
    arm = two_of_a_kind("quantiles", repeat.problem)
    record = repeat.run(arm)
    best = repeat.tries(arm)[record["chosen"]]
    predicted = best.outputs["test"].double().numpy() * repeat.prepared.scale
    y = repeat.prepared.targets["test"]
    assert record["errors"]["mae"] == pytest.approx(np.mean(np.abs(predicted[:, 0] - y)))
    assert record["tries"][record["chosen"]]["validation"] == pytest.approx(
        -np.mean(
            np.abs(
                best.outputs["validation"].double().numpy()[:, 0] * repeat.prepared.scale
                - repeat.prepared.targets["validation"]
            )
        )
    )
    train = repeat.prepared.targets["train"]
    by_hand = 1 - record["errors"]["mae"] / np.mean(np.abs(np.median(train) - y))
    assert record["errors"]["skill"] == pytest.approx(by_hand)
    assert record["points"]["target"] == pytest.approx(y, rel=1e-4)
    assert record["points"]["prediction"] == pytest.approx(predicted[:, 0], rel=1e-4)
    low, high = np.sort(predicted[:, 1:], axis=1).T
    assert record["interval"]["coverage"] == pytest.approx(np.mean((low <= y) & (y <= high)))


# Labels


@pytest.fixture
def labels_of_rows(generator):
    """Targets and logits of validation and test that go with them somewhat."""
    targets = {part: (generator.random((60, 3)) < [0.5, 0.3, 0.15]).astype(np.int8) for part in ("validation", "test")}
    logits = {part: torch.from_numpy(generator.normal(size=(60, 3)) + 1.5 * y - 1) for part, y in targets.items()}
    return targets, logits


def test_figures_of_labels_are_those_of_scikit_learn(labels_of_rows, weighing):
    targets, logits = labels_of_rows
    weights = {part: weighing(60) for part in targets}
    problem = of_kind("multilabel", 3)
    known = None if weights["test"] is None else weights
    prepared = rows_of(targets["validation"], targets["test"], weights=known)
    found = problem.measure(prepared, logits, problem.arms()[0])
    p, y, weight = torch.sigmoid(logits["test"]).numpy(), targets["test"], weights["test"]
    options = {"average": "macro", "sample_weight": weight}
    assert found["ranking"]["average_precision"] == pytest.approx(of_sklearn.average_precision_score(y, p, **options))
    assert found["ranking"]["roc_auc"] == pytest.approx(of_sklearn.roc_auc_score(y, p, **options))
    thresholds = found["rule"]["values"]
    for name, cut in (("default", 0.5), ("tuned", np.array(thresholds))):
        decided, figures = (p > cut).astype(int), found["decision"][name]
        assert figures["macro_f1"] == pytest.approx(of_sklearn.f1_score(y, decided, **options))
        each = {"average": None, "sample_weight": weight}
        assert figures["f1_per_class"] == pytest.approx(of_sklearn.f1_score(y, decided, **each))
        assert figures["recall"] == pytest.approx(of_sklearn.recall_score(y, decided, **each))
        for metric, score in (
            ("accuracy", of_sklearn.accuracy_score),
            ("mcc", of_sklearn.matthews_corrcoef),
            ("balanced_accuracy", of_sklearn.balanced_accuracy_score),
        ):
            by_label = [score(y[:, k], decided[:, k], sample_weight=weight) for k in range(3)]
            assert figures[metric] == pytest.approx(np.mean(by_label))
    cells = None if weight is None else np.repeat(weight, 3)
    log_loss = of_sklearn.log_loss(y.ravel(), p.ravel(), sample_weight=cells)
    assert found["calibration"]["log_loss"] == pytest.approx(log_loss)


@pytest.mark.parametrize("metric", ["macro_f1", "mcc", "balanced_accuracy", "accuracy"])
def test_thresholds_of_labels_are_the_best_of_all_on_validation(labels_of_rows, metric):
    targets, logits = labels_of_rows
    problem = of_kind("multilabel", 3, metric=metric)
    found = problem.measure(rows_of(targets["validation"], targets["test"]), logits, problem.arms()[0])
    p, y = torch.sigmoid(logits["validation"]).numpy(), targets["validation"]
    score = {
        "macro_f1": of_sklearn.f1_score,
        "mcc": of_sklearn.matthews_corrcoef,
        "balanced_accuracy": of_sklearn.balanced_accuracy_score,
        "accuracy": of_sklearn.accuracy_score,
    }[metric]
    for k, threshold in enumerate(found["rule"]["values"]):
        steps = np.sort(p[:, k])
        cuts = [0.0, *(steps[1:] + steps[:-1]) / 2]
        best = max(score(y[:, k], p[:, k] > cut) for cut in cuts)
        assert score(y[:, k], p[:, k] > threshold) == pytest.approx(best)


def test_a_label_that_no_test_row_has_is_in_no_mean(labels_of_rows):
    targets, logits = labels_of_rows
    targets["test"][:, 2] = 0
    problem = of_kind("multilabel", 3)
    found = problem.measure(rows_of(targets["validation"], targets["test"]), logits, problem.arms()[0])
    p = torch.sigmoid(logits["test"]).numpy()
    expected = of_sklearn.average_precision_score(targets["test"][:, :2], p[:, :2])
    assert found["ranking"]["average_precision"] == pytest.approx(expected)
    assert found["ranking"]["average_precision_per_class"][2] is None
    assert found["decision"]["default"]["f1_per_class"][2] is None


# Curves


def test_curves_are_those_of_scikit_learn(generator, weighing):
    """On 20 positive and 100 other rows the curves' own points lie on the grid, where rounding would tell."""
    hit = np.arange(120) < 20
    score = np.round(generator.normal(size=120) + hit, 1)
    p = 1 / (1 + np.exp(-score))
    weight = weighing(120)
    found = curves(np.column_stack([1 - p, p]), hit.astype(int), 1, weight, ())
    precision, recall, _ = of_sklearn.precision_recall_curve(hit, p, sample_weight=weight)
    best = [precision[:-1][recall[:-1] >= at].max() for at in GRID]
    assert found["precision"] == pytest.approx(best, abs=1e-5)
    false, true, _ = of_sklearn.roc_curve(hit, p, sample_weight=weight, drop_intermediate=False)
    assert len(found["tpr"]) == 101
    for at, value in zip(GRID, found["tpr"], strict=True):
        left, right = np.flatnonzero(false <= at)[-1], np.flatnonzero(np.append(false, 2.0) > at)[0]
        share = 0.0 if false[left] == at else (at - false[left]) / (false[right] - false[left])
        beyond = true[right] if share else 0.0
        assert value == pytest.approx(true[left] + share * (beyond - true[left]), abs=1e-5)


def test_threshold_curves_are_those_of_every_threshold_by_itself(generator, weighing):
    hit = generator.random(90) < 0.3
    p = np.round(np.clip(generator.normal(0.3 + 0.3 * hit, 0.2), 0.0, 1.0), 2)  # on the thresholds themselves
    weight = weighing(90)
    positive = 0
    found = curves(np.column_stack([p, 1 - p]), (~hit).astype(int), positive, weight, (10.0, 2.0))["threshold"]
    rows = np.ones(90) if weight is None else weight
    for k, cut in enumerate(np.arange(1, 100) / 100):
        called = p >= cut
        options = {"sample_weight": weight, "zero_division": np.nan}
        f1 = of_sklearn.f1_score(hit, called, average=None, labels=[False, True], **options)
        cost = (10 * rows[hit & ~called].sum() + 2 * rows[~hit & called].sum()) / rows.sum()
        expected = {
            "macro_f1": np.mean(f1),
            "recall": of_sklearn.recall_score(hit, called, **options),
            "precision": of_sklearn.precision_score(hit, called, **options),
            "cost": cost,
        }
        for name, value in expected.items():
            assert found[name][k] == (None if np.isnan(value) else pytest.approx(value, abs=1e-5)), (name, cut)


def test_curves_of_many_classes_are_the_mean_over_those_that_are_there(generator):
    labels = generator.choice([0, 2], 50)  # class 1 is not there
    p = generator.dirichlet(np.ones(3), 50)
    found = curves(p, labels, None, None, ())
    one, other = (
        curves(np.column_stack([1 - p[:, k], p[:, k]]), (labels == k).astype(int), 1, None, ()) for k in (0, 2)
    )
    for name in ("precision", "tpr"):
        assert found[name] == pytest.approx(np.mean([one[name], other[name]], axis=0), abs=1e-5)
    assert "threshold" not in found
    assert curves(p, np.zeros(50, int), None, None, ()) == {}


# Classes, and their pixels


def test_a_tuned_rule_with_costs_starts_at_the_plug_in_rule_and_its_cost_is_that_of_the_confusion(generator):
    labels = generator.choice(2, 200, p=[0.9, 0.1])
    logits = torch.from_numpy(generator.normal(size=(200, 2)) + 1.5 * np.eye(2)[labels])
    problem = of_kind("binary", 2, positive=1, metric="cost", costs=(1.0, 20.0))
    found = problem.measure(rows_of(labels, labels), {"validation": logits, "test": logits}, problem.arms()[0])
    p = torch.softmax(logits, 1).numpy()[:, 1]
    for name, called in (("default", p * 20 > 1 - p), ("tuned", None)):
        table = np.array(found["decision"][name]["confusion"])
        assert found["decision"][name]["cost"] == pytest.approx((table[0, 1] + 20 * table[1, 0]) / 200)
        if called is not None:
            np.testing.assert_array_equal(table, of_sklearn.confusion_matrix(labels, called))
    best = min((((p > cut) & (labels == 0)).sum() + 20 * ((p <= cut) & (labels == 1)).sum()) / 200 for cut in [0, *p])
    assert found["decision"]["tuned"]["cost"] == pytest.approx(best)


def test_whole_weights_of_classes_are_repeated_rows(generator):
    labels, weight = generator.choice(3, 60), generator.integers(1, 4, 60)
    logits = torch.from_numpy(generator.normal(size=(60, 3)) + np.eye(3)[labels])
    problem = of_kind("multiclass", 3)
    arm = two_of_a_kind("temperature", problem)
    rows = np.repeat(np.arange(60), weight)
    prepared = rows_of(labels, labels, weights=dict.fromkeys(("validation", "test"), weight.astype(float)))
    counts = {"counts": np.array([1, 1, 1])}
    found = problem.measure(replace(prepared, **counts), {"validation": logits, "test": logits}, arm)
    repeated = problem.measure(
        replace(rows_of(labels[rows], labels[rows]), **counts), dict.fromkeys(("validation", "test"), logits[rows]), arm
    )
    assert found["rule"]["calibration"]["temperature"] == pytest.approx(
        repeated["rule"]["calibration"]["temperature"], rel=1e-6
    )
    assert found["rule"]["values"] == pytest.approx(repeated["rule"]["values"], abs=1e-6)
    assert found["ranking"]["average_precision"] == pytest.approx(repeated["ranking"]["average_precision"])
    for name in ("log_loss", "brier", "ece"):
        assert found["calibration"][name] == pytest.approx(repeated["calibration"][name])
    for name in rules.METRICS:
        assert found["decision"]["tuned"][name] == pytest.approx(repeated["decision"]["tuned"][name])
    assert found["curves"]["tpr"] == pytest.approx(repeated["curves"]["tpr"], abs=2e-5)


def test_figures_of_masks_are_those_of_all_their_pixels(generator):
    masks = {part: generator.choice(3, (4, 8, 8), p=[0.6, 0.3, 0.1]) for part in ("validation", "test")}
    near = {part: np.moveaxis(np.eye(3)[y], -1, 1) for part, y in masks.items()}
    logits = {part: torch.from_numpy(generator.normal(size=(4, 3, 8, 8)) + 1.5 * hot) for part, hot in near.items()}
    problem = of_kind("segmentation", 3)
    found = problem.measure(rows_of(masks["validation"], masks["test"]), logits, problem.arms()[0])
    decided, truth = logits["test"].argmax(1).numpy(), masks["test"]
    unions = [((decided == k) & (truth == k)).sum() / ((decided == k) | (truth == k)).sum() for k in range(3)]
    assert found["decision"]["default"]["iou"] == pytest.approx(np.mean(unions))
    options = {"average": "macro"}
    jaccard = of_sklearn.jaccard_score(truth.ravel(), decided.ravel(), **options)
    assert found["decision"]["default"]["iou"] == pytest.approx(jaccard)
    dice = of_sklearn.f1_score(truth.ravel(), decided.ravel(), **options)
    assert found["decision"]["default"]["macro_f1"] == pytest.approx(dice)
    assert problem.score(logits["test"], truth, None, 1.0) == pytest.approx(dice)
    p = torch.softmax(logits["test"], 1).movedim(1, -1).reshape(-1, 3).numpy()
    assert found["calibration"]["log_loss"] == pytest.approx(of_sklearn.log_loss(truth.ravel(), p))
    assert problem.counts(truth).tolist() == np.bincount(truth.ravel()).tolist()
    weight = problem.weight(
        replace(rows_of(truth, truth), counts=problem.counts(truth)), two_of_a_kind("balanced", problem), 0
    )
    assert (weight.numpy() * np.bincount(truth.ravel())) == pytest.approx(np.full(3, truth.size / 3))


@pytest.mark.parametrize("metric", metrics_of("segmentation"))
def test_masks_are_tuned_for_every_metric_that_may_decide(generator, metric):
    """On the rows that the offsets are tuned on, they are no worse than none, by the figure of the report."""
    masks = generator.choice(3, (4, 8, 8), p=[0.6, 0.3, 0.1])
    logits = torch.from_numpy(generator.normal(size=(4, 3, 8, 8)) + np.moveaxis(np.eye(3)[masks], -1, 1))
    problem = of_kind("segmentation", 3, metric=metric)
    found = problem.measure(rows_of(masks, masks), {"validation": logits, "test": logits}, problem.arms()[0])
    tuned, default = (found["decision"][rule][metric] for rule in ("tuned", "default"))
    assert tuned > default
    log_p, labels = problem.rows(logits, masks)
    assert rules.score(metric, rules.decide(log_p, np.zeros(3)), labels, 3) == pytest.approx(default)


# Slices and gradients


@pytest.mark.parametrize("kind", ["binary", "regression", "multilabel"])
def test_the_figures_of_a_slice_are_those_of_its_rows_alone(kind):
    frame = {"binary": blobs(200), "regression": numbers(200), "multilabel": labelled(200)}[kind]
    target = ["l0", "l1", "l2"] if kind == "multilabel" else "y"
    place = np.resize(["x", "x", "x", "y", "y"], 200)
    task = infer(
        load(frame.assign(place=place, rare=["odd"] + ["even"] * 199), target, None, Roles(slices=("place", "rare")))
    )
    repeat = Repeat(task.arrays, training(task), 0)
    arm = repeat.problem.arms()[0]
    record = repeat.run(arm)
    best, rows = repeat.tries(arm)[record["chosen"]], repeat.parts["test"]
    found = record["slices"]["place"]
    assert {value: one["rows"] for value, one in found.items()} == {
        value: int((place[rows] == value).sum()) for value in ("x", "y")
    }
    for value, one in found.items():
        at = np.flatnonzero(place[rows] == value)
        y, output = task.labels[rows][at], best.outputs["test"][at].double().numpy()
        if kind == "regression":
            expected = {"mae": of_sklearn.mean_absolute_error(y, output[:, 0] * repeat.prepared.scale)}
        else:
            p = output[:, 1] - output[:, 0] if kind == "binary" else output
            hit = y == task.positive if kind == "binary" else y
            p = p if task.positive != 0 else -p
            expected = {"average_precision": of_sklearn.average_precision_score(hit, p)}
        for metric, figure in expected.items():
            assert one[metric] == pytest.approx(figure)
    few = record["slices"]["rare"]
    assert few["odd"]["rows"] <= 1
    assert set(few["odd"]) == {"rows"}
    every = np.arange(len(rows))
    whole = figures(repeat, best, arm, every)
    group = {"regression": "errors"}.get(kind, "ranking")
    shared = [name for name in whole if name in record[group]]
    assert len(shared) >= 2
    assert all(whole[name] == record[group][name] for name in shared)


@pytest.mark.parametrize("classes", [2, 3])
def test_gradient_shares_are_those_of_finite_differences_and_balanced_weights_make_them_alike(classes):
    task = infer(load(blobs(240, classes), "y"))
    repeat = Repeat(task.arrays, training(task), 0)
    shares = {}
    for name in ("cross_entropy", "balanced"):
        arm = two_of_a_kind(name, repeat.problem)
        record = repeat.run(arm)
        shares[name] = np.array(record["gradient"]["classes"])
        assert shares[name].sum() == pytest.approx(1.0)
        assert sum(record["gradient"]["bins"]) == pytest.approx(1.0)
        p = torch.softmax(repeat.tries(arm)[record["chosen"]].outputs["train"].double(), 1).numpy()
        labels, counts = repeat.prepared.targets["train"], repeat.prepared.counts
        weight = np.ones(classes) if name == "cross_entropy" else 1 / counts
        size = 2 * (1 - p[np.arange(len(p)), labels]) * weight[labels]  # |p - onehot| summed over the classes
        assert shares[name] == pytest.approx(np.bincount(labels, size) / size.sum(), abs=1e-5)
        hard = np.minimum((10 * (1 - p[np.arange(len(p)), labels])).astype(int), 9)
        assert record["gradient"]["bins"] == pytest.approx(np.bincount(hard, size, minlength=10) / size.sum(), abs=1e-5)
    assert np.ptp(shares["balanced"]) < np.ptp(shares["cross_entropy"])


# What training minimises


@pytest.mark.parametrize("kind", ["binary", "regression", "multilabel"])
def test_whole_weights_in_training_are_repeated_rows(kind, generator):
    """The objective's value on all training rows, and its gradient for each of them."""
    frame = {"binary": blobs(), "regression": numbers(120), "multilabel": labelled(120)}[kind]
    target = ["l0", "l1", "l2"] if kind == "multilabel" else "y"
    weight = generator.integers(1, 4, 120)
    task = infer(load(frame.assign(w=weight), target, None, Roles(weight="w")))
    repeat = Repeat(task.arrays, training(task), 0)
    prepared, rows = repeat.prepared, repeat.parts["train"]
    times = np.repeat(np.arange(len(rows)), weight[rows])
    assert prepared.weights is not None
    assert prepared.weights["train"] == pytest.approx(weight[rows] / weight.mean())
    plain = replace(repeat.with_rows(times), weights=None)
    for arm in repeat.problem.arms():
        if arm.weighting != "none" or arm.adjust or arm.name == "ghmr":  # counts rows, and not their weights
            continue
        one, other = (Objective(repeat.problem, given, arm, 0) for given in (prepared, plain))
        outputs = torch.randn(len(rows), one.outputs, generator=torch.Generator().manual_seed(0))
        leaf, repeated = outputs.clone().requires_grad_(), outputs.clone().requires_grad_()
        value = one(leaf, torch.arange(len(rows)))
        expected = other(repeated[torch.from_numpy(times)], torch.arange(len(times)))
        torch.testing.assert_close(value, expected, msg=lambda text, name=arm.name: f"{name}: {text}")
        for end in (value, expected):
            torch.autograd.backward(end)
        torch.testing.assert_close(leaf.grad, repeated.grad, atol=1e-6, rtol=1e-4)


def test_weights_of_labels_are_of_presence_and_absence_of_each():
    task = infer(load(labelled(), ["l0", "l1", "l2"]))
    repeat = Repeat(task.arrays, training(task), 0)
    assert isinstance(repeat.problem, Multilabel)
    objective = Objective(repeat.problem, repeat.prepared, two_of_a_kind("balanced", repeat.problem), 0)
    y, there = repeat.prepared.targets["train"], repeat.prepared.counts
    for row, label in itertools.product(range(5), range(3)):
        count = there[label] if y[row, label] else len(y) - there[label]
        assert float(objective.row_weight[row, label]) == pytest.approx(len(y) / (2 * count))
