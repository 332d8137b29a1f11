"""What the examples in docstrings take for granted: that torch has been imported, and that Keras runs on it."""

import os
from typing import Any

import pytest
import torch

os.environ.setdefault("KERAS_BACKEND", "torch")  # Keras reads it when it is imported


@pytest.fixture(autouse=True, scope="session")
def torch_is_imported(doctest_namespace: dict[str, Any]) -> None:
    doctest_namespace["torch"] = torch
