"""Ranks: several processes with parts of a batch are one process with the batch."""

import inspect
import sys

import torch

from lossmith.audit.batch import Batch
from lossmith.audit.case import Case, agree, near
from lossmith.audit.check import MistakeError, NotApplicableError, check
from lossmith.audit.pair import Reply, shared_pair

TALKS = ("torch.distributed", "all_gather", "all_reduce")  # what the source of a loss that talks to other ranks holds
UNEQUAL, EQUAL = 3, 4


def replies(case: Case, cut: int, **changes: object) -> list[Reply]:
    """What two real processes make of the parts before and after `cut`."""
    if case.subject.home is None:
        raise NotApplicableError("another process cannot import it: put it into a module or a file")
    batch = case.batch(dtype=torch.float64)
    parts = [batch.take(slice(0, cut)), batch.take(slice(cut, None))]
    return shared_pair().ask(case.subject, case.kind.call.__name__, parts, changes)


def talks(case: Case) -> bool:
    """Whether its module speaks to other ranks."""
    home = case.subject.home
    module = sys.modules.get(home.module) if home is not None and not home.file else inspect.getmodule(case.loss())
    try:
        return any(word in inspect.getsource(module) for word in TALKS) if module is not None else False
    except (OSError, TypeError):
        return False


def global_loss(case: Case, cut: int) -> tuple[Batch, list[Reply]]:
    """The whole batch, and what two ranks with a process group say of its parts."""
    if not case.accepts("process_group"):
        raise NotApplicableError(
            "it has no process_group: under DDP with unequal counts the mean of means is not the mean; "
            "scale its sum by the global count yourself"
        )
    if case.option("reduction") == "none":
        raise NotApplicableError("it was made to give single values")
    return case.batch(dtype=torch.float64), replies(case, cut, process_group="world")


@check(
    expects="with process_group=, every rank sees the loss of the whole batch, though the parts are unequal",
    why="Means of means weigh the examples of a short rank more; with ignored pixels every rank is short.",
    link="pytorch/pytorch#31579",
)
def n_ranks_see_one_loss(case: Case) -> None:
    batch, answers = global_loss(case, UNEQUAL)
    whole = case.number(batch)
    for rank, reply in enumerate(answers):
        if not near(reply.value, whole, 1e-5):
            raise MistakeError(f"rank {rank} sees {reply.value:.6g}, the whole batch has {whole:.6g}")


@check(
    expects="with process_group=, the gradients that DDP averages are those of the whole batch",
    why="Gathered scores without the factor of the number of ranks give 1/N of the gradient.",
    link="KevinMusgrave/pytorch-metric-learning#363",
    gradient=True,
)
def n_ranks_have_one_gradient(case: Case) -> None:
    batch, answers = global_loss(case, UNEQUAL)
    averaged(case, batch, answers)


def averaged(case: Case, batch: Batch, answers: list[Reply]) -> None:
    """The parts' gradients over the number of ranks, as DDP hands them to the weights, are those of the batch."""
    want = case.slopes(batch)[1]
    for k, whole in enumerate(want):
        pieces = [reply.gradients[k] for reply in answers]
        shared = batch.own is not None and k >= batch.own
        got = (torch.stack(pieces).sum(0) if shared else torch.cat(pieces, dim=batch.axis)) / len(answers)
        if agree(got, whole, 1e-5):
            continue
        ratio = float((got * whole).sum() / (whole * whole).sum())
        if agree(got, ratio * whole, 1e-3):
            raise MistakeError(f"{ratio:.4f} x the gradient of the whole batch")
        raise MistakeError("the gradients are not those of the whole batch")


@check(
    expects="ranks with parts of equal size: averaged over ranks, the gradients are those of the whole batch",
    why="It is what DistributedDataParallel does with any loss; gathering without care halves the gradient.",
    link="KevinMusgrave/pytorch-metric-learning#363",
    gradient=True,
)
def equal_ranks_average(case: Case) -> str:
    if case.over not in ("mean", "set") or (case.over == "set" and not talks(case)):
        raise NotApplicableError("its value is not a mean over independent units")
    if case.accepts("process_group") or not talks(case):
        if case.over == "set":
            raise NotApplicableError("its value is not a mean over independent units")
        return "it does not talk to other ranks: see equal_micro_batches_make_the_batch"
    averaged(case, case.batch(dtype=torch.float64), replies(case, EQUAL))
    return ""
