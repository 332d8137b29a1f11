"""The divergence family against 160-digit references, scipy and torch."""

import math
from collections.abc import Callable
from math import log
from typing import Any

import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr
from torch import Tensor, nn
from torch.nn import functional as F

import lossmith
from lossmith.errors import DomainError, DtypeError, LossmithError, ParameterError, ShapeError
from lossmith.flow.loss import registry
from tests.losses.oracle import agree, exact, gradient, mp, shipped, total, with_gradient

NAMES = shipped("divergence")
INF = math.inf
ROWS = [[0.5, 0.5, 0.0], [0.25, 0.25, 0.5], [1.0, 0.0, 0.0], [0.125, 0.625, 0.25]]

ANCHORS = {
    "kl_div": [
        ({"link": "prob"}, [[0.25, 0.75]], [[0.5, 0.5]], log(4 / 3) / 2),
        ({}, [[log(0.25), log(0.75)], [log(0.5), log(0.5)]], [[0.0, 1.0], [1.0, 0.0]], (log(4 / 3) + log(2)) / 2),
        ({"link": "softmax"}, [[0.0, 0.0, 0.0]], [[0.5, 0.5, 0.0]], log(3) - log(2)),
        (
            {"link": "softmax", "target_link": "softmax", "temperature": 2.0},
            [[0.0, 0.0]],
            [[0.0, log(9.0)]],
            log(27 / 16),
        ),
    ],
    "js_div": [
        ({}, [[1.0, 0.0, 0.0]], [[0.0, 0.5, 0.5]], log(2)),
        ({}, [[0.5, 0.5]], [[1.0, 0.0]], 0.75 * log(4 / 3)),
        ({"link": "softmax"}, [[0.0, log(3.0)]], [[0.25, 0.75]], 0.0),
    ],
    "soft_cross_entropy": [
        ({}, [[0.0, 0.0]], [[0.3, 0.7]], log(2)),
        ({}, [[0.0, log(3.0)]], [[0.25, 0.75]], log(4) - 0.75 * log(3)),
        ({"temperature": 2.0}, [[0.0, log(9.0)]], [[1.0, 0.0]], 4 * log(4)),
    ],
}


def kullback_leibler(p: list[Any], q: list[Any]) -> Any:
    """Kullback and Leibler 1951, eq. 2.4: sum q log(q / p); 0 log 0 = 0."""
    return mp.fsum(b * (mp.log(b) - mp.log(a)) for a, b in zip(p, q, strict=True) if b)


def jensen_shannon(p: list[Any], q: list[Any]) -> Any:
    """Lin 1991, eq. 4.1: H((p + q) / 2) - H(p) / 2 - H(q) / 2."""

    def entropy(w: list[Any]) -> Any:
        return -mp.fsum(a * mp.log(a) for a in w if a)

    return entropy([(a + b) / 2 for a, b in zip(p, q, strict=True)]) - (entropy(p) + entropy(q)) / 2


def cross_entropy(p: list[Any], q: list[Any]) -> Any:
    return -mp.fsum(b * mp.log(a) for a, b in zip(p, q, strict=True) if b)


REFERENCES: dict[str, Callable[..., Any]] = {
    "kl_div": kullback_leibler,
    "js_div": jensen_shannon,
    "soft_cross_entropy": cross_entropy,
}


def softmax(z: list[Any], temperature: float = 1) -> list[Any]:
    powers = [mp.exp(v / mp.mpf(temperature)) for v in z]
    return [v / mp.fsum(powers) for v in powers]


# References -------------------------------------------------------------------------------------------------------
LOGITS = [
    [0.0, 0.0, 0.0],
    [1e-3, -1e-8, 0.0],
    [5.0, -3.0, 1.0],
    [17.0, 0.5, -17.0],
    [89.0, -40.0, 3.0],
    [200.0, -200.0, 199.0],
    [1e4, -1e4, 9999.0],
    [-1e4, 1e4, 0.0],
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("q", ROWS)
@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient_at_the_edges(name: str, q: list[float], dtype: torch.dtype) -> None:
    """Logits up to 1e4 on either side, against targets with and without exact zeros."""
    f = REFERENCES[name]
    loss = registry[name](link="softmax", reduction="none")
    z, t = torch.tensor(LOGITS, dtype=dtype), torch.tensor([q] * len(LOGITS), dtype=dtype)
    value, slopes = with_gradient(loss, z, t)
    exactly = [mp.mpf(v) for v in q]
    for row, v, g in zip(z, value, slopes, strict=True):
        answer = f(softmax(exact(row)), exactly)
        size = abs(answer) + 1 + max(abs(a) for a in exact(row)) * (name != "js_div")  # of the terms: log p is z - lse
        agree(v, [(answer, answer, size)])
        answers = gradient(lambda x: f(softmax(x), exactly), row)
        agree(g, [(a, a, mp.mpf(1)) for a in answers])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("name", NAMES)
def test_links_and_temperature(name: str, temperature: float) -> None:
    """The same two distributions in every link of input and target give the reference's number."""
    generator = torch.Generator().manual_seed(1)
    z, t = (4 * torch.randn(6, 5, generator=generator, dtype=torch.float64) for _ in "zt")
    forms = {"softmax": lambda x: x, "log_prob": lambda x: x.log_softmax(1), "prob": lambda x: x.softmax(1)}
    rows = zip(z, t, strict=True)
    want = [REFERENCES[name](*(softmax(exact(x), temperature) for x in row)) for row in rows]
    for link, change in forms.items():
        for target_link, other in forms.items():
            loss = registry[name](link=link, target_link=target_link, temperature=temperature, reduction="none")
            got = loss(change(z), other(t))
            agree(got, [total(w, mp.mpf(temperature) ** 2) for w in want], rtol=mp.mpf("1e-10"))


def test_hot_distillation_matches_the_logits() -> None:
    """Hinton et al., eq. 4: far above the logits the gradient is (z - v) / C, both centred; T^2 keeps it so."""
    z, v = torch.tensor([[1.0, 3.0, -4.0]]).double(), torch.tensor([[2.0, -2.0, 0.0]]).double()
    loss = lossmith.SoftCrossEntropyLoss(target_link="softmax", temperature=1e5)
    _, slopes = with_gradient(loss, z, v)
    torch.testing.assert_close(slopes, (z - v) / 3, rtol=1e-3, atol=0)


# Other people's code ----------------------------------------------------------------------------------------------
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    p, q = (torch.randn(7, 4, generator=generator, dtype=torch.float64).mul(2).softmax(1) for _ in "pq")
    q[:3, 1] = 0
    return p, q / q.sum(1, keepdim=True)


def test_scipy() -> None:
    p, q = batch()
    kl = lossmith.KLDivLoss(link="prob", reduction="none")(p, q)
    torch.testing.assert_close(kl, torch.from_numpy(rel_entr(q.numpy(), p.numpy())).sum(1))
    js = lossmith.JSDivLoss(reduction="none")(p, q)
    torch.testing.assert_close(js, torch.from_numpy(jensenshannon(p.numpy(), q.numpy(), axis=1) ** 2))
    torch.testing.assert_close(js, lossmith.JSDivLoss(reduction="none")(q, p))


def test_torch() -> None:
    """Its "mean" divides by the number of classes too (D19), its class probabilities are a soft target."""
    p, q = batch()
    logp = p.log()
    ours = lossmith.KLDivLoss()(logp, q)
    torch.testing.assert_close(ours, nn.KLDivLoss(reduction="batchmean")(logp, q))
    with pytest.warns(UserWarning, match="batchmean"):
        torch.testing.assert_close(ours, 4 * nn.KLDivLoss()(logp, q))
    torch.testing.assert_close(lossmith.KLDivLoss(reduction="sum")(logp, q), nn.KLDivLoss(reduction="sum")(logp, q))
    mixed = torch.tensor([[0.2, 0.3, 0.5]]).double()
    given = mixed.log().roll(1, 1), mixed.log()
    theirs = nn.KLDivLoss(reduction="batchmean", log_target=True)(*given)
    torch.testing.assert_close(lossmith.KLDivLoss(target_link="log_prob")(*given), theirs)
    torch.testing.assert_close(lossmith.SoftCrossEntropyLoss()(logp, q), nn.CrossEntropyLoss()(logp, q))


def test_pictures_have_their_classes_along_axis_1() -> None:
    p, q = batch()
    picture = [x[:6].reshape(2, 3, 4).movedim(-1, 1) for x in (p, q)]
    value = lossmith.JSDivLoss(reduction="none")(*picture)
    assert value.shape == (2, 3)
    torch.testing.assert_close(value.flatten(), lossmith.JSDivLoss(reduction="none")(p[:6], q[:6]))
    one = lossmith.JSDivLoss(reduction="none")(p[0], q[0])
    torch.testing.assert_close(one, value[0, 0])


# Edges ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("link", ["log_prob", "prob"])
def test_what_the_target_rules_out_costs_nothing(link: str) -> None:
    """q = 0 contributes 0 whatever p is, 0 included, and leaves every gradient finite."""
    p, q = torch.tensor([[0.0, 0.5, 0.5]]), torch.tensor([[0.0, 0.25, 0.75]])
    for target, target_link in ((q, "prob"), (q.log(), "log_prob"), (q.log() + 3, "softmax")):
        given = (p.log() if link == "log_prob" else p).requires_grad_(), target.clone().requires_grad_()
        loss = lossmith.KLDivLoss(link=link, target_link=target_link)
        value = loss(*given)
        assert value.item() == pytest.approx(0.75 * log(3) - log(2))
        for slopes in torch.autograd.grad(value, given):
            assert slopes.isfinite().all()
            assert slopes[0, 0] == 0
    assert lossmith.SoftCrossEntropyLoss(link="log_prob")(p.log(), q).item() == pytest.approx(log(2))


def test_what_the_model_rules_out_wrongly_costs_infinity() -> None:
    """Of log-probabilities -inf the divergence is infinite and says so; a given 0 costs as much as 1e-30 and one."""
    q = torch.tensor([[0.5, 0.5]])
    assert lossmith.KLDivLoss()(torch.tensor([[-INF, 0.0]]), q).item() == INF
    value, slopes = with_gradient(lossmith.KLDivLoss(link="prob"), torch.tensor([[0.0, 1.0]]), q)
    assert value.item() == pytest.approx(-log(2) + 0.5 * (30 * log(10) + 1))
    assert slopes.isfinite().all()
    assert slopes[0, 0] < -1e29


def test_disjoint_distributions() -> None:
    """JS is log 2, and pulls probability to where the target has it."""
    p, q = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.25, 0.75]])
    value, slopes = with_gradient(lossmith.JSDivLoss(), p, q)
    assert value.item() == pytest.approx(log(2), rel=1e-6)
    assert slopes.isfinite().all()
    assert slopes[0, 0] > 0 > slopes[0, 1:].max()
    assert lossmith.JSDivLoss(link="log_prob")(p.log(), q).item() == pytest.approx(log(2), rel=1e-6)
    value, slopes = with_gradient(lossmith.JSDivLoss(link="softmax"), torch.tensor([[1e4, 0.0, 0.0]]), q)
    assert value.item() == pytest.approx(log(2), rel=1e-6)
    assert slopes.isfinite().all()


@pytest.mark.parametrize("gap", [1e-3, 3e-5, 7e-7, -6e-6])
def test_js_of_near_distributions_does_not_cancel(gap: float) -> None:
    """log(1 + e^x) - log 2 would lose half of the digits of each term."""
    logp = torch.tensor([-0.5, -1.1], dtype=torch.float64)
    logq = torch.tensor([-0.5 + gap, -1.1 - gap], dtype=torch.float64)
    got = registry["js_div"]().formula(logp, logq, torch)
    for g, a, b in zip(got, exact(logp), exact(logq), strict=True):
        middle = mp.log((mp.exp(a) + mp.exp(b)) / 2)
        terms = mp.exp(a) * (a - middle) / 2, mp.exp(b) * (b - middle) / 2
        agree(g, [(mp.fsum(terms), mp.fsum(terms), mp.fsum(terms, absolute=True))], rtol=mp.mpf("1e-12"))


def test_a_teacher_may_mask_its_vocabulary() -> None:
    """-inf among logits, of teacher and student alike."""
    z, t = torch.tensor([[1.0, -INF, 2.0]]), torch.tensor([[0.0, -INF, 0.0]])
    loss = lossmith.KLDivLoss(link="softmax", target_link="softmax", temperature=2.0)
    value, slopes = with_gradient(loss, z, t)
    want = lossmith.KLDivLoss(link="softmax", target_link="softmax", temperature=2.0)(z[:, [0, 2]], t[:, [0, 2]])
    torch.testing.assert_close(value, want)
    assert slopes.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_the_least_value_is_at_the_target(name: str) -> None:
    q = torch.tensor([[0.2, 0.3, 0.5]], dtype=torch.float64)
    least, slopes = with_gradient(registry[name](link="softmax"), q.log(), q)
    torch.testing.assert_close(slopes, torch.zeros_like(slopes), atol=1e-15, rtol=0)
    for k in range(3):
        assert registry[name](link="softmax")(q.log() + 0.1 * F.one_hot(torch.tensor([k]), 3), q) > least
    assert least.item() == pytest.approx(cross_entropy([0.2, 0.3, 0.5], [0.2, 0.3, 0.5]) if "soft" in name else 0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("classes", [3, 983])
def test_half_precision_log_probabilities_are_not_refused(classes: int, dtype: torch.dtype) -> None:
    """In bfloat16 log 983 is 6.875 or 6.906, so that 983 probabilities sum to 1.016; the check lets that pass."""
    logp = torch.full((4, classes), -log(classes))
    given = logp.to(dtype), logp.exp().to(dtype)
    value = lossmith.KLDivLoss()(*given)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, lossmith.KLDivLoss()(given[0].float(), given[1].float()))


# Sentences --------------------------------------------------------------------------------------------------------
P, Q = torch.tensor([[0.25, 0.75]]), torch.tensor([[0.5, 0.5]])
SENTENCES: list[tuple[Callable[[], Any], type[LossmithError], str]] = [
    (
        lambda: lossmith.KLDivLoss()(P.log(), torch.tensor([1])),
        DtypeError,
        "KLDivLoss: target must be a distribution over the classes, floating point and of the input's shape [1, 2]; it "
        "is int64 (of class indices make rows by torch.nn.functional.one_hot, or use CrossEntropyLoss)",
    ),
    (
        lambda: lossmith.JSDivLoss()(P, Q.flatten()),
        ShapeError,
        "JSDivLoss: input and target must have the same shape; input has [1, 2] and target [2]",
    ),
    (
        lambda: lossmith.KLDivLoss()(P, Q),
        DomainError,
        "KLDivLoss: input must be log-probabilities of the classes, whose exp sums to 1; 1 of 1 is not, the first has "
        "greatest value 0.75 and its exp sums to 3.401",
    ),
    (
        lambda: lossmith.JSDivLoss()(torch.tensor([[2.0, -1.0]]), Q),
        DomainError,
        "JSDivLoss: input must be class probabilities, at least 0 and of sum 1; 1 of 1 is not, the first has least "
        "value -1 and sum 1",
    ),
    (
        lambda: lossmith.KLDivLoss()(P.log(), torch.tensor([[0.0, 0.0]])),
        DomainError,
        "KLDivLoss: target must be class probabilities, at least 0 and of sum 1; 1 of 1 is not, the first has least "
        "value 0 and sum 0",
    ),
    (
        lambda: lossmith.KLDivLoss(target_link="log_prob")(P.log(), torch.tensor([[-INF, -INF]])),
        DomainError,
        "KLDivLoss: target must be log-probabilities of the classes, whose exp sums to 1; 1 of 1 is not, the first has "
        "greatest value -inf and its exp sums to 0",
    ),
    (
        lambda: lossmith.SoftCrossEntropyLoss(target_link="softmax")(P.log(), torch.tensor([[-INF, -INF]])),
        DomainError,
        "SoftCrossEntropyLoss: target must be logits, the greatest of each row finite; 1 of 1 is not, the greatest of "
        "the first is -inf",
    ),
    (
        lambda: lossmith.KLDivLoss(ignore_index=-100),
        ParameterError,
        "KLDivLoss: ignore_index has no meaning where targets are distributions; use mask=",
    ),
    (
        lambda: lossmith.KLDivLoss(temperature=0),
        ParameterError,
        "KLDivLoss: temperature must be a number, greater than 0, not 0",
    ),
]


@pytest.mark.parametrize(("call", "kind", "sentence"), SENTENCES)
def test_sentence(call: Callable[[], Any], kind: type[LossmithError], sentence: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == sentence


def test_logits_that_look_like_probabilities_are_remarked_on_once() -> None:
    loss = lossmith.SoftCrossEntropyLoss()
    with pytest.warns(UserWarning, match=r'SoftCrossEntropyLoss: link="softmax" wants logits.*say link="prob"'):
        loss(P, Q)
    loss(P, Q)


def test_a_masked_row_may_be_anything() -> None:
    """Also where rows are checked to be distributions, of input and target."""
    p, q = torch.tensor([[0.25, 0.75], [9.0, -9.0]]), torch.tensor([[0.5, 0.5], [0.0, math.nan]])
    keep = torch.tensor([True, False])
    assert lossmith.JSDivLoss()(p, q, mask=keep) == lossmith.JSDivLoss()(p[:1], q[:1])
