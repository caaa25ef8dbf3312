"""Draw things in any pose by area: what ``render_poses.py`` makes its scenes of.

A thing is a function of a point: its grey level or colour there, and whether the thing is there at all. Points are
offsets (x to the right, y down) from its middle, in pixels of its template. A pixel of an image is the mean over
``FINE * FINE`` points of it, each of which is taken back to the thing by its pose; a pixel of a template likewise,
without a pose. So nothing is interpolated from a template.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array: TypeAlias = NDArray[np.float64]
Inside: TypeAlias = NDArray[np.bool_]
Paint: TypeAlias = Callable[[Array, Array], tuple[Array, Inside]]

FINE = 8


@dataclass(frozen=True)
class Thing:
    """What can be drawn: how it looks, and the sides (height, width) of its template."""

    paint: Paint
    shape: tuple[int, int]


@dataclass(frozen=True)
class Pose:
    """Where the middle of a thing is (pixel centres are whole numbers), and how it lies there.

    Flipped left-right, then scaled, then rotated by degrees, counter-clockwise as seen on the screen.
    """

    x: float
    y: float
    angle: float = 0.0
    scale: float = 1.0
    flip: bool = False


# --- drawing --------------------------------------------------------------------------------------


def draw(scene: Array, thing: Thing, pose: Pose) -> None:
    """Draw a thing into a scene, (H, W) or (H, W, C); pixels at its edge are shared by area."""
    reach = np.hypot(*thing.shape) / 2 * pose.scale + 2
    top, left = (max(int(middle - reach), 0) for middle in (pose.y, pose.x))
    part = scene[top : int(pose.y + reach) + 1, left : int(pose.x + reach) + 1]
    right, down = points(part.shape[:2], left - pose.x, top - pose.y)
    cosine, sine = np.cos(np.radians(pose.angle)), np.sin(np.radians(pose.angle))
    x, y = (cosine * right - sine * down) / pose.scale, (sine * right + cosine * down) / pose.scale
    values, inside = thing.paint(-x if pose.flip else x, y)
    inside = inside.reshape(inside.shape + (1,) * (values.ndim - 2))
    part *= 1 - mean_of_points(inside.astype(float))
    part += mean_of_points(np.where(inside, values, 0.0))


def template_of(thing: Thing, ground: Any) -> Array:
    """Draw a thing upright, over a plain ground."""
    scene = np.empty(thing.shape + np.shape(ground))
    scene[:] = ground
    draw(scene, thing, Pose((thing.shape[1] - 1) / 2, (thing.shape[0] - 1) / 2))
    return scene


def mask_of(thing: Thing) -> Array:
    """Return 255 where a pixel of the template lies wholly in the thing, else 0."""
    x, y = points(thing.shape, (1 - thing.shape[1]) / 2, (1 - thing.shape[0]) / 2)
    return 255 * (mean_of_points(thing.paint(x, y)[1].astype(float)) == 1)


def points(shape: tuple[int, ...], x: float, y: float) -> tuple[Array, Array]:
    """Return x and y of all points of the pixels of an array whose first pixel has its centre at x, y."""
    rows, columns = ((np.arange(n * FINE) + 0.5) / FINE - 0.5 for n in shape)
    columns, rows = np.meshgrid(columns + x, rows + y)
    return columns, rows


def mean_of_points(values: Array) -> Array:
    """Average the points of each pixel."""
    rows, columns = (n // FINE for n in values.shape[:2])
    return values.reshape(rows, FINE, columns, FINE, *values.shape[2:]).mean(axis=(1, 3))


def texture(shape: tuple[int, int], mean: float, contrast: float, seed: int) -> Array:
    """Return a rough ground: blurred noise, coarse and fine."""
    noise = np.random.default_rng(seed).normal(size=(2, *shape))
    rough = sum(ndimage.gaussian_filter(n, s) * s for n, s in zip(noise, (1.2, 5.0), strict=True))
    return mean + contrast * rough / np.std(rough)


def noisy(image: Array, sigma: float, seed: int) -> Array:
    """Add the noise of a camera."""
    return image + np.random.default_rng(seed).normal(0, sigma, image.shape)


# --- shapes: whether points lie in them -------------------------------------------------------------


def disc(x: Array, y: Array, radius: float, at: tuple[float, float] = (0, 0)) -> Inside:
    return (x - at[0]) ** 2 + (y - at[1]) ** 2 <= radius**2


def rectangle(x: Array, y: Array, width: float, height: float, corner: float = 0) -> Inside:
    """Return a rectangle about the origin, with round corners."""
    beyond_x, beyond_y = np.abs(x) - width / 2 + corner, np.abs(y) - height / 2 + corner
    outside = np.hypot(np.maximum(beyond_x, 0), np.maximum(beyond_y, 0))
    return outside + np.minimum(np.maximum(beyond_x, beyond_y), 0) <= corner


def stroke(x: Array, y: Array, width: float, *corners: tuple[float, float]) -> Inside:
    """Return a line through some points, with round ends."""
    inside = np.zeros(x.shape, bool)
    for (x0, y0), (x1, y1) in pairwise(corners):
        along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2)
        along = np.clip(along, 0, 1)
        inside |= np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0)) <= width / 2
    return inside


def polygon(x: Array, y: Array, *corners: tuple[float, float]) -> Inside:
    """Return a convex polygon, its corners clockwise as seen on the screen."""
    sides = zip(corners, corners[1:] + corners[:1], strict=True)
    return np.all([(x1 - x0) * (y - y0) >= (y1 - y0) * (x - x0) for (x0, y0), (x1, y1) in sides], axis=0)
