"""State: what a loss remembers is saved, moves with it, and starts unbiased."""

import contextlib
import copy
import io
import pickle

import torch
from torch import Tensor, nn

from lossmith.audit.case import Case, agree, near, told
from lossmith.audit.check import MistakeError, NotApplicableError, check
from lossmith.audit.checks.focus import WEIGHTS, per_class
from lossmith.audit.checks.torch_ import snapshot, stateful

STEPS = 3


def module(case: Case) -> nn.Module:
    """The loss as a module, or `NotApplicableError`."""
    loss = case.loss()
    if not isinstance(loss, nn.Module):
        raise NotApplicableError("it is not a module: it keeps no state")
    return loss


def trained(case: Case) -> nn.Module:
    """The loss after a few batches."""
    loss = module(case)
    for seed in range(2, 2 + STEPS):
        case.call(loss, case.batch(seed=seed))
    return loss


@check(
    expects="after state_dict and load_state_dict the next loss is the same",
    why="A run that resumes from a checkpoint with its running statistics lost goes on with another loss.",
    link="libuyu/GHM_Detection#9",
)
def state_survives_a_round_trip(case: Case) -> None:
    loss, twin = trained(case), module(case)
    saved = io.BytesIO()
    torch.save(loss.state_dict(), saved)
    saved.seek(0)
    twin.load_state_dict(torch.load(saved, weights_only=True))
    batch = case.batch(seed=9)
    lost = [name for name, value in snapshot(loss).items() if snapshot(twin).get(name) != value]
    one, two = case.call(loss, batch).detach(), case.call(twin, batch).detach()
    if not agree(one, two, 1e-6):
        where = f" (not in state_dict: {', '.join(lost)})" if lost else ""
        raise MistakeError(
            f"the state is lost in state_dict: {float(one.sum()):.6g} before, {float(two.sum()):.6g} after{where}"
        )


@check(
    expects="copy.deepcopy and pickle give the same loss",
    why="Trainers copy models, data loaders and multiprocessing pickle them; a lambda inside breaks both.",
    link="https://docs.python.org/3/library/pickle.html#what-can-be-pickled-and-unpickled",
)
def a_copy_is_the_same(case: Case) -> None:
    loss, batch = trained(case), case.batch(seed=9)
    try:
        twins = [copy.deepcopy(loss)]
        if case.subject.home is not None:
            twins.append(pickle.loads(pickle.dumps(loss)))  # noqa: S301 - our own bytes
    except Exception as error:
        raise MistakeError(told(error)) from error
    want = case.call(loss, batch).detach()
    for twin in twins:
        if not agree(case.call(twin, batch).detach(), want, 1e-6):
            raise MistakeError("a copy gives another value")


@check(
    expects="the same batch again and again has the same loss from the first call",
    why="A running mean that starts at 0 makes the first losses 1 / (1 - momentum) times too large.",
    link="open-mmlab/mmdetection#699",
)
def the_first_call_is_not_biased(case: Case) -> None:
    if not stateful(case):
        raise NotApplicableError("it keeps no state from call to call")
    loss, batch = case.loss(), case.batch(64)
    first, *_, last = (float(case.call(loss, batch).detach().sum()) for _ in range(60))
    if not near(first, last, 0.02):
        raise MistakeError(f"the first call gives {first:.5g}, the sixtieth {last:.5g}: {first / last:.3g} x")


@check(
    expects="the state keeps no graph: a second step needs no retain_graph, and memory does not grow",
    why="A running mean that is not detached keeps every batch since the start alive.",
    link="https://docs.pytorch.org/docs/stable/notes/faq.html",
    gradient=True,
)
def state_keeps_no_graph(case: Case) -> None:
    loss = case.loss()
    for _ in range(2):
        fresh, _ = case.batch().leaves()
        try:
            case.call(loss, fresh).sum().backward()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise MistakeError(f"the second step fails: {told(error)}") from error
    held = (
        {**vars(loss), **dict(loss.named_buffers())}
        if isinstance(loss, nn.Module)
        else vars(loss)
        if hasattr(loss, "__dict__")
        else {}
    )
    kept = [name for name, value in held.items() if isinstance(value, Tensor) and value.grad_fn is not None]
    if kept:
        raise MistakeError(f"{', '.join(kept)} holds on to the graph of the last batch")


@check(
    expects="tensors are buffers: they move with .to() and .double()",
    why="A class weight that stays on the CPU stops the first run on a GPU.",
    link="open-mmlab/mmaction2#1188",
)
def tensors_move_with_the_module(case: Case) -> None:
    loss = module(case)
    with contextlib.suppress(NotApplicableError):
        loss = case.loss(**{per_class(case): torch.tensor(WEIGHTS)})
    with contextlib.suppress(Exception):  # a vector of three may not suit it; what it holds is looked at all the same
        case.call(loss, case.batch())
    known = {id(t) for t in (*loss.buffers(), *loss.parameters())}
    loose = [name for name, value in vars(loss).items() if isinstance(value, Tensor) and id(value) not in known]
    if loose:
        raise MistakeError(
            f"{', '.join(loose)} is a plain attribute: .to() leaves it behind, state_dict does not save it"
        )
