"""The door for those who come from PyScreeze and PyAutoGUI: its published cases, and PyScreeze live if installed."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from loops import each
from tmatch.compat import pyscreeze

pytestmark = pytest.mark.one_engine

NotFound = pyscreeze.ImageNotFoundException


@pytest.fixture
def quiet(monkeypatch):
    """Let images that are not found be told by None."""
    monkeypatch.setattr(pyscreeze, "USE_IMAGE_NOT_FOUND_EXCEPTION", False)


@pytest.fixture
def theirs():
    return pytest.importorskip("pyscreeze", exc_type=ImportError)


def boxes(*args, **options):
    return [tuple(box) for box in pyscreeze.locateAll(*args, **options)]


@pytest.mark.engine_free
def test_the_door_does_not_import_the_library_it_stands_in_for():
    code = "import sys, tmatch; tmatch.compat.pyscreeze; print({'pyscreeze', 'cv2', 'mss', 'PIL'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


# --- published by PyScreeze -----------------------------------------------------------------------


def diagonal(side, start=0, length=None):
    """Draw a line from the top left to the bottom right, black on white."""
    image = np.full((side, side, 3), 255, np.uint8)
    steps = np.arange(start, side if length is None else start + length)
    image[steps, steps] = 0
    return image


SLASH = diagonal(4)
NOISE = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
HAYSTACKS = [  # where the slash is: once, three times one upon the other, nowhere
    (diagonal(100, 94, 4), [(94, 94, 4, 4)]),
    (diagonal(100, 93, 6), [(93, 93, 4, 4), (94, 94, 4, 4), (95, 95, 4, 4)]),
    (NOISE, []),
]


def as_file(folder, pixels):
    path = folder / f"{pixels.shape[0]}-{pixels.sum()}.png"
    Image.fromarray(pixels).save(path)
    return str(path)


@each("pixels, expected", HAYSTACKS)
@each("kind", ["file", "Pillow", "array"])
@each("grayscale", [None, True, False])
@each("confidence", [0.999, 0.9])
def test_slashes_are_found(tmp_path, grayscale, kind, pixels, expected, confidence):
    make = {"file": lambda a: as_file(tmp_path, a), "Pillow": Image.fromarray, "array": np.copy}[kind]
    needle, haystack = make(SLASH), make(pixels)
    options = {"grayscale": grayscale, "confidence": confidence}
    if expected:
        assert boxes(needle, haystack, **options) == expected
        assert pyscreeze.locate(needle, haystack, **options) == expected[0]
        assert boxes(needle, haystack, **options, limit=1) == expected[:1]
        return
    for call in (
        lambda: boxes(needle, haystack, **options),
        lambda: pyscreeze.locate(needle, haystack, **options),
    ):
        with pytest.raises(NotFound, match=r"Could not locate the image \(highest confidence = 0\.\d{3}\)"):
            call()


@pytest.mark.engine_free
def test_what_is_nowhere_is_none_if_no_exception_is_wanted(quiet):  # noqa: ARG001
    assert boxes(SLASH, NOISE) == []
    assert pyscreeze.locate(SLASH, NOISE) is None


@pytest.mark.engine_free
@each("step", [1, 2, 4, 8, 16, 32])
@each("side", [10, 30, 100])
@each("grayscale", [True, False])
def test_the_corner_of_noise_is_found_whatever_the_step(grayscale, side, step):
    noise = np.random.default_rng(1).integers(0, 256, (150, 180, 3), np.uint8)
    found = pyscreeze.locate(noise[-side:, -side:], noise, grayscale=grayscale, step=step)
    assert found == (180 - side, 150 - side, side, side)


@pytest.mark.engine_free
@each(
    "box, middle",
    [
        ((0, 0, 20, 20), (10, 10)), ((5, 5, 10, 10), (10, 10)), ((0, 0, 200, 200), (100, 100)),
        ((50, 50, 100, 100), (100, 100)), ((10, 10, 6, 8), (13, 14)), ((10, 10, 7, 9), (13, 14)),
        ((10, 10, 8, 10), (14, 15)),
    ],
)  # fmt: skip
def test_centers(box, middle):
    assert pyscreeze.center(box) == middle
    assert pyscreeze.center(pyscreeze.Box(*box)) == pyscreeze.Point(*middle)


@pytest.mark.engine_free
def test_its_names_are_there():
    names = [
        "center",
        "locate",
        "locateAll",
        "locateAllOnScreen",
        "locateCenterOnScreen",
        "locateOnScreen",
        "pixel",
    ]
    assert all(callable(getattr(pyscreeze, name)) for name in [*names, "pixelMatchesColor", "screenshot"])
    assert issubclass(pyscreeze.ImageNotFoundException, pyscreeze.PyScreezeException)


# --- equals the definition ------------------------------------------------------------------------


@pytest.mark.engine_free
@each("channels", [None, 3])
@each("dtype", ["?", "u1", "i2", "f4"])
@each("shape", [(1, 1), (1, 4), (3, 1), (2, 2), (3, 4), (9, 11)])
def test_equal_pixels_are_found_wherever_they_are(shape, dtype, channels, quiet):  # noqa: ARG001
    rng = np.random.default_rng(0)
    axes = () if channels is None else (channels,)
    height, width = shape
    for levels in (1, 2, 3):
        image = rng.integers(0, levels, (9, 11, *axes)).astype(dtype)
        needle = image[:height, -width:].copy()
        places = itertools.product(range(10 - height), range(12 - width))
        expected = [
            (x, y, width, height) for y, x in places if (image[y : y + height, x : x + width] == needle).all()
        ]
        assert boxes(needle, image, grayscale=False) == expected
        assert set(expected) <= set(boxes(needle, image, grayscale=False, confidence=0.9))
        assert boxes(needle, image, grayscale=False, limit=2) == expected[:2]


# --- live -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def desktop(picture):
    return picture("screenshot/image.png")[..., :3], picture("screenshot/icon.png")[..., :3]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@each("region", [None, (100, 50, 500, 300)])
@each("grayscale", [True, False])
def test_equal_pixels_are_found_as_by_both_back_ends(desktop, theirs, grayscale, region):
    screen, icon = map(Image.fromarray, desktop)
    found = boxes(icon, screen, grayscale=grayscale, region=region)
    assert len(found) > 1
    assert found == [tuple(b) for b in theirs.locateAll(icon, screen, grayscale=grayscale, region=region)]
    pillow = theirs._locateAll_pillow(icon, screen, grayscale=grayscale, region=region)
    assert found == [tuple(b) for b in pillow]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@each("confidence", [0.95, 0.9, 0.8, 0.7])
@each("grayscale", [True, False])
def test_each_object_is_one_of_their_boxes_where_they_give_many(desktop, theirs, grayscale, confidence):
    screen, icon = map(Image.fromarray, desktop)
    options = {"grayscale": grayscale, "confidence": confidence}
    found, many = (np.array([*m.locateAll(icon, screen, **options)]) for m in (pyscreeze, theirs))
    assert set(map(tuple, found)) <= set(map(tuple, many))
    near = abs(many[:, None, :2] - found[None, :, :2]).max(axis=2).min(axis=1)
    assert (near < max(icon.size)).all()
    assert [*map(tuple, found)] == sorted(map(tuple, found), key=lambda box: (box[1], box[0]))


# --- where we differ from PyScreeze ---------------------------------------------------------------


def test_other_brightness_is_not_equal_but_alike(desktop):
    screen, icon = desktop
    greyed = 128 + screen // 2
    for confidence in (1, 0.999):
        with pytest.raises(
            NotFound, match=r"= 1\.000\): from `confidence` 0\.999 on, all pixels must be equal"
        ):
            pyscreeze.locate(icon, greyed, confidence=confidence)
    assert set(boxes(icon, screen)) <= set(boxes(icon, greyed, confidence=0.99))


def test_each_object_is_found_once_besides_all_that_are_equal(draw):
    needle = np.array(draw((12, 15), "u1"))
    image = np.array(draw((80, 90), "u1", 1))
    image[10:22, 20:35] = needle
    image[50:62, 40:55] = np.clip(needle.astype(int) + draw((12, 15), "f8", 2) * 20, 0, 255)
    assert boxes(needle, image) == [(20, 10, 15, 12)]
    assert boxes(needle, image, confidence=0.8) == [(20, 10, 15, 12), (40, 50, 15, 12)]
    assert boxes(needle, image, confidence=0.8, region=(0, 15, 90, 65)) == [(40, 50, 15, 12)]


@pytest.mark.engine_free
def test_a_single_colour_is_found_where_pixels_are_equal():
    image = np.array(NOISE[:20, :20])
    image[3:7, 5:9] = image[12:15, 2:5] = 77
    flat = np.full((3, 3, 3), 77, np.uint8)
    expected = [(5, 3, 3, 3), (6, 3, 3, 3), (5, 4, 3, 3), (6, 4, 3, 3), (2, 12, 3, 3)]
    for confidence, grayscale in itertools.product((1, 0.5), (True, False)):
        assert boxes(flat, image, confidence=confidence, grayscale=grayscale) == expected
    with pytest.raises(NotFound, match="it has a single colour"):
        pyscreeze.locate(flat, NOISE, confidence=0.5)


@pytest.mark.engine_free
def test_images_of_any_kind_go_together(tmp_path):
    path = as_file(tmp_path, NOISE)
    part = NOISE[20:30, 40:52]
    backwards = part[..., ::-1]  # blue, green, red
    clear = np.dstack([part, np.zeros((10, 12), np.uint8)])
    needles = [Image.fromarray(part), backwards, np.dstack([backwards, part[..., 0]]), Image.fromarray(clear)]
    for needle, grayscale in itertools.product(needles, (True, False)):
        assert pyscreeze.locate(needle, path, grayscale=grayscale) == (40, 20, 12, 10)
    grey = Image.fromarray(part).convert("L")
    with pytest.raises(NotFound):
        pyscreeze.locate(grey, path, grayscale=False)
    shades = np.array(NOISE[..., 0])
    assert pyscreeze.locate(shades[5:9, 6:9], np.dstack([shades] * 3), grayscale=False) == (6, 5, 3, 4)
    for dtype in ("u2", "f4", "i8"):
        wide = NOISE.astype(dtype) * 100
        assert pyscreeze.locate(wide[5:9, 6:9], wide, grayscale=False) == (6, 5, 3, 4)
        assert pyscreeze.locate(wide[5:9, 6:9], wide) == (6, 5, 3, 4)


@pytest.mark.engine_free
def test_numbers_are_those_of_python():
    box = pyscreeze.locate(NOISE[5:9, 6:9], NOISE)
    assert repr(box) == "Box(left=6, top=5, width=3, height=4)"
    assert repr(pyscreeze.center(box)) == "Point(x=7, y=7)"


# --- on the screen --------------------------------------------------------------------------------


def watch(needle, screens, seconds):
    """Wait for a needle, while each screenshot takes a second; return how many screens were left, too."""
    shown, clock = iter(screens), itertools.count()
    found = pyscreeze._wait(lambda: next(shown), lambda: next(clock), needle, seconds, None, None, 0.999)
    return found, len([*shown])


def test_it_is_waited_for(quiet):  # noqa: ARG001
    button, empty = NOISE[5:9, 6:9], np.zeros_like(NOISE)
    screens = [empty, empty, NOISE, empty]
    assert watch(button, screens, 10) == ((6, 5, 3, 4), 1)
    assert watch(button, screens, 3) == ((6, 5, 3, 4), 1)
    assert watch(button, screens, 2) == (None, 2)
    assert watch(button, screens, 0) == (None, 3)


def test_after_the_time_the_exception_tells_what_was_seen():
    with pytest.raises(NotFound, match=r"highest confidence = 0\.000"):
        watch(NOISE[5:9, 6:9], [np.zeros_like(NOISE)] * 9, 3)


@pytest.mark.engine_free
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a screen")
@each(
    "call",
    [
        pyscreeze.screenshot,
        lambda: pyscreeze.pixel(0, 0),
        lambda: pyscreeze.pixelMatchesColor(0, 0, (1, 2, 3)),
        lambda: pyscreeze.locateOnScreen(SLASH),
        lambda: pyscreeze.locateCenterOnScreen(SLASH),
        lambda: pyscreeze.locateAllOnScreen(SLASH),
        lambda: pyscreeze.locateOnScreenNear(SLASH, 3, 4),
        lambda: pyscreeze.locateCenterOnScreenNear(SLASH, 3, 4),
    ],
)
def test_without_a_screen_one_sentence_says_so(monkeypatch, call):
    pytest.importorskip("mss")
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(pyscreeze.PyScreezeException, match="the screen cannot be captured: "):
        call()


@pytest.mark.engine_free
def test_without_mss_one_sentence_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "mss", None)
    with pytest.raises(pyscreeze.PyScreezeException, match=r"mss .* pip install 'tmatch\[screen\]'$"):
        pyscreeze.screenshot()


@pytest.mark.engine_free
def test_windows_are_not_known():
    with pytest.raises(pyscreeze.PyScreezeException, match="pass the window's left, top, width and height"):
        pyscreeze.locateOnWindow(SLASH, "Notepad")


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.engine_free
@each(
    "needle, haystack, options, error, words",
    [
        (
            NOISE,
            SLASH,
            {},
            ValueError,
            r"needle dimension\(s\) exceed the haystack .*: 100 x 100 in 4 x 4 pixels",
        ),
        (SLASH, NOISE, {"region": (0, 0, 9, 3)}, ValueError, r"needle dimension\(s\) exceed"),
        (
            SLASH,
            NOISE,
            {"region": (-5, 0, 50, 50)},
            ValueError,
            r"`region` is \(-5, 0, 50, 50\); it must begin in",
        ),
        (
            SLASH,
            NOISE,
            {"region": (0, 100, 50, 50)},
            ValueError,
            "`region` is .* it must begin in the image, 100 x 1",
        ),
        (SLASH, NOISE, {"region": ()}, ValueError, r"`region` is \(\); it must be four whole numbers"),
        (SLASH, NOISE, {"region": (0, 0, 50)}, ValueError, "`region` is .* it must be four whole numbers"),
        (
            SLASH,
            NOISE,
            {"region": (0.5, 0, 50, 50)},
            ValueError,
            "`region` is .* it must be four whole numbers",
        ),
        (SLASH, NOISE, {"confidence": 80}, ValueError, "`confidence` is 80; it must be from 0 to 1"),
        (SLASH, NOISE, {"confidence": "high"}, ValueError, "`confidence` is 'high'"),
        (SLASH, NOISE, {"limit": 0}, ValueError, "`limit` is 0; it must be a whole number of at least 1"),
        (SLASH[:0], NOISE, {}, ValueError, r"`needleImage` has shape \(0, 4, 3\)"),
        (
            SLASH,
            NOISE[..., :2],
            {},
            ValueError,
            r"`haystackImage` has shape \(100, 100, 2\); it must be \(H, W\)",
        ),
        (SLASH, NOISE * np.nan, {}, ValueError, "`haystackImage` has NaN"),
        (
            [[1, 2]],
            NOISE,
            {},
            TypeError,
            "`needleImage` is a list; it must be a file name, a Pillow image or an array",
        ),
        ("no-such-file.png", NOISE, {}, OSError, 'cannot read "no-such-file.png"'),
    ],
)
def test_what_makes_no_sense_is_refused(needle, haystack, options, error, words):
    with pytest.raises(error, match=words):
        boxes(needle, haystack, **options)
