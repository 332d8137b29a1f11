"""Ignoring: what is ignored, masked or weighs nothing is as if it were not there."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lossmith.audit.batch import Batch
from lossmith.audit.case import Case, LossRaisedError, agree, finite, near
from lossmith.audit.check import MistakeError, NotApplicableError, check
from lossmith.audit.kinds import LABELS, OVERLAP

MARK, DEFAULT = 255, -100  # a class that does not occur, and what torch ignores unasked
NAMES = ("ignore_index", "ignore_label", "ignored_index", "ignore_class")
KEPT = torch.tensor([1, 0, 1, 1, 0, 1, 0, 1], dtype=torch.bool)
MARKED = (*LABELS, *OVERLAP)
Away = Callable[[Batch, Tensor], tuple[Batch, dict[str, Any], dict[str, Any]]]


def hide(batch: Batch, keep: Tensor, value: float = MARK) -> Batch:
    """The targets of what is not kept replaced by the mark."""
    target = batch.labels.clone()
    target[~keep] = value
    return batch.put(*batch.inputs, target=target)


def whole_and_part(case: Case) -> tuple[Batch, Tensor, Batch]:
    """A batch, what of its targets is kept, and the batch cut to that: units, or the left half of the images."""
    if case.kind.name not in OVERLAP:
        batch = case.batch(len(KEPT))
        return batch, KEPT, batch.take(KEPT)
    batch = case.batch(2)
    keep = torch.ones_like(batch.labels, dtype=torch.bool)
    half = keep.shape[-1] // 2
    keep[..., half:] = False
    return batch, keep, batch.map(lambda x: x[..., :half])


def away(case: Case) -> tuple[dict[str, Any], Batch, Batch, Tensor]:
    """(the parameter that ignores, the batch with targets marked, the batch cut, what is kept)."""
    batch, keep, cut = whole_and_part(case)
    for name in NAMES:
        if case.accepts(name):
            return {name: MARK}, hide(batch, keep), cut, keep
    if case.own is None and not batch.labels.is_floating_point() and case.once("by default", lambda: by_default(case)):
        return {}, hide(batch, keep, DEFAULT), cut, keep
    raise NotApplicableError(f"it has no parameter {' or '.join(NAMES)}")


def by_default(case: Case) -> bool:
    """Whether it ignores -100 without a word, as whatever is built on torch's cross_entropy does."""
    batch, keep, _ = whole_and_part(case)
    try:
        grad = case.slope(hide(batch, keep, DEFAULT))
    except (LossRaisedError, MistakeError):
        return False
    return not bool(hidden(grad, keep, case).any())


@check(
    *MARKED,
    expects="ignoring units is deleting them: the same value, the same gradient",
    why="A mean that still counts ignored pixels falls with their number, and the learning rate with it.",
    link="qubvel-org/segmentation_models.pytorch#852",
)
def ignored_is_deleted(case: Case) -> None:
    ignoring, marked, cut, keep = away(case)
    compare(case, marked, cut, keep, ignoring, {})


def compare(case: Case, whole: Batch, cut: Batch, keep: Tensor, changes: dict[str, Any], call: dict[str, Any]) -> None:
    """Value and gradient of a batch of which part is hidden are those of the part that is not."""
    value, want = case.value(whole, call=call, **changes), case.value(cut, **changes)
    seen, expected = float(value.double().sum()), float(want.double().sum())
    share = float(keep.double().mean())
    if not near(seen, expected, 1e-4):
        if near(seen, expected * share, 1e-3):
            raise MistakeError(
                f"the mean is over all units, the ignored among them: {share:.3f} x the loss of what is not ignored"
            )
        raise MistakeError(f"{seen:.6g} with units hidden, {expected:.6g} with them deleted")
    if not case.differentiable:
        return
    got, right = case.slopes(whole, call=call, **changes)[1], case.slopes(cut, **changes)[1]
    if not agree(
        torch.stack([g.double().abs().sum() for g in got]), torch.stack([g.double().abs().sum() for g in right])
    ):
        raise MistakeError("the gradient of what is kept is another than with the rest deleted")


@check(
    *MARKED,
    expects="what is ignored has gradient exactly 0",
    why="Padding that trains the model is a bug that no metric shows.",
    link="pytorch/pytorch#63004",
    gradient=True,
)
def ignored_has_gradient_0(case: Case) -> None:
    ignoring, marked, _, keep = away(case)
    grad = case.slopes(marked, **ignoring)[1][0]
    if float(hidden(grad, keep, case).abs().max()) > 0:
        raise MistakeError(
            f"a gradient up to {float(hidden(grad, keep, case).abs().max()):.3g} where the target is ignored"
        )


def hidden(grad: Tensor, keep: Tensor, case: Case) -> Tensor:
    """The part of a gradient that belongs to what is hidden."""
    if keep.dim() < grad.dim() and case.kind.name == "overlap":
        return grad.movedim(1, -1)[~keep]
    return grad[~keep]


@check(
    *MARKED,
    expects="NaN behind an ignored target stays there: value and gradient are finite",
    why="Padding often holds garbage; 0 * NaN is NaN, so multiplying by a mask afterwards does not keep it out.",
    link="https://github.com/tensorflow/probability/blob/main/discussion/where-nan.pdf",
)
def nan_behind_ignored_stays_out(case: Case) -> None:
    ignoring, marked, _, keep = away(case)
    z = marked.input.clone()
    if case.kind.name == "overlap":
        z.movedim(1, -1)[~keep] = float("nan")
    else:
        z[~keep] = float("nan")
    batch = marked.put(z)
    if not finite(case.value(batch, **ignoring)):
        raise MistakeError("the value is NaN")
    if case.differentiable and not finite(*case.slopes(batch, **ignoring)[1]):
        raise MistakeError("the value is finite, its gradient is NaN")


@check(
    *MARKED,
    expects="all ignored: 0 with zero gradient (or a clear error)",
    why="A crop without labels divides 0 by 0, and one NaN ends the training run.",
    link="pytorch/pytorch#70348",
)
def all_ignored(case: Case) -> str:
    ignoring, marked, _, keep = away(case)
    mark = MARK if ignoring else DEFAULT
    return nothing_counts(case, hide(marked, torch.zeros_like(keep), mark), **ignoring)


def nothing_counts(case: Case, batch: Batch, **changes: Any) -> str:
    """Undefined means cost nothing, with the graph kept, or are refused in a clear sentence."""
    try:
        value = case.value(batch, **changes)
    except LossRaisedError as raised:
        if case.own is None and raised.clear:
            return f"refused with a clear error: {raised}"
        raise
    if not finite(value):
        raise MistakeError(f"the value is {value.flatten()[0].item()}")
    if case.differentiable:
        grads = case.slopes(batch, **changes)[1]
        if not all(bool((g == 0).all()) for g in grads):
            raise MistakeError("the gradient is not 0")
    return "" if float(value.double().sum()) == 0 else f"the value is {float(value.double().sum()):.4g}, its gradient 0"


@check(
    *MARKED,
    expects="naming a class to ignore that does not occur changes nothing",
    why="One library returns exactly C times the loss as soon as ignore_index is given.",
    link="Project-MONAI/MONAI#8757",
)
def an_unused_ignore_index_changes_nothing(case: Case) -> None:
    name = case.need(*NAMES)
    batch = case.batch()
    one, two = case.number(batch, **{name: MARK}), case.number(batch)
    if not near(one, two, 1e-5):
        raise MistakeError(f"{one:.6g} with {name}={MARK}, {two:.6g} without: {one / two:.4g} times")


def call_option(case: Case, *names: str) -> str:
    """A keyword of the call itself."""
    for name in names:
        if name in case.subject.call_parameters:
            return name
    raise NotApplicableError(f"its call has no keyword {' or '.join(names)}")


@check(
    expects="mask= hides units as if they were deleted",
    why="A mask that only multiplies leaves the hidden units in the denominator.",
    link="pytorch/pytorch#72056",
)
def masked_is_deleted(case: Case) -> None:
    name = call_option(case, "mask")
    if case.option("scope") == "set":
        raise NotApplicableError("its value is of the whole set of units: a smaller set is another question")
    batch, keep, cut = whole_and_part(case)
    try:
        case.value(batch, call={name: keep})
    except LossRaisedError as raised:
        raise NotApplicableError(f"it does not take a mask of one entry per unit: {raised}") from raised
    compare(case, batch, cut, keep, {}, {name: keep})


@check(
    expects="sample_weight= of k counts a unit k times, and of 0 not at all",
    why="Importance weights and class weights rest on it.",
    link="https://scikit-learn.org/stable/glossary.html#term-sample_weight",
)
def weight_k_is_k_repeats(case: Case) -> None:
    name = call_option(case, "sample_weight", "sample_weights")
    if case.option("scope") == "set":
        raise NotApplicableError("its value is of the whole set of units: a repeated unit is another set")
    if case.option("normalizer", "weight") not in ("weight", "positives"):
        raise NotApplicableError("it was made with a denominator that weights do not enter")
    batch = case.batch()
    times = torch.tensor([1, 2, 0, 3, 1, 1, 2, 4])
    try:
        got = case.number(batch, call={name: times.float()})
    except LossRaisedError as raised:
        raise NotApplicableError(f"it does not take one weight per unit: {raised}") from raised
    want = case.number(batch.take(torch.arange(8).repeat_interleave(times)))
    if not near(got, want, 1e-4):
        raise MistakeError(f"{got:.6g} with weights, {want:.6g} with the units repeated")
