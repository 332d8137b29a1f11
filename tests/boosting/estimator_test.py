"""The estimators as scikit-learn estimators, against the libraries' own, and where the libraries have traps."""

import pickle
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import lossmith
from lossmith.boosting import LossClassifier, LossRegressor
from lossmith.errors import DomainError, ParameterError

pytestmark = pytest.mark.filterwarnings("ignore:.*numba.*")
SMALL: dict[str, dict[str, Any]] = {
    "lightgbm": {"n_estimators": 15, "max_depth": 3, "n_jobs": 1},
    "xgboost": {"n_estimators": 15, "max_depth": 3, "n_jobs": 1},
    "catboost": {"n_estimators": 15, "max_depth": 3, "thread_count": 1, "learning_rate": 0.3},
}
# What the libraries themselves do not promise: weights are not repetitions where rows are counted, binned or drawn.
KNOWN = {"check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data"}


def of(kind: type, booster: str, loss: str | None = None, **more: Any) -> Any:
    return kind(**({} if loss is None else {"loss": loss}), booster=booster, **SMALL[booster], **more)


# One of each; the checks take long, and with CatBoost over classes, which asks row by row, two minutes.
@pytest.mark.filterwarnings("ignore")  # the libraries' own, about sparse arrays
@pytest.mark.parametrize(("kind", "booster"), [(LossClassifier, "lightgbm"), (LossRegressor, "xgboost")])
def test_scikit_learn_finds_nothing_wrong(kind: type, booster: str) -> None:
    options = {"lightgbm": {"min_child_samples": 1}, "xgboost": {}, "catboost": {}}[booster]
    estimator = of(kind, booster, **options)
    # Parameters of the library are attributes that the signature does not name, as in the libraries' own estimators.
    known = dict.fromkeys(KNOWN | {"check_no_attributes_set_in_init"}, "see KNOWN")
    found = check_estimator(estimator, on_fail=None, on_skip=None, expected_failed_checks=known)
    assert not [(one["check_name"], one["exception"]) for one in found if one["status"] == "failed"]
    assert len(found) > 40


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
def test_cross_entropy_is_the_library_s_own_model(load: Any) -> None:
    x, y = load(return_X_y=True)
    names = np.array(["zeta", "alpha", "mu"])[y]  # the order of the classes is that of the words
    w = np.random.default_rng(0).uniform(0.5, 2, len(y))
    codes = np.unique(names, return_inverse=True)[1]
    one = of(LossClassifier, "xgboost").fit(x, names, sample_weight=w)
    own = xgboost.XGBClassifier(**SMALL["xgboost"]).fit(x, codes, sample_weight=w)
    np.testing.assert_allclose(one.predict_proba(x), own.predict_proba(x), atol=1e-5)
    two = of(LossClassifier, "lightgbm").fit(x, names, sample_weight=w)
    theirs = lightgbm.LGBMClassifier(**SMALL["lightgbm"], verbose=-1).fit(x, names, sample_weight=w)
    np.testing.assert_allclose(two.predict_proba(x), theirs.predict_proba(x), atol=1e-5)
    assert list(two.classes_) == list(theirs.classes_)
    assert (two.predict(x) == theirs.predict(x)).all()


def test_squared_error_is_the_library_s_own_model() -> None:
    x, y = load_diabetes(return_X_y=True)
    for booster, own in (("xgboost", xgboost.XGBRegressor), ("lightgbm", lightgbm.LGBMRegressor)):
        model = of(LossRegressor, booster).fit(x, y)
        quiet = {"verbose": -1} if booster == "lightgbm" else {}
        np.testing.assert_allclose(model.predict(x), own(**SMALL[booster], **quiet).fit(x, y).predict(x), rtol=1e-5)


@pytest.mark.parametrize("booster", SMALL)
@pytest.mark.parametrize("spec", ["mae", "huber", "log_cosh", "quantile", "mape"])
def test_robust_losses_learn_whatever_the_units(booster: str, spec: str) -> None:
    x, y = load_diabetes(return_X_y=True)
    errors = []
    for scale in (1e-2, 1e4):
        model = of(LossRegressor, booster, spec).set_params(n_estimators=60).fit(x, y * scale)
        errors.append(np.abs(model.predict(x) - y * scale).mean() / scale)
    least = np.abs(y - np.median(y)).mean()
    assert max(errors) < 0.8 * least
    if spec in ("mae", "quantile", "mape"):  # the others have a length in the units of the target
        assert errors[0] == pytest.approx(errors[1], rel=0.02)


@pytest.mark.parametrize("booster", SMALL)
def test_early_stopping_by_the_loss_itself(booster: str) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    x, x_, y, y_ = train_test_split(x, y, random_state=0)
    options = SMALL[booster] | {"n_estimators": 300, "learning_rate": 0.5, "early_stopping_rounds": 5}
    model = LossClassifier("focal", booster, **options).fit(x, y, eval_set=[(x_, y_)])
    best = {"lightgbm": "best_iteration_", "xgboost": "best_iteration", "catboost": "best_iteration_"}[booster]
    assert 0 < getattr(model.booster_, best) < 250
    weighted = LossClassifier("focal", booster, **options).fit(x, y, eval_set=(x_, y_, np.ones(len(y_))))
    np.testing.assert_allclose(weighted.predict_proba(x_), model.predict_proba(x_))
    with pytest.raises(DomainError, match="first 7"):
        clone(model).fit(x, y, eval_set=[(x_, np.full(len(y_), 7))])


def test_an_evaluation_set_may_lack_a_class() -> None:
    x, y = load_wine(return_X_y=True)
    few = y < 2
    for booster in ("lightgbm", "xgboost"):
        model = of(LossClassifier, booster, "focal").fit(x, y, eval_set=[(x[few], y[few])])
        assert model.predict_proba(x[few]).shape == (few.sum(), 3)


@pytest.mark.parametrize("booster", SMALL)
def test_margin_losses_and_signs(booster: str) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    for labels in (y, 2 * y - 1):
        model = of(LossClassifier, booster, "squared_hinge").fit(x, labels)
        assert model.score(x, labels) > 0.95


def test_three_classes_of_catboost() -> None:
    x, y = load_wine(return_X_y=True)
    model = LossClassifier("focal", "catboost", n_estimators=3, learning_rate=0.5, thread_count=1).fit(x[::3], y[::3])
    assert model.score(x, y) > 0.85
    assert model.predict_proba(x).sum(1) == pytest.approx(1)


@pytest.mark.parametrize("booster", SMALL)
def test_it_goes_where_estimators_go(booster: str) -> None:
    x, y = load_breast_cancer(return_X_y=True, as_frame=True)
    model = of(LossClassifier, booster, "0.7*focal(gamma=1) + 0.3*poly")
    assert clone(model).get_params() == model.get_params()
    assert model.get_params()["max_depth"] == 3
    fitted = clone(model).fit(x, y)
    again = pickle.loads(pickle.dumps(fitted))  # noqa: S301
    np.testing.assert_array_equal(again.predict_proba(x), fitted.predict_proba(x))
    assert list(fitted.feature_names_in_) == list(x.columns)
    if booster == "lightgbm":
        assert cross_val_score(make_pipeline(StandardScaler(), model), x, y, cv=3).min() > 0.9
        grid = GridSearchCV(model, {"loss": ["focal", lossmith.PolyLoss()], "num_leaves": [4, 8]}, cv=2).fit(x, y)
        assert grid.best_estimator_.get_params()["num_leaves"] in (4, 8)


def test_categories_and_gaps_reach_the_library() -> None:
    rng = np.random.default_rng(0)
    x = pd.DataFrame({"a": rng.normal(size=200), "kind": pd.Categorical(rng.choice(["x", "y", "z"], 200))})
    y = (x["kind"] == "y").to_numpy()
    x.loc[::7, "a"] = np.nan
    model = LossClassifier("focal", n_estimators=30, min_child_samples=5, n_jobs=1).fit(x, y)
    assert model.score(x, y) == 1
    assert log_loss(y, model.predict_proba(x)) < 0.5


def test_what_does_not_fit_is_said() -> None:
    x, y = load_wine(return_X_y=True)
    for model, words in [
        (LossClassifier(booster="lightgmb"), "did you mean"),
        (LossClassifier("mse"), "LossRegressor"),
        (LossRegressor("focal"), "LossClassifier"),
        (LossClassifier(objective="binary"), "objective follows"),
        (LossClassifier("logistic"), "one score per row"),
        (LossRegressor("rmse"), "mse"),
    ]:
        with pytest.raises(ParameterError, match=words):
            model.fit(x, y)
    with pytest.raises(DomainError):
        LossRegressor("mape").fit(x, np.zeros(len(x)))
