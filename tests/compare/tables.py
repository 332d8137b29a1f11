"""Small tables and a way to call the command line, for the tests of this folder."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

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


def write(folder: Path, frame: pd.DataFrame, name: str = "table.csv") -> Path:
    """The frame as a CSV file."""
    path = folder / name
    frame.to_csv(path, index=False)
    return path


def start(folder: Path, *words: Any) -> "subprocess.Popen[str]":
    """The command line as a process of its own."""
    words = tuple(str(word) for word in words)
    return subprocess.Popen([*COMMAND, *words], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def without_times(value: Any) -> Any:
    """Results without what is under a key named "time"."""
    if isinstance(value, dict):
        return {name: without_times(inner) for name, inner in value.items() if name != "time"}
    return [without_times(inner) for inner in value] if isinstance(value, list) else value
