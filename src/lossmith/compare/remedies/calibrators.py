"""Calibrators: probabilities put right after training, by what validation rows say of them.

A calibrator takes log p and gives log p, float64 with normalised rows. It is fitted on validation rows; where they
cannot say what to do, because all have one class for instance, it leaves log p as it is. Its state is plain JSON, so
that a saved model applies it as it was fitted.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lossmith.compare.remedies.rules import Floats, Labels
from lossmith.errors import InputError, ParameterError
from lossmith.text import quote, suggestion

LOWEST = -1e6  # of log p, instead of the logarithm of 0
MOST_TEMPERATURE = 100.0  # and 1 / it is the least
MOST_TAU = 3.0
FLAT = 1e-9  # priors that are this near each other are the same


class Calibrator(ABC):
    """The base: which validation rows count, and what happens where they say nothing."""

    name: ClassVar[str]
    title: ClassVar[str]
    about: ClassVar[str]

    def fit(self, log_p: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> "Calibrator":
        """Learn from validation rows: log p [N, C], class numbers [N], and weights [N] (default: all alike)."""
        weigh = np.ones(len(np.asarray(labels))) if weights is None else np.asarray(weights, np.float64)
        counts = weigh > 0  # a row of weight 0 is not there
        seen = np.asarray(labels, np.int64)[counts]
        self.reset()
        if len(np.unique(seen)) > 1:
            self.learn(bounded(log_p)[counts], seen, weigh[counts])
        return self

    @abstractmethod
    def reset(self) -> None:
        """Forget what was learnt: log p then stays as it is."""

    @abstractmethod
    def learn(self, log_p: Floats, labels: Labels, weights: Floats) -> None:
        """Learn from rows of at least two classes."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what another one has learnt; `ValueError`, `TypeError` or `KeyError` where it is not usable."""

    @abstractmethod
    def apply(self, log_p: ArrayLike) -> Floats:
        """Calibrated log p, [N, C] as given, float64."""

    def state(self) -> dict[str, Any]:
        """What `calibrator_of` needs to make this calibrator again, as JSON has it."""
        return {"name": self.name, **vars(self)}


class NoCalibrator(Calibrator):
    """Leaves log p as it is.

    >>> calibrator("none").state()
    {'name': 'none'}
    """

    name, title, about = "none", "None", "Probabilities as the network gives them."

    def reset(self) -> None:
        """Nothing is ever learnt."""

    def learn(self, log_p: Floats, labels: Labels, weights: Floats) -> None:
        """Nothing is ever learnt."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """There is nothing to take over."""

    def apply(self, log_p: ArrayLike) -> Floats:
        return np.asarray(log_p, np.float64)


class Temperature(Calibrator):
    """One number T for all: ``log_softmax(log p / T)``, with the T in [1/100, 100] of the least log-loss.

    Above 1 it makes probabilities less certain, below 1 more; no row's order of classes changes. Rows that are all
    decided rightly would have T -> 0, which is no estimate, and leave T = 1.

    >>> odds = np.log([[0.9, 0.1]] * 4)   # said 9 : 1, and it is 3 : 1 = sqrt(9) : 1
    >>> round(calibrator("temperature").fit(odds, [0, 0, 0, 1]).state()["temperature"], 6)
    2.0

    Source: Guo et al., "On Calibration of Modern Neural Networks", arXiv 1706.04599, section 4.2, equation 9.
    """

    name, title = "temperature", "Temperature scaling"
    about = "Cross-entropy whose log p are divided by one number, which validation rows choose by log-loss."
    temperature: float

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.temperature = 1.0

    def learn(self, log_p: Floats, labels: Labels, weights: Floats) -> None:
        if (log_of(log_p, labels) == log_p.max(axis=1)).all():
            return

        def risk(sharpness: float) -> float:
            return float(np.average(-log_of(normalised(math.exp(sharpness) * log_p), labels), weights=weights))

        most = math.log(MOST_TEMPERATURE)
        self.temperature = math.exp(-least(risk, -most, most))

    def restore(self, state: Mapping[str, Any]) -> None:
        self.temperature = number("temperature", state["temperature"], 1e-9)

    def apply(self, log_p: ArrayLike) -> Floats:
        return bounded(log_p) if self.temperature == 1.0 else normalised(bounded(log_p) / self.temperature)


class Isotonic(Calibrator):
    """A rising step curve from each class's probability to its frequency, then normalised over the classes.

    With two classes there is one curve, that of class 1. Values lie between those of the validation rows linearly, and
    no nearer to 0 or 1 than ``1 / (n + 2)`` with n rows (Laplace's rule), because n rows cannot show more. The curve of
    a class that no validation row has (or all have) is left out. Probabilities on one step are ties afterwards.

    >>> isotonic = calibrator("isotonic").fit(np.log([[0.9, 0.1], [0.6, 0.4], [0.4, 0.6], [0.1, 0.9]]), [0, 1, 0, 1])
    >>> np.exp(isotonic.apply(np.log([[0.5, 0.5], [0.05, 0.95]]))).round(4).tolist()   # 2/4 in the middle, 1 - 1/6
    [[0.5, 0.5], [0.1667, 0.8333]]

    Source: Zadrozny and Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability Estimates", KDD
    2002; scikit-learn's ``IsotonicRegression``.
    """

    name, title = "isotonic", "Isotonic calibration"
    about = "Cross-entropy whose probabilities are read off a rising curve, which validation rows draw for each class."
    curves: list[list[list[float]] | None]

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.curves = []

    def learn(self, log_p: Floats, labels: Labels, weights: Floats) -> None:
        p = np.exp(log_p)
        columns = range(1, 2) if p.shape[1] == 2 else range(p.shape[1])
        self.curves = [curve(p[:, column], labels == column, weights) for column in columns]

    def restore(self, state: Mapping[str, Any]) -> None:
        self.curves = [None if found is None else corners(*found) for found in state["curves"]]

    def apply(self, log_p: ArrayLike) -> Floats:
        if not self.curves:
            return bounded(log_p)
        p = np.exp(bounded(log_p))
        if p.shape[1] == 2:
            (one,) = (read(found, p[:, 1]) for found in self.curves)
            return np.log(np.column_stack([1 - one, one]))
        columns = [read(found, p[:, column]) for column, found in enumerate(self.curves)]
        raised = np.log(np.maximum(np.column_stack(columns), math.exp(-700)))
        return normalised(raised)


class PriorCorrection(Calibrator):
    """The classes' frequencies taken out again: ``log_softmax(log p - tau log prior)``.

    ``prior`` are the frequencies (or counts) of the classes among training rows. Of probabilities that are right, tau =
    1 makes those of a world in which all classes are equally frequent (Bayes' theorem). The tau in [0, 3] is that of
    the least log-loss on validation rows with every class there weighing the same, which is convex in tau. Equal
    frequencies leave tau = 0.

    >>> prior = calibrator("prior_correction", prior=[9, 1])
    >>> prior.tau = 1.0
    >>> np.exp(prior.apply(np.log([[0.9, 0.1], [0.5, 0.5]]))).round(6).tolist()   # as frequent as ever; 1/9 : 1/1
    [[0.5, 0.5], [0.1, 0.9]]

    Source: Menon et al., "Long-tail Learning via Logit Adjustment", arXiv 2007.07314, equation 9.
    """

    name, title = "prior_correction", "Prior correction"
    about = "Cross-entropy whose log p lose tau times the log frequency of their class, so that rare classes are named."

    def __init__(self, prior: ArrayLike) -> None:
        shares = np.asarray(prior, np.float64)
        if shares.ndim != 1 or not (np.isfinite(shares) & (shares > 0)).all():
            raise ParameterError(f"prior_correction: prior must be one number above 0 for each class, not {prior!r}")
        self.prior: list[float] = (shares / shares.sum()).tolist()
        self.reset()

    def reset(self) -> None:
        self.tau = 0.0

    def learn(self, log_p: Floats, labels: Labels, weights: Floats) -> None:
        log_prior = np.log(self.prior)
        if np.ptp(log_prior) < FLAT:
            return
        alike = weights / np.bincount(labels, weights=weights)[labels]

        def risk(tau: float) -> float:
            return float(np.average(-log_of(normalised(log_p - tau * log_prior), labels), weights=alike))

        self.tau = least(risk, 0.0, MOST_TAU)

    def restore(self, state: Mapping[str, Any]) -> None:
        self.tau = number("tau", state["tau"], 0.0)

    def apply(self, log_p: ArrayLike) -> Floats:
        return bounded(log_p) if self.tau == 0.0 else normalised(bounded(log_p) - self.tau * np.log(self.prior))


CALIBRATORS: dict[str, type[Calibrator]] = {
    made.name: made for made in (NoCalibrator, Temperature, Isotonic, PriorCorrection)
}


def calibrator(name: str, prior: ArrayLike | None = None) -> Calibrator:
    """A calibrator that has learnt nothing yet: "none", "temperature", "isotonic" or "prior_correction" (of a prior).

    Raises `ParameterError` for another name, and for a prior correction without a prior.
    """
    if name not in CALIBRATORS:
        hint = suggestion(str(name), CALIBRATORS) or f"; choose one of {', '.join(CALIBRATORS)}."
        raise ParameterError(f"unknown calibration {quote(name)}{hint}")
    if name != PriorCorrection.name:
        return CALIBRATORS[name]()
    if prior is None:
        raise ParameterError("prior_correction: prior must be the training rows of each class, not None")
    return PriorCorrection(prior)


def calibrator_of(state: Mapping[str, Any]) -> Calibrator:
    """The calibrator that has this `state`.

    >>> calibrator_of({"name": "temperature", "temperature": 2.0}).apply(np.log([[0.9, 0.1]])).round(4).tolist()
    [[-0.2877, -1.3863]]

    Raises `InputError` where the state is none of a calibrator.
    """
    try:
        made = calibrator(state["name"], state.get("prior"))
        made.restore(state)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the calibration of a saved model cannot be read ({error!r}); save it again.") from error
    return made


def curve(p: Floats, hit: NDArray[np.bool_], weights: Floats) -> list[list[float]] | None:
    """The corners of a class's rising curve, kept from 0 and 1; None where all rows or none are of the class."""
    from sklearn.isotonic import IsotonicRegression

    if hit.all() or not hit.any():
        return None
    margin = 1 / (len(p) + 2)
    fitted = IsotonicRegression(y_min=margin, y_max=1 - margin).fit(p, hit.astype(np.float64), sample_weight=weights)
    return [fitted.X_thresholds_.tolist(), fitted.y_thresholds_.tolist()]


def read(found: list[list[float]] | None, p: Floats) -> Floats:
    """The curve's values, flat beyond its ends; without a curve p itself."""
    return p if found is None else np.interp(p, found[0], found[1])


def corners(x: Sequence[float], y: Sequence[float]) -> list[list[float]]:
    """The corners of a curve, checked: x rising, y between 0 and 1, equally many."""
    places, values = np.asarray(x, np.float64), np.asarray(y, np.float64)
    inside = np.isfinite(places).all() and ((values > 0) & (values < 1)).all()
    if places.ndim != 1 or places.shape != values.shape or not inside or (np.diff(places) <= 0).any():
        raise ValueError("a curve must have rising places and as many values between 0 and 1")
    return [places.tolist(), values.tolist()]


def number(name: str, value: Any, low: float) -> float:
    """A finite number that is not below ``low``."""
    if not isinstance(value, int | float) or not math.isfinite(value) or value < low:
        raise ValueError(f"{name} is {value!r}")
    return float(value)


def bounded(log_p: ArrayLike) -> Floats:
    """As float64, and finite."""
    return np.maximum(np.asarray(log_p, np.float64), LOWEST)


def normalised(scores: Floats) -> Floats:
    """The scores less their logsumexp, row by row."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    log_p: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return log_p


def log_of(log_p: Floats, labels: Labels) -> Floats:
    """The log p of the right classes."""
    return log_p[np.arange(len(labels)), labels]


def least(risk: Callable[[float], float], low: float, high: float) -> float:
    """Where a risk with one valley is least."""
    from scipy.optimize import minimize_scalar

    return float(minimize_scalar(risk, bounds=(low, high), method="bounded", options={"xatol": 1e-9}).x)
