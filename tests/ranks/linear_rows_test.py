"""`loss.linear` where each rank has rows of its own: with a `process_group`, with a part of the vocabulary besides, and
with weights that FSDP2 has sharded. Gradients are averaged over the ranks."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import lossmith
from tests.ranks.linear_cases import (
    CLASSES,
    PLANS,
    SETTINGS,
    chunks_of,
    found,
    gradients,
    layer,
    part_of,
    smooth,
    summed,
    unfused,
)

ROWS = {2: [(5, 13), (0, 13)], 3: [(4, 7, 13)]}  # where the rows of each rank end; row 6, and so a rank, is ignored


def rows_apart(rank: int, ranks: int) -> list[list[Tensor]]:
    (hidden, weight, bias), target = layer()
    results = []
    for name, reduction in PLANS:
        if reduction == "none":
            continue
        for ends in ROWS[ranks]:
            part = slice((0, *ends)[rank], ends[rank])
            loss, call = SETTINGS[name].make(reduction=reduction, process_group="world"), SETTINGS[name].call
            call = {key: x[part] if torch.is_tensor(x) else x for key, x in call.items()}
            with chunks_of(2, CLASSES):
                value = loss.linear(hidden[part], weight, target[part], bias, **call)
            results.append(gradients(value, hidden, weight, bias))
    return results


@pytest.mark.parametrize("ranks", [2, 3])
def test_rows_in_parts_are_one_batch(ranks: int) -> None:
    given, target = layer()
    results = zip(*found(WORLDS[ranks], rows_apart, ranks), strict=True)
    for name, reduction in PLANS:
        if reduction == "none":
            continue
        setting = SETTINGS[name]
        want = gradients(unfused(setting.make(reduction=reduction), given, target, **setting.call), *given)
        for _ in ROWS[ranks]:
            values, *grads = zip(*next(results), strict=True)
            averages = [torch.stack(each).mean(0) for each in grads]
            torch.testing.assert_close(list(values), [want[0]] * ranks, rtol=1e-10, atol=1e-10)
            torch.testing.assert_close(averages, want[1:], rtol=1e-10, atol=1e-10)


def both(rank: int, ranks: int) -> list[list[Tensor]]:
    """Two halves of the rows by two parts of the vocabulary."""
    same_rows = [dist.new_group(pair) for pair in ([0, 1], [2, 3])][rank // 2]
    same_classes = [dist.new_group(pair) for pair in ([0, 2], [1, 3])][rank % 2]
    (hidden, weight, bias), target = layer()
    results = []
    for make in (smooth, summed):
        for cut in (5, 0):
            part = slice(0, cut) if rank < 2 else slice(cut, 13)
            mine = hidden, part_of(weight, rank % 2, 2), part_of(bias, rank % 2, 2)
            loss = make(process_group=same_classes)
            with chunks_of(2, 7):
                value = loss.linear(hidden[part], mine[1], target[part], mine[2], vocab_group=same_rows)
            results.append(gradients(value, *mine))
    return results


def test_rows_and_vocabulary_in_parts_are_one() -> None:
    given, target = layer()
    results = zip(*found(WORLDS[4], both, 4), strict=True)
    for make in (smooth, summed):
        want = gradients(unfused(make(), given, target), *given)
        for _ in (5, 0):
            values, by_hidden, *parts = zip(*next(results), strict=True)
            torch.testing.assert_close(list(values), [want[0]] * 4)
            torch.testing.assert_close(torch.stack(by_hidden).mean(0), want[1])
            for whole, (a, b, c, d) in zip(want[2:], parts, strict=True):
                torch.testing.assert_close(torch.cat([(a + c) / 2, (b + d) / 2]), whole)


# Weights that FSDP2 has sharded ---------------------------------------------------------------------------------------
class Net(nn.Module):
    """Its last layer is called in it, or handed out, or used in it alone (`usual`: with the logits built)."""

    def __init__(self, tied: bool = False) -> None:
        super().__init__()
        torch.default_generator.manual_seed(0)
        self.first, self.out = nn.Linear(4, 5).double(), nn.Linear(5, 3).double()
        self.tied = tied

    def forward(self, x: Tensor, y: Tensor, loss: Any, way: str) -> Tensor:
        hidden = self.first(x).tanh()
        if self.tied:  # the last weight is used inside as well
            hidden = hidden + self.out(hidden) @ torch.ones(3, 5, dtype=x.dtype)
        if way == "handed out":
            return hidden
        if way == "usual":
            return loss(self.out(hidden), y)  # type: ignore[no-any-return]
        return loss.linear(hidden, self.out.weight, y, self.out.bias)  # type: ignore[no-any-return]


def trained(way: str, wrap: Callable[[Net], Any], rank: int, ranks: int, tied: bool = False) -> list[Tensor]:
    """Two steps of SGD; the values and the weights."""
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(12, 4, generator=generator, dtype=torch.float64), torch.arange(12) % 3
    y[0] = -100
    part = slice(rank * 12 // ranks, (rank + 1) * 12 // ranks)
    net = Net(tied)
    wrap(net)
    loss = smooth_of_three(process_group=None if ranks == 1 else "world")
    optimizer, results = torch.optim.SGD(net.parameters(), lr=0.5), []
    for _ in range(2):
        optimizer.zero_grad()
        value = net(x[part], y[part], loss, way)
        if way == "handed out":
            value = loss.linear(value, net.out.weight, y[part], net.out.bias)
        value.backward()
        optimizer.step()
        results.append(value.detach())
    weights = [weight.detach() for weight in net.parameters()]
    return results + [weight.full_tensor() if hasattr(weight, "full_tensor") else weight for weight in weights]


def smooth_of_three(**options: Any) -> Any:
    return lossmith.CrossEntropyLoss(label_smoothing=0.1, weight=[1.0, 2.0, 4.0], **options)


def wraps(ranks: int) -> Iterator[Callable[[Net], Any]]:
    """One group, a group for the last layer, and, where there are ranks for it, replicas of shards."""
    meshes = [init_device_mesh("cpu", (ranks,))]
    if ranks == 4:
        meshes.append(init_device_mesh("cpu", (2, 2), mesh_dim_names=("replicate", "shard")))
    for mesh in meshes:
        yield lambda net, mesh=mesh: fully_shard(net, mesh=mesh)
        yield lambda net, mesh=mesh: [fully_shard(module, mesh=mesh) for module in (net.out, net)]


def steps(rank: int, ranks: int) -> list[list[Tensor]]:
    results = []
    for wrap in wraps(ranks):
        results += [trained(way, wrap, rank, ranks) for way in ("usual", "inside", "handed out")]
        results += [trained(way, wrap, rank, ranks, tied=True) for way in ("usual", "handed out")]
    return results


@pytest.mark.parametrize("ranks", [2, 4])
def test_weights_that_fsdp_has_sharded_move_as_those_of_one_process(ranks: int) -> None:
    plain = trained("usual", lambda net: net, 0, 1)
    tied = trained("usual", lambda net: net, 0, 1, tied=True)
    wraps = 2 if ranks == 2 else 4
    for results in found(WORLDS[ranks], steps, ranks):
        torch.testing.assert_close(results, ([plain] * 3 + [tied] * 2) * wraps)


WORLDS = {2: (rows_apart, steps), 3: (rows_apart,), 4: (both, steps)}
