"""Data on which peers lose digits silently. Every score is held against the definition in long double."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
import tmatch
from loops import each
from tmatch._arrays import casting
from tmatch._scoring.batch import tile

pytestmark = pytest.mark.also_by_transforms

BOUND = 1e-9  # what match_template promises


def assert_scores(image, template, offset=0, other_offset=0, bound=BOUND):
    """Compare with the oracle, offsets taken off first: long double has its limits too."""
    scores = tmatch.match_template(image, template)
    assert np.all(np.abs(scores) <= 1)  # not so for NaN either
    expected = oracle.zncc(image - image.dtype.type(offset), template - template.dtype.type(other_offset))
    np.testing.assert_allclose(scores, expected, rtol=0, atol=bound)
    return scores


@each("contrast", [1, 1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("offset", [0, 1, 1e3, 1e5, 1e8, -1e8])
def test_offsets_cost_no_digits(draw, offset, contrast):
    image = draw((20, 22)) * contrast + offset
    template = draw((5, 6), seed=1) * contrast + offset
    assert_scores(image, template, offset, offset)
    assert assert_scores(image, image[9:15, 2:9], offset, offset)[9, 2] > 1 - BOUND
    assert_scores(image, draw((5, 6), seed=1), offset)  # an offset on one side alone
    assert_scores(draw((20, 22)), template, 0, offset)


@pytest.mark.parametrize("scale", [1e-310, 1e-300, 1e-155, 1e-20, 1e20, 1e150, 1e300])
def test_scale_costs_no_digits(draw, scale):
    image, template = draw((20, 22)), draw((5, 6), seed=1)
    expected = oracle.zncc(image, template)
    for a, b in [(image * scale, template), (image, template * scale), (image * scale, template * scale)]:
        scores = tmatch.match_template(a, b)
        np.testing.assert_allclose(scores, expected, rtol=0, atol=BOUND)


@pytest.mark.parametrize("bright", [255, 1e4, 1e8])
@pytest.mark.parametrize("contrast", [1, 1e-4])
def test_faint_detail_beside_a_bright_flat_keeps_its_scores(draw, contrast, bright):
    image = np.array(draw((24, 26))) * contrast
    image[:11] = bright
    for place in [(15, 3), (8, 4)]:  # in the detail, across the edge
        template = image[place[0] : place[0] + 5, place[1] : place[1] + 6]
        scores = assert_scores(image, template)
        assert scores[place] > 1 - BOUND
        assert np.all(scores[:7] == 0)


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(1, 12), st.integers(2, 12))
def test_flat_windows_score_zero_whatever_their_value_and_size(value, height, width):
    template = np.random.default_rng(0).normal(size=(height, width))
    scores = tmatch.match_template(np.full((13, 14), value), template)
    assert np.all(scores == 0)


def test_one_last_digit_of_contrast_is_contrast():
    image = np.full((12, 13), 0.1)
    image[5, 6] = np.nextafter(0.1, 1)
    scores = assert_scores(image, image[4:8, 4:9], 0.1, 0.1)
    assert scores[4, 4] > 1 - BOUND
    assert np.count_nonzero(scores) == 20  # the windows that hold the pixel


@pytest.mark.parametrize("ends", [(1e-6, 1e6), (1e-150, 1e150)])
def test_half_the_image_may_have_little_contrast_and_half_much(draw, ends):
    image = np.array(draw((20, 30)))
    image[:, :15] *= ends[0]
    image[:, 15:] *= ends[1]
    for x in (3, 12, 21):  # little, both, much
        scores = assert_scores(image, image[6:11, x : x + 6])
        assert np.unravel_index(scores.argmax(), scores.shape) == (6, x)


@pytest.mark.parametrize(("dtype", "low", "high"), [("f8", 1e-6, 1e6), ("f4", 1e-3, 1e6), ("i8", 3, 2**26)])
def test_faint_detail_about_the_mean_of_a_strong_image_keeps_its_scores(cut, draw, dtype, low, high):
    cut((99, 99))  # all in one tile
    image = np.zeros((20, 60), dtype)
    image[:, :15] = np.rint(draw((20, 15)) * 4 * low) if dtype == "i8" else draw((20, 15)) * low
    image[:, 30:45] = draw((20, 15), seed=1) * high
    image[:, 15:30], image[:, 45:] = -image[:, :15], -image[:, 30:45]  # the mean is 0 exactly
    for (height, width), x in itertools.product([(5, 6), (1, 2)], [3, 33]):
        assert assert_scores(image, image[6 : 6 + height, x : x + width])[6, x] > 1 - BOUND


def test_channels_may_differ_in_contrast_and_offset(draw):
    spread, offset = np.array([1e-4, 1, 1e4]), np.array([1e6, 0, -1e3])
    image = draw((14, 15, 3)) * spread + offset
    template = image[3:8, 4:10]
    scores = tmatch.match_template(image, template, channel_axis=2)
    expected = oracle.zncc(image - offset, template - offset, 2)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=BOUND)


@pytest.mark.parametrize(("dtype", "bound"), [("f8", BOUND), ("f4", 1e-7)])
def test_a_saturated_photo_as_floats_keeps_its_scores(picture, dtype, bound):
    photo = np.minimum(picture("raccoon/face_gray.png")[90:150, 60:120] * 2.5, 255).astype(dtype)
    assert 0.2 < np.mean(photo == 255) < 0.8
    for scaled in (photo, photo / photo.dtype.type(255)):
        assert assert_scores(scaled, scaled[20:32, 25:38], bound=bound)[20, 25] > 1 - bound


@pytest.mark.parametrize("name", ["coins/image.png", "text/image.png", "cell/image.png"])
def test_8_bit_photos_as_float32_keep_their_scores(picture, name):
    photo = picture(name)[40:100, 40:110]
    exact = tmatch.match_template(photo, photo[20:33, 30:44])
    scores = assert_scores(photo.astype("f4"), photo[20:33, 30:44].astype("f4"), bound=1e-7)
    np.testing.assert_allclose(scores, exact, rtol=0, atol=1e-7)


@pytest.mark.parametrize("metric", ["zncc", "ncc", "zcc", "cc", "ssd", "nssd"])
@pytest.mark.parametrize("precision", ["single", "double"])
@each("dtype", ["u1", "i4"])
@each("output", ["valid", "same"])
def test_zero_has_no_sign(draw, metric, precision, dtype, output):
    image = np.array(draw((80, 90), "u1")).astype(dtype)
    image[20:60, 30:80] = 0
    scores = tmatch.match_template(image, image[:22, :20], metric=metric, precision=precision, output=output)
    assert precision == "single" or (scores == 0).any()
    assert not np.signbit(scores[scores == 0]).any()


@pytest.mark.parametrize("dtype", ["u2", "i2", "i4", "u4", "i8", "u8"])
def test_the_full_range_of_an_integer_type_is_no_trouble(draw, dtype):
    image = np.array(draw((20, 22), dtype))
    image[:4], image[4:8] = np.iinfo(dtype).min, np.iinfo(dtype).max
    scores = tmatch.match_template(image, image[6:11, 5:11])
    expected = oracle.zncc(image.astype("g"), image[6:11, 5:11])
    np.testing.assert_allclose(scores, expected, rtol=0, atol=BOUND)
    assert scores[6, 5] > 1 - BOUND


@each(
    "dtype, offset",
    [
        ("u2", 65000),
        ("i4", 2**31 - 200),
        ("i4", -(2**31)),
        ("u4", 2**31),
        ("u4", 2**32 - 200),
        ("i8", 2**53),
        ("i8", 2**62),
        ("i8", -(2**63)),
        ("i8", 2**63 - 200),
        ("u8", 2**63 - 100),
        ("u8", 2**64 - 200),
    ],
)
def test_integers_with_a_huge_offset_score_as_without_it(draw, dtype, offset):
    small, template = draw((20, 22), "i1").astype(np.int64) // 2 + 64, draw((5, 6), "i1", 1).astype(np.int64)
    image = (small.astype(object) + offset).astype(dtype)
    expected = tmatch.match_template(small, template)
    np.testing.assert_allclose(tmatch.match_template(image, template), expected, rtol=0, atol=1e-15)
    part = small[7:12, 8:14]
    exact = tmatch.match_template(image, image[7:12, 8:14])
    np.testing.assert_allclose(exact, tmatch.match_template(small, part), rtol=0, atol=1e-15)
    scores = tmatch.match_template(image, part + 0.5)  # a float template: the other way to the score
    np.testing.assert_allclose(scores, tmatch.match_template(small, part), rtol=0, atol=BOUND)


@pytest.mark.parametrize("bits", [15, 20, 26, 31, 40, 62])
def test_integers_of_any_width_equal_the_oracle(draw, bits):
    image = draw((20, 22), "i8") >> (63 - bits)
    assert_scores(image, image[7:12, 8:14])


def test_templates_of_half_a_million_pixels_are_exact_too(draw):
    image = draw((760, 755), "u1")
    image = np.where(image < 128, 0, 255).astype(np.uint8)  # the largest sums there are
    scores = tmatch.match_template(image, image[3:753, 2:752])
    assert scores[3, 2] == scores.max() == 1.0
    for y, x in [(0, 0), (10, 5), (3, 1)]:
        expected = oracle.zncc(image[y : y + 750, x : x + 750], image[3:753, 2:752])
        assert scores[y, x] == pytest.approx(expected[0, 0], abs=1e-14)


@pytest.mark.parametrize("precision", ["double", "single"])
def test_sums_along_the_rows_of_a_wide_picture_may_pass_what_its_windows_cannot(draw, precision):
    image = np.where(draw((304, 1500), "u1") < 128, 0, 255).astype(np.uint8)
    template = image[2:302, 900:1200]
    scores = tmatch.match_template(image, template, precision=precision)
    for y, x in [(0, 0), (2, 899), (2, 900), (4, 1200)]:
        [[expected]] = oracle.zncc(image[y : y + 300, x : x + 300], template)
        assert scores[y, x] == pytest.approx(expected, abs=1e-14 if precision == "double" else 1e-5)


def test_sums_of_a_dark_and_wide_picture_may_pass_what_those_of_tall_windows_cannot(cut, draw):
    cut((9999, 9999))  # all in one tile
    image = draw((4100, 4800), "u1") // 16
    template = image[3:4099, 4700:4705]
    scores = tmatch.match_template(image, template)
    for y, x in [(0, 0), (3, 4700), (4, 4790)]:
        [[expected]] = oracle.zncc(image[y : y + 4096, x : x + 5], template)
        assert scores[y, x] == pytest.approx(expected, abs=1e-14)


def test_one_grey_level_of_contrast_in_bright_16_bit_pixels_is_exact(draw):
    small = draw((84, 83), "?").astype(np.uint16)
    image = small + np.uint16(65534)
    scores = assert_scores(image, image[3:83, 2:79], 65534, 65534, bound=1e-14)
    assert scores[3, 2] == 1.0


def test_a_large_smooth_image_keeps_its_scores(draw):
    y, x = np.mgrid[:600, :700]
    image = 1e4 + 0.5 * y + 0.3 * x + 1e-3 * draw((600, 700))
    template = image[400:409, 300:311]
    scores = tmatch.match_template(image, template)
    assert np.unravel_index(scores.argmax(), scores.shape) == (400, 300)
    part = oracle.zncc(image[390:420, 290:330] - 1e4, template - 1e4)
    np.testing.assert_allclose(scores[390:412, 290:320], part, rtol=0, atol=BOUND)


@pytest.mark.parametrize("shape", [(90, 110), (90, 110, 3)], ids=str)
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2"])
def test_masks_give_the_same_bits_by_the_runs_of_their_rows_and_by_transforms(execute, draw, dtype, shape):
    image, mask = draw(shape, dtype), draw((17, 22), "?")
    template, options = image[40:57, 50:72], {"mask": mask, "channel_axis": 2 if len(shape) == 3 else None}
    found = []
    for most in (0, 10**6):
        execute(mask_runs=most)
        found.append(tmatch.match_template(image, template, **options))
    np.testing.assert_array_equal(*found)
    assert found[0][40, 50] == 1


def test_few_windows_in_doubt_are_in_the_sample_though_the_grid_misses_them():
    inverse = np.ones((700, 700))
    inverse[13:16, 21:24] = 9  # between the places of the grid
    places = tile.InverseNorms(inverse, 9.0, (8, 8)).sample(5, 10, 4)
    assert len(places)
    assert (inverse[tuple(places.T)] == 9).all()


@pytest.mark.parametrize("precision", ["double", "single"])
def test_one_odd_pixel_of_a_bright_16_bit_flat_is_seen_through_any_mask(precision):
    mask = np.random.default_rng(0).random((151, 151)) < 0.5
    mask[75, 75] = True
    image = np.full((152, 152), 65534, np.uint16)
    image[75, 75] = 65535
    template = image[:151, :151]
    scores = tmatch.match_template(image, template, mask=mask, precision=precision)
    valid = tmatch.score_validity(image, template, mask=mask)
    np.testing.assert_array_equal(valid, [[True, mask[75, 74]], [mask[74, 75], mask[74, 74]]])
    expected = np.where(valid, -1 / (np.count_nonzero(mask) - 1), 0)
    expected[0, 0] = 1
    np.testing.assert_allclose(scores, expected, rtol=0, atol=BOUND if precision == "double" else 1e-4)


def test_whole_numbers_are_scored_as_integers_unless_they_are_mapped_from_a_file(draw, tmp_path):
    image = draw((60, 70), "u1")
    for dtype in ("i4", "u8", "f2", "f4", "f8"):
        [narrow] = casting.narrowed([image.astype(dtype)], centred=False)
        np.testing.assert_array_equal(narrow, image)
        assert narrow.dtype == np.uint8
    for other in (image + 0.5, np.where(image == 7, np.nan, image), image * 2.0**30):
        assert casting.narrowed([other], centred=False)[0] is other
    [shifted] = casting.narrowed([image + 2.0**30], centred=True)
    np.testing.assert_array_equal(shifted, image - int(image.min()))
    mapped = np.memmap(tmp_path / "image", "f4", "w+", shape=image.shape)
    mapped[:] = image
    assert casting.narrowed([np.asarray(mapped)[5:]], centred=False)[0].dtype == np.float32
