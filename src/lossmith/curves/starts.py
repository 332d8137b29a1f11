"""Where to start in a model that bends: many guesses, always the same ones, of which the best are refined."""

import numpy as np
import torch
from scipy import optimize

from lossmith.curves.data import LARGEST
from lossmith.curves.model import given_shapes
from lossmith.curves.problem import Floats, Problem, UnfittedError

GUESSES = 200
ROWS = 200  # that the guesses are tried on
KEPT = 3  # guesses by the mean, and as many by the median of what they miss
REFINED = 6  # refined guesses that the loss itself is then minimised from


def starts(problem: Problem) -> list[Floats]:
    """Parameters to start from, the best under the loss first.

    Raises `UnfittedError` where the model has no finite value for any guess, with the part that has none.
    """
    if problem.given is not None:
        return [problem.given]
    link = problem.objective.log_link
    if link not in problem.shared:
        kept = screened(problem)
        refined = [refine(problem, one, kind) for one in kept for kind in ("linear", "soft_l1")]
        problem.shared[link] = [*refined, *kept]
    order = sorted(problem.shared[link], key=problem.value)
    distinct: list[Floats] = []
    for theta in order:
        far = [np.abs(theta - other).max() > 1e-6 * np.abs(other).max() for other in distinct]
        if all(far) and np.isfinite(problem.value(theta)):
            distinct.append(theta)
    if not distinct:
        raise UnfittedError(f"{problem.objective.loss} is not defined at the outputs of any start; give start=.")
    return distinct[:REFINED]


def screened(problem: Problem) -> list[Floats]:
    """The best of the guesses, by the mean of squares and by the median of what they miss."""
    chosen = np.unique(np.linspace(0, len(problem.x) - 1, ROWS).round().astype(int))
    x, aim = problem.x[chosen], problem.objective.aim.numpy()[chosen]
    scored = []
    for guess in guesses(problem):
        theta = completed(problem, x, aim, guess)
        missed = np.clip(problem.model.output(x, torch.from_numpy(theta)).numpy() - aim, -LARGEST, LARGEST)
        if np.isfinite(missed).all():
            scored.append((float((missed**2).mean()), float(np.median(np.abs(missed))), theta))
    if not scored:
        first = torch.from_numpy(guesses(problem)[0])
        raise UnfittedError(f"{problem.model.undefined(problem.x, first)}; the model cannot be fitted there.")
    by_mean, by_median = (sorted(range(len(scored)), key=lambda k: scored[k][which])[:KEPT] for which in (0, 1))
    return [scored[k][2] for k in dict.fromkeys([*by_mean, *by_median])]


def guesses(problem: Problem) -> list[Floats]:
    """Ones, and random numbers of the sizes that parameters have: of 1, of x, of 1/x, of y."""
    draw = np.random.default_rng(0)
    count, x = len(problem.model.parameters), problem.x.numpy()
    size = float(x.std(0).max()) or 1.0
    sizes = np.array([1.0, size, 1 / size, problem.objective.scale])
    spread = 10.0 ** draw.uniform(-1.3, 1.3, (GUESSES, count)) * draw.choice([-1.0, 1.0], (GUESSES, count))
    drawn = spread * draw.choice(sizes, (GUESSES, count))
    inside = draw.uniform(x.min(), x.max(), (GUESSES, count))
    drawn = np.where(draw.random((GUESSES, count)) < 0.2, inside, drawn)
    return [np.ones(count), *drawn]


def completed(problem: Problem, x: torch.Tensor, aim: Floats, guess: Floats) -> Floats:
    """A guess with the parameters that the model is linear in by least squares, given the others."""
    shapes = problem.model.shapes()
    free = [k for k in range(len(guess)) if k not in shapes]
    if not free:
        return guess
    matrix, offset = (part.numpy() for part in given_shapes(problem.model, x, torch.from_numpy(guess), shapes))
    if not (np.isfinite(matrix).all() and np.isfinite(offset).all()):
        return guess
    lengths = np.linalg.norm(matrix, axis=0)
    lengths = np.where(lengths > 0, lengths, 1.0)
    theta = guess.copy()
    theta[free] = np.linalg.lstsq(matrix / lengths, aim - offset, rcond=1e-10)[0] / lengths
    return theta


def refine(problem: Problem, theta: Floats, kind: str) -> Floats:
    """The nearest least squares, or the nearest that outliers move only so far."""
    aim, scale, root = problem.objective.aim.numpy(), problem.objective.scale, problem.root_weight

    def missed(at: Floats) -> Floats:
        found: Floats = (problem.at(at).numpy() - aim) / scale * root
        return found

    def slopes(at: Floats) -> Floats:
        return problem.jacobian(at) / scale * root[:, None]

    if not np.isfinite(missed(theta)).all():
        return theta
    try:
        done = optimize.least_squares(missed, theta, slopes, x_scale="jac", loss=kind, f_scale=0.1, max_nfev=100)
    except (ValueError, np.linalg.LinAlgError):  # a step into numbers that are not finite
        return theta
    return np.asarray(done.x, dtype=np.float64)
