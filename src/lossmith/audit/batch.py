"""The data of one call: the inputs of a loss and its target, cut, cast and permuted together."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """One or more inputs, and a target or none; the units lie along `axis` of the inputs, axis 0 of the target.

    Of the inputs the first `own` have units (None: all); the others, such as the weights of a layer, are shared.
    """

    inputs: tuple[Tensor, ...]
    target: Tensor | None
    axis: int = 0
    own: int | None = None

    @property
    def input(self) -> Tensor:
        return self.inputs[0]

    @property
    def labels(self) -> Tensor:
        assert self.target is not None
        return self.target

    @property
    def units(self) -> int:
        return self.input.shape[self.axis]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.inputs if self.target is None else (*self.inputs, self.target)

    def put(self, *inputs: Tensor, target: Tensor | None = None) -> "Batch":
        """Other inputs, and another target if given."""
        return replace(self, inputs=inputs, target=self.target if target is None else target)

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """Change every tensor, the target too."""
        target = None if self.target is None else change(self.target)
        return replace(self, inputs=tuple(change(x) for x in self.inputs), target=target)

    def take(self, index: Any) -> "Batch":
        """Some of the units: a slice, a mask or indices."""
        along = (slice(None),) * self.axis
        mine = tuple(x[(*along, index)] if x.dim() > self.axis else x[index] for x in self.inputs[: self.own])
        return replace(self, inputs=mine + self.shared, target=None if self.target is None else self.target[index])

    @property
    def shared(self) -> tuple[Tensor, ...]:
        """The inputs without units."""
        return () if self.own is None else self.inputs[self.own :]

    def single(self) -> list["Batch"]:
        """Every unit as a batch of its own."""
        return [self.take(slice(k, k + 1)) for k in range(self.units)]

    def to(self, dtype: torch.dtype) -> "Batch":
        """Floating point tensors in another dtype."""
        return self.map(lambda x: x.to(dtype) if x.is_floating_point() else x)

    def copy(self) -> "Batch":
        return self.map(lambda x: x.detach().clone())

    def leaves(self) -> tuple["Batch", tuple[Tensor, ...]]:
        """A copy whose floating point inputs want gradients, and those inputs."""
        fresh = replace(self.copy(), inputs=tuple(x.detach().clone() for x in self.inputs))
        wanted = tuple(x.requires_grad_() for x in fresh.inputs if x.is_floating_point())
        return fresh, wanted
