"""The adversarial family against 160-digit references, torch.nn, scipy's divergences, and small games."""

import copy
import math
from collections.abc import Callable
from math import log
from typing import Any

import pytest
import torch
from scipy import stats
from scipy.spatial.distance import jensenshannon
from torch import Tensor, nn

import lossmith
from lossmith.errors import DomainError, DtypeError, LossmithError, ParameterError, ShapeError
from lossmith.flow.loss import registry
from tests.laws import flow_test, numerics_test, torch_test
from tests.laws.cases import Case
from tests.losses.oracle import EDGES, add, agree, exact, jittered, mp, shipped, slope, times, total, with_gradient

NAMES = shipped("adversarial")
SCORED = [name for name in NAMES if name != "loss_sensitive_gan"]
PLAYERS = ("discriminator", "generator")


def minus_log_sigmoid(s: Any) -> Any:
    return mp.log(1 + mp.exp(-s))


def half_square(wanted: float) -> Callable[[Any], Any]:
    return lambda s: (s - wanted) ** 2 / 2


Three = tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[Any], Any]]  # real, fake, generated
WASSERSTEIN: Three = (lambda s: -s, lambda s: s, lambda s: -s)
FORMULAS: dict[str, Three] = {
    "minimax_gan": (minus_log_sigmoid, lambda s: minus_log_sigmoid(-s), lambda s: -minus_log_sigmoid(-s)),
    "non_saturating_gan": (minus_log_sigmoid, lambda s: minus_log_sigmoid(-s), minus_log_sigmoid),
    "wgan": WASSERSTEIN,
    "wgan_gp": WASSERSTEIN,
    "lsgan": (half_square(1), half_square(0), half_square(1)),
    "hinge_gan": (lambda s: max(mp.mpf(0), 1 - s), lambda s: max(mp.mpf(0), 1 + s), lambda s: -s),
}


def loss_sensitive(real: Any, fake: Any, distance: Any, margin: Any = 1, penalty: Any = 1) -> tuple[Any, ...]:
    """Qi's S(theta) of one pair, with L = -s: L(x) + lambda (Delta + L(x) - L(G(z)))_+, as terms."""
    lower, upper = -real, -fake
    gap = margin * distance + lower - upper
    return (lower, *(penalty * term if gap > 0 else mp.mpf(0) for term in (margin * distance, lower, -upper)))


def of(name: str) -> Callable[..., Any]:
    """The expected cost of a score, of a real sample with probability t."""
    return lambda s, t: t * FORMULAS[name][0](s) + (1 - t) * FORMULAS[name][1](s)


REFERENCES: dict[str, Callable[..., Any]] = {name: of(name) for name in FORMULAS}
REFERENCES["loss_sensitive_gan"] = loss_sensitive

ANCHORS: dict[str, list[tuple[dict[str, Any], Any, Any, float]]] = {
    "minimax_gan": [
        ({}, [0.0, 0.0], [1.0, 0.0], log(2)),
        ({}, [log(3.0), log(3.0)], [1.0, 0.0], (log(4 / 3) + log(4)) / 2),  # D = 3/4
        ({}, [log(3.0)], [0.9], 0.9 * log(4 / 3) + 0.1 * log(4)),  # one-sided label smoothing
        ({"player": "generator"}, [log(3.0)], [0.0], -log(4)),
        ({"player": "generator"}, [0.0], None, -log(2)),
    ],
    "non_saturating_gan": [
        ({}, [log(3.0), log(3.0)], [1.0, 0.0], (log(4 / 3) + log(4)) / 2),
        ({"player": "generator"}, [log(3.0)], None, log(4 / 3)),
        ({"player": "generator"}, [-200.0, 200.0], None, 100.0),
    ],
    "wgan": [({}, [3.0, 1.0], [1.0, 0.0], -1.0), ({"player": "generator"}, [2.0, -5.0], None, 1.5)],
    "wgan_gp": [({}, [3.0, 1.0], [1.0, 0.0], -1.0), ({"player": "generator"}, [2.0, -5.0], [0.0, 0.0], 1.5)],
    "lsgan": [
        ({}, [3.0, 1.0], [1.0, 0.0], 1.25),
        ({"player": "generator"}, [-1.0], None, 2.0),
        ({"a": -1.0, "b": 2.0}, [3.0, 1.0], [1.0, 0.0], 1.25),
        ({"c": 0.5, "player": "generator"}, [3.0], None, 3.125),
    ],
    "hinge_gan": [
        ({}, [0.5, 2.0], [1.0, 0.0], 1.75),
        ({}, [2.0, -0.25], [1.0, 0.0], 0.375),
        ({"player": "generator"}, [0.5], None, -0.5),
    ],
    "loss_sensitive_gan": [
        ({}, ([1.0], [0.5], [2.0]), None, 0.5),
        ({}, ([4.0], [0.5], [2.0]), None, -4.0),
        ({"margin": 0.5, "penalty": 3.0}, ([1.0], [0.5], [2.0]), None, 0.5),
        ({"player": "generator"}, [2.0, 3.0], None, -2.5),
    ],
}


# Formulas ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SCORED)
def test_value_and_gradient_of_the_critic(name: str, dtype: torch.dtype) -> None:
    """Scores of 0, of a denormal, of 40, 89, 200 and 10,000 on either side, at kinks, real, fake and in between."""
    real, fake, _ = FORMULAS[name]
    edges = jittered((*EDGES, 1 - 2**-24, -1 + 2**-24), dtype)
    s = edges.repeat(3)
    t = torch.tensor([1.0, 0.0, 0.25], dtype=dtype).repeat_interleave(len(edges))
    value, gradient = with_gradient(registry[name](reduction="none"), s, t)
    points = list(zip(exact(s), exact(t), strict=True))
    agree(value, [add(total(real(a), p), total(fake(a), 1 - p)) for a, p in points], at=points)
    agree(gradient, [add(times(slope(real, a), p), times(slope(fake, a), 1 - p)) for a, p in points], at=points)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient_of_the_generator(name: str, dtype: torch.dtype) -> None:
    generated = FORMULAS[name][2] if name in FORMULAS else WASSERSTEIN[2]
    s = jittered(EDGES, dtype)
    value, gradient = with_gradient(registry[name](reduction="none", player="generator"), s, None)  # type: ignore[arg-type]
    agree(value, [total(generated(a)) for a in exact(s)], at=exact(s))
    agree(gradient, [slope(generated, a) for a in exact(s)], at=exact(s))


@pytest.mark.parametrize(("margin", "penalty"), [(1.0, 1.0), (0.25, 3.0), (1.0, 0.0)])
def test_value_and_gradient_of_pairs(margin: float, penalty: float) -> None:
    sizes = torch.tensor([0.0, 0.25, 0.5, 3.0, 40.0, 1e4, -0.5, -89.0, -1e4])
    given = torch.cartesian_prod(sizes, sizes, sizes.abs()).unbind(1)
    points = list(zip(*map(exact, given), strict=True))
    leaves = tuple(x.clone().requires_grad_() for x in given)
    value = lossmith.LossSensitiveGANLoss(margin=margin, penalty=penalty, reduction="none")(leaves)
    agree(value, [total(loss_sensitive(*p, margin, penalty)) for p in points], at=points)
    for k, grad in enumerate(torch.autograd.grad(value.sum(), leaves[:2])):

        def along(p: Any, k: int = k) -> Callable[[Any], Any]:
            return lambda x: loss_sensitive(*p[:k], x, *p[k + 1 :], margin, penalty)

        agree(grad, [slope(along(p), p[k]) for p in points], at=points)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", SCORED)
def test_half_precision_is_computed_in_float32(name: str, dtype: torch.dtype) -> None:
    s = torch.tensor([0.0, 0.3, 7.0, 6e4, -0.3, -12.0, -6e4]).to(dtype)
    for player in PLAYERS:
        loss = registry[name](reduction="none", player=player)
        value = loss(s, torch.zeros_like(s))
        assert value.dtype == torch.float32
        assert torch.equal(value, loss(s.float(), torch.zeros(7)))
    assert registry[name]().discriminator(lambda x: x, s, s).dtype == torch.float32


def test_the_classic_pair_is_binary_cross_entropy() -> None:
    """nn.BCEWithLogitsLoss with labels 1 and 0 for the critic, and with the labels swapped for the generator."""
    s = torch.linspace(-30, 30, 61, dtype=torch.float64)
    t = (s.cos() > 0).double()
    bce = nn.BCEWithLogitsLoss(reduction="none")
    for name in ("minimax_gan", "non_saturating_gan"):
        torch.testing.assert_close(registry[name](reduction="none")(s, t), bce(s, t))
    swapped = lossmith.NonSaturatingGANLoss(player="generator", reduction="none")(s)
    torch.testing.assert_close(swapped, bce(s, torch.ones(61, dtype=torch.float64)))
    saturating = lossmith.MinimaxGANLoss(player="generator", reduction="none")(s)
    torch.testing.assert_close(saturating, -bce(s, torch.zeros(61, dtype=torch.float64)))


@pytest.mark.parametrize("wrong_by", [40.0, 200.0, 1e4])
def test_the_generator_that_is_found_out(wrong_by: float) -> None:
    """The worse its sample, the flatter the minimax loss, and the steeper the non-saturating one."""
    s = torch.tensor([-wrong_by])
    slopes = {
        name: with_gradient(registry[name](player="generator", reduction="none"), s, None)[1].item()  # type: ignore[arg-type]
        for name in NAMES
    }
    assert slopes.pop("minimax_gan") == pytest.approx(0, abs=1e-17)
    assert slopes.pop("lsgan") == -wrong_by - 1
    assert set(slopes.values()) == {-1.0}


# What the best critic says about two distributions ----------------------------------------------------------------
P, Q = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.3, 0.3, 0.3, 0.1]], dtype=torch.float64)


def game(loss: Any, s: Tensor) -> Tensor:
    """The critic's cost of scores s at four places, where real samples have mass P and fake ones Q."""
    return loss(torch.cat([s, s]), torch.tensor([1.0, 0.0]).repeat_interleave(4), sample_weight=torch.cat([P, Q]))


@pytest.mark.parametrize("name", ["minimax_gan", "non_saturating_gan"])
def test_minimax_is_the_jensen_shannon_divergence(name: str) -> None:
    """Theorem 1 of the paper: -log 4 + 2 JSD is what the best critic, D = p / (p + q), reaches; ours is minus that."""
    s = (P / Q).log().requires_grad_()
    value = game(registry[name](reduction="sum"), s)
    assert value.item() == pytest.approx(2 * log(2) - 2 * jensenshannon(P, Q) ** 2, rel=1e-12)
    (grad,) = torch.autograd.grad(value, s)
    torch.testing.assert_close(grad, torch.zeros(4).double())
    undecided = game(registry[name](reduction="sum"), torch.zeros(4).double())
    assert undecided.item() == pytest.approx(2 * log(2), rel=1e-12)


def test_least_squares_is_the_pearson_divergence() -> None:
    """Eq. 6 to 8 of the paper: a = -1, b = 1, c = 0, and the generator's term for real samples, which is constant."""
    loss = lossmith.LSGANLoss(a=-1, b=1, c=0, reduction="sum")
    s = ((P - Q) / (P + Q)).requires_grad_()
    (grad,) = torch.autograd.grad(game(loss, s), s)
    torch.testing.assert_close(grad, torch.zeros(4).double())
    generator = lossmith.LSGANLoss(a=-1, b=1, c=0, reduction="sum", player="generator")
    cost = generator(s, sample_weight=P) + generator(s, sample_weight=Q)
    assert 2 * cost.item() == pytest.approx(stats.chisquare(2 * Q, P + Q).statistic, rel=1e-12)


def test_hinge_is_the_total_variation() -> None:
    """The best critic says 1 or -1, and pays 2 (1 - TV)."""
    value = game(lossmith.HingeGANLoss(reduction="sum"), (P - Q).sign())
    assert value.item() == pytest.approx(2 - (P - Q).abs().sum().item(), rel=1e-12)


def test_wasserstein_is_the_wasserstein_distance() -> None:
    """Of two samples of which one lies to the right of the other, by the 1-Lipschitz critic that says x."""
    real, fake = torch.tensor([3.0, 4.0, 6.0]).double(), torch.tensor([0.0, 1.0, 1.5]).double()
    distance = stats.wasserstein_distance(real, fake)
    assert lossmith.WGANLoss().discriminator(lambda x: x, real, fake).item() == pytest.approx(-distance, rel=1e-12)
    assert lossmith.WGANGPLoss().discriminator(lambda x: x, real, fake).item() == pytest.approx(-distance, rel=1e-12)


# The pair ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", SCORED)
def test_the_pair_is_the_loss_of_the_scores(name: str) -> None:
    real, fake = torch.tensor([0.5, -2.0, 1.5]), torch.tensor([-0.5, 3.0, 0.25])
    loss, generator = (
        registry[name](**{"penalty": 0.0} if name == "wgan_gp" else {}),
        registry[name](player="generator"),
    )
    for owner in (loss, generator):  # `player` is about calls with scores alone
        pair = copy.copy(owner)
        pair.penalty = 0.0
        whole = loss(torch.cat([real, fake]), torch.tensor([1.0, 1, 1, 0, 0, 0]))
        torch.testing.assert_close(pair.discriminator(lambda x: x, real, fake), 2 * whole)
        torch.testing.assert_close(pair.generator(lambda x: x, fake), generator(fake))
    uneven = loss.discriminator(lambda x: x, real[:2], fake) if name != "wgan_gp" else None
    if uneven is not None:  # a mean each, not one mean of five
        torch.testing.assert_close(uneven, loss(real[:2], torch.ones(2)) + loss(fake, torch.zeros(3)))


def test_the_loss_sensitive_pair() -> None:
    """Distances are L1 over all dimensions of an image, and pairs are in order."""
    real, fake = torch.zeros(2, 1, 2, 2), torch.tensor([1.0, -2.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2)

    def critic(x: Tensor) -> Tensor:
        return x.sum((1, 2, 3)) + 1

    got = lossmith.LossSensitiveGANLoss(margin=0.5, penalty=2.0).discriminator(critic, real, fake)
    want = lossmith.LossSensitiveGANLoss(margin=0.5, penalty=2.0)(
        (torch.ones(2), torch.tensor([5.0, -7.0]), torch.tensor([4.0, 8.0]))
    )
    assert got == want == (-1 + 2 * (2 + 5 - 1) - 1 + 0) / 2


@pytest.mark.parametrize("name", NAMES)
def test_each_player_moves_itself_alone(name: str) -> None:
    """No gradient reaches the generator through the critic's loss; the generator's does reach it."""
    critic, shift = nn.Linear(2, 1), torch.zeros(2, requires_grad=True)
    real, fake = torch.randn(4, 2), torch.randn(4, 2) + shift
    registry[name]().discriminator(critic, real, fake).backward()
    assert shift.grad is None
    assert critic.weight.grad.abs().sum() > 0  # type: ignore[union-attr]
    registry[name]().generator(critic, fake).backward()
    assert shift.grad.abs().sum() > 0  # type: ignore[union-attr]


@pytest.mark.parametrize("name", NAMES)
def test_a_sum_of_the_pair(name: str) -> None:
    real, fake = torch.tensor([[0.5], [-2.0]]), torch.tensor([[-0.5], [3.0]])
    mean, total = registry[name](), registry[name](reduction="sum")
    for pair in (
        lambda loss: loss.discriminator(nn.Flatten(), real, fake),
        lambda loss: loss.generator(nn.Flatten(), fake),
    ):
        torch.testing.assert_close(pair(total), 2 * pair(mean))
        with pytest.raises(ParameterError, match=r'reduction must be "mean" or "sum" for them, not "none"$'):
            pair(registry[name](reduction="none"))


@pytest.mark.parametrize("name", NAMES)
def test_a_small_game_is_learnt(name: str) -> None:
    """A generator that can only shift its noise finds the mean of the data, 2, from 0."""
    # In one dimension a slope that must change its sign passes 0, against the penalty: a small one lets it.
    loss = registry[name](**{"penalty": 0.1} if name == "wgan_gp" else {})
    torch.manual_seed(0)
    critic, shift = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1)), torch.zeros(1, requires_grad=True)
    steps = torch.optim.Adam(critic.parameters(), lr=0.02, betas=(0.0, 0.9)), torch.optim.SGD([shift], lr=0.05)
    path = []
    for _ in range(150):
        for _ in range(2):
            steps[0].zero_grad()
            real, fake = 2 + 0.5 * torch.randn(32, 1), shift + 0.5 * torch.randn(32, 1)
            loss.discriminator(critic, real, fake).backward()
            steps[0].step()
            if name == "wgan":
                with torch.no_grad():
                    [p.clamp_(-0.5, 0.5) for p in critic.parameters()]
        steps[1].zero_grad()
        loss.generator(critic, shift + 0.5 * torch.randn(32, 1)).backward()
        steps[1].step()
        path.append(shift.item())
    assert sum(path[100:]) / 50 == pytest.approx(2, abs=0.3)


# The gradient penalty ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [0.0, 1e-30, 0.3, 1.0, 5.0, 1e15])
def test_the_penalty_of_a_linear_critic(size: float, dtype: torch.dtype) -> None:
    """Exactly (||w|| - 1)^2, and its gradient 2 (||w|| - 1) w / ||w||, which is 0 at w = 0."""
    direction = torch.tensor([3.0, 4.0], dtype=dtype) / 5
    w = (size * direction).requires_grad_()
    real, fake = torch.randn(6, 2, dtype=dtype), torch.randn(6, 2, dtype=dtype)
    penalty = lossmith.WGANGPLoss().gradient_penalty(lambda x: x @ w, real, fake)
    torch.testing.assert_close(penalty.item(), (size - 1) ** 2, rtol=1e-5, atol=1e-12)
    (grad,) = torch.autograd.grad(penalty, w)
    torch.testing.assert_close(grad, 2 * (size - 1) * direction * (size > 0), rtol=1e-5, atol=1e-6)


def test_the_penalty_has_one_norm_per_sample_over_all_dimensions() -> None:
    """GA03: an image's norm is over its channels and places too; a mean of norms, not the norm of a mean."""
    loss, real, fake = lossmith.WGANGPLoss(), torch.randn(2, 2, 4, 4), torch.randn(2, 2, 4, 4)
    got = loss.gradient_penalty(lambda x: x.sum((1, 2, 3)) * 0.25, real, fake)
    assert got.item() == pytest.approx((0.25 * math.sqrt(32) - 1) ** 2, rel=1e-6)
    sizes = torch.tensor([0.5, 3.0])
    got = loss.gradient_penalty(lambda x: x[:, :1, 0, 0] * sizes.unsqueeze(1), real, fake)
    assert got.item() == pytest.approx((0.25 + 4) / 2)


def test_the_penalty_looks_between_the_pairs() -> None:
    """One number in [0, 1] per sample, the same for all its dimensions, and others the next time, unless seeded."""
    real, fake, seen = torch.zeros(64, 3, 2), torch.tensor([1.0, 2.0]).expand(64, 3, 2), []

    def critic(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return x.sum((1, 2))

    loss, seeded = lossmith.WGANGPLoss(), lossmith.WGANGPLoss(seed=3)
    for each in (loss, loss, seeded, seeded):
        each.gradient_penalty(critic, real, fake)
    u = [(x / fake).flatten(1) for x in seen]
    for share in u:
        torch.testing.assert_close(share, share[:, :1].expand_as(share))
        assert 0 <= share.min() < 0.2 < 0.8 < share.max() <= 1
        assert len(share[:, 0].unique()) > 60
    assert not torch.equal(u[0], u[1])
    assert torch.equal(u[2], u[3])


def test_the_penalty_against_finite_differences() -> None:
    """Of a critic that is not linear, in its parameters: that is a derivative of a derivative."""
    real, fake = torch.randn(3, 2).double(), torch.randn(3, 2).double()
    loss = lossmith.WGANGPLoss(seed=0)

    def cost(w: Tensor, v: Tensor) -> Tensor:
        return loss.discriminator(lambda x: torch.tanh(x @ w) @ v, real, fake)

    w, v = torch.randn(2, 4).double().requires_grad_(), torch.randn(4).double().requires_grad_()
    assert torch.autograd.gradcheck(cost, (w, v))


def test_the_penalty_of_a_dead_critic() -> None:
    """All ReLUs off: every gradient is 0, its norm too, and nothing turns into NaN."""
    critic = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    nn.init.constant_(critic[0].bias, -1e3)
    penalty = lossmith.WGANGPLoss().gradient_penalty(critic, torch.rand(4, 2), torch.rand(4, 2))
    assert penalty.item() == 1
    penalty.backward()
    assert all(p.grad is None or bool((p.grad == 0).all()) for p in critic.parameters())


def test_the_penalty_in_validation() -> None:
    """It needs gradients to compute its value, under no_grad too, and leaves none behind."""
    critic, real, fake = nn.Linear(2, 1), torch.rand(4, 2), torch.rand(4, 2, requires_grad=True)
    with torch.no_grad():
        value = lossmith.WGANGPLoss(seed=0).discriminator(critic, real, fake)
    assert not value.requires_grad
    torch.testing.assert_close(value, lossmith.WGANGPLoss(seed=0).discriminator(critic, real, fake).detach())
    assert critic.weight.grad is None


def test_the_whole_is_the_parts() -> None:
    critic, real, fake = nn.Linear(2, 1), torch.rand(4, 2), torch.rand(4, 2)
    loss = lossmith.WGANGPLoss(penalty=3.0, seed=0)
    plain = lossmith.WGANLoss().discriminator(critic, real, fake)
    whole = plain + 3 * loss.gradient_penalty(critic, real, fake)
    torch.testing.assert_close(loss.discriminator(critic, real, fake), whole)


def test_no_samples() -> None:
    for name in NAMES:
        critic, none = nn.Linear(2, 1), torch.zeros(0, 2)
        for value in (registry[name]().discriminator(critic, none, none), registry[name]().generator(critic, none)):
            assert value.item() == 0
            value.backward()
        assert (critic.weight.grad == 0).all()  # type: ignore[union-attr]


# The generator's call, which the laws do not see by themselves ---------------------------------------------------
GENERATORS = [Case(f"{name}-generator", registry[name], (("player", "generator"),)) for name in NAMES]
LAWS: list[Callable[[Case], None]] = [
    flow_test.test_mask_is_deletion,
    flow_test.test_what_is_masked_stays_out,
    flow_test.test_weight_k_is_k_repeats,
    flow_test.test_shards_merge,
    flow_test.test_reductions_agree,
    flow_test.test_nothing_to_average_costs_nothing,
    numerics_test.test_gradients_are_those_of_finite_differences,
    torch_test.test_vmap_is_a_loop,
    torch_test.test_copies_are_the_same_loss,
    torch_test.compiles,
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("case", GENERATORS, ids=lambda case: case.label)
def test_the_generator_obeys_the_laws(case: Case, law: Callable[[Case], None]) -> None:
    law(case)


# Sentences --------------------------------------------------------------------------------------------------------
PAIR = torch.zeros(3, 2), torch.zeros(3, 2)
SENTENCES: list[tuple[Callable[[], Any], type[LossmithError], str]] = [
    (
        lambda: lossmith.HingeGANLoss()(torch.zeros(2), torch.tensor([1.0, -1.0])),
        DomainError,
        "HingeGANLoss: target must be in [0, 1]; 1 of 2 is not, first -1",
    ),
    (
        lambda: lossmith.HingeGANLoss(player="generator")(torch.zeros(2), torch.tensor([1.0, 0.0])),
        DomainError,
        'HingeGANLoss: target must be 0 or left out where player="generator", which pays for its own samples alone; '
        "1 of 2 is not, first 1",
    ),
    (
        lambda: lossmith.WGANLoss()(torch.zeros(2)),
        DtypeError,
        "WGANLoss: target must be a torch tensor; it is builtins.NoneType",
    ),
    (
        lambda: lossmith.WGANLoss(player="critic"),  # type: ignore[arg-type]
        ParameterError,
        'WGANLoss: player must be one of "discriminator", "generator", not \'critic\'',
    ),
    (
        lambda: lossmith.WGANLoss().generator(lambda x: x.long(), PAIR[0]),
        DtypeError,
        "WGANLoss: what the critic returns must be floating point; it is int64",
    ),
    (
        lambda: lossmith.WGANLoss().generator(lambda x: (x, x), PAIR[0]),  # type: ignore[arg-type, return-value]
        DtypeError,
        "WGANLoss: what the critic returns must be a torch tensor; it is builtins.tuple",
    ),
    (
        lambda: lossmith.WGANGPLoss().discriminator(nn.Linear(2, 2), *PAIR),
        ShapeError,
        "WGANGPLoss: the critic must return one score per sample, shape [3] or [3, 1]; it returned shape [3, 2] "
        "(average over patches inside it)",
    ),
    (
        lambda: lossmith.WGANGPLoss().gradient_penalty(nn.Linear(2, 1), torch.zeros(3, 2), torch.zeros(4, 2)),
        ShapeError,
        "WGANGPLoss: every real sample is paired with a fake one, so both need the same shape [N, *]; real has [3, 2] "
        "and fake [4, 2]",
    ),
    (
        lambda: lossmith.WGANGPLoss().gradient_penalty(nn.Linear(2, 1), torch.zeros(3, 2).byte(), torch.zeros(3, 2)),
        DtypeError,
        "WGANGPLoss: real must be floating point; it is uint8",
    ),
    (
        lambda: lossmith.LossSensitiveGANLoss()(torch.zeros(3)),
        DtypeError,
        "LossSensitiveGANLoss: input must be three tensors (real scores, fake scores, distances)",
    ),
    (
        lambda: lossmith.LossSensitiveGANLoss()((torch.zeros(3), torch.zeros(3), torch.zeros(2))),
        ShapeError,
        "LossSensitiveGANLoss: real scores, fake scores and distances must have one shape; they have [3], [3] and [2]",
    ),
    (
        lambda: lossmith.LossSensitiveGANLoss()((torch.zeros(2), torch.zeros(2), torch.tensor([1.0, -1.0]))),
        DomainError,
        "LossSensitiveGANLoss: distance must be at least 0; 1 of 2 is not, first -1",
    ),
    (
        lambda: lossmith.LossSensitiveGANLoss()((torch.zeros(2),) * 3, torch.zeros(2)),
        ShapeError,
        "LossSensitiveGANLoss: there is no target to give: everything is in the input",
    ),
]


@pytest.mark.parametrize(("mistake", "kind", "sentence"), SENTENCES, ids=lambda x: "")
def test_mistakes_are_answered(mistake: Callable[[], Any], kind: type[LossmithError], sentence: str) -> None:
    with pytest.raises(kind) as found:
        mistake()
    assert str(found.value) == sentence


def test_names_are_the_fields() -> None:
    assert sorted(NAMES) == [
        "hinge_gan",
        "loss_sensitive_gan",
        "lsgan",
        "minimax_gan",
        "non_saturating_gan",
        "wgan",
        "wgan_gp",
    ]
    assert isinstance(lossmith.create("wgan_gp(penalty=5)"), lossmith.WGANGPLoss)
