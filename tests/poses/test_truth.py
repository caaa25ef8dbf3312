"""The scenes and the oracle that poses are tested by, against what is known without them."""

import numpy as np
import pytest
from scipy import ndimage

import oracle
from pose_scenes import (
    FINE,
    KINDS,
    LONG,
    Placed,
    absent_scene,
    block_means,
    draw,
    expose,
    finer,
    make_scene,
    template_of,
)
from tmatch._results.poses import Pose

pytestmark = pytest.mark.engine_free
RNG = np.random.default_rng(0)
GROUND = 77.0
EXACT = [(angle, flip) for angle in (0, 90, 180, -90) for flip in (False, True)]


def turned(pixels, angle, flip):
    return np.rot90(np.fliplr(pixels) if flip else pixels, angle // 90)


# --- scenes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("angle", "flip"), EXACT)
def test_at_whole_pixels_and_right_angles_the_template_is_drawn_itself(angle, flip):
    kind = KINDS["eye"]._replace(shape=(48, 37))
    expected = turned(block_means(finer(kind)), angle, flip)
    (height, width), scene = expected.shape, np.full((90, 90), GROUND)
    draw(scene, finer(kind), Placed((20 + (height - 1) / 2, 30 + (width - 1) / 2), angle, 1.0, flip))
    around = np.full_like(scene, GROUND)
    around[20 : 20 + height, 30 : 30 + width] = expected
    np.testing.assert_allclose(scene, around, atol=1e-9)


def test_an_object_is_drawn_as_the_library_says_that_poses_lie():
    fine = np.zeros((160, 160))
    fine[60:100, 120:140] = 1  # right of the middle, and more of it above than below
    fine[20:60, 120:130] = 1
    weights = ndimage.center_of_mass(block_means(fine))
    for placed in (
        Placed((50, 52), 35.0),
        Placed((50.3, 51.6), -110.0, 1.3, True),
        Placed((49, 50), 160.0, 0.7),
    ):
        scene = np.zeros((100, 100))
        draw(scene, fine, placed)
        there = np.subtract(ndimage.center_of_mass(scene), placed.center)
        pose = Pose(placed.angle, placed.scale, placed.flip)
        np.testing.assert_allclose(pose.inverse @ there + 19.5, weights, atol=0.02)
        np.testing.assert_allclose(pose.inverse @ placed.matrix, np.eye(2), atol=1e-12)


def test_area_does_not_depend_on_the_pose():
    fine = np.full((4 * 20, 4 * 31), 100.0)
    for placed in (Placed((40.2, 41.9), 0.0), Placed((40, 40.5), 33.0), Placed((41.3, 40), 128.0, 1.4)):
        scene = np.zeros((90, 90))
        draw(scene, fine, placed)
        assert scene.sum() == pytest.approx(100 * 20 * 31 * placed.scale**2, rel=2e-3)
        outside = np.zeros((90, 90))
        draw(outside, fine, placed._replace(center=(-30, 40)))
        assert not outside.any()


def test_all_pieces_lie_in_their_sources_and_have_contrast():
    for kind in (*KINDS.values(), *LONG.values()):
        assert finer(kind).shape == tuple(FINE * n for n in kind.shape)
        assert template_of(kind).shape == kind.shape
        assert template_of(kind).std() > 3


def test_scenes_are_what_was_asked_for():
    options = {"shape": (300, 340), "count": 3, "scales": (0.7, 1.4), "flips": True, "sigma": 5}
    scene = make_scene(KINDS["coin"], np.random.default_rng(3), **options)
    again = make_scene(KINDS["coin"], np.random.default_rng(3), **options)
    np.testing.assert_array_equal(scene.image, again.image)
    assert (scene.image.dtype, scene.image.shape) == (np.uint8, (300, 340))
    for placed in scene.placed:
        assert 0.7 <= placed.scale <= 1.4
        corners = placed.outline((48, 48))
        assert (corners > 0).all()
        assert (corners < (299, 339)).all()
    colour = make_scene(KINDS["cup"], RNG, colour=True, dtype="u2")
    assert (colour.image.shape, colour.image.dtype) == ((256, 256, 3), np.uint16)
    assert colour.template.max() > 255
    assert absent_scene(KINDS["cup"], RNG, (90, 80), 10).image.shape == (90, 80)
    np.testing.assert_allclose(expose(np.full((2, 2), 50.0), gain=0.5, offset=3, dtype="f4"), 28)


# --- the oracle -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("angle", "flip"), EXACT)
def test_the_score_of_an_exact_pose_is_the_plain_score(angle, flip):
    image, template, mask = RNG.normal(size=(20, 24)), RNG.normal(size=(7, 8)), RNG.random((7, 8)) < 0.7
    there, counts = turned(template, angle, flip), turned(mask, angle, flip)
    plain = oracle.score(image, there, mask=counts)[0]
    center = (5 + (there.shape[0] - 1) / 2, 9 + (there.shape[1] - 1) / 2)
    posed = oracle.posed_score(image, template, mask, center, angle, 1, flip)
    assert posed == pytest.approx(float(plain[5, 9]), abs=1e-12)


def test_the_spline_is_that_of_scipy():
    values = RNG.normal(size=(6, 9))
    coefficients = oracle.spline(values)
    np.testing.assert_allclose(coefficients, ndimage.spline_filter(values, 3, mode="mirror"), atol=1e-12)
    for place in ([0, 0], [5, 8], [2.3, 4.9], [4.999, 7.2]):
        expected = ndimage.map_coordinates(values, np.array(place)[:, None], order=3, mode="mirror")[0]
        assert oracle.spline_value(coefficients, place) == pytest.approx(expected, abs=1e-12)


def test_the_score_is_highest_where_the_object_was_drawn():
    scene = make_scene(
        KINDS["eye"]._replace(shape=(20, 24)), np.random.default_rng(1), shape=(60, 60), dtype="f8"
    )
    [(center, angle, scale, flip)] = scene.placed
    best = oracle.posed_score(scene.image, scene.template, None, center, angle, scale, flip)
    assert best > 0.98
    for beside in (
        {"center": (center[0] + 0.5, center[1])},
        {"center": (center[0], center[1] - 0.5)},
        {"angle": angle + 3},
        {"angle": -angle},
        {"scale": 1.05},
        {"flip": True},
    ):
        pose = {"center": center, "angle": angle, "scale": scale, "flip": flip} | beside
        assert oracle.posed_score(scene.image, scene.template, None, **pose) < best
