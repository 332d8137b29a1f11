"""Losses that resist wrong labels: what one of them can cost, or how hard it can pull, is bounded."""

from typing import Any

from lossmith.flow.claim import Claims
from lossmith.flow.parameter import param
from lossmith.losses.likelihood.family import LikelihoodLoss, complement
from lossmith.losses.likelihood.focusing import steepest


class GeneralizedCrossEntropyLoss(LikelihoodLoss):
    """Generalised cross-entropy: ``(1 - p^q) / q``, which bounds what one wrong label can cost by 1 / q.

    q -> 0 is cross-entropy, q = 1 the mean absolute error of p. It resists wrong labels.

    Use it with a share of wrong labels, such as those of a crowd or of the web. Not on clean labels, where it learns
    slowly because hard examples hardly pull, nor for probabilities: `CrossEntropyLoss`.

    >>> float(GeneralizedCrossEntropyLoss(q=0.5).formula(torch.tensor(0.25).log(), torch))   # (1 - 1/2) / (1/2)
    1.0
    >>> float(GeneralizedCrossEntropyLoss(q=1.0).formula(torch.tensor(0.25).log(), torch))
    0.75

    Source: Zhang and Sabuncu, "Generalized Cross Entropy Loss", arXiv 1805.07836, eq. 6.
    """

    claims = Claims(
        lipschitz=lambda loss: (loss.q / (1 + loss.q)) ** loss.q / (1 + loss.q),
        bounded=lambda loss: 1 / loss.q,
        calibrated=True,
        robust=lambda loss: loss.q == 1,
    )

    q: float = param(default=0.7, gt=0, le=1, about="how much wrong labels are resisted")

    def formula(self, logp: Any, xp: Any) -> Any:
        return complement(self.q * logp, xp) / self.q


class SymmetricCrossEntropyLoss(LikelihoodLoss):
    """Cross-entropy plus what the label costs the prediction: ``-alpha log p - beta A (1 - p)``.

    The second term is the cross-entropy of the label under the prediction, its log 0 taken for A. It resists wrong
    labels, the first one learns; alpha = 1, beta = 0 is cross-entropy. Here alpha is the paper's, not a class cost:
    for those use `weight` (with ``normalizer="count"`` they stay out of the mean's denominator).

    Use it with wrong labels where `GeneralizedCrossEntropyLoss` learns too slowly. Not on clean labels, nor where p is
    read as a probability: `CrossEntropyLoss`.

    >>> loss = SymmetricCrossEntropyLoss(alpha=1.0, beta=0.5)
    >>> float(loss.formula(torch.tensor(0.25).log(), torch))   # log 4 + 1/2 * 4 * 3/4
    2.8862...
    >>> float(SymmetricCrossEntropyLoss().formula(torch.tensor(0.5).log(), torch))   # log(2) / 10 + 4 * 1/2
    2.0693...

    Source: Wang et al., "Symmetric Cross Entropy for Robust Learning with Noisy Labels", arXiv 1908.06112, section
    3 (SL); alpha and beta are those of the authors' code for CIFAR-10.
    """

    claims = Claims(
        convex=lambda loss: -loss.beta * loss.A <= loss.alpha,
        lipschitz=lambda loss: steepest(loss.alpha, -loss.beta * loss.A),
        bounded=lambda loss: loss.alpha == 0 and -loss.beta * loss.A,
        proper=lambda loss: loss.beta == 0 and loss.alpha > 0,
        calibrated=lambda loss: loss.alpha > 0 or loss.beta > 0,
        robust=lambda loss: loss.alpha == 0,
    )

    alpha: float = param(default=0.1, ge=0, about="the weight of cross-entropy")
    beta: float = param(default=1.0, ge=0, about="the weight of the reverse cross-entropy")
    A: float = param(default=-4.0, lt=0, about="what stands in for log 0 in it")

    def formula(self, logp: Any, xp: Any) -> Any:
        return -self.alpha * logp - self.beta * self.A * complement(logp, xp)
