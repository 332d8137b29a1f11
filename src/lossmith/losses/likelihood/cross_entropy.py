"""Cross-entropy, and what else it is called."""

from typing import Any

from lossmith.flow.claim import Claims
from lossmith.flow.parameter import param, weights_or_none
from lossmith.losses.likelihood.family import LikelihoodLoss
from lossmith.losses.link import LINKS, Link


class CrossEntropyLoss(LikelihoodLoss):
    """Cross-entropy: ``-log p``, the negative log-likelihood of the target. It estimates the probabilities.

    Use it first, for every choice of one class: it estimates probabilities, and a tuned threshold serves most
    imbalance. Not with many wrong labels (`GeneralizedCrossEntropyLoss`) or labels that go together
    (`BCEWithLogitsLoss`).

    >>> float(CrossEntropyLoss().formula(torch.tensor(0.5).log(), torch))   # log 2
    0.6931...
    >>> float(CrossEntropyLoss()(torch.tensor([[10.0, 8, 6], [7, 9, 5], [5, 4, 10]]), torch.tensor([0, 1, 2])))
    0.0983...

    Source: Good (1952), "Rational decisions"; the same as ``torch.nn.CrossEntropyLoss``, but for `label_smoothing`
    together with `weight` (see `smoothing`) and class probabilities together with `weight` (a mean divides by the
    weights, as it does for class indices).
    """

    claims = Claims(convex=True, lipschitz=1.0, proper=True, calibrated=True)

    def formula(self, logp: Any, xp: Any) -> Any:
        return -logp


class NLLLoss(LikelihoodLoss):
    """Cross-entropy of log-probabilities: ``-log p`` where the input is ``log_softmax`` of the scores.

    Use it where a model ends in ``log_softmax``. Not on logits or probabilities: `CrossEntropyLoss`, which also keeps
    digits that a log-probability near 0 has lost.

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

    Use it for cross-entropy under the name that scikit-learn gives it. Not in hope of anything else than
    `CrossEntropyLoss`, which it is.

    >>> float(LogLoss()(torch.tensor([[0.0, 0.0]]), torch.tensor([1])))   # log 2
    0.6931...
    >>> float(LogLoss(link="prob")(torch.tensor([[0.75, 0.25]]), torch.tensor([1])))   # log 4
    1.3862...

    Source: the same as ``sklearn.metrics.log_loss`` when ``link="prob"``.
    """

    formula = CrossEntropyLoss.formula


class BCELoss(LikelihoodLoss):
    """Binary cross-entropy of probabilities: ``-t log p - (1 - t) log(1 - p)``.

    Use it where a model has to end in a sigmoid. Not where logits are at hand: in float32 a probability is 1 from a
    logit of 17 on, and `BCEWithLogitsLoss` still sees a difference.

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

    Use it for two classes by one logit, and for labels that may be present together. Not for one class out of several,
    which should compete: `CrossEntropyLoss`.

    >>> float(BCEWithLogitsLoss()(torch.tensor([0.0]), torch.tensor([1.0])))   # log 2
    0.6931...
    >>> float(BCEWithLogitsLoss()(torch.tensor([200.0]), torch.tensor([0.0])))
    200.0

    Source: the same as ``torch.nn.BCEWithLogitsLoss`` with `pos_weight`; its `weight` is our `sample_weight`.
    """

    link: Link = param(default="sigmoid", one_of=LINKS)
    formula = CrossEntropyLoss.formula


def _share(loss: Any) -> float | None:
    """Alpha, where it is one number: the share of the positives."""
    return float(loss.alpha) if loss.alpha is not None and loss.alpha.numel() == 1 else None


def _dearer(loss: Any) -> float | None:
    alpha = _share(loss)
    return None if alpha is None else max(alpha, 1 - alpha)


def _even(loss: Any) -> bool | None:
    alpha = _share(loss)
    return None if alpha is None else alpha == 0.5


class BalancedCrossEntropyLoss(LikelihoodLoss):
    """Balanced cross-entropy: ``-alpha log p`` on positives, ``-(1 - alpha) log p`` on negatives.

    Use it where a missed positive costs ``alpha / (1 - alpha)`` times a false alarm. Not where p is read as a
    probability: `BCEWithLogitsLoss`, of which a threshold of ``1 - alpha`` makes the same decisions.

    >>> float(BalancedCrossEntropyLoss()(torch.tensor([0.0]), torch.tensor([1.0])))   # 0.75 log 2
    0.5198...
    >>> float(BalancedCrossEntropyLoss(alpha=0.9)(torch.tensor([0.0]), torch.tensor([0.0])))   # 0.1 log 2
    0.0693...

    Source: Lin et al., "Focal Loss for Dense Object Detection", arXiv 1708.02002, eq. 3; 0.75 is the best alpha of
    its table 1a.
    """

    claims = Claims(convex=True, lipschitz=_dearer, proper=_even, calibrated=_even)

    link: Link = param(default="sigmoid", one_of=LINKS)
    alpha: Any = param(
        default=0.75,
        read=weights_or_none,
        rule="a number in [0, 1]",
        about="what a mistake costs: alpha on positives, 1 - alpha on negatives",
    )
    formula = CrossEntropyLoss.formula
