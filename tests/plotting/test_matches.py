import itertools

import numpy as np
import pytest

import tmatch
from loops import each
from tmatch import Box, Match
from tmatch._results.poses import Pose, bounding_box, corners_of

pytestmark = pytest.mark.engine_free

BLACK = np.zeros((300, 400), np.uint8)
CYAN, CORAL = (
    np.array([0, 229, 255]),
    np.array([255, 138, 128]),
)  # of the first label, and of what was rejected


def found(center, shape, pose):
    corners = corners_of(center, shape, pose)
    box = bounding_box(corners)
    offset = tuple(c - b for c, b in zip(center, box.center, strict=True))
    return Match(
        box, 0.9, offset=offset, angle=pose.angle, scale=pose.scale, flip=pose.flip, template_shape=shape
    )


def coloured(matches, colour=CYAN, **options):
    """Tell which pixels of a figure, of the size of its image, are drawn in a colour."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(tmatch.plot_matches(BLACK, matches, **options))
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(int)
    assert pixels.shape[:2] == BLACK.shape
    return (np.abs(pixels - colour) < 60).all(axis=-1)


def share(drawn, start, end, reach):
    """Share of points between two corners that have a drawn pixel within reach."""
    points = [np.rint(start + s * np.subtract(end, start)).astype(int) for s in np.linspace(0.08, 0.92, 50)]
    return np.mean([drawn[y - reach : y + reach + 1, x - reach : x + reach + 1].any() for y, x in points])


def thickness(drawn, start, end):
    """Pixels drawn within 4 of a line, for each pixel of its length."""
    rows, columns = np.indices(drawn.shape)
    (dy, dx), length = np.subtract(end, start), np.hypot(*np.subtract(end, start))
    along = ((rows - start[0]) * dy + (columns - start[1]) * dx) / length
    across = ((rows - start[0]) * dx - (columns - start[1]) * dy) / length
    near = (np.abs(across) <= 4) & (along > 8) & (along < length - 8)
    return drawn[near].sum() / (length - 16)


@each("pose", [Pose(30), Pose(-75, 1.5), Pose(160, 0.7, flip=True), Pose(90), Pose(flip=True)])
def test_a_turned_match_is_drawn_as_its_outline(pose):
    match = found((150.3, 200.2), (60, 90), pose)
    drawn, corners = coloured([match]), np.array(match.corners)
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        assert share(drawn, start, end, 1) == 1
    rows, columns = (np.arange(s + 8, e - 8) for s, e in zip(match.box.start, match.box.stop, strict=True))
    if pose.angle % 90:  # the sides of the box are not drawn
        assert drawn[match.box.start[0], columns].mean() < 0.3
        assert drawn[rows, match.box.start[1]].mean() < 0.3


@each("flip", [False, True])
@each("angle", [0, 25, 90, -100, 180])
def test_the_left_half_of_the_top_is_thick(angle, flip):
    match = found((150.3, 200.2), (100, 120), Pose(angle, 1.0, flip))
    drawn, corners = coloured([match]), np.array(match.corners)
    middle = corners[:2].mean(axis=0)
    thin = [thickness(drawn, a, b) for a, b in [(middle, corners[1]), *itertools.pairwise(corners[1:])]]
    assert thickness(drawn, corners[0], middle) > max(thin) + 2
    # A pixel of the template in this place is one of its top left.
    turned = Pose(angle, 1.0, flip).inverse @ (corners[0] - match.center)
    assert turned == pytest.approx([-50, -60])


def test_an_upright_match_of_an_ordinary_search_is_its_box_and_no_side_is_thick():
    match = Match(Box((100, 120), (60, 90)), 0.9)
    drawn = coloured([match])
    sides = [thickness(drawn, a, b) for a, b in itertools.pairwise(match.corners)]
    assert max(sides) < 3


def test_what_was_rejected_is_dashed_along_its_outline():
    match = found((150, 200), (100, 140), Pose(35))
    drawn, corners = coloured([], CORAL, rejected=match), match.corners
    assert 0.4 < share(drawn, corners[1], corners[2], 0) < 0.95
    assert thickness(drawn, corners[0], np.mean(corners[:2], axis=0)) > 3


def test_outlines_that_leave_the_image_do_not_change_its_size():
    matches = [found(center, (60, 90), Pose(40)) for center in [(0, 0), (299, 399), (150, 200)]]
    figure = tmatch.plot_matches(BLACK, matches)
    (axes,) = figure.axes
    assert (axes.get_xlim(), axes.get_ylim()) == ((-0.5, 399.5), (299.5, -0.5))
    assert coloured(matches).any()


def test_one_match_is_drawn_as_a_list_of_it():
    match = Match(Box((100, 120), (60, 90)), 0.9)
    np.testing.assert_array_equal(coloured(match), coloured([match]))


def test_given_axes_are_drawn_into_and_their_figure_is_returned():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    match = found((150.3, 200.2), (60, 90), Pose(30))
    figure = Figure(figsize=(9, 3.5))
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color="black")
    assert tmatch.plot_matches(BLACK, [match], ax=right) is figure
    assert len(figure.axes) == 2
    assert (right.get_xlim(), right.get_ylim()) == ((-0.5, 399.5), (299.5, -0.5))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(int)
    drawn = (np.abs(pixels - CYAN) < 60).all(axis=-1)
    place = right.get_window_extent()
    assert abs(place.width / place.height - 400 / 300) < 0.01  # pixels stay squares
    corners = [
        (len(pixels) - y, x)
        for x, y in right.transData.transform([(column, row) for row, column in match.corners])
    ]
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        assert share(drawn, np.array(start), end, 2) == 1
    assert not drawn[:, : round(place.x0) - 1].any()
    part = Figure().subfigures(1, 2)[0]
    assert tmatch.plot_matches(BLACK, match, ax=part.subplots()) is part.figure


def test_labels_are_beside_their_boxes_in_axes_of_any_size():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    for side, dpi in ((2, 100), (6, 100), (4, 200)):
        figure = Figure(figsize=(side, side), dpi=dpi)
        ax = figure.add_axes((0.1, 0.1, 0.8, 0.8))
        tmatch.plot_matches(BLACK, Match(Box((150, 120), (60, 90)), 0.9), ax=ax)
        FigureCanvasAgg(figure).draw()
        (text,) = ax.texts
        bottom = text.get_window_extent().y0
        top = ax.transData.transform((120, 149.5))[1]
        assert 0 < (bottom - top) * 72 / dpi < 6  # points above the box


@each("shape", [(60, 80, 1), (60, 80, 2), (60, 80, 3), (60, 80, 4)])
@each("dtype", [np.uint8, np.uint16, np.float32])
def test_images_are_drawn_as_they_were_read(shape, dtype):
    figure = tmatch.plot_matches(np.ones(shape, dtype), [])
    assert figure.axes[0].images[0].get_array().shape[:2] == (60, 80)


@each("shape", [(60,), (60, 80, 5), (2, 60, 80, 3), (0, 80)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(
        ValueError, match="an image has rows, columns and real numbers, and up to 4 channels on a"
    ):
        tmatch.plot_matches(np.ones(shape), [])
