"""A row of docs/migrate.md: a library's loss, the specification that gives its number, and how the two are compared."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from bench import peers
from bench.layouts import laid
from lossmith import create
from lossmith.audit import KINDS
from lossmith.audit.batch import Batch
from lossmith.audit.kinds import labels, one_hot, packed, uniform


@dataclass(frozen=True)
class Row:
    """One loss of a library; without `ours` the remark is why there is nothing to reproduce it with."""

    theirs: str  # a target, as `lossmith audit` takes it
    ours: str  # a specification
    data: str = ""  # a kind of the audit, or a name of DATA
    remark: str = ""
    layout: str = ""  # of bench.layouts: how theirs is called with that data
    factor: str = ""  # of FACTORS: theirs is ours times this
    front: str = ""  # of FRONTS: a layer before both
    ignored: int | None = None  # the target that a third of the units gets
    rtol: float = 1e-6
    dtype: torch.dtype = torch.float64  # float32 where theirs takes nothing else


def package_of(row: Row) -> str:
    """The package that a row's loss is of."""
    return row.theirs.partition(":")[0].partition(".")[0]


def _drawn(kind: str, change: Callable[[Batch, Generator], Batch]) -> Callable[[Generator, int], Batch]:
    return lambda generator, units: change(KINDS[kind].draw(generator, units), generator)


def _two_classes(batch: Batch, generator: Generator) -> Batch:
    return batch.put(batch.input[:, :2], target=labels(batch.labels.shape, 2, generator))


def _distances(batch: Batch, generator: Generator) -> Batch:
    return batch.put(uniform(batch.input.shape, generator, 0.1, 2.0))


def _views(batch: Batch, generator: Generator) -> Batch:
    return batch.put(batch.input, target=torch.arange(batch.units // 2).repeat(2))


# Data that is no kind of the audit.
DATA: dict[str, Callable[[Generator, int], Batch]] = {
    **{name: kind.draw for name, kind in KINDS.items()},
    "softmax one-hot": _drawn("softmax", lambda batch, _: batch.put(batch.input, target=one_hot(batch.labels))),
    "two classes": _drawn("overlap", _two_classes),
    "distances": _drawn("margin", _distances),
    "like pairs": _drawn("pairs", lambda batch, _: batch.put(*batch.inputs, target=torch.ones_like(batch.labels))),
    "views": _drawn("embeddings", _views),
    "rates": _drawn("count", lambda batch, _: batch.put(batch.input.exp())),
    "positive": _drawn("regression", lambda batch, generator: batch.put(uniform((batch.units,), generator, 0.1, 4.0))),
    "distributions": _drawn("divergence", lambda batch, _: batch.put(batch.input.exp())),
    "log targets": _drawn("divergence", lambda batch, _: batch.put(batch.input, target=batch.labels.log())),
}
FACTORS: dict[str, tuple[Callable[[Batch], float], str]] = {
    "1/C": (lambda batch: 1 / batch.input.shape[1], "divided by the number of classes"),
    "1/N": (lambda batch: 1 / batch.units, "divided by the number of samples"),
}
FRONTS: dict[str, Callable[[Tensor], Tensor]] = {"unit length": lambda x: F.normalize(x, dim=1)}


def drawn(row: Row, seed: int, units: int = 9) -> Batch:
    """Generic data for a row."""
    batch = DATA[row.data](torch.Generator().manual_seed(seed), units + units % 2).to(row.dtype)
    if row.ignored is None:
        return batch
    hidden = (torch.arange(batch.labels.numel()) % 3 == 2).reshape(batch.labels.shape)
    return batch.put(*batch.inputs, target=torch.where(hidden, row.ignored, batch.labels))


Found = tuple[Tensor, tuple[Tensor, ...]]  # a value and the gradient of every input


def _measured(call: Callable[[Batch], Any], row: Row, batch: Batch) -> Found:
    fresh, leaves = batch.leaves()
    if row.front:
        fresh = replace(fresh, inputs=tuple(FRONTS[row.front](x) for x in fresh.inputs))
    value = call(fresh)
    grads = torch.autograd.grad(value.sum(), leaves, allow_unused=True) if value.requires_grad else ()
    return value.detach().sum().double(), tuple(
        torch.zeros_like(x) if g is None else g for g, x in zip(grads, leaves, strict=bool(grads))
    )


def theirs(row: Row, batch: Batch) -> Found:
    """What the library says of a batch."""
    loss = laid(peers.subject(row.theirs), row.layout).make()
    if isinstance(loss, nn.Module):
        loss.to(row.dtype)  # class weights
    kind = KINDS.get(row.data)
    call = kind.call if kind is not None else (lambda loss, b: loss(*b.tensors))
    return _measured(lambda b: call(loss, b), row, batch)


def ours(row: Row, batch: Batch) -> Found:
    """What lossmith says of it."""
    loss = create(row.ours)
    value, grads = _measured(lambda b: packed(loss, b), row, batch)
    factor = FACTORS[row.factor][0](batch) if row.factor else 1.0
    return value * factor, tuple(g * factor for g in grads)
