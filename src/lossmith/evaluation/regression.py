"""The figures of predicted numbers."""

from typing import Any

import pandas as pd

from lossmith import metrics
from lossmith.evaluation.asked import Asked
from lossmith.evaluation.columns import numbers_of, refuse


def regression(frame: pd.DataFrame, asked: Asked) -> dict[str, Any]:
    """Errors in the target's unit, relative errors, and those of a quantile or an interval where one is given."""
    y, pred = numbers_of(frame[asked.target]), numbers_of(frame[asked.prediction])
    figures: dict[str, float | None] = {
        "mae": metrics.mae(pred, y),
        "rmse": metrics.rmse(pred, y),
        "mse": metrics.mse(pred, y),
        "r2": metrics.r2(pred, y),
        "mape": metrics.mape(pred, y),
        "smape": metrics.smape(pred, y),
    }
    if asked.quantile is not None:
        figures["pinball"] = metrics.pinball(pred, y, quantile=asked.quantile)
    if asked.lower is not None and asked.upper is not None:
        lower, upper = numbers_of(frame[asked.lower]), numbers_of(frame[asked.upper])
        refuse(asked.lower, lower > upper, "is above the upper end", "exchange or correct the two")
        figures["coverage"] = metrics.coverage(lower, upper, y)
        figures["interval_width"] = metrics.interval_width(lower, upper)
    zeros = int((y == 0).sum())
    reasons = {
        "r2": f"the target is {y[0]:g} in every row, so there is no variance to explain",
        "mape": f"the target is 0 in {zeros} of {len(y)} rows, and 0 has no percentage",
    }
    undefined = {name: reasons[name] for name, value in figures.items() if value is None}
    options = {} if asked.quantile is None else {"quantile": asked.quantile}
    return {"figures": figures, "undefined": undefined, "notes": [], **options}
