"""Resampling: training rows drawn, made up or dealt into batches so that rare classes are seen more often.

Every function here is given the rows of one training part and nothing else, so that no other row can enter. What is
drawn or made up once, before training, changes the rows (`resampled`); what is drawn in every epoch anew changes the
batches (`batches`); an ensemble trains several networks, each on rows of its own (`balanced_subsets`).
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lossmith.compare.remedies.rules import Floats, Labels
from lossmith.errors import InputError, ParameterError
from lossmith.extras import extra
from lossmith.text import suggestion

if TYPE_CHECKING:
    from torch import Tensor

NEIGHBOURS = 5  # of SMOTE and ADASYN, as in their papers
POOL = 5_000  # rows of a class among which neighbours are sought: SMOTEN compares all pairs of them
MOST_NUMBERS = 20_000_000  # that SMOTENC may hold at once for the neighbours of the rows it makes
ENSEMBLE = 5


class Resampling(NamedTuple):
    """One way to resample, and what it changes: "rows" and "made-up rows" before training, "batches", "ensemble"."""

    kind: str
    title: str
    about: str


RESAMPLINGS: dict[str, Resampling] = {
    "random_over": Resampling(
        "rows",
        "Random over-sampling",
        "Cross-entropy on training rows in which rows of rarer classes are repeated at random until all classes are "
        "equally frequent.",
    ),
    "random_under": Resampling(
        "rows",
        "Random under-sampling",
        "Cross-entropy on as many training rows of every class as the rarest has, drawn at random.",
    ),
    "smote": Resampling(
        "made-up rows",
        "SMOTE",
        "Cross-entropy on training rows and made-up ones between neighbours of the same rarer class, until all classes "
        "are equally frequent.",
    ),
    "adasyn": Resampling(
        "made-up rows",
        "ADASYN",
        "Cross-entropy on training rows and made-up ones of rarer classes, more of them where other classes are near.",
    ),
    "balanced_batches": Resampling(
        "batches",
        "Balanced batches",
        "Cross-entropy on batches with equally many rows of every class.",
    ),
    "square_root_batches": Resampling(
        "batches",
        "Square-root batches",
        "Cross-entropy on rows drawn so that a class is as frequent as the square root of its rows.",
    ),
    "balanced_ensemble": Resampling(
        "ensemble",
        "Balanced ensemble",
        f"The mean probability of {ENSEMBLE} networks, each trained by cross-entropy on a random under-sample of its "
        "own.",
    ),
}


def resampled(name: str, matrix: Floats, labels: Labels, kinds: Sequence[str], seed: int) -> tuple[Floats, Labels]:
    """Training rows after "random_over", "random_under", "smote" or "adasyn", the same for the same seed.

    ``matrix`` [N, columns] is imputed and not yet encoded: numbers as they are, categories as codes; ``kinds`` says
    "number" or "category" of every column, ``labels`` [N] are class numbers. Rows that are made up stand at the end.
    SMOTE and ADASYN measure distance in standard deviations of the columns and use 5 neighbours, or as many as a
    smaller class has. SMOTE is SMOTENC where there are category columns and SMOTEN where there is nothing else; a
    made-up row has the categories of its neighbours' majority. Where no row of a class has a neighbour of another one,
    ADASYN does not say where to make rows up, and that class gets SMOTE's.

    >>> matrix, labels = np.array([[0.0], [1.0], [2.0], [8.0], [9.0]]), np.array([0, 0, 0, 1, 1])
    >>> rows, classes = resampled("smote", matrix, labels, ["number"], seed=0)
    >>> len(rows), np.bincount(classes).tolist(), bool(8 <= rows[5, 0] <= 9)
    (6, [3, 3], True)

    Raises `InputError` for SMOTE and ADASYN of a class with one row, and for ADASYN where there are category columns;
    `MissingError` without imbalanced-learn.

    Source: Chawla et al., "SMOTE: Synthetic Minority Over-sampling Technique", arXiv 1106.1813; He et al., "ADASYN:
    Adaptive Synthetic Sampling Approach for Imbalanced Learning", IJCNN 2008; both as imbalanced-learn has them.
    """
    if expected(name, "rows", "made-up rows") == "rows":
        rows = drawn_rows(name, labels, seed)
        return matrix[rows], labels[rows]
    numeric = np.array([kind == "number" for kind in kinds])
    if name == "adasyn" and not numeric.all():
        raise InputError(
            f"adasyn: it makes rows up between numbers, and {int((~numeric).sum())} of the columns are categories; "
            "use smote, which takes both."
        )
    counts = np.bincount(labels)
    centre, spread = (
        np.where(numeric, matrix.mean(0), 0.0),
        np.where(numeric & (np.ptp(matrix, 0) > 0), matrix.std(0), 1.0),
    )
    scaled = (matrix - centre) / spread
    made_up = {
        int(label): made_up_rows(name, scaled, labels, int(label), numeric, seed)
        for label in np.flatnonzero((counts > 0) & (counts < counts.max()))
    }
    return (
        np.concatenate([matrix, *(rows * spread + centre for rows in made_up.values())]),
        np.concatenate([labels, *(np.full(len(rows), label) for label, rows in made_up.items())]),
    )


def drawn_rows(name: str, labels: Labels, seed: int) -> Labels:
    """The numbers of the training rows that "random_over" or "random_under" takes, some of them repeatedly.

    For whatever else belongs to a row: its image, its text, its weight.

    >>> np.bincount(np.array([0, 0, 0, 1])[drawn_rows("random_over", np.array([0, 0, 0, 1]), seed=0)]).tolist()
    [3, 3]

    Raises `MissingError` without imbalanced-learn.
    """
    expected(name, "rows")
    sampler = {"random_over": "over_sampling.RandomOverSampler", "random_under": "under_sampling.RandomUnderSampler"}
    made = imblearn(sampler[name])(random_state=generated(seed))
    made.fit_resample(np.zeros((len(labels), 1)), labels)
    rows: Labels = made.sample_indices_.astype(np.int64)
    return rows


def balanced_subsets(labels: Labels, seed: int, subsets: int = ENSEMBLE) -> list[Labels]:
    """The row numbers of each network of a balanced ensemble: random under-samples that differ.

    Source: Liu, Wu and Zhou, "Exploratory Undersampling for Class-Imbalance Learning", IEEE TSMC-B 2009 (EasyEnsemble,
    with networks for its boosted members).
    """
    return [drawn_rows("random_under", labels, generated(seed, network)) for network in range(subsets)]


def batches(name: str, labels: Labels, size: int, seed: int) -> Iterator[tuple["Tensor", ...]]:
    """For every epoch, without end, its batches of row numbers for "balanced_batches" or "square_root_batches".

    An epoch has as many batches as one of all rows in batches of ``size``. A balanced batch has equally many rows of
    each class, so it may be smaller than ``size``; where there are more classes than ``size``, it has one row of each
    of that many classes.

    >>> first = next(batches("balanced_batches", np.array([0] * 9 + [1] * 3), size=4, seed=0))
    >>> len(first), [int((rows < 9).sum()) for rows in first]
    (3, [2, 2, 2])

    Raises `DomainError` for one class alone. Source: see `BalancedBatchSampler` and `SquareRootSampler`.
    """
    import torch

    from lossmith.sampling import BalancedBatchSampler, SquareRootSampler

    expected(name, "batches")
    if name == "square_root_batches":
        rows = SquareRootSampler(labels, seed=seed)
        while True:
            yield torch.split(torch.tensor(list(rows)), size)
    classes = min(len(np.unique(labels)), size)
    balanced = BalancedBatchSampler(
        labels,
        classes_per_batch=classes,
        samples_per_class=size // classes,
        num_batches=-(-len(labels) // size),
        seed=seed,
    )
    while True:
        yield tuple(torch.tensor(batch) for batch in balanced)


def made_up_rows(name: str, matrix: Floats, labels: Labels, label: int, numeric: Any, seed: int) -> Floats:
    """New rows of one class, about as many as it lacks; its neighbours are its own, so classes do not mix."""
    counts = np.bincount(labels)
    if counts[label] < 2:
        raise InputError(
            f"{name}: a made-up row lies between two rows of its class, and class number {label} (from 0) has 1 "
            "training row; use random_over, or merge that class with another one."
        )
    # The same share of all classes, so that who is near whom stays as it was.
    pool = np.random.default_rng([seed, label]).random(len(labels)) < POOL / counts[label]
    matrix, labels, missing = matrix[pool], labels[pool], int(counts.max() - counts[label])
    if name == "adasyn":
        return adasyn_rows(matrix, labels, label, missing, seed)
    return smote_rows(matrix, labels, label, missing, numeric, seed)


def smote_rows(matrix: Floats, labels: Labels, label: int, missing: int, numeric: Any, seed: int) -> Floats:
    """As many new rows of one class by SMOTE, in portions where SMOTENC would need much memory."""
    options: dict[str, Any] = {"k_neighbors": min(NEIGHBOURS, int((labels == label).sum()) - 1)}
    if numeric.all():
        sampler, portion = imblearn("over_sampling.SMOTE"), missing
    elif not numeric.any():
        sampler, portion = imblearn("over_sampling.SMOTEN"), missing
    else:
        sampler, options["categorical_features"] = imblearn("over_sampling.SMOTENC"), np.flatnonzero(~numeric).tolist()
        width = int(numeric.sum()) + sum(len(np.unique(column)) for column in matrix[:, ~numeric].T)
        portion = max(1, MOST_NUMBERS // (NEIGHBOURS * width))
    starts = range(0, missing, portion)
    found = [
        added(sampler(random_state=generated(seed, label, start), **options), matrix, labels, label, size)
        for start, size in ((start, min(portion, missing - start)) for start in starts)
    ]
    return np.concatenate(found)


def adasyn_rows(matrix: Floats, labels: Labels, label: int, missing: int, seed: int) -> Floats:
    """About as many new rows of one class by ADASYN; by SMOTE where no other class is near."""
    neighbours = min(NEIGHBOURS, int((labels == label).sum()) - 1)
    sampler = imblearn("over_sampling.ADASYN")(random_state=generated(seed, label), n_neighbors=neighbours)
    try:
        return added(sampler, matrix, labels, label, missing)
    except RuntimeError:  # no neighbour of another class: every weight is 0/0
        return smote_rows(matrix, labels, label, missing, np.ones(matrix.shape[1], bool), seed)
    except ValueError as error:  # so few are missing that each row's share of them rounds to none
        if "No samples will be generated" not in str(error):
            raise
        return matrix[:0]


def added(sampler: Any, matrix: Floats, labels: Labels, label: int, count: int) -> Floats:
    """What a sampler of imbalanced-learn puts behind the rows that it is given."""
    sampler.set_params(sampling_strategy={label: int((labels == label).sum()) + count})
    rows: Floats = sampler.fit_resample(matrix, labels)[0][len(matrix) :]
    return rows


def imblearn(path: str) -> Any:
    """A sampler of imbalanced-learn by its path, such as ``over_sampling.SMOTE``."""
    module, _, name = path.partition(".")
    return getattr(extra(f"imblearn.{module}", "resampling"), name)


def generated(*seeds: int) -> int:
    """One seed from several, unlike those of other numbers."""
    return int(np.random.SeedSequence(seeds).generate_state(1)[0])


def expected(name: str, *kinds: str) -> str:
    """The kind of a resampling, which has to be one of these."""
    if name in RESAMPLINGS and RESAMPLINGS[name].kind in kinds:
        return RESAMPLINGS[name].kind
    known = [other for other, resampling in RESAMPLINGS.items() if resampling.kind in kinds]
    hint = suggestion(str(name), known) or f"; choose one of {', '.join(known)}."
    raise ParameterError(f"resampling: {name!r} is none that changes {' or '.join(kinds)}{hint}")
