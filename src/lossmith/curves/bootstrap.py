"""How sure the parameters are: the same fit to rows drawn with replacement, many times."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from lossmith.curves.fit import solve
from lossmith.curves.problem import Floats, Problem, UnfittedError
from lossmith.errors import LossmithError

LEVEL = 0.95
FEWEST_DRAWS, MOST_DRAWS = 20, 100_000
Progress = Callable[[int, int, str], None]


def intervals(
    problem: Problem, theta: Floats, draws: int, seed: int, progress: Progress | None
) -> tuple[dict[str, tuple[float, float]], int]:
    """95 % percentile intervals of the parameters, and how many draws had no minimum and were left out.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13 and section 9.5 (pairs).
    """
    random = np.random.default_rng(seed)
    found: list[list[float]] = []
    for done in range(draws):
        if progress is not None:
            progress(done, draws, f"bootstrap under {problem.objective.loss}")
        rows = torch.from_numpy(random.integers(0, len(problem.x), len(problem.x)))
        try:
            drawn = solve(resampled(problem, rows), near=theta)
        except (LossmithError, np.linalg.LinAlgError):
            continue
        if drawn.converged:
            found.append(list(problem.model.report(drawn.theta).values()))
    if len(found) < FEWEST_DRAWS:
        raise UnfittedError(f"only {len(found)} of {draws} bootstrap draws could be fitted.")
    ends = np.quantile(np.array(found), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0).T.tolist()
    pairs = dict(zip(problem.model.parameters, ((low, high) for low, high in ends), strict=True))
    return pairs, draws - len(found)


def resampled(problem: Problem, rows: torch.Tensor) -> Problem:
    """The problem of these rows of it."""
    given = problem.objective
    weight = None if given.weight is None else given.weight[rows]
    affine = None if problem.affine is None else (problem.affine[0][rows], problem.affine[1][rows])
    objective = replace(given, y=given.y[rows], weight=weight)
    return replace(problem, x=problem.x[rows], objective=objective, affine=affine, shared={})
