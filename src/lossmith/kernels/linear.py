"""A function of rows of logits ``hidden @ weight.T + bias`` that are never built as a whole: chunk by chunk.

The sum over all rows takes three matrix products per chunk, as many as the plain version: its gradients are computed
while the logits of a chunk are there, and wait for the gradient from above, by which they are multiplied. Values of
single rows take a fourth, because what comes from above is another number for each: the backward pass computes the
logits again. Rows to leave out never enter a product.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lossmith.errors import ParameterError
from lossmith.kernels import eager
from lossmith.kernels.blocks import others

BUDGET = {"cpu": 128 * 2**20}  # bytes of logits in a chunk: as few chunks as memory allows, for each rereads the weight
ON_DEVICE = 2**30  # elsewhere: some thousand rows keep the products busy
EVEN = 64  # rows of which matrix products like multiples
BLOCK = 2**20  # numbers in a block of a chunk, in which what is between logits and gradient stays in cache

Value = Callable[[Tensor, slice], Tensor]  # of logits [n, V] and where their rows are: what each row costs, [n]


@dataclass(frozen=True)
class Layer:
    """The last layer: its weight [V, H], its bias [V], and what its logits go through before they are used.

    Where the classes lie on many ranks, `most` is how many a rank has at most: all then go in the same chunks, each of
    which is one block.
    """

    weight: Tensor
    bias: Tensor | None
    bend: Callable[[Tensor], Tensor] | None = None
    most: int | None = None

    def logits(self, hidden: Tensor, out: Tensor) -> Tensor:
        if self.bias is None:
            return torch.mm(hidden, self.weight.t(), out=out)
        return torch.addmm(self.bias, hidden, self.weight.t(), out=out)


def total(value: Value, hidden: Tensor, layer: Layer) -> Tensor:
    """The sum of what the rows of `hidden`, [N, H], cost; differentiable once, by hidden, weight and bias."""
    learnt = any(x is not None and x.requires_grad for x in (hidden, layer.weight, layer.bias))
    if not (learnt and torch.is_grad_enabled()):
        return values(value, hidden, layer).sum()
    given = (value, layer.bend, layer.most, hidden, layer.weight, layer.bias)
    out: Tensor = _Total.apply(*given)  # type: ignore[no-untyped-call]
    return out


def values(value: Value, hidden: Tensor, layer: Layer, beside: Sequence[Tensor] = ()) -> Tensor:
    """What each row of `hidden`, [N, H], costs, [N]; differentiable once, by hidden, weight and bias.

    `beside` are the tensors that `value` reads, which must not change before the backward pass.
    """
    given = (value, layer.bend, layer.most, hidden, layer.weight, layer.bias, *beside)
    out: Tensor = _Values.apply(*given)  # type: ignore[no-untyped-call]
    return out


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, value: Value, bend: Any, most: int | None, hidden: Tensor, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        upstream = hidden.new_ones(len(hidden), dtype=torch.promote_types(hidden.dtype, torch.float32))
        found, grads = _through(value, hidden, Layer(weight, bias, bend, most), upstream, ctx.needs_input_grad[3:])
        ctx.save_for_backward(*grads)
        ctx.own = eager.kept()  # what a hook on saved tensors was shown is not ours to change
        ctx.dtypes = [None if x is None else x.dtype for x in (hidden, weight, bias)]
        return found.sum()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        only_once(upstream)
        last = ctx.own and eager.last()

        def scaled(x: Tensor, dtype: torch.dtype) -> Tensor:
            # in place where nobody comes for it again: a second weight costs more to ask for than to compute
            room = x if last and x.dtype == dtype else eager.fresh(x, dtype=dtype)
            return torch.mul(x, upstream, out=room)

        pairs = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        return None, None, None, *(None if x is None else scaled(x, dtype) for x, dtype in pairs)


class _Values(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        value: Value,
        bend: Any,
        most: int | None,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        *beside: Tensor,
    ) -> Tensor:
        ctx.value, ctx.bend, ctx.most = value, bend, most
        ctx.save_for_backward(hidden, weight, bias, *beside)
        return _through(value, hidden, Layer(weight, bias, bend, most), None, (False, False, False))[0]

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        only_once(upstream)
        hidden, weight, bias, *beside = ctx.saved_tensors
        layer = Layer(weight, bias, ctx.bend, ctx.most)
        grads = _through(ctx.value, hidden, layer, upstream, ctx.needs_input_grad[3:6])[1]
        given = zip(grads, (hidden, weight, bias), strict=True)
        return None, None, None, *(None if g is None else g.to(x.dtype) for g, x in given), *(None for _ in beside)


def only_once(upstream: Tensor) -> None:
    """Raise where the gradient of a fused last layer is to be differentiated again, or is one of a batch."""
    if not eager.once(upstream):
        again = "differentiated again (create_graph=True)"
        raise RuntimeError(
            f"linear: the gradient of a fused last layer cannot be {again if torch.is_grad_enabled() else 'batched'}; "
            "call the loss on torch.nn.functional.linear(hidden, weight, bias) instead"
        )


def _through(
    value: Value, hidden: Tensor, layer: Layer, upstream: Tensor | None, needs: tuple[bool, ...]
) -> tuple[Tensor, list[Tensor | None]]:
    """The cost of each row, [N], and with gradients from above, [N], those by hidden, weight and bias, if needed."""
    wide = torch.promote_types(hidden.dtype, torch.float32)
    costs = hidden.new_zeros(len(hidden), dtype=wide)
    sized = (hidden, layer.weight, layer.bias)
    grads = [
        None if x is None or not needed else eager.fresh(x, dtype=wide if x is not hidden else None)
        for x, needed in zip(sized, needs, strict=True)
    ]
    by_hidden, by_weight, by_bias = grads
    if by_weight is not None and not len(hidden):
        by_weight.zero_()
    if by_bias is not None:
        by_bias.zero_()
    room: Tensor | None = None
    for rows in _chunks(len(hidden), layer):
        h = hidden[rows]
        room = eager.fresh(hidden, (len(h), len(layer.weight))) if room is None else room
        z = layer.logits(h, room[: len(h)])
        _in_blocks(value, z, rows, layer, costs, upstream)
        if by_hidden is not None:
            torch.mm(z, layer.weight, out=by_hidden[rows])
        if by_weight is not None:
            _add_product(by_weight, z, h, rows.start == 0)
        if by_bias is not None:
            by_bias += z.sum(0, dtype=wide)
    return costs, grads


def _in_blocks(value: Value, z: Tensor, rows: slice, layer: Layer, costs: Tensor, upstream: Tensor | None) -> None:
    """The costs of the rows of a chunk; with gradients from above, its logits become their own gradient."""
    height = max(BLOCK // z.shape[1], 1) if layer.most is None else len(z)
    for start in range(0, len(z), height):
        block = z[start : start + height]
        at = slice(rows.start + start, rows.start + start + len(block))
        with torch.set_grad_enabled(upstream is not None):
            x = block.detach().requires_grad_(upstream is not None)
            cost = value(x if layer.bend is None else layer.bend(x), at)
        costs[at] = cost.detach()
        if upstream is not None:
            if start == 0 and others(cost, x):
                raise ParameterError(
                    "linear: the loss learns numbers of its own, and there are gradients by hidden, weight and bias "
                    "alone; call it on torch.nn.functional.linear(hidden, weight, bias)"
                )
            block.copy_(eager.gradient(cost, x, upstream[at].to(cost)))


def _add_product(by_weight: Tensor, z: Tensor, h: Tensor, first: bool) -> None:
    """Sums over chunks are kept in float32: in half precision each would lose what is small against it.

    The first chunk writes what the others add to, so that nothing has to be filled with zeros before.
    """
    if by_weight.dtype == z.dtype:
        by_weight.addmm_(z.t(), h, beta=0 if first else 1)
    elif first:
        by_weight.copy_(z.t() @ h)
    else:
        by_weight += z.t() @ h


def _chunks(count: int, layer: Layer) -> Iterator[slice]:
    """Rows in chunks of about the same size, whose logits stay within the budget."""
    weight, classes = layer.weight, layer.most or len(layer.weight)
    budget = BUDGET.get(weight.device.type, ON_DEVICE)
    highest = max(budget // (classes * weight.element_size()), 1)
    height = -(-count // max(-(-count // highest), 1))
    height = min(-(-height // EVEN) * EVEN, highest)
    yield from (slice(start, min(start + height, count)) for start in range(0, count, max(height, 1)))
