"""The overlap family against 160-digit references, exact fractions, scikit-learn, MONAI and segmentation-models."""

import math
from fractions import Fraction
from itertools import chain, pairwise, product
from math import log
from typing import Any

import pytest
import torch
from sklearn import metrics
from torch import Tensor

import lossmith
from lossmith.errors import DomainError, DtypeError, LossmithError, ParameterError, ShapeError
from lossmith.flow.loss import Loss, registry
from lossmith.kernels import eager
from lossmith.losses.overlap.family import OverlapLoss
from lossmith.losses.overlap.lovasz import extension
from tests.losses.oracle import FLOOR, RTOL, SIZES, exact, mp, shipped

HALVES, TWO_EACH = [[[0.0] * 4] * 2], [[0, 0, 1, 1]]  # p = 1/2 everywhere: tp, fp and fn of either class are 1
SURE = [[[math.inf, math.inf, math.inf, -math.inf, -math.inf, -math.inf]]]  # a label that is seen at three pixels
SEEN = [[[1.0, 1.0, 0.0, 1.0, 1.0, 0.0]]]  # and was drawn at four: TP 2, FP 1, FN 2 (D13)
PAIR: dict[str, Any] = {"link": "sigmoid", "smooth": 0}

ANCHORS: dict[str, list[tuple[dict[str, Any], Any, Any, float]]] = {
    "dice": [
        ({}, HALVES, TWO_EACH, 1 / 3),
        ({"smooth": 0}, HALVES, TWO_EACH, 1 / 2),
        ({"smooth": 0, "squared": True}, HALVES, TWO_EACH, 1 / 3),  # sum p^2 = 1, sum t^2 = 2, tp = 1
        (PAIR, SURE, SEEN, 3 / 7),
    ],
    "jaccard": [({}, HALVES, TWO_EACH, 1 / 2), (PAIR, SURE, SEEN, 3 / 5)],
    "tversky": [
        ({**PAIR, "alpha": 0.9, "beta": 0.1}, SURE, SEEN, 1 - 2 / 3.1),  # 0.3548, where Keras has 0.4872
        ({**PAIR, "alpha": 0.1, "beta": 0.9}, SURE, SEEN, 1 - 2 / 3.9),
        ({"alpha": 0.5, "beta": 1.5}, HALVES, TWO_EACH, 1 / 2),
    ],
    "focal_tversky": [
        ({**PAIR, "alpha": 0.9, "beta": 0.1, "gamma": 2}, SURE, SEEN, math.sqrt(1 - 2 / 3.1)),
        ({**PAIR, "gamma": 1}, SURE, SEEN, 1.7 / 3.7),
        ({}, HALVES, TWO_EACH, (1 / 3) ** 0.75),
    ],
    "generalized_dice": [
        ({}, HALVES, TWO_EACH, 1 / 3),
        # class 0 has 3 pixels, of which p sees 3 halves, class 1 has 1: w = 1/9, 1
        ({"smooth": 0}, HALVES, [[0, 0, 0, 1]], 1 - 2 * (1.5 / 9 + 0.5) / (5 / 9 + 3)),
        ({"smooth": 0, "per": "batch"}, HALVES, [[0, 0, 0, 1]], 1 - 2 * (1.5 / 9 + 0.5) / (5 / 9 + 3)),
    ],
    "log_cosh_dice": [
        ({}, HALVES, TWO_EACH, log(math.cosh(1 / 3))),
        (PAIR, SURE, SEEN, log(math.cosh(3 / 7))),
    ],
    "lovasz": [
        ({}, HALVES, TWO_EACH, 1 / 2),  # all errors are 1/2, and J runs from 0 to 1
        ({"link": "sigmoid"}, [[[2.0, -3.0, 0.5]]], [[[1.0, 0.0, 1.0]]], 1 / 4),
        ({"link": "sigmoid"}, [[[-3.0, 0.5]]], [[[0.0, 0.0]]], 3 / 2),  # an empty mask: the worst pixel
        ({"link": "prob"}, [[[0.75, 0.5], [0.25, 0.5]]], [[0, 1]], (0.375 + 0.5) / 2),
    ],
    "focal_dice": [
        ({}, HALVES, TWO_EACH, log(2) / 4 + 1 / 3),
        ({"gamma": 0, "smooth": 0, "weight": [1.0, 3.0]}, HALVES, TWO_EACH, log(2) + 1 / 2),
        ({"link": "sigmoid", "alpha": 0.25}, [[[0.0, 0.0]]], [[[1.0, 0.0]]], log(2) / 8 + 1 / 4),
    ],
    "unified_focal": [
        ({"smooth": 0}, HALVES, TWO_EACH, (log(2) / 2 + 1) * math.sqrt(0.5) / 2),
        ({"smooth": 0, "gamma": 0, "delta": 0.25}, HALVES, [[0, 0, 0, 0]], (0.75 * log(2) + 0.6) / 2),
        ({"smooth": 0, "focal_share": 1, "gamma": 0}, HALVES, [[0, 1, 1, 1]], 0.55 * log(2)),
    ],
}


# The formulas as their papers print them, one minus a ratio, in 160 digits -----------------------------------------
def tversky(tp: Any, fp: Any, fn: Any, s: Any, a: Any, b: Any) -> Any:
    """1706.05721, eq. 3, with s found pixels more."""
    return (tp + s) / (tp + s + mp.mpf(a) * fp + mp.mpf(b) * fn)


def generalized(counts: list[tuple[Any, Any, Any]], s: Any) -> Any:
    """1707.03237; an absent class takes the largest weight of those present."""
    volumes = [tp + fn for tp, _, fn in counts]
    least = min((v for v in volumes if v), default=mp.mpf(1))
    w = [1 / (v or least) ** 2 for v in volumes]
    found = mp.fsum(a * 2 * (tp + s) for a, (tp, _, _) in zip(w, counts, strict=True))
    return 1 - found / mp.fsum(a * (2 * (tp + s) + fp + fn) for a, (tp, fp, fn) in zip(w, counts, strict=True))


def by_class(f: Any) -> Any:
    """The mean over classes of a formula of one class's counts."""
    return lambda counts, **options: mp.fsum(f(*count, **options) for count in counts) / len(counts)


REFERENCES: dict[str, Any] = {
    "dice": by_class(lambda tp, fp, fn, s=1: 1 - 2 * (tp + s) / (2 * (tp + s) + fp + fn)),
    "jaccard": by_class(lambda tp, fp, fn, s=1: 1 - (tp + s) / (tp + s + fp + fn)),
    "tversky": by_class(lambda tp, fp, fn, s=1, a=0.3, b=0.7: 1 - tversky(tp, fp, fn, s, a, b)),
    "focal_tversky": by_class(
        lambda tp, fp, fn, s=1, a=0.3, b=0.7, g=4 / 3: (1 - tversky(tp, fp, fn, s, a, b)) ** (1 / mp.mpf(g))
    ),
    "log_cosh_dice": by_class(lambda tp, fp, fn, s=1: mp.log(mp.cosh(1 - 2 * (tp + s) / (2 * (tp + s) + fp + fn)))),
    "generalized_dice": lambda counts, s=1: generalized(counts, s),
}
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "tversky": [{}, {"a": 0.9, "b": 0.1}],
    "focal_tversky": [{"g": 1.0}, {"g": 0.5, "a": 1.0, "b": 0.0}],  # above 1 it is infinitely steep at 0: see below
    "generalized_dice": [{}, {"s": 0.25}],
}
NAMES = {"s": "smooth", "a": "alpha", "b": "beta", "g": "gamma"}
Picture = list[list[Any]]  # a number for each class and pixel


def counted(p: Picture, q: Picture, t: Picture) -> list[tuple[Any, Any, Any]]:
    """tp, fp, fn of each class; q is 1 - p, exactly."""
    return [
        (
            mp.fsum(a * c for a, c in zip(p[k], t[k], strict=True)),
            mp.fsum(a * (1 - c) for a, c in zip(p[k], t[k], strict=True)),
            mp.fsum(b * c for b, c in zip(q[k], t[k], strict=True)),
        )
        for k in range(len(p))
    ]


def linked(z: Picture, link: str) -> tuple[Picture, Picture]:
    if link == "sigmoid":
        return [[1 / (1 + mp.exp(-x)) for x in row] for row in z], [[1 / (1 + mp.exp(x)) for x in row] for row in z]
    powers = [[mp.exp(x - max(pixel)) for x in pixel] for pixel in zip(*z, strict=True)]
    p = [[a / mp.fsum(pixel) for a in pixel] for pixel in powers]
    q = [[mp.fsum(pixel[:k] + pixel[k + 1 :]) / mp.fsum(pixel) for k in range(len(pixel))] for pixel in powers]
    return [list(row) for row in zip(*p, strict=True)], [list(row) for row in zip(*q, strict=True)]


def answer(f: Any, z: Picture, t: Picture, link: str) -> tuple[Any, list[Any], list[Any]]:
    """Value, slope in every score, and the size of what the slope is the difference of."""
    p, q = linked(z, link)
    pixels, classes = range(len(z[0])), range(len(z))
    h = mp.mpf("1e-40")

    def at(k: int, i: int, by: Any) -> Any:
        moved, rest = [list(row) for row in p], [list(row) for row in q]
        moved[k][i] += by
        rest[k][i] -= by
        return f(counted(moved, rest, t))

    g = [[(at(k, i, h) - at(k, i, -h)) / (2 * h) for i in pixels] for k in classes]
    if link == "sigmoid":
        slopes = [[g[k][i] * p[k][i] * q[k][i] for i in pixels] for k in classes]
        sizes = [[abs(x) for x in row] for row in slopes]
    else:
        slopes = [[mp.fsum(p[k][i] * p[j][i] * (g[k][i] - g[j][i]) for j in classes) for i in pixels] for k in classes]
        sizes = [
            [mp.fsum(p[k][i] * p[j][i] * (abs(g[k][i]) + abs(g[j][i])) for j in classes if j != k) for i in pixels]
            for k in classes
        ]
    return f(counted(p, q, t)), [*chain(*slopes)], [*chain(*sizes)]


def draw(link: str, seed: int, dtype: torch.dtype, largest: float) -> tuple[Tensor, Tensor]:
    """Scores from the edge table, up to 10,000 either way, and labels by chance: a quarter of the classes is absent."""
    generator = torch.Generator().manual_seed(seed)
    table = torch.tensor([s for size in (0.0, *SIZES) if size <= largest for s in (size, -size)], dtype=dtype)
    z = table[torch.randint(0, len(table), (1, 3, 4), generator=generator)]
    if link == "sigmoid":
        return z, torch.randint(0, 2, (1, 3, 4), generator=generator).to(dtype)
    return z, torch.randint(0, 3, (1, 4), generator=generator)


def compare(name: str, options: dict[str, Any], z: Tensor, y: Tensor, link: str, slack: Any = FLOOR) -> None:
    picture = [exact(row) for row in z[0]]
    t = exact_target(y, link)
    value, slopes, sizes = answer(lambda counts: REFERENCES[name](counts, **options), picture, t, link)
    leaf = z.clone().requires_grad_()
    got = registry[name](link=link, **{NAMES[k]: v for k, v in options.items()})(leaf, y)
    (gradient,) = torch.autograd.grad(got, leaf)
    rtol = RTOL[z.dtype]
    assert abs(got.item() - value) <= rtol * abs(value) + (1e-6 if z.dtype == torch.float32 else 1e-14)
    for place, (number, slope, size) in enumerate(zip(gradient.flatten().tolist(), slopes, sizes, strict=True)):
        assert abs(number - slope) <= rtol * size + slack, (place, number, float(slope), float(size), z, y)


def exact_target(y: Tensor, link: str) -> Picture:
    one_hot = y[0] if link == "sigmoid" else (torch.arange(3)[:, None] == y[0])
    return [exact(row.double()) for row in one_hot]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
@pytest.mark.parametrize("name", ["dice", "jaccard", "tversky", "generalized_dice"])
def test_value_and_every_slope_at_the_edges(name: str, link: str, dtype: torch.dtype) -> None:
    """The gradient keeps its digits where p rounds to 0 or 1: what a confident mistake needs, and others lose."""
    for seed, options in product(range(12), OPTIONS.get(name, [{}])):
        compare(name, options, *draw(link, seed, dtype, 1e4), link)


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_the_plain_expression_keeps_its_digits_too(link: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What function transforms and second derivatives see, where eager mode has a kernel."""
    monkeypatch.setattr(eager, "fits", lambda *tensors: False)
    for seed in range(12):
        compare("dice", {}, *draw(link, seed, torch.float32, 1e4), link)


def test_the_form_for_compilers_keeps_its_digits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    for seed in range(12):
        compare("dice", {}, *draw("softmax", seed, torch.float32, 1e4), "softmax")


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
@pytest.mark.parametrize("name", ["focal_tversky", "log_cosh_dice"])
def test_bent_formulas_too(name: str, link: str) -> None:
    """Their slope depends on the loss itself, which near 0 is known to the rounding of 1."""
    for seed, options in product(range(12), OPTIONS.get(name, [{}])):
        compare(name, options, *draw(link, seed, torch.float64, 1e4), link, slack=mp.mpf("1e-12"))
        compare(name, {}, *draw(link, seed, torch.float64, 5.0), link)


def test_the_powers_of_gamma_are_finite_at_both_ends() -> None:
    """(1 - TI)^(3/4) is infinitely steep at a perfect overlap: neither NaN nor infinity may come of it."""
    for name, size in product(("focal_tversky", "unified_focal"), (40.0, 200.0, 1e4)):
        y = torch.tensor([[0, 1, 1, 0]])
        right = size * torch.stack([1 - 2.0 * y, 2.0 * y - 1], 1)
        for z in (right, -right):
            leaf = z.clone().requires_grad_()
            value = registry[name]()(leaf, y)
            (gradient,) = torch.autograd.grad(value, leaf)
            assert value.isfinite()
            assert gradient.isfinite().all()


# Mixed losses ------------------------------------------------------------------------------------------------------
def focal(p: Any, q: Any, cost: Any, gamma: Any) -> Any:
    return -cost * q ** mp.mpf(gamma) * mp.log(p)


def mixed(z: Picture, y: list[int], region: Any, gamma: Any, costs: list[Any], shares: tuple[Any, Any]) -> Any:
    p, q = linked(z, "softmax")
    t = [[mp.mpf(k == label) for label in y] for k in range(len(z))]
    pixels = [focal(p[k][i], q[k][i], costs[k], gamma) for i, k in enumerate(y)]
    return shares[0] * mp.fsum(pixels) / len(y) + shares[1] * region(counted(p, q, t))


def focal_dice(z: Picture, y: list[int], gamma: Any) -> Any:
    return mixed(z, y, REFERENCES["dice"], gamma, [1, 1, 1], (1, 1))


def unified(z: Picture, y: list[int], gamma: Any, delta: Any, share: Any) -> Any:
    """2102.04525, with the powers of the authors' code: gamma of the pixels, 1 - gamma of the regions."""
    d, g, share = mp.mpf(delta), mp.mpf(gamma), mp.mpf(share)

    def region(counts: Any) -> Any:
        return REFERENCES["focal_tversky"](counts, a=1 - d, b=d, g=1 / (1 - g))

    return mixed(z, y, region, g, [1 - d, d, d], (share, 1 - share))


REFERENCES |= {"focal_dice": focal_dice, "unified_focal": unified}


def scores(*shape: int, seed: int = 0) -> Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def classes(*shape: int, count: int = 3, seed: int = 1) -> Tensor:
    return torch.randint(0, count, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(5))
def test_mixed_losses_are_the_sums_that_they_say(seed: int) -> None:
    z, y = scores(1, 3, 6, seed=seed), classes(1, 6, seed=seed)
    picture, label = [exact(row) for row in z[0]], y[0].tolist()
    got = lossmith.FocalDiceLoss(gamma=1.5)(z, y).item()
    assert got == pytest.approx(float(focal_dice(picture, label, 1.5)), rel=1e-12)
    for gamma, delta, share in ((0.5, 0.6, 0.5), (0.2, 0.9, 0.25)):
        got = lossmith.UnifiedFocalLoss(gamma=gamma, delta=delta, focal_share=share)(z, y).item()
        assert got == pytest.approx(float(unified(picture, label, gamma, delta, share)), rel=1e-12)


def test_focal_dice_is_the_name_of_a_sum() -> None:
    z, y = scores(4, 3, 5), classes(4, 5)
    for text in ("", "gamma=1", "per=batch", "include_background=False"):
        split = (text, "") if text.startswith("gamma") else ("", text)
        whole = lossmith.create(f"focal({split[0]}) + dice({split[1]})")
        torch.testing.assert_close(lossmith.create(f"focal_dice({text})")(z, y), whole(z, y))
    weight = [1.0, 2.0, 0.5]
    whole = lossmith.FocalLoss(weight=weight) + lossmith.DiceLoss(weight=weight)
    torch.testing.assert_close(lossmith.FocalDiceLoss(weight=weight)(z, y), whole(z, y))


# Identities --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("per", ["sample", "batch"])
@pytest.mark.parametrize("smooth", [0.0, 1.0, 7.0])
def test_dice_and_jaccard_are_tversky(smooth: float, per: str) -> None:
    z, y = scores(4, 3, 5), classes(4, 5)
    more: dict[str, Any] = {"smooth": smooth, "per": per, "reduction": "none"}
    dice, jaccard = lossmith.DiceLoss(**more)(z, y), lossmith.JaccardLoss(**more)(z, y)
    torch.testing.assert_close(lossmith.TverskyLoss(alpha=0.5, beta=0.5, **more)(z, y), dice)
    torch.testing.assert_close(lossmith.TverskyLoss(alpha=1, beta=1, **more)(z, y), jaccard)
    torch.testing.assert_close(2 * dice / (1 + dice), jaccard)
    focal = lossmith.FocalTverskyLoss(alpha=0.5, beta=0.5, gamma=1, **more)
    torch.testing.assert_close(focal(z, y), dice)


@pytest.mark.parametrize("name", ["dice", "tversky", "generalized_dice", "lovasz", "focal_tversky"])
@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_a_batch_is_one_big_picture(name: str, link: str) -> None:
    z = scores(4, 3, 5)
    y = classes(4, 5) if link == "softmax" else classes(4, 3, 5, count=2).double()
    big = [x.movedim(0, -2).flatten(-2)[None] for x in (z, y)]
    got = registry[name](link=link, per="batch")(z, y)
    torch.testing.assert_close(got, registry[name](link=link)(*big))


@pytest.mark.parametrize("name", ["dice", "lovasz", "unified_focal"])
def test_probabilities_are_the_logits_they_come_from(name: str) -> None:
    z, y = scores(4, 3, 5), classes(4, 5)
    want = registry[name]()(z, y)
    torch.testing.assert_close(registry[name](link="prob")(z.softmax(1), y), want)
    torch.testing.assert_close(registry[name](link="log_prob")(z.log_softmax(1), y), want)
    if name == "dice":
        t = classes(4, 3, 5, count=2).double()
        want = lossmith.DiceLoss(link="sigmoid")(z, t)
        torch.testing.assert_close(lossmith.DiceLoss(link="binary_prob")(z.sigmoid(), t), want)


def test_one_hot_is_the_index_and_a_table_is_a_batch() -> None:
    z, y = scores(4, 3, 5), classes(4, 5)
    one_hot = torch.nn.functional.one_hot(y, 3).movedim(-1, 1).double()
    for cls in (lossmith.DiceLoss, lossmith.GeneralizedDiceLoss, lossmith.LovaszLoss, lossmith.FocalDiceLoss):
        torch.testing.assert_close(cls()(z, one_hot), cls()(z, y))
    x, t = scores(20), classes(20, count=2).double()
    one = lossmith.DiceLoss(link="sigmoid", per="batch")
    assert one(x, t).item() == pytest.approx(lossmith.DiceLoss(link="sigmoid")(x[None, None], t[None, None]).item())
    torch.testing.assert_close(one(x, t), one(x[:, None], t[:, None]))


def test_squares_in_the_denominator() -> None:
    """1 - (2 sum p t + 2) / (sum p^2 + sum t^2 + 2), which unlike the plain one has its minimum at a soft target."""
    z, t = scores(1, 3, 5), scores(1, 3, 5, seed=1).softmax(1)
    p = z.softmax(1)
    want = 1 - (2 * (p * t).sum(2) + 2) / ((p**2).sum(2) + (t**2).sum(2) + 2)
    torch.testing.assert_close(lossmith.DiceLoss(squared=True, reduction="none")(z, t), want)
    plain = 1 - (2 * (p * t).sum(2) + 2) / (p.sum(2) + t.sum(2) + 2)
    torch.testing.assert_close(lossmith.DiceLoss(reduction="none")(z, t), plain)
    leaf = t.log().requires_grad_()
    value = lossmith.DiceLoss(squared=True)(leaf, t)
    assert value.item() == pytest.approx(0, abs=1e-15)
    assert torch.autograd.grad(value, leaf)[0].abs().max() < 1e-15


# Other people's code -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_sklearn(beta: float) -> None:
    """Of certain predictions, Dice is 1 - F1, Jaccard 1 - its score, and Tversky 1 - F-beta."""
    guess, y = classes(60), classes(60, seed=5)
    z = 1e4 * torch.nn.functional.one_hot(guess, 3).double()
    more: dict[str, Any] = {"smooth": 0, "per": "batch", "reduction": "none"}
    f1 = metrics.f1_score(y, guess, average=None)
    torch.testing.assert_close(lossmith.DiceLoss(**more)(z, y), torch.from_numpy(1 - f1))
    iou = metrics.jaccard_score(y, guess, average=None)
    torch.testing.assert_close(lossmith.JaccardLoss(**more)(z, y), torch.from_numpy(1 - iou))
    torch.testing.assert_close(lossmith.LovaszLoss(per="batch", reduction="none")(z, y), torch.from_numpy(1 - iou))
    fbeta = metrics.fbeta_score(y, guess, beta=beta, average=None)
    a = 1 / (1 + beta**2)
    torch.testing.assert_close(lossmith.TverskyLoss(alpha=a, beta=1 - a, **more)(z, y), torch.from_numpy(1 - fbeta))


PEERS = [  # as MONAI 1.6.1 and segmentation-models-pytorch 0.6.0 compute them, in float32
    ("dice", 0.541452361),  # monai.losses.DiceLoss(smooth_nr=2, smooth_dr=2)
    ("dice(squared=True)", 0.466344843),
    ("dice(per=batch)", 0.602094814),
    ("dice(include_background=False)", 0.579030812),
    ("jaccard", 0.698894680),
    ("tversky", 0.533526778),
    ("generalized_dice(per=batch, smooth=0)", 0.783771038),
    ("generalized_dice(smooth=0)", 0.697228074),
    ("jaccard(per=batch)", 0.748396873),  # smp.losses.JaccardLoss(smooth=1)
    ("tversky(per=batch)", 0.598293126),
    ("lovasz(per=batch)", 0.757177651),
]


@pytest.mark.parametrize(("text", "value"), PEERS)
def test_monai_and_segmentation_models(text: str, value: float) -> None:
    z = (torch.arange(72, dtype=torch.float64) * 1.7).sin().reshape(2, 3, 4, 3) * 2
    y = torch.tensor([0, 2, 0, 1, 0, 0, 2, 1, 1, 0, 0, 2, 1, 1, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1]).reshape(2, 4, 3)
    assert lossmith.create(text)(z, y).item() == pytest.approx(value, abs=2e-7)
    if text.startswith("lovasz"):
        for per, theirs in (("batch", 2.069225073), ("sample", 2.075973511)):
            ours = lossmith.LovaszLoss(link="sigmoid", per=per)(z[:, :1], (y == 1)[:, None].double())
            assert ours.item() == pytest.approx(theirs, abs=5e-7)


def test_generalised_dice_is_one_ratio() -> None:
    """D15: a mean of ratios with the same weights is another number, and drifts towards the rare class."""
    tp, fp, fn = torch.tensor([[90.0, 1.0], [30.0, 1.0], [10.0, 3.0]], dtype=torch.float64)
    w = 1 / (tp + fn) ** 2
    ours = lossmith.GeneralizedDiceLoss(smooth=0).formula(tp, fp, fn, torch).item()
    assert ours == pytest.approx(1 - 2 * (w * tp).sum().item() / (w * (2 * tp + fp + fn)).sum().item(), rel=1e-12)
    ratios = 1 - 2 * tp / (2 * tp + fp + fn)
    assert abs(ours - (w * ratios).sum().item() / w.sum().item()) > 0.02


def test_generalised_dice_of_one_class_is_dice() -> None:
    z, t = scores(4, 1, 9), classes(4, 1, 9, count=2).double()
    t[2] = 0
    for smooth in (0.0, 1.0):
        one = lossmith.GeneralizedDiceLoss(link="sigmoid", smooth=smooth, reduction="none")(z, t)
        torch.testing.assert_close(one, lossmith.DiceLoss(link="sigmoid", smooth=smooth, reduction="none")(z, t))


# Empty masks (D14) ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("per", ["sample", "batch"])
@pytest.mark.parametrize("name", shipped("overlap"))
def test_an_empty_mask(name: str, per: str) -> None:
    """Found empty it costs 0; a false pixel on it costs, and pulls its score down, even where p rounds to 1."""
    loss = registry[name](link="sigmoid", per=per)
    empty = torch.zeros(2, 1, 8, 8)
    assert loss(torch.full_like(empty, -60.0), empty).item() < 1e-9
    for score in (0.0, 3.0, 20.0, 60.0):
        z = torch.full_like(empty, -60.0)
        z[:, :, 2:5, 2:5] = score
        value = loss(z.requires_grad_(), empty)
        (gradient,) = torch.autograd.grad(value, z)
        assert value.item() > 0.05
        assert (gradient[:, :, 2:5, 2:5].amax((2, 3)) > 0).any()
        assert (gradient >= 0).all()


@pytest.mark.parametrize("name", [name for name in shipped("overlap") if issubclass(registry[name], OverlapLoss)])
def test_nothing_at_all_without_smoothing(name: str) -> None:
    """0/0 is no loss: nothing was drawn and nothing predicted."""
    z = torch.full((1, 1, 4), -math.inf, requires_grad=True)
    value = registry[name](link="sigmoid", smooth=0)(z, torch.zeros(1, 1, 4))
    assert value.item() == pytest.approx(0, abs=1e-20)
    assert torch.autograd.grad(value, z)[0].isfinite().all()


@pytest.mark.parametrize("wrong_by", [40.0, 60.0])
@pytest.mark.parametrize("name", ["dice", "jaccard", "tversky", "generalized_dice", "log_cosh_dice", "lovasz"])
def test_a_confident_mistake_keeps_its_gradient(name: str, wrong_by: float) -> None:
    """e^-40 is a gradient and 0 is not: p rounds to 1, p (1 - p) need not; the pull is downhill and sums to 0."""
    z = torch.zeros(1, 3, 4)
    z[:, 1] = wrong_by
    y = torch.tensor([[0, 0, 1, 2]])
    (gradient,) = torch.autograd.grad(registry[name]()(z.requires_grad_(), y), z)
    assert gradient[0, 0, 0] < 0 < gradient[0, 1, 0]
    assert (gradient.sum(1).abs() <= 1e-5 * gradient.abs().amax(1)).all()


def test_fp16_sums_beyond_its_range() -> None:
    z, t = torch.full((1, 1, 512, 512), 4.0), torch.ones(1, 1, 512, 512)
    loss = lossmith.DiceLoss(link="sigmoid")
    value = loss(z.half(), t.half())
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(z.double(), t.double()).item(), rel=1e-5)


# Which classes, which pixels -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["dice", "generalized_dice", "lovasz"])
def test_the_background_leaves_after_the_softmax(name: str) -> None:
    """D16: it has no value of its own, and its logit a gradient all the same."""
    z, y = scores(4, 3, 5).requires_grad_(), classes(4, 5)
    y[:, :3] = torch.arange(3)  # every class is there
    loss = registry[name](include_background=False)
    (gradient,) = torch.autograd.grad(loss(z, y), z)
    assert (gradient[:, 0].abs().sum(1) > 1e-9).all()
    if name != "generalized_dice":
        every = registry[name](reduction="none")(z, y)
        torch.testing.assert_close(loss(z, y), every[:, 1:].mean())


def test_class_weights_weigh_the_mean() -> None:
    z, y = scores(4, 3, 5), classes(4, 5)
    weight = torch.tensor([0.5, 2.0, 0.0], dtype=torch.float64)
    for per in ("sample", "batch"):
        every = lossmith.DiceLoss(per=per, reduction="none")(z, y)
        mean = lossmith.DiceLoss(per=per, weight=weight)(z, y)
        torch.testing.assert_close(mean, (every * weight).sum() / weight.expand_as(every).sum())
        counted = lossmith.DiceLoss(per=per, weight=weight, normalizer="count")(z, y)
        torch.testing.assert_close(counted, (every * weight).mean())
        own = lossmith.DiceLoss(per=per, weight=weight, include_background=False)(z, y)
        torch.testing.assert_close(own, every[..., 1].mean())
        torch.testing.assert_close(lossmith.DiceLoss(per=per, reduction="sum")(z, y), every.sum())
        torch.testing.assert_close(lossmith.DiceLoss(per=per, normalizer=4.0)(z, y), every.sum() / 4)


@pytest.mark.parametrize("per", ["sample", "batch"])
@pytest.mark.parametrize("name", shipped("overlap"))
@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_pixels_are_masked_weighted_and_ignored_inside_the_sums(name: str, link: str, per: str) -> None:
    """A weight k of a pixel is k pixels, 0 is none; a NaN there stays out."""
    z = scores(2, 3, 6)
    y = classes(2, 6) if link == "softmax" else classes(2, 3, 6, count=2).double()
    times = torch.tensor([2, 0, 1, 3, 1, 0])
    loss = registry[name](link=link, per=per)
    want = loss(z.repeat_interleave(times, -1), y.repeat_interleave(times, -1))
    weight = times.double().expand(y.shape)
    torch.testing.assert_close(loss(z, y, sample_weight=weight), want)
    torch.testing.assert_close(loss(z, y, sample_weight=weight.clamp(max=1)), loss(z, y, mask=weight > 0))
    keep = (weight > 0).clone()
    spoilt = torch.where(keep.expand_as(z) if link == "sigmoid" else keep[:, None].expand_as(z), z, math.nan)
    torch.testing.assert_close(loss(spoilt, y, mask=keep), loss(z[..., times > 0], y[..., times > 0]))
    marked = torch.where(keep, y, torch.full_like(y, 255))
    ignoring = registry[name](link=link, per=per, ignore_index=255)
    torch.testing.assert_close(ignoring(spoilt, marked), loss(z, y, mask=keep))


def test_samples_are_weighted_outside_or_inside() -> None:
    """The weight of a sample weighs its values, or, of one overlap of the batch, all its pixels."""
    z, y, weight = scores(4, 3, 5), classes(4, 5), torch.tensor([1.0, 0.0, 2.5, 4.0], dtype=torch.float64)
    every = lossmith.DiceLoss(reduction="none")(z, y)
    mean = (every.mean(1) * weight).sum() / weight.sum()
    torch.testing.assert_close(lossmith.DiceLoss()(z, y, sample_weight=weight), mean)
    whole = lossmith.DiceLoss(per="batch")
    pixels = weight[:, None].expand(4, 5)
    torch.testing.assert_close(whole(z, y, sample_weight=weight), whole(z, y, sample_weight=pixels))


@pytest.mark.parametrize("name", ["dice", "generalized_dice", "lovasz", "focal_dice"])
def test_a_sample_without_pixels_does_not_count(name: str) -> None:
    z, y = scores(4, 3, 5), classes(4, 5)
    mask = torch.ones(4, 5).bool()
    mask[1] = False
    keep = torch.tensor([0, 2, 3])
    torch.testing.assert_close(registry[name]()(z, y, mask=mask), registry[name]()(z[keep], y[keep]))


@pytest.mark.parametrize("per", ["sample", "batch"])
def test_labels_that_were_not_drawn_do_not_count(per: str) -> None:
    """Partly labelled pictures: label 1 of some sample, or of all, is masked."""
    z, t = scores(4, 3, 5), classes(4, 3, 5, count=2).double()
    mask = torch.ones(4, 3, 5).bool()
    mask[:, 1] = False
    loss = lossmith.DiceLoss(link="sigmoid", per=per)
    torch.testing.assert_close(loss(z, t, mask=mask), loss(z[:, [0, 2]], t[:, [0, 2]]))


# Lovasz ------------------------------------------------------------------------------------------------------------
def jaccard_of(missed: set[int], region: set[int]) -> Fraction:
    """The set function: the Jaccard loss of a prediction that is wrong at these pixels, eq. 5 of the paper."""
    union = region | missed
    return Fraction(0) if not union else 1 - Fraction(len(region - missed), len(union))


def choquet(errors: list[Fraction], region: set[int]) -> Fraction:
    """The Lovasz extension as the integral over thresholds of the set function of the pixels above it."""
    levels = sorted({Fraction(0), *errors})
    return sum(
        ((b - a) * jaccard_of({i for i, e in enumerate(errors) if e >= b}, region) for a, b in pairwise(levels)),
        Fraction(0),
    )


REFERENCES["lovasz"] = choquet


@pytest.mark.parametrize("seed", range(20))
def test_lovasz_is_the_choquet_integral(seed: int) -> None:
    """In exact fractions, ties and empty regions included: value, and slope in each error by a difference."""
    generator = torch.Generator().manual_seed(seed)
    p = torch.randint(0, 9 if seed % 2 else 65, (5,), generator=generator).double() / 64
    t = torch.zeros(5) if seed == 0 else torch.randint(0, 2, (5,), generator=generator).float()
    region = {i for i in range(5) if t[i]}
    errors = [Fraction(x) for x in (t.double() - p).abs().tolist()]
    leaf = p.clone().requires_grad_()
    value = lossmith.LovaszLoss(link="binary_prob")(leaf[None, None], t[None, None])
    assert value.item() == pytest.approx(float(choquet(errors, region)), rel=1e-14)
    (gradient,) = torch.autograd.grad(value, leaf)
    if len(set(errors)) == 5 and 0 not in errors:
        for i in range(5):
            moved = [e + Fraction(1, 10**9) * (i == j) for j, e in enumerate(errors)]
            slope = float((choquet(moved, region) - choquet(errors, region)) * 10**9) * (-1 if t[i] else 1)
            assert gradient[i].item() == pytest.approx(slope, rel=1e-12)
    z = 4 * p - 2
    hinge = [max(Fraction(0), 1 - (1 if b else -1) * Fraction(a)) for a, b in zip(z.tolist(), t.tolist(), strict=True)]
    got = lossmith.LovaszLoss(link="sigmoid")(z[None, None], t[None, None]).item()
    assert got == pytest.approx(float(choquet(hinge, region)), rel=1e-14)


def test_lovasz_at_the_vertices_is_jaccard() -> None:
    for guess, truth in product(product((0, 1), repeat=4), repeat=2):
        missed = {i for i in range(4) if guess[i] != truth[i]}
        p, t = (torch.tensor([[x]]).double() for x in (guess, truth))
        want = jaccard_of(missed, {i for i in range(4) if truth[i]})
        assert lossmith.LovaszLoss(link="binary_prob")(p, t).item() == pytest.approx(float(want), rel=1e-15)


def test_lovasz_over_classes_is_the_mean_of_those_present() -> None:
    z, y = scores(1, 4, 6), torch.tensor([[0, 1, 1, 0, 3, 0]])
    p = z.softmax(1)[0]
    each = [
        float(
            choquet([abs(Fraction(int(k == c)) - Fraction(x)) for k, x in zip(y[0].tolist(), row, strict=True)], region)
        )
        for c, row in enumerate(p.tolist())
        for region in [{i for i in range(6) if y[0, i] == c}]
    ]
    assert each[2] == pytest.approx(p[2].max().item())  # absent: its largest probability
    assert lossmith.LovaszLoss()(z, y).item() == pytest.approx((each[0] + each[1] + each[3]) / 3, rel=1e-12)
    assert lossmith.LovaszLoss(classes="all")(z, y).item() == pytest.approx(sum(each) / 4, rel=1e-12)
    labels = torch.nn.functional.one_hot(y, 4).movedim(-1, 1).double()
    present = lossmith.LovaszLoss(link="binary_prob", classes="present")(z.softmax(1), labels).item()
    assert present == pytest.approx((each[0] + each[1] + each[3]) / 3, rel=1e-12)


def test_lovasz_steps_of_a_million_pixels_keep_their_digits() -> None:
    """As a difference of J, each step of 1e-6 would be off by up to a tenth in float32."""
    n = 1_000_000
    errors = torch.linspace(1, 0, n, requires_grad=True)
    region = (torch.arange(n) % 4 == 0).float()
    (steps,) = torch.autograd.grad(extension(errors, region, torch.ones(n)), errors)
    inside, outside = region.double().cumsum(0), (1 - region.double()).cumsum(0)
    jaccard = 1 - (n / 4 - inside) / (n / 4 + outside)
    exact_steps = torch.cat([jaccard[:1], jaccard.diff()])
    assert ((steps.double() - exact_steps).abs() <= 1e-6 * exact_steps + 1e-16).all()
    assert steps[: n // 2].min() > 1e-7


@pytest.mark.parametrize("per", ["sample", "batch"])
@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_lovasz_of_nothing_is_a_zero_with_a_zero_gradient(link: str, per: str) -> None:
    """All ignored: the authors' code returns something that is no scalar, or fails."""
    z = scores(2, 3, 4).requires_grad_()
    y = torch.full((2, 4), 255) if link == "softmax" else torch.full((2, 3, 4), 255.0)
    value = lossmith.LovaszLoss(link=link, per=per, ignore_index=255)(z, y)
    assert value.shape == ()
    assert value.item() == 0
    assert (torch.autograd.grad(value, z)[0] == 0).all()


# In blocks and plainly -----------------------------------------------------------------------------------------------
OPTIONS_OF_COUNTS: list[dict[str, Any]] = [
    {"per": "sample"},
    {"per": "batch", "include_background": False},
    {"per": "sample", "include_background": False, "weight": [0.5, 2.0, 1.0], "normalizer": "count"},
    {"per": "sample", "smooth": 0, "reduction": "none", "ignore_index": 2},
    {"per": "batch", "smooth": 0, "reduction": "sum", "ignore_index": 1},
]
GIVEN: list[tuple[str, ...]] = [(), ("mask",), ("pixels",), ("samples",), ("mask", "samples"), ("mask", "pixels")]


def spoilt(link: str, given: tuple[str, ...]) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Logits, a target, and what is given beside them; NaN where nothing is to be seen."""
    z, y = scores(4, 3, 9), classes(4, 9) if link == "softmax" else classes(4, 3, 9, count=2).double()
    more: dict[str, Tensor] = {}
    hidden = torch.zeros(y.shape, dtype=torch.bool)
    if "mask" in given:
        more["mask"] = classes(*y.shape, count=4, seed=3) > 0
        hidden |= ~more["mask"]
    if "pixels" in given:
        more["sample_weight"] = classes(*y.shape, count=3, seed=4).double() / 2
        hidden |= more["sample_weight"] == 0
    if "samples" in given:
        more["sample_weight"] = torch.tensor([1.5, 0.0, 2.0, 0.5], dtype=torch.float64)
        hidden[1] = True
    return torch.where(hidden if link == "sigmoid" else hidden[:, None], math.nan, z), y, more


@pytest.mark.parametrize("given", GIVEN, ids="-".join)
@pytest.mark.parametrize("options", OPTIONS_OF_COUNTS, ids=str)
@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
@pytest.mark.parametrize("name", ["dice", "dice(squared=True)", "tversky", "generalized_dice"])
def test_in_blocks_and_plainly(
    name: str, link: str, options: dict[str, Any], given: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    z, y, more = spoilt(link, given)
    base = lossmith.create(name)
    if base.pools_classes:
        options = {key: value for key, value in options.items() if key != "weight"}
    loss = type(base)(**{**base.options(), **options, "link": link})
    results = []
    for fits in (eager.fits, lambda *tensors: False):
        monkeypatch.setattr(eager, "fits", fits)
        leaf = z.clone().requires_grad_()
        value = loss(leaf, y, **more)
        upstream = torch.rand(value.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        results.append((value, *torch.autograd.grad(value, leaf, upstream)))
    for ours, plain in zip(*results, strict=True):
        assert ours.isfinite().all()
        torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-12)


def test_targets_and_weights_that_are_learnt_have_a_gradient() -> None:
    z, t, weight = scores(2, 3, 5), scores(2, 3, 5, seed=1).softmax(1), torch.rand(2, 5, dtype=torch.float64)
    loss = lossmith.DiceLoss()
    assert torch.autograd.gradcheck(lambda w: loss(z, classes(2, 5), sample_weight=w), weight.requires_grad_())
    z, t = z.requires_grad_(), t.requires_grad_()
    assert all(x.abs().sum() > 0 for x in torch.autograd.grad(loss(z, t), (z, t)))


def test_class_indices_of_any_width_and_logits_of_any_precision() -> None:
    z, y = scores(2, 3, 8), classes(2, 8)
    loss = lossmith.DiceLoss(ignore_index=2)
    want = loss(z, y)
    for dtype in (torch.uint8, torch.int16, torch.int32):
        assert torch.equal(loss(z, y.to(dtype)), want)
    for dtype in (torch.bfloat16, torch.float16):
        half, wide = z.to(dtype).requires_grad_(), z.to(dtype).float().requires_grad_()
        one, other = loss(half, y), loss(wide, y)
        assert one.dtype == torch.float32
        assert torch.equal(one, other)
        assert torch.equal(torch.autograd.grad(one, half)[0], torch.autograd.grad(other, wide)[0].to(dtype))


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_transforms_see_the_same_loss(link: str) -> None:
    """vmap, and a Hessian, against the kernel one by one and its second derivative."""
    z = scores(3, 2, 3, 4)
    y = classes(3, 2, 4) if link == "softmax" else classes(3, 2, 3, 4, count=2).double()
    loss = lossmith.TverskyLoss(link=link)
    each = torch.stack([loss(a, b) for a, b in zip(z, y, strict=True)])
    torch.testing.assert_close(torch.vmap(loss)(z, y), each)
    hessian = torch.func.jacrev(torch.func.jacrev(loss))(z[0], y[0])
    leaf = z[0].clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(leaf, y[0]), leaf, create_graph=True)
    rows = [torch.autograd.grad(x, leaf, retain_graph=True)[0] for x in slope.flatten()]
    torch.testing.assert_close(torch.stack(rows).view(hessian.shape), hessian)


# Sums over micro-batches ---------------------------------------------------------------------------------------------
def test_counts_merge_and_their_losses_do_not_add_up() -> None:
    z, y = scores(6, 3, 5), classes(6, 5)
    loss = lossmith.DiceLoss(per="batch")
    parts = [loss.partial(z[k], y[k]) for k in (slice(0, 1), slice(1, 4), slice(4, 6))]
    torch.testing.assert_close(loss.reduce(parts[0].merge(*parts[1:])), loss(z, y))
    assert abs(loss.reduce(parts[0]).item() - loss(z, y).item()) > 1e-3


SENTENCES: list[tuple[type[LossmithError], str, Any]] = [
    (
        ParameterError,
        "DiceLoss: num_items is for losses that add up over micro-batches, and the overlap of a whole batch does not: "
        "merge their partials",
        lambda: lossmith.DiceLoss(per="batch")(scores(2, 3, 4), classes(2, 4), num_items=4),
    ),
    (
        ParameterError,
        "LovaszLoss: num_items is for losses that add up over micro-batches, and the overlap of a whole batch does "
        'not: use per="sample"',
        lambda: lossmith.LovaszLoss(per="batch")(scores(2, 3, 4), classes(2, 4), num_items=4),
    ),
    (
        ParameterError,
        "FocalDiceLoss: num_items divides one mean, and there are two, over pixels and over regions; merge the "
        "partials of the micro-batches instead",
        lambda: lossmith.FocalDiceLoss()(scores(2, 3, 4), classes(2, 4), num_items=4),
    ),
    (
        ShapeError,
        "DiceLoss: input must be [N, C, *] with the pixels of each sample behind its classes, and has shape [8, 3]; "
        'the overlap of all samples together is per="batch"',
        lambda: lossmith.DiceLoss()(scores(8, 3), classes(8)),
    ),
    (
        ShapeError,
        "DiceLoss: input must be [N, C, *], with the samples along axis 0; it has shape [3]",
        lambda: lossmith.DiceLoss(per="batch")(scores(3), torch.tensor(1)),
    ),
    (
        ShapeError,
        "DiceLoss: without the background no class is left; input has shape [2, 1, 4]",
        lambda: lossmith.DiceLoss(link="sigmoid", include_background=False)(scores(2, 1, 4), torch.ones(2, 1, 4)),
    ),
    (
        ShapeError,
        "DiceLoss: weight must have one number per class, shape [3]; it has shape [2]",
        lambda: lossmith.DiceLoss(weight=[1.0, 2.0])(scores(2, 3, 4), classes(2, 4)),
    ),
    (
        ShapeError,
        "DiceLoss: target must be class indices of shape [2, 4] for input of shape [2, 3, 4]; it has shape [2, 1, 4]",
        lambda: lossmith.DiceLoss()(scores(2, 3, 4), classes(2, 1, 4)),
    ),
    (ParameterError, "DiceLoss: weight must be one number per class, [C]", lambda: lossmith.DiceLoss(weight=2.0)),
    (
        ParameterError,
        "GeneralizedDiceLoss: weight has no place here, the formula weighs the classes",
        lambda: lossmith.GeneralizedDiceLoss(weight=[1.0, 2.0]),
    ),
    (
        ParameterError,
        "FocalDiceLoss: weight is one number per class; labels of their own have alpha",
        lambda: lossmith.FocalDiceLoss(weight=[1.0, 2.0], link="sigmoid"),
    ),
    (
        ParameterError,
        "UnifiedFocalLoss: normalizer has no place in a weighted sum of means",
        lambda: lossmith.UnifiedFocalLoss(normalizer="count"),
    ),
    (
        ParameterError,
        'LovaszLoss: classes must be "present", "all" or None, not "some"'.replace('"some"', "'some'"),
        lambda: lossmith.LovaszLoss(classes="some"),
    ),
    (
        DomainError,
        "LovaszLoss: target must be 0 or 1 (the Jaccard loss of a set has no soft target); 1 of 12 is not, first 0.5",
        lambda: lossmith.LovaszLoss(link="sigmoid")(scores(1, 3, 4), torch.tensor([0.5] + [0.0] * 11).view(1, 3, 4)),
    ),
    (
        DomainError,
        "DiceLoss: target must be class indices in [0, 3); 1 of 4 is not, first 255",
        lambda: lossmith.DiceLoss()(scores(1, 3, 4), torch.tensor([[0, 1, 255, 2]])),
    ),
    (
        DomainError,
        "DiceLoss: input must be in [0, 1]; 1 of 6 is not, first 1.5",
        lambda: lossmith.DiceLoss(link="prob")(torch.tensor([[[1.5, 0.5, 0.5], [0.5] * 3]]), torch.tensor([[0, 1, 1]])),
    ),
    (
        DtypeError,
        "DiceLoss: target must be class indices (int64) of shape [2, 4] or class probabilities (floating) of shape "
        "[2, 3, 4]; it is float64 of shape [2, 4]",
        lambda: lossmith.DiceLoss()(scores(2, 3, 4), classes(2, 4).double()),
    ),
]


@pytest.mark.parametrize(("kind", "sentence", "mistake"), SENTENCES, ids=lambda x: x if isinstance(x, str) else "")
def test_what_a_mistake_is_told(kind: type[LossmithError], sentence: str, mistake: Any) -> None:
    with pytest.raises(kind) as raised:
        mistake()
    assert str(raised.value) == sentence


def test_probabilities_for_logits_are_noticed_once() -> None:
    p, y = scores(2, 3, 40).softmax(1), classes(2, 40)
    loss: Loss = lossmith.DiceLoss()
    with pytest.warns(UserWarning, match='DiceLoss: link="softmax" wants logits, .* say link="prob"'):
        loss(p, y)
    loss(p, y)
