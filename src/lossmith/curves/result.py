"""What a fit gives back: a curve, or several of the same model under several losses."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from lossmith.curves.data import columns_of, numbers
from lossmith.curves.problem import Floats, Problem
from lossmith.errors import InputError
from lossmith.losses.residual import QuantileLoss
from lossmith.spec import create


@dataclass(frozen=True)
class Curve:
    """A fitted curve.

    `parameters` are in the units of the data; `value` is the mean loss; `converged` says whether they are a minimum,
    and `message` how it was found; `intervals` are 95 % bootstrap intervals of the parameters, where asked for.
    """

    loss: str
    expression: str
    parameters: dict[str, float]
    value: float
    converged: bool
    message: str
    notes: tuple[str, ...]
    names: tuple[str, ...]  # of the columns of x
    y_name: str
    left_out: int  # rows with gaps
    problem: Problem = field(repr=False, compare=False)
    theta: Floats = field(repr=False, compare=False)
    intervals: dict[str, tuple[float, float]] | None = None

    def predict(self, x: Any) -> Floats:
        """The predicted y of new rows of x; NaN where x has a gap or the expression no value."""
        columns = columns_of(x)
        if len(columns) != len(self.names):
            raise InputError(f"x has {len(columns)} columns; the curve was fitted to {len(self.names)}.")
        rows = torch.from_numpy(np.column_stack([numbers(column) for column in columns]))
        whole = ~rows.isnan().any(1)
        found = np.full(len(rows), np.nan)
        found[whole.numpy()] = self.of(rows[whole])
        return found

    def of(self, rows: torch.Tensor) -> Floats:
        """The predicted y of rows of numbers, [n, columns]."""
        with torch.no_grad():
            output = self.problem.model.output(rows, torch.from_numpy(self.theta))
            found: Floats = self.problem.objective.predicted(output).numpy()
        return np.where(np.isfinite(found), found, np.nan)

    @cached_property
    def fitted(self) -> Floats:
        """The predicted y of the rows that it was fitted to."""
        return self.of(self.problem.x)

    @cached_property
    def figures(self) -> dict[str, float]:
        """What it misses on its own rows: MAE, RMSE and the median of the absolute errors, weighted as the rows are."""
        from sklearn.metrics import median_absolute_error  # a second to import, and only this asks for it

        y, weight = self.problem.objective.y, self.problem.objective.weight
        fitted = torch.from_numpy(self.fitted)
        means = {name: float(create(name)(fitted, y, sample_weight=weight)) for name in ("mae", "rmse")}
        weights = None if weight is None else weight.numpy()
        return {**means, "median": float(median_absolute_error(y.numpy(), self.fitted, sample_weight=weights))}

    def plot(self, ax: Any = None) -> Any:
        """Draw the data and the curve, into `ax` or a figure of their own; returns matplotlib's `Figure`."""
        return Curves({self.loss: self}, {}).plot(ax)


class Curves(Mapping[str, Curve]):
    """The same model under several losses, by their specifications; `failures` says why others have no curve."""

    def __init__(self, curves: Mapping[str, Curve], failures: Mapping[str, str]) -> None:
        self._curves, self.failures = dict(curves), dict(failures)

    def __getitem__(self, loss: str) -> Curve:
        if loss not in self._curves:
            raise KeyError(f"no curve is under {loss!r}; there are {', '.join(self._curves)}")
        return self._curves[loss]

    def __iter__(self) -> Iterator[str]:
        return iter(self._curves)

    def __len__(self) -> int:
        return len(self._curves)

    def __repr__(self) -> str:
        return f"Curves({', '.join(f'{loss}: {curve.value:.6g}' for loss, curve in self.items())})"

    @property
    def quantiles(self) -> dict[float, Curve]:
        """The curves that are quantiles, from the lowest to the highest."""
        losses = ((curve.problem.objective.loss, curve) for curve in self.values())
        found = {loss.q: curve for loss, curve in losses if isinstance(loss, QuantileLoss)}
        return dict(sorted(found.items()))

    @property
    def band(self) -> dict[str, float | int] | None:
        """Between the lowest and the highest quantile: the share of the rows, what it should be, and crossed rows.

        None where there are not two quantiles. ``crossed`` counts the rows in which a higher quantile is below a lower.
        """
        found = self.quantiles
        if len(found) < 2:
            return None
        levels, curves = list(found), list(found.values())
        y = curves[0].problem.objective.y.numpy()
        low, high = curves[0].fitted, curves[-1].fitted
        room = 1e-9 * curves[0].problem.objective.scale  # quantile curves pass through rows, but for rounding
        weight = curves[0].problem.root_weight ** 2
        inside = (low - room <= y) & (y <= high + room)
        crossed = np.any([b.fitted < a.fitted - room for a, b in pairwise(curves)], axis=0)
        return {
            "low": levels[0],
            "high": levels[-1],
            "expected": round(levels[-1] - levels[0], 12),
            "coverage": float(np.average(inside, weights=weight)),
            "crossed": int(crossed.sum()),
        }

    def plot(self, ax: Any = None) -> Any:
        """Draw the data, the curves, and the band between the quantiles; returns matplotlib's `Figure`."""
        from lossmith.curves.picture import axes, draw

        return draw(self, axes() if ax is None else ax)
