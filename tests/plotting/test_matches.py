import dataclasses
import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image

import tmatch
from loops import each
from tmatch import Box, Match, Matches
from tmatch._results.poses import Pose, bounding_box, corners_of

pytestmark = pytest.mark.engine_free

BLACK = np.zeros((300, 400), np.uint8)
BLUE, WHITE = (
    np.array([86, 180, 233]),
    np.array([255, 255, 255]),
)  # of the first label, and of what was rejected


def found(center, shape, pose):
    corners = corners_of(center, shape, pose)
    box = bounding_box(corners)
    offset = tuple(c - b for c, b in zip(center, box.center, strict=True))
    return Match(
        box, 0.9, offset=offset, angle=pose.angle, scale=pose.scale, flip=pose.flip, template_shape=shape
    )


def coloured(matches, colour=BLUE, **options):
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
    drawn, corners = coloured([], WHITE, rejected=match), match.corners
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
    drawn = (np.abs(pixels - BLUE) < 60).all(axis=-1)
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


@each("side, dpi, inside", [(1, 100, False), (2, 100, True), (6, 100, True), (4, 200, True)])
def test_labels_are_in_their_boxes_or_beside_them_in_axes_of_any_size(side, dpi, inside):
    figure = Figure(figsize=(side, side), dpi=dpi)
    ax = figure.add_axes((0.1, 0.1, 0.8, 0.8))
    tmatch.plot_matches(BLACK, Match(Box((150, 120), (60, 90)), 0.9), ax=ax)
    [label] = written(figure)
    box = Bbox(ax.transData.transform([(119.5, 209.5), (209.5, 149.5)]))
    shared = Bbox.intersection(box, label)
    assert (shared is not None and np.allclose(shared.extents, label.extents)) == inside
    assert inside or 0 < (label.y0 - box.y1) * 72 / dpi < 6  # points above the box


def written(figure):
    """Draw a figure; return the extents of its labels, with what is behind them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).draw()
    texts = [text for ax in figure.axes for text in ax.texts if text.get_visible()]
    return [text.get_bbox_patch().get_window_extent() for text in texts]


def boxes_in(figure, matches):
    outlines = [figure.axes[0].transData.transform([corner[::-1] for corner in m.corners]) for m in matches]
    return [Bbox([points.min(axis=0), points.max(axis=0)]) for points in outlines]


def overlap(a, b):
    shared = Bbox.intersection(a, b)
    return shared is not None and min(shared.width, shared.height) > 0.5  # pixels


ICONS = [Match(Box((100, 60 + 18 * n), (16, 16)), 1 - n / 100, f"icon {n}") for n in range(5)]
LONG = [
    dataclasses.replace(icon, label=f"a rather long name of the icon {n}") for n, icon in enumerate(ICONS)
]
TILES = [Match(Box((40 * row, 40 * column), (40, 40)), 0.9) for row in range(7) for column in range(10)]
CORNERS = [Match(Box((y, x), (8, 8)), 0.9, f"{y} {x}") for y in (0, 292) for x in (0, 392)]
CROWD = [
    Match(Box((int(y), int(x)), (int(h), int(w))), 0.9, "abc"[n % 3])
    for n, (y, x, h, w) in enumerate(
        np.random.default_rng(0).integers((0, 0, 5, 5), (250, 340, 50, 60), (50, 4))
    )
]


SCENES = {
    "icons": ICONS,
    "long": LONG,
    "tiles": TILES,
    "corners": CORNERS,
    "crowd": CROWD,
    "twice": CROWD * 2,
}


@each("scene", [*SCENES])
def test_no_label_covers_another_one_or_the_box_of_another_and_all_are_in_the_image(scene):
    matches = SCENES[scene]
    figure = tmatch.plot_matches(BLACK, matches)
    labels = written(figure)
    assert labels
    assert not any(overlap(a, b) for a, b in itertools.combinations(labels, 2))
    area, boxes = figure.axes[0].get_window_extent(), boxes_in(figure, matches)
    for label in labels:
        assert Bbox.intersection(label, area).extents == pytest.approx(label.extents, abs=1)
        within = [box for box in boxes if overlap(label, box)]
        assert not within or any(np.allclose(Bbox.union([label, box]).extents, box.extents) for box in within)


def test_what_touches_has_its_label_within_its_own_box():
    figure = tmatch.plot_matches(BLACK, TILES)
    labels, boxes = written(figure), boxes_in(figure, TILES)
    assert len(labels) == len(boxes)
    for label, box in zip(labels, boxes, strict=True):
        assert Bbox.union([label, box]).extents == pytest.approx(box.extents)


def test_labels_are_shifted_then_reduced_to_the_score_then_left_out():
    def texts(name, step):
        row = [Match(Box((100, 20 + step * n), (16, 8)), 0.9, f"{name} {n}") for n in range(9)]
        figure = tmatch.plot_matches(BLACK, row)
        written(figure)
        return [text.get_text() for text in figure.axes[0].texts if text.get_visible()]

    assert texts("icon", 30) == [f"icon {n} 0.90" for n in range(9)]
    assert {text[-4:] for text in texts("a very long name indeed", 40)} == {"0.90"}
    assert "0.90" in texts("a very long name indeed", 40)
    assert len(texts("icon", 8)) < 9


def test_the_legend_lists_all_labels_with_their_numbers_below_the_image():
    names = [f"icon {n}" for n in range(30)]
    matches = Matches(
        [Match(Box((n, n), (9, 9)), 0.9, name) for n, name in enumerate(names) for _ in range(1 + n % 3)],
        labels=["never seen", *names],
    )
    figure = tmatch.plot_matches(BLACK, matches)
    written(figure)
    [legend] = figure.legends
    told = [text.get_text() for text in legend.get_texts()]
    assert told == ["never seen (0)", *(f"{name} ({1 + n % 3})" for n, name in enumerate(names))]
    looks = [(line.get_color(), line.get_linestyle()) for line in legend.get_lines()]
    assert len(set(looks[:28])) == 28
    area, place = figure.axes[0].get_window_extent(), legend.get_window_extent()
    assert (area.width, area.height) == pytest.approx((400, 300))
    assert (place.x0, place.y0) >= (0, 0)
    assert place.x1 <= area.x1
    assert place.y1 <= area.y0


def test_long_names_in_a_legend_lose_their_middle():
    names = ["a/" * 60 + "first.png", "a/" * 60 + "second.png"]
    figure = tmatch.plot_matches(BLACK, [Match(Box((9, 9), (9, 9)), 0.9, name) for name in names])
    written(figure)
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [text[-13:] for text in told] == ["first.png (1)", "econd.png (1)"]
    assert figure.legends[0].get_window_extent().x1 <= 400


def test_given_axes_have_their_legend_below_them():
    figure = Figure(figsize=(6, 4), layout="constrained")
    left, _ = figure.subplots(1, 2)
    tmatch.plot_matches(BLACK, ICONS, ax=left)
    labels = written(figure)
    assert len(left.get_legend().get_texts()) == 5
    assert left.get_legend().get_window_extent().y1 <= left.get_window_extent().y0 + 1
    assert not any(overlap(a, b) for a, b in itertools.combinations(labels, 2))


def test_lines_and_letters_grow_with_large_images():
    def sizes(shape):
        side = min(shape) // 4
        figure = tmatch.plot_matches(np.zeros(shape, np.uint8), Match(Box((9, 9), (side, side)), 0.9))
        [axes] = figure.axes
        return axes.patches[-1].get_linewidth(), axes.texts[0].get_fontsize()

    usual, large, larger = (np.array(sizes(shape)) for shape in ((300, 400), (1500, 2000), (3000, 4000)))
    assert tuple(usual) == (1.5, 9)
    assert large / usual == pytest.approx([1.92, 1.92], abs=0.01)
    assert larger / large == pytest.approx([2, 2])


def test_lines_of_small_boxes_leave_them_free():
    match = Match(Box((9, 9), (10, 12)), 0.9)
    axes = tmatch.plot_matches(np.zeros((1500, 2000), np.uint8), match).axes[0]
    assert axes.patches[-1].get_linewidth() < 1


def test_images_may_be_files(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(np.tile(np.arange(250, dtype=np.uint8), (300, 1))).save(path)
    match = Match(Box((100, 120), (60, 90)), 0.9)
    for given in (path, str(path), Image.open(path)):
        [shown] = tmatch.plot_matches(given, match).axes[0].images
        np.testing.assert_array_equal(shown.get_array(), tmatch.read_image(path))


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
