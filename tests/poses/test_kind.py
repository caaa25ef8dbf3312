"""What is drawn from the template is a copy in any pose, though interpolation loses details; what differs is not."""

import numpy as np
import pytest

import tmatch
from pose_scenes import KINDS, make_scene, template_of

pytestmark = pytest.mark.one_engine


@pytest.mark.parametrize("sigma", [0, 10])
@pytest.mark.parametrize("kind", ["eye", "tripod", "grass", "coin", "letters"])
def test_turned_copies_are_copies(kind, sigma):
    for seed, unit in enumerate((1, 1.0, 1e-3)):
        rng = np.random.default_rng([seed, sigma])
        image, template, _ = make_scene(KINDS[kind], rng, shape=(160, 160), sigma=sigma)
        assert tmatch.best_match(image * unit, template * unit, angles="all").kind == "copy"


@pytest.mark.parametrize("kind", ["eye", "face", "coin"])
def test_what_differs_in_a_part_is_alike(kind):
    image, _, _ = make_scene(KINDS[kind], np.random.default_rng(1), shape=(160, 160))
    other = template_of(KINDS[kind]).copy()
    other[8:28, 8:28] = other[8:28, 8:28].mean()
    best = tmatch.best_match(image, other, angles="all")
    assert 0.7 < best.score < 0.99
    assert best.kind == "alike"
    assert not tmatch.locate(image, other, angles="all", copies_only=True)
