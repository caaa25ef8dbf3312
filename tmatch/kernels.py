"""A bank of kernels: small arrays of weights for `tmatch.convolve` and `tmatch.correlate`.

Each is a function; `names` lists those that need no argument and `get` returns one by its name. All
are float64 and written as `correlate` reads them: as they lie on the picture.
"""

import difflib
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Kernel = NDArray[np.float64]

__all__ = [
    "box", "edge_detect_1", "edge_detect_2", "edge_detect_3", "emboss", "gaussian", "get", "identity",
    "laplacian", "names", "ripple", "sharpen", "shift", "sobel_x", "sobel_y",
]  # fmt: skip


def _array(*rows: tuple[float, ...]) -> Kernel:
    return np.array(rows, dtype=np.float64)


def identity() -> Kernel:
    """Leave the picture as it is."""
    return shift(0, 0)


def shift(dy: int, dx: int) -> Kernel:
    """Move the picture by whole pixels under `convolve` (and the other way under `correlate`).

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
        If a side is below 1.

    Examples
    --------
    >>> box(1, 4)
    array([[0.25, 0.25, 0.25, 0.25]])
    """
    if height < 1 or width < 1:
        msg = f"`height` and `width` are {height} and {width}; both must be at least 1 pixel"
        raise ValueError(msg)
    return np.full((height, width), 1 / (height * width))


def gaussian(sigma: float = 1.0) -> Kernel:
    """Blur softly: weights fall off as a bell of the given width, cut at 4 sigma.

    Parameters
    ----------
    sigma : float
        Standard deviation in pixels, above 0.

    Returns
    -------
    (n, n) array of float64
        n is odd; the sum is 1.

    Raises
    ------
    ValueError
        If `sigma` is not above 0.

    Examples
    --------
    >>> gaussian(0.5).shape
    (5, 5)
    """
    if not (sigma > 0 and math.isfinite(sigma)):
        msg = f"`sigma` is {sigma}; it must be above 0 pixels and finite"
        raise ValueError(msg)
    radius = math.ceil(4 * sigma)
    bell = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    bell /= bell.sum()
    return np.outer(bell, bell)


def sharpen() -> Kernel:
    """Bring out detail: the picture plus its difference from its four neighbours."""
    return _array((0, -1, 0), (-1, 5, -1), (0, -1, 0))


def laplacian() -> Kernel:
    """Second difference on both axes: 0 on flats and slopes, large at lines and edges."""
    return _array((0, 1, 0), (1, -4, 1), (0, 1, 0))


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


def emboss() -> Kernel:
    """Light from the top left: the picture as a relief."""
    return _array((-2, -1, 0), (-1, 1, 1), (0, 1, 2))


def ripple() -> Kernel:
    """Odd under a half turn, so that convolving gives minus what correlating gives: it shows the flip."""
    root = math.sqrt(2)
    return _array((0, -1, root), (1, 0, -1), (-root, 1, 0))


_BANK: dict[str, Callable[[], Kernel]] = {
    f.__name__: f
    for f in (
        identity, box, gaussian, sharpen, laplacian, edge_detect_1, edge_detect_2, edge_detect_3,
        sobel_x, sobel_y, emboss, ripple,
    )
}  # fmt: skip


def names() -> list[str]:
    """List the names that `get` knows.

    Returns
    -------
    list of str
        In the order of the bank.

    Examples
    --------
    >>> "sobel_x" in names()
    True
    """
    return list(_BANK)


def get(name: str) -> Kernel:
    """Return a kernel of the bank by its name.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    2-D array of float64
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
