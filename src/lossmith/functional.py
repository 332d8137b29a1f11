"""Every registered loss as a function, made from its class: ``focal_loss(input, target, gamma=2.0)``.

>>> import torch
>>> from lossmith import functional
>>> functional.huber_loss(torch.tensor([3.0]), torch.tensor([0.0]), delta=2.0)
tensor(4.)
"""

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor

import lossmith.losses  # noqa: F401  (fills the registry)
from lossmith.flow.loss import Input, Loss, registry
from lossmith.flow.parameter import nearest

_made: dict[type[Loss], Callable[..., Tensor]] = {}


def __getattr__(name: str) -> Callable[..., Tensor]:
    cls = registry.get(name.removesuffix("_loss")) if name.endswith("_loss") else None
    if name == "__all__":
        return __dir__()  # type: ignore[return-value]
    if cls is None:
        raise AttributeError(f"module 'lossmith.functional' has no attribute {name!r}{nearest(name, __dir__())}")
    if cls not in _made:
        _made[cls] = _function(name, cls)
    return _made[cls]


def __dir__() -> list[str]:
    return sorted(f"{name}_loss" for name in registry)


def _function(name: str, cls: type[Loss]) -> Callable[..., Tensor]:
    call = inspect.signature(cls.forward).parameters
    words = [word for word, p in call.items() if p.kind is p.KEYWORD_ONLY]  # taken by a call, not by the class

    def function(input: Input, target: Tensor | None = None, **options: Any) -> Tensor:
        called = {word: options.pop(word) for word in words if word in options}
        return cls(**options)(input, target, **called)

    function.__name__ = function.__qualname__ = name
    function.__module__ = __name__
    function.__doc__ = cls.__doc__
    own = inspect.signature(cls).parameters
    first = [call["input"], call["target"], *own.values(), *(call[word] for word in words)]
    function.__signature__ = inspect.Signature(first, return_annotation=Tensor)  # type: ignore[attr-defined]
    return function
