"""Estimate the noise of an image."""

import numpy as np
from numpy.typing import ArrayLike

from tmatch._arrays.arithmetic import own_errstate
from tmatch._arrays.channels import split_channels
from tmatch._arrays.validation import check_axis, check_numbers


@own_errstate
def estimate_noise(image: ArrayLike, /, *, channel_axis: int | None = None) -> float:
    """Estimate the standard deviation of white noise in an image.

    Parameters
    ----------
    image : array of real numbers, any dimension
        With at least 3 pixels on each axis.
    channel_axis : int or None
        The axis of channels, if any; their noise is averaged.

    Returns
    -------
    float
        In units of the pixels, such as grey levels. Fine texture counts as noise.

    Raises
    ------
    ValueError
        If the image is too small or not finite, or has no axis `channel_axis`.
    TypeError
        If it does not hold real numbers.

    Notes
    -----
    ``median(|d|) / (0.6745 * 6 ** (ndim / 2))``, where d is the second difference along each axis in turn, [1, -2, 1].
    It removes almost all of smooth areas and edges, and multiplies the standard deviation of white noise by
    ``sqrt(6)`` on each axis; the median of the magnitude of normal noise is 0.6745 standard deviations (J. Immerkaer,
    Comput. Vis. Image Underst. 64:300, 1996, there with a mean).

    Examples
    --------
    >>> import numpy as np
    >>> import tmatch
    >>> ramp = np.add.outer(np.arange(100.0), np.arange(100.0))
    >>> round(tmatch.estimate_noise(ramp + np.random.default_rng(0).normal(0, 5, ramp.shape)), 1)
    5.0
    """
    pixels = check_numbers("image", image)
    channels = split_channels(pixels, check_axis("image", pixels, channel_axis))
    if min(channels[0].shape, default=0) < 3:
        msg = f"`image` has shape {pixels.shape}; noise can be estimated from three pixels on each axis on"
        raise ValueError(msg)
    found = []
    for channel in channels:
        rest = channel.astype(np.float64)
        for axis in range(rest.ndim):
            rest = np.diff(rest, 2, axis=axis)
        found.append(float(np.median(np.abs(rest))) / 0.6745 / 6 ** (rest.ndim / 2))
    return float(np.mean(found))
