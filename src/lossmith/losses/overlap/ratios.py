"""Formulas of the soft counts: what was missed, as a share of what was missed and found together."""

import math
from typing import Any

from lossmith.flow.claim import Claims
from lossmith.flow.parameter import param
from lossmith.losses.likelihood.focusing import power
from lossmith.losses.overlap.family import OverlapLoss
from lossmith.losses.residual import LogCoshLoss


def share(missed: Any, found: Any, xp: Any) -> Any:
    """``missed / (missed + found)``: 1 minus an overlap, without its rounding; 0 where there is nothing at all."""
    whole = missed + found
    return missed / xp.where(whole > 0, whole, 1.0)


class DiceLoss(OverlapLoss):
    """Dice loss: ``1 - 2 (tp + s) / (2 (tp + s) + fp + fn)`` with s = `smooth`.

    Its gradient at a pixel depends on the size of the region, not of the picture. `squared` puts the sums of squares
    into the denominator, ``1 - 2 (tp + s) / (sum p^2 + sum t^2 + 2 s)``; the two agree where p is 0 or 1. Libraries
    that write ``(2 tp + s) / (2 tp + fp + fn + s)`` have twice our `smooth`; ours makes Dice a Tversky index.

    Use it for masks that are a small part of the picture, best beside a cross-entropy, which steadies the start. Not
    where p is read as a probability, it is driven to 0 or 1: `CrossEntropyLoss`.

    >>> tp, fp, fn = torch.tensor([2.0, 1.0, 2.0]).split(1)
    >>> float(DiceLoss(smooth=0).formula(tp, fp, fn, torch))   # 1 - 4/7
    0.4285...
    >>> float(DiceLoss().formula(tp, fp, fn, torch))   # 1 - 6/9
    0.3333...

    Source: Milletari et al., "V-Net", arXiv 1606.04797, section 3 (with squares); Drozdzal et al., arXiv 1608.04117.
    """

    claims = Claims(bounded=1.0)

    squared: bool = param(default=False, about="whether the denominator has p^2 and t^2 for p and t")

    def formula(self, tp: Any, fp: Any, fn: Any, xp: Any) -> Any:
        return share(fp + fn, 2 * (tp + self.smooth), xp)


class JaccardLoss(OverlapLoss):
    """Jaccard loss, or soft intersection over union: ``1 - (tp + s) / (tp + s + fp + fn)`` with s = `smooth`.

    It is ``2 d / (1 + d)`` of the Dice loss d, so the two rank pictures alike.

    Use it where intersection over union is what is reported. Not in hope of other masks than those of `DiceLoss`, which
    ranks them alike, nor for probabilities: `CrossEntropyLoss`.

    >>> tp, fp, fn = torch.tensor([2.0, 1.0, 2.0]).split(1)
    >>> float(JaccardLoss(smooth=0).formula(tp, fp, fn, torch))   # 1 - 2/5
    0.6000...
    >>> float(JaccardLoss().formula(tp, fp, fn, torch))   # 1 - 3/6
    0.5

    Source: Rahman and Wang (2016), "Optimizing Intersection-Over-Union in Deep Neural Networks for Image
    Segmentation", ISVC.
    """

    claims = Claims(bounded=1.0)

    def formula(self, tp: Any, fp: Any, fn: Any, xp: Any) -> Any:
        return share(fp + fn, tp + self.smooth, xp)


class TverskyLoss(OverlapLoss):
    """Tversky loss: ``1 - (tp + s) / (tp + s + alpha fp + beta fn)`` with s = `smooth`.

    `alpha` is what a false positive weighs and `beta` a false negative, as in the paper (many have them swapped).
    alpha = beta = 1/2 is the Dice loss, alpha = beta = 1 the Jaccard loss; the defaults are the paper's best.

    Use it where a missed pixel costs more than a false one, as with small lesions, or less. Not where both cost the
    same (`DiceLoss`), nor with an alpha and beta from elsewhere unchecked: others swap them.

    >>> tp, fp, fn = torch.tensor([2.0, 1.0, 2.0]).split(1)
    >>> float(TverskyLoss(alpha=0.9, beta=0.1, smooth=0).formula(tp, fp, fn, torch))   # 1 - 2/3.1
    0.3548...
    >>> float(TverskyLoss(alpha=0.1, beta=0.9, smooth=0).formula(tp, fp, fn, torch))   # 1 - 2/3.9
    0.4871...

    Source: Salehi et al., "Tversky loss function for image segmentation", arXiv 1706.05721, section 2, table 1.
    """

    claims = Claims(bounded=1.0)

    alpha: float = param(default=0.3, ge=0, about="what a false positive weighs")
    beta: float = param(default=0.7, ge=0, about="what a false negative weighs")

    def formula(self, tp: Any, fp: Any, fn: Any, xp: Any) -> Any:
        return share(self.alpha * fp + self.beta * fn, tp + self.smooth, xp)


class FocalTverskyLoss(OverlapLoss):
    """Focal Tversky loss: ``(1 - TI)^(1 / gamma)``, TI the Tversky index, which looks at the badly found regions.

    gamma = 1 is the Tversky loss. `alpha` weighs false positives and `beta` false negatives as in `TverskyLoss`; the
    paper has these two letters the other way round, and its best weight, 0.7, is on false negatives here too. A loss
    below 1.2e-38, where the root is infinitely steep, is taken for that number.

    Use it to reproduce work that is stated in it. Not without trying gamma = 1, which is `TverskyLoss`: above 1 the
    slope is steepest where a region is almost right, below 1 where it is badly found.

    >>> tp, fp, fn = torch.tensor([2.0, 1.0, 2.0]).split(1)
    >>> float(FocalTverskyLoss(alpha=1, beta=1, gamma=2, smooth=0).formula(tp, fp, fn, torch))   # (3/5)^(1/2)
    0.7745...
    >>> float(FocalTverskyLoss(alpha=0.5, beta=0.5, gamma=0.5).formula(tp, fp, fn, torch))   # (1/3)^2
    0.1111...

    Source: Abraham and Khan, "A novel focal Tversky loss function", arXiv 1810.07842, section 2 (gamma = 4/3).
    """

    claims = Claims(bounded=1.0)

    alpha: float = param(default=0.3, ge=0, about="what a false positive weighs")
    beta: float = param(default=0.7, ge=0, about="what a false negative weighs")
    gamma: float = param(default=4 / 3, gt=0, about="how much the well found regions are left aside; 1 is Tversky")

    def formula(self, tp: Any, fp: Any, fn: Any, xp: Any) -> Any:
        return power(share(self.alpha * fp + self.beta * fn, tp + self.smooth, xp), 1 / self.gamma, xp)


class GeneralizedDiceLoss(OverlapLoss):
    """Generalised Dice: ``1 - 2 sum_c w_c (tp_c + s) / sum_c w_c (2 (tp_c + s) + fp_c + fn_c)``, ``w_c = 1 / v_c^2``.

    v_c is the volume of class c, the sum of its target, so each class counts about the same whatever its size. It is
    one ratio of weighted sums, not a mean of ratios. A class that is absent weighs as much as the smallest one present.
    There is one value per sample, [N, 1], or one for the batch, [1].

    Use it for several classes of very different sizes in one picture. Not where a class is a few pixels or missing,
    whose weight then drowns the others: `DiceLoss`.

    >>> tp, fp, fn = torch.tensor([[4.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    >>> float(GeneralizedDiceLoss(smooth=0).formula(tp, fp, fn, torch))   # 1 - (8/16 + 2/4) / (9/16 + 3/4)
    0.2380...
    >>> float(GeneralizedDiceLoss().formula(tp, fp, fn, torch))   # 1 - (10/16 + 4/4) / (11/16 + 5/4)
    0.1612...

    Source: Sudre et al., "Generalised Dice overlap as a deep learning loss function", arXiv 1707.03237, section 2.1.
    """

    claims = Claims(bounded=1.0)

    pools_classes = True

    def formula(self, tp: Any, fp: Any, fn: Any, xp: Any) -> Any:
        volume = tp + fn
        least = xp.amin(xp.where(volume > 0, volume, float("inf")), axis=-1, keepdims=True)
        w = xp.where(volume > 0, least / xp.where(volume > 0, volume, 1.0), 1.0) ** 2  # relative to the largest weight
        missed, found = w * (fp + fn), 2 * w * (tp + self.smooth)
        return share(xp.sum(missed, axis=-1, keepdims=True), xp.sum(found, axis=-1, keepdims=True), xp)


_log_cosh = LogCoshLoss()


class LogCoshDiceLoss(OverlapLoss):
    """Log-cosh Dice: ``log(cosh d)`` of the Dice loss d, flat where the overlap is nearly right; at most 0.4338.

    Use it to reproduce work that is stated in it. Not for masks that are to become exact: near the optimum it is flat;
    `DiceLoss`.

    >>> tp, fp, fn = torch.tensor([2.0, 1.0, 2.0]).split(1)
    >>> float(LogCoshDiceLoss(smooth=0).formula(tp, fp, fn, torch))   # log cosh 3/7
    0.0891...
    >>> float(LogCoshDiceLoss().formula(tp, fp, fn, torch))   # log cosh 1/3
    0.0545...

    Source: Jadon, "A survey of loss functions for semantic segmentation", arXiv 2006.14822.
    """

    claims = Claims(bounded=math.log(math.cosh(1)))

    def formula(self, tp: Any, fp: Any, fn: Any, xp: Any) -> Any:
        return _log_cosh.formula(share(fp + fn, 2 * (tp + self.smooth), xp), xp)
