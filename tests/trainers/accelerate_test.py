"""Accelerate: its loaders keep our samplers, and on two ranks uneven micro-batches make the step of one big batch."""

import os
import socket
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import lossmith
from lossmith.sampling import BalancedBatchSampler, BalancedSampler

pytest.importorskip("accelerate")
TARGETS = [0] * 70 + [1] * 20 + [2] * 10
DATA = TensorDataset(torch.arange(100))
STEPS = 2  # micro-batches of a step, on each rank


def loader_of(rank: int, ranks: int, **options: Any) -> Any:
    from accelerate.data_loader import prepare_data_loader

    return prepare_data_loader(DataLoader(DATA, **options), num_processes=ranks, process_index=rank)


def batches_of(loader: Any) -> list[list[int]]:
    return [batch.tolist() for (batch,) in loader]


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_ranks_take_the_batches_of_one_draw_in_turn(ranks: int) -> None:
    one = BalancedSampler(TARGETS, num_samples=80, seed=2)
    loaders = [
        loader_of(rank, ranks, batch_size=5, sampler=BalancedSampler(TARGETS, num_samples=80, seed=2))
        for rank in range(ranks)
    ]
    for epoch in range(2):
        one.set_epoch(epoch)
        draw = list(one)
        together = [batch for step in zip(*map(batches_of, loaders), strict=True) for batch in step]
        assert together == [draw[at : at + 5] for at in range(0, 80, 5)]


def test_ranks_take_whole_balanced_batches() -> None:
    options = {"classes_per_batch": 2, "samples_per_class": 3, "num_batches": 7}
    whole = list(BalancedBatchSampler(TARGETS, **options))
    loaders = [loader_of(rank, 2, batch_sampler=BalancedBatchSampler(TARGETS, **options)) for rank in range(2)]
    together = [batch for step in zip(*map(batches_of, loaders), strict=True) for batch in step]
    assert together == whole[:6]


# Two ranks ---------------------------------------------------------------------------------------------------------
def model_and_rows() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    target = torch.randint(0, 3, (32,)).where(torch.rand(32) < torch.linspace(0.1, 1, 32), -100)  # ever more that count
    return nn.Linear(5, 3), torch.randn(32, 5), target


def loss_of(group: str | None) -> Any:
    return lossmith.FocalLoss(gamma=2.0, weight=[1.0, 2.0, 4.0], process_group=group)


def on_rank(rank: int, port: int, results: str) -> None:
    """The loop of docs/trainers/accelerate.md, and the samplers in a process group."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "RANK": str(rank)}
    os.environ["LOCAL_RANK"] = str(rank)
    torch.set_num_threads(1)
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=STEPS)
    model, x, target = model_and_rows()
    model, loader = accelerator.prepare(model, DataLoader(TensorDataset(x, target), batch_size=8))
    loss, step = loss_of("world"), list(loader)
    num_items = accelerator.reduce(sum(loss.weight[y[y >= 0]].sum() for _, y in step), "sum")
    total = 0.0
    for number, (x_batch, y_batch) in enumerate(step, start=1):
        accelerator.sync_gradients = number == len(step)
        with nullcontext() if accelerator.sync_gradients else accelerator.no_sync(model):
            value = loss(model(x_batch), y_batch, num_items=num_items)
            accelerator.backward(value * STEPS)
        total += value.item()
    inside = BalancedSampler(TARGETS, seed=7, process_group="world")
    batches = BalancedBatchSampler(TARGETS, classes_per_batch=2, samples_per_class=3, process_group="world")
    gradients = [weight.grad for weight in model.parameters()]
    torch.save((gradients, total, len(inside), list(inside), list(batches)), f"{results}/{rank}.pt")
    accelerator.end_training()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(on_rank, (port, str(folder)), nprocs=2)
    return [torch.load(Path(folder) / f"{rank}.pt") for rank in range(2)]


def test_uneven_micro_batches_on_two_ranks_are_one_big_batch(ranks: list[Any]) -> None:
    model, x, target = model_and_rows()
    value = loss_of(None)(model(x), target)
    expected = torch.autograd.grad(value, list(model.parameters()))
    for gradients, total, *_ in ranks:
        assert total == pytest.approx(value.item(), rel=1e-6)
        for one, two in zip(gradients, expected, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-7)


def test_samplers_find_their_rank_in_the_process_group(ranks: list[Any]) -> None:
    (_, _, length, first, batches), (_, _, _, second, others) = ranks
    draw = list(BalancedSampler(TARGETS, seed=7))
    whole = list(BalancedBatchSampler(TARGETS, classes_per_batch=2, samples_per_class=3))
    assert length == 50
    assert first == draw[0::2]
    assert second == draw[1::2]
    assert [batches, others] == [whole[0::2], whole[1::2]]
