"""The paragraph for a reader without statistics: every sentence, in every situation, with figures set by hand."""

import sample_results

from lossmith.compare.report.summary import changed, paragraph
from lossmith.compare.verdict.judge import judge

PAIR = [arm for arm in sample_results.ARMS if arm[0] in ("cross_entropy", "focal")]


def results(repeats=8, better=0.0, tuned=0.0, classes=("no", "yes"), counts=(900, 100), **more):
    """Two arms: focal's tuned macro-F1 is ``better`` than cross-entropy's, which is ``tuned`` above its default's."""
    found = sample_results.make(
        classes=list(classes), counts=list(counts), arms=PAIR, repeats=repeats, test_rows=20, **more
    )
    for record in found["records"]:
        if record["status"] != "ok":
            continue
        wobble = 0.001 * (record["repeat"] % 3)
        focal = record["arm"] == "focal"
        record["ranking"] |= {"average_precision": 0.5 + wobble, "roc_auc": 0.9 + wobble}
        for rule, gain in (("default", 0.0), ("tuned", tuned)):
            figure = 0.6 + gain + wobble + (better * (1 + wobble) if focal else 0.0)
            recall, precision = (0.5, 0.8) if rule == "default" else (0.7, 0.75)
            record["decision"][rule] |= {
                "macro_f1": figure,
                "accuracy": 0.9,
                "recall": [0.99] * (len(counts) - 1) + [recall + (0.012 if focal else 0.0)],
                "precision": [0.97] * (len(counts) - 1) + [precision - (0.05 if focal else 0.0)],
            }
    return found | {"verdict": judge(found)}


def test_another_loss_wins():
    found = paragraph(results(better=0.1, tuned=0.1))
    assert found == [
        "The same model was trained in 2 ways to predict block from 1,000 rows of page-blocks.csv, and each way was "
        "tried on 8 different splits into rows to learn from and rows to be tested on.",
        "Train with Focal instead of cross-entropy and tune the decision rule.",
        "Of 1,000 rows of class yes it finds 712, 12 more than cross-entropy with the tuned rule; of 1,000 that it "
        "calls so, 700 are right, 50 fewer than before.",
        "That it decides better is very likely no accident: chance alone makes any loss seem so less than 1 time in "
        "20.",
    ]


def test_tuning_the_rule_wins_and_is_told_against_the_default_rule():
    found = paragraph(results(tuned=0.1))
    assert (
        found[1]
        == "Keep training with cross-entropy, but do not simply take the most probable class: tune the decision rule."
    )
    assert found[2] == (
        "Of 1,000 rows of class yes it finds 700, 200 more than cross-entropy with the default rule; of 1,000 that it "
        "calls so, 750 are right, 50 fewer than before."
    )
    assert (
        found[3] == "That tuning the rule helps is very likely no accident; nothing else was shown to help beyond it."
    )


def test_nothing_wins():
    found = paragraph(results())
    assert found[1] == "Keep training with cross-entropy."
    assert found[2] == (
        "It is right on 900 of 1,000 rows; of 1,000 rows of class yes it finds 500, and of 1,000 that it calls so "
        "800 are right."
    )
    assert found[3] == "No other way of training was shown to be better, which does not prove that none is."


def test_the_rarest_of_many_classes():
    found = paragraph(results(tuned=0.1, classes=("a", "b", "c"), counts=(900, 300, 40)))
    assert "rows of the rarest class c it finds 700, 200 more" in found[2]


def test_a_loss_that_gains_nothing_in_rows_says_so():
    found = results(better=0.1)
    for record in found["records"]:
        record["decision"]["tuned"] |= {"recall": [0.9, 0.5], "precision": [0.9, 0.8]}
    assert "finds 500, as many as cross-entropy with the tuned rule" in paragraph(found)[2]
    assert paragraph(found)[2].endswith("800 are right, as many as before.")


def test_too_few_repeats():
    found = paragraph(results(repeats=2))
    assert (
        found[3] == "This is not sure at all: 2 splits cannot tell a difference from chance, and at least 6 are needed."
    )


def test_runs_that_are_missing():
    found = paragraph(results(failed=[("focal", 1)], missing=[("focal", 2)]))
    assert found[-1] == "Of 16 trainings, 2 did not finish, so this may still change."


def test_no_finished_baseline_and_no_signal():
    found = sample_results.make(arms=PAIR, repeats=2, test_rows=20, failed=[("cross_entropy", 0), ("cross_entropy", 1)])
    told = paragraph(found | {"verdict": judge(found)})
    assert told[1] == "There is no advice yet, because too few of these trainings have finished."
    assert len(told) == 3
    nothing = results()
    nothing["verdict"]["found"] = False
    assert paragraph(nothing)[1].startswith("Look at the data first")
    assert len(paragraph(nothing)) == 2


def test_numbers():
    found = sample_results.regression(gains={"huber": 0.5})
    told = paragraph(found | {"verdict": judge(found)})
    assert told[1] == "Train with Huber instead of squared error."
    assert told[2].startswith("Its RMSE is ")
    assert "of squared error (" in told[2]
    assert "% less)" in told[2]
    found["settings"]["metric"] = "mae"
    for record in found["records"]:
        record["errors"] |= {"mae": 50.0 if record["arm"] == "huber" else 80.0}
    told = paragraph(found | {"verdict": judge(found)})
    assert told[2] == "Its predictions are off by 50 on average, against 80 of squared error (38 % less)."
    assert "smaller mean error" in told[3]


def test_numbers_of_a_baseline_that_stays():
    found = sample_results.regression()
    for record in found["records"]:
        record["errors"] |= {"mae": 80.0}
    assert paragraph(found | {"verdict": judge(found)})[2] == "Its predictions are off by 80 on average."


def test_changes_in_words():
    assert changed(0.512, 0.5) == "12 more than"
    assert changed(0.499, 0.5) == "1 fewer than"
    assert changed(0.5001, 0.5) == "as many as"
