"""Which data sets there are: a folder of tables, or a list of them with their targets."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossmith.errors import InputError
from lossmith.files import home_expanded
from lossmith.table.reading import READERS, check_duplicates, read_header, read_table
from lossmith.text import as_clause, clean, listing, quote

LIST = "list.csv"
COLUMNS = ("data", "target")
LONGEST_NAME = 60


@dataclass(frozen=True)
class DataSet:
    """One table: what it is called, which is also its folder, where it is, and what is predicted (None: the last)."""

    name: str
    path: Path
    target: str | None


def find(source: str | Path, target: str | None = None) -> list[DataSet]:
    """The data sets of a folder, or of a list with the columns ``data``, ``target`` and perhaps ``name``.

    A folder that holds such a list as ``list.csv`` is read as that list. Paths in a list start at the list.

    Raises
    ------
    InputError
        Where there is none, the list lacks a column or a cell, or two data sets have the same name.
    """
    path = home_expanded(source)
    if path.is_dir():
        return of_list(path / LIST, target) if (path / LIST).is_file() else of_folder(path, target)
    return of_list(path, target)


def of_folder(folder: Path, target: str | None) -> list[DataSet]:
    """Every table in a folder, by name."""
    paths = sorted(path for path in entries(folder) if path.suffix.lower() in READERS and path.is_file())
    if not paths:
        raise InputError(f"{clean(folder, 200)} holds no table; give a folder with .csv, .tsv or .parquet files.")
    stems = [path.stem.casefold() for path in paths]
    names = [path.stem if stems.count(path.stem.casefold()) == 1 else path.name for path in paths]
    return named([(name, path, target) for name, path in zip(names, paths, strict=True)], folder)


def entries(folder: Path) -> list[Path]:
    """What is in a folder that can be seen: hidden files are somebody else's."""
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{clean(folder, 200)} cannot be read: {error.strerror or as_clause(error)}.") from error


def of_list(path: Path, target: str | None) -> list[DataSet]:
    """Every row of a list."""
    frame = read_table(path, (*COLUMNS, "name"))
    missing = [column for column in COLUMNS if column not in frame.columns]
    if missing:
        raise InputError(
            f"{clean(path, 200)} is no list of data sets: it has no column {listing(missing)}; give a folder of "
            "tables, or a CSV with the columns data and target."
        )
    if target is not None:
        raise InputError(f"{clean(path, 200)} names a target for each data set, so --target is not needed; leave it.")
    cells = frame.astype("object").where(frame.notna(), "").astype(str)
    rows: list[dict[str, Any]] = cells.to_dict("records")
    for number, row in enumerate(rows, start=2):
        if empty := [column for column in COLUMNS if not row[column].strip()]:
            raise InputError(f"{clean(path, 200)}, line {number}: {listing(empty)} is empty; fill it in.")
    files = [path.parent / home_expanded(row["data"].strip()) for row in rows]
    names = [row.get("name", "").strip() or file.stem for row, file in zip(rows, files, strict=True)]
    return named([(name, file, row["target"]) for name, file, row in zip(names, files, rows, strict=True)], path)


def named(found: list[tuple[str, Path, str | None]], source: Path) -> list[DataSet]:
    """The data sets under names that can be folders, each its own also where upper and lower case are one."""
    sets = [DataSet(folder_of(name), path, target) for name, path, target in found]
    folded = [one.name.casefold() for one in sets]
    twice = sorted({one.name for one in sets if folded.count(one.name.casefold()) > 1})
    if twice:
        raise InputError(
            f"{clean(source, 200)} has more than one data set called {listing(twice)}; "
            "tell them apart in the column name."
        )
    return sets


def folder_of(name: str) -> str:
    """A name as the name of a folder, without dots or slashes, so it is never a file of the report or another place.

    >>> folder_of("../yeast 4.dat")
    'yeast_4_dat'
    """
    words = re.sub(r"[^\w-]+", "_", name).strip("_")[:LONGEST_NAME]
    if not words:
        raise InputError(f"{quote(name)} cannot be the name of a data set; give one with letters or digits.")
    return words


def target_of(one: DataSet) -> str | None:
    """The column to predict: the last one where none is given; None where the file itself is the problem."""
    if one.target is not None:
        return one.target
    try:
        return last_column(one.path)
    except (OSError, UnicodeDecodeError, IndexError, ValueError):
        return None  # reading the whole file says what is wrong with it


def last_column(path: Path) -> str:
    """The name of the last column, from the head of the file alone."""
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            return str(file.schema_arrow.names[-1])
    _, header = read_header(path)
    check_duplicates([column for column in header if column.strip()], str(path))
    return header[-1]
