"""Whether any window of an image can be similar to a template, from its scores and the variance of windows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tmatch._arrays.typing import Array, Region, Shape
from tmatch._detection.criterion import SINGLE_MARGIN
from tmatch._detection.decide import LEAST_LIKENESS, TemplateCandidates
from tmatch._detection.null.noise import noise_levels
from tmatch._detection.null.residual import beyond_noise, window_variances
from tmatch._engine import select
from tmatch._engine.progress import Resources
from tmatch._engine.tiling import Tiling
from tmatch._scoring.general.exact import IntegerRange
from tmatch._scoring.search import PASSES, Search
from tmatch._scoring.sweep import Blocks, Task, sweep

_BLOCK_COLUMNS = 2**13  # at most
_BLOCK_POSITIONS = 2**18  # at least, and more where windows are high, as rows are summed again for each block
_ROUNDING = 1 - 1e-5  # of variances in single precision


def any_alike(found: Sequence[TemplateCandidates], resources: Resources) -> bool:
    """Check whether any window may be as similar to any template, beyond the noise, as matches must be.

    Of each cell of a score map the highest score and the least variance are known, not whether they are of one window.
    """
    return any(_may_be_alike(each, resources) for each in found)


def _may_be_alike(found: TemplateCandidates, resources: Resources) -> bool:
    search, null = found.search, found.peaks.null
    if null is None or found.prefilter != "none" or not _is_plain(search):
        return True
    noise, peaks = noise_levels(search).any, null.others()
    # Of few windows, which most often are enough to know.
    variances = window_variances(search, peaks.positions)
    if (beyond_noise(peaks.scores, variances, noise) >= LEAST_LIKENESS).any():
        return True
    least = _least_variances(search, null.cells.size, resources)
    if least is None:
        return True
    likeness = beyond_noise(null.cells.high + SINGLE_MARGIN, least * _ROUNDING, noise)
    return bool((likeness >= LEAST_LIKENESS).any())


def _is_plain(search: Search) -> bool:
    """Check whether all pixels are valid and count alike, as integers of at most 16 bits in two dimensions."""
    return (
        len(search.shape) == 2
        and search.all_valid
        and not search.joint
        and all(weights.dtype == bool and weights.all() for weights in search.weights)
        and all(c.dtype.kind in "biu" and c.dtype.itemsize <= 2 for c in (*search.image, *search.template))
    )


def _least_variances(search: Search, cell: Shape, resources: Resources) -> Array | None:
    """Find the least variance of the windows in each cell of a score map; None if its sums could overflow."""
    engine = select.choose(0, search.shape, len(search.image))
    ranges = IntegerRange.of(search, engine.transforms(search.shape, search.window).tiling)
    if ranges is None:
        return None
    positions, (height, width) = search.map_shape, search.window
    least = np.empty([-(-n // side) for n, side in zip(positions, cell, strict=True)])

    def use(found: tuple[Region, Array]) -> None:
        cells, values = found
        least[cells] = values

    columns = min(positions[1], max(_BLOCK_COLUMNS, 4 * width))
    rows = max(4 * height, _BLOCK_POSITIONS // columns, 1)
    sides = tuple(math.ceil(n / side) * side for n, side in zip((rows, columns), cell, strict=True))
    blocks = Blocks([0], Tiling(positions, search.window, sides), PASSES / 4)
    sweep([Task([search], blocks, _LeastVariances(cell, ranges), use)], Resources(resources.workers))
    return least


@dataclass(frozen=True)
class _LeastVariances:
    """Finds the least variance of the windows in each cell of a block."""

    cell: Shape
    ranges: IntegerRange

    def __call__(self, search: Search, block: Region) -> tuple[Region, Array]:
        """Return the cells, and their least variances."""
        ranges, (height, width) = self.ranges, search.window
        engine = select.choose(0, search.shape, len(search.image))
        rows, columns = (slice(s.start, s.stop + k - 1) for s, k in zip(block, search.window, strict=True))
        native = search.image[0].dtype.newbyteorder("=")
        tiles = tuple(channel[rows, columns].astype(native, order="C") for channel in search.image)
        inverse = np.empty([part.stop - part.start for part in block], np.float32)
        lines = np.zeros((len(tiles) + 1, inverse.shape[1] + width), ranges.sum_dtype)
        row = np.empty(inverse.shape[1], ranges.product_dtype)
        engine.inverse_norms(tiles, height, width, ranges.offsets, lines, row, inverse)
        largest = _largest_in_cells(inverse, self.cell).astype(np.float64)
        squares = np.divide(1.0, largest * largest, out=np.zeros_like(largest), where=largest > 0)
        firsts = (part.start // side for part, side in zip(block, self.cell, strict=True))
        cells = tuple(slice(first, first + n) for first, n in zip(firsts, largest.shape, strict=True))
        return cells, squares / ((height * width) ** 2 * len(tiles))


def _largest_in_cells(values: Array, cell: Shape) -> Array:
    """Find the largest value in each cell."""
    for axis, side in enumerate(cell):
        values = np.maximum.reduceat(values, np.arange(0, values.shape[axis], side), axis=axis)
    return values
