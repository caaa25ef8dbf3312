"""Distortions of an image: noise, blur, gain, gradient, occlusion, JPEG, rotation and scale."""

import io
import math
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.casting import cast_pixels
from tmatch._arrays.typing import Array
from tmatch._poses.transform import warp
from tmatch._results.boxes import Box
from tmatch._results.poses import Pose

Kind = Literal["noise", "blur", "gain", "gradient", "occlusion", "jpeg", "rotation", "scale"]
Values = NDArray[np.float64]
_BYTE = np.dtype(np.uint8)


@dataclass(frozen=True, slots=True)
class Scene:
    """An image, (H, W) or (H, W, C), and the true box in it; black and white are `low` and `high`."""

    pixels: Array
    box: Box
    low: float
    high: float

    @classmethod
    def of(cls, pixels: Array, box: Box) -> "Scene":
        """Return a scene where black and white are 0 and 255 for 8-bit pixels, else the minimum and the maximum."""
        low, high = (0, 255) if pixels.dtype == _BYTE else (pixels.min(), pixels.max())
        return cls(pixels, box, float(low), float(high))

    @property
    def grey_level(self) -> float:
        """One of 255 steps from black to white."""
        return (self.high - self.low) / 255


@dataclass(frozen=True, slots=True)
class Distortion:
    """A distortion: `apply` takes a scene, the level, and a random generator if it is `random`."""

    apply: Callable[..., Array]
    levels: tuple[float, ...]
    unit: str
    identity_level: float | None  # changes nothing; None if every level changes something
    lowest: float
    highest: float
    random: bool = False

    def check(self, kind: str, level: float) -> float:
        """Check that a level is in range, and return it as a float."""
        whole = self.unit == "quality"
        fits = isinstance(level, numbers.Real) and self.lowest <= level <= self.highest
        if not fits or (whole and level % 1):
            what = "a whole number" if whole else "a number"
            bounds = f"from {self.lowest:g} to {self.highest:g}"
            msg = f"`kinds` has the level {level!r} of {kind}; it must be {what} {bounds}"
            raise ValueError(msg)
        return float(level)

    def unit_in(self, scene: Scene) -> str:
        """Return the unit of levels in a scene."""
        if self.unit == "grey levels" and scene.pixels.dtype != _BYTE:
            return "1/255 of the range"
        return self.unit


def distort(scene: Scene, kind: Kind, level: float, random: np.random.Generator) -> Array:
    """Return a distorted image, as a camera would take it: integers are rounded, and clipped to their range."""
    distortion = DISTORTIONS[kind]
    if level == distortion.identity_level:
        return scene.pixels
    arguments = (scene, level, random) if distortion.random else (scene, level)
    values = distortion.apply(*arguments)
    return cast_pixels(values, scene.pixels.dtype)


def has_jpeg(pixels: Array) -> bool:
    """Check whether an image can be saved as a JPEG."""
    return pixels.dtype == _BYTE and (pixels.ndim == 2 or pixels.shape[2] == 3)


def _add_noise(scene: Scene, level: float, random: np.random.Generator) -> Values:
    noise = random.standard_normal(scene.pixels.shape)
    noise *= level * scene.grey_level
    noise += scene.pixels
    return noise


def _blur(scene: Scene, level: float) -> Values:
    from scipy import ndimage  # noqa: PLC0415

    values = scene.pixels.astype(np.float64)
    return np.asarray(ndimage.gaussian_filter(values, level, mode="nearest", axes=(0, 1)))


def _change_gain(scene: Scene, level: float) -> Values:
    middle = (scene.low + scene.high) / 2
    return np.asarray(level * (scene.pixels - middle) + middle)


def _add_ramp(scene: Scene, level: float) -> Values:
    """Darken the left and brighten the right."""
    ramp = np.linspace(-0.5, 0.5, scene.pixels.shape[1]) * level * scene.grey_level
    return np.asarray(scene.pixels + ramp.reshape(-1, *[1] * (scene.pixels.ndim - 2)))


def _cover(scene: Scene, level: float, random: np.random.Generator) -> Values:
    """Cover part of the box, by one grey level or by pixels from elsewhere, rotated so that they are no copy."""
    height, width = scene.box.shape
    rows = min(max(1, round(height * math.sqrt(level))), height)
    columns = min(max(1, round(level * height * width / rows)), width)
    patch = (rows, columns)
    covered = scene.pixels.astype(np.float64)
    hidden = covered[_random_window(scene.box.start, scene.box.shape, patch, random)]
    if random.random() < 0.5:
        hidden[...] = random.uniform(scene.low, scene.high)
    else:
        hidden[...] = scene.pixels[_random_window((0, 0), scene.pixels.shape[:2], patch, random)][::-1, ::-1]
    return covered


def _random_window(
    start: Sequence[int], shape: Sequence[int], patch: Sequence[int], random: np.random.Generator
) -> tuple[slice, ...]:
    """Choose a random window of a patch's shape inside a box."""
    firsts = [s + int(random.integers(n - k + 1)) for s, n, k in zip(start, shape, patch, strict=True)]
    return tuple(slice(first, first + k) for first, k in zip(firsts, patch, strict=True))


def _compress(scene: Scene, level: float) -> Array:
    from PIL import Image  # noqa: PLC0415

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(scene.pixels)).save(file, format="JPEG", quality=int(level))
    with Image.open(file) as image:
        return np.asarray(image)


def _rotate(scene: Scene, level: float) -> Values:
    return warp(scene.pixels, Pose(angle=level), scene.box.center)


def _scale(scene: Scene, level: float) -> Values:
    return warp(scene.pixels, Pose(scale=level), scene.box.center)


DISTORTIONS: dict[Kind, Distortion] = {
    "noise": Distortion(
        _add_noise, (0, 10, 25, 50, 80), "grey levels", 0, lowest=0, highest=1000, random=True
    ),
    "blur": Distortion(_blur, (0, 0.5, 1, 2, 4), "pixels", 0, lowest=0, highest=100),
    "gain": Distortion(_change_gain, (1, 0.5, 0.25, 0.1), "factor", 1, lowest=0.001, highest=1000),
    "gradient": Distortion(_add_ramp, (0, 50, 100, 200), "grey levels", 0, lowest=0, highest=1000),
    "occlusion": Distortion(
        _cover, (0, 0.1, 0.25, 0.5), "share of the box", 0, lowest=0, highest=1, random=True
    ),
    "jpeg": Distortion(_compress, (100, 75, 50, 25, 10), "quality", None, lowest=1, highest=100),
    "rotation": Distortion(_rotate, (0, 1, 2, 5, 10), "degrees", 0, lowest=-180, highest=180),
    "scale": Distortion(_scale, (1, 1.02, 1.05, 1.1, 1.2), "factor", 1, lowest=0.1, highest=10),
}
