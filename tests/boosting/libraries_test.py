"""Against the libraries' own objectives: the same trees, the same predictions, by both of their interfaces."""

import copy
import pickle
from typing import Any

import catboost
import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from lossmith import boosting
from lossmith.boosting.objective import Objective
from lossmith.errors import DomainError, ParameterError

pytestmark = pytest.mark.filterwarnings("ignore:Failed to import numba", "ignore:.*numba.*")
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
ROUNDS = 12

Data = tuple[Any, Any, Any]


def data(kind: str, weighted: bool) -> Data:
    load = {"binary": load_breast_cancer, "classes": load_wine, "numbers": load_diabetes}[kind]
    x, y = load(return_X_y=True)
    return x, y.astype(float), np.random.default_rng(0).uniform(0.2, 3, len(y)) if weighted else None


LOSS = {"binary": "cross_entropy", "classes": "cross_entropy", "numbers": "mse"}
EVERY = [(kind, weighted) for kind in LOSS for weighted in (False, True)]


@pytest.mark.parametrize(("kind", "weighted"), EVERY)
def test_xgboost_by_the_scikit_learn_interface(kind: str, weighted: bool) -> None:
    x, y, w = data(kind, weighted)
    objective = boosting.xgboost(LOSS[kind])
    cls = xgboost.XGBRegressor if kind == "numbers" else xgboost.XGBClassifier
    own = cls(n_estimators=ROUNDS, max_depth=3, n_jobs=1)
    ours = cls(**own.get_params() | {"objective": objective, "base_score": objective.base_score(y, w)})
    predict = [m.fit(x, y, sample_weight=w) for m in (own, ours)]
    one, two = (m.predict(x) if kind == "numbers" else m.predict_proba(x) for m in predict)
    np.testing.assert_allclose(two, one, **CLOSE)


@pytest.mark.parametrize(("kind", "weighted"), EVERY)
def test_xgboost_by_its_own_interface(kind: str, weighted: bool) -> None:
    x, y, w = data(kind, weighted)
    objective = boosting.xgboost(LOSS[kind])
    word = {"binary": "binary:logistic", "classes": "multi:softprob", "numbers": "reg:squarederror"}[kind]
    params = {"objective": word, "max_depth": 3, "nthread": 1} | ({"num_class": 3} if kind == "classes" else {})
    own = xgboost.train(params, xgboost.DMatrix(x, y, weight=w), ROUNDS)
    matrix = xgboost.DMatrix(x, y, weight=w)
    found: dict[str, Any] = {}
    ours = xgboost.train(
        params | {"base_score": objective.base_score(y, w), "disable_default_eval_metric": True},
        matrix,
        ROUNDS,
        obj=objective,
        custom_metric=objective.mean_loss,
        evals=[(matrix, "train")],
        evals_result=found,
        verbose_eval=False,
    )
    np.testing.assert_allclose(ours.predict(matrix), own.predict(matrix), **CLOSE)
    margin = ours.predict(matrix, output_margin=True)
    assert found["train"]["mean_loss"][-1] == pytest.approx(objective.metric(margin, y, w), rel=1e-5)


@pytest.mark.parametrize(("kind", "weighted"), EVERY)
def test_lightgbm_by_the_scikit_learn_interface(kind: str, weighted: bool) -> None:
    x, y, w = data(kind, weighted)
    objective = boosting.lightgbm(LOSS[kind])
    cls = lightgbm.LGBMRegressor if kind == "numbers" else lightgbm.LGBMClassifier
    options = {"n_estimators": ROUNDS, "max_depth": 3, "n_jobs": 1, "verbose": -1}
    start = objective.init_score(y, w)
    own = cls(**options).fit(x, y, sample_weight=w)
    ours = cls(**options, objective=objective).fit(x, y, sample_weight=w, init_score=start)
    np.testing.assert_allclose(ours.predict(x, raw_score=True) + start, own.predict(x, raw_score=True), **CLOSE)


@pytest.mark.parametrize(("kind", "weighted"), EVERY)
def test_lightgbm_by_its_own_interface(kind: str, weighted: bool) -> None:
    x, y, w = data(kind, weighted)
    objective = boosting.lightgbm(LOSS[kind])
    word = {"binary": "binary", "classes": "multiclass", "numbers": "regression"}[kind]
    params = {"max_depth": 3, "num_threads": 1, "verbose": -1} | ({"num_class": 3} if kind == "classes" else {})
    own = lightgbm.train(params | {"objective": word}, lightgbm.Dataset(x, y, weight=w), ROUNDS)
    start = objective.init_score(y, w)
    found: dict[str, Any] = {}
    rows = lightgbm.Dataset(x, y, weight=w, init_score=start.reshape(-1, order="F"))
    ours = lightgbm.train(
        params | {"objective": objective, "metric": "None"},
        rows,
        ROUNDS,
        valid_sets=[rows],
        valid_names=["train"],
        feval=objective.mean_loss,
        callbacks=[lightgbm.record_evaluation(found)],
    )
    raw = ours.predict(x, raw_score=True) + start
    np.testing.assert_allclose(raw, own.predict(x, raw_score=True), **CLOSE)
    assert found["train"]["mean_loss"][-1] == pytest.approx(objective.metric(raw, y, w), rel=1e-5)


@pytest.mark.parametrize("kind", ["binary", "numbers"])
@pytest.mark.parametrize("weighted", [False, True])
def test_catboost_with_one_newton_step_per_tree(kind: str, weighted: bool) -> None:
    x, y, w = data(kind, weighted)
    objective = boosting.catboost(LOSS[kind])
    start = objective.start(y, w)
    options = {
        "iterations": ROUNDS,
        "depth": 3,
        "learning_rate": 0.2,
        "thread_count": 1,
        "verbose": False,
        "allow_writing_files": False,
        "leaf_estimation_method": "Newton",
        "leaf_estimation_iterations": 1,
        "bootstrap_type": "No",
        "random_strength": 0,
    }
    pool = catboost.Pool(x, y, weight=w, baseline=np.full(len(y), start))
    own = catboost.CatBoost(options | {"loss_function": "Logloss" if kind == "binary" else "RMSE"}).fit(pool)
    ours = catboost.CatBoost(options | {"loss_function": objective, "eval_metric": objective}).fit(pool)
    one, two = (m.predict(x, prediction_type="RawFormulaVal") for m in (own, ours))
    np.testing.assert_allclose(two, one, **CLOSE)


def test_catboost_over_classes_asks_row_by_row() -> None:
    objective = boosting.catboost("focal")
    scores = np.array([[0.5, -1.0, 0.2], [0.0, 0.0, 0.0]])
    gradient, curvature = objective.derivatives(scores, np.array([2.0, 0.0]), np.array([1.0, 3.0]))
    for i, (label, weight) in enumerate([(2.0, 1.0), (0.0, 3.0)]):
        first, second = objective.calc_ders_multi(list(scores[i]), label, weight)
        np.testing.assert_allclose(first, -gradient[i])
        np.testing.assert_allclose(second, np.diag(-curvature[i]))
    total, weights = objective.evaluate(list(scores.T), np.array([2.0, 0.0]), np.array([1.0, 3.0]))
    assert total / weights == pytest.approx(objective.metric(scores, np.array([2, 0]), np.array([1.0, 3.0])))
    assert not objective.is_max_optimal()


@pytest.mark.parametrize(
    ("spec", "target", "weight", "start"),
    [
        ("cross_entropy", [0, 0, 0, 1], None, np.log(1 / 3)),
        ("cross_entropy", [0, 0, 0, 1], [1, 1, 1, 3], 0.0),
        ("cross_entropy(weight=[1, 3])", [0, 0, 0, 1], None, 0.0),
        ("logistic", [0, 0, 0, 1], None, np.log(1 / 3)),
        ("exponential", [0, 0, 0, 1], None, np.log(1 / 3) / 2),
        ("balanced_cross_entropy", [0, 0, 0, 1], None, 0.0),
        ("mse", [1, 2, 6], None, 3.0),
        ("mse", [1, 2, 6], [1, 0, 1], 3.5),
        ("mae", [1, 2, 60], None, 2.0),
        ("quantile(q=0.9)", list(range(101)), None, 90.0),
        ("expectile(tau=0.75)", [0, 1], None, 0.75),
        ("poisson_nll", [1, 2, 6], None, np.log(3)),
        ("poisson_nll(log_input=False)", [1, 2, 6], None, 3.0),
        ("msle", [0, 3], None, 1.0),
        ("huber", [-1, 0, 1], None, 0.0),
    ],
)
def test_the_start_is_the_constant_that_minimises_the_loss(
    spec: str, target: list[float], weight: list[float] | None, start: float
) -> None:
    assert Objective(spec).start(target, weight) == pytest.approx(start, abs=1e-6)


@pytest.mark.parametrize(
    "spec", ["cross_entropy", "focal", "poly", "ldam(counts=[5, 3, 2])", "generalized_cross_entropy"]
)
def test_no_other_scores_are_better_to_start_from(spec: str) -> None:
    y = np.repeat([0, 1, 2], [5, 3, 2])
    objective = Objective(spec)
    start = objective.start(y)
    least = objective.metric(np.tile(start, (10, 1)), y)
    for step in np.random.default_rng(0).normal(size=(40, 3)) * 0.05:
        assert objective.metric(np.tile(start + step, (10, 1)), y) >= least - 1e-12
    if spec == "cross_entropy":
        np.testing.assert_allclose(np.exp(start) / np.exp(start).sum(), [0.5, 0.3, 0.2])


def test_a_start_for_one_class_is_finite() -> None:
    assert np.isfinite(Objective("cross_entropy").start([1, 1, 1]))
    assert np.isfinite(Objective("mae").start([4, 4]))


@pytest.mark.parametrize("make", [boosting.xgboost, boosting.lightgbm, boosting.catboost])
def test_objectives_travel(make: Any) -> None:
    objective = make("0.7*focal(weight=[1, 4]) + 0.3*poly")
    scores, y = np.array([0.3, -2.0]), np.array([1.0, 0.0])
    found = objective.derivatives(scores, y)
    unpickled = pickle.loads(pickle.dumps(objective))  # noqa: S301
    for twin in (copy.copy(objective), copy.deepcopy(objective), unpickled):
        for one, two in zip(found, twin.derivatives(scores, y), strict=True):
            np.testing.assert_array_equal(one, two)
        assert repr(twin) == repr(objective)
    assert "focal" in repr(objective)


def test_shapes_and_dtypes_come_back_as_given() -> None:
    objective = Objective("focal")
    for shape in [(4,), (4, 1), (4, 3)]:
        for dtype in (np.float32, np.float64):
            found = objective.derivatives(np.zeros(shape, dtype), np.array([0.0, 1, 1, 0], np.float32))
            assert all(x.shape == shape and x.dtype == dtype for x in found)
    fortran = np.asfortranarray(np.random.default_rng(0).normal(size=(4, 3)))
    y = np.array([0, 1, 2, 2])
    for one, two in zip(objective.derivatives(fortran, y), objective.derivatives(fortran.copy("C"), y), strict=True):
        np.testing.assert_array_equal(one, two)


def test_labels_of_margin_losses_may_be_0_and_1() -> None:
    objective, scores = Objective("squared_hinge"), np.array([0.5, -0.5, 3.0])
    for one, two in zip(
        objective.derivatives(scores, np.array([1.0, 0, 0])),
        objective.derivatives(scores, np.array([1.0, -1, -1])),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)
    with pytest.raises(DomainError):
        objective.derivatives(scores, np.array([1.0, 2, 0]))


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e5])
@pytest.mark.parametrize("spec", ["mse", "mae", "quantile(q=0.3)", "expectile(tau=0.9)", "mape"])
def test_units_of_the_target_change_nothing(spec: str, scale: float) -> None:
    rng = np.random.default_rng(0)
    scores, y = rng.normal(size=50), rng.normal(size=50)
    one, two = Objective(spec).derivatives(scores, y), Objective(spec).derivatives(scores * scale, y * scale)
    np.testing.assert_allclose(two[0], one[0] * scale, rtol=1e-9)
    np.testing.assert_allclose(two[1], one[1], rtol=1e-9)
    assert two[1].mean() == pytest.approx(1)


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ParameterError, match="one score per row"):
        Objective("bce_with_logits").derivatives(np.zeros((4, 3)), np.array([0, 1, 2, 0]))
    with pytest.raises(ParameterError, match="one score per row"):
        Objective("mse").derivatives(np.zeros((4, 3)), np.array([0, 1, 2, 0]))
    with pytest.raises(DomainError, match="whole numbers"):
        Objective("focal").derivatives(np.zeros((2, 3)), np.array([0.5, 1]))
    with pytest.raises(ParameterError, match="hessian"):
        boosting.xgboost("mse", hessian="gauss")  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="DiceLoss"):
        boosting.lightgbm("dice")
