"""A template of any real numbers, prepared for the tiles of one tiling."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array, Positions, Shape
from tmatch._engine.interface import Engine, Transforms
from tmatch._scoring.batch.tile import contiguous
from tmatch._scoring.general.floats import centred_template
from tmatch._scoring.search import Search

_STEPS = 2.0**40  # scores are rounded to multiples of 2**-40, about 1e-12
_COMPILED = {np.dtype(name) for name in ("f4", "f8", "u1", "u2")}


@dataclass(frozen=True)
class FloatTemplate:
    """Values about the means of their channels, with a norm of 1; spectra are computed when first needed."""

    values: Array
    transforms: Transforms
    engine: Engine

    @classmethod
    def of(cls, search: Search, transforms: Transforms, engine: Engine) -> "FloatTemplate":
        """Prepare a template and cache it with the search."""

        def prepare() -> "FloatTemplate":
            values = np.stack(centred_template(search))
            return cls(values / math.sqrt(np.square(values).sum()), transforms, engine)

        template: FloatTemplate = search.cache.get(("float template", transforms), prepare)
        return template

    @property
    def window(self) -> Shape:
        """Shape of the template."""
        return self.values.shape[1:]

    @property
    def count(self) -> int:
        """Number of pixels in each channel."""
        return self.values[0].size

    @property
    def sums_key(self) -> tuple[Any, ...]:
        """What window sums depend on."""
        return (self.window,)

    @property
    def small(self) -> bool:
        """Whether sums of products fit in 32 bits, for correlation without transforms."""
        return False

    @cached_property
    def spectra(self) -> list[Array]:
        """Spectra of the channels, in double precision: products times windows' inverse norms are scores."""
        return [self.transforms.kernel_spectrum(v) for v in self._scaled]

    @cached_property
    def spectra_single(self) -> list[Array]:
        """Spectra of the channels, in single precision."""
        return [self.transforms.kernel_spectrum(v.astype(np.float32)) for v in self._scaled]

    @property
    def _scaled(self) -> Array:
        return self.values * math.sqrt(self.count)

    def score_positions(self, channels: Sequence[Array], positions: Positions) -> Array:
        """Score single positions by definition; minus infinity where the window is constant."""
        if not len(positions):
            return np.empty(0)
        arrays, starts = contiguous(channels, positions, self.window, _COMPILED)
        scores = self.engine.score_float_windows(tuple(map(compilable, arrays)), starts, self.values)
        return np.rint(scores * _STEPS) / _STEPS


def compilable(channel: Array) -> Array:
    """Return an array with the same values in a dtype that loops are compiled for; the array itself if it has one."""
    if channel.dtype in _COMPILED:
        return channel
    if channel.dtype == bool:
        return channel.view(np.uint8)
    return channel.astype(np.float32 if channel.dtype.itemsize <= 2 else np.float64)
