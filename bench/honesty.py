"""``python -m bench.honesty [--tables N] [--kinds KIND ...]``: noise has no winner, and planted effects are found.

Noise: inputs that say nothing about the target, N seeded tables (20) of each kind, and all default arms from the split
to the verdict. So that this ends, models are small (linear; of images and masks the usual networks on few pixels) and
train for few epochs, which noise does not reward; ``--model mlp`` takes the default model and its 60 epochs. A winner
is an arm other than the baseline, or a tuned rule, that the verdict recommends; at most 2 of 20 tables of a kind may
have one. "Told apart" counts the tables in which a question shows a difference although the verdict, which looks for a
signal first, acts on none.

Of masks the discs lie inside of the picture, so a place tells a little and the verdict goes on to compare arms; of the
other kinds it stops at the signal, which is not there.

Planted effects: 30 % of the positive rows, half of all, carry the other label in training and validation, and the test
rows are right: the larger probability then finds few of the positive ones, and a tuned rule more. A missed row costs 20
times a false alarm, and cross-entropy decides by that or by the larger probability. The noise of a number has Student's
t distribution with 1.5 degrees of freedom, whose variance is infinite. Only arms that an effect is about compete, on 16
repeats (costs: 8): what is found depends on how many are asked, too.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from bench.measure import machine
from bench.report import Part, Table, markdown
from lossmith.compare import Comparison, compare
from lossmith.compare.call import roles_of, task_of, training_of
from lossmith.compare.environment import cores
from lossmith.compare.problems.asked import metrics_of
from lossmith.compare.remedies.rules import mean_cost
from lossmith.compare.runs.engine import Stop
from lossmith.compare.runs.prepare import splitter_of
from lossmith.compare.runs.store import Store
from lossmith.compare.runs.train import Repeat
from lossmith.compare.session import Session
from lossmith.compare.settings import DEFAULT_MODELS, Settings
from lossmith.compare.verdict.inference import LEVEL, paired
from lossmith.compare.verdict.judge import judge
from lossmith.compare.verdict.wording import wins

TABLES = 20
MOST_FALSE = 2
ROWS = 200
COLUMNS = [f"x{k}" for k in range(5)]
LABELS = ["red", "green", "blue"]
FLIPPED = 0.3
COSTS = "fn=20,fp=1"
REPEATS = 16  # of the planted effects
BALANCING = ("balanced", "logit_adjusted")
ROBUST = ("mae", "huber", "log_cosh")
EPOCHS_OF_TABLES, EPOCHS = 6, {"images": 3, "masks": 3}  # of small models on noise
NOISE_REPEATS = 8
SIDE = 16  # pixels
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


def texts(generator: Generator, rows: int) -> pd.DataFrame:
    """Ten words of fifty, in any order; one text in five is positive."""
    words = np.array([f"{first}{second}o" for first in "bdfgklmnpr" for second in "aeiou"])
    said = [" ".join(generator.choice(words, 10)) for _ in range(rows)]
    return pd.DataFrame({"said": said, "y": generator.permutation(np.arange(rows) % 5 == 0)})


def images(generator: Generator, folder: Path) -> Path:
    """Grey noise in two folders, one image in four in the smaller one."""
    for number, name in enumerate(generator.permutation(np.repeat(["many", "few"], [60, 20]))):
        save(folder / name / f"{number}.png", generator.integers(0, 256, (SIDE, SIDE)))
    return folder


def masks(generator: Generator, folder: Path) -> Path:
    """Grey noise with a disc in each mask, wherever it falls."""
    y, x = np.mgrid[:SIDE, :SIDE]
    for number in range(30):
        centre = generator.uniform(3, SIDE - 3, 2)
        disc = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 < generator.uniform(4, 30)
        save(folder / "images" / f"{number}.png", generator.integers(0, 256, (SIDE, SIDE)))
        save(folder / "masks" / f"{number}.png", disc)
    return folder


def save(path: Path, pixels: Any) -> None:
    """An image file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


TABLES_OF_NOISE: dict[str, Callable[[Generator, int], pd.DataFrame]] = {
    "binary": two_classes,
    "multiclass": three_classes,
    "regression": numbers,
    "multilabel": labels,
    "text": texts,
}
FOLDERS_OF_NOISE: dict[str, Callable[[Generator, Path], Path]] = {"images": images, "masks": masks}
KINDS = (*TABLES_OF_NOISE, *FOLDERS_OF_NOISE)


@contextmanager
def noise(kind: str, seed: int) -> Iterator[tuple[Any, Any]]:
    """The data and the target of a table of noise."""
    generator = np.random.default_rng([seed, len(kind)])
    if kind in TABLES_OF_NOISE:
        yield TABLES_OF_NOISE[kind](generator, ROWS), LABELS if kind == "multilabel" else "y"
        return
    with tempfile.TemporaryDirectory() as folder:
        yield FOLDERS_OF_NOISE[kind](generator, Path(folder) / kind), None


def verdict_on(kind: str, model: str, seed: int) -> dict[str, Any]:
    """As `compare` gives it, in this process and without a report."""
    torch.set_num_threads(1)
    with noise(kind, seed) as (data, target):
        task = task_of(data, target, None, roles_of(), None, SIDE if kind in FOLDERS_OF_NOISE else None, None)
    model = DEFAULT_MODELS.get(task.inputs, model)
    metric = metrics_of(task.goal.kind)[0]
    settings = Settings(task.goal.kind, task.inputs, model, metric, NOISE_REPEATS, seed, 1, None, 3600.0, None)
    training = training_of(settings, task)
    if model != "mlp":
        training = replace(training, epochs=EPOCHS.get(task.inputs, EPOCHS_OF_TABLES))
    splitter = splitter_of(task.arrays, training)
    batch = training.batch_size(len(splitter.rows(0).train))
    session = Session(settings, task, training, batch, splitter.describe(), Store("unused"), Stop())
    plan, records, repeats = session.plan(), {}, {}
    for run in plan:
        if run.repeat not in repeats:
            repeats = {run.repeat: Repeat(task.arrays, training, run.repeat)}
        records[run.key] = repeats[run.repeat].run(run.arm)
    return judge(session.results(plan, records))


def noise_row(kind: str, model: str, tables: int) -> list[str]:
    """A row of the first table: winners among the seeded tables of one kind."""
    began, winners, told = time.perf_counter(), 0, 0
    with ProcessPoolExecutor(cores()) as pool:
        for verdict in pool.map(partial(verdict_on, kind, model), range(tables)):
            advice = verdict["recommended"]
            won = advice["arm"] != verdict["baseline"] or advice["rule"] == "tuned"
            winners += won
            told += not won and any(
                c["result"] == "better" for q in verdict["questions"] if q["decisive"] for c in q["comparisons"]
            )
    allowed = "" if tables < TABLES else "yes" if winners <= MOST_FALSE * tables / TABLES else "**no**"
    seconds = (time.perf_counter() - began) / tables
    return [kind, str(tables), str(winners), allowed, str(told), f"{seconds:.0f}"]


def signal(generator: Generator, rows: int) -> pd.DataFrame:
    """One row in five is positive, and two features tell."""
    frame = features(generator, rows)
    score = 2 * frame["x0"] + frame["x1"] ** 2 + generator.logistic(size=rows)
    return frame.assign(y=score > np.quantile(score, 0.8))


def faint(generator: Generator, rows: int) -> pd.DataFrame:
    """Half of the rows are positive, and one feature tells a little: few probabilities are far from 1/2."""
    frame = features(generator, rows)
    return frame.assign(y=0.8 * frame["x0"] + generator.logistic(size=rows) > 0)


def done(frame: pd.DataFrame, target: Any = "y", **options: Any) -> Comparison:
    """A comparison whose files are thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        return compare(frame, target, out=Path(folder) / "out", quiet=True, **options)


def flipped() -> list[str]:
    """Labels that are wrong in one class."""
    generator = np.random.default_rng(1)
    frame, clean = faint(generator, 8000), faint(generator, 1000)
    wrong = frame["y"] & (generator.random(len(frame)) < FLIPPED)
    frame = frame.assign(y=frame["y"] & ~wrong)
    verdict = done(frame, test=clean, losses=BALANCING, repeats=REPEATS).results["verdict"]
    (decided,) = (q for q in verdict["questions"] if q["metric"] == "macro_f1")
    untuned = {c["arm"]: c["result"] for c in decided["comparisons"]}[verdict["baseline"]]
    found = ["the tuned rule"] * (untuned == "worse") + better(verdict, "macro_f1")
    tuning = next(text for text in verdict["sentences"] if "decision rule" in text)
    return ["30 % of one class flipped", listed(found), f"{verdict['headline']} {tuning}"]


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
    return [c["arm"] for c in question["comparisons"] if wins(c) and c["arm"] != verdict["baseline"]]


def listed(names: list[str]) -> str:
    """Names in a cell."""
    return ", ".join(names) or "nothing"


def planted() -> Table:
    """A table of planted effects and what is found of them."""
    return Table(["planted effect", "shown to be better", "what it says"], [flipped(), costly(), heavy_tailed()])


def report(kinds: Sequence[str] = KINDS, tables: int = TABLES, model: str = "linear") -> list[Part]:
    """Two tables: noise, and planted effects."""
    head = ["kind", "noise tables", "winners", "at most 2 of 20", "told apart", "seconds per table"]
    found = [Table(head, [noise_row(kind, model, tables) for kind in kinds])] if kinds else []
    return [*found, planted()]


def main() -> None:
    parser = argparse.ArgumentParser(description="noise gives no winner, planted effects are found")
    parser.add_argument("--tables", type=int, default=TABLES, help=f"noise tables of each kind ({TABLES})")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=KINDS, help="kinds of noise (all)")
    parser.add_argument("--model", choices=("linear", "mlp"), default="linear", help="of tables (linear, few epochs)")
    given = parser.parse_args()
    os.nice(10)
    print(f"## honesty\n\n{__doc__}\n\nOn {machine()}.\n\n{markdown(report(given.kinds, given.tables, given.model))}")


if __name__ == "__main__":
    main()
