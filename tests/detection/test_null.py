"""What does not belong to the null distribution: copies, their side lobes, groups; and how it is known."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scipy import ndimage

import tmatch
from profiles import examples
from tmatch._detection.collector import null_of
from tmatch._detection.false_alarms import CERTAIN
from tmatch._detection.null import explained, groups
from tmatch._detection.null.footprint import Footprint
from tmatch._detection.null.noise import noise_levels
from tmatch._detection.null.residual import residuals, window_variances
from tmatch._detection.null.summary import SummaryBuilder
from tmatch._scoring.image import prepare_image
from tmatch._scoring.metrics import ScoringOptions
from tmatch._scoring.search import comparable, pair
from tmatch._scoring.template import prepare_template
from tmatch.synthetic import make_clutter

N_COPIES = 400


def search_of(image, template, *, mask=None, image_mask=None, **options):
    options = ScoringOptions(**options)
    return comparable(
        pair(prepare_image(image, image_mask, options), prepare_template(template, mask, options))
    )


def row_of(windows):
    """One image of many windows, side by side on the last spatial axis, and their positions; channels come last."""
    side = windows[0].shape[-1]
    image = np.concatenate(windows, axis=-1)
    positions = np.zeros((len(windows), image.ndim), np.intp)
    positions[:, -1] = np.arange(len(windows)) * side
    return image, positions


def letter(name, size=30):
    """A letter drawn in strokes."""
    image = Image.new("L", (size, size), 20)
    pen, end = ImageDraw.Draw(image), size - 5
    if name in "OQ":
        pen.ellipse((4, 4, end, end), outline=220, width=4)
    if name == "Q":
        pen.line((end - 8, end - 8, end, end), fill=220, width=4)
    if name == "H":
        pen.line((6, 4, 6, end), fill=220, width=4)
        pen.line((end - 2, 4, end - 2, end), fill=220, width=4)
        pen.line((6, size // 2, end - 2, size // 2), fill=220, width=4)
    return np.asarray(image, np.float64)


def stripes(shape, period=8):
    """A textured grating."""
    rng = np.random.default_rng(5)
    return 128 + 40 * np.sin(np.arange(shape[-1]) * 2 * np.pi / period) + rng.normal(0, 12, shape)


# --- residuals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(20, 23), (36, 36), (150,), (9, 8, 9)], ids=str)
@pytest.mark.parametrize("kind", ["plain", "gain and offset", "mask", "invalid pixels"])
def test_copies_in_white_noise_leave_white_noise(shape, kind):
    rng = np.random.default_rng([*shape, len(kind)])
    template = ndimage.gaussian_filter(rng.normal(size=shape), 1) * 60
    gains, offsets = (
        (rng.uniform(0.5, 3, N_COPIES), rng.normal(0, 50, N_COPIES))
        if kind == "gain and offset"
        else (np.ones(N_COPIES), np.zeros(N_COPIES))
    )
    windows = [g * template + o + rng.normal(0, 10, shape) for g, o in zip(gains, offsets, strict=True)]
    mask = image_mask = None
    if kind == "mask":
        mask = rng.random(shape) < 0.8
        windows = [np.where(mask, each, rng.normal(0, 300, shape)) for each in windows]
    image, positions = row_of(windows)
    if kind == "invalid pixels":
        image_mask = rng.random(image.shape) < 0.9
        image = np.where(image_mask, image, 1e4)
    left = residuals(search_of(image, template, mask=mask, image_mask=image_mask), positions)
    assert left.white.mean() >= 0.975
    if shape == (36, 36):  # large enough for blocks of both sizes
        assert left.white.mean() < 1
    assert left.level[left.white].all()
    assert left.left.mean() == pytest.approx(100, rel=0.03)


@pytest.mark.parametrize("means", ["separate", "joint"])
def test_copies_in_colour_leave_white_noise(means):
    rng = np.random.default_rng(3)
    template = ndimage.gaussian_filter(rng.normal(size=(3, 20, 22)), (0, 1, 1)) * 60
    image, positions = row_of([template + rng.normal(0, 10, template.shape) for _ in range(N_COPIES)])
    left = residuals(search_of(image, template, channel_axis=0, channel_means=means), positions[:, 1:])
    assert left.white.mean() >= 0.975
    assert left.left.mean() == pytest.approx(100, rel=0.03)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("offset", [0, 60_000])
def test_where_nothing_is_left_nothing_of_the_image_is(sign, offset):
    rng = np.random.default_rng(8)
    template, image = rng.integers(0, 256, (9, 11)), rng.integers(0, 256, (60, 60))
    image[20:29, 30:41] = template if sign > 0 else 255 - template
    left = residuals(
        search_of((image + offset).astype(np.uint16), template.astype(np.uint8)), np.array([[20, 30]])
    )
    assert left.left[0] < 1e-12
    assert left.white[0]
    assert left.level[0]


def test_a_slope_of_light_is_level_but_not_white_and_another_letter_is_neither():
    rng = np.random.default_rng(4)
    o, h = letter("O"), letter("H")
    light = np.add.outer(np.linspace(-20, 20, 30), np.linspace(-15, 15, 30))
    kinds = {"copy": o, "slope": o + light, "other": h, "nothing": np.full(o.shape, 90.0)}
    left = {}
    for name, clean in kinds.items():
        image, positions = row_of([clean + rng.normal(0, 10, clean.shape) for _ in range(100)])
        left[name] = residuals(search_of(image, o), positions, slopes=True)
    assert left["copy"].white.mean() >= 0.95
    assert not left["slope"].white.any()
    assert left["slope"].level.mean() >= 0.95
    assert not left["other"].white.any()
    assert not left["other"].level.any()
    assert left["copy"].likeness.min() > 0.9
    assert left["other"].likeness.max() < 0.8
    assert left["nothing"].white.mean() >= 0.95  # flat ground leaves noise as well, but it is not alike
    assert left["nothing"].likeness.max() < 0.6


@pytest.mark.parametrize("noise", [1, 10, 40])
def test_likeness_is_a_lower_bound(noise):
    rng = np.random.default_rng(noise)
    template = letter("Q")
    image, positions = row_of([template + rng.normal(0, noise, template.shape) for _ in range(50)])
    likeness = residuals(search_of(image, template), positions).likeness
    assert (0.9 if noise <= 10 else 0.75) < likeness.min() <= likeness.max() < 1


@pytest.mark.parametrize("shape", [(9, 12), (60,), (5, 6, 7)], ids=str)
def test_what_is_left_is_that_of_least_squares(shape):
    rng = np.random.default_rng(7)
    image, template = rng.normal(100, 30, [3 * n for n in shape]), rng.normal(0, 50, shape)
    positions = rng.integers(0, [2 * n for n in shape], (20, len(shape)))
    search = search_of(image, template)
    left = residuals(search, positions)
    scores = tmatch.match_template(image, template)
    for i, position in enumerate(positions):
        window = image[tuple(slice(p, p + n) for p, n in zip(position, shape, strict=True))].ravel()
        model = np.stack([template.ravel(), np.ones(template.size)], axis=1)
        rest = window - model @ np.linalg.lstsq(model, window)[0]
        assert left.left[i] == pytest.approx(np.mean(rest**2), rel=1e-9)
        assert left.variance[i] == pytest.approx(window.var(), rel=1e-9)
        assert left.score[i] == pytest.approx(scores[tuple(position)], abs=1e-6)
    np.testing.assert_allclose(window_variances(search, positions), left.variance, rtol=1e-6)


def test_huge_and_tiny_pixels_leave_the_same():
    rng = np.random.default_rng(8)
    template = letter("O")
    image, positions = row_of([template + rng.normal(0, 10, template.shape) for _ in range(20)])
    wanted = residuals(search_of(image, template), positions)
    for scale in (2.0**-600, 2.0**600):
        left = residuals(search_of(scale * image, scale * template), positions)
        np.testing.assert_array_equal(left.white, wanted.white)
        np.testing.assert_allclose(left.likeness, wanted.likeness, rtol=1e-9)


def test_engines_leave_the_same(monkeypatch):
    pytest.importorskip("numba")
    rng = np.random.default_rng(9)
    image, template = rng.normal(100, 30, (60, 70)), rng.normal(0, 50, (12, 15))
    positions = rng.integers(0, (49, 56), (60, 2))
    left = []
    for name in ("numpy", "numba"):
        monkeypatch.setenv("TMATCH_ENGINE", name)
        left.append(residuals(search_of(image, template), positions))
    for name in ("white", "level"):
        np.testing.assert_array_equal(getattr(left[0], name), getattr(left[1], name))
    for name in ("variance", "left", "likeness", "pixels", "score"):
        np.testing.assert_allclose(getattr(left[0], name), getattr(left[1], name), rtol=1e-9)


# --- noise ----------------------------------------------------------------------------------------


@pytest.mark.engine_free
@pytest.mark.parametrize("shape", [(300, 280), (5000,), (40, 45, 50)], ids=str)
def test_levels_of_white_noise_are_its_variance(shape):
    rng = np.random.default_rng(10)
    image = rng.normal(100, 12, shape)
    template = image[tuple(slice(0, 8) for _ in shape)]
    levels = noise_levels(search_of(image, template))
    assert levels.white == pytest.approx(tmatch.estimate_noise(image) ** 2, rel=0.1)
    assert levels.white <= levels.any <= 1.1 * 144
    valid = rng.random(shape) < 0.97
    gaps = np.where(valid, image, np.nan)
    assert noise_levels(search_of(gaps, template, missing="ignore")).white == pytest.approx(144, rel=0.1)
    assert noise_levels(search_of(image, template, image_mask=valid)).white == pytest.approx(144, rel=0.1)


@pytest.mark.engine_free
def test_levels_of_colour_are_averaged_by_weight():
    rng = np.random.default_rng(11)
    image = np.stack([rng.normal(100, s, (200, 200)) for s in (5, 10, 20)])
    template = image[:, :12, :12]
    assert noise_levels(search_of(image, template, channel_axis=0)).white == pytest.approx(175, rel=0.1)
    weighted = search_of(image, template, channel_axis=0, channel_weights=[1, 1, 0])
    assert noise_levels(weighted).white == pytest.approx(62.5, rel=0.1)


@pytest.mark.engine_free
def test_drawn_images_have_no_noise():
    page = np.full((200, 220), 240, np.uint8)
    page[20:50, 30:60] = letter("O")
    page[90:120, 100:130] = letter("H")
    levels = noise_levels(search_of(page, letter("O").astype(np.uint8)))
    assert levels.white == levels.any == 0


@pytest.mark.engine_free
def test_noise_that_is_not_white_is_noise_of_any_kind():
    rng = np.random.default_rng(12)
    image = ndimage.gaussian_filter(rng.normal(size=(200, 200)), 1.5)
    levels = noise_levels(search_of(image, image[:40, :40]))
    assert levels.white < 0.1 * image.var()
    assert 0.25 * image.var() < levels.any < 1.1 * image.var()


# --- footprint ------------------------------------------------------------------------------------


def footprint_of(template):
    template = np.asarray(template, np.float64)
    return Footprint([template], [np.ones(template.shape)])


@pytest.mark.parametrize("ground", ["mean", "rim"])
@pytest.mark.parametrize("shape", [(20, 24), (60,), (7, 8, 9)], ids=str)
def test_footprint_equals_scores_around_a_copy_on_flat_ground(shape, ground):
    rng = np.random.default_rng(13)
    template = stripes(shape) + ndimage.gaussian_filter(rng.normal(0, 200, shape), 2)
    template[tuple(slice(2, -2) for _ in shape)] += 60
    inner = np.ones(shape, bool)
    inner[tuple(slice(1, -1) for _ in shape)] = False
    level = template.mean() if ground == "mean" else np.median(template[inner])
    image = np.full([3 * n - 2 for n in shape], level)
    image[tuple(slice(n - 1, 2 * n - 1) for n in shape)] = template
    image += rng.normal(0, 0.045 * template.std(), image.shape)
    scores = np.clip(tmatch.match_template(image, template), 0, 1)
    footprint = footprint_of(template)
    highest, lowest = footprint.at(1.0)
    assert highest.shape == lowest.shape == scores.shape
    assert highest.max() == pytest.approx(1, abs=0.002)
    overlapping = [n // 4 for n in shape]
    part = tuple(slice(k, -k) for k in overlapping)  # farther away, noise has its own scores
    assert (scores[part] <= highest[part] + 0.12).all()
    assert np.quantile(scores[part] - highest[part], 0.95) <= 0.02
    negated = np.clip(-tmatch.match_template(image, template), 0, 1)
    assert np.quantile(negated[part] - lowest[part], 0.95) <= 0.02
    for _ in range(20):
        place = [int(rng.integers(k, size - k)) for k, size in zip(overlapping, scores.shape, strict=True)]
        near = tuple(slice(p - 1, p + 2) for p in place)
        shift = [p - n + 1 for p, n in zip(place, shape, strict=True)]
        beside = footprint.beside(1.0, shift)
        assert beside == pytest.approx(highest[near].max(), abs=1e-9)


def test_footprint_of_a_copy_alone_is_exact():
    template = make_clutter((15, 18), rng=3)
    template -= template.mean()
    footprint = footprint_of(template)
    own = footprint._own
    canvas = np.pad(template, [(n - 1, n - 1) for n in template.shape])
    products = np.array(
        [(canvas[y : y + 15, x : x + 18] * template).sum() for y in range(29) for x in range(35)]
    ).reshape(29, 35)
    np.testing.assert_allclose(own, products / (template**2).sum(), atol=1e-9)


@pytest.mark.engine_free
def test_fainter_copies_have_lower_side_lobes_and_stripes_have_high_ones():
    grating, spots = (
        footprint_of(stripes((24, 32))),
        footprint_of(np.random.default_rng(14).normal(size=(24, 32))),
    )
    lobes = [grating.beside(h, (0, 8)) for h in (1.0, 0.9, 0.7, 0.5, 0.35)]
    assert lobes == sorted(lobes, reverse=True)
    assert lobes[0] > 0.6
    assert lobes[-1] < 0.35
    assert spots.beside(1.0, (0, 8)) < 0.2
    assert grating.at(1.0)[1][23, 31 + 4] > 0.6  # half a period away a minimum
    assert grating.beside(1.0, (23, 31)) < 0.3


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("shape", "size"), [((9, 14), (2, 4)), ((20,), (5,)), ((6, 5, 9), (2, 1, 2))], ids=str
)
def test_footprint_in_cells_is_the_highest_between_any_two_positions_in_them(shape, size):
    footprint = footprint_of(stripes(shape, 5))
    found = footprint.in_cells(size)
    highest, lowest = footprint.at(0.85)
    for step in itertools.product((-5, -2, -1, 0, 1, 3), repeat=len(shape)):
        bounds = [(d * k + n - 1, k) for d, k, n in zip(step, size, shape, strict=True)]
        part = tuple(slice(max(middle - k, 0), max(middle + k + 1, 0)) for middle, k in bounds)
        cell = tuple(d + 5 for d in step)
        assert found[(2, 0, *cell)] == highest[part].max(initial=0)
        assert found[(2, 1, *cell)] == lowest[part].max(initial=0)


# --- explained extrema ----------------------------------------------------------------------------


def test_side_lobes_are_explained_and_copies_of_their_own_are_not():
    rng = np.random.default_rng(15)
    template = stripes((24, 32))
    image = rng.normal(128, 30, (200, 220))
    places = [(40, 50), (120, 140), (40, 120)]
    for y, x in places:
        image[y : y + 24, x : x + 32] = template + rng.normal(0, 10, template.shape)
    null = tmatch.estimate_chance(tmatch.match_template(image, template), template)._null
    cells, variance = null.cells, null.local_variance
    heights = cells.extrema.astype(np.float64)
    everywhere = np.ones(heights.shape, bool)
    found = explained.explained_by_stronger(
        heights,
        everywhere,
        float(np.sqrt(np.median(variance))),
        null.footprint().in_cells(cells.size),
        np.zeros(heights.shape[1:], bool),
    )
    for y, x in places:
        assert not found[(0, *cells.of(np.array([[y, x]])))]
        for sign, shift in ((0, 8), (0, -8), (1, 4), (1, -4)):
            cell = cells.of(np.array([[y, x + shift]]))
            assert heights[(sign, *cell)] > 0.35
            assert found[(sign, *cell)]
    strong = heights >= 2.5 * np.sqrt(np.median(variance))
    assert not found[~strong].any()
    certified = np.zeros(heights.shape[1:], bool)
    certified[cells.of(np.array([[40, 58]]))] = True  # copies are never explained
    again = explained.explained_by_stronger(
        heights,
        everywhere,
        float(np.sqrt(np.median(variance))),
        null.footprint().in_cells(cells.size),
        certified,
    )
    assert not again[(0, *cells.of(np.array([[40, 58]])))]


def test_footprints_reach_as_far_as_templates_do():
    footprint = footprint_of(stripes((24, 32))).in_cells((6, 8))
    heights = np.zeros((2, 20, 30))
    heights[0, 10, 15] = 0.9
    expected = explained.footprints_of(np.array([[10, 15]]), heights, footprint)
    assert expected[10, 15] == pytest.approx(0.9, rel=0.06)
    assert expected[10, 16] > 0.4
    assert not expected[:5].any()
    assert not expected[:, :10].any()
    corner = explained.footprints_of(np.array([[0, 0]]), np.full((2, 20, 30), 0.5), footprint)
    assert corner[0, 0] == pytest.approx(0.5, rel=0.06)
    assert not corner[6:].any()


# --- groups ---------------------------------------------------------------------------------------


def group_of(peaks, minima, likeness=None, sure=None):
    likeness = np.ones(len(peaks)) if likeness is None else likeness
    sure = likeness if sure is None else sure
    return groups.find_group([(peaks, minima)] * 2, likeness, sure, np.zeros(len(peaks)))


@pytest.mark.engine_free
@pytest.mark.parametrize("many", [2, 5, 12, 60, 300])
def test_a_gap_below_many_peaks_is_found(many):
    rng = np.random.default_rng(many)
    noise, minima = rng.exponential(size=300), rng.exponential(size=300)
    copies = rng.uniform(30, 60, many)
    copies[1] = 59.5  # the best one stands not alone
    order = rng.permutation(many + 300)
    peaks = np.concatenate([copies, noise])[order]
    group = group_of(peaks, minima)
    assert {*group.members.tolist()} == {*np.flatnonzero(order < many).tolist()}
    assert group.chance < 1e-6
    assert np.all(np.diff(peaks[group.members]) <= 0)


@pytest.mark.engine_free
def test_a_tail_without_a_gap_has_no_group():
    found = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(20, 400))
        peaks, minima = rng.exponential(size=n), rng.exponential(size=n)
        found += group_of(peaks, minima) is not None
    assert found <= 1


@pytest.mark.engine_free
def test_one_peak_that_stands_alone_is_no_group():
    rng = np.random.default_rng(0)
    noise, minima = rng.exponential(size=200), rng.exponential(size=200)
    alone = np.concatenate([[90.0, 20.0, 19.0, 18.5], noise])
    likeness = np.concatenate([[0.99, 0.75, 0.74, 0.73], np.full(200, 0.3)])
    assert group_of(alone, minima, likeness) is None
    together = np.concatenate([[90.0, 88.0, 87.0, 86.0], noise])
    assert len(group_of(together, minima, likeness).members) == 4
    assert group_of(np.concatenate([[90.0], noise]), minima) is None


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("own_ways", "classes", "likeness", "left_out"),
    [
        (6, [8], 0.74, 8),  # copies that differ, and look-alikes
        (6, [8, 5], 0.74, 13),
        (6, [8], 0.85, 0),  # not much less alike than the copies
        (6, [2], 0.74, 0),  # two may be alike by chance
        (0, [8, 5], 0.74, 0),  # nothing is known of how copies differ
    ],
)
def test_look_alikes_differ_in_one_way_and_copies_each_in_its_own(own_ways, classes, likeness, left_out):
    rng = np.random.default_rng(0)
    ways = [rng.normal(size=144) for _ in range(own_ways)]
    for count in classes:
        way = rng.normal(size=144)
        ways += [way + rng.normal(0, 0.1, 144) for _ in range(count)]
    patterns = np.array([way / np.linalg.norm(way) for way in ways])
    alike = np.array([0.9] * own_ways + [likeness] * sum(classes))
    if not own_ways:
        alike[: classes[0]] = 0.9
    found = groups.others_of_a_kind(patterns, alike)
    assert found.sum() == left_out
    assert not found[:own_ways].any()


@pytest.mark.engine_free
def test_a_continuum_of_members_is_one_group():
    rng = np.random.default_rng(1)
    shares = np.linspace(0.3, 1, 60)
    own = rng.normal(size=(60, 144))
    patterns = np.concatenate([rng.normal(size=144) + shares[:, None] * own, rng.normal(size=(1, 144))])
    patterns /= np.linalg.norm(patterns, axis=1, keepdims=True)
    assert not groups.others_of_a_kind(patterns, np.append(np.linspace(0.7, 0.9, 60), 0.95)).any()


@pytest.mark.engine_free
def test_a_group_is_alike_above_the_minima_and_apart_by_both_measures():
    rng = np.random.default_rng(1)
    noise, minima = rng.exponential(size=200), rng.exponential(size=200)
    peaks = np.concatenate([rng.uniform(40, 42, 20), noise])
    assert len(group_of(peaks, minima).members) == 20
    assert group_of(peaks, minima, np.full(220, 0.5)) is None
    assert group_of(peaks, np.concatenate([np.full(10, 41.0), minima])) is None
    likeness, ones = np.ones(220), np.zeros(220)
    other = rng.exponential(size=220)  # by which they do not stand out
    evidence = [(peaks, minima), (other, minima)]
    assert groups.find_group(evidence, likeness, likeness, ones) is None
    assert groups.find_group(evidence[::-1], likeness, likeness, ones) is None


# --- certificates ---------------------------------------------------------------------------------


def certified_in(image, template, **options):
    """The positions whose peaks are certified copies."""
    search = search_of(image, template, **options)
    scores = tmatch.match_template(image, template, **options)
    builder = SummaryBuilder(search.map_shape, search.window)
    builder.add(tuple(slice(0, n) for n in scores.shape), scores, np.ones(scores.shape, bool))
    null = null_of(builder, search)
    marked = np.zeros(null.cells.extrema.shape, bool)
    marked[0] = (null.copies <= CERTAIN) & ~null.group
    return {tuple(p) for p in null.cells.positions(marked).tolist()}


@pytest.mark.parametrize("noise", [3, 15, 30])
def test_copies_in_noise_are_certified(noise):
    places, found = {(10, 12), (10, 90), (80, 40), (150, 12), (160, 180)}, []
    for seed in range(6):
        rng = np.random.default_rng([noise, seed])
        template, image = make_clutter((32, 36), rng=rng), make_clutter((220, 240), rng=rng)
        for y, x in places:
            image[y : y + 32, x : x + 36] = template
        found += certified_in(tmatch.to_range(image + rng.normal(0, noise, image.shape)), template)
    assert {*found} == places
    assert len(found) >= 28  # of 30; one in a hundred is not white by chance


def test_what_is_absent_is_not_certified():
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        image, template = make_clutter((160, 180), rng=rng), make_clutter((28, 30), rng=rng)
        noisy = tmatch.to_range(image + rng.normal(0, 10 + seed, image.shape))
        found += len(certified_in(noisy, template))
    assert found == 0


@pytest.mark.parametrize("gain", [0.4, 1, 1.7])
@pytest.mark.parametrize("dtype", ["u1", "f4", "f8"])
def test_exact_copies_are_certified(dtype, gain):
    rng = np.random.default_rng(16)
    image, template = (
        make_clutter((160, 180), contrast=20, rng=rng),
        make_clutter((28, 30), contrast=20, rng=rng),
    )
    for y, x in ((20, 30), (100, 120)):
        image[y : y + 28, x : x + 30] = gain * (template - 128) + 120
    if dtype == "u1":
        image, template = tmatch.to_range(image), tmatch.to_range(template)
    assert certified_in(image.astype(dtype), template.astype(dtype)) == {(20, 30), (100, 120)}


def test_look_alikes_are_not_certified():
    rng = np.random.default_rng(17)
    image = np.full((150, 160), 20.0)
    image[20:50, 30:60], image[90:120, 100:130] = letter("O"), letter("Q")
    for noise in (0, 15):
        noisy = tmatch.to_range(image + rng.normal(0, noise, image.shape))
        assert certified_in(noisy, letter("Q")) == {(90, 100)}


# --- summary --------------------------------------------------------------------------------------


@examples(40, 200)
@given(st.integers(1, 3), st.integers(0, 2**32 - 1), st.data())
def test_the_summary_has_the_extrema_of_each_cell_however_the_map_is_cut(ndim, seed, data):
    rng = np.random.default_rng(seed)
    longest = {1: 60, 2: 20, 3: 9}[ndim]
    shape = tuple(rng.integers(1, longest, ndim).tolist())
    window = tuple(rng.integers(1, 18, ndim).tolist())
    scores = rng.uniform(-1, 1, shape)
    if data.draw(st.booleans()):
        scores = np.round(scores, 1)  # equal ones
    valid = rng.random(shape) < data.draw(st.sampled_from([0.1, 0.8, 1]))
    builder = SummaryBuilder(shape, window)
    cuts = [sorted({0, n, *rng.integers(0, n + 1, 3).tolist()}) for n in shape]
    parts = [*itertools.product(*([slice(*ends) for ends in itertools.pairwise(c)] for c in cuts))]
    for i in rng.permutation(len(parts)):
        builder.add(parts[i], scores[parts[i]], valid[parts[i]].astype(np.float64))
    cells = builder.merged()
    assert cells.size == tuple(max(1, round(n / 4)) for n in window)
    known = np.where(valid, scores, 0)
    for cell in np.ndindex(cells.high.shape):
        start = tuple(c * n for c, n in zip(cell, cells.size, strict=True))
        part = tuple(slice(s, s + n) for s, n in zip(start, cells.size, strict=True))
        for sign, values in enumerate((known[part], -known[part])):
            height = np.float32(max(values.max(), 0))
            assert cells.extrema[(sign, *cell)] == height
            if height > 0:
                marked = np.zeros(cells.extrema.shape, bool)
                marked[(sign, *cell)] = True
                # Of equal ones the first, column by column.
                first = np.unravel_index(values.argmax() if ndim == 1 else values.T.argmax(), values.T.shape)[
                    ::-1
                ]
                assert tuple(cells.positions(marked)[0]) == tuple(np.add(start, first))
        np.testing.assert_allclose(cells.sums[(0, *cell)], np.square(known[part]).sum(), rtol=1e-9)
        assert cells.sums[(1, *cell)] == valid[part].sum()
    np.testing.assert_array_equal(
        cells.of(np.array([[n - 1 for n in shape]])), np.subtract(cells.high.shape, 1)[:, None]
    )


@pytest.mark.engine_free
@pytest.mark.filterwarnings("error")
def test_channels_without_weight_and_pixels_that_do_not_count_are_not_looked_at():
    rng = np.random.default_rng(0)
    image = rng.normal(size=(80, 90, 3))
    template = image[20:40, 30:50].copy()
    found = tmatch.locate(image, template, channel_axis=2, channel_weights=(1, 0, 0))
    assert [m.box.start for m in found] == [(20, 30)]
    image[2:6, 3:9] = np.inf
    found = tmatch.locate(image, template, channel_axis=2, image_mask=np.isfinite(image).all(axis=2))
    assert [m.box.start for m in found] == [(20, 30)]
