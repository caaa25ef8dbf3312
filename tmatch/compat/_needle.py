"""Search for a needle in a haystack: where pixels are equal, and where they are alike."""

import numbers
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._arrays.validation import check_numbers
from tmatch._detection.peaks import find_peaks
from tmatch._io.images import read_pixels
from tmatch._results.boxes import Box
from tmatch._results.matches import Match, non_max_suppression
from tmatch._scoring.maps import match_template
from tmatch.compat._pixels import crop, opencv_gray

EQUAL = 0.999  # from this confidence on, all pixels must be equal
_MAX_OVERLAP = 0.3  # intersection over union of two objects
_PROBES, _FEW = 16, 100  # pixels that are compared everywhere, until so few positions are left

Place = tuple[int, int]  # row and column


@dataclass(frozen=True)
class NeedleSearch:
    """A needle, the part of a haystack that is searched, and where that part begins."""

    needle: Array
    haystack: Array
    first: Place
    confidence: float

    @classmethod
    def of(
        cls, needle: Any, haystack: Any, *, gray: bool, region: Sequence[int] | None, confidence: float
    ) -> "NeedleSearch":
        """Load both images, and check all arguments."""
        if not isinstance(confidence, numbers.Real) or not 0 <= confidence <= 1:
            msg = f"`confidence` is {confidence!r}; it must be from 0 to 1, where all pixels are equal"
            raise ValueError(msg)
        small, large = _load("needleImage", needle), _load("haystackImage", haystack)
        first = (0, 0)
        if region is not None:
            large, first = crop("region", large, region), (region[1], region[0])
        if any(n > h for n, h in zip(small.shape[:2], large.shape[:2], strict=True)):
            sizes = " in ".join(f"{width} x {height}" for height, width, *_ in (small.shape, large.shape))
            msg = f"needle dimension(s) exceed the haystack image or region dimensions: {sizes} pixels"
            raise ValueError(msg)
        if gray:
            small, large = opencv_gray(small), opencv_gray(large)
        elif small.ndim != large.ndim:
            small, large = (np.dstack([a] * 3) if a.ndim == 2 else a for a in (small, large))
        return cls(small, large, first, float(confidence))

    def places(self) -> Iterator[Place]:
        """Find where the needle is in the whole haystack, in row-major order."""
        places = self._equal()
        if self.confidence < EQUAL and self._has_contrast:
            equal = [*places]
            places = iter(sorted([*equal, *self._alike(equal)]))
        return ((self.first[0] + row, self.first[1] + column) for row, column in places)

    def describe_failure(self) -> str:
        """Write that there is none, and how near the best position is to one."""
        text = "Could not locate the image"
        if not self._has_contrast:
            return f"{text}: it has a single colour, and is only found where all pixels are equal"
        text += f" (highest confidence = {self._scores().max():.3f})"
        return (
            text
            if self.confidence < EQUAL
            else f"{text}: from `confidence` {EQUAL} on, all pixels must be equal"
        )

    @property
    def _has_contrast(self) -> bool:
        return bool((self.needle != self.needle[:1, :1]).any())

    def _scores(self) -> Array:
        return match_template(self.haystack, self.needle, channel_axis=2 if self.needle.ndim == 3 else None)

    def _equal(self) -> Iterator[Place]:
        """Find where all pixels are equal: by a few of them first, then by all."""
        (height, width), (rows, columns) = self.needle.shape[:2], self.haystack.shape[:2]
        possible = np.ones((rows - height + 1, columns - width + 1), bool)
        small, large = _planes(self.needle), _planes(self.haystack)
        for y, x in _probes(small[0]):
            for part, whole in zip(small, large, strict=True):
                possible &= whole[y : y + len(possible), x : x + possible.shape[1]] == part[y, x]
            if np.count_nonzero(possible) <= _FEW:
                break
        for index in np.flatnonzero(possible):  # not as a list, which could be long
            row, column = divmod(int(index), possible.shape[1])
            if np.array_equal(self.haystack[row : row + height, column : column + width], self.needle):
                yield row, column

    def _alike(self, equal: Sequence[Place]) -> Iterator[Place]:
        """Find one place for each object that is alike, and overlaps none that is equal."""
        scores, shape = self._scores(), self.needle.shape[:2]
        peaks = find_peaks(scores, threshold=self.confidence).tolist()
        matches = [Match(Box((row, column), shape), scores[row, column]) for row, column in peaks]
        others, sides = np.array(equal, np.intp).reshape(-1, 2), np.array(shape)
        for match in non_max_suppression(matches, max_overlap=_MAX_OVERLAP):
            shared = np.maximum(sides - abs(others - match.box.start), 0).prod(axis=1)
            if not (shared > _MAX_OVERLAP * (2 * sides.prod() - shared)).any():
                row, column = match.box.start
                yield row, column


def _planes(pixels: Array) -> list[Array]:
    """Return an array of grey levels or of numbers of colours, or one of each channel."""
    if pixels.ndim == 2:
        return [pixels]
    if pixels.dtype != np.uint8:
        return [pixels[..., i] for i in range(3)]
    numbered = np.zeros(pixels.shape[:2], np.uint32)
    numbered.view(np.uint8).reshape(*pixels.shape[:2], 4)[..., :3] = pixels
    return [numbered]


def _probes(values: Array) -> list[Place]:
    """Choose some pixels, those with the rarest values first, from all parts of the order of rarity."""
    _, kinds, counts = np.unique(values, return_inverse=True, return_counts=True)
    order = np.argsort(counts[kinds].ravel(), kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, _PROBES).astype(int))]
    return [(int(y), int(x)) for y, x in zip(*np.unravel_index(chosen, values.shape), strict=True)]


def _load(name: str, image: Any) -> Array:
    """Return grey pixels, or red, green and blue; transparency is left out."""
    if isinstance(image, str | os.PathLike):
        return read_pixels(Path(image))[0]
    if hasattr(image, "convert"):  # a Pillow image; "RGB" would cut more than 8 bits off
        return np.asarray(image if image.mode.startswith(("I", "F")) else image.convert("RGB"))
    if not isinstance(image, np.ndarray):
        msg = f"`{name}` is a {type(image).__name__}; it must be a file name, a Pillow image or an array"
        raise TypeError(msg)
    array = check_numbers(name, image)
    if array.size == 0 or (array.ndim != 2 and (array.ndim != 3 or array.shape[2] not in (3, 4))):
        msg = f"`{name}` has shape {image.shape}; it must be (H, W), or (H, W, 3) with blue, green and red"
        raise ValueError(msg)
    return array if array.ndim == 2 else array[..., 2::-1]
