"""Ranking losses: a formula of how many relevant and how many other items are ahead of a relevant one, softly."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from lossmith.flow.domain import Domain, Interval
from lossmith.flow.loss import Input, Loss
from lossmith.flow.parameter import param
from lossmith.flow.units import Units


@dataclass(frozen=True)
class _Relevance(Domain):
    """0 or 1."""

    def describe(self) -> str:
        return "0 or 1 (an item is relevant or not; graded relevance has no average precision)"

    def outside(self, x: Tensor) -> Tensor:
        return (x != 0) & (x != 1)

    def sample(self, shape: Any, generator: torch.Generator) -> Tensor:
        return torch.randint(0, 2, tuple(shape), generator=generator).double()


class RankingLoss(Loss, family="ranking"):
    """A loss that is a formula of the relevant and the other items ahead of each relevant item.

    Shapes: input (scores, the higher the better) and target (1 relevant, 0 not) of one shape, [N] or [N, *]: the N
    items along the first axis are one ranking, every column another, such as a label. A unit is an element, and the
    value of a relevant one its share of its column's loss; a mean is over the columns with a relevant item, and 0
    without any. Hidden items are in no ranking. Memory and time O(N^2) per column; under `process_group` N is the batch
    of all ranks. Raises `ShapeError` for different shapes, `DtypeError` for scores that are not floating point,
    `DomainError` for a relevance other than 0 and 1.
    """

    temperature: float = param(
        default=0.01, gt=0, about="how far ahead counts as ahead, in the units of the scores; towards 0 it is exact"
    )
    target_domain = _Relevance()

    @property
    def scope(self) -> Literal["set"]:
        return "set"

    def formula(self, relevant: Any, other: Any, xp: Any) -> Any:
        raise NotImplementedError

    def evaluate(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        scores = inputs[0]
        present = torch.ones_like(scores) if units.shown is None else units.shown.to(scores)
        hit = target * present
        ahead = ((scores.unsqueeze(0) - scores.unsqueeze(1)) / self.temperature).sigmoid()  # of item i (axis 0) j is
        own = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
        ahead = torch.where(own.view(*own.shape, *[1] * (scores.dim() - 1)), 0.0, ahead)
        relevant, other = (ahead * hit).sum(1), (ahead * (present - hit)).sum(1)
        share = hit / hit.sum(0).clamp(min=1)
        return share * self.formula(relevant, other, torch), share

    def sample(self, generator: torch.Generator, units: int = 8) -> tuple[Input, Tensor]:
        scores = Interval().sample((units,), generator) * self.temperature  # far apart there would be no slope
        return scores, _Relevance().sample((units,), generator)


class SmoothAPLoss(RankingLoss):
    """1 - smooth average precision: mean over relevant i of ``other / (1 + relevant + other)``, both softly ahead of i.

    An item j is ahead of i by ``sigmoid((s_j - s_i) / temperature)``. Towards temperature 0 it is 1 - average
    precision, where no scores are equal; equal ones are half ahead of each other.

    Use it for retrieval that is judged by average precision, with several relevant items in a batch. Not from scratch,
    far from the right order its slope vanishes: `InfoNCELoss` or `MarginRankingLoss` first.

    >>> loss = SmoothAPLoss()
    >>> float(loss(torch.tensor([0.9, 0.8, 0.7]), torch.tensor([1.0, 0.0, 1.0])))   # 1 - (1 + 2 / 3) / 2
    0.1666...
    >>> float(loss(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0])))   # 0.5 / 1.5
    0.3333...

    Source: Brown et al., "Smooth-AP: Smoothing the Path Towards Large-Scale Image Retrieval", arXiv 2007.12163, eq. 7;
    towards temperature 0 1 - ``sklearn.metrics.average_precision_score``.
    """

    def formula(self, relevant: Any, other: Any, xp: Any) -> Any:
        return other / (1 + relevant + other)
