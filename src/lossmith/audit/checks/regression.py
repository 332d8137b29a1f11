"""Regression: residuals of every size, zeros, and where the minimum is."""

import functools
import math

import torch

from lossmith.audit.batch import Batch
from lossmith.audit.case import Case, LossRaisedError, finite
from lossmith.audit.check import MistakeError, NotApplicableError, check

SIZES = (1e-8, 1e4, 1e15)
VALUES = (0.5, 1.0, 2.5)


def at(prediction: float, target: float) -> Batch:
    return Batch((torch.full((2,), prediction),), torch.full((2,), target))


def bounded(case: Case) -> bool:
    """Whether inputs or targets have a domain that ends somewhere (logarithms, ratios)."""
    domain = case.own.legal_input() if case.own is not None else None
    target = getattr(case.own, "target_domain", None)
    ends = [getattr(d, name, 0.0) for d in (domain, target) if d is not None for name in ("low", "high")]
    return any(end not in (0.0,) and math.isfinite(end) for end in ends) or any(
        d is not None and (getattr(d, "low", -math.inf) == 0.0) for d in (domain, target)
    )


@check(
    "regression",
    expects="the least value is where the prediction is the target (or its logarithm, which is said)",
    why="It is what the loss estimates.",
    link="https://docs.pytorch.org/docs/stable/nn.html#loss-functions",
)
def the_target_is_the_minimum(case: Case) -> str:
    grid = torch.cat([torch.arange(-2.0, 4.0, 0.1), torch.tensor(VALUES), torch.tensor(VALUES).log()])
    found: set[str] = set()
    for y in VALUES:
        values = torch.tensor([value_or_inf(case, at(float(x), y)) for x in grid])
        least = float(grid[values.argmin()])
        names = {"": y, "the minimum is at log(target): the input is a log-rate": math.log(y)}
        near = [words for words, x in names.items() if abs(least - x) < 0.03]
        if not near:
            raise MistakeError(f"for a target of {y:g} the least value is at {least:.3g}")
        found |= set(near[:1])
    return ", ".join(sorted(found - {""}))


def value_or_inf(case: Case, batch: Batch) -> float:
    try:
        return case.number(batch)
    except LossRaisedError:  # outside its domain
        return math.inf


def pulls(case: Case, size: float) -> None:
    """Residuals of one size, on both sides: finite, and pulled towards the target."""
    if bounded(case):
        raise NotApplicableError("its domain ends somewhere")
    target = 1.0 if size > 1 else 0.0
    batch = Batch((torch.tensor([target + size, target - size]),), torch.full((2,), target))
    try:
        value, (grad, *_) = case.slopes(batch)
    except LossRaisedError as raised:
        if raised.clear and target == 0.0:
            raise NotApplicableError(f"it refuses a target of 0: {raised}") from raised
        raise
    if not finite(value, grad):
        raise MistakeError(f"a residual of {size:g}: the {'gradient' if finite(value) else 'value'} is NaN or infinite")
    high, low = grad.flatten()[0], grad.flatten()[1]
    if high < 0 or low > 0:
        raise MistakeError(f"a residual of {size:g} is pushed away from the target")
    if size > 1 and min(float(high), -float(low)) == 0 and not _redescends(case):
        raise MistakeError(f"a residual of {size:g} has gradient 0")


def _redescends(case: Case) -> bool:
    """Whether it gives outliers up on purpose: the pull falls between 10 and 100."""
    near, far = (float(case.slope(at(1.0 + r, 1.0)).abs().sum()) for r in (10.0, 100.0))
    return far < 0.5 * near


for _size in SIZES:
    check(
        "regression",
        name=f"residual_{_size:.0e}".replace("e+", "e").replace("e-", "e_minus_"),
        expects=f"residuals of {_size:g}: finite, and pulled towards the target",
        why="cosh overflows at 89, squares at 1e19; NaN from a branch that is not taken is in the gradient anyway.",
        link="google-deepmind/optax#1786",
        gradient=True,
    )(functools.partial(pulls, size=_size))


@check(
    "regression",
    expects="residuals of 1e25 are finite or infinite, never NaN",
    why="Huber's unselected square overflows: inf times 0 is NaN in the gradient.",
    link="google-deepmind/optax#1786",
    gradient=True,
)
def a_huge_residual_is_not_nan(case: Case) -> None:
    if bounded(case):
        raise NotApplicableError("its domain ends somewhere")
    value, (grad, *_) = case.slopes(Batch((torch.tensor([1e25, 0.5]),), torch.ones(2)))
    if bool(value.isnan().any()) or bool(grad.isnan().any()):
        raise MistakeError("NaN")


@check(
    "regression",
    expects="at residual 0 the gradient is finite, and the value too",
    why="The square root of RMSE and of distances has an infinite slope at 0.",
    link="pytorch/pytorch#6394",
    gradient=True,
)
def a_perfect_prediction_has_a_gradient(case: Case) -> None:
    value, (grad, *_) = case.slopes(at(1.5, 1.5))
    if not finite(value, grad):
        raise MistakeError(f"the {'gradient' if finite(value) else 'value'} is NaN or infinite")


@check(
    "regression",
    expects="a target of 0 gives a finite value and gradient, or a clear error",
    why="Relative errors divide by it: one zero in the data makes the loss infinite.",
    link="uber/causalml#1050",
    gradient=True,
)
def a_zero_target_is_not_divided_by(case: Case) -> str:
    for prediction in (0.0, 1.0):
        try:
            value, (grad, *_) = case.slopes(at(prediction, 0.0))
        except LossRaisedError as raised:
            if raised.clear:
                return f"refused with a clear error: {raised}"
            raise
        if not finite(value, grad):
            raise MistakeError(f"prediction {prediction:g}, target 0: NaN or infinite")
    return ""


@check(
    "regression",
    "gaussian",
    "count",
    expects="NaN and infinity in one target are not averaged away",
    why="A loss that skips NaN targets in silence hides a broken data loader.",
    link="https://docs.pytorch.org/docs/stable/autograd.html#anomaly-detection",
)
def a_nan_target_is_not_swallowed(case: Case) -> None:
    batch = case.batch()
    target = batch.labels.clone()
    target[0] = math.nan
    try:
        seen = case.number(batch.put(*batch.inputs, target=target))
    except LossRaisedError:
        return
    if not math.isnan(seen):
        raise MistakeError(f"the first target is NaN and the value is {seen:.4g}")
