"""Gradient harmonising (GHM): each unit counts for as much as its gradient is rare.

Units are sorted into bins by the length g of their gradient, between 0 and 1; the loss is the mean over the bins of
the mean inside each bin. So its sums, per bin, merge exactly over micro-batches, shards and ranks.
"""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from lossmith.errors import ParameterError
from lossmith.flow.claim import Claims
from lossmith.flow.loss import Input, Loss
from lossmith.flow.parameter import param
from lossmith.flow.partial import Partial, divide
from lossmith.flow.units import Units
from lossmith.losses.likelihood import CrossEntropyLoss, LikelihoodLoss
from lossmith.losses.link import log_p_all, log_p_binary, log_p_of
from lossmith.losses.residual import ResidualLoss

LANE = 4096  # numbers that one float32 sum takes up: it counts them exactly, and few of them collide on a GPU


def _at_least_one(value: Any) -> int:
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ValueError
    return int(value)


class GradientDensity(Loss, family="density"):
    """Adds gradient harmonising to a family: a loss of both says, in `gradient`, how long the gradient of a unit is.

    With momentum the shares of the bins are averaged over calls in training mode, as a moving average without the bias
    of a start from 0: the first call is as without momentum. `histogram` holds the average and `correction` what it is
    divided by; both are buffers. In eval mode a call sees what it would see in training, and leaves them as they are.
    With a `process_group`, or partials merged before `reduce`, they move once, and for all ranks alike.
    """

    bins: int = param(default=10, read=_at_least_one, rule="an integer of at least 1", about="how many")
    momentum: float = param(default=0.0, ge=0, lt=1, about="how much of the shares of the bins comes from former calls")
    normalize: Literal["bins", "nonempty"] = param(
        default="bins",
        one_of=("bins", "nonempty"),
        about="what the sum over bins is divided by: their number, as in the paper, or the number of those that this "
        "batch has units in, as in mmdetection",
    )
    normalizer: str | float = param(
        default="weight", one_of=("weight",), about="there is no choice: each bin is a mean by weight"
    )

    hooks: ClassVar[tuple[str, ...]] = ("formula", "gradient")

    def __init__(self, *unnamed: Any, **options: Any) -> None:
        super().__init__(*unnamed, **options)
        self.histogram: Tensor
        self.correction: Tensor
        self.register_buffer("histogram", torch.zeros(self.bins))
        self.register_buffer("correction", torch.zeros(()))

    @property
    def scope(self) -> Literal["unit", "sums", "set"]:
        return "sums"

    def gradient(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> Tensor:
        """The length of the gradient of each unit, from 0 to 1."""
        raise NotImplementedError

    def values(
        self, input: Input, target: Tensor | None, mask: Tensor | None = None, sample_weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """The value of every unit times its harmony: their mean is the loss."""
        value, share, bin = self._sorted(input, target, mask, sample_weight)
        counts = self._everywhere(self._sums(value, share, bin)).weight
        return value * (self._harmony(counts) * counts.sum())[bin], share

    def partial(
        self,
        input: Input,
        target: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> Partial:
        """The sum of the values and of the weights in each bin, [bins] each: they merge by addition."""
        return self._sums(*self._sorted(input, target, mask, sample_weight))

    def reduce(self, partial: Partial, *, num_items: float | Tensor | None = None) -> Tensor:
        """The mean over bins of the mean in each (times all weights for a sum); the averages of the shares move."""
        if num_items is not None:
            raise ParameterError(
                f"{type(self).__name__}: num_items divides a sum, and this loss is a mean over bins; merge the "
                "partials of the micro-batches instead, and reduce them once"
            )
        total, counts = self._everywhere(partial)
        mean = (total * self._harmony(counts)).sum()
        return mean * counts.sum() if self.reduction == "sum" else mean

    def _sorted(
        self, input: Input, target: Tensor | None, mask: Tensor | None, sample_weight: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """The weighted value of every unit, its weight, and its bin; the last bin includes g = 1."""
        inputs, ready, units = self.admit(input, target, mask, sample_weight)
        value, share = self.weigh(inputs, ready, units)
        with torch.no_grad():
            bin = (self.gradient(inputs, ready, units) * self.bins).long().clamp(0, self.bins - 1)
        return value, share, bin

    def _sums(self, value: Tensor, share: Tensor | None, bin: Tensor) -> Partial:
        share = torch.ones_like(value) if share is None else share
        return Partial(_per_bin(value, bin, self.bins), _per_bin(share, bin, self.bins))

    def _everywhere(self, partial: Partial) -> Partial:
        return partial if self.process_group is None else partial.all_reduce(self.process_group)

    def _harmony(self, counts: Tensor) -> Tensor:
        """What a unit of weight 1 in each bin adds to the loss, [bins]: 1 / GD, the paper's gradient density."""
        seen, density = counts > 0, counts
        if self.momentum:
            density = self._averaged(divide(counts, counts.sum()), seen.any()) * counts.sum()
        bins = seen.sum().clamp(min=1) if self.normalize == "nonempty" else self.bins
        return torch.where(seen, 1 / (torch.where(seen, density, 1.0) * bins), 0.0)

    def _averaged(self, shares: Tensor, anything: Tensor) -> Tensor:
        """The moving average of the shares of the bins, this batch included; a batch of nothing does not move it."""
        histogram = self.momentum * self.histogram.to(shares) + (1 - self.momentum) * shares
        correction = self.momentum * self.correction.to(shares) + (1 - self.momentum)
        if self.training:
            with torch.no_grad():
                self.histogram.copy_(torch.where(anything, histogram, self.histogram.to(shares)))
                self.correction.copy_(torch.where(anything, correction, self.correction.to(shares)))
        return histogram / correction


def _per_bin(x: Tensor, bin: Tensor, bins: int) -> Tensor:
    """The sum of `x` in each bin, [bins], by way of several sums side by side; no loop, and no wait for the data."""
    x, bin, lanes = x.flatten(), bin.flatten(), x.numel() // LANE + 1
    end = len(x) - len(x) % lanes
    sums = x.new_zeros(bins, lanes).scatter_add(0, bin[:end].view(-1, lanes), x[:end].view(-1, lanes)).sum(1)
    return sums.scatter_add(0, bin[end:], x[end:])


def _one_bin(loss: Any) -> bool:
    """One bin for all harmonises nothing: the loss is the mean of its formula."""
    return bool(loss.bins == 1)


def _decides(loss: Any) -> bool | None:
    """By an even number of bins p = 1/2 puts both labels into one bin, and is best whatever their shares are."""
    return loss.bins == 1 or (None if loss.bins % 2 else False)


class GHMCLoss(LikelihoodLoss, GradientDensity):
    """Cross-entropy by gradient density: ``(1 / M) sum_b (mean of -log p in bin b)``, M bins of ``g = 1 - p``.

    Whatever a bin holds, few units or many, easy or hopeless, it counts the same: the many easy ones are held down,
    and so are outliers if there are many. g is the length of the gradient in the logits, ``|p - target|``: half of
    ``sum_c |p_c - target_c|`` where the target is a mixture or smoothed. Per unit the loss is
    ``-log p sum(w) / (M R_b)``, R_b the weight w of its bin, so that the mean over units is the loss.

    `sample_weight` and `weight` count in the bins as repeats do; `alpha` and `pos_weight` are costs and do not.

    Use it in detection with dense candidates, most of them easy and some mislabelled, in large batches. Not where p is
    read as a probability, nor in small batches, whose bins say little: `FocalLoss` or `CrossEntropyLoss`.

    >>> p = torch.tensor([0.95, 0.95, 0.95, 0.25])   # bins of g: [0, 1/2) has three, [1/2, 1] has one
    >>> loss = GHMCLoss(link="binary_prob", bins=2)
    >>> float(loss(p, torch.ones(4)))   # (-log 0.95 + log 4) / 2
    0.7187...
    >>> loss = GHMCLoss(link="binary_prob", bins=4, normalize="nonempty")
    >>> float(loss(p, torch.ones(4)))   # the same two bins have units: still divided by 2
    0.7187...

    Source: Li, Liu and Wang, "Gradient Harmonized Single-stage Detector", arXiv 1811.05181, sections "GHM-C Loss"
    and "Unit Region Approximation"; there of single labels, here of classes as well.
    """

    portable = False
    claims = Claims(
        convex=_one_bin, lipschitz=lambda loss: loss.bins == 1 and 1.0, proper=_one_bin, calibrated=_decides
    )

    formula = CrossEntropyLoss.formula

    def gradient(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> Tensor:
        z, axis = inputs[0], units.axis
        if axis is None:
            p = log_p_binary(self.link, z, present=True).exp()
            return (p - self.smoothed(target.to(p), 2)).abs()
        hard = not target.is_floating_point()
        if hard and not self.label_smoothing:
            return -torch.expm1(log_p_of(self.link, z, target, axis))
        share = torch.zeros_like(z).scatter(axis, target.unsqueeze(axis), 1.0) if hard else target
        return (log_p_all(self.link, z, axis).exp() - self.smoothed(share, units.classes)).abs().sum(axis) / 2


class GHMRLoss(ResidualLoss, GradientDensity):
    """Smooth absolute error by gradient density: ``(1 / M) sum_b (mean of sqrt(r^2 + mu^2) - mu in bin b)``.

    The M bins are of ``g = |r| / sqrt(r^2 + mu^2)``, the length of the gradient. Whatever a bin holds counts the same:
    outliers, which all lie in the last one, cannot take over. mu is in the units of the target. Per unit the loss is
    ``(sqrt(r^2 + mu^2) - mu) sum(w) / (M R_b)``, R_b the weight w of its bin, so that the mean over units is the loss.

    Use it for box regression with many hopeless boxes, in large batches. Not in small batches, whose bins say little
    about what is rare, nor as a plain robust loss: `HuberLoss`.

    >>> loss = GHMRLoss(mu=3.0, bins=2)
    >>> float(loss.formula(torch.tensor(4.0), torch))   # 5 - 3, and g = 4/5
    2.0
    >>> float(loss(torch.tensor([4.0, 4.0, 1.25]), torch.zeros(3)))   # (2 + (3.25 - 3)) / 2: g = 4/5 twice, 5/13
    1.125

    Source: Li, Liu and Wang, "Gradient Harmonized Single-stage Detector", arXiv 1811.05181, section "GHM-R Loss"
    (ASL1).
    """

    portable = False
    claims = Claims(convex=_one_bin, lipschitz=lambda loss: loss.bins == 1 and 1.0, symmetric=True, robust=True)

    mu: float = param(default=0.02, gt=0, about="where the square turns into a line")

    def formula(self, r: Any, xp: Any) -> Any:
        root = xp.hypot(r, xp.zeros_like(r) + self.mu)
        return r * (r / (root + self.mu))  # sqrt(r^2 + mu^2) - mu without its cancellation

    def gradient(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> Tensor:
        r = inputs[0] - target
        return r.abs() / torch.hypot(r, r.new_tensor(self.mu))
