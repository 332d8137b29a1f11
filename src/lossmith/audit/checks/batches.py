"""Batches: the empty one, and many small ones that make a large one."""

from typing import Any

import torch

from lossmith.audit.batch import Batch
from lossmith.audit.case import Case, agree, near
from lossmith.audit.check import MistakeError, NotApplicableError, check
from lossmith.audit.checks.ignoring import nothing_counts

UNEQUAL = (slice(0, 1), slice(1, 6), slice(6, 8))


@check(
    expects="an empty batch: 0 with zero gradient (or a clear error)",
    why="A filter may leave nothing of a batch; the mean of nothing is NaN, and NaN ends the training run.",
    link="pytorch/pytorch#51910",
)
def an_empty_batch(case: Case) -> str:
    batch = case.batch()
    return nothing_counts(case, batch.take(slice(0, 0)))


def parts_of(batch: Batch, slices: tuple[slice, ...]) -> list[Batch]:
    return [batch.take(s) for s in slices]


@check(
    expects='reduction="sum" over unequal micro-batches adds up to that of the batch, gradients included',
    why="Gradient accumulation rests on sums; it is the only reduction that adds up.",
    link="huggingface/transformers#34191",
)
def sums_of_micro_batches_add_up(case: Case) -> None:
    case.need("reduction")
    case.need_unitwise()
    batch = case.batch()
    pieces = parts_of(batch, UNEQUAL)
    whole, total = case.number(batch, reduction="sum"), sum(case.number(p, reduction="sum") for p in pieces)
    if not near(whole, total, 1e-4):
        raise MistakeError(f"the sums add up to {total:.6g}, the sum of the batch is {whole:.6g}")
    if case.differentiable:
        one = case.slopes(batch, reduction="sum")[1][0]
        many = torch.cat([case.slopes(p, reduction="sum")[1][0] for p in pieces], dim=batch.axis)
        if not agree(one, many):
            raise MistakeError("the gradients of the micro-batches are not those of the batch")


@check(
    expects="the average over micro-batches of equal size is the loss of the batch, gradients included",
    why="It is what a training loop with gradient accumulation computes.",
    link="huggingface/transformers#34191",
)
def equal_micro_batches_make_the_batch(case: Case) -> None:
    if case.over != "mean":
        raise NotApplicableError("its value is not a mean over independent units")
    batch = case.batch()
    pieces = parts_of(batch, (slice(0, 4), slice(4, 8)))
    whole, mean = case.number(batch), sum(case.number(p) for p in pieces) / 2
    if not near(whole, mean, 1e-4):
        raise MistakeError(f"the mean of two halves is {mean:.6g}, the loss of the batch {whole:.6g}")
    if case.differentiable:
        one = case.slopes(batch)[1][0]
        many = torch.cat([case.slopes(p)[1][0] for p in pieces], dim=batch.axis) / 2
        if not agree(one, many):
            raise MistakeError("the gradients of the halves are not those of the batch")


@check(
    expects="unequal micro-batches, with num_items= or merged sums, make the loss of the batch, gradients included",
    why="A mean of means weighs the examples of a short micro-batch more; with padding that is every micro-batch.",
    link="huggingface/transformers#34191",
)
def unequal_micro_batches_make_the_batch(case: Case) -> str:
    loss = case.loss()
    batch = case.batch()
    pieces = parts_of(batch, UNEQUAL)
    if case.option("reduction") == "none":
        raise NotApplicableError("it was made to give single values")
    if case.option("scope") == "set":
        raise NotApplicableError("its value is of the whole set of units: parts of it are other sets")
    if all(callable(getattr(loss, name, None)) for name in ("partial", "reduce")) and case.own is not None:
        merged = _merged(loss, pieces)
        whole = case.number(batch)
        if not near(merged, whole, 1e-4):
            raise MistakeError(f"merged {merged:.6g}, the batch {whole:.6g}")
    if "num_items" not in case.subject.call_parameters or case.option("scope", "unit") != "unit":
        if case.own is None:
            raise NotApplicableError("it has no num_items=: accumulate its sum, and divide by a count of your own")
        return "by merging sums"
    if case.option("reduction", "mean") != "mean" or isinstance(case.option("normalizer"), float):
        return "by merging sums"
    if case.own is not None and (case.own.reductions == ("mean",) or not hasattr(_partial(case.own, batch), "weight")):
        return "by merging sums"
    items = _items(case, batch)
    total = sum(case.number(p, call={"num_items": items}) for p in pieces)
    whole = case.number(batch)
    if not near(total, whole, 1e-4):
        raise MistakeError(f"the losses add up to {total:.6g}, the loss of the batch is {whole:.6g}")
    if case.differentiable:
        many = torch.cat([case.slopes(p, call={"num_items": items})[1][0] for p in pieces], dim=batch.axis)
        if not agree(many, case.slopes(batch)[1][0]):
            raise MistakeError("the gradients of the micro-batches are not those of the batch")
    return ""


def _merged(loss: Any, pieces: list[Batch]) -> float:
    """The loss of sums that were merged."""
    partials = [_partial(loss, p) for p in pieces]
    return float(loss.reduce(partials[0].merge(*partials[1:])).detach())


def _items(case: Case, batch: Batch) -> float:
    if case.own is not None:
        return float(_partial(case.own, batch).weight)
    return float(batch.units)


def _partial(loss: Any, batch: Batch) -> Any:
    """The sums of a batch."""
    return loss.partial(batch.inputs if len(batch.inputs) > 1 else batch.input, batch.target)
