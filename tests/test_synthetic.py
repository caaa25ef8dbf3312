import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tmatch
from tmatch.synthetic import make_clutter, make_scene

pytestmark = pytest.mark.engine_free

# --- laws -----------------------------------------------------------------------------------------


@given(st.integers(2, 60), st.integers(2, 60), st.floats(0, 100), st.integers(0, 2**32))
def test_clutter_has_the_shape_contrast_and_seed_asked_for(height, width, contrast, seed):
    ground = make_clutter((height, width), contrast=contrast, rng=seed)
    assert ground.shape == (height, width)
    assert ground.mean() == pytest.approx(128, abs=1e-9)
    if np.ptp(ground) > 0:  # a few pixels may all be covered alike
        assert ground.std() == pytest.approx(contrast, rel=1e-9)
    np.testing.assert_array_equal(make_clutter((height, width), contrast=contrast, rng=seed), ground)


def test_other_seeds_give_other_clutter():
    assert np.any(make_clutter((30, 30), rng=0) != make_clutter((30, 30), rng=1))


def test_clutter_without_contrast_is_flat():
    np.testing.assert_array_equal(make_clutter((9, 8), contrast=0, rng=0), 128)
    np.testing.assert_array_equal(make_clutter((1, 1), rng=0), 128)


# --- planted truth --------------------------------------------------------------------------------


def test_a_scene_is_its_ground_with_the_template_at_the_places(draw):
    ground, template = draw((40, 50)), draw((5, 6), "u1")
    image, boxes = make_scene(ground, template, [(2, 3), (35, 44)], gain=0.5, offset=7)
    assert [(box.start, box.shape) for box in boxes] == [((2, 3), (5, 6)), ((35, 44), (5, 6))]
    expected = ground.copy()
    for box in boxes:
        np.testing.assert_array_equal(image[box.slices], 0.5 * template + 7)
        expected[box.slices] = image[box.slices]
    np.testing.assert_array_equal(image, expected)


def test_later_copies_lie_on_top():
    image, _ = make_scene(np.zeros((4, 4)), [[1, 2], [3, 4]], [(0, 0), (0, 1)])
    assert image[:2, :3].tolist() == [[1, 1, 2], [3, 3, 4]]


def test_noise_has_its_size_and_seed():
    clean, noisy, again = (
        make_scene(np.zeros((200, 200)), [[1, 2]], [(5, 5)], noise=noise, rng=3)[0] for noise in (0, 20, 20)
    )
    np.testing.assert_array_equal(noisy, again)
    assert (noisy - clean).std() == pytest.approx(20, rel=0.02)  # 40,000 values: 0.35 % is one sigma
    assert (noisy - clean).mean() == pytest.approx(0, abs=0.5)


def test_one_generator_goes_on_from_call_to_call():
    rng = np.random.default_rng(0)
    first, second = (make_scene(np.zeros((9, 9)), [[1, 2]], [], noise=1, rng=rng)[0] for _ in range(2))
    assert np.all(first != second)


def test_no_places_give_no_boxes():
    assert make_scene(np.zeros((9, 9)), [[1, 2]], [])[1] == []


# --- refusals -------------------------------------------------------------------------------------

GROUND = np.zeros((5, 6))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: make_clutter((0, 5)),
            "`shape` is (0, 5) and `contrast` 30.0; sides must be at least 1, contrast at least 0 and finite",
        ),
        (
            lambda: make_clutter((5, 5), contrast=-1),
            "`shape` is (5, 5) and `contrast` -1; sides must be at least 1, contrast at least 0 and finite",
        ),
        (
            lambda: make_scene(GROUND, [1, 2], []),
            "`ground` (5, 6) and `template` (2,) must be 2-D, `noise` (0.0) at least 0, all finite",
        ),
        (
            lambda: make_scene(GROUND, [[1, 2]], [], noise=-1),
            "`ground` (5, 6) and `template` (1, 2) must be 2-D, `noise` (-1) at least 0, all finite",
        ),
        (
            lambda: make_scene(GROUND, [[1, 2]], [(0, 5)]),
            "`places` has (0, 5), where a template (1, 2) leaves the ground (5, 6)",
        ),
        (
            lambda: make_scene(GROUND, [[1, 2]], [(0, 0), (-1, 0)]),
            "`places` has (-1, 0), where a template (1, 2) leaves the ground (5, 6)",
        ),
    ],
    ids=["no pixels", "contrast", "dimension", "noise", "right", "above"],
)
def test_scenes_that_cannot_be_are_refused(call, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        call()


def test_scenes_do_not_write_to_their_ground(draw):
    ground = np.array(draw((9, 9)))
    make_scene(ground, [[1, 2]], [(3, 3)], noise=1, rng=0)
    np.testing.assert_array_equal(ground, draw((9, 9)))


def test_a_scene_becomes_8_bit_pixels():
    image, _ = make_scene(make_clutter((50, 50), rng=0), [[300, -20]], [(1, 1)])
    pixels = tmatch.to_range(image)
    assert pixels.dtype == np.uint8
    assert pixels[1, 1:3].tolist() == [255, 0]
