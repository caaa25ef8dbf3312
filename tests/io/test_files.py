import io
import os
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import tmatch
from tmatch._arrays.lazy import is_lazy
from tmatch._io import decoders, files, images, pairs, writing

pytestmark = pytest.mark.engine_free

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (12, 17, 3), dtype=np.uint8)
GREY = RGB[..., 0].copy()
GREY16 = RNG.integers(0, 65536, (12, 17), dtype=np.uint16)


def save(path, array, mode=None, **options):
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def raw_png(width, height, depth, colour, data):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


# --- reads what was written ---------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["png", "tif", "bmp", "webp"])
@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "colour"])
def test_lossless_formats_give_back_the_pixels(tmp_path, ending, pixels):
    path = save(tmp_path / f"a.{ending}", pixels, **({"lossless": True} if ending == "webp" else {}))
    read = tmatch.read_image(path)
    if ending == "webp" and pixels.ndim == 2:  # WebP has no grey of its own
        read = read[..., 0]
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, pixels)


def test_jpeg_is_read_close_to_the_pixels(tmp_path):
    smooth = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint8)
    read = tmatch.read_image(save(tmp_path / "a.jpg", smooth, quality=95))
    np.testing.assert_allclose(read.astype(int), smooth, atol=3)  # JPEG loses a few grey levels


def test_gif_and_palettes_become_colour(tmp_path):
    few = RGB // 128 * 255
    for path in (
        save(tmp_path / "a.gif", few),
        save(tmp_path / "p.png", few, "P"),
        save(tmp_path / "p.tif", few, "P"),
    ):
        assert tmatch.read_image(path).shape == RGB.shape
    np.testing.assert_array_equal(tmatch.read_image(tmp_path / "a.gif"), few)


def test_first_frame_of_an_animation_is_read(tmp_path):
    frames = [Image.fromarray(np.full((5, 6), v, np.uint8)) for v in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match=r'a\.gif" has 2 frames; only the first is read$'):
        assert tmatch.read_image(tmp_path / "a.gif").max() == 10


@pytest.mark.parametrize(
    "name", ["a.gif", "a.png", "a.webp", "a.tif", "deep.tif", "imagej.tif", "colour.tif"]
)
def test_images_that_are_left_out_are_told(tmp_path, name):
    path, frames = tmp_path / name, RNG.integers(0, 256, (5, 20, 30), dtype=np.uint8)
    if name.startswith("a."):
        first, *others = map(Image.fromarray, frames)
        first.save(path, save_all=True, append_images=others)
    elif name == "colour.tif":
        tifffile.imwrite(path, np.stack([frames] * 3, axis=-1), photometric="rgb")
    else:
        tifffile.imwrite(path, frames.astype("u2"), imagej=name == "imagej.tif")
    unit = "pages" if name.endswith(".tif") else "frames"
    with pytest.warns(UserWarning, match=rf'" has 5 {unit}; only the first is read$') as told:
        tmatch.read_image(path)
    assert [each.filename for each in told] == [__file__]


def test_smaller_versions_of_an_image_are_no_images_of_their_own(tmp_path):
    deep = GREY16.repeat(8, axis=0).repeat(8, axis=1)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(deep, subifds=1)
        file.write(deep[::2, ::2], subfiletype=1)
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        file.write(deep)
        file.write(deep[::2, ::2], subfiletype=1)
    several = Image.fromarray(RGB)
    several.save(tmp_path / "c.jpg", format="MPO", save_all=True, append_images=[several])
    for name in ("a.tif", "b.tif"):
        np.testing.assert_array_equal(tmatch.read_image(tmp_path / name), deep)
    assert tmatch.read_image(tmp_path / "c.jpg").shape == RGB.shape


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("options", [{}, {"planarconfig": "contig"}])
def test_two_channels_are_no_image(tmp_path, dtype, options):
    values = GREY16.repeat(2).reshape(12, 17, 2).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack", **options)
    with pytest.raises(
        OSError, match=r'a\.tif" holds an array of shape \(12, 17, 2\).*; an image is grey, or'
    ):
        tmatch.read_image(tmp_path / "a.tif")


def test_one_bit_pictures_are_black_and_white(tmp_path):
    bits = GREY > 99
    for ending in ("png", "tif"):
        read = tmatch.read_image(save(tmp_path / f"b.{ending}", bits))
        np.testing.assert_array_equal(read, bits * np.uint8(255))


def test_sixteen_bits_are_kept(tmp_path):
    tifffile.imwrite(tmp_path / "c.tif", np.stack([GREY16] * 3, axis=-1), photometric="rgb")
    tifffile.imwrite(tmp_path / "s.tif", np.stack([GREY16] * 3), photometric="rgb", planarconfig="separate")
    grey = [save(tmp_path / "g.png", GREY16), save(tmp_path / "g.tif", GREY16)]
    for path in (*grey, tmp_path / "c.tif", tmp_path / "s.tif"):
        read = tmatch.read_image(path)
        assert read.dtype == np.uint16
        np.testing.assert_array_equal(read if read.ndim == 2 else read[..., 1], GREY16)


def test_colour_png_of_sixteen_bits_keeps_its_upper_eight(tmp_path):
    colour = np.stack([GREY16] * 3, axis=-1)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in colour)
    (tmp_path / "a.png").write_bytes(raw_png(17, 12, 16, 2, rows))
    np.testing.assert_array_equal(tmatch.read_image(tmp_path / "a.png"), colour >> 8)


@pytest.mark.parametrize("dtype", ["f4", "f8", "u4", "i2", "f2"])
def test_tiff_numbers_of_every_kind_are_kept(tmp_path, dtype):
    values = (GREY16 / 7).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", values)
    read = tmatch.read_image(tmp_path / "a.tif")
    assert read.dtype == values.dtype
    np.testing.assert_array_equal(read, values)


def test_compressed_tiff_is_read(tmp_path):
    for compression in ("tiff_lzw", "tiff_deflate", "packbits"):
        np.testing.assert_array_equal(
            tmatch.read_image(save(tmp_path / "a.tif", RGB, compression=compression)), RGB
        )
    np.testing.assert_array_equal(
        tmatch.read_image(save(tmp_path / "g.tif", GREY16, compression="tiff_lzw")), GREY16
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "deep.tif"])
def test_rotation_of_the_camera_is_undone(tmp_path, name, orientation):
    upright = np.repeat(np.repeat(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40, 8, 0), 8, 1)
    # What a camera stores for each orientation, from the definition: where row 0 and column 0 are seen.
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.T,
        6: np.rot90(upright), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    path = tmp_path / name
    if name == "deep.tif":
        tifffile.imwrite(path, stored.astype(np.uint16), extratags=[(274, 3, 1, orientation, True)])
    else:
        exif = Image.Exif()
        exif[274] = orientation
        save(path, np.ascontiguousarray(stored), exif=exif)
    np.testing.assert_allclose(tmatch.read_image(path).astype(int), upright, atol=4)  # JPEG's loss


# --- alpha --------------------------------------------------------------------------------------------


def test_opaque_alpha_is_dropped(tmp_path):
    opaque = np.dstack([RGB, np.full((12, 17), 255, np.uint8)])
    np.testing.assert_array_equal(tmatch.read_image(save(tmp_path / "a.png", opaque)), RGB)
    grey_alpha = save(tmp_path / "la.png", opaque, "LA")
    assert tmatch.read_image(grey_alpha).shape == (12, 17)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_are_refused(tmp_path, mode):
    half = np.dstack([RGB, np.full((12, 17), 128, np.uint8)])
    with pytest.raises(
        ValueError, match="has transparent pixels, which have no colour to match; save it on a solid"
    ):
        tmatch.read_image(save(tmp_path / "a.png", half, mode))


def test_transparent_palette_entry_and_grey_level_are_refused(tmp_path):
    Image.fromarray(GREY % 4).convert("P").save(tmp_path / "a.png", transparency=0)
    Image.fromarray(GREY16).save(tmp_path / "b.png", transparency=int(GREY16[3, 4]))
    for name in ("a.png", "b.png"):
        with pytest.raises(ValueError, match="has transparent pixels"):
            tmatch.read_image(tmp_path / name)


# --- pairs --------------------------------------------------------------------------------------------


def test_colour_is_used_where_both_have_it_and_grey_otherwise(tmp_path):
    colour, grey = save(tmp_path / "c.png", RGB), save(tmp_path / "g.png", GREY)
    assert pairs.read_pair(pairs.read_search_image(colour), [colour], gray=False).channel_axis == 2
    for image, templates, gray in [
        (colour, [grey], False),
        (grey, [colour], False),
        (colour, [colour], True),
    ]:
        pair = pairs.read_pair(pairs.read_search_image(image), templates, gray=gray)
        assert pair.channel_axis is None
        assert pair.image.ndim == 2
        assert all(t.ndim == 2 for t in pair.templates.values())


def test_grey_of_a_colour_is_as_scikit_image_has_it():
    from skimage.color import rgb2gray

    np.testing.assert_allclose(images.to_gray(RGB) / 255, rgb2gray(RGB), atol=1e-12)


def test_labels_are_file_names_or_paths_where_these_are_alike(tmp_path):
    (tmp_path / "b").mkdir()
    one, two = save(tmp_path / "eye.png", GREY), save(tmp_path / "b" / "eye.png", RGB)
    picture = pairs.read_search_image(one)
    assert list(pairs.read_pair(picture, [one], gray=True).templates) == ["eye"]
    assert list(pairs.read_pair(picture, [one, two], gray=True).templates) == [str(one), str(two)]
    with pytest.raises(ValueError, match="the same template is given twice"):
        pairs.read_pair(picture, [one, one], gray=True)


# --- refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("missing.png", None, r'cannot read ".*missing\.png": no such file or directory'),
        ("empty.png", b"", r'cannot read ".*": the file is empty'),
        ("text.png", b"no picture at all", r"not an image, or a broken one \(unknown format\)"),
        ("tiff.tif", b"II*\0garbage here", "not an image, or a broken one"),
        ("short.png", b"\x89PNG\r\n\x1a\n", "not an image, or a broken one"),
        ("huge.png", raw_png(40_000, 40_000, 8, 0, b""), "announces more than 178,956,970 pixels; crop it"),
    ],
)
def test_unreadable_files_are_refused_in_one_line(tmp_path, name, content, sentence):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OSError, match=sentence) as caught:
        tmatch.read_image(path)
    assert "\n" not in str(caught.value)


def test_truncated_files_are_refused(tmp_path):
    noise = RNG.integers(0, 256, (100, 100, 3), dtype=np.uint8)
    deep = RNG.integers(0, 65536, (100, 100), dtype=np.uint16)
    paths = [save(tmp_path / f"a.{ending}", noise) for ending in ("png", "jpg", "tif", "bmp", "gif", "webp")]
    for path in [*paths, save(tmp_path / "deep.tif", deep), save(tmp_path / "deep.png", deep)]:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(OSError, match="not an image, or a broken one"):
            tmatch.read_image(path)


@pytest.mark.parametrize("is_stream", [False, True])
def test_arrays_that_are_not_whole_in_their_file_are_refused(tmp_path, is_stream):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((50, 60), np.uint8))
    whole = path.read_bytes()
    for content, reason in (
        (whole[:-100], "the file ends 100 bytes too early"),
        (whole.replace(b"(50, 60)", b"(-5, 60)"), r"its header tells the shape \(-5, 60\)"),
        (whole.replace(b"(50, 60), }" + 20 * b" ", b"(99999999999999, 99999999999), }"), "bytes too early"),
    ):
        path.write_bytes(content)
        with pytest.raises(OSError, match=reason):
            tmatch.read_image(io.BytesIO(content) if is_stream else path)


def test_folder_is_refused(tmp_path):
    with pytest.raises(OSError, match=r'cannot read ".*": is a directory'):
        tmatch.read_image(tmp_path)


# --- what is too large ----------------------------------------------------------------------------------


def region(shape):
    assert shape == (200, 150)
    return slice(33, 133), slice(20, 121)


@pytest.mark.parametrize("layout", [{"tile": (32, 48)}, {"rowsperstrip": 7}, {"rowsperstrip": 200}], ids=str)
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kind", ["grey", "white", "deep", "float", "colour", "alpha", "planes"])
def test_a_part_of_a_tiff_is_what_the_whole_has_there(tmp_path, monkeypatch, layout, compression, kind):
    rng = np.random.default_rng(0)
    channels = {"colour": (3,), "alpha": (4,), "planes": (3,)}.get(kind, ())
    pixels = rng.integers(0, 65536, (200, 150, *channels)).astype(
        {"deep": "u2", "float": "f4"}.get(kind, "u1")
    )
    more = {"photometric": "rgb" if channels else "minisblack"}
    more |= {"white": {"photometric": "miniswhite"}, "planes": {"planarconfig": "separate"}}.get(kind, {})
    more |= {"alpha": {"extrasamples": ["unassalpha"]}}.get(kind, {})
    stored = np.moveaxis(pixels, -1, 0) if kind == "planes" else pixels
    tifffile.imwrite(tmp_path / "a.tif", stored, compression=compression, **layout, **more)
    whole, alpha = images.read_pixels(tmp_path / "a.tif")
    monkeypatch.setattr(decoders.pages, "MAX_PIXELS", 20_000)
    if compression and layout == {"rowsperstrip": 200}:
        with pytest.raises(
            OSError, match="or save it in tiles without .*: its pixels are stored in one piece"
        ):
            images.read_part(tmp_path / "a.tif", region)
        return
    read = images.read_part(tmp_path / "a.tif", region)
    assert (read.part, read.shape) == (region((200, 150)), (200, 150))
    np.testing.assert_array_equal(read.colours, whole[read.part])
    assert read.colours.dtype == whole.dtype
    assert (alpha is None) == (read.alpha is None) == (kind != "alpha")
    if alpha is not None:
        np.testing.assert_array_equal(read.alpha, alpha[read.part])


def test_parts_that_cannot_be_read_are_refused_with_a_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(decoders.pages, "MAX_PIXELS", 20_000)
    pixels = np.zeros((200, 150), np.uint8)
    save(tmp_path / "a.png", pixels)
    save(tmp_path / "palette.tif", pixels, "P")
    save(tmp_path / "lzw.tif", pixels, compression="tiff_lzw")
    tifffile.imwrite(tmp_path / "turned.tif", pixels, extratags=[(274, 3, 1, 6, True)])
    too_large = "announces more than 20,000 pixels; crop it or shrink it first"
    for name, way in [
        ("a.png", ", or save it as zarr or a TIFF in tiles, which are searched part by part"),
        (
            "palette.tif",
            ", or save it in tiles without compression, as no part of it can be read now: it is neither",
        ),
        ("lzw.tif", ", or save it in tiles without compression, as no part of it can be read now: "),
        (
            "turned.tif",
            ", or save it in tiles without compression, as no part of it can be read now: it is rotated",
        ),
    ]:
        with pytest.raises(OSError, match=re.escape(f'{name}" {too_large}{way}')) as caught:
            images.read_part(tmp_path / name, region)
        assert "\n" not in str(caught.value)
        with pytest.raises(OSError, match=re.escape(f'{name}" {too_large}') + "$"):
            tmatch.read_image(tmp_path / name)
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    read = images.read_part(tmp_path / "a.tif", images.whole_part)
    assert is_lazy(read.colours)
    np.testing.assert_array_equal(read.colours[:], pixels)
    with pytest.raises(OSError, match="or search a part of it with --region"):
        images.held(read.colours, "a.tif")


def test_devices_are_refused_and_pipes_are_read_up_to_a_bound(monkeypatch):
    for name in ("/dev/zero", "/dev/null"):
        with pytest.raises(OSError, match=f'cannot read "{name}": it is a device; name a file or a pipe'):
            tmatch.read_image(name)
    monkeypatch.setattr(files, "MAX_BYTES", 5000)
    reader, writer = os.pipe()
    with os.fdopen(reader), os.fdopen(writer, "wb") as file:
        file.write(b"P5" + bytes(9998))
        file.flush()
        with pytest.raises(
            OSError, match="more than 5,000 bytes came through a pipe; crop or shrink the image"
        ):
            tmatch.read_image(f"/dev/fd/{reader}")


def test_huge_files_that_are_no_tiff_are_refused_unread(tmp_path):
    path = save(tmp_path / "a.png", GREY)
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match=r"has more than 2,147,483,648 bytes; crop it or shrink it first"):
        tmatch.read_image(path)


def test_documents_are_no_images(tmp_path):
    save(tmp_path / "a.eps", RGB)
    with pytest.raises(OSError, match="unknown format"):
        tmatch.read_image(tmp_path / "a.eps")


@pytest.mark.parametrize(
    "ending", ["tga", "ico", "pcx", "sgi", "jp2", "dib", "ppm", "qoi", "dds", "msp", "xbm"]
)
def test_rarer_formats_are_read(tmp_path, ending):
    bits = ending in {"msp", "xbm"}
    path = save(tmp_path / f"a.{ending}", GREY > 99 if bits else RGB)
    assert tmatch.read_image(path).shape[:2] == GREY.shape


# --- writing ------------------------------------------------------------------------------------------


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.npy"
    path.write_text("old")

    def broken(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=r'cannot write ".*a\.npy": no space left on device'):
        writing._write(path, broken)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_not_in_the_way(tmp_path):
    left = tmp_path / f".a.npy.{os.getpid()}.part"
    left.write_text("of another process with this number")
    writing.write_array(tmp_path / "a.npy", GREY)
    assert left.exists()
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), GREY)


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.npy").symlink_to(Path("folder") / "a.npy")
    for values in (GREY, RGB):
        writing.write_array(tmp_path / "link.npy", values)
        np.testing.assert_array_equal(np.load(tmp_path / "folder" / "a.npy"), values)
    assert (tmp_path / "link.npy").is_symlink()


def test_unknown_endings_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r'".xyz" is not a known format; use one of \.png'):
        writing.write_image(tmp_path / "a.xyz", GREY)
    with pytest.raises(ValueError, match=r"its name has no ending; use one of \.png, \.jpg, \.pdf, \.svg"):
        writing.check_targets([], [tmp_path / "a"])
    assert not list(tmp_path.iterdir())


def test_written_pictures_are_read_back(tmp_path):
    writing.write_image(tmp_path / "a.png", RGB)
    np.testing.assert_array_equal(tmatch.read_image(tmp_path / "a.png"), RGB)
    writing.write_array(tmp_path / "a.npy", GREY16)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), GREY16)


def test_device_is_written_and_not_replaced():
    writing.write_array(Path("/dev/null"), GREY)
    assert not Path("/dev/null").is_file()
