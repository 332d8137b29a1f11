"""A saved model of images: trained on all of them, the same after it is read back, fed from a folder or a table."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tables import train_by_hand, write

import lossmith
from lossmith.compare.call import roles_of, task_of
from lossmith.compare.data import images
from lossmith.compare.data.load import Room
from lossmith.compare.data.memory import fixed_bytes
from lossmith.compare.models.networks import cnn
from lossmith.compare.saved import refit
from tests.compare.saved_test import compared, said

SIZE = 8
COUNTS = {"cat": 20, "dog": 14, "owl": 10}
GREY, COLOUR = 1, 3


def drawn(channels, seed=0):
    """Images of three classes, of which each is bright in a corner of its own and in noise else."""
    generator = np.random.default_rng(seed)
    for k, (name, count) in enumerate(COUNTS.items()):
        for number in range(count):
            image = generator.integers(0, 200, (12, 12, channels))
            image[6 * (k // 2) :, 6 * (k % 2) :][:6, :6] += generator.integers(0, 56)
            yield name, f"{number}.png", image.astype(np.uint8)


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values[:, :, 0] if values.shape[-1] == 1 else values).save(path)
    return path


def classes(root, channels):
    """A folder for each class."""
    for name, file, image in drawn(channels):
        save(root / name / file, image)
    return root


def table(root, channels):
    """The same images in one folder, and a table beside it that names them in another order."""
    cells = []
    for name, file, image in drawn(channels):
        save(root / "all" / f"{name}-{file}", image)
        cells.append((f"all/{name}-{file}", name))
    frame = pd.DataFrame(cells, columns=["photo", "animal"]).sample(frac=1, random_state=3)
    amount = np.arange(len(frame)) / 7 + (frame["animal"] == "cat") * 30
    frame = frame.assign(amount=amount, tags=frame["animal"].map({"cat": "a|b", "dog": "b", "owl": "a"}), more=1)
    return write(root, frame, "photos.csv")


CASES = {
    "folder": (classes, GREY, None, "cross_entropy", {}),
    "colour folder": (classes, COLOUR, None, "cross_entropy", {}),
    "table": (table, COLOUR, "animal", "temperature", {}),
    "ensemble": (table, GREY, "animal", "balanced_ensemble", {}),
    "numbers": (table, GREY, "amount", "mse", {}),
    "labels": (table, GREY, "tags", "bce_with_logits", {"separator": "|"}),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The data of a case, its model in memory and the folder of that, made once."""
    known = {}

    def make(case):
        if case not in known:
            place, channels, target, arm, roles = CASES[case]
            folder = tmp_path_factory.mktemp("case")
            data = place(folder / "data", channels)
            compared(folder / "report", data, target, [arm], "cnn", SIZE, **roles)
            fitted = lossmith.compare.fit_best(folder / "report", folder / "model", arm=arm)
            known[case] = data, fitted, folder / "model"
        return known[case]

    return make


def bilinear(path, mode):
    """An image as the network gets it."""
    return np.asarray(Image.open(path).convert(mode).resize((SIZE, SIZE), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("case", CASES)
def test_a_model_that_is_read_back_predicts_the_same(made, case):
    data, fitted, folder = made(case)
    again = lossmith.compare.load_model(folder)
    found = again.predict(data)
    pd.testing.assert_frame_equal(fitted.predict(data), found, check_exact=True)
    assert len(found) == fitted.about["rows"] == 44
    assert (again.about, again.inputs) == (fitted.about, fitted.inputs)
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "model.safetensors"]
    words = json.loads((folder / "model.json").read_text())
    column, channels = (CASES[case][0] is table and "photo") or "image", CASES[case][1]
    assert (words["format"], words["images"]) == (1, {"column": column, "size": SIZE, "channels": channels})


@pytest.mark.parametrize(("case", "mode"), [("folder", "L"), ("colour folder", "RGB")])
def test_predictions_are_those_of_the_kept_network_on_the_files(made, case, mode):
    """By hand: Pillow's pixels, the network with the kept parameters, a softmax; in the order of the paths."""
    data, fitted, folder = made(case)
    names = sorted(str(path.relative_to(data)) for path in data.rglob("*.png"))
    pixels = np.stack([bilinear(data / name, mode) for name in names]).reshape(44, SIZE, SIZE, -1)
    network = cnn(channels=pixels.shape[3], size=SIZE, outputs=3, seed=1)
    parameters = load_file(folder / "model.safetensors")
    network.load_state_dict({name.removeprefix("0."): value for name, value in parameters.items()})
    p = torch.softmax(network(torch.from_numpy(pixels)).double(), 1).detach().numpy()
    found = fitted.predict(data)
    assert list(found.columns) == ["image", "prediction", "p_cat", "p_dog", "p_owl"]
    assert found["image"].tolist() == names
    np.testing.assert_allclose(found[["p_cat", "p_dog", "p_owl"]], p, atol=1e-6)
    assert found["prediction"].tolist() == np.array(list(COUNTS))[p.argmax(1)].tolist()
    assert (found["prediction"] == [name.split("/")[0] for name in names]).mean() > 0.6


def test_the_model_is_trained_on_all_images_for_the_epochs_that_were_found(made):
    """The same by hand: AdamW, the batches of every epoch, all images in the order of their folders."""
    data, fitted, folder = made("folder")
    paths = [path for name in COUNTS for path in sorted((data / name).iterdir())]
    pixels = torch.from_numpy(np.stack([bilinear(path, "L") for path in paths])[..., None])
    labels = torch.tensor([list(COUNTS).index(path.parent.name) for path in paths])
    results = json.loads((folder.parent / "report" / "results.json").read_text())
    attempt = results["records"][0]["chosen"]
    weights, order = (int(seed) for seed in np.random.SeedSequence([0, 0, attempt]).generate_state(2))
    network = cnn(channels=1, size=SIZE, outputs=3, seed=weights)
    (epochs,) = fitted.about["epochs"]
    train_by_hand(network, pixels, labels, epochs=epochs, order=order, batch=32, lr=3e-3)
    kept = load_file(folder / "model.safetensors")
    for name, value in network.state_dict().items():
        torch.testing.assert_close(kept[f"0.{name}"], value, atol=1e-4, rtol=1e-3)


def test_a_folder_and_a_table_give_the_same(made, tmp_path):
    for case, column in (("folder", "image"), ("table", "photo")):
        data, fitted, _ = made(case)
        root = data if data.is_dir() else data.parent
        whole = fitted.predict(root)
        rows = whole.sample(n=9, random_state=1)
        rows = pd.concat([rows, rows.iloc[:1]])  # an image may be named twice
        new = write(root, pd.DataFrame({"note": "x", column: rows["image"]}), "new.csv")
        found = fitted.predict(new)
        assert list(found.columns) == list(whole.columns[1:])
        assert found["prediction"].tolist() == rows["prediction"].tolist()
        np.testing.assert_allclose(found.filter(like="p_"), rows.filter(like="p_"), atol=1e-6)
        new.unlink()


def test_a_data_frame_names_images_below_the_current_folder(made, monkeypatch):
    data, fitted, _ = made("table")
    monkeypatch.chdir(data.parent)
    pd.testing.assert_frame_equal(fitted.predict(pd.read_csv(data)), fitted.predict(data), check_exact=True)


def test_images_are_found_in_folders_inside_folders_in_the_order_of_their_paths(made, tmp_path):
    names = ["a/b/2.png", "a/b/10.png", "a.png", "a-1.JPEG", "z/1.png", "B.png"]
    for k, name in enumerate(names):
        save(tmp_path / name, np.full((9, 9, 1), 40 * k, np.uint8))
    for name in (".hidden.png", "a/notes.txt"):
        (tmp_path / name).write_text("no image")
    fitted = made("folder")[1]
    found = fitted.inputs.find(tmp_path)
    assert found.names == ["B.png", "a-1.JPEG", "a.png", "a/b/10.png", "a/b/2.png", "z/1.png"]
    assert found.inputs[:, 4, 4, 0].tolist() == [200, 120, 80, 40, 0, 160]
    assert (found.ignored_files, found.ignored_columns) == (2, [])


def test_a_grey_model_sees_the_luma_of_colours(made, tmp_path):
    fitted, shown = made("folder")[1], tmp_path / "shown"
    for name, file, image in drawn(COLOUR, seed=5):
        save(tmp_path / "colour" / f"{name}{file}", image)
        luma = (image @ [0.299, 0.587, 0.114]).round().astype(np.uint8)
        save(tmp_path / "grey" / f"{name}{file}", luma[:, :, None])
    save(shown / "grey.png", np.full((8, 8, 1), 77, np.uint8))
    alone = fitted.inputs.find(shown).inputs
    save(shown / "red.png", np.full((8, 8, 3), [250, 0, 0], np.uint8))
    both = fitted.inputs.find(shown).inputs
    assert both[:, 0, 0, 0].tolist() == [77, 75]  # 0.299 * 250
    assert torch.equal(alone, both[:1])
    colour, grey = (fitted.predict(tmp_path / name) for name in ("colour", "grey"))
    np.testing.assert_allclose(colour.filter(like="p_"), grey.filter(like="p_"), atol=0.02)  # rounded before resizing
    assert np.ptp(grey["p_cat"]) > 0.2


def test_a_colour_model_sees_grey_in_all_three_channels(made, tmp_path):
    save(tmp_path / "a.png", np.full((8, 8, 1), 77, np.uint8))
    assert made("colour folder")[1].inputs.find(tmp_path).inputs[0, 3, 3].tolist() == [77, 77, 77]


def test_probabilities_are_calibrated_as_on_the_images_held_out(made):
    data, fitted, _ = made("table")
    assert fitted.rule["calibration"]["name"] == "temperature"
    temperature = fitted.rule["calibration"]["temperature"]
    assert temperature != 1
    logits = fitted.raw(fitted.inputs.find(data).inputs).double()
    np.testing.assert_allclose(fitted.predict(data).filter(like="p_"), torch.softmax(logits / temperature, 1))


def test_a_tuned_rule_decides(made, tmp_path, monkeypatch):
    for name, file, image in drawn(COLOUR, seed=6):
        save(tmp_path / "new" / f"{name}-{file}", 128 + image // 8)  # hardly anything to see
    monkeypatch.setattr(refit, "better_rule", lambda verdict, arm: "tuned")
    lossmith.compare.fit_best(made("table")[2].parent / "report", tmp_path / "model", arm="temperature")
    fitted = lossmith.compare.load_model(tmp_path / "model")
    found = fitted.predict(tmp_path / "new")
    p, names = found.filter(like="p_").to_numpy(), np.array(list(COUNTS))
    assert (fitted.rule["name"], fitted.rule["calibration"]["name"]) == ("tuned", "temperature")
    assert found["prediction"].tolist() == names[(np.log(p) + fitted.rule["values"]).argmax(1)].tolist()
    assert found["prediction"].tolist() != names[p.argmax(1)].tolist()


def test_numbers_and_labels_of_images(made):
    numbers, labels = (made(case)[1].predict(made(case)[0]) for case in ("numbers", "labels"))
    assert list(numbers.columns) == ["prediction"]
    assert np.isfinite(numbers["prediction"]).all()
    assert list(labels.columns) == ["prediction", "p_a", "p_b"]
    expected = ["|".join(name for name in "ab" if row[f"p_{name}"] > 0.5) for _, row in labels.iterrows()]
    assert labels["prediction"].tolist() == expected
    assert len(set(expected)) > 1


@pytest.fixture
def new(made, tmp_path):
    """A folder and a table of three images, and the models of a folder and of a table."""
    frame = pd.DataFrame({"photo": ["in/0.png", "in/1.png", "in/2.png"]})
    for name in frame["photo"]:
        save(tmp_path / "new" / name, np.full((8, 8, 1), 9, np.uint8))
    return tmp_path / "new", write(tmp_path / "new", frame), made


def broken(folder, how):
    """What is wrong with one image, and what of the sentence about it is the same for folder and table."""
    path = folder / "in" / "1.png"
    if how == "corrupt":
        path.write_bytes(b"no image at all")
        return "in/1.png is not an image"
    if how == "cut off":
        save(path, np.random.default_rng(0).integers(0, 255, (60, 60, 1), dtype=np.uint8))
        path.write_bytes(path.read_bytes()[:1500])
        return "in/1.png cannot be read as an image"
    path.unlink()
    path.symlink_to(save(folder.parent / "elsewhere.png", np.zeros((8, 8, 1), np.uint8)))
    return "out of the"


@pytest.mark.parametrize("how", ["corrupt", "cut off", "leads out"])
def test_images_that_cannot_be_used_are_named_and_nothing_is_written(new, tmp_path, command, how):
    folder, data, made = new
    sentence = broken(folder, how)
    for case, given in (("folder", folder), ("table", data)):
        _, fitted, model = made(case)
        assert sentence in said(fitted.predict, given)
        code, out, err = command("predict", model, given, "--out", tmp_path / "p.csv")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert sentence in err
        assert not (tmp_path / "p.csv").exists()


def test_what_names_no_images_is_refused(new, monkeypatch):
    folder, data, made = new
    of_table, of_folder = made("table")[1], made("folder")[1]
    (folder / "in" / "2.png").unlink()
    assert "in/2.png does not exist" in said(of_table.predict, data)
    assert 'table.csv has no column "image"; its columns are "photo".' in said(of_folder.predict, data)
    for cell, sentence in (("../x.png", "leads out of the table's folder"), ("", "row 2 names no image")):
        write(folder, pd.DataFrame({"photo": ["in/0.png", cell], "more": 1}))
        assert sentence in said(of_table.predict, data)
    assert "0.png is one image; give the folder" in said(of_table.predict, folder / "in" / "0.png")
    assert "nowhere does not exist" in said(of_folder.predict, folder / "nowhere")
    monkeypatch.setattr(images, "MOST_IMAGES", 1)
    assert "2 images, more than the accepted 1" in said(of_folder.predict, folder)
    (folder / "empty").mkdir()
    assert "empty has no image" in said(of_folder.predict, folder / "empty")


def test_images_that_have_changed_are_refused(tmp_path):
    data = classes(tmp_path / "pets", GREY)
    report = compared(tmp_path / "report", data, None, ["focal"], "cnn", SIZE)
    origin = json.loads((report / "results.json").read_text())["task"]["origin"]
    assert origin == {"path": str(data), "size": SIZE}
    fit = lossmith.compare.fit_best
    data.rename(tmp_path / "moved")
    assert "pets does not exist" in said(fit, report)
    assert fit(report, data=tmp_path / "moved").about["rows"] == 44
    image = np.asarray(Image.open(tmp_path / "moved" / "owl" / "3.png")).copy()
    image[5:7, 5:7] ^= 128
    save(tmp_path / "moved" / "owl" / "3.png", image[:, :, None])
    sentence = said(fit, report, tmp_path / "model", data=tmp_path / "moved")
    assert "moved does not have the images that were compared on, or they have changed" in sentence
    assert "moved does not have the images" in said(fit, report, data=classes(tmp_path / "moved", COLOUR))
    assert not (tmp_path / "model").exists()


def test_images_of_a_table_are_found_again_beside_it(made, tmp_path):
    data, fitted, folder = made("table")
    report, frame = folder.parent / "report", pd.read_csv(data)
    origin = json.loads((report / "results.json").read_text())["task"]["origin"]
    assert (origin["path"], origin["targets"], origin["size"]) == (str(data), ["animal"], SIZE)
    for name in frame["photo"]:
        save(tmp_path / name, np.asarray(Image.open(data.parent / name)))
    write(tmp_path, frame, "photos.csv")
    again = lossmith.compare.fit_best(report, data=tmp_path / "photos.csv", arm="temperature")
    pd.testing.assert_frame_equal(again.predict(data), fitted.predict(data), check_exact=True)
    save(tmp_path / frame["photo"][0], np.zeros((12, 12, 3), np.uint8))
    sentence = said(lossmith.compare.fit_best, report, data=tmp_path / "photos.csv")
    assert "photos.csv does not have the images that were compared on" in sentence


def test_comparisons_of_masks_are_refused(tmp_path, command):
    for number in range(6):
        save(tmp_path / "cells" / "images" / f"{number}.png", np.full((16, 16, 1), 20 * number, np.uint8))
        mask = np.arange(256).reshape(16, 16, 1) % (number + 2) == 0
        save(tmp_path / "cells" / "masks" / f"{number}.png", mask.astype(np.uint8))
    task = task_of(tmp_path / "cells", None, None, roles_of(), None, 16, None)
    record = {"arm": "x", "repeat": 0, "status": "failed", "reason": "", "time": {}}
    results = {
        "version": "0",
        "settings": {"kind": task.goal.kind, "inputs": task.inputs, "model": "unet", "repeats": 1, "metric": "iou"},
        "task": task.describe(),
        "arms": [{"name": "x", "title": "X"}],
        "records": [record],
        "status": "complete",
        "environment": {},
    }
    (tmp_path / "results.json").write_text(json.dumps(results))
    refused = said(lossmith.compare.fit_best, tmp_path)
    assert refused.endswith("the built-in models of tables and of whole images; this comparison was of masks.")
    assert command("fit-best", tmp_path, "--out", tmp_path / "model")[0] == 2
    assert not (tmp_path / "model").exists()


def test_a_sample_of_a_table_of_images_is_drawn_again(tmp_path):
    for number in range(4):
        save(tmp_path / f"{number}.png", np.full((8, 8, 1), 60 * number, np.uint8))
    rows = np.arange(1500)
    data = write(tmp_path, pd.DataFrame({"photo": [f"{k % 4}.png" for k in rows], "y": np.sqrt(rows)}))
    room = Room(fixed_bytes(1) + 480_000, 1, 0)
    task = task_of(data, "y", None, roles_of(), None, SIZE, room)
    assert 1000 <= len(task.labels) < 1500
    assert task.sampled["rows_kept"] == len(task.labels)
    assert any("drawn at random" in note for note in task.notes)
    results = {"task": task.describe(), "settings": {"jobs": 1, "seed": 0}}
    again = refit.same_task(results, roles_of(), None, None)
    np.testing.assert_array_equal(again.labels, task.labels)


def test_the_command_line_from_a_report_to_predictions(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    classes(Path("pets"), GREY)
    compared(Path("report"), Path("pets"), None, ["focal"], "cnn", SIZE)
    code, out, _ = command("fit-best", "report", "--out", "model")
    assert code == 0
    assert "Trained on all 44 images" in out
    assert out.endswith("lossmith predict model new-images\n")
    odd = os.fsdecode(b"new/z\xff.png")
    for name in ("new/=1.png", "new/b/2.png", odd):
        save(Path(name), np.full((8, 8, 1), 50, np.uint8))
    Path("new/read.me").write_text("text")
    code, out, _ = command("predict", "model", "new", "--out", "p.csv")
    assert (code, out) == (0, "3 predictions in p.csv; 1 other file ignored.\n")
    rows = Path("p.csv").read_text().splitlines()
    assert rows[0] == "image,prediction,p_cat,p_dog,p_owl"
    assert [row.split(",")[0] for row in rows[1:]] == ["'=1.png", "b/2.png", "z\N{REPLACEMENT CHARACTER}.png"]
    code, out, _ = command("predict", "model", "new", "--out", "q.csv", "--json")
    summary = json.loads(out)
    assert (code, summary["rows"], summary["ignored_columns"], summary["ignored_files"]) == (0, 3, [], 1)
    code, out, err = command("predict", "model", "new")
    assert (code, out, err) == (0, Path("p.csv").read_text(), "lossmith: 3 predictions; 1 other file ignored.\n")
    assert command("predict", "model", "new", "--out", "new")[0] == 2
