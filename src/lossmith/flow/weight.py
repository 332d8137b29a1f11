"""Step 3, weights: which units count, and how much. Masks act before the formula, so a hidden NaN stays out.

`class_weight` and `effective_number` turn class counts into the per-class vector that ``weight=`` takes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from lossmith.arrays import ops_of
from lossmith.errors import DomainError, DtypeError, ParameterError
from lossmith.flow.domain import Interval, may_look
from lossmith.flow.units import Units, at_least_float32, one_tensor

Counts = Sequence[float] | Tensor


def kept(owner: str, units: Units, target: Tensor, ignore_index: int | None, mask: Tensor | None) -> Tensor | None:
    """True where a unit counts; None if all do (found out only where looking at the data is cheap)."""
    keep = None
    of_units = len(target.shape) == len(units.shape)
    if ignore_index is not None and of_units and not (may_look(target) and _beyond(ignore_index, target)):
        keep = target != ignore_index
        if may_look(keep) and bool(keep.all()):
            keep = None
    if mask is not None:
        one_tensor(owner, mask, "mask")
        kind = ops_of(mask).dtype_name(mask)
        if kind != "bool":
            raise DtypeError(f"{owner}: mask must be bool, True where a unit counts; it is {kind}")
        mask = units.spread(owner, "mask", mask)
        keep = mask if keep is None else keep & mask
    return keep


def _beyond(value: int, x: Tensor) -> bool:
    """Whether a value is less or more than all of `x`, which is quicker to find out than whether it is there."""
    if not x.numel():
        return True
    low, high = (end.item() for end in torch.aminmax(x))
    return value < low or value > high


def sample_weights(owner: str, units: Units, weight: Tensor, keep: Tensor | None, like: Tensor) -> Tensor:
    """The weight of every unit, in at least float32, checked: finite and at least 0."""
    ops = ops_of(like)
    like = at_least_float32(ops.full(like, (), 0.0))  # beside scores that stay in half precision, too
    weight = ops.cast(units.spread(owner, "sample_weight", one_tensor(owner, weight, "sample_weight")), like)
    if keep is not None:
        weight = ops.where(keep, weight, 0.0)
    Interval(0).check(owner, "sample_weight", weight)
    return weight


def class_weight(scheme: str, counts: Counts) -> Tensor:
    """Weights of the classes from how often each was seen; ``"balanced"``: ``w_c = N / (K n_c)``.

    With N examples of K classes that were seen, n_c of class c: each class then weighs the same in total
    (scikit-learn's ``class_weight="balanced"``; King and Zeng, 2001). A class that was never seen (n_c = 0)
    has no example to weigh and gets 0. Returns one weight per class, in torch's default dtype.

    Raises `ParameterError` for an unknown scheme, `DomainError` for counts that are not numbers of examples.

    >>> class_weight("balanced", [90, 10])
    tensor([0.5556, 5.0000])
    >>> class_weight("balanced", [90, 0, 10])
    tensor([0.5556, 0.0000, 5.0000])
    """
    if scheme != "balanced":
        raise ParameterError(f'class_weight: scheme must be "balanced", not {scheme!r}; see also effective_number')
    return balanced_weights(_counts("class_weight", counts)).to(torch.get_default_dtype())


def effective_number(counts: Counts, beta: float = 0.999) -> Tensor:
    """Class-balanced weights: ``w_c`` proportional to ``(1 - beta) / (1 - beta^n_c)``, of sum C.

    The effective number of samples of class c is ``E_c = (1 - beta^n_c) / (1 - beta)``: beta = 0 gives every
    class the same weight, beta -> 1 gives inverse frequency. The weights are scaled so that they sum to the
    number of classes C. A class that was never seen gets 0, and the others still sum to C.
    Source: Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", arXiv 1901.05555, eq. 1 and 2
    (the scaling: section 4.1 and the authors' code).

    Raises `ParameterError` unless ``0 <= beta < 1``, `DomainError` for counts that are not numbers of examples.

    >>> effective_number([5000, 1000, 300, 80, 20], beta=0.9999)
    tensor([0.0189, 0.0781, 0.2514, 0.9326, 3.7191])
    """
    return effective_weights("effective_number", _counts("effective_number", counts), beta).to(
        torch.get_default_dtype()
    )


def balanced_weights(n: Tensor) -> Tensor:
    """The weights of `class_weight`, of counts in float64 and in float64."""
    seen = n > 0
    return torch.where(seen, n.sum() / (seen.sum() * torch.where(seen, n, 1.0)), 0.0)


def effective_weights(owner: str, n: Tensor, beta: float) -> Tensor:
    """The weights of `effective_number`, of counts in float64 and in float64."""
    if not isinstance(beta, int | float) or not 0 <= beta < 1:
        raise ParameterError(f"{owner}: beta must be in [0, 1), not {beta!r}")
    log_beta = torch.tensor(beta, dtype=torch.float64).log()
    seen = n > 0
    weight = torch.where(seen, (1 - beta) / -torch.expm1(torch.where(seen, n, 1.0) * log_beta), 0.0)
    return weight * len(n) / weight.sum()


def _counts(owner: str, counts: Counts) -> Tensor:
    try:
        n = torch.as_tensor(counts, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise DomainError(f"{owner}: counts must be one number per class; got {counts!r}") from None
    if n.dim() != 1 or n.numel() < 2:
        raise DomainError(f"{owner}: counts must be one number per class for at least 2 classes; got {counts!r}")
    Interval(0).refuse(owner, "counts", n)
    if not bool(n.sum() > 0):
        raise DomainError(f"{owner}: counts must hold at least one example; all {n.numel()} are 0")
    return n
