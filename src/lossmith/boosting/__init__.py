"""Losses for gradient boosting: custom objectives of XGBoost, LightGBM and CatBoost, and estimators around them.

>>> from lossmith import boosting
>>> boosting.xgboost("0.7*focal + 0.3*poly")
XGBoostObjective("0.7*focal + 0.3*poly", hessian="upper")
"""

from typing import TYPE_CHECKING, Any

from lossmith.boosting.derivatives import Rule
from lossmith.boosting.derivatives import gradient_and_hessian as gradient_and_hessian
from lossmith.boosting.objective import CatBoostObjective, LightGBMObjective, XGBoostObjective
from lossmith.flow.loss import Loss
from lossmith.flow.sum import WeightedSum

if TYPE_CHECKING:
    from lossmith.boosting.estimator import LossClassifier as LossClassifier
    from lossmith.boosting.estimator import LossRegressor as LossRegressor


def xgboost(loss: str | Loss | WeightedSum, hessian: Rule = "upper") -> XGBoostObjective:
    """The loss as XGBoost's ``objective=`` and natively ``obj=``; for `hessian` see `gradient_and_hessian`."""
    return XGBoostObjective(loss, hessian)


def lightgbm(loss: str | Loss | WeightedSum, hessian: Rule = "upper") -> LightGBMObjective:
    """The loss as LightGBM's ``objective=``; for `hessian` see `gradient_and_hessian`."""
    return LightGBMObjective(loss, hessian)


def catboost(loss: str | Loss | WeightedSum, hessian: Rule = "upper") -> CatBoostObjective:
    """The loss as CatBoost's ``loss_function=`` and ``eval_metric=``; for `hessian` see `gradient_and_hessian`."""
    return CatBoostObjective(loss, hessian)


def __getattr__(name: str) -> Any:
    if name in ("LossClassifier", "LossRegressor"):  # they need scikit-learn, which the objectives do not
        from lossmith.boosting import estimator

        return getattr(estimator, name)
    raise AttributeError(f"module 'lossmith.boosting' has no attribute {name!r}")
