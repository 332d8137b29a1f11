"""Losses of pairs and triplets against 160-digit references and torch.nn."""

import math
from collections.abc import Callable
from math import log, sqrt
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lossmith
from lossmith.errors import DomainError, DtypeError, LossmithError, ShapeError
from lossmith.flow.loss import registry
from lossmith.losses.comparison import cosine, direction, norm
from tests.losses.oracle import EDGES, agree, exact, gradient, jittered, mp, slope, total, with_gradient

ANCHORS = {
    "margin_ranking": [
        ({"margin": 0.5}, ([1.0], [3.0]), [1.0], 2.5),
        ({"margin": 0.5}, ([1.0, 4.0], [0.75, 0.0]), [1.0, -1.0], 2.375),
        ({}, ([2.0], [2.0]), [1.0], 0.0),
    ],
    "hinge_embedding": [
        ({}, [0.25], [1.0], 0.25),
        ({"margin": 2.0}, [0.25, 3.0], [-1.0, -1.0], 0.875),
        ({}, [-1.0], [1.0], -1.0),  # as in torch: a distance below 0 is the caller's affair
    ],
    "cosine_embedding": [
        ({}, ([[3.0, 4.0]], [[1.0, 0.0]]), [1.0], 0.4),
        ({"margin": 0.5}, ([[3.0, 4.0]], [[1.0, 0.0]]), [-1.0], 0.1),
        ({}, ([[1.0, 2.0]], [[-2.0, -4.0]]), [1.0], 2.0),
        ({}, ([[0.0, 0.0]], [[1.0, 0.0]]), [1.0], 1.0),
    ],
    "contrastive": [
        ({}, ([[3.0, 4.0]], [[0.0, 0.0]]), [1.0], 12.5),
        ({"margin": 7.0}, ([[3.0, 4.0]], [[0.0, 0.0]]), [0.0], 2.0),
        ({}, ([[3.0, 4.0]], [[0.0, 0.0]]), [0.0], 0.0),
        ({"margin": 7.0}, ([[3.0, 4.0]], [[0.0, 0.0]]), [0.5], 7.25),
    ],
    "triplet_margin": [
        ({}, ([[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 5.5]]), None, 0.5),
        ({"margin": 0.5, "soft": True}, ([[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 5.5]]), None, log(2)),
        ({"swap": True}, ([[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 5.5]]), None, 6 - sqrt(11.25)),
        ({"margin": 0.2}, ([[1.0]], [[1.0]], [[1.0]]), None, 0.2),
    ],
}


def length(x: list[Any]) -> Any:
    return mp.sqrt(mp.fsum(v * v for v in x))


def apart(a: list[Any], b: list[Any]) -> Any:
    return length([x - y for x, y in zip(a, b, strict=True)])


def angle(a: list[Any], b: list[Any]) -> Any:
    dot = mp.fsum(x * y for x, y in zip(a, b, strict=True))
    return dot / (length(a) * length(b)) if dot else mp.mpf(0)


def hadsell(d: Any, y: Any, margin: Any = 1) -> Any:
    """Hadsell et al. 2006, eq. 4, its Y being 1 - y."""
    return (1 - (1 - y)) * d**2 / 2 + (1 - y) * max(mp.mpf(0), margin - d) ** 2 / 2


def facenet(near: Any, far: Any, margin: Any, soft: bool = False) -> Any:
    """Schroff et al. 2015, eq. 1; Hermans et al. 2017: ln(1 + exp(.)) in the place of the hinge."""
    short = near - far + mp.mpf(margin)
    return mp.log(1 + mp.exp(short)) if soft else max(mp.mpf(0), short)


REFERENCES: dict[str, Callable[..., Any]] = {
    "margin_ranking": lambda x, y, margin=0: max(mp.mpf(0), -y * x + margin),
    "hinge_embedding": lambda x, y, margin=1: x if y == 1 else max(mp.mpf(0), margin - x),
    "cosine_embedding": lambda s, y, margin=0: 1 - s if y == 1 else max(mp.mpf(0), s - margin),
    "contrastive": hadsell,
    "triplet_margin": facenet,
}
VECTORS = ("cosine_embedding", "contrastive")


# Numbers ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("margin", [0.0, 0.25, 2.0])
@pytest.mark.parametrize("name", ["margin_ranking", "hinge_embedding"])
def test_value_and_gradient_of_numbers_at_the_edges(name: str, margin: float, dtype: torch.dtype) -> None:
    f = REFERENCES[name]
    x = jittered((*EDGES, 0.25, 2.0, 1e20), dtype)
    x, y = torch.cat([x, x]), torch.cat([torch.ones_like(x), -torch.ones_like(x)])
    loss = registry[name](margin=margin, reduction="none")
    given: Any = torch.stack([x, torch.zeros_like(x)]) if name == "margin_ranking" else x
    value, slopes = with_gradient(lambda z, t: loss(tuple(z) if name == "margin_ranking" else z, t), given, y)
    points = list(zip(exact(x), exact(y), strict=True))
    agree(value, [add_margin(total(f(a, b, margin)), a, margin) for a, b in points])
    want = [slope(lambda v, b=b: f(v, b, margin), a) for a, b in points]
    agree(slopes[0] if name == "margin_ranking" else slopes, want)
    if name == "margin_ranking":
        agree(slopes[1], [(-high, -low, size) for low, high, size in want])


def add_margin(want: Any, a: Any, margin: float) -> Any:
    """The terms of the answer are the number and the margin."""
    return want[0], want[1], abs(a) + margin


# Vectors ----------------------------------------------------------------------------------------------------------
def vectors(count: int, dtype: torch.dtype, seed: int = 0, size: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(8, size, generator=generator, dtype=torch.float64).to(dtype) for _ in range(count)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("name", "scale"), [(name, scale) for name in VECTORS for scale in (1e-18, 1e-8, 1.0, 1e4)] + [(VECTORS[0], 1e-30)]
)
def test_value_and_gradient_of_vectors(name: str, dtype: torch.dtype, scale: float) -> None:
    """From 1e-30, whose square is 0 in float32, to 1e4, at margins that half of the pairs exceed."""
    margin = 0.3 if name == "cosine_embedding" else 2.0 * scale
    f, statistic = REFERENCES[name], {"cosine_embedding": angle, "contrastive": apart}[name]
    a, b = (scale * x for x in vectors(2, dtype))
    y = torch.tensor([1.0, 1, 1, 1, *(-1 if name == "cosine_embedding" else 0,) * 4], dtype=dtype)
    loss = registry[name](margin=margin, reduction="none")
    value, slopes = with_gradient(lambda x, t: loss(tuple(x), t), torch.stack([a, b]), y)
    for k in range(8):
        label, m = exact(y[k])[0], mp.mpf(margin)

        def whole(x: list[Any], label: Any = label, m: Any = m) -> Any:
            return f(statistic(x[:3], x[3:]), label, m)

        answer = whole(exact(torch.cat([a[k], b[k]])))
        size = mp.mpf(1) if name == "cosine_embedding" else (mp.mpf(4) * scale) ** 2
        agree(value[k], [(answer, answer, size)])
        unit = 1 / mp.mpf(scale) if name == "cosine_embedding" else mp.mpf(scale)
        wants = gradient(whole, torch.cat([a[k], b[k]]))
        agree(slopes[:, k].flatten(), [(w, w, 4 * unit) for w in wants])


@pytest.mark.parametrize("options", [{}, {"margin": 0.2}, {"margin": 0.0, "soft": True}, {"swap": True}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_triplets(dtype: torch.dtype, options: dict[str, Any]) -> None:
    three = torch.stack(vectors(3, dtype, seed=1))
    loss = lossmith.TripletMarginLoss(reduction="none", **options)
    value, slopes = with_gradient(lambda x, t: loss(tuple(x)), three, three)
    rest = {"margin": options.get("margin", 1.0), "soft": options.get("soft", False)}
    for k in range(8):

        def whole(x: list[Any]) -> Any:
            far = apart(x[:3], x[6:])
            return facenet(apart(x[:3], x[3:6]), min(far, apart(x[3:6], x[6:])) if "swap" in options else far, **rest)

        answer = whole(exact(three[:, k]))
        agree(value[k], [(answer, answer, mp.mpf(8))])
        agree(slopes[:, k].flatten(), [(w, w, mp.mpf(1)) for w in gradient(whole, three[:, k])])


# Distance 0 and zero vectors --------------------------------------------------------------------------------------
def test_equal_vectors_have_distance_0_and_no_slope() -> None:
    """The value is margin - d exactly, without anybody's eps, and every gradient is finite."""
    a = torch.tensor([[1.0, 2.0, 3.0]])
    three = torch.stack([a, a, a + torch.tensor([0.0, 0.0, 0.5])])
    value, slopes = with_gradient(lambda x, t: lossmith.TripletMarginLoss()(tuple(x)), three, a)
    assert value.item() == 0.5
    assert slopes[:, 0].tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, -1]]
    for y in (0.0, 1.0):
        value, slopes = with_gradient(
            lambda x, t: lossmith.ContrastiveLoss()(tuple(x), t), torch.stack([a, a]), torch.tensor([y])
        )
        assert value.item() == (1 - y) / 2
        assert (slopes == 0).all()


def test_zero_vectors_have_cosine_0_and_no_slope() -> None:
    a, b = torch.zeros(2, 3), torch.tensor([[1.0, 2.0, 3.0], [0.5, 0.0, 1.0]])
    for given in ((a, b), (b, a), (a, a)):
        loss = lossmith.CosineEmbeddingLoss(margin=-0.5, reduction="none")
        value, slopes = with_gradient(lambda x, t: loss(tuple(x), t), torch.stack(given), torch.tensor([1.0, -1.0]))  # noqa: B023
        assert value.tolist() == [1.0, 0.5]
        assert (slopes == 0).all()


def test_second_derivatives_at_distance_0_are_finite() -> None:
    for f in (norm, lambda x: direction(x).sum()):
        x = torch.zeros(2, 3, requires_grad=True)
        (once,) = torch.autograd.grad(f(x).sum(), x, create_graph=True)
        (twice,) = torch.autograd.grad(once.sum(), x, allow_unused=True) if once.requires_grad else (x.detach(),)
        assert (once == 0).all()
        assert twice is None or (twice == 0).all()


@pytest.mark.parametrize("scale", [1e-44, 1e-30, 1e-22, 1.0, 1e18, 1e30, 3e38])
def test_lengths_over_the_whole_range(scale: float) -> None:
    x = torch.tensor([[0.6, -0.8], [1.0, 0.0]]) * scale
    want = torch.tensor([math.hypot(*row) for row in x.tolist()])
    torch.testing.assert_close(norm(x), want)
    torch.testing.assert_close(norm(direction(x)), torch.ones(2))


def test_not_a_number_is_not_hidden() -> None:
    """A model that has diverged must show it, and not pass for a zero vector."""
    x = torch.tensor([[math.nan, 1.0], [1.0, 0.0]])
    assert norm(x).isnan().tolist() == [True, False]
    assert cosine(x, torch.ones(2, 2)).isnan().tolist() == [True, False]


# torch ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_torch(reduction: str) -> None:
    a, b, c = vectors(3, torch.float64, seed=2)
    y = torch.tensor([1.0, -1] * 4).double()
    numbers = a[:, 0], b[:, 0]
    r = {"reduction": reduction}
    checks: list[tuple[Tensor, Tensor]] = [
        (lossmith.MarginRankingLoss(margin=0.3, **r)(numbers, y), nn.MarginRankingLoss(margin=0.3, **r)(*numbers, y)),
        (lossmith.HingeEmbeddingLoss(**r)(a[:, 0].abs(), y), nn.HingeEmbeddingLoss(**r)(a[:, 0].abs(), y)),
        (lossmith.CosineEmbeddingLoss(margin=0.1, **r)((a, b), y), nn.CosineEmbeddingLoss(margin=0.1, **r)(a, b, y)),
        (lossmith.TripletMarginLoss(**r)((a, b, c)), nn.TripletMarginLoss(eps=0.0, **r)(a, b, c)),
        (lossmith.TripletMarginLoss(swap=True, **r)((a, b, c)), nn.TripletMarginLoss(swap=True, eps=0, **r)(a, b, c)),
    ]
    for ours, theirs in checks:
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-15)


def test_sequences_of_vectors_and_a_single_one() -> None:
    """Vectors lie along the last axis; every other axis is of units."""
    a, b, c = vectors(3, torch.float64, seed=2)
    loss = lossmith.TripletMarginLoss(reduction="none")
    flat = loss((a, b, c))
    torch.testing.assert_close(loss((a.view(2, 4, 3), b.view(2, 4, 3), c.view(2, 4, 3))), flat.view(2, 4))
    torch.testing.assert_close(loss((a[0], b[0], c[0])), flat[0])


def test_two_precisions_meet_in_the_wider() -> None:
    a, b, _ = vectors(3, torch.float64)
    y = torch.ones(8)
    got = lossmith.ContrastiveLoss()((a.half(), b), y)
    assert got.dtype == torch.float64
    torch.testing.assert_close(got, lossmith.ContrastiveLoss()((a.half().double(), b), y.double()))


# Sentences --------------------------------------------------------------------------------------------------------
A, B, Y = torch.ones(2, 3), torch.zeros(2, 3), torch.ones(2)
SENTENCES: list[tuple[Callable[[], Any], type[LossmithError], str]] = [
    (
        lambda: lossmith.CosineEmbeddingLoss()(A, Y),
        DtypeError,
        "CosineEmbeddingLoss: input must be a pair of tensors (a, b), not Tensor",
    ),
    (
        lambda: lossmith.TripletMarginLoss()((A, B)),
        DtypeError,
        "TripletMarginLoss: input must be a triplet of tensors (anchor, positive, negative), not 2 of them",
    ),
    (
        lambda: lossmith.ContrastiveLoss()((A, torch.zeros(1, 3)), Y),
        ShapeError,
        "ContrastiveLoss: a and b must have the same shape; a has [2, 3], b has [1, 3]",
    ),
    (
        lambda: lossmith.ContrastiveLoss()((A, B), torch.ones(2, 1)),
        ShapeError,
        "ContrastiveLoss: target must have one label per pair, shape [2]; it has shape [2, 1]",
    ),
    (
        lambda: lossmith.ContrastiveLoss()((A, B), -Y),
        DomainError,
        "ContrastiveLoss: target must be in [0, 1]; 2 of 2 are not, first -1",
    ),
    (
        lambda: lossmith.MarginRankingLoss()((A, B), torch.zeros(2, 3)),
        DomainError,
        "MarginRankingLoss: target must be -1 or 1 (from 0/1 labels: 2 * target - 1); 6 of 6 are not, first 0",
    ),
    (
        lambda: lossmith.HingeEmbeddingLoss()(Y, torch.ones(2, 1)),
        ShapeError,
        "HingeEmbeddingLoss: input and target must have the same shape; input has [2] and target [2, 1]",
    ),
    (
        lambda: lossmith.TripletMarginLoss()((A, B, A), Y),
        ShapeError,
        "TripletMarginLoss: there is no target to give: everything is in the input",
    ),
    (
        lambda: lossmith.TripletMarginLoss()((A, B, A.long())),
        DtypeError,
        "TripletMarginLoss: negative must be floating point; it is int64",
    ),
    (
        lambda: lossmith.CosineEmbeddingLoss()((A[:, :0], B[:, :0]), Y),
        ShapeError,
        "CosineEmbeddingLoss: input must be vectors along the last axis, [*, D] with D at least 1, not [2, 0]",
    ),
]


@pytest.mark.parametrize(("call", "kind", "sentence"), SENTENCES)
def test_sentence(call: Callable[[], Any], kind: type[LossmithError], sentence: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == sentence
