"""The compiled engine: loops that NumPy can only do in many passes. Needs numba; `select` decides when to load it."""

from tmatch._engine.numba.scoring import scale, score, score_alone, score_exactly, score_windows
from tmatch._engine.numba.summaries import candidates, summarise, with_neighbours
from tmatch._engine.numba.window_sums import (
    MOST_RUNS,
    add_masked_moments,
    inverse_norms,
    invert,
    load,
    moments,
    place,
    round_moments,
)

__all__ = [
    "MOST_RUNS",
    "add_masked_moments",
    "candidates",
    "inverse_norms",
    "invert",
    "load",
    "moments",
    "place",
    "round_moments",
    "scale",
    "score",
    "score_alone",
    "score_exactly",
    "score_windows",
    "summarise",
    "with_neighbours",
]
