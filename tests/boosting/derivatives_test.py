"""Gradients and Hessians against float64 autograd row by row, the bounds against them, and what each rule promises."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import lossmith
from lossmith.boosting import gradient_and_hessian
from lossmith.boosting.eligible import SCORES, centred, terms
from lossmith.errors import DomainError, ParameterError
from lossmith.flow.loss import Loss
from tests.laws.cases import CASES, Case

pytestmark = pytest.mark.filterwarnings("ignore:.*least at p")


def eligible(case: Case) -> bool:
    try:
        terms(case.loss())
    except ParameterError:
        return False
    return not case.spatial


ELIGIBLE = [case for case in CASES if eligible(case)]
FAMILIES = ("residual", "margin", "likelihood")


def by_rows(loss: Loss, scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The same by autograd of the loss as it is called, one row at a time."""

    def value(z: Tensor, t: Tensor) -> Tensor:
        return loss.values(z[None], t[None])[0].sum()

    pairs = list(zip(scores, target, strict=True))
    gradients = [torch.autograd.functional.jacobian(lambda z, t=t: value(z, t), z) for z, t in pairs]
    matrices = [whole_matrix(loss, z, t) for z, t in pairs]
    return torch.stack(gradients), torch.stack([m.diagonal() if m.dim() else m for m in matrices])


def whole_matrix(loss: Loss, z: Tensor, t: Tensor) -> Tensor:
    """The Hessian of one row, [C, C]."""
    found = torch.autograd.functional.hessian(lambda z: loss.values(z[None], t[None])[0].sum(), z)
    assert isinstance(found, Tensor)
    return found


def test_every_loss_of_the_three_families_is_eligible_or_says_why() -> None:
    named = {case.cls.name for case in ELIGIBLE}
    left = {case.cls.name for case in CASES if case.cls.family in FAMILIES} - named
    # A metric; a root; two inputs; statistics of the batch; losses of probabilities under other names.
    assert left == {"zero_one", "rmse", "gaussian_nll", "ghmc", "ghmr", "nll", "bce"}
    assert not {case.cls.family for case in ELIGIBLE} - set(FAMILIES)


@pytest.mark.parametrize("case", ELIGIBLE, ids=lambda case: case.label)
def test_gradient_and_hessian_are_those_of_autograd(case: Case) -> None:
    scores, target = case.data(seed=3, units=7)
    assert isinstance(scores, Tensor)
    assert target is not None
    gradient, exact = gradient_and_hessian(case.loss(), scores, target, hessian="exact")
    gradient_, hessian = by_rows(case.loss(), scores, target)
    torch.testing.assert_close(gradient, gradient_, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(exact, hessian.clamp(min=1e-16), rtol=1e-9, atol=1e-11)
    same, bound = gradient_and_hessian(case.loss(), scores, target)
    torch.testing.assert_close(same, gradient, rtol=1e-13, atol=1e-13)
    assert bool((bound > 0).all())
    size = (scores - target).abs() if centred(case.loss()) else None
    far = torch.ones_like(bound, dtype=torch.bool) if size is None else size >= 0.1 * size.mean()
    assert bool((bound - hessian >= -1e-9 * hessian.abs())[far].all())


@pytest.mark.parametrize("case", [c for c in ELIGIBLE if c.data()[0].dim() == 2], ids=lambda case: case.label)  # type: ignore[union-attr]
def test_the_bound_holds_for_the_whole_matrix_and_not_for_its_diagonal_alone(case: Case) -> None:
    scores, target = case.data(seed=5, units=6)
    assert isinstance(scores, Tensor)
    assert target is not None
    loss = case.loss()
    bound = gradient_and_hessian(loss, scores, target)[1]
    for z, t, diagonal in zip(scores, target, bound, strict=True):
        matrix = whole_matrix(loss, z, t)
        assert float(torch.linalg.eigvalsh(torch.diag(diagonal) - matrix).min()) > -1e-10


@pytest.mark.parametrize("spec", ["focal", "cross_entropy(weight=[1, 3])", "logit_adjusted(counts=[9, 1])", "z", "dsc"])
def test_one_score_is_the_second_of_two(spec: str) -> None:
    z, t = torch.linspace(-4, 4, 9, dtype=torch.float64), torch.tensor([0, 1, 1, 0, 1, 0, 0, 1, 1])
    gradient, exact = gradient_and_hessian(spec, z, t, hessian="exact")
    two = torch.stack([torch.zeros_like(z), z], 1)
    found = gradient_and_hessian(spec, two, t, hessian="exact")
    torch.testing.assert_close(gradient, found[0][:, 1], rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(exact, found[1][:, 1], rtol=1e-8, atol=1e-12)
    floats = gradient_and_hessian(spec, z, t.double(), hessian="exact")
    torch.testing.assert_close(gradient, floats[0])


def test_anchors() -> None:
    """By hand: cross-entropy at 1/2; squared error; focal gamma 2 at p = 1/2, (1-p)^2 (2 p log p - (1 - p))."""
    g, h = gradient_and_hessian("cross_entropy", np.zeros(2), np.array([0, 1]))
    assert g.tolist() == [0.5, -0.5]
    assert h.tolist() == [0.25, 0.25]
    g, h = gradient_and_hessian("mse", np.array([3.0, 1.0]), np.array([1.0, 1.0]))
    assert g.tolist() == [4.0, 0.0]
    assert h.tolist() == [2.0, 2.0]
    g, h = gradient_and_hessian("focal", np.zeros(1), np.ones(1))
    assert g[0] == pytest.approx(0.25 * (math.log(0.5) - 0.5))
    g, h = gradient_and_hessian("cross_entropy", np.zeros((1, 4)), np.array([2]))
    assert g[0] == pytest.approx([0.25, 0.25, -0.75, 0.25])
    assert h[0] == pytest.approx([0.375] * 4)
    assert gradient_and_hessian("cross_entropy", np.zeros((1, 4)), np.array([2]), spread=4 / 3)[1][
        0, 0
    ] == pytest.approx(0.25)
    g, h = gradient_and_hessian("mae", np.array([4.0, -2.0]), np.zeros(2))
    assert h.tolist() == [0.25, 0.5]  # 1 / |r|
    h = gradient_and_hessian("mae", np.array([9.9, -0.1]), np.zeros(2))[1]  # the mean is 5: 0.1 counts as 0.5
    assert h == pytest.approx([1 / 9.9, 2.0])
    h = gradient_and_hessian("mae", np.array([9.9, -0.1]), np.zeros(2), np.array([1.0, 9.0]))[1]  # now 1.08
    assert h == pytest.approx([1 / 9.9, 9 / 0.108])
    g, h = gradient_and_hessian("hinge", np.array([-5.0, 0.0, 2.0]), np.array([1.0, 1.0, 1.0]))
    assert g.tolist() == [-1.0, -1.0, 0.0]
    assert h.tolist() == [1.0, 1.0, 1e-16]
    assert gradient_and_hessian("huber", np.ones(3), np.zeros(3), hessian="unit")[1].tolist() == [1.0] * 3


@pytest.mark.parametrize("spec", ["huber", "log_cosh", "mae", "quantile(q=0.9)", "mape", "msle", "smape"])
@pytest.mark.parametrize("far", [1e-3, 1.0, 1e3, 1e6])
def test_a_row_alone_steps_onto_its_target_whatever_the_units(spec: str, far: float) -> None:
    target = torch.full((2,), 2 * far, dtype=torch.float64)
    scores = target + far * torch.tensor([1.0, -0.9], dtype=torch.float64)
    gradient, bound = gradient_and_hessian(spec, scores, target)
    step = gradient / bound
    assert bool((step.abs() <= (scores - target).abs() * (1 + 1e-9)).all())
    if spec not in ("msle", "smape"):
        torch.testing.assert_close(step, scores - target)


@pytest.mark.parametrize("case", ELIGIBLE[::3], ids=lambda case: case.label)
@pytest.mark.parametrize("rule", ["upper", "exact", "unit"])
def test_weight_k_is_k_times_the_row_and_weight_0_hides_it(case: Case, rule: Any) -> None:
    scores, target = case.data(seed=1, units=6)
    assert isinstance(scores, Tensor)
    assert target is not None
    weight = torch.tensor([1.0, 0.0, 2.0, 3.0, 1.0, 0.0], dtype=torch.float64)
    again = torch.repeat_interleave(torch.arange(6), weight.to(torch.int64))
    scores_ = scores.clone()
    scores_[1] = float("nan")
    found = gradient_and_hessian(case.loss(), scores_, target, weight, hessian=rule)
    repeated = gradient_and_hessian(case.loss(), scores[again], target[again], hessian=rule)
    for one, more in zip(found, repeated, strict=True):
        assert not bool(one[[1, 5]].any())
        torch.testing.assert_close(torch.zeros_like(one).index_add_(0, again, more), one, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", ELIGIBLE, ids=lambda case: case.label)
def test_float32_is_close_to_float64(case: Case) -> None:
    """XGBoost's scores are float32, and so is the objective's arithmetic for it."""
    from lossmith.boosting.derivatives import derivatives

    scores, target = case.data(seed=3, units=50, dtype=torch.float32)
    assert isinstance(scores, Tensor)
    assert target is not None
    parts = terms(case.loss())
    wide = target.double() if target.is_floating_point() else target
    for rule in ("upper", "exact"):
        one = derivatives(parts, scores, target, None, rule, 2.0)  # type: ignore[arg-type]
        two = derivatives(parts, scores.double(), wide, None, rule, 2.0)  # type: ignore[arg-type]
        for a, b in zip(one, two, strict=True):
            torch.testing.assert_close(a.double(), b, rtol=2e-4, atol=1e-4 * float(b.abs().max()))


@pytest.mark.parametrize("case", [c for c in ELIGIBLE if c.cls.family == "likelihood"], ids=lambda case: case.label)
def test_far_scores_stay_finite(case: Case) -> None:
    scores, target = case.data(seed=2, units=8)
    assert isinstance(scores, Tensor)
    assert target is not None
    for size in (100.0, 1000.0, 1e4):
        for rule in ("upper", "exact"):
            found = gradient_and_hessian(case.loss(), scores * size, target, hessian=rule)  # type: ignore[arg-type]
            assert all(bool(x.isfinite().all()) for x in found)
            assert bool((found[1] > 0).all())


def test_sums_are_sums() -> None:
    z = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    total = gradient_and_hessian("0.7*focal + 0.3*poly - 0.1*z", z, y, hessian="exact")
    parts = [(0.7, "focal"), (0.3, "poly"), (-0.1, "z")]
    each = [(f, gradient_and_hessian(lossmith.create(s) * f, z, y, hessian="exact")) for f, s in parts]
    torch.testing.assert_close(total[0], sum(g for _, (g, _) in each))
    by_hand = by_rows_of_sum(parts, z, y)
    torch.testing.assert_close(total[1], by_hand.clamp(min=1e-16))
    assert bool((gradient_and_hessian("0.7*focal + 0.3*poly - 0.1*z", z, y)[1] >= by_hand).all())


def by_rows_of_sum(parts: list[tuple[float, str]], z: Tensor, y: Tensor) -> Tensor:
    return sum((f * by_rows(lossmith.create(s), z, y)[1] for f, s in parts), torch.zeros_like(z))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "spec", ["rmse", "dice", "ghmc", "smooth_ap", "gaussian_nll", "zero_one", "kl_div", "nll", "bce"]
)
def test_the_others_are_refused_in_one_sentence(spec: str) -> None:
    with pytest.raises(ParameterError, match=r"^\w+: .{40,}") as refused:
        gradient_and_hessian(spec, torch.zeros(3), torch.zeros(3))
    assert "mse" in str(refused.value) or spec != "rmse"
    assert SCORES["prob"] == "softmax"


def test_illegal_targets_and_scores_are_refused() -> None:
    for spec, score, target in [
        ("poisson_nll", 0.5, -1.0),
        ("mape", 1.0, 0.0),
        ("msle", -1.5, 1.0),
        ("hinge", 1.0, 0.0),
        ("mse", 1.0, math.nan),
    ]:
        with pytest.raises(DomainError):
            gradient_and_hessian(spec, np.array([score]), np.array([target]))
    with pytest.raises(ParameterError, match="hessian must be"):
        gradient_and_hessian("mse", np.zeros(1), np.zeros(1), hessian="newton")  # type: ignore[arg-type]


def test_inputs_are_left_alone() -> None:
    z, y, w = np.zeros((4, 3)), np.array([0, 1, 2, 0]), np.ones(4)
    kept = z.copy(), y.copy(), w.copy()
    gradient_and_hessian("focal", z, y, w)
    for now, before in zip((z, y, w), kept, strict=True):
        assert (now == before).all()
