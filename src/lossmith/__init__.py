"""lossmith: training losses that are correct and fast, and an honest answer to which one your data needs.

A loss is called with ``(input, target)``; its parameters are keyword-only and checked.

>>> import torch, lossmith
>>> loss = lossmith.FocalLoss(gamma=2.0)
>>> loss(torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([0]))
tensor(0.0109)
>>> lossmith.create("0.7*focal(gamma=2) + 0.3*poly")
0.7 * FocalLoss() + 0.3 * PolyLoss()
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "create": "lossmith.spec",
    "catalogue": "lossmith.spec",
    "class_weight": "lossmith.flow.weight",
    "effective_number": "lossmith.flow.weight",
    "set_checks": "lossmith.flow.domain",
    "param": "lossmith.flow.parameter",
    "Claims": "lossmith.flow.claim",
    "Regularized": "lossmith.flow.regularized",
    "LossmithError": "lossmith.errors",
    "evaluate": "lossmith.evaluation",
    "curve_fit": "lossmith.curves",
    "plot": "lossmith.explanation",
    "LossMonitor": "lossmith.monitor",
}
_MODULES = (
    "activations",
    "audit",
    "boosting",
    "compare",
    "errors",
    "functional",
    "jax",
    "keras",
    "metrics",
    "numpy",
    "sampling",
    "spec",
    "trainers",
)

if TYPE_CHECKING:
    from lossmith import activations as activations
    from lossmith import audit as audit
    from lossmith import boosting as boosting
    from lossmith import errors as errors
    from lossmith import functional as functional
    from lossmith import jax as jax
    from lossmith import keras as keras
    from lossmith import metrics as metrics
    from lossmith import numpy as numpy
    from lossmith import sampling as sampling
    from lossmith import spec as spec
    from lossmith import trainers as trainers
    from lossmith.compare import compare as compare  # the package, which is called like its function
    from lossmith.curves import curve_fit as curve_fit
    from lossmith.errors import LossmithError as LossmithError
    from lossmith.evaluation import evaluate as evaluate
    from lossmith.explanation import plot as plot
    from lossmith.flow.claim import Claims as Claims
    from lossmith.flow.domain import set_checks as set_checks
    from lossmith.flow.parameter import param as param
    from lossmith.flow.regularized import Regularized as Regularized
    from lossmith.flow.weight import class_weight as class_weight
    from lossmith.flow.weight import effective_number as effective_number
    from lossmith.losses import *
    from lossmith.monitor import LossMonitor as LossMonitor
    from lossmith.spec import catalogue as catalogue
    from lossmith.spec import create as create


def __getattr__(name: str) -> Any:
    # Losses are looked up when asked for, so that the command line starts without importing torch.
    if name in _MODULES:
        return importlib.import_module(f"lossmith.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name == "__all__":
        return [public for public in __dir__() if public not in _MODULES]  # of which some import a framework
    if name.startswith("__"):
        raise AttributeError(f"module 'lossmith' has no attribute {name!r}")
    public, known = importlib.import_module("lossmith.losses"), _loss_names()
    if name in known:
        return getattr(public, name)
    from lossmith.flow.parameter import nearest

    raise AttributeError(f"module 'lossmith' has no attribute {name!r}{nearest(name, known)}")


def _loss_names() -> list[str]:
    """Every final loss that ships with lossmith, and the families to build one's own on."""
    from lossmith.flow.loss import Loss

    public = importlib.import_module("lossmith.losses")
    return sorted(
        name for name, item in vars(public).items() if isinstance(item, type) and issubclass(item, Loss) and item.family
    )


def __dir__() -> list[str]:
    return sorted([*_HOMES, *_MODULES, *_loss_names(), "__version__"])
