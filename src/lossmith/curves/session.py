"""From data, a model and losses to curves."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, overload

import numpy as np
import torch

from lossmith.curves.basis import Basis
from lossmith.curves.bootstrap import FEWEST_DRAWS, LEVEL, MOST_DRAWS, Progress, intervals
from lossmith.curves.choice import model_of
from lossmith.curves.data import Floats, Rows, rows_of
from lossmith.curves.fit import solve
from lossmith.curves.model import Model
from lossmith.curves.objective import Objective, objective_of, refuse_others
from lossmith.curves.problem import Problem, Solution, UnfittedError
from lossmith.curves.result import Curve, Curves
from lossmith.errors import DomainError, InputError
from lossmith.flow.loss import Arithmetic, Loss
from lossmith.flow.parameter import nearest
from lossmith.flow.sum import WeightedSum
from lossmith.spec import create
from lossmith.text import as_clause, clean

AnyLoss = str | Loss | WeightedSum
MOST_LOSSES = 20


@overload
def curve_fit(
    x: Any, y: Any, model: str | Callable[..., Any] = ..., loss: AnyLoss = ..., *, sample_weight: Any = ...,
    start: Mapping[str, float] | None = ..., bootstrap: int = ..., seed: int = ..., progress: Progress | None = ...,
) -> Curve: ...  # fmt: skip
@overload
def curve_fit(
    x: Any, y: Any, model: str | Callable[..., Any] = ..., loss: Sequence[AnyLoss] = ..., *, sample_weight: Any = ...,
    start: Mapping[str, float] | None = ..., bootstrap: int = ..., seed: int = ..., progress: Progress | None = ...,
) -> Curves: ...  # fmt: skip
def curve_fit(
    x: Any,
    y: Any,
    model: str | Callable[..., Any] = "poly:3",
    loss: AnyLoss | Sequence[AnyLoss] = "huber",
    *,
    sample_weight: Any = None,
    start: Mapping[str, float] | None = None,
    bootstrap: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Curve | Curves:
    """Fit a curve to data under a loss: the parameters of least ``sum w loss(model(x), y) / sum w``.

    Least squares, and absolute, quantile and percentage errors of a model that is linear in its parameters, are solved
    exactly (by a factorisation, by a linear program); the rest by scipy from several starts, always the same ones.

    Parameters
    ----------
    x, y
        Numbers for each row: lists, arrays, tensors, columns of a data frame; x may have several columns. Rows with a
        gap are left out, and counted in ``left_out``.
    model
        ``"poly:3"``, ``"spline:5"`` (cubic, knots at quantiles), ``"linear"`` (all columns of x), an expression such
        as ``"a*exp(-b*x) + c"`` of x or the names of its columns, or a function ``f(x, a, b)`` of torch tensors.
    loss
        A loss of the residual family, or a specification such as ``"quantile(q=0.9)"`` or ``"mse + 0.5*mae"``; of
        several in a list come `Curves`. The model's output is the loss's input: under ``poisson_nll`` it is the
        logarithm of the rate, and `predict` gives the rate.
    sample_weight
        How much each row counts, 0 or more.
    start
        Where to start, by parameter, for expressions and functions; else many starts are tried.
    bootstrap, seed
        Rows are drawn anew so often, for 95 % intervals of the parameters.
    progress
        Called with (done, planned, what) between the draws.

    Returns
    -------
    Curve or Curves
        ``parameters``, ``value`` (the mean loss), ``converged``, ``message``, ``predict(x)``, ``plot()`` ...

    Raises
    ------
    InputError, SpecError
        In one sentence, where data, model or loss cannot be used. Of several losses those that cannot be fitted are
        in ``failures``, and only if all are is it an error.

    >>> x, y = [0.0, 1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 5.0, 7.0, 90.0]   # 1 + 2 x, and an outlier
    >>> {name: round(value, 6) for name, value in curve_fit(x, y, "poly:1", "mae").parameters.items()}
    {'c0': 1.0, 'c1': 2.0}
    >>> {name: round(value, 6) for name, value in curve_fit(x, y, "poly:1", "mse").parameters.items()}
    {'c0': -15.2, 'c1': 18.2}
    >>> curves = curve_fit(x, y, "a + b*x", ["mae", "huber(delta=0.1)"])
    >>> curves["mae"].predict([10.0]).round(6).tolist()
    [21.0]
    """
    several = isinstance(loss, Iterable) and not isinstance(loss, str | Arithmetic)
    losses = distinct(loss if several else [loss])  # type: ignore[arg-type,list-item]
    if bootstrap and not FEWEST_DRAWS <= bootstrap <= MOST_DRAWS:
        raise InputError(f"bootstrap must be from {FEWEST_DRAWS} to {MOST_DRAWS:,} draws, not {bootstrap}.")
    rows = rows_of(x, y, sample_weight)
    chosen = model_of(model, rows.x, rows.names)
    shared: dict[bool, list[Floats]] = {}
    found: dict[str, Curve] = {}
    failures: dict[str, str] = {}
    for one in losses:
        refuse_others(one)
    for one in losses:
        try:
            problem = problem_of(rows, chosen, one, start, shared)
            found[str(one)] = fitted(rows, problem, bootstrap, seed, progress)
        except (DomainError, UnfittedError) as error:
            if not several:
                raise
            failures[str(one)] = str(error)
    if not found:
        raise UnfittedError(f"no loss could be fitted: {as_clause(next(iter(failures.values())))}.")
    return Curves(found, failures) if several else next(iter(found.values()))


def distinct(losses: Sequence[AnyLoss]) -> list[Loss | WeightedSum]:
    """The losses of their specifications, each once."""
    made = [create(one) for one in losses]
    found = list({str(one): one for one in made}.values())
    if not 1 <= len(found) <= MOST_LOSSES:
        raise InputError(f"give 1 to {MOST_LOSSES} losses, such as mse or huber; {len(found)} are given.")
    return found


def problem_of(
    rows: Rows,
    model: Model,
    loss: Loss | WeightedSum,
    start: Mapping[str, float] | None,
    shared: dict[bool, list[Floats]],
) -> Problem:
    """The problem, checked: enough rows, parameters that the data can tell apart, values everywhere."""
    x, count = torch.from_numpy(rows.x), len(model.parameters)
    if len(x) < count:
        raise InputError(f"{clean(model.text)} has {count} parameters, and there are only {len(x)} rows.")
    weight = None if rows.weight is None else torch.from_numpy(rows.weight)
    objective: Objective = objective_of(loss, torch.from_numpy(rows.y), weight)
    affine = model.affine(x)
    if affine is not None and not all(bool(torch.isfinite(part).all()) for part in affine):
        said = model.undefined(x, torch.ones(count, dtype=torch.float64)) or "the expression has no finite value"
        raise InputError(f"{said}; the model cannot be fitted there.")
    problem = Problem(model, x, objective, started(model, start), affine, shared)
    if isinstance(model, Basis) and problem.rank(np.zeros(count)) < count:
        raise InputError(
            f"{clean(model.text)} has {count} parameters, and the rows of x tell only "
            f"{problem.rank(np.zeros(count))} apart; take a simpler model."
        )
    return problem


def started(model: Model, start: object) -> Floats | None:
    """Starting values in the order of the parameters."""
    if start is None:
        return None
    if isinstance(model, Basis):
        raise InputError(f"{clean(model.text)} needs no start: it is linear in its parameters.")
    if not isinstance(start, Mapping):
        example = ", ".join(f"{name!r}: 1.0" for name in model.parameters)
        raise InputError(f"start: give {{{example}}}, a number by parameter, not {clean(repr(start))}.")
    for name in start:
        if name not in model.parameters:
            known = f" (its parameters: {', '.join(model.parameters)})"
            raise InputError(f"start: there is no parameter {clean(name)!r}{nearest(name, model.parameters) or known}")
    missing = [name for name in model.parameters if name not in start]
    values = np.array([start.get(name, 0.0) for name in model.parameters], dtype=np.float64)
    if missing or not np.isfinite(values).all():
        raise InputError(f"start: give a finite number for each of {', '.join(model.parameters)}.")
    return values


def fitted(rows: Rows, problem: Problem, bootstrap: int, seed: int, progress: Progress | None) -> Curve:
    """The curve of a problem, with intervals where they are asked for."""
    solution = solve(problem)
    model, loss = problem.model, problem.objective
    curve = Curve(
        loss=str(loss.loss),
        expression=model.text,
        parameters=model.report(solution.theta),
        value=loss.value(problem.at(solution.theta)),
        converged=solution.converged,
        message=solution.said,
        notes=tuple(notes(problem, solution)),
        names=rows.names,
        y_name=rows.y_name,
        left_out=rows.left_out,
        problem=problem,
        theta=solution.theta,
    )
    if not bootstrap:
        return curve
    if not solution.converged:
        return replace(curve, notes=(*curve.notes, "no intervals: the curve itself did not converge"))
    try:
        pairs, lost = intervals(problem, solution.theta, bootstrap, seed, progress)
    except UnfittedError as error:  # the curve itself is as good as before
        return replace(curve, notes=(*curve.notes, f"no intervals: {as_clause(error)}"))
    more = (f"{lost} of {bootstrap} bootstrap draws did not converge and are left out",) if lost else ()
    about = f"{LEVEL:.0%} intervals from {bootstrap} bootstrap draws, seed {seed}"
    return replace(curve, intervals=pairs, notes=(*curve.notes, about, *more))


def notes(problem: Problem, solution: Solution) -> list[str]:
    """What a reader has to know about a solution."""
    found, count = [], len(problem.model.parameters)
    rank = problem.rank(solution.theta)
    if rank < count:
        together = f"{', '.join(problem.model.parameters)} can change together and leave the curve as it is"
        found.append(f"the data determine only {rank} of {count} parameters: {together}")
    if problem.objective.log_link:
        found.append("the model is the logarithm of the rate; predictions are the rate")
    return found
