"""Noise has no winner: a small comparison of each kind, from the table to the verdict.

`python -m bench.honesty` counts false winners among many tables, with all arms, and looks for planted effects.
"""

import numpy as np
import pandas as pd
import pytest
from tables import labelled, numbers, training

from lossmith.compare.data.load import load
from lossmith.compare.data.task import infer
from lossmith.compare.runs.train import Repeat
from lossmith.compare.verdict.judge import judge

REPEATS = 6
ARMS = {
    "binary": ("cross_entropy", "balanced", "focal"),
    "regression": ("mse", "mae", "huber"),
    "multilabel": ("bce_with_logits", "balanced", "focal"),
}


def noise(kind, rows=120):
    """Features that say nothing, and the target's name."""
    generator = np.random.default_rng(11)
    frame = pd.DataFrame(generator.normal(size=(rows, 3)), columns=["a", "b", "c"])
    if kind == "multilabel":
        there = (generator.random((rows, 3)) < [0.5, 0.3, 0.2]).astype(int)
        return frame.join(pd.DataFrame(there, columns=["l0", "l1", "l2"])), ["l0", "l1", "l2"]
    if kind == "regression":
        return frame.assign(y=generator.normal(10, 2, rows)), "y"
    return frame.assign(y=generator.permutation(np.arange(rows) % 5 == 0)), "y"


def verdict_on(frame, target, epochs=4, **options):
    """As a session makes it, without processes and files."""
    task = infer(load(frame, target))
    settings = training(task, model="linear", epochs=epochs, batch_sizes=(64, 64), **options)
    records = []
    for repeat in range(REPEATS):
        rows = Repeat(task.arrays, settings, repeat)
        chosen = [arm for arm in rows.problem.arms() if arm.name in ARMS[task.goal.kind]]
        records += [rows.run(arm) for arm in chosen]
    described = {
        **dict.fromkeys(("hidden", "batch_size", "learning_rate", "weight_decay", "epochs")),
        "model": "linear",
        "metric": settings.metric,
        "repeats": REPEATS,
        "hidden": [],
    }
    arms = [arm.describe() for arm in chosen]
    return judge({"settings": described, "task": task.describe(), "arms": arms, "records": records})


@pytest.mark.parametrize("kind", ARMS)
def test_noise_has_no_winner(kind):
    verdict = verdict_on(*noise(kind))
    assert verdict["testable"]
    assert (verdict["finished"], verdict["failed"]) == (18, 0)
    assert verdict["found"] is False
    assert verdict["recommended"]["arm"] == verdict["baseline"] == ARMS[kind][0]
    assert verdict["recommended"]["rule"] == "default"
    assert verdict["headline"].startswith("Nothing was found")


def test_what_is_there_is_found():
    """The same arms, epochs and repeats on tables whose features tell: the test above could fail."""
    for frame, target in ((numbers(200), "y"), (labelled(200), ["l0", "l1", "l2"])):
        verdict = verdict_on(frame, target, epochs=10, learning_rate=0.1)
        assert verdict["found"] is True
        assert not verdict["headline"].startswith("Nothing")


def test_far_targets_make_absolute_error_the_winner():
    """One row in twelve is 200 off: squared error follows it and the arms that do not are shown to be better."""
    frame = numbers(240)
    far = frame.index % 12 == 0
    verdict = verdict_on(frame.assign(y=frame["y"] + 200.0 * far), "y", epochs=10, learning_rate=0.1, metric="mae")
    assert verdict["recommended"]["arm"] in ("mae", "huber")
    results = {c["arm"]: c["result"] for c in verdict["questions"][-1]["comparisons"]}
    assert results == {"mae": "better", "huber": "better"}
