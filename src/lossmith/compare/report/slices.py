"""How every arm does on the slices that were asked for: the values of a column, each on its own."""

from typing import Any

import numpy as np

from lossmith.compare.report.questions import name
from lossmith.compare.report.tables import labels
from lossmith.compare.verdict.records import RANKING, Runs, dig
from lossmith.compare.verdict.wording import shown
from lossmith.metrics import DECISIONS

SHARES = (*RANKING, *DECISIONS, "iou")  # from 0 to 1, more is better: what a cell is coloured by
MOST = 30  # values of a column; the most frequent ones


def tables(runs: Runs, asked: set[str]) -> list[dict[str, Any]]:
    """One table per sliced column and metric: values by arms, with the mean number of test rows of each value.

    ``first`` are those in the metrics that a verdict ``asked`` about.
    """
    pairs = [(column, metric) for column in columns(runs) for metric in metrics(runs, column)]
    return [table(runs, column, metric) | {"first": metric in asked} for column, metric in pairs]


def parts(runs: Runs, arm: str, column: str) -> list[dict[str, Any]]:
    """What the repeats of an arm say of the values of a column."""
    found = [dig(record, ("slices",)) for record in runs.finished[arm].values()]
    return [slices[column] for slices in found if slices and column in slices]


def columns(runs: Runs) -> list[str]:
    """The columns that records are sliced by."""
    records = [record for found in runs.finished.values() for record in found.values()]
    return list(dict.fromkeys(column for record in records for column in dig(record, ("slices",)) or {}))


def metrics(runs: Runs, column: str) -> list[str]:
    """What is known of a slice, beside its rows."""
    values = [entry for arm in runs.finished for part in parts(runs, arm, column) for entry in part.values()]
    return list(dict.fromkeys(key for entry in values for key in entry if key != "rows"))


def table(runs: Runs, column: str, metric: str) -> dict[str, Any]:
    """Values by arms; a cell is the mean over the repeats that define it, as text and as a number from 0 to 1."""
    known = {arm: found for arm in runs.finished if (found := parts(runs, arm, column))}
    counts = rows(next(iter(known.values())))
    values = sorted(counts, key=lambda value: -counts[value])
    cells = {
        value: [cell([dig(part, (value, metric)) for part in found], metric) for found in known.values()]
        for value in values[:MOST]
    }
    return {
        "column": column,
        "metric": name(metric) + (" with the tuned rule" if metric in DECISIONS else ""),
        "arms": labels([runs.title(arm) for arm in known]),
        "rows": [(value, f"{counts[value]:,.0f}", cells[value]) for value in cells],
        "left": len(values) - len(cells),
    }


def rows(found: list[dict[str, Any]]) -> dict[str, float]:
    """Test rows of every value, mean over the repeats."""
    values = dict.fromkeys(value for part in found for value in part)
    return {value: float(np.mean([(part.get(value) or {}).get("rows", 0) for part in found])) for value in values}


def cell(figures: list[float | None], metric: str) -> tuple[str, float | None]:
    """The mean as it is printed, and how deep its cell is coloured."""
    known = [figure for figure in figures if figure is not None]
    mean = sum(known) / len(known) if known else None
    return shown(mean, metric), mean if metric in SHARES else None
