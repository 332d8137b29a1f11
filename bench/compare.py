"""`compare`: its wall time against the training inside it, and against the same work as a plain skorch loop."""

import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import label_binarize

import lossmith.compare
from bench.report import Part, Table
from lossmith.compare.call import DEMO, DEMO_TARGET, training_of
from lossmith.compare.data.load import load
from lossmith.compare.data.task import infer
from lossmith.compare.environment import cores
from lossmith.compare.models.build import build
from lossmith.compare.models.fitted import Prepared
from lossmith.compare.remedies.arms import BASELINE, TRIES, Arm, known_arms, loss_arms
from lossmith.compare.runs import train
from lossmith.compare.settings import Settings, Training

REPEATS = 3


def skorch_try(prepared: Prepared, training: Training, attempt: int) -> None:
    """One try as a careful user of skorch writes it: same network, optimiser, batches, stopping rule and metric."""
    from skorch import NeuralNetClassifier
    from skorch.callbacks import EarlyStopping, EpochScoring
    from skorch.dataset import Dataset
    from skorch.helper import predefined_split

    seed, _ = train.seeds(training.seed, prepared.repeat, attempt)
    model = build(training, prepared, training.classes, seed)
    data = {part: prepared.inputs[part].numpy() for part in prepared.inputs}
    labels = label_binarize(prepared.targets["validation"], classes=range(training.classes))

    def score(net: NeuralNetClassifier, given: object, y: object) -> float:
        del given, y
        return float(average_precision_score(labels, net.predict_proba(data["validation"]), average="macro"))

    net = NeuralNetClassifier(
        model,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        lr=training.learning_rate,
        optimizer__weight_decay=training.weight_decay,
        batch_size=training.batch_size(len(data["train"])),
        max_epochs=training.epochs,
        train_split=predefined_split(Dataset(data["validation"], prepared.targets["validation"])),
        callbacks=[
            EpochScoring(score, lower_is_better=False, name="ap", use_caching=False),
            EarlyStopping("ap", patience=training.patience, lower_is_better=False, load_best=True),
        ],
        predict_nonlinearity=lambda z: z.softmax(-1),
        verbose=0,
    )
    net.fit(data["train"], prepared.targets["train"])
    net.predict_proba(data["test"])


def skorch_loop(arms: list[Arm]) -> float:
    """Seconds for the tries of every arm, one after the other, torch on all cores."""
    task = infer(load(DEMO, DEMO_TARGET, None))
    settings = Settings("multiclass", "table", "mlp", "macro_f1", REPEATS, 0, 1, None, 3600.0, None)
    training = training_of(settings, task)
    start = time.perf_counter()
    for repeat in range(REPEATS):
        prepared = train.Repeat(task.arrays, training, repeat).prepared
        for _ in arms:
            for attempt in range(TRIES):
                skorch_try(prepared, training, attempt)
    return time.perf_counter() - start


def report() -> list[Part]:
    """Wall seconds of a comparison of the demo table, of the training in it, and of a plain loop over the same work."""
    arms = [*(arm for arm in known_arms() if arm.name == BASELINE), *loss_arms()]  # others train on other rows
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        done = lossmith.compare.compare(
            DEMO, DEMO_TARGET, losses=[arm.name for arm in arms], repeats=REPEATS, out=Path(folder) / "out", quiet=True
        )
        wall = time.perf_counter() - start
    training = sum(record["time"]["train_seconds"] for record in done.results["records"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loop = skorch_loop(arms)
    share = training / cores()
    tries = len(arms) * REPEATS * TRIES
    epochs = np.mean([record["epochs"] for record in done.results["records"]])
    rows = [
        ["`compare`, wall", f"{wall:.1f}", "1.00"],
        [f"training inside it / {cores()} cores", f"{share:.1f}", f"{wall / share:.2f}"],
        ["the same tries in a plain skorch loop", f"{loop:.1f}", f"{wall / loop:.2f}"],
    ]
    head = f"page-blocks, {len(arms)} arms x {REPEATS} repeats x {TRIES} tries = {tries} trainings, "
    head += f"the best epoch being the {epochs:.0f}th on average"
    return [head, Table(["what", "seconds", "`compare` / this"], rows)]
