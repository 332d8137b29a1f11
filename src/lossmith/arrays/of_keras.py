"""The operations of statistics on the tensors of Keras: whatever its backend is, and with axes of unknown length."""

from typing import Any

import torch
from keras import backend
from keras import ops as xp  # what formulas are given
from keras.ops import (  # noqa: F401
    amax,
    amin,
    concatenate,
    cumsum,
    exp,
    expand_dims,
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
    stop_gradient,
    sum,
    swapaxes,
    where,
    zeros_like,
)
from keras.ops import log_sigmoid as logsigmoid


def argmax(x: Any, axis: int, keepdim: bool) -> Any:
    return xp.argmax(x, axis, keepdims=keepdim)


def dtype_name(x: Any) -> str:
    return str(backend.standardize_dtype(x.dtype))


def is_floating(x: Any) -> bool:
    return bool(backend.is_float_dtype(dtype_name(x)))


def at_least_float32(x: Any) -> Any:
    return xp.cast(x, "float32") if dtype_name(x) in ("float16", "bfloat16") else x


def as_indices(x: Any) -> Any:
    return xp.cast(x, "int32")


def as_labels(x: Any) -> Any:
    return xp.cast(x, "int32")


def signs(labels: Any) -> Any:
    """1 where a label is there, which is 1 there and 0 elsewhere, and -1 where it is not."""
    return 2 * labels - 1


def log_sigmoids(z: Any) -> list[tuple[Any, Any]]:
    """log(1 - p) and log p, p the sigmoid of `z`; what they leave to 1 is not at hand."""
    return [(logsigmoid(-z), None), (logsigmoid(z), None)]


def cast(x: Any, like: Any) -> Any:
    return xp.cast(x, dtype_name(like))


def constant(value: Any, like: Any) -> Any:
    return xp.convert_to_tensor(value.tolist() if hasattr(value, "tolist") else value, dtype=dtype_name(like))


def at_least(x: Any, low: float) -> Any:
    return xp.where(x < low, low, x)


def least_finite(x: Any) -> float:
    return -3.38e38 if dtype_name(x) == "float32" else -1.79e308


def least_normal(x: Any) -> float:
    return 1.18e-38 if dtype_name(x) == "float32" else 2.3e-308


def take_along(x: Any, index: Any, axis: int) -> Any:
    return xp.sum(xp.where(marks(index, x, axis), x, 0.0), axis, keepdims=True)  # no gather: an axis may be unknown


def put_along(x: Any, index: Any, value: Any, axis: int) -> Any:
    return xp.where(marks(index, x, axis), value, x)


def one_hot(index: Any, like: Any, axis: int) -> Any:
    return xp.cast(marks(index, like, axis), dtype_name(like))


def marks(index: Any, like: Any, axis: int) -> Any:
    places = [-1 if a == axis else 1 for a in range(len(like.shape))]
    return xp.reshape(xp.arange(like.shape[axis], dtype=dtype_name(index)), places) == index


def entries(vector: Any, index: Any) -> Any:
    return xp.take(vector, index, axis=0)


def full(like: Any, shape: tuple[Any, ...], value: float) -> Any:
    return xp.full([1 if n is None else n for n in shape], value, dtype=dtype_name(like))


def count(x: Any, axes: tuple[int, ...]) -> Any:
    return xp.sum(xp.ones_like(x), axes) if axes else xp.ones_like(x)


def flat(x: Any, axis: int) -> Any:
    return xp.reshape(x, (*xp.shape(x)[:axis], -1))


def sorted_down(x: Any) -> tuple[Any, Any]:
    order = xp.argsort(-x, axis=-1)
    return reordered(x, order), order


def reordered(x: Any, order: Any) -> Any:
    return xp.take_along_axis(x, order, -1)


def concrete(x: Any) -> torch.Tensor | None:
    known = hasattr(x, "numpy") and backend.backend() != "torch"  # a tensor of a graph has no numbers yet
    return torch.as_tensor(x.numpy()) if known else None


def spread(x: Any, shape: tuple[Any, ...]) -> Any:
    return x  # the shape may not be known yet; what it meets stretches it
