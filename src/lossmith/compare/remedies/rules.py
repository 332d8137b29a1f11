"""Decision rules: the plain argmax, and offsets on log p that are tuned on validation rows.

For two classes the offsets are a threshold, found exactly. For more they are a prior correction, found by exact
searches along one class after the other, which never ends below where it starts: at the plain argmax, or with costs at
the rule that would be best if the probabilities were right.
"""

import csv
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lossmith.errors import InputError
from lossmith.text import listing, quote, suggestion

SWEEPS = 5
SMALLEST_GAIN = 1e-12
MOST_COUNTS = 4_000_000  # numbers in one table of counts; beyond it the cut points are thinned out
ROUNDING = 1e-12  # what sums of weights leave of nothing; of whole numbers even one row in 1e12 is more
TIE = 1e-11
MOST_COST = 1e12
MISTAKES = ("fn", "fp")
COST = "cost"

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Metric = Callable[[Floats, Floats, Floats], Floats]


def macro_f1(hits: Floats, predicted: Floats, true: Floats) -> Floats:
    """F1 of every class, averaged; 0 for a class that is neither there nor predicted."""
    scores: Floats = (2 * hits / positive_or_one(predicted + true)).mean(axis=-1)
    return scores


def balanced_accuracy(hits: Floats, predicted: Floats, true: Floats) -> Floats:
    """The recall of every class, averaged over the classes that are there."""
    scores: Floats = (hits / positive_or_one(true)).sum(axis=-1) / (true > 0).sum()
    return scores


def accuracy(hits: Floats, predicted: Floats, true: Floats) -> Floats:
    """The share of rows decided rightly."""
    scores: Floats = hits.sum(axis=-1) / true.sum()
    return scores


def mcc(hits: Floats, predicted: Floats, true: Floats) -> Floats:
    """Matthews' correlation of decision and truth, in Gorodkin's form for any number of classes."""
    rows = true.sum()
    covariance = hits.sum(axis=-1) * rows - (predicted * true).sum(axis=-1)
    unlike = [rows**2 - (counts**2).sum(axis=-1) for counts in (predicted, true)]
    spread = np.where(np.minimum(*unlike) > ROUNDING * rows**2, unlike[0] * unlike[1], np.inf)
    scores: Floats = covariance / np.sqrt(spread)
    return scores


def mean_iou(hits: Floats, predicted: Floats, true: Floats) -> Floats:
    """Intersection over union, averaged over the classes that are there or predicted; the Jaccard index."""
    union = predicted + true - hits
    scores: Floats = (hits / positive_or_one(union)).sum(axis=-1) / (union > 0).sum(axis=-1)
    return scores


def positive_or_one(counts: Floats) -> Floats:
    """Denominators, 1 in place of 0."""
    return np.where(counts > 0, counts, 1.0)


def cost_of(costs: Sequence[float]) -> Metric:
    """The metric that is minus the mean cost of a row: ``-sum_k c_k (true_k - hits_k) / rows``; 0 is the best there is.

    ``costs`` [K], above 0: of deciding a row of class k wrongly, whatever for.

    >>> metric = cost_of([1, 10])
    >>> float(metric(np.array([80.0, 5.0]), np.array([85.0, 15.0]), np.array([90.0, 10.0])))   # -(10*1 + 5*10) / 100
    -0.6
    """
    price = np.asarray(costs, np.float64)

    def cost(hits: Floats, predicted: Floats, true: Floats) -> Floats:
        scores: Floats = -((true - hits) * price).sum(axis=-1) / true.sum()
        return scores

    return cost


METRICS: dict[str, Metric] = {
    "macro_f1": macro_f1,
    "balanced_accuracy": balanced_accuracy,
    "mcc": mcc,
    "accuracy": accuracy,
}
OF_MASKS: dict[str, Metric] = {"iou": mean_iou}


def decide(log_probability: Floats, offsets: Floats) -> Labels:
    """The class with the largest log p after the offsets."""
    decided: Labels = np.argmax(log_probability + offsets, axis=1).astype(np.int64)
    return decided


def mean_cost(costs: Sequence[float], confusion: ArrayLike) -> float:
    """The mean cost of a row from a confusion matrix, whose rows are the true classes: minus what `cost_of` gives.

    >>> mean_cost([1, 10], [[80, 10], [5, 5]])
    0.6
    """
    table = np.asarray(confusion, np.float64)
    return 0.0 - float(cost_of(costs)(np.diag(table), table.sum(axis=0), table.sum(axis=1)))


def default_offsets(costs: Sequence[float] | None, classes: int) -> Floats:
    """The rule before any tuning: log c with costs, which is best where probabilities are right, and 0 without.

    Deciding k costs ``sum_j c_j p_j - c_k p_k`` on average, least where ``log p_k + log c_k`` is largest.

    >>> default_offsets([1, 10], 2).round(4).tolist(), default_offsets(None, 2).tolist()
    ([0.0, 2.3026], [0.0, 0.0])

    Source: Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001, equation 1.
    """
    return np.log(np.asarray(costs, np.float64)) if costs is not None and len(costs) else np.zeros(classes)


def score(metric: str | Metric, decided: Labels, labels: Labels, classes: int, weights: Floats | None = None) -> float:
    """One decision metric, by its name or itself, of decided labels; weights say how much each row counts."""
    right = decided == labels
    hits = counted(labels[right], classes, None if weights is None else weights[right])
    predicted, true = (counted(rows, classes, weights) for rows in (decided, labels))
    return float(metric_of(metric)(hits, predicted, true))


def metric_of(metric: str | Metric, costs: Sequence[float] = ()) -> Metric:
    """A metric by its name, "cost" with what each class costs among them, or itself."""
    if not isinstance(metric, str):
        return metric
    return cost_of(costs) if metric == COST else {**METRICS, **OF_MASKS}[metric]


def counted(rows: Labels, classes: int, weights: Floats | None) -> Floats:
    """Rows of every class, or the sum of their weights."""
    counts: Floats = np.bincount(rows, weights=weights, minlength=classes).astype(np.float64)
    return counts


def tune(
    log_probability: Floats,
    labels: Labels,
    metric: str | Metric,
    weights: Floats | None = None,
    start: Floats | None = None,
) -> Floats:
    """The offsets that maximise a decision metric on these (validation) rows, searched from ``start`` on (0)."""
    classes = log_probability.shape[1]
    offsets = np.zeros(classes) if start is None else start.copy()
    best = score(metric, decide(log_probability, offsets), labels, classes, weights)
    for _ in range(SWEEPS):
        before = best
        for label in range(1 if classes == 2 else 0, classes):
            candidate = offsets.copy()
            candidate[label] = best_offset(log_probability, labels, offsets, label, metric_of(metric), weights)
            value = score(metric, decide(log_probability, candidate), labels, classes, weights)
            if value > best + SMALLEST_GAIN:
                best, offsets = value, candidate
        if best == before or classes == 2:
            break
    return offsets


def best_offset(
    log_probability: Floats, labels: Labels, offsets: Floats, label: int, metric: Metric, weights: Floats | None = None
) -> float:
    """The best offset of one class while the others stay: every row changes hands at one known value.

    Among equally good values it is the one nearest to the present offset, for the smallest change of rule.
    """
    classes = len(offsets)
    rivals = log_probability + offsets
    rivals[:, label] = -np.inf
    rival = rivals.argmax(axis=1)
    change = rivals.max(axis=1) - log_probability[:, label]
    cuts = cut_points(change, MOST_COUNTS // classes)
    moved = np.searchsorted(cuts, change)  # a row belongs to the label from this cut on
    each = np.ones(len(labels)) if weights is None else weights
    change_of_hits = (labels == label) * 1 - ((labels == rival) & (labels != label))
    hits = gains(moved, labels, change_of_hits * each, cuts, classes)
    hits += counted(labels[labels == rival], classes, each[labels == rival])
    predicted = -gains(moved, rival, each, cuts, classes)
    predicted += counted(rival, classes, each)
    predicted[:, label] = np.cumsum(np.bincount(moved, weights=each, minlength=len(cuts) + 1))[:-1]
    values = metric(hits, predicted, counted(labels, classes, each))
    best = np.flatnonzero(values >= values.max() - SMALLEST_GAIN)
    return float(cuts[best[np.argmin(np.abs(cuts[best] - offsets[label]))]])


def cut_points(change: Floats, most: int) -> Floats:
    """Values between the points where rows change hands, and one beyond each end.

    Between points that differ by rounding alone there is none: `decide` might see them in another order.
    """
    points = np.unique(change)
    points = points[np.linspace(0, len(points) - 1, min(len(points), most)).astype(int)]
    between = (points[1:] + points[:-1]) / 2
    apart = np.diff(points) > TIE * np.maximum(1.0, np.abs(between))
    return np.concatenate([[points[0] - 1.0], between[apart], [points[-1] + 1.0]])


def gains(moved: Labels, column: Labels, amount: Floats, cuts: Floats, classes: int) -> Floats:
    """For every cut and class: the sum of the amounts of the rows that have moved by then."""
    cells = np.bincount(moved * classes + column, weights=amount, minlength=(len(cuts) + 1) * classes)
    sums: Floats = np.cumsum(cells.reshape(-1, classes), axis=0, dtype=np.float64)[: len(cuts)]
    return sums


def parse_costs(text: str, classes: Sequence[str], positive: int | None = None) -> list[float]:
    """What a wrong decision costs for rows of each class, from ``--cost``; 1 for a class that is not named.

    ``fn`` is a missed row of the positive of two classes, ``fp`` one of the other; a class that has such a name itself
    keeps it. The last "=" of a part divides it; a name with a comma stands in double quotes.

    >>> parse_costs("fn=10,fp=2", ["no", "yes"], positive=1), parse_costs('"a,b"=3,c=d=0.5', ["a,b", "c=d", "e"])
    ([2.0, 10.0], [3.0, 0.5, 1.0])

    Raises `InputError` for anything else.
    """
    found: dict[int, float] = {}
    for part in parts_of(text):
        name, equals, amount = part.rpartition("=")
        if not equals:
            raise InputError(f'cost {quote(part)} must be a class and a number, such as "fn=10" or "rare=10".')
        index = class_number(name if name in classes else name.strip(), classes, positive)
        if index in found:
            raise InputError(f"class {quote(classes[index])} is given a cost twice; give one.")
        found[index] = cost_number(name, amount)
    return [found.get(index, 1.0) for index in range(len(classes))]


def parts_of(text: str) -> list[str]:
    """The parts of a list with commas, some of them in double quotes."""
    try:
        parts = [part for row in csv.reader([text], skipinitialspace=True) for part in row]
    except csv.Error as error:
        raise InputError(f"cost {quote(text)} cannot be read: {error}.") from error
    if not any(part.strip() for part in parts):
        raise InputError('cost is empty; give classes and numbers, such as "fn=10,fp=1" or "rare=10,common=1".')
    return parts


def class_number(name: str, classes: Sequence[str], positive: int | None) -> int:
    """The class whose rows a cost is about."""
    if name in classes:
        return list(classes).index(name)
    if name in MISTAKES and len(classes) == 2 and positive is not None:
        return positive if name == "fn" else 1 - positive
    if name in MISTAKES:
        raise InputError(
            f"cost {quote(name)} is for two classes, and this target has {len(classes)}; name them: {listing(classes)}."
        )
    hint = suggestion(name, [*classes, *(MISTAKES if len(classes) == 2 else ())])
    raise InputError(f"cost of an unknown class {quote(name)}{hint or f'; the classes are {listing(classes)}.'}")


def cost_number(name: str, amount: str) -> float:
    """A cost as a number."""
    try:
        value = float(amount)
    except ValueError:
        value = math.nan
    if not 0 < value <= MOST_COST:
        raise InputError(f"cost of {quote(name)} must be a number above 0 and at most 1e12, not {quote(amount)}.")
    return value
