"""The task that images pose: a class for each, or for each of their pixels."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lossmith.compare.data.columns import Known
from lossmith.compare.data.images import Images, images_of, is_image_column, read_images
from lossmith.compare.data.load import Table
from lossmith.compare.data.target import Goal, check_counts, goal
from lossmith.compare.data.task import Task, role_arrays
from lossmith.errors import InputError
from lossmith.files import home_expanded
from lossmith.text import clean, quote

COLUMN = "image"  # what images are called that come from a folder


def is_folder(data: Any) -> bool:
    """Whether images are given as a folder."""
    return isinstance(data, str | Path) and home_expanded(data).is_dir()


def root_of(table: Any) -> Path:
    """What the paths in a table are relative to: its own folder, of a data frame the current one."""
    return home_expanded(table).parent if isinstance(table, str | Path) else Path()


def of_folder(path: str | Path, size: int | None) -> Task:
    """A folder for each class, or folders of images and of their masks."""
    images = read_images(path, size)
    classes = images.classes
    counts = np.bincount(images.targets.ravel(), minlength=len(classes))
    masks = images.kind == "segmentation"
    if not masks:
        check_counts("class", classes, counts)
    positive = int(counts[1] <= counts[0]) if len(classes) == 2 else None
    kind = "segmentation" if masks else "binary" if len(classes) == 2 else "multiclass"
    found = Goal(kind, images.targets, classes, counts.tolist(), positive)
    return task_of(
        images.pixels, found, clean(home_expanded(path).resolve().name), "mask" if masks else "folder", images
    )


def image_column(table: Table, root: Path) -> str | None:
    """The column of a table that names images, where there is one; then the other columns are not used."""
    found = [name for name in table.frame.columns.drop(list(table.targets)) if is_image_column(table.frame[name], root)]
    if len(found) > 1:
        raise InputError(f"columns {quote(found[0])} and {quote(found[1])} both name images; leave one in the table.")
    return found[0] if found else None


def of_column(table: Table, column: str, root: Path, size: int | None) -> Task:
    """The images that a column names, and their targets."""
    present = table.frame[[*table.targets, column]].notna().all(axis=1).to_numpy()
    frame = table.frame.loc[present].reset_index(drop=True)
    found = goal(frame, table.targets, table.roles.separator, table.roles.task)
    task = task_of(images_of(frame[column].tolist(), root, size), found, table.source, table.target, None)
    unused = [name for name in frame.columns if name not in (column, *table.targets, *table.roles.used)]
    return replace(
        task,
        arrays={**task.arrays, **role_arrays(table, frame, present)},
        dropped=[{"name": name, "reason": "images are compared on their pixels alone"} for name in unused],
        dropped_rows=int((~present).sum()),
        notes=[*task.notes, *([] if table.sampled is None else table.sampled.sentences())],
        sampled=None if table.sampled is None else table.sampled.describe(),
        columns={column: Known("image")},
    )


def task_of(pixels: Any, found: Goal, source: str, target: str, images: Images | None) -> Task:
    """The task with its words."""
    height, width, channels = pixels.shape[1:]
    colours = "colour" if channels == 3 else "grey"
    notes = [f"{len(pixels):,} {colours} images, brought to {height} by {width} pixels."]
    if images is not None and images.ignored:
        notes.append(f"{images.ignored:,} other files were left alone.")
    return Task(
        source=source,
        target=target,
        goal=found,
        arrays={"targets": found.values, "images": pixels},
        features=[{"name": COLUMN, "kind": f"{height} x {width} {colours}", "missing": 0}],
        notes=notes,
        columns={COLUMN: Known("image")},
    )
