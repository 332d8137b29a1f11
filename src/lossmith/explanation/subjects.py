"""What a picture or an explanation is of: losses, each under a name, from losses, specifications and values."""

import ast
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossmith import spec
from lossmith.errors import ParameterError, SpecError
from lossmith.flow.loss import Loss, registry
from lossmith.flow.parameter import Parameter, nearest, spell, weights_or_none
from lossmith.flow.sum import WeightedSum
from lossmith.text import clean

Subjects = str | Loss | WeightedSum | type[Loss]


class Values(tuple[Any, ...]):
    """The values that a parameter takes in turn, whatever each of them is."""

    __slots__ = ()


@dataclass(frozen=True)
class Subject:
    """A loss, the words for it, and whether it is one of several values of a parameter."""

    loss: Loss | WeightedSum
    label: str
    swept: bool = False


def subjects(losses: Sequence[Subjects], values: Mapping[str, Any]) -> list[Subject]:
    """Each loss, once for every combination of the values of the parameters that it has.

    >>> [one.label for one in subjects(["focal", "poly"], {"gamma": [0, 2]})]
    ['focal(gamma=0)', 'focal(gamma=2)', 'poly']

    Raises `ParameterError` for a parameter that none of the losses has, `SpecError` for a loss that does not exist.
    """
    made = [_made(loss) for loss in losses]
    known = {name for loss in made if isinstance(loss, Loss) for name in loss.parameters_}
    for word in values:
        if word not in known:
            owner = " + ".join(str(loss) for loss in made)
            if all(isinstance(loss, WeightedSum) for loss in made):
                raise ParameterError(f"{clean(owner)}: {word} belongs to a single loss; write it into the sum")
            raise ParameterError(f"{clean(owner)}: no parameter {word!r}{nearest(word, known)}")
    return [one for loss in made for one in _swept(loss, values)]


def _made(loss: Subjects) -> Loss | WeightedSum:
    """The loss; one that cannot do without some parameter gets that of its example."""
    if isinstance(loss, Loss | WeightedSum):
        return loss
    if isinstance(loss, type):
        if not (issubclass(loss, Loss) and loss.name):
            raise SpecError(f"a loss is a loss, its class or a specification, not {loss!r}")
        return _by_example(loss)
    try:
        return spec.create(loss)
    except ParameterError:
        named = [cls for cls in registry.values() if loss.strip() in (cls.name, cls.__name__)]
        if not (named and named[0].example):
            raise
        return named[0](**named[0].example)


def _words(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{k}={spell(v)}" for k, v in options.items())


def _by_example(cls: type[Loss]) -> Loss:
    try:
        return cls()
    except ParameterError:
        if not cls.example:
            raise
        return cls(**cls.example)


def _swept(loss: Loss | WeightedSum, values: Mapping[str, Any]) -> list[Subject]:
    own = {} if isinstance(loss, WeightedSum) else {k: v for k, v in values.items() if k in loss.parameters_}
    if not own or isinstance(loss, WeightedSum):
        return [Subject(loss, clean(loss))]
    each = [[(name, one) for one in several(loss.parameters_[name], value)] for name, value in own.items()]
    for (name, _), some in zip(own.items(), each, strict=True):
        if not some:
            raise ParameterError(f"{clean(loss)}: {name}: give at least one value")
    found = []
    for chosen in itertools.product(*each):
        one = type(loss)(**{**loss.options(), **dict(chosen)})
        shown = {**{name: getattr(one, name) for name, _ in chosen}, **one.options()}
        found.append(Subject(one, clean(f"{one.spec_name}({_words(shown)})"), swept=True))
    return found


def several(parameter: Parameter, value: Any) -> list[Any]:
    """The values that a parameter is to take: one, or those of a list, where one value is not a list itself."""
    if isinstance(value, Values):
        return list(value)
    if hasattr(value, "tolist"):  # a tensor or an array
        value = value.tolist()
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        return [value]
    values = list(value)
    scalar = parameter.read is not weights_or_none and not isinstance(parameter.default, tuple)
    if scalar or any(isinstance(one, list | tuple | None) for one in values):
        return values
    return [values]


def read(text: str) -> Values:
    """The values in ``0,0.5,1`` or ``[1, 2],[3, 4]`` or ``mean,sum``, as a specification reads them.

    >>> read("0,0.5"), read("mean,sum"), read("[1, 2],None"), read("True")
    ((0, 0.5), ('mean', 'sum'), ([1, 2], None), (True,))
    """
    try:
        node = ast.parse(f"[{text}]", mode="eval").body
        assert isinstance(node, ast.List)
        return Values(one.id if isinstance(one, ast.Name) else ast.literal_eval(one) for one in node.elts)
    except (SyntaxError, ValueError, AssertionError, RecursionError, MemoryError):
        raise SpecError(f"cannot read the values {clean(text)!r}; write them like 0,0.5,2") from None
