"""The operations of statistics on torch tensors."""

import math
from typing import Any

import torch as xp  # what formulas are given
from torch import (  # noqa: F401
    Tensor,
    amax,
    amin,
    argmax,
    concatenate,
    cumsum,
    exp,
    log,
    log1p,
    log_softmax,
    logsumexp,
    ones_like,
    reshape,
    round,
    softmax,
    squeeze,
    stack,
    sum,
    swapaxes,
    where,
    zeros_like,
)
from torch.nn.functional import logsigmoid


def is_floating(x: Tensor) -> bool:
    return x.is_floating_point()


def dtype_name(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision is computed in float32; anything wider stays as it is."""
    return x.float() if x.dtype in (xp.float16, xp.bfloat16) else x


def as_indices(x: Tensor) -> Tensor:
    return x.to(xp.int64)


def as_labels(x: Tensor) -> Tensor:
    """Integers that can hold any mark beside 0 and 1, no wider than needed: compilers are slow with 64 bits."""
    if x.dtype in (xp.uint16, xp.uint32, xp.uint64):  # torch promotes none of them
        return x.to(xp.int64)
    return x.to(xp.promote_types(x.dtype, xp.int32))


def cast(x: Tensor, like: Tensor) -> Tensor:
    """`x` in the dtype of `like`, and beside it."""
    return x.to(like)


def constant(value: Any, like: Tensor) -> Tensor:
    """A parameter, which is a number or a torch tensor, as an array beside `like`."""
    return xp.as_tensor(value).to(like)


def stop_gradient(x: Tensor) -> Tensor:
    return x.detach()


def at_least(x: Tensor, low: float) -> Tensor:
    """The larger of the two, with the whole gradient where they are equal; a NaN stays one."""
    return x.clamp(min=low)


def least_finite(x: Tensor) -> float:
    return xp.finfo(x.dtype).min


def least_normal(x: Tensor) -> float:
    return xp.finfo(x.dtype).tiny


def marks(index: Tensor, like: Tensor, axis: int) -> Tensor:
    """True at `index`, which has length 1 along `axis`, and False elsewhere, in the shape of `like`."""
    shape = [-1 if a == axis % like.dim() else 1 for a in range(like.dim())]
    narrow = xp.arange(like.shape[axis], dtype=xp.int32, device=like.device)  # compilers are slow with 64 bits
    return narrow.reshape(shape) == index.to(xp.int32)


def signs(labels: Tensor) -> Tensor:
    """1 where a label is there, which is 1 there and 0 elsewhere, and -1 where it is not: in one operation."""
    return xp.add(labels.new_full((), -1.0), labels, alpha=2)


def log_sigmoids(z: Tensor) -> list[tuple[Tensor, Tensor | None]]:
    """log(1 - p) and log p, p the sigmoid of `z`, each with what it leaves to 1 where that comes for nothing.

    A compiler is given one expression for both, since it would not see what they have in common. It takes expm1 for
    exp - 1, too, so that 1 - p is better not computed from log p.
    """
    transformed = xp._C._are_functorch_transforms_active()  # vmap would know nothing of such a function
    if transformed or not xp.compiler.is_compiling():
        return [(logsigmoid(-z), None), (logsigmoid(z), None)]
    learnt = z.requires_grad and xp.is_grad_enabled()
    log_rest, log_p, p, rest = _LogSigmoids.apply(z) if learnt else _log_sigmoids(z)  # type: ignore[no-untyped-call]
    return [(log_rest, p), (log_p, rest)]


def _log_sigmoids(z: Tensor) -> tuple[Tensor, ...]:
    power = (-z.abs()).exp()
    bend, large = power.log1p(), 1 / (1 + power)
    small, positive = power * large, z >= 0
    p, rest = where(positive, large, small), where(positive, small, large)
    return (-z).clamp(max=0) - bend, z.clamp(max=0) - bend, p, rest


class _LogSigmoids(xp.autograd.Function):
    """log(1 - p), log p, p and 1 - p: what is known of their slopes makes a shorter loop than the chain rule."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> tuple[Tensor, ...]:
        found = _log_sigmoids(z)
        ctx.save_for_backward(*found[2:])
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        p, rest = ctx.saved_tensors
        by_log_rest, by_log_p, by_p, by_rest = grads
        return by_log_p * rest - by_log_rest * p + (by_p - by_rest) * (p * rest)


def expand_dims(x: Tensor, axis: int) -> Tensor:
    return x.unsqueeze(axis)


def take_along(x: Tensor, index: Tensor, axis: int) -> Tensor:
    """The entries of `x` at `index`, which has length 1 along `axis`."""
    return x.gather(axis, index)


def put_along(x: Tensor, index: Tensor, value: Tensor | float, axis: int) -> Tensor:
    """`x` with `value` at `index`, which has length 1 along `axis`."""
    return x.scatter(axis, index, value)


def one_hot(index: Tensor, like: Tensor, axis: int) -> Tensor:
    """1 at `index`, which has length 1 along `axis`, and 0 elsewhere, in the shape of `like`."""
    return like.new_zeros(()).expand(like.shape).scatter(axis, index, 1.0)


def entries(vector: Tensor, index: Tensor) -> Tensor:
    """The entry of a vector for each index."""
    return vector[index]


def full(like: Tensor, shape: tuple[int, ...], value: float) -> Tensor:
    return like.new_full(shape, value)


def count(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """How many entries there are along the last `axes`, for each of the others."""
    first = len(x.shape) - len(axes)
    return x.new_full(x.shape[:first], math.prod(x.shape[first:]))


def flat(x: Tensor, axis: int) -> Tensor:
    """The axes from `axis` on as one."""
    return x.flatten(axis)


def sorted_down(x: Tensor) -> tuple[Tensor, Tensor]:
    """`x` along its last axis from the largest down, and which entry is where."""
    values, order = x.sort(dim=-1, descending=True)
    return values, order


def reordered(x: Tensor, order: Tensor) -> Tensor:
    """The entries along the last axis in that order."""
    return x.gather(-1, order)


def concrete(x: Tensor) -> Tensor | None:
    """The values as a torch tensor on the CPU, or None where they are not known yet."""
    return x


def spread(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """`x` in a shape to which its axes of length 1 are stretched."""
    return xp.broadcast_to(x, shape)
