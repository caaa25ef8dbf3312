"""Filters that are applied band by band."""

import os

import numpy as np
import pytest

from tmatch._filtering import bands
from tmatch._filtering.bands import STEPS, BandFilter
from tmatch._filtering.filters import correlate

pytestmark = pytest.mark.one_engine


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
