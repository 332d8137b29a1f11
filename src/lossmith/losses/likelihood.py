"""Likelihood losses: a formula f(log p) of the probability that the model gives to the target.

A target that is a mixture of labels (class probabilities, soft labels, label smoothing) costs the mixture of their
losses, ``sum_c q_c f(log p_c)``.
"""

import warnings
from typing import Any, Literal

import torch
from torch import Tensor

from lossmith.errors import ParameterError
from lossmith.flow.domain import Classes, Domain, Interval, Simplex, may_look
from lossmith.flow.labelled import LabelledLoss, scaled
from lossmith.flow.loss import Input
from lossmith.flow.parameter import param, weights_or_none
from lossmith.flow.units import Units, at_least_float32, elements, one_tensor, rows
from lossmith.losses.link import BINARY, DOMAINS, LINKS, Link, log_p_all, log_p_binary, log_p_of

ENOUGH = 32  # numbers, which all lie in [0, 1] by chance no more
TINY = 1.2e-38  # the least normal number of float32: every power of it above -1 is finite


class LikelihoodLoss(LabelledLoss, family="likelihood"):
    """A loss that is a formula ``f(log p)`` of the probability p that the model gives to the target.

    Shapes: over classes (link "softmax", "log_prob", "prob") input [N, C, *] or [C], target class indices [N, *] or
    class probabilities of the input's shape, a unit is a row. Binary and multi-label (link "sigmoid", "binary_prob")
    input and target of one shape, target in [0, 1], a unit is an element. The loss is a number without unit, in nats
    for cross-entropy. Raises `ShapeError` and `DtypeError` for tensors that do not fit each other, `DomainError` for
    class indices outside [0, C), targets outside [0, 1] and probabilities that are none.
    """

    link: Link = param(
        default="softmax",
        one_of=LINKS,
        about="what the input is: logits over classes or of single labels, log-probabilities, probabilities",
    )
    label_smoothing: float = param(
        default=0.0, ge=0, lt=1, about="epsilon: the share of the target that is spread over the labels"
    )
    smoothing: Literal["uniform", "others", "torch"] = param(
        default="uniform",
        one_of=("uniform", "others", "torch"),
        about="epsilon / C on every label, epsilon / (C - 1) on the other labels, or as uniform but with the class "
        "weights inside the sum, as torch has it (its minimum is then not where the target is)",
    )

    unit = "row"

    def formula(self, logp: Any, xp: Any) -> Any:
        raise NotImplementedError

    def absent(self, logp: Any, xp: Any) -> Any:
        """The formula where a single label is absent, of the log-probability of that; it is the same by default."""
        return self.formula(logp, xp)

    def optimum(self) -> float:
        """The p at which the formula is least: 1, but for a loss that says otherwise."""
        return 1.0

    def adjust(self, z: Tensor, target: Tensor, units: Units) -> Tensor:
        """Move the scores before log p is taken; by default they stay."""
        return z

    def validate(self) -> None:
        super().validate()
        self._warn_of_probabilities = self.link in ("softmax", "sigmoid")
        if self.link in BINARY:
            self.check_alpha_is_a_share()
            return
        if self.pos_weight is not None:
            raise ParameterError(f"{type(self).__name__}: pos_weight belongs to a binary link; over classes use alpha=")
        if self.alpha is not None and self.alpha.dim() == 0:
            raise ParameterError(f"{type(self).__name__}: over classes alpha must be one number per class")

    def arrange(self, input: Input, target: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Units]:
        owner = type(self).__name__
        input = one_tensor(owner, input)
        units = (elements if self.link in BINARY else rows)(owner, input, target)
        input = at_least_float32(input)
        if target.dtype != torch.bool:  # as int64, or ignore_index would wrap around in a narrow type
            target = target.to(input.dtype if target.is_floating_point() else torch.int64)
        return (input,), target, units

    def legal_input(self) -> Domain | None:
        return DOMAINS[self.link]

    def legal_target(self, target: Tensor, units: Units) -> Domain | None:
        if units.axis is None:
            return Interval(0, 1)
        return Simplex(units.axis, units.classes) if target.is_floating_point() else Classes(units.classes)

    def check(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> None:
        super().check(inputs, target, units)
        input = inputs[0]
        if self._warn_of_probabilities and may_look(input):
            enough = input.numel() >= (ENOUGH if units.axis is None else 1)
            self._warn_of_probabilities = not enough  # look once
            if enough and _looks_like_probabilities(input, units.axis):
                other = "prob" if units.axis is not None else "binary_prob"
                warnings.warn(
                    f'{type(self).__name__}: link="{self.link}" wants logits, and the input looks like '
                    f'probabilities; if that is what it is, say link="{other}"',
                    stacklevel=2,
                )

    def evaluate(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        z = self.adjust(inputs[0], target, units)
        if units.axis is None:
            return self._evaluate_binary(z, target)
        return self._evaluate_rows(z, target, units.axis, units.classes)

    def _evaluate_rows(self, z: Tensor, target: Tensor, axis: int, classes: int) -> tuple[Tensor, Tensor | None]:
        hard = not target.is_floating_point()
        cost, count = self.class_costs(classes, z)
        if hard and not self.label_smoothing:
            value = self.formula(log_p_of(self.link, z, target, axis), torch)
            return scaled(value, None if cost is None else cost[target]), None if count is None else count[target]
        along = [-1 if a == axis else 1 for a in range(z.dim())]
        cost, count = (None if c is None else c.view(along) for c in (cost, count))
        logp = log_p_all(self.link, z, axis)
        if not self.label_smoothing:  # soft targets: a class that is ruled out, log p = -inf, has no share; skip it
            logp = torch.where(target > 0, logp, -1.0)
        each = self._per_label([self.formula(logp, torch)], [cost], classes, axis)[0]
        if hard:
            value = each.gather(axis, target.unsqueeze(axis)).squeeze(axis)
            return value, None if count is None else count.flatten()[target]
        return (target * each).sum(axis), None if count is None else (target * count).sum(axis)

    def _evaluate_binary(self, z: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        costs, (count0, count1) = self.binary_costs(z)
        t = target.to(z.dtype)
        seen = [z, z] if self.label_smoothing else [torch.where(t < 1, z, 0.5), torch.where(t > 0, z, 0.5)]
        formulas = (self.absent, self.formula)
        losses = [formulas[k](log_p_binary(self.link, seen[k], present=bool(k)), torch) for k in (0, 1)]
        absent, present = self._per_label(losses, list(costs), 2)
        return t * present + (1 - t) * absent, None if self.weight is None else t * count1 + (1 - t) * count0

    def _per_label(
        self, losses: list[Tensor], costs: list[Tensor | float | None], classes: int, axis: int | None = None
    ) -> list[Tensor]:
        """What each label costs as a target: class costs applied, and a share of it spread over all labels.

        The labels lie along `axis` of the one tensor in `losses`, or are the tensors in it.
        """
        eps, inside = self.label_smoothing, self.smoothing == "torch"
        if inside:
            losses = [scaled(f, c) for f, c in zip(losses, costs, strict=True)]
        if eps:
            total = losses[0] + losses[1] if axis is None else losses[0].sum(axis, keepdim=True)
            if self.smoothing == "others":
                losses = [(1 - eps) * f + eps / (classes - 1) * (total - f) for f in losses]
            else:
                losses = [(1 - eps) * f + eps / classes * total for f in losses]
        return losses if inside else [scaled(f, c) for f, c in zip(losses, costs, strict=True)]

    def positives(self, target: Tensor, units: Units) -> Tensor:
        if units.axis is None:
            return target
        return target != 0 if not target.is_floating_point() else 1 - target.select(units.axis, 0)

    def sample(self, generator: torch.Generator, units: int = 8) -> tuple[Input, Tensor]:
        z = Interval().sample((units,) if self.link in BINARY else (units, 3), generator)
        if self.link in BINARY:
            labels = Interval(0, 1).sample((units,), generator).round()
            return (z.sigmoid() if self.link == "binary_prob" else z), labels
        scores = {"softmax": z, "log_prob": z.log_softmax(1), "prob": z.softmax(1)}
        return scores[self.link], Classes(3).sample((units,), generator)


def _looks_like_probabilities(x: Tensor, axis: int | None) -> bool:
    least, most = torch.aminmax(x.detach())
    if not 0 <= least < most <= 1:  # all the same is an untrained model
        return False
    return axis is None or bool(((x.sum(axis) - 1).abs() < 1e-4).all())


class CrossEntropyLoss(LikelihoodLoss):
    """Cross-entropy: ``-log p``, the negative log-likelihood of the target. It estimates the probabilities.

    >>> float(CrossEntropyLoss().formula(torch.tensor(0.5).log(), torch))   # log 2
    0.6931...
    >>> float(CrossEntropyLoss()(torch.tensor([[10.0, 8, 6], [7, 9, 5], [5, 4, 10]]), torch.tensor([0, 1, 2])))
    0.0983...

    Source: Good (1952), "Rational decisions"; the same as ``torch.nn.CrossEntropyLoss``, but for `label_smoothing`
    together with `weight` (see `smoothing`) and class probabilities together with `weight` (a mean divides by the
    weights, as it does for class indices).
    """

    def formula(self, logp: Any, xp: Any) -> Any:
        return -logp


class NLLLoss(LikelihoodLoss):
    """Cross-entropy of log-probabilities: ``-log p`` where the input is ``log_softmax`` of the scores.

    >>> float(NLLLoss()(torch.tensor([[0.25, 0.75]]).log(), torch.tensor([1])))   # log(4 / 3)
    0.2876...
    >>> float(NLLLoss()(torch.tensor([[0.5, 0.5]]).log(), torch.tensor([0])))
    0.6931...

    Source: the same as ``torch.nn.NLLLoss``.
    """

    link: Link = param(default="log_prob", one_of=LINKS)
    formula = CrossEntropyLoss.formula


class LogLoss(LikelihoodLoss):
    """Log loss: cross-entropy by another name, ``-log p``; the input is logits like `CrossEntropyLoss`'s.

    >>> float(LogLoss()(torch.tensor([[0.0, 0.0]]), torch.tensor([1])))   # log 2
    0.6931...
    >>> float(LogLoss(link="prob")(torch.tensor([[0.75, 0.25]]), torch.tensor([1])))   # log 4
    1.3862...

    Source: the same as ``sklearn.metrics.log_loss`` when ``link="prob"``.
    """

    formula = CrossEntropyLoss.formula


class BCELoss(LikelihoodLoss):
    """Binary cross-entropy of probabilities: ``-t log p - (1 - t) log(1 - p)``.

    >>> float(BCELoss()(torch.tensor([0.25]), torch.tensor([1.0])))   # log 4
    1.3862...
    >>> float(BCELoss()(torch.tensor([0.25]), torch.tensor([0.0])))   # log(4 / 3)
    0.2876...

    Source: the same as ``torch.nn.BCELoss`` where it does not clamp (p above 1e-30).
    """

    link: Link = param(default="binary_prob", one_of=LINKS)
    formula = CrossEntropyLoss.formula


class BCEWithLogitsLoss(LikelihoodLoss):
    """Binary cross-entropy of logits: ``-t log p - (1 - t) log(1 - p)`` with ``p = sigmoid(input)``.

    >>> float(BCEWithLogitsLoss()(torch.tensor([0.0]), torch.tensor([1.0])))   # log 2
    0.6931...
    >>> float(BCEWithLogitsLoss()(torch.tensor([200.0]), torch.tensor([0.0])))
    200.0

    Source: the same as ``torch.nn.BCEWithLogitsLoss`` with `pos_weight`; its `weight` is our `sample_weight`.
    """

    link: Link = param(default="sigmoid", one_of=LINKS)
    formula = CrossEntropyLoss.formula


class BalancedCrossEntropyLoss(LikelihoodLoss):
    """Balanced cross-entropy: ``-alpha log p`` on positives, ``-(1 - alpha) log p`` on negatives.

    >>> float(BalancedCrossEntropyLoss()(torch.tensor([0.0]), torch.tensor([1.0])))   # 0.75 log 2
    0.5198...
    >>> float(BalancedCrossEntropyLoss(alpha=0.9)(torch.tensor([0.0]), torch.tensor([0.0])))   # 0.1 log 2
    0.0693...

    Source: Lin et al., "Focal Loss for Dense Object Detection", arXiv 1708.02002, eq. 3; 0.75 is the best alpha of
    its table 1a.
    """

    link: Link = param(default="sigmoid", one_of=LINKS)
    alpha: Any = param(
        default=0.75,
        read=weights_or_none,
        rule="a number in [0, 1]",
        about="what a mistake costs: alpha on positives, 1 - alpha on negatives",
    )
    formula = CrossEntropyLoss.formula


class FocalLoss(LikelihoodLoss):
    """Cross-entropy that looks away from what is already easy: ``-(1 - p)^gamma log p``.

    gamma = 0 is cross-entropy. For gamma > 0 it does not estimate the probabilities: its p is too timid. A 1 - p
    below 1.2e-38, the least normal number of float32, is taken for that number.

    >>> float(FocalLoss(gamma=2.0).formula(torch.tensor(0.9).log(), torch))   # 1/100 of cross-entropy
    0.00105...
    >>> float(FocalLoss(gamma=2.0).formula(torch.tensor(0.5).log(), torch))   # 1/4 of it
    0.1732...

    Source: Lin et al., "Focal Loss for Dense Object Detection", arXiv 1708.02002, eq. 4 (with `alpha`: eq. 5).
    """

    gamma: float = param(default=2.0, ge=0, about="how much the easy is left aside; 0 is cross-entropy")

    def formula(self, logp: Any, xp: Any) -> Any:
        miss = -xp.expm1(logp)  # 1 - p
        miss = xp.where(miss > TINY, miss, TINY)  # at 0 a power below 1 has an infinite slope
        return -(miss**self.gamma) * logp


class PolyLoss(LikelihoodLoss):
    """Poly-1: cross-entropy plus ``epsilon (1 - p)``, the first term of its series weighed anew.

    epsilon = 0 is cross-entropy; below -1 its minimum would leave p = 1.

    >>> float(PolyLoss(epsilon=1.0).formula(torch.tensor(0.5).log(), torch))   # log 2 + 1/2
    1.1931...
    >>> float(PolyLoss(epsilon=-1.0).formula(torch.tensor(0.25).log(), torch))   # log 4 - 3/4
    0.6362...

    Source: Leng et al., "PolyLoss", arXiv 2204.12511, eq. 6.
    """

    epsilon: float = param(default=1.0, ge=-1, about="the weight of 1 - p")

    def formula(self, logp: Any, xp: Any) -> Any:
        x, miss = -logp, -xp.expm1(logp)
        near = xp.where(x < 0.25, x, xp.zeros_like(x))
        series = xp.ones_like(x)
        for k in range(12, 2, -1):
            series = 1 - near * series / k
        beyond = xp.where(x < 0.25, 0.5 * near * near * series, x - miss)  # x - miss without its cancellation
        return beyond + (1 + self.epsilon) * miss


class GeneralizedCrossEntropyLoss(LikelihoodLoss):
    """Generalised cross-entropy: ``(1 - p^q) / q``, which bounds what one wrong label can cost by 1 / q.

    q -> 0 is cross-entropy, q = 1 the mean absolute error of p. It resists wrong labels.

    >>> float(GeneralizedCrossEntropyLoss(q=0.5).formula(torch.tensor(0.25).log(), torch))   # (1 - 1/2) / (1/2)
    1.0
    >>> float(GeneralizedCrossEntropyLoss(q=1.0).formula(torch.tensor(0.25).log(), torch))
    0.75

    Source: Zhang and Sabuncu, "Generalized Cross Entropy Loss", arXiv 1805.07836, eq. 6.
    """

    q: float = param(default=0.7, gt=0, le=1, about="how much wrong labels are resisted")

    def formula(self, logp: Any, xp: Any) -> Any:
        x = self.q * logp
        near = xp.where(x > -0.5, x, xp.zeros_like(x))
        far = xp.where(x > -0.5, xp.zeros_like(x) - 1, x)  # for a small p the slope of expm1 cancels
        return xp.where(x > -0.5, -xp.expm1(near), 1 - xp.exp(far)) / self.q
