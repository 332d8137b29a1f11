"""Layers, targets and losses for the tests of `loss.linear`, and the two ways to its number.

Chunks and blocks are so small in all of them that there are at least three, the last of them ragged.
"""

from contextlib import contextmanager
from itertools import product
from unittest import mock

import pytest
import torch
import torch.nn.functional as F

from lossmith.errors import DtypeError, ParameterError
from lossmith.flow.linear import FusedLinear
from lossmith.kernels import linear as kernel
from tests.laws.cases import SHIPPED, alpha_is_costs

N, H, V = 13, 3, 7
WEIGHT = [0.5, 2.0, 1.0, 0.0, 3.0, 0.25, 1.5]
SHARES = 0.25 + torch.arange(N) % 3  # as sample weights
CLOSE = {"rtol": 1e-10, "atol": 1e-12}
KINDS = ("indices", "probabilities", "pairs")
OPTIONS = {
    "plain": {},
    "weighted": {"weight": WEIGHT},
    "alpha": {"alpha": WEIGHT},
    **{s: {"label_smoothing": 0.1, "smoothing": s, "weight": WEIGHT} for s in ("uniform", "others", "torch")},
}
reductions = pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
kinds = pytest.mark.parametrize("kind", KINDS)


def made(cls, **options):
    """A loss over V classes of logits; raises `ParameterError` where there is none with these options."""
    if "counts" in cls.example:
        options["counts"] = [50.0, 5.0, 500.0, 20.0, 7.0, 1.0, 90.0]
    if "link" in cls.parameters_:
        options["link"] = "softmax"
    if alpha_is_costs(cls):
        options.setdefault("alpha", None)
    return cls(**options)


def draw(kind="indices", seed=0):
    """A target: class indices [N], probabilities [N, V], or a pair of classes [N, 3] and their shares [N, 3]."""
    generator = torch.Generator().manual_seed(seed)
    if kind == "indices":
        return torch.randint(V, (N,), generator=generator)
    if kind == "probabilities":
        return torch.rand(N, V, generator=generator, dtype=torch.float64).softmax(1)
    index = torch.rand(N, V, generator=generator).topk(3).indices
    index[0, 1] = index[0, 0]  # a class that is named twice has both shares
    return index, torch.rand(N, 3, generator=generator, dtype=torch.float64).softmax(1)


def layer(seed=0, shape=(N,), dtype=torch.float64, bias=True):
    """hidden, weight, bias"""
    generator = torch.Generator().manual_seed(seed)
    sizes = [(*shape, H), (V, H), (V,)][: 2 + bias]
    return [torch.randn(size, generator=generator, dtype=torch.float64).to(dtype) for size in sizes]


def cases():
    """Every loss that has `linear`, with every option and kind of target that it takes."""
    for (name, cls), (word, options), kind in product(SHIPPED.items(), OPTIONS.items(), KINDS):
        if not issubclass(cls, FusedLinear):
            continue
        try:
            loss = made(cls, **options)
            unfused(loss, layer(), draw(kind))
        except (ParameterError, DtypeError):
            continue
        if loss.scope == "unit":
            yield pytest.param(cls, options, kind, id=f"{name}-{word}-{kind}")


@contextmanager
def chunks():
    """Sees to it that there are at least three, the last one smaller."""
    heights = []
    with mock.patch.object(kernel.Layer, "logits", autospec=True, side_effect=kernel.Layer.logits) as logits:
        yield heights
    heights += [len(call.args[1]) for call in logits.call_args_list]
    assert len(heights) >= 3
    assert heights[-1] < heights[0]


def shrink(monkeypatch, rows=4, classes=V, size=8):
    """Chunks of at most so many rows, in blocks of 3."""
    monkeypatch.setattr(kernel, "BUDGET", {"cpu": rows * classes * size})
    monkeypatch.setattr(kernel, "BLOCK", 3 * classes)


def fused(loss, tensors, target, **call):
    hidden, weight, *bias = tensors
    return loss.linear(hidden, weight, target, *bias, **call)


def unfused(loss, tensors, target, *, softcap=None, temperature=1.0, **call):
    hidden, weight, *bias = tensors
    z = F.linear(hidden, weight, *bias)
    z = (z if softcap is None else softcap * (z / softcap).tanh()) / temperature
    if isinstance(target, tuple):  # what it says of all classes
        target = (F.one_hot(target[0], V) * target[1].unsqueeze(-1)).sum(-2)
    z, target = (x.movedim(-1, 1) if x.dim() > 2 and x.is_floating_point() else x for x in (z, target))  # [B, V, T]
    return loss(z, target, **call)


def above(value):
    """A gradient from above: numbers of either sign, 0 among them, the same in every dtype."""
    count = torch.arange(1, value.numel() + 1, dtype=value.dtype)
    return ((count * 7 % 11 - 5) / 4).reshape(value.shape)


def taken(way, loss, tensors, target, needs=(True, True, True), up=None, **call):
    """The value, and the gradients by what of hidden, weight and bias needs one."""
    xs = [x.detach().clone().requires_grad_(need) for x, need in zip(tensors, needs, strict=False)]
    value = way(loss, xs, target, **call)
    return [
        value.detach(),
        *torch.autograd.grad(value, [x for x in xs if x.requires_grad], above(value) if up is None else up),
    ]


def alike(found, wanted):
    for got, want in zip(found, wanted, strict=True):
        torch.testing.assert_close(got, want, **CLOSE)


def agree(loss, tensors, target, **call):
    with chunks():
        found = taken(fused, loss, tensors, target, **call)
    alike(found, taken(unfused, loss, tensors, target, **call))
