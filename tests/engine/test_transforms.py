"""Transforms of our own: only what they are for is promised, so correlations are compared."""

import cmath
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmatch._engine import select
from tmatch._engine import tiling as _tiling

pytest.importorskip("numba")
from numba import njit

from tmatch._engine.numba import butterflies, cache, compiler, vectors
from tmatch._engine.numba import scoring as numba_scoring
from tmatch._engine.numba.transforms import CompiledTransforms
from tmatch._engine.numpy.transforms import SciPyTransforms

pytestmark = pytest.mark.numba_only

SIDES = [32, 64, 96, 128, 160, 192, 256, 288, 480, 512, 800, 1024]


def tiling_of(shape, window):
    places = tuple(n - k + 1 for n, k in zip(shape, window, strict=True))
    return _tiling.Tiling(places, window, places, shape)


def correlated(tiles, kernels, tiling, kind=CompiledTransforms):
    transforms = kind(tiling)
    pairs = [
        (transforms.transform(t), transforms.kernel_spectrum(k)) for t, k in zip(tiles, kernels, strict=True)
    ]
    return transforms.correlate(pairs)[tuple(map(slice, tiling.positions))]


def by_scipy(tiles, kernels, tiling):
    return correlated(
        [t.astype(float) for t in tiles], [k.astype(float) for k in kernels], tiling, SciPyTransforms
    )


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8, 9, 16])
def test_transforms_of_a_few_numbers_are_by_definition(n, sign):
    rng = np.random.default_rng(n)
    x = rng.normal(size=n) + 1j * rng.normal(size=n)
    found = butterflies.dft([butterflies.Complex(a.real, a.imag) for a in x], sign)
    for k, number in enumerate(found):
        wanted = sum(a * cmath.exp(sign * 2j * math.pi * j * k / n) for j, a in enumerate(x))
        assert complex(number.re, number.im) == pytest.approx(wanted, abs=1e-14 * n)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("height", SIDES)
@pytest.mark.parametrize("width", [32, 96, 320, 512])
def test_correlations_equal_those_of_scipy(height, width, dtype):
    rng = np.random.default_rng([height, width])
    tile = rng.normal(size=(height, width)).astype(dtype)
    kernel = rng.normal(size=(height // 3, width // 4)).astype(dtype)
    tiling = tiling_of(tile.shape, kernel.shape)
    scale = np.linalg.norm(tile) * np.linalg.norm(kernel)
    for part in (tile, tile[: height - 5, : width - 3]):
        found, wanted = (f([part], [kernel], tiling) for f in (correlated, by_scipy))
        assert found.dtype == dtype
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2 * np.finfo(dtype).eps * scale)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [2, 3, 5])
def test_products_of_several_are_added_up(channels, dtype):
    rng = np.random.default_rng(channels)
    tiles = rng.normal(size=(channels, 96, 128)).astype(dtype)
    kernels = rng.normal(size=(channels, 20, 31)).astype(dtype)
    tiling = tiling_of((96, 128), (20, 31))
    scale = np.linalg.norm(tiles) * np.linalg.norm(kernels)
    found, wanted = (f(tiles, kernels, tiling) for f in (correlated, by_scipy))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2 * np.finfo(dtype).eps * scale)


@given(st.integers(0, 10**6))
def test_one_pixel_and_one_weight_land_where_they_must(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.choice(SIDES[:8], 2))
    window = tuple(int(rng.integers(1, n + 1)) for n in shape)
    tiling = tiling_of(shape, window)
    pixel = tuple(int(rng.integers(n)) for n in shape)
    weight = tuple(int(rng.integers(k)) for k in window)
    tile, kernel = np.zeros(shape), np.zeros(window)
    tile[pixel], kernel[weight] = 3, 5
    wanted = np.zeros(tiling.positions)
    place = tuple(p - w for p, w in zip(pixel, weight, strict=True))
    if all(0 <= p < n for p, n in zip(place, tiling.positions, strict=True)):
        wanted[place] = 15
    np.testing.assert_allclose(correlated([tile], [kernel], tiling), wanted, rtol=0, atol=2e-14)


def test_tiles_are_left_alone_unless_made_for_it():
    rng = np.random.default_rng(0)
    tile = rng.normal(size=(50, 60))
    tile.setflags(write=False)
    tiling = tiling_of((64, 96), (9, 8))
    transforms = CompiledTransforms(tiling)
    room = transforms.empty_tile(np.float64)
    room[...] = 0
    room[:50, :60] = tile
    spectra = transforms.transform(tile), transforms.transform(room, overwrite=True)
    np.testing.assert_array_equal(*spectra)


@given(st.tuples(*[st.integers(1, 3000)] * 2), st.tuples(*[st.floats(0.01, 1)] * 2))
def test_tilings_for_them_are_of_lengths_they_can_do(shape, shares):
    window = tuple(max(1, int(n * share)) for n, share in zip(shape, shares, strict=True))
    transforms = select.choose(0, shape).transforms(shape, window)
    assert isinstance(transforms, CompiledTransforms) == (min(shape) >= 32)
    if min(shape) < 32:
        return
    for side in transforms.tiling.fft_shape:
        assert side % 32 == 0
        for factor in (2, 3, 5):
            while side % factor == 0:
                side //= factor
        assert side == 1


def test_code_on_disk_is_made_anew_when_any_source_of_it_has_changed():
    stamp = numba_scoring.score_exactly._cache._cache_file._source_stamp
    assert stamp[-1] == cache._sources()


def test_vectors_put_aside_lie_within_lines_of_cache():
    @compiler.instructions
    def copy(code, values, out):
        code.store(code.load(values, code.sum(0)), out, code.sum(0))

    @njit
    def compiled(values, out):
        copy(values, out)

    values, out = np.arange(64.0), np.zeros(64)
    compiled(values, out)
    np.testing.assert_array_equal(out, np.where(values < vectors.VECTOR_BYTES // 8, values, 0))
    assert f"alignstack={vectors.VECTOR_BYTES}" in compiled.inspect_llvm(compiled.signatures[0])


@pytest.mark.parametrize("image", [(1, 5000), (4, 300), (31, 31)])
def test_thin_images_are_left_to_scipy(image):
    assert isinstance(select.choose(0, image).transforms(image, (1, 20)), SciPyTransforms)
    assert isinstance(select.choose(0, (32, 40)).transforms((32, 40), (9, 20)), CompiledTransforms)
