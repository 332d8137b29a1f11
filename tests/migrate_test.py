"""docs/migrate.md: every row with a specification gives the library's value and gradient, and no loss is forgotten.

The libraries are not installed in CI: their rows are skipped there, those of torch and scikit-learn always run.
"""

import importlib
import inspect
from pathlib import Path
from types import ModuleType

import pytest
import torch

from bench import peers
from bench.migrate import MODULES, ROWS, VERSIONS, page
from bench.migrate.row import Row, drawn, ours, package_of, theirs

PAGE = Path(__file__).parent.parent / "docs" / "migrate.md"
REPRODUCED = [row for row in ROWS if row.ours]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    """What other libraries warn of is theirs."""
    import warnings

    warnings.simplefilter("ignore")


def installed(package: str) -> None:
    if not peers.prepare(package):
        pytest.skip(f"{peers.DISTRIBUTIONS[package]} is not installed")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("row", REPRODUCED, ids=lambda row: f"{row.theirs} = {row.ours}")
def test_same_value_and_gradient(row: Row) -> None:
    installed(package_of(row))
    for seed in (1, 2, 3):
        batch = drawn(row, seed)
        value, slopes = theirs(row, batch)
        own, own_slopes = ours(row, batch)
        assert float(value) != 0
        torch.testing.assert_close(own, value, rtol=row.rtol, atol=0)
        if row.layout == "scikit-learn":  # numbers, without gradients
            continue
        assert slopes
        for mine, slope in zip(own_slopes, slopes, strict=True):
            torch.testing.assert_close(mine, slope, rtol=0, atol=row.rtol * float(slope.abs().max()))


def test_the_page_is_the_rows() -> None:
    assert PAGE.read_text() == page(), "print it anew: python -m bench.migrate > docs/migrate.md"


def losses_of(module: ModuleType) -> set[str]:
    """The public names of a module that are losses: classes and functions that say so, or all of a module of losses."""
    public = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    found = {name: getattr(module, name) for name in public}
    return {name for name, item in found.items() if inspect.isclass(item) or inspect.isfunction(item)}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("package", [name for name in VERSIONS if name in MODULES])
def test_no_loss_is_forgotten(package: str) -> None:
    """Every public loss of the version that the page is about has a row, or a reason."""
    installed(package)
    if peers.version(package) != VERSIONS[package]:
        pytest.skip(f"the page is about {package} {VERSIONS[package]}; installed is {peers.version(package)}")
    module, left_out = MODULES[package]
    known = {row.theirs.partition(":")[2].partition("(")[0] for row in ROWS if package_of(row) == package}
    missing = losses_of(importlib.import_module(module)) - known - left_out.keys()
    assert not missing, f"{module} has losses that docs/migrate.md does not name: {sorted(missing)}"


def test_no_row_is_twice_and_every_reason_is_a_sentence() -> None:
    keys = [(row.theirs, row.ours, row.data) for row in ROWS]
    assert len(set(keys)) == len(keys)
    for row in ROWS:
        assert row.ours or row.remark.endswith("."), row.theirs
        assert package_of(row) in VERSIONS
