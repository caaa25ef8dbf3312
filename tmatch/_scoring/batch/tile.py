"""A tile of an image, which is scored for one template after another."""

import math
from abc import ABC, abstractmethod
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from tmatch._arrays.lazy import windows_at
from tmatch._arrays.typing import Array, Positions, Shape
from tmatch._engine.interface import Engine, SummaryGrid, Transforms
from tmatch._engine.real_tiles import DOUBTFUL
from tmatch._scoring.search import TRUSTED_SINGLE, single_error

# Scores, norms, whether a score may reach the floor, summary.
Scored = tuple[Array, Array, bool, Array | None]

# Typical error as a share of the largest, in images without repeated rows or columns; measured.
_TYPICAL_ERROR = 1 / 16
_SAMPLED = 2**13  # number of positions of a tile from which a sample is drawn
_GROUP_PIXELS = 2**20  # maximum number of pixels of windows that are scored at once by definition
_SURE = DOUBTFUL / 2  # no other inverse norm is as large, in either precision
_MAX_LOW_CONTRAST = 10  # pixels of low-contrast windows per position; with more, double precision is faster


@dataclass(frozen=True)
class InverseNorms:
    """Inverse norms of the windows of a tile, 0 for those without a score, and their maximum."""

    values: Array
    largest: float
    window: Shape
    shift: Array | None = None  # what is to be subtracted from products first

    @cached_property
    def _coarse(self) -> tuple[Array, list[int]]:
        """Values on a grid, and its steps; windows that share most pixels have similar contrast."""
        min_step = math.ceil(math.sqrt(self.values.size / _SAMPLED))
        steps = [max(min_step, k // 8) for k in self.window]
        return self.values[:: steps[0], :: steps[1]].copy(), steps

    def sample(self, low: float, high: float, count: int) -> Positions:
        """Choose up to about `count` positions with values between two bounds, spread over the tile."""

        def select(values: Array) -> Array:
            return np.flatnonzero((values > low) & (values <= high))

        if self.largest <= low:
            return np.empty((0, 2), np.intp)
        values, steps = self._coarse
        selected = select(values)
        if not len(selected):  # there are few, between the grid positions
            values, steps = self.values, [1, 1]
            selected = select(values)
        chosen = selected[:: 1 + len(selected) // count]
        return np.stack(np.unravel_index(chosen, values.shape), axis=1) * steps


class BatchTemplate(Protocol):
    """A template prepared for the tiles of one tiling."""

    @property
    def transforms(self) -> Transforms:
        """The transforms of tiles."""

    @property
    def engine(self) -> Engine:
        """The engine that it is prepared for."""

    @property
    def window(self) -> Shape:
        """Shape of the template."""

    @property
    def count(self) -> int:
        """Number of compared pixels in each channel."""

    @property
    def sums_key(self) -> tuple[Any, ...]:
        """What window sums depend on: equal for templates that can share them."""

    @property
    def small(self) -> bool:
        """Whether correlation without transforms is exact, as sums of products fit in 32 bits."""

    @property
    def direct(self) -> Any:
        """The template prepared for it; None if there is none."""

    @property
    def spectra_single(self) -> list[Array]:
        """Spectra of the normalised template: products times windows' inverse norms are scores."""

    def score_positions(self, channels: Sequence[Array], positions: Positions) -> Array:
        """Score single positions by definition; minus infinity where the window is constant."""


T = TypeVar("T", bound=BatchTemplate)


class ImageTile(ABC, Generic[T]):
    """A tile of an image, with the spectra and window sums that several templates use.

    `like` is any of the templates, and `corner` where the tile begins in the image. With `direct`, correlation is done
    without transforms, if it can be; a `shared` tile keeps window sums for other templates.
    """

    def __init__(
        self,
        channels: list[Array],
        like: T,
        corner: Sequence[int],
        *,
        direct: bool = False,
        shared: bool = True,
    ) -> None:
        self.channels, self.transforms, self.engine = channels, like.transforms, like.engine
        self.shape, self.corner, self.direct, self.shared = channels[0].shape, corner, direct, shared
        self._moments: dict[object, Any] = {}

    @property
    @abstractmethod
    def spectra_single(self) -> tuple[list[Array], float]:
        """Spectra of the channels about a constant, and the largest sums of squares of a row or column, added."""

    @abstractmethod
    def _inverse_norms(self, template: T) -> InverseNorms:
        """Return the inverse norms of windows in single precision."""

    @abstractmethod
    def score_double(self, template: T, grid: SummaryGrid | None) -> Scored:
        """Score in double precision."""

    def score_single(self, template: T, floor: float, grid: SummaryGrid | None) -> Scored | None:
        """Score by transforms in single precision; None if double precision is needed."""
        norms = self._inverse_norms(template)
        spectra, squares = self.spectra_single
        line_norm = math.sqrt(squares * template.count)
        if self._low_contrast(template, norms, line_norm) is None:
            return None
        pairs = zip(spectra, template.spectra_single, strict=True)
        product, checks, summary = self.engine.score(
            pairs, self.transforms, norms.values, floor, grid, norms.shift
        )
        product_squares, reaching, out_of_range = checks
        line_norm += math.sqrt(product_squares)
        if norms.largest <= _TYPICAL_ERROR * _low_contrast_from(line_norm):
            check_range(out_of_range)
            return product, norms.values, reaching > 0, summary
        scores = product[tuple(map(slice, norms.values.shape))]
        low_contrast = self._low_contrast(template, norms, line_norm)
        if low_contrast is None or not self._sample_agrees(template, scores, norms, line_norm):
            return None
        highest = -1.0
        if len(low_contrast):
            highest = self._rescore(template, scores, norms, low_contrast)[0]
            summary = grid and self._summarise(product, norms.values, grid)
        return product, norms.values, reaching > 0 or highest >= floor, summary

    def _low_contrast(self, template: T, norms: InverseNorms, line_norm: float) -> Positions | None:
        """Find windows whose contrast is too low for single precision; None if there are too many to rescore."""
        if norms.largest <= _low_contrast_from(line_norm):
            return np.empty((0, 2), np.intp)
        low = norms.values > _low_contrast_from(line_norm)
        few = np.count_nonzero(low) * template.count <= _MAX_LOW_CONTRAST * low.size
        return np.argwhere(low) if few else None

    def _sample_agrees(self, template: T, scores: Array, norms: InverseNorms, line_norm: float) -> bool:
        """Return whether rescoring a sample of windows, of nearly too low contrast and others, changes little."""
        max_count = max(8, min(128, 2**16 // template.count))
        bounds = [
            (_low_contrast_from(line_norm) * share, _low_contrast_from(line_norm))
            for share in (0.5, _TYPICAL_ERROR)
        ]
        sample = np.concatenate([norms.sample(*limits, max_count) for limits in bounds])
        return self._rescore(template, scores, norms, sample)[1] <= TRUSTED_SINGLE / 16

    def _rescore(
        self, template: T, scores: Array, norms: InverseNorms, positions: Positions
    ) -> tuple[float, float]:
        """Rescore some positions by definition; return the highest score and the largest change."""
        exact = self._by_definition(template, positions)
        constant = exact == -np.inf
        norms.values[tuple(positions[constant].T)] = exact[constant] = 0
        at = tuple(positions.T)
        change = np.abs(scores[at] - exact)
        scores[at] = exact
        return float(exact.max(initial=-1)), float(change.max(initial=0))

    def _by_definition(self, template: T, positions: Positions) -> Array:
        """Score single windows by definition; minus infinity where one is constant."""
        return template.score_positions(self.contiguous, positions)

    @cached_property
    def contiguous(self) -> list[Array]:
        """The channels, contiguous."""
        return [np.ascontiguousarray(channel) for channel in self.channels]

    def _summarise(self, scores: Array, norms: Array, grid: SummaryGrid) -> Array:
        shape, leads, size = grid
        part = tuple(map(slice, shape))
        return self.engine.summarise(scores[part], norms[part], leads, size)

    def _sums_key(self, template: T) -> object:
        """Return what norms depend on."""
        return template.sums_key

    def _cached(self, kind: str, template: T, compute: Any) -> Any:
        key = self._sums_key(template)
        if (key, kind) not in self._moments:
            if not any(cached == key for cached, _ in self._moments):  # type: ignore[misc, has-type]
                self._moments = {}
            self._moments[key, kind] = compute()
        return self._moments[key, kind]


def _low_contrast_from(line_norm: float) -> float:
    """Return the inverse norm above which the contrast of a window is too low for single precision."""
    # Doubtful windows are rescored in any case, also where the squares of a tile vanish.
    error = _TYPICAL_ERROR * single_error(line_norm)
    return min(TRUSTED_SINGLE / error, _SURE) if error else _SURE


def groups_of(count: int, window: Shape) -> list[slice]:
    """Divide positions into groups whose windows, if they must be copied, need little memory."""
    size = max(1, _GROUP_PIXELS // math.prod(window))
    return [slice(start, start + size) for start in range(0, count, size)]


def contiguous(
    channels: Sequence[Array], positions: Positions, window: Shape, dtypes: Container[Any] | None = None
) -> tuple[tuple[Array, ...], Positions]:
    """Return arrays that compiled code accepts, and positions in them: the channels, or copies of the windows.

    Copies are made if channels are not contiguous, or have none of some dtypes, or are read in parts.
    """
    channels, positions = windows_at(channels, positions, window)
    if all(c.flags.carray and c.dtype.isnative and (dtypes is None or c.dtype in dtypes) for c in channels):
        return tuple(channels), positions
    views = (np.lib.stride_tricks.sliding_window_view(channel, window) for channel in channels)
    windows = (
        np.ascontiguousarray(view[tuple(positions.T)], view.dtype.newbyteorder("=")).reshape(-1, window[1])
        for view in views
    )
    starts = np.zeros_like(positions)
    starts[:, 0] = np.arange(len(positions)) * window[0]
    return tuple(windows), starts


def check_range(out_of_range: int) -> None:
    """Check that no score exceeds 1 by more than rounding; anything else is a bug."""
    if out_of_range:
        msg = "scores are outside [-1, 1]: this is a bug in tmatch, please report it"
        raise ArithmeticError(msg)
