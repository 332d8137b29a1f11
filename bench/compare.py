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
from bench.measure import table
from lossmith.compare.call import DEMO, DEMO_TARGET
from lossmith.compare.data.load import load
from lossmith.compare.data.task import infer
from lossmith.compare.environment import cores
from lossmith.compare.remedies.arms import TRIES, Arm, default_arms
from lossmith.compare.runs import train
from lossmith.compare.settings import MODELS, Training

REPEATS = 3


def skorch_try(prepared: train.Prepared, training: Training, attempt: int) -> None:
    """One try as a careful user of skorch writes it: same network, optimiser, batches, stopping rule and metric."""
    from skorch import NeuralNetClassifier
    from skorch.callbacks import EarlyStopping, EpochScoring
    from skorch.dataset import Dataset
    from skorch.helper import predefined_split

    seed, _ = train.seeds(training.seed, prepared.repeat, attempt)
    model = train.build_model(training, prepared.inputs["train"].shape[1], seed)
    data = {part: prepared.inputs[part].numpy() for part in prepared.inputs}
    labels = label_binarize(prepared.labels["validation"], classes=range(training.classes))

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
        train_split=predefined_split(Dataset(data["validation"], prepared.labels["validation"])),
        callbacks=[
            EpochScoring(score, lower_is_better=False, name="ap", use_caching=False),
            EarlyStopping("ap", patience=training.patience, lower_is_better=False, load_best=True),
        ],
        predict_nonlinearity=lambda z: z.softmax(-1),
        verbose=0,
    )
    net.fit(data["train"], prepared.labels["train"])
    net.predict_proba(data["test"])


def skorch_loop(arms: list[Arm]) -> float:
    """Seconds for the tries of every arm, one after the other, torch on all cores."""
    task = infer(load(DEMO, DEMO_TARGET, None))
    training = Training(tuple(task.kinds), len(task.classes), task.positive, 0, "macro_f1", MODELS["mlp"])
    start = time.perf_counter()
    for repeat in range(REPEATS):
        prepared = train.prepare(task.matrix, task.labels, training, repeat)
        for _ in arms:
            for attempt in range(TRIES):
                skorch_try(prepared, training, attempt)
    return time.perf_counter() - start


def report() -> str:
    """Wall seconds of a comparison of the demo table, of the training in it, and of a plain loop over the same work."""
    arms = default_arms()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        done = lossmith.compare.compare(DEMO, DEMO_TARGET, repeats=REPEATS, out=Path(folder) / "out", quiet=True)
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
    head += f"the best epoch being the {epochs:.0f}th on average\n\n"
    return head + table(["what", "seconds", "`compare` / this"], rows)
