"""The picture of a fit: rows, curves, the band between the quantiles; drawn by matplotlib, escaped for it."""

import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lossmith.curves.data import Floats
from lossmith.extras import extra
from lossmith.text import clean

if TYPE_CHECKING:
    from lossmith.curves.result import Curve, Curves

POINTS = 400  # along a curve
MOST_DRAWN = 5000  # rows; more would only darken the picture
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#8c564b", "#7f7f00", "#4d4d4d")  # Okabe and Ito
SETTINGS = {"svg.hashsalt": "lossmith", "svg.fonttype": "path", "font.size": 10.0}
LONGEST = 45  # characters of a name


def axes() -> Any:
    """Axes of a figure of their own, of which pyplot knows nothing."""
    return extra("matplotlib.figure", "plot").Figure(figsize=(8.0, 5.0), layout="constrained").add_subplot()


def draw(curves: "Curves", ax: Any) -> Any:
    """The figure of rows and curves over x; where x has several columns, of fitted against true y."""
    first = next(iter(curves.values()))
    across = over_x if len(first.names) == 1 else over_fitted
    across(curves, first, ax)
    if (handles := ax.get_legend_handles_labels())[0]:
        ax.legend(*handles, fontsize=9, framealpha=0.85)
    ax.spines[["top", "right"]].set_visible(False)
    return ax.figure


def over_x(curves: "Curves", first: "Curve", ax: Any) -> None:
    """The curves over the one column of x."""
    x, y = first.problem.x[:, 0].numpy(), first.problem.objective.y.numpy()
    chosen = drawn(len(x))
    ax.scatter(x[chosen], y[chosen], s=14, color="#9aa5b1", alpha=0.7, linewidths=0, rasterized=len(chosen) > 2000)
    along = np.linspace(x.min(), x.max(), POINTS)
    quantiles = curves.quantiles
    if len(quantiles) > 1:
        levels, lines = list(quantiles), [on(curve, along) for curve in quantiles.values()]
        label = f"{levels[0]:g} to {levels[-1]:g} quantile"
        ax.fill_between(along, np.min(lines, 0), np.max(lines, 0), color="#0072b2", alpha=0.13, lw=0, label=label)
    for colour, (loss, curve) in zip(hues(len(curves)), curves.items(), strict=True):
        style = "--" if curve in quantiles.values() else "-"
        ax.plot(along, on(curve, along), color=colour, linewidth=1.8, linestyle=style, label=name(loss, curve))
    ax.set_xlabel(plain(first.names[0]))
    ax.set_ylabel(plain(first.y_name))
    low, high = float(y.min()), float(y.max())
    shown = np.concatenate([[low, high], *(curve.fitted[np.isfinite(curve.fitted)] for curve in curves.values())])
    room = 0.05 * (float(np.ptp(shown)) or 1.0)
    ax.set_ylim(float(shown.min()) - room, float(shown.max()) + room)  # a pole between rows would hide everything else


def over_fitted(curves: "Curves", first: "Curve", ax: Any) -> None:
    """What each curve predicts for a row against what is true."""
    y = first.problem.objective.y.numpy()
    chosen = drawn(len(y))
    for colour, (loss, curve) in zip(hues(len(curves)), curves.items(), strict=True):
        ax.scatter(
            curve.fitted[chosen], y[chosen], s=18, color=colour, alpha=0.7, linewidths=0, label=name(loss, curve)
        )
    ends = [float(y.min()), float(y.max())]
    ax.plot(ends, ends, color="#9aa5b1", linewidth=1.0, label="fitted = true")
    ax.set_xlabel(f"fitted {plain(first.y_name)}")
    ax.set_ylabel(plain(first.y_name))


def drawn(count: int) -> Any:
    """The rows to draw: all, or evenly chosen ones."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_DRAWN)).round().astype(int))


def on(curve: "Curve", along: Floats) -> Floats:
    """A curve at points of the one x."""
    return curve.of(torch.from_numpy(along[:, None]))


def hues(count: int) -> list[str]:
    """A colour for each curve."""
    return [COLOURS[k % len(COLOURS)] for k in range(count)]


def name(loss: str, curve: "Curve") -> str:
    """A legend's entry."""
    return plain(loss) + ("" if curve.converged else " (did not converge)")


def plain(text: str) -> str:
    """A user's name as matplotlib shows it unchanged: no mathematics, no control characters."""
    found = clean(text, LONGEST).replace("$", r"\$")
    return f" {found}" if found.startswith("_") else found  # a legend leaves out what starts with _


def rendered(curves: "Curves", ending: str) -> bytes:
    """The picture as the bytes of a PNG or SVG file, the same for the same curves."""
    matplotlib = extra("matplotlib", "plot")
    found = io.BytesIO()
    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)  # a name in a script without a font
        figure = draw(curves, axes())
        metadata = {"Date": None} if ending == "svg" else None
        figure.savefig(found, format=ending, dpi=150, metadata=metadata)
    return found.getvalue()
