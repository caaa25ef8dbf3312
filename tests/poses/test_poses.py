"""Objects that are rotated, of another size or mirrored: drawn ones are found, with the score that the oracle gives."""

import functools
import math
from dataclasses import replace

import numpy as np
import pytest

import oracle
import tmatch
from loops import each
from pose_scenes import (
    FINE,
    KINDS,
    LONG,
    Kind,
    Placed,
    absent_scene,
    block_means,
    draw,
    expose,
    finer,
    ground_of,
    make_scene,
    nearest,
    off_by,
    template_of,
    wrapped,
)

OBJECT = Kind("raccoon", (260, 640), (40, 48))
SCALES = (0.8, 1.25)
SCENE = functools.cache(lambda seed=0, **options: make_scene(OBJECT, np.random.default_rng(seed), **options))


def locate(scene, **options):
    channels = {"channel_axis": 2} if scene.image.ndim == 3 else {}
    return tmatch.locate(
        scene.image, scene.template, **{"angles": "all", "threshold": 0.8, **channels, **options}
    )


def sought_in(options):
    """The poses among the options of a scene."""
    return {name: options[name] for name in ("angles", "scales", "flips") if name in options}


def ground(seed, shape=(150, 160)):
    return ground_of(np.random.default_rng(seed), "raccoon", shape)[0]


def drawn(*placed, kind=OBJECT, ground_seed=0, shape=(150, 160), **camera):
    """An image of objects at given poses."""
    scene = ground(ground_seed, shape)
    for where in placed:
        draw(scene, finer(kind), where)
    return expose(scene, np.random.default_rng(0), **camera)


def assert_found(matches, placed, pixels=0.1, degrees=0.5, scale=0.01):
    """Every object is found, and nothing else; the parts of the pose that are off by more are told together."""
    assert len(matches) == len(placed)
    for where in placed:
        rows, columns, angle, size = off_by(nearest(matches, where), where)
        assert max(abs(rows), abs(columns)) < pixels, (rows, columns)
        assert (abs(angle) < degrees, abs(size) < scale) == (True, True), (angle, size)
        assert nearest(matches, where).flip == where.flip


# --- equals the oracle ----------------------------------------------------------------------------


ORACLE_CASES = {
    "angles": {"seed": 1, "shape": (90, 100), "sigma": 10},
    "all poses": {"seed": 2, "shape": (110, 120), "angles": (100, 160), "scales": SCALES, "flips": True},
    "colour": {"seed": 3, "shape": (90, 100), "colour": True},
    "uint16": {"seed": 4, "shape": (90, 100), "dtype": "u2"},
    "float64": {"seed": 5, "shape": (90, 100), "dtype": "f8", "sigma": 5},
}


@pytest.mark.parametrize("case", ORACLE_CASES)
def test_scores_are_those_of_their_poses(case):
    scene = SCENE(**ORACLE_CASES[case])
    [match] = locate(scene, **sought_in(ORACLE_CASES[case]))
    expected = oracle.posed_score(
        scene.image, scene.template, None, match.center, match.angle, match.scale, match.flip,
        channel_axis=2 if case == "colour" else None,
    )  # fmt: skip
    assert match.score == pytest.approx(expected, abs=1e-6)


def test_the_score_with_a_mask_and_missing_pixels_is_that_of_the_pixels_that_count():
    image, template, mask, where = masked()
    image = image.copy()
    image[int(where.center[0]) : int(where.center[0]) + 3, int(where.center[1]) :] = np.nan
    [match] = tmatch.locate(image, template, angles="all", masks=mask, missing="ignore", threshold=0.8)
    expected = oracle.posed_score(image, template, mask, match.center, match.angle)
    assert match.score == pytest.approx(expected, abs=1e-6)
    assert_found([match], [where], degrees=1)


@functools.cache
def masked():
    """A template of which the left part counts, and the rest is something else."""
    mask = np.broadcast_to(np.arange(48) < 34, OBJECT.shape).copy()
    scene, where = ground(5, (90, 100)), Placed((44.3, 51.8), -117.0)
    draw(scene, finer(OBJECT), where, counts=mask.repeat(FINE, axis=0).repeat(FINE, axis=1))
    template = block_means(finer(OBJECT))
    template[~mask] = np.random.default_rng(0).normal(128, 200, (~mask).sum())
    return expose(scene, np.random.default_rng(1), sigma=3, dtype="f8"), template, mask, where


# --- planted truth --------------------------------------------------------------------------------


PLANTED = {
    "rotated": {},
    "scaled": {"angles": (-20, 20), "scales": SCALES},
    "mirrored": {"flips": True},
    "all": {"angles": (150, 210), "scales": SCALES, "flips": True},
    "noise": {"sigma": 15},
    "gain and offset": {"gain": 0.4, "offset": 90},
    "negative offset in float32": {"gain": 3, "offset": -2000, "dtype": "f4"},
    "uint16": {"dtype": "u2"},
    "colour": {"colour": True},
}


@pytest.mark.parametrize("case", PLANTED)
def test_drawn_objects_are_found_where_they_are(case):
    options = PLANTED[case]
    scene = SCENE(seed=6, shape=(150, 190), count=2, **options)
    assert_found(locate(scene, **sought_in(options)), scene.placed, degrees=1 if case == "noise" else 0.5)


@pytest.mark.one_engine
def test_without_flips_a_mirrored_object_is_not_found():
    where = Placed((70.2, 80.4), 50.0, flip=True)
    image, template, options = drawn(where), template_of(OBJECT), {"angles": (30, 70), "threshold": 0.8}
    assert tmatch.locate(image, template, **options) == []
    assert_found(tmatch.locate(image, template, flips=True, **options), [where])


@pytest.mark.one_engine
def test_objects_between_pixels_of_the_coarse_level_are_found():
    kind = KINDS["brick"]._replace(
        shape=(37, 27)
    )  # one thin line: higher scores beside the object, on the line
    scene = make_scene(kind, np.random.default_rng(12), shape=(110, 120), sigma=5)
    assert_found(locate(scene), scene.placed)


@pytest.mark.one_engine
def test_the_pose_that_fits_best_is_found_though_others_fit_better_on_the_coarse_level():
    scene = make_scene(KINDS["crater"], np.random.default_rng(17), shape=(112, 112), scales=SCALES, sigma=2)
    best = tmatch.best_match(scene.image, scene.template, angles="all", scales=SCALES)
    assert_found([best], scene.placed)


@pytest.mark.one_engine
@pytest.mark.parametrize("seed", [4, 5])
def test_nearly_symmetric_objects_are_told_from_their_mirror_images(seed):
    kind = KINDS["brick"]._replace(shape=(45, 35))
    scene = make_scene(kind, np.random.default_rng(seed), shape=(110, 120), flips=True, sigma=5)
    assert_found([tmatch.best_match(scene.image, scene.template, angles="all", flips=True)], scene.placed)
    assert_found(locate(scene, flips=True), scene.placed)


@pytest.mark.one_engine
def test_objects_at_the_border_are_found_at_every_scale():
    template = template_of(OBJECT)
    for scale in (0.6, 1.6):
        where = Placed((0, 0), 25.0, scale)
        reach = -where.outline(OBJECT.shape).min(axis=0) - 0.5  # the outline touches the upper left border
        for center in (reach, np.subtract((149, 159), reach)):
            where = where._replace(center=tuple(center.tolist()))
            image = drawn(where, ground_seed=1)
            found = tmatch.locate(image, template, angles=(15, 40), scales=(0.6, 1.6), threshold=0.8)
            assert_found(found, [where], degrees=1, scale=0.02)


@pytest.mark.one_engine
def test_touching_turned_objects_are_all_found_though_their_boxes_overlap():
    kind = Kind("coffee", (100, 100), (16, 64))
    across = np.array([math.cos(math.radians(45)), math.sin(math.radians(45))])
    placed = [Placed(tuple((70, 75) + 16.0 * k * across), 45.0) for k in (-1, 0, 1)]
    matches = tmatch.locate(drawn(*placed, kind=kind), template_of(kind), angles="all", threshold=0.8)
    assert_found(matches, placed)
    assert tmatch.iou(matches[0].box, matches[1].box) > 0.3


@pytest.mark.parametrize(("name", "angles"), [("coffee 3:1", (-180, 180)), ("brick 6:1", (85, 105))])
def test_long_templates_are_found(name, angles):
    scene = make_scene(LONG[name], np.random.default_rng(2), shape=(130, 140), angles=angles)
    assert_found(locate(scene, angles=angles), scene.placed)


@pytest.mark.one_engine
def test_a_card_that_is_the_same_after_half_a_turn_is_found_once():
    half = finer(OBJECT)
    card = np.concatenate([half, half[::-1, ::-1]], axis=1)
    where = Placed((75.3, 80.1), 20.0)
    scene = ground(2)
    draw(scene, card, where)
    [match] = tmatch.locate(expose(scene), expose(block_means(card)), angles="all", threshold=0.8)
    assert match.center == pytest.approx(where.center, abs=0.1)
    assert min(abs(wrapped(match.angle - a)) for a in (20, 200)) < 0.5
    assert match.errors.angle < 0.5


@pytest.mark.one_engine
def test_cards_that_differ_in_a_corner_tell_which_side_is_up():
    half = finer(OBJECT)
    card = np.concatenate([half, half[::-1, ::-1]], axis=1)
    card[:48, :48] = 255 - card[:48, :48]
    for angle in (20.0, -160.0):
        scene, where = ground(2), Placed((75.3, 80.1), angle)
        draw(scene, card, where)
        matches = tmatch.locate(expose(scene), expose(block_means(card)), angles="all", threshold=0.8)
        assert_found(matches, [where])


@pytest.mark.one_engine
def test_a_disc_has_no_angle():
    distance = np.hypot(*(np.mgrid[:128, :128] - 63.5))
    fine = np.where(distance < 40, 220.0, 0.0) + np.where(distance < 20, -150.0, 60.0)
    scene = np.full((120, 130), 60.0)
    draw(scene, fine, Placed((61.2, 55.7), 10.0))
    image = expose(scene, np.random.default_rng(0), sigma=5)
    [match] = tmatch.locate(image, expose(block_means(fine)), angles="all", threshold=0.8)
    assert match.center == pytest.approx((61.2, 55.7), abs=0.1)
    assert match.errors.angle is None
    assert max(match.errors.center) < 0.1


@pytest.mark.one_engine
def test_a_square_is_found_once_at_one_of_its_four_angles():
    fine = np.full((128, 128), 40.0)
    fine[24:104, 24:104] = 200
    scene = np.full((120, 130), 40.0)
    draw(scene, fine, Placed((61.2, 55.7), 31.0))
    image = expose(scene, np.random.default_rng(0), sigma=5)
    [match] = tmatch.locate(image, expose(block_means(fine)), angles="all", threshold=0.8)
    assert match.center == pytest.approx((61.2, 55.7), abs=0.1)
    assert match.angle % 90 == pytest.approx(31, abs=0.5)


def test_masks_turn_with_their_templates():
    image, template, mask, where = masked()
    assert_found(tmatch.locate(image, template, angles="all", masks=mask, threshold=0.8), [where])
    assert tmatch.locate(image, template, angles="all", threshold=0.8) == []


def test_missing_pixels_are_left_out():
    scene = SCENE(seed=7, shape=(120, 130), dtype="f4")
    [where] = scene.placed
    image = scene.image.copy()
    row, column = map(round, where.center)
    image[row - 20 : row - 6, column - 20 : column - 6] = np.nan
    image[:3] = np.nan
    matches = tmatch.locate(image, scene.template, angles="all", threshold=0.8, missing="ignore")
    assert_found(matches, [where], degrees=1)
    counts = ~np.isnan(image)
    again = tmatch.locate(
        np.nan_to_num(image, nan=1e6), scene.template, angles="all", threshold=0.8, image_mask=counts
    )
    assert_found(again, [where], degrees=1)


def test_templates_too_fine_for_a_coarser_level_are_found_at_full_size():
    rng = np.random.default_rng(0)
    fine = (
        rng.normal(128, 60, (24, 24)).repeat(FINE, axis=0).repeat(FINE, axis=1)
    )  # each pixel is another grey
    where, scene = Placed((40.3, 50.9), 77.0), ground(3, (90, 100))
    draw(scene, fine, where)
    assert_found(tmatch.locate(expose(scene), block_means(fine), angles="all", threshold=0.6), [where])


def test_small_templates_are_found():
    kind = OBJECT._replace(shape=(9, 11))
    scene = make_scene(kind, np.random.default_rng(1), shape=(60, 70))
    [match] = locate(scene, max_count=1)
    assert_found([match], scene.placed, degrees=4, pixels=0.2)


def test_scales_at_which_the_template_does_not_fit_are_left_out():
    kind = OBJECT._replace(shape=(40, 60))
    where = Placed((45.4, 50.2), 0.0, 0.8)
    image = drawn(where, kind=kind, shape=(90, 100))
    assert_found(tmatch.locate(image, template_of(kind), scales=(0.6, 3), threshold=0.8), [where])


# --- which poses are searched ---------------------------------------------------------------------


@pytest.mark.one_engine
@each("angle, angles, found", [
    (100.0, (-30, 30), False), (100.0, (90, 110), True), (178.0, (170, 190), True), (-175.0, (170, 190), True),
    (-175.0, (-190, -170), True), (160.0, (170, 190), False), (37.0, [10, 37], True), (37.0, [10, 90], False),
    (-143.0, [217], True),
])  # fmt: skip
def test_only_angles_that_are_asked_for_are_found(angle, angles, found):
    where = Placed((70.2, 80.4), angle)
    matches = tmatch.locate(drawn(where), template_of(OBJECT), angles=angles, threshold=0.8)
    assert_found(matches, [where] if found else [], degrees=1)
    assert all(-180 < match.angle <= 180 for match in matches)


@pytest.mark.one_engine
@each(
    "scales, found",
    [((0.5, 0.8), False), ((0.8, 1.5), True), ([0.7, 1.2], True), ([0.8, 2], False), (None, False)],
)
def test_only_scales_that_are_asked_for_are_found(scales, found):
    where = Placed((70.2, 80.4), 0.0, 1.2)
    options = {} if scales is None else {"scales": scales}
    matches = tmatch.locate(drawn(where), template_of(OBJECT), threshold=0.95, **options)
    assert_found(matches, [where] if found else [])


@pytest.mark.one_engine
def test_listed_poses_are_kept_as_they_are():
    where = Placed((70.2, 80.4), 37.4, 1.1)
    [match] = tmatch.locate(
        drawn(where), template_of(OBJECT), angles=[0, 37.4], scales=[1.1, 2], threshold=0.8
    )
    assert (match.angle, match.scale) == (pytest.approx(37.4), pytest.approx(1.1))
    assert match.errors.angle is None
    assert match.errors.scale is None
    assert match.center == pytest.approx(where.center, abs=0.1)


@pytest.mark.one_engine
def test_every_label_is_found_in_its_pose_whatever_the_order():
    other = Kind("coins", (20, 20), (40, 40))
    first, second, scene = Placed((40.3, 44.1), 70.0), Placed((105.6, 110.2), -140.0), ground(2)
    draw(scene, finer(OBJECT), first)
    draw(scene, finer(other), second)
    image, templates = expose(scene), {"eye": template_of(OBJECT), "coin": template_of(other)}
    matches = tmatch.locate(image, templates, angles="all", threshold=0.8)
    assert {match.label for match in matches} == {"eye", "coin"}
    assert_found([m for m in matches if m.label == "eye"], [first])
    assert_found([m for m in matches if m.label == "coin"], [second])
    again = tmatch.locate(image, dict(reversed(templates.items())), angles="all", threshold=0.8)
    assert again == matches


# --- what a match says ----------------------------------------------------------------------------


@pytest.mark.one_engine
def test_a_match_has_the_outline_of_the_turned_template():
    where = Placed((70.25, 80.4), 130.0, 1.2, flip=True)
    [match] = tmatch.locate(
        drawn(where), template_of(OBJECT), angles="all", scales=SCALES, flips=True, threshold=0.8
    )
    corners = np.array(match.corners)
    np.testing.assert_allclose(corners, where.outline(OBJECT.shape), atol=0.3)
    found = Placed(match.center, match.angle, match.scale, match.flip).outline(match.template_shape)
    np.testing.assert_allclose(corners, found, atol=1e-9)
    assert match.box.start == tuple(np.floor(corners.min(axis=0) + 0.5))
    assert match.box.stop == tuple(np.ceil(corners.max(axis=0) + 0.5))
    assert match.center == pytest.approx(np.add(match.box.center, match.offset), abs=1e-12)
    assert match.template_shape == OBJECT.shape


@pytest.mark.one_engine
def test_errors_are_as_large_as_they_are_said_to_be():
    parts, angles, scales = [], (-20, 20), (0.9, 1.1)
    for seed in range(12):
        scene = SCENE(seed=seed, shape=(90, 90), sigma=25, angles=angles, scales=scales)
        match = tmatch.best_match(scene.image, scene.template, angles=angles, scales=scales)
        rows, columns, angle, size = off_by(match, scene.placed[0])
        errors = match.errors
        said = *errors.center, errors.angle, errors.scale / match.scale
        parts.append(np.divide((rows, columns, angle, size), said))
    assert np.sqrt(np.mean(np.square(parts))) == pytest.approx(1, abs=0.35)  # 48 of a bell: 0.1 is one sigma
    assert np.abs(parts).max() < 4


LEAST_KNOWN = {
    "letters": KINDS["letters"],
    "other letters": Kind("page", (20, 200), (24, 36)),
    "bricks": KINDS["brick"],
    "tripod": KINDS["tripod"],
    "small": Kind("page", (40, 100), (10, 11)),
}


@pytest.mark.one_engine
@each("sigma", [0, 10])
@each("name", LEAST_KNOWN)
def test_errors_tell_what_is_lost_between_the_pixels_of_a_template(name, sigma):
    kind, inside = LEAST_KNOWN[name], []
    for seed in range(40):
        scene = make_scene(
            kind, np.random.default_rng(seed), shape=(80, 80), sigma=sigma, angles=(0, 0), dtype="f4"
        )
        match = tmatch.best_match(scene.image, scene.template, subpixel=True)
        beside = np.abs(off_by(match, scene.placed[0])[:2])
        inside.append(beside <= 1.96 * np.array(match.errors.center))
    assert np.mean(inside) >= 0.88  # 80 of 95 %: it is less in one of a hundred cases


@pytest.mark.one_engine
def test_errors_are_small_where_pixels_lie_on_pixels():
    where = Placed((70.5, 80.5))
    kind = KINDS["letters"]
    image, template = drawn(where, kind=kind), template_of(kind)
    on = tmatch.best_match(image, template, subpixel=True)
    beside = tmatch.best_match(drawn(Placed((70.8, 80.9)), kind=kind), template, subpixel=True)
    assert on.score == pytest.approx(1, abs=1e-4)
    assert max(on.errors.center) < 0.01
    assert max(beside.errors.center) > 0.03


def test_upright_places_are_refined_where_that_is_asked_for():
    where = Placed((70.31, 80.44))
    image, template = drawn(where, sigma=5), template_of(OBJECT)
    [whole] = tmatch.locate(image, template)
    [refined] = tmatch.locate(image, template, subpixel=True)
    assert whole.offset == ()
    assert refined.center == pytest.approx(where.center, abs=0.05)
    assert max(refined.errors.center) < 0.05
    assert (refined.errors.angle, refined.errors.scale) == (None, None)
    assert replace(refined, offset=(), errors=None) == whole


# --- the decision ---------------------------------------------------------------------------------


@pytest.mark.one_engine
def test_objects_in_noise_are_told_from_chance():
    scene = make_scene(KINDS["face"], np.random.default_rng(3), shape=(200, 220), sigma=25)
    matches = tmatch.locate(scene.image, scene.template, angles="all")
    assert_found(matches, scene.placed, pixels=0.3, degrees=2)
    assert matches[0].false_alarms < 0.01


@pytest.mark.one_engine
def test_absent_objects_are_not_found():
    for seed, name in enumerate(("face", "coin")):
        scene = absent_scene(KINDS[name], np.random.default_rng(seed), (200, 220))
        assert tmatch.locate(scene.image, scene.template, angles="all") == []


@pytest.mark.one_engine
@each("flip", [False, True])
def test_orientations_are_searched_in_listed_poses(flip):
    """Light that slopes does not matter to gradients; they turn with the template."""
    where = Placed((70.2, 80.4), 37, 1.0, flip)
    lit = drawn(where) * np.linspace(0.3, 1, drawn(where).shape[1])
    options = {"metric": "orientation", "angles": (20, 50), "flips": True}
    [match] = tmatch.locate(lit, template_of(OBJECT), **options)
    assert_found([match], [where], pixels=1, degrees=4)
    assert match.flip == flip
    assert match.errors is None
