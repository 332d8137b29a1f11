"""Step 2, shapes: what is one observation? An element of the tensors, or a row of class scores.

A loss gives one value per unit; masks and sample weights have the units' shape (or one entry per sample,
the first axis). Nothing else is broadcast.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lossmith.errors import DtypeError, ShapeError
from lossmith.flow.domain import Domain


@dataclass(frozen=True)
class Units:
    """The shape of the units; a unit that is a row has its `classes` scores along `axis`, an element has None.

    `keep` marks those that a mask or `ignore_index` leaves, `weight` has their sample weights (None: all, and 1).
    """

    shape: torch.Size
    axis: int | None = None
    classes: int = 0
    keep: Tensor | None = None
    weight: Tensor | None = None

    @property
    def shown(self) -> Tensor | None:
        """The units that the formula sees: what weighs nothing is hidden, unless the weight itself is being learnt."""
        return self.keep if self.weight is None or self.weight.requires_grad else self.weight > 0

    def spread(self, owner: str, name: str, x: Tensor) -> Tensor:
        """Give `x`, one entry per unit or one per sample, the units' shape."""
        if x.shape == self.shape:
            return x
        if x.dim() == 1 and len(self.shape) > 1 and x.shape[0] == self.shape[0]:
            return x.reshape(-1, *[1] * (len(self.shape) - 1)).expand(self.shape)
        raise ShapeError(
            f"{owner}: {name} must have one entry per unit, shape {list(self.shape)}, "
            f"or one per sample, shape {list(self.shape[:1])}; it has shape {list(x.shape)}"
        )

    def hide(self, x: Tensor, keep: Tensor, legal: Domain | None) -> Tensor:
        """Replace what a mask hides by a harmless legal value, so that a NaN there never meets the formula."""
        neutral = 0.0 if legal is None else legal.neutral
        if x.dim() > keep.dim():  # a row of scores along `axis`, or a whole sample
            last = [1] * (x.dim() - keep.dim())
            keep = keep.reshape(*keep.shape, *last) if self.axis is None else keep.unsqueeze(self.axis)
        return torch.where(keep, x, torch.full((), neutral, dtype=x.dtype, device=x.device))


def elements(owner: str, input: Tensor, target: Tensor) -> Units:
    """Every element of `input` is a unit with the element of `target` at its place."""
    floating(owner, input)
    if input.shape != target.shape:
        raise ShapeError(
            f"{owner}: input and target must have the same shape; "
            f"input has {list(input.shape)} and target {list(target.shape)}"
        )
    return Units(input.shape)


def rows(owner: str, input: Tensor, target: Tensor) -> Units:
    """Every position of `input` ``[N, C, *]`` (or ``[C]``) outside the class axis is a unit of C scores."""
    floating(owner, input)
    if input.dim() == 0:
        raise ShapeError(f"{owner}: input must be class scores of shape [N, C, *] or [C]; it has no axis at all")
    axis = 1 if input.dim() > 1 else 0
    shape = torch.Size([*input.shape[:axis], *input.shape[axis + 1 :]])
    if input.shape[axis] < 2:
        raise ShapeError(
            f"{owner}: input needs at least 2 classes along axis {axis}; shape {list(input.shape)} has "
            f'{input.shape[axis]} (one score per example: link="sigmoid")'
        )
    if target.is_floating_point() and target.shape == input.shape:
        return Units(shape, axis, input.shape[axis])
    if target.is_floating_point() or target.dtype == torch.bool or target.is_complex():
        raise DtypeError(
            f"{owner}: target must be class indices (int64) of shape {list(shape)} or class probabilities "
            f"(floating) of shape {list(input.shape)}; it is {_name(target)} of shape {list(target.shape)}"
        )
    if target.shape != shape:
        raise ShapeError(
            f"{owner}: target must be class indices of shape {list(shape)} for input of shape {list(input.shape)}; "
            f"it has shape {list(target.shape)}"
        )
    return Units(shape, axis, input.shape[axis])


def floating(owner: str, input: Tensor, name: str = "input") -> None:
    """Raise unless `input` holds floating point numbers."""
    if not input.is_floating_point():
        raise DtypeError(f"{owner}: {name} must be floating point; it is {_name(input)}")


def one_tensor(owner: str, x: object, name: str = "input") -> Tensor:
    """Raise unless `x` is a tensor."""
    if not isinstance(x, Tensor):
        raise DtypeError(f"{owner}: {name} must be a torch tensor; it is {type(x).__module__}.{type(x).__name__}")
    return x


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision is computed in float32; anything wider stays as it is."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _name(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")
