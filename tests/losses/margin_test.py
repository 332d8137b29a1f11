"""The margin family against 160-digit references, torch.nn and scikit-learn."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from torch import Tensor, nn

import lossmith
from lossmith.flow.loss import registry
from tests.losses.oracle import EDGES, MARGIN, agree, exact, jittered, shipped, slope, times, total, with_gradient

NAMES = shipped("margin")

FLOATS = st.floats(-1e4, 1e4, width=32)
KINKS = (1.0, 1 - 2**-24, 1 + 2**-23, -1.0, -75.0, -74.5, -76.0)
WEIGHTS = torch.tensor([0.3, 4.0])
SCORES, LABELS = torch.tensor([0.5, -1.5, 2.0, -0.25]), torch.tensor([1.0, -1.0, -1.0, 1.0])


def check(name: str, x: Tensor, t: Tensor) -> None:
    """Value and slope in the score: the label's sign carries over by the chain rule."""
    phi = MARGIN[name]
    points = list(zip(exact(x), exact(t), strict=True))
    at = [(float(a), float(b)) for a, b in points]
    loss = registry[name](reduction="none")
    if registry[name].differentiable:
        value, gradient = with_gradient(loss, x, t)
        agree(gradient, [times(slope(phi, a * b), b) for a, b in points], at=at)
    else:
        value = loss(x, t)
    agree(value, [total(phi(a * b)) for a, b in points], at=at)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient_at_the_edges(name: str, dtype: torch.dtype) -> None:
    """Kinks, their neighbours, and margins of 40, 89, 200 and 10,000 on either side."""
    x = jittered((*EDGES, *KINKS), dtype)
    check(name, torch.cat([x, x]), torch.cat([torch.ones_like(x), -torch.ones_like(x)]))


@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient_anywhere(name: str) -> None:
    """Hypothesis looks where the table does not."""

    @settings(max_examples=30)
    @given(st.lists(st.tuples(FLOATS, st.sampled_from([-1.0, 1.0])), min_size=1, max_size=4))
    def trial(pairs: list[tuple[float, float]]) -> None:
        check(name, *torch.tensor(pairs).unbind(1))

    trial()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_half_precision_is_computed_in_float32(name: str, dtype: torch.dtype) -> None:
    """Finite up to a margin of -60,000, and the same as float32 on the rounded scores."""
    x = torch.tensor([0.0, 1e-3, 0.3, 1.0, 7.0, 6e4, -0.3, -12.0, -6e4]).to(dtype)
    t = torch.ones(9, dtype=dtype)
    loss = registry[name](reduction="none")
    value = loss(x, t)
    assert value.dtype == torch.float32
    assert torch.isfinite(value).all()
    assert torch.equal(value, loss(x.float(), t.float()))


@pytest.mark.parametrize("wrong_by", [40.0, 200.0, 1e4])
@pytest.mark.parametrize("name", ["hinge", "perceptron", "logistic"])
def test_a_confident_mistake_keeps_its_gradient(name: str, wrong_by: float) -> None:
    """D4: clipped losses let go of exactly the examples that are most wrong."""
    x, t = torch.tensor([-wrong_by, wrong_by]), torch.tensor([1.0, -1.0])
    assert with_gradient(registry[name](reduction="none"), x, t)[1].tolist() == [-1, 1]


# Other people's code ----------------------------------------------------------------------------------------------
def batch(*shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    x = 6 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 3
    return x, torch.randint(0, 2, shape, generator=generator).double() * 2 - 1


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_torch(reduction: str) -> None:
    """torch has the logistic loss as SoftMargin, and the hinge as a multi-margin loss of two scores."""
    x, t = batch(4, 5)
    ours = lossmith.LogisticLoss(reduction=reduction)(x, t)
    torch.testing.assert_close(ours, nn.SoftMarginLoss(reduction=reduction)(x, t), rtol=1e-12, atol=0)
    pairs, classes = torch.stack([torch.zeros(20), x.flatten()], 1).double(), (t.flatten() > 0).long()
    for p, name in ((1, "hinge"), (2, "squared_hinge")):  # torch divides by the number of classes
        theirs = 2 * nn.MultiMarginLoss(p=p, reduction=reduction)(pairs, classes)
        torch.testing.assert_close(registry[name](reduction=reduction)(x.flatten(), t.flatten()), theirs)


@pytest.mark.parametrize("weighted", [False, True])
def test_sklearn(weighted: bool) -> None:
    """Hinge, zero-one and log loss of scikit-learn, with sample weights."""
    x, t = batch(60)
    weight = x.abs() if weighted else None
    theirs = {
        "hinge": metrics.hinge_loss(t, x, sample_weight=weight),
        "zero_one": metrics.zero_one_loss(t, x.sign(), sample_weight=weight),
        "logistic": metrics.log_loss(t, x.sigmoid(), sample_weight=weight),
    }
    for name, value in theirs.items():
        assert registry[name]()(x, t, sample_weight=weight).item() == pytest.approx(value, rel=1e-12)


def test_logistic_is_binary_cross_entropy() -> None:
    """The same loss in two families, so the two cannot drift apart."""
    x, t = batch(4, 5)
    twin = lossmith.BCEWithLogitsLoss(reduction="none")(x, (t + 1) / 2)
    torch.testing.assert_close(lossmith.LogisticLoss(reduction="none")(x, t), twin, rtol=1e-12, atol=0)


# Class costs ------------------------------------------------------------------------------------------------------
def plain(name: str) -> Tensor:
    return registry[name](reduction="none")(SCORES, LABELS)


@pytest.mark.parametrize("name", NAMES)
def test_alpha_and_pos_weight_are_costs_and_weight_is_a_count(name: str) -> None:
    """alpha on positives and 1 - alpha on negatives (D7); only `weight` enters what a mean divides by."""
    positive, value = LABELS > 0, plain(name)
    cases = [
        ({"alpha": 0.25}, torch.where(positive, 0.25, 0.75), 4),
        ({"pos_weight": 3.0}, torch.where(positive, 3.0, 1.0), 4),
        ({"weight": WEIGHTS}, torch.where(positive, 4.0, 0.3), 8.6),
        ({"weight": WEIGHTS, "alpha": 0.25}, torch.where(positive, 1.0, 0.225), 8.6),
        ({"weight": WEIGHTS, "normalizer": "count"}, torch.where(positive, 4.0, 0.3), 4),
        ({"weight": WEIGHTS, "normalizer": "positives"}, torch.where(positive, 4.0, 0.3), 2),
        ({"weight": WEIGHTS, "normalizer": 5}, torch.where(positive, 4.0, 0.3), 5),
    ]
    for options, factor, divisor in cases:
        expected = value * factor
        torch.testing.assert_close(registry[name](**options, reduction="none")(SCORES, LABELS), expected)
        torch.testing.assert_close(registry[name](**options)(SCORES, LABELS), expected.sum() / divisor)


@pytest.mark.parametrize("name", NAMES)
def test_ignored_labels_leave_no_trace(name: str) -> None:
    """-100 is ignored as everywhere, its NaN score stays out, and the mean counts what is left."""
    x, t = torch.cat([SCORES, torch.tensor([math.nan])]), torch.cat([LABELS, torch.tensor([-100.0])])
    torch.testing.assert_close(registry[name](weight=WEIGHTS)(x, t), registry[name](weight=WEIGHTS)(SCORES, LABELS))


def test_zero_one_says_that_it_cannot_train() -> None:
    """A metric among the losses must not be trained with silently, and a tie is a mistake."""
    loss = lossmith.ZeroOneLoss(reduction="none")
    assert loss(torch.tensor([0.0, 0.0, -0.0]), torch.tensor([1.0, -1.0, 1.0])).tolist() == [1, 1, 1]
    with pytest.warns(UserWarning, match=r"^ZeroOneLoss is a metric: it has no gradient to train with$"):
        assert not loss(SCORES.clone().requires_grad_(), LABELS).requires_grad


MINIMA: list[tuple[str, float]] = [("exponential", math.log(3) / 2), ("logistic", math.log(3)), ("squared_hinge", 0.5)]


@pytest.mark.parametrize(("name", "best"), MINIMA)
def test_estimates_what_its_docstring_says(name: str, best: float) -> None:
    """Three positives to one negative: half the log-odds, the log-odds, and 2p - 1."""
    x = torch.full((4,), best, dtype=torch.float64)
    _, gradient = with_gradient(registry[name](reduction="sum"), x, torch.tensor([1.0, 1.0, 1.0, -1.0]).double())
    assert gradient.sum().item() == pytest.approx(0, abs=1e-12)
    assert gradient[0] < 0 < gradient[3]
