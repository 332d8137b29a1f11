"""Boosted trees as models: the library's own where the loss is, stopped by the common score, and saved as text."""

import json
from dataclasses import replace
from types import SimpleNamespace

import lightgbm
import numpy as np
import pytest
import torch
import xgboost
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from lossmith import spec
from lossmith.compare.models import trees
from lossmith.compare.models.fitted import Prepared
from lossmith.errors import DomainError, InputError

SEEDS = (3, 4_000_000_001)  # the second is beyond what a C int holds
LIBRARIES = ("xgboost", "lightgbm")
LOAD = {"binary": load_breast_cancer, "multiclass": load_wine, "regression": load_diabetes}
OWN = {
    ("xgboost", "binary"): {"objective": "binary:logistic"},
    ("xgboost", "multiclass"): {"objective": "multi:softprob", "num_class": 3},
    ("xgboost", "regression"): {"objective": "reg:squarederror"},
    ("lightgbm", "binary"): {"objective": "binary"},
    ("lightgbm", "multiclass"): {"objective": "multiclass", "num_class": 3},
    ("lightgbm", "regression"): {"objective": "regression"},
}


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    monkeypatch.setattr(trees, "ROUNDS", 15)


def prepare(x, targets, weights=None, **options):
    rows = np.random.default_rng(0).permutation(len(x))
    parts = dict(
        zip(("train", "validation", "test"), np.split(rows, [len(x) * 6 // 10, len(x) * 8 // 10]), strict=True)
    )
    inputs = {part: torch.from_numpy(x[chosen].astype(np.float32)) for part, chosen in parts.items()}
    given = None if weights is None else {part: weights[chosen] for part, chosen in parts.items()}
    return Prepared(0, inputs, {part: targets[chosen] for part, chosen in parts.items()}, np.zeros(0), given, **options)


def data(problem, weighted=False):
    x, y = LOAD[problem](return_X_y=True)
    weights = np.random.default_rng(1).uniform(0.2, 3.0, len(y)) if weighted else None
    return prepare(x, y.astype(np.float64 if problem == "regression" else np.int64), weights)


def labels(count=3):
    """Rows with several labels that the numbers tell."""
    generator = np.random.default_rng(2)
    x = generator.normal(size=(400, 4))
    return prepare(x, (x[:, :count] + generator.normal(size=(400, count)) > 0.3).astype(np.int8))


def objective_of(prepared, loss="cross_entropy", weight=None, shift=None):
    """As `lossmith.compare.runs.objective` has it."""
    target = prepared.targets["train"]
    rows = None if prepared.weights is None else torch.from_numpy(prepared.weights["train"])
    if weight is not None:
        rows = weight[torch.from_numpy(target)] * (1 if rows is None else rows)
    width = 1 if target.dtype.kind == "f" else target.shape[1] if target.ndim == 2 else int(target.max()) + 1
    if target.dtype.kind == "f":
        target = (target / prepared.scale)[:, None].astype(np.float32)
        rows = None if rows is None else rows[:, None]
    elif target.ndim == 2:
        target = target.astype(np.float32)
    losses = [spec.create(text) for text in ([loss] if isinstance(loss, str) else loss)]
    return SimpleNamespace(
        name=str(loss), losses=losses, width=width, target=torch.from_numpy(target), row_weight=rows, shift=shift
    )


def train(prepared, library, loss="cross_entropy", scores=None, seeds=SEEDS, **options):
    """A run whose score is `scores` round by round, or rises for ever."""
    rising = iter(range(1000)) if scores is None else iter(scores)
    training = SimpleNamespace(score=lambda outputs, part: float(next(rising)))
    return trees.fit(prepared, training, objective_of(prepared, loss, **options), seeds, library)


def own(library, problem, x, y, weight=None, rounds=15):
    """The test predictions of the library's own objective."""
    options = OWN[library, problem] | {"seed": SEEDS[1] % 2**31}
    if library == "xgboost":
        return lambda rows: xgboost.train(
            trees.XGBOOST | options, xgboost.DMatrix(x, y, weight=weight), rounds
        ).predict(xgboost.DMatrix(rows))
    rows_of = lightgbm.Dataset(x, y, weight=weight)
    return lightgbm.train(trees.LIGHTGBM | options, rows_of, rounds).predict


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("problem", LOAD)
@pytest.mark.parametrize("library", LIBRARIES)
def test_the_librarys_own_loss_gives_the_librarys_own_model(library, problem, weighted):
    prepared = data(problem, weighted)
    x, y = prepared.inputs["train"].numpy(), prepared.targets["train"]
    weight = None if not weighted else prepared.weights["train"] / prepared.weights["train"].mean()
    expected = own(library, problem, x, y, weight)(prepared.inputs["test"].numpy())
    width = {"binary": 2, "multiclass": 3, "regression": 1}[problem]
    found = train(prepared, library, "mse" if problem == "regression" else "cross_entropy").outputs["test"]
    assert found.shape == (len(expected), width)
    assert found.dtype == torch.float32
    if problem == "regression":
        np.testing.assert_allclose(found[:, 0], expected, rtol=1e-5)
        return
    p = torch.softmax(found.double(), 1).numpy()
    np.testing.assert_allclose(p[:, 1] if problem == "binary" else p, expected, atol=1e-5)
    assert np.ptp(expected) > 0.5  # far from where they start, so equal is not for nothing


@pytest.mark.parametrize("library", LIBRARIES)
def test_class_weights_are_sample_weights(library):
    prepared = data("binary")
    y = prepared.targets["train"]
    weight = torch.tensor([1.0, 9.0])
    rows = weight.numpy()[y]
    expected = own(library, "binary", prepared.inputs["train"].numpy(), y, rows / rows.mean())
    found = train(prepared, library, weight=weight).outputs["test"]
    p = torch.softmax(found.double(), 1)[:, 1].numpy()
    np.testing.assert_allclose(p, expected(prepared.inputs["test"].numpy()), atol=1e-5)
    plain = torch.softmax(train(prepared, library).outputs["test"].double(), 1)[:, 1].numpy()
    assert (p - plain).mean() > 0.01
    again = train(prepared, library, weight=1000 * weight).outputs["test"]
    torch.testing.assert_close(again, found)  # a loss times a constant is the same loss


@pytest.mark.parametrize("library", LIBRARIES)
def test_row_weights_and_class_weights_multiply(library):
    prepared = data("multiclass", weighted=True)
    of_class = torch.tensor([1.0, 2.0, 4.0])
    product = prepared.weights["train"] * of_class.numpy()[prepared.targets["train"]]
    both = train(prepared, library, weight=of_class)
    joined = replace(prepared, weights={**prepared.weights, "train": product})
    torch.testing.assert_close(both.outputs["test"], train(joined, library).outputs["test"])


@pytest.mark.parametrize("library", LIBRARIES)
def test_several_labels_are_a_booster_each(library):
    prepared = labels()
    found = train(prepared, library, "cross_entropy(link=sigmoid)")
    assert found.outputs["test"].shape == (80, 3)
    assert len(found.state["boosters"]) == 3
    for place in range(3):
        y = prepared.targets["train"][:, place].astype(float)
        expected = own(library, "binary", prepared.inputs["train"].numpy(), y)(prepared.inputs["test"].numpy())
        np.testing.assert_allclose(torch.sigmoid(found.outputs["test"][:, place].double()), expected, atol=1e-5)


@pytest.mark.parametrize("problem", ["binary", "multiclass"])
def test_logit_adjustment_is_that_of_training(problem):
    """Against cross-entropy of shifted logits, by hand in NumPy and over as many columns as classes."""
    prepared = data(problem)
    count = 2 if problem == "binary" else 3
    x, y = prepared.inputs["train"].numpy(), prepared.targets["train"]
    shift = np.log(np.bincount(y) / len(y)) * 1.5
    found = train(prepared, "xgboost", shift=torch.from_numpy(shift)).outputs["test"]
    place = np.eye(count)[y]

    def adjusted(margin, rows):
        margin = margin.astype(np.float64)
        z = (np.column_stack([0 * margin, margin]) if count == 2 else margin) + shift
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        gradient, hessian = p - place, (1 if count == 2 else 2) * p * (1 - p)
        return (gradient[:, 1], hessian[:, 1]) if count == 2 else (gradient, hessian)

    start = np.log(np.bincount(y) / len(y)) - shift  # the best constant: adjusted logits are then the priors
    start = start[1] - start[0] if count == 2 else start - start.mean()
    margins = [np.broadcast_to(start, (len(rows), *start.shape)) for rows in (x, prepared.inputs["test"])]
    options = {"objective": "multi:softprob", "num_class": 3} if count == 3 else {"objective": "reg:squarederror"}
    options = trees.XGBOOST | options | {"seed": SEEDS[1] % 2**31, "disable_default_eval_metric": True}
    booster = xgboost.train(options, xgboost.DMatrix(x, base_margin=margins[0]), 15, obj=adjusted)
    raw = booster.predict(xgboost.DMatrix(prepared.inputs["test"].numpy(), base_margin=margins[1]), output_margin=True)
    raw = np.column_stack([0 * raw, raw]) if count == 2 else raw
    expected = torch.softmax(torch.from_numpy(raw).double(), 1)
    torch.testing.assert_close(torch.softmax(found.double(), 1), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("problem", ["binary", "multiclass", "labels"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_the_best_round_is_kept_and_patience_ends_the_run(library, problem, monkeypatch):
    prepared = labels(2) if problem == "labels" else data(problem)
    loss = "cross_entropy(link=sigmoid)" if problem == "labels" else "cross_entropy"
    monkeypatch.setattr(trees, "PATIENCE", 4)
    scores = [0.1, 0.5, 0.9, 0.2, 0.9, 0.3, 0.4, 0.95]  # the second 0.9 is no improvement
    found = train(prepared, library, loss, scores)
    assert (found.validation, found.epochs) == (0.9, 3)
    assert found.curve["validation"] == scores[:7]
    assert len(found.curve["loss"]) == 7
    assert found.curve["loss"][-1] < found.curve["loss"][0]
    monkeypatch.setattr(trees, "ROUNDS", 3)
    three = train(prepared, library, loss)
    for part in ("validation", "test"):
        torch.testing.assert_close(found.outputs[part], three.outputs[part])
    assert not torch.allclose(found.outputs["test"], train_of(prepared, library, loss, 2, monkeypatch))


def train_of(prepared, library, loss, rounds, monkeypatch):
    monkeypatch.setattr(trees, "ROUNDS", rounds)
    return train(prepared, library, loss).outputs["test"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_score_sees_the_validation_outputs_of_its_round(library):
    prepared, seen = data("binary"), []
    objective = objective_of(prepared, shift=torch.tensor([-2.0, -0.1]))

    def score(outputs, part):
        assert part == "validation"
        seen.append(outputs)
        return float(len(seen))

    found = trees.fit(prepared, SimpleNamespace(score=score), objective, SEEDS, library)
    assert len(seen) == 15
    assert not torch.allclose(seen[0], seen[1])
    torch.testing.assert_close(seen[-1], found.outputs["validation"])


@pytest.mark.parametrize(
    ("problem", "loss"),
    [
        ("binary", "focal(gamma=2)"),
        ("multiclass", "focal(gamma=2)"),
        ("binary", "0.7*focal + 0.3*poly"),
        ("multiclass", "cross_entropy(label_smoothing=0.1)"),
        ("multiclass", "generalized_cross_entropy(q=0.7)"),
        ("regression", "huber(delta=0.5)"),
        ("regression", "mae"),
        ("labels", "focal(link=sigmoid)"),
    ],
)
@pytest.mark.parametrize("library", LIBRARIES)
def test_other_losses_learn_and_their_models_are_read_again(library, problem, loss):
    prepared = labels() if problem == "labels" else data(problem)
    if problem == "regression":
        prepared = replace(prepared, scale=77.0)
    found = train(prepared, library, loss)
    outputs, target = found.outputs["test"].double().numpy(), prepared.targets["test"]
    if problem == "regression":
        y = target / 77.0  # outputs are multiples of the scale
        assert np.abs(outputs[:, 0] - y).mean() < 0.85 * np.abs(np.median(prepared.targets["train"]) / 77.0 - y).mean()
    else:
        right = (outputs > 0) == target if problem == "labels" else outputs.argmax(1) == target
        assert right.mean() > (0.6 if problem == "labels" else 0.85)
    kept = json.loads(json.dumps(found.state, allow_nan=False))  # nothing in it but text and numbers
    for part in ("validation", "test"):
        assert torch.equal(trees.predict(kept, prepared.inputs[part]), found.outputs[part])


@pytest.mark.parametrize("library", LIBRARIES)
def test_seeds_make_tries_different_and_repeatable(library):
    prepared = data("binary")
    first, same, other = (train(prepared, library, seeds=(0, seed)).outputs["test"] for seed in (5, 5, 6))
    assert torch.equal(first, same)
    assert not torch.allclose(first, other)


def test_a_regression_with_an_interval_has_a_booster_for_each_output():
    prepared = replace(data("regression", weighted=True), scale=50.0)
    every = ["mae", "quantile(q=0.05)", "quantile(q=0.95)"]
    found = train(prepared, "lightgbm", every).outputs["test"]
    for place, loss in enumerate(every):
        assert torch.equal(found[:, [place]], train(prepared, "lightgbm", loss).outputs["test"])
    assert (found[:, 1] < found[:, 2]).all()


def test_rows_too_few_to_split_stay_where_they_start():
    """LightGBM wants 20 rows in a leaf."""
    prepared = prepare(np.random.default_rng(0).normal(size=(40, 2)), np.tile([0, 0, 0, 1], 10))
    p = torch.softmax(train(prepared, "lightgbm").outputs["test"].double(), 1)[:, 1]
    torch.testing.assert_close(p, torch.full_like(p, prepared.targets["train"].mean()))


def test_columns_that_tell_nothing_are_a_sentence():
    prepared = prepare(np.zeros((100, 2)), np.tile([0, 0, 0, 1], 25))
    with pytest.raises(DomainError, match=r"^lightgbm: every column is the same in all training rows"):
        train(prepared, "lightgbm")


def test_predictions_that_are_not_finite_are_a_sentence(monkeypatch):
    prepared = data("binary")
    monkeypatch.setattr(trees.XGBoost, "scores", lambda self: np.full(len(prepared.inputs["validation"]), np.nan))
    with pytest.raises(DomainError, match=r"^cross_entropy.*predictions are not finite in round 1\.$"):
        train(prepared, "xgboost")


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("loss", "problem", "outputs", "said"),
    [
        ("dice", "binary", 2, "DiceLoss: a booster needs a loss that is a sum over rows"),
        ("ghmc", "binary", 2, "a booster needs a loss that is a sum over rows"),
        ("rmse", "regression", 1, "boost mse, of which it is the root"),
        ("cross_entropy(link=sigmoid)", "multiclass", 3, "over classes take one with link"),
    ],
)
def test_a_loss_without_an_objective_is_refused_in_one_sentence(library, loss, problem, outputs, said):
    with pytest.raises(InputError, match=f"{said}.*; leave it out, or take --model mlp.$") as caught:
        trees.check(spec.create(loss), library, problem, outputs)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("loss", "problem", "outputs"),
    [
        ("focal", "binary", 2),
        ("focal", "multiclass", 4),
        ("huber", "regression", 1),
        ("focal(link=sigmoid)", "multilabel", 3),
    ],
)
def test_a_loss_with_an_objective_passes_the_check(library, loss, problem, outputs):
    trees.check(spec.create(loss), library, problem, outputs)
