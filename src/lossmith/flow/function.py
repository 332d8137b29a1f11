"""A loss from a plain function: the shortest way to write one's own."""

import inspect
import types
from collections.abc import Callable
from typing import Any

from lossmith.errors import ParameterError
from lossmith.flow.parameter import param


class FromFunction:
    """Gives a family the decorator `from_function`."""

    @classmethod
    def from_function(cls, function: Callable[..., Any]) -> type[Any]:
        """Make a loss class of this family from a formula: ``formula(statistic, xp, *, parameter=default)``.

        Keyword-only arguments with a number, True or False as default become parameters of the loss. The class
        takes the function's name, which is also its name in specifications.

        >>> import torch
        >>> from lossmith import ResidualLoss
        >>> @ResidualLoss.from_function
        ... def cauchy(r, xp, *, scale=1.0):
        ...     "Cauchy's loss: ``log(1 + (r / scale)^2)``."
        ...     return xp.log1p((r / scale) ** 2)
        >>> float(cauchy(scale=2.0)(torch.tensor([2.0]), torch.tensor([0.0])))   # log 2
        0.6931...

        Raises `ParameterError` for a keyword-only argument without a default.
        """
        fields: dict[str, Any] = {}
        for name, argument in inspect.signature(function).parameters.items():
            if argument.kind is argument.KEYWORD_ONLY:
                if not isinstance(argument.default, bool | int | float):
                    raise ParameterError(f"{function.__name__}: parameter {name!r} needs a number as its default")
                default = argument.default
                fields[name] = param(default=default if isinstance(default, bool) else float(default))

        def formula(self: Any, *statistic_and_xp: Any) -> Any:
            return function(*statistic_and_xp, **{name: getattr(self, name) for name in fields})

        body = {
            **fields,
            "formula": formula,
            "__doc__": function.__doc__,
            "__module__": function.__module__,
            "__qualname__": function.__qualname__,
        }
        return types.new_class(function.__name__, (cls,), exec_body=lambda namespace: namespace.update(body))
