"""The score that a booster starts from: the constant that minimises the loss, whatever the loss is."""

import math

import torch
from torch import Tensor

from lossmith.boosting.derivatives import SPREAD, derivatives
from lossmith.boosting.eligible import centred
from lossmith.flow.loss import Loss

FARTHEST = 30.0  # log-odds, where only one class was seen and the loss has no minimum
CLOSE = 1e-11  # of the size of the numbers: where the search ends


def constant(parts: list[tuple[float, Loss]], target: Tensor, weight: Tensor | None, classes: int) -> Tensor:
    """The scores, [classes] or one number, of which the weighted sum of the loss over all targets is least.

    Log-odds or log priors for cross-entropy, the mean for squared error, a median for absolute error, and so on.
    """
    values, place = torch.unique(target, return_inverse=True)
    counts = torch.ones_like(target, dtype=torch.float64) if weight is None else weight.to(torch.float64)
    counts = torch.zeros(len(values), dtype=torch.float64).index_add_(0, place.flatten(), counts)
    return _of_classes(parts, values, counts, classes) if classes > 1 else _of_one(parts, values, counts)


def _of_classes(parts: list[tuple[float, Loss]], values: Tensor, counts: Tensor, classes: int) -> Tensor:
    """Steps down the bound that "upper" is: each makes the loss smaller, and the first starts at the log priors."""
    share = torch.zeros(classes, dtype=torch.float64).index_add_(0, values, counts) / counts.sum()
    z = share.clamp(min=math.exp(-FARTHEST)).log()
    for _ in range(500):
        rows = z.expand(len(values), -1)
        gradient, bound = (x.sum(0) for x in derivatives(parts, rows, values, counts, "upper", SPREAD))
        step = (gradient / bound.clamp(min=1e-300)).clamp(-1, 1)
        z = (z - step).clamp(-FARTHEST, FARTHEST)
        if float(step.abs().max()) < 1e-9:
            break
    return z


def _of_one(parts: list[tuple[float, Loss]], values: Tensor, counts: Tensor) -> Tensor:
    """Newton's steps inside a bracket of the slope's zero, halved where a step leaves it or is slow."""
    values = values.to(torch.float64)
    if all(centred(loss) for _, loss in parts):  # each target is least at itself: so the sum is least between them
        low, high = float(values.min()), float(values.max())
    else:
        low, high = _bracket(parts, values, counts)
    least = CLOSE * max(abs(low), abs(high), 1e-300)
    c = (low + high) / 2
    for turn in range(120):
        slope, bound = _sums(parts, values, counts, c)
        if slope == 0 or high - low <= least:
            break
        low, high = (low, c) if slope > 0 else (c, high)
        newton = c - slope / max(bound, 1e-300)
        found = newton if turn % 3 != 2 and low < newton < high else (low + high) / 2
        if abs(found - c) <= least:
            break
        c = found
    return torch.tensor(c, dtype=torch.float64)


def _bracket(parts: list[tuple[float, Loss]], values: Tensor, counts: Tensor) -> tuple[float, float]:
    """Two scores between which the slope changes its sign, or as far as it makes sense to look."""
    low, high = -1.0, 1.0
    while low > -FARTHEST and _sums(parts, values, counts, low)[0] > 0:
        low *= 2
    while high < FARTHEST and _sums(parts, values, counts, high)[0] < 0:
        high *= 2
    return max(low, -FARTHEST), min(high, FARTHEST)


def _sums(parts: list[tuple[float, Loss]], values: Tensor, counts: Tensor, c: float) -> tuple[float, float]:
    found = derivatives(parts, torch.full_like(values, c), values, counts, "upper", SPREAD)
    return float(found[0].sum()), float(found[1].sum())
