import io
import itertools
import os
import shutil
import subprocess
import sys
import threading
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import tmatch
from loops import each
from tmatch._io import decoders
from tmatch._io.sources import find_sources
from tmatch._io.sources.selection import Selection

av, zarr = pytest.importorskip("av"), pytest.importorskip("zarr")
pytestmark = pytest.mark.engine_free

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 65536, (12, 20, 30), dtype=np.uint16)
SHALLOW = (DEEP >> 8).astype(np.uint8)
COLOUR = RNG.integers(0, 256, (12, 20, 30, 3), dtype=np.uint8)
XVFB = shutil.which("Xvfb")


def png(path, value=0):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.full((5, 6), value, np.uint8)).save(path)
    return path


def names(*images, **options):
    return [source.title for source in find_sources([str(image) for image in images], **options)]


def animate(path, frames, **options):
    first, *others = map(Image.fromarray, frames)
    first.save(path, save_all=True, append_images=others, **options)
    return frames


def write_pages(path, frames, **options):
    """Write pages one by one, as programs other than tifffile do."""
    with tifffile.TiffWriter(path) as file:
        for frame in frames:
            file.write(frame, metadata=None, **options)
    return frames


def write_video(path, count=30, *, codec="ffv1", pixels="gray", size=(64, 48), **options):
    """Write a video whose frame number is the grey level of its upper left quarter."""
    with av.open(str(path), "w", options=options) as file:
        stream = file.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = *size, pixels, 4_000_000
        for number in range(count):
            image = np.full((size[1], size[0]), 200, np.uint8)
            image[: size[1] // 2, : size[0] // 2] = 8 * number % 256
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="gray")):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)
    return path


def number_in(image):
    """Tell which frame it is."""
    grey = image[:20, :28] if image.ndim == 2 else image[:20, :28].mean(axis=2)
    return round(grey.mean() / 8)


def write_zarr(path, frames, **options):
    zarr.create_array(str(path), data=frames, chunks=(1, *frames.shape[1:]), **options)
    return frames


def write_ome_zarr(path, frames):
    group = zarr.create_group(str(path), zarr_format=2)
    group.create_array("0", data=frames.reshape(2, 2, 3, 20, 30))
    group.create_array("1", data=frames[:, ::2, ::2].reshape(2, 2, 3, 10, 15))
    group.attrs["multiscales"] = [{"datasets": [{"path": "0"}, {"path": "1"}]}]
    return frames


def write_npy(path, frames):
    np.save(path, frames)
    return frames


def write_tiff(path, frames, **options):
    tifffile.imwrite(path, frames, **options)
    return frames.reshape(-1, *frames.shape[-3 if frames.shape[-1] == 3 else -2 :])


STACKS = {
    "deep.tif": lambda path: write_tiff(path, DEEP, photometric="minisblack"),
    "in_row.tif": lambda path: write_tiff(path, DEEP, photometric="minisblack", truncate=True),
    "in_row_shallow.tif": lambda path: write_tiff(path, SHALLOW, photometric="minisblack", truncate=True),
    "big_endian.tif": lambda path: write_tiff(path, DEEP, imagej=True, truncate=True, byteorder=">"),
    "others.tif": lambda path: write_pages(path, SHALLOW),
    "lzw.tif": lambda path: animate(path, SHALLOW, compression="tiff_lzw"),
    "colour.tif": lambda path: write_tiff(path, COLOUR, photometric="rgb"),
    "deflate.tif": lambda path: write_tiff(path, DEEP, compression="zlib", tile=(16, 16), photometric="minisblack"),
    "a.ome.tif": lambda path: write_tiff(path, DEEP.reshape(2, 3, 2, 20, 30), metadata={"axes": "TCZYX"}),
    "b.ome.tif": lambda path: write_tiff(path, COLOUR.reshape(3, 4, 20, 30, 3), metadata={"axes": "TZYXS"}),
    "c.ome.tif": lambda path: write_tiff(path, SHALLOW.reshape(3, 4, 20, 30), metadata={"axes": "TCYX"}),
    "a.gif": lambda path: animate(path, COLOUR // 128 * 255),
    "a.png": lambda path: animate(path, COLOUR),
    "a.webp": lambda path: animate(path, COLOUR, lossless=True),
    "a.npy": lambda path: write_npy(path, DEEP),
    "c.npy": lambda path: write_npy(path, COLOUR),
    "f.npy": lambda path: write_npy(path, np.asfortranarray(DEEP)),
    "five.npy": lambda path: write_npy(path, DEEP.reshape(2, 3, 2, 20, 30)).reshape(12, 20, 30),
    "two.zarr": lambda path: write_zarr(path, DEEP, zarr_format=2),
    "three.zarr": lambda path: write_zarr(path, COLOUR, zarr_format=3),
    "ome.zarr": lambda path: write_ome_zarr(path, DEEP),
}  # fmt: skip


# --- which pages: the definition --------------------------------------------------------------------------


RANGES = st.tuples(st.integers(0, 12), st.integers(0, 6) | st.none()).map(
    lambda pair: (pair[0], None if pair[1] is None else sum(pair))
)


@given(st.lists(RANGES, min_size=1, max_size=4), st.integers(1, 4), st.integers(1, 20))
def test_pages_are_those_of_the_ranges_in_the_order_of_the_file(ranges, every, count):
    text = ",".join(f"{a}-{'' if b is None else b}" if a != b else str(a) for a, b in ranges)
    chosen = Selection.parse(text, every)
    asked = sorted({page for a, b in ranges for page in range(a, 40 if b is None else b + 1)})[::every]
    assert list(chosen.numbers(count)) == [page for page in asked if page < count]
    assert list(itertools.takewhile(lambda page: page < 40, chosen.numbers())) == asked
    is_open = any(b is None and a < count for a, b in ranges)
    assert chosen.missing(count) == (None if is_open else min((p for p in asked if p >= count), default=None))


def test_a_page_far_away_is_not_searched_for():
    assert Selection.parse("999999999").missing(1) == 999_999_999


@each("text", ["", " ", "5-2", "-3", "a", "1,,2", "1.5", "0 1", "1-2-3", "٣", "9" * 5000, "All"])
def test_pages_that_make_no_sense_are_refused(text):
    with pytest.raises(
        ValueError, match=r'^`pages` is ".*"; it must be "all", or pages and ranges of them from 0 on, as'
    ):
        tmatch.open_images("datasets", pages=text)


# --- order ------------------------------------------------------------------------------------------------


def test_images_of_a_folder_come_in_the_natural_order_of_their_names(tmp_path):
    order = ["1.png", "2.png", "10.png", "A1b2.png", "a1b10.png", "a02.png", "B.tif", "c²1.png", "ü.PNG"]
    for name in [*reversed(order), ".hidden.png", "below/0.png", "notes.txt"]:
        png(tmp_path / name) if name.lower().endswith("png") else (tmp_path / name).write_bytes(b"")
    assert names(tmp_path) == [f"{tmp_path}/{name}" for name in order]
    assert names(f"{tmp_path}/") == [f"{tmp_path}/{name}" for name in order]


@given(st.lists(st.integers(0, 10**30), unique=True, min_size=1), st.text("aB_-. ", max_size=3))
def test_numbers_in_names_count(numbers, before):
    from tmatch._io.sources.find import _natural

    paths = [f"x/{before}{number}.png" for number in numbers]
    assert sorted(paths, key=_natural) == [f"x/{before}{number}.png" for number in sorted(numbers)]


def test_arguments_come_in_their_order_and_as_often_as_they_are_named(tmp_path):
    one, two = png(tmp_path / "b.png"), png(tmp_path / "shots" / "a.png")
    (tmp_path / "link.png").symlink_to(one)
    assert names(one, tmp_path / "shots", tmp_path / "link.png", one) == [
        str(path) for path in (one, two, tmp_path / "link.png", one)
    ]
    assert [source.page for source in find_sources([one])] == [None]


def test_globs_come_in_natural_order_and_a_file_of_that_very_name_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [
        "s/10.png",
        "s/2.png",
        "s/b.dat",
        "s/x.txt",
        "s/10/1.png",
        "s/9/1.png",
        "a[1].png",
        "a1.png",
    ]:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        png(path) if name.endswith("png") else path.write_bytes(b"")
    assert names("s/*.png") == ["s/2.png", "s/10.png"]
    assert names("s/*") == ["s/2.png", "s/10.png"]
    assert names("s/*.*") == ["s/2.png", "s/10.png"]
    assert names("s/*.d?t") == ["s/b.dat"]
    assert names("s/**/*.png") == ["s/2.png", "s/9/1.png", "s/10/1.png", "s/10.png"]
    assert names("./s/**/1.png") == ["./s/9/1.png", "./s/10/1.png"]
    assert names("a[1].png") == ["a[1].png"]
    Path("a[1].png").unlink()
    assert names("a[1].png") == ["a1.png"]


HOSTILE = [
    "a[1].png",
    "-x.png",
    "--help.png",
    "ü ñ.png",
    "a\nb.png",
    "a\\b.png",
    "*.png",
    "$(x).png",
    "screen:1.png",
]


def test_names_of_any_kind_are_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for value, name in enumerate(HOSTILE):
        png(Path(name), value)
    assert [(name, image[0, 0]) for name, image in tmatch.open_images(*HOSTILE[:-1])] == [
        (name, value) for value, name in enumerate(HOSTILE[:-1])
    ]
    assert {name for name, _ in tmatch.open_images(".")} == {f"./{name}" for name in HOSTILE}
    assert names("./screen:1.png") == ["./screen:1.png"]
    raw = os.fsdecode(b"\xff\xfe.png")
    png(Path("a.png")).rename(raw)
    assert next(iter(tmatch.open_images(raw)))[1].shape == (5, 6)


# --- stacks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STACKS)
def test_pages_are_those_that_were_written(tmp_path, name):
    path = tmp_path / name
    frames = STACKS[name](path)
    images = tmatch.open_images(path, pages="all")
    assert len(images) == 12
    read = list(images)
    assert [title for title, _ in read] == [f"{path}[{page}]" for page in range(12)]
    for (_, image), frame in zip(read, frames, strict=True):
        np.testing.assert_array_equal(image, frame)
        assert image.dtype == frame.dtype
    some = list(find_sources([path], pages="7-,0,3", every=2))
    assert [source.page for source in some] == [0, 7, 9, 11]
    for page in (11, 0, 4):  # the first, too, without a warning
        np.testing.assert_array_equal(tmatch.read_image(path, page=page), frames[page])


@pytest.mark.parametrize("name", ["deep.tif", "lzw.tif", "a.gif", "a.png", "two.zarr", "a.npy"])
def test_threads_may_read_pages_in_any_order(tmp_path, name):
    frames = STACKS[name](tmp_path / name)
    sources = list(find_sources([tmp_path / name], pages="all")) * 3
    order = RNG.permutation(len(sources))
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda i: sources[i].read(None).colours, order))
    for i, image in zip(order, read, strict=True):
        np.testing.assert_array_equal(image, frames[i % 12])


@pytest.mark.parametrize("name", ["deep.tif", "a.gif", "a.npy", "ome.zarr"])
def test_without_pages_the_first_is_read_and_one_note_tells_of_the_others(tmp_path, name):
    path = tmp_path / name
    frames = STACKS[name](path)
    with pytest.warns(
        UserWarning, match=rf'{name}" has 12 \w+; only the first is read, 11 are left out'
    ) as told:
        ((title, image),) = tmatch.open_images(path)
    assert title == f"{path}[0]" or title == str(path)
    np.testing.assert_array_equal(image, frames[0])
    assert [each.filename for each in told] == [__file__]
    assert find_sources([path]).total == 1


def test_pages_of_several_shapes_come_in_the_order_of_the_file(tmp_path):
    pages = [frame[: 20 - i % 3, : 30 - i % 2] for i, frame in enumerate(DEEP)]
    write_pages(tmp_path / "a.tif", pages)
    for (_, image), page in zip(tmatch.open_images(tmp_path / "a.tif", pages="all"), pages, strict=True):
        np.testing.assert_array_equal(image, page)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_an_ome_tiff_may_lie_in_several_files(tmp_path, dtype):
    planes = "".join(
        f'<TiffData FirstT="{i}" IFD="0" PlaneCount="1"><UUID FileName="{i}.ome.tif">urn:uuid:{i}</UUID></TiffData>'
        for i in range(12)
    )
    for i, frame in enumerate(DEEP):
        about = (
            f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{i}">'
            f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="{dtype}" SizeX="30" SizeY="20" '
            f'SizeC="1" SizeZ="1" SizeT="12"><Channel ID="Channel:0" SamplesPerPixel="1"/>{planes}'
            "</Pixels></Image></OME>"
        )
        tifffile.imwrite(tmp_path / f"{i}.ome.tif", frame.astype(dtype), description=about, metadata=None)
    read = [image for _, image in tmatch.open_images(tmp_path / "3.ome.tif", pages="all")]
    np.testing.assert_array_equal(read, DEEP.astype(dtype))


def test_single_images_have_one_page(tmp_path):
    path = png(tmp_path / "a.png", 7)
    for pages in ("0", "all", "0-", None):
        assert names(path, pages=pages) == [str(path)]
    np.save(tmp_path / "a.npy", DEEP[0])
    np.save(tmp_path / "c.npy", COLOUR[0])
    zarr.create_array(str(tmp_path / "a.zarr"), data=DEEP[0])
    assert [image.shape for _, image in tmatch.open_images(*(tmp_path / n for n in ("a.npy", "c.npy", "a.zarr")))] == [
        (20, 30), (20, 30, 3), (20, 30)
    ]  # fmt: skip


def test_arrays_are_images_by_their_axes(tmp_path):
    for shape, seen in [((20, 30, 1), (20, 30)), ((5, 20, 30, 4), (20, 30, 3)), ((20, 30, 3), (20, 30, 3))]:
        np.save(tmp_path / "a.npy", np.full(shape, 255, np.uint8))
        assert next(iter(tmatch.open_images(tmp_path / "a.npy", pages="0")))[1].shape == seen
    np.save(tmp_path / "a.npy", SHALLOW[0] > 99)
    np.testing.assert_array_equal(tmatch.read_image(tmp_path / "a.npy"), (SHALLOW[0] > 99) * np.uint8(255))
    half = np.full((4, 5, 4), 0.5, np.float32)
    np.save(tmp_path / "a.npy", half)
    with pytest.raises(ValueError, match="has transparent pixels"):
        tmatch.read_image(tmp_path / "a.npy")
    for array in (
        np.zeros(5),
        np.zeros((5, 6, 2)),
        np.zeros((0, 5)),
        np.zeros((5, 6), complex),
        np.array([[None]]),
    ):
        np.save(tmp_path / "a.npy", array, allow_pickle=True)
        with pytest.raises(
            OSError, match=rf'a\.npy" holds an array of shape \({array.shape[0]}.*; an image is grey'
        ):
            tmatch.read_image(tmp_path / "a.npy")


def test_large_arrays_are_mapped(tmp_path):
    path = tmp_path / "a.npy"
    large = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(3, 20_000, 20_000))
    large[2, 19_999, 19_999] = 9
    large.flush()
    image = tmatch.read_image(path, page=2)
    assert (image.shape, image[-1, -1]) == ((20_000, 20_000), 9)


@pytest.mark.parametrize("name", ["deep.tif", "deflate.tif", "two.zarr"])
def test_a_part_of_a_large_page_is_read(tmp_path, monkeypatch, name):
    monkeypatch.setattr(decoders.pages, "MAX_PIXELS", 500)
    STACKS[name](tmp_path / name)
    *_, source = find_sources([tmp_path / name], pages="all")
    read = source.read(lambda _: (slice(3, 9), slice(4, 20)))
    np.testing.assert_array_equal(read.colours, DEEP[11, 3:9, 4:20])
    assert (read.part, read.shape) == ((slice(3, 9), slice(4, 20)), (20, 30))
    with pytest.raises(OSError, match=rf'{name}\[11\]" announces more than 500 pixels; crop it'):
        source.read(None)


def test_an_array_cut_into_pages_is_refused_with_its_shape(tmp_path):
    for shape in [(60, 50, 2), (4, 60, 50, 2)]:
        tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, np.uint16), photometric="minisblack")
        (source,) = find_sources([tmp_path / "a.tif"], pages="all")
        with pytest.raises(
            OSError, match=rf"holds an array of shape \({', '.join(map(str, shape))}\) in \d+ pages"
        ):
            source.read(None)


def test_a_zarr_group_of_another_kind_is_told(tmp_path):
    group = zarr.create_group(str(tmp_path / "a.zarr"))
    group.create_array("images", data=DEEP)
    (source,) = find_sources([tmp_path / "a.zarr"])
    with pytest.raises(
        OSError, match=r'a\.zarr" is a group of zarr, but no OME-Zarr; name one of its arrays \("images"\)'
    ):
        source.read(None)
    assert len(names(tmp_path / "a.zarr" / "images", pages="all")) == 12


# --- videos -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [("a.mkv", "ffv1", "gray"), ("a.mp4", "mpeg4", "yuv420p"), ("a.avi", "mjpeg", "yuvj420p"),
     ("a.webm", "libvpx", "yuv420p"), ("deep.mkv", "ffv1", "gray16le"), ("a.mov", "png", "rgb24")],
)  # fmt: skip
def test_frames_of_a_video_have_their_number_and_time(tmp_path, name, codec, pixels):
    path = write_video(tmp_path / name, codec=codec, pixels=pixels)
    sources = list(find_sources([path]))
    assert [source.page for source in sources] == list(range(30))
    np.testing.assert_allclose([source.time for source in sources], np.arange(30) / 10, atol=2e-3)
    images = [source.read(None).colours for source in sources]
    if pixels == "gray16le":
        assert images[0].dtype == np.uint16
        images = [image / 257 for image in images]
    assert [number_in(image) for image in images] == list(range(30))
    assert images[0].shape == ((48, 64) if pixels.startswith("gray") else (48, 64, 3))


def test_some_frames_of_a_video_are_read(tmp_path):
    path = write_video(tmp_path / "a.MP4", codec="mpeg4", pixels="yuv420p")
    for options, numbers in [
        ({"every": 10}, [0, 10, 20]),
        ({"pages": "3,7-9"}, [3, 7, 8, 9]),
        ({"pages": "20-", "every": 4}, [20, 24, 28]),
        ({"pages": "29"}, [29]),
    ]:
        images = tmatch.open_images(path, **options)
        assert [(name, number_in(image)) for name, image in images] == [(f"{path}[{n}]", n) for n in numbers]
        assert len(images) == len(numbers)
    sources = find_sources([path, path], every=10)
    assert sources.total is None
    assert [sources.total for _ in sources][-1] == sources.total == 6


def test_what_a_camera_was_turned_by_is_undone(tmp_path):
    path = write_video(tmp_path / "a.mp4", codec="mpeg4", pixels="yuv420p")
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44  # 3 x 3 numbers in fixed point
    upright = next(iter(tmatch.open_images(path, pages="3")))[1]
    for turned, numbers in [(1, (0, -1, 1, 0)), (2, (-1, 0, 0, -1)), (3, (0, 1, -1, 0))]:
        for i, number in zip((0, 1, 3, 4), numbers, strict=True):
            data[matrix + 4 * i : matrix + 4 * i + 4] = (number * 65536).to_bytes(4, "big", signed=True)
        path.write_bytes(data)
        np.testing.assert_array_equal(
            next(iter(tmatch.open_images(path, pages="3")))[1], np.rot90(upright, turned)
        )


def test_a_video_with_a_hole_is_read_equally_each_time(tmp_path):
    path, noise = (
        tmp_path / "a.avi",
        np.random.default_rng(0).integers(100, 200, (120, 160, 3), dtype=np.uint8),
    )
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for number in range(40):
            seen = noise.copy()
            seen[20:52, 2 * number : 2 * number + 32] = 255 * (number % 2)
            frame = av.VideoFrame.from_ndarray(seen, format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    path.write_bytes(content)
    read = [[pixels.tobytes() for _, pixels in tmatch.open_images(path)] for _ in range(30)]
    assert len(read[0]) > 30
    assert all(again == read[0] for again in read)


def test_a_video_that_breaks_off_is_read_up_to_there(tmp_path):
    path = write_video(tmp_path / "a.mp4", codec="mpeg4", pixels="yuv420p", movflags="faststart")
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 4])
    with pytest.warns(UserWarning, match=r'a\.mp4" announces 30 frames, but only \d\d can be read'):
        sources = list(find_sources([path]))
    assert 5 < len(sources) < 30
    for name, content in [
        ("text.mp4", b"no video at all"),
        ("list.mp4", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"),
    ]:
        (tmp_path / name).write_bytes(content)
        (source,) = find_sources([tmp_path / name])
        with pytest.raises(OSError, match=rf'cannot read ".*{name}": not a video, or a broken one \('):
            source.read(None)


def test_frames_behind_the_last_are_told(tmp_path):
    path = write_video(tmp_path / "a.mkv", 5)
    *_, source = find_sources([path], pages="3-9")
    assert source.page == 5
    with pytest.raises(
        ValueError, match=r'a\.mkv" has 5 frames, the last is 4; 5 does not exist \(the first is 0\)'
    ):
        source.read(None)


# --- stdin and pipes --------------------------------------------------------------------------------------


def test_stdin_is_read_once_for_all_of_its_pages(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", DEEP, photometric="minisblack")
    data = (tmp_path / "a.tif").read_bytes()
    for pages, numbers in [("3", [3]), ("all", range(12)), ("10-", [10, 11])]:
        sources = list(find_sources(["-", "-"], pages=pages, stdin=io.BytesIO(data)))
        assert [source.title for source in sources] == [f"-[{number}]" for number in numbers] * 2
        for source in sources:
            np.testing.assert_array_equal(source.read(None).colours, DEEP[source.page])
    for content, sentence in [
        (b"", 'cannot read "-": the file is empty'),
        (b"text", "not an image, or a broken"),
    ]:
        (source,) = find_sources(["-"], stdin=io.BytesIO(content))
        with pytest.raises(OSError, match=sentence):
            source.read(None)


def test_stdin_of_the_process_is_the_default(tmp_path):
    np.save(tmp_path / "a.npy", SHALLOW)
    code = "import tmatch; print([(name, int(image.sum())) for name, image in tmatch.open_images('-', pages='2')])"
    with (tmp_path / "a.npy").open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-c", code], stdin=file, capture_output=True, text=True, check=True
        )
    assert done.stdout.strip() == str([("-[2]", int(SHALLOW[2].sum()))])


def test_pipes_are_read_once(tmp_path):
    png(tmp_path / "a.png", 9)
    os.mkfifo(tmp_path / "pipe")
    data = (tmp_path / "a.png").read_bytes()
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(data))
    writer.start()
    assert [image[0, 0] for _, image in tmatch.open_images(tmp_path / "pipe", pages="all")] == [9]
    writer.join()


# --- screens ----------------------------------------------------------------------------------------------


def test_a_screen_that_is_not_there_is_told(monkeypatch):
    pytest.importorskip("mss")
    for name in ("screen:0", "screen:a", "screen:-1", "screen:1.5"):
        with pytest.raises(
            ValueError, match=rf'^"{name}" is no screen; "screen:" is all of them, "screen:1" the first$'
        ):
            find_sources([name])
    if sys.platform == "linux":
        monkeypatch.delenv("DISPLAY", raising=False)
        with pytest.raises(
            OSError, match=r'^cannot read "screen:": there is no screen that can be seen \(.*display'
        ):
            find_sources(["screen:"])


@pytest.fixture
def screen(monkeypatch):
    """Start a white screen of 320 x 240 pixels."""
    if not XVFB:
        pytest.skip("there is no X server that does without a screen")
    reader, writer = os.pipe()
    command = [
        XVFB,
        "-displayfd",
        str(writer),
        "-screen",
        "0",
        "320x240x24",
        "-wr",
        "-noreset",
        "-nolisten",
        "tcp",
    ]
    with (
        subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL) as server,
        os.fdopen(reader) as told,
    ):
        os.close(writer)
        try:
            monkeypatch.setenv("DISPLAY", f":{told.readline().strip()}")
            yield
        finally:
            server.terminate()


@pytest.mark.usefixtures("screen")
def test_screens_are_images():
    pytest.importorskip("mss")
    images = tmatch.open_images("screen:", "screen:1")
    assert len(images) == 2
    for (name, image), expected in zip(images, ["screen:", "screen:1"], strict=True):
        assert (name, image.shape, image.dtype, image.min()) == (expected, (240, 320, 3), np.uint8, 255)
    with pytest.raises(
        ValueError, match='"screen:2" is not there; the last screen is "screen:1", and "screen:"'
    ):
        find_sources(["screen:2"])


# --- memory -----------------------------------------------------------------------------------------------


def peak_of(images):
    """Return how many bytes were held at most, and how many images there were."""
    tracemalloc.start()
    try:
        count = sum(1 for _ in images)
        return tracemalloc.get_traced_memory()[1], count
    finally:
        tracemalloc.stop()


def test_one_image_at_a_time_is_in_memory(tmp_path):
    frames = np.broadcast_to(np.arange(1000, dtype=np.uint8), (40, 1000, 1000))  # 1 MB each
    tifffile.imwrite(tmp_path / "a.tif", frames, photometric="minisblack", compression="zlib")
    write_video(tmp_path / "a.mkv", 60, size=(1000, 800))
    for name, count in [("a.tif", 40), ("a.mkv", 60)]:
        peak, read = peak_of(tmatch.open_images(tmp_path / name, pages="all"))
        assert read == count
        assert peak < 8e6, name


def test_a_link_that_goes_round_in_a_circle_stops_no_folder(tmp_path):
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "b.png")
    first, second = find_sources([str(tmp_path)])
    assert first.title.endswith("a.png")
    with pytest.raises(OSError, match=r'cannot read ".*b\.png": too many levels of symbolic links'):
        second.read(None)


def test_a_folder_of_many_files_is_read_file_by_file(tmp_path):
    for number in range(300):
        png(tmp_path / f"{number}.png", number % 251)
    images = tmatch.open_images(tmp_path)
    assert len(images) == 300
    for number, (name, image) in enumerate(images):
        assert (name, image[0, 0]) == (f"{tmp_path}/{number}.png", number % 251)
        Path(name).unlink()
        if number + 1 < 300:
            png(tmp_path / f"{number + 1}.png", (number + 1) % 251)  # what is there when its turn comes


def test_files_are_closed(tmp_path):
    for name in ("deep.tif", "a.gif", "a.npy"):
        STACKS[name](tmp_path / name)
    before = len(list(Path("/proc/self/fd").iterdir()))
    first, *_ = find_sources([tmp_path], pages="all")
    first.read(None)
    for _ in find_sources([tmp_path], pages="all"):
        _.read(None)
    del first, _
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# --- faults -----------------------------------------------------------------------------------------------


def test_faults_of_an_image_are_told_when_it_is_read(tmp_path):
    noise = RNG.integers(0, 256, (5, 100, 100), dtype=np.uint8)
    write_pages(tmp_path / "short.tif", noise, compression="zlib")
    with tifffile.TiffFile(tmp_path / "short.tif") as file:
        offset, size = file.pages[3].dataoffsets[0], file.pages[3].databytecounts[0]
    data = bytearray((tmp_path / "short.tif").read_bytes())
    data[offset : offset + size] = bytes(size)
    (tmp_path / "short.tif").write_bytes(data)
    (tmp_path / "text.png").write_bytes(b"no image at all")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "gone.png").symlink_to("nowhere")
    good = png(tmp_path / "z.png", 5)
    told = {}
    for source in find_sources([tmp_path], pages="all"):
        try:
            source.read(None)
        except OSError as error:
            told[source.title.removeprefix(f"{tmp_path}/")] = str(error)
    assert told.keys() == {"short.tif[3]", "text.png", "empty.png", "gone.png"}
    for name, sentence in told.items():
        assert f'"{tmp_path}/{name}"' in sentence
        assert "\n" not in sentence
    assert names(good) == [str(good)]


def test_pages_behind_the_last_are_refused_at_once_or_as_faults_of_their_file(tmp_path):
    path = tmp_path / "a.tif"
    write_tiff(path, DEEP, photometric="minisblack")
    png(tmp_path / "b.png")
    for image, text, sentence in [
        (path, "3-12", r'a\.tif" has 12 pages, the last is 11; 12 does not exist \(the first is 0\)$'),
        (path, "20-", r'a\.tif" has 12 pages, the last is 11; 20 does not exist'),
        (tmp_path / "b.png", "1", r'b\.png" has a single image; 1 does not exist \(the first is 0\)$'),
    ]:
        with pytest.raises(ValueError, match=sentence):
            find_sources([image], pages=text)
    *good, bad = find_sources([tmp_path], pages="10-11")
    assert [source.page for source in good] == [10, 11]
    assert bad.title == f"{tmp_path / 'b.png'}[10]"
    with pytest.raises(ValueError, match=r'b\.png" has a single image; 10 does not exist'):
        bad.read(None)
    for page in (12, -1):
        with pytest.raises(ValueError, match=rf'a\.tif" has 12 pages, the last is 11; {page} does not exist'):
            tmatch.read_image(path, page=page)


def test_faults_of_the_arguments_are_told_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    for folder in ("nested/one", "nested/two", "nested/.git"):
        Path(folder).mkdir(parents=True)
    Path("nested/a.txt").write_bytes(b"")
    for image, sentence in [
        ("missing.png", '^cannot read "missing.png": no such file or directory$'),
        ("", '^cannot read "": no such file or directory$'),
        ("a\0b", "^cannot read .*: embedded null"),
        ("*.png", r'^no image matches "\*\.png"$'),
        ("nested/*", r'^no image matches "nested/\*", but 3 other names do$'),
        ("empty", '^there is no image in the folder "empty"$'),
        ("nested", r'in the folder "nested"; folders in it are not entered \(2\), which "nested/\*\*" does$'),
    ]:
        with pytest.raises((OSError, ValueError), match=sentence):
            tmatch.open_images(image)
    with pytest.raises(ValueError, match="^no image is named; name files, folders, globs, - or screen:$"):
        tmatch.open_images()
    with pytest.raises(
        ValueError, match="^`every` is 0; it must be 1 for all frames, 2 for every second one, or more"
    ):
        tmatch.open_images(".", every=0)
    with pytest.raises(
        TypeError, match="^`images` are paths, each an argument of its own, but one of them is a list$"
    ):
        tmatch.open_images(["a.png", "b.png"])


@each(
    "name, module, extra",
    [("a.mp4", "av", "video"), ("screen:1", "mss", "screen"), ("a.zarr", "zarr", "zarr")],
)
def test_an_extra_that_is_missing_is_named(tmp_path_factory, name, module, extra):
    folder = tmp_path_factory.mktemp("extra")
    (folder / "a.zarr").mkdir()
    (folder / "a.zarr" / "zarr.json").write_bytes(b"{}")
    (folder / "a.mp4").write_bytes(b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setitem(sys.modules, module, None)
        with pytest.raises(
            ValueError, match=rf"^\"{name}\" is .*; install it with: pip install 'tmatch\[{extra}\]'$"
        ):
            find_sources([name])


def test_warnings_are_as_before_after_threads_have_read(tmp_path):
    for number in range(40):
        png(tmp_path / f"{number}.png")
    sources = list(find_sources([tmp_path])) * 5
    with warnings.catch_warnings():
        before = list(warnings.filters)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda source: source.read(None), sources))
        assert warnings.filters == before
