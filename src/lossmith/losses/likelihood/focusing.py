"""Losses that look away from what is already easy."""

import math
from typing import Any

from lossmith.flow.claim import Claims
from lossmith.flow.parameter import param
from lossmith.losses.likelihood.family import LikelihoodLoss, complement
from lossmith.losses.link import BINARY, Link

TINY = 1.2e-38  # the least normal number of float32: every power of it above -1 is finite


def power(base: Any, exponent: float, xp: Any) -> Any:
    """``base^exponent``; where at 0 it has an infinite slope or none, of a base of at least TINY."""
    if exponent in (1, 2, 3, 4):
        return math.prod([base] * int(exponent - 1), start=base)  # quicker, backward too, than a power
    if exponent >= 1 and exponent == int(exponent):
        return base**exponent
    return xp.where(base <= TINY, TINY, base) ** exponent  # a NaN stays one


class FocalLoss(LikelihoodLoss):
    """Cross-entropy that looks away from what is already easy: ``-(1 - p)^gamma log p``.

    gamma = 0 is cross-entropy. For gamma > 0 it does not estimate the probabilities: its p is too timid. A 1 - p
    below 1.2e-38, the least normal number of float32, is taken for that number.

    Use it for dense detection, where easy background outnumbers objects a thousandfold. Not where p is read as a
    probability, nor as a cure for any imbalance: `CrossEntropyLoss` with a tuned threshold first.

    >>> float(FocalLoss(gamma=2.0).formula(torch.tensor(0.9).log(), torch))   # 1/100 of cross-entropy
    0.00105...
    >>> float(FocalLoss(gamma=2.0).formula(torch.tensor(0.5).log(), torch))   # 1/4 of it
    0.1732...

    Source: Lin et al., "Focal Loss for Dense Object Detection", arXiv 1708.02002, eq. 4 (with `alpha`: eq. 5).
    """

    claims = Claims(
        convex=lambda loss: loss.gamma == 0, lipschitz=True, proper=lambda loss: loss.gamma == 0, calibrated=True
    )

    gamma: float = param(default=2.0, ge=0, about="how much the easy is left aside; 0 is cross-entropy")

    def formula(self, logp: Any, xp: Any) -> Any:
        return -power(-xp.expm1(logp), self.gamma, xp) * logp


def steepest(a: float, b: float) -> float:
    """The least Lipschitz constant of ``-a log p + b (1 - p)`` in the logit: the largest ``(1 - p) (a + b p)``."""
    return a if b <= a else (a + b) ** 2 / (4 * b)


class PolyLoss(LikelihoodLoss):
    """Poly-1: cross-entropy plus ``epsilon (1 - p)``, the first term of its series weighed anew.

    epsilon = 0 is cross-entropy; below -1 its minimum would leave p = 1.

    Use it as a change of cross-entropy by one number that can be tuned. Not where p is read as a probability:
    `CrossEntropyLoss`, which is epsilon = 0.

    >>> float(PolyLoss(epsilon=1.0).formula(torch.tensor(0.5).log(), torch))   # log 2 + 1/2
    1.1931...
    >>> float(PolyLoss(epsilon=-1.0).formula(torch.tensor(0.25).log(), torch))   # log 4 - 3/4
    0.6362...

    Source: Leng et al., "PolyLoss", arXiv 2204.12511, eq. 6.
    """

    claims = Claims(
        convex=lambda loss: loss.epsilon <= 1,
        lipschitz=lambda loss: steepest(1, loss.epsilon),
        proper=lambda loss: loss.epsilon == 0,
        calibrated=True,
    )

    epsilon: float = param(default=1.0, ge=-1, about="the weight of 1 - p")

    def formula(self, logp: Any, xp: Any) -> Any:
        x, miss = -logp, -xp.expm1(logp)
        near = xp.where(x < 0.25, x, xp.zeros_like(x))
        series = xp.ones_like(x)
        for k in range(12, 2, -1):
            series = 1 - near * series / k
        beyond = xp.where(x < 0.25, 0.5 * near * near * series, x - miss)  # x - miss without its cancellation
        return beyond + (1 + self.epsilon) * miss


def _both_sides_alike(loss: Any) -> bool:
    return bool(loss.gamma_neg == loss.gamma_pos and loss.clip == 0)


def _is_bce(loss: Any) -> bool:
    return _both_sides_alike(loss) and loss.gamma_pos == 0


class AsymmetricLoss(LikelihoodLoss):
    """Focal loss with two foci: ``-(1 - p)^gamma_pos log p`` if a label is present, else ``-m^gamma_neg log(1 - m)``.

    Here ``m = max(p - clip, 0)``. For many labels of which few are present. An absent label that gets p below `clip`
    costs exactly nothing; with a clip above 0 one that gets p near 1 costs at most ``-log(clip)`` and pulls less and
    less (the paper takes those for wrong labels). A present label pulls however wrong it is: nothing is clamped.
    gamma_neg = gamma_pos = 0 with clip = 0 is binary cross-entropy. The paper sums over labels; divide as you like
    with `normalizer` or `num_items`.

    Use it for many labels of which few are present and some are missing from the targets. Not where p is read as a
    probability, nor with 1/2 as the threshold, which it does not train for: `BCEWithLogitsLoss`.

    >>> loss = AsymmetricLoss(gamma_neg=1.0, gamma_pos=2.0, clip=0.25, reduction="none")
    >>> loss(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 0.0]))   # log(2) / 4, and m = 1/4: log(4 / 3) / 4
    tensor([0.1733, 0.0719])
    >>> AsymmetricLoss(reduction="none")(torch.tensor([-3.0]), torch.tensor([0.0]))   # p = 0.0474 < clip
    tensor([0.])

    Source: Ridnik et al., "Asymmetric Loss For Multi-Label Classification", arXiv 2009.14119, eq. 4 to 7. The
    authors' code holds the factors in front of the logarithms constant in the gradient by default; here they are not.
    """

    claims = Claims(convex=_is_bce, lipschitz=True, proper=_is_bce, calibrated=_both_sides_alike)

    link: Link = param(default="sigmoid", one_of=BINARY, about="what the input is: logits, or probabilities of labels")
    gamma_neg: float = param(default=4.0, ge=0, about="how much easy absent labels are left aside")
    gamma_pos: float = param(default=1.0, ge=0, about="how much easy present labels are left aside")
    clip: float = param(default=0.05, ge=0, lt=1, about="the p below which an absent label costs nothing")

    def formula(self, logp: Any, xp: Any) -> Any:
        return -power(-xp.expm1(logp), self.gamma_pos, xp) * logp

    def absent(self, logp: Any, xp: Any) -> Any:
        edge = math.log1p(-self.clip)  # log(1 - p) where p is clip
        above = xp.where(logp < edge, logp, edge - 1)
        shifted = (1 - self.clip) * complement(above - edge, xp)  # p - clip
        rest = xp.logaddexp(above, xp.zeros_like(logp) + math.log(self.clip)) if self.clip else above
        return xp.where(logp < edge, -power(shifted, self.gamma_neg, xp) * rest, xp.zeros_like(logp))


def _dsc_decides(loss: Any) -> bool | None:
    """At p = 1/2 the slope has the right sign as long as alpha < 1; one-sided, p = 1 costs an absent label nothing."""
    return loss.alpha < 1 and (not loss.one_sided or (None if loss.alpha == 0 else False))


class DSCLoss(LikelihoodLoss):
    """Self-adjusting Dice loss: ``1 - (2 q + smooth) / (q + 1 + smooth)`` with ``q = (1 - p)^alpha p``.

    It is least at ``p = 1 / (1 + alpha)``, not at 1: 0.990 for the default, 0.5 for the alpha = 1 that many
    implementations have, where training ends undecided. An alpha that puts it below 0.9 is warned of. For alpha > 0
    the least value is not 0, and the loss grows again towards p = 1, by ever smaller slopes in the logits. alpha = 0
    is the plain Dice coefficient of one example. A 1 - p below 1.2e-38 is taken for that number.

    Absence of a label (links "sigmoid" and "binary_prob") costs the same of the probability of absence: both labels
    ask one question. The published loss is `one_sided`: absence costs ``1 - smooth / (q + smooth)``, q still of the
    label's p. For alpha > 0 that returns to 0 as p goes to 1: a confident false positive costs nothing.

    Here alpha is the paper's, not a class cost: for those use `weight` (with ``normalizer="count"`` they stay out of
    the mean's denominator) or, binary, `pos_weight`.

    Use it to reproduce work on imbalanced tagging that is stated in it. Not with alpha near 1, which trains to p = 1/2,
    nor for probabilities: `CrossEntropyLoss`; for the overlap of a region `DiceLoss`.

    >>> float(DSCLoss(alpha=0.0).formula(torch.tensor(0.5).log(), torch))   # 1 - 2 / 2.5
    0.2...
    >>> loss = DSCLoss(alpha=0.0, link="sigmoid", reduction="none")
    >>> loss(torch.tensor([0.0, 1.0986]), torch.tensor([1.0, 0.0]))   # p = 0.5 and 0.75: 0.2 and 1 - 1.5 / 2.25
    tensor([0.2000, 0.3333])
    >>> round(DSCLoss().optimum(), 4)
    0.9901

    Source: Li et al., "Dice Loss for Data-imbalanced NLP Tasks", arXiv 1911.02855, section 3.4 (DSC).
    """

    claims = Claims(lipschitz=True, bounded=lambda loss: 1 / (1 + loss.smooth), calibrated=_dsc_decides)

    alpha: float = param(default=0.01, ge=0, about="how much the easy is left aside; it is least at 1 / (1 + alpha)")
    smooth: float = param(default=1.0, gt=0, about="what is added above and below; the paper's gamma")
    one_sided: bool = param(default=False, about="whether absence costs what was published")
    binary_only = ("pos_weight", "one_sided")

    def formula(self, logp: Any, xp: Any) -> Any:
        miss = complement(logp, xp)
        log_w = self.alpha * xp.log(xp.where(miss <= TINY, TINY, miss))
        lost = complement(log_w, xp) + miss * xp.exp(log_w)  # 1 - q = (1 - w) + w (1 - p), w = (1 - p)^alpha
        return lost / (2 + self.smooth - lost)

    def absent(self, logp: Any, xp: Any) -> Any:
        q = xp.exp(self.alpha * logp) * complement(logp, xp)
        return q / (q + self.smooth) if self.one_sided else self.formula(logp, xp)

    def optimum(self) -> float:
        return 1 / (1 + self.alpha)
