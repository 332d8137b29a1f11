"""DDP and FSDP2 around a small model: three steps on N ranks move the weights as three steps of one process do.

In one call per step and rank, or in micro-batches of uneven sizes, some of them empty: divided by the count of the
step (`num_items`), or with their partials merged and reduced once.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import lossmith
from tests.ranks.world import on_ranks

MICRO = {  # how many of the 12 rows each micro-batch of each rank has; the first two rows do not count
    1: [(5, 0, 7)],
    2: [(0, 1, 3), (2, 5, 1)],
    4: [(1, 0, 1), (2, 1, 3), (0, 0, 0), (1, 2, 1)],
}
KEPT = torch.arange(12) > 1


class Net(nn.Module):
    """Two layers; `last` says whether it gives the last one's weights instead of scores, for sampled losses."""

    def __init__(self, last: bool) -> None:
        super().__init__()
        torch.default_generator.manual_seed(0)
        self.first, self.out, self.last = nn.Linear(4, 6).double(), nn.Linear(6, 3).double(), last

    def forward(self, x: Tensor) -> Any:
        hidden = self.first(x).tanh()
        return (hidden, self.out.weight, self.out.bias) if self.last else self.out(hidden)


@dataclass(frozen=True)
class Setting:
    """A loss of a process group (None: of one process), how a step is counted, and what the step is made of."""

    make: Callable[[Any, nn.Module], Any]
    modes: tuple[str, ...] = ("whole",)
    items: Callable[[Tensor], Tensor] = lambda y: (y[KEPT] >= 0).sum()
    labels: bool = False  # whether the target is three labels of their own rather than a class
    last: bool = False


def risk(group: Any, net: nn.Module) -> lossmith.Regularized:
    return lossmith.Regularized(lossmith.FocalLoss(process_group=group), model=net, l1=0.01, l2=0.1)


CLASSES = [1.0, 2.0, 4.0]
UNIT, SUMS = ("whole", "num_items", "merged"), ("whole", "merged")
SETTINGS = {
    "class weights": Setting(
        lambda group, net: lossmith.CrossEntropyLoss(weight=CLASSES, process_group=group),
        UNIT,
        lambda y: torch.tensor(CLASSES)[y[KEPT & (y >= 0)]].sum(),
    ),
    "positives": Setting(
        lambda group, net: lossmith.FocalLoss(link="sigmoid", normalizer="positives", process_group=group),
        UNIT,
        lambda y: y[KEPT].sum(),
        labels=True,
    ),
    "regularized": Setting(risk, UNIT),
    "dice": Setting(lambda group, net: lossmith.DiceLoss(per="batch", process_group=group), SUMS),
    "ghm": Setting(lambda group, net: lossmith.GHMCLoss(momentum=0.75, process_group=group), SUMS),
    "root": Setting(lambda group, net: lossmith.RMSELoss(process_group=group), ("merged",), labels=True),
    "sum": Setting(
        lambda group, net: (
            0.7 * lossmith.FocalLoss(process_group=group) + 0.3 * lossmith.DiceLoss(per="batch", process_group=group)
        ),
        ("merged",),
    ),
    "info_nce": Setting(lambda group, net: lossmith.InfoNCELoss(ignore_index=-100, process_group=group)),
    "supervised contrastive": Setting(
        lambda group, net: lossmith.SupervisedContrastiveLoss(ignore_index=-100, process_group=group)
    ),
    "drawn noise": Setting(
        lambda group, net: lossmith.SampledSoftmaxLoss(num_sampled=5, process_group=group), last=True
    ),
    "same noise": Setting(
        lambda group, net: lossmith.SampledSoftmaxLoss(num_sampled=5, seed=3, process_group=group),
        ("num_items",),
        last=True,
    ),
}


def data(setting: Setting) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(12, 4, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 3, (12,), generator=generator)
    if setting.labels:
        return x, nn.functional.one_hot(target, 3).double()
    target[8] = -100
    return x, target


def ddp(net: Net, ranks: int) -> nn.Module:
    return DistributedDataParallel(net)


def fsdp(net: Net, ranks: int) -> nn.Module:
    mesh = init_device_mesh("cpu", (ranks,))
    for module in (net.first, net) if net.last else (net.first, net.out, net):
        fully_shard(module, mesh=mesh)
    return net


def apart(model: nn.Module, last: bool) -> AbstractContextManager[Any]:
    """Gradients are exchanged in the last micro-batch of a step."""
    if isinstance(model, DistributedDataParallel):
        return nullcontext() if last else model.no_sync()
    model.set_requires_gradient_sync(last)  # type: ignore[operator]
    return nullcontext()


def step(setting: Setting, mode: str, model: nn.Module, loss: Any, x: Tensor, y: Tensor, parts: list[slice]) -> Tensor:
    """The value of a step, whose gradients it leaves in the model."""
    if mode == "whole":
        part = slice(parts[0].start, parts[-1].stop)
        value = loss(model(x[part]), y[part], mask=KEPT[part])
        value.backward()
        return value.detach()
    if mode == "merged":
        partials = []
        for part in parts:
            with apart(model, last=part is parts[-1]):
                partials.append(loss.partial(model(x[part]), y[part], mask=KEPT[part]))
        value = loss.reduce(partials[0].merge(*partials[1:]))
        value.backward()
        return value.detach()
    values, call = [], {"micro_batches": len(parts)} if isinstance(loss, lossmith.Regularized) else {}
    for part in parts:
        with apart(model, last=part is parts[-1]):
            values.append(loss(model(x[part]), y[part], mask=KEPT[part], num_items=setting.items(y), **call))
            values[-1].backward()
    return torch.stack(values).sum().detach()


def trained(setting: Setting, mode: str, wrap: Any, parts: list[slice], ranks: int, rank: int = 0) -> list[Tensor]:
    """The values of three steps, the state of the loss and the weights of the model."""
    group = None if wrap is None else "world"
    net = Net(setting.last)
    model = net if wrap is None else wrap(net, ranks)
    loss, (x, y) = setting.make(group, net), data(setting)
    torch.default_generator.manual_seed(rank)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    found = []
    for _ in range(3):
        optimizer.zero_grad()
        found.append(step(setting, mode, model, loss, x, y, parts))
        optimizer.step()
    weights = [weight.detach() for weight in model.parameters()]
    weights = [weight.full_tensor() if hasattr(weight, "full_tensor") else weight for weight in weights]
    return [*found, *loss.state_dict().values(), *weights]


def plans() -> Iterator[tuple[str, str, Any]]:
    for name, setting in SETTINGS.items():
        for mode in setting.modes:
            for wrap in (ddp, fsdp):
                yield name, mode, wrap


def rows(ranks: int, rank: int) -> list[slice]:
    """The micro-batches of a rank."""
    start = sum(map(sum, MICRO[ranks][:rank]))
    ends = [start + sum(MICRO[ranks][rank][: k + 1]) for k in range(3)]
    return [slice(a, b) for a, b in zip((start, *ends), ends, strict=False)]


def work(rank: int, ranks: int) -> list[list[Tensor]]:
    return [trained(SETTINGS[name], mode, wrap, rows(ranks, rank), ranks, rank) for name, mode, wrap in plans()]


@pytest.mark.parametrize("ranks", MICRO)
def test_steps_on_ranks_are_steps_of_one(ranks: int) -> None:
    results = on_ranks(ranks, work)
    for number, (name, mode, wrap) in enumerate(plans()):
        want = trained(SETTINGS[name], "whole", None, [slice(0, 12)], 1)
        for rank in range(ranks):

            def where(text: str, at: tuple[Any, ...] = (name, mode, wrap.__name__, rank)) -> str:
                return f"{at}: {text}"

            torch.testing.assert_close(results[rank][number], want, rtol=1e-6, atol=1e-9, msg=where)
