"""Images that are stored in blocks: any region is what the whole has there, and each block is read once."""

import itertools
import pickle
import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile

import tmatch
from tmatch._arrays.lazy import is_lazy
from tmatch._io import decoders, images
from tmatch._io.blocks import cache, mapped
from tmatch._io.blocks.array import BlockArray
from tmatch._io.given import read_given
from tmatch._io.sources import find_sources

zarr = pytest.importorskip("zarr")
pytestmark = pytest.mark.engine_free

RNG = np.random.default_rng(3)
GREY = RNG.integers(0, 256, (203, 157), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (203, 157), dtype=np.uint16)
COLOUR = RNG.integers(0, 256, (203, 157, 3), dtype=np.uint8)
FLOATS = RNG.normal(size=(203, 157)).astype(">f4")
PAGES = RNG.integers(0, 65536, (2, 3, 90, 70), dtype=np.uint16)


@pytest.fixture(autouse=True)
def all_are_large(monkeypatch):
    monkeypatch.setattr(decoders.pages, "LARGE_PIXELS", 1540)


def write_zarr(path, pixels, **options):
    zarr.create_array(str(path), data=pixels, **options)
    return pixels


def write_tiff(path, pixels, **options):
    tifffile.imwrite(path, pixels, **{"photometric": "rgb" if pixels.ndim == 3 else "minisblack", **options})
    return pixels


def write_npy(path, pixels):
    np.save(path, pixels)
    return pixels


def write_planes(path, pixels, **options):
    tifffile.imwrite(path, np.moveaxis(pixels, -1, 0), planarconfig="separate", photometric="rgb", **options)
    return pixels


STORED = {
    "two.zarr": lambda path: write_zarr(path, GREY, chunks=(32, 40), zarr_format=2),
    "three.zarr": lambda path: write_zarr(path, DEEP, chunks=(32, 40)),
    "raw.zarr": lambda path: write_zarr(path, DEEP, chunks=(32, 40), compressors=None),
    "colour.zarr": lambda path: write_zarr(path, COLOUR, chunks=(50, 40, 2)),
    "one.zarr": lambda path: write_zarr(path, GREY[..., None] > 99, chunks=(50, 40, 1))[..., 0] * np.uint8(255),
    "floats.zarr": lambda path: write_zarr(path, FLOATS, chunks=(33, 157)),
    "big_endian.zarr": lambda path: write_zarr(path, DEEP.astype(">u2"), chunks=(32, 40), zarr_format=2),
    "sharded.zarr": lambda path: write_zarr(path, DEEP, chunks=(16, 20), shards=(64, 80)),
    "fortran.zarr": lambda path: write_zarr(path, GREY, chunks=(32, 40), order="F", zarr_format=2),
    "tiles.tif": lambda path: write_tiff(path, GREY, tile=(32, 48)),
    "strips.tif": lambda path: write_tiff(path, DEEP, rowsperstrip=7, compression="zlib"),
    "big.tif": lambda path: write_tiff(path, COLOUR, tile=(32, 48), compression="zlib", bigtiff=True, predictor=True),
    "other_endian.tif": lambda path: write_tiff(path, DEEP, byteorder=">", tile=(32, 48)),
    "raw.tif": lambda path: write_tiff(path, FLOATS.astype("f4"), byteorder=">"),
    "white.tif": lambda path: 255 - write_tiff(path, GREY, photometric="miniswhite", tile=(32, 48), compression="zlib"),
    "planes.tif": lambda path: write_planes(path, COLOUR, tile=(32, 48)),
    "raw_planes.tif": lambda path: write_planes(path, COLOUR),
    "a.npy": lambda path: write_npy(path, DEEP),
    "colour.npy": lambda path: write_npy(path, COLOUR),
    "fortran.npy": lambda path: write_npy(path, np.asfortranarray(FLOATS)),
}  # fmt: skip


def regions(shape, count=12):
    """Return random regions, small and large, in no order."""
    rng = np.random.default_rng(1)
    for _ in range(count):
        corners = [sorted(rng.choice(n + 1, 2, replace=False).tolist()) for n in shape]
        yield tuple(itertools.starmap(slice, corners))


def lazy_of(path):
    pixels, valid = read_given("image", path, 0.5, in_parts=True)
    assert is_lazy(pixels)
    assert valid is None
    return pixels


@pytest.mark.parametrize("name", STORED)
def test_any_region_is_what_the_whole_has_there(tmp_path, name):
    expected = STORED[name](tmp_path / name)
    lazy = lazy_of(tmp_path / name)
    assert (lazy.shape, lazy.dtype) == (expected.shape, expected.dtype.newbyteorder("="))
    some = [*regions(expected.shape)]
    for region, part in zip(some, lazy.read_many(some), strict=True):
        for read in (part, lazy[region]):
            np.testing.assert_array_equal(read, expected[region])
            assert read.dtype == lazy.dtype
    whole = [*lazy.regions()]
    assert sum(np.prod([part.stop - part.start for part in region]) for region in whole) == expected.size
    np.testing.assert_array_equal(tmatch.read_image(tmp_path / name), expected)


@pytest.mark.parametrize("name", ["three.zarr", "big.tif", "a.npy"])
def test_templates_and_small_images_are_read_whole(tmp_path, name, monkeypatch):
    expected = STORED[name](tmp_path / name)
    assert not is_lazy(read_given("template", tmp_path / name, 1)[0])
    monkeypatch.setattr(decoders.pages, "LARGE_PIXELS", 10**6)
    pixels, _ = read_given("image", tmp_path / name, 0.5, in_parts=True)
    assert not is_lazy(pixels)
    np.testing.assert_array_equal(pixels, expected)


class Dataset:
    """An array of another library: as those of h5py."""

    def __init__(self, values, chunks):
        self.values, self.chunks, self.shape, self.dtype = values, chunks, values.shape, values.dtype

    def __getitem__(self, index):
        assert isinstance(index, tuple)
        return self.values[index]


def test_arrays_of_others_are_read_in_parts(tmp_path):
    write_zarr(tmp_path / "a.zarr", DEEP, chunks=(30, 50))
    opened = zarr.open(str(tmp_path / "a.zarr"), mode="r")
    for array in (opened, Dataset(DEEP, (30, 50)), Dataset(DEEP, None)):
        lazy = lazy_of(array)
        for region in regions(DEEP.shape):
            np.testing.assert_array_equal(lazy[region], DEEP[region])
    assert not is_lazy(read_given("image", np.asarray(DEEP).view(np.memmap), 0.5, in_parts=True)[0])


# --- pages, levels and channels -----------------------------------------------------------------------


def write_ome_zarr(path, version):
    """Write two times and three channels, in two levels."""
    group = zarr.create_group(str(path), zarr_format=2 if version == "0.4" else 3)
    for level, pixels in enumerate((PAGES, PAGES[..., ::2, ::2])):
        group.create_array(str(level), data=pixels, chunks=(1, 1, 32, 32))
    axes = [{"name": name} for name in "tcyx"]
    about = {
        "multiscales": [{"axes": axes, "datasets": [{"path": "0"}, {"path": "1"}]}],
        "omero": {"channels": [{"label": "DAPI"}, {"label": "GFP"}, {"label": "0"}]},
    }
    group.attrs.update(about if version == "0.4" else {"ome": {"version": version, **about}})


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_levels_and_channels_of_ome_zarr(tmp_path, version):
    path = tmp_path / "a.zarr"
    write_ome_zarr(path, version)
    for level, whole in enumerate((PAGES, PAGES[..., ::2, ::2])):
        for channel, number in [("DAPI", 0), (1, 1), ("2", 2), ("0", 2), (0, 0), ("GFP", 1)]:
            opened = tmatch.open_images(path, pages="all", level=level, channel=channel)
            assert len(opened) == 2
            for page, (name, image) in enumerate(opened):
                assert name == f"{path}[{page}]"
                np.testing.assert_array_equal(image, whole[page, number])
    assert len(tmatch.open_images(path, pages="all")) == 6


def test_levels_and_channels_of_tiff(tmp_path):
    with tifffile.TiffWriter(tmp_path / "sub.tif") as file:
        file.write(DEEP, subifds=1, tile=(32, 32))
        file.write(DEEP[::2, ::2], subfiletype=1, tile=(32, 32))
    with tifffile.TiffWriter(tmp_path / "pages.tif") as file:
        for step in (1, 2, 4):
            file.write(DEEP[::step, ::step], subfiletype=int(step > 1), tile=(32, 32), metadata=None)
    tifffile.imwrite(tmp_path / "a.ome.tif", PAGES, metadata={"axes": "TCYX"})
    for name, level in [("sub.tif", 0), ("sub.tif", 1), ("pages.tif", 0), ("pages.tif", 1), ("pages.tif", 2)]:
        (source,) = find_sources([tmp_path / name], level=level)
        read = source.read(images.whole_part)
        assert is_lazy(read.colours)
        np.testing.assert_array_equal(read.colours[:], DEEP[:: 2**level, :: 2**level])
        assert source.level == level
    opened = [image for _, image in tmatch.open_images(tmp_path / "a.ome.tif", pages="all", channel=1)]
    np.testing.assert_array_equal(opened, PAGES[:, 1])


def test_what_is_not_there_is_refused(tmp_path):
    write_ome_zarr(tmp_path / "a.zarr", "0.5")
    STORED["three.zarr"](tmp_path / "b.zarr")
    write_npy(tmp_path / "a.npy", GREY)
    write_tiff(tmp_path / "a.tif", GREY)
    for name, options, sentence in [
        ("a.zarr", {"level": 2}, 'a.zarr" has 2 levels, the last is 1; 2 does not exist'),
        ("a.zarr", {"channel": "red"}, 'a.zarr" has 3 channels, from 0 to 2, 0 is "DAPI", 1 is "GFP", 2 is "0"; the'),
        ("b.zarr", {"level": 1}, 'b.zarr" has a single level; 1 does not exist (0 is the full resolution)'),
        ("b.zarr", {"channel": 0}, 'b.zarr" has no axis of channels; the channel "0" does not exist'),
        ("a.npy", {"level": 3}, 'a.npy" has a single level; 3 does not exist'),
        ("a.tif", {"channel": 1}, 'a.tif" has no axis of channels; the channel "1" does not exist'),
        ("a.tif", {"level": -1}, "`level` is -1; it must be 0 for the full resolution"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=re.escape(sentence)):
            list(tmatch.open_images(tmp_path / name, **options))


# --- each block is loaded once ------------------------------------------------------------------------


class Counting(BlockArray):
    """Blocks that count how often each is loaded."""

    def __init__(self, values, sides):
        self.counts, self.values, self.most, self.lock = Counter(), values, 0, threading.Lock()
        super().__init__("`image`", values.shape, values.dtype, sides, self.count)

    def count(self, index, region):
        with self.lock:
            self.counts[index] += 1
            self.most = max(self.most, self._cache.held)
        return self.values[region].copy()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("sides", "tile"), [((32, 40), (70, 90)), ((100, 30), (33, 200)), ((64, 400), (50, 50))]
)
def test_a_pass_over_overlapping_tiles_loads_each_block_once(monkeypatch, workers, sides, tile):
    monkeypatch.setattr(cache, "LEAST_BYTES", 2000)
    lazy = Counting(RNG.integers(0, 256, (500, 400), dtype=np.uint8), sides)
    tiles = [
        (slice(y, min(y + tile[0] + 20, 500)), slice(x, min(x + tile[1] + 20, 400)))
        for y in range(0, 480, tile[0])
        for x in range(0, 380, tile[1])
    ]

    def read(region):
        np.testing.assert_array_equal(lazy[region], lazy.values[region])

    with ThreadPoolExecutor(workers) as pool:
        for first in range(
            0, len(tiles), workers
        ):  # the others wait for the slowest, as tiles take their time
            list(pool.map(read, tiles[first : first + workers]))
    assert set(lazy.counts.values()) == {1}
    rows = -(-(tile[0] + 20) // sides[0]) + 1
    assert lazy.most <= 400 * rows * sides[0] + (tile[0] + 20 + 2 * sides[0]) * min(
        400, tile[1] + 20 + 2 * sides[1]
    )


def test_no_more_is_kept_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(cache, "LEAST_BYTES", 3000)
    monkeypatch.setattr(cache, "MOST_BYTES", 10_000)
    lazy = Counting(np.zeros((500, 400), np.uint8), (20, 20))
    for _ in range(2):
        for top in range(0, 500, 50):
            lazy[top : top + 50]
    assert 8000 < lazy.most <= 10_000
    assert set(lazy.counts.values()) == {2}


def test_many_regions_are_read_block_by_block(monkeypatch):
    monkeypatch.setattr(cache, "LEAST_BYTES", 0)
    monkeypatch.setattr(cache, "MOST_BYTES", 0)
    lazy = Counting(RNG.integers(0, 256, (500, 400), dtype=np.uint8), (50, 50))
    some = [*regions((500, 400), 60)]
    for region, part in zip(some, lazy.read_many(some), strict=True):
        np.testing.assert_array_equal(part, lazy.values[region])
    assert set(lazy.counts.values()) == {1}


def test_a_block_that_two_ask_for_is_loaded_by_the_first():
    begun, go_on = threading.Event(), threading.Event()
    loads = []

    def load(index, region):
        loads.append(index)
        begun.set()
        assert go_on.wait(10)
        return np.full([part.stop - part.start for part in region], index[0])

    lazy = BlockArray("`image`", (10, 10), np.dtype(int), (5, 10), load)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lazy.__getitem__, np.s_[0:3])
        assert begun.wait(10)
        second = pool.submit(lazy.__getitem__, np.s_[2:5])
        go_on.set()
        assert first.result().sum() == second.result().sum() == 0
    assert loads == [(0, 0)]


MAPPED = {
    "a.npy": (write_npy, (4096, 8192), 0),
    "fortran.npy": (lambda path, pixels: write_npy(path, np.asfortranarray(pixels)), (4096, 8192), 1),
    "raw.tif": (write_tiff, (4096, 8192), 0),
    "raw_planes.tif": (write_planes, (2048, 5461, 3), 0),
}


def resident_bytes(path):
    """Return how much of a mapped file is in the memory of this process."""
    maps = Path("/proc/self/smaps").read_text()
    sizes = re.findall(rf"{re.escape(str(path))}\n(?:\w+: .*\n)*?Rss: +(\d+) kB", maps)
    return 1024 * sum(map(int, sizes))


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="what is in memory is told by Linux")
@pytest.mark.parametrize("name", MAPPED)
def test_little_of_a_mapped_file_stays_in_memory(tmp_path, name, monkeypatch):
    monkeypatch.setattr(mapped, "_RESIDENT_BYTES", 2**22)
    write, shape, axis = MAPPED[name]
    expected = write(tmp_path / name, np.resize(GREY, shape))
    lazy, most = lazy_of(tmp_path / name), 0
    for start in range(0, shape[axis], shape[axis] // 16):
        region = (slice(None),) * axis + (slice(start, start + shape[axis] // 16),)
        np.testing.assert_array_equal(lazy[region], expected[region])
        most = max(most, resident_bytes(tmp_path / name))
    assert 0 < most < expected.nbytes / 2


def test_blocks_of_many_sizes():
    values = RNG.integers(0, 256, (60, 50), dtype=np.uint8)
    lazy = Counting(values, ([10, 1, 29, 20], [50]))
    assert [where[0].stop - where[0].start for where in lazy.regions()] == [10, 1, 29, 20]
    for region in regions((60, 50)):
        np.testing.assert_array_equal(lazy[region], values[region])


def test_another_process_can_read(tmp_path):
    STORED["three.zarr"](tmp_path / "a.zarr")
    lazy = lazy_of(zarr.open(str(tmp_path / "a.zarr")))
    again = pickle.loads(pickle.dumps(lazy))  # noqa: S301  (just made)
    np.testing.assert_array_equal(again[3:99, 5:77], DEEP[3:99, 5:77])


# --- broken blocks ------------------------------------------------------------------------------------


def break_zarr(path, key):
    file = path / key
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def break_tiff(path, segment):
    with tifffile.TiffFile(path) as file:
        offset, count = (each[segment] for each in (file.pages[0].dataoffsets, file.pages[0].databytecounts))
    whole = bytearray(path.read_bytes())
    whole[offset : offset + count] = bytes(count)
    path.write_bytes(whole)


BROKEN = {
    "two.zarr": (lambda path: break_zarr(path, "3.2"), (3, 2), "rows 96 to 127, columns 80 to 119"),
    "three.zarr": (lambda path: break_zarr(path, "c/3/2"), (3, 2), "rows 96 to 127, columns 80 to 119"),
    "raw.zarr": (lambda path: break_zarr(path, "c/6/3"), (6, 3), "rows 192 to 202, columns 120 to 156"),
    "sharded.zarr": (lambda path: break_zarr(path, "c/1/1"), (1, 1), "rows 64 to 127, columns 80 to 156"),
    "big.tif": (lambda path: break_tiff(path, 9), (2, 1, 0), "rows 64 to 95, columns 48 to 95"),
    "strips.tif": (lambda path: break_tiff(path, 5), (5, 0), "rows 35 to 41, columns 0 to 156"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_block_is_named(tmp_path, name):
    path = tmp_path / name
    expected = STORED[name](path)
    damage, index, place = BROKEN[name]
    damage(path)
    lazy = lazy_of(path)
    for _ in range(2):
        with pytest.raises(
            OSError, match=re.escape(f'{name}" has a broken block at {[*index]} ({place}): ')
        ) as caught:
            lazy[:]
        assert re.search(
            ": [^:]+.*; copy the file again, or search other parts with --region$", str(caught.value)
        )
        assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(lazy[:30], expected[:30])


def test_a_file_that_was_cut_is_told(tmp_path):
    for name in ("tiles.tif", "a.npy"):
        STORED[name](tmp_path / name)
        lazy = lazy_of(tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(OSError, match="has a broken (block at|part)"):
            lazy[:]
        (tmp_path / name).unlink()
        with pytest.raises(OSError, match=r"has a broken (block at|part) .*: no such file or directory"):
            lazy[:]


def test_chunks_that_were_not_written_are_no_error(tmp_path):
    array = zarr.create_array(
        str(tmp_path / "a.zarr"), shape=(99, 80), chunks=(30, 30), dtype="u1", fill_value=7
    )
    array[:30, :30] = GREY[:30, :30]
    lazy = lazy_of(tmp_path / "a.zarr")
    assert (lazy[30:] == 7).all()
    np.testing.assert_array_equal(lazy[:30, :30], GREY[:30, :30])
