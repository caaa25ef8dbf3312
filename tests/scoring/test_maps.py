import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oracle
import tmatch
from loops import each

pytestmark = pytest.mark.also_by_transforms

DTYPES = ["?", "u1", "i1", "u2", "i2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "g", ">u2", ">f8"]
SHAPES = [  # image, template: odd, even, as big as the image, lines, and more than 24 pixels
    ((8, 9), (3, 4)),
    ((7, 7), (2, 2)),
    ((6, 5), (6, 5)),
    ((5, 6), (1, 2)),
    ((9, 4), (5, 1)),
    ((14, 13), (7, 6)),
]
BOUND = 1e-9  # what match_template promises


# --- equals the oracle ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@each("shapes", SHAPES)
def test_scores_equal_the_oracle(draw, shapes, dtype):
    image, template = draw(shapes[0], dtype, 1), draw(shapes[1], dtype, 6)
    scores = tmatch.match_template(image, template)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, oracle.zncc(image, template), rtol=0, atol=BOUND)


@pytest.mark.parametrize(
    "dtypes", [("u1", "f8"), ("f4", "u1"), ("u2", "i1"), ("?", "f2"), ("i8", "u1"), ("g", "u8")], ids="-".join
)
def test_image_and_template_may_differ_in_dtype(draw, dtypes):
    image, template = draw((8, 9), dtypes[0], 1), draw((3, 4), dtypes[1], 2)
    expected = oracle.zncc(image, template)
    np.testing.assert_allclose(tmatch.match_template(image, template), expected, rtol=0, atol=BOUND)


@pytest.mark.parametrize("dtype", ["u1", "i8", "f4", "f8"])
@each("channels", [1, 2, 3])
@each("axis", [0, 1, 2, -1, -2, -3])
def test_scores_in_colour_equal_the_oracle_whatever_axis_holds_it(draw, axis, channels, dtype):
    image, template = draw((7, 8, channels), dtype, 1), draw((3, 4, channels), dtype, 2)
    scores = tmatch.match_template(
        np.moveaxis(image, 2, axis), np.moveaxis(template, 2, axis), channel_axis=axis
    )
    np.testing.assert_allclose(scores, oracle.zncc(image, template, 2), rtol=0, atol=BOUND)


def test_lists_are_taken_as_arrays():
    assert tmatch.match_template([[0, 1, 0], [0, 0, 2]], [[0, 1]]).tolist() == [[1, -1], [0, 1]]


# --- equals the peers -----------------------------------------------------------------------------


def test_scores_equal_those_of_scikit_image(picture):
    feature = pytest.importorskip("skimage.feature")
    image, template = picture("coins/image.png"), picture("coins/head.png")
    expected = feature.match_template(image, template)
    np.testing.assert_allclose(tmatch.match_template(image, template), expected, rtol=0, atol=1e-9)


def test_scores_in_colour_equal_those_of_opencv(picture):
    cv2 = pytest.importorskip("cv2")
    image, template = picture("chelsea/image.png"), picture("chelsea/eye.png")
    expected = cv2.matchTemplate(image, template, cv2.TM_CCOEFF_NORMED)
    scores = tmatch.match_template(image, template, channel_axis=2)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-4)  # float32 over 17,850 values


# --- laws -----------------------------------------------------------------------------------------

sides = st.tuples(st.integers(1, 9), st.integers(1, 9))
small = st.integers(-5, 5)


@st.composite
def pairs(draw, dtype=np.int16, elements=small):
    shape = draw(sides)
    part = tuple(draw(st.integers(1, n)) for n in shape)
    template = draw(hnp.arrays(dtype, part, elements=elements, fill=st.nothing()))
    assume(np.ptp(template) > 0)
    return draw(hnp.arrays(dtype, shape, elements=elements, fill=st.nothing())), template


@given(pairs())
def test_integers_of_few_values_equal_the_oracle(pair):
    np.testing.assert_allclose(tmatch.match_template(*pair), oracle.zncc(*pair), rtol=0, atol=BOUND)


floats = st.floats(-1e3, 1e3, width=16)


@given(pairs(np.float64, floats))
def test_scores_lie_between_minus_one_and_one(pair):
    scores = tmatch.match_template(*pair)
    assert np.all(np.abs(scores) <= 1)


@given(pairs(), st.integers(1, 100), st.integers(-1000, 1000), st.integers(1, 100), st.integers(-1000, 1000))
def test_gain_and_offset_on_either_side_change_nothing(pair, gain, offset, other_gain, other_offset):
    image, template = (a.astype(np.int64) for a in pair)
    scores = tmatch.match_template(image, template)
    changed = tmatch.match_template(gain * image + offset, other_gain * template + other_offset)
    np.testing.assert_allclose(changed, scores, rtol=0, atol=1e-15)  # exact but for the division
    inverted = tmatch.match_template(gain * image + offset, other_offset - other_gain * template)
    np.testing.assert_allclose(inverted, -scores, rtol=0, atol=1e-15)


@given(pairs())
def test_integers_and_equal_floats_score_alike(pair):
    image, template = pair
    floats = tmatch.match_template(image.astype(float), template.astype(float))
    np.testing.assert_allclose(floats, tmatch.match_template(image, template), rtol=0, atol=BOUND)


@given(pairs())
def test_turned_pictures_give_turned_maps(pair):
    image, template = pair
    scores = tmatch.match_template(image, template)
    for turn in (np.transpose, np.flipud, np.rot90):
        np.testing.assert_array_equal(tmatch.match_template(turn(image), turn(template)), turn(scores))


@given(pairs(), st.integers(0, 4), st.integers(0, 4))
def test_shifting_the_image_shifts_the_map(pair, dy, dx):
    image, template = pair
    scores = tmatch.match_template(image, template)
    wider = np.pad(image, ((dy, 0), (dx, 0)))
    np.testing.assert_array_equal(tmatch.match_template(wider, template)[dy:, dx:], scores)


@given(pairs())
def test_a_colour_image_of_equal_channels_scores_like_its_grey(pair):
    image, template = pair
    colour = tmatch.match_template(
        np.stack([image] * 3), np.stack([template + 5, template, template - 7]), channel_axis=0
    )
    np.testing.assert_allclose(colour, tmatch.match_template(image, template), rtol=0, atol=1e-15)


# --- planted truth --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u2", "i2", "u4", "i4", "i8", ">u2"])
def test_an_exact_copy_of_integers_scores_exactly_one(draw, dtype):
    image = draw((40, 50), dtype)
    if dtype == "i8":
        image = image >> 34  # 30 bits: products of 64-bit values are beyond exact arithmetic
    template = image[7:20, 11:33]
    scores = tmatch.match_template(image, template)
    assert scores[7, 11] == scores.max() == 1.0
    assert np.count_nonzero(scores == 1.0) == 1
    assert tmatch.match_template(image, ~template)[7, 11] == -1.0


def test_an_exact_copy_in_a_photo_scores_exactly_one(picture):
    image = picture("astronaut/image.png")
    scores = tmatch.match_template(image, image[100:150, 200:280], channel_axis=2)
    assert np.argwhere(scores == 1.0).tolist() == [[100, 200]]


@pytest.mark.parametrize("channels", [None, 3])
@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("u1", 0),
        ("u1", 200),
        ("i8", 2**40),
        ("f4", 0.1),
        ("f8", 0.1),
        ("f8", -1e6 / 3),
        ("f8", 1e-30),
        ("f8", 1e300),
    ],
)
def test_flat_windows_score_exactly_zero_and_others_do_not(draw, dtype, value, channels):
    more, axis, colour = ((), None, 1) if channels is None else ((3,), 2, np.array([1, 0, 1]))
    image = np.array(draw((30, 30, *more), dtype))
    image[:, 10:] = value * colour
    scores = tmatch.match_template(image, draw((6, 7, *more), dtype, 1), channel_axis=axis)
    assert np.all(scores[:, 10:] == 0)
    assert np.all(scores[:, :10] != 0)


def test_one_flat_channel_leaves_the_score_to_the_others(draw):
    image = np.stack([draw((9, 9), "u1"), np.full((9, 9), 17, "u1")])
    template = image[:, 2:6, 3:8]
    scores = tmatch.match_template(image, template, channel_axis=0)
    np.testing.assert_array_equal(scores, tmatch.match_template(image[0], template[0]))


# --- refusals -------------------------------------------------------------------------------------

IMAGE, TEMPLATE = np.arange(30).reshape(5, 6), np.arange(6).reshape(2, 3)


def broken(value, place=(3, 4), dtype=float):
    image = np.ones((6, 7), dtype)
    image[place] = value
    return image


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("image", "template", "options", "error", "sentence"),
    [
        (
            IMAGE,
            np.full((2, 2), 0.1),
            {},
            ValueError,
            "`template` is constant: every window would fit as well; use one with some contrast",
        ),
        (
            np.ones((9, 9, 3)),
            np.ones((4, 4, 3)) * [1, 2, 3],
            {"channel_axis": 2},
            ValueError,
            "`template` is constant: every window would fit as well; use one with some contrast",
        ),
        (
            broken(np.nan),
            TEMPLATE,
            {},
            ValueError,
            "`image` is nan at [3, 4]; all pixels must be finite: "
            "replace NaN and infinity first, for instance with np.nan_to_num, "
            'or let NaN count as missing with missing="ignore"',
        ),
        (
            broken(-np.inf, dtype=np.float16),
            TEMPLATE,
            {},
            ValueError,
            "`image` is -inf at [3, 4]; all pixels must be finite: "
            "replace NaN and infinity first, for instance with np.nan_to_num",
        ),
        (
            np.ones((9, 9)),
            broken(np.inf),
            {},
            ValueError,
            "`template` is inf at [3, 4]; all pixels must be finite: "
            "replace NaN and infinity first, for instance with np.nan_to_num",
        ),
        (
            np.zeros((9, 9), int),
            broken(np.nan, (0, 0)),
            {},
            ValueError,
            "`template` is nan at [0, 0]; all pixels must be finite: "
            "replace NaN and infinity first, for instance with np.nan_to_num",
        ),
        (
            np.stack([IMAGE, broken(np.nan)[:5, :6]]),
            np.stack([TEMPLATE] * 2),
            {"channel_axis": 0},
            ValueError,
            "`image` is nan at [3, 4]; all pixels must be finite: "
            "replace NaN and infinity first, for instance with np.nan_to_num, "
            'or let NaN count as missing with missing="ignore"',
        ),
        (
            TEMPLATE,
            IMAGE,
            {},
            ValueError,
            "`template` has shape (5, 6), larger than `image` (2, 3) on axes 0, 1; "
            "crop or shrink it, or swap the two if they are in the wrong order",
        ),
        (
            IMAGE,
            np.arange(14).reshape(2, 7),
            {},
            ValueError,
            "`template` has shape (2, 7), larger than `image` (5, 6) on axes 1; "
            "crop or shrink it, or swap the two if they are in the wrong order",
        ),
        (
            IMAGE[:0],
            TEMPLATE,
            {},
            ValueError,
            "`image` is empty: shape (0, 6); it must have at least one pixel",
        ),
        (IMAGE, [], {}, ValueError, "`template` is empty: shape (0,); it must have at least one pixel"),
        (
            np.ones(5),
            TEMPLATE,
            {},
            ValueError,
            "`template` has shape (2, 3) and `image` (5,); they must have as many dimensions: "
            "make both grey, or both colour with channel_axis",
        ),
        (
            np.ones((5, 6, 3)),
            TEMPLATE,
            {},
            ValueError,
            "`template` has shape (2, 3) and `image` (5, 6, 3); they must have as many dimensions: "
            "make both grey, or both colour with channel_axis",
        ),
        (
            np.ones((7, 50, 60)),
            TEMPLATE,
            {},
            ValueError,
            "`template` has shape (2, 3) and `image` (7, 50, 60); they must have as many dimensions: search the images "
            "of a stack one by one, with `tmatch.locate_many` or `Matcher.locate_many`, or give the template an axis "
            "of length 1, as in template[None]; name an axis of channels with channel_axis",
        ),
        (
            IMAGE,
            np.arange(70).reshape(7, 2, 5),
            {},
            ValueError,
            f"`template` has shape (7, 2, 5) and `image` {IMAGE.shape}; they must have as many dimensions: search "
            "for the parts of the template one by one, or name its axis of channels with channel_axis",
        ),
        (
            np.ones((5, 6, 3)),
            TEMPLATE,
            {"channel_axis": -1},
            ValueError,
            "`template` has shape (2,) and `image` (5, 6); they must have as many dimensions: "
            "make both grey, or both colour with channel_axis",
        ),
        (
            np.ones((5, 6, 3)),
            np.arange(12).reshape(2, 3, 2),
            {"channel_axis": 2},
            ValueError,
            "`template` has 2 channels and `image` has 3; they must be equal",
        ),
        (
            np.ones((5, 6, 3)),
            np.ones((2, 3, 3)),
            {"channel_axis": 3},
            ValueError,
            "`channel_axis` is 3, but `image` has only 3 axes",
        ),
        (
            np.ones((5, 6, 3)),
            TEMPLATE,
            {"channel_axis": 2},
            ValueError,
            "`channel_axis` is 2, but `template` has only 2 axes",
        ),
        (
            IMAGE + 1j,
            TEMPLATE,
            {},
            TypeError,
            "`image` has dtype complex128; it must hold real numbers (bool, integers or floats)",
        ),
        (
            IMAGE,
            TEMPLATE.astype(object),
            {},
            TypeError,
            "`template` has dtype object; it must hold real numbers (bool, integers or floats)",
        ),
        (
            IMAGE,
            "no such eye.png",
            {},
            OSError,
            'cannot read "no such eye.png": no such file or directory',
        ),
        (
            IMAGE,
            np.ma.masked_all((2, 3)),
            {},
            ValueError,
            "`template` has no pixel that counts; one must be opaque, not masked, and not 0 in `mask`",
        ),
        (
            IMAGE,
            TEMPLATE,
            {"metric": "nccc"},
            ValueError,
            '`metric` is \'nccc\'; it must be one of "zncc", "ncc", "zcc", "cc", "ssd", "nssd", "orientation"; '
            'did you mean "ncc"?',
        ),
    ],
)
def test_what_cannot_be_scored_is_refused(image, template, options, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        tmatch.match_template(image, template, **options)


@pytest.mark.parametrize("place", [(0, 0), (0, 899), (511, 3), (700, 800), (699, 0)], ids=str)
def test_nan_anywhere_in_a_large_image_is_refused_by_its_place(draw, place):
    image = np.array(draw((701, 900)))
    image[place] = np.nan
    with pytest.raises(ValueError, match=re.escape(f"`image` is nan at [{place[0]}, {place[1]}]")):
        tmatch.match_template(image, draw((9, 9)))


@pytest.mark.parametrize("dtype", ["?", "u1", "i8", "f4", "f8"])
def test_inputs_are_not_written_to(draw, dtype):
    image, template = np.array(draw((9, 9, 3), dtype)), np.array(draw((3, 4, 3), dtype))
    before = image.copy(), template.copy()
    tmatch.match_template(image, template, channel_axis=2)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(template, before[1])


@pytest.mark.engine_free
def test_unknown_options_of_validity_are_refused_as_those_of_locate():
    with pytest.raises(
        TypeError,
        match=r"^`score_validity` has no option `metrics` \(did you mean `metric`\?\); its options are metric, ",
    ):
        tmatch.score_validity(IMAGE, TEMPLATE, metrics="zncc")


@pytest.mark.engine_free
def test_what_masked_arrays_mask_does_not_count():
    image, template = np.ma.masked_greater(IMAGE, 28), np.ma.masked_less(TEMPLATE, TEMPLATE.min() + 1)
    expected = tmatch.match_template(
        image.filled(0), template.filled(0), image_mask=~np.ma.getmaskarray(image),
        mask=~np.ma.getmaskarray(template),
    )  # fmt: skip
    np.testing.assert_array_equal(tmatch.match_template(image, template), expected)
