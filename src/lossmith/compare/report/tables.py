"""The tables of a report: the leaderboard, what is found of every class, confusions, costs, failures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossmith.compare.problems.asked import ERRORS, LESS_IS_BETTER, Path
from lossmith.compare.report.questions import holders, mean_of, name
from lossmith.compare.verdict.judge import RULES
from lossmith.compare.verdict.records import Runs, dig, total
from lossmith.compare.verdict.wording import measured, shown
from lossmith.metrics import DECISIONS

LONGEST_WHOLE = 22  # characters of a class's name that a table's head has room for
FEW_CLASSES = 12  # up to here every arm has its confusion matrices, and classes are columns
MOST_IN_MATRIX = 30  # classes
MOST_MISTAKES = 20
CONFUSED = ("binary", "multiclass", "segmentation")  # the kinds of a task with one class per row


@dataclass(frozen=True)
class Column:
    """A column of the leaderboard."""

    title: str
    group: str
    path: Path
    larger: bool = True


def main_columns(runs: Runs) -> list[Column]:
    """The main figures of every arm, as far as the runs have them."""
    less = "Calibration (less is better)"
    columns = [
        Column("average precision", "Ranking", ("ranking", "average_precision")),
        Column("ROC-AUC", "Ranking", ("ranking", "roc_auc")),
        *(decided(runs.metric, rule) for rule in RULES),
        Column("log-loss", less, ("calibration", "log_loss"), larger=False),
        Column("Brier", less, ("calibration", "brier"), larger=False),
        Column("ECE", less, ("calibration", "ece"), larger=False),
        *error_columns(),
    ]
    return [column for column in columns if holders(runs, *column.path)]


def decided(metric: str, rule: str) -> Column:
    """The column of a decision metric with one rule."""
    return Column(name(metric), f"{rule.title()} rule", ("decision", rule, metric), metric not in LESS_IS_BETTER)


def error_columns() -> list[Column]:
    """The errors of a regression: those of which less is better, then the others."""
    return [
        Column(name(metric), "Error (less is better)" if less else "More is better", ("errors", metric), not less)
        for metric in (*ERRORS, "r2", "skill")
        for less in [metric in LESS_IS_BETTER]
    ]


def rule_columns(runs: Runs, rule: str) -> list[Column]:
    """All decision metrics with one rule."""
    metrics = [*DECISIONS, *(metric for metric in ("iou", "cost") if metric not in DECISIONS)]
    columns = [decided(metric, rule) for metric in metrics]
    return [column for column in columns if holders(runs, *column.path)]


def board(runs: Runs, order: Sequence[str], columns: Sequence[Column]) -> dict[str, Any]:
    """Arms by columns; every cell as its text, its interval, and whether it is the best of its column."""
    means = {arm: [mean_of(runs, arm, column.path) for column in columns] for arm in order}
    tops = [top([means[arm][k]["mean"] for arm in order], column.larger) for k, column in enumerate(columns)]
    groups: dict[str, int] = {}
    for column in columns:
        groups[column.group] = groups.get(column.group, 0) + 1
    rows = [
        (arm, [cell(e, column.path[-1], best) for e, column, best in zip(means[arm], columns, tops, strict=True)])
        for arm in order
    ]
    return {"groups": groups, "titles": [column.title for column in columns], "rows": rows}


def cell(estimate: Any, metric: str, best: float | None) -> dict[str, Any]:
    """One cell of the leaderboard."""
    ends = "" if estimate["low"] is None else f"{shown(estimate['low'], metric)} to {shown(estimate['high'], metric)}"
    return {
        "text": shown(estimate["mean"], metric),
        "ends": ends,
        "best": estimate["mean"] is not None and estimate["mean"] == best,
    }


def top(means: Sequence[float | None], larger: bool) -> float | None:
    """The best of some means."""
    known = [mean for mean in means if mean is not None]
    return (max if larger else min)(known) if known else None


def costs(runs: Runs, order: Sequence[str]) -> list[dict[str, Any]]:
    """What every arm's training costs: seconds of a run, against the baseline, epochs, and all its runs together."""
    path: Path = ("time", "train_seconds")
    known = {arm: list(runs.figures(arm, path).values()) for arm in order if runs.finished[arm]}
    unit = float(np.mean(known[runs.baseline])) if known.get(runs.baseline) else 0.0
    return [
        {
            "arm": arm,
            "seconds": measured(runs.estimate(arm, path)["mean"]),
            "times": f"{np.mean(seconds) / unit:.2f}" if unit and seconds else "-",
            "epochs": measured(runs.estimate(arm, ("epochs",))["mean"]),
            "total": f"{sum(seconds):,.0f}",
        }
        for arm, seconds in known.items()
    ]


def labels(names: list[str]) -> list[str]:
    """Names for the heads of a table; where some are too long to be shown whole, all with a number before them."""
    if max(map(len, names), default=0) <= LONGEST_WHOLE:
        return names
    return [f"{k} {name}" for k, name in enumerate(names, start=1)]


def confusions(runs: Runs, results: dict[str, Any], arms: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Confusion matrices summed over the repeats, by arm and rule; none where classes are too many to be read."""
    if not 0 < len(results["task"]["classes"]) <= MOST_IN_MATRIX or results["task"]["kind"] not in CONFUSED:
        return {}
    known = holders(runs, "decision", RULES[0], "confusion")
    return {arm: {rule: confusion(runs, arm, rule) for rule in RULES} for arm in arms if arm in known}


def compared(runs: Runs, results: dict[str, Any]) -> list[str]:
    """The arms whose mistakes are shown: all, or two where classes are many."""
    finished = [arm for arm, found in runs.finished.items() if found]
    if len(results["task"]["classes"]) <= FEW_CLASSES:
        return finished
    chosen = results["verdict"]["recommended"] or {"arm": runs.baseline}
    return [arm for arm in finished if arm in (runs.baseline, chosen["arm"])]


def confusion(runs: Runs, arm: str, rule: str) -> list[list[tuple[int, float]]]:
    """Every cell as its count and its share of the row."""
    counts = total([dig(record, ("decision", rule, "confusion")) for record in runs.finished[arm].values()])
    return [[(count, count / max(sum(row), 1)) for count in row] for row in counts]


def mistakes(runs: Runs, results: dict[str, Any], arms: Sequence[str]) -> dict[str, list[tuple[str, str, int, float]]]:
    """Where there are too many classes for a matrix: the most frequent mistakes under the tuned rule."""
    names = results["task"]["classes"]
    if len(names) <= MOST_IN_MATRIX or results["task"]["kind"] not in CONFUSED:
        return {}
    found = {}
    for arm in arms:
        cells = [
            (names[true], names[decided], *cell)
            for true, row in enumerate(confusion(runs, arm, "tuned"))
            for decided, cell in enumerate(row)
            if true != decided and cell[0]
        ]
        found[arm] = sorted(cells, key=lambda cell: -cell[2])[:MOST_MISTAKES]
    return found


def per_class(runs: Runs, classes: list[str]) -> dict[str, dict[str, Any]]:
    """Recall and precision of every class, by rule: the mean over the repeats that define them, as a table."""
    if not classes or not holders(runs, "decision", RULES[0], "recall"):
        return {}
    return {
        metric: {rule: class_table(runs, classes, rule, metric) for rule in RULES} for metric in ("recall", "precision")
    }


def class_table(runs: Runs, classes: list[str], rule: str, metric: str) -> dict[str, Any]:
    """Arms by classes, or the other way round where there are many classes."""
    return crossed(runs, classes, {arm: class_means(runs, arm, rule, metric) for arm in runs.finished})


def crossed(runs: Runs, heads: list[str], means: dict[str, list[float | None]]) -> dict[str, Any]:
    """A table of arms by heads, or of heads by arms where there are many heads."""
    arms = [arm for arm, values in means.items() if values]
    rows, titles = [means[arm] for arm in arms], [runs.title(arm) for arm in arms]
    if len(heads) <= FEW_CLASSES:
        return {"columns": heads, "rows": list(zip(titles, rows, strict=True))}
    return {"columns": labels(titles), "rows": list(zip(heads, zip(*rows, strict=True), strict=True))}


def class_means(runs: Runs, arm: str, rule: str, metric: str) -> list[float | None]:
    """One value per class; none where the arm has no finished run."""
    return means_over(dig(record, ("decision", rule, metric)) for record in runs.finished[arm].values())


def means_over(rows: Any) -> list[float | None]:
    """The mean of every position over the rows that are there, of what is not None in them."""
    columns = zip(*(row for row in rows if row is not None), strict=True)
    known = [[value for value in column if value is not None] for column in columns]
    return [sum(values) / len(values) if values else None for values in known]


def failures(runs: Runs) -> list[tuple[str, str, str, list[int]]]:
    """What went wrong: arm, status, reason, and in which repeats."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for record in runs.failures:
        key = (str(record["arm"]), str(record["status"]), str(record["reason"] or "none"))
        found.setdefault(key, []).append(int(record["repeat"]) + 1)
    return [(*key, repeats) for key, repeats in found.items()]
