import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tmatch
from loops import each
from tmatch import Box, Match
from tmatch._results.matches import better_overlapping, outline_of, overlap_of
from tmatch._results.poses import Pose, bounding_box, corners_of, outline_iou

pytestmark = pytest.mark.engine_free

ROOT_2 = math.sqrt(2)
places = st.tuples(st.floats(-20, 20), st.floats(-20, 20))
shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))
poses = st.builds(Pose, st.floats(-180, 180), st.floats(0.5, 2), st.booleans())
outlines = st.builds(corners_of, places, shapes, poses)


def rotated(points, angle, scale=1.0):
    """Rotate points (row, column) about the origin, counter-clockwise on the screen, by complex numbers."""
    turn = scale * np.exp(1j * np.radians(angle))
    turned = [complex(column, -row) * turn for row, column in points]
    return tuple((-z.imag, z.real) for z in turned)


def inside(outline, rows, columns):
    """Tell which points lie inside a convex outline: on one side of all its edges."""
    sides = [
        (rows - a[0]) * (b[1] - a[1]) - (columns - a[1]) * (b[0] - a[0])
        for a, b in zip(outline, outline[1:] + outline[:1], strict=True)
    ]
    return np.all(np.greater(sides, 0), axis=0) | np.all(np.less(sides, 0), axis=0)


def counted_iou(a, b, points=600):
    """Points of a fine grid in both outlines over points in either."""
    low, high = np.min([*a, *b], axis=0), np.max([*a, *b], axis=0)
    steps = (np.arange(points) + 0.5) / points
    rows, columns = np.meshgrid(*(low + (high - low) * steps[:, None]).T, indexing="ij")
    one, other = inside(a, rows, columns), inside(b, rows, columns)
    return (one & other).sum() / (one | other).sum()


# --- corners: planted truth -------------------------------------------------------------------------

UPRIGHT = (-0.5, -0.5), (-0.5, 2.5), (1.5, 2.5), (1.5, -0.5)  # of 2 x 3 pixels
TALL = (-1, 0), (-1, 2), (2, 2), (2, 0)  # the same about the same middle, turned by a quarter


@each(
    "pose, corners",
    [
        (Pose(), UPRIGHT),
        (Pose(angle=90), TALL[3:] + TALL[:3]),  # the top left corner is at the bottom left
        (Pose(angle=180), UPRIGHT[2:] + UPRIGHT[:2]),
        (Pose(angle=-90), TALL[1:] + TALL[:1]),
        (Pose(flip=True), (UPRIGHT[1], UPRIGHT[0], UPRIGHT[3], UPRIGHT[2])),
        (Pose(angle=180, flip=True), (UPRIGHT[3], UPRIGHT[2], UPRIGHT[1], UPRIGHT[0])),
        (Pose(scale=2), ((-1.5, -2), (-1.5, 4), (2.5, 4), (2.5, -2))),
    ],
)
def test_corners_start_at_the_top_left_of_the_template_and_run_clockwise_on_it(pose, corners):
    assert corners_of((0.5, 1.0), (2, 3), pose) == corners


def test_a_square_turned_by_45_degrees_stands_on_its_corner():
    half = 5 * ROOT_2
    expected = (20, 30 - half), (20 - half, 30), (20, 30 + half), (20 + half, 30)
    np.testing.assert_allclose(corners_of((20, 30), (10, 10), Pose(45)), expected)


@given(places, shapes, poses)
def test_corners_are_where_the_pose_takes_those_of_the_template(center, shape, pose):
    corners = np.array(corners_of(center, shape, pose)) - center
    upright = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)]) * shape / 2
    np.testing.assert_allclose(corners @ pose.inverse.T, upright, atol=1e-12)


@given(places, shapes, poses)
def test_corners_run_clockwise_unless_the_template_is_flipped(center, shape, pose):
    a, b, c, _ = np.array(corners_of(center, shape, pose))
    turn = (b - a)[1] * (c - b)[0] - (b - a)[0] * (c - b)[1]
    assert (turn < 0) == pose.flip


@given(shapes, poses)
def test_corners_are_those_of_a_rotation_of_complex_numbers(shape, pose):
    upright = corners_of((0, 0), shape, Pose(flip=pose.flip))
    np.testing.assert_allclose(
        corners_of((0, 0), shape, pose), rotated(upright, pose.angle, pose.scale), atol=1e-12
    )


# --- bounding boxes ---------------------------------------------------------------------------------


@given(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), shapes, st.sampled_from([0, 90, 180, -90, 450]))
def test_the_box_of_an_upright_outline_is_its_pixels(start, shape, angle):
    turned = shape[::-1] if angle % 180 else shape
    box = Box(start, turned)
    assert bounding_box(corners_of(box.center, shape, Pose(angle))) == box


@given(outlines)
def test_a_bounding_box_holds_all_corners_and_no_smaller_one_does(outline):
    box, slack = bounding_box(outline), 1e-8
    for start, stop, values in zip(box.start, box.stop, zip(*outline, strict=True), strict=True):
        assert start - 0.5 <= min(values) + slack < start + 0.5 + 2 * slack
        assert stop - 1.5 < max(values) + slack <= stop - 0.5 + 2 * slack


def test_rounding_makes_no_box_larger():
    assert 50 * 1.1 > 55
    assert bounding_box(corners_of((27, 27), (50, 50), Pose(scale=1.1))) == Box((0, 0), (55, 55))
    assert bounding_box(corners_of((27.001, 27), (50, 50), Pose(scale=1.1))) == Box((0, 0), (56, 55))


# --- overlap ----------------------------------------------------------------------------------------


def test_overlaps_of_known_shapes():
    square = corners_of((0, 0), (10, 10), Pose())
    octagon = 100 * 2 * (ROOT_2 - 1)  # pixels that a square shares with itself turned by 45 degrees
    assert outline_iou(square, corners_of((0, 0), (10, 10), Pose(45))) == pytest.approx(
        octagon / (200 - octagon)
    )
    assert outline_iou(square, corners_of((0, 0), (10, 10), Pose(90))) == 1
    assert outline_iou(square, corners_of((0, 0), (4, 5), Pose(37, flip=True))) == pytest.approx(0.2)
    diamond = corners_of((0, 0), (10, 10), Pose(45))
    wedge = corners_of((0, 5 * ROOT_2), (10, 10), Pose(45))  # shares a square of half the diagonal
    assert outline_iou(diamond, wedge) == pytest.approx(25 / 175)


def test_outlines_that_touch_do_not_overlap():
    for angle in np.linspace(0, 90, 91):
        along, across = rotated([(0, 10), (10, 0)], angle)
        here = corners_of((300.3, 200.7), (10, 10), Pose(angle))
        for step in (along, across, np.add(along, across)):
            there = corners_of((300.3 + step[0], 200.7 + step[1]), (10, 10), Pose(angle))
            assert outline_iou(here, there) == 0


@given(
    *[st.builds(Box, st.tuples(st.integers(-3, 8), st.integers(-3, 8)), shapes)] * 2,
    st.booleans(),
    st.booleans(),
)
def test_upright_outlines_overlap_as_boxes_do(a, b, flip, other_flip):
    outlines = (corners_of(box.center, box.shape, Pose(flip=f)) for box, f in ((a, flip), (b, other_flip)))
    assert outline_iou(*outlines) == pytest.approx(tmatch.iou(a, b), abs=1e-15)


@given(outlines, outlines)
def test_overlap_is_that_of_counting_points(a, b):
    assert outline_iou(a, b) == pytest.approx(counted_iou(a, b), abs=0.01)


@given(outlines, outlines)
def test_overlap_is_symmetric_and_at_most_one(a, b):
    assert outline_iou(a, b) == outline_iou(b, a)
    assert 0 <= outline_iou(a, b) <= 1
    assert outline_iou(a, a) == 1


@given(outlines, outlines, st.floats(-180, 180), places, st.floats(0.5, 2))
def test_overlap_stays_where_both_are_moved_turned_and_resized(a, b, angle, move, scale):
    moved = (
        tuple((y + move[0], x + move[1]) for y, x in rotated(outline, angle, scale)) for outline in (a, b)
    )
    assert outline_iou(*moved) == pytest.approx(outline_iou(a, b), abs=1e-8)


@given(outlines, outlines)
def test_the_first_corner_and_the_direction_do_not_matter(a, b):
    assert outline_iou(a[::-1], b[1:] + b[:1]) == pytest.approx(outline_iou(a, b), abs=1e-12)


# --- matches ----------------------------------------------------------------------------------------


def found(center, shape, pose, score=0.9):
    box = bounding_box(corners_of(center, shape, pose))
    offset = tuple(c - b for c, b in zip(center, box.center, strict=True))
    return Match(
        box, score, offset=offset, angle=pose.angle, scale=pose.scale, flip=pose.flip, template_shape=shape
    )


@given(places, shapes, poses)
def test_a_match_knows_the_corners_of_its_outline(center, shape, pose):
    match = found(center, shape, pose)
    np.testing.assert_allclose(match.corners, corners_of(center, shape, pose), atol=1e-12)


def test_corners_of_an_upright_match_are_those_of_its_box():
    assert Match(Box((0, 0), (2, 3)), 0.9).corners == UPRIGHT
    moved = Match(Box((0, 0), (2, 3)), 0.9, offset=(0.25, -0.5))
    assert moved.corners == tuple((y + 0.25, x - 0.5) for y, x in UPRIGHT)


@given(places, shapes, poses)
def test_opencv_draws_the_same_outline(center, shape, pose):
    cv2 = pytest.importorskip("cv2")
    match = found(center, shape, pose)
    drawn = [tuple(map(float, point)) for point in cv2.boxPoints(match.to_cv2())]
    for y, x in match.corners:
        assert min(math.dist((x, y), point) for point in drawn) < 1e-4


def test_a_rotated_rectangle_is_told_as_opencv_takes_it():
    assert Match(Box((0, 0), (2, 3)), 0.9, offset=(0.25, -0.5)).to_cv2() == ((0.5, 0.75), (3.0, 2.0), 0.0)
    match = Match(Box((10, 20), (60, 40)), 0.9, angle=90, scale=2, template_shape=(20, 30), offset=(0.0, 0.0))
    assert match.to_cv2() == ((39.5, 39.5), (60, 40), -90)
    assert math.copysign(1, Match(Box((0, 0), (2, 3)), 0.9, template_shape=(2, 3)).to_cv2()[2]) == 1


@each("axes", [1, 3])
def test_only_matches_with_two_axes_have_corners(axes):
    match = Match(Box((0,) * axes, (2,) * axes), 0.9)
    for function in (lambda: match.corners, match.to_cv2):
        hint = ", or search with channel_axis=-1 if the last axis holds colours" if axes == 3 else ""
        sentence = f"a Match with {axes} axes has no corners; use `box`{hint}"
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
            function()


# --- suppression of turned matches --------------------------------------------------------------------

turned_matches = st.lists(
    st.builds(
        found,
        places,
        shapes,
        poses.filter(lambda pose: pose.angle % 90),
        st.sampled_from([0.5, 0.7, 0.9, 1.0]),
    )
    | st.builds(
        Match, st.builds(Box, st.tuples(st.integers(-20, 20), st.integers(-20, 20)), shapes), st.just(0.8)
    ),
    max_size=12,
)


def suppressed(matches, max_overlap):
    """Best first, each kept unless its outline overlaps that of one already kept by more than max_overlap."""
    kept = []
    for match in sorted(matches, key=lambda m: (-m.score, m.box.start, m.box.shape, m.label)):
        if all(outline_iou(match.corners, other.corners) <= max_overlap for other in kept):
            kept.append(match)
    return kept


@given(turned_matches, st.sampled_from([0, 0.1, 0.3, 0.9]))
def test_suppression_compares_the_outlines_of_turned_matches(matches, max_overlap):
    assert tmatch.non_max_suppression(matches, max_overlap=max_overlap) == suppressed(matches, max_overlap)


def test_turned_matches_side_by_side_are_kept_though_their_boxes_overlap():
    along, _ = rotated([(0, 11), (0, 0)], 40)
    step = rotated([(7, 0)], 40)[0]
    row = [found((50 + k * step[0], 60 + k * step[1]), (6, 60), Pose(40), 0.9 - k / 10) for k in range(4)]
    assert tmatch.iou(row[0].box, row[1].box) > 0.5
    assert tmatch.non_max_suppression(row, max_overlap=0) == row
    near = found(np.add((50, 60), along), (6, 60), Pose(40), 0.1)
    assert tmatch.non_max_suppression([*row, near], max_overlap=0.3) == row


def test_boxes_overlap_as_before_where_nothing_is_turned():
    a, b = found((10, 10), (10, 10), Pose(scale=1.03)), Match(Box((4, 6), (10, 10)), 0.8)
    assert outline_of(a) is outline_of(b) is None
    assert outline_of(found((10, 10), (10, 20), Pose(-90))) is None
    assert overlap_of(a.box, b.box, outline_of(a), outline_of(b)) == tmatch.iou(a.box, b.box)
    boxes = [Box((3 * k % 17, 5 * k % 13), (6, 6)) for k in range(40)]
    plain = [*better_overlapping(boxes, 0.2)]
    assert plain == [*better_overlapping(boxes, 0.2, [None] * 40)]
    assert None in plain
    assert len(set(plain)) > 5


def test_a_turned_outline_is_compared_with_the_corners_of_an_upright_box():
    diamond, square = found((20, 20), (10, 10), Pose(45)), Match(Box((13, 13), (3, 3)), 0.5)  # in its corner
    assert tmatch.iou(diamond.box, square.box) > 0
    assert overlap_of(diamond.box, square.box, outline_of(diamond), None) == 0
    assert [*better_overlapping([diamond.box, square.box], 0, [outline_of(diamond), None])] == [None, None]
    assert [*better_overlapping([diamond.box, square.box], 0)] == [None, 0]
