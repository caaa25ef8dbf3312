import _thread
import functools
import itertools
import math
import os
import platform
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oracle
import tmatch
from loops import each
from tmatch._engine import threads
from tmatch._engine import tiling as _tiling
from tmatch._engine.numpy import sliding
from tmatch._engine.progress import Resources
from tmatch._engine.tiling import Tiling
from tmatch._scoring.maps import match_template

SHAPES = [  # up to 24 taps are added one by one, more go through transforms
    ((7,), (3,)),
    ((40,), (30,)),
    ((1, 1), (1, 1)),
    ((9, 8), (3, 2)),
    ((6, 7), (1, 7)),
    ((12, 13), (5, 6)),
    ((9, 7), (9, 7)),
    ((5, 6, 4), (2, 3, 2)),
    ((5, 6, 4), (3, 3, 3)),
    ((3, 4, 3, 4), (2, 1, 2, 2)),
    ((4, 4, 3, 4), (3, 3, 2, 2)),
]
DTYPES = [  # image, kernel, result
    ("f8", "f8", "f8"),
    ("f4", "f8", "f4"),
    ("f2", "f4", "f8"),
    ("g", "f8", "f8"),
    ("?", "f8", "f8"),
    ("u1", "f8", "f8"),
    ("i8", "f4", "f8"),
    ("f8", "c16", "c16"),
    ("u2", "c8", "c16"),
    ("f4", "c16", "c8"),
    ("c8", "f8", "c8"),
    ("c16", "i1", "c16"),
    ("c16", "c16", "c16"),
]


def correlated(image, kernel):
    return tmatch.correlate(image, kernel, output="valid")


def size(array):
    return float(np.sqrt(np.sum(np.abs(array.astype("c16")) ** 2)))


def outer(kernel):
    """Give the product of the lines through the kernel's first element: a kernel that is separable."""
    lines = [
        np.moveaxis(kernel, axis, 0)[(slice(None), *[0] * (kernel.ndim - 1))] for axis in range(kernel.ndim)
    ]
    return functools.reduce(np.multiply.outer, lines)


KINDS = {  # each kind of kernel may take another way through the core
    "dense": np.asarray,
    "separable": outer,
    "almost separable": lambda k: (
        outer(k) + (np.arange(k.size).reshape(k.shape) == k.size // 2).astype(k.dtype)
    ),
    "box": np.ones_like,
    "sparse": lambda k: k * (np.arange(k.size).reshape(k.shape) % 7 == 3).astype(k.dtype),
    "zero": np.zeros_like,
}


# --- equals the oracle ----------------------------------------------------------------------------


@each("dtypes", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
@each("shapes", SHAPES)
def test_correlation_equals_the_oracle(draw, shapes, kind, dtypes):
    image, kernel = draw(shapes[0], dtypes[0], 1), KINDS[kind](draw(shapes[1], dtypes[1], 2))
    result = correlated(image, kernel)
    assert result.dtype == dtypes[2]
    # rounding grows with both norms: 10 times the machine epsilon of the result
    bound = 10 * np.finfo(dtypes[2]).eps * size(image) * size(kernel)
    np.testing.assert_allclose(result, oracle.correlate_valid(image, kernel), rtol=0, atol=bound)


@each("dtype", ["?", "u1", "i1", "u2", "i2", "u4", "i4"])
@pytest.mark.parametrize("kind", KINDS)
@each("shapes", SHAPES)
def test_correlation_of_integers_is_exact(draw, shapes, kind, dtype):
    image = draw(shapes[0], dtype, 3)
    for small in (draw(shapes[1], "i1", 4) // 16, draw(shapes[1], "u1", 5) // 40 - 3.0):
        kernel = KINDS[kind](small)
        expected = oracle.correlate_valid(image, kernel)  # below 2**53: exact in float64 too
        np.testing.assert_array_equal(correlated(image, kernel), expected)


@each("dtype", ["?", "u1", "i1", "i2", "u4", "i4"])
@each("window", [(1, 1), (2, 2), (4, 7), (9, 9)])
def test_kernels_of_the_least_and_largest_integers_of_their_type_are_exact(draw, window, dtype):
    image = draw((13, 12), "u2", 8) >> 4
    ends = (0, 1) if dtype == "?" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    for kernel in (np.full(window, ends[0]), np.full(window, ends[1]), np.resize(ends, window)):
        expected = oracle.correlate_valid(image, kernel)  # below 2**53: exact in float64 too
        np.testing.assert_array_equal(correlated(image, kernel.astype(dtype)), expected)


def test_correlation_of_integers_just_below_2_to_the_53_is_exact(draw):
    image, kernel = draw((300, 310), "i8") >> 28, draw((9, 10), "i2").astype(np.int64) >> 4
    windows = np.lib.stride_tricks.sliding_window_view(image, kernel.shape)
    expected = np.einsum("yxij,ij->yx", windows, kernel)
    assert 2**46 < abs(expected).max() < 2**53
    np.testing.assert_array_equal(correlated(image, kernel), expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("window", [(5, 5), (9, 9), (31, 30)], ids=str)
def test_correlation_of_integers_is_exact_over_many_tiles(draw, window, kind):
    image, kernel = draw((500, 400), "u2", 6), KINDS[kind](draw(window, "i1", 7).astype(np.int64))
    padded = image.astype(np.int64)
    expected = sum(
        weight * padded[y : 501 - window[0] + y, x : 401 - window[1] + x]
        for (y, x), weight in np.ndenumerate(kernel)
    )
    np.testing.assert_array_equal(correlated(image, kernel), expected)


@pytest.mark.engine_free
@each("dtype", ["?", "u1", "i1", "u2", "i2", "u4", "i4"])
@each("shapes", SHAPES)
def test_sums_of_integers_are_exact_integers(draw, shapes, dtype):
    array = draw(shapes[0], dtype)
    sums = sliding.sliding_sum(array, shapes[1])
    assert sums.dtype.kind == "i"
    np.testing.assert_array_equal(sums, oracle.sliding_sum(array, shapes[1]))


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("dtype", "value"), [("u1", 255), ("i1", -128), ("u2", 65535), ("i2", -32768), ("i4", -(2**31))]
)
def test_sums_of_the_largest_integers_do_not_wrap(dtype, value):
    sums = sliding.sliding_sum(np.full((401, 302), value, dtype), (400, 300))
    np.testing.assert_array_equal(sums, np.full((2, 3), value * 400 * 300))


@pytest.mark.engine_free
def test_sums_of_64_bit_integers_are_exact():
    array = np.arange(30).reshape(5, 6) + 2**58
    np.testing.assert_array_equal(
        sliding.sliding_sum(array, (2, 3)) - 6 * 2**58,
        oracle.sliding_sum(array - 2**58, (2, 3)),
    )


@pytest.mark.engine_free
@each("dtype", ["f2", "f4", "f8", "g", "c16"])
@each("shapes", SHAPES)
def test_sums_of_floats_equal_the_oracle(draw, shapes, dtype):
    array, one = draw(shapes[0], dtype), np.ones(shapes[1])
    sums = sliding.sliding_sum(array, shapes[1])
    bound = 1e-14 * size(array) * size(one)  # float64 adds, whatever goes in
    np.testing.assert_allclose(sums, oracle.correlate_valid(array, one), rtol=0, atol=bound)


@pytest.mark.engine_free
@each("dtype", ["?", "u1", "i2", "u8", "f2", "f4", "f8", "g"])
@each("shapes", SHAPES)
def test_maxima_and_minima_equal_the_oracle(draw, shapes, dtype):
    array = draw(shapes[0], dtype)
    for ours, name in [(sliding.sliding_max, "max"), (sliding.sliding_min, "min")]:
        result = ours(array, shapes[1])
        assert result.dtype == array.dtype
        np.testing.assert_array_equal(result, getattr(oracle, f"sliding_{name}")(array, shapes[1]))


# --- laws -----------------------------------------------------------------------------------------


@pytest.mark.engine_free
@given(st.data())
def test_sums_and_extremes_equal_the_oracle_for_any_window(data):
    side = st.integers(1, 20)
    shape = data.draw(st.lists(side, min_size=1, max_size=2).map(tuple))
    array = data.draw(hnp.arrays(np.int16, shape, fill=st.nothing()))
    window = tuple(data.draw(st.integers(1, n)) for n in shape)
    np.testing.assert_array_equal(sliding.sliding_sum(array, window), oracle.sliding_sum(array, window))
    np.testing.assert_array_equal(sliding.sliding_max(array, window), oracle.sliding_max(array, window))


@pytest.mark.engine_free
def test_sums_on_bright_flats_keep_every_digit_that_float64_has():
    flat = np.full((300, 300), 1e8 + 0.1)  # integral images lose 0.5 here
    sums = sliding.sliding_sum(flat, (40, 50))
    np.testing.assert_allclose(sums, math.fsum([1e8 + 0.1] * 2000), rtol=3e-16 * 11)  # 11 doublings


@st.composite
def image_and_window(draw):
    longest = {1: 100_000, 2: 700, 3: 60, 4: 16}
    ndim = draw(st.integers(1, 4))
    image = draw(st.tuples(*[st.integers(1, longest[ndim])] * ndim))
    return image, tuple(draw(st.integers(1, n)) for n in image)


@pytest.mark.engine_free
@given(image_and_window())
def test_tiles_cover_each_result_exactly_once_and_fit_their_transforms(shapes):
    image, window = shapes
    tiling = _tiling.plan_tiles(image, window)
    check_cover(image, window, tiling)
    for block in tiling.blocks():
        for needed, points in zip(tiling.needs(block), tiling.fft_shape, strict=True):
            assert needed.stop - needed.start <= points  # nothing wraps round
    check_cover(image, window, _tiling.plan_blocks(image, window))


def check_cover(image, window, tiling):
    count = np.zeros([n - k + 1 for n, k in zip(image, window, strict=True)], int)
    assert tiling.positions == count.shape
    for block in tiling.blocks():
        count[block] += 1
        for part, needed, k, n in zip(block, tiling.needs(block), window, image, strict=True):
            assert part.start < part.stop
            assert (needed.start, needed.stop) == (part.start, part.stop + k - 1)
            assert needed.stop <= n
    np.testing.assert_array_equal(count, 1)


def tapped(image):
    return correlated(image, image[:3, :4])


def separated(image):
    return correlated(image, np.multiply.outer(image[:9, 0] // 8, image[0, :9] // 8))


def boxed(image):
    return correlated(image, np.ones((9, 8)))


def transformed(image):
    return correlated(image, image[:9, :8] // 8)


def scored(image):
    return match_template(image, image[40:49, 50:58])


@pytest.mark.parametrize("block", [(64, 51), (1, 400), (300, 7)], ids=str)
@pytest.mark.parametrize("dtype", ["u1", "f8"])
@pytest.mark.parametrize("function", [tapped, separated, boxed, transformed, scored])
def test_tiling_does_not_change_the_result(cut, draw, function, dtype, block):
    image = draw((290, 270), dtype)
    before = function(image)
    cut(block)
    after = function(image)
    if dtype == "u1":
        np.testing.assert_array_equal(after, before)
    else:
        np.testing.assert_allclose(after, before, rtol=0, atol=1e-12)  # transforms of other sizes


@pytest.mark.parametrize("dtype", ["u1", "f8", "f4"])
@pytest.mark.parametrize("function", [tapped, separated, boxed, transformed, scored])
def test_threads_do_not_change_a_bit(cut, draw, function, dtype):
    image, results = draw((290, 270), dtype), []
    for cores in (1, 2, 7):
        cut((50, 40), cores)
        results.append(function(image))
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


def test_numbers_near_the_largest_do_not_meet_those_of_the_next_row():
    image = np.array([[0, 1e308], [1e308, 0], [1e308, 1e308 / 2]])  # a sum across rows would overflow
    np.testing.assert_array_equal(correlated(image, np.ones((1, 2))), [[1e308], [1e308], [1.5e308]])
    np.testing.assert_array_equal(sliding.sliding_sum(image, (1, 2)), [[1e308], [1e308], [1.5e308]])


# --- interruptions --------------------------------------------------------------------------------

TILING, MANY = Tiling((300, 300), (1, 1), (30, 3), (30, 3)), 1e9  # 1000 tiles, worth several threads


@pytest.mark.engine_free
@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.parametrize("error", [ValueError, MemoryError, KeyboardInterrupt])
def test_error_in_a_tile_ends_the_call_and_drops_the_rest(execute, cores, error):
    execute(cores=cores)
    begun = []

    def work(block):
        begun.append(block)
        if len(begun) == 5:
            msg = "in a tile"
            raise error(msg)
        time.sleep(0.002)

    with pytest.raises(error, match="in a tile"):
        threads.run(threads.Job(work, TILING, MANY))
    assert len(begun) < 1000


@pytest.mark.engine_free
def test_of_several_errors_that_of_the_first_tile_is_raised(execute):
    execute(cores=3)
    first = next(TILING.blocks())

    def work(block):
        time.sleep(0.1 if block == first else 0)
        msg = f"in the tile at {block[0].start}, {block[1].start}"
        raise ValueError(msg)

    with pytest.raises(ValueError, match="in the tile at 0, 0"):
        threads.run(threads.Job(work, TILING, MANY))


@pytest.mark.engine_free
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_no_more_threads_work_than_are_asked_for(execute, workers):
    execute(cores=3)
    seen = set()

    def work(_):
        seen.add(threading.get_ident())
        time.sleep(0.001)

    threads.run(threads.Job(work, TILING, MANY), resources=Resources(workers))
    assert len(seen) <= workers
    assert (len(seen) > 1) == (workers > 1)
    assert workers > 1 or seen == {threading.get_ident()}


@pytest.mark.engine_free
@pytest.mark.parametrize("cores", [1, 3])
def test_ctrl_c_ends_the_call_and_drops_the_rest(execute, cores):
    execute(cores=cores)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it in the background
    begun = itertools.count()

    def work(_):
        if next(begun) == 20:
            _thread.interrupt_main()  # what Ctrl-C does
        time.sleep(0.002)

    try:
        with pytest.raises(KeyboardInterrupt):
            threads.run(threads.Job(work, TILING, MANY))
    finally:
        signal.signal(signal.SIGINT, before)
    assert next(begun) < 1000


# --- memory ---------------------------------------------------------------------------------------


_FAULTS = """
import resource
import numpy as np
from tmatch._engine import threads
from tmatch._engine.tiling import Tiling
threads.run(threads.Job(lambda _: np.ones(2**18), Tiling((4,), (1,), (4,)), 1))
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    np.ones(2**18)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.engine_free
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is about the allocator of glibc")
@pytest.mark.parametrize(
    "environment", [{}, {"MALLOC_TRIM_THRESHOLD_": "65536"}]
)  # the latter in workers of dask
def test_memory_of_tiles_is_kept_for_the_next_ones(environment):
    told = subprocess.check_output([sys.executable, "-c", _FAULTS], env=os.environ | environment, text=True)
    assert int(told) < 100 * 512 / 4  # pages of 4 KiB in 100 blocks of 2 MiB
