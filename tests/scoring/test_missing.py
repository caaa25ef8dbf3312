"""Missing pixels and templates that reach beyond the image: every window beside the definition in long double."""

import functools

import numpy as np
import pytest

import hard_images
from hard_images import cut, hard_image, seen_zncc, template_place
from loops import each
from tmatch._scoring.maps import score_map

BOUNDS = {"double": 1e-9, "single": 1e-4}
SHAPE, WINDOW, TILE = (70, 84), (12, 11), (33, 37)
SOME = [  # of each way in which digits are lost one
    "offset 1e8, contrast 1e-6, f8",
    "texture 1 about 1000, f2",
    "flat 1e6 beside texture 1, f4",
    "stripes of contrast 1 and 1e-6, f8",
    "one pixel 1e12, f4",
    "plateaus + contrast fading to 1e-9, f8",
    "top flat beside few levels, u2",
    "fading to single levels, i4",
]
KINDS = ["scattered", "blocks", "half", "same", "full", "full and blocks"]
MIN_OVERLAP = 0.3

names = pytest.mark.parametrize("name", hard_images.NAMES)
some_names = pytest.mark.parametrize("name", SOME)
kinds = pytest.mark.parametrize("kind", KINDS)
precisions = pytest.mark.parametrize("precision", BOUNDS)


def seen_pixels(kind, shape):
    """Which pixels of an image are there."""
    rng, seen = np.random.default_rng(11), np.ones(shape, bool)
    if "scattered" in kind:
        seen = rng.random(shape) > 0.03
    if "blocks" in kind:
        for y, x in rng.integers(0, shape, (12, 2)):
            seen[y : y + 5, x : x + 7] = False
    if "half" in kind:
        seen[:, shape[1] // 2 + 3 :] = rng.random((shape[0], shape[1] - shape[1] // 2 - 3)) > 0.6
    return seen


def options_of(kind):
    output = kind.partition(" ")[0]
    return {"output": output if output in ("same", "full") else "valid", "min_overlap": MIN_OVERLAP}


def padded(image, seen, window, output):
    """The image and what is there of it, with all that windows reach."""
    margins = {
        "valid": [(0, 0)] * 2,
        "same": [(n // 2, n - 1 - n // 2) for n in window],
        "full": [(n - 1, n - 1) for n in window],
    }[output]
    return np.pad(image, margins), np.pad(seen, margins)


@functools.cache
def case(name, kind, shape=SHAPE, window=WINDOW, *, across=False):
    """Image, template, options, and what there is by definition."""
    image, seen, options = hard_image(name, shape), seen_pixels(kind, shape), options_of(kind)
    template = cut(image, template_place(name, shape, window, across=across), window)
    expected = seen_zncc(*padded(image, seen, window, options["output"]), template, MIN_OVERLAP)
    if not seen.all():
        options["image_mask"] = seen
    return image, template, options, expected


def assert_map(image, template, options, expected, precision):
    found = score_map(image, template, **options, precision=precision)
    assert np.all(np.abs(found.scores) <= 1)  # not so for NaN either
    np.testing.assert_array_equal(found.valid, expected[1])
    np.testing.assert_allclose(found.scores, expected[0], rtol=0, atol=BOUNDS[precision])
    assert np.all(found.scores[~found.valid] == 0)


@names
@kinds
@precisions
@each("across", [False, True])
def test_every_window_of_a_hard_image_keeps_its_score(execute, name, kind, precision, across):
    execute(tile=TILE, min_compiled_side=1)
    assert_map(*case(name, kind, across=across), precision)
