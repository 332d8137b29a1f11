"""The engine on a Ray cluster: a Ray actor for each job, and in it the same worker process as on one machine.

An actor holds a pool of one worker (`lossmith.compare.runs.engine.Pool`), so a run over its time, a worker that dies
and one that cannot be started are what they are without Ray, in the same words, and a record is the same byte for
byte apart from its time. Ray carries the data to every machine once. Plans, records and the store stay in the parent.
"""

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from lossmith.compare.runs.engine import TICK, EngineError, Pool, Record, Run, Stop, Workload
from lossmith.extras import extra
from lossmith.text import as_clause, clean

LOCAL = "local"  # what Ray calls a cluster of its own on this machine, whatever RAY_ADDRESS says
REACHED_WITHIN = 10.0  # seconds
STORE_BYTES = 128 * 2**20  # beside the data


class Host:
    """What an actor is: a pool of one worker, which gets the data from Ray's store on its machine."""

    def __init__(self, header: dict[str, Any], arrays: dict[str, Any], words: tuple[str, ...], timeout: float) -> None:
        self.pool = Pool(Workload(header, arrays, (sys.executable, *words)), 1, timeout)

    def work(self, run: Run) -> Record:
        """The record of a run, whatever becomes of it."""
        waiting = deque([run])
        while True:
            self.pool.hand_out(waiting)
            for _, record in list(self.pool.results()):  # to its end, where it puts away a worker that has died
                return record


class Crew:
    """The actors: at most ``jobs`` at a time, started when there is something to do for them."""

    def __init__(self, ray: Any, workload: Workload, jobs: int, timeout: float) -> None:
        self.ray, self.jobs = ray, jobs
        host: Any = ray.remote(num_cpus=1, max_restarts=0)(Host)
        arrays = ray.put(workload.arrays)
        self.start = partial(host.remote, workload.header, arrays, workload.command[1:], timeout)
        self.idle: list[Any] = []
        self.busy: dict[Any, tuple[Any, Run, float, str]] = {}

    def hand_out(self, waiting: deque[Run]) -> None:
        """Give a run to every actor without one, and start actors where there is room."""
        while waiting and len(self.busy) < self.jobs:
            actor, run = self.idle.pop() if self.idle else self.start(), waiting.popleft()
            started = datetime.now(UTC).isoformat(timespec="seconds")
            self.busy[actor.work.remote(run)] = actor, run, time.monotonic(), started
        while self.idle and not waiting:  # its core may be what another actor is waiting for
            self.ray.kill(self.idle.pop())

    def results(self) -> Iterator[tuple[Run, Record]]:
        """The runs that end within the next moment."""
        done, _ = self.ray.wait(list(self.busy), num_returns=len(self.busy), timeout=TICK)
        for answer in done:
            actor, run, since, started = self.busy.pop(answer)
            try:
                record = self.ray.get(answer)
                self.idle.append(actor)
            except self.ray.exceptions.RayTaskError as error:
                raise EngineError(str(error.cause)) from error
            except self.ray.exceptions.RayError as error:
                record = lost(run, as_clause(str(error).strip().splitlines()[0]), time.monotonic() - since, started)
            yield run, record

    def close(self) -> None:
        """End all actors; a worker process ends with its actor, which holds its standard input."""
        for actor in [*self.idle, *(actor for actor, *_ in self.busy.values())]:
            self.ray.kill(actor)


def lost(run: Run, words: str, seconds: float, started: str) -> Record:
    """The record of a run whose actor is gone, and its worker with it."""
    return {
        "arm": run.arm.name,
        "repeat": run.repeat,
        "status": "failed",
        "reason": f"the worker process died (its Ray actor was lost: {words})",
        "time": {"train_seconds": 0.0, "total_seconds": seconds, "started": started},
    }


def execute_on_ray(
    runs: Iterable[Run], workload: Workload, jobs: int, timeout: float, stop: Stop, address: str | None = None
) -> Generator[tuple[Run, Record]]:
    """As `lossmith.compare.runs.engine.execute`, on the Ray cluster at ``address``; None: one on this machine alone.

    A cluster needs the same lossmith on all its machines, and the user's own loss files at the same path. Where it
    has fewer cores than ``jobs``, as many runs are made at a time as it has cores.

    Raises `MissingError` where Ray is not installed, and `EngineError` where the cluster cannot be reached or its
    workers cannot be started.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = extra("ray", "ray")
    waiting = deque(runs)
    with connected(ray, address, jobs, sum(array.nbytes for array in workload.arrays.values())):
        cores = int(ray.cluster_resources().get("CPU", 1))
        crew = Crew(ray, workload, min(jobs, max(1, cores)), timeout)
        try:
            while not stop.reason:
                crew.hand_out(waiting)
                if not crew.busy:
                    break
                yield from crew.results()
        finally:
            crew.close()


@contextmanager
def connected(ray: Any, address: str | None, jobs: int, data: int) -> Iterator[None]:
    """Connected to a cluster; a connection that is there already is used and left as it is."""
    if ray.is_initialized():
        yield
        return
    check_reachable(address)
    options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": logging.ERROR}
    if address in (None, LOCAL):
        options |= {"address": LOCAL, "num_cpus": jobs, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        options["object_store_memory"] = STORE_BYTES + 2 * data
    logging.getLogger("ray").setLevel(logging.ERROR)  # it tells of its first steps before it reads the option
    with own_signals():
        try:
            ray.init(**options)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            where = address or "a cluster on this machine"
            raise EngineError(f"Ray cannot be used at {where}: {as_clause(str(error).splitlines()[0])}.") from error
    try:
        yield
    finally:
        ray.shutdown()


def check_reachable(address: str | None) -> None:
    """Say within seconds that nobody answers at an address; Ray itself tries for many minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():  # "auto", "local": Ray's own words
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACHED_WITHIN).close()
    except (OSError, OverflowError) as error:
        raise EngineError(f"Ray cannot be used at {clean(address)}: {as_clause(error)}.") from error


@contextmanager
def own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself when it starts; here it stays with whoever asked for it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGTERM, handler)
