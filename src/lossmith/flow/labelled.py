"""Losses whose target names a class: class weights, `alpha`, `pos_weight` and `ignore_index`.

Two kinds of class weight, and the difference matters: `weight` says how much a unit counts, so a mean also
divides by it (as torch's cross-entropy does); `alpha` and `pos_weight` change what a mistake costs, so a mean
does not (as in RetinaNet, and as torch's BCEWithLogitsLoss does).
"""

from typing import Any

from torch import Tensor

from lossmith.arrays import ops_of
from lossmith.errors import ParameterError, ShapeError
from lossmith.flow.loss import Loss
from lossmith.flow.parameter import integer_or_none, param, weights_or_none

Pair = tuple[Tensor | float, Tensor | float]


class LabelledLoss(Loss, family=""):
    """The options that class labels bring along."""

    weight: Any = param(
        default=None,
        read=weights_or_none,
        rule="numbers, finite and at least 0, one per class",
        about="how much a unit of each class counts, [C]; for a binary target [2], or [K, 2] for K labels",
    )
    alpha: Any = param(
        default=None,
        read=weights_or_none,
        rule="a number in [0, 1], or numbers of at least 0, one per class",
        about="what a mistake costs: binary, alpha on positives and 1 - alpha on negatives (one number, or one per "
        "label); over classes, one factor per class, [C]",
    )
    pos_weight: Any = param(
        default=None,
        read=weights_or_none,
        rule="a number, finite and at least 0, or one per label",
        about="binary: what a mistake on a positive costs, against 1 on a negative",
    )
    ignore_index: int | None = param(
        default=-100, read=integer_or_none, rule="an integer or None", about="units with this target do not count"
    )

    def validate(self) -> None:
        if self.weight is not None and self.weight.dim() == 0:
            raise ParameterError(f"{type(self).__name__}: weight must be one number per class, not a single number")

    @property
    def costs(self) -> Tensor | None:
        """`alpha`, as class costs; None too where a loss has declared an alpha anew, as a number of its formula."""
        return self.alpha if isinstance(self.alpha, Tensor) else None

    def check_alpha_is_a_share(self) -> None:
        """Where a target is binary, alpha is the share of the positives, and 1 - alpha that of the negatives."""
        if self.costs is not None and bool((self.costs > 1).any()):
            raise ParameterError(f"{type(self).__name__}: alpha must be in [0, 1]: the share of the positives")

    def binary_costs(self, like: Tensor) -> tuple[Pair, Pair]:
        """(negative, positive): what a mistake costs, and how much a unit counts, ready to meet units `like`."""
        counts: Pair = (1.0, 1.0)  # plain numbers where nothing was asked for, tensors otherwise
        if self.weight is not None:
            if self.weight.shape[-1] != 2:
                raise ShapeError(
                    f"{type(self).__name__}: weight of a binary target must be [negative, positive] or [K, 2] for "
                    f"K labels; it has shape {list(self.weight.shape)}"
                )
            counts = (self._fit("weight", self.weight[..., 0], like), self._fit("weight", self.weight[..., 1], like))
        negative, positive = counts
        if self.costs is not None:
            alpha = self._fit("alpha", self.costs, like)
            negative, positive = negative * (1 - alpha), positive * alpha
        if self.pos_weight is not None:
            negative = ops_of(like).constant(negative, like) if isinstance(negative, float) else negative
            positive = positive * self._fit("pos_weight", self.pos_weight, like)
        return (negative, positive), counts

    def class_costs(self, classes: int, like: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """[C] each: what a mistake on a class costs, and how much a unit of it counts; None for 1 throughout."""
        for name, vector in (("weight", self.weight), ("alpha", self.costs)):
            if vector is not None and vector.shape != (classes,):
                raise ShapeError(
                    f"{type(self).__name__}: {name} must have one number per class, shape [{classes}]; "
                    f"it has shape {list(vector.shape)}"
                )
        ops = ops_of(like)
        weight = None if self.weight is None else ops.constant(self.weight, like)
        if self.costs is None:
            return weight, weight
        costs = ops.constant(self.costs, like)
        return (costs if weight is None else weight * costs), weight

    def _fit(self, name: str, vector: Tensor, like: Tensor) -> Tensor:
        """One number for all labels, or one per label, which lie along axis 1."""
        alone, dims = vector.dim() == 0 or vector.shape == (1,), len(like.shape)
        if alone or (vector.dim() == 1 and dims > 1 and like.shape[1] == vector.shape[0]):
            fitting: Tensor = ops_of(like).constant(vector.reshape(() if alone else (1, -1, *[1] * (dims - 2))), like)
            return fitting
        raise ShapeError(
            f"{type(self).__name__}: {name} must be one number, or one per label along axis 1 of the input "
            f"{list(like.shape)}; it has shape {list(vector.shape)}"
        )


def choose(positive: Tensor, pair: Pair) -> Tensor | None:
    """The second of the pair where `positive` is 1, the first where it is 0; None if both are 1."""
    negative, one = pair
    return None if isinstance(one, float) else negative + positive * (one - negative)


def scaled(value: Tensor, factor: Tensor | float | None) -> Tensor:
    """`value` times a factor that may be missing."""
    return value if factor is None or isinstance(factor, float) else value * factor
