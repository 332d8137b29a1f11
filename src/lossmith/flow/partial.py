"""Step 4, sums: the one accumulator, ``(total, weight)``. Sums travel, only the end divides.

Partials of masks, micro-batches, shards and ranks merge by addition, which means of means do not.
"""

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from lossmith.arrays import ops_of
from lossmith.errors import ParameterError, ShapeError
from lossmith.flow.domain import may_look


def divide(total: Tensor, weight: Tensor | float) -> Tensor:
    """``total / weight``, and ``total / 1`` where the weight is 0: nothing counted costs nothing, the graph is kept."""
    known = isinstance(weight, float | int) or (not weight.shape and may_look(weight))
    if known:  # fewer operations, each of which a small batch feels
        return total / (weight if weight > 0 else 1.0)
    counted: Tensor = total / ops_of(weight).where(weight > 0, weight, 1.0)
    return counted


class Partial(NamedTuple):
    """The sum of weighted losses and the sum of what a mean divides by; or other sums, of any shape, that a loss needs.

    >>> a, b = Partial(torch.tensor(6.0), torch.tensor(3.0)), Partial(torch.tensor(2.0), torch.tensor(1.0))
    >>> a.merge(b).mean()
    tensor(2.)
    """

    total: Tensor
    weight: Tensor

    def merge(self, *others: "Partial") -> "Partial":
        """The partial of everything together: of micro-batches, of shards."""
        return Partial(*(torch.stack(field).sum(0) for field in zip(self, *others, strict=True)))

    def all_reduce(self, group: Any) -> "Partial":
        """The partial of all ranks: every rank sees the global value.

        The gradient stays with this rank's own part, times the number of ranks: DDP and FSDP average gradients
        over ranks, and that average is then exactly the gradient of the one global value.
        """
        group = ready(group)
        own = torch.cat([field.flatten() for field in self])
        everyone = own.detach().clone()
        dist.all_reduce(everyone, group=group)
        both, size = times_ranks(own, everyone, group), self.total.numel()
        return Partial(both[:size].view(self.total.shape), both[size:].view(self.weight.shape))

    def mean(self) -> Tensor:
        """``total / weight``, and 0 where nothing counted."""
        return divide(self.total, self.weight)


class SetPartial(Partial):
    """The partial of a set, such as a contrastive loss has: the sums of smaller sets are not those of the whole."""

    def merge(self, *others: Partial) -> Partial:
        """Itself, where there is no other."""
        if others:
            raise ParameterError(
                "Partial: those of a set (contrastive losses, average precision, Lovasz of a batch) do not merge, "
                "because each unit meets all others: give the whole set in one call, whose parts may lie on the ranks "
                "of a process_group"
            )
        return self


class Partials(tuple[Partial, ...]):
    """The partials of the terms of a sum of losses; they merge term by term."""

    def merge(self, *others: "Partials") -> "Partials":
        """The partials of everything together."""
        return Partials(one.merge(*more) for one, *more in zip(self, *others, strict=True))


def gather(x: Tensor, group: Any) -> Tensor:
    """The rows of all ranks, one rank after the other, uneven numbers of them included: what a set of units needs.

    The gradient stays with this rank's own rows, times the number of ranks, as in `Partial.all_reduce`.
    """
    group = ready(group)
    ranks, here = dist.get_world_size(group), dist.get_rank(group)
    shape = torch.tensor(x.shape, device=x.device)
    shapes = [torch.empty_like(shape) for _ in range(ranks)]
    dist.all_gather(shapes, shape, group=group)
    rows, *behind = torch.stack(shapes, 1).tolist()
    if any(min(lengths) < max(lengths) for lengths in behind):  # seen by all ranks alike, so none waits for the others
        raise ShapeError(
            "process_group: the rows of a set must have one shape on all ranks, that of a rank without rows included; "
            f"they are of {[list(shape) for shape in zip(*behind, strict=True)]}"
        )
    padded = x.detach().new_zeros((max(rows), *x.shape[1:]))
    padded[: len(x)] = x.detach()
    parts = [torch.empty_like(padded) for _ in range(ranks)]
    dist.all_gather(parts, padded, group=group)
    everyone = [part[:count] for part, count in zip(parts, rows, strict=True)]
    if x.requires_grad:
        everyone[here] = times_ranks(x, everyone[here], group)
    return torch.cat(everyone)


def times_ranks(own: Tensor, everyone: Tensor, group: Any) -> Tensor:
    """The value of `everyone`, with this rank's own gradient times the number of ranks, over which DDP averages."""
    return everyone + dist.get_world_size(group) * (own - own.detach())


def ready(group: Any, name: str = "process_group") -> Any:
    """The process group that was given by that name, once torch.distributed has been started."""
    if not (dist.is_available() and dist.is_initialized()):
        raise ParameterError(
            f"{name}: call torch.distributed.init_process_group first; this process belongs to no group yet"
        )
    return dist.group.WORLD if group == "world" else group
