"""The statistics of repeated splits: intervals, paired tests, and the correction for asking many questions at once.

The repeats of a comparison split the same rows again and again, so their results are not independent and the plain
t-test finds differences that are not there. Nadeau & Bengio (2003, "Inference for the generalization error", Machine
Learning 52) widen the variance of a mean over J repeats from s^2 / J to s^2 (1/J + n_test / n_train); everything below
uses that one change. No normal-theory promise is exact here, but this one errs towards caution.
"""

import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from scipy import stats

MINIMUM_REPEATS = 6
"""Below this no test is made: with five pairs even a sign or rank test cannot reach p = 0.05 two-sided."""

LEVEL = 0.05
"""Familywise: the chance of finding any difference in a question where there is none."""

ROUNDING = 1e-12
"""Differences closer together than this are equal; what is left of them is floating point."""

POWER = 0.8
"""How often a difference must be found to count as found reliably."""


class Estimate(TypedDict):
    """A mean over repeats with its 95 % interval; the ends are None where two repeats are not there."""

    n: int
    mean: float | None
    sd: float | None
    low: float | None
    high: float | None


class Paired(TypedDict):
    """An estimate of a paired difference with its two-sided p; ``effect`` is mean / sd of the differences."""

    n: int
    mean: float | None
    sd: float | None
    low: float | None
    high: float | None
    effect: float | None
    p: float | None


def estimate(values: Sequence[float], ratio: float) -> Estimate:
    """The mean of one figure over repeats, with a 95 % corrected-t interval; ``ratio`` is n_test / n_train.

    >>> estimate([0.5, 0.5, 0.5], ratio=0.25)["low"]
    0.5
    """
    if not values:
        return {"n": 0, "mean": None, "sd": None, "low": None, "high": None}
    mean = float(np.mean(values))
    if len(values) == 1:
        return {"n": 1, "mean": mean, "sd": None, "low": None, "high": None}
    sd = _sd(values)
    reach = float(stats.t.ppf(1 - LEVEL / 2, len(values) - 1)) * _error(sd, len(values), ratio)
    return {"n": len(values), "mean": mean, "sd": sd, "low": mean - reach, "high": mean + reach}


def paired(differences: Sequence[float], ratio: float) -> Paired:
    """Nadeau and Bengio's corrected paired t-test of "the mean difference is 0"; no p below six repeats.

    Where all repeats differ by the same amount there is no spread to test with, and p is that of the sign test.

    >>> paired([0.0125] * 6, ratio=0.25)["p"]
    0.03125
    """
    found = estimate(differences, ratio)
    if found["mean"] is not None and abs(found["mean"]) <= ROUNDING:
        found["mean"] = 0.0
    return {**found, "effect": _effect(found), "p": _p(found, ratio) if found["n"] >= MINIMUM_REPEATS else None}


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment (1979), order kept; tests that were not made (None) do not count.

    >>> holm([0.01, 0.04, None, 0.03])
    [0.03, 0.06, None, 0.06]
    """
    made = sorted((p, position) for position, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    floor = 0.0
    for rank, (p, position) in enumerate(made):
        floor = max(floor, min(1.0, p * (len(made) - rank)))
        adjusted[position] = floor
    return adjusted


def above(values: Sequence[float], chance: float, ratio: float) -> float | None:
    """The one-sided p of "the mean is not above chance" by the same test; None below six repeats.

    >>> above([0.5] * 6, 0.5, ratio=0.25), above([0.75] * 6, 0.5, ratio=0.25)
    (1.0, 0.015625)
    """
    found = paired([value - chance for value in values], ratio)
    if found["p"] is None or found["mean"] is None:
        return None
    return found["p"] if found["mean"] == 0 else found["p"] / 2 if found["mean"] > 0 else 1 - found["p"] / 2


def detectable(sd: float | None, repeats: int, ratio: float, tests: int) -> float | None:
    """How large a true difference must be for Holm's first step among ``tests`` to find it with 80 % power.

    None where the differences have no spread to calculate with.
    """
    if not sd or repeats < MINIMUM_REPEATS:
        return None
    quantiles = stats.t.ppf(1 - LEVEL / 2 / tests, repeats - 1) + stats.t.ppf(POWER, repeats - 1)
    return float(quantiles) * _error(sd, repeats, ratio)


def _sd(values: Sequence[float]) -> float:
    return 0.0 if np.ptp(values) <= ROUNDING else float(np.std(values, ddof=1))


def _error(sd: float, repeats: int, ratio: float) -> float:
    return sd * math.sqrt(1 / repeats + ratio)


def _effect(found: Estimate) -> float | None:
    if found["mean"] == 0 and found["sd"] is not None:
        return 0.0
    return found["mean"] / found["sd"] if found["mean"] is not None and found["sd"] else None


def _p(found: Estimate, ratio: float) -> float | None:
    if found["mean"] is None or found["sd"] is None:
        return None
    if found["sd"] == 0:  # the same difference in every repeat: identical arms, or a shift that the signs agree on
        return 1.0 if found["mean"] == 0 else 2 * 0.5 ** found["n"]
    t = found["mean"] / _error(found["sd"], found["n"], ratio)
    return float(2 * stats.t.sf(abs(t), found["n"] - 1))
