"""Scores of a template in a long signal: segments of the signal are the rows of an image, which a batch scores."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from tmatch._arrays.casting import is_mapped
from tmatch._arrays.finite import check_finite
from tmatch._arrays.lazy import LazyArray, as_array, as_lazy, is_lazy
from tmatch._arrays.typing import Array, Region
from tmatch._engine.tiling import Tiling
from tmatch._scoring.batch.batch import TemplateBatch, make_batches
from tmatch._scoring.cache import Cache
from tmatch._scoring.scorer import NO_FLOOR, Grid, ScoredBlock
from tmatch._scoring.search import Search

_MIN_ROWS = 32  # compiled transforms need so many
_ROW_WINDOWS, _MIN_ROW, _MAX_ROW = 8, 2**10, 2**13  # length of a row: windows that fit in, and samples


class SignalScorer:
    """Scores one search; see `scorer.Scorer`. Each row ends with the first windows of the next, but the last sample."""

    def __init__(self, number: int, search: Search, batch: TemplateBatch) -> None:
        self.templates: Sequence[int] = [number]
        self._batch = batch
        rows, self._step = batch.map_shape(batch.tiling.window)
        self.passes = batch.passes * -(-self._step // batch.tiling.block[1])
        block = min(batch.tiling.block[0], rows) * self._step
        self.tiling = Tiling(search.map_shape, search.window, (block,))

    @classmethod
    def of(cls, number: int, search: Search) -> "SignalScorer | None":
        """Prepare a search; None if it is none in a long signal, or if batches do not support it."""
        length = max(_MIN_ROW, 2 ** (_ROW_WINDOWS * search.window[0] - 1).bit_length())
        step = length - search.window[0] + 1
        if len(search.window) > 1 or length > _MAX_ROW or search.map_shape[0] < _MIN_ROWS * step:
            return None
        if not search.all_valid or any(map(is_mapped, search.image)):  # a copy might not fit in memory
            return None
        weights = {id(w): w[None] for w in search.weights}
        rows = replace(
            search,
            image=search.image_cache.get(("rows", step, length), lambda: _as_rows(search, step, length)),
            template=[t[None] for t in search.template],
            weights=[weights[id(w)] for w in search.weights],
            margins=[(0, 0)] * 2,
            cache=search.cache.get("row", Cache),
            image_cache=Cache(),
        )
        batches = make_batches([rows])
        return cls(number, search, batches[0]) if batches else None

    def score(
        self,
        block: Region,
        *,
        floor: float = NO_FLOOR,  # noqa: ARG002
        grids: Mapping[int, Grid] | None = None,  # noqa: ARG002
    ) -> Iterator[ScoredBlock]:
        """Score a block of positions; there are no summaries."""
        [part], step, width = block, self._step, self._batch.tiling.block[1]
        first, last = part.start // step, -(-part.stop // step)
        tiles = [
            next(self._batch.score((slice(first, last), slice(left, min(left + width, step)))))
            for left in range(0, step, width)
        ]
        scores, norms = (
            np.concatenate(parts, axis=1).ravel()[part.start - first * step : part.stop - first * step]
            for parts in ([tile.scores for tile in tiles], [tile.norms for tile in tiles])
        )
        yield ScoredBlock(self.templates[0], block, scores, norms)

    def finish(self, overlap: float) -> None:
        """Raise nothing: every window of these searches is valid or constant."""


def _as_rows(search: Search, step: int, length: int) -> list[Array]:
    """View channels as rows that overlap; the last row goes on with the last sample."""
    if is_lazy(search.image[0]):
        return [as_array(_Rows(as_lazy(channel), step, length)) for channel in search.image]
    check_finite("image", search.image)  # later, places would be those in rows
    count = -(-search.map_shape[0] // step)
    size = (count - 1) * step + length
    padded = (np.pad(channel, (0, size - channel.size), mode="edge") for channel in search.image)
    return [np.lib.stride_tricks.sliding_window_view(channel, length)[::step] for channel in padded]


class _Rows(LazyArray):
    """A signal that is read in parts, as rows that overlap."""

    def __init__(self, signal: LazyArray, step: int, length: int) -> None:
        self._signal, self._step = signal, step
        self.dtype, self.shape = signal.dtype, (-(-(len(signal) - length + step) // step), length)

    def read(self, region: Region) -> Array:
        """Read the samples from the first row to the last, and view them as rows."""
        rows, columns = region
        start, stop = (
            row * self._step + column
            for row, column in ((rows.start, columns.start), (rows.stop - 1, columns.stop))
        )
        n = len(self._signal)
        first = min(start, n - 1)  # beyond the signal its last sample is repeated
        samples = self._signal.read((slice(first, min(stop, n)),))
        check_finite("image", [samples], [first])
        samples = np.pad(samples, (0, stop - start - len(samples)), mode="edge")
        return np.lib.stride_tricks.sliding_window_view(samples, columns.stop - columns.start)[:: self._step]
