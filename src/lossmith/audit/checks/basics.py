"""Basics: one number, a gradient, and inputs left alone."""

import math

import torch
from torch import Tensor

from lossmith.audit.case import Case, LossRaisedError, agree, finite
from lossmith.audit.check import MistakeError, NotApplicableError, check


@check(
    expects="a finite value, and a finite gradient unless it declares that it has none",
    why="Nothing can be said of a loss that does not work on eight plain examples.",
    link="https://docs.pytorch.org/docs/stable/notes/autograd.html",
)
def a_plain_batch_works(case: Case) -> None:
    value = case.value(case.batch())
    if not finite(value):
        raise MistakeError(f"the value is {value.flatten()[0].item()}")
    if case.differentiable and not finite(*case.slopes(case.batch())[1]):
        raise MistakeError("the value is finite, its gradient is not")


@check(
    expects="a gradient that is not 0 everywhere",
    why="A value cut off from the graph (detach, item, argmax, numpy) trains nothing, and no error says so.",
    link="https://docs.pytorch.org/docs/stable/notes/autograd.html",
    gradient=True,
)
def it_trains(case: Case) -> None:
    grads = case.slopes(case.batch())[1]
    if all(bool((g == 0).all()) for g in grads):
        raise MistakeError("the gradient is 0 for every input")


@check(
    expects="input and target unchanged after forward and backward",
    why="A loss that writes to its input changes what the next loss on the same logits sees.",
    link="linkedin/Liger-Kernel#272",
)
def nothing_is_written(case: Case) -> None:
    batch = case.batch().copy()
    before, versions = batch.copy(), [x._version for x in batch.tensors]
    try:
        value = case.call(case.loss(), batch.put(*(wanting(x, case) for x in batch.inputs)))
        if value.requires_grad:
            value.sum().backward()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        if "in-place" not in str(error) and "inplace" not in str(error):
            raise
        raise MistakeError(f"it writes to its input: {error}") from error
    for x, y, version in zip(batch.tensors, before.tensors, versions, strict=True):
        if not torch.equal(x.detach(), y) or x._version != version:
            raise MistakeError("a tensor that was given has other values, or was written to")


def wanting(x: Tensor, case: Case) -> Tensor:
    """A view of the same numbers that wants a gradient, so that a write to it is seen in `x`."""
    return x.view_as(x).requires_grad_() if x.is_floating_point() and case.differentiable else x


@check(
    expects="transposed, strided and offset views give what contiguous tensors give",
    why="Channels-last images and slices of a sequence are not contiguous; kernels that assume it read other numbers.",
    link="https://docs.pytorch.org/docs/stable/tensor_view.html",
)
def layout_in_memory_does_not_matter(case: Case) -> None:
    batch = case.batch()
    twisted = batch.map(strided)
    if not agree(case.value(twisted), case.value(batch)):
        raise MistakeError("another value for a non-contiguous view of the same numbers")
    if case.differentiable and not all(
        agree(a, b) for a, b in zip(case.slopes(twisted)[1], case.slopes(batch)[1], strict=True)
    ):
        raise MistakeError("another gradient for a non-contiguous view of the same numbers")


def strided(x: Tensor) -> Tensor:
    """The same numbers, every other one of a wider tensor, with its axes stored in reverse order."""
    wide = torch.stack([x, x + 1], dim=-1)
    reverse = list(range(wide.dim()))[::-1]
    return wide.permute(reverse).contiguous().permute(reverse)[..., 0]


@check(
    expects="the same value and gradient, bit for bit, when asked twice from the same seed",
    why="A run that cannot be repeated cannot be debugged.",
    link="pytorch/pytorch#46024",
)
def it_repeats(case: Case) -> None:
    batch = case.batch(64)
    if not torch.equal(case.value(batch), case.value(batch)):
        raise MistakeError("two calls with the same seed gave different values")
    if case.differentiable and not all(
        torch.equal(a, b) for a, b in zip(case.slopes(batch)[1], case.slopes(batch)[1], strict=True)
    ):
        raise MistakeError("two calls with the same seed gave different gradients")


@check(
    expects="NaN in, NaN out (or an error)",
    why="A loss that swallows NaN lets a broken model train on, and log a plausible number.",
    link="https://docs.pytorch.org/docs/stable/autograd.html#anomaly-detection",
)
def nan_is_not_swallowed(case: Case) -> None:
    if not case.differentiable:
        raise NotApplicableError("a metric: it may count NaN as wrong")
    batch = case.batch()
    spoiled = batch.input.clone()
    spoiled[0] = float("nan")
    try:
        seen = case.number(batch.put(spoiled, *batch.inputs[1:]))
    except LossRaisedError:
        return
    if not math.isnan(seen):
        raise MistakeError(f"the first input is NaN and the value is {seen:.4g}")


@check(
    expects="the batch in another order gives the same value",
    why="The order of a batch carries no meaning; a loss that depends on it depends on the data loader.",
    link="https://docs.pytorch.org/docs/stable/data.html",
)
def order_does_not_matter(case: Case) -> None:
    batch = case.batch(64)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(2))
    one, two = case.value(batch), case.value(batch.take(order))
    if one.dim() and one.shape[0] == 64:
        one = one[order]
    if one.shape == two.shape and not agree(one, two):
        raise MistakeError(f"{float(one.sum()):.6g} in one order, {float(two.sum()):.6g} in another")


@check(
    expects="the value of a batch of one is finite",
    why="The last batch of an epoch often holds a single example.",
    link="https://docs.pytorch.org/docs/stable/nn.html#loss-functions",
)
def one_example_is_enough(case: Case) -> None:
    if case.kind.name in ("embeddings",):
        raise NotApplicableError("one vector has no pair")
    if not finite(case.value(case.batch(1))):
        raise MistakeError("the value of one example is not finite")
