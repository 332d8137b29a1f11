"""The numbers of a record against numbers worked out by hand, and the law that nothing else changes."""

import copy
import pickle
import warnings
from typing import Any

import mpmath
import pytest
import torch
from torch import Tensor, nn

import lossmith
from lossmith import LossMonitor
from lossmith.flow.loss import Input
from lossmith.monitor.history import group
from tests.laws.cases import CASES, Case, each, leaves


def record(loss: Any, input: Input, target: Tensor | None, *, classes: Any = None, **options: Any) -> dict[str, float]:
    monitor = LossMonitor(loss, classes=classes)
    monitor(input, target, **options)
    return monitor.history[0]


def close(found: dict[str, float], wanted: dict[str, float]) -> bool:
    return found.keys() == wanted.keys() and all(abs(found[k] - wanted[k]) < 2e-6 for k in wanted)


LOGITS = [[2.0, 0.0, -1.0], [0.5, 1.5, 0.0], [0.0, 0.0, 3.0]]
LABELS = [0, 0, 2]


def slopes() -> list[Any]:
    """1 - p of each row, at 50 digits: the length of the gradient of cross-entropy."""
    mpmath.mp.dps = 50
    rows = [[mpmath.exp(mpmath.mpf(z)) for z in row] for row in LOGITS]
    return [1 - row[y] / sum(row) for row, y in zip(rows, LABELS, strict=True)]


def test_the_gradient_shares_of_cross_entropy_are_those_of_mpmath() -> None:
    g = slopes()
    found = record(lossmith.CrossEntropyLoss(), torch.tensor(LOGITS), torch.tensor(LABELS))
    total = sum(g)
    assert close(
        group(found, "class_gradient"), {"0": float((g[0] + g[1]) / total), "1": 0.0, "2": float(g[2] / total)}
    )
    assert close(group(found, "class_share"), {"0": 2 / 3, "1": 0.0, "2": 1 / 3})
    losses = [-mpmath.log(1 - x) for x in g]
    assert close(group(found, "class_loss"), {"0": float((losses[0] + losses[1]) / 2), "2": float(losses[2])})
    assert found["gradient"] == pytest.approx(float(total / 3), abs=1e-6)
    assert found["loss"] == pytest.approx(float(sum(losses) / 3), abs=1e-6)
    places = {"0.1 to 0.3": [0], "0.3 to 1": [1], "0.03 to 0.1": [2]}  # 0.156, 0.769, 0.091
    by_bin = {name: x for name, x in group(found, "bin_gradient").items() if x}
    assert close(by_bin, {name: float(sum(g[k] for k in ks) / total) for name, ks in places.items()})
    assert sum(group(found, "bin_share").values()) == pytest.approx(1)


def test_focal_divides_the_gradient_otherwise() -> None:
    """Two rows with p = 0.9 and one with p = 0.5; the slope of focal with gamma 2 in log p times (1 - p)."""
    p = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.5, 0.5]])
    found = record(lossmith.FocalLoss(gamma=2.0), p.log(), torch.tensor([0, 0, 1]), classes=["easy", "hard"])

    def g(x: float) -> float:
        return float(((1 - x) ** 2 - 2 * (1 - x) * x * mpmath.log(x)) * (1 - x))

    easy, hard = 2 * g(0.9), g(0.5)
    assert close(group(found, "class_gradient"), {"easy": easy / (easy + hard), "hard": hard / (easy + hard)})


def test_a_mean_does_not_change_the_length_of_a_units_gradient() -> None:
    z, y = torch.tensor(LOGITS), torch.tensor(LABELS)
    options: list[dict[str, Any]] = [
        {}, {"reduction": "sum"}, {"reduction": "none"}, {"normalizer": "count"}, {"normalizer": 7.0},
    ]  # fmt: skip
    for given in options:
        assert record(lossmith.CrossEntropyLoss(**given), z, y)["gradient"] == pytest.approx(
            float(sum(slopes()) / 3), abs=1e-6
        )
    assert record(lossmith.CrossEntropyLoss(), z, y, num_items=100)["gradient"] == pytest.approx(
        float(sum(slopes()) / 3), abs=1e-6
    )
    half = record(lossmith.CrossEntropyLoss(), z.bfloat16(), y)
    assert half["gradient"] == pytest.approx(float(sum(slopes()) / 3), abs=1e-6)


def test_class_weights_are_in_the_gradient_and_not_in_the_loss_of_a_class() -> None:
    g = [float(x) for x in slopes()]
    found = record(lossmith.CrossEntropyLoss(weight=[1.0, 1.0, 5.0]), torch.tensor(LOGITS), torch.tensor(LABELS))
    total = g[0] + g[1] + 5 * g[2]
    assert close(group(found, "class_gradient"), {"0": (g[0] + g[1]) / total, "1": 0.0, "2": 5 * g[2] / total})
    assert group(found, "class_loss")["2"] == pytest.approx(float(-mpmath.log(1 - g[2])), abs=1e-6)


def test_what_is_ignored_is_in_no_number_but_its_own() -> None:
    z, y = torch.tensor([*LOGITS, [9.0, -9.0, 0.0], [0.0, 9.0, 0.0]]), torch.tensor([*LABELS, -100, 1])
    mask = torch.tensor([True, True, True, True, False])
    z[3] = torch.nan
    plain = record(lossmith.CrossEntropyLoss(), torch.tensor(LOGITS), torch.tensor(LABELS))
    found = record(lossmith.CrossEntropyLoss(), z, y, mask=mask)
    assert found["ignored"] == pytest.approx(2 / 5)
    assert {k: v for k, v in found.items() if k != "ignored"} == pytest.approx(
        {k: v for k, v in plain.items() if k != "ignored"}, abs=1e-6
    )
    weighed = record(lossmith.CrossEntropyLoss(), z, y, sample_weight=torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0]))
    assert weighed["ignored"] == pytest.approx(2 / 5)
    assert weighed["gradient"] == pytest.approx(plain["gradient"], abs=1e-6)


def test_all_ignored_is_a_record_without_shares() -> None:
    found = record(lossmith.CrossEntropyLoss(), torch.tensor(LOGITS), torch.full((3,), -100))
    assert found == {"step": 0, "loss": 0.0, "ignored": 1.0, "nonfinite": 0.0}


def test_a_hinge_beyond_its_margin_has_a_gradient_of_zero() -> None:
    x, y = torch.tensor([2.0, -3.0, 0.5, 1.0, -0.5]), torch.tensor([1.0, -1.0, 1.0, 1.0, 1.0])  # margins 2 3 .5 1 -.5
    found = record(lossmith.HingeLoss(), x, y)
    assert found["zero_gradient"] == pytest.approx(3 / 5)  # a margin of 1 too
    assert close(group(found, "class_gradient"), {"negative": 0.0, "positive": 1.0})
    assert close(group(found, "class_loss"), {"negative": 0.0, "positive": (0.5 + 1.5) / 4})
    masked = record(lossmith.HingeLoss(), x, y, mask=torch.tensor([True, True, False, True, True]))
    assert (masked["zero_gradient"], masked["ignored"]) == pytest.approx((3 / 4, 1 / 5))


def test_a_binary_target_has_two_sides_and_several_labels_are_classes() -> None:
    z, t = torch.tensor([0.0, 0.0, 0.0]), torch.tensor([1.0, 0.0, 0.25])
    found = record(lossmith.BCEWithLogitsLoss(), z, t)  # slopes 1/2, 1/2, 1/4
    assert close(
        group(found, "class_gradient"), {"negative": (0.5 + 0.75 / 4) / 1.25, "positive": (0.5 + 0.25 / 4) / 1.25}
    )
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    found = record(lossmith.BCEWithLogitsLoss(), torch.tensor([[0.0, 0.0], [-40.0, 0.0]]), labels, classes=["a", "b"])
    assert close(group(found, "class_gradient"), {"a": 1 / 3, "b": 2 / 3})
    assert close(group(found, "class_loss"), {"a": float(mpmath.log(2) / 2), "b": float(mpmath.log(2))})
    assert (found["positive_gradient"], found["positive_share"]) == pytest.approx((1 / 3, 1 / 4))


def test_soft_targets_share_their_gradient_among_the_classes() -> None:
    z, q = torch.zeros(2, 2), torch.tensor([[1.0, 0.0], [0.25, 0.75]])  # slopes 1/2 and 1/4
    found = record(lossmith.CrossEntropyLoss(), z, q)
    assert close(group(found, "class_gradient"), {"0": (0.5 + 0.25 / 4) / 0.75, "1": 0.75 / 4 / 0.75})


def test_groups_of_classes_and_many_classes() -> None:
    z, y = torch.tensor(LOGITS), torch.tensor(LABELS)
    g = [float(x) for x in slopes()]
    found = record(lossmith.CrossEntropyLoss(), z, y, classes={"head": [0, 1], "tail": 2})
    assert close(group(found, "class_gradient"), {"head": (g[0] + g[1]) / sum(g), "tail": g[2] / sum(g)})
    found = record(lossmith.CrossEntropyLoss(), z, y, classes={"tail": 2})
    assert close(group(found, "class_gradient"), {"tail": g[2] / sum(g)})
    many = record(lossmith.CrossEntropyLoss(), torch.zeros(2, 51), torch.tensor([0, 50]))
    assert not [name for name in many if name.startswith("class")]
    with pytest.raises(lossmith.LossmithError, match="classes has index 3, and the loss sees 3 classes"):
        record(lossmith.CrossEntropyLoss(), z, y, classes=["a", "b", "c", "d"])


def test_pictures_are_of_pixels_and_an_overlap_has_a_loss_for_each_class() -> None:
    z = torch.zeros(1, 2, 4)
    y = torch.tensor([[0, 0, 0, 1]])
    found = record(lossmith.DiceLoss(smooth=0.0), z, y)  # 2 tp / (2 tp + fp + fn): 2*1.5/(3 + .5 + 1.5), 1/(1+1.5+.5)
    assert close(group(found, "class_loss"), {"0": 1 - 3 / 5, "1": 1 - 1 / 3})
    assert close(group(found, "class_share"), {"0": 3 / 4, "1": 1 / 4})
    found = record(lossmith.CrossEntropyLoss(), z, y)
    assert close(group(found, "class_gradient"), {"0": 3 / 4, "1": 1 / 4})


def test_a_sum_has_its_terms_and_their_gradients_together() -> None:
    z, y = torch.tensor(LOGITS), torch.tensor(LABELS)
    loss = lossmith.create("0.5*cross_entropy + 2*cross_entropy(weight=[1, 1, 1])")
    found = record(loss, z, y)
    plain = record(lossmith.CrossEntropyLoss(), z, y)
    assert found["gradient"] == pytest.approx(2.5 * plain["gradient"], abs=1e-6)
    assert found["class_loss/2"] == pytest.approx(2.5 * plain["class_loss/2"], abs=1e-6)
    assert found["term_loss/1 cross_entropy"] == pytest.approx(plain["loss"], abs=1e-6)
    assert found["term_loss/2 cross_entropy(weight=[1, 1, 1])"] == pytest.approx(plain["loss"], abs=1e-6)
    opposed = record(lossmith.MSELoss() - lossmith.MSELoss(), torch.ones(3), torch.zeros(3))
    assert opposed["zero_gradient"] == 1.0  # slopes are added before their lengths are taken


def test_residuals_and_embeddings_have_no_classes() -> None:
    found = record(lossmith.MAELoss(), torch.tensor([3.0, 0.0]), torch.tensor([1.0, 0.0]))
    assert (found["zero_gradient"], found["gradient"]) == (0.5, 0.5)
    assert not [name for name in found if name.startswith("class")]
    x, y = torch.randn(6, 4), torch.tensor([7, 7, 9, 9, 7, 9])
    assert not [name for name in record(lossmith.SupervisedContrastiveLoss(), x, y) if name.startswith("class")]
    found = record(lossmith.SupervisedContrastiveLoss(), x, y, classes={"seven": 7, "nine": 9})
    assert group(found, "class_share") == {"seven": 0.5, "nine": 0.5}


def test_regularized_is_measured_by_its_loss() -> None:
    model = nn.Linear(2, 1)
    risk = lossmith.Regularized(lossmith.CrossEntropyLoss(), model=model, l2=0.1)
    monitor = LossMonitor(risk)
    z, y = torch.tensor(LOGITS), torch.tensor(LABELS)
    assert torch.equal(monitor(z, y, num_items=3, micro_batches=1), risk(z, y, num_items=3, micro_batches=1))
    assert monitor.history[0]["gradient"] == pytest.approx(float(sum(slopes()) / 3), abs=1e-6)


def leaf(input: Input) -> Input:
    return each(lambda x: x.clone().requires_grad_() if x.is_floating_point() else x, input)


def run(loss: Any, input: Input, target: Tensor | None) -> tuple[Tensor, list[Tensor | None]]:
    torch.manual_seed(3)
    given = leaf(input)
    value = loss(given, target)
    own = [x for x in leaves(given) if x.requires_grad]
    slopes = torch.autograd.grad(value.sum(), own, allow_unused=True) if value.requires_grad else ()
    return value, [*slopes, torch.rand(3)]  # and the generator stands where it stood


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_value_gradient_state_and_generator_stay_the_same(case: Case) -> None:
    input, target = case.data()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = case.loss()
        watched = copy.deepcopy(plain)
        monitor = LossMonitor(watched, every=1)
        for _ in range(2 if plain.state_dict() else 1):
            (value, slopes), (same, others) = run(plain, input, target), run(monitor, input, target)
            assert torch.equal(value, same)
            for one, other in zip(slopes, others, strict=True):
                assert (one is None and other is None) or torch.equal(one, other)  # type: ignore[arg-type]
    assert all(
        torch.equal(a, b) for a, b in zip(plain.state_dict().values(), monitor.state_dict().values(), strict=True)
    )
    found = monitor.history[-1]
    for what in ("bin_gradient", "bin_share", "class_share"):
        shares = group(found, what)
        assert not shares or sum(shares.values()) == pytest.approx(1)
    assert found["loss"] == pytest.approx(float(value.detach()), rel=1e-9)


def test_the_state_is_that_of_the_loss() -> None:
    loss = lossmith.GHMCLoss(momentum=0.9, weight=[1.0, 2.0])
    monitor = LossMonitor(loss)
    model = nn.ModuleDict({"net": nn.Linear(2, 2), "loss": monitor})
    alone = nn.ModuleDict({"net": nn.Linear(2, 2), "loss": lossmith.GHMCLoss(momentum=0.9, weight=[1.0, 2.0])})
    monitor(torch.randn(5, 2), torch.tensor([0, 1, 1, 0, 1]))
    assert model.state_dict().keys() == alone.state_dict().keys()
    alone.load_state_dict(model.state_dict())
    assert torch.equal(alone["loss"].histogram, loss.histogram)
    alone["loss"].histogram.fill_(0.5)
    model.load_state_dict(alone.state_dict())
    assert float(loss.histogram[0]) == 0.5
    with pytest.raises(RuntimeError, match="Unexpected key"):
        monitor.load_state_dict({**loss.state_dict(), "other": torch.zeros(1)})
    with pytest.raises(RuntimeError, match="Missing key"):
        monitor.load_state_dict({})
    assert monitor.double().loss.histogram.dtype == torch.float64


def test_pickles_and_copies_go_on() -> None:
    monitor = LossMonitor(lossmith.GHMCLoss(momentum=0.9), every=1, classes=["a", "b"])
    z, y = torch.randn(5, 2), torch.tensor([0, 1, 1, 0, 1])
    monitor(z, y)
    for other in (pickle.loads(pickle.dumps(monitor)), copy.deepcopy(monitor)):  # noqa: S301
        assert other.history[0] == monitor.history[0]
        assert torch.equal(other(z, y), copy.deepcopy(monitor.loss)(z, y))
        assert len(other.history) == 2
        other.load_state_dict(other.state_dict())
