"""Both engines have all members of the protocols, called in the same way, and return the same."""

import inspect
import itertools

import numpy as np
import pytest
from scipy import ndimage

import tmatch

pytest.importorskip("numba")

from tmatch._arrays.padding import PaddedImage
from tmatch._detection.null.residual import residuals
from tmatch._engine.interface import DirectProducts, Engine, Transforms
from tmatch._engine.numba import engine as numba_engine
from tmatch._engine.numba.slices import SliceTransforms
from tmatch._engine.numba.transforms import CompiledTransforms
from tmatch._engine.numpy import engine as numpy_engine
from tmatch._engine.numpy.transforms import SciPyTransforms
from tmatch._engine.posed import FitTemplate, FitWindows, Maxima, PoseKernels
from tmatch._engine.real_tiles import DOUBTFUL, HIDDEN
from tmatch._engine.tiling import Tiling
from tmatch._results.poses import Pose
from tmatch._search.matcher import searches_of

pytestmark = pytest.mark.numba_only

ENGINES = [numpy_engine, numba_engine]
TRANSFORMS = [SciPyTransforms, CompiledTransforms]
WINDOW = (5, 7)
# dtypes of pixels, of window sums and of their products
INTEGERS = [
    ("?", "i4", "f8"),
    ("u1", "i4", "f8"),
    ("i1", "i4", "i8"),
    ("u2", "i8", "i8"),
    ("i2", "i8", "f8"),
]

integers = pytest.mark.parametrize(("dtype", "sum_dtype", "product_dtype"), INTEGERS)
# Loops are compiled for each dtype and number of channels: not every combination is worth the time.
integers_of_channels = pytest.mark.parametrize(
    ("dtype", "sum_dtype", "product_dtype", "channels"),
    [*((*case, 1) for case in INTEGERS), ("u1", "i4", "f8", 3), ("u2", "i8", "i8", 3)],
)
one_or_three_channels = pytest.mark.parametrize("channels", [1, 3])
shapes = pytest.mark.parametrize("shape", [(37, 53), (5, 7), (6, 200), (64, 96)], ids=str)


def members(protocol):
    return [name for name in dir(protocol) if not name.startswith("_")]  # inherited ones too


def parameters(function):
    names = inspect.signature(getattr(function, "py_func", function)).parameters
    return [name for name in names if name != "self"]


def windows_of(array):
    return np.lib.stride_tricks.sliding_window_view(array, WINDOW)


def map_shape(shape):
    return tuple(np.subtract(shape, WINDOW) + 1)


def tiles_of(draw, shape, dtype, channels):
    return tuple(draw(shape, dtype, seed).copy() for seed in range(channels))  # writable, as tiles are


def centres_of(tiles):
    return tuple(round(float(tile.mean())) for tile in tiles)


def runs_of(mask):
    """Return row, first column and end column of each run of pixels in a mask."""
    edges = np.diff(np.pad(mask.astype(int), [(0, 0), (1, 1)]), axis=1)
    starts, stops = np.argwhere(edges == 1), np.argwhere(edges == -1)
    return np.ascontiguousarray(np.column_stack([starts, stops[:, 1]]))


def single_tile(shape, kind):
    """Plan transforms of one tile of an image, whose sides are enough for either engine."""
    sides = tuple(int(-(-n // 32) * 32) for n in shape)
    return kind(Tiling(map_shape(shape), WINDOW, map_shape(shape), sides))


# --- protocols --------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine_module", ENGINES)
@pytest.mark.parametrize("member", members(Engine))
def test_engines_have_the_members_of_the_protocol_with_its_parameters(engine_module, member):
    declared, found = inspect.getattr_static(Engine, member), getattr(engine_module, member)
    assert member in engine_module.__all__
    if not isinstance(declared, property):
        assert parameters(found) == parameters(declared)


@pytest.mark.parametrize("kind", [*TRANSFORMS, SliceTransforms])
@pytest.mark.parametrize("member", members(Transforms))
def test_transforms_have_the_members_of_the_protocol_with_its_parameters(kind, member):
    declared, found = (inspect.getattr_static(owner, member, None) for owner in (Transforms, kind))
    if isinstance(declared, property):
        assert hasattr(single_tile((37, 53), kind), member)
    else:
        assert inspect.signature(found).parameters.keys() == inspect.signature(declared).parameters.keys()


def test_every_member_of_an_engine_is_compared_here():
    compared = [name for name in globals() if name.startswith("test_")]
    for member in members(Engine):
        assert any(name.startswith(f"test_{member}_") for name in compared), member


# --- volumes ----------------------------------------------------------------------------------------

VOLUME, BOX = (9, 21, 40), (4, 5, 7)


def volume_map(dtype, extra=0):
    return np.empty([n - k + 1 + extra for n, k in zip(VOLUME, BOX, strict=True)], dtype)


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("limbs", [1, 2])
def test_volume_norms_are_the_same(draw, limbs, kind):
    tile = draw(VOLUME).copy()
    tile[2:7, 2:14, 3:30] = 5  # constant windows are doubtful
    digits = np.stack([split_by(numpy_engine, [tile[z]], limbs)[0][:, 0] for z in range(len(tile))], axis=1)
    results = [volume_map(kind) for _ in ENGINES]
    largest = [
        engine.volume_norms(digits, BOX, SCALES, (1e-12, 1e-6), result)
        for engine, result in zip(ENGINES, results, strict=True)
    ]
    np.testing.assert_allclose(*results, rtol=1e-6 if kind == "f4" else 1e-9)
    assert largest[0] == pytest.approx(largest[1], rel=1e-6) == results[0].max()
    windows = np.lib.stride_tricks.sliding_window_view((tile - 100) * FACTOR / 128, BOX)
    sure = results[0] < DOUBTFUL
    norms = windows.std(axis=(3, 4, 5))[sure] * windows[0, 0, 0].size
    np.testing.assert_allclose(results[0][sure] * norms, 1, rtol=1e-2)  # a single digit is coarse
    assert 0 < sure.sum() < sure.size


@pytest.mark.parametrize(
    ("dtype", "sums", "products"), [("u1", "i4", "f8"), ("u1", "i4", "i8"), ("i2", "i8", "i8")]
)
def test_score_volume_returns_the_same_bits(draw, dtype, sums, products):
    tile = draw(VOLUME, dtype).copy()
    tile[2:7, 2:14, 3:30] = 5
    values = draw(BOX, dtype, 1).astype(np.int64) - 3
    windows = np.lib.stride_tricks.sliding_window_view(tile.astype(np.int64) - 9, BOX)
    exact = np.einsum("zyxijk,ijk->zyx", windows, values)
    total, square = int(values.sum()), int(np.square(values).sum())
    arguments = np.array([total], products), float(values.size * square - total**2)
    results = []
    for engine in ENGINES:
        product, variance = volume_map("f8", 2), volume_map(products)
        product[tuple(map(slice, exact.shape))] = exact + 0.25
        outside = engine.score_volume(
            product, tile, BOX, 9, np.dtype(sums).type, arguments[0], variance, arguments[1]
        )
        assert not outside
        results.append((product[tuple(map(slice, exact.shape))], variance))
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)
    assert (results[0][1] == 0).any()
    for engine in ENGINES:
        product[:] = 1e9
        assert engine.score_volume(product, tile, BOX, 9, np.int64, np.zeros(1), variance.astype("f8"), 1.0)


def test_scale_volume_is_the_same(draw):
    inverse = np.abs(draw(volume_map("f4").shape, "f4"))
    inverse[3, 4, 5] = DOUBTFUL
    for factor, wrong in [(0.1, False), (10, True)]:
        products = [draw(volume_map("f4", 3).shape, "f4", 1) * np.float32(factor) for _ in ENGINES]
        (line, out), (other_line, other_out) = (
            engine.scale_volume(product, inverse.shape[2] + 2, inverse)
            for engine, product in zip(ENGINES, products, strict=True)
        )
        assert line == pytest.approx(other_line, rel=1e-5)
        assert (out > 0) == (other_out > 0) == wrong
        np.testing.assert_array_equal(*(p[tuple(map(slice, inverse.shape))] for p in products))


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("depth", [1, 3, 4, 9])
def test_transforms_of_slices_correlate_as_those_in_three_dimensions_do(draw, kind, depth):
    volume, kernel = draw((9, 21, 40), kind), draw((depth, 5, 7), kind, 1)
    tiling = Tiling((10 - depth, 17, 34), kernel.shape, (10 - depth, 17, 34), (9, 32, 64))
    first, second = (
        made.correlate([(made.transform(volume), made.kernel_spectrum(kernel))])[: 10 - depth, :17, :34]
        for made in (SciPyTransforms(tiling), SliceTransforms(tiling))
    )
    np.testing.assert_allclose(first, second, atol=2e-5 if kind == "f4" else 1e-12)
    made = SliceTransforms(tiling)
    several = made.kernel_spectra(np.stack([kernel, -kernel]))
    found = made.correlate([(made.transform(volume), several[1])])[: 10 - depth, :17, :34]
    np.testing.assert_array_equal(found, -second)


# --- filters ----------------------------------------------------------------------------------------

KERNELS = {
    "dense": [(3, 5)],
    "box": [(1, 9)],
    "separable": [(4, 1), (1, 6)],
    "sparse": [(5, 5)],
}


def kernels_of(draw, name, dtype):
    parts = [draw(shape, dtype, seed).copy() for seed, shape in enumerate(KERNELS[name])]
    if name == "box":
        parts[0][:] = 2
    if name == "sparse":
        parts[0][:, 1:4] = 0
    return parts


def filtered(engine, parts, dtype, image, *, full):
    """Return the sums of an engine, and whether it found all of them finite."""
    window = np.sum([part.shape for part in parts], axis=0) - len(parts) + 1
    padded = PaddedImage(image, [(2, 3), (4, 1)], "reflect")
    out = np.empty(tuple(np.subtract(padded.shape, window) + 1), dtype)
    plan = engine.plan_taps(parts, out.dtype, image, full=full)
    finite = plan.sum_windows(padded, tuple(slice(0, n) for n in padded.shape), out)
    assert plan.passes > 0
    return out, finite


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("pixels", ["u1", "u2", "i4", "f4", "f8"])
def test_plan_taps_sums_the_same(draw, kernel, dtype, pixels):
    image = draw((41, 33), pixels)
    parts = kernels_of(draw, kernel, "f8")
    (expected, finite), (found, also) = (
        filtered(engine, parts, dtype, image, full=kernel != "sparse") for engine in ENGINES
    )
    scale = np.abs(image.astype(float)).max() * np.prod([np.abs(part).sum() for part in parts])
    np.testing.assert_allclose(found, expected, rtol=0, atol=4 * np.finfo(dtype).eps * scale)
    assert finite is also is True


@pytest.mark.parametrize("kernel", KERNELS)
def test_plan_taps_sums_integers_exactly(draw, kernel):
    image, parts = draw((41, 33), "u1"), kernels_of(draw, kernel, "i1")
    parts = [part.astype(float) for part in parts]
    results = [filtered(engine, parts, "f8", image, full=False) for engine in ENGINES]
    np.testing.assert_array_equal(results[0][0], results[1][0])


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_plan_taps_reports_pixels_that_are_not_finite_even_of_weight_0(draw, dtype):
    image, parts = draw((41, 33), dtype).copy(), [np.array([[1.0, 0, 0, 0]])]
    image[20, -1] = np.nan  # without padding by the edge, no weight meets the last column
    for engine in ENGINES:
        assert not filtered(engine, parts, dtype, image, full=False)[1]


def test_tap_passes_are_a_cost_and_complex_kernels_are_left_to_numpy(draw):
    for name in KERNELS:
        for part in kernels_of(draw, name, "f8"):
            assert all(0 < engine.tap_passes(part, np.dtype("f8")) < np.inf for engine in ENGINES)
            costs = [engine.tap_passes(part, np.dtype("c16")) for engine in ENGINES]
            assert costs[0] < costs[1] == np.inf


# --- tiles of integers ------------------------------------------------------------------------------


@integers
@shapes
def test_load_writes_the_same(draw, dtype, sum_dtype, product_dtype, shape):  # noqa: ARG001
    [tile] = tiles_of(draw, shape, dtype, 1)
    outs = [np.full((shape[0] + 3, shape[1] + 2), 7, np.float32) for _ in ENGINES]
    norms = [engine.load(tile, out) for engine, out in zip(ENGINES, outs, strict=True)]
    np.testing.assert_array_equal(*outs)
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)


@integers
@shapes
@pytest.mark.parametrize("squared", [False, True])
def test_place_writes_the_same(draw, dtype, sum_dtype, product_dtype, shape, squared):  # noqa: ARG001
    [tile] = tiles_of(draw, shape, dtype, 1)
    outs = [np.full((shape[0] + 3, shape[1] + 2), 7.0) for _ in ENGINES]
    for engine, out in zip(ENGINES, outs, strict=True):
        engine.place(tile, centres_of([tile])[0], squared, out)
    np.testing.assert_array_equal(*outs)


def moments_of(engine, tiles, sum_dtype, product_dtype):
    shape = map_shape(tiles[0].shape)
    work = np.zeros((len(tiles) + 1, tiles[0].shape[1] + 1), sum_dtype)
    sums, variance = np.empty((len(tiles), *shape), product_dtype), np.empty(shape, product_dtype)
    engine.moments(tiles, *WINDOW, centres_of(tiles), work, sums, variance)
    return sums, variance


@integers_of_channels
@shapes
def test_moments_are_the_same(draw, dtype, sum_dtype, product_dtype, channels, shape):
    tiles = tiles_of(draw, shape, dtype, channels)
    expected, found = (moments_of(engine, tiles, sum_dtype, product_dtype) for engine in ENGINES)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])
    centred = [tile.astype(int) - centre for tile, centre in zip(tiles, centres_of(tiles), strict=True)]
    np.testing.assert_array_equal(expected[0], [windows_of(c).sum(axis=(2, 3)) for c in centred])


@integers_of_channels
@shapes
def test_inverse_norms_are_the_same(draw, dtype, sum_dtype, product_dtype, channels, shape):
    tiles = tiles_of(draw, shape, dtype, channels)
    if shape != WINDOW:  # some windows are constant
        tiles = tuple(np.where(np.arange(shape[1]) < 9, tile[0, 0], tile) for tile in tiles)
    results = []
    for engine in ENGINES:
        work = np.zeros((channels + 1, shape[1] + 1), sum_dtype)
        inverse = np.empty(map_shape(shape), np.float32)
        row = np.empty(inverse.shape[1], product_dtype)
        largest = engine.inverse_norms(tiles, *WINDOW, centres_of(tiles), work, row, inverse)
        assert largest == inverse.max()
        results.append(inverse)
    np.testing.assert_allclose(*results, rtol=1e-6)
    assert (results[0] == 0).any() == (shape != WINDOW)


@integers
@shapes
@pytest.mark.parametrize("wants_sums", [False, True])
def test_add_masked_moments_adds_the_same(draw, dtype, sum_dtype, product_dtype, shape, wants_sums):
    [tile], mask = tiles_of(draw, shape, dtype, 1), draw(WINDOW, "?", seed=5)
    count, [centre] = int(mask.sum()), centres_of([tile])
    results = []
    for engine in ENGINES:
        work = np.zeros((2, shape[0], shape[1] + 1), sum_dtype)
        sums = np.full(map_shape(shape) if wants_sums else (0, 0), 7, product_dtype)
        variance = np.full(map_shape(shape), 3, product_dtype)
        engine.add_masked_moments(tile, runs_of(mask), count, centre, work, sums, variance)
        results.append((sums, variance))
    for expected, found in zip(*results, strict=True):
        np.testing.assert_array_equal(found, expected)
    inside = windows_of(tile.astype(int) - centre)[..., mask]
    np.testing.assert_array_equal(
        results[0][1], 3 + count * np.square(inside).sum(axis=2) - inside.sum(axis=2) ** 2
    )
    if wants_sums:
        np.testing.assert_array_equal(results[0][0], inside.sum(axis=2))


@pytest.mark.parametrize("product_dtype", ["f8", "i8"])
@pytest.mark.parametrize("wants_sums", [False, True])
def test_round_moments_adds_the_same(draw, product_dtype, wants_sums):
    products, squares = (
        np.rint(1000 * draw((40, 61), seed=s)) + 0.1 * draw((40, 61), seed=9) for s in (1, 2)
    )
    results = []
    for engine in ENGINES:
        sums = np.full((33, 47) if wants_sums else (0, 0), 7, product_dtype)
        variance = np.full((33, 47), 3, product_dtype)
        engine.round_moments(products.copy(), squares.copy(), 35, sums, variance)
        results.append((sums, variance))
    for expected, found in zip(*results, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("zeros", [0, 0.3, 1])
def test_invert_replaces_the_same(draw, zeros):
    variance = np.square(100 * draw((31, 45))).astype(np.float32)
    variance[np.random.default_rng(0).random(variance.shape) < zeros] = 0
    inverses = [variance.copy() for _ in ENGINES]
    largest = [engine.invert(inverse) for engine, inverse in zip(ENGINES, inverses, strict=True)]
    np.testing.assert_allclose(*inverses, rtol=1e-6)
    assert largest == [inverse.max() for inverse in inverses]


# --- scores -----------------------------------------------------------------------------------------


def score_arguments(draw, shape, dtype, channels):
    """Return tiles, a template cut from them about integer centres, and its sums and variance."""
    tiles = tiles_of(draw, shape, dtype, channels)
    cut = [np.array(tile[: WINDOW[0], : WINDOW[1]], np.int64) for tile in tiles]
    values = [c - centre for c, centre in zip(cut, centres_of(cut), strict=True)]
    count = values[0].size
    variance = sum(count * int(np.square(v).sum()) - int(v.sum()) ** 2 for v in values)
    return tiles, values, variance


def spectra_of(transforms, tiles, values, dtype):
    return [
        (transforms.transform(tile.astype(dtype)), transforms.kernel_spectrum(value.astype(dtype)))
        for tile, value in zip(tiles, values, strict=True)
    ]


@pytest.mark.parametrize("dtype", ["u1", "i2"])
@one_or_three_channels
@pytest.mark.parametrize("shape", [(37, 53), (64, 96)], ids=str)
@pytest.mark.parametrize("grid", [None, ((0, 0), (4, 4)), ((2, 3), (4, 5))])
def test_score_returns_the_same(draw, dtype, channels, shape, grid):
    tiles, values, variance = score_arguments(draw, shape, dtype, channels)
    centred = [(v - v.mean()) * v.size / np.sqrt(variance) for v in values]
    grid = grid and (map_shape(shape), *grid)
    sum_dtype = "i4" if dtype == "u1" else "i8"
    norms = moments_of(numpy_engine, tiles, sum_dtype, "f8")[1].astype(np.float32)
    numpy_engine.invert(norms)
    for inverse, floor, reached, broken in ((norms, 0.9, 1, 0), (norms, 1.5, 0, 0), (2 * norms, 0.9, 1, 1)):
        results = []
        for engine, kind in zip(ENGINES, TRANSFORMS, strict=True):
            transforms = single_tile(shape, kind)
            means = [tile - np.float32(tile.mean()) for tile in tiles]
            pairs = spectra_of(transforms, means, centred, np.float32)
            product, (largest, high, out_of_range), summary = engine.score(
                pairs, transforms, inverse, floor, grid
            )
            corner = product[tuple(map(slice, map_shape(shape)))]
            assert (bool(high), bool(out_of_range)) == (reached, broken)
            unclipped = corner[inverse > 0] / inverse[inverse > 0]
            assert largest >= 0.99 * np.square(unclipped).max()
            results.append((corner, summary))
        np.testing.assert_allclose(results[0][0], results[1][0], rtol=0, atol=1e-5)
        assert results[0][0].max() == pytest.approx(1, abs=1e-5)
        if grid is None:
            assert results[0][1] is results[1][1] is None
        else:
            np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-4, atol=1e-4)


@integers_of_channels
@pytest.mark.parametrize("shape", [(37, 53), (5, 7)], ids=str)
def test_score_exactly_and_alone_return_the_same_bits(draw, dtype, sum_dtype, product_dtype, channels, shape):
    tiles, values, template = score_arguments(draw, shape, dtype, channels)
    tiles = tuple(np.where(np.arange(shape[1]) < 20, tile, tile[0, 0]) for tile in tiles)  # some are constant
    centres, template_sums = centres_of(tiles), np.array([v.sum() for v in values], product_dtype)
    centred = [tile.astype(int) - centre for tile, centre in zip(tiles, centres, strict=True)]
    exact = sum(np.einsum("yxij,ij->yx", windows_of(c), v) for c, v in zip(centred, values, strict=True))
    product = np.full((shape[0] + 2, shape[1] + 1), 0.3)
    product[tuple(map(slice, exact.shape))] = exact + 0.2  # as transforms leave it, to be rounded
    results = []
    for engine in ENGINES:
        sums, variance = moments_of(engine, tiles, sum_dtype, product_dtype)
        scores = product.copy()
        assert not engine.score_exactly(
            scores, sums, template_sums, variance, float(template), values[0].size
        )
        alone, variance_alone = product.copy(), np.empty_like(variance)
        work = np.zeros((channels + 1, shape[1] + 1), sum_dtype)
        arguments = alone, tiles, *WINDOW, centres, work, template_sums, variance_alone, float(template)
        assert not engine.score_alone(*arguments)
        results += [
            (s[tuple(map(slice, exact.shape))], v) for s, v in ((scores, variance), (alone, variance_alone))
        ]
    for scores, variance in results[1:]:
        np.testing.assert_array_equal(scores, results[0][0])
        np.testing.assert_array_equal(variance, results[0][1])
    assert results[0][0][0, 0] == pytest.approx(1, abs=1e-12)
    assert (results[0][1] == 0).any() == (shape != WINDOW)


def test_score_alone_and_exactly_report_scores_outside_their_bounds(draw):
    tiles, values, _ = score_arguments(draw, (12, 20), "u1", 1)
    template_sums, variance = np.zeros(1), np.ones(map_shape((12, 20)))
    work = np.zeros((2, 21), "i4")
    for engine in ENGINES:
        sums = np.zeros((1, *variance.shape))
        assert engine.score_exactly(
            np.full((12, 20), 1e9), sums, template_sums, variance, 1.0, values[0].size
        )
        work[:] = 0
        arguments = tiles, *WINDOW, centres_of(tiles), work, template_sums, variance.copy(), 1.0
        assert engine.score_alone(np.full((12, 20), 1e9), *arguments)


@integers_of_channels
@pytest.mark.parametrize("masked", [False, True])
def test_score_windows_returns_the_same_bits(draw, dtype, sum_dtype, product_dtype, channels, masked):  # noqa: ARG001
    tiles, values, _ = score_arguments(draw, (37, 53), dtype, channels)
    mask = draw(WINDOW, "?", seed=5) if masked else np.ones(WINDOW, bool)
    values = np.array([np.where(mask, v, 0) for v in values])
    count, template_sums = int(mask.sum()), values.sum(axis=(1, 2)).astype(product_dtype)
    template = float(sum(count * np.square(v).sum() - v.sum() ** 2 for v in values))
    tiles = tuple(
        np.where(np.arange(53) < 9, tile[0, 0], tile) for tile in tiles
    )  # some windows are constant
    positions = np.argwhere(np.ones((33, 47), bool))[::3]
    arguments = mask.astype(float), values.astype(float), centres_of(tiles), template_sums, template, count
    expected, found = (engine.score_windows(tiles, positions, *arguments) for engine in ENGINES)
    np.testing.assert_array_equal(found, expected)
    assert (expected == -np.inf).any()
    assert np.isfinite(expected).any()
    assert not len(numba_engine.score_windows(tiles, positions[:0], *arguments))


# --- score maps -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(37, 53), (1, 1), (1, 40), (64, 3)], ids=str)
@pytest.mark.parametrize("floor", [-2, 0.5, 9])
@pytest.mark.parametrize("slack", [0, 0.3])
def test_candidates_are_the_same(draw, dtype, shape, floor, slack):
    scores = np.round(draw(shape), 1).astype(dtype)  # with plateaus
    scores[0, ::3] = -np.inf
    wide = np.full((shape[0] + 1, shape[1] + 4), 99, dtype)
    wide[: shape[0], : shape[1]] = scores
    expected, found = (engine.candidates(scores, floor, slack) for engine in ENGINES)
    np.testing.assert_array_equal(found, expected)
    part = wide[: shape[0], : shape[1]]
    np.testing.assert_array_equal(numba_engine.candidates(part, floor, slack), expected)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(37, 53), (1, 1), (3, 40), (64, 3)], ids=str)
@pytest.mark.parametrize("leads", [(0, 0), (2, 0), (1, 4)])
@pytest.mark.parametrize("share_valid", [0, 0.7, 1])
def test_summarise_returns_the_same(draw, dtype, shape, leads, share_valid):
    scores = draw(shape).astype(dtype)
    norms = (np.random.default_rng(3).random(shape) < share_valid).astype(dtype)
    expected, found = (engine.summarise(scores, norms, leads, (3, 5)) for engine in ENGINES)
    assert expected.dtype == found.dtype == np.float64
    np.testing.assert_array_equal(found[[0, 1, 3, 4, 5]], expected[[0, 1, 3, 4, 5]])
    np.testing.assert_allclose(found[2], expected[2], rtol=32 * np.finfo(dtype).eps)
    assert expected[3].sum() == norms.sum()


@pytest.mark.parametrize(
    ("shape", "part"), [((37, 53), (20, 31)), ((40, 9), (7, 9)), ((30,), (11,)), ((6, 7, 8), (3, 7, 2))]
)
@pytest.mark.parametrize("constant", [False, True])
def test_merge_summary_returns_what_the_summary_of_the_whole_map_does(draw, shape, part, constant):
    scores = np.full(shape, 0.5) if constant else draw(shape).round(1)  # equal ones are common
    size = (3, 5, 2)[: len(shape)]
    whole, merged = numpy_engine.summarise(scores, np.ones(shape), (0,) * len(shape), size), []
    for engine in ENGINES:
        found = [np.zeros((2, *whole.shape[1:]), dtype) for dtype in ("f4", "i8", "f8")]
        for start in itertools.product(*(range(0, n, k) for n, k in zip(shape, part, strict=True))):
            block = scores[tuple(slice(s, s + k) for s, k in zip(start, part, strict=True))]
            leads = tuple(-s % n for s, n in zip(start, size, strict=True))
            summary = numpy_engine.summarise(block, np.ones(block.shape), leads, size)
            engine.merge_summary(summary, start, block.shape, (shape, size), *found)
        merged.append(found)
        np.testing.assert_allclose(found[2], whole[2:4], rtol=1e-12)
        np.testing.assert_array_equal(found[0], whole[:2].astype("f4"))
    for expected, found in zip(*merged, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("shape", [(2, 17, 23), (1, 1, 1), (4, 1, 9), (2, 30), (2, 4, 5, 6)], ids=str)
@pytest.mark.parametrize("largest", [False, True])
def test_with_neighbours_returns_the_same_bits(draw, shape, largest):
    expected, found = (engine.with_neighbours(draw(shape).copy(), largest) for engine in ENGINES)
    np.testing.assert_array_equal(found, expected)


# --- transforms -------------------------------------------------------------------------------------


def test_transforms_are_planned_for_the_image_and_hashable():
    for engine, kind in zip(ENGINES, TRANSFORMS, strict=True):
        transforms = engine.transforms((200, 300), WINDOW)
        assert isinstance(transforms, kind)
        assert transforms.tiling.positions == (196, 294)
        assert transforms.passes > 0
        assert hash(transforms) == hash(engine.transforms((200, 300), WINDOW))


@pytest.mark.parametrize("kind", TRANSFORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("overwrite", [False, True])
@one_or_three_channels
@pytest.mark.parametrize("shape", [(37, 53), (64, 96), (5, 7)], ids=str)
def test_transforms_correlate_by_definition(draw, kind, dtype, overwrite, channels, shape):
    tiles = [draw(shape, dtype, seed) for seed in range(channels)]
    kernels = [draw(WINDOW, dtype, seed + 9) for seed in range(channels)]
    transforms, spectra = single_tile(shape, kind), []
    for tile, kernel in zip(tiles, kernels, strict=True):
        values = tile
        if overwrite:
            values = transforms.empty_tile(dtype)
            values[:] = 0
            values[tuple(map(slice, shape))] = tile
        spectra.append(
            (transforms.transform(values, overwrite=overwrite), transforms.kernel_spectrum(kernel))
        )
    found = transforms.correlate(spectra, overwrite=overwrite)
    assert found.dtype == dtype
    pairs = zip(tiles, kernels, strict=True)
    expected = sum(np.einsum("yxij,ij->yx", windows_of(t.astype(float)), k.astype(float)) for t, k in pairs)
    scale = np.linalg.norm(tiles) * np.linalg.norm(kernels)
    error = np.abs(found[tuple(map(slice, expected.shape))] - expected).max()
    assert error <= 2 * np.finfo(dtype).eps * scale


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(37, 53), (5, 7), (6, 200)], ids=str)
def test_direct_products_correlate_by_definition_where_there_are_any(draw, channels, shape):
    assert numpy_engine.direct_products is None
    products = numba_engine.direct_products
    for member in members(DirectProducts):
        assert parameters(getattr(products, member)) == parameters(getattr(DirectProducts, member))
    tiles = np.array([draw(shape, "i1", seed) for seed in range(channels)])
    template = [draw(WINDOW, "i1", seed + 9).astype(np.int64) for seed in range(channels)]
    tile = products.empty_tile(channels, shape)
    tile[:] = 77
    tile[:, : shape[0], : shape[1]] = tiles
    found = products.correlate(tile, products.prepare(template), map_shape(shape))
    pairs = zip(tiles, template, strict=True)
    expected = sum(np.einsum("yxij,ij->yx", windows_of(t.astype(int)), k) for t, k in pairs)
    np.testing.assert_array_equal(found[tuple(map(slice, expected.shape))], expected)


def test_max_mask_runs_is_a_count_in_both():
    assert all(isinstance(engine.max_mask_runs, int) and engine.max_mask_runs > 0 for engine in ENGINES)


@pytest.mark.parametrize("shape", [(30, 41), (2, 5), (1, 1), (300, 400), (17,), (6, 7, 8)], ids=str)
@pytest.mark.parametrize("share_free", [0, 0.1, 0.9, 1])
@pytest.mark.parametrize("counts", [0, 1, 64], ids=str)
def test_variance_in_ring_is_the_same(shape, share_free, counts):
    rng = np.random.default_rng(4)
    count = np.full(shape, float(counts))
    if counts > 1:
        count[rng.random(shape) < 0.2] = 0
    sums = np.stack([count * rng.random(shape), count])
    free = rng.random(shape) < share_free
    expected, found = (engine.variance_in_ring(sums, free, 1, 3, 0.5) for engine in ENGINES)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)
    cell = tuple(n // 2 for n in shape)
    distances = np.abs(np.indices(shape) - np.reshape(cell, (-1, *(1 for _ in cell)))).max(axis=0)
    in_ring = (distances > 1) & (distances <= 3)
    squares, known = sums[0][in_ring & free].sum(), sums[1][in_ring & free].sum()
    everywhere = sums[0][free].sum() / max(sums[1][free].sum(), 1)
    weight = 0.5 * known / max(sums[1][in_ring].sum(), 1)
    by_hand = weight * squares / max(known, 1) + (1 - weight) * everywhere
    np.testing.assert_allclose(expected[cell], by_hand, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "u2", "u4", "f4", "f8", ">f8", ">u2"])
@pytest.mark.parametrize("shape", [(40, 50), (3, 3), (2, 9), (5, 1), (30,), (6, 7, 8)], ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_second_differences_returns_the_same(draw, dtype, shape, masked):
    channel = draw(shape, dtype)
    valid = draw(shape, "?", 1) if masked else None
    middles = np.arange(1, next(n for n in shape if n >= 3) - 1, 2)
    expected, found = (engine.second_differences(channel, valid, middles) for engine in ENGINES)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max(initial=0))
    assert found.ndim == 1
    if dtype == "u2" and shape == (3, 3) and not masked:
        np.testing.assert_array_equal(
            found, np.abs(np.diff(np.diff(channel.astype(int), 2, 0), 2, 1)).ravel()
        )


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "u4", "f4", "f8", ">f8"])
@pytest.mark.parametrize("shape", [(40, 50), (3, 9), (30,), (6, 7, 8)], ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_block_variances_are_the_same(draw, dtype, shape, masked):
    channel = draw(shape, dtype)
    valid = draw(shape, "f8", 1) < 1.5 if masked else None
    block = (2, 3, 2)[: len(shape)]
    starts = tuple(np.arange(0, n - side + 1, 2) for n, side in zip(shape, block, strict=True))
    expected, found = (engine.block_variances(channel, valid, block, starts) for engine in ENGINES)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    if not masked:
        first = channel[tuple(slice(n) for n in block)].astype(float).var()
        np.testing.assert_allclose(expected[0], first, rtol=1e-12)
        assert len(expected) == np.prod([len(part) for part in starts])


@pytest.mark.parametrize("shape", [(30, 41), (1, 1), (17,), (6, 7, 8)], ids=str)
@pytest.mark.parametrize("count", [0, 1, 5])
def test_expected_beside_returns_the_same(shape, count):
    rng, levels = np.random.default_rng(6), np.array([1.0, 0.8, 0.5])
    heights, footprints = rng.random(shape), rng.random((3, *(5 for _ in shape)))
    cells = np.stack([rng.integers(0, n, count) for n in shape], axis=1)
    expected, found = (engine.expected_beside(heights, cells, footprints, levels) for engine in ENGINES)
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    if count == 1:
        height = heights[tuple(cells[0])]
        level = max(np.count_nonzero(levels >= height) - 1, 0)
        middle = footprints[(level, *(2 for _ in shape))]
        assert expected[tuple(cells[0])] == pytest.approx(min(height / levels[level], 1) * middle)


@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "f4", "f8", ">f8"])
@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("even", [True, False], ids=["even", "weighted"])
def test_window_variances_are_the_same(draw, dtype, n_channels, even):
    channels = tuple(draw((40, 50), dtype, seed) for seed in range(n_channels))
    weights = (
        np.full((n_channels, 9, 14), 0.5) if even else np.random.default_rng(1).random((n_channels, 9, 14))
    )
    positions = np.random.default_rng(2).integers(0, [32, 37], (20, 2))
    expected, found = (engine.window_variances(channels, positions, weights) for engine in ENGINES)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    windows = [c[y : y + 9, x : x + 14].astype(float) for c in channels for y, x in positions[:1]]
    means = [np.average(window, weights=w) for window, w in zip(windows, weights, strict=True)]
    squares = [(w * (x - m) ** 2).sum() for x, m, w in zip(windows, means, weights, strict=True)]
    np.testing.assert_allclose(expected[0], sum(squares) / weights.sum(), rtol=1e-9)


@pytest.mark.parametrize("dtype", ["u2", "f8"])
def test_window_variances_ignore_pixels_that_do_not_count(draw, dtype):
    image, weights = draw((40, 50), dtype), np.ones((1, 9, 14))
    weights[0, 0, 0] = 0
    changed = image.copy()
    changed[3, 4] = 60_000 if dtype == "u2" else 1e14
    for engine in ENGINES:
        expected, found = (
            engine.window_variances((each,), np.array([[3, 4]]), weights) for each in (image, changed)
        )
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_window_variances_of_extreme_integers_do_not_overflow():
    image = np.zeros((600, 600), np.uint16)
    image[::2] = 65535
    weights = np.ones((1, 500, 500))
    for engine in ENGINES:
        [found] = engine.window_variances((image,), np.array([[0, 0]]), weights)
        np.testing.assert_allclose(found, (65535 / 2) ** 2, rtol=1e-12)


@pytest.mark.parametrize("shape", [(30, 41), (3, 5)], ids=str)
def test_explained_by_stronger_is_the_same(shape):
    rng = np.random.default_rng(4)
    heights = rng.random((2, *shape)) ** 3
    footprints = rng.random((3, 2, 11, 11)) * np.array([1, 0.8, 0.5])[:, None, None, None]
    extrema = np.argwhere(heights > 0.1)
    extrema = extrema[np.argsort(-heights[tuple(extrema.T)], kind="stable")]
    copies = rng.random(len(extrema)) < 0.1
    options = footprints, np.array([1, 0.8, 0.5]), (0.1, 1.1, 0.05), copies
    expected, found = (engine.explained_by_stronger(heights, extrema, *options) for engine in ENGINES)
    np.testing.assert_array_equal(found, expected)
    assert not expected[copies].any()
    assert 0 < expected.sum() < len(extrema)


@pytest.mark.parametrize("dtype", ["u1", "f4", "f8"])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_residual_sums_are_those_of_numpy(draw, dtype, n_channels, monkeypatch):
    axis = None if n_channels == 1 else 2
    shape = (40, 50) if axis is None else (40, 50, n_channels)
    image = draw(shape, dtype)
    mask = np.random.default_rng(5).random((9, 14))
    [search] = searches_of(tmatch.Matcher(image[3:12, 7:21], masks=mask, channel_axis=axis), image, None)
    positions = np.random.default_rng(2).integers(0, [32, 37], (20, 2))
    monkeypatch.setenv("TMATCH_ENGINE", "numba")
    found = residuals(search, positions, slopes=True)
    monkeypatch.setenv("TMATCH_ENGINE", "numpy")
    expected = residuals(search, positions, slopes=True)
    for name in ("variance", "left", "likeness", "pixels"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-7, atol=1e-9, err_msg=name
        )
    np.testing.assert_array_equal(found.white, expected.white)
    np.testing.assert_array_equal(found.level, expected.level)


# --- poses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8"])
def test_block_means_average_the_same(draw, dtype, factor):
    image = draw((25, 32), dtype)
    expected, found = (engine.block_means(image, factor) for engine in ENGINES)
    rows, columns = 25 // factor, 32 // factor
    blocks = image[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
    np.testing.assert_allclose(expected, blocks.mean(axis=(1, 3)), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)
    assert expected.dtype == found.dtype == np.float32


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("angle", [0, 33, 90])
def test_turned_copies_are_drawn_the_same(draw, angle, flip):
    values, weights = np.stack([draw((13, 9), "f8", seed) for seed in range(2)]), np.ones((13, 9))
    weights[3:5, 2:4] = 0.5
    inverse = Pose(angle, 0.5, flip).inverse
    expected, found = (engine.turned(values, weights, inverse, (6.0, 4.0), 11, 3) for engine in ENGINES)
    np.testing.assert_allclose(found, expected, atol=1e-9 * np.abs(values).max())
    assert expected.shape == (3, 11, 11)
    assert expected[2].max() == pytest.approx(1)
    assert not expected[:, 0].any()  # beyond the template


@pytest.mark.parametrize("channels", [1, 2])
def test_pose_maxima_keep_the_same_poses(draw, channels):
    """Each engine has spectra of its own."""
    shape, results = (40, 45), []
    tiles = [draw(shape, "f4", seed) for seed in range(channels)]
    copies = np.stack([[draw(WINDOW, "f4", 10 * n + c) for c in range(channels)] for n in range(3)])
    bounds = np.array([(0, 30, 0, 30), (2, 20, 3, 31), (5, 5, 0, 9)])  # nowhere in the last pose
    for engine, kind in zip(ENGINES, TRANSFORMS, strict=True):
        transforms = single_tile(shape, kind)
        spectra = tuple(transforms.transform(tile) for tile in tiles)
        kernels = tuple(transforms.kernel_spectra(copies[:, c]) for c in range(channels))
        size = (2, *map_shape(shape))
        norms = np.stack([np.full(size[1:], 0.5, np.float32), np.full(size[1:], 0.25, np.float32)])
        kinds = ((-9e9, "f4"), (0, "i4"), (9e9, "f4"), (0, "i4"), (0, "f4"), (0, "i4"))
        out = Maxima(norms, *(np.full(size[1:], value, dtype) for value, dtype in kinds))
        engine.pose_maxima(spectra, PoseKernels(kernels, np.array([0, 1, 0]), bounds, 7), transforms, out)
        results.append(out)
    expected, found = results
    for name in ("high", "low", "squares"):
        known = expected.numbers > 0
        scale = np.abs(getattr(expected, name)[known]).max()
        np.testing.assert_allclose(
            getattr(found, name)[known], getattr(expected, name)[known], atol=1e-5 * scale
        )
    for name in ("pose", "low_pose", "numbers"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert set(np.unique(expected.pose[:20])) == {0, 7, 8}
    windows = [np.lib.stride_tricks.sliding_window_view(tile, WINDOW) for tile in tiles]
    direct = sum((w * copies[0, c]).sum(axis=(2, 3)) for c, w in enumerate(windows)) * 0.5
    only_first = (expected.numbers == 1) & (np.arange(size[2]) < 30)
    np.testing.assert_allclose(
        expected.high[only_first], direct[only_first], rtol=1e-3, atol=1e-4 * np.abs(direct).max()
    )


def fit_case(*, masked, flip):
    """Return windows of a template in a pose, and where to start."""
    rng = np.random.default_rng(5)
    smooth = ndimage.gaussian_filter(rng.normal(size=(2, 19, 15)), (0, 1.5, 1.5)) * 100
    coefficients = np.stack(
        [np.pad(ndimage.spline_filter(t, 3, mode="mirror"), 2, mode="reflect") for t in smooth]
    )
    inverse, middle = Pose(25, 1.1, flip).inverse, np.array([9.0, 7.0])
    offset = middle - inverse @ np.array([14.3, 15.2])
    window = np.stack([ndimage.affine_transform(t, inverse, offset, (31, 30), order=3) for t in smooth])
    window += rng.normal(0, 2, window.shape)
    weights = rng.uniform(0.5, 1, smooth.shape) if masked else np.zeros((0, 0, 0))
    valid = rng.random((31, 30)) > 0.1 if masked else np.zeros(0, bool)
    template = FitTemplate(coefficients, weights, (9.0, 7.0), -1.0 if flip else 1.0, 12.1)
    start = np.array([14.7, 14.9, np.radians(23), 0.05])
    return window, valid, template, start


@pytest.mark.parametrize("joint", [0.0, 1.0])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("flip", [False, True])
def test_fit_poses_finds_the_same_pose(flip, masked, joint):
    window, valid, template, start = fit_case(masked=masked, flip=flip)
    windows = FitWindows(
        np.concatenate([window.ravel()] * 2), np.tile(valid.ravel(), 2), np.array([window.shape] * 2)
    )
    starts, free = np.stack([start, start + np.array([0.2, 0.1, 0, 0])]), np.array([True, True, True, True])
    expected, found = (
        engine.fit_poses(windows, template, starts, free, (1e-4, 1.5, 5.0, 1.0, joint)) for engine in ENGINES
    )
    np.testing.assert_allclose(found.poses, expected.poses, atol=1e-7)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-9)
    np.testing.assert_allclose(found.products, expected.products, rtol=1e-7, atol=1e-5)
    np.testing.assert_allclose(found.sums, expected.sums, rtol=1e-7, atol=1e-5)
    np.testing.assert_array_equal(found.passes, expected.passes)
    np.testing.assert_allclose(expected.poses[0], [14.3, 15.2, np.radians(25), np.log(1.1)], atol=0.05)
    assert expected.scores.min() > 0.9


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("masked", [False, True])
def test_cluster_products_are_the_same(masked, every):
    window, valid, template, start = fit_case(masked=masked, flip=False)
    valid = valid.reshape(window.shape[1:] if masked else (0, 0))
    expected, found = (
        engine.cluster_products(window, valid, template, start, 0.9, np.array([1.0, -2.0]), 5, every)
        for engine in ENGINES
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert (np.diag(expected) > 0).all()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("flip", [False, True])
def test_drawn_templates_are_the_same(flip, masked):
    window, _, template, start = fit_case(masked=masked, flip=flip)
    expected, found = (engine.drawn(template, start, window.shape[1:]) for engine in ENGINES)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-9)
    values, weights = expected
    assert 0.2 < (weights[0] > 0).mean() < 0.5
    assert not values[weights == 0].any()
    inside = weights[0] > 0
    assert np.corrcoef(values[0][inside], window[0][inside])[0, 1] > 0.9


# --- tiles of any real numbers ----------------------------------------------------------------------

REALS = ["f4", "f8", "u1", "u2"]
SCALES, FACTOR = (2.0**24, 2.0**20), 2.0**-9  # powers of two, so that pixels are split exactly


def split_by(engine, tiles, limbs):
    digits = np.empty((limbs, len(tiles), *tiles[0].shape), np.int32)
    outs = [np.full([n + 9 for n in tiles[0].shape], 7.0) for _ in tiles]
    found = [
        engine.split(tile, 100.0, FACTOR / 128, SCALES, out, digits[:, i])
        for i, (tile, out) in enumerate(zip(tiles, outs, strict=True))
    ]
    return digits, outs, found


@pytest.mark.parametrize("limbs", [1, 2])
@pytest.mark.parametrize("dtype", REALS)
@shapes
def test_split_writes_the_same(draw, dtype, limbs, shape):
    results = [split_by(engine, [draw(shape, dtype)], limbs) for engine in ENGINES]
    for i in range(2):
        np.testing.assert_array_equal(results[0][i], results[1][i])
    np.testing.assert_allclose(results[0][2], results[1][2], rtol=1e-12)


@pytest.mark.parametrize("engine_module", ENGINES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_split_tells_what_does_not_fit(draw, engine_module, value):
    tile = draw((20, 31), "f8").copy()
    tile[19, 30] = value
    [(_, total, largest)] = split_by(engine_module, [tile], 2)[2]
    assert not np.isfinite(total) or largest > SCALES[0]


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("limbs", [1, 2])
@one_or_three_channels
@pytest.mark.parametrize("centred", [True, False])
@shapes
def test_fixed_norms_are_the_same(draw, channels, limbs, kind, shape, centred):
    tiles = [draw(shape, "f8", i).copy() for i in range(channels)]
    for tile in tiles:
        tile[2:30, 3:40] = 5  # constant windows are doubtful
    digits = split_by(numpy_engine, tiles, limbs)[0]
    results = [np.empty([n - k + 1 for n, k in zip(shape, WINDOW, strict=True)], kind) for _ in ENGINES]
    largest = [
        engine.fixed_norms(digits, (1, 1, 3, 5), centred, SCALES, (1e-12, 1e-6), result)
        for engine, result in zip(ENGINES, results, strict=True)
    ]
    np.testing.assert_allclose(*results, rtol=1e-6 if kind == "f4" else 1e-9)
    assert largest[0] == pytest.approx(largest[1], rel=1e-6) == results[0].max()


@pytest.mark.parametrize("kind", ["f4", "f8"])
@one_or_three_channels
def test_weighted_norms_are_the_same(draw, channels, kind):
    sums = tuple(draw((40, 64), "f8", i) for i in range(channels))
    squares = tuple(np.square(total) / 5 + draw((40, 64), "f8", 7) for total in sums)
    results = [np.empty((33, 50), kind) for _ in ENGINES]
    largest = [
        engine.weighted_norms(sums, squares, (5.0,) * channels, 35.0, 1e-3, result)
        for engine, result in zip(ENGINES, results, strict=True)
    ]
    assert largest == [np.float32(DOUBTFUL) if kind == "f4" else DOUBTFUL] * 2
    np.testing.assert_allclose(*results, rtol=1e-6 if kind == "f4" else 1e-9)


def test_scale_double_is_the_same(draw):
    inverse = np.abs(draw((33, 50), "f8"))
    inverse[3, 4] = DOUBTFUL
    for factor, wrong in [(0.1, False), (10, True)]:
        products = [draw((40, 64), "f8", 1) * factor for _ in ENGINES]
        found = [
            engine.scale_double(product, inverse) for engine, product in zip(ENGINES, products, strict=True)
        ]
        np.testing.assert_array_equal(*(product[:33, :50] for product in products))
        assert found[0] == found[1]
        assert (found[0] > 0) == wrong


@pytest.mark.parametrize("dtype", REALS)
@shapes
def test_constant_windows_are_the_same(draw, dtype, shape):
    tile = draw(shape, dtype).copy()
    tile[shape[0] // 4 :, shape[1] // 5 : shape[1] // 5 + 20] = tile[0, 0]
    found = [np.empty([n - k + 1 for n, k in zip(shape, WINDOW, strict=True)], bool) for _ in ENGINES]
    for engine, out in zip(ENGINES, found, strict=True):
        engine.constant_windows(tile, *WINDOW, out)
    expected = windows_of(tile).max(axis=(2, 3)) == windows_of(tile).min(axis=(2, 3))
    np.testing.assert_array_equal(found[0], expected)
    np.testing.assert_array_equal(found[1], expected)


@one_or_three_channels
@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("scale", [1, 1e-290, 1e200])
def test_score_float_windows_gives_the_same(draw, channels, scale, centred):
    tiles = tuple(draw((37, 53), "f8", i) * scale for i in range(channels))
    for tile in tiles:
        tile[:10, :10] = scale if centred else 0
    values = np.stack([draw(WINDOW, "f8", 9 + i) for i in range(channels)])
    values -= values.mean(axis=(1, 2), keepdims=True)
    weights = np.abs(draw((channels, *WINDOW), "f8", 5)) * (draw((channels, *WINDOW), "f8", 6) > 0)
    bases = np.array([(1, 2 + i) for i in range(channels)])
    weights[range(channels), *bases.T] = 1
    values /= np.sqrt(np.square(values).sum())
    positions = np.argwhere(np.ones((33, 47)))
    found = [
        engine.score_float_windows(tiles, positions, values, weights, bases, centred) for engine in ENGINES
    ]
    np.testing.assert_allclose(*found, rtol=0, atol=1e-13)
    assert found[0][0] == found[1][0] == -np.inf


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("angle", [0, 2, -88, 180])
def test_long_rows_of_pixels_are_compared_the_same(angle, stride):
    """Longer ones than compiled code takes at once; what lies where no pixel counts is not looked at."""
    rng = np.random.default_rng(7)
    coefficients = rng.normal(size=(1, 11, 404))
    template = FitTemplate(coefficients, np.zeros((0, 0, 0)), (3.0, 199.5), 1.0, 199.5)
    window = rng.normal(size=(1, 40, 410) if abs(angle) != 88 else (1, 410, 40))
    valid = rng.random(window.shape[1:]) > 0.1
    window[0, ~valid] = np.nan
    pose = np.array([*((n - 1) // 2 for n in window.shape[1:]), np.radians(angle), 0.0])
    pose[1 if window.shape[2] > 40 else 0] += 0.5
    windows = FitWindows(window.ravel(), valid.ravel(), np.array([window.shape]))
    options = (1e-3, 1.5, 1.0, float(stride), 0.0)
    expected, found = (
        engine.fit_poses(windows, template, pose[None], np.ones(4, bool), options) for engine in ENGINES
    )
    np.testing.assert_allclose(found.sums, expected.sums, rtol=1e-9, atol=1e-9)
    assert expected.sums[0, 0, 0] > 2000 / stride**2
    expected, found = (
        engine.cluster_products(window, valid, template, pose, 0.9, np.zeros(1), 5, stride)
        for engine in ENGINES
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    for found, expected in zip(
        *(engine.drawn(template, pose, window.shape[1:]) for engine in ENGINES), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("dtype", [*REALS, "i4"])
@pytest.mark.parametrize("scale", [1, 1e-307, 1e300])
@shapes
def test_unit_gradient_is_the_same(draw, dtype, scale, shape):
    channel = draw(shape, dtype)
    channel = channel.copy() if dtype != "f8" else channel * scale
    channel[: shape[0] // 2, :10] = channel[0, 0]
    expected, found = (engine.unit_gradient(channel) for engine in ENGINES)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)
    assert set(np.round(np.hypot(*found), 12).ravel()) <= {0, 1}


# --- tiles of which pixels are missing --------------------------------------------------------------

VALID_LIMITS = (1e-12, 1e-6, 1e-9, 0.3)  # the last hides some windows


def some_valid(shape, seed=3):
    valid = np.random.default_rng(seed).random(shape) > 0.1
    valid[5:25, 8:30] = False
    return valid


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("limbs", [1, 2])
@one_or_three_channels
@pytest.mark.parametrize("centred", [True, False])
@shapes
def test_valid_norms_are_the_same(draw, channels, limbs, kind, shape, centred):
    valid, places = some_valid(shape), [n - k + 1 for n, k in zip(shape, WINDOW, strict=True)]
    tiles = [np.where(valid, draw(shape, "f8", i), 100) for i in range(channels)]
    tiles[0][30:, 3:40] = 100
    hidden = tuple(draw((places[0] + 2, places[1] + 5), "f8", 20 + i) / 4 for i in range(channels))
    hidden += (np.abs(draw((places[0] + 2, places[1] + 5), "f8", 30)) / 2,)
    digits = split_by(numpy_engine, tiles, limbs)[0]
    results, shifts = np.empty((2, 2, *places), kind)
    found = [
        engine.valid_norms(
            digits, valid, (1, 1, 3, 5), centred, SCALES, VALID_LIMITS, hidden, 6.5, result, shift
        )
        for engine, result, shift in zip(ENGINES, results, shifts, strict=True)
    ]
    np.testing.assert_allclose(*results, rtol=1e-5 if kind == "f4" else 1e-9)
    assert shape[0] < 30 or {0, np.dtype(kind).type(HIDDEN)} < set(results[0].ravel())
    assert found[0][1] == found[1][1] <= 15
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5) == results[0].max()
    if centred:
        np.testing.assert_allclose(*shifts, rtol=1e-5, atol=1e-7 * np.abs(shifts).max())


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@shapes
def test_constant_valid_windows_are_the_same(draw, dtype, shape):
    tile, valid = draw(shape, dtype).copy(), some_valid(shape)
    tile[shape[0] // 4 :, shape[1] // 5 : shape[1] // 5 + 20] = tile[0, 0]
    tile[~valid] = np.nan
    found = [np.empty([n - k + 1 for n, k in zip(shape, WINDOW, strict=True)], bool) for _ in ENGINES]
    for engine, out in zip(ENGINES, found, strict=True):
        engine.constant_valid_windows(tile, valid, *WINDOW, out)
    there = windows_of(valid)
    high = np.max(windows_of(tile), axis=(2, 3), initial=-np.inf, where=there)
    expected = high <= np.min(windows_of(tile), axis=(2, 3), initial=np.inf, where=there)
    assert shape[0] < 30 or 0.1 < expected.mean() < 0.9
    np.testing.assert_array_equal(found[0], expected)
    np.testing.assert_array_equal(found[1], expected)


@one_or_three_channels
@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("scales", [(1, 1), (1e-290, 1e200), (1e200, 1e-290)])
def test_score_valid_windows_gives_the_same(draw, channels, scales, centred):
    tiles = tuple(draw((37, 53), "f8", i) * scales[0] for i in range(channels))
    for tile in tiles:
        tile[:10, :10] = scales[0] if centred else 0
    values = np.stack([draw(WINDOW, "f8", 9 + i) * scales[1] for i in range(channels)])
    weights = np.abs(draw((channels, *WINDOW), "f8", 5)) * (draw((channels, *WINDOW), "f8", 6) > 0)
    positions = np.argwhere(np.ones((33, 47)))
    found = [
        engine.score_valid_windows(tiles, some_valid((37, 53)), positions, values, weights, centred)
        for engine in ENGINES
    ]
    np.testing.assert_allclose(*found, rtol=0, atol=1e-13)
    assert found[0][0] == found[1][0] == -np.inf


@pytest.mark.parametrize("sums", [np.float64, np.int64])
@one_or_three_channels
@shapes
def test_score_valid_exactly_gives_the_same(draw, channels, sums, shape):
    valid, places = some_valid(shape), [n - k + 1 for n, k in zip(shape, WINDOW, strict=True)]
    tiles = tuple(np.where(valid, draw(shape, "u1", i), 128).astype(np.uint8) for i in range(channels))
    templates = [draw(WINDOW, "u1", 9 + i).astype(np.int64) - 128 for i in range(channels)]
    gone = windows_of(~valid)
    hidden = tuple(
        np.einsum("yxij,ij->yx", gone, plane) * 1.0
        for plane in (*templates, np.square(templates).sum(axis=0))
    )
    windows = [windows_of(tile.astype(np.int64) - 128) for tile in tiles]
    product = sum(np.einsum("yxij,ij->yx", w, t) for w, t in zip(windows, templates, strict=True))
    results = [np.pad(product + 0.01, [(0, 3), (0, 2)], constant_values=7.0) for _ in ENGINES]
    norms, totals = np.empty((2, *places)), np.array([t.sum() for t in templates], sums)
    squares = int(np.square(templates).sum())
    found = [
        engine.score_valid_exactly(
            result, valid, tiles, *WINDOW, (128,) * channels,
            np.zeros((channels + 1, shape[1] + 1), np.int32), hidden, totals, squares, 7.5, norm,
        )
        for engine, result, norm in zip(ENGINES, results, norms, strict=True)
    ]  # fmt: skip
    np.testing.assert_array_equal(*results)
    np.testing.assert_array_equal(*norms)
    assert found[0] == found[1]
    assert found[0][1] == 0
    assert shape[0] < 30 or 0.2 < (norms[0] > 0).mean() < 0.99
    np.testing.assert_array_equal(results[0][places[0] :], 7)


RECTANGLES = [(0, 2, 0, 3), (3, 4, 1, 2), (0, 37, 20, 53), (36, 37, 52, 53), (10, 30, 5, 6), (0, 37, 0, 53)]


@shapes
def test_add_rectangles_is_the_same(draw, shape):
    template = draw(WINDOW, "f8", 4)
    integral = np.pad(template.cumsum(axis=0).cumsum(axis=1), [(1, 0), (1, 0)])
    inside = np.minimum(RECTANGLES, np.repeat(shape, 2))
    rectangles = inside[(inside[:, 0] < inside[:, 1]) & (inside[:, 2] < inside[:, 3])]
    marked = np.zeros(shape)
    for top, bottom, left, right in rectangles:
        marked[top:bottom, left:right] += 1
    expected = np.einsum("yxij,ij->yx", windows_of(marked), template)
    for engine in ENGINES:
        sums = np.ones(expected.shape)
        engine.add_rectangles(integral, rectangles, sums)
        np.testing.assert_allclose(sums, expected + 1, rtol=0, atol=1e-12)
