"""`torch.where` and `torch.clip` without a branch per number, for as long as a block is being computed.

On a CPU torch decides number by number which of two to take, in the gradient of a clip too, and where that follows no
pattern the processor guesses wrong half of the time: it takes as long as forty additions. Masks can take the bits.
"""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

BITS = {torch.float32: torch.int32, torch.float64: torch.int64}


class ByBits(TorchFunctionMode):
    """While it is entered, these two select by bits; what they give is the same to the last one, and its gradient."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.where, torch.clip) and len(args) == 3 and not kwargs:
            first, *pair = args
            chosen = _where(first, *pair) if func is torch.where else _clip(first, *pair)
            if chosen is not None:
                return chosen
        return func(*args, **(kwargs or {}))


def _where(mask: Tensor, x: Any, y: Any) -> Any:
    """None where it is no case for bits: several dtypes, or one of other numbers."""
    known = x if isinstance(x, Tensor) else y
    if mask.dtype != torch.bool or not isinstance(known, Tensor) or known.dtype not in BITS:
        return None
    if not all(v.dtype == known.dtype if isinstance(v, Tensor) else isinstance(v, int | float) for v in (x, y)):
        return None
    pair = (v if isinstance(v, Tensor) else known.new_tensor(v) for v in (x, y))
    return _Where.apply(mask, *pair)  # type: ignore[no-untyped-call]


def _clip(x: Tensor, low: Any, high: Any) -> Any:
    """None where it is no case for bits: between tensors, or of other numbers."""
    if x.dtype not in BITS or not all(isinstance(end, int | float) for end in (low, high)):
        return None
    return _Clip.apply(x, low, high)  # type: ignore[no-untyped-call]


def _ones(mask: Tensor, like: Tensor) -> Tensor:
    """Numbers of as many bits as those of `like`, all of which are set where the mask is."""
    return mask.to(BITS[like.dtype]).neg_()


def _taken(x: Tensor, ones: Tensor) -> Tensor:
    """`x` where the bits are set, else 0; differentiable where this is a backward pass that is differentiated."""
    if torch.is_grad_enabled():
        return torch.where(ones != 0, x, 0.0)
    return (x.view(ones.dtype) & ones).view(x.dtype)


class _Where(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, mask: Tensor, x: Tensor, y: Tensor) -> Tensor:
        ones = _ones(mask, x)
        ctx.save_for_backward(ones)
        ctx.shapes = x.shape, y.shape
        mine, other = x.view(ones.dtype), y.view(ones.dtype)
        return torch.bitwise_xor(mine, other).bitwise_and(ones).bitwise_xor_(other).view(x.dtype)

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> Any:
        (ones,), (_, x, y) = ctx.saved_tensors, ctx.needs_input_grad
        by_x = _taken(above, ones).sum_to_size(ctx.shapes[0]) if x else None
        return None, by_x, _taken(above, ~ones).sum_to_size(ctx.shapes[1]) if y else None


class _Clip(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        clipped = torch.clip(x, low, high)
        ctx.save_for_backward(_ones(x == clipped, x))
        return clipped

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> Any:
        return _taken(above, *ctx.saved_tensors), None, None
