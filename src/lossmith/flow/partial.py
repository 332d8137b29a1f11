"""Step 4, sums: the one accumulator, ``(total, weight)``. Sums travel, only the end divides.

Partials of masks, micro-batches, shards and ranks merge by addition, which means of means do not.
"""

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from lossmith.errors import ParameterError


def divide(total: Tensor, weight: Tensor | float) -> Tensor:
    """``total / weight``, and ``total / 1`` where the weight is 0: nothing counted costs nothing, the graph is kept."""
    if isinstance(weight, Tensor):
        return total / torch.where(weight > 0, weight, 1.0)
    return total / (weight if weight > 0 else 1.0)


class Partial(NamedTuple):
    """The sum of weighted losses and the sum of what a mean divides by.

    >>> a, b = Partial(torch.tensor(6.0), torch.tensor(3.0)), Partial(torch.tensor(2.0), torch.tensor(1.0))
    >>> a.merge(b).mean()
    tensor(2.)
    """

    total: Tensor
    weight: Tensor

    def merge(self, *others: "Partial") -> "Partial":
        """The partial of everything together: of micro-batches, of shards."""
        parts = (self, *others)
        return Partial(
            torch.stack([part.total for part in parts]).sum(), torch.stack([part.weight for part in parts]).sum()
        )

    def all_reduce(self, group: Any) -> "Partial":
        """The partial of all ranks: every rank sees the global value.

        The gradient stays with this rank's own part, times the number of ranks: DDP and FSDP average gradients
        over ranks, and that average is then exactly the gradient of the one global value.
        """
        if not (dist.is_available() and dist.is_initialized()):
            raise ParameterError("process_group: call torch.distributed.init_process_group before the loss")
        group = dist.group.WORLD if group == "world" else group
        own = torch.stack(list(self))
        everyone = own.detach().clone()
        dist.all_reduce(everyone, group=group)
        return Partial(*(everyone + dist.get_world_size(group) * (own - own.detach())).unbind())

    def mean(self) -> Tensor:
        """``total / weight``, and 0 where nothing counted."""
        return divide(self.total, self.weight)
