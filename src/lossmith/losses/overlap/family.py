"""The overlap family: from the model's output to the soft counts of true positives, false positives, false negatives.

With the probability p of a class and its share t of the target at each pixel, ``tp = sum p t``,
``fp = sum p (1 - t)`` and ``fn = sum (1 - p) t``: one of each per class, of a sample or of the whole batch.
"""

from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from lossmith.arrays import ops_of
from lossmith.errors import ParameterError, ShapeError
from lossmith.flow.domain import Classes, Domain, Interval
from lossmith.flow.loss import Input, Loss, totals
from lossmith.flow.parameter import integer_or_none, param, weights_or_none
from lossmith.flow.partial import Partial, divide
from lossmith.flow.units import Units, at_least_float32
from lossmith.kernels import eager
from lossmith.kernels import overlap as kernel
from lossmith.losses.likelihood.family import arranged, labels
from lossmith.losses.link import BINARY, DOMAINS, ENOUGH, LINKS, Link, warn_of_probabilities
from lossmith.losses.overlap.counts import probability, soft_counts


class RegionLoss(Loss, family="overlap"):
    """A loss of whole regions: one number per class for each sample, or for the batch.

    Shapes: over classes (link "softmax", "log_prob", "prob") input [N, C, *], target class indices [N, *] or shares of
    the classes (one-hot or soft, floating point) [N, C, *]. Labels of their own (link "sigmoid", "binary_prob") input
    and target of one shape [N, K, *], target in [0, 1]. With ``per="sample"`` there must be pixels behind the classes,
    and there is a value per sample and class, [N, C] (``reduction="none"``); a sample whose pixels are all masked does
    not count. ``per="batch"`` takes all pixels of the batch for one picture, in which a table [N, C], or [N] for one
    label, is legal: one value per class, [C]. The mean is over these values, weighted by `weight`: a class that is
    absent and not predicted is in it, at no cost. `mask` and `sample_weight` have one entry per pixel ([N, *]; with
    labels of their own [N, K, *]) or per sample, [N]: of a pixel a weight counts inside the sums, of a sample it
    weighs its values, or with ``per="batch"`` all its pixels. The loss is a number without unit, from 0 to 1 unless it
    says otherwise. Raises `ShapeError` and `DtypeError` for tensors that do not fit each other, `DomainError` for class
    indices outside [0, C), targets outside [0, 1] and probabilities that are none.
    """

    portable = True
    link: Link = param(
        default="softmax",
        one_of=LINKS,
        about="what the input is: logits over classes or of single labels, log-probabilities, probabilities",
    )
    per: Literal["sample", "batch"] = param(
        default="sample", one_of=("sample", "batch"), about="what one overlap is of: a sample, or the whole batch"
    )
    include_background: bool = param(
        default=True, about="whether class 0 has a value; where not, it still takes part in the softmax"
    )
    weight: Any = param(
        default=None,
        read=weights_or_none,
        rule="numbers, finite and at least 0, one per class",
        about="how much each class counts in the mean, [C], the background included",
    )
    ignore_index: int | None = param(
        default=-100, read=integer_or_none, rule="an integer or None", about="pixels with this target do not count"
    )

    unit = "sample"
    narrow: ClassVar[bool] = False  # whether logits beside class indices stay in half precision until they are counted

    def validate(self) -> None:
        super().validate()
        self._warn_of_probabilities = self.link in ("softmax", "sigmoid")
        if self.weight is not None and self.weight.dim() != 1:
            raise ParameterError(f"{type(self).__name__}: weight must be one number per class, [C]")

    def arrange(self, input: Input, target: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Units]:
        owner, over_classes = type(self).__name__, self.link not in BINARY
        inputs, target, units = arranged(owner, input, target, over_classes=over_classes, narrow=self.narrow)
        shape = list(inputs[0].shape)
        if self.per == "sample" and len(shape) < 3:
            raise ShapeError(
                f"{owner}: input must be [N, C, *] with the pixels of each sample behind its classes, and has shape "
                f'{shape}; the overlap of all samples together is per="batch"'
            )
        if len(shape) < (2 if over_classes else 1):
            raise ShapeError(f"{owner}: input must be [N, C, *], with the samples along axis 0; it has shape {shape}")
        classes = shape[1] if len(shape) > 1 else 1
        if classes < 2 and not self.include_background:
            raise ShapeError(f"{owner}: without the background no class is left; input has shape {shape}")
        if self.weight is not None and len(self.weight) != classes:
            raise ShapeError(
                f"{owner}: weight must have one number per class, shape [{classes}]; it has shape "
                f"{list(self.weight.shape)}"
            )
        return inputs, target, units

    def legal_input(self) -> Domain | None:
        return DOMAINS[self.link]

    def legal_target(self, target: Tensor, units: Units) -> Domain | None:
        return labels(target, units)

    def check(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> None:
        super().check(inputs, target, units)
        warn_of_probabilities(self, inputs[0], units.axis, enough=ENOUGH)

    def laid_out(self, x: Tensor, target: Tensor, units: Units) -> tuple[Tensor, Tensor, Tensor | None]:
        """`x` and target as [N, C, *], and the weight of each pixel, [N, 1, *] or [N, C, *] (None: all weigh 1)."""
        ops, weight = ops_of(x), units.weight
        if weight is None and units.keep is not None:
            weight = ops.cast(units.keep, x)
        if len(x.shape) == 1:
            x, target, weight = x[:, None], target[:, None], None if weight is None else weight[:, None]
        if units.axis is not None:
            weight = None if weight is None else ops.expand_dims(weight, 1)
            if len(target.shape) < len(x.shape):
                target = ops.one_hot(ops.expand_dims(target, 1), x, 1)
        return x, ops.cast(target, x), weight

    def classwise(self, x: Tensor, target: Tensor, units: Units) -> tuple[Tensor, Tensor, Tensor | None]:
        """As `laid_out`, of the classes that have a value."""
        x, target, weight = self.laid_out(x, target, units)
        if self.include_background:
            return x, target, weight
        return x[:, 1:], target[:, 1:], weight if weight is None or weight.shape[1] == 1 else weight[:, 1:]

    def values(
        self, input: Input, target: Tensor | None, mask: Tensor | None = None, sample_weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        inputs, ready, units = self.admit(input, target, mask, sample_weight)
        of_samples = sample_weight is not None and len(sample_weight.shape) == 1 and self.per == "sample"
        if of_samples:  # they weigh values, not pixels; a sample that weighs nothing is hidden all the same
            inputs = inputs if units.shown is None else super().conceal(inputs, ready, units)
            units = replace(units, weight=None)
        value, seen = self.evaluate(inputs, ready, replace(units, keep=units.shown))
        assert seen is not None
        return self.weighed(value, seen, sample_weight if of_samples else None)

    def partial(
        self,
        input: Input,
        target: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> Partial:
        """The sums of the values of this batch."""
        return self.as_partial(*totals(*self.values(input, target, mask, sample_weight)))

    def weighed(self, value: Tensor, seen: Tensor, sample_weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The values, [N, C] or [C], times their weights where any pixel was `seen`, and what a mean divides by."""
        ops = ops_of(value)
        factor = ops.ones_like(value)
        if self.weight is not None:
            factor = factor * ops.constant(self.weight, value)[0 if self.include_background else 1 :]
        if sample_weight is not None:
            factor = factor * ops.cast(sample_weight, value)[:, None]
        share = ops.ones_like(value) if self.normalizer == "count" else factor
        return ops.where(seen, value * factor, 0.0), ops.where(seen, share, 0.0)

    def reduce(self, partial: Partial, *, num_items: float | Tensor | None = None) -> Tensor:
        if num_items is not None and self.per == "batch":
            instead = "merge their partials" if self.scope == "sums" else 'use per="sample"'
            raise ParameterError(
                f"{type(self).__name__}: num_items is for losses that add up over micro-batches, and the overlap of a "
                f"whole batch does not: {instead}"
            )
        return super().reduce(partial, num_items=num_items)

    def sample(self, generator: torch.Generator, units: int = 8) -> tuple[Input, Tensor]:
        return pictures(self.link, generator, units)


class OverlapLoss(RegionLoss, family="overlap"):
    """A loss that is a formula ``g(tp, fp, fn)`` of the soft counts of a class, each [N, C] or [C].

    A pixel of weight v, probability p and target t adds ``v p t`` to tp, ``v p (1 - t)`` to fp and ``v (1 - p) t`` to
    fn. With soft targets these counts are least not at p = t but at a corner; those of ``DiceLoss(squared=True)`` are.
    """

    smooth: float = param(
        default=1.0,
        ge=0,
        about="pixels that count as found in every class: an empty mask, found empty, costs 0, and a false pixel on it "
        "costs and has a gradient",
    )

    narrow = True
    squared = False  # whether fp and fn are counts of squared errors; a parameter of DiceLoss
    pools_classes = False  # whether the formula makes one value, [N, 1], of all classes

    def formula(self, tp: Any, fp: Any, fn: Any, xp: Any) -> Any:
        raise NotImplementedError

    @property
    def scope(self) -> Literal["unit", "sums", "set"]:
        return "unit" if self.per == "sample" else "sums"

    def validate(self) -> None:
        super().validate()
        if self.pools_classes and self.weight is not None:
            raise ParameterError(f"{type(self).__name__}: weight has no place here, the formula weighs the classes")

    def evaluate(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, Tensor]:
        counts = self.counts(inputs, target, units)
        if self.per == "batch":
            counts = pooled(counts)
            if self.process_group is not None:
                counts = counts.all_reduce(self.process_group)
        return self.of_counts(counts)

    def conceal(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, ...]:
        return inputs if self.link in kernel.LINKS else super().conceal(inputs, target, units)  # `counts` does it

    def counts(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> Partial:
        """tp, fp and fn of every sample and class, [3, N, C], and the weight of the pixels that were seen, [N, C]."""
        (x,), weight, hidden = inputs, units.weight, units.keep if self.link in kernel.LINKS else None

        def plainly(x: Tensor) -> tuple[Tensor, Tensor]:
            x = at_least_float32(x)
            x = x if hidden is None else units.hide(x, hidden, self.legal_input())
            return soft_counts(*self.laid_out(probability(self.link, x), target, units), self.squared)

        given = [each for each in (x, target, weight) if each is not None]
        learnt = any(getattr(each, "requires_grad", False) for each in given[1:])
        if self.link in kernel.LINKS and len(x.shape) > 2 and not learnt and eager.fits(*given):
            found = kernel.counts(x, target, self.link, plainly, squared=self.squared, weight=weight, keep=hidden)
        else:
            found = plainly(x)
        total, seen = found
        return Partial(total, seen) if self.include_background else Partial(total[:, :, 1:], seen[:, 1:])

    def of_counts(self, counts: Partial) -> tuple[Tensor, Tensor]:
        """The formula, and which of its values had any pixel to see."""
        seen = counts.weight > 0
        ops = ops_of(seen)
        tp, fp, fn = (counts.total[k] for k in range(3))
        return self.formula(tp, fp, fn, ops.xp), ops.xp.any(seen, -1, keepdims=True) if self.pools_classes else seen

    def partial(
        self,
        input: Input,
        target: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> Partial:
        """The sums of this batch: of the values, or with ``per="batch"`` the counts themselves; both merge exactly."""
        if self.per == "sample":
            return super().partial(input, target, mask=mask, sample_weight=sample_weight)
        inputs, ready, units = self.admit(input, target, mask, sample_weight)
        return pooled(self.counts(inputs, ready, replace(units, keep=units.shown)))

    def reduce(self, partial: Partial, *, num_items: float | Tensor | None = None) -> Tensor:
        if self.per == "sample" or num_items is not None:
            return super().reduce(partial, num_items=num_items)
        if self.process_group is not None:
            partial = partial.all_reduce(self.process_group)
        value, share = self.weighed(*self.of_counts(partial))
        ops = ops_of(value)
        if self.reduction == "sum":
            return ops.sum(value)
        return divide(ops.sum(value), self.normalizer if isinstance(self.normalizer, float) else ops.sum(share))


def pooled(counts: Partial) -> Partial:
    """The counts of all samples together."""
    ops = ops_of(counts.weight)
    return Partial(ops.sum(counts.total, 1), ops.sum(counts.weight, 0))


def pictures(link: str, generator: torch.Generator, samples: int) -> tuple[Tensor, Tensor]:
    """Test data in float64: pictures of 5 pixels with 3 classes, or 2 labels."""
    if link in BINARY:
        z = Interval().sample((samples, 2, 5), generator)
        t = Interval(0, 1).sample((samples, 2, 5), generator).round()
        return (z.sigmoid() if link == "binary_prob" else z), t
    z = Interval().sample((samples, 3, 5), generator)
    scores = {"softmax": z, "log_prob": z.log_softmax(1), "prob": z.softmax(1)}
    return scores[link], Classes(3).sample((samples, 5), generator)
