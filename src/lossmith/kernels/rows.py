"""The statistic of rows of logits: log p of the target, the mean log p, logsumexp; one pass forward, one backward.

In eager mode on a CPU it works in blocks of rows. Each block's softmax is written to where its gradient will be, which
is ``a p + b onehot + c / C`` with three numbers per row, so that nothing of the size of the logits is needed beyond
them and their gradient, and the logits are left alone. On NVIDIA GPUs Triton's kernels do the same.

What log p loses to rounding as p goes to 1 is kept by ``rest = 1 - p``, summed over the other classes.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lossmith.kernels import eager

BLOCK = 2**21  # numbers in a block: 8 MiB of float32, which stay in cache and keep the threads busy
FAINT = 1e-30  # below it a float32 probability runs out of digits


class Rows(NamedTuple):
    """What there is to know of each row, [N] or [N, *]; None where it was not asked for."""

    logp: Tensor | None = None
    mean_logp: Tensor | None = None
    lse: Tensor | None = None


Reference = Callable[[Tensor], Rows]
Again = Callable[[Tensor], list[Tensor]]


def rows(
    z: Tensor, index: Tensor | None, axis: int, reference: Reference, *, keep: Tensor | None = None, mean: bool = False
) -> Rows:
    """The statistic of logits `z`, [N, C, *] with the classes along `axis`: of the targets `index`, [N, *], log p and,
    where `mean` says so, the mean log p; without targets logsumexp.

    Rows that are not to `keep`, [N, *], are not looked at: they have the statistic of equal logits, and no gradient;
    their index is any class.
    `reference` computes the same by differentiable operations, for a backward pass that is itself differentiated.
    """
    whole, shape = z.shape, z.shape[:axis] + z.shape[axis + 1 :]
    table = z.dim() == axis + 1  # else there are sites behind the classes
    flat = (math.prod(shape),) if table else (len(z), math.prod(shape[1:]))

    def again(view: Tensor) -> list[Tensor]:
        return [x.reshape(flat) for x in reference(view.reshape(whole)) if x is not None]

    given = (index, keep) if z.dim() == 2 else (None if x is None else x.reshape(flat) for x in (index, keep))
    found = (_InBlocks if z.device.type == "cpu" else _OnDevice).apply(  # type: ignore[no-untyped-call]
        z if z.dim() == 2 else z.reshape(flat[0], z.shape[axis], *flat[1:]),
        *given,
        mean,
        z.requires_grad and torch.is_grad_enabled(),
        again,
    )
    found = found if z.dim() == 2 else [x.reshape(shape) for x in found]
    return Rows(lse=found[0]) if index is None else Rows(*found)


def fits(z: Any, *beside: Any) -> bool:
    """Whether there is a kernel for these tensors, in this mode."""
    if not isinstance(z, Tensor) or not eager.fits(z, *beside, device=z.device.type):
        return False
    return z.device.type == "cpu" or (z.device.type == "cuda" and _triton().available())


def _triton() -> Any:
    from lossmith.kernels import rows_triton  # imports Triton, for which there is a reason on a GPU alone

    return rows_triton


class _OnDevice(torch.autograd.Function):
    """Of logits [N, C] or [N, C, S] what is wanted of each row, [N] or [N, S], by Triton's kernels."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, index: Tensor | None, keep: Tensor | None, mean: bool, wanted: bool, again: Again
    ) -> tuple[Tensor, ...]:
        ctx.again, ctx.mean = again, mean
        saved = _triton().forward(*(_with_sites(x, z) for x in (z, index, keep)), mean)
        ctx.save_for_backward(z, index, keep, *saved)
        found = (saved.lse,) if index is None else (saved.logp, saved.mean_logp) if mean else (saved.logp,)
        return tuple(x.reshape(z[:, 0].shape) for x in found)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        z, index, keep, *saved = ctx.saved_tensors
        if not eager.once(*grads):
            return eager.again(ctx.again, z, grads), None, None, None, None, None
        by = (None, None, *grads) if index is None else (*grads, None) if ctx.mean else (*grads, None, None)
        kernels, (cube, *beside) = _triton(), (_with_sites(x, z) for x in (z, index, keep))
        dz = kernels.backward(cube, *beside, kernels.Saved(*saved), *(_with_sites(g, z) for g in by))
        return dz.reshape(z.shape), None, None, None, None, None


def _with_sites(x: Tensor | None, z: Tensor) -> Tensor | None:
    """Logits [N, C, S], or numbers per row [N, S], of those of a table `z` too."""
    return x if x is None or z.dim() == 3 else x.unsqueeze(-1)


class _InBlocks(torch.autograd.Function):
    """Of logits [N, C] or [N, C, S] what is wanted of each row, [N] or [N, S], block by block."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, index: Tensor | None, keep: Tensor | None, mean: bool, wanted: bool, again: Again
    ) -> tuple[Tensor, ...]:
        waits = wanted and z.dtype in (torch.float32, torch.float64) and eager.kept()
        ctx.places = list(_places(z, keep))
        ctx.p, found = _forward(z, index, keep, mean, waits, ctx.places)
        ctx.again, ctx.mean = again, mean
        *statistic, rest = found
        ctx.save_for_backward(z, index, keep, rest)
        return tuple(statistic)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        z, index, keep, rest = ctx.saved_tensors
        if not eager.once(*grads):
            return eager.again(ctx.again, z, grads), None, None, None, None, None
        p, ctx.p = ctx.p, None  # taken: a second backward computes it anew
        if keep is not None:
            grads = tuple(torch.where(keep, g, 0.0) for g in grads)
        return _backward(z, index, keep, rest, p, grads, ctx.places), None, None, None, None, None


def _forward(
    z: Tensor, index: Tensor | None, keep: Tensor | None, mean: bool, waits: bool, places: Sequence[Any]
) -> tuple[Tensor | None, list[Tensor]]:
    """The softmax, with 0 at the targets, if it `waits` for the gradients, and ``[logp, (mean_logp,) rest]`` or
    ``[lse, rest]``."""
    if len(places) == 1 and keep is None:
        p = _softmax(z, None, ...)
        statistic = _statistic(z, p, None if index is None else index.unsqueeze(1), mean)
        return p if waits else None, statistic
    classes = z.shape[1]
    like = z[:, 0].to(torch.promote_types(z.dtype, torch.float32))
    equal = [math.log(classes)] if index is None else [-math.log(classes)] * (1 + mean)  # the statistic of equal logits
    found = [torch.full_like(like, value) for value in [*equal, 1 - 1 / classes]]
    whole = _empty(z, keep) if waits else None
    for at in places:
        x = _visible(z, keep, at)
        p = _softmax(x, whole, at)
        statistic = _statistic(x, p, None if index is None else index[at].unsqueeze(1), mean)
        for vector, values in zip(found, statistic, strict=True):
            _put(vector, at, values)
        if whole is not None:
            _put(whole, at, p)
    return whole, found


def _statistic(x: Tensor, p: Tensor, index: Tensor | None, mean: bool) -> list[Tensor]:
    """Of a block of logits and their softmax, which is left with 0 at the targets."""
    if index is None:
        lse = x.amax(1).to(p) - p.amax(1).log()
        return [lse, torch.zeros_like(lse)]
    own = p.gather(1, index).squeeze(1)
    faint = own.numel() > 0 and not float(own.detach().amin()) >= FAINT  # a NaN hides the least of the other rows
    top, peak = (x.amax(1, keepdim=True).to(p), p.amax(1)) if mean or faint else (None, None)
    p.scatter_(1, index, 0.0)
    rest = p.sum(1)
    logp = torch.where(rest < 0.5, (-rest).log1p(), own.log())
    if top is None or peak is None:
        return [logp, rest]
    if faint:
        logp = torch.where(own < FAINT, (x.gather(1, index).to(p) - top).squeeze(1) + peak.log(), logp)
    return [logp, (x.to(p) - top).mean(1) + peak.log(), rest] if mean else [logp, rest]


def _backward(
    z: Tensor,
    index: Tensor | None,
    keep: Tensor | None,
    rest: Tensor,
    p: Tensor | None,
    grads: tuple[Tensor, ...],
    places: Sequence[Any],
) -> Tensor:
    """``a p + b onehot + c / C``, joined in at least float32 and rounded once."""
    if index is None:
        a, spread, at_target = grads[0], None, None
    elif len(grads) == 1:
        a, spread, at_target = -grads[0], None, grads[0] * rest
    else:
        spread = grads[1] / z.shape[1]
        a, at_target = -grads[0] - grads[1], grads[0] * rest - grads[1] * (1 - rest) + spread
    whole = _empty(z, keep) if p is None else p
    for at in places if p is None else _places(z, None):  # 0 times what is hidden is quicker than to leap over it
        block = whole[at] if p is not None else _softmax(_visible(z, keep, at), whole, at)
        block.mul_(a[at].unsqueeze(1))
        if spread is not None:
            block.add_(spread[at].unsqueeze(1))
        if index is not None and at_target is not None:
            block.scatter_(1, index[at].unsqueeze(1), at_target[at].unsqueeze(1))
        if p is None:
            _put(whole, at, block)
    return whole


def _places(z: Tensor, keep: Tensor | None) -> Iterator[Any]:
    """The blocks, as indices of logits and of numbers per row alike; of a table they hold the rows to keep alone.

    Rows that follow each other are a view; others are gathered, which costs little where they then stay in cache.
    """
    count, classes, sites = (*z.shape, 1)[:3]
    height = max(BLOCK // max(classes * sites, 1), 1)
    if z.dim() == 2:
        shown = None if keep is None or bool(keep.all()) else keep.nonzero()[:, 0]
        for start in range(0, count if shown is None else len(shown), height):
            at = None if shown is None else shown[start : start + height]
            first, last = (start, min(start + height, count) - 1) if at is None else (int(at[0]), int(at[-1]))
            yield slice(first, last + 1) if at is None or last - first == len(at) - 1 else at
        return
    width = max(min(BLOCK // classes, sites), 1)
    for row in range(0, count, height):
        for site in range(0, sites, width):
            yield slice(row, row + height), ..., slice(site, site + width)


def _put(x: Tensor, at: Any, block: Tensor) -> None:
    if isinstance(at, Tensor):
        x.index_copy_(0, at, block.to(x.dtype))
    elif x[at].data_ptr() != block.data_ptr():
        x[at] = block


def _at(x: Tensor, at: Any) -> Tensor:
    return x.index_select(0, at) if isinstance(at, Tensor) else x[at]


def _visible(z: Tensor, keep: Tensor | None, at: Any) -> Tensor:
    """A block of logits, with equal ones where they are hidden."""
    if keep is None or z.dim() == 2 or bool(keep[at].all()):
        return _at(z, at)
    return torch.where(keep[at].unsqueeze(1), z[at], 0.0)


def _softmax(x: Tensor, whole: Tensor | None, at: Any) -> Tensor:
    """The softmax of a block in at least float32, in its place of the `whole` where that is possible."""
    wide = torch.promote_types(x.dtype, torch.float32)
    if whole is None or isinstance(at, Tensor) or whole.dtype != wide or not whole[at].is_contiguous():
        return torch.softmax(x, 1, dtype=wide)
    return torch.softmax(x, 1, out=whole[at])


def _empty(z: Tensor, keep: Tensor | None) -> Tensor:
    """A tensor for the gradient, with 0 in the rows of a table that no block holds."""
    x = eager.fresh(z)
    if keep is not None and z.dim() == 2:
        x.index_fill_(0, (~keep).nonzero()[:, 0], 0)
    return x
