"""From the task's matrix to what the model sees, learnt from training rows alone."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

MOST_CATEGORIES = 50
FEWEST_OF_A_CATEGORY = 3
SOFT_LIMIT = 3.0


def encoder(kinds: Sequence[str]) -> ColumnTransformer:
    """Numbers: median for what is missing, a column that says so, standard scale, long tails drawn in.

    Categories: one column each, the rare ones together; a missing value is a category of its own.
    """
    numbers = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        FunctionTransformer(soft_limit),
    )
    categories = OneHotEncoder(
        max_categories=MOST_CATEGORIES,
        min_frequency=FEWEST_OF_A_CATEGORY,
        handle_unknown="infrequent_if_exist",
        sparse_output=False,
        dtype=np.float32,
    )
    columns = {kind: [index for index, other in enumerate(kinds) if other == kind] for kind in ("number", "category")}
    steps = [("numbers", numbers, columns["number"]), ("categories", categories, columns["category"])]
    return ColumnTransformer([step for step in steps if step[2]], sparse_threshold=0.0)


def soft_limit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Near the identity around 0 and within (-3, 3) everywhere, so that no outlier rules the model."""
    limited: NDArray[np.float64] = values / np.sqrt(1.0 + (values / SOFT_LIMIT) ** 2)
    return limited
