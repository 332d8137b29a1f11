"""The encoder: scikit-learn's numbers, from training rows alone, kept as JSON."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from lossmith.compare.data.features import MISSING, Encoder, soft_limit


def oracle(kinds):
    """The same encoding, by scikit-learn."""
    numbers = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        FunctionTransformer(lambda values: values / np.sqrt(1.0 + (values / 3.0) ** 2)),
    )
    categories = OneHotEncoder(
        max_categories=50,
        min_frequency=3,
        handle_unknown="infrequent_if_exist",
        sparse_output=False,
        dtype=np.float32,
    )
    columns = {kind: [index for index, other in enumerate(kinds) if other == kind] for kind in ("number", "category")}
    steps = [("numbers", numbers, columns["number"]), ("categories", categories, columns["category"])]
    return ColumnTransformer([step for step in steps if step[2]], sparse_threshold=0.0)


def table(generator, kinds, rows, categories):
    """Random columns: heavy-tailed or constant numbers, words of any frequency, some of either missing, some all."""
    columns = []
    for kind in kinds:
        if kind == "number":
            values = generator.standard_t(2, rows) * 10.0 ** generator.integers(-3, 6) + generator.choice([0, 1e3])
            values = np.full(rows, 0.1) if generator.random() < 0.1 else values
        else:
            values = np.floor(categories * generator.random(rows) ** generator.uniform(1, 4))
        values[generator.random(rows) < generator.choice([0, 0.1, 0.6, 1], p=[0.4, 0.3, 0.2, 0.1])] = np.nan
        columns.append(values)
    return np.column_stack(columns)


@settings(max_examples=150)
@given(
    kinds=st.lists(st.sampled_from(["number", "category"]), min_size=1, max_size=6),
    rows=st.integers(1, 400),
    categories=st.sampled_from([1, 2, 5, 40, 60, 120]),
    seed=st.integers(0, 10**6),
)
def test_numbers_are_those_of_scikit_learn(kinds, rows, categories, seed):
    generator = np.random.default_rng(seed)
    train, new = table(generator, kinds, rows, categories), table(generator, kinds, 50, categories + 3)
    ours, theirs = Encoder(kinds).fit(train), oracle(kinds).fit(train)
    for matrix in (train, new):
        encoded = ours.transform(matrix)
        assert encoded.dtype == np.float32
        np.testing.assert_allclose(encoded, theirs.transform(matrix), rtol=1e-6, atol=1e-6)
        assert encoded.shape[1] == len(ours.kinds_out)
        assert np.array_equal(ours.encode(ours.impute(matrix)), encoded)


def test_most_categories_are_forty_nine_and_the_others():
    codes = np.concatenate([np.repeat(np.arange(50.0), 4), np.repeat(np.arange(50.0, 55), 3)])[:, None]
    fitted = Encoder(["category"]).fit(codes)
    assert len(fitted.kinds_out) == 50
    assert fitted.frequent[0].tolist() == list(range(1, 50))  # of equally frequent ones the first gives way, as there
    assert fitted.transform(np.array([[0.0], [54.0], [77.0]]))[:, -1].tolist() == [1.0, 1.0, 1.0]
    fifty = Encoder(["category"]).fit(codes[:200])
    assert (fifty.frequent[0].tolist(), fifty.rare) == (list(range(1, 50)), [True])
    assert np.array_equal(fifty.transform(codes), oracle(["category"]).fit(codes[:200]).transform(codes))
    assert len(Encoder(["category"]).fit(codes[:196]).kinds_out) == 49


def test_missing_values_and_unknown_categories_have_a_place():
    train = np.array([[1.0, 0], [2.0, 0], [np.nan, 0], [3.0, 1], [4.0, 1], [5.0, 1]])
    fitted = Encoder(["number", "category"]).fit(train)
    encoded = fitted.transform(np.array([[np.nan, 0.0], [3.0, np.nan], [1e9, 7.0]]))
    assert fitted.kinds_out == ("number", "number", "category", "category")
    assert encoded.shape == (3, 4)  # the number, that it is missing, and two categories
    assert np.isfinite(encoded).all()
    assert np.abs(encoded[:, 0]).max() <= 3.0
    assert encoded[0, 0] == pytest.approx(0.0)  # the median stands in
    assert encoded[1:, 2:].sum() == 0.0


def test_columns_missing_in_all_training_rows_do_no_harm():
    train = np.array([[np.nan, 1.0, np.nan], [np.nan, 2.0, np.nan], [np.nan, 2.0, np.nan]])
    fitted = Encoder(["number", "number", "category"]).fit(train)
    assert np.isfinite(fitted.transform(np.array([[5.0, np.nan, 2.0]]))).all()
    assert fitted.transform(train)[:, -1].tolist() == [1.0, 1.0, 1.0]


@settings(max_examples=30)
@given(kinds=st.lists(st.sampled_from(["number", "category"]), min_size=1, max_size=5), seed=st.integers(0, 10**6))
def test_a_state_read_from_json_gives_the_same_bits(kinds, seed):
    generator = np.random.default_rng(seed)
    fitted = Encoder(kinds).fit(table(generator, kinds, 200, 60))
    again, new = Encoder.of(json.loads(json.dumps(fitted.state(), allow_nan=False))), table(generator, kinds, 60, 70)
    assert np.array_equal(again.transform(new), fitted.transform(new))
    assert np.array_equal(again.impute(new), fitted.impute(new))
    assert (again.kinds_out, again.kinds_imputed) == (fitted.kinds_out, fitted.kinds_imputed)
    assert again.state() == fitted.state()


def test_imputed_rows_hold_numbers_codes_and_marks():
    train = np.array([[1.0, 0.0, 4.0], [3.0, 2.0, np.nan], [8.0, np.nan, 6.0]])
    fitted = Encoder(["number", "category", "number"]).fit(train)
    assert fitted.kinds_imputed == ("number", "category", "number", "category")
    expected = [[3.0, MISSING, 4.0, 0.0], [1.0, 2.0, 5.0, 1.0]]
    assert fitted.impute(np.array([[np.nan, np.nan, 4.0], [1.0, 2.0, np.nan]])).tolist() == expected


def test_rows_that_are_transformed_leave_no_trace_in_the_state():
    """The number 7777.25 and the category 4321 are those of test rows alone."""
    train = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [4.0, 1.0]])
    fitted = Encoder(["number", "category"]).fit(train)
    before = json.dumps(fitted.state())
    kept = train.copy()
    fitted.transform(np.array([[7777.25, 4321.0], [np.nan, np.nan]]))
    assert json.dumps(fitted.state()) == before
    assert "7777" not in before
    assert "4321" not in before
    assert np.array_equal(train, kept)
    marked = Encoder(["number", "category"]).fit(np.vstack([train, [[7777.25, 4321.0]] * 3]))
    assert "4321" in json.dumps(marked.state())  # the test above would see it


def test_no_written_inputs_and_a_bounded_output():
    rows = np.array([[np.nan, np.nan], [1e100, 3.0]])
    kept = rows.copy()
    encoded = Encoder(["number", "category"]).fit(np.arange(20.0).reshape(10, 2)).transform(rows)
    assert np.array_equal(rows, kept, equal_nan=True)
    assert np.abs(encoded).max() <= 3.0
    assert soft_limit(np.array([3.0]))[0] == pytest.approx(3 / np.sqrt(2))
