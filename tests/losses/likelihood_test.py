"""The likelihood family against 160-digit references, torch.nn, scikit-learn, and the disputes about it."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from torch import Tensor, nn

import lossmith
from lossmith.flow.loss import Loss, registry
from tests.losses.oracle import (
    EDGES,
    LIKELIHOOD,
    PROBABILITIES,
    Want,
    agree,
    exact,
    jittered,
    likelihood,
    mp,
    prob_loss,
    settings_of,
    shipped,
    sigmoid_loss,
    slope,
    softmax_loss,
    times,
    total,
    with_gradient,
)

ALL = settings_of(name for name in shipped("likelihood") if name in LIKELIHOOD)  # one formula, no other machinery
OWN_ALPHA = ("dsc", "symmetric_cross_entropy")  # a number of their formula; they have no class costs of that name
Parameters = dict[str, Any]
every = pytest.mark.parametrize(("name", "parameters"), ALL)
both_dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
SATURATED = (40.0, 89.0, 95.0, 100.0, 102.0, 103.5, 200.0, 1e3, 1e4)


def make(name: str, parameters: Parameters, **options: Any) -> Loss:
    """The loss without the class costs that one of them has by default; those have tests of their own."""
    off = {"alpha": None} if name == "balanced_cross_entropy" else {}
    return registry[name](**{"reduction": "none", **off, **parameters, **options})


def formula(name: str, parameters: Parameters) -> Callable[[Any], Any]:
    return likelihood(name, *parameters.items())


def columns(answers: list[tuple[Want, Want]]) -> tuple[list[Want], list[Want]]:
    return [value for value, _ in answers], [gradient for _, gradient in answers]


# Value and gradient -----------------------------------------------------------------------------------------------
def check_sigmoid(name: str, parameters: Parameters, z: Tensor, t: Tensor, eps: float = 0.0) -> None:
    """Against ``t f(p) + (1 - t) f(1 - p)``, the target moved by smoothing."""
    value, gradient = with_gradient(make(name, parameters, link="sigmoid", label_smoothing=eps), z, t)
    points = list(zip(exact(z), exact(t), strict=True))
    f, at = formula(name, parameters), [(float(a), float(b)) for a, b in points]
    values, gradients = columns([sigmoid_loss(f, a, b * (1 - mp.mpf(eps)) + mp.mpf(eps) / 2) for a, b in points])
    agree(value, values, at=at)
    agree(gradient, gradients, at=at)


@both_dtypes
@every
def test_sigmoid_at_the_edges(name: str, parameters: Parameters, dtype: torch.dtype) -> None:
    """Logits up to 10,000 on the right and on the wrong side, hard and soft targets."""
    edges = [z for z in (*EDGES, *SATURATED) if dtype == torch.float32 or abs(z) <= 200]
    z = jittered(edges, dtype)
    for t in (0.0, 1.0, 0.3):
        check_sigmoid(name, parameters, z, torch.full_like(z, t))


def rows(dtype: torch.dtype, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    """Batches (logits, targets) of 2, 3, 10 and 1000 classes: edges, offsets of 10,000, best and worst class."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    widest = 1e4 if dtype == torch.float32 else 200
    edges = jittered([z for z in (*EDGES, *SATURATED) if abs(z) <= widest], torch.float64)
    batches = []
    for classes, spread in ((2, 0.0), (3, 1.0)):
        z = spread * noise(len(edges), classes)
        z[:, 0] = edges
        batches += [(z, torch.full((len(z),), y)) for y in (0, 1)]
    scale = torch.tensor([1.0, 10.0, 60.0, widest / 4])[:, None]
    for classes in (10, 1000):
        z = scale * noise(4, classes)
        shifted = torch.cat([z[:3] + 1e4, z[:3] - 1e4]) if classes == 10 else z[:1] + 1e4
        batches += [(z, z.argmax(1)), (z, z.argmin(1)), (shifted, shifted.argmax(1)), (shifted, shifted.argmin(1))]
    return [(z.to(dtype), y) for z, y in batches]


ROWS = {dtype: rows(dtype) for dtype in (torch.float32, torch.float64)}


def check_softmax(name: str, parameters: Parameters, z: Tensor, y: Tensor, share: Any = None, **options: Any) -> None:
    """Against ``sum_k share_k f(p_k)``, with the gradient in a dozen classes, the target among them."""
    value, gradient = with_gradient(make(name, parameters, link="softmax", **options), z, y)
    f, count = formula(name, parameters), z.shape[1]
    labels = (y if y.dim() == 1 else y.argmax(1)).tolist()
    picked = [sorted({k, *range(0, count, max(1, count // 11))}) for k in labels]
    answers = [
        softmax_loss(f, tuple(row), share(k, count) if share else ((k, 1),), tuple(towards))
        for row, k, towards in zip(z.tolist(), labels, picked, strict=True)
    ]
    at = [(row[:3], k) for row, k in zip(z.tolist(), labels, strict=True)]
    agree(value, [answer for answer, _ in answers], at=at)
    chosen = torch.cat([row[towards] for row, towards in zip(gradient, picked, strict=True)])
    at = [place for place, towards in zip(at, picked, strict=True) for _ in towards]
    agree(chosen, [part for _, parts in answers for part in parts], at=at)


@both_dtypes
@every
def test_softmax_at_the_edges(name: str, parameters: Parameters, dtype: torch.dtype) -> None:
    """Hard targets, and the same targets as one-hot rows, which take another path."""
    for z, y in ROWS[dtype]:
        check_softmax(name, parameters, z, y)
        if z.shape[1] < 100:
            check_softmax(name, parameters, z, nn.functional.one_hot(y, z.shape[1]).to(dtype))


def uniform(y: int, classes: int) -> tuple[tuple[int, Any], ...]:
    eps = mp.mpf(0.1)
    return tuple((k, eps / classes + (1 - eps if k == y else 0)) for k in range(classes))


def others(y: int, classes: int) -> tuple[tuple[int, Any], ...]:
    eps = mp.mpf(0.1)
    return tuple((k, 1 - eps if k == y else eps / (classes - 1)) for k in range(classes))


@pytest.mark.parametrize(("smoothing", "share"), [("uniform", uniform), ("torch", uniform), ("others", others)])
@every
def test_smoothed_softmax_at_the_edges(name: str, parameters: Parameters, smoothing: str, share: Any) -> None:
    """The share of every class as the Szegedy paper (eps / C) and as fairseq (eps / (C - 1)) have it."""
    for z, y in ROWS[torch.float32]:
        if 2 < z.shape[1] < 100:
            check_softmax(name, parameters, z[::3], y[::3], share, label_smoothing=0.1, smoothing=smoothing)


@every
def test_smoothed_sigmoid_at_the_edges(name: str, parameters: Parameters) -> None:
    """Two labels: eps / 2 on either."""
    z = jittered((*EDGES, *SATURATED))
    for t in (0.0, 1.0):
        check_sigmoid(name, parameters, z, torch.full_like(z, t), eps=0.2)


def check_prob(name: str, parameters: Parameters, p: Tensor) -> None:
    """The probability of the label as the input, for link "binary_prob" (both labels) and "prob"."""
    f = formula(name, parameters)
    points = exact(p)
    present = [prob_loss(f, a) for a in points]
    absent = [(value, times(gradient, -1)) for value, gradient in (prob_loss(f, 1 - a) for a in points)]
    for t, answers in ((1.0, present), (0.0, absent)):
        got = with_gradient(make(name, parameters, link="binary_prob"), p, torch.full_like(p, t))
        for numbers, wants in zip(got, columns(answers), strict=True):
            agree(numbers, wants, at=points)
    value, gradient = with_gradient(
        make(name, parameters, link="prob"), torch.stack([1 - p, p], 1), torch.ones(len(p), dtype=torch.int64)
    )
    agree(value, columns(present)[0], at=points)
    agree(gradient[:, 1], columns(present)[1], at=points)
    assert not gradient[:, 0].any()


def not_a_cusp(parameters: Parameters, p: Tensor) -> Tensor:
    """A power of 1 - p below 1 has a cusp at p = 1, and the loss, as documented, a floor of 1.2e-38 there."""
    power = parameters.get("gamma", parameters.get("alpha", 1) if "smooth" in parameters else 1)
    return p[(p > 2e-38) & (p < 1)] if 0 < power < 1 else p


@both_dtypes
@every
def test_probabilities_at_the_edges(name: str, parameters: Parameters, dtype: torch.dtype) -> None:
    """From 1e-30 to the neighbours of 1, and down to 0 along the documented tangent."""
    near_one = torch.tensor(1.0, dtype=dtype).nextafter(torch.tensor(0.0, dtype=dtype)).item()
    p = torch.tensor([*PROBABILITIES, near_one, 1.0, 0.0, 1e-45, 1e-38, 3e-31], dtype=dtype)
    check_prob(name, parameters, not_a_cusp(parameters, p))


@both_dtypes
@every
def test_log_probabilities_at_the_edges(name: str, parameters: Parameters, dtype: torch.dtype) -> None:
    """Log-probabilities from -10,000 to the last before 0."""
    logp = -jittered([size for size in EDGES if size > 0 and (dtype == torch.float32 or size <= 200)], dtype).abs()
    logp = -not_a_cusp(parameters, -logp) if name in ("focal", "dsc") else logp
    f = formula(name, parameters)
    points = exact(logp)
    value, gradient = with_gradient(
        make(name, parameters, link="log_prob"),
        torch.stack([torch.full_like(logp, -1.0), logp], 1),
        torch.ones(len(logp), dtype=torch.int64),
    )
    agree(value, [total(f(mp.exp(a))) for a in points], at=points)
    agree(gradient[:, 1], [slope(lambda a: f(mp.exp(a)), a, room=-a) for a in points], at=points)


@every
def test_anywhere(name: str, parameters: Parameters) -> None:
    """Hypothesis looks where the tables do not."""
    logit = st.floats(-1e4, 1e4, width=32)

    @pytest.mark.filterwarnings("ignore:.*looks like probabilities")
    @settings(max_examples=12)
    @given(st.tuples(logit, logit, logit), st.integers(0, 2), st.floats(0, 1, width=32), st.floats(2**-99, 1, width=32))
    def trial(row: tuple[float, float, float], y: int, t: float, p: float) -> None:
        z = torch.tensor([row, (9.0, -3.0, 2.0)])  # the second row keeps the first from looking like probabilities
        check_softmax(name, parameters, z, torch.tensor([y, 0]))
        check_sigmoid(name, parameters, z[0], torch.tensor([0.0, 1.0, t]))
        check_prob(name, parameters, not_a_cusp(parameters, torch.tensor([p])))

    trial()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@every
def test_half_precision_is_computed_in_float32(name: str, parameters: Parameters, dtype: torch.dtype) -> None:
    """Finite at logits of 60,000 in float16, and the same as float32 on the rounded logits."""
    z = torch.tensor([[6e4, -6e4, 0.0], [6e4, 5.9e4, -6e4], [0.1, 0.2, 0.3], [-17.0, 3.0, 40.0]]).to(dtype)
    for y in range(3):
        for link, target in (("softmax", torch.full((4,), y)), ("sigmoid", (z > y).to(dtype))):
            loss = make(name, parameters, link=link)
            value, gradient = with_gradient(loss, z, target)
            wide, wide_gradient = with_gradient(loss, z.float(), target)
            assert value.dtype == torch.float32
            assert torch.isfinite(value).all()
            assert torch.isfinite(gradient).all()
            assert torch.equal(value, wide)
            assert torch.equal(gradient, wide_gradient.to(dtype))


# Other people's code ----------------------------------------------------------------------------------------------
def noise(*shape: int, seed: int = 0) -> Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def classes(shape: tuple[int, ...], count: int = 4, seed: int = 0) -> Tensor:
    return torch.randint(0, count, shape, generator=torch.Generator().manual_seed(seed))


def equal(ours: Loss, theirs: nn.Module, input: Tensor, target: Tensor) -> None:
    """Value and gradient, to the last digits of float64."""
    results = []
    for loss in (ours, theirs):
        leaf = input.clone().requires_grad_()
        value = loss(leaf, target)
        results.append((value.detach(), torch.autograd.grad(value.sum(), leaf)[0]))
    torch.testing.assert_close(*results, rtol=1e-11, atol=1e-14)


CLASS_WEIGHT = torch.tensor([1.0, 2.0, 0.5, 0.0], dtype=torch.float64)
reductions = pytest.mark.parametrize("reduction", ["none", "mean", "sum"])


@reductions
@pytest.mark.parametrize("shape", [(7, 4), (4,), (3, 4, 2, 5)])
@pytest.mark.parametrize("eps", [0.0, 0.1])
@pytest.mark.parametrize("ignore_index", [-100, 1])
@pytest.mark.parametrize("weight", [None, CLASS_WEIGHT])
def test_torch_cross_entropy(
    weight: Tensor | None, ignore_index: int, eps: float, shape: tuple[int, ...], reduction: str
) -> None:
    """The whole option grid of torch.nn.CrossEntropyLoss, ignored targets among the others."""
    options = {"weight": weight, "ignore_index": ignore_index, "label_smoothing": eps, "reduction": reduction}
    y = classes((shape[0], *shape[2:])) if len(shape) > 1 else torch.tensor(2)
    if ignore_index < 0 and y.dim() > 0:
        y[0] = ignore_index
    smoothing = "uniform" if weight is None else "torch"
    ours = lossmith.CrossEntropyLoss(**options, smoothing=smoothing)
    equal(ours, nn.CrossEntropyLoss(**options), noise(*shape), y)


@reductions
@pytest.mark.parametrize("eps", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, CLASS_WEIGHT])
@pytest.mark.parametrize("shape", [(7, 4), (4,), (3, 4, 5)])
def test_torch_cross_entropy_of_probabilities(
    shape: tuple[int, ...], weight: Tensor | None, eps: float, reduction: str
) -> None:
    """Soft targets; torch divides a weighted mean by their number, ours by their weight unless told otherwise."""
    options = {"weight": weight, "label_smoothing": eps, "reduction": reduction}
    target = noise(*shape, seed=1).softmax(min(1, len(shape) - 1))
    ours = lossmith.CrossEntropyLoss(**options, smoothing="torch", normalizer="count")
    equal(ours, nn.CrossEntropyLoss(**options), noise(*shape), target)


def test_a_weighted_mean_of_soft_targets_divides_by_their_weight() -> None:
    """The documented difference from torch: soft and hard targets have the same mean."""
    z, target = noise(7, 4), noise(7, 4, seed=1).softmax(1)
    total_loss = nn.CrossEntropyLoss(weight=CLASS_WEIGHT, reduction="sum")(z, target)
    ours = lossmith.CrossEntropyLoss(weight=CLASS_WEIGHT)(z, target)
    torch.testing.assert_close(ours, total_loss / (target * CLASS_WEIGHT).sum(), rtol=1e-12, atol=0)


@reductions
@pytest.mark.parametrize("pos_weight", [None, torch.tensor(3.0), torch.tensor([0.5, 1.0, 2.0, 7.0])])
@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 2)])
def test_torch_bce_with_logits(shape: tuple[int, ...], pos_weight: Tensor | None, reduction: str) -> None:
    """One factor, or one per label along axis 1 (torch wants trailing axes spelt out)."""
    theirs = pos_weight
    if pos_weight is not None and pos_weight.dim() and len(shape) == 3:
        theirs = pos_weight[:, None]
    target = noise(*shape, seed=1).sigmoid()
    equal(
        lossmith.BCEWithLogitsLoss(pos_weight=pos_weight, reduction=reduction),
        nn.BCEWithLogitsLoss(pos_weight=theirs, reduction=reduction),
        noise(*shape),
        target,
    )


@reductions
def test_torch_bce_and_nll(reduction: str) -> None:
    """The losses of probabilities and of log-probabilities."""
    target = noise(6, 4, seed=1).sigmoid()
    equal(lossmith.BCELoss(reduction=reduction), nn.BCELoss(reduction=reduction), noise(6, 4).sigmoid(), target)
    for weight, ignore_index in ((None, -100), (CLASS_WEIGHT, 1)):
        options = {"weight": weight, "ignore_index": ignore_index, "reduction": reduction}
        logp = noise(6, 4, 5).log_softmax(1)
        equal(lossmith.NLLLoss(**options), nn.NLLLoss(**options), logp, classes((6, 5)))


@pytest.mark.parametrize("weighted", [False, True])
def test_sklearn_log_loss(weighted: bool) -> None:
    """Binary and over classes, with sample weights in the denominator."""
    y, binary = classes((40,)), classes((40,), count=2)
    weight = noise(40, seed=2).abs() if weighted else None
    p = noise(40, 4).softmax(1)
    theirs = metrics.log_loss(y, p, sample_weight=weight, labels=range(4))
    assert lossmith.LogLoss(link="prob")(p, y, sample_weight=weight).item() == pytest.approx(theirs, rel=1e-12)
    theirs = metrics.log_loss(binary, p[:, 0], sample_weight=weight)
    assert lossmith.BCELoss()(p[:, 0], binary.double(), sample_weight=weight).item() == pytest.approx(theirs, rel=1e-12)


# One loss in several forms ----------------------------------------------------------------------------------------
CLOSE = {"rtol": 1e-11, "atol": 1e-14}
COSTS: list[Parameters] = [
    {},
    {"weight": CLASS_WEIGHT},
    {"alpha": CLASS_WEIGHT},
    {"weight": CLASS_WEIGHT, "alpha": [0.2, 0.3, 0.4, 0.5], "label_smoothing": 0.1},
    {"weight": CLASS_WEIGHT, "label_smoothing": 0.1, "smoothing": "others"},
    {"weight": CLASS_WEIGHT, "label_smoothing": 0.1, "smoothing": "torch"},
]


@pytest.mark.parametrize("costs", COSTS)
@every
def test_soft_one_hot_is_hard(name: str, parameters: Parameters, costs: Parameters) -> None:
    """A label may be given as an index or as a row of probabilities."""
    if name in OWN_ALPHA and "alpha" in costs:
        return
    z, y = noise(9, 4, 2), classes((9, 2))
    soft = nn.functional.one_hot(y, 4).movedim(-1, 1).double()
    for reduction in ("none", "mean", "sum"):
        loss = make(name, parameters, link="softmax", reduction=reduction, **costs)
        torch.testing.assert_close(loss(z, soft), loss(z, y), **CLOSE)


@pytest.mark.parametrize(("axis", "shape"), [(1, (5, 4, 3)), (0, (4,))])
@every
def test_a_mixture_costs_the_mixture(name: str, parameters: Parameters, axis: int, shape: tuple[int, ...]) -> None:
    """Soft targets are not put through the formula as if they were one label of that probability."""
    z, soft = noise(*shape), noise(*shape, seed=1).softmax(axis)
    loss = make(name, parameters, link="softmax")
    index = (shape[0], *shape[2:]) if axis else ()
    parts = [soft.select(axis, k) * loss(z, torch.full(index, k)) for k in range(4)]
    torch.testing.assert_close(loss(z, soft), torch.stack(parts).sum(0), **CLOSE)


TWO = torch.tensor([0.5, 3.0], dtype=torch.float64)
FIFTH, REST = torch.tensor([0.2, 0.8], dtype=torch.float64)
PAIRS: list[tuple[Parameters, Parameters]] = [
    ({}, {}),
    ({"weight": TWO}, {"weight": TWO}),
    ({"alpha": FIFTH}, {"alpha": torch.stack([REST, FIFTH])}),
    ({"pos_weight": 3.0}, {"alpha": [1.0, 3.0]}),
    ({"weight": TWO, "alpha": FIFTH, "pos_weight": 3.0}, {"weight": TWO, "alpha": torch.stack([REST, 3 * FIFTH])}),
    *(({"weight": TWO, "label_smoothing": 0.2, "smoothing": s},) * 2 for s in ("uniform", "others", "torch")),
]


@pytest.mark.parametrize(("binary", "over_classes"), PAIRS)
@every
def test_sigmoid_is_softmax_of_zero_and_z(
    name: str, parameters: Parameters, binary: Parameters, over_classes: Parameters
) -> None:
    """One output or two, the loss is the same; so is the probability itself as input."""
    if name in OWN_ALPHA and "alpha" in over_classes:
        return
    z, y = noise(20), classes((20,), count=2)
    two = torch.stack([torch.zeros_like(z), z], 1)
    soft = noise(20, seed=2).sigmoid()
    for reduction in ("none", "mean"):
        one_output = make(name, parameters, link="sigmoid", reduction=reduction, **binary)
        two_outputs = make(name, parameters, link="softmax", reduction=reduction, **over_classes)
        torch.testing.assert_close(one_output(z, y.double()), two_outputs(two, y), **CLOSE)
        rows_of_soft = torch.stack([1 - soft, soft], 1)
        torch.testing.assert_close(one_output(z, soft), two_outputs(two, rows_of_soft), **CLOSE)
        for link, other, target in (("binary_prob", z.sigmoid(), y.double()), ("prob", two.softmax(1), y)):
            options = binary if link == "binary_prob" else over_classes
            loss = make(name, parameters, link=link, reduction=reduction, **options)
            torch.testing.assert_close(loss(other, target), two_outputs(two, y), rtol=1e-9, atol=1e-13)


SAME_AS_CROSS_ENTROPY = [("focal", {"gamma": 0.0}), ("poly", {"epsilon": 0.0}), ("log", {}), ("bce_with_logits", {})]


@pytest.mark.parametrize(("name", "parameters"), SAME_AS_CROSS_ENTROPY)
def test_limits_and_aliases_are_cross_entropy(name: str, parameters: Parameters) -> None:
    """D2, D3, D5: focal with gamma 0 is cross-entropy, not a sum of sigmoids, and is not divided by C."""
    z, y = noise(9, 4, 2), classes((9, 2))
    y[0] = -100
    for options in ({}, {"weight": CLASS_WEIGHT}, {"label_smoothing": 0.1}):
        ours = make(name, parameters, link="softmax", reduction="mean", **options)
        torch.testing.assert_close(ours(z, y), nn.CrossEntropyLoss(**options)(z, y), **CLOSE)


def test_gce_runs_from_cross_entropy_to_absolute_error() -> None:
    """q -> 0 is cross-entropy (eq. 6's limit), q = 1 is 1 - p: half of the L1 distance to the one-hot row."""
    z, y = noise(9, 4), classes((9,))
    near = lossmith.GeneralizedCrossEntropyLoss(q=1e-9)(z, y)
    torch.testing.assert_close(near, nn.CrossEntropyLoss()(z, y), rtol=1e-7, atol=0)
    distance = (z.softmax(1) - nn.functional.one_hot(y, 4)).abs().sum(1) / 2
    torch.testing.assert_close(lossmith.GeneralizedCrossEntropyLoss(q=1.0, reduction="none")(z, y), distance, **CLOSE)


# The disputes of popular implementations --------------------------------------------------------------------------
def test_d1_focal_focuses_on_each_example() -> None:
    """From a batch-mean cross-entropy the gradient would be a multiple of cross-entropy's, and nothing in focus."""
    z, y = torch.tensor([[4.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
    focal = with_gradient(lossmith.FocalLoss(gamma=2.0), z, y)[1][:, 0]
    entropy = with_gradient(lossmith.CrossEntropyLoss(), z, y)[1][:, 0]
    easy, difficult = (focal / entropy).tolist()
    # d/dz (1 - p)^2 log p over (1 - p) is (1 - p)^2 - 2 p (1 - p) log p
    p = [1 / (1 + math.exp(-4)), 1 / (1 + math.exp(1))]
    expected = [(1 - a) ** 2 - 2 * a * (1 - a) * math.log(a) for a in p]
    assert [easy, difficult] == pytest.approx(expected, rel=1e-5)
    assert difficult > 400 * easy


@pytest.mark.parametrize("weight", [10.0, 0.25])
def test_d1b_class_weights_stay_out_of_the_probability(weight: float) -> None:
    """p from a weighted cross-entropy is p^w: at p = .9 the focus would be .424 or .0007 instead of .01."""
    z = torch.tensor([[math.log(9), 0.0]])
    loss = lossmith.FocalLoss(gamma=2.0, weight=[weight, 1.0], reduction="none")
    assert loss(z, torch.tensor([0])).item() == pytest.approx(weight * 0.01 * -math.log(0.9), rel=1e-5)


WRONG_BY = [40.0, 89.0, 200.0, 1e4]
UNBOUNDED = [(name, parameters) for name, parameters in ALL if name not in ("generalized_cross_entropy", *OWN_ALPHA)]


@pytest.mark.parametrize("wrong_by", WRONG_BY)
@pytest.mark.parametrize(("name", "parameters"), UNBOUNDED)
def test_d4_d8_a_confident_mistake_keeps_its_gradient(name: str, parameters: Parameters, wrong_by: float) -> None:
    """Clipped probabilities give 0 there, and the class-balanced modulator overflows at 89."""
    z = torch.tensor([-wrong_by])
    value, gradient = with_gradient(make(name, parameters, link="sigmoid"), z, torch.ones(1))
    assert gradient.item() == pytest.approx(-1, rel=1e-5)
    assert value.item() == pytest.approx(wrong_by + parameters.get("epsilon", 0), rel=1e-5)
    row = torch.tensor([[0.0, wrong_by]])
    gradient = with_gradient(make(name, parameters, link="softmax"), row, torch.tensor([0]))[1]
    assert gradient.tolist() == [pytest.approx([-1, 1], rel=1e-5)]


@pytest.mark.parametrize("count", [2, 3, 5])
@every
def test_d5_an_ignore_index_that_nothing_has_changes_nothing(name: str, parameters: Parameters, count: int) -> None:
    """One library multiplies the loss by C when ignore_index is set; a mean over classes divides it by C."""
    z, y = noise(6, count), classes((6,), count=count)
    plain = make(name, parameters, link="softmax")(z, y)
    for ignore_index in (-100, 255, None):
        loss = make(name, parameters, link="softmax", ignore_index=ignore_index, reduction="mean")
        torch.testing.assert_close(loss(z, y), plain.mean(), **CLOSE)


@pytest.mark.parametrize("gamma", [0.05, 0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_d6_focal_of_a_saturated_correct_example_has_a_gradient(gamma: float, dtype: torch.dtype) -> None:
    """(1 - p)^(gamma - 1) is infinite at p = 1, and overflows before it; probabilities of exactly 1 too."""
    z = torch.linspace(0, 800, 1601, dtype=dtype)
    _, gradient = with_gradient(lossmith.FocalLoss(gamma=gamma, link="sigmoid", reduction="sum"), z, torch.ones_like(z))
    assert torch.isfinite(gradient).all()
    assert (gradient <= 0).all()
    assert (gradient[z > 120].abs() < 1e-37).all()
    one = torch.ones(1, dtype=dtype)
    _, gradient = with_gradient(lossmith.FocalLoss(gamma=gamma, link="binary_prob"), one, one)
    assert -0.02 <= gradient.item() <= 0


def test_d7_alpha_weighs_positives_and_the_rest_negatives() -> None:
    """alpha = .25 is on the positives (eq. 5), 1 - alpha on negatives; the mean divides by the examples."""
    z, t = torch.zeros(4), torch.tensor([1.0, 0.0, 0.0, 0.0])
    loss = lossmith.FocalLoss(gamma=2.0, alpha=0.25, link="sigmoid")
    unit = 0.25 * math.log(2)
    assert loss(z, t).item() == pytest.approx(unit * (0.25 + 3 * 0.75) / 4, rel=1e-6)
    per_label = lossmith.FocalLoss(gamma=2.0, alpha=[0.25, 0.9], link="sigmoid", reduction="none")
    expected = torch.tensor([[0.25, 0.9], [0.75, 0.1]]) * unit
    torch.testing.assert_close(per_label(torch.zeros(2, 2), torch.tensor([[1.0, 1.0], [0.0, 0.0]])), expected)
    over_classes = lossmith.FocalLoss(gamma=2.0, alpha=[0.1, 0.2, 0.7])
    z, y = torch.zeros(2, 3), torch.tensor([0, 2])
    assert over_classes(z, y).item() == pytest.approx((4 / 9) * math.log(3) * (0.1 + 0.7) / 2, rel=1e-6)


def test_balanced_cross_entropy_has_alpha_on_the_positives() -> None:
    """Its default .75 is a cost, soft targets mix it."""
    loss = lossmith.BalancedCrossEntropyLoss(reduction="none")
    value = loss(torch.zeros(3), torch.tensor([1.0, 0.0, 0.5])) / math.log(2)
    assert value.tolist() == pytest.approx([0.75, 0.25, 0.5])


def test_d8_class_balanced_divides_by_what_you_say() -> None:
    """The paper's code divides by N (normalizer="count"), torch by the sum of the weights."""
    weight = lossmith.effective_number([5000, 20], beta=0.9999).double()
    z, y = noise(6, 2), torch.tensor([0, 0, 0, 1, 1, 0])
    each = weight[y] * nn.CrossEntropyLoss(reduction="none")(z, y)
    for normalizer, divisor in (("count", 6), ("weight", weight[y].sum()), ("positives", 2)):
        loss = lossmith.CrossEntropyLoss(weight=weight, normalizer=normalizer)
        torch.testing.assert_close(loss(z, y), each.sum() / divisor, **CLOSE)


def test_d9_smoothing_by_name() -> None:
    """eps / C against eps / (C - 1), by hand: -log p is L at the target and L + 2 at the two others."""
    z, y, level = torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([0]), math.log(math.exp(2) + 2) - 2
    for smoothing, share in (("uniform", 0.1 * 2 / 3), ("others", 0.1), ("torch", 0.1 * 2 / 3)):
        loss = lossmith.CrossEntropyLoss(label_smoothing=0.1, smoothing=smoothing)
        assert loss(z, y).item() == pytest.approx(level + 2 * share, rel=1e-6)
    binary = lossmith.BCEWithLogitsLoss(label_smoothing=0.1, smoothing="others")
    assert binary(torch.tensor([2.0]), torch.ones(1)).item() == pytest.approx(math.log1p(math.exp(-2)) + 0.2, rel=1e-6)


@pytest.mark.parametrize(
    ("smoothing", "best"), [("uniform", 0.95), ("others", 0.9), ("torch", 0.95 / (0.95 + 0.05 * 100))]
)
def test_d9_weighted_smoothing_has_its_minimum_at_the_smoothed_target(smoothing: str, best: float) -> None:
    """pytorch#104776: with weights [1, 100] and eps .1 torch's loss wants p = .16 where .95 was asked for."""
    z = torch.tensor([[math.log(best), math.log(1 - best)]], dtype=torch.float64)
    loss = lossmith.CrossEntropyLoss(weight=[1.0, 100.0], label_smoothing=0.1, smoothing=smoothing)
    _, gradient = with_gradient(loss, z - 1, torch.tensor([0]))
    assert gradient.abs().max() < 1e-7
    _, beside = with_gradient(loss, z + torch.tensor([[0.1, 0.0]]), torch.tensor([0]))
    assert beside[0, 0] > 1e-3


@pytest.mark.parametrize("smoothing", ["uniform", "others", "torch"])
@every
def test_d9_smoothing_ignores_what_is_ignored(name: str, parameters: Parameters, smoothing: str) -> None:
    """An ignored token pays no smoothing and counts nowhere, whatever its logits hold."""
    z, y = noise(8, 4), classes((8,))
    options = {"link": "softmax", "label_smoothing": 0.1, "smoothing": smoothing, "reduction": "mean"}
    loss = make(name, parameters, weight=CLASS_WEIGHT, **options)
    ignored, hidden = z.clone(), y.clone()
    ignored[::2], hidden[::2] = math.nan, -100
    torch.testing.assert_close(loss(ignored, hidden), loss(z[1::2], y[1::2]), **CLOSE)


def test_a_class_that_is_ruled_out_takes_no_part() -> None:
    """A logit of -inf masks a class: what is left is the softmax over the others."""
    z = torch.tensor([[1.0, -math.inf, 0.5], [2.0, 1.0, -math.inf]])
    value, gradient = with_gradient(lossmith.CrossEntropyLoss(reduction="none"), z, torch.tensor([0, 1]))
    assert value.tolist() == pytest.approx([math.log1p(math.exp(-0.5)), math.log1p(math.exp(1.0))])
    assert gradient[0, 1] == gradient[1, 2] == 0
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("q", [1e-3, 1e-6, 1e-8])
@pytest.mark.parametrize("logp", [-0.1, -0.6, -5.0, -80.0])
def test_gce_of_a_small_q_is_cross_entropy(q: float, logp: float) -> None:
    """(1 - p^q) / q = -log p (1 + q log p / 2 + ...), whichever branch computes it."""
    got = lossmith.GeneralizedCrossEntropyLoss(q=q).formula(torch.tensor(logp), torch)
    assert got.item() == pytest.approx(-math.expm1(q * logp) / q, rel=1e-5)


def test_classes_in_a_narrow_type_are_not_taken_for_ignored() -> None:
    """156 is -100 in eight bits."""
    loss = lossmith.CrossEntropyLoss(reduction="none")(torch.zeros(1, 200), torch.tensor([156], dtype=torch.uint8))
    assert loss.item() == pytest.approx(math.log(200))


def test_an_untrained_head_is_not_taken_for_probabilities() -> None:
    lossmith.BCEWithLogitsLoss()(torch.zeros(64), torch.zeros(64))


def test_probabilities_where_logits_belong_are_warned_of_once() -> None:
    """Softmax applied twice is the commonest mistake; the input is never reinterpreted."""
    loss, p = lossmith.CrossEntropyLoss(), noise(4, 3).softmax(1)
    with pytest.warns(UserWarning, match=r'^CrossEntropyLoss: .* looks like probabilities; .* say link="prob"$'):
        first = loss(p, torch.tensor([0, 1, 2, 0]))
    assert torch.equal(first, loss(p, torch.tensor([0, 1, 2, 0])))
    torch.testing.assert_close(first, nn.CrossEntropyLoss()(p, torch.tensor([0, 1, 2, 0])))


EXTREME = [0.0, -0.0, 30.0, -30.0, 100.0, -100.0, 1.5, -2.0]
BINARY = {
    "focal": lambda **k: lossmith.FocalLoss(link="sigmoid", alpha=0.25, **k),
    "bce": lambda **k: lossmith.BCEWithLogitsLoss(weight=[0.5, 2.0], **k),
    "asymmetric": lossmith.AsymmetricLoss,
    "dsc": lambda **k: lossmith.DSCLoss(link="sigmoid", **k),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own, while it imports inductor
@pytest.mark.parametrize(
    ("name", "kind"),
    [("focal", torch.float32), ("dsc", torch.uint8), ("asymmetric", torch.int64)],
)
def test_compiled_labels_keep_their_digits_in_both_tails(name: str, kind: torch.dtype) -> None:
    """By the real compiler, which takes expm1 for exp - 1, of both labels at each logit; one is ignored."""
    z = torch.tensor(EXTREME * 2, requires_grad=True)
    target = torch.arange(2).repeat_interleave(len(EXTREME)).to(kind)
    if kind in (torch.float32, torch.int64):
        target[3] = -100
    exact, compiled = BINARY[name](reduction="none"), BINARY[name](reduction="none")
    compiled.compile(fullgraph=True)
    double = z.detach().double().requires_grad_()
    got, wanted = compiled(z, target), exact(double, target)
    torch.testing.assert_close(got, wanted.float(), rtol=2e-5, atol=1e-30)
    slopes = torch.autograd.grad(got.sum(), z)[0], torch.autograd.grad(wanted.sum(), double)[0]
    torch.testing.assert_close(slopes[0], slopes[1].float(), rtol=2e-5, atol=1e-12)


@pytest.mark.parametrize("name", BINARY)
def test_compiled_infinite_logits_cost_what_they_cost(name: str) -> None:
    """Nothing on the right side, whatever the formula says of certainty on the wrong one."""
    z, target = torch.tensor([math.inf, -math.inf, math.inf, -math.inf]), torch.tensor([1.0, 0.0, 0.0, 1.0])
    exact, compiled = BINARY[name](reduction="none"), BINARY[name](reduction="none")
    compiled.compile(fullgraph=True, backend="aot_eager")
    z.requires_grad_()
    got = compiled(z, target)
    torch.testing.assert_close(got, exact(z, target))
    assert torch.isfinite(torch.autograd.grad(got[:2].sum(), z)[0][:2]).all()  # what it costs nothing to be sure of


def test_compiled_labels_under_vmap() -> None:
    loss, z, target = BINARY["focal"](), noise(3, 4), torch.tensor([1.0, 0.0, 1.0, 0.0])
    each = torch.vmap(torch.func.grad(lambda z: loss(z, target)))
    got = torch.compile(each, fullgraph=True, backend="aot_eager")(z)
    torch.testing.assert_close(got, each(z))


@pytest.mark.parametrize(
    ("t", "asked"),
    [([0.0, 1.0, -100.0], 1), ([0.0, 0.999999, -100.0], 2), ([1e-20, 1.0, -100.0], 2), ([0.0, 0.5, 1.0], 2)],
)
def test_hard_labels_ask_the_formula_once_whatever_is_hidden(t: list[float], asked: int) -> None:
    loss, calls, formula = lossmith.FocalLoss(link="sigmoid", reduction="sum"), [], lossmith.FocalLoss.formula

    def counted(logp: Tensor, xp: Any) -> Tensor:
        calls.append(len(logp))
        return formula(loss, logp, xp)

    vars(loss)["formula"] = counted
    z, target = noise(3), torch.tensor(t)
    value = loss(z, target)
    assert len(calls) == asked
    shown = [(x, y) for x, y in zip(z.tolist(), t, strict=True) if y >= 0]
    wanted = sum(y * focal(x) + (1 - y) * focal(-x) for x, y in shown)
    torch.testing.assert_close(float(value), wanted, rtol=1e-5, atol=0)


def focal(z: float) -> float:
    p = 1 / (1 + math.exp(-z))
    return -((1 - p) ** 2) * math.log(p)


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.uint64])
def test_labels_of_unsigned_types(dtype: torch.dtype) -> None:
    z, t = noise(3), torch.tensor([0, 1, 1])
    torch.testing.assert_close(lossmith.BCEWithLogitsLoss()(z, t.to(dtype)), lossmith.BCEWithLogitsLoss()(z, t))
