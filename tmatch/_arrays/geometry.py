"""Shapes of score maps and filter results."""

from tmatch._arrays.typing import Shape


def valid_shape(shape: Shape, window: Shape) -> Shape:
    """Count the places on each axis at which a window lies inside an array."""
    return tuple(n - k + 1 for n, k in zip(shape, window, strict=True))
