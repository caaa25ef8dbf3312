"""Score maps of dask arrays are those of arrays in memory, byte for byte, for any chunks; later."""

import itertools

import numpy as np
import pytest

import tmatch
from lazy_arrays import assert_same, lazily
from tmatch._engine import execution

pytestmark = pytest.mark.one_engine
da = pytest.importorskip("dask.array")

METRICS = ("zncc", "zncc", "ncc", "zcc", "cc", "ssd", "nssd", "orientation")
KINDS = ("u1", "u1", "i2", "bool", "i4", "i8", "far", "huge", "f2", "f4", "f8", ">f4", "whole", "offset", "g")


def values(rng, kind, shape):
    """Draw 8-bit numbers, or others that hold them, or some besides."""
    grey = rng.integers(0, 200, shape)
    if kind == "far":
        return grey + 2**60
    if kind == "huge":
        return np.where(rng.random(shape) < 0.1, grey - 2**62, grey)
    if kind == "whole":
        return grey.astype(float)
    if kind == "offset":
        return grey + 1e6
    if kind == "bool":
        return grey < 90
    return (grey + (rng.random(shape) if np.dtype(kind).kind == "f" else 0)).astype(kind)


def options_of(rng, metric, shape, window, dtype):
    options = {"metric": metric, "output": str(rng.choice(("valid", "valid", "same", "full")))}
    if rng.random() < 0.3:
        options["mask"] = rng.random(window) < 0.7 if rng.random() < 0.5 else rng.random(window)
    if rng.random() < 0.4:
        options["image_mask"] = rng.random(shape) < rng.choice((0.98, 2))
    if rng.random() < 0.3:
        options["precision"] = "single"
    if dtype.kind == "f" and rng.random() < 0.4:
        options["missing"] = "ignore"
    return options


@pytest.mark.parametrize("seed", range(150))  # and two chunkings of each
def test_chunks_change_nothing(seed):
    rng = np.random.default_rng(seed)
    ndim = int(rng.integers(1, 4))
    metric, kind = str(rng.choice(METRICS)), str(rng.choice(KINDS))
    shape = tuple(int(n) for n in rng.integers(9, (200, 40, 16)[ndim - 1], ndim))
    window = tuple(int(n) for n in rng.integers(3, (20, 9, 5)[ndim - 1], ndim))
    axis, channels, colours = None, shape, window
    if rng.random() < 0.3:
        axis, n = int(rng.integers(0, ndim + 1)), int(rng.integers(1, 4))
        channels, colours = ((*each[:axis], n, *each[axis:]) for each in (shape, window))
    image, template = values(rng, kind, channels), values(rng, kind, colours)
    options = options_of(rng, metric, shape, window, image.dtype)
    options["channel_axis"] = axis
    if options.get("missing") and rng.random() < 0.7:
        image[rng.random(channels) < 0.01] = np.nan
    tile = tuple(int(n) for n in rng.integers(3, 14, ndim)) if rng.random() < 0.8 else None
    with execution.using(tile=tile, min_compiled_side=1 if seed % 2 else 32):
        check(rng, image, template, options)


def check(rng, image, template, options):
    """Compare maps and validity with those in memory; what is refused there is not scored here."""
    try:
        scores = tmatch.match_template(image, template, **options)
    except ValueError:
        return
    precision = options.pop("precision", "double")
    validity = tmatch.score_validity(image, template, **options)
    if "image_mask" in options and rng.random() < 0.5:
        options["image_mask"] = lazily(rng, options["image_mask"])
    assert_same(tmatch.match_template(lazily(rng, image), template, precision=precision, **options), scores)
    assert_same(tmatch.score_validity(lazily(rng, image), template, **options), validity)


@pytest.mark.parametrize("kind", ["u1", "f4", "whole", "f8"])
@pytest.mark.parametrize("metric", ["zncc", "nssd"])
def test_larger_images(kind, metric):
    """Tiles as they are chosen."""
    rng = np.random.default_rng(3)
    image, template = values(rng, kind, (500, 620)), values(rng, kind, (31, 25))
    for chunks in (250, (500, 37), (1000, 1000)):
        lazy = da.from_array(image, chunks=chunks)
        for output in ("valid", "full"):
            expected = tmatch.match_template(image, template, metric=metric, output=output)
            assert_same(tmatch.match_template(lazy, template, metric=metric, output=output), expected)


def test_long_signals():
    rng = np.random.default_rng(3)
    image, template = values(rng, "f4", (300_000,)), values(rng, "f4", (64,))
    expected = tmatch.match_template(image, template)
    for chunks in (10_000, 77_777):
        assert_same(tmatch.match_template(da.from_array(image, chunks=chunks), template), expected)


@pytest.mark.parametrize("kind", ["u1", "u2", "f8"])
def test_colours_and_alpha(kind):
    rng = np.random.default_rng(3)
    image, template = values(rng, kind, (60, 70, 4)), values(rng, kind, (7, 9, 3))
    hidden = np.where(rng.random((60, 70)) < 0.01, 0, 2**16 - 1)
    for alpha in (2**16 - 1 if kind == "u2" else 255, hidden):
        image[..., 3] = np.minimum(alpha, np.iinfo(kind).max) if kind[0] == "u" else alpha
        lazy = da.from_array(image, chunks=(20, 33, 3))
        for options in ({}, {"metric": "ssd"}, {"image_mask": rng.random((60, 70)) < 0.99}):
            assert_same(
                tmatch.match_template(lazy, template, **options),
                tmatch.match_template(image, template, **options),
            )
    assert_same(
        tmatch.match_template(lazy[..., :3], template), tmatch.match_template(image[..., :3], template)
    )


def unread(shape, dtype="u1", chunks=50):
    """Return an array whose chunks cannot be computed."""
    return da.zeros(shape, dtype=dtype, chunks=chunks).map_blocks(_refuse, dtype=dtype)


def _refuse(_):
    msg = "a chunk was computed"
    raise AssertionError(msg)


def test_nothing_is_computed_before():
    template = values(np.random.default_rng(0), "u1", (5, 7))
    for dtype, metric in itertools.product(("u1", "f8"), ("zncc", "nssd")):
        image, mask = unread((200, 130), dtype), unread((200, 130), bool)
        scores = tmatch.match_template(image, template, metric=metric, image_mask=mask)
        assert scores.chunks == ((48, 50, 50, 48), (47, 50, 27))
        assert tmatch.score_validity(image, template, output="same").chunks == image.chunks
        with pytest.raises(AssertionError, match="a chunk was computed"):
            scores.compute(scheduler="sync")


def test_chunks_are_read_once_or_where_facts_are_needed_twice():
    template = values(np.random.default_rng(0), "u1", (5, 7))
    for dtype, metric, most in (("u1", "zncc", 1), ("f8", "zncc", 2), ("u1", "nssd", 2), ("f8", "nssd", 3)):
        read = []

        def note(block, read=read):
            read.append(block.size)
            return block

        image = da.from_array(np.arange(4200).reshape(60, 70).astype(dtype), chunks=20)
        image = image.map_blocks(note, meta=np.empty((0, 0), dtype))
        tmatch.match_template(image, template, metric=metric).compute(scheduler="sync")
        assert sum(read) == most * 4200


def test_names_tell_inputs_and_options_apart():
    rng = np.random.default_rng(0)
    first, second = (da.from_array(values(rng, "u1", (30, 30)), chunks=9) for _ in range(2))
    template, mask = values(rng, "u1", (5, 5)), rng.random((30, 30)) < 0.9
    variants = [{}, {"metric": "ncc"}, {"output": "full"}, {"min_overlap": 0.3, "output": "full"}, {"image_mask": mask},
                {"precision": "single"}, {"mask": np.eye(5)}]  # fmt: skip
    names = [tmatch.match_template(first, template, **options).name for options in variants]
    names += [tmatch.match_template(second, template).name, tmatch.match_template(first, template[::-1]).name]
    names += [tmatch.score_validity(first, template).name]
    assert len({*names}) == len(names)
    again = [tmatch.match_template(first, template, **options).name for options in variants]
    assert names[: len(variants)] == again
    assert names[0].startswith("match-template-")


def test_refusals():
    rng = np.random.default_rng(0)
    image, template = values(rng, "f8", (30, 40)), values(rng, "f8", (5, 7))
    image[13, 17] = np.nan
    lazy = da.from_array(image, chunks=10)
    with pytest.raises(ValueError, match=r"`image` is nan at \[13, 17\]"):
        tmatch.match_template(lazy, template).compute(scheduler="sync")
    with pytest.raises(ValueError, match="`out` is given, but scores of a dask array are lazy"):
        tmatch.match_template(lazy, template, out=np.empty((26, 34)))
    with pytest.raises(ValueError, match="`progress` is given, but scores of a dask array are lazy"):
        tmatch.score_validity(lazy, template, progress=print)
    with pytest.raises(ValueError, match="`workers` is 0"):
        tmatch.match_template(lazy, template, workers=0)
    with pytest.raises(ValueError, match="`template` has shape .*, larger than `image`"):
        tmatch.match_template(lazy, np.ones((50, 3)) * np.arange(3))
    with pytest.raises(TypeError, match="`image` has dtype object"):
        tmatch.match_template(lazy.astype(object), template)
    for mask in (np.ones((3, 3), bool), da.ones((3, 3), dtype=bool)):
        with pytest.raises(ValueError, match=r"`image_mask` has shape \(3, 3\)"):
            tmatch.match_template(lazy, template, image_mask=mask)
    with pytest.raises(TypeError, match="`image_mask` has dtype float64; it must hold bool"):
        tmatch.match_template(lazy, template, image_mask=lazy)
    with pytest.raises(ValueError, match="chunks of unknown sizes"):
        tmatch.match_template(lazy[lazy[:, 0] > 0], template)
