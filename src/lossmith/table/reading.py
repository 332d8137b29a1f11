"""A table from a file: sizes are limited before anything is parsed, and nothing is ever unpickled."""

import csv
import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
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


def read_table(path: str | Path, labels: Sequence[str] = ()) -> pd.DataFrame:
    """A CSV, TSV or Parquet file as a data frame; the columns named in ``labels`` keep words that look like numbers.

    Raises
    ------
    InputError
        Where the file is missing, too large, of another kind, or cannot be read as what it claims to be.
    """
    if URL.match(str(path)):
        raise InputError(f"{clean(path, 200)} is a URL, and URLs are not read; download the file and give its path.")
    path = home_expanded(path)
    name = clean(path, 200)
    if path.is_dir():
        raise InputError(f"{name} is a folder; give one CSV, TSV or Parquet file.")
    if not path.exists():
        raise InputError(f"{name} does not exist{near_file(path) or '; check the path.'}")
    reader = READERS.get(path.suffix.lower())
    if reader is None or not path.is_file():
        raise InputError(f"{name} is not a file that can be read here; give .csv, .tsv or .parquet (unpacked).")
    try:
        size = path.stat().st_size
        check_limit(size, MAX_FILE_BYTES, f"{name} has", "bytes")
        if size == 0:
            raise InputError(f"{name} is empty; give a table with a header and rows.")
        frame = reader(path, name, labels)
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror or as_clause(error)}.") from error
    if frame.empty:
        raise InputError(f"{name} has a header but no rows.")
    return frame


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


def read_text(path: Path, name: str, labels: Sequence[str]) -> pd.DataFrame:
    """A delimited text file; the separator of a .csv is the one that splits its header most."""
    check_limit(count_lines(path, name), MAX_ROWS, f"{name} has", "lines")
    try:
        separator, header = read_header(path)
        check_limit(len(header), MAX_COLUMNS, f"{name} has", "columns")
        check_duplicates([column for column in header if column.strip()], name)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                path, sep=separator, encoding="utf-8-sig", compression=None, index_col=False, dtype=str, **ONLY_EMPTY
            )
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise InputError(f"{name} is not UTF-8 text (it holds the byte 0x{byte:02x}); save it as UTF-8.") from error
    except pd.errors.EmptyDataError as error:
        raise InputError(f"{name} is empty; give a table with a header and rows.") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning, csv.Error) as error:
        detail = as_clause(str(error).removeprefix("Error tokenizing data. C error: "))
        raise InputError(f"{name} cannot be read as a table: {detail}.") from error
    frame = typed(frame, labels, separator)
    check_fields(frame, name)
    return frame


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


def read_parquet(path: Path, name: str, labels: Sequence[str]) -> pd.DataFrame:
    """A Parquet file; its own metadata tell the unpacked size before anything is unpacked."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            groups = range(file.metadata.num_row_groups)
            unpacked = sum(file.metadata.row_group(group).total_byte_size for group in groups)
            check_limit(unpacked, MAX_UNPACKED_BYTES, f"{name} unpacks to", "bytes")
            check_limit(file.metadata.num_rows, MAX_ROWS, f"{name} has", "rows")
            check_limit(len(file.schema_arrow), MAX_COLUMNS, f"{name} has", "columns")
            check_limit(len(file.schema_arrow) * file.metadata.num_rows, MAX_CELLS, f"{name} has", "cells")
            check_duplicates(file.schema_arrow.names, name)
            refuse_nested(file.schema_arrow, name)
            table = file.read()
        frame: pd.DataFrame = plain_columns(table, name).to_pandas(ignore_metadata=True, date_as_object=False)
    except pa.ArrowException as error:
        raise InputError(f"{name} cannot be read as Parquet: {as_clause(str(error).splitlines()[0])}.") from error
    check_fields(frame, name)
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

    for index, field in enumerate(table.schema):
        binary = pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)
        if pa.types.is_fixed_size_binary(field.type):
            table, binary = table.set_column(index, field.name, table.column(index).cast(pa.binary())), True
        if binary or pa.types.is_decimal(field.type):
            try:
                plain = table.column(index).cast(pa.string() if binary else pa.float64())
            except pa.ArrowInvalid as error:
                raise InputError(f"{name}: column {quote(field.name)} holds bytes, not text; remove it.") from error
            table = table.set_column(index, field.name, plain)
    return table


READERS: dict[str, Callable[[Path, str, Sequence[str]], pd.DataFrame]] = {
    ".csv": read_text,
    ".tsv": read_text,
    ".parquet": read_parquet,
}


def check_duplicates(names: Sequence[str], source: str) -> None:
    """A name that is there twice would make one of the two columns unreachable."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"{clean(source, 200)} has more than one column named {listing(twice)}; rename or remove one.")
