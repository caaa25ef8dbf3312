import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

import tmatch
from tmatch import kernels

# --- by definition --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("identity", [[1]]),
        ("sharpen", [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
        ("laplacian", [[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
        ("edge_detect_1", [[1, 0, -1], [0, 0, 0], [-1, 0, 1]]),
        ("edge_detect_2", [[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
        ("edge_detect_3", [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
        ("sobel_x", [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
        ("sobel_y", [[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
        ("emboss", [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]),
        ("ripple", [[0, -1, 2**0.5], [1, 0, -1], [-(2**0.5), 1, 0]]),
        ("box", np.full((3, 3), 1 / 9)),
    ],
)
def test_kernels_have_their_weights(name, rows):
    np.testing.assert_array_equal(kernels.get(name), rows)


@pytest.mark.parametrize(("sigma", "length"), [(0.3, 5), (1, 9), (2, 17), (2.5, 21)])
def test_gaussian_equals_that_of_ndimage(sigma, length):
    dot = np.zeros((length, length))
    dot[length // 2, length // 2] = 1
    expected = ndimage.gaussian_filter(dot, sigma, radius=length // 2, mode="constant")
    assert kernels.gaussian(sigma).shape == (length, length)
    np.testing.assert_allclose(kernels.gaussian(sigma), expected, rtol=1e-12)  # the same formula


# --- laws -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", kernels.names())
def test_every_kernel_of_the_bank_is_listed_by_its_function(name):
    kernel = kernels.get(name)
    assert name in kernels.__all__
    assert kernel.dtype == np.float64
    np.testing.assert_array_equal(getattr(kernels, name)(), kernel)
    kernel += 1  # a kernel belongs to its caller: the bank is not changed
    assert np.all(kernels.get(name) != kernel)


BRIGHTNESS = {"identity": 1, "box": 1, "gaussian": 1, "sharpen": 1, "emboss": 1}


@pytest.mark.parametrize("name", kernels.names())
def test_flats_keep_their_brightness_or_vanish(name):
    flat = tmatch.convolve(np.full((12, 12), 100), kernels.get(name), output="valid")
    expected = 100 * BRIGHTNESS.get(name, 0)
    np.testing.assert_allclose(flat, expected, rtol=0, atol=1e-12)  # weights are rounded to float64


@given(st.integers(1, 9), st.integers(1, 9))
def test_box_takes_the_mean(height, width):
    image = np.arange(81.0).reshape(9, 9)
    means = tmatch.correlate(image, kernels.box(height, width), output="valid")
    assert means[0, 0] == pytest.approx(image[:height, :width].mean(), rel=1e-14)


@given(st.integers(-3, 3), st.integers(-3, 3))
def test_shift_moves_the_picture_by_convolution_and_back_by_correlation(dy, dx):
    image, kernel = np.arange(56).reshape(7, 8), kernels.shift(dy, dx)
    moved = tmatch.convolve(image, kernel, border="wrap")
    np.testing.assert_array_equal(moved, np.roll(image, (dy, dx), (0, 1)))
    np.testing.assert_array_equal(tmatch.correlate(moved, kernel, border="wrap"), image)


def test_ripple_is_minus_itself_under_a_half_turn():
    np.testing.assert_array_equal(kernels.ripple(), -kernels.ripple()[::-1, ::-1])


def test_sobel_finds_the_slope_of_a_ramp_by_correlation():
    y, x = np.mgrid[:6, :7]
    np.testing.assert_array_equal(tmatch.correlate(3 * x + y, kernels.sobel_x(), output="valid"), 24)
    np.testing.assert_array_equal(tmatch.correlate(3 * x + y, kernels.sobel_y(), output="valid"), 8)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: kernels.get("sobel_z"), 'there is no kernel "sobel_z"; did you mean "sobel_y"?'),
        (lambda: kernels.get("?"), f'there is no kernel "?"; known are {", ".join(kernels.names())}'),
        (lambda: kernels.box(0, 3), "`height` and `width` are 0 and 3; both must be at least 1 pixel"),
        (lambda: kernels.gaussian(0), "`sigma` is 0; it must be above 0 pixels and finite"),
        (lambda: kernels.gaussian(np.nan), "`sigma` is nan; it must be above 0 pixels and finite"),
        (lambda: kernels.gaussian(np.inf), "`sigma` is inf; it must be above 0 pixels and finite"),
    ],
    ids=["near", "far", "box", "zero", "nan", "inf"],
)
def test_kernels_that_cannot_be_are_refused(call, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        call()
