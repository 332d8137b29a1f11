"""Models of a curve: what all have in common, expressions, and torch functions of one's own.

A model computes outputs from rows of x and a vector of parameters; `affine` gives the matrix of one that is linear in
them.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossmith.curves.expression import Part, read
from lossmith.errors import InputError
from lossmith.text import as_clause, clean

Floats = NDArray[np.float64]


class Model(ABC):
    """What every model has: a text, the names of its parameters, and an output for rows of x."""

    text: str
    parameters: tuple[str, ...]

    @abstractmethod
    def output(self, x: Tensor, theta: Tensor) -> Tensor:
        """The outputs, [n], of rows of x, [n, columns], and parameters, [p]."""

    def affine(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        """``(A, b)`` of an output ``A theta + b``, where the output is that; else None."""
        return None

    def slopes(self, x: Tensor, theta: Tensor) -> Tensor:
        """The first derivatives of the outputs in the parameters, [n, p]."""
        at = theta.detach().clone().requires_grad_()
        row = torch.ones(len(x), dtype=torch.float64, requires_grad=True)
        # J' row is linear in row, so that its slopes in row are J: p passes back, where J' itself would take n
        (pulled,) = torch.autograd.grad(self.output(x, at), at, row, create_graph=True, materialize_grads=True)
        columns = [torch.autograd.grad(one, row, retain_graph=True, materialize_grads=True)[0] for one in pulled]
        return torch.stack(columns, 1)

    def bend(self, x: Tensor, theta: Tensor, pull: Tensor) -> Tensor:
        """The second derivatives of ``sum pull * output`` in the parameters, [p, p]."""
        at = theta.detach().clone().requires_grad_()
        total = (pull * self.output(x, at)).sum()
        (first,) = torch.autograd.grad(total, at, create_graph=True, materialize_grads=True)
        if not first.requires_grad:
            return torch.zeros(len(theta), len(theta), dtype=torch.float64)
        return torch.stack(
            [torch.autograd.grad(one, at, retain_graph=True, materialize_grads=True)[0] for one in first]
        )

    def shapes(self) -> tuple[int, ...]:
        """The parameters that the output is not linear in, even when they are held."""
        return tuple(range(len(self.parameters)))

    def report(self, theta: Floats) -> dict[str, float]:
        """The parameters by name, in the user's units."""
        return dict(zip(self.parameters, theta.tolist(), strict=True))

    def undefined(self, x: Tensor, theta: Tensor) -> str | None:
        """Which part has no value, and in how many rows; None where all have one."""
        bad = ~torch.isfinite(self.output(x, theta))
        return f"the model has no finite value in {rows(bad)}" if bool(bad.any()) else None


class Written(Model):
    """An expression of the columns of x and of parameters."""

    def __init__(self, text: str, names: Sequence[str]) -> None:
        self.inputs = input_names(names)
        self.part: Part = read(text, list(self.inputs))
        self.text = self.part.text
        self.parameters = tuple(name for name in self.part.names if name not in self.inputs)
        self._shapes = self._entangled()

    def output(self, x: Tensor, theta: Tensor) -> Tensor:
        return self.part(self.values(x, theta)).expand(len(x))

    def slopes(self, x: Tensor, theta: Tensor) -> Tensor:
        return torch.stack(self._by_row(x, theta)[1], 1).detach()

    def bend(self, x: Tensor, theta: Tensor, pull: Tensor) -> Tensor:
        own, first = self._by_row(x, theta)
        rows_of = [
            torch.autograd.grad((pull * slope).sum(), own, retain_graph=True, materialize_grads=True)
            if slope.requires_grad
            else [torch.zeros_like(slope)] * len(own)
            for slope in first
        ]
        return torch.stack([torch.stack([part.sum() for part in parts]) for parts in rows_of])

    def _by_row(self, x: Tensor, theta: Tensor) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        """Parameters of each row's own, and the slopes in them: rows do not meet, so one pass back gives them all."""
        own = [value.expand(len(x)).clone().requires_grad_() for value in theta.detach().unbind()]
        output = self.output(x, torch.stack(own))
        return own, torch.autograd.grad(output.sum(), own, create_graph=True, materialize_grads=True)

    def values(self, x: Tensor, theta: Tensor) -> dict[str, Tensor]:
        """Every name with its numbers."""
        found = {name: x[:, column] for name, column in self.inputs.items()}
        return found | dict(zip(self.parameters, theta.unbind(), strict=True))

    def affine(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        if self.part.degree(frozenset(self.parameters)) == 2:
            return None
        return given_shapes(self, x, torch.zeros(len(self.parameters), dtype=torch.float64), ())

    def shapes(self) -> tuple[int, ...]:
        return self._shapes

    def _entangled(self) -> tuple[int, ...]:
        """All parameters but a set in which the expression is affine, the least entangled first."""
        count = len(self.parameters)
        clashes = [sum(self._degree(k, j) == 2 for j in range(count)) for k in range(count)]
        chosen: list[int] = []
        for k in sorted(range(count), key=lambda k: clashes[k]):
            if self._degree(*chosen, k) < 2:
                chosen.append(k)
        return tuple(k for k in range(count) if k not in chosen)

    def _degree(self, *which: int) -> int:
        return self.part.degree(frozenset(self.parameters[k] for k in which))

    def undefined(self, x: Tensor, theta: Tensor) -> str | None:
        found = self.part.first_undefined(self.values(x, theta))
        if found is None:
            return None
        part, bad = found
        return f'"{clean(part.text, 80)}" has no finite value in {rows(bad.expand(len(x)))}{self._where(x, bad)}'

    def _where(self, x: Tensor, bad: Tensor) -> str:
        first = int(bad.expand(len(x)).nonzero()[0])
        names = {column: name for name, column in self.inputs.items()}  # the columns' own names come last
        return f" ({', '.join(f'{clean(names[k])} = {float(value):.6g}' for k, value in enumerate(x[first]))})"


class Function(Model):
    """A torch function ``f(x, a, b, c)`` of one's own; x is [n], or [n, columns] where there are several."""

    def __init__(self, function: Callable[..., Tensor], columns: int) -> None:
        try:
            names = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):
            names = []
        plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        if len(names) < 2 or any(name.kind not in plain for name in names):
            raise InputError("a model that is a function takes x and then every parameter by name: f(x, a, b).")
        self.function, self.columns = function, columns
        self.parameters = tuple(name.name for name in names[1:])
        self.text = f"{getattr(function, '__name__', 'function')}({', '.join(name.name for name in names)})"

    def output(self, x: Tensor, theta: Tensor) -> Tensor:
        try:
            found = self.function(x[:, 0] if self.columns == 1 else x, *theta.unbind())
        except Exception as problem:  # it may raise anything
            said = f"{type(problem).__name__}: {as_clause(problem)}"
            raise InputError(f"{self.text} raises {said}; it gets torch tensors, so write it with torch.") from problem
        if not isinstance(found, Tensor) or found.shape != x.shape[:1]:
            given = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise InputError(f"{self.text} must return a tensor with one value per row, [{len(x)}], not {given}.")
        return found.double()


def given_shapes(model: Model, x: Tensor, theta: Tensor, shapes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """``(A, b)`` of the output in the parameters that it is affine in, at the given values of the others."""
    free = [k for k in range(len(theta)) if k not in shapes]
    base = theta.clone()
    base[free] = 0.0
    offset = model.output(x, base)
    columns = []
    for k in free:
        unit = base.clone()
        unit[k] = 1.0
        columns.append(model.output(x, unit) - offset)
    return torch.stack(columns, 1) if columns else x.new_zeros(len(x), 0), offset


def input_names(names: Sequence[str]) -> Mapping[str, int]:
    """What an expression may call the columns of x: their names, and x, or x1, x2 ... where there are several.

    >>> input_names(["income"]), input_names(["a", "b"])
    ({'x': 0, 'income': 0}, {'x1': 0, 'x2': 1, 'a': 0, 'b': 1})
    """
    short = ["x"] if len(names) == 1 else [f"x{k + 1}" for k in range(len(names))]
    return {name: k for words in (short, names) for k, name in enumerate(words)}


def rows(bad: Tensor) -> str:
    """How many rows, and the first of them, counted from 1."""
    where = bad.nonzero().flatten().tolist()
    return f"row {where[0] + 1}" if len(where) == 1 else f"{len(where):,} rows, first row {where[0] + 1}"
