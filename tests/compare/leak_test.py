"""One law over all arms: whatever stands in test rows, nothing that is fitted, chosen or counted changes by one bit.

The test rows hold what no other row holds: a huge number, a category, a missing value, a word, another class, a
weight. They come as a table of their own, or are drawn from the one table.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from tables import blobs, labelled, numbers, training

from lossmith.compare.data.load import Roles, load
from lossmith.compare.data.task import infer
from lossmith.compare.models import trees
from lossmith.compare.problems import problem_of
from lossmith.compare.remedies.arms import known_arms
from lossmith.compare.remedies.calibrators import CALIBRATORS
from lossmith.compare.remedies.choice import hindrance
from lossmith.compare.remedies.resampling import RESAMPLINGS
from lossmith.compare.runs.train import Repeat

SUBJECTS = ("train", "bus", "tram", "ferry")
PLACES = ("Leeds", "York", "Bath", "Hull", "Kent", "Ely", "Rye", "Bude")
WORDS = ("late", "early", "full", "empty", "dirty", "quiet")
LABELS = ["l0", "l1", "l2"]


def texts(rows, seed):
    """A table with prose whose words tell the class somewhat."""
    frame = blobs(rows, 2, seed).drop(columns="word")
    generator = np.random.default_rng(seed)
    said = [
        f"the {generator.choice(SUBJECTS)} of {generator.choice(PLACES)} was {generator.choice(WORDS)} and {y} again"
        for y in frame["y"]
    ]
    return frame.assign(remark=said)


TABLES = {
    "binary": lambda rows, seed: blobs(rows, 2, seed),
    "multiclass": lambda rows, seed: blobs(rows, 3, seed),
    "only numbers": lambda rows, seed: blobs(rows, 2, seed).drop(columns="word"),
    "regression": lambda rows, seed: numbers(rows, seed),
    "multilabel": lambda rows, seed: labelled(rows, 3, seed),
    "texts": texts,
}
FITTED = ("tries", "chosen", "curve", "epochs", "rule", "counts", "width", "gradient")


def table(name, rows, seed):
    """With a column of weights, and in all but the one for ADASYN some missing numbers."""
    frame = TABLES[name](rows, seed).assign(w=1.0 + np.arange(rows) % 3)
    return frame if name == "only numbers" else frame.assign(b=frame["b"].where(np.arange(rows) % 9 > 0))


def marked(name, frame):
    """The rows with what no other row holds."""
    frame = frame.copy()
    frame.loc[0:2, "a"] = 1e9
    frame.loc[3:4, "a"] = None
    if "word" in frame:
        frame.loc[3:9, "word"] = "aaa never seen"
    if "remark" in frame:
        frame.loc[3:9, "remark"] = "a zyzzyva saw a zyzzyva by the train"
    if name == "regression":
        return frame.assign(y=frame["y"].where(frame.index > 5, 1e6))
    if name == "multilabel":
        return frame.assign(l0=1 - frame["l0"], l2=np.roll(frame["l2"], 5))
    return frame.assign(y=np.roll(frame["y"], 7))


def task_of(name, test):
    target = LABELS if name == "multilabel" else "y"
    return infer(load(table(name, 120, 1), target, None, Roles(weight="w"), test))


@cache
def given(name, model):
    """Two repeats on the same table beside two test tables."""
    clean = table(name, 40, 2)
    tasks = [task_of(name, test) for test in (clean, marked(name, clean))]
    arrays = [dict(task.arrays) for task in tasks]
    weights = arrays[0]["weights"]
    arrays[1]["weights"] = np.where(arrays[1]["test"], 50 * weights[::-1], weights)
    settings = training(tasks[0], model=model, epochs=2)
    return [Repeat(each, settings, 0) for each in arrays]


@cache
def drawn(name, model):
    """Two repeats on one table whose test rows are changed in the second."""
    task = task_of(name, None)
    settings = training(task, model=model, epochs=2)
    clean = Repeat(task.arrays, settings, 0)
    rows = clean.parts["test"]
    matrix, weights = task.matrix.copy(), task.arrays["weights"].copy()
    matrix[rows[:3], :2] = 1e9
    matrix[rows[3:5], :2] = np.nan
    matrix[rows[3:], 2:] = 77.0
    weights[rows] *= 50
    other = Repeat(task.arrays | {"matrix": matrix, "weights": weights}, settings, 0)
    other.prepared.targets["test"] = np.roll(other.prepared.targets["test"], 7)
    return [clean, other]


def arms_of(name, model):
    """The arms that this table and this model can have."""
    problem = problem_of(training(task_of(name, None), model=model))
    return [arm for arm in (*problem.arms(), *problem.further_arms()) if not hindrance(arm, problem.training)]


CASES = [
    (split, name, model, arm)
    for split, name, model in [
        *((given, name, model) for name in TABLES for model in ("mlp", "lightgbm")),
        (drawn, "binary", "mlp"),
        (drawn, "regression", "mlp"),
    ]
    for arm in arms_of(name, model)
    if name != "only numbers" or arm.name == "adasyn"
]


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    monkeypatch.setattr(trees, "ROUNDS", 5)


def named(case):
    split, name, model, arm = case
    return f"{split.__name__}-{name}-{model}-{arm.name}"


@pytest.mark.parametrize("case", CASES, ids=named)
def test_nothing_in_a_test_row_changes_what_is_fitted(case):
    split, name, model, arm = case
    clean, other = split(name, model)
    one, two = clean.run(arm), other.run(arm)
    for part in FITTED:
        check_same(one.get(part), two.get(part), part)
    assert one["sizes"] == two["sizes"]
    check_same(learnt(clean, arm), learnt(other, arm), "learnt")
    figures = "errors" if name == "regression" else "calibration"
    assert one[figures] != two[figures]  # the test rows matter at the end
    if one.get("interval"):
        moved = [record["interval"]["conformal_width"] - record["interval"]["width"] for record in (one, two)]
        assert moved[1] == pytest.approx(moved[0], abs=1e-5 * two["interval"]["width"])


def learnt(repeat, arm):
    """Everything that training rows and validation rows have taught.

    The codes of categories are names, given to all rows at once: which of them got a column shows in the inputs.
    """
    prepared, encoders = repeat.prepared, repeat.encoders
    return {
        "rows": [repeat.parts["train"], repeat.parts["validation"]],
        "encoder": encoders.table and encoders.table.state() | {"frequent": list(map(len, encoders.table.frequent))},
        "terms": [[encoder.terms, encoder.idf] for encoder in encoders.texts],
        "inputs": [prepared.inputs[part] for part in ("train", "validation")],
        "targets": [prepared.targets[part] for part in ("train", "validation")],
        "counts": prepared.counts,
        "scale": [prepared.scale, prepared.centre],
        "resampled": repeat.resampled(arm, 3).inputs["train"] if arm.resampling != "balanced_ensemble" else None,
        "models": [
            [one.validation, one.epochs, one.curve, one.outputs["validation"], one.state] for one in repeat.tries(arm)
        ],
    }


def check_same(one, two, where):
    """Equal to the last bit, whatever is in it."""
    assert type(one) is type(two), where
    if isinstance(one, dict):
        assert one.keys() == two.keys(), where
        for name in one:
            check_same(one[name], two[name], f"{where}: {name}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(two), where
        for number, (left, right) in enumerate(zip(one, two, strict=True)):
            check_same(left, right, f"{where}: {number}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, two), where
    elif isinstance(one, np.ndarray):
        assert np.array_equal(one, two), where
    else:
        assert one == two, where


def test_the_law_is_over_every_remedy():
    """Every arm with a name, every resampling and every calibration, beside those of numbers and labels."""
    seen = {arm.name for _, _, _, arm in CASES}
    assert {arm.name for arm in known_arms()} <= seen
    assert {*RESAMPLINGS} == {arm.resampling for _, _, _, arm in CASES} - {"none"}
    assert {*CALIBRATORS} == {arm.calibration for _, _, _, arm in CASES}
    assert {"mse", "quantiles", "huber", "bce_with_logits", "asymmetric"} <= seen


def test_a_marker_in_a_training_row_does_change_what_is_fitted():
    """The law above can fail."""
    clean, _ = drawn("binary", "mlp")
    matrix = clean.arrays["matrix"].copy()
    matrix[clean.parts["train"][:2], 0] = 1e9
    other = Repeat(clean.arrays | {"matrix": matrix}, clean.training, 0)
    arm = clean.problem.arms()[0]
    for part in ("encoder", "models"):
        with pytest.raises(AssertionError):
            check_same(learnt(clean, arm)[part], learnt(other, arm)[part], part)


# Which rows are where


def rows_of(task, repeat, **options):
    return Repeat(task.arrays, training(task, **options), repeat).parts


@pytest.mark.parametrize("name", ["binary", "regression", "multilabel"])
def test_no_group_is_in_two_parts(name):
    team = [f"team {row % 23}" for row in range(160)]
    frame = TABLES[name](160, 3).assign(team=team)
    task = infer(load(frame, LABELS if name == "multilabel" else "y", None, Roles(group="team")))
    seen = []
    for repeat in range(3):
        parts = rows_of(task, repeat)
        groups = [{team[row] for row in rows} for rows in parts.values()]
        assert sum(map(len, groups)) == len(set.union(*groups)) == 23
        assert sorted(np.concatenate(list(parts.values()))) == list(range(160))
        seen.append(groups)
    assert seen[0] != seen[1]


def test_training_is_before_validation_and_validation_before_test():
    days = np.random.default_rng(0).permutation(200)
    frame = blobs(200).assign(day=pd.Timestamp("2024-01-01") + pd.to_timedelta(days, unit="D"))
    task = infer(load(frame, "y", None, Roles(time="day")))
    tested = []
    for repeat in range(5):
        parts = rows_of(task, repeat, repeats=5)
        train, validation, test = (days[parts[part]] for part in ("train", "validation", "test"))
        assert train.max() < validation.min() <= validation.max() < test.min()
        tested.append(test.tolist())
    assert sorted(day for window in tested for day in window) == list(range(100, 200))


@pytest.mark.parametrize("name", ["binary", "regression", "multilabel", "texts"])
def test_given_test_rows_are_judged_on_in_every_repeat_and_never_in_training(name):
    task = task_of(name, table(name, 40, 2))
    chosen = set()
    for repeat in range(3):
        parts = rows_of(task, repeat)
        assert parts["test"].tolist() == list(range(120, 160))
        assert sorted([*parts["train"], *parts["validation"]]) == list(range(120))
        chosen.add(tuple(parts["validation"]))
    assert len(chosen) == 3


def test_the_rows_of_an_ensemble_and_of_batches_are_training_rows():
    """Counts say how many rows of a class are seen, and none is seen that training does not have."""
    clean, _ = drawn("binary", "mlp")
    arms = {arm.name: arm for arm in known_arms()}
    train = clean.counts(arms["cross_entropy"], 0)["train"]
    after = {name: clean.counts(arms[name], 0)["after"] for name in RESAMPLINGS if name != "adasyn"}
    assert after["random_over"] == after["smote"] == [max(train)] * 2
    assert after["random_under"] == after["balanced_ensemble"] == [min(train)] * 2
    assert after["balanced_batches"][0] == after["balanced_batches"][1]
    assert min(train) / max(train) < min(after["square_root_batches"]) / max(after["square_root_batches"])
    weighted = replace(arms["balanced"], resampling="none")
    assert clean.counts(weighted, 0)["after"] == train
