"""The law of ranks: N processes with uneven parts of a batch see the value and the gradients of one that has it all.

Over the whole registry, on 1, 2 and 4 ranks; a rank may have no units, or ignored ones alone. Gradients are averaged
over the ranks, as DDP and FSDP do. Of the units below the first is ignored, and it is all that one rank has.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from lossmith.errors import ParameterError
from lossmith.flow.loss import Input
from tests.laws.cases import CASES, Case, leaves, packed
from tests.ranks.world import on_ranks

KEPT = torch.tensor([0, 1, 1, 1, 0, 1, 1, 1]).bool()
WEIGHT = torch.tensor([1.0, 2, 0.5, 3, 1, 1, 4, 0], dtype=torch.float64)
CUTS = {1: [(8,)], 2: [(3, 8), (1, 8), (8, 8)], 4: [(1, 5, 5, 8), (0, 3, 4, 8)]}  # where the parts of 8 units end
Data = tuple[Input, Tensor | None]
Found = tuple[Tensor, list[Tensor]]


def nobody(rank: int) -> bool:
    return False


def every(rank: int) -> bool:
    return True


def first(rank: int) -> bool:
    return rank == 0


@dataclass(frozen=True)
class Trial:
    """A loss with some options, and what is given with its call; `weighed` names the ranks that give weights."""

    label: str
    options: dict[str, Any] = field(default_factory=dict)
    masked: bool = False
    weighed: Callable[[int], bool] = nobody
    learnt: bool = False
    ignored: bool = False


TRIALS = [
    Trial("plain"),
    Trial("mask and learnt weights", masked=True, weighed=every, learnt=True),
    Trial("weights on one rank", weighed=first),
    Trial("sum", {"reduction": "sum"}, masked=True, weighed=every, learnt=True),
    Trial("ignore_index", {"ignore_index": -100}, ignored=True),
    Trial("count", {"normalizer": "count"}, masked=True, weighed=every, learnt=True),
    Trial("positives", {"normalizer": "positives"}, masked=True, weighed=every, learnt=True),
    Trial("drawn noise", {"seed": None}),
    Trial("number", {"normalizer": 3.0}, masked=True, weighed=every, learnt=True),
]


def asked(case: Case) -> Iterator[tuple[int, Trial]]:
    """The trials that the loss has, numbered: not those that it refuses by name."""
    sibling = case.label != case.cls.name and case.loss().scope == "unit"
    for number, trial in enumerate(TRIALS):
        if trial.ignored and (case.soft or not case.cls.takes_target):
            continue
        if sibling and (trial.options or not trial.learnt) and not trial.ignored:
            continue  # the rest is tried once for all links and shapes of a loss
        if not set(trial.options) <= set(case.cls.parameters_):
            continue
        if "seed" in trial.options and "num_sampled" not in case.cls.parameters_:
            continue  # the seed of initial weights, which are the same on all ranks
        try:
            case.loss(**trial.options)
        except ParameterError:
            continue
        yield number, trial


def shares(ranks: int) -> Iterator[tuple[Case, Data, Trial, list[slice]]]:
    """Every case and trial, and which units each rank has."""
    for case in CASES:
        data = case.data()
        for number, trial in asked(case):
            ends = CUTS[ranks][number % len(CUTS[ranks])]
            yield case, data, trial, [slice(start, end) for start, end in zip((0, *ends), ends, strict=False)]


def found(case: Case, data: Data, trial: Trial, parts: list[slice], rank: int | None) -> Found:
    """The value on a rank, and the gradients of input, weights and the loss's own parameters; of all without a rank."""
    input, target = data
    if trial.ignored and target is not None:
        target = target.clone()
        target[~KEPT] = -100
    xs = tuple(x.clone().requires_grad_() for x in leaves(input))
    learnt = WEIGHT.clone().requires_grad_(trial.learnt)
    weight = learnt
    if trial.weighed is first:
        weight = torch.where(torch.arange(8) < parts[0].stop, learnt, 1.0)
    part = slice(None) if rank is None else parts[rank]
    call: dict[str, Any] = {"mask": KEPT[part]} if trial.masked else {}
    if trial.weighed(rank or 0):
        call["sample_weight"] = weight[part]
    torch.default_generator.manual_seed(rank or 0)  # drawn noise is that of the first rank
    loss = case.loss(process_group=None if rank is None else "world", **trial.options)
    value = loss(*case.take(packed(xs), target, part), **call)
    if not case.cls.differentiable:
        return value.detach(), []
    wanted = (*xs, *loss.parameters(), *([learnt] if trial.learnt else []))
    alone = rank is None  # on a rank nothing may be without a gradient, for which DDP and FSDP would wait
    grads = torch.autograd.grad(value, wanted, allow_unused=alone, materialize_grads=alone)
    return value.detach(), list(grads)


def work(rank: int, ranks: int) -> list[Found]:
    return [found(*share, rank) for share in shares(ranks)]


@pytest.mark.filterwarnings("ignore:.*is a metric")
@pytest.mark.parametrize("ranks", CUTS)
def test_ranks_are_one(ranks: int) -> None:
    results = zip(*on_ranks(ranks, work), strict=True)
    for share, result in zip(shares(ranks), results, strict=True):
        case, _, trial, parts = share
        value, gradients = found(*share, None)
        values, grads = zip(*result, strict=True)
        averages = [torch.stack(each).sum(0) / ranks for each in zip(*grads, strict=True)]

        def where(text: str, case: Case = case, trial: Trial = trial, parts: list[slice] = parts) -> str:
            return f"{case.label}, {trial.label}, {[part.stop for part in parts]}: {text}"

        torch.testing.assert_close(list(values), [value] * ranks, msg=where)
        torch.testing.assert_close(averages, gradients, msg=where)
