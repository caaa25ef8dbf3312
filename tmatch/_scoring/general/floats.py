"""The sums of floats: rounding is bounded, and where the bound is too wide a window is summed again by definition."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
_TRUSTED = 3e-10  # a window whose score may be off by more is summed again by definition
_GROUP_PIXELS = 2**20  # of windows summed together by definition


def prepare_floats(search: Search, transforms: Transforms) -> SumBlock:
    """Sum in float64; centred ones about the mean of the tile."""
    weights = {id(w): w.astype(np.float64) for w in search.weights}
    weighted = [weights[id(w)] for w in search.weights]
    floats = [_as_float(t)[None] for t in search.template]
    values = [v[0] for v in _centred(search, floats, [w[None] for w in weighted])]
    template = WeightedTemplate.of(values, weighted, transforms)
    largest = max(float(np.abs(v).max()) for v in values)
    relative = _EPS * (2 + math.log2(weighted[0].size)) / _TRUSTED * (4 if search.centred else 1)

    def sum_block(block: Region, single: bool) -> WindowSums:  # noqa: FBT001
        raw, there = search.read(transforms.tiling.needs(block))
        floats = [_as_float(c) for c in raw]
        seen = None if there is None else [there[None]] * len(raw)
        tiles = [c[0] for c in _centred(search, [c[None] for c in floats], seen)]
        planes = [TileValues(tile, transforms) for tile in tiles]
        exists = None if there is None else TileValues(there.astype(np.float64), transforms, reused=True)
        parts = sum_windows(search, template, planes, exists, lambda sums: sums, single=single)
        sums = _subtract_means(search, parts)
        top = max(float(np.abs(tile).max()) for tile in tiles)
        unsure = _find_doubtful(sums, parts, relative, (top, largest))
        if there is not None:  # windows with hardly any weight in a channel
            unsure.template |= np.logical_or.reduce(
                [n < 1e-6 * w.values.sum() for n, w in zip(parts.weight, template.weights, strict=True)]
            )
        enough = sums.weight >= search.least
        unsure = _Doubtful(unsure.image & enough, unsure.template & enough)
        _recompute(search, sums, unsure, floats, there, values)
        if search.differs:
            sums.difference = _differences(search, sums, enough, floats, there)
        return sums

    return sum_block


def _subtract_means(search: Search, parts: RawSums) -> WindowSums:
    """Take means off the sums."""
    weight = search.groups(parts.weight)
    seen = sum(weight[1:], weight[0])
    if not search.centred:
        return WindowSums(
            seen, parts.product, parts.image_square, parts.template_square, 1, parts.error_single
        )
    product, image_square, template_square = parts.product, parts.image_square, parts.template_square
    for n, i, t in zip(weight, search.groups(parts.image), search.groups(parts.template), strict=True):
        positive = np.maximum(
            n, max(1e-9 * np.max(n), np.finfo(np.float64).tiny)
        )  # the rest is not sure anyway
        mean = i / positive
        product = product - mean * t
        image_square = image_square - mean * i
        template_square = template_square - t * t / positive
    return WindowSums(seen, product, image_square, template_square, 1, parts.error_single)


@dataclass
class _Doubtful:
    """Which windows' sums may be off by more than `_TRUSTED`, as far as their score is concerned."""

    image: NDArray[np.bool_]
    template: NDArray[np.bool_]


def _find_doubtful(sums: WindowSums, parts: RawSums, relative: float, tops: tuple[float, float]) -> _Doubtful:
    """Find them: those over the image or the product, and those over the part of the template that is seen."""
    errors, (a, b) = parts.errors, tops
    weight, image, template = (errors.get(name, 0.0) for name in ("weight", "image", "template"))
    product = (errors.get("product", 0.0) + a * template + b * image + a * b * weight) / _TRUSTED
    image_square = (errors["image_square"] + 2 * a * image + a * a * weight) / _TRUSTED
    of_image = sums.image_square <= parts.image_square * relative + image_square
    of_image |= sums.image_square * sums.template_square <= np.square(np.float64(product))
    if np.ndim(sums.template_square) == 0:
        return _Doubtful(of_image, np.zeros((), bool))
    template_square = (errors["template_square"] + 2 * b * template + b * b * weight) / _TRUSTED
    return _Doubtful(of_image, sums.template_square <= parts.template_square * relative + template_square)


def _recompute(
    search: Search,
    sums: WindowSums,
    unsure: _Doubtful,
    tiles: list[Array],
    there: Array | None,
    values: list[Array],
) -> None:
    """Sum over the windows in doubt one by one, by definition; constant ones have no square about the mean."""
    chosen = unsure.image | unsure.template
    if not chosen.any():
        return
    sums.product[chosen] = sums.image_square[chosen] = 0
    shape = values[0].shape
    places = np.argwhere(chosen & (_varied(search, tiles, there, shape) | unsure.template))
    views = [np.lib.stride_tricks.sliding_window_view(t, shape) for t in tiles]
    exists = None if there is None else np.lib.stride_tricks.sliding_window_view(there, shape)
    if there is not None:
        sums.template_square = np.array(np.broadcast_to(sums.template_square, chosen.shape))
    group = max(1, _GROUP_PIXELS // values[0].size)
    for start in range(0, len(places), group):
        at = tuple(places[start : start + group].T)
        windows = [view[at] for view in views]
        seen: Any = 1.0 if exists is None else exists[at]
        weights = [np.broadcast_to(w * seen, windows[0].shape) for w in search.weights]
        windows = _centred(search, windows, weights)
        others = [np.broadcast_to(v, windows[0].shape) for v in values]
        if exists is not None:
            others = _centred(search, others, weights)
            sums.template_square[at] = _total(others, others, weights)
        sums.product[at] = _total(windows, others, weights)
        sums.image_square[at] = _total(windows, windows, weights)


def _differences(
    search: Search, sums: WindowSums, enough: Any, tiles: list[Array], there: Array | None
) -> Array:
    """Sum squared differences; where hardly any is left of the squares one by one, so that copies differ by nothing."""
    squares = sums.image_square + sums.template_square
    differences = np.asarray(squares - 2 * sums.product)
    shape = search.template[0].shape
    views = [np.lib.stride_tricks.sliding_window_view(t, shape) for t in tiles]
    exists = None if there is None else np.lib.stride_tricks.sliding_window_view(there, shape)
    for place in map(tuple, np.argwhere(enough & (differences <= 1e-9 * squares))):
        seen: Any = True if exists is None else exists[place]
        differences[place] = sum(
            (w * seen * np.square(view[place] - _as_float(t))).sum()
            for view, t, w in zip(views, search.template, search.weights, strict=True)
        )
    return differences


def _varied(search: Search, tiles: list[Array], there: Array | None, shape: Shape) -> NDArray[np.bool_]:
    """Tell which windows are not constant (0, where no mean is taken off)."""
    low = high = tiles
    if there is not None:
        low = [np.where(there, t, np.inf) for t in tiles]
        high = [np.where(there, t, -np.inf) for t in tiles]
    least = [sliding.sliding_min(t, shape) for t in low]
    most = [sliding.sliding_max(t, shape) for t in high]
    if not search.centred:
        differ = [(a != 0) | (b != 0) for a, b in zip(least, most, strict=True)]
    elif search.joint:
        differ = [np.minimum.reduce(least) != np.maximum.reduce(most)]
    else:
        differ = [a != b for a, b in zip(least, most, strict=True)]
    return np.asarray(np.logical_or.reduce(differ))


def _total(first: list[Array], second: list[Array], weights: list[Array]) -> Array:
    """Sum weight times first times second, for each window."""
    terms = zip(first, second, weights, strict=True)
    return np.asarray(np.add.reduce([(a * b * w).reshape(len(a), -1).sum(axis=1) for a, b, w in terms]))


def _centred(search: Search, windows: list[Array], weights: list[Array] | None) -> list[Array]:
    """Take each window about its weighted mean, if the search is centred; constant ones become exactly 0.

    So does what has no weight. Values are brought near 1 if squares would not fit, and scores are free of scale.
    """
    axes = tuple(range(1, windows[0].ndim))
    if weights is not None:
        windows = [np.where(w > 0, c, 0) for c, w in zip(windows, weights, strict=True)]
    if search.scale_free:
        windows = _near_one(windows, axes)
    if search.centred:
        varied = _spread(search, windows, weights, axes)
        for _ in range(2):  # the mean of large values is itself rounded; what it left over is not
            means = _means(search, windows, weights, axes)
            windows = [c - m for c, m in zip(windows, means, strict=True)]
        if weights is not None:
            windows = [np.where((w > 0) & v, c, 0) for c, w, v in zip(windows, weights, varied, strict=True)]
        if search.scale_free:
            windows = _near_one(windows, axes)
    return [w.astype(np.float64, copy=False) for w in windows]


def _means(
    search: Search, windows: list[Array], weights: list[Array] | None, axes: tuple[int, ...]
) -> list[Array]:
    """Give the mean for each channel: its own, or that of all."""
    if weights is None:
        sums = [c.sum(axis=axes, keepdims=True) for c in windows]
        totals: list[Any] = [c[0].size for c in windows]
    else:
        sums = [(c * w).sum(axis=axes, keepdims=True) for c, w in zip(windows, weights, strict=True)]
        totals = [w.sum(axis=axes, keepdims=True, dtype=np.float64) for w in weights]
    pairs = zip(search.groups(sums), search.groups(totals), strict=True)
    means = [np.asarray(s / np.where(n > 0, n, 1)) for s, n in pairs]
    return means * len(windows) if search.joint else means


def _spread(
    search: Search, windows: list[Array], weights: list[Array] | None, axes: tuple[int, ...]
) -> list[Any]:
    """Tell for each channel which windows vary among their pixels that have weight."""
    if weights is None:
        return [True] * len(windows)
    pairs = list(zip(windows, weights, strict=True))
    most = [np.where(w > 0, c, -np.inf).max(axis=axes, keepdims=True) for c, w in pairs]
    least = [np.where(w > 0, c, np.inf).min(axis=axes, keepdims=True) for c, w in pairs]
    if search.joint:
        return [np.minimum.reduce(least) < np.maximum.reduce(most)] * len(windows)
    return [low < high for low, high in zip(least, most, strict=True)]


def _as_float(array: Array) -> Array:
    """Convert to float64 or wider."""
    return array.astype(np.result_type(array.dtype, np.float64), copy=False)


def _near_one(channels: list[Array], axes: tuple[int, ...]) -> list[Array]:
    """Scale by a power of two, which rounds nothing, where the largest value asks for it."""
    largest = [np.abs(c).max(axis=axes, keepdims=True) for c in channels]
    exponent = np.frexp(np.maximum.reduce(largest))[1]
    exponent[np.abs(exponent) < 100] = 0
    return [np.ldexp(c, -exponent) for c in channels] if exponent.any() else channels
