"""``lossmith predict``."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lossmith.cli.ending import save
from lossmith.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from lossmith.compare.saved.inputs import Found


def predict(
    folder: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A folder that lossmith fit-best has made.", show_default=False)
    ],
    data: Annotated[
        Path, typer.Argument(help="New rows: a CSV, TSV or Parquet file; or a folder of images.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option(help="The CSV file to write. [default: standard output]", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON; needs --out.")] = False,
) -> None:
    """Predict from new rows with a saved model: one line of CSV for each, in the same order.

    Columns that the model does not know are ignored. Of a folder every image is a row, in the order of their paths.
    Exit codes: 0 done, 2 something given cannot be used (nothing is written).
    """
    from lossmith.compare import load_model
    from lossmith.compare.saved.output import as_csv

    if as_json and out is None:
        raise InputError("--json prints a summary on standard output, so the predictions need a file; give --out.")
    if out is not None:
        check_file(out, data)
    model = load_model(folder)
    found = model.inputs.find(data)
    predictions = model.predictions(found)
    if out is None:
        sys.stdout.write(as_csv(predictions))
    else:
        save(out, as_csv(predictions), "--out")
    if as_json:
        print(json.dumps(summary(predictions, found, model.about, out), indent=1, allow_nan=False))
    elif out is not None:
        print(f"{len(predictions):,} predictions in {out}{told(found)}.")
    elif told(found):
        print(f"lossmith: {len(predictions):,} predictions{told(found)}.", file=sys.stderr)


def check_file(out: Path, data: Path) -> None:
    """The file to write is neither a symbolic link nor what is read."""
    from lossmith.files import home_expanded

    path = home_expanded(out)
    if path.is_symlink():
        raise InputError(f"{out} is a symbolic link; give --out a real file.")
    if path.exists() and home_expanded(data).exists() and path.samefile(home_expanded(data)):
        raise InputError(f"--out {out} is what the predictions are made from; give another file.")


def told(found: "Found") -> str:
    """How many columns the model did not need, or how many files were no images."""
    from lossmith.text import listing

    columns, files = found.ignored_columns, found.ignored_files
    if files:
        return f"; {files:,} other {'file' if files == 1 else 'files'} ignored"
    if columns:
        return f"; {len(columns)} {'column' if len(columns) == 1 else 'columns'} ignored ({listing(columns)})"
    return ""


def summary(predictions: "pd.DataFrame", given: "Found", about: dict[str, Any], out: Path | None) -> dict[str, Any]:
    """How many rows, what was predicted, and by which model."""
    column = predictions["prediction"]
    found: dict[str, Any] = {
        "rows": len(predictions),
        "out": str(out),
        "ignored_columns": given.ignored_columns,
        "ignored_files": given.ignored_files,
    }
    if about["kind"] == "regression":
        found["predicted"] = {name: float(getattr(column, name)()) for name in ("min", "mean", "max")}
    elif about["kind"] == "multilabel":
        parts = {name: predictions[f"p_{name}"] for name in about["classes"]}
        found["mean_probability"] = {name: float(values.mean()) for name, values in parts.items()}
    else:
        counts = column.value_counts()
        found["predicted"] = {name: int(counts.get(name, 0)) for name in about["classes"]}
    return {**found, "model": {name: about[name] for name in ("target", "kind", "title", "spec", "rule", "made")}}
