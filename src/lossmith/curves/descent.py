"""A minimum from a given start by first and second derivatives: Newton steps in a trust region."""

import numpy as np
import torch
from scipy import optimize

from lossmith.curves.problem import Floats, Problem, Solution

STATIONARY = 1e-6  # slope left, of 1 where all rows pull one way
FLAT = 1e-9  # curvature where there is none: scipy's subproblem hardly ends without any
ROUNDS = 2
NEWTON_STEPS = 100
SMOOTH = (1e-1, 1e-2, 1e-4, 1e-6, 1e-8)  # widths of rounded kinks, in standard deviations of y
NOT_THERE = "did not converge: the loss still falls at the last point"


def descend(problem: Problem, theta: Floats, narrowest: float = SMOOTH[-1]) -> Solution:
    """From a start to a minimum near it; kinks of the loss are rounded off, ever less."""
    widths = [width for width in SMOOTH if width >= narrowest] if bool(problem.objective.kinks.any()) else [0.0]
    left = np.inf
    for width in widths:
        theta, left = smooth_minimum(problem, theta, width * problem.objective.scale)
    converged = bool(left <= STATIONARY)
    return Solution(theta, converged, "Newton steps" if converged else NOT_THERE)


def smooth_minimum(problem: Problem, theta: Floats, width: float) -> tuple[Floats, float]:
    """The minimum of the loss, its kinks rounded off over a width, and the slope that is left there."""
    left = np.inf
    for _ in range(ROUNDS):  # the steps are those of the start: where they no longer fit, start again
        local = Local(problem, theta, width)
        theta, left = local.newton()
        if left > STATIONARY:
            theta, left = Local(problem, theta, width).quasi_newton()
        if left <= STATIONARY:
            break
    return theta, left


class Local:
    """The objective in steps u from a start, scaled so that a slope of 1 is the steepest there is."""

    def __init__(self, problem: Problem, theta: Floats, width: float) -> None:
        self.problem, self.start, self.width = problem, theta, width
        self.steps = problem.steps(theta)
        slopes = problem.objective.slopes(problem.at(theta), width)
        size = float(slopes.abs().sum()) * problem.objective.scale
        self.size = size if np.isfinite(size) and size > 0 else 1.0

    def theta(self, u: Floats) -> Floats:
        found: Floats = self.start + self.steps @ u
        return found

    def value(self, u: Floats) -> float:
        output = self.problem.at(self.theta(u))
        if not self.problem.objective.legal(output):
            return np.inf
        with torch.no_grad():
            found = float(self.problem.objective.total(output, self.width)) / self.size
        return found if np.isfinite(found) else np.inf

    def slope(self, u: Floats) -> Floats:
        theta = self.theta(u)
        slopes = self.problem.objective.slopes(self.problem.at(theta), self.width).numpy()
        found: Floats = np.nan_to_num(slopes @ self.problem.jacobian(theta) @ self.steps / self.size)
        return found

    def curvature(self, u: Floats) -> Floats:
        """``J' D J``, and for a model that bends the rows' slopes times its own second derivatives."""
        theta, objective = self.theta(u), self.problem.objective
        output = self.problem.at(theta)
        slopes, own = self.problem.jacobian(theta), objective.curvatures(output, self.width).numpy()
        found: Floats = slopes.T @ (own[:, None] * slopes)
        found = found + self.problem.bend(theta, objective.slopes(output, self.width))
        found = np.nan_to_num(self.steps.T @ found @ self.steps / self.size, posinf=0.0, neginf=0.0)
        return (found + found.T) / 2 + FLAT * np.eye(len(found))

    def newton(self) -> tuple[Floats, float]:
        """scipy's trust-exact: safe where the curvature is not positive, exact in a few steps where it is."""
        u = optimize.minimize(
            self.value,
            np.zeros(len(self.start)),
            jac=self.slope,
            hess=self.curvature,
            method="trust-exact",
            options={"gtol": 1e-3 * STATIONARY, "maxiter": NEWTON_STEPS, "max_trust_radius": 100.0},
        ).x
        return self.best(u)

    def quasi_newton(self) -> tuple[Floats, float]:
        """scipy's BFGS, where the second derivatives were no help."""
        zero = np.zeros(len(self.start))
        limits = {"gtol": 1e-9, "maxiter": NEWTON_STEPS}
        return self.best(optimize.minimize(self.value, zero, jac=self.slope, method="BFGS", options=limits).x)

    def best(self, u: Floats) -> tuple[Floats, float]:
        """Where it ended, or the start if that was better, and the slope that is left there."""
        if not self.value(u) <= self.value(np.zeros_like(u)):
            u = np.zeros_like(u)
        return self.theta(u), float(np.linalg.norm(self.slope(u)))
