"""Your own model: any module on any loaders, with the arms, records and verdict of every comparison."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import lossmith
from lossmith.compare.data.loaders import SAME_ROWS, kind_of
from lossmith.compare.runs.engine import Run, Stop
from lossmith.compare.runs.loaders import Own, execute_here
from lossmith.compare.session import Session
from lossmith.compare.verdict.judge import judge
from lossmith.errors import InputError
from tests.compare.tables import without_times

ROWS = 48


@pytest.fixture(autouse=True)
def verdict_alone(request, monkeypatch):
    """Drawing a report takes longer than all else here, so one test does it for every kind."""
    if "every_kind" not in request.node.name:
        monkeypatch.setattr(Session, "write", lambda self, results: results.update(verdict=judge(results)))


def inputs(rows=ROWS, width=3):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(1))


def two(x):
    return (x[:, 0] > 0.4).long()


def three(x):
    return (x[:, 0] > -0.3).long() + (x[:, 0] > 0.6).long()


def number(x):
    return 100 + 20 * x[:, 0]


def labels(x):
    return (x[:, :2] > 0.2).float()


def loader(x, y, shuffle=False, size=16):
    return DataLoader(TensorDataset(x, y), batch_size=size, shuffle=shuffle)


def loaders(target=two, shuffle=True, x=None):
    x = inputs() if x is None else x
    parts = torch.split(x, [len(x) // 2, len(x) // 4, len(x) // 4])
    train, valid, test = ((part, target(part)) for part in parts)
    return {"train": loader(*train, shuffle=shuffle), "valid": loader(*valid), "test": loader(*test)}


def linear(outputs=2, width=3):
    return lambda: nn.Linear(width, outputs)


def compared(folder, model=None, given=None, **options):
    options = {"losses": ["focal(gamma=2)"], "repeats": 1, "epochs": 2, "quiet": True, **options}
    model = linear() if model is None else model
    return lossmith.compare(model=model, **(given or loaders()), out=folder, device="cpu", **options)


def records(comparison):
    assert not comparison.failures, comparison.failures
    return comparison.results["records"]


class Numbers(nn.Module):
    """One number a row, in the unit of the targets: the last dimension is gone."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(3, 1)

    def forward(self, x):
        return (100 + 20 * self.line(x)).squeeze(1)


class Pixels(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 2, 1)

    def forward(self, x):
        return self.convolution(x)


KINDS = {
    "binary": (two, linear(2), "focal(gamma=2)", ("ranking", "average_precision")),
    "multiclass": (three, linear(3), "balanced", ("decision", "tuned", "macro_f1")),
    "multilabel": (labels, linear(2), "class_balanced", ("ranking", "average_precision")),
    "regression": (number, Numbers, "huber", ("errors", "mae")),
    "segmentation": (lambda x: (x[:, 0] > 0.5).long(), Pixels, "dice", ("decision", "tuned", "iou")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_found_and_measured(tmp_path, kind):
    target, model, loss, path = KINDS[kind]
    x = inputs(48, 16).reshape(48, 1, 4, 4) if kind == "segmentation" else None
    comparison = compared(tmp_path, model, loaders(target, x=x), losses=[loss], learning_rate=0.1)
    results = comparison.results
    assert results["task"]["kind"] == kind
    assert [record["arm"] for record in records(comparison)] == [results["arms"][0]["name"], loss]
    for record in results["records"]:
        figure = record
        for key in path:
            figure = figure[key]
        assert np.isfinite(figure)
        assert record["sizes"] == {"train": 24, "validation": 12, "test": 12}
    assert comparison.report.exists()
    assert results["task"]["split"] == SAME_ROWS in results["task"]["notes"]
    assert "intervals tell what chance in training does, not what other rows would" in comparison.report.read_text()


def test_what_can_be_learnt_is_learnt_in_the_unit_of_the_targets(tmp_path):
    comparison = compared(tmp_path, Numbers, loaders(number), losses=["mae"], epochs=20, patience=20, learning_rate=0.2)
    for record in records(comparison):
        assert record["errors"]["mae"] < 2  # the targets spread by 20
        assert record["errors"]["skill"] > 0.85
        assert np.allclose(record["points"]["target"], number(inputs())[36:].numpy(), rtol=1e-4)


def test_counts_and_weights_come_from_the_training_targets(tmp_path):
    record = records(compared(tmp_path, losses=["balanced"]))[1]
    counts = torch.bincount(two(inputs()[:24])).tolist()
    assert record["counts"]["train"] == counts
    assert np.allclose(record["counts"]["effective"], [12, 12])


class Watched(Dataset):
    """Rows that note in which order training reads them."""

    def __init__(self):
        self.read = []

    def __len__(self):
        return 24

    def __getitem__(self, k):
        self.read.append(k)
        x = inputs(24)[k]
        return x, two(x.unsqueeze(0))[0]


@pytest.mark.parametrize("generator", [None, torch.Generator()])
def test_arms_share_initial_weights_and_order_and_tries_do_not(tmp_path, generator):
    given, weights, rows = loaders(), [], Watched()
    given["train"] = DataLoader(rows, batch_size=8, shuffle=True, generator=generator)

    class Net(nn.Linear):
        def forward(self, x):
            if self.training and self not in seen:
                seen.append(self)
                weights.append(self.weight.detach().flatten().tolist())
            return torch.nn.functional.dropout(super().forward(x), 0.1, self.training)

    seen = []
    state = torch.get_rng_state()
    compared(tmp_path, lambda: Net(3, 2), given, losses=["logit_adjusted", "poly(epsilon=1)"], repeats=2)
    assert torch.equal(torch.get_rng_state(), state)
    orders = np.array(rows.read[24:]).reshape(2, 3, 3, 2, 24)  # repeats, arms, tries, epochs, rows; first one pass
    initial = np.array(weights).reshape(2, 3, 3, 6)
    assert (orders == orders[:, :1]).all()
    assert (initial == initial[:, :1]).all()
    assert len(np.unique(orders[:, 0].reshape(12, 24), axis=0)) == 12
    assert len(np.unique(initial[:, 0].reshape(6, 6), axis=0)) == 6


def test_a_second_call_makes_no_new_runs_and_another_model_does(tmp_path):
    made = []

    def make():
        made.append(1)
        return nn.Linear(3, 2)

    first = compared(tmp_path, make)
    runs = len(made)
    again = compared(tmp_path, make)
    assert len(made) == runs + (runs - 6)  # but for the two arms' three tries, what is looked at beforehand
    assert without_times(again.results) == without_times(first.results)
    parts = set((tmp_path / "parts").iterdir())

    def halved():
        model = nn.Linear(3, 2)
        model.weight.data /= 2
        return model

    changes = {
        "initial weights": {"model": halved},
        "a layer": {"model": lambda: nn.Sequential(nn.Linear(3, 2), nn.Tanh())},
        "targets": {"given": loaders(lambda x: (x[:, 0] > 0.5).long())},
        "epochs": {"epochs": 3},
        "rate": {"learning_rate": 0.01},
        "optimizer": {"optimizer": lambda p: torch.optim.SGD(p, lr=1e-3)},
    }
    for name, change in changes.items():
        compared(tmp_path, **change)
        now = set((tmp_path / "parts").iterdir())
        assert len(now - parts) == 2, name
        parts = now


def test_the_same_call_gives_the_same_figures(tmp_path):
    one, other = (compared(tmp_path / name, given=loaders(shuffle=True)).results for name in ("one", "other"))
    assert json.dumps(without_times(one["records"])) == json.dumps(without_times(other["records"]))


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(5, 2)

    def forward(self, *, a, b):
        return self.line(torch.cat([a, b], dim=1))


class Ordered(Named):
    def forward(self, a, b):
        return super().forward(a=a, b=b)


@pytest.mark.parametrize(("model", "pack"), [(Named, lambda a, b: {"a": a, "b": b}), (Ordered, lambda a, b: (a, b))])
def test_inputs_may_be_dicts_and_tuples_and_loaders_lists(tmp_path, model, pack):
    x = inputs()
    batches = [(pack(x[k : k + 12], x[k : k + 12, :2]), two(x[k : k + 12])) for k in range(0, 48, 12)]
    given = {"train": batches[:2], "valid": batches[2:3], "test": batches[3:]}
    comparison = compared(tmp_path, model, given)
    assert len(records(comparison)) == 2
    assert [f["kind"] for f in comparison.results["task"]["features"]] == ["float32 [3]", "float32 [2]"]
    assert comparison.results["settings"]["batch_size"] == 12


def test_the_arms_are_those_of_the_kind_without_resampling(tmp_path):
    from lossmith.compare.remedies.arms import default_arms

    comparison = compared(tmp_path, losses=None, epochs=1)
    usual = [arm.name for arm in default_arms() if arm.resampling == "none"]
    assert [arm["name"] for arm in comparison.results["arms"]] == usual
    assert len(records(comparison)) == len(usual)
    with pytest.raises(InputError, match="loader's affair"):
        compared(tmp_path, losses=["random_over"])


BROKEN = """
from lossmith import LikelihoodLoss

class BreaksLoss(LikelihoodLoss):
    \"\"\"Breaks on a whole batch.\"\"\"
    def formula(self, logp, xp):
        if len(logp) == 16:
            raise KeyError("it broke")
        return -logp

class NothingLoss(LikelihoodLoss):
    \"\"\"Overflows on a whole batch.\"\"\"
    def formula(self, logp, xp):
        return -logp * 1e38 * 1e38 if len(logp) == 16 else -logp
"""


def test_a_loss_that_fails_costs_its_own_runs(tmp_path):
    source = tmp_path / "losses.py"
    source.write_text(BROKEN)
    names = [f"{source}:BreaksLoss", f"{source}:NothingLoss"]
    comparison = compared(tmp_path / "out", losses=names)
    assert [record["status"] for record in comparison.results["records"]] == ["ok", "failed", "failed"]
    reasons = [record["reason"] for record in comparison.failures]
    assert reasons[0] == "KeyError: 'it broke'"
    assert "the training loss is not finite in epoch 1" in reasons[1]


def test_a_model_that_fails_in_training_fails_all_runs_and_says_so(tmp_path):
    class Net(nn.Linear):
        def forward(self, x):
            if self.training:
                raise RuntimeError("no training today")
            return super().forward(x)

    comparison = compared(tmp_path, lambda: Net(3, 2))
    assert {record["reason"] for record in comparison.failures} == {"RuntimeError: no training today"}
    assert comparison.verdict.startswith("No verdict")


def test_predictions_that_are_not_finite_are_named(tmp_path):
    class Net(nn.Linear):
        def forward(self, x):
            return super().forward(x) if self.training else super().forward(x) * float("inf")

    comparison = compared(tmp_path, lambda: Net(3, 2))
    assert "predictions are not finite in epoch 1" in comparison.failures[0]["reason"]


def test_judged_rows_are_paired_with_their_own_targets(tmp_path):
    given = loaders()
    fixed = records(compared(tmp_path / "fixed", given=given))
    given["valid"] = DataLoader(given["valid"].dataset, batch_size=16, shuffle=True)
    shuffled = records(compared(tmp_path / "shuffled", given=given))
    for one, other in zip(fixed, shuffled, strict=True):  # a shuffling loader is read in one order
        assert one["ranking"] == other["ranking"]
        assert one["tries"][0]["validation"] == pytest.approx(other["tries"][0]["validation"])

    class Rolling:
        def __init__(self):
            self.passes = 0

        def __iter__(self):
            self.passes += 1
            x = inputs()[24:36].roll(self.passes, 0)
            return iter([(x, two(x))])

    rolling = compared(tmp_path / "rolling", given={**given, "valid": Rolling()})
    assert "other targets each time; take shuffle=False" in rolling.failures[0]["reason"]


def test_time_and_stops_are_heard_between_batches(tmp_path):
    class Slow(nn.Linear):
        def forward(self, x):
            time.sleep(0.05 if self.training else 0)
            return super().forward(x)

    late = compared(tmp_path / "late", lambda: Slow(3, 2), timeout=0.08, epochs=50)
    assert {(record["status"], record["reason"]) for record in late.failures} == {("timeout", "stopped after 0.08 s")}
    short = compared(tmp_path / "short", lambda: Slow(3, 2), budget=0.3, epochs=200, patience=200)
    assert (short.results["status"], short.finished) == ("partial", 0)
    own = Own(linear(), loaders(), torch.optim.Adam, torch.device("cpu"))
    assert list(execute_here(own, None, None, [Run(None, 0, "")], None, 1, 9.0, Stop(interrupted=True))) == []


SHARED = nn.Linear(3, 2)
WRONG = {
    "a module": ({"model": nn.Linear(3, 2)}, "needs a fresh one; write model=lambda: Linear"),
    "no model": ({"model": lambda: 3}, "must return a torch module, not int"),
    "shared": ({"model": lambda: nn.Sequential(SHARED)}, "two calls of model"),
    "random": ({"model": lambda: unseeded()}, "other initial weights for the same seed"),
    "lazy": ({"model": lambda: nn.LazyLinear(2)}, "lazy layers"),
    "one logit": ({"model": linear(1)}, "for two classes give two logits"),
    "few logits": ({"given": loaders(lambda x: 2 * two(x))}, "target 2; the model's outputs are for 0 to 1"),
    "width": ({"model": linear(2, 5)}, "the model fails on the first validation batch: RuntimeError"),
    "an iterator": ({"given": {**loaders(), "train": iter([])}}, "train can be read only once"),
    "none": ({"given": {"train": loaders()["train"]}}, "valid must be a loader"),
    "no pairs": ({"given": {**loaders(), "test": [inputs()]}}, "test loader must give pairs"),
    "empty": ({"given": {**loaders(), "test": []}}, "the test loader is empty"),
    "device": ({"device": "abacus"}, 'device "abacus" cannot be used'),
    "names": ({"classes": ["a"]}, "classes must be 2 different names"),
    "task": ({"task": "regression"}, "do not fit together of a regression"),
    "groups": ({"group": "g"}, '"group" cannot be given with your own model'),
    "data": ({"data": "table.csv"}, "and not both"),
    "rate": ({"learning_rate": 0}, "learning_rate must be"),
    "optimizer": ({"optimizer": lambda p: None}, "must return a torch optimizer"),
    "one class": ({"given": loaders(lambda x: 0 * two(x))}, 'has not rows of "1"'),
}


def unseeded():
    model = nn.Linear(3, 2)
    model.weight.data = torch.rand(2, 3, generator=torch.Generator().manual_seed(time.perf_counter_ns()))
    return model


@pytest.mark.parametrize("case", WRONG)
def test_one_sentence_for_what_cannot_be_used(tmp_path, case):
    options, words = WRONG[case]
    options = {"losses": ["focal"], "model": linear(), "device": "cpu", "out": tmp_path / "out", **options}
    given = options.pop("given", None) or loaders()
    with pytest.raises(InputError, match=words.replace("(", "\\(")) as caught:
        lossmith.compare(**options, **given)
    assert str(caught.value).endswith(".")
    assert not Path(tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("targets", "outputs", "asked", "kind"),
    [
        (torch.zeros(4, dtype=torch.long), (4, 3), "auto", "classification"),
        (torch.zeros(4), (4, 3), "classification", "classification"),
        (torch.zeros(4, dtype=torch.long), (4, 1), "regression", "regression"),
        (torch.zeros(4, 1), (4,), "auto", "regression"),
        (torch.zeros(4, 3, dtype=torch.bool), (4, 3), "auto", "multilabel"),
        (torch.zeros(4, 5, 6, dtype=torch.uint8), (4, 2, 5, 6), "auto", "segmentation"),
        (torch.zeros(4), (4, 3), "auto", None),
        (torch.full((4, 3), 0.5), (4, 3), "auto", None),
        (torch.zeros(4, 3), (4, 2), "auto", None),
        (torch.zeros(4, 5, 6, dtype=torch.long), (4, 2, 6, 5), "auto", None),
        (torch.zeros(4, dtype=torch.long), (3, 2), "auto", None),
        (torch.zeros(4, 3), (4, 3), "classification", None),
    ],
)
def test_targets_and_outputs_say_the_kind(targets, outputs, asked, kind):
    if kind:
        assert kind_of(targets, torch.zeros(outputs), asked) == kind
        return
    with pytest.raises(InputError, match="do not fit together"):
        kind_of(targets, torch.zeros(outputs), asked)


def test_named_classes_and_an_optimizer_of_ones_own(tmp_path):
    comparison = compared(
        tmp_path, classes=["no", "yes"], optimizer=lambda p: torch.optim.SGD(p, lr=0.5, momentum=0.9), cost="yes=5"
    )
    results = comparison.results
    assert results["task"]["classes"] == ["no", "yes"]
    assert {name: results["settings"][name] for name in ("optimizer", "learning_rate", "metric", "model")} == {
        "optimizer": "SGD",
        "learning_rate": 0.5,
        "metric": "cost",
        "model": "own",
    }
    assert all(record["decision"]["tuned"]["cost"] >= 0 for record in records(comparison))


def test_early_stopping_keeps_the_best_epoch(tmp_path):
    record = records(compared(tmp_path, epochs=30, patience=2, learning_rate=0.5))[0]
    scores = record["curve"]["validation"]
    assert record["epochs"] == 1 + int(np.argmax(scores))
    assert len(scores) == min(30, record["epochs"] + 2)
