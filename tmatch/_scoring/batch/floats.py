"""A template of any real numbers, prepared for the tiles of one tiling."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from tmatch._arrays.casting import COMPILED, compilable
from tmatch._arrays.typing import Array, Positions, Shape
from tmatch._engine.interface import Engine, Transforms
from tmatch._engine.real_tiles import SCORE_STEPS
from tmatch._scoring.batch.hidden import Plane
from tmatch._scoring.batch.tile import contiguous, groups_of
from tmatch._scoring.general.floats import centred_template
from tmatch._scoring.search import Search


@dataclass(frozen=True)
class FloatTemplate:
    """Values with a weighted norm of 1, about the weighted means of their channels if these are compared about means.

    `given` are the channels as they were, and `min_count` how many pixels of each must be compared. Spectra are
    computed when first needed.
    """

    given: Sequence[Array]
    min_count: float
    values: Array
    weights: Array
    centred: bool
    transforms: Transforms
    engine: Engine

    @classmethod
    def of(cls, search: Search, transforms: Transforms, engine: Engine) -> "FloatTemplate":
        """Prepare a template and cache it with the search."""

        def prepare() -> "FloatTemplate":
            values = np.stack(centred_template(search))
            weights = np.array([np.broadcast_to(w, search.window) for w in search.weights], np.float64)
            values /= math.sqrt((weights * np.square(values)).sum())
            min_count = search.min_weight / len(weights)
            return cls(search.template, min_count, values, weights, search.metric.centred, transforms, engine)

        template: FloatTemplate = search.cache.get(("float template", transforms), prepare)
        return template

    @property
    def window(self) -> Shape:
        """Shape of the template."""
        return self.values.shape[1:]

    @property
    def count(self) -> int:
        """Number of pixels in each channel, by which norms are multiplied."""
        return self.values[0].size if self.box is None else self.box[2] * self.box[3]

    @cached_property
    def sums_key(self) -> tuple[Any, ...]:
        """What window sums depend on."""
        return self.window, self.centred, self.box or self.weights.tobytes()

    @cached_property
    def bounds(self) -> tuple[int, int, int, int]:
        """The box that holds all pixels with weight: first row and column, height and width."""
        (top, bottom), (left, right) = (
            np.flatnonzero(self.weights.any(axis=axes))[[0, -1]].tolist() for axes in ((0, 2), (0, 1))
        )
        return top, left, bottom - top + 1, right - left + 1

    @cached_property
    def box(self) -> tuple[int, int, int, int] | None:
        """These bounds, if all pixels inside have a weight of 1."""
        top, left, height, width = self.bounds
        inside = self.weights[:, top : top + height, left : left + width]
        return self.bounds if (inside == 1).all() else None

    @cached_property
    def totals(self) -> tuple[float, ...]:
        """The sum of the weights of each channel; infinite if means are not subtracted."""
        return tuple(float(w.sum()) if self.centred else math.inf for w in self.weights)

    @cached_property
    def norms(self) -> tuple[float, float]:
        """The norms of the weights and of the weighted values."""
        return math.sqrt(np.square(self.weights).sum()), math.sqrt(
            np.square(self.values * self.weights).sum()
        )

    @cached_property
    def bases(self) -> Array:
        """The row and the column of a pixel that has weight, in each channel."""
        heaviest = self.weights.reshape(len(self.weights), -1).argmax(axis=1)
        return np.stack(np.unravel_index(heaviest, self.window), axis=1)

    @cached_property
    def weight_spectra(self) -> list[Array]:
        """Spectra of the weights of the channels."""
        return [self.transforms.kernel_spectrum(w) for w in self.weights]

    @property
    def small(self) -> bool:
        """Whether correlation without transforms is exact."""
        return False

    @property
    def direct(self) -> None:
        """The template prepared for it."""

    @cached_property
    def spectra(self) -> list[Array]:
        """Spectra of the channels, in double precision: products times windows' inverse norms are scores."""
        return [self.transforms.kernel_spectrum(v) for v in self.scaled]

    @cached_property
    def spectra_single(self) -> list[Array]:
        """Spectra of the channels, in single precision."""
        return [self.transforms.kernel_spectrum(v.astype(np.float32)) for v in self.scaled]

    @cached_property
    def raw(self) -> Array:
        """The channels as they were, in double precision."""
        return np.stack([channel.astype(np.float64) for channel in self.given])

    @cached_property
    def planes(self) -> list[Plane]:
        """The channels as in the spectra."""
        return [Plane(values, functools.partial(self._spectrum, i)) for i, values in enumerate(self.scaled)]

    def _spectrum(self, channel: int) -> Array:
        return self.spectra[channel]

    @cached_property
    def squares(self) -> Plane:
        """The weighted squares of all channels together."""
        return self.plane((self.weights * np.square(self.values)).sum(axis=0))

    @cached_property
    def details(self) -> Plane:
        """1 where a channel that counts has another value than most of its pixels, or than 0; 0 elsewhere."""
        differing = map(self._differs, self.raw, self.weights)
        return self.plane(np.logical_or.reduce(list(differing)).astype(np.float64))

    def plane(self, values: Array) -> Plane:
        """Return an array of the template's shape as a plane to be summed."""
        return Plane(values, functools.partial(self.transforms.kernel_spectrum, values))

    def with_values(self, values: Array, bases: Array) -> "FloatTemplate | None":
        """Return the template with other values, near the bases of their channels; None if they are constant."""
        counted, bases = self.weights > 0, bases[:, None, None]
        rest = np.where(counted, values - bases, 0)
        rest = np.ldexp(rest, -np.frexp(np.abs(rest).max())[1])
        for _ in range(2 if self.centred else 0):
            totals = np.maximum(self.weights.sum(axis=(1, 2)), np.finfo(np.float64).tiny)
            means = (rest * self.weights).sum(axis=(1, 2)) / totals
            rest = np.where(counted, rest - means[:, None, None], 0)
        norm = math.sqrt((self.weights * np.square(rest)).sum())
        return replace(self, given=list(values), values=rest / norm) if norm > 0 else None

    def _differs(self, channel: Array, weights: Array) -> Array:
        counted = weights > 0
        values, counts = np.unique(channel[counted], return_counts=True)
        usual = values[counts.argmax()] if self.centred and len(values) else 0
        return np.asarray(counted & (channel != usual))

    @property
    def scaled(self) -> Array:
        """Weighted values, times the root of the number of pixels."""
        return self.values * self.weights * math.sqrt(self.count)

    @property
    def _by_definition(self) -> tuple[Any, ...]:
        return self.values, self.weights, self.bases, self.centred

    def score_positions(self, channels: Sequence[Array], positions: Positions) -> Array:
        """Score single positions by definition; minus infinity where the window is constant."""
        scores = np.empty(len(positions))
        for part in groups_of(len(positions), self.window):
            arrays, starts = contiguous(channels, positions[part], self.window, COMPILED)
            arrays = tuple(map(compilable, arrays))
            scores[part] = self.engine.score_float_windows(arrays, starts, *self._by_definition)
        return np.rint(scores * SCORE_STEPS) / SCORE_STEPS
