"""Reading tables: what is accepted, and the one sentence about everything else."""

import datetime
import gzip
import json
import pickle
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from tables import blobs, labelled, numbers, write

from lossmith.compare.data.load import Roles, load
from lossmith.compare.data.task import infer
from lossmith.errors import InputError
from lossmith.table import reading


def task_of(frame, target="y", y=None, test=None, **roles):
    return infer(load(frame, target, y, Roles(**roles), test))


def refused(frame, target="y", **options):
    with pytest.raises(InputError) as caught:
        task_of(frame, target, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith((".", "?"))
    return message


@pytest.mark.parametrize(("name", "separator"), [("t.csv", ","), ("t.csv", ";"), ("t.csv", "|"), ("t.TSV", "\t")])
def test_text_tables_are_read_with_the_separator_of_their_header(tmp_path, name, separator):
    blobs().to_csv(tmp_path / name, index=False, sep=separator)
    pd.testing.assert_frame_equal(reading.read_table(tmp_path / name), blobs())


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_a_table(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfa,y\r\n1,x\r\n2,z\r\n")
    assert list(reading.read_table(tmp_path / "t.csv").columns) == ["a", "y"]


def test_parquet_and_csv_give_the_same_task(tmp_path):
    blobs().to_parquet(tmp_path / "t.parquet")
    one, other = infer(load(tmp_path / "t.parquet", "y")), infer(load(write(tmp_path, blobs()), "y"))
    assert one.digest == other.digest
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
    assert from_arrays.digest == from_frame.digest
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
        reading.read_table(tmp_path / "t.csv")
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
            reading.read_table(tmp_path / name)
    assert not marker.exists()


def test_paths_that_are_no_files_are_refused(tmp_path):
    write(tmp_path, blobs(), "patients.csv")
    with pytest.raises(InputError, match='exist; did you mean "patients'):
        reading.read_table(tmp_path / "patient.csv")
    with pytest.raises(InputError, match="is a folder"):
        reading.read_table(tmp_path)
    (tmp_path / "t.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        reading.read_table(tmp_path / "t.parquet")


def test_parquet_with_lists_or_equal_names_is_refused(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [[1], [2]], "y": ["x", "z"]}), tmp_path / "lists.parquet")
    with pytest.raises(InputError, match='column "a" holds lists'):
        reading.read_table(tmp_path / "lists.parquet")
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="more than one column"):
        reading.read_table(tmp_path / "t.parquet")


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
    monkeypatch.setattr(reading, limit, value)
    monkeypatch.setattr(pd, "read_csv", None)
    with pytest.raises(InputError, match=said):
        reading.read_table(write(tmp_path, blobs()))


@pytest.mark.parametrize("limit", ["MAX_UNPACKED_BYTES", "MAX_ROWS", "MAX_COLUMNS", "MAX_CELLS"])
def test_parquet_sizes_are_limited_by_its_own_metadata(tmp_path, monkeypatch, limit):
    blobs().to_parquet(tmp_path / "t.parquet")
    monkeypatch.setattr(reading, limit, 3)
    with pytest.raises(InputError, match="more than the accepted 3"):
        reading.read_table(tmp_path / "t.parquet")


def test_long_texts_are_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_FIELD_CHARACTERS", 4)
    with pytest.raises(InputError, match='"word" holds a text of 5 characters'):
        reading.read_table(write(tmp_path, blobs()))


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
    assert "has 300 distinct values; a class is needed" in refused(
        blobs(300).assign(y=[f"v{row}" for row in range(300)])
    )
    assert "needs at least 5" in refused(frame.assign(y=[f"v{row}" for row in range(120)]))


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
        **{
            "Unnamed: 0": rows[::-1],
            "patient_id": rows[::-1] * 7919 % 100_003,
            "key text": [f"k{row}" for row in rows],
        },
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


def text_task(tmp_path, header, rows, target="y", name="t.csv"):
    (tmp_path / name).write_text("\n".join([header, *rows]) + "\n")
    return infer(load(tmp_path / name, target))


@pytest.mark.parametrize("word", ["None", "NA", "null", "nan", "n/a"])
def test_a_class_or_category_may_be_called_like_a_missing_value(tmp_path, word):
    rows = [f"{row},{[word, 'red', ''][row % 3]},{word if row % 2 else 'x'}" for row in range(60)]
    task = text_task(tmp_path, "a,b,y", rows)
    assert task.classes == sorted([word, "x"])
    assert task.dropped_rows == 0
    assert {feature["name"]: feature["missing"] for feature in task.features}["b"] == 20


def test_words_for_missing_are_missing_among_numbers(tmp_path):
    rows = [f"{row * 1.5 if row % 5 else 'NA'},{row % 2}" for row in range(60)]
    task = text_task(tmp_path, "a,y", rows)
    assert task.features == [{"name": "a", "kind": "numeric", "missing": 12}]


@pytest.mark.parametrize(("one", "other"), [("007", "7"), ("1e3", "1000"), ("0", "0.0"), ("007", "008")])
def test_labels_that_look_like_numbers_keep_their_text(tmp_path, one, other):
    assert text_task(
        tmp_path, "a,y", [f"{row * 3},{one if row % 2 else other}" for row in range(40)]
    ).classes == sorted([one, other])


def test_a_text_and_a_number_are_never_one_class():
    assert "both as a text and as a number" in refused(blobs().assign(y=["1", 1, 2] * 40))
    assert task_of(blobs().drop(columns="y"), y=["a", "b", None] * 40).dropped_rows == 40


@pytest.mark.parametrize("content", [b"a,y\n1,x\0z\n", "a,y\n1,x\n".encode("utf-16")])
def test_nul_bytes_are_refused(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match="NUL bytes"):
        reading.read_table(tmp_path / "t.csv")


def test_infinite_and_huge_numbers_are_refused_in_any_kind_of_column():
    values = [float("inf"), *range(59)] * 2
    assert '"a" holds 2 infinite values' in refused(blobs().assign(a=pd.Series(values, dtype="object")))
    assert '"a" holds 2 infinite values' in refused(blobs().assign(a=pd.Categorical(values)))
    assert '"a" holds 1e+200' in refused(blobs().assign(a=[1e200, *range(119)]))
    assert "too large" in refused(blobs().assign(a=pd.Series([10**400, *range(119)], dtype="object")))


def test_parquet_bytes_are_text_or_refused(tmp_path):
    blobs().assign(word=[b"red", b"green"] * 60).to_parquet(tmp_path / "t.parquet")
    assert {"name": "word", "kind": "categorical", "missing": 0} in infer(load(tmp_path / "t.parquet", "y")).features
    blobs().assign(word=[b"\xff", b"green"] * 60).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match='column "word" holds bytes'):
        reading.read_table(tmp_path / "t.parquet")


def test_what_is_no_table_is_refused_with_a_sentence():
    import scipy.sparse
    import torch

    labels = [0, 1] * 20
    tensor = torch.rand(40, 2, requires_grad=True)
    assert infer(load(tensor, None, torch.tensor(labels))).counts == [20, 20]
    with pytest.raises(InputError, match="toarray"):
        load(scipy.sparse.eye(40), None, labels)
    assert "cells of type list" in refused(blobs().assign(a=[[1]] * 120))
    assert "several levels" in refused(pd.concat({"up": blobs()}, axis=1))


def test_row_names_are_told_by_their_name_or_by_counting():
    rows = np.arange(1, 121)
    shuffled = np.random.default_rng(0).permutation(rows) * 3
    names = ("PassengerId", "customerID", "id", "Unnamed: 0", "seconds", "paid", "plain")
    frame = blobs().assign(**dict.fromkeys(names[:4], shuffled), seconds=rows**2, paid=shuffled, plain=rows)
    frame["id"] = frame["id"].where(rows > 3)
    assert {column["name"] for column in task_of(frame).dropped} == {*names[:4], "plain"}


def test_dates_in_another_form_are_named_as_such():
    days = [f"{1 + row % 28:02}/{1 + row // 28:02}/2024" for row in range(120)]
    (dropped,) = task_of(blobs().assign(day=days)).dropped
    assert "not understood as a date" in dropped["reason"]


def test_decimal_commas_are_numbers_where_commas_separate_nothing(tmp_path):
    rows = [f"{row},5;{'red' if row % 3 else 'a,b'};{'yes' if row % 2 else 'no'}" for row in range(40)]
    task = text_task(tmp_path, "a;b;y", rows)
    assert [feature["kind"] for feature in task.features] == ["numeric", "categorical"]
    assert task.matrix[3, 0] == 3.5


def test_a_stray_word_among_numbers_is_named(tmp_path):
    with pytest.raises(InputError, match=r'"q" is numeric but for 2 cells such as "\?"'):
        text_task(tmp_path, "q,y", [f"{row % 40 if row % 40 else '?'},{'ab'[row % 2]}" for row in range(80)])
    counted = text_task(tmp_path, "q,y", [f"{row % 4 if row % 20 else '3+'},{'ab'[row % 2]}" for row in range(80)])
    assert counted.features[0]["kind"] == "categorical"


def test_paths_know_home_and_no_urls(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path, blobs(), "one.csv")
    assert len(reading.read_table("~/one.csv")) == 120
    with pytest.raises(InputError, match="URLs are not read"):
        reading.read_table("https://example.org/one.csv")
    with pytest.raises(InputError, match=r"nofile.csv does not exist; check"):
        reading.read_table(tmp_path / "nofile.csv")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.linspace(0, 1, 120), "regression"),
        (np.arange(120), "regression"),
        (np.arange(120) % 50, "multiclass"),
        (np.arange(120) % 51 + 0.0, "regression"),
        (np.arange(120) % 20 / 2, "multiclass"),
        (np.arange(120) % 21 / 2, "regression"),
        ([0.5, 1.5] * 60, "binary"),
    ],
)
def test_numbers_are_amounts_where_they_are_many_or_hardly_repeat(values, kind, monkeypatch):
    from lossmith.compare.data import target

    monkeypatch.setattr(target, "NEEDED_ROWS", 2)  # else 120 rows hold no 50 classes
    assert task_of(blobs().assign(y=values)).goal.kind == kind


def test_the_target_of_a_regression_is_kept_as_it_is():
    frame = numbers()
    task = task_of(frame)
    assert (task.goal.kind, task.classes, task.counts, task.positive) == ("regression", [], [], None)
    assert task.labels.dtype == np.float64
    np.testing.assert_array_equal(task.labels, frame["y"])
    assert "should differ little" in task.notes[0]
    far = task_of(frame.assign(y=frame["y"].where(frame.index > 2, 500)))
    assert far.notes[0].startswith("3 targets (2 %) lie more than 3 quartile distances")


def test_the_task_says_what_numbers_are_where_they_do_not_tell():
    few = blobs().assign(y=np.arange(120) % 7)
    assert (task_of(few).goal.kind, task_of(few, task="regression").goal.kind) == ("multiclass", "regression")
    many = blobs(300).assign(y=np.arange(300) % 55)
    assert task_of(many).goal.kind == "regression"
    assert task_of(many, task="classification").counts == [6] * 25 + [5] * 30
    assert "holds words; a regression needs numbers" in refused(blobs(), task="regression")
    assert "there is nothing to predict" in refused(blobs().assign(y=7.0), task="regression")
    assert "a regression needs at least 30" in refused(numbers(29))


def test_several_targets_are_labels():
    frame = labelled()
    task = task_of(frame, ["l0", "l1", "l2"])
    assert (task.goal.kind, task.classes, task.positive) == ("multilabel", ["l0", "l1", "l2"], None)
    assert task.labels.dtype == np.int8
    np.testing.assert_array_equal(task.labels, frame[["l0", "l1", "l2"]])
    assert task.counts == frame[["l0", "l1", "l2"]].sum().tolist()
    assert task.target == "l0, l1, l2"
    assert [feature["name"] for feature in task.features] == ["a", "b"]
    words = task_of(frame.assign(l1=np.where(frame["l1"], "yes", "no")), ["l0", "l1", "l2"])
    np.testing.assert_array_equal(words.labels, task.labels)


def test_a_separator_makes_labels_of_one_column():
    cells = ["red|green", "green", "", None, "red | blue", "blue"] * 20
    task = task_of(blobs().assign(y=cells), separator="|")
    assert (task.goal.kind, task.classes, task.dropped_rows) == ("multilabel", ["blue", "green", "red"], 0)
    assert task.labels[:6].tolist() == [[0, 1, 1], [0, 1, 0], [0, 0, 0], [0, 0, 0], [1, 0, 1], [1, 0, 0]]


def test_labels_that_cannot_be_used_are_refused():
    frame = labelled()
    assert "each of several targets is a label of 0 and 1" in refused(frame, ["l0", "a"])
    assert 'label "l0": 4 of 150 rows has it; 5 are needed' in refused(frame.assign(l0=frame.index < 4), ["l0", "l1"])
    assert 'label "l0": 1 of 150 rows lacks it' in refused(frame.assign(l0=frame.index > 0), ["l0", "l1"])
    assert "the targets have 1 labels; 2 to 200" in refused(blobs().assign(y=["x", ""] * 60), separator="|")
    assert "a target is given twice" in refused(frame, ["l0", "l0"])
    assert "give one target for a regression" in refused(frame, ["l0", "l1"], task="regression")
    assert "give one target with it" in refused(frame, ["l0", "l1"], separator="|")


def test_texts_travel_beside_the_matrix():
    texts = [f"the {word} number {row} was late again" for row, word in enumerate(["train", "bus", "tram"] * 40)]
    task = task_of(blobs().assign(remark=texts))
    assert {feature["name"]: feature["kind"] for feature in task.features}["remark"] == "text"
    assert json.loads(task.arrays["text:0"].tobytes()) == texts
    assert task.matrix.shape == (120, 3)
    alone = task_of(pd.DataFrame({"remark": texts, "y": blobs()["y"]}))
    assert alone.matrix.shape == (120, 0)
    assert alone.digest != task_of(pd.DataFrame({"remark": texts[::-1], "y": blobs()["y"]})).digest


def test_columns_with_a_role_are_no_features():
    rows = np.arange(120)
    days = pd.Timestamp("2024-01-31") + pd.to_timedelta(rows[::-1], unit="D")
    frame = blobs().assign(count=1.0 + rows % 3, team=[f"t{row % 7}" for row in rows], day=days)
    task = task_of(frame, weight="count", group="team", time="day")
    assert [feature["name"] for feature in task.features] == ["a", "b", "word"]
    np.testing.assert_allclose(task.arrays["weights"], frame["count"] / 2)
    assert task.arrays["groups"].tolist() == (rows % 7).tolist()
    assert np.diff(task.arrays["times"]).tolist() == [-1.0] * 119
    frame.loc[4, "count"] = np.nan
    assert task_of(frame, weight="count").dropped_rows == 1
    assert task.digest != task_of(frame, group="team", time="day").digest


def test_roles_that_cannot_be_are_refused():
    frame = blobs().assign(w=1.0)
    assert "must hold a weight above 0 in every row" in refused(frame.assign(w=0.0), weight="w")
    assert "must hold a weight above 0 in every row" in refused(frame, weight="word")
    assert 'no column "W"; did you mean "w"' in refused(frame, weight="W")
    assert "is given two roles" in refused(frame, weight="w", group="w")
    assert "is given two roles" in refused(frame, group="y")
    assert "holds neither dates" in refused(frame, time="word")
    assert "both say which rows are for test" in refused(frame, time="w", test=frame)


def test_slices_are_coded_by_how_often_a_value_is_there():
    frame = blobs().assign(place=["x", "x", "y", None] * 30)
    task = task_of(frame, slices=("place", "word"))
    assert task.slices[0] == ("place", ("x", "missing", "y")) or task.slices[0] == ("place", ("x", "y", "missing"))
    name, values = task.slices[0]
    assert [values[code] for code in task.arrays["slices"][:4, 0]] == ["x", "x", "y", "missing"]
    assert name in [feature["name"] for feature in task.features]  # a slice is still a feature


def test_given_test_rows_stand_behind_the_others():
    task = task_of(blobs(120), test=blobs(60, seed=1))
    assert task.arrays["test"].tolist() == [False] * 120 + [True] * 60
    assert task.matrix[120:, 0].tolist() == blobs(60, seed=1)["a"].tolist()
    lacking = blobs(60, seed=1)
    lacking.loc[2, "y"] = None
    assert task_of(blobs(120), test=lacking).arrays["test"].sum() == 59
    assert 'column "word" is in one of the two tables only' in refused(blobs(), test=blobs().drop(columns="word"))
    assert 'column "a" holds words in the test table' in refused(blobs(), test=blobs().assign(a="x"))
