"""What engines do with tiles of 8 and 16 bits; see `interface.Engine`, of which this is a part."""

from typing import Protocol

from tmatch._arrays.typing import Array


class IntegerTiles(Protocol):
    """The loops over tiles of integers, whose window sums are exact."""

    def load(self, tile: Array, out: Array) -> float:
        """Copy a tile minus its mean into the corner of `out`, with zeros elsewhere.

        Return the largest sum of squares of a row or a column, for an estimate of rounding errors.
        """

    def place(self, tile: Array, centre: int, squared: bool, out: Array) -> None:  # noqa: FBT001
        """Copy a tile minus a centre, or its squares, into the corner of `out`, with zeros elsewhere."""

    def moments(
        self,
        tiles: tuple[Array, ...],
        height: int,
        width: int,
        centres: tuple[int, ...],
        work: Array,
        sums: Array,
        variance: Array,
    ) -> None:
        """Compute `sums` and `variance` of all windows, accumulated in the dtype of `work`.

        `work` is zeros: a row for each channel and one more, and one column more than the tile.
        """

    def inverse_norms(
        self,
        tiles: tuple[Array, ...],
        height: int,
        width: int,
        centres: tuple[int, ...],
        work: Array,
        squares: Array,
        inverse: Array,
    ) -> float:
        """Compute the inverse root of each variance, 0 where it is 0; return the maximum.

        `squares` is an uninitialised row of the dtype in which products are computed.
        """

    def add_masked_moments(
        self, tile: Array, runs: Array, count: int, centre: int, work: Array, sums: Array, variance: Array
    ) -> None:
        """Add the variances over the runs of a mask; each run is a row, its first column and its end column.

        Sums are written only if `sums` is not empty. `work` is two planes of zeros, one column wider than the tile.
        """

    def round_moments(
        self, products: Array, products_squares: Array, count: int, sums: Array, variance: Array
    ) -> None:
        """Add the moments from sums of pixels and of squares that transforms computed, in the corners of arrays."""

    def invert(self, variance: Array) -> float:
        """Replace each variance by its inverse root, 0 where it is 0; return the maximum."""
