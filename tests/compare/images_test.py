"""Folders and columns of images: the right pixels in the right order, and one sentence for each fault."""

import os
import struct
import zlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lossmith.compare.data import images, pixels
from lossmith.errors import InputError


def save(path, values, **options):
    """An array as an image; its folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values)).save(path, **options)
    return path


def grey(value, height=8, width=8):
    return np.full((height, width), value, np.uint8)


def colour(*value, size=8):
    return np.broadcast_to(np.array(value, np.uint8), (size, size, len(value))).copy()


@pytest.fixture
def classes(tmp_path):
    """Two classes in grey; nothing is written in the order of its name."""
    root = tmp_path / "pets"
    save(root / "dogs" / "b.png", grey(40))
    save(root / "dogs" / "a.png", grey(30))
    save(root / "cats" / "z.PNG", grey(20))
    save(root / "cats" / "c.bmp", grey(10))
    return root


@pytest.fixture
def masked(tmp_path):
    root = tmp_path / "cells"
    for number in range(3):
        save(root / "images" / f"{number}.jpg", grey(100 + number, 64, 64), quality=100)
        mask = np.zeros((64, 64), np.uint8)
        mask[:, : 16 * (number + 1)] = 1
        save(root / "masks" / f"{number}.png", mask)
    return root


def refused(said, call, *words, **options):
    with pytest.raises(InputError, match=said) as caught:
        call(*words, **options)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def test_a_folder_for_each_class(classes):
    found = images.read_images(classes, 8)
    assert found.kind == "classification"
    assert found.classes == ["cats", "dogs"]
    assert found.names == ["cats/c.bmp", "cats/z.PNG", "dogs/a.png", "dogs/b.png"]
    assert found.targets.tolist() == [0, 0, 1, 1]
    assert (found.pixels.dtype, found.targets.dtype) == (np.uint8, np.int64)
    assert found.pixels.shape == (4, 8, 8, 1)
    assert found.pixels[:, 0, 0, 0].tolist() == [10, 20, 30, 40]
    assert (found.pixels == found.pixels[:, :1, :1]).all()


def test_files_that_are_no_images_are_ignored_and_counted(classes):
    for name in ("readme.txt", "cats/labels.csv", "cats/.DS_Store", "dogs/._a.png"):
        (classes / name).write_bytes(b"text")
    (classes / ".git").mkdir()
    (classes / "__MACOSX").mkdir()
    found = images.read_images(classes)
    assert (found.ignored, len(found.names)) == (4, 4)
    assert found.classes == ["cats", "dogs"]


@pytest.mark.parametrize(("larger", "size"), [((28, 28), 28), ((28, 29), 64), ((29, 3), 64)])
def test_the_size_is_28_where_no_image_is_larger(classes, larger, size):
    save(classes / "dogs" / "c.png", grey(1, *larger))
    assert images.read_images(classes).pixels.shape == (5, size, size, 1)
    assert images.read_images(classes, 16).pixels.shape == (5, 16, 16, 1)


def test_one_image_in_colour_gives_all_three_channels(classes):
    save(classes / "dogs" / "a.png", colour(1, 2, 3))
    found = images.read_images(classes, 8).pixels
    assert found.shape == (4, 8, 8, 3)
    assert found[:, 0, 0].tolist() == [[10] * 3, [20] * 3, [1, 2, 3], [40] * 3]


def test_grey_saved_as_colour_is_grey(classes):
    for path in [*classes.glob("*/*")]:
        save(path, colour(7, 7, 7))
    assert images.read_images(classes, 8).pixels.shape == (4, 8, 8, 1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (colour(255, 0, 0, 0), 255),  # transparent red shows white
        (colour(10, 128), 132),  # (128 * 10 + 127 * 255) / 255
        (np.full((8, 8), 40_000, np.uint16), 40_000 >> 8),
        (np.full((8, 8), 40_000, np.int32), 40_000 >> 8),
        (np.ones((8, 8), bool), 255),
    ],
    ids=["rgba", "la", "uint16", "int32", "bits"],
)
def test_modes_become_bytes(tmp_path, values, expected):
    suffix = "tif" if values.dtype == np.int32 else "png"
    path = save(tmp_path / f"a.{suffix}", values)
    found = images.images_of([path.name], tmp_path, 8)
    assert found.shape == (1, 8, 8, 1)
    assert abs(int(found[0, 0, 0, 0]) - expected) <= 1
    assert (found == found[0, 0, 0, 0]).all()


def test_images_are_resized_bilinearly_and_upright(tmp_path):
    left_dark = np.repeat(np.array([[0, 255]], np.uint8), 2, axis=0)
    save(tmp_path / "a.png", left_dark)
    line = images.images_of(["a.png"], tmp_path, 8)[0, 0, :, 0].astype(int)
    # Pixel k of 8 lies at (k + 1/2) / 4 - 1/2 of 2: weights 1/8, 3/8, 5/8, 7/8 of the way between the two centres.
    np.testing.assert_allclose(line, [0, 0, 32, 96, 159, 223, 255, 255], atol=1)
    image = Image.fromarray(np.repeat(np.repeat(left_dark, 8, 0), 8, 1))
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side: a viewer turns it by 90 degrees clockwise
    image.save(tmp_path / "b.png", exif=exif)
    turned = images.images_of(["b.png"], tmp_path, 16)[0, :, :, 0]
    assert (turned[0] == 0).all()
    assert (turned[-1] == 255).all()


def test_a_large_jpeg_is_decoded_small_and_looks_the_same(tmp_path):
    smooth = np.add.outer(np.arange(512), np.arange(512)) // 4
    save(tmp_path / "a.jpg", smooth.astype(np.uint8), quality=95)
    found = images.images_of(["a.jpg"], tmp_path, 16)[0, :, :, 0].astype(int)
    expected = smooth.reshape(16, 32, 16, 32).mean((1, 3))
    assert np.abs(found - expected)[1:-1, 1:-1].max() <= 3


def test_a_column_of_paths(classes):
    paths = pd.Series(["dogs/b.png", "cats/c.bmp", "dogs/b.png"])
    assert images.is_image_column(paths, classes)
    found = images.images_of(paths, classes)
    assert found.shape == (3, 28, 28, 1)
    assert found[:, 0, 0, 0].tolist() == [40, 10, 40]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["dogs/a.png", None, "dogs/b.png"], True),
        (["dogs/a.png", "missing.JPG"], True),  # one of them is there
        (["missing.png"], False),
        (["dogs/a.png", "a word"], False),
        (["dogs/a.png", 3], False),
        (["readme.txt"], False),
        ([None], False),
        (["x\0.png"], False),
    ],
)
def test_which_columns_are_of_images(classes, cells, expected):
    (classes / "readme.txt").write_text("text")
    assert images.is_image_column(pd.Series(cells, dtype=object), classes) is expected


@pytest.mark.parametrize("cell", ["/etc/a.png", "../a.png", "dogs/../../a.png", "out/a.png", "a\0.png"])
def test_a_path_out_of_the_folder_is_refused(classes, cell, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    save(tmp_path / "elsewhere" / "a.png", grey(1))
    save(tmp_path / "a.png", grey(1))
    (classes / "out").symlink_to(tmp_path / "elsewhere")
    refused("in row 2 leads out of the table's folder", images.images_of, ["dogs/a.png", cell], classes)


@pytest.mark.parametrize("cell", [None, float("nan"), pd.NA, "", 3])
def test_a_row_without_a_path_is_refused(classes, cell):
    refused("^row 2 names no image", images.images_of, ["dogs/a.png", cell], classes)


def test_missing_files_are_counted(classes):
    said = refused("^no1.png does not exist", images.images_of, ["dogs/a.png", "no1.png", "no2.png"], classes, 8)
    assert "2 files cannot be used, this is the first" in said


@pytest.mark.parametrize("size", [None, 8])
def test_corrupt_files_are_named_and_counted(classes, size):
    (classes / "cats" / "d.png").write_bytes(b"not an image")
    refused(r"^pets/cats/d\.png is not an image", images.read_images, classes, size)
    whole = save(classes / "dogs" / "c.png", np.random.default_rng(0).integers(0, 255, (60, 60), dtype=np.uint8))
    whole.write_bytes(whole.read_bytes()[:1500])
    said = refused(r"^pets/cats/d\.png is not an image", images.read_images, classes, 8)
    assert "2 files cannot be used" in said
    (classes / "cats" / "d.png").unlink()
    refused(r"^pets/dogs/c\.png cannot be read as an image: .*truncated", images.read_images, classes, 8)


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(classes, monkeypatch):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    for width, height in ((60_000, 60_000), (10_000, 5_001), (9_500, 9_500)):
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        bomb = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
        (classes / "cats" / "bomb.png").write_bytes(bomb)
        for size in (None, 8):
            refused(r"^pets/cats/bomb\.png has more than 50,000,000 pixels", images.read_images, classes, size)
    (classes / "cats" / "bomb.png").unlink()
    monkeypatch.setattr(pixels, "MOST_FILE_BYTES", 100)
    refused(r"pets/cats/c\.bmp has more than 100 bytes", images.read_images, classes)


def test_counts_and_sizes_are_capped(classes, monkeypatch):
    for size in (7, 513):
        refused(f"from 8 to 512, not {size}", images.read_images, classes, size)
        refused(f"from 8 to 512, not {size}", images.images_of, ["dogs/a.png"], classes, size)
    monkeypatch.setattr(images, "MOST_BYTES", 4 * 8 * 8 * 3 - 1)
    refused("4 images of 8 x 8 pixels take 768 bytes", images.read_images, classes, 8)
    refused("4 images of 8 x 8 pixels take 768 bytes", images.images_of, ["dogs/a.png"] * 4, classes, 8)
    monkeypatch.setattr(images, "MOST_IMAGES", 3)
    refused("there are 4 images, more than the accepted 3", images.read_images, classes)
    refused("there are 4 images, more than the accepted 3", images.images_of, ["dogs/a.png"] * 4, classes)
    monkeypatch.setattr(images, "MOST_CLASSES", 1)
    monkeypatch.setattr(images, "MOST_IMAGES", 10)
    refused("2 classes are more than the accepted 1", images.read_images, classes)


def test_links_that_leave_the_folder_are_refused(classes, tmp_path):
    outside = save(tmp_path / "outside.png", grey(5))
    link = classes / "cats" / "link.png"
    link.symlink_to(outside)
    refused(r"^pets/cats/link\.png is a link that leads out", images.read_images, classes)
    link.unlink()
    link.symlink_to(classes / "dogs" / "a.png")
    assert len(images.read_images(classes).names) == 5
    link.unlink()
    (classes / "birds").symlink_to(tmp_path)
    refused("^pets/birds is a link that leads out", images.read_images, classes)
    (classes / "birds").unlink()
    (classes / "birds").symlink_to(classes / "cats")
    refused("^pets/birds is a link to a folder", images.read_images, classes)
    (classes / "birds").unlink()
    (classes / "self").symlink_to(classes / "self")
    refused("^pets/self is a link that leads out", images.read_images, classes)


def test_a_folder_may_itself_be_reached_by_a_link(classes, tmp_path):
    (tmp_path / "alias").symlink_to(classes)
    assert len(images.read_images(tmp_path / "alias").names) == 4


def test_what_is_no_image_file_is_not_opened(classes):
    os.mkfifo(classes / "cats" / "pipe.png")  # opening it would wait for ever
    assert images.read_images(classes).ignored == 1


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda root: save(root / "loose.png", grey(1)), r"^pets/loose\.png is in no folder of a class"),
        (lambda root: (root / "empty").mkdir(), 'the folder "empty" of a class has no image'),
        (lambda root: save(root / "cats" / "more" / "a.png", grey(1)), 'folder "cats" of a class has a folder "more"'),
        (lambda root: save(root / "cats" / "f.tif", np.ones((9, 9), np.float32)), r"cats/f\.tif holds fractions"),
    ],
)
def test_folders_that_are_no_classes_are_refused(classes, break_it, said):
    break_it(classes)
    refused(said, images.read_images, classes)


def test_one_class_and_no_folder_are_refused(classes, tmp_path):
    refused("has 1 folders with images; give a folder that has one for each class", images.read_images, tmp_path)
    refused(r"c\.bmp is not a folder", images.read_images, classes / "cats" / "c.bmp")
    refused("nowhere is not a folder", images.read_images, tmp_path / "nowhere")


def test_images_with_masks(masked):
    found = images.read_images(masked)
    assert found.kind == "segmentation"
    assert found.classes == ["0", "1"]
    assert found.names == ["images/0.jpg", "images/1.jpg", "images/2.jpg"]
    assert found.pixels.shape == (3, 64, 64, 1)
    assert (found.targets.shape, found.targets.dtype) == ((3, 64, 64), np.int64)
    assert found.targets.sum((1, 2)).tolist() == [64 * 16, 64 * 32, 64 * 48]
    assert found.pixels.mean((1, 2, 3)).tolist() == pytest.approx([100, 101, 102], abs=0.5)


def test_masks_take_the_nearest_pixel(masked):
    small = images.read_images(masked, 16)
    assert small.targets.sum((1, 2)).tolist() == [16 * 4, 16 * 8, 16 * 12]
    assert (small.targets[0, :, :4] == 1).all()


def test_masks_of_0_and_255_are_0_and_1(masked):
    expected = images.read_images(masked).targets
    for path in (masked / "masks").iterdir():
        values = np.asarray(Image.open(path))
        save(path, values * 255)
    found = images.read_images(masked)
    assert found.classes == ["0", "1"]
    assert np.array_equal(found.targets, expected)


def test_palettes_bits_and_16_bits_are_masks_too(masked):
    expected = images.read_images(masked).targets
    values = [np.asarray(Image.open(masked / "masks" / f"{number}.png")) for number in range(3)]
    palette = Image.fromarray(values[0]).convert("P")
    palette.putpalette([200, 0, 0, 0, 200, 0])
    palette.putdata(values[0].ravel().tolist())
    palette.save(masked / "masks" / "0.png")
    save(masked / "masks" / "1.png", values[1].astype(bool))
    save(masked / "masks" / "2.png", values[2].astype(np.uint16))
    assert np.array_equal(images.read_images(masked).targets, expected)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (colour(0, 1, 0, size=64), r"^cells/masks/1\.png is not a mask of one channel \(its mode is RGB\)"),
        (grey(2, 64, 32), r"^cells/masks/1\.png is 32 x 64 pixels, but its image 64 x 64\.$"),
        (grey(3, 64, 64), "^masks hold the numbers 0, 1, 3; number the classes 0, 1, 2 and so on"),
        (grey(255, 64, 64), "^masks hold the numbers 0, 1, 255; number"),
    ],
)
def test_masks_that_do_not_fit_are_refused(masked, values, said):
    save(masked / "masks" / "1.png", values)
    refused(said, images.read_images, masked)


def test_masks_of_one_class_and_classes_that_vanish_are_refused(masked):
    values = np.zeros((64, 64), np.uint8)
    values[0, 0] = 2
    save(masked / "masks" / "1.png", values)
    assert images.read_images(masked).classes == ["0", "1", "2"]
    refused("class 2 has no pixel left at 16 x 16", images.read_images, masked, 16)
    for path in (masked / "masks").iterdir():
        save(path, grey(0, 64, 64))
    refused("all masks hold one number only", images.read_images, masked)


@pytest.mark.parametrize(
    ("folder", "said"),
    [("masks", r'^"cells/images/1\.jpg" without a mask'), ("images", r'^"cells/masks/1\.png" without')],
)
def test_an_image_without_a_mask_is_refused(masked, folder, said):
    next((masked / folder).glob("1.*")).unlink()
    refused(said, images.read_images, masked)
    next((masked / folder).glob("2.*")).unlink()
    refused("^.* and 1 more without", images.read_images, masked)


def test_two_images_of_one_stem_and_folders_inside_are_refused(masked):
    save(masked / "images" / "1.png", grey(1, 64, 64))
    refused(r"cells/images/1\.png and cells/images/1\.jpg have the same stem", images.read_images, masked)
    (masked / "images" / "1.png").unlink()
    (masked / "masks" / "deep").mkdir()
    refused('the folder "masks" has the folder "deep" in it', images.read_images, masked)


def test_many_masks_are_capped(masked, monkeypatch):
    monkeypatch.setattr(images, "MOST_BYTES", 3 * 64 * 64 * 11 - 1)
    refused("3 images of 64 x 64 pixels take", images.read_images, masked)
    save(masked / "masks" / "1.png", np.arange(4096, dtype=np.uint16).reshape(64, 64))
    monkeypatch.setattr(images, "MOST_BYTES", 2**30)
    refused(r"cells/masks/1\.png: 4,096 classes are more", images.read_images, masked)
