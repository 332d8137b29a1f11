"""Laws of the numbers: derivatives, dtypes, extremes, minima, and the same formula on numpy."""

import numpy as np
import pytest
import torch
from torch import Tensor

from lossmith.errors import ParameterError, ShapeError
from lossmith.flow.loss import Loss
from lossmith.losses.likelihood import LikelihoodLoss
from lossmith.losses.margin import MarginLoss
from lossmith.losses.residual import ResidualLoss
from tests.laws.cases import CASES, SHIPPED, TRAINABLE, Case, alpha_is_costs, cast, each, leaves, packed

every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
trainable = pytest.mark.parametrize("case", TRAINABLE, ids=lambda case: case.label)
pytestmark = pytest.mark.filterwarnings("ignore:.*is a metric")


def of_family(family: type[Loss]) -> pytest.MarkDecorator:
    members = [cls for cls in SHIPPED.values() if issubclass(cls, family) and cls.differentiable]
    return pytest.mark.parametrize("cls", members, ids=lambda cls: cls.name)


@trainable
def test_gradients_are_those_of_finite_differences(case: Case) -> None:
    input, target = case.data(units=4)
    xs = tuple(x.requires_grad_() for x in leaves(input))
    loss = case.loss()
    assert torch.autograd.gradcheck(lambda *x: loss(packed(x), target), xs)
    if "double_backward" not in case.cls.lacks:
        assert torch.autograd.gradgradcheck(lambda *x: loss(packed(x), target), xs, fast_mode=True)


@every
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes(case: Case, dtype: torch.dtype) -> None:
    """Half precision is computed in float32 and agrees with it within the rounding of the input; others are kept."""
    input, target = case.data(dtype=dtype)
    got = case.loss()(input, target)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert got.dtype == wide
    exact = case.loss()(each(lambda x: cast(x, wide), input), None if target is None else cast(target, wide))
    torch.testing.assert_close(got, exact)
    if case.cls.differentiable:
        xs = tuple(x.clone().requires_grad_() for x in leaves(input))
        for grad in torch.autograd.grad(case.loss()(packed(xs), target), xs):
            assert grad.dtype == dtype
            assert grad.isfinite().all()


def without_costs(cls: type[Loss]) -> dict[str, object]:
    return {**cls.example, "alpha": None} if alpha_is_costs(cls) else dict(cls.example)


def plain(cls: type[LikelihoodLoss], link: str) -> LikelihoodLoss | None:
    """The loss without class costs, for two classes; None if it does not have the link."""
    try:
        loss = cls(**{**without_costs(cls), "link": link})
        loss(torch.zeros(1, 2) if link == "softmax" else torch.zeros(1), torch.ones(1, dtype=torch.int64))
    except (ParameterError, ShapeError):
        return None
    return loss


@pytest.mark.parametrize("size", [17.0, 40.0, 89.0, 200.0, 1e4])
@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
@of_family(LikelihoodLoss)
def test_a_wrong_logit_of_any_size_pulls_the_right_way(cls: type[LikelihoodLoss], link: str, size: float) -> None:
    z = torch.tensor([[size, 0.0]] if link == "softmax" else [size], requires_grad=True)
    target = torch.tensor([1]) if link == "softmax" else torch.tensor([0.0])
    loss = plain(cls, link)
    if loss is None:
        return
    value = loss(z, target)
    (grad,) = torch.autograd.grad(value, z)
    assert value.isfinite()
    assert grad.isfinite().all()
    formula = loss.formula if link == "softmax" else loss.absent
    steepest = float(formula(torch.tensor(-1e4), torch)) / 1e4
    least = steepest / 2 if loss.scope == "unit" else 0.0  # of a sum over the batch a unit is only a part
    assert steepest < 0.01 or float(grad.flatten()[0]) > least  # a bounded loss gives up on the hopeless


@pytest.mark.parametrize("size", [17.0, 40.0, 89.0, 200.0, 1e4])
@of_family(MarginLoss)
def test_a_wrong_margin_of_any_size_pulls_the_right_way(cls: type[MarginLoss], size: float) -> None:
    z = torch.tensor([size, -size], requires_grad=True)
    value = cls()(z, torch.tensor([-1.0, 1.0]))
    (grad,) = torch.autograd.grad(value, z)
    assert value.isfinite()
    assert grad.isfinite().all()
    assert grad[0] > 0.499
    assert grad[1] < -0.499


@of_family(LikelihoodLoss)
def test_certainty_is_the_minimum(cls: type[LikelihoodLoss]) -> None:
    """f falls all the way to the p that the loss says is best, which is (nearly) 1, and its slope is finite there."""
    loss = cls(**without_costs(cls))
    best = loss.optimum()
    assert 0.98 <= best <= 1
    p = torch.linspace(1e-3, best, 999, dtype=torch.float64)
    f = loss.formula(p.log(), torch)
    assert (f.diff() < 0).all()
    assert best < 1 or f[-1] == 0
    logp = torch.tensor([0.0, -1e-45, -1e-30], requires_grad=True)
    (slope,) = torch.autograd.grad(loss.formula(logp, torch).sum(), logp)
    assert slope.isfinite().all()


@of_family(MarginLoss)
def test_a_larger_margin_never_costs_more(cls: type[MarginLoss]) -> None:
    phi = cls().formula(torch.linspace(-5, 5, 1001, dtype=torch.float64), torch)
    assert (phi.diff() <= 0).all()
    assert phi[0] > phi[-1] >= 0


@of_family(ResidualLoss)
def test_no_residual_is_the_minimum(cls: type[ResidualLoss]) -> None:
    r = torch.arange(-500, 501, dtype=torch.float64) / 100
    rho = cls().formula(r, torch)
    assert rho.argmin() == 500
    assert rho[500] == 0
    zero = torch.zeros(3, requires_grad=True)
    (grad,) = torch.autograd.grad(cls()(zero, torch.zeros(3)), zero)
    assert (grad == 0).all()


@pytest.mark.parametrize("size", [1e-30, 1e-8, 1.0, 1e4, 1e15])
@of_family(ResidualLoss)
def test_a_residual_of_any_size_pulls_the_right_way(cls: type[ResidualLoss], size: float) -> None:
    x = torch.tensor([size, -size], requires_grad=True)
    value = cls()(x, torch.zeros(2))
    (grad,) = torch.autograd.grad(value, x)
    assert value.isfinite()
    assert grad.isfinite().all()
    lost = bool(value == 0) and cls.reductions == ("mean",)  # RMSE of 1e-30: its squares are below float32
    assert lost or (grad[0] > 0 and grad[1] < 0)


@pytest.mark.parametrize("cls", [cls for cls in SHIPPED.values() if hasattr(cls, "formula")], ids=lambda cls: cls.name)
def test_one_formula_serves_numpy_too(cls: type[Loss]) -> None:
    loss = cls(**cls.example)
    statistics = statistic_of(loss)
    got = loss.formula(*(x.numpy() for x in statistics), np)  # type: ignore[attr-defined]
    want = loss.formula(*statistics, torch)  # type: ignore[attr-defined]
    assert isinstance(got, np.ndarray)
    np.testing.assert_allclose(got, want.numpy(), rtol=1e-12)


def statistic_of(loss: Loss) -> tuple[Tensor, ...]:
    """Legal arguments of the formula: those that the family hands it, seen by standing in for it."""
    seen: list[tuple[Tensor, ...]] = []
    formula = loss.formula  # type: ignore[attr-defined]

    def spy(*arguments: object) -> Tensor:
        seen.append(arguments[:-1])  # type: ignore[arg-type]
        return formula(*arguments)  # type: ignore[no-any-return]

    loss.formula = spy  # type: ignore[attr-defined]
    loss(*loss.sample(torch.Generator().manual_seed(0), 64))
    del loss.formula
    return seen[0]
