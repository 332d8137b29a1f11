"""A small picture of dots for a terminal: the value of each loss over its axis."""

import math
from collections.abc import Sequence

import torch
from rich.text import Text

from lossmith.explanation.axes import Axis, Curve, axis_of, curves, single
from lossmith.explanation.picture import limits
from lossmith.explanation.subjects import Subject
from lossmith.losses.overlap import OverlapLoss

ROWS = 12
DOTS = (
    (0x01, 0x08),
    (0x02, 0x10),
    (0x04, 0x20),
    (0x40, 0x80),
)  # the bits of a braille letter, by row
COLOURS = ("bright_blue", "yellow", "green", "magenta", "cyan", "red", "white")


def chart(subjects: Sequence[Subject], width: int) -> Text | None:
    """The curves, the ends of both axes, and what is what; nothing for surfaces."""
    if any(isinstance(term, OverlapLoss) for one in subjects for term in single(one.loss)) or width < 24:
        return None
    axis = axis_of([one.loss for one in subjects])
    drawn = [(one, curve) for one in subjects for curve in curves(one.loss, axis)]
    low, high = limits([curve.value for _, curve in drawn])
    left = max(len(number(end, (low, high))) for end in (low, high))
    columns = width - left - 2
    canvas = [[(0, "")] * columns for _ in range(ROWS)]
    for k, (_, curve) in enumerate(drawn):
        _dots(canvas, curve, (low, high), COLOURS[k % len(COLOURS)])
    return _set(canvas, left, (low, high), axis, drawn)


def number(value: float, ends: tuple[float, float]) -> str:
    """An end of an axis; 0 for what cannot be told from it there."""
    return "0" if abs(value) < 1e-3 * (ends[1] - ends[0]) else f"{value:.3g}"


def _dots(canvas: list[list[tuple[int, str]]], curve: Curve, ends: tuple[float, float], colour: str) -> None:
    low, high = ends
    wide, tall = 2 * len(canvas[0]), 4 * len(canvas)
    x = torch.linspace(float(curve.x.min()), float(curve.x.max()), wide, dtype=curve.x.dtype)
    place = torch.searchsorted(curve.x, x).clamp(max=len(curve.x) - 1)
    before = None
    for column, y in enumerate(curve.value[place].tolist()):
        if not math.isfinite(y):
            before = None
            continue
        row = round((high - y) / ((high - low) or 1) * (tall - 1))
        last = row if before is None else before
        rows, before = range(min(row, last), max(row, last) + 1), row
        for dot in rows:
            if 0 <= dot < tall:
                bits, _ = canvas[dot // 4][column // 2]
                canvas[dot // 4][column // 2] = (bits | DOTS[dot % 4][column % 2], colour)


def _set(
    canvas: list[list[tuple[int, str]]],
    left: int,
    ends: tuple[float, float],
    axis: Axis,
    drawn: list[tuple[Subject, Curve]],
) -> Text:
    text = Text()
    for k, row in enumerate(canvas):
        label = number(ends[1], ends) if k == 0 else number(ends[0], ends) if k == len(canvas) - 1 else ""
        text.append(f"{label:>{left}} ", style="dim")
        for bits, colour in row:
            text.append(chr(0x2800 + bits) if bits else " ", style=colour)
        text.append("\n")
    ends = (float(drawn[0][1].x.min()), float(drawn[0][1].x.max()))
    first, last = ("0", "1") if axis.probability else (number(end, ends) for end in ends)
    text.append(f"{'':{left}} {first}{axis.words:^{len(canvas[0]) - len(first) - len(last)}}{last}", style="dim")
    if len(drawn) > 1:
        for k, (one, curve) in enumerate(drawn):
            text.append(f"\n{'':{left}} ")
            text.append("\u2501\u2501 ", style=COLOURS[k % len(COLOURS)])
            text.append(one.label + (f": {curve.side}" if curve.side else ""))
    return text
