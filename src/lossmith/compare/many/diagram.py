"""The pictures of a bench as SVG text, drawn here: critical-difference diagram and differences over data sets.

Both are 400 units wide with letters of 12, so they can be read on a phone; names come from the user and are escaped.
"""

import textwrap
from html import escape
from typing import Any

import numpy as np

from lossmith.compare.many.wording import gain_of
from lossmith.compare.verdict.wording import NAMES, number, signed
from lossmith.text import clean

WIDTH, LEFT, VALUES, RIGHT = 400, 138, 186, 388  # the names end at LEFT, their figures at VALUES
ROW, LETTERS = 30, 19  # units of a row, letters of a line in a name
INK, SOFT, GRID, BLUE, ORANGE = "#1f2933", "#52606d", "#d5dae1", "#0072b2", "#d55e00"
COLOURS = {"better": BLUE, "worse": ORANGE}
FAR = 0.025  # of the data sets at either end may lie outside of the axis, and are drawn at its edge
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"


def ranks(question: dict[str, Any]) -> str:
    """Demsar's critical-difference diagram (2006, figure 1): average ranks, the best at the left, and bars under the
    axis that join entrants which Nemenyi's test cannot tell apart. Empty where there are no ranks.
    """
    found = question["ranks"]
    titles = [question["entrants"][k]["title"] for k in found["entrants"]]
    order = sorted(range(len(titles)), key=lambda k: found["average"][k])
    if len(order) < 2:
        return ""
    spots = [VALUES + 10 + (found["average"][k] - 1) / (len(order) - 1) * (RIGHT - VALUES - 10) for k in order]
    unit = (RIGHT - VALUES - 10) / (len(order) - 1)
    parts = axis(len(order), unit)
    if found["critical_difference"] is not None:
        parts += difference_bar(found["critical_difference"], unit)
    top = 62
    for k, (first, last) in enumerate(found["groups"]):
        parts.append(line(spots[first] - 3, top + 7 * k, spots[last] + 3, top + 7 * k, INK, 4))
    start = top + 7 * len(found["groups"]) + 12
    for row, k in enumerate(order):
        y = start + ROW * row + ROW / 2
        parts += [line(spots[row], 50, spots[row], y, SOFT, 1), line(VALUES + 5, y, spots[row], y, SOFT, 1)]
        parts += [name(titles[k], y), text(VALUES, y + 4, number(found["average"][k], 2), "end", SOFT)]
        parts.append(dot(spots[row], y, 3.5, INK))
    return drawing(parts, start + ROW * len(order), f"Average ranks, best first: {spoken(titles, found, order)}")


def axis(entrants: int, unit: float) -> list[str]:
    """The ranks from 1, as many of them numbered as there is room for."""
    every = max(1, round(20 / unit))
    parts = [line(VALUES + 10, 50, RIGHT, 50, INK, 1)]
    for rank in range(1, entrants + 1):
        x = VALUES + 10 + unit * (rank - 1)
        parts.append(line(x, 46, x, 50, INK, 1))
        if (rank - 1) % every == 0:
            parts.append(text(x, 41, str(rank), "middle", SOFT))
    return [*parts, text(LEFT, 41, "rank (1 is best)", "end", SOFT)]


def difference_bar(difference: float, unit: float) -> list[str]:
    """How far apart average ranks must be, to the scale of the axis; not longer than the axis is."""
    end = min(VALUES + 10 + difference * unit, RIGHT)
    ends = [line(x, 11, x, 19, INK, 1.5) for x in (VALUES + 10, end)]
    label = text(LEFT, 19, f"critical difference {number(difference, 2)}", "end", SOFT)
    return [label, line(VALUES + 10, 15, end, 15, INK, 1.5), *ends]


def differences(question: dict[str, Any]) -> str:
    """The difference of every entrant from the baseline, a faint dot per data set, with the median and its interval.

    The right is better whichever way the metric goes. Empty where there is nothing to compare.
    """
    sign = 1 if question["larger"] else -1
    entries = sorted((c for c in question["comparisons"] if c["n"]), key=lambda c: -gain_of(c, question))
    if not entries:
        return ""
    points = [sign * value for entry in entries for value in entry["differences"]]
    low, high = (float(end) for end in np.quantile([*points, 0.0], [FAR, 1 - FAR]))
    room = 0.06 * (high - low) or 0.001
    low, high = low - room, high + room
    parts = scale(low, high, ROW * len(entries) + 8)
    for row, entry in enumerate(entries):
        parts += strip(entry, sign, low, high, 8 + ROW * row + ROW / 2)
    bottom = ROW * len(entries) + 24
    parts.append(text(RIGHT, bottom + 18, f"gain in {NAMES[question['metric']]} (right is better)", "end", SOFT))
    told = "; ".join(f"{clean(c['title'])} {signed(gain_of(c, question))}" for c in entries)
    return drawing(parts, bottom + 26, f"Median gain over data sets: {told}")


def strip(entry: dict[str, Any], sign: int, low: float, high: float, y: float) -> list[str]:
    """One entrant of the picture of differences."""
    colour = COLOURS.get(entry["result"], INK)
    parts = [name(entry["title"], y), text(VALUES, y + 4, signed(sign * entry["median"]), "end", SOFT)]
    parts += [dot(across(sign * value, low, high), y + 5, 2, colour, 0.35) for value in entry["differences"]]
    if entry["low"] is not None:
        ends = [across(sign * entry[end], low, high) for end in ("low", "high")]
        parts.append(line(ends[0], y - 3, ends[1], y - 3, colour, 2))
    return [*parts, dot(across(sign * entry["median"], low, high), y - 3, 4, colour)]


def across(value: float, low: float, high: float) -> float:
    """The horizontal place of a value; what is off the axis is at its edge."""
    return VALUES + 10 + (min(max(value, low), high) - low) / (high - low) * (RIGHT - VALUES - 10)


def scale(low: float, high: float, bottom: float) -> list[str]:
    """An axis with few round numbers, and a line at 0."""
    step = 10.0 ** np.floor(np.log10(high - low))
    step = next(float(step * k) for k in (0.2, 0.5, 1.0, 2.0, 5.0) if (high - low) / (step * k) <= 4)
    parts = []
    for k in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1):
        x = across(k * step, low, high)
        parts.append(line(x, 6, x, bottom, INK if k == 0 else GRID, 1))
        parts.append(text(x, bottom + 14, f"{k * step:.6g}", "middle", SOFT))
    return parts


def spoken(titles: list[str], found: dict[str, Any], order: list[int]) -> str:
    """The diagram in words, for who cannot see it."""
    return "; ".join(f"{clean(titles[k])} {number(found['average'][k], 2)}" for k in order)


def drawing(parts: list[str], height: float, label: str) -> str:
    """The whole picture."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}" '
        f'role="img" aria-label="{escape(clean(label, 2000))}" font-family="{escape(FONT)}" font-size="12">'
    )
    white = '<rect width="100%" height="100%" fill="#ffffff"/>'  # on dark pages, too
    return "\n".join([head, white, *parts, "</svg>"])


def line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    """A straight line."""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width:g}"/>'


def dot(x: float, y: float, radius: float, colour: str, opacity: float = 1.0) -> str:
    """A filled circle."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{colour}" fill-opacity="{opacity:g}"/>'


def text(x: float, y: float, words: str, anchor: str, colour: str) -> str:
    """One line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


def name(title: str, y: float) -> str:
    """A title before its row, on one or two lines; what does not fit ends in dots."""
    lines = textwrap.wrap(clean(title), LETTERS, max_lines=2, placeholder="…", break_on_hyphens=True) or [""]
    first = y + 4 - 6.5 * (len(lines) - 1)
    return "".join(text(LEFT, first + 13 * k, words, "end", INK) for k, words in enumerate(lines))
