"""The parameters of a loss: typed, keyword-only, each with its legal range, declared as class fields."""

import difflib
import inspect
import numbers
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, dataclass_transform

import torch
from torch import Tensor, nn

from lossmith.errors import ParameterError
from lossmith.flow.domain import Interval, may_look

INF = float("inf")


@dataclass(frozen=True)
class Parameter:
    """One field of a loss class: its default, what it must be, and how a given value is read."""

    default: Any
    rule: str
    read: Callable[[Any], Any]  # returns the value in its one stored form, or raises
    about: str = ""

    def parse(self, owner: str, name: str, value: Any) -> Any:
        try:
            return self.read(value)
        except RecursionError:
            raise  # not the fault of the value: a specification nested too deeply
        except (TypeError, ValueError, RuntimeError, OverflowError):
            raise ParameterError(f"{owner}: {name} must be {self.rule}, not {value!r}") from None


def param(
    *,
    default: Any,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    one_of: tuple[str, ...] = (),
    read: Callable[[Any], Any] | None = None,
    rule: str = "",
    about: str = "",
) -> Any:
    """Declare a parameter: ``gamma: float = param(default=2.0, ge=0)``.

    A number takes its range from `ge`, `gt`, `le`, `lt`; a choice its words from `one_of`; True or False follows
    from the default; anything else is read by `read`, which does what its `rule` says in words. Type checkers
    know a default by its keyword only (PEP 681).
    """
    if read is not None:
        return Parameter(default, rule, read, about)
    if one_of:
        words = "one of " + ", ".join(f'"{word}"' for word in one_of)
        return Parameter(default, words, lambda value: one_of[one_of.index(value)], about)
    if isinstance(default, bool):
        return Parameter(default, "True or False", _boolean, about)
    low = ge if ge is not None else gt if gt is not None else -INF
    high = le if le is not None else lt if lt is not None else INF
    interval = Interval(low, high, open_low=gt is not None, open_high=lt is not None)
    return Parameter(default, f"a number, {interval.describe()}", lambda value: number(value, interval), about)


@dataclass_transform(kw_only_default=True, field_specifiers=(param,))
class Parametrised(nn.Module):
    """A module whose class fields, made by `param`, are its keyword-only and checked parameters.

    ``dataclass_transform`` tells type checkers and editors of them; tensors become buffers, so that ``.to()``,
    ``state_dict`` and DDP carry them.
    """

    parameters_: ClassVar[dict[str, Parameter]] = {}
    own_parameters: ClassVar[dict[str, Parameter]] = {}  # those that the class itself declares

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Parameter)}
        for name in own:
            delattr(cls, name)  # a class attribute would hide the buffer of the same name
        cls.own_parameters, cls.parameters_ = own, {}
        for base in reversed(cls.__mro__):  # of several bases too, the nearer one counts, and comes first
            nearer = vars(base).get("own_parameters", {})
            cls.parameters_ = nearer | {name: p for name, p in cls.parameters_.items() if name not in nearer}
        fields = [
            inspect.Parameter(k, inspect.Parameter.KEYWORD_ONLY, default=p.default) for k, p in cls.parameters_.items()
        ]
        cls.__signature__ = inspect.Signature(fields)  # type: ignore[attr-defined]

    def __init__(self, **options: Any) -> None:
        super().__init__()
        owner = type(self).__name__
        for word in options.keys() - self.parameters_.keys():
            raise ParameterError(f"{owner}: no parameter {word!r}{nearest(word, self.parameters_)}")
        for name, parameter in self.parameters_.items():
            value = parameter.parse(owner, name, options.get(name, parameter.default))
            if parameter.read is weights_or_none:
                self.register_buffer(name, value)  # None too: a tensor that is set later is then a buffer as well
            else:
                setattr(self, name, value)

    def options(self) -> dict[str, Any]:
        """The parameters that differ from their defaults."""
        values = {name: getattr(self, name) for name in self.parameters_}
        return {k: v for k, v in values.items() if spell(v) != spell(self.parameters_[k].default)}


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def number(value: Any, interval: Interval) -> float:
    """Read a real number of the interval."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not interval.holds(float(value)):
        raise ValueError
    return float(value)


def integer_or_none(value: Any) -> int | None:
    """Read an integer, or None."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, numbers.Integral)):
        raise TypeError
    if value is not None and not -(2**63) <= int(value) < 2**63:
        raise ValueError
    return None if value is None else int(value)


def weights_or_none(value: Any) -> Tensor | None:
    """Read a number or one number per class, finite and at least 0, as a tensor in floating point; or None."""
    if value is None:
        return None
    given = value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.get_default_dtype(), device="cpu")
    given = given.detach().clone() if given.is_floating_point() else given.to(torch.get_default_dtype())
    if given.dim() > 2 or given.numel() == 0:
        raise ValueError
    if may_look(given) and not bool(((given >= 0) & torch.isfinite(given)).all()):
        raise ValueError
    return given


def spell(value: Any) -> str:
    """A parameter's value as a specification writes it: shortest, and read back to the same value.

    >>> spell(2.0), spell(0.1), spell([1.0, 2.5]), spell("mean")
    ('2', '0.1', '[1, 2.5]', 'mean')
    """
    if isinstance(value, Tensor):
        return spell(_shortest(value))
    if isinstance(value, nn.Module):  # a network of many lines goes by the name of its class
        return type(value).__name__ if "\n" in str(value) else str(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(spell(item) for item in value) + "]"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def _shortest(value: Tensor) -> Any:
    """The numbers of a tensor with the fewest digits that are the same numbers in its dtype."""
    exact = value.detach().cpu()
    for digits in range(1, 18):
        rounded = torch.tensor([float(f"{v:.{digits}g}") for v in exact.flatten().tolist()], dtype=torch.float64)
        if torch.equal(rounded.to(exact.dtype).view(exact.shape), exact):
            return rounded.view(exact.shape).tolist()
    return exact.tolist()


def nearest(word: str, words: Iterable[str]) -> str:
    """A suggestion for a misspelt word, as the end of a sentence; empty if nothing is near.

    >>> nearest("gama", ["gamma", "alpha"])
    '; did you mean "gamma"?'
    """
    near = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f'; did you mean "{near[0]}"?' if near else ""
