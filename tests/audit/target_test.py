"""Targets: modules and files with literal parameters; nothing is evaluated."""

from pathlib import Path

import pytest
from torch import nn

import lossmith
from lossmith.audit.target import subject_of
from lossmith.errors import SpecError

FILE = """
import torch
from torch import nn
from torch.nn import functional as F

class Mine(nn.Module):
    def __init__(self, gamma=2.0, reduction="mean"):
        super().__init__()
        self.gamma, self.reduction = gamma, reduction

    def forward(self, input, target):
        return F.cross_entropy(input, target, reduction=self.reduction)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my losses.py"
    path.write_text(FILE)
    return path


def test_a_class_of_a_module_takes_its_parameters() -> None:
    subject = subject_of("torch.nn:CrossEntropyLoss(label_smoothing=0.25, reduction='sum')")
    assert subject.make().label_smoothing == 0.25
    assert subject.make(reduction="none").reduction == "none"
    assert subject.title == "CrossEntropyLoss(label_smoothing=0.25, reduction='sum')"


def test_a_function_takes_its_parameters_with_the_call() -> None:
    subject = subject_of("torch.nn.functional:huber_loss(delta=3.0)")
    assert subject.function
    assert subject.make().keywords == {"delta": 3.0}
    assert subject.make(reduction="sum").keywords == {"delta": 3.0, "reduction": "sum"}
    assert {"input", "target"}.isdisjoint(subject.parameters)


def test_a_loss_of_ours_starts_from_its_example() -> None:
    subject = subject_of("lossmith:FocalLoss(gamma=1.0)")
    assert subject.make().gamma == 1.0
    assert "process_group" in subject.parameters
    assert {"mask", "sample_weight", "num_items"} <= subject.call_parameters


@pytest.mark.parametrize("ending", ["", ":Mine", ":Mine(gamma=0.5)"])
def test_a_file_is_run_and_its_loss_found(file: Path, ending: str) -> None:
    subject = subject_of(f"{file}{ending}")
    assert subject.make().gamma == (0.5 if "0.5" in ending else 2.0)
    assert subject.home is not None
    assert subject.home.file == str(file)


def test_an_instance_is_made_again_from_its_attributes() -> None:
    subject = subject_of(nn.HuberLoss(delta=2.5))
    assert subject.make(reduction="none").delta == 2.5
    assert subject_of(lossmith.FocalLoss(gamma=3.0)).make(reduction="sum").gamma == 3.0


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ("(gamma=__import__('os').system('touch owned'))", "a parameter is a name, once, and a number"),
        ("(gamma=[c for c in 'ab'])", "a parameter is a name"),
        ("(gamma=1+open('x').read())", "a parameter is a name"),
        ("(2)", "must be given by name"),
        ("(**{'gamma': 2})", "a parameter is a name"),
        ("(gamma=1)(2)", "must be given by name"),
        ("(gamma=1).__class__()", "must be given by name"),
        ("(gamma=", "a loss to audit is written"),
        ("(gamma=1, gamma=2)", "a parameter is a name, once"),
    ],
)
def test_nothing_is_evaluated(call: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=sentence):
        subject_of(f"torch.nn:CrossEntropyLoss{call}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("torch.nn:CrossEntropyLos", 'did you mean "CrossEntropyLoss"'),
        ("no.such.module:Loss", "cannot be imported"),
        ("missing.py:Loss", "there is no file"),
        ("missing.py", "there is no file"),
        ("torch.nn", "a loss to audit is written"),
        ("torch.nn:functional", "name a class or a function"),
        ("lossmith:LikelihoodLoss", "is a family of losses"),
        ("torch.nn:CrossEntropyLoss(gama=2)", "cannot be made"),
        ("x" * 200_000, "at most 100,000 characters"),
    ],
)
def test_what_cannot_be_found_is_said(text: str, sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence):
        subject_of(text).make()


def test_a_file_with_several_losses_must_name_one(tmp_path: Path) -> None:
    path = tmp_path / "two.py"
    path.write_text(FILE + "\nclass Other(Mine):\n    pass\n")
    with pytest.raises(SpecError, match="holds Mine, Other: name the one"):
        subject_of(str(path))
    path.write_text("import nothing_of_the_kind\n")
    with pytest.raises(SpecError, match="cannot be imported: ModuleNotFoundError"):
        subject_of(str(path))
