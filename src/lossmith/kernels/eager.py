"""Where the kernels of eager mode apply, and the memory that they write to.

In eager mode every operation goes through the whole tensor, so an expression of ten of them reads and writes it ten
times. The kernels work in blocks that stay in the processor's cache. A compiler does that better, and function
transforms need the plain expression.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad


def plain(x: Any) -> bool:
    """Whether `x` is a tensor with values of its own: not traced, not wrapped by a transform, not a subclass."""
    if torch.compiler.is_compiling() or type(x) not in (Tensor, nn.Parameter) or x.device.type == "meta":
        return False
    if torch._C._len_torch_dispatch_stack() or torch._C._get_tracing_state() is not None:
        return False
    return not _wrapped(x)


def _wrapped(x: Tensor) -> bool:
    """Whether it stands for several tensors, or for one inside a function transform."""
    functorch = torch._C._functorch
    return bool(functorch.is_functorch_wrapped_tensor(x) or functorch.is_legacy_batchedtensor(x))


def fits(*tensors: Any, device: str = "cpu") -> bool:
    """Whether all are plain tensors on such a device, and no function transform or forward mode is under way."""
    if not all(plain(x) and x.device.type == device for x in tensors):
        return False
    return not transformed()


def transformed() -> bool:
    """Whether a function transform (torch.func) or forward mode is under way."""
    return bool(torch._C._are_functorch_transforms_active()) or forward_ad._current_level >= 0


def kept() -> bool:
    """Whether what an operation puts aside for its backward pass stays: checkpoints want it forgotten, other hooks on
    saved tensors moved, and of a gradient that waits to be finished they know nothing. Before torch 2.8 nobody knew."""
    hooks = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    return hooks is None or hooks(False) is None


def once(*grads: Tensor) -> bool:
    """In a backward pass, whether it is a plain one: the gradient is not differentiated again, nor one of a batch."""
    return not torch.is_grad_enabled() and not any(_wrapped(g) for g in grads)


def last() -> bool:
    """In a backward pass, whether it is the last through its graph: what was saved may become the gradient."""
    retained = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", None)  # as AOTAutograd asks
    return retained is not None and not retained()


def again(compute: Callable[[Tensor], Any], x: Tensor, grads: tuple[Tensor, ...]) -> Tensor:
    """The gradient by `x` of what `compute` makes of it by differentiable operations."""
    differentiated = torch.is_grad_enabled()
    with torch.enable_grad():
        x = x if differentiated else x.detach().requires_grad_()
        found = torch.autograd.grad(compute(x), x, grads, create_graph=differentiated, materialize_grads=True)
    return found[0]


def gradient(value: Tensor, x: Tensor, above: Tensor) -> Tensor:
    """The gradient by `x`, with `above` that by `value`: 0 where `value` has none, as a count of mistakes."""
    if not value.requires_grad:
        return torch.zeros_like(x)
    return torch.autograd.grad(value, x, above, materialize_grads=True)[0]


def fresh(like: Tensor, shape: tuple[int, ...] | None = None, dtype: torch.dtype | None = None) -> Tensor:
    """An empty tensor beside `like`, contiguous; from the first on, what blocks free is kept for the next."""
    _have_freed_memory_kept()
    return like.new_empty(like.shape if shape is None else shape, dtype=dtype)


@functools.cache
def _have_freed_memory_kept() -> None:
    """Free a large tensor, once, from whose size glibc learns what is worth keeping for the next one of that size.

    Until then it returns the memory of every block to the system, and a third of the time goes into getting it anew.
    """
    torch.empty(2**25 - 2**16, dtype=torch.uint8, device="cpu")  # the largest that it learns from
