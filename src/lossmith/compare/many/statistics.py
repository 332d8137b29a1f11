"""The statistics of many data sets: ranks, Friedman and Nemenyi, Wilcoxon, the median difference.

Demsar (2006, "Statistical comparisons of classifiers over multiple data sets", JMLR 7) is followed throughout: one
figure per method and data set goes in, so data sets are the independent observations and repeats only make a figure
more certain. A matrix here is data sets x entrants, float64.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lossmith.compare.verdict.inference import LEVEL, ROUNDING

Floats = NDArray[np.float64]

FEWEST = 6
"""Data sets; below this no test is made: with five even Wilcoxon's test cannot reach p = 0.05 two-sided."""

FEWEST_ENTRANTS = 3  # of a Friedman test; two are compared by Wilcoxon's alone
RESAMPLES = 10_000
DIGITS = round(-math.log10(ROUNDING))  # decimals; figures that agree so far are equal


@dataclass(frozen=True)
class Friedman:
    """Friedman's chi-square, corrected for ties, and Iman and Davenport's F with their p; F is None where infinite."""

    chi2: float
    p: float
    f: float | None
    p_f: float


@dataclass(frozen=True)
class Signed:
    """Wilcoxon's signed-rank test; ``effect`` is (W+ - W-) / (W+ + W-), from -1 to 1."""

    p: float
    effect: float


def ranks(matrix: Floats, larger: bool = True) -> Floats:
    """The rank of every entrant on every data set, 1 for the best; entrants that tie share the mean of their ranks.

    >>> ranks(np.array([[0.9, 0.8, 0.9]])).tolist()
    [[1.5, 3.0, 1.5]]
    """
    signed = np.round(-matrix if larger else matrix, DIGITS)
    found: Floats = stats.rankdata(signed, axis=1)
    return found


def friedman(matrix: Floats) -> Friedman | None:
    """Whether the entrants differ at all; None where there are too few data sets or entrants for the test.

    >>> friedman(np.ones((6, 3)))
    Friedman(chi2=0.0, p=1.0, f=0.0, p_f=1.0)
    """
    sets, entrants = matrix.shape
    if sets < FEWEST or entrants < FEWEST_ENTRANTS:
        return None
    rounded = np.round(matrix, DIGITS)
    if (np.ptp(rounded, axis=1) == 0).all():
        return Friedman(0.0, 1.0, 0.0, 1.0)
    chi2, p = (float(value) for value in stats.friedmanchisquare(*rounded.T))
    f = iman_davenport(chi2, sets, entrants)
    p_f = float(stats.f.sf(f, entrants - 1, (entrants - 1) * (sets - 1)))
    return Friedman(chi2, p, f if math.isfinite(f) else None, p_f)


def iman_davenport(chi2: float, sets: int, entrants: int) -> float:
    """F = (N - 1) chi2 / (N (k - 1) - chi2), less cautious than chi2 itself (Iman & Davenport 1980).

    >>> round(iman_davenport(9.28, sets=14, entrants=4), 2)  # Demsar (2006), page 13
    3.69
    """
    left = sets * (entrants - 1) - chi2
    return (sets - 1) * chi2 / left if left > ROUNDING * sets * entrants else math.inf


def critical_difference(sets: int, entrants: int, level: float = LEVEL) -> float:
    """Nemenyi's: average ranks further apart than q sqrt(k (k + 1) / (6 N)) differ; q as in Demsar's table 5.

    >>> round(critical_difference(14, 4), 2), round(critical_difference(14, 4, 0.1), 2)
    (1.25, 1.12)
    """
    q = float(stats.studentized_range.ppf(1 - level, entrants, np.inf)) / math.sqrt(2)
    return q * math.sqrt(entrants * (entrants + 1) / (6 * sets))


def groups(average: list[float], difference: float) -> list[tuple[int, int]]:
    """The longest runs of entrants that no test tells apart, as first and last place in the order of average ranks.

    >>> groups([1.0, 1.5, 2.1, 4.0], 1.0)
    [(0, 1), (1, 2)]
    """
    ordered = sorted(average)
    found: list[tuple[int, int]] = []
    for first in range(len(ordered)):
        last = max(k for k in range(first, len(ordered)) if ordered[k] - ordered[first] <= difference)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def wilcoxon(differences: Floats) -> Signed | None:
    """Whether the differences lie on one side of 0, zeros shared between the sides; None below six data sets.

    >>> wilcoxon(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
    Signed(p=0.03125, effect=1.0)
    """
    if len(differences) < FEWEST:
        return None
    rounded = np.round(differences, DIGITS)
    if not rounded.any():
        return Signed(1.0, 0.0)
    order = stats.rankdata(np.abs(rounded))
    effect = float((np.sign(rounded) * order).sum() / order.sum())
    return Signed(float(stats.wilcoxon(rounded, zero_method="zsplit").pvalue), effect)


def median_interval(differences: Floats, seed: int = 0) -> tuple[float, float] | None:
    """The 95 % percentile-bootstrap interval of the median over data sets; None below six of them.

    >>> median_interval(np.full(6, 0.25))
    (0.25, 0.25)
    """
    if len(differences) < FEWEST:
        return None
    draws = np.random.default_rng(seed).integers(len(differences), size=(RESAMPLES, len(differences)))
    low, high = np.quantile(np.median(differences[draws], axis=1), [LEVEL / 2, 1 - LEVEL / 2])
    return float(low), float(high)
