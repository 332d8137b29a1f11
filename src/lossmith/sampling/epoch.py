"""The base of all samplers: epochs, ranks, and going on where a pass was."""

import random
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.data import Sampler

from lossmith.errors import ParameterError
from lossmith.flow.parameter import integer_or_none
from lossmith.flow.partial import ready

Item = TypeVar("Item", int, list[int])


class EpochSampler(Sampler[Item]):
    """The base of the samplers: epochs, ranks and resuming around one `draw`.

    **Epochs.** ``set_epoch(epoch)`` chooses the draw; without it every pass takes the next one.

    **Ranks.** By default the whole draw, for one process and for trainers that share it out themselves (Accelerate, the
    Hugging Face Trainer, Lightning). ``process_group="world"`` (or a group), or `rank` and `world_size`, for a loop of
    your own: rank r takes items r, r + world_size, ... of the draw, so that no item is taken twice and the batches of
    all ranks together are those of one process. All ranks get equally many: the last ``total % world_size`` items of
    the draw, which are random ones, are left out.

    **Resuming.** ``state_dict()`` has the epoch and how many items of it were handed out, to this rank;
    ``load_state_dict`` goes on after them. A DataLoader with workers fetches ahead: there give the position that was
    reached, ``{"epoch": 3, "position": batches_done * batch_size}``.
    """

    def __init__(self, *, seed: int, rank: int | None, world_size: int | None, process_group: Any) -> None:
        self.seed = self._whole("seed", seed, 0)
        self.process_group = process_group
        if (rank is None) != (world_size is None) or (rank is not None and process_group is not None):
            raise ParameterError(
                f"{type(self).__name__}: give rank and world_size together, or process_group, or none of them; "
                f"not rank={rank!r}, world_size={world_size!r}, process_group={process_group!r}"
            )
        self.world_size = 1 if world_size is None else self._whole("world_size", world_size, 1)
        self.rank = 0 if rank is None else self._whole("rank", rank, 0)
        if self.rank >= self.world_size:
            raise ParameterError(f"{type(self).__name__}: rank must be below world_size, {world_size}, not {rank}")
        self.total: int  # items of a draw, of all ranks together
        self.epoch = 0  # of the next pass
        self._resumed = 0  # items that the next pass leaves out
        self._reached = (0, 0)  # epoch, and items of it that were handed out

    def draw(self, generator: torch.Generator) -> Tensor:
        """The items of one epoch, [total] or [total, batch size], indices of examples."""
        raise NotImplementedError

    def __len__(self) -> int:
        return self.total // self._place()[1]

    def __iter__(self) -> Iterator[Item]:
        rank, ranks = self._place()
        epoch, start = self.epoch, self._resumed
        self.epoch, self._resumed, self._reached = epoch + 1, 0, (epoch, start)
        mixed = random.Random(f"{self.seed} {epoch}").getrandbits(63)  # seed + epoch would meet that of another seed
        own = self.draw(torch.Generator().manual_seed(mixed))[rank : len(self) * ranks : ranks]
        for position, item in enumerate(own[start:].tolist(), start + 1):
            self._reached = (epoch, position)
            yield item

    def set_epoch(self, epoch: int) -> None:
        """Choose the draw of the next pass; the trainers call it, and so should a loop of your own on every rank."""
        self.epoch, self._resumed = self._whole("epoch", epoch, 0), 0
        self._reached = (self.epoch, 0)

    def state_dict(self) -> dict[str, int]:
        """Where this pass is: its epoch, the items handed out, and the seed."""
        epoch, position = self._reached
        return {"seed": self.seed, "epoch": epoch, "position": position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where a pass was; at its end the next pass begins."""
        if not {"epoch", "position"} <= set(state):
            raise ParameterError(f"{type(self).__name__}: state must have epoch and position, not {state!r}")
        epoch, position = self._whole("epoch", state["epoch"], 0), self._whole("position", state["position"], 0)
        if position > len(self):
            raise ParameterError(
                f"{type(self).__name__}: position must be at most the {len(self)} items of a pass, not {position}"
            )
        done = position == len(self)
        self.seed = self._whole("seed", state.get("seed", self.seed), 0)
        self.epoch, self._resumed = (epoch + 1, 0) if done else (epoch, position)
        self._reached = (self.epoch, self._resumed)

    def _place(self) -> tuple[int, int]:
        """This rank, and the number of ranks; asked for late, because a sampler may be made before the group is."""
        if self.process_group is None:
            return self.rank, self.world_size
        group = ready(self.process_group)
        return dist.get_rank(group), dist.get_world_size(group)

    def _whole(self, name: str, value: Any, least: int) -> int:
        try:
            found = integer_or_none(value)
        except (TypeError, ValueError):
            found = None
        if found is None or found < least:
            raise ParameterError(
                f"{type(self).__name__}: {name} must be a whole number of at least {least}, not {value!r}"
            )
        return found
