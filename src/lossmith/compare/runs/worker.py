"""A worker process: reads the data once, then runs tasks one after the other, each answered by a line of JSON.

It is a plain ``python -m lossmith.compare.runs.worker`` and not a ``multiprocessing`` child, so that a user's script
needs no ``if __name__ == "__main__"``. Its standard input is its life line: when the parent is gone, however it died,
the input ends and the worker with it.
"""

import json
import math
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
Arrays = dict[str, "np.ndarray[Any, Any]"]
Setup = Callable[[dict[str, Any], Arrays], Work]


def serve(setup: Setup) -> None:
    """Read the header line and the arrays, say ready, and answer tasks until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a user's loss prints must not get between the answers
    source = sys.stdin.buffer
    header = json.loads(source.readline())
    arrays = {name: receive(source, *found) for name, found in header["arrays"].items()}
    tasks: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(source, tasks), daemon=True).start()
    try:
        work = setup(header, arrays)
        send(answers, {"ready": True})
        while True:
            send(answers, attempt(work, tasks.get()))
    except BaseException:  # the listening thread would turn an ordinary end into an abort
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def receive(source: IO[bytes], kind: str, shape: list[int]) -> "np.ndarray[Any, Any]":
    """An array of the announced kind and shape from its bytes."""
    size = np.dtype(kind).itemsize * math.prod(shape)
    return np.frombuffer(source.read(size), dtype=kind).reshape(shape)


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


def training_setup(header: dict[str, Any], arrays: Arrays) -> Work:
    """What this worker does for a living: one arm on one repeat for each task."""
    import torch

    from lossmith.compare.remedies.arms import Arm
    from lossmith.compare.runs.train import Repeat
    from lossmith.compare.settings import Training

    torch.set_num_threads(1)
    training = Training(**plain(header["training"]))
    kept: dict[int, Repeat] = {}

    def work(task: dict[str, Any]) -> dict[str, Any]:
        number = task["repeat"]
        if number not in kept:
            kept.clear()
            kept[number] = Repeat(arrays, training, number)
        return kept[number].run(Arm(**plain(task["arm"])))

    return work


def plain(words: dict[str, Any]) -> dict[str, Any]:
    """What JSON has made lists of, as the tuples that they were."""
    return {name: tupled(value) for name, value in words.items()}


def tupled(value: Any) -> Any:
    """A list as a tuple, and the lists in it."""
    return tuple(map(tupled, value)) if isinstance(value, list) else value


if __name__ == "__main__":
    serve(training_setup)
