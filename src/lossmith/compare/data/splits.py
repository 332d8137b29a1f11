"""Repeated stratified splits: 60 % to train, 20 % to choose on, 20 % to judge on.

A split depends on the labels, the seed and the repeat alone, so every arm of a repeat sees the same rows.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

HELD_OUT = 0.2
NEEDED_ROWS = 5  # the fewest rows of a class that put 3 into training and 1 each into validation and test

Rows = NDArray[np.int64]


class Split(NamedTuple):
    """The row numbers of the three parts."""

    train: Rows
    validation: Rows
    test: Rows


def split(labels: NDArray[np.int64], seed: int, repeat: int) -> Split:
    """The split of one repeat; each class is in each part in its own share, with at least one row."""
    generator = np.random.default_rng([seed, repeat])
    parts: tuple[list[Rows], list[Rows], list[Rows]] = ([], [], [])
    for label in range(int(labels.max()) + 1):
        rows = generator.permutation(np.flatnonzero(labels == label))
        held = max(1, round(HELD_OUT * len(rows)))
        for part, chosen in zip(parts, np.split(rows, [len(rows) - 2 * held, len(rows) - held]), strict=True):
            part.append(chosen)
    return Split(*(np.sort(np.concatenate(part)) for part in parts))
