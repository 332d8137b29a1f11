"""Other libraries' losses, for comparison only: imported without what their packages load beside them."""

import importlib
import importlib.util
import os
import sys
import types
from dataclasses import replace
from importlib import metadata
from typing import Any

import torch

from lossmith.audit import Subject, subject_of

os.environ.setdefault("KERAS_BACKEND", "torch")  # Keras then takes torch tensors, and gradients flow

# Packages whose __init__ needs compiled operators or pretrained networks that a loss does not.
SHELLS = ("torchvision", "torchvision.ops", "timm", "segmentation_models_pytorch")
DISTRIBUTIONS = {
    "torch": "torch",
    "torchvision": "torchvision",
    "monai": "monai",
    "kornia": "kornia",
    "segmentation_models_pytorch": "segmentation-models-pytorch",
    "timm": "timm",
    "keras": "keras",
    "optax": "optax",
    "pytorch_metric_learning": "pytorch-metric-learning",
    "imbalanced_losses": "imbalanced-losses",
    "balanced_loss": "balanced-loss",
    "sklearn": "scikit-learn",
}


def version(package: str) -> str:
    """The installed version of a package, or nothing."""
    try:
        return metadata.version(DISTRIBUTIONS[package]).partition("+")[0]
    except metadata.PackageNotFoundError:
        return ""


def prepare(package: str) -> bool:
    """Make a package's modules importable, its heavy __init__ left out; False if it is not installed."""
    if not version(package):
        return False
    for name in SHELLS:
        if name.split(".")[0] == package and name not in sys.modules:
            sys.modules[name] = _shell(name)
    if package == "optax":
        importlib.import_module("jax").config.update("jax_enable_x64", True)
    return True


def subject(target: str) -> Subject:
    """The subject of a target text, its lists of numbers with a point made tensors: so libraries take weights."""
    prepare(target.partition(":")[0].partition(".")[0])
    found = subject_of(target)
    return replace(found, options={name: _tensor(value) for name, value in found.options.items()})


def _tensor(value: Any) -> Any:
    first = value
    while isinstance(first, list) and first:
        first = first[0]
    return torch.tensor(value) if isinstance(value, list) and isinstance(first, float) else value


def _shell(name: str) -> types.ModuleType:
    """An empty package in the place of the real one: its modules are found, its __init__ is not run."""
    parent, _, last = name.rpartition(".")
    shell = types.ModuleType(name)
    if parent:
        shell.__path__ = [f"{folder}/{last}" for folder in sys.modules[parent].__path__]
    else:
        found = importlib.util.find_spec(name)
        assert found is not None
        shell.__path__ = list(found.submodule_search_locations or [])
    return shell
