import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

import tmatch
from loops import each
from tmatch import Box, Match
from tmatch._plotting.poses import plot_best_poses
from tmatch._plotting.style import ScoreColours
from tmatch._results.poses import Pose
from tmatch._search.pose_maps import BestPoses

pytestmark = pytest.mark.engine_free


def drawn(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(int)


def seen(figure, axes, place, colour):
    """Check that a colour is drawn within two pixels of the figure about a place (row, column) of a map."""
    pixels = drawn(figure)
    x, y = axes.transData.transform(place[::-1])
    row, column = round(len(pixels) - y), round(x)
    around = pixels[row - 2 : row + 3, column - 2 : column + 3]
    return bool((np.abs(around - np.array(colour)) < 30).all(axis=-1).any())


def large_map():
    return np.random.default_rng(0).uniform(-0.2, 0.2, (1500, 2000)).astype(np.float32)


RED, BLUE = (103, 0, 31), (5, 48, 97)  # of the highest and the lowest scores


@each("place", [(0, 999), (733, 1234), (1499, 1999), (1499, 3)])
def test_a_peak_of_one_pixel_is_seen_in_a_large_map_and_a_minimum_too(place):
    scores = large_map()
    scores[place], scores[700, 1000] = 0.8, -0.8
    figure = tmatch.plot_heatmap(scores)
    assert seen(figure, figure.axes[0], place, RED)
    assert seen(figure, figure.axes[0], (700, 1000), BLUE)


def test_a_peak_of_one_pixel_is_seen_among_scores_of_one_sign_and_beside_places_without_one():
    scores = -np.abs(large_map()) - 1
    scores[:, ::2] = -np.inf
    scores[733, 1235] = 0
    figure = tmatch.plot_heatmap(scores)
    assert seen(figure, figure.axes[0], (733, 1235), (252, 255, 164))
    assert "grey: no score" in figure.axes[0].get_title()


@each("shape", [(1, 1), (1, 9), (9, 1), (7, 10), (12, 12)])
@each("side", [1, 3, 5, 20])
@each("low", [-1, 0])
def test_the_strongest_of_each_block_is_drawn(shape, side, low):
    scores = np.random.default_rng(1).uniform(low, 1, shape)
    scores[np.random.default_rng(2).uniform(size=shape) < 0.3] = -np.inf
    found = scores.ravel()[ScoreColours(low, 1).strongest(scores, side)]
    for row, column in np.ndindex(found.shape):
        block = scores[row * side :, column * side :][:side, :side]
        known = block[np.isfinite(block)]
        expected = known[np.abs(known).argmax()] if known.size else -np.inf
        assert found[row, column] == expected


def test_no_block_is_smaller_than_a_pixel():
    for shapes in ([(1500, 2000)], [(2000, 100)], [(1001, 1500)] * 5, [(900, 1300), (1, 1), (30, 1300)]):
        maps = {str(n): np.linspace(-1, 1, h * w).reshape(h, w) for n, (h, w) in enumerate(shapes)}
        figure = tmatch.plot_heatmap(maps)
        drawn(figure)
        for axes in figure.axes:
            rows, columns = axes.images[0].get_array().shape
            place = axes.get_window_extent()
            assert (rows, columns) <= (place.height + 1, place.width + 1)
            assert columns <= place.width + 1


@each("low, high", [(-0.3, 0.9), (-0.9, 0.3)])
def test_scores_of_both_signs_have_colours_about_0_that_all_panels_share(low, high):
    maps = {"a": np.full((4, 5), low), "b": np.full((3, 3), high), "c": np.full((2, 2), -np.inf)}
    figure = tmatch.plot_heatmap(maps)
    assert [axes.images[0].get_clim() for axes in figure.axes] == [(-0.9, 0.9)] * 3
    assert {axes.images[0].get_cmap().name for axes in figure.axes} == {"RdBu_r"}


def test_scores_of_one_sign_are_drawn_from_the_lowest_to_the_highest():
    figure = tmatch.plot_heatmap({"a": np.array([[-5, 0]]), "b": np.array([[-9, -2]])})
    assert [axes.images[0].get_clim() for axes in figure.axes] == [(-9, 0)] * 2


@pytest.mark.filterwarnings("error")
def test_maps_of_any_shape_are_drawn_without_being_cut_off():
    maps = {
        "wide": np.zeros((30, 90)), "one": np.ones((1, 1)), "row": np.zeros((1, 90)), "column": np.zeros((80, 1)),
        "a name that is so long that it does not fit above a map, whatever is done": np.full((9, 9), -np.inf),
    }  # fmt: skip
    for some in (maps, *({name: one} for name, one in maps.items())):
        figure = tmatch.plot_heatmap(some)
        drawn(figure)
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert min(box.x0, box.y0) >= -0.01
        assert (box.x1 <= width + 0.01) & (box.y1 <= height + 0.01)
    wide, small = (axes.get_window_extent() for axes in tmatch.plot_heatmap(maps).axes[:2])
    assert small.width < wide.width / 2


def test_found_matches_have_rings_and_lost_ones_crosses_in_the_panel_of_their_label():
    def places(axes, marker):
        return [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == marker]

    found = [Match(Box((2, 3), (4, 4)), 0.9, "eye")]
    lost = [Match(Box((3, 4), (4, 4)), 0.8, "ear"), Match(Box((5, 6), (4, 4)), 0.7, "ear")]
    eye, ear = tmatch.plot_heatmap({"eye": np.zeros((9, 9)), "ear": np.eye(9)}, found, lost=lost).axes
    assert (places(eye, "o"), places(eye, "x")) == ([[[3, 2]]], [])
    assert (places(ear, "o"), places(ear, "x")) == ([], [[[4, 3], [6, 5]]])
    assert "cross: another template fits better" in ear.get_title()
    assert "cross" not in eye.get_title()
    made = [
        BestPoses(label, np.eye(9), np.zeros((9, 9), int), [Pose(), Pose(90)]) for label in ("eye", "ear")
    ]
    _, _, *both = plot_best_poses(made, found, lost=lost).axes
    assert [places(axes, "x") for axes in both] == [[[[5.5, 4.5], [7.5, 6.5]]]] * 2


def test_the_pose_of_a_peak_is_seen_in_a_large_map():
    scores = np.zeros((1500, 2000), np.float32)
    which = np.zeros(scores.shape, int)
    scores[733, 1234], which[733, 1234] = 0.8, 1
    figure = plot_best_poses([BestPoses("", scores, which, [Pose(), Pose(flip=True)])])
    assert seen(figure, figure.axes[1], (733, 1234), (255, 255, 0))
