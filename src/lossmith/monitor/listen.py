"""A second run of the loss, on a detached input, of which every intermediate result is kept.

It is separate from the run that trains: its gradient is free of what a gradient scaler, an accumulation or a second use
of the input multiplies or adds, and it is there without a backward pass. It leaves no trace: the copies of the losses
that run share parameters and buffers, are in evaluation mode, in which a loss with a state gives what it would give in
training and does not move it, and torch's generators are put back.
"""

import copy
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lossmith.flow.loss import Input, Loss
from lossmith.flow.partial import divide
from lossmith.flow.sum import Composition, WeightedSum
from lossmith.flow.units import Units, at_least_float32

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass
class Part:
    """What one loss, or one term of a sum with its factor, made of the call."""

    loss: Loss
    factor: float
    term: bool = False  # whether it was called as a term of a sum, so that `result` is its own loss
    inputs: tuple[Tensor, ...] = ()
    target: Tensor | None = None
    units: Units | None = None
    value: Tensor | None = None
    share: Tensor | None = None
    result: Tensor | None = None

    def divisor(self) -> Tensor | float:
        """What a mean divides by, which its gradient has in it too; 1 for a sum and for single values."""
        if self.loss.reduction != "mean" or self.value is None:
            return 1.0
        if isinstance(self.loss.normalizer, float):
            return self.loss.normalizer
        return self.value.numel() if self.share is None else self.share.sum()

    @property
    def unitwise(self) -> bool:
        """Whether a value is of a unit; an overlap's is of a region, whatever shape it happens to have."""
        return bool(
            self.units is not None
            and self.value is not None
            and self.value.shape == self.units.shape
            and self.loss.family != "overlap"
        )

    def mean(self) -> Tensor | None:
        """The mean of single values, for a loss that returns them as they are."""
        if self.value is None:
            return None
        return divide(self.value.sum(), self.value.numel() if self.share is None else self.share.sum())


@dataclass
class Heard:
    """All parts of a call, and the gradient of what it returned, summed, in the arranged input."""

    parts: list[Part] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)
    complete: bool = True  # whether every loss of a composition was heard

    @property
    def first(self) -> Part:
        return self.parts[0]

    def length(self) -> Tensor | None:
        """The length of each unit's gradient, of its own value rather than of a mean; None where there is none.

        The sum of absolute slopes, and half of it for a row of class scores: 1 - p for cross-entropy, as in GHM.
        """
        units = self.first.units
        if units is None or not self.gradients:
            return None
        total = sum((_length(g, units) for g in self.gradients), torch.zeros(()))
        halved = 0.5 if units.axis is not None and units.classes else 1.0
        return total * (self.first.divisor() * halved)


def _length(gradient: Tensor, units: Units) -> Tensor:
    behind = gradient.dim() - len(units.shape)
    if not behind:
        return gradient.abs()
    axes = list(range(len(units.shape), gradient.dim())) if units.axis is None else [units.axis]
    length: Tensor = torch.linalg.vector_norm(gradient, 1, dim=axes)
    return length


def hear(loss: Loss | WeightedSum, input: Input, target: Tensor | None, options: dict[str, Any]) -> Heard:
    """Run the loss once more beside the training, and keep what it makes; see this file's first lines."""
    heard = Heard()
    given = [x for x in (input if isinstance(input, tuple | list) else (input,)) if isinstance(x, Tensor)]
    devices = {x.device for x in given if x.device.type == "cuda"}
    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=devices):
        twin = _twin(loss, 1.0, heard.parts)
        own = next(_losses(loss)).inputs_per_unit
        leaves = _leaves(input, own)
        result = twin.forward(leaves, target, **options)
        if result.requires_grad:
            heard.gradients = _gradients(result.sum(), heard.parts)
        with torch.no_grad():
            for part in heard.parts:
                if part.units is not None and part.value is None:
                    part.loss.values(leaves, target, options.get("mask"), options.get("sample_weight"))
    heard.complete = all(part.units is not None for part in heard.parts)
    heard.parts = [part for part in heard.parts if part.units is not None]
    return heard


def _leaves(input: Input, own: int | None) -> Input:
    """The input without its history; the tensors that have units are new leaves, half precision as float32."""
    if isinstance(input, Tensor):
        return at_least_float32(input.detach()).requires_grad_()
    tensors = list(input)
    for k, x in enumerate(tensors):
        if isinstance(x, Tensor):
            x = x.detach()
            counts = x.is_floating_point() and (own is None or k < own)
            tensors[k] = at_least_float32(x).requires_grad_() if counts else x
    return tuple(tensors)


def _losses(loss: Any) -> Iterator[Loss]:
    """The single losses of a loss or a sum."""
    if isinstance(loss, Composition):
        loss = loss.sum
    if isinstance(loss, WeightedSum):
        for _, term in loss.terms:
            yield from _losses(term)
    else:
        yield loss


def _twin(loss: Any, factor: float, parts: list[Part], term: bool = False) -> Any:
    """A copy that shares all tensors with the loss, tells `parts` what it does, and changes nothing."""
    twin = copy.copy(loss)
    twin.training = False
    twin.__dict__.update({name: OrderedDict() for name in HOOKS}, _modules=dict(twin._modules))
    if isinstance(loss, WeightedSum):
        twin.losses = nn.ModuleList(_twin(one, factor * f, parts, term=True) for f, one in loss.terms)
    elif isinstance(loss, Composition):
        twin.sum = _twin(loss.sum, factor, parts)
    else:
        twin.process_group = None  # this rank's rows alone: a rank that measures must not wait for one that does not
        part = Part(twin, factor, term)
        parts.append(part)
        _listen(twin, part)
    return twin


def _listen(twin: Loss, part: Part) -> None:
    """Keep the first result of each step of the flow."""
    arrange, admit, values = twin.arrange, twin.admit, twin.values

    def heard_arrange(*args: Any, **options: Any) -> Any:
        found = arrange(*args, **options)
        part.inputs = part.inputs or found[0]
        return found

    def heard_admit(*args: Any, **options: Any) -> Any:
        found = admit(*args, **options)
        if part.units is None:
            _, part.target, part.units = found
        return found

    def heard_values(*args: Any, **options: Any) -> Any:
        found = values(*args, **options)
        part.value, share = found[0].detach(), found[1]
        part.share = None if share is None else share.detach()
        return found

    def heard_result(module: nn.Module, args: Any, result: Tensor) -> None:
        part.result = result.detach()

    twin.__dict__.update(arrange=heard_arrange, admit=heard_admit, values=heard_values)
    twin.register_forward_hook(heard_result)


def _gradients(total: Tensor, parts: list[Part]) -> list[Tensor]:
    """The slopes in each input that has units; the terms of a sum add up, each in its own copy of the input."""
    own = [[x for x in part.inputs[: part.loss.inputs_per_unit] if x.requires_grad] for part in parts if part.inputs]
    unique = {id(x): x for xs in own for x in xs}
    if not unique or len({tuple(x.shape for x in xs) for xs in own}) > 1:
        return []
    slopes = torch.autograd.grad(total, list(unique.values()), allow_unused=True)
    of = dict(zip(unique, slopes, strict=True))
    together = []
    for place in zip(*own, strict=True):
        found = [g for key in {id(x): None for x in place} if (g := of[key]) is not None]
        together.append(
            torch.stack(found).sum(0) if len(found) > 1 else found[0] if found else torch.zeros_like(place[0])
        )
    return together
