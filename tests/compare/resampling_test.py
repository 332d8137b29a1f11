"""Resampling: counts, seeds, and that nothing but the rows that were given can come out."""

import sys
from itertools import islice

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from lossmith.compare.remedies import resampling
from lossmith.compare.remedies.resampling import RESAMPLINGS, balanced_subsets, batches, drawn_rows, resampled
from lossmith.errors import DomainError, InputError, MissingError, ParameterError

COUNTS = [60, 20, 6]
MIXED = ["number", "category", "number"]
ONCE = [name for name, made in RESAMPLINGS.items() if made.kind in ("rows", "made-up rows")]


def table(counts=COUNTS, seed=0):
    """Two numbers, the second a million times as large, and a category in the middle."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    generator.shuffle(labels)
    numbers = generator.normal(size=(len(labels), 2)) + labels[:, None]
    return np.column_stack([numbers[:, 0], generator.integers(0, 4, len(labels)), 1e6 * numbers[:, 1]]), labels


def kinds_for(name):
    return ["number"] * 3 if name == "adasyn" else MIXED


def counted(labels, classes=3):
    return np.bincount(labels, minlength=classes).tolist()


@pytest.mark.parametrize(("name", "after"), [("random_over", [60] * 3), ("random_under", [6] * 3), ("smote", [60] * 3)])
@pytest.mark.parametrize("kinds", [MIXED, ["number"] * 3, ["category"] * 3])
def test_all_classes_are_equally_frequent_afterwards(name, after, kinds):
    matrix, labels = table()
    if kinds[0] == "category":
        matrix = np.floor(matrix / [1, 1, 1e6])
    rows, classes = resampled(name, matrix, labels, kinds, seed=0)
    assert counted(classes) == after
    assert rows.shape == (sum(after), 3)
    assert rows.dtype == np.float64
    assert classes.dtype == np.int64


def test_adasyn_makes_about_as_many_rows():
    rows, classes = resampled("adasyn", *table(), ["number"] * 3, seed=0)
    assert len(rows) == len(classes)
    assert counted(classes)[0] == 60
    assert all(abs(count - 60) <= 10 for count in counted(classes))
    assert (rows[86:] != resampled("smote", *table(), ["number"] * 3, seed=0)[0][86 : len(rows)]).any()


def test_adasyn_makes_more_rows_where_another_class_is_near():
    """Six rows of the rare class among the others, six far away with neighbours of their own kind alone."""
    generator = np.random.default_rng(0)
    others = generator.normal(size=(100, 2))
    matrix = np.concatenate([others, 0.1 * generator.normal(size=(6, 2)), 50 + 0.1 * generator.normal(size=(6, 2))])
    labels = np.repeat([0, 1], [100, 12])
    new = resampled("adasyn", matrix, labels, ["number"] * 2, seed=0)[0][112:]
    assert len(new) > 60
    assert (new[:, 0] < 25).all()


@pytest.mark.parametrize("name", ONCE)
def test_the_seed_decides_alone(name):
    matrix, labels = table()
    before = matrix.copy(), labels.copy()
    one, again, other = (resampled(name, matrix, labels, kinds_for(name), seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one[0], again[0])
    np.testing.assert_array_equal(one[1], again[1])
    assert one[0].shape != other[0].shape or (one[0] != other[0]).any()
    np.testing.assert_array_equal(matrix, before[0])
    np.testing.assert_array_equal(labels, before[1])


@pytest.mark.parametrize("name", ONCE)
def test_only_the_rows_that_were_given_can_come_out(name):
    """The table has a marker row for test: a code and values that no training row has."""
    matrix, labels = table()
    whole, test = np.concatenate([matrix, [[1e9, 99, 1e15]]]), len(matrix)
    train = np.setdiff1d(np.arange(len(whole)), [test])
    rows, _ = resampled(name, whole[train], labels, kinds_for(name), seed=0)
    assert (rows.max(0) <= matrix.max(0) + 1e-6).all()
    assert (rows.min(0) >= matrix.min(0) - 1e-6).all()
    seen = resampled(name, np.vstack([matrix, whole[test:]]), np.append(labels, 2), kinds_for(name), seed=0)[0]
    assert (seen[:, 0] > 1e8).any() or name == "random_under"  # given as a training row it is seen


@pytest.mark.parametrize("name", ["smote", "adasyn"])
def test_made_up_rows_stand_behind_the_given_ones(name):
    matrix, labels = table()
    rows, classes = resampled(name, matrix, labels, kinds_for(name), seed=0)
    np.testing.assert_array_equal(rows[: len(matrix)], matrix)
    np.testing.assert_array_equal(classes[: len(matrix)], labels)
    assert not (classes[len(matrix) :] == 0).any()


def distance_to_segments(row, members, scale, most=5):
    """From a made-up row to the nearest segment between a member and one of its nearest members, standardised."""
    own, row = members / scale, row / scale
    near = cdist(own, own).argsort(1)[:, 1 : most + 1]
    best = np.inf
    for start, others in zip(own, near, strict=True):
        for end in own[others]:
            share = np.clip((row - start) @ (end - start) / ((end - start) @ (end - start)), 0, 1)
            best = min(best, np.linalg.norm(start + share * (end - start) - row))
    return best


@pytest.mark.parametrize("name", ["smote", "adasyn"])
def test_made_up_numbers_lie_between_neighbours_of_one_class(name):
    matrix, labels = table()
    rows, classes = resampled(name, matrix, labels, ["number"] * 3, seed=0)
    for row, label in list(zip(rows, classes, strict=True))[len(matrix) :]:
        assert distance_to_segments(row, matrix[labels == label], matrix.std(0)) < 1e-9


def test_the_unit_of_a_column_does_not_matter():
    matrix, labels = table()
    there, _ = resampled("smote", matrix, labels, MIXED, seed=1)
    scaled, _ = resampled("smote", matrix * [1e-3, 1, 1e4] + [5, 0, 0], labels, MIXED, seed=1)
    np.testing.assert_allclose(scaled, there * [1e-3, 1, 1e4] + [5, 0, 0], rtol=1e-9)


@pytest.mark.parametrize("kinds", [MIXED, ["category"] * 3])
def test_made_up_categories_are_codes_of_the_class(kinds):
    matrix, labels = table()
    matrix[:, 1] += 10 * labels  # every class has codes of its own
    matrix = np.floor(matrix / [1, 1, 1e6]) if kinds[0] == "category" else matrix
    rows, classes = resampled("smote", matrix, labels, kinds, seed=0)
    for label in range(3):
        for column in np.flatnonzero(np.array(kinds) == "category"):
            assert set(rows[classes == label, column]) <= set(matrix[labels == label, column])


def test_a_made_up_category_is_that_of_most_neighbours():
    numbers = np.arange(26.0)
    codes = np.where(np.arange(26) < 20, 0, [7] * 26)
    codes[25] = 8
    labels = np.repeat([0, 1], [20, 6])
    rows, _ = resampled("smote", np.column_stack([numbers, codes]), labels, ["number", "category"], seed=0)
    assert set(rows[26:, 1]) == {7}  # one of six has an 8, which is no majority of five neighbours


@pytest.mark.parametrize("kinds", [MIXED, ["number"] * 3, ["category"] * 3])
@pytest.mark.parametrize("few", [2, 3])
def test_a_small_class_has_fewer_neighbours(kinds, few):
    matrix, labels = table([30, few])
    assert counted(resampled("smote", np.round(matrix), labels, kinds, seed=0)[1], 2) == [30, 30]
    assert len(resampled("adasyn", matrix, labels, ["number"] * 3, seed=0)[0]) > 30 + few


@pytest.mark.parametrize("name", ["smote", "adasyn"])
def test_a_class_of_one_row_is_one_sentence(name):
    matrix, labels = table([30, 10, 1])
    with pytest.raises(InputError, match=r"class number 2 \(from 0\) has 1 training row; use random_over") as caught:
        resampled(name, matrix, labels, ["number"] * 3, seed=0)
    assert "\n" not in str(caught.value)
    assert counted(resampled("random_over", matrix, labels, MIXED, seed=0)[1]) == [30, 30, 30]


def test_adasyn_of_categories_is_one_sentence():
    with pytest.raises(InputError, match=r"adasyn: .* 1 of the columns are categories; use smote"):
        resampled("adasyn", *table(), MIXED, seed=0)


def test_adasyn_is_smote_where_no_other_class_is_near():
    matrix, labels = table([40, 10])
    matrix[labels == 1] += 1e9
    rows, classes = resampled("adasyn", matrix, labels, ["number"] * 3, seed=0)
    assert counted(classes, 2) == [40, 40]
    assert (rows[50:, 0] > 1e8).all()


def test_adasyn_adds_nothing_where_each_share_rounds_to_none():
    matrix, labels = table([21, 20])
    rows, _ = resampled("adasyn", matrix, labels, ["number"] * 3, seed=0)
    np.testing.assert_array_equal(rows, matrix)


@pytest.mark.parametrize("name", ["random_over", "smote"])
def test_equal_classes_stay_as_they_are(name):
    matrix, labels = table([15, 15])
    rows, classes = resampled(name, matrix, labels, MIXED, seed=0)
    np.testing.assert_array_equal(rows, matrix)
    np.testing.assert_array_equal(classes, labels)


def test_constant_columns_stay_constant():
    matrix, labels = table()
    matrix[:, 2] = 0.1
    rows, _ = resampled("smote", matrix, labels, MIXED, seed=0)
    assert set(rows[:, 2]) == {0.1}


def test_a_large_class_is_made_from_a_part_of_it(monkeypatch):
    monkeypatch.setattr(resampling, "POOL", 20)
    matrix, labels = table([300, 200, 8])
    rows, classes = resampled("smote", np.floor(matrix), labels, ["category"] * 3, seed=0)
    assert counted(classes) == [300, 300, 300]
    assert len(np.unique(rows[508:][classes[508:] == 1], axis=0)) <= 40


def test_portions_of_made_up_rows_differ(monkeypatch):
    monkeypatch.setattr(resampling, "MOST_NUMBERS", 5 * 6 * 10)  # ten rows at a time
    rows, classes = resampled("smote", *table(), MIXED, seed=0)
    assert counted(classes) == [60, 60, 60]
    assert len(np.unique(rows[86:], axis=0)) == 94


def test_drawn_rows_are_rows_of_their_class_and_none_is_lost():
    _, labels = table()
    over, under = (drawn_rows(name, labels, seed=0) for name in ("random_over", "random_under"))
    assert set(range(len(labels))) == set(over)
    assert counted(labels[over]) == [60] * 3
    assert len(set(under)) == len(under) == 18
    assert counted(labels[under]) == [6] * 3


def test_the_ensemble_has_five_balanced_parts_that_differ():
    _, labels = table()
    subsets = balanced_subsets(labels, seed=1)
    assert len(subsets) == 5
    assert all(counted(labels[rows]) == [6] * 3 and len(set(rows)) == 18 for rows in subsets)
    assert len({tuple(rows) for rows in subsets}) == 5
    for one, again in zip(subsets, balanced_subsets(labels, seed=1), strict=True):
        np.testing.assert_array_equal(one, again)
    assert {tuple(rows) for rows in subsets}.isdisjoint(tuple(rows) for rows in balanced_subsets(labels, seed=2))


def test_a_balanced_batch_has_equally_many_rows_of_each_class():
    _, labels = table()
    for epoch in islice(batches("balanced_batches", labels, 12, seed=0), 3):
        assert len(epoch) == 8  # 86 rows in batches of 12
        assert all(rows.dtype == torch.int64 and counted(labels[rows.numpy()]) == [4, 4, 4] for rows in epoch)


def test_a_balanced_batch_of_many_classes_has_one_row_of_some():
    labels = np.repeat(np.arange(10), 5)
    (epoch,) = islice(batches("balanced_batches", labels, 4, seed=0), 1)
    assert len(epoch) == 13
    assert all(len(set(labels[rows.numpy()])) == len(rows) == 4 for rows in epoch)


def test_square_root_batches_have_the_roots_of_the_counts():
    labels = np.repeat([0, 1], [90, 10])
    for epoch in islice(batches("square_root_batches", labels, 16, seed=0), 3):
        assert [len(rows) for rows in epoch] == [16] * 6 + [4]
        assert counted(labels[torch.cat(epoch).numpy()], 2) == [75, 25]  # sqrt(90) : sqrt(10) is 3 : 1


@pytest.mark.parametrize("name", ["balanced_batches", "square_root_batches"])
def test_batches_depend_on_the_seed_and_differ_by_epoch(name):
    _, labels = table()
    one, again, other = (list(islice(batches(name, labels, 16, seed), 3)) for seed in (5, 5, 6))
    flat = [torch.cat([torch.cat(epoch) for epoch in run]) for run in (one, again, other)]
    assert torch.equal(flat[0], flat[1])
    assert not torch.equal(flat[0], flat[2])
    assert not torch.equal(torch.cat(one[0]), torch.cat(one[1]))


def test_batches_of_one_class_are_refused():
    with pytest.raises(DomainError, match="at least 2 classes"):
        next(batches("balanced_batches", np.zeros(8, int), 4, seed=0))


def test_unknown_names_are_one_sentence():
    with pytest.raises(ParameterError, match='did you mean "smote"'):
        resampled("smotee", *table(), MIXED, seed=0)
    with pytest.raises(ParameterError, match="none that changes batches"):
        next(batches("smote", np.arange(8) % 2, 4, seed=0))
    with pytest.raises(ParameterError, match="choose one of random_over, random_under"):
        drawn_rows("balanced_ensemble", np.arange(8) % 2, seed=0)


def test_without_imbalanced_learn_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "imblearn.over_sampling", None)
    with pytest.raises(MissingError, match=r"pip install \"lossmith\[resampling\]\""):
        resampled("smote", *table(), MIXED, seed=0)


def test_every_entry_is_a_plain_sentence():
    for name, made in RESAMPLINGS.items():
        assert made.about.find(".") == len(made.about) - 1, name
        assert made.kind in ("rows", "made-up rows", "batches", "ensemble")
