"""Scenes of turned objects with exact truth, for tests and benchmarks.

An object is drawn from an image that is finer than the template. Points of each pixel are taken from the finer image by
cubic interpolation, and their mean is the pixel, as on a sensor; the template is the mean of the same finer pixels. No
pixel of a scene is interpolated from the template.
"""

import functools
import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[Any]
FINE = 4  # finer pixels along a pixel of a template
BAND = 32  # rows of a scene that are drawn at a time
LUMA = (0.2125, 0.7154, 0.0721)
DATASETS = Path(__file__).parents[1] / "datasets"
GROUNDS = ("coffee", "camera", "astronaut", "brick", "gravel", "raccoon", "moon", "page", "coins")
COLOURED = ("coffee", "astronaut", "raccoon", "chelsea")


class Kind(NamedTuple):
    """A piece of a source: where it starts, and the shape of the template that its finer pixels make."""

    source: str
    start: tuple[int, int]
    shape: tuple[int, int] = (48, 48)


class Placed(NamedTuple):
    """An object in a scene. The angle is in degrees, counter-clockwise as seen on the screen; a flip comes first."""

    center: tuple[float, float]
    angle: float = 0.0
    scale: float = 1.0
    flip: bool = False

    @property
    def matrix(self) -> Pixels:
        """From offsets (rows, columns) in the template to offsets in the scene."""
        cosine, sine = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        turn = self.scale * np.array([[cosine, -sine], [sine, cosine]])
        return turn * [1, -1] if self.flip else turn

    def outline(self, shape: Sequence[int]) -> Pixels:
        """Return the four corners of a template of this shape, from its top left, clockwise on the template."""
        half = np.array(shape) / 2
        return np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) * half @ self.matrix.T + self.center


class Scene(NamedTuple):
    """An image, a template, and where it is."""

    image: Pixels
    template: Pixels
    placed: list[Placed]


KINDS = {
    "eye": Kind("raccoon", (260, 640)),
    "face": Kind("astronaut", (60, 150)),
    "tripod": Kind("camera", (180, 180)),
    "cup": Kind("coffee", (90, 150)),
    "brick": Kind("brick", (100, 100)),
    "grass": Kind("grass", (100, 100)),
    "crater": Kind("moon", (40, 60)),
    "sky": Kind("camera", (10, 20)),
    "coin": Kind("coins", (20, 20)),
    "letters": Kind("page", (10, 60), (36, 36)),
}
_LONG_STARTS = {
    "raccoon": (300, 500), "coffee": (100, 100), "astronaut": (20, 100),
    "page": (30, 0), "brick": (100, 50), "camera": (200, 60),
}  # fmt: skip
LONG = {
    f"{source} {96 // height}:1": Kind(source, start, (height, 96))
    for height in (32, 16)
    for source, start in _LONG_STARTS.items()
}


# --- images ---------------------------------------------------------------------------------------


@functools.cache
def source_of(name: str, colour: bool = False) -> Pixels:
    """Return a photograph in grey levels from 0 to 255: one that comes with scikit-image, or the raccoon."""
    if name == "raccoon":
        path = DATASETS / "raccoon" / "face.png"
    else:
        spec = importlib.util.find_spec("skimage")
        path = Path(spec.origin).parent / "data" / f"{name}.png"
    with Image.open(path) as file:
        pixels = np.asarray(file.convert("RGB" if file.mode not in ("L", "1") else "L"), np.float64)
    return pixels if colour or pixels.ndim == 2 else pixels @ LUMA


@functools.cache
def finer(kind: Kind, colour: bool = False) -> Pixels:
    """Return the finer pixels of an object."""
    (row, column), (height, width) = kind.start, kind.shape
    return source_of(kind.source, colour)[row : row + FINE * height, column : column + FINE * width]


def block_means(pixels: Pixels, factor: int = FINE) -> Pixels:
    """Return the means of blocks; rows and columns that fill none are left out."""
    height, width = (n // factor for n in pixels.shape[:2])
    whole = pixels[: height * factor, : width * factor]
    return whole.reshape(height, factor, width, factor, *pixels.shape[2:]).mean(axis=(1, 3))


def ground_of(
    rng: np.random.Generator, avoid: str, shape: tuple[int, int], colour: bool = False
) -> tuple[Pixels, str]:
    """Cut a ground from another source, mirrored as often as needed if none is large enough; with its name."""
    names = [name for name in (COLOURED if colour else GROUNDS) if name != avoid]
    large = [n for n in names if np.all(np.less_equal(shape, source_of(n, colour).shape[:2]))]
    name = str(rng.choice(large or names))
    photo = source_of(name, colour)
    margins = [(0, max(n - k, 0)) for n, k in zip(shape, photo.shape[:2], strict=True)]
    photo = np.pad(photo, [*margins, (0, 0)][: photo.ndim], mode="symmetric")
    row, column = (int(rng.integers(n - k + 1)) for n, k in zip(photo.shape[:2], shape, strict=True))
    return photo[row : row + shape[0], column : column + shape[1]].copy(), name


# --- drawing --------------------------------------------------------------------------------------


def draw(
    scene: Pixels, fine: Pixels, placed: Placed, factor: int = FINE, counts: Pixels | None = None
) -> None:
    """Draw an object into a scene, in place; pixels on its outline are shared with the ground by their area.

    Where `counts`, as large as the finer image, is False, the ground is seen through it.
    """
    corners = placed.outline(np.array(fine.shape[:2]) / factor)
    first = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    last = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, scene.shape[:2])
    layers = [_spline(layer) for layer in np.atleast_3d(fine).transpose(2, 0, 1)]
    for top in range(first[0], last[0], BAND):
        rows, columns = np.arange(top, min(top + BAND, last[0])), np.arange(first[1], last[1])
        part = scene[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        share, *values = _means(rows, columns, layers, placed, factor, counts)
        means = values[0] if scene.ndim == 2 else np.stack(values, axis=-1)
        part[:] = part * (1 - share if scene.ndim == 2 else 1 - share[..., None]) + means


def _spline(layer: Pixels) -> Pixels:
    from scipy.ndimage import spline_filter

    return spline_filter(layer, 3, mode="mirror")


def _means(
    rows: Pixels,
    columns: Pixels,
    layers: Sequence[Pixels],
    placed: Placed,
    factor: int,
    counts: Pixels | None,
) -> list[Pixels]:
    """Return the share of each pixel that the object covers, and for each layer the part of its mean that it adds."""
    from scipy.ndimage import map_coordinates

    points = math.ceil(factor / min(placed.scale, 1))  # of a pixel, along each side
    steps = (np.arange(points) + 0.5) / points - 0.5
    offsets = [
        np.add.outer(at, steps).ravel() - c for at, c in zip((rows, columns), placed.center, strict=True)
    ]
    back = factor * np.linalg.inv(placed.matrix)
    shape = layers[0].shape
    where = [
        b[0] * offsets[0][:, None] + b[1] * offsets[1] + (n - 1) / 2 for b, n in zip(back, shape, strict=True)
    ]
    # Points on the outline itself, where rounding decides, belong to the object that starts there.
    inside = np.logical_and.reduce([(p >= -0.5) & (p < n - 0.5) for p, n in zip(where, shape, strict=True)])
    if counts is not None:
        at = [np.clip(np.rint(p).astype(int), 0, n - 1) for p, n in zip(where, shape, strict=True)]
        inside &= counts[tuple(at)]
    sampled = [map_coordinates(layer, where, order=3, mode="mirror", prefilter=False) for layer in layers]
    return [block_means(values * inside, points) for values in (1.0, *sampled)]


def expose(
    scene: Pixels,
    rng: np.random.Generator | None = None,
    *,
    sigma: float = 0,
    gain: float = 1,
    offset: float = 0,
    dtype: str = "u1",
) -> Pixels:
    """Return what a camera makes of a scene: gain, offset, noise in grey levels, and whole numbers where asked for."""
    seen = gain * scene + offset
    if sigma:
        seen = seen + rng.normal(0, sigma, seen.shape)
    kind = np.dtype(dtype)
    if kind.kind == "u":
        most = np.iinfo(kind).max
        seen = np.clip(np.rint(seen * (most / 255)), 0, most)
    return np.ascontiguousarray(seen, kind)


# --- scenes ---------------------------------------------------------------------------------------


def template_of(kind: Kind, *, colour: bool = False, dtype: str = "u1") -> Pixels:
    return expose(block_means(finer(kind, colour)), dtype=dtype)


def make_scene(
    kind: Kind,
    rng: np.random.Generator,
    *,
    shape: tuple[int, int] = (256, 256),
    count: int = 1,
    angles: tuple[float, float] = (-180, 180),
    scales: tuple[float, float] = (1, 1),
    flips: bool = False,
    colour: bool = False,
    dtype: str = "u1",
    **camera: float,
) -> Scene:
    """Draw objects of one kind at random poses on the ground of another source, apart from each other."""
    scene, _ = ground_of(rng, kind.source, shape, colour)
    placed: list[Placed] = []
    while len(placed) < count:
        scale = math.exp(rng.uniform(*np.log(scales)))
        reach = math.hypot(*kind.shape) / 2 * scale + 2
        center = tuple(float(rng.uniform(reach, n - 1 - reach)) for n in shape)
        other = Placed(center, float(rng.uniform(*angles)), scale, bool(flips and rng.random() < 0.5))
        if all(math.dist(p.center, center) > reach * (1 + p.scale / scale) for p in placed):
            placed.append(other)
    for each in placed:
        draw(scene, finer(kind, colour), each)
    image = expose(scene, rng, dtype=dtype, **camera)
    return Scene(image, template_of(kind, colour=colour, dtype=dtype), placed)


def absent_scene(kind: Kind, rng: np.random.Generator, shape: tuple[int, int], sigma: float = 0) -> Scene:
    """Return a ground of another source alone."""
    scene, _ = ground_of(rng, kind.source, shape)
    return Scene(expose(scene, rng, sigma=sigma), template_of(kind), [])


# --- comparing ------------------------------------------------------------------------------------


def wrapped(angle: float) -> float:
    """Return the same angle, at least -180 and less than 180 degrees."""
    return (angle + 180) % 360 - 180


def off_by(match: Any, placed: Placed) -> tuple[float, float, float, float]:
    """Return by how much a match is off: rows, columns, degrees, and the logarithm of the scale."""
    rows, columns = np.subtract(match.center, placed.center).tolist()
    return rows, columns, wrapped(match.angle - placed.angle), math.log(match.scale / placed.scale)


def nearest(matches: Sequence[Any], placed: Placed) -> Any | None:
    """Return the match whose middle is nearest; None if there is no match."""
    return min(matches, key=lambda match: math.dist(match.center, placed.center), default=None)
