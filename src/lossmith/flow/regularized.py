"""Structural risk: a loss and a penalty on the weights of the model, kept apart and added once a step."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lossmith.errors import ParameterError
from lossmith.flow.domain import Interval
from lossmith.flow.loss import Arithmetic, Input, Loss
from lossmith.flow.parameter import integer_or_none, number
from lossmith.flow.units import at_least_float32

Filter = Callable[[str, nn.Parameter], bool]


class Regularized(nn.Module):
    """Structural risk, ``empirical risk + l1 * sum |w| + l2 * sum w^2``, called with (input, target) like the loss.

    The empirical risk is the loss as it is, `loss(input, target)`; the sums are over the weights of `model`, and no
    mean is taken of them. `empirical` and `penalty` give the two parts apart.

    **Which weights.** Those of `model`, a module or parameters, that are being trained (``requires_grad``, looked at in
    every call) and that `weights(name, parameter)` chooses; by default those with two axes or more, which leaves out
    biases and the gains of norms, and takes in embeddings. Given as parameters, all of them count. A weight that the
    model uses twice counts once.

    **Once a step.** The penalty belongs to a step of the optimiser, not to a row: a call is a whole step. Where a step
    adds up several calls, `micro_batches` says how many, and each adds that share of the penalty; `num_items=`
    therefore asks for it. Where the micro-batch losses are divided by their number afterwards, leave it at 1. Partials
    (`partial`, `reduce`) hold the empirical sums alone, and `reduce` adds the penalty.
    Under DDP every rank adds its own copy of the penalty, and the average of their gradients has it once, as
    ``process_group=`` has the empirical risk; where you multiply the loss by the number of ranks instead,
    `micro_batches` is the number of calls of all ranks. Under FSDP2 (`fully_shard`) the sums are over the pieces of all
    ranks, which all have to ask for them. The older FSDP makes vectors of the weights: use the optimiser's own decay.

    **Against weight_decay.** The gradient is ``2 * l2 * w + l1 * sign(w)``, with 0 for the sign of 0.
    ``weight_decay=d`` of ``torch.optim.SGD`` and ``Adam`` adds ``d * w`` to the gradient, so it is ``l2 = d / 2``, of
    all parameters that the optimiser has, biases too. That of ``AdamW`` is no penalty: it shrinks w by ``lr * d`` of
    itself beside the adaptive step, and no l2 gives the same path.

    `model` is not a part of this module: its parameters, `state_dict` and ``.to()`` are the loss's alone. Pickle and
    deepcopy take the model along; copy both in one go to keep them together.

    Parameters:
        loss: a loss or a sum of losses with reduction "mean" or "sum".
        model: a module, or its parameters; `l1`, `l2`: finite numbers of at least 0; `weights`: a function of
            (name, parameter), for a module.

    Raises `ParameterError` for anything else, for a model of which nothing is chosen or that is still lazy, and for
    `num_items` without `micro_batches`.

    >>> from lossmith import MSELoss
    >>> model = nn.Linear(2, 1)
    >>> with torch.no_grad():
    ...     _ = model.weight.copy_(torch.tensor([[3.0, -4.0]]))
    >>> risk = Regularized(MSELoss(), model=model, l1=0.1, l2=0.01)
    >>> risk.penalty()                                  # 0.1 (3 + 4) + 0.01 (9 + 16)
    tensor(0.9500, grad_fn=<AddBackward0>)
    >>> risk(torch.tensor([1.0]), torch.tensor([3.0]))  # (1 - 3)^2 more
    tensor(4.9500, grad_fn=<AddBackward0>)

    Source: Vapnik (1991), "Principles of risk minimization for learning theory"; l2 is ridge (Hoerl and Kennard 1970),
    l1 is the lasso (Tibshirani 1996); AdamW is Loshchilov and Hutter (2017), arXiv 1711.05101, section 2.
    """

    def __init__(
        self,
        loss: Arithmetic,
        *,
        model: nn.Module | Iterable[nn.Parameter],
        l1: float = 0.0,
        l2: float = 0.0,
        weights: Filter | None = None,
    ) -> None:
        super().__init__()
        self.loss = _one_number(loss)
        self.l1, self.l2 = _coefficient("l1", l1), _coefficient("l2", l2)
        # In a tuple, because a module that is an attribute would become a part of this one.
        self._model = (model if isinstance(model, nn.Module) else _parameters(model),)
        if weights is not None and not (callable(weights) and isinstance(model, nn.Module)):
            raise ParameterError(
                "Regularized: weights must be a function of (name, parameter) for a model that is a module; "
                f"it is {weights!r} for a {type(model).__name__}"
            )
        self.weights = weights
        if isinstance(model, nn.Module) and any(nn.parameter.is_lazy(weight) for weight in model.parameters()):
            raise ParameterError("Regularized: the model does not know its weights yet; run a batch through it first")
        if not self.penalized():
            raise ParameterError(
                "Regularized: the model has no trainable weight that counts (by default: of two axes or more); "
                "choose some with weights=, or give them as model="
            )

    def penalized(self) -> list[nn.Parameter]:
        """The weights that the penalty is of, as they are now."""
        (model,) = self._model
        if not isinstance(model, nn.Module):
            return [weight for weight in model if weight.requires_grad]
        chosen = self.weights or _matrix
        return [weight for name, weight in model.named_parameters() if weight.requires_grad and chosen(name, weight)]

    def empirical(self, input: Input, target: Tensor | None = None, **options: Any) -> Tensor:
        """The loss of the batch alone: what to compare models by, on rows that none of them has seen."""
        value: Tensor = self.loss(input, target, **options)
        return value

    def penalty(self) -> Tensor:
        """``l1 * sum |w| + l2 * sum w^2``; half precision is summed in float32, a model without weights costs 0."""
        total = torch.zeros(())
        for weight in self.penalized():
            w = at_least_float32(weight.to_local() if hasattr(weight, "to_local") else weight)
            if self.l1:
                total = _everywhere(self.l1 * w.abs().sum(), weight) + total.to(w.device)
            if self.l2:
                total = _everywhere(self.l2 * (w * w).sum(), weight) + total.to(w.device)
        return total

    def forward(
        self,
        input: Input,
        target: Tensor | None = None,
        *,
        num_items: float | Tensor | None = None,
        micro_batches: int | None = None,
        **options: Any,
    ) -> Tensor:
        if num_items is not None:
            options["num_items"] = num_items
        return self._add(self.empirical(input, target, **options), num_items, micro_batches)

    if TYPE_CHECKING:
        __call__ = forward

    def partial(self, input: Input, target: Tensor | None = None, **options: Any) -> Any:
        """The empirical sums of this batch, to merge with those of other batches."""
        return self.loss.partial(input, target, **options)

    def reduce(
        self, partial: Any, *, num_items: float | Tensor | None = None, micro_batches: int | None = None
    ) -> Tensor:
        """The structural risk of merged partials: their loss and the penalty."""
        return self._add(self.loss.reduce(partial, num_items=num_items), num_items, micro_batches)

    def _add(self, empirical: Tensor, num_items: object, micro_batches: int | None) -> Tensor:
        """The penalty's share of this call, and the empirical risk."""
        if num_items is not None and micro_batches is None:
            raise ParameterError(
                "Regularized: with num_items also give micro_batches, the number of calls that a step adds up, so that "
                "the penalty is in it once"
            )
        share = 1 if micro_batches is None else _count(micro_batches)
        return empirical + self.penalty().to(empirical.device) / share

    def __repr__(self) -> str:
        return f"Regularized({self.loss!r}, l1={self.l1!r}, l2={self.l2!r})"


def _everywhere(total: Tensor, weight: Any) -> Tensor:
    """The sum over all ranks, where the weight is a DTensor, of which this rank has a piece."""
    if not hasattr(weight, "device_mesh"):
        return total
    # Not the DTensor's own sum: with fewer rows than ranks its slope comes back whole, and FSDP2 wants a piece.
    from torch.distributed.tensor import DTensor, Partial, Replicate

    kinds = [Partial() if placement.is_shard() else Replicate() for placement in weight.placements]
    whole: Tensor = DTensor.from_local(total, weight.device_mesh, kinds, run_check=False).full_tensor()
    return whole


def _matrix(name: str, weight: nn.Parameter) -> bool:
    return weight.dim() >= 2


def _one_number(loss: Any) -> Any:
    """Raise unless it is a loss that returns one number."""
    if not (isinstance(loss, Arithmetic) and isinstance(loss, nn.Module)):
        raise ParameterError(
            f"Regularized: loss must be a loss of lossmith, such as lossmith.create('focal'), not {loss!r}"
        )
    if any(part.reduction == "none" for part in loss.modules() if isinstance(part, Loss)):
        raise ParameterError(
            'Regularized: loss must have reduction "mean" or "sum", not "none", because a penalty is one number and '
            "not one per unit"
        )
    return loss


def _coefficient(name: str, value: Any) -> float:
    try:
        return number(value, Interval(0))
    except (TypeError, ValueError, OverflowError):
        raise ParameterError(f"Regularized: {name} must be a finite number of at least 0, not {value!r}") from None


def _parameters(given: Any) -> list[nn.Parameter]:
    """Parameters as a list; a generator would be empty the second time."""
    found = list(given) if isinstance(given, Iterable) and not isinstance(given, str | Tensor) else []
    if not found or not all(isinstance(one, nn.Parameter) for one in found):
        raise ParameterError(
            f"Regularized: model must be a torch.nn.Module or a list of its parameters, not {type(given).__name__}"
        )
    return found


def _count(value: Any) -> int:
    try:
        found = integer_or_none(value)
    except (TypeError, ValueError):
        found = None
    if found is None or found < 1:
        raise ParameterError(f"Regularized: micro_batches must be a whole number of at least 1, not {value!r}")
    return found
