"""The engine on a local Ray cluster: the same records as without Ray, and a killed worker costs only its run."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from importlib.util import find_spec

import numpy as np
import pytest

from lossmith.compare.runs.engine import EngineError, Stop, Workload, execute
from lossmith.errors import MissingError
from tests.compare.engine_test import FAKE, alive, runs, wait_until
from tests.compare.tables import blobs, without_times

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")


def workload_of(folder, header=None, script=FAKE):
    path = folder / "fake.py"
    path.write_text(script)
    arrays = {"matrix": np.arange(6.0).reshape(3, 2), "labels": np.array([1, 0, 1])}
    return Workload(header or {}, arrays, (sys.executable, "-P", str(path)))


@pytest.fixture(scope="module")
def ray():
    """One cluster for all tests of this file; that execute starts and ends its own is tested apart."""
    ray = pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    before = signal.getsignal(signal.SIGTERM)
    ray.init(
        "local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=10**8,
        _node_ip_address="127.0.0.1",
    )
    signal.signal(signal.SIGTERM, before)
    yield ray
    ray.shutdown()


def results(workload, *names, jobs=2, timeout=60.0, stop=None):
    from lossmith.compare.runs.cluster import execute_on_ray

    found = execute_on_ray(runs(*names), workload, jobs, timeout, stop or Stop())
    return {run.arm.name: record for run, record in found}


def timeless(record):
    return {name: value for name, value in record.items() if name not in ("time", "pid")}


def test_without_ray_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    from lossmith.compare.runs.cluster import execute_on_ray

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingError, match=r'pip install "lossmith\[ray\]"'):
        next(execute_on_ray(runs("a"), workload_of(tmp_path), 1, 60.0, Stop()))


@needs_ray
def test_every_record_is_the_local_engine_s(tmp_path, ray):
    names = ["a", "killed", "b", "exits", "c", "raise", "d", "nan", "print"]
    workload = workload_of(tmp_path)
    local = {run.arm.name: record for run, record in execute(runs(*names), workload, 2, 60.0, Stop())}
    spread = results(workload, *names)
    assert {name: timeless(record) for name, record in spread.items()} == {
        name: timeless(record) for name, record in local.items()
    }
    assert "memory" in spread["killed"]["reason"]
    assert spread["exits"]["reason"] == "the worker process died (exit code 3: last words)"
    assert set(spread["killed"]["time"]) == {"train_seconds", "total_seconds", "started"}
    assert spread["a"]["value"] == 17.0
    pids = {record["pid"] for record in spread.values() if record["status"] == "ok"}
    wait_until(lambda: not any(alive(pid) for pid in pids))


@needs_ray
def test_a_run_over_its_time_is_stopped_and_listed(tmp_path, ray):
    found = results(workload_of(tmp_path), "sleep", "a", "busy", "b", timeout=2.0)
    assert {name: record["status"] for name, record in found.items()} == {
        "sleep": "timeout",
        "busy": "timeout",
        "a": "ok",
        "b": "ok",
    }
    assert found["sleep"]["reason"] == "stopped after 2 s"


@needs_ray
def test_an_actor_that_is_killed_costs_its_own_run_alone(tmp_path, ray):
    """Not the worker but its Ray actor, as when a machine is lost."""
    script = FAKE.replace(
        'if name == "killed":', 'if name == "lost":\n            os.kill(os.getppid(), 9)\n        if 0:'
    )
    found = results(workload_of(tmp_path, script=script), "a", "lost", "b", "c")
    assert {name for name, record in found.items() if record["status"] == "ok"} == {"a", "b", "c"}
    assert found["lost"]["status"] == "failed"
    assert found["lost"]["reason"].startswith("the worker process died (its Ray actor was lost: ")
    assert "\n" not in found["lost"]["reason"]
    assert found["lost"]["repeat"] == 1
    assert set(found["lost"]["time"]) == {"train_seconds", "total_seconds", "started"}


@needs_ray
def test_a_worker_killed_from_outside_costs_its_own_run_alone(tmp_path, ray):
    script = FAKE.replace(
        "time.sleep(60)", f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    )
    pid_file = tmp_path / "pid"

    def kill():
        wait_until(lambda: pid_file.exists() and pid_file.read_text(), 60.0)
        os.kill(int(pid_file.read_text()), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    found = results(workload_of(tmp_path, script=script), "sleep", "a", "b")
    thread.join()
    assert found["sleep"]["reason"] == "the worker process was killed (SIGKILL), most often because memory ran out"
    assert [found[name]["status"] for name in ("a", "b")] == ["ok", "ok"]


@needs_ray
def test_the_deadline_stops_what_is_running_and_its_process(tmp_path, ray):
    from lossmith.compare.runs.cluster import execute_on_ray

    stop, found, started = Stop(), {}, time.monotonic()
    for run, record in execute_on_ray(runs("a", "sleep", "b"), workload_of(tmp_path), 1, 90.0, stop):
        found[run.arm.name] = record
        stop.deadline = time.monotonic() + 0.5
    assert list(found) == ["a"]
    assert time.monotonic() - started < 50  # the sleep takes 60
    wait_until(lambda: not alive(found["a"]["pid"]))


@needs_ray
def test_an_interrupt_stops_too(tmp_path, ray):
    stop = Stop(interrupted=True)
    assert results(workload_of(tmp_path), "a", stop=stop) == {}


@needs_ray
def test_workers_that_cannot_start_are_an_error_with_their_last_words(tmp_path, ray):
    with pytest.raises(EngineError, match=r"^a worker could not be started: .*no work today\)\.$"):
        results(workload_of(tmp_path, {"broken": True}), "a")


@needs_ray
def test_more_jobs_than_the_cluster_has_cores_wait_for_each_other(tmp_path, ray):
    found = results(workload_of(tmp_path), *(f"n{number}" for number in range(6)), jobs=5)
    assert {record["status"] for record in found.values()} == {"ok"}
    assert len({record["pid"] for record in found.values()}) <= 2


@needs_ray
def test_a_comparison_is_the_same_byte_for_byte_apart_from_its_times(tmp_path, ray, monkeypatch):
    from lossmith.compare import compare
    from lossmith.compare.runs import engine
    from lossmith.compare.runs.cluster import execute_on_ray

    def results_in(folder):
        options = {"losses": ["cross_entropy"], "repeats": 2, "jobs": 2, "quiet": True}
        return compare(blobs(), "y", out=tmp_path / folder, **options).results

    local, spread = results_in("local"), []
    monkeypatch.setattr(engine, "execute", lambda *given: (spread.append(1), execute_on_ray(*given))[1])
    again = results_in("ray")
    assert spread == [1]
    assert {record["status"] for record in again["records"]} == {"ok"}
    assert json.dumps(without_times(again)) == json.dumps(without_times(local))


OWN = """
import os, signal, sys, tempfile
import numpy as np
from lossmith.compare.runs.cluster import execute_on_ray
from lossmith.compare.runs.engine import Run, Stop, Workload
from lossmith.compare.remedies.arms import Arm

handler = lambda number, frame: None
signal.signal(signal.SIGTERM, handler)
arrays = {"matrix": np.arange(6.0).reshape(3, 2), "labels": np.array([1, 0, 1])}
workload = Workload({}, arrays, (sys.executable, "-P", sys.argv[1]))
for run, record in execute_on_ray([Run(Arm("a", "a", "", "a"), 0, "k")], workload, 1, 60.0, Stop()):
    assert signal.getsignal(signal.SIGTERM) is handler
    print(record["value"], record["cwd"] == os.getcwd())
import ray
print(ray.is_initialized(), os.environ["RAY_USAGE_STATS_ENABLED"])
"""


@needs_ray
def test_a_cluster_of_its_own_is_quiet_and_ends_with_the_work(tmp_path):
    script = FAKE.replace('"pid": os.getpid()', '"pid": os.getpid(), "cwd": os.getcwd()')
    path = tmp_path / "fake.py"
    path.write_text(script)
    environment = {name: value for name, value in os.environ.items() if name != "RAY_USAGE_STATS_ENABLED"}
    ended = subprocess.run(
        [sys.executable, "-c", OWN, str(path)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env={**environment, "RAY_ADDRESS": "127.0.0.1:1"},  # None means this machine, whatever the variable says
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["17.0 True", "False 0"]
    assert ended.stderr == ""


@needs_ray
@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_a_cluster_that_is_not_there_is_one_sentence_at_once(address):
    from lossmith.compare.runs.cluster import check_reachable

    with pytest.raises(EngineError, match=rf"^Ray cannot be used at {address}: .*refused\.$"):
        check_reachable(address)
    check_reachable(None)
    check_reachable("auto")
