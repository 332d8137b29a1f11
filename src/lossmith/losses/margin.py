"""Margin losses: a formula phi(m) of the margin m = target * input, for targets -1 and +1."""

import warnings
from typing import Any

import torch
from torch import Tensor

from lossmith.arrays import ops_of
from lossmith.flow.claim import Claims
from lossmith.flow.domain import Signs
from lossmith.flow.labelled import LabelledLoss, choose, scaled
from lossmith.flow.loss import Input
from lossmith.flow.units import Units


class MarginLoss(LabelledLoss, family="margin"):
    """A loss that is a formula ``phi(m)`` of the margin ``m = target * input``, positive where the sign is right.

    Shapes: input (scores whose sign is the decision) and target (-1 or 1) of one shape, a unit is an element; the loss
    is a number without unit. Raises `ShapeError` for different shapes, `DtypeError` for an input that is not floating
    point, `DomainError` for other labels (0/1 labels are not guessed at: 0 would cost nothing).
    """

    portable = True
    target_domain = Signs()

    def formula(self, m: Any, xp: Any) -> Any:
        raise NotImplementedError

    def validate(self) -> None:
        super().validate()
        self.check_alpha_is_a_share()

    def arrange(self, input: Input, target: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Units]:
        if not self.differentiable and _trains(input):
            warnings.warn(f"{type(self).__name__} is a metric: it has no gradient to train with", stacklevel=2)
        return super().arrange(input, target)

    def evaluate(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        value = self.formula(target * inputs[0], ops_of(target).xp)
        costs, counts = self.binary_costs(value)
        if isinstance(costs[1], float):  # no class counts more than another
            return value, None
        positive = ops_of(value).cast(target > 0, value)
        return scaled(value, choose(positive, costs)), choose(positive, counts)

    def positives(self, target: Tensor, units: Units) -> Tensor:
        return target > 0


def _trains(x: Input) -> bool:
    """Whether a gradient is being asked for."""
    return isinstance(x, Tensor) and x.requires_grad and torch.is_grad_enabled() and not torch.compiler.is_compiling()


def softplus(x: Any, xp: Any) -> Any:
    """log(1 + e^x) without overflow, and right at 0 in both derivatives, which abs(x) would lose."""
    positive = x > 0
    return xp.where(positive, x, xp.zeros_like(x)) + xp.log1p(xp.exp(xp.where(positive, -x, x)))


def positive_part(x: Any, xp: Any) -> Any:
    """max(0, x); a NaN stays one, because a comparison with it is false."""
    return xp.where(x <= 0, xp.zeros_like(x), x)


class ZeroOneLoss(MarginLoss):
    """The share of wrong signs: 1 if ``m <= 0``, else 0; a score of exactly 0 decides nothing and is wrong.

    A metric, not something to train with: its gradient is 0 wherever it exists, so it carries none, and warns
    when given an input that wants one. The losses below are what stands in for it in training.

    Use it to report the share of mistakes. Not to train, it has no gradient: `LogisticLoss` or `HingeLoss` stand in for
    it.

    >>> ZeroOneLoss()(torch.tensor([2.0, -1.0, 0.0, 0.5]), torch.tensor([1.0, 1.0, 1.0, -1.0]))
    tensor(0.7500)

    Source: 1 - ``sklearn.metrics.accuracy_score``.
    """

    claims = Claims(bounded=1.0, calibrated=True, robust=True)

    differentiable = False

    def formula(self, m: Any, xp: Any) -> Any:
        return xp.where(m > 0, xp.zeros_like(m), xp.ones_like(m))


class HingeLoss(MarginLoss):
    """Hinge loss: ``max(0, 1 - m)``. Its minimum is at the Bayes decision, without a probability.

    Use it for a linear or kernel classifier of which only the decision is wanted, a support vector machine. Not where
    probabilities are read off the score: `LogisticLoss`.

    >>> float(HingeLoss().formula(torch.tensor(0.25), torch)), float(HingeLoss().formula(torch.tensor(-2.0), torch))
    (0.75, 3.0)

    Source: Cortes and Vapnik (1995), "Support-Vector Networks"; the same as ``sklearn.metrics.hinge_loss``.
    """

    claims = Claims(convex=True, lipschitz=1.0, calibrated=True)

    def formula(self, m: Any, xp: Any) -> Any:
        return positive_part(1 - m, xp)


class SquaredHingeLoss(MarginLoss):
    """Squared hinge loss: ``max(0, 1 - m)^2``, smooth at the margin.

    Use it for a smooth hinge, as solvers of linear support vector machines do. Not with wrong labels, which pull in
    proportion to how wrong they look: `HingeLoss` or `LogisticLoss`.

    >>> float(SquaredHingeLoss().formula(torch.tensor(0.5), torch))
    0.25
    >>> float(SquaredHingeLoss().formula(torch.tensor(-2.0), torch))
    9.0

    Source: Zhang (2004), "Statistical behavior and consistency of classification methods", example "modified least
    squares".
    """

    claims = Claims(convex=True, calibrated=True)

    def formula(self, m: Any, xp: Any) -> Any:
        return positive_part(1 - m, xp) ** 2


class PerceptronLoss(MarginLoss):
    """Perceptron loss: ``max(0, -m)``; what is right costs nothing, however narrowly.

    Use it to learn online from data that a line separates. Not on data that overlap: there scores of 0 throughout are
    best, which decide nothing; `HingeLoss` or `LogisticLoss`.

    >>> float(PerceptronLoss().formula(torch.tensor(0.25), torch))
    0.0
    >>> float(PerceptronLoss().formula(torch.tensor(-2.0), torch))
    2.0

    Source: Rosenblatt (1958); as a loss in LeCun et al. (2006), "A Tutorial on Energy-Based Learning", eq. 7.
    """

    claims = Claims(convex=True, lipschitz=1.0)

    def formula(self, m: Any, xp: Any) -> Any:
        return positive_part(-m, xp)


class ExponentialLoss(MarginLoss):
    """Exponential loss: ``exp(-m)``. It estimates half the log-odds; AdaBoost minimises it.

    Below m = -75 it goes on along its tangent there, in every dtype: so the values, the gradients and their sums over
    a batch stay finite in float32, whose exp ends at 88. No model is that wrong and still worth its exact loss.

    Use it for boosting in the manner of AdaBoost, on clean labels. Not with wrong labels, whose pull grows
    exponentially: `LogisticLoss`, which estimates the same odds.

    >>> float(ExponentialLoss().formula(torch.tensor(0.0), torch))
    1.0
    >>> float(ExponentialLoss().formula(torch.tensor(-1.0), torch))   # e
    2.718281...

    Source: Friedman, Hastie and Tibshirani (2000), "Additive logistic regression", eq. 8.
    """

    claims = Claims(convex=True, calibrated=True)  # the slope of its tangent below -75, 4e32, is no Lipschitz constant

    def formula(self, m: Any, xp: Any) -> Any:
        exact = m > -75
        near = xp.where(exact, m, xp.zeros_like(m) - 75)
        beyond = xp.where(exact, xp.zeros_like(m), -75 - m)
        return xp.exp(-near) * (1 + beyond)


class LogisticLoss(MarginLoss):
    """Logistic loss: ``log(1 + exp(-m))``, binary cross-entropy in terms of the margin. It estimates the log-odds.

    Use it for any problem of two classes with targets -1 and 1; ``sigmoid(input)`` is then the probability of 1. Not
    for targets 0 and 1 or several classes: it is `BCEWithLogitsLoss` and `CrossEntropyLoss` there.

    >>> float(LogisticLoss().formula(torch.tensor(0.0), torch))   # log 2
    0.6931...
    >>> float(LogisticLoss().formula(torch.tensor(-200.0), torch))
    200.0

    Source: Friedman, Hastie and Tibshirani (2000), section 4; the same as ``torch.nn.SoftMarginLoss``.
    """

    claims = Claims(convex=True, lipschitz=1.0, calibrated=True)

    def formula(self, m: Any, xp: Any) -> Any:
        return softplus(-m, xp)


class SoftMarginLoss(MarginLoss):
    """Soft margin loss: `LogisticLoss` by torch's name, ``log(1 + exp(-m))``.

    Use it for code that comes from torch and has this name. Not for labels 0 and 1 that may be present together:
    `BCEWithLogitsLoss`; in new code `LogisticLoss` says what it is.

    >>> float(SoftMarginLoss().formula(torch.tensor(0.0), torch))   # log 2
    0.6931...
    >>> float(SoftMarginLoss().formula(torch.tensor(-200.0), torch))
    200.0

    Source: the same as ``torch.nn.SoftMarginLoss``, which overflows below a margin of -88.
    """

    formula = LogisticLoss.formula
