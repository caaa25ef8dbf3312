"""A bank of kernels: small arrays of weights for `tmatch.convolve` and `tmatch.correlate`.

Each is a function; `names` lists those that need no argument and `get` returns one by its name. All
are float64 (`scharr_complex` complex128) and written as `correlate` reads them: without the flip.
Angles are in degrees, counter-clockwise as seen in the image: 0 is to the right, 90 upwards.
"""

import difflib
import math
import operator
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Kernel = NDArray[np.float64]
ComplexKernel = NDArray[np.complex128]

__all__ = [
    "binomial", "box", "edge_detect_1", "edge_detect_2", "edge_detect_3", "emboss", "gabor", "gaussian", "get",
    "identity", "laplacian", "laplacian_of_gaussian", "large_blur", "motion_blur", "names", "normalize",
    "prewitt_x", "prewitt_y", "ripple", "scharr_complex", "scharr_x", "scharr_y", "sharpen", "sharpen_more",
    "shift", "small_blur", "sobel_x", "sobel_y", "unsharp",
]  # fmt: skip


def _array(*rows: tuple[float, ...]) -> Kernel:
    return np.array(rows, dtype=np.float64)


def _count(name: str, value: int) -> int:
    if not (isinstance(value, int | np.integer) and value >= 1):
        msg = f"`{name}` is {value}; it must be a whole number of pixels, at least 1"
        raise ValueError(msg)
    return int(value)  # NumPy's small integers would overflow


def _check_min(name: str, value: float, minimum: float) -> None:
    if not (value >= minimum and math.isfinite(value)):
        msg = f"`{name}` is {value}; it must be at least {minimum} pixels and finite, for pixels to show its shape"
        raise ValueError(msg)


def _check_degrees(name: str, value: float) -> None:
    if not math.isfinite(value):
        msg = f"`{name}` is {value}; it must be a finite number of degrees"
        raise ValueError(msg)


def _direction(angle: float) -> tuple[float, float]:
    """Return the step down and to the right, exact at right angles."""
    radians = math.radians(angle)
    return round(-math.sin(radians), 15), round(math.cos(radians), 15)


def _gaussian_1d(sigma: float, size: int) -> Kernel:
    """Return the weights of a centred Gaussian on one axis; their sum is 1."""
    squares = (np.arange(size) - (size - 1) / 2) ** 2
    with np.errstate(over="ignore"):  # far out on a very narrow Gaussian, where the weight is 0
        weights: Kernel = np.exp(-0.5 * (squares - squares.min()) / sigma / sigma)
    weights /= weights.sum()
    return weights


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
    (2 |dy| + 1, 2 |dx| + 1) array of float64
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
    height = _count("height", height)
    width = _count("width", width)
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
    size = _count("size", size)
    weights = _gaussian_1d(sigma, size)
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
    size = _count("size", size)
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
    length = _count("length", length)
    _check_degrees("angle", angle)
    points, radius = np.arange(length) - (length - 1) / 2, length // 2
    pixels = np.arange(-radius, radius + 1)
    rows, columns = (np.clip(1 - np.abs(pixels[:, None] - step * points), 0, 1) for step in _direction(angle))
    kernel: Kernel = rows @ columns.T / length
    return kernel


def sharpen() -> Kernel:
    """Bring out detail: the image plus its difference from its four neighbours."""
    return _array((0, -1, 0), (-1, 5, -1), (0, -1, 0))


def sharpen_more() -> Kernel:
    """Bring out detail strongly: the image plus its difference from all eight neighbours."""
    return _array((-1, -1, -1), (-1, 9, -1), (-1, -1, -1))


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
    size = _count("size", size)
    if size % 2 == 0:
        msg = f"`size` is {size}; it must be odd, for a middle pixel: take {size - 1} or {size + 1}"
        raise ValueError(msg)
    kernel = -box(size, size)
    kernel[size // 2, size // 2] += 2
    return kernel


def laplacian() -> Kernel:
    """Second difference on both axes: 0 on flat areas and slopes, large at lines and edges."""
    return _array((0, 1, 0), (1, -4, 1), (0, 1, 0))


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
    _check_min("sigma", sigma, 0.5)
    size = 2 * math.ceil(4 * sigma) + 1
    weights, squares = _gaussian_1d(sigma, size), (np.arange(size) - size // 2) ** 2 / sigma**2
    blur = np.outer(weights, weights)
    kernel: Kernel = blur * (np.add.outer(squares, squares) - 2) / sigma**2
    kernel -= kernel.sum() * blur
    return kernel


def edge_detect_1() -> Kernel:
    """Edges on the diagonals: opposite corners with opposite signs."""
    return _array((1, 0, -1), (0, 0, 0), (-1, 0, 1))


def edge_detect_2() -> Kernel:
    """Edges by four neighbours, which is `laplacian`."""
    return laplacian()


def edge_detect_3() -> Kernel:
    """Edges by all eight neighbours."""
    return _array((-1, -1, -1), (-1, 8, -1), (-1, -1, -1))


def sobel_x() -> Kernel:
    """Slope to the right, smoothed downwards: vertical edges."""
    return _array((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))


def sobel_y() -> Kernel:
    """Slope downwards, smoothed to the right: horizontal edges."""
    return sobel_x().T.copy()


def prewitt_x() -> Kernel:
    """Slope to the right, mean of three rows: vertical edges."""
    return _array((-1, 0, 1), (-1, 0, 1), (-1, 0, 1))


def prewitt_y() -> Kernel:
    """Slope downwards, mean of three columns: horizontal edges."""
    return prewitt_x().T.copy()


def scharr_x() -> Kernel:
    """Slope to the right, nearly equally strong for edges of any direction: vertical edges."""
    return _array((-3, 0, 3), (-10, 0, 10), (-3, 0, 3))


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
    _check_min("wavelength", wavelength, 2)
    _check_min("sigma", sigma, 0.5)
    _check_degrees("angle", angle)
    _check_degrees("phase", phase)
    size = 2 * math.ceil(3 * sigma) + 1
    weights, pixels = _gaussian_1d(sigma, size), np.arange(size) - size // 2
    down, right = _direction(angle)
    turns = np.add.outer(down * pixels, right * pixels) / wavelength
    envelope, wave = np.outer(weights, weights), np.cos(2 * np.pi * turns + math.radians(phase))
    kernel: Kernel = envelope * (wave - (envelope * wave).sum())
    return kernel


def emboss() -> Kernel:
    """Light from the top left: the image as a relief."""
    return _array((-2, -1, 0), (-1, 1, 1), (0, 1, 2))


def ripple() -> Kernel:
    """Odd under rotation by 180 degrees, so that convolving gives minus what correlating gives: it shows the flip."""
    root = math.sqrt(2)
    return _array((0, -1, root), (1, 0, -1), (-root, 1, 0))


_BANK: dict[str, Callable[[], Kernel | ComplexKernel]] = {
    f.__name__: f
    for f in (
        identity, box, small_blur, large_blur, gaussian, binomial, motion_blur, sharpen, sharpen_more, unsharp,
        laplacian, laplacian_of_gaussian, edge_detect_1, edge_detect_2, edge_detect_3, sobel_x, sobel_y,
        prewitt_x, prewitt_y, scharr_x, scharr_y, scharr_complex, gabor, emboss, ripple,
    )
}  # fmt: skip


def names() -> list[str]:
    """List the names that `get` knows.

    Returns
    -------
    list of str
        Blurs first, then what sharpens, then edges and the rest.

    Examples
    --------
    >>> "sobel_x" in names()
    True
    """
    return list(_BANK)


def get(name: str) -> Kernel | ComplexKernel:
    """Return a kernel of the bank by its name.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    2-D array of float64 or complex128
        A new array each time.

    Raises
    ------
    ValueError
        If there is no such kernel.

    Examples
    --------
    >>> get("sobel_x")[1]
    array([-2.,  0.,  2.])
    """
    if name not in _BANK:
        near = difflib.get_close_matches(name, _BANK, n=1)
        hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(_BANK)}"
        msg = f'there is no kernel "{name}"; {hint}'
        raise ValueError(msg)
    return _BANK[name]()


def normalize(kernel: ArrayLike, /) -> Kernel | ComplexKernel:
    """Divide a kernel by its sum, so that flat areas keep their brightness.

    Parameters
    ----------
    kernel : array of numbers, any dimension
        Finite values only.

    Returns
    -------
    array of float64, or of complex128 if the kernel is complex
        Its sum is 1. A kernel whose sum is 0 (to 1e-12 of its sum of magnitudes) comes back unchanged, as a
        copy, with a UserWarning.

    Raises
    ------
    ValueError
        If `kernel` is empty, or a value or the sum of magnitudes is not finite.
    TypeError
        If `kernel` does not hold numbers.

    Examples
    --------
    >>> normalize([[1, 2, 1]])
    array([[0.25, 0.5 , 0.25]])
    """
    given = np.asarray(kernel)
    if given.dtype.kind not in "biufc":
        msg = f"`kernel` is of type {given.dtype}; it must hold numbers"
        raise TypeError(msg)
    weights: NDArray[Any] = given.astype(np.complex128 if given.dtype.kind == "c" else np.float64)
    if weights.size == 0:
        msg = f"`kernel` is empty, of shape {weights.shape}; it must hold at least one weight"
        raise ValueError(msg)
    with np.errstate(over="ignore"):
        magnitudes = np.abs(weights).sum()
    if not np.isfinite(magnitudes):
        msg = f"the magnitudes of `kernel` sum to {magnitudes}; all weights and this sum must be finite"
        raise ValueError(msg)
    total = weights.sum()
    if abs(total) <= 1e-12 * magnitudes:
        warnings.warn(
            "`kernel` has the sum 0 and cannot be divided by it; it is returned unchanged", stacklevel=2
        )
        return weights
    weights /= total
    return weights
