"""Every registered loss as a function, made from its class: ``focal_loss(input, target, gamma=2.0)``.

>>> import torch
>>> from lossmith import functional
>>> functional.huber_loss(torch.tensor([3.0]), torch.tensor([0.0]), delta=2.0)
tensor(4.)
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

import lossmith.losses  # noqa: F401  (fills the registry)
from lossmith.flow.loss import Loss, registry
from lossmith.flow.parameter import nearest


class Functions:
    """The losses as functions of one array library: `call` takes a loss, its input and target, and options of a call.

    Those are the options of any loss's call, and `also`, with their defaults.
    """

    def __init__(
        self,
        module: str,
        array: Any,
        call: Callable[..., Any],
        offered: Callable[[type[Loss]], bool] = lambda cls: True,
        also: Mapping[str, Any] | None = None,
    ) -> None:
        self.module, self.array, self.call, self.offered = module, array, call, offered
        only = inspect.Parameter.KEYWORD_ONLY
        self.also = [inspect.Parameter(word, only, default=default) for word, default in (also or {}).items()]
        self.made: dict[type[Loss], Callable[..., Any]] = {}

    def names(self) -> list[str]:
        return sorted(f"{name}_loss" for name, cls in registry.items() if self.offered(cls))

    def find(self, name: str) -> Callable[..., Any]:
        """The function of that name, for a module's ``__getattr__``."""
        cls = registry.get(name.removesuffix("_loss")) if name.endswith("_loss") else None
        if cls is None or not self.offered(cls):
            why = nearest(name, self.names()) if cls is None else f"; {cls.__name__} is written for torch alone"
            raise AttributeError(f"module {self.module!r} has no attribute {name!r}{why}")
        if cls not in self.made:
            self.made[cls] = self._function(name, cls)
        return self.made[cls]

    def _function(self, name: str, cls: type[Loss]) -> Callable[..., Any]:
        call = inspect.signature(cls.forward).parameters
        words = [*(p for p in call.values() if p.kind is p.KEYWORD_ONLY), *self.also]  # of a call, not of the class

        def function(input: Any, target: Any = None, **options: Any) -> Any:
            called = {word.name: options.pop(word.name) for word in words if word.name in options}
            return self.call(cls(**options), input, target, **called)

        function.__name__ = function.__qualname__ = name
        function.__module__ = self.module
        function.__doc__ = cls.__doc__
        own = inspect.signature(cls).parameters
        plain = [call[word].replace(annotation=self.array) for word in ("input", "target")]
        arguments = [*plain, *own.values(), *words]
        function.__signature__ = inspect.Signature(arguments, return_annotation=self.array)  # type: ignore[attr-defined]
        return function


_functions = Functions(__name__, Tensor, lambda loss, input, target, **options: loss(input, target, **options))


def __getattr__(name: str) -> Any:
    return __dir__() if name == "__all__" else _functions.find(name)


def __dir__() -> list[str]:
    return _functions.names()
