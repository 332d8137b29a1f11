"""What a regression's report shows beside the errors: predicted against true values, and prediction intervals."""

from typing import Any

import numpy as np

from lossmith.compare.problems.asked import Path
from lossmith.compare.report.figures import (
    GREY,
    INK,
    Figure,
    Style,
    Trace,
    axis,
    interval,
    layout,
    mean,
    plain,
    rounded,
    rows_figure,
)
from lossmith.compare.report.questions import holders, mean_of
from lossmith.compare.verdict.records import Runs, dig
from lossmith.compare.verdict.wording import shown

MOST = 400  # points of one arm
KINDS = (("", False), ("conformal_", True))  # raw and conformal intervals; the latter are drawn filled
INSIDE = (0.5, 99.5)  # percentiles of what is drawn, so that a few far points do not squeeze the others


def drawn(runs: Runs, style: Style) -> dict[str, Figure]:
    """Every figure by name."""
    numbers = {arm["name"]: k for k, arm in enumerate(runs.arms)}
    known = holders(runs, "points", "prediction")
    span = extent(runs, known)
    found = {f"points-{numbers[arm]}": points(runs, style, arm, span) for arm in known}
    if holders(runs, "interval", "coverage"):
        found["coverage"] = coverage(runs, style)
    return found


def sample(runs: Runs, arm: str) -> tuple[Any, Any]:
    """True and predicted values of some test rows, the same number from every repeat."""
    kept = [record["points"] for record in runs.finished[arm].values() if dig(record, ("points", "prediction"))]
    each = max(1, MOST // max(len(kept), 1))
    pairs = [np.array([part["target"], part["prediction"]], dtype=float)[:, :each] for part in kept]
    true, predicted = np.concatenate(pairs, axis=1)
    return true, predicted


def extent(runs: Runs, arms: list[str]) -> tuple[float, float]:
    """One range for both axes of all arms."""
    values = [np.concatenate(sample(runs, arm)) for arm in arms]
    if not values:
        return 0.0, 1.0
    low, high = np.percentile(np.concatenate(values), INSIDE)
    room = 0.05 * max(high - low, 1e-9)
    return float(low - room), float(high + room)


def points(runs: Runs, style: Style, arm: str, span: tuple[float, float]) -> Figure:
    """Predicted against true values; a perfect prediction is on the dotted line."""
    true, predicted = sample(runs, arm)
    line = {"color": GREY, "dash": "dot", "width": 1}
    ends = rounded(span)
    diagonal: Trace = {"x": ends, "y": ends, "mode": "lines", "line": line, "hoverinfo": "skip"}
    marker = {"color": style.colours[arm], "size": 4, "opacity": 0.45}
    dots = {"x": rounded(true), "y": rounded(predicted), "mode": "markers", "marker": marker, "hoverinfo": "x+y"}
    across, up = axis("true value", range=ends, nticks=5), axis("predicted", range=ends, nticks=5)
    return {"data": [diagonal, dots], "layout": layout(250, xaxis=across, yaxis=up)}


def coverage(runs: Runs, style: Style) -> Figure:
    """What share of the test rows the intervals hold, by arm, and the share that they are made for."""
    arms, data = holders(runs, "interval", "coverage"), []
    for row, arm in enumerate(arms):
        for k, (kind, filled) in enumerate(KINDS):
            estimate = mean_of(runs, arm, ("interval", f"{kind}coverage"))
            if estimate["mean"] is not None:
                words = "conformal" if filled else "as predicted"
                text = f"{plain(runs.title(arm))}, {words}{interval(estimate)}"
                marker = style.marker(arm, filled=filled)
                data.append(mean(estimate, row + 0.36 * (k - 0.5), marker, style.colours[arm], text))
    level = nominal(runs)
    line = {"color": INK, "width": 1}
    wanted = {"type": "line", "x0": level, "x1": level, "yref": "paper", "y0": 0, "y1": 1, "line": line}
    return rows_figure([runs.title(arm) for arm in arms], "share of test rows inside", data, shapes=[wanted])


def nominal(runs: Runs) -> float:
    """The share of rows that an interval is to hold."""
    records = [record for found in runs.finished.values() for record in found.values()]
    return float(next((level for r in records if (level := dig(r, ("interval", "level"))) is not None), 0.9))


def intervals(runs: Runs) -> list[tuple[str, list[str]]]:
    """Coverage and width of the prediction intervals, by arm: as predicted, then conformal."""
    paths: list[Path] = [("interval", f"{kind}{what}") for kind, _ in KINDS for what in ("coverage", "width")]
    return [
        (arm, [shown(mean_of(runs, arm, path)["mean"], path[-1]) for path in paths])
        for arm in holders(runs, "interval", "coverage")
    ]
