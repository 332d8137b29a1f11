"""The soft counts of pictures: tp, fp and fn of every sample and class; one pass for the sums, one for the gradient.

In eager mode on a CPU it works in blocks of samples, or of the pixels of one sample. The probabilities are written to
where the gradient will be, so that nothing else of the size of the logits is needed. Class indices become shares of the
classes block by block, in the cache.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lossmith.kernels import eager

LINKS = ("softmax", "sigmoid")
BLOCK = 2**18  # numbers in a block: 1 MiB of float32, of which a pass holds three
FAINT, VAST = 1e-3, 1e30  # sums of powers between which none is lost that its probability would show
Reference = Callable[[Tensor], tuple[Tensor, Tensor]]
Size = tuple[int, int]  # of a block: samples and pixels


def counts(
    z: Tensor,
    target: Tensor,
    link: str,
    reference: Reference,
    *,
    squared: bool = False,
    weight: Tensor | None = None,
    keep: Tensor | None = None,
    block: int = BLOCK,
) -> tuple[Tensor, Tensor]:
    """tp, fp and fn of every sample and class, [3, N, C], and the weight of the pixels that were seen, [N, C].

    With p the softmax of logits `z`, [N, C, *], or with `link` "sigmoid" that of each label, and t the share of the
    class in the `target` (class indices [N, *], or shares [N, C, *]), a pixel of weight v adds ``v p t``,
    ``v p (1 - t)`` and ``v (1 - p) t``; where counts are `squared` the last two are ``v (p - t)^2 (1 - t)`` and
    ``v (p - t)^2 t``. `weight` and `keep` are [N, *] or [N, C, *]; what is not to `keep` adds nothing, whatever its
    logits are. Gradients flow to the logits alone. `reference` computes the same by differentiable operations, for a
    backward pass that is itself differentiated. A block has at most `block` numbers, and at least one pixel.
    """

    whole = z.shape  # not z, which would stay as long as the graph does

    def again(view: Tensor) -> Tensor:
        return reference(view.reshape(whole))[0]

    def beside(x: Tensor) -> Tensor:
        return (x if x.dim() == z.dim() else x.unsqueeze(1)).flatten(2)

    v, shown = (None if x is None else beside(x) for x in (weight, keep))
    z3, t = z.flatten(2), beside(target)
    if link == "softmax" and not t.is_floating_point():  # the narrower, the quicker to read; hidden ones are no class
        narrow, none = (torch.uint8, 255) if z3.shape[1] < 256 else (torch.int32, -1)
        t = t.to(narrow) if shown is None else t.to(narrow).masked_fill(~shown, none)
    wanted = z.requires_grad and torch.is_grad_enabled()
    total = _Counts.apply(z3, t, v, shown, link, squared, block, wanted, again)  # type: ignore[no-untyped-call]
    if v is None and shown is None:
        return total, total.new_full(z3.shape[:2], z3.shape[2])
    seen = shown if v is None else v if shown is None else v * shown
    assert seen is not None
    return total, seen.sum(2, dtype=total.dtype).expand(z3.shape[:2])


class _Counts(torch.autograd.Function):
    """Of logits [N, C, P] the counts, [3, N, C]."""

    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        target: Tensor,
        weight: Tensor | None,
        keep: Tensor | None,
        link: str,
        squared: bool,
        block: int,
        wanted: bool,
        again: Callable[[Tensor], Tensor],
    ) -> Tensor:
        pictures = _Pictures(z, target, weight, keep, link, squared, _labels(z))
        waits = wanted and z.dtype == pictures.labels.dtype and eager.kept()
        ctx.p, ctx.size = eager.fresh(z) if waits else None, _size(z, block)
        ctx.link, ctx.squared, ctx.again = link, squared, again
        ctx.save_for_backward(z, target, weight, keep)
        return _sums(pictures, ctx.size, ctx.p)

    @staticmethod
    def backward(ctx: Any, grads: Tensor) -> Any:
        z, target, weight, keep = ctx.saved_tensors
        if not eager.once(grads):
            dz = eager.again(ctx.again, z, (grads,))
        else:
            p, ctx.p = ctx.p, None  # taken: a second backward computes it anew
            dz = _slopes(_Pictures(z, target, weight, keep, ctx.link, ctx.squared, _labels(z)), ctx.size, p, grads)
        return dz, *[None] * 8


class _Pictures(NamedTuple):
    """Logits [N, C, P], class indices [N, 1, P] or shares [N, C, P], weight and keep [N, 1, P] or [N, C, P]."""

    z: Tensor
    target: Tensor
    weight: Tensor | None
    keep: Tensor | None
    link: str
    squared: bool
    labels: Tensor  # the numbers of the classes, [C, 1], in the dtype of the computation

    def blocks(self, size: Size) -> Iterator["_Pictures"]:
        for z, target, weight, keep in zip(*(_cut(x, size) for x in self[:4]), strict=False):
            yield _Pictures(z, target, weight, keep, self.link, self.squared, self.labels)

    @property
    def indexed(self) -> bool:
        return self.link == "softmax" and not self.target.is_floating_point()

    def probability(self, out: Tensor | None = None) -> Tensor:
        """0 where hidden. The softmax makes no detour by the largest logit where the powers do without."""
        x = self.z.to(self.labels.dtype)
        if self.link == "sigmoid":
            return torch.sigmoid(x, out=out) if self.keep is None else self.visible(torch.sigmoid(x), out)
        powers = x.exp()
        total = powers.sum(1, keepdim=True)
        vast = float(total.sum())
        scale = total.reciprocal_()
        if vast < VAST and float(scale.sum()) < scale.numel() / FAINT:
            return torch.mul(powers, scale if self.keep is None else scale.mul_(self.keep), out=out)
        return self.visible(torch.softmax(self.visible(x), 1), out)

    def shares(self) -> Tensor:
        """The share of each class in the target, 0 where hidden; indices are compared as floats, which is quickest."""
        t = self.target.to(self.labels.dtype)
        if not self.indexed:
            return self.visible(t)
        return torch.eq(t, self.labels, out=t.new_empty((len(t), len(self.labels), t.shape[2])))

    def visible(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """`x` with 0 where it is hidden, whatever is there."""
        x = x if self.keep is None else _where_above(0.5, self.keep.to(x.dtype), x)
        return x if out is None else out.copy_(x)

    def counted(self, p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sums of p t, p and t; or, `squared`, of p t, (p - t)^2 and (p - t)^2 t; each [n, C]."""
        t, v = self.shares(), self.weight
        weighed = t if v is None else t * v
        if self.squared:
            miss = (p - t).square_()
            miss = miss if v is None else miss.mul_(v)
            return (p * weighed).sum(2), miss.sum(2), miss.mul_(t).sum(2)
        own, drawn = (p if v is None else p * v).sum(2), weighed.sum(2)
        return torch.mul(p, weighed, out=t if self.indexed else None).sum(2), own, drawn

    def slope(self, p: Tensor, start: Tensor, rise: Tensor, tp: Tensor) -> Tensor:
        """The gradient in p: ``start + rise t``, or `squared`, ``2 (p - t) (start + rise t) + tp t``."""
        t = self.shares()
        g = torch.mul(t, rise, out=t if self.indexed and not self.squared else None).add_(start)
        if self.squared:
            g = g.mul_(p - t).mul_(2).add_(t * tp)
        return g if self.weight is None else g.mul_(self.weight)

    def through(self, p: Tensor, g: Tensor, out: Tensor) -> None:
        """The gradient in the logits, of that in p: ``p (1 - p) g``, or ``p_k (g_k - sum_j p_j g_j)``.

        Where a p rounds to 1 that difference would be lost. Only differences of the g count, so that of the class
        above 1/2 is subtracted first.
        """
        if self.link == "sigmoid":
            torch.mul(g.mul_(p), self.visible(torch.sigmoid(-self.z.to(g.dtype))), out=out)
            return
        g.sub_(_where_above(0.5, p, g).sum(1, keepdim=True)).mul_(p)
        torch.addcmul(g, p, g.sum(1, keepdim=True), value=-1, out=out)


def _sums(pictures: _Pictures, size: Size, whole: Tensor | None) -> Tensor:
    """The counts; the probabilities are left in `whole`, where there is one."""
    samples, classes, pixels = pictures.z.shape
    shape = samples, max(-(-pixels // size[1]), 1), classes
    # in one tensor made before: a small one kept from each block would part the room that the next one wants whole
    counts, row = pictures.labels.new_empty((3, shape[0] * shape[1], classes), dtype=torch.float64), 0
    for block, out in zip(pictures.blocks(size), _cut(whole, size), strict=False):
        counts[:, row : row + len(block.z)] = torch.stack(block.counted(block.probability(out)))
        row += len(block.z)
    tp, one, two = counts.view(3, *shape).sum(2)
    total = torch.stack([tp, one - two, two] if pictures.squared else [tp, one - tp, two - tp])
    return total.clamp_(min=0.0).to(pictures.labels.dtype)  # rounding leaves no negative count


def _slopes(pictures: _Pictures, size: Size, p: Tensor | None, grads: Tensor) -> Tensor:
    """The gradient in the logits, in the place of the probabilities, if they are there."""
    tp, fp, fn = grads[..., None]
    steps = (x.expand(pictures.z.shape) for x in (fp, fn - fp if pictures.squared else tp - fp - fn, tp))
    whole = eager.fresh(pictures.z) if p is None else p
    cuts = (_cut(x, size) for x in (p, whole, *steps))
    for block, known, out, *step in zip(pictures.blocks(size), *cuts, strict=False):
        q = block.probability() if known is None else known
        block.through(q, block.slope(q, *step), out)
    return whole


def _size(z: Tensor, block: int) -> Size:
    """How large a block is; of several samples only if it has all their pixels."""
    _, classes, pixels = z.shape
    width = max(min(block // max(classes, 1), pixels), 1)
    return max(block // (max(classes, 1) * width), 1) if width >= pixels else 1, width


def _cut(x: Tensor | None, size: Size) -> Iterable[Any]:
    """The blocks, one after the other; without end where there is nothing."""
    return (
        repeat(None)
        if x is None
        else [part for rows in torch.split(x, size[0]) for part in torch.split(rows, size[1], 2)]
    )


def _labels(z: Tensor) -> Tensor:
    return torch.arange(z.shape[1], dtype=torch.promote_types(z.dtype, torch.float32))[:, None]


def _where_above(low: float, gate: Tensor, x: Tensor) -> Tensor:
    """`x` where the gate is above `low`, else 0, whatever x is there: torch.where, at a twentieth of its time."""
    chosen: Tensor = torch.ops.aten.threshold_backward(x, gate, low)
    return chosen
