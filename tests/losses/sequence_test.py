"""CTC against the forward recursion in mpmath, an enumeration of all alignments, and torch's own."""

import itertools
import math
from collections.abc import Callable, Sequence
from math import log
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lossmith
from lossmith import functional
from lossmith.errors import DomainError, DtypeError, LossmithError, ParameterError, ShapeError
from tests.losses.oracle import agree, mp, total


def forward_recursion(logp: Sequence[Sequence[Any]], labels: Sequence[int], blank: int = 0) -> Any:
    """-log p by Graves' alpha, eq. 5 to 8, on log-probabilities [T][C], without logarithms: mpmath has the range."""
    spread = [blank, *itertools.chain.from_iterable((label, blank) for label in labels)]
    alpha = [mp.mpf(1)] + [mp.mpf(0)] * (len(spread) - 1)
    for t, row in enumerate(logp):
        step = []
        for s, label in enumerate(spread):
            from_before = alpha[s] + (alpha[s - 1] if s else 0)
            if s > 1 and label not in (blank, spread[s - 2]):
                from_before += alpha[s - 2]
            if t == 0:
                from_before = mp.mpf(s < 2)
            step.append(from_before * mp.exp(row[label]))
        alpha = step
    p = mp.fsum(alpha[-2:])
    return -mp.log(p) if p else mp.inf


def all_alignments(logp: Sequence[Sequence[Any]], labels: Sequence[int], blank: int = 0) -> Any:
    """-log p by writing out every path and collapsing it: repeats first, then blanks (section 3.1)."""
    p = mp.mpf(0)
    for path in itertools.product(range(len(logp[0])), repeat=len(logp)):
        if [k for k, _ in itertools.groupby(path) if k != blank] == list(labels):
            p += mp.exp(mp.fsum(row[k] for row, k in zip(logp, path, strict=True)))
    return -mp.log(p) if p else mp.inf


def log_softmax(rows: Tensor) -> list[list[Any]]:
    exact = [[mp.mpf(z) for z in row] for row in rows.tolist()]
    return [[z - mp.log(mp.fsum(map(mp.exp, row))) for z in row] for row in exact]


REFERENCES: dict[str, Callable[..., Any]] = {"ctc": forward_recursion}
FLAT = [[[0.0, 0.0, 0.0]] * 3]  # one sample, three frames, three classes: 27 paths of one probability
HALF = [[[log(0.5), log(0.25), log(0.25)]] * 2]
EVEN = {"batch_first": True}
ANCHORS: dict[str, list[tuple[dict[str, Any], Any, Any, float]]] = {
    "ctc": [
        (EVEN, FLAT, [[1]], log(27 / 6)),  # 111 11- -11 1-- -1- --1
        (EVEN, FLAT, [[1, 2]], log(27 / 5)),  # 112 122 12- 1-2 -12
        (EVEN, FLAT, [[1, 1]], log(27)),  # 1-1
        ({**EVEN, "per_label": True}, FLAT, [[1, 1]], log(27) / 2),
        ({**EVEN, "blank": 2}, FLAT, [[0, 1]], log(27 / 5)),
        (EVEN, HALF, [[1]], log(1 / (1 / 16 + 1 / 8 + 1 / 8))),  # 11 1- -1
        ({**EVEN, "link": "log_prob"}, HALF, [[1, 2]], log(16)),
        ({**EVEN, "infeasible": "zero"}, HALF, [[1, 1]], 0.0),
        ({**EVEN, "infeasible": "inf"}, HALF, [[1, 1]], math.inf),
        ({}, [[[0.0, 0.0]], [[0.0, 0.0]]], [[1]], log(4 / 3)),  # frames first: 11 1- -1
    ]
}


def scores(*shape: int, scale: float = 2.0, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return (scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)).to(dtype)


def ctc(**options: Any) -> lossmith.CTCLoss:
    return lossmith.CTCLoss(**{"batch_first": True, "reduction": "none", **options})


# Values and gradients ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("blank", [0, 2])
def test_every_alignment_counts_once(blank: int) -> None:
    """The two references agree, and so do we: all targets of up to 3 labels over 4 frames, repeats included."""
    z, symbols = scores(4, 3), [k for k in range(3) if k != blank]
    for size in range(4):
        for labels in itertools.product(symbols, repeat=size):
            logp = log_softmax(z)
            want = forward_recursion(logp, labels, blank)
            if not mp.isinf(want):  # 1 1 1 needs 5 frames
                assert mp.almosteq(want, all_alignments(logp, labels, blank), 1e-100)
            target = torch.tensor([labels], dtype=torch.int64).view(1, size)
            agree(ctc(blank=blank, infeasible="inf")(z.unsqueeze(0), target), [total(want)])


@pytest.mark.parametrize("link", ["softmax", "log_prob"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.1, 3.0, 40.0, 700.0])
def test_value_and_gradient(scale: float, dtype: torch.dtype, link: str) -> None:
    """Up to log-probabilities of -2000 and below (CT03); slopes by difference quotients of the reference."""
    z, labels = scores(5, 4, scale=scale, dtype=dtype), [1, 1, 3]
    x = (z.log_softmax(1) if link == "log_prob" else z).requires_grad_()

    def cost(rows: Sequence[Sequence[Any]]) -> Any:
        if link == "log_prob":
            return forward_recursion(rows, labels)
        return forward_recursion([[v - mp.log(mp.fsum(map(mp.exp, r))) for v in r] for r in rows], labels)

    value = ctc(link=link)(x.unsqueeze(0), torch.tensor([labels]))
    rows = [[mp.mpf(v) for v in row] for row in x.tolist()]
    agree(value, [total(cost(rows))], rtol=1e-5 if dtype == torch.float32 else 1e-11)
    (grad,) = torch.autograd.grad(value.sum(), x)
    want = torch.zeros(5, 4, dtype=torch.float64)
    step = mp.mpf("1e-60")
    for t, k in itertools.product(range(5), range(4)):
        moved = [[v + step * ((a, b) == (t, k)) for b, v in enumerate(row)] for a, row in enumerate(rows)]
        want[t, k] = float((cost(moved) - cost(rows)) / step)
    # torch adds exponents of the size of the loss, and their rounding is relative to it
    room = value.item() * torch.finfo(dtype).eps * 20 + torch.finfo(dtype).eps * 20
    torch.testing.assert_close(grad.double(), want, rtol=1e-4, atol=room)


def test_the_gradient_of_log_probabilities_is_true() -> None:
    """torch's assumes a log-softmax around; finite differences do not."""
    x, target = scores(3, 6, 4).log_softmax(2), torch.tensor([[1, 2], [2, 2], [3, 0]])
    lengths = {"input_lengths": [6, 5, 4], "target_lengths": [2, 2, 1]}
    for policy in ("raise", "zero"):
        loss = ctc(link="log_prob", infeasible=policy)
        assert torch.autograd.gradcheck(lambda x, loss=loss: loss(x, target, **lengths), x.requires_grad_())
    z = scores(3, 6, 4).requires_grad_()
    through = ctc(link="log_prob")(z.log_softmax(2), target, **lengths)
    directly = ctc()(z, target, **lengths)
    torch.testing.assert_close(through, directly)
    for a, b in zip(*(torch.autograd.grad(v.sum(), z) for v in (through, directly)), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    z, target = scores(2, 6, 4, dtype=dtype), torch.tensor([[1, 2], [3, 3]])
    assert torch.equal(ctc()(z, target), ctc()(z.float(), target))


@pytest.mark.parametrize("size", [40.0, 200.0, 1e4])
def test_sure_and_wrong(size: float) -> None:
    """Every frame is sure of a blank: the loss says by how much, and pulls the label up somewhere."""
    z = torch.zeros(1, 3, 2)
    z[..., 0] = size
    z.requires_grad_()
    value = ctc()(z, torch.tensor([[1]]))
    assert value.item() == pytest.approx(size - log(3), rel=1e-6)
    (grad,) = torch.autograd.grad(value.sum(), z)
    torch.testing.assert_close(grad, torch.tensor([1.0, -1.0]).expand(1, 3, 2) / 3, rtol=2e-3, atol=0)


# torch ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("form", ["padded", "in a row"])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_torch(reduction: str, form: str) -> None:
    """torch.nn.CTCLoss of the log-softmax, frames first, uneven lengths; its mean is our `per_label`."""
    z, frames, labels = scores(9, 4, 5).requires_grad_(), torch.tensor([9, 7, 9, 5]), torch.tensor([4, 2, 1, 3])
    padded = torch.tensor([[1, 1, 3, 2], [4, 4, -1, -1], [2, 0, 0, 99], [1, 2, 1, 0]])
    target = padded if form == "padded" else torch.cat([row[:k] for row, k in zip(padded, labels, strict=True)])
    loss = lossmith.CTCLoss(reduction=reduction, per_label=reduction == "mean")  # type: ignore[arg-type]
    ours = loss(z, target, input_lengths=frames, target_lengths=labels)
    safe = padded.clamp(0, 4)
    theirs = nn.CTCLoss(reduction=reduction)(z.log_softmax(2), safe, frames, labels)
    torch.testing.assert_close(ours, theirs)
    (a,), (b,) = torch.autograd.grad(ours.sum(), z), torch.autograd.grad(theirs.sum(), z)
    torch.testing.assert_close(a, b)
    first = lossmith.CTCLoss(reduction=reduction, per_label=reduction == "mean", batch_first=True)  # type: ignore[arg-type]
    swapped = first(z.transpose(0, 1), target, input_lengths=frames.tolist(), target_lengths=labels.tolist())
    torch.testing.assert_close(swapped, ours)


def test_the_two_means() -> None:
    """Of the docstring: losses a and b with 1 and 2 labels: (a + b) / 2, and torch's (a / 1 + b / 2) / 2."""
    z, target, labels = torch.zeros(2, 3, 3), torch.tensor([[1, 0], [1, 2]]), [1, 2]
    a, b = log(27 / 6), log(27 / 5)
    ours = ctc(reduction="mean")(z, target, target_lengths=labels)
    torchs = ctc(reduction="mean", per_label=True)(z, target, target_lengths=labels)
    assert ours.item() == pytest.approx((a + b) / 2)
    assert torchs.item() == pytest.approx((a + b / 2) / 2)
    none = ctc(per_label=True)(z, target, target_lengths=[1, 0])  # no label: torch divides by 1
    assert none.tolist() == pytest.approx([a, log(27)])


@pytest.mark.parametrize("word", lossmith.CTCLoss.lacks)
def test_what_torchs_operator_lacks_it_still_lacks(word: str) -> None:
    """When one of these fails, torch has learnt it: take the word out of `lacks`, and the laws will hold us to it."""
    z, target = scores(2, 6, 4).requires_grad_(), torch.tensor([[1, 2], [3, 3]])
    if word == "double_backward":
        (grad,) = torch.autograd.grad(ctc()(z, target).sum(), z, create_graph=True)
        with pytest.raises(RuntimeError, match="not implemented"):
            torch.autograd.grad(grad.sum(), z)
    elif word == "compile":
        with pytest.raises(Exception, match="ctc"):
            torch.compile(ctc(), fullgraph=True, backend="eager")(z, target)
    else:
        with pytest.raises((UserWarning, RuntimeError)):
            torch.vmap(lambda z, t: ctc()(z.unsqueeze(0), t.unsqueeze(0)))(z.detach(), target)


# Targets with too few frames --------------------------------------------------------------------------------------
SHORT = torch.tensor([[1, 1, 1], [1, 2, 1], [1, 1, 2]])  # need 5, 3 and 4 frames


def test_too_few_frames_cost_nothing_on_request() -> None:
    """CT01: 0 and a gradient of 0, not the softmax; the others are as they are alone."""
    for link in ("softmax", "log_prob"):
        z = scores(3, 4, 3).log_softmax(2).requires_grad_()
        value = ctc(infeasible="zero", link=link)(z, SHORT)
        (grad,) = torch.autograd.grad(value.sum(), z)
        assert value[0] == 0
        assert (grad[0] == 0).all()
        alone = ctc(link=link)(z[1:], SHORT[1:])
        torch.testing.assert_close(value[1:], alone)
        torch.testing.assert_close(grad, torch.autograd.grad(alone.sum(), z)[0])
    mean = ctc(infeasible="zero", reduction="mean")(z, SHORT)  # it counts, as in torch
    torch.testing.assert_close(mean, value.sum() / 3)


def test_too_few_frames_cost_infinity_on_request() -> None:
    z = scores(3, 4, 3).requires_grad_()
    value = ctc(infeasible="inf")(z, SHORT)
    assert value.isinf().tolist() == [True, False, False]
    (grad,) = torch.autograd.grad(value[1:].sum(), z)
    assert grad.isfinite().all()
    (grad,) = torch.autograd.grad(ctc(infeasible="inf")(z, SHORT).sum(), z)
    assert (grad[0] == 0).all()


def test_too_few_frames_are_an_error_otherwise() -> None:
    z = scores(3, 4, 3)
    with pytest.raises(DomainError) as found:
        ctc()(z, SHORT, input_lengths=[4, 2, 4])
    assert str(found.value) == (
        "CTCLoss: sample 0 has 4 frames, and its 3 labels with 2 repeats need 5; 2 of 3 samples are like that "
        '(mask them, or say infeasible="zero" or "inf")'
    )
    assert ctc()(z, SHORT, mask=torch.tensor([False, True, True]))[0] == 0
    assert ctc()(z, SHORT, target_lengths=[2, 3, 3]).isfinite().all()  # 1 1 needs 3
    assert ctc()(z, SHORT, sample_weight=torch.tensor([0.0, 1.0, 1.0])).isfinite().all()
    padded = torch.tensor([[2, 1, 9], [2, 1, 1]])  # what padding repeats needs no frame
    assert ctc()(z[:2, :2], padded, target_lengths=[2, 2]).isfinite().all()
    weighed = ctc(infeasible="inf")(z, SHORT, sample_weight=torch.tensor([0.0, 1.0, 1.0]))
    assert weighed.isfinite().all()
    lossmith.set_checks("never")
    try:
        assert ctc()(z, SHORT)[0] == math.inf
    finally:
        lossmith.set_checks("auto")


def test_impossible_labels() -> None:
    """A label that is ruled out, -inf, is infinitely wrong, or 0 where that was asked for, without NaN."""
    z = scores(2, 4, 3)
    z[0, :, 2] = -math.inf
    target = torch.tensor([[1, 2], [1, 2]])
    for link in ("softmax", "log_prob"):
        x = (z.log_softmax(2) if link == "log_prob" else z).clone().requires_grad_()
        infinite = ctc(link=link)(x, target)
        assert infinite.isinf().tolist() == [True, False]
        assert torch.autograd.grad(infinite.sum(), x)[0].isfinite().all()
        value = ctc(link=link, infeasible="zero")(x, target)
        (grad,) = torch.autograd.grad(value.sum(), x)
        assert value[0] == 0
        assert (grad[0] == 0).all()
        assert grad.isfinite().all()
        other = ctc(link=link)(x, torch.tensor([[1, 1], [1, 1]]))  # never meets the label
        assert torch.autograd.grad(other.sum(), x)[0].isfinite().all()
    sure = torch.tensor([[[-math.inf, 0.0]]], requires_grad=True)  # p = 1: no loss, and a slope all the same
    for policy in ("raise", "zero"):
        value = ctc(link="log_prob", infeasible=policy)(sure, torch.tensor([[1]]))
        assert value.item() == 0
        assert torch.autograd.grad(value.sum(), sure)[0].tolist() == [[[0.0, -1.0]]]


# Lengths ----------------------------------------------------------------------------------------------------------
def test_beyond_the_lengths_nothing_matters() -> None:
    """NaN frames and wild labels behind the ends change neither value nor gradient."""
    z, target = scores(3, 6, 4), torch.tensor([[1, 2, 3], [2, 2, 1], [3, 1, 1]])
    frames, labels = torch.tensor([6, 4, 2]), torch.tensor([3, 2, 0])
    spoilt, wild = z.clone(), target.clone()
    for k in range(3):
        spoilt[k, frames[k] :], wild[k, labels[k] :] = math.nan, -100
    for link in ("softmax", "log_prob"):
        leaves = [(x.log_softmax(2) if link == "log_prob" else x).requires_grad_() for x in (z.clone(), spoilt.clone())]
        pairs = zip(leaves, (target, wild), strict=True)
        values = [ctc(link=link)(x, t, input_lengths=frames, target_lengths=labels) for x, t in pairs]
        torch.testing.assert_close(*values)
        one, two = (torch.autograd.grad(v.sum(), x)[0] for v, x in zip(values, leaves, strict=True))
        torch.testing.assert_close(one, two)
        assert (two[1, 4:] == 0).all()
        for k in range(3):  # and each is as it is alone
            alone = ctc(link=link)(leaves[0][k : k + 1, : frames[k]], target[k : k + 1, : labels[k]])
            torch.testing.assert_close(values[0][k : k + 1], alone)


def test_lengths_go_with_partials_and_functions() -> None:
    z, target = scores(3, 6, 4), torch.tensor([[1, 2, 3], [2, 2, 1], [3, 1, 1]])
    lengths = {"input_lengths": torch.tensor([6, 5, 4]), "target_lengths": torch.tensor([3, 2, 1])}
    loss = ctc(reduction="mean")
    want = loss(z, target, **lengths)
    parts = [loss.partial(z[s], target[s], **{k: v[s] for k, v in lengths.items()}) for s in (slice(1), slice(1, 3))]
    torch.testing.assert_close(loss.reduce(parts[0].merge(parts[1])), want)
    torch.testing.assert_close(loss((z, *lengths.values()), target), want)  # type: ignore[arg-type]
    torch.testing.assert_close(functional.ctc_loss(z, target, batch_first=True, **lengths), want)
    spoilt = z.clone()
    spoilt[1] = math.nan
    masked = loss(spoilt, target, **lengths, mask=torch.tensor([True, False, True]))
    torch.testing.assert_close(masked, ctc()(z, target, **lengths)[[0, 2]].mean())


def test_nothing_to_say() -> None:
    """No labels: all blanks. No samples: 0."""
    z = scores(2, 3, 4).requires_grad_()
    blanks = -z.log_softmax(2)[..., 0].sum(1)
    torch.testing.assert_close(ctc()(z, torch.zeros(2, 0, dtype=torch.int64)), blanks)
    none = ctc(reduction="mean")(z[:0], torch.zeros(0, 5, dtype=torch.int64), target_lengths=[], input_lengths=[])
    assert none.item() == 0
    assert (torch.autograd.grad(none, z)[0] == 0).all()
    row = torch.zeros(0, dtype=torch.int64)
    torch.testing.assert_close(ctc()(z, row, target_lengths=[0, 0]), blanks)


# Sentences --------------------------------------------------------------------------------------------------------
Z, Y = torch.zeros(2, 4, 3), torch.tensor([[1, 2], [2, 1]])
SENTENCES: list[tuple[Callable[[], Any], type[LossmithError], str]] = [
    (
        lambda: ctc()(Z, Y, input_lengths=[4, 5]),
        DomainError,
        "CTCLoss: input_lengths must be in [0, 4]; 1 of 2 is not, first 5",
    ),
    (
        lambda: ctc()(Z, Y, input_lengths=torch.tensor([4, -1])),
        DomainError,
        "CTCLoss: input_lengths must be in [0, 4]; 1 of 2 is not, first -1",
    ),
    (
        lambda: ctc()(Z, Y, target_lengths=[2, 3]),
        DomainError,
        "CTCLoss: target_lengths must be in [0, 2]; 1 of 2 is not, first 3",
    ),
    (
        lambda: ctc()(Z, Y, target_lengths=[2]),
        ShapeError,
        "CTCLoss: target_lengths must be one per sample, shape [2]; they have shape [1]",
    ),
    (
        lambda: ctc()(Z, Y, input_lengths=torch.tensor([4.0, 4.0])),
        DtypeError,
        "CTCLoss: input_lengths must be integers, one per sample; they are torch.float32",
    ),
    (
        lambda: ctc()(Z, torch.tensor([[1, 0], [2, 1]])),
        DomainError,
        "CTCLoss: target must be labels in [0, 3) other than the blank, 0; 1 of 4 is not, first 0",
    ),
    (
        lambda: ctc(blank=2)(Z, torch.tensor([[1, 3], [-1, 2]])),
        DomainError,
        "CTCLoss: target must be labels in [0, 3) other than the blank, 2; 3 of 4 are not, first 3",
    ),
    (
        lambda: ctc()(Z, torch.tensor([1, 2, 2])),
        ShapeError,
        "CTCLoss: target must be labels of shape [2, S], or of shape [sum of target_lengths] with target_lengths; it "
        "has shape [3]",
    ),
    (
        lambda: ctc()(Z, torch.tensor([1, 2, 2]), target_lengths=[2, 2]),
        ShapeError,
        "CTCLoss: target_lengths must add up to the 3 labels; they add up to 4",
    ),
    (
        lambda: ctc()(Z, Y.float()),
        DtypeError,
        "CTCLoss: target must be class indices (int64); it is torch.float32",
    ),
    (
        lambda: ctc()(Z[0], Y[0]),
        ShapeError,
        "CTCLoss: input must be scores of shape [N, T, C]; it has shape [4, 3]",
    ),
    (
        lambda: lossmith.CTCLoss()(Z[..., :1], Y),
        ShapeError,
        "CTCLoss: input needs at least 1 frame and 2 classes, the blank and a label; as [T, N, C] it has 2 and 1",
    ),
    (
        lambda: ctc(blank=3)(Z, Y),
        ParameterError,
        "CTCLoss: blank must be below the number of classes, 3: 3",
    ),
    (
        lambda: ctc(blank=-1),
        ParameterError,
        "CTCLoss: blank must be an integer of at least 0, not -1",
    ),
    (
        lambda: ctc(ignore_index=-100),
        ParameterError,
        "CTCLoss: ignore_index has no use here: give target_lengths or a mask",
    ),
    (
        lambda: ctc(link="log_prob")(Z + 1, Y),
        DomainError,
        "CTCLoss: input must be at most 0.001; 24 of 24 are not, first 1",
    ),
]


@pytest.mark.parametrize(("mistake", "kind", "sentence"), SENTENCES, ids=lambda x: "")
def test_mistakes_are_answered(mistake: Callable[[], Any], kind: type[LossmithError], sentence: str) -> None:
    with pytest.raises(kind) as found:
        mistake()
    assert str(found.value) == sentence
