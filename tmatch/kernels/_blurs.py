"""Kernels that copy, shift and blur."""

import math
import operator

import numpy as np

from tmatch.kernels._weights import Kernel, check_degrees, checked_count, direction, gaussian_1d


def identity() -> Kernel:
    """Leave the image as it is."""
    return shift(0, 0)


def shift(dy: int, dx: int) -> Kernel:
    """Shift the image by whole pixels under `convolve` (and the other way under `correlate`).

    Parameters
    ----------
    dy, dx : int
        Pixels down and to the right.

    Returns
    -------
    (2 abs(dy) + 1, 2 abs(dx) + 1) array of float64
        A single 1.

    Examples
    --------
    >>> shift(0, -1)
    array([[1., 0., 0.]])
    """
    dy, dx = operator.index(dy), operator.index(dx)
    kernel = np.zeros((2 * abs(dy) + 1, 2 * abs(dx) + 1))
    kernel[abs(dy) + dy, abs(dx) + dx] = 1
    return kernel


def box(height: int = 3, width: int = 3) -> Kernel:
    """Blur: the mean of height x width pixels.

    Parameters
    ----------
    height, width : int
        Pixels, at least 1.

    Returns
    -------
    (height, width) array of float64
        Its sum is 1.

    Raises
    ------
    ValueError
        If a side is not a whole number of at least 1.

    Examples
    --------
    >>> box(1, 4)
    array([[0.25, 0.25, 0.25, 0.25]])
    """
    height = checked_count("height", height)
    width = checked_count("width", width)
    return np.full((height, width), 1 / (height * width))


def small_blur() -> Kernel:
    """Blur: the mean of 7 x 7 pixels."""
    return box(7, 7)


def large_blur() -> Kernel:
    """Blur strongly: the mean of 21 x 21 pixels."""
    return box(21, 21)


def gaussian(sigma: float = 1.0, size: int | None = None) -> Kernel:
    """Blur softly: weights fall off from the centre as a Gaussian of the given width.

    Parameters
    ----------
    sigma : float
        Standard deviation in pixels, above 0.
    size : int or None
        Side n in pixels. If it is even, its peak lies between the two middle elements. None for the
        odd side that cuts at 4 sigma.

    Returns
    -------
    (n, n) array of float64
        Its sum is 1.

    Raises
    ------
    ValueError
        If `sigma` is not above 0 or `size` is not a whole number of at least 1.

    Examples
    --------
    >>> gaussian(0.5).shape
    (5, 5)
    >>> gaussian(1, size=2)
    array([[0.25, 0.25],
           [0.25, 0.25]])
    """
    if not (sigma > 0 and math.isfinite(sigma)):
        msg = f"`sigma` is {sigma}; it must be above 0 pixels and finite"
        raise ValueError(msg)
    if size is None:
        size = 2 * math.ceil(4 * sigma) + 1
    size = checked_count("size", size)
    weights = gaussian_1d(sigma, size)
    return np.outer(weights, weights)


def binomial(size: int = 10) -> Kernel:
    """Blur softly by a row of Pascal's triangle, nearly a Gaussian of variance (size - 1) / 4.

    Parameters
    ----------
    size : int
        Side in pixels, at least 1.

    Returns
    -------
    (size, size) array of float64
        The outer product of the row with itself, over its sum: the sum is 1.

    Raises
    ------
    ValueError
        If `size` is not a whole number of at least 1.

    Examples
    --------
    >>> binomial(3) * 16
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    size = checked_count("size", size)
    row = np.array([math.comb(int(size) - 1, k) / 2 ** (int(size) - 1) for k in range(size)])
    return np.outer(row, row)


def motion_blur(length: int = 9, angle: float = 0.0) -> Kernel:
    """Blur along a line, as if the camera moved while the shutter was open.

    Parameters
    ----------
    length : int
        Points on the line, one pixel apart. Each is shared among the four pixels around it by linear
        interpolation.
    angle : float
        Degrees counter-clockwise as seen in the image: 0 is horizontal, 90 vertical, 45 rises to the right.

    Returns
    -------
    (n, n) array of float64
        n is `length`, or `length` + 1 if that is even; the sum is 1.

    Raises
    ------
    ValueError
        If `length` is not a whole number of at least 1 or `angle` is not finite.

    Examples
    --------
    >>> motion_blur(2, angle=90)
    array([[0.  , 0.25, 0.  ],
           [0.  , 0.5 , 0.  ],
           [0.  , 0.25, 0.  ]])
    """
    length = checked_count("length", length)
    check_degrees("angle", angle)
    points, radius = np.arange(length) - (length - 1) / 2, length // 2
    pixels = np.arange(-radius, radius + 1)
    rows, columns = (np.clip(1 - np.abs(pixels[:, None] - step * points), 0, 1) for step in direction(angle))
    kernel: Kernel = rows @ columns.T / length
    return kernel
