"""The three libraries behind the estimators: how each is fitted from a starting score, and gives raw scores back."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lossmith.boosting.objective import CatBoostObjective, LightGBMObjective, Objective, XGBoostObjective
from lossmith.extras import extra

Rows = tuple[Any, Any, Any]  # X, encoded targets, weights or None


@dataclass(frozen=True)
class Library:
    """One of them: its kind of objective, how to fit a model with it, and its raw scores without the start."""

    objective: type[Objective]
    fit: Callable[[Any, dict[str, Any], Rows, list[Rows], Any], Any]
    scores: Callable[[Any, Any, Any], Any]
    sparse: bool


def for_rows(start: Any, rows: int) -> Any:
    """The starting score, a number or one per class, for each row."""
    import numpy as np

    return np.broadcast_to(start, (rows, *start.shape)).copy()


def _fit_xgboost(
    objective: XGBoostObjective, params: dict[str, Any], train: Rows, evals: list[Rows], start: Any
) -> Any:
    xgboost = extra("xgboost", "boosting")
    if evals:
        params = {"eval_metric": objective.mean_loss, "disable_default_eval_metric": True} | params
    # The classifier says how many scores a row has; the regressor leaves its one score as it is.
    kind = xgboost.XGBClassifier if start.ndim else xgboost.XGBRegressor
    model = kind(**params, objective=objective)
    model.fit(
        train[0],
        train[1],
        sample_weight=train[2],
        base_margin=for_rows(start, len(train[1])),
        eval_set=[(X, y) for X, y, _ in evals] or None,
        sample_weight_eval_set=_weights(evals),
        base_margin_eval_set=[for_rows(start, len(y)) for _, y, _ in evals] or None,
        verbose=False,
    )
    return model


def _scores_xgboost(model: Any, X: Any, start: Any) -> Any:  # noqa: N803
    return model.predict(X, output_margin=True, base_margin=for_rows(start, X.shape[0]))


def _fit_lightgbm(
    objective: LightGBMObjective, params: dict[str, Any], train: Rows, evals: list[Rows], start: Any
) -> Any:
    lightgbm = extra("lightgbm", "boosting")
    params = {"verbose": -1, "metric": "None"} | params | ({"num_class": len(start)} if start.ndim else {})
    model = lightgbm.LGBMModel(**params, objective=objective)
    held: dict[str, Any] = {"eval_set": [(X, y) for X, y, _ in evals] or None}
    if evals and "eval_X" in inspect.signature(model.fit).parameters:  # from 4.7 on eval_set is deprecated
        held = {"eval_X": tuple(X for X, _, _ in evals), "eval_y": tuple(y for _, y, _ in evals)}
    model.fit(
        train[0],
        train[1],
        sample_weight=train[2],
        init_score=for_rows(start, len(train[1])),
        eval_sample_weight=_weights(evals),
        eval_init_score=[for_rows(start, len(y)) for _, y, _ in evals] or None,
        eval_metric=objective.mean_loss,
        **held,
    )
    return model


def _scores_lightgbm(model: Any, X: Any, start: Any) -> Any:  # noqa: N803
    return model.predict(X, raw_score=True) + start


def _fit_catboost(
    objective: CatBoostObjective, params: dict[str, Any], train: Rows, evals: list[Rows], start: Any
) -> Any:
    catboost = extra("catboost", "boosting")
    # One Newton step per tree, as the other two do: with it CatBoost's own log-loss and this one are the same.
    given = {
        "loss_function": objective,
        "eval_metric": objective,
        "leaf_estimation_method": "Newton",
        "leaf_estimation_iterations": 1,
        "allow_writing_files": False,
        "verbose": False,
    }
    pools = [
        catboost.Pool(X, y, weight=w, baseline=for_rows(start, len(y)), cat_features=params.get("cat_features"))
        for X, y, w in (train, *evals)
    ]
    model = catboost.CatBoost(given | params | ({"classes_count": len(start)} if start.ndim else {}))
    model.fit(pools[0], eval_set=pools[1:] or None)
    return model


def _scores_catboost(model: Any, X: Any, start: Any) -> Any:  # noqa: N803
    return model.predict(X, prediction_type="RawFormulaVal") + start


def _weights(evals: list[Rows]) -> list[Any] | None:
    """The weights of the evaluation sets, 1 where one has none and another has; None if none has any."""
    import numpy as np

    if all(w is None for _, _, w in evals):
        return None
    return [np.ones(len(y)) if w is None else w for _, y, w in evals]


LIBRARIES = {
    "lightgbm": Library(LightGBMObjective, _fit_lightgbm, _scores_lightgbm, sparse=True),
    "xgboost": Library(XGBoostObjective, _fit_xgboost, _scores_xgboost, sparse=True),
    "catboost": Library(CatBoostObjective, _fit_catboost, _scores_catboost, sparse=False),
}
