"""Specifications: what they build, what they refuse, and losses from a user's own file."""

import os
from pathlib import Path

import pytest
import torch

import lossmith
from lossmith.errors import LossmithError, ParameterError, SpecError

HOSTILE = [
    "",
    "__import__('os')",
    "().__class__",
    "focal(gamma=__import__('os'))",
    "focal.formula",
    "focal(2)",
    "focal(**x)",
    "focal(gamma=1, gamma=5)",
    "focal(gamma=1" + "0" * 400 + ")",
    "1" + "0" * 400 + "*mse",
    "focal(weight=[1" + "0" * 400 + ", 1])",
    "focal(ignore_index=1" + "0" * 30 + ")",
    "+".join(["mse"] * 5000),
    "-" * 1900 + "1",
    "(" * 3000 + "mse" + ")" * 3000,
    "mse/2",
    "x" * 2_000_000,
    "nowhere.py:Loss",
]


@pytest.mark.parametrize("spec", HOSTILE, ids=lambda spec: spec[:24])
def test_what_cannot_be_read_is_refused_in_one_sentence(spec: str) -> None:
    with pytest.raises(LossmithError) as found:
        lossmith.create(spec)
    assert "\n" not in str(found.value)


def test_factors_and_weights_come_back_exactly() -> None:
    loss = (0.1 + 0.2) * lossmith.CrossEntropyLoss(weight=torch.rand(400)) - lossmith.PolyLoss()
    twin = lossmith.create(str(loss))
    assert str(twin) == str(loss)
    assert twin.factors == loss.factors == [0.1 + 0.2, -1.0]
    assert torch.equal(twin.losses[0].weight, loss.losses[0].weight)


def test_losses_add_up_like_numbers() -> None:
    assert str(sum([lossmith.MSELoss(), lossmith.MAELoss()])) == "mse + mae"
    with pytest.raises(ParameterError, match="one value per unit and one number"):
        lossmith.MSELoss(reduction="none") + lossmith.MAELoss()


FORMULA = "from lossmith import ResidualLoss\n\n@ResidualLoss.from_function\ndef own(r, xp):\n    return {}\n"


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return f"{path}:own"


def value(spec: str) -> float:
    return float(lossmith.create(spec)(torch.tensor([2.0]), torch.tensor([0.0])))


def test_losses_of_ones_own_live_side_by_side(tmp_path: Path) -> None:
    """Two files with the same name inside, a folder with a space, a sum, and the way back."""
    one = write(tmp_path / "a" / "my.py", FORMULA.format("r * r"))
    two = write(tmp_path / "b c" / "my.py", FORMULA.format("r**3"))
    assert (value(one), value(two)) == (4, 8)
    assert value(f"0.5*{one} + mae") == 4
    assert value(f"0.5*{one}") == 2
    assert value(f"{one} + {one}") == 8
    assert str(lossmith.create(one)) == one


def test_a_path_with_a_space_takes_parameters(tmp_path: Path) -> None:
    text = FORMULA.format("r**power").replace("xp)", "xp, *, power=1.0)")
    assert value(write(tmp_path / "b c" / "my.py", text) + "(power=3)") == 8


def test_an_edited_file_is_read_anew_and_imports_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_own.py").write_text("power = 4\n")
    file = tmp_path / "my.py"
    spec = write(file, "from neighbour_of_own import power\n" + FORMULA.format("r**power"))
    assert value(spec) == 16
    write(file, FORMULA.format("r**5"))
    os.utime(file, ns=(1, 1))
    assert value(spec) == 32


@pytest.mark.parametrize(
    "text", ["raise SystemExit", "1 / 0", "own = 3", "def own(:", "import torch\nown = torch.nn.Module"]
)
def test_a_file_without_a_loss_is_refused(tmp_path: Path, text: str) -> None:
    spec = write(tmp_path / "my.py", text)
    for _ in range(2):  # and does not leave half of itself behind
        with pytest.raises(SpecError, match=r"my\.py"):
            lossmith.create(spec)


def no_star(r, xp, scale=1.0):  # type: ignore[no-untyped-def]
    return r


def taken(r, xp, *, reduction=2.0):  # type: ignore[no-untyped-def]
    return r


def no_number(r, xp, *, scale="one"):  # type: ignore[no-untyped-def]
    return r


def mean(r, xp):  # type: ignore[no-untyped-def]
    return (r * r).mean()


@pytest.mark.parametrize(
    ("function", "sentence"),
    [(no_star, "after a \\*"), (taken, "another"), (no_number, "a number as its default"), (lambda r, xp: r, "def")],
)
def test_what_is_no_formula_is_refused(function, sentence: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ParameterError, match=sentence):
        lossmith.ResidualLoss.from_function(function)


def test_a_formula_gives_one_value_per_unit() -> None:
    with pytest.raises(LossmithError, match="one value per unit"):
        lossmith.ResidualLoss.from_function(mean)()(torch.ones(3), torch.zeros(3))
