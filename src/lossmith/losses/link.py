"""From what a model puts out to log p of each label: the statistic of the likelihood family.

A link is declared, never guessed from the data. Over classes: "softmax" (logits), "log_prob", "prob", with the
classes along axis 1. Of one label against its absence, element by element: "sigmoid" (logits), "binary_prob".
"""

import math
import warnings
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from lossmith.arrays import of_torch, ops_of
from lossmith.flow.domain import Domain, Interval, may_look
from lossmith.flow.units import at_least_float32
from lossmith.kernels import eager, sharded
from lossmith.kernels.rows import Rows, fits, rows

Link = Literal["softmax", "sigmoid", "log_prob", "prob", "binary_prob"]
LINKS: tuple[str, ...] = get_args(Link)
BINARY = ("sigmoid", "binary_prob")
ENOUGH = 32  # numbers, which all lie in [0, 1] by chance no more
DOMAINS: dict[str, Domain | None] = {
    "softmax": None,  # any number, -inf included: a class that is ruled out
    "sigmoid": None,
    "log_prob": Interval(high=1e-3),  # a rounded log-softmax may end a little above 0
    "prob": Interval(0, 1),
    "binary_prob": Interval(0, 1),
}


def log_odds(z: Tensor, index: Tensor, axis: int) -> Tensor:
    """``z_y - logsumexp of the others`` for each row, y its `index`: log(p / (1 - p)) of the softmax.

    From it both tails of log p follow without cancellation, which log_softmax loses once p rounds to 1.
    """
    ops, (own, rest, _) = ops_of(z), _from_top(z, index, axis)
    return own - ops.log(ops.at_least(rest, ops.least_normal(z)))


def _from_top(z: Tensor, index: Tensor, axis: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of logits less the largest of their row the target's, the sum of the others' exponentials, and all of them.

    The target is picked out by a comparison, not by an index: a compiler then reads the logits no more often than for
    a softmax. It is looked up as well, because an index that no class has is an error there.
    """
    ops = ops_of(z)
    z = z - ops.at_least(ops.stop_gradient(ops.amax(z, axis, keepdims=True)), ops.least_finite(z))
    if _compiled(z):
        own, rest = _Apart.apply(z, index, axis)  # type: ignore[no-untyped-call]
        return own, rest, z
    own = ops.marks(index, z, axis)
    rest = ops.sum(ops.where(own, 0.0, ops.exp(z)), axis, keepdims=True)
    found = ops.take_along(ops.stop_gradient(z), index, axis)
    return ops.where(found == math.inf, found, ops.sum(ops.where(own, z, 0.0), axis, keepdims=True)), rest, z


def _compiled(z: Any) -> bool:
    """Whether torch's compiler sees these logits; inside it function transforms need plain operations."""
    return isinstance(z, Tensor) and torch.compiler.is_compiling() and not eager.transformed()


class _Apart(torch.autograd.Function):
    """Of each row of `z` the target's, and the sum of the others' exponentials: what is known of their slopes makes a
    shorter loop than the chain rule."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, index: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(z, index)
        ctx.axis = axis
        others = torch.where(of_torch.marks(index, z, axis), 0.0, z.exp())
        return z.gather(axis, index), others.sum(axis, keepdim=True)

    @staticmethod
    def backward(ctx: Any, by_own: Tensor, by_rest: Tensor) -> Any:
        z, index = ctx.saved_tensors
        return torch.where(of_torch.marks(index, z, ctx.axis), by_own, by_rest * z.exp()), None, None


class _Shown(torch.autograd.Function):
    """`z` as it is, and no gradient where it is not to `keep`, whatever came of what is there."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, keep: Tensor) -> Tensor:
        ctx.save_for_backward(keep)
        return z.view_as(z)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return torch.where(ctx.saved_tensors[0], grad, 0.0), None


def target_rows(
    z: Tensor,
    index: Tensor,
    axis: int,
    *,
    keep: Tensor | None = None,
    mean: bool = False,
    shard: sharded.Shard | None = None,
) -> Rows:
    """Of each row of logits log p of its class `index` and, if asked for, the mean log p over the classes.

    Rows that are not to `keep` have the statistic of equal logits, and no gradient. With a `shard` the logits are a
    table of this rank's classes.
    """
    if shard is not None:
        return sharded.rows(z, index, shard, keep=keep, mean=mean)

    def plainly(z: Tensor) -> Rows:
        ops, at = ops_of(z), ops_of(z).expand_dims(index, axis)
        own, rest, z = _from_top(_rows_visible(z, axis, keep), at, axis)
        own, rest = (ops.squeeze(x, axis) for x in (own, rest))
        mean_z = ops.sum(z, axis) / z.shape[axis] if mean else own
        if keep is not None:  # again, since under a compiler hidden logits stay
            own, mean_z = (ops.where(keep, x, 0.0) for x in (own, mean_z))
            rest = ops.where(keep, rest, z.shape[axis] - 1.0)
        logp = ops.logsigmoid(own - ops.log(ops.at_least(rest, ops.least_normal(z))))
        return Rows(logp, mean_z - ops.log(rest + ops.exp(own)) if mean else None)

    return rows(z, index, axis, plainly, keep=keep, mean=mean) if fits(z, index) else plainly(z)


def log_partition(z: Tensor, axis: int, *, keep: Tensor | None = None, shard: sharded.Shard | None = None) -> Tensor:
    """logsumexp of each row of logits; rows that are not to `keep` have that of equal ones, and no gradient."""

    def plainly(z: Tensor) -> Rows:
        ops = ops_of(z)
        lse = ops.logsumexp(_rows_visible(z, axis, keep), axis)
        return Rows(lse=lse if keep is None else ops.where(keep, lse, math.log(z.shape[axis])))

    if shard is not None:
        found = sharded.rows(z, None, shard, keep=keep)
    else:
        found = rows(z, None, axis, plainly, keep=keep) if fits(z) else plainly(z)
    assert found.lse is not None
    return found.lse


def visible(z: Tensor, keep: Tensor | None) -> Tensor:
    """Logits with equal ones where they are not to `keep`; under a compiler as they are, and with no gradient there.

    That is half the work, and asks of the caller that what comes of them is hidden in the end.
    """
    if keep is None:
        return z
    hidden: Tensor = _Shown.apply(z, keep) if _compiled(z) else ops_of(z).where(keep, z, 0.0)  # type: ignore[no-untyped-call]
    return hidden


def _rows_visible(z: Tensor, axis: int, keep: Tensor | None) -> Tensor:
    return visible(at_least_float32(z), None if keep is None else ops_of(z).expand_dims(keep, axis))


def safe_log(p: Tensor) -> Tensor:
    """log p; below 1e-30 it goes on along its tangent, so that p = 0 costs 70 and keeps a finite gradient."""
    ops = ops_of(p)
    near = ops.at_least(p, 1e-30)
    return ops.log(near) + (p - near) / near


def log_p_of(link: str, z: Tensor, index: Tensor, axis: int) -> Tensor:
    """log p of one class per row, [N, *]."""
    if link == "softmax":
        logp = target_rows(z, index, axis).logp
        assert logp is not None
        return logp
    ops = ops_of(z)
    own: Tensor = ops.squeeze(ops.take_along(z, ops.expand_dims(index, axis), axis), axis)
    return own if link == "log_prob" else safe_log(own)


def log_p_all(link: str, z: Tensor, axis: int) -> Tensor:
    """log p of every class, [N, C, *]; for the likeliest class by way of its log-odds, where log_softmax rounds."""
    if link == "log_prob":
        return z
    if link == "prob":
        return safe_log(z)
    ops = ops_of(z)
    top = ops.argmax(z, axis, keepdim=True)
    logp: Tensor = ops.put_along(ops.log_softmax(z, axis), top, ops.logsigmoid(log_odds(z, top, axis)), axis)
    return logp


def log_p_binary(link: str, z: Tensor, present: bool) -> Tensor:
    """log p of the label's presence, or of its absence, element by element."""
    ops = ops_of(z)
    if link == "sigmoid":
        return ops.logsigmoid(z if present else -z)
    if present:
        return safe_log(z)
    small = z < 0.5  # there 1 - z rounds; above it is exact
    near = ops.log1p(-ops.where(small, z, 0.0))
    return ops.where(small, near, safe_log(1 - ops.where(small, 0.5, z)))


def log_p_both(link: str, z: Tensor, shares: tuple[Tensor, Tensor] | None) -> list[tuple[Tensor, Any]]:
    """log p of a label's absence and of its presence, each with the functions that a formula of it is given.

    Of a label without a share in the target log p is 0, so that an infinite one is not multiplied by nothing.
    """
    ops, sides = ops_of(z), []
    if link == "sigmoid":
        found = ops.log_sigmoids(z)
    else:
        found = [(log_p_binary(link, z, present=side), None) for side in (False, True)]
    for k, (logp, rest) in enumerate(found):
        logp = logp if shares is None else ops.where(shares[k] > 0, logp, 0.0)
        sides.append((logp, ops.xp if rest is None else _Beside(ops.xp, logp, rest)))
    return sides


class _Beside:
    """The functions of an array library, beside a log p whose 1 - p is known already: it need not be taken from it."""

    def __init__(self, xp: Any, logp: Tensor, rest: Tensor) -> None:
        self._xp, self._logp, self._rest = xp, logp, rest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._xp, name)

    def expm1(self, x: Any) -> Any:
        return -self._rest if x is self._logp else self._xp.expm1(x)


def warn_of_probabilities(loss: Any, x: Tensor, axis: int | None, enough: int) -> None:
    """Warn where what a link calls logits looks like probabilities; look once, where there are `enough` numbers.

    Each family that has a link sets `loss._warn_of_probabilities` where the link is one of logits.
    """
    if not (loss._warn_of_probabilities and may_look(x) and x.numel() >= enough):
        return
    loss._warn_of_probabilities = False
    if _looks_like_probabilities(x, axis):
        other = "prob" if axis is not None else "binary_prob"
        warnings.warn(
            f'{type(loss).__name__}: link="{loss.link}" wants logits, and the input looks like probabilities; if that '
            f'is what it is, say link="{other}"',
            stacklevel=3,
        )


def _looks_like_probabilities(x: Tensor, axis: int | None) -> bool:
    """Whether scores that are said to be logits all lie in [0, 1], and over classes add up to 1."""
    least, most = torch.aminmax(x.detach())
    if not 0 <= least < most <= 1:  # all the same is an untrained model
        return False
    return axis is None or bool(((x.sum(axis) - 1).abs() < 1e-4).all())
