"""How much memory a comparison may take, and how much a row of a table takes of it.

Resident memory = ``LIBRARIES`` (shared by all processes) + ``PROCESS`` for the parent and for each worker
+ rows * `row_bytes`. A row takes, with f bytes in the data frame, c columns of the task's matrix and w encoded columns:

- in the parent 2 f + 16 c + ``ONE_COLUMN``: the frame beside what it is put together from, the matrix beside the
  columns that it is stacked from, and what is worked out of one column at a time;
- in each worker 16 c + 12 w + ``OUTPUTS``: the matrix and the part of it that is being encoded (float64), the encoded
  rows (float32) beside what they are made from (float64), and the outputs of the network on held-out rows.
"""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd

from lossmith.compare.data.features import MOST_CATEGORIES
from lossmith.compare.data.text import MOST_TERMS, is_text
from lossmith.errors import InputError
from lossmith.text import quote

LIBRARIES = 150 * 2**20
PROCESS = 280 * 2**20  # Python, torch, pandas and scikit-learn with no data: 248 MB measured
ONE_COLUMN = 128
OUTPUTS = 128
DATE_PARTS = 4
SMALLEST = 2**20
UNITS = {"": 1, **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", start=1)}}
UNITS |= {f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", start=1)}
CGROUP = Path("/sys/fs/cgroup")


def memory_bytes(given: str | int | None) -> int:
    """A bound on memory in bytes; where none is given, a power of two that is at most half of what is available.

    A power of two, because the sample follows from it: free memory is never the same twice, and a second call that
    goes on where the first one ended has to see the same rows.

    >>> memory_bytes("4GB"), memory_bytes("1.5 GiB"), memory_bytes("500MB")
    (4000000000, 1610612736, 500000000)

    Raises `InputError` for anything else, and below 1 MiB.
    """
    if given is None:
        return int(1 << max(available() // 2, SMALLEST).bit_length() - 1)
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]i?b|)", str(given).strip().lower())
    value = float(found[1]) * UNITS[found[2]] if found else 0.0
    if isinstance(given, bool) or not SMALLEST <= value < 2**60:
        raise InputError(f'memory must be a size such as "500MB", "4GB" or "1.5GiB", not {quote(given)}.')
    return int(value)


def size_text(size: float) -> str:
    """A number of bytes for a sentence.

    >>> size_text(4_000_000_000), size_text(1_610_612_736), size_text(999)
    ('4 GB', '1.61 GB', '999 bytes')
    """
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size:.0f} bytes"


def available() -> int:
    """The bytes that this process may still take: what the machine has, or less where a container says so."""
    return min([of_the_machine(), *of_the_groups()])


def of_the_machine() -> int:
    """What Linux calls available; elsewhere half of all memory."""
    try:
        words = Path("/proc/meminfo").read_text(encoding="ascii").split()
        return int(words[words.index("MemAvailable:") + 1]) * 1024
    except (OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def of_the_groups() -> list[int]:
    """What each control group that this process is in leaves to it (cgroup v2, then v1)."""
    try:
        own = Path("/proc/self/cgroup").read_text(encoding="utf-8").strip().rsplit(":", 1)[-1].strip("/")
    except OSError:
        return []
    folders = [CGROUP / own, *(CGROUP / own).parents] if own else [CGROUP]
    found = [left(folder / "memory.max", folder / "memory.current", folder / "memory.stat") for folder in folders]
    old = CGROUP / "memory"
    found.append(left(old / "memory.limit_in_bytes", old / "memory.usage_in_bytes", old / "memory.stat"))
    return [size for size in found if size is not None]


def left(limit: Path, used: Path, statistics: Path) -> int | None:
    """The limit of one group less what it uses; files that are merely cached give way. None: there is no limit."""
    try:
        most, taken = int(limit.read_text()), int(used.read_text())
        words = statistics.read_text().split()
        cached = int(words[words.index("inactive_file") + 1]) if "inactive_file" in words else 0
    except (OSError, ValueError):
        return None
    return max(0, most - taken + cached)


def fixed_bytes(jobs: int) -> int:
    """What the parent and its workers take before there is a single row."""
    return LIBRARIES + (1 + jobs) * PROCESS


def row_bytes(raw: pd.DataFrame, typed: pd.DataFrame, target: str | None, jobs: int) -> float:
    """What a row takes in all processes together, from some rows as they are read and as they are understood.

    With one worker and two columns of numbers of which none is the target, f = 16 + 8, c = 2 and w = 4:

    >>> frame = pd.DataFrame({"a": [0.5, 1.5], "b": [1.0, 2.0]})
    >>> row_bytes(frame, frame, None, 1) == (2 * 24 + 16 * 2 + ONE_COLUMN) + (16 * 2 + 12 * 4 + OUTPUTS)
    True
    """
    frame = raw.memory_usage(index=False, deep=True).sum() / len(raw) + np.int64().nbytes
    widths = [widths_of(typed[name]) for name in typed.columns if name != target]
    columns, encoded = (sum(width) for width in zip(*widths, strict=True)) if widths else (0, 0)
    parent = 2 * frame + 16 * columns + ONE_COLUMN
    return float(parent + jobs * (16 * columns + 12 * encoded + OUTPUTS))


def widths_of(column: pd.Series) -> tuple[float, int]:
    """How many columns of the matrix and of the encoded rows a column of the table makes at most."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return DATE_PARTS, 2 * DATE_PARTS
    if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_timedelta64_dtype(column.dtype):
        return 1, 2  # the number, and whether it is missing
    if is_text(column):  # travels as it is, and becomes a column for each term
        return 1 + column.str.len().mean() / np.float64().nbytes, MOST_TERMS
    return 1, min(MOST_CATEGORIES, column.nunique() + 1)
