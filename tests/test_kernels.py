import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage import filters

import tmatch
from loops import each
from tmatch import kernels

# --- by definition --------------------------------------------------------------------------------


@pytest.mark.engine_free
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
        ("small_blur", np.full((7, 7), 1 / 49)),
        ("large_blur", np.full((21, 21), 1 / 441)),
        ("sharpen_more", [[-1, -1, -1], [-1, 9, -1], [-1, -1, -1]]),
        ("prewitt_x", [[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]]),
        ("prewitt_y", [[-1, -1, -1], [0, 0, 0], [1, 1, 1]]),
        ("scharr_x", [[-3, 0, 3], [-10, 0, 10], [-3, 0, 3]]),
        ("scharr_y", [[-3, -10, -3], [0, 0, 0], [3, 10, 3]]),
        ("scharr_complex", [[-3 - 3j, -10j, 3 - 3j], [-10, 0, 10], [-3 + 3j, 10j, 3 + 3j]]),
    ],
)
def test_kernels_have_their_weights(name, rows):
    np.testing.assert_array_equal(kernels.get(name), rows)


@pytest.mark.engine_free
@pytest.mark.parametrize(("sigma", "length"), [(0.3, 5), (1, 9), (2, 17), (2.5, 21)])
def test_gaussian_equals_that_of_ndimage(sigma, length):
    dot = np.zeros((length, length))
    dot[length // 2, length // 2] = 1
    expected = ndimage.gaussian_filter(dot, sigma, radius=length // 2, mode="constant")
    assert kernels.gaussian(sigma).shape == (length, length)
    np.testing.assert_allclose(kernels.gaussian(sigma), expected, rtol=1e-12)  # the same formula


@pytest.mark.engine_free
@pytest.mark.parametrize(("sigma", "size"), [(1, 1), (1.5, 2), (2, 7), (2, 10), (0.8, 10)])
def test_gaussian_of_a_size_is_centred_on_the_middle_of_the_array(sigma, size):
    middle = (size - 1) / 2
    expected = [
        [np.exp(-((i - middle) ** 2 + (j - middle) ** 2) / (2 * sigma**2)) for j in range(size)]
        for i in range(size)
    ]
    np.testing.assert_allclose(kernels.gaussian(sigma, size), expected / np.sum(expected), rtol=1e-12)


@pytest.mark.engine_free
@pytest.mark.parametrize("sigma", [0.02, 1e-200])
def test_very_narrow_gaussians_are_the_middle_pixels(sigma):
    np.testing.assert_array_equal(kernels.gaussian(sigma), np.pad([[1]], 1))
    np.testing.assert_array_equal(kernels.gaussian(sigma, np.int64(4)), np.pad(np.full((2, 2), 0.25), 1))


@pytest.mark.parametrize(
    ("kernel", "peer"),
    [
        (kernels.sobel_x(), lambda image: ndimage.sobel(image, axis=1)),
        (kernels.sobel_y(), lambda image: ndimage.sobel(image, axis=0)),
        (kernels.prewitt_x(), lambda image: ndimage.prewitt(image, axis=1)),
        (kernels.prewitt_y(), lambda image: ndimage.prewitt(image, axis=0)),
        (kernels.laplacian(), ndimage.laplace),
        (kernels.scharr_x() / 16, lambda image: filters.scharr(image, axis=1)),
        (kernels.scharr_y() / 16, lambda image: filters.scharr(image, axis=0)),
    ],
    ids=["sobel_x", "sobel_y", "prewitt_x", "prewitt_y", "laplacian", "scharr_x", "scharr_y"],
)
def test_slopes_and_laplacian_equal_those_of_ndimage_and_skimage(draw, kernel, peer):
    image = draw((9, 11))
    ours = tmatch.correlate(image, kernel, output="valid")
    np.testing.assert_allclose(ours, peer(image)[1:-1, 1:-1], rtol=0, atol=1e-13)


@pytest.mark.engine_free
@pytest.mark.parametrize("sigma", [0.5, 1.4, 2.5])
def test_laplacian_of_gaussian_is_that_of_ndimage_but_for_what_keeps_its_sum_from_0(sigma):
    kernel = kernels.laplacian_of_gaussian(sigma)
    radius = len(kernel) // 2
    dot = np.zeros(kernel.shape)
    dot[radius, radius] = 1
    peer = ndimage.gaussian_laplace(dot, sigma, mode="constant", truncate=radius / sigma)
    expected = peer - peer.sum() * kernels.gaussian(sigma)
    np.testing.assert_allclose(kernel, expected, rtol=0, atol=1e-14 * np.abs(peer).max())
    if sigma > 1:  # wide enough for the pixels: only what the cut left is taken off
        np.testing.assert_allclose(kernel, peer, rtol=0, atol=1e-3 * np.abs(peer).max())


@pytest.mark.engine_free
@pytest.mark.parametrize("angle", [0, 45, 90, 30, -60, 180])
@pytest.mark.parametrize("phase", [0, 40, 90])
def test_gabor_is_that_of_skimage_but_for_its_mean_and_scale(angle, phase):
    turn, wavelength, sigma = np.radians(angle), 7.0, 3.0
    stds = 8.5 / sigma / max(abs(np.cos(turn)), abs(np.sin(turn)))  # 9 pixels each way at every angle
    peer = filters.gabor_kernel(
        1 / wavelength, theta=-turn, sigma_x=sigma, sigma_y=sigma, n_stds=stds, offset=np.radians(phase)
    )
    bell = np.abs(peer) / np.abs(peer).sum()
    wave = peer.real / np.abs(peer)
    expected = bell * (wave - (bell * wave).sum())
    np.testing.assert_allclose(kernels.gabor(wavelength, angle, sigma, phase), expected, rtol=0, atol=1e-15)


@pytest.mark.engine_free
@given(st.integers(1, 12), st.floats(-400, 400))
def test_motion_blur_takes_the_mean_of_points_on_a_line(length, angle):
    kernel = kernels.motion_blur(length, angle)
    image = np.random.default_rng(0).random(kernel.shape)
    steps, middle = np.arange(length) - (length - 1) / 2, len(kernel) // 2
    rows = middle - steps * np.sin(np.radians(angle))
    columns = middle + steps * np.cos(np.radians(angle))
    points = ndimage.map_coordinates(image, (rows, columns), order=1, mode="nearest")
    assert (image * kernel).sum() == pytest.approx(points.mean(), rel=1e-12)


@pytest.mark.engine_free
@pytest.mark.parametrize("angle", [0, 180, -180])
def test_motion_blur_lies_at_0_degrees_and_stands_at_90(angle):
    row = np.zeros((5, 5))
    row[2] = 1 / 5
    np.testing.assert_array_equal(kernels.motion_blur(5, angle), row)
    np.testing.assert_array_equal(kernels.motion_blur(5, angle + 90), row.T)


@pytest.mark.engine_free
def test_motion_blur_at_45_degrees_rises_to_the_right():
    kernel = kernels.motion_blur(5, 45)
    assert kernel[0, 4] > 0
    assert kernel[0, 0] == 0
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1].T, rtol=1e-12)


# --- laws -----------------------------------------------------------------------------------------


@pytest.mark.engine_free
@each("name", kernels.names())
def test_every_kernel_of_the_bank_is_listed_by_its_function(name):
    kernel = kernels.get(name)
    assert name in kernels.__all__
    assert kernel.dtype == (np.complex128 if name == "scharr_complex" else np.float64)
    np.testing.assert_array_equal(getattr(kernels, name)(), kernel)
    kernel += 1  # a kernel belongs to its caller: the bank is not changed
    assert np.all(kernels.get(name) != kernel)


@pytest.mark.engine_free
def test_names_are_all_kernels_that_need_no_argument():
    others = {"get", "names", "normalize", "shift"}
    assert sorted(kernels.names()) == sorted(set(kernels.__all__) - others)


BRIGHT = {
    "identity", "box", "small_blur", "large_blur", "gaussian", "binomial", "motion_blur", "sharpen", "sharpen_more",
    "unsharp", "emboss",
}  # fmt: skip


@each("name", kernels.names())
def test_flats_keep_their_brightness_or_vanish(name):
    flat = tmatch.convolve(np.full((24, 24), 100), kernels.get(name), output="valid")
    expected = 100 if name in BRIGHT else 0
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


@pytest.mark.engine_free
def test_ripple_is_minus_itself_under_a_half_turn():
    np.testing.assert_array_equal(kernels.ripple(), -kernels.ripple()[::-1, ::-1])


def test_sobel_finds_the_slope_of_a_ramp_by_correlation():
    y, x = np.mgrid[:6, :7]
    np.testing.assert_array_equal(tmatch.correlate(3 * x + y, kernels.sobel_x(), output="valid"), 24)
    np.testing.assert_array_equal(tmatch.correlate(3 * x + y, kernels.sobel_y(), output="valid"), 8)


@pytest.mark.engine_free
@pytest.mark.parametrize("make", [kernels.gaussian, kernels.laplacian_of_gaussian])
@given(sigma=st.floats(0.5, 5))
def test_round_kernels_look_the_same_from_all_sides(make, sigma):
    kernel = make(sigma)
    assert len(kernel) % 2 == 1
    np.testing.assert_allclose(kernel, kernel.T, rtol=1e-12)
    np.testing.assert_array_equal(kernel, kernel[::-1])


@given(st.integers(1, 15))
def test_binomial_is_a_box_of_2_again_and_again(size):
    expected = np.ones((1, 1))
    for _ in range(size - 1):
        expected = tmatch.convolve(expected, kernels.box(2, 2), output="full")
    np.testing.assert_allclose(kernels.binomial(size), expected, rtol=1e-9, atol=1e-16)


@pytest.mark.engine_free
def test_binomial_has_10_rows_by_default():
    assert kernels.binomial().shape == (10, 10)
    assert kernels.binomial()[0, 0] == 2.0**-18


@pytest.mark.parametrize("size", [1, 3, 5])
def test_unsharp_is_twice_the_picture_minus_its_blur(draw, size):
    image = draw((9, 9))
    expected = 2 * image - tmatch.correlate(image, kernels.box(size, size))
    sharp = tmatch.correlate(image, kernels.unsharp(size))
    np.testing.assert_allclose(sharp, expected, rtol=0, atol=1e-14)


@pytest.mark.engine_free
@given(st.floats(2, 20), st.floats(-400, 400), st.floats(0.5, 5), st.floats(-400, 400))
def test_gabor_does_not_see_flats_and_turns_round_with_a_half_turn(wavelength, angle, sigma, phase):
    kernel = kernels.gabor(wavelength, angle, sigma, phase)
    assert len(kernel) % 2 == 1
    assert kernel.sum() == pytest.approx(0, abs=1e-15)
    turned = kernels.gabor(wavelength, angle + 180, sigma, phase)
    np.testing.assert_allclose(turned, kernel[::-1, ::-1], rtol=0, atol=1e-12)


# --- planted truth --------------------------------------------------------------------------------


@pytest.mark.engine_free
@pytest.mark.parametrize("angle", [0, 45, 90, 135])
def test_gabor_answers_most_to_stripes_across_its_angle(angle):
    y, x = np.mgrid[-9:10, -9:10]
    turn = np.radians(angle)
    stripes = np.cos(2 * np.pi * (x * np.cos(turn) - y * np.sin(turn)) / 8)
    answers = {a: (stripes * kernels.gabor(8, a)).sum() for a in (0, 45, 90, 135)}
    assert max(answers, key=answers.get) == angle
    assert (stripes * kernels.gabor(8, angle, phase=180)).sum() == pytest.approx(-answers[angle])


@pytest.mark.engine_free
@pytest.mark.parametrize(("angle", "darker"), [(0, np.s_[:, :9]), (90, np.s_[10:])])
def test_gabor_of_phase_90_answers_to_an_edge_that_gets_darker_along_its_angle(angle, darker):
    edge = np.zeros((19, 19))
    edge[darker] = 1  # bright on the side that the wave comes from
    assert (edge * kernels.gabor(angle=angle, phase=90)).sum() > 0.1


@pytest.mark.parametrize("angle", [-135, -90, -30, 0, 45, 90, 120])
def test_scharr_complex_tells_the_direction_of_a_ramp(angle):
    y, x = np.mgrid[:6, :7]
    turn = np.radians(angle)
    ramp = x * np.cos(turn) - y * np.sin(turn)  # brighter towards the angle, counter-clockwise as seen
    result = tmatch.correlate(ramp, kernels.scharr_complex(), output="valid")
    np.testing.assert_allclose(result, 32 * np.exp(1j * turn), rtol=0, atol=1e-12)
    flipped = tmatch.convolve(ramp, kernels.scharr_complex(), output="valid")
    np.testing.assert_allclose(flipped, -32 * np.exp(-1j * turn), rtol=0, atol=1e-12)


@pytest.mark.engine_free
def test_laplacian_of_gaussian_answers_most_to_discs_of_its_width_and_with_a_minus_to_bright_ones():
    kernel = kernels.laplacian_of_gaussian(3)
    y, x = np.mgrid[-12:13, -12:13]
    answers = {radius: kernel[np.hypot(y, x) <= radius].sum() for radius in range(1, 13)}
    assert min(answers, key=answers.get) == 4  # sqrt(2) * 3 = 4.2
    assert answers[4] < 0


# --- normalize ------------------------------------------------------------------------------------


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        ([[1, 2, 1]], [[0.25, 0.5, 0.25]]),
        (np.array([100, 200, 212], np.uint8), [100 / 512, 200 / 512, 212 / 512]),
        ([[-1, 0], [0, -1]], [[0.5, 0], [0, 0.5]]),
        ([2j, 2], [0.5 + 0.5j, 0.5 - 0.5j]),
        ([1 + 2.0**-30, -1], [2.0**30 + 1, -(2.0**30)]),
        (3, 1),
    ],
    ids=["row", "uint8", "negative", "complex", "small_sum", "no_axis"],
)
def test_normalize_divides_by_the_sum(layout, kernel, expected):
    kernel = layout(kernel) if np.ndim(kernel) else kernel
    weights = kernels.normalize(kernel)
    assert weights.dtype == (np.complex128 if np.iscomplexobj(kernel) else np.float64)
    np.testing.assert_array_equal(weights, expected)


@pytest.mark.engine_free
@pytest.mark.parametrize(
    "kernel", [kernels.sobel_x(), np.zeros((2, 2)), np.array([1 + 1e-13, -1]), np.array([1, 1j, -1, -1j])]
)
def test_normalize_leaves_kernels_of_sum_0_and_says_so(kernel):
    sentence = "`kernel` has the sum 0 and cannot be divided by it; it is returned unchanged"
    with pytest.warns(UserWarning, match=f"^{re.escape(sentence)}$") as warned:
        weights = kernels.normalize(kernel)
    assert warned[0].filename == __file__  # it points at the caller
    assert not np.shares_memory(weights, kernel)
    assert weights.dtype == kernel.dtype
    np.testing.assert_array_equal(weights, kernel)


# --- refusals -------------------------------------------------------------------------------------

COUNT = "it must be a whole number of pixels, at least 1"
SHAPE = "pixels and finite, for pixels to show its shape"
FINITE = "all weights and this sum must be finite"

REFUSED = {
    "near": (lambda: kernels.get("sobel_z"), 'there is no kernel "sobel_z"; did you mean "sobel_y"?'),
    "far": (lambda: kernels.get("?"), f'there is no kernel "?"; known are {", ".join(kernels.names())}'),
    "height": (lambda: kernels.box(0, 3), f"`height` is 0; {COUNT}"),
    "width": (lambda: kernels.box(3, 1.5), f"`width` is 1.5; {COUNT}"),
    "gaussian_size": (lambda: kernels.gaussian(1, 0), f"`size` is 0; {COUNT}"),
    "gaussian_half": (lambda: kernels.gaussian(1, 4.0), f"`size` is 4.0; {COUNT}"),
    "binomial": (lambda: kernels.binomial(0), f"`size` is 0; {COUNT}"),
    "unsharp": (lambda: kernels.unsharp(-1), f"`size` is -1; {COUNT}"),
    "unsharp_even": (
        lambda: kernels.unsharp(4),
        "`size` is 4; it must be odd, for a middle pixel: take 3 or 5",
    ),
    "motion_length": (lambda: kernels.motion_blur(0), f"`length` is 0; {COUNT}"),
    "motion_angle": (
        lambda: kernels.motion_blur(3, np.inf),
        "`angle` is inf; it must be a finite number of degrees",
    ),
    "log_narrow": (
        lambda: kernels.laplacian_of_gaussian(0.4),
        f"`sigma` is 0.4; it must be at least 0.5 {SHAPE}",
    ),
    "log_inf": (
        lambda: kernels.laplacian_of_gaussian(np.inf),
        f"`sigma` is inf; it must be at least 0.5 {SHAPE}",
    ),
    "gabor_short": (lambda: kernels.gabor(1.9), f"`wavelength` is 1.9; it must be at least 2 {SHAPE}"),
    "gabor_nan": (lambda: kernels.gabor(np.nan), f"`wavelength` is nan; it must be at least 2 {SHAPE}"),
    "gabor_narrow": (lambda: kernels.gabor(sigma=0), f"`sigma` is 0; it must be at least 0.5 {SHAPE}"),
    "gabor_angle": (
        lambda: kernels.gabor(angle=np.nan),
        "`angle` is nan; it must be a finite number of degrees",
    ),
    "gabor_phase": (
        lambda: kernels.gabor(phase=np.inf),
        "`phase` is inf; it must be a finite number of degrees",
    ),
    "empty": (
        lambda: kernels.normalize([[]]),
        "`kernel` is empty, of shape (1, 0); it must hold at least one weight",
    ),
    "nan_weight": (
        lambda: kernels.normalize([1, np.nan]),
        f"the magnitudes of `kernel` sum to nan; {FINITE}",
    ),
    "inf_weight": (
        lambda: kernels.normalize([np.inf, -np.inf]),
        f"the magnitudes of `kernel` sum to inf; {FINITE}",
    ),
    "overflow": (
        lambda: kernels.normalize([1e308, 1e308]),
        f"the magnitudes of `kernel` sum to inf; {FINITE}",
    ),
    "zero": (lambda: kernels.gaussian(0), "`sigma` is 0; it must be above 0 pixels and finite"),
    "nan": (lambda: kernels.gaussian(np.nan), "`sigma` is nan; it must be above 0 pixels and finite"),
    "inf": (lambda: kernels.gaussian(np.inf), "`sigma` is inf; it must be above 0 pixels and finite"),
}


@pytest.mark.engine_free
@pytest.mark.parametrize(("call", "sentence"), REFUSED.values(), ids=REFUSED)
def test_kernels_that_cannot_be_are_refused(call, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        call()


@pytest.mark.engine_free
def test_normalize_refuses_what_is_no_number():
    with pytest.raises(TypeError, match="^`kernel` is of type <U1; it must hold numbers$"):
        kernels.normalize(["a"])


@pytest.mark.engine_free
def test_small_integer_types_do_not_wrap_in_shift():
    assert tmatch.kernels.shift(np.uint8(200), np.int8(-128)).shape == (401, 257)


@pytest.mark.engine_free
@pytest.mark.parametrize("length", [np.uint8(17), np.int8(101)])
def test_small_integer_types_do_not_wrap_in_sizes(length):
    for kernel in (
        tmatch.kernels.box(length, length),
        tmatch.kernels.motion_blur(length),
        tmatch.kernels.unsharp(length),
    ):
        np.testing.assert_allclose(kernel.sum(), 1, rtol=1e-12)  # rounding of some thousand weights
