import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage, signal

import oracle
import tmatch
from loops import each

BORDERS = ["constant", "edge", "reflect", "symmetric", "wrap"]
OUTPUTS = ["same", "valid", "full"]
FILTERS = {"correlate": tmatch.correlate, "convolve": tmatch.convolve}
SHAPES = [  # image, kernel: odd, even, one pixel, as big as the image, bigger
    ((6,), (3,)),
    ((6,), (4,)),
    ((3,), (11,)),
    ((1,), (4,)),
    ((6, 5), (3, 3)),
    ((5, 6), (2, 4)),
    ((4, 5), (1, 1)),
    ((4, 3), (4, 3)),
    ((2, 3), (7, 6)),
    ((7, 8), (5, 6)),
    ((3, 4, 3), (3, 2, 1)),
]
CASES = [
    (shapes, output)
    for shapes, output in itertools.product(SHAPES, OUTPUTS)
    if output != "valid" or all(k <= n for n, k in zip(*shapes, strict=True))
]
EXACT = 1e-12  # sums of some tens of numbers near 1 in float64


def outside(border, value):
    """A fill value for the one border that takes it."""
    return value if border == "constant" else 0.0


# --- equals the oracle ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("border", BORDERS)
@each("shapes, output", CASES)
def test_filters_equal_the_oracle(draw, shapes, output, border, name):
    image, kernel = draw(shapes[0], seed=1), draw(shapes[1], seed=2)
    result = FILTERS[name](image, kernel, border=border, fill_value=outside(border, -2.5), output=output)
    expected = oracle.correlate(image, kernel, border, -2.5, output, flip=name == "convolve")
    np.testing.assert_allclose(result, expected, rtol=0, atol=EXACT)


@each("fill_value", [0.0, 0.1, -1, -3.5, 300, 1e5, 1e20])
@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u2", "i2", "u4", "i4", "f2", "f8", ">i2", ">f8"])
def test_every_dtype_with_any_fill_value_equals_the_oracle(draw, dtype, fill_value):
    image, kernel = draw((6, 5), dtype), draw((3, 4))
    result = tmatch.correlate(image, kernel, fill_value=fill_value)
    expected = oracle.correlate(image, kernel, "constant", fill_value)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-14 * abs(expected).max())


def with_gaps(image, share=0.3):
    return np.where(np.random.default_rng(3).random(image.shape) < share, np.nan, image)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("border", BORDERS)
@each("kernel_shape, output", [((3, 3), "same"), ((2, 5), "full"), ((4, 1), "valid"), ((1, 1), "same")])
@each("dtype", ["f2", "f4", "f8", ">f8", "c16"])
def test_missing_pixels_are_left_out_as_by_the_oracle(draw, kernel_shape, output, dtype, border, name):
    image, kernel = (
        with_gaps(draw((7, 9), dtype.replace("f2", "f4")), 0.5).astype(dtype),
        np.abs(draw(kernel_shape)),
    )
    found = FILTERS[name](
        image, kernel, border=border, output=output, missing="ignore", dtype=np.result_type(dtype, "f8")
    )
    expected = oracle.correlate(image, kernel, border, 0, output, name == "convolve", "ignore")
    assert np.isnan(image).any()
    assert np.isnan(expected).any() or kernel_shape != (1, 1)
    np.testing.assert_allclose(found, expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", FILTERS)
@each("kernel", [[[0, -1, 0], [-1, 5, -1], [0, -1, 0]], [[1, 2, -3, 1]], [[1 + 2j, 3], [0, 1j]]])
def test_missing_pixels_are_left_out_of_signed_and_complex_kernels_too(draw, kernel, name):
    image = with_gaps(draw((7, 9)))
    found = FILTERS[name](image, kernel, missing="ignore", border="constant", fill_value=40)
    expected = oracle.correlate(image, kernel, "constant", 40, "same", name == "convolve", "ignore")
    np.testing.assert_allclose(found, expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("size", [3, 40])
@pytest.mark.parametrize("border", BORDERS)
def test_missing_pixels_cost_no_digits_far_from_them(draw, size, border):
    image, kernel = draw((90, 100)), np.abs(draw((size, size)))
    gaps = image.copy()
    gaps[50, 60] = np.nan
    found, whole = (tmatch.correlate(each, kernel, border=border, missing="ignore") for each in (gaps, image))
    np.testing.assert_array_equal(whole, tmatch.correlate(image, kernel, border=border))
    np.testing.assert_allclose(found[:20], whole[:20], atol=1e-10, rtol=0)
    assert np.isfinite(found).all()


def test_missing_pixels_of_a_constant_image_change_nothing(draw):
    image, kernel = np.full((20, 30), 7.0), np.abs(draw((5, 4)))
    image[4:10, 5:12] = np.nan
    found = tmatch.convolve(image, kernel, border="edge", missing="ignore")
    np.testing.assert_allclose(found[np.isfinite(found)], 7 * kernel.sum())
    assert np.argwhere(np.isnan(found)).tolist() == [[y, x] for y in (6, 7) for x in (6, 7, 8, 9)]


@pytest.mark.parametrize("axis", [0, 2])
def test_each_channel_has_its_own_missing_pixels(draw, axis):
    channels, kernels = [with_gaps(c) for c in draw((3, 7, 9))], [np.abs(c) for c in draw((3, 3, 2))]
    image, several = np.stack(channels, axis), np.stack(kernels, axis)
    for kernel, own in ((several, kernels), (kernels[0], kernels[:1] * 3)):
        found = tmatch.correlate(image, kernel, channel_axis=axis, missing="ignore", stride=2)
        expected = [
            tmatch.correlate(c, k, missing="ignore", stride=2) for c, k in zip(channels, own, strict=True)
        ]
        np.testing.assert_allclose(found, np.stack(expected, axis))


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_each_channel_is_filtered_by_itself(draw, name, axis):
    image, kernel = draw((6, 5, 3)), draw((3, 4))
    result = FILTERS[name](np.moveaxis(image, 2, axis), kernel, border="wrap", channel_axis=axis)
    planes = [oracle.correlate(image[..., c], kernel, "wrap", flip=name == "convolve") for c in range(3)]
    np.testing.assert_allclose(result, np.stack(planes, axis), rtol=0, atol=EXACT)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_each_channel_may_have_its_own_kernel(draw, name, axis):
    image, kernel = draw((6, 5, 3)), draw((3, 4, 3), seed=1)
    moved = np.moveaxis(image, 2, axis), np.moveaxis(kernel, 2, axis)
    result = FILTERS[name](*moved, border="edge", channel_axis=axis)
    planes = [FILTERS[name](image[..., c], kernel[..., c], border="edge") for c in range(3)]
    np.testing.assert_array_equal(result, np.stack(planes, axis))


@pytest.mark.parametrize("output", OUTPUTS)
def test_complex_kernels_are_conjugated_by_correlate_alone(draw, output):
    image, kernel = draw((6, 5), "c16"), draw((2, 3), "c16")
    for name, conjugate in [("correlate", np.conj), ("convolve", np.asarray)]:
        result = FILTERS[name](image, kernel, output=output)
        expected = oracle.correlate(image, kernel, output=output, flip=name == "convolve")
        np.testing.assert_allclose(result, expected, rtol=0, atol=EXACT)
        one = FILTERS[name]([1], kernel[:1, 0])  # one pixel of 1 gives the weight itself
        np.testing.assert_array_equal(one, conjugate(kernel[:1, 0]))


@each(
    "image, kernel, result",
    [
        ("u1", "u1", "f8"),
        ("i8", "f4", "f8"),
        ("f2", "f8", "f8"),
        ("f8", "f4", "f8"),
        ("g", "f8", "f8"),
        ("f4", "f8", "f4"),
        ("f4", "c16", "c8"),
        ("c8", "f8", "c8"),
        ("u1", "c8", "c16"),
        ("c16", "f4", "c16"),
    ],
)
@each("border", BORDERS)
def test_result_dtype_follows_the_image(draw, border, image, kernel, result):
    assert tmatch.correlate(draw((5, 5), image), draw((3, 3), kernel), border=border).dtype == result


@pytest.mark.parametrize(
    ("image", "dtype"), [("u1", "f4"), ("f4", "f8"), ("f8", "f4"), ("c16", "c8"), ("c8", "c16")]
)
def test_result_has_the_dtype_asked_for_and_its_precision(draw, image, dtype):
    pixels, kernel = draw((9, 8), image), draw((5, 6), seed=1)
    result = tmatch.correlate(pixels, kernel, dtype=dtype)
    expected = oracle.correlate(pixels, kernel)
    assert result.dtype == dtype
    bound = 20 * np.finfo(dtype).eps * abs(expected).max()  # sums of 30 values
    np.testing.assert_allclose(result, expected, rtol=0, atol=bound)


# --- equals the peers -----------------------------------------------------------------------------

NDIMAGE = dict(zip(BORDERS, ["constant", "nearest", "mirror", "reflect", "wrap"], strict=True))


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("border", BORDERS)
@each("shapes", SHAPES)
def test_filters_equal_those_of_ndimage_even_kernels_too(draw, shapes, border, name):
    image, kernel = draw(shapes[0], seed=1), draw(shapes[1], seed=2)
    result = FILTERS[name](image, kernel, border=border, fill_value=outside(border, 0.5))
    expected = getattr(ndimage, name)(image, kernel, mode=NDIMAGE[border], cval=0.5)
    np.testing.assert_allclose(result, expected, rtol=0, atol=EXACT)


@pytest.mark.parametrize("name", FILTERS)
@each("output", ["full", "valid", "same"])
@pytest.mark.parametrize(
    ("border", "boundary"), [("constant", "fill"), ("wrap", "wrap"), ("symmetric", "symm")]
)
@each("kernel_shape", [(1, 1), (3, 5), (4, 3), (5, 2), (4, 6)])
@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_filters_equal_those_of_signal(draw, dtype, kernel_shape, border, boundary, output, name):
    image, kernel = draw((8, 7), dtype, 1), draw(kernel_shape, dtype, 2)
    ours = FILTERS[name](image, kernel, border=border, fill_value=outside(border, 0.5), output=output)
    theirs = getattr(signal, f"{name}2d")(image, kernel, output, boundary, outside(border, 0.5))
    if output == "same":
        # On even axes signal puts the centre one pixel off ours (and off ndimage's): before it in
        # correlate2d, after it in convolve2d.
        later = tuple(slice(k % 2 == 0, None) for k in kernel_shape)
        earlier = tuple(slice(n - (k % 2 == 0)) for n, k in zip(ours.shape, kernel_shape, strict=True))
        ours, theirs = (
            (ours[later], theirs[earlier]) if name == "correlate" else (ours[earlier], theirs[later])
        )
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=EXACT)


# --- laws -----------------------------------------------------------------------------------------

small = st.integers(-9, 9)
pictures = hnp.arrays(
    np.int8, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=small, fill=st.nothing()
)
kernels = hnp.arrays(
    np.int8, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=small, fill=st.nothing()
)
any_border, any_name = st.sampled_from(BORDERS), st.sampled_from(list(FILTERS))


@given(pictures, kernels, any_border, st.sampled_from(["same", "full"]), any_name)
def test_whole_numbers_equal_the_oracle_exactly(image, kernel, border, output, name):
    result = FILTERS[name](image, kernel, border=border, output=output)
    expected = oracle.correlate(image, kernel, border, 0, output, flip=name == "convolve")
    np.testing.assert_array_equal(result, expected)


@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 8), st.integers(1, 8)),
        elements=st.floats(-1, 1),
        fill=st.nothing(),
    )
)
def test_identity_changes_nothing(image):
    for border in BORDERS:
        np.testing.assert_array_equal(tmatch.convolve(image, tmatch.kernels.identity(), border=border), image)


@given(pictures, kernels)
def test_flip_turns_one_filter_into_the_other(image, kernel):
    for output in ("full", "same"):
        odd = kernel if output == "full" else kernel[: (kernel.shape[0] - 1) | 1, : (kernel.shape[1] - 1) | 1]
        np.testing.assert_array_equal(
            tmatch.convolve(image, odd, output=output),
            tmatch.correlate(image, odd[::-1, ::-1], output=output),
        )


@given(kernels, kernels, kernels)
def test_full_convolution_commutes_and_associates(a, b, c):
    ab = tmatch.convolve(a, b, output="full")
    np.testing.assert_array_equal(ab, tmatch.convolve(b, a, output="full"))
    np.testing.assert_array_equal(
        tmatch.convolve(ab, c, output="full"),
        tmatch.convolve(a, tmatch.convolve(b, c, output="full"), output="full"),
    )


@given(pictures, kernels)
def test_full_output_sums_to_the_product_of_the_sums(image, kernel):
    for filtered in (f(image, kernel, output="full") for f in FILTERS.values()):
        assert filtered.sum() == image.sum(dtype=int) * kernel.sum(dtype=int)


@given(pictures, kernels, st.integers(0, 7), st.integers(0, 7), any_name)
def test_filtering_a_wrapped_shift_shifts_the_result(image, kernel, dy, dx, name):
    shifted = FILTERS[name](np.roll(image, (dy, dx), (0, 1)), kernel, border="wrap")
    expected = np.roll(FILTERS[name](image, kernel, border="wrap"), (dy, dx), (0, 1))
    np.testing.assert_array_equal(shifted, expected)


@given(pictures, kernels, any_border, any_name, st.data())
def test_valid_and_same_are_parts_of_full_by_the_anchor(image, kernel, border, name, data):
    full = FILTERS[name](image, kernel, border=border, output="full")
    anchor = data.draw(st.none() | st.tuples(*[st.integers(0, k - 1) for k in kernel.shape]))
    same = FILTERS[name](image, kernel, border=border, anchor=anchor)
    centre = anchor or [k // 2 for k in kernel.shape]
    first = [c if name == "convolve" else k - 1 - c for c, k in zip(centre, kernel.shape, strict=True)]
    inside = tuple(slice(f, f + n) for f, n in zip(first, image.shape, strict=True))
    np.testing.assert_array_equal(same, full[inside])
    if all(k <= n for k, n in zip(kernel.shape, image.shape, strict=True)):
        inside = tuple(slice(k - 1, n) for k, n in zip(kernel.shape, image.shape, strict=True))
        valid = FILTERS[name](image, kernel, output="valid")
        np.testing.assert_array_equal(valid, full[inside])


@given(pictures, kernels, any_name, st.sampled_from(["same", "full"]), st.integers(1, 9), st.integers(1, 9))
def test_stride_keeps_every_so_manieth_result(image, kernel, name, output, dy, dx):
    everything = FILTERS[name](image, kernel, output=output)
    for stride, kept in [((dy, dx), everything[::dy, ::dx]), (dy, everything[::dy, ::dy])]:
        np.testing.assert_array_equal(FILTERS[name](image, kernel, output=output, stride=stride), kept)


# --- planted truth --------------------------------------------------------------------------------


def test_ripple_kernel_tells_convolution_from_correlation(picture):
    image, s = picture("camera/image.png")[200:300, 200:320], np.sqrt(2)
    ripple = np.array([[0, -1, s], [1, 0, -1], [-s, 1, 0]])
    correlated, convolved = tmatch.correlate(image, ripple), tmatch.convolve(image, ripple)
    assert abs(correlated).max() > 100
    np.testing.assert_allclose(convolved, -correlated, rtol=0, atol=1e-11)  # 8-bit values, 8 taps


def test_a_weight_left_of_the_centre_moves_left_by_convolution_and_right_by_correlation(draw):
    image, kernel = draw((5, 6)), np.zeros((3, 3))
    kernel[1, 0] = 1
    left, right = tmatch.convolve(image, kernel), tmatch.correlate(image, kernel)
    np.testing.assert_array_equal(left[:, :-1], image[:, 1:])
    np.testing.assert_array_equal(left[:, -1], 0)
    np.testing.assert_array_equal(right[:, 1:], image[:, :-1])
    np.testing.assert_array_equal(right[:, 0], 0)


def test_a_single_pixel_shows_the_kernel_by_convolution_and_its_flip_by_correlation():
    dot = np.zeros((5, 5))
    dot[2, 2] = 1
    kernel = np.arange(9).reshape(3, 3)
    np.testing.assert_array_equal(tmatch.convolve(dot, kernel)[1:4, 1:4], kernel)
    np.testing.assert_array_equal(tmatch.correlate(dot, kernel)[1:4, 1:4], kernel[::-1, ::-1])


def test_8_bit_sums_do_not_wrap():
    image = np.full((8, 8), 200, np.uint8)
    np.testing.assert_array_equal(tmatch.correlate(image, np.ones((3, 3), np.uint8), output="valid"), 1800)


@pytest.mark.parametrize("fill_value", [2**24 + 1, -(2**40) - 1])
def test_integers_are_exact_beside_a_huge_fill_value_too(draw, fill_value):
    image, kernel = draw((20, 21), "u1"), draw((9, 10), "i1")
    for part in (kernel, kernel[:2, :2]):
        expected = oracle.correlate(image, part, "constant", fill_value)  # below 2**53
        np.testing.assert_array_equal(tmatch.correlate(image, part, fill_value=fill_value), expected)


@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("kernel_shape", [(3, 4), (9, 8), (120, 3)], ids=str)
def test_borders_are_right_in_every_tile(cut, draw, kernel_shape, border, cores):
    image, kernel = draw((50, 43), "i2"), draw(kernel_shape, "i1")
    for name, function in FILTERS.items():
        whole = [function(image, kernel, border=border, output=output) for output in ("same", "full")]
        cut((17, 11), cores)
        parts = [function(image, kernel, border=border, output=output) for output in ("same", "full")]
        for a, b in zip(whole, parts, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)


@each("border", BORDERS)
@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u2", "i2", "u4", "i8", "u8"])
def test_integers_are_exact_on_large_images_too(draw, dtype, border):
    image, kernel = draw((300, 310), dtype), draw((7, 7), "i1").astype(np.float64)
    image = image >> 24 if dtype in {"i8", "u8"} else image  # sums stay below 2**53
    result = tmatch.correlate(image, kernel, border=border)
    padded = np.pad(image.astype(np.int64), 3, mode=border)
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape)
    expected = np.einsum("yxij,ij->yx", windows, kernel.astype(np.int64))
    np.testing.assert_array_equal(result, expected)


# --- back to pixels -------------------------------------------------------------------------------


@pytest.mark.engine_free
@each(
    "how, dtype, values, pixels",
    [
        ("clip", "u1", [-20, 0, 100, 255, 300], [0, 0, 100, 255, 255]),
        ("clip", "i1", [-200, -128, 127, 128], [-128, -128, 127, 127]),
        ("clip", "u2", [-1, 65535, 65536], [0, 65535, 65535]),
        ("clip", "i2", [-1e300, -32768, 32767, 1e300], [-32768, -32768, 32767, 32767]),
        ("clip", "i4", [-3e9, 2**31 - 1, 3e9], [-(2**31), 2**31 - 1, 2**31 - 1]),
        ("clip", "u1", [0.5, 1.5, 2.5, 3.5, 254.5, 255.5], [0, 2, 2, 4, 254, 255]),
        ("clip", "u1", [False, True], [0, 1]),
        ("rescale", "u1", [-20, 100, 300], [0, 96, 255]),
        ("rescale", "i2", [0.0, 0.5, 1.0], [-32768, 0, 32767]),
        ("rescale", "u2", [-1, 1], [0, 65535]),
        ("rescale", "u1", [1e-300, 3e-300], [0, 255]),
        ("rescale", "u1", [7, 7], [0, 0]),
        ("rescale", "i2", [7, 7], [-32768, -32768]),
        ("wrap", "u1", [-20, -1, 255, 256, 300, 1000], [236, 255, 255, 0, 44, 232]),
        ("wrap", "i1", [127, 128, -129], [127, -128, 127]),
        ("wrap", "i2", [32768, -32769], [-32768, 32767]),
        ("wrap", "u2", [65536, -1], [0, 65535]),
        ("wrap", "u1", [255.5, 256.5], [0, 0]),
        ("abs", "u1", [-20, 100, -300], [20, 100, 255]),
        ("abs", "i1", [-128, -5], [127, 5]),
    ],
)
def test_values_come_back_as_pixels_by_the_rule(how, dtype, values, pixels):
    result = tmatch.to_range(values, how=how, dtype=dtype)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, pixels)


@pytest.mark.engine_free
def test_pixels_keep_shape_and_may_be_none_at_all():
    assert tmatch.to_range(np.zeros((2, 0, 3)), how="rescale").shape == (2, 0, 3)
    assert tmatch.to_range(np.float64(3)).shape == ()


@pytest.mark.engine_free
@given(
    hnp.arrays(np.int64, 10, elements=st.integers(-(2**62), 2**62), fill=st.nothing()),
    st.sampled_from(["u1", "i1", "u2", "i4"]),
)
def test_wrapping_counts_round_as_integers_do(values, dtype):
    np.testing.assert_array_equal(tmatch.to_range(values, how="wrap", dtype=dtype), values.astype(dtype))


@pytest.mark.engine_free
@given(
    hnp.arrays(np.float64, 10, elements=st.floats(-1e6, 1e6), fill=st.nothing()),
    st.sampled_from(["u1", "i1", "u2", "i2"]),
)
def test_ranges_are_filled_and_kept(values, dtype):
    clipped = tmatch.to_range(values, dtype=dtype)
    np.testing.assert_array_equal(tmatch.to_range(clipped, dtype=dtype), clipped)
    scaled, ends = tmatch.to_range(values, how="rescale", dtype=dtype), np.iinfo(dtype)
    assert scaled.min() == ends.min
    assert scaled.max() == (ends.max if np.ptp(values) > 0 else ends.min)
    assert np.all(np.diff(scaled[np.argsort(values)].astype(int)) >= 0)


# --- refusals -------------------------------------------------------------------------------------

ONES, NAN = np.ones((4, 5)), np.array([[1.0, np.nan]])


@pytest.mark.engine_free
@each("name", FILTERS)
@pytest.mark.parametrize(
    ("image", "kernel", "options", "error", "sentence"),
    [
        (["a"], [1], {}, TypeError, "`image` has dtype <U1; it must hold numbers"),
        ([1], [None], {}, TypeError, "`kernel` has dtype object; it must hold numbers"),
        (
            NAN,
            [[1]],
            {},
            ValueError,
            "`image` has NaN or infinite values, the first at [0, 1]; replace them first, for "
            "instance with np.nan_to_num",
        ),
        (
            ONES,
            [[np.inf]],
            {},
            ValueError,
            "`kernel` has NaN or infinite values, the first at [0, 0]; replace them first, for "
            "instance with np.nan_to_num",
        ),
        (
            ONES[:0],
            [[1]],
            {},
            ValueError,
            "`image` has shape (0, 5); it must have at least one axis and one pixel",
        ),
        (3, 1, {}, ValueError, "`image` has shape (); it must have at least one axis and one pixel"),
        (
            ONES,
            [1, 2],
            {},
            ValueError,
            "`kernel` has shape (2,); it must have 2 axes, as the image has, and no empty one",
        ),
        (
            ONES,
            np.ones((0, 2)),
            {},
            ValueError,
            "`kernel` has shape (0, 2); it must have 2 axes, as the image has, and no empty one",
        ),
        (
            ONES,
            np.ones((4, 6)),
            {"channel_axis": 1},
            ValueError,
            "`kernel` has 6 channels and `image` has 5; they must be equal",
        ),
        (
            ONES,
            np.ones((5, 6)),
            {"output": "valid"},
            ValueError,
            '`kernel` has shape (5, 6), larger than `image` (4, 5) on axes 0, 1; use "same" or "full"',
        ),
        (
            NAN * 1j,
            [[1]],
            {},
            ValueError,
            "`image` has NaN or infinite values, the first at [0, 1]; replace them first, for "
            "instance with np.nan_to_num",
        ),
        (
            NAN,
            [[1, -1]],
            {"missing": "ignore"},
            ValueError,
            "`kernel` has weights that add up to 0, of which no share is left where pixels are missing; with "
            'missing="ignore" it must have another sum: fill the missing pixels first',
        ),
        (
            np.where(np.isnan(NAN), np.inf, NAN),
            [[1]],
            {"missing": "ignore"},
            ValueError,
            "`image` has NaN or infinite values, the first at [0, 1]; replace them first, for "
            "instance with np.nan_to_num",
        ),
        (
            ONES,
            [[1]],
            {"missing": "ignored"},
            ValueError,
            """`missing` is 'ignored'; it must be one of "refuse", "ignore"; did you mean "ignore"?""",
        ),
        (
            np.ma.masked_less(ONES, 3),
            [[1]],
            {},
            TypeError,
            "`image` is a masked array; fill it first, for instance with `image.filled(0)`",
        ),
        (
            ONES,
            ONES,
            {"fill_value": np.nan},
            ValueError,
            "`fill_value` is nan; it must be finite",
        ),
        (
            ONES,
            ONES,
            {"fill_value": 3.0, "border": "edge"},
            ValueError,
            '`fill_value` is 3.0 with border="edge"; only border="constant" fills',
        ),
        (
            np.ones((4, 5, 0)),
            [[1]],
            {"channel_axis": 2},
            ValueError,
            "`image` has shape (4, 5, 0); it must have at least one axis and one pixel",
        ),
        (
            np.ones((4, 5, 3)),
            np.ones((2, 2, 2)),
            {"channel_axis": 2},
            ValueError,
            "`kernel` has 2 channels and `image` has 3; they must be equal",
        ),
        (
            ONES,
            ONES,
            {"stride": 0},
            ValueError,
            "`stride` is 0; it must be a whole number of at least 1, or 2 of them, one for each axis",
        ),
        (
            ONES,
            ONES,
            {"stride": (1, 2, 3)},
            ValueError,
            "`stride` is (1, 2, 3); it must be a whole number of at least 1, or 2 of them, one for each axis",
        ),
        (
            ONES,
            ONES,
            {"anchor": (0, 5)},
            ValueError,
            "`anchor` is (0, 5); it must be an element of the kernel, whose shape is (4, 5)",
        ),
        (
            ONES,
            ONES,
            {"anchor": (0, 0), "output": "full"},
            ValueError,
            '`anchor` is (0, 0) with output="full"; only output="same" lays the kernel on a pixel',
        ),
        (
            ONES,
            ONES,
            {"dtype": "u1"},
            ValueError,
            "`dtype` is uint8; it must be float32 or float64 here; `to_range` makes pixels of the result",
        ),
        (
            ONES * 1j,
            ONES,
            {"dtype": float},
            ValueError,
            "`dtype` is float64; it must be complex64 or complex128 here; `to_range` makes pixels of the result",
        ),
        (
            ONES,
            ONES,
            {"border": "mirror"},
            ValueError,
            '`border` is \'mirror\'; it must be one of "constant", "edge", "reflect", "symmetric", "wrap"',
        ),
        (
            ONES,
            ONES,
            {"output": "SAME"},
            ValueError,
            '`output` is \'SAME\'; it must be one of "valid", "same", "full"',
        ),
        (ONES, ONES, {"channel_axis": 2}, ValueError, "`channel_axis` is 2, but `image` has only 2 axes"),
        (ONES, ONES, {"channel_axis": -3}, ValueError, "`channel_axis` is -3, but `image` has only 2 axes"),
    ],
)
def test_filters_refuse_what_they_cannot_do(name, image, kernel, options, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        FILTERS[name](image, kernel, **options)


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("values", "options", "error", "sentence"),
    [
        (
            [np.nan],
            {},
            ValueError,
            "`values` has NaN or infinite values, the first at [0]; replace them first, for "
            "instance with np.nan_to_num",
        ),
        (
            [1j],
            {},
            TypeError,
            "`values` has dtype complex128; it must hold real numbers (bool, integers or floats)",
        ),
        (
            [1],
            {"how": "crop"},
            ValueError,
            '`how` is \'crop\'; it must be one of "clip", "rescale", "wrap", "abs"',
        ),
        (
            [1],
            {"dtype": float},
            TypeError,
            "`dtype` is float64; it must be an integer dtype of at most 32 bits",
        ),
        (
            [1],
            {"dtype": "i8"},
            TypeError,
            "`dtype` is int64; it must be an integer dtype of at most 32 bits",
        ),
        ([1], {"dtype": bool}, TypeError, "`dtype` is bool; it must be an integer dtype of at most 32 bits"),
    ],
)
def test_to_range_refuses_what_it_cannot_do(values, options, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        tmatch.to_range(values, **options)
