"""The command: exit codes, table, JSON, page, list; once in a process of its own, and else in this one."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from lossmith import cli
from lossmith.audit import CHECKS

FILE = """
import torch
from torch.nn import functional as F

def focal(input, target, *, gamma=2.0):
    ce = F.cross_entropy(input, target)
    return (1 - torch.exp(-ce)) ** gamma * ce
"""


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


Call = Callable[..., Done]


@pytest.fixture
def lossmith(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """The command in this process, which has imported torch already, and in an own folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *words: None)

    def called(*words: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["lossmith", "audit", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return Done(int(left.value.code or 0), *capfd.readouterr())

    return called


def test_a_wrong_loss_ends_with_1_and_is_explained(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    words = [sys.executable, "-m", "lossmith", "audit", "mine.py:focal(gamma=2)", "--html", "page.html"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "p_is_of_each_example" in done.stdout
    assert "p is taken from the averaged" in done.stdout
    assert "expected:" in done.stdout
    text = (tmp_path / "page.html").read_text()
    assert "p is taken from the averaged cross-entropy" in text
    assert text.count("<tr") > len(CHECKS)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == ["mine.py", "page.html"]


def test_a_right_loss_ends_with_0(lossmith: Call) -> None:
    done = lossmith("mse", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["kind"] == "regression"
    assert document["counts"]["fail"] == 0
    assert document["counts"]["pass"] > 30
    assert len(document["outcomes"]) == len(CHECKS)


@pytest.mark.parametrize(
    "words", [["no.such:Loss"], ["torch.nn:MSELoss", "--kind", "nonsense"], [], ["torch.nn:MSELoss(1)"], ["focall"]]
)
def test_bad_usage_ends_with_2_and_one_sentence(lossmith: Call, words: list[str]) -> None:
    done = lossmith(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("lossmith: ")
    assert done.stderr.count("\n") == 1


def test_the_list_explains_every_check(lossmith: Call) -> None:
    done = lossmith("--list")
    assert done.returncode == 0
    for one in CHECKS.values():
        assert one.name in done.stdout
        assert one.link in done.stdout
    assert f"{len(CHECKS)} checks" in done.stdout


def test_quiet_is_one_line_and_the_failures(lossmith: Call, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    done = lossmith("mine.py", "--quiet")
    assert done.returncode == 1
    first, *rest = done.stdout.splitlines()
    assert first.startswith("focal: ")
    assert " failed" in first
    assert all(line.split(":")[0] in CHECKS for line in rest)
    assert done.stderr == ""


def test_a_page_that_cannot_be_written_is_said(lossmith: Call, tmp_path: Path) -> None:
    done = lossmith("mse", "--html", str(tmp_path / "no" / "page.html"))
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
