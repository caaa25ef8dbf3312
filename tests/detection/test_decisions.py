"""What is found, and as what kind of match: laws, and planted truth."""

import functools

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

import tmatch
from tmatch import Box
from tmatch._search import stages
from tmatch.synthetic import make_clutter, make_scene


def letter(name, size=30):
    """A letter drawn in strokes: Q is O with a tail."""
    image = Image.new("L", (size, size), 20)
    pen, end = ImageDraw.Draw(image), size - 5
    pen.ellipse((4, 4, end, end), outline=220, width=4)
    if name == "Q":
        pen.line((end - 8, end - 8, end, end), fill=220, width=4)
    return np.asarray(image)


def plant(image, template, places):
    image = np.array(image, np.float64)
    for place in places:
        image[tuple(slice(p, p + n) for p, n in zip(place, template.shape, strict=True))] = template
    return image


def stripes(shape, period=8):
    rng = np.random.default_rng(5)
    return 128 + 40 * np.sin(np.arange(shape[-1]) * 2 * np.pi / period) + rng.normal(0, 12, shape)


def starts(matches):
    return {match.box.start for match in matches}


def kinds(matches):
    return {match.box.start: match.kind for match in matches}


# --- laws -----------------------------------------------------------------------------------------


@functools.cache
def scene(name):
    """An image, a template, and where it is."""
    rng = np.random.default_rng(3)
    if name == "clutter":
        places = [(20, 30), (90, 140), (150, 20)]
        template = make_clutter((24, 28), rng=rng)
        image = plant(make_clutter((200, 210), rng=rng), template, places)
        return image + rng.normal(0, 12, image.shape), template, places
    if name == "stripes":
        places = [(20, 30), (20, 100), (90, 140), (150, 20), (160, 100)]
        template = stripes((24, 32))
        return plant(rng.normal(128, 40, (200, 210)), template, places), template, places
    places = [(30, 30), (90, 50)]
    page = plant(np.full((150, 160), 20), letter("O"), [(30, 90), (100, 110)])
    return plant(page, letter("Q"), places) + rng.normal(0, 15, page.shape), letter("Q").astype(float), places


def flip(axis):
    return lambda array: np.flip(array, axis), lambda box, shape: moved_back(box, shape, axis)


def moved_back(box, shape, axis):
    start = list(box.start)
    start[axis] = shape[axis] - box.stop[axis]
    return Box(tuple(start), box.shape)


def same(box, _shape):
    return box


LAWS = {
    "scaling": (lambda array: 0.03 * array, same),
    "offset": (lambda array: array - 700, same),
    "negation": (np.negative, same),
    "transposition": (np.transpose, lambda box, _shape: Box(box.start[::-1], box.shape[::-1])),
    "up and down": flip(0),
    "left and right": flip(1),
}


@pytest.mark.one_engine
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", ["clutter", "stripes", "letters"])
def test_what_is_done_to_image_and_template_alike_changes_no_decision(name, law):
    image, template, places = scene(name)
    change, back = LAWS[law]
    found = tmatch.locate(image, template)
    assert {*places} <= starts(found)
    other = tmatch.locate(change(image), change(template))
    assert {back(m.box, image.shape): m.kind for m in other} == {m.box: m.kind for m in found}
    numbers = {back(m.box, image.shape): m.false_alarms for m in other}
    for match in found:  # cells begin elsewhere
        assert numbers[match.box] < 0.01
        if match.kind == "copy":
            assert np.log(numbers[match.box]) == pytest.approx(np.log(match.false_alarms), rel=0.1)


@pytest.mark.one_engine
@pytest.mark.parametrize("name", ["clutter", "stripes", "letters"])
def test_gain_and_offset_of_the_template_alone_change_nothing(name):
    image, template, _ = scene(name)
    found, other = tmatch.locate(image, template), tmatch.locate(image, 3 * template - 40)
    assert [(m.box, m.kind) for m in other] == [(m.box, m.kind) for m in found]
    assert [m.false_alarms for m in other] == pytest.approx([m.false_alarms for m in found], rel=0.011)


@pytest.mark.one_engine
@pytest.mark.parametrize("width", [3, 10])
@pytest.mark.parametrize("name", ["clutter", "stripes", "letters"])
def test_a_constant_border_changes_no_decision(name, width):
    image, template, _ = scene(name)
    found = tmatch.locate(image, template)
    other = tmatch.locate(np.pad(image, width, constant_values=np.median(image)), template)
    back = {tuple(np.subtract(m.box.start, width).tolist()): m for m in other}
    assert {start: m.kind for start, m in back.items()} == kinds(found)
    for match in found:
        number = back[match.box.start].false_alarms
        assert number < 0.01
        if match.kind == "copy":
            assert np.log(number) == pytest.approx(np.log(match.false_alarms), rel=0.1)


@pytest.mark.parametrize("block", [(30, 33), (60, 200)])
@pytest.mark.parametrize("name", ["clutter", "stripes"])
def test_tiles_and_workers_change_nothing(cut, name, block):
    image, template, _ = scene(name)
    pixels = tmatch.to_range(image), tmatch.to_range(template)
    for both in (pixels, (image, template)):
        found = tmatch.locate(*both)
        assert tmatch.locate(*both, workers=4) == found
        cut(block, 2)
        others = tmatch.locate(*both, workers=4)
        assert [(m.box, m.kind) for m in others] == [(m.box, m.kind) for m in found]
        assert [m.false_alarms for m in others] == pytest.approx([m.false_alarms for m in found], rel=0.05)
        assert tmatch.locate(*both, workers=1) == others


@pytest.mark.one_engine
def test_the_order_of_templates_changes_nothing():
    image, template, _ = scene("letters")
    templates = {"Q": template, "O": letter("O"), "other": make_clutter((20, 25), rng=1)}
    found = tmatch.locate(image, templates)
    assert tmatch.locate(image, dict(reversed(templates.items()))) == found
    assert {(m.box.start, m.label, m.kind) for m in found} == {
        ((30, 30), "Q", "copy"),
        ((90, 50), "Q", "copy"),
        ((30, 90), "O", "copy"),
        ((100, 110), "O", "copy"),
    }


@pytest.mark.one_engine
def test_threshold_and_false_alarms_mean_both():
    image, template, places = scene("clutter")
    faint = plant(image, template * 0.2 + 100, [(120, 60)])
    faint += np.random.default_rng(0).normal(0, 6, image.shape)
    found = tmatch.locate(faint, template, false_alarms=0.01)
    by_score = tmatch.locate(faint, template, threshold=0.3)
    assert starts(found) == {*places, (120, 60)}
    [low] = [m.score for m in found if m.box.start == (120, 60)]
    assert low < min(m.score for m in found if m.box.start != (120, 60))
    assert len(by_score) > len(found)
    assert starts(tmatch.locate(faint, template, threshold=0.3, false_alarms=0.01)) == starts(found)
    assert starts(tmatch.locate(faint, template, threshold=low + 0.01, false_alarms=0.01)) == {*places}
    assert tmatch.locate(faint, template, threshold=0.9999, false_alarms=0.01) == []


# --- planted truth --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_copies_of_a_striped_template_are_all_found(seed):
    rng = np.random.default_rng(seed)
    template = stripes((24, 32))
    cells = [(y, x) for y in range(5, 170, 40) for x in range(5, 170, 45)]
    places = {cells[i] for i in rng.permutation(len(cells))[:5]}
    image = plant(rng.normal(128, 40, (200, 210)), template, places)
    assert starts(tmatch.locate(image, template)) == places
    assert starts(tmatch.locate(tmatch.to_range(image), tmatch.to_range(template))) == places


@pytest.mark.parametrize("many", [1, 12, 20])
@pytest.mark.parametrize("seed", range(2))
def test_noisy_copies_are_all_found(many, seed):
    rng = np.random.default_rng([many, seed])
    template = make_clutter((24, 28), contrast=30, rng=rng)
    cells = [(y, x) for y in range(4, 220, 34) for x in range(4, 220, 38)]
    places = {cells[i] for i in rng.permutation(len(cells))[:many]}
    image = plant(make_clutter((250, 260), contrast=15, rng=rng), template, places)
    image += rng.normal(0, 40, image.shape)
    found = tmatch.locate(image, template)
    assert starts(found) == places
    assert np.mean([m.score for m in found]) == pytest.approx(0.6, abs=0.05)
    assert np.mean([m.expected_score for m in found]) == pytest.approx(0.6, abs=0.05)
    assert np.mean([m.kind == "copy" for m in found]) >= 0.9


@pytest.mark.parametrize("many", [1, 3, 12, 40])
@pytest.mark.parametrize("noise", [0, 15])
def test_many_copies_are_found_as_few_are(many, noise):
    rng = np.random.default_rng([many, noise])
    template = make_clutter((20, 22), rng=rng)
    cells = [(y, x) for y in range(3, 240, 26) for x in range(3, 240, 29)]
    places = {cells[i] for i in rng.permutation(len(cells))[:many]}
    image = plant(make_clutter((270, 280), rng=rng), template, places)
    found = tmatch.locate(image + rng.normal(0, noise, image.shape), template)
    assert starts(found) == places
    assert sum(m.kind == "copy" for m in found) >= 0.9 * many


@pytest.mark.parametrize("many", [2, 8, 25])
@pytest.mark.parametrize("seed", range(2))
def test_look_alikes_are_told_from_copies_that_differ(many, seed):
    """Copies differ from the template each in its own way, look-alikes all in the same way."""
    rng = np.random.default_rng([many, seed])

    def pattern():
        part = ndimage.gaussian_filter(rng.normal(size=(24, 28)), 1.5)
        return (part - part.mean()) / part.std()

    template, twist = pattern(), pattern()
    cells = [(y, x) for y in range(4, 320, 34) for x in range(4, 320, 38)]
    order = rng.permutation(len(cells))
    image = ndimage.gaussian_filter(rng.normal(size=(350, 350)), 1) * 2
    for i in order[:many]:
        image = plant(image, template + rng.uniform(0.3, 0.6) * pattern(), [cells[i]])
    image = plant(image, 0.75 * template + 0.66 * twist, [cells[i] for i in order[many : many + 30]])
    found = tmatch.locate(128 + 30 * image, 128 + 30 * template)
    assert starts(found) == {cells[i] for i in order[:many]}


@pytest.mark.parametrize("seed", range(3))
def test_members_of_a_group_are_found_wherever_cells_begin(seed):
    """A peak beside the border of a cell belongs to the group as well as others do."""
    rng = np.random.default_rng(seed)
    template = make_clutter((17, 19), rng=rng)
    places = [
        (y + int(rng.integers(5)), x + int(rng.integers(5)))
        for y in range(4, 270, 26)
        for x in range(4, 270, 29)
    ]
    image = make_clutter((300, 310), rng=rng)
    for place in places:
        differing = template + rng.uniform(0.3, 0.6) * make_clutter(template.shape, rng=rng)
        image = plant(image, differing, [place])
    assert starts(tmatch.locate(image, template)) == {*places}


@pytest.mark.one_engine
def test_faint_peaks_beside_a_copy_do_not_start_the_second_stage(monkeypatch):
    rng = np.random.default_rng(3)
    template = make_clutter((24, 28), rng=rng)
    image = plant(np.full((240, 250), 128.0), template, [(60, 70)])
    image[150:] = make_clutter((90, 250), rng=rng)
    image += rng.normal(0, 8, image.shape)

    def no_filter(*_args):
        pytest.fail("the second stage was searched")

    monkeypatch.setattr(stages, "filtered", no_filter)
    assert starts(tmatch.locate(image, template)) == {(60, 70)}


@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_wave_trains_of_a_signal_are_found(noise):
    rng = np.random.default_rng(7)
    time = np.arange(80)
    train = np.exp(-(((time - 40) / 18) ** 2)) * np.sin(2 * np.pi * time / 12)
    places = [(150,), (420,), (900,), (1600,), (1750,)]
    signal = plant(np.zeros(2000), train, places) + rng.normal(0, noise, 2000)
    assert starts(tmatch.locate(signal, train)) == {*places}
    assert tmatch.locate(rng.normal(0, noise, 2000), train) == []


@pytest.mark.one_engine
@pytest.mark.parametrize("noise", [0, 15])
@pytest.mark.parametrize("ground", ["flat", "clutter"])
@pytest.mark.parametrize("sought", ["O", "Q"])
def test_twins_are_alike_and_copies_are_copies(noise, ground, sought):
    rng = np.random.default_rng(8)
    page = np.full((220, 230), 20.0) if ground == "flat" else make_clutter((220, 230), rng=rng)
    places = {"O": [(20, 30), (60, 150)], "Q": [(120, 40), (160, 160)]}
    for name, each in places.items():
        page = plant(page, letter(name), each)
    page = tmatch.to_range(page + rng.normal(0, noise, page.shape))
    wanted = {place: "copy" if name == sought else "alike" for name, each in places.items() for place in each}
    found = kinds(tmatch.locate(page, letter(sought)))
    assert {place for place, kind in wanted.items() if kind == "copy"} <= set(found)
    assert found.items() <= wanted.items()
    assert kinds(tmatch.locate(page, letter(sought), threshold=0.6)).items() >= wanted.items()
    only = tmatch.locate(page, letter(sought), copies_only=True)
    assert kinds(only) == dict.fromkeys(places[sought], "copy")
    above = tmatch.locate(page, letter(sought), copies_only=True, threshold=0.6)
    assert starts(above) == {*places[sought]}


@pytest.mark.one_engine
def test_only_copies_are_found_of_what_is_rotated():
    rng = np.random.default_rng(9)
    template = make_clutter((26, 26), rng=rng)
    image = plant(make_clutter((200, 210), rng=rng), template, [(20, 30), (100, 120)])
    image = plant(image, template + 0.7 * make_clutter((26, 26), rng=rng), [(150, 30)])
    image += rng.normal(0, 8, image.shape)
    found = kinds(tmatch.locate(image, template))
    assert found == {(20, 30): "copy", (100, 120): "copy", (150, 30): "alike"}
    only = tmatch.locate(image, template, copies_only=True)
    assert kinds(only) == {(20, 30): "copy", (100, 120): "copy"}


@pytest.mark.parametrize("how", ["mask", "missing", "image mask"])
@pytest.mark.parametrize("name", ["clutter", "stripes", "letters"])
def test_masks_and_missing_pixels_keep_their_copies(name, how):
    image, template, places = scene(name)
    rng, options = np.random.default_rng(10), {}
    if how == "mask":
        centre = [(n - 1) / 2 for n in template.shape]
        y, x = np.mgrid[: template.shape[0], : template.shape[1]]
        disc = ((y - centre[0]) / (centre[0] + 1)) ** 2 + ((x - centre[1]) / (centre[1] + 1)) ** 2 <= 1
        options["masks"] = disc
        for place in places:
            part = Box(place, template.shape).slices
            image = image.copy()
            image[part] = np.where(disc, image[part], rng.normal(128, 60, template.shape))
    elif how == "missing":
        image, options = np.where(rng.random(image.shape) < 0.9, image, np.nan), {"missing": "ignore"}
    else:
        options["image_mask"] = rng.random(image.shape) < 0.9
        image = np.where(options["image_mask"], image, 1e4)
    found = kinds(tmatch.locate(image, template, **options))
    assert {place: found.get(place) for place in places} == dict.fromkeys(places, "copy")
    assert "copy" not in {kind for place, kind in found.items() if place not in places}


@pytest.mark.parametrize("means", ["separate", "joint"])
@pytest.mark.parametrize("axis", [0, 2])
def test_copies_in_colour_are_found(axis, means):
    rng = np.random.default_rng(11)
    template = np.stack([make_clutter((24, 28), rng=rng) for _ in range(3)])
    image = np.stack([make_clutter((180, 190), rng=rng) for _ in range(3)])
    places = [(20, 30), (90, 140), (140, 20)]
    for y, x in places:
        image[:, y : y + 24, x : x + 28] = template
    image += rng.normal(0, 20, image.shape)
    arrays = (np.moveaxis(tmatch.to_range(array), 0, axis) for array in (image, template))
    found = tmatch.locate(*arrays, channel_axis=axis, channel_means=means)
    assert kinds(found) == dict.fromkeys(places, "copy")


def test_a_volume_is_decided_like_an_image():
    rng = np.random.default_rng(12)
    template, image = rng.normal(0, 1, (8, 9, 7)), rng.normal(0, 1, (40, 42, 38))
    places = [(3, 5, 2), (20, 25, 28), (30, 8, 12)]
    image = plant(image, template, places) + rng.normal(0, 0.7, image.shape)
    assert kinds(tmatch.locate(image, template)) == dict.fromkeys(places, "copy")


@pytest.mark.one_engine
def test_scenes_keep_their_copies_whatever_their_contrast():
    rng = np.random.default_rng(13)
    template, places = make_clutter((26, 30), rng=rng), [(20, 30), (110, 120)]
    for gain in (0.3, 1, 2):
        image, boxes = make_scene(
            make_clutter((180, 190), rng=14), template, places, gain=gain, offset=10, noise=4, rng=rng
        )
        found = tmatch.locate(image, template)
        assert [*sorted(m.box.start for m in found)] == [box.start for box in boxes]
        assert {m.kind for m in found} == {"copy"}


def test_templates_of_one_direction_have_no_footprint():
    image = np.cumsum(np.random.default_rng(0).normal(size=30)).astype("f4")
    for start in range(14):
        template = image[start : start + 16]
        assert tmatch.locate(image, template, metric="orientation") is not None


@pytest.mark.one_engine
def test_texture_that_repeats_is_no_copy_of_a_patch_beside_it():
    """All of the image looks like noise: what little scores there are is no likeness hidden by it."""
    rng = np.random.default_rng(35)
    block = rng.integers(0, 255, (200, 6000)).astype(np.uint8)
    image = np.concatenate([np.roll(block, int(rng.integers(6000)), axis=1) ^ np.uint8(i) for i in range(30)])
    patch = rng.integers(0, 255, (64, 64)).astype(np.uint8)
    image[1200:1264, 700:764] = patch
    assert starts(tmatch.locate(image, patch)) == {(1200, 700)}


@pytest.mark.parametrize("noise", [20, 40])
def test_the_template_with_the_higher_score_has_the_label(noise):
    rng = np.random.default_rng(noise)
    names = {(y, x): "OQ"[int(rng.integers(2))] for y in range(4, 270, 34) for x in range(4, 270, 34)}
    image = np.full((310, 310), 20.0)
    for place, name in names.items():
        image = plant(image, letter(name), [place])
    found = tmatch.locate(image + rng.normal(0, noise, image.shape), {name: letter(name) for name in "OQ"})
    assert {m.box.start: m.label for m in found} == names


@pytest.mark.one_engine
def test_noise_is_no_copy_whatever_is_accepted():
    noise = np.random.default_rng(0).normal(128, 20, (120, 120))
    assert {m.kind for m in tmatch.locate(noise, letter("O", 20), threshold=0.1)} == {"alike"}
    assert tmatch.locate(noise, letter("O", 20), threshold=0.1, copies_only=True) == []
    assert tmatch.best_match(noise, letter("O", 20)).kind == "alike"
