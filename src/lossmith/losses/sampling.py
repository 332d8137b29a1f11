"""Losses over so many classes that the logits of all of them cost too much: the target's is told from a sample.

A loss is a formula of four statistics: the score of the target, the scores of the sampled noise, and the log of how
often each is expected among the samples, ``log(k q)``.
"""

import math
import numbers
from typing import Any, ClassVar, Literal

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from lossmith.errors import DtypeError, ParameterError, ShapeError
from lossmith.flow.domain import Classes, Domain, Interval
from lossmith.flow.loss import Input, Loss
from lossmith.flow.parameter import integer_or_none, param, weights_or_none
from lossmith.flow.partial import ready
from lossmith.flow.units import Units, at_least_float32, floating, one_tensor
from lossmith.losses import noise as noises
from lossmith.losses.margin import softplus


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not 1 <= int(value) < 2**31:
        raise ValueError
    return int(value)


class ManyClassesLoss(Loss, family="many_classes"):
    """A loss that takes what enters the last layer, not the logits that would leave it.

    Shapes: hidden [*, H] and target [*], class indices; a unit is a row of hidden. Raises `ShapeError` and `DtypeError`
    for tensors that do not fit each other, `DomainError` for class indices outside [0, V).
    """

    ignore_index: int | None = param(
        default=-100, read=integer_or_none, rule="an integer or None", about="units with this target do not count"
    )
    unit = "sample"
    inputs_per_unit = 1

    def units_of(self, hidden: Tensor, target: Tensor, classes: int, features: int) -> Units:
        """Every row of hidden is a unit."""
        owner = type(self).__name__
        floating(owner, hidden, "hidden")
        if hidden.dim() == 0 or hidden.shape[-1] != features:
            raise ShapeError(
                f"{owner}: hidden must have shape [*, {features}], as the weight has; it has {list(hidden.shape)}"
            )
        if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
            raise DtypeError(f"{owner}: target must be class indices (int64); it is {str(target.dtype)[6:]}")
        if target.shape != hidden.shape[:-1]:
            raise ShapeError(
                f"{owner}: target must be class indices of shape {list(hidden.shape[:-1])} for hidden of shape "
                f"{list(hidden.shape)}; it has shape {list(target.shape)}"
            )
        return Units(target.shape, hidden.dim() - 1, classes)

    def legal_target(self, target: Tensor, units: Units) -> Domain | None:
        return Classes(units.classes)


class SamplingLoss(ManyClassesLoss, family="sampling"):
    """A loss that tells the target from `num_sampled` noise classes; of the weight it reads those rows only.

    The noise is drawn with replacement, at every call anew, and shared by the whole batch: one matrix product serves
    all rows, and class c is expected exactly ``k q(c)`` times, k = `num_sampled`. It comes from torch's generator on
    the device, so `torch.manual_seed` repeats a training; with a `process_group` all ranks share that of rank 0.

    Shapes: input ``(hidden, weight, bias)`` or ``(hidden, weight)``, hidden [*, H], weight [V, H], bias [V]; target
    [*], class indices; a unit is a row of hidden. The loss is in nats, and does the same in evaluation mode as in
    training: to evaluate a model use all classes, ``CrossEntropyLoss()(F.linear(hidden, weight, bias), target)``.
    Raises `ShapeError` and `DtypeError` for tensors that do not fit each other, `DomainError` for class indices outside
    [0, V).
    """

    example: ClassVar[dict[str, Any]] = {
        "noise": "unigram", "counts": [8.0, 1.0, 3.0, 2.0, 5.0], "num_sampled": 6, "seed": 3,
    }  # fmt: skip

    num_sampled: int = param(
        default=1024, read=_count, rule="an integer of at least 1", about="k, how many noise classes a batch meets"
    )
    noise: Literal["log_uniform", "unigram", "uniform"] = param(
        default="log_uniform",
        one_of=("log_uniform", "unigram", "uniform"),
        about="what noise is drawn from: log-uniform (Zipf's law, for classes in the order of falling frequency), "
        "unigram (`counts` to the power `power`), or all classes alike",
    )
    counts: Any = param(
        default=None,
        read=weights_or_none,
        rule="numbers, finite and at least 0, one per class",
        about="how often each class was seen, [V], for unigram noise; a class with 0 is never drawn",
    )
    power: float = param(default=0.75, ge=0, about="the power of the counts of unigram noise")
    remove_accidental_hits: bool = param(
        default=True, about="whether noise that happens to be the target of a row is left out for that row"
    )
    seed: int | None = param(
        default=None,
        read=integer_or_none,
        rule="an integer or None",
        about="None: new noise at every call; an integer: the same at every call, for tests",
    )
    sparse: bool = param(
        default=False,
        about="whether the gradient of the weight is a sparse tensor, for an optimiser that takes such (SparseAdam)",
    )

    def formula(self, target: Any, noise: Any, target_count: Any, noise_count: Any, xp: Any) -> Any:
        raise NotImplementedError

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.distribution = noises.noise(self.noise, self.counts, self.power)

    def validate(self) -> None:
        super().validate()
        owner, counts = type(self).__name__, self.counts
        if self.noise == "unigram" and counts is None:
            raise ParameterError(
                f'{owner}: noise="unigram" needs counts=, how often each class was seen; without them there are '
                f'"log_uniform" (classes in the order of falling frequency) and "uniform"'
            )
        if self.noise != "unigram" and (counts is not None or self.power != 0.75):
            raise ParameterError(f'{owner}: counts and power belong to noise="unigram", not to "{self.noise}"')
        if counts is not None and (counts.dim() != 1 or len(counts) < 2 or not bool((counts > 0).any())):
            raise ParameterError(f"{owner}: counts must be one number per class for at least 2, and not all of them 0")

    def arrange(self, input: Input, target: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Units]:
        owner = type(self).__name__
        if not isinstance(input, tuple | list) or len(input) not in (2, 3):
            raise DtypeError(f"{owner}: input must be a tuple of tensors, (hidden, weight, bias) or (hidden, weight)")
        hidden, weight, *bias = (one_tensor(owner, x, "hidden, weight and bias") for x in input)
        floating(owner, weight, "weight")
        if weight.dim() != 2 or len(weight) < 2 or any(b.shape != weight.shape[:1] for b in bias):
            shapes = " and ".join(str(list(x.shape)) for x in (weight, *bias))
            raise ShapeError(f"{owner}: weight must be [V, H] for at least 2 classes and bias [V]; they are {shapes}")
        if self.counts is not None and len(self.counts) != len(weight):
            raise ShapeError(f"{owner}: weight has {len(weight)} classes, and counts are of {len(self.counts)}")
        units = self.units_of(hidden, target, *weight.shape)
        return (at_least_float32(hidden), weight, *bias), target.to(torch.int64), units

    def draw(self, classes: int, device: torch.device | str | None = None) -> Tensor:
        """The noise of a call: `num_sampled` class indices below `classes`; with a `seed` those of every call."""
        if self.seed is not None:
            key = torch.full((), self.seed, dtype=torch.int64, device=device)
        else:
            key = torch.randint(-(2**63), 2**63 - 1, (), device=device)
        if self.seed is None and self.process_group is not None:
            group = ready(self.process_group)
            dist.broadcast(key, dist.get_global_rank(group, 0), group=group)
        return self.distribution.draw(key, self.num_sampled, classes)

    def evaluate(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        hidden, weight, *bias = inputs
        hidden, own, classes = hidden.reshape(-1, hidden.shape[-1]), target.reshape(-1), len(weight)
        noise = self._noise(classes, hidden.device)
        index, n = torch.cat([own, noise]), len(own)
        # One look-up for both: each would have a gradient as large as the whole weight.
        rows = F.embedding(index, weight, sparse=True) if self.sparse else weight.index_select(0, index)
        rows, shift = rows.to(hidden.dtype), [b.index_select(0, index).to(hidden.dtype) for b in bias]
        with torch.autocast("cpu" if hidden.is_meta else hidden.device.type, enabled=False):
            score, scores = (hidden * rows[:n]).sum(-1), F.linear(hidden, rows[n:], *(s[n:] for s in shift))
        for s in shift:
            score = score + s[:n]
        if self.remove_accidental_hits:
            scores = scores.masked_fill(own[:, None] == noise, -math.inf)
        count = self.distribution.log_q(index, classes, hidden.dtype) + math.log(self.num_sampled)
        return self.formula(score, scores, count[:n], count[n:], torch).reshape(units.shape), None

    def _noise(self, classes: int, device: torch.device) -> Tensor:
        table = next(self.distribution.buffers(), None)
        if table is not None and table.device != device:
            raise ParameterError(
                f"{type(self).__name__}: the noise table is on {table.device} and hidden on {device}; "
                f"move the loss there, loss.to({str(device)!r})"
            )
        return self.draw(classes, device)

    def sample(self, generator: torch.Generator, units: int = 8) -> tuple[Input, Tensor]:
        classes = 7 if self.counts is None else len(self.counts)
        hidden, weight, bias = (Interval(-2, 2).sample(s, generator) for s in ((units, 3), (classes, 3), (classes,)))
        return (hidden, weight, bias), Classes(classes).sample((units,), generator)


class NCELoss(SamplingLoss):
    """Noise-contrastive estimation: ``softplus(log(k q_y) - s_y) + sum_j softplus(s_j - log(k q_j))``.

    Is it data or noise? The j are k noise classes, s the scores. It is least where ``exp(s)`` are the probabilities
    themselves, of sum 1 without a softmax; for large k its gradient is that of the likelihood. Noise that equals the
    target stays in by default: without it the optimum is another. A class that is never noise (count 0) is
    told apart for certain: as a target it costs 0 and teaches nothing.

    Use it for huge vocabularies where the score of one class should be a log-probability without a softmax. Not where a
    full softmax fits (`CrossEntropyLoss`), nor for training alone: `SampledSoftmaxLoss` is the usual one.

    >>> noise = {"noise": "unigram", "counts": [0, 1, 0], "num_sampled": 4}   # always class 1: k q = 4
    >>> hidden, weight = torch.tensor([[1.0]]), torch.tensor([[0.0], [math.log(4)], [0.0]])
    >>> float(NCELoss(**noise)((hidden, weight), torch.tensor([1])))   # log(4 q) each: 5 log 2
    3.4657...
    >>> float(NCELoss(**noise)((hidden, 2 * weight), torch.tensor([1])))   # log(5/4) + 4 log 5
    6.6608...

    Source: Gutmann and Hyvarinen (2010), "Noise-contrastive estimation", eq. 3; for classes Mnih and Teh,
    "A fast and simple algorithm for training neural probabilistic language models", arXiv 1206.6426, section 3.
    """

    remove_accidental_hits: bool = param(default=False)

    def formula(self, target: Any, noise: Any, target_count: Any, noise_count: Any, xp: Any) -> Any:
        return softplus(target_count - target, xp) + xp.sum(softplus(noise - noise_count, xp), axis=-1)


class NegativeSamplingLoss(SamplingLoss):
    """Negative sampling: ``softplus(-s_y) + sum_j softplus(s_j)`` over k noise classes j, s the scores.

    It learns vectors, not probabilities: it is least at ``s = log(p / (k q))``, so k and the noise are part of
    what is learnt. Noise that equals the target is left out, as word2vec leaves it out.

    Use it for vectors of words or items. Not where probabilities are wanted: `NCELoss` or `SampledSoftmaxLoss`.

    >>> hidden, weight = torch.tensor([[1.0]]), torch.tensor([[math.log(3)], [0.0], [0.0]])
    >>> loss = NegativeSamplingLoss(noise="unigram", counts=[0, 1, 0], num_sampled=4)   # always class 1
    >>> float(loss((hidden, weight), torch.tensor([0])))   # log(4/3) + 4 log 2
    3.0602...
    >>> float(loss((hidden, weight), torch.tensor([1])))   # all of the noise is the target: log 2
    0.6931...

    Source: Mikolov et al., "Distributed Representations of Words and Phrases and their Compositionality",
    arXiv 1310.4546, eq. 4 (k of 5 to 20; the power 3/4: section 2.2).
    """

    num_sampled: int = param(default=20, read=_count, rule="an integer of at least 1", about="k")

    def formula(self, target: Any, noise: Any, target_count: Any, noise_count: Any, xp: Any) -> Any:
        return softplus(-target, xp) + xp.sum(softplus(noise, xp), axis=-1)


class SampledSoftmaxLoss(SamplingLoss):
    """Sampled softmax: ``log(1 + sum_j exp(s_j - log(k q_j) - s_y))``, cross-entropy over target and k noise classes.

    The sum over the noise estimates the sum over all other classes without bias, so value and gradient converge
    to those of the full softmax as k grows. The target is there for certain: its score is not corrected. With
    ``remove_accidental_hits=False`` it counts as one more draw and is corrected like the noise; the gradient
    converges then too, the value up to a constant.

    Use it to train over more classes than there is memory for logits. Not to evaluate, nor where the logits fit:
    `CrossEntropyLoss`.

    >>> hidden, weight = torch.tensor([[1.0]]), torch.tensor([[math.log(3)], [math.log(6)], [0.0]])
    >>> loss = SampledSoftmaxLoss(noise="unigram", counts=[1, 1, 0], power=0, num_sampled=4, seed=4)
    >>> loss.draw(3)
    tensor([1, 0, 0, 1])
    >>> float(loss((hidden, weight), torch.tensor([0])))   # of 4 draws 2 are class 1, k q = 2: log(1 + 2 * 3 / 3)
    1.0986...

    Source: Bengio and Senecal (2008), "Adaptive importance sampling to accelerate training of a neural probabilistic
    language model"; Jean et al., arXiv 1412.2007, section 3; the target uncorrected: Blanc and Rendle, arXiv
    1712.00527, section 2; with ``remove_accidental_hits=False``: Ma and Collins, arXiv 1809.01812, section 3.
    """

    def formula(self, target: Any, noise: Any, target_count: Any, noise_count: Any, xp: Any) -> Any:
        own = target if self.remove_accidental_hits else target - target_count
        odds = noise - noise_count - own[..., None]
        top = xp.amax(odds, axis=-1)
        top = xp.where(top > 0, top, xp.zeros_like(top))
        return top + xp.log1p(xp.sum(xp.exp(odds - top[..., None]), axis=-1) + xp.expm1(-top))
