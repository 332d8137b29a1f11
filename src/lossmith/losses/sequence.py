"""Sequence losses: a target of labels that is shorter than its input of frames, and lies in it nobody knows where."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from lossmith.errors import DomainError, DtypeError, ParameterError, ShapeError
from lossmith.flow.domain import Domain, Interval, may_look
from lossmith.flow.loss import Input, Loss
from lossmith.flow.parameter import integer_or_none, param
from lossmith.flow.partial import Partial
from lossmith.flow.units import Units, at_least_float32, floating, one_tensor
from lossmith.losses.link import DOMAINS

Lengths = Tensor | Sequence[int] | None
LEAST = -1e30  # stands in for log 0, in which torch's gradient is NaN; float32 has room for the sum of many


def _label(value: Any) -> int:
    number = integer_or_none(value)
    if number is None or number < 0:
        raise ValueError
    return number


@dataclass(frozen=True)
class _Labels(Domain):
    count: int
    blank: int

    @property
    def neutral(self) -> float:  # type: ignore[override]
        return 0 if self.blank else 1

    def describe(self) -> str:
        return f"labels in [0, {self.count}) other than the blank, {self.blank}"

    def outside(self, x: Tensor) -> Tensor:
        return (x < 0) | (x >= self.count) | (x == self.blank)


class SequenceLoss(Loss, family="sequence"):
    """A loss of a sequence of labels under scores for every frame, with lengths of both.

    Shapes: input [T, N, C], or [N, T, C] with ``batch_first=True``: scores of C classes in T frames of N samples.
    Target [N, S], class indices padded with anything, or as torch takes them all in a row, [sum of target_lengths].
    ``input_lengths`` and ``target_lengths``, [N], are given with the call and default to T and S; what lies beyond
    them is not looked at. ``loss((input, input_lengths, target_lengths), target)`` is the same, and what `values`
    takes. A unit is a sample; the loss is in nats. Raises `ShapeError`, `DtypeError` and `DomainError` for lengths,
    labels and shapes that do not fit each other.
    """

    link: Literal["softmax", "log_prob"] = param(
        default="softmax", one_of=("softmax", "log_prob"), about="what the input is: logits, or log-probabilities"
    )
    batch_first: bool = param(default=False, about="whether the input is [N, T, C] rather than [T, N, C]")
    blank: int = param(default=0, read=_label, rule="an integer of at least 0", about="the class that is no label")

    unit = "sample"
    inputs_per_unit = 1  # lengths stay as they are behind a mask

    def forward(
        self,
        input: Input,
        target: Tensor | None = None,
        *,
        input_lengths: Lengths = None,
        target_lengths: Lengths = None,
        mask: Tensor | None = None,
        sample_weight: Tensor | None = None,
        num_items: float | Tensor | None = None,
    ) -> Tensor:
        input = _with_lengths(input, input_lengths, target_lengths)
        return super().forward(input, target, mask=mask, sample_weight=sample_weight, num_items=num_items)

    if TYPE_CHECKING:  # nn.Module leaves its call untyped
        __call__ = forward

    def partial(
        self,
        input: Input,
        target: Tensor | None = None,
        *,
        input_lengths: Lengths = None,
        target_lengths: Lengths = None,
        mask: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> Partial:
        """The sums of this batch, to merge with those of other batches; `reduce` turns them into the loss."""
        input = _with_lengths(input, input_lengths, target_lengths)
        return super().partial(input, target, mask=mask, sample_weight=sample_weight)

    def validate(self) -> None:
        super().validate()
        if self.ignore_index is not None:
            raise ParameterError(f"{type(self).__name__}: ignore_index has no use here: give target_lengths or a mask")

    def arrange(self, input: Input, target: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Units]:
        owner = type(self).__name__
        given = tuple(input) if isinstance(input, tuple | list) and len(input) == 3 else (input, None, None)
        scores = self._frames(one_tensor(owner, given[0]))
        samples, frames, classes = scores.shape
        if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
            raise DtypeError(f"{owner}: target must be class indices (int64); it is {target.dtype}")
        labels = _lengths(owner, "target_lengths", given[2], samples, target.shape[-1] if target.dim() else 0)
        target = _padded(owner, target.long(), labels, given[2] is not None)
        units = Units(torch.Size([samples]), classes=classes)
        if given[2] is not None:  # padding may be anything: it becomes a label like any other
            target = units.hide(target, _before(labels, target), self.legal_target(target, units))
        times = _lengths(owner, "input_lengths", given[1], samples, frames)
        if given[1] is not None:
            scores = torch.where(_before(times, scores).unsqueeze(2), scores, 0.0)
        return (scores, times, labels), target, units

    def _frames(self, scores: Tensor) -> Tensor:
        """The scores as [N, T, C], so that samples lie along axis 0."""
        owner, shape = type(self).__name__, "[N, T, C]" if self.batch_first else "[T, N, C]"
        floating(owner, scores)
        if scores.dim() != 3:
            raise ShapeError(f"{owner}: input must be scores of shape {shape}; it has shape {list(scores.shape)}")
        scores = at_least_float32(scores if self.batch_first else scores.transpose(0, 1))
        if scores.shape[1] < 1 or scores.shape[2] < 2:
            raise ShapeError(
                f"{owner}: input needs at least 1 frame and 2 classes, the blank and a label; as {shape} it has "
                f"{scores.shape[1]} and {scores.shape[2]}"
            )
        if self.blank >= scores.shape[2]:
            raise ParameterError(f"{owner}: blank must be below the number of classes, {scores.shape[2]}: {self.blank}")
        return scores

    def legal_target(self, target: Tensor, units: Units) -> Domain | None:
        return _Labels(units.classes, self.blank)

    def check(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> None:
        owner, (scores, times, labels) = type(self).__name__, inputs
        Interval(0, scores.shape[1]).check(owner, "input_lengths", times)
        Interval(0, target.shape[1]).check(owner, "target_lengths", labels)
        super().check(inputs, target, units)
        legal = DOMAINS[self.link]
        if legal is not None:
            legal.check(owner, "input", scores.clamp(min=LEAST))  # log 0 is legal

    def sample(self, generator: torch.Generator, units: int = 8) -> tuple[Input, Tensor]:
        scores = Interval().sample((units, 6, 4), generator)
        scores = scores if self.link == "softmax" else scores.log_softmax(2)
        labels = torch.randint(0, 3, (units, 3), generator=generator)  # 3 labels, 2 repeats at most: 5 frames will do
        return scores if self.batch_first else scores.transpose(0, 1), labels + (labels >= self.blank)


def _with_lengths(input: Input, input_lengths: Lengths, target_lengths: Lengths) -> Input:
    if input_lengths is None and target_lengths is None:
        return input
    return input, input_lengths, target_lengths  # type: ignore[return-value]


def _lengths(owner: str, name: str, given: Any, samples: int, longest: int) -> Tensor:
    """[N] integers; as long as can be where none are given."""
    if given is None:
        return torch.full((samples,), longest)
    lengths = torch.as_tensor(given)
    if lengths.numel() and (lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool):
        raise DtypeError(f"{owner}: {name} must be integers, one per sample; they are {lengths.dtype}")
    if lengths.shape != (samples,):
        raise ShapeError(
            f"{owner}: {name} must be one per sample, shape [{samples}]; they have shape {list(lengths.shape)}"
        )
    return lengths.long()


def _padded(owner: str, target: Tensor, labels: Tensor, given: bool) -> Tensor:
    """[N, S] labels; those that come all in a row are cut by their lengths."""
    if target.dim() == 1 and given:
        cuts = labels.tolist()
        if sum(cuts) == len(target) and min(cuts, default=0) >= 0:
            return pad_sequence(list(torch.split(target, cuts)), batch_first=True) if cuts else target.view(0, 0)
        raise ShapeError(f"{owner}: target_lengths must add up to the {len(target)} labels; they add up to {sum(cuts)}")
    if target.dim() != 2 or len(target) != len(labels):
        raise ShapeError(
            f"{owner}: target must be labels of shape [{len(labels)}, S], or of shape [sum of target_lengths] with "
            f"target_lengths; it has shape {list(target.shape)}"
        )
    return target


def _before(lengths: Tensor, like: Tensor) -> Tensor:
    """[N, L], True up to the length of each sample; L is axis 1 of `like`."""
    return torch.arange(like.shape[1], device=like.device) < lengths.to(like.device).unsqueeze(1)


class CTCLoss(SequenceLoss):
    """Connectionist temporal classification: ``-log p``, p summed over all ways to lay the labels over the frames.

    A way lays labels in their order, each over one frame or several, with blanks between; equal neighbours need a
    blank between them. So a target needs as many frames as it has labels and repeats. One that has fewer is
    infeasible: its loss is infinite, and `infeasible` says what becomes of it.

    The value of a sample is -log p, and a mean is over samples, as for every loss here. torch's
    ``reduction="mean"`` divides each sample by the length of its target first; ``per_label=True`` does that. Two
    samples that cost 6 and 10, with 2 and 5 labels: ours is (6 + 10) / 2 = 8, torch's (6/2 + 10/5) / 2 = 2.5.

    Over torch's operator, which has no double backward, no vmap and no `torch.compile` without a graph break; on a GPU
    it reads lengths on the host, so leave them there. Unlike torch's, the gradient of ``link="log_prob"`` is that of
    the formula even where the input is no log-softmax, and a class that is ruled out, with a score of -inf, makes no
    NaN of it. A target that needs such a class is as infeasible as one with too few frames, but raises nothing.

    Use it for speech and handwriting: labels in the order of the frames, fewer than those, aligned by nobody. Not where
    the order differs, as in translation: `CrossEntropyLoss` on a decoder's output.

    >>> loss = CTCLoss(batch_first=True)
    >>> float(loss(torch.zeros(1, 2, 3), torch.tensor([[1]])))   # 3 of 9 ways: 11, 1-, -1
    1.0986...
    >>> float(loss(torch.zeros(1, 2, 3), torch.tensor([[1, 2]])))   # 1 of 9
    2.1972...
    >>> loss = CTCLoss(batch_first=True, infeasible="zero")
    >>> float(loss(torch.zeros(1, 2, 3), torch.tensor([[1, 1]])))   # 1, blank, 1 would need 3 frames
    0.0

    Source: Graves et al. (2006), "Connectionist Temporal Classification", eq. 8 and 14; the same as
    ``torch.nn.CTCLoss`` of ``log_softmax(input)`` but for the mean.
    """

    infeasible: Literal["raise", "zero", "inf"] = param(
        default="raise",
        one_of=("raise", "zero", "inf"),
        about='a target with too few frames: an error that says which, where values are checked ("inf" elsewhere); '
        "a loss and a gradient of 0, as torch's zero_infinity; or a loss of infinity, its gradient 0",
    )
    per_label: bool = param(
        default=False, about="whether to divide each sample by the length of its target (at least 1), as torch's mean"
    )

    example = {"batch_first": True}  # noqa: RUF012  # like all class attributes of a loss, never written to
    lacks = ("compile", "double_backward", "vmap")

    # Beyond a formula of one number: what is infeasible is known from the lengths, before anything is computed.
    def check(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> None:
        super().check(inputs, target, units)
        scores, times, labels = inputs
        if self.infeasible != "raise" or not may_look(scores) or not may_look(times):
            return
        short, repeats = _too_short(target, times, labels)
        short = short if units.shown is None else short & units.shown
        if bool(short.any()):
            k = int(short.nonzero()[0])
            raise DomainError(
                f"CTCLoss: sample {k} has {int(times[k])} frames, and its {int(labels[k])} labels with "
                f"{int(repeats[k])} repeats need {int(labels[k] + repeats[k])}; {int(short.sum())} of {len(short)} "
                'samples are like that (mask them, or say infeasible="zero" or "inf")'
            )

    def evaluate(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        scores, times, labels = inputs
        if not len(scores):
            return scores.sum((1, 2)), None  # torch's operator takes no empty batch
        short, _ = _too_short(target, times.to(target.device), labels.to(target.device))
        possible = torch.where(short.to(labels.device), 0, labels)  # no label always fits
        logp = scores.log_softmax(2) if self.link == "softmax" else scores
        logp = logp.clamp(min=LEAST)
        value = F.ctc_loss(logp.transpose(0, 1), target, times, possible, blank=self.blank, reduction="none")
        if self.link == "log_prob":  # torch's gradient takes logp for a log-softmax, and has its p too much
            extra = torch.where(_before(times, logp).unsqueeze(2), logp.exp(), 0.0).sum((1, 2))
            value = value - (extra - extra.detach())
        hopeless = short | (value.detach() > -LEAST / 2)
        if self.per_label:
            value = value / labels.to(value.device).clamp(min=1)
        price = 0.0 if self.infeasible == "zero" else math.inf
        cost = torch.full_like(value, price) if units.shown is None else torch.where(units.shown, price, 0.0).to(value)
        return torch.where(hopeless, cost, value), None


def _too_short(target: Tensor, times: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which samples have fewer frames than labels and repeats, and how many repeats each has."""
    repeats = ((target[:, 1:] == target[:, :-1]) & _before(labels - 1, target[:, 1:])).sum(1)
    return labels + repeats > times, repeats
