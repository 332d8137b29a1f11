"""Every sink is written for real and read back with the tool's own reader."""

import io
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import lossmith
from lossmith import LossMonitor
from lossmith.errors import InputError, MissingError, ParameterError
from lossmith.monitor import JSONL, MLflow, Table, TensorBoard, WandB

NAMES = ["cat & dog", "bird"]


def train(*sinks: Any, calls: int = 3, **options: Any) -> LossMonitor:
    generator = torch.Generator().manual_seed(0)
    monitor = LossMonitor(lossmith.CrossEntropyLoss(), sinks=sinks, every=1, classes=NAMES, **options)
    with monitor:
        for _ in range(calls):
            monitor(torch.randn(8, 2, generator=generator), torch.arange(8) % 2)
    return monitor


def test_jsonl_is_read_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run.jsonl"
    monitor = train(path)
    assert list(LossMonitor.read(path)) == list(monitor.history)
    later = train(JSONL(path), calls=2)  # lines are added, and the later run counts
    assert len(path.read_text().splitlines()) == 5
    assert list(LossMonitor.read(path)) == list(later.history)
    resumed = LossMonitor(lossmith.MSELoss(), sinks=[path], every=1)
    resumed.step = 1  # as after a checkpoint
    resumed(torch.ones(2), torch.zeros(2))
    resumed.close()
    assert [record["step"] for record in LossMonitor.read(path)] == [0, 1]
    assert LossMonitor.read(path)[1]["loss"] == 1.0


def test_a_last_line_that_was_cut_off_is_left_out_and_then_cut(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    monitor = train(path)
    whole = path.read_bytes()
    for end in (len(whole) - 1, len(whole) - 40, whole.rindex(b"{") + 1):
        path.write_bytes(whole[:end])
        assert list(LossMonitor.read(path)) == list(monitor.history)[: 3 if end == len(whole) - 1 else 2]
    train(path, calls=1)
    assert [json.loads(text)["step"] for text in path.read_text().splitlines()] == [0, 1, 0]
    path.write_bytes(b"half of a line")
    train(path, calls=1)
    assert len(LossMonitor.read(path)) == 1


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with pytest.raises(InputError, match="cannot be read"):
        LossMonitor.read(path)
    for text in ('{"step": 0}\nnonsense\n{"step": 2}\n', "[1]\n", '{"step": 0, "loss": "high"}\n', '{"loss": 1}\n'):
        path.write_text(text)
        with pytest.raises(InputError, match=r"line [12] of .* is no record"):
            LossMonitor.read(path)


def test_what_is_not_finite_is_legal_json(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    monitor = LossMonitor(lossmith.CrossEntropyLoss(), sinks=[path], on_nonfinite="record")
    monitor(torch.full((2, 2), torch.nan), torch.tensor([0, 1]))
    monitor.close()
    record = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert record["loss"] is None
    assert record["nonfinite"] == 2
    assert LossMonitor.read(path)[0]["loss"] != 0.0


def test_a_killed_run_keeps_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    code = (
        "import torch, lossmith\n"
        f"m = lossmith.LossMonitor(lossmith.MSELoss(), sinks=[{str(path)!r}], every=1)\n"
        "while True: m(torch.ones(2), torch.zeros(2)); print(m.step, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        seen = [process.stdout.readline() for _ in range(20)]
        os.kill(process.pid, signal.SIGKILL)
        seen += process.stdout.read().split()
    assert len(LossMonitor.read(path)) >= len(seen)


def test_tensorboard(tmp_path: Path) -> None:
    monitor = train(TensorBoard(tmp_path))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path))
    events.Reload()
    scalars = events.Scalars("lossmith/loss")
    assert [event.step for event in scalars] == [0, 1, 2]
    assert [event.value for event in scalars] == pytest.approx([record["loss"] for record in monitor.history])
    assert {"lossmith/class_gradient/bird", "lossmith/bin_share/0.1_to_0.3"} <= set(events.Tags()["scalars"])


def test_a_writer_that_is_there_is_taken_and_left_open() -> None:
    class Writer:
        closed = False

        def __init__(self) -> None:
            self.seen: list[tuple[str, float, int]] = []

        def add_scalar(self, name: str, x: float, step: int) -> None:
            self.seen.append((name, x, step))

        def close(self) -> None:
            self.closed = True

    writer = Writer()
    monitor = train(TensorBoard(writer, prefix=""), calls=1)
    assert ("loss", monitor.history[0]["loss"], 0) in writer.seen
    assert not writer.closed


def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow

        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
        sink = MLflow()
        monitor = train(sink)
        assert mlflow.active_run() is None  # closed with the monitor
        client = mlflow.MlflowClient()
        (run,) = client.search_runs(["0"])
        history = client.get_metric_history(run.info.run_id, "lossmith/loss")
        names = set(run.data.metrics)
        with mlflow.start_run() as own:
            train(MLflow(), calls=1)
            assert mlflow.active_run() is not None  # a run that was there stays
        assert "lossmith/loss" in client.get_run(own.info.run_id).data.metrics
    assert [metric.step for metric in history] == [0, 1, 2]
    assert [metric.value for metric in history] == pytest.approx([record["loss"] for record in monitor.history])
    assert {"lossmith/class_gradient/cat _ dog", "lossmith/class_gradient/bird"} <= names


def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import wandb

        train(WandB(dir=str(tmp_path), project="lossmith"))
    assert wandb.run is None
    (folder,) = tmp_path.glob("wandb/offline-run-*")
    (log,) = folder.glob("*.wandb")
    for _ in range(300):  # the service of wandb, a process of its own, writes when it gets to it
        if b"lossmith/class_gradient/bird" in log.read_bytes():
            return
        time.sleep(0.1)
    pytest.fail(f"wandb wrote {log.stat().st_size} bytes, and no record among them")


def test_the_table_is_plain_lines_where_there_is_no_terminal() -> None:
    from rich.console import Console

    out = io.StringIO()
    train(Table(Console(file=out, width=80, highlight=False)), calls=2)
    lines = out.getvalue().splitlines()
    assert [text.split("  ")[0] for text in lines] == ["step 0", "step 1"]
    assert "gradient cat & dog 5" in lines[0] or "gradient bird" in lines[0]
    assert "\x1b" not in out.getvalue()


def test_the_table_stays_in_80_columns_and_shows_the_classes() -> None:
    from rich.console import Console

    out = io.StringIO()
    train(Table(Console(file=out, width=80, force_terminal=True, legacy_windows=False, _environ={})), calls=2)
    text = out.getvalue()
    assert "cat & dog" in text
    assert "zero gradient 0 %" in text


def test_many_classes_fit_in_24_lines_and_the_largest_shares_are_shown() -> None:
    from rich.console import Console

    from lossmith.monitor.live import picture

    monitor = LossMonitor(lossmith.CrossEntropyLoss(), classes=[f"class {k}" for k in range(30)])
    z = torch.zeros(60, 30)
    z[:, 7] = -9.0
    monitor(z, torch.arange(60) % 30)
    out = io.StringIO()
    console = Console(file=out, width=80, height=24)
    console.print(picture(0, dict(monitor.history[0]), 24))
    lines = out.getvalue().rstrip("\n").split("\n")
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert lines[3].startswith("class 7 ")
    assert "and 23 more" in out.getvalue()


def test_functions_and_pairs_of_methods_are_sinks() -> None:
    seen: list[tuple[int, dict[str, float]]] = []

    class Mine:
        closed = False

        def write(self, step: int, numbers: dict[str, float]) -> None:
            seen.append((step, numbers))

        def close(self) -> None:
            self.closed = True

    mine = Mine()
    monitor = train(lambda step, numbers: seen.append((step, numbers)), mine, calls=1)
    assert [step for step, _ in seen] == [0, 0]
    assert seen[0][1] == {k: v for k, v in monitor.history[0].items() if k != "step"}
    assert mine.closed


def test_all_sinks_are_closed_even_if_one_fails(tmp_path: Path) -> None:
    class Broken:
        def write(self, step: int, numbers: dict[str, float]) -> None: ...

        def close(self) -> None:
            raise OSError("disk full")

    sink = JSONL(tmp_path / "run.jsonl")
    with pytest.raises(OSError, match="disk full"):
        train(Broken(), sink, calls=1)
    assert sink._open is None


def test_sinks_pickle_without_what_they_hold_open(tmp_path: Path) -> None:
    for sink in (JSONL(tmp_path / "a.jsonl"), TensorBoard(tmp_path / "b"), Table()):
        sink.write(0, {"loss": 1.0})
        again = pickle.loads(pickle.dumps(sink))  # noqa: S301
        again.write(1, {"loss": 2.0})
        again.close()
        sink.close()
    assert [record["step"] for record in LossMonitor.read(tmp_path / "a.jsonl")] == [0, 1]


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingError, match=r'wandb is not installed: pip install "lossmith\[tracking\]"'):
        train(WandB(), calls=1)


def test_the_picture(tmp_path: Path) -> None:
    monitor = train(tmp_path / "run.jsonl")
    figure = LossMonitor.read(tmp_path / "run.jsonl").plot()
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:2] == ["Loss by class", "Who supplies the gradient"]
    lines = {line.get_label(): list(line.get_ydata()) for line in figure.axes[0].lines}
    assert lines["all"] == [record["loss"] for record in monitor.history]
    assert lines["bird"] == [record["class_loss/bird"] for record in monitor.history]
    figure.savefig(tmp_path / "run.png")
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_a_picture_without_classes_and_of_one_record_and_of_none() -> None:
    monitor = LossMonitor(lossmith.MSELoss())
    with pytest.raises(ParameterError, match="nothing was recorded"):
        monitor.plot()
    monitor(torch.ones(3), torch.zeros(3))
    figure = monitor.plot()
    assert [text.get_text() for text in figure.axes[1].texts] == ["no classes"]
    train(calls=1).plot().canvas.draw()


def test_importing_the_monitor_needs_torch_alone() -> None:
    heavy = "matplotlib rich tensorboard mlflow wandb numpy.testing"
    code = f"import sys, lossmith; lossmith.LossMonitor; print([m for m in '{heavy}'.split() if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
