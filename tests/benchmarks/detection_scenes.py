"""Images and templates for the studies of the decision: photographs, drawn screens, scanned text, signals."""

import functools
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import DATASETS
from detection_trials import Pixels, Trial
from PIL import Image, ImageDraw, ImageFont, ImageOps

import tmatch

BUNDLED = {
    "astronaut", "brick", "camera", "cell", "chelsea", "clock_motion", "coffee", "coins", "grass", "gravel",
    "hubble_deep_field", "ihc", "moon", "motorcycle_left", "page", "retina", "rocket", "text",
}  # fmt: skip
SIDES, LEAST_CONTRAST = (16, 64), 8  # of templates: pixels, and grey levels
SCREEN, SCAN = (560, 840), (560, 760)
WORDS = (
    "Archive", "Budget", "Cancel", "Delete", "Export", "Filter", "Gallery", "History", "Insert", "Journal",
    "Keyboard", "Layout", "Message", "Network", "Options", "Preview", "Quality", "Refresh", "Search", "Toolbar",
    "Update", "Volume", "Window", "Zoom", "Account", "Browse", "Contact", "Display", "Editor", "Folder",
)  # fmt: skip
SIGNALS, SIGNAL_LENGTH = ("white", "smooth", "ringing"), 20_000


class Scene(NamedTuple):
    """An image, and a template to search for in it; the first positions of its copies and of similar objects."""

    image: Pixels
    template: Pixels
    about: str = ""
    copies: Sequence[Sequence[int]] | Pixels = ()
    twins: Sequence[Sequence[int]] | Pixels = ()
    tolerance: int = 2  # pixels
    channel_axis: int | None = None


# --- photographs ----------------------------------------------------------------------------------


def files_of(folder: Path | None) -> list[Path]:
    """Return the images of a folder; without one those that come with scikit-image, and the raccoon."""
    if folder is not None:
        return sorted(p for p in folder.iterdir() if p.suffix.lower() in Image.registered_extensions())
    spec = importlib.util.find_spec("skimage")
    bundled = sorted((Path(spec.origin).parent / "data").iterdir())
    return [p for p in bundled if p.stem in BUNDLED] + [DATASETS / "raccoon" / "face_gray.png"]


@functools.lru_cache(maxsize=1)
def photos_of(folder: Path | None) -> dict[str, Pixels]:
    """Return grey images of 8 bits by name, none too large, none too small for a template."""
    most = 900 if folder is None else 800
    photos = {p.parent.name if p.stem == "face_gray" else p.stem: grey(p, most) for p in files_of(folder)}
    return {name: pixels for name, pixels in photos.items() if min(pixels.shape) >= 2 * SIDES[1]}


def grey(path: Path, most: int) -> Pixels:
    with Image.open(path) as file:
        photo = ImageOps.exif_transpose(file).convert("L")
    photo.thumbnail((most, most), Image.Resampling.LANCZOS)
    return np.asarray(photo)


def cut(
    photo: Pixels, rng: np.random.Generator, sides: tuple[int, int] = SIDES, contrast: float = LEAST_CONTRAST
) -> tmatch.Box | None:
    """Choose a piece that is not nearly flat."""
    for _ in range(1000):
        shape = tuple(rng.integers(sides[0], sides[1] + 1, 2).tolist())
        start = tuple(int(rng.integers(n - k + 1)) for n, k in zip(photo.shape, shape, strict=True))
        box = tmatch.Box(start, shape)
        if photo[box.slices].std() >= contrast:
            return box
    return None


def draw(
    photos: dict[str, Pixels], rng: np.random.Generator, count: int, **kind: Any
) -> tuple[list[str], tmatch.Box]:
    """Choose so many photographs, and a piece of the last."""
    for _ in range(1000):
        names = [str(name) for name in rng.choice(list(photos), count, replace=False)]
        box = cut(photos[names[-1]], rng, **kind)
        if box:
            return names, box
    msg = f"no image has a piece with a standard deviation of {LEAST_CONTRAST} grey levels"
    raise ValueError(msg)


def other_photo(trial: Trial) -> Scene:
    """Search a photograph for a piece of another one."""
    photos = photos_of(trial.folder)
    (where, what), box = draw(photos, trial.rng(), 2)
    return Scene(photos[where], photos[what][box.slices], f"{what} in {where}")


def noisy_photo(trial: Trial) -> Scene:
    """Search a photograph with noise for a clean piece of another one."""
    photos, [sigma], rng = photos_of(trial.folder), trial.setting, trial.rng(*trial.setting)
    (where, what), box = draw(photos, rng, 2)
    image = tmatch.to_range(photos[where] + rng.normal(0, sigma, photos[where].shape))
    return Scene(image, photos[what][box.slices], f"{what} in {where}")


def small_photo(trial: Trial) -> Scene:
    """Search a small piece of a photograph for a piece of another one that is not much smaller."""
    (side, k), rng = trial.setting, trial.rng(*trial.setting)
    photos = {name: photo for name, photo in photos_of(trial.folder).items() if min(photo.shape) >= side}
    [where], window = draw(photos, rng, 1, sides=(side, side))
    image = photos.pop(where)[window.slices]
    [what], box = draw(photos, rng, 1, sides=(k, k))
    return Scene(image, photos[what][box.slices], f"{what} in {where}")


# --- drawn ----------------------------------------------------------------------------------------


def screen(trial: Trial) -> Scene:
    """Search a drawn screen for a piece of another one, with text that the first one does not have."""
    return _other_words(trial, _draw_screen, sizes=range(11, 19))


def scan(trial: Trial) -> Scene:
    """Search a scanned page for a piece of another one, with text that the first one does not have."""
    return _other_words(trial, _draw_scan, sizes=range(14, 26))


Words = list[str]
# Draws words in letters of some size, and returns the page and the boxes of the words.
Drawing = Callable[[np.random.Generator, Words, int], tuple[Pixels, list[tmatch.Box]]]


def _other_words(trial: Trial, make: Drawing, sizes: Sequence[int]) -> Scene:
    """Draw pages of other words in letters of other sizes; the template shows a third of a word, or more."""
    rng = trial.rng()
    words, (size, other) = rng.permutation(WORDS).tolist(), rng.permutation(sizes)[:2].tolist()
    image, _ = make(rng, words[: len(words) // 2], size)
    page, boxes = make(rng, words[len(words) // 2 :], other)
    box = boxes[int(rng.integers(len(boxes)))]
    least = 2, -(box.shape[1] // 3)
    start = np.maximum(np.array(box.start) - rng.integers(least, 30), 0)
    stop = np.minimum(np.array(box.stop) + rng.integers(least, 30), page.shape)
    return Scene(image, page[start[0] : stop[0], start[1] : stop[1]].copy())


def _draw_screen(rng: np.random.Generator, words: Words, size: int) -> tuple[Pixels, list[tmatch.Box]]:
    """Draw a bar with a title, and a grid of buttons with a disc and lines of text."""
    page = Image.new("L", SCREEN[::-1], int(rng.integers(190, 245)))
    pen, boxes = ImageDraw.Draw(page), []
    font = ImageFont.load_default(size=size)
    face, ink, edge = (int(rng.integers(*bounds)) for bounds in ((225, 256), (0, 90), (100, 170)))
    pen.rectangle([0, 0, SCREEN[1], 35], fill=int(rng.integers(30, 110)))
    for i, word in enumerate(words[:6]):
        boxes.append(_write(pen, (16 + 100 * i, 10), word, 240, font))
    rows, columns = (int(n) for n in rng.integers(3, 7, 2))
    height, width = (SCREEN[0] - 60) // rows, (SCREEN[1] - 20) // columns
    radius, disc = int(rng.integers(2, 12)), int(rng.integers(5, 12))
    for y in range(48, 48 + rows * height, height):
        for x in range(16, 16 + columns * width, width):
            pen.rounded_rectangle([x, y, x + width - 14, y + height - 12], radius, face, edge)
            pen.ellipse([x + 10, y + 10, x + 10 + 2 * disc, y + 10 + 2 * disc], int(rng.integers(40, 210)))
            for k in range(int(rng.integers(1, height // 30 + 1))):
                word = words[int(rng.integers(len(words)))]
                boxes.append(_write(pen, (x + 18 + 2 * disc, y + 10 + 22 * k), word, ink, font))
    return np.asarray(page), boxes


def _draw_scan(rng: np.random.Generator, words: Words, size: int) -> tuple[Pixels, list[tmatch.Box]]:
    """Draw lines of text that are not quite level, with noise, in black and white."""
    page = Image.new("L", SCAN[::-1], 255)
    pen, boxes = ImageDraw.Draw(page), []
    font = ImageFont.load_default(size=size)
    for y in range(20, SCAN[0] - 2 * size, round(1.5 * size)):
        x = 24
        while x < SCAN[1] - 6 * size:
            boxes.append(_write(pen, (x, y), words[int(rng.integers(len(words)))], 0, font))
            x = boxes[-1].stop[1] + size // 3
    page = page.rotate(rng.normal(0, 0.5), Image.Resampling.BICUBIC, fillcolor=255)
    return np.where(page + rng.normal(0, 25, SCAN) < 128, np.uint8(0), np.uint8(255)), boxes


def _write(
    pen: ImageDraw.ImageDraw, at: tuple[int, int], word: str, ink: int, font: ImageFont.FreeTypeFont
) -> tmatch.Box:
    """Write a word, and return its box."""
    pen.text(at, word, fill=ink, font=font)
    left, top, right, bottom = (round(side) for side in pen.textbbox(at, word, font=font))
    return tmatch.Box((top, left), (bottom - top, right - left))


def glyph(text: str, k: int = 24, ink: int = 15, paper: int = 250) -> Pixels:
    """Draw a letter in the middle of a square."""
    square = Image.new("L", (k, k), paper)
    ImageDraw.Draw(square).text(
        (k / 2, k / 2), text, fill=ink, font=ImageFont.load_default(size=k - 3), anchor="mm"
    )
    return np.asarray(square, float)


# --- noise and signals ----------------------------------------------------------------------------


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> Pixels:
    """Blur white noise, and return it with mean 0 and standard deviation 1."""
    from scipy.ndimage import gaussian_filter

    values = gaussian_filter(rng.normal(size=shape), sigma, mode="wrap")
    return (values - values.mean()) / values.std()


def signal(trial: Trial) -> Scene:
    """Search a signal of one dimension for a piece of another one of its kind."""
    (kind, length), rng = trial.setting, trial.rng(*trial.setting)
    image, other = (_line(rng, SIGNALS[kind]) for _ in range(2))
    return Scene(image, other[:length])


def _line(rng: np.random.Generator, kind: str) -> Pixels:
    if kind != "ringing":
        return smooth_noise(rng, (SIGNAL_LENGTH,), 4 if kind == "smooth" else 0)
    t = np.arange(60)
    ring = np.sin(t / 2.2) * np.exp(-t / 15)
    return np.convolve(rng.normal(size=SIGNAL_LENGTH + len(t) - 1), ring, "valid")
