"""Expressions such as ``a*sqrt(x)*(b*x**2 + c)``: read against a whitelist, never evaluated as Python.

What is read becomes torch functions, so that the slopes in the parameters are autograd's, exact.
"""

import ast
import math
import unicodedata
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lossmith.errors import InputError
from lossmith.flow.parameter import nearest
from lossmith.text import clean

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs,
    "acos": torch.acos,
    "asin": torch.asin,
    "atan": torch.atan,
    "cos": torch.cos,
    "cosh": torch.cosh,
    "erf": torch.erf,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "log": torch.log,
    "log10": torch.log10,
    "log1p": torch.log1p,
    "log2": torch.log2,
    "sigmoid": torch.sigmoid,
    "sin": torch.sin,
    "sinh": torch.sinh,
    "sqrt": torch.sqrt,
    "tan": torch.tan,
    "tanh": torch.tanh,
}
CONSTANTS = {"pi": math.pi, "e": math.e}
OPERATIONS: dict[type[ast.operator], Callable[[Tensor, Tensor], Tensor]] = {
    ast.Add: torch.add,
    ast.Sub: torch.sub,
    ast.Mult: torch.mul,
    ast.Div: torch.div,
    ast.Pow: torch.pow,
}
LONGEST = 1000  # characters
DEEPEST = 40  # levels of brackets, functions and signs
MOST_PARAMETERS = 20
EXAMPLE = "a*exp(-b*x) + c"
Values = Mapping[str, Tensor]


@dataclass(frozen=True)
class Part:
    """A piece of an expression: how it is written, how it is computed, the pieces and the names it is made of."""

    text: str
    compute: Callable[..., Tensor]  # of the values of its own pieces, in their order
    pieces: tuple["Part", ...] = ()
    name: str = ""
    operation: type[ast.AST] | None = None

    def __call__(self, values: Values) -> Tensor:
        return values[self.name] if self.name else self.compute(*(piece(values) for piece in self.pieces))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names in it, in the order in which they are first written."""
        inner = (name for piece in self.pieces for name in piece.names)
        return (self.name,) if self.name else tuple(dict.fromkeys(inner))

    def first_undefined(self, values: Values) -> tuple["Part", Tensor] | None:
        """The innermost piece with values that are no finite numbers, and where."""
        for piece in self.pieces:
            if found := piece.first_undefined(values):
                return found
        bad = ~torch.isfinite(self(values))
        return (self, bad) if bool(bad.any()) else None

    def degree(self, names: frozenset[str]) -> int:
        """0 where it does not depend on the names, 1 where it is affine in all of them together, 2 otherwise.

        >>> read("a*exp(-b*x) + c", ["x"]).degree(frozenset("ac")), read("a*b*x", ["x"]).degree(frozenset("ab"))
        (1, 2)
        """
        if not names.intersection(self.names):
            return 0
        inner = [piece.degree(names) for piece in self.pieces]
        match self.operation:
            case None if self.name:
                return 1
            case ast.Add | ast.Sub | ast.USub | ast.UAdd:
                return max(inner)
            case ast.Mult:
                return min(sum(inner), 2)
            case ast.Div if inner[1] == 0:
                return inner[0]
        return 2


def read(text: str, inputs: Sequence[str]) -> Part:
    """The expression that a text describes; ``inputs`` are the names of x, all others are parameters.

    >>> read("a*sqrt(x)*(b*x**2 + c)", ["x"]).names
    ('a', 'x', 'b', 'c')
    >>> read("2*x + k", ["x"])({"x": torch.tensor([1.0, 2.0]), "k": torch.tensor(0.5)}).tolist()
    [2.5, 4.5]

    Raises `InputError` for whatever is not a number, a name, + - * / **, brackets or a known function.
    """
    if len(text) > LONGEST:
        raise InputError(f"an expression has at most {LONGEST:,} characters; this one has {len(text):,}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the parser, about texts such as "1or x", which are refused below
            tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputError(f"cannot read the expression {shown(text)}; write it like {EXAMPLE!r}.") from None
    if depth(tree) > DEEPEST:  # before anything recurses into it
        raise InputError(f"the expression {shown(text)} is nested more than {DEEPEST} levels deep.")
    names = {unicodedata.normalize("NFKC", name): name for name in inputs}  # as Python's parser spells names
    part = build(tree, text, names)
    free = [name for name in part.names if name not in inputs]
    if len(free) > MOST_PARAMETERS:
        raise InputError(f"an expression has at most {MOST_PARAMETERS} parameters; {shown(text)} has {len(free)}.")
    if not free:
        raise InputError(f"the expression {shown(text)} has no parameters to fit; write it like {EXAMPLE!r}.")
    if len(free) == len(part.names):
        raise InputError(f"the expression {shown(text)} does not contain {' or '.join(map(clean, inputs))}.")
    return part


def depth(tree: ast.AST) -> int:
    """The levels of a tree, counted without recursion."""
    levels, here = 0, [tree]
    while here:
        levels, here = levels + 1, [child for node in here for child in ast.iter_child_nodes(node)]
    return levels


def build(node: ast.expr, text: str, inputs: Mapping[str, str]) -> Part:
    """One node of the tree as a part; whatever is not on the list is refused."""
    spelled = ast.unparse(node)
    match node:
        case ast.Constant(int() | float() as value) if not isinstance(value, bool):
            return constant(value, spelled)
        case ast.Name(name):
            return named(name, inputs, text)
        case ast.UnaryOp(ast.USub() | ast.UAdd() as sign, inner):
            pieces = (build(inner, text, inputs),)
            compute = torch.neg if isinstance(sign, ast.USub) else torch.clone
            return checked(Part(spelled, compute, pieces, operation=type(sign)))
        case ast.BinOp(left, sign, right) if type(sign) in OPERATIONS:
            pieces2 = (build(left, text, inputs), build(right, text, inputs))
            return checked(Part(spelled, OPERATIONS[type(sign)], pieces2, operation=type(sign)))
        case ast.BinOp(_, ast.BitXor(), _):
            raise InputError(f"{shown(spelled)}: a power is written with **, not with ^.")
        case ast.Call(ast.Name(name), [inner], []) if name in FUNCTIONS:
            return checked(Part(spelled, FUNCTIONS[name], (build(inner, text, inputs),)))
        case ast.Call(ast.Name(name)):
            raise InputError(wrong_call(name, spelled))
    known = "numbers, x, parameters, + - * / **, brackets and functions such as exp"
    raise InputError(f"{shown(spelled)} has no place in an expression: it is made of {known}.")


def constant(value: float, spelled: str) -> Part:
    """A number; one too large for a float is infinite, and refused as such."""
    try:
        number = torch.tensor(float(value), dtype=torch.float64)
    except OverflowError:
        number = torch.tensor(math.inf, dtype=torch.float64)
    return checked(Part(spelled, lambda: number))


def named(name: str, inputs: Mapping[str, str], text: str) -> Part:
    """A name is an input, a constant, or else a parameter."""
    if name in inputs:
        return Part(name, torch.clone, name=inputs[name])
    if name in CONSTANTS:
        return constant(CONSTANTS[name], name)
    if name in FUNCTIONS:
        raise InputError(f"{name} is a function in the expression {shown(text)}; write {name}(...).")
    if name.startswith("__"):
        raise InputError(f"{shown(name)} cannot be the name of a parameter; use letters, such as a or rate.")
    return Part(name, torch.clone, name=name)


def wrong_call(name: str, spelled: str) -> str:
    """What is wrong with a call that was not accepted."""
    if name in FUNCTIONS:
        return f"{shown(spelled)}: {name} takes one value in brackets."
    hint = nearest(name, FUNCTIONS) or f" (there are {', '.join(FUNCTIONS)})"
    return f"{shown(spelled)}: there is no function {shown(name)} in expressions{hint}"


def checked(part: Part) -> Part:
    """The part, if it holds no constant that is not a number, such as 9**9**9 or 1/0."""
    if not part.names and not bool(torch.isfinite(part({}))):
        raise InputError(f"{shown(part.text)} is not a finite number.")
    return part


def shown(text: str) -> str:
    """A piece of an expression inside a sentence."""
    return f'"{clean(text, 80)}"'
