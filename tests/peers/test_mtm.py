"""The door for those who come from MTM: its published cases, and MTM live where it is installed."""

import subprocess
import sys

import numpy as np
import pytest

from loops import each
from tmatch.compat import cv2 as like_cv2
from tmatch.compat import mtm

pytestmark = pytest.mark.one_engine

SMALL, BIG = (
    np.s_[37:75, 80:121],
    np.s_[14:73, 302:367],
)  # rows and columns of two coins in the published cases


@pytest.fixture(scope="module")
def coins(picture):
    return picture("coins/image.png")


@pytest.fixture
def theirs():
    return pytest.importorskip("MTM", exc_type=ImportError)


def hits_like(found, expected, error=5e-6):
    """Check labels, boxes and scores; equal scores may be in any order."""
    assert sorted(hit[:2] for hit in found) == sorted(hit[:2] for hit in expected)
    mine, other = sorted(hit[2] for hit in found), sorted(float(hit[2]) for hit in expected)
    np.testing.assert_allclose(mine, other, rtol=error, atol=error)


@pytest.mark.engine_free
def test_the_door_does_not_import_the_library_it_stands_in_for():
    code = "import sys, tmatch; tmatch.compat.mtm; print({'MTM', 'cv2', 'skimage', 'PIL'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


# --- published by MTM -----------------------------------------------------------------------------

# Left, top and score of coins found by the small one, as (x, y, score), with TM_CCORR_NORMED from 0.8 on, none of which
# overlap: the template as it is, and only its bright pixels.
WHOLE = [
    (80, 37, 1), (82, 106, 0.977762), (22, 37, 0.977588), (133, 108, 0.977023), (23, 178, 0.973121),
    (341, 247, 0.972344), (134, 36, 0.972047), (26, 103, 0.971718), (257, 33, 0.9712), (199, 33, 0.970992),
    (336, 158, 0.969302), (134, 178, 0.967385), (283, 247, 0.965638), (229, 242, 0.965391), (185, 104, 0.965069),
    (251, 106, 0.962599), (316, 105, 0.960158), (157, 236, 0.959044), (29, 231, 0.958695), (315, 13, 0.95847),
    (91, 246, 0.957132), (82, 180, 0.953978), (193, 169, 0.951312), (256, 178, 0.942586), (305, 202, 0.805478),
]  # fmt: skip
BRIGHT = [
    (80, 37, 1), (5, 70, 0.993747), (0, 2, 0.993601), (41, 141, 0.992317), (137, 28, 0.991843), (230, 0, 0.99184),
    (211, 69, 0.99105), (158, 141, 0.990475), (102, 137, 0.989654), (334, 159, 0.989594), (157, 67, 0.988673),
    (335, 248, 0.988098), (225, 239, 0.98802), (280, 139, 0.987787), (274, 0, 0.987659), (213, 130, 0.987501),
    (82, 177, 0.987032), (285, 246, 0.986936), (289, 201, 0.984147), (21, 246, 0.983211), (95, 245, 0.981964),
    (159, 236, 0.981019), (279, 65, 0.980552), (189, 0, 0.979939), (323, 19, 0.979125), (343, 68, 0.972038),
    (0, 206, 0.957259), (50, 96, 0.915173), (220, 171, 0.809961),
]  # fmt: skip
OTSU = 141  # threshold of the small coin's pixels


@each("mask, published", [(False, WHOLE), (True, BRIGHT)])
def test_coins_are_found_by_one_of_them_with_and_without_a_mask(coins, mask, published):
    coin = coins[SMALL]
    template = ("coin", coin, np.where(coin > OTSU, 255, 0).astype("u1")) if mask else ("coin", coin)
    hits = mtm.matchTemplates([template], coins, like_cv2.TM_CCORR_NORMED, score_threshold=0.8, maxOverlap=0)
    assert [bbox for _, bbox, _ in hits] == [(x, y, 41, 38) for x, y, _ in published]
    np.testing.assert_allclose([score for *_, score in hits], [s for *_, s in published], rtol=0, atol=1e-6)


def test_the_best_hit_of_each_template_is_where_it_was_cut_out(coins, picture):
    named = [("small", coins[SMALL]), ("big", coins[BIG])]
    hits = mtm.findMatches(named, coins, N_object=1)
    assert hits == [("small", (80, 37, 41, 38), 1.0), ("big", (302, 14, 65, 59), 1.0)]
    photo = picture("chelsea/image.png")
    hits = mtm.matchTemplates(
        [("eyes", photo[80:150, 130:210])], photo, score_threshold=0.6, maxOverlap=0, N_object=10
    )
    assert hits == [("eyes", (130, 80, 80, 70), 1.0)]


def test_templates_may_be_as_high_or_as_wide_as_the_image(coins):
    for name, part in (("high", np.s_[:, 10:50]), ("wide", np.s_[50:70])):
        best = mtm.matchTemplates([(name, coins[part])], coins)[0]
        assert best[0] == name
        assert best[2] == 1
    assert mtm.matchTemplates([("all", coins)], coins) == [("all", (0, 0, 384, 303), 1.0)]


THREE = [
    ("1", (780, 350, 700, 480), 0.8),
    ("1", (806, 416, 716, 442), 0.6),
    ("1", (1074, 530, 680, 390), 0.4),
]
TWENTY = [
    (946, 784, 414, 400), (1525, 968, 414, 400), (1533, 960, 414, 400), (947, 784, 400, 414), (1173, 1354, 414, 400),
    (1459, 474, 400, 414), (1021, 888, 414, 400), (1450, 492, 400, 414), (1398, 889, 414, 400), (1005, 872, 400, 414),
    (686, 1367, 414, 400), (697, 1371, 414, 400), (694, 1371, 414, 400), (1128, 1377, 414, 400), (950, 787, 414, 400),
    (1438, 481, 414, 400), (1064, 1238, 414, 400), (1455, 485, 414, 400), (111, 787, 414, 400), (109, 782, 414, 400),
]  # fmt: skip
TWENTY_SCORES = [
    1, 0.59193718, 0.58946663, 0.56894469, 0.55106765, 0.53810543, 0.53118229, 0.52984482, 0.51231241, 0.51184028,
    0.50805712, 0.50800693, 0.50797319, 0.50000459, 0.49151239, 0.47288728, 0.46128876, 0.45403299, 0.4483684,
    0.44806933,
]  # fmt: skip


@pytest.mark.engine_free
def test_of_overlapping_hits_the_better_are_kept():
    assert mtm.NMS(THREE, scoreThreshold=0.3, N_object=2) == [THREE[0], THREE[2]]
    assert mtm.NMS(THREE, scoreThreshold=0.7) == [THREE[0]]
    hits = [(str(n), *hit) for n, hit in enumerate(zip(TWENTY, TWENTY_SCORES, strict=True))]
    kept = mtm.NMS(hits, scoreThreshold=0.4, maxOverlap=0.3)
    assert kept == [hits[n] for n in (0, 1, 4, 5, 10, 18)]
    ascending = [(*hit[:2], 1 - hit[2]) for hit in hits]
    kept = mtm.NMS(ascending, scoreThreshold=0.6, sortAscending=True, maxOverlap=0.3)
    assert kept == [ascending[n] for n in (0, 1, 4, 5, 10, 18)]


@pytest.mark.engine_free
def test_intersection_over_union_of_boxes():
    assert mtm.computeIoU((0, 0, 4, 4), (4, 0, 4, 4)) == 0
    assert mtm.computeIoU((0, 0, 4, 4), (2, 2, 4, 4)) == 4 / 28
    assert mtm.computeIoU((0, 0, 4, 4), (1, 1, 2, 2)) == 4 / 16  # 1 in MTM


# --- live -----------------------------------------------------------------------------------------

THRESHOLDS = {1: 0.1, 2: 5e7, 3: 0.8, 4: 1e6, 5: 0.5}
OPTIONS = [{}, {"N_object": 5}, {"N_object": 1}, {"searchBox": (10, 20, 300, 200)}, {"maxOverlap": 0}]


@each("options", OPTIONS)
@each("method", THRESHOLDS)
def test_match_templates_is_that_of_mtm(coins, theirs, method, options):
    named = [("small", coins[SMALL]), ("big", coins[BIG])]
    options = {"method": method, "score_threshold": THRESHOLDS[method], **options}
    found, expected = (m.matchTemplates(named, coins, **options) for m in (mtm, theirs))
    assert expected
    hits_like(found, expected)


@each("method", [0, 3])
@each("dtype", ["u1", "f4"])
@each("channels", [None, 3])
def test_masked_scores_are_those_of_mtm(draw, theirs, channels, dtype, method):
    axes = () if channels is None else (channels,)
    image, template = (
        np.array(draw((*s, *axes), "u1", i)).astype(dtype) for i, s in enumerate([(40, 50), (9, 8)])
    )
    mask = np.random.default_rng(2).integers(0, 2, template.shape).astype(dtype)
    scores, expected = (m.computeScoreMap(template, image, method, mask) for m in (mtm, theirs))
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.engine_free
@each("box", [(8, 9, 12, 10), (0, 0, 5, 6), (30, 30, 9, 20), (35, 36, 20, 20), (3, 4, 1, 1)])
@each("thickness", [1, 2, 3, 4, 5, 8, -1])
def test_boxes_are_drawn_as_by_opencv(box, thickness):
    cv2 = pytest.importorskip("cv2")
    x, y, width, height = box
    for image in (np.full((40, 41), 9, np.uint8), np.full((40, 41, 3), 9, np.uint8)):
        expected = image.copy() if image.ndim == 3 else np.dstack([image] * 3)
        cv2.rectangle(expected, (x, y), (x + width, y + height), (255, 7, 0), thickness)
        drawn = mtm.drawBoxesOnRGB(image, [("a", box, 1.0)], thickness, (255, 7, 0))
        np.testing.assert_array_equal(drawn, expected)
        assert (image == 9).all()


@pytest.mark.engine_free
def test_grey_levels_are_those_of_opencv(picture):
    cv2 = pytest.importorskip("cv2")
    photo = picture("chelsea/image.png")
    for image in (photo, photo.astype("u2") * 257, photo.astype("f4")):
        grey, expected = mtm.drawBoxesOnGray(image, []), cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        assert grey.dtype.kind == expected.dtype.kind
        np.testing.assert_allclose(
            grey, expected, rtol=0, atol={"u1": 0, "u2": 2, "f4": 1e-2}[image.dtype.str[1:]]
        )


@pytest.mark.engine_free
def test_labels_stand_on_the_boxes():
    for draw, level in ((mtm.drawBoxesOnRGB, (255, 0, 0)), (mtm.drawBoxesOnGray, 255)):
        options = (
            {"boxColor": 0, "labelColor": level}
            if level == 255
            else {"boxColor": (0, 0, 0), "labelColor": level}
        )
        drawn = draw(
            np.zeros((60, 80), np.uint8), [("coin", (20, 40, 30, 10), 1.0)], showLabel=True, **options
        )
        written = np.argwhere(drawn > 0)
        assert written[:, 0].min() > 20
        assert written[:, 0].max() <= 42
        assert 18 <= written[:, 1].min() < 24
        assert drawn.max() == 255
        assert drawn.ndim == 2 or not drawn[..., 1:].any()


# --- where we differ from MTM ---------------------------------------------------------------------


def test_a_constant_template_is_refused(coins):
    with pytest.raises(ValueError, match='template "flat" is constant'):
        mtm.matchTemplates([("flat", np.full((5, 6), 7, np.uint8))], coins, N_object=1)


def test_nan_is_refused_where_it_hides_all_hits(coins):
    image = coins.astype("f4")
    image[200, 200] = np.nan
    with pytest.raises(ValueError, match=r"`image` is nan at \[200, 200"):
        mtm.matchTemplates([("coin", coins[SMALL])], image)


def test_numbers_that_float32_has_no_digits_for_are_told_apart(draw):
    image = 2**30 + np.array(draw((30, 40), "u1")).astype("i8") % 4
    hits = mtm.matchTemplates([("part", image[5:12, 6:15])], image)
    assert hits == [("part", (6, 5, 9, 7), 1.0)]
    image = 1e9 + draw((30, 40))
    assert mtm.matchTemplates([("part", image[5:12, 6:15])], image) == [("part", (6, 5, 9, 7), 1.0)]


def test_the_ends_of_a_line_of_scores_count(coins):
    hits = mtm.matchTemplates([("left", coins[:, :40]), ("right", coins[:, -40:])], coins, N_object=2)
    assert hits == [("left", (0, 0, 40, 303), 1.0), ("right", (344, 0, 40, 303), 1.0)]


def test_a_plateau_is_one_hit():
    image = np.zeros((9, 20), np.uint8)
    image[3:6, 2:18] = [[1], [5], [2]]
    image[:, 0] = 3
    hits = mtm.findMatches([("stripes", image[2:7, 4:8])], image, score_threshold=0.9)
    assert [bbox[1] for _, bbox, _ in hits] == [2]


def test_masks_count_in_every_method(draw):
    image = np.array(draw((40, 50), "u1"))
    template, mask = image[5:12, 6:15].copy(), np.ones((7, 9), np.uint8)
    template[2:4, 3:6], mask[2:4, 3:6] = 0, 0
    for method in range(6):
        scores = mtm.computeScoreMap(template, image, method, mask)
        expected = like_cv2.matchTemplate(image, template, method, mask=mask)
        np.testing.assert_allclose(scores, expected, rtol=1e-6, atol=1e-6)
    [best, *others] = mtm.matchTemplates([("part", template, mask)], image)
    assert best == ("part", (6, 5, 9, 7), 1.0)
    assert all(score < 0.6 for _, _, score in others)


def test_templates_may_be_zipped_and_labels_may_repeat(coins):
    named = zip(["coin", "coin"], [coins[SMALL], coins[BIG]], strict=True)
    assert len(mtm.matchTemplates(named, coins, score_threshold=0.99)) == 2


# --- refusals -------------------------------------------------------------------------------------

EYE = np.eye(4, dtype=np.uint8)


@pytest.mark.engine_free
@each(
    "templates, options, error, words",
    [
        ([("a", EYE)], {"method": 0}, ValueError, "`method` is 0, TM_SQDIFF, whose scores have no bound"),
        ([("a", EYE)], {"method": 6}, ValueError, "`method` is 6; it must be one of the six"),
        ([("a", EYE)], {"maxOverlap": 1.5}, ValueError, "`maxOverlap` is 1.5; it must be from 0"),
        ([("a", EYE)], {"N_object": 1.5}, TypeError, "`N_object` is 1.5; it must be a whole number"),
        ([("a", EYE)], {"N_object": 0}, ValueError, "`N_object` is 0; it must be at least 1"),
        (
            [("a", EYE)],
            {"searchBox": (0, 0, 3, 4)},
            ValueError,
            'template "a" has shape .* larger than `image`',
        ),
        (
            [("a", EYE)],
            {"searchBox": (-1, 0, 9, 9)},
            ValueError,
            r"`searchBox` is \(-1, 0, 9, 9\); it must begin",
        ),
        ([("a", EYE)], {"searchBox": (0, 0, 9)}, ValueError, "`searchBox` is .* four whole numbers"),
        ([("a", np.eye(9))], {}, ValueError, 'template "a" has shape .* larger than `image`'),
        ([("a", np.eye(4)[:0])], {}, ValueError, 'template "a" is empty'),
        ([("a", EYE[0])], {}, ValueError, r'template "a" has shape \(4,\); it must be \(H, W\)'),
        ([("a", EYE, EYE[:3])], {}, ValueError, r'the mask of "a" has shape \(3, 4\); it must be \(4, 4\)'),
        ([EYE], {}, ValueError, r"`listTemplates` has ndarray at 0; it must hold \(label, array\)"),
    ],
)
def test_what_makes_no_sense_is_refused(templates, options, error, words):
    with pytest.raises(error, match=words):
        mtm.matchTemplates(templates, np.tile(EYE, (2, 2)), **options)


@pytest.mark.engine_free
def test_only_grey_and_rgb_can_be_drawn_on():
    with pytest.raises(ValueError, match=r"`image` has shape \(4, 4, 4\); it must be grey"):
        mtm.drawBoxesOnRGB(np.zeros((4, 4, 4)), [])
