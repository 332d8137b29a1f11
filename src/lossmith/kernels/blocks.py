"""Losses whose units stand for themselves, computed in blocks that stay in cache, values and slopes at once.

An expression of ten operations reads and writes the whole tensor ten times, and its derivative as often again. Block by
block only the first read and the last write go to memory. The slopes wait where the gradient will be.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lossmith.kernels import eager
from lossmith.kernels.select import ByBits

BLOCK = 2**19  # numbers in a block, whose intermediate results are to stay in cache
WORTH = 2**18  # numbers from which on blocks are quicker

Evaluate = Callable[[Tensor, Any], tuple[Tensor, Tensor | None]]


class OtherGradientError(Exception):
    """Gradients go elsewhere than to the input alone, or nowhere, so this is no case for blocks."""


def by_blocks(evaluate: Evaluate, x: Tensor, count: int, beside: Sequence[Tensor] = ()) -> tuple[Tensor, Tensor | None]:
    """The values of ``evaluate(x[rows], rows)`` for `x` of `count` rows, and what they weigh if they weigh anything.

    They are those of the rows, [N, *], or where evaluate returns one number for all of its rows, one for each block.
    `beside` are the other tensors that it reads, which must not change before the backward pass.
    Raises `OtherGradientError` where `x` wants a gradient and the values have none, or another tensor has one of them.
    """
    weights: list[Tensor] = []
    wanted = x.requires_grad and torch.is_grad_enabled()
    height = max(BLOCK * count // max(x.numel(), 1), 1)
    blocks = [slice(start, min(start + height, count)) for start in range(0, count, height)]
    value: Tensor = _Blocks.apply(evaluate, x, blocks, wanted, weights, *beside)  # type: ignore[no-untyped-call]
    return value, (torch.cat if weights[0].dim() else torch.stack)(weights) if weights else None


class _Blocks(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, evaluate: Evaluate, x: Tensor, blocks: list[slice], wanted: bool, weights: Any, *beside: Tensor
    ) -> Tensor:
        ctx.evaluate, ctx.blocks, ctx.rest = evaluate, blocks, [None] * (3 + len(beside))
        ctx.save_for_backward(x, *beside)
        ctx.slope, values, ctx.places = _pass(evaluate, x, blocks, wanted, wanted and eager.kept(), weights)
        return values

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        x = ctx.saved_tensors[0]
        if not eager.once(upstream):

            def again(x: Tensor) -> Tensor:
                values = [ctx.evaluate(x[rows], rows)[0] for rows in ctx.blocks]
                return torch.cat(values) if values[0].dim() else torch.stack(values)

            return None, eager.again(again, x, (upstream,)), *ctx.rest
        slope, ctx.slope = ctx.slope, None  # taken: a second backward computes it anew
        if slope is None:
            slope = _pass(ctx.evaluate, x, ctx.blocks, True, True, [])[0]
        for rows, place in zip(ctx.blocks, ctx.places, strict=True):
            above = upstream[place]
            slope[rows].mul_(above.unsqueeze(1) if 0 < above.dim() < x.dim() else above)
        return None, slope, *ctx.rest


def _pass(
    evaluate: Evaluate, x: Tensor, blocks: list[slice], wanted: bool, waits: bool, weights: list[Tensor]
) -> tuple[Tensor | None, Tensor, Sequence[Any]]:
    """The slopes by `x`, if they are to wait for the backward pass, the values, and where among them those of each
    block are. The weights go to their list.
    """
    slope, values = eager.fresh(x) if waits else None, torch.empty(0)
    places: Sequence[Any] = blocks
    for k, rows in enumerate(blocks):
        traced = waits or (wanted and k == 0)
        with torch.set_grad_enabled(traced), ByBits():
            block = x[rows].detach().requires_grad_(traced)
            value, weight = evaluate(block, rows)
        if traced and k == 0 and (not value.requires_grad or others(value, block)):
            raise OtherGradientError
        if slope is not None:
            slope[rows] = eager.gradient(value, block, value.new_ones(()).expand_as(value))
        if k == 0:
            one_each = not value.dim()
            places = range(len(blocks)) if one_each else blocks
            values = eager.fresh(value, (len(blocks),) if one_each else (blocks[-1].stop, *value.shape[1:]))
        values[places[k]] = value.detach()
        if weight is not None:
            weights.append(weight.detach())
    return slope, values, places


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
