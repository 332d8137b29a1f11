"""The verdict: its statistics against independent calculations, and what it says in every situation."""

import copy
import io
import json
import math
import subprocess
import sys

import numpy as np
import pytest
import sample_results
from rich.console import Console
from scipy import stats

from lossmith.compare.report import terminal
from lossmith.compare.verdict import inference, snippet, wording
from lossmith.compare.verdict.judge import judge
from lossmith.compare.verdict.records import Runs

THREE = [arm for arm in sample_results.ARMS if arm[0] in ("cross_entropy", "focal", "balanced")]
POLY = [arm for arm in sample_results.ARMS if arm[0] in ("cross_entropy", "poly")]
BINARY = {"classes": ["no", "yes"], "counts": [900, 100]}


def results(scores, arms=THREE, repeats=8, **more):
    """Results whose figures are set by hand: ``scores[arm]`` is (average precision, tuned, default) per repeat."""
    found = sample_results.make(
        classes=["no", "yes"], counts=[60, 40], arms=arms, repeats=repeats, test_rows=20, **more
    )
    for record in found["records"]:
        if record["status"] == "ok" and record["arm"] in scores:
            precision, tuned, default = (column[record["repeat"]] for column in scores[record["arm"]])
            record["ranking"] |= {"average_precision": precision, "roc_auc": 0.9 + 0.01 * precision}
            record["decision"]["tuned"]["macro_f1"] = tuned
            record["decision"]["default"]["macro_f1"] = default
    return found


def steady(mean, repeats=8, wobble=0.01, seed=0):
    return (mean + wobble * np.random.default_rng([seed, int(1e6 * mean)]).normal(size=repeats)).tolist()


def level(precision=0.5, tuned=0.5, default=0.5, repeats=8):
    """Three columns that hardly vary."""
    return tuple(steady(mean, repeats, 0.002) for mean in (precision, tuned, default))


def asked(verdict, question, arm):
    comparisons = next(q["comparisons"] for q in verdict["questions"] if q["name"] == question)
    return next(c for c in comparisons if c["arm"] == arm)


class TestInference:
    def test_without_overlap_it_is_the_paired_t_test(self):
        random = np.random.default_rng(0)
        one, other = random.normal(size=9), random.normal(size=9)
        found = inference.paired(list(one - other), ratio=0.0)
        oracle = stats.ttest_rel(one, other)
        assert found["p"] == pytest.approx(oracle.pvalue)
        assert (found["low"], found["high"]) == pytest.approx(tuple(oracle.confidence_interval(0.95)))

    def test_nadeau_bengio_by_hand(self):
        # mean 0.03, s^2 = 0.0006 / 7; variance of the mean (1/8 + 1/3) s^2 with one test row per three training rows
        differences = [0.02, 0.04, 0.03, 0.02, 0.04, 0.03, 0.02, 0.04]
        s2 = sum((d - 0.03) ** 2 for d in differences) / 7
        t = 0.03 / math.sqrt((1 / 8 + 1 / 3) * s2)
        found = inference.paired(differences, ratio=1 / 3)
        assert found["p"] == pytest.approx(2 * stats.t(7).sf(t))
        assert found["effect"] == pytest.approx(0.03 / math.sqrt(s2))
        assert found["high"] - 0.03 == pytest.approx(2.364624 * 0.03 / t, rel=1e-6)  # t(7) at 97.5 % from a table

    def test_holm_by_hand(self):
        # 0.01 * 4, 0.02 * 3, then 0.03 * 2 = 0.06, and 0.5
        assert inference.holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
        assert inference.holm([0.04, 0.03]) == pytest.approx([0.06, 0.06])
        assert inference.holm([0.9, 0.9, None]) == [1.0, 1.0, None]
        assert inference.holm([]) == []

    @pytest.mark.parametrize("n", [0, 1, 2, 5])
    def test_below_six_there_is_no_p(self, n):
        assert inference.paired([0.1 * k for k in range(n)], 0.3)["p"] is None

    def test_differences_without_spread(self):
        same = inference.paired([0.0] * 8, 0.3)
        assert (same["p"], same["mean"], same["low"], same["high"], same["effect"]) == (1.0, 0.0, 0.0, 0.0, 0.0)
        noise = inference.paired([1e-17, -1e-17, 0, 0, 0, 0, 0, 0], 0.3)
        assert (noise["p"], noise["mean"]) == (1.0, 0.0)
        shift = inference.paired([0.25] * 8, 0.3)
        assert (shift["p"], shift["low"], shift["effect"]) == (2 / 2**8, 0.25, None)  # the sign test: eight of eight

    def test_what_can_be_found_by_hand(self):
        # t(7) at 1 - 0.025 / 5 and at 0.8 from a table, times the corrected error of the mean
        expected = (3.499483 + 0.896030) * 0.02 * math.sqrt(1 / 8 + 1 / 3)
        assert inference.detectable(0.02, 8, 1 / 3, tests=5) == pytest.approx(expected, rel=1e-5)
        assert inference.detectable(0.0, 8, 1 / 3, tests=5) is None
        assert inference.detectable(0.02, 5, 1 / 3, tests=5) is None

    def test_above_chance_is_one_sided(self):
        areas = [0.52, 0.55, 0.49, 0.51, 0.56, 0.53]
        oracle = stats.ttest_1samp(areas, 0.5, alternative="greater").pvalue
        assert inference.above(areas, 0.5, ratio=0.0) == pytest.approx(oracle)
        assert inference.above([1 - area for area in areas], 0.5, ratio=0.0) == pytest.approx(1 - oracle)
        assert inference.above(areas[:5], 0.5, ratio=0.0) is None

    def test_false_alarms_on_overlapping_splits(self):
        """No arm differs, splits overlap: a plain t-test cries wolf, the corrected one with Holm hardly ever."""
        random = np.random.default_rng(1)
        plain = corrected = 0
        for _ in range(400):
            rows = random.normal(size=(500, 4))  # how much better each of 4 arms does on each row: nothing, on average
            splits = [random.permutation(500)[:100] for _ in range(8)]
            means = np.array([rows[split].mean(axis=0) for split in splits])
            ps = [inference.paired(list(column), ratio=100 / 300)["p"] for column in means.T]
            corrected += min(inference.holm(ps)) < 0.05
            plain += min(inference.holm(list(stats.ttest_1samp(means, 0).pvalue))) < 0.05
        assert corrected / 400 <= 0.06
        assert plain / 400 > 0.2


class TestQuestions:
    def test_paired_differences_are_those_of_equal_repeats(self):
        found = sample_results.make(arms=THREE, **BINARY)
        verdict = judge(found)
        value = {(r["arm"], r["repeat"]): r["ranking"]["average_precision"] for r in found["records"]}
        expected = [[k, value["focal", k] - value["cross_entropy", k]] for k in range(8)]
        assert asked(verdict, "rank", "focal")["differences"] == expected
        found["records"].reverse()
        assert judge(found) == verdict

    def test_the_ratio_comes_from_the_sizes(self):
        found = sample_results.make(arms=THREE, **BINARY)
        assert Runs(found).ratio == pytest.approx(1 / 3)
        entry = asked(judge(found), "rank", "focal")
        oracle = inference.paired([d for _, d in entry["differences"]], 1 / 3)
        assert entry["p"] == oracle["p"]

    def test_holm_runs_over_the_arms_of_each_question(self):
        verdict = judge(sample_results.make(arms=THREE, **BINARY))
        for question in verdict["questions"]:
            ps = [c["p"] for c in question["comparisons"]]
            assert [c["p_holm"] for c in question["comparisons"]] == inference.holm(ps)
        sizes = [len(q["comparisons"]) for q in verdict["questions"]]
        assert sizes == [2, 3, 2]  # deciding has the default rule as well

    def test_another_metric_decides(self):
        found = sample_results.make(arms=THREE, **BINARY)
        found["settings"]["metric"] = "mcc"
        assert judge(found)["questions"][1]["metric"] == "mcc"
        assert "Matthews correlation" in " ".join(judge(found)["sentences"])

    def test_pairs_need_both_runs(self):
        lost = [("focal", 0), ("cross_entropy", 1)]
        verdict = judge(sample_results.make(arms=THREE, repeats=9, failed=lost, **BINARY))
        entry = asked(verdict, "rank", "focal")
        assert (entry["n"], entry["repeats"]) == (7, 9)
        assert [repeat for repeat, _ in entry["differences"]] == [2, 3, 4, 5, 6, 7, 8]
        assert "2 of 27 runs failed" in verdict["sentences"][-1]

    def test_figures_that_are_undefined_drop_out(self):
        found = sample_results.make(arms=THREE, repeats=7, **BINARY)
        next(r for r in found["records"] if r["arm"] == "focal")["ranking"]["average_precision"] = None
        assert asked(judge(found), "rank", "focal")["n"] == 6


class TestHeadline:
    def test_keep_cross_entropy_and_tune(self):
        scores = {"cross_entropy": level(tuned=0.7), "focal": level(tuned=0.7), "balanced": level(tuned=0.7)}
        verdict = judge(results(scores))
        assert verdict["headline"].startswith("Keep cross-entropy and tune the decision rule: no other arm")
        assert "after Holm" in verdict["headline"]
        assert verdict["recommended"]["rule"] == "tuned"
        assert any(text.startswith("Tune the decision rule of cross-entropy") for text in verdict["sentences"])

    def test_keep_cross_entropy_where_tuning_does_nothing(self):
        verdict = judge(results({arm: level() for arm in ("cross_entropy", "focal", "balanced")}))
        assert verdict["headline"].startswith("Keep cross-entropy: no other arm")
        assert (verdict["recommended"]["arm"], verdict["recommended"]["rule"]) == ("cross_entropy", "default")

    def test_tuning_that_harms(self):
        verdict = judge(results({arm: level(default=0.6) for arm in ("cross_entropy", "focal", "balanced")}))
        assert verdict["recommended"]["rule"] == "default"
        assert any(text.startswith("Leave the decision rule") for text in verdict["sentences"])

    def test_a_winner_over_harmful_tuning_has_not_won(self):
        """Tuning took 0.1 from cross-entropy; Poly-1 beats what is left of it and loses to the default rule."""
        scores = {"cross_entropy": level(tuned=0.7, default=0.8), "poly": level(tuned=0.76, default=0.6)}
        verdict = judge(results(scores, arms=POLY))
        assert asked(verdict, "decide", "poly")["result"] == "better"
        assert (verdict["recommended"]["arm"], verdict["recommended"]["rule"]) == ("cross_entropy", "default")
        assert verdict["headline"].startswith("Keep cross-entropy with the default decision rule: tuning the rule made")
        assert "but not shown to be better than cross-entropy at its default rule: Poly-1." in verdict["sentences"][0]

    def test_a_winner_over_both_rules_is_used_with_the_rule_it_won_by(self):
        scores = {"cross_entropy": level(tuned=0.7, default=0.8), "poly": level(tuned=0.9, default=0.6)}
        verdict = judge(results(scores, arms=POLY))
        assert (verdict["recommended"]["arm"], verdict["recommended"]["rule"]) == ("poly", "tuned")
        assert verdict["headline"].startswith("Use Poly-1 with a tuned decision rule: it decides better")

    @pytest.mark.parametrize(("default", "rule"), [(0.5, "default"), (0.6, "default"), (0.4, "tuned")])
    def test_who_only_ranks_better_tunes_where_that_pays(self, default, rule):
        same = level(default=default)
        verdict = judge(results({"cross_entropy": same, "poly": (level(0.6)[0], *same[1:])}, arms=POLY))
        assert (verdict["recommended"]["arm"], verdict["recommended"]["rule"]) == ("poly", rule)
        assert "it ranks better than cross-entropy" in verdict["headline"]

    def test_a_winner_in_both(self):
        scores = {"cross_entropy": level(), "focal": level(0.6, 0.6), "balanced": level(0.55)}
        verdict = judge(results(scores))
        assert verdict["headline"].startswith(
            "Use Focal with a tuned decision rule: it ranks and decides better than cross-entropy (+0."
        )
        assert verdict["recommended"]["arm"] == "focal"
        assert verdict["recommended"]["spec"].startswith("focal(gamma=")
        assert any(text.startswith("Ranks better than cross-entropy, too: Balanced") for text in verdict["sentences"])

    def test_deciding_counts_before_ranking(self):
        scores = {"cross_entropy": level(), "focal": level(precision=0.9), "balanced": level(tuned=0.55)}
        verdict = judge(results(scores))
        assert verdict["recommended"]["arm"] == "balanced"
        assert any("Focal" in text for text in verdict["sentences"])

    def test_better_here_and_worse_there_is_no_winner(self):
        scores = {"cross_entropy": level(), "focal": level(0.6, 0.4), "balanced": level()}
        verdict = judge(results(scores))
        assert verdict["recommended"]["arm"] == "cross_entropy"
        assert "gains in one respect and loses in another" in verdict["headline"]
        assert [entry["arm"] for entry in verdict["avoid"]] == ["focal"]

    def test_avoid(self):
        scores = {"cross_entropy": level(), "focal": level(0.4, 0.4), "balanced": level()}
        told = " ".join(judge(results(scores))["sentences"])
        assert "Avoid here: Focal (ranks worse, -0.1" in told
        assert "decides worse, -0.1" in told

    @pytest.mark.parametrize("repeats", [1, 2, 5])
    def test_too_few_repeats(self, repeats):
        verdict = judge(sample_results.make(arms=THREE, repeats=repeats, **BINARY))
        assert verdict["headline"].startswith(f"Keep cross-entropy for now: {repeats} repeat")
        assert "at least 6" in verdict["headline"]
        assert not verdict["testable"]
        assert asked(verdict, "rank", "focal")["mean"] is not None

    def test_noise(self):
        verdict = judge(sample_results.make(arms=THREE, signal=0.0, test_rows=200, **BINARY))
        assert verdict["found"] is False
        assert verdict["headline"].startswith("Nothing was found")
        assert verdict["recommended"]["arm"] == "cross_entropy"
        assert not any("Avoid" in text for text in verdict["sentences"])

    def test_one_arm_among_many_is_not_a_signal(self):
        """ROC-AUC whose own interval ends above 0.5, in one arm of nine: Holm expects as much of noise."""
        found = sample_results.make(arms=sample_results.ARMS, signal=0.0, test_rows=40, **BINARY)
        for record in found["records"]:
            wobble = 0.01 * (-1) ** record["repeat"]
            record["ranking"]["roc_auc"] = (0.52 if record["arm"] == "poly" else 0.5) + wobble
        verdict = judge(found)
        area = next(row["ranking"]["roc_auc"] for row in verdict["table"] if row["arm"] == "poly")
        assert area["low"] > 0.5
        assert verdict["found"] is False

    def test_without_a_signal_nobody_wins(self):
        found = results({"cross_entropy": level(), "focal": level(0.6, 0.6), "balanced": level(0.4, 0.4)})
        for record in found["records"]:
            record["ranking"]["roc_auc"] = 0.5 + 0.01 * (-1) ** record["repeat"]
        verdict = judge(found)
        assert (verdict["recommended"]["arm"], verdict["recommended"]["rule"]) == ("cross_entropy", "default")
        for question in verdict["questions"][:2]:
            assert question["answer"].endswith("; but no arm ranks above chance, so do not act on it.")
        assert verdict["avoid"] == []
        assert "to be found reliably" not in " ".join(verdict["sentences"])

    def test_what_could_have_been_found(self):
        verdict = judge(sample_results.make(arms=THREE, **BINARY))
        for question, tests in zip(verdict["questions"][:2], (2, 3), strict=True):
            sizes = [
                inference.detectable(c["sd"], 8, 1 / 3, tests)
                for c in question["comparisons"]
                if c["rule"] != "default"
            ]
            assert question["detectable"] == pytest.approx(np.median(sizes))
        rank, decide = (f"{q['detectable']:.3f}" for q in verdict["questions"][:2])
        assert any(
            f"had to be about {rank} in average precision or {decide} in macro-F1 to be found reliably" in text
            for text in verdict["sentences"]
        )

    def test_behind_is_not_the_best(self):
        scores = {"cross_entropy": level(0.6, 0.6), "focal": level(0.5), "balanced": level(0.4)}
        verdict = judge(results(scores, repeats=2))
        assert "(no arm is ahead in ranking so far; closest: Focal, -0.1" in verdict["headline"]
        assert "no arm is ahead so far, the closest is " in verdict["questions"][1]["answer"]

    def test_the_interval_says_that_it_is_not_adjusted(self):
        verdict = judge(results({arm: level() for arm in ("cross_entropy", "focal", "balanced")}))
        assert " unadjusted, p = " in verdict["headline"]

    def test_the_budget_is_named_where_it_was_too_short(self):
        found = sample_results.make(arms=THREE, repeats=2, **BINARY) | {"records": []}
        found["settings"]["budget"] = 5.0
        assert judge(found)["headline"] == "No verdict: none of the 6 runs has finished within the budget of 5 s."

    def test_signal_is_not_noise(self):
        assert judge(sample_results.make(arms=THREE, **BINARY))["found"] is True

    def test_nothing_finished(self):
        everything = [(arm[0], repeat) for arm in THREE for repeat in range(2)]
        verdict = judge(sample_results.make(arms=THREE, repeats=2, failed=everything, **BINARY))
        assert verdict["headline"] == "No verdict: none of the 6 runs has finished."
        assert (verdict["recommended"], verdict["snippet"]) == (None, "")
        assert verdict["sentences"][0].startswith("6 of 6 runs failed or ran out of time")

    def test_no_baseline(self):
        lost = [("cross_entropy", repeat) for repeat in range(6)]
        verdict = judge(sample_results.make(arms=THREE, repeats=6, failed=lost, **BINARY))
        assert verdict["headline"].startswith("No verdict: cross-entropy")

    def test_nothing_to_compare(self):
        verdict = judge(sample_results.make(arms=THREE[:1], repeats=6, **BINARY))
        assert verdict["headline"].startswith("Keep cross-entropy: there is no other arm")

    def test_partial(self):
        verdict = judge(sample_results.make(arms=THREE, repeats=7, missing=[("focal", 6)], **BINARY))
        assert verdict["sentences"][-1] == "This is a partial result: 1 of 21 runs have not been made yet."

    def test_control_characters_of_titles_never_reach_a_sentence(self):
        found = sample_results.make(arms=[THREE[0], ("evil", "a\x1b[31m\u202ered", "none", {})], repeats=6, **BINARY)
        found["arms"][1]["spec"] = "focal"
        verdict = judge(found)
        text = verdict["headline"] + " ".join(verdict["sentences"])
        assert "\x1b" not in text
        assert "\u202e" not in text


class TestTable:
    def test_best_decider_first_and_times_apart(self):
        scores = {"cross_entropy": level(), "focal": level(tuned=0.6), "balanced": level(tuned=0.4)}
        found = results(scores)
        table = judge(found)["table"]
        assert [row["arm"] for row in table] == ["focal", "cross_entropy", "balanced"]
        later = copy.deepcopy(found)
        for record in later["records"]:
            record["time"] = dict.fromkeys(record["time"], 7.0)
        other = judge(later)["table"]
        assert other != table
        assert [row.pop("time") for row in table] != [row.pop("time") for row in other]
        assert json.dumps(other) == json.dumps(table)

    def test_means_and_intervals(self):
        found = sample_results.make(arms=THREE, **BINARY)
        row = next(row for row in judge(found)["table"] if row["arm"] == "focal")
        values = [r["calibration"]["ece"] for r in found["records"] if r["arm"] == "focal"]
        ece = row["calibration"]["ece"]
        assert ece["mean"] == pytest.approx(np.mean(values))
        reach = stats.t(7).ppf(0.975) * np.std(values, ddof=1) * math.sqrt(1 / 8 + 1 / 3)
        assert ece["high"] - ece["mean"] == pytest.approx(reach)

    def test_everything_is_json_and_the_same_every_time(self):
        found = sample_results.make(arms=THREE, repeats=6, failed=[("focal", 2)], **BINARY)
        before = copy.deepcopy(found)
        text = json.dumps(judge(found), allow_nan=False)
        assert found == before
        assert json.dumps(judge(json.loads(json.dumps(found)))) == text

    def test_an_arm_without_runs_comes_last(self):
        lost = [("cross_entropy", 0), ("focal", 0), ("focal", 1)]
        table = judge(sample_results.make(arms=THREE, repeats=2, failed=lost, **BINARY))["table"]
        assert (table[-1]["arm"], table[-1]["finished"], table[-1]["failed"]) == ("focal", 0, 2)


MASKED = {"cross_entropy": "cross_entropy", "balanced": "cross_entropy", "dice": "dice(per=batch)"}


def masks(arm):
    """What a comparison on masks leaves, as far as the program that trains with its winner asks."""
    return {
        "settings": {"model": "unet", "metric": "macro_f1", "learning_rate": 1e-2, "batch_size": 8},
        "task": {"kind": "segmentation", "classes": ["0", "1", "2"], "features": [{"kind": "8 x 12 colour"}]},
        "arms": [{"name": arm, "weighting": "balanced" if arm == "balanced" else "none"}],
        "records": [{"arm": arm, "status": "ok", "epochs": 2}],
    }


class TestSnippet:
    def test_the_most_often_chosen_parameters(self):
        found = sample_results.make(arms=THREE, repeats=6, **BINARY)
        for record, choice in zip(
            [r for r in found["records"] if r["arm"] == "focal"], [2, 0, 2, 1, 2, 1], strict=True
        ):
            record["chosen"] = choice
        best, votes = Runs(found).chosen("focal")[0]
        assert (best["spec"], votes) == ("focal(gamma=2.0)", 3)
        assert [count for _, count in Runs(found).chosen("focal")] == [3, 2, 1]

    @pytest.mark.parametrize("name", [arm[0] for arm in sample_results.ARMS])
    @pytest.mark.parametrize("rule", ["default", "tuned"])
    def test_trains_with_every_arm(self, name, rule):
        names = {}
        exec(self.program(name, rule), names)
        assert len(names["decided"]) == 500
        assert len(set(names["decided"].tolist())) > 1

    def test_trains_as_long_as_the_comparison_did(self):
        found = sample_results.make(arms=THREE, repeats=2, failed=[("focal", 0)], test_rows=40, **BINARY)
        for record in found["records"]:
            record["epochs"] = 7 + record["repeat"] * 10
        programs = {}
        for name in ("focal", "cross_entropy"):
            best, _ = Runs(found).chosen(name)[0]
            programs[name] = snippet.snippet(found, {"arm": name, "rule": "default", **best})
        assert "for epoch in range(17):" in programs["focal"]
        assert "for epoch in range(12):" in programs["cross_entropy"]

    def test_runs_as_it_stands_in_a_fresh_python(self):
        program = self.program("class_balanced_focal", "tuned") + "\nprint(len(decided))"
        command = [sys.executable, "-W", "error", "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.stderr, done.stdout.strip()) == ("", "500")

    @pytest.mark.parametrize("arm", ["cross_entropy", "balanced", "dice"])
    @pytest.mark.parametrize("rule", ["default", "tuned"])
    @pytest.mark.parametrize("metric", ["macro_f1", "iou"])
    def test_masks_get_a_class_in_every_pixel(self, arm, rule, metric):
        found, names = masks(arm), {}
        found["settings"]["metric"] = metric
        exec(snippet.snippet(found, {"arm": arm, "rule": rule, "spec": MASKED[arm], "params": {}}), names)
        assert tuple(names["decided"].shape) == (16, 8, 12)
        assert len(set(names["decided"].flatten().tolist())) > 1

    @pytest.mark.parametrize("kind", ["binary", "regression", "segmentation"])
    @pytest.mark.parametrize("name", ["learning_rate", "weight_decay", "batch_size"])
    def test_a_number_is_a_number_and_never_code(self, kind, name):
        found = masks("cross_entropy")
        found["task"]["kind"] = kind
        found["settings"] |= {"model": "linear", name: "0.1); print('ran'); (0"}
        with pytest.raises(ValueError, match=r"could not convert|invalid literal"):
            snippet.snippet(found, {"arm": "cross_entropy", "rule": "default", "spec": "mse", "params": {}})

    def test_a_spec_is_text_and_never_code(self):
        found = sample_results.make(repeats=1, test_rows=40)
        best, _ = Runs(found).chosen("focal")[0]
        hostile = "my.py:A') or print('ran\n\x1b"
        text = snippet.snippet(found, {"arm": "focal", "rule": "default", **best, "spec": hostile})
        assert f"lossmith.create({hostile!r})" in text
        compile(text, "snippet", "exec")

    @staticmethod
    def program(name, rule):
        found = sample_results.make(repeats=1, test_rows=40)
        best, _ = Runs(found).chosen(name)[0]
        return snippet.snippet(found, {"arm": name, "rule": rule, **best})


def test_numbers_are_written_for_people():
    assert wording.number(-0.0004) == "0.000"
    assert wording.signed(-0.0004) == "0.000"
    assert wording.signed(-0.0126) == "-0.013"
    assert wording.p_value(0.0499) == "= 0.050"
    wide = {"mean": 0.5, "low": -2.0, "high": 3.0}
    assert wording.within(wide, "macro_f1") == {"mean": 0.5, "low": 0.0, "high": 1.0}
    assert wording.within(wide, "mcc")["low"] == -1.0
    assert wording.within(wide, "log_loss") == {"mean": 0.5, "low": 0.0, "high": 3.0}
    assert wording.plural(1, "repeat") == "1 repeat"


class TestTerminal:
    def test_every_arm_on_one_line_of_80_columns(self):
        found = sample_results.make(arms=sample_results.ARMS, repeats=6, test_rows=100, **BINARY)
        console = Console(width=80, file=io.StringIO())
        console.print(terminal.leaderboard(found | {"verdict": judge(found)}))
        lines = [line.strip() for line in console.file.getvalue().splitlines()]
        for title in ("Class-balanced CE", "Logit-adjusted CE", "Generalized CE", "Cross-entropy"):
            row = next(line for line in lines if line.startswith(title))
            assert len(row.split()) == len(title.split()) + 7
        assert "CE: cross-entropy." in console.file.getvalue()

    def test_the_positive_class_is_named(self):
        task = sample_results.make(arms=THREE, repeats=1, test_rows=40, **BINARY)["task"]
        assert "Positive class: yes (average precision is that class's)" in terminal.about(task).plain
        many = sample_results.make(arms=THREE, repeats=1, test_rows=40)["task"]
        assert "Positive class" not in terminal.about(many).plain
