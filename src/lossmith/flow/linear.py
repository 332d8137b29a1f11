"""Losses of what a last layer would put out, whose logits are never built: ``loss.linear(hidden, weight, target)``."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from lossmith.errors import DtypeError, ParameterError, ShapeError
from lossmith.flow import partial, traced
from lossmith.flow.domain import Classes, Interval, Simplex
from lossmith.flow.layer import Layer, settled, shard_of
from lossmith.flow.parameter import number
from lossmith.flow.traced import Call
from lossmith.flow.units import Units, at_least_float32, one_tensor
from lossmith.flow.weight import kept, sample_weights
from lossmith.kernels import linear as kernel
from lossmith.kernels import sharded
from lossmith.kernels.eager import transformed

if TYPE_CHECKING:
    from lossmith.flow.loss import Loss

Target = Tensor | tuple[Tensor, Tensor]
INSTEAD = "call this loss on torch.nn.functional.linear(hidden, weight, bias)"


class FusedLinear:
    """Gives a loss of rows of class scores, and a sum of such, `linear`."""

    def __init__(self, *unnamed: Any, **options: Any) -> None:
        super().__init__(*unnamed, **options)
        self._number = traced.numbered(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[misc]
        self._number = traced.numbered(self)

    @property
    def reads_rows(self) -> bool:
        """Whether class indices as targets need of each row of logits no more than log p, its mean and logsumexp."""
        return False

    def linear(
        self,
        hidden: Tensor,
        weight: Tensor,
        target: Target,
        bias: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        sample_weight: Tensor | None = None,
        num_items: float | Tensor | None = None,
        softcap: float | None = None,
        temperature: float = 1.0,
        vocab_group: Any = None,
    ) -> Tensor:
        """The loss of the logits ``hidden @ weight.T + bias``, which are never built as a whole.

        The same number as ``loss(F.linear(hidden, weight, bias), target)``, for any loss of logits over classes
        (``link="softmax"``) that is one value per row, and for sums of such. Logits are made chunk by chunk and become
        their own gradient while they are there: three matrix products as usual, and at most 128 MiB of logits at a time
        on a CPU, 1 GiB on a GPU. Rows that are masked or ignored enter no product. ``reduction="none"`` takes a fourth
        one: the logits are made again in backward.

        Shapes: hidden [*, H]; weight [V, H]; bias [V]; target class indices [*], class probabilities [*, V], or the
        likeliest k classes and their probabilities, a pair ([*, k], [*, k]) of which the second sums to 1. `mask` and
        `sample_weight` are [*], or have one entry for each of the first axis. With `softcap` c the logits become
        ``c tanh(logits / c)``, then they are divided by `temperature`, and then by one that the loss may have itself
        (`SoftCrossEntropyLoss`). In half precision the logits are, as those of `torch.nn.functional.linear`; sums and
        the gradient of the weight are kept in float32.

        A weight that FSDP2 has sharded (a DTensor) is gathered, and its gradient averaged over the ranks, as inside a
        module. With `vocab_group`, a torch.distributed group whose ranks each hold a part of the classes, in rank
        order, `weight` and `bias` are those of this rank's classes, and nothing of their size or of that of the logits
        travels; hidden and target are the same on all of its ranks, as are the loss and the gradient by hidden.

        Raises `ShapeError` and `DtypeError` for tensors that do not fit each other, `DomainError` for class indices
        outside [0, V), `ParameterError` for a loss of another link or one that is not one value per row of logits, with
        `vocab_group` also for one that needs more of a row than log p, its mean and logsumexp (class probabilities as
        targets, moved logits), `RuntimeError` where its gradient is to be differentiated again, and under function
        transforms.

        >>> import lossmith
        >>> hidden, weight = torch.tensor([[1.0, 2.0]]), torch.tensor([[10.0, 0.0], [0.0, 4.0], [0.0, 3.0]])
        >>> float(lossmith.CrossEntropyLoss().linear(hidden, weight, torch.tensor([0])))   # of the logits 10, 8, 6
        0.1429...
        """
        terms = _terms(self)
        owner, one = type(terms[0][1]).__name__, terms[0][1]
        layer = settled(owner, hidden, weight, bias, parts=vocab_group is not None)
        if self._number < 0:
            raise ParameterError(
                f"{owner}: a loss whose linear is called must be made outside of the compiled function"
            )
        if torch.compiler.is_compiling():
            targets = target if isinstance(target, tuple) else (target,)
            items = None if num_items is None else torch.as_tensor(num_items)
            each = one.reduction == "none"
            group = "" if vocab_group is None else partial.ready(vocab_group, "vocab_group").group_name
            call = Call(self._number, each, layer, targets, mask, sample_weight, items, softcap, temperature, group)
            return traced.linear(call)
        if transformed():
            raise RuntimeError(
                f"{owner}: linear knows no function transforms (torch.func, vmap) and no forward mode; {INSTEAD}"
            )
        given = _Given(mask, sample_weight, num_items, softcap, temperature)
        shard = shard_of(owner, layer, vocab_group, one.process_group)
        return _plan(terms, layer, target, given, shard).loss()


@dataclass(frozen=True)
class _Given:
    """What may be given beside the layer and the target."""

    mask: Tensor | None
    sample_weight: Tensor | None
    num_items: float | Tensor | None
    softcap: float | None
    temperature: float

    def bend(self, owner: str) -> Callable[[Tensor], Tensor] | None:
        """What the logits go through, None for nothing."""
        for name, value in (("softcap", self.softcap), ("temperature", self.temperature)):
            try:
                if value is not None or name == "temperature":
                    number(value, Interval(0, open_low=True))
            except (TypeError, ValueError, OverflowError):
                raise ParameterError(f"{owner}: {name} must be a number greater than 0, not {value!r}") from None
        cap, temperature = self.softcap, self.temperature
        if cap is None and temperature == 1:
            return None

        def bent(z: Tensor) -> Tensor:
            z = at_least_float32(z)
            return (z if cap is None else cap * (z / cap).tanh()) / temperature

        return bent


@dataclass(frozen=True)
class _Likeliest:
    """A target of k classes per row and their probabilities; a block of it becomes probabilities of all classes."""

    index: Tensor
    share: Tensor
    classes: int

    def __getitem__(self, rows: Any) -> Tensor:
        index, share = self.index[rows], self.share[rows]
        return share.new_zeros(len(index), self.classes).scatter_add(1, index, share)

    def hide(self, shown: Tensor) -> "_Likeliest":
        """Rows that are not shown have no share in any class, whatever stands there."""
        hidden = ~shown.unsqueeze(1)
        return replace(self, index=self.index.masked_fill(hidden, 0), share=self.share.masked_fill(hidden, 0.0))


@dataclass(frozen=True)
class _Term:
    """A loss, what its values are multiplied by, the target as it wants it, and the units of all rows."""

    loss: "Loss"
    factor: Any
    target: Tensor | _Likeliest
    units: Units

    @property
    def read(self) -> list[Tensor]:
        """The tensors beside the logits of which its values are."""
        target = (self.target,) if torch.is_tensor(self.target) else (self.target.index, self.target.share)
        return [x for x in (*target, self.units.keep, self.units.weight) if x is not None]

    def of(self, rows: Any) -> tuple[Tensor, Units]:
        target, keep, weight = self.target[rows], self.units.keep, self.units.weight
        shape = torch.Size([len(target)])
        keep, weight = (None if x is None else x[rows] for x in (keep, weight))
        return target, replace(self.units, shape=shape, keep=keep, weight=weight)

    def values(self, z: Tensor, rows: Any) -> Tensor:
        """The weighted value of each of these rows of logits."""
        target, units = self.of(rows)
        inputs = (z,) if units.shown is None else self.loss.conceal((z,), target, units)
        return self.loss.weigh(inputs, target, units)[0] * self.factor

    def shares(self, rows: Any, like: Tensor) -> Tensor:
        """What each of these rows adds to what a mean divides by."""
        target, units = self.of(rows)
        share = self.loss.shares(self.loss.importance(target, units, like), target, units, like)
        return like.new_ones(len(target)) if share is None else share

    def on(self, shard: sharded.Shard | None) -> "_Term":
        """This term where the classes lie on many ranks."""
        if shard is None:
            return self
        indices = torch.is_tensor(self.target) and not self.target.is_floating_point()
        if not (indices and isinstance(self.loss, FusedLinear) and self.loss.reads_rows):
            raise ParameterError(
                f"{type(self.loss).__name__}: with vocab_group, linear is for class indices as targets and losses that "
                "need no more of a row of logits than log p, its mean and logsumexp; gather the weight instead"
            )
        return replace(self, units=replace(self.units, shard=shard))

    def check(self, rows: Any) -> None:
        owner = type(self.loss).__name__
        if isinstance(self.target, _Likeliest):
            Classes(self.units.classes).check(owner, "target", self.target.index[rows])
            Simplex(1, self.target.index.shape[1]).check(owner, "target", self.target.share[rows])
            return
        target, units = self.of(rows)
        legal = self.loss.legal_target(target, units)
        if legal is not None:
            legal.check(owner, "target", target)


@dataclass(frozen=True)
class _Plan:
    """Everything that is settled before the first product; `rows` are those to look at, None for all.

    What all terms are multiplied by waits until their sum is known: in float16 the gradients of a mean over many rows
    would vanish before a scaled loss could lift them. It is their `scale`, a power of 2, so that a gradient in half
    precision is not rounded a second time; what it leaves of the factor is in the terms.
    """

    terms: list[_Term]
    scale: Any
    shape: torch.Size
    hidden: Tensor
    layer: kernel.Layer
    rows: Tensor | None

    def value(self, z: Tensor, at: slice) -> Tensor:
        rows = at if self.rows is None else self.rows[at]
        first, *more = (term.values(z, rows) for term in self.terms)
        return sum(more, start=first)

    def loss(self) -> Tensor:
        one = self.terms[0].loss
        if one.reduction == "none":
            found = kernel.values(self.value, self.hidden, self.layer, [x for term in self.terms for x in term.read])
            if self.rows is not None:
                found = found.new_zeros(math.prod(self.shape)).index_copy(0, self.rows, found)
            return found.reshape(self.shape)
        own = kernel.total(self.value, self.hidden, self.layer) * self.scale
        if one.process_group is None:
            return own
        everyone = own.detach().clone()
        dist.all_reduce(everyone, group=partial.ready(one.process_group))
        return partial.times_ranks(own, everyone, partial.ready(one.process_group))


def _plan(
    terms: list[tuple[float, "Loss"]], layer: Layer, target: Target, given: _Given, shard: sharded.Shard | None
) -> _Plan:
    owner, (hidden, weight, bias) = type(terms[0][1]).__name__, layer
    if len({loss.process_group for _, loss in terms}) > 1:
        raise ParameterError(f"{owner}: linear is for sums whose losses have one process_group; {INSTEAD}")
    shape, classes = hidden.shape[:-1], len(weight) if shard is None else shard.classes
    found = [_term(loss, factor, hidden, target, classes, given).on(shard) for factor, loss in terms]
    hidden, shown = hidden.reshape(-1, hidden.shape[-1]), [term.units.shown for term in found]
    rows = None
    if all(x is not None for x in shown):
        rows = torch.stack(shown).any(0).nonzero()[:, 0]  # type: ignore[arg-type]
        hidden = hidden.index_select(0, rows)
    for term in found:
        term.check(slice(None) if rows is None else rows)
    like = hidden.new_zeros((), dtype=torch.promote_types(hidden.dtype, torch.float32))
    scales = [_scale(term, like, math.prod(shape), given.num_items) for term in found]
    exponent = torch.frexp(torch.as_tensor(scales[0], dtype=like.dtype, device=like.device)).exponent - 1
    power = torch.ldexp(like.new_ones(()), exponent)  # at most the scale
    found = [replace(t, factor=t.factor * (scale / power)) for t, scale in zip(found, scales, strict=True)]
    hidden, most = (hidden, None) if shard is None else (sharded.shared(hidden, shard), max(shard.sizes))
    return _Plan(found, power, shape, hidden, kernel.Layer(weight, bias, given.bend(owner), most), rows)


def _term(loss: Any, factor: float, hidden: Tensor, target: Any, classes: int, given: _Given) -> _Term:
    """A term of all rows: its target one after the other, masks and weights resolved."""
    owner, shape = type(loss).__name__, hidden.shape[:-1]
    link = getattr(loss, "link", "softmax")
    if link != "softmax":
        raise ParameterError(
            f'{owner}: linear makes logits over classes, and this loss has link="{link}"; make it with link="softmax", '
            "or call it on its own input"
        )
    fits = isinstance(loss, FusedLinear) and hasattr(loss, "scope") and loss.scope == "unit"
    if not fits:
        raise ParameterError(f"{owner}: linear is for losses of which each row of logits has a value; {INSTEAD}")
    learnt = [x for x in (*_tensors(target), *_tensors(given.sample_weight), *loss.buffers()) if x.requires_grad]
    if learnt or any(x.requires_grad for x in loss.parameters()):
        raise ParameterError(f"{owner}: linear has gradients by hidden, weight and bias alone; {INSTEAD}")
    standin = hidden.new_zeros((), dtype=torch.promote_types(hidden.dtype, torch.float32))
    standin = standin.expand(math.prod(shape), classes)  # logits that take no memory, to settle the shapes by
    ready: Any
    if isinstance(target, tuple) and getattr(loss, "target_link", "prob") != "prob":
        raise ParameterError(f'{owner}: the likeliest classes go with probabilities, target_link="prob"; {INSTEAD}')
    if isinstance(target, tuple):
        ready, units = _likeliest(owner, target, shape, standin), Units(standin.shape[:1], 1, classes)
    else:
        _, ready, units = loss.arrange(standin, _in_rows(owner, target, shape, classes))
    keep, weight = _shown(owner, loss, shape, ready, given, standin[:, 0].reshape(shape))
    units = replace(units, keep=keep, weight=weight)
    shown = units.shown
    if shown is not None and not bool(shown.all()):  # probabilities would be copied for nothing
        likeliest = isinstance(ready, _Likeliest)
        ready = ready.hide(shown) if likeliest else units.hide(ready, shown, loss.legal_target(ready, units))
    return _Term(loss, factor, ready, units)


def _tensors(x: Any) -> tuple[Tensor, ...]:
    """The tensors in what may be none, one or some."""
    return tuple(item for item in (x if isinstance(x, tuple) else (x,)) if torch.is_tensor(item))


def _seen(x: Tensor) -> str:
    return f"{str(x.dtype)[6:]} of shape {list(x.shape)}"


def _in_rows(owner: str, target: Any, shape: torch.Size, classes: int) -> Tensor:
    """Class indices [N] or class probabilities [N, V], from [*] or [*, V]."""
    if isinstance(target, list):
        pair = "the likeliest classes and their probabilities are a tuple of two tensors"
        raise DtypeError(f"{owner}: target must be a torch tensor, and it is a list: {pair}")
    soft = one_tensor(owner, target, "target").is_floating_point()
    if target.shape != (torch.Size([*shape, classes]) if soft else shape):
        raise ShapeError(
            f"{owner}: target must be class indices of shape {list(shape)} or class probabilities of shape "
            f"{[*shape, classes]}; it is {_seen(target)}"
            + (": class indices are integers, target.long()" if target.shape == shape else "")
        )
    rows: Tensor = target.reshape(-1, classes) if soft else target.reshape(-1)
    return rows


def _likeliest(owner: str, target: tuple[Tensor, ...], shape: torch.Size, like: Tensor) -> _Likeliest:
    if len(target) != 2:
        raise ShapeError(f"{owner}: a target of the likeliest classes is a pair, not {len(target)} tensors")
    index, share = (one_tensor(owner, x, "target") for x in target)
    same = index.shape == share.shape and index.dim() > 0 and index.shape[:-1] == shape
    if not same or index.is_floating_point() or not share.is_floating_point():
        raise ShapeError(
            f"{owner}: a target of the likeliest classes must be (class indices, probabilities), both [*, k] for "
            f"{list(shape)} rows; they are {_seen(index)} and {_seen(share)}"
        )
    k = index.shape[-1]
    if not k:
        raise ShapeError(f"{owner}: a target of the likeliest classes must name at least one class per row, not none")
    return _Likeliest(index.reshape(-1, k).long(), share.reshape(-1, k).to(like.dtype), like.shape[1])


def _shown(
    owner: str, loss: "Loss", shape: torch.Size, ready: Any, given: _Given, like: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """Which rows count and how much, [N] each, from what was given of shape [*]."""
    units, weight = Units(shape), given.sample_weight
    indices = torch.is_tensor(ready) and ready.dim() == 1
    target = ready.reshape(shape) if indices else like.unsqueeze(-1)  # probabilities have no index to ignore
    keep = kept(owner, units, target, loss.ignore_index, given.mask)
    if weight is not None:
        weight = sample_weights(owner, units, weight, keep, like).reshape(-1)
    return None if keep is None else keep.reshape(-1), weight


def _scale(term: _Term, like: Tensor, count: int, num_items: Any) -> Any:
    """What the sum of a term is divided by, as a factor; of all rows, as one that weighs nothing may still count."""
    loss = term.loss
    if loss.reduction == "none":
        return 1.0
    if num_items is not None:
        return partial.divide(like.new_ones(()), loss._items(num_items))
    if loss.reduction == "sum":
        return 1.0
    if isinstance(loss.normalizer, float):
        return 1 / loss.normalizer
    height, weight = max(kernel.BLOCK // term.units.classes, 1), like.new_zeros(())
    for start in range(0, count, height):
        weight = weight + term.shares(slice(start, min(start + height, count)), like).sum()
    if loss.process_group is not None:
        dist.all_reduce(weight, group=partial.ready(loss.process_group))
    return partial.divide(like.new_ones(()), weight)


def _terms(loss: Any) -> list[tuple[float, "Loss"]]:
    """The losses of a sum with their factors, or the one loss."""
    return loss.terms if hasattr(loss, "terms") else [(1.0, loss)]
