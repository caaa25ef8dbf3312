"""The windows of the highest peaks and the lowest minima, kept while an image is read in parts.

They are what is compared with the template once all scores are known.
"""

import threading
from collections.abc import Sequence

import numpy as np

from tmatch._arrays.kept import Kept
from tmatch._arrays.typing import Array, Positions, Region
from tmatch._detection.block_peaks import BlockPeaks
from tmatch._detection.null.fit import LEAST_MEASURED, MEASURED
from tmatch._detection.null.noise import reserve_for_noise
from tmatch._detection.null.summary import columns_of
from tmatch._engine import select
from tmatch._scoring.search import Search

_LEAST_KEPT = 100  # of the highest peaks, and of the minima


class Extremes:
    """Keeps such windows of one search, which has some blocks, with the pixels around: neighbours are scored, too."""

    def __init__(self, search: Search, blocks: int) -> None:
        self._search, self._blocks, self._taken, self._lock = search, blocks, 0, threading.Lock()
        self._engine = select.choose()
        self._channels = [channel for channel in search.image if isinstance(channel, Kept)]
        self._least = np.full((2, *(1 for _ in search.window)), LEAST_MEASURED)
        self._values: tuple[list[float], list[float]] = [], []
        reserve_for_noise(search)

    def take(self, peaks: BlockPeaks) -> None:
        """Keep the windows of a block that may be among the highest."""
        if not self._channels or peaks.summary is None:
            return
        with self._lock:
            self._taken += 1
        extrema, places = peaks.summary[:2], peaks.summary[4:]
        high = extrema >= self._least
        if not high.any():
            return
        high &= extrema >= self._engine.with_neighbours(extrema, largest=True)
        self._raise_least([extrema[sign][high[sign]] for sign in (0, 1)])
        starts = self._starts(places[high], peaks.region)
        for channel in self._channels:
            channel.keep(starts, tuple(n + 2 for n in self._search.window))

    def _starts(self, places: Array, block: Region) -> Positions:
        """Return where windows begin, with the pixels around: those at places in a block in column-major order."""
        shape = tuple(part.stop - part.start for part in reversed(block))
        pairs = zip(block, self._search.margins, strict=True)
        first = [part.start - before - 1 for part, (before, _) in pairs]
        return np.add(columns_of(places.astype(np.intp), shape)[:, ::-1], first, dtype=np.intp)

    def _raise_least(self, found: Sequence[Array]) -> None:
        """Raise the least extrema that are kept: as a share of the blocks is known, to twice that share of the highest.

        What is not kept, as most of the highest are in a few of the first blocks, is read again.
        """
        with self._lock:
            most = min(MEASURED, _LEAST_KEPT + 2 * MEASURED * self._taken // self._blocks)
            for sign, values in enumerate(found):
                known = self._values[sign]
                known += values.tolist()
                if len(known) > 1.2 * most:
                    known[:] = np.partition(known, -most)[-most:].tolist()
                    self._least[sign] = max(self._least[sign].item(), min(known))
