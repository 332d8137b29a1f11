"""How rows are dealt out to the parts of a split: pure functions from what balances it to a part's number per row.

``shares`` are those of training, validation and, where no test rows are given, test; part 0 is training.
"""

import numpy as np
from numpy.typing import NDArray

TARGET_RANGES = 10  # of a number to predict, equally full, each split in its own share
FEWEST_OF_A_RANGE = 20
FEWEST_OF_A_LABEL = 3  # a value of a label that fewer rows have cannot be in three parts, and balances nothing
DEALS = 10  # random orders of the groups, of which the best is kept
MOST_PLACED = 100_000  # groups placed over all deals: many groups are near their shares at the first deal

Parts = NDArray[np.int64]
Floats = NDArray[np.float64]
Shares = tuple[float, ...]


def ranges(target: Floats) -> NDArray[np.int64]:
    """The range of the target, 0 up to 9, that each row is in: by rank, so that an outlier makes no range of its own.

    Fewer than 40 rows are one range, and their split is plainly random.

    >>> ranges(np.array([5.0, 1.0] * 20)).tolist()[:4]
    [1, 0, 1, 0]
    """
    count = max(1, min(TARGET_RANGES, len(target) // FEWEST_OF_A_RANGE))
    found = np.empty(len(target), np.int64)
    found[np.argsort(target, kind="stable")] = np.arange(len(target)) * count // max(1, len(target))
    return found


def by_class(labels: NDArray[np.int64], shares: Shares, generator: np.random.Generator) -> Parts:
    """Each class in each part in its own share, and with at least one row."""
    parts = np.zeros(len(labels), np.int64)
    for label in range(int(labels.max(initial=-1)) + 1):
        rows = generator.permutation(np.flatnonzero(labels == label))
        held = max(1, round(shares[1] * len(rows)))
        for part in range(1, len(shares)):
            first = max(0, len(rows) - (len(shares) - part) * held)
            parts[rows[first : first + held]] = part
    return parts


def by_labels(labels: NDArray[np.int8], shares: Shares, generator: np.random.Generator) -> Parts:
    """Iterative stratification: rows of the label with the fewest rows left go where that label is wanted most.

    Of each label the rarer value is dealt. Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label
    data" (ECML PKDD 2011), algorithm 1. Afterwards a part that lacks a value of a label gets a row of it.
    """
    order = generator.permutation(len(labels))
    rarer = labels[order] != (labels.mean(axis=0) > 0.5)
    marks = rarer[:, rarer.sum(axis=0) >= FEWEST_OF_A_LABEL].astype(np.float64)
    dealt, size = np.full(len(labels), -1), np.array(shares) * len(labels)
    left, wanted = marks.sum(axis=0), np.outer(shares, marks.sum(axis=0))
    while left.any():
        label = int(np.argmin(np.where(left > 0, left, np.inf)))
        for row in np.flatnonzero((dealt < 0) & (marks[:, label] > 0)):
            part = max(range(len(shares)), key=lambda part: (wanted[part, label], size[part]))
            dealt[row] = part
            wanted[part] -= marks[row]
            size[part] -= 1
            left -= marks[row]
    free = np.flatnonzero(dealt < 0)
    room = np.cumsum(np.maximum(size, 0.0))
    dealt[free] = np.searchsorted(np.round(room / max(room[-1], 1.0) * len(free)), np.arange(len(free)), side="right")
    parts = np.empty_like(dealt)
    parts[order] = dealt
    return completed(parts, np.hstack([labels > 0, labels <= 0]), len(shares))


def completed(parts: Parts, has: NDArray[np.bool_], count: int) -> Parts:
    """Every part with a row of every column that at least three rows have, as far as one move per gap can do it.

    A row moves only where its old part keeps another of all that it has; into training, which comes last, it may
    move anyway, so that training has all of them for certain.
    """
    parts = parts.copy()
    common = has.sum(axis=0) >= FEWEST_OF_A_LABEL
    for part in (*range(1, count), 0):
        for column in np.flatnonzero(common & ~has[parts == part].any(axis=0)):
            if has[parts == part, column].any():
                continue  # an earlier move has brought it along
            rows = np.flatnonzero(has[:, column])
            amount = np.stack([has[parts == other].sum(axis=0) for other in range(count)])
            spare = rows[((amount[parts[rows]] > 1) | ~has[rows]).all(axis=1)]
            if len(spare) or part == 0:
                parts[(spare if len(spare) else rows)[0]] = part
    return parts


def tally(groups: NDArray[np.int64], target: NDArray[np.int64] | NDArray[np.int8]) -> Floats:
    """Of every group the rows, and the rows of each class (or with each label): [groups, 1 + classes]."""
    size = int(groups.max()) + 1
    rows = np.bincount(groups, minlength=size)
    if target.ndim == 2:
        columns = [np.bincount(groups, weights=label, minlength=size) for label in target.T]
        return np.column_stack([rows, *columns]).astype(np.float64)
    classes = int(target.max()) + 1
    counts = np.bincount(groups * classes + target, minlength=size * classes).reshape(size, classes)
    return np.column_stack([rows, counts]).astype(np.float64)


def by_group(amounts: Floats, shares: Shares, generator: np.random.Generator) -> Parts:
    """The part of every group, from what it holds of each column: the best of several greedy deals.

    Best is the one with the fewest columns that a part has nothing of, then the least sum of squared distances of
    the columns' shares from those wanted.
    """
    scaled = amounts[:, amounts.any(axis=0)]
    scaled = scaled / scaled.sum(axis=0)
    deals = max(1, min(DEALS, MOST_PLACED // len(scaled)))
    best, least = np.zeros(len(scaled), np.int64), (np.inf, np.inf)
    for deal in range(10 * deals):
        parts, have = greedy(scaled, shares, generator.permutation(len(scaled)))
        fault = (float((have == 0).sum()), float(((have - np.array(shares)[:, None]) ** 2).sum()))
        if fault < least:
            best, least = parts, fault
        if deal + 1 >= deals and least[0] == 0:
            break
    return best


def greedy(scaled: Floats, shares: Shares, order: NDArray[np.int64]) -> tuple[Parts, Floats]:
    """Group after group to the part that lacks most of what it holds; a part without any of it comes first.

    With h the part's and g the group's shares and w those wanted, |h + g - w|^2 grows least where g (w - h) is largest.
    """
    wanted, have = np.array(shares)[:, None], np.zeros((len(shares), scaled.shape[1]))
    parts = np.zeros(len(scaled), np.int64)
    for group in order:
        amount = scaled[group]
        part = int(np.argmax((wanted - have) @ amount + (have == 0) @ (amount > 0)))
        parts[group] = part
        have[part] += amount
    return parts, have
