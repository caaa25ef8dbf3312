"""Find out whether values are finite, and how large integers can be."""

from collections.abc import Sequence

import numpy as np

from tmatch._arrays.lazy import LazyArray
from tmatch._arrays.typing import Array


def is_finite(array: Array) -> bool:
    """Check whether all values are finite: they are if their sum is; else the minimum and maximum decide."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(array.sum()):
            return True
    if array.dtype.kind == "c":
        return bool(np.isfinite(array).all())
    return bool(np.isfinite(array.max()) and np.isfinite(array.min()))


def largest_magnitude(array: Array) -> int:
    """Return the largest magnitude of integers: that of their dtype if it is narrow, else that of the values."""
    if array.dtype.kind == "b":
        return 1
    if array.dtype.kind in "iu" and array.dtype.itemsize <= 2:
        return int(max(-int(np.iinfo(array.dtype).min), np.iinfo(array.dtype).max))
    low, high = (
        (array.facts.low, array.facts.high) if isinstance(array, LazyArray) else (array.min(), array.max())
    )
    return max(abs(int(low)), abs(int(high)))


def check_finite(name: str, channels: Sequence[Array], corner: Sequence[int] = ()) -> None:
    """Refuse NaN and infinity, naming the first position in this part of the array."""
    for channel in channels:
        if channel.dtype.kind == "f" and not is_finite(channel):
            position = np.argwhere(~np.isfinite(channel))[0].tolist()
            at = ", ".join(str(i + c) for i, c in zip(position, corner or [0] * len(position), strict=True))
            msg = (
                f"`{name}` is {channel[tuple(position)]} at [{at}]; all pixels must be finite: replace NaN and "
                "infinity first, for instance with np.nan_to_num"
            )
            if name == "image" and np.isnan(channel[tuple(position)]):
                msg += ', or let NaN count as missing with missing="ignore"'
            raise ValueError(msg)
