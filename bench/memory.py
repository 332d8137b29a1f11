"""A table larger than its memory bound: 1e8 rows are read in batches and compared on a sample.

The table (two numbers, a category of 20 values, a class of 1 % and one of 0.0001 %) is written in batches to the
temporary folder and removed afterwards; it is read in a process of its own, whose peak of resident memory is its
`VmHWM`. The bound is for all processes together, one worker among them, which is not started here: the reading
process has to stay below the bound less what a worker takes.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.report import Part, Table, markdown
from lossmith.compare.data.memory import PROCESS, memory_bytes, size_text
from lossmith.compare.data.sample import sampled

ROWS = 100_000_000
ROWS_OF_A_GROUP = 1_000_000
BOUNDS = ("1GB", "2GB")
SHARES = (0.989999, 0.01, 0.000001)
CATEGORIES = 20
HEADER = ["bound", "rows kept", "growth of the standard error", "seconds", "peak of the reader", "the reader's part"]


def write(path: Path, rows: int) -> None:
    """The table, a million rows at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    generator = np.random.default_rng(0)
    schema = pa.schema([("a", pa.float32()), ("b", pa.float32()), ("word", pa.string()), ("y", pa.int8())])
    words = pa.array([f"word {number}" for number in range(CATEGORIES)])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, ROWS_OF_A_GROUP):
            count = min(ROWS_OF_A_GROUP, rows - start)
            columns = {
                "a": generator.standard_normal(count, dtype=np.float32),
                "b": generator.standard_normal(count, dtype=np.float32),
                "word": words.take(pa.array(generator.integers(0, CATEGORIES, count))),
                "y": np.searchsorted(np.cumsum(SHARES)[:-1], generator.random(count)).astype(np.int8),
            }
            writer.write_table(pa.table(columns, schema=schema))


def read(path: str, bound: str) -> None:
    """The child: read a sample and print what it took."""
    began = time.perf_counter()
    frame, outcome = sampled(path, "y", memory_bytes(bound), 0)
    seconds = time.perf_counter() - began
    # not ru_maxrss, which a child takes over from the parent that started it
    words = Path("/proc/self/status").read_text().split()
    peak = int(words[words.index("VmHWM:") + 1]) * 1024
    sentences, growth = (outcome.sentences(), outcome.growth) if outcome else ([], 1.0)
    print(json.dumps([len(frame), growth, seconds, peak, sentences]))


def report() -> list[Part]:
    """The table of all bounds, and the sentences of the first."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        began = time.perf_counter()
        write(path, ROWS)
        about = f"{ROWS:,} rows in a file of {size_text(path.stat().st_size)}, written in "
        about += f"{time.perf_counter() - began:.0f} s."
        found = [measured(path, bound) for bound in BOUNDS]
    rows = [
        [
            bound,
            f"{kept:,}",
            f"{growth:.3g}",
            f"{seconds:.0f}",
            size_text(peak),
            size_text(memory_bytes(bound) - PROCESS),
        ]
        for bound, (kept, growth, seconds, peak, _) in zip(BOUNDS, found, strict=True)
    ]
    said = "\n".join(f"> {sentence}" for sentence in found[0][-1])
    return [about, Table(HEADER, rows), "Said of the first:", said]


def measured(path: Path, bound: str) -> list[Any]:
    """What a child that reads the table takes."""
    command = [sys.executable, "-c", "import sys; from bench.memory import read; read(*sys.argv[1:])", str(path), bound]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: list[Any] = json.loads(ended.stdout)
    return found


if __name__ == "__main__":
    print(markdown(report()))
