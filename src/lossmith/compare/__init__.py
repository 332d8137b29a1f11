"""Which loss should I train with, on my data? ``lossmith.compare(data, target="y")`` answers.

This package can be called: ``lossmith.compare(...)`` is ``lossmith.compare.compare(...)``. Importing it costs
nothing; what it needs (pandas, scikit-learn, torch) is imported when it is called.
"""

import sys
from types import ModuleType
from typing import Any

from lossmith.compare.call import compare, conduct
from lossmith.compare.saved import fit_best, load_model
from lossmith.compare.session import Comparison

__all__ = ["Comparison", "compare", "conduct", "fit_best", "load_model"]


class _CallablePackage(ModuleType):
    """The package itself as the function of the same name."""

    def __call__(self, *arguments: Any, **options: Any) -> Comparison:
        return compare(*arguments, **options)


_CallablePackage.__call__.__doc__ = compare.__doc__
sys.modules[__name__].__class__ = _CallablePackage
