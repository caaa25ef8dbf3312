"""Scores of single windows of the image as it is."""

from typing import Any

import numpy as np

from tmatch._arrays.lazy import is_lazy, windows_at
from tmatch._arrays.typing import Array, Positions
from tmatch._detection.null.residual import residuals
from tmatch._engine import select
from tmatch._scoring.search import Search


def scores_at(search: Search, positions: Positions) -> Array:
    """Score the windows at some positions of the score map, in double precision; 0 where they are flat."""
    if not _is_exact(search):
        return residuals(search, positions).score
    template = search.cache.get("by definition", lambda: _by_definition(search))
    channels, starts = windows_at(search.image, positions, search.window)
    scores = select.choose().score_windows(channels, starts, *template)
    return np.where(np.isfinite(scores), scores, 0.0)


def _is_exact(search: Search) -> bool:
    """Check whether sums of pixels and their squares are exact integers, of pixels that all count or do not."""
    return (
        len(search.window) == 2
        and search.all_valid
        and not search.joint
        and all(c.dtype.kind in "iu" and c.dtype.itemsize <= 2 and c.dtype.isnative for c in search.image)
        and all(is_lazy(channel) or channel.flags.c_contiguous for channel in search.image)
        and all(w is search.weights[0] and w.dtype == bool for w in search.weights)
    )


def _by_definition(search: Search) -> tuple[Any, ...]:
    """Return the template's arguments of `Engine.score_windows`, centred."""
    mask = np.broadcast_to(search.weights[0], search.window).astype(np.float64)
    count, channels = int(mask.sum()), len(search.template)
    values = np.stack([mask * (t - float((mask * t).sum()) / count) for t in search.template])
    return mask, values, (0,) * channels, np.zeros(channels), count * float((values * values).sum()), count
