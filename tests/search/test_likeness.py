"""Searches that end early, as nothing in the image is like the template."""

import numpy as np
import pytest
from scipy import ndimage

import tmatch
from tmatch._detection.criterion import Criterion
from tmatch._detection.decide import LEAST_LIKENESS, TemplateCandidates
from tmatch._detection.null.noise import noise_levels
from tmatch._detection.null.residual import beyond_noise, window_variances
from tmatch._engine.progress import Resources
from tmatch._search import likeness
from tmatch._search.matcher import Matcher, searches_of
from tmatch._search.recipe import search


def scene(kind, seed):
    """Draw an image, and a template that is or is not in it."""
    rng = np.random.default_rng([3, seed])
    shape = (180, 210, 3) if kind == "colour" else (180, 210)
    image = 128 + 40 * ndimage.gaussian_filter(rng.normal(size=shape), (1.5, 1.5, 0)[: len(shape)]) / 0.19
    if kind == "flat parts":
        image[:, 90:] = 128 + rng.normal(0, 1, image[:, 90:].shape)
    side = int(rng.integers(8, 41))
    template = (
        image[20 : 20 + side, 30 : 30 + side] if seed % 3 == 0 else rng.normal(128, 30, (side, side + 3))
    )
    template = ndimage.gaussian_filter(template, (0.8, 0.8, 0)[: template.ndim])
    if kind == "colour" and template.ndim == 2:
        template = np.stack([template, template[::-1], template[:, ::-1]], axis=-1)
    dtype = np.uint16 if kind == "16 bits" else np.uint8
    factor = 200 if kind == "16 bits" else 1
    return [tmatch.to_range(factor * array, dtype=dtype) for array in (image, template)]


def found_first(image, template, **options):
    """Find the candidates of the image as it is."""
    searches = searches_of(Matcher(template, **options), image, None)
    criterion = Criterion.of("zncc", prefilter="none")
    return searches, search(searches, criterion, Resources()).stages[0].found


def may_be_alike(image, template, **options):
    return likeness.any_alike(found_first(image, template, **options)[1], Resources())


KINDS = ["grey", "flat parts", "colour", "16 bits"]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_alike_where_a_search_ends_early(kind):
    ended = 0
    for seed in range(12):
        image, template = scene(kind, seed)
        options = {"channel_axis": 2} if kind == "colour" else {}
        [one], found = found_first(image, template, **options)
        scores = tmatch.match_template(image, template, **options)
        everywhere = np.argwhere(np.ones(scores.shape, bool))
        variances = window_variances(one, everywhere)
        alike = beyond_noise(scores.ravel(), variances, noise_levels(one).any) >= LEAST_LIKENESS
        least = likeness._least_variances(one, found[0].peaks.null.cells.size, Resources())
        places = tuple((everywhere // found[0].peaks.null.cells.size).T)
        expected = np.full(least.shape, np.inf)
        np.minimum.at(expected, places, variances)
        np.testing.assert_allclose(least, expected, rtol=1e-5, atol=1e-9)
        going_on = likeness.any_alike(found, Resources())
        assert going_on or not alike.any()
        ended += not going_on
    assert 0 < ended < 12


@pytest.mark.parametrize("kind", KINDS)
def test_searches_that_end_early_find_what_others_find(kind):
    for seed in range(12):
        image, template = scene(kind, seed)
        options = {"channel_axis": 2} if kind == "colour" else {}
        matcher = Matcher(template, **options)
        for level in (0.01, 10):
            criterion = Criterion.of("zncc", false_alarms=level)
            whole = search(searches_of(matcher, image, None), criterion, Resources())
            assert matcher.locate(image, false_alarms=level) == whole.matches


def test_the_whitened_image_is_searched_where_variances_are_not_known():
    image, template = scene("grey", 1)
    assert not may_be_alike(image, template)
    mask = np.ones(template.shape, bool)
    mask[0, 0] = False
    assert may_be_alike(image + 0.25, template)
    assert may_be_alike(image, template, masks=mask)
    assert may_be_alike(image, template, output="same")


def test_progress_ends_with_a_search():
    image, template = scene("grey", 1)
    shares = []
    assert tmatch.locate(image, template, progress=shares.append) == []
    assert shares[-1] == 1
    assert shares == sorted(shares)


def test_cells_hold_their_largest_values_where_the_last_are_cut():
    values = np.random.default_rng(0).random((7, 11))
    largest = likeness._largest_in_cells(values, (3, 4))
    assert largest.shape == (3, 3)
    assert largest[2, 2] == values[6:, 8:].max()
    assert largest[0, 1] == values[:3, 4:8].max()


def test_blocks_make_no_difference(monkeypatch):
    image, template = scene("flat parts", 2)
    [one], found = found_first(image, template)
    size = found[0].peaks.null.cells.size
    whole = likeness._least_variances(one, size, Resources())
    monkeypatch.setattr(likeness, "_BLOCK_POSITIONS", 1)
    np.testing.assert_array_equal(likeness._least_variances(one, size, Resources()), whole)
    monkeypatch.setattr(likeness, "_BLOCK_COLUMNS", 1)
    np.testing.assert_array_equal(likeness._least_variances(one, size, Resources()), whole)


def test_no_null_distribution_ends_no_search():
    image, template = scene("grey", 1)
    [one], [found] = found_first(image, template)
    unknown = TemplateCandidates(one, found.peaks.__class__(found.peaks.positions, found.peaks.scores, None))
    assert likeness.any_alike([unknown], Resources())
