"""Filters by SciPy, to compare with."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from tmatch._arrays.options import Border, Output
from tmatch._arrays.typing import Array


def filter_with_scipy(
    image: ArrayLike,
    kernel: Array,
    *,
    op: Literal["convolve", "correlate"],
    border: Border,
    output: Output,
    stride: int,
    channel_axis: int | None,
) -> Array:
    """Filter as `convolve` and `correlate` do, by `scipy.ndimage`, to compare with."""
    from scipy import ndimage  # noqa: PLC0415

    if output != "same":
        msg = f'`output` is "{output}"; scipy.ndimage knows only "same" to compare with'
        raise ValueError(msg)
    modes = {
        "constant": "constant",
        "edge": "nearest",
        "reflect": "mirror",
        "symmetric": "reflect",
        "wrap": "wrap",
    }
    pixels = np.asarray(image).astype(np.float64)
    planes = [pixels] if channel_axis is None else list(np.moveaxis(pixels, channel_axis, 0))
    done = [getattr(ndimage, op)(plane, kernel, mode=modes[border])[::stride, ::stride] for plane in planes]
    return np.asarray(done[0] if channel_axis is None else np.stack(done, axis=channel_axis))
