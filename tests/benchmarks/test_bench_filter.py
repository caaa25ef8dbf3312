"""Filters: `pytest tests/benchmarks/test_bench_filter.py --benchmark-enable`."""

import numpy as np
import pytest

import oracle
import tmatch

pytestmark = pytest.mark.parametrize("engine", ["numpy", "numba"], indirect=True, scope="module")


# --- equals the oracle ----------------------------------------------------------------------------


@pytest.mark.parametrize("border", ["constant", "reflect"])
@pytest.mark.parametrize("side", [3, 8])
def test_convolve(benchmark, draw, side, border):
    image, kernel = draw((40, 50)), draw((side, side), seed=1)
    result = benchmark(tmatch.convolve, image, kernel, border=border)
    expected = oracle.correlate(image, kernel, border, flip=True)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-11)


def test_correlate_with_a_separable_kernel(benchmark, draw):
    image, kernel = draw((40, 50)), np.outer(draw((9,), seed=1), draw((9,), seed=2))
    result = benchmark(tmatch.correlate, image, kernel)
    np.testing.assert_allclose(result, oracle.correlate(image, kernel), rtol=0, atol=1e-11)


# --- planted truth --------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [("u1", 1e-12), ("f4", 1e-5), ("f8", 1e-12)])
@pytest.mark.parametrize("side", [5, 31])
def test_a_bright_pixel_shows_the_kernel(benchmark, draw, side, dtype, tolerance):
    image, kernel = np.zeros((300, 400), dtype), draw((side, side), seed=1)
    image[150, 250] = 1
    expected = np.zeros(image.shape)
    start = 150 - side // 2, 250 - side // 2
    expected[start[0] : start[0] + side, start[1] : start[1] + side] = kernel
    result = benchmark(tmatch.convolve, image, kernel)
    np.testing.assert_allclose(result, expected, rtol=0, atol=tolerance * np.abs(kernel).sum())
