"""Packages that only an extra brings: imported when they are needed, with one sentence where they are missing."""

import importlib
import importlib.util
from typing import Any

from lossmith.errors import MissingError


def extra(module: str, name: str) -> Any:
    """The module, which ``pip install "lossmith[name]"`` brings.

    >>> extra("json", "compare").__name__
    'json'

    Raises `MissingError` where it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != module.split(".")[0]:
            raise
        raise MissingError(f'{module} is not installed: pip install "lossmith[{name}]"') from None


def installed(module: str) -> bool:
    """Whether a package is there, found without importing it.

    >>> installed("json"), installed("no_such_package")
    (True, False)
    """
    return importlib.util.find_spec(module) is not None
