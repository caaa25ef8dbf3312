"""Score maps and places: `pytest tests/benchmarks/test_bench_match.py --benchmark-enable`."""

import numpy as np
import pytest

import oracle
import tmatch

pytestmark = pytest.mark.parametrize("engine", ["numpy", "numba"], indirect=True, scope="module")
CORNERS = [(20, 30), (100, 200), (150, 40)]


@pytest.fixture
def scene(draw):
    """An image of noise, and three things in it."""
    image = draw((200, 300), "u1")
    parts = {f"{row} {column}": image[row : row + 24, column : column + 24].copy() for row, column in CORNERS}
    return image, parts


def starts(matches):
    return [match.box.start for match in matches]


# --- equals the oracle ----------------------------------------------------------------------------


@pytest.mark.parametrize(("precision", "tolerance"), [("double", 1e-9), ("single", 1e-4)])
@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_score_map(benchmark, draw, dtype, precision, tolerance):
    image = draw((40, 50), dtype)
    template = image[20:31, 30:43].copy()
    scores = benchmark(tmatch.match_template, image, template, precision=precision)
    np.testing.assert_allclose(scores, oracle.score(image, template)[0], rtol=0, atol=tolerance)


def test_score_map_in_colour(benchmark, draw):
    image = draw((40, 50, 3), "u1")
    template = image[20:31, 30:43].copy()
    scores = benchmark(tmatch.match_template, image, template, channel_axis=2)
    np.testing.assert_allclose(scores, oracle.score(image, template, channel_axis=2)[0], rtol=0, atol=1e-9)


def test_score_map_with_a_mask(benchmark, draw):
    image, mask = draw((40, 50), "u1"), draw((11, 13), "?", seed=1)
    template = image[20:31, 30:43].copy()
    scores = benchmark(tmatch.match_template, image, template, mask=mask)
    np.testing.assert_allclose(scores, oracle.score(image, template, mask=mask)[0], rtol=0, atol=1e-9)


# --- planted truth --------------------------------------------------------------------------------


def test_locate_one(benchmark, scene):
    image, parts = scene
    assert starts(benchmark(tmatch.locate, image, parts["100 200"])) == [(100, 200)]


def test_locate_one_made_ready(benchmark, scene):
    image, parts = scene
    assert starts(benchmark(tmatch.Matcher(parts["100 200"]).locate, image)) == [(100, 200)]


def test_locate_several(benchmark, scene):
    image, parts = scene
    matches = benchmark(tmatch.Matcher(parts).locate, image)
    assert sorted(starts(matches)) == sorted(CORNERS)
    assert all(match.label == "{} {}".format(*match.box.start) for match in matches)


def test_best_match(benchmark, scene):
    image, parts = scene
    assert benchmark(tmatch.best_match, image, parts["150 40"]).box.start == (150, 40)
