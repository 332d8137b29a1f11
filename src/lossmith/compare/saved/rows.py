"""New rows for a model: its columns found in a table, every cell read as the training rows' cells were."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lossmith.compare.data.columns import Column, Known, applied, plain
from lossmith.errors import InputError
from lossmith.files import home_expanded
from lossmith.table.cells import MISSING_WORDS, typed
from lossmith.table.frames import check_cells, frame_of, named
from lossmith.table.reading import (
    Limits,
    as_text,
    check_fields,
    check_limit,
    checked_header,
    count_lines,
    located,
    opened,
    parsed_text,
    read_table,
)
from lossmith.text import clean, listing

WORDS = ("categorical", "text")  # kinds whose cells stay as they are written: 007 is no 7


def new_rows(data: Any, columns: Mapping[str, Known]) -> tuple[pd.DataFrame, list[str]]:
    """The model's columns of a file, a data frame or an array, and the names of the others, which are ignored."""
    frame, source = table_of(data)
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise InputError(
            f"{clean(source)} lacks {len(missing)} of the {len(columns)} columns that the model needs: "
            f"{listing(missing, most=20)}; add them (cells may be empty)."
        )
    chosen = frame[list(columns)]
    check_cells(chosen)
    if isinstance(data, str | Path) and not is_parquet(data):
        chosen = understood_as(chosen, columns, separator_of(data))
    return chosen, [name for name in frame.columns if name not in columns]


def table_of(data: Any) -> tuple[pd.DataFrame, str]:
    """All columns of a file, a data frame or an array, and what to call it."""
    if isinstance(data, str | Path):
        return named(read(data), Path(data).name), Path(data).name
    return named(frame_of(data), "the table"), "the table"


def is_parquet(path: str | Path) -> bool:
    """Whether a file keeps the types of its cells."""
    return Path(path).suffix.lower() == ".parquet"


def separator_of(path: str | Path) -> str:
    """What stands between the cells of a text file."""
    return checked_header(home_expanded(path), clean(path, 200))[0]


def read(path: str | Path) -> pd.DataFrame:
    """A file's table; of a text file every cell is the text that it is."""
    if is_parquet(path):
        return read_table(path)
    limits = Limits()
    path = located(path, limits)
    name = clean(path, 200)
    with opened(name), parsed_text(name):
        check_limit(count_lines(path, name), limits.rows, f"{name} has", "lines")
        separator, _ = checked_header(path, name)
        frame: pd.DataFrame = pd.read_csv(path, **as_text(separator))
    check_fields(frame, name)
    if frame.empty:
        raise InputError(f"{name} has a header but no rows.")
    return frame


def understood_as(frame: pd.DataFrame, columns: Mapping[str, Known], separator: str) -> pd.DataFrame:
    """Texts as the cells that the kinds of their columns ask for."""
    found = {}
    for name, known in columns.items():
        column = frame[name]
        if (
            known.kind == "numeric"
        ):  # a column of nothing but NA would stay text, as nothing in it tells that it is none
            column = column.mask(column.str.strip().str.lower().isin(MISSING_WORDS))
        found[name] = column if known.kind in WORDS else typed(column.to_frame(), (), separator)[name]
    return pd.DataFrame(found)


def applied_to(frame: pd.DataFrame, columns: Mapping[str, Known]) -> dict[str, Column]:
    """What becomes of every column."""
    return {name: applied(known, name, plain(frame[name])) for name, known in columns.items()}
