"""``python -m bench.honesty [--tables N]``: `compare` finds no winner in noise, and finds effects that are planted.

Noise: features that say nothing about the target, N seeded tables (20) of each kind, all default arms, the default
model and 8 repeats. A winner is an arm other than the baseline, or a tuned rule, that the verdict recommends; at most 2
of 20 tables of a kind may have one. "Told apart" counts the tables in which a question shows a difference although the
verdict, which looks for a signal first, acts on none.

Planted effects: 30 % of the positive rows carry the other label in training and validation, and the test rows are
right; a missed row costs 20 times a false alarm, and cross-entropy decides by that or by the larger probability; the
noise of a number has Student's t distribution with 1.5 degrees of freedom, whose variance is infinite. Only arms that
an effect is about compete, on 16 repeats (costs: 8): what is found depends on how many are asked, too.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.measure import machine, table
from lossmith.compare import Comparison, compare
from lossmith.compare.remedies.rules import mean_cost
from lossmith.compare.verdict.inference import LEVEL, paired

TABLES = 20
MOST_FALSE = 2
ROWS = 200
COLUMNS = [f"x{k}" for k in range(5)]
LABELS = ["red", "green", "blue"]
FLIPPED = 0.3
COSTS = "fn=20,fp=1"
REPEATS = 16  # of the planted effects
FORGIVING = ("generalized_cross_entropy",)
ROBUST = ("mae", "huber", "log_cosh")
Generator = np.random.Generator


def features(generator: Generator, rows: int) -> pd.DataFrame:
    """Normal numbers."""
    return pd.DataFrame(generator.normal(size=(rows, len(COLUMNS))), columns=COLUMNS)


def two_classes(generator: Generator, rows: int) -> pd.DataFrame:
    """One row in five is positive, whatever the features."""
    return features(generator, rows).assign(y=generator.permutation(np.arange(rows) % 5 == 0))


def three_classes(generator: Generator, rows: int) -> pd.DataFrame:
    """Classes with shares of 60, 30 and 10 %, whatever the features."""
    return features(generator, rows).assign(
        y=generator.permutation(np.repeat([0, 1, 2], [rows * 6 // 10, rows * 3 // 10, rows // 10]))
    )


def numbers(generator: Generator, rows: int) -> pd.DataFrame:
    """Normal targets, whatever the features."""
    return features(generator, rows).assign(y=generator.normal(10, 1, rows))


def labels(generator: Generator, rows: int) -> pd.DataFrame:
    """Labels that half, 30 % and 20 % of the rows have, whatever the features."""
    there = (generator.random((rows, 3)) < [0.5, 0.3, 0.2]).astype(int)
    return features(generator, rows).join(pd.DataFrame(there, columns=LABELS))


NOISE: dict[str, Callable[[Generator, int], pd.DataFrame]] = {
    "binary": two_classes,
    "multiclass": three_classes,
    "regression": numbers,
    "multilabel": labels,
}


def signal(generator: Generator, rows: int) -> pd.DataFrame:
    """One row in five is positive, and two features tell."""
    frame = features(generator, rows)
    score = 2 * frame["x0"] + frame["x1"] ** 2 + generator.logistic(size=rows)
    return frame.assign(y=score > np.quantile(score, 0.8))


def done(frame: pd.DataFrame, target: Any = "y", **options: Any) -> Comparison:
    """A comparison whose files are thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        return compare(frame, target, out=Path(folder) / "out", quiet=True, **options)


def noise(kind: str, tables: int) -> list[str]:
    """A row of the first table: winners among the seeded tables of one kind."""
    began, winners, told = time.perf_counter(), 0, 0
    for seed in range(tables):
        frame = NOISE[kind](np.random.default_rng([seed, len(kind)]), ROWS)
        verdict = done(frame, LABELS if kind == "multilabel" else "y", seed=seed).results["verdict"]
        advice = verdict["recommended"]
        winners += advice["arm"] != verdict["baseline"] or advice["rule"] == "tuned"
        told += any(c["result"] == "better" for q in verdict["questions"] if q["decisive"] for c in q["comparisons"])
    allowed = "yes" if winners <= MOST_FALSE * max(1.0, tables / TABLES) else "**no**"
    seconds = (time.perf_counter() - began) / tables
    return [kind, str(tables), str(winners), allowed, str(told), f"{seconds:.0f}"]


def flipped() -> list[str]:
    """Labels that are wrong in one class."""
    generator = np.random.default_rng(1)
    frame, clean = signal(generator, 6000), signal(generator, 600)
    wrong = frame["y"] & (generator.random(len(frame)) < FLIPPED)
    verdict = done(frame.assign(y=frame["y"] & ~wrong), test=clean, losses=FORGIVING, repeats=REPEATS).results[
        "verdict"
    ]
    found = better(verdict, "macro_f1")
    if any(
        c["result"] == "worse"
        for q in verdict["questions"]
        for c in q["comparisons"]
        if c["arm"] == verdict["baseline"]
    ):
        found.insert(0, "the tuned rule")
    said = [verdict["headline"], *(text for text in verdict["sentences"] if "decision rule" in text)]
    return ["30 % of one class flipped", listed(found), " ".join(said)]


def costly() -> list[str]:
    """Costs of 20 to 1: the rules that know them against the larger probability, on the same models."""
    frame = signal(np.random.default_rng(2), 600)
    aware, blind = (done(frame, losses="cross_entropy", **options) for options in ({"cost": COSTS}, {}))
    price = tuple(aware.results["settings"]["costs"].values())
    records = [one.results["records"] for one in (aware, blind)]
    ratio = np.mean([one["sizes"]["test"] / one["sizes"]["train"] for one in records[0]])
    argmax = [mean_cost(price, one["decision"]["default"]["confusion"]) for one in records[1]]
    said, found = [], []
    for rule, name in (("default", "plug-in"), ("tuned", "tuned")):
        costs = [one["decision"][rule]["cost"] for one in records[0]]
        test = paired([float(one - other) for one, other in zip(costs, argmax, strict=True)], float(ratio))
        said.append(f"{name} {np.mean(costs):.3f}, p = {test['p']:.2g}")
        if test["p"] is not None and test["mean"] is not None and test["p"] < LEVEL and test["mean"] < 0:
            found.append(f"the {name} rule")
    return ["costs of 20 to 1", listed(found), f"cost of a row: argmax {np.mean(argmax):.3f}; {'; '.join(said)}"]


def heavy_tailed() -> list[str]:
    """Numbers with rare and very large errors."""
    generator = np.random.default_rng(3)
    frame = features(generator, 2400)
    frame["y"] = 2 * frame["x0"] - frame["x1"] + 2 * generator.standard_t(1.5, len(frame))
    verdict = done(frame, losses=ROBUST, repeats=REPEATS).results["verdict"]
    found = better(verdict, "mae")
    lacking = [name for name in ROBUST if name not in found]
    return [
        "Student noise, 1.5 degrees",
        listed(found) if not lacking else f"**lacks {listed(lacking)}**",
        verdict["headline"],
    ]


def better(verdict: dict[str, Any], metric: str) -> list[str]:
    """The arms that are shown to be better in the question of this metric."""
    (question,) = (q for q in verdict["questions"] if q["metric"] == metric)
    return [c["arm"] for c in question["comparisons"] if c["result"] == "better" and c["arm"] != verdict["baseline"]]


def listed(names: list[str]) -> str:
    """Names in a cell."""
    return ", ".join(names) or "nothing"


def report(tables: int = TABLES) -> str:
    """Two tables: noise, and planted effects."""
    head = ["kind", "noise tables", "winners", "at most 2 of 20", "told apart", "seconds per table"]
    planted = table(["planted effect", "shown to be better", "what it says"], [flipped(), costly(), heavy_tailed()])
    return f"{table(head, [noise(kind, tables) for kind in NOISE])}\n\n{planted}"


def main() -> None:
    parser = argparse.ArgumentParser(description="noise gives no winner, planted effects are found")
    parser.add_argument("--tables", type=int, default=TABLES, help=f"noise tables of each kind ({TABLES})")
    tables = parser.parse_args().tables
    os.nice(10)
    print(f"## honesty\n\n{__doc__}\n\nOn {machine()}.\n\n{report(tables)}")


if __name__ == "__main__":
    main()
