"""Losses of the partition function: a formula of log Z = logsumexp of the scores, whatever the target is."""

from typing import Any

import torch
from torch import Tensor

from lossmith.arrays import ops_of
from lossmith.flow.claim import Claims
from lossmith.flow.domain import Classes, Domain, Interval
from lossmith.flow.linear import FusedLinear
from lossmith.flow.loss import Input, Loss
from lossmith.flow.parameter import integer_or_none, param
from lossmith.flow.units import Units
from lossmith.losses.likelihood.family import arranged, labels
from lossmith.losses.link import log_partition


class PartitionLoss(FusedLinear, Loss, family="likelihood"):
    """A loss that is a formula of ``log Z``, the logsumexp of a row of scores; the target says which rows count.

    Shapes: input logits [N, C, *] or [C], target class indices [N, *] (of which only `ignore_index` matters) or class
    probabilities of the input's shape, as the loss that it is added to wants them; a unit is a row. Raises
    `ShapeError` and `DtypeError` for tensors that do not fit each other, `DomainError` for class indices outside
    [0, C).
    """

    portable = True
    reads_rows = True
    ignore_index: int | None = param(
        default=-100, read=integer_or_none, rule="an integer or None", about="units with this target do not count"
    )

    unit = "row"

    def formula(self, logz: Any, xp: Any) -> Any:
        raise NotImplementedError

    def arrange(self, input: Input, target: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Units]:
        return arranged(type(self).__name__, input, target, over_classes=True, narrow=True)

    def conceal(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, ...]:
        return inputs  # `log_partition` does not look there

    def blocked(self, target: Tensor) -> bool:
        return False

    def legal_target(self, target: Tensor, units: Units) -> Domain | None:
        return labels(target, units)

    def evaluate(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        assert units.axis is not None
        lse = log_partition(inputs[0], units.axis, keep=units.shown, shard=units.shard)
        return self.formula(lse, ops_of(lse).xp), None

    def sample(self, generator: torch.Generator, units: int = 8) -> tuple[Input, Tensor]:
        return Interval().sample((units, 3), generator), Classes(3).sample((units,), generator)


class ZLoss(PartitionLoss):
    """The z-loss: ``(log Z)^2`` with ``log Z = logsumexp(z)``, which keeps logits from drifting.

    A softmax does not see a constant that is added to all logits; this does, and is least where they are normalised
    log-probabilities. It goes with a cross-entropy, at a small weight: ``create("cross_entropy + 0.0001*z")``.

    Use it beside a cross-entropy in large or half-precision training, at a weight of about 1e-4. Not alone: it does not
    look at the target; the loss to train with is `CrossEntropyLoss`.

    >>> float(ZLoss()(torch.tensor([[0.0, 0.0]]), torch.tensor([1])))   # (log 2)^2
    0.4804...
    >>> float(ZLoss()(torch.tensor([[3.0, 3.0, 3.0, 3.0]]), torch.tensor([0])))   # (3 + log 4)^2
    19.2395...

    Source: Zoph et al., "ST-MoE", arXiv 2202.08906, eq. 5 (there of a router's logits); before it Chowdhery et al.,
    "PaLM", arXiv 2204.02311, section 5, with weight 1e-4.
    """

    claims = Claims()

    def formula(self, logz: Any, xp: Any) -> Any:
        return logz * logz
