"""The doors for those who come from elsewhere: published cases of scikit-image and OpenCV, and both of them live."""

import itertools
import subprocess
import sys

import numpy as np
import pytest

import tmatch
from loops import each
from tmatch.compat import cv2 as like_cv2
from tmatch.compat import skimage as like_skimage

METHODS = ["TM_SQDIFF", "TM_SQDIFF_NORMED", "TM_CCORR", "TM_CCORR_NORMED", "TM_CCOEFF", "TM_CCOEFF_NORMED"]
EPS = np.finfo(np.float32).eps


@pytest.mark.engine_free
def test_neither_door_imports_the_library_it_stands_in_for():
    code = (
        "import sys, tmatch.compat.cv2, tmatch.compat.skimage; print({'cv2', 'skimage'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


# --- published by scikit-image --------------------------------------------------------------------


def best(scores, count=1):
    return [tuple(place) for place in tmatch.find_peaks(scores, max_count=count).tolist()]


def diamond(radius):
    steps = np.abs(np.arange(-radius, radius + 1))
    return (steps[:, None] + steps <= radius).astype(np.uint8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_two_copies_under_noise_are_the_two_best(dtype):
    target = (0.1 * (np.tri(100) + np.tri(100)[::-1])).astype(dtype)
    image = np.full((400, 400), 0.5, dtype)
    image[50:150, 50:150] = image[200:300, 200:300] = target
    image += 0.1 * np.random.default_rng(1).random((400, 400), dtype)
    scores = like_skimage.match_template(image, target)
    assert scores.dtype == dtype
    assert sorted(best(scores, 2)) == [(50, 50), (200, 200)]


def test_a_white_square_scores_1_and_a_black_one_minus_1():
    image = np.full((20, 20), 0.5)
    image[2:7, 3:8], image[12:17, 11:16] = 1, 0
    template = np.pad(np.ones((5, 5)), 1)
    scores = like_skimage.match_template(image, template)
    assert np.unravel_index(scores.argmax(), scores.shape) == (1, 2)
    assert np.unravel_index(scores.argmin(), scores.shape) == (11, 10)
    np.testing.assert_allclose([scores.max(), scores.min()], [1, -1], rtol=0, atol=1e-9)


def test_tiny_contrast_makes_no_nan():
    image = 0.5 + 1e-9 * np.random.default_rng(1).normal(size=(20, 20))
    assert np.isfinite(like_skimage.match_template(image, np.repeat([0.0, 1.0], 18).reshape(6, 6))).all()


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("image", "template"),
    [((3, 3), (5, 5)), ((3, 3), (5, 5, 1)), ((3, 3, 2), (5, 5)), ((3, 3, 2), (5, 5, 3, 3))],
    ids=str,
)
def test_arguments_in_the_wrong_order_are_refused(image, template):
    with pytest.raises(ValueError, match="`template` has|`image` has"):
        like_skimage.match_template(np.ones(image), np.ones(template))


def test_padding_finds_what_the_edge_cuts_in_half():
    template, image = 0.5 * diamond(2), np.full((9, 19), 0.5)
    image[2:7, :3] -= template[:, -3:]  # centred on column 0
    image[2:7, 4:9] += template  # 6
    image[2:7, -9:-4] -= template  # 12
    image[2:7, -3:] += template[:, :3]  # 18
    scores = like_skimage.match_template(image, template, pad_input=True, constant_values=image.mean())
    columns = scores.ravel().argsort() % 19
    assert columns[[0, 1, -2, -1]].tolist() == [12, 0, 18, 6]


@pytest.mark.parametrize(("pad_input", "shape", "place"), [(False, 10, (3, 5, 4)), (True, 12, (4, 6, 5))])
def test_a_copy_in_a_volume_is_found(draw, pad_input, shape, place):
    template, image = draw((3, 3, 3)), np.zeros((12, 12, 12))
    image[3:6, 5:8, 4:7] = template
    scores = like_skimage.match_template(image, template, pad_input)
    assert scores.shape == (shape, shape, shape)
    assert np.unravel_index(scores.argmax(), scores.shape) == place


def test_half_a_diamond_is_whole_in_the_mirror():
    image = np.zeros((10, 10))
    image[2:7, :3] = diamond(2)[:, -3:]
    scores = like_skimage.match_template(image, diamond(2), pad_input=True, mode="reflect")
    assert np.unravel_index(scores.argmax(), scores.shape) == (4, 0)


def test_scores_of_a_point_stay_within_one(picture):
    scores = like_skimage.match_template(picture("coins/image.png") / 255, np.pad([[1.0]], 1))
    assert np.abs(scores).max() <= 1


# --- published by OpenCV --------------------------------------------------------------------------


def value(window, templ, method, mask=None):
    """OpenCV's formulas for one place, in float64."""
    window, templ = (np.atleast_3d(a).astype(np.float64) for a in (window, templ))
    weights = np.ones(templ.shape)
    if mask is not None:
        weights = np.broadcast_to(np.atleast_3d(mask if mask.dtype == np.float32 else mask != 0), templ.shape)
        weights = weights.astype(np.float64)
    if method.startswith("TM_CCOEFF"):
        total = np.maximum(weights.sum((0, 1)), 1e-30)
        window = window - (weights * window).sum((0, 1)) / total
        templ = templ - (weights * templ).sum((0, 1)) / total
    window, templ = window * weights, templ * weights
    number = np.sum((window - templ) ** 2 if method.startswith("TM_SQDIFF") else window * templ)
    if method.endswith("NORMED"):
        number /= np.sqrt(np.sum(window**2) * np.sum(templ**2))
    return min(number, 1) if method == "TM_SQDIFF_NORMED" and mask is None else number


def scores_and_values(image, templ, method, places, mask=None):
    scores = like_cv2.matchTemplate(image, templ, getattr(like_cv2, method), mask=mask)
    (h, w), found, expected = templ.shape[:2], [], []
    assert scores.dtype == np.float32
    assert scores.shape == (image.shape[0] - h + 1, image.shape[1] - w + 1)
    for y, x in places:
        found.append(scores[y, x])
        expected.append(value(image[y : y + h, x : x + w], templ, method, mask))
    return np.array(found), np.array(expected)


def uniform(rng, shape, dtype, low, high):
    return (
        rng.integers(low, high, shape, np.uint8)
        if dtype == "u1"
        else rng.uniform(low, high, shape).astype("f4")
    )


def test_squares_of_a_nearly_constant_picture_are_not_below_0():
    image = np.full((82, 61), 245, np.uint8)
    image[34:54:3, 50:52] = 246
    image[60, 40:44] = 247
    scores = like_cv2.matchTemplate(image, image[:17, :17], like_cv2.TM_SQDIFF)
    assert scores.min() == 0
    assert scores[44, 30] == 4 * 2**2 + 1 * 0  # the four of 247, and no column of 246
    assert scores[34, 44] == 6 * 2


@pytest.mark.parametrize("method", METHODS)
@each("channels", [1, 3])
@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_uniform_noise_scores_by_the_formulas(dtype, channels, method):
    rng = np.random.default_rng(1)
    for _ in range(3):
        outer, inner = rng.integers([128, 128], [240, 320]), rng.integers([1, 1], [30, 30])
        image, templ = (uniform(rng, (*s, channels), dtype, 0, 255) for s in (outer, inner))
        if templ[..., 0].size == 1 and method == "TM_CCOEFF_NORMED":
            continue  # constant
        found, expected = scores_and_values(image, templ, method, rng.integers(0, outer - inner + 1, (50, 2)))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("method", METHODS)
@each("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_templates_of_any_size_score_by_the_formulas(dtype, channels, method):
    rng = np.random.default_rng(2)
    low = 0 if dtype == "u1" else -256
    for _ in range(6):
        outer = rng.integers(2, 100, 2)
        inner = rng.integers(1, outer + 1)
        image, templ = (uniform(rng, (*s, channels), dtype, low, 256) for s in (outer, inner))
        if templ[..., 0].size == 1 and method == "TM_CCOEFF_NORMED":
            continue  # constant
        found, expected = scores_and_values(image, templ, method, rng.integers(0, outer - inner + 1, (20, 2)))
        size = 1 if method.endswith("NORMED") else templ.size * 256**2
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * size)


PAIRS = [(dtype, channels, mask, 1) for dtype in ("f4", "u1") for channels in (1, 3) for mask in ("f4", "u1")]
PAIRS += [(dtype, 3, mask, 3) for dtype in ("f4", "u1") for mask in ("f4", "u1")]


@pytest.mark.parametrize("method", METHODS)
@each("dtype, channels, mask_dtype, mask_channels", PAIRS)
def test_masks_weight_by_the_formulas(dtype, channels, mask_dtype, mask_channels, method):
    rng = np.random.default_rng(3)
    image, templ = (uniform(rng, (*s, channels), dtype, 0, 10) for s in ((100, 160), (13, 21)))
    mask = uniform(rng, (13, 21, mask_channels), mask_dtype, 0, 5)
    places = [(9, 8), (0, 0), (87, 139)]
    found, expected = scores_and_values(image, templ, method, places, mask)
    np.testing.assert_allclose(found, expected, rtol=13 * 21 * EPS, atol=0)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@each("dtype, channels, mask_dtype, mask_channels", PAIRS)
def test_a_mask_where_all_counts_changes_nothing(dtype, channels, mask_dtype, mask_channels, method):
    rng = np.random.default_rng(4)
    image, templ = (uniform(rng, (*s, channels), dtype, 0, 100) for s in ((100, 160), (13, 21)))
    shape = (13, 21, mask_channels)
    mask = rng.integers(1, 255, shape, np.uint8) if mask_dtype == "u1" else np.ones(shape, "f4")
    code = getattr(like_cv2, method)
    masked = like_cv2.matchTemplate(image, templ, code, mask=mask)
    np.testing.assert_allclose(masked, like_cv2.matchTemplate(image, templ, code), rtol=1e-6, atol=1e-6)


def test_a_masked_template_may_be_as_wide_as_the_image(draw):
    ones = np.ones((10, 10), np.uint8)
    scores = like_cv2.matchTemplate(ones, ones[:7], like_cv2.TM_CCOEFF, mask=ones[:7])
    assert scores.tolist() == [[0]] * 4
    image = draw((10, 10), "u1")
    scores = like_cv2.matchTemplate(image, image[2:9], like_cv2.TM_CCOEFF_NORMED, mask=ones[:7])
    assert scores.shape == (4, 1)
    assert scores.argmax() == 2


# --- live -----------------------------------------------------------------------------------------

NUMPY_MODES = ["constant", "edge", "reflect", "symmetric", "wrap", "mean", "maximum", "median", "linear_ramp"]
VOLUMES = [
    ((9, 8), (3, 4)),
    ((9, 8), (4, 3)),
    ((7, 5), (7, 5)),
    ((6, 9), (1, 5)),
    ((30, 31), (8, 13)),
    ((6, 5, 7), (2, 3, 3)),
    ((9, 8, 3), (4, 3, 3)),
    ((5, 6, 1), (2, 2, 1)),
]


@pytest.mark.parametrize("dtypes", ["f4 f4", "f4 f8", "f8 f4", "f8 f8", "u1 u1", "i2 u1", "? f8", "f8 ?"])
@each("shapes", VOLUMES)
def test_match_template_is_that_of_scikit_image(draw, shapes, dtypes):
    feature = pytest.importorskip("skimage.feature")
    image, template = (draw(s, d, i) for s, d, i in zip(shapes, dtypes.split(), (1, 2), strict=True))
    for pad_input in (False, True):
        scores = like_skimage.match_template(image, template, pad_input)
        expected = feature.match_template(image, template, pad_input)
        assert scores.dtype == expected.dtype
        atol = 2e-5 if "f4" in dtypes else 1e-6
        np.testing.assert_allclose(scores, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("mode", NUMPY_MODES)
@each("shapes", VOLUMES)
def test_padding_is_that_of_scikit_image(draw, shapes, mode):
    feature = pytest.importorskip("skimage.feature")
    image, template = draw(shapes[0], "u1", 1), draw(shapes[1], "u1", 2)
    for constant in (0, 127.5):
        options = {"pad_input": True, "mode": mode, "constant_values": constant}
        scores, expected = (
            module.match_template(image, template, **options) for module in (like_skimage, feature)
        )
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)


def test_padding_by_a_function_is_that_of_scikit_image(draw):
    feature = pytest.importorskip("skimage.feature")

    def stripes(vector, width, axis, options):  # noqa: ARG001
        vector[: width[0]], vector[-width[1] :] = np.arange(width[0]), -np.arange(width[1])

    image, template = draw((9, 8)), draw((4, 3))
    scores, expected = (m.match_template(image, template, True, stripes) for m in (like_skimage, feature))
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", ["f4", "f8", "u1"])
def test_scikit_images_zeros_without_contrast(draw, dtype):
    feature = pytest.importorskip("skimage.feature")
    image = np.array(draw((12, 12), dtype))
    image[:6] = 3
    flat = np.full((3, 3), 3, dtype)
    for template, pad_input in itertools.product((image[5:8, 2:5], flat), (False, True)):
        scores, expected = (m.match_template(image, template, pad_input) for m in (like_skimage, feature))
        assert scores.dtype == expected.dtype
        np.testing.assert_allclose(scores, expected, rtol=0, atol=2e-5)
    assert not scores.any()


MASKS = {
    "none": lambda _rng, _shape: None,
    "yes or no": lambda rng, shape: rng.integers(0, 3, shape[:2], np.uint8),
    "yes or no by channel": lambda rng, shape: rng.integers(0, 3, shape, np.uint8),
    "weights": lambda rng, shape: rng.random(shape[:2], np.float32),
    "weights by channel": lambda rng, shape: rng.random(shape, np.float32),
    "few weights": lambda rng, shape: rng.choice(np.array([0, 0, 0.1, 4], "f4"), shape[:2]),
    "one weight": lambda rng, shape: rng.choice(np.array([0, 0.25], "f4"), shape[:2]),
}


@pytest.mark.parametrize("method", METHODS)
@each("kind", MASKS)
@each("channels", [None, 1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_match_template_is_that_of_opencv(draw, dtype, channels, kind, method):
    cv2 = pytest.importorskip("cv2")
    axes = () if channels is None else (channels,)
    for shape, part in [((13, 15), (4, 5)), ((12, 9), (6, 9)), ((40, 50), (19, 13)), ((9, 8), (9, 8))]:
        image, templ = np.array(draw((*shape, *axes), dtype, 1)), np.array(draw((*part, *axes), dtype, 2))
        mask = MASKS[kind](np.random.default_rng(5), templ.shape)
        scores = like_cv2.matchTemplate(image, templ, getattr(like_cv2, method), mask=mask)
        expected = cv2.matchTemplate(image, templ, getattr(cv2, method), mask=mask)
        assert scores.dtype == expected.dtype
        assert scores.shape == expected.shape
        weight = 1 if mask is None or mask.dtype == np.uint8 else float(mask.max()) ** 2
        size = templ.size * np.square(image, dtype=np.float64).max() * weight
        scale = 100 if method.endswith("NORMED") else size
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6 * scale)


@pytest.mark.engine_free
@pytest.mark.parametrize("name", METHODS)
def test_constants_are_those_of_opencv(name):
    assert getattr(like_cv2, name) == getattr(pytest.importorskip("cv2"), name)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["chelsea", "coins"])
def test_a_photo_scores_as_in_opencv(picture, name, method):
    cv2 = pytest.importorskip("cv2")
    image = picture(f"{name}/image.png")[:120, :160]
    templ = np.ascontiguousarray(image[40:70, 50:81])
    scores = like_cv2.matchTemplate(image, templ, getattr(like_cv2, method))
    expected = cv2.matchTemplate(image, templ, getattr(cv2, method))
    atol = 1e-4 if method.endswith("NORMED") else 1e-6 * templ.size * 255**2
    np.testing.assert_allclose(scores, expected, rtol=0, atol=atol)
    best = np.argmin if method.startswith("TM_SQDIFF") else np.argmax
    if method not in ("TM_CCORR", "TM_CCOEFF"):  # brighter places, and ones of more contrast, can have more
        assert np.unravel_index(best(scores), scores.shape) == (40, 50)


def test_result_is_written_into_as_by_opencv(draw):
    cv2 = pytest.importorskip("cv2")
    image, templ = draw((9, 8), "u1", 1), draw((3, 4), "u1", 2)
    for module in (like_cv2, cv2):
        result = np.zeros((7, 5), np.float32)
        assert module.matchTemplate(image, templ, module.TM_CCOEFF_NORMED, result) is result
        assert result.any()
        for unfit in (np.zeros((7, 6), np.float32), np.zeros((7, 5))):
            scores = module.matchTemplate(image, templ, module.TM_CCOEFF_NORMED, result=unfit)
            assert scores is not unfit
            assert not unfit.any()
            np.testing.assert_allclose(scores, result, rtol=0, atol=1e-6)


# --- where we differ from scikit-image ------------------------------------------------------------


def test_nan_is_refused_where_scikit_image_says_0_or_nan_everywhere(draw):
    feature = pytest.importorskip("skimage.feature")
    image = np.array(draw((20, 20)))
    template = image[3:8, 4:9].copy()
    image[15, 15] = np.nan
    expected = feature.match_template(image, template)
    assert (np.isnan(expected) | (expected == 0)).all()
    with pytest.raises(ValueError, match=r"`image` is nan at \[15, 15\]"):
        like_skimage.match_template(image, template)


@pytest.mark.parametrize(("dtype", "offset", "error"), [("f4", 1e3, 0.5), ("f8", 1e7, 0.01)])
def test_an_offset_hurts_nothing_where_scikit_image_goes_astray(draw, dtype, offset, error):
    feature = pytest.importorskip("skimage.feature")
    image = (offset + draw((60, 80))).astype(dtype)
    template = image[3:24, 4:25].copy()
    exact = tmatch.match_template(image.astype("f8") - offset, template.astype("f8") - offset)
    assert np.abs(feature.match_template(image, template) - exact).max() > error
    np.testing.assert_allclose(like_skimage.match_template(image, template), exact, rtol=0, atol=1e-6)


def test_small_numbers_have_scores_where_scikit_image_says_0_everywhere(draw):
    feature = pytest.importorskip("skimage.feature")
    image, template = draw((20, 20), seed=1), draw((3, 3), seed=2)
    assert not feature.match_template(1e-9 * image, 1e-9 * template).any()
    scores = like_skimage.match_template(1e-9 * image, 1e-9 * template)
    np.testing.assert_allclose(scores, like_skimage.match_template(image, template), rtol=0, atol=1e-9)


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_half_precision_has_scores_where_scikit_image_says_0_everywhere(draw):
    feature = pytest.importorskip("skimage.feature")
    image, template = draw((20, 20), "u1", 1).astype("f2"), draw((5, 5), "u1", 2).astype("f2")
    theirs, scores = feature.match_template(image, template), like_skimage.match_template(image, template)
    assert not theirs.any()
    assert scores.dtype == theirs.dtype
    expected = feature.match_template(image.astype("f8"), template.astype("f8"))
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)


# --- where we differ from OpenCV ------------------------------------------------------------------


@pytest.mark.engine_free
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("dtype", "colour"), [("u1", [1]), ("f4", [3.5]), ("u1", [1, 2, 3]), ("f4", [1.5, 2.5, 3.5])], ids=str
)
def test_a_constant_template_is_refused_where_opencv_says_1_everywhere(draw, dtype, colour, masked):
    cv2 = pytest.importorskip("cv2")
    image = np.array(draw((16, 16, len(colour)), dtype))
    templ, mask = np.tile(np.array(colour, dtype), (3, 3, 1)), np.ones((3, 3), dtype)
    mask[:, 1] = 0
    options = {"mask": mask} if masked else {}
    expected = cv2.matchTemplate(image, templ, cv2.TM_CCOEFF_NORMED, **options)
    assert ((expected == 1) | (np.isnan(expected) & masked)).all()  # NaN in some of its versions
    with pytest.raises(ValueError, match="`templ` is constant"):
        like_cv2.matchTemplate(image, templ, like_cv2.TM_CCOEFF_NORMED, **options)


@pytest.mark.engine_free
def test_a_template_of_zeros_is_refused_where_opencv_says_0_or_1_everywhere(draw):
    cv2 = pytest.importorskip("cv2")
    image, templ = np.array(draw((16, 16), "u1")), np.zeros((3, 3), np.uint8)
    for method, expected in ((cv2.TM_CCORR_NORMED, 0), (cv2.TM_SQDIFF_NORMED, 1)):
        assert (cv2.matchTemplate(image, templ, method) == expected).all()
        with pytest.raises(ValueError, match="`templ` has no pixel that is not 0"):
            like_cv2.matchTemplate(image, templ, method)


@pytest.mark.parametrize("soft", [False, True])
def test_flat_windows_score_0_under_a_mask_where_opencv_says_anything(soft):
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    image = np.full((40, 40), 0.3, np.float32)
    image[20:] = rng.random((20, 40), np.float32)
    templ = image[25:32, 10:19].copy()
    mask = rng.choice(np.array([0, 0.5, 1] if soft else [0, 1], "f4"), templ.shape)
    expected = cv2.matchTemplate(image, templ, cv2.TM_CCOEFF_NORMED, mask=mask)
    assert np.isnan(expected[:13]).all()
    scores = like_cv2.matchTemplate(image, templ, like_cv2.TM_CCOEFF_NORMED, mask=mask)
    assert not scores[:13].any()
    np.testing.assert_allclose(scores[14:], expected[14:], rtol=0, atol=1e-4)


def test_black_windows_under_a_mask_get_the_worst_number_where_opencv_says_infinity():
    cv2 = pytest.importorskip("cv2")
    image = np.array([[0, 0, 0, 0, 3, 1, 2]], np.uint8)
    templ, mask = np.array([[1, 2]], np.uint8), np.ones((1, 2), np.uint8)
    expected = cv2.matchTemplate(image, templ, cv2.TM_SQDIFF_NORMED, mask=mask)
    assert expected[0, 0] > 1e6
    scores = like_cv2.matchTemplate(image, templ, like_cv2.TM_SQDIFF_NORMED, mask=mask)
    np.testing.assert_allclose(scores[0, 3:], expected[0, 3:], rtol=0, atol=1e-6)
    assert scores[0, :3].tolist() == [max(1, scores[0, 3:].max())] * 3
    black = like_cv2.matchTemplate(0 * image, templ, like_cv2.TM_SQDIFF_NORMED, mask=mask)
    assert black.tolist() == [[1] * 6]
    # Without a mask both say 1.
    scores, expected = (m.matchTemplate(image, templ, m.TM_SQDIFF_NORMED) for m in (like_cv2, cv2))
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)
    assert scores[0].tolist()[:3] == [1, 1, 1]
    # Black windows score 0 for correlation, with a mask as without.
    assert not like_cv2.matchTemplate(image, templ, like_cv2.TM_CCORR_NORMED, mask=mask)[0, :3].any()


@pytest.mark.engine_free
def test_swapped_arguments_are_refused_where_opencv_swaps_them_back(draw):
    cv2 = pytest.importorskip("cv2")
    image, templ = draw((9, 8), "u1", 1), draw((3, 4), "u1", 2)
    assert cv2.matchTemplate(templ, image, cv2.TM_CCOEFF_NORMED).shape == (7, 5)
    for method in range(6):
        with pytest.raises(ValueError, match="`templ` has shape .* swap the two"):
            like_cv2.matchTemplate(templ, image, method)


def test_nan_is_refused_where_opencv_goes_on(draw):
    cv2 = pytest.importorskip("cv2")
    image = np.array(draw((20, 20), "f4"))
    templ = image[3:8, 4:9].copy()
    weights = np.linspace(0, 1, 25, dtype="f4").reshape(5, 5)
    image[15, 15] = np.nan
    assert not cv2.matchTemplate(image, templ, cv2.TM_CCOEFF_NORMED).any()
    for method, mask in itertools.product(range(6), (None, weights)):
        with pytest.raises(ValueError, match=r"`image` is nan at \[15, 15"):
            like_cv2.matchTemplate(image, templ, method, mask=mask)
        with pytest.raises(ValueError, match="`templ` is nan"):
            like_cv2.matchTemplate(np.ones((9, 9), "f4"), image[-6:-1, -6:-1], method, mask=mask)
    templ[0, 0] = np.nan  # where the mask is 0
    assert np.isfinite(like_cv2.matchTemplate(image[:14], templ, like_cv2.TM_CCOEFF, mask=weights)).all()


@pytest.mark.engine_free
@pytest.mark.parametrize("wrong", [0, -1, np.nan, np.inf])
def test_masks_without_sense_are_refused_where_opencv_goes_on(draw, wrong):
    cv2 = pytest.importorskip("cv2")
    image, templ = np.array(draw((9, 8), "f4", 1)), np.array(draw((3, 4), "f4", 2))
    mask = np.full((3, 4), wrong, np.float32)
    assert cv2.matchTemplate(image, templ, cv2.TM_CCORR, mask=mask).shape == (7, 5)
    for method in range(6):
        with pytest.raises(ValueError, match="`mask`"):
            like_cv2.matchTemplate(image, templ, method, mask=mask)


def test_scores_are_not_clamped_where_opencv_says_0_or_1(draw):
    cv2 = pytest.importorskip("cv2")
    image = (3000 + draw((60, 80))).astype("f4")
    templ = image[3:24, 4:25].copy()
    expected = cv2.matchTemplate(image, templ, cv2.TM_CCOEFF_NORMED)
    assert np.sum(np.abs(expected) == 1) > 100
    assert np.sum(expected == 0) > 100
    scores = like_cv2.matchTemplate(image, templ, like_cv2.TM_CCOEFF_NORMED)
    assert best(scores) == [(3, 4)]
    exact = tmatch.match_template(image.astype("f8") - 3000, templ.astype("f8") - 3000)
    np.testing.assert_allclose(scores, exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("soft", [False, True])
def test_scores_stay_within_1_under_a_mask_where_opencv_passes_it(draw, soft):
    cv2 = pytest.importorskip("cv2")
    image = (3000 + draw((60, 80))).astype("f4")
    templ, mask = image[3:24, 4:25].copy(), np.ones((21, 21), "f4")
    mask[:3] = 0.5 if soft else 0
    assert np.nanmax(np.abs(cv2.matchTemplate(image, templ, cv2.TM_CCOEFF_NORMED, mask=mask))) > 2
    scores = like_cv2.matchTemplate(image, templ, like_cv2.TM_CCOEFF_NORMED, mask=mask)
    assert np.abs(scores).max() <= 1
    assert best(scores) == [(3, 4)]


def test_little_contrast_has_scores_where_opencv_says_0_or_1(draw):
    cv2 = pytest.importorskip("cv2")
    image = (1 + 5e-4 * draw((30, 40))).astype("f4")
    templ = image[3:10, 4:13].copy()
    expected = cv2.matchTemplate(image, templ, cv2.TM_CCOEFF_NORMED)
    assert not expected.any()
    assert like_cv2.matchTemplate(image, templ, like_cv2.TM_CCOEFF_NORMED)[3, 4] == 1
    image, templ = 1e-9 * image - np.float32(1e-9), 1e-9 * templ - np.float32(1e-9)
    assert (cv2.matchTemplate(image, templ, cv2.TM_CCOEFF_NORMED) == 1).all()
    scores = like_cv2.matchTemplate(image, templ, like_cv2.TM_CCOEFF_NORMED)
    assert scores[3, 4] == 1
    assert np.sum(scores > 0.9) == 1


@pytest.mark.parametrize("masked", [False, True])
def test_squares_are_exact_where_opencv_rounds(masked):
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    image = rng.integers(200, 256, (60, 60), np.uint8)
    templ = image[20:50, 20:50].copy()
    options = {"mask": np.ones((30, 30), np.uint8)} if masked else {}
    image[40, 40] ^= 1
    assert like_cv2.matchTemplate(image, templ, like_cv2.TM_SQDIFF, **options)[20, 20] == 1
    if masked:
        assert cv2.matchTemplate(image, templ, cv2.TM_SQDIFF, **options)[20, 20] != 1


@pytest.mark.parametrize("method", METHODS)
def test_a_channel_whose_weights_are_0_does_not_count_where_opencv_says_nan(draw, method):
    cv2 = pytest.importorskip("cv2")
    image, templ = np.array(draw((9, 8, 3), "f4", 1)), np.array(draw((3, 4, 3), "f4", 2))
    mask = np.random.default_rng(0).random((3, 4, 3), np.float32)
    mask[..., 1] = 0
    scores, expected = (m.matchTemplate(image, templ, getattr(m, method), mask=mask) for m in (like_cv2, cv2))
    if method.startswith("TM_CCOEFF"):
        assert np.isnan(expected).all()
        mask, image, templ = (np.ascontiguousarray(a[..., [0, 2]]) for a in (mask, image, templ))
        expected = cv2.matchTemplate(image, templ, getattr(cv2, method), mask=mask)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5)


def test_faint_windows_beside_a_glaring_one_have_their_score_under_weights():
    rng = np.random.default_rng(0)
    image = rng.normal(size=(30, 30)).astype("f4")
    image[25:, 25:] += 1e7
    templ, mask = image[5:10, 5:10], rng.random((5, 5), np.float32)
    scores = like_cv2.matchTemplate(image, templ, like_cv2.TM_CCOEFF_NORMED, mask=mask)
    places = [(5, 5), (0, 0), (12, 3), (20, 21), (25, 25)]
    for y, x in places:
        expected = value(image[y : y + 5, x : x + 5], templ, "TM_CCOEFF_NORMED", mask)
        assert scores[y, x] == pytest.approx(expected, abs=1e-6)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("image", "template", "options", "error", "words"),
    [
        (np.ones((0, 3)), np.ones((1, 1)), {}, ValueError, "`image` is empty"),
        (np.ones((3, 3)), np.ones((0, 1)), {}, ValueError, "`template` is empty"),
        (np.ones(3), np.ones(1), {}, ValueError, "it must have 2 or 3 axes"),
        (np.ones((2, 3, 4, 5)), np.ones((1, 1, 1, 1)), {}, ValueError, "it must have 2 or 3 axes"),
        (np.ones((3, 3, 3)), np.ones((2, 2)), {}, ValueError, "`template` has 2 axes and `image` has 3"),
        (np.ones((3, 3)), np.ones((2, 4)), {}, ValueError, "larger than `image`"),
        (np.ones((3, 3), complex), np.ones((2, 2)), {}, ValueError, "`image` has dtype complex128"),
        (np.ones((3, 3)), np.ones((2, 2), complex), {}, ValueError, "`template` has dtype complex128"),
        (np.eye(3), np.eye(2), {"mode": "fog"}, ValueError, "mode 'fog' is not supported"),
        (np.eye(3), np.eye(2), {"mode": "fog", "pad_input": True}, ValueError, "mode 'fog' is not supported"),
    ],
)
def test_what_scikit_image_refuses_is_refused(image, template, options, error, words):
    feature = pytest.importorskip("skimage.feature")
    with pytest.raises(error, match=words):
        like_skimage.match_template(image, template, **options)
    if template.size and template.dtype != complex:
        with pytest.raises(error):
            feature.match_template(image, template, **options)


U1, F4 = np.ones((4, 4), np.uint8), np.ones((4, 4), np.float32)


@pytest.mark.engine_free
@each(
    "image, templ, method, mask, error, words",
    [
        (U1.astype("f8"), U1, 0, None, TypeError, "`image` has dtype float64; it must be uint8 or float32"),
        (U1, U1.astype(bool), 0, None, TypeError, "`templ` has dtype bool; it must be uint8 or float32"),
        (U1.astype("u2"), U1.astype("u2"), 0, None, TypeError, "`image` has dtype uint16"),
        (U1, F4, 0, None, ValueError, "`templ` has dtype float32 and `image` uint8; they must be equal"),
        (U1, U1, 6, None, ValueError, "`method` is 6; it must be one of the six"),
        (U1, U1, -1, None, ValueError, "`method` is -1"),
        (U1, U1, "zncc", None, ValueError, "`method` is 'zncc'"),
        (U1, U1, 5.0, None, ValueError, "`method` is 5.0"),
        (np.dstack([U1] * 3), U1, 0, None, ValueError, "`templ` has 1 channels and `image` has 3"),
        (np.dstack([U1] * 5), np.dstack([U1] * 5), 0, None, ValueError, "at most 4 channels"),
        (U1[:3], U1, 0, None, ValueError, "`templ` has shape .* larger than `image`"),
        (U1, U1, 0, U1[:3], ValueError, r"`mask` has shape \(3, 4\); it must be \(4, 4\)"),
        (U1, U1, 0, np.dstack([U1] * 3), ValueError, "`mask` has shape"),
        (U1, U1, 0, U1.astype("f8"), TypeError, "`mask` has dtype float64"),
    ],
)
def test_what_opencv_refuses_is_refused(image, templ, method, mask, error, words):
    cv2 = pytest.importorskip("cv2")
    with pytest.raises(error, match=words):
        like_cv2.matchTemplate(image, templ, method, mask=mask)
    if words != "at most 4 channels" and "larger" not in words:  # which OpenCV takes for some methods
        with pytest.raises(cv2.error):
            cv2.matchTemplate(image, templ, method, mask=mask)


@pytest.mark.engine_free
def test_a_line_is_refused():
    with pytest.raises(ValueError, match=r"`image` has shape \(4,\); it must be \(H, W\)"):
        like_cv2.matchTemplate(U1[0], U1[0], 0)


# --- found by attack ------------------------------------------------------------------------------------


@pytest.mark.engine_free
def test_a_constant_template_does_not_hide_bad_arrays_from_scikit_image_s_door():
    with pytest.raises(ValueError, match="`image` has NaN"):
        like_skimage.match_template(np.full((4, 4), np.nan), np.ones((2, 2)))
    with pytest.raises(TypeError, match="`image` has dtype <U1"):
        like_skimage.match_template(np.array([["a", "b"]]), np.array([["a"]]))


def test_scores_beyond_float32_are_refused_at_opencv_s_door():
    image = np.arange(20, dtype=np.float32).reshape(4, 5) * np.float32(1e30)
    with pytest.raises(ValueError, match="pass the largest float32"):
        like_cv2.matchTemplate(image, image[:2, :2], like_cv2.TM_SQDIFF)
