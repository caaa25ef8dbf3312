"""Score maps: how well a template fits at every place of an image."""

import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmatch import _core, _tiles
from tmatch._borders import Array
from tmatch._tiles import Region, Tiling

Scores = NDArray[np.float64]
Metric = Literal["zncc"]

ScoreBlock = Callable[[Region], Scores]

_OVERSHOOT = 1e-9  # a score may pass 1 by rounding, and by no more
_TRUSTED = 3e-10  # a window whose score may be off by more is computed again by definition
_PASSES = 100  # over a tile, that its scores cost about
_STEPS = 2.0**40  # scores of floats are multiples of 2**-40, about 1e-12
_GROUP_PIXELS = 2**20  # of windows computed together by definition
_EPS = float(np.finfo(np.float64).eps)


def match_template(
    image: ArrayLike,
    template: ArrayLike,
    /,
    *,
    metric: Metric = "zncc",
    channel_axis: int | None = None,
) -> Scores:
    """Score how well a template fits at every place of an image.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of bool, integers or real floats
        The array searched. Finite values only.
    template : (h, w) or (h, w, C) array of bool, integers or real floats
        The array sought, no larger than `image` on any axis. Not constant.
    metric : {"zncc"}
        "zncc" is normalized cross-correlation of de-meaned values: it is not changed by a gain
        (above 0) or an offset on either side.
    channel_axis : int or None
        The axis that holds the channels (colours), in both arrays; None if there are none. Each
        channel is de-meaned by itself, then products and squares are pooled over channels, so a
        colour cast does not hurt.

    Returns
    -------
    scores : (H - h + 1, W - w + 1) array of float64
        Scores in [-1, 1]. ``scores[y, x]`` is the score of the window whose first pixel is
        ``image[y, x]``. 1 is a perfect fit, -1 a perfect negative, 0 no relation. Constant windows
        score 0, having no shape to compare.

    Raises
    ------
    ValueError
        If an array is empty or not finite, the template is constant or larger than the image, or the
        dimensions or channels of the two differ.
    TypeError
        If an array does not hold real numbers.

    Notes
    -----
    With ``t' = t - mean(t)`` and a window ``w' = w - mean(w)``, ::

        score = sum(w' * t') / sqrt(sum(w'**2) * sum(t'**2))

    the sums running over all channels, the means over one (J. P. Lewis, "Fast Template Matching",
    Vision Interface 1995). Integers are exact: numerator and denominator are computed without
    rounding as long as they stay below 2**53, so such scores are the same bits on any machine.
    Scores of floats are rounded to a multiple of 2**-40; their error stays below 1e-9 on data of ordinary contrast.

    Examples
    --------
    >>> import numpy as np
    >>> import tmatch
    >>> image = np.zeros((5, 6))
    >>> image[2:4, 3:5] = [[1, 2], [3, 4]]
    >>> scores = tmatch.match_template(image, [[1, 2], [3, 4]])
    >>> scores.shape
    (4, 5)
    >>> np.argwhere(scores > 0.999)
    array([[2, 3]])
    """
    if metric != "zncc":
        msg = f'`metric` is {metric!r}; the metric known is "zncc"'
        raise ValueError(msg)
    channels = _channels("image", image, channel_axis)
    sought = _channels("template", template, channel_axis)
    _check_pair(channels, sought)
    tiling = _tiles.plan_tiles(channels[0].shape, sought[0].shape)
    score_block = _prepare_exact(channels, sought, tiling) or _prepare_floats(channels, sought, tiling)
    scores = np.empty(tiling.places)

    def work(block: Region) -> None:
        scores[block] = _bounded(score_block(block))

    _tiles.run(_tiles.Job(work, tiling, _PASSES))
    return scores


# --- what goes in ---------------------------------------------------------------------------------


def _channels(name: str, values: ArrayLike, channel_axis: int | None) -> list[Array]:
    """Check one array and take it apart into channels."""
    if np.ma.isMaskedArray(values):
        msg = f"`{name}` is a masked array; fill it first, for instance with `{name}.filled(0)`"
        raise TypeError(msg)
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        msg = f"`{name}` has dtype {array.dtype}; it must hold real numbers (bool, integers or floats)"
        raise TypeError(msg)
    if array.size == 0:
        msg = f"`{name}` is empty: shape {array.shape}; it must have at least one pixel"
        raise ValueError(msg)
    if channel_axis is None:
        channels = [array]
    elif isinstance(channel_axis, numbers.Integral) and -array.ndim <= channel_axis < array.ndim:
        channels = list(np.moveaxis(array, channel_axis, 0))
    else:
        msg = f"`channel_axis` is {channel_axis!r}, but `{name}` has only {array.ndim} axes"
        raise ValueError(msg)
    if channels[0].ndim != 2:
        msg = (
            f"`{name}` has shape {array.shape} with channel_axis={channel_axis}; "
            "it must be 2-D, with channel_axis=None, or 2-D and one axis of channels that channel_axis names"
        )
        raise ValueError(msg)
    return channels


def _check_pair(image: list[Array], template: list[Array]) -> None:
    """Check what the image and the template must have in common, and the template's contrast."""
    if len(image) != len(template):
        msg = f"`template` has {len(template)} channels and `image` has {len(image)}; they must be equal"
        raise ValueError(msg)
    outer, inner = image[0].shape, template[0].shape
    too_long = [axis for axis, (n, k) in enumerate(zip(outer, inner, strict=True)) if k > n]
    if too_long:
        axes = ", ".join(map(str, too_long))
        msg = (
            f"`template` has shape {inner}, larger than `image` {outer} on axes {axes}; "
            "crop or shrink it, or swap the two if they are in the wrong order"
        )
        raise ValueError(msg)
    _check_finite("template", template)
    if all((t == t.flat[0]).all() for t in template):
        msg = "`template` is constant: every window would fit as well; use one with some contrast"
        raise ValueError(msg)


def _check_finite(name: str, channels: Sequence[Array], corner: tuple[int, int] = (0, 0)) -> None:
    """Refuse NaN and infinity, naming the first place in this part of the array."""
    for channel in channels:
        if channel.dtype.kind == "f" and not np.isfinite(channel).all():
            y, x = np.argwhere(~np.isfinite(channel))[0].tolist()
            msg = (
                f"`{name}` is {channel[y, x]} at [{y + corner[0]}, {x + corner[1]}]; all pixels must be finite: "
                "replace NaN and infinity first, for instance with np.nan_to_num"
            )
            raise ValueError(msg)


# --- integers: no rounding anywhere -----------------------------------------------------------------


def _prepare_exact(image: list[Array], template: list[Array], tiling: Tiling) -> ScoreBlock | None:
    """Score integers exactly: with n pixels, ``n * sum(w t) - sum(w) * sum(t)`` is an integer too.

    None if some value on the way could pass 2**63, or the transforms could be off by half a unit.
    """
    if any(c.dtype.kind not in "biu" for c in (*image, *template)):
        return None
    count, shape = template[0].size, template[0].shape
    centres, spreads = zip(*map(_middle, image), strict=True)
    middles, others = zip(*map(_middle, template), strict=True)
    spread = max(*spreads, *others)
    largest = 2 * len(image) * (count * spread) ** 2
    points = math.prod(tiling.fft_shape) * len(image)
    rounding = _core.rounding_bound(spread**2 * math.sqrt(points * count * len(image)), tiling)
    if largest >= 2**63 or rounding >= 0.25:
        return None
    narrow: Any = np.int32 if count * spread**2 < 2**31 else np.int64
    wide: Any = np.float64 if largest < 2**53 else np.int64

    centred = [_about(t, m).astype(np.int64) for t, m in zip(template, middles, strict=True)]
    sums = [int(t.sum()) for t in centred]
    square = sum(count * int((t * t).sum()) - s * s for t, s in zip(centred, sums, strict=True))
    spectra = [_core.tile_spectrum(t.astype(np.float64), tiling) for t in centred]

    def score(block: Region) -> Scores:
        region = tiling.needs(block)
        tiles = [_about(c[region], m).astype(narrow, copy=False) for c, m in zip(image, centres, strict=True)]
        cross = _core.correlate_tile([t.astype(np.float64) for t in tiles], spectra, tiling)
        numerator = np.rint(cross, out=cross).astype(wide, copy=False)
        numerator *= wide(count)
        variance = np.zeros((), wide)
        for tile, template_sum in zip(tiles, sums, strict=True):
            window_sum = _core.sliding_sum(tile, shape).astype(wide)
            numerator -= window_sum * wide(template_sum)
            squares = _core.sliding_sum(tile * tile, shape).astype(wide)
            squares *= wide(count)
            squares -= np.square(window_sum, out=window_sum)
            variance = squares if variance.ndim == 0 else np.add(variance, squares, out=squares)
        return _divide(numerator, variance, float(square))

    return score


def _middle(channel: Array) -> tuple[int, int]:
    """Give a middle value, and how far others can lie from it; sums of squares stay small about it."""
    if channel.dtype.kind == "b":
        return 0, 1
    if channel.dtype.itemsize <= 2:
        low, high = int(np.iinfo(channel.dtype).min), int(np.iinfo(channel.dtype).max)
    else:
        low, high = int(channel.min()), int(channel.max())
    middle = (low + high + 1) // 2
    return middle, max(high - middle, middle - low)


def _about(array: Array, middle: int) -> Array:
    """Subtract a middle value from integers, none of which wraps round."""
    if array.dtype.itemsize <= 2:
        return array.astype(np.int32) - np.int32(middle)
    return (array.astype(np.uint64) - np.uint64(middle % 2**64)).astype(np.int64)  # two's complement


# --- floats: rounding is bounded, and where the bound is too wide a window is done by definition ----


def _prepare_floats(image: list[Array], template: list[Array], tiling: Tiling) -> ScoreBlock:
    """Score in float64, every tile taken about its own mean."""
    count, shape = template[0].size, template[0].shape
    centred = _centred(template, (0, 1))
    total = sum(float((t * t).sum()) for t in centred)
    spectra = [_core.tile_spectrum(t, tiling) for t in centred]
    sum_error = _EPS * (2 + math.log2(count))

    def score(block: Region) -> Scores:
        region = tiling.needs(block)
        raw = [c[region] for c in image]
        _check_finite("image", raw, (region[0].start, region[1].start))
        tiles = _centred(raw, (0, 1))
        numerator = _core.correlate_tile(tiles, spectra, tiling)
        squares = [tile * tile for tile in tiles]
        energy: Array = sum(_core.sliding_sum(square, shape) for square in squares)  # type: ignore[assignment]
        variance = energy - sum(_core.sliding_sum(tile, shape) ** 2 for tile in tiles) / count
        norm = math.sqrt(sum(float(square.sum()) for square in squares))
        noise = _core.rounding_bound(norm, tiling) / _TRUSTED
        suspect = variance <= np.maximum(energy * (sum_error / _TRUSTED), noise * noise)
        variance[suspect] = 0
        scores = _divide(numerator, variance, total)
        if suspect.any():
            scores[suspect] = _by_definition(raw, suspect, centred)
        # Equal scores that rounding set apart become equal again: plateaus stay whole, exact copies score 1.
        return np.asarray(np.rint(scores * _STEPS) / _STEPS)

    return score


def _centred(channels: Sequence[Array], axes: tuple[int, int]) -> list[Array]:
    """Take values about their mean over the axes, in float64, near 1 if squares would not fit."""
    centred = _near_one([_as_float(c) for c in channels], axes)
    for _ in range(2):  # the mean of large values is itself rounded; what it left over is not
        centred = [c - c.mean(axis=axes, keepdims=True) for c in centred]
    return _near_one([c.astype(np.float64, copy=False) for c in centred], axes)


def _as_float(array: Array) -> Array:
    """Convert to float64 or wider; 64-bit integers about their least value, so that no digit is lost."""
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        return np.asarray(array.astype(np.uint64) - array.min().astype(np.uint64), np.float64)
    return array.astype(np.result_type(array.dtype, np.float64), copy=False)


def _near_one(channels: list[Array], axes: tuple[int, int]) -> list[Array]:
    """Scale by a power of two, which rounds nothing, where the largest value asks for it."""
    largest = [np.abs(c).max(axis=axes, keepdims=True) for c in channels]
    exponent = np.frexp(np.maximum.reduce(largest))[1]
    exponent[np.abs(exponent) < 100] = 0
    return [np.ldexp(c, -exponent) for c in channels] if exponent.any() else channels


def _by_definition(tiles: list[Array], chosen: NDArray[np.bool_], template: list[Array]) -> Scores:
    """Score the chosen windows one by one, each about its own mean; constant ones score 0."""
    shape = template[0].shape
    differ = [_core.sliding_max(t, shape) != _core.sliding_min(t, shape) for t in tiles]
    varied = np.logical_or.reduce(differ)[chosen]
    places = np.argwhere(chosen)[varied]
    total = sum(float((t * t).sum()) for t in template)
    found = np.zeros(len(places))
    group = max(1, _GROUP_PIXELS // template[0].size)
    views = [np.lib.stride_tricks.sliding_window_view(t, shape) for t in tiles]
    for start in range(0, len(places), group):
        ys, xs = places[start : start + group].T
        windows = _centred([view[ys, xs] for view in views], (1, 2))
        numerator: Any = sum(np.einsum("nij,ij->n", w, t) for w, t in zip(windows, template, strict=True))
        variance: Any = sum(np.einsum("nij,nij->n", w, w) for w in windows)
        found[start : start + group] = _divide(numerator, variance, total)
    scores = np.zeros(len(varied))
    scores[varied] = found
    return scores


def _divide(numerator: Array, variance: Array, square: float) -> Scores:
    """Divide by both norms; windows without variance score 0."""
    norm = variance.astype(np.float64, copy=False) * square
    np.sqrt(norm, out=norm)
    if norm.size and norm.min() > 0:
        return np.divide(numerator, norm, out=norm)
    return np.divide(numerator, norm, out=np.zeros(norm.shape), where=norm > 0)


def _bounded(scores: Scores) -> Scores:
    """Take off the last digit by which rounding may pass 1; anything more is an error of ours."""
    least, most = scores.min(), scores.max()
    if not (least >= -1 - _OVERSHOOT and most <= 1 + _OVERSHOOT):
        msg = f"scores from {least} to {most} are outside [-1, 1]: this is a bug in tmatch, please report it"
        raise ArithmeticError(msg)
    return np.clip(scores, -1, 1, out=scores) if least < -1 or most > 1 else scores
