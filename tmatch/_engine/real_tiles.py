"""What engines do with tiles of any real numbers; see `interface.Engine`, of which this is a part."""

from typing import Protocol

from tmatch._arrays.typing import Array, Positions

# Instead of an inverse norm: the score must be computed otherwise. No inverse norm is as large.
DOUBTFUL = 1e30
HIDDEN = 2e30  # the same, as too little of the template's contrast lies on valid pixels
SCORE_STEPS = 2.0**40  # scores are rounded to multiples of 2**-40, about 1e-12


class RealTiles(Protocol):
    """The loops over tiles of any real numbers: window sums in fixed point, scores from them, and gradients."""

    def split(
        self,
        tile: Array,
        constant: float,
        factor: float,
        scales: tuple[float, float],
        values: Array,
        digits: Array,
    ) -> tuple[float, float, float]:
        """Split ``(tile - constant) * factor`` into digits in fixed point, and copy it into the corner of `values`.

        High digits count units of ``1 / scales[0]``, low ones parts of these of ``1 / scales[1]``; they are the planes
        of `digits`, which are one or two. `values` is 0 elsewhere. Return the largest sum of squares of a row or a
        column, the sum of all, and the largest magnitude of a high digit; one is not finite if a pixel is not.
        """

    def fixed_norms(
        self,
        digits: Array,
        box: tuple[int, int, int, int],
        centred: bool,  # noqa: FBT001
        scales: tuple[float, float],
        limits: tuple[float, float],
        inverse: Array,
    ) -> float:
        """Compute the inverse roots of the variances times the count of all windows; return the maximum.

        `digits` has a second axis of channels. The pixels of a window are those of a box: its first row and column in
        the window, its height and its width. Squares are about 0 if not `centred`. An inverse root is `DOUBTFUL` where
        the sum of squares about the means is below the first limit, or below the second as a share of the sum about the
        constants.
        """

    def weighted_norms(
        self,
        sums: tuple[Array, ...],
        squares: tuple[Array, ...],
        totals: tuple[float, ...],
        factor: float,
        least: float,
        inverse: Array,
    ) -> float:
        """Do the same from the weighted sums of pixels and of squares of each channel, in the corners of arrays.

        `totals` are the sums of weights, infinite if means are not subtracted. Variances are multiplied by `factor`;
        there is no second limit.
        """

    def scale_double(self, product: Array, inverse: Array, shift: Array | None = None) -> int:
        """Scale products to scores in [-1, 1], in the corner of `product`, rounded to multiples of 2**-40.

        With `shift`, that is subtracted from the products first.
        Return the number of scores that exceed 1 by more than rounding, doubtful ones aside.
        """

    def valid_norms(
        self,
        digits: Array,
        valid: Array,
        box: tuple[int, int, int, int],
        centred: bool,  # noqa: FBT001
        scales: tuple[float, float],
        limits: tuple[float, float, float, float],
        hidden: tuple[Array, ...],
        min_count: float,
        inverse: Array,
        shift: Array,
    ) -> tuple[float, int]:
        """Do the same as `fixed_norms` where pixels are missing, whose digits are 0.

        `hidden` are, in the corners of arrays, the sums of the template over the missing pixels of windows, channel by
        channel and times the root of the pixels of a window, and of its squares, of all channels together; over all
        pixels they are 0, if the template is `centred`, and 1. Variances are multiplied by what is left of that of the
        template, over the pixels that are valid. `shift` becomes what is to be subtracted from products.

        Scores err by two further limits: the third is what the mean of a window costs, and the fourth is the lowest
        variance of the template; below, an inverse root is `HIDDEN`. It is 0 where fewer than `min_count` pixels of a
        channel are valid. Return also the largest number of these.
        """

    def constant_windows(self, tile: Array, height: int, width: int, out: Array) -> None:
        """Find the windows whose pixels are all equal."""

    def add_rectangles(self, integral: Array, rectangles: Array, sums: Array) -> None:
        """Add to the sums of all windows what the pixels of rectangles, 1 in there, have in common with a template.

        `integral` has the sums of the template's pixels above and left of each place, a row and a column more than it.
        Rectangles are rows, after the last row, columns and after the last column.
        """

    def constant_valid_windows(self, tile: Array, valid: Array, height: int, width: int, out: Array) -> None:
        """Find the windows whose valid pixels are all equal."""

    def score_float_windows(
        self,
        channels: tuple[Array, ...],
        positions: Positions,
        values: Array,
        weights: Array,
        bases: Array,
        centred: bool,  # noqa: FBT001
    ) -> Array:
        """Score single windows by definition, in two passes; minus infinity if a window is constant.

        `values` are the channels of the template, about their weighted means if `centred`, and with a weighted norm of
        1. `bases` is for each channel a pixel that has weight there.
        """

    def score_valid_windows(
        self,
        channels: tuple[Array, ...],
        valid: Array,
        positions: Positions,
        values: Array,
        weights: Array,
        centred: bool,  # noqa: FBT001
    ) -> Array:
        """Do the same over the pixels that are valid, which both the window and the template have means of.

        `values` are of any scale, and about no mean. Minus infinity where either is constant.
        """

    def unit_gradient(self, channel: Array) -> Array:
        """Compute central differences along each axis over their common length; 0 where all are 0, or on the rim.

        The axes are the first axis of the result.
        """
