"""Tails: value and gradient of examples that are wrong, or right, by 17 to 10,000 logits."""

import functools
import math

import torch

from lossmith.audit.batch import Batch
from lossmith.audit.case import Case, finite
from lossmith.audit.check import MistakeError, check
from lossmith.audit.checks.minimum import examples
from lossmith.audit.kinds import LOGITS, OVERLAP

SIZES = (17.0, 40.0, 89.0, 200.0, 1e4)
FAR = (8.0, 12.0)  # here the tail of a loss has its final slope, and nobody clips yet
TINY = 1e-6


def pull(case: Case, one: Batch, size: float, dtype: torch.dtype) -> tuple[float, float]:
    """(value, how strongly it pulls towards the right answer) for one example at this confidence."""
    batch = case.answer(size, one).to(dtype)
    direction = (case.answer(1.0, one).input - case.answer(0.0, one).input).double()
    value, (grad, *_) = case.slopes(batch)
    if not finite(value, grad):
        raise MistakeError(f"at a logit of {size:g} the {'gradient' if finite(value) else 'value'} is NaN or infinite")
    return float(value.double().sum()), -float((grad.double() * direction).sum())


def tail(case: Case, one: Batch) -> tuple[str, float]:
    """("linear", "growing" or "falling"; its slope): what the loss does with an example that is wrong by far."""
    (_, near), (_, far) = (pull(case, one, -size, torch.float64) for size in FAR)
    if near > 1e-3 and abs(far / near - 1) < 0.01:
        return "linear", far
    return ("growing", far) if far > near else ("falling", far)


def ask(case: Case, size: float) -> str:
    """Both ends at one size."""
    shapes = set()
    for one in examples(case):
        wrong_value, wrong = pull(case, one, -size, torch.float32)
        _, right = pull(case, one, size, torch.float32)
        if case.kind.name in OVERLAP:
            continue  # bounded: finite is all that can be asked
        shape, slope = tail(case, one)
        shapes.add(shape)
        if past_the_minimum(case, one, size):
            right = 0.0
        if min(wrong, right) < -TINY:
            raise MistakeError(
                f"the gradient has the wrong sign: it pushes the right answer down by {-min(wrong, right):.4g}"
            )
        if shape == "linear" and not 0.95 * slope <= wrong <= 1.05 * slope:
            raise MistakeError(_flat(case, one, size, wrong_value, wrong, slope))
        if shape == "growing" and wrong < 0.99 * slope:
            raise MistakeError(f"the pull falls to {wrong:.4g}, from {slope:.4g} at {FAR[1]:g} logits")
        if shape == "falling" and slope == 0 and pull(case, one, -2.0, torch.float64)[1] > TINY and _clips(case):
            raise MistakeError(f"the gradient is exactly 0 for an example wrong by {FAR[1]:g} logits")
    return "bounded on purpose: only finite values and the right sign are asked for" if shapes == {"falling"} else ""


def past_the_minimum(case: Case, one: Batch, size: float) -> bool:
    """Whether certainty costs a little more than the best answer: DSC's minimum is at p = 0.99, judged elsewhere."""
    return case.number(case.answer(size, one)) > min(case.number(case.answer(s, one)) for s in (4.0, 6.0)) + TINY


def _clips(case: Case) -> bool:
    """A margin may be cut off on purpose (ramp loss); a probability may not."""
    return case.kind.name != "margin"


def _flat(case: Case, one: Batch, size: float, value: float, seen: float, slope: float) -> str:
    if abs(seen) < 1e-3 * slope:
        end = pull(case, one, -1e4, torch.float32)[0]
        if math.isclose(end, value, rel_tol=1e-3):
            return (
                f"the probability is clipped: an example wrong by {size:g} logits has gradient {abs(seen):.3g} instead "
                f"of {slope:.4g}, and the loss stays at {value:.4g} (p is not let below {math.exp(-value / slope):.1e})"
            )
    return f"an example wrong by {size:g} logits has gradient {seen:.4g} instead of {slope:.4g}"


for _size in SIZES:
    check(
        *LOGITS,
        *OVERLAP,
        name=f"gradient_at_{_size:.0f}",
        expects=f"|logit| {_size:g}: finite value, and a gradient of the right sign and size (the slope it has at 12)",
        why="Clipped probabilities give the worst examples gradient 0; exp(89) overflows float32; 0 * inf is NaN.",
        link="pytorch/pytorch#2221",
        gradient=True,
    )(functools.partial(ask, size=_size))
