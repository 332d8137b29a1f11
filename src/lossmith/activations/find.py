"""Which activation functions the installed torch has: its own list, read when asked for."""

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn import functional
from torch.nn.modules import activation


def torch_modules() -> dict[str, type[nn.Module]]:
    """torch's activation modules by name: those of its list that turn one tensor into one tensor.

    That leaves out attention, which torch lists beside them and which takes a query, a key and a value.

    >>> torch_modules()["GELU"], "MultiheadAttention" in torch_modules()
    (<class 'torch.nn.modules.activation.GELU'>, False)
    """
    listed = {name: getattr(activation, name) for name in activation.__all__}
    return {name: module for name, module in listed.items() if len(required(module.forward)) == 2}  # self and input


def torch_functions() -> dict[str, Callable[..., Any]]:
    """torch's functional forms of its activation modules: the same names in lower case, in-place versions left out.

    >>> torch_functions()["leaky_relu"].__name__, "relu_" in torch_functions()
    ('leaky_relu', False)
    """
    words = {name.lower() for name in torch_modules()}
    plain = {name: item for name, item in vars(functional).items() if name == name.lower().strip("_")}
    return {name: item for name, item in plain.items() if name.replace("_", "") in words}


def required(function: Callable[..., Any]) -> list[str]:
    """The names of the arguments that a function cannot be called without."""
    fixed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    arguments = inspect.signature(function).parameters.values()
    return [one.name for one in arguments if one.default is one.empty and one.kind not in fixed]
