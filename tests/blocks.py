"""Scenes that are searched in blocks, and all that is told of matches."""

from dataclasses import astuple

import numpy as np

WINDOWS = {1: (30,), 2: (9, 11), 3: (5, 6, 4)}
SHAPES = {1: (900,), 2: (90, 120), 3: (26, 30, 28)}


def scene(ndim, seed, levels):
    """Draw texture of few grey levels, with copies of a template here and there, and beside each other."""
    rng = np.random.default_rng(seed)
    shape, window = SHAPES[ndim], WINDOWS[ndim]
    image, template = (rng.integers(0, levels, size).astype(np.uint8) for size in (shape, window))
    for _ in range(6):
        corner = [rng.integers(0, n - k + 1) for n, k in zip(shape, window, strict=True)]
        image[tuple(slice(c, c + k) for c, k in zip(corner, window, strict=True))] = template
    return image, template


def tell(matches):
    """Return all that is told of matches."""
    best = {label: astuple(match) for label, match in matches.best.items()}
    return [astuple(match) for match in matches], [astuple(miss) for miss in matches.near_misses], best
