"""The records of a run, in bounded memory: where they become too many, every second one is let go."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

from lossmith.errors import InputError, ParameterError
from lossmith.files import home_expanded

Record = dict[str, float]  # "step", "loss", and what measure.py names


class History(Sequence[Record]):
    """Records of {name: number}, at most `most`: the first, the last, and between them all or evenly spaced ones.

    >>> history = History(most=4)
    >>> for step in range(9):
    ...     history.append({"step": step})
    >>> [record["step"] for record in history]
    [0, 4, 8]
    """

    def __init__(self, records: Sequence[Record] = (), most: int = 2000) -> None:
        if most < 2:
            raise ParameterError(f"LossMonitor: history must keep at least 2 records, not {most}")
        self.most, self._stride, self._seen = most, 1, 0
        self._kept: list[Record] = []
        self._last: Record | None = None
        for record in records:
            self.append(record)

    def append(self, record: Record) -> None:
        """Add the record of a step."""
        self._last = None
        if self._seen % self._stride:
            self._last = record
        else:
            if len(self._kept) == self.most - 1:  # with the last one they are `most`
                self._kept, self._stride = self._kept[::2], self._stride * 2
            if self._seen % self._stride:
                self._last = record
            else:
                self._kept.append(record)
        self._seen += 1

    def __len__(self) -> int:
        return len(self._kept) + (self._last is not None)

    def __iter__(self) -> Iterator[Record]:
        yield from self._kept
        if self._last is not None:
            yield self._last

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: Any) -> Any:
        return list(self)[index]

    def __repr__(self) -> str:
        return f"<History of {len(self)} records, to step {self[-1]['step']:g}>" if len(self) else "<History, empty>"

    @classmethod
    def read(cls, path: str | Path, most: int = 2000) -> "History":
        """The records of a JSONL file; a last line that a killed run left unfinished is not read.

        Where the steps start again, the later records count: the file then holds several runs, or one that went on
        from a checkpoint.

        Raises `InputError` for a file that is not there, or that is no such file.
        """
        place = home_expanded(path)
        try:
            lines = place.read_bytes().splitlines(keepends=True)
        except OSError as error:
            raise InputError(f"LossMonitor.read: {place} cannot be read: {error.strerror}") from None
        records: list[Record] = []
        for number, line in enumerate(lines, 1):
            try:
                record = _record(line)
            except ValueError:
                if number == len(lines) and not line.endswith(b"\n"):
                    break
                raise InputError(f"LossMonitor.read: line {number} of {place} is no record of a LossMonitor") from None
            while records and records[-1]["step"] >= record["step"]:
                records.pop()  # of a former run, or of one that went on from an earlier checkpoint
            records.append(record)
        return cls(records, most=most)

    def plot(self) -> Any:
        """A matplotlib Figure of the run: see `LossMonitor.plot`."""
        from lossmith.monitor.picture import draw

        return draw(list(self))


def _record(line: bytes) -> Record:
    record = json.loads(line)
    if not isinstance(record, dict) or not isinstance(record.get("step"), int):
        raise ValueError
    if not all(x is None or isinstance(x, int | float) for x in record.values()):
        raise ValueError
    return {name: math.nan if x is None else x for name, x in record.items()}


def group(record: Record, what: str) -> dict[str, float]:
    """The numbers called ``what/name``, by name.

    >>> group({"step": 3, "class_loss/cat": 0.5, "class_share/cat": 1.0}, "class_loss")
    {'cat': 0.5}
    """
    head = f"{what}/"
    return {name.removeprefix(head): x for name, x in record.items() if name.startswith(head)}
