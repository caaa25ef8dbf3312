"""The cases that SciPy and OpenCV publish for their filters, restated as data: our filters give the same.

The data are inputs and results only. Two adapters map the peers' words onto ours. Left out, because we refuse them:
empty arrays, arrays without axes, complex fill values, and "valid" with a kernel larger than the image, where
scipy.signal swaps the two.
"""

import itertools

import numpy as np
import pytest
from scipy import ndimage, signal

import tmatch
from loops import each

FILTERS = {"correlate": tmatch.correlate, "convolve": tmatch.convolve}
EXACT = 1e-12  # sums of some tens of numbers near 1 in float64

# --- adapters -------------------------------------------------------------------------------------

SIGNAL_BORDERS = {"fill": "constant", "wrap": "wrap", "symm": "symmetric"}
NDIMAGE_BORDERS = {
    "reflect": "symmetric",
    "mirror": "reflect",
    "nearest": "edge",
    "constant": "constant",
    "wrap": "wrap",
}


def like_signal(name, image, kernel, mode="full", boundary="fill", fillvalue=0):
    """scipy.signal's filters by ours.

    In "same" it lays element (k - 1) // 2 on the pixel, where we lay k // 2; only its `correlate`, for any
    dimension, agrees with us and not with its own `correlate2d`.
    """
    theirs = name == "convolve" or np.ndim(image) == 2
    anchor = [(k - 1) // 2 for k in np.shape(kernel)] if mode == "same" and theirs else None
    border = SIGNAL_BORDERS[boundary]
    return FILTERS[name](image, kernel, border=border, fill_value=fillvalue, output=mode, anchor=anchor)


def like_ndimage(name, image, kernel, mode="reflect", cval=0.0, origin=0):
    """scipy.ndimage's filters by ours: its origin counts from our centre, before flipping."""
    origins = np.broadcast_to(origin, np.ndim(kernel)).tolist()
    anchor = [k // 2 + o for k, o in zip(np.shape(kernel), origins, strict=True)]
    return FILTERS[name](image, kernel, border=NDIMAGE_BORDERS[mode], fill_value=cval, anchor=anchor)


def in_signal(name, image, kernel, **options):
    """What scipy.signal says, by its two-dimensional functions where they can: they alone know boundaries."""
    if np.ndim(image) == 2:
        return getattr(signal, f"{name}2d")(image, kernel, **options)
    return getattr(signal, name)(image, kernel, **options)


def in_ndimage(name, image, kernel, **options):
    """What scipy.ndimage says, of floats: it would give sums of integers the image's type."""
    dtype = np.result_type(np.asarray(image), np.float64)
    return getattr(ndimage, name)(np.asarray(image, dtype), np.asarray(kernel), **options)


# --- published by scipy.signal --------------------------------------------------------------------

A23, B23 = [[1, 2, 3], [3, 4, 5]], [[2, 3, 4], [4, 5, 6]]
C23 = [[1, 2, 3], [4, 5, 6]]
WIDE = [[2, 3, 4, 5, 6, 7, 8], [4, 5, 6, 7, 8, 9, 10]]
LONG = [3, 3, 5, 6, 8, 7, 9, 0, 1]
CUBE = np.arange(8).reshape(2, 2, 2).tolist()
CUBE_I = (np.arange(27)[::-1] + 1j * np.arange(27)).reshape(3, 3, 3).tolist()
SIGNAL = [
    # name, image, kernel, options, result
    ("convolve", [3, 4, 5, 6, 5, 4], [1, 2, 3], {}, [3, 10, 22, 28, 32, 32, 23, 12]),
    ("convolve", [3, 4, 5], [1, 2, 3, 4], {"mode": "same"}, [10, 22, 34]),
    ("convolve", [3, 4, 5], [1, 2, 3], {"mode": "same"}, [10, 22, 22]),
    ("convolve", [1 + 1j, 2 + 1j, 3 + 1j], [1 + 1j, 2 + 1j], {}, [2j, 2 + 6j, 5 + 8j, 5 + 5j]),
    ("convolve", [4967], [3920], {}, [19470640]),
    ("convolve", [1, 2, 3], [1, 2, 3], {}, [1, 4, 10, 12, 9]),
    ("convolve", [1 + 1j, 2 + 2j, 3 + 3j], [1 + 1j, 2 + 2j, 3 + 3j], {}, [2j, 8j, 20j, 24j, 18j]),
    ("convolve", [1, 2, 3], LONG, {"mode": "same"}, [35, 41, 47]),
    ("convolve", LONG, [1, 2, 3], {"mode": "same"}, [9, 20, 25, 35, 41, 47, 39, 28, 2]),
    ("convolve", LONG, [3, 2, 1], {"mode": "valid"}, [24, 31, 41, 43, 49, 25, 12]),
    (
        "convolve",
        [3 + 2j, 3 - 3j, 5, 6 - 1j, 8],
        [3 - 1j, 2 + 7j, 1],
        {"mode": "valid"},
        [45 + 12j, 30 + 23j, 48 + 32j],
    ),
    ("convolve", C23, C23, {}, [[1, 4, 10, 12, 9], [8, 26, 56, 54, 36], [16, 40, 73, 60, 36]]),
    (
        "convolve",
        [[1 + 2j, 3 + 4j, 5 + 6j], [2 + 1j, 4 + 3j, 6 + 5j]],
        [[1 + 2j, 3 + 4j, 5 + 6j], [2 + 1j, 4 + 3j, 6 + 5j]],
        {},
        [
            [-3 + 4j, -10 + 20j, -21 + 56j, -18 + 76j, -11 + 60j],
            [10j, 44j, 118j, 156j, 122j],
            [3 + 4j, 10 + 20j, 21 + 56j, 18 + 76j, 11 + 60j],
        ],
    ),
    ("convolve", A23, B23, {}, [[2, 7, 16, 17, 12], [10, 30, 62, 58, 38], [12, 31, 58, 49, 30]]),
    ("convolve", A23, B23, {"mode": "same"}, [[7, 16, 17], [30, 62, 58]]),
    ("convolve", WIDE, A23, {"mode": "valid"}, [[62, 80, 98, 116, 134]]),
    (
        "convolve",
        np.multiply(WIDE, 1 + 1j).tolist(),
        A23,
        {"mode": "valid"},
        [[62 + 62j, 80 + 80j, 98 + 98j, 116 + 116j, 134 + 134j]],
    ),
    (
        "convolve",
        A23,
        B23,
        {"boundary": "fill", "fillvalue": 1},
        [[24, 26, 31, 34, 32], [28, 40, 62, 64, 52], [32, 46, 67, 62, 48]],
    ),
    (
        "convolve",
        A23,
        B23,
        {"boundary": "wrap"},
        [[80, 80, 74, 80, 80], [68, 68, 62, 68, 68], [80, 80, 74, 80, 80]],
    ),
    (
        "convolve",
        A23,
        B23,
        {"boundary": "symm"},
        [[34, 30, 44, 62, 66], [52, 48, 62, 80, 84], [82, 78, 92, 110, 114]],
    ),
    (
        "convolve",
        CUBE_I,
        CUBE,
        {"mode": "valid"},
        [
            [[632 + 96j, 604 + 124j], [548 + 180j, 520 + 208j]],
            [[380 + 348j, 352 + 376j], [296 + 432j, 268 + 460j]],
        ],
    ),
    ("correlate", [0, 1, 2, 3], [1, 2], {}, [0, 2, 5, 8, 3]),
    ("correlate", [0, 1, 2, 3], [1, 2], {"mode": "valid"}, [2, 5, 8]),
    ("correlate", [0, 1, 2, 3], [1, 2], {"mode": "same"}, [0, 2, 5, 8]),
    ("correlate", [0, 1, 2, 3, 4], [3.2, 1.4, 3], {}, [0, 3, 7.4, 15, 22.6, 15.2, 12.8]),
    ("correlate", [0, 1, 2, 3, 4], [3.2, 1.4, 3], {"mode": "same"}, [3, 7.4, 15, 22.6, 15.2]),
    ("correlate", [0, 1, 2, 3, 4], [3.2, 1.4, 3], {"mode": "valid"}, [7.4, 15, 22.6]),
    ("correlate", [[0, 1, 2, 3, 4]], [[3.2, 1.4, 3]], {"mode": "same"}, [[3, 7.4, 15, 22.6, 15.2]]),
    ("correlate", [[1]], [[2j]], {}, [[-2j]]),
    ("correlate", [[2j]], [[3j]], {}, [[6]]),
    ("correlate", [[3j]], [[4]], {}, [[12j]]),
]

# --- published by scipy.ndimage -------------------------------------------------------------------

LINE, SQUARE = [1, 2, 3], [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
FIRST_OF_8, LAST_OF_9 = [1] + 7 * [0], 8 * [0] + [1]
DOWN = [[1], [2], [1]]  # one-dimensional weights along axis 0
COMPLEX_1D, COMPLEX_2D = [1, 2j, 3, 1 + 4j, 5, 6j], [[1, 2j, 3], [1 + 4j, 5, 6j]]
DOC_A = [[1, 2, 0, 0], [5, 3, 0, 4], [0, 0, 0, 7], [9, 3, 0, 0]]
DOC_K = [[1, 1, 1], [1, 1, 0], [1, 0, 0]]


def both(image, kernel, correlated, convolved, **options):
    return [
        ("correlate", image, kernel, options, correlated),
        ("convolve", image, kernel, options, convolved),
    ]


def by_mode(image, kernel, **results):
    return [("correlate", image, kernel, {"mode": mode}, result) for mode, result in results.items()]


NDIMAGE = [
    *both([1, 2], [2], [2, 4], [2, 4]),
    *both(LINE, [1], LINE, LINE),
    *both([1], [1, 1], [2], [2]),
    *both([1, 2], [1, 1], [2, 3], [3, 4]),
    *both(LINE, [1, 1], [2, 3, 5], [3, 5, 6]),
    *both(LINE, [1, 2, 3], [9, 14, 17], [7, 10, 15]),
    *both(LINE, [1, 2, 1], [5, 8, 11], [5, 8, 11]),
    *both(LINE, [1, 2, -1], [1, 2, 5], [3, 6, 7]),
    *both(C23, [[1, 1], [1, 1]], [[4, 6, 10], [10, 12, 16]], [[12, 16, 18], [18, 22, 24]]),
    *both(C23, [[1, 0], [0, 1]], [[2, 3, 5], [5, 6, 8]], [[6, 8, 9], [9, 11, 12]]),
    *both(C23, [[0.5, 0], [0, 0.5]], [[1, 1.5, 2.5], [2.5, 3, 4]], [[3, 4, 4.5], [4.5, 5.5, 6]]),
    *both(LINE, [1, 1], [3, 5, 6], [2, 3, 5], origin=-1),
    *both(
        C23,
        [[1, 0], [0, 1]],
        [[6, 8, 9], [9, 11, 12]],
        [[2, 3, 5], [5, 6, 8]],
        mode="nearest",
        origin=-1,
    ),
    *both(
        C23,
        [[1, 0], [0, 1]],
        [[5, 6, 8], [8, 9, 11]],
        [[3, 5, 6], [6, 8, 9]],
        mode="nearest",
        origin=[-1, 0],
    ),
    *both([[1, 2, 3], [2, 4, 6]], DOWN, [[5, 10, 15], [7, 14, 21]], [[5, 10, 15], [7, 14, 21]]),
    *both([[1, 2, 3], [2, 4, 6]], DOWN, [[6, 12, 18], [6, 12, 18]], [[6, 12, 18], [6, 12, 18]], mode="wrap"),
    *both(
        [[1, 2, 3], [2, 4, 6]],
        DOWN,
        [[5, 10, 15], [7, 14, 21]],
        [[5, 10, 15], [7, 14, 21]],
        mode="nearest",
    ),
    *both(
        [[1, 2, 3], [2, 4, 6]],
        DOWN,
        [[7, 14, 21], [8, 16, 24]],
        [[4, 8, 12], [5, 10, 15]],
        mode="nearest",
        origin=[-1, 0],
    ),
    *both(
        [[1, 2, 3], [2, 4, 6]],
        DOWN,
        [[4, 8, 12], [5, 10, 15]],
        [[7, 14, 21], [8, 16, 24]],
        mode="nearest",
        origin=[1, 0],
    ),
    *both([1], [1, 1, 1, 1, 1], [5], [5], mode="mirror"),
    *both(
        C23,
        [[1, 0], [0, 1 + 1j]],
        [[2 - 1j, 3 - 2j, 5 - 3j], [5 - 4j, 6 - 5j, 8 - 6j]],
        [[6 + 1j, 8 + 2j, 9 + 3j], [9 + 4j, 11 + 5j, 12 + 6j]],
    ),
    *both(
        COMPLEX_2D,
        [[1, 0], [0, 1]],
        [[2, 1 + 2j, 3 + 2j], [2 + 4j, 6, 8j]],
        [[6, 8j, 3 + 6j], [6 + 4j, 5 + 6j, 12j]],
    ),
    *both(
        COMPLEX_2D,
        [[1, 0], [0, 1 + 1j]],
        [[2 - 1j, 3 + 2j, 3 - 1j], [6 + 3j, 6 - 5j, 6 + 8j]],
        [[6 + 1j, -2 + 8j, 3 + 9j], [2 + 5j, 5 + 11j, -6 + 12j]],
    ),
    *both(
        COMPLEX_1D,
        [1, 1 + 1j],
        [2 - 1j, 3 + 2j, 3 - 1j, 8 + 3j, 6 - 1j, 11 + 6j],
        [1 + 3j, 1 + 2j, 4 + 7j, 2 + 5j, 5 + 11j, -6 + 12j],
    ),
    *by_mode(
        LINE,
        [1, 0],
        nearest=[1, 1, 2],
        wrap=[3, 1, 2],
        reflect=[1, 1, 2],
        mirror=[2, 1, 2],
        constant=[0, 1, 2],
    ),
    *by_mode(
        LINE,
        FIRST_OF_8,
        nearest=[1, 1, 1],
        wrap=[3, 1, 2],
        reflect=[3, 3, 2],
        mirror=[1, 2, 3],
        constant=[0, 0, 0],
    ),
    *by_mode(
        LINE,
        [0, 0, 1],
        nearest=[2, 3, 3],
        wrap=[2, 3, 1],
        reflect=[2, 3, 3],
        mirror=[2, 3, 2],
        constant=[2, 3, 0],
    ),
    *by_mode(
        LINE,
        LAST_OF_9,
        nearest=[3, 3, 3],
        wrap=[2, 3, 1],
        reflect=[2, 1, 1],
        mirror=[1, 2, 3],
        constant=[0, 0, 0],
    ),
    *by_mode(
        [[1], [2], [3]],
        [[w] for w in LAST_OF_9],
        nearest=[[3], [3], [3]],
        wrap=[[2], [3], [1]],
        reflect=[[2], [1], [1]],
        mirror=[[1], [2], [3]],
        constant=[[0], [0], [0]],
    ),
    *by_mode(
        SQUARE,
        [[1, 0], [0, 0]],
        nearest=[[1, 1, 2], [1, 1, 2], [4, 4, 5]],
        wrap=[[9, 7, 8], [3, 1, 2], [6, 4, 5]],
        reflect=[[1, 1, 2], [1, 1, 2], [4, 4, 5]],
        mirror=[[5, 4, 5], [2, 1, 2], [5, 4, 5]],
        constant=[[0, 0, 0], [0, 1, 2], [0, 4, 5]],
    ),
    *by_mode(
        SQUARE,
        [[0, 0, 0], [0, 0, 0], [0, 0, 1]],
        nearest=[[5, 6, 6], [8, 9, 9], [8, 9, 9]],
        wrap=[[5, 6, 4], [8, 9, 7], [2, 3, 1]],
        reflect=[[5, 6, 6], [8, 9, 9], [8, 9, 9]],
        mirror=[[5, 6, 5], [8, 9, 8], [5, 6, 5]],
        constant=[[5, 6, 0], [8, 9, 0], [0, 0, 0]],
    ),
    ("correlate", [2, 4, 6], [0.5, 0.5], {"origin": -1}, [3, 5, 6]),  # its uniform filters
    ("correlate", [2, 4, 6], [0.5, 0.5], {}, [2, 3, 5]),
    (
        "correlate",
        [[4, 8, 12], [16, 20, 24]],
        [[0.25, 0.25], [0.25, 0.25]],
        {},
        [[4, 6, 10], [10, 12, 16]],
    ),
    (
        "convolve",
        DOC_A,
        DOC_K,
        {"mode": "constant", "cval": 0.0},
        [[11, 10, 7, 4], [10, 3, 11, 11], [15, 12, 14, 7], [12, 3, 7, 0]],
    ),
    (
        "convolve",
        DOC_A,
        DOC_K,
        {"mode": "constant", "cval": 1.0},
        [[13, 11, 8, 7], [11, 3, 11, 14], [16, 12, 14, 10], [15, 6, 10, 5]],
    ),
    (
        "convolve",
        [[2, 0, 0], [1, 0, 0], [0, 0, 0]],
        3 * [[0, 1, 0]],
        {"mode": "reflect"},
        [[5, 0, 0], [3, 0, 0], [1, 0, 0]],
    ),
    (
        "convolve",
        [[2, 0, 1], [1, 0, 0], [0, 0, 0]],
        5 * [[0, 1, 0]],
        {"mode": "nearest"},
        [[7, 0, 3], [5, 0, 2], [3, 0, 1]],
    ),
]

PUBLISHED = [(like_signal, in_signal, *case) for case in SIGNAL]
PUBLISHED += [(like_ndimage, in_ndimage, *case) for case in NDIMAGE]


@each("ours, theirs, name, image, kernel, options, result", PUBLISHED)
def test_published_case_has_the_published_result(ours, theirs, name, image, kernel, options, result):
    np.testing.assert_allclose(ours(name, image, kernel, **options), result, rtol=0, atol=EXACT)
    # The data themselves are right: the peer says so.
    np.testing.assert_allclose(theirs(name, image, kernel, **options), result, rtol=0, atol=EXACT)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "c8", "c16"])
def test_published_cases_with_whole_numbers_hold_for_every_dtype(dtype):
    tried = 0
    for ours, _, name, image, kernel, options, result in PUBLISHED:
        pixels, weights = np.asarray(image), np.asarray(kernel)
        if pixels.dtype.kind != "i" or weights.dtype.kind != "i" or pixels.max() > 127:
            continue
        filtered = ours(name, pixels.astype(dtype), weights, **options)
        np.testing.assert_array_equal(filtered, result, err_msg=f"{name} {image} {kernel} {options}")
        tried += 1
    assert tried > 60


# --- against SciPy, live --------------------------------------------------------------------------

SHAPES = {
    (9, 8): [(3, 3), (4, 4), (1, 2), (5, 4), (6, 1), (9, 8)],
    (4, 5): [(7, 7), (8, 6), (2, 9)],  # kernels larger than the image
}
PAIRS = [(image, kernel) for image, kernels in SHAPES.items() for kernel in kernels]


def fits(image, kernel):
    return all(k <= n for n, k in zip(image, kernel, strict=True))


@pytest.mark.parametrize("name", FILTERS)
@each("dtypes", [("f8", "f8"), ("c16", "f8"), ("f8", "c16"), ("c16", "c16")])
@pytest.mark.parametrize("boundary", SIGNAL_BORDERS)
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_filters_are_those_of_signal_in_every_mode(draw, name, dtypes, boundary, mode):
    fillvalue = -1.5 if boundary == "fill" else 0
    for shape, kernel_shape in PAIRS:
        if mode == "valid" and not fits(shape, kernel_shape):
            continue
        image, kernel = draw(shape, dtypes[0], 1), draw(kernel_shape, dtypes[1], 2)
        options = {"mode": mode, "boundary": boundary, "fillvalue": fillvalue}
        ours = like_signal(name, image, kernel, **options)
        theirs = in_signal(name, image, kernel, **options)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=EXACT, err_msg=f"{shape} {kernel_shape}")


@pytest.mark.parametrize("name", FILTERS)
@each("shapes", [((7,), (3,)), ((8,), (4,)), ((3, 4, 5), (2, 3, 4))])
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_filters_are_those_of_signal_in_one_and_three_dimensions(draw, name, shapes, mode):
    image, kernel = draw(shapes[0], "c16", 1), draw(shapes[1], "c16", 2)
    ours = like_signal(name, image, kernel, mode)
    np.testing.assert_allclose(ours, in_signal(name, image, kernel, mode=mode), rtol=0, atol=EXACT)


@pytest.mark.parametrize("name", FILTERS)
@each("dtypes", [("f8", "f8"), ("c16", "f8"), ("f8", "c16"), ("c16", "c16")])
@pytest.mark.parametrize("mode", NDIMAGE_BORDERS)
def test_filters_are_those_of_ndimage_with_every_origin(draw, name, dtypes, mode):
    cval = -1.5 if mode == "constant" else 0
    for shape, kernel_shape in PAIRS:
        image, kernel = draw(shape, dtypes[0], 1), draw(kernel_shape, dtypes[1], 2)
        origins = [*itertools.product(*(range(-(k // 2), (k - 1) // 2 + 1) for k in kernel_shape))]
        if dtypes != ("f8", "f8"):
            origins = [*origins[::5], origins[-1]]  # the place does not depend on the dtype
        for origin in origins:
            ours = like_ndimage(name, image, kernel, mode, cval, origin)
            theirs = in_ndimage(name, image, kernel, mode=mode, cval=cval, origin=origin)
            where = f"{shape} {kernel_shape} {origin}"
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=EXACT, err_msg=where)


# --- against OpenCV, live -------------------------------------------------------------------------

OPENCV_BORDERS = {  # filter2D refuses BORDER_WRAP
    "BORDER_CONSTANT": "constant",
    "BORDER_REPLICATE": "edge",
    "BORDER_REFLECT": "symmetric",
    "BORDER_REFLECT_101": "reflect",
}


@pytest.mark.parametrize(("image_dtype", "dtype"), [("f4", "f4"), ("f8", "f8"), ("u1", "f8"), ("u1", "f4")])
@pytest.mark.parametrize("theirs", OPENCV_BORDERS)
def test_correlate_is_opencvs_filter2d_with_every_anchor(draw, theirs, image_dtype, dtype):
    cv2 = pytest.importorskip("cv2")
    image, kernel = np.array(draw((9, 8), image_dtype, 1)), np.array(draw((3, 4), dtype, 2))
    depth, border = {"f4": cv2.CV_32F, "f8": cv2.CV_64F}[dtype], OPENCV_BORDERS[theirs]
    bound = (
        12 * np.finfo(dtype).eps * 12 * np.abs(image).max() * np.abs(kernel).max()
    )  # of summing 12 products
    for row, column in np.ndindex(3, 4):
        expected = cv2.filter2D(
            image, depth, kernel, anchor=(column, row), borderType=getattr(cv2, theirs)
        )  # x, y
        result = tmatch.correlate(image, kernel, border=border, anchor=(row, column), dtype=dtype)
        assert result.dtype == expected.dtype
        np.testing.assert_allclose(result, expected, rtol=0, atol=bound, err_msg=f"anchor {row, column}")


@pytest.mark.parametrize("theirs", OPENCV_BORDERS)
@each("kernel_shape", [(3, 3), (2, 4), (5, 2), (1, 6), (12, 13)])
def test_whole_numbers_are_opencvs_to_the_last_digit_with_the_centre_as_anchor(draw, theirs, kernel_shape):
    cv2 = pytest.importorskip("cv2")
    image, kernel = np.array(draw((15, 16), "u1", 1)), draw(kernel_shape, "i1", 2)
    weights = kernel.astype(np.float64)
    expected = cv2.filter2D(image, cv2.CV_64F, weights, borderType=getattr(cv2, theirs))
    result = tmatch.correlate(image, kernel, border=OPENCV_BORDERS[theirs])
    # OpenCV takes the larger kernels through transforms, whose rounding stays far below a half.
    np.testing.assert_array_equal(result, np.rint(expected))
    np.testing.assert_allclose(expected, np.rint(expected), rtol=0, atol=1e-3)


@pytest.mark.parametrize("theirs", OPENCV_BORDERS)
@pytest.mark.parametrize(("dtype", "eps"), [("f4", 1.2e-7), ("f8", 2.3e-16)])
@each("lengths", [(3, 5), (5, 7), (1, 9)])
def test_separable_kernels_are_opencvs_sep_filter2d(draw, lengths, dtype, eps, theirs):
    cv2 = pytest.importorskip("cv2")
    image = np.array(draw((12, 11), dtype, 1))
    down, along = (np.array(draw((n,), dtype, seed)) for seed, n in enumerate(lengths))
    expected = cv2.sepFilter2D(image, -1, along, down, borderType=getattr(cv2, theirs))
    result = tmatch.correlate(image, np.outer(down, along), border=OPENCV_BORDERS[theirs])
    size = np.abs(image).max() * np.abs(down).sum() * np.abs(along).sum()
    assert result.dtype == expected.dtype
    np.testing.assert_allclose(result, expected, rtol=0, atol=4 * sum(lengths) * eps * size)
