"""Losses that know how often each class was seen, and move the scores before log p is taken."""

from typing import Any, ClassVar

from torch import Tensor

from lossmith.arrays import ops_of
from lossmith.errors import DtypeError, ParameterError, ShapeError
from lossmith.flow.claim import Claims
from lossmith.flow.domain import may_look
from lossmith.flow.parameter import param, weights_or_none
from lossmith.flow.units import Units
from lossmith.losses.likelihood.cross_entropy import CrossEntropyLoss
from lossmith.losses.likelihood.family import LikelihoodLoss, along
from lossmith.losses.link import Link


class PriorLoss(LikelihoodLoss, family="likelihood"):
    """A loss over classes that knows how often each was seen, by `counts` or as shares, by `prior`.

    Shapes: input logits [N, C, *] or [C], target class indices [N, *] (or, where the loss says so, class probabilities
    of the input's shape), a unit is a row. Raises `ShapeError` and `DtypeError` for tensors that do not fit each other
    or the counts, `DomainError` for class indices outside [0, C), `ParameterError` for a class that was never seen: it
    has no frequency to go by (give it the count that you would expect, such as 1, or leave the class out).
    """

    example: ClassVar[dict[str, Any]] = {"counts": (50.0, 5.0, 500.0)}

    link: Link = param(default="softmax", one_of=("softmax",), about="what the input is: logits over classes")
    counts: Any = param(
        default=None,
        read=weights_or_none,
        rule="numbers greater than 0, one per class",
        about="how often each was seen",
    )
    prior: Any = param(
        default=None,
        read=weights_or_none,
        rule="numbers greater than 0 and of sum 1, one per class",
        about="the share of each class, instead of counts",
    )

    def validate(self) -> None:
        super().validate()
        owner = type(self).__name__
        given = {name: x for name, x in (("counts", self.counts), ("prior", self.prior)) if x is not None}
        if len(given) != 1:
            raise ParameterError(f"{owner}: give counts=[...], one number per class, or prior=[...], not both")
        ((name, seen),) = given.items()
        if seen.dim() != 1 or len(seen) < 2:
            raise ParameterError(
                f"{owner}: {name} must be one number per class, for at least 2 classes; its shape is {list(seen.shape)}"
            )
        if not may_look(seen):
            return
        never = int((seen == 0).sum())
        if never:
            raise ParameterError(
                f"{owner}: {name} must be greater than 0, and {never} of {len(seen)} {'is' if never == 1 else 'are'} "
                "not: a class that was never seen has no frequency; leave it out, or give it the count you would expect"
            )
        if name == "prior" and abs(float(seen.sum()) - 1) > 1e-3:
            raise ParameterError(
                f"{owner}: prior must have sum 1, not {float(seen.sum()):.4g}; numbers of examples are counts="
            )

    def seen(self, units: Units, like: Tensor) -> Tensor:
        """Counts or shares, [C]; only their ratios matter."""
        name, seen = ("prior", self.prior) if self.counts is None else ("counts", self.counts)
        if len(seen) != units.classes:
            raise ShapeError(
                f"{type(self).__name__}: {name} must have one number per class, shape [{units.classes}]; "
                f"it has shape {list(seen.shape)}"
            )
        on: Tensor = ops_of(like).constant(seen, like)
        return on


def shifted(z: Tensor, axis: int) -> Tensor:
    """The scores with their largest at 0, which a softmax does not see: what is added then loses no digits."""
    ops = ops_of(z)
    return z - ops.stop_gradient(ops.amax(z, axis, keepdims=True))


def _level(loss: Any) -> bool:
    """Whether all classes were seen equally often."""
    seen = loss.prior if loss.counts is None else loss.counts
    return bool(seen.min() == seen.max())


def _unmoved(loss: Any) -> bool:
    return loss.tau == 0 or _level(loss)


class LogitAdjustedLoss(PriorLoss):
    """Cross-entropy of logits that hear how common their class is: ``-log softmax(z + tau log prior)_y``.

    In use the logits stay as they are: the argmax of z then has the least balanced error, for tau = 1. It suits
    targets that are class probabilities as well.

    Use it on classes with a long tail where balanced accuracy counts. Not where overall accuracy or the probabilities
    of the training mix count: `CrossEntropyLoss`; with ``tau log prior`` added in use, its scores serve both.

    >>> loss = LogitAdjustedLoss(counts=[90.0, 10.0])
    >>> float(loss(torch.tensor([[0.0, 0.0]]), torch.tensor([1])))   # log 10: the logits alone say 1/2
    2.3025...
    >>> float(LogitAdjustedLoss(prior=[0.8, 0.2], tau=0.5)(torch.tensor([[0.0, 0.0]]), torch.tensor([0])))   # log 1.5
    0.4054...

    Source: Menon et al., "Long-tail learning via logit adjustment", arXiv 2007.07314, eq. 10.
    """

    claims = Claims(convex=True, lipschitz=1.0, proper=_unmoved, calibrated=_unmoved)

    tau: float = param(default=1.0, ge=0, about="how much of the prior is heard; 0 is cross-entropy")
    formula = CrossEntropyLoss.formula

    def adjust(self, z: Tensor, target: Tensor, units: Units) -> Tensor:
        assert units.axis is not None
        return shifted(z, units.axis) + self.tau * along(ops_of(z).log(self.seen(units, z)), z, units.axis)


def _decides(loss: Any) -> bool | None:
    """A margin moves the decision; far beyond what scale tells apart by less than can be seen."""
    return loss.margin == 0 or (None if _level(loss) or loss.scale * loss.margin > 20 else False)


def _scale(loss: Any) -> float:
    return float(loss.scale)


def _is_cross_entropy(loss: Any) -> bool:
    return bool(loss.margin == 0 and loss.scale == 1)


class LDAMLoss(PriorLoss):
    """Cross-entropy with a margin, larger the rarer the class: ``-log softmax(scale (z - Delta_y e_y))_y``.

    The score of the target is lowered by the margin of its class, ``Delta_j = margin (least count / n_j)^(1/4)``,
    before the softmax; e_y is 1 at the target and 0 elsewhere. The scores are meant to be cosines (weights and
    features of length 1), which `scale` spreads. Targets are class indices: a mixture has no one margin.

    Use it on classes with a long tail, with a cosine classifier and, as in the paper, weights late in training. Not on
    ordinary logits, which `scale` blows up, nor for probabilities: `LogitAdjustedLoss`.

    >>> loss = LDAMLoss(counts=[16.0, 1.0], margin=0.5, scale=2.0)
    >>> float(loss(torch.tensor([[0.0, 0.0]]), torch.tensor([1])))   # log(1 + e^(2 / 2))
    1.3132...
    >>> float(loss(torch.tensor([[0.0, 0.0]]), torch.tensor([0])))   # (1/16)^(1/4) = 1/2: log(1 + e^(1 / 2))
    0.9740...

    Source: Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", arXiv 1906.07413,
    section 3.2 (LDAM); `margin`, the largest Delta, stands for its C, as in the authors' code.
    """

    claims = Claims(convex=True, lipschitz=_scale, proper=_is_cross_entropy, calibrated=_decides)

    margin: float = param(default=0.5, ge=0, about="the margin of the rarest class; 0 is cross-entropy of scale z")
    scale: float = param(default=30.0, gt=0, about="what the scores are multiplied by")
    formula = CrossEntropyLoss.formula

    def adjust(self, z: Tensor, target: Tensor, units: Units) -> Tensor:
        ops = ops_of(z)
        if units.axis is None or ops.is_floating(target):
            raise DtypeError(
                f"LDAMLoss: target must be class indices (int64), each with its margin; it is "
                f"{ops.dtype_name(target)} of shape {list(target.shape)}"
            )
        seen, own = self.seen(units, z), ops.expand_dims(target, units.axis)
        margins = self.margin * (ops.amin(seen) / seen) ** 0.25
        z = shifted(z, units.axis)
        return self.scale * (z - ops.one_hot(own, z, units.axis) * along(margins, z, units.axis))
