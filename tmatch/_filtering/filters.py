"""Correlation and convolution at every pixel, borders included."""

import numbers
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from tmatch._arrays.arithmetic import own_errstate
from tmatch._arrays.channels import split_channels
from tmatch._arrays.dask_array import DaskArray, is_dask
from tmatch._arrays.geometry import Margins, output_margins
from tmatch._arrays.keywords import answers_guesses
from tmatch._arrays.options import Border, Missing, Output
from tmatch._arrays.typing import Array, Shape
from tmatch._arrays.validation import check_axis, check_count, check_name, check_numbers
from tmatch._filtering import correlation
from tmatch._filtering.lazy import lazily_filtered
from tmatch._filtering.linear import LinearFilter
from tmatch._filtering.missing import check_sums


@answers_guesses
def correlate(
    image: ArrayLike,
    kernel: ArrayLike,
    /,
    *,
    border: Border = "constant",
    fill_value: float = 0.0,
    output: Output = "same",
    stride: int | Sequence[int] = 1,
    anchor: Sequence[int] | None = None,
    channel_axis: int | None = None,
    missing: Missing = "refuse",
    dtype: DTypeLike | None = None,
    workers: int | None = None,
) -> Array:
    """Cross-correlate an image with a kernel.

    Parameters
    ----------
    image : array of numbers, any dimension
        Finite values only; NaN as well if `missing` is "ignore".
    kernel : array of numbers, of the image's dimension (not counting channels)
        The weights. Complex ones are conjugated. With `channel_axis` it may have that axis too: a
        kernel for each channel.
    border : {"constant", "edge", "reflect", "symmetric", "wrap"}
        How the image is extended beyond its borders, by the names of `numpy.pad`: by `fill_value`, by its
        last pixel, mirrored about the last pixel, mirrored about the edge, or periodically.
    fill_value : float
        The value outside the image, for ``border="constant"``, in units of the image.
    output : {"same", "valid", "full"}
        "same": one value for each pixel. "valid": only where the kernel lies inside the image.
        "full": wherever the kernel touches the image.
    stride : int or sequence of int
        Step between the results that are returned, one for all axes or one each: a stride of 2 returns
        results 0, 2, 4, ... of those of stride 1. (It saves memory, not time: all are computed first.)
    anchor : sequence of int or None
        The element of the kernel that is aligned with the pixel, for ``output="same"``; None for the centre,
        element ``n // 2`` on each axis.
    channel_axis : int or None
        The axis of channels, each filtered separately; None if there are none.
    missing : {"refuse", "ignore"}
        Whether NaN in the image is an error, or a missing pixel that is left out with its weight, see Notes.
    dtype : dtype or None
        float32 or float64, complex64 or complex128 if an input is complex: the dtype of the result and of
        the computation. None for float64 (complex128), or float32 (complex64) if the image has that dtype.
    workers : int or None
        Maximum number of threads; None for one per core that this process may use. 1 starts none.

    Returns
    -------
    array of `dtype`
        Of length n, n - k + 1 or n + k - 1 on each axis for "same", "valid" and "full", with n pixels
        and a kernel of length k; divided by the stride, rounded up. Integer images and kernels give exact
        integers below 2**53. No value is clipped or wrapped: `to_range` converts the result to pixels. Of a dask
        array, a lazy dask array of the same values, see Notes.

    Raises
    ------
    ValueError
        If an array is empty or not finite, dimensions differ, an option is unknown, the kernel is larger than the
        image with ``output="valid"``, its weights add up to 0 with ``missing="ignore"``, or sums pass the largest
        number of the dtype.
    TypeError
        If an array does not hold numbers.

    See Also
    --------
    convolve : the same with the kernel flipped.

    Notes
    -----
    With the anchor a, ``out[i] = sum over k of image[i + k - a] * conj(kernel[k])``. The
    cheapest of three methods is used: kernels of rank 1 along one axis after the other, small ones weight by
    weight, others by Fourier transforms of tiles. The error is about 1e-6 in float32, and 1e-15 in float64, of the
    largest values in the tile, some hundred pixels around.

    With ``missing="ignore"`` the sum over the pixels that are there is divided by the sum of their weights, and
    multiplied by that of all weights: a weighted mean stays one, and a constant image constant (H. Knutsson and C.-F.
    Westin, CVPR 1993). Where that sum is at most a millionth of the sum of the weights' magnitudes, as where all pixels
    are missing, the result is NaN. Pixels outside the image are never missing, unless its border repeats missing ones.
    It is computed in double precision, and costs as much again.

    Where the image is a dask array nothing is computed yet. Each task computes some whole tiles, by one thread, from
    the parts of the chunks that it needs; results do not depend on the chunks. Chunks of the result end where those
    of the image do. Chunks of wide integers, and of floats with ``missing="ignore"``, are read twice: first for what
    has to be known of all.

    Examples
    --------
    A weight left of the centre reads the pixel on the left: the image moves right.

    >>> import tmatch
    >>> tmatch.correlate([[1, 2, 3]], [[1, 0, 0]])
    array([[0., 1., 2.]])

    The mean of three pixels, where one is missing that of the two others:

    >>> tmatch.correlate([1, 2, float("nan"), 4, 5], [1 / 3, 1 / 3, 1 / 3], border="edge", missing="ignore")
    array([1.33333333, 1.5       , 3.        , 4.5       , 4.66666667])
    """
    return _filter(
        image, kernel, border, fill_value, output, stride, anchor, channel_axis, missing, dtype, workers, flip=False
    )  # fmt: skip


@answers_guesses
def convolve(
    image: ArrayLike,
    kernel: ArrayLike,
    /,
    *,
    border: Border = "constant",
    fill_value: float = 0.0,
    output: Output = "same",
    stride: int | Sequence[int] = 1,
    anchor: Sequence[int] | None = None,
    channel_axis: int | None = None,
    missing: Missing = "refuse",
    dtype: DTypeLike | None = None,
    workers: int | None = None,
) -> Array:
    """Convolve an image with a kernel.

    Parameters
    ----------
    image : array of numbers, any dimension
        Finite values only; NaN as well if `missing` is "ignore".
    kernel : array of numbers, of the image's dimension (not counting channels)
        The weights, not conjugated. With `channel_axis` it may have that axis too.
    border, fill_value, output, stride, anchor, channel_axis, missing, dtype, workers
        As in `correlate`. The anchor is an element of the kernel as given, before flipping.

    Returns
    -------
    array of `dtype`
        As in `correlate`.

    Raises
    ------
    ValueError, TypeError
        As in `correlate`.

    See Also
    --------
    correlate : the same without the flip, with all options described in full.

    Notes
    -----
    With the anchor a, ``out[i] = sum over k of image[i - (k - a)] * kernel[k]``. The flip makes
    convolution commutative and associative: two kernels in a row are one, the convolution of the two.

    Examples
    --------
    A weight left of the centre moves the image left.

    >>> import tmatch
    >>> tmatch.convolve([[1, 2, 3]], [[1, 0, 0]])
    array([[2., 3., 0.]])
    """
    return _filter(
        image, kernel, border, fill_value, output, stride, anchor, channel_axis, missing, dtype, workers, flip=True
    )  # fmt: skip


@own_errstate
def _filter(
    image: ArrayLike,
    kernel: ArrayLike,
    border: Border,
    fill_value: float,
    output: Output,
    stride: int | Sequence[int],
    anchor: Sequence[int] | None,
    channel_axis: int | None,
    missing: Missing,
    dtype: DTypeLike | None,
    workers: int | None,
    *,
    flip: bool,
) -> Array:
    given = DaskArray(image) if is_dask(image) else image
    pixels = check_numbers("image", given, "biufc", finite=False)  # tiles are checked when they are read
    weights = check_numbers("kernel", kernel, "biufc")
    check_name("border", border, Border)
    check_name("output", output, Output)
    check_name("missing", missing, Missing)
    axis = check_axis("image", pixels, channel_axis)
    planes = split_channels(pixels, axis)
    kernels = split_channels(weights, axis if weights.ndim == pixels.ndim else None)
    _check_shapes(pixels, planes, kernels, output)
    _check_fill(fill_value, border)
    check_count("workers", workers, or_none=True)
    made = LinearFilter(
        # Correlation conjugates the kernel and convolution flips it.
        kernels=[np.flip(k) if flip else np.conj(k) for k in kernels],
        margins=_margins(kernels[0].shape, output, anchor, flip=flip),
        border=border,
        fill=fill_value,
        missing=missing,
        axis=axis,
        steps=_strides(stride, planes[0].ndim),
        dtype=_result_dtype(dtype, pixels.dtype, weights.dtype),
    )
    if missing == "ignore":
        check_sums(made.kernels)
    if isinstance(given, DaskArray):
        operation = "convolve" if flip else "correlate"
        result: Array = lazily_filtered(operation, made, given, whole=output == "same")
        return result
    return made.apply(pixels, workers=workers)


def _margins(kernel: Shape, output: Output, anchor: Sequence[int] | None, *, flip: bool) -> Margins:
    """Return how far windows reach beyond the image, before and after it on each axis."""
    if anchor is not None and output != "same":
        msg = f'`anchor` is {anchor} with output="{output}"; only output="same" lays the kernel on a pixel'
        raise ValueError(msg)
    centre = [n // 2 for n in kernel] if anchor is None else np.atleast_1d(np.asarray(anchor)).tolist()
    inside = (isinstance(c, int) and 0 <= c < n for c, n in zip(centre, kernel, strict=False))
    if len(centre) != len(kernel) or not all(inside):
        msg = f"`anchor` is {anchor}; it must be an element of the kernel, whose shape is {kernel}"
        raise ValueError(msg)
    if flip:
        centre = [n - 1 - c for c, n in zip(centre, kernel, strict=True)]
    return output_margins(kernel, output, centre)


def _check_shapes(image: Array, planes: list[Array], kernels: list[Array], output: Output) -> None:
    if image.size == 0 or planes[0].ndim == 0:
        msg = f"`image` has shape {image.shape}; it must have at least one axis and one pixel"
        raise ValueError(msg)
    if len(kernels) not in (1, len(planes)):
        msg = f"`kernel` has {len(kernels)} channels and `image` has {len(planes)}; they must be equal"
        raise ValueError(msg)
    outer, inner = planes[0].shape, kernels[0].shape
    if 0 in inner or len(inner) != len(outer):
        msg = (
            f"`kernel` has shape {inner}; it must have {len(outer)} axes, as the image has, and no empty one"
        )
        raise ValueError(msg)
    too_long = [axis for axis, (n, k) in enumerate(zip(outer, inner, strict=True)) if k > n]
    if output == "valid" and too_long:
        axes = ", ".join(map(str, too_long))
        msg = f'`kernel` has shape {inner}, larger than `image` {outer} on axes {axes}; use "same" or "full"'
        raise ValueError(msg)


def _check_fill(fill_value: float, border: Border) -> None:
    if not isinstance(fill_value, numbers.Real) or not abs(float(fill_value)) <= sys.float_info.max:
        msg = f"`fill_value` is {fill_value!r}; it must be finite"
        raise ValueError(msg)
    if fill_value and border != "constant":
        msg = f'`fill_value` is {fill_value} with border="{border}"; only border="constant" fills'
        raise ValueError(msg)


def _strides(stride: int | Sequence[int], ndim: int) -> list[int]:
    steps: list[int] = np.atleast_1d(np.asarray(stride)).tolist() * (ndim if np.ndim(stride) == 0 else 1)
    if len(steps) != ndim or not all(isinstance(step, int) and step >= 1 for step in steps):
        msg = f"`stride` is {stride}; it must be a whole number of at least 1, or {ndim} of them, one for each axis"
        raise ValueError(msg)
    return steps


def _result_dtype(dtype: DTypeLike | None, image: np.dtype[Any], kernel: np.dtype[Any]) -> np.dtype[Any]:
    """Return the requested dtype, if it can hold the result, or the default."""
    natural = correlation.result_dtype(image, kernel)
    if dtype is None:
        return natural
    target = np.dtype(dtype).newbyteorder("=")
    allowed = ("complex64", "complex128") if natural.kind == "c" else ("float32", "float64")
    if target.name not in allowed:
        msg = f"`dtype` is {target}; it must be {' or '.join(allowed)} here; `to_range` makes pixels of the result"
        raise ValueError(msg)
    return target
