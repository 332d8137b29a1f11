"""Time and extra memory over sizes, drawn: one SVG for each curve, a column of panels for each case in it."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

from bench.report import Row, Timings

SECONDS = 6.0  # for the turns of one case at one point
COLOURS = ("#0072b2", "#56b4e9", "#d55e00", "#e69f00", "#009e73", "#cc79a7", "#4d4d4d", "#8c510a")  # Okabe, Ito, brown
MARKS = "os^vDPX"  # one less: what has the colour of another has not its mark
SETTINGS = {"svg.hashsalt": "lossmith", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10.0}


@dataclass(frozen=True)
class Curve:
    """What is measured over sizes: `name` is the file's, `axis` says what the sizes count."""

    name: str
    title: str
    axis: str
    points: dict[int, Callable[[], Timings]]


def lengths(most: int, least: int = 1) -> list[int]:
    """Six sizes, each twice the one before, or fewer where they would be below the least.

    >>> lengths(3200)
    [100, 200, 400, 800, 1600, 3200]
    """
    return sorted({max(most >> k, least) for k in range(6)})


def drawn(curve: Curve, folder: Path) -> dict[int, Timings]:
    """Measure a curve and write its picture; what was measured at each size."""
    found = {size: measure() for size, measure in curve.points.items()}
    picture(curve, found, folder / f"{curve.name}.svg")
    return found


def picture(curve: Curve, found: dict[int, Timings], path: Path) -> None:
    """The SVG: milliseconds above, megabytes below, over the sizes."""
    import matplotlib
    from matplotlib.figure import Figure

    cases = list(dict.fromkeys(row.case for timings in found.values() for row in timings.rows))
    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an SVG needs no glyphs of ours
        figure = Figure(figsize=(6.6 * len(cases), 7.0), layout="constrained")
        figure.suptitle(curve.title)
        axes = figure.subplots(2, len(cases), sharex=True, squeeze=False)
        for column, case in enumerate(cases):
            _times(axes[0][column], case, found)
            _memories(axes[1][column], case, found)
            axes[1][column].set_xlabel(curve.axis)
        for ax in axes.flat:
            ax.set_xscale("log")
            ax.grid(alpha=0.25)
            ax.spines[["top", "right"]].set_visible(False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _lines(case: str, found: dict[int, Timings]) -> dict[str, dict[int, Row]]:
    """The measured rows of each way of a case, by size."""
    lines: dict[str, dict[int, Row]] = {}
    for size, timings in found.items():
        for row in timings.rows:
            if row.case == case and not row.note:
                lines.setdefault(row.way, {})[size] = row
    return lines


def _times(ax: Any, case: str, found: dict[int, Timings]) -> None:
    lines = _lines(case, found)
    for (way, rows), colour, mark in zip(lines.items(), cycle(COLOURS), cycle(MARKS), strict=False):
        ax.plot(list(rows), [1000 * row.seconds for row in rows.values()], color=colour, marker=mark, label=way)
    floors = {size: row.floor for rows in lines.values() for size, row in rows.items()}
    ax.plot(list(floors), [1000 * floor for floor in floors.values()], color="#4d4d4d", ls=":", label="floor")
    ax.set_yscale("log")
    ax.set_title(case)
    ax.set_ylabel("time of both passes, ms")
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)


def _memories(ax: Any, case: str, found: dict[int, Timings]) -> None:
    for rows, colour, mark in zip(_lines(case, found).values(), cycle(COLOURS), cycle(MARKS), strict=False):
        known = {size: row.memory / 1e6 for size, row in rows.items() if row.memory is not None}
        ax.plot(list(known), list(known.values()), color=colour, marker=mark)
    ax.set_yscale("symlog", linthresh=1.0)  # nothing extra is drawn as nothing
    ax.set_ylim(bottom=0)
    ax.set_ylabel("extra memory, MB")
