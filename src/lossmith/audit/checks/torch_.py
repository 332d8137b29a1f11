"""Torch: compile, vmap, autocast, and backward more than once."""

from dataclasses import replace

import torch
from torch import Tensor

from lossmith.audit.batch import Batch
from lossmith.audit.case import Case, agree, told
from lossmith.audit.check import MistakeError, NotApplicableError, check


def rebuilt(batch: Batch, tensors: tuple[Tensor, ...]) -> Batch:
    """The batch made of other tensors, in the order of `tensors`."""
    count = len(batch.inputs)
    return replace(batch, inputs=tuple(tensors[:count]), target=tensors[count] if batch.target is not None else None)


@check(
    expects="torch.compile(fullgraph=True): no graph break, the same value and gradient",
    why="A graph break (item(), a Python branch on data) splits the model's graph, and slows every step.",
    link="https://docs.pytorch.org/docs/stable/torch.compiler.html",
)
def it_compiles_whole(case: Case) -> None:
    case.has("compile")
    batch, loss = case.batch(), case.loss()
    fresh, leaves = batch.leaves()
    call = case.kind.call

    def run(*tensors: Tensor) -> Tensor:
        return call(loss, rebuilt(fresh, tensors))  # type: ignore[no-any-return]

    try:
        got = torch.compile(run, fullgraph=True, backend="aot_eager", dynamic=False)(*fresh.tensors)
    except Exception as error:
        raise MistakeError(f"a graph break: {told(error)}") from error
    finally:
        torch._dynamo.reset()
    if not agree(got.detach(), case.value(batch), 1e-4):
        raise MistakeError(f"{float(got.detach().sum()):.6g} compiled, {case.number(batch):.6g} eager")
    if case.differentiable:
        grads = torch.autograd.grad(got.sum(), leaves, allow_unused=True)
        want = case.slopes(batch)[1]
        if not all(agree(torch.zeros_like(b) if a is None else a, b) for a, b in zip(grads, want, strict=True)):
            raise MistakeError("the value agrees, the gradient does not")


@check(
    expects="torch.vmap over batches is a loop over them",
    why="Per-sample gradients and ensembles need it; data-dependent shapes and item() break it.",
    link="https://docs.pytorch.org/docs/stable/func.ux_limitations.html",
)
def vmap_is_a_loop(case: Case) -> None:
    case.has("vmap")
    if stateful(case):
        raise NotApplicableError("it has a state, which a transform cannot update")
    batch, loss = case.batch(), case.loss()
    pieces = [batch.take(slice(k, k + 4)) for k in (0, 4)]
    stacked = tuple(torch.stack(parts) for parts in zip(*(p.tensors for p in pieces), strict=True))
    try:
        got = torch.vmap(lambda *x: case.kind.call(loss, rebuilt(batch, x)), randomness="same")(*stacked)
    except Exception as error:
        raise MistakeError(told(error)) from error
    want = torch.stack([case.value(p) for p in pieces])
    if not agree(got.detach(), want, 1e-4):
        raise MistakeError(f"{got.detach().flatten()[:2].tolist()} by vmap, {want.flatten()[:2].tolist()} in a loop")


def stateful(case: Case) -> bool:
    """Whether a call changes the loss: a buffer, or an attribute that is a number or a tensor."""

    def found() -> bool:
        loss = case.loss()
        before = snapshot(loss)
        case.call(loss, case.batch())
        return before != snapshot(loss)

    return bool(case.once("stateful", found))


def snapshot(loss: object) -> dict[str, object]:
    """The numbers and tensors that a loss keeps, by name."""
    held = dict(vars(loss)) if hasattr(loss, "__dict__") else {}
    held |= dict(loss.named_buffers()) if isinstance(loss, torch.nn.Module) else {}
    found: dict[str, object] = {}
    for name, value in held.items():
        if isinstance(value, Tensor):
            found[name] = (tuple(value.shape), tuple(value.detach().double().flatten().tolist()))
        elif isinstance(value, int | float | str):
            found[name] = value
        elif isinstance(value, list | tuple) and all(isinstance(v, int | float) for v in value):
            found[name] = tuple(value)
    return found


@check(
    expects="torch.func.grad gives the gradient that backward gives",
    why="An autograd.Function without setup_context works in backward and nowhere else.",
    link="https://docs.pytorch.org/docs/stable/notes/extending.func.html",
    gradient=True,
)
def func_grad_is_backward(case: Case) -> None:
    case.has("vmap")
    if stateful(case):
        raise NotApplicableError("it has a state, which a transform cannot update")
    batch, loss = case.batch(), case.loss()

    def total(x: Tensor) -> Tensor:
        return case.kind.call(loss, batch.put(x, *batch.inputs[1:])).sum()  # type: ignore[no-any-return]

    try:
        got = torch.func.grad(total)(batch.input)
    except Exception as error:
        raise MistakeError(told(error)) from error
    if not agree(got, case.slope(batch)):
        raise MistakeError("another gradient than backward's")


@check(
    expects="under autocast to bfloat16 the loss of float32 inputs is what it is without",
    why="Autocast runs some operations in half precision; a loss should not be among them.",
    link="https://docs.pytorch.org/docs/stable/amp.html",
)
def autocast_changes_little(case: Case) -> None:
    batch = case.batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = case.value(batch)
    if not agree(got, case.value(batch), 0.02, 1e-4):
        raise MistakeError(f"{float(got.double().sum()):.6g}, {case.number(batch):.6g} without autocast")


@check(
    expects="a second backward through the same value gives the same gradient",
    why="Kernels that keep the gradient in the buffer of the input scale it again, or return it twice.",
    link="linkedin/Liger-Kernel#272",
    gradient=True,
)
def backward_twice_is_the_same(case: Case) -> None:
    fresh, leaves = case.batch().leaves()
    value = case.call(case.loss(), fresh).sum()
    one = torch.autograd.grad(value, leaves, retain_graph=True, allow_unused=True)
    one = tuple(None if g is None else g.clone() for g in one)
    two = torch.autograd.grad(value, leaves, allow_unused=True)
    for a, b in zip(one, two, strict=True):
        if a is not None and b is not None and not torch.equal(a, b):
            raise MistakeError(f"the second gradient is {float(b.abs().sum() / a.abs().sum()):.4g} x the first")


@check(
    expects="a factor on the value is a factor on the gradient, for every unit by itself",
    why="A kernel that takes the gradient from above to be 1 ignores loss scaling, sums of losses and weights.",
    link="linkedin/Liger-Kernel#968",
    gradient=True,
)
def a_factor_reaches_the_gradient(case: Case) -> None:
    fresh, leaves = case.batch().leaves()
    value = case.call(case.loss(), fresh)
    factor = torch.arange(1.0, value.numel() + 1).reshape(value.shape) * 3
    grads = torch.autograd.grad((value * factor).sum(), leaves, allow_unused=True)
    if value.numel() == 1:
        want = [3 * g for g in case.slopes(case.batch())[1]]
        for a, b in zip(grads, want, strict=True):
            if a is not None and not agree(a, b):
                raise MistakeError("three times the loss does not have three times the gradient")
    if case.accepts("reduction"):
        _each(case)


def _each(case: Case) -> None:
    """With one value per unit, a weight that is 1 for one unit and 0 for the others gives that unit's gradient."""
    fresh, leaves = case.batch().leaves()
    try:
        value = case.call(case.loss(reduction="none"), fresh)
    except NotApplicableError:
        return
    if value.dim() == 0 or value.shape[0] != fresh.units or not case.unitwise:
        return
    pick = torch.zeros_like(value)
    pick[2] = 1.0
    (grad, *_) = torch.autograd.grad((value * pick).sum(), leaves, allow_unused=True)
    rest = torch.arange(fresh.units) != 2
    if (
        grad is not None
        and grad.shape[fresh.axis] == fresh.units
        and bool((grad.movedim(fresh.axis, 0)[rest] != 0).any())
    ):
        raise MistakeError("the gradient of one unit's value reaches other units")
