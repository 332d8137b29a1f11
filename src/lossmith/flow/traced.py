"""`loss.linear` under `torch.compile`: one operation of the graph, inside of which everything is as in eager mode.

A compiler does not trace a loop over chunks whose gradients are taken as it goes. An operation of a graph is given
tensors and numbers alone, so it finds the loss by a number.
"""

import contextlib
import itertools
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lossmith.kernels.linear import only_once

_numbers = itertools.count()
_losses: "weakref.WeakValueDictionary[int, Any]" = weakref.WeakValueDictionary()


def numbered(loss: Any) -> int:
    """The number by which the operation finds a loss; -1, which none has, for one made inside a compiled function."""
    if torch.compiler.is_compiling():
        return -1
    number = next(_numbers)
    _losses[number] = loss
    return number


class Call(NamedTuple):
    """A call of `linear`, as an operation takes it."""

    loss: int
    each: bool  # whether it has a value for each row
    layer: Sequence[Tensor | None]  # hidden, weight, bias
    target: Sequence[Tensor]
    mask: Tensor | None
    sample_weight: Tensor | None
    num_items: Tensor | None
    softcap: float | None
    temperature: float
    vocab_group: str  # its name, empty for none

    def run(self, needs: Sequence[bool]) -> tuple[Tensor, list[Tensor | None]]:
        """The loss, and the tensors of the layer for which it can be asked for gradients."""
        leaves = [
            None if x is None else x.detach().requires_grad_(needed)
            for x, needed in zip(self.layer, needs, strict=True)
        ]
        hidden, weight, bias = leaves
        assert hidden is not None
        assert weight is not None
        found = _losses[self.loss].linear(
            hidden,
            weight,
            self.target[0] if len(self.target) == 1 else tuple(self.target),
            bias,
            mask=self.mask,
            sample_weight=self.sample_weight,
            num_items=self.num_items,
            softcap=self.softcap,
            temperature=self.temperature,
            vocab_group=_group(self.vocab_group),
        )
        return found, leaves


def _group(name: str) -> Any:
    """The process group of that name; None for an empty one."""
    if not name:
        return None
    from torch.distributed import distributed_c10d as c10d

    return c10d._resolve_process_group(name)  # type: ignore[attr-defined,arg-type]


def linear(call: Call) -> Tensor:
    """The loss of a call, as an operation of the graph."""
    needs = [x is not None and x.requires_grad for x in call.layer]
    hidden, weight, bias = call.layer
    found: Tensor = _linear(needs, call.loss, call.each, hidden, weight, bias, *call[3:])[0]
    return found


@torch.library.custom_op("lossmith::linear", mutates_args=())
def _linear(
    needs: Sequence[bool],
    loss: int,
    each: bool,
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Sequence[Tensor],
    mask: Tensor | None,
    sample_weight: Tensor | None,
    num_items: Tensor | None,
    softcap: float | None,
    temperature: float,
    vocab_group: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The loss, and of one that is one number its gradients by hidden, weight and bias."""
    layer = (hidden, weight, bias)
    call = Call(loss, each, layer, target, mask, sample_weight, num_items, softcap, temperature, vocab_group)
    with _recording():
        found, leaves = call.run([False] * 3 if each else needs)
        return found.detach(), *_gradients(found, leaves, None)


@_linear.register_fake
def _(
    needs: Sequence[bool], loss: int, each: bool, hidden: Tensor, weight: Tensor, bias: Tensor | None, *_: Any
) -> Any:
    wide = torch.promote_types(hidden.dtype, torch.float32)
    found = hidden.new_empty(hidden.shape[:-1] if each else (), dtype=wide)
    given = zip((hidden, weight, bias), needs, strict=True)
    return found, *(torch.empty_like(x) if x is not None and n and not each else hidden.new_empty(0) for x, n in given)


@torch.library.custom_op("lossmith::linear_gradients", mutates_args=())
def _linear_gradients(
    upstream: Tensor,
    needs: Sequence[bool],
    loss: int,
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Sequence[Tensor],
    mask: Tensor | None,
    sample_weight: Tensor | None,
    num_items: Tensor | None,
    softcap: float | None,
    temperature: float,
    vocab_group: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Of a loss that has a value for each row the gradients, from those by the values."""
    layer = (hidden, weight, bias)
    call = Call(loss, True, layer, target, mask, sample_weight, num_items, softcap, temperature, vocab_group)
    with _recording():
        return _gradients(*call.run(needs), upstream)


@_linear_gradients.register_fake
def _(upstream: Tensor, needs: Sequence[bool], loss: int, hidden: Tensor, weight: Tensor, bias: Any, *_: Any) -> Any:
    given = zip((hidden, weight, bias), needs, strict=True)
    return tuple(torch.empty_like(x) if x is not None and n else hidden.new_empty(0) for x, n in given)


def _gradients(found: Tensor, leaves: list[Tensor | None], upstream: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Those by the leaves that want one, and something empty for the others."""
    wanted = [x for x in leaves if x is not None and x.requires_grad]
    grads = iter(torch.autograd.grad(found, wanted, upstream) if wanted else ())
    nothing = found.new_empty(0, dtype=leaves[0].dtype if leaves[0] is not None else None)
    one, two, three = (next(grads) if x is not None and x.requires_grad else nothing.clone() for x in leaves)
    return one, two, three


def _recording() -> Any:
    """Autograd again, which is off inside an operation."""
    stack = contextlib.ExitStack()
    stack.enter_context(torch._C._SetExcludeDispatchKeyGuard(torch._C.DispatchKey.AutogradFunctionality, False))
    stack.enter_context(torch.enable_grad())
    return stack


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.needs, ctx.loss, ctx.each, *layer = inputs[:6]
    ctx.rest = inputs[6:]
    ctx.save_for_backward(*(layer if ctx.each else output[1:]))


def _backward(ctx: Any, upstream: Tensor, *_: Any) -> Any:
    only_once(upstream)
    if ctx.each:
        grads = _linear_gradients(upstream, ctx.needs, ctx.loss, *ctx.saved_tensors, *ctx.rest)
    else:
        grads = tuple((upstream * x).to(x.dtype) for x in ctx.saved_tensors)
    found = (x if needed else None for x, needed in zip(grads, ctx.needs, strict=True))
    return None, None, None, *found, [None] * len(ctx.rest[0]), None, None, None, None, None, None


_linear.register_autograd(_backward, setup_context=_setup)
