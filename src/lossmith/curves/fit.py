"""One problem to its minimum: the exact route where there is one, else from several starts."""

import numpy as np

from lossmith.curves.descent import descend
from lossmith.curves.exact import least_squares, linear_program, sequence, weighted_least_squares
from lossmith.curves.problem import Floats, Problem, Solution, UnfittedError
from lossmith.curves.starts import starts

SAME = 1e-6  # relative difference of two values that are one minimum
AGREEING = 3  # starts with the same end are enough, or without any
ALL_ROWS = 20_000  # up to here a start may cost a linear program


@np.errstate(all="ignore")  # steps that go too far end in infinities, and are taken back
def solve(problem: Problem, near: Floats | None = None) -> Solution:
    """The minimum; `near` is a point known to be close to it, and then the only start.

    Raises `UnfittedError` where the model or the loss has no value at any start.
    """
    found = exact(problem) if problem.affine is not None else None
    if found is not None:
        return found
    if near is not None:
        return local(problem, near)
    points = linear_starts(problem) if problem.affine is not None else starts(problem)
    ends: list[Solution] = []
    for point in points:
        if np.isfinite(problem.value(point)):
            ends.append(local(problem, point))
        if len(reached(problem, ends)) == AGREEING or sum(not end.converged for end in ends) == AGREEING:
            break
    if not ends:
        raise UnfittedError(f"{problem.objective.loss} is not defined at the outputs of any start; give start=.")
    return best(problem, ends)


def exact(problem: Problem) -> Solution | None:
    """Least squares and linear programs, for models that are linear in their parameters."""
    objective = problem.objective
    if objective.squares is not None:
        return least_squares(problem, objective.squares.numpy())
    if objective.sides is not None:
        return linear_program(problem, *(side.numpy() for side in objective.sides))
    return None


def local(problem: Problem, theta: Floats) -> Solution:
    """From a start to the minimum near it; linear programs end exactly where kinks are all there is."""
    sides = problem.objective.sides
    if sides is None:
        return descend(problem, theta)
    near = descend(problem, theta, narrowest=1e-2).theta
    return sequence(problem, near, *(side.numpy() for side in sides))


def linear_starts(problem: Problem) -> list[Floats]:
    """Least squares, least absolute errors, and a level curve, for a model that is linear in its parameters."""
    aim, root = problem.objective.aim.numpy(), problem.root_weight
    squared = weighted_least_squares(problem, aim, root)
    level = weighted_least_squares(problem, np.full_like(aim, np.median(aim)), root)
    if len(aim) > ALL_ROWS:
        return [squared, level]
    absolute = linear_program(problem, root**2, root**2)
    return [squared, absolute.theta, level]


def reached(problem: Problem, ends: list[Solution]) -> list[Solution]:
    """Those of the ends that are as low as the lowest and a minimum."""
    values = [problem.value(end.theta) for end in ends if end.converged]
    lowest = min(values, default=0.0)
    near = [value - lowest <= SAME * max(abs(lowest), 1e-300) for value in values]
    return [end for end, same in zip((end for end in ends if end.converged), near, strict=True) if same]


def best(problem: Problem, ends: list[Solution]) -> Solution:
    """The lowest of the ends, in words with how many of them reached it."""
    lowest = min(ends, key=lambda end: problem.value(end.theta))
    same = reached(problem, ends)
    if not same or problem.value(lowest.theta) < problem.value(same[0].theta) * (1 - SAME):
        return lowest
    return same[0]._replace(said=f"{same[0].said}; {len(same)} of {len(ends)} starts end there")
