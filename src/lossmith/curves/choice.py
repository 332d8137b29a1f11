"""The model that a text or a function describes."""

import re
from collections.abc import Sequence
from typing import Any

from lossmith.curves.basis import Plane, Polynomial, Spline
from lossmith.curves.expression import EXAMPLE, MOST_PARAMETERS
from lossmith.curves.model import Floats, Function, Model, Written
from lossmith.errors import InputError
from lossmith.flow.parameter import nearest
from lossmith.text import clean

KINDS = ("poly", "spline", "linear")
HIGHEST = MOST_PARAMETERS - 1  # degree of a polynomial
MOST_KNOTS = 50


def model_of(model: Any, x: Floats, names: Sequence[str]) -> Model:
    """The model that a text or a function describes, for these columns of x.

    >>> import numpy as np
    >>> model_of("poly:2", np.array([[0.0], [1.0], [2.0]]), ["t"]).text
    'c0 + c1*t + c2*t**2'

    Raises `InputError` for a model that is not known, with the nearest name.
    """
    if callable(model):
        return Function(model, x.shape[1])
    if not isinstance(model, str) or not model.strip():
        raise InputError(f"a model is poly:3, spline:5, linear, an expression such as {EXAMPLE!r}, or a function.")
    if model.strip() == "linear":
        return Plane(x, names)
    if model.strip() in ("poly", "spline"):
        model = f"{model.strip()}:"
    named = re.fullmatch(r"\s*([A-Za-z_]\w*)\s*:\s*(\S*)\s*", model)
    return numbered(named[1], named[2], x, names) if named else Written(model, names)


def numbered(kind: str, word: str, x: Floats, names: Sequence[str]) -> Model:
    """``poly:K`` or ``spline:K``."""
    if kind not in ("poly", "spline"):
        raise InputError(f"no model is named {clean(kind)}{nearest(kind, KINDS)} (poly:3, spline:5, linear)")
    if x.shape[1] > 1:
        raise InputError(f"{kind} is a model of one column of x, not of {x.shape[1]}; use linear or an expression.")
    least, most = (0, HIGHEST) if kind == "poly" else (1, MOST_KNOTS)
    if not re.fullmatch(r"\d{1,3}", word) or not least <= int(word) <= most:
        what = "a degree" if kind == "poly" else "a number of knots"
        raise InputError(f"{kind}: needs {what} from {least} to {most}, such as {kind}:3, not {clean(word)!r}.")
    name = names[0] if names[0].isidentifier() else "x"
    return Polynomial(int(word), x, name) if kind == "poly" else Spline(int(word), x, clean(names[0]))
