"""The last layer of `loss.linear`: checked, and where each rank has a part of it.

FSDP's parts are put together for the call. Those of a vocabulary, the classes of each rank, stay where they are.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from lossmith.errors import DtypeError, ParameterError, ShapeError
from lossmith.flow import partial
from lossmith.flow.units import floating, one_tensor
from lossmith.kernels.sharded import Shard

Layer = tuple[Tensor, Tensor, Tensor | None]  # hidden [*, H], weight [V, H], bias [V]


def settled(owner: str, hidden: Tensor, weight: Tensor, bias: Tensor | None, *, parts: bool) -> Layer:
    """The tensors of the layer, checked, in the dtype in which `torch.nn.functional.linear` would multiply them.

    With `parts` those of the classes of this rank; without, all of them.
    """
    tensors = {"hidden": hidden, "weight": weight} | ({} if bias is None else {"bias": bias})
    for name, x in tensors.items():
        floating(owner, one_tensor(owner, x, name), name)
        tensors[name] = _own(owner, name, x) if parts or name == "hidden" else _whole(x)
    weight, bias = tensors["weight"], tensors.get("bias")
    fits = hidden.dim() > 0 and weight.dim() == 2 and hidden.shape[-1] == weight.shape[1]
    if not fits or (len(weight) < 2 and not parts):
        raise ShapeError(
            f"{owner}: hidden must be [*, H] and weight [V, H] for at least 2 classes; they are {list(hidden.shape)} "
            f"and {list(weight.shape)}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"{owner}: bias must be [V], {list(weight.shape[:1])}; it is {list(bias.shape)}")
    if torch.is_autocast_enabled(hidden.device.type):
        dtype = torch.get_autocast_dtype(hidden.device.type)
        hidden, weight = _lowered(hidden, dtype), _lowered(weight, dtype)
        return hidden, weight, None if bias is None else _lowered(bias, dtype)
    if len({x.dtype for x in tensors.values()}) > 1:
        kinds = ", ".join(f"{name} {str(x.dtype)[6:]}" for name, x in tensors.items())
        raise DtypeError(
            f"{owner}: hidden, weight and bias must be of one dtype; they are {kinds}; convert "
            "them (weight.to(hidden.dtype)), or use torch.autocast"
        )
    return hidden, weight, bias


def _lowered(x: Tensor, dtype: torch.dtype) -> Tensor:
    """In the dtype of autocast, which leaves float64 alone."""
    return x if x.dtype == torch.float64 else x.to(dtype)


def _whole(x: Any) -> Tensor:
    """All of a DTensor, whose gradient is then the average of those of the ranks, as FSDP2 has it of what a module
    uses; anything else as it is."""
    if not hasattr(x, "device_mesh"):
        return x
    from torch.distributed.tensor import Partial

    return x.full_tensor(grad_placements=[Partial("avg")] * x.device_mesh.ndim)


def _own(owner: str, name: str, x: Tensor) -> Tensor:
    """What this rank has of a tensor."""
    if hasattr(x, "device_mesh"):
        raise ParameterError(
            f"{owner}: {name} must be a plain tensor of what is on this rank; it is a DTensor: give {name}.to_local()"
        )
    return x


def shard_of(owner: str, layer: Layer, vocab_group: Any, process_group: Any) -> Shard | None:
    """Which classes are on which rank of `vocab_group`; None without one, and where one rank has all classes."""
    if vocab_group is None:
        return None
    hidden, weight, _ = layer
    group = partial.ready(vocab_group, "vocab_group")
    ranks, rank = dist.get_world_size(group), dist.get_rank(group)
    if rank < 0:
        raise ParameterError(f"{owner}: vocab_group must be a group that this rank belongs to, and it does not")
    if process_group is not None:
        others = set(dist.get_process_group_ranks(partial.ready(process_group)))
        if len(others.intersection(dist.get_process_group_ranks(group))) > 1:
            raise ParameterError(
                f"{owner}: ranks of one vocab_group have the same rows, and those of one process_group rows of their "
                "own; give process_group the ranks that have the same classes as this one"
            )
    if ranks == 1:
        return None
    told = torch.tensor([len(weight), hidden.shape[:-1].numel()], device=weight.device)
    everyone = [torch.empty_like(told) for _ in range(ranks)]
    dist.all_gather(everyone, told, group=group)
    sizes, rows = torch.stack(everyone, 1).tolist()
    if min(sizes) < 1 or min(rows) < max(rows):  # seen by all ranks alike, so that none waits for the others
        raise ShapeError(
            f"{owner}: all ranks of vocab_group must have classes, and the same rows of hidden; they have {sizes} "
            f"classes and {rows} rows"
        )
    return Shard(group, tuple(sizes), rank)
