"""Batches of templates: what they share, and how much memory they need."""

import tracemalloc

import numpy as np
import pytest

import tmatch
from tmatch._scoring.batch.batch import make_batches
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
