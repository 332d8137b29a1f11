"""A file's rows in batches, so that a table need never be in memory as a whole."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lossmith.errors import InputError
from lossmith.table.cells import typed
from lossmith.table.reading import (
    MAX_COLUMNS,
    Limits,
    as_text,
    check_fields,
    check_limit,
    check_parquet,
    checked_header,
    count_lines,
    frame_of_arrow,
    opened,
    parsed_parquet,
    parsed_text,
)

MOST_ROWS = 2_000_000_000
LIMITS = Limits(file_bytes=2**44, unpacked_bytes=2**50, rows=MOST_ROWS, cells=MOST_ROWS * MAX_COLUMNS)
ROWS_OF_A_BATCH = 65_536
CELLS_OF_A_BATCH = 2**20
BYTES_OF_A_BATCH = 2**23  # as decoded; what reading takes beside it is a few times as much
READ_BUFFER = 2**20

Choice = Callable[[pd.Series], NDArray[np.int64]]  # of the batch's targets: which of its rows to keep


class Batches(Protocol):
    """A file that is read piece by piece."""

    most_rows: int  # at least as many as the file has

    def first(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The first rows, as they are read and as they are understood."""

    def targets(self, target: str | None) -> Iterator[pd.Series]:
        """The column of the target, batch by batch; without a target as many zeros."""

    def kept(self, target: str | None, choose: Choice) -> pd.DataFrame:
        """The chosen rows of every batch in one frame, indexed by their numbers in the file."""


def batches(path: Path, name: str, target: str | None) -> Batches:
    """The rows of a file that `located` has found."""
    return ParquetBatches(path, name) if path.suffix.lower() == ".parquet" else TextBatches(path, name, target)


def rows_of_a_batch(columns: int) -> int:
    """As many as make a moderate number of cells."""
    return max(1, min(ROWS_OF_A_BATCH, CELLS_OF_A_BATCH // max(1, columns)))


class ParquetBatches:
    """A Parquet file; a batch is decoded from pages, so that even one huge row group is never unpacked as a whole."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        with self.file() as file:
            check_parquet(file, name, LIMITS)
            self.most_rows: int = file.metadata.num_rows
            self.rows = rows_of_a_batch(len(file.schema_arrow))
        if self.most_rows == 0:
            raise InputError(f"{name} has a header but no rows.")

    @contextmanager
    def file(self) -> Iterator[Any]:
        """The file, open, with one sentence for whatever it does not hold to."""
        import pyarrow.parquet as pq

        # Without the buffer a whole column chunk is read at once, and with pre_buffer one after the other stays.
        options = {"buffer_size": READ_BUFFER, "pre_buffer": False}
        with opened(self.name), parsed_parquet(self.name), pq.ParquetFile(self.path, **options) as file:
            yield file

    def batches(self, columns: list[str] | None = None) -> Iterator[Any]:
        """Arrow tables of a moderate size."""
        import pyarrow as pa

        with self.file() as file:
            for batch in file.iter_batches(self.rows, columns=columns, use_threads=False):
                yield pa.Table.from_batches([batch])

    def first(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        for table in self.batches():
            frame = frame_of_arrow(table, self.name)
            self.rows = max(1, min(self.rows, BYTES_OF_A_BATCH * len(table) // max(1, table.nbytes)))
            return frame, frame
        raise InputError(f"{self.name} has a header but no rows.")

    def targets(self, target: str | None) -> Iterator[pd.Series]:
        for table in self.batches(None if target is None else [target]):
            yield self.target_of(table, target)

    def target_of(self, table: Any, target: str | None) -> pd.Series:
        """The target of one batch."""
        if target is None:
            return zeros(len(table))
        return frame_of_arrow(table.select([target]), self.name)[target]

    def kept(self, target: str | None, choose: Choice) -> pd.DataFrame:
        import pyarrow as pa

        pieces, numbers, seen = [], [], 0
        for table in self.batches():
            rows = choose(self.target_of(table, target))
            pieces.append(table.take(rows))
            numbers.append(rows + seen)
            seen += len(table)
        frame = frame_of_arrow(pa.concat_tables(pieces).unify_dictionaries(), self.name)
        frame.index = pd.Index(np.concatenate(numbers))
        check_fields(frame, self.name)
        return frame


class TextBatches:
    """A delimited text file; its cells become numbers only when all chosen rows are there, as in a whole table."""

    def __init__(self, path: Path, name: str, target: str | None) -> None:
        self.path, self.name = path, name
        self.labels = () if target is None else (target,)
        with self.parsed():
            lines = count_lines(path, name)
            check_limit(lines, MOST_ROWS, f"{name} has", "lines")
            self.separator, header = checked_header(path, name)
        self.most_rows = lines  # the last of them may have no end, but the header is one
        self.rows = rows_of_a_batch(len(header))

    @contextmanager
    def parsed(self) -> Iterator[None]:
        """One sentence for whatever the file does not hold to."""
        with opened(self.name), parsed_text(self.name):
            yield

    def batches(self, columns: list[str] | None = None) -> Iterator[pd.DataFrame]:
        """Frames of text of a moderate size."""
        with (
            self.parsed(),
            pd.read_csv(self.path, **as_text(self.separator), usecols=columns, chunksize=self.rows) as reader,
        ):
            yield from reader

    def first(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        for frame in self.batches():
            return frame, typed(frame, self.labels, self.separator)
        raise InputError(f"{self.name} has a header but no rows.")

    def targets(self, target: str | None) -> Iterator[pd.Series]:
        for frame in self.batches(None if target is None else [target]):
            yield self.target_of(frame, target)

    def target_of(self, frame: pd.DataFrame, target: str | None) -> pd.Series:
        """The target of one batch."""
        return zeros(len(frame)) if target is None else frame[target]

    def kept(self, target: str | None, choose: Choice) -> pd.DataFrame:
        chosen = pd.concat([frame.iloc[choose(self.target_of(frame, target))] for frame in self.batches()])
        frame = typed(chosen, self.labels, self.separator)
        check_fields(frame, self.name)
        return frame


def zeros(rows: int) -> pd.Series:
    """A target that is the same in every row."""
    return pd.Series(np.zeros(rows, np.int8))
