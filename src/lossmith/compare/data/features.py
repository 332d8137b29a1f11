"""From the task's matrix to what the model sees, learnt from training rows alone and kept as plain numbers."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

MOST_CATEGORIES = 50
FEWEST_OF_A_CATEGORY = 3
SOFT_LIMIT = 3.0
MISSING = -1.0  # the code of a missing category; those of a column's own words are 0 and up

Floats = NDArray[np.float64]


class Encoder:
    """Numbers: median for what is missing, a column that says so, standard scale, long tails drawn in.

    Categories: one column each, the rare ones and those that training has not seen together; a missing value is a
    category of its own. Columns come out as the numbers, the marks of missing numbers, the categories.

    >>> encoder = Encoder(["number"]).fit(np.array([[0.0], [2.0], [np.nan]]))
    >>> encoder.impute(np.array([[np.nan]])).tolist()  # the median, and that it was missing
    [[1.0, 1.0]]
    >>> encoder.transform(np.array([[1.0]])).round(2)  # the mean; (0 - 1/3) / 0.471, drawn in
    array([[ 0.  , -0.69]], dtype=float32)

    The same numbers as scikit-learn's `SimpleImputer`, `StandardScaler` and `OneHotEncoder` in a `ColumnTransformer`.
    """

    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds = tuple(kinds)
        self.numbers = [index for index, kind in enumerate(self.kinds) if kind == "number"]
        self.words = [index for index, kind in enumerate(self.kinds) if kind == "category"]
        self.medians: Floats = np.zeros(0)  # of every number
        self.marked: list[int] = []  # columns of numbers that training has missing values of
        self.mean: Floats = np.zeros(0)  # of numbers, then of marks
        self.scale: Floats = np.zeros(0)
        self.frequent: list[Floats] = []  # of every category the codes with a column of their own
        self.rare: list[bool] = []  # whether all other codes have a column together

    def fit(self, matrix: Floats) -> Self:
        """Learn from these rows: float64 [N, columns], NaN for what is missing, categories as codes from 0."""
        missing = np.isnan(matrix)
        self.medians = np.array([median(matrix[~missing[:, index], index]) for index in self.numbers])
        self.marked = [index for index in self.numbers if missing[:, index].any()]
        imputed = self.impute(matrix)
        values = imputed[:, self.scaled]
        self.mean, self.scale = standard(values)
        found = [frequent(imputed[:, index]) for index in self.words]
        self.frequent, self.rare = [codes for codes, _ in found], [rare for _, rare in found]
        return self

    def transform(self, matrix: Floats) -> NDArray[np.float32]:
        """What the model sees: float32 [N, len(kinds_out)], finite whatever the rows hold."""
        return self.encode(self.impute(matrix))

    def impute(self, matrix: Floats) -> Floats:
        """Nothing missing any more: medians, codes of categories with `MISSING` among them, and marks at the end.

        The kinds of its columns are `kinds_imputed`; rows may be resampled in this form, and then encoded.
        """
        missing = np.isnan(matrix)
        instead = np.full(len(self.kinds), MISSING)
        instead[self.numbers] = self.medians
        return np.hstack([np.where(missing, instead, matrix), missing[:, self.marked]])

    def encode(self, imputed: Floats) -> NDArray[np.float32]:
        """Imputed rows as the model sees them."""
        found = np.zeros((len(imputed), len(self.kinds_out)), np.float32)
        column = len(self.scaled)
        found[:, :column] = soft_limit((imputed[:, self.scaled] - self.mean) / self.scale)
        for index, codes, rare in zip(self.words, self.frequent, self.rare, strict=True):
            equal = imputed[:, [index]] == codes
            found[:, column : column + len(codes)] = equal
            column += len(codes) + rare
            if rare:
                found[:, column - 1] = ~equal.any(axis=1)
        return found

    @property
    def scaled(self) -> list[int]:
        """The imputed columns that are scaled: numbers and marks."""
        return [*self.numbers, *range(len(self.kinds), len(self.kinds) + len(self.marked))]

    @property
    def kinds_imputed(self) -> tuple[str, ...]:
        """The kind of every imputed column; a mark is a category, as there is nothing between missing and not."""
        return self.kinds + ("category",) * len(self.marked)

    @property
    def kinds_out(self) -> tuple[str, ...]:
        """The kind of every encoded column."""
        words = sum(len(codes) + rare for codes, rare in zip(self.frequent, self.rare, strict=True))
        return ("number",) * len(self.scaled) + ("category",) * words

    def state(self) -> dict[str, Any]:
        """All that was learnt, as JSON can hold it."""
        return {
            "kinds": list(self.kinds),
            "medians": self.medians.tolist(),
            "marked": self.marked,
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "frequent": [codes.tolist() for codes in self.frequent],
            "rare": self.rare,
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self:
        """The encoder that had this state; it gives the same numbers, to the last bit."""
        encoder = cls(state["kinds"])
        encoder.medians, encoder.mean, encoder.scale = (
            np.array(state[name], np.float64) for name in ("medians", "mean", "scale")
        )
        encoder.marked, encoder.rare = list(state["marked"]), list(state["rare"])
        encoder.frequent = [np.array(codes, np.float64) for codes in state["frequent"]]
        return encoder


def median(values: Floats) -> float:
    """The median, and 0 of no values.

    >>> median(np.array([3.0, 1.0])), median(np.array([]))
    (2.0, 0.0)
    """
    return float(np.median(values)) if len(values) else 0.0


def standard(values: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of every column, which is 1 where the column is constant but for rounding."""
    rows, smallest = len(values), np.finfo(np.float64).eps
    mean = values.sum(axis=0) / rows
    far = values - mean
    variance = ((far**2).sum(axis=0) - far.sum(axis=0) ** 2 / rows) / rows
    constant = variance <= rows * smallest * variance + (rows * mean * smallest) ** 2
    return mean, np.sqrt(np.where(constant, 1.0, variance))


def frequent(codes: Floats) -> tuple[Floats, bool]:
    """The codes that get a column of their own, in order, a missing one last; and whether others are left.

    >>> frequent(np.array([0.0, 0, 0, 2, 2, -1, -1, -1]))
    (array([ 0., -1.]), True)
    """
    found, counts = np.unique(codes, return_counts=True)
    if len(found) and found[0] == MISSING:
        found, counts = np.roll(found, -1), np.roll(counts, -1)
    kept = counts >= FEWEST_OF_A_CATEGORY
    if kept.sum() >= MOST_CATEGORIES:
        kept = np.isin(np.arange(len(found)), np.argsort(counts, kind="stable")[1 - MOST_CATEGORIES :])
    return found[kept], not kept.all()


def soft_limit(values: Floats) -> Floats:
    """Near the identity around 0 and within (-3, 3) everywhere, so that no outlier rules the model.

    >>> soft_limit(np.array([0.1, 4.0, 1e6])).round(4).tolist()
    [0.0999, 2.4, 3.0]
    """
    limited: Floats = values / np.sqrt(1.0 + (values / SOFT_LIMIT) ** 2)
    return limited
