import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
import tmatch
from loops import each
from profiles import examples

METRICS = ["zncc", "ncc", "zcc", "cc", "ssd", "nssd", "orientation"]
BOUNDED = ["zncc", "ncc", "orientation"]  # from -1 to 1
NORMALISED = [*BOUNDED, "nssd"]
SUMS = ["zcc", "cc", "ssd"]
BOUND = 1e-9  # of the scale that the oracle gives


def assert_scores(image, template, bound=BOUND, **options):
    """Compare scores and validity with the oracle, or that both refuse."""
    try:
        expected, expected_valid, scale = oracle.score(image, template, **options)
    except oracle.RefusedError:
        with pytest.raises(ValueError, match="`"):
            tmatch.match_template(image, template, **options)
        with pytest.raises(ValueError, match="`"):
            tmatch.score_validity(image, template, **options)
        return None
    scores = tmatch.match_template(image, template, **options)
    valid = tmatch.score_validity(image, template, **options)
    assert scores.dtype == np.float64
    assert valid.dtype == bool
    assert scores.shape == valid.shape == expected.shape
    np.testing.assert_array_equal(valid, expected_valid)
    assert np.isfinite(scores).all()
    off = np.abs(scores - expected) - bound * scale
    worst = np.unravel_index(off.argmax(), off.shape)
    assert off[worst] <= 0, (
        f"{scores[worst]} is not {expected[worst]} within {bound * scale[worst]} at {worst}"
    )
    if options.get("metric", "zncc") in BOUNDED:
        assert np.all(np.abs(scores) <= 1)
    return scores


@pytest.mark.parametrize("options", [{}, {"metric": "zcc"}, {"metric": "orientation"}], ids=str)
@pytest.mark.parametrize("dtype", ["i8", "u8"])
@pytest.mark.parametrize("template", ["cut out", "near 0", "float"])
def test_64_bit_integers_may_be_far_apart(options, dtype, template):
    """Neither float64 nor one offset can hold texture near the largest integers beside zeros."""
    rng = np.random.default_rng(0)
    image = (np.iinfo(dtype).max - rng.integers(0, 10, (8, 9)).astype(dtype)).astype(dtype)
    image[4:, 6:] = 0
    templates = {
        "cut out": image[2:5, 3:7].copy(),
        "near 0": rng.integers(0, 10, (3, 4)).astype("u1"),
        "float": rng.normal(size=(3, 4)),
    }
    assert_scores(image, templates[template], **options)


# --- by hand --------------------------------------------------------------------------------------


@dataclass
class Example:
    image: list
    template: list
    options: dict
    scores: list
    valid: list | None = None


R = math.sqrt
LINE, PAIR = [3, 4, 0, 2], [4, 3]  # the windows (3 4), (4 0), (0 2)
# Beside the windows above there is one on the left, 3 on the template's 3, and one on the right, 2 on its 4. Half of
# the template's weight is seen there, so sums count twice.
WHOLE = {"output": "full"}
# Channel 0 holds (2 0), channel 1 (4 6); the template (0 2) and (4 6).
COLOURED, COLOUR = [[2, 4], [0, 6]], [[0, 4], [2, 6]]
# In the middle of the template the differences are 6 / 2 down and 8 / 2 across: (3 4) / 5. In the image (4 3) / 5.
DOWN = [[0, 1, 0], [1, 0, 9], [0, 7, 0]]
ACROSS = [[0, 1, 0], [1, 5, 7], [0, 9, 0]]

EXAMPLES = {
    # The products: 12 + 12, 16 + 0, 0 + 6
    "cc": Example(LINE, PAIR, {}, [24, 16, 6]),
    # The norms are 5 of the template, and 5, 4 and 2 of the windows.
    "ncc": Example(LINE, PAIR, {}, [24 / 25, 16 / 20, 6 / 10]),
    # The differences are (-1 1), (0 -3) and (-4 -1).
    "ssd": Example(LINE, PAIR, {}, [-2, -9, -17]),
    "nssd": Example(LINE, PAIR, {}, [-2 / 25, -9 / 20, -17 / 10]),
    # Less their means: the template (1/2 -1/2), the windows (-1/2 1/2), (2 -2), (-1 1)
    "zcc": Example(LINE, PAIR, {}, [-1 / 2, 2, -1]),
    # The template (-1 0 1), the windows (0 3 3), (3 3 0), (3 0 3), so (-2 1 1), (1 1 -2), (1 -2 1)
    "zncc": Example([0, 3, 3, 0, 3], [0, 1, 2], {}, [3 / R(12), -3 / R(12), 0]),
    # The cosine between the two: 3 * 4 + 4 * 3 over 25
    "orientation": Example(ACROSS, DOWN, {}, [[24 / 25]]),
    # On a line the direction is the sign: of the template (+ -), of the windows (+ 0) and (0 -).
    "orientation on a line": Example(
        [0, 9, 9, 9, 0], [0, 1, 5, 0], {"metric": "orientation"}, [1 / R(2), 1 / R(2)]
    ),
    "zncc of a constant window": Example([5, 5, 6], [0, 1], {}, [0, 1], [False, True]),
    "ncc of a window of zeros": Example([0, 0, 6], [0, 1], {}, [0, 1], [False, True]),
    "nssd of a window of zeros": Example(
        [0, 0, 2, 6], [1, 1], {}, [-26 / R(80), -2 / R(8), -26 / R(80)], [False, True, True]
    ),
    "cc whole": Example(LINE, PAIR, WHOLE, [2 * 9, 24, 16, 6, 2 * 8]),
    "ssd whole": Example(LINE, PAIR, WHOLE, [0, -2, -9, -17, -2 * 4]),
    "ncc whole": Example(LINE, PAIR, WHOLE, [1, 24 / 25, 16 / 20, 6 / 10, 1]),
    "nssd whole": Example(LINE, PAIR, WHOLE, [0, -2 / 25, -9 / 20, -17 / 10, -4 / 8]),
    # One pixel is constant.
    "zncc whole": Example(LINE, PAIR, WHOLE, [0, -1, 1, -1, 0], [False, True, True, True, False]),
    "zcc whole": Example(LINE, PAIR, WHOLE, [0, -1 / 2, 2, -1, 0]),
    # The window whose element 1 lies on pixel i starts at i - 1.
    "cc same": Example(LINE, PAIR, {"output": "same"}, [2 * 9, 24, 16, 6]),
    "cc of most": Example(
        LINE, PAIR, {"output": "full", "min_overlap": 0.51}, [0, 24, 16, 6, 0], [False, True, True, True, False]
    ),
    # What means nothing gets the worst there is.
    "ssd of most": Example(
        LINE, PAIR, {"output": "same", "min_overlap": 0.51}, [-17, -2, -9, -17], [False, True, True, True]
    ),
    # Weights 1 and 3, 4 in all: 12 + 3 * 12, 16, 3 * 6
    "cc weighted": Example(LINE, PAIR, {"mask": [1, 3]}, [48, 16, 18]),
    # On the left 3 of 4 are seen, on the right 1: 9 * 3 * 4 / 3, 8 * 4
    "cc weighted whole": Example(
        LINE, PAIR, {"mask": [1, 3], "output": "full", "min_overlap": 0.25}, [36, 48, 16, 18, 32]
    ),
    # The template's square is 16 + 27, the windows' 9 + 48, 16 and 12.
    "ncc weighted": Example(LINE, PAIR, {"mask": [1, 3]}, [48 / R(43 * 57), 16 / R(43 * 16), 18 / R(43 * 12)]),
    # The template's mean is (0 + 4 + 2 * 2) / 4, the window's (1 + 5 + 2 * 9) / 4: (-2 2 0), (-5 -1 3).
    # 10 - 2 over the roots of 4 + 4 and 25 + 1 + 18
    "zncc weighted": Example([1, 5, 9], [0, 4, 2], {"mask": [1, 1, 2]}, [8 / R(8 * 44)]),
    # Without the middle: (0 2), (1 9)
    "zncc masked": Example([1, 5, 9], [0, 4, 2], {"mask": [True, False, True]}, [1]),
    # With one pixel missing and two seen: (4 2) beside (5 9), 20 + 18, of 3 pixels in all
    "cc missing": Example([1, 5, 9], [0, 4, 2], {"image_mask": [False, True, True]}, [38 * 3 / 2]),
    "cc of NaN": Example([np.nan, 5, 9], [0, 4, 2], {"missing": "ignore"}, [38 * 3 / 2]),
    # Each about its own mean (1 -1)(-1 1) by (-1 1)(-1 1): -2 + 2
    "zcc in colour": Example(COLOURED, COLOUR, {"channel_axis": 1}, [0]),
    # -2 + 3 * 2 over 2 + 3 * 2 on either side
    "zncc in weighted colour": Example(COLOURED, COLOUR, {"channel_axis": 1, "channel_weights": [1, 3]}, [4 / 8]),
    # About 3, the mean of all: (-1 -3)(1 3) by (-3 -1)(1 3), 3 + 3 + 1 + 9 over 20 on either side
    "zncc in joint colour": Example(COLOURED, COLOUR, {"channel_axis": 1, "channel_means": "joint"}, [16 / 20]),
    # The mean of all is (2 + 3 * 10) / 8: (-2 -4)(0 2) by (-4 -2)(0 2), 8 + 8 + 3 * 4 over 4 + 16 + 3 * 4
    "zncc in joint weighted colour": Example(
        COLOURED, COLOUR, {"channel_axis": 1, "channel_weights": [1, 3], "channel_means": "joint"}, [28 / 32]
    ),
}  # fmt: skip


@each("dtype", [None, "f8"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_scores_are_those_worked_out_by_hand(name, dtype):
    example = EXAMPLES[name]
    image, template = np.asarray(example.image, dtype), np.asarray(example.template, dtype)
    options = {"metric": name.split()[0], **example.options}
    valid = np.ones(np.shape(example.scores), bool) if example.valid is None else example.valid
    expected, expected_valid, _ = oracle.score(image, template, **options)
    np.testing.assert_allclose(expected, example.scores, rtol=1e-15)
    np.testing.assert_array_equal(expected_valid, valid)
    scores = tmatch.match_template(image, template, **options)
    np.testing.assert_allclose(scores, example.scores, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(tmatch.score_validity(image, template, **options), valid)
    if dtype is None and image.dtype == int and "mask" not in options and options["metric"] in ("cc", "ssd"):
        np.testing.assert_array_equal(scores, example.scores)


# --- equals the oracle ----------------------------------------------------------------------------

DTYPES = ["u1", "u2", "i2", "i8", "u8", "?", "f4", "f8", "g"]
KINDS = ["few", "wide", "bright", "faint", "scaled"]
MASKS = [None, None, "bool", "bool", "soft", "soft", "steep", "ones"]
HOLES = [None, None, "scattered", "block", "nan", "nan and mask"]
MOST_PLACES = 90


def some_values(rng, shape, dtype, kind):
    """Values of a dtype: few different ones, as wide as it goes, near its top, or far from 1."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if kind == "few":
        return rng.integers(0, 3, shape).astype(dtype)
    if dtype.kind in "iu":
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        low = high - 9 if kind == "bright" else low
        return rng.integers(low, high, shape, dtype, endpoint=True)
    gain, offset = {
        "wide": (10.0, 0.0),
        "bright": (1.0, 1e6),
        "faint": (1e-3, 1e3),
        "scaled": (10.0 ** rng.integers(-15, 16), 0.0),
    }[kind]
    return (rng.normal(size=shape) * gain + offset).astype(dtype)


def some_shapes(rng, dimensions, metric, output):
    """An image's and a template's sides, with so few places that the oracle is quick."""
    most, more = {1: (8, 12), 2: (4, 5), 3: (3, 2), 4: (2, 2)}[dimensions]
    least = 3 if metric == "orientation" and rng.random() < 0.97 else 1  # it takes three for a difference
    template = rng.integers(least, max(least, most) + 1, dimensions)
    if metric == "orientation" and dimensions == 2:
        template += rng.integers(0, 3, 2)
    image = template + rng.integers(0, more + 1, dimensions)
    if output != "valid" and rng.random() < 0.3:
        image = rng.integers(least, image + 1)
    while math.prod((image + template - 1) if output == "full" else image) > MOST_PLACES:
        axis = image.argmax()
        if image[axis] <= (template[axis] if output == "valid" else least):
            break
        image[axis] -= 1
    return tuple(image.tolist()), tuple(template.tolist())


def some_mask(rng, shape, kind, keep):
    """Weights of a template, at least one of them positive."""
    if kind is None:
        return None
    if kind == "ones":
        return np.ones(shape, rng.choice(["?", "f8", "u1"]))
    mask = rng.random(shape) < keep
    mask.flat[rng.integers(mask.size)] = True
    if kind == "bool":
        return mask
    weights = rng.random(shape) * 0.99 + 0.01 if kind == "soft" else 10.0 ** rng.uniform(-4, 4, shape)
    return mask * weights


def with_holes(rng, image, kind, keep):
    """Take pixels out of a channels-last image by NaN or by a mask."""
    sides, options = image.shape[:-1], {}
    if kind is None:
        return image, options
    exists = rng.random(sides) < keep
    if kind == "block":
        exists[tuple(slice(*sorted(rng.integers(0, n + 1, 2))) for n in sides)] = False
    nan = ~exists & (rng.random(sides) < 0.5)
    if kind in ("nan", "nan and mask") and image.dtype.kind == "f":
        exists |= nan  # the mask says otherwise
        channel = rng.integers(image.shape[-1])  # missing in one is missing in all
        image[..., channel][nan] = np.nan
        options["missing"] = "ignore"
    elif image.dtype.kind == "f" and rng.random() < 0.5:
        image[nan] = np.nan  # nobody looks
    if kind != "nan":
        options["image_mask"] = exists
    return image, options


@dataclass(frozen=True)
class Plan:
    """What a case is to be; its numbers come from the seed."""

    seed: int
    metric: str
    dimensions: int
    dtypes: tuple
    kind: str
    mask: str | None
    holes: str | None
    output: str
    min_overlap: float
    channels: int | None

    def case(self):
        """The image, the template and the options of match_template."""
        rng = np.random.default_rng(self.seed)
        keep = 0.95 if self.metric == "orientation" else 0.7
        image_shape, shape = some_shapes(rng, self.dimensions, self.metric, self.output)
        channels = self.channels or 1
        image = some_values(rng, (*image_shape, channels), self.dtypes[0], self.kind)
        template = some_values(rng, (*shape, channels), self.dtypes[1], self.kind)
        if rng.random() < 0.3 and all(k <= n for k, n in zip(shape, image_shape, strict=True)):
            template = image[tuple(slice(k) for k in shape)].copy()
        if rng.random() < 0.3:  # a flat corner, or one of zeros
            corner = image[tuple(slice(n // 2, None) for n in image_shape)]
            corner[...] = image.flat[0] if rng.random() < 0.5 else 0
        options = {"metric": self.metric, "output": self.output, "min_overlap": self.min_overlap}
        per_channel = self.channels is not None and rng.random() < 0.5
        mask = some_mask(rng, template.shape if per_channel else shape, self.mask, keep)
        if mask is not None and template.dtype.kind == "f" and rng.random() < 0.5:
            template[mask == 0] = np.nan
        image, holes = with_holes(rng, image, self.holes, keep)
        options.update(holes)
        if self.channels is None:
            image, template = image[..., 0], template[..., 0]
            options["channel_axis"] = None  # a short last axis is not one of colours
        else:
            axis = int(rng.integers(-image.ndim, image.ndim))
            image, template = np.moveaxis(image, -1, axis), np.moveaxis(template, -1, axis)
            mask = np.moveaxis(mask, -1, axis) if per_channel and mask is not None else mask
            options["channel_axis"] = axis
            options["channel_means"] = str(rng.choice(["separate", "joint"]))
            if rng.random() < 0.5:
                weights = rng.choice([0, 0.5, 1, 2, 3.7], channels)
                weights[rng.integers(channels)] = 1.5
                options["channel_weights"] = weights.tolist()
        if mask is not None:
            options["mask"] = mask
        return image, template, options


def plans(metric):
    dtypes = st.sampled_from(DTYPES)
    return st.builds(
        Plan,
        seed=st.integers(0, 2**32 - 1),
        metric=st.just(metric),
        dimensions=st.sampled_from([1, 2, 2, 2, 3, 4]),
        dtypes=dtypes.map(lambda d: (d, d)) | st.tuples(dtypes, dtypes),
        kind=st.sampled_from(KINDS),
        mask=st.sampled_from(MASKS),
        holes=st.sampled_from(HOLES),
        output=st.sampled_from(["valid", "valid", "full", "same"]),
        min_overlap=st.sampled_from([0.5, 0.25, 0.75, 1.0, 1 / 3, 0.01]),
        channels=st.sampled_from([None, None, 1, 2, 3]),
    )


@pytest.mark.parametrize("metric", METRICS)
@examples(100, nightly=440)
@given(st.data())
def test_scores_and_validity_equal_the_oracle(metric, data):
    image, template, options = data.draw(plans(metric)).case()
    assert_scores(image, template, **options)


@each("channels", [None, 2])
@each("dtypes", [("u1", "u1"), ("f8", "f8"), ("u1", "f4")])
@pytest.mark.parametrize("mask", [None, "bool", "soft"])
@pytest.mark.parametrize("metric", METRICS)
def test_big_templates_equal_the_oracle_at_a_few_places(draw, metric, mask, dtypes, channels):
    more, axis = ((), None) if channels is None else ((channels,), 2)
    rng = np.random.default_rng(3)
    image, template = draw((120, 130, *more), dtypes[0]), draw((35, 42, *more), dtypes[1], 1)
    options = {"metric": metric, "mask": some_mask(rng, (35, 42), mask, 0.8), "channel_axis": axis}
    options["image_mask"] = rng.random((120, 130)) < 0.99
    if metric == "orientation":
        options["min_overlap"] = 0.1  # a hole takes its neighbours along
    scores = tmatch.match_template(image, template, **options)
    valid = tmatch.score_validity(image, template, **options)
    for y, x in [(0, 0), (85, 88), (30, 70), (61, 7)]:
        # The window alone will do for directions too: only its inner pixels count.
        window = (slice(y, y + 35), slice(x, x + 42))
        part = {**options, "image_mask": options["image_mask"][window]}
        expected, means, scale = oracle.score(image[window], template, **part)
        assert valid[y, x] == means[0, 0]
        assert scores[y, x] == pytest.approx(expected[0, 0], rel=0, abs=BOUND * scale[0, 0])


@each("kind", MASKS[1::2])
@pytest.mark.parametrize("hidden", ["outside", "masked", "missing"])
@pytest.mark.parametrize(("dtype", "huge"), [("f8", 1e12), ("f8", 1e160), ("i8", np.iinfo("i8").max)])
@pytest.mark.parametrize("metric", ["zncc", "zcc", "cc"])
def test_a_huge_pixel_costs_no_digits_where_it_is_not_seen(draw, metric, dtype, huge, hidden, kind):
    image = draw((12, 13)) if dtype == "f8" else (draw((12, 13)) * 100).astype(dtype)
    template = image[3:8, 4:9].copy()
    template[0, 0] = huge
    options = {"min_overlap": 0.1, "mask": some_mask(np.random.default_rng(1), template.shape, kind, 0.9)}
    if hidden == "outside":
        options["output"] = "full"
    elif hidden == "masked":
        options["image_mask"] = np.ones(image.shape, bool)
        options["image_mask"][3, 4] = False
    else:
        image = image.astype("f8")
        image[3, 4] = np.nan
        options["missing"] = "ignore"
    assert_scores(image, template, metric=metric, **options)


# --- equals the peers -----------------------------------------------------------------------------


@each("masked", [False, True])
@each("channels", [1, 3])
@pytest.mark.parametrize(
    ("metric", "method"),
    [
        ("zncc", "TM_CCOEFF_NORMED"),
        ("zcc", "TM_CCOEFF"),
        ("ncc", "TM_CCORR_NORMED"),
        ("cc", "TM_CCORR"),
        ("nssd", "TM_SQDIFF_NORMED"),
        ("ssd", "TM_SQDIFF"),
    ],
)
def test_scores_equal_those_of_opencv(draw, metric, method, channels, masked):
    cv2 = pytest.importorskip("cv2")
    image, template = draw((20, 22, channels), "u1"), draw((6, 7, channels), "u1", 1)
    mask = draw((6, 7), "?", 2) if masked else None
    theirs = None if mask is None else np.repeat(mask[..., None].astype("u1"), channels, axis=2)
    expected = cv2.matchTemplate(image, template, getattr(cv2, method), mask=theirs)
    scores = tmatch.match_template(image, template, metric=metric, mask=mask, channel_axis=2)
    if metric in ("ssd", "nssd"):
        scores = -scores  # theirs is a distance
    if metric == "nssd" and not masked:
        scores = np.minimum(scores, 1)  # theirs ends there
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5 * max(1, np.abs(scores).max()))


# --- laws -----------------------------------------------------------------------------------------

MASKINGS = [None, "bool", "soft"]


def masking(kind, shape=(5, 6)):
    """Give a template's mask of a kind as options."""
    mask = some_mask(np.random.default_rng(2), shape, kind, 0.9)  # few enough holes that gradients are left
    return {} if mask is None else {"mask": mask}


def holes(shape):
    return {"image_mask": np.random.default_rng(6).random(shape) < 0.95, "min_overlap": 0.3}


def alike(a, b, metric, exactly, bound=1e-12):
    """Compare two score maps: every bit, or to the last digits of the largest."""
    if exactly:
        np.testing.assert_array_equal(a, b)
    else:
        largest = max(1, np.abs(b).max()) if metric not in BOUNDED else 1
        np.testing.assert_allclose(a, b, rtol=0, atol=bound * largest)


@each("kind", MASKINGS)
@pytest.mark.parametrize("output", ["valid", "full"])
@pytest.mark.parametrize("metric", METRICS)
def test_gain_and_offset_do_to_scores_what_they_should(draw, metric, output, kind):
    image, template = draw((12, 14), "i2").astype(int) >> 6, draw((5, 6), "i2", 1).astype(int) >> 6
    options = {"metric": metric, "output": output, **masking(kind)}
    exactly = kind != "soft" and output == "valid"
    scores = tmatch.match_template(image, template, **options)
    if metric in ("zncc", "orientation"):
        changed = tmatch.match_template(3 * image + 100, 2 * template - 7, **options)
        alike(changed, scores, metric, exactly=False)
        changed = tmatch.match_template(3 * image + 100, -2 * template, **options)
        alike(changed, -scores, metric, exactly=False)
    elif metric == "ncc":
        alike(tmatch.match_template(3 * image, -2 * template, **options), -scores, metric, exactly=False)
    elif metric == "nssd":
        alike(tmatch.match_template(-3 * image, -3 * template, **options), scores, metric, exactly=False)
    elif metric == "zcc":
        changed = tmatch.match_template(3 * image + 100, 2 * template - 7, **options)
        alike(changed, 6 * scores, metric, exactly=False)
    elif metric == "cc":
        alike(tmatch.match_template(3 * image, -2 * template, **options), -6 * scores, metric, exactly)
    else:
        changed = tmatch.match_template(100 - 3 * image, 100 - 3 * template, **options)
        alike(changed, 9 * scores, metric, exactly)


def sums(image, template, mask):
    """Window sums of products, squares and square differences in int64, by plain NumPy."""
    windows = np.lib.stride_tricks.sliding_window_view(image.astype(np.int64), template.shape)
    template, mask = template.astype(np.int64), mask.astype(np.int64)
    axes = tuple(range(image.ndim, 2 * image.ndim))
    return (
        (mask * windows * template).sum(axes),
        (mask * windows**2).sum(axes),
        (mask * (windows - template) ** 2).sum(axes),
    )


@each("dtype", ["?", "u1", "i1", "u2", "i2", "i4"])
@pytest.mark.parametrize("kind", ["bool", "ones"])
@pytest.mark.parametrize(
    "shapes", [((19, 23), (5, 6)), ((90, 97), (33, 40)), ((6, 7, 8), (2, 3, 4))], ids=str
)
def test_sums_of_integers_are_exact(draw, shapes, kind, dtype):
    image, template = draw(shapes[0], dtype), draw(shapes[1], dtype, 1)
    if dtype == "i4":
        image, template = image >> 20, template >> 20  # transforms of larger ones would round
    mask = np.ones(shapes[1], bool) if kind == "ones" else draw(shapes[1], "?", 2)
    cc, square, ssd = sums(image, template, mask)
    assert np.abs(ssd).max() < 2**53
    for values in (image, image.astype("f8")):  # as floats they are no less whole
        found = tmatch.match_template(values, template, metric="cc", mask=mask)
        alike(found, cc, "cc", exactly=values.dtype.kind != "f")
        found = tmatch.match_template(values, template, metric="ssd", mask=mask)
        alike(found, -ssd, "ssd", exactly=values.dtype.kind != "f")
    own = int(np.sum(template.astype(np.int64) ** 2, where=mask))
    identity = 2 * tmatch.match_template(image, template, metric="cc", mask=mask) - square - own
    np.testing.assert_array_equal(tmatch.match_template(image, template, metric="ssd", mask=mask), identity)


@pytest.mark.parametrize("metric", METRICS[:-1])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("dtype", "channels", "side"), [("u1", 16, 95), ("u2", 3, 3)])
def test_sums_over_many_channels_do_not_overflow(draw, dtype, channels, side, masked, metric):
    # One channel's squares add up to just less than 32 bits hold, those of all to more.
    far = 255 if dtype == "u1" else 14600
    low, high = (0, far) if dtype == "u1" or metric not in ("zncc", "zcc") else (32768 - far, 32768 + far)
    image = np.where(draw((side + 7, side + 8, channels)) > 1.9, low, high).astype(dtype)
    image[:, ::2] = high if metric not in ("zncc", "zcc") else low
    template = image[4 : 4 + side, 5 : 5 + side]
    mask = np.ones((side, side), bool)
    mask[0, 0] = not masked
    options = {"metric": metric, "channel_axis": 2, "mask": mask}
    scores = tmatch.match_template(image, template, **options)
    floats = tmatch.match_template(image.astype("f8"), template, **options)
    largest = 1 if metric in BOUNDED else np.abs(floats).max()
    np.testing.assert_allclose(scores, floats, rtol=0, atol=1e-9 * largest)
    if metric in NORMALISED:
        assert scores[4, 5] == pytest.approx(0 if metric == "nssd" else 1, abs=BOUND)


@pytest.mark.parametrize("channel_axis", [None, 2])
@each("dtype", ["?", "u1", "i1", "u2", "i2", "i4"])
@pytest.mark.parametrize("masked", [False, True])
def test_a_copy_of_integers_differs_by_exactly_nothing(draw, dtype, channel_axis, masked):
    image = draw((40, 50) if channel_axis is None else (40, 50, 3), dtype)
    image = image >> 12 if dtype == "i4" else image  # sums stay below 2**53
    template = image[7:20, 11:33]
    options = {"channel_axis": channel_axis, "mask": draw((13, 22), "?", 1) if masked else None}
    for metric in ("ssd", "nssd"):
        scores = tmatch.match_template(image, template, metric=metric, **options)
        assert np.argwhere(scores == 0).tolist() == [[7, 11]]
        assert scores.max() == 0
    for metric in ("zncc", "ncc"):
        scores = tmatch.match_template(image, template, metric=metric, **options)
        assert np.argwhere(scores == 1).tolist() == [[7, 11]]


@each("dtype", ["?", "u1", "i2", "f4", "f8"])
@each("output", ["valid", "same", "full"])
@pytest.mark.parametrize("metric", METRICS)
def test_a_mask_of_ones_changes_nothing(draw, metric, output, dtype):
    image, template = draw((16, 17, 2), dtype), draw((5, 6, 2), dtype, 1)
    options = {"metric": metric, "output": output, "channel_axis": 2}
    scores = tmatch.match_template(image, template, **options)
    exactly = np.dtype(dtype).kind != "f"
    for mask in (np.ones((5, 6), bool), np.ones((5, 6, 2), bool)):
        changed = tmatch.match_template(image, template, mask=mask, **options)
        alike(changed, scores, metric, exactly)
    changed = tmatch.match_template(image, template, mask=np.full((5, 6), 0.3), **options)
    alike(changed, 0.3 * scores if metric in SUMS else scores, metric, exactly=False, bound=3e-12)
    changed = tmatch.match_template(image, template, image_mask=np.ones((16, 17), bool), **options)
    alike(changed, scores, metric, exactly)


@each("dtype", ["u1", "i2", "f4", "f8"])
@pytest.mark.parametrize("kind", ["bool", "soft"])
@pytest.mark.parametrize("metric", METRICS)
def test_pixels_that_do_not_count_may_be_anything(draw, metric, kind, dtype):
    image, template = draw((15, 16), dtype), np.array(draw((5, 6), dtype, 1))
    mask = masking(kind)["mask"]
    scores = tmatch.match_template(image, template, metric=metric, mask=mask)
    fillings = [0, 1, 127] if np.dtype(dtype).kind in "iu" else [0, -1e6, np.nan, np.inf, 1e30]
    for filling in fillings:
        template[mask == 0] = filling
        changed = tmatch.match_template(image, template, metric=metric, mask=mask)
        np.testing.assert_array_equal(changed, scores)
        valid = tmatch.score_validity(image, template, metric=metric, mask=mask)
        assert valid.all()


@each("dtype", ["u1", "f4", "f8"])
@each("output", ["valid", "same", "full"])
@pytest.mark.parametrize("metric", METRICS)
def test_pixels_that_do_not_exist_may_be_anything(draw, metric, output, dtype):
    image, template = np.array(draw((15, 16), dtype)), draw((5, 6), dtype, 1)
    options = {"metric": metric, "output": output, **holes((15, 16))}
    gone = ~options["image_mask"]
    image[gone] = 0
    scores = tmatch.match_template(image, template, **options)
    valid = tmatch.score_validity(image, template, **options)
    for filling in [1, 255] if dtype == "u1" else [1, np.nan, -np.inf, 1e30]:
        image[gone] = filling
        np.testing.assert_array_equal(tmatch.match_template(image, template, **options), scores)
        np.testing.assert_array_equal(tmatch.score_validity(image, template, **options), valid)
    if dtype != "u1":
        image[gone] = np.nan
        del options["image_mask"]
        options["missing"] = "ignore"
        np.testing.assert_array_equal(tmatch.match_template(image, template, **options), scores)
        np.testing.assert_array_equal(tmatch.score_validity(image, template, **options), valid)


@each("dtype", ["u1", "f8"])
@pytest.mark.parametrize("kind", MASKINGS)
@each("with_holes", [False, True])
@pytest.mark.parametrize("metric", METRICS)
def test_outputs_are_crops_of_one_another(draw, metric, with_holes, kind, dtype):
    image, template = draw((15, 16), dtype), draw((5, 6), dtype, 1)
    options = {"metric": metric, **masking(kind), **(holes((15, 16)) if with_holes else {})}
    maps = {o: tmatch.match_template(image, template, output=o, **options) for o in ("full", "same", "valid")}
    valid = {o: tmatch.score_validity(image, template, output=o, **options) for o in maps}
    assert maps["full"].shape == (19, 21)
    # The window that starts at 0 has index k - 1; the one whose element k // 2 lies on pixel 0 comes k // 2 earlier.
    for output, crop in {"valid": np.s_[4:15, 5:16], "same": np.s_[2:17, 2:18]}.items():
        np.testing.assert_array_equal(valid[output], valid["full"][crop])
        means = valid[output]  # elsewhere ssd gives the least score of the map at hand
        exactly = dtype == "u1" and kind != "soft" and metric != "orientation"
        alike(maps[output][means], maps["full"][crop][means], metric, exactly)


@pytest.mark.parametrize("dtype", ["u1", "f8"])
@each("kind", [None, "bool", "soft"])
@pytest.mark.parametrize(
    "metric", METRICS[:-1]
)  # directions differ: there are no differences across channels
def test_joint_channels_are_one_more_axis(draw, metric, kind, dtype):
    image, template = draw((13, 14, 3), dtype), draw((5, 6, 3), dtype, 1)
    options = {"metric": metric, **masking(kind, (5, 6, 3))}
    solid = tmatch.match_template(image, template, channel_axis=None, **options)
    coloured = tmatch.match_template(image, template, channel_axis=2, channel_means="joint", **options)
    assert solid.shape == (9, 9, 1)
    alike(coloured, solid[..., 0], metric, dtype == "u1" and kind != "soft")


@pytest.mark.parametrize("metric", METRICS)
def test_separate_means_forgive_a_cast_of_colour_and_joint_means_do_not(draw, metric):
    image = draw((13, 14, 3), "u1").astype(int)
    template = image[4:9, 5:11] + [0, 100, 50]
    found = {
        means: tmatch.match_template(image, template, metric=metric, channel_axis=2, channel_means=means)[
            4, 5
        ]
        for means in ("separate", "joint")
    }
    if metric in ("zncc", "orientation"):
        assert found["separate"] == pytest.approx(1, abs=1e-12)
    if metric == "zncc":
        assert found["joint"] < 0.9
    elif metric != "zcc":
        assert found["joint"] == found["separate"]


@pytest.mark.parametrize("metric", METRICS)
def test_a_channel_of_weight_zero_might_as_well_be_absent(draw, metric):
    image, template = draw((13, 14, 3), "u1"), draw((5, 6, 3), "u1", 1)
    scores = tmatch.match_template(
        image, template, metric=metric, channel_axis=2, channel_weights=[1, 0, 2.5]
    )
    part = [0, 2]
    expected = tmatch.match_template(
        image[..., part], template[..., part], metric=metric, channel_axis=2, channel_weights=[1, 2.5]
    )
    alike(scores, expected, metric, exactly=False)


@each("dtype", ["u1", "f8"])
@pytest.mark.parametrize("kind", MASKINGS)
@pytest.mark.parametrize("metric", METRICS)
def test_turning_the_axes_turns_the_map(draw, metric, kind, dtype):
    image, template = draw((7, 8, 9), dtype), draw((3, 4, 5), dtype, 1)
    mask = masking(kind, (3, 4, 5)).get("mask")
    exists = np.random.default_rng(4).random(image.shape) < 0.98
    options = {"metric": metric, "output": "same", "min_overlap": 0.2}
    scores = tmatch.match_template(image, template, mask=mask, image_mask=exists, **options)
    exactly = dtype == "u1" and kind != "soft" and metric != "orientation"
    for order in itertools.permutations(range(3)):
        turned = tmatch.match_template(
            image.transpose(order),
            template.transpose(order),
            mask=None if mask is None else mask.transpose(order),
            image_mask=exists.transpose(order),
            **options,
        )
        alike(turned, scores.transpose(order), metric, exactly)


@pytest.mark.parametrize("metric", METRICS)
def test_an_axis_of_one_changes_nothing(draw, metric):
    image, template = draw((13, 14), "u1"), draw((5, 6), "u1", 1)
    scores = tmatch.match_template(image, template, metric=metric)
    if metric == "orientation":  # three alike have no difference along the axis
        image, template = np.stack([image] * 3), np.stack([template] * 3)
        alike(tmatch.match_template(image, template, metric=metric)[0], scores, metric, exactly=False)
    else:
        np.testing.assert_array_equal(
            tmatch.match_template(image[None], template[None], metric=metric)[0], scores
        )


@pytest.mark.parametrize("metric", METRICS)
def test_inputs_are_not_written_to(draw, metric):
    image, template = np.array(draw((9, 10))), np.array(draw((4, 5), seed=1))
    mask, exists = np.array(draw((4, 5), "?", 2)) | (metric == "orientation"), np.ones((9, 10), bool)
    image[3, 3] = np.nan
    before = image.copy(), template.copy(), mask.copy(), exists.copy()
    for call in (tmatch.match_template, tmatch.score_validity):
        call(image, template, metric=metric, mask=mask, image_mask=exists, missing="ignore", min_overlap=0.1)
    for array, copy in zip((image, template, mask, exists), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@each("dtype", ["u1", "u2", "f4", "f8"])
@pytest.mark.parametrize("kind", MASKINGS)
@pytest.mark.parametrize("metric", METRICS)
def test_single_precision_is_float32_and_near(draw, metric, kind, dtype):
    image, template = draw((40, 50), dtype), draw((9, 10), dtype, 1)
    options = {"metric": metric, "output": "full", **masking(kind, (9, 10))}
    scores = tmatch.match_template(image, template, precision="single", **options)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    expected = tmatch.match_template(image, template, **options)
    if metric in NORMALISED:
        assert np.all(np.abs(scores - expected) <= 1e-4 * np.maximum(1, np.abs(expected)))
    else:
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    if metric in BOUNDED:
        assert np.all(np.abs(scores) <= 1)


@each("scale", [1e-60, 1e-30, 1e-10, 1e10, 1e30, 1e60])
@pytest.mark.parametrize("metric", METRICS)
def test_scale_costs_no_digits(draw, metric, scale):
    image, template, mask = draw((12, 13)), draw((5, 6), seed=1), draw((5, 6), seed=2) ** 2
    options = {"metric": metric, "output": "same"}
    assert_scores(image * scale, template, **options)
    assert_scores(image * scale, template * scale, **options)
    assert_scores(image, template, mask=mask * scale, **options)
    exists = draw((12, 13)) < 1.7
    assert_scores(image * scale, template, mask=mask / scale, image_mask=exists, **options)


@each("scale", [1e-60, 1e-30, 1e-10, 1e10, 1e30, 1e60])
@pytest.mark.parametrize("metric", NORMALISED)
def test_scale_costs_no_digits_of_single_precision_either(draw, metric, scale):
    image, template, mask = draw((12, 13)), draw((5, 6), seed=1), draw((5, 6), seed=2) ** 2
    for a, b, m in [(scale, scale, 1), (1, 1, scale), (1, scale, 1) if metric != "nssd" else (1, 1, 1)]:
        expected = tmatch.match_template(image, b / a * template, metric=metric, mask=mask)
        scores = tmatch.match_template(
            image * a, template * b, metric=metric, mask=mask * m, precision="single"
        )
        assert np.all(np.abs(scores - expected) <= 1e-4 * np.maximum(1, np.abs(expected)))


@pytest.mark.parametrize("metric", NORMALISED)
def test_single_precision_sees_what_is_faint_beside_a_glaring_pixel(metric):
    for length, glare in [(3, 2e8), (30, 1e8), (30, 1e5)]:
        image = np.arange(length) % 5.0
        image[0] = glare
        for template in ([0, 1], [0, 0, 1, 2, 0], [1, 0, 3], [0, 1, 1]):
            if len(template) <= length and (metric != "orientation" or len(template) > 2):
                expected = tmatch.match_template(image, template, metric=metric)
                scores = tmatch.match_template(image, template, metric=metric, precision="single")
                assert np.all(np.abs(scores - expected) <= 1e-4 * np.maximum(1, np.abs(expected)))


# --- tiles and threads ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "f4", "f8"])
@pytest.mark.parametrize("kind", MASKINGS)
@pytest.mark.parametrize("with_holes", [False, True])
@pytest.mark.parametrize("metric", METRICS)
def test_tiles_and_threads_do_not_change_the_scores(execute, cut, draw, metric, with_holes, kind, dtype):
    image, template = draw((30, 26), dtype), draw((9, 8), dtype, 1)
    options = {"metric": metric, "output": "same", **masking(kind, (9, 8))}
    options.update(holes((30, 26)) if with_holes else {})
    execute(threaded_work=0)
    whole = tmatch.match_template(image, template, **options)
    valid = tmatch.score_validity(image, template, **options)
    for block in [(13, 11), (4, 40), (40, 5)]:
        cut(block)
        cut_up = tmatch.match_template(image, template, **options)
        alike(cut_up, whole, metric, dtype == "u1" and kind != "soft" and metric != "orientation")
        np.testing.assert_array_equal(tmatch.score_validity(image, template, **options), valid)
        cut(block, 3)
        np.testing.assert_array_equal(tmatch.match_template(image, template, **options), cut_up)


# --- planted truth --------------------------------------------------------------------------------


def best_place(scores):
    return tuple(int(i) for i in np.unravel_index(scores.argmax(), scores.shape))


@pytest.mark.parametrize("metric", ["zncc", "ncc", "ssd", "nssd", "orientation"])
@pytest.mark.parametrize(
    ("shape", "part"),
    [((400,), (25,)), ((40, 50), (7, 8)), ((17, 18, 19), (4, 5, 6)), ((9, 10, 8, 9), (3, 4, 3, 4))],
    ids=lambda shape: f"{len(shape)}-D",
)
def test_templates_are_found_in_any_dimension(draw, shape, part, metric):
    image = draw(shape, "u1")
    place = tuple(n - k - 2 for n, k in zip(shape, part, strict=True))
    template = image[tuple(slice(p, p + k) for p, k in zip(place, part, strict=True))]
    scores = tmatch.match_template(image, template, metric=metric)
    assert scores.shape == tuple(n - k + 1 for n, k in zip(shape, part, strict=True))
    assert best_place(scores) == place
    assert scores[place] == pytest.approx(0 if "ssd" in metric else 1, abs=1e-12)
    if metric != "orientation":  # few pixels, few directions on a line
        assert np.count_nonzero(scores >= scores[place]) == 1


def test_a_pulse_is_found_in_a_noisy_signal(draw):
    t = np.arange(60) / 60
    pulse = np.sin(2 * np.pi * 6 * t) * np.hanning(60)
    signal = 0.2 * draw((2000,))
    signal[1234:1294] += 0.7 * pulse
    signal += 5e-3 * np.arange(2000)  # it drifts
    assert best_place(tmatch.match_template(signal, pulse)) == (1234,)


def test_a_ball_is_found_in_a_volume_whatever_lies_around_it(draw):
    sides = np.mgrid[-4:5, -4:5, -4:5]
    ball = np.sum(sides**2, axis=0) <= 18
    volume = np.array(draw((30, 28, 26), "u1"))
    texture = draw((9, 9, 9), "u1", 7)
    volume[11:20, 6:15, 13:22][ball] = texture[ball]
    scores = tmatch.match_template(volume, texture, mask=ball)
    assert np.argwhere(scores == 1).tolist() == [[11, 6, 13]]
    assert tmatch.match_template(volume, texture)[11, 6, 13] < 0.7  # the corners are not its own


def test_a_block_is_found_in_four_dimensions_with_pixels_missing(draw):
    image = np.array(draw((8, 9, 10, 11)))
    template = image[3:6, 4:7, 2:6, 5:8].copy()
    image[draw(image.shape, seed=3) > 1.2] = np.nan
    scores = tmatch.match_template(image, template, missing="ignore")
    assert best_place(scores) == (3, 4, 2, 5)
    assert scores.max() == pytest.approx(1, abs=BOUND)


@pytest.mark.parametrize("metric", ["zncc", "ncc", "ssd", "nssd", "orientation"])
@each("place", [(-4, -5), (-3, 11), (33, 44), (10, 45)])
@each("masked", [False, True])
def test_templates_that_hang_over_the_border_are_found(draw, metric, place, masked):
    scene = draw((60, 70), "u1")
    image = scene[10:50, 10:60]
    y, x = place[0] + 10, place[1] + 10
    template = scene[y : y + 10, x : x + 11]
    mask = np.ones((10, 11), bool)
    mask[4, 3:7] = not masked
    scores = tmatch.match_template(image, template, metric=metric, output="full", min_overlap=0.2, mask=mask)
    found = best_place(scores)
    assert (found[0] - 9, found[1] - 10) == place
    assert scores[found] == pytest.approx(0 if "ssd" in metric else 1, abs=1e-12)


def test_directions_survive_a_gradient_of_light_and_grey_levels_do_not(picture):
    image = picture("coins/image.png").astype(float)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    template = image[100:130, 200:230]
    found = {}
    for metric in ("zncc", "orientation"):
        assert best_place(tmatch.match_template(image, template, metric=metric)) == (100, 200)
        lit = image * np.exp(-(((x - 200) / 12.0) ** 2)) + 3 * y
        found[metric] = best_place(tmatch.match_template(lit, template, metric=metric))
    assert found["orientation"] == (100, 200)
    assert found["zncc"] != (100, 200)


def test_what_is_hidden_in_the_photo_may_be_masked_in_it(picture):
    photo = np.array(picture("coins/image.png"))
    template = photo[100:140, 200:240].copy()
    photo[110:125, 205:230] = 0  # a black bar before it
    exists = photo > 0
    scores = tmatch.match_template(photo, template, image_mask=exists)
    assert best_place(scores) == (100, 200)
    assert scores[100, 200] == 1
    assert tmatch.match_template(photo, template)[100, 200] < 0.9


# --- refusals -------------------------------------------------------------------------------------

IMAGE, TEMPLATE = np.arange(30.0).reshape(5, 6) ** 2, np.arange(6.0).reshape(2, 3) ** 2
COLOUR_IMAGE, COLOUR_TEMPLATE = np.stack([IMAGE] * 3, -1), np.stack([TEMPLATE] * 3, -1)


def changed(array, value, place=(1, 1)):
    array = array.copy()
    array[place] = value
    return array


IN_COLOUR = {"channel_axis": 2}
REFUSED = {
    "metric unknown": ("metric", {"metric": "sad"}),
    "metric in capitals": ("metric", {"metric": "ZNCC"}),
    "output unknown": ("output", {"output": "centre"}),
    "missing unknown": ("missing", {"missing": "skip"}),
    "means unknown": ("channel_means", {"channel_means": "both"}),
    "overlap of nothing": ("min_overlap", {"min_overlap": 0}),
    "overlap below zero": ("min_overlap", {"min_overlap": -0.5}),
    "overlap above one": ("min_overlap", {"min_overlap": 1.5}),
    "overlap of NaN": ("min_overlap", {"min_overlap": np.nan}),
    "mask of another shape": ("mask", {"mask": np.ones((3, 2))}),
    "mask of another dimension": ("mask", {"mask": np.ones(3)}),
    "mask of the image": ("mask", {"mask": np.ones((5, 6))}),
    "mask below zero": ("mask", {"mask": changed(np.ones((2, 3)), -1)}),
    "mask of NaN": ("mask", {"mask": changed(np.ones((2, 3)), np.nan)}),
    "mask of infinity": ("mask", {"mask": changed(np.ones((2, 3)), np.inf)}),
    "mask of nothing": ("mask", {"mask": np.zeros((2, 3), bool)}),
    "image mask of another shape": ("image_mask", {"image_mask": np.ones((6, 5), bool)}),
    "image mask of the template": ("image_mask", {"image_mask": np.ones((2, 3), bool)}),
    "weights without channels": ("channel_weights", {"channel_weights": [1, 2, 3]}),
    "too few weights": ("channel_weights", {**IN_COLOUR, "channel_weights": [1, 2]}),
    "a weight below zero": ("channel_weights", {**IN_COLOUR, "channel_weights": [1, -2, 3]}),
    "a weight of NaN": ("channel_weights", {**IN_COLOUR, "channel_weights": [1, np.nan, 3]}),
    "weights of nothing": ("channel_weights", {**IN_COLOUR, "channel_weights": [0, 0, 0]}),
    "image mask with channels": ("image_mask", {**IN_COLOUR, "image_mask": np.ones((5, 6, 3), bool)}),
    "mask of other channels": ("mask", {**IN_COLOUR, "mask": np.ones((2, 3, 2))}),
    "channel axis that is not there": ("channel_axis", {"channel_axis": 2}),
}


@pytest.mark.engine_free
@each("call", [tmatch.match_template, tmatch.score_validity])
@pytest.mark.parametrize("case", REFUSED)
def test_options_that_make_no_sense_are_refused_by_name(call, case):
    name, options = REFUSED[case]
    coloured = options.get("channel_axis") == 2 and name != "channel_axis"
    image, template = (COLOUR_IMAGE, COLOUR_TEMPLATE) if coloured else (IMAGE, TEMPLATE)
    with pytest.raises(ValueError, match=f"`{name}`"):
        call(image, template, **options)


@pytest.mark.engine_free
def test_a_precision_there_is_not_is_refused_by_name():
    with pytest.raises(ValueError, match="`precision`"):
        tmatch.match_template(IMAGE, TEMPLATE, precision="half")


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mask", {"mask": np.ones((2, 3), complex)}),
        ("mask", {"mask": [["a", "b", "c"]] * 2}),
        ("image_mask", {"image_mask": np.full((5, 6), 0.5)}),
        ("min_overlap", {"min_overlap": "half"}),
        ("min_overlap", {"min_overlap": None}),
        ("channel_weights", {"channel_weights": "rgb", "channel_axis": 2}),
    ],
)
def test_options_of_another_type_are_refused_by_name(name, options):
    image, template = (COLOUR_IMAGE, COLOUR_TEMPLATE) if "channel_axis" in options else (IMAGE, TEMPLATE)
    with pytest.raises((TypeError, ValueError), match=f"`{name}`"):
        tmatch.match_template(image, template, **options)


HALF = np.array([[True, True, False]] * 2)
UNFIT = {
    "NaN in the image": ("image", changed(IMAGE, np.nan), TEMPLATE, {}),
    "NaN beside the mask": ("image", changed(IMAGE, np.nan), TEMPLATE, {"image_mask": np.eye(5, 6) < 2}),
    "infinity in the image": ("image", changed(IMAGE, np.inf), TEMPLATE, {"missing": "ignore"}),
    "NaN in the template": ("template", IMAGE, changed(TEMPLATE, np.nan), {"missing": "ignore"}),
    "NaN where the template counts": ("template", IMAGE, changed(TEMPLATE, np.nan), {"mask": HALF}),
    "infinity in the template": ("template", IMAGE, changed(TEMPLATE, -np.inf), {"metric": "cc"}),
    "no numbers": ("image", np.array([0.0]).reshape(()), np.array(1.0).reshape(()), {}),
    "other dimensions": ("template", IMAGE[None], TEMPLATE, {}),
    "too long": ("template", IMAGE, np.arange(14).reshape(2, 7), {}),
    "constant": ("template", IMAGE, np.ones((2, 3)), {}),
    "constant where it counts": ("template", IMAGE, changed(np.ones((2, 3)), 7, (0, 2)), {"mask": HALF}),
    "one pixel": ("template", IMAGE, TEMPLATE, {"mask": np.arange(6).reshape(2, 3) == 3}),
    "zeros": ("template", IMAGE, np.zeros((2, 3)), {"metric": "ncc"}),
    "zeros again": ("template", IMAGE, np.zeros((2, 3)), {"metric": "nssd"}),
    "zeros where it counts": (
        "template", IMAGE, changed(np.zeros((2, 3)), 7, (0, 2)), {"metric": "ncc", "mask": HALF}
    ),
    "nothing between neighbours": ("template", IMAGE, TEMPLATE, {"metric": "orientation"}),
    "no direction": ("template", IMAGE, np.ones((3, 3)), {"metric": "orientation"}),
}  # fmt: skip


@pytest.mark.engine_free
@each("call", [tmatch.match_template, tmatch.score_validity])
@pytest.mark.parametrize("case", UNFIT)
def test_arrays_that_cannot_be_scored_are_refused_by_name(call, case):
    name, image, template, options = UNFIT[case]
    with pytest.raises(ValueError, match=f"`{name}`"):
        call(image, template, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"image_mask": np.zeros((5, 6), bool)},
        {"image_mask": np.arange(30).reshape(5, 6) % 4 == 0},
        {"image_mask": np.arange(30).reshape(5, 6) % 2 == 0, "min_overlap": 0.7},
        {"image_mask": np.eye(5, 6, dtype=bool), "output": "full", "min_overlap": 1},
    ],
)
@each("metric", METRICS)
def test_a_search_without_any_place_is_refused(metric, options):
    template = np.arange(12.0).reshape(3, 4) ** 2
    with pytest.raises(ValueError, match="`(min_overlap|image_mask|image)`"):
        tmatch.match_template(IMAGE, template, metric=metric, **options)


@pytest.mark.parametrize("metric", ["cc", "zcc", "ssd"])
def test_sums_take_any_template(metric):
    for template in (np.ones((2, 3)), np.zeros((2, 3)), np.full((1, 1), 3)):
        assert_scores(IMAGE, template, metric=metric)


@pytest.mark.parametrize("output", ["same", "full"])
@pytest.mark.parametrize("metric", METRICS)
def test_a_template_may_be_larger_than_the_image_if_it_may_hang_over(draw, metric, output):
    scene = draw((9, 11), "u1")
    scores = assert_scores(scene[2:7, 3:9], scene, metric=metric, output=output, min_overlap=0.1)
    if metric not in ("cc", "zcc", "ssd") and output == "full":
        start = tuple(i - k + 1 for i, k in zip(best_place(scores), scene.shape, strict=True))
        assert start == (-2, -3)


@pytest.mark.parametrize(("precision", "scale"), [("double", 1e200), ("single", 1e20)])
@pytest.mark.parametrize("metric", SUMS)
def test_sums_beyond_the_largest_number_are_refused(draw, metric, precision, scale):
    image, template = draw((12, 13)) * scale, draw((5, 6), seed=1) * scale
    with pytest.raises(ValueError, match="`image`"):
        tmatch.match_template(image, template, metric=metric, precision=precision)


# --- found by attack ------------------------------------------------------------------------------


def test_time_stamps_keep_their_digits_with_masks_channels_and_differences():
    stamps = 1_700_000_000_000_000_000 + np.random.default_rng(0).integers(0, 100, 200)
    mask = np.arange(20) != 3
    assert best_place(tmatch.match_template(stamps, stamps[50:70], mask=mask)) == (50,)
    assert best_place(tmatch.match_template(stamps, stamps[50:70], mask=mask * 0.5)) == (50,)
    colours = stamps[:, None] + np.array([0, 5, 9])
    joint = tmatch.match_template(colours, colours[50:70], channel_axis=1, channel_means="joint")
    assert best_place(joint) == (50,)
    differences = tmatch.match_template(stamps, stamps[50:70], metric="ssd")
    assert np.argwhere(differences == 0).tolist() == [[50]]
    grid = stamps.reshape(10, 20)
    assert best_place(tmatch.match_template(grid, grid[3:7, 5:12], metric="orientation")) == (3, 5)


@pytest.mark.parametrize("factor", [1e-300, 1e-160, 255, 1e155, 1e300])
def test_only_the_proportions_of_weights_matter(draw, factor):
    image, template, mask = draw((12, 13)), draw((4, 5), seed=1), np.abs(draw((4, 5), seed=2)) + 0.1
    for metric in NORMALISED:
        expected = tmatch.match_template(image, template, metric=metric, mask=mask)
        scores = tmatch.match_template(image, template, metric=metric, mask=mask * factor)
        np.testing.assert_allclose(scores, expected, rtol=1e-9, atol=BOUND)


@pytest.mark.parametrize("factor", [1e-170, 1e170])
def test_one_gain_on_both_does_not_change_nssd_however_large(draw, factor):
    image, template = draw((12, 13)), draw((4, 5), seed=1)
    expected = tmatch.match_template(image, template, metric="nssd")
    scores = tmatch.match_template(image * factor, template * factor, metric="nssd")
    np.testing.assert_allclose(scores, expected, rtol=1e-9)


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("metric", METRICS)
def test_how_numpy_handles_floating_point_errors_changes_nothing(draw, metric, precision):
    image = draw((40, 50)) * np.where(np.arange(40) < 20, 1e-170, 1)[:, None]
    template = image[15:24, 10:17]
    options = {"metric": metric, "precision": precision, "output": "full"}
    expected = tmatch.match_template(image, template, **options)
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(tmatch.match_template(image, template, **options), expected)
        tmatch.score_validity(image, template, metric=metric)
        tmatch.locate(image, template, metric=metric, threshold=0)


@each("call", [
    tmatch.explain,
    tmatch.locate,
    tmatch.best_match,
    tmatch.correlate,
    tmatch.convolve,
    lambda image, template: tmatch.Matcher(template).score(image),
    lambda image, template: tmatch.inspect_template(template, image),
    lambda image, _: tmatch.find_peaks(image),
    lambda image, _: tmatch.estimate_noise(image),
    lambda image, _: tmatch.to_range(image, how="rescale"),
    lambda *_: tmatch.kernels.gaussian(0.05, 99),
])  # fmt: skip
def test_underflow_raises_nowhere(draw, call):
    image = draw((40, 50)) * np.where(np.arange(40) < 20, 1e-170, 1)[:, None]
    template = image[15:24, 10:17] * image[15, 10]
    with np.errstate(all="raise"):
        call(image, template)


@pytest.mark.parametrize("factor", ["1e-4000", "1e-35", "1e35", "1e4000"])
def test_nssd_of_long_doubles_does_not_change_with_one_gain_on_both(draw, factor):
    image, template = draw((12, 13)), draw((4, 5), seed=1)
    expected = tmatch.match_template(image, template, metric="nssd")
    factor = np.longdouble(factor)
    scores = tmatch.match_template(image * factor, template * factor, metric="nssd")
    np.testing.assert_allclose(scores, expected, rtol=1e-9)


@each("factor", [1e-250, 1e-158, 1e-140, 1e140, 1e158, 1e250])
def test_nssd_keeps_its_digits_where_scales_are_far_apart(draw, factor):
    image, template = draw((12, 13)), draw((4, 5), seed=1)
    assert_scores(image, template * factor, metric="nssd")
    template = template * np.where(np.arange(5) == 1, factor, 1)
    assert_scores(image, template, metric="nssd", output="full", min_overlap=0.1)


@each("scale", [1e-20, 1e-15, 1e15, 1e20])
@pytest.mark.parametrize("metric", NORMALISED)
def test_a_channel_without_weight_does_not_change_the_scale_of_single_precision(draw, metric, scale):
    image = (draw((12, 10, 3)) * scale).astype("f4")
    options = {"metric": metric, "channel_axis": 2, "channel_weights": [1, 0, 0]}
    expected = tmatch.match_template(image, image[2:7, 1:9], **options)
    scores = tmatch.match_template(image, image[2:7, 1:9], **options, precision="single")
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)


@each("scale", [1, 1e18, 1e100, 1e150])
def test_copies_differ_by_nothing_in_single_precision_too(draw, scale):
    image = draw((6, 7)) * scale
    scores = tmatch.match_template(image, image, metric="ssd", precision="single")
    np.testing.assert_array_equal(scores, [[0]])


@each("dtype", ["u1", "u2"])
@pytest.mark.parametrize("metric", ["cc", "zcc"])
def test_what_is_seen_of_a_template_may_be_nothing_in_single_precision_too(draw, metric, dtype):
    image, template = draw((40, 40), dtype), np.zeros((9, 8), dtype)
    template[:4, :4] = draw((4, 4), dtype, 1)
    options = {"metric": metric, "output": "full", "min_overlap": 0.1}
    expected, _, scale = oracle.score(image, template, **options)
    scores = tmatch.match_template(image, template, **options, precision="single")
    assert np.count_nonzero(scale == 0) > 1
    assert np.all(np.abs(scores - expected) <= 1e-4 * scale)


@pytest.mark.parametrize("metric", ["cc", "zcc"])
def test_nothing_gives_nothing_in_single_precision_too(draw, metric):
    image = np.zeros((40, 40), "u2")
    image[20:, 20:] = draw((20, 20), "u2")
    scores = tmatch.match_template(image, image[22:30, 22:30], metric=metric, precision="single")
    assert np.all(scores[:12] == 0)
    assert best_place(scores) == (22, 22)


def test_long_doubles_beyond_float64_are_scored_or_refused():
    image = np.array([1, 2, 4, 1], np.longdouble) * np.longdouble("1e4000")
    assert best_place(tmatch.match_template(image, [1, 2.0, 4], metric="ncc")) == (0,)
    with pytest.raises(ValueError, match="pass the largest float64"):
        tmatch.match_template(image, [1, 2.0, 4], metric="cc")


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_do_not_change_a_bit(execute, draw, workers):
    execute(threaded_work=0)
    image, template = draw((300, 310), "f4"), draw((9, 8), "f4", 1)
    expected = tmatch.match_template(image, template)
    np.testing.assert_array_equal(tmatch.match_template(image, template, workers=workers), expected)
    filtered = tmatch.convolve(image, template, workers=workers)
    np.testing.assert_array_equal(filtered, tmatch.convolve(image, template))
    assert tmatch.best_match(image, template, workers=workers) == tmatch.best_match(image, template)


@pytest.mark.engine_free
@pytest.mark.parametrize("workers", [0, -1, 1.5, "2"])
def test_numbers_of_workers_that_cannot_be_are_refused(workers):
    for call in (tmatch.match_template, tmatch.convolve, tmatch.locate):
        with pytest.raises(ValueError, match="`workers` is .*; it must be a whole number of at least 1"):
            call(np.eye(5), np.eye(3), workers=workers)
