"""Triton kernels for rows of logits on NVIDIA GPUs: the statistic in one pass forward, the gradient in one backward.

Forward reads each logit once. Every lane carries the running maximum of the classes *other* than the target, the sum
of their exponentials and, where the mean log p is wanted, the sum of their distances from that maximum; a few numbers
per row are written. Backward reads each logit once more and writes its gradient. That moves 3 times the logits' own
size: 6 bytes per logit in half precision, 12 in float32. All is computed in float32 (float64 in float64); the logits
are left alone, nothing is tuned at run time and nothing waits for the device.

A tile is [steps, lanes, width]. Where the classes of a row lie side by side and are many, a program has one row, and a
lane takes `width` neighbouring classes, 16 bytes, at each of its steps. Else the lanes are rows, such as pixels, whose
classes are the steps. So neighbours in memory are always read together.

Importing this module imports Triton, where there is one: import it when a CUDA tensor has arrived.
"""
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, disable-error-code="import-not-found"

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ImportError:  # there is none for macOS and Windows
    FOUND = False
else:
    FOUND = True

FEW = 256  # classes up to which the lanes are rows, even where the classes of a row lie side by side
STEPS = 4  # of a program that has one row: loads of 16 bytes that a thread has in flight
THREADS = 256  # of such a program at most


class Saved(NamedTuple):
    """What forward knows of each row, [N, S], and backward wants back; None where it was not asked for.

    ``lse = top + log_sum``; they are kept apart, since z - top - log_sum has the digits that z - lse loses when logits
    are large.
    """

    logp: Tensor | None
    rest: Tensor | None  # 1 - p of the target
    mean_logp: Tensor | None
    lse: Tensor
    top: Tensor
    log_sum: Tensor


def available() -> bool:
    """Whether Triton is installed.

    >>> available() in (True, False)
    True
    """
    return FOUND


def forward(z: Tensor, index: Tensor | None, keep: Tensor | None, mean: bool) -> Saved:
    """The statistic of logits `z`, [N, C, S] of any strides: log p and 1 - p of the targets `index`, [N, S] of int64,
    the mean log p where `mean` says so, and logsumexp always; each [N, S], in at least float32.

    Rows that are not to `keep`, [N, S] of bool, have the statistic of equal logits, whatever lies there. A target
    outside [0, C) has log p = -inf, as one has whose logit is -inf.
    """
    like = z.new_empty(z.shape[0], z.shape[2], dtype=torch.promote_types(z.dtype, torch.float32))
    wanted = (index is not None, index is not None, mean, True, True, True)
    saved = Saved(*(torch.empty_like(like) if some else None for some in wanted))  # type: ignore[arg-type]
    grid, numbers, tile = _deal(z)
    with torch.cuda.device_of(z):
        _forward[grid](z, *_dense(index, keep), *saved, *numbers, **tile)
    return saved


def backward(
    z: Tensor,
    index: Tensor | None,
    keep: Tensor | None,
    saved: Saved,
    g_logp: Tensor | None,
    g_mean: Tensor | None,
    g_lse: Tensor | None,
) -> Tensor:
    """The gradient by `z`, of its shape and dtype, from those by log p, mean log p and logsumexp, [N, S] or None.

    ``(g_lse - g_logp - g_mean) p_j + g_mean / C``, and of the target ``g_logp (1 - p) + (g_lse - g_mean) p +
    g_mean / C``, joined before it is rounded to the dtype of `z`; 0 in rows that are not to `keep`.
    """
    dz = torch.empty_like(z)
    grid, numbers, tile = _deal(z, dz)
    vectors = _dense(index, keep, saved.logp, saved.rest, saved.top, saved.log_sum, g_logp, g_mean, g_lse)
    with torch.cuda.device_of(z):
        _backward[grid](z, dz, *vectors, *numbers, **tile)
    return dz


def _dense(*vectors: Tensor | None) -> list[Tensor | None]:
    return [None if x is None else x.contiguous() for x in vectors]


def _deal(*tensors: Tensor) -> tuple[tuple[int], list[int], dict[str, Any]]:
    """How tensors [N, C, S], of which the first is read, are dealt out: the number of programs; classes, rows in a
    group, and of each tensor the strides of groups, classes and rows; the tile.

    N and S are one axis of rows where all strides allow it, and else groups and rows.
    """
    z = tensors[0]
    samples, classes, sites = z.shape
    merged = all(1 in (samples, sites) or x.stride(0) == sites * x.stride(2) for x in tensors)
    groups, rows = (1, samples * sites) if merged else (samples, sites)
    strides = [(0, x.stride(1), x.stride(0 if sites == 1 else 2)) if merged else x.stride() for x in tensors]
    beside = strides[0][1] < strides[0][2]  # the classes of a row are nearer than the rows
    by_row, steps, width = beside and classes > FEW, _power(classes), 1
    if by_row:
        steps, width = STEPS, 16 // z.element_size()
        lanes = min(max(_power(-(-classes // (steps * width))), 32), THREADS)
    elif beside:
        lanes = 1024 // steps
    else:  # enough for whole lines of memory, and few enough that every multiprocessor has work
        lanes = min(max(_power(groups * rows // 512), 64), 2048 // z.element_size(), _power(rows))
        steps = min(steps, 4096 // lanes)
    programs = groups * (rows if by_row else -(-rows // lanes))
    warps = lanes // 32 if by_row else min(max(lanes * steps // 256, 1), 4)
    tile = {"by_row": by_row, "steps": steps, "lanes": lanes, "width": width}
    numbers = [classes, rows, *(n for of_tensor in strides for n in of_tensor)]
    return (programs,), numbers, {**tile, "num_warps": warps, "enable_fp_fusion": True}


def _power(n: int) -> int:
    """The least power of 2 that is no less than n."""
    return 1 << max(n - 1, 0).bit_length()


def jit(kernel: Any) -> Any:
    return triton.jit(kernel) if FOUND else kernel


@jit
def _place(rows, by_row: tl.constexpr, steps: tl.constexpr, lanes: tl.constexpr, width: tl.constexpr):
    """Of this program: the group, its row or rows in it, and the classes of its first tile, from 0 on."""
    program = tl.program_id(0)
    lane = tl.arange(0, lanes)
    step = tl.arange(0, steps)[:, None, None]
    if by_row:
        c = (step * lanes + lane[None, :, None]) * width + tl.arange(0, width)[None, None, :]
        return (program // rows).to(tl.int64), program % rows, c
    else:  # an else, because Triton compiles what follows a return, and the types differ
        blocks = tl.cdiv(rows, lanes)
        return (program // blocks).to(tl.int64), program % blocks * lanes + lane, step


@jit
def _targets(index, keep, at, inside, classes):
    """The target of each row, -1 where there is none, and whether the row is to be looked at."""
    shown = inside
    if keep is not None:
        shown = shown & tl.load(keep + at, mask=inside, other=0).to(tl.int1)
    y = tl.where(shown, -1, -1)
    if index is not None:
        y = tl.load(index + at, mask=shown, other=-1)
        y = tl.where((y >= 0) & (y < classes), y, -1).to(tl.int32)
    return y, shown


@jit
def _along(x, by_row: tl.constexpr):
    """A number per row, shaped to meet a tile."""
    return x if by_row else x[None, :, None]


@jit
def _bounds(classes, inside, shown, by_row: tl.constexpr):
    """How many classes are to be looked at, 0 or all: in the program, in each row, and what is read for that.

    Hidden rows among others are read and dropped: with a mask of single rows no two are read together.
    """
    seen = tl.where(shown, classes, 0)
    if by_row:
        return seen, seen, seen
    else:
        some = tl.max(seen, 0)
        return some, _along(seen, by_row), _along(tl.where(inside, some, 0), by_row)


@jit
def _plain(first, classes, y, shown, by_row: tl.constexpr, span: tl.constexpr):
    """Whether a tile needs no mask: all its classes exist, and the target is not among them."""
    if by_row:
        return shown & (first + span <= classes) & ((y < first) | (y >= first + span))
    else:
        return False


@jit
def _absorb(top, total, below, count, x, whole: tl.constexpr, mean: tl.constexpr):
    """A tile of logits taken into the running numbers of each lane; what a tile lacks that is not `whole` is -inf."""
    higher = tl.maximum(top, tl.max(tl.max(x, 2), 0))
    x = x - higher[None, :, None]
    total = total * tl.exp(top - higher) + tl.sum(tl.sum(tl.exp(x), 2), 0)
    if mean:
        below += tl.where(count > 0, count * (top - higher), 0.0)
        if whole:
            below += tl.sum(tl.sum(x, 2), 0)
            count += x.shape[0] * x.shape[2]
        else:
            there = x > -float("inf")
            below += tl.sum(tl.sum(tl.where(there, x, 0.0), 2), 0)
            count += tl.sum(tl.sum(there.to(tl.int32), 2), 0)
    return higher, total, below, count


@jit
def _log1p(x):
    """Of x in [0, 1]; it keeps its digits near 0."""
    near = 1 + x
    return tl.where(near == 1, x, tl.log(near) * (x / tl.where(near == 1, 1.0, near - 1)))


@jit
def _log(x):
    """Of a sum that is 1 or more, or 0 where it has no terms: that has 0, too. Not by maximum, which drops a NaN."""
    return tl.log(tl.where(x < 1, 1.0, x))


@jit
def _store(pointer, value, hidden, shown, inside):
    tl.store(pointer, tl.where(shown, value, hidden), mask=inside)


@jit
def _others(
    z, y, inside, shown, c, classes, z_class, real: tl.constexpr, mean: tl.constexpr, by_row: tl.constexpr,
    lanes: tl.constexpr, span: tl.constexpr,
):  # fmt: skip
    """Of the classes other than the target: the maximum, the sum of exp(z - maximum), that of z - maximum where `mean`
    says so, and the number of classes with a finite logit, as far as that sum needs it."""
    top = tl.full([lanes], -3.4028234663852886e38, real)  # finite, so that -inf - top is no NaN
    total, below = tl.zeros([lanes], real), tl.zeros([lanes], real)
    count = tl.zeros([lanes], tl.int32)
    z, y_tile = _along(z, by_row), _along(y, by_row)
    some, seen, read = _bounds(classes, inside, shown, by_row)
    for first in range(0, some, span):
        source = z + (first + c).to(tl.int64) * z_class
        if _plain(first, classes, y, shown, by_row, span):
            x = tl.load(source).to(real)
            top, total, below, count = _absorb(top, total, below, count, x, True, mean)
        else:
            x = tl.load(source, mask=first + c < read, other=-float("inf")).to(real)
            x = tl.where((first + c < seen) & (first + c != y_tile), x, -float("inf"))
            top, total, below, count = _absorb(top, total, below, count, x, False, mean)
    if by_row:
        lane_top, top = top, tl.max(top, 0)
        total = tl.sum(total * tl.exp(lane_top - top), 0)
        below = tl.sum(below + tl.where(count > 0, count * (lane_top - top), 0.0), 0)
        count = tl.sum(count, 0)
    return top, total, below, count


@jit
def _forward(
    z, index, keep, logp, rest, mean_logp, lse, top, log_sum, classes, rows, z_group, z_class, z_row,
    by_row: tl.constexpr, steps: tl.constexpr, lanes: tl.constexpr, width: tl.constexpr,
):  # fmt: skip
    group, row, c = _place(rows, by_row, steps, lanes, width)
    at, inside = group * rows + row, row < rows
    y, shown = _targets(index, keep, at, inside, classes)
    z += group * z_group + row.to(tl.int64) * z_row
    real: tl.constexpr = lse.dtype.element_ty
    span: tl.constexpr = steps * lanes * width if by_row else steps
    mean: tl.constexpr = mean_logp is not None
    z_y = tl.load(z + y.to(tl.int64) * z_class, mask=y >= 0, other=-float("inf")).to(real)
    o_top, o_sum, below, count = _others(z, y, inside, shown, c, classes, z_class, real, mean, by_row, lanes, span)

    highest = tl.maximum(o_top, z_y)
    log_total = _log(o_sum * tl.exp(o_top - highest) + tl.exp(z_y - highest))
    size = tl.zeros_like(z_y) + classes
    _store(top + at, highest, 0.0, shown, inside)
    _store(log_sum + at, log_total, tl.log(size), shown, inside)
    _store(lse + at, highest + log_total, tl.log(size), shown, inside)
    if logp is not None:
        log_odds = z_y - o_top - _log(o_sum)
        e = tl.exp(-tl.abs(log_odds))
        _store(logp + at, tl.minimum(log_odds, 0.0) - _log1p(e), -tl.log(size), shown, inside)
        _store(rest + at, tl.where(log_odds > 0, e, 1.0) / (1 + e), 1 - 1 / size, shown, inside)
    if mean:
        below += tl.where(count > 0, count * (o_top - highest), 0.0)
        if index is not None:
            below += z_y - highest
            count += (y >= 0).to(tl.int32)
        below = tl.where(count == classes, below, -float("inf"))  # there are classes that are ruled out
        _store(mean_logp + at, below / size - log_total, -tl.log(size), shown, inside)


@jit
def _slopes(index, logp, rest, log_sum, g_logp, g_mean, g_lse, at, shown, like, classes):
    """What a row's gradient is made of: ``slope exp(z - top) + spread`` off the target, and `at_target`."""
    slope = tl.zeros_like(like)  # of p, at first
    spread, at_target = slope, slope
    if g_lse is not None:
        slope += tl.load(g_lse + at, mask=shown, other=0.0)
    if g_mean is not None:
        g = tl.load(g_mean + at, mask=shown, other=0.0)
        slope, spread = slope - g, g / classes
    if index is not None:
        at_target = slope * tl.exp(tl.load(logp + at, mask=shown, other=0.0)) + spread
    if g_logp is not None:
        g = tl.load(g_logp + at, mask=shown, other=0.0)
        slope, at_target = slope - g, at_target + g * tl.load(rest + at, mask=shown, other=0.0)
    return slope * tl.exp(-tl.load(log_sum + at, mask=shown, other=0.0)), spread, at_target


@jit
def _backward(
    z, dz, index, keep, logp, rest, top, log_sum, g_logp, g_mean, g_lse, classes, rows,
    z_group, z_class, z_row, dz_group, dz_class, dz_row,
    by_row: tl.constexpr, steps: tl.constexpr, lanes: tl.constexpr, width: tl.constexpr,
):  # fmt: skip
    group, row, c = _place(rows, by_row, steps, lanes, width)
    at, inside = group * rows + row, row < rows
    y, shown = _targets(index, keep, at, inside, classes)
    z = _along(z + group * z_group + row.to(tl.int64) * z_row, by_row)
    dz = _along(dz + group * dz_group + row.to(tl.int64) * dz_row, by_row)
    span: tl.constexpr = steps * lanes * width if by_row else steps

    highest = tl.load(top + at, mask=shown, other=0.0)
    slope, spread, at_target = _slopes(index, logp, rest, log_sum, g_logp, g_mean, g_lse, at, shown, highest, classes)
    highest, slope, spread = _along(highest, by_row), _along(slope, by_row), _along(spread, by_row)
    at_target, y_tile = _along(at_target, by_row), _along(y, by_row)
    _some, seen, read = _bounds(classes, inside, shown, by_row)
    exist = _along(tl.where(inside, classes, 0), by_row)
    for first in range(0, classes, span):
        source = z + (first + c).to(tl.int64) * z_class
        drain = dz + (first + c).to(tl.int64) * dz_class
        if _plain(first, classes, y, shown, by_row, span):
            x = tl.load(source).to(highest.dtype)
            tl.store(drain, slope * tl.exp(x - highest) + spread)
        else:
            x = tl.load(source, mask=first + c < read, other=-float("inf")).to(highest.dtype)
            if not by_row:
                x = tl.where(first + c < seen, x, -float("inf"))
            value = tl.where(first + c == y_tile, at_target, slope * tl.exp(x - highest) + spread)
            tl.store(drain, value, mask=first + c < exist)
