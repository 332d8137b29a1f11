"""The likelihood family: from the model's output to log p of the target, and what the target may be.

A target that is a mixture of labels (class probabilities, soft labels, label smoothing) costs the mixture of their
losses, ``sum_c q_c f(log p_c)``.
"""

import warnings
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from lossmith.arrays import ops_of
from lossmith.errors import ParameterError
from lossmith.flow.domain import Classes, Domain, Interval, Presence, Simplex, may_look
from lossmith.flow.labelled import LabelledLoss, Pair, choose, scaled
from lossmith.flow.linear import FusedLinear
from lossmith.flow.loss import Input
from lossmith.flow.parameter import param, weights_or_none
from lossmith.flow.units import Units, at_least_float32, elements, one_tensor, rows
from lossmith.losses.link import (
    BINARY,
    DOMAINS,
    ENOUGH,
    LINKS,
    Link,
    log_p_all,
    log_p_binary,
    log_p_both,
    log_p_of,
    target_rows,
    visible,
    warn_of_probabilities,
)

TIMID = 0.9  # a loss that is least at a smaller p teaches the model to doubt what it knows


class LikelihoodLoss(FusedLinear, LabelledLoss, family="likelihood"):
    """A loss that is a formula ``f(log p)`` of the probability p that the model gives to the target.

    Shapes: over classes (link "softmax", "log_prob", "prob") input [N, C, *] or [C], target class indices [N, *] or
    class probabilities of the input's shape, a unit is a row. Binary and multi-label (link "sigmoid", "binary_prob")
    input and target of one shape, target in [0, 1], a unit is an element. The loss is a number without unit, in nats
    for cross-entropy. Raises `ShapeError` and `DtypeError` for tensors that do not fit each other, `DomainError` for
    class indices outside [0, C), targets outside [0, 1] and probabilities that are none.
    """

    portable = True
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
    hooks: ClassVar[tuple[str, ...]] = ("formula", "absent", "adjust", "optimum")
    binary_only: ClassVar[tuple[str, ...]] = ("pos_weight",)  # parameters that have no meaning over classes

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
        owner, self._warn_of_probabilities = type(self).__name__, self.link in ("softmax", "sigmoid")
        self._linear = self.label_smoothing > 0 and _is_linear(self.formula)
        if self.optimum() < TIMID:
            warnings.warn(
                f"{owner}: with these parameters it is least at p = {self.optimum():.2g} of the target, so a model "
                f"that is surer is taught to doubt; take them from where that p is at least {TIMID}",
                stacklevel=2,
            )
        if self.link in BINARY:
            self.check_alpha_is_a_share()
            return
        for name in self.binary_only:
            if getattr(self, name) not in (None, False):
                instead = "; over classes use alpha=" if self.parameters_["alpha"].read is weights_or_none else ""
                raise ParameterError(f"{owner}: {name} belongs to a binary link{instead}")
        if self.costs is not None and self.costs.dim() == 0:
            raise ParameterError(f"{owner}: over classes alpha must be one number per class")

    def arrange(self, input: Input, target: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Units]:
        over_classes = self.link not in BINARY
        return arranged(type(self).__name__, input, target, over_classes=over_classes, narrow=self.reads_rows)

    @property
    def reads_rows(self) -> bool:
        """Whether class indices as targets need of each row of logits no more than the statistic of `target_rows`."""
        plain = self.link == "softmax" and type(self).adjust is LikelihoodLoss.adjust
        return plain and (not self.label_smoothing or (self._linear and self.smoothing != "torch"))

    def conceal(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, ...]:
        if self.reads_rows and not ops_of(target).is_floating(target):
            return inputs  # `target_rows` does not look there
        if self.link == "sigmoid" and self.scope == "unit" and units.weight is None:  # 0 times a NaN is none
            return (visible(inputs[0], units.keep),)
        return super().conceal(inputs, target, units)

    def blocked(self, target: Tensor) -> bool:
        return super().blocked(target) and not (self.reads_rows and not ops_of(target).is_floating(target))

    def legal_input(self) -> Domain | None:
        return DOMAINS[self.link]

    def legal_target(self, target: Tensor, units: Units) -> Domain | None:
        return labels(target, units)

    def check(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> None:
        super().check(inputs, target, units)
        warn_of_probabilities(self, inputs[0], units.axis, enough=ENOUGH if units.axis is None else 1)

    def evaluate(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        if units.axis is not None and self.reads_rows and not ops_of(target).is_floating(target):
            return self._evaluate_targets(inputs[0], target, units)
        z = self.adjust(at_least_float32(inputs[0]), target, units)
        if units.axis is None:
            return self._evaluate_binary(z, target)
        return self._evaluate_rows(z, target, units.axis, units.classes), self.importance(target, units, z)

    def _evaluate_targets(self, z: Tensor, target: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        assert units.axis is not None
        mean, shard = bool(self.label_smoothing), units.shard
        found = target_rows(z, target, units.axis, keep=units.shown, mean=mean, shard=shard)
        assert found.logp is not None
        ops = ops_of(found.logp)
        value = self.formula(found.logp, ops.xp)
        if self.label_smoothing:
            value = self.smoothed(value, units.classes, units.classes * self.formula(found.mean_logp, ops.xp))
        cost = self.class_costs(units.classes, found.logp)[0]
        value = scaled(value, None if cost is None else ops.entries(cost, target))
        return value, self.importance(target, units, found.logp)

    def importance(self, target: Tensor, units: Units, like: Tensor) -> Tensor | None:
        assert units.axis is not None
        count, ops = self.class_costs(units.classes, like)[1], ops_of(target)
        if count is None:
            return None
        if not ops.is_floating(target):
            return ops.entries(count, target)
        return ops.sum(target * along(count, target, units.axis), units.axis)

    def _evaluate_rows(self, z: Tensor, target: Tensor, axis: int, classes: int) -> Tensor:
        ops = ops_of(z)
        hard = not ops.is_floating(target)
        cost = self.class_costs(classes, z)[0]
        if hard and not self.label_smoothing:
            value = self.formula(log_p_of(self.link, z, target, axis), ops.xp)
            return scaled(value, None if cost is None else ops.entries(cost, target))
        logp = log_p_all(self.link, z, axis)
        if not self.label_smoothing:  # soft targets: a class that is ruled out, log p = -inf, has no share; skip it
            logp = ops.where(target > 0, logp, -1.0)
        cost = None if cost is None else along(cost, z, axis)
        each = self._per_label([self.formula(logp, ops.xp)], [cost], classes, axis)[0]
        if hard:
            own: Tensor = ops.squeeze(ops.take_along(each, ops.expand_dims(target, axis), axis), axis)
            return own
        return ops.sum(target * each, axis)

    def _evaluate_binary(self, z: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        costs, counts = self.binary_costs(z)
        if self.link == "sigmoid" and not self.label_smoothing and _is_hard(target):
            return self._evaluate_signs(z, ops_of(z).cast(target, z), costs, counts)
        ops, (count0, count1) = ops_of(z), counts
        t = ops.cast(target, z)
        shares = None if self.label_smoothing else (1 - t, t)
        (rest, by_rest), (logp, by_p) = log_p_both(self.link, z, shares)
        absent, present = self._per_label([self.absent(rest, by_rest), self.formula(logp, by_p)], list(costs), 2)
        return t * present + (1 - t) * absent, None if self.weight is None else t * count1 + (1 - t) * count0

    def _evaluate_signs(self, z: Tensor, target: Tensor, costs: Pair, counts: Pair) -> tuple[Tensor, Tensor | None]:
        """Of labels that are there or not: log p of what is the case, whose formula is one where both are the same."""
        ops = ops_of(z)
        logp = log_p_binary("sigmoid", z * ops.signs(target), present=True)
        value = self.formula(logp, ops.xp)
        if getattr(self.absent, "__func__", None) is not LikelihoodLoss.absent:
            value = ops.where(target > 0, value, self.absent(logp, ops.xp))
        return scaled(value, choose(target, costs)), choose(target, counts)

    def _per_label(
        self, losses: list[Tensor], costs: list[Tensor | float | None], classes: int, axis: int | None = None
    ) -> list[Tensor]:
        """What each label costs as a target: class costs applied, and a share of it spread over all labels.

        The labels lie along `axis` of the one tensor in `losses`, or are the tensors in it.
        """
        inside = self.smoothing == "torch"
        if inside:
            losses = [scaled(f, c) for f, c in zip(losses, costs, strict=True)]
        if self.label_smoothing:
            total = losses[0] + losses[1] if axis is None else ops_of(losses[0]).sum(losses[0], axis, keepdims=True)
            losses = [self.smoothed(f, classes, total) for f in losses]
        return losses if inside else [scaled(f, c) for f, c in zip(losses, costs, strict=True)]

    def smoothed(self, x: Tensor, classes: int, total: Tensor | float = 1.0) -> Tensor:
        """`x` of each label after smoothing, `total` its sum over the labels: a share of the target, or a loss."""
        eps = self.label_smoothing
        if self.smoothing == "others":
            return (1 - eps) * x + eps / (classes - 1) * (total - x)
        return (1 - eps) * x + eps / classes * total

    def positives(self, target: Tensor, units: Units) -> Tensor:
        if units.axis is None:
            return target
        soft = ops_of(target).is_floating(target)
        return 1 - target[(slice(None),) * units.axis + (0,)] if soft else target != 0

    def sample(self, generator: torch.Generator, units: int = 8) -> tuple[Input, Tensor]:
        z = Interval().sample((units,) if self.link in BINARY else (units, 3), generator)
        if self.link in BINARY:
            labels = Interval(0, 1).sample((units,), generator).round()
            return (z.sigmoid() if self.link == "binary_prob" else z), labels
        scores = {"softmax": z, "log_prob": z.log_softmax(1), "prob": z.softmax(1)}
        return scores[self.link], Classes(3).sample((units,), generator)


def _is_hard(target: Tensor) -> bool:
    """Whether it is known that each label is either there or not; a compiler makes no use of that."""
    if not ops_of(target).is_floating(target):
        return not (isinstance(target, Tensor) and torch.compiler.is_compiling())
    if not may_look(target) or not target.numel():
        return False
    mixed = torch.addcmul(target, target, target, value=-1)  # t (1 - t): quicker than to round and to compare
    return bool(mixed.detach().amax() == 0)


def _is_linear(formula: Any) -> bool:
    """Whether a formula of log p is a multiple of it, so that its mean is that of the mean log p."""
    logp = torch.tensor([-1.0, -0.25, -3.0, -40.0], device="cpu")
    return may_look(logp) and bool((formula(logp, torch) == -logp * formula(logp, torch)[0]).all())


def along(vector: Tensor, like: Tensor, axis: int) -> Tensor:
    """One number per class, shaped to meet `like`, whose classes lie along `axis`."""
    placed: Tensor = ops_of(vector).reshape(vector, [-1 if a == axis else 1 for a in range(len(like.shape))])
    return placed


def complement(x: Any, xp: Any) -> Any:
    """``1 - e^x`` for x of at most 0: its value keeps its digits near 0, and its slope far below."""
    near = xp.tanh(xp.where(x > -0.5, x, xp.zeros_like(x)) / 2)  # compilers would take expm1 for exp - 1
    far = xp.where(x > -0.5, xp.zeros_like(x) - 1, x)  # there the slope of expm1, taken from its value, cancels
    return xp.where(x > -0.5, 2 * near / (near - 1), 1 - xp.exp(far))


def arranged(
    owner: str, input: Input, target: Tensor, *, over_classes: bool, narrow: bool = False
) -> tuple[tuple[Tensor, ...], Tensor, Units]:
    """Scores and labels in the dtype of the computation, and the units: rows of classes, or elements.

    With `narrow`, scores beside class indices stay in half precision: what reads them widens them bit by bit.
    """
    input = one_tensor(owner, input)
    units = (rows if over_classes else elements)(owner, input, target)
    ops = ops_of(input)
    if not narrow or ops.is_floating(target):
        input = at_least_float32(input)
    if ops.is_floating(target):
        target = ops.cast(target, input)
    elif not over_classes:  # ignore_index would wrap around in a narrow type
        target = ops.as_labels(target)
    elif ops.dtype_name(target) != "bool":
        target = ops.as_indices(target)
    return (input,), target, units


def labels(target: Tensor, units: Units) -> Domain:
    """What a target may be: the presence of a label, class probabilities, class indices."""
    if units.axis is None:
        return Presence()
    return Simplex(units.axis, units.classes) if ops_of(target).is_floating(target) else Classes(units.classes)
