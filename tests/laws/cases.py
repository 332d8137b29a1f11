"""What the laws run over: every registered loss, in every link, kind of target and shape that it has.

Nothing here names a loss: a new one is under the law as soon as its class exists.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import lossmith.losses  # noqa: F401  (fills the registry)
from lossmith.errors import DomainError, DtypeError, ParameterError
from lossmith.flow.domain import Simplex
from lossmith.flow.loss import Input, Loss, registry
from lossmith.flow.parameter import weights_or_none
from lossmith.losses.likelihood import LikelihoodLoss
from lossmith.losses.link import BINARY, LINKS

SHIPPED = {name: cls for name, cls in registry.items() if cls.__module__.startswith("lossmith.")}


@dataclass(frozen=True)
class Case:
    """A loss and a way to draw data for it; `options` are those of the loss."""

    label: str
    cls: type[Loss]
    options: tuple[tuple[str, Any], ...] = ()
    soft: bool = False
    spatial: bool = False

    def loss(self, **more: Any) -> Loss:
        return self.cls(**{**self.cls.example, **dict(self.options), **more})

    def data(self, seed: int = 0, units: int = 8, dtype: torch.dtype = torch.float64) -> tuple[Input, Tensor | None]:
        generator = torch.Generator().manual_seed(seed)
        input, target = self.loss().sample(generator, 3 * units if self.spatial else units)
        if self.soft and isinstance(input, Tensor) and target is not None:
            classes = input.shape[-1] if input.dim() > 1 else 0
            target = (
                Simplex(1, classes).sample(input.shape, generator)
                if classes
                else torch.rand(target.shape, generator=generator, dtype=torch.float64)
            )
        if self.spatial:
            input, target = each(lambda x: spread(x, units), input), None if target is None else spread(target, units)
        return each(lambda x: cast(x, dtype), input), None if target is None else cast(target, dtype)

    def take(self, input: Input, target: Tensor | None, index: Any) -> tuple[Input, Tensor | None]:
        """Some of the units; what they share stays whole."""
        return packed(tuple(x[index] for x in self.own(input)) + self.shared(input)), (
            None if target is None else target[index]
        )

    def own(self, input: Input) -> tuple[Tensor, ...]:
        return leaves(input)[: self.cls.inputs_per_unit]

    def shared(self, input: Input) -> tuple[Tensor, ...]:
        return leaves(input)[len(self.own(input)) :]


def cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype) if x.is_floating_point() else x


def spread(x: Tensor, units: int) -> Tensor:
    """[3 units, *] -> [units, *, 3]: one more axis behind, as an image or a sequence has."""
    return x.reshape(units, 3, *x.shape[1:]).movedim(1, -1)


def each(change: Callable[[Tensor], Tensor], input: Input) -> Input:
    """Apply to the tensor, or to each of the tuple."""
    return tuple(change(x) for x in input) if isinstance(input, tuple) else change(input)


def leaves(input: Input) -> tuple[Tensor, ...]:
    return input if isinstance(input, tuple) else (input,)


def packed(tensors: tuple[Tensor, ...]) -> Input:
    return tensors if len(tensors) > 1 else tensors[0]


def _cases() -> Iterator[Case]:
    seen = set()
    for name, cls in SHIPPED.items():
        yield Case(name, cls)
        if cls.unit != "sample":
            yield Case(f"{name}-spatial", cls, spatial=True)
        if "per" in cls.parameters_:  # a loss of regions
            yield Case(f"{name}-sigmoid", cls, (("link", "sigmoid"),))
            yield Case(f"{name}-batch", cls, (("per", "batch"),))
            yield Case(f"{name}-batch-sigmoid", cls, (("per", "batch"), ("link", "sigmoid")))
            yield Case(f"{name}-soft", cls, soft=True)
            yield Case(f"{name}-weighted", cls, (("weight", [0.5, 2.0, 1.0]), ("include_background", False)))
        if not issubclass(cls, LikelihoodLoss):
            continue
        sort = (cls.scope, *(getattr(cls, hook) for hook in cls.hooks))
        if sort in seen:  # another name of a loss that is under the law
            continue
        seen.add(sort)
        for link in LINKS:
            yield Case(f"{name}-{link}", cls, (("link", link),))
        for link in ("softmax", "sigmoid"):
            yield Case(f"{name}-{link}-soft", cls, (("link", link),), soft=True)
        weight = ("weight", [0.5, 2.0, 1.0])
        alpha = (("alpha", [1.0, 0.25, 3.0]),) if alpha_is_costs(cls) else ()
        yield Case(f"{name}-weighted", cls, (("link", "softmax"), weight, *alpha))
        yield Case(f"{name}-smoothed", cls, (("link", "softmax"), weight, ("label_smoothing", 0.1)))
        yield Case(f"{name}-weighted-binary", cls, (("link", BINARY[0]), ("weight", [0.5, 2.0]), ("pos_weight", 3.0)))


def alpha_is_costs(cls: type[Loss]) -> bool:
    """Whether alpha is a cost for each class, and not a number of the loss's own formula."""
    return "alpha" in cls.parameters_ and cls.parameters_["alpha"].read is weights_or_none


def _legal(case: Case) -> Case:
    """Over classes, a loss whose class costs are one number does without them."""
    options = dict(case.options)
    a_number = alpha_is_costs(case.cls) and case.cls.parameters_["alpha"].default is not None
    if a_number and options.get("link", "sigmoid") not in BINARY:
        options.setdefault("alpha", None)
    return Case(case.label, case.cls, tuple(options.items()), case.soft, case.spatial)


def _offered(case: Case) -> bool:
    """Whether the loss has this variant: one that it refuses by name is not under the law."""
    try:
        case.loss()
        case.loss()(*case.data())
    except (ParameterError, DtypeError, DomainError):
        return case.label == case.cls.name
    return True


CASES = [case for case in map(_legal, _cases()) if _offered(case)]
TRAINABLE = [case for case in CASES if case.cls.differentiable]
SEPARABLE = [case for case in CASES if case.loss().scope == "unit" and "none" in case.cls.reductions]
MERGING = [case for case in CASES if case.loss().scope != "set"]  # the parts of a batch add up to it
