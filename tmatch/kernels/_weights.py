"""Arrays of weights, and checks of what they are made from."""

import math

import numpy as np
from numpy.typing import NDArray

Kernel = NDArray[np.float64]
ComplexKernel = NDArray[np.complex128]


def as_kernel(*rows: tuple[float, ...]) -> Kernel:
    """Return rows of weights as an array."""
    return np.array(rows, dtype=np.float64)


def checked_count(name: str, value: int) -> int:
    """Check a number of pixels."""
    if not (isinstance(value, int | np.integer) and value >= 1):
        msg = f"`{name}` is {value}; it must be a whole number of pixels, at least 1"
        raise ValueError(msg)
    return int(value)  # NumPy's small integers would overflow


def check_min(name: str, value: float, minimum: float) -> None:
    """Check a length that has a lower bound."""
    if not (value >= minimum and math.isfinite(value)):
        msg = f"`{name}` is {value}; it must be at least {minimum} pixels and finite, for pixels to show its shape"
        raise ValueError(msg)


def check_degrees(name: str, value: float) -> None:
    """Check an angle."""
    if not math.isfinite(value):
        msg = f"`{name}` is {value}; it must be a finite number of degrees"
        raise ValueError(msg)


def direction(angle: float) -> tuple[float, float]:
    """Return the step down and to the right, exact at right angles."""
    radians = math.radians(angle)
    return round(-math.sin(radians), 15), round(math.cos(radians), 15)


def gaussian_1d(sigma: float, size: int) -> Kernel:
    """Return the weights of a centred Gaussian on one axis; their sum is 1."""
    squares = (np.arange(size) - (size - 1) / 2) ** 2
    with np.errstate(
        over="ignore", under="ignore"
    ):  # far out on a very narrow Gaussian, where the weight is 0
        weights: Kernel = np.exp(-0.5 * (squares - squares.min()) / sigma / sigma)
        weights /= weights.sum()
    return weights
