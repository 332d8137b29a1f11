"""Splits: stratified, disjoint, repeatable; and encoders that learn from training rows alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossmith.compare.data.features import encoder
from lossmith.compare.data.splits import NEEDED_ROWS, split


@settings(max_examples=50, deadline=None)
@given(counts=st.lists(st.integers(NEEDED_ROWS, 60), min_size=2, max_size=5), repeat=st.integers(0, 9))
def test_every_class_is_in_every_part_in_its_share(counts, repeat):
    labels = np.repeat(np.arange(len(counts)), counts)
    parts = split(labels, 0, repeat)
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    for label, count in enumerate(counts):
        train, validation, test = (int((labels[part] == label).sum()) for part in parts)
        assert validation == test == max(1, round(0.2 * count))
        assert train >= 3


def test_a_split_depends_on_seed_and_repeat_alone():
    labels = np.random.default_rng(0).integers(0, 3, 100)
    same, again = split(labels, 1, 2), split(labels, 1, 2)
    assert all((one == other).all() for one, other in zip(same, again, strict=True))
    assert not np.array_equal(same.test, split(labels, 1, 3).test)
    assert not np.array_equal(same.test, split(labels, 2, 2).test)


def test_missing_values_and_unknown_categories_have_a_place():
    train = np.array([[1.0, 0], [2.0, 0], [np.nan, 0], [3.0, 1], [4.0, 1], [5.0, 1]])
    fitted = encoder(["number", "category"]).fit(train)
    encoded = fitted.transform(np.array([[np.nan, 0.0], [3.0, np.nan], [1e9, 7.0]]))
    assert encoded.shape == (3, 4)  # the number, that it is missing, and two categories
    assert np.isfinite(encoded).all()
    assert np.abs(encoded[:, 0]).max() <= 3.0
    assert encoded[0, 0] == pytest.approx(0.0)  # the median stands in
    assert encoded[2, 2:].sum() == 0.0


def test_a_number_that_is_missing_in_all_training_rows_does_no_harm():
    fitted = encoder(["number", "number"]).fit(np.array([[np.nan, 1.0], [np.nan, 2.0]]))
    assert np.isfinite(fitted.transform(np.array([[5.0, np.nan]]))).all()
