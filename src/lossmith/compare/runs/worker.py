"""A worker process: reads the data once, then runs tasks one after the other, each answered by a line of JSON.

It is a plain ``python -m lossmith.compare.runs.worker`` and not a ``multiprocessing`` child, so that a user's script
needs no ``if __name__ == "__main__"``. Its standard input is its life line: when the parent is gone, however it died,
the input ends and the worker with it.
"""

import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from lossmith.errors import LossmithError

Work = Callable[[dict[str, Any]], dict[str, Any]]
Setup = Callable[[dict[str, Any], "np.ndarray[Any, Any]", "np.ndarray[Any, Any]"], Work]


def serve(setup: Setup) -> None:
    """Read the header line and the two arrays, say ready, and answer tasks until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a user's loss prints must not get between the answers
    source = sys.stdin.buffer
    header = json.loads(source.readline())
    matrix = receive(source, np.float64).reshape(*header["shape"])
    labels = receive(source, np.int64)
    tasks: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(source, tasks), daemon=True).start()
    try:
        work = setup(header, matrix, labels)
        send(answers, {"ready": True})
        while True:
            send(answers, attempt(work, tasks.get()))
    except BaseException:  # the listening thread would turn an ordinary end into an abort
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def receive(source: IO[bytes], kind: type) -> "np.ndarray[Any, Any]":
    """An array: the number of its bytes on a line, then the bytes."""
    return np.frombuffer(source.read(int(source.readline())), dtype=kind)


def listen(source: IO[bytes], tasks: "queue.SimpleQueue[dict[str, Any]]") -> None:
    """Queue the tasks that come in; at the end of the input leave at once, whatever is being computed."""
    for line in source:
        tasks.put(json.loads(line))
    os._exit(0)


def send(answers: IO[str], message: dict[str, Any]) -> None:
    """One message on one line."""
    answers.write(json.dumps(message, allow_nan=False) + "\n")
    answers.flush()


def attempt(work: Work, task: dict[str, Any]) -> dict[str, Any]:
    """The record of a task; what goes wrong inside becomes the reason of a failed one."""
    try:
        record = work(task)
        json.dumps(record, allow_nan=False)
        return record
    except Exception as error:
        sentence = "".join(str(error).strip().splitlines()[:1])
        reason = sentence if isinstance(error, LossmithError) else f"{type(error).__name__}: {sentence}"
        return {"status": "failed", "reason": reason}


def training_setup(header: dict[str, Any], matrix: "np.ndarray[Any, Any]", labels: "np.ndarray[Any, Any]") -> Work:
    """What this worker does for a living: one arm on one repeat for each task."""
    import torch

    from lossmith.compare.remedies.arms import Arm
    from lossmith.compare.runs import train
    from lossmith.compare.settings import Training

    torch.set_num_threads(1)
    training = Training(**header["training"])
    kept: dict[int, train.Prepared] = {}

    def work(task: dict[str, Any]) -> dict[str, Any]:
        repeat = task["repeat"]
        if repeat not in kept:
            kept.clear()
            kept[repeat] = train.prepare(matrix, labels, training, repeat)
        return train.run(kept[repeat], training, Arm(**{**task["arm"], "grid": tuple(task["arm"]["grid"])}))

    return work


if __name__ == "__main__":
    serve(training_setup)
