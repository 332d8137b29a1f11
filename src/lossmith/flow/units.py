"""Step 2, shapes: what is one observation? An element of the tensors, or a row of class scores.

A loss gives one value per unit; masks and sample weights have the units' shape (or one entry per sample,
the first axis). Nothing else is broadcast.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lossmith.arrays import known, ops_of
from lossmith.errors import DtypeError, ShapeError
from lossmith.flow.domain import Domain
from lossmith.kernels.sharded import Shard


@dataclass(frozen=True)
class Units:
    """The shape of the units; a unit that is a row has its `classes` scores along `axis`, an element has None.

    `keep` marks those that a mask or `ignore_index` leaves, `weight` has their sample weights (None: all, and 1).
    With a `shard` the scores of a row are spread over the ranks of a group.
    """

    shape: torch.Size
    axis: int | None = None
    classes: int = 0
    keep: Tensor | None = None
    weight: Tensor | None = None
    shard: Shard | None = None

    def take(self, rows: Any) -> "Units":
        """Some of the units, along the first axis."""
        keep, weight = (None if x is None else x[rows] for x in (self.keep, self.weight))
        count = len(range(self.shape[0])[rows]) if isinstance(rows, slice) else len(rows)
        return replace(self, shape=type(self.shape)((count, *self.shape[1:])), keep=keep, weight=weight)

    @property
    def shown(self) -> Tensor | None:
        """The units that the formula sees: what weighs nothing is hidden, unless the weight itself is being learnt."""
        return self.keep if self.weight is None or getattr(self.weight, "requires_grad", False) else self.weight > 0

    def spread(self, owner: str, name: str, x: Tensor) -> Tensor:
        """Give `x`, one entry per unit or one per sample, the units' shape."""
        if x.shape == self.shape:
            return x
        if len(x.shape) == 1 and len(self.shape) > 1 and x.shape[0] == self.shape[0]:
            ops = ops_of(x)
            return ops.spread(ops.reshape(x, (-1, *[1] * (len(self.shape) - 1))), self.shape)
        raise ShapeError(
            f"{owner}: {name} must have one entry per unit, shape {list(self.shape)}, "
            f"or one per sample, shape {list(self.shape[:1])}; it has shape {list(x.shape)}"
        )

    def hide(self, x: Tensor, keep: Tensor, legal: Domain | None) -> Tensor:
        """Replace what a mask hides by a harmless legal value, so that a NaN there never meets the formula."""
        neutral = 0.0 if legal is None else legal.neutral
        ops, behind = ops_of(x), len(x.shape) - len(keep.shape)
        if behind:  # a row of scores along `axis`, or a whole sample
            one = self.axis is not None
            keep = ops.expand_dims(keep, self.axis) if one else keep.reshape(*keep.shape, *[1] * behind)
        return ops.where(keep, x, ops.full(x, (), neutral))


def elements(owner: str, input: Tensor, target: Tensor) -> Units:
    """Every element of `input` is a unit with the element of `target` at its place."""
    floating(owner, input)
    same_shape(owner, input, target)
    return Units(input.shape)


def same_shape(owner: str, input: Tensor, target: Tensor) -> None:
    """Raise unless input and target have the same shape."""
    if not agree(input.shape, target.shape):
        raise ShapeError(
            f"{owner}: input and target must have the same shape; "
            f"input has {list(input.shape)} and target {list(target.shape)}"
        )


def rows(owner: str, input: Tensor, target: Tensor) -> Units:
    """Every position of `input` ``[N, C, *]`` (or ``[C]``) outside the class axis is a unit of C scores."""
    floating(owner, input)
    dims, soft = len(input.shape), ops_of(input).is_floating(target)
    if dims == 0:
        raise ShapeError(f"{owner}: input must be class scores of shape [N, C, *] or [C]; it has no axis at all")
    axis = 1 if dims > 1 else 0
    shape = type(input.shape)((*input.shape[:axis], *input.shape[axis + 1 :]))
    if input.shape[axis] < 2:
        raise ShapeError(
            f"{owner}: input needs at least 2 classes along axis {axis}; shape {list(input.shape)} has "
            f'{input.shape[axis]} (one score per example: link="sigmoid")'
        )
    if soft and agree(target.shape, input.shape):
        return Units(shape, axis, input.shape[axis])
    if soft or not _name(target).startswith(("int", "uint")):
        raise DtypeError(
            f"{owner}: target must be class indices (int64) of shape {list(shape)} or class probabilities "
            f"(floating) of shape {list(input.shape)}; it is {_name(target)} of shape {list(target.shape)}"
        )
    if not agree(target.shape, shape):
        raise ShapeError(
            f"{owner}: target must be class indices of shape {list(shape)} for input of shape {list(input.shape)}; "
            f"it has shape {list(target.shape)}"
        )
    return Units(shape, axis, input.shape[axis])


def agree(one: Sequence[int | None], two: Sequence[int | None]) -> bool:
    """Whether two shapes are the same; a length that is not known yet, None, may be any."""
    return one == two or (len(one) == len(two) and all(None in (m, n) or m == n for m, n in zip(one, two, strict=True)))


def floating(owner: str, input: Tensor, name: str = "input") -> None:
    """Raise unless `input` holds floating point numbers."""
    if not ops_of(input).is_floating(input):
        raise DtypeError(f"{owner}: {name} must be floating point; it is {_name(input)}")


def one_tensor(owner: str, x: object, name: str = "input") -> Tensor:
    """Raise unless `x` is a tensor."""
    if not known(x):
        raise DtypeError(f"{owner}: {name} must be a torch tensor; it is {_kind(x)}")
    return x  # type: ignore[return-value]  # JAX's and Keras's arrays flow as torch's do


def one_library(owner: str, input: object, target: Tensor) -> None:
    """Raise where the target is an array of another library than the input."""
    for x in input if isinstance(input, tuple | list) else (input,):
        if known(x) and ops_of(x) is not ops_of(target):
            raise DtypeError(
                f"{owner}: input and target must be arrays of one library; they are {_kind(x)} and {_kind(target)}"
            )


def _kind(x: object) -> str:
    return f"{type(x).__module__}.{type(x).__name__}"


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision is computed in float32; anything wider stays as it is."""
    wide: Tensor = ops_of(x).at_least_float32(x)
    return wide


def _name(x: Tensor) -> str:
    name: str = ops_of(x).dtype_name(x)
    return name
