"""OpenCV's ``cv2.matchTemplate`` and the six constants it takes, computed by tmatch.

The same arguments, orientation (row, column) and float32 numbers as in OpenCV 5.0, to its own precision, for uint8 and
float32 images of one to four channels. Masks of uint8 are binary (any value but 0 counts). Masks of float32 are
weights, by OpenCV's formulas: products and squares are weighted by the mask's square, means by the mask. As there,
TM_SQDIFF_NORMED is at most 1 without a mask and unbounded with one.

Intentional differences from OpenCV, where it is silently wrong or depends on chance:

- A constant template under TM_CCOEFF_NORMED, and one of zeros under the other two normed methods, are refused: nothing
  could be compared. There, the first scores 1 everywhere (or NaN, with a mask), the others 0, 1, NaN or infinity.
- Under a mask, windows that have no norm (constant ones for TM_CCOEFF_NORMED, all 0 for TM_CCORR_NORMED) score 0, as
  they do without one, and in TM_SQDIFF_NORMED the largest number of the map, at least 1. There, they are NaN, infinity
  or any number that rounding leaves.
- An image smaller than the template is refused. There, the two are swapped, if there is no mask.
- NaN and infinity, in images and masks, are refused (where the mask is 0, `templ` may hold them). There, scores
  become 0, 1 or NaN, here and there or everywhere.
- A mask with nothing above 0, or with weights below 0, is refused. There, the first gives NaN, the second is squared. A
  channel without weight does not count. There, it makes all scores of TM_CCOEFF and TM_CCOEFF_NORMED NaN.
- Normed scores stay within [-1, 1]. There, rounding is hidden: without a mask scores of up to 1.125 are called 1, and
  larger ones 0; with a mask they pass 1.
- Windows and templates of little contrast have their scores. There, in float32 images, it is 0 where the variance is
  below a millionth of the mean square, and 1 everywhere if that of the template is below 2e-16.
- TM_SQDIFF of uint8 is exact, unless there are weights, and nowhere below 0. There, it is off by some 1e-7 of the
  squares, and with a mask it can be below 0.

Other byte orders, any memory layout, for `result` too, and masks of bool are taken as well. One-dimensional arrays and
images of more than four channels are refused for all six methods, where OpenCV takes some for some.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmatch._arrays.arithmetic import own_errstate
from tmatch._arrays.options import Metric
from tmatch._filtering.filters import correlate
from tmatch._scoring.maps import score_map, score_validity
from tmatch._scoring.metrics import METRICS

__all__ = [
    "TM_CCOEFF", "TM_CCOEFF_NORMED", "TM_CCORR", "TM_CCORR_NORMED", "TM_SQDIFF", "TM_SQDIFF_NORMED", "matchTemplate",
]  # fmt: skip

TM_SQDIFF = 0
TM_SQDIFF_NORMED = 1
TM_CCORR = 2
TM_CCORR_NORMED = 3
TM_CCOEFF = 4
TM_CCOEFF_NORMED = 5

Array = NDArray[Any]

_METRICS: tuple[Metric, ...] = ("ssd", "nssd", "cc", "ncc", "zcc", "zncc")  # by OpenCV's numbers
_ROUNDED = 1e-8  # of the largest window's square: rounding would show in a smaller one


@own_errstate
def matchTemplate(  # noqa: N802
    image: ArrayLike,
    templ: ArrayLike,
    method: int,
    result: Array | None = None,
    mask: ArrayLike | None = None,
) -> NDArray[np.float32]:
    """Compare a template with every window of an image, as OpenCV does.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8 or float32
        The array to search, with up to four channels.
    templ : (h, w) or (h, w, C) array of the same dtype and channels
        The array to find, no larger than `image`.
    method : int
        One of the six constants of this module.
    result : (H - h + 1, W - w + 1) array of float32, or None
        Where the numbers are written. None, or an array of another shape or dtype: into a new one.
    mask : (h, w) or (h, w, C) array of uint8, bool or float32, or None
        Which pixels of the template count (uint8 and bool: those that are not 0), or how much (float32).

    Returns
    -------
    (H - h + 1, W - w + 1) array of float32
        `result`, if it could be used. The best score is the smallest for the two TM_SQDIFF and the largest for
        the others; its index is the row and column of the window's first pixel.

    Raises
    ------
    ValueError
        If an array is empty or not finite, dtypes, shapes or channels do not go together, `method` is none of the six,
        or the template or the mask leaves nothing to compare.
    TypeError
        If an array is of another dtype.

    See Also
    --------
    tmatch.match_template : the same in float64, for any dtype and dimension; higher is always better.

    Notes
    -----
    With I the window, T the template, M the mask (1 if there is none), sums over pixels and channels, and primed
    letters for what is left when each channel's mean, weighted by M, is subtracted:

    ========= ==================== ================================================
    method    value                with _NORMED over
    ========= ==================== ================================================
    TM_SQDIFF sum((I - T)^2 M^2)   sqrt(sum(I^2 M^2) sum(T^2 M^2))
    TM_CCORR  sum(I T M^2)         sqrt(sum(I^2 M^2) sum(T^2 M^2))
    TM_CCOEFF sum(I' T' M^2)       sqrt(sum(I'^2 M^2) sum(T'^2 M^2))
    ========= ==================== ================================================

    Examples
    --------
    >>> import numpy as np
    >>> from tmatch.compat import cv2
    >>> image = np.zeros((5, 6), np.uint8)
    >>> image[2:4, 3:5] = [[1, 2], [3, 4]]
    >>> scores = cv2.matchTemplate(image, image[2:4, 3:5], cv2.TM_CCOEFF_NORMED)
    >>> scores.dtype, np.argwhere(scores > 0.999)
    (dtype('float32'), array([[2, 3]]))
    """
    if not isinstance(method, int | np.integer) or not 0 <= method < len(_METRICS):
        msg = f"`method` is {method!r}; it must be one of the six, from TM_SQDIFF = 0 to TM_CCOEFF_NORMED = 5"
        raise ValueError(msg)
    pixels, pattern = _check_image("image", image), _check_image("templ", templ)
    if _kind(pixels) != _kind(pattern):
        msg = f"`templ` has dtype {pattern.dtype} and `image` {pixels.dtype}; they must be equal: convert one"
        raise ValueError(msg)
    weights = None if mask is None else _weights(mask, pattern.shape)
    try:
        scores = _scores(pixels, pattern, method, weights)
    except (ValueError, TypeError) as error:
        raise type(error)(str(error).replace("`template`", "`templ`")) from error
    if max(scores.max(), -scores.min()) > np.finfo(np.float32).max:
        msg = "scores pass the largest float32; scale `image` and `templ` down"
        raise ValueError(msg)
    if isinstance(result, np.ndarray) and result.shape == scores.shape and result.dtype == np.float32:
        result[...] = scores
        return result
    return scores.astype(np.float32)


def _kind(array: Array) -> str:
    """Return the kind and size of a dtype, without its byte order."""
    return array.dtype.str[1:]


def _check_image(name: str, values: ArrayLike) -> Array:
    """Check one image, and add an axis of channels if it has none."""
    array = np.asanyarray(values)
    if _kind(array) not in ("u1", "f4"):
        msg = f"`{name}` has dtype {array.dtype}; it must be uint8 or float32: tmatch.match_template takes all others"
        raise TypeError(msg)
    if array.ndim == 2:
        return array[..., None]
    if array.ndim != 3 or array.shape[2] > 4:
        msg = f"`{name}` has shape {array.shape}; it must be (H, W), or (H, W, C) with at most 4 channels"
        raise ValueError(msg)
    return array


def _weights(mask: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Convert a mask to bools or float64 weights for each pixel and channel."""
    array = np.asanyarray(mask)
    if _kind(array) not in ("u1", "b1", "f4"):
        msg = f"`mask` has dtype {array.dtype}; it must be uint8 or bool (binary), or float32 (weights)"
        raise TypeError(msg)
    if array.shape not in (shape, shape[:2], (*shape[:2], 1)):
        msg = f"`mask` has shape {array.shape}; it must be {shape[:2]}, or {shape} for one mask a channel"
        raise ValueError(msg)
    weights = array.astype(np.float64) if array.dtype.kind == "f" else array != 0
    if not (weights >= 0).all():
        msg = "`mask` has weights below 0 or NaN; it must say how much each pixel counts"
        raise ValueError(msg)
    return np.broadcast_to(weights.reshape(*shape[:2], -1), shape)


def _scores(image: Array, templ: Array, method: int, weights: Array | None) -> Array:
    """Compute scores with OpenCV's sign; tmatch weights means as it weights products."""
    if weights is not None and method in (TM_CCOEFF, TM_CCOEFF_NORMED) and not _is_even(weights):
        return _coefficients(image, templ, weights, normed=method == TM_CCOEFF_NORMED)
    squares = None if weights is None else weights.astype(np.float64) ** 2
    metric = _METRICS[method]
    found, info = score_map(image, templ, metric=metric, mask=squares, channel_axis=2), METRICS[metric]
    scores = found.scores
    if info.differences and info.normalised:
        distances = np.where(found.valid, 0 - scores, max(1, -scores.min()))
        return np.minimum(distances, 1) if weights is None else distances
    return 0 - scores if info.differences else scores


def _is_even(weights: Array) -> bool:
    """Check whether all pixels that count have one weight: then means by the mask and by its square are equal."""
    positive = weights[weights > 0]
    return bool((positive == positive[:1]).all())


def _coefficients(image: Array, templ: Array, weights: Array, *, normed: bool) -> Array:
    """Correlate both about their means by the mask, weighted by the square of the mask."""
    valid = score_validity(
        image, templ, metric="zncc" if normed else "zcc", mask=weights, channel_axis=2
    )  # checks all arrays too
    sides = (0, 1)
    squares, total = weights**2, weights.sum(sides)
    total[total == 0] = 1  # a channel that does not count has only zeros to be divided
    pixels = image - image.mean(sides, dtype=np.float64)  # changes no result and saves digits
    pattern = np.where(weights > 0, templ, 0)
    centred = pattern - (weights * pattern).sum(sides) / total
    kernel = squares * centred
    kernel -= weights * (kernel.sum(sides) / total)  # sums to 0: no need to subtract the window's mean
    products: Array = _sums(pixels, kernel).sum(2)
    if not normed:
        return products
    means, energy = _sums(pixels, weights) / total, _sums(pixels**2, squares)
    window = energy + means * (means * squares.sum(sides) - 2 * _sums(pixels, squares))
    norms = window.sum(2)
    views = np.lib.stride_tricks.sliding_window_view(pixels, templ.shape[:2], sides)
    for position in map(tuple, np.argwhere(valid & (norms < energy.sum(2).max() * _ROUNDED))):
        view = np.moveaxis(views[position], 0, 2)
        view = view - (weights * view).sum(sides) / total
        products[position], norms[position] = (kernel * view).sum(), (squares * view**2).sum()
    norms = np.sqrt(np.maximum(norms, 0)) * np.sqrt((squares * centred**2).sum())
    scores: Array = np.divide(products, norms, out=np.zeros(norms.shape), where=valid & (norms > 0))
    return np.clip(scores, -1, 1)


def _sums(image: Array, kernel: Array) -> Array:
    """Sum pixel times weight over each window, channel by channel."""
    return correlate(image, kernel, output="valid", channel_axis=2)
