"""Batches of a few classes with several examples of each."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from lossmith.errors import ParameterError
from lossmith.sampling.epoch import EpochSampler
from lossmith.sampling.targets import classes


class BalancedBatchSampler(EpochSampler[list[int]]):
    """Batches of `classes_per_batch` classes with `samples_per_class` examples each: for losses that compare examples.

    For ``DataLoader(batch_sampler=...)``. The classes of a batch are drawn at random, each at most once. The examples
    of a class come in turns: none comes again before the turn is over, nor twice in a batch unless its class has fewer
    than `samples_per_class`; what does not fill a group at the end of a turn is left out of it, at random. Of several
    ranks each takes whole batches.

    Parameters: `targets`, `seed` and the ranks as in `ClassSampler`; `num_batches` of an epoch, of all ranks together
    (default: as many as the examples would fill). Raises what `ClassSampler` raises.

    >>> sampler = BalancedBatchSampler("aaaabbbbcc", classes_per_batch=2, samples_per_class=2, num_batches=3)
    >>> [len(set(batch)) for batch in sampler]
    [4, 4, 4]

    Source: Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person Re-Identification", arXiv 1703.07737,
    section 2 (PK batches).
    """

    drop_last = True  # Accelerate looks at this, and at batch_size: all batches are full

    def __init__(
        self,
        targets: Iterable[Any],
        *,
        classes_per_batch: int,
        samples_per_class: int,
        num_batches: int | None = None,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        process_group: Any = None,
    ) -> None:
        super().__init__(seed=seed, rank=rank, world_size=world_size, process_group=process_group)
        _, label = classes(type(self).__name__, targets)
        self._members = torch.split(label.argsort(stable=True), torch.bincount(label).tolist())
        self.classes_per_batch = self._whole("classes_per_batch", classes_per_batch, 1)
        if self.classes_per_batch > len(self._members):
            raise ParameterError(
                f"{type(self).__name__}: classes_per_batch must be at most the number of classes, "
                f"{len(self._members)}, not {classes_per_batch}"
            )
        self.samples_per_class = self._whole("samples_per_class", samples_per_class, 1)
        self.batch_size = self.classes_per_batch * self.samples_per_class
        self.total = max(1, len(label) // self.batch_size)
        if num_batches is not None:
            self.total = self._whole("num_batches", num_batches, 1)

    @property
    def sampler(self) -> "BalancedBatchSampler":
        """Itself: Lightning and Accelerate call ``set_epoch`` on the `sampler` of a batch sampler."""
        return self

    def draw(self, generator: torch.Generator) -> Tensor:
        orders = (torch.randperm(len(self._members), generator=generator) for _ in range(self.total))
        label = torch.stack([order[: self.classes_per_batch] for order in orders]).flatten()
        each = torch.bincount(label, minlength=len(self._members)).tolist()
        places = torch.split(label.argsort(stable=True), each)
        batches = torch.empty(len(label), self.samples_per_class, dtype=torch.int64)
        for members, place in zip(self._members, places, strict=True):
            batches[place] = self._groups(members, len(place), generator)
        return batches.view(self.total, self.batch_size)

    def _groups(self, members: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """`count` groups of examples of a class, turn after turn through all of them."""
        size = self.samples_per_class
        whole = max(1, len(members) // size)  # groups of a turn
        repeats = -(-size // len(members))  # more than one for a class that is smaller than a group
        groups = [members[:0].view(0, size)]
        for _ in range(-(-count // whole)):
            turn = [torch.randperm(len(members), generator=generator) for _ in range(repeats)]
            groups.append(members[torch.cat(turn)[: whole * size]].view(whole, size))
        return torch.cat(groups)[:count]
