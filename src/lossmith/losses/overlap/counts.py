"""The statistic of the overlap family as plain expressions, in every library: probabilities, and their soft counts."""

from typing import Any

import torch
from torch import Tensor

from lossmith.arrays import ops_of


class _Centred(torch.autograd.Function):
    """The probabilities p themselves; their gradient comes back less that of the class above 1/2, if there is one."""

    generate_vmap_rule = True

    @staticmethod
    def forward(p: Tensor) -> Tensor:
        return p.view_as(p)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (p,) = ctx.saved_tensors
        return g - (p.round() * g).sum(1, keepdim=True)

    @staticmethod
    def jvp(ctx: Any, change: Tensor) -> Any:
        (p,) = ctx.saved_tensors
        return change - p.round() * change.sum(1, keepdim=True)


def probability(link: str, x: Tensor) -> Tensor:
    """The probability of every class along axis 1, or of every label, with a gradient that keeps its digits.

    The gradient ``p_k (g_k - sum_j g_j p_j)`` of softmax loses that of a p that rounds to 1 in the difference, and with
    it every confident mistake. Only differences of the g count, so the g of the class above 1/2 is subtracted first.
    The same comes of adding ``1 - sum p``, which is 0, to the p of that class: so written a compiler fuses it.
    """
    ops = ops_of(x)
    if link == "sigmoid":
        return ops.exp(ops.logsigmoid(x))
    if link != "softmax":
        return ops.exp(x) if link == "log_prob" else x
    p = ops.softmax(x, 1)
    if isinstance(p, Tensor) and not torch.compiler.is_compiling():
        return _Centred.apply(p)  # type: ignore[no-untyped-call]
    return p + ops.round(ops.stop_gradient(p)) * (1 - ops.sum(p, 1, keepdims=True))


def soft_counts(p: Tensor, t: Tensor, v: Tensor | None, squared: bool = False) -> tuple[Tensor, Tensor]:
    """tp, fp and fn of every sample and class, [3, N, C], and the weight of the pixels that were seen, [N, C].

    The probabilities p and the shares t of the target are [N, C, *], the weights v of the pixels [N, 1, *] or
    [N, C, *] (None: all weigh 1). With `squared`, fp is ``sum v (p - t)^2 (1 - t)`` and fn ``sum v (p - t)^2 t``.
    """
    ops, pixels = ops_of(p), tuple(range(2, len(p.shape)))

    def total(x: Tensor) -> Any:
        return ops.sum(x, pixels) if pixels else x  # over no axes would be over all

    def weighed(x: Tensor) -> Any:
        return x if v is None else v * x

    seen = ops.count(p, pixels) if v is None else ops.count(p, pixels) * 0 + total(v)
    found = total(weighed(p) * t)
    if squared:
        miss = weighed((p - t) ** 2)
        missed = total(miss * t)
        return ops.stack([found, total(miss) - missed, missed]), seen
    rest = ops.stack([total(weighed(p)), total(weighed(t))]) - found
    rest = rest + ops.stop_gradient(ops.at_least(-rest, 0.0))  # rounding leaves no negative count, and a gradient
    return ops.concatenate([found[None], rest]), seen
