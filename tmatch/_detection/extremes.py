"""The windows of the highest peaks and the lowest minima, kept while an image is read in parts.

They are what is compared with the template once all scores are known.
"""

import threading

import numpy as np

from tmatch._arrays.kept import Kept
from tmatch._arrays.typing import Array, Positions, Region
from tmatch._detection.block_peaks import BlockPeaks
from tmatch._detection.null.fit import LEAST_MEASURED, MEASURED
from tmatch._detection.null.noise import reserve_for_noise
from tmatch._detection.null.summary import columns_of, with_neighbours
from tmatch._scoring.search import Search


class Extremes:
    """Keeps such windows of one search, with the pixels around them, as neighbours are scored, too."""

    def __init__(self, search: Search) -> None:
        self._search, self._lock = search, threading.Lock()
        self._channels = [channel for channel in search.image if isinstance(channel, Kept)]
        self._least = [LEAST_MEASURED, LEAST_MEASURED]
        self._values: tuple[list[float], list[float]] = [], []
        reserve_for_noise(search)

    def take(self, peaks: BlockPeaks) -> None:
        """Keep the windows of a block that may be among the highest."""
        if not self._channels or peaks.summary is None:
            return
        positions = np.concatenate([self._chosen(sign, peaks.summary, peaks.region) for sign in (0, 1)])
        if len(positions):
            search = self._search
            starts = positions - [before for before, _ in search.margins] - 1
            for channel in self._channels:
                channel.keep(starts, tuple(n + 2 for n in search.window))

    def _chosen(self, sign: int, summary: Array, block: Region) -> Positions:
        values = summary[sign]
        high = (values >= self._least[sign]) & (values >= with_neighbours(values[None], largest=True)[0])
        found = values[high]
        with self._lock:
            known = self._values[sign]
            known += found.tolist()
            if len(known) > 2 * MEASURED:
                known[:] = np.partition(known, -MEASURED)[-MEASURED:].tolist()
                self._least[sign] = max(self._least[sign], min(known))
        places = summary[4 + sign][high].astype(np.intp)
        inside = columns_of(places, tuple(part.stop - part.start for part in reversed(block)))[:, ::-1]
        return np.asarray(inside + np.array([part.start for part in block]), np.intp)
