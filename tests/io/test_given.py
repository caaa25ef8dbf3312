import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tmatch
from loops import each
from tmatch._io.given import is_image, labels_of, read_given, read_mask

pytestmark = pytest.mark.engine_free

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (12, 17, 3), dtype=np.uint8)
ALPHA = np.where(np.arange(17) < 9, 255, 100).astype(np.uint8) * np.ones((12, 1), np.uint8)
RGBA = np.dstack([RGB, ALPHA])


def with_palette():
    return Image.fromarray(RGB).quantize(8)


# --- reads as read_image does -------------------------------------------------------------------------


def test_an_open_file_is_read_from_where_it_stands_and_stays_open(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    with (tmp_path / "a.png").open("rb") as file:
        np.testing.assert_array_equal(tmatch.read_image(file), RGB)
        assert not file.closed
    later = io.BytesIO(b"head" + data)
    later.seek(4)
    np.testing.assert_array_equal(tmatch.read_image(later), RGB)


PILLOW = {
    "L": Image.fromarray(RGB[..., 0]),
    "1": Image.fromarray(RGB[..., 0]).convert("1"),
    "P": with_palette(),
    "LA": Image.fromarray(RGBA).convert("LA"),
    "RGB": Image.fromarray(RGB),
    "RGBA": Image.fromarray(RGBA),
    "I;16": Image.fromarray(RNG.integers(0, 2**16, (12, 17), dtype=np.uint16)),
    "F": Image.fromarray(RNG.normal(size=(12, 17)).astype(np.float32)),
}


@each("mode", PILLOW)
def test_a_pillow_image_is_read_as_its_file(mode, tmp_path):
    pillow = PILLOW[mode]
    assert pillow.mode == mode
    pillow.save(tmp_path / "a.tif" if mode == "F" else tmp_path / "a.png")
    [path] = tmp_path.iterdir()
    before = pillow.tobytes()
    for least in (0.3, 1):
        pixels, counts = read_given("image", pillow, least)
        read, read_counts = read_given("image", path, least)
        assert pixels.dtype == read.dtype
        np.testing.assert_array_equal(pixels, read)
        assert (counts is None) == (read_counts is None) == (least < 1 or mode not in ("LA", "RGBA"))
        if counts is not None:
            np.testing.assert_array_equal(counts, ALPHA == 255)
            np.testing.assert_array_equal(read_counts, counts)
    assert pillow.tobytes() == before
    path.unlink()


def test_a_pillow_image_that_the_camera_rotated_is_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as pillow:
        pixels, _ = read_given("image", pillow, 1)
        assert pillow.size == (17, 12)
    np.testing.assert_array_equal(pixels, np.rot90(RGB, -1))
    np.testing.assert_array_equal(pixels, tmatch.read_image(tmp_path / "a.png"))


def test_masks_from_files_are_grey_levels_from_0_to_1():
    grey = np.array([[0, 100], [200, 50]], np.uint8)
    np.testing.assert_array_equal(read_mask("mask", Image.fromarray(grey)), grey / 200)
    np.testing.assert_array_equal(read_mask("mask", Image.fromarray(grey * np.uint8(0))), [[0, 0], [0, 0]])
    assert read_mask("mask", grey) is grey


def test_a_masked_array_tells_which_pixels_count():
    values = np.ma.masked_less(np.arange(6).reshape(2, 3), 2)
    pixels, counts = read_given("image", values, 1)
    np.testing.assert_array_equal(pixels, np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(counts, np.arange(6).reshape(2, 3) >= 2)
    assert not isinstance(pixels, np.ma.MaskedArray)
    assert read_given("image", np.ma.array(pixels), 1)[1] is None


# --- labels -------------------------------------------------------------------------------------------


def test_images_are_told_from_nested_lists_and_numbers():
    images = (np.ones(3), np.ma.ones(3), "a.png", Path("a.png"), io.BytesIO(), PILLOW["L"])
    assert all(map(is_image, images))
    assert not any(map(is_image, (1, 2.0, np.float64(3), np.array(3), [1, 2], (np.ones(3),), None)))


@each(
    "given, labels",
    [
        (["a/ok.png", Path("b/error.png")], ["ok", "error"]),
        (["a/ok.png", "c.png", "b/ok.png"], ["a/ok.png", "c", "b/ok.png"]),
        (["a/ok.png", np.ones(3)], ["0", "1"]),
        ([np.ones(3)], ["0"]),
    ],
)
def test_files_are_labelled_by_their_names_and_others_by_number(given, labels):
    assert labels_of(given) == labels


# --- refusals -----------------------------------------------------------------------------------------


URL = 'is the URL "{}", and files alone are read: download it, and pass the path'


@each(
    "given, error, message",
    [
        ("https://example.org/a.png", ValueError, URL.format("https://example.org/a.png")),
        (Path("https://example.org/a.png"), ValueError, URL.format("https:/example.org/a.png")),
        ("file:///a.png", ValueError, URL.format("file:///a.png")),
        (b"\x89PNG", TypeError, "is bytes; give a path or an open binary file, of bytes `io.BytesIO(...)`"),
    ],
)
def test_urls_and_bytes_are_refused(given, error, message):
    for name, read in (("path", tmatch.read_image), ("image", lambda given: read_given("image", given, 1))):
        with pytest.raises(error) as caught:
            read(given)
        assert str(caught.value) == f"`{name}` {message}"


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(TypeError) as caught:
        tmatch.read_image(3)
    assert str(caught.value) == (
        "`path` is of type int; give a path or an open binary file, of bytes `io.BytesIO(...)`"
    )
    (tmp_path / "a.txt").write_bytes(b"\x89PNG, which is no text")
    with (
        (tmp_path / "a.txt").open() as file,
        pytest.raises(OSError, match=r"a\.txt\": it is open as text; open it "),
    ):
        tmatch.read_image(file)
    with pytest.raises(OSError, match='cannot read "open file": the file is empty'):
        tmatch.read_image(io.BytesIO())
    data = io.BytesIO()
    Image.fromarray(RGBA).save(data, "png")
    data.seek(0)
    with pytest.raises(ValueError, match='"open file" has transparent pixels'):
        tmatch.read_image(data)
    with pytest.raises(ValueError, match='the template "a.png" is given twice; name each one once'):
        labels_of(["a.png", "a.png"])


def test_pillow_is_not_loaded_to_look_for_its_images(monkeypatch):
    monkeypatch.delitem(sys.modules, "PIL.Image")
    read_given("image", [[1, 2]], 1)
    assert "PIL.Image" not in sys.modules
