"""What is audited: a loss that can be made again with other parameters.

``package.module:Name(gamma=2)``, ``path/to/file.py:Name`` or a file with one loss. The parameters are literals and
are parsed, never evaluated; importing the module is what the user asked for.
"""

import ast
import copy
import functools
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from lossmith.audit.check import NotApplicableError
from lossmith.errors import SpecError
from lossmith.flow.loss import Loss
from lossmith.flow.parameter import nearest
from lossmith.own_file import module_of

EXAMPLE = "package.module:MyLoss(gamma=2) or path/to/file.py:MyLoss"
LONGEST = 100_000  # characters
SEED = 0  # a loss with weights of its own starts from the same ones whenever it is made
_TARGET = re.compile(r"(?P<where>.+):(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\s*(?P<call>\(.*\))?\s*", re.DOTALL)
_DATA = 2  # the first arguments of a function are input and target


@dataclass(frozen=True)
class Home:
    """Where another process finds the class or function: a module or a file, and a name in it."""

    module: str
    name: str
    file: str = ""


@dataclass(frozen=True)
class Subject:
    """A loss under audit: `make` builds it afresh, with parameters changed."""

    title: str
    build: Callable[..., Any] | None  # None: an instance that cannot be built again
    options: Mapping[str, Any] = field(default_factory=dict)
    parameters: frozenset[str] = frozenset()
    call_parameters: frozenset[str] = frozenset()  # keywords of the call itself: mask=, sample_weight=, num_items=
    instance: Any = None
    home: Home | None = None
    function: bool = False  # the loss is a plain function: its parameters go with the call

    def make(self, **changes: Any) -> Any:
        """The loss with some parameters changed; `NotApplicableError` where it has none of that name, or refuses it."""
        for name in changes.keys() - self.parameters:
            raise NotApplicableError(f"it has no parameter {name}")
        torch.manual_seed(SEED)
        if self.build is None:
            if changes:
                raise NotApplicableError("the instance cannot be made again with other parameters; give its class")
            return copy.deepcopy(self.instance)
        try:
            return self.build(**{**self.options, **changes})
        except Exception as error:
            if not changes:
                raise SpecError(f"{self.title} cannot be made: {type(error).__name__}: {error}") from error
            shown = ", ".join(f"{k}={v!r}" for k, v in changes.items())
            raise NotApplicableError(f"it refuses {shown}: {error}") from error


def subject_of(target: Any) -> Subject:
    """The subject that a TARGET describes, or that a class, a function, a factory or an instance is."""
    if isinstance(target, Subject):
        return target
    if isinstance(target, str | Path):
        return _from_text(str(target))
    if inspect.isclass(target):
        return _of_class(target, {}, _home(target))
    if inspect.isroutine(target) or isinstance(target, functools.partial):
        return _of_function(target, {}, _home(target))
    if callable(target):
        return _of_instance(target)
    raise SpecError(f"a loss to audit is {EXAMPLE}, or something that can be called; not {target!r}")


def _from_text(text: str) -> Subject:
    if len(text) > LONGEST:
        raise SpecError(f"a target has at most {LONGEST:,} characters; this one has {len(text):,}")
    match = _TARGET.fullmatch(text.strip())
    if match is None or (text.endswith(".py") and Path(text).is_file()):
        if not text.strip().endswith(".py"):
            raise SpecError(f"a loss to audit is written {EXAMPLE}, not {text[:80]!r}")
        where, name, call = text.strip(), "", None
    else:
        where, name, call = match["where"], match["name"], match["call"]
    options = parameters_of(call, text) if call else {}
    file = where if where.endswith(".py") else ""
    module = module_of(file) if file else _import(where)
    found = _named(module, name, where) if name else _only_loss(module, file)
    home = Home("" if file else where, name or found.__name__, str(Path(file).expanduser().resolve()) if file else "")
    if inspect.isclass(found):
        return _of_class(found, options, home)
    if callable(found) and not isinstance(found, nn.Module):
        return _of_function(found, options, home)
    if callable(found) and not options:
        return _of_instance(found)
    raise SpecError(f"{name} of {where} is {type(found).__name__}: name a class or a function that is a loss")


def found_at(home: Home, options: Mapping[str, Any]) -> Subject:
    """The class or function at a place, with these options: how another process makes the same loss."""
    module = module_of(home.file) if home.file else _import(home.module)
    found = _named(module, home.name, home.module or home.file)
    return (_of_class if inspect.isclass(found) else _of_function)(found, options, home)


def parameters_of(call: str, text: str) -> dict[str, Any]:
    """The literal keyword arguments in brackets; nothing is evaluated.

    >>> parameters_of("(gamma=2, weight=[1, 2.5], link='sigmoid')", "")
    {'gamma': 2, 'weight': [1, 2.5], 'link': 'sigmoid'}
    """
    try:
        node = ast.parse(f"f{call.strip()}", mode="eval").body
    except (SyntaxError, RecursionError, MemoryError, ValueError):
        raise SpecError(f"cannot read the parameters of {text[:80]!r}; write them like (gamma=2)") from None
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.args:
        raise SpecError(f"the parameters of {text[:80]!r} must be given by name, like (gamma=2)")
    options: dict[str, Any] = {}
    for keyword in node.keywords:
        try:
            value = ast.literal_eval(keyword.value)
        except (ValueError, TypeError, RecursionError):
            value = ...
        if keyword.arg is None or value is ... or keyword.arg in options:
            shown = f"{keyword.arg or '**'}={ast.unparse(keyword.value)}"
            raise SpecError(
                f"a parameter is a name, once, and a number, a quoted word, True, None or a list; not {shown}"
            )
        options[keyword.arg] = value
    return options


def _import(where: str) -> ModuleType:
    folder = str(Path.cwd())
    sys.path.insert(0, folder)  # as `python -m` does, so that a module in the current folder is found
    try:
        return importlib.import_module(where)
    except Exception as error:
        raise SpecError(f"{where} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(folder)


def _named(module: ModuleType, name: str, where: str) -> Any:
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise SpecError(f"{where} has no {name!r}{nearest(name, dir(module))}")
        found = getattr(found, part)
    return found


def _only_loss(module: ModuleType, file: str) -> Any:
    """The one loss that a file defines: a module class or a function of at least two arguments."""
    own = {k: v for k, v in vars(module).items() if getattr(v, "__module__", None) == module.__name__ and k[0] != "_"}
    classes = {k: v for k, v in own.items() if inspect.isclass(v) and issubclass(v, nn.Module) and not _is_family(v)}
    functions = {k: v for k, v in own.items() if inspect.isfunction(v) and len(_data_names(v)) >= _DATA}
    found = classes or functions
    if len(found) != 1:
        names = ", ".join(found) or "nothing that looks like a loss"
        raise SpecError(f"{file} holds {names}: name the one to audit, {file}:NAME")
    return next(iter(found.values()))


def _is_family(cls: type) -> bool:
    return issubclass(cls, Loss) and not cls.name


def _home(item: Any) -> Home | None:
    name, module = getattr(item, "__qualname__", ""), getattr(item, "__module__", None)
    loaded = sys.modules.get(module or "")
    if not name or loaded is None or module == "__main__" or "<" in name:
        return None
    return Home(str(module), name, str(getattr(loaded, "__lossmith_file__", "")))


def _title(name: str, options: Mapping[str, Any]) -> str:
    return name + (f"({', '.join(f'{k}={v!r}' for k, v in options.items())})" if options else "")


def _of_class(cls: type, options: Mapping[str, Any], home: Home | None) -> Subject:
    if issubclass(cls, Loss):
        if not cls.name:
            raise SpecError(f"{cls.__name__} is a family of losses, not a loss: name one of its losses")
        options = {**getattr(cls, "example", {}), **options}
        names = frozenset(cls.parameters_)
    else:
        names = _keywords(cls)
    forward = getattr(cls, "forward", None) or cls.__call__
    return Subject(_title(cls.__name__, options), cls, options, names, _keywords(forward), home=home)


def _of_function(function: Any, options: Mapping[str, Any], home: Home | None) -> Subject:
    if not _data_names(function) and not _is_opaque(function):  # a factory: it takes parameters and returns a loss
        made = subject_of(function(**options))
        known = _keywords(function) | (made.parameters if _takes_any(function) else frozenset())
        return Subject(made.title, function, options, known, made.call_parameters, home=home)
    names = _keywords(function) - set(_data_names(function))
    title = _title(getattr(function, "__name__", None) or repr(function), options)
    build = functools.partial(functools.partial, function)
    return Subject(title, build, options, names, names, home=home, function=True)


def _of_instance(loss: Any) -> Subject:
    cls = type(loss)
    options = _options_of(loss)
    if options is None:
        forward = getattr(cls, "forward", None) or cls.__call__
        return Subject(str(loss)[:80], None, {}, frozenset(), _keywords(forward), instance=loss)
    return _of_class(cls, options, _home(cls))


def _options_of(loss: Any) -> dict[str, Any] | None:
    """The parameters that would make this loss again, read from its attributes as scikit-learn's clone does."""
    if isinstance(loss, Loss):
        return loss.options()
    try:
        parameters = inspect.signature(type(loss)).parameters.values()
    except (TypeError, ValueError):
        return None
    options = {}
    for p in parameters:
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            return None
        if hasattr(loss, p.name):
            value = getattr(loss, p.name)
            if not _same(value, p.default):
                options[p.name] = value
        elif p.default is p.empty:
            return None
    return options


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and not isinstance(a, torch.Tensor) and bool(a == b)


def _signature(item: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(item)
    except (TypeError, ValueError):
        return None


def _is_opaque(function: Any) -> bool:
    return _signature(function) is None


def _keywords(item: Any) -> frozenset[str]:
    signature = _signature(item)
    parameters = [] if signature is None else signature.parameters.values()
    return frozenset(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))


def _takes_any(function: Any) -> bool:
    signature = _signature(function)
    return signature is not None and any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())


def _data_names(function: Any) -> list[str]:
    """The positional arguments without a default: the data."""
    signature = _signature(function)
    parameters = [] if signature is None else signature.parameters.values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [p.name for p in positional if p.default is p.empty]
