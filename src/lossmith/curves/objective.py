"""A loss of the registry as something to minimise: its mean over the rows, its slopes, and what it is shaped like.

Everything is asked of the loss itself, by calling it: no formula is written here a second time, and a loss of one's
own is treated like any other.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lossmith.errors import InputError
from lossmith.flow.loss import Loss
from lossmith.flow.sum import WeightedSum

PROBES = (1e-4, 1e-2, 1.0, 1e2, 1e4)  # in standard deviations of y
AGREE = 1e-6  # relative
DIFFERENCE = 1e-6  # a step, in standard deviations of y


@dataclass(frozen=True)
class Objective:
    """The mean loss of outputs against y; weights are None where all rows weigh the same."""

    loss: Loss | WeightedSum
    y: Tensor
    weight: Tensor | None

    @property
    def terms(self) -> list[Loss]:
        """The losses that it is the sum of."""
        return [loss for _, loss in WeightedSum.of(self.loss).terms]

    @property
    def log_link(self) -> bool:
        """Whether the output of the model is the logarithm of what is predicted."""
        return any(getattr(loss, "log_input", False) for loss in self.terms)

    @cached_property
    def aim(self) -> Tensor:
        """What the outputs should be near: y, or its logarithm, zeros moved a little."""
        return (self.y + 0.1 * self.y.mean().clamp(min=1e-3)).log() if self.log_link else self.y

    @cached_property
    def scale(self) -> float:
        """One standard deviation of what the outputs should be near."""
        spread = float(self.aim.std(correction=0))
        return spread if spread > 1e-12 * float(self.aim.abs().max()) else float(self.aim.abs().max()) or 1.0

    def predicted(self, output: Tensor) -> Tensor:
        """The prediction of y that an output stands for."""
        return output.exp() if self.log_link else output

    def legal(self, output: Tensor) -> bool:
        """Whether the loss is defined at these outputs."""
        if not bool(torch.isfinite(output).all()):
            return False
        domains = (loss.legal_input() for loss in self.terms)
        return not any(domain is not None and bool(domain.outside(output).any()) for domain in domains)

    def value(self, output: Tensor) -> float:
        """The mean loss as the loss reports it; infinite where it is not defined."""
        return float(self.loss(output, self.y, sample_weight=self.weight)) if self.legal(output) else math.inf

    def total(self, output: Tensor, smooth: float = 0.0) -> Tensor:
        """What is minimised: the mean loss before any root, with its kinks at y rounded off where `smooth` is not 0."""
        if isinstance(self.loss, WeightedSum):
            mean = self.loss(output, self.y, sample_weight=self.weight)
        else:  # the root of RMSE changes nothing about where the least value is
            mean = self.loss.partial(output, self.y, sample_weight=self.weight).mean()
        if not smooth:
            return mean
        r = output - self.y
        return mean + (self.kinks / 2 * (torch.hypot(r, r.new_tensor(smooth)) - r.abs())).sum()

    def slopes(self, output: Tensor, smooth: float = 0.0) -> Tensor:
        """The slope of what is minimised in each output."""
        output = output.detach().requires_grad_()
        (found,) = torch.autograd.grad(self.total(output, smooth), output)
        return found

    def curvatures(self, output: Tensor, smooth: float = 0.0) -> Tensor:
        """The second derivative in each output, by differences of exact slopes; rows do not see each other.

        Autograd's own costs an import of seconds, torch._dynamo's, where a formula has two branches. What rounds off
        the kinks is differentiated by hand, since a difference would step over it.
        """
        step = DIFFERENCE * self._step
        found = (self._unkinked(output + step) - self._unkinked(output)) / step
        if smooth:
            size = torch.hypot(output - self.y, output.new_tensor(smooth))
            found = found + self.kinks / 2 * (smooth / size) ** 2 / size
        return found.nan_to_num()

    def _unkinked(self, output: Tensor) -> Tensor:
        return self.slopes(output) - self.kinks / 2 * (output - self.y).sign()

    @cached_property
    def sides(self) -> tuple[Tensor, Tensor] | None:
        """Slopes ``(up, down)`` of each row where the loss is ``up r`` above y and ``-down r`` below; else None."""
        probed = [(self._at(t), -self._at(-t)) for t in PROBES] if self._anywhere else []
        if not probed or not all(_same(one, probed[0]) for one in probed[1:]):
            return None
        up, down = probed[0]
        return (up, down) if bool((up >= 0).all() and (down >= 0).all()) else None

    @cached_property
    def squares(self) -> Tensor | None:
        """Weights w of the rows where the loss is ``w r^2``; else None."""
        if not self._anywhere:
            return None
        probed = []
        for t in [sign * t for t in PROBES for sign in (1.0, -1.0)]:
            output = self.y + t * self._step
            probed.append(self.slopes(output) / (2 * (output - self.y)))
        alike = all(_same((one,), (probed[0],)) for one in probed[1:])
        return probed[0] if alike and bool((probed[0] >= 0).all()) else None

    @cached_property
    def kinks(self) -> Tensor:
        """How much the slope of each row jumps where its output passes y; 0 where it does not."""
        if not self._anywhere:
            return torch.zeros_like(self.y)
        near, nearer = (self._at(t) - self._at(-t) for t in (1e-5, 1e-6))
        return torch.where(nearer.abs() > 0.5 * near.abs(), nearer, 0.0)

    @property
    def _anywhere(self) -> bool:
        return all(loss.legal_input() is None for loss in self.terms)

    @cached_property
    def _step(self) -> float:
        return max(self.scale, 1e-9 * float(self.y.abs().max()))

    def _at(self, t: float) -> Tensor:
        return self.slopes(self.y + t * self._step)


def _same(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> bool:
    return all(torch.allclose(a, b, rtol=AGREE, atol=0.0) for a, b in zip(one, other, strict=True))


def objective_of(loss: Loss | WeightedSum, y: Tensor, weight: Tensor | None) -> Objective:
    """The objective of a residual loss; raises `DomainError` for a y that the loss does not define."""
    found = Objective(loss, y, weight)
    domains = [domain for term in found.terms if (domain := term.legal_input()) is not None]
    found.total(torch.full_like(y, domains[0].neutral if domains else 0.0))
    return found


def refuse_others(loss: Loss | WeightedSum) -> None:
    """Raises `InputError` where a row's value is not a formula of one prediction and one y, the same for all terms."""
    terms = [term for _, term in WeightedSum.of(loss).terms]
    for term in terms:
        refuse_term(term)
    if len({bool(getattr(term, "log_input", False)) for term in terms}) > 1:
        raise InputError(f"{loss}: one term takes the logarithm of the prediction and another the prediction itself.")


def refuse_term(term: Loss) -> None:
    """One sentence where the value of a row is not a formula of one prediction and one y."""
    if term.family != "residual":
        raise InputError(f"{term} is a {term.family} loss; a curve needs one of the residual family, such as huber.")
    if isinstance(term.sample(torch.Generator().manual_seed(0), 2)[0], tuple):
        raise InputError(f"{term} takes two predictions for each row, and a curve makes one; use mse or huber.")
    if term.scope != "unit":
        raise InputError(f"{term} weighs each row by all others, so its minimum jumps; use huber or log_cosh.")
    if term.reduction != "mean":
        raise InputError(f"{term}: a curve minimises the mean loss; leave reduction={term.reduction} out.")
