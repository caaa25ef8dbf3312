"""What is known of all values of an array."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array


@dataclass(frozen=True)
class Facts:
    """What is known of all values: the extremes of those that are no NaN, whether all are whole, and if any is NaN.

    Extremes are None if all values are NaN.
    """

    low: Any
    high: Any
    whole: bool
    missing: bool

    @classmethod
    def of(cls, values: Array) -> "Facts":
        """Find the facts of an array in memory; extremes of complex numbers are those of their magnitudes."""
        if values.dtype.kind == "c":
            values = np.abs(values)
        if values.dtype.kind in "biu":
            return cls(values.min().item(), values.max().item(), whole=True, missing=False)
        missing = bool(np.isnan(values).any())
        low, high = np.fmin.reduce(values, None), np.fmax.reduce(values, None)
        with np.errstate(invalid="ignore"):
            whole = bool((np.rint(values) == values).all())
        return cls(None if np.isnan(low) else low, None if np.isnan(high) else high, whole, missing)

    def __or__(self, other: "Facts") -> "Facts":
        """Return the facts of both arrays together; the order does not matter."""
        lows = [each.low for each in (self, other) if each.low is not None]
        highs = [each.high for each in (self, other) if each.high is not None]
        return Facts(
            min(lows, default=None),
            max(highs, default=None),
            self.whole and other.whole,
            self.missing or other.missing,
        )
