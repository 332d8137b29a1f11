"""A loss as what XGBoost, LightGBM and CatBoost call a custom objective, and as their custom metric."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lossmith.boosting.derivatives import FLOOR, SPREAD, Rule, as_scored, derivatives
from lossmith.boosting.eligible import of_residuals, terms
from lossmith.boosting.start import constant
from lossmith.errors import DomainError, ParameterError
from lossmith.flow.loss import Loss
from lossmith.flow.parameter import param
from lossmith.flow.partial import divide
from lossmith.flow.sum import WeightedSum
from lossmith.losses.likelihood import LikelihoodLoss, PartitionLoss
from lossmith.losses.margin import MarginLoss
from lossmith.spec import create

_RULE = param(default="upper", one_of=("upper", "exact", "unit"))


class Objective:
    """A loss with what all boosters need: derivatives, the score to start from, and the mean loss as a metric.

    Targets are as boosters have them: 0 and 1, class indices, or numbers. Those of margin losses may be 0 and 1 too.
    """

    def __init__(self, loss: str | Loss | WeightedSum, hessian: Rule = "upper") -> None:
        self.loss = create(loss)
        self.hessian: Rule = _RULE.parse(type(self).__name__, "hessian", hessian)
        self.parts = terms(self.loss)

    def __repr__(self) -> str:
        return f'{type(self).__name__}("{self.loss}", hessian="{self.hessian}")'

    def spread(self, classes: int) -> float:
        """What bounds the Hessian over classes, as a multiple of ``p (1 - p)``."""
        return SPREAD

    def derivatives(self, scores: Any, target: Any, weight: Any = None) -> tuple[Any, Any]:
        """Gradient and Hessian of every score, as arrays of its shape and dtype.

        Of losses in the units of the target, under ``hessian="upper"``, both are divided by the mean Hessian of the
        call. A loss times a constant is the same loss; so a row counts for 1, as in the booster's own squared error,
        and what is added to sums of Hessians or compared with them (``reg_lambda``, ``min_child_weight``,
        ``min_sum_hessian_in_leaf``) means the same whatever the units are.
        """
        z, t, w = self._tensors(scores, target, weight)
        gradient, curvature = derivatives(self.parts, z, t, w, self.hessian, self.spread(z.shape[-1]))
        if self.hessian == "upper" and of_residuals(self.parts):
            counts = float(len(z)) if w is None else w.sum()
            mean = (curvature.sum() / counts).clamp(min=FLOOR)
            gradient, curvature = gradient / mean, curvature / mean
        shape = scores.shape
        return gradient.reshape(shape).numpy(), curvature.reshape(shape).numpy()

    def start(self, target: Any, sample_weight: Any = None, *, classes: int | None = None) -> Any:
        """The constant score that minimises the loss of these targets: a number, or an array of one per class.

        `classes` is how many scores a row has: 1 for regression and for two classes, which is what is taken for
        targets that are 0 and 1; otherwise the number of classes that are seen.

        >>> round(float(Objective("cross_entropy").start([0, 0, 0, 1])), 4)   # log(1 / 3)
        -1.0986
        >>> round(Objective("mae").start([1.0, 2.0, 30.0]), 6)
        2.0
        """
        import numpy as np

        t = torch.as_tensor(np.array(target))
        if classes is None:
            rows = any(isinstance(loss, LikelihoodLoss) and loss.link == "softmax" for _, loss in self.parts)
            classes = int(t.max()) + 1 if rows and len(t) else 1
            classes = classes if classes > 2 else 1
        w = None if sample_weight is None else torch.as_tensor(np.array(sample_weight), dtype=torch.float64)
        found = constant(self.parts, self._labels(t, classes, torch.float64), w, classes)
        return found.numpy() if classes > 1 else float(found)

    def metric(self, scores: Any, target: Any, weight: Any = None) -> float:
        """The mean loss."""
        z, t, w = self._tensors(scores, target, weight)
        z = z.to(torch.float64)
        total = 0.0
        for factor, loss in self.parts:
            one, scores_, target_ = as_scored(loss, z, t)
            values, share = one.values(scores_, target_, sample_weight=None if w is None else w.to(z))
            count = torch.tensor(values.numel()) if share is None else share.sum()
            total += factor * float(divide(values.sum(), count))
        return total

    def _tensors(self, scores: Any, target: Any, weight: Any) -> tuple[Tensor, Tensor, Tensor | None]:
        import numpy as np

        z = torch.from_numpy(np.array(scores))  # a copy: boosters hand out their own memory
        z = z if z.is_floating_point() else z.to(torch.float64)
        z = z[:, 0] if z.dim() == 2 and z.shape[1] == 1 else z
        t = torch.from_numpy(np.array(target))
        w = None if weight is None or len(weight) == 0 else torch.from_numpy(np.array(weight)).to(z)
        return z, self._labels(t, z.shape[1] if z.dim() == 2 else 1, z.dtype), w

    def _labels(self, target: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
        """Targets as the loss takes them, from what boosters keep them as: 0 and 1 for signs, floats for classes."""
        if classes > 1 and target.dim() == 1:
            labels = [type(loss).__name__ for _, loss in self.parts if getattr(loss, "link", "softmax") == "sigmoid"]
            if labels or not all(isinstance(loss, LikelihoodLoss | PartitionLoss) for _, loss in self.parts):
                raise ParameterError(
                    f"{(labels or [str(self.loss)])[0]}: it is a loss of one score per row, and the booster has "
                    f'{classes}; over classes take one with link="softmax", such as cross_entropy or focal'
                )
            return self._indices(target)
        target = target.to(dtype)
        signs = any(isinstance(loss, MarginLoss) for _, loss in self.parts)
        return torch.where(target == 0, -1.0, target) if signs else target

    def _indices(self, target: Tensor) -> Tensor:
        """Class indices, which boosters keep as floats."""
        index = target.to(torch.int64)
        if target.is_floating_point() and bool((index != target).any()):
            raise DomainError(f"{self!r}: targets must be class indices 0, 1, ...; some are not whole numbers")
        return index

    def init_score(self, target: Any, sample_weight: Any = None, *, classes: int | None = None) -> Any:
        """`start` for every row, [N] or [N, classes]: LightGBM's ``init_score``, XGBoost's ``base_margin``, CatBoost's
        ``baseline``. Give the same row to `predict`, or add it to the raw scores.
        """
        import numpy as np

        found = np.asarray(self.start(target, sample_weight, classes=classes))
        return np.broadcast_to(found, (len(target), *found.shape)).copy()


class XGBoostObjective(Objective):
    """For ``XGBClassifier(objective=...)``, ``XGBRegressor`` and ``xgboost.train(..., obj=...)``.

    `mean_loss` is the custom metric: ``eval_metric=objective.mean_loss``, natively ``custom_metric=``.
    """

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tuple[Any, Any]:
        if hasattr(y_pred, "get_label"):  # natively: the scores, and the DMatrix
            y_true, y_pred, sample_weight = y_pred.get_label(), y_true, y_pred.get_weight()
        return self.derivatives(y_pred, y_true, sample_weight)

    def mean_loss(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The mean loss of raw scores."""
        if hasattr(y_pred, "get_label"):
            return "mean_loss", self.metric(y_true, y_pred.get_label(), y_pred.get_weight())
        return self.metric(y_pred, y_true, sample_weight)

    def base_score(self, target: Any, sample_weight: Any = None, *, classes: int | None = None) -> Any:
        """`start` as XGBoost's ``base_score``: the probability where it is the log-odds, as for "binary:logistic"."""
        found = self.start(target, sample_weight, classes=classes)
        if of_residuals(self.parts):
            return found
        tensor = torch.as_tensor(found)
        return float(tensor.sigmoid()) if tensor.dim() == 0 else tensor.tolist()


class LightGBMObjective(Objective):
    """For ``LGBMClassifier(objective=...)``, ``LGBMRegressor`` and ``lightgbm.train({"objective": ...}, data)``.

    `mean_loss` is the custom metric: ``fit(..., eval_metric=objective.mean_loss)``, natively ``feval=``. The bound over
    K classes is ``K / (K - 1) p (1 - p)`` for cross-entropy, as in LightGBM itself.
    """

    def __call__(self, y_true: Any, y_pred: Any, weight: Any = None) -> tuple[Any, Any]:
        return self.derivatives(*_of_lightgbm(y_true, y_pred, weight))

    def mean_loss(self, y_true: Any, y_pred: Any, weight: Any = None) -> tuple[str, float, bool]:
        """The mean loss of raw scores: its name, its value, and that more of it is not better."""
        return "mean_loss", self.metric(*_of_lightgbm(y_true, y_pred, weight)), False

    def spread(self, classes: int) -> float:
        return classes / (classes - 1) if classes > 1 else SPREAD


def _of_lightgbm(y_true: Any, y_pred: Any, weight: Any) -> tuple[Any, Any, Any]:
    """(scores, targets, weights), given by the scikit-learn interface or by the native one."""
    if hasattr(y_pred, "get_label"):
        return y_true, y_pred.get_label(), y_pred.get_weight()
    return y_pred, y_true, weight


class CatBoostObjective(Objective):
    """For ``CatBoost(loss_function=..., eval_metric=...)`` and its classes: both take the same object.

    CatBoost asks row by row where there are several classes, which is slow whatever the loss is.
    """

    def calc_ders_range(self, approxes: Any, targets: Any, weights: Any) -> list[tuple[float, float]]:
        """First and second derivative of minus the loss, of some rows."""
        import numpy as np

        given = (np.asarray(x, dtype=np.float64) if x is not None else None for x in (approxes, targets, weights))
        gradient, curvature = self.derivatives(*given)
        return list(zip((-gradient).tolist(), (-curvature).tolist(), strict=True))

    def calc_ders_multi(self, approx: Any, target: float, weight: float) -> tuple[list[float], list[list[float]]]:
        """First derivatives, and the matrix of second ones with its diagonal alone, of minus the loss of one row."""
        import numpy as np

        gradient, curvature = self.derivatives(np.array([approx]), np.array([target]), np.array([weight]))
        return (-gradient[0]).tolist(), np.diag(-curvature[0]).tolist()

    def is_max_optimal(self) -> bool:
        """Whether more of the metric is better: it is a loss."""
        return False

    def evaluate(self, approxes: Sequence[Any], target: Any, weight: Any) -> tuple[float, float]:
        """The sum of the loss and of the weights."""
        import numpy as np

        scores = np.array(approxes, dtype=np.float64)
        total = float(len(target)) if weight is None else float(np.sum(weight))
        return self.metric(scores.T if len(scores) > 1 else scores[0], np.array(target), weight) * total, total

    def get_final_error(self, error: float, weight: float) -> float:
        """The mean."""
        return error / weight if weight > 0 else 0.0
