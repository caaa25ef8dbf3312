"""What an engine does. NumPy's is the reference; the compiled one returns the same.

Both are modules of functions, `_engine.numpy.engine` and `_engine.numba.engine`. `select` decides between them, and
nothing else asks which one it has.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tmatch._arrays.padding import PaddedImage
from tmatch._arrays.typing import Array, Region, Shape
from tmatch._engine.tiling import Tiling

# A block of scores, where its first cells end, and the size of cells: how it is summarised.
SummaryGrid = tuple[Shape, Shape, Shape]
# Sum windows of a region into an array; return whether sums and pixels are finite.
SumWindows = Callable[[PaddedImage, Region, Array], bool]


class Transforms(Hashable, Protocol):
    """Fourier transforms of the tiles of one tiling. Only they know what a spectrum looks like."""

    @property
    def tiling(self) -> Tiling:
        """The tiling they are made for."""

    @property
    def passes(self) -> float:
        """Cost of a pair of transforms, as passes of adding or multiplying over a tile."""

    def empty_tile(self, dtype: type[np.floating[Any]]) -> Array:
        """Return uninitialised memory for the values of a tile, and more, that `transform` may overwrite."""

    def transform(self, tile: Array, *, overwrite: bool = False) -> Array:
        """Return the spectrum of a tile. With `overwrite` it is one of `empty_tile`, filled up with zeros."""

    def kernel_spectrum(self, kernel: Array) -> Array:
        """Return the spectrum to multiply by, so that sums of window times weight result."""

    def correlate(
        self, pairs: Iterable[tuple[Array, Array]], *, is_complex: bool = False, overwrite: bool = False
    ) -> Array:
        """Multiply spectra of tiles and kernels, add the products, and transform back: the sums of a tile, and more.

        With `overwrite` the spectra of the tiles are not needed again.
        """


class DirectProducts(Protocol):
    """Products with small templates of 8 bits, summed without transforms."""

    def prepare(self, template: Sequence[Array]) -> Any:
        """Prepare the channels of a template; ``len()`` of the result says how many steps a sum takes."""

    def empty_tile(self, channels: int, shape: Shape) -> Array:
        """Return memory for a tile of int16, as `correlate` reads it."""

    def correlate(self, tile: Array, prepared: Any, shape: Shape) -> Array:
        """Sum products at that many positions, and more beside them: exactly, if below 2**31."""


@dataclass(frozen=True, slots=True)
class TapPlan:
    """How windows are summed weight by weight."""

    passes: float  # of adding or multiplying over a tile
    sum_windows: SumWindows
    fused: bool = False  # a block is done in one call, which needs no copy of the tile


class Engine(Protocol):
    """The loops that filters and score maps are made of.

    In all of them `tiles` are the channels of a tile of integers, `centres` are subtracted from them, `sums` have the
    type that products are computed in, and `variance` is ``n sum(w^2) - sum(w)^2`` of each window w of n pixels.
    """

    @property
    def direct_products(self) -> DirectProducts | None:
        """Products without transforms, if the engine has them."""

    @property
    def max_mask_runs(self) -> int:
        """Runs of pixels in the rows of a mask, beyond which windows are summed by transforms."""

    def transforms(self, image_shape: Shape, window: Shape) -> Transforms:
        """Plan the tiles of an image, and their transforms."""

    # --- filters ----------------------------------------------------------------------------------

    def tap_passes(self, weights: Array, dtype: np.dtype[Any]) -> float:
        """Count the passes over a tile that summing its weighted copies takes; infinity where it cannot be done."""

    def plan_taps(self, parts: Sequence[Array], dtype: np.dtype[Any], image: Array, *, full: bool) -> TapPlan:
        """Plan to correlate with one kernel after another. `full`: no weight is 0."""

    # --- tiles of integers ------------------------------------------------------------------------

    def load(self, tile: Array, out: Array) -> float:
        """Copy a tile minus its mean into the corner of `out`, zeros elsewhere.

        Return the largest sum of squares of a row or a column, for an estimate of errors.
        """

    def place(self, tile: Array, centre: int, squared: bool, out: Array) -> None:  # noqa: FBT001
        """Copy a tile minus a centre, or the squares of that, into the corner of `out`, zeros elsewhere."""

    def moments(
        self, tiles: Any, height: int, width: int, centres: Any, work: Array, sums: Array, variance: Array
    ) -> None:
        """Compute `sums` and `variance` of all windows, adding in the type of `work`.

        `work` are zeros: a row for each channel and one more, a column longer than the tile's.
        """

    def inverse_norms(
        self, tiles: Any, height: int, width: int, centres: Any, work: Array, squares: Array, inverse: Array
    ) -> float:
        """Compute the inverse root of each variance, 0 where it is 0; return the largest.

        `squares` is memory for a row, in the type that products are computed in.
        """

    def add_masked_moments(
        self, tile: Array, runs: Array, count: int, centre: int, work: Array, sums: Array, variance: Array
    ) -> None:
        """Add the moments over the pixels of a mask: runs of them, each a row, its first column and the one after it.

        Sums are written only if `sums` is not empty. `work` are two tables of zeros, a column wider than the tile.
        """

    def round_moments(
        self, products: Array, products_squares: Array, count: int, sums: Array, variance: Array
    ) -> None:
        """Do as `add_masked_moments` with sums that transforms gave, in the corners of arrays."""

    def invert(self, variance: Array) -> float:
        """Replace each variance by its inverse root, 0 where it is 0; return the largest."""

    # --- scores -----------------------------------------------------------------------------------

    def score(
        self,
        pairs: Iterable[tuple[Array, Array]],
        transforms: Any,
        inverse: Array,
        floor: float,
        grid: SummaryGrid | None,
    ) -> tuple[Array, tuple[float, int, int], Array | None]:
        """Correlate spectra and scale the products to scores in [-1, 1], in the corner of the array returned.

        Return also: the largest sum of squared products of a row or a column, those outside the corner too; not 0 if
        a score reaches the floor; not 0 if one passes 1 by more than rounding. And the summary of the grid.
        """

    def score_exactly(
        self, product: Array, sums: Array, template_sums: Array, variance: Array, template: float, count: int
    ) -> int:
        """Make scores, in place, of sums of products by transforms: rounded, means subtracted, over both norms.

        They are 0 where the window has no norm. Return 0 unless one passes 1 by more than rounding.
        """

    def score_alone(
        self,
        product: Array,
        tiles: Any,
        height: int,
        width: int,
        centres: Any,
        work: Array,
        template_sums: Array,
        variance: Array,
        template: float,
    ) -> int:
        """Do as `moments` and `score_exactly`, where no other template needs the sums."""

    def score_windows(
        self,
        channels: Any,
        positions: Array,
        mask: Array,
        values: Array,
        centres: Any,
        template_sums: Array,
        template: float,
        count: int,
    ) -> Array:
        """Score single windows by definition, where the mask is 1; minus infinity where one has no norm.

        Sums are floats, exact below 2**53; products have the type of `template_sums`.
        """

    # --- score maps -------------------------------------------------------------------------------

    def candidates(self, scores: Array, floor: float, slack: float) -> Array:
        """Find positions of at least the floor with no neighbour higher by more than the slack, in row-major order."""

    def summarise(self, scores: Array, norms: Array, leads: Any, size: Any) -> Array:
        """Summarise scores whose norm is above 0 in cells of a size; the first cells end after `leads`, if not 0.

        Return the maximum, the negated minimum (both at least 0), the sum of squares, and the count of each cell.
        """

    def with_neighbours(self, values: Array, largest: bool) -> Array:  # noqa: FBT001
        """Return the sum, or the maximum, of each value and its neighbours, in each of some arrays."""
