import inspect
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tmatch
from loops import each
from tmatch import Matcher, best_match, explain, inspect_template, locate, match_template, score_validity

pytestmark = pytest.mark.one_engine

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (30, 40, 3), dtype=np.uint8)
PART = COLOUR[8:15, 20:29]
GREY, GREY_PART = COLOUR[..., 0].copy(), PART[..., 0].copy()
OPAQUE = np.ones(PART.shape[:2], bool)
OPAQUE[:3, :4] = False
ALPHA = np.where(OPAQUE, 255, 254).astype(np.uint8)[..., None]
VALID = np.ones(COLOUR.shape[:2], bool)
VALID[9:12, 22:25] = False
IMAGE_ALPHA = np.where(VALID, 128, 127).astype(np.uint8)[..., None]
CUT = np.concatenate([PART, ALPHA], axis=-1)
SEEN = np.concatenate([COLOUR, IMAGE_ALPHA], axis=-1)


def png(array):
    data = io.BytesIO()
    Image.fromarray(array).save(data, "png")
    data.seek(0)
    return data


# --- files and Pillow images ---------------------------------------------------------------------------


@pytest.mark.parametrize("pixels", ["grey", "colour", "with alpha"])
def test_files_and_pillow_images_are_searched_as_the_arrays_that_are_read(tmp_path, pixels):
    image, template = {"grey": (GREY, GREY_PART), "colour": (COLOUR, PART), "with alpha": (SEEN, CUT)}[pixels]
    Image.fromarray(image).save(tmp_path / "image.png")
    Image.fromarray(template).save(tmp_path / "part.png")
    path, part = tmp_path / "image.png", tmp_path / "part.png"
    masks = {"mask": OPAQUE, "image_mask": VALID} if pixels == "with alpha" else {}
    axis = None if pixels == "grey" else 2
    plain = (GREY, GREY_PART) if pixels == "grey" else (COLOUR, PART)
    scores = match_template(*plain, channel_axis=axis, **masks)
    for given in (
        (str(path), str(part)),
        (path, part),
        (png(image), png(template)),
        (Image.fromarray(image), Image.fromarray(template)),
        (path, template if pixels != "with alpha" else part),
        (image if pixels != "with alpha" else path, Image.fromarray(template)),
    ):
        np.testing.assert_array_equal(match_template(*given), scores)
    [match] = locate(path, part)
    assert match.box.start == (8, 20)
    assert match == Matcher(part).locate(path)[0]
    assert best_match(str(path), part).box == Matcher(part).best(path).box == match.box
    np.testing.assert_array_equal(Matcher(part).score(Image.fromarray(image)), scores)
    np.testing.assert_array_equal(
        score_validity(path, part), score_validity(*plain, channel_axis=axis, **masks)
    )


def test_masks_are_files_and_pillow_images_too():
    weights = RNG.integers(0, 200, GREY_PART.shape, dtype=np.uint8)
    expected = match_template(GREY, GREY_PART, mask=weights / weights.max(), image_mask=VALID)
    given = {"mask": Image.fromarray(weights), "image_mask": png(VALID.astype(np.uint8) * 7)}
    np.testing.assert_array_equal(match_template(GREY, GREY_PART, **given), expected)
    matcher = Matcher(GREY_PART, masks=png(weights))
    np.testing.assert_array_equal(matcher.score(GREY, image_mask=Image.fromarray(VALID)), expected)


def test_diagnostics_take_files_too(tmp_path):
    Image.fromarray(SEEN).save(tmp_path / "image.png")
    Image.fromarray(CUT).save(tmp_path / "part.png")
    path, part = tmp_path / "image.png", tmp_path / "part.png"
    plain = {"mask": OPAQUE, "channel_axis": 2}
    assert explain(path, part) == explain(COLOUR, PART, image_mask=VALID, **plain)
    assert inspect_template(part) == inspect_template(PART, **plain)
    made = inspect_template(part, path)
    assert made.best_at == (8, 20)
    assert [axes.get_title() for axes in tmatch.plot_inspection(part, made).axes]


# --- colours, alpha, and volumes -----------------------------------------------------------------------


@each("channels", [2, 3])
def test_the_last_of_three_axes_is_taken_for_colours(channels):
    image, template = COLOUR[..., :channels], PART[..., :channels]
    scores = match_template(image, template, channel_axis=2)
    np.testing.assert_array_equal(match_template(image, template), scores)
    np.testing.assert_array_equal(Matcher(template).score(image), scores)
    assert inspect_template(template) == inspect_template(template, channel_axis=2)
    least = [
        tmatch.estimate_chance(scores, template, **o).least_scores(0.01) for o in ({}, {"channel_axis": 2})
    ]
    np.testing.assert_array_equal(*least)


@each(
    "image, template",
    [
        (COLOUR, PART[..., :2]),  # of other lengths
        (COLOUR.astype(float)[:, :, [0, 1, 2, 0, 1]], PART[:, :, [0, 1, 2, 0, 1]]),  # more than four
        (COLOUR[..., :1], PART[..., :1]),
        (np.stack([COLOUR] * 5), np.stack([PART] * 2)),
        (GREY[:, :3], GREY_PART[:, :3]),
    ],
)
def test_other_axes_are_searched_along(image, template):
    scores = match_template(image, template, channel_axis=None)
    np.testing.assert_array_equal(match_template(image, template), scores)
    np.testing.assert_array_equal(Matcher(template).score(image), scores)


def test_a_matcher_searches_colours_and_volumes_as_they_come():
    volume = RNG.integers(0, 256, (20, 30, 12), dtype=np.uint8)
    flat = np.zeros((4, 5, 3), np.uint8) + np.array(
        [10, 90, 30], np.uint8
    )  # constant colours, but no flat volume
    for template in (volume[5:9, 7:12, 4:7], flat):
        matcher = Matcher(template)
        for _ in range(2):
            expected = match_template(volume, template, channel_axis=None)
            np.testing.assert_array_equal(matcher.score(volume), expected)
            if template is flat:
                with pytest.raises(ValueError, match="^`template` is constant"):
                    matcher.score(COLOUR)
            else:
                expected = match_template(COLOUR, template, channel_axis=2)
                np.testing.assert_array_equal(matcher.score(COLOUR), expected)
    assert Matcher(volume[5:9, 7:12, 4:7]).best(volume).box.start == (5, 7, 4)


@each("axis", ["auto", 2])
def test_alpha_of_a_template_is_its_mask_where_the_image_has_none(axis):
    scores = match_template(COLOUR, PART, mask=OPAQUE, channel_axis=2)
    np.testing.assert_array_equal(match_template(COLOUR, CUT, channel_axis=axis), scores)
    np.testing.assert_array_equal(Matcher(CUT, channel_axis=axis).score(COLOUR), scores)
    first = match_template(np.moveaxis(COLOUR, 2, 0), np.moveaxis(CUT, 2, 0), channel_axis=0)
    np.testing.assert_array_equal(first, scores)


@each("axis", ["auto", 2])
def test_alpha_of_an_image_is_its_validity_where_the_template_has_none(axis):
    scores = match_template(COLOUR, PART, image_mask=VALID, channel_axis=2)
    np.testing.assert_array_equal(match_template(SEEN, PART, channel_axis=axis), scores)
    np.testing.assert_array_equal(Matcher(PART, channel_axis=axis).score(SEEN), scores)


def test_alpha_of_both_is_mask_and_validity_and_four_named_channels_are_channels():
    scores = match_template(COLOUR, PART, mask=OPAQUE, image_mask=VALID, channel_axis=2)
    np.testing.assert_array_equal(match_template(SEEN, CUT), scores)
    np.testing.assert_array_equal(Matcher(CUT).score(SEEN), scores)
    whole = [np.dstack([a, np.full(a.shape[:2], 255, np.uint8)]) for a in (COLOUR, PART)]
    np.testing.assert_array_equal(match_template(*whole), match_template(COLOUR, PART))
    joint = [match_template(*whole, channel_means="joint", channel_axis=axis) for axis in (2, "auto")]
    assert np.abs(joint[0] - joint[1]).max() > 0.1  # alpha is bright, and moves the mean
    matcher = Matcher(CUT, channel_axis=2)
    np.testing.assert_array_equal(matcher.score(SEEN), match_template(SEEN, CUT, channel_axis=2))
    np.testing.assert_array_equal(
        matcher.score(COLOUR), match_template(COLOUR, PART, mask=OPAQUE, channel_axis=2)
    )


@each("floats", [np.float32, np.float64])
def test_alpha_of_floats_is_from_0_to_1(floats):
    image, template = (COLOUR / 255).astype(floats), (CUT / 255).astype(floats)
    expected = match_template(image, template[..., :3], mask=OPAQUE)
    np.testing.assert_array_equal(match_template(image, template), expected)


@each("dtype", [np.int64, np.int16, np.uint32, np.float32])
def test_alpha_of_other_numbers_is_from_0_to_what_the_largest_may_be(dtype):
    expected = match_template(COLOUR[..., :3], PART, mask=OPAQUE)
    np.testing.assert_array_equal(match_template(COLOUR[..., :3].astype(dtype), CUT.astype(dtype)), expected)
    seen = match_template(SEEN.astype(dtype), PART)
    np.testing.assert_array_equal(seen, match_template(SEEN, PART))


def test_alpha_joins_masks():
    mask, image_mask = np.arange(63).reshape(7, 9) % 5, RNG.random(VALID.shape) > 0.1
    expected = match_template(COLOUR, PART, mask=mask * OPAQUE, image_mask=image_mask & VALID)
    np.testing.assert_array_equal(match_template(SEEN, CUT, mask=mask, image_mask=image_mask), expected)
    by_channel = np.stack([mask, mask > 1, mask], axis=2)
    expected = match_template(COLOUR, PART, mask=by_channel * OPAQUE[..., None])
    np.testing.assert_array_equal(match_template(COLOUR, CUT, mask=by_channel), expected)


# --- masked arrays -------------------------------------------------------------------------------------


def test_masked_arrays_bring_their_masks():
    gone = RNG.random(COLOUR.shape) > 0.97
    image, template = np.ma.array(COLOUR, mask=gone), np.ma.array(PART, mask=gone[:7, :9])
    mask = np.arange(63).reshape(7, 9) % 4
    plain = {"mask": mask[..., None] * ~gone[:7, :9], "image_mask": VALID & ~gone.any(2)}
    expected = match_template(COLOUR, PART, **plain)
    given = {"mask": mask, "image_mask": VALID}
    np.testing.assert_array_equal(match_template(image, template, **given), expected)
    np.testing.assert_array_equal(Matcher(template, masks=mask).score(image, image_mask=VALID), expected)
    assert best_match(image, template, masks=mask, image_mask=VALID) == best_match(
        COLOUR, PART, masks=plain["mask"], image_mask=plain["image_mask"]
    )
    np.testing.assert_array_equal(
        score_validity(image, template, **given), score_validity(COLOUR, PART, **plain)
    )


def test_what_is_masked_may_be_anything():
    image = np.where(VALID, GREY, np.nan)
    masked = np.ma.masked_invalid(image)
    expected = match_template(image, GREY_PART, missing="ignore")
    np.testing.assert_array_equal(match_template(masked, GREY_PART), expected)
    template = np.ma.masked_invalid(np.where(OPAQUE, GREY_PART, np.inf))
    np.testing.assert_array_equal(
        match_template(GREY, template), match_template(GREY, GREY_PART, mask=OPAQUE)
    )


# --- several templates ---------------------------------------------------------------------------------

OTHER = GREY[18:26, 3:12].copy()


def labels(matches):
    return {(match.label, match.box.start) for match in matches}


@each("several", [[GREY_PART, OTHER], (GREY_PART, OTHER), [Image.fromarray(GREY_PART), OTHER]])
def test_listed_templates_are_labelled_by_number(several):
    assert labels(locate(GREY, several)) == {("0", (8, 20)), ("1", (18, 3))}
    assert list(Matcher(several).score(GREY)) == ["0", "1"]
    assert best_match(GREY, several[1:]).label == "0"


def test_listed_files_are_labelled_by_their_names(tmp_path):
    for name, part in (("ok", GREY_PART), ("error", OTHER)):
        Image.fromarray(part).save(tmp_path / f"{name}.png")
    found = labels(locate(GREY, [tmp_path / "ok.png", str(tmp_path / "error.png")]))
    assert found == {("ok", (8, 20)), ("error", (18, 3))}


def test_nested_lists_of_numbers_are_one_template():
    assert [m.label for m in locate(GREY, GREY_PART.tolist())] == [""]
    np.testing.assert_array_equal(
        Matcher(GREY_PART.tolist()).score(GREY.tolist()), match_template(GREY, GREY_PART)
    )


def test_masks_are_listed_as_templates_are():
    masks = [OPAQUE, None]
    matcher = Matcher([GREY_PART, OTHER], masks=masks)
    expected = match_template(GREY, GREY_PART, mask=OPAQUE)
    np.testing.assert_array_equal(matcher.score(GREY)["0"], expected)
    np.testing.assert_array_equal(matcher.score(GREY)["1"], match_template(GREY, OTHER))
    by_label = Matcher([GREY_PART, OTHER], masks={"0": OPAQUE})
    np.testing.assert_array_equal(by_label.score(GREY)["0"], expected)


def test_a_label_has_several_appearances():
    image = GREY.astype(int)
    hover = 255 - GREY_PART.astype(int)
    image[20:27, 28:37] = hover
    icons = {"button": [GREY_PART, hover], "other": OTHER}
    expected = {("button", (8, 20)), ("button", (20, 28)), ("other", (18, 3))}
    assert labels(locate(image, icons)) == labels(Matcher(icons).locate(image)) == expected
    masked = locate(image, icons, masks={"button": [OPAQUE, None]})
    assert labels(masked) == expected
    alike = {"button": [GREY_PART, GREY_PART[:, :-1], np.pad(GREY_PART, 1, "edge")]}
    assert labels(locate(image, alike)) == {("button", (8, 20))}
    assert best_match(image, {"button": [OTHER, hover]}).label == "button"


def test_sub_pixel_places_are_those_of_the_appearance_found():
    image = GREY.astype(int)
    hover = 255 - GREY_PART.astype(int)
    image[20:27, 28:37] = hover
    both = locate(image, {"button": [GREY_PART, hover]}, subpixel=True)
    alone = [*locate(image, GREY_PART, subpixel=True), *locate(image, hover, subpixel=True)]
    assert {m.box.start: m.offset for m in both} == {m.box.start: m.offset for m in alone}


# --- signatures ----------------------------------------------------------------------------------------


@each("function", [locate, best_match, Matcher, explain, match_template, score_validity])
def test_signatures_tell_every_option(function):
    parameters = inspect.signature(function).parameters.values()
    assert not [p for p in parameters if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    named = {"metric", "missing", "min_overlap", "output", "channel_axis", "channel_weights", "channel_means"}
    assert named <= {parameter.name for parameter in parameters}


# --- refusals ------------------------------------------------------------------------------------------


@each(
    "guess, answer",
    [
        ("method", "use `metric`"),
        ("min_score", "use `threshold`"),
        ("score_threshold", "use `threshold`, or `tmatch.compat.mtm`"),
        ("confidence", "use `threshold`, or `tmatch.compat.pyscreeze`"),
        ("rotation", "use `angles`"),
        ("rotations", "use `angles`"),
        ("angle", "use `angles`"),
        ("scale", "use `scales`"),
        ("pad_input", 'use `output`, as in output="same", or `tmatch.compat.skimage`'),
        ("mode", "use `output`"),
        ("N_object", "use `max_count`, or `tmatch.compat.mtm`"),
        ("maxOverlap", "use `max_overlap`, or `tmatch.compat.mtm`"),
        ("mask", "use `masks`"),
        ("treshold", "did you mean `threshold`?"),
    ],
)
def test_options_of_other_libraries_are_answered(guess, answer):
    for call in (locate, Matcher(GREY_PART).locate):
        if answer.split("`")[1] not in inspect.signature(call).parameters:
            continue
        with pytest.raises(TypeError) as caught:
            call(GREY, *[GREY_PART] * (call is locate), **{guess: 1})
        name = call.__qualname__
        known = [p.name for p in inspect.signature(call).parameters.values() if p.kind is p.KEYWORD_ONLY]
        expected = f"`{name}` has no option `{guess}` ({answer}); its options are {', '.join(known)}"
        assert str(caught.value) == expected


@each(
    "call, message",
    [
        (lambda: match_template(GREY, GREY_PART, confidence=1), "(use `threshold` of `tmatch.locate`, or "),
        (
            lambda: match_template(GREY, GREY_PART, masks=1),
            "`match_template` has no option `masks` (use `mask`); ",
        ),
        (lambda: Matcher(GREY_PART, workers=2), "`Matcher` has no option `workers`; its options are masks, "),
        (lambda: tmatch.correlate(GREY, GREY_PART, mode="same"), "(use `border` or `output`)"),
        (
            lambda: locate(GREY, GREY_PART, 0.8),
            "`locate` takes image and templates without names, and 3 are given; name all others, as in threshold=0.8",
        ),
        (
            lambda: match_template(GREY, GREY_PART, "ncc"),
            "`match_template` takes image and template without names, and 3 are given; name all others, as in "
            'metric="ncc"',
        ),
        (
            lambda: Matcher(GREY_PART).locate(GREY, 0.8),
            "`Matcher.locate` takes image without names, and 2 are given; name all others, as in threshold=0.8",
        ),
        (
            lambda: locate(image=GREY, templates=GREY_PART),
            "`locate` takes image and templates without names, and `image` is named; name all others, as in ",
        ),
    ],
)
def test_other_calls_are_answered(call, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        call()


def test_a_missing_array_and_an_error_within_are_told_as_ever():
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        locate(GREY)
    with pytest.raises(TypeError, match="^`image` has dtype complex128"):
        locate(GREY + 1j, GREY_PART)


LISTED = "`templates` lists images, but what is at 1 is of type {}; make an array of it, or a path"


@each(
    "templates, masks, error, message",
    [
        ([GREY_PART, 3], None, TypeError, LISTED.format("int")),
        ([GREY_PART, None], None, TypeError, LISTED.format("NoneType")),
        (
            {"a": [GREY_PART, [1, 2]]},
            None,
            TypeError,
            "`templates['a']` lists images, but what is at 1 is of type list; make an array of it, or a path",
        ),
        (
            [GREY_PART, OTHER],
            [OPAQUE],
            ValueError,
            "`masks` has 1 and `templates` 2; there must be as many, but may be None",
        ),
        (
            {"a": [GREY_PART, OTHER], "b": OTHER},
            {"a": OPAQUE},
            ValueError,
            '`masks` has 1 for the label "a", which has 2 templates; it must be a list of as many, with None for those '
            "that have no mask",
        ),
        (
            [GREY_PART, OTHER],
            OPAQUE,
            ValueError,
            "`masks` is one array, but `templates` has labels; give a mapping with these labels",
        ),
        (
            GREY_PART,
            [OPAQUE, OPAQUE],
            ValueError,
            "`masks` is a list, but `templates` is a single image; give one mask",
        ),
        (
            b"png",
            None,
            TypeError,
            "`template` is bytes; give a path or an open binary file, of bytes `io.BytesIO(...)`",
        ),
        (
            "https://example.org/a.png",
            None,
            ValueError,
            '`template` is the URL "https://example.org/a.png", and files alone are read: download it, and pass the '
            "path",
        ),
    ],
)
def test_templates_that_cannot_be_told_apart_are_refused(templates, masks, error, message):
    with pytest.raises(error) as caught:
        Matcher(templates, masks=masks)
    assert str(caught.value) == message


def test_maps_of_several_appearances_are_refused():
    matcher = Matcher({"button": [GREY_PART, OTHER]})
    text = 'label "button" has several templates, and a score map is of one; give each its own label'
    with pytest.raises(ValueError, match=f"^{text}$"):
        matcher.score(GREY)


NOTHING = "`template` has no pixel that counts; one must be opaque, not masked, and not 0 in `mask`"


@each(
    "image, template, options, message",
    [
        (COLOUR, np.where([[[True] * 3 + [False]]], CUT, 3), {}, NOTHING),
        (COLOUR, CUT, {"mask": ~OPAQUE}, NOTHING),
        (
            COLOUR,
            PART,
            {"channel_axis": "last"},
            "`channel_axis` is 'last'; it must be \"auto\", the number of an axis, or None",
        ),
        (
            COLOUR,
            CUT,
            {"mask": OPAQUE[1:]},
            "`mask` has shape (6, 9); it must have the template's: (7, 9), with or without channels",
        ),
        (
            SEEN,
            PART,
            {"image_mask": VALID[1:]},
            "`image_mask` has shape (29, 40); it must have the image's without channels: (30, 40)",
        ),
        (
            COLOUR,
            GREY_PART,
            {},
            "`template` has shape (7, 9) and `image` (30, 40, 3); they must have as many dimensions: make both grey, "
            "or both colour with channel_axis",
        ),
        (
            GREY,
            PART,
            {},
            "`template` has shape (7, 9, 3) and `image` (30, 40); they must have as many dimensions: make both grey, "
            "or both colour with channel_axis",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(image, template, options, message):
    text = f"^{re.escape(message)}$"
    with pytest.raises(ValueError, match=text):
        match_template(image, template, **options)
    masks = {"masks" if name == "mask" else name: value for name, value in options.items()}
    with pytest.raises(ValueError, match=text):
        best_match(image, template, **masks)


def test_one_template_is_explained_at_a_time():
    with pytest.raises(TypeError, match=r"^`template` is a list of images; explain one template at a time$"):
        explain(GREY, [GREY_PART, OTHER])


def test_robustness_needs_all_pixels():
    with pytest.raises(
        ValueError, match="^`image` has pixels that are transparent or masked; robustness distorts all"
    ):
        tmatch.robustness(SEEN, PART, kinds=["noise"], trials=1)
    box = tmatch.Box((8, 20), (7, 9))
    rows = [
        tmatch.robustness(*arrays, kinds={"gain": [1]}, box=box, threshold=0.9)
        for arrays in ((COLOUR, PART), (Image.fromarray(COLOUR), Image.fromarray(PART)))
    ]
    assert rows[0] == rows[1]


def test_a_folder_is_no_image():
    with pytest.raises(OSError, match='cannot read ".*": is a directory'):
        locate(GREY, Path(__file__).parent)
