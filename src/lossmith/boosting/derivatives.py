"""Gradient and diagonal Hessian of a loss in the scores, of all rows at once.

No formula is written again here: a family's statistic is put in by hand, and autograd differentiates the formula of
the loss itself, once or twice, however many rows there are. The chain from statistic to scores is the family's.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from lossmith.boosting.eligible import centred, of_two, one_label, terms
from lossmith.errors import ParameterError
from lossmith.flow.loss import Loss
from lossmith.flow.partial import divide
from lossmith.flow.sum import WeightedSum
from lossmith.flow.units import Units
from lossmith.losses.likelihood import LikelihoodLoss, PartitionLoss
from lossmith.losses.link import log_p_all
from lossmith.losses.margin import MarginLoss
from lossmith.losses.residual import ResidualLoss
from lossmith.spec import create

Rule = Literal["upper", "exact", "unit"]
FLOOR = 1e-16  # the least curvature of a row that counts, which is XGBoost's own
NEAR = 0.1  # of the mean residual: nearer ones are taken for that far away, where a slope has a corner at 0
SPREAD = 2.0  # what p (1 - p) is multiplied by to bound the whole softmax Hessian, as XGBoost has it

Pair = tuple[Tensor, Tensor]


def gradient_and_hessian(
    loss: str | Loss | WeightedSum,
    scores: Any,
    target: Any,
    sample_weight: Any = None,
    *,
    hessian: Rule = "upper",
    spread: float = SPREAD,
) -> tuple[Any, Any]:
    """Gradient and diagonal Hessian of ``sum_i w_i loss(scores_i, target_i)`` in the scores, in float64.

    `scores` are [N] (a prediction, the log-odds of class 1) or [N, C] (one per class), `target` is what the loss
    takes; both arrays of NumPy or tensors of torch, and so is what comes back, of the shape of `scores`. One score per
    row is enough for a loss over two classes too: the scores are then (0, z). The rules:

    - ``"exact"``: the second derivative.
    - ``"upper"``: a bound of it that stays positive where the second derivative does not. Over classes
      ``-f'(u) spread p_j (1 - p_j)`` and the Gershgorin bound of the terms in ``f''(u)`` where that is positive, with
      ``u = log p``, f the formula. Of one label ``max(f'', 0) (1 - p)^2 + max(-f', 0) p (1 - p)``, which for
      cross-entropy is the second derivative itself. Of a residual r ``rho'(r) / r``, of the parabola that touches the
      loss and is least at 0, so that a row alone would step onto its target; residuals nearer than a tenth of their
      mean size count as that far away. Where the loss sees more than the residual, the second derivative if that is
      larger. On a straight piece of any other loss ``|gradient|``: a step of 1.
    - ``"unit"``: 1.

    Each is raised to 1e-16 and multiplied by the sample weight. Class weights are part of the loss.

    >>> g, h = gradient_and_hessian("focal", torch.tensor([0.0, 2.0]), torch.tensor([1.0, 0.0]))
    >>> g, h
    (tensor([-0.2983,  1.0767], dtype=torch.float64), tensor([0.3991, 0.1546], dtype=torch.float64))
    >>> gradient_and_hessian("cross_entropy", torch.zeros(1, 2), torch.tensor([1]))[1]   # 2 * 1/2 * 1/2
    tensor([[0.5000, 0.5000]], dtype=torch.float64)

    Raises `ParameterError` for a loss whose value is not a sum over rows of a residual, margin or likelihood loss of
    raw scores, `DomainError` for a target or a score that the loss does not define.
    """
    if hessian not in get_args(Rule):
        raise ParameterError(f'gradient_and_hessian: hessian must be "upper", "exact" or "unit", not {hessian!r}')
    z = _tensor(scores).to(torch.float64)
    weight = None if sample_weight is None else _tensor(sample_weight).to(z)
    found = derivatives(terms(create(loss)), z, _tensor(target), weight, hessian, spread)
    if isinstance(scores, Tensor):
        return found
    return found[0].numpy(), found[1].numpy()


def derivatives(
    parts: list[tuple[float, Loss]], z: Tensor, target: Tensor, weight: Tensor | None, hessian: Rule, spread: float
) -> Pair:
    """Those of a sum of eligible losses, in the dtype of the scores."""
    with torch.enable_grad():
        found = [_of_term(loss, factor, z, target, weight, hessian, spread) for factor, loss in parts]
    gradient, curvature = (sum(more, start=first) for first, *more in zip(*found, strict=True))
    curvature = torch.ones_like(z) if hessian == "unit" else curvature.clamp(min=FLOOR)
    if weight is None:
        return gradient, curvature
    weight = weight.reshape(-1, *[1] * (z.dim() - 1))
    # A row that weighs nothing may hold anything, a NaN too.
    return tuple(torch.where(weight > 0, x * weight, 0.0) for x in (gradient, curvature))  # type: ignore[return-value]


def _of_term(
    loss: Loss, factor: float, z: Tensor, target: Tensor, weight: Tensor | None, hessian: Rule, spread: float
) -> Pair:
    """Gradient and curvature of ``factor * loss``, before weights."""
    loss, scores, target = as_scored(loss, z, target)
    if scores.dim() > z.dim():
        gradient, curvature = _of_scores(loss, factor, scores, target, weight, hessian, spread=1.0)
        return gradient[:, 1], curvature[:, 1]
    return _of_scores(loss, factor, scores, target, weight, hessian, spread)


def as_scored(loss: Loss, z: Tensor, target: Tensor) -> tuple[Loss, Tensor, Tensor]:
    """A loss over two classes of one score per row, which is the log-odds: as one label, or of the scores (0, z)."""
    over_classes = isinstance(loss, LikelihoodLoss | PartitionLoss) and getattr(loss, "link", "") != "sigmoid"
    if z.dim() > 1 or not over_classes:
        return loss, z, target
    one = one_label(loss)
    return (loss, torch.stack([torch.zeros_like(z), z], 1), of_two(target)) if one is None else (one, z, target)


def _of_scores(
    loss: Loss, factor: float, z: Tensor, target: Tensor, weight: Tensor | None, hessian: Rule, spread: float
) -> Pair:
    (x,), ready, units = loss.admit(z, target, None, weight)
    if isinstance(loss, PartitionLoss):
        found = _partition(loss, factor, x, ready, units, hessian, spread)
    elif not isinstance(loss, LikelihoodLoss):
        found = _elements(loss, factor, x, ready, units, hessian)
    elif units.axis is None:
        found = _labels(loss, factor, x, ready, units, hessian)
    else:
        found = _rows(loss, factor, x, ready, units, hessian, spread)
    if units.keep is None:
        return found
    keep = units.keep.reshape(*units.keep.shape, *[1] * (z.dim() - units.keep.dim()))
    return torch.where(keep, found[0], 0.0), torch.where(keep, found[1], 0.0)


def slopes(value: Tensor, x: Tensor, hessian: Rule) -> Pair:
    """First and second derivative of values each of which depends on its own element of `x`."""
    if not value.requires_grad:
        return torch.zeros_like(x), torch.zeros_like(x)
    twice = hessian != "unit"
    (first,) = torch.autograd.grad(value.sum(), x, create_graph=twice, materialize_grads=True)
    if not (twice and first.requires_grad):
        return first.detach(), torch.zeros_like(first)
    (second,) = torch.autograd.grad(first.sum(), x, materialize_grads=True)
    first = first.detach()
    # Far out some operations of torch (logaddexp) have 0 * inf in their second derivative where the first is a number.
    return first, torch.where(second.isnan() & first.isfinite(), 0.0, second)


def _elements(loss: Loss, factor: float, x: Tensor, ready: Tensor, units: Units, hessian: Rule) -> Pair:
    """A residual or margin loss: the statistic is linear in the score."""
    steep = hessian == "upper" and isinstance(loss, ResidualLoss)  # its bound needs no second derivative
    gradient, exact = _at(loss, factor, x, ready, units, "unit" if steep else hessian)
    if hessian != "upper":
        return gradient, exact
    if steep or centred(loss):
        return gradient, torch.maximum(exact, _touching(loss, factor, x, ready, units, gradient))
    if not isinstance(loss, MarginLoss):
        return gradient, torch.where(exact > 0, exact, gradient.abs())
    slope = gradient * ready  # as of one label, of which p = sigmoid(m) and the slope in m is f' (1 - p)
    bent = slope * torch.sigmoid(x * ready)
    bound = (exact + bent).clamp(min=0) + (-bent).clamp(min=0)
    return gradient, torch.where(exact == 0, slope.abs(), bound)


def _at(loss: Loss, factor: float, x: Tensor, ready: Tensor, units: Units, hessian: Rule) -> Pair:
    """First and second derivative of a loss of elements at `x`."""
    x = x.detach().requires_grad_()
    return slopes(factor * loss.evaluate((x,), ready, units)[0], x, hessian)


def _touching(loss: Loss, factor: float, x: Tensor, ready: Tensor, units: Units, gradient: Tensor) -> Tensor:
    """``rho'(r) / r``: of the parabola that touches the loss at r and is least at 0, where r is not near."""
    r = x - ready
    least = NEAR * _mean(r.abs(), units) + torch.finfo(x.dtype).tiny
    near = r.abs() < least
    ratio = gradient / torch.where(near, 1.0, r)
    if bool(near.any()):
        target = torch.zeros_like(r[near]) if isinstance(loss, ResidualLoss) else ready[near]
        there = target + torch.where(r < 0, -least, least)[near]
        legal = loss.legal_input()
        if legal is not None:  # on this side of the target the loss may end before that
            there = torch.where(legal.outside(there), target + least, there)
        few = replace(units, shape=target.shape, keep=None, weight=None)
        slope = _at(loss, factor, there, target, few, "unit")[0]
        ratio = ratio.masked_scatter(near, slope / torch.where(there == target, least, there - target))
    return ratio.clamp(min=0)


def _mean(x: Tensor, units: Units) -> Tensor:
    """The weighted mean over the units that count."""
    counts = units.weight if units.weight is not None else torch.ones((), dtype=x.dtype).expand(x.shape)
    counts = counts if units.keep is None else torch.where(units.keep, counts, 0.0)
    return divide((counts * x).sum(), counts.sum())


def _labels(loss: LikelihoodLoss, factor: float, x: Tensor, ready: Tensor, units: Units, hessian: Rule) -> Pair:
    """One label against its absence: shares of ``formula(log p)`` and ``absent(log(1 - p))``."""
    z, scale = _adjusted(loss, x, ready, units)
    absent, present = (factor * share for share in _shares(loss, z, ready, units))
    one_sided = type(loss).absent is LikelihoodLoss.absent and not bool((absent * present).any())
    if one_sided:  # each label asks the same question, of p or of 1 - p
        sides = [(loss.formula, torch.where(present != 0, 1.0, -1.0).to(z), absent + present)]
    else:
        sides = [(loss.formula, torch.ones_like(z), present), (loss.absent, -torch.ones_like(z), absent)]
    found = [_one_side(formula, sign, share, z, hessian) for formula, sign, share in sides]
    gradient, curvature = (sum(more, start=first) for first, *more in zip(*found, strict=True))
    return gradient * scale, curvature * scale**2


def _one_side(formula: Callable[..., Tensor], sign: Tensor, share: Tensor, z: Tensor, hessian: Rule) -> Pair:
    """Of ``share * formula(log p)`` with ``p = sigmoid(sign * z)``."""
    logp = F.logsigmoid(sign * z).requires_grad_()
    first, second = (share * x for x in slopes(formula(logp, torch), logp, hessian))
    miss = torch.sigmoid(-sign * z)
    bent, straight = second * miss * miss, first * miss * torch.sigmoid(sign * z)
    if hessian == "upper":
        return sign * first * miss, bent.clamp(min=0) + (-straight).clamp(min=0)
    return sign * first * miss, bent - straight


def _shares(loss: LikelihoodLoss, z: Tensor, target: Tensor, units: Units) -> tuple[Tensor, Tensor]:
    """How much of each unit's value is the formula of absence, and of presence: targets, costs, label smoothing.

    The family itself says so, for an absent and for a present label: it is asked what a unit would cost if one of the
    two formulas were 1 and the other 0. A target between the two costs the mixture.
    """
    ends = torch.stack([torch.zeros_like(z[0]), torch.ones_like(z[0])])
    two = replace(units, shape=ends.shape, keep=None, weight=None)

    def ask(**answers: float) -> Tensor:
        twin = copy.copy(loss)
        for name, answer in answers.items():
            vars(twin)[name] = lambda logp, xp, answer=answer: torch.full_like(logp, answer)
        low, high = twin.evaluate((torch.zeros_like(ends),), ends, two)[0]
        return torch.lerp(low, high, target.to(z.dtype))

    return ask(absent=1.0, formula=0.0), ask(absent=0.0, formula=1.0)


def _rows(
    loss: LikelihoodLoss, factor: float, x: Tensor, target: Tensor, units: Units, hessian: Rule, spread: float
) -> Pair:
    """Class scores under a softmax: the value is a sum over the classes of formulas of their log p."""
    z, scale = _adjusted(loss, x, target, units)
    logp = log_p_all("softmax", z, 1).detach().requires_grad_()
    twin = copy.copy(loss)  # the same loss of log-probabilities, whose second derivatives do not mix the classes
    twin.link = "log_prob"
    vars(twin)["adjust"] = lambda z, target, units: z
    first, second = slopes(factor * twin.evaluate((logp,), target, units)[0], logp, hessian)
    p, miss = logp.detach().exp(), -torch.expm1(logp.detach())
    total = first.sum(1, keepdim=True)
    gradient = first * miss - p * (total - first)
    if hessian == "upper":
        bent = second.clamp(min=0) * miss
        bound = p * bent.sum(1, keepdim=True) + bent * (miss - p) + (-total).clamp(min=0) * p * miss
        return gradient * scale, spread * bound * scale**2
    others = second.sum(1, keepdim=True) - second
    exact = second * miss * miss + p * p * others - total * p * miss
    return gradient * scale, exact * scale**2


def _partition(
    loss: PartitionLoss, factor: float, x: Tensor, target: Tensor, units: Units, hessian: Rule, spread: float
) -> Pair:
    """A formula of log Z, whose gradient in the scores is p."""
    logz = x.detach().logsumexp(1, keepdim=True).requires_grad_()  # the log Z of a row of one score is that score
    first, second = slopes(factor * loss.evaluate((logz,), target, units)[0], logz, hessian)
    p = x.detach().softmax(1)
    if hessian == "upper":
        return first * p, second.clamp(min=0) * p + spread * first.clamp(min=0) * p * (1 - p)
    return first * p, second * p * p + first * p * (1 - p)


def _adjusted(loss: LikelihoodLoss, x: Tensor, target: Tensor, units: Units) -> tuple[Tensor, Tensor | float]:
    """The scores that log p is taken of, and their slope in those given: each a line in its own."""
    if type(loss).adjust is LikelihoodLoss.adjust:
        return x.detach(), 1.0
    x = x.detach().requires_grad_()
    moved = loss.adjust(x, target, units)
    return moved.detach(), slopes(moved, x, "unit")[0]


def _tensor(x: Any) -> Tensor:
    """A tensor of any array, which is not written to."""
    if isinstance(x, Tensor):
        return x.detach()
    import numpy as np

    return torch.as_tensor(np.array(x))
