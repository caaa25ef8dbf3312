"""Quantiles of few values, as NumPy computes them, in a tenth of its time."""

import numpy as np

from tmatch._arrays.typing import Array


def quantile(values: Array, share: float) -> float:
    """Return what `np.quantile` does of a flat array without NaN."""
    at = share * (len(values) - 1)
    below = int(at)
    parts = np.partition(values, below)  # of one index: of two it is ten times slower
    low = float(parts[below])
    if at == below:
        return low
    high, share = float(parts[below + 1 :].min()), at - below
    return high - (high - low) * (1 - share) if share >= 0.5 else low + (high - low) * share


def median(values: Array) -> float:
    """Return what `np.median` does of an array without NaN."""
    return quantile(values.ravel(), 0.5)
