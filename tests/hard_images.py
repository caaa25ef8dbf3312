"""Images on which scores lose digits, of any size, for tests and benchmarks; and scores by definition, fast enough for
whole maps."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[Any]
Place = tuple[int, int]
_GROUP_PIXELS = 2**20  # of windows that are summed at once


@dataclass(frozen=True)
class Ground:
    """What images are made of."""

    noise: Array  # of standard deviation 1, independent
    soft: Array  # the same, smooth
    plateaus: Array  # 9 x 12 levels between 0 and 1
    y: Array
    x: Array

    @classmethod
    def of(cls, shape: Place, seed: int) -> "Ground":
        rng = np.random.default_rng(seed)
        noise, soft = rng.normal(size=shape), ndimage.gaussian_filter(rng.normal(size=shape), 2)
        y, x = np.mgrid[: shape[0], : shape[1]]
        plateaus = rng.random((9, 12))[y * 9 // shape[0], x * 12 // shape[1]]
        return cls(noise, soft / soft.std(), plateaus, y, x)

    @property
    def right(self) -> Array:
        """The right half."""
        return self.x >= self.x.shape[1] // 2

    @property
    def down(self) -> Array:
        """From 0 to 1 down the rows."""
        return self.y / self.y.shape[0]

    @property
    def across(self) -> Array:
        """From 0 to 1 along the columns."""
        return self.x / self.x.shape[1]

    def but_one(self, image: Array, value: Any) -> Array:
        """The image with another value in one pixel."""
        return np.where(
            (self.y == odd_pixel(image.shape)[0]) & (self.x == odd_pixel(image.shape)[1]), value, image
        )


def odd_pixel(shape: Place) -> Place:
    """Where images have their one odd pixel: near the middle, where regions meet."""
    return shape[0] * 5 // 9, shape[1] * 25 // 48


# Patches are of 40 pixels, stripes of a sixth of the width.
FLOATS: dict[str, tuple[str, Callable[[Ground], Array]]] = {
    "offset 1e8, contrast 1": ("f8", lambda g: 1e8 + g.noise),
    "offset 1e8, contrast 1e-6": ("f8", lambda g: 1e8 + 1e-6 * g.noise),
    "texture 1 about 1000": ("f4 f2", lambda g: 1000 + g.soft),
    "flat 1e6 beside texture 1": ("f8 f4", lambda g: np.where(g.right, 1e6, g.noise)),
    "flat 6e4 beside texture 1": ("f2", lambda g: np.where(g.right, 6e4, g.noise)),
    "texture 1e6 beside texture 1": ("f8", lambda g: np.where(g.right, 1e6 * g.noise, g.soft)),
    "patches of contrast 1 and 1e-6": (
        "f8",
        lambda g: g.noise * np.where((g.y // 40 + g.x // 40) % 2, 1, 1e-6),
    ),
    "stripes of contrast 1 and 1e-6": (
        "f8",
        lambda g: g.noise * np.where((6 * g.x // g.x.shape[1]) % 2, 1, 1e-6),
    ),
    "scale 1e-9": ("f8", lambda g: g.soft * 1e-9),
    "scale 1e9": ("f8", lambda g: g.soft * 1e9),
    "scale 1e-30": ("f4", lambda g: g.soft * 1e-30),
    "ramp + texture 1e-3": ("f8 f4", lambda g: 1e4 + 0.5 * g.y + 0.3 * g.x + 1e-3 * g.noise),
    "one pixel 1e12": ("f8 f4", lambda g: g.but_one(g.soft, 1e12)),
    "0.1 but one pixel, by an ulp": (
        "f8",
        lambda g: g.but_one(np.full(g.x.shape, 0.1), np.nextafter(0.1, 1)),
    ),
    "exp(8 normal)": ("f8 f4", lambda g: np.exp(8 * g.noise)),
    "contrast fading to 1e-9": ("f8 f4", lambda g: g.noise * 10.0 ** (-9 * g.across)),
    "contrast fading to 1e-6": ("f2", lambda g: g.noise * 10.0 ** (-6 * g.across)),
    "plateaus + contrast fading to 1e-9": ("f8", lambda g: g.plateaus + g.noise * 10.0 ** (-1 - 8 * g.down)),
    "plateaus + contrast fading to 1e-6": ("f4", lambda g: g.plateaus + g.noise * 10.0 ** (-1 - 5 * g.down)),
    "two values": ("f8 f4", lambda g: np.where(g.noise > 0, 1.0, -1.0)),  # the largest sums there are
}
# Of integers: what their range ends with is `low` and `high`.
INTEGERS: dict[str, Callable[[Ground, int, int], Array]] = {
    "both ends of the range": lambda g, low, high: np.where(g.noise > 0, high, low),
    "5 levels at the top": lambda g, low, high: high - np.clip(np.rint(g.noise), -2, 2) - 2,  # noqa: ARG005
    "top flat beside few levels": lambda g, low, high: np.where(g.right, high, np.rint(g.noise * 3) + low + 20),
    "one pixel at the top": lambda g, low, high: g.but_one(np.rint(g.soft * 2) + low + 20, high),
    "fading to single levels": lambda g, low, high: np.rint(
        (low + high) // 2 + np.clip(g.noise / 4, -1, 1) * ((high - low) // 2) ** (1 - g.across)
    ),
}  # fmt: skip
INTEGER_DTYPES = "i2", "u2", "i4", "u4"

FLOAT_NAMES = [f"{name}, {dtype}" for name, (dtypes, _) in FLOATS.items() for dtype in dtypes.split()]
INTEGER_NAMES = [f"{name}, {dtype}" for name in INTEGERS for dtype in INTEGER_DTYPES]
NAMES = FLOAT_NAMES + INTEGER_NAMES


def hard_image(name: str, shape: Place, seed: int = 1) -> Array:
    """Make the image of a name, read-only."""
    kind, _, dtype = name.rpartition(", ")
    ground = Ground.of(shape, seed)
    if kind in FLOATS:
        values = FLOATS[kind][1](ground)
    else:
        info = np.iinfo(dtype)
        values = INTEGERS[kind](ground, int(info.min), int(info.max))
    image = np.asarray(values).astype(dtype)
    image.flags.writeable = False
    return image


def template_place(name: str, shape: Place, window: Place, *, across: bool = False) -> Place:
    """Choose where a template is cut: on the left of the middle, or across it, where halves differ."""
    if "ulp" in name:  # nowhere else is anything
        return odd_pixel(shape)[0] - window[0] // 2, odd_pixel(shape)[1] - window[1] // 3
    left = shape[1] // 2 - (window[1] // 2 if across else window[1] * 5 // 4)
    return min(shape[0] * 11 // 24, shape[0] - window[0]), max(left, 0)


def cut(image: Array, place: Place, window: Place) -> Array:
    """Copy a window."""
    return image[place[0] : place[0] + window[0], place[1] : place[1] + window[1]].copy()


# --- the definition -------------------------------------------------------------------------------


def zncc_at(image: Array, template: Array, positions: Array) -> Array:
    """Compute the scores of windows at some positions in long double, as oracle.zncc does; 0 for constant ones."""
    shape = template.shape
    [reference] = _centred(template.reshape(1, -1))
    norm = np.sum(reference**2)
    windows = np.lib.stride_tricks.sliding_window_view(image, shape)
    scores = np.zeros(len(positions))
    group = max(1, _GROUP_PIXELS // template.size)
    for start in range(0, len(positions), group):
        part = windows[tuple(positions[start : start + group].T)].reshape(-1, template.size)
        part = _centred(part)
        norms = np.sum(part**2, axis=1) * norm
        products = np.sum(part * reference, axis=1)
        scores[start : start + group] = np.where(
            norms > 0, products / np.sqrt(np.where(norms > 0, norms, 1)), 0
        )
    return scores


def _centred(rows: Array) -> Array:
    """Take the mean off each row, in long double, and leave nothing of constant ones."""
    values = rows.astype(np.longdouble)
    values -= values[:, :1]  # exact where rows are nearly constant
    for _ in range(2):
        values -= values.mean(axis=1, keepdims=True)
    values[(rows == rows[:, :1]).all(axis=1)] = 0
    return values


def all_positions(image: Array, window: Iterable[int]) -> Array:
    """Every position of a window, in row-major order."""
    return np.argwhere(np.ones(tuple(n - k + 1 for n, k in zip(image.shape, window, strict=True)), bool))


def some_positions(name: str, image: Array, window: Place, count: int, seed: int = 0) -> Array:
    """So many positions anywhere, as many across the middle, those of both templates, and one with the odd pixel."""
    rng, (height, width) = np.random.default_rng(seed), image.shape
    rows = rng.integers(0, height - window[0] + 1, 2 * count)
    anywhere = rng.integers(0, width - window[1] + 1, count)
    across = np.clip(width // 2 - rng.integers(0, window[1] + 2, count), 0, width - window[1])
    odd = odd_pixel(image.shape)
    singles = [
        *(template_place(name, image.shape, window, across=across) for across in (False, True)),
        (min(odd[0] - window[0] // 2, height - window[0]), min(odd[1] - window[1] // 2, width - window[1])),
    ]
    return np.vstack([np.column_stack([rows, np.concatenate([anywhere, across])]), np.maximum(singles, 0)])


def are_constant(image: Array, window: Place) -> NDArray[np.bool_]:
    """Find the windows whose pixels are all equal."""
    filters = (ndimage.maximum_filter, ndimage.minimum_filter)
    high, low = (f(image.astype(np.float64), size=window, origin=_origin(window)) for f in filters)
    return (high == low)[tuple(slice(n - k + 1) for n, k in zip(image.shape, window, strict=True))]


def _origin(window: Place) -> Place:
    """Let a filter's window start at its pixel."""
    return -(window[0] // 2), -(window[1] // 2)


def seen_zncc(image: Array, seen: Array, template: Array, min_overlap: float = 0.5) -> tuple[Array, Array]:
    """Compute the scores of all windows over the pixels that are seen, in long double, and find which have one."""
    shape = template.shape
    windows, parts = (np.lib.stride_tricks.sliding_window_view(array, shape) for array in (image, seen))
    scores, valid = np.zeros(windows.shape[:2]), np.zeros(windows.shape[:2], bool)
    positions = np.argwhere(parts.sum(axis=(2, 3)) >= min_overlap * template.size * (1 - 1e-9))
    group = max(1, _GROUP_PIXELS // template.size)
    for start in range(0, len(positions), group):
        at = tuple(positions[start : start + group].T)
        part = parts[at].reshape(-1, template.size)
        values = _seen_centred(windows[at].reshape(-1, template.size), part)
        references = _seen_centred(np.broadcast_to(template.ravel(), part.shape), part)
        norms = np.sum(values**2, axis=1) * np.sum(references**2, axis=1)
        valid[at] = norms > 0
        products = np.sum(values * references, axis=1)
        scores[at] = np.where(norms > 0, products / np.sqrt(np.where(norms > 0, norms, 1)), 0)
    return scores, valid


def _seen_centred(rows: Array, seen: Array) -> Array:
    """Do as `_centred` over the pixels that are seen; others become 0."""
    firsts = np.take_along_axis(rows, seen.argmax(axis=1)[:, None], axis=1)
    rows = np.where(seen, rows, firsts)
    values = rows.astype(np.longdouble) - firsts.astype(np.longdouble)
    counts = seen.sum(axis=1)[:, None]
    for _ in range(2):
        values = np.where(seen, values - values.sum(axis=1, keepdims=True) / counts, 0)
    values[(rows == firsts).all(axis=1)] = 0
    return values
