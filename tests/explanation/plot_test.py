"""The picture: its lines are the formula, its words are those of the specification."""

import math
import re

import matplotlib.pyplot
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import lossmith
from lossmith import LikelihoodLoss, ResidualLoss
from lossmith.errors import InputError, ParameterError, SpecError
from lossmith.explanation import picture, properties
from lossmith.explanation.axes import curves
from lossmith.explanation.document import explain
from lossmith.explanation.subjects import Subject, subjects
from tests.laws.cases import SHIPPED

pytestmark = pytest.mark.filterwarnings("ignore:.*it is least at p")


def lines(figure, panel=0):
    return {line.get_label(): line for line in figure.axes[panel].lines if not line.get_label().startswith("_")}


def at(line, x):
    """The height of a line over x, between two of its points."""
    xs, ys = line.get_data()
    k = next(k for k in range(len(xs) - 1) if xs[k] <= x <= xs[k + 1])
    share = (x - xs[k]) / (xs[k + 1] - xs[k])
    return ys[k] + share * (ys[k + 1] - ys[k])


def test_focal_at_several_gammas_by_hand():
    figure = lossmith.plot("focal", gamma=[0, 1, 2])
    assert list(lines(figure)) == ["focal(gamma=0)", "focal(gamma=1)", "focal(gamma=2)"]
    for gamma, (value, slope) in enumerate(zip(lines(figure).values(), lines(figure, 1).values(), strict=True)):
        for p in (0.1, 0.5, 0.8):
            assert at(value, p) == pytest.approx(-((1 - p) ** gamma) * math.log(p), abs=2e-4)
            by_hand = (1 - p) ** gamma * (gamma * p * math.log(p) - (1 - p))  # the paper's eq. of its appendix B
            assert at(slope, p) == pytest.approx(by_hand, abs=2e-4)


def test_words_say_what_is_drawn():
    one, other = lossmith.plot("focal").axes
    assert (one.get_xlabel(), one.get_ylabel()) == ("probability p of the target", "loss")
    assert other.get_ylabel() == "derivative in its logit"
    assert lossmith.plot("mse", "huber").axes[0].get_xlabel() == "residual r = input - target"
    assert lossmith.plot("hinge").axes[1].get_ylabel() == "derivative in m"
    assert [text.get_text().strip() for text in one.get_legend().get_texts()] == ["focal"]


def test_several_losses_and_sums():
    drawn = lines(lossmith.plot("huber(delta=2)", "0.5*mse + mae", lossmith.LogCoshLoss()))
    assert list(drawn) == ["huber(delta=2)", "0.5*mse + mae", "log_cosh"]
    assert at(drawn["huber(delta=2)"], -3) == pytest.approx(4.0)
    assert at(drawn["0.5*mse + mae"], 2) == pytest.approx(4.0)
    assert at(drawn["log_cosh"], 1) == pytest.approx(math.log(math.cosh(1)), abs=1e-4)


def test_what_has_several_sides_has_a_line_for_each():
    absent = lines(lossmith.plot("asymmetric(gamma_neg=1, gamma_pos=0, clip=0.25)"))
    p = 0.4  # of absence: p of the label is 0.6, m = 0.35
    assert at(absent["asymmetric(gamma_neg=1, gamma_pos=0, clip=0.25): label absent"], p) == pytest.approx(
        -0.35 * math.log(0.65), abs=1e-4
    )
    balanced = lines(lossmith.plot("balanced_cross_entropy"))
    assert at(balanced["balanced_cross_entropy: label absent"], 0.5) == pytest.approx(0.25 * math.log(2), abs=1e-4)
    game = lines(lossmith.plot("minimax_gan"))
    assert [label.split(": ")[1] for label in game] == ["critic, real", "critic, fake", "generator"]
    assert at(game["minimax_gan: generator"], 0) == pytest.approx(-math.log(2))
    relative = lines(lossmith.plot("mape", "mse"))
    assert at(relative["mape: target 3"], 1) == pytest.approx(2 / 3)
    assert at(relative["mse: target 3"], 1) == pytest.approx(4, abs=1e-3)


def test_the_prior_moves_the_curves():
    drawn = list(lines(lossmith.plot("logit_adjusted(prior=[0.8, 0.2])")).values())
    assert at(drawn[0], 0.5) == pytest.approx(-math.log(0.8), abs=1e-4)  # the commonest class
    assert at(drawn[1], 0.5) == pytest.approx(-math.log(0.2), abs=1e-4)


def test_distillation_is_drawn_at_its_temperature():
    drawn = lines(lossmith.plot("soft_cross_entropy(temperature=2)"))
    heights = [at(line, 0.5) for line in drawn.values()]
    assert heights == pytest.approx([4 * math.log(2)] * 2, abs=1e-3)  # at p = 1/2 whatever the target is


def test_overlaps_are_surfaces_of_precision_and_recall():
    ((dice, tversky),) = [subjects(["dice(smooth=0)", "tversky(alpha=0.9, beta=0.1, smooth=0)"], {})]
    precision, recall = torch.tensor([1.0, 0.5, 1.0, 0.5]), torch.tensor([1.0, 1.0, 0.5, 0.5])
    expected = torch.tensor([0.0, 1 / 3, 1 / 3, 0.5])  # 1 - the harmonic mean of the two
    torch.testing.assert_close(picture.surface(dice, precision, recall), expected)
    by_hand = torch.tensor([0.0, 90 / 190, 5 / 55, 50 / 100])  # tp 100, fp 100; tp 50, fn 50; tp, fp, fn 50
    torch.testing.assert_close(picture.surface(tversky, precision, recall), by_hand)
    figure = lossmith.plot("dice", "tversky", "0.5*jaccard")
    assert [axes.get_title().strip() for axes in figure.axes[:3]] == ["dice", "tversky", "0.5*jaccard"]
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("precision", "recall")
    assert "100 pixels" in figure.axes[3].get_ylabel()
    drawn = figure.axes[0].collections[0].get_array()
    assert float(drawn[-1, -1]) == pytest.approx(0.0)  # all found, and nothing else
    assert float(drawn[0, -1]) == pytest.approx(1 - 2 * 2 / (2 * 2 + 99))  # recall 0.01 of 100, smooth 1


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_every_loss_has_a_picture_or_a_sentence(name):
    reason = explain(name).picture
    if reason:
        assert "cannot be drawn: it" in reason
        assert reason.count(".") == 1
        assert SHIPPED[name].family not in ("residual", "margin", "likelihood", "divergence")
        with pytest.raises(InputError, match=re.escape(reason)):
            lossmith.plot(name)
    else:
        for axes in lossmith.plot(name).axes:
            assert axes.get_xlabel() or axes.get_label() == "<colorbar>"
            assert all(math.isfinite(y) for y in axes.get_ylim())
    assert not matplotlib.pyplot.get_fignums()  # nothing is left behind


def test_axes_of_ones_own():
    figure = Figure()
    axes = figure.subplots(1, 2)
    assert lossmith.plot("mse", ax=axes[0], span=(-1, 2)) is figure
    assert (min(axes[0].lines[0].get_xdata()), max(axes[0].lines[0].get_xdata())) == (-1, 2)
    assert not axes[1].lines
    lossmith.plot("mse", ax=axes)
    assert len(axes[1].lines) == 2  # the derivative, and 0


def test_losses_of_ones_own():
    @ResidualLoss.from_function
    def welsch_to_draw(r, xp, *, scale=1.0):
        return -xp.expm1(-((r / scale) ** 2))

    class BrierToDrawLoss(LikelihoodLoss):
        def formula(self, logp, xp):
            return xp.expm1(logp) ** 2

    drawn = lines(lossmith.plot(welsch_to_draw, scale=[1, 2]))
    assert list(drawn) == ["welsch_to_draw(scale=1)", "welsch_to_draw(scale=2)"]
    assert at(drawn["welsch_to_draw(scale=2)"], 2) == pytest.approx(1 - math.exp(-1))
    assert at(lines(lossmith.plot(BrierToDrawLoss))["brier_to_draw"], 0.5) == pytest.approx(0.25, abs=1e-4)
    assert {str(one) for one in properties.of(BrierToDrawLoss())} == {"not claimed"}


def test_what_cannot_be_drawn_is_one_sentence():
    for call, kind, said in (
        (lambda: lossmith.plot("mse", "hinge"), InputError, "cannot share a picture"),
        (lambda: lossmith.plot("info_nce"), InputError, "InfoNCELoss cannot be drawn"),
        (lambda: lossmith.plot("dice", "focal"), InputError, "cannot share a picture"),
        (lambda: lossmith.plot("focal", gama=[1]), ParameterError, 'did you mean "gamma"'),
        (lambda: lossmith.plot("foca"), SpecError, 'did you mean "focal"'),
        (lambda: lossmith.plot("focal", gamma=range(13)), InputError, "12 at most"),
        (lambda: lossmith.plot("mse + mae", delta=1), ParameterError, "belongs to a single loss"),
    ):
        with pytest.raises(kind, match=said):
            call()


def test_a_tower_is_cut_off_and_a_single_curve_is_not():
    high = picture.limits([torch.linspace(0, 1, 50), torch.linspace(0, 1.2, 50), torch.linspace(0, 900, 50)])[1]
    assert 1.2 < high < 3
    assert picture.limits([torch.linspace(0, 900, 50)])[1] == 900


def test_class_weights_leave_claims_open():
    plain, weighted = (properties.of(lossmith.create(f"focal({w})")) for w in ("gamma=0", "gamma=0, weight=[1, 2]"))
    answers = [{one.what.name: str(one) for one in found} for found in (plain, weighted)]
    assert (answers[0]["proper"], answers[1]["proper"]) == ("yes", "not claimed")
    assert (answers[0]["convex"], answers[1]["convex"]) == ("yes", "yes")


def test_sums_claim_what_all_their_terms_claim():
    found = {one.what.name: str(one) for one in properties.of(lossmith.create("2*mae + 0.5*huber"))}
    assert [name for name, answer in found.items() if answer == "yes"] == ["convex", "lipschitz", "symmetric"]
    assert found["bounded"] == found["robust"] == "not claimed"
    assert str(properties.of(lossmith.create("3*huber(delta=2)"))[1]) == "yes, L = 6"
    assert str(properties.of(lossmith.create("mae - huber"))[0]) == "not claimed"


def test_curves_are_the_loss_itself_when_called():
    for name in ("huber", "logistic", "poly", "generalized_cross_entropy"):
        loss = lossmith.create(name)
        (curve,) = curves(loss, picture.axis_of([loss]))
        x = curve.x[::80]
        if loss.family == "likelihood":
            value = type(loss)(link="binary_prob", reduction="none")(x, torch.ones_like(x))
        else:
            value = type(loss)(reduction="none")(x, torch.ones_like(x) * (loss.family == "margin"))
        torch.testing.assert_close(value, curve.value[::80])
    assert Subject(loss, "x").swept is False


def test_mistakes_in_a_call_are_one_sentence():
    class ScalarToDrawLoss(ResidualLoss):
        def formula(self, r, xp):
            return r.abs().sum()

    for call, kind, said in (
        (lambda: lossmith.plot("focal", gamma=[]), ParameterError, "gamma: give at least one value"),
        (lambda: lossmith.plot("mse", span=3), InputError, "span must be two finite numbers, low before high, not 3"),
        (lambda: lossmith.plot("mse", span=(2, -2)), InputError, "low before high"),
        (lambda: lossmith.plot("mse", span=(0, math.nan)), InputError, "low before high"),
        (lambda: lossmith.plot("mse", ax="x"), InputError, "ax must be matplotlib Axes, one or several, not 'x'"),
        (lambda: lossmith.plot(ScalarToDrawLoss), InputError, "must give one value per unit"),
    ):
        with pytest.raises(kind, match=re.escape(said)):
            call()


def test_values_may_be_an_array_and_axes_a_grid():
    assert list(lines(lossmith.plot("focal", gamma=np.array([0.0, 2.0])))) == ["focal(gamma=0)", "focal(gamma=2)"]
    grid = Figure().subplots(2, 2)
    lossmith.plot("mse", ax=grid)
    assert [len(axes.lines) for axes in grid.flat] == [2, 2, 0, 0]
