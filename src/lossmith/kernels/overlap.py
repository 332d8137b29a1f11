"""The soft counts of pictures: tp, fp and fn of every sample and class; one pass for the sums, one for the gradient.

In eager mode on a CPU it works in blocks of samples, or of the pixels of one sample. The probabilities are written to
where the gradient will be, so that nothing else of the size of the logits is needed. Class indices become shares of the
classes block by block, in the cache.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lossmith.kernels import eager

LINKS = ("softmax", "sigmoid")
BLOCK = 2**17  # numbers in a block: half a MiB of float32, of which a pass holds three
FAINT, VAST = 1e-3, 1e30  # sums of powers between which none is lost that its probability would show
At = tuple[slice, slice, slice]  # a block: some samples, all classes, some pixels
Reference = Callable[[Tensor], tuple[Tensor, Tensor]]


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

    def again(view: Tensor) -> Tensor:
        return reference(view.reshape(z.shape))[0]

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
        pictures = _Pictures(z, target, weight, keep, link, squared, block)
        waits = wanted and z.dtype == pictures.wide
        ctx.p = eager.fresh(z) if waits else None
        ctx.options, ctx.again = (link, squared, block), again
        ctx.save_for_backward(z, target, weight, keep)
        return pictures.sums(ctx.p)

    @staticmethod
    def backward(ctx: Any, grads: Tensor) -> Any:
        z, target, weight, keep = ctx.saved_tensors
        if not eager.once(grads):
            dz = eager.again(ctx.again, z, (grads,))
        else:
            p, ctx.p = ctx.p, None  # taken: a second backward computes it anew
            dz = _Pictures(z, target, weight, keep, *ctx.options).slopes(p, grads)
        return dz, *[None] * 8


@dataclass(frozen=True)
class _Pictures:
    """Logits [N, C, P], class indices [N, 1, P] or shares [N, C, P], weight and keep [N, 1, P] or [N, C, P]."""

    z: Tensor
    target: Tensor
    weight: Tensor | None
    keep: Tensor | None
    link: str
    squared: bool
    block: int

    @property
    def wide(self) -> torch.dtype:
        return torch.promote_types(self.z.dtype, torch.float32)

    @property
    def indices(self) -> bool:
        return self.link == "softmax" and not self.target.is_floating_point()

    def sums(self, whole: Tensor | None) -> Tensor:
        """The counts; the probabilities are left in `whole`, where there is one."""
        samples, classes, pixels = self.z.shape
        parts = [self.z.new_empty((3, 0, classes), dtype=self.wide)]
        for at in self._blocks():
            p = self._probability(at, None if whole is None else whole[at])
            parts.append(self._counted(p, self._shares(at), self._weight(at)))
        slices = -(-pixels // self._size()[1])
        total = torch.cat(parts, 1).view(3, samples, slices, classes).sum(2, dtype=torch.float64)
        return total.clamp(min=0.0).to(self.wide)  # rounding leaves no negative count

    def slopes(self, whole: Tensor | None, grads: Tensor) -> Tensor:
        """The gradient in the logits, in the place of the probabilities, if they are there."""
        known, whole = whole is not None, eager.fresh(self.z) if whole is None else whole
        for at in self._blocks():
            p = whole[at] if known else self._probability(at)
            g = self._in_p(p, self._shares(at), self._weight(at), grads[:, at[0], :, None])
            self._in_z(at, p, g, whole[at])
        return whole

    def _size(self) -> tuple[int, int]:
        """How many samples and pixels there are in a block; several samples only with all their pixels."""
        _, classes, pixels = self.z.shape
        width = max(min(self.block // max(classes, 1), pixels), 1)
        return max(self.block // (max(classes, 1) * width), 1) if width >= pixels else 1, width

    def _blocks(self) -> Iterator[At]:
        height, width = self._size()
        for sample in range(0, len(self.z), height):
            for pixel in range(0, self.z.shape[2], width):
                yield slice(sample, sample + height), slice(None), slice(pixel, pixel + width)

    def _probability(self, at: At, out: Tensor | None = None) -> Tensor:
        """The probabilities of a block, 0 where hidden; the softmax without a detour by the largest logit if it can."""
        x = self.z[at].to(self.wide)
        if self.link == "sigmoid":
            return torch.sigmoid(x, out=out) if self.keep is None else self._visible(at, torch.sigmoid(x), out)
        powers = x.exp()
        total = powers.sum(1, keepdim=True)
        vast = float(total.sum())
        scale = total.reciprocal_()
        if vast < VAST and float(scale.sum()) < scale.numel() / FAINT:
            return torch.mul(powers, scale if self.keep is None else scale.mul_(self.keep[at]), out=out)
        return self._visible(at, torch.softmax(self._visible(at, x), 1), out)

    def _shares(self, at: At) -> Tensor:
        """The share of each class in the target, 0 where hidden; indices are compared as floats, which is quickest."""
        t = self.target[at]
        if not self.indices:
            return self._visible(at, t.to(self.wide))
        classes = torch.arange(self.z.shape[1], dtype=self.wide)[:, None]
        return torch.eq(t.to(self.wide), classes, out=classes.new_empty((len(t), len(classes), t.shape[2])))

    def _visible(self, at: At, x: Tensor, out: Tensor | None = None) -> Tensor:
        """A block with 0 where it is hidden, whatever is there."""
        x = x if self.keep is None else _where_above(0.5, self.keep[at].to(self.wide), x)
        return x if out is None else out.copy_(x)

    def _weight(self, at: At) -> Tensor | None:
        return None if self.weight is None else self.weight[at].to(self.wide)

    def _counted(self, p: Tensor, t: Tensor, v: Tensor | None) -> Tensor:
        """The counts of a block, [3, n, C]."""
        weighed = t if v is None else t * v
        if self.squared:
            miss = (p - t).square_()
            miss = miss if v is None else miss.mul_(v)
            missed = (miss * t).sum(2)
            return torch.stack([(p * weighed).sum(2), miss.sum(2) - missed, missed])
        own, drawn = (p if v is None else p * v).sum(2), weighed.sum(2)
        found = torch.mul(p, weighed, out=t if self.indices else None).sum(2)
        return torch.stack([found, own - found, drawn - found])

    def _in_p(self, p: Tensor, t: Tensor, v: Tensor | None, grads: Tensor) -> Tensor:
        """The gradient in the probabilities, given those in tp, fp and fn, each [n, C, 1]."""
        tp, fp, fn = grads.unbind(0)
        if self.squared:
            g = (t * (fn - fp)).add_(fp).mul_(p - t).mul_(2).add_(t * tp)
        else:
            g = torch.mul(t, tp - fp - fn, out=t if self.indices else None).add_(fp)
        return g if v is None else g.mul_(v)

    def _in_z(self, at: At, p: Tensor, g: Tensor, out: Tensor) -> None:
        """The gradient in the logits: ``p (1 - p) g``, or ``p_k (g_k - sum_j p_j g_j)``.

        Where a p rounds to 1 that difference would be lost. Only differences of the g count, so that of the class
        above 1/2 is subtracted first.
        """
        if self.link == "sigmoid":
            rest = torch.sigmoid(-self.z[at].to(self.wide))
            torch.mul(g.mul_(p), self._visible(at, rest), out=out)
            return
        g.sub_(_where_above(0.5, p, g).sum(1, keepdim=True)).mul_(p)
        torch.addcmul(g, p, g.sum(1, keepdim=True), value=-1, out=out)


def _where_above(low: float, gate: Tensor, x: Tensor) -> Tensor:
    """`x` where the gate is above `low`, else 0, whatever x is there: torch.where, at a twentieth of its time."""
    chosen: Tensor = torch.ops.aten.threshold_backward(x, gate, low)
    return chosen
