"""Divergence losses: a formula of log p and log q over the classes, p what the model says and q what it should.

Distillation is here: a `temperature` T flattens both distributions, and the value is multiplied by T^2.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from lossmith.arrays import ops_of
from lossmith.errors import DtypeError, ParameterError
from lossmith.flow.claim import Claims
from lossmith.flow.domain import Domain, Interval, Simplex
from lossmith.flow.linear import FusedLinear
from lossmith.flow.loss import Input, Loss
from lossmith.flow.parameter import param
from lossmith.flow.units import Units, at_least_float32, floating, one_tensor, rows, same_shape
from lossmith.losses.link import log_p_all, safe_log, warn_of_probabilities

ClassLink = Literal["softmax", "log_prob", "prob"]
CLASS_LINKS: tuple[str, ...] = get_args(ClassLink)


@dataclass(frozen=True)
class _LogSimplex(Simplex):
    """Log-probabilities of the classes along `axis`; -inf is that of a class that is ruled out."""

    @property
    def neutral(self) -> float:  # type: ignore[override]
        return -math.log(self.count)

    def describe(self) -> str:
        return "log-probabilities of the classes, whose exp sums to 1"

    def show(self, x: Tensor, bad: Tensor) -> str:
        first = x.movedim(self.axis, -1)[bad][0]
        return f"the first has greatest value {first.max().item():.4g} and its exp sums to {first.exp().sum():.4g}"

    def outside(self, x: Tensor) -> Tensor:
        return ~((x.exp().sum(self.axis) - 1).abs() <= 5e-2)  # 5e-2: log p of -9 has steps of 0.06 in bfloat16

    def sample(self, shape: Any, generator: torch.Generator) -> Tensor:
        return super().sample(shape, generator).log()


@dataclass(frozen=True)
class _Logits(Domain):
    """Scores of the classes along `axis`; -inf rules a class out, but not all of them."""

    axis: int

    def describe(self) -> str:
        return "logits, the greatest of each row finite"

    def show(self, x: Tensor, bad: Tensor) -> str:
        return f"the greatest of the first is {x.amax(self.axis)[bad][0].item()}"

    def outside(self, x: Tensor) -> Tensor:
        return ~torch.isfinite(x.amax(self.axis))

    def sample(self, shape: Any, generator: torch.Generator) -> Tensor:
        return Interval().sample(shape, generator)


def legal(link: str, axis: int, classes: int) -> Domain:
    """What a distribution over the classes may be, under each link."""
    over: dict[str, Domain] = {"softmax": _Logits(axis), "log_prob": _LogSimplex(axis, classes)}
    return over.get(link, Simplex(axis, classes))


class DivergenceLoss(FusedLinear, Loss, family="divergence"):
    """A loss that is a formula of (log p, log q), summed over the classes: p from the input, q from the target.

    Shapes: input and target [N, C, *] or [C], both floating point, a unit is a row of C classes, so that a mean is per
    row (torch's "batchmean"; torch's "mean" divides by C too). The loss is in nats. A class whose target probability is
    0 (log -inf) gets no gradient to its target. Input probabilities below 1e-30 go on along the tangent of the
    logarithm there, which keeps the gradient of an exact 0 finite. Raises `ShapeError` for different shapes,
    `DtypeError` for class indices as target, `DomainError` for rows that are no distribution (negative, or of a sum
    other than 1).
    """

    portable = True
    link: ClassLink = param(
        default="softmax", one_of=CLASS_LINKS, about="what the input is: logits, log-probabilities or probabilities"
    )
    target_link: ClassLink = param(
        default="prob", one_of=CLASS_LINKS, about="what the target is; a teacher's logits are softmax"
    )
    temperature: float = param(
        default=1.0,
        gt=0,
        about="T: both distributions become softmax(log p / T), and the value is multiplied by T^2, which keeps the "
        "size of the gradients (Hinton et al., arXiv 1503.02531, section 2)",
    )

    unit = "row"
    target_domain = None  # it depends on target_link

    def formula(self, logp: Any, logq: Any, xp: Any) -> Any:
        raise NotImplementedError

    def validate(self) -> None:
        super().validate()
        if self.ignore_index is not None:
            raise ParameterError(
                f"{type(self).__name__}: ignore_index has no meaning where targets are distributions; use mask="
            )
        self._warn_of_probabilities = self.link == "softmax"

    def arrange(self, input: Input, target: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Units]:
        owner = type(self).__name__
        input = one_tensor(owner, input)
        floating(owner, input)
        ops = ops_of(input)
        if not ops.is_floating(target):
            raise DtypeError(
                f"{owner}: target must be a distribution over the classes, floating point and of the input's shape "
                f"{list(input.shape)}; it is {ops.dtype_name(target)} (of class indices make rows "
                f"by torch.nn.functional.one_hot, or use CrossEntropyLoss)"
            )
        same_shape(owner, input, target)
        units = rows(owner, input, target)
        x, target = at_least_float32(input), at_least_float32(target)
        if ops.dtype_name(target) == "float64":  # float32 or float64, each of them: the wider one counts
            x = ops.cast(x, target)
        return (x,), ops.cast(target, x), units

    def legal_target(self, target: Tensor, units: Units) -> Domain | None:
        assert units.axis is not None
        return legal(self.target_link, units.axis, units.classes)

    def check(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> None:
        super().check(inputs, target, units)
        owner, axis = type(self).__name__, units.axis
        assert axis is not None
        if self.link != "softmax":
            domain = legal(self.link, axis, units.classes)
            domain.check(
                owner, "input", inputs[0] if units.shown is None else units.hide(inputs[0], units.shown, domain)
            )
        warn_of_probabilities(self, inputs[0], axis, enough=1)

    def evaluate(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        assert units.axis is not None
        logp = at_least_float32(inputs[0])
        logp = safe_log(logp) if self.link == "prob" else logp
        logq = _log(target) if self.target_link == "prob" else target
        logp, logq = self._flatten(self.link, logp, units.axis), self._flatten(self.target_link, logq, units.axis)
        ops = ops_of(logp)
        return self.temperature**2 * ops.sum(self.formula(logp, logq, ops.xp), units.axis), None

    def _flatten(self, link: str, scores: Tensor, axis: int) -> Tensor:
        """Log-probabilities at the temperature."""
        if link != "softmax" and self.temperature == 1:
            return scores
        return log_p_all("softmax", scores / self.temperature, axis)

    def sample(self, generator: torch.Generator, units: int = 8) -> tuple[Input, Tensor]:
        shape = (units, 3)
        return legal(self.link, 1, 3).sample(shape, generator), legal(self.target_link, 1, 3).sample(shape, generator)


def _log(q: Tensor) -> Tensor:
    """log q, exactly -inf and without a gradient at 0."""
    some, ops = q > 0, ops_of(q)
    return ops.where(some, ops.log(ops.where(some, q, 1.0)), -math.inf)


def given(log: Any, xp: Any) -> tuple[Any, Any]:
    """Where a probability is not 0, and its logarithm, 0 standing in for -inf, which has no slope to give."""
    some = log > -math.inf
    return some, xp.where(some, log, xp.zeros_like(log))


class KLDivLoss(DivergenceLoss):
    """Kullback-Leibler divergence of the model from the target: ``KL(q || p) = sum q (log q - log p)``.

    A class with q = 0 costs 0, whatever p is; one with p = 0 < q costs infinity. The input is log-probabilities and
    the target probabilities, as torch has it, unless `link` and `target_link` say otherwise.

    Use it where the target is a distribution, a teacher's or the votes of annotators, and a perfect match should cost
    0. Not on class indices: `CrossEntropyLoss`; from logits `SoftCrossEntropyLoss` has the same gradient.

    >>> log = torch.log
    >>> float(KLDivLoss()(log(torch.tensor([[0.5, 0.5]])), torch.tensor([[1.0, 0.0]])))   # log 2
    0.6931...
    >>> float(KLDivLoss()(log(torch.tensor([[0.25, 0.75]])), torch.tensor([[0.5, 0.5]])))   # log 2 - log(3) / 2
    0.1438...

    Source: Kullback and Leibler (1951), "On Information and Sufficiency", eq. 2.4; the same as ``torch.nn.KLDivLoss``
    with ``reduction="batchmean"``, and as the sum of ``scipy.special.rel_entr``.
    """

    claims = Claims(convex=True, proper=True)

    link: ClassLink = param(default="log_prob", one_of=CLASS_LINKS)

    def formula(self, logp: Any, logq: Any, xp: Any) -> Any:
        some, logq = given(logq, xp)
        return xp.where(some, xp.exp(logq) * (logq - xp.where(some, logp, logq)), xp.zeros_like(logq))


class JSDivLoss(DivergenceLoss):
    """Jensen-Shannon divergence: ``(KL(p || m) + KL(q || m)) / 2`` with ``m = (p + q) / 2``; from 0 to log 2.

    Symmetric and bounded: log 2 where p and q have no class in common. Input and target are probabilities by default,
    since neither is more of a model than the other, and logits given for them raise; a network's logits need
    ``link="softmax"``.

    Use it to say how far apart two distributions are, each of which may have zeros. Not to train a classifier from
    scratch, far from the target its slope vanishes: `KLDivLoss`.

    >>> float(JSDivLoss()(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.5, 0.5]])))   # log 2
    0.6931...
    >>> float(JSDivLoss()(torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]])))   # 3/4 log(4/3)
    0.2157...

    Source: Lin (1991), "Divergence Measures Based on the Shannon Entropy", eq. 4.1 with equal weights; the square of
    ``scipy.spatial.distance.jensenshannon``.
    """

    claims = Claims(symmetric=True, bounded=lambda loss: loss.temperature**2 * math.log(2), proper=True)

    link: ClassLink = param(default="prob", one_of=CLASS_LINKS)

    def formula(self, logp: Any, logq: Any, xp: Any) -> Any:
        (inp, logp), (inq, logq) = given(logp, xp), given(logq, xp)
        far = xp.where(inp & inq, logq - logp, xp.zeros_like(logp))  # of a class that only one has, m is half of it
        p_share = xp.where(inp, xp.exp(logp) * xp.where(inq, -_log_half(far, xp), math.log(2)), xp.zeros_like(logp))
        q_share = xp.where(inq, xp.exp(logq) * xp.where(inp, -_log_half(-far, xp), math.log(2)), xp.zeros_like(logq))
        return (p_share + q_share) / 2


def _log_half(x: Any, xp: Any) -> Any:
    """log((1 + e^x) / 2), without overflow, and without the cancellation near 0 that log(1 + e^x) - log 2 has."""
    up = xp.where(x > 0, x, xp.zeros_like(x))
    return up + xp.log1p(xp.expm1(xp.where(x > 0, -x, x)) / 2)


class SoftCrossEntropyLoss(DivergenceLoss):
    """Cross-entropy with a soft target: ``-sum q log p``; with `temperature` T and a teacher's logits, distillation.

    Its gradient is that of `KLDivLoss`, and its least value the entropy of the target, not 0. The target is
    probabilities by default, so that a teacher's logits raise unless ``target_link="softmax"`` says what they are.

    Use it for distillation, and for targets that are shares of the classes. Not where a perfect match should cost 0
    (`KLDivLoss`), nor where each row has one class: `CrossEntropyLoss`.

    >>> float(SoftCrossEntropyLoss()(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.3, 0.7]])))   # log 2
    0.6931...
    >>> teacher = torch.tensor([[0.0, 2 * math.log(3)]])   # at T = 2: q = (1/4, 3/4)
    >>> loss = SoftCrossEntropyLoss(target_link="softmax", temperature=2.0)
    >>> float(loss(torch.tensor([[0.0, 0.0]]), teacher))   # 4 log 2
    2.7725...

    Source: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531, eq. 1 and
    section 2 for the T^2; at T = 1 the same as ``torch.nn.CrossEntropyLoss`` with class probabilities.
    """

    claims = Claims(convex=True, proper=True)

    def formula(self, logp: Any, logq: Any, xp: Any) -> Any:
        some, logq = given(logq, xp)
        return xp.where(some, -xp.exp(logq) * xp.where(some, logp, xp.zeros_like(logp)), xp.zeros_like(logq))
