"""Volumes of any real numbers, in both precisions: every score is held against the definition in long double."""

import functools
import math
import re

import numpy as np
import pytest

import hard_images
import oracle
import tmatch
from hard_images import hard_image
from loops import each
from tmatch._scoring.volumes.template import VolumeTemplate
from tmatch._scoring.volumes.tile import VolumeTile

pytestmark = pytest.mark.filterwarnings("error")

BOUNDS = {"double": 1e-9, "single": 1e-4}  # what match_template promises
SHAPE, WINDOW, TILE = (12, 34, 40), (4, 6, 5), (5, 20, 17)

names = pytest.mark.parametrize("name", hard_images.NAMES)
precisions = pytest.mark.parametrize("precision", BOUNDS)
dtypes = pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u2", "i2", "i4", "f2", "f4", "f8"])


def hard_volume(name, shape=SHAPE, *, along=False):
    """The hard image of a name, cut into slices one below the other; with `along`, beside each other."""
    depth, height, width = shape
    if along:
        image = hard_image(name, (height, width * depth))
        return np.moveaxis(image.reshape(height, depth, width), 1, 0).copy()
    return hard_image(name, (height * depth, width)).reshape(shape).copy()


def zncc_of(image, template):
    """The scores of all windows, fast enough for whole maps."""
    windows = np.lib.stride_tricks.sliding_window_view(image, template.shape)
    rows = windows.reshape(-1, template.shape[2])  # each window as an image of its own
    flat = np.ascontiguousarray(rows).reshape(-1, template.size)
    positions = np.column_stack([np.arange(len(flat)), np.zeros(len(flat), int)])
    scores = hard_images.zncc_at(flat, template.reshape(1, -1), positions)
    return scores.reshape(windows.shape[:3])


@functools.cache
def searched(name, *, along=False):
    """A hard volume, a template cut from its middle, and scores by definition."""
    volume = hard_volume(name, along=along)
    places = [(n - k) // 2 for n, k in zip(SHAPE, WINDOW, strict=True)]
    template = volume[tuple(slice(p, p + k) for p, k in zip(places, WINDOW, strict=True))].copy()
    if np.ptp(template) == 0:
        template[1, 2, 3] += 1 if np.abs(template).max() < 1e3 else -template[1, 2, 3] // 2
    if np.ptp(template) == 0:
        template = np.arange(template.size).reshape(WINDOW)
    return volume, template, zncc_of(volume, template)


def are_constant(volume, window=WINDOW):
    windows = np.lib.stride_tricks.sliding_window_view(volume, window)
    return windows.max(axis=(3, 4, 5)) == windows.min(axis=(3, 4, 5))


def assert_scores(scores, expected, precision):
    assert scores.dtype == (np.float64 if precision == "double" else np.float32)
    assert np.all(np.abs(scores) <= 1)  # not so for NaN either
    np.testing.assert_allclose(scores, expected, rtol=0, atol=BOUNDS[precision])


# --- equals the definition --------------------------------------------------------------------------


@dtypes
@precisions
@each("tile", [(99, 99, 99), (2, 5, 9), (1, 1, 3)])
def test_scores_equal_the_oracle(draw, execute, dtype, precision, tile):
    execute(tile=tile, min_compiled_side=1)
    image, template = draw((7, 9, 11), dtype), draw((3, 4, 2), dtype, 1)
    expected, valid, _ = oracle.score(image, template, "zncc", channel_axis=None)
    scores = tmatch.match_template(image, template, precision=precision, channel_axis=None)
    assert_scores(scores, expected, precision)
    np.testing.assert_array_equal(tmatch.score_validity(image, template, channel_axis=None), valid)


@names
@precisions
@each("along", [False, True])
def test_every_window_of_a_hard_volume_keeps_its_score(execute, name, precision, along):
    execute(tile=TILE, min_compiled_side=1)
    volume, template, expected = searched(name, along=along)
    scores = tmatch.match_template(volume, template, precision=precision)
    assert_scores(scores, expected, precision)
    constant = are_constant(volume)
    assert np.all(scores[constant] == 0)
    np.testing.assert_array_equal(tmatch.score_validity(volume, template), ~constant)


@precisions
@each(
    "window", [(1, 6, 5), (4, 1, 5), (4, 6, 1), (12, 6, 5), (4, 34, 40), (12, 34, 40), (1, 1, 2), (12, 1, 1)]
)
@each("name", ["flat 1e6 beside texture 1, f4", "offset 1e8, contrast 1e-6, f8", "one pixel at the top, u2"])
def test_templates_may_be_as_thin_and_as_large_as_the_volume(execute, precision, window, name):
    execute(tile=(5, 20, 17), min_compiled_side=1)
    volume = hard_volume(name)
    template = volume[tuple(slice(k) for k in window)].copy()
    if np.ptp(template) == 0:
        template = np.arange(template.size).reshape(window)
    scores = tmatch.match_template(volume, template, precision=precision, channel_axis=None)
    assert_scores(scores, zncc_of(volume, template), precision)


@precisions
@pytest.mark.parametrize("depth", [40, 64, 65])
def test_templates_may_be_deep(draw, execute, precision, depth):
    execute(min_compiled_side=1)
    volume = draw((90, 20, 22), "f4")
    template = volume[3 : 3 + depth, 4:9, 5:11]
    scores = tmatch.match_template(volume, template, precision=precision)
    assert_scores(scores, zncc_of(volume, template), precision)
    assert scores[3, 4, 5] > 1 - BOUNDS[precision]


# --- windows about each bound -----------------------------------------------------------------------


@precisions
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("level", [0, 1, 300])
@each("contrast", 10.0 ** -np.arange(0, 13, 0.5))
def test_no_contrast_is_just_too_faint_to_be_noticed(execute, precision, dtype, level, contrast):
    execute(tile=(9, 99, 99), min_compiled_side=1)
    volume = np.random.default_rng(5).normal(size=(10, 16, 24))
    volume[:, :, 12:] = level + contrast * volume[:, :, 12:]
    volume = volume.astype(dtype)
    template = volume[3:6, 4:8, 15:20].copy()
    if np.ptp(template) == 0:
        template = volume[3:6, 4:8, 1:6].copy()
    scores = tmatch.match_template(volume, template, precision=precision)
    assert_scores(scores, zncc_of(volume, template), precision)
    assert np.all(scores[are_constant(volume, template.shape)] == 0)


@precisions
@pytest.mark.parametrize("scale", [1e-320, 1e-308, 1e-281, 1e-200, 1e200, 1e307])
def test_no_scale_is_too_small_or_too_large(draw, precision, scale):
    volume = draw((9, 20, 22)) * scale
    template = volume[2:6, 3:9, 4:9].copy()
    expected = zncc_of(np.ldexp(volume, -math.frexp(scale)[1]), np.ldexp(template, -math.frexp(scale)[1]))
    assert_scores(tmatch.match_template(volume, template, precision=precision), expected, precision)


@precisions
@pytest.mark.parametrize("repeated", [0, 1, 2])
def test_volumes_that_are_the_same_along_an_axis_keep_their_scores(draw, precision, repeated):
    """Errors of transforms add up where rows or slices are alike."""
    shape = [24, 64, 64]
    shape[repeated] = 1
    volume = np.broadcast_to(draw(tuple(shape)), (24, 64, 64)) * 1.0
    volume[8:16, 20:40, 20:40] += draw((8, 20, 20), seed=1) * 0.05
    template = volume[8:14, 22:32, 22:32] + draw((6, 10, 10), seed=2) * 0.05
    positions = np.random.default_rng(0).integers(0, (19, 55, 55), (300, 3))
    windows = np.stack([volume[z : z + 6, y : y + 10, x : x + 10] for z, y, x in positions])
    expected = [zncc_of(window, template).item() for window in windows]
    scores = tmatch.match_template(volume, template, precision=precision)
    np.testing.assert_allclose(scores[tuple(positions.T)], expected, rtol=0, atol=BOUNDS[precision])


# --- what changes no score --------------------------------------------------------------------------


@pytest.mark.parametrize("tile", [(1, 30, 3), (7, 9, 11), None])
@precisions
@each("name", ["exp(8 normal), f4", "texture 1 about 1000, f2", "fading to single levels, u2"])
def test_any_tiles_will_do(execute, name, precision, tile):
    execute(tile=tile, min_compiled_side=1)
    volume, template, expected = searched(name)
    assert_scores(tmatch.match_template(volume, template, precision=precision), expected, precision)


@pytest.mark.parametrize("name", ["one pixel 1e12, f4", "plateaus + contrast fading to 1e-9, f8"])
@precisions
def test_threads_change_no_byte(execute, name, precision):
    execute(tile=TILE, min_compiled_side=1, cores=2, threaded_work=0)
    volume, template, _ = searched(name)
    one, two = (tmatch.match_template(volume, template, precision=precision, workers=w) for w in (1, 2))
    assert one.tobytes() == two.tobytes()


@precisions
@pytest.mark.parametrize("dtype", ["u1", "i2", "f8"])
def test_layouts_and_byte_orders_change_no_byte(draw, execute, layout, precision, dtype):
    execute(tile=TILE, min_compiled_side=1)
    volume, template = draw(SHAPE, dtype), draw(WINDOW, dtype, 1)
    expected = tmatch.match_template(volume, template, precision=precision)
    scores = tmatch.match_template(layout(volume), layout(template), precision=precision)
    assert scores.tobytes() == expected.tobytes()


@precisions
@pytest.mark.parametrize("dtype", ["u2", "i8", "f4", "f8"])
def test_8_bits_of_any_dtype_give_the_bits_that_8_bits_give(draw, execute, precision, dtype):
    execute(tile=TILE, min_compiled_side=1)
    volume, template = draw(SHAPE, "u1"), draw(WINDOW, "u1", 1)
    expected = tmatch.match_template(volume, template, precision=precision)
    scores = tmatch.match_template(volume.astype(dtype), template.astype(dtype), precision=precision)
    assert scores.tobytes() == expected.tobytes()


def test_integers_are_exact(draw, execute):
    """Tiles and sums of squares change no bit; nor does a template that is brighter."""
    volume, template = draw(SHAPE, "u1"), draw(WINDOW, "u1", 1) // 2
    maps = []
    for tile in [(99, 99, 99), TILE, (1, 2, 3)]:
        execute(tile=tile, min_compiled_side=1)
        maps += [
            tmatch.match_template(volume, template),
            tmatch.match_template(volume, template + np.uint8(100)),
        ]
    assert all(scores.tobytes() == maps[0].tobytes() for scores in maps)


def test_a_copy_is_located_in_a_volume_of_any_dtype(execute):
    execute(min_compiled_side=1)
    rng = np.random.default_rng(3)
    volume = rng.normal(100, 20, (30, 40, 50))
    template = rng.normal(100, 20, (8, 9, 10))
    volume[11:19, 6:15, 13:23] = template
    for dtype in ("u1", "u2", "f4", "f8"):
        [match] = tmatch.locate(volume.astype(dtype), template.astype(dtype))
        assert match.box.start == (11, 6, 13)
        assert match.score == pytest.approx(1, abs=1e-6)


# --- what is refused, and how much is done ----------------------------------------------------------


@precisions
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@each("dtype", ["f2", "f4", "f8"])
@each("place", [(0, 0, 0), (11, 33, 39), (7, 20, 30)])
def test_what_is_not_finite_is_refused_by_its_place(execute, precision, value, dtype, place):
    execute(tile=TILE, min_compiled_side=1)
    volume = hard_volume("texture 1 about 1000, f4").astype(dtype)
    template = volume[:4, :6, :5].copy()
    template[0, 0, 0] = 990
    volume[place] = value
    sentence = f"`image` is {value} at {list(place)}; all pixels must be finite: replace NaN and infinity"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        tmatch.match_template(volume, template, precision=precision)


@names
@precisions
def test_work_is_bounded(monkeypatch, name, precision):
    """Work is counted, not timed: tiles that are scored in double precision, and pixels of windows by definition."""
    volume = hard_volume(name, (40, 48, 56))
    template = volume[10:26, 20:36, 20:36].copy()
    if np.ptp(template) == 0:
        template = np.arange(template.size).reshape(template.shape)
    tiles, windows = [], []
    score_double, score_positions = VolumeTile.score_double, VolumeTemplate.score_positions

    def counted_tile(tile):
        tiles.append(tile.pixels.size)
        return score_double(tile)

    def counted_windows(prepared, pixels, positions):
        windows.append(len(positions) * template.size)
        return score_positions(prepared, pixels, positions)

    monkeypatch.setattr(VolumeTile, "score_double", counted_tile)
    monkeypatch.setattr(VolumeTemplate, "score_positions", counted_windows)
    tmatch.match_template(volume, template, precision=precision)
    # A tile takes about 30 ns a pixel, and a pixel of a window 0.5.
    assert 30 * sum(tiles) + 0.5 * sum(windows) < 500 * volume.size
