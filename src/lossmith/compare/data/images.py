"""Folders of images as a task: a folder for each class, paths in a column of a table, or images with their masks."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lossmith.compare.data.pixels import LARGE, SUFFIXES, Bytes, File, each, mask, named, pixels_of, shape_of, size_of
from lossmith.errors import InputError
from lossmith.extras import extra
from lossmith.files import home_expanded
from lossmith.text import clean, listing, quote

MOST_IMAGES = 200_000
MOST_BYTES = 8 * 2**30  # of all images and masks as they are kept
SIZES = (8, 512)
MOST_CLASSES = 200
IMAGES, MASKS = "images", "masks"
TRIED_PATHS = 100  # of a column, to see whether they lead to files
BYTES_OF_A_PIXEL = {"classification": 3, "segmentation": 3 + 8}


@dataclass(frozen=True)
class Images:
    """Images of one size and what is predicted of them.

    ``pixels`` is [N, size, size, 1 or 3]; ``targets`` are classes, [N] or in every pixel [N, size, size]; ``names`` are
    the files in their order. ``ignored`` files were no images.
    """

    kind: str
    pixels: Bytes
    targets: NDArray[np.int64]
    classes: list[str]
    names: list[str]
    ignored: int


@dataclass(frozen=True)
class Folder:
    """What lies in one folder, each in the order of its name."""

    path: Path
    folders: list[Path]
    images: list[File]
    ignored: int


def read_images(path: str | Path, size: int | None = None) -> Images:
    """The images of a folder, all made `size` pixels high and wide.

    A folder with ``images`` and ``masks`` is a segmentation: a mask has the stem of its image and in each pixel the
    number of a class from 0 on, or 0 and 255. Any other folder has a folder for each class. Where no size is given it
    is 28 for classes of images that are no larger, else 64. Images are resized bilinearly, masks to the nearest pixel;
    hidden files and files that are no images are ignored.

    Raises `InputError` where the folder is neither, for links that leave it, and naming the first of the files that are
    too large, corrupt or do not fit. `MissingError` without Pillow.
    """
    check_size(size)
    given = home_expanded(path)
    if not given.is_dir():
        raise InputError(f"{clean(path, 200)} is not a folder; give one with a folder of images for each class.")
    root = given.resolve()
    top = look_into(root, root)
    inner = {folder.name: folder for folder in top.folders}
    if {IMAGES, MASKS} <= inner.keys():
        return segmentation(look_into(inner[IMAGES], root), look_into(inner[MASKS], root), root, size)
    return classification(top, root, size)


def images_of(paths: Sequence[Any], root: str | Path, size: int | None = None) -> Bytes:
    """The images that a column of a table names, [N, size, size, 1 or 3]; paths are relative to the table's folder.

    Raises `InputError` for a path that is missing, absolute or leads out of the folder, and as `read_images`.
    """
    check_size(size)
    check_count(len(paths))
    folder = home_expanded(root).resolve()
    files = [inside(cell, row, folder) for row, cell in enumerate(paths, start=1)]
    return read_files(files, size)


def images_below(path: str | Path, size: int) -> tuple[list[str], Bytes, int]:
    """All images in a folder and in those inside it, in the order of their paths.

    These, relative to the folder, the pixels [N, size, size, 1 or 3], and how many other files there are.

    Raises `InputError` where there is none, for links that leave the folder, and as `read_images`.
    """
    root = home_expanded(path).resolve()
    files: list[File] = []
    ignored, waiting = 0, [root]
    while waiting:
        folder = look_into(waiting.pop(), root)
        files += folder.images
        waiting += folder.folders
        ignored += folder.ignored
        check_count(len(files))
    if not files:
        raise InputError(f"{clean(root, 200)} has no image ({', '.join(SUFFIXES)}); give a folder that has some.")
    files.sort(key=lambda file: file.path.relative_to(root).as_posix())
    return [as_text(file.path.relative_to(root)) for file in files], read_files(files, size), ignored


def read_files(files: list[File], size: int | None) -> Bytes:
    """The images of files that are neither too many nor too large together."""
    check_count(len(files))
    size = size or size_of(files)
    check_bytes(len(files), size, "classification")
    return pixels_of(files, size)


def in_channels(pixels: Bytes, channels: int) -> Bytes:
    """The same images with one channel, the luma of colours (ITU-R 601), or with three."""
    if pixels.shape[3] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=3)
    image_module = extra("PIL.Image", "images")
    found = np.empty((*pixels.shape[:3], 1), np.uint8)
    for row, one in enumerate(pixels):
        found[row, :, :, 0] = image_module.fromarray(one).convert("L")
    return found


def is_image_column(column: pd.Series, root: str | Path) -> bool:
    """Whether all cells of a column, but for missing ones, are names of images, and some of these are there."""
    cells = column.dropna().tolist()
    if not cells or not all(isinstance(cell, str) and cell.lower().endswith(SUFFIXES) for cell in cells):
        return False
    folder = home_expanded(root)
    return any("\0" not in cell and (folder / cell).is_file() for cell in cells[:TRIED_PATHS])


def classification(top: Folder, root: Path, size: int | None) -> Images:
    """A folder for each class; its name is the class."""
    if top.images:
        raise InputError(f"{top.images[0].name} is in no folder of a class; put every image into one.")
    if len(top.folders) < 2:
        raise InputError(
            f"{clean(root, 200)} has {len(top.folders)} folders with images; give a folder that has one for each class "
            f"(at least two), or {quote(IMAGES)} and {quote(MASKS)}."
        )
    inner = [look_into(folder, root) for folder in top.folders]
    for folder in inner:
        if folder.folders:
            raise InputError(
                f"the folder {quote(folder.path.name)} of a class has a folder {quote(folder.folders[0].name)} "
                "in it; give the folder whose own folders are the classes."
            )
        if not folder.images:
            raise InputError(f"the folder {quote(folder.path.name)} of a class has no image; remove it.")
    check_classes(len(inner), clean(root, 200))
    files = [file for folder in inner for file in folder.images]
    return Images(
        kind="classification",
        pixels=read_files(files, size),
        targets=np.repeat(np.arange(len(inner)), [len(folder.images) for folder in inner]).astype(np.int64),
        classes=[as_text(folder.path.relative_to(root)) for folder in inner],
        names=[as_text(file.path.relative_to(root)) for file in files],
        ignored=top.ignored + sum(folder.ignored for folder in inner),
    )


def segmentation(images: Folder, masks: Folder, root: Path, size: int | None) -> Images:
    """Images and a mask for each."""
    files, beside = by_stem(images), by_stem(masks)
    if not files:
        raise InputError(f"the folder {quote(IMAGES)} of {clean(root, 200)} has no image.")
    for here, there, what in ((files, beside, "a mask"), (beside, files, "an image")):
        alone = sorted(here.keys() - there.keys())
        if alone:
            raise InputError(f"{listing([here[stem].name for stem in alone], 1)} without {what} of the same stem.")
    size = size or LARGE
    check_count(len(files))
    check_bytes(len(files), size, "segmentation")
    pairs = [(file, beside[stem]) for stem, file in files.items()]
    targets, classes = masks_of(pairs, size)
    return Images(
        kind="segmentation",
        pixels=pixels_of(list(files.values()), size),
        targets=targets,
        classes=classes,
        names=[as_text(file.path.relative_to(root)) for file in files.values()],
        ignored=images.ignored + masks.ignored,
    )


def masks_of(pairs: list[tuple[File, File]], size: int) -> tuple[NDArray[np.int64], list[str]]:
    """The masks as classes in every pixel, and the names of the classes: their numbers."""
    shapes = list(each([file for file, _ in pairs], shape_of))
    found = np.empty((len(pairs), size, size), np.int64)
    values: set[int] = set()
    beside = [file for _, file in pairs]
    for row, one in enumerate(each(beside, lambda file: mask(file, size))):
        if one.shape != shapes[row]:
            (width, height), (wide, high) = one.shape, shapes[row]
            raise InputError(f"{beside[row].name} is {width} x {height} pixels, but its image {wide} x {high}.")
        found[row] = one.values
        values |= set(one.found.tolist())
        check_classes(len(values), beside[row].name)
    if 255 in values and values <= {0, 255}:
        found, values = found // 255, {value // 255 for value in values}
    if values != set(range(len(values))):
        raise InputError(
            f"masks hold the numbers {', '.join(map(str, sorted(values)[:5]))}{', ...' * (len(values) > 5)}; "
            "number the classes 0, 1, 2 and so on without a gap, or 0 and 255."
        )
    if len(values) < 2:
        raise InputError("all masks hold one number only; at least two classes are needed.")
    lost = values - set(np.unique(found).tolist())
    if lost:
        raise InputError(f"class {min(lost)} has no pixel left at {size} x {size}; take a larger size.")
    return found, [str(value) for value in sorted(values)]


def look_into(folder: Path, root: Path) -> Folder:
    """The folders and images in a folder; links must not leave `root`."""
    folders, images, ignored = [], [], 0
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{clean(folder, 200)} cannot be read: {error.strerror}.") from error
    for entry in entries:
        file = named(Path(entry.path), root)
        if entry.is_symlink():
            check_link(file, root)
        if entry.name.startswith((".", "__MACOSX")):
            ignored += not entry.is_dir()
        elif entry.is_dir():
            folders.append(file.path)
        elif entry.is_file() and entry.name.lower().endswith(SUFFIXES):
            images.append(file)
        else:
            ignored += 1
    return Folder(folder, folders, images, ignored)


def as_text(path: Path) -> str:
    """A path as text that can be written; bytes in it that are no UTF-8 become a replacement character."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")


def check_link(file: File, root: Path) -> None:
    """A link may lead to a file inside the folder, and to nothing else."""
    if not stays(file.path, root):
        raise InputError(f"{file.name} is a link that leads out of the folder; put the file itself there.")
    if file.path.is_dir():
        raise InputError(f"{file.name} is a link to a folder; its images would count twice, so remove it.")


def stays(path: Path, root: Path) -> bool:
    """Whether a path, its links followed, is inside a folder."""
    try:
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a link to itself
        return False


def inside(cell: Any, row: int, folder: Path) -> File:
    """The file that a cell names."""
    if not isinstance(cell, str) or not cell:
        raise InputError(f"row {row:,} names no image; remove the row, or give its path.")
    path = Path(cell)
    if path.is_absolute() or ".." in path.parts or "\0" in cell or not stays(folder / path, folder):
        raise InputError(
            f"the path {quote(cell)} in row {row:,} leads out of the table's folder; give paths relative to the table, "
            "of files beside or below it."
        )
    return File(folder / path, clean(cell, 200))


def by_stem(folder: Folder) -> dict[str, File]:
    """The images of a folder under their names without an ending."""
    if folder.folders:
        raise InputError(f"the folder {quote(folder.path.name)} has the folder {quote(folder.folders[0].name)} in it.")
    found: dict[str, File] = {}
    for file in folder.images:
        if file.path.stem in found:
            raise InputError(f"{file.name} and {found[file.path.stem].name} have the same stem; rename one.")
        found[file.path.stem] = file
    return found


def check_size(size: int | None) -> None:
    """A size that a small network can do something with."""
    low, high = SIZES
    if size is not None and not low <= size <= high:
        raise InputError(f"the size of images must be a whole number from {low} to {high}, not {size}.")


def check_count(count: int) -> None:
    """Not more files than can be read in an afternoon."""
    if count > MOST_IMAGES:
        raise InputError(f"there are {count:,} images, more than the accepted {MOST_IMAGES:,}; take a part of them.")


def check_bytes(count: int, size: int, kind: str) -> None:
    """All images and masks have to fit in memory."""
    needed = count * size * size * BYTES_OF_A_PIXEL[kind]
    if needed > MOST_BYTES:
        raise InputError(
            f"{count:,} images of {size} x {size} pixels take {needed:,} bytes, more than the accepted {MOST_BYTES:,}; "
            "take a smaller size or fewer images."
        )


def check_classes(count: int, name: str) -> None:
    """No more classes than any other task may have."""
    if count > MOST_CLASSES:
        raise InputError(f"{name}: {count:,} classes are more than the accepted {MOST_CLASSES}; merge some of them.")
