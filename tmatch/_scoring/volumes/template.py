"""A template of three dimensions, prepared for the tiles of one tiling."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tmatch._arrays.casting import subtract_offset
from tmatch._arrays.typing import Array, Positions, Shape
from tmatch._engine.interface import Engine, Transforms
from tmatch._engine.real_tiles import SCORE_STEPS
from tmatch._scoring.batch.tile import groups_of
from tmatch._scoring.general.exact import IntegerRange
from tmatch._scoring.general.floats import centred_template
from tmatch._scoring.search import Search


@dataclass(frozen=True)
class ExactTemplate:
    """Values minus their offset, whose products with windows are exact; their sum, and ``n sum(t^2) - sum(t)^2``."""

    ranges: IntegerRange
    spectrum: Array
    sum: Array  # in the dtype of products
    variance: float

    @classmethod
    def of(cls, search: Search, transforms: Transforms) -> "ExactTemplate | None":
        """Prepare a template; None if sums of integers cannot be exact."""
        [image], [template] = search.image, search.template
        if any(a.dtype.kind not in "biu" or a.dtype.itemsize > 2 for a in (image, template)):
            return None
        ranges = IntegerRange.of(search, transforms.tiling)
        if ranges is None:
            return None
        values = subtract_offset(template, ranges.template_offsets[0]).astype(np.int64)
        total = int(values.sum())
        variance = values.size * int(np.square(values).sum()) - total * total
        spectrum = transforms.kernel_spectrum(values.astype(np.float64))
        return cls(ranges, spectrum, np.array([total], ranges.product_dtype), float(variance))


@dataclass(frozen=True)
class VolumeTemplate:
    """Values about their mean, with a norm of 1. Spectra are computed when first needed."""

    values: Array
    transforms: Transforms
    engine: Engine

    @classmethod
    def of(cls, search: Search, transforms: Transforms, engine: Engine) -> "VolumeTemplate":
        """Prepare a template."""
        [values] = centred_template(search)
        return cls(values / math.sqrt(np.square(values).sum()), transforms, engine)

    @property
    def window(self) -> Shape:
        """Shape of the template."""
        return self.values.shape

    @property
    def count(self) -> int:
        """Number of pixels, by which norms are multiplied."""
        return self.values.size

    @cached_property
    def spectrum(self) -> Array:
        """Spectrum in double precision: products times windows' inverse norms are scores."""
        return self.transforms.kernel_spectrum(self.values * math.sqrt(self.count))

    @cached_property
    def spectrum_single(self) -> Array:
        """Spectrum in single precision."""
        scaled = self.values * math.sqrt(self.count)
        return self.transforms.kernel_spectrum(scaled.astype(np.float32))

    def score_positions(self, pixels: Array, positions: Positions) -> Array:
        """Score single positions by definition; minus infinity where the window is constant."""
        depth, height, width = self.window
        windows = np.lib.stride_tricks.sliding_window_view(pixels, self.window)
        values: tuple[Any, ...] = (
            self.values.reshape(1, -1, width), np.ones((1, depth * height, width)), np.zeros((1, 2), np.intp), True,
        )  # fmt: skip
        scores = np.empty(len(positions))
        for part in groups_of(len(positions), self.window):
            chosen = np.ascontiguousarray(windows[tuple(positions[part].T)]).reshape(-1, width)
            starts = np.zeros((len(positions[part]), 2), np.intp)
            starts[:, 0] = np.arange(len(starts)) * (depth * height)
            scores[part] = self.engine.score_float_windows((chosen,), starts, *values)
        return np.rint(scores * SCORE_STEPS) / SCORE_STEPS
