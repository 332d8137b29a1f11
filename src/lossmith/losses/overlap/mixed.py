"""Sums of a pixelwise and a region loss that have a name of their own."""

from typing import Any, Literal

import torch
from torch import Tensor

from lossmith.errors import ParameterError
from lossmith.flow.loss import Input, Loss
from lossmith.flow.parameter import integer_or_none, param, weights_or_none
from lossmith.flow.partial import Partials
from lossmith.flow.sum import Composition, WeightedSum
from lossmith.losses.likelihood import FocalLoss
from lossmith.losses.link import BINARY, LINKS, Link
from lossmith.losses.overlap.family import OverlapLoss, pictures
from lossmith.losses.overlap.ratios import DiceLoss, FocalTverskyLoss


class PixelAndRegionLoss(Composition, family="composition"):
    """A pixelwise loss, averaged over pixels, plus a region loss, averaged over samples and classes.

    Shapes: as in the overlap family: over classes input [N, C, *] and target [N, *] or [N, C, *]; labels of their own
    input and target [N, K, *]. Raises what its terms raise, and `ParameterError` for `num_items`, which can not be the
    number of pixels and of regions at once.
    """

    link: Link = param(
        default="softmax",
        one_of=LINKS,
        about="what the input is: logits over classes or of single labels, log-probabilities, probabilities",
    )
    per: Literal["sample", "batch"] = param(
        default="sample", one_of=("sample", "batch"), about="what one overlap is of: a sample, or the whole batch"
    )
    smooth: float = param(default=1.0, ge=0, about="pixels that count as found in every class, in the region loss")
    ignore_index: int | None = param(
        default=-100, read=integer_or_none, rule="an integer or None", about="pixels with this target do not count"
    )

    unit = "sample"
    scope = OverlapLoss.scope

    def reduce(self, partials: Partials, *, num_items: float | Tensor | None = None) -> Tensor:  # type: ignore[override]
        if num_items is not None:
            raise ParameterError(
                f"{type(self).__name__}: num_items divides one mean, and there are two, over pixels and over regions; "
                "merge the partials of the micro-batches instead"
            )
        return super().reduce(partials)

    def sample(self, generator: torch.Generator, units: int = 8) -> tuple[Input, Tensor]:
        return pictures(self.link, generator, units)

    def regional(self) -> dict[str, Any]:
        """The options of a region loss."""
        return {"link": self.link, "per": self.per, "smooth": self.smooth, **self.shared()}


class FocalDiceLoss(PixelAndRegionLoss):
    """Focal plus Dice: ``mean(-(1 - p)^gamma log p) + mean(1 - 2 (tp + s) / (2 (tp + s) + fp + fn))``.

    The first is over pixels, the second over samples and classes. Other factors are a sum: ``"focal + 0.5*dice"``.

    Use it for organs or lesions of very different sizes, where Dice alone starts badly. Not where p is read as a
    probability (`CrossEntropyLoss`), nor before ``cross_entropy + dice``, which has less to tune.

    >>> float(FocalDiceLoss()(torch.zeros(1, 2, 4), torch.tensor([[0, 0, 1, 1]])))   # log(2) / 4 + 1 - 4 / (4 + 2)
    0.5066...
    >>> float(FocalDiceLoss(gamma=0, smooth=0)(torch.zeros(1, 2, 4), torch.tensor([[0, 0, 1, 1]])))   # log 2 + 1/2
    1.1931...

    Source: Zhu et al., "AnatomyNet", arXiv 1808.05238 (there a sum over classes, with a factor on the focal term).
    """

    gamma: float = param(default=2.0, ge=0, about="how much easy pixels are left aside; 0 is cross-entropy")
    alpha: Any = param(
        default=None,
        read=weights_or_none,
        rule="a number in [0, 1], or numbers of at least 0, one per class",
        about="what a mistake costs in the focal loss",
    )
    weight: Any = param(
        default=None,
        read=weights_or_none,
        rule="numbers, finite and at least 0, one per class",
        about="over classes, how much each counts in both losses, [C]",
    )
    include_background: bool = param(default=True, about="whether class 0 has a Dice loss")

    def compose(self) -> WeightedSum:
        if self.weight is not None and self.link in BINARY:
            raise ParameterError("FocalDiceLoss: weight is one number per class; labels of their own have alpha")
        focal = FocalLoss(link=self.link, gamma=self.gamma, alpha=self.alpha, weight=self.weight, **self.shared())
        return focal + DiceLoss(weight=self.weight, include_background=self.include_background, **self.regional())


class UnifiedFocalLoss(PixelAndRegionLoss):
    """Unified focal: ``lambda mean(-delta_c (1 - p)^gamma log p) + (1 - lambda) mean((1 - mTI)^(1 - gamma))``.

    lambda is `focal_share`. delta_c is delta for every class but the background, which has 1 - delta, and mTI the
    Tversky index in which a false negative weighs delta and a false positive 1 - delta. So one gamma looks away from
    easy pixels and from well found regions at once. It is the symmetric form of the paper. With labels of their own
    (link "sigmoid") the pixels outside a label have 1 - delta, and only the inside is a region.

    Use it where pixels and regions are imbalanced and one gamma is to serve both. Not where p is read as a probability
    (`CrossEntropyLoss`), nor untuned: ``cross_entropy + dice`` is the usual base line.

    >>> z, y = torch.zeros(1, 2, 4), torch.tensor([[0, 0, 1, 1]])
    >>> float(UnifiedFocalLoss(smooth=0)(z, y))   # (log(2) r / 2 + r) / 2, r = 0.5^0.5
    0.4760...
    >>> float(UnifiedFocalLoss(smooth=0, gamma=0, delta=0.25)(z, 0 * y))   # (0.75 log 2 + (1/5 + 1) / 2) / 2
    0.5599...

    Source: Yeung et al., "Unified Focal loss", arXiv 2102.04525, with the powers gamma and 1 - gamma as in its
    asymmetric formulas and in the authors' code (its symmetric ones exchange them; at 0.5 they are the same).
    """

    reductions = ("mean",)
    gamma: float = param(default=0.5, ge=0, lt=1, about="how much the easy is left aside")
    delta: float = param(default=0.6, ge=0, le=1, about="what a class other than the background, and a miss, weighs")
    focal_share: float = param(default=0.5, ge=0, le=1, about="lambda: the weight of the focal term, from 0 to 1")

    def compose(self) -> WeightedSum:
        if self.normalizer != "weight":
            raise ParameterError("UnifiedFocalLoss: normalizer has no place in a weighted sum of means")
        region = FocalTverskyLoss(alpha=1 - self.delta, beta=self.delta, gamma=1 / (1 - self.gamma), **self.regional())
        return self.focal_share * self._focal(self.delta) + (1 - self.focal_share) * region

    def _focal(self, costs: Any) -> FocalLoss:
        alpha = None if self.link not in BINARY and isinstance(costs, float) else costs  # known with the first input
        return FocalLoss(gamma=self.gamma, alpha=alpha, link=self.link, **self.shared())

    def terms(self, input: Input) -> list[tuple[float, Loss]]:
        (share, _), region = self.sum.terms
        if isinstance(input, tuple | list) or len(input.shape) < 2 or self.link in BINARY:
            return super().terms(input)
        costs = torch.full((input.shape[1],), self.delta, dtype=torch.float64)
        costs[:1] = 1 - self.delta
        return [(share, self._focal(costs)), region]
