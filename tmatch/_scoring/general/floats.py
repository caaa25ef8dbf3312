"""Window sums of floats. Rounding errors are bounded; doubtful windows are recomputed by definition."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.casting import as_float
from tmatch._arrays.typing import Array, Region, Shape
from tmatch._engine.interface import Transforms
from tmatch._engine.numpy import sliding
from tmatch._scoring.general.sums import (
    RawSums,
    SumBlock,
    TileValues,
    WeightedTemplate,
    WindowSums,
    sum_windows,
)
from tmatch._scoring.search import Search

_EPS = float(np.finfo(np.float64).eps)
_TRUSTED = 3e-10  # windows whose score may have a larger error are recomputed by definition
_GROUP_PIXELS = 2**20  # maximum number of pixels of windows that are recomputed at once


def prepare_floats(search: Search, transforms: Transforms) -> SumBlock:
    """Prepare sums in float64, about the mean of the tile if the search is centred."""
    weights = {id(w): w.astype(np.float64) for w in search.weights}
    weighted = [weights[id(w)] for w in search.weights]
    values = centred_template(search)
    template = WeightedTemplate.of(values, weighted, transforms)
    largest = max(float(np.abs(v).max()) for v in values)
    relative = _EPS * (2 + math.log2(weighted[0].size)) / _TRUSTED * (4 if search.metric.centred else 1)

    def sum_block(block: Region) -> WindowSums:
        channels, valid = search.read(transforms.tiling.needs(block))
        floats = [as_float(c) for c in channels]
        valid_weights = None if valid is None else [valid[None]] * len(channels)
        tiles = [c[0] for c in _centred(search, [c[None] for c in floats], valid_weights)]
        planes = [TileValues(tile, transforms) for tile in tiles]
        valid_values = (
            None if valid is None else TileValues(valid.astype(np.float64), transforms, reused=True)
        )
        raw_sums = sum_windows(search, template, planes, valid_values, lambda sums: sums)
        sums = _subtract_means(search, raw_sums)
        maximum = max(float(np.abs(tile).max()) for tile in tiles)
        doubtful = _find_doubtful(sums, raw_sums, relative, (maximum, largest))
        if valid is not None:  # windows with almost no weight in a channel
            doubtful.template |= np.logical_or.reduce(
                [n < 1e-6 * w.values.sum() for n, w in zip(raw_sums.weight, template.weights, strict=True)]
            )
        overlapping = sums.weight >= search.min_weight
        doubtful = _Doubtful(doubtful.image & overlapping, doubtful.template & overlapping)
        _recompute(search, sums, doubtful, floats, valid, values)
        if search.metric.differences:
            sums.difference = _differences(search, sums, overlapping, floats, valid)
        return sums

    return sum_block


def centred_template(search: Search) -> list[Array]:
    """Return the channels of a template about their weighted means, if the search is centred; float64."""
    weights = {id(w): w.astype(np.float64)[None] for w in search.weights}
    floats = [as_float(t)[None] for t in search.template]
    return [v[0] for v in _centred(search, floats, [weights[id(w)] for w in search.weights])]


def _subtract_means(search: Search, raw: RawSums) -> WindowSums:
    """Subtract means from the sums, if the search is centred."""
    weights = search.groups(raw.weight)
    total_weight = sum(weights[1:], weights[0])
    if not search.metric.centred:
        return WindowSums(total_weight, raw.product, raw.image_square, raw.template_square, 1)
    product, image_square, template_square = raw.product, raw.image_square, raw.template_square
    for weight_sum, image_sum, template_sum in zip(
        weights, search.groups(raw.image), search.groups(raw.template), strict=True
    ):
        # Smaller weights are doubtful in any case.
        positive = np.maximum(weight_sum, max(1e-9 * np.max(weight_sum), np.finfo(np.float64).tiny))
        mean = image_sum / positive
        product = product - mean * template_sum
        image_square = image_square - mean * image_sum
        template_square = template_square - template_sum * template_sum / positive
    return WindowSums(total_weight, product, image_square, template_square, 1)


@dataclass
class _Doubtful:
    """Windows whose scores may have errors above `_TRUSTED`, because of image or template sums."""

    image: NDArray[np.bool_]
    template: NDArray[np.bool_]


def _find_doubtful(sums: WindowSums, raw: RawSums, relative: float, maxima: tuple[float, float]) -> _Doubtful:
    """Find windows with doubtful sums of the image or product, or of the compared part of the template."""
    errors, (a, b) = raw.errors, maxima
    weight, image, template = (errors.get(name, 0.0) for name in ("weight", "image", "template"))
    product = (errors.get("product", 0.0) + a * template + b * image + a * b * weight) / _TRUSTED
    image_square = (errors["image_square"] + 2 * a * image + a * a * weight) / _TRUSTED
    # Compared so that NaN is doubtful: squares may overflow in float64 though scores do not.
    doubtful_image = ~(sums.image_square > raw.image_square * relative + image_square)
    doubtful_image |= ~(sums.image_square * sums.template_square > np.square(np.float64(product)))
    if np.ndim(sums.template_square) == 0:
        return _Doubtful(doubtful_image, np.zeros((), bool))
    template_square = (errors["template_square"] + 2 * b * template + b * b * weight) / _TRUSTED
    return _Doubtful(
        doubtful_image, ~(sums.template_square > raw.template_square * relative + template_square)
    )


def _recompute(
    search: Search,
    sums: WindowSums,
    doubtful: _Doubtful,
    tiles: list[Array],
    valid: Array | None,
    values: list[Array],
) -> None:
    """Recompute the sums of doubtful windows by definition; they are 0 for constant windows."""
    chosen = doubtful.image | doubtful.template
    if not chosen.any():
        return
    sums.product[chosen] = sums.image_square[chosen] = 0
    shape = values[0].shape
    positions = np.argwhere(chosen & (_varied(search, tiles, valid, shape) | doubtful.template))
    views = [np.lib.stride_tricks.sliding_window_view(t, shape) for t in tiles]
    valid_windows = None if valid is None else np.lib.stride_tricks.sliding_window_view(valid, shape)
    if valid is not None:
        sums.template_square = np.array(np.broadcast_to(sums.template_square, chosen.shape))
    group = max(1, _GROUP_PIXELS // values[0].size)
    for start in range(0, len(positions), group):
        at = tuple(positions[start : start + group].T)
        windows = [view[at] for view in views]
        is_valid: Any = 1.0 if valid_windows is None else valid_windows[at]
        weights = [np.broadcast_to(w * is_valid, windows[0].shape) for w in search.weights]
        windows = _centred(search, windows, weights)
        references = [np.broadcast_to(v, windows[0].shape) for v in values]
        if valid_windows is not None:  # the raw template: what is centred about hidden pixels has lost digits
            raw = [np.broadcast_to(as_float(t), windows[0].shape) for t in search.template]
            references = _centred(search, raw, weights)
            sums.template_square[at] = _total(references, references, weights)
        sums.product[at] = _total(windows, references, weights)
        sums.image_square[at] = _total(windows, windows, weights)


def _differences(
    search: Search, sums: WindowSums, overlapping: Any, tiles: list[Array], valid: Array | None
) -> Array:
    """Compute sums of squared differences, by definition where they almost cancel: exact copies then give 0."""
    squares = sums.image_square + sums.template_square
    differences = np.asarray(squares - 2 * sums.product)
    limits = 1e-9 * squares
    shape = search.template[0].shape
    views = [np.lib.stride_tricks.sliding_window_view(t, shape) for t in tiles]
    valid_windows = None if valid is None else np.lib.stride_tricks.sliding_window_view(valid, shape)
    for position in map(tuple, np.argwhere(overlapping & (differences <= limits))):
        is_valid: Any = True if valid_windows is None else valid_windows[position]
        differences[position] = sum(
            (w * is_valid * np.square(view[position] - as_float(t))).sum()
            for view, t, w in zip(views, search.template, search.weights, strict=True)
        )
    return differences


def _varied(search: Search, tiles: list[Array], valid: Array | None, shape: Shape) -> NDArray[np.bool_]:
    """Return which windows are not constant, or not all 0 if the search is not centred."""
    low = high = tiles
    if valid is not None:
        low = [np.where(valid, t, np.inf) for t in tiles]
        high = [np.where(valid, t, -np.inf) for t in tiles]
    minima = [sliding.sliding_min(t, shape) for t in low]
    maxima = [sliding.sliding_max(t, shape) for t in high]
    if not search.metric.centred:
        differ = [(a != 0) | (b != 0) for a, b in zip(minima, maxima, strict=True)]
    elif search.joint:
        differ = [np.minimum.reduce(minima) != np.maximum.reduce(maxima)]
    else:
        differ = [a != b for a, b in zip(minima, maxima, strict=True)]
    return np.asarray(np.logical_or.reduce(differ))


def _total(first: list[Array], second: list[Array], weights: list[Array]) -> Array:
    """Compute sums of weight times first times second, for each window."""
    terms = zip(first, second, weights, strict=True)
    return np.asarray(np.add.reduce([(a * b * w).reshape(len(a), -1).sum(axis=1) for a, b, w in terms]))


def _centred(search: Search, windows: list[Array], weights: list[Array] | None) -> list[Array]:
    """Subtract its weighted mean from each window, if the search is centred; constant windows become exactly 0.

    Pixels without weight become 0 too. If scores are scale-free, values whose squares could overflow are scaled near 1.
    """
    axes = tuple(range(1, windows[0].ndim))
    if weights is not None:
        windows = [np.where(w > 0, c, 0) for c, w in zip(windows, weights, strict=True)]
    if search.metric.gain == "each":
        windows = _scale_near_one(windows, axes)
    if search.metric.centred:
        varied = _varies_in_weight(search, windows, weights, axes)
        for _ in range(2):  # the mean of large values is itself rounded; a second pass subtracts the rest
            means = _means(search, windows, weights, axes)
            windows = [c - m for c, m in zip(windows, means, strict=True)]
        if weights is not None:
            windows = [np.where((w > 0) & v, c, 0) for c, w, v in zip(windows, weights, varied, strict=True)]
        if search.metric.gain == "each":
            windows = _scale_near_one(windows, axes)
    return [w.astype(np.float64, copy=False) for w in windows]


def _means(
    search: Search, windows: list[Array], weights: list[Array] | None, axes: tuple[int, ...]
) -> list[Array]:
    """Return the mean of each channel, or the joint mean for all."""
    if weights is None:
        sums = [c.sum(axis=axes, keepdims=True) for c in windows]
        totals: list[Any] = [c[0].size for c in windows]
    else:
        sums = [(c * w).sum(axis=axes, keepdims=True) for c, w in zip(windows, weights, strict=True)]
        totals = [w.sum(axis=axes, keepdims=True, dtype=np.float64) for w in weights]
    pairs = zip(search.groups(sums), search.groups(totals), strict=True)
    means = [np.asarray(s / np.where(n > 0, n, 1)) for s, n in pairs]
    return means * len(windows) if search.joint else means


def _varies_in_weight(
    search: Search, windows: list[Array], weights: list[Array] | None, axes: tuple[int, ...]
) -> list[Any]:
    """Return for each channel which windows are not constant over pixels with weight."""
    if weights is None:
        return [True] * len(windows)
    pairs = list(zip(windows, weights, strict=True))
    maxima = [np.where(w > 0, c, -np.inf).max(axis=axes, keepdims=True) for c, w in pairs]
    minima = [np.where(w > 0, c, np.inf).min(axis=axes, keepdims=True) for c, w in pairs]
    if search.joint:
        return [np.minimum.reduce(minima) < np.maximum.reduce(maxima)] * len(windows)
    return [low < high for low, high in zip(minima, maxima, strict=True)]


def _scale_near_one(channels: list[Array], axes: tuple[int, ...]) -> list[Array]:
    """Scale by a power of two, which is exact, where the maximum is far from 1."""
    largest = [np.abs(c).max(axis=axes, keepdims=True) for c in channels]
    exponent = np.frexp(np.maximum.reduce(largest))[1]
    exponent[np.abs(exponent) < 100] = 0
    return [np.ldexp(c, -exponent) for c in channels] if exponent.any() else channels
