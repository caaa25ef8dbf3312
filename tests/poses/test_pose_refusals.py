"""Poses that cannot be searched are refused, in a sentence that says what to do."""

import re

import numpy as np
import pytest

import tmatch
from loops import each

pytestmark = pytest.mark.one_engine
IMAGE = np.random.default_rng(0).normal(size=(40, 50))
TEMPLATE = IMAGE[5:15, 8:20].copy()
LARGER = (
    "`template` has shape (10, 12), larger than `image` (8, 8) on axes 0, 1; crop or shrink it, or swap the two if "
    "they are in the wrong order"
)


def refused(error, message, image=IMAGE, template=TEMPLATE, **options):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        tmatch.locate(image, template, **options)


@each("angles, error", [
    (30, TypeError), ((0, 10, 20), ValueError), ([], ValueError), ([0, np.nan], ValueError), ((0, np.inf), ValueError),
    (["a"], TypeError), ([True], TypeError), ({}, TypeError),
])  # fmt: skip
def test_angles_that_are_none(angles, error):
    refused(
        error,
        f"`angles` is {angles!r}; it must hold finite numbers: (-30, 30) for a range of degrees, [0, 90] for these two",
        angles=angles,
    )


def test_names_of_angles_but_all():
    refused(
        ValueError,
        '`angles` is "some"; it must be "all", a range as (-30, 30), or a list as [0, 90, 180, 270]',
        angles="some",
    )


@each(
    "scales, error",
    [
        (2, TypeError),
        ("all", TypeError),
        ((1, 2, 3), ValueError),
        ([], ValueError),
        ([1, np.nan], ValueError),
    ],
)
def test_scales_that_are_none(scales, error):
    refused(
        error,
        f"`scales` is {scales!r}; it must hold finite numbers: (0.8, 1.25) for a range, [1, 2] for these two",
        scales=scales,
    )


@each("scales", [[0], [-1], (0.01, 1), (1, 17)])
def test_scales_out_of_bounds(scales):
    refused(
        ValueError,
        f"`scales` is {scales!r}; a scale is the size in the image divided by the template's, from 1/16 to 16",
        scales=scales,
    )


def test_ranges_of_scales_that_are_turned_round():
    refused(
        ValueError,
        "`scales` is (2, 1); the lower end of a range comes first, as in (0.8, 1.25)",
        scales=(2, 1),
    )


@each("name, value", [("flips", 1), ("flips", "yes"), ("subpixel", None)])
def test_flags_that_are_neither_true_nor_false(name, value):
    refused(TypeError, f"`{name}` is {value!r}; it must be True or False", **{name: value})


def test_unknown_ways_to_search():
    refused(
        ValueError, '`search` is \'fast\'; it must be one of "auto", "exhaustive", "certified"', search="fast"
    )


@each("threshold", [None, 0.5, 0.69])
def test_a_certified_search_needs_a_high_threshold(threshold):
    refused(
        ValueError,
        '`search` is "certified", which needs a `threshold` of at least 0.7: with a lower one, little is ruled out',
        angles="all", search="certified", threshold=threshold,
    )  # fmt: skip


@each("prefilter", ["whiten", "bandpass"])
def test_filters_of_poses_that_are_not_exact(prefilter):
    refused(
        ValueError,
        f'`prefilter` is "{prefilter}", which is for upright templates and exact copies of them; leave it out where '
        "templates are rotated or resized by other than right angles and whole numbers",
        angles="all", prefilter=prefilter,
    )  # fmt: skip


@each("output", ["same", "full"])
def test_poses_that_reach_beyond_the_image(output):
    refused(
        ValueError,
        f'`output` is "{output}"; in poses the template must lie inside the image: use "valid"',
        angles="all", output=output,
    )  # fmt: skip


@each("metric", ["ncc", "ssd"])
@each("options", [{"angles": "all"}, {"scales": (0.9, 1.1)}])
def test_metrics_that_are_not_fitted(metric, options):
    refused(
        ValueError,
        f'`metric` is "{metric}"; poses that need interpolation are searched by "zncc" or "orientation": use one of '
        "them, or right angles and whole-number scales",
        metric=metric, threshold=-1, **options,
    )  # fmt: skip


@each("metric", ["ncc", "orientation"])
def test_metrics_without_sub_pixel_places(metric):
    refused(
        ValueError,
        f'`metric` is "{metric}"; sub-pixel places are fitted by "zncc": use that, or leave subpixel out',
        metric=metric, threshold=0.5, subpixel=True,
    )  # fmt: skip


def test_more_poses_than_orientations_are_searched_in():
    message = (
        "`angles` and `scales` make [0-9]+ poses, each of which is searched at full size by this metric; 1000"
    )
    with pytest.raises(ValueError, match=message):
        tmatch.Matcher(np.eye(200), angles="all", scales=(0.5, 2), metric="orientation")


@each("shape, axes", [((100,), "1 axis"), ((20, 20, 20), "3 axes")])
@each("options", [{"angles": "all"}, {"angles": [90]}, {"flips": True}, {"scales": [2]}, {"subpixel": True}])
def test_arrays_that_are_no_images(shape, axes, options):
    values = np.random.default_rng(0).normal(size=shape)
    refused(
        ValueError,
        f"`template` has {axes} without channels; poses and sub-pixel places are for images, which have 2: leave "
        "angles, scales, flips and subpixel out",
        image=values, template=values[: 5], **options,
    )  # fmt: skip


@each("options", [{"angles": "all"}, {"angles": [0, 90]}, {"scales": (1, 2)}, {"flips": True}])
def test_templates_larger_than_the_image(options):
    refused(ValueError, LARGER, image=IMAGE[:8, :8], **options)


def test_scales_of_which_nothing_is_left():
    refused(
        ValueError,
        "`scales` holds 0.0625, which leaves no pixel of a template of shape (10, 12); use larger ones",
        scales=[1 / 16],
    )


@each("options", [{"scales": (5, 8)}, {"scales": (5, 8), "angles": "all"}])
def test_scales_at_which_no_template_fits(options):
    refused(
        ValueError,
        "no pose of the template lies inside the image; use smaller scales, or a larger image",
        **options,
    )


@each("options", [{"angles": "all"}, {"scales": (0.9, 1.1)}, {"angles": [0, 90]}])
@each("value", [np.nan, np.inf])
def test_pixels_that_are_not_finite(options, value):
    image = IMAGE.copy()
    image[30, 31] = value
    with pytest.raises(ValueError, match=r"^`image` is (nan|inf) at \[30, 31\]; all pixels must be finite"):
        tmatch.locate(image, TEMPLATE, **options)


@each("options", [{"angles": "all"}, {"scales": (0.9, 1.1)}, {"flips": True}])
def test_templates_without_contrast(options):
    refused(
        ValueError,
        "`template` is constant: every window would fit as well; use one with some contrast",
        template=np.ones((9, 9)),
        **options,
    )


def test_score_maps_of_poses():
    with pytest.raises(
        ValueError,
        match="^this matcher has poses, and a score map is of one; make a matcher without angles, scales and flips$",
    ):
        tmatch.Matcher(TEMPLATE, angles="all").score(IMAGE)


@each(
    "options", [{"masks": np.arange(10)[:, None] + np.arange(12) > 3}, {"template": IMAGE[5:15, 8:30].copy()}]
)
def test_a_certified_search_compares_discs(options):
    refused(
        ValueError,
        '`search` is "certified", which compares inscribed discs; use a template without a mask, less than 1.5 times '
        'as long as wide, or "exhaustive"',
        angles="all", search="certified", threshold=0.8, **options,
    )  # fmt: skip
