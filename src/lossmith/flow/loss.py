"""The base class: it runs the steps of this folder around one formula, the same for every loss.

``legal shapes -> units -> mask -> legal values -> statistic and formula -> weights -> sums -> reduction``.
A subclass that names a `family` is abstract; any other is final and enters the registry.
"""

import functools
import inspect
import math
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from lossmith.arrays import known, ops_of
from lossmith.errors import DtypeError, ParameterError, ShapeError
from lossmith.flow.claim import Claims
from lossmith.flow.domain import Domain, Interval
from lossmith.flow.function import FromFunction
from lossmith.flow.parameter import Parametrised, integer_or_none, number, param, spell
from lossmith.flow.partial import Partial, SetPartial, divide, gather
from lossmith.flow.units import Units, agree, at_least_float32, elements, one_library, one_tensor
from lossmith.flow.weight import kept, sample_weights
from lossmith.kernels import eager
from lossmith.kernels.blocks import WORTH, OtherGradientError, by_blocks

if TYPE_CHECKING:
    from lossmith.flow.sum import WeightedSum

Input = Tensor | tuple[Tensor, ...]
Computed = Callable[[tuple[Tensor, ...], Tensor, Units], tuple[Tensor, Tensor | None]]
registry: dict[str, type["Loss"]] = {}  # name -> final class; exports, docs, command line and laws all read it


def _normalizer(value: Any) -> str | float:
    if value in ("weight", "count", "positives"):
        return str(value)
    return number(value, Interval(0, open_low=True))


class Arithmetic:
    """Sums and multiples of losses are losses: ``0.7 * FocalLoss() + 0.3 * MAELoss()``."""

    def __mul__(self, factor: float) -> "WeightedSum":
        from lossmith.flow.sum import WeightedSum

        return WeightedSum.of(self) * factor

    __rmul__ = __mul__

    def __add__(self, other: Any) -> "WeightedSum":
        from lossmith.flow.sum import WeightedSum

        return WeightedSum.of(self) + WeightedSum.of(other)

    def __radd__(self, other: Any) -> "WeightedSum":
        from lossmith.flow.sum import WeightedSum

        return WeightedSum.of(self) if other == 0 else WeightedSum.of(other) + self  # sum() starts at 0

    def __sub__(self, other: "Arithmetic") -> "WeightedSum":
        return self + (other * -1.0 if isinstance(other, Arithmetic) else other)


class Loss(Arithmetic, FromFunction, Parametrised):
    """A training loss: call it with ``(input, target)``; parameters are keyword-only and checked."""

    name: ClassVar[str] = ""  # empty for a family
    spec_name: ClassVar[str] = ""  # what a specification calls it: its name, or path.py:Class for a user's own
    family: ClassVar[str] = ""
    example: ClassVar[
        dict[str, Any]
    ] = {}  # options to make one with, where the defaults are not enough: for tests, docs
    unit: ClassVar[Literal["element", "row", "sample"]] = "element"  # what one value is for; samples lie along axis 0
    takes_target: ClassVar[bool] = True
    inputs_per_unit: ClassVar[int | None] = None  # of several inputs the first so many have units, the rest is shared
    claims: ClassVar[Claims | None] = None  # convex, bounded, ...: what it says of itself, None for nothing; see claim
    reductions: ClassVar[tuple[str, ...]] = ("none", "mean", "sum")
    differentiable: ClassVar[bool] = True
    portable: ClassVar[bool] = False  # whether statistic and formula run on the arrays of JAX and Keras as well
    lacks: ClassVar[tuple[str, ...]] = ()  # what torch cannot do with it, of "compile", "double_backward", "vmap"
    hooks: ClassVar[tuple[str, ...]] = ("formula",)  # the methods that a family leaves to its losses
    input_domain: ClassVar[Domain | None] = None  # None: any number, infinities included
    target_domain: ClassVar[Domain | None] = Interval()

    reduction: Literal["none", "mean", "sum"] = param(
        default="mean", one_of=("none", "mean", "sum"), about="one value per unit, their weighted mean, or their sum"
    )
    normalizer: str | float = param(
        default="weight",
        read=_normalizer,
        rule='"weight", "count", "positives" or a number above 0',
        about="what a mean divides by: the sum of class and sample weights, the number of units that are not "
        "ignored, the number of positive ones (over classes: of any but class 0), or a fixed number",
    )
    process_group: Any = param(
        default=None,
        read=lambda group: group,
        rule="a group, or None",
        about='a torch.distributed group or "world": the mean is then over all ranks, exactly, under DDP and FSDP',
    )

    ignore_index: int | None = param(
        default=None, read=integer_or_none, rule="an integer or None", about="units with this target do not count"
    )

    def __init_subclass__(cls, family: str | None = None, name: str | None = None) -> None:
        super().__init_subclass__()
        final = [base.__name__ for base in cls.__mro__[1:] if getattr(base, "name", "")]
        if final:
            raise TypeError(f"{final[0]} is final: wrap it, or write a formula on its family")
        if family is None:
            _register(cls, name)
        else:
            cls.family = family

    def __init__(self, *unnamed: Any, **options: Any) -> None:
        owner = type(self).__name__
        if unnamed:
            first = next(iter(self.parameters_))
            raise ParameterError(f"{owner}: parameters are given by name, such as {first}={unnamed[0]!r}")
        if not self.name:
            raise TypeError(f"{owner} is a family, without a formula of its own: use one of its losses, or write one")
        super().__init__(**options)
        if self.reduction not in self.reductions:
            allowed = " or ".join(f'"{word}"' for word in self.reductions)
            raise ParameterError(f'{owner}: reduction must be {allowed}, not "{self.reduction}"')
        self.validate()
        self._own_forward()

    def _own_forward(self) -> None:
        """Give this loss with these parameters a code object of its own: Dynamo keeps 8 compiled versions per code
        object and no more, so twenty values of gamma that shared one would fall back to eager silently."""
        if type(self).forward is Loss.forward and not torch.compiler.is_compiling():
            values = ((name, getattr(self, name)) for name in self.parameters_ if name != "process_group")
            key = tuple((k, tuple(v.shape) if isinstance(v, Tensor) else spell(v)) for k, v in values)
            self.forward = MethodType(_forward_of(self.spec_name, key), self)  # type: ignore[method-assign]

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()  # type: ignore[no-untyped-call]  # of a compiled call it says nothing
        state.pop("forward", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._own_forward()

    # What a family fills in -------------------------------------------------------------------------------------
    @property
    def scope(self) -> Literal["unit", "sums", "set"]:
        """What the value of a unit depends on: on the unit alone, on sums over all units, or on the set of them."""
        return "unit"

    def validate(self) -> None:
        """Check options against each other, once, when the loss is made."""
        if self.normalizer == "positives":
            raise ParameterError(f'{type(self).__name__}: normalizer="positives" needs targets that name a class')

    def arrange(self, input: Input, target: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Units]:
        """Check shapes and dtypes; return inputs and target in the dtype of the computation, and the units."""
        input = one_tensor(type(self).__name__, input)
        units = elements(type(self).__name__, input, target)
        input = at_least_float32(input)
        return (input,), ops_of(input).cast(target, input), units

    def evaluate(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        """Statistic and formula: the weighted value of each unit, and its weight (None: all weigh 1)."""
        raise NotImplementedError

    def positives(self, target: Tensor, units: Units) -> Tensor:
        """How positive each unit is, from 0 to 1 (for ``normalizer="positives"``)."""
        raise NotImplementedError

    def finish(self, mean: Tensor) -> Tensor:
        """What happens to the mean at the very end; only the root of RMSE is not the identity."""
        return mean

    def legal_input(self) -> Domain | None:
        """The domain of the input, where it depends on a parameter."""
        return self.input_domain

    def legal_target(self, target: Tensor, units: Units) -> Domain | None:
        """The domain of the target, where it depends on its shape."""
        return self.target_domain

    def sample(self, generator: torch.Generator, units: int = 8) -> tuple[Input, Tensor]:
        """A legal (input, target) pair in float64, drawn from the domains: test data."""
        one, two = self.legal_input() or Interval(), self.target_domain or Interval()
        return one.sample((units,), generator), two.sample((units,), generator)

    # The flow -----------------------------------------------------------------------------------------------------
    def forward(
        self,
        input: Input,
        target: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        sample_weight: Tensor | None = None,
        num_items: float | Tensor | None = None,
    ) -> Tensor:
        if self.reduction == "none":
            return self.values(input, target, mask, sample_weight)[0]
        return self.reduce(self.partial(input, target, mask=mask, sample_weight=sample_weight), num_items=num_items)

    if TYPE_CHECKING:  # nn.Module leaves its call untyped
        __call__ = forward

    def values(
        self,
        input: Input,
        target: Tensor | None,
        mask: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """The weighted value of every unit (0 where masked), and its share of what a mean divides by."""
        return self.weigh(*self.admit(input, target, mask, sample_weight))

    def weigh(self, inputs: tuple[Tensor, ...], ready: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        """`values`, of what was admitted."""
        return self._in_blocks(self._weighed, inputs, ready, units)

    def _in_blocks(
        self, compute: Computed, inputs: tuple[Tensor, ...], target: Tensor, units: Units
    ) -> tuple[Tensor, Tensor | None]:
        """What is computed, by blocks of units where that is quicker: each value depends on its own unit alone."""
        x, beside = inputs[0], [t for t in (target, units.weight, units.keep) if t is not None]
        several = self.blocked(target) and len(inputs) == 1 and len(units.shape) > 0 and isinstance(x, Tensor)
        if not (several and x.numel() >= WORTH and eager.fits(x, *beside)):
            return compute(inputs, target, units)
        if any(t.requires_grad for t in beside) or (torch.is_grad_enabled() and not x.requires_grad):  # or it is learnt
            return compute(inputs, target, units)

        def block(x: Tensor, rows: slice) -> tuple[Tensor, Tensor | None]:
            return compute((x,), target[rows], units.take(rows))

        try:
            return by_blocks(block, x, len(x), beside)
        except OtherGradientError:
            return compute(inputs, target, units)

    def _weighed(self, inputs: tuple[Tensor, ...], ready: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        value, weight = self._evaluated(inputs, ready, units)
        if units.weight is not None:
            value = value * units.weight
        if units.keep is not None:
            value = ops_of(value).where(units.keep, value, 0.0)
        return value, self.shares(weight, ready, units, value)

    def _totals(self, inputs: tuple[Tensor, ...], ready: Tensor, units: Units) -> tuple[Tensor, Tensor]:
        return totals(*self._weighed(inputs, ready, units))

    def _evaluated(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        """`evaluate`, and what came of it has the shape of the units."""
        value, weight = self.evaluate(inputs, target, units)
        if not known(value) or not agree(value.shape, units.shape):
            shape = list(value.shape) if known(value) else type(value).__name__
            raise ShapeError(
                f"{type(self).__name__}: the formula must return one value per unit, {list(units.shape)}, not {shape}"
            )
        return value, weight

    def blocked(self, target: Tensor) -> bool:
        """Whether units may be evaluated block by block, and no kernel of its own does better."""
        return self.portable and self.scope == "unit" and self.inputs_per_unit is None

    def shares(self, weight: Tensor | None, ready: Tensor, units: Units, like: Tensor) -> Tensor | None:
        """What each unit adds to what a mean divides by (None: 1), `weight` being how much it counts by its class."""
        ops, share = ops_of(like), None
        if self.normalizer in ("weight", "positives"):
            share = weight if self.normalizer == "weight" else ops.cast(self.positives(ready, units), like)
            if units.weight is not None:
                share = units.weight if share is None else share * units.weight
        if units.keep is None:
            return share
        return ops.cast(units.keep, like) if share is None else ops.where(units.keep, share, 0.0)

    def importance(self, target: Tensor, units: Units, like: Tensor) -> Tensor | None:
        """How much each unit counts by its class (None: 1)."""
        return None

    def admit(
        self, input: Input, target: Tensor | None, mask: Tensor | None, sample_weight: Tensor | None
    ) -> tuple[tuple[Tensor, ...], Tensor, Units]:
        """Everything before the statistic: shapes, units, masks, legal values; a set is gathered from all ranks."""
        owner = type(self).__name__
        if not self.portable and not isinstance(input, Tensor | tuple | list):
            raise DtypeError(f"{owner}: it is written for torch tensors alone, not for {type(input).__module__}")
        if self.takes_target:
            target = one_tensor(owner, target, "target")
            one_library(owner, input, target)
        elif target is not None:
            raise ShapeError(f"{owner}: there is no target to give: everything is in the input")
        inputs, ready, units = self.arrange(input, target)  # type: ignore[arg-type]  # those without one make one up
        keep = kept(owner, units, ready, self.ignore_index, mask)
        if sample_weight is not None:
            sample_weight = sample_weights(owner, units, sample_weight, keep, inputs[0])
        units = replace(units, keep=keep, weight=sample_weight)
        shown = units.shown
        if shown is not None:
            inputs = self.conceal(inputs, ready, units)
            ready = units.hide(ready, shown, self.legal_target(ready, units))
        self.check(inputs, ready, units)
        if self.scope == "set" and self.process_group is not None:
            return self._gathered(inputs, ready, units)
        return inputs, ready, units

    def conceal(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, ...]:
        """Replace what a mask hides, so that a NaN there never meets the formula."""
        assert units.shown is not None
        own = len(inputs) if self.inputs_per_unit is None else self.inputs_per_unit
        hidden = (units.hide(x, units.shown, self.legal_input()) for x in inputs[:own])
        return (*hidden, *inputs[own:])

    def _gathered(
        self, inputs: tuple[Tensor, ...], target: Tensor, units: Units
    ) -> tuple[tuple[Tensor, ...], Tensor, Units]:
        """The units of all ranks; a rank that masks nothing meets one that does, so the mask is always sent."""
        keep = inputs[0].new_ones(units.shape, dtype=torch.bool) if units.keep is None else units.keep
        weight = keep.to(inputs[0].dtype) if units.weight is None else units.weight  # what is masked weighs nothing
        inputs, target = tuple(gather(x, self.process_group) for x in inputs), gather(target, self.process_group)
        keep, weight = gather(keep.to(torch.uint8), self.process_group).bool(), gather(weight, self.process_group)
        return inputs, target, replace(units, shape=keep.shape, keep=keep, weight=weight)

    def check(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> None:
        """Check values, where looking at them is allowed."""
        owner, legal_target, legal_input = type(self).__name__, self.legal_target(target, units), self.legal_input()
        if legal_target is not None:
            legal_target.check(owner, "target", target)
        if legal_input is not None:
            legal_input.check(owner, "input", inputs[0])

    def partial(
        self,
        input: Input,
        target: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> Partial:
        """The sums of this batch, to merge with those of other batches; `reduce` turns them into the loss."""
        compute: Computed = self._totals
        return self.as_partial(*self._in_blocks(compute, *self.admit(input, target, mask, sample_weight)))

    def as_partial(self, total: Tensor, count: Tensor | None) -> Partial:
        """The partial of the totals of a batch, or of its blocks."""
        kind = SetPartial if self.scope == "set" else Partial
        return kind(*(x if not x.shape else ops_of(x).sum(x) for x in (total, count) if x is not None))

    def reduce(self, partial: Partial, *, num_items: float | Tensor | None = None) -> Tensor:
        """The loss of a partial: its mean or sum; `num_items` divides by a count of your own instead.

        For gradient accumulation give `num_items`, the number (or weight) of targets in the whole step over all
        micro-batches and ranks: the micro-batch losses then add up to the loss of the one big batch.
        """
        if self.process_group is not None and self.scope != "set":  # a set has been gathered
            partial = partial.all_reduce(self.process_group)
        if num_items is not None:
            return divide(partial.total, self._items(num_items))
        if self.reduction == "sum":
            return partial.total
        if isinstance(self.normalizer, float):
            return self.finish(divide(partial.total, self.normalizer))
        return self.finish(partial.mean())

    def _items(self, num_items: Any) -> float | Tensor:
        """Check that dividing by a count of one's own has a meaning here."""
        owner = type(self).__name__
        if self.reduction != "mean" or self.reductions == ("mean",):
            what = "root of a mean: merge partials instead" if self.reductions == ("mean",) else f"{self.reduction}"
            raise ParameterError(f"{owner}: num_items divides a mean, and this loss returns a {what}")
        if self.scope == "set":
            raise ParameterError(
                f"{owner}: num_items is for losses that add up over micro-batches, and a set in which each unit meets "
                "all others does not: give the whole set in one call, whose parts may lie on the ranks of a "
                "process_group"
            )
        if known(num_items):
            if len(num_items.shape):
                raise ShapeError(f"{owner}: num_items must be one number; it has shape {list(num_items.shape)}")
            Interval(0).check(owner, "num_items", num_items)
        elif isinstance(num_items, bool | str) or not Interval(0).holds(num_items) or num_items == float("inf"):
            raise ParameterError(f"{owner}: num_items must be a number of at least 0, not {num_items!r}")
        return num_items

    # How a loss is written ----------------------------------------------------------------------------------------
    def __str__(self) -> str:
        """The specification that `lossmith.create` turns into this loss again; process groups are left out."""
        words = [f"{k}={spell(v)}" for k, v in self.options().items() if k != "process_group"]
        return self.spec_name + (f"({', '.join(words)})" if words else "")

    def __repr__(self) -> str:
        shown = {k: spell(v) if isinstance(v, Tensor) else repr(v) for k, v in self.options().items()}
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in shown.items())})"


def totals(value: Tensor, share: Tensor | None) -> tuple[Tensor, Tensor]:
    """The sum of values, and what a mean divides it by."""
    ops = ops_of(value)
    total = ops.sum(value)  # before the count: of the two orders the one whose loop compilers make quick
    return total, ops.full(value, (), math.prod(value.shape)) if share is None else ops.sum(share)


def _register(cls: type[Loss], name: str | None = None) -> None:
    """Enter a final class in the registry, under its name in words: FocalLoss is "focal"; or under a given name."""
    stem = cls.__name__.removesuffix("Loss").removesuffix("_loss") or cls.__name__
    name = name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", stem).lower()
    own_file = hasattr(sys.modules.get(cls.__module__), "__lossmith_file__")  # addressed as path.py:Name, see spec
    taken = None if own_file else registry.get(name)
    if taken is not None and (taken.__module__, taken.__qualname__) != (cls.__module__, cls.__qualname__):
        raise TypeError(f'there is a loss named "{name}" already, {taken.__module__}.{taken.__name__}; rename yours')
    cls.name = cls.spec_name = name
    family_text = next((doc for base in cls.__mro__[1:] if "Shapes:" in (doc := inspect.getdoc(base) or "")), "")
    parts = [
        inspect.cleandoc(cls.__doc__ or "A loss without a description."),
        family_text[family_text.find("Shapes:") :],
        _parameter_text(cls),
    ]
    cls.__doc__ = "\n\n".join(parts)
    if not own_file:
        registry[name] = cls


@functools.lru_cache(maxsize=1024)
def _forward_of(name: str, parameters: tuple[tuple[str, Any], ...]) -> FunctionType:
    """A copy of `forward` with a code object of its own, the same one for the same parameters."""
    del parameters
    shared = Loss.forward
    twin = FunctionType(
        shared.__code__.replace(co_qualname=name), shared.__globals__, shared.__name__, shared.__defaults__
    )
    twin.__kwdefaults__ = shared.__kwdefaults__
    return twin


def _parameter_text(cls: type[Loss]) -> str:
    lines = [
        f"    {k}: {p.rule} (default {spell(p.default)}){'; ' * bool(p.about)}{p.about}"
        for k, p in cls.parameters_.items()
    ]
    return "\n".join(["Parameters:", *lines])
