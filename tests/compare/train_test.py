"""One run: paired over the arms, blind to test rows, and honest about what cannot be computed."""

import numpy as np
import pytest
import torch
from tables import blobs

from lossmith import metrics
from lossmith.compare.data import features
from lossmith.compare.data.load import load
from lossmith.compare.data.splits import split
from lossmith.compare.data.task import infer
from lossmith.compare.remedies import rules
from lossmith.compare.remedies.arms import default_arms
from lossmith.compare.runs import train
from lossmith.compare.settings import Training

ARMS = {arm.name: arm for arm in default_arms()}


def training_of(task, **options):
    known = {"kinds": tuple(task.kinds), "seed": 0, "metric": "macro_f1", "hidden": (8,), "epochs": 3}
    return Training(classes=len(task.classes), positive=task.positive, **{**known, **options})


@pytest.fixture(autouse=True)
def one_thread():
    """As in a worker; several threads only wait for each other on batches this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=[2, 3], ids=["binary", "multiclass"])
def task(request):
    return infer(load(blobs(150, request.param), "y"))


def run(task, arm, repeat=0, **options):
    training = training_of(task, **options)
    return train.run(train.prepare(task.matrix, task.labels, training, repeat), training, ARMS[arm])


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_gives_a_complete_and_repeatable_record(task, arm):
    record, again = run(task, arm), run(task, arm)
    record.pop("time"), again.pop("time")
    assert record == again
    assert record["status"] == "ok"
    assert len(record["tries"]) == 3
    best = record["tries"][record["chosen"]]["validation"]
    assert best == max(one["validation"] for one in record["tries"]) == max(record["curve"]["validation"])
    assert record["curve"]["validation"][record["epochs"] - 1] == best
    assert record["sizes"]["train"] == sum(record["counts"]["train"])
    assert np.sum(record["decision"]["tuned"]["confusion"]) == record["sizes"]["test"]


def test_weights_and_batches_are_the_same_for_every_arm(task, monkeypatch):
    seen = {}
    for arm in ("cross_entropy", "focal", "logit_adjusted", "balanced"):
        log = seen.setdefault(arm, [])
        build, objective = train.build_model, train.Objective.__call__

        def built(*words, log=log, build=build):
            model = build(*words)
            log.append([value.clone() for value in model.state_dict().values()])
            return model

        def called(self, logits, labels, log=log, objective=objective):
            log.append([labels.clone()])
            return objective(self, logits, labels)

        with monkeypatch.context() as patch:
            patch.setattr(train, "build_model", built)
            patch.setattr(train.Objective, "__call__", called)
            run(task, arm)
    first, *others = seen.values()
    assert len(first) > 3
    for other in others:
        assert all(torch.equal(a, b) for x, y in zip(first, other, strict=True) for a, b in zip(x, y, strict=True))


def test_test_rows_reach_nothing_that_is_fitted(task, monkeypatch):
    """Every row carries its own number; what is fitted, trained or tuned must not see that of a test row."""
    matrix = np.column_stack([task.matrix, np.arange(len(task.labels), dtype=float)])
    training = training_of(task, kinds=(*task.kinds, "number"), metric="mcc")
    parts = split(task.labels, 0, 0)
    fitted, tuned = [], []
    make, tune = features.Encoder, rules.tune

    class Spy:
        def __init__(self, kinds):
            self.inner = make(kinds)

        def fit(self, rows):
            fitted.extend(rows[:, -1].astype(int))
            return self.inner.fit(rows)

    monkeypatch.setattr(features, "encoder", Spy)
    spy = lambda log_p, labels, metric: tuned.append(labels) or tune(log_p, labels, metric)  # noqa: E731
    monkeypatch.setattr(rules, "tune", spy)
    prepared = train.prepare(matrix, task.labels, training, 0)
    assert sorted(fitted) == parts.train.tolist()
    poisoned = train.Prepared(
        prepared.repeat,
        prepared.inputs,
        {**prepared.labels, "test": np.roll(prepared.labels["test"], 7)},
        prepared.counts,
        prepared.positive,
    )
    clean, other = (train.run(rows, training, ARMS["class_balanced_focal"]) for rows in (prepared, poisoned))
    assert clean["ranking"] != other["ranking"]  # the test labels matter at the end
    for part in ("tries", "chosen", "curve", "rule", "epochs"):
        assert clean[part] == other[part]  # and nowhere before
    assert all(np.array_equal(labels, task.labels[parts.validation]) for labels in tuned)


def test_labels_of_pure_noise_rank_no_better_than_chance():
    generator = np.random.default_rng(0)
    frame = blobs(1000).assign(a=generator.normal(size=1000), y=generator.permutation([1] * 50 + [0] * 950))
    noise = infer(load(frame, "y"))
    for arm in ("cross_entropy", "balanced"):
        areas = [run(noise, arm, repeat, epochs=5)["ranking"]["roc_auc"] for repeat in range(6)]
        assert abs(np.mean(areas) - 0.5) < 0.12


def test_logit_adjustment_shifts_training_and_not_prediction(task):
    training = training_of(task)
    prepared = train.prepare(task.matrix, task.labels, training, 0)
    objective = train.Objective(prepared, ARMS["logit_adjusted"], 1)
    logits, labels = torch.zeros(4, len(task.classes)), torch.tensor([0, 1, 0, 1])
    prior = torch.from_numpy(prepared.counts / prepared.counts.sum()).float()
    expected = torch.nn.functional.cross_entropy(prior.log().expand(4, -1), labels)
    assert torch.allclose(objective(logits, labels), expected)


def test_class_weights_are_those_of_torch(task):
    training = training_of(task)
    prepared = train.prepare(task.matrix, task.labels, training, 0)
    objective = train.Objective(prepared, ARMS["balanced"], 0)
    logits, labels = torch.randn(6, len(task.classes)), torch.tensor([0, 1, 0, 1, 1, 0])
    weight = torch.from_numpy(prepared.counts.sum() / (len(prepared.counts) * prepared.counts)).float()
    assert torch.allclose(objective(logits, labels), torch.nn.functional.cross_entropy(logits, labels, weight))
    effective = train.weighted_counts(prepared, ARMS["balanced"], 0)["effective"]
    assert max(effective) == pytest.approx(min(effective))


@pytest.mark.parametrize(("scale", "said"), [(float("nan"), "training loss is not finite in epoch 1")])
def test_a_loss_that_is_not_finite_fails_the_run_with_the_reason(task, monkeypatch, scale, said):
    monkeypatch.setattr(train.Objective, "__call__", lambda self, logits, labels: logits.sum() * scale)
    with pytest.raises(train.RunFailedError, match=said):
        run(task, "cross_entropy")


@pytest.mark.parametrize("metric", rules.METRICS)
@pytest.mark.parametrize("classes", [2, 4])
def test_the_tuned_rule_is_never_worse_on_the_rows_it_was_tuned_on(metric, classes):
    generator = np.random.default_rng(classes)
    for _ in range(5):
        labels = np.concatenate(
            [np.arange(classes), generator.choice(classes, 80, p=[0.7, *[0.3 / (classes - 1)] * (classes - 1)])]
        )
        logits = generator.normal(size=(len(labels), classes)) + 1.5 * np.eye(classes)[labels] + np.eye(classes)[0]
        log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        offsets = rules.tune(log_p, labels, metric)
        plain, tuned = (
            metrics.decision(rules.decide(log_p, values), labels, classes)[metric] for values in (0 * offsets, offsets)
        )
        assert tuned >= plain
        assert rules.score(metric, rules.decide(log_p, offsets), labels, classes) == pytest.approx(tuned)


@pytest.mark.parametrize("metric", rules.METRICS)
def test_the_threshold_of_two_classes_is_the_best_there_is(metric):
    generator = np.random.default_rng(5)
    labels = generator.choice(2, 60, p=[0.8, 0.2])
    scores = np.round(generator.normal(size=60) + labels, 1)  # with ties
    log_p = np.column_stack([-np.logaddexp(0, scores), -np.logaddexp(0, -scores)])
    found = rules.score(metric, rules.decide(log_p, rules.tune(log_p, labels, metric)), labels, 2)
    cuts = np.concatenate([scores - 0.05, scores + 0.05])
    best = max(rules.score(metric, (scores > cut).astype(int), labels, 2) for cut in cuts)
    assert found == pytest.approx(best)


def test_the_metrics_of_the_rule_are_those_of_the_report():
    assert tuple(rules.METRICS) == metrics.DECISIONS
