"""Hard images by all metrics, with masks, holes, borders and channels, beside the definition."""

import functools

import numpy as np
import pytest

import hard_images
import oracle
import tmatch
from hard_images import cut, hard_image, template_place
from loops import each
from tmatch._scoring.maps import score_map

BOUNDS = {"double": 1e-9, "single": 1e-4}  # of the scale that the oracle gives
METRICS = ["zncc", "ncc", "zcc", "cc", "ssd", "nssd", "orientation"]
SHAPE, WINDOW, TILE = (52, 66), (9, 10), (17, 20)
SMALL, SMALL_WINDOW = (12, 15), (5, 6)  # of whole maps by loops
COUNT, SLOW_COUNT = 15, 2  # of positions anywhere, and of those across the middle
NAMES = [
    "offset 1e8, contrast 1, f8",
    "texture 1 about 1000, f4",
    "flat 1e6 beside texture 1, f4",
    "texture 1e6 beside texture 1, f8",
    "stripes of contrast 1 and 1e-6, f8",
    "scale 1e-30, f4",
    "one pixel 1e12, f8",
    "contrast fading to 1e-6, f2",
    "plateaus + contrast fading to 1e-9, f8",
    "top flat beside few levels, u2",
    "both ends of the range, i4",
]
DISTANCE = np.hypot(np.linspace(-1, 1, 9)[:, None], np.linspace(-1, 1, 10)) / np.sqrt(2)  # 1 at the corners
MASKS = {
    "binary mask": DISTANCE < 0.75,
    "scattered mask": np.random.default_rng(3).random(WINDOW) < 0.7,
    "soft mask": np.clip(1.2 - DISTANCE, 0, 1),
}
KINDS = ["plain", *MASKS, "image mask", "NaN", "NaN and soft mask", "full", "channels", "joint channels"]

names = pytest.mark.parametrize("name", NAMES)
precisions = pytest.mark.parametrize("precision", BOUNDS)


@functools.cache
def case(name, kind, metric):
    """An image, a template, options of match_template, and what the oracle says at some positions."""
    rng, whole = np.random.default_rng(7), kind == "full"
    shape, window = (SMALL, SMALL_WINDOW) if whole else (SHAPE, WINDOW)
    image = np.array(hard_image(name, shape))
    place = template_place(name, shape, window)
    if "channels" in kind:
        image = np.stack([image, hard_image(name, shape, 2)[:, ::-1]], axis=-1)
    template = cut(image, place, window)
    # Orientation: a hole takes its neighbours along.
    options = {"metric": metric, "output": "full" if whole else "valid", "min_overlap": 0.3}
    mask = MASKS.get(kind.removeprefix("NaN and "))
    if mask is not None:
        options["mask"] = mask
    if "channels" in kind:
        options |= {"channel_axis": 2, "channel_means": "joint" if "joint" in kind else "separate"}
    gone = rng.random(shape) < 0.03
    if kind == "image mask":
        options["image_mask"] = ~gone
    elif "NaN" in kind:
        image = image if image.dtype.kind == "f" else image.astype("f8")
        image[gone] = np.nan
        options["missing"] = "ignore"
    return image, template, options, expected_at(name, image, template, options)


def expected_at(name, image, template, options):
    """Positions, and scores, validity and scale by definition."""
    if options["output"] == "full":
        found = oracle.score(image, template, **options)
        return tuple(np.indices(found[0].shape).reshape(2, -1)), *(part.ravel() for part in found)
    window = template.shape[:2]
    count = SLOW_COUNT if options["metric"] == "orientation" else COUNT
    positions = hard_images.some_positions(name, image[..., 0] if image.ndim > 2 else image, window, count)
    found = []
    for position in positions:
        part = tuple(slice(p, p + n) for p, n in zip(position, window, strict=True))
        mask = {"image_mask": options["image_mask"][part]} if "image_mask" in options else {}
        try:
            found.append([np.ravel(f)[0] for f in oracle.score(image[part], template, **options | mask)])
        except oracle.RefusedError:  # too little overlap
            found.append([0, False, 0])
    return tuple(positions.T), *np.array(found).T


@pytest.mark.parametrize("kind", KINDS)
@names
@precisions
@each("metric", METRICS)
def test_hard_images_keep_their_scores_by_all_metrics(execute, name, kind, metric, precision):
    execute(tile=TILE, min_compiled_side=1)
    image, template, options, (at, expected, valid, scale) = case(name, kind, metric)
    scores = tmatch.match_template(image, template, **options, precision=precision)
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(tmatch.score_validity(image, template, **options)[at], valid)
    scored = valid.astype(bool) | (metric not in ("ssd", "nssd"))  # others have the worst of the map
    bound = np.maximum(BOUNDS[precision] * scale, np.finfo(scores.dtype).tiny)  # what is smaller may become 0
    assert np.all((np.abs(scores[at] - expected) <= bound)[scored])


@precisions
@pytest.mark.parametrize("soft", [1, 0.7])
def test_channels_may_count_in_different_pixels_beside_huge_values(execute, soft, precision):
    execute(tile=TILE, min_compiled_side=1)
    image = np.random.default_rng(1).normal(size=(30, 40, 2))
    image[:, np.arange(40) % 10 < 4, 1] = (
        1e16  # beside what counts, wherever the template starts in its columns
    )
    mask = np.zeros((6, 8, 2))
    mask[:, :4, 0], mask[:, 4:, 1] = 1, soft
    options = {"mask": mask, "channel_axis": 2}
    template = image[6:12, 20:28]
    expected = oracle.score(image[:, 10:28], template, **options)[0]
    scores = tmatch.match_template(image[:, 10:28], template, **options, precision=precision)
    # Windows in which values of 1e16 count are beyond the loops, which are in float64.
    at = [0, 10]
    np.testing.assert_allclose(scores[:, at], expected[:, at], rtol=0, atol=BOUNDS[precision])


# --- windows that are constant where they count -----------------------------------------------------


SOFT = np.pad(np.random.default_rng(1).uniform(0.1, 1, (8, 8)), 4)
INNER_MASKS = {"soft": SOFT, "binary": SOFT > 0.2, "box": SOFT > 0}


@precisions
@each("kind", INNER_MASKS)
def test_windows_that_are_constant_where_they_count_have_no_score(precision, kind):
    """Beside bright texture, so that many are found in a part of the range of values."""
    rng, mask = np.random.default_rng(0), INNER_MASKS[kind]
    image = rng.normal(size=(150, 160)).astype("f4")
    image[:70] *= 1e6
    image[75:145, 5:150] = 3
    image[75:145:20, 5:150:20] = 4
    windows = np.lib.stride_tricks.sliding_window_view(image, mask.shape)[..., mask > 0]
    varied = np.ptp(windows, axis=-1) > 0
    template = rng.normal(size=mask.shape)
    found = score_map(image, template, mask=mask, precision=precision)
    np.testing.assert_array_equal(found.valid, varied)
    assert np.all(found.scores[~varied] == 0)


@precisions
def test_channels_may_count_in_different_pixels(precision):
    rng = np.random.default_rng(0)
    image, mask = rng.normal(size=(50, 60, 2)), np.zeros((10, 12, 2))
    image[10:30, 10:40] = [0.1, 0.7]
    mask[2:6, 1:6, 0], mask[2:7, 6:, 1] = 0.3, 0.7
    windows = np.lib.stride_tricks.sliding_window_view(image, mask.shape)[:, :, 0]
    varied = np.any([np.ptp(windows[..., c][..., mask[..., c] > 0], axis=-1) > 0 for c in range(2)], axis=0)
    found = score_map(image, image[32:42, 30:42], mask=mask, channel_axis=2, precision=precision)
    np.testing.assert_array_equal(found.valid, varied)
