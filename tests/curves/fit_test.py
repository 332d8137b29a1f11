"""Fitted curves against other people's fits, and planted parameters found among outliers."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import torch
from scipy import optimize
from sklearn.linear_model import HuberRegressor

import lossmith
from lossmith.curves import Curves, curve_fit
from lossmith.curves.problem import UnfittedError
from lossmith.errors import DomainError, InputError, SpecError

ENGEL = sm.datasets.engel.load_pandas().data
STACK = sm.datasets.stackloss.load_pandas().data
STACK_X = STACK[["AIRFLOW", "WATERTEMP", "ACIDCONC"]]


def values(curve):
    return list(curve.parameters.values())


@pytest.fixture(scope="module")
def decay():
    """3 exp(-0.8 x) + 1 with small noise, and every fifth row far above, the more so the larger x."""
    draw = np.random.default_rng(1)
    x = np.linspace(0.1, 5, 100)
    y = 3 * np.exp(-0.8 * x) + 1 + draw.normal(0, 0.03, 100)
    y[::5] += draw.uniform(1, 2, 20) * x[::5]
    return x, y


@pytest.mark.parametrize("q", [0.05, 0.5, 0.95])
@pytest.mark.filterwarnings("ignore:Convergence cycle detected")  # statsmodels' own search
def test_quantiles_of_engel_are_those_of_statsmodels(q):
    curve = curve_fit(ENGEL.income, ENGEL.foodexp, "poly:1", f"quantile(q={q})")
    theirs = sm.QuantReg(ENGEL.foodexp, sm.add_constant(ENGEL.income)).fit(q=q, max_iter=5000)
    assert values(curve) == pytest.approx(theirs.params.tolist(), rel=1e-3)
    r = ENGEL.foodexp - theirs.predict()
    assert curve.value <= np.mean(np.maximum(q * r, (q - 1) * r)) * (1 + 1e-9)  # and at least as low
    assert curve.converged
    assert curve.message.startswith("exact")


def test_stackloss_by_least_squares_is_that_of_statsmodels():
    theirs = sm.OLS(STACK.STACKLOSS, sm.add_constant(STACK_X)).fit()
    curve = curve_fit(STACK_X, STACK.STACKLOSS, "linear", "mse")
    assert values(curve) == pytest.approx(theirs.params.tolist(), rel=1e-9)
    assert curve.value == pytest.approx(theirs.ssr / 21)
    assert list(curve.parameters) == ["intercept", "AIRFLOW", "WATERTEMP", "ACIDCONC"]


def test_stackloss_under_huber_is_that_of_statsmodels():
    """Its M-estimator at the delta of its own last scale; R's rlm prints the same (-41.03, 0.83, 0.93, -0.13)."""
    theirs = sm.RLM(STACK.STACKLOSS, sm.add_constant(STACK_X), M=sm.robust.norms.HuberT()).fit(tol=1e-12, maxiter=500)
    curve = curve_fit(STACK_X, STACK.STACKLOSS, "linear", f"huber(delta={1.345 * theirs.scale})")
    assert values(curve) == pytest.approx(theirs.params.tolist(), rel=1e-4)
    assert theirs.params.tolist() == pytest.approx([-41.03, 0.83, 0.93, -0.13], abs=0.02)


def test_engel_under_huber_is_that_of_scikit_learn():
    x = ((ENGEL.income - ENGEL.income.mean()) / ENGEL.income.std()).to_numpy()
    theirs = HuberRegressor(epsilon=1.35, alpha=0.0, max_iter=1000, tol=1e-9).fit(x[:, None], ENGEL.foodexp)
    curve = curve_fit(x, ENGEL.foodexp, "a + b*x", f"huber(delta={1.35 * theirs.scale_})")
    assert values(curve) == pytest.approx([theirs.intercept_, theirs.coef_[0]], rel=1e-4)


@pytest.mark.parametrize("degree", [0, 1, 3, 7])
def test_polynomials_are_those_of_numpy(degree):
    draw = np.random.default_rng(0)
    x = draw.uniform(-1, 2, 60)
    y = np.sin(2 * x) + draw.normal(0, 0.1, 60)
    curve = curve_fit(x, y, f"poly:{degree}", "mse")
    assert values(curve) == pytest.approx(np.polyfit(x, y, degree)[::-1].tolist(), rel=1e-7)
    assert curve.predict(x) == pytest.approx(np.polyval(np.polyfit(x, y, degree), x))


def test_a_polynomial_far_from_0_stays_exact():
    x = np.arange(1990.0, 2021.0)
    exact = 3 - 2 * (x - 2000) + 0.5 * (x - 2000) ** 2 - 0.01 * (x - 2000) ** 3
    curve = curve_fit(x, exact, "poly:3", "mse")
    assert values(curve)[2:] == pytest.approx([0.5 + 0.03 * 2000, -0.01], rel=1e-9)
    assert curve.predict(x) == pytest.approx(exact, abs=1e-9)


def test_a_spline_is_scipys():
    from scipy.interpolate import make_lsq_spline

    draw = np.random.default_rng(0)
    x = np.sort(draw.uniform(0, 10, 80))
    y = np.cos(x) + draw.normal(0, 0.1, 80)
    knots = np.r_[[x[0]] * 4, np.quantile(x, [0.25, 0.5, 0.75]), [x[-1]] * 4]
    assert curve_fit(x, y, "spline:3", "mse").predict(x) == pytest.approx(make_lsq_spline(x, y, knots)(x))


@pytest.mark.parametrize("loss", ["huber(delta=0.1)", "log_cosh", "mae"])
def test_planted_parameters_are_found_among_a_fifth_of_outliers(decay, loss):
    x, y = decay
    scale = 100.0 if loss == "log_cosh" else 1.0  # it turns into a line at about 1: small beside the outliers then
    curve = curve_fit(x, scale * y, "a*exp(-b*x) + c", loss)
    assert curve.converged
    assert values(curve) == pytest.approx([3 * scale, 0.8, scale], rel=0.06)


def test_least_squares_is_off_there(decay):
    curve = curve_fit(*decay, "a*exp(-b*x) + c", "mse")
    assert curve.parameters["b"] > 1
    assert curve.parameters["c"] > 1.3


def test_a_bent_model_under_least_squares_is_scipys(decay):
    x, y = decay
    theirs, _ = optimize.curve_fit(
        lambda x, a, b, c: a * np.exp(-b * x) + c, x, y, p0=[3, 0.8, 1], ftol=1e-14, xtol=1e-14
    )
    assert values(curve_fit(x, y, "a*exp(-b*x) + c", "mse")) == pytest.approx(theirs.tolist(), rel=1e-5)


def test_a_bent_model_under_a_quantile_is_no_higher_than_a_long_search(decay):
    x, y = decay
    curve = curve_fit(x, y, "a*exp(-b*x) + c", "quantile(q=0.3)")

    def missed(p):
        r = p[0] * np.exp(-p[1] * x) + p[2] - y
        return np.where(r < 0, -0.3 * r, 0.7 * r).mean()

    best = optimize.minimize(
        missed, [3, 0.8, 1], method="Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-10, "fatol": 1e-14}
    )
    assert curve.value <= best.fun * (1 + 1e-7)
    assert curve.value == pytest.approx(best.fun, rel=1e-4)


@pytest.mark.parametrize(
    ("loss", "formula"),
    [
        ("mape", lambda p, y: np.abs(p - y) / np.abs(y)),
        ("smape", lambda p, y: 2 * np.abs(p - y) / (np.abs(p) + np.abs(y))),
        ("msle", lambda p, y: (np.log1p(p) - np.log1p(y)) ** 2),
        ("mae + 0.01*mse", lambda p, y: np.abs(p - y) + 0.01 * (p - y) ** 2),
        ("expectile(tau=0.9)", lambda p, y: np.where(p < y, 0.9, 0.1) * (p - y) ** 2),
    ],
)
def test_any_residual_loss_reaches_what_a_simplex_search_does(loss, formula):
    x, y = ENGEL.income.to_numpy(), ENGEL.foodexp.to_numpy()
    curve = curve_fit(x, y, "poly:1", loss)

    def mean(p):
        with np.errstate(invalid="ignore"):
            found = formula(p[0] + p[1] * x, y).mean()
        return found if np.isfinite(found) else 1e9

    best = optimize.minimize(mean, values(curve), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13})
    assert curve.value == pytest.approx(mean(values(curve)), rel=1e-10)
    assert curve.value <= best.fun * (1 + 1e-8)
    assert mean([80.0, 0.56]) > curve.value


def test_counts_under_poisson_are_the_glm_of_statsmodels():
    draw = np.random.default_rng(2)
    x = np.linspace(0, 3, 80)
    y = draw.poisson(np.exp(0.3 + 0.5 * x))
    theirs = sm.GLM(y, sm.add_constant(x), family=sm.families.Poisson()).fit()
    curve = curve_fit(x, y, "poly:1", "poisson_nll")
    assert values(curve) == pytest.approx(theirs.params.tolist(), rel=1e-6)
    assert curve.predict(x) == pytest.approx(theirs.fittedvalues.tolist(), rel=1e-6)  # the rate, not its logarithm
    assert "logarithm" in curve.notes[0]


@pytest.mark.parametrize("loss", ["mse", "mae", "huber(delta=20)", "rmse"])
def test_a_weight_of_2_is_a_row_twice_and_of_0_none(loss):
    x, y = ENGEL.income.to_numpy()[:40], ENGEL.foodexp.to_numpy()[:40]
    weight = np.tile([1.0, 2.0, 0.0, 1.0], 10)
    weighted = curve_fit(x, y, "poly:1", loss, sample_weight=weight)
    rows = np.repeat(np.arange(40), weight.astype(int))
    repeated = curve_fit(x[rows], y[rows], "poly:1", loss)
    assert values(weighted) == pytest.approx(values(repeated), rel=1e-6)
    assert weighted.value == pytest.approx(repeated.value, rel=1e-9)
    assert weighted.figures["mae"] == pytest.approx(repeated.figures["mae"], rel=1e-6)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_units_of_x_and_y_change_nothing_but_the_units(decay, factor):
    x, y = decay
    curve = curve_fit(x * factor, y / factor, "a*exp(-b*x) + c", "mae")
    a, b, c = values(curve)
    assert [a * factor, b * factor, c * factor] == pytest.approx([3, 0.8, 1], rel=0.06)


def test_functions_tensors_lists_and_frames_do(decay):
    x, y = decay

    def falling(x, a, b, c):
        return a * torch.exp(-b * x) + c

    own = curve_fit(torch.tensor(x), torch.tensor(y), falling, lossmith.HuberLoss(delta=0.1))
    written = curve_fit(pd.DataFrame({"t": x}), y.tolist(), "a*exp(-b*t) + c", "huber(delta=0.1)")
    assert values(own) == pytest.approx(values(written), rel=1e-5)
    assert own.expression == "falling(x, a, b, c)"
    assert own.loss == "huber(delta=0.1)"
    assert written.predict(pd.DataFrame({"t": [1.0, np.nan]})).tolist() == pytest.approx(
        [own.predict([1.0])[0], np.nan], rel=1e-5, nan_ok=True
    )
    with pytest.raises(InputError, match="one value per row"):
        curve_fit(x, y, lambda x, a: a, "mse")


def test_what_the_data_cannot_tell_apart_is_said():
    x = np.linspace(0.1, 3, 50)
    curve = curve_fit(x, 2 * np.sqrt(x) * (0.5 * x**2 + 1), "a*sqrt(x)*(b*x**2 + c)", "mse")
    a, b, c = values(curve)
    assert [a * b, a * c] == pytest.approx([1, 2], rel=1e-5)
    assert "only 2 of 3 parameters" in curve.notes[0]


def test_what_has_no_minimum_is_said_to_have_none():
    x = np.linspace(1, 5, 30)
    start = {"a": 0.1, "b": 10.0}  # flattest, and so best, where b is infinite
    curve = curve_fit(x, 1 - 0.1 * x, "a*log(b + x)", "mse", start=start, bootstrap=20)
    assert not curve.converged
    assert "did not converge" in curve.message
    assert curve.parameters["b"] > 1e3
    assert curve.intervals is None
    assert "no intervals" in curve.notes[-1]


def test_several_losses_make_a_band():
    curves = curve_fit(ENGEL.income, ENGEL.foodexp, "poly:1", ["quantile(q=0.95)", "mse", "quantile(q=0.05)", "mse"])
    assert isinstance(curves, Curves)
    assert list(curves) == ["quantile(q=0.95)", "mse", "quantile(q=0.05)"]
    low, high = (curves[f"quantile(q={q})"].predict(ENGEL.income) for q in (0.05, 0.95))
    inside = (ENGEL.foodexp >= low - 1e-6) & (ENGEL.foodexp <= high + 1e-6)
    assert curves.band == {
        "low": 0.05,
        "high": 0.95,
        "expected": 0.9,
        "coverage": pytest.approx(inside.mean()),
        "crossed": 0,
    }
    assert curve_fit(ENGEL.income, ENGEL.foodexp, "poly:1", ["mse", "quantile(q=0.95)"]).band is None


def test_quantiles_that_cross_are_counted():
    x = np.r_[np.zeros(20), np.ones(20), 3.0]
    y = np.r_[np.linspace(0, 10, 20), np.linspace(4.9, 5.1, 20), 5.0]
    weight = np.r_[np.ones(40), 1e-9]  # the last row hardly counts: the lines of the others meet before it
    curves = curve_fit(x, y, "poly:1", ["quantile(q=0.1)", "quantile(q=0.9)"], sample_weight=weight)
    low, high = (curve.predict(x) for curve in curves.values())
    assert curves.band["crossed"] == (high < low - 1e-9).sum() == 1


def test_a_loss_that_the_data_do_not_allow_is_left_out_and_named():
    x = [0.0, 1.0, 2.0, 3.0]
    curves = curve_fit(x, [0.0, 1.0, 2.0, 3.1], "poly:1", ["mse", "mape"])
    assert list(curves) == ["mse"]
    assert "must be finite and not 0" in curves.failures["mape"]
    with pytest.raises(DomainError, match="not 0"):
        curve_fit(x, [0.0, 1.0, 2.0, 3.1], "poly:1", "mape")


def test_a_bootstrap_that_fails_costs_the_intervals_alone(monkeypatch):
    def refused(*given):
        raise UnfittedError("only 3 of 20 bootstrap draws could be fitted.")

    monkeypatch.setattr("lossmith.curves.session.intervals", refused)
    curve = curve_fit(*GOOD, "poly:1", "mse", bootstrap=20)
    assert curve.intervals is None
    assert curve.notes == ("no intervals: only 3 of 20 bootstrap draws could be fitted",)


def test_the_bootstrap_covers_and_is_repeatable():
    draw = np.random.default_rng(3)
    x = draw.uniform(0, 1, 150)
    y = 1 + 2 * x + draw.normal(0, 0.3, 150)
    one, two = (curve_fit(x, y, "poly:1", "mse", bootstrap=200, seed=4) for _ in range(2))
    assert one.intervals == two.intervals
    theirs = sm.OLS(y, sm.add_constant(x)).fit().conf_int()
    for (low, high), expected in zip(one.intervals.values(), theirs, strict=True):
        assert [low, high] == pytest.approx(expected.tolist(), abs=0.06)
    assert one.intervals != curve_fit(x, y, "poly:1", "mse", bootstrap=20, seed=5).intervals


GOOD = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 2.0, 2.5, 4.0, 4.5, 6.5])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"x": [2.0] * 6}, '"x" is 2 in all rows'),
        ({"x": GOOD[0][:5]}, '"x" has 5 values and "y" has 6'),
        ({"x": [[[1.0]]]}, "not of shape"),
        ({"x": ["a"] * 6}, 'column "x" holds "a", which is no number, in 6 rows, first in row 1'),
        ({"y": [1.0, np.inf, 1, 2, 3, 4]}, 'column "y" holds an infinite number in row 2'),
        ({"y": [1.0, 1e200, 1, 2, 3, 4]}, "above 1e+140"),
        ({"sample_weight": [1.0, -1, 1, 1, 1, 1]}, "negative weight in row 2"),
        ({"sample_weight": [0.0] * 6}, "all weights are 0"),
        ({"model": "poly:6"}, "7 parameters, and there are only 6 rows"),
        ({"x": [1.0, 1, 2, 2, 2, 2], "model": "poly:2"}, "tell only 2 apart"),
        ({"model": "poly:20"}, "a degree from 0 to 19"),
        ({"model": "poly:x"}, "a degree from 0 to 19"),
        ({"model": "polly:2"}, 'did you mean "poly"?'),
        ({"model": "a*log(x - 3.5) + b"}, '"log(x - 3.5)" has no finite value in 3 rows, first row 1 (x = 1)'),
        ({"model": "a*x + b/(x - 3)"}, '"b / (x - 3)" has no finite value in row 3 (x = 3)'),
        ({"model": "a*exp(b*x)", "start": {"a": 1.0}}, "give a finite number for each of a, b"),
        ({"model": "a*exp(bb*x)", "start": {"b": 1.0}}, 'did you mean "bb"?'),
        ({"model": "poly:1", "start": {"c0": 1.0}}, "needs no start"),
        ({"loss": "focal"}, "focal is a likelihood loss; a curve needs one of the residual family"),
        ({"loss": "ghmr"}, "weighs each row by all others"),
        ({"loss": "gaussian_nll"}, "takes two predictions"),
        ({"loss": "poisson_nll + mse"}, "one term takes the logarithm"),
        ({"loss": "mse(reduction=sum)"}, "leave reduction=sum out"),
        ({"bootstrap": 3}, "from 20 to 100,000"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(options, said):
    given = {"x": GOOD[0], "y": GOOD[1], "model": "poly:1", "loss": "mse"} | options
    with pytest.raises(InputError) as error:
        curve_fit(given.pop("x"), given.pop("y"), **given)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_loss_is_named_with_the_nearest():
    with pytest.raises(SpecError, match='did you mean "huber"'):
        curve_fit(*GOOD, "poly:1", "hubber")


def test_rows_with_gaps_are_left_out_and_counted():
    x, y = [*GOOD[0], np.nan, 8.0], [*GOOD[1], 3.0, None]
    curve = curve_fit(x, y, "poly:1", "mse")
    assert curve.left_out == 2
    assert values(curve) == pytest.approx(values(curve_fit(*GOOD, "poly:1", "mse")))


def test_nothing_given_is_changed(decay):
    x, y = (array.copy() for array in decay)
    curve_fit(x, y, "poly:3", ["mse", "mae", "huber"], sample_weight=np.ones(100))
    assert np.array_equal(x, decay[0])
    assert np.array_equal(y, decay[1])


def test_mistakes_in_a_call_are_one_sentence():
    x, y = [0.0, 1.0, 2.0, 3.0], [1.0, 3.0, 5.0, 7.0]
    for call, kind, said in (
        (lambda: curve_fit(x, y, "poly:1", torch.nn.MSELoss()), SpecError, "MSELoss()"),
        (lambda: curve_fit(x, y, "a*exp(b*x)", start=[1, 2]), InputError, "start: give {'a': 1.0, 'b': 1.0}"),
        (lambda: curve_fit(x, y, "poly"), InputError, "poly: needs a degree"),
        (lambda: curve_fit(x, y, "spline"), InputError, "spline: needs a number of knots"),
        (lambda: curve_fit(x, y, sample_weight=[0] * 4), InputError, "all weights are 0"),
        (lambda: curve_fit(x, y, lambda t, a, b: t.foo(a, b)), InputError, "raises AttributeError"),
    ):
        with pytest.raises(kind) as raised:
            call()
        assert said in str(raised.value)
