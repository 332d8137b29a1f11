"""Reading tables: what is accepted, and the one sentence about everything else."""

import datetime
import gzip
import pickle
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from tables import blobs, write

from lossmith.compare import data
from lossmith.compare.data import load
from lossmith.compare.task import infer
from lossmith.errors import InputError


def task_of(frame, **options):
    return infer(load(frame, "y", **options))


def refused(frame):
    with pytest.raises(InputError) as caught:
        task_of(frame)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith((".", "?"))
    return message


@pytest.mark.parametrize(("name", "separator"), [("t.csv", ","), ("t.csv", ";"), ("t.csv", "|"), ("t.TSV", "\t")])
def test_text_tables_are_read_with_the_separator_of_their_header(tmp_path, name, separator):
    blobs().to_csv(tmp_path / name, index=False, sep=separator)
    pd.testing.assert_frame_equal(data.read_table(tmp_path / name), blobs())


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_a_table(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfa,y\r\n1,x\r\n2,z\r\n")
    assert list(data.read_table(tmp_path / "t.csv").columns) == ["a", "y"]


def test_parquet_and_csv_give_the_same_task(tmp_path):
    blobs().to_parquet(tmp_path / "t.parquet")
    one, other = infer(load(tmp_path / "t.parquet", "y")), infer(load(write(tmp_path, blobs()), "y"))
    assert one.digest() == other.digest()
    assert one.features == other.features


def test_parquet_decimals_and_dates_are_numbers_and_dates(tmp_path):
    frame = blobs().assign(
        price=[Decimal(row) / 7 for row in range(120)],
        day=[datetime.date(2024, 1, 1) + datetime.timedelta(days=row % 90) for row in range(120)],
    )
    frame.to_parquet(tmp_path / "t.parquet")
    kinds = {feature["name"]: feature["kind"] for feature in infer(load(tmp_path / "t.parquet", "y")).features}
    assert kinds == {"a": "numeric", "b": "numeric", "word": "categorical", "price": "numeric", "day": "date"}


def test_arrays_and_frames_do_as_well_as_files():
    frame = blobs()
    from_arrays = infer(load(frame[["a", "b"]].to_numpy(), None, frame["y"]))
    from_frame = infer(load(frame[["a", "b", "y"]], "y"))
    assert from_arrays.digest() == from_frame.digest()
    assert [feature["name"] for feature in from_arrays.features] == ["x0", "x1"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"a,y\n", "no rows"),
        (b"a,y\n1,caf\xe9\n", "not UTF-8"),
        (b"a,y\n1,x\n2,x,3\n", "Expected 2 fields in line 3, saw 3"),
        (b'a,y\n1,"x\n2,z\n', "EOF inside string"),
        (b"a,b,a,y\n1,2,3,x\n", 'more than one column named "a"'),
    ],
)
def test_text_that_is_no_table_is_refused(tmp_path, content, said):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        data.read_table(tmp_path / "t.csv")
    assert "\n" not in str(caught.value)


def test_files_of_other_kinds_are_refused_unopened(tmp_path):
    marker = tmp_path / "was-run"

    class Trap:
        def __reduce__(self):
            return (marker.write_text, ("",))

    (tmp_path / "t.pkl").write_bytes(pickle.dumps(Trap()))
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,y\n1,x\n"))
    for name in ("t.pkl", "t.csv.gz"):
        with pytest.raises(InputError, match="not a file that can be read here"):
            data.read_table(tmp_path / name)
    assert not marker.exists()


def test_paths_that_are_no_files_are_refused(tmp_path):
    write(tmp_path, blobs(), "patients.csv")
    with pytest.raises(InputError, match='exist; did you mean "patients'):
        data.read_table(tmp_path / "patient.csv")
    with pytest.raises(InputError, match="is a folder"):
        data.read_table(tmp_path)
    (tmp_path / "t.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        data.read_table(tmp_path / "t.parquet")


def test_parquet_with_lists_or_equal_names_is_refused(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [[1], [2]], "y": ["x", "z"]}), tmp_path / "lists.parquet")
    with pytest.raises(InputError, match='column "a" holds lists'):
        data.read_table(tmp_path / "lists.parquet")
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="more than one column"):
        data.read_table(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [
        ("MAX_FILE_BYTES", 100, "bytes"),
        ("MAX_ROWS", 100, "lines"),
        ("MAX_COLUMNS", 3, "columns"),
        ("MAX_LINE_BYTES", 8, "a line of more than"),
    ],
)
def test_sizes_are_limited_before_parsing(tmp_path, monkeypatch, limit, value, said):
    monkeypatch.setattr(data, limit, value)
    monkeypatch.setattr(pd, "read_csv", None)
    with pytest.raises(InputError, match=said):
        data.read_table(write(tmp_path, blobs()))


@pytest.mark.parametrize("limit", ["MAX_UNPACKED_BYTES", "MAX_ROWS", "MAX_COLUMNS", "MAX_CELLS"])
def test_parquet_sizes_are_limited_by_its_own_metadata(tmp_path, monkeypatch, limit):
    blobs().to_parquet(tmp_path / "t.parquet")
    monkeypatch.setattr(data, limit, 3)
    with pytest.raises(InputError, match="more than the accepted 3"):
        data.read_table(tmp_path / "t.parquet")


def test_long_texts_are_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MAX_FIELD_CHARACTERS", 4)
    with pytest.raises(InputError, match='"word" holds a text of 5 characters'):
        data.read_table(write(tmp_path, blobs()))


def test_targets_that_cannot_be_used_are_refused():
    frame = blobs()
    with pytest.raises(InputError, match='no column "Y"; did you mean "y"'):
        load(frame, "Y")
    with pytest.raises(InputError, match="no target given"):
        load(frame, None)
    with pytest.raises(InputError, match="one label for each of the 120 rows"):
        load(frame, None, y=[1, 2])
    with pytest.raises(InputError, match="no column beside the target"):
        load(frame[["y"]], "y")
    with pytest.raises(InputError, match="an array of rows and columns"):
        load(np.zeros(3), None, [0, 1, 0])
    assert "one class only" in refused(frame.assign(y="same"))
    assert 'class "rare" of target "y" has 4 rows' in refused(frame.assign(y=["rare"] * 4 + ["often"] * 116))
    assert "regression" in refused(frame.assign(y=np.linspace(0, 1, 120)))
    assert "regression" in refused(frame.assign(y=np.arange(120)))
    assert "more than the" not in refused(frame.assign(y=[f"v{row}" for row in range(120)]))


def test_values_that_cannot_be_used_are_refused():
    frame = blobs()
    assert 'column "void" has no value in any row' in refused(frame.assign(void=np.nan))
    assert '"a" holds 2 infinite values' in refused(frame.assign(a=[np.inf, -np.inf, *range(118)]))
    assert "more than one column" in refused(frame.set_axis(["a", "a", "word", "y"], axis=1))
    assert "more than one column" in refused(frame.rename(columns={"a": "1", "b": 1}))
    assert "no usable feature column" in refused(frame.assign(a=1, b=2, word="x"))
    assert "no rows" in refused(frame.iloc[:0])


def test_control_characters_of_a_name_never_reach_the_message():
    assert "\x1b" not in refused(blobs().assign(**{"\x1b[31mred": np.nan}))


def test_rows_without_a_target_are_dropped_and_counted():
    frame = blobs()
    frame.loc[3:7, "y"] = None
    task = task_of(frame)
    assert task.dropped_rows == 5
    assert len(task.labels) == 115


def test_kinds_of_columns():
    rows = np.arange(120)
    frame = blobs().assign(
        flag=rows % 3 == 0,
        maybe=[None, *(rows[1:] % 2 == 0)],
        level=pd.Categorical(rows % 4),
        when=pd.Timestamp("2024-01-31") + pd.to_timedelta(rows, unit="h"),
        iso=[f"2023-0{1 + row % 9}-11" for row in rows],
        code=[f"{2000 + row % 9}" for row in rows],
    )
    task = task_of(frame)
    kinds = {feature["name"]: feature["kind"] for feature in task.features}
    assert kinds == {
        "a": "numeric",
        "b": "numeric",
        "word": "categorical",
        "flag": "boolean",
        "maybe": "boolean",
        "level": "numeric",
        "when": "date",
        "iso": "date",
        "code": "categorical",
    }
    assert {feature["name"]: feature["missing"] for feature in task.features}["maybe"] == 1
    assert task.matrix.dtype == np.float64


def test_names_of_rows_and_constants_are_dropped_with_the_reason():
    rows = np.arange(120)
    frame = blobs().assign(
        **{"Unnamed: 0": rows, "patient_id": rows[::-1] * 7919 % 100_003, "key text": [f"k{row}" for row in rows]},
        same=3,
        weight=np.random.default_rng(0).permutation(120) * 10,
        exact=np.linspace(0, 1, 120),
    )
    task = task_of(frame)
    reasons = {column["name"]: column["reason"].split(":")[0] for column in task.dropped}
    assert reasons == {"Unnamed: 0": "id-like", "patient_id": "id-like", "key text": "id-like", "same": "constant"}


@pytest.mark.parametrize(
    ("labels", "classes", "positive"),
    [
        ([False] * 80 + [True] * 40, ["False", "True"], 1),
        ([0.0] * 40 + [1.0] * 80, ["0", "1"], 0),
        ([2] * 60 + [10] * 60, ["2", "10"], 1),
        (pd.Categorical(["b"] * 30 + ["a"] * 90), ["a", "b"], 1),
        ([1] * 50 + ["x"] * 70, ["1", "x"], 0),
    ],
)
def test_classes_are_sorted_and_the_rarer_one_is_positive(labels, classes, positive):
    task = task_of(blobs().assign(y=labels))
    assert (task.classes, task.positive) == (classes, positive)
    assert task.counts == np.bincount(task.labels).tolist()
