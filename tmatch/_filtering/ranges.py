"""Convert real numbers to pixels."""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from tmatch._arrays.arithmetic import own_errstate
from tmatch._arrays.typing import Array
from tmatch._arrays.validation import check_name, check_numbers

RangeRule = Literal["clip", "rescale", "wrap", "abs"]


@own_errstate
def to_range(values: ArrayLike, /, *, how: RangeRule = "clip", dtype: DTypeLike = np.uint8) -> NDArray[Any]:
    """Convert real numbers to pixels, by a chosen rule.

    Parameters
    ----------
    values : array of real numbers
        Finite values only.
    how : {"clip", "rescale", "wrap", "abs"}
        "clip" limits values to the range. "rescale" maps the minimum to the lower end of the range and
        the maximum to its upper end, linearly (constant values to the lower end). "wrap" is modular, as overflow of
        integers is: modulo 256 for uint8. "abs" clips magnitudes.
    dtype : integer dtype
        The dtype of the pixels, which defines the range.

    Returns
    -------
    array of `dtype`
        Rounded to the nearest integer, halves to even.

    Raises
    ------
    ValueError
        If a value is not finite or `how` is unknown.
    TypeError
        If `values` are not real numbers or `dtype` is no integer dtype of at most 32 bits.

    See Also
    --------
    correlate, convolve : filters, whose results are real numbers.

    Examples
    --------
    >>> import tmatch
    >>> [tmatch.to_range([-20, 100, 300], how=how).tolist() for how in ("clip", "rescale", "wrap", "abs")]
    [[0, 100, 255], [0, 96, 255], [236, 100, 44], [20, 100, 255]]
    """
    array = check_numbers("values", values)
    check_name("how", how, RangeRule)
    target = np.dtype(dtype)
    if target.kind not in "iu" or target.itemsize > 4:
        msg = f"`dtype` is {target}; it must be an integer dtype of at most 32 bits"
        raise TypeError(msg)
    low, high = float(np.iinfo(target).min), float(np.iinfo(target).max)
    if how == "wrap" and array.dtype.kind in "biu":
        return array.astype(target)
    real = array.astype(np.float64) if how != "rescale" or not array.size else _above_minimum(array)
    if how == "rescale":
        span = real.max(initial=0.0)
        real = real / span * (high - low) + low if span > 0 else np.full_like(real, low)
    elif how == "wrap":
        real = np.mod(np.rint(real) - low, high - low + 1) + low
    elif how == "abs":
        real = np.abs(real)
    return np.clip(np.rint(real), low, high).astype(target)


def _above_minimum(array: Array) -> NDArray[np.float64]:
    """Return differences from the minimum; floats are halved, so that differences do not overflow."""
    if array.dtype.kind in "iu":
        return np.asarray(array.astype(np.uint64) - array.min().astype(np.uint64), np.float64)
    halves = array.astype(np.float64) / 2
    return np.asarray(halves - halves.min())
