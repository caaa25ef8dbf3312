"""An image that is read in parts gives the matches of the same image in memory, byte for byte."""

from dataclasses import astuple

import numpy as np
import pytest

import tmatch
from tmatch._arrays.lazy import Whole
from tmatch._engine import execution

RNG = np.random.default_rng(5)


def planted(shape, window, copies, dtype=np.uint8, noise=6.0):
    """Return texture with copies of a template in noise, and the template."""
    rng = np.random.default_rng(7)
    image = rng.normal(120, 25, shape)
    template = rng.normal(120, 40, window)
    for corner in copies:
        image[tuple(slice(c, c + n) for c, n in zip(corner, window, strict=True))] = template
    image += rng.normal(0, noise, shape)
    if np.dtype(dtype).kind != "f":
        image, template = (np.clip(np.rint(each), 0, 255) for each in (image, template))
    return image.astype(dtype), template.astype(dtype)


def same(image, templates, **options):
    """Check that both ways give the same matches, and return them."""
    expected = tmatch.locate(image, templates, **options)
    mask = options.pop("image_mask", None)
    if mask is not None:
        options["image_mask"] = Whole(np.asarray(mask))
    found = tmatch.locate(Whole(image), templates, **options)
    assert list(map(astuple, found)) == list(map(astuple, expected))
    return found


SHAPES = {
    1: ((6000,), (60,), [(100,), (3000,), (5940,)]),
    2: ((210, 260), (17, 21), [(0, 0), (60, 100), (193, 239), (120, 30)]),
    3: ((40, 44, 48), (9, 8, 10), [(3, 4, 5), (31, 36, 38)]),
}


@pytest.mark.parametrize("ndim", SHAPES)
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8", "i8", ">f4"])
@pytest.mark.parametrize("tile", [None, 32])
def test_dtypes_and_dimensions(ndim, dtype, tile):
    shape, window, copies = SHAPES[ndim]
    image, template = planted(shape, window, copies, dtype)
    with execution.using(tile=tile and (tile,) * ndim):
        assert len(same(image, template, channel_axis=None)) == len(copies)


def test_whole_numbers_in_floats_are_searched_as_integers():
    image, template = planted(*SHAPES[2])
    assert same(image.astype(float), template) == same(image, template)


def test_long_signals():
    image, template = planted((300_000,), (64,), [(100,), (150_000,), (299_936,)], "f4")
    assert len(same(image, template)) == 3


@pytest.mark.parametrize("prefilter", ["whiten", "bandpass"])
def test_filtered(prefilter):
    image, template = planted(*SHAPES[2], noise=40.0)
    assert same(image, template, prefilter=prefilter)
    valid = RNG.random(image.shape) > 0.01
    same(image, template, prefilter=prefilter, image_mask=valid)


def test_large_filtered_images_lie_in_a_file(monkeypatch):
    monkeypatch.setattr("tmatch._filtering.bands._MAX_BYTES", 1000)
    image, template = planted(*SHAPES[2], noise=40.0)
    assert same(image, template, prefilter="whiten")


@pytest.mark.parametrize("output", ["valid", "same", "full"])
def test_masks_and_borders(output):
    image, template = planted(*SHAPES[2])
    valid = np.ones(image.shape, bool)
    valid[100:150, 40:90] = False
    assert same(image, template, image_mask=valid, output=output)
    assert same(image, template, image_mask=np.ones_like(valid), output=output)
    mask = RNG.random(template.shape) > 0.3
    assert same(image, template, masks=mask, output=output)


def test_missing_pixels():
    image, template = planted(*SHAPES[2], dtype="f8")
    assert same(image, template, missing="ignore")
    image[50:58, 30:70] = np.nan
    assert same(image, template, missing="ignore")
    with pytest.raises(ValueError, match=r"`image` is nan at \[50, 30\]"):
        tmatch.locate(Whole(image), template)


def test_colours_and_alpha():
    grey, _ = planted(*SHAPES[2])
    image = np.stack([grey, grey[::-1], grey[:, ::-1], np.full_like(grey, 255)], axis=2)
    template = image[60:77, 100:121]
    image[:30, :30, 3] = 0
    assert same(image[..., :3], template[..., :3])
    assert same(image, template[..., :3])
    assert same(image, template)
    assert same(image.astype(float), template)


@pytest.mark.parametrize("metric", ["ncc", "zcc", "ssd", "nssd", "orientation"])
def test_metrics(metric):
    image, template = planted(*SHAPES[2], dtype="f4")
    threshold = {"zcc": 1e5, "ssd": -1e5, "nssd": -0.1, "ncc": 0.99}.get(metric)
    same(image, template, metric=metric, threshold=threshold)
    valid = np.ones(image.shape, bool)
    valid[100:150, 40:90] = False
    same(image, template, metric=metric, threshold=threshold, image_mask=valid)


def test_exact_poses_and_several_templates_that_compete():
    image, template = planted(*SHAPES[2])
    image[150:171, 150:167] = np.rot90(template)
    assert len(same(image, {"a": template, "b": template[2:, 3:]}, angles=[0, 90])) == 5


def test_thresholds_and_what_is_not_there():
    image, template = planted(*SHAPES[2])
    assert same(image, template, threshold=0.3)
    assert not same(image, RNG.integers(0, 256, (15, 15), dtype=np.uint8))


def test_extreme_scales():
    image, template = planted(*SHAPES[2], dtype="f8")
    for factor in (1e200, 1e-200):
        assert same(image * factor, template * factor)


def test_best_match_and_scores():
    image, template = planted(*SHAPES[2])
    assert tmatch.best_match(Whole(image), template) == tmatch.best_match(image, template)
    scores = tmatch.Matcher(template).score(Whole(image))
    assert np.array_equal(scores, tmatch.match_template(image, template))


@pytest.mark.parametrize("dtype", ["u1", "f4"])
@pytest.mark.parametrize("rows", [17, 2**22])
def test_poses_and_places_between_pixels(dtype, rows, monkeypatch):
    monkeypatch.setattr("tmatch._poses.levels._PART_PIXELS", rows)
    image, template = planted((140, 180), (20, 24), [(20, 30), (90, 120)], dtype)
    assert same(image, template, subpixel=True)
    assert same(image, template, angles=(-20, 20))
    valid = np.ones(image.shape, bool)
    valid[60:75, 40:90] = False
    assert same(image, template, angles=(-6, 6), image_mask=valid)
    assert same(image, template, angles=(-6, 6), search="certified", threshold=0.9)
    assert same(image, template, angles=(-6, 6), search="exhaustive", threshold=0.9)
    if dtype == "f4":
        image[62:70, 50:60] = np.nan
        assert same(image, template, angles=(-6, 6), missing="ignore")
