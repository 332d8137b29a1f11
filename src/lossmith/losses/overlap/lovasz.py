"""The Lovasz losses: the convex extension of the Jaccard loss from sets of wrong pixels to the errors of all pixels.

It is no formula of a few counts: each pixel's error meets the pixels that are wrong by more than it.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from lossmith.arrays import ops_of
from lossmith.flow.claim import Claims
from lossmith.flow.domain import Domain
from lossmith.flow.loss import Input
from lossmith.flow.parameter import param
from lossmith.flow.units import Units
from lossmith.losses.link import BINARY
from lossmith.losses.margin import positive_part
from lossmith.losses.overlap.counts import probability
from lossmith.losses.overlap.family import RegionLoss, pictures


@dataclass(frozen=True)
class _Hard(Domain):
    """0 or 1: a region that a pixel is in, or not."""

    def describe(self) -> str:
        return "0 or 1 (the Jaccard loss of a set has no soft target)"

    def outside(self, x: Tensor) -> Tensor:
        return (x != 0) & (x != 1)


def _classes(value: Any) -> Any:
    if value not in (None, "present", "all"):
        raise ValueError
    return value


class LovaszLoss(RegionLoss):
    """Lovasz loss: ``sum_k m_k (J_k - J_{k-1})``, m the errors from the largest down, J_k the Jaccard loss of k misses.

    With ``J_k = 1 - |y without M| / |y or M|``, M the k worst pixels and y the region. Over classes it is the
    Lovasz-softmax, of the errors ``|t - p|``, in [0, 1]. For logits of single labels it is the Lovasz hinge, of
    ``max(0, 1 - (2t - 1) z)``, which has no upper end; for their probabilities the errors are ``|t - p|`` again.
    Where every error is 0 or 1 it is the Jaccard loss itself. Targets are hard, class indices or 0 and 1.
    With ``per="batch"`` the ranks of a `process_group` gather their pixels, and partials do not merge.

    Use it to finish a training that is judged by intersection over union, after a cross-entropy. Not from scratch, nor
    where sorting all pixels is too slow: `JaccardLoss`.

    >>> z, t = torch.tensor([[[2.0, -3.0, 0.5]]]), torch.tensor([[[1.0, 0.0, 1.0]]])
    >>> float(LovaszLoss(link="sigmoid")(z, t))   # one error, 1/2, of a pixel that is half of the region: 1/2 * 1/2
    0.25
    >>> p, y = torch.tensor([[[0.75, 0.5], [0.25, 0.5]]]), torch.tensor([[0, 1]])
    >>> float(LovaszLoss(link="prob")(p, y))   # each class: 1/2 * J_1 + 1/4 * (1 - J_1), J_1 = 1/2 and 1
    0.4375

    Source: Berman et al., "The Lovasz-Softmax loss", arXiv 1705.08790, section 3, algorithm 1. The mean is over
    all values that count; the authors' code with per_image=True takes that of each picture first.
    """

    claims = Claims(bounded=lambda loss: loss.link != "sigmoid" and 1.0)

    classes: str | None = param(
        default=None,
        read=_classes,
        rule='"present", "all" or None',
        about="whose values count: of classes in the target, or of all; None is the first over classes and the second "
        "for labels of their own, so that a false pixel on an empty mask costs",
    )

    @property
    def scope(self) -> Literal["unit", "sums", "set"]:
        return "unit" if self.per == "sample" else "set"

    def legal_target(self, target: Tensor, units: Units) -> Domain | None:
        indices = units.axis is not None and not ops_of(target).is_floating(target)
        return super().legal_target(target, units) if indices else _Hard()

    def evaluate(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, Tensor]:
        hinge, ops = self.link == "sigmoid", ops_of(target)
        x, t, v = self.classwise(inputs[0] if hinge else probability(self.link, inputs[0]), target, units)
        errors = positive_part(1 - ops.signs(t) * x, ops.xp) if hinge else t + (1 - 2 * t) * x
        v = ops.ones_like(t) if v is None else v * ops.ones_like(t)
        if self.per == "batch":
            errors, t, v = (ops.flat(ops.swapaxes(each, 0, 1), 1) for each in (errors, t, v))
        else:
            errors, t, v = (ops.flat(each, 2) for each in (errors, t, v))
        only_present = self.classes == "present" or (self.classes is None and self.link not in BINARY)
        seen = ops.xp.any((v * t if only_present else v) > 0, -1)
        return extension(errors, t, v), seen

    def sample(self, generator: torch.Generator, units: int = 8) -> tuple[Input, Tensor]:
        input, target = pictures(self.link, generator, units)
        if self.link not in BINARY:  # every class in every picture, or it would not count
            target = torch.rand(target.shape, generator=generator).argsort(1) % 3
        return input, target


def extension(errors: Tensor, region: Tensor, weight: Tensor) -> Tensor:
    """The Lovasz extension of the Jaccard loss along the last axis; a pixel of weight k is k pixels.

    A step ``J_k - J_{k-1}`` is written as the quotient that it is, ``v / U_k`` for a pixel of the region and
    ``v I / (U_k U_{k-1})`` for one outside: with a million pixels the difference would keep one digit in float32.
    """
    ops = ops_of(errors)
    errors, order = ops.sorted_down(errors)
    region, weight = (ops.reordered(each, order) for each in (region, weight))
    inside, outside = weight * region, weight * (1 - region)
    size = ops.sum(inside, -1, keepdims=True)
    left = ops.at_least(size - ops.cumsum(inside, -1), 0.0)  # intersection: what of the region is not missed yet
    union = size + ops.cumsum(outside, -1)
    before = union - outside
    ratio = ops.where(before > 0, left / ops.where(before > 0, before, 1.0), 1.0)
    steps = (inside + outside * ratio) / ops.where(union > 0, union, 1.0)
    return ops.sum(errors * steps, -1)
