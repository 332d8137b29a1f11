"""From targets, in whatever form they are kept, to the number of the class of every example."""

from typing import Any

import torch
from torch import Tensor

from lossmith.errors import DomainError, ShapeError


def classes(owner: str, targets: Any) -> tuple[list[Any], Tensor]:
    """The classes as they were called, and the number of the class of every example, [N]."""
    values = targets.tolist() if hasattr(targets, "tolist") else list(targets)
    values = values if isinstance(values, list) else [values]
    if values and hasattr(values[0], "item"):  # a list of numbers that are tensors
        values = [value.item() if value.ndim == 0 else value.tolist() for value in values]
    numbers: dict[Any, int] = {}
    try:
        label = [numbers.setdefault(value, len(numbers)) for value in values]
    except TypeError:  # a list has no hash
        label = []
    if (not label and values) or any(isinstance(name, tuple | frozenset) for name in numbers):
        raise ShapeError(
            f"{owner}: targets must be one class per example; of several labels per example choose one first, such as "
            "the rarest that is present"
        )
    for name in numbers:
        missing = name is None or (name == name) is not True  # NaN and its like in tables equal nothing
        if missing or (isinstance(name, float) and not name.is_integer()):
            raise DomainError(f"{owner}: targets must be classes, integers or words; got {name!r}")
    if len(numbers) < 2:
        raise DomainError(f"{owner}: targets must hold at least 2 classes; got {list(numbers)!r}")
    return list(numbers), torch.tensor(label)
