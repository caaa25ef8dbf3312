import numpy as np
import pytest
from scipy import ndimage

from tmatch._poses.transform import transform, warp
from tmatch._results.poses import Pose
from tmatch.synthetic import make_clutter

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (30, 41, 3), np.uint8)
HARD = RNG.random((30, 41)) < 0.5
SMOOTH = ndimage.gaussian_filter(make_clutter((61, 61), rng=1), 2.5)
MIDDLE = (slice(18, -18), slice(18, -18))  # of what is rotated, away from the border


# --- exact poses ------------------------------------------------------------------------------------

EXACT = {
    Pose(): lambda a: a,
    Pose(angle=90): np.rot90,
    Pose(angle=180): lambda a: a[::-1, ::-1],
    Pose(angle=270): lambda a: np.rot90(a, 3),
    Pose(angle=-90): lambda a: np.rot90(a, 3),
    Pose(angle=450): np.rot90,
    Pose(flip=True): np.fliplr,
    Pose(angle=180, flip=True): np.flipud,
    Pose(angle=90, flip=True): lambda a: np.rot90(np.fliplr(a)),
}


@pytest.mark.parametrize("pose", EXACT, ids=str)
@pytest.mark.parametrize("dtype", ["u1", "f4", "?"])
def test_flips_and_right_angles_move_pixels_and_change_none(pose, dtype):
    pixels = PIXELS.astype(dtype)
    for template in (pixels, pixels[..., 0]):
        turned, mask = transform(template, HARD, pose)
        assert (turned.dtype, mask.dtype) == (template.dtype, bool)
        np.testing.assert_array_equal(turned, EXACT[pose](template))
        np.testing.assert_array_equal(mask, EXACT[pose](HARD))
        assert transform(template, None, pose)[1] is None


def test_positive_angles_are_counter_clockwise_on_the_screen():
    image = np.zeros((61, 61))
    image[30, 45:] = 1  # a ray to the right
    turned, _ = transform(image, None, Pose(angle=90))
    assert turned[:16, 30].all()  # points up
    for angle in (30, 45, 60):
        y, x = ndimage.center_of_mass(warp(image, Pose(angle=angle), (30, 30)))
        assert np.degrees(np.arctan2(30 - y, x - 30)) == pytest.approx(angle, abs=0.5)
        turned, _ = transform(image, None, Pose(angle=angle))
        y, x = np.array(ndimage.center_of_mass(turned)) - (np.array(turned.shape) - 1) / 2
        assert np.degrees(np.arctan2(-y, x)) == pytest.approx(angle, abs=0.5)


def test_a_pose_is_a_flip_then_a_scale_then_a_rotation():
    steps = transform(SMOOTH, None, Pose(flip=True))
    steps = transform(*steps, Pose(scale=1.3))
    steps = transform(*steps, Pose(angle=25))
    for one, other in zip(transform(SMOOTH, None, Pose(25, 1.3, flip=True)), steps, strict=True):
        np.testing.assert_array_equal(one, other)


# --- any scale ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1 / 2, 2 / 3, 9 / 10, 1.25, 4 / 3, 2.0])
def test_resizing_is_that_of_scikit_image_and_keeps_the_dtype(scale):
    from skimage.transform import resize

    sides = (round(30 * scale), round(41 * scale), 3)
    expected = resize(PIXELS.astype(float), sides, mode="edge", anti_aliasing=scale < 1)
    whole, _ = transform(PIXELS, None, Pose(scale=scale))
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(whole, np.rint(expected))
    np.testing.assert_array_equal(transform(PIXELS.astype(float), None, Pose(scale=scale))[0], expected)
    assert transform(PIXELS, HARD, Pose(scale=scale))[1].dtype == bool
    soft = 0.7 * resize(HARD * 1.0, sides[:2], mode="edge", anti_aliasing=scale < 1)
    assert transform(PIXELS, HARD * 0.7, Pose(scale=scale))[1] == pytest.approx(soft)


def test_no_side_becomes_nothing():
    assert transform(PIXELS[:2, :3], None, Pose(scale=0.1))[0].shape == (1, 1, 3)


def test_what_is_enlarged_and_made_smaller_again_is_nearly_the_same():
    twice, _ = transform(SMOOTH, None, Pose(scale=2))
    again, _ = transform(twice, None, Pose(scale=0.5))
    assert twice.shape == (122, 122)
    np.testing.assert_allclose(again[2:-2, 2:-2], SMOOTH[2:-2, 2:-2], atol=0.02 * np.ptp(SMOOTH))


# --- any angle ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("angle", "size"), [(45, (51, 51)), (30, (47, 51)), (-30, (47, 51)), (89.999, (42, 31))]
)
def test_a_rotated_template_is_as_large_as_its_bounding_box(angle, size):
    turned, mask = transform(PIXELS, None, Pose(angle=angle))
    assert turned.shape == (*size, 3)
    assert turned.dtype == np.uint8
    assert mask.shape == size
    assert mask.sum() == pytest.approx(30 * 41, rel=0.03)  # its area stays


def test_rotations_there_and_back_are_nearly_nothing():
    turned, mask = transform(SMOOTH, None, Pose(angle=35))
    back, _ = transform(turned, mask, Pose(angle=-35))
    beside = (len(back) - len(SMOOTH)) // 2
    back = back[beside : beside + 61, beside : beside + 61]
    np.testing.assert_allclose(back[MIDDLE], SMOOTH[MIDDLE], atol=0.01 * np.ptp(SMOOTH))


def test_images_are_warped_about_a_point_as_templates_about_their_centre():
    for pose in EXACT:
        turned, _ = transform(SMOOTH, None, pose)
        np.testing.assert_allclose(warp(SMOOTH, pose, (30, 30)), turned, atol=1e-9 * np.ptp(SMOOTH))
    turned, _ = transform(SMOOTH, None, Pose(angle=20))
    beside = (len(turned) - 61) // 2
    np.testing.assert_allclose(
        warp(SMOOTH, Pose(angle=20), (30, 30)), turned[beside : beside + 61, beside : beside + 61], atol=1e-9
    )
    corner = warp(SMOOTH, Pose(angle=20), (0, 0))
    assert corner[0, 0] == pytest.approx(SMOOTH[0, 0])


@pytest.mark.parametrize(
    "pose", [Pose(scale=0.6), Pose(scale=1.7), Pose(angle=25), Pose(-70, 0.8, flip=True)], ids=str
)
@pytest.mark.parametrize("channels", [False, True])
def test_pixels_that_do_not_count_have_no_influence(pose, channels):
    mask = np.hypot(*(np.mgrid[:30, :41] - [[[15]], [[20]]])) < 12
    if channels:
        mask = np.stack([mask, mask & HARD, ~HARD], axis=-1)
    there = mask if channels else mask[..., None]
    one, counts = transform(np.where(there, PIXELS, 0).astype(float), mask, pose)
    other, same = transform(np.where(there, PIXELS, 1e6).astype(float), mask, pose)
    assert counts.dtype == bool
    np.testing.assert_array_equal(counts, same)
    there = np.broadcast_to(counts if channels else counts[..., None], one.shape)
    np.testing.assert_array_equal(one[there], other[there])
    assert 0.8 < counts.sum() / (mask.sum() * pose.scale**2) < 1.2


def test_weights_are_rotated_as_weights():
    weights = np.clip(SMOOTH / SMOOTH.max(), 0, 1)
    _, turned = transform(SMOOTH, weights, Pose(angle=20))
    beside = (len(turned) - 61) // 2
    expected = np.clip(warp(weights, Pose(angle=20), (30, 30)), 0, 1)
    np.testing.assert_allclose(turned[beside : beside + 61, beside : beside + 61][MIDDLE], expected[MIDDLE])
    assert turned[0, 0] == 0
