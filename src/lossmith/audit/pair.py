"""Two real processes with a gloo group between them, started once and shared by all audits of this process."""

import atexit
import contextlib
import functools
import io
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from lossmith.audit.batch import Batch
from lossmith.audit.check import MistakeError, NotApplicableError
from lossmith.audit.target import Subject

RANKS = 2
SECONDS = 120.0  # for one answer, the first start included
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class Reply:
    """One rank's value and the gradients of its inputs."""

    value: float
    gradients: tuple[Tensor, ...]


def send(stream: IO[bytes], message: Mapping[str, Any]) -> None:
    """One message: numbers, words, lists and tensors; nothing that could run on the other side."""
    data = io.BytesIO()
    torch.save(dict(message), data)
    stream.write(_LENGTH.pack(data.getbuffer().nbytes))
    stream.write(data.getbuffer())
    stream.flush()


def receive(stream: IO[bytes]) -> dict[str, Any]:
    """The next message; `EOFError` when the other side is gone."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    return dict(torch.load(io.BytesIO(stream.read(_LENGTH.unpack(head)[0])), weights_only=True))


class Pair:
    """The parent's end: it starts the processes at the first question, and after an error anew."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def start(self) -> None:
        """Start the processes if they are not there; returns at once."""
        if self._processes:
            return
        self._folder = tempfile.TemporaryDirectory(prefix="lossmith-ranks-")
        store = str(Path(self._folder.name) / "store")
        code = "import sys; sys.path[:] = sys.argv[3:]; from lossmith.audit.rank import serve; serve(*sys.argv[1:3])"
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        for rank in range(RANKS):
            words = [sys.executable, "-c", code, str(rank), store, *sys.path]
            self._processes.append(
                subprocess.Popen(
                    words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
                )
            )

    def stop(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
        self._processes = []
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def ask(self, subject: Subject, call: str, parts: Sequence[Batch], changes: Mapping[str, Any]) -> list[Reply]:
        """Every rank's answer for its part."""
        assert subject.home is not None
        self.start()
        job = {"home": asdict(subject.home), "options": {**subject.options, **changes}, "call": call}
        jobs = [
            {
                **job,
                "inputs": list(part.inputs),
                "target": part.target,
                "axis": part.axis,
                "own": part.own,
                "path": list(sys.path),
            }
            for part in parts
        ]
        try:
            with ThreadPoolExecutor(RANKS) as pool:
                futures = [pool.submit(self._exchange, k, one) for k, one in enumerate(jobs)]
                try:
                    answers = [future.result(SECONDS) for future in futures]
                except TimeoutError:
                    self.stop()
                    raise MistakeError(f"two ranks did not answer within {SECONDS:g} s") from None
        except (EOFError, OSError, TypeError) as error:
            self.stop()
            raise NotApplicableError(f"the loss or its options cannot be sent to another process: {error!r}") from error
        errors = [answer["error"] for answer in answers if "error" in answer]
        if errors:
            self.stop()  # a group in which one rank left a collective early is of no more use
            raise MistakeError(f"with two ranks it raised {errors[0]}")
        return [Reply(answer["value"], tuple(answer["gradients"])) for answer in answers]

    def _exchange(self, rank: int, job: Mapping[str, Any]) -> dict[str, Any]:
        process = self._processes[rank]
        assert process.stdin is not None
        assert process.stdout is not None
        send(process.stdin, job)
        return receive(process.stdout)


@functools.cache
def shared_pair() -> Pair:
    """The one pair of this process."""
    pair = Pair()
    atexit.register(pair.stop)
    return pair
