"""Images on which scores lose digits, in both precisions: every score is held against the definition in long double."""

import functools
import math
import re

import numpy as np
import pytest

import hard_images
import oracle
import tmatch
from hard_images import all_positions, are_constant, cut, hard_image, template_place, zncc_at
from loops import each
from tmatch._scoring.batch.float_tile import FloatTile
from tmatch._scoring.batch.floats import FloatTemplate

BOUNDS = {"double": 1e-9, "single": 1e-4}  # what match_template promises
SHAPE, WINDOW, TILE = (120, 160), (16, 16), (48, 56)
# No larger, as NumPy sums windows one by one beside what outshines them: "one pixel 1e12" is the slowest.
LARGE, LARGE_WINDOW = (150, 200), (40, 40)
SOME = [  # of each way in which digits are lost one
    "offset 1e8, contrast 1e-6, f8",
    "texture 1 about 1000, f2",
    "flat 1e6 beside texture 1, f4",
    "stripes of contrast 1 and 1e-6, f8",
    "one pixel 1e12, f4",
    "plateaus + contrast fading to 1e-9, f8",
    "top flat beside few levels, u2",
    "fading to single levels, i4",
]

names = pytest.mark.parametrize("name", hard_images.NAMES)
some_names = pytest.mark.parametrize("name", SOME)
precisions = pytest.mark.parametrize("precision", BOUNDS)


def searched(name, shape=SHAPE, window=WINDOW, *, across=False):
    """The image of a name, and a template cut from it."""
    image = hard_image(name, shape)
    return image, cut(image, template_place(name, shape, window, across=across), window)


@functools.cache
def expected_map(name, shape=SHAPE, window=WINDOW, *, across=False):
    """Scores by definition."""
    scores = zncc_at(*searched(name, shape, window, across=across), all_positions(np.empty(shape), window))
    return scores.reshape(np.subtract(shape, window) + 1)


def assert_scores(scores, expected, precision):
    assert scores.dtype == (np.float64 if precision == "double" else np.float32)
    assert np.all(np.abs(scores) <= 1)  # not so for NaN either
    np.testing.assert_allclose(scores, expected, rtol=0, atol=BOUNDS[precision])


@names
@precisions
@each("across", [False, True])
def test_every_window_of_a_hard_image_keeps_its_score(execute, name, precision, across):
    execute(tile=TILE, min_compiled_side=1)
    image, template = searched(name, across=across)
    scores = tmatch.match_template(image, template, precision=precision)
    assert_scores(scores, expected_map(name, across=across), precision)
    constant = are_constant(image, WINDOW)
    assert np.all(scores[constant] == 0)
    np.testing.assert_array_equal(tmatch.score_validity(image, template), ~constant)


@pytest.mark.parametrize("name", [n for n in hard_images.NAMES if not n.endswith(("i2", "u4"))])
@precisions
def test_windows_of_larger_hard_images_keep_their_scores(name, precision):
    image, template = searched(name, LARGE, LARGE_WINDOW, across=True)
    scores = tmatch.match_template(image, template, precision=precision)
    positions = hard_images.some_positions(name, image, LARGE_WINDOW, 60)
    assert_scores(scores[tuple(positions.T)], zncc_at(image, template, positions), precision)
    assert np.all(scores[are_constant(image, LARGE_WINDOW)] == 0)


@pytest.mark.engine_free
@names
def test_fast_definitions_are_those_of_the_oracle(name):
    image, template = searched(name)
    positions = hard_images.some_positions(name, image, WINDOW, 3)
    expected = [oracle.zncc(cut(image, position, WINDOW), template)[0, 0] for position in positions]
    np.testing.assert_allclose(zncc_at(image, template, positions), expected, rtol=0, atol=1e-15)
    constant = [np.ptp(cut(image, position, WINDOW)) == 0 for position in positions]
    np.testing.assert_array_equal(are_constant(image, WINDOW)[tuple(positions.T)], constant)


# --- windows about each bound -----------------------------------------------------------------------

NEAR = (40, 60)
CONTRASTS = 10.0 ** -np.arange(0, 13, 0.5)


@functools.cache
def faint_beside(contrast, level, dtype):
    """Texture, beside fainter texture on a plateau; a template of the faint; scores by definition."""
    rng = np.random.default_rng(5)
    image = rng.normal(size=NEAR)
    image[:, 30:] = level + contrast * image[:, 30:]
    image = image.astype(dtype)
    template = image[20:28, 40:49].copy()
    if np.ptp(template) == 0:
        template = rng.normal(size=(8, 9)).astype(dtype)
    scores = zncc_at(image, template, all_positions(image, template.shape))
    return image, template, scores.reshape(np.subtract(NEAR, template.shape) + 1)


@precisions
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("level", [0, 1, 300])
@each("tile", [(99, 99), (9, 10)])
@each("contrast", CONTRASTS)
def test_no_contrast_is_just_too_faint_to_be_noticed(execute, precision, dtype, level, tile, contrast):
    image, template, expected = faint_beside(contrast, level, dtype)
    execute(tile=tile, min_compiled_side=1)
    scores = tmatch.match_template(image, template, precision=precision)
    assert_scores(scores, expected, precision)
    assert np.all(scores[are_constant(image, template.shape)] == 0)


@precisions
@pytest.mark.parametrize("scale", [1e-320, 1e-308, 1e-300, 3e-282, 1e-281, 1e-200, 1e200, 1e307])
def test_no_scale_is_too_small_or_too_large(precision, scale):
    image = (hard_image("texture 1 about 1000, f4", SHAPE).astype("f8") - 1000) * scale
    template = image[50:66, 60:76].copy()
    expected = zncc_at(image, template, all_positions(image, WINDOW)).reshape(105, 145)
    assert_scores(tmatch.match_template(image, template, precision=precision), expected, precision)


# --- tiles, threads, layouts ------------------------------------------------------------------------


@some_names
@precisions
@each("tile", [(2, 2), (1, 30), (7, 9), None])
def test_any_tiles_will_do(execute, name, precision, tile):
    shape, window = (44, 50), (12, 13)
    execute(tile=tile, min_compiled_side=1)
    scores = tmatch.match_template(*searched(name, shape, window, across=True), precision=precision)
    assert_scores(scores, expected_map(name, shape, window, across=True), precision)


@some_names
@precisions
def test_threads_change_no_byte(execute, name, precision):
    execute(tile=TILE, min_compiled_side=1, cores=2, threaded_work=0, fused_threaded_work=0)
    image, template = searched(name, across=True)
    one, two, again = (
        tmatch.match_template(image, template, precision=precision, workers=w) for w in (1, 2, 2)
    )
    assert one.tobytes() == two.tobytes() == again.tobytes()


def every_second(array):
    wide = np.full((2 * array.shape[0], 3 * array.shape[1]), array.flat[0])
    wide[1::2, ::3] = array
    return wide[1::2, ::3]


LAYOUTS = {
    "read-only": np.copy,
    "other byte order": lambda array: array.astype(array.dtype.newbyteorder()),
    "transposed": lambda array: np.ascontiguousarray(array.T).T,
    "backwards": lambda array: np.ascontiguousarray(array[::-1, ::-1])[::-1, ::-1],
    "every second pixel": every_second,
}


@some_names
@precisions
@each("layout", LAYOUTS)
def test_layouts_and_byte_orders_cost_no_digits(execute, name, precision, layout):
    execute(tile=TILE, min_compiled_side=1)
    arrays = [LAYOUTS[layout](array) for array in searched(name)]
    for array in arrays:
        array.flags.writeable = False
    before = [array.copy() for array in arrays]
    scores = tmatch.match_template(*arrays, precision=precision)
    assert_scores(scores, expected_map(name), precision)
    for array, values in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, values)


@precisions
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_8_bits_as_floats_give_the_bits_that_8_bits_give(execute, picture, precision, dtype):
    photo = np.array(picture("raccoon/face_gray.png")[90:250, 60:260])
    photo[:40] = np.minimum(photo[:40], 60)  # some windows are flat
    template = photo[50:74, 70:91].copy()
    for tile in (TILE, None):
        execute(tile=tile)
        expected = tmatch.match_template(photo, template, precision=precision)
        scores = tmatch.match_template(photo.astype(dtype), template.astype(dtype), precision=precision)
        assert scores.tobytes() == expected.tobytes()


# --- what is refused --------------------------------------------------------------------------------


@precisions
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@each("dtype", ["f2", "f4", "f8"])
@each("place", [(0, 0), (0, 159), (119, 0), (119, 159), (60, 80), (47, 55), (48, 56)])
def test_what_is_not_finite_is_refused_by_its_place(execute, precision, value, dtype, place):
    execute(tile=TILE, min_compiled_side=1)
    image = np.array(hard_image("texture 1 about 1000, f4", SHAPE)).astype(dtype)
    template = image[50:66, 60:76].copy()
    image[place] = value
    sentence = (
        f"`image` is {value} at [{place[0]}, {place[1]}]; all pixels must be finite: replace NaN and infinity"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        tmatch.match_template(image, template, precision=precision)
    inside = place[0] % 16, place[1] % 16
    template[inside] = value
    sentence = f"`template` is {value} at [{inside[0]}, {inside[1]}]; all pixels must be finite"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        tmatch.match_template(image, template, precision=precision)


# --- templates of any shape -------------------------------------------------------------------------


@some_names
@precisions
@each("window", [(1, 2), (2, 1), (1, 16), (16, 1), (1, 160), (120, 1), (119, 160), (120, 160)])
def test_templates_may_be_rows_and_columns_and_as_large_as_the_image(execute, name, precision, window):
    execute(tile=TILE, min_compiled_side=1)
    image, template = searched(name, window=window)
    if np.ptp(template) == 0:
        template = np.arange(template.size).reshape(window)
    positions = hard_images.some_positions(name, image, window, 50)
    scores = tmatch.match_template(image, template, precision=precision)
    assert_scores(scores[tuple(positions.T)], zncc_at(image, template, positions), precision)
    assert np.all(scores[are_constant(image, window)] == 0)


@precisions
@each("scale", [1e-290, 1e-300, 1e-310, 1e-318, 1e300, 1e307])
def test_values_may_be_tiny_or_huge(execute, precision, scale):
    execute(tile=(24, 28), min_compiled_side=1)
    image = np.random.default_rng(1).normal(size=(40, 50)) * scale
    template = image[10:19, 20:30]
    expected = zncc_at(np.ldexp(image, -math.frexp(scale)[1]), template, all_positions(image, (9, 10)))
    scores = tmatch.match_template(image, template, precision=precision)
    assert_scores(scores, expected.reshape(scores.shape), precision)


@precisions
@each("levels", [(-60000, 8), (-40000, 3), (-33000, 30000)])
def test_whole_numbers_of_half_precision_keep_their_differences(execute, precision, levels):
    execute(tile=(24, 28))
    rng = np.random.default_rng(1)
    image = np.where(rng.random((40, 50)) < 0.02, levels[0], levels[1] + rng.integers(0, 4, (40, 50)))
    image = image.astype(np.float16)
    template = image[10:14, 20:25]
    expected = zncc_at(image, template, all_positions(image, (4, 5)))
    scores = tmatch.match_template(image, template, precision=precision)
    assert_scores(scores, expected.reshape(scores.shape), precision)


@pytest.mark.parametrize("name", [name for name in SOME if "e12" not in name])
@precisions
@each("metric", ["ncc", "cc", "ssd", "nssd"])
def test_templates_may_be_one_pixel(execute, name, precision, metric):
    execute(tile=(9, 11), min_compiled_side=1)
    image, template = searched(name, (24, 30), (1, 1))
    expected, valid, scale = oracle.score(image, template, metric)
    scores = tmatch.match_template(image, template, metric=metric, precision=precision)
    assert np.all(np.abs(scores - expected) <= BOUNDS[precision] * scale)
    np.testing.assert_array_equal(tmatch.score_validity(image, template, metric=metric), valid)
    with pytest.raises(ValueError, match="^`template` is constant"):
        tmatch.match_template(image, template, precision=precision)


@precisions
@pytest.mark.parametrize(
    "name", ["two values, f4", "offset 1e8, contrast 1e-6, f8", "both ends of the range, u2"]
)
def test_templates_may_have_a_million_pixels(name, precision):
    window = (1024, 1024)
    image, template = searched(name, (1029, 1034), window)
    scores = tmatch.match_template(image, template, precision=precision)
    positions = np.array([(0, 0), (2, 3), (5, 10), template_place(name, image.shape, window)])
    assert_scores(scores[tuple(positions.T)], zncc_at(image, template, positions), precision)
    assert scores.max() == pytest.approx(1, abs=BOUNDS[precision])


@names
@precisions
def test_work_is_bounded(monkeypatch, name, precision):
    """Work is counted, not timed: tiles that are scored in double precision, and pixels of windows by definition."""
    image, template = searched(name, (360, 480), (64, 64))
    tiles, windows = [], []
    score_double, score_positions = FloatTile.score_double, FloatTemplate.score_positions

    def counted_tile(tile, *args):
        tiles.append(math.prod(tile.shape))
        return score_double(tile, *args)

    def counted_windows(prepared, channels, positions):
        windows.append(len(positions) * template.size)
        return score_positions(prepared, channels, positions)

    monkeypatch.setattr(FloatTile, "score_double", counted_tile)
    monkeypatch.setattr(FloatTemplate, "score_positions", counted_windows)
    tmatch.match_template(image, template, precision=precision)
    # A tile takes about 20 ns a pixel, and a pixel of a window 0.5.
    assert 20 * sum(tiles) + 0.5 * sum(windows) < 500 * image.size
