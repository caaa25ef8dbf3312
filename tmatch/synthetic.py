"""Synthetic images with known truth: a template at known positions among clutter and noise."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmatch._results.boxes import Box

__all__ = ["make_clutter", "make_scene"]


def make_clutter(
    shape: tuple[int, int], /, *, contrast: float = 30.0, rng: int | np.random.Generator | None = None
) -> NDArray[np.float64]:
    """Make a background of random rectangles, as busy as a photograph.

    Parameters
    ----------
    shape : (int, int)
        Height and width in pixels.
    contrast : float
        Standard deviation in grey levels, 0 for a constant background.
    rng : int, Generator or None
        Seed or source of randomness.

    Returns
    -------
    (H, W) array of float64
        Grey levels about 128.

    Raises
    ------
    ValueError
        If `contrast` is negative or a side is below 1.

    Examples
    --------
    >>> ground = make_clutter((100, 120), contrast=20, rng=0)
    >>> ground.shape, float(ground.std())
    ((100, 120), 20.0)
    """
    height, width = shape
    if height < 1 or width < 1 or not 0 <= contrast < np.inf:
        msg = f"`shape` is {shape} and `contrast` {contrast}; sides must be at least 1, contrast at least 0 and finite"
        raise ValueError(msg)
    random = np.random.default_rng(rng)
    ground = np.zeros(shape)
    for _ in range(200):
        y, x = random.integers(0, height), random.integers(0, width)
        h, w = random.integers(1, height // 3 + 2), random.integers(1, width // 3 + 2)
        ground[y : y + h, x : x + w] += random.normal()
    spread = ground.std()
    return np.asarray(128 + (ground - ground.mean()) * (contrast / spread if spread > 0 else 0.0))


def make_scene(
    ground: ArrayLike,
    template: ArrayLike,
    places: Sequence[tuple[int, int]],
    /,
    *,
    gain: float = 1.0,
    offset: float = 0.0,
    noise: float = 0.0,
    rng: int | np.random.Generator | None = None,
) -> tuple[NDArray[np.float64], list[Box]]:
    """Plant a template at known positions of a background.

    Parameters
    ----------
    ground : (H, W) array of real numbers
        The background, for instance from `make_clutter`.
    template : (h, w) array of real numbers
        The array that is planted.
    places : sequence of (row, column)
        First pixel of each copy. Later copies lie on top of earlier ones.
    gain, offset : float
        Planted pixels are ``gain * template + offset``, in grey levels.
    noise : float
        Standard deviation of normal noise, in grey levels, added to all pixels.
    rng : int, Generator or None
        Seed or source of randomness.

    Returns
    -------
    image : (H, W) array of float64
        Not clipped or rounded: `tmatch.to_range` makes 8-bit pixels of it.
    boxes : list of Box
        The truth, in the order of `places`.

    Raises
    ------
    ValueError
        If an array is not 2-D, a copy does not fit inside, or `noise` is negative.

    Examples
    --------
    >>> import tmatch
    >>> template = make_clutter((8, 9), rng=1)
    >>> image, boxes = make_scene(make_clutter((60, 60), rng=2), template, [(5, 7), (40, 30)], gain=0.5)
    >>> [match.box for match in tmatch.locate(image, template)] == boxes
    True
    """
    image = np.array(ground, dtype=np.float64)
    planted = np.asarray(template, dtype=np.float64)
    numbers = (image.sum(), planted.sum(), gain, offset, noise)
    if image.ndim != 2 or planted.ndim != 2 or noise < 0 or not np.isfinite(numbers).all():
        shapes = f"`ground` {image.shape} and `template` {planted.shape}"
        msg = f"{shapes} must be 2-D, `noise` ({noise}) at least 0, all finite"
        raise ValueError(msg)
    boxes = [Box(place, planted.shape) for place in places]
    for box in boxes:
        if min(box.start) < 0 or any(e > n for e, n in zip(box.stop, image.shape, strict=True)):
            msg = (
                f"`places` has {box.start}, where a template {planted.shape} leaves the ground {image.shape}"
            )
            raise ValueError(msg)
        image[box.slices] = gain * planted + offset
    if noise:
        image += np.random.default_rng(rng).normal(0, noise, image.shape)
    return image, boxes
