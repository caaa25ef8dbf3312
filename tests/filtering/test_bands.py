"""Filters that are applied band by band."""

import os

import numpy as np
import pytest
from scipy import ndimage

from tmatch._filtering import bands
from tmatch._filtering.bands import STEPS, BandFilter
from tmatch._filtering.filters import correlate


def kernels_of(ndim, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(5,) * ndim), rng.normal(size=(9,) * ndim)]


def filter_all(image, kernels):
    by_band = BandFilter(kernels, 1)
    [result], limit = by_band.apply(lambda _number, rows: image[rows], 1, image.shape)
    assert limit in range(int(np.abs(result).max()), int(np.abs(result).max()) + 2)
    return result


def expected_of(image, kernels):
    results = [correlate(image, kernel, border="symmetric") for kernel in kernels]
    return results[0] if len(results) == 1 else results[0] - results[1]


@pytest.mark.parametrize("shape", [(3000,), (90, 31), (60, 8, 7), (1, 5)], ids=str)
@pytest.mark.parametrize("n_kernels", [1, 2])
def test_bands_are_filtered_as_the_whole_is(monkeypatch, shape, n_kernels):
    monkeypatch.setattr(bands, "_PIXELS", 200)
    image = np.random.default_rng(1).normal(size=shape)
    kernels = kernels_of(image.ndim)[:n_kernels]
    if shape == (1, 5):
        kernels = [kernel[4:5] for kernel in kernels]
    found, expected = filter_all(image, kernels), expected_of(image, kernels)
    scale = found.ravel() @ expected.ravel() / (expected.ravel() @ expected.ravel())
    np.testing.assert_allclose(found, scale * expected, atol=1)
    assert found.dtype == np.int16
    assert np.abs(found).max() >= STEPS


@pytest.mark.parametrize("factor", [0, 1e-12, 1e-3])
def test_a_faint_middle_does_not_make_the_rest_overflow(monkeypatch, factor):
    monkeypatch.setattr(bands, "_PIXELS", 200)
    image = np.random.default_rng(2).normal(size=(90, 31))
    image[20:70] *= factor
    kernels = kernels_of(2)
    found, expected = filter_all(image, kernels), expected_of(image, kernels)
    np.testing.assert_allclose(found, STEPS / np.abs(expected).max() * expected, atol=0.51)


def test_constant_images_are_filtered_to_zeros():
    kernel = np.random.default_rng(0).normal(size=(17, 17))
    kernel -= kernel.mean()
    for value in (7, 123.456, -1e200):
        image = np.full((40, 50), value)
        assert not filter_all(image, [kernel]).any()
        assert not filter_all(image, [kernel, np.full((1, 1), kernel.sum())]).any()


def test_large_results_lie_in_a_file_if_it_can_be_reserved(monkeypatch):
    monkeypatch.setattr(bands, "_MAX_BYTES", 100)
    image, kernels = np.random.default_rng(3).normal(size=(40, 31)), kernels_of(2)
    in_file = filter_all(image, kernels)
    assert isinstance(in_file, np.memmap) == hasattr(os, "posix_fallocate")

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bands.os, "posix_fallocate", full, raising=False)
    in_memory = filter_all(image, kernels)
    assert not isinstance(in_memory, np.memmap)
    np.testing.assert_array_equal(in_file, in_memory)


def smooth_noise(shape, blur, seed=4):
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), blur)


IMAGES = {
    "8 bits": lambda: np.rint(128 + 200 * smooth_noise((150, 170), 2)).astype(np.uint8),
    "16 bits": lambda: np.rint(51700 + 3000 * smooth_noise((150, 170), 2)).astype(np.uint16),
    "floats": lambda: 1e6 + smooth_noise((150, 170), 1),
    "tiny": lambda: 1e-30 * smooth_noise((150, 170), 1),
    "huge": lambda: 1e200 * smooth_noise((150, 170), 1),
    "rows alike": lambda: np.tile(np.random.default_rng(5).integers(0, 256, 170), (150, 1)),
    "signal": lambda: smooth_noise((20_000,), 2),
    "volume": lambda: smooth_noise((24, 26, 28), 1),
}


@pytest.mark.parametrize("name", IMAGES)
def test_single_precision_moves_few_pixels_and_none_by_more_than_a_step(monkeypatch, name):
    image = IMAGES[name]()
    kernel = np.random.default_rng(6).normal(size=(9,) * image.ndim)
    for kernels in ([kernel - kernel.mean()], [kernel, np.full((1,) * image.ndim, kernel.sum())]):
        found = filter_all(image, kernels)
        with monkeypatch.context() as patched:
            patched.setattr(bands, "_SINGLE_ERROR", np.inf)
            expected = filter_all(image, kernels)
        change = np.abs(found.astype(int) - expected)
        assert change.max() <= 1
        assert np.count_nonzero(change) <= 0.01 * image.size


@pytest.mark.parametrize(("faint", "dtype"), [(100, np.float32), (1e-8, np.float64)])
def test_what_single_precision_would_drown_is_filtered_in_double(faint, dtype):
    y, x = np.mgrid[:90, :100]
    image = 10 * y + 7 * x + faint * np.random.default_rng(7).normal(size=(90, 100))
    kernel = np.outer([1, -2, 1], [1, -2, 1])
    values, peak = BandFilter([kernel], 1)._filter(lambda _number, rows: image[rows], 0, slice(9, 80), 90)
    assert values.dtype == dtype
    expected = ndimage.correlate(image, kernel / np.linalg.norm(kernel))[9:80]
    np.testing.assert_allclose(values[:, 2:-2], expected[:, 2:-2], atol=peak / STEPS / 4)
