"""Filters: correlation and convolution at every pixel, borders included."""

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from tmatch import _core
from tmatch._core import Array, Shape

Border = Literal["constant", "edge", "reflect", "symmetric", "wrap"]
Output = Literal["same", "valid", "full"]
RangeRule = Literal["clip", "rescale", "wrap", "abs"]


def correlate(
    image: ArrayLike,
    kernel: ArrayLike,
    /,
    *,
    border: Border = "constant",
    fill_value: float = 0.0,
    output: Output = "same",
    channel_axis: int | None = None,
) -> Array:
    """Lay a kernel on every pixel, as it is, and sum pixel times weight.

    Parameters
    ----------
    image : array of numbers, any dimension
        Finite values only.
    kernel : array of numbers, of the image's dimension (not counting channels)
        The weights. Complex ones are conjugated. Its centre is element ``n // 2`` on each axis.
    border : {"constant", "edge", "reflect", "symmetric", "wrap"}
        How the image goes on outside itself, by the names of `numpy.pad`: by `fill_value`, by its last
        pixel, mirrored about the last pixel, mirrored about the edge, or periodically.
    fill_value : float
        The value outside, for ``border="constant"``, in units of the image.
    output : {"same", "valid", "full"}
        "same": one value for each pixel. "valid": only where the kernel lies inside the image.
        "full": wherever the kernel touches the image.
    channel_axis : int or None
        The axis that holds channels, each filtered by itself; None if there are none.

    Returns
    -------
    array of float64
        Of length n, n - k + 1 or n + k - 1 on each axis for "same", "valid" and "full", with n pixels
        and a kernel of k. Complex if an input is; float32 or complex64 if the image is one of these.
        Integers and whole-numbered kernels give exact integers. Nothing is clipped or wrapped: see
        `to_range` for the way back to pixels.

    Raises
    ------
    ValueError
        If an array is empty or not finite, dimensions differ, an option's name is unknown, or the kernel
        is larger than the image with ``output="valid"``.
    TypeError
        If an array does not hold numbers.

    See Also
    --------
    convolve : the same with the kernel flipped.

    Notes
    -----
    With the centre c = n // 2, ``out[i] = sum over k of image[i + k - c] * conj(kernel[k])``.

    Examples
    --------
    A weight left of the centre fetches the pixel on the left: the picture moves right.

    >>> import tmatch
    >>> tmatch.correlate([[1, 2, 3]], [[1, 0, 0]])
    array([[0., 1., 2.]])
    """
    return _filter(image, kernel, border, fill_value, output, channel_axis, flip=False)


def convolve(
    image: ArrayLike,
    kernel: ArrayLike,
    /,
    *,
    border: Border = "constant",
    fill_value: float = 0.0,
    output: Output = "same",
    channel_axis: int | None = None,
) -> Array:
    """Lay a kernel on every pixel, flipped on every axis, and sum pixel times weight.

    Parameters
    ----------
    image : array of numbers, any dimension
        Finite values only.
    kernel : array of numbers, of the image's dimension (not counting channels)
        The weights, not conjugated. The centre is element ``n // 2`` on each axis, before flipping.
    border, fill_value, output, channel_axis
        As in `correlate`.

    Returns
    -------
    array of float64
        As in `correlate`.

    Raises
    ------
    ValueError, TypeError
        As in `correlate`.

    See Also
    --------
    correlate : the same without the flip, with all options told at length.

    Notes
    -----
    With the centre c = n // 2, ``out[i] = sum over k of image[i - (k - c)] * kernel[k]``. The flip makes
    convolution commutative and associative: two kernels in a row are one, the convolution of the two.

    Examples
    --------
    A weight left of the centre moves the picture left.

    >>> import tmatch
    >>> tmatch.convolve([[1, 2, 3]], [[1, 0, 0]])
    array([[2., 3., 0.]])
    """
    return _filter(image, kernel, border, fill_value, output, channel_axis, flip=True)


def to_range(values: ArrayLike, /, *, how: RangeRule = "clip", dtype: DTypeLike = np.uint8) -> NDArray[Any]:
    """Turn real numbers back into pixels, by a rule that you choose.

    Parameters
    ----------
    values : array of real numbers
        Finite values only.
    how : {"clip", "rescale", "wrap", "abs"}
        "clip" cuts at the ends of the range. "rescale" maps the least value to the range's lower end
        and the greatest to its upper end (constant values to the lower end). "wrap" counts round, as
        integer arithmetic that overflows does: modulo 256 for uint8. "abs" clips magnitudes.
    dtype : integer dtype
        The pixels wanted; its range is the range.

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

    Examples
    --------
    >>> import tmatch
    >>> [tmatch.to_range([-20, 100, 300], how=how).tolist() for how in ("clip", "rescale", "wrap", "abs")]
    [[0, 100, 255], [0, 96, 255], [236, 100, 44], [20, 100, 255]]
    """
    array = np.asarray(values)
    _check_name("how", how, RangeRule)
    _check_numbers("values", array, "biuf")
    target = np.dtype(dtype)
    if target.kind not in "iu" or target.itemsize > 4:
        msg = f"`dtype` is {target}; it must be an integer dtype of at most 32 bits"
        raise TypeError(msg)
    low, high = float(np.iinfo(target).min), float(np.iinfo(target).max)
    real = array.astype(np.float64)
    if how == "rescale":
        least, span = real.min(initial=np.inf), np.ptp(real) if real.size else 0.0
        real = (real - least) * ((high - low) / span) + low if span > 0 else np.full_like(real, low)
    elif how == "wrap":
        real = np.mod(np.rint(real) - low, high - low + 1) + low
    elif how == "abs":
        real = np.abs(real)
    return np.clip(np.rint(real), low, high).astype(target)


def _filter(
    image: ArrayLike,
    kernel: ArrayLike,
    border: Border,
    fill_value: float,
    output: Output,
    channel_axis: int | None,
    *,
    flip: bool,
) -> Array:
    pixels, weights = np.asarray(image), np.asarray(kernel)
    _check_numbers("image", pixels, "biufc")
    _check_numbers("kernel", weights, "biufc")
    _check_name("border", border, Border)
    _check_name("output", output, Output)
    if channel_axis is not None:
        if not -pixels.ndim <= channel_axis < pixels.ndim:
            msg = f"`channel_axis` is {channel_axis}, but `image` has only {pixels.ndim} axes"
            raise ValueError(msg)
        planes = np.moveaxis(pixels, channel_axis, 0)
        _check_shapes(planes[0].shape, weights.shape, output)
        done = [_filter_plane(plane, weights, border, fill_value, output, flip=flip) for plane in planes]
        return np.stack(done, axis=channel_axis)
    _check_shapes(pixels.shape, weights.shape, output)
    return _filter_plane(pixels, weights, border, fill_value, output, flip=flip)


def _filter_plane(
    pixels: Array, weights: Array, border: Border, fill_value: float, output: Output, *, flip: bool
) -> Array:
    """Correlate over the image, extended by as much as the output asks for."""
    if flip:  # correlating conjugates and convolving does not
        weights = np.conj(np.flip(weights))
    if output == "valid":
        return _core.correlate_valid(pixels, weights)
    if output == "full":
        margins = [(k - 1, k - 1) for k in weights.shape]
    else:
        centres = [(k - 1 - k // 2 if flip else k // 2) for k in weights.shape]
        margins = [(c, k - 1 - c) for c, k in zip(centres, weights.shape, strict=True)]
    if border == "constant":
        wide = pixels.astype(np.result_type(pixels.dtype, np.min_scalar_type(fill_value)), copy=False)
        extended = np.pad(wide, margins, mode="constant", constant_values=fill_value)
    else:
        extended = np.pad(pixels, margins, mode=border)
    return _core.correlate_valid(extended, weights)


def _check_numbers(name: str, array: Array, kinds: str) -> None:
    if array.dtype.kind not in kinds:
        what = "numbers" if "c" in kinds else "real numbers"
        msg = f"`{name}` has dtype {array.dtype}; it must hold {what}"
        raise TypeError(msg)
    if array.dtype.kind in "fc" and not np.isfinite(array).all():
        msg = f"`{name}` has NaN or infinite values; replace them first, for instance with np.nan_to_num"
        raise ValueError(msg)


def _check_shapes(image: Shape, kernel: Shape, output: Output) -> None:
    if 0 in image or not image:
        msg = f"`image` has shape {image}; it must have at least one axis and one pixel"
        raise ValueError(msg)
    if 0 in kernel or len(kernel) != len(image):
        msg = (
            f"`kernel` has shape {kernel}; it must have {len(image)} axes, as the image has, and no empty one"
        )
        raise ValueError(msg)
    too_long = [axis for axis, (n, k) in enumerate(zip(image, kernel, strict=True)) if k > n]
    if output == "valid" and too_long:
        axes = ", ".join(map(str, too_long))
        msg = f'`kernel` has shape {kernel}, larger than `image` {image} on axes {axes}; use "same" or "full"'
        raise ValueError(msg)


def _check_name(option: str, value: object, known: Any) -> None:
    if value not in get_args(known):
        names = ", ".join(f'"{name}"' for name in get_args(known))
        msg = f"`{option}` is {value!r}; it must be one of {names}"
        raise ValueError(msg)
