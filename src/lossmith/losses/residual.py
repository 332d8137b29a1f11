"""Residual losses: a formula rho(r) of the residual r = input - target; relative errors see both numbers."""

import math
from typing import Any

import torch
from torch import Tensor

from lossmith.arrays import ops_of
from lossmith.errors import DtypeError, ShapeError
from lossmith.flow.claim import Claims
from lossmith.flow.domain import Domain, Interval, NonZero
from lossmith.flow.loss import Input, Loss
from lossmith.flow.parameter import param
from lossmith.flow.units import Units, at_least_float32, elements, floating, one_tensor


class ResidualLoss(Loss, family="residual"):
    """A loss that is a formula ``rho(r)`` of the residual ``r = input - target``.

    Shapes: input and target of one shape, a unit is an element; the loss is in the units of the formula. Raises
    `ShapeError` for different shapes, `DtypeError` for an input that is not floating point, `DomainError` for a target
    that is not finite or that the loss does not define.
    """

    portable = True

    def formula(self, r: Any, xp: Any) -> Any:
        raise NotImplementedError

    def evaluate(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        return self.formula(inputs[0] - target, ops_of(target).xp), None


class RelativeLoss(Loss, family="residual"):
    """A loss of two numbers of which the residual alone does not tell enough: a formula of (input, target).

    Shapes: input and target of one shape, a unit is an element; the loss is in the units of the formula. Raises
    `ShapeError` for different shapes, `DtypeError` for an input that is not floating point, `DomainError` for a target
    that is not finite or that the loss does not define.
    """

    portable = True

    def formula(self, input: Any, target: Any, xp: Any) -> Any:
        raise NotImplementedError

    def evaluate(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        return self.formula(inputs[0], target, ops_of(target).xp), None


class MSELoss(ResidualLoss):
    """Squared error: ``r^2``. It estimates the conditional mean.

    Use it where the conditional mean is wanted and errors are about normal. Not with outliers, each of which pulls in
    proportion to its size: `HuberLoss` or `MAELoss`.

    >>> float(MSELoss().formula(torch.tensor(3.0), torch)), float(MSELoss().formula(torch.tensor(-0.5), torch))
    (9.0, 0.25)

    Source: Legendre (1805), least squares; the same as ``torch.nn.MSELoss``.
    """

    claims = Claims(convex=True, symmetric=True)

    def formula(self, r: Any, xp: Any) -> Any:
        return r * r


class RMSELoss(ResidualLoss):
    """Root mean squared error: the square root of the mean of ``r^2`` over everything, not a mean of roots.

    It estimates the conditional mean, in the units of the target. At residual 0 throughout its gradient is 0.
    Only ``reduction="mean"`` has a meaning. In float32 the squares of residuals above 1e19 or below 1e-19 are lost.

    Use it where the loss is to be read in the units of the target; it trains to what `MSELoss` trains to. Not with
    outliers (`HuberLoss`), nor where single values or `num_items` are needed: `MSELoss`.

    >>> float(RMSELoss()(torch.tensor([3.0, 4.0]), torch.zeros(2)))   # sqrt((9 + 16) / 2)
    3.5355...
    >>> float(RMSELoss()(torch.tensor([2.0]), torch.tensor([-1.0])))
    3.0

    Source: the square root of `MSELoss`; the same as ``sklearn.metrics.root_mean_squared_error``.
    """

    claims = Claims(convex=True, lipschitz=1.0, symmetric=True)

    reductions = ("mean",)

    def formula(self, r: Any, xp: Any) -> Any:
        return r * r

    def finish(self, mean: Tensor) -> Tensor:
        xp = ops_of(mean).xp
        return xp.where(mean > 0, xp.sqrt(xp.where(mean > 0, mean, 1.0)), mean)  # no infinite slope at 0


class MAELoss(ResidualLoss):
    """Absolute error: ``|r|``. It estimates the conditional median.

    Use it where the conditional median is wanted, or targets have outliers. Not where a mean or a total has to come out
    right on skewed targets (`MSELoss`), nor where a slope of 1 up to the optimum disturbs: `HuberLoss`.

    >>> float(MAELoss().formula(torch.tensor(-3.0), torch)), float(MAELoss().formula(torch.tensor(0.5), torch))
    (3.0, 0.5)

    Source: Laplace (1774); the same as ``torch.nn.L1Loss``.
    """

    claims = Claims(convex=True, lipschitz=1.0, symmetric=True, robust=True)

    def formula(self, r: Any, xp: Any) -> Any:
        return xp.abs(r)


class HuberLoss(ResidualLoss):
    """Squared near 0, linear beyond delta: ``r^2 / 2`` if ``|r| < delta``, else ``delta (|r| - delta / 2)``.

    It estimates a mean that outliers move only so far; delta is in the units of the target.

    Use it for regression with some outliers, with a delta of about the size of an ordinary error. Not where an exact
    mean or median is wanted, on skewed targets it is neither: `MSELoss` or `MAELoss`.

    >>> float(HuberLoss(delta=1.0).formula(torch.tensor(0.5), torch))
    0.125
    >>> float(HuberLoss(delta=2.0).formula(torch.tensor(-5.0), torch))   # 2 * (5 - 1)
    8.0

    Source: Huber (1964), "Robust Estimation of a Location Parameter"; the same as ``torch.nn.HuberLoss``.
    """

    claims = Claims(convex=True, lipschitz=lambda loss: loss.delta, symmetric=True, robust=True)

    delta: float = param(default=1.0, gt=0, about="where the square turns into a line")

    def formula(self, r: Any, xp: Any) -> Any:
        a, d = xp.abs(r), self.delta
        small = a < d
        near = xp.where(small, r, xp.zeros_like(r))  # the square of a far residual may overflow: never compute it
        return xp.where(small, 0.5 * near * near, d * (a - 0.5 * d))


class SmoothL1Loss(ResidualLoss):
    """Huber's loss divided by beta: ``r^2 / (2 beta)`` if ``|r| < beta``, else ``|r| - beta / 2``.

    Its slope far away is 1 whatever beta is; beta = 0 is `MAELoss`.

    Use it for box regression, where published settings are stated in beta. Not as a second thing to try beside
    `HuberLoss`, of which it is 1 / beta: another beta changes the slope near 0, not that of outliers.

    >>> float(SmoothL1Loss(beta=1.0).formula(torch.tensor(0.5), torch))
    0.125
    >>> float(SmoothL1Loss(beta=2.0).formula(torch.tensor(-5.0), torch))
    4.0

    Source: Girshick, "Fast R-CNN", arXiv 1504.08083, eq. 3; the same as ``torch.nn.SmoothL1Loss``.
    """

    claims = Claims(convex=True, lipschitz=1.0, symmetric=True, robust=True)

    beta: float = param(default=1.0, ge=0, about="where the square turns into a line")

    def formula(self, r: Any, xp: Any) -> Any:
        a = xp.abs(r)
        if self.beta == 0:
            return a
        small = a < self.beta
        near = xp.where(small, r, xp.zeros_like(r))
        return xp.where(small, 0.5 * near * near / self.beta, a - 0.5 * self.beta)


class LogCoshLoss(ResidualLoss):
    """Log-cosh: ``log(cosh r)``, close to ``r^2 / 2`` near 0 and to ``|r| - log 2`` far away.

    Smooth everywhere, with slope ``tanh r``; it estimates a value between median and mean.

    Use it for a Huber loss that is smooth and has no parameter, such as in boosting. Not where ordinary errors are far
    from 1 in size: scale the targets first, or take `HuberLoss`, whose delta does that.

    >>> float(LogCoshLoss().formula(torch.tensor(1000.0), torch))   # 1000 - log 2; cosh itself would overflow
    999.3068...
    >>> float(LogCoshLoss().formula(torch.tensor(0.5), torch))
    0.1201...

    Source: Green (1990), "Bayesian reconstructions from emission tomography data", IEEE TMI 9(1).
    """

    claims = Claims(convex=True, lipschitz=1.0, symmetric=True, robust=True)

    def formula(self, r: Any, xp: Any) -> Any:
        a = xp.abs(r)
        small = a < 1
        near, far = xp.where(small, r, xp.zeros_like(r)), xp.where(small, xp.ones_like(r), a)
        return xp.where(small, 0.5 * xp.log1p(xp.sinh(near) ** 2), far + xp.log1p(xp.exp(-2 * far)) - math.log(2))


class QuantileLoss(ResidualLoss):
    """Pinball loss: ``q |r|`` where the prediction is too low, ``(1 - q) |r|`` where it is too high.

    It estimates the conditional q-quantile; q = 1/2 is half of `MAELoss`.

    Use it for prediction intervals, by two quantiles, or where too low and too high cost differently. Not for an
    extreme q on few rows, hardly any of which say where it is; for the mean `MSELoss`.

    >>> float(QuantileLoss(q=0.75).formula(torch.tensor(-2.0), torch))   # 0.75 * 2: too low
    1.5
    >>> float(QuantileLoss(q=0.75).formula(torch.tensor(2.0), torch))
    0.5

    Source: Koenker and Bassett (1978), "Regression Quantiles", eq. 1.3.
    """

    claims = Claims(
        convex=True, lipschitz=lambda loss: max(loss.q, 1 - loss.q), symmetric=lambda loss: loss.q == 0.5, robust=True
    )

    q: float = param(default=0.5, gt=0, lt=1, about="the quantile to estimate")

    def formula(self, r: Any, xp: Any) -> Any:
        a = xp.abs(r)
        return xp.where(r < 0, self.q * a, (1 - self.q) * a)


class ExpectileLoss(ResidualLoss):
    """Asymmetric squared error: ``tau r^2`` where the prediction is too low, ``(1 - tau) r^2`` where too high.

    It estimates the conditional tau-expectile; tau = 1/2 is half of `MSELoss`.

    Use it for a smooth lean to one side, such as expectiles as a measure of risk. Not where the share of targets below
    the estimate has to be known (`QuantileLoss`), nor with outliers, which pull as in `MSELoss`.

    >>> float(ExpectileLoss(tau=0.75).formula(torch.tensor(-2.0), torch))
    3.0
    >>> float(ExpectileLoss(tau=0.75).formula(torch.tensor(2.0), torch))
    1.0

    Source: Newey and Powell (1987), "Asymmetric Least Squares Estimation and Testing", eq. 2.2.
    """

    claims = Claims(convex=True, symmetric=lambda loss: loss.tau == 0.5)

    tau: float = param(default=0.5, gt=0, lt=1, about="the expectile to estimate")

    def formula(self, r: Any, xp: Any) -> Any:
        return xp.where(r < 0, self.tau * r * r, (1 - self.tau) * r * r)


class MAPELoss(RelativeLoss):
    """Absolute percentage error as a fraction: ``|input - target| / |target|``.

    A target of 0 has no percentage: it raises where values are checked, and costs 0 where they are not.

    Use it where relative errors are what is reported and all targets are well away from 0. Not with targets near 0,
    which take over, nor for an unbiased forecast, it leans low: `MSLELoss` or `PoissonNLLLoss`.

    >>> float(MAPELoss().formula(torch.tensor(3.0), torch.tensor(4.0), torch))
    0.25
    >>> float(MAPELoss().formula(torch.tensor(1.0), torch.tensor(-4.0), torch))
    1.25

    Source: the same as ``sklearn.metrics.mean_absolute_percentage_error`` where no target is 0.
    """

    claims = Claims(convex=True, symmetric=True, robust=True)

    target_domain = NonZero()

    def formula(self, input: Any, target: Any, xp: Any) -> Any:
        size = xp.abs(target)
        known = size > 0
        return xp.where(known, xp.abs(input - target), xp.zeros_like(input)) / xp.where(known, size, 1.0)


class SMAPELoss(RelativeLoss):
    """Symmetric absolute percentage error as a fraction: ``2 |input - target| / (|input| + |target|)``, 0 at 0/0.

    It runs from 0 to 2.

    Use it to reproduce the metric of a forecasting competition. Not to train from scratch: it is flat far away, and a
    target of 0 costs 2 whatever the forecast is; `MAELoss`, or `MSLELoss` for relative errors.

    >>> float(SMAPELoss().formula(torch.tensor(3.0), torch.tensor(1.0), torch))
    1.0
    >>> float(SMAPELoss().formula(torch.tensor(0.0), torch.tensor(0.0), torch))
    0.0

    Source: Makridakis (1993), "Accuracy measures: theoretical and practical concerns", eq. 7, without the 100.
    """

    claims = Claims(bounded=2.0, robust=True)

    def formula(self, input: Any, target: Any, xp: Any) -> Any:
        a, b, same = xp.abs(input), xp.abs(target), xp.sign(input) * xp.sign(target)
        apart = (same < 0) | ((b == 0) & (a > 0))
        size = xp.where(~apart & (a + b > 1.2e-38), a + b, xp.ones_like(a))
        near = 2 * xp.abs(input - target) / size
        far = 2 - 4 * b / size  # the same where the signs are, and its slope does not cancel far above the target
        return xp.where(apart, 2 * xp.ones_like(a), xp.where((same > 0) & (a > 2 * b), far, near))


class MSLELoss(RelativeLoss):
    """Squared logarithmic error: ``(log(1 + input) - log(1 + target))^2``, both above -1.

    It estimates ``exp(mean of log(1 + target)) - 1``: relative errors count, and too low counts more.

    Use it for positive targets over orders of magnitude, where ratios count. Not where a mean or a total has to come
    out right, what it estimates lies below the mean: `PoissonNLLLoss`.

    >>> float(MSLELoss().formula(torch.tensor(math.e - 1), torch.tensor(0.0), torch))
    1.0
    >>> float(MSLELoss().formula(torch.tensor(3.0), torch.tensor(1.0), torch))   # (log 2)^2
    0.4804...

    Source: the same as ``sklearn.metrics.mean_squared_log_error``, which asks for at least 0.
    """

    claims = Claims()

    input_domain = Interval(-1, open_low=True)
    target_domain = Interval(-1, open_low=True)

    def formula(self, input: Any, target: Any, xp: Any) -> Any:
        low = input < target  # the ratio of the larger to the smaller: log1p of a number above 0 does not cancel
        return xp.log1p(xp.where(low, target - input, input - target) / (1 + xp.where(low, input, target))) ** 2


class PoissonNLLLoss(RelativeLoss):
    """Negative log-likelihood of a count: ``exp(input) - target * input``, the input being the log of the rate.

    With ``log_input=False`` the input is the rate itself: ``input - target * log(input + eps)``. ``full=True``
    adds Stirling's ``target log target - target + log(2 pi target) / 2`` for targets above 1, a constant.
    It estimates the conditional mean of a count.

    Use it for counts and rates, on a log scale: it estimates their mean whatever their distribution is. Not to read
    intervals off where counts vary more than Poisson's variance; without a log scale `MSELoss`.

    >>> float(PoissonNLLLoss().formula(torch.tensor(0.0), torch.tensor(3.0), torch))
    1.0
    >>> float(PoissonNLLLoss(log_input=False).formula(torch.tensor(2.0), torch.tensor(1.0), torch))   # 2 - log 2
    1.3068...

    Source: McCullagh and Nelder, "Generalized Linear Models" (1989), ch. 6; the same as ``torch.nn.PoissonNLLLoss``.
    """

    claims = Claims(convex=True)

    log_input: bool = param(default=True, about="whether the input is the logarithm of the rate")
    full: bool = param(default=False, about="whether to add the constant term, by Stirling's formula")
    eps: float = param(default=1e-8, gt=0, about="keeps the logarithm of a rate of 0 finite")
    target_domain = Interval(0)

    def legal_input(self) -> Domain | None:
        return None if self.log_input else Interval(0)

    def formula(self, input: Any, target: Any, xp: Any) -> Any:
        loss = xp.exp(input) - target * input if self.log_input else input - target * xp.log(input + self.eps)
        if not self.full:
            return loss
        many = xp.where(target > 1, target, xp.ones_like(target))
        return loss + xp.where(target > 1, many * xp.log(many) - many + 0.5 * xp.log(2 * math.pi * many), 0.0)


class GaussianNLLLoss(RelativeLoss):
    """Negative log-likelihood of a Gaussian: ``(log v + r^2 / v) / 2``, v the variance, at least eps.

    The input is a pair ``(mean, variance)``; the variance has the mean's shape, or 1 along some axes.
    ``full=True`` adds the constant ``log(2 pi) / 2``. It estimates the conditional mean and variance. A variance
    below eps has no gradient: let the network put out ``softplus`` or ``exp`` of something.

    Use it where the spread differs from row to row and is wanted too. Not with outliers, which inflate the variance,
    nor where learning stalls at a large variance: `MSELoss` first, or `QuantileLoss` for intervals.

    >>> float(GaussianNLLLoss()((torch.tensor([3.0]), torch.tensor([1.0])), torch.tensor([1.0])))
    2.0
    >>> float(GaussianNLLLoss()((torch.tensor([2.0]), torch.tensor([4.0])), torch.tensor([2.0])))   # log 2
    0.6931...

    Source: Nix and Weigend (1994), "Estimating the mean and variance of the target probability distribution",
    eq. 5; the same as ``torch.nn.GaussianNLLLoss``.
    """

    claims = Claims(symmetric=True)

    full: bool = param(default=False, about="whether to add the constant term")
    eps: float = param(default=1e-6, gt=0, about="the least variance")

    def formula(self, r: Any, variance: Any, xp: Any) -> Any:
        v = xp.where(variance < self.eps, self.eps, variance)
        return 0.5 * (xp.log(v) + r * (r / v)) + (0.5 * math.log(2 * math.pi) if self.full else 0.0)

    def arrange(self, input: Input, target: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Units]:
        if not (isinstance(input, tuple | list) and len(input) == 2):
            raise DtypeError("GaussianNLLLoss: input must be a pair of tensors (mean, variance)")
        mean, variance = (one_tensor("GaussianNLLLoss", x, "mean and variance") for x in input)
        units = elements("GaussianNLLLoss", mean, target)
        floating("GaussianNLLLoss", variance, "variance")
        fitting = len(variance.shape) == len(mean.shape)
        if not fitting or any(v not in (1, m) for v, m in zip(variance.shape, mean.shape, strict=True)):
            raise ShapeError(
                f"GaussianNLLLoss: the variance must have the mean's shape {list(mean.shape)}, or 1 along some axes; "
                f"it has shape {list(variance.shape)}"
            )
        mean, ops = at_least_float32(mean), ops_of(mean)
        return (mean, ops.xp.broadcast_to(ops.cast(variance, mean), mean.shape)), ops.cast(target, mean), units

    def check(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> None:
        super().check(inputs, target, units)
        Interval(0).check("GaussianNLLLoss", "variance", inputs[1])

    def evaluate(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        return self.formula(inputs[0] - target, inputs[1], ops_of(target).xp), None

    def sample(self, generator: torch.Generator, units: int = 8) -> tuple[Input, Tensor]:
        mean, target = super().sample(generator, units)
        assert isinstance(mean, Tensor)
        return (mean, Interval(0.5, 4).sample((units,), generator)), target
