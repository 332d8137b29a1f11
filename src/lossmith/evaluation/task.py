"""Which task a target and its predictions pose, where the user does not say it."""

import numpy as np
import pandas as pd

from lossmith.evaluation.asked import Asked
from lossmith.evaluation.columns import is_numeric
from lossmith.text import quote

MOST_NUMBERED_CLASSES = 20


def infer(frame: pd.DataFrame, asked: Asked) -> tuple[str, str]:
    """The task and why it is this one, as a clause for people."""
    if asked.task:
        return asked.task, "as you said"
    if asked.given:
        name, task = next(iter(asked.given.items()))
        return task, f"because {name} is given"
    target, prediction = frame[asked.target].dropna(), frame[asked.prediction].dropna()
    name = f"target {quote(asked.target)}"
    distinct = target.nunique()
    if is_numeric(target):
        if few_whole(target) and (not is_numeric(prediction) or whole(prediction)):
            return "classification", f"because {name} holds {distinct} different whole numbers"
        return "regression", f"because {name} holds numbers"
    if sentences(target):
        return "text", f"because {name} holds sentences that hardly repeat"
    if distinct <= len(target) / 2:
        return "classification", f"because {name} holds {distinct} different words"
    if prediction.astype(str).isin(set(target.astype(str))).mean() >= 0.5:
        return "classification", f"because most predictions are values of {name}"
    return "text", f"because {name} hardly repeats and few predictions are values of it"


def whole(column: pd.Series) -> bool:
    """True where all numbers are whole."""
    values = column.to_numpy(dtype="float64")
    return bool((values == np.round(values)).all())


def few_whole(column: pd.Series) -> bool:
    """Whole numbers so few, and so often repeated, that they name classes."""
    distinct = column.nunique()
    return whole(column) and 0 < distinct <= min(MOST_NUMBERED_CLASSES, max(2, len(column) / 2))


def sentences(column: pd.Series) -> bool:
    """True where most cells differ and most hold several words."""
    words = column.astype(str).str.split().str.len()
    return bool(column.nunique() > len(column) / 2 and words.median() >= 3)
