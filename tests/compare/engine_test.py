"""The engine: whatever happens to one run, the others go on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lossmith.compare.remedies.arms import Arm
from lossmith.compare.runs import engine
from lossmith.compare.runs.engine import EngineError, Run, Stop, Workload, execute, stopping_on_signals

FAKE = """
import os, signal, sys, time
from lossmith.compare.runs.worker import serve

def setup(header, arrays):
    if header.get("broken"):
        raise RuntimeError("no work today")
    time.sleep(header.get("slow", 0))
    def work(task):
        name, repeat = task["arm"]["name"], task["repeat"]
        if name == "sleep":
            time.sleep(60)
        if name == "raise":
            raise KeyError("it broke\\nand more")
        if name == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "exits":
            sys.stderr.write("last words\\n")
            os._exit(3)
        if name == "print":
            print("noise on standard output", flush=True)
        if name == "busy":
            end = time.monotonic() + 60
            while time.monotonic() < end:
                pass
        value = float("nan") if name == "nan" else float(sum(array.sum() for array in arrays.values()))
        return {"arm": name, "repeat": repeat, "status": "ok", "value": value, "pid": os.getpid()}
    return work

serve(setup)
"""


@pytest.fixture
def workload(tmp_path):
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    command = (sys.executable, "-P", str(script))
    return Workload({}, {"matrix": np.arange(6.0).reshape(3, 2), "labels": np.array([1, 0, 1])}, command)


def runs(*names):
    return [Run(Arm(name, name, "", name), repeat, f"{name}-{repeat}") for repeat, name in enumerate(names)]


def results(workload, *names, jobs=2, timeout=30.0, stop=None):
    found = execute(runs(*names), workload, jobs, timeout, stop or Stop())
    return {run.arm.name: record for run, record in found}


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def wait_until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


def test_every_run_is_done_once_by_as_many_workers_as_asked_for(workload):
    names = [f"n{number}" for number in range(8)]
    found = results(workload, *names, jobs=2)
    assert sorted(found) == names
    assert {record["value"] for record in found.values()} == {17.0}
    assert len({record["pid"] for record in found.values()}) <= 2
    assert not any(alive(record["pid"]) for record in found.values())


def test_runs_are_handed_out_in_order(workload):
    names = [f"n{number}" for number in range(5)]
    assert list(results(workload, *names, jobs=1)) == names


def test_a_worker_that_dies_costs_its_own_run_alone(workload):
    found = results(workload, "a", "killed", "b", "exits", "c", "raise", "d", "nan", "print", jobs=2)
    assert sorted(name for name, record in found.items() if record["status"] == "ok") == ["a", "b", "c", "d", "print"]
    assert "memory" in found["killed"]["reason"]
    assert found["exits"]["reason"] == "the worker process died (exit code 3: last words)"
    assert found["raise"]["reason"] == "KeyError: 'it broke\\nand more'"
    assert found["nan"]["status"] == "failed"
    assert found["killed"]["repeat"] == 1
    assert set(found["killed"]["time"]) == {"train_seconds", "total_seconds", "started"}


def test_a_run_over_its_time_is_stopped_and_listed(workload):
    started = time.monotonic()
    found = results(workload, "sleep", "a", "busy", "b", jobs=2, timeout=1.0)
    assert {name: record["status"] for name, record in found.items()} == {
        "sleep": "timeout",
        "busy": "timeout",
        "a": "ok",
        "b": "ok",
    }
    assert found["sleep"]["reason"] == "stopped after 1 s"
    assert time.monotonic() - started < 50  # either takes 60


def test_the_deadline_stops_what_is_running(workload):
    stop, found, started = Stop(), [], time.monotonic()
    for run, _ in execute(runs("a", "sleep", "b"), workload, 1, 60.0, stop):
        found.append(run.arm.name)
        stop.deadline = time.monotonic() + 0.5
    assert found == ["a"]
    assert time.monotonic() - started < 50  # the sleep takes 60


def test_workers_that_cannot_start_are_an_error_with_their_last_words(workload):
    broken = Workload({"broken": True}, workload.arrays, workload.command)
    with pytest.raises(EngineError, match="no work today"):
        results(broken, "a")


def test_a_worker_that_is_slow_to_start_costs_no_run_its_time(workload, monkeypatch):
    slow = Workload({"slow": 1.5}, workload.arrays, workload.command)
    assert results(slow, "a", jobs=1, timeout=1.0)["a"]["status"] == "ok"
    monkeypatch.setattr(engine, "START_UP", 0.5)
    with pytest.raises(EngineError, match=r"not ready after 0.5 s"):
        results(slow, "a", jobs=1)


def test_a_signal_asks_for_a_stop_and_the_old_handlers_come_back():
    stop, before, other = Stop(), signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with stopping_on_signals(stop):
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.reason == "interrupt"
        assert signal.getsignal(signal.SIGTERM) == before  # a second one is not held up
    assert signal.getsignal(signal.SIGINT) == other


def test_workers_die_with_a_parent_that_is_killed(workload, tmp_path):
    parent = f"""
import sys, numpy as np
from lossmith.compare.remedies.arms import Arm
from lossmith.compare.runs.engine import Run, Stop, Workload, Pool
from collections import deque
pool = Pool(Workload({{}}, {{}}, {workload.command!r}), 2, 60.0)
pool.hand_out(deque([Run(Arm("busy", "", "", ""), 0, "k"), Run(Arm("sleep", "", "", ""), 1, "l")]))
while not all(worker.ready for worker in pool.workers):
    list(pool.results())
print(*(worker.process.pid for worker in pool.workers), flush=True)
while True:
    list(pool.results())
"""
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    workers = [int(pid) for pid in process.stdout.readline().split()]
    assert len(workers) == 2
    assert all(alive(pid) for pid in workers)
    process.kill()
    process.wait()
    process.stdout.close()
    wait_until(lambda: not any(alive(pid) for pid in workers))
