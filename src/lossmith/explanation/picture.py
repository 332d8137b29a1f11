"""The picture of a loss, by matplotlib's `Figure`: no global state of pyplot, so it works without a screen."""

import io
import math
import re
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lossmith.errors import InputError
from lossmith.explanation.axes import Axis, axis_of, curves, drawing, single
from lossmith.explanation.subjects import Subject
from lossmith.extras import extra
from lossmith.flow.sum import WeightedSum
from lossmith.losses.overlap import OverlapLoss
from lossmith.text import clean

MASK = 100  # pixels of the mask that overlaps are drawn for
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")  # Okabe and Ito, less yellow
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.4)))  # of the first, second and third side
MOST = 12
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#52606d",
    "axes.labelcolor": "#1f2933",
    "xtick.color": "#52606d",
    "ytick.color": "#52606d",
    "text.parse_math": False,  # a name is a name, whatever dollars it has
    "svg.fonttype": "path",
    "svg.hashsalt": "lossmith",
}


def draw(subjects: Sequence[Subject], ax: Any = None, span: tuple[float, float] | None = None) -> Any:
    """The figure of some losses: value and derivative over the axis that they have together, or surfaces.

    Raises `InputError` where they have none, `MissingError` without matplotlib.
    """
    if len(subjects) > MOST:
        raise InputError(f"{len(subjects)} losses in one picture cannot be told apart: {MOST} at most.")
    matplotlib = extra("matplotlib", "plot")
    regional = [all(isinstance(term, OverlapLoss) for term in single(one.loss)) for one in subjects]
    axis = None if all(regional) else axis_of([one.loss for one in subjects])
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        if axis is None:
            return _surfaces(subjects, ax)
        panels = _panels(ax)
        _lines(subjects, axis, panels, span)
        return panels[0].figure


def _panels(ax: Any) -> list[Any]:
    """One axes for the values, and one for the derivatives unless a single one was given."""
    if ax is not None:
        panels = list(getattr(ax, "flat", ax if isinstance(ax, Sequence) else [ax]))
        if not panels or not all(hasattr(panel, "plot") for panel in panels):
            raise InputError(f"ax must be matplotlib Axes, one or several, not {clean(repr(ax))}.")
        return panels
    figure = extra("matplotlib.figure", "plot").Figure(figsize=(9.6, 3.9), layout="constrained")
    return list(figure.subplots(1, 2))


def _lines(subjects: Sequence[Subject], axis: Axis, panels: list[Any], span: tuple[float, float] | None) -> None:
    low, high = (None, None) if span is None else _ends(span)
    colours, handles, seen = _colours(subjects), [], []
    for subject, colour in zip(subjects, colours, strict=True):
        for k, curve in enumerate(curves(subject.loss, axis, low, high)):
            label = subject.label + (f": {curve.side}" if curve.side else "")
            x, ys = curve.x.tolist(), (curve.value.tolist(), curve.slope.tolist())
            for panel, y in zip(panels, ys, strict=False):
                (line,) = panel.plot(x, y, color=colour, linestyle=DASHES[k % len(DASHES)], linewidth=1.8)
                line.set_label(label)
                if panel is panels[0]:
                    handles.append((line, label))
            seen.append(curve)
    words = ("loss", f"derivative in {axis.slope}")
    for k, (panel, what) in enumerate(zip(panels, words, strict=False)):
        _frame(panel, axis, what, [(curve.value, curve.slope)[k] for curve in seen])
    lines, labels = zip(*handles, strict=True)
    panels[0].legend(lines, [f"\u2009{label}" for label in labels], fontsize=9, frameon=False, handlelength=2.4)


def _ends(span: Any) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in span)
    except (TypeError, ValueError):
        low = high = math.nan
    if not -math.inf < low < high < math.inf:
        raise InputError(f"span must be two finite numbers, low before high, not {clean(repr(span))}.")
    return low, high


def _frame(panel: Any, axis: Axis, what: str, values: list[Tensor]) -> None:
    """Words, a line at 0, and limits that show the interesting part of what may go to infinity."""
    panel.set_xlabel(axis.words)
    panel.set_ylabel(what)
    panel.axhline(0, color="#c3cad3", linewidth=0.8, zorder=0)
    panel.margins(x=0.01)
    if axis.probability:
        panel.set_xlim(0, 1)
    low, high = limits(values)
    room = 0.05 * (high - low) or 1.0
    panel.set_ylim(low - room, high + room)


def limits(values: list[Tensor]) -> tuple[float, float]:
    """The lowest and highest value to show: one curve that towers over the others, or over itself, is cut off."""
    finite = [one[one.isfinite()] for one in values]
    finite = [one for one in finite if len(one)] or [torch.zeros(1)]
    ends = []
    for sign in (-1.0, 1.0):
        tops = torch.stack([(sign * one).quantile(0.99) for one in finite])
        usual = 1.6 * float(tops.median()) if len(tops) > 2 else math.inf
        top = max(float((sign * one).max()) for one in finite)
        ends.append(sign * min(top, usual if usual > 0 else math.inf))
    return ends[0], ends[1]


def _colours(subjects: Sequence[Subject]) -> list[Any]:
    """Values of one parameter go from dark to light in their order; different losses have colours far apart."""
    if len(subjects) > 2 and all(one.swept for one in subjects):
        scale = extra("matplotlib", "plot").colormaps["viridis"]
        return [scale(0.88 * k / (len(subjects) - 1)) for k in range(len(subjects))]
    return [COLOURS[k % len(COLOURS)] for k in range(len(subjects))]


def counts(precision: Tensor, recall: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """tp, fp and fn of a mask of `MASK` pixels that is found with this precision and recall."""
    tp = recall * MASK
    return tp, tp * (1 / precision - 1), MASK - tp


def surface(subject: Subject, precision: Tensor, recall: Tensor) -> Tensor:
    """The value of an overlap loss, or a sum of such, at each precision and recall."""
    terms = subject.loss.terms if isinstance(subject.loss, WeightedSum) else [(1.0, subject.loss)]
    tp, fp, fn = (x.unsqueeze(-1) for x in counts(precision, recall))
    total = torch.zeros_like(precision)
    for factor, term in terms:
        assert isinstance(term, OverlapLoss)
        with drawing(term):
            total = total + factor * term.formula(tp, fp, fn, torch).squeeze(-1)
    return total


def _surfaces(subjects: Sequence[Subject], ax: Any) -> Any:
    """A heat map with contours for each loss, over precision and recall, all of one scale."""
    if ax is None:
        columns = min(len(subjects), 3)
        rows = math.ceil(len(subjects) / columns)
        size = (3.4 * columns + 1.2, 3.4 * rows + 0.4)
        figure = extra("matplotlib.figure", "plot").Figure(figsize=size, layout="constrained")
        panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    else:
        panels = _panels(ax)
    if len(panels) < len(subjects):
        raise InputError(f"{len(subjects)} surfaces need as many axes: {len(panels)} were given.")
    grid = torch.linspace(0.01, 1, 100, dtype=torch.float64)
    recall, precision = torch.meshgrid(grid, grid, indexing="ij")
    found = [surface(one, precision, recall) for one in subjects]
    low, high = min(float(z.min()) for z in found), max(float(z.max()) for z in found)
    for one, z, panel in zip(subjects, found, panels, strict=False):
        x, heights = grid.tolist(), z.tolist()
        image = panel.pcolormesh(x, x, heights, cmap="viridis", vmin=low, vmax=high, shading="nearest", rasterized=True)
        drawn = panel.contour(x, x, heights, levels=_levels(low, high), colors="white", linewidths=0.9)
        outline = extra("matplotlib.patheffects", "plot").withStroke(linewidth=2, foreground="#00000099")
        for text in panel.clabel(drawn, fontsize=8):
            text.set_path_effects([outline])
        panel.set_title(f"\u2009{one.label}", fontsize=10)
        panel.set_xlabel("precision")
        panel.set_ylabel("recall")
        panel.set_aspect("equal")
    for panel in panels[len(subjects) :]:
        panel.set_axis_off()
    figure = panels[0].figure
    figure.colorbar(image, ax=panels[: len(subjects)], label=f"loss, of a mask of {MASK} pixels", shrink=0.9)
    return figure


def _levels(low: float, high: float) -> list[float]:
    step = max((high - low) / 10, 1e-9)
    step = next(nice for nice in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, math.inf) if step <= nice)
    return [k * step for k in range(math.ceil(low / step) + 1, math.ceil(high / step))] if step < math.inf else []


def svg(figure: Any) -> str:
    """The figure as one SVG element without anything that points outside, to stand inside an HTML page."""
    text = io.StringIO()
    matplotlib = extra("matplotlib", "plot")
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure.savefig(text, format="svg", metadata={"Date": None})
    bare = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text.getvalue(), flags=re.DOTALL)
    bare = bare[bare.index("<svg") :].replace("xlink:href=", "href=")
    return re.sub(r' xmlns(:xlink)?="[^"]*"', "", bare)
