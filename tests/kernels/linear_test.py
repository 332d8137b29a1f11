"""`loss.linear(hidden, weight, target, bias)` is `loss(F.linear(hidden, weight, bias), target)`, in fewer products."""

from contextlib import nullcontext
from itertools import product
from math import inf, nan
from unittest import mock

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lossmith import CrossEntropyLoss, FocalLoss, LogitAdjustedLoss, PolyLoss, ZLoss
from lossmith import SoftCrossEntropyLoss as SoftLoss
from tests.kernels.linear_cases import (
    KINDS,
    SHARES,
    WEIGHT,
    H,
    N,
    V,
    agree,
    alike,
    cases,
    chunks,
    draw,
    fused,
    kinds,
    layer,
    made,
    reductions,
    shrink,
    taken,
    unfused,
)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    shrink(monkeypatch)


# The same number --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("cls", "options", "kind"), list(cases()))
def test_every_loss(cls, options, kind):
    for seed, reduction in enumerate(("none", "mean", "sum")):
        agree(made(cls, reduction=reduction, **options), layer(seed, bias=seed < 2), draw(kind, seed))


HIDING = {  # of rows
    "mask": lambda rows, target: ({"mask": ~rows}, target),
    "ignore_index": lambda rows, target: ({}, torch.where(rows, -100, target)),
    "weight": lambda rows, target: ({"sample_weight": SHARES * ~rows}, target),
}
TAKES = [pair for pair in product(KINDS, HIDING) if pair[1] != "ignore_index" or pair[0] == "indices"]


@reductions
@pytest.mark.parametrize(("kind", "way"), TAKES)
@pytest.mark.parametrize("cls", [FocalLoss, CrossEntropyLoss, ZLoss, SoftLoss, LogitAdjustedLoss])
def test_hidden_rows_never_enter(cls, kind, way, reduction):
    """Behind a mask, an ignored target or a weight of 0 anything may stand, illegal targets too."""
    kind = "pairs" if cls is SoftLoss and kind == "indices" else kind
    options = {"weight": WEIGHT, "label_smoothing": 0.1} if cls in (FocalLoss, CrossEntropyLoss) else {}
    loss, tensors, rows = made(cls, reduction=reduction, **options), layer(), torch.zeros(N).bool()
    rows[[1, 6, 8]] = True
    call, target = HIDING[way if cls is not SoftLoss else "mask"](rows, draw(kind))
    want = taken(unfused, loss, tensors, target, **call)
    tensors[0][rows] = torch.tensor([[nan], [inf], [-inf]], dtype=torch.float64)
    if kind == "indices":
        target[rows & (target >= 0)] = 99
    else:
        (target[1] if kind == "pairs" else target)[rows] = nan
    with chunks() as heights:
        found = taken(fused, loss, tensors, target, **call)
    assert heights[:3] == [4, 4, 2]
    alike(found, want)
    assert not found[1][rows].any()


@reductions
@kinds
@pytest.mark.parametrize("given", ["nothing", "each", "sample"])
def test_a_sequence_of_hidden_states(given, kind, reduction):
    """[B, T, H], not contiguous, with masks and weights of [B, T] or of [B]."""
    tensors, target = layer(2, (7, 3)), draw(kind, 1)
    parts = tuple(torch.cat([x, x])[:21].unflatten(0, (3, 7)) for x in (target if kind == "pairs" else [target]))
    tensors[0], tensors[1] = tensors[0].transpose(0, 1), tensors[1].t().contiguous().t()
    places = torch.arange(21).reshape(3, 7) if given == "each" else torch.arange(3)
    call = {} if given == "nothing" else {"mask": places % 5 != 1, "sample_weight": 0.25 + places % 3}
    loss = PolyLoss(reduction=reduction, weight=WEIGHT, label_smoothing=0.1)
    agree(loss, tensors, parts if kind == "pairs" else parts[0], **call)


@reductions
@kinds
def test_one_row(kind, reduction):
    tensors, target = layer(3, ()), draw(kind)
    target = tuple(x[0] for x in target) if kind == "pairs" else target[0]
    loss = FocalLoss(reduction=reduction, label_smoothing=0.1)
    alike(*(taken(way, loss, tensors, target) for way in (fused, unfused)))


@pytest.mark.parametrize("items", [None, 5.5, torch.tensor(3), 0])
@kinds
@pytest.mark.parametrize("normalizer", ["weight", "count", "positives", 3.5])
def test_what_a_mean_divides_by(normalizer, kind, items):
    loss = FocalLoss(weight=WEIGHT, alpha=WEIGHT[::-1], normalizer=normalizer)
    agree(loss, layer(), draw(kind), sample_weight=SHARES, mask=torch.arange(N) % 6 != 4, num_items=items)


def test_weights_keep_the_digits_of_float64():
    agree(FocalLoss(), layer(), draw(), sample_weight=0.1 + torch.rand(N, dtype=torch.float64))


SUMS = {
    "z-loss": lambda r: CrossEntropyLoss(**r) + 0.0001 * ZLoss(**r),
    "weights": lambda r: 0.7 * FocalLoss(weight=WEIGHT, **r) - 0.2 * PolyLoss(alpha=WEIGHT, **r),
    "rows": lambda r: CrossEntropyLoss(ignore_index=2, weight=WEIGHT, **r) + ZLoss(ignore_index=None, **r),
    "two sorts of rows": lambda r: 3 * CrossEntropyLoss(ignore_index=2, **r) + FocalLoss(ignore_index=4, **r),
    "divisors": lambda r: CrossEntropyLoss(normalizer=4.0, **r) - 0.5 * ZLoss(normalizer="count", **r),
    "a mean and a sum": lambda r: FocalLoss(**r) + PolyLoss(reduction=r["reduction"].replace("mean", "sum")),
}


@reductions
@kinds
@pytest.mark.parametrize("name", SUMS)
def test_sums_of_losses(name, kind, reduction):
    loss = SUMS[name]({"reduction": reduction})
    agree(loss, layer(), draw(kind), sample_weight=SHARES)
    agree(loss, layer(1), draw(kind, 1), mask=torch.arange(N) % 5 != 4)


@reductions
@pytest.mark.parametrize("bend", [{"softcap": 1.5}, {"temperature": 0.4}, {"softcap": 2.0, "temperature": 3}])
def test_softcap_and_temperature(bend, reduction):
    agree(FocalLoss(reduction=reduction), layer(), draw(), **bend)
    agree(ZLoss(reduction=reduction), layer(1), draw("probabilities"), **bend)


# What it costs ----------------------------------------------------------------------------------------------------
class Products(TorchDispatchMode):
    """Counts the multiplications of matrix products, and looks for memory as large as all logits."""

    def __init__(self):
        super().__init__()
        self.count = self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in ("mm", "addmm", "addmm_"):
            self.count += args[-2].numel() * args[-1].shape[1]
        found = func(*args, **(kwargs or {}))
        seen = [x for x in (found if isinstance(found, tuple | list) else [found]) if torch.is_tensor(x)]
        self.largest = max(self.largest, *(x.untyped_storage().nbytes() for x in seen), 0)
        return found


@pytest.mark.parametrize("needs", list(product([True, False], repeat=3)))
@reductions
def test_what_is_frozen_costs_nothing(reduction, needs):
    """A product for the logits, one more in the backward of single rows, one each for hidden and weight."""
    loss, xs = CrossEntropyLoss(reduction=reduction), [x.requires_grad_(n) for x, n in zip(layer(), needs, strict=True)]
    if any(needs):
        agree(loss, layer(), draw(), needs=needs)
    with Products() as products:
        value = fused(loss, xs, draw())
        assert value.requires_grad == any(needs)
        if any(needs):
            value.sum().backward()
    assert products.count == N * H * V * (1 + (reduction == "none" and any(needs)) + needs[0] + needs[1])
    assert products.largest < N * V * 8
    assert [x.grad is not None for x in xs] == list(needs)


@pytest.mark.parametrize("without", [torch.no_grad, torch.inference_mode, nullcontext])
@reductions
def test_a_value_alone_costs_one_product(reduction, without):
    loss, xs = FocalLoss(reduction=reduction), [x.requires_grad_(without is not nullcontext) for x in layer()]
    grad = mock.patch.object(torch.autograd, "grad", side_effect=AssertionError("nobody asked for a gradient"))
    with Products() as products, without(), grad:
        value = fused(loss, xs, draw())
    alike([value], [fused(loss, layer(), draw())])
    assert not value.requires_grad
    assert products.count == N * H * V


def test_hidden_rows_cost_nothing():
    with Products() as products:
        fused(FocalLoss(), [x.requires_grad_() for x in layer()], draw(), mask=torch.arange(N) % 2 == 0).backward()
    assert products.count == 3 * 7 * H * V
