"""The bench runs on sizes of a few numbers: what it prints is what it measured, and floors and targets are right."""

import json
import math
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor

from bench import __main__ as program
from bench import linear, logits, measure, overlap, sigmoid, ways
from bench.measure import Cpu, Cuda, Yardstick, turns
from bench.report import Row, Table, Timings, markdown, milliseconds
from bench.ways import AbsentError, Asked, Way, measured, step

OTHERS = ("liger-kernel", "cut-cross-entropy", "MONAI", "segmentation-models")  # which need not be installed


@pytest.fixture(autouse=True)
def _eagerly() -> Iterator[None]:
    """Compilers are slow, and PyTorch's tests see to them."""
    torch.compiler.set_stance("force_eager")
    yield
    torch.compiler.set_stance("default")


@pytest.fixture(autouse=True)
def _few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "turns", lambda runs, on, **options: turns(runs, on, **(options | {"rounds": 3})))


class Counted:
    """A device on which a run takes as many seconds and bytes as it returns, and one that costs nothing fails."""

    name = "cpu"

    def seconds(self, run: Callable[[], Any]) -> float:
        return float(run())

    def peak(self, run: Callable[[], Any]) -> int | None:
        run()
        return 100

    def free(self) -> None:
        pass

    def about(self) -> str:
        return "counted"


def taking(*seconds: float) -> Callable[[], Callable[[], float]]:
    """A way whose runs take these seconds, over and over."""
    given = [seconds[k % len(seconds)] for k in range(100)]
    return lambda: lambda: given.pop(0)


def missing(error: Exception) -> Callable[[], Callable[[], float]]:
    def build() -> Callable[[], float]:
        raise error

    return build


FLOOR = {"bandwidth": 12.0}
YARDSTICKS = {"bandwidth": Yardstick(lambda: 2.0, 12.0, "GB/s")}  # 6 a second, so the floor is 2 seconds


class TestWays:
    def rows(self, *given: Way) -> dict[tuple[str, str], Row]:
        found = measured(given, YARDSTICKS, Counted())
        assert found.ceilings == {"bandwidth, GB/s": 6e-9}
        return {(row.case, row.way): row for row in found.rows}

    def test_a_row_is_seen_against_its_floor_and_the_first_way(self) -> None:
        rows = self.rows(
            Way("a", "eager", taking(8.0), FLOOR, gradients=40),
            Way("a", "ours", taking(3.0), {"bandwidth": 6.0}, gradients=60),
            Way("b", "ours", taking(5.0), FLOOR),
        )
        eager, ours, other = rows.values()
        assert (eager.seconds, eager.of_first, eager.floor, eager.of_floor, eager.memory) == (8, 1, 2, 4, 60)
        assert (ours.seconds, ours.of_first, ours.floor, ours.of_floor, ours.memory) == (3, 3 / 8, 1, 3, 40)
        assert (other.of_first, other.off) == (1, 0)
        assert ours.off == 5 / 8  # the value of a counted run is its seconds
        assert ours.rounds == 3

    def test_the_slower_of_two_floors_counts(self) -> None:
        more = {**YARDSTICKS, "three GEMMs": Yardstick(lambda: 1.0, 1.0, "GFLOP/s")}
        both = {"bandwidth": 12.0, "three GEMMs": 7.0}
        (row,) = measured([Way("a", "ours", taking(14.0), both)], more, Counted()).rows
        assert (row.floor, row.of_floor) == (7, 2)

    def test_the_median_and_its_quartiles_leave_the_warm_round_out(self) -> None:
        (row,) = self.rows(Way("a", "ours", taking(7, 100, 1, 2, 6), FLOOR)).values()  # 7: its memory, 100: warm
        assert (row.seconds, row.quartiles, row.rounds) == (2, (1.5, 4), 3)

    def test_what_is_asked_is_met_or_missed(self) -> None:
        asked = (
            Asked(0.5, "eager"),
            Asked(0.9, "ours", case="a"),
            Asked(1.4, "floor"),
            Asked(3000, "ms"),
            Asked(1e-4, "MB"),
            Asked(0.5, "eager", memory=True),
            Asked(1, "nobody"),
        )
        rows = self.rows(
            Way("a", "ours", taking(4.0), FLOOR),
            Way("b", "eager", taking(10.0), FLOOR, gradients=0),
            Way("b", "ours", taking(3.0), FLOOR, gradients=50, asked=asked),
        )
        found = rows["b", "ours"].asked
        assert [one.found for one in found] == [0.3, 0.75, 1.5, 3000, 5e-5, 0.5, None]
        assert [one.met for one in found] == [True, True, False, True, True, True, False]
        assert str(found[1]) == "time / ours of a: 0.75, asked at most 0.9"
        assert str(found[2]) == "**time / floor: 1.5, asked at most 1.4: missed**"
        assert str(found[6]) == "time / nobody: not measured, asked at most 1"

    def test_a_way_that_fails_says_why_and_the_others_are_measured(self) -> None:
        rows = self.rows(
            Way("a", "peer", missing(ModuleNotFoundError("No module", name="peer")), FLOOR),
            Way("a", "gpu", missing(AbsentError("on GPUs only")), FLOOR),
            Way("a", "large", missing(torch.OutOfMemoryError("CUDA out of memory. Tried")), FLOOR),
            Way("a", "broken", missing(ValueError("a | b\nmore")), FLOOR),
            Way("a", "ours", taking(3.0), FLOOR, asked=(Asked(1, "peer"),)),
        )
        notes = [row.note for row in rows.values()]
        assert notes == ["peer is not installed", "on GPUs only", "out of memory", "ValueError: a / b", ""]
        assert rows["a", "ours"].of_first == 1
        assert rows["a", "ours"].asked[0].found is None
        lines = str(Timings(list(rows.values()))).splitlines()
        assert len({line.count("|") for line in lines[:7]}) == 1  # every line has the same cells

    def test_a_step_takes_all_gradients_times_what_comes_from_above(self) -> None:
        x, y = (torch.tensor([2.0, 3.0], requires_grad=True) for _ in range(2))
        seen: list[Tensor] = []
        x.register_hook(seen.append)
        y.register_hook(seen.append)
        value = step(lambda a, b, t: (a * b * t).sum(), (x, y), torch.tensor([1.0, 10.0]))()
        assert float(value) == 94  # type: ignore[arg-type]
        assert [slope.tolist() for slope in seen] == [[6, 90], [6, 90]]


class TestMeasure:
    def test_turns_end_with_the_budget_but_not_before_five_rounds(self) -> None:
        clock = Counted()
        assert {len(v) for v in turns({"a": lambda: 1, "b": lambda: 2}, clock, rounds=9, budget=0).values()} == {5}
        assert turns({"a": lambda: 1, "b": lambda: 2}, clock, rounds=7) == {"a": [1] * 7, "b": [2] * 7}

    def test_yardsticks_count_bytes_and_operations(self) -> None:
        one = measure.adding(400, Cpu())
        assert (one.amount, one.unit) == (1200, "GB/s")
        one.run()
        hidden, weight = torch.randn(5, 3), torch.randn(7, 3)
        other = measure.gemms(hidden, weight)
        assert (other.amount, other.unit) == (3 * 2 * 5 * 3 * 7, "GFLOP/s")
        other.run()

    def test_memory_of_a_run_on_the_cpu(self) -> None:
        found = Cpu().peak(lambda: torch.ones(2**24).sum())
        assert found is None or 2**25 < found < 2**27  # 64 MiB

    def test_cuda_is_timed_by_events_with_a_cold_cache(self, monkeypatch: pytest.MonkeyPatch) -> None:
        said: list[str] = []

        class Event:
            def __init__(self, enable_timing: bool) -> None:
                assert enable_timing

            def record(self) -> None:
                said.append("record")

            def elapsed_time(self, end: "Event") -> float:
                assert said[-1] == "synchronize"
                return 250.0

        held = [1000, 1700]
        fakes = {
            "Event": Event,
            "get_device_properties": lambda: types.SimpleNamespace(L2_cache_size=2**20),
            "synchronize": lambda: said.append("synchronize"),
            "reset_peak_memory_stats": lambda: said.append("reset"),
            "memory_allocated": lambda: held[0],
            "max_memory_allocated": lambda: held[1],
            "empty_cache": lambda: None,
            "get_device_name": lambda: "NVIDIA H200",
        }
        for name, fake in fakes.items():
            monkeypatch.setattr(torch.cuda, name, fake)
        monkeypatch.setattr(Cuda, "name", "cpu")
        device = Cuda()
        device.flush.fill_(1)
        assert device.seconds(lambda: said.append("run")) == 0.25
        assert said == ["record", "run", "record", "synchronize"]
        assert not device.flush.any()
        said.clear()
        assert device.peak(lambda: said.append("run")) == 700
        assert said == ["run", "synchronize", "reset", "run", "synchronize"]
        device.free()
        assert measure.machine(device).startswith("NVIDIA H200, CUDA ")


def checked(rows: list[dict[str, Any]]) -> None:
    """What holds of every measured row of a suite."""
    assert rows
    for row in rows:
        if row["note"]:
            assert row["way"] in OTHERS, row
            continue
        low, high = row["quartiles"]
        assert 0 < low <= row["seconds"] <= high
        assert row["floor"] > 0
        assert row["of_floor"] == pytest.approx(row["seconds"] / row["floor"])
        assert row["memory"] is None or row["memory"] >= 0
        assert row["off"] is None or row["off"] < 0.02, row  # the same thing is computed, in bf16 too


@pytest.mark.parametrize("name", program.KERNELS)
def test_every_suite_prints_its_rows_and_writes_them(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out.json"
    assert program.main(["--suite", name, "--small", "--json", str(path), "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    written = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert written["command"] == ["--suite", name, "--small", "--json", str(path)]
    assert written["suites"][name]["seconds"] > 0
    timings = [part for part in written["suites"][name]["parts"] if isinstance(part, dict)]
    for part in timings:
        checked(part["rows"])
        assert all(value > 0 for value in part["ceilings"].values())
    rows = [row for part in timings for row in part["rows"]]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in said.out.splitlines() if line[:1] == "|"]
    lines = [line for line in cells if len(line) == 9 and line[0] not in ("case", "---")]
    assert [line[:2] for line in lines] == [[row["case"], row["way"]] for row in rows]
    assert [line[2] for line in lines] == [row["note"] or milliseconds(1000 * row["seconds"]) for row in rows]


@pytest.mark.parametrize("suite", [logits, linear, sigmoid, overlap], ids=lambda suite: suite.__name__)
def test_what_is_for_a_gpu_runs_on_a_few_numbers(suite: types.ModuleType) -> None:
    """In its dtype, on all of its kinds of data, with its targets."""
    small = {name: value for name, value in suite.SMALL.items() if name != "asked"}
    parts = suite.report(Cpu(), replace(suite.SIZES["cuda"], **small))
    found = [part for part in parts if isinstance(part, Timings)]
    assert len(found) == (2 if suite is logits else 1)
    rows = [row for part in found for row in part.rows]
    checked([row.data() for row in rows])
    for name in ("cpu", "cuda"):
        assert suite.SIZES[name].asked == name
    asked = [(row, one) for row in rows for one in row.asked]
    assert asked
    assert all(row.way.startswith("ours") and one.found is not None for row, one in asked if "MONAI" not in one.what)


def test_what_is_asked_of_the_cpu_is_there() -> None:
    """Each share that the issue asks for names a way that is measured."""
    seen = {"rows": 512, "classes": 4_000}  # logits of 8 MB: of less, a process may have the memory at hand
    for suite in (logits, linear, sigmoid):
        small = {name: seen.get(name, value) for name, value in suite.SMALL.items() if name != "asked"}
        parts = suite.report(Cpu(), replace(suite.SIZES["cpu"], **small))
        rows = [row for part in parts if isinstance(part, Timings) for row in part.rows]
        assert sum(len(row.asked) for row in rows) >= 3
        assert all(one.found is not None for row in rows for one in row.asked)


def test_curves_are_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.json"
    words = ["--suite", "sigmoid", "--plot", str(tmp_path / "svg"), "--small", "--quiet", "--json", str(path)]
    assert program.main(words) == 0
    picture = tmp_path / "svg" / "sigmoid-elements.svg"
    assert capsys.readouterr().out.strip() == str(picture)
    said = "".join(ElementTree.parse(picture).getroot().itertext())
    for text in ("elements", "time of both passes, ms", "extra memory, MB", "ours, compile()", "floor"):
        assert text in said
    points = json.loads(path.read_text())["suites"]["sigmoid"]["curves"]["sigmoid-elements"]
    assert len(points) >= 3
    for timings in points.values():
        checked(timings["rows"])


@pytest.mark.parametrize("name", ["logits", "linear", "overlap"])
def test_curves_grow(name: str) -> None:
    suite = program.suite_of(name)
    for curve in suite.curves(Cpu(), suite.SIZES["cpu"]):
        sizes = list(curve.points)
        assert len(sizes) >= 4
        assert sizes == sorted(sizes)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--suite", "speed"], "there is no suite 'speed'"),
        (["--suite", "logits,speed"], "there is no suite 'speed'"),
        (["--suite", "compare", "--small"], "compare has one size: leave out --small"),
        (["--suite", "boosting", "--device", "cuda"], "boosting is measured on the CPU alone: leave out --device cuda"),
        (["--suite", "sampled", "--device", "cuda"], "sampled is measured on the CPU alone: leave out --device cuda"),
        (["--suite", "sampled", "--device", "tpu"], "--device is cpu or cuda, not 'tpu'"),
        (["--suite", "boosting", "--plot", "pictures"], "boosting has no curves: leave out --plot"),
        (
            ["--suite", "logits", "--small", "--json", "/dev/null/out.json"],
            "--json: nothing can be written in /dev/null",
        ),
        (["--suite", "logits", "--small", "--json", "/"], "--json: / is a folder; name a file in it"),
        (["--suite", "logits", "--small", "--plot", "/dev/null/x"], "--plot: nothing can be written in /dev/null/x"),
        (["logits"], "unrecognized arguments: logits"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        program.main(words)
    out, err = capsys.readouterr()
    assert (left.value.code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_suites_may_be_joined_by_commas() -> None:
    assert program.parsed(["--suite", "logits,linear", "--suite", "compare"]).suite == ["logits", "linear", "compare"]


def test_without_a_suite_all_run_that_go_with_the_options() -> None:
    assert program.parsed([]).suite == list(program.SUITES)
    assert program.parsed(["--small"]).suite == list(program.KERNELS)


def test_the_sizes_that_are_printed_are_those_measured(capsys: pytest.CaptureFixture[str]) -> None:
    program.main(["--suite", "sampled", "--small", "--quiet"])
    said = capsys.readouterr().out
    assert "8 rows of 16 numbers, 6 noise classes:" in said
    assert "512" not in said


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        program.main(["--suite", "logits", "--device", "cuda"])
    assert left.value.code == 2
    assert "there is no CUDA device" in capsys.readouterr().err


def test_every_suite_is_there() -> None:
    for name in program.SUITES:
        assert (Path(program.__file__).parent / f"{name}.py").exists()


def test_parts_are_printed_and_written_alike() -> None:
    table = Table(["a", "b"], [["1", "2"]])
    assert markdown(["text", table]) == "text\n\n| a | b |\n| --- | --- |\n| 1 | 2 |"
    assert table.data() == [{"a": "1", "b": "2"}]
    row = Row("case", "way", 0.0123, (0.01, 0.02), 5, 0.5, 0.003, 5_000_000, 1e-7)
    assert row.cells() == ["case", "way", "12.3", "10 to 20", "0.50", "4.10", "5", "1e-07", ""]
    assert row.data() | {"asked": []} == row.data()
    assert Row("case", "way", note="absent").data()["seconds"] is None
    assert math.isnan(Row("case", "way", note="absent").seconds)
