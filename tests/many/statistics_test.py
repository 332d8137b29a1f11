"""The statistics over data sets against Demsar's worked example (JMLR 7, 2006, tables 2, 5 and 6) and scipy."""

import numpy as np
import pytest
from scipy import stats

from lossmith.compare.many import statistics

# AUC of C4.5, C4.5+m, C4.5+cf, C4.5+m+cf on 14 data sets; "voting" has more digits here, as its printed ranks need
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)
TIES = 78 / (14 * 4 * (4**2 - 1))  # three pairs (6 each) and one four (60): what Friedman's correction divides out


def test_average_ranks_of_the_paper():
    average = statistics.ranks(DEMSAR).mean(axis=0)
    assert np.round(average, 3).tolist() == [3.143, 2.0, 2.893, 1.964]


def test_ranks_turn_round_where_less_is_better():
    assert statistics.ranks(np.array([[1.0, 2.0, 3.0]]), larger=False).tolist() == [[1.0, 2.0, 3.0]]


def test_equal_up_to_floating_point_is_a_tie():
    assert statistics.ranks(np.array([[0.1 + 0.2, 0.3, 0.5]])).tolist() == [[2.5, 2.5, 1.0]]


def test_friedman_is_the_paper_s_with_ties_corrected():
    found = statistics.friedman(DEMSAR)
    assert found.chi2 * (1 - TIES) == pytest.approx(9.28, abs=0.005)
    assert statistics.iman_davenport(found.chi2 * (1 - TIES), 14, 4) == pytest.approx(3.69, abs=0.005)
    assert found.p_f == pytest.approx(stats.f.sf(found.f, 3, 39))
    assert found.p == pytest.approx(stats.chi2.sf(found.chi2, 3))


def test_friedman_without_ties_is_the_textbook_sum():
    matrix = np.random.default_rng(0).normal(size=(9, 5)) + np.arange(5)
    ranks = stats.rankdata(-matrix, axis=1).mean(axis=0)
    chi2 = 12 * 9 / (5 * 6) * ((ranks**2).sum() - 5 * 36 / 4)
    assert statistics.friedman(matrix).chi2 == pytest.approx(chi2)


def test_friedman_of_full_agreement_has_no_finite_f():
    found = statistics.friedman(np.tile([1.0, 2.0, 3.0], (6, 1)))
    assert found.chi2 == pytest.approx(12)
    assert (found.f, found.p_f) == (None, 0.0)


@pytest.mark.parametrize("shape", [(5, 3), (6, 2)])
def test_no_friedman_below_six_data_sets_or_three_entrants(shape):
    assert statistics.friedman(np.random.default_rng(0).normal(size=shape)) is None


@pytest.mark.parametrize(
    ("entrants", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (8, 3.031), (10, 3.164)]
)  # Demsar's table 5a
def test_critical_values_of_the_paper(entrants, q):
    unit = np.sqrt(entrants * (entrants + 1) / (6 * 14))
    assert statistics.critical_difference(14, entrants) / unit == pytest.approx(q, abs=0.0011)


def test_groups_of_the_paper_s_figure_1():
    assert statistics.groups([3.143, 2.0, 2.893, 1.964], 1.25) == [(0, 3)]
    assert statistics.groups([3.143, 2.0, 2.893, 1.964], 1.16) == [(0, 2), (1, 3)]
    assert statistics.groups([1.0, 3.0, 5.0], 1.0) == []


def test_wilcoxon_of_the_paper():
    """Table 2 of the paper: C4.5 against C4.5+m; the smaller rank sum is 12, of 14 data sets, two of them zeros."""
    differences = np.array([5, -8, 17, 33, 6, -5, 7, 0, 63, 0, 22, 47, 9, 21]) / 1000
    found = statistics.wilcoxon(differences)
    assert found.effect == pytest.approx((93 - 12) / 105)
    assert 0.005 < found.p < 0.02
    assert found.p == pytest.approx(stats.wilcoxon(differences, zero_method="zsplit").pvalue)


def test_wilcoxon_of_nothing_but_zeros_and_of_too_few():
    assert statistics.wilcoxon(np.zeros(8)) == statistics.Signed(1.0, 0.0)
    assert statistics.wilcoxon(np.ones(5)) is None


def test_median_interval_is_that_of_order_statistics():
    """The median of 21 draws is at most the 7th value with chance P(Bin(21, 7/21) >= 11) = 0.056, the 6th 0.018."""
    values = np.arange(1.0, 22.0)
    assert statistics.median_interval(values) == (7.0, 15.0)
    assert statistics.median_interval(values[:5]) is None
    assert statistics.median_interval(values) == statistics.median_interval(values)
