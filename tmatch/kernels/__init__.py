"""A bank of kernels: small arrays of weights for `tmatch.convolve` and `tmatch.correlate`.

Each is a function; `names` lists those that need no argument and `get` returns one by its name. All
are float64 (`scharr_complex` complex128) and written as `correlate` reads them: without the flip.
Angles are in degrees, counter-clockwise as seen in the image: 0 is to the right, 90 upwards.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmatch.kernels._blurs import (
    binomial,
    box,
    gaussian,
    identity,
    large_blur,
    motion_blur,
    shift,
    small_blur,
)
from tmatch.kernels._edges import (
    edge_detect_1,
    edge_detect_2,
    edge_detect_3,
    emboss,
    gabor,
    laplacian,
    laplacian_of_gaussian,
    prewitt_x,
    prewitt_y,
    ripple,
    scharr_complex,
    scharr_x,
    scharr_y,
    sharpen,
    sharpen_more,
    sobel_x,
    sobel_y,
    unsharp,
)
from tmatch.kernels._weights import ComplexKernel, Kernel

__all__ = [
    "binomial", "box", "edge_detect_1", "edge_detect_2", "edge_detect_3", "emboss", "gabor", "gaussian", "get",
    "identity", "laplacian", "laplacian_of_gaussian", "large_blur", "motion_blur", "names", "normalize",
    "prewitt_x", "prewitt_y", "ripple", "scharr_complex", "scharr_x", "scharr_y", "sharpen", "sharpen_more",
    "shift", "small_blur", "sobel_x", "sobel_y", "unsharp",
]  # fmt: skip

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
        import difflib  # noqa: PLC0415

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
