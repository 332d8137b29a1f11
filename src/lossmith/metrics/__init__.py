"""How good predictions are: labels, scores, numbers and translations. scikit-learn and sacrebleu do the work.

Predictions come first, as in the losses: ``f1(pred, y)``, ``roc_auc(prob, y)``, ``mae(pred, y)``,
``bleu(hypotheses, references)``. What the data leave undefined is None: never NaN, never a made-up 0.

>>> from lossmith import metrics
>>> metrics.f1(["a", "b", "b", "a"], ["a", "b", "a", "a"], positive="b")
0.6666...
>>> metrics.mape([1.0, 2.0], [0.0, 2.0]) is None  # a target of 0 has no percentage
True
"""

from lossmith.metrics.classification import (
    ClassFigures,
    ConfusionMatrix,
    accuracy,
    average_precision,
    balanced_accuracy,
    brier,
    confusion_matrix,
    ece,
    f1,
    log_loss,
    mcc,
    per_class,
    precision,
    recall,
    roc_auc,
)
from lossmith.metrics.encoded import BINS, DECISIONS, Values, calibration, decision, ranking
from lossmith.metrics.regression import coverage, interval_width, mae, mape, mse, pinball, r2, rmse, smape
from lossmith.metrics.translation import TextScore, bleu, chrf, ter

__all__ = [
    "BINS",
    "DECISIONS",
    "ClassFigures",
    "ConfusionMatrix",
    "TextScore",
    "Values",
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "bleu",
    "brier",
    "calibration",
    "chrf",
    "confusion_matrix",
    "coverage",
    "decision",
    "ece",
    "f1",
    "interval_width",
    "log_loss",
    "mae",
    "mape",
    "mcc",
    "mse",
    "per_class",
    "pinball",
    "precision",
    "r2",
    "ranking",
    "recall",
    "rmse",
    "roc_auc",
    "smape",
    "ter",
]
