"""What is left of windows of an image without the template: a copy in white noise leaves white noise."""

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.casting import as_float
from tmatch._arrays.lazy import windows_at
from tmatch._arrays.typing import Array, Positions
from tmatch._engine import select
from tmatch._engine.interface import ResidualTemplate
from tmatch._scoring.search import Search

_BLOCKS = 36, 144  # parts of a window whose means are compared; the finer ones are for fine templates
_STANDARD_ERRORS = 3.0  # that white noise may be off; one in a thousand is
_OUTLIER = 2.0  # standard deviations of the noise that a pixel may be above its expected maximum
_LIKENESS_ERRORS = 2.0  # standard errors of the lower end of the likeness
_LEAST_SIGNAL = 0.05  # share of the variance of windows and template that is not noise, at least
_ROUNDING = 0.5  # variance that rounding to integers may leave
_RELATIVE_ROUNDING = 1e-6  # and of floats, in units of the template's
_NOTHING_LEFT = 1e-20  # share of the squares of a window, in double precision
_MAX_VALUES = 2_000_000  # pixels that are compared at a time


@dataclass(frozen=True)
class Residuals:
    """What is left of some windows without gain, template and offset.

    Parameters
    ----------
    variance, left : array
        Variance of each window, and of what is left of it, in units of the squared pixels.
    gain : array
        By what the template is multiplied.
    white : array of bool
        Whether nothing of the image is left: neighbours do not correlate, no pixel stands out, and means of blocks
        are no more spread than those of white noise. Also where nothing is left.
    level : array of bool
        The same once a plane is subtracted, too, if slopes of light are allowed.
    likeness : array
        The score that there would be without noise, at its lower end: structure left of the window may be noise, or
        two standard errors more. If slopes of light are allowed, without them, too.
    pixels : array
        Independent pixels of the windows, if they are white noise.
    """

    variance: Array
    left: Array
    gain: Array
    white: NDArray[np.bool_]
    level: NDArray[np.bool_]
    likeness: Array
    pixels: Array

    @property
    def score(self) -> Array:
        """The score of each window, in double precision; 0 where it is flat."""
        share = np.where(
            self.variance > 0, np.clip(1 - self.left / np.maximum(self.variance, 1e-300), 0, 1), 0.0
        )
        return np.asarray(np.copysign(np.sqrt(share), self.gain))


_NOTHING, _NOWHERE = np.empty(0), np.empty(0, bool)
_NO_RESIDUALS = Residuals(_NOTHING, _NOTHING, _NOTHING, _NOWHERE, _NOWHERE, _NOTHING, _NOTHING)


def residuals(search: Search, positions: Positions, *, slopes: bool = False) -> Residuals:
    """Compare the windows at some positions of the score map with the template; with `slopes`, light may slope."""
    if not len(positions):
        return _NO_RESIDUALS
    template = _template_of(search)
    parts = [template.compare(search, part, slopes=slopes) for part in template.split(positions)]
    if len(parts) == 1:
        return parts[0]
    return Residuals(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Residuals)))


def patterns(search: Search, positions: Positions) -> Array:
    """Compute what is left of the windows at some positions without template and planes: unit vectors."""
    template = _template_of(search)
    values = np.concatenate([template.patterns(search, part) for part in template.split(positions)])
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-300))


def window_variances(search: Search, positions: Positions) -> Array:
    """Compute the variance of the windows at some positions of the score map."""
    if search.all_valid and not search.joint:
        weights = _template_of(search).weights
        channels, starts = windows_at(search.image, positions, search.window)
        return select.choose().window_variances(channels, starts, weights)
    return residuals(search, positions).variance


def beyond_noise(scores: Array, variance: Array, noise: float, template: float = math.inf) -> Array:
    """Compute what scores would be without noise of a variance in windows of a variance.

    `template` is the variance of the template if it holds the same noise, as it was cut out of the image.
    """
    signal = 1 - noise / np.maximum(variance, max(noise, 1e-300))
    if template < math.inf:
        signal *= max(1 - noise / template, 0.0)
    return np.asarray(scores / np.sqrt(np.maximum(signal, _LEAST_SIGNAL)))


def rounding_of(search: Search) -> float:
    """Return the variance of what rounding may leave of an exact copy: of integers half a grey level squared."""
    if search.image[0].dtype.kind in "biu":
        return _ROUNDING
    weights = [np.broadcast_to(w, search.window) for w in search.weights]
    pairs = [(as_float(t), w) for t, w in zip(search.template, weights, strict=True) if w.any()]
    parts = [w * (t - (w * t).sum() / w.sum()) ** 2 for t, w in pairs]
    return _RELATIVE_ROUNDING * float(sum(part.sum() for part in parts) / sum(w.sum() for w in weights))


def template_variance(search: Search) -> float:
    """Compute the variance of a template."""
    return _template_of(search).variance


def independent_pixels(search: Search) -> float:
    """Count the independent pixels of a window of white noise, all valid, by the template's weights."""
    return float(_template_of(search).law.pixels[0])


def least_alike_score(search: Search, likeness: float) -> float:
    """Compute the score below which no window has a likeness, at its lower end, that is so high."""
    return search.cache.get(("least score", likeness), lambda: _template_of(search).least_score(likeness))


def _template_of(search: Search) -> "_Template":
    """Prepare the template of a search once."""
    return search.cache.get(
        "residual", lambda: _Template(search.template, search.weights, joint=search.joint)
    )


class _Template:
    """A template, and the weights of its pixels; both with the channels as the first axis.

    Residuals are multiplied by the roots of their weights. Of each window these are summed: the squares of the window;
    the gain; then, of the residuals with or without a plane, their squares, the products of neighbours, the largest
    square, and the squares of the sums of blocks of two sizes.
    """

    def __init__(self, channels: Sequence[Array], weights: Sequence[Array], *, joint: bool) -> None:
        self._window, self._joint = channels[0].shape, joint
        self.weights = np.stack([np.broadcast_to(w, self._window) for w in weights]).astype(np.float64)
        self._axes = tuple(range(1, len(self._window) + 2))
        values = np.stack([channel.astype(np.float64) for channel in channels])
        self.values = self._centred(values[None], self.weights[None])[0]
        self.blocks = [*self._blocks()]

    def split(self, positions: Positions) -> list[Positions]:
        """Split positions into parts whose windows take little memory; at least one part."""
        step = max(1, _MAX_VALUES // self.values.size)
        return [positions[i : i + step] for i in range(0, max(len(positions), 1), step)]

    def compare(self, search: Search, positions: Positions, *, slopes: bool) -> Residuals:
        """Compute the residuals of windows."""
        sums, law = self._sums(search, positions, planes=False)
        squares, gain, left = sums[:, 0], sums[:, 1], sums[:, 2]
        white, likeness = _test(sums[:, 2:], gain, law)
        white |= left <= _NOTHING_LEFT * squares  # of what rounding leaves any test tells at random
        level = white.copy()
        rest = np.flatnonzero(~level)
        if slopes and len(rest):
            sums, law_of_rest = self._sums(search, positions[rest], planes=True)
            level[rest], without_planes = _test(sums[:, 2:], sums[:, 1], law_of_rest)
            likeness[rest] = np.maximum(likeness[rest], without_planes)
        pixels = law.pixels.repeat(len(squares)) if len(law.pixels) == 1 else law.pixels
        return Residuals(squares / law.total, left / law.total, gain, white, level, likeness, pixels)

    def _sums(self, search: Search, positions: Positions, *, planes: bool) -> "tuple[Array, _Law]":
        """Sum up the residuals of windows, with planes subtracted if asked; return what is expected of them, too."""
        sums = self._compiled_sums(search, positions, planes=planes)
        if sums is not None:
            return sums, self.law
        windows, weights, template = self._centred_windows(search, positions)
        sums = self._numpy_sums(windows, weights, template, planes=planes)
        return sums, self.law if len(weights) == 1 else _law_of(weights, template, self.blocks)

    def patterns(self, search: Search, positions: Positions) -> Array:
        """Sum the blocks of what is left of windows; the finer blocks."""
        windows, weights, template = self._centred_windows(search, positions)
        left = windows - self._each(_gain(windows, weights, template)) * template
        left = np.sqrt(weights) * self._levelled(left, weights)
        return _block_sums(left, self.blocks[-1]).reshape(len(positions), -1)

    @functools.cached_property
    def law(self) -> "_Law":
        """What is expected where all pixels of a window are valid."""
        return _law_of(self.weights[None], self.values[None], self.blocks)

    @functools.cached_property
    def variance(self) -> float:
        """The variance of the template."""
        return float((self.weights * self.values * self.values).sum() / self.weights.sum())

    def least_score(self, likeness: float) -> float:
        """Compute the least score for a likeness: in white noise, what is left of blocks is its spread alone."""
        white = np.zeros((1, 3 + len(self.blocks)))
        white[0, 0] = (
            self.variance * self.law.total[0]
        )  # noise as strong as the template: its score is root(1/2)
        reached = _test(white, np.ones(1), self.law)[1][0]
        structure = reached**2 / max(1 - reached**2, 1e-12)
        ratio = likeness**2 / (1 - likeness**2) / max(structure, 1e-12)
        return float(np.sqrt(ratio / (1 + ratio)))

    def _compiled_sums(self, search: Search, positions: Positions, *, planes: bool) -> Array | None:
        """Sum by compiled code; None if there is none for such a search."""
        compute = select.choose().residual_sums
        if compute is None or not search.all_valid or self._joint:
            return None
        channels, starts = windows_at(search.image, positions, search.window)
        return compute(channels, starts, self._prepared, planes)

    @functools.cached_property
    def _prepared(self) -> ResidualTemplate:
        """What compiled code needs."""
        t, w = np.ascontiguousarray(self.values), np.ascontiguousarray(self.weights)
        lines = [np.broadcast_to(self._line(axis, w[None])[0], w.shape) for axis in self._axes[1:]]
        pairs = (t, t), (lines[0], lines[0]), (lines[-1], lines[-1]), (lines[0], lines[-1])
        products = np.array([float((w * first * second).sum()) for first, second in pairs])
        products[:3] = np.maximum(products[:3], 1e-300)
        heaviest = tuple(map(int, np.unravel_index(w.argmax(), w.shape)[1:]))
        return ResidualTemplate(t, w, np.sqrt(w), np.stack(lines), products, np.array(self.blocks), heaviest)

    def _numpy_sums(self, windows: Array, weights: Array, template: Array, *, planes: bool) -> Array:
        """Sum in NumPy operations."""
        gain = _gain(windows, weights, template)
        left = windows - self._each(gain) * template
        scaled = np.sqrt(weights) * (self._levelled(left, weights) if planes else left)
        products = np.zeros(len(scaled))
        for axis in range(2, scaled.ndim):
            first, second = _ends(scaled, axis)
            products += _sum(first * second)
        squares = scaled * scaled
        columns = [
            _sum(weights * windows * windows),
            gain,
            _sum(squares),
            products,
            squares.max(axis=self._axes),
        ]
        columns += [_sum(_block_sums(scaled, block) ** 2) for block in self.blocks]
        return np.stack(columns, axis=1)

    def _centred_windows(self, search: Search, positions: Positions) -> tuple[Array, Array, Array]:
        """Return windows, their weights and the template; windows and template without their means."""
        windows, weights = self._windows(search, positions)
        template = self._centred(np.broadcast_to(self.values, weights.shape), weights)
        return self._centred(windows, weights), weights, template

    def _windows(self, search: Search, positions: Positions) -> tuple[Array, Array]:
        """Read windows, and the weights of their pixels; 0 where a pixel is not valid."""
        shape = self._window
        if search.all_valid:
            channels, starts = windows_at(search.image, positions, shape)
            at = tuple(starts.T)
            views = (np.lib.stride_tricks.sliding_window_view(channel, shape) for channel in channels)
            windows = np.stack([view[at] for view in views], axis=1).astype(np.float64)
            return windows, self.weights[None]
        windows = np.zeros((len(positions), len(search.image), *shape))
        weights = np.repeat(self.weights[None], len(positions), axis=0)
        for i, position in enumerate(positions.tolist()):
            region = tuple(slice(p, p + n) for p, n in zip(position, shape, strict=True))
            tiles, valid = search.read(region)
            windows[i] = tiles
            if valid is not None:
                weights[i] *= valid
        return windows, weights

    def _centred(self, values: Array, weights: Array) -> Array:
        """Subtract the weighted mean of each channel, or that of all."""
        axes = self._axes if self._joint else self._axes[1:]
        means = (weights * values).sum(axis=axes, keepdims=True) / np.maximum(
            weights.sum(axis=axes, keepdims=True), 1e-300
        )
        return np.asarray(values - means)

    def _levelled(self, left: Array, weights: Array) -> Array:
        """Subtract a plane; each axis alone, which is exact where weights are even."""
        for axis in self._axes[1:]:
            line = self._line(axis, weights)
            slope = _sum(weights * left * line) / np.maximum(_sum(weights * line * line), 1e-300)
            left = left - self._each(slope) * line
        return left

    def _line(self, axis: int, weights: Array) -> Array:
        """Return the index along an axis less its weighted mean."""
        line = np.arange(float(weights.shape[axis])).reshape(
            [-1 if a == axis else 1 for a in range(weights.ndim)]
        )
        means = (weights * line).sum(axis=self._axes, keepdims=True) / weights.sum(
            axis=self._axes, keepdims=True
        )
        return np.asarray(line - means)

    def _blocks(self) -> Iterator[tuple[int, ...]]:
        """Choose the shapes of blocks."""
        shape = self._window
        for count in _BLOCKS:
            side = max(2, round(count ** (1 / len(shape))))
            yield tuple(max(1, n // side) for n in shape)

    def _each(self, values: Array) -> Array:
        return values.reshape(-1, *(1 for _ in self._axes))


def _ends(values: Array, axis: int) -> tuple[Array, Array]:
    """Return all values but the last, and all but the first, along an axis."""
    start = (slice(None),) * axis
    return values[(*start, slice(None, -1))], values[(*start, slice(1, None))]


def _block_sums(values: Array, cells: tuple[int, ...]) -> Array:
    """Sum whole blocks of all axes but the first two."""
    for axis, side in enumerate(cells, 2):
        n = values.shape[axis] // side
        whole = values[(*(slice(None),) * axis, slice(n * side))]
        values = whole.reshape(*values.shape[:axis], n, side, *values.shape[axis + 1 :]).sum(axis=axis + 1)
    return values


@dataclass(frozen=True)
class _Law:
    """What is expected of the sums of windows of white noise; one value for each window, or for all.

    Of blocks of each size, in columns: the standard error of the variance of block means, the factor from squared sums
    of blocks to that variance, and that variance of the template for a gain of 1.
    """

    total: Array
    pixels: Array
    correlation: Array  # of neighbours, at most
    outlier: Array  # square of a pixel, in units of the mean square, at most
    spread: Array
    factor: Array
    structure: Array


def _law_of(weights: Array, template: Array, blocks: Sequence[tuple[int, ...]]) -> _Law:
    """Compute what is expected of windows whose pixels have weights."""
    total, pairs = _sum(weights), np.zeros(len(weights))
    for axis in range(2, weights.ndim):
        first, second = _ends(weights, axis)
        pairs += _sum(first * second)
    pixels = total**2 / _sum(weights * weights)
    outlier = (np.sqrt(2 * np.log(pixels)) + _OUTLIER) ** 2
    parts = []
    for block in blocks:
        sizes = _block_sums(weights, block)
        count = _sum(sizes) ** 2 / _sum(sizes * sizes)  # of blocks of equal weight
        factor = count / np.maximum(count - 1, 1) * total / _sum(sizes)
        structure = factor * _sum(_block_sums(np.sqrt(weights) * template, block) ** 2)
        parts.append((np.sqrt(2 / np.maximum(count - 1, 1)), factor, structure))
    columns = [np.stack(part, axis=1) for part in zip(*parts, strict=True)]
    return _Law(total, pixels, _STANDARD_ERRORS * np.sqrt(pairs) / total, outlier, *columns)


def _test(sums: Array, gain: Array, law: _Law) -> tuple[NDArray[np.bool_], Array]:
    """Test whether residuals are white, and bound the likeness."""
    there = sums[:, 0] > 0
    squares = np.where(there, sums[:, 0], 1.0)
    white = there & (np.abs(sums[:, 1]) <= law.correlation * squares)
    white &= sums[:, 2] * law.pixels <= law.outlier * squares
    ratio = sums[:, 3:] * law.factor / squares[:, None]
    structure = law.structure * (gain * gain / squares)[:, None]
    white &= (ratio <= 1 + _STANDARD_ERRORS * law.spread).all(axis=1)
    rest = np.maximum(ratio - 1, 0) + _LIKENESS_ERRORS * law.spread
    return white, np.sqrt(structure / (structure + rest)).max(axis=1)


def _gain(windows: Array, weights: Array, template: Array) -> Array:
    energy = _sum(weights * template * template)
    return np.asarray(_sum(weights * windows * template) / np.maximum(energy, 1e-300))


def _sum(values: Array) -> Array:
    return np.asarray(values.sum(axis=tuple(range(1, values.ndim))))
