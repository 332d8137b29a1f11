"""`LossMonitor`: a loss, and every so often a record of what it does."""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lossmith.errors import DomainError, ParameterError
from lossmith.flow.loss import Input, Loss
from lossmith.flow.regularized import Regularized
from lossmith.flow.sum import WeightedSum
from lossmith.monitor.classes import read_classes
from lossmith.monitor.guard import Finding, find
from lossmith.monitor.history import History
from lossmith.monitor.listen import Heard, hear
from lossmith.monitor.measure import EDGES, measure
from lossmith.monitor.sinks import Sink, as_sink

NOT_OURS = ("num_items", "micro_batches")  # options that divide a whole step: shares do not depend on them
MOST_FINDINGS = 100


class LossMonitor(nn.Module):
    """A loss that keeps a record of itself: ``monitor(input, target)`` is ``loss(input, target)``, bit for bit.

    It is called in place of the loss, with the same options, in any training loop. Every `every` calls it records

    - ``loss``, ``class_loss/NAME``, ``term_loss/NUMBER NAME`` of a sum: what was paid;
    - ``class_gradient/NAME``: the **share of the gradient** that the units of a class supply, ``sum of g over the
      class / sum of g``, beside ``class_share/NAME``, their share of the units. g is the length of the slope in the
      input, of the unit's own weighted value: the sum of absolute slopes, halved for a row of class scores. For
      cross-entropy g = 1 - p, as in GHM;
    - ``bin_gradient/LOW to HIGH`` and ``bin_share/LOW to HIGH``: the same by difficulty, bins of g, `edges` between;
    - ``zero_gradient``: the share of units with a slope of exactly 0; ``ignored``: of all units, the share that a mask,
      `ignore_index` or a `sample_weight` of 0 hides, which is in no other number and supplies no gradient;
      ``gradient``: the mean g; ``nonfinite``: units with a g that is not finite; ``positive_gradient`` and
      ``positive_share``: with several labels, those of the present ones.

    **Classes** are those of the target: class indices, class probabilities (a row counts as the mixture), a binary
    target (negative, positive), or several labels along axis 1. Up to 50 are shown, or those in `classes`. What has no
    classes, such as a residual, shows none, and a class that is not in the batch has no loss.

    **What counts as a call**: one in training mode and with gradients enabled. Evaluation, ``no_grad`` and what runs
    inside ``torch.compile`` or ``torch.func`` is the loss alone (a compiled model is fine: leave the call of the loss
    outside). A micro-batch is a call. Each rank looks at its own rows, and rank 0 alone writes to `sinks`.

    **Not finite.** A loss that is not finite, looked at every `guard_every` calls, or a gradient, looked at in records,
    names the rows: ``on_nonfinite="raise"`` raises `DomainError` before the backward pass, "warn" warns once until all
    is well again, "record" notes it in `findings`, as the others do. On a GPU a look waits for the device.

    Parameters:
        loss: a loss or a sum of losses of lossmith, or `Regularized`.
        sinks: where records go: `JSONL`, `TensorBoard`, `MLflow`, `WandB`, `Table` of ``lossmith.monitor``, the path of
            a .jsonl file, any object with ``write(step, numbers)`` and ``close()``, a function of (step, numbers).
        every, guard_every: numbers of calls; `guard_every` 0 never looks.
        classes: names in the order of the indices, or {name: index or indices} for groups and for some of many.
        edges: growing numbers above 0; ``[0.1, 0.2, ..., 0.9]`` are GHM's ten bins.
        keep: the most records in `history`; beyond it every second one is let go.

    `state_dict` is that of the loss, so checkpoints fit with and without the monitor; `step`, the number of calls so
    far, may be set. Raises `ParameterError` for other options, and what the loss raises.

    >>> from lossmith import CrossEntropyLoss
    >>> monitor = LossMonitor(CrossEntropyLoss(), classes=["cat", "dog"])
    >>> p = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])
    >>> float(monitor(p.log(), torch.tensor([0, 0, 1])))   # (2 * 0.1054 + 0.5108) / 3
    0.2405...
    >>> monitor.history[0]["class_gradient/dog"]   # (1 - 0.6) / (0.1 + 0.1 + 0.4)
    0.6666...

    Source: the histogram of gradients is that of Li, Liu and Wang, "Gradient Harmonized Single-stage Detector",
    arXiv 1811.05181, figure 2.
    """

    def __init__(
        self,
        loss: Loss | WeightedSum | Regularized,
        *,
        sinks: Iterable[Any] = (),
        every: int = 20,
        classes: Sequence[str] | Mapping[str, Any] | None = None,
        edges: Sequence[float] = EDGES,
        on_nonfinite: Literal["raise", "warn", "record"] = "raise",
        guard_every: int = 1,
        keep: int = 2000,
    ) -> None:
        super().__init__()
        if not isinstance(loss, Loss | WeightedSum | Regularized):
            raise ParameterError(f"LossMonitor: loss must be a loss of lossmith, not {loss!r}")
        if on_nonfinite not in ("raise", "warn", "record"):
            raise ParameterError(f'LossMonitor: on_nonfinite must be "raise", "warn" or "record", not {on_nonfinite!r}')
        self.loss = loss
        self.sinks: list[Sink] = [as_sink(one) for one in ([sinks] if isinstance(sinks, str | Path) else sinks)]
        self.every, self.guard_every = _count("every", every, 1), _count("guard_every", guard_every, 0)
        self.classes, self.edges, self.on_nonfinite = read_classes(classes), _edges(edges), on_nonfinite
        self.history, self.step = History(most=keep), 0
        self.findings: list[Finding] = []
        self._ill = False  # whether the last look found something, so that one cause is told once
        self.register_load_state_dict_pre_hook(_add_prefix)  # type: ignore[no-untyped-call]

    def forward(self, input: Input, target: Tensor | None = None, **options: Any) -> Tensor:
        if not self._watches(input):
            return self._value(input, target, options)
        step, self.step = self.step, self.step + 1
        heard = self._hear(input, target, options) if step % self.every == 0 else None  # before a state moves
        value = self._value(input, target, options)
        if heard is not None:
            numbers = measure(heard, self.classes, self.edges)
            self._record(step, {"loss": _number(value, heard), **numbers})
            well = not numbers.get("nonfinite") and bool(torch.isfinite(value.detach()).all())
            self._judge(well, step, value, lambda: heard)
        elif self.guard_every and step % self.guard_every == 0:
            well = bool(torch.isfinite(value.detach()).all())
            self._judge(well, step, value, lambda: self._hear(input, target, options))
        return value

    if TYPE_CHECKING:  # nn.Module leaves its call untyped
        __call__ = forward

    def _value(self, input: Input, target: Tensor | None, options: dict[str, Any]) -> Tensor:
        value: Tensor = self.loss(input, target, **options)
        return value

    def _watches(self, input: Input) -> bool:
        if torch.compiler.is_compiling() or not self.training or not torch.is_grad_enabled():
            return False
        tensors = input if isinstance(input, tuple | list) else (input,)
        wrapped = torch._C._functorch.is_functorch_wrapped_tensor
        return not any(isinstance(x, Tensor) and (wrapped(x) or x.is_meta) for x in tensors)

    def _hear(self, input: Input, target: Tensor | None, options: dict[str, Any]) -> Heard:
        loss = self.loss.loss if isinstance(self.loss, Regularized) else self.loss
        if any(one.family == "feature" for one in loss.modules() if isinstance(one, Loss)):
            return Heard()  # a second run of its network would cost as much as the step, and move its statistics
        return hear(loss, input, target, {k: v for k, v in options.items() if k not in NOT_OURS})

    def _record(self, step: int, numbers: dict[str, float]) -> None:
        self.history.append({"step": step, **numbers})
        if not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0:
            for sink in self.sinks:
                sink.write(step, numbers)

    def _judge(self, well: bool, step: int, value: Tensor, heard: Any) -> None:
        """Say once what is not finite, until all is well again."""
        told, self._ill = self._ill, not well
        if well or (told and self.on_nonfinite != "raise"):
            return
        known = heard()
        finding = find(known, self.classes, step, _number(value, known))
        self.findings = [*self.findings, finding][-MOST_FINDINGS:]
        if self.on_nonfinite == "raise":
            raise DomainError(str(finding))
        if self.on_nonfinite == "warn":
            warnings.warn(str(finding), stacklevel=4)

    def plot(self) -> Any:
        """A matplotlib Figure of the history: loss and gradient by class, difficulty now and at the start, zeros.

        It has no pyplot state: ``monitor.plot().savefig("run.png")``, or as the last line of a notebook's cell. Raises
        `ParameterError` without records, `MissingError` without matplotlib (``lossmith[plot]``).
        """
        return self.history.plot()

    @staticmethod
    def read(path: str | Path) -> History:
        """The history of a finished run, from the file of its `JSONL` sink: ``LossMonitor.read(path).plot()``.

        A last line that a killed run left unfinished is not read. Raises `InputError` for any other file.
        """
        return History.read(path)

    def close(self) -> None:
        """Close all sinks, even where one of them fails."""
        failure: Exception | None = None
        for sink in self.sinks:
            try:
                sink.close()
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def __enter__(self) -> "LossMonitor":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    # The state is the loss's, under its own names: a checkpoint fits with and without the monitor.
    def state_dict(self, *args: Any, **options: Any) -> Any:
        return self.loss.state_dict(*args, **options)

    def __str__(self) -> str:
        return str(self.loss)

    def __repr__(self) -> str:
        return f"LossMonitor({self.loss!r}, every={self.every})"


def _add_prefix(module: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    """torch looks for the loss's entries under the name of the attribute."""
    own = {name: state.pop(name) for name in list(state) if name.startswith(prefix)}
    state.update({f"{prefix}loss.{name.removeprefix(prefix)}": x for name, x in own.items()})


def _number(value: Tensor, heard: Heard) -> float:
    """The loss as one number: the mean of single values."""
    if value.dim() == 0:
        return float(value.detach())
    mean = heard.first.mean() if len(heard.parts) == 1 else None
    return float(value.detach().mean() if mean is None else mean) if value.numel() else math.nan


def _count(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ParameterError(f"LossMonitor: {name} must be a whole number of at least {least}, not {value!r}")
    return value


def _edges(given: Any) -> tuple[float, ...]:
    try:
        edges = tuple(float(x) for x in given)
    except (TypeError, ValueError):
        edges = ()
    if not edges or any(not low < high for low, high in zip((0.0, *edges), (*edges, math.inf), strict=True)):
        raise ParameterError(f"LossMonitor: edges must be growing finite numbers above 0, not {given!r}")
    return edges
