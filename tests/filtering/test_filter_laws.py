"""Filters against the plain loops on thousands of cases of every kind, on large images, and from odd memory."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

import oracle
import tmatch
from loops import each
from profiles import examples
from tmatch._engine import execution, threads
from tmatch._filtering import correlation

FILTERS = {"correlate": tmatch.correlate, "convolve": tmatch.convolve}
BORDERS = ["constant", "edge", "reflect", "symmetric", "wrap"]
OUTPUTS = ["same", "valid", "full"]
WHOLE, FLOATS, COMPLEX = ["?", "u1", "i2", "u2", "i4"], ["f4", "f8"], ["c8", "c16"]
KERNELS = ["general", "separable", "separable", "constant", "gaps", "nothing"]


# --- equals the oracle ----------------------------------------------------------------------------


def anchored(image, kernel, border, fill, anchor, *, flip):
    """The definition with an anchor: sum of pixel times weight, the anchor on the pixel."""
    dtype = np.result_type(image, kernel, np.float64)
    image, kernel = image.astype(dtype), kernel.astype(dtype)
    out = np.zeros(image.shape, dtype)
    for place in np.ndindex(image.shape):
        for k in np.ndindex(kernel.shape):
            away = [i - a for i, a in zip(k, anchor, strict=True)]
            there = [p - d if flip else p + d for p, d in zip(place, away, strict=True)]
            weight = kernel[k] if flip else np.conj(kernel[k])
            out[place] += oracle.outside(image, there, border, fill) * weight
    return out


def by_loops(name, image, kernel, options):
    """What the plain loops give, channel by channel, and then every so manieth of it."""
    axis = options.get("channel_axis")
    if axis is not None:
        planes = np.moveaxis(image, axis, 0)
        own = np.moveaxis(kernel, axis, 0) if kernel.ndim == image.ndim else [kernel] * len(planes)
        plain = {key: value for key, value in options.items() if key != "channel_axis"}
        done = [by_loops(name, plane, k, plain) for plane, k in zip(planes, own, strict=True)]
        return np.stack(done, axis)
    border, fill, flip = options["border"], options.get("fill_value", 0), name == "convolve"
    if options.get("anchor") is None:
        out = oracle.correlate(image, kernel, border, fill, options["output"], flip=flip)
    else:
        out = anchored(image, kernel, border, fill, options["anchor"], flip=flip)
    steps = np.broadcast_to(options["stride"], out.ndim)
    return out[tuple(slice(None, None, int(step)) for step in steps)]


@st.composite
def cases(draw, image_dtypes, kernel_dtypes, fill_values):
    """A filter's name, an image, a kernel and options that go together."""
    ndim = draw(st.integers(1, 3))
    longest = {1: (12, 7), 2: (6, 5), 3: (4, 3)}[ndim]
    shape = draw(st.tuples(*[st.integers(1, longest[0])] * ndim))
    output = draw(st.sampled_from(OUTPUTS))
    lengths = [min(n, longest[1]) if output == "valid" else longest[1] for n in shape]
    kernel_shape = draw(st.tuples(*[st.integers(1, n) for n in lengths]))
    channels = draw(st.sampled_from([None, None, "shared", "own"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = int(rng.integers(1, 4)) if channels else 1
    image = values(rng, (count, *shape), draw(st.sampled_from(image_dtypes)), "general")
    dtype, kind = draw(st.sampled_from(kernel_dtypes)), draw(st.sampled_from(KERNELS))
    kernel = np.stack([values(rng, kernel_shape, dtype, kind, small=True) for _ in range(count)])
    options = {"border": draw(st.sampled_from(BORDERS)), "output": output}
    options["stride"] = draw(st.integers(1, 4) | st.tuples(*[st.integers(1, 4)] * ndim))
    if options["border"] == "constant":
        options["fill_value"] = draw(st.sampled_from(fill_values))
    if output == "same":
        options["anchor"] = draw(st.none() | st.tuples(*[st.integers(0, k - 1) for k in kernel_shape]))
    if channels:
        axis = draw(st.integers(-ndim - 1, ndim))
        options["channel_axis"] = axis
        image = np.moveaxis(image, 0, axis)
        kernel = np.moveaxis(kernel, 0, axis) if channels == "own" else kernel[0]
    else:
        image, kernel = image[0], kernel[0]
    results = ["c8", "c16"] if "c" in (image.dtype.kind, kernel.dtype.kind) else ["f4", "f8"]
    options["dtype"] = draw(st.sampled_from([None, *map(np.dtype, results)]))
    return draw(st.sampled_from(list(FILTERS))), image, kernel, options


def values(rng, shape, dtype, kind, *, small=False):
    """Numbers of a dtype: integers over their whole range, but weights of at most 9."""
    dtype = np.dtype(dtype)

    def some(shape):
        if dtype.kind == "b":
            return rng.random(shape) < 0.6
        if dtype.kind in "iu":
            ends = np.iinfo(dtype)
            low, high = (max(ends.min, -9), 9) if small else (ends.min, ends.max)
            return rng.integers(low, high, shape, dtype, endpoint=True)
        return (rng.normal(size=shape) + (1j * rng.normal(size=shape) if dtype.kind == "c" else 0)).astype(
            dtype
        )

    if kind == "nothing":
        return np.zeros(shape, dtype)
    if kind == "constant":
        return np.full(shape, some(()))
    if kind == "separable":
        product = np.ones((), dtype)
        for n in shape:
            product = np.multiply.outer(product, some((n,)))
        return product.astype(dtype)
    array = some(shape)
    if kind == "gaps":
        array[rng.random(shape) < 0.6] = 0
    return array


def expected_dtype(image, kernel, asked):
    if asked is not None:
        return asked
    parts = "f4" if image.dtype in (np.float32, np.complex64) else "f8"
    if "c" in (image.dtype.kind, kernel.dtype.kind):
        return np.dtype({"f4": "c8", "f8": "c16"}[parts])
    return np.dtype(parts)


def rounding(image, kernel, options, dtype):
    """Bound what K products may lose, each of at most the largest pixel times the largest weight.

    Every partial sum is at most K such products and is rounded once, with the product added to it (complex
    ones thrice more); pixels and weights are rounded to the result's precision; and a kernel within two
    roundings of an outer product is taken for one.
    """
    count = kernel.size
    largest = max(np.abs(image.astype(complex)).max(), abs(options.get("fill_value", 0.0)))
    product = largest * float(np.abs(kernel).max())
    return (4 if dtype.kind == "c" else 1) * (2 * count + 6) * np.finfo(dtype).eps * count * product


@examples(300, nightly=1800)
@given(cases(WHOLE + FLOATS + COMPLEX, ["i1", *FLOATS, *COMPLEX], [0.0, -2.5, 40.25]))
def test_any_case_equals_the_loops(case):
    name, image, kernel, options = case
    before = image.tobytes(), kernel.tobytes()
    result = FILTERS[name](image, kernel, **options)
    expected = by_loops(name, image, kernel, options)
    dtype = expected_dtype(image, kernel, options["dtype"])
    assert result.dtype == dtype
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=0, atol=rounding(image, kernel, options, dtype))
    assert (image.tobytes(), kernel.tobytes()) == before


@examples(200, nightly=900)
@given(cases(WHOLE, ["?", "u1", "i1", "i2"], [0, 1, -3, 255, 70_000]))
def test_whole_numbers_equal_the_loops_to_the_last_digit(case):
    name, image, kernel, options = case
    result = FILTERS[name](image, kernel, **options)
    exact = by_loops(name, image, kernel, options)  # of integers far below 2**53
    assert np.abs(exact).max(initial=0) < 2**53
    # Asked for in float32, they are rounded once, at the end.
    np.testing.assert_array_equal(result, exact.astype(expected_dtype(image, kernel, options["dtype"])))


@examples(100, nightly=400)
@given(cases(["u1", "i2", *FLOATS, *COMPLEX], ["i1", *FLOATS, *COMPLEX], [0.0, -2.5, 40.0]))
def test_small_cases_sent_through_transforms_equal_the_loops_too(case):
    name, image, kernel, options = case
    with execution.using(transform_passes=0):  # transforms cost nothing, so they are the cheapest way
        result = FILTERS[name](image, kernel, **options)
    expected = by_loops(name, image, kernel, options)
    whole = image.dtype.kind in "iu" and kernel.dtype.kind == "i" and options.get("fill_value") != -2.5
    if whole:
        np.testing.assert_array_equal(result, expected.astype(result.dtype))
        return
    # Transforms spread the error of the largest value over the tile: norm times norm, once for each halving.
    points = np.prod([n + 2 * 7 for n in image.shape])
    product = np.abs(kernel).max() * max(
        np.abs(image.astype(complex)).max(), abs(options.get("fill_value", 0))
    )
    norms = np.sqrt(points * kernel.size) * product
    bound = np.finfo(result.dtype).eps * (2 + np.log2(points)) * norms
    np.testing.assert_allclose(result, expected, rtol=0, atol=bound)


@examples(60, nightly=200)
@given(cases(FLOATS, FLOATS, [0.0, -2.5]), st.floats(-3, 3))
def test_filters_are_linear_in_the_kernel_and_in_the_image(case, factor):
    name, image, kernel, options = case
    options = options | {"dtype": np.dtype("f8")}
    once = FILTERS[name](image, kernel, **options)
    bound = 3 * rounding(image, kernel, options, np.dtype("f8"))
    image, kernel = image.astype("f8"), kernel.astype("f8")
    by_kernel = FILTERS[name](image, factor * kernel, **options)
    np.testing.assert_allclose(by_kernel, factor * once, rtol=0, atol=bound * abs(factor) + 1e-300)
    if "fill_value" in options:
        options["fill_value"] *= factor
    by_image = FILTERS[name](factor * image, kernel, **options)
    np.testing.assert_allclose(by_image, factor * once, rtol=0, atol=bound * abs(factor) + 1e-300)


# --- memory ---------------------------------------------------------------------------------------

WAYS = {"taps": (3, 4), "axes": (9, 8), "transforms": (21, 20)}  # how kernels of these shapes are summed


def way_kernel(draw, way, dtype="f8"):
    if way == "axes":
        down, along = WAYS[way]
        return np.outer(draw((down,), dtype, 5), draw((along,), dtype, 6))
    return draw(WAYS[way], dtype, 5)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", ["u1", "f4", ">f8"])
@pytest.mark.parametrize("mode", ["r", "r+"])
def test_mapped_files_are_filtered_as_arrays_are_and_not_written_to(draw, tmp_path, mode, dtype, way):
    image, kernel = draw((40, 37), dtype), way_kernel(draw, way)
    path = tmp_path / "image.raw"
    image.tofile(path)
    mapped = np.memmap(path, image.dtype, mode, shape=image.shape)
    for function, output in itertools.product(FILTERS.values(), OUTPUTS):
        result = function(mapped, kernel, output=output)
        np.testing.assert_array_equal(result, function(image, kernel, output=output))
        result += 1  # the result is memory of its own, and may be written to
        assert not np.shares_memory(result, mapped)
    mapped.flush() if mode == "r+" else None
    assert path.read_bytes() == image.tobytes()


@pytest.mark.parametrize("way", WAYS)
def test_inputs_that_may_be_written_to_are_not(draw, way):
    image, kernel = np.array(draw((40, 37))), np.array(way_kernel(draw, way))
    before = image.tobytes(), kernel.tobytes()
    for function, border, output in itertools.product(FILTERS.values(), BORDERS, OUTPUTS):
        result = function(image, kernel, border=border, output=output)
        assert not np.shares_memory(result, image)
        assert not np.shares_memory(result, kernel)
    assert (image.tobytes(), kernel.tobytes()) == before


# --- large images ---------------------------------------------------------------------------------


@pytest.fixture
def transformed(monkeypatch):
    """The blocks that went through Fourier transforms, written down as they pass."""
    blocks, through = [], correlation._sum_windows

    def watch(spectrum, transforms, tile, out, **options):
        blocks.append(tile.shape)
        return through(spectrum, transforms, tile, out, **options)

    monkeypatch.setattr(correlation, "_sum_windows", watch)
    return blocks


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8", "c8", "c16"])
def test_large_kernels_on_wide_images_equal_transforms_of_the_whole(draw, transformed, dtype, output, name):
    image, kernel = draw((640, 1100), dtype), draw((31, 44), "f8", 1)
    flipped = kernel if name == "convolve" else kernel[::-1, ::-1]
    exact = np.float64 if np.dtype(dtype).kind != "c" else np.complex128
    full = signal.fftconvolve(image.astype(exact), flipped)
    first = [k // 2 if name == "convolve" else k - 1 - k // 2 for k in kernel.shape]
    parts = {
        "full": (slice(None),) * 2,
        "same": [slice(f, f + n) for f, n in zip(first, image.shape, strict=True)],
    }
    parts["valid"] = [slice(k - 1, n) for k, n in zip(kernel.shape, image.shape, strict=True)]
    result = FILTERS[name](image, kernel, output=output)
    assert len(transformed) > 1
    # Errors of transforms are alike everywhere: some roundings of the largest values.
    bound = 16 * np.finfo(result.dtype).eps * np.abs(full).max()
    np.testing.assert_allclose(result, full[tuple(parts[output])], rtol=0, atol=bound)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("border", BORDERS)
def test_whole_numbers_stay_whole_through_the_transforms_of_many_tiles(draw, transformed, border, name):
    image, kernel = draw((400, 900), "u1"), draw((30, 41), "i1", 1)
    before, after = ([k - 1 - k // 2 for k in kernel.shape], [k // 2 for k in kernel.shape])
    if name == "correlate":
        before, after = after, before
    result = FILTERS[name](image, kernel, border=border)
    assert len(transformed) > 1
    padded = np.pad(image.astype(float), list(zip(before, after, strict=True)), mode=border)
    flipped = kernel.astype(float)[::-1, ::-1] if name == "correlate" else kernel.astype(float)
    whole = signal.fftconvolve(padded, flipped, "valid")
    np.testing.assert_allclose(whole, np.rint(whole), rtol=0, atol=1e-3)  # so that rounding it is right
    np.testing.assert_array_equal(result, np.rint(whole))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", ["u1", "f4", "f8", "c16"])
@pytest.mark.parametrize("options", [{}, {"border": "reflect", "stride": (2, 3), "anchor": (2, 0)}], ids=str)
def test_the_number_of_threads_changes_no_byte(draw, monkeypatch, execute, options, dtype, way):
    image, kernel = draw((700, 1300), dtype), way_kernel(draw, way)
    results = []
    start, started = threads._start, []
    monkeypatch.setattr(threads, "_start", lambda work: started.append(work) or start(work))
    for cores in (1, 8):
        execute(threaded_work=1, fused_threaded_work=1, cores=cores)
        results.append([function(image, kernel, **options).tobytes() for function in FILTERS.values()])
        assert bool(started) == (cores > 1)
    assert results[0] == results[1]


def by_signal(image, kernel, border, output):
    """What SciPy's sums of the padded image give, in float64."""
    before = [k // 2 if output == "same" else k - 1 for k in kernel.shape]
    after = [k - 1 - k // 2 if output == "same" else k - 1 for k in kernel.shape]
    padded = np.pad(image.astype("f8"), list(zip(before, after, strict=True)), mode=border)
    return signal.correlate2d(padded, kernel, "valid")


@pytest.mark.engine_free
@each("height", [1, 2, 5])
@each("border", BORDERS)
@each("output", ["same", "full"])
def test_padded_images_summed_by_scipy_equal_the_oracle(draw, output, border, height):
    image = draw((height, 4))
    for shape in [(3, 4), (2, 3), (7, 8)]:
        kernel = draw(shape, seed=5)
        expected = oracle.correlate(image, kernel, border, 0, output)
        np.testing.assert_allclose(by_signal(image, kernel, border, output), expected, rtol=0, atol=1e-13)


@pytest.mark.numba_only
@pytest.mark.parametrize("way", ["taps", "axes"])
@pytest.mark.parametrize("dtype", ["u1", "f4", "f8"])
@pytest.mark.parametrize("height", [1, 2, 7, 8, 9, 10, 17, 18, 25])
def test_strips_of_rows_that_are_summed_one_after_the_other_equal_sums_of_the_whole(
    draw, execute, height, dtype, way
):
    execute(strip_bytes=0)  # as few rows as there may be
    image, kernel = draw((height, 70), dtype), way_kernel(draw, way)
    for border, output in itertools.product(BORDERS, ["same", "full"]):
        result = tmatch.correlate(image, kernel, border=border, output=output)
        expected = by_signal(image, kernel, border, output)
        bound = 1e-13 if result.dtype == np.float64 else 1e-4
        np.testing.assert_allclose(result, expected, rtol=0, atol=bound * np.abs(expected).max())


@pytest.mark.parametrize("kernel", [[[-1.0], [-2.0], [-1.0]], [[-1.5, -0.1]], [[-3.0]]], ids=str)
@pytest.mark.parametrize("width", [5, 80])
def test_sums_of_zeros_are_the_same_zero_in_every_row(width, kernel):
    for height in (1, 2, 9):
        result = tmatch.correlate(np.zeros((height, width)), kernel, border="edge")
        assert result.tobytes() == np.zeros((height, width)).tobytes()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8"])
@each("shape", [(40, 37, 3), (9, 70, 2), (25, 1, 4), (1, 30, 3), (30, 30, 1)])
def test_colours_side_by_side_are_filtered_as_they_are_alone(draw, execute, shape, dtype, way):
    execute(strip_bytes=0)
    image, kernel = draw(shape, dtype), way_kernel(draw, way)
    for border, output in itertools.product(BORDERS, ["same", "full"]):
        fill = 3 if border == "constant" else 0
        options = {"border": border, "fill_value": fill, "output": output}
        alone = [tmatch.convolve(plane.copy(), kernel, **options) for plane in np.moveaxis(image, 2, 0)]
        together = tmatch.convolve(image, kernel, channel_axis=2, **options)
        np.testing.assert_array_equal(together, np.stack(alone, axis=-1))


def test_a_pixel_of_one_colour_that_is_not_finite_is_refused(draw):
    for place in itertools.product((0, 20, 39), (0, 36), range(3)):
        image = np.array(draw((40, 37, 3), "f4"))
        image[place] = np.nan
        with pytest.raises(ValueError, match="`image` has NaN or infinite values"):
            tmatch.correlate(image, np.eye(3), channel_axis=2)


@pytest.mark.parametrize("places", [(0, 0), (30, 20), (59, 69)], ids=str)
@each("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "kernel", [np.eye(3), np.ones((3, 3)), np.zeros((3, 3))], ids=["sparse", "full", "zero"]
)
def test_a_pixel_that_is_not_finite_is_refused_whatever_its_weight(draw, execute, kernel, value, places):
    execute(strip_bytes=0)
    for dtype in ("f4", "f8"):
        image = np.array(draw((60, 70), dtype))
        image[places] = value
        with pytest.raises(ValueError, match="`image` has NaN or infinite values"):
            tmatch.correlate(image, kernel)


# --- refusals -------------------------------------------------------------------------------------

ONES = np.ones((4, 5))
STRIDE = "it must be a whole number of at least 1, or 2 of them, one for each axis"
NAMES = '"constant", "edge", "reflect", "symmetric", "wrap"'
NAN = "has NaN or infinite values, the first at [0, 0]; replace them first, for instance with np.nan_to_num"


@pytest.mark.engine_free
@each("name", FILTERS)
@pytest.mark.parametrize(
    ("image", "kernel", "options", "sentence"),
    [
        (ONES, ONES, {"stride": 0}, f"`stride` is 0; {STRIDE}"),
        (ONES, ONES, {"stride": -1}, f"`stride` is -1; {STRIDE}"),
        (ONES, ONES, {"stride": (2, 0)}, f"`stride` is (2, 0); {STRIDE}"),
        (ONES, ONES, {"stride": (2,)}, f"`stride` is (2,); {STRIDE}"),
        (ONES, ONES, {"stride": (1, 1, 1)}, f"`stride` is (1, 1, 1); {STRIDE}"),
        (
            ONES,
            np.ones((3, 2)),
            {"anchor": (3, 0)},
            "`anchor` is (3, 0); it must be an element of the kernel, whose shape is (3, 2)",
        ),
        (
            ONES,
            np.ones((3, 2)),
            {"anchor": (0, -1)},
            "`anchor` is (0, -1); it must be an element of the kernel, whose shape is (3, 2)",
        ),
        (
            ONES,
            np.ones((3, 2)),
            {"anchor": (0,)},
            "`anchor` is (0,); it must be an element of the kernel, whose shape is (3, 2)",
        ),
        (
            ONES,
            ONES,
            {"anchor": (1, 1), "output": "full"},
            '`anchor` is (1, 1) with output="full"; only output="same" lays the kernel on a pixel',
        ),
        (
            ONES,
            ONES,
            {"anchor": (1, 1), "output": "valid"},
            '`anchor` is (1, 1) with output="valid"; only output="same" lays the kernel on a pixel',
        ),
        (
            ONES,
            ONES,
            {"fill_value": 2.5, "border": "wrap"},
            '`fill_value` is 2.5 with border="wrap"; only border="constant" fills',
        ),
        (ONES, ONES, {"fill_value": -np.inf}, "`fill_value` is -inf; it must be finite"),
        (
            ONES,
            ONES,
            {"dtype": np.uint8},
            "`dtype` is uint8; it must be float32 or float64 here; `to_range` makes pixels of the result",
        ),
        (
            ONES,
            ONES,
            {"dtype": np.complex64},
            "`dtype` is complex64; it must be float32 or float64 here; `to_range` makes pixels of the result",
        ),
        (
            ONES,
            ONES * 1j,
            {"dtype": np.float32},
            "`dtype` is float32; it must be complex64 or complex128 here; `to_range` makes pixels of the result",
        ),
        (
            ONES,
            ONES,
            {"border": "reflct"},
            f"`border` is 'reflct'; it must be one of {NAMES}; did you mean \"reflect\"?",
        ),
        (
            ONES,
            ONES,
            {"output": "ful"},
            '`output` is \'ful\'; it must be one of "valid", "same", "full"; did you mean "full"?',
        ),
        (
            ONES,
            np.ones(3),
            {},
            "`kernel` has shape (3,); it must have 2 axes, as the image has, and no empty one",
        ),
        (
            ONES,
            np.ones((1, 3, 3)),
            {},
            "`kernel` has shape (1, 3, 3); it must have 2 axes, as the image has, and no empty one",
        ),
        (
            np.ones((4, 5, 3)),
            np.ones(2),
            {"channel_axis": -1},
            "`kernel` has shape (2,); it must have 2 axes, as the image has, and no empty one",
        ),
        (
            ONES,
            np.ones((3, 0)),
            {},
            "`kernel` has shape (3, 0); it must have 2 axes, as the image has, and no empty one",
        ),
        (ONES[:, :0], ONES, {}, "`image` has shape (4, 0); it must have at least one axis and one pixel"),
        (np.full((2, 2), np.nan), ONES, {}, f"`image` {NAN}"),
        (ONES, np.full((2, 2), np.nan + 1j), {}, f"`kernel` {NAN}"),
        (ONES, np.full((2, 2), -np.inf), {}, f"`kernel` {NAN}"),
        (
            np.ones((4, 5, 3)),
            np.ones((2, 2, 4)),
            {"channel_axis": 2},
            "`kernel` has 4 channels and `image` has 3; they must be equal",
        ),
    ],
)
def test_filters_refuse_in_whole_sentences(name, image, kernel, options, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        FILTERS[name](image, kernel, **options)


@pytest.mark.engine_free
@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("options", [{"stride": 1.5}, {"stride": (1, 2.0)}, {"anchor": (1.5, 0)}], ids=str)
def test_fractions_of_a_pixel_are_refused(name, options):
    with pytest.raises((TypeError, ValueError), match="integer|whole number|element of the kernel"):
        FILTERS[name](ONES, ONES, **options)
