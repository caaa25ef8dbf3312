"""Tiles of an image of which some pixels are missing; they are 0 in all sums."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tmatch._arrays.geometry import valid_shape
from tmatch._arrays.typing import Array, Positions, Region, Shape
from tmatch._engine.interface import SummaryGrid
from tmatch._engine.real_tiles import HIDDEN, SCORE_STEPS
from tmatch._scoring.batch.bands import range_of_most, sample_of
from tmatch._scoring.batch.float_tile import Band, FixedPoint, FloatTile
from tmatch._scoring.batch.floats import FloatTemplate
from tmatch._scoring.batch.hidden import Missing
from tmatch._scoring.batch.integer_tile import IntegerTile
from tmatch._scoring.batch.integers import IntegerTemplate
from tmatch._scoring.batch.tile import InverseNorms, Scored, check_range, groups_of

_EPS = float(np.finfo(np.float64).eps)
_TRUSTED = 1e-10  # scores that may have a larger error because of sums of the template are computed otherwise
_SAMPLED_ROWS = 16  # one row in so many says what a typical value is, by
_SAMPLED_PIXELS = 1000


@dataclass(frozen=True)
class _Hidden:
    """What is hidden of a template in each window; see `Engine.valid_norms`. Then bounds of errors, of norm 1."""

    sums: tuple[Array, ...]
    sum_error: float
    squares_error: float


class MissingFloatTile(FloatTile):
    """A tile of floats, of which only those that are `valid` count."""

    def __init__(
        self, channels: list[Array], like: FloatTemplate, corner: Sequence[int], **options: Any
    ) -> None:
        self.valid: Array = options.pop("valid")
        self.missing = Missing(self.valid, like.transforms, like.engine)
        self._known: _Hidden | None = options.pop("hidden", None)
        super().__init__([_as_floats(c) for c in channels], like, corner, **options)
        self._fill(self.channels, [_typical(c, self.valid) for c in self.channels])

    # --- norms ------------------------------------------------------------------------------------

    def _norms(
        self, template: FloatTemplate, tile: FixedPoint, dtype: Any, limits: tuple[float, float]
    ) -> InverseNorms:
        hidden = self._hidden(template)
        values, shift = np.empty((2, *valid_shape(self.shape, template.window)), dtype)
        lowest = 2 * hidden.sum_error * math.sqrt(len(self.channels) / template.min_count)
        largest, most = self.engine.valid_norms(
            tile.digits,
            self.valid,
            template.bounds,
            template.centred,
            tile.scales,
            (*limits, hidden.sum_error / _TRUSTED, (lowest + hidden.squares_error + 4 * _EPS) / _TRUSTED),
            hidden.sums,
            template.min_count,
            values,
            shift,
        )
        self.missing.most_valid = max(self.missing.most_valid, most)
        return InverseNorms(values, largest, template.window, shift if template.centred else None)

    def _without_constant(self, norms: InverseNorms, template: FloatTemplate) -> InverseNorms:
        """Set inverse norms to 0 also where the template is constant in what it is compared in."""
        norms = super()._without_constant(norms, template)
        if norms.largest < HIDDEN:
            return norms
        hidden = self.missing.sums(template.details)[tuple(map(slice, norms.values.shape))]
        constant = hidden > template.details.values.sum() - 0.5
        norms.values[constant & (norms.values >= HIDDEN)] = 0
        return replace(norms, largest=float(norms.values.max()))

    def _constant_windows(self, channel: Array, part: Region, window: Shape) -> Array:
        if not self.centred:
            return super()._constant_windows(np.where(self.valid, channel, 0), part, window)
        found = np.empty(valid_shape(channel[part].shape, window), bool)
        self.engine.constant_valid_windows(channel[part], self.valid[part], window[0], window[1], found)
        return found

    def _by_definition(self, template: FloatTemplate, positions: Positions) -> Array:
        scores, options = np.empty(len(positions)), (template.raw, template.weights, template.centred)
        for part in groups_of(len(positions), template.window):
            scores[part] = self.engine.score_valid_windows(
                tuple(self.contiguous), self.valid, positions[part], *options
            )
        return np.rint(scores * SCORE_STEPS) / SCORE_STEPS

    def _sums_key(self, template: FloatTemplate) -> object:
        return id(template)

    # --- what is hidden of a template ---------------------------------------------------------------

    def _hidden(self, template: FloatTemplate) -> _Hidden:
        hidden: _Hidden = self._known or self._cached("hidden", template, lambda: self._find_hidden(template))
        return hidden

    def _find_hidden(self, template: FloatTemplate) -> _Hidden:
        squares, planes = template.squares, template.planes
        last, error = self.missing.sums(squares), sum(map(self.missing.error, planes))
        sums = map(self.missing.sums, planes) if template.centred else [last] * len(planes)  # not read
        return _Hidden((*sums, last), error / math.sqrt(template.count), self.missing.error(squares))

    # --- pixels -------------------------------------------------------------------------------------

    def _fill(self, channels: list[Array], constants: list[float]) -> None:
        for channel, constant in zip(channels, constants, strict=True):
            np.copyto(channel, channel.dtype.type(constant), where=~self.valid)

    def _with_other(
        self, channels: list[Array], template: FloatTemplate, options: dict[str, Any]
    ) -> "MissingFloatTile":
        if channels is self.channels:  # another template
            tile = copy.copy(self)
            tile.forget_template(options["wanted"], options["budget"])
            return tile
        options |= {"valid": self.valid, "hidden": self._hidden(template)}
        return MissingFloatTile(channels, template, self.corner, **options)

    def forget_template(self, wanted: Array, budget: list[int]) -> None:
        """Keep only what does not depend on a template, and score some windows."""
        self._wanted, self._budget, self._known, self._moments = wanted, budget, None, {}

    @np.errstate(over="ignore", invalid="ignore")
    def _band_of_template(self, template: FloatTemplate, doubtful: Array) -> Band | None:
        positions = sample_of(doubtful, template.window)
        counted = self._windows(self.valid, template, positions)[:, None] * template.weights > 0
        windows = np.broadcast_to(template.raw, counted.shape)
        best = range_of_most(windows, counted, list(template.raw), centred=self.centred)
        if best is None:
            return None
        far = (np.abs(template.raw - best[0][:, None, None]) > best[1]) & (template.weights > 0)
        hidden = self.missing.sums(template.plane(far.any(axis=0).astype(np.float64)))
        windows = hidden[tuple(map(slice, doubtful.shape))] > np.count_nonzero(far.any(axis=0)) - 0.5
        other = template.with_values(np.where(far, best[0][:, None, None], template.raw), best[0])
        return None if other is None else (self.channels, other, windows)


class MissingIntegerTile(IntegerTile):
    """A tile of integers, of which only those that are `valid` count; all sums are exact, in double precision."""

    def __init__(
        self, channels: list[Array], like: IntegerTemplate, corner: Sequence[int], **options: Any
    ) -> None:
        self.missing = Missing(options.pop("valid"), like.transforms, like.engine)
        super().__init__(channels, like, corner, **options)
        for channel, offset in zip(self.channels, self.offsets, strict=True):
            np.copyto(channel, channel.dtype.type(offset), where=~self.missing.valid)

    def score_double(self, template: IntegerTemplate, grid: SummaryGrid | None) -> Scored:  # noqa: ARG002
        """Score with exact sums; only the normalisation is rounded."""
        product = self.transforms.correlate(zip(self.spectra, template.spectra, strict=True))
        norms = np.empty(valid_shape(self.shape, template.window))
        sums = tuple(map(self.missing.sums, (*template.planes, template.squares)))
        most, out_of_range = self.engine.score_valid_exactly(
            product,
            self.missing.valid,
            *self._windows(template),
            sums,
            template.sums,
            int(template.squares.values.sum()),
            template.min_count,
            norms,
        )
        check_range(out_of_range)
        self.missing.most_valid = max(self.missing.most_valid, most)
        return product, norms, True, None


def _as_floats(channel: Array) -> Array:
    """Return a channel as floats that hold its values: a copy, unless it is an array of its own already."""
    wide = channel.dtype.itemsize > (4 if channel.dtype.kind == "f" else 2)
    return channel.astype(np.float64 if wide else np.float32, order="C", copy=channel.base is not None)


def _typical(channel: Array, valid: Array) -> float:
    """Return a value in the middle of some valid pixels."""
    some = channel[::_SAMPLED_ROWS][valid[::_SAMPLED_ROWS]]
    some = some if len(some) else channel[valid]
    return float(np.median(some[:: 1 + len(some) // _SAMPLED_PIXELS]))
