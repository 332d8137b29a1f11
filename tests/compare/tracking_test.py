"""Every tracker is written for real and read back with its own reader; one that fails ends no comparison."""

import json
import sys
import time
import warnings

import pytest

from lossmith.compare.runs import tracking as module
from lossmith.compare.runs.tracking import Tracking, figures_of, parameters_of, tracking
from lossmith.errors import InputError, MissingError
from tests.compare.sample_results import make

SETTINGS = {"model": "mlp", "repeats": 2, "losses": None, "split": [0.6, 0.2, 0.2]}
TASK = {"source": "t.csv", "target": "block", "kind": "multiclass", "rows": 5472, "features": [{"name": "a"}]}


@pytest.fixture(scope="module")
def results():
    from lossmith.compare.verdict.judge import judge

    found = make(repeats=2, failed=[("focal", 1)])
    return {**found, "verdict": judge(found)}


def track(kind, folder, results):
    with tracking(kind, folder, SETTINGS, TASK) as step:
        for record in results["records"]:
            step(record)
        step.finish(results)


def record_of(results, arm, repeat):
    return next(r for r in results["records"] if (r["arm"], r["repeat"]) == (arm, repeat))


def test_a_record_is_its_parameters_and_its_scalars():
    record = {
        "arm": "focal",
        "repeat": 3,
        "status": "ok",
        "reason": None,
        "tries": [{"spec": "focal(gamma=1)"}, {"spec": "focal(gamma=2)"}],
        "chosen": 1,
        "epochs": 7,
        "curve": {"loss": [0.5]},
        "ranking": {"average_precision": 0.25, "none": None},
        "decision": {"tuned": {"mcc": 0.5, "recall": [0.1, 0.2]}},
        "time": {"total_seconds": 2.0, "started": "2026-01-01T00:00:00+00:00"},
    }
    assert parameters_of(record) == {"arm": "focal", "repeat": 3, "status": "ok", "spec": "focal(gamma=2)"}
    assert figures_of(record) == {
        "epochs": 7.0,
        "ranking/average_precision": 0.25,
        "decision/tuned/mcc": 0.5,
        "time/total_seconds": 2.0,
    }


def test_tensorboard(tmp_path, results):
    track("tensorboard", tmp_path, results)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read(name):
        events = EventAccumulator(str(tmp_path / "tensorboard" / name))
        events.Reload()
        return events

    poly = read("poly").Scalars("decision/tuned/macro_f1")
    assert [event.step for event in poly] == [0, 1]
    wanted = [record_of(results, "poly", repeat)["decision"]["tuned"]["macro_f1"] for repeat in (0, 1)]
    assert [event.value for event in poly] == pytest.approx(wanted)
    focal = read("focal")
    assert [event.step for event in focal.Scalars("ranking/average_precision")] == [0]
    assert b"not finite" in focal.Tensors("run/text_summary")[1].tensor_proto.string_val[0]
    verdict = read("verdict")
    headline = verdict.Tensors("headline/text_summary")[0].tensor_proto.string_val[0].decode()
    assert headline == results["verdict"]["headline"]
    assert "| cross_entropy |" in verdict.Tensors("table/text_summary")[0].tensor_proto.string_val[0].decode()


def test_mlflow(tmp_path, monkeypatch, results):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    track("mlflow", out, results)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow

        client = mlflow.MlflowClient((out / "mlflow").as_uri())
        (experiment,) = [found for found in client.search_experiments() if found.name == "lossmith"]
        found = client.search_runs([experiment.experiment_id])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]  # nothing beside the output folder
    (parent,) = [run for run in found if "headline" in run.data.tags]
    children = {run.info.run_name: run for run in found if run is not parent}
    assert len(children) == len(results["records"])
    assert parent.data.tags["headline"] == results["verdict"]["headline"]
    assert "| cross_entropy |" in parent.data.tags["mlflow.note.content"]
    assert parent.data.params["task/rows"] == "5472"
    assert parent.info.status == "FINISHED"
    poly = children["poly, repeat 2"]
    assert poly.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert (poly.data.params["arm"], poly.data.params["repeat"]) == ("poly", "1")
    assert poly.data.params["spec"].startswith("poly(")
    record = record_of(results, "poly", 1)
    assert poly.data.metrics["calibration/log_loss"] == pytest.approx(record["calibration"]["log_loss"])
    failed = children["focal, repeat 2"]
    assert (failed.info.status, failed.data.metrics) == ("FAILED", {})
    assert failed.data.params["reason"] == record_of(results, "focal", 1)["reason"]


def test_wandb_stays_offline(tmp_path, monkeypatch, results):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    track("wandb", tmp_path, results)
    (folder,) = tmp_path.glob("wandb/offline-run-*")
    (log,) = folder.glob("*.wandb")
    wanted = [b"poly/decision/tuned/macro_f1", results["verdict"]["headline"].encode()[:40], b"task/rows"]
    for _ in range(300):  # the service of wandb, a process of its own, writes when it gets to it
        if all(word in log.read_bytes() for word in wanted):
            break
        time.sleep(0.1)
    assert [word for word in wanted if word not in log.read_bytes()] == []
    tables = [json.loads(path.read_text()) for path in folder.glob("files/media/table/*.json")]
    arms = [{row[table["columns"].index("arm")] for row in table["data"]} for table in tables]
    assert arms == [{arm["name"] for arm in results["arms"]}] * 2


class Broken:
    def __init__(self):
        self.calls = []

    def run(self, parameters, figures):
        self.calls.append(parameters)
        raise OSError("disk full\nand more")

    verdict = run

    def close(self):
        self.calls.append("closed")


def test_a_tracker_that_fails_is_dropped_with_one_sentence(tmp_path, monkeypatch, results, capsys):
    broken = Broken()
    monkeypatch.setitem(module.TRACKERS, "mlflow", ("json", lambda folder, settings: broken))
    track("mlflow", tmp_path, results)
    assert len(broken.calls) == 1
    assert capsys.readouterr().err == "warning: mlflow no longer tracks this comparison: disk full.\n"


def test_a_tracker_that_cannot_start_is_dropped_too(tmp_path, monkeypatch, results, capsys):
    (tmp_path / "out").write_text("a file where the folder would be")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    track("mlflow", tmp_path / "out", results)
    assert capsys.readouterr().err.count("\n") == 1


def test_unknown_and_missing_trackers_are_refused_at_once(tmp_path, monkeypatch):
    with (
        pytest.raises(InputError, match=r'unknown tracker "wandbb"; did you mean "wandb"\?'),
        tracking("wandbb", tmp_path, {}, {}),
    ):
        pass
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingError, match=r'pip install "lossmith\[tracking\]"'), tracking("wandb", tmp_path, {}, {}):
        pass


def test_an_exception_inside_still_closes(tmp_path, monkeypatch, results):
    closed = []
    monkeypatch.setattr(Tracking, "attempt", lambda self, action: closed.append(action))
    with pytest.raises(KeyboardInterrupt), tracking("tensorboard", tmp_path, {}, {}):
        raise KeyboardInterrupt
    assert len(closed) == 2  # opened and closed


def test_no_tracker_tracks_nothing(tmp_path, results):
    track(None, tmp_path, results)
    assert list(tmp_path.iterdir()) == []
