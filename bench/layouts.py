"""Layouts: how a library's loss is handed the data of a kind of `lossmith.audit`; they add nothing but that.

Where a loss wants probabilities and the kind has logits, the softmax or sigmoid in front is the model's last layer,
and the layout's name says so.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lossmith.audit import Subject

Layout = Callable[..., Any]


def one_hot(input: Tensor, target: Tensor) -> Tensor:
    """Class indices as one-hot rows, the classes along axis 1."""
    return F.one_hot(target, input.shape[1]).movedim(-1, 1).to(input.dtype)


def last(x: Tensor) -> Tensor:
    """Channels last."""
    return x.movedim(1, -1)


def column(x: Tensor) -> Tensor:
    """[N] as [N, 1]: kornia and MONAI want a class axis, and Keras averages over the last axis first."""
    return x.unsqueeze(1) if x.dim() == 1 else x


class _Jax(torch.autograd.Function):
    """A JAX function of torch tensors, with its own gradient."""

    @staticmethod
    def forward(ctx: Any, function: Any, options: dict[str, Any], *tensors: Tensor) -> Tensor:
        import jax

        arrays = [jax.dlpack.from_dlpack(x.detach().contiguous()) for x in tensors]
        ctx.real = [k for k, x in enumerate(tensors) if x.is_floating_point()]

        def of(*given: Any) -> Any:
            filled = dict(zip(ctx.real, given, strict=True))
            return function(*(filled.get(k, x) for k, x in enumerate(arrays)), **options)

        value, ctx.pull = jax.vjp(of, *(arrays[k] for k in ctx.real))
        ctx.count = len(tensors)
        return torch.from_dlpack(value).clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        import jax

        slopes = ctx.pull(jax.dlpack.from_dlpack(gradient.contiguous()))
        filled: list[Tensor | None] = [None] * ctx.count
        for k, slope in zip(ctx.real, slopes, strict=True):
            filled[k] = torch.from_dlpack(slope).clone()
        return (None, None, *filled)


def jax(loss: Any, *tensors: Tensor, **options: Any) -> Any:
    """An optax function, called with torch tensors."""
    return _Jax.apply(loss, options, *tensors)


LAYOUTS: dict[str, Layout] = {
    "column": lambda loss, x, y: loss(column(x), column(y)),
    "channel": lambda loss, x, y: loss(x, y.unsqueeze(1)),
    "no channel": lambda loss, x, y: loss(x, y.squeeze(1)),
    "one-hot": lambda loss, x, y: loss(x, one_hot(x, y)),
    "vectors": lambda loss, x, y, target=None: loss(x, y),
    "two views": lambda loss, x, y: loss(*x.chunk(2)),
    "indices": lambda loss, x, y: loss(x, y.argmax(1)),
    "sigmoid": lambda loss, x, y: loss(x.sigmoid(), y),
    "softmax channel": lambda loss, x, y: loss(x.softmax(1), y.unsqueeze(1)),
    "distance": lambda loss, a, b, y: loss((a - b).norm(dim=1), y),
    "heatmap": lambda loss, x, y: loss(x[:, None, None], y[:, None, None]),
    "log-softmax frames": lambda loss, x, y, frames, length: loss(x.log_softmax(2), y, frames, length),
    "scikit-learn": lambda loss, x, y: torch.tensor(loss(y.numpy(), x.detach().numpy())),
    "target first": lambda loss, x, y: loss(column(y), column(x)),
    "target first, same shape": lambda loss, x, y: loss(y, x),
    "target first, one-hot": lambda loss, x, y: loss(one_hot(x, y), x),
    "target first, softmax one-hot last": lambda loss, x, y: loss(last(one_hot(x, y)), last(x.softmax(1))),
    "target first, sigmoid": lambda loss, x, y: loss(last(y), last(x.sigmoid())),
    "jax": jax,
    "jax one-hot": lambda loss, x, y, **options: jax(loss, x, one_hot(x, y), **options),
    "jax one-hot last": lambda loss, x, y, **options: jax(loss, last(x), last(one_hot(x, y)), **options),
    "jax last": lambda loss, x, y, **options: jax(loss, last(x), last(y), **options),
    "jax one-hot last, mean": lambda loss, x, y: jax(loss, last(x), last(one_hot(x, y))).mean(),
    "jax last, mean": lambda loss, x, y: jax(loss, last(x), last(y)).mean(),
    "jax vectors": lambda loss, x, y, target=None: jax(loss, x, y),
}


class Laid(nn.Module):
    """A loss called through a layout."""

    def __init__(self, loss: Any, layout: str) -> None:
        super().__init__()
        self.loss, self.layout = loss, layout

    def forward(self, *tensors: Tensor, **options: Any) -> Any:
        return LAYOUTS[self.layout](self.loss, *tensors, **options)


def laid(subject: Subject, layout: str) -> Subject:
    """The subject, called through a layout ("" for as it is)."""
    build = subject.build
    if not layout or build is None:
        return subject
    return replace(
        subject,
        build=lambda **options: Laid(build(**options), layout),
        call_parameters=frozenset(),
        home=None,
        function=False,
    )
