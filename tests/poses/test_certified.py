"""A certified search rules out only what cannot reach the threshold, and finds what the exhaustive one finds."""

import numpy as np
import pytest

import tmatch
from pose_scenes import KINDS, make_scene
from tmatch._engine.progress import Resources
from tmatch._poses.certified import at_full_size, score_bounds
from tmatch._poses.coarse import pose_map
from tmatch._poses.levels import ImageLevels
from tmatch._poses.options import PoseOptions
from tmatch._poses.plan import plan_of
from tmatch._search.matcher import Matcher, searches_of

ROUNDING = 2e-3  # of scores in single precision, and of poses between those of the grid


def scene(kind, sigma, seed=0):
    return make_scene(KINDS[kind], np.random.default_rng([seed, sigma]), shape=(160, 170), sigma=sigma)


@pytest.mark.parametrize("options", [{"angles": (-40, 40)}, {"angles": (-10, 10), "scales": (0.9, 1.1)}])
@pytest.mark.parametrize(("kind", "sigma"), [("eye", 0), ("grass", 10), ("letters", 25)])
def test_no_score_at_full_size_exceeds_its_bound(kind, sigma, options):
    image, template, _ = scene(kind, sigma)
    [search] = searches_of(Matcher(template, **options), image, None)
    levels = ImageLevels(search)
    smaller = plan_of(search, PoseOptions.of(**options, search="certified"))
    full = pose_map(
        levels, plan_of(search, PoseOptions.of(**options, search="exhaustive")), search.cache, Resources()
    )
    bounds = at_full_size(score_bounds(levels, smaller, Resources()), smaller, levels.shape)
    assert (full.high[full.valid] <= bounds[full.valid] + ROUNDING).all()
    assert bounds[full.valid].min() < 0.9  # it rules something out


@pytest.mark.one_engine
@pytest.mark.parametrize(
    ("kind", "sigma", "threshold"),
    [("face", 0, 0.9), ("cup", 10, 0.8), ("coin", 25, 0.7), ("brick", 10, 0.8)],
)
def test_certified_finds_what_exhaustive_finds(kind, sigma, threshold):
    image, template, [placed] = scene(kind, sigma)
    options = {"angles": "all", "threshold": threshold}
    certified, exhaustive = (
        tmatch.locate(image, template, search=search, **options) for search in ("certified", "exhaustive")
    )
    assert len(certified) == len(exhaustive) == 1
    for match in (*certified, *exhaustive):
        np.testing.assert_allclose(match.center, placed.center, atol=0.3)
    assert certified[0].score == pytest.approx(exhaustive[0].score, abs=1e-4)  # each fits from elsewhere
    assert certified[0].angle == pytest.approx(exhaustive[0].angle, abs=1e-2)


@pytest.mark.one_engine
def test_templates_with_own_masks_are_refused():
    image, template, _ = scene("eye", 0)
    with pytest.raises(
        ValueError, match=r'^`search` is "certified", which compares inscribed discs; use a template'
    ):
        tmatch.locate(image, template[:20], angles="all", search="certified", threshold=0.8)
