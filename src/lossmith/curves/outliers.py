"""Rows far from a robust curve, and how far they pull least squares away from it."""

from dataclasses import replace

import numpy as np

from lossmith.curves.fit import solve
from lossmith.curves.objective import objective_of
from lossmith.curves.problem import Floats, Problem, UnfittedError
from lossmith.errors import LossmithError
from lossmith.spec import create

FAR = 3.0  # robust standard deviations
NORMAL = 1.4826  # of a median absolute deviation is a standard deviation, where errors are normal
TUNING = 1.345  # Huber's: 95 % as good as least squares where errors are normal


def outliers(problem: Problem) -> dict[str, float | int] | None:
    """How many rows lie far from Huber's curve, and how much least squares differs from it over the rows.

    The robust standard deviation is 1.4826 times the median of the absolute residuals of least absolute errors, and
    Huber's delta 1.345 of it (Huber and Ronchetti, "Robust Statistics", 2009, section 7.8). None where the model is
    the logarithm of the prediction, fits more than half of the rows exactly, or has no minimum.
    """
    given = problem.objective
    if given.log_link:
        return None

    def fitted(loss: str) -> Floats:
        own = replace(problem, objective=objective_of(create(loss), given.y, given.weight))
        found = solve(own)
        if not found.converged:
            raise UnfittedError(found.said)
        output: Floats = own.at(found.theta).numpy()
        return output

    y = given.y.numpy()
    try:
        scale = NORMAL * float(np.median(np.abs(y - fitted("mae"))))
        if scale <= 1e-9 * given.scale:
            return None
        huber, squares = fitted(f"huber(delta={TUNING * scale!r})"), fitted("mse")
    except LossmithError:
        return None
    moved = np.abs(squares - huber)
    return {
        "rows": int((np.abs(y - huber) > FAR * scale).sum()),
        "scale": scale,
        "moved_most": float(moved.max()),
        "moved_mean": float(np.average(moved, weights=problem.root_weight**2)),
    }
