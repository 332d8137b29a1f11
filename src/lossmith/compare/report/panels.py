"""The small figures of which every arm has one: learning curves and reliability diagrams, the baseline in grey."""

from typing import Any

import numpy as np

from lossmith.compare.report.figures import GREY, Figure, Style, Trace, axis, layout, rounded
from lossmith.compare.verdict.records import Runs, dig
from lossmith.compare.verdict.wording import number

FEWEST = 10  # rows in a bin that is drawn


def learning(runs: Runs, style: Style, arm: str, span: tuple[float, float]) -> Figure:
    """One arm's validation score over the baseline's, and below it its own training loss."""
    colour = style.colours[arm]
    data = band(runs, arm, "validation", colour, "y")
    if arm != style.base and runs.finished.get(style.base):
        data = [line(runs, style.base, "validation", GREY, "y"), *data]
    data += band(runs, arm, "loss", colour, "y2")
    top = axis("validation", domain=[0.47, 1], range=list(span), nticks=7)
    bottom = axis("own loss", domain=[0, 0.37], nticks=5, rangemode="tozero")
    across = axis("epoch", anchor="y2", nticks=6, rangemode="tozero")
    return {"data": data, "layout": layout(300, xaxis=across, yaxis=top, yaxis2=bottom)}


def line(runs: Runs, arm: str, kind: str, colour: str, where: str) -> Trace:
    """The mean curve of an arm over the repeats that are still training, while at least half of them are."""
    middle, _ = curve(runs, arm, kind)
    x = list(range(1, len(middle) + 1))
    style = {"color": colour, "width": 2}
    common = {"mode": "lines", "line": style, "xaxis": "x", "yaxis": where, "hoverinfo": "x+y"}
    return {"x": x, "y": rounded(middle), **common}


def band(runs: Runs, arm: str, kind: str, colour: str, where: str) -> list[Trace]:
    """The mean curve with one standard deviation over the repeats around it."""
    middle, sd = curve(runs, arm, kind)
    x = list(range(1, len(middle) + 1))
    edge = {
        "x": x + x[::-1],
        "y": rounded([*(middle + sd), *(middle - sd)[::-1]]),
        "fill": "toself",
        "fillcolor": colour,
        "opacity": 0.18,
        "line": {"width": 0},
        "mode": "lines",
        "hoverinfo": "skip",
        "xaxis": "x",
        "yaxis": where,
    }
    return [edge, line(runs, arm, kind, colour, where)]


def curve(runs: Runs, arm: str, kind: str) -> tuple[Any, Any]:
    """Mean and standard deviation per epoch, up to the epoch that half of the repeats have reached.

    Of numbers the validation score is minus the mean absolute error, and shown as that error.
    """
    sign = -1 if kind == "validation" and runs.kind == "regression" else 1
    curves = [np.multiply(sign, record["curve"][kind]) for record in runs.finished[arm].values()]
    length = int(np.median([len(c) for c in curves]))
    columns = [np.array([c[epoch] for c in curves if len(c) > epoch]) for epoch in range(length)]
    return np.array([c.mean() for c in columns]), np.array([c.std() for c in columns])


def validation_span(runs: Runs) -> tuple[float, float]:
    """One vertical range for the validation curves of all arms."""
    means = [curve(runs, arm, "validation")[0] for arm, found in runs.finished.items() if found]
    points = np.concatenate([m for m in means if len(m)] or [np.array([0.0, 1.0])])
    room = 0.06 * max(float(np.ptp(points)), 0.01)
    return float(points.min() - room), float(points.max() + room)


def reliability(runs: Runs, style: Style, arm: str) -> Figure:
    """How often the top class is right against how sure the model is of it, all repeats together."""
    diagonal = {"x": [0, 1], "y": [0, 1], "mode": "lines", "line": {"color": GREY, "dash": "dot", "width": 1}}
    data: list[Trace] = [diagonal | {"hoverinfo": "skip"}]
    if arm != style.base and runs.finished.get(style.base):
        data.append(reliability_line(runs, style.base, GREY, 0.6))
    data.append(reliability_line(runs, arm, style.colours[arm]))
    span = {"range": [-0.03, 1.05], "tickvals": [0, 0.25, 0.5, 0.75, 1]}
    return {"data": data, "layout": layout(230, xaxis=axis("confidence", **span), yaxis=axis("share right", **span))}


def reliability_line(runs: Runs, arm: str, colour: str, scale: float = 1.0) -> Trace:
    """The bins of one arm, summed over its repeats; the area of a mark grows with its rows."""
    bins = [dig(record, ("calibration", "bins")) for record in runs.finished[arm].values()]
    points = [pooled(same) for same in zip(*bins, strict=True)]
    filled = [point for point in points if point[2] >= FEWEST]
    rows = max(sum(n for _, _, n in points), 1)
    hover = [f"{number(a, 2)} right at {number(c, 2)} sure, {n} rows" for c, a, n in filled]
    return {
        "x": rounded([c for c, _, _ in filled]),
        "y": rounded([a for _, a, _ in filled]),
        "mode": "lines+markers",
        "line": {"color": colour, "width": 1.5},
        "marker": {"color": colour, "size": rounded(scale * (4 + 10 * np.sqrt(n / rows)) for _, _, n in filled)},
        "hoverinfo": "text",
        "hovertext": hover,
    }


def pooled(same: tuple[dict[str, Any], ...]) -> tuple[float, float, int]:
    """Mean confidence, share right and rows of one bin over all repeats."""
    count = sum(b["count"] for b in same)
    confidence, accuracy = (
        sum(b[key] * b["count"] for b in same if b["count"]) / max(count, 1) for key in ("confidence", "accuracy")
    )
    return confidence, accuracy, count
