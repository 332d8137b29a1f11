"""What a verdict asks about each kind of problem, and the words for it; no figure is computed here."""

from dataclasses import dataclass

Path = tuple[str, ...]
"""Where a figure is in a record, such as ``("decision", "tuned", "macro_f1")``."""

KINDS = ("binary", "multiclass", "multilabel", "segmentation", "regression")
LESS_IS_BETTER = frozenset(
    [
        "log_loss",
        "brier",
        "ece",
        "mae",
        "rmse",
        "median_ae",
        "mape",
        "smape",
        "interval_width",
        "conformal_width",
        "cost",
    ]
)

DECISIONS = ("macro_f1", "balanced_accuracy", "mcc", "accuracy")
ERRORS = ("mae", "rmse", "median_ae", "mape", "smape")


@dataclass(frozen=True)
class Asked:
    """One question: is any arm better than the baseline in ``metric``?

    ``start`` opens its answer; ``does`` and ``fails`` are said of an arm that is better or worse. A question that is
    not ``decisive`` informs and recommends nothing. The last decisive question is in the metric that the user chose.
    """

    name: str
    start: str
    does: str
    fails: str
    metric: str
    path: Path
    rule: str | None = None
    decisive: bool = True

    @property
    def larger(self) -> bool:
        """Whether larger figures are better."""
        return self.metric not in LESS_IS_BETTER


@dataclass(frozen=True)
class Words:
    """How a kind of problem talks: its baseline in a sentence, and when there is no signal at all."""

    baseline: str
    signal: Path  # a figure that is above ``chance`` where the features tell anything
    chance: float
    nothing: str  # said where no arm is shown to be above chance


CLASSES = Words(
    "cross-entropy", ("ranking", "roc_auc"), 0.5, "no arm is shown to rank better than chance (the best ROC-AUC is"
)
NUMBERS = Words(
    "squared error",
    ("errors", "skill"),
    0.0,
    "no arm is shown to predict better than the median of the training rows (the best skill, 1 - MAE / MAE of the "
    "median, is",
)


def metrics_of(kind: str) -> tuple[str, ...]:
    """The metrics that ``--metric`` may choose, the default first."""
    if kind == "regression":
        return ERRORS
    return ("macro_f1", "iou", *DECISIONS[1:]) if kind == "segmentation" else DECISIONS


def words_of(kind: str) -> Words:
    """The words of a kind of problem."""
    return NUMBERS if kind == "regression" else CLASSES


def questions(kind: str, metric: str) -> tuple[Asked, ...]:
    """What is asked of a kind of problem when ``metric`` decides.

    >>> [asked.metric for asked in questions("binary", "mcc")]
    ['average_precision', 'mcc', 'log_loss']
    >>> [asked.metric for asked in questions("regression", "rmse")]
    ['mae', 'rmse']
    """
    if kind == "regression":
        other = "mae" if metric == "rmse" else "rmse"
        return (error_question(other), error_question(metric))
    return (
        Asked("rank", "Ranking", "ranks better", "ranks worse", "average_precision", ("ranking", "average_precision")),
        Asked(
            "decide",
            "Deciding (every rule tuned)",
            "decides better",
            "decides worse",
            metric,
            ("decision", "tuned", metric),
            rule="tuned",
        ),
        Asked(
            "trust",
            "Probabilities",
            "gives better probabilities",
            "gives worse probabilities",
            "log_loss",
            ("calibration", "log_loss"),
            decisive=False,
        ),
    )


PLAIN_ERRORS = {
    "mae": ("Typical error", "has a smaller mean error", "has a larger mean error"),
    "rmse": ("Large errors", "has a smaller root mean squared error", "has a larger root mean squared error"),
    "median_ae": ("Error in the middle", "has a smaller median error", "has a larger median error"),
    "mape": ("Relative error", "has a smaller percentage error", "has a larger percentage error"),
    "smape": ("Relative error", "has a smaller percentage error", "has a larger percentage error"),
}


def error_question(metric: str) -> Asked:
    """Whether an arm errs less than squared error does, by one measure of error."""
    start, does, fails = PLAIN_ERRORS[metric]
    return Asked(metric, start, does, fails, metric, ("errors", metric))


def board(kind: str, metric: str) -> dict[str, tuple[str, ...]]:
    """The groups of figures of a leaderboard, each with its metrics."""
    if kind == "regression":
        return {"errors": (*ERRORS, "r2", "skill")}
    shown = DECISIONS if metric in DECISIONS else (metric, *DECISIONS)
    return {
        "ranking": ("average_precision", "roc_auc"),
        "decision": shown,
        "calibration": ("log_loss", "brier", "ece"),
    }
