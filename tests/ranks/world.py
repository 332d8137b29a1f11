"""Processes that talk to each other over gloo, as those of `torchrun` do."""

import multiprocessing
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

# One process imports all this once, and those of every world are forked off it: torch alone takes three seconds.
multiprocessing.set_forkserver_preload(["pytest", "torch.distributed.fsdp", "tests.laws.cases"])


def on_ranks(ranks: int, work: Callable[[int, int], Any]) -> list[Any]:
    """What `work(rank, ranks)` found on each of so many ranks, in a process group of their own."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.start_processes(_rank, (ranks, work, folder), nprocs=ranks, start_method="forkserver")
        return [torch.load(Path(folder) / str(rank), weights_only=True) for rank in range(ranks)]


def _rank(rank: int, ranks: int, work: Callable[[int, int], Any], folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/init", rank=rank, world_size=ranks)
    torch.save(work(rank, ranks), Path(folder) / str(rank))
    dist.barrier()
    dist.destroy_process_group()
