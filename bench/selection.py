"""`lossmith compare` as a whole against balancr and against a loop in scikit-learn: the same table, as many trainings.

All three train a network of 64 and 64 hidden units on the rows as they are, over-sampled, under-sampled and with SMOTE
of imbalanced-learn: three seeds on every split, at most 60 epochs, early stopping with patience 8, learning rate 7e-3,
60 % of the rows to train, 20 % to stop on, 20 % to judge on. Every program is a process of its own, from its start to
its last file, on one thread; lossmith has one worker process (`--jobs 1`), which loads PyTorch once more. They take
turns; seconds are medians over the rounds, of the clock and of the processor (which other users disturb less).

What is not the same. lossmith trains by AdamW on PyTorch, stops on average precision and keeps the best epoch, tunes a
rule on validation rows, judges both rules by all metrics and writes verdict, report and one file per run. The other
two train scikit-learn's `MLPClassifier` (Adam; stopping on accuracy, where balancr and the loop hold out resampled
rows) and decide by the most probable class. balancr gets one split and one batch size, the largest of lossmith's, in
each `balancr run`, so there is one run for every split; its three seeds are three entries of its configuration, whose
writing is not timed. Its learning curves, on by default and 50 more trainings each, and its cross-validation are off;
it scales before it splits. The loop is what tools that compare models by cross-validation do: a pipeline and
`cross_validate` with macro-F1, batch sizes as lossmith has them. Classes are numbers, because balancr 0.1.1 fails on
words with pandas 3 ("Cannot interpret '<StringDtype(...)>' as a data type"). balancr is sought on the PATH. Epochs
are those trained, of lossmith's kept try and of every training of the loop; balancr does not tell its own.
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.datasets import load_breast_cancer

from bench.measure import medians
from bench.report import Part, Table
from lossmith.compare.call import DEMO, DEMO_TARGET
from lossmith.compare.remedies.arms import TRIES
from lossmith.compare.settings import MODELS

ROUNDS = 3
LOSSES = ("random_over", "random_under", "smote")  # beside the baseline
SAMPLERS = ("RandomOverSampler", "RandomUnderSampler", "SMOTE")
TARGET = "target"
HEADER = ["table", "program", "trainings", "epochs of each", "seconds", "processor s", "processor s / training"]
HEADER += ["lossmith / this", "lossmith / this, processor"]
RECIPE = MODELS["mlp"]
NETWORK = {
    "hidden_layer_sizes": RECIPE.hidden,
    "learning_rate_init": RECIPE.learning_rate,
    "max_iter": RECIPE.epochs,
    "n_iter_no_change": RECIPE.patience,
    "early_stopping": True,
    "validation_fraction": 0.25,  # of the 80 % that are not for judging
}
# A program of its own: it must not wait for torch to load.
LOOP = """
import json, sys, warnings
import pandas as pd
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.pipeline import make_pipeline
from imblearn.under_sampling import RandomUnderSampler
from sklearn.model_selection import StratifiedShuffleSplit, cross_validate
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

warnings.simplefilter("ignore")  # that training ended before it converged
path, repeats, tries, batches, network = (json.loads(word) for word in sys.argv[1:])
frame = pd.read_csv(path)
x, y = frame.drop(columns="target"), frame["target"]
splits, epochs = StratifiedShuffleSplit(repeats, test_size=0.2, random_state=0), []
for sampler, batch in zip(("passthrough", RandomOverSampler(), RandomUnderSampler(), SMOTE()), batches):
    for seed in range(tries):
        mlp = MLPClassifier(**network, batch_size=batch, random_state=seed)
        model = make_pipeline(StandardScaler(), sampler, mlp)
        found = cross_validate(model, x, y, cv=splits, scoring="f1_macro", return_estimator=True, error_score="raise")
        epochs += [one[-1].n_iter_ for one in found["estimator"]]
        print(sampler, seed, found["test_score"].mean(), file=sys.stderr)
print(json.dumps(epochs))
"""


@dataclass(frozen=True)
class Case:
    """A table, how often it is split, and the batch size that lossmith takes for each arm on it."""

    name: str
    frame: Callable[[], pd.DataFrame]
    repeats: int
    batches: tuple[int, int, int, int]

    @property
    def trainings(self) -> int:
        return len(self.batches) * TRIES * self.repeats


@dataclass
class Spent:
    """Seconds of the processor in each round, and the epochs of each training where the program tells them."""

    processor: list[float] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)


def breast_cancer() -> pd.DataFrame:
    return load_breast_cancer(as_frame=True).frame.rename(columns=lambda name: name.replace(" ", "_"))


def page_blocks() -> pd.DataFrame:
    frame = pd.read_csv(DEMO)
    return frame.assign(**{TARGET: frame.pop(DEMO_TARGET).astype("category").cat.codes})


CASES = (
    Case("breast_cancer", breast_cancer, 2, (32, 64, 32, 64)),
    Case("page-blocks", page_blocks, 2, (512, 1024, 16, 1024)),
)


def run(words: list[str], home: Path) -> str:
    """What a program prints, on one thread; its own words if it fails."""
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    environment = {**os.environ, **threads, "HOME": str(home), "MPLBACKEND": "agg"}
    done = subprocess.run(words, cwd=home, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{words[0]} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


def lossmith_run(case: Case, data: Path, spent: Spent) -> None:
    """`lossmith compare` with the arms that all three have."""
    words = ["compare", str(data), "--target", TARGET, "--task", "classification", "--losses", *LOSSES]
    words += ["--repeats", str(case.repeats), "--jobs", "1", "--fresh", "--quiet", "--out", str(data.parent / "ours")]
    run([sys.executable, "-m", "lossmith", *words], data.parent)
    results = json.loads((data.parent / "ours" / "results.json").read_text())
    assert results["settings"]["batch_size"] == case.batches[0]
    spent.epochs = [len(record["curve"]["loss"]) for record in results["records"]]  # of the try that was kept


def loop_run(case: Case, data: Path, spent: Spent) -> None:
    """The loop in scikit-learn."""
    words = [json.dumps(word) for word in (str(data), case.repeats, TRIES, case.batches, NETWORK)]
    spent.epochs = json.loads(run([sys.executable, "-c", LOOP, *words], data.parent))


def balancr_run(program: str, case: Case, data: Path) -> None:
    """`balancr run`, once for every split."""
    for repeat in range(case.repeats):
        out, settings = data.parent / "theirs", data.parent / f"balancr-{repeat}.json"
        shutil.rmtree(out, ignore_errors=True)
        settings.write_text(json.dumps(balancr_settings(case, data, repeat)))
        run([program, "--config-path", str(settings), "run", "--output-dir", str(out)], data.parent)
        for seed in range(TRIES):  # it logs a failed training, goes on, and ends with 0
            found = pd.read_csv(out / f"MLPClassifier_{seed}" / "metrics_on_original_test" / "comparison_results.csv")
            assert set(found.columns[1:]) == {"Original", *SAMPLERS}


def balancr_settings(case: Case, data: Path, repeat: int) -> dict[str, Any]:
    """What balancr's commands before `run` would have written."""
    network = {**NETWORK, "batch_size": max(case.batches)}
    return {
        "data_file": str(data),
        "target_column": TARGET,
        "include_original_data": True,
        "preprocessing": {"handle_missing": "mean", "scale": "standard", "save_preprocessed": False},
        "balancing_techniques": {name: {} for name in SAMPLERS},
        "classifiers": {f"MLPClassifier_{seed}": {**network, "random_state": seed} for seed in range(TRIES)},
        "evaluation": {"test_size": 0.2, "cross_validation": 0, "random_state": repeat},
        "output": {"metrics": ["f1"], "visualisations": ["metrics", "distribution"]},
    }


def timed(work: Callable[[], None], spent: Spent) -> Callable[[], None]:
    """The work, with the processor's seconds of all processes that it starts and waits for."""

    def once() -> None:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        work()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    return once


def measure(case: Case) -> list[list[str]]:
    """The rows of one table."""
    ours, theirs, loop = Spent(), Spent(), Spent()
    program = shutil.which("balancr")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "table.csv"
        case.frame().to_csv(data, index=False)
        programs = {"lossmith compare": (ours, lambda: lossmith_run(case, data, ours))}
        if program:
            programs["balancr run"] = (theirs, lambda: balancr_run(program, case, data))
        programs["scikit-learn loop"] = (loop, lambda: loop_run(case, data, loop))
        seconds = medians({name: timed(work, spent) for name, (spent, work) in programs.items()}, rounds=ROUNDS, warm=0)
    processor = {name: statistics.median(spent.processor) for name, (spent, _) in programs.items()}
    return [
        [
            case.name,
            name,
            str(case.trainings),
            f"{statistics.mean(spent.epochs):.0f}" if spent.epochs else "not told",
            f"{seconds[name]:.1f}",
            f"{processor[name]:.1f}",
            f"{processor[name] / case.trainings:.2f}",
            f"{seconds['lossmith compare'] / seconds[name]:.2f}",
            f"{processor['lossmith compare'] / processor[name]:.2f}",
        ]
        for name, (spent, _) in programs.items()
    ]


def report() -> list[Part]:
    """The table, and whether balancr was there."""
    about = f"Medians of {ROUNDS} rounds." + ("" if shutil.which("balancr") else " balancr is not installed.")
    return [about, Table(HEADER, [row for case in CASES for row in measure(case)])]
