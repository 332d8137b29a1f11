"""The store: whole files or none, and nothing believed that is damaged."""

import json
import os

import pytest

from lossmith.compare.runs.store import Store, StoreError, folder_for, key_of
from lossmith.errors import InputError
from lossmith.files import write_text

RECORD = {"arm": "focal", "repeat": 0, "status": "ok", "curve": [0.1, 1 / 3], "time": {"train_seconds": 1.5}}


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "out")
    made.open()
    return made


def test_a_record_comes_back_as_it_was(store):
    store.save("k", RECORD)
    assert store.load("k") == RECORD
    assert [path.name for path in store.parts.iterdir()] == ["k.json"]
    store.forget("k")
    assert store.load("k") is None


def test_damaged_cut_or_exchanged_parts_are_ignored(store):
    store.save("k", RECORD)
    path = store.parts / "k.json"
    whole = path.read_text()
    for text in (whole[: len(whole) // 2], "", "[]", "null", whole.replace("1.5", "2.5"), whole.replace('"k"', '"j"')):
        path.write_text(text)
        assert store.load("k") is None
    path.write_bytes(b"\xff\xfe\x00")
    assert store.load("k") is None


@pytest.mark.parametrize("status", ["failed", "timeout"])
def test_runs_without_success_are_tried_again(store, status):
    store.save("k", {**RECORD, "status": status, "reason": "it broke"})
    assert store.load("k") is None


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    write_text(tmp_path / "f", "old")
    monkeypatch.setattr(os, "replace", lambda *names: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_text(tmp_path / "f", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").read_text() == "old"


def test_nothing_is_written_or_read_through_a_symlink(tmp_path, store):
    other = tmp_path / "precious"
    other.write_text("mine")
    (store.folder / "report.html").symlink_to(other)
    write_text(store.folder / "report.html", "report")
    assert other.read_text() == "mine"
    store.save("k", RECORD)
    (store.parts / "k.json").rename(tmp_path / "k.json")
    (store.parts / "k.json").symlink_to(tmp_path / "k.json")
    assert store.load("k") is None
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match="symbolic link"):
        Store(tmp_path / "link").open()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "inner"):
        with pytest.raises(InputError, match="cannot be written"):
            Store(folder).open()


def test_keys_depend_on_content_and_not_on_order():
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1}) != key_of({"a": 1, "b": 3})
    json.dumps(key_of({"a": (1, 2)}))


def test_a_folder_that_is_lost_later_is_one_sentence(store):
    store.parts.rmdir()
    with pytest.raises(StoreError, match="can no longer be written: No such file or directory") as caught:
        store.save("k", RECORD)
    assert "\n" not in str(caught.value)


def test_the_home_folder_and_names_of_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Store("~/out").folder == tmp_path / "out"
    assert folder_for("my table.csv", "a/b").name == "my_table-a_b"
    assert folder_for("..", "..").name == "-.."
    assert len(folder_for("x" * 300, "y" * 300).name) < 200
