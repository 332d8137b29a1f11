"""A table from a file, a data frame or arrays: refused with one sentence where it cannot be used.

Sizes are limited before anything is parsed, and nothing is ever unpickled.
"""

import csv
import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lossmith.compare.cells import typed
from lossmith.compare.text import as_clause, clean, home_expanded, listing, quote, suggestion
from lossmith.errors import InputError

MAX_FILE_BYTES = 4 * 2**30
MAX_UNPACKED_BYTES = 16 * 2**30
MAX_ROWS = 20_000_000
MAX_COLUMNS = 10_000
MAX_CELLS = 500_000_000
MAX_LINE_BYTES = 16 * 2**20
MAX_FIELD_CHARACTERS = 1_000_000
ONLY_EMPTY: dict[str, Any] = {"keep_default_na": False, "na_values": [""]}
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # a Path has made one slash of two
ODD_CELLS = (list, tuple, dict, set, bytes, np.ndarray)


@dataclass(frozen=True)
class Table:
    """What was given: a frame with unique text names for its columns, and which of them is the target."""

    frame: pd.DataFrame
    target: str
    source: str


def load(data: Any, target: str | None, y: Any = None) -> Table:
    """The table from a path, a data frame or a pair of arrays, with its target checked."""
    if isinstance(data, str | Path):
        frame, source = read_table(data, target), Path(data).name
    else:
        frame, source = frame_of(data), "table"
    if y is not None:
        frame, target = with_target(frame, y, target)
    table = Table(named(frame, source), str(target), source)
    check_target(table, target)
    check_values(table)
    return table


def read_table(path: str | Path, target: str | None = None) -> pd.DataFrame:
    """A CSV, TSV or Parquet file as a data frame.

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
        frame = reader(path, name, target)
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


def read_text(path: Path, name: str, target: str | None) -> pd.DataFrame:
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
    frame = typed(frame, target, separator)
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


def read_parquet(path: Path, name: str, target: str | None) -> pd.DataFrame:
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


READERS: dict[str, Callable[[Path, str, str | None], pd.DataFrame]] = {
    ".csv": read_text,
    ".tsv": read_text,
    ".parquet": read_parquet,
}


def frame_of(data: Any) -> pd.DataFrame:
    """A data frame from a frame of any library that offers ``to_pandas``, or from a two-dimensional array."""
    if isinstance(data, pd.DataFrame):
        return data.reset_index(drop=True)
    if hasattr(data, "to_pandas"):
        return pd.DataFrame(data.to_pandas()).reset_index(drop=True)
    array = array_of(data, "data must be a path, a data frame or a two-dimensional array of features.")
    if array.ndim != 2:
        raise InputError(f"data must be a path, a data frame or an array of rows and columns, not shape {array.shape}.")
    return pd.DataFrame(array, columns=[f"x{column}" for column in range(array.shape[1])])


def array_of(data: Any, said: str) -> "np.ndarray[Any, Any]":
    """An array from whatever offers to be one; a sparse matrix does not, and a tensor may refuse to."""
    if hasattr(data, "toarray"):
        raise InputError(f"{said.rstrip('.')}; make the sparse matrix a dense one with its toarray().")
    try:
        data = data.detach().cpu() if hasattr(data, "detach") else data
        # NumPy would make the text "nan" of what is missing among words, and a text of a number
        return pd.Series(data).to_numpy() if isinstance(data, list | tuple) and is_flat(data) else np.asarray(data)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(said) from error


def is_flat(data: Sequence[Any]) -> bool:
    """True of plain values, none of which holds others."""
    return all(np.isscalar(value) or value is None for value in data)


def with_target(frame: pd.DataFrame, y: Any, target: str | None) -> tuple[pd.DataFrame, str]:
    """The features with the labels beside them; a target that is given too becomes the labels' name."""
    said = f"y must hold one label for each of the {len(frame):,} rows"
    labels = array_of(y, f"{said}.")
    if labels.shape != (len(frame),):
        raise InputError(f"{said}, not shape {labels.shape}.")
    name = str(target if target is not None else getattr(y, "name", None) or "target")
    if name in map(str, frame.columns):
        raise InputError(f"the features already have a column {quote(name)}; give either y or the target's name.")
    return frame.assign(**{name: labels}), name


def named(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """The frame with text for column names, each there once."""
    if isinstance(frame.columns, pd.MultiIndex):
        raise InputError(f"{clean(source)} has column names of several levels; join each into one text.")
    names = [str(column) for column in frame.columns]
    check_duplicates(names, source)
    if not len(frame):
        raise InputError(f"{clean(source)} has no rows.")
    check_limit(len(names), MAX_COLUMNS, f"{clean(source)} has", "columns")
    check_limit(frame.size, MAX_CELLS, f"{clean(source)} has", "cells")
    return frame.set_axis(names, axis=1)


def check_duplicates(names: Sequence[str], source: str) -> None:
    """A name that is there twice would make one of the two columns unreachable."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"{clean(source, 200)} has more than one column named {listing(twice)}; rename or remove one.")


def check_target(table: Table, target: str | None) -> None:
    """The target is named, is there, and leaves at least one feature."""
    columns = list(table.frame.columns)
    if target is None:
        raise InputError(f"no target given; name the column to predict, one of {listing(columns)}.")
    if table.target not in columns:
        hint = suggestion(table.target, columns) or f"; its columns are {listing(columns)}."
        raise InputError(f"{clean(table.source)} has no column {quote(table.target)}{hint}")
    if len(columns) < 2:
        raise InputError(f"{clean(table.source)} has no column beside the target {quote(table.target)}.")


def check_values(table: Table) -> None:
    """No column without a single value, and nothing in a cell that holds several."""
    frame = table.frame
    empty = [name for name in frame.columns if frame[name].isna().all()]
    if empty:
        raise InputError(f"column {listing(empty)} has no value in any row; remove it.")
    for name in frame.columns[frame.dtypes == "object"]:
        odd = {type(cell).__name__ for cell in frame[name] if isinstance(cell, ODD_CELLS)}
        if odd:
            raise InputError(f"column {quote(name)} holds cells of type {min(odd)}; make them text or numbers.")
