"""Losses of sets against loops over all pairs and triplets in 160 digits, and pytorch-metric-learning's numbers."""

import math
from collections.abc import Callable
from math import e, exp, log
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lossmith
from lossmith.errors import DtypeError, LossmithError, ParameterError, ShapeError
from lossmith.flow.loss import registry
from tests.losses.comparison_test import angle, apart, facenet
from tests.losses.oracle import agree, exact, gradient, mp, with_gradient

PLANE = [[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]]  # cosines 1 or 0
LINE = [[0.0], [1.0], [3.0], [7.0]]

ANCHORS = {
    "info_nce": [
        ({"temperature": 1.0}, PLANE, [0, 0, 1, 1], log(1 + 2 / e)),
        ({"temperature": 0.5}, PLANE, [7, 3, 7, 3], log(2 + exp(2))),
        ({"temperature": 1.0}, PLANE, [0, 0, 0, 1], (2 * log(1 + 1 / e) + log(2) * 2 + log(1 + e) * 2) / 6),
        ({}, PLANE, [0, 1, 2, 3], 0.0),
        ({}, PLANE, [5, 5, 5, 5], 0.0),  # nothing to tell them from
    ],
    "supervised_contrastive": [
        ({"temperature": 1.0}, PLANE, [0, 0, 1, 1], log(1 + 2 / e)),
        ({"temperature": 1.0}, PLANE, [5, 5, 5, 5], log(2 + e) - 1 / 3),
        ({"temperature": 0.5}, PLANE, [0, 0, 1, 2], log(1 + 2 / exp(2))),  # two anchors have no positive
        ({}, PLANE, [0, 1, 2, 3], 0.0),
    ],
    "clip": [
        ({"temperature": 1.0}, ([[1.0, 0.0], [0.0, 2.0]], [[3.0, 0.0], [0.0, 4.0]]), None, log(1 + 1 / e)),
        ({"temperature": 1.0}, ([[1.0, 0.0], [0.0, 2.0]], [[0.0, 3.0], [4.0, 0.0]]), None, log(1 + e)),
        (
            {"temperature": 1.0},
            ([[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]),
            None,
            ((log(1 + 1 / e) + log(1 + e)) / 2 + log(2)) / 2,
        ),
        ({}, ([[1.0, 0.0]], [[0.0, 1.0]]), None, 0.0),
    ],
    "mined_triplet": [
        ({"margin": 2.0}, LINE, [0, 0, 1, 1], 1.25),
        ({"margin": 0.0}, LINE, [0, 1, 0, 1], (2 + 5 + 1 + 2) / 4),  # 3-1, 6-1, 3-2, 6-4
        ({"margin": 3.0, "mining": "all"}, LINE, [0, 0, 1, 1], (1 + 2 + 4 + 5 + 1) / 8),
        ({"margin": 3.0, "mining": "semihard"}, LINE, [0, 0, 1, 1], (1 + 2 + 4 + 1) / 4),
        ({"margin": 2.0, "mining": "semihard"}, [[0.0], [1.0], [-1.0], [4.0]], [0, 0, 1, 2], 0.5),  # -1 is not farther
        ({"margin": 0.0, "soft": True}, [[0.0], [0.0], [1.0]], [0, 0, 1], log(1 + 1 / e)),
        ({}, LINE, [0, 1, 2, 3], 0.0),
    ],
}


# References: loops, as the papers print them ------------------------------------------------------------------------
Rows = list[list[Any]]
Labels = list[int]


def mates(y: Labels, i: int) -> list[int]:
    return [j for j in range(len(y)) if j != i and y[j] == y[i]]


def others(y: Labels, i: int) -> list[int]:
    return [j for j in range(len(y)) if y[j] != y[i]]


def mean(values: list[Any]) -> Any:
    return mp.fsum(values) / len(values) if values else mp.mpf(0)


def nt_xent(x: Rows, y: Labels, temperature: float) -> Any:
    """Chen et al. 2020, eq. 1, of every pair of equal labels against all of other labels."""

    def s(i: int, j: int) -> Any:
        return mp.exp(angle(x[i], x[j]) / mp.mpf(temperature))

    pairs = [(i, j) for i in range(len(y)) for j in mates(y, i)]
    return mean([-mp.log(s(i, j) / (s(i, j) + mp.fsum(s(i, k) for k in others(y, i)))) for i, j in pairs])


def supcon(x: Rows, y: Labels, temperature: float) -> Any:
    """Khosla et al. 2020, eq. 2."""

    def s(i: int, j: int) -> Any:
        return mp.exp(angle(x[i], x[j]) / mp.mpf(temperature))

    def anchor(i: int) -> Any:
        everyone = mp.fsum(s(i, a) for a in range(len(y)) if a != i)
        return -mean([mp.log(s(i, p) / everyone) for p in mates(y, i)])

    return mean([anchor(i) for i in range(len(y)) if mates(y, i)])


def clip(a: Rows, b: Rows, temperature: float) -> Any:
    """Radford et al. 2021, figure 3: cross-entropy of rows and of columns, averaged."""
    n = len(a)
    s = [[mp.exp(angle(v, w) / mp.mpf(temperature)) for w in b] for v in a]
    rows = [-mp.log(s[i][i] / mp.fsum(s[i])) for i in range(n)]
    columns = [-mp.log(s[i][i] / mp.fsum(row[i] for row in s)) for i in range(n)]
    return (mean(rows) + mean(columns)) / 2


def mined(x: Rows, y: Labels, margin: float, mining: str, soft: bool) -> Any:
    """Hermans et al. 2017, eq. 5 and 6; Schroff et al. 2015, 3.2, with TensorFlow's way out: else the farthest."""
    found = []
    for i in range(len(y)):
        near = {p: apart(x[i], x[p]) for p in mates(y, i)}
        far = {n: apart(x[i], x[n]) for n in others(y, i)}
        if not near or not far:
            continue
        if mining == "hard":
            found.append((max(near.values()), min(far.values())))
        elif mining == "all":
            found += [(p, n) for p in near.values() for n in far.values()]
        else:
            found += [(p, min((n for n in far.values() if n > p), default=max(far.values()))) for p in near.values()]
    return mean([facenet(p, n, margin, soft) for p, n in found])


REFERENCES: dict[str, Callable[..., Any]] = {
    "info_nce": nt_xent,
    "supervised_contrastive": supcon,
    "clip": clip,
    "mined_triplet": mined,
}

SETTINGS: list[tuple[str, dict[str, Any]]] = [
    *(("info_nce", {"temperature": t}) for t in (1.0, 0.1, 0.01)),
    *(("supervised_contrastive", {"temperature": t}) for t in (1.0, 0.1, 0.01)),
    *(
        ("mined_triplet", {"margin": m, "mining": how, "soft": soft})
        for how in ("hard", "semihard", "all")
        for m, soft in ((0.3, False), (2.0, False), (0.0, True))
    ),
]
LABELS = [3, -1, 3, 3, 0, -1, 8]  # three, two, and two alone


def embeddings(dtype: torch.dtype = torch.float64, seed: int = 0, size: int = 3) -> Tensor:
    """Seven points, of which 1 and 5 (equal labels), and 0 and 4 (others), are the same."""
    x = torch.randn(7, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x[5], x[4] = x[1], x[0]
    return x.to(dtype)


def rows(x: Any, width: int = 3) -> Rows:
    return [x[k : k + width] for k in range(0, len(x), width)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "parameters"), SETTINGS)
def test_value_and_gradient(name: str, parameters: dict[str, Any], dtype: torch.dtype) -> None:
    """Coincident points among them: the reference's distance has a kink there, so its gradient is taken apart."""
    x = embeddings(dtype)
    value, _ = with_gradient(registry[name](**parameters), x, torch.tensor(LABELS))
    answer = REFERENCES[name](rows(exact(x)), LABELS, **parameters)
    scale = 1 / mp.mpf(parameters.get("temperature", 1))
    agree(value, [(answer, answer, abs(answer) + scale)])
    x[5], x[4] = x[5] + 0.25, x[4] - 0.5
    _, slopes = with_gradient(registry[name](**parameters), x, torch.tensor(LABELS))
    wants = gradient(lambda v: REFERENCES[name](rows(v), LABELS, **parameters), x)
    agree(slopes.flatten(), [(w, w, 10 * scale) for w in wants])


@pytest.mark.parametrize("temperature", [1.0, 0.07])
def test_two_views(temperature: float) -> None:
    x = embeddings()
    value, slopes = with_gradient(
        lambda v, t: lossmith.CLIPLoss(temperature=temperature)((v[:3], v[3:6])), x, torch.tensor(LABELS)
    )

    def whole(v: list[Any]) -> Any:
        return clip(rows(v)[:3], rows(v)[3:6], temperature)

    answer = whole(exact(x))
    agree(value, [(answer, answer, 1 / mp.mpf(temperature))])
    agree(slopes.flatten(), [(w, w, mp.mpf(100)) for w in gradient(whole, x)])


def test_pytorch_metric_learning() -> None:
    """What its version 2.9.0 prints for these ten points, of labels with one to four members.

    NTXentLoss and SupConLoss at temperature 0.2; TripletMarginLoss(margin=0.3) of distances that are not normalised
    and with MeanReducer, after BatchHardMiner, of all triplets, and of all with smooth_loss.
    """
    i = torch.arange(40, dtype=torch.float64).view(10, 4)
    x, y = torch.sin(i * i + 1), torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2, 3])
    theirs = [
        (lossmith.InfoNCELoss(temperature=0.2), 3.491239171018779),
        (lossmith.SupervisedContrastiveLoss(temperature=0.2), 4.393677128626195),
        (lossmith.MinedTripletLoss(), 1.5149416426335438),
        (lossmith.MinedTripletLoss(mining="all"), 0.4840879184909703),
        (lossmith.MinedTripletLoss(mining="all", soft=True), 0.931792509716138),
    ]
    for loss, value in theirs:
        assert loss(x, y).item() == pytest.approx(value, rel=1e-12)


def test_simclr_is_cross_entropy_over_the_others() -> None:
    """Two views of each: InfoNCE and supervised contrastive are one loss, that of a softmax over the 2N - 1 others."""
    x, y = embeddings()[:6], torch.arange(3).repeat(2)
    s = nn.functional.normalize(x) @ nn.functional.normalize(x).T / 0.1
    s.fill_diagonal_(-math.inf)
    want = nn.functional.cross_entropy(s, torch.arange(6).roll(3))
    torch.testing.assert_close(lossmith.InfoNCELoss()(x, y), want)
    torch.testing.assert_close(lossmith.SupervisedContrastiveLoss()(x, y), want)


# Edges ------------------------------------------------------------------------------------------------------------
SETS = ["info_nce", "supervised_contrastive", "mined_triplet"]
ALL = [*((name, {}) for name in SETS), ("mined_triplet", {"mining": "semihard"}), ("mined_triplet", {"mining": "all"})]


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [0], []])
@pytest.mark.parametrize(("name", "options"), ALL)
def test_nothing_to_compare_costs_nothing(name: str, options: dict[str, Any], labels: list[int]) -> None:
    """0 with a graph, and a gradient of 0; so where all are of one label, but for supervised contrastive."""
    x = embeddings()[: len(labels)]
    same = [torch.zeros(len(labels), dtype=torch.int64)] if name != "supervised_contrastive" else []
    for y in (torch.tensor(labels, dtype=torch.int64), *same):
        value, slopes = with_gradient(registry[name](**options), x, y)
        assert value.item() == 0
        assert (slopes == 0).all()


@pytest.mark.parametrize("x", [torch.zeros(6, 3), torch.ones(6, 3)], ids=["zero", "collapsed"])
@pytest.mark.parametrize(("name", "options"), ALL)
def test_embeddings_that_are_all_the_same(name: str, options: dict[str, Any], x: Tensor) -> None:
    """Distance 0 and zero vectors: the margin, or the logarithm of a count, and no slope."""
    value, slopes = with_gradient(registry[name](**options), x, torch.tensor([0, 0, 1, 1, 2, 2]))
    want = {"info_nce": log(5), "supervised_contrastive": log(5), "mined_triplet": 0.3}[name]
    assert value.item() == pytest.approx(want)
    torch.testing.assert_close(slopes, torch.zeros_like(x), atol=1e-6, rtol=0)


@pytest.mark.parametrize("mining", ["hard", "semihard", "all"])
def test_distances_far_from_the_origin_do_not_cancel(mining: str) -> None:
    """Points of a fine grid around (4096, 4096): squares minus products would lose every digit in float32."""
    near = embeddings().mul(64).round() / 1024
    loss = lossmith.MinedTripletLoss(mining=mining, margin=0.01)
    here, slopes = with_gradient(loss, near, torch.tensor(LABELS))
    there, far_slopes = with_gradient(loss, near.float() + 4096, torch.tensor(LABELS))
    assert there.item() == pytest.approx(here.item(), rel=1e-5)
    torch.testing.assert_close(far_slopes.double(), slopes, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["info_nce", "supervised_contrastive"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_low_temperature_in_half_precision(name: str, dtype: torch.dtype) -> None:
    """At temperature 0.01 logits reach 100, whose exp float16 does not have; and autocast must not round cosines."""
    x, y = embeddings(torch.float32, size=8), torch.tensor(LABELS)
    loss = registry[name](temperature=0.01)
    value, slopes = with_gradient(loss, x.to(dtype), y)
    assert slopes.isfinite().all()
    torch.testing.assert_close(value.double(), loss(x.to(dtype).double(), y), rtol=1e-4, atol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(loss(x, y), registry[name](temperature=0.01)(x, y))
        inside = loss(x, y)
    torch.testing.assert_close(inside, loss(x, y), rtol=0, atol=0)


@pytest.mark.parametrize(("name", "options"), ALL)
def test_hidden_embeddings_are_nobodys_positive_or_negative(name: str, options: dict[str, Any]) -> None:
    """By mask, by ignore_index and by a weight of 0 alike, whatever is in them."""
    x, y = embeddings(), torch.tensor(LABELS)
    keep = torch.tensor([1, 1, 0, 1, 1, 1, 0]).bool()
    want = registry[name](**options)(x[keep], y[keep])
    spoilt = torch.where(keep[:, None], x, math.nan)
    torch.testing.assert_close(registry[name](**options)(spoilt, y, mask=keep), want)
    torch.testing.assert_close(registry[name](**options)(spoilt, y, sample_weight=keep.double()), want)
    marked = torch.where(keep, y, -100)
    torch.testing.assert_close(registry[name](**options, ignore_index=-100)(spoilt, marked), want)


def test_a_pair_counts_once_and_an_anchor_counts_once() -> None:
    """What a mean divides by: pairs for InfoNCE, anchors for supervised contrastive, triplets for mined ones."""
    x, y = embeddings(), torch.tensor(LABELS)  # three and two of a label, seven in all
    counts = {
        lossmith.InfoNCELoss(): 8,
        lossmith.SupervisedContrastiveLoss(): 5,
        lossmith.MinedTripletLoss(): 5,
        lossmith.MinedTripletLoss(mining="semihard"): 8,
        lossmith.MinedTripletLoss(mining="all"): 6 * 4 + 2 * 5,
    }
    for loss, count in counts.items():
        assert loss.partial(x, y).weight.item() == count
        none = type(loss)(**{**loss.options(), "reduction": "none"})(x, y)
        assert none.shape == (7,)
        assert none[6] == none[4] == 0
        torch.testing.assert_close(none.sum() / count, loss(x, y))


def test_weights_are_of_anchors() -> None:
    x, y = embeddings(), torch.tensor(LABELS)
    weight = torch.tensor([1.0, 2, 0.5, 1, 1, 3, 1]).double()
    loss = lossmith.SupervisedContrastiveLoss(reduction="none")
    want = (loss(x, y) * weight).sum() / weight[[0, 1, 2, 3, 5]].sum()
    torch.testing.assert_close(lossmith.SupervisedContrastiveLoss()(x, y, sample_weight=weight), want)


def test_length_does_not_matter_to_cosines() -> None:
    x, y = embeddings(), torch.tensor(LABELS)
    scaled = x * torch.tensor([1e-200, 1, 1e150, 3, 1e8, 0.1, 1], dtype=torch.float64)[:, None]
    for name in ("info_nce", "supervised_contrastive"):
        torch.testing.assert_close(registry[name]()(scaled, y), registry[name]()(x, y))


# Sentences --------------------------------------------------------------------------------------------------------
X, Y = torch.ones(4, 2), torch.tensor([0, 0, 1, 1])
SENTENCES: list[tuple[Callable[[], Any], type[LossmithError], str]] = [
    (
        lambda: lossmith.InfoNCELoss()(X, Y.float()),
        DtypeError,
        "InfoNCELoss: target must be labels, integers; it is float32",
    ),
    (
        lambda: lossmith.InfoNCELoss()(X, Y[:, None]),
        ShapeError,
        "InfoNCELoss: target must have one label per embedding, shape [4]; it has shape [4, 1]",
    ),
    (
        lambda: lossmith.SupervisedContrastiveLoss()(X[0], Y),
        ShapeError,
        "SupervisedContrastiveLoss: embeddings must have shape [N, D], D at least 1; they have [2]",
    ),
    (
        lambda: lossmith.InfoNCELoss()((X, X), Y),
        DtypeError,
        "InfoNCELoss: input must be a torch tensor; it is builtins.tuple",
    ),
    (lambda: lossmith.CLIPLoss()(X), DtypeError, "CLIPLoss: input must be a pair of tensors (a, b), not Tensor"),
    (
        lambda: lossmith.CLIPLoss()((X, X[:3])),
        ShapeError,
        "CLIPLoss: a and b must have the same shape; a has [4, 2], b has [3, 2]",
    ),
    (
        lambda: lossmith.CLIPLoss()((X, X), Y),
        ShapeError,
        "CLIPLoss: there is no target to give: everything is in the input",
    ),
    (
        lambda: lossmith.MinedTripletLoss(mining="easy"),
        ParameterError,
        'MinedTripletLoss: mining must be one of "hard", "semihard", "all", not \'easy\'',
    ),
    (
        lambda: lossmith.InfoNCELoss(temperature=0.0),
        ParameterError,
        "InfoNCELoss: temperature must be a number, greater than 0, not 0.0",
    ),
]


@pytest.mark.parametrize(("call", "kind", "sentence"), SENTENCES)
def test_sentence(call: Callable[[], Any], kind: type[LossmithError], sentence: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == sentence
