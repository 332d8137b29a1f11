"""The registry seen from outside: names, specification strings, `create`, and the list of all losses.

A specification such as ``"focal(gamma=2) + 0.5*poly"`` is parsed, never evaluated.
"""

import ast
import inspect
import re
from collections import Counter
from pathlib import Path
from typing import Any

import lossmith.losses  # noqa: F401  (fills the registry)
from lossmith.errors import SpecError
from lossmith.flow.loss import Loss, registry
from lossmith.flow.parameter import Parameter, nearest, spell
from lossmith.flow.sum import WeightedSum
from lossmith.own_file import module_of

EXAMPLE = "focal(gamma=2) + 0.5*poly"
LONGEST = 1_000_000  # characters of a specification, which may hold a weight for each of many classes
_ONE_FILE = re.compile(r"(?P<path>.+\.py):(?P<name>[A-Za-z_]\w*)(?=$|\([^()]*\)$)")  # then spaces do no harm
_FILE = re.compile(r"(?P<path>[^\s*+()]+\.py):(?P<name>[A-Za-z_]\w*)")


def create(spec: "str | Loss | WeightedSum") -> Loss | WeightedSum:
    """The loss that a specification describes; a loss is returned as it is.

    A specification is a name of the registry with its parameters, or a weighted sum of such; the name of a class
    does as well, and ``path/to/file.py:Name`` is a loss of your own. ``str(loss)`` gives the specification back.

    >>> create("focal(gamma=1)")
    FocalLoss(gamma=1.0)
    >>> print(create("0.7*FocalLoss + 0.3*poly(epsilon=2)"))
    0.7*focal + 0.3*poly(epsilon=2)

    Raises `SpecError` for what cannot be understood (with the nearest name) and `ParameterError` for parameters
    outside their range.
    """
    if isinstance(spec, Loss | WeightedSum):
        return spec
    if not isinstance(spec, str) or not spec.strip():
        raise SpecError(f"a loss is a specification such as {EXAMPLE!r}, or a loss; not {spec!r}")
    if len(spec) > LONGEST:
        raise SpecError(f"a specification has at most {LONGEST:,} characters; this one has {len(spec):,}")
    files: dict[str, type[Loss]] = {}

    def stand_in(match: re.Match[str]) -> str:
        word = f"file_{len(files)}_"
        files[word] = _from_file(match["path"], match["name"])
        return word

    text = _file_pattern(spec).sub(stand_in, spec.strip())
    try:
        return _build(ast.parse(text, mode="eval").body, spec, files)
    except (SyntaxError, RecursionError, MemoryError):
        raise SpecError(f"cannot read the loss {spec[:80]!r}; write it like {EXAMPLE!r}") from None


def own_files(spec: str) -> list[Path]:
    """The user's own files that a specification names.

    >>> [path.name for path in own_files("0.5*my_losses.py:Mine + focal")]
    ['my_losses.py']
    """
    return [Path(match["path"]).expanduser() for match in _file_pattern(spec).finditer(spec.strip())]


def _file_pattern(spec: str) -> re.Pattern[str]:
    """One file and nothing else may have spaces in its path; a path that could be a sum has to be there to count."""
    one = _ONE_FILE.match(spec.strip())
    alone = one and (not set("*+:") & set(one["path"]) or Path(one["path"]).expanduser().is_file())
    return _ONE_FILE if alone else _FILE


def _build(node: ast.expr, spec: str, files: dict[str, type[Loss]]) -> Loss | WeightedSum:
    match node:
        case ast.BinOp(left, ast.Add(), right):
            return WeightedSum.of(_build(left, spec, files)) + _build(right, spec, files)
        case ast.BinOp(left, ast.Sub(), right):
            return WeightedSum.of(_build(left, spec, files)) - _build(right, spec, files)
        case ast.BinOp(ast.Constant() | ast.UnaryOp() as factor, ast.Mult(), loss) | ast.BinOp(
            loss, ast.Mult(), ast.Constant() | ast.UnaryOp() as factor
        ):
            times: float = _value(factor, spec)
            return WeightedSum.of(_build(loss, spec, files)) * times
        case ast.Name(name):
            return _find(name, spec, files)()
        case ast.Call(ast.Name(name), [], keywords) if all(k.arg for k in keywords):
            words = [k.arg for k in keywords]
            if len(set(words)) < len(words):
                raise SpecError(f"a parameter is given twice in the loss {spec!r}")
            return _find(name, spec, files)(**{str(k.arg): _value(k.value, spec) for k in keywords})
    raise SpecError(f"cannot read {ast.unparse(node)!r} in the loss {spec!r}; write it like {EXAMPLE!r}")


def _value(node: ast.expr, spec: str) -> Any:
    match node:
        case ast.Constant(value):
            return value
        case ast.Name(word):
            return word  # link=sigmoid reads as link="sigmoid"
        case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as number)):
            return -number
        case ast.List(items) | ast.Tuple(items):
            return [_value(item, spec) for item in items]
    raise SpecError(f"a parameter is a number, a word or a list of numbers, not {ast.unparse(node)!r} in {spec!r}")


def _find(name: str, spec: str, files: dict[str, type[Loss]]) -> type[Loss]:
    if name in files:
        return files[name]
    by_class = {cls.__name__: cls for cls in registry.values()}
    found = registry.get(name) or registry.get(name.removesuffix("_loss")) or by_class.get(name)
    if found is None:
        raise SpecError(f"no loss is named {name!r}{nearest(name, [*registry, *by_class])} (all: lossmith list)")
    return found


def _from_file(path: str, name: str) -> type[Loss]:
    """A loss class of the user's own, by running the user's own file."""
    module = module_of(path)
    cls = getattr(module, name, None)
    if cls is None:
        mine = [k for k, v in vars(module).items() if inspect.isclass(v) and issubclass(v, Loss) and v.name]
        raise SpecError(f"{path} has no {name!r}{nearest(name, mine)}")
    if not (inspect.isclass(cls) and issubclass(cls, Loss) and cls.name):
        raise SpecError(
            f"{path}:{name} is not a loss class; build it on a family, or decorate a formula with from_function"
        )
    if cls.__module__ == module.__name__ and ":" not in cls.spec_name:
        cls.spec_name = f"{path}:{name}"
    return cls


def accepts(name: str) -> tuple[str, ...]:
    """The names of all parameters of a registered loss.

    >>> accepts("huber")[0]
    'delta'
    """
    return tuple(_find(name, name, {}).parameters_)


def catalogue(family: str | None = None) -> list[dict[str, str]]:
    """One row per registered loss: name, family, class, parameters, and the first sentence of its docstring.

    The parameters are those that the loss does not share with most of its family; `shared` are the others.

    >>> [row["name"] for row in catalogue("ranking")]
    ['smooth_ap']
    >>> [row["parameters"] for row in catalogue("margin")][:2]
    ['', '']

    Raises `SpecError` for a family that does not exist.
    """
    families = sorted({cls.family for cls in registry.values()})
    if family is not None and family not in families:
        raise SpecError(f"no family is named {family!r}{nearest(family, families)} (all: {', '.join(families)})")
    chosen = sorted(
        (cls for cls in registry.values() if family in (None, cls.family)), key=lambda c: (c.family, c.name)
    )
    rows = []
    for cls in chosen:
        shared = _shared(cls.family)
        own = {name: p for name, p in cls.parameters_.items() if name not in shared or p is not shared[name]}
        rows.append(
            {
                "name": cls.name,
                "family": cls.family,
                "class": cls.__name__,
                "parameters": _signature({k: p for k, p in own.items() if p is not Loss.parameters_.get(k)}),
                "shared": _signature({k: p for k, p in shared.items() if p is not Loss.parameters_.get(k)}),
                "summary": (cls.__doc__ or "").split("\n")[0],
            }
        )
    return rows


def _shared(family: str) -> dict[str, Parameter]:
    """The parameters that most losses of a family have, as they are declared for the most."""
    members = [cls for cls in registry.values() if cls.family == family]
    declared = Counter(item for cls in members for item in cls.parameters_.items())
    return {name: p for (name, p), count in declared.items() if count > max(1, len(members) / 2)}


def _signature(parameters: dict[str, Parameter]) -> str:
    return ", ".join(f"{name}={spell(parameter.default)}" for name, parameter in parameters.items())
