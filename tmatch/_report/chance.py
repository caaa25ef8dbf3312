"""The scores of a search and their null distribution, as counts and the parameters of the tail."""

from typing import Any

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._detection.decide import TemplateCandidates
from tmatch._detection.false_alarms import NullDistribution
from tmatch._detection.null.summary import with_neighbours
from tmatch._detection.null.tails import FittedTail

BINS = 50  # of scores from 0 to 1
_QUANTILES = 0.05, 0.5, 0.95  # of the local variance


def chance_of(found: TemplateCandidates) -> dict[str, Any] | None:
    """Return how many peaks and minima have which scores, and the tail they were fitted by; None without a null."""
    null = found.peaks.null
    if null is None:
        return None
    tops = [_counts(values) for values in null.cells.extrema]
    variances = np.quantile(null.local_variance, _QUANTILES).tolist()
    return {"peaks": tops[0], "minima": tops[1], "variances": variances, **_tail_of(null)}


def _counts(values: Array) -> list[int]:
    """Count the cells whose best score none beside it exceeds, by that score; zeros at the end are left out."""
    [around] = with_neighbours(values[None].astype(np.float64), largest=True)
    tops = values[(values > 0) & (values >= around)]
    counts = np.bincount(np.minimum((tops * BINS).astype(int), BINS - 1), minlength=BINS)
    return [*map(int, np.trim_zeros(counts, "b"))]


def _tail_of(null: NullDistribution) -> dict[str, Any]:
    tail = null.tail
    if isinstance(tail, FittedTail):
        return {"fitted": {"k": tail.k, "start": tail.start, "scale": tail.scale}}
    return {"analytic": {"positions": float(tail.positions), "pixels": float(tail.pixels)}}
