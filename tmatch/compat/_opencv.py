"""The scores of OpenCV's six methods in float64, for images of any dtype and any number of channels."""

import numpy as np
from numpy.typing import ArrayLike

from tmatch._arrays.options import Metric
from tmatch._arrays.typing import Array
from tmatch._filtering.filters import correlate
from tmatch._scoring.maps import score_map, score_validity
from tmatch._scoring.metrics import METRICS

TM_SQDIFF = 0
TM_SQDIFF_NORMED = 1
TM_CCORR = 2
TM_CCORR_NORMED = 3
TM_CCOEFF = 4
TM_CCOEFF_NORMED = 5

_METRICS: tuple[Metric, ...] = ("ssd", "nssd", "cc", "ncc", "zcc", "zncc")  # by OpenCV's numbers
_ROUNDED = 1e-8  # of the largest window's square: rounding would show in a smaller one


def check_method(method: object) -> None:
    """Check that a method is one of the six."""
    if not isinstance(method, int | np.integer) or not 0 <= method < len(_METRICS):
        msg = f"`method` is {method!r}; it must be one of the six, from TM_SQDIFF = 0 to TM_CCOEFF_NORMED = 5"
        raise ValueError(msg)


def kind_of(array: Array) -> str:
    """Return the kind and size of a dtype, without its byte order."""
    return array.dtype.str[1:]


def weights_of(mask: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Convert a mask to bools or float64 weights for each pixel and channel."""
    array = np.asanyarray(mask)
    if kind_of(array) not in ("u1", "b1", "f4"):
        msg = f"`mask` has dtype {array.dtype}; it must be uint8 or bool (binary), or float32 (weights)"
        raise TypeError(msg)
    if array.shape not in (shape, shape[:2], (*shape[:2], 1)):
        msg = f"`mask` has shape {array.shape}; it must be {shape[:2]}, or {shape} for one mask a channel"
        raise ValueError(msg)
    weights = array.astype(np.float64) if array.dtype.kind == "f" else array != 0
    if not (weights >= 0).all():
        msg = "`mask` has weights below 0 or NaN; it must say how much each pixel counts"
        raise ValueError(msg)
    return np.broadcast_to(weights.reshape(*shape[:2], -1), shape)


def opencv_scores(image: Array, templ: Array, method: int, weights: Array | None) -> Array:
    """Score (H, W, C) arrays with OpenCV's sign; tmatch weights means as it weights products."""
    if weights is not None and method in (TM_CCOEFF, TM_CCOEFF_NORMED) and not _is_even(weights):
        return _coefficients(image, templ, weights, normed=method == TM_CCOEFF_NORMED)
    squares = None if weights is None else weights.astype(np.float64) ** 2
    metric = _METRICS[method]
    found, info = score_map(image, templ, metric=metric, mask=squares, channel_axis=2), METRICS[metric]
    scores = found.scores
    if info.differences and info.normalised:
        distances = np.where(found.valid, 0 - scores, max(1, -scores.min()))
        return np.minimum(distances, 1) if weights is None else distances
    return 0 - scores if info.differences else scores


def _is_even(weights: Array) -> bool:
    """Check whether all pixels that count have one weight: then means by the mask and by its square are equal."""
    positive = weights[weights > 0]
    return bool((positive == positive[:1]).all())


def _coefficients(image: Array, templ: Array, weights: Array, *, normed: bool) -> Array:
    """Correlate both about their means by the mask, weighted by the square of the mask."""
    valid = score_validity(
        image, templ, metric="zncc" if normed else "zcc", mask=weights, channel_axis=2
    )  # checks all arrays too
    sides = (0, 1)
    squares, total = weights**2, weights.sum(sides)
    total[total == 0] = 1  # a channel that does not count has only zeros to be divided
    pixels = image - image.mean(sides, dtype=np.float64)  # changes no result and saves digits
    pattern = np.where(weights > 0, templ, 0)
    centred = pattern - (weights * pattern).sum(sides) / total
    kernel = squares * centred
    kernel -= weights * (kernel.sum(sides) / total)  # sums to 0: no need to subtract the window's mean
    products: Array = _sums(pixels, kernel).sum(2)
    if not normed:
        return products
    means, energy = _sums(pixels, weights) / total, _sums(pixels**2, squares)
    window = energy + means * (means * squares.sum(sides) - 2 * _sums(pixels, squares))
    norms = window.sum(2)
    views = np.lib.stride_tricks.sliding_window_view(pixels, templ.shape[:2], sides)
    for position in map(tuple, np.argwhere(valid & (norms < energy.sum(2).max() * _ROUNDED))):
        view = np.moveaxis(views[position], 0, 2)
        view = view - (weights * view).sum(sides) / total
        products[position], norms[position] = (kernel * view).sum(), (squares * view**2).sum()
    norms = np.sqrt(np.maximum(norms, 0)) * np.sqrt((squares * centred**2).sum())
    scores: Array = np.divide(products, norms, out=np.zeros(norms.shape), where=valid & (norms > 0))
    return np.clip(scores, -1, 1)


def _sums(image: Array, kernel: Array) -> Array:
    """Sum pixel times weight over each window, channel by channel."""
    return correlate(image, kernel, output="valid", channel_axis=2)
