"""Losses whose units stand for themselves, computed in blocks that stay in cache, values and slopes at once.

An expression of ten operations reads and writes the whole tensor ten times, and its derivative as often again. Block by
block only the first read and the last write go to memory. The slopes wait where the gradient will be.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lossmith.kernels import eager

BLOCK = 2**17  # numbers in a block, whose dozen intermediate results are to stay in cache together
WORTH = 2**18  # numbers from which on blocks are quicker

Evaluate = Callable[[Tensor, Any], tuple[Tensor, Tensor | None]]


class LearntError(Exception):
    """Something else than the input wants a gradient, so this is no case for blocks."""


def by_blocks(evaluate: Evaluate, x: Tensor, count: int) -> tuple[Tensor, Tensor | None]:
    """The values, [N, *], of ``evaluate(x[rows], rows)`` for `x` of `count` rows, and their weights if they have any.

    Raises `LearntError` where the values depend on another tensor that wants a gradient.
    """
    weights: list[Tensor] = []
    wanted = x.requires_grad and torch.is_grad_enabled()
    value: Tensor = _Blocks.apply(evaluate, x, count, wanted, weights)  # type: ignore[no-untyped-call]
    return value, torch.cat(weights) if weights else None


class _Blocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, evaluate: Evaluate, x: Tensor, count: int, wanted: bool, weights: list[Tensor]) -> Tensor:
        ctx.evaluate, ctx.count = evaluate, count
        ctx.save_for_backward(x)
        ctx.slope, value = _pass(evaluate, x, count, wanted, weights)
        return value

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        if not eager.once(upstream):
            whole = slice(0, ctx.count)
            return None, eager.again(lambda x: ctx.evaluate(x, whole)[0], x, (upstream,)), None, None, None
        slope, ctx.slope = ctx.slope, None  # taken: a second backward computes it anew
        if slope is None:
            slope = _pass(ctx.evaluate, x, ctx.count, True, [])[0]
        behind = x.dim() - upstream.dim()
        return None, slope.mul_(upstream if not behind else upstream.unsqueeze(1)), None, None, None


def _pass(
    evaluate: Evaluate, x: Tensor, count: int, wanted: bool, weights: list[Tensor]
) -> tuple[Tensor | None, Tensor]:
    """The slopes by `x`, if they are wanted, and the values; the weights go to their list."""
    height = max(BLOCK * count // max(x.numel(), 1), 1)
    slope, values = eager.fresh(x) if wanted else None, torch.empty(0)
    for start in range(0, count, height):
        rows = slice(start, min(start + height, count))
        with torch.set_grad_enabled(wanted):
            block = x[rows].detach().requires_grad_(wanted)
            value, weight = evaluate(block, rows)
        if slope is not None:
            if start == 0 and others(value, block):
                raise LearntError
            one = value.new_ones(()).expand_as(value)
            (slope[rows],) = torch.autograd.grad(value, block, one, materialize_grads=True)
        if start == 0:
            values = eager.fresh(value, (count, *value.shape[1:]))
        values[rows] = value.detach()
        if weight is not None:
            weights.append(weight.detach())
    return slope, values


def others(value: Tensor, block: Tensor) -> bool:
    """Whether a leaf of the graph of `value` is another tensor than `block`."""
    nodes, seen = [value.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if getattr(node, "variable", block) is not block:
            return True
        nodes += [following for following, _ in node.next_functions]
    return False
