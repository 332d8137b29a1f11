"""The statistic of rows of logits, where each rank of a group has the logits of some of the classes.

No rank sees a whole row. Each finds its largest logit and, from there, the sum of the exponentials of all classes but
the target; these few numbers per row go round in one exchange, and each rank joins them to the same statistic. The
gradient ``a p + b onehot + c / C`` of its own logits then needs no exchange.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import logsigmoid

from lossmith.kernels import eager
from lossmith.kernels.rows import BLOCK, Rows


@dataclass(frozen=True)
class Shard:
    """How many classes the ranks of a group have, one rank after the other, and which rank this is."""

    group: Any
    sizes: tuple[int, ...]
    rank: int

    @property
    def classes(self) -> int:
        return sum(self.sizes)

    @property
    def first(self) -> int:
        return sum(self.sizes[: self.rank])


def rows(z: Tensor, index: Tensor | None, shard: Shard, *, keep: Tensor | None = None, mean: bool = False) -> Rows:
    """The statistic of rows of which this rank has the logits `z`, [N, classes here]: of the targets `index`, [N],
    numbered over all ranks, log p and, where `mean` says so, the mean log p; without targets logsumexp.

    The same on all ranks. Rows that are not to `keep`, [N], have the statistic of equal logits, and no gradient.
    """
    found = _Rows.apply(z, index, keep, shard, mean)  # type: ignore[no-untyped-call]
    return Rows(lse=found[0]) if index is None else Rows(*found)


def shared(x: Tensor, shard: Shard) -> Tensor:
    """`x`, which is the same on all ranks and of which each computes with its own classes: gradients are summed."""
    same: Tensor = _Shared.apply(x, shard.group)  # type: ignore[no-untyped-call]
    return same


class _Shared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Any) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        wide = torch.promote_types(gradient.dtype, torch.float32)  # sums in half precision lose digits
        total = gradient.to(wide, copy=True)
        dist.all_reduce(total, group=ctx.group)
        return total.to(gradient.dtype), None


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, z: Tensor, index: Tensor | None, keep: Tensor | None, shard: Shard, mean: bool
    ) -> tuple[Tensor, ...]:
        here = None if index is None else index - shard.first  # outside of [0, classes here): on another rank
        powers, told = _look(z, here, keep, mean, ctx.needs_input_grad[0])
        everyone = [torch.empty_like(told) for _ in shard.sizes]
        dist.all_gather(everyone, told, group=shard.group)
        found, factor, rest = _joined(torch.stack(everyone), shard, index is not None, mean)
        ctx.powers, ctx.classes = powers, shard.classes
        ctx.save_for_backward(z, here, keep, factor, rest)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        z, here, keep, factor, rest = ctx.saved_tensors
        powers, ctx.powers = ctx.powers, None  # taken: a second backward computes them anew
        if powers is None:
            powers = _look(z, here, keep, False, True)[0]
        if keep is not None:
            grads = tuple(torch.where(keep, g, 0.0) for g in grads)
        dz = _gradient(powers, here, factor, rest, grads, ctx.classes)
        return dz.to(z.dtype), None, None, None, None


def _look(z: Tensor, here: Tensor | None, keep: Tensor | None, mean: bool, waits: bool) -> tuple[Tensor | None, Tensor]:
    """``e^(z - reference)``, 0 at the targets, if it `waits` for the gradients; and what other ranks are told, [4, N]:
    the largest logit, the sum of those powers, the target's logit, the sum of ``z - reference``."""
    count, classes = z.shape
    wide = torch.promote_types(z.dtype, torch.float32)
    powers = eager.fresh(z, dtype=wide) if waits else None
    told = z.new_zeros(4, count, dtype=wide)
    height = max(BLOCK // classes if z.device.type == "cpu" else count, 1)
    for start in range(0, count, height):
        at = slice(start, start + height)
        x = z[at].to(wide, copy=True) if powers is None else powers[at].copy_(z[at])
        if keep is not None:
            x.masked_fill_(~keep[at].unsqueeze(1), 0.0)
        _look_at_block(x, None if here is None else here[at], mean, told[:, at])
    return powers, told


def _look_at_block(x: Tensor, here: Tensor | None, mean: bool, told: Tensor) -> None:
    """The logits `x` become their powers."""
    spot = None if here is None else _spot(here, x)
    if spot is not None:
        told[2] = x.gather(1, spot.at).masked_fill_(~spot.owned, 0.0).squeeze(1)
    told[0] = x.amax(1)
    x.sub_(_reference(told[0]).unsqueeze(1))
    if mean:
        told[3] = x.sum(1)
    x.exp_()
    if spot is not None:
        x.scatter_(1, spot.at, x.gather(1, spot.at).masked_fill_(spot.owned, 0.0))
    told[1] = x.sum(1)


class _Spot(NamedTuple):
    """Where the targets are among the classes of this rank, and whether they are there at all, [N, 1]."""

    at: Tensor
    owned: Tensor


def _spot(here: Tensor, x: Tensor) -> _Spot:
    here = here.unsqueeze(1)
    return _Spot(here.clamp(0, x.shape[1] - 1), (here >= 0) & (here < x.shape[1]))


def _reference(top: Tensor) -> Tensor:
    """What logits are measured from: the largest, or 0 where all are -inf."""
    return torch.where(top == -math.inf, 0.0, top)


def _joined(told: Tensor, shard: Shard, targets: bool, mean: bool) -> tuple[tuple[Tensor, ...], Tensor, Tensor | None]:
    """From what all ranks told, [ranks, 4, N]: the statistic; by what the powers of this rank become probabilities;
    and 1 - p of the targets."""
    top, total, own, below = told.unbind(1)
    origin = _reference(top.amax(0))  # from which the following are measured
    others = (total * (top - origin).exp()).sum(0).log()
    if not targets:
        return (origin + others,), (top[shard.rank] - origin - others).exp(), None
    target = own.sum(0) - origin
    odds, lse = target - others, torch.logaddexp(target, others)
    found = [logsigmoid(odds)]
    if mean:
        below = below + below.new_tensor(shard.sizes).unsqueeze(1) * (_reference(top) - origin)
        found.append(below.sum(0) / shard.classes - lse)
    return tuple(found), (top[shard.rank] - origin - lse).exp(), odds.neg().sigmoid()


def _gradient(
    powers: Tensor, here: Tensor | None, factor: Tensor, rest: Tensor | None, grads: tuple[Tensor, ...], classes: int
) -> Tensor:
    """``a p + b onehot + c / C`` of the classes of this rank, in the place of the powers."""
    if here is None or rest is None:
        return powers.mul_((grads[0] * factor).unsqueeze(1))
    by_logp, by_mean = grads if len(grads) > 1 else (grads[0], torch.zeros_like(rest))
    spread = by_mean / classes
    powers.mul_(((-by_logp - by_mean) * factor).unsqueeze(1))
    if len(grads) > 1:
        powers.add_(spread.unsqueeze(1))
    spot = _spot(here, powers)
    at_target = (by_logp * rest - by_mean * (1 - rest) + spread).unsqueeze(1)
    return powers.scatter_(1, spot.at, torch.where(spot.owned, at_target, powers.gather(1, spot.at)))
