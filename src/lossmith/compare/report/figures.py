"""The figures of the report as plain plotly dictionaries; every label in them is escaped text, never markup."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from lossmith.compare.problems.asked import Path
from lossmith.compare.report.questions import Question, holders, mean_of
from lossmith.compare.verdict.inference import LEVEL
from lossmith.compare.verdict.records import Runs, dig
from lossmith.compare.verdict.wording import shown
from lossmith.text import clean

Figure = dict[str, Any]
Trace = dict[str, Any]

INK, GREY, GRID = "#1f2933", "#8a94a0", "#e4e7eb"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#8c6d00", "#6a51a3")
SYMBOLS = ("circle", "square", "diamond", "triangle-up")
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"
ROW, FRAME = 38, 70  # pixels per row of a figure with rows, and around them
MANY = 30  # rows; from there on they are half as high
FAR = 8  # times the usual spread; a row that far off is written at the edge instead of squeezing the others
WRAP = 17  # characters in a line of a row's label; two lines at most
BELOW = 0.14  # of a row
KEPT = 5  # significant digits of what is drawn


def plain(text: object) -> str:
    """Text that plotly shows as it is, though its labels know a little HTML and try TeX between dollars.

    >>> plain("<b>a & b")
    '&lt;b&gt;a &amp; b'
    """
    return clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("$", "&#36;")


def wrapped(text: object) -> str:
    """A label of at most two short lines, for narrow screens."""
    lines = textwrap.wrap(clean(text), WRAP, max_lines=2, placeholder="…", break_on_hyphens=False) or [""]
    return "<br>".join(plain(line) for line in lines)


def rounded(values: Any) -> list[float]:
    """Numbers with the digits that can be seen."""
    return [float(f"{value:.{KEPT}g}") for value in values]


class Style:
    """One colour and symbol per arm, the same in every figure; the baseline is ink."""

    def __init__(self, runs: Runs) -> None:
        self.base = base = runs.baseline
        others = [arm["name"] for arm in runs.arms if arm["name"] != base]
        self.colours = {arm: COLOURS[k % len(COLOURS)] for k, arm in enumerate(others)} | {base: INK}
        self.symbols = {arm: SYMBOLS[k // len(COLOURS) % len(SYMBOLS)] for k, arm in enumerate(others)}

    def marker(self, arm: str, filled: bool = True, size: int = 9) -> dict[str, Any]:
        """The marker of an arm's mean."""
        colour = self.colours[arm]
        line = {"color": colour, "width": 1.5}
        symbol = self.symbols.get(arm, "circle")
        return {"color": colour if filled else "#ffffff", "line": line, "size": size, "symbol": symbol}


def layout(height: int, **more: Any) -> dict[str, Any]:
    """What all figures share."""
    base = {
        "height": height,
        "font": {"family": FONT, "size": 12, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 8, "r": 12, "t": 8, "b": 44},
        "showlegend": False,
        "hovermode": "closest",
        "dragmode": False,
    }
    return base | more


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """An axis with room for its labels."""
    base = {
        "title": {"text": title, "font": {"size": 12}, "standoff": 6},
        "gridcolor": GRID,
        "zeroline": False,
        "automargin": True,
        "fixedrange": True,
    }
    return base | more


def rows_axis(labels: list[str]) -> dict[str, Any]:
    """A vertical axis of named rows, the first at the top. Positions are numbers, so equal names stay apart."""
    ends, short = [len(labels) - 0.5, -0.5], len(labels) > MANY
    texts = [plain(clean(label, 2 * WRAP)) if short else wrapped(label) for label in labels]
    ticks: dict[str, Any] = {"tickvals": list(range(len(labels))), "ticktext": texts}
    return axis(range=ends, showgrid=False, **ticks)


def rows_figure(labels: list[str], title: str, data: list[Trace], **more: Any) -> Figure:
    """A figure of named rows against one horizontal axis."""
    height = (ROW if len(labels) <= MANY else ROW // 2) * len(labels) + FRAME
    return {"data": data, "layout": layout(height, yaxis=rows_axis(labels), xaxis=axis(title, nticks=8), **more)}


def repeats(values: list[float], row: float, colour: str) -> Trace:
    """The single repeats as faint dots, just below the mean."""
    marker = {"color": colour, "opacity": 0.4, "size": 4}
    below = [row + BELOW] * len(values)
    return {"x": rounded(values), "y": below, "mode": "markers", "marker": marker, "hoverinfo": "x"}


def mean(estimate: Any, row: float, marker: dict[str, Any], colour: str, text: str) -> Trace:
    """A mean with its interval; ``text`` is shown where the pointer rests on it."""
    trace: Trace = {"x": rounded([estimate["mean"]]), "y": [row], "mode": "markers", "marker": marker}
    if estimate["low"] is not None:
        trace["error_x"] = reach(estimate, colour)
    return trace | {"hoverinfo": "text", "hovertext": text}


def reach(estimate: Any, colour: str) -> dict[str, Any]:
    """The interval of a mean as plotly draws it."""
    up, down = rounded([estimate["high"] - estimate["mean"], estimate["mean"] - estimate["low"]])
    bar = {"color": colour, "thickness": 1.8, "width": 4}
    return {"type": "data", "array": [up], "arrayminus": [down], "symmetric": False, **bar}


def interval(estimate: Any, metric: str = "") -> str:
    """``: 0.812 (0.790 to 0.834)``."""
    low, middle, high = (shown(estimate[end], metric) for end in ("low", "mean", "high"))
    return f": {middle}" + ("" if estimate["low"] is None else f" ({low} to {high})")


def values(runs: Runs, style: Style, paths: list[tuple[str, Path]], title: str) -> Figure:
    """One figure by arm; with two paths (default and tuned) the first is drawn hollow and a little above."""
    names = [arm["name"] for arm in runs.arms if runs.finished[arm["name"]]]
    data, marks, metric = [], [], paths[-1][1][-1]
    for row, name in enumerate(names):
        for k, (word, path) in enumerate(paths):
            at = row + (k - (len(paths) - 1) / 2) * 0.44
            last, colour = k == len(paths) - 1, style.colours[name]
            estimate = mean_of(runs, name, path)
            if estimate["mean"] is not None:
                text = f"{plain(runs.title(name))}{word}{interval(estimate, metric)}"
                marks.append((at, estimate))
                data.append(repeats(list(runs.figures(name, path).values()), at, colour))
                data.append(mean(estimate, at, style.marker(name, filled=last), colour, text))
    return cropped(rows_figure([runs.title(name) for name in names], title, data), marks, metric=metric)


def forest(style: Style, question: Question) -> Figure:
    """Paired differences from the baseline; a filled marker is a difference that Holm's correction leaves standing."""
    entries, metric = [c for c in question["comparisons"] if c["n"]], str(question["metric"])
    labels = [c["title"] + (", default rule" if c["arm"] == style.base else "") for c in entries]
    data = []
    for row, entry in enumerate(entries):
        colour = style.colours[entry["arm"]]
        sure = entry["p_holm"] is not None and entry["p_holm"] < LEVEL
        data.append(repeats([difference for _, difference in entry["differences"]], row, colour))
        text = f"{plain(labels[row])}, difference{interval(entry, metric)}"
        data.append(mean(entry, row, style.marker(entry["arm"], filled=sure), colour, text))
    zero = {"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1, "line": {"color": INK, "width": 1}}
    side = "right" if question.get("larger", True) else "left"
    figure = rows_figure(labels, f"difference ({side} is better)", data, shapes=[zero])
    return cropped(figure, list(enumerate(entries)), anchor=[0.0], metric=metric)


def cropped(figure: Figure, marks: list[tuple[float, Any]], anchor: Sequence[float] = (), metric: str = "") -> Figure:
    """The figure without the few rows that are so far off that the others could not be told apart; edges say so."""
    means = np.array([e["mean"] for _, e in marks])
    reaches = np.array([0.0 if e["low"] is None else e["high"] - e["mean"] for _, e in marks])
    off = np.abs(means - np.median(means)) if len(marks) else means
    far = off > FAR * (np.median(off) + np.median(reaches)) if len(marks) else off
    if not far.any() or far.mean() > 1 / 3:
        return figure
    points = [*(means - reaches)[~far], *(means + reaches)[~far], *anchor]
    room = 0.12 * (max(points) - min(points))
    low, high = rounded([min(points) - room, max(points) + room])
    figure["layout"]["xaxis"]["range"] = [low, high]
    figure["layout"]["annotations"] = [
        edge(row, e["mean"], (low, high), metric) for (row, e), is_far in zip(marks, far, strict=True) if is_far
    ]
    return figure


def edge(row: float, value: float, ends: tuple[float, float], metric: str = "") -> dict[str, Any]:
    """A note at the edge of a figure for a mean that lies beyond it."""
    left = value < ends[0]
    text = f"◀ {shown(value, metric)}" if left else f"{shown(value, metric)} ▶"
    return {"x": ends[not left], "y": row, "xanchor": "left" if left else "right", "text": text} | {"showarrow": False}


def times(runs: Runs, style: Style) -> Figure:
    """Mean training time of a run by arm, all tries together."""
    path = ("time", "train_seconds")
    names = [arm["name"] for arm in runs.arms if runs.finished[arm["name"]]]
    means = [runs.estimate(name, path)["mean"] or 0.0 for name in names]
    bars: Trace = {
        "type": "bar",
        "orientation": "h",
        "x": rounded(means),
        "y": list(range(len(names))),
        "marker": {"color": [style.colours[name] for name in names]},
        "text": [f"{value:.3g} s" for value in means],
        "textposition": "auto",
        "hoverinfo": "none",
        "width": 0.6,
    }
    figure = rows_figure([runs.title(name) for name in names], "seconds of training per run", [bars])
    figure["layout"]["xaxis"]["rangemode"] = "tozero"
    return figure


def class_shares(runs: Runs, style: Style, classes: list[str]) -> Figure:
    """What share of the training signal each class has, by arm that weights and without weights."""
    keys = weighting_keys(runs, style)
    data = [shares(runs, key, 0.16 * (k - (len(keys) - 1) / 2)) for k, key in enumerate(keys)]
    figure = rows_figure(classes, "% of all training weight (log scale)", data)
    figure["layout"]["xaxis"] |= {
        "type": "log",
        "tickvals": [k * 10**e for e in (-2, -1, 0, 1) for k in (1, 2, 5)] + [100],
    }
    return figure


def weighting_keys(runs: Runs, style: Style) -> list[dict[str, Any]]:
    """The marks of the figure of class shares: as it is, then every arm that weights or resamples; also its legend."""
    known = [arm for arm in runs.arms if arm["name"] in holders(runs, "counts", "train")]
    untouched = [{"arm": arm["name"], "title": "as in the training rows", "kind": "train"} for arm in known[:1]]
    changed = [(arm, kind) for arm in known for kind in [changes(arm)] if kind]
    keys = untouched + [{"arm": arm["name"], "title": arm["title"], "kind": kind} for arm, kind in changed]
    held = [key for key in keys if key["arm"] in holders(runs, "counts", key["kind"])]
    return [key | {"colour": INK if key["kind"] == "train" else style.colours[key["arm"]]} for key in held]


def changes(arm: dict[str, Any]) -> str:
    """Which counts of a record say what an arm makes of the classes; none where it leaves them as they are."""
    if arm.get("resampling", "none") != "none":
        return "after"
    return "effective" if arm.get("weighting", "none") != "none" else ""


def shares(runs: Runs, key: dict[str, Any], offset: float) -> Trace:
    """One way of weighting, the mean over the repeats of its arm."""
    records = runs.finished[key["arm"]].values()
    counts = np.mean([dig(record, ("counts", key["kind"])) for record in records], axis=0)
    percent = [100 * float(count) / max(float(counts.sum()), 1e-300) for count in counts]
    return {
        "x": [float(f"{p:.{KEPT}g}") if p > 0 else None for p in percent],
        "y": [row + offset for row in range(len(percent))],
        "mode": "markers",
        "marker": {"color": key["colour"], "size": 8},
        "hoverinfo": "text",
        "hovertext": [f"{plain(key['title'])}: {p:.3g} %" for p in percent],
    }
