"""scikit-image's ``skimage.feature.match_template``, computed by tmatch.

The same arguments, shapes, dtypes and scores as in scikit-image 0.26, three-dimensional images and padding included.
A colour image is treated as a volume, as there: its channels are a third axis and share one mean, and scores have
that axis too. (`tmatch.match_template` with ``channel_axis`` gives each channel its own mean.)

Intentional differences from scikit-image, where it is silently wrong:

- NaN and infinity, in either array, are refused. There, one NaN in the image makes all scores 0 or NaN.
- Scores stay within [-1, 1], with nine digits for any offset. There, float32 images with a large offset reach scores
  of 4.8, and from 1e6 on float64 suffers too.
- Windows of little contrast have their score. There, it is 0 where the product of both norms is below the machine
  epsilon, as it is everywhere in an image with values near 1e-9.
- float16 templates are computed in float64. There, their sum of squares overflows and all scores are 0.

Where scikit-image stops with an error, so do we, with a ValueError that names the argument. Lists are taken as arrays.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmatch._arrays.arithmetic import own_errstate
from tmatch._scoring.maps import match_template as _match_template

__all__ = ["match_template"]


@own_errstate
def match_template(
    image: ArrayLike,
    template: ArrayLike,
    pad_input: bool = False,
    mode: str | Callable[..., Any] = "constant",
    constant_values: ArrayLike = 0,
) -> NDArray[np.floating[Any]]:
    """Score how well a template fits at every position in an image, as scikit-image does.

    Parameters
    ----------
    image : (M, N) or (M, N, P) array of real numbers
        The array to search.
    template : (m, n) or (m, n, p) array of real numbers
        The array to find, of the same dimension and no larger than `image` on any axis.
    pad_input : bool
        True: pad the image, for one score at each of its pixels, that of the window whose element
        ``(m // 2, n // 2)`` lies there. False: only windows inside the image, each at its first pixel.
    mode : str or callable
        How the image is padded, see `numpy.pad`.
    constant_values : number or sequence
        The values outside, for ``mode="constant"``, see `numpy.pad`.

    Returns
    -------
    array of float32 or float64
        Scores in [-1, 1], 0 for windows without contrast and everywhere if the template has none. Of shape
        ``(M - m + 1, N - n + 1)``, or the image's with `pad_input`; float32 if the image is float16 or float32.

    Raises
    ------
    ValueError
        If an array is empty, complex or not finite, the image is not 2-D or 3-D, the template has another dimension
        or is larger, or `mode` is unknown.
    TypeError
        If an array does not hold numbers.

    See Also
    --------
    tmatch.match_template : other metrics, masks, colours, any dimension.

    Examples
    --------
    >>> import numpy as np
    >>> from tmatch.compat.skimage import match_template
    >>> image = np.zeros((4, 5))
    >>> image[1:3, 2:4] = [[1, 2], [3, 4]]
    >>> scores = match_template(image, image[1:3, 2:4])
    >>> scores.shape, np.argwhere(scores > 0.999)
    ((3, 4), array([[1, 2]]))
    >>> np.argwhere(match_template(image, image[1:3, 2:4], pad_input=True) > 0.999)
    array([[2, 3]])
    """
    pixels, pattern = np.asanyarray(image), np.asanyarray(template)
    _check(pixels, pattern)
    if isinstance(mode, str):
        np.pad(np.zeros(1), 0, mode)  # type: ignore[call-overload]  # refuses unknown names, used or not
    dtype = np.float32 if pixels.dtype.char in "ef" else np.float64
    if pad_input:
        pixels = _padded(pixels.astype(dtype), pattern.shape, mode, constant_values)
    if (pattern == pattern.flat[0]).all():
        if not np.isfinite(pixels).all():
            msg = "`image` has NaN or infinite values; replace them first, for instance with np.nan_to_num"
            raise ValueError(msg)
        return np.zeros([n - k + 1 for n, k in zip(pixels.shape, pattern.shape, strict=True)], dtype)
    return _match_template(pixels, pattern, channel_axis=None).astype(dtype)


def _check(image: NDArray[Any], template: NDArray[Any]) -> None:
    """Raise a ValueError for what scikit-image refuses."""
    for name, array in (("image", image), ("template", template)):
        if array.size == 0:
            msg = f"`{name}` is empty: shape {array.shape}; it must have at least one pixel"
            raise ValueError(msg)
        if array.dtype.kind == "c":
            msg = f"`{name}` has dtype {array.dtype}; it must hold real numbers"
            raise ValueError(msg)
        if array.dtype.kind not in "biuf":
            msg = f"`{name}` has dtype {array.dtype}; it must hold real numbers (bool, integers or floats)"
            raise TypeError(msg)
    if image.ndim not in (2, 3):
        msg = f"`image` has shape {image.shape}; it must have 2 or 3 axes: tmatch.match_template takes any number"
        raise ValueError(msg)
    if template.ndim != image.ndim:
        msg = f"`template` has {template.ndim} axes and `image` has {image.ndim}; they must have as many"
        raise ValueError(msg)
    if any(k > n for k, n in zip(template.shape, image.shape, strict=True)):
        msg = (
            f"`template` has shape {template.shape}, larger than `image` {image.shape}; "
            "crop or shrink it, or swap the two if they are in the wrong order"
        )
        raise ValueError(msg)


def _padded(
    image: NDArray[Any], window: tuple[int, ...], mode: str | Callable[..., Any], constant_values: ArrayLike
) -> NDArray[Any]:
    """Pad an image so that a window's element n // 2 can lie on each pixel.

    Some modes depend on the width: the image is padded by whole windows, as by scikit-image, and then cropped.
    """
    options: dict[str, Any] = {"constant_values": constant_values} if mode == "constant" else {}
    padded: NDArray[Any] = np.pad(image, [(k, k) for k in window], mode, **options)  # type: ignore[call-overload]
    firsts = [k - k // 2 for k in window]
    return padded[tuple(slice(i, i + n + k - 1) for i, n, k in zip(firsts, image.shape, window, strict=True))]
