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

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmatch._arrays.arithmetic import own_errstate
from tmatch._arrays.typing import Array
from tmatch.compat._opencv import (
    TM_CCOEFF,
    TM_CCOEFF_NORMED,
    TM_CCORR,
    TM_CCORR_NORMED,
    TM_SQDIFF,
    TM_SQDIFF_NORMED,
    check_method,
    kind_of,
    opencv_scores,
    weights_of,
)

__all__ = [
    "TM_CCOEFF", "TM_CCOEFF_NORMED", "TM_CCORR", "TM_CCORR_NORMED", "TM_SQDIFF", "TM_SQDIFF_NORMED", "matchTemplate",
]  # fmt: skip


@own_errstate
def matchTemplate(
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
    check_method(method)
    pixels, pattern = _check_image("image", image), _check_image("templ", templ)
    if kind_of(pixels) != kind_of(pattern):
        msg = f"`templ` has dtype {pattern.dtype} and `image` {pixels.dtype}; they must be equal: convert one"
        raise ValueError(msg)
    weights = None if mask is None else weights_of(mask, pattern.shape)
    try:
        scores = opencv_scores(pixels, pattern, method, weights)
    except (ValueError, TypeError) as error:
        raise type(error)(str(error).replace("`template`", "`templ`")) from error
    if max(scores.max(), -scores.min()) > np.finfo(np.float32).max:
        msg = "scores pass the largest float32; scale `image` and `templ` down"
        raise ValueError(msg)
    if isinstance(result, np.ndarray) and result.shape == scores.shape and result.dtype == np.float32:
        result[...] = scores
        return result
    return scores.astype(np.float32)


def _check_image(name: str, values: ArrayLike) -> Array:
    """Check one image, and add an axis of channels if it has none."""
    array = np.asanyarray(values)
    if kind_of(array) not in ("u1", "f4"):
        msg = f"`{name}` has dtype {array.dtype}; it must be uint8 or float32: tmatch.match_template takes all others"
        raise TypeError(msg)
    if array.ndim == 2:
        return array[..., None]
    if array.ndim != 3 or array.shape[2] > 4:
        msg = f"`{name}` has shape {array.shape}; it must be (H, W), or (H, W, C) with at most 4 channels"
        raise ValueError(msg)
    return array
