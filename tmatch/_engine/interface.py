"""The protocol of an engine. The NumPy engine is the reference; the compiled one returns the same.

Both are modules of functions, `_engine.numpy.engine` and `_engine.numba.engine`. Only `select` decides between them;
no other code asks which one it uses.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from tmatch._arrays.padding import PaddedImage
from tmatch._arrays.typing import Array, Positions, Region, Shape
from tmatch._engine.integer_tiles import IntegerTiles
from tmatch._engine.posed import FitResults, FitTemplate, FitWindows, Maxima, PoseKernels
from tmatch._engine.real_tiles import RealTiles
from tmatch._engine.tiling import Tiling
from tmatch._engine.volumes import Volumes

# How a block of scores is summarised: its shape, where its first cells end, and the shape of a cell.
SummaryGrid = tuple[Shape, Shape, Shape]
# Sum windows of a region into an array; return whether sums and pixels are finite.
SumWindows = Callable[[PaddedImage, Region, Array], bool]


class Transforms(Hashable, Protocol):
    """Fourier transforms of the tiles of one tiling. The layout of a spectrum is private to each implementation."""

    @property
    def tiling(self) -> Tiling:
        """The tiling that the transforms are planned for."""

    @property
    def passes(self) -> float:
        """Cost of a pair of transforms, in passes over a tile (an addition or multiplication per point)."""

    def empty_tile(self, dtype: type[np.floating[Any]]) -> Array:
        """Return an uninitialised array, at least as large as a tile, that `transform` may overwrite."""

    def transform(self, tile: Array, *, overwrite: bool = False) -> Array:
        """Return the spectrum of a tile; with `overwrite`, of an `empty_tile` that was filled and zero-padded."""

    def kernel_spectrum(self, kernel: Array) -> Array:
        """Return the conjugated spectrum of a kernel, which `correlate` multiplies by spectra of tiles."""

    def kernel_spectra(self, kernels: Array) -> Array:
        """Return the conjugated spectra of some kernels of one shape, along a first axis."""

    def correlate(
        self, pairs: Iterable[tuple[Array, Array]], *, is_complex: bool = False, overwrite: bool = False
    ) -> Array:
        """Multiply spectra of tiles by those of kernels, add the products, and transform back.

        The valid sums are in the corner of the result. With `overwrite`, the spectra of tiles may be overwritten.
        """


class DirectProducts(Protocol):
    """Correlation with small 8-bit templates, without transforms."""

    def prepare(self, template: Sequence[Array]) -> Any:
        """Prepare the channels of a template; ``len()`` of the result is the number of steps in a sum."""

    def empty_tile(self, channels: int, shape: Shape) -> Array:
        """Return an uninitialised int16 tile of the layout that `correlate` reads."""

    def correlate(self, tile: Array, prepared: Any, shape: Shape) -> Array:
        """Correlate at the positions of `shape`, in the corner of the result; exact for sums below 2**31."""


@dataclass(frozen=True, slots=True)
class TapPlan:
    """How windows are summed weight by weight."""

    passes: float  # cost, in passes over a tile
    sum_windows: SumWindows
    fused: bool = False  # a block is summed in one call, without a copy of the tile


class ResidualTemplate(NamedTuple):
    """A template that is subtracted from windows; channels are the first axis of all its arrays but `products`.

    `lines` are the index along each axis less its weighted mean. `products` are the weighted sums of the squares of the
    template and of each line, and of the product of both lines.
    """

    values: Array
    weights: Array
    roots: Array  # of the weights
    lines: Array
    products: Array
    blocks: Array  # shapes of blocks
    heaviest: Shape  # index of a pixel of the largest weight


class Engine(IntegerTiles, RealTiles, Volumes, Protocol):
    """The numerical loops of filters and score maps.

    Throughout, `tiles` are the channels of an integer tile, `centres` are the offsets subtracted from them, `sums` have
    the dtype in which products are computed, and `variance` is ``n sum(w^2) - sum(w)^2`` of each window w of n pixels.
    """

    @property
    def direct_products(self) -> DirectProducts | None:
        """Correlation without transforms; None if the engine has none."""

    @property
    def residual_sums(
        self,
    ) -> Callable[[tuple[Array, ...], Positions, ResidualTemplate, bool], Array | None] | None:
        """Sum up what is left of windows without the template; None if the engine cannot."""

    @property
    def max_mask_runs(self) -> int:
        """Maximum number of runs in the rows of a mask; with more, windows are summed by transforms."""

    def transforms(self, image_shape: Shape, window: Shape) -> Transforms:
        """Plan the tiles of an image and their transforms."""

    # --- filters ----------------------------------------------------------------------------------

    def tap_passes(self, weights: Array, dtype: np.dtype[Any]) -> float:
        """Return the cost of summing weighted shifted copies of a tile, in passes; infinity if it is not supported."""

    def plan_taps(self, parts: Sequence[Array], dtype: np.dtype[Any], image: Array, *, full: bool) -> TapPlan:
        """Plan to correlate with one kernel after another. With `full`, no weight is 0."""

    # --- scores -----------------------------------------------------------------------------------

    def score(
        self,
        pairs: Iterable[tuple[Array, Array]],
        transforms: Any,
        inverse: Array,
        floor: float,
        grid: SummaryGrid | None,
        shift: Array | None = None,
    ) -> tuple[Array, tuple[float, int, int], Array | None]:
        """Correlate spectra and scale the products to scores in [-1, 1], in the corner of the returned array.

        With `shift`, that is subtracted from the products first.

        Also return three numbers: the largest sum of squared products of a row or a column of the whole transform,
        nonzero if a score reaches the floor, and nonzero if a score exceeds 1 by more than rounding. Last comes the
        summary of the grid, None without one.
        """

    def score_exactly(
        self, product: Array, sums: Array, template_sums: Array, variance: Array, template: float, count: int
    ) -> int:
        """Convert products to scores, in place: round to integers, subtract means, divide by both norms.

        Scores are 0 where the variance is 0. Return 0 unless a score exceeds 1 by more than rounding.
        """

    def score_valid_exactly(
        self,
        product: Array,
        valid: Array,
        tiles: tuple[Array, ...],
        height: int,
        width: int,
        centres: tuple[int, ...],
        work: Array,
        hidden: tuple[Array, ...],
        template_sums: Array,
        template_squares: int,
        min_count: float,
        norms: Array,
    ) -> tuple[int, int]:
        """Convert products to scores, in place, over the pixels that are valid; others equal the centres.

        `hidden` are, in the corners of arrays, the sums of the template over the missing pixels of windows, channel by
        channel, and those of its squares, of all channels together. `norms` becomes above 0 where there is a score:
        where `min_count` pixels of a channel are valid and neither is constant in them. Return the largest number of
        valid pixels, and 0 unless a score exceeds 1 by more than rounding.
        """

    def score_alone(
        self,
        product: Array,
        tiles: tuple[Array, ...],
        height: int,
        width: int,
        centres: tuple[int, ...],
        work: Array,
        template_sums: Array,
        variance: Array,
        template: float,
    ) -> int:
        """Compute `moments` and `score_exactly` in one step, if no other template needs the sums."""

    def score_windows(
        self,
        channels: tuple[Array, ...],
        positions: Positions,
        mask: Array,
        values: Array,
        centres: tuple[int, ...],
        template_sums: Array,
        template: float,
        count: int,
    ) -> Array:
        """Score single windows by definition, over the pixels of the mask; minus infinity if the variance is 0.

        Sums are floats, exact below 2**53; products have the dtype of `template_sums`.
        """

    # --- score maps -------------------------------------------------------------------------------

    def candidates(self, scores: Array, floor: float, slack: float) -> Positions:
        """Find positions that reach the floor and that no neighbour exceeds by more than the slack.

        They are in row-major order.
        """

    def summarise(self, scores: Array, norms: Array, leads: Shape, size: Shape) -> Array:
        """Summarise valid scores (norm above 0) in cells of a size; the first cells end after `leads`, if not 0.

        Return the maximum and the negated minimum of each cell (both at least 0), the sum of squares, the count, and
        the positions of both extrema: indices into the block in column-major order, 0 where an extremum is 0. Of equal
        ones the first position counts.
        """

    def merge_summary(
        self,
        summary: Array,
        start: Shape,
        part: Shape,
        whole: tuple[Shape, Shape],
        extrema: Array,
        places: Array,
        sums: Array,
    ) -> None:
        """Merge the summary of a block, its start and shape given, into the arrays of the whole map, in place.

        `whole` are the shape of the map, and that of a cell. Extrema are merged as in `summarise`; of equal ones the
        first place counts, as an index into the map in column-major order.
        """

    def with_neighbours(self, values: Array, largest: bool) -> Array:  # noqa: FBT001
        """Return the sum or maximum of each value and its neighbours, in each of several arrays."""

    # --- noise ------------------------------------------------------------------------------------

    def second_differences(self, channel: Array, valid: Array | None, middles: Positions) -> Array:
        """Compute the magnitudes of second differences along each axis of three pixels or more, in turn.

        Those along the first such axis are taken at the indices `middles` alone. They are in a flat array, without
        those of pixels that are not valid.
        """

    def block_variances(
        self, channel: Array, valid: Array | None, block: Shape, starts: tuple[Positions, ...]
    ) -> Array:
        """Compute the variance of blocks of one shape, at all combinations of the starts on each axis.

        They are in a flat array, without those of blocks that hold pixels that are not valid.
        """

    # --- peaks ------------------------------------------------------------------------------------

    def variance_in_ring(self, sums: Array, free: Array, inner: int, outer: int, local: float) -> Array:
        """Average the squared scores in a ring around each cell, of the free cells, and those of the whole map.

        `sums` are of squared scores and of their number. The ring is farther than `inner` from the cell, and no farther
        than `outer`, along any axis; its weight is `local`, and less where cells of it are not free.
        """

    def window_variances(self, channels: tuple[Array, ...], positions: Positions, weights: Array) -> Array:
        """Compute the variance of windows, with the weights of their pixels, channel by channel.

        Each channel has its own mean; the variances are averaged by the weights.
        """

    def explained_by_stronger(
        self,
        heights: Array,
        extrema: Array,
        footprints: Array,
        levels: Array,
        limits: tuple[float, float, float],
        copies: Array,
    ) -> Array:
        """Find the extrema that are no higher than expected beside a stronger one, and no copies.

        `heights` holds the maxima and the negated minima of cells. Each row of `extrema`, strongest first, is the index
        of one in `heights`. `footprints` holds for each of the descending `levels` of height the expected scores around
        a peak, and the negated ones, by differences of cells. `limits` are the lowest side lobe that counts, the factor
        by which heights may be above the expected ones, and the slack added. A minimum has the footprint of a peak with
        the signs exchanged.
        """

    def expected_beside(self, heights: Array, cells: Positions, footprints: Array, levels: Array) -> Array:
        """Compute the highest scores expected around the peaks of some cells, of one sign, as `explained_by_stronger`.

        `heights` holds the maxima of cells, and `footprints` the expected scores for each of the levels.
        """

    # --- poses ------------------------------------------------------------------------------------

    def block_means(self, channel: Array, factor: int) -> Array:
        """Average whole blocks of ``factor x factor`` pixels, in single precision."""

    def turned(
        self,
        values: Array,
        weights: Array,
        inverse: Array,
        centre: tuple[float, float],
        side: int,
        points: int,
    ) -> Array:
        """Draw a template in another pose about the middle of a square of `side` pixels.

        Each pixel is the mean of ``points x points`` points, interpolated linearly. `inverse` takes offsets in the
        square to offsets from `centre` in the template. The weights are the last plane of the result; they are 0 where
        a pixel is not wholly inside the template.
        """

    def pose_maxima(
        self, spectra: tuple[Array, ...], kernels: PoseKernels, transforms: Any, out: Maxima
    ) -> None:
        """Correlate a tile with many kernels; keep the best and the worst score at each position."""

    def fit_poses(
        self,
        windows: FitWindows,
        template: FitTemplate,
        starts: Array,
        free: Array,
        options: tuple[float, ...],
    ) -> FitResults:
        """Fit the pose of a template to windows of an image, by steps of Gauss and Newton.

        `starts` are poses in pixels of the windows; `free` says what is fitted. `options` are the distance
        in pixels below which a step is the last, the longest step, the number of passes, the distance of the rows and
        columns that are compared, and whether channels have one mean.
        """

    def drawn(self, template: FitTemplate, pose: Array, shape: tuple[int, int]) -> tuple[Array, Array]:
        """Draw a template in a pose, and the weights of its pixels, channels first; both are 0 outside of it."""

    def cluster_products(
        self,
        window: Array,
        valid: Array,
        template: FitTemplate,
        pose: Array,
        gain: float,
        offsets: Array,
        side: int,
        every: int,
    ) -> Array:
        """Add up the products of the sums over blocks of `side` pixels of derivatives times residuals.

        Of the rows of blocks one in `every` is summed, and stands for so many.
        """
