"""What a check is given: the loss under audit, data of its kind, and its values and gradients as parameters change."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lossmith.audit.batch import Batch
from lossmith.audit.check import MistakeError, NotApplicableError
from lossmith.audit.kinds import Kind
from lossmith.audit.target import Subject
from lossmith.flow.loss import Loss

SEED = 1
UNITS = 8
SMOOTHING = ("label_smoothing", "smoothing", "smooth_factor")  # numbers, where they are on
_UNSUPPORTED = ("not implemented for 'Half'", "not implemented for 'BFloat16'", "not implemented for 'Double'")


class LossRaisedError(Exception):
    """The loss raised an error of its own."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"it raised {told(error)}")
        self.error = error

    @property
    def clear(self) -> bool:
        """Whether a person can tell from it what was wrong: an ordinary error with a sentence."""
        text = str(self.error)
        ordinary = isinstance(self.error, ValueError | TypeError | IndexError | RuntimeError | AssertionError)
        return ordinary and len(text) >= 12 and "INTERNAL ASSERT" not in text


def told(error: BaseException) -> str:
    """An error in one line.

    >>> told(ValueError("two\\nlines"))
    'ValueError: two lines'
    """
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:200]}" if words else type(error).__name__


class Case:
    """One audit: checks call its methods and nothing else. Every call makes the loss anew, so no state goes on."""

    def __init__(self, subject: Subject, kind: Kind) -> None:
        self.subject, self.kind = subject, kind
        made = subject.make()
        self.own = made if isinstance(made, Loss) else None
        self.differentiable = getattr(made, "differentiable", True) is not False
        self._known: dict[str, Any] = {}

    # Data -------------------------------------------------------------------------------------------------------
    def batch(self, units: int = UNITS, seed: int = SEED, dtype: torch.dtype = torch.float32) -> Batch:
        """A legal batch of the kind."""
        return self.kind.draw(torch.Generator().manual_seed(seed), units).to(dtype)

    def answer(self, size: float, batch: Batch | None = None) -> Batch:
        """The same target, predicted with this confidence; below 0, as wrongly."""
        if self.kind.answer is None:
            raise NotApplicableError("no prediction is right or wrong by itself in this layout")
        return self.kind.answer(batch or self.batch(), size)

    # The loss ---------------------------------------------------------------------------------------------------
    def accepts(self, name: str) -> bool:
        """Whether a parameter of this name can be changed."""
        return name in self.subject.parameters and self.subject.build is not None

    def need(self, *names: str) -> str:
        """The first of these parameters that the loss has, or `NotApplicableError`."""
        for name in names:
            if self.accepts(name):
                return name
        raise NotApplicableError(f"it has no parameter {' or '.join(names)}")

    def loss(self, **changes: Any) -> Any:
        """The loss, made anew."""
        return self.subject.make(**changes)

    def call(self, loss: Any, batch: Batch, **options: Any) -> Tensor:
        """What `loss` says of a batch; `LossRaisedError` where it raises."""
        torch.manual_seed(SEED)
        try:
            out = self.kind.call(loss, batch, **options)
        except Exception as error:
            raise LossRaisedError(error) from error
        if not isinstance(out, Tensor):
            raise MistakeError(f"it returned {type(out).__name__}, not a tensor")
        return out

    def value(self, batch: Batch, *, call: Any = None, **changes: Any) -> Tensor:
        """The value of a batch under a loss made anew."""
        return self.call(self.loss(**changes), batch, **(call or {})).detach()

    def number(self, batch: Batch, *, call: Any = None, **changes: Any) -> float:
        """The value as one number: summed where the loss gives one per unit."""
        return float(self.value(batch, call=call, **changes).double().sum())

    def slopes(self, batch: Batch, *, call: Any = None, **changes: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The value, and its gradient for every floating point input (of the sum where there is one per unit)."""
        return self.slopes_of(self.loss(**changes), batch, **(call or {}))

    def slopes_of(self, loss: Any, batch: Batch, **options: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
        """As `slopes`, for a loss that is there already."""
        fresh, leaves = batch.leaves()
        value = self.call(loss, fresh, **options)
        if not value.requires_grad:
            raise MistakeError("its value has no gradient")
        try:
            grads = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
        except Exception as error:
            raise LossRaisedError(error) from error
        return value.detach(), tuple(
            torch.zeros_like(x) if g is None else g for g, x in zip(grads, leaves, strict=True)
        )

    def slope(self, batch: Batch, **changes: Any) -> Tensor:
        """The gradient for the first input."""
        return self.slopes(batch, **changes)[1][0]

    def has(self, ability: str) -> None:
        """`NotApplicableError` where a loss of lossmith's make declares that torch's operators cannot do this."""
        if ability in getattr(self.own, "lacks", ()):
            raise NotApplicableError(f"it declares that its operators in torch lack {ability}")

    def option(self, name: str, default: Any = None) -> Any:
        """An option of a loss of lossmith's make, as it was given."""
        return getattr(self.own, name, default)

    @property
    def smoothed(self) -> str:
        """The option that smooths its labels; empty if none does."""
        found = {name: getattr(self.loss(), name, 0) for name in SMOOTHING}
        return next((name for name, value in found.items() if isinstance(value, int | float) and value > 0), "")

    @property
    def per_class(self) -> bool:
        """Whether it was made with one number per class: then the classes have names, and units weigh differently."""
        values = self.subject.options.values()
        return any(isinstance(v, list | tuple) or (isinstance(v, Tensor) and v.dim() > 0) for v in values)

    # What is known of it ----------------------------------------------------------------------------------------
    def once(self, name: str, find: Callable[[], Any]) -> Any:
        """Find something out once for all checks."""
        if name not in self._known:
            self._known[name] = find()
        return self._known[name]

    @property
    def unitwise(self) -> bool:
        """Whether the value of a batch is the mean or the sum of what its units give alone."""
        return self.over in ("mean", "sum")

    @property
    def over(self) -> str:
        """ "mean" or "sum" over the units, "units" (one value each), or "set": the units are not independent."""
        return str(self.once("over", self._over))

    def _over(self) -> str:
        if self.own is not None and self.option("scope", "unit") != "unit":
            return "set"
        batch = self.batch(dtype=torch.float64)
        whole = self.value(batch)
        if whole.numel() > 1:
            return "units"
        try:
            singles = [self.number(one) for one in batch.single()]
        except LossRaisedError:
            return "set"
        for name, want in (("mean", sum(singles) / len(singles)), ("sum", sum(singles))):
            if near(float(whole), want, 1e-4):
                return name
        return "set"

    def need_unitwise(self) -> None:
        """`NotApplicableError` unless the value is a mean or a sum over independent units."""
        if not self.unitwise:
            raise NotApplicableError("its value is not a mean or a sum over independent units")


def near(a: float, b: float, relative: float = 1e-4, absolute: float = 1e-7) -> bool:
    """Whether two numbers agree; NaN agrees with nothing."""
    return abs(a - b) <= absolute + relative * max(abs(a), abs(b))


def agree(a: Tensor, b: Tensor, relative: float = 1e-4, absolute: float = 1e-7) -> bool:
    """Whether two tensors agree, relative to the largest element; NaN agrees with nothing."""
    if a.shape != b.shape:
        return False
    a, b = a.double(), b.double()
    scale = float(torch.maximum(a.abs().max(), b.abs().max())) if a.numel() else 0.0
    return bool(((a - b).abs() <= absolute + relative * scale).all())


def finite(*tensors: Tensor) -> bool:
    return all(bool(x.isfinite().all()) for x in tensors)


def unsupported(error: BaseException) -> bool:
    """Whether torch itself lacks the operation in this dtype."""
    return any(words in str(error) for words in _UNSUPPORTED)
