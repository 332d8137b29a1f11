"""Routes without a search: least squares by a factorisation, piecewise linear losses by linear programs."""

import numpy as np
from scipy import optimize, sparse

from lossmith.curves.problem import Floats, Problem, Solution

ROUNDS = 60
ENOUGH = 1e-10  # relative decrease that a linear program still promises
LINEAR_PROGRAM = "exact: a linear program"


def least_squares(problem: Problem, weight: Floats) -> Solution:
    """The parameters of least ``sum w r^2`` of a model that is linear in them."""
    assert problem.affine is not None
    theta = weighted_least_squares(problem, problem.objective.aim.numpy(), np.sqrt(weight))
    return Solution(theta, True, "exact: least squares")


def weighted_least_squares(problem: Problem, y: Floats, root: Floats) -> Floats:
    """By a singular value decomposition of the columns, each scaled to length 1."""
    assert problem.affine is not None
    matrix, offset = (part.numpy() for part in problem.affine)
    matrix, rhs = matrix * root[:, None], (y - offset) * root
    lengths = np.linalg.norm(matrix, axis=0)
    lengths = np.where(lengths > 0, lengths, 1.0)
    found: Floats = np.linalg.lstsq(matrix / lengths, rhs, rcond=1e-13)[0] / lengths
    return found


def linear_program(problem: Problem, up: Floats, down: Floats) -> Solution:
    """The parameters of least ``sum up max(r, 0) + down max(-r, 0)`` of a model that is linear in them."""
    aim = problem.objective.aim.numpy()
    start = weighted_least_squares(problem, aim, problem.root_weight)
    steps = problem.steps(start)
    r = problem.at(start).numpy() - aim
    u = shortest(problem.jacobian(start) @ steps / problem.objective.scale, r / problem.objective.scale, up, down)
    if u is None:
        return Solution(start, False, "did not converge: the linear program was not solved")
    return Solution(start + steps @ u, True, LINEAR_PROGRAM)


def shortest(matrix: Floats, r: Floats, up: Floats, down: Floats, radius: float | None = None) -> Floats | None:
    """The u of least ``sum up max(z, 0) + down max(-z, 0)``, ``z = r + matrix u``, and ``|u_k| <= radius``.

    Solved as its dual, which has a row for each parameter and not for each row of the data: maximise ``r l - radius
    |matrix' l|_1`` with ``-down <= l <= up``; u are the prices of ``matrix' l = 0`` (Koenker, "Quantile Regression",
    2005, section 6.2). None where the solver gives up.
    """
    size = float(max(up.max(), down.max())) or 1.0
    cost, rows = -r, sparse.csr_array(matrix.T)
    bounds = np.column_stack([-down, up]) / size
    if radius is not None:
        one = sparse.eye_array(rows.shape[0])
        rows = sparse.hstack([rows, -one, one])
        cost = np.concatenate([cost, np.full(2 * matrix.shape[1], radius)])
        bounds = np.vstack([bounds, np.tile([0.0, np.inf], (2 * matrix.shape[1], 1))])
    found = optimize.linprog(cost, A_eq=rows, b_eq=np.zeros(rows.shape[0]), bounds=bounds, method="highs-ds")
    if found.status != 0:
        return None
    prices: Floats = found.eqlin.marginals
    return prices


def sequence(problem: Problem, theta: Floats, up: Floats, down: Floats) -> Solution:
    """Linear programs in trust regions, for a model that bends: each linearises the model, none the loss.

    Source: Fletcher, "Practical Methods of Optimization" (1987), section 14.4; Koenker and Park, "An interior point
    algorithm for nonlinear quantile regression" (1996), for the problem.
    """
    y, scale = problem.objective.y.numpy(), problem.objective.scale
    value, radius = problem.value(theta), 1.0
    for _ in range(ROUNDS):
        steps = problem.steps(theta)
        slopes, r = problem.jacobian(theta) @ steps / scale, (problem.at(theta).numpy() - y) / scale
        u = shortest(slopes, r, up, down, radius)
        if u is None:
            break
        z = r + slopes @ u
        promised = value - scale * float((up * np.maximum(z, 0) + down * np.maximum(-z, 0)).sum())
        if promised <= ENOUGH * min(1.0, radius) * abs(value):
            return Solution(theta, True, "linear programs")
        new = theta + steps @ u
        kept = (value - problem.value(new)) / promised
        if kept > 1e-3:
            theta, value = new, problem.value(new)
        radius = radius * 2 if kept > 0.75 else radius / 4 if kept < 0.25 else radius
    return Solution(theta, False, "did not converge: the last linear programs still promised a lower loss")
