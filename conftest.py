"""What the examples in docstrings take for granted: that torch has been imported."""

from typing import Any

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def torch_is_imported(doctest_namespace: dict[str, Any]) -> None:
    doctest_namespace["torch"] = torch
