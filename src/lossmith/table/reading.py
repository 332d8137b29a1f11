"""A table from a file: sizes are limited before anything is parsed, and nothing is ever unpickled."""

import csv
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from lossmith.errors import InputError
from lossmith.files import home_expanded
from lossmith.table.cells import typed
from lossmith.text import as_clause, clean, listing, quote, suggestion

MAX_FILE_BYTES = 4 * 2**30
MAX_UNPACKED_BYTES = 16 * 2**30
MAX_ROWS = 20_000_000
MAX_COLUMNS = 10_000
MAX_CELLS = 500_000_000
MAX_LINE_BYTES = 16 * 2**20
MAX_FIELD_CHARACTERS = 1_000_000
ONLY_EMPTY: dict[str, Any] = {"keep_default_na": False, "na_values": [""]}
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # a Path has made one slash of two


@dataclass(frozen=True)
class Limits:
    """How large a file may be before it is parsed; as the constants above say where nothing else is given."""

    file_bytes: int = field(default_factory=lambda: MAX_FILE_BYTES)
    unpacked_bytes: int = field(default_factory=lambda: MAX_UNPACKED_BYTES)
    rows: int = field(default_factory=lambda: MAX_ROWS)
    cells: int = field(default_factory=lambda: MAX_CELLS)


def read_table(path: str | Path, labels: Sequence[str] = (), limits: Limits | None = None) -> pd.DataFrame:
    """A CSV, TSV or Parquet file as a data frame; the columns named in ``labels`` keep words that look like numbers.

    Raises
    ------
    InputError
        Where the file is missing, too large, of another kind, or cannot be read as what it claims to be.
    """
    limits = limits or Limits()
    path = located(path, limits)
    name = clean(path, 200)
    with opened(name):
        frame = READERS[path.suffix.lower()](path, name, labels, limits)
    if frame.empty:
        raise InputError(f"{name} has a header but no rows.")
    return frame


def located(path: str | Path, limits: Limits) -> Path:
    """The path of a file that is there, of a kind that is read here, and neither empty nor too large."""
    if URL.match(str(path)):
        raise InputError(f"{clean(path, 200)} is a URL, and URLs are not read; download the file and give its path.")
    path = home_expanded(path)
    name = clean(path, 200)
    if path.is_dir():
        raise InputError(f"{name} is a folder; give one CSV, TSV or Parquet file.")
    if not path.exists():
        raise InputError(f"{name} does not exist{near_file(path) or '; check the path.'}")
    if path.suffix.lower() not in READERS or not path.is_file():
        raise InputError(f"{name} is not a file that can be read here; give .csv, .tsv or .parquet (unpacked).")
    with opened(name):
        size = path.stat().st_size
    check_limit(size, limits.file_bytes, f"{name} has", "bytes")
    if size == 0:
        raise InputError(f"{name} is empty; give a table with a header and rows.")
    return path


@contextmanager
def opened(name: str) -> Iterator[None]:
    """One sentence where the file system refuses."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror or as_clause(error)}.") from error


def near_file(path: Path) -> str:
    """A suggestion from the names in the same folder, where that folder can be listed."""
    try:
        stems = {entry.stem: entry.name for entry in path.parent.iterdir()}
    except OSError:
        return ""
    return suggestion(path.stem, stems, stems)


def check_limit(value: int, limit: int, subject: str, unit: str) -> None:
    """One sentence where a size is over its cap."""
    if value > limit:
        raise InputError(f"{subject} {value:,} {unit}, more than the accepted {limit:,}; give a smaller table.")


def read_text(path: Path, name: str, labels: Sequence[str], limits: Limits) -> pd.DataFrame:
    """A delimited text file; the separator of a .csv is the one that splits its header most."""
    check_limit(count_lines(path, name), limits.rows, f"{name} has", "lines")
    with parsed_text(name):
        separator, _ = checked_header(path, name)
        frame = pd.read_csv(path, **as_text(separator))
    frame = typed(frame, labels, separator)
    check_fields(frame, name)
    return frame


def checked_header(path: Path, name: str) -> tuple[str, list[str]]:
    """The separator of a delimited text file and its column names, of which there are not too many."""
    separator, header = read_header(path)
    check_limit(len(header), MAX_COLUMNS, f"{name} has", "columns")
    check_duplicates([column for column in header if column.strip()], name)
    return separator, header


def as_text(separator: str) -> dict[str, Any]:
    """The options of ``pandas.read_csv`` that leave every cell the text that it is."""
    return {
        "sep": separator,
        "encoding": "utf-8-sig",
        "compression": None,
        "index_col": False,
        "dtype": str,
        **ONLY_EMPTY,
    }


@contextmanager
def parsed_text(name: str) -> Iterator[None]:
    """One sentence where a text file is no table."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            yield
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise InputError(f"{name} is not UTF-8 text (it holds the byte 0x{byte:02x}); save it as UTF-8.") from error
    except pd.errors.EmptyDataError as error:
        raise InputError(f"{name} is empty; give a table with a header and rows.") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning, csv.Error) as error:
        detail = as_clause(str(error).removeprefix("Error tokenizing data. C error: "))
        raise InputError(f"{name} cannot be read as a table: {detail}.") from error


def count_lines(path: Path, name: str) -> int:
    """The number of line ends, found without parsing; a line beyond the cap is refused on the way."""
    lines = 0
    with path.open("rb") as file:
        while chunk := file.read(MAX_LINE_BYTES):
            if b"\0" in chunk:  # pandas would end or join cells there without a word
                raise InputError(f"{name} holds NUL bytes, so it is not UTF-8 text; save it as UTF-8.")
            ends = chunk.count(b"\n") or chunk.count(b"\r")
            if ends == 0 and len(chunk) == MAX_LINE_BYTES:
                raise InputError(f"{name} has a line of more than {MAX_LINE_BYTES:,} bytes; it is not a usable table.")
            lines += ends
    return lines


def read_header(path: Path) -> tuple[str, list[str]]:
    """The separator and the raw column names, before pandas renames what is there twice."""
    candidates = "\t" if path.suffix.lower() == ".tsv" else ",;\t|"
    headers = {}
    for separator in candidates:
        with path.open(encoding="utf-8-sig", newline="") as file:
            headers[separator] = next(csv.reader(file, delimiter=separator), [])
    best = max(candidates, key=lambda separator: len(headers[separator]))
    return best, headers[best]


def check_fields(frame: pd.DataFrame, name: str) -> None:
    """No text cell beyond the cap (quoted text may run over many lines)."""
    for column in frame.columns[[not pd.api.types.is_numeric_dtype(dtype) for dtype in frame.dtypes]]:
        longest = frame[column].dropna().astype(str).str.len().max()
        if longest > MAX_FIELD_CHARACTERS:
            raise InputError(f"{name}: column {quote(column)} holds a text of {int(longest):,} characters; shorten it.")


def read_parquet(path: Path, name: str, labels: Sequence[str], limits: Limits) -> pd.DataFrame:
    """A Parquet file; its own metadata tell the unpacked size before anything is unpacked."""
    import pyarrow.parquet as pq

    with parsed_parquet(name):
        with pq.ParquetFile(path) as file:
            check_parquet(file, name, limits)
            table = file.read()
        frame = frame_of_arrow(table, name)
    check_fields(frame, name)
    return frame


def check_parquet(file: Any, name: str, limits: Limits) -> None:
    """The sizes that the metadata of an open Parquet file tell, and columns that can be features."""
    groups = range(file.metadata.num_row_groups)
    unpacked = sum(file.metadata.row_group(group).total_byte_size for group in groups)
    check_limit(unpacked, limits.unpacked_bytes, f"{name} unpacks to", "bytes")
    check_limit(file.metadata.num_rows, limits.rows, f"{name} has", "rows")
    check_limit(len(file.schema_arrow), MAX_COLUMNS, f"{name} has", "columns")
    check_limit(len(file.schema_arrow) * file.metadata.num_rows, limits.cells, f"{name} has", "cells")
    check_duplicates(file.schema_arrow.names, name)
    refuse_nested(file.schema_arrow, name)


@contextmanager
def parsed_parquet(name: str) -> Iterator[None]:
    """One sentence where a file is not the Parquet that it claims to be."""
    import pyarrow as pa

    try:
        yield
    except pa.ArrowException as error:
        raise InputError(f"{name} cannot be read as Parquet: {as_clause(str(error).splitlines()[0])}.") from error


def frame_of_arrow(table: Any, name: str) -> pd.DataFrame:
    """An Arrow table as the data frame that the rest of the package understands."""
    frame: pd.DataFrame = plain_columns(table, name).to_pandas(ignore_metadata=True, date_as_object=False)
    return frame


def refuse_nested(schema: Any, name: str) -> None:
    """Lists, structs and maps have no place in a table of features."""
    import pyarrow as pa

    nested = [field.name for field in schema if pa.types.is_nested(field.type)]
    if nested:
        raise InputError(f"{name}: column {listing(nested)} holds lists or structures; flatten or remove it.")


def plain_columns(table: Any, name: str) -> Any:
    """Decimal columns as float64, which is what a model sees of them anyway, and binary ones as the text they hold."""
    import pyarrow as pa

    for index, column in enumerate(table.schema):
        binary = pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)
        if pa.types.is_fixed_size_binary(column.type):
            table, binary = table.set_column(index, column.name, table.column(index).cast(pa.binary())), True
        if binary or pa.types.is_decimal(column.type):
            try:
                plain = table.column(index).cast(pa.string() if binary else pa.float64())
            except pa.ArrowInvalid as error:
                raise InputError(f"{name}: column {quote(column.name)} holds bytes, not text; remove it.") from error
            table = table.set_column(index, column.name, plain)
    return table


READERS: dict[str, Callable[[Path, str, Sequence[str], Limits], pd.DataFrame]] = {
    ".csv": read_text,
    ".tsv": read_text,
    ".parquet": read_parquet,
}


def check_duplicates(names: Sequence[str], source: str) -> None:
    """A name that is there twice would make one of the two columns unreachable."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"{clean(source, 200)} has more than one column named {listing(twice)}; rename or remove one.")
