"""Models that are linear in their parameters by construction: polynomials, planes, splines.

Each keeps well-conditioned parameters inside and reports them in the user's units.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from lossmith.curves.model import Floats, Model


class Basis(Model):
    """A model that is linear in its parameters by construction: ``matrix(x) theta``."""

    @abstractmethod
    def matrix(self, x: Floats) -> Floats:
        """The basis functions of rows of x, [n, p]."""

    def affine(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(self.matrix(x.numpy())), torch.zeros(len(x), dtype=torch.float64)

    def output(self, x: Tensor, theta: Tensor) -> Tensor:
        return self.affine(x)[0] @ theta

    def shapes(self) -> tuple[int, ...]:
        return ()


class Polynomial(Basis):
    """``c0 + c1*x + ...``: Chebyshev polynomials of the scaled x inside, powers of x outside."""

    def __init__(self, degree: int, x: Floats, name: str) -> None:
        self.parameters = tuple(f"c{k}" for k in range(degree + 1))
        powers = ["c0", f"c1*{name}", *(f"c{k}*{name}**{k}" for k in range(2, degree + 1))]
        self.text = " + ".join(powers[: degree + 1])
        self.middle, self.half = middle_and_half(x[:, 0])

    def matrix(self, x: Floats) -> Floats:
        t = (x[:, 0] - self.middle) / self.half
        return np.asarray(np.polynomial.chebyshev.chebvander(t, len(self.parameters) - 1), dtype=np.float64)

    def report(self, theta: Floats) -> dict[str, float]:
        """Exact but for the last rounding: the powers of (x - middle) / half are multiplied out in fractions."""
        powers = np.polynomial.chebyshev.cheb2poly(theta)
        powers = np.pad(powers, (0, len(theta) - len(powers)))
        middle, half = Fraction(self.middle), Fraction(self.half)
        found = [Fraction(0)] * len(theta)
        for k, c in enumerate(powers.tolist()):
            for j in range(k + 1):
                found[j] += Fraction(c) / half**k * math.comb(k, j) * (-middle) ** (k - j)
        return dict(zip(self.parameters, map(float, found), strict=True))


class Plane(Basis):
    """An intercept and a slope for each column of x, which is centred and scaled inside."""

    def __init__(self, x: Floats, names: Sequence[str]) -> None:
        first = "intercept" if "intercept" not in names else "(intercept)"
        self.parameters = (first, *names)
        self.text = f"linear in {', '.join(names)}"
        ends = [middle_and_half(column) for column in x.T]
        self.middle, self.half = (np.array(values) for values in zip(*ends, strict=True))

    def matrix(self, x: Floats) -> Floats:
        return np.column_stack([np.ones(len(x)), (x - self.middle) / self.half])

    def report(self, theta: Floats) -> dict[str, float]:
        slopes = theta[1:] / self.half
        return dict(zip(self.parameters, [float(theta[0] - slopes @ self.middle), *slopes.tolist()], strict=True))


class Spline(Basis):
    """A cubic spline with knots at quantiles of x; beyond the data its end pieces go on."""

    def __init__(self, knots: int, x: Floats, name: str) -> None:
        known = np.unique(x[:, 0])
        inner = np.quantile(known, np.linspace(0, 1, knots + 2)[1:-1])
        self.knots = np.concatenate([known[[0] * 4], inner, known[[-1] * 4]])
        self.parameters = tuple(f"c{k}" for k in range(knots + 4))
        self.text = f"cubic spline of {name} with {knots} knots"

    def matrix(self, x: Floats) -> Floats:
        from scipy.interpolate import BSpline

        found: Floats = BSpline.design_matrix(x[:, 0], self.knots, 3, extrapolate=True).toarray()
        return found


def middle_and_half(x: Floats) -> tuple[float, float]:
    """The middle of a range and half its width; 1 where it has none."""
    low, high = float(x.min()), float(x.max())
    return low / 2 + high / 2, (high / 2 - low / 2) or 1.0
