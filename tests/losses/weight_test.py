"""Weights and what a mean divides by: class counts, normalizers, sample weights, masks; over the whole registry."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor

import lossmith
from lossmith.errors import DomainError
from lossmith.flow.labelled import LabelledLoss
from lossmith.flow.loss import Loss, registry
from lossmith.flow.parameter import weights_or_none
from tests.losses.oracle import mp, shipped

PAPER = [5000, 1000, 300, 80, 20]
CLOSE = {"rtol": 1e-10, "atol": 1e-13}


def make(name: str, **options: Any) -> Loss:
    return registry[name](**{**registry[name].example, **options})


ALONE = [
    name
    for family in ("residual", "margin", "likelihood")  # the families with one value per unit
    for name in shipped(family)
    if make(name).scope == "unit"
]
every = pytest.mark.parametrize("name", ALONE)
labelled = pytest.mark.parametrize("name", [name for name in ALONE if issubclass(registry[name], LabelledLoss)])


# From counts to weights -------------------------------------------------------------------------------------------
def test_effective_number_of_the_paper() -> None:
    """The weights that the authors' code gives for a long tail of five classes."""
    weight = lossmith.effective_number(PAPER, beta=0.9999)
    assert weight.tolist() == pytest.approx([0.018885, 0.078084, 0.251423, 0.932554, 3.719053], abs=1e-6)


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 10**9), min_size=2, max_size=6).filter(any), st.sampled_from([0.0, 0.9, 0.999, 1 - 1e-9])
)
def test_effective_number_is_its_formula(counts: list[int], beta: float) -> None:
    """(1 - beta) / (1 - beta^n), scaled to sum C, without overflow or cancellation; an unseen class gets 0."""
    b = mp.mpf(beta)
    raw = [(1 - b) / (1 - b**n) if n else mp.mpf(0) for n in counts]
    expected = [float(w * len(counts) / mp.fsum(raw)) for w in raw]
    assert lossmith.effective_number(counts, beta=beta).tolist() == pytest.approx(expected, rel=1e-5)


def test_effective_number_runs_from_equal_to_inverse_frequency() -> None:
    """beta = 0 leaves the classes equal, beta -> 1 is balanced."""
    assert lossmith.effective_number([7, 50, 1], beta=0.0).tolist() == [1, 1, 1]
    nearly = lossmith.effective_number([10, 40], beta=1 - 1e-12)
    assert (nearly[0] / nearly[1]).item() == pytest.approx(4, rel=1e-4)
    assert lossmith.effective_number([10, 0, 10], beta=0.9).tolist() == pytest.approx([1.5, 0, 1.5])


@pytest.mark.parametrize("counts", [[90, 10], [3, 1, 4, 1, 5], [1, 10**6]])
def test_balanced_is_scikit_learns(counts: list[int]) -> None:
    """The same numbers from the counts as scikit-learn takes from the labels; fractions of a whole do as well."""
    labels = np.repeat(np.arange(len(counts)), counts)
    expected = compute_class_weight("balanced", classes=np.arange(len(counts)), y=labels)
    assert lossmith.class_weight("balanced", counts).tolist() == pytest.approx(expected, rel=1e-6)
    shares = [n / sum(counts) for n in counts]
    assert lossmith.class_weight("balanced", shares).tolist() == pytest.approx(expected, rel=1e-6)


def test_a_class_never_seen_weighs_nothing() -> None:
    """The classes that were seen are weighed as if the other did not exist (scikit-learn refuses it)."""
    weight = lossmith.class_weight("balanced", torch.tensor([90, 0, 10]))
    assert weight.tolist() == pytest.approx([100 / 180, 0, 5])


def test_class_balanced_focal_is_the_papers() -> None:
    """CB_focal = w_y (1 - p)^gamma (-log p), a mean over the examples in the authors' code; p stays unweighted."""
    weight = lossmith.effective_number([30, 3], beta=0.9).double()
    z = torch.tensor([[math.log(9), 0.0], [0.0, 0.0], [0.0, math.log(3)]], dtype=torch.float64)
    y = torch.tensor([0, 1, 1])
    each = [0.1**2 * -math.log(0.9), math.log(2) / 4, 0.25**2 * -math.log(0.75)]
    ours = lossmith.FocalLoss(gamma=2.0, weight=weight, normalizer="count")(z, y)
    expected = sum(w * loss for w, loss in zip(weight[y].tolist(), each, strict=True)) / 3
    assert ours.item() == pytest.approx(expected, rel=1e-12)
    raw = [0.1 / (1 - 0.9**30), 0.1 / (1 - 0.9**3)]
    assert weight.tolist() == pytest.approx([2 * w / sum(raw) for w in raw], rel=1e-6)


# What a mean divides by, for every loss ---------------------------------------------------------------------------
def data(name: str, units: int = 24) -> tuple[Any, Tensor, Tensor]:
    """A legal batch, and the value of every unit."""
    loss = make(name)
    x, t = loss.sample(torch.Generator().manual_seed(1), units)
    return x, t, loss.values(x, t)[0]


def some(x: Any, index: Any) -> Any:
    return tuple(part[index] for part in x) if isinstance(x, tuple) else x[index]


def finish(name: str, mean: Tensor) -> Tensor:
    return mean.sqrt() if name == "rmse" else mean


SAMPLE_WEIGHT = torch.arange(24, dtype=torch.float64) % 5  # zeros among them


@every
def test_sample_weights_and_normalizers(name: str) -> None:
    """A weight scales the value; the mean divides by what `normalizer` and `num_items` say, a sum by nothing."""
    x, t, value = data(name)
    weighted = (value * SAMPLE_WEIGHT).sum()
    for normalizer, divisor in (("weight", SAMPLE_WEIGHT.sum()), ("count", 24), (7, 7)):
        ours = make(name, normalizer=normalizer)
        torch.testing.assert_close(ours(x, t), finish(name, value.sum() / (7 if normalizer == 7 else 24)), **CLOSE)
        torch.testing.assert_close(ours(x, t, sample_weight=SAMPLE_WEIGHT), finish(name, weighted / divisor), **CLOSE)
        for items in (5, torch.tensor(5.0)) if name != "rmse" else ():
            ours_over_items = ours(x, t, sample_weight=SAMPLE_WEIGHT, num_items=items)
            torch.testing.assert_close(ours_over_items, finish(name, weighted / 5), **CLOSE)
    if name != "rmse":
        by_sum, by_unit = make(name, reduction="sum"), make(name, reduction="none")
        torch.testing.assert_close(by_sum(x, t, sample_weight=SAMPLE_WEIGHT), weighted, **CLOSE)
        torch.testing.assert_close(by_unit(x, t, sample_weight=SAMPLE_WEIGHT), value * SAMPLE_WEIGHT, **CLOSE)


@every
def test_a_mask_deletes_and_a_weight_repeats(name: str) -> None:
    """Masked units are gone from numerator and denominator; a weight of k counts k times."""
    x, t, value = data(name)
    mask = torch.arange(24) % 3 > 0
    loss = make(name)
    torch.testing.assert_close(loss(x, t, mask=mask), finish(name, value[mask].mean()), **CLOSE)
    masked = make(name, normalizer="count")(x, t, mask=mask, sample_weight=SAMPLE_WEIGHT)
    torch.testing.assert_close(masked, finish(name, (value * SAMPLE_WEIGHT)[mask].sum() / 16), **CLOSE)
    repeated = torch.arange(24).repeat_interleave(SAMPLE_WEIGHT.long())
    twins = loss(some(x, repeated), t[repeated])
    torch.testing.assert_close(loss(x, t, sample_weight=SAMPLE_WEIGHT), twins, **CLOSE)


@every
def test_micro_batches_with_num_items_add_up(name: str) -> None:
    """Gradient accumulation: parts of 5, 9 and 10 examples give the one batch's loss; so do merged partials."""
    x, t, value = data(name)
    loss, parts = make(name), [slice(0, 5), slice(5, 14), slice(14, 24)]
    if name != "rmse":  # a root of a sum is not the sum of roots
        together = sum(loss(some(x, part), t[part], num_items=24) for part in parts)
        torch.testing.assert_close(together, value.mean(), **CLOSE)
    first, *rest = (loss.partial(some(x, part), t[part]) for part in parts)
    torch.testing.assert_close(loss.reduce(first.merge(*rest)), finish(name, value.mean()), **CLOSE)


@pytest.mark.parametrize("name", [name for name in ALONE if registry[name].differentiable])
@pytest.mark.parametrize("nothing", ["mask", "sample_weight", "size", "num_items"])
def test_nothing_costs_nothing(name: str, nothing: str) -> None:
    """Where no unit counts the loss and its gradient are 0, not NaN."""
    if (name, nothing) == ("rmse", "num_items"):
        return  # a root of a mean has no share of a step
    x, t, _ = data(name)
    options: dict[str, Any] = {
        "mask": {"mask": torch.zeros(24, dtype=torch.bool)},
        "sample_weight": {"sample_weight": torch.zeros(24)},
        "num_items": {"mask": torch.zeros(24, dtype=torch.bool), "num_items": 0},
    }.get(nothing, {})
    if nothing == "size":
        x, t = some(x, slice(0)), t[:0]
    leaves = [part.clone().requires_grad_() for part in (x if isinstance(x, tuple) else (x,))]
    value = make(name)(tuple(leaves) if isinstance(x, tuple) else leaves[0], t, **options)
    assert value.item() == 0
    for gradient in torch.autograd.grad(value, leaves):
        assert not gradient.any()


@labelled
def test_class_weights_are_in_the_denominator_and_costs_are_not(name: str) -> None:
    """weight= divides (as torch's cross-entropy), alpha= does not (as RetinaNet)."""
    x, t, _ = data(name)
    off = {"alpha": None} if name == "balanced_cross_entropy" else {}
    plain = make(name, **off, reduction="none")(x, t)
    # binary labels are 0/1 or -1/+1, class labels 0 ... 2
    count = 3 if x.dim() == 2 else 2
    index = t.long() if count == 3 else (t > 0).long()
    numbers = torch.tensor([0.25, 2.0, 0.0][:count], dtype=torch.float64)
    value = plain * numbers[index]
    ours = make(name, **{**off, "weight": numbers})
    torch.testing.assert_close(ours(x, t), value.sum() / numbers[index].sum(), **CLOSE)
    if registry[name].parameters_["alpha"].read is not weights_or_none:
        return  # that alpha is a number of the formula
    if count == 3:
        torch.testing.assert_close(make(name, alpha=numbers)(x, t), value.mean(), **CLOSE)
    else:
        quarter = torch.tensor([0.75, 0.25], dtype=torch.float64)
        torch.testing.assert_close(make(name, alpha=0.25)(x, t), (plain * quarter[index]).mean(), **CLOSE)
        factor = torch.tensor([1.0, 6.0], dtype=torch.float64)
        ours = make(name, **{**off, "pos_weight": 6.0})
        torch.testing.assert_close(ours(x, t), (plain * factor[index]).mean(), **CLOSE)


@labelled
def test_ignored_targets_are_deleted(name: str) -> None:
    """The default -100, and any other number by name; None ignores nothing."""
    x, t, value = data(name)
    t = t.clone()
    for index in (-100, 77):
        t[::4] = index
        ours = make(name, ignore_index=index)
        torch.testing.assert_close(ours(x, t), value[torch.arange(24) % 4 > 0].mean(), **CLOSE)
    with pytest.raises(DomainError):
        make(name, ignore_index=None)(x, t)


def test_positives() -> None:
    """What is not background: classes above 0, labels of 1 (soft ones in part), +1 of a margin; ignored ones not."""
    z, y = torch.zeros(5, 3), torch.tensor([0, 2, 1, 0, -100])
    focal = lossmith.FocalLoss(normalizer="positives")
    unit = (2 / 3) ** 2 * math.log(3)
    assert focal(z, y).item() == pytest.approx(4 * unit / 2, rel=1e-6)
    soft = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 0.25, 0.75], [0.0, 0.0, 1.0]])
    assert focal(z[:4], soft).item() == pytest.approx(4 * unit / 2.5, rel=1e-6)
    labels = torch.tensor([1.0, 0.0, 0.5, 0.0])
    binary = lossmith.BCEWithLogitsLoss(normalizer="positives")
    assert binary(torch.zeros(4), labels).item() == pytest.approx(4 * math.log(2) / 1.5, rel=1e-6)
    assert binary(torch.zeros(2), torch.zeros(2)).item() == pytest.approx(2 * math.log(2), rel=1e-6)  # 0 / 0 is / 1
    margin = lossmith.HingeLoss(normalizer="positives")
    assert margin(torch.zeros(4), torch.tensor([1.0, -1.0, -1.0, -1.0])).item() == 4


def test_weights_of_several_labels() -> None:
    """[K, 2] weights and [K] costs lie along axis 1; one pair serves all labels."""
    x, t = torch.zeros(2, 2, 3), torch.tensor([[[0.0], [1.0]], [[1.0], [1.0]]]).expand(2, 2, 3)
    weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    expected = torch.tensor([[1.0, 4.0], [2.0, 4.0]])[:, :, None].expand(2, 2, 3) * math.log(2)
    loss = lossmith.BCEWithLogitsLoss(weight=weight, reduction="none")
    torch.testing.assert_close(loss(x, t), expected)
    torch.testing.assert_close(lossmith.BCEWithLogitsLoss(weight=weight)(x, t).item(), math.log(2))
    costs = lossmith.BCEWithLogitsLoss(pos_weight=[5.0, 7.0], reduction="none")(x, t)
    assert (costs[:, :, 0] / math.log(2)).flatten().tolist() == pytest.approx([1, 7, 5, 7])


def test_sums_of_losses_add_what_they_weigh() -> None:
    """Each term keeps its own normalizer, and the factors stay outside."""
    x, t = torch.tensor([3.0, 0.0]), torch.tensor([1.0, 0.0])
    total = 0.5 * lossmith.MSELoss() + 2 * lossmith.MAELoss(normalizer=4) - lossmith.MAELoss(reduction="sum")
    assert total(x, t).item() == pytest.approx(0.5 * 2 + 2 * 0.5 - 2)
    assert total(x, t, sample_weight=torch.tensor([1.0, 3.0])).item() == pytest.approx(0.5 * 1 + 2 * 0.5 - 2)
