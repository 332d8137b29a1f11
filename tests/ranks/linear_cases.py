"""What the tests of `loss.linear` on many ranks share: a layer, losses with what is given to them, and worlds."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F

import lossmith
from lossmith.kernels import linear as kernel
from tests.ranks.world import on_ranks

CLASSES = 11
CUTS = {1: (11,), 2: (4, 11), 3: (7, 8, 11)}  # where the classes of each rank end; one has a single class
WEIGHT = torch.linspace(0.5, 2, CLASSES, dtype=torch.float64)
KEPT = torch.arange(13) % 4 > 0
Layer = tuple[Tensor, Tensor, Tensor]
Job = Callable[[int, int], Any]  # of a rank and their number: what it found


@dataclass(frozen=True)
class Setting:
    """A loss, and what is given with its call."""

    make: Callable[..., Any]
    call: dict[str, Any] = field(default_factory=dict)


def summed(**options: Any) -> Any:
    return lossmith.CrossEntropyLoss(weight=WEIGHT, **options) + 0.1 * lossmith.ZLoss(**options)


def eager_and_patient(**options: Any) -> Any:
    """Terms that ignore different rows."""
    return 0.5 * lossmith.FocalLoss(ignore_index=3, **options) + lossmith.PolyLoss(**options)


def smooth(**options: Any) -> Any:
    return lossmith.CrossEntropyLoss(label_smoothing=0.1, weight=WEIGHT, **options)


def others(**options: Any) -> Any:
    return lossmith.CrossEntropyLoss(label_smoothing=0.2, smoothing="others", alpha=WEIGHT, **options)


WEIGHTS = {"mask": KEPT, "sample_weight": torch.arange(13.0)}
SETTINGS = {
    "cross-entropy": Setting(lossmith.CrossEntropyLoss),
    "masked": Setting(lossmith.FocalLoss, WEIGHTS),
    "smoothed": Setting(smooth, WEIGHTS),
    "smoothed, others": Setting(others),
    "counted": Setting(functools.partial(smooth, normalizer="positives")),
    "robust": Setting(lossmith.GeneralizedCrossEntropyLoss, {"num_items": 7}),
    "z": Setting(lossmith.ZLoss),
    "sum": Setting(summed, {"temperature": 0.5}),
    "sum of two minds": Setting(eager_and_patient, {"mask": torch.arange(13) != 6}),
    "bent": Setting(smooth, {"softcap": 3.0, "temperature": 2.0}),
    "nothing counts": Setting(smooth, {"mask": KEPT & ~KEPT}),
}
PLANS = [(name, reduction) for name in SETTINGS for reduction in ("mean", "sum", "none")]
PLANS = [plan for plan in PLANS if plan not in (("robust", "none"), ("robust", "sum"))]  # a count divides a mean


def layer() -> tuple[Layer, Tensor]:
    """Hidden rows, weight and bias, which want gradients, and targets in all parts of the vocabulary."""
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((13, 5), (11, 5), (11,))]
    target = torch.arange(13) * 5 % CLASSES
    target[6] = -100
    hidden, weight, bias = (x.mul(2).requires_grad_() for x in drawn)
    return (hidden, weight, bias), target


def part_of(x: Tensor, rank: int, ranks: int, cuts: Any = None) -> Tensor:
    ends = (0, *(cuts or CUTS[ranks]))
    return x.detach()[ends[rank] : ends[rank + 1]].clone().requires_grad_()


def unfused(
    loss: Any, given: Layer, target: Tensor, softcap: float | None = None, temperature: float = 1, **call: Any
) -> Any:
    z = F.linear(*given)
    return loss((z if softcap is None else softcap * (z / softcap).tanh()) / temperature, target, **call)


def gradients(value: Tensor, *wanted: Tensor) -> list[Tensor]:
    """The value and its gradients, with another gradient from above for each row."""
    above = (
        torch.linspace(1, 2, value.numel(), dtype=value.dtype).view_as(value) if value.dim() else value.new_tensor(3)
    )
    return [value.detach(), *torch.autograd.grad(value, wanted, above)]


@contextlib.contextmanager
def chunks_of(rows: int, classes: int) -> Iterator[None]:
    with patch.dict(kernel.BUDGET, cpu=rows * classes * 8):
        yield


def _all(jobs: tuple[Job, ...], rank: int, ranks: int) -> list[Any]:
    return [job(rank, ranks) for job in jobs]


@functools.cache
def _world(jobs: tuple[Job, ...], ranks: int) -> list[Any]:
    return on_ranks(ranks, functools.partial(_all, jobs))


def found(jobs: tuple[Job, ...], job: Job, ranks: int) -> list[Any]:
    """What a job found on each rank, in a world that is made once for all of them."""
    return [one[jobs.index(job)] for one in _world(jobs, ranks)]
