"""The figures of parts of the test rows: one for every value of a column that the user has asked about."""

from typing import TYPE_CHECKING, Any

import numpy as np

from lossmith.compare.problems.asked import board

if TYPE_CHECKING:
    from lossmith.compare.models.fitted import Fitted
    from lossmith.compare.remedies.arms import Arm
    from lossmith.compare.runs.train import Repeat

FEWEST_ROWS = 5


def slices(repeat: "Repeat", best: "Fitted", arm: "Arm") -> dict[str, Any]:
    """For each asked column and value: how many test rows, and the figures of a leaderboard on these alone."""
    asked = repeat.training.slices
    if not asked:
        return {}
    codes, rows = repeat.arrays["slices"], repeat.parts["test"]
    found: dict[str, Any] = {}
    for column, (name, values) in enumerate(asked):
        chosen = {value: np.flatnonzero(codes[rows, column] == code) for code, value in enumerate(values)}
        found[name] = {value: {"rows": len(at), **figures(repeat, best, arm, at)} for value, at in chosen.items()}
    return {"slices": found}


def figures(repeat: "Repeat", best: "Fitted", arm: "Arm", at: Any) -> dict[str, float | None]:
    """The leaderboard's figures of some test rows, by name; the decision's are those of the tuned rule."""
    if len(at) < FEWEST_ROWS:
        return {}
    prepared = repeat.prepared
    part = prepared.only_test(at)
    outputs = {**best.outputs, "test": best.outputs["test"][at]}
    measured = repeat.problem.measure(part, outputs, arm)
    shown: dict[str, float | None] = {}
    for group, metrics in board(repeat.training.problem, repeat.training.metric).items():
        of_group = measured[group]["tuned"] if group == "decision" else measured[group]
        shown |= {metric: of_group[metric] for metric in metrics}
    return shown
