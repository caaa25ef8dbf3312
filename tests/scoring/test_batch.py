"""Batches of templates: what they share, and how much memory they need."""

import tracemalloc
import weakref

import numpy as np
import pytest

import tmatch
from hard_images import all_positions, zncc_at
from tmatch._engine.progress import Resources
from tmatch._scoring.batch import float_tile
from tmatch._scoring.batch.batch import make_batches
from tmatch._scoring.maps import score_maps
from tmatch._search.matcher import searches_of


@pytest.mark.parametrize("dtype", ["u1", "f8"])
def test_windows_of_images_of_any_layout_are_copied_in_groups(dtype):
    image = (np.random.default_rng(0).random((300, 400)) * 255).astype(dtype).T
    [batch] = make_batches(searches_of(tmatch.Matcher(image[:64, :64]), image, None))
    [(_, template)] = batch.members
    positions = np.argwhere(np.ones((60, 100)))
    template.score_positions(batch.image, positions[:2])
    tracemalloc.start()
    scores = template.score_positions(batch.image, positions)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert scores[0] == pytest.approx(1)
    assert peak < 60e6  # all windows together have 25 million pixels


def test_templates_that_share_sums_are_adjacent_in_the_order_given():
    image, rng = np.random.default_rng(0).normal(size=(60, 60)), np.random.default_rng(1)
    masks = [rng.random((8, 9)) for _ in range(6)]
    templates = {str(i): image[i : i + 8, i : i + 9] for i in range(12)}
    matcher = tmatch.Matcher(templates, masks={str(i): masks[i % 6] for i in range(12)})
    [batch] = make_batches(searches_of(matcher, image, None))
    assert batch.templates == [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11]


# --- bands of values --------------------------------------------------------------------------------


def shapes_of_bands(monkeypatch, image, templates):
    """Score templates in one image; return the shapes of those for which a tile was scored in bands."""
    find, shapes = float_tile.FloatTile._band, []

    def record(tile, template, doubtful):
        found = find(tile, template, doubtful)
        if found is not None:
            shapes.append(template.window)
        return found

    monkeypatch.setattr(float_tile.FloatTile, "_band", record)
    monkeypatch.setattr(
        float_tile, "_WINDOW_PIXELS", 1
    )  # no window by definition, as long as there are bands
    matcher = tmatch.Matcher({str(i): template for i, template in enumerate(templates)})
    maps = score_maps(searches_of(matcher, image, None), Resources.of(1, None))
    for template, found in zip(templates, maps, strict=True):
        expected = zncc_at(image, template, all_positions(image, template.shape))
        np.testing.assert_allclose(found.scores.ravel(), expected, rtol=0, atol=1e-9)
    return shapes


def test_templates_of_each_shape_have_bands_of_their_own(monkeypatch):
    monkeypatch.setattr(float_tile, "_BANDS", 1)
    image = np.random.default_rng(0).normal(size=(80, 90))
    image[:40] *= 1e7
    shapes = [(11, 12), (12, 11), (12, 12)]
    templates = [image[60 : 60 + rows, 70 : 70 + columns].copy() for rows, columns in shapes]
    assert sorted(shapes_of_bands(monkeypatch, image, templates)) == shapes


def test_a_range_too_large_for_floats_is_no_band(monkeypatch):
    """It holds all windows, so that nothing would be won."""
    image = 1.7e308 * (1 + 1e-13 * np.random.default_rng(0).normal(size=(80, 90)))
    image[:20] *= -1
    assert not shapes_of_bands(monkeypatch, image, [image[62:73, 70:82].copy()])


def test_bands_of_a_single_template_are_dropped_once_scored(monkeypatch):
    score, bands, most = float_tile.FloatTile.score_double, weakref.WeakSet(), []

    def record(tile, *args):
        bands.add(tile)
        most.append(len(bands))
        return score(tile, *args)

    monkeypatch.setattr(float_tile.FloatTile, "score_double", record)
    levels = 1e7 * np.repeat(np.arange(8), 30)
    image = np.random.default_rng(0).normal(size=(240, 90)) + levels[:, None]
    found = shapes_of_bands(monkeypatch, image, [image[62:73, 70:82].copy()])
    assert len(found) >= 4
    assert max(most) <= 3
