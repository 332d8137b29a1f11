"""The axis that a loss is drawn over: its family's statistic, and what the formula makes of it."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lossmith.errors import InputError, LossmithError
from lossmith.flow.loss import Loss
from lossmith.flow.sum import Composition, WeightedSum
from lossmith.flow.units import Units
from lossmith.losses.comparison import DistanceLoss, PairLoss, TripletLoss, cosine, difference, distance
from lossmith.losses.contrastive import TripletSetLoss
from lossmith.losses.critic import AdversarialLoss, PairedAdversarialLoss
from lossmith.losses.divergence import DivergenceLoss
from lossmith.losses.likelihood import LikelihoodLoss
from lossmith.losses.likelihood.partition import PartitionLoss
from lossmith.losses.link import BINARY
from lossmith.losses.margin import MarginLoss
from lossmith.losses.overlap import OverlapLoss
from lossmith.losses.residual import GaussianNLLLoss, RelativeLoss, ResidualLoss
from lossmith.text import as_clause, clean

Value = Callable[[Tensor], Tensor]
Side = tuple[str, Value]  # what the curve is of, and its value at points of the axis
POINTS = 801
TARGETS = (1.0, 3.0)


@dataclass(frozen=True)
class Axis:
    """What is along the bottom of a picture, and how a loss is read as curves over it."""

    words: str  # what x is
    slope: str  # in what the derivative is taken
    sides: Callable[[Loss], list[Side] | None]  # None: the loss is no function of this
    low: float
    high: float
    probability: bool = False  # x is the sigmoid of what the sides see


@dataclass(frozen=True)
class Curve:
    """One line of a picture: what it is of ("" for the loss itself), and value and derivative over x."""

    side: str
    x: Tensor
    value: Tensor
    slope: Tensor


def _each(words: str, values: tuple[float, ...], formula: Callable[[Tensor, float], Tensor]) -> list[Side]:
    """One side for each value of a second number."""
    return [(f"{words} {value:g}", partial(_second, formula, value)) for value in values]


def _second(formula: Callable[[Tensor, float], Tensor], value: float, x: Tensor) -> Tensor:
    return formula(x, value)


def _residual(loss: Loss) -> list[Side] | None:
    if isinstance(loss, GaussianNLLLoss):
        return _each("variance", (0.25, 1.0, 4.0), lambda r, v: loss.formula(r, torch.full_like(r, v), torch))
    return [("", lambda r: loss.formula(r, torch))] if isinstance(loss, ResidualLoss) else None


def _input(loss: Loss) -> list[Side] | None:
    """Relative errors, which see both numbers, at two targets; residual losses can be drawn beside them."""
    if isinstance(loss, ResidualLoss):
        return _each("target", TARGETS, lambda x, t: loss.formula(x - t, torch))
    if isinstance(loss, GaussianNLLLoss) or not isinstance(loss, RelativeLoss):
        return None
    legal = loss.legal_input()

    def value(x: Tensor, t: float) -> Tensor:
        outside = torch.zeros_like(x, dtype=torch.bool) if legal is None else legal.outside(x.detach())
        inside = torch.where(outside, 1.0, x)
        return torch.where(outside, torch.nan, loss.formula(inside, torch.full_like(x, t), torch))

    return _each("target", TARGETS, value)


def _margin(loss: Loss) -> list[Side] | None:
    return [("", lambda m: loss.formula(m, torch))] if isinstance(loss, MarginLoss) else None


def _likelihood(loss: Loss) -> list[Side] | None:
    """Over the log-odds of the target; where absence of a label costs something else, that is a side of its own."""
    if not isinstance(loss, LikelihoodLoss):
        return None
    if type(loss).adjust is not LikelihoodLoss.adjust:
        return _adjusted(loss)
    if loss.link not in BINARY:
        return [("", lambda u: loss.formula(F.logsigmoid(u), torch))]
    costs, _ = loss.binary_costs(torch.zeros((), dtype=torch.float64))
    none, one = (1.0 if isinstance(cost, Tensor) and cost.dim() else float(cost) for cost in costs)

    def present(u: Tensor) -> Tensor:
        return one * loss.formula(F.logsigmoid(u), torch)  # type: ignore[no-any-return]

    def absent(u: Tensor) -> Tensor:
        return none * loss.absent(F.logsigmoid(u), torch)  # type: ignore[no-any-return]

    u = torch.linspace(-9, 9, 19, dtype=torch.float64)
    if torch.allclose(present(u), absent(u), rtol=1e-9):
        return [("", present)]
    return [("label present", present), ("label absent", absent)]


def _adjusted(loss: LikelihoodLoss) -> list[Side] | None:
    """Where scores are moved by how often a class was seen: the commonest class and the rarest, the others alike."""
    seen = next((x for x in (getattr(loss, k, None) for k in ("counts", "prior")) if x is not None), None)
    if seen is None or loss.link in BINARY:
        return None

    def value(own: int, u: Tensor) -> Tensor:
        scores = [u + math.log(len(seen) - 1) if c == own else torch.zeros_like(u) for c in range(len(seen))]
        units = Units(u.shape, axis=1, classes=len(seen))
        z = loss.adjust(torch.stack(scores, 1), torch.full(u.shape, own), units)
        return loss.formula(z.log_softmax(1)[:, own], torch)  # type: ignore[no-any-return]

    ends = {"the commonest class": int(seen.argmax()), "the rarest class": int(seen.argmin())}
    return [(words, partial(value, own)) for words, own in ends.items()]


def _partition(loss: Loss) -> list[Side] | None:
    return [("", lambda x: loss.formula(x, torch))] if isinstance(loss, PartitionLoss) else None


def _divergence(loss: Loss) -> list[Side] | None:
    if not isinstance(loss, DivergenceLoss):
        return None
    heat = loss.temperature

    def value(u: Tensor, q: float) -> Tensor:
        target = torch.tensor([q, 1 - q], dtype=u.dtype).log()
        logp = torch.stack([F.logsigmoid(u / heat), F.logsigmoid(-u / heat)], -1)
        logq = (target / heat).log_softmax(-1).expand_as(logp)
        return heat**2 * loss.formula(logp, logq, torch).sum(-1)  # type: ignore[no-any-return]

    return _each("target", (0.5, 0.9), value)


def _pair(statistic: Callable[..., Tensor]) -> Callable[[Loss], list[Side] | None]:
    def sides(loss: Loss) -> list[Side] | None:
        if isinstance(loss, DistanceLoss):
            used: Any = distance
        else:
            used = type(loss).statistic if isinstance(loss, PairLoss) else None
        if used is not statistic:
            return None
        domain = type(loss).target_domain
        labels = (1.0, 0.0) if domain is not None and not bool(domain.outside(torch.zeros(1))) else (1.0, -1.0)
        formula: Any = loss.formula
        return _each("target", labels, lambda x, y: formula(x, torch.full_like(x, y), torch))

    return sides


def _triplet(loss: Loss) -> list[Side] | None:
    if not isinstance(loss, TripletLoss | TripletSetLoss):
        return None
    return [("", lambda x: loss.formula(x + 3, torch.full_like(x, 3.0), torch))]


def _adversarial(loss: Loss) -> list[Side] | None:
    if not isinstance(loss, AdversarialLoss) or isinstance(loss, PairedAdversarialLoss):
        return None
    return [
        ("critic, real", lambda s: loss.real(s, torch)),
        ("critic, fake", lambda s: loss.fake(s, torch)),
        ("generator", lambda s: loss.generated(s, torch)),
    ]


AXES = (  # in the order in which they are tried
    Axis("residual r = input - target", "r", _residual, -4, 4),
    Axis("input", "the input", _input, -1, 7),
    Axis("margin m = target * input", "m", _margin, -3, 3),
    Axis("probability p of the target", "its logit", _likelihood, -6, 6, probability=True),
    Axis("log Z, the logsumexp of the scores", "log Z", _partition, -4, 4),
    Axis("probability p of the first of two classes", "its logit", _divergence, -6, 6, probability=True),
    Axis("difference a - b", "the difference", _pair(difference), -3, 3),
    Axis("distance d", "d", _pair(distance), 0, 3),
    Axis("cosine of a and b", "the cosine", _pair(cosine), -1, 1),
    Axis("near - far, two distances (far = 3)", "near", _triplet, -3, 3),
    Axis("score s of the critic", "s", _adversarial, -4, 4),
)


@contextmanager
def drawing(loss: Loss | WeightedSum) -> Iterator[None]:
    """Turn what somebody's own formula raises into one sentence.

    Raises `InputError` from it.
    """
    try:
        yield
    except LossmithError:
        raise
    except Exception as problem:  # a formula may raise anything
        said = f"{type(problem).__name__}: {as_clause(problem)}"
        raise InputError(f"{clean(loss)} cannot be drawn: its formula raises {said}.") from problem


def axis_of(losses: list[Loss | WeightedSum]) -> Axis:
    """The axis that all these losses have.

    Raises `InputError`, with the reason, where a loss is no function of one number or the losses have no axis together.
    """
    terms = [term for loss in losses for term in single(loss)]
    for axis in AXES:
        if all(_sides(axis, term) is not None for term in terms):
            return axis
    for term in terms:
        if all(axis.sides(term) is None for axis in AXES) and not isinstance(term, OverlapLoss):
            raise InputError(f"{type(term).__name__} cannot be drawn: {_reason(term)}.")
    families = ", ".join(dict.fromkeys(f"{term.name} ({term.family})" for term in terms))
    raise InputError(f"these losses cannot share a picture, they are formulas of different things: {families}.")


def _sides(axis: Axis, loss: Loss) -> list[Side] | None:
    with drawing(loss):
        return axis.sides(loss)


def single(loss: Loss | WeightedSum) -> list[Loss]:
    """The losses of a sum, or the one."""
    return [term for _, term in loss.terms] if isinstance(loss, WeightedSum) else [loss]


def curves(loss: Loss | WeightedSum, axis: Axis, low: float | None = None, high: float | None = None) -> list[Curve]:
    """The curves of a loss over an axis: formula and derivative, by autograd, in float64."""
    terms = loss.terms if isinstance(loss, WeightedSum) else [(1.0, loss)]
    low, high = axis.low if low is None else low, axis.high if high is None else high
    sides = [axis.sides(term) or [] for _, term in terms]
    names = next((tuple(name for name, _ in side) for side in sides if len(side) > 1), ("",))
    found = []
    for k, name in enumerate(names if len(names) > 1 else [sides[0][0][0]]):
        parts = [(factor, side[k % len(side)][1]) for (factor, _), side in zip(terms, sides, strict=True)]
        points = torch.linspace(low, high, POINTS, dtype=torch.float64).requires_grad_()
        with drawing(loss):
            found.append(_curve(parts, name, axis, points))
    return found


def _curve(parts: list[tuple[float, Value]], name: str, axis: Axis, points: Tensor) -> Curve:
    values = [(factor, f(points)) for factor, f in parts]
    if any(one.shape != points.shape for _, one in values):
        raise InputError("a loss that is drawn must give one value per unit: its formula changes the shape.")
    value = sum((factor * one for factor, one in values), torch.zeros_like(points))
    (slope,) = torch.autograd.grad(value.sum(), points) if value.requires_grad else (torch.zeros_like(points),)
    value, slope = value.detach(), slope.detach()
    x = points.detach().sigmoid() if axis.probability else points.detach()
    return Curve(name, x, value, torch.where(value.isnan(), torch.nan, slope))


def _reason(loss: Loss) -> str:
    if isinstance(loss, Composition):
        return "it is a sum of a loss of pixels and a loss of regions; draw its terms"
    reasons = {
        "overlap": "it sorts the errors of all pixels, so no few numbers describe it; JaccardLoss has a picture",
        "comparison": "it compares each embedding with all the others of a set, so no one number describes it",
        "ranking": "it is a formula of two counts, of relevant and of other items ahead",
        "adversarial": "its critic pays for two scores and a distance at once",
        "sampling": "it is a formula of the target's score and of many noise scores",
        "many_classes": "it is a layer with weights of its own",
        "sequence": "it adds up all the ways to lay labels over frames",
        "feature": "it compares the features of a network",
    }
    return reasons.get(loss.family, "it is no formula of one number")
