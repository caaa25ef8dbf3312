"""Scores of single windows."""

import numpy as np
import pytest

import oracle
from tmatch._detection.null.residual import residuals
from tmatch._detection.null.windows import scores_at
from tmatch._search.matcher import Matcher, searches_of

CASES = {
    "8 bits": ("u1", None, {}),
    "16 bits, signed": ("i2", None, {}),
    "floats": ("f8", None, {}),
    "mask": ("u1", np.hypot(*np.mgrid[-3:4, -4:5]) < 4, {}),
    "soft mask": ("u1", np.linspace(0, 1, 63).reshape(7, 9), {}),
    "colour": ("u1", None, {"channel_axis": 2}),
}


@pytest.mark.parametrize("name", CASES)
def test_windows_are_scored_as_the_oracle_scores_them(draw, name):
    dtype, mask, options = CASES[name]
    shape = (30, 34, 3) if options else (30, 34)
    image = draw(shape, dtype)
    template = image[3:10, 5:14].copy()
    [search] = searches_of(Matcher(template, masks=mask, **options), image, None)
    positions = np.array([(0, 0), (3, 5), (23, 25), (11, 2)])
    expected = oracle.score(image, template, mask=mask, **options)[0][tuple(positions.T)]
    np.testing.assert_allclose(scores_at(search, positions), expected, atol=1e-9)
    np.testing.assert_allclose(residuals(search, positions).score, expected, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_flat_windows_are_not_like_anything(dtype):
    rng = np.random.default_rng(0)
    image = np.full((40, 50), 7, dtype)
    image[:, 25:] = rng.integers(0, 256, (40, 25))
    [search] = searches_of(Matcher(image[5:15, 30:40]), image, None)
    positions = np.array([(2, 3), (5, 30)])
    for scores in (scores_at(search, positions), residuals(search, positions).score):
        np.testing.assert_allclose(scores, [0, 1], atol=1e-9)
