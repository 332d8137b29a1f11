"""Hands runs to worker processes one by one, and survives whatever happens to one of them.

A run that takes too long, or whose worker dies, costs itself only: it is recorded with its reason and a new worker
takes the place of the old one.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from lossmith.compare.remedies.arms import Arm
from lossmith.text import clean

COMMAND = (sys.executable, "-P", "-m", "lossmith.compare.runs.worker")
TICK = 0.1
REPORT_SECONDS = 2.0  # what the verdict and the report take, kept free at the end of a budget
START_UP = 600.0  # seconds: importing from a cold network disk is slow, but it ends
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

Record = dict[str, Any]
Message = tuple["Worker", Record | None]


class EngineError(RuntimeError):
    """The workers cannot be started at all, so no run can be made."""


@dataclass(frozen=True)
class Run:
    """One arm on one repeat, and the key of its record."""

    arm: Arm
    repeat: int
    key: str


@dataclass(frozen=True)
class Workload:
    """What every worker is told at its start: a header and the arrays of the task by name."""

    header: dict[str, Any]
    arrays: "dict[str, np.ndarray[Any, Any]]"
    command: tuple[str, ...] = COMMAND


Executor = Callable[[Iterable[Run], Workload, int, float, "Stop"], Generator[tuple[Run, Record]]]
"""Makes runs: (runs, workload, jobs, timeout, stop) -> every run with its record; `execute` does so on this machine."""


@dataclass
class Stop:
    """Why the work ended early: "interrupt", "budget", or nothing yet."""

    deadline: float = float("inf")
    interrupted: bool = False

    @classmethod
    def after(cls, began: float, budget: float | None) -> "Stop":
        """When the seconds of a budget are over, but for those that the report takes."""
        return cls() if budget is None else cls(began + budget - min(REPORT_SECONDS, budget / 5))

    @property
    def reason(self) -> str | None:
        """The reason, as soon as there is one."""
        if self.interrupted:
            return "interrupt"
        return "budget" if time.monotonic() >= self.deadline else None


class Worker:
    """A child process, the run it has in hand, and a thread that briefs it and brings in what it says."""

    def __init__(self, workload: Workload, inbox: "queue.SimpleQueue[Message]") -> None:
        self.run: Run | None = None
        self.ready = False
        self.mark()
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        self.process = subprocess.Popen(
            workload.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,  # the terminal's Ctrl-C is for the parent, which decides
        )
        self.thread = threading.Thread(target=self.converse, args=(workload, inbox), daemon=True)
        self.thread.start()

    def mark(self) -> None:
        """Note the time: from here on the present run counts."""
        self.since, self.started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")

    def converse(self, workload: Workload, inbox: "queue.SimpleQueue[Message]") -> None:
        """Send the header and the data, then pass on every message, and None when the child has ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            shapes = {name: [array.dtype.str, array.shape] for name, array in workload.arrays.items()}
            self.process.stdin.write(json.dumps({**workload.header, "arrays": shapes}).encode() + b"\n")
            for array in workload.arrays.values():
                self.process.stdin.write(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
            self.process.stdin.flush()
            for line in self.process.stdout:
                inbox.put((self, json.loads(line)))
        except (OSError, ValueError):  # it died while being briefed, or in the middle of a line
            pass
        inbox.put((self, None))

    def take(self, run: Run) -> None:
        """Start on a run, as soon as the child is ready."""
        self.run = run
        self.mark()
        if self.ready:
            self.send()

    def send(self) -> None:
        """Tell the child what to run; one that is gone already is noticed by its silence."""
        assert self.process.stdin is not None
        assert self.run is not None
        arm = {**vars(self.run.arm), "grid": [dict(point) for point in self.run.arm.grid]}
        with suppress(OSError):
            self.process.stdin.write(json.dumps({"arm": arm, "repeat": self.run.repeat}).encode() + b"\n")
            self.process.stdin.flush()

    def close(self) -> None:
        """Kill the child and close what belongs to it."""
        self.process.kill()
        self.process.wait()
        self.thread.join()
        for pipe in (self.process.stdin, self.process.stdout, self.errors):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]

    def cause_of_death(self) -> str:
        """Why the child ended, as a sentence with the last line that it wrote to its standard error."""
        code = self.process.wait()
        if code == -signal.SIGKILL:
            return "the worker process was killed (SIGKILL), most often because memory ran out"
        self.errors.seek(max(0, self.errors.seek(0, os.SEEK_END) - 4096))
        words = self.errors.read().decode(errors="replace").strip().splitlines()[-1:]
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"the worker process died ({': '.join([how, *(clean(word, 200) for word in words)])})"


class Pool:
    """The workers: at most ``jobs`` at a time, started when there is something to do for them."""

    def __init__(self, workload: Workload, jobs: int, timeout: float) -> None:
        self.workload, self.jobs, self.timeout = workload, jobs, timeout
        self.inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.workers: list[Worker] = []

    @property
    def busy(self) -> bool:
        """True while a run is in some worker's hands."""
        return any(worker.run for worker in self.workers)

    def hand_out(self, waiting: deque[Run]) -> None:
        """Give a run to every worker without one, and start workers where there is room."""
        while waiting and len(self.workers) < self.jobs:
            self.workers.append(Worker(self.workload, self.inbox))
            self.workers[-1].take(waiting.popleft())
        for worker in self.workers:
            if waiting and worker.run is None:
                worker.take(waiting.popleft())

    def results(self) -> Iterator[tuple[Run, Record]]:
        """The runs that end within the next moment, and those that are over their time."""
        left = min((self.left(worker) for worker in self.workers), default=TICK)
        with suppress(queue.Empty):
            worker, message = self.inbox.get(timeout=min(TICK, max(0.0, left)))
            if worker in self.workers:  # a killed one may still have had something to say
                yield from self.hear(worker, message)
        for worker in [worker for worker in self.workers if self.left(worker) < 0]:
            if not worker.ready:
                raise EngineError(f"a worker could not be started: it was not ready after {START_UP:g} s.")
            yield self.finish(worker, {"status": "timeout", "reason": f"stopped after {self.timeout:g} s"})
            self.dismiss(worker)

    def left(self, worker: Worker) -> float:
        """The seconds that a worker still has for its run, or for being ready, which no run has to pay for."""
        limit = self.timeout if worker.ready else START_UP
        return worker.since + limit - time.monotonic() if worker.run else float("inf")

    def hear(self, worker: Worker, message: Record | None) -> Iterator[tuple[Run, Record]]:
        """One message of a worker: that it is ready, a record, or its end."""
        if message is None:
            cause = worker.cause_of_death()
            if not worker.ready:
                raise EngineError(f"a worker could not be started: {cause}.")
            if worker.run:
                yield self.finish(worker, {"status": "failed", "reason": cause})
            self.dismiss(worker)
        elif message.get("ready"):
            worker.ready = True
            worker.mark()
            worker.send()
        else:
            yield self.finish(worker, message)

    def finish(self, worker: Worker, record: Record) -> tuple[Run, Record]:
        """The run that a worker has ended, and its record; one without success is named and timed here."""
        assert worker.run is not None
        run, worker.run = worker.run, None
        if record["status"] != "ok":
            spent = time.monotonic() - worker.since
            when = {"train_seconds": 0.0, "total_seconds": spent, "started": worker.started}
            record = {"arm": run.arm.name, "repeat": run.repeat, **record, "time": when}
        return run, record

    def dismiss(self, worker: Worker) -> None:
        """End a worker; the next run that waits starts another in its place."""
        self.workers.remove(worker)
        worker.close()

    def close(self) -> None:
        """End all workers, and what they are doing."""
        for worker in list(self.workers):
            self.dismiss(worker)


def execute(
    runs: Iterable[Run], workload: Workload, jobs: int, timeout: float, stop: Stop
) -> Generator[tuple[Run, Record]]:
    """Every run with its record, in the order in which they end, until all are done or it is time to stop."""
    waiting = deque(runs)
    pool = Pool(workload, jobs, timeout)
    try:
        while not stop.reason:
            pool.hand_out(waiting)
            if not pool.busy:
                break
            yield from pool.results()
    finally:
        pool.close()


@contextmanager
def stopping_on_signals(stop: Stop) -> Iterator[None]:
    """Ctrl-C and SIGTERM ask for a stop; a second one interrupts at once, as usual.

    Signals belong to the main thread, so in any other nothing is changed; one that is ignored stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    previous = {number: handler for number, handler in handlers.items() if handler not in (None, signal.SIG_IGN)}

    def ask(number: int, frame: object) -> None:
        stop.interrupted = True
        for number, handler in previous.items():
            signal.signal(number, handler)

    for number in previous:
        signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
