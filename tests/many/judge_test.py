"""What many data sets say together, and the sentences for it."""

import json

import numpy as np
import pytest
from invented import comparison, findings, verdict

from lossmith.compare.many.findings import finding, means
from lossmith.compare.many.judge import together
from lossmith.compare.verdict.inference import holm
from lossmith.compare.verdict.records import Runs

EVEN = [(0.7 + 0.001 * k, 0.6, 0.7 + 0.001 * k + 0.002 * (-1) ** k, 0.7) for k in range(8)]
TUNING_PAYS = [(0.7, 0.6 - 0.01 * k, 0.7 + 0.01 * (-1) ** k * (k + 1), 0.65 - 0.01 * k) for k in range(8)]
FOCAL_WINS = [(0.7, 0.6 - 0.01 * k, 0.75 + 0.01 * k, 0.69) for k in range(8)]


def asked(found, name):
    return next(question for question in found["questions"] if question["name"] == name)


def entry(found, name, arm, rule):
    return next(c for c in asked(found, name)["comparisons"] if (c["arm"], c["rule"]) == (arm, rule))


def test_figures_by_hand():
    found = entry(verdict(findings(FOCAL_WINS)), "decide", "focal", "tuned")
    assert found["median"] == pytest.approx(0.085)  # of 0.05, 0.06 ... 0.12
    assert found["p"] == pytest.approx(2 * 0.5**8)
    assert found["p_holm"] == pytest.approx(3 * 2 * 0.5**8)  # three entrants: focal, poly, the default rule
    assert found["signs"] == {"better": 8, "equal": 0, "worse": 0}
    assert found["result"] == "better"


def test_less_is_better_where_it_is():
    found = verdict(findings(EVEN))
    assert entry(found, "trust", "poly", None)["result"] == "better"
    assert entry(found, "trust", "poly", None)["signs"]["better"] == 8
    assert entry(found, "trust", "focal", None)["result"] == "worse"
    assert asked(found, "trust")["ranks"]["average"] == [2.0, 3.0, 1.0]


def test_holm_is_over_the_entrants_of_a_question():
    for question in verdict(findings(TUNING_PAYS))["questions"]:
        ps = [c["p"] for c in question["comparisons"]]
        assert [c["p_holm"] for c in question["comparisons"]] == holm(ps)


def test_wins_are_what_the_data_sets_own_repeats_show():
    found = findings(EVEN)
    found["set_0"].results["decide"]["focal", "tuned"] = "better"
    found["set_1"].results["decide"]["focal", "tuned"] = "worse"
    wins = entry(verdict(found), "decide", "focal", "tuned")["wins"]
    assert wins == {"better": 1, "unclear": 6, "worse": 1, "untested": 0}


def test_a_missing_arm_costs_its_data_set_only_where_it_is_needed():
    found = findings(EVEN)
    del found["set_3"].means["decide"]["focal", "tuned"]
    told = verdict(found)
    assert asked(told, "decide")["ranks"]["left_out"] == ["set_3"]
    assert asked(told, "decide")["ranks"]["datasets"] == 7
    assert entry(told, "decide", "focal", "tuned")["n"] == 7
    assert entry(told, "decide", "poly", "tuned")["n"] == 8
    assert asked(told, "rank")["ranks"]["datasets"] == 8
    assert any("leave out 1 data set" in sentence for sentence in told["sentences"])


def test_an_arm_that_is_hardly_anywhere_does_not_empty_the_ranks():
    found = findings(EVEN)
    for k in range(5):
        del found[f"set_{k}"].means["decide"]["focal", "tuned"]
    ranks = asked(verdict(found), "decide")["ranks"]
    assert ranks["datasets"] == 8
    assert len(ranks["entrants"]) == 3


def test_below_six_data_sets_nothing_is_tested():
    told = verdict(findings(FOCAL_WINS[:5]))
    assert told["headline"] == (
        "No verdict yet: 5 data sets cannot tell losses apart, at least 6 are needed for a test "
        "(the best so far: Focal, median +0.070 macro-F1, better on 5 of 5)."
    )
    assert all(c["p"] is None for question in told["questions"] for c in question["comparisons"])
    assert all(question["ranks"]["friedman"] is None for question in told["questions"])


def test_nothing_beats_cross_entropy_with_a_tuned_rule():
    told = verdict(findings(TUNING_PAYS))
    assert told["headline"].startswith("Over 8 data sets nothing beats cross-entropy with a tuned rule: ")
    assert "no other loss is shown to be better in average precision or macro-F1" in told["headline"]
    assert told["sentences"][0].startswith("Tune the decision rule first: cross-entropy decides better with a tuned")
    assert "median +0.135 macro-F1, better on 8 of 8 data sets" in told["sentences"][0]
    assert "is not shown to pay" in told["sentences"][1]
    assert any(sentence.startswith("Shown to be worse: Poly-1 (") for sentence in told["sentences"])


def test_a_rule_that_is_best_left_alone_is_not_praised():
    told = verdict(findings([(0.6, 0.7 + 0.01 * k, 0.6 + 0.01 * (-1) ** k, 0.55) for k in range(8)]))
    assert "and its decision rule is best left alone" in told["headline"]
    assert "with a tuned rule" not in told["headline"]
    assert told["sentences"][0].startswith("Leave the decision rule of cross-entropy alone")


def test_tuning_that_is_not_shown_to_pay():
    told = verdict(findings([(0.6, 0.6 + 0.01 * (-1) ** k, 0.6 - 0.01 * (-1) ** k, 0.6) for k in range(8)]))
    assert "tuning its decision rule is not shown to pay" in told["headline"]


def test_a_loss_that_decides_better_is_tried_first():
    told = verdict(findings(FOCAL_WINS))
    start = "Over 8 data sets, try Focal first: it decides better than cross-entropy with a tuned rule ("
    assert told["headline"].startswith(start)
    assert "median +0.085 macro-F1, better on 8 of 8, p = 0.023 after Holm" in told["headline"]


def test_a_loss_that_decides_better_and_ranks_worse_says_so():
    told = verdict(findings(FOCAL_WINS, ranking=[(0.7, 0, 0.6 - 0.01 * k, 0.7) for k in range(8)]))
    assert (
        "try Focal first: it decides better than cross-entropy with a tuned rule, but ranks worse" in told["headline"]
    )


def test_a_loss_that_only_ranks_better():
    told = verdict(findings(TUNING_PAYS, ranking=[(0.7, 0, 0.8 + 0.01 * k, 0.7) for k in range(8)]))
    start = "Over 8 data sets nothing decides better than cross-entropy with a tuned rule, but Focal ranks better ("
    assert told["headline"].startswith(start)


def test_changing_the_loss_instead_of_tuning_the_rule():
    rows = [(0.7, 0.6 - 0.01 * k, 0.9 + 0.01 * k, 0.69) for k in range(8)]
    told = verdict(findings(rows))
    assert any("can pay" in s and "Focal, default rule" in s for s in told["sentences"])


def test_no_data_sets_and_data_sets_that_failed():
    told = verdict({}, planned=2, failed={"a": "bad", "b": "bad"})
    assert told["headline"] == "No verdict: none of the 2 data sets has a finished comparison."
    assert told["sentences"] == ["2 of 2 data sets could not be compared (a, b)."]
    assert told["questions"] == []


def test_another_kind_of_target_is_left_apart(tmp_path):
    found = findings(EVEN[:2])
    odd = finding(comparison(tmp_path / "x").results | {"settings": {"metric": "mcc", "repeats": 6}} | {"records": []})
    same, apart = together({**found, "odd": odd})
    assert (list(same), apart) == (["set_0", "set_1"], ["odd"])


class TestFinding:
    def test_means_results_and_questions(self, tmp_path):
        found = finding(comparison(tmp_path / "one").results)
        assert found.results["decide"] == {("cross_entropy", "default"): "worse", ("focal", "tuned"): "better"}
        assert found.results["rank"] == {("focal", None): "better"}
        gain = found.means["decide"]["focal", "tuned"] - found.means["decide"]["cross_entropy", "tuned"]
        assert gain == pytest.approx(0.1, abs=0.01)
        loss = found.means["decide"]["cross_entropy", "default"] - found.means["decide"]["cross_entropy", "tuned"]
        assert loss == pytest.approx(-0.2)

    def test_what_the_verdict_does_not_ask_is_tested_in_the_same_way(self, tmp_path):
        found = finding(comparison(tmp_path / "one").results)
        assert found.results["trust"] == {("focal", None): "better"}  # a log-loss that is smaller by 0.1
        assert found.results["instead"] == {("cross_entropy", "default"): "worse", ("focal", "default"): "worse"}

    def test_means_are_over_the_repeats_that_all_have(self, tmp_path):
        results = comparison(tmp_path / "one").results
        results["records"] = [r for r in results["records"] if (r["arm"], r["repeat"]) != ("focal", 0)]
        kept = [r["ranking"]["average_precision"] for r in results["records"] if r["arm"] == "cross_entropy"][1:]
        assert finding(results).means["rank"]["cross_entropy", None] == pytest.approx(np.mean(kept))

    def test_an_arm_with_less_than_half_of_the_repeats_is_missing(self, tmp_path):
        results = comparison(tmp_path / "one").results
        results["records"] = [r for r in results["records"] if r["arm"] == "cross_entropy" or r["repeat"] < 2]
        runs, asked_ = Runs(results), finding(results).asked[0]
        assert list(means(runs, asked_, [("cross_entropy", None), ("focal", None)])) == [("cross_entropy", None)]


def test_the_verdict_is_json_and_does_not_depend_on_chance():
    one, other = (json.dumps(verdict(findings(TUNING_PAYS)), allow_nan=False) for _ in range(2))
    assert one == other
