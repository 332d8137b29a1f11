"""Precision-recall, ROC and threshold curves: one small figure per arm, the baseline in grey."""

from typing import Any

import numpy as np

from lossmith.compare.problems.asked import Path
from lossmith.compare.report.figures import GREY, Figure, Style, Trace, axis, layout, rounded
from lossmith.compare.report.questions import capital, holders, name
from lossmith.compare.verdict.records import Runs, dig

SHARE = np.linspace(0.0, 1.0, 101)  # recall of a precision-recall curve, false-positive rate of a ROC curve
THRESHOLD = np.linspace(0.01, 0.99, 99)
UNIT = {"range": [-0.03, 1.05], "tickvals": [0, 0.25, 0.5, 0.75, 1]}
DASHES = {"recall": "dash", "precision": "dot"}


def drawn(runs: Runs, style: Style) -> dict[str, Figure]:
    """The curves of every arm that has them, by the name of the figure."""
    numbers = {arm["name"]: k for k, arm in enumerate(runs.arms)}
    found = {f"ranks-{numbers[arm]}": ranking(runs, style, arm) for arm in holders(runs, "curves", "precision")}
    metric = asked_metric(runs)
    for arm in holders(runs, "curves", "threshold"):
        found[f"threshold-{numbers[arm]}"] = threshold(runs, style, arm, metric)
    return found


def ranking(runs: Runs, style: Style, arm: str) -> Figure:
    """Precision by recall, and below it recall by the false-positive rate."""
    pairs: list[tuple[str, str, str]] = [("precision", "x", "y"), ("tpr", "x2", "y2")]
    data: list[Trace] = []
    for kind, x, y in pairs:
        if arm != style.base and style.base in holders(runs, "curves", kind):
            data.append(line(runs, style.base, ("curves", kind), SHARE, GREY) | {"xaxis": x, "yaxis": y})
        data += [t | {"xaxis": x, "yaxis": y} for t in band(runs, arm, ("curves", kind), SHARE, style.colours[arm])]
    chance = {"x": [0, 1], "y": [0, 1], "mode": "lines", "line": {"color": GREY, "dash": "dot", "width": 1}}
    data.append(chance | {"hoverinfo": "skip", "xaxis": "x2", "yaxis": "y2"})
    axes = {
        "xaxis": axis("recall", anchor="y", **UNIT),
        "yaxis": axis("precision", domain=[0.6, 1], **UNIT),
        "xaxis2": axis("false-positive rate", anchor="y2", **UNIT),
        "yaxis2": axis("recall", domain=[0, 0.4], anchor="x2", **UNIT),
    }
    return {"data": data, "layout": layout(400, **axes)}


def threshold(runs: Runs, style: Style, arm: str, metric: str) -> Figure:
    """The decision metric, recall and precision of the positive class by the threshold on its probability."""
    data: list[Trace] = []
    where: Path = ("curves", "threshold", metric)
    if arm != style.base and style.base in holders(runs, *where):
        data.append(line(runs, style.base, where, THRESHOLD, GREY))
    colour = style.colours[arm]
    if arm in holders(runs, *where):
        data += band(runs, arm, where, THRESHOLD, colour)
    shared = metric in ("cost", *DASHES)  # on another scale than recall, or one of the two
    for kind, dash in DASHES.items() if not shared else ():
        if arm in holders(runs, "curves", "threshold", kind):
            data.append(line(runs, arm, ("curves", "threshold", kind), THRESHOLD, colour, dash))
    up = axis(capital(name(metric)), nticks=6) if metric == "cost" else axis("", **UNIT)
    across = axis("threshold", range=[0, 1], tickvals=UNIT["tickvals"])
    return {"data": data, "layout": layout(230, xaxis=across, yaxis=up)}


def asked_metric(runs: Runs) -> str:
    """The metric of the threshold curves: the one that decides, else the first that the records have."""
    records = [record for found in runs.finished.values() for record in found.values()]
    curves: dict[str, Any] = next((c for r in records if (c := dig(r, ("curves", "threshold")))), {})
    return runs.metric if runs.metric in curves else next(iter(curves), runs.metric)


def spread(runs: Runs, arm: str, where: Path) -> tuple[Any, Any]:
    """Mean and standard deviation at every point over the repeats that define it."""
    rows = [row for record in runs.finished[arm].values() if (row := dig(record, where)) is not None]
    table = np.ma.masked_invalid(np.array(rows, dtype=np.float64))
    return table.mean(axis=0).filled(np.nan), table.std(axis=0).filled(np.nan)


def line(runs: Runs, arm: str, where: Path, x: Any, colour: str, dash: str = "solid", width: float = 1.8) -> Trace:
    """The mean curve of an arm; points that no repeat defines are left out."""
    middle, _ = spread(runs, arm, where)
    known = np.isfinite(middle)
    style = {"color": colour, "width": width, "dash": dash}
    return {"x": rounded(x[known]), "y": rounded(middle[known]), "mode": "lines", "line": style, "hoverinfo": "x+y"}


def band(runs: Runs, arm: str, where: Path, x: Any, colour: str) -> list[Trace]:
    """The mean curve with one standard deviation over the repeats around it."""
    middle, sd = spread(runs, arm, where)
    known = np.isfinite(middle)
    across, low, high = x[known], (middle - sd)[known], (middle + sd)[known]
    edge = {
        "x": rounded([*across, *across[::-1]]),
        "y": rounded([*high, *low[::-1]]),
        "fill": "toself",
        "fillcolor": colour,
        "opacity": 0.18,
        "line": {"width": 0},
        "mode": "lines",
        "hoverinfo": "skip",
    }
    return [edge, line(runs, arm, where, x, colour)]
