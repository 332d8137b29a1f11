"""The likelihood losses that are more than one formula of p: two formulas, moved scores, the partition function."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import lossmith
from lossmith.errors import DtypeError, ParameterError, ShapeError
from tests.losses.oracle import (
    EDGES,
    Want,
    agree,
    exact,
    jittered,
    mp,
    negative_log,
    self_adjusting_dice,
    sigmoid_loss,
    softmax_loss,
    times,
    total,
    with_gradient,
)

log, exp, sqrt = math.log, math.exp, math.sqrt
COUNTS = [16.0, 1.0]
ANCHORS: dict[str, list[tuple[dict[str, Any], Any, Any, float]]] = {
    "symmetric_cross_entropy": [
        ({}, [[0.0, 0.0]], [1], 0.1 * log(2) + 2),  # A = -4: the reverse term is 4 (1 - p)
        ({"alpha": 1.0, "beta": 0.5, "A": -2.0}, [[0.0, log(3.0)]], [0], log(4) + 0.75),
        ({"alpha": 1.0, "beta": 0.0}, [[0.0, log(3.0)]], [1], log(4 / 3)),
    ],
    "dsc": [
        ({"alpha": 0.0}, [[0.0, 0.0]], [0], 0.2),  # 1 - (1 + 1) / (1.5 + 1)
        ({"alpha": 0.1}, [[0.0, 0.0]], [0], 1 - (2 * 0.5**1.1 + 1) / (0.5**1.1 + 2)),
        ({"alpha": 0.0, "smooth": 0.5}, [[0.0, log(3.0)]], [1], 1 - 2 / 2.25),
        ({"alpha": 0.0, "link": "sigmoid"}, [log(3.0)], [0.0], 1 - 1.5 / 2.25),
        ({"alpha": 0.0, "link": "sigmoid", "one_sided": True}, [log(3.0)], [0.0], 1 - 1 / 1.75),
        ({"alpha": 0.1, "link": "sigmoid", "one_sided": True, "smooth": 0.5}, [0.0], [0.0], 1 - 1 / (1 + 2 * 0.5**1.1)),
    ],
    "asymmetric": [
        ({}, [0.0], [1.0], 0.5 * log(2)),
        ({}, [0.0], [0.0], -(0.45**4) * log(0.55)),
        ({"gamma_neg": 1.0, "gamma_pos": 2.0, "clip": 0.25}, [0.0, 0.0], [1.0, 0.0], (log(2) + log(4 / 3)) / 8),
        ({"gamma_neg": 0.0, "gamma_pos": 0.0, "clip": 0.0}, [-30.0], [1.0], 30.0),
        ({"clip": 0.5}, [-0.01, 0.0], [0.0, 0.0], 0.0),
        ({"gamma_neg": 0.0}, [300.0], [0.0], log(20)),  # p is 1: -log(clip), the most that absence costs
    ],
    "ldam": [
        ({"counts": COUNTS, "scale": 2.0}, [[0.0, 0.0]], [1], log(1 + exp(1))),  # the rarest has the whole margin
        ({"counts": COUNTS, "scale": 2.0}, [[0.0, 0.0]], [0], log(1 + exp(0.5))),  # (1 / 16)^(1/4) = 1/2
        ({"prior": [0.5, 0.25, 0.25], "scale": 1.0, "margin": 1.0}, [[2.0, 1.0, 1.0]], [1], log(1 + exp(1) + exp(2))),
    ],
    "logit_adjusted": [
        ({"counts": [90.0, 10.0]}, [[0.0, 0.0]], [1], log(10)),
        ({"prior": [0.75, 0.25], "tau": 2.0}, [[0.0, log(3.0)]], [0], log(1 + 3 / 9)),
        ({"counts": [3.0, 1.0]}, [[0.0, log(3.0)]], [1], log(2)),
    ],
    "z": [
        ({}, [[0.0, 0.0]], [1], log(2) ** 2),
        ({}, [[3.0, 3.0, 3.0, 3.0]], [0], (3 + log(4)) ** 2),
        ({}, [[log(0.25), log(0.75)]], [0], 0.0),
        ({}, [[5.0, 5.0], [0.0, 0.0]], [-100, 0], log(2) ** 2),
    ],
    "soft_margin": [({}, [0.0], [1.0], log(2)), ({}, [-200.0], [1.0], 200.0), ({}, [log(3.0)], [-1.0], log(4))],
}


# References, as the papers print them -----------------------------------------------------------------------------
def asymmetric_absent(q: Any, gamma_neg: float, clip: float) -> Any:
    """Ridnik et al., eq. 5 and 7 for an absent label, of q = 1 - p: p_m = max(p - m, 0)."""
    p_m = max(1 - q - mp.mpf(clip), mp.mpf(0))
    return -(p_m ** mp.mpf(gamma_neg)) * mp.log(min(q + mp.mpf(clip), mp.mpf(1))) if p_m else mp.mpf(0)


def asymmetric(p: Any, gamma_pos: float) -> Any:
    """For a present one: -(1 - p)^gamma_pos log p."""
    return -((1 - p) ** mp.mpf(gamma_pos)) * mp.log(p)


def dice_absent(q: Any, alpha: float, smooth: float) -> Any:
    """Li et al., section 3.4, y = 0: the published 1 - s / ((1 - p)^alpha p + s)."""
    own = q ** mp.mpf(alpha) * (1 - q)
    return own / (own + mp.mpf(smooth))


def ldam(row: list[Any], y: int, seen: list[float], margin: float = 0.5, scale: float = 30.0) -> list[Any]:
    """Cao et al.: s (z - Delta_y) for the target, s z for the others, Delta_j = C / n_j^(1/4), largest `margin`."""
    largest = max(1 / mp.mpf(n) ** 0.25 for n in seen)
    delta = mp.mpf(margin) / largest / mp.mpf(seen[y]) ** 0.25
    return [mp.mpf(scale) * (z - delta if j == y else z) for j, z in enumerate(row)]


def logit_adjusted(row: list[Any], y: int, seen: list[float], tau: float = 1.0) -> list[Any]:
    """Menon et al., eq. 10: z + tau log prior."""
    return [z + mp.mpf(tau) * mp.log(mp.mpf(n) / sum(seen)) for z, n in zip(row, seen, strict=True)]


def log_partition(row: list[Any]) -> tuple[Any, Any, Any]:
    """(log Z)^2 as the square of the sum of the largest score and the rest."""
    top = max(row)
    rest = mp.log(mp.fsum(mp.exp(z - top) for z in row))
    return top * top, 2 * top * rest, rest * rest


REFERENCES = {"asymmetric": asymmetric_absent, "ldam": ldam, "logit_adjusted": logit_adjusted, "z": log_partition}

# Two formulas -----------------------------------------------------------------------------------------------------
ASL = [
    {"gamma_neg": 4.0, "gamma_pos": 1.0, "clip": 0.05},
    {"gamma_neg": 0.0, "gamma_pos": 0.0, "clip": 0.0},
    {"gamma_neg": 0.5, "gamma_pos": 0.5, "clip": 0.25},
    {"gamma_neg": 2.0, "gamma_pos": 0.0, "clip": 0.0},
    {"gamma_neg": 0.0, "gamma_pos": 3.0, "clip": 0.7},
]
DICE = [{"alpha": a, "smooth": s} for a, s in ((0.01, 1.0), (0.0, 0.25), (0.1, 0.5))]
SIZES = (*EDGES, 103.5, 1.5, 3.0, -1.5, -4.5, 0.9)


def check_two(loss: Any, present: Any, absent: Any, z: Tensor, eps: float = 0.0) -> None:
    for t in (0.0, 1.0, 0.25):
        value, gradient = with_gradient(loss, z, torch.full_like(z, t))
        share = mp.mpf(t) * (1 - mp.mpf(eps)) + mp.mpf(eps) / 2
        answers = [sigmoid_loss(present, a, share, absent) for a in exact(z)]
        agree(value, [answer for answer, _ in answers], at=exact(z))
        agree(gradient, [answer for _, answer in answers], at=exact(z))


def asl(parameters: dict[str, float], **options: Any) -> tuple[Any, Any, Any]:
    def absent(q: Any) -> Any:
        return asymmetric_absent(q, parameters["gamma_neg"], parameters["clip"])

    loss = lossmith.AsymmetricLoss(**parameters, reduction="none", **options)
    return loss, lambda p: asymmetric(p, parameters["gamma_pos"]), absent


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("parameters", ASL)
def test_asymmetric_at_the_edges(parameters: dict[str, float], dtype: torch.dtype) -> None:
    """Value and gradient for absent, present and soft labels, logits up to 10,000."""
    edges = [z for z in SIZES if dtype == torch.float32 or abs(z) <= 200]
    check_two(*asl(parameters), jittered(edges, dtype))


def test_asymmetric_smoothed() -> None:
    check_two(*asl(ASL[0], label_smoothing=0.125), jittered(SIZES), eps=0.125)


@pytest.mark.parametrize("parameters", ASL)
def test_asymmetric_anywhere(parameters: dict[str, float]) -> None:
    """Hypothesis looks where the table does not, away from p = clip, where a subtraction of equals decides."""
    loss, present, absent = asl(parameters)
    edge = log(parameters["clip"] / (1 - parameters["clip"])) if parameters["clip"] else 1e5
    logit = st.floats(-1e4, 1e4, width=32).filter(lambda z: abs(z - edge) > 0.1)

    @settings(max_examples=12)
    @given(st.lists(logit, min_size=1, max_size=3))
    def trial(z: list[float]) -> None:
        check_two(loss, present, absent, torch.tensor(z))

    trial()


def test_asymmetric_lets_go_of_absent_labels_below_the_clip_only() -> None:
    """No eps clamp: a present label at -200 pulls with its whole weight, an absent one costs 0 below the clip alone."""
    loss = lossmith.AsymmetricLoss(gamma_pos=0.0, reduction="none")
    value, gradient = with_gradient(loss, torch.tensor([-200.0, -18.5]), torch.ones(2))
    assert value.tolist() == pytest.approx([200, 18.5])
    assert gradient.tolist() == pytest.approx([-1, -1])
    p = torch.tensor([1e-6, 0.01, 0.049, 0.051, 0.5, 0.99], dtype=torch.float64)
    value, gradient = with_gradient(loss, p.logit(), torch.zeros(6, dtype=torch.float64))
    assert value[:3].tolist() == gradient[:3].tolist() == [0, 0, 0]
    assert (value[3:] > 0).all()
    assert (gradient[3:] > 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("parameters", DICE)
def test_one_sided_dice_at_the_edges(parameters: dict[str, float], dtype: torch.dtype) -> None:
    """The published loss: y = 1 as the safe one has it, y = 0 with the label's own p."""
    edges = [z for z in SIZES if dtype == torch.float32 or abs(z) <= 200]
    check_two(
        lossmith.DSCLoss(**parameters, link="sigmoid", one_sided=True, reduction="none"),
        lambda p: self_adjusting_dice(p, **parameters),
        lambda q: dice_absent(q, **parameters),
        jittered(edges, dtype),
    )


# Dispute D12 ------------------------------------------------------------------------------------------------------
def test_d12_the_published_dice_forgives_a_confident_false_positive() -> None:
    """alpha = 1: L(.99) = .0098 where L(.5) = .2; the safe default makes it cost more the surer it is."""
    p = torch.tensor([0.5, 0.99], dtype=torch.float64)
    with pytest.warns(UserWarning, match="least at p = 0.5"):
        published, safe = (
            lossmith.DSCLoss(alpha=1.0, one_sided=side, link="binary_prob", reduction="none") for side in (True, False)
        )
    assert published(p, torch.zeros(2).double()).tolist() == pytest.approx([0.2, 0.0099 / 1.0099])
    absent = safe(p, torch.zeros(2).double())
    assert absent[1] > absent[0]
    torch.testing.assert_close(absent, safe(1 - p, torch.ones(2).double()))


@pytest.mark.parametrize("alpha", [0.01, 0.1])
def test_d12_dice_trains_to_the_documented_p(alpha: float) -> None:
    """Free logits end at p = 1 / (1 + alpha), from either side; there the gradient is 0."""
    loss = lossmith.DSCLoss(alpha=alpha, link="sigmoid", reduction="sum")
    best = math.log(1 / alpha)
    _, gradient = with_gradient(loss, torch.tensor([best - 1, best, best + 1], dtype=torch.float64), torch.ones(3))
    assert gradient[0] < -1e-5
    assert gradient[1].abs() < 1e-12
    assert gradient[2] > 1e-5
    assert loss.optimum() == 1 / (1 + alpha)


def test_d12_a_dice_that_teaches_doubt_is_warned_of() -> None:
    sentence = (
        "DSCLoss: with these parameters it is least at p = 0.5 of the target, so a model that is surer is taught to "
        "doubt; take them from where that p is at least 0.9"
    )
    with pytest.warns(UserWarning, match="^DSCLoss: ") as caught:
        lossmith.DSCLoss(alpha=1.0)
    assert [str(warning.message) for warning in caught] == [sentence]


@pytest.mark.parametrize("link", ["softmax", "sigmoid", "log_prob", "prob", "binary_prob"])
@pytest.mark.parametrize("alpha", [0.0, 0.01, 0.1])
def test_d12_dice_has_a_finite_gradient_at_p_1(alpha: float, link: str) -> None:
    """The authors' code gives NaN for alpha = .01 and a logit of 40."""
    one = {
        "softmax": [[40.0, 0.0], [400.0, 0.0]],
        "log_prob": [[0.0, -40.0], [0.0, -1e4]],
        "prob": [[1.0, 0.0]],
        "sigmoid": [40.0, 400.0, 1e4],
        "binary_prob": [1.0],
    }[link]
    x = torch.tensor(one)
    target = torch.ones(len(x)) if x.dim() == 1 else torch.zeros(len(x), dtype=torch.int64)
    value, gradient = with_gradient(lossmith.DSCLoss(alpha=alpha, link=link), x, target)
    assert value.isfinite()
    assert gradient.isfinite().all()


# Moved scores -----------------------------------------------------------------------------------------------------
SEEN = {"counts": torch.tensor([50.0, 5.0, 500.0], dtype=torch.float64)}
MOVED = [
    (lossmith.LDAMLoss, ldam, {}),
    (lossmith.LDAMLoss, ldam, {"margin": 0.25, "scale": 3.0}),
    (lossmith.LogitAdjustedLoss, logit_adjusted, {}),
    (lossmith.LogitAdjustedLoss, logit_adjusted, {"tau": 2.5}),
]


def check_moved(cls: Any, move: Any, options: dict[str, float], z: Tensor, y: Tensor, **more: Any) -> None:
    """Cross-entropy of the moved row; what the row is multiplied by multiplies the gradient too."""
    value, gradient = with_gradient(cls(**SEEN, **options, **more, reduction="none"), z, y)
    eps = mp.mpf(more.get("label_smoothing", 0))
    factor = options.get("scale", 30.0) if cls is lossmith.LDAMLoss else 1.0
    values: list[Want] = []
    gradients: list[Want] = []
    for row, k in zip(z.tolist(), y.tolist(), strict=True):
        moved = move([mp.mpf(a) for a in row], k, [50, 5, 500], **options)
        share = tuple((c, eps / 3 + (1 - eps if c == k else 0)) for c in range(3)) if eps else ((k, 1),)
        one, parts = softmax_loss(negative_log, tuple(moved), share, (0, 1, 2))
        values.append(one)
        gradients += [times(part, factor) for part in parts]
    agree(value, values, rtol=mp.mpf("3e-5"), at=z.tolist())
    agree(gradient, gradients, rtol=mp.mpf("3e-5"), at=[row for row in z.tolist() for _ in range(3)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("cls", "move", "options"), MOVED)
def test_moved_scores_at_the_edges(cls: Any, move: Any, options: dict[str, float], dtype: torch.dtype) -> None:
    """Logits of 10,000 and rows with 10,000 added to all of them, every class as the target."""
    generator = torch.Generator().manual_seed(0)
    edges = jittered([z for z in EDGES if dtype == torch.float32 or abs(z) <= 200], torch.float64)
    z = torch.randn(len(edges), 3, generator=generator, dtype=torch.float64)
    offset = torch.randn(6, 3, generator=generator, dtype=torch.float64) + torch.tensor([[1e4], [-1e4]]).repeat(3, 1)
    z[:, 0] = edges
    for y in range(3):
        check_moved(cls, move, options, torch.cat([z, offset]).to(dtype), torch.full((len(z) + 6,), y))


@pytest.mark.parametrize(("cls", "move", "options"), MOVED)
def test_moved_scores_smoothed(cls: Any, move: Any, options: dict[str, float]) -> None:
    """Smoothing spreads the label over the classes of the moved softmax, as the authors' code does when asked to."""
    z = torch.randn(12, 3, generator=torch.Generator().manual_seed(1))
    check_moved(cls, move, options, z, torch.arange(12) % 3, label_smoothing=0.125)


def test_limits_are_cross_entropy() -> None:
    """margin 0 and scale 1, tau 0, equal counts, gammas and clip 0, beta 0: all of it falls away."""
    z = torch.randn(9, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    y, t = torch.arange(9) % 3, (z > 0.5).double()
    want = nn.CrossEntropyLoss()(z, y)
    for loss in (
        lossmith.LDAMLoss(counts=[1, 2, 3], margin=0.0, scale=1.0),
        lossmith.LogitAdjustedLoss(counts=[1, 2, 3], tau=0.0),
        lossmith.LogitAdjustedLoss(counts=[7, 7, 7]),
        lossmith.SymmetricCrossEntropyLoss(alpha=1.0, beta=0.0),
    ):
        torch.testing.assert_close(loss(z, y), want)
    none = lossmith.AsymmetricLoss(gamma_neg=0.0, gamma_pos=0.0, clip=0.0)
    torch.testing.assert_close(none(z, t), nn.BCEWithLogitsLoss()(z, t))
    focal = lossmith.FocalLoss(gamma=2.0, link="sigmoid")
    torch.testing.assert_close(lossmith.AsymmetricLoss(gamma_neg=2.0, gamma_pos=2.0, clip=0.0)(z, t), focal(z, t))


def test_logit_adjustment_is_fair_where_the_scores_say_nothing() -> None:
    """If a class comes up as often as its prior says and the input tells nothing, equal logits are the minimum."""
    loss = lossmith.LogitAdjustedLoss(prior=[0.9, 0.1], reduction="sum")
    _, gradient = with_gradient(loss, torch.zeros(10, 2, dtype=torch.float64), torch.tensor([0] * 9 + [1]))
    assert gradient.sum(0).abs().max() < 1e-6
    soft = torch.tensor([[0.9, 0.1]], dtype=torch.float64)
    torch.testing.assert_close(loss(torch.zeros(1, 2).double(), soft), -(soft * soft.log()).sum(), rtol=1e-6, atol=0)


def test_classes_may_lie_anywhere_but_last() -> None:
    z = torch.randn(4, 3, 2, 5, generator=torch.Generator().manual_seed(3))
    y = torch.arange(40).reshape(4, 2, 5) % 3
    for cls in (lossmith.LDAMLoss, lossmith.LogitAdjustedLoss):
        loss = cls(counts=[50, 5, 500], reduction="none")
        flat = loss(z.movedim(1, -1).reshape(40, 3), y.flatten())
        torch.testing.assert_close(loss(z, y).flatten(), flat)


# The partition function -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_z_at_the_edges(dtype: torch.dtype) -> None:
    """(log Z)^2 and its slope 2 p log Z; log Z is judged by the size of the largest score and of the rest."""
    z = torch.randn(len(EDGES), 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64).to(dtype)
    z[:, 0] = torch.tensor(EDGES)
    value, gradient = with_gradient(lossmith.ZLoss(reduction="none"), z, torch.zeros(len(z), dtype=torch.int64))
    values, gradients = [], []
    for row in ([mp.mpf(a) for a in row] for row in z.tolist()):
        values.append(total(log_partition(row)))
        top, whole = max(row), mp.fsum(mp.exp(a) for a in row)
        parts = (2 * top, 2 * mp.log(mp.fsum(mp.exp(a - top) for a in row)))
        gradients += [times(total(parts), mp.exp(a) / whole) for a in row]
    agree(value, values)
    agree(gradient, gradients)


def test_z_goes_with_cross_entropy() -> None:
    """The specification of the papers, its ignored tokens left out of both terms."""
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(5))
    y = torch.tensor([0, 1, -100, 3, -100, 2])
    loss = lossmith.create("cross_entropy + 0.0001*z")
    assert str(loss) == "cross_entropy + 0.0001*z"
    kept = y >= 0
    want = nn.CrossEntropyLoss()(z[kept], y[kept]) + 1e-4 * (z[kept].logsumexp(1) ** 2).mean()
    torch.testing.assert_close(loss(z, y), want)


def test_z_takes_targets_that_are_probabilities() -> None:
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(6))
    torch.testing.assert_close(lossmith.ZLoss()(z, z.softmax(1)), (z.logsumexp(1) ** 2).mean())


# Options and sentences --------------------------------------------------------------------------------------------
def test_an_alpha_of_its_own_is_no_class_cost() -> None:
    """Neither scales the positives nor is read as the share of them; weight and pos_weight still are costs."""
    z, t = torch.tensor([1.0, -2.0]), torch.tensor([1.0, 0.0])
    for cls in (lossmith.DSCLoss, lossmith.SymmetricCrossEntropyLoss):
        plain = cls(alpha=0.05, link="sigmoid", reduction="none")(z, t)
        twice = cls(alpha=0.05, link="sigmoid", reduction="none", pos_weight=2.0)(z, t)
        torch.testing.assert_close(twice, plain * torch.tensor([2.0, 1.0]))
        weighted = cls(alpha=0.05, link="sigmoid", weight=[3.0, 1.0], normalizer="count")(z, t)
        torch.testing.assert_close(weighted, (plain * torch.tensor([1.0, 3.0])).mean())
    assert lossmith.SymmetricCrossEntropyLoss(alpha=6.0, link="sigmoid").alpha == 6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    z = torch.tensor([[6e4, -6e4, 0.0], [81.4, -20.7, 43.0], [0.1, 0.2, 0.3]]).to(dtype)
    y, t = torch.tensor([1, 1, 2]), torch.tensor([[0.0, 1, 0], [1, 0, 0], [1, 1, 0]]).to(dtype)
    for loss, target in (
        (lossmith.LDAMLoss(counts=[50, 5, 500], reduction="none"), y),
        (lossmith.LogitAdjustedLoss(counts=[50, 5, 500], reduction="none"), y),
        (lossmith.ZLoss(reduction="none"), y),
        (lossmith.AsymmetricLoss(reduction="none"), t),
        (lossmith.DSCLoss(link="sigmoid", one_sided=True, reduction="none"), t),
    ):
        value = loss(z, target)
        wide = loss(z.float(), target.float() if target.is_floating_point() else target)
        assert value.dtype == torch.float32
        assert value.isfinite().all()
        assert torch.equal(value, wide)


Z, Y = torch.zeros(2, 3), torch.tensor([0, 1])
SENTENCES = [
    (
        lambda: lossmith.LDAMLoss(),
        ParameterError,
        "LDAMLoss: give counts=[...], one number per class, or prior=[...], not both",
    ),
    (
        lambda: lossmith.LogitAdjustedLoss(counts=[1, 2], prior=[0.5, 0.5]),
        ParameterError,
        "LogitAdjustedLoss: give counts=[...], one number per class, or prior=[...], not both",
    ),
    (
        lambda: lossmith.LogitAdjustedLoss(counts=[9, 0, 4]),
        ParameterError,
        "LogitAdjustedLoss: counts must be greater than 0, and 1 of 3 is not: a class that was never seen has no "
        "frequency; leave it out, or give it the count you would expect",
    ),
    (
        lambda: lossmith.LogitAdjustedLoss(prior=[9, 3]),
        ParameterError,
        "LogitAdjustedLoss: prior must have sum 1, not 12; numbers of examples are counts=",
    ),
    (
        lambda: lossmith.LDAMLoss(counts=7),
        ParameterError,
        "LDAMLoss: counts must be one number per class, for at least 2 classes; its shape is []",
    ),
    (
        lambda: lossmith.LDAMLoss(counts=[1, 2])(Z, Y),
        ShapeError,
        "LDAMLoss: counts must have one number per class, shape [3]; it has shape [2]",
    ),
    (
        lambda: lossmith.LDAMLoss(counts=[1, 2, 3])(Z, Z.softmax(1)),
        DtypeError,
        "LDAMLoss: target must be class indices (int64), each with its margin; it is float32 of shape [2, 3]",
    ),
    (
        lambda: lossmith.LDAMLoss(counts=[1, 2], link="sigmoid"),
        ParameterError,
        "LDAMLoss: link must be one of \"softmax\", not 'sigmoid'",
    ),
    (
        lambda: lossmith.AsymmetricLoss(link="softmax"),
        ParameterError,
        'AsymmetricLoss: link must be one of "sigmoid", "binary_prob", not \'softmax\'',
    ),
    (
        lambda: lossmith.DSCLoss(one_sided=True),
        ParameterError,
        "DSCLoss: one_sided belongs to a binary link",
    ),
    (
        lambda: lossmith.DSCLoss(alpha=[0.5, 0.5]),
        ParameterError,
        "DSCLoss: alpha must be a number, at least 0, not [0.5, 0.5]",
    ),
    (
        lambda: lossmith.FocalLoss(pos_weight=2.0),
        ParameterError,
        "FocalLoss: pos_weight belongs to a binary link; over classes use alpha=",
    ),
    (
        lambda: lossmith.ZLoss(normalizer="positives"),
        ParameterError,
        'ZLoss: normalizer="positives" needs targets that name a class',
    ),
]


@pytest.mark.parametrize(("mistake", "error", "sentence"), SENTENCES, ids=[s[2][:40] for s in SENTENCES])
def test_sentences(mistake: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error) as caught:
        mistake()
    assert str(caught.value) == sentence
