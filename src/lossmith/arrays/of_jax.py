"""The operations of statistics on JAX arrays."""

from typing import Any

import jax.numpy as xp  # what formulas are given
import torch
from jax.core import Tracer
from jax.lax import stop_gradient  # noqa: F401
from jax.nn import log_sigmoid as logsigmoid
from jax.nn import log_softmax, logsumexp, softmax  # noqa: F401
from jax.numpy import (  # noqa: F401
    amax,
    amin,
    concatenate,
    cumsum,
    exp,
    expand_dims,
    log,
    log1p,
    ones_like,
    reshape,
    round,
    squeeze,
    stack,
    sum,
    swapaxes,
    where,
    zeros_like,
)


def argmax(x: Any, axis: int, keepdim: bool) -> Any:
    return xp.argmax(x, axis, keepdims=keepdim)


def is_floating(x: Any) -> bool:
    return bool(xp.issubdtype(x.dtype, xp.floating))


def dtype_name(x: Any) -> str:
    return str(x.dtype)


def at_least_float32(x: Any) -> Any:
    return x.astype(xp.float32) if x.dtype in (xp.float16, xp.bfloat16) else x


def as_indices(x: Any) -> Any:
    return x.astype(xp.int32)


def as_labels(x: Any) -> Any:
    return x.astype(xp.int32)


def signs(labels: Any) -> Any:
    """1 where a label is there, which is 1 there and 0 elsewhere, and -1 where it is not."""
    return 2 * labels - 1


def log_sigmoids(z: Any) -> list[tuple[Any, Any]]:
    """log(1 - p) and log p, p the sigmoid of `z`; what they leave to 1 is not at hand."""
    return [(logsigmoid(-z), None), (logsigmoid(z), None)]


def cast(x: Any, like: Any) -> Any:
    return x.astype(like.dtype)


def constant(value: Any, like: Any) -> Any:
    return xp.asarray(value.tolist() if hasattr(value, "tolist") else value, dtype=like.dtype)


def at_least(x: Any, low: float) -> Any:
    return xp.where(x < low, low, x)


def least_finite(x: Any) -> float:
    return float(xp.finfo(x.dtype).min)  # type: ignore[no-untyped-call]


def least_normal(x: Any) -> float:
    return float(xp.finfo(x.dtype).tiny)  # type: ignore[no-untyped-call]


def take_along(x: Any, index: Any, axis: int) -> Any:
    return xp.take_along_axis(x, index, axis)


def put_along(x: Any, index: Any, value: Any, axis: int) -> Any:
    return xp.where(marks(index, x, axis), value, x)


def one_hot(index: Any, like: Any, axis: int) -> Any:
    return marks(index, like, axis).astype(like.dtype)


def marks(index: Any, like: Any, axis: int) -> Any:
    return xp.arange(like.shape[axis]).reshape([-1 if a == axis else 1 for a in range(like.ndim)]) == index


def entries(vector: Any, index: Any) -> Any:
    return vector[index]


def full(like: Any, shape: tuple[int, ...], value: float) -> Any:
    return xp.full(shape, value, dtype=like.dtype)


def count(x: Any, axes: tuple[int, ...]) -> Any:
    return xp.sum(xp.ones_like(x), axes) if axes else xp.ones_like(x)


def flat(x: Any, axis: int) -> Any:
    return x.reshape(*x.shape[:axis], -1)


def sorted_down(x: Any) -> tuple[Any, Any]:
    order = xp.argsort(-x, axis=-1)
    return reordered(x, order), order


def reordered(x: Any, order: Any) -> Any:
    return xp.take_along_axis(x, order, -1)


def concrete(x: Any) -> torch.Tensor | None:
    return None if isinstance(x, Tracer) else torch.tensor(x.tolist(), dtype=getattr(torch, dtype_name(x)))


def spread(x: Any, shape: tuple[int, ...]) -> Any:
    return xp.broadcast_to(x, shape)
