"""Kernels that sharpen, find edges and stripes, and emboss."""

import math

import numpy as np

from tmatch.kernels._blurs import box
from tmatch.kernels._weights import (
    ComplexKernel,
    Kernel,
    as_kernel,
    check_degrees,
    check_min,
    checked_count,
    direction,
    gaussian_1d,
)


def sharpen() -> Kernel:
    """Bring out detail: the image plus its difference from its four neighbours."""
    return as_kernel((0, -1, 0), (-1, 5, -1), (0, -1, 0))


def sharpen_more() -> Kernel:
    """Bring out detail strongly: the image plus its difference from all eight neighbours."""
    return as_kernel((-1, -1, -1), (-1, 9, -1), (-1, -1, -1))


def unsharp(size: int = 3) -> Kernel:
    """Bring out detail: twice the image minus its blur, the mean of size x size pixels.

    Parameters
    ----------
    size : int
        Side in pixels, odd so that the blur has a middle pixel.

    Returns
    -------
    (size, size) array of float64
        Its sum is 1.

    Raises
    ------
    ValueError
        If `size` is not an odd whole number of at least 1.

    Examples
    --------
    >>> unsharp(3)[1] * 9
    array([-1., 17., -1.])
    """
    size = checked_count("size", size)
    if size % 2 == 0:
        msg = f"`size` is {size}; it must be odd, for a middle pixel: take {size - 1} or {size + 1}"
        raise ValueError(msg)
    kernel = -box(size, size)
    kernel[size // 2, size // 2] += 2
    return kernel


def laplacian() -> Kernel:
    """Second difference on both axes: 0 on flat areas and slopes, large at lines and edges."""
    return as_kernel((0, 1, 0), (1, -4, 1), (0, 1, 0))


def laplacian_of_gaussian(sigma: float = 1.4) -> Kernel:
    """Find blobs and edges of one width: blur by a Gaussian, then take second differences on both axes.

    Parameters
    ----------
    sigma : float
        Standard deviation in pixels, at least 0.5. The response is strongest for discs of radius sqrt(2) sigma.

    Returns
    -------
    (n, n) array of float64
        n is odd, cut at 4 sigma. The centre is negative, as in `laplacian`: bright blobs give negative results.
        The sum is 0: a part of the Gaussian is taken off for what sampling and the cut left.

    Raises
    ------
    ValueError
        If `sigma` is below 0.5 or not finite.

    Examples
    --------
    >>> laplacian_of_gaussian(0.5)[2].round(1)
    array([ 0. ,  0.8, -4.3,  0.8,  0. ])
    """
    check_min("sigma", sigma, 0.5)
    size = 2 * math.ceil(4 * sigma) + 1
    weights, squares = gaussian_1d(sigma, size), (np.arange(size) - size // 2) ** 2 / sigma**2
    blur = np.outer(weights, weights)
    kernel: Kernel = blur * (np.add.outer(squares, squares) - 2) / sigma**2
    kernel -= kernel.sum() * blur
    return kernel


def edge_detect_1() -> Kernel:
    """Edges on the diagonals: opposite corners with opposite signs."""
    return as_kernel((1, 0, -1), (0, 0, 0), (-1, 0, 1))


def edge_detect_2() -> Kernel:
    """Edges by four neighbours, which is `laplacian`."""
    return laplacian()


def edge_detect_3() -> Kernel:
    """Edges by all eight neighbours."""
    return as_kernel((-1, -1, -1), (-1, 8, -1), (-1, -1, -1))


def sobel_x() -> Kernel:
    """Slope to the right, smoothed downwards: vertical edges."""
    return as_kernel((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))


def sobel_y() -> Kernel:
    """Slope downwards, smoothed to the right: horizontal edges."""
    return sobel_x().T.copy()


def prewitt_x() -> Kernel:
    """Slope to the right, mean of three rows: vertical edges."""
    return as_kernel((-1, 0, 1), (-1, 0, 1), (-1, 0, 1))


def prewitt_y() -> Kernel:
    """Slope downwards, mean of three columns: horizontal edges."""
    return prewitt_x().T.copy()


def scharr_x() -> Kernel:
    """Slope to the right, nearly equally strong for edges of any direction: vertical edges."""
    return as_kernel((-3, 0, 3), (-10, 0, 10), (-3, 0, 3))


def scharr_y() -> Kernel:
    """Slope downwards, nearly equally strong for edges of any direction: horizontal edges."""
    return scharr_x().T.copy()


def scharr_complex() -> ComplexKernel:
    """Slope in both directions at once: scharr_x + 1j * scharr_y, magnitude is strength, angle is direction.

    `correlate` conjugates complex kernels: the angle of its result (`numpy.angle`) is where the image gets
    brighter, counter-clockwise as seen. `convolve` does not, but flips: its result is -(x + 1j * y).
    """
    return scharr_x() + 1j * scharr_y()


def gabor(wavelength: float = 8.0, angle: float = 0.0, sigma: float = 3.0, phase: float = 0.0) -> Kernel:
    """Find stripes of one width and direction: a cosine wave under a round Gaussian.

    Parameters
    ----------
    wavelength : float
        From one stripe to the next in pixels, at least 2.
    angle : float
        Direction of the wave, across its stripes, in degrees counter-clockwise as seen in the image:
        0 finds vertical stripes, 90 horizontal ones.
    sigma : float
        Standard deviation of the Gaussian in pixels, at least 0.5.
    phase : float
        Degrees by which the wave is ahead at the centre: 0 has a bright stripe there, 180 a dark one,
        90 an edge that gets darker along `angle`.

    Returns
    -------
    (n, n) array of float64
        n is odd, cut at 3 sigma. The sum is 0, so that flat areas vanish: the wave's mean under the Gaussian is
        taken off. The Gaussian's sum is 1.

    Raises
    ------
    ValueError
        If `wavelength` is below 2, `sigma` is below 0.5 or a value is not finite.

    Examples
    --------
    >>> gabor(wavelength=2, sigma=0.5)[2].round(2)
    array([ 0.  , -0.13,  0.26, -0.13,  0.  ])
    """
    check_min("wavelength", wavelength, 2)
    check_min("sigma", sigma, 0.5)
    check_degrees("angle", angle)
    check_degrees("phase", phase)
    size = 2 * math.ceil(3 * sigma) + 1
    weights, pixels = gaussian_1d(sigma, size), np.arange(size) - size // 2
    down, right = direction(angle)
    turns = np.add.outer(down * pixels, right * pixels) / wavelength
    envelope, wave = np.outer(weights, weights), np.cos(2 * np.pi * turns + math.radians(phase))
    kernel: Kernel = envelope * (wave - (envelope * wave).sum())
    return kernel


def emboss() -> Kernel:
    """Light from the top left: the image as a relief."""
    return as_kernel((-2, -1, 0), (-1, 1, 1), (0, 1, 2))


def ripple() -> Kernel:
    """Odd under rotation by 180 degrees, so that convolving gives minus what correlating gives: it shows the flip."""
    root = math.sqrt(2)
    return as_kernel((0, -1, root), (1, 0, -1), (-root, 1, 0))
