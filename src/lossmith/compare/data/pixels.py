"""From an image file to a small array of bytes; what is too large, corrupt or of another kind is one sentence."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from lossmith.errors import InputError
from lossmith.extras import extra
from lossmith.text import as_clause, clean

MOST_PIXELS = 50_000_000  # of one image
MOST_FILE_BYTES = 256 * 2**20
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pnm")
SMALL, LARGE = 28, 64  # the sizes to choose from where none is asked for
DEEP = 8  # bits that an image of 16 bits has more than a byte

Bytes = NDArray[np.uint8]
T = TypeVar("T")


class File(NamedTuple):
    """A file and what it is called in a sentence."""

    path: Path
    name: str


class Mask(NamedTuple):
    """A mask as large as asked for, the numbers in its file, and the file's width and height."""

    values: NDArray[np.int64]
    found: NDArray[np.int64]
    shape: tuple[int, int]


def pixels_of(files: Sequence[File], size: int) -> Bytes:
    """All images, [N, size, size, 1], or with 3 channels where any is in colour.

    Raises `InputError` naming the first file that cannot be used, and how many cannot.
    """
    found = np.empty((len(files), size, size, 1), np.uint8)
    for row, one in enumerate(each(files, lambda file: picture(file, size))):
        if one.shape[2] > found.shape[3]:
            found = np.repeat(found, 3, axis=3)
        found[row] = one
    return found


def size_of(files: Sequence[File]) -> int:
    """28 where no image is larger than that, else 64; read from the heads of the files."""
    largest = max((max(shape) for shape in each(files, shape_of)), default=0)
    return SMALL if largest <= SMALL else LARGE


def each(files: Iterable[File], read: Callable[[File], T]) -> Iterator[T]:
    """What `read` makes of every file; at the end the sentence of the first that has none, and their number."""
    first, faults = "", 0
    for file in files:
        try:
            found = read(file)
        except InputError as error:
            first, faults = first or str(error).rstrip("."), faults + 1
            continue
        if not faults:
            yield found
    if faults:
        raise InputError(
            f"{first}." if faults == 1 else f"{first}; {faults:,} files cannot be used, this is the first."
        )


def picture(file: File, size: int) -> Bytes:
    """One image, [size, size, 1 or 3]: upright, transparency on white, and grey where all channels agree."""
    image_module, operations = extra("PIL.Image", "images"), extra("PIL.ImageOps", "images")
    with opened(file) as image:
        image.draft(None, (2 * size, 2 * size))  # a large JPEG is decoded at a fraction of its size
        upright = shallow(operations.exif_transpose(image), file)
        if upright.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in upright.info:
            over = upright.convert("RGBA")
            upright = image_module.new("RGBA", over.size, "white")
            upright.alpha_composite(over)
        plain = upright.convert("L" if upright.mode in ("1", "L") else "RGB")
        if plain.size != (size, size):
            plain = plain.resize((size, size), image_module.Resampling.BILINEAR)
        found = np.asarray(plain, dtype=np.uint8).reshape(size, size, -1)
    return found[:, :, :1] if (found == found[:, :, :1]).all() else found


def shallow(image: Any, file: File) -> Any:
    """Grey of 16 bits as grey of 8, and anything else as it is."""
    if image.mode == "F":
        raise InputError(f"{file.name} holds fractions; save it with whole numbers from 0 to 255.")
    if not image.mode.startswith("I"):
        return image
    deep = np.asarray(image).astype(np.int64).clip(0, 2**16 - 1)
    return extra("PIL.Image", "images").fromarray((deep >> DEEP).astype(np.uint8))


def mask(file: File, size: int) -> Mask:
    """A mask: one channel with the number of a class in every pixel, its nearest pixels where the size differs."""
    image_module, operations = extra("PIL.Image", "images"), extra("PIL.ImageOps", "images")
    with opened(file) as image:
        if image.mode not in ("1", "L", "P") and not image.mode.startswith("I"):
            raise InputError(
                f"{file.name} is not a mask of one channel (its mode is {image.mode}); "
                "save it in grey, with the number of the class in every pixel."
            )
        upright = operations.exif_transpose(image)
        upright = upright.convert("I") if upright.mode.startswith("I") else upright
        small = upright.resize((size, size), image_module.Resampling.NEAREST)
        return Mask(np.asarray(small).astype(np.int64), np.unique(np.asarray(upright)).astype(np.int64), upright.size)


def shape_of(file: File) -> tuple[int, int]:
    """Width and height of an image as it is shown, from the head of the file."""
    with opened(file) as image:
        width, height = image.size
        turned = image.getexif().get(0x0112, 1) >= 5  # the orientations that lay an image on its side
        return (height, width) if turned else (width, height)


@contextmanager
def opened(file: File) -> Iterator[Any]:
    """The image of a file that is not too large; whatever goes wrong with it becomes a sentence."""
    image_module = extra("PIL.Image", "images")
    large = f"{file.name} has more than {MOST_PIXELS:,} pixels; make it smaller."
    try:
        if file.path.stat().st_size > MOST_FILE_BYTES:
            raise InputError(f"{file.name} has more than {MOST_FILE_BYTES:,} bytes; make it smaller.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", image_module.DecompressionBombWarning)
            with image_module.open(file.path, formats=FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise InputError(large)
                yield image
    except InputError:
        raise
    except (image_module.DecompressionBombError, image_module.DecompressionBombWarning) as error:
        raise InputError(large) from error
    except FileNotFoundError as error:
        raise InputError(f"{file.name} does not exist; check the path.") from error
    except extra("PIL", "images").UnidentifiedImageError as error:
        raise InputError(f"{file.name} is not an image ({', '.join(FORMATS)}); remove or replace it.") from error
    except Exception as error:  # a decoder that meets a corrupt file raises anything
        reason = as_clause(getattr(error, "strerror", None) or error) or type(error).__name__
        raise InputError(f"{file.name} cannot be read as an image: {reason}; remove or replace it.") from error


def named(path: Path, root: Path) -> File:
    """A file with its name inside a folder."""
    return File(path, clean(path.relative_to(root.parent), 200))
