"""One run: paired over the arms, blind to test rows, and honest about what cannot be computed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tables import blobs, labelled, numbers, training

from lossmith import metrics
from lossmith.compare.data import features
from lossmith.compare.data.load import load
from lossmith.compare.data.splits import split
from lossmith.compare.data.task import infer
from lossmith.compare.models import network
from lossmith.compare.remedies import rules
from lossmith.compare.remedies.arms import known_arms
from lossmith.compare.runs import train
from lossmith.compare.runs.objective import Objective
from lossmith.compare.runs.train import Repeat

ARMS = {arm.name: arm for arm in known_arms()}
PLAIN = ("cross_entropy", "focal", "logit_adjusted", "balanced", "class_balanced", "temperature")


@pytest.fixture(params=[2, 3], ids=["binary", "multiclass"])
def task(request):
    return infer(load(blobs(150, request.param), "y"))


@pytest.fixture(params=["regression", "multilabel"])
def other(request):
    return infer(load(numbers(), "y") if request.param == "regression" else load(labelled(), ["l0", "l1", "l2"]))


def run(task, arm, repeat=0, **options):
    return Repeat(task.arrays, training(task, **options), repeat).run(ARMS[arm])


def check_record(record, again):
    """What holds of every arm of every kind."""
    record.pop("time"), again.pop("time")
    assert record == again
    assert record["status"] == "ok"
    assert len(record["tries"]) == 3
    best = record["tries"][record["chosen"]]["validation"]
    assert best == max(one["validation"] for one in record["tries"])
    assert sum(record["sizes"].values()) == 150
    assert record["sizes"]["test"] == pytest.approx(30, abs=2)


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_gives_a_complete_and_repeatable_record(task, arm):
    if arm == "adasyn":  # takes numbers alone
        columns = [kind == "number" for kind in task.kinds]
        task = replace(task, kinds=("number",) * sum(columns), arrays=task.arrays | {"matrix": task.matrix[:, columns]})
    record = run(task, arm)
    check_record(record, run(task, arm))
    if arm != "balanced_ensemble":  # whose members each stop by themselves
        best = record["tries"][record["chosen"]]["validation"]
        assert best == max(record["curve"]["validation"]) == record["curve"]["validation"][record["epochs"] - 1]
    assert record["sizes"]["train"] == sum(record["counts"]["train"])
    assert np.sum(record["decision"]["tuned"]["confusion"]) == record["sizes"]["test"]


def test_every_arm_of_numbers_and_of_labels_gives_a_complete_and_repeatable_record(other):
    chosen = training(other)
    for arm in Repeat(other.arrays, chosen, 0).problem.arms():
        record, again = (Repeat(other.arrays, chosen, 0).run(arm) for _ in range(2))
        check_record(record, again)
        assert record["tries"][record["chosen"]]["validation"] == max(record["curve"]["validation"])
        assert (record["interval"] is not None) == bool(arm.also) if other.goal.kind == "regression" else True


def test_an_arm_is_the_same_whatever_ran_before_it(task):
    """A worker keeps what it has trained for the arms that differ after training only."""
    repeat = Repeat(task.arrays, training(task), 0)
    for arm in ("temperature", "balanced_batches", "cross_entropy", "smote", "isotonic"):
        shared, alone = repeat.run(ARMS[arm]), run(task, arm)
        shared.pop("time"), alone.pop("time")
        assert shared == alone
    assert repeat.run(ARMS["isotonic"])["tries"] == repeat.run(ARMS["cross_entropy"])["tries"]


def test_arms_that_are_calibrated_after_the_same_training_are_trained_once(task, monkeypatch):
    trained, fit = [], Repeat.fit
    monkeypatch.setattr(Repeat, "fit", lambda self, arm, attempt: trained.append(attempt) or fit(self, arm, attempt))
    repeat = Repeat(task.arrays, training(task), 0)
    for arm in ("cross_entropy", "temperature", "isotonic", "prior_correction"):
        repeat.run(ARMS[arm])
    assert trained == [0, 1, 2]


def logged(task, arms, monkeypatch, model="mlp"):
    """For every arm the initial weights and the batches of all tries."""
    seen = {}
    for arm in arms:
        log = seen.setdefault(arm.name, [])
        build, objective = train.build, Objective.__call__

        def built(*words, log=log, build=build):
            made = build(*words)
            log.append([value.clone() for value in made.state_dict().values()])
            return made

        def called(self, outputs, rows, log=log, objective=objective):
            log.append([rows.clone(), self.target[rows].clone()])
            return objective(self, outputs, rows)

        with monkeypatch.context() as patch:
            patch.setattr(train, "build", built)
            patch.setattr(Objective, "__call__", called)
            Repeat(task.arrays, training(task, model=model), 0).tries(arm)
    return list(seen.values())


def check_alike(first, *others):
    assert len(first) > 3
    for other in others:
        assert len(first) == len(other)
        assert all(torch.equal(a, b) for x, y in zip(first, other, strict=True) for a, b in zip(x, y, strict=True))


def test_weights_and_batches_are_the_same_for_every_arm(task, monkeypatch):
    check_alike(*logged(task, [ARMS[name] for name in PLAIN], monkeypatch))


def test_weights_and_batches_are_the_same_for_every_arm_of_numbers_and_of_labels(other, monkeypatch):
    arms = Repeat(other.arrays, training(other), 0).problem.arms()
    check_alike(*logged(other, [arm for arm in arms if not arm.also], monkeypatch))


def test_the_tries_of_an_arm_differ_and_so_do_the_repeats(task):
    assert len({run(task, "cross_entropy", repeat)["ranking"]["roc_auc"] for repeat in range(4)}) > 1
    tries = run(task, "cross_entropy", epochs=1)["tries"]
    assert len({one["validation"] for one in tries}) > 1


def test_test_rows_reach_nothing_that_is_fitted(task, monkeypatch):
    """Every row carries its own number; what is fitted, trained or tuned must not see that of a test row."""
    arrays = task.arrays | {"matrix": np.column_stack([task.matrix, np.arange(len(task.labels), dtype=float)])}
    chosen = training(task, kinds=(*task.kinds, "number"), metric="mcc")
    parts = split(task.labels, 0, 0)
    fitted, tuned = [], []
    fit, tune = features.Encoder.fit, rules.tune
    monkeypatch.setattr(
        features.Encoder, "fit", lambda self, rows: fitted.extend(rows[:, -1].astype(int)) or fit(self, rows)
    )
    monkeypatch.setattr(
        rules, "tune", lambda log_p, labels, *words, **more: tuned.append(labels) or tune(log_p, labels, *words, **more)
    )
    repeat, other = (Repeat(arrays, chosen, 0) for _ in range(2))
    assert sorted(fitted) == sorted([*parts.train, *parts.train])
    other.prepared.targets["test"] = np.roll(other.prepared.targets["test"], 7)
    clean, poisoned = (one.run(ARMS["class_balanced_focal"]) for one in (repeat, other))
    assert clean["ranking"] != poisoned["ranking"]  # the test labels matter at the end
    for part in ("tries", "chosen", "curve", "rule", "epochs"):
        assert clean[part] == poisoned[part]  # and nowhere before
    assert len(tuned) == 2
    assert all(np.array_equal(labels, task.labels[parts.validation]) for labels in tuned)


def test_labels_of_pure_noise_rank_no_better_than_chance():
    generator = np.random.default_rng(0)
    frame = blobs(1000).assign(a=generator.normal(size=1000), y=generator.permutation([1] * 50 + [0] * 950))
    noise = infer(load(frame, "y"))
    for arm in ("cross_entropy", "balanced"):
        areas = [run(noise, arm, repeat, epochs=5)["ranking"]["roc_auc"] for repeat in range(6)]
        assert abs(np.mean(areas) - 0.5) < 0.12


@pytest.mark.parametrize("arm", ["adasyn", "smote"])
def test_rows_are_made_up_where_numbers_are_missing(arm):
    frame = blobs(150).drop(columns="word")
    frame.loc[::7, "a"] = np.nan
    record = run(infer(load(frame, "y")), arm)
    assert record["counts"]["after"][1] > record["counts"]["train"][1]


def objective_of(task, arm, attempt=0):
    repeat = Repeat(task.arrays, training(task), 0)
    return repeat.prepared, Objective(repeat.problem, repeat.prepared, ARMS[arm], attempt)


def rows_of(prepared, classes):
    """Numbers of training rows with these classes."""
    labels = prepared.targets["train"]
    return torch.tensor([np.flatnonzero(labels == label)[k] for k, label in enumerate(classes)])


def test_logit_adjustment_shifts_training_and_not_prediction(task):
    prepared, objective = objective_of(task, "logit_adjusted", 1)
    labels = torch.tensor([0, 1, 0, 1])
    prior = torch.from_numpy(prepared.counts / prepared.counts.sum()).float()
    expected = torch.nn.functional.cross_entropy(prior.log().expand(4, -1), labels)
    outputs = torch.zeros(4, len(task.classes))
    assert torch.allclose(objective(outputs, rows_of(prepared, [0, 1, 0, 1])), expected)
    repeat = Repeat(task.arrays, training(task), 0)
    (best, *_) = repeat.tries(ARMS["logit_adjusted"])
    model = train.build(repeat.training, repeat.prepared, repeat.problem.outputs, 0)
    model.load_state_dict(best.state)
    assert torch.equal(network.predict(model, repeat.prepared.inputs["test"]), best.outputs["test"])


def test_class_weights_are_those_of_torch(task):
    prepared, objective = objective_of(task, "balanced")
    logits, labels = torch.randn(6, len(task.classes)), torch.tensor([0, 1, 0, 1, 1, 0])
    weight = torch.from_numpy(prepared.counts.sum() / (len(prepared.counts) * prepared.counts)).float()
    found = objective(logits, rows_of(prepared, labels.tolist()))
    assert torch.allclose(found, torch.nn.functional.cross_entropy(logits, labels, weight))
    effective = run(task, "balanced")["counts"]["effective"]
    assert max(effective) == pytest.approx(min(effective))


def test_a_step_is_that_of_torch_bit_by_bit():
    ours, theirs = (torch.nn.Linear(37, 5) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    step = network.AdamW(ours.parameters(), 7e-3, 1e-2)
    oracle = torch.optim.AdamW(theirs.parameters(), lr=7e-3, weight_decay=1e-2, fused=True)
    for x in torch.randn(20, 16, 37):
        for model, optimizer in ((ours, step), (theirs, oracle)):
            model.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
    assert all(torch.equal(x, y) for x, y in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_the_scores_that_stop_early_are_those_of_the_outputs_that_are_kept(task):
    repeat = Repeat(task.arrays, training(task), 0)
    for one in repeat.tries(ARMS["balanced_ensemble"]) + repeat.tries(ARMS["focal"]):
        assert one.validation == train.Scoring(repeat.problem, repeat.prepared).score(
            one.outputs["validation"], "validation"
        )


@pytest.mark.parametrize(("scale", "said"), [(float("nan"), "training loss is not finite in epoch 1")])
def test_a_loss_that_is_not_finite_fails_the_run_with_the_reason(task, monkeypatch, scale, said):
    monkeypatch.setattr(Objective, "__call__", lambda self, outputs, rows: outputs.sum() * scale)
    with pytest.raises(network.RunFailedError, match=said):
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
