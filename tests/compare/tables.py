"""Small tables and a way to call the command line, for the tests of this folder."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from lossmith.compare.call import training_of
from lossmith.compare.problems.asked import metrics_of
from lossmith.compare.settings import Settings, Training

# A shell without job control starts what runs in the background deaf to Ctrl-C, and children inherit that.
HEARING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
COMMAND = [sys.executable, "-c", f"{HEARING}; from lossmith.cli import main; main()"]


def blobs(rows: int = 120, classes: int = 2, seed: int = 0) -> pd.DataFrame:
    """A table with two numbers and a word that tell the class ``y`` somewhat, rarer the higher it is."""
    generator = np.random.default_rng(seed)
    labels = np.sort(generator.choice(classes, rows, p=np.arange(classes, 0, -1) / sum(range(1, classes + 1))))
    generator.shuffle(labels)
    return pd.DataFrame(
        {
            "a": (labels + generator.normal(size=rows)).round(3),
            "b": generator.normal(size=rows).round(3),
            "word": generator.choice(["red", "green"], rows),
            "y": np.array(["no", "yes", "maybe"])[labels],
        }
    )


def numbers(rows: int = 150, seed: int = 0, noise: float = 0.3) -> pd.DataFrame:
    """A table whose number ``y`` follows ``a``; all numbers are around 10."""
    generator = np.random.default_rng(seed)
    a = generator.normal(size=rows)
    return pd.DataFrame(
        {
            "a": a.round(3),
            "b": generator.normal(size=rows).round(3),
            "word": generator.choice(["red", "green"], rows),
            "y": (10 + 2 * a + noise * generator.normal(size=rows)).round(3),
        }
    )


def labelled(rows: int = 150, labels: int = 3, seed: int = 0) -> pd.DataFrame:
    """A table with labels ``l0``, ``l1`` .. that are rarer and follow ``a`` less the later they are."""
    generator = np.random.default_rng(seed)
    a = generator.normal(size=rows)
    frame = pd.DataFrame({"a": a.round(3), "b": generator.normal(size=rows).round(3)})
    columns = {f"l{k}": (a + k * generator.normal(size=rows) > 0.5 + 0.5 * k).astype(int) for k in range(labels)}
    return frame.assign(**columns)


def training(task: Any, **options: Any) -> Training:
    """The training that the command line would ask for, with few epochs of a small network."""
    chosen = {"model": "mlp", "metric": metrics_of(task.goal.kind)[0], "seed": 0, "repeats": 8, "costs": None}
    chosen |= {name: options.pop(name) for name in list(options) if name in chosen}
    settings = Settings(
        kind=task.goal.kind, inputs=task.inputs, jobs=1, budget=None, timeout=60.0, losses=None, **chosen
    )
    found = training_of(settings, task)
    return replace(found, **{"hidden": (8,) if found.hidden else (), "epochs": 3, **options})


def write(folder: Path, frame: pd.DataFrame, name: str = "table.csv") -> Path:
    """The frame as a CSV file."""
    path = folder / name
    frame.to_csv(path, index=False)
    return path


def train_by_hand(network: Any, inputs: Any, labels: Any, *, epochs: int, order: int, batch: int, lr: float) -> None:
    """Cross-entropy under AdamW as torch has them, over batches of all rows in the order of a seed."""
    generator = torch.Generator().manual_seed(order)
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=1e-2)
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(labels), generator=generator), batch):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(inputs[rows]), labels[rows]).backward()
            optimizer.step()


def start(folder: Path, *words: Any) -> "subprocess.Popen[str]":
    """The command line as a process of its own."""
    words = tuple(str(word) for word in words)
    return subprocess.Popen([*COMMAND, *words], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def without_times(value: Any) -> Any:
    """Results without what is under a key named "time"."""
    if isinstance(value, dict):
        return {name: without_times(inner) for name, inner in value.items() if name != "time"}
    return [without_times(inner) for inner in value] if isinstance(value, list) else value
