"""A saved model: trained on all rows, the same after it is read back, and one sentence for whatever is wrong."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from tables import blobs, labelled, numbers, train_by_hand, write

import lossmith
from lossmith.compare.call import roles_of, task_of, training_of
from lossmith.compare.data.columns import Known, applied
from lossmith.compare.data.task import inputs_of
from lossmith.compare.problems.asked import metrics_of
from lossmith.compare.runs.engine import Stop
from lossmith.compare.runs.store import Store
from lossmith.compare.runs.train import Repeat
from lossmith.compare.saved import folder as folders
from lossmith.compare.saved import refit
from lossmith.compare.saved.rows import applied_to, new_rows
from lossmith.compare.session import Session
from lossmith.compare.settings import Settings
from lossmith.errors import InputError, LossmithError

LETTERS = [
    "the {} train was late and {} again today",
    "we had a {} seat by the window and {} coffee",
    "please send the {} ticket to my {} address",
]


def letters(rows=90):
    generator = np.random.default_rng(0)
    words = np.array(["good", "bad", "red", "blue", "slow", "fast"])
    kinds = generator.integers(0, 2, rows)
    texts = [
        LETTERS[k % 3].format(*generator.choice(words[:3] if kind else words[3:], 2)) + f" number {k}"
        for k, kind in enumerate(kinds)
    ]
    return pd.DataFrame({"letter": texts, "size": generator.normal(size=rows).round(3), "y": kinds})


def compared(folder, data, target, losses, model="linear", size=None, **roles):
    """What `lossmith compare` leaves in its folder, made in this process and of one repeat."""
    task = task_of(data, target, None, roles_of(**roles), None, size, None)
    settings = Settings(
        kind=task.goal.kind, inputs=task.inputs, model=model, metric=metrics_of(task.goal.kind)[0], repeats=1, seed=0,
        jobs=1, budget=None, timeout=60.0, losses=losses,
    )  # fmt: skip
    training = training_of(settings, task)
    session = Session(settings, task, training, training.batch_sizes[0], "", Store(folder), Stop(), True)
    session.store.open()
    plan, repeat = session.plan(), Repeat(task.arrays, training, 0)
    results = session.results(plan, {run.key: repeat.run(run.arm) for run in plan})
    session.store.write("results.json", json.dumps(results))
    return folder


CASES = {
    "binary": (blobs(100), "y", "cross_entropy", "mlp"),
    "calibrated": (blobs(100, 3), "y", "isotonic", "linear"),
    "prior": (blobs(100), "y", "prior_correction", "linear"),
    "ensemble": (blobs(100), "y", "balanced_ensemble", "linear"),
    "smote": (blobs(100), "y", "smote", "linear"),
    "batches": (blobs(100), "y", "balanced_batches", "linear"),
    "regression": (numbers(100), "y", "mse", "mlp"),
    "interval": (numbers(100), "y", "quantiles", "linear"),
    "labels": (labelled(100), ["l0", "l1", "l2"], "focal", "linear"),
    "text": (letters(), "y", "focal", "linear"),
    "lightgbm": (blobs(100, 3), "y", "focal", "lightgbm"),
    "xgboost": (numbers(100), "y", "huber", "xgboost"),
    "labels by trees": (labelled(100), ["l0", "l1", "l2"], "bce_with_logits", "xgboost"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The model of a case in memory and its folder, made once."""
    known = {}

    def make(case):
        if case not in known:
            frame, target, arm, model = CASES[case]
            folder = tmp_path_factory.mktemp("case")
            data = write(folder, frame)
            compared(folder / "report", data, target, [arm], model)
            fitted = lossmith.compare.fit_best(folder / "report", folder / "model", arm=arm)
            known[case] = frame, fitted, folder / "model"
        return known[case]

    return make


def said(call, *words, **options):
    """The one sentence with which a call is refused."""
    with pytest.raises(LossmithError) as caught:
        call(*words, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith((".", "?"))
    return message


@pytest.mark.parametrize("case", CASES)
def test_a_model_that_is_read_back_predicts_the_same(made, case):
    frame, fitted, folder = made(case)
    again = lossmith.compare.load_model(folder)
    first = fitted.predict(frame)
    pd.testing.assert_frame_equal(first, again.predict(frame), check_exact=True)
    pd.testing.assert_frame_equal(first, again.predict(frame.iloc[:, ::-1].assign(more=1)), check_exact=True)
    one = again.predict(frame.iloc[[7]])
    assert one["prediction"].tolist() == pytest.approx(first["prediction"].tolist()[7:8])
    assert again.about == fitted.about
    assert len(first) == fitted.about["rows"] == len(frame)


@pytest.mark.parametrize("case", CASES)
def test_nothing_in_the_folder_can_run_code(made, case):
    folder = made(case)[2]
    names = sorted(path.name for path in folder.iterdir())
    assert "model.json" in names
    assert all(re.fullmatch(r"model\.json|model\.safetensors|booster-\d\.(json|txt)", name) for name in names)
    for path in folder.iterdir():
        start = path.read_bytes()[:2]
        assert start not in {b"\x80" + bytes([protocol]) for protocol in range(2, 6)}  # a pickle
        assert start != b"PK"  # what torch.save writes
    assert sorted(path.name for path in folder.parent.iterdir()) == ["model", "report", "table.csv"]


@pytest.mark.parametrize("case", ["binary", "calibrated", "prior", "ensemble", "smote", "batches", "text", "lightgbm"])
def test_classes_have_probabilities_and_are_mostly_right(made, case):
    frame, fitted, _ = made(case)
    found = fitted.predict(frame)
    classes = sorted(map(str, frame["y"].unique()))
    assert list(found.columns) == ["prediction", *(f"p_{name}" for name in classes)]
    np.testing.assert_allclose(found.filter(like="p_").sum(axis=1), 1, atol=1e-12)
    truth = frame["y"].astype(str)
    recalls = [(found["prediction"][truth == name] == name).mean() for name in classes]
    assert np.mean(recalls) > 1.2 / len(classes)


def test_numbers_have_an_interval_where_the_arm_has_one(made):
    for case in ("regression", "xgboost"):
        frame, fitted, _ = made(case)
        found = fitted.predict(frame)
        assert list(found.columns) == ["prediction"]
        assert np.corrcoef(found["prediction"], frame["y"])[0, 1] > 0.9
        assert abs((found["prediction"] - frame["y"]).mean()) < 0.5
    frame, fitted, _ = made("interval")
    found = fitted.predict(frame)
    assert list(found.columns) == ["prediction", "low", "high"]
    assert 0.8 < ((found["low"] <= frame["y"]) & (frame["y"] <= found["high"])).mean() <= 1
    raw = np.sort(fitted.raw(fitted.inputs.find(frame).inputs).double().numpy()[:, 1:3] * fitted.scale, axis=1)
    np.testing.assert_allclose(raw[:, 0] - found["low"], fitted.rule["reach"], atol=1e-9)
    assert fitted.rule["reach"] != 0


@pytest.mark.parametrize("case", ["labels", "labels by trees"])
def test_labels_are_listed_where_their_probability_is_above_the_threshold(made, case):
    frame, fitted, _ = made(case)
    found = fitted.predict(frame)
    assert list(found.columns) == ["prediction", "p_l0", "p_l1", "p_l2"]
    names = ["l0", "l1", "l2"]
    expected = ["|".join(n for n in names if row[f"p_{n}"] > 0.5) for _, row in found.iterrows()]
    assert found["prediction"].tolist() == expected
    assert len(set(expected)) > 2
    assert np.mean([("l0" in text) == there for text, there in zip(expected, frame["l0"], strict=True)]) > 0.75


def test_the_model_is_trained_on_all_rows_for_the_epochs_that_were_found(tmp_path):
    """The same by hand: standardised numbers of all rows, AdamW, the batches of every epoch."""
    frame = blobs(100).drop(columns="word")
    compared(tmp_path / "report", frame, "y", ["focal"])
    fitted = lossmith.compare.fit_best(tmp_path / "report", tmp_path / "model", data=frame, arm="cross_entropy")
    scaled = (frame[["a", "b"]].to_numpy() - frame[["a", "b"]].mean().to_numpy()) / frame[["a", "b"]].std(
        ddof=0
    ).to_numpy()
    inputs = torch.from_numpy(scaled / np.sqrt(1 + (scaled / 3) ** 2)).float()
    labels = torch.from_numpy((frame["y"] == "yes").to_numpy().astype(int))
    results = json.loads((tmp_path / "report" / "results.json").read_text())
    attempt = results["records"][0]["chosen"]
    weights, order = (int(seed) for seed in np.random.SeedSequence([0, 0, attempt]).generate_state(2))
    torch.manual_seed(weights)
    model = torch.nn.Linear(2, 2)
    (epochs,) = fitted.about["epochs"]
    train_by_hand(model, inputs, labels, epochs=epochs, order=order, batch=16, lr=7e-3)
    kept = load_file(tmp_path / "model" / "model.safetensors")
    torch.testing.assert_close(kept["0.0.weight"], model.weight.detach(), atol=1e-5, rtol=1e-4)
    p = torch.softmax(model(inputs).double(), 1).detach().numpy()
    np.testing.assert_allclose(fitted.predict(frame)[["p_no", "p_yes"]], p, atol=1e-5)


def test_a_rule_that_there_is_not_is_refused(tmp_path):
    compared(tmp_path / "classes", write(tmp_path, blobs(100)), "y", ["focal"])
    with pytest.raises(InputError, match='unknown rule "best"'):
        lossmith.compare.fit_best(tmp_path / "classes", rule="best")
    compared(tmp_path / "numbers", write(tmp_path, numbers(100)), "y", ["mae"])
    with pytest.raises(InputError, match="without a decision rule; leave --rule out"):
        lossmith.compare.fit_best(tmp_path / "numbers", rule="tuned")


def test_a_tuned_rule_is_that_of_the_rows_held_out(tmp_path, monkeypatch):
    from lossmith.compare.remedies import rules

    compared(tmp_path / "report", write(tmp_path, blobs(150, 3)), "y", ["focal"])
    monkeypatch.setattr(refit, "better_rule", lambda verdict, arm: "tuned")
    rows = {}

    class Watched(refit.HeldOut):
        def __init__(self, arrays, training):
            super().__init__(arrays, training)
            rows.update(self.parts)

    monkeypatch.setattr(refit, "HeldOut", Watched)
    seen = []
    tune = rules.tune
    monkeypatch.setattr(rules, "tune", lambda p, y, *more, **options: seen.append(y) or tune(p, y, *more, **options))
    fitted = lossmith.compare.fit_best(tmp_path / "report", arm="focal")
    assert (fitted.about["arm"], fitted.about["rule"], fitted.rule["name"]) == ("focal", "tuned", "tuned")
    monkeypatch.setattr(refit, "better_rule", lambda verdict, arm: "default")
    asked = lossmith.compare.fit_best(tmp_path / "report", arm="focal", rule="tuned")
    assert (asked.about["rule"], asked.rule) == ("tuned", fitted.rule)
    assert np.any(fitted.rule["values"])
    names = np.array(["maybe", "no", "yes"])
    assert names[seen[0]].tolist() == blobs(150, 3)["y"][rows["validation"]].tolist()
    assert sorted([*rows["train"], *rows["validation"]]) == list(range(150))
    assert 28 <= len(rows["validation"]) <= 32
    found = fitted.predict(blobs(150, 3))
    scores = np.log(found.filter(like="p_").to_numpy()) + np.array(fitted.rule["values"])
    assert found["prediction"].tolist() == names[scores.argmax(1)].tolist()
    assert found["prediction"].tolist() != names[found.filter(like="p_").to_numpy().argmax(1)].tolist()


def test_rows_in_time_are_held_out_at_the_end(tmp_path):
    frame = blobs(100).assign(day=np.random.default_rng(1).permutation(100))
    task = task_of(frame, "y", None, roles_of(time="day"), None, None, None)
    settings = Settings("binary", "table", "linear", "macro_f1", 4, 0, 1, None, 60.0, None)
    parts = refit.held_out_parts(task.arrays, training_of(settings, task))
    days = task.arrays["times"]
    assert days[parts["train"]].max() < days[parts["validation"]].min()
    assert len(parts["train"]) + len(parts["validation"]) == 100


def kinds_of_columns(rows=60):
    generator = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "number": np.where(np.arange(rows) % 7 == 0, np.nan, generator.normal(size=rows).round(2)),
            "flag": generator.integers(0, 2, rows).astype(bool),
            "day": pd.date_range("2024-01-01", periods=rows, freq="5D").strftime("%Y-%m-%d"),
            "code": np.where(np.arange(rows) % 6 == 0, None, generator.choice(["007", "7", "A1"], rows)),
            "letter": letters(rows)["letter"],
            "y": generator.choice(["no", "yes"], rows),
        }
    )


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    data = write(folder, kinds_of_columns())
    compared(folder / "report", data, "y", ["focal"])
    return lossmith.compare.fit_best(folder / "report"), data


def test_known_columns_give_the_numbers_of_training_again(tmp_path):
    path = write(tmp_path, kinds_of_columns())
    task = task_of(path, "y", None, roles_of(), None, None, None)
    kinds = {name: known.kind for name, known in task.columns.items()}
    assert kinds == {"number": "numeric", "flag": "boolean", "day": "date", "code": "categorical", "letter": "text"}
    assert task.columns["day"].names == ("days", "month", "weekday")
    frame, ignored = new_rows(path, task.columns)
    arrays, kinds = inputs_of(applied_to(frame, task.columns), len(frame), None)
    np.testing.assert_array_equal(arrays["matrix"], task.matrix)
    assert arrays["text:0"].tobytes() == task.arrays["text:0"].tobytes()
    assert (kinds, ignored) == (task.kinds, ["y"])


def test_a_word_that_training_had_not_is_after_all_known_ones():
    known = Known("categorical", ("a", "b"))
    (part,) = applied(known, "c", pd.Series(["b", "z", None, "a", "y"], dtype="object")).parts
    np.testing.assert_array_equal(part.values, [1, 2, np.nan, 0, 2])


def test_unseen_missing_and_known_categories_differ_as_they_did_in_training(mixed):
    model, _ = mixed
    row = kinds_of_columns().drop(columns="y").iloc[[1]]

    def p(**changed):
        return model.predict(row.assign(**changed))["p_yes"].item()

    assert p(code="never") == p(code="neither")
    assert len({p(code=word) for word in ("never", None, "007", "7", "A1")}) == 5
    assert p(number=np.nan) != p(number=0.0)
    assert p(day=None) == p(day=np.nan)
    assert p(letter=None) == p(letter="")


def test_text_files_are_read_cell_by_cell_as_in_training(mixed, tmp_path):
    model, data = mixed
    whole = model.predict(data)
    lines = data.read_text().splitlines()
    for row in (0, 1, 5):  # alone, a code such as 007 would be taken for a number
        (tmp_path / "one.csv").write_text("\n".join([lines[0], lines[row + 1]]) + "\n")
        one = model.predict(tmp_path / "one.csv")
        np.testing.assert_allclose(one["p_yes"], whole["p_yes"][row : row + 1], atol=1e-7)
    pd.read_csv(data, dtype={"code": str}).to_parquet(tmp_path / "t.parquet")
    np.testing.assert_allclose(model.predict(tmp_path / "t.parquet")["p_yes"], whole["p_yes"], atol=1e-7)
    header = "number,flag,day,code,letter\n"
    for missing in ("", "NA", "null"):
        (tmp_path / "one.csv").write_text(f"{header}{missing},True,2024-01-01,A1,a\n")
        assert model.predict(tmp_path / "one.csv")["p_yes"].item() == pytest.approx(
            model.predict(pd.DataFrame([[np.nan, True, "2024-01-01", "A1", "a"]], columns=header.strip().split(",")))[
                "p_yes"
            ].item()
        )


@pytest.mark.parametrize(
    ("column", "cell", "sentence"),
    [
        ("number", "many", 'column "number" must hold numbers, and holds "many"; correct it or leave it empty.'),
        ("number", np.inf, 'column "number" holds 1 infinite value'),
        ("flag", "perhaps", 'column "flag" must hold truth values, and holds "perhaps"'),
        ("day", "1.2.2024", 'column "day" must hold dates (YYYY-MM-DD), and holds "1.2.2024"'),
    ],
)
def test_cells_that_a_column_cannot_have_are_named(mixed, tmp_path, column, cell, sentence):
    model, _ = mixed
    row = kinds_of_columns().iloc[[1]].assign(**{column: [cell]})
    assert sentence in said(model.predict, row)
    assert sentence in said(model.predict, write(tmp_path, row, "bad.csv"))


def test_missing_columns_are_listed_in_one_sentence(mixed, tmp_path):
    model, _ = mixed
    row = kinds_of_columns().drop(columns=["code", "day"])
    sentence = said(model.predict, write(tmp_path, row, "few.csv"))
    assert (
        sentence
        == 'few.csv lacks 2 of the 5 columns that the model needs: "day", "code"; add them (cells may be empty).'
    )


def tampered(folder, how):
    path = folder / "model.json"
    words = json.loads(path.read_text())
    if how == "no folder":
        return folder / "elsewhere"
    if how == "missing":
        path.unlink()
    elif how == "no JSON":
        path.write_text(path.read_text()[:-20])
    elif how == "a list":
        path.write_text("[1]")
    elif how == "format":
        path.write_text(json.dumps({**words, "format": 2}))
    elif how == "changed":
        words["rule"]["values"] = [5.0, 0.0]
        path.write_text(json.dumps(words))
    elif how == "lacking":
        del words["training"]
        path.write_text(json.dumps(summed(words)))
    elif how == "outside":
        words["files"] = {"../table.csv": "0" * 64}
        path.write_text(json.dumps(summed(words)))
    elif how == "no parameters":
        (folder / "model.safetensors").unlink()
    else:
        (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-1] + b"\x07")
    return folder


def summed(words):
    """With the sum that belongs to it, as someone would make it who wants to be believed."""
    words.pop("check")
    return {**words, "check": folders.checksum(words)}


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("no folder", "is no folder"),
        ("missing", "model.json is missing"),
        ("no JSON", "model.json is damaged"),
        ("a list", "model.json is damaged"),
        ("format", 'has the format "2", and this version of lossmith reads 1'),
        ("changed", "model.json is not as it was written"),
        ("lacking", "is damaged"),
        ("outside", "model.json is not as it was written"),
        ("no parameters", "model.safetensors is missing"),
        ("other parameters", "model.safetensors is not as it was written"),
    ],
)
def test_a_folder_that_is_no_model_is_refused(made, tmp_path, how, sentence, command):
    frame, fitted, _ = made("prior")
    fitted.save(tmp_path / "model")
    folder = tampered(tmp_path / "model", how)
    assert sentence in said(lossmith.compare.load_model, folder)
    code, out, err = command("predict", folder, write(tmp_path, frame))
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_what_is_there_is_replaced_only_when_it_is_a_model_and_that_is_asked_for(made, tmp_path):
    fitted, other = made("prior")[1], made("regression")[1]
    fitted.save(tmp_path / "model")
    assert "is there already" in said(other.save, tmp_path / "model")
    other.save(tmp_path / "model", force=True)
    assert lossmith.compare.load_model(tmp_path / "model").about["kind"] == "regression"
    (tmp_path / "model" / "thesis.txt").write_text("mine")
    assert "is no model folder" in said(fitted.save, tmp_path / "model", force=True)
    assert (tmp_path / "model" / "thesis.txt").read_text() == "mine"
    (tmp_path / "link").symlink_to(tmp_path / "model")
    assert "is a symbolic link" in said(fitted.save, tmp_path / "link", force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "model"]


def test_a_write_that_fails_leaves_what_was_there(made, tmp_path, monkeypatch):
    fitted, other = made("prior")[1], made("regression")[1]
    fitted.save(tmp_path / "model")

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folders, "write_bytes", full)
    assert "No space left on device" in said(other.save, tmp_path / "model", force=True)
    assert lossmith.compare.load_model(tmp_path / "model").about["kind"] == "binary"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_other_data_and_other_comparisons_are_refused(tmp_path):
    frame = blobs(100)
    data = write(tmp_path, frame)
    report = compared(tmp_path / "report", data, "y", ["focal"])
    fit = lossmith.compare.fit_best
    assert 'no arm "fokal"; did you mean "focal"?' in said(fit, report, arm="fokal")
    frame.loc[3, "a"] += 1
    assert "table.csv is not the table that was compared on" in said(fit, report, data=write(tmp_path, frame))
    data.unlink()
    assert "does not exist" in said(fit, report)
    assert fit(report, data=blobs(100)).about["rows"] == 100
    results = json.loads((report / "results.json").read_text())
    results["task"]["origin"]["path"] = None
    (report / "results.json").write_text(json.dumps(results))
    assert "give the same table as --data" in said(fit, report)
    for inputs, what in (("masks", "masks"), ("loaders", "a model of your own")):
        results["settings"]["inputs"] = inputs
        (report / "results.json").write_text(json.dumps(results))
        assert said(fit, report).endswith(f"this comparison was of {what}.")
    assert not (tmp_path / "model").exists()


def test_the_command_line_from_a_report_to_predictions(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    frame = blobs(100).replace({"y": {"yes": "=1+1"}})
    compared(Path("report"), write(tmp_path, frame), "y", ["focal"])
    code, out, _ = command("fit-best", "report", "--out", "model")
    assert code == 0
    assert "Cross-entropy" in out
    assert "Trained on all 100 rows" in out
    assert command("fit-best", "report", "--out", "model")[0] == 2
    code, out, err = command("predict", "model", "table.csv")
    assert (code, err) == (0, 'lossmith: 100 predictions; 1 column ignored ("y").\n')
    rows = out.splitlines()
    assert rows[0] == "prediction,p_=1+1,p_no"
    assert {row.split(",")[0] for row in rows[1:]} == {"'=1+1", "no"}
    code, out, _ = command("predict", "model", "table.csv", "--out", "p.csv", "--json")
    summary = json.loads(out)
    assert (code, summary["rows"], summary["ignored_columns"]) == (0, 100, ["y"])
    assert sum(summary["predicted"].values()) == 100
    found = pd.read_csv("p.csv")
    expected = lossmith.compare.load_model("model").predict(frame)
    np.testing.assert_allclose(found["p_no"], expected["p_no"], rtol=1e-15)
    Path("link.csv").symlink_to("p.csv")
    for bad in (["--out", "link.csv"], ["--out", "table.csv"], ["--json"]):
        code, out, err = command("predict", "model", "table.csv", *bad)
        assert (code, out, err.count("\n")) == (2, "", 1)
    pd.testing.assert_frame_equal(pd.read_csv("table.csv"), frame)
