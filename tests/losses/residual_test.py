"""The residual family against 160-digit references, torch.nn, scikit-learn and scipy."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from sklearn import metrics
from torch import Tensor, nn

import lossmith
from lossmith.flow.loss import registry
from tests.losses.oracle import EDGES, RESIDUAL, agree, exact, jittered, mp, settings_of, slope, total
from tests.losses.oracle import with_gradient as run

PLAIN = settings_of(name for name in RESIDUAL if name != "gaussian_nll")  # one number in, one out; GHM-R: density_test
TARGETS = (0.0, 1e-30, 1e-3, -0.9999, 17.0, -100.0, 1e4, 1e20)
FLOATS = st.floats(-1e4, 1e4, width=32)


def legal(name: str, parameters: dict[str, Any], x: Tensor, t: Tensor) -> Tensor:
    """Where (x, t) lies in the loss's domain, as its paper states it."""
    match name:
        case "mape":
            return t != 0
        case "msle":
            return (x > -1) & (t > -1)
        case "poisson_nll":
            rate = (x >= 0) & ((x - 1).abs() > 0.05)  # near 1 the log of x + eps is as good as x + eps is rounded
            return (t >= 0) & ((x.abs() <= 1.2e4) if parameters["log_input"] else rate)
        case "rmse":  # sums of squares have to fit into the format
            return ((x - t).abs() < 1e18) & (((x - t).abs() > 1e-15) | (x == t))
    return torch.ones_like(x, dtype=torch.bool)


def grid(name: str, parameters: dict[str, Any], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Every edge against every target, and the targets against close neighbours, where differences cancel."""
    targets = torch.tensor(TARGETS, dtype=dtype)
    moved = jittered(EDGES, dtype)[len(EDGES) :: 3]
    edges = torch.cat([torch.tensor((*EDGES, 1e20, -1e20), dtype=dtype), moved])
    x, t = (side.flatten() for side in torch.meshgrid(edges, targets, indexing="ij"))
    x = torch.cat([x, targets, targets.nextafter(targets + 1), targets * 1.001, targets - 1e-4])
    t = torch.cat([t, targets.repeat(4)])
    keep = legal(name, parameters, x, t)
    return x[keep], t[keep]


def each(name: str, parameters: dict[str, Any], x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Value and gradient at every point; RMSE, which has no values of single units, one batch a point."""
    if name != "rmse":
        return run(registry[name](**parameters, reduction="none"), x, t)
    pairs = [run(registry[name](), one, other) for one, other in zip(x.split(1), t.split(1), strict=True)]
    return torch.stack([value for value, _ in pairs]), torch.cat([gradient for _, gradient in pairs])


def check(name: str, parameters: dict[str, Any], x: Tensor, t: Tensor) -> None:
    reference = RESIDUAL[name]
    points = list(zip(exact(x), exact(t), strict=True))
    at = [(float(a), float(b)) for a, b in points]
    value, gradient = each(name, parameters, x, t)
    agree(value, [total(reference(a, b, **parameters)) for a, b in points], at=at)
    agree(gradient, [slope(lambda y, b=b: reference(y, b, **parameters), a) for a, b in points], at=at)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "parameters"), PLAIN)
def test_value_and_gradient_at_the_edges(name: str, parameters: dict[str, Any], dtype: torch.dtype) -> None:
    """The table holds the inputs at which published implementations overflow or cancel."""
    check(name, parameters, *grid(name, parameters, dtype))


@pytest.mark.parametrize(("name", "parameters"), PLAIN)
def test_value_and_gradient_anywhere(name: str, parameters: dict[str, Any]) -> None:
    """Hypothesis looks where the table does not."""

    @settings(max_examples=20)
    @given(st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=4))
    def trial(pairs: list[tuple[float, float]]) -> None:
        x, t = torch.tensor(pairs).unbind(1)
        keep = legal(name, parameters, x, t)
        check(name, parameters, x[keep], t[keep])

    trial()


def gaussian_grid(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    mean = jittered((0.0, 1e-30, 1e-3, 1.0, -1e4, 1e20), dtype)
    variance = torch.tensor([0.0, 1e-8, 2e-6, 1e-3, 0.7, 1.0, 5.0, 1e4, 1e20], dtype=dtype)
    target = torch.tensor([0.0, -17.0, 1e4], dtype=dtype)
    m, v, t = torch.meshgrid(mean, variance, target, indexing="ij")
    return m.flatten(), v.flatten(), t.flatten()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "parameters"), settings_of(["gaussian_nll"]))
def test_gaussian_value_and_both_gradients(name: str, parameters: dict[str, Any], dtype: torch.dtype) -> None:
    """The variance is an input with a gradient of its own, down to 0."""
    mean, variance, target = (x.requires_grad_() for x in gaussian_grid(dtype))
    value = registry[name](**parameters, reduction="none")((mean, variance), target.detach())
    gradients = torch.autograd.grad(value.sum(), (mean, variance))
    points = list(zip(exact(mean), exact(variance), exact(target), strict=True))
    at = [tuple(map(float, point)) for point in points]
    f = RESIDUAL[name]
    agree(value, [total(f(m, v, t, **parameters)) for m, v, t in points], at=at)
    agree(gradients[0], [slope(lambda y, v=v, t=t: f(y, v, t, **parameters), m) for m, v, t in points], at=at)
    agree(gradients[1], [slope(lambda y, m=m, t=t: f(m, y, t, **parameters), v) for m, v, t in points], at=at)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("name", "parameters"), PLAIN)
def test_half_precision_is_computed_in_float32(name: str, parameters: dict[str, Any], dtype: torch.dtype) -> None:
    """A half-precision batch gives what its rounded numbers give in float32, up to the largest float16."""
    far = 80.0 if name == "poisson_nll" else 6e4  # exp of a log rate of 6e4 is infinite in any format
    x = torch.tensor([0.0, 1e-3, 0.3, 1.0, 7.0, far]).to(dtype)
    t = torch.tensor([1.0, 1e-3, 4.0, 1.0, 0.5, 2.0]).to(dtype)
    value, gradient = each(name, parameters, x, t)
    wide, wide_gradient = each(name, parameters, x.float(), t.float())
    assert value.dtype == torch.float32
    assert torch.isfinite(value).all()
    assert torch.equal(value, wide)
    assert torch.equal(gradient, wide_gradient.to(dtype))


# Other people's code ----------------------------------------------------------------------------------------------
def numbers(*shape: int, low: float = -4.0, high: float = 4.0, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)


TORCH: list[tuple[str, dict[str, Any], Any, float]] = [
    ("mse", {}, nn.MSELoss, -4),
    ("mae", {}, nn.L1Loss, -4),
    *(("huber", {"delta": d}, nn.HuberLoss, -4) for d in (0.5, 1.0, 3.0)),
    *(("smooth_l1", {"beta": b}, nn.SmoothL1Loss, -4) for b in (0.0, 0.5, 1.0, 3.0)),
    *(
        ("poisson_nll", {"log_input": log, "full": full, "eps": eps}, nn.PoissonNLLLoss, 0.5)
        for log in (True, False)
        for full in (True, False)
        for eps in (1e-8, 0.1)
    ),
]


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize(("name", "parameters", "theirs", "low"), TORCH)
def test_torch(name: str, parameters: dict[str, Any], theirs: Any, low: float, reduction: str) -> None:
    """Users who come from torch.nn find their numbers again."""
    x, t = numbers(4, 3, 5, low=low), numbers(4, 3, 5, low=low, seed=1)
    ours = registry[name](**parameters, reduction=reduction)(x, t)
    torch.testing.assert_close(ours, theirs(**parameters, reduction=reduction)(x, t), rtol=1e-12, atol=0)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("eps", [1e-6, 1.0])
@pytest.mark.parametrize("last", [5, 1])
def test_torch_gaussian(full: bool, eps: float, last: int, reduction: str) -> None:
    """torch takes the variance third and broadcasts it along the last axis; eps is a floor, not a term."""
    mean, target, variance = numbers(4, 5), numbers(4, 5, seed=1), numbers(4, last, low=0.1, seed=2)
    ours = lossmith.GaussianNLLLoss(full=full, eps=eps, reduction=reduction)((mean, variance), target)
    theirs = nn.GaussianNLLLoss(full=full, eps=eps, reduction=reduction)(mean, target, variance)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)


SKLEARN: list[tuple[str, dict[str, Any], Callable[..., float], float]] = [
    ("mse", {}, metrics.mean_squared_error, -4),
    ("rmse", {}, metrics.root_mean_squared_error, -4),
    ("mae", {}, metrics.mean_absolute_error, -4),
    ("mape", {}, metrics.mean_absolute_percentage_error, 0.5),
    ("msle", {}, metrics.mean_squared_log_error, 0),
    *(
        ("quantile", {"q": q}, lambda t, x, sample_weight=None, q=q: metrics.mean_pinball_loss(
            t, x, alpha=q, sample_weight=sample_weight), -4)
        for q in (0.1, 0.5, 0.9)
    ),
]  # fmt: skip


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("name", "parameters", "theirs", "low"), SKLEARN)
def test_sklearn(
    name: str, parameters: dict[str, Any], theirs: Callable[..., float], low: float, weighted: bool
) -> None:
    """scikit-learn's means, with its sample weights in the denominator."""
    x, t = numbers(50, low=low), numbers(50, low=low, seed=1)
    weight = numbers(50, low=0, seed=2) if weighted else None
    ours = registry[name](**parameters)(x, t, sample_weight=weight).item()
    assert ours == pytest.approx(theirs(t.numpy(), x.numpy(), sample_weight=weight), rel=1e-12)


def test_scores_of_sklearn_follow() -> None:
    """The explained fractions of scikit-learn are 1 - loss / loss of the best constant."""
    x, t = numbers(50), numbers(50, seed=1)
    pinball, mae = lossmith.QuantileLoss(q=0.9), lossmith.MAELoss()
    quantile = torch.full_like(t, t.quantile(0.9).item())
    assert 1 - (pinball(x, t) / pinball(quantile, t)).item() == pytest.approx(
        metrics.d2_pinball_score(t.numpy(), x.numpy(), alpha=0.9), rel=1e-9
    )
    median = torch.full_like(t, t.quantile(0.5).item())
    assert 1 - (mae(x, t) / mae(median, t)).item() == pytest.approx(
        metrics.d2_absolute_error_score(t.numpy(), x.numpy()), rel=1e-9
    )


def test_scipy_and_twins() -> None:
    """scipy.special.huber takes delta first; an expectile of 1/2 is half a square, a quantile of 1/2 half of |r|."""
    x, t = numbers(50), numbers(50, seed=1)

    def ours(name: str, **options: Any) -> Tensor:
        return registry[name](reduction="none", **options)(x, t)

    close = {"rtol": 1e-12, "atol": 1e-15}
    torch.testing.assert_close(ours("huber", delta=0.7), torch.tensor(special.huber(0.7, (x - t).numpy())), **close)
    torch.testing.assert_close(ours("expectile", tau=0.5), ours("mse") / 2, **close)
    torch.testing.assert_close(ours("quantile", q=0.5), ours("mae") / 2, **close)
    torch.testing.assert_close(ours("smooth_l1", beta=2.0), ours("huber", delta=2.0) / 2, **close)
    torch.testing.assert_close(ours("log_cosh"), (x - t).cosh().log(), rtol=1e-10, atol=1e-12)


# What the losses estimate, and special places ---------------------------------------------------------------------
MINIMA = [
    ("mse", {}, [0.0, 1.0, 5.0, 10.0], 4.0),  # mean
    ("rmse", {}, [0.0, 1.0, 5.0, 10.0], 4.0),
    ("mae", {}, [0.0, 1.0, 10.0], 1.0),  # median
    ("quantile", {"q": 0.9}, list(range(10)), 8.5),  # any number in [8, 9] has slope 0
    ("expectile", {"tau": 0.75}, [0.0, 4.0], 3.0),  # .25 * 3 = .75 * 1
    ("msle", {}, [0.0, 3.0], 1.0),  # 1 + x is the geometric mean of 1 and 4
    ("poisson_nll", {}, [1.0, 3.0], math.log(2)),
    ("poisson_nll", {"log_input": False}, [1.0, 3.0], 2.0),
]


@pytest.mark.parametrize(("name", "parameters", "targets", "best"), MINIMA)
def test_estimates_what_its_docstring_says(
    name: str, parameters: dict[str, Any], targets: list[float], best: float
) -> None:
    """Slopes of both signs beside the minimum, so a loss with asymmetry the wrong way round cannot pass."""
    t = torch.tensor(targets, dtype=torch.float64)
    slopes = []
    for constant in (best - 0.6, best, best + 0.6):
        x = torch.full_like(t, constant).requires_grad_()
        slopes.append(torch.autograd.grad(registry[name](**parameters)(x, t), x)[0].sum().item())
    assert slopes[0] < 0 < slopes[2]
    if name != "mae":
        assert slopes[1] == pytest.approx(0, abs=1e-7)


def test_rmse_is_one_root_of_the_whole_mean() -> None:
    """A mean of roots, or of batches' roots, is another loss; at residual 0 the slope of the root stays out."""
    x = torch.tensor([3.0, 4.0], requires_grad=True)
    loss = lossmith.RMSELoss()
    value = loss(x, torch.zeros(2))
    assert value.item() == pytest.approx(math.sqrt(12.5))
    (gradient,) = torch.autograd.grad(value, x)
    assert gradient.tolist() == pytest.approx([3 / (2 * math.sqrt(12.5)), 4 / (2 * math.sqrt(12.5))])
    parts = [loss.partial(torch.tensor([a]), torch.zeros(1)) for a in (3.0, 4.0)]
    assert loss.reduce(parts[0].merge(parts[1])).item() == pytest.approx(math.sqrt(12.5))
    still = torch.ones(3, requires_grad=True)
    assert torch.autograd.grad(loss(still, torch.ones(3)), still)[0].tolist() == [0, 0, 0]


def test_smape_is_bounded_and_symmetric() -> None:
    """0 / 0 costs nothing, opposite signs cost 2, and input and target may change places."""
    x, t = torch.tensor([0.0, 1.0, 3.0, -2.0]), torch.tensor([0.0, -1.0, 1.0, 0.0])
    loss = lossmith.SMAPELoss(reduction="none")
    assert loss(x, t).tolist() == [0, 2, 1, 2]
    assert torch.equal(loss(x, t), loss(t, x))


def test_reference_is_precise() -> None:
    """The oracle's difference quotients leave 50 digits: log cosh has the slope tanh, even at 1e-45."""
    for x in (1e-45, 1e-8, 0.5, 200.0):
        low, high, _ = slope(lambda y: mp.log(mp.cosh(y)), mp.mpf(x))
        assert abs(low / mp.tanh(mp.mpf(x)) - 1) < mp.mpf("1e-20")
        assert abs(high - low) <= mp.mpf("1e-20") * abs(high)
