"""Curves through the columns of a table, with everything that the command prints: ``lossmith fit``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossmith.curves.bootstrap import Progress
from lossmith.curves.outliers import outliers
from lossmith.curves.result import Curve, Curves
from lossmith.curves.session import curve_fit
from lossmith.errors import InputError
from lossmith.table.frames import check_cells, check_column, frame_of, named
from lossmith.table.reading import read_table
from lossmith.text import clean


@dataclass(frozen=True)
class Fitting:
    """The curves, and ``results``: every figure of them, which goes into JSON as it is."""

    curves: Curves
    results: dict[str, Any]

    @property
    def converged(self) -> bool:
        """Whether there is a curve that is a minimum of its loss."""
        return any(curve.converged for curve in self.curves.values())


def fit(
    data: Any,
    *,
    x: list[str],
    y: str,
    model: str,
    losses: list[str],
    weight: str | None = None,
    start: dict[str, float] | None = None,
    bootstrap: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Fitting:
    """Fit a model to columns of a CSV, TSV or Parquet file, or of a data frame, under each of the losses.

    Raises `InputError` and `SpecError` in one sentence, where something given cannot be used.
    """
    path = isinstance(data, str | Path)
    source = clean(Path(data).name, 200) if path else "table"
    frame = named(read_table(data) if path else frame_of(data), source)
    wanted = [*x, y, *([weight] if weight else [])]
    for name in wanted:
        check_column(frame, name, source)
    if len(set(wanted)) < len(wanted):
        raise InputError("x, y and weight must be different columns.")
    frame = frame[wanted]
    check_cells(frame)
    given = None if weight is None else frame[weight]
    curves = curve_fit(
        frame[x], frame[y], model, losses, sample_weight=given, start=start, bootstrap=bootstrap, seed=seed,
        progress=progress,
    )  # fmt: skip
    about = {"source": source, "x": x, "y": y, "weight": weight, "model": model}
    return Fitting(curves, {**about, **found(curves)})


def found(curves: Curves) -> dict[str, Any]:
    """The figures of the curves."""
    first = next(iter(curves.values()))
    return {
        "expression": first.expression,
        "rows": len(first.problem.x),
        "left_out": first.left_out,
        "losses": {loss: figures(curve) for loss, curve in curves.items()},
        "failures": curves.failures,
        "band": curves.band,
        "outliers": outliers(first.problem) if any(curve.converged for curve in curves.values()) else None,
        "notes": said(curves),
    }


def figures(curve: Curve) -> dict[str, Any]:
    """One curve's."""
    return {
        "parameters": curve.parameters,
        "intervals": curve.intervals,
        "value": curve.value,
        **curve.figures,
        "converged": curve.converged,
        "message": curve.message,
    }


def said(curves: Curves) -> list[str]:
    """The notes of all curves; what is said of all of them is said once."""
    texts = dict.fromkeys(note for curve in curves.values() for note in curve.notes)
    found = []
    for text in texts:
        about = [loss for loss, curve in curves.items() if text in curve.notes]
        found.append(text if len(about) == len(curves) else f"{', '.join(about)}: {text}")
    return found
