"""Evaluations of tables: the task, the figures against scikit-learn, and reasons for what is undefined."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as oracle

import lossmith
from lossmith.errors import InputError

LABELS = ["cat", "dog", "emu"]


def animals(rows=150, seed=0, noise=1.5):
    """Three classes with probabilities, the predictions the likeliest of them."""
    random = np.random.default_rng(seed)
    y = random.choice(3, rows, p=[0.6, 0.3, 0.1])
    z = random.normal(size=(rows, 3)) + noise * np.eye(3)[y]
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    frame = pd.DataFrame(p, columns=[f"p_{label}" for label in LABELS])
    return frame.assign(y=np.array(LABELS)[y], yhat=np.array(LABELS)[p.argmax(axis=1)])


def table(**columns):
    return pd.DataFrame(columns)


def evaluate(frame, **options):
    return lossmith.evaluate(frame, **{"target": "y", "prediction": "yhat", **options})


def refused(frame, **options):
    with pytest.raises(InputError) as caught:
        evaluate(frame, **options)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith((".", "?"))
    return str(caught.value)


def test_classes_against_scikit_learns_report():
    frame = animals()
    found = evaluate(frame).results
    report = oracle.classification_report(frame.y, frame.yhat, output_dict=True)
    for row in found["per_class"]:
        theirs = report[row["label"]]
        assert (row["precision"], row["recall"], row["f1"], row["support"]) == pytest.approx(tuple(theirs.values()))
    for average in ("macro", "weighted"):
        theirs = report[f"{average} avg"]
        assert found["averages"][average] == pytest.approx(
            {"precision": theirs["precision"], "recall": theirs["recall"], "f1": theirs["f1-score"]}
        )
    assert found["figures"]["accuracy"] == found["averages"]["micro"]["f1"] == pytest.approx(report["accuracy"])
    assert found["figures"]["mcc"] == pytest.approx(oracle.matthews_corrcoef(frame.y, frame.yhat))
    assert found["confusion"] == oracle.confusion_matrix(frame.y, frame.yhat).tolist()
    assert found["undefined"] == {}
    assert "roc_auc" not in found["figures"]


@pytest.mark.parametrize("order", [["p_cat", "p_dog", "p_emu"], ["p_emu", "p_cat", "p_dog"]])
def test_score_columns_find_their_classes_by_name(order):
    frame = animals()
    found = evaluate(frame, score=order).results
    p = frame[["p_cat", "p_dog", "p_emu"]].to_numpy()
    assert found["scores"] == {name: name.removeprefix("p_") for name in order}
    assert found["figures"]["log_loss"] == pytest.approx(oracle.log_loss(frame.y, p))
    each = [oracle.roc_auc_score(frame.y == label, frame[f"p_{label}"]) for label in LABELS]
    assert found["figures"]["roc_auc"] == pytest.approx(np.mean(each))
    assert [row["roc_auc"] for row in found["per_class"]] == pytest.approx(each)
    assert not found["notes"]


def test_score_columns_go_by_the_order_of_the_labels():
    frame = animals().rename(columns={"p_cat": "one", "p_dog": "two", "p_emu": "three"})
    found = evaluate(frame, score=["three", "one", "two"], labels=["emu", "cat", "dog"]).results
    p = frame[["one", "two", "three"]].to_numpy()
    assert found["labels"] == ["emu", "cat", "dog"]
    assert found["figures"]["log_loss"] == pytest.approx(oracle.log_loss(frame.y, p))
    assert found["figures"]["ece"] == evaluate(animals(), score=["p_cat", "p_dog", "p_emu"]).figures["ece"]


def test_columns_in_the_wrong_order_show_in_a_note():
    frame = animals().rename(columns={"p_cat": "one", "p_dog": "two", "p_emu": "three"})
    found = evaluate(frame, score=["one", "three", "two"], labels=LABELS).results
    assert "is not the class with the highest score" in found["notes"][0]


@pytest.mark.parametrize(
    ("names", "labels", "columns"),
    [
        (["a", "b"], ["a", "b"], ["a", "b"]),
        (["p.a", "p.b"], ["a", "b"], ["a", "b"]),
        (["p_x_a", "p_x_b"], ["x_a", "x_b"], ["x_a", "x_b"]),
        (["score 1", "score 0"], [0, 1], ["1", "0"]),
        (["score_-1", "score_1"], [-1, 1], ["-1", "1"]),
    ],
)
def test_names_of_columns_and_labels(names, labels, columns):
    frame = table(y=labels * 3, yhat=labels * 3, **dict.fromkeys(names, 0.5))
    assert evaluate(frame, score=names).results["scores"] == dict(zip(names, columns, strict=True))


@pytest.mark.parametrize("positive", ["cat", "other"])
def test_one_score_of_the_positive_class(positive):
    frame = animals(seed=1)
    frame = frame.assign(y=np.where(frame.y == "cat", "cat", "other"), yhat=np.where(frame.p_cat > 0.5, "cat", "other"))
    p = frame.p_cat if positive == "cat" else 1 - frame.p_cat
    found = evaluate(frame.assign(p=p), score="p", positive=positive)
    hit = frame.y == positive
    assert found.results["positive"] == positive
    assert found.figures["roc_auc"] == pytest.approx(oracle.roc_auc_score(hit, p))
    assert found.figures["average_precision"] == pytest.approx(oracle.average_precision_score(hit, p))
    assert found.figures["log_loss"] == pytest.approx(oracle.log_loss(hit, p))
    assert found.figures["brier"] == pytest.approx(2 * oracle.brier_score_loss(hit, p))
    assert found.figures["f1"] == pytest.approx(oracle.f1_score(frame.y, frame.yhat, pos_label=positive))
    assert not found.results["notes"]


def test_the_positive_class_where_it_is_not_said():
    rows = {"y": [0, 1, 1, 0], "yhat": [0, 1, 0, 0], "p": [0.1, 0.9, 0.4, 0.2]}
    assert evaluate(table(**rows), score="p").results["positive"] == "1"
    words = table(y=list("abba"), yhat=list("abaa"), score_b=[0.1, 0.9, 0.4, 0.2])
    assert evaluate(words, score="score_b").results["positive"] == "b"
    assert "say which" in refused(words.rename(columns={"score_b": "p"}), score="p")
    assert 'named after "b", but positive is "a"' in refused(words, score="score_b", positive="a")


def test_scores_that_are_no_probabilities_only_rank():
    frame = animals()
    margin = np.log(frame.p_cat / (1 - frame.p_cat))
    two = frame.assign(y=frame.y == "cat", yhat=frame.yhat == "cat", margin=margin)
    found = evaluate(two, score="margin")
    assert found.figures["roc_auc"] == pytest.approx(oracle.roc_auc_score(two.y, margin))
    assert found.figures["log_loss"] is found.figures["ece"] is None
    assert "no probabilities (row" in found.results["undefined"]["brier"]


def test_classes_that_are_absent_or_never_predicted():
    found = evaluate(table(y=list("aabbcc"), yhat=list("aabbxa")), task="classification").results
    rows = {row["label"]: row for row in found["per_class"]}
    assert rows["x"]["undefined"] == dict.fromkeys(("recall", "f1"), "the class does not occur in the target")
    assert rows["c"]["undefined"] == {"precision": "the class is never predicted"}
    assert found["averages"]["macro"] == pytest.approx(
        {"precision": None, "recall": 2 / 3, "f1": (4 / 5 + 1 + 0) / 3}, nan_ok=False
    )
    assert set(found["undefined"]) == {"macro_precision", "weighted_precision"}
    assert ['"x"' in note for note in found["notes"]] == [True, False]
    assert ['"c"' in note for note in found["notes"]] == [False, True]


def test_a_target_of_one_class():
    found = evaluate(table(y=[1, 1, 1], yhat=[1, 1, 0], p=[0.9, 0.8, 0.4]), score="p").results
    assert {"mcc", "roc_auc", "average_precision"} == set(found["undefined"])
    assert set(found["undefined"].values()) == {"the target holds one class only"}
    assert found["figures"]["log_loss"] == pytest.approx(-np.log([0.9, 0.8, 0.4]).mean())
    absent = evaluate(table(y=[0, 0], yhat=[1, 0], p=[0.9, 0.2]), score="p").results
    assert '"1" does not occur' in absent["undefined"]["roc_auc"]


def test_labels_are_compared_as_they_stand_in_the_file(tmp_path):
    (tmp_path / "t.csv").write_text("y,yhat\n007,7\n007,007\n008,008\n008,008\nNA,NA\nNA,NA\n")
    found = lossmith.evaluate(tmp_path / "t.csv", target="y", prediction="yhat").results
    assert found["labels"] == ["007", "008", "7", "NA"]
    assert found["figures"]["accuracy"] == pytest.approx(5 / 6)
    mixed = evaluate(table(y=[1.0, 2.0] * 3, yhat=[1, 2] * 3)).results
    assert (mixed["labels"], mixed["figures"]["accuracy"]) == (["1", "2"], 1)


def test_numbers_against_scikit_learn():
    random = np.random.default_rng(0)
    y = random.normal(size=80)
    frame = table(y=y, yhat=y + random.normal(size=80), lo=y - 1, hi=y + np.where(y > 0, -0.5, 0.5))
    found = evaluate(frame, quantile=0.9, lower="lo", upper="hi")
    assert found.figures["mae"] == pytest.approx(np.mean(np.abs(y - frame.yhat)))
    assert found.figures["rmse"] ** 2 == pytest.approx(oracle.mean_squared_error(y, frame.yhat))
    assert found.figures["r2"] == pytest.approx(oracle.r2_score(y, frame.yhat))
    assert found.figures["pinball"] == pytest.approx(oracle.mean_pinball_loss(y, frame.yhat, alpha=0.9))
    assert found.figures["coverage"] == pytest.approx((y <= 0).mean())
    assert found.figures["interval_width"] == pytest.approx(1 + np.where(y > 0, -0.5, 0.5).mean())
    assert found.results["quantile"] == 0.9


def test_undefined_figures_of_numbers_have_reasons():
    found = evaluate(table(y=[0.0, 0.0], yhat=[1.5, 2.5]), task="regression").results
    assert found["figures"]["mape"] is found["figures"]["r2"] is None
    assert "0 in 2 of 2 rows" in found["undefined"]["mape"]
    assert "0 in every row" in found["undefined"]["r2"]


def test_texts_in_chinese():
    frame = table(y=["你好,我有一个帽衫", "帽子大大的"], yhat=["我有一个帽衫", "大大的帽子"])
    found = evaluate(frame, tokenize="zh")
    assert found.figures["bleu"] == pytest.approx(59.809989126151606, abs=1e-12)
    assert "tok:zh" in found.results["signatures"]["bleu"]
    assert "asian:yes" in found.results["signatures"]["ter"]
    plain = evaluate(frame).results
    assert plain["task"] == "text"
    assert "four tokens" in plain["undefined"]["bleu"]
    assert "--tokenize zh" in plain["notes"][0]


def test_an_empty_prediction_is_an_empty_text():
    found = evaluate(table(y=["a b c d e", "f g h i j"], yhat=["a b c d e", None]), task="text").results
    assert found["notes"] == ["1 of 2 predictions are empty and count as empty texts."]
    assert found["figures"]["ter"] == 50
    assert found["figures"]["bleu"] == pytest.approx(100 * np.exp(1 - 10 / 5))


@pytest.mark.parametrize(
    ("y", "yhat", "task"),
    [
        ([0, 1, 1], [0, 1, 0], "classification"),
        ([0, 1, 2, 0, 1, 2], [0, 1, 2, 2, 1, 0], "classification"),
        ([0, 1, 2, 0, 1, 2], [0.1, 1.2, 2, 2, 1, 0], "regression"),
        ([3, 5, 2, 7], [2, 5, 4, 8], "regression"),
        ([0.5, 1.5] * 4, [0.5, 1.5] * 4, "regression"),
        ([True, False], [True, True], "classification"),
        (["a", "b"], ["b", "a"], "classification"),
        (["cat", "dog"] * 3, ["Cat", "Dog"] * 3, "classification"),
        (["on time", "very much too late"] * 3, ["on time"] * 6, "classification"),
        (["the cat sat here", "one more text to see"], ["the cat sat there", "one text"], "text"),
        (["一二三", "四五六"], ["一二", "四五"], "text"),
    ],
)
def test_the_task_is_read_off_the_columns(y, yhat, task):
    found = evaluate(table(y=y, yhat=yhat)).results
    assert found["task"] == task
    assert found["task_reason"].startswith("because ")


@pytest.mark.parametrize(
    ("options", "task"),
    [({"positive": "1"}, "classification"), ({"quantile": 0.5}, "regression"), ({"tokenize": "char"}, "text")],
)
def test_an_option_says_the_task(options, task):
    assert evaluate(table(y=[1, 0, 1], yhat=[1, 0, 0]), **options).results["task"] == task


def tables():
    good = table(y=list("abab"), yhat=list("abba"), p=[0.1, 0.9, 0.4, 0.2])
    numbers = table(y=[1.5, 2.5, 3.5], yhat=[1.0, 2.0, 3.0], lo=[0.0, 9.0, 0.0], hi=[5.0, 5.0, 5.0])
    return [
        ({}, good[:0], "has no rows"),
        ({"prediction": "yhatt"}, good, 'no column "yhatt"; did you mean "yhat"?'),
        ({"prediction": "y"}, good, 'both "y"'),
        ({"score": ["p", "q"]}, good, 'no column "q"'),
        ({"score": "p", "labels": list("abc")}, good, "there are 3 classes"),
        (
            {"labels": list("ac")},
            good,
            'column "y" holds "b", not one of the labels "a", "c", in 2 rows, first in row 2',
        ),
        ({"labels": list("ac")}, good.assign(y="a", yhat=list("aaba")), 'column "yhat" holds "b"'),
        ({"labels": ["a"]}, good, "at least two"),
        ({"labels": list("aba")}, good, '"a" is given twice'),
        ({"labels": "ab"}, good, "must be a list"),
        ({"positive": "x"}, good, 'positive "x" is not among the classes'),
        ({"positive": "a"}, good.assign(y=list("abca")), "positive is for two classes"),
        ({"score": "p", "positive": "a"}, good.assign(p=["x", 1, 2, 3]), 'column "p" holds "x", which is no number'),
        ({"score": "p", "positive": "a"}, good.assign(p=[1, 2, None, 3]), 'column "p" has no value in row 3'),
        ({"score": "p", "positive": "a"}, good.assign(p=[1, 2, np.inf, 3]), "infinite number in row 3"),
        ({"score": ["p", "r"]}, good.assign(r=1), "not clear which class"),
        ({"score": ["p", "r"], "labels": list("abc")}, good.assign(r=1), "2 score columns and 3 labels"),
        ({"score": "p"}, good.assign(y="a", yhat="a"), 'only the class "a" occurs'),
        ({}, good.assign(y=["a", None, "b", None]), 'column "y" has no value in 2 rows, first in row 2'),
        ({}, good.assign(yhat=["a", None, "b", "b"]), 'column "yhat" has no value in row 2'),
        ({}, good.assign(y=[["a"]] * 4), "cells of type list"),
        ({"task": "clasification"}, good, 'did you mean "classification"?'),
        ({"task": "regression", "score": "p"}, good, "score is for classification"),
        ({"tokenize": "zh", "quantile": 0.5}, good, "options of different tasks"),
        ({"task": "regression"}, good, 'column "y" holds "a", which is no number'),
        ({}, numbers.assign(yhat=["1", "two", "3"]), 'column "yhat" holds "two", which is no number, in row 2'),
        ({}, numbers.assign(yhat=[1, np.nan, 3]), 'column "yhat" has no value in row 2'),
        ({}, numbers.assign(yhat=[1, 1e200, 3]), "holds a number above 1e+140 in row 2"),
        ({"lower": "lo"}, numbers, "give both lower and upper"),
        ({"lower": "lo", "upper": "hi"}, numbers, 'column "lo" is above the upper end in row 2'),
        ({"quantile": 2}, numbers, "between 0 and 1, not 2"),
        ({"task": "text"}, good.assign(y=["a", " ", "b", "c"]), "only spaces in row 2"),
        ({"task": "text"}, good.assign(y=["a", None, "b", "c"]), 'column "y" has no value in row 2'),
    ]


@pytest.mark.parametrize(("options", "frame", "said"), tables())
def test_what_cannot_be_used_is_one_sentence(options, frame, said):
    assert said in refused(frame, **options)


def test_too_many_classes_are_refused():
    words = [f"w{number}" for number in range(2001)]
    assert "more than 2,000" in refused(table(y=words, yhat=words), task="classification")


def test_long_labels_do_not_take_memory_for_every_row():
    long = "x" * 900_000
    frame = table(y=[long, *["a"] * 30_000], yhat=["a"] * 30_001)
    assert evaluate(frame, task="classification").figures["accuracy"] == pytest.approx(30_000 / 30_001)


def test_numbers_in_text_files_may_be_written_in_many_ways(tmp_path):
    (tmp_path / "t.csv").write_text("y,yhat\n1.50,1.5\n2.5,2.25\n1e3,1000\n-0.5,+0.5\n")
    found = lossmith.evaluate(tmp_path / "t.csv", target="y", prediction="yhat")
    assert found.figures["mae"] == pytest.approx((0 + 0.25 + 0 + 1) / 4)
    (tmp_path / "t.csv").write_text("y;yhat\n1,50;1,5\n2,5;2,25\n1,5;1,0\n")
    found = lossmith.evaluate(tmp_path / "t.csv", target="y", prediction="yhat")
    assert found.figures["mae"] == pytest.approx((0 + 0.25 + 0.5) / 3)


def test_results_are_json_without_nan_and_the_repr_is_short():
    frame = animals()
    results = [
        evaluate(frame, score=["p_cat", "p_dog", "p_emu"]),
        evaluate(table(y=[0.0, 1.5], yhat=[1.0, 2.0])),
        evaluate(table(y=["a b", "c d"], yhat=["a b", "x"]), task="text"),
    ]
    for result in results:
        assert json.loads(json.dumps(result.results, allow_nan=False)) == result.results
        assert all(name in result.results["undefined"] for name, value in result.figures.items() if value is None)
        assert len(repr(result)) < 400
