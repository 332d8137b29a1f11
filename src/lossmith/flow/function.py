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
        ... def welsch(r, xp, *, scale=1.0):
        ...     "Welsch's loss: ``1 - exp(-(r / scale)^2)``."
        ...     return -xp.expm1(-((r / scale) ** 2))
        >>> float(welsch(scale=2.0)(torch.tensor([2.0]), torch.tensor([0.0])))   # 1 - 1/e
        0.6321...

        Raises `ParameterError` for a function that is not such a formula, with what is wrong about it.
        """
        if not function.__name__.isidentifier():
            raise ParameterError("a loss takes the name of its function: give it one with def")
        wanted = [name for name in inspect.signature(cls.formula).parameters if name != "self"]  # type: ignore[attr-defined]
        arguments = inspect.signature(function).parameters.values()
        statistic = [a.name for a in arguments if a.kind in (a.POSITIONAL_ONLY, a.POSITIONAL_OR_KEYWORD)]
        if len(statistic) != len(wanted):
            raise ParameterError(
                f"{function.__name__}: the formula of a {cls.__name__} takes ({', '.join(wanted)}), and its parameters "
                f"after a *; this one takes ({', '.join(statistic)})"
            )
        fields = {a.name: _field(cls, function.__name__, a) for a in arguments if a.kind is a.KEYWORD_ONLY}

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


def _field(cls: type[Any], owner: str, argument: inspect.Parameter) -> Any:
    """The parameter that a keyword-only argument of a formula becomes."""
    default = argument.default
    if not isinstance(default, bool | int | float):
        raise ParameterError(f"{owner}: parameter {argument.name!r} needs a number as its default")
    if argument.name in cls.parameters_ or hasattr(cls, argument.name):
        raise ParameterError(
            f"{owner}: every {cls.__name__} has a {argument.name!r} already; call the parameter another"
        )
    return param(default=default if isinstance(default, bool) else float(default))
