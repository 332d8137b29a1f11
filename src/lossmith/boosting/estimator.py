"""scikit-learn estimators: gradient boosting under any loss, by whichever of the three libraries."""

import inspect
from typing import Any

from lossmith.boosting.derivatives import Rule
from lossmith.boosting.eligible import of_residuals
from lossmith.boosting.libraries import LIBRARIES, Rows
from lossmith.errors import DomainError, ParameterError
from lossmith.extras import extra
from lossmith.flow.loss import Loss
from lossmith.flow.parameter import nearest
from lossmith.flow.sum import WeightedSum

extra("sklearn", "boosting")

import numpy as np  # noqa: E402
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin  # noqa: E402
from sklearn.utils.multiclass import check_classification_targets  # noqa: E402
from sklearn.utils.validation import (  # noqa: E402
    _check_sample_weight,
    check_is_fitted,
    column_or_1d,
    validate_data,
)


class _LossBooster(BaseEstimator):  # type: ignore[misc]
    """What classifier and regressor share: parameters of the library as their own, starts, early stopping."""

    loss: str | Loss | WeightedSum
    booster: str
    hessian: Rule

    # scikit-learn reads parameters off the signature; those of the library are whatever else was set.
    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Its own parameters and those of the library."""
        return {**super().get_params(deep), **self._booster_params()}

    def set_params(self, **params: Any) -> "_LossBooster":
        """Set parameters, those of the library too."""
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def _booster_params(self) -> dict[str, Any]:
        own = inspect.signature(type(self).__init__).parameters
        return {k: v for k, v in vars(self).items() if k not in own and k[0] != "_" and k[-1] != "_" and k[:2] != "n_f"}

    def _fit(self, X: Any, target: Any, weight: Any, evals: list[Rows], classes: int) -> None:  # noqa: N803
        params = self._booster_params()
        if taken := {"objective", "loss_function", "num_class", "init_score", "base_score"} & params.keys():
            raise ParameterError(f"{type(self).__name__}: {sorted(taken)[0]} follows from the loss and the data")
        library = LIBRARIES[self.booster]
        objective = library.objective(self.loss, self.hessian)
        self._check_kind(objective.parts)
        self.start_ = np.asarray(objective.start(target, weight, classes=classes))
        self.booster_ = library.fit(objective, params, (X, target, weight), evals, self.start_)

    def _check_kind(self, parts: list[tuple[float, Loss]]) -> None:
        raise NotImplementedError

    def _admit(self, X: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:  # noqa: N803
        """Checked data: a table keeps its columns for the library, anything else becomes an array."""
        if self.booster not in LIBRARIES:
            near = nearest(str(self.booster), LIBRARIES)
            raise ParameterError(
                f"{type(self).__name__}: booster must be one of {', '.join(LIBRARIES)}, not {self.booster!r}{near}"
            )
        if y is None:
            raise ValueError(f"{type(self).__name__}: requires y to be passed, but the target y is None")
        if _is_table(X):
            validate_data(self, X, skip_check_array=True)
            y = column_or_1d(y, warn=True)
        else:
            X, y = validate_data(  # noqa: N806
                self, X, y, accept_sparse=self._sparse(), ensure_all_finite=False, ensure_min_samples=2, dtype="numeric"
            )
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        return X, y, weight

    def _scores(self, X: Any) -> Any:  # noqa: N803
        check_is_fitted(self)
        if _is_table(X):
            validate_data(self, X, reset=False, skip_check_array=True)
        else:
            X = validate_data(  # noqa: N806
                self, X, reset=False, accept_sparse=self._sparse(), ensure_all_finite=False, dtype="numeric"
            )
        return LIBRARIES[self.booster].scores(self.booster_, X, self.start_)

    def _sparse(self) -> Any:
        known = LIBRARIES.get(self.booster)
        return "csr" if known is not None and known.sparse else False

    def _evaluation(self, eval_set: Any, encode: Any) -> list[Rows]:
        """(X, y) or (X, y, weight) each, with targets as the booster has them."""
        sets = [] if eval_set is None else [eval_set] if isinstance(eval_set, tuple) else list(eval_set)
        return [(X, encode(np.asarray(y)), rest[0] if rest else None) for X, y, *rest in sets]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = bool(self._sparse())
        tags.target_tags.single_output = True
        return tags


class LossClassifier(ClassifierMixin, _LossBooster):  # type: ignore[misc]
    """Gradient boosting for classes under any likelihood or margin loss, as a scikit-learn estimator.

    Two classes have one score, the log-odds of the second; more have one each. `start_` is the score it starts from,
    the constant that minimises the loss, and with it cross-entropy gives the library's own model. Labels may be
    strings. `predict_proba` is the sigmoid or softmax of the scores; a loss that does not estimate probabilities (focal
    is too timid, hinge has none) puts out numbers there that order rows well but are not shares.

    Parameters:
        loss: a specification such as ``"focal(gamma=2)"``, or a loss.
        booster: "lightgbm", "xgboost" or "catboost".
        hessian: "upper", "exact" or "unit", see `gradient_and_hessian`.
        params: anything that the library's own scikit-learn estimator takes. With ``early_stopping_rounds`` and an
            `eval_set` the mean loss decides.

    Raises `ParameterError` for losses and boosters that are none, `DomainError` for evaluation labels that were not
    among the training labels.

    >>> import numpy as np
    >>> X = np.arange(40.0)[:, None]
    >>> model = LossClassifier("focal(gamma=1)", min_child_samples=5).fit(X, np.where(X[:, 0] < 10, "few", "many"))
    >>> model.predict([[3.0], [30.0]])
    array(['few', 'many'], dtype='<U4')
    """

    def __init__(
        self,
        loss: str | Loss | WeightedSum = "cross_entropy",
        booster: str = "lightgbm",
        hessian: Rule = "upper",
        **params: Any,
    ) -> None:
        self.loss, self.booster, self.hessian = loss, booster, hessian
        self.set_params(**params)

    def fit(self, X: Any, y: Any, sample_weight: Any = None, eval_set: Any = None) -> "LossClassifier":  # noqa: N803
        """Fit to X [N, F] and labels y [N]; `eval_set` is a list of (X, y) or (X, y, weight)."""
        X, y, weight = self._admit(X, y, sample_weight)  # noqa: N806
        check_classification_targets(y)
        self.classes_, target = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"LossClassifier: y has one class, {self.classes_.tolist()[0]!r}; a classifier needs at least two"
            )
        count = len(self.classes_)
        self._fit(X, target, weight, self._evaluation(eval_set, self._encode), count if count > 2 else 1)
        return self

    def _encode(self, y: Any) -> Any:
        known = np.isin(y, self.classes_)
        if not known.all():
            raise DomainError(
                f"LossClassifier: eval_set must have labels that were seen in training; {int((~known).sum())} of "
                f"{len(y)} are not, first {y[~known].tolist()[0]!r}"
            )
        return np.searchsorted(self.classes_, y)

    def _check_kind(self, parts: list[tuple[float, Loss]]) -> None:
        if of_residuals(parts):
            raise ParameterError(
                f"LossClassifier: {self.loss} is a loss of numbers; take one of classes, or LossRegressor"
            )

    def decision_function(self, X: Any) -> Any:  # noqa: N803
        """The raw scores: log-odds [N] of two classes, or one per class [N, C]."""
        return self._scores(X)

    def predict_proba(self, X: Any) -> Any:  # noqa: N803
        """The probabilities of the classes, [N, C], in the order of `classes_`."""
        scores = np.asarray(self._scores(X), dtype=np.float64)
        if scores.ndim == 1:
            scores = np.stack([np.zeros_like(scores), scores], 1)
        shares = np.exp(scores - scores.max(1, keepdims=True))
        return shares / shares.sum(1, keepdims=True)

    def predict(self, X: Any) -> Any:  # noqa: N803
        """The likeliest class of each row."""
        scores = self._scores(X)
        return self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(1)]


class LossRegressor(RegressorMixin, _LossBooster):  # type: ignore[misc]
    """Gradient boosting for numbers under any residual loss, as a scikit-learn estimator.

    `start_` is the constant that minimises the loss. Whatever the units of the target, a row counts for about 1 in what
    the library adds up, as in its own squared error, which ``loss="mse"`` gives to the digit. Where the loss takes the
    logarithm of a rate (``poisson_nll``), `predict` gives that logarithm.

    Parameters:
        loss: a specification such as ``"huber(delta=2)"``, or a loss.
        booster: "lightgbm", "xgboost" or "catboost".
        hessian: "upper", "exact" or "unit", see `gradient_and_hessian`.
        params: anything that the library's own scikit-learn estimator takes. With ``early_stopping_rounds`` and an
            `eval_set` the mean loss decides.

    Raises `ParameterError` for losses and boosters that are none, `DomainError` for targets that the loss does not
    define.

    >>> import numpy as np
    >>> X = np.arange(40.0)[:, None]
    >>> model = LossRegressor("mae", n_estimators=300, min_child_samples=5).fit(X, 1000 * (X[:, 0] > 19))
    >>> np.abs(model.predict([[3.0], [30.0]])).round()
    array([   0., 1000.])
    """

    def __init__(
        self,
        loss: str | Loss | WeightedSum = "mse",
        booster: str = "lightgbm",
        hessian: Rule = "upper",
        **params: Any,
    ) -> None:
        self.loss, self.booster, self.hessian = loss, booster, hessian
        self.set_params(**params)

    def fit(self, X: Any, y: Any, sample_weight: Any = None, eval_set: Any = None) -> "LossRegressor":  # noqa: N803
        """Fit to X [N, F] and numbers y [N]; `eval_set` is a list of (X, y) or (X, y, weight)."""
        X, y, weight = self._admit(X, y, sample_weight)  # noqa: N806
        target = self._numbers(y)
        self._fit(X, target, weight, self._evaluation(eval_set, self._numbers), 1)
        return self

    def _numbers(self, y: Any) -> Any:
        target = np.asarray(y, dtype=np.float64)
        if not np.isfinite(target).all():
            raise DomainError("LossRegressor: y must be finite; it contains NaN or infinity")
        return target

    def _check_kind(self, parts: list[tuple[float, Loss]]) -> None:
        if not of_residuals(parts):
            raise ParameterError(
                f"LossRegressor: {self.loss} is a loss of classes; take one of numbers, or LossClassifier"
            )

    def predict(self, X: Any) -> Any:  # noqa: N803
        """The prediction of each row, in the units of the target."""
        return self._scores(X)


def _is_table(X: Any) -> bool:  # noqa: N803
    """Whether its columns may hold categories, which the libraries read themselves."""
    return hasattr(X, "columns") or hasattr(X, "iloc")
