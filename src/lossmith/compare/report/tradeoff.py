"""Ranking quality against calibration: which arms no other arm beats in both."""

from collections.abc import Sequence
from typing import Any

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
    plain,
    reach,
    rounded,
)
from lossmith.compare.report.questions import holders, mean_of
from lossmith.compare.verdict.records import Runs

RANK: Path = ("ranking", "average_precision")
CALIBRATE: Path = ("calibration", "log_loss")
HEIGHT = 420
AROUND = ("top right", "bottom left", "top left", "bottom right")  # where neighbours have their numbers


def points(runs: Runs) -> list[dict[str, Any]]:
    """Every arm with both figures, numbered, and whether it is on the front."""
    both = [arm for arm in holders(runs, *RANK) if arm in holders(runs, *CALIBRATE)]
    found: list[dict[str, Any]] = [
        {"arm": arm, "rank": mean_of(runs, arm, RANK), "loss": mean_of(runs, arm, CALIBRATE)} for arm in both
    ]
    on_front = front([(point["rank"]["mean"], point["loss"]["mean"]) for point in found])
    places = {point["arm"]: k for k, point in enumerate(sorted(found, key=lambda point: point["rank"]["mean"]))}
    return [
        point
        | {
            "place": AROUND[places[point["arm"]] % len(AROUND)],
            "number": k,
            "title": runs.title(point["arm"]),
            "front": on,
        }
        for k, (point, on) in enumerate(zip(found, on_front, strict=True), start=1)
    ]


def front(pairs: Sequence[tuple[float, float]]) -> list[bool]:
    """Which pairs no other pair beats: at least as large in the first, at most as large in the second, not the same.

    >>> front([(0.8, 0.3), (0.7, 0.2), (0.7, 0.4)])
    [True, True, False]
    """
    return [not any(other != pair and other[0] >= pair[0] and other[1] <= pair[1] for other in pairs) for pair in pairs]


def drawn(runs: Runs, style: Style) -> dict[str, Figure]:
    """The arms as numbered marks with the intervals of both figures, the front as a dotted line."""
    found = points(runs)
    if not found:
        return {}
    edge = sorted((point["rank"]["mean"], point["loss"]["mean"]) for point in found if point["front"])
    line = {"color": GREY, "dash": "dot", "width": 1.5, "shape": "vh"}
    dotted = {"x": rounded(x for x, _ in edge), "y": rounded(y for _, y in edge), "mode": "lines", "line": line}
    data = [dotted | {"hoverinfo": "skip"}, *(mark(style, point) for point in found)]
    across = axis("average precision (right is better)", nticks=6)
    up = axis("log-loss (down is better)", nticks=6)
    return {"tradeoff": {"data": data, "layout": layout(HEIGHT, xaxis=across, yaxis=up)}}


def mark(style: Style, point: dict[str, Any]) -> Trace:
    """One arm; filled on the front, hollow behind it."""
    colour = style.colours[point["arm"]]
    text = f"{plain(point['title'])}: average precision{interval(point['rank'])}, log-loss{interval(point['loss'])}"
    trace: Trace = {
        "x": rounded([point["rank"]["mean"]]),
        "y": rounded([point["loss"]["mean"]]),
        "mode": "markers+text",
        "text": [str(point["number"])],
        "textposition": point["place"],
        "textfont": {"color": INK, "size": 12},
        "marker": style.marker(point["arm"], filled=point["front"], size=10),
        "cliponaxis": False,
        "hoverinfo": "text",
        "hovertext": text.replace("precision: ", "precision ").replace("loss: ", "loss "),
    }
    for end, estimate in (("error_x", point["rank"]), ("error_y", point["loss"])):
        if estimate["low"] is not None:
            trace[end] = reach(estimate, colour) | {"thickness": 1, "width": 3}
    return trace
