"""Whether compiled code works at all: for the Python versions that not all tests are run under by numba."""

import numpy as np
import pytest

import oracle
import tmatch

pytestmark = [pytest.mark.numba_only, pytest.mark.smoke]


@pytest.mark.parametrize("size", [(5, 6), (24, 31)], ids=str)  # without transforms, and with them
def test_scores_of_pixels_equal_the_oracle_at_a_few_places(draw, size):
    image = draw((60, 70), "u1")
    template = image[7 : 7 + size[0], 9 : 9 + size[1]]
    scores = tmatch.match_template(image, template)
    assert scores[7, 9] == 1
    for y, x in [(0, 0), (7, 9), (30, 20)]:
        [[expected]] = oracle.zncc(image[y : y + size[0], x : x + size[1]], template)
        assert scores[y, x] == pytest.approx(expected, abs=1e-9)
    single = tmatch.match_template(image, template, precision="single")
    np.testing.assert_allclose(single, scores, rtol=0, atol=1e-4)


def test_templates_are_found_alone_and_together(draw):
    image = draw((120, 130), "u1")
    templates = {"a": image[50:66, 70:88], "b": image[10:40, 20:50]}
    for label, start in [("a", (50, 70)), ("b", (10, 20))]:
        [match] = tmatch.locate(image, templates[label])
        assert (match.box.start, match.score) == (start, 1)
    assert {m.box.start for m in tmatch.Matcher(templates).locate(image)} == {(50, 70), (10, 20)}


@pytest.mark.parametrize("dtype", ["u1", "f4", "f8"])
def test_sums_tap_by_tap_and_axis_by_axis_equal_the_oracle(draw, dtype):
    image = draw((20, 21), dtype)
    for kernel in (draw((3, 4)), np.outer(draw((9,)), draw((8,)))):
        result, expected = tmatch.correlate(image, kernel), oracle.correlate(image, kernel)
        bound = 1e-13 if result.dtype == np.float64 else 1e-5
        np.testing.assert_allclose(result, expected, rtol=0, atol=bound * np.abs(expected).max())
