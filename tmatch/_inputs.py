"""What is compared: arrays and options are checked and made into a `Search`."""

import numbers
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from tmatch._borders import Array
from tmatch._checks import check_axis, check_name, check_numbers
from tmatch._sums import Search, check_finite

Metric = Literal["zncc", "ncc", "zcc", "cc", "ssd", "nssd", "orientation"]
Missing = Literal["refuse", "ignore"]
Output = Literal["valid", "same", "full"]
Means = Literal["separate", "joint"]
Precision = Literal["double", "single"]

CENTRED, NORMALISED, BOUNDED = (
    ("zncc", "zcc"),
    ("zncc", "ncc", "nssd", "orientation"),
    ("zncc", "ncc", "orientation"),
)

_ROUNDING = 1e-9  # an overlap this much below the least one still counts


def make_search(
    image: ArrayLike,
    template: ArrayLike,
    *,
    metric: Metric = "zncc",
    mask: ArrayLike | None = None,
    image_mask: ArrayLike | None = None,
    missing: Missing = "refuse",
    min_overlap: float = 0.5,
    output: Output = "valid",
    channel_axis: int | None = None,
    channel_weights: Sequence[float] | None = None,
    channel_means: Means = "separate",
    precision: Precision = "double",
    memory: dict[Any, Any] | None = None,
) -> Search:
    """Check everything and take it apart into channels."""
    for option, value, known in (
        ("metric", metric, Metric),
        ("missing", missing, Missing),
        ("output", output, Output),
        ("channel_means", channel_means, Means),
        ("precision", precision, Precision),
    ):
        check_name(option, value, known)
    if not isinstance(min_overlap, numbers.Real) or not 0 < min_overlap <= 1:
        msg = f"`min_overlap` is {min_overlap!r}; it must be above 0 and at most 1"
        raise ValueError(msg)
    planes, sought = _channels("image", image, channel_axis), _channels("template", template, channel_axis)
    _check_pair(planes, sought, output)
    weights = _weights(mask, sought, channel_axis, channel_weights)
    planes, sought = _without_offset(planes, sought, metric)
    if metric == "nssd":
        planes, sought = _scaled_together(planes, sought)
    sought = [
        t if w.all() else np.where(w > 0, t, t.dtype.type(0)) for t, w in zip(sought, weights, strict=True)
    ]
    check_finite("template", sought)
    exists = _existing(planes, image_mask, missing)
    if metric == "orientation":
        reach = np.ones(planes[0].shape, bool) if exists is None and output != "valid" else exists
        planes, exists = _directions(planes, reach, border=output != "valid")
        sought, weights = _directions_of_template(sought, weights)
    if metric in NORMALISED:
        weights = _near_one(weights)
    total = float(sum(w.sum(dtype=np.float64) for w in weights))
    sides = sought[0].shape
    margins = {
        "valid": [(0, 0) for _ in sides],
        "same": [(n // 2, n - 1 - n // 2) for n in sides],
        "full": [(n - 1, n - 1) for n in sides],
    }[output]
    joint = channel_means == "joint" and len(planes) > 1
    search = Search(
        metric, planes, exists, sought, weights, margins, least=total * min_overlap * (1 - _ROUNDING),
        centred=metric in CENTRED, joint=joint and metric in CENTRED, differs=metric in ("ssd", "nssd"),
        scale_free=metric in BOUNDED,
        single=precision == "single", memory={} if memory is None else memory,
    )  # fmt: skip
    # A template made ready was checked then, but one of "nssd" is scaled with each image.
    if memory is None or metric == "nssd":
        _check_contrast(search, metric)
    return search


def _without_offset(
    image: list[Array], template: list[Array], metric: Metric
) -> tuple[list[Array], list[Array]]:
    """Take a common offset off integers that have more digits than float64, where scores do not change by it."""
    if metric in ("zncc", "zcc", "orientation"):
        return _about_least(image), _about_least(template)
    if metric != "ssd" or image[0].dtype.kind not in "iu" or template[0].dtype.kind not in "iu":
        return image, template
    both = _about_least([*image, *template])
    return both[: len(image)], both[len(image) :]


def _about_least(channels: list[Array]) -> list[Array]:
    """Subtract the least of all values from 64-bit integers that float64 could not hold; nothing wraps round."""
    if not all(c.dtype.kind in "iu" and c.dtype.itemsize == 8 for c in channels):
        return channels
    low, high = min(int(c.min()) for c in channels), max(int(c.max()) for c in channels)
    if max(-low, high) < 2**53 or high - low >= 2**63:
        return channels
    return [(c.astype(np.uint64) - np.uint64(low % 2**64)).astype(np.int64) for c in channels]


def _scaled_together(image: list[Array], template: list[Array]) -> tuple[list[Array], list[Array]]:
    """Multiply both by one power of two where squares would not fit; "nssd" does not change by it."""
    if image[0].dtype.kind != "f" and template[0].dtype.kind != "f":
        return image, template
    with np.errstate(invalid="ignore"):
        tops = [float(np.nanmax(np.abs(c), initial=0)) for c in (*image, *template)]
    exponent = int(np.frexp(max(tops))[1]) if np.isfinite(tops).all() else 0
    if abs(exponent) < 100:
        return image, template
    scaled = [np.ldexp(c, -exponent, dtype=np.float64) for c in (*image, *template)]
    return scaled[: len(image)], scaled[len(image) :]


def _channels(name: str, values: ArrayLike, channel_axis: int | None) -> list[Array]:
    """Check one array and take it apart into channels."""
    array = check_numbers(name, values, finite=False)
    axis = check_axis(name, array, channel_axis)
    if array.size == 0:
        msg = f"`{name}` is empty: shape {array.shape}; it must have at least one pixel"
        raise ValueError(msg)
    channels = [array] if axis is None else list(np.moveaxis(array, axis, 0))
    if channels[0].ndim == 0:
        msg = f"`{name}` has shape {array.shape}; it must have at least one axis besides that of channels"
        raise ValueError(msg)
    return channels


def _check_pair(image: list[Array], template: list[Array], output: Output) -> None:
    """Check what the image and the template must have in common."""
    outer, inner = image[0].shape, template[0].shape
    if len(outer) != len(inner):
        msg = (
            f"`template` has shape {inner} and `image` {outer}; they must have as many axes: make both grey, or both "
            "colour with channel_axis"
        )
        raise ValueError(msg)
    if len(image) != len(template):
        msg = f"`template` has {len(template)} channels and `image` has {len(image)}; they must be equal"
        raise ValueError(msg)
    too_long = [axis for axis, (n, k) in enumerate(zip(outer, inner, strict=True)) if k > n]
    if too_long and output == "valid":
        axes = ", ".join(map(str, too_long))
        msg = (
            f"`template` has shape {inner}, larger than `image` {outer} on axes {axes}; "
            "crop or shrink it, or swap the two if they are in the wrong order"
        )
        raise ValueError(msg)


def _check_contrast(search: Search, metric: Metric) -> None:
    """Refuse a template that has nothing the metric could compare."""
    counted = [t[w > 0] for t, w in zip(search.template, search.weights, strict=True) if w.any()]
    if metric == "zncc":
        if search.joint:
            counted = [np.concatenate(counted)]
        if all((t == t[0]).all() for t in counted):
            where = "" if all(w.all() for w in search.weights) else " where its mask counts"
            msg = f"`template` is constant{where}: every window would fit as well; use one with some contrast"
            raise ValueError(msg)
    elif metric in NORMALISED and not any(t.any() for t in counted):
        what = "no gradient" if metric == "orientation" else "no pixel that is not 0"
        msg = f'`template` has {what} where its mask counts, and "{metric}" compares nothing else; use another one'
        raise ValueError(msg)


def _weights(
    mask: ArrayLike | None,
    template: list[Array],
    channel_axis: int | None,
    channel_weights: Sequence[float] | None,
) -> list[Array]:
    """Give the weights of the template's pixels for each channel: bools, if all are 0 or 1."""
    count, shape = len(template), template[0].shape
    weights = [np.ones(shape, bool)] * count
    if mask is not None:
        array = check_numbers("mask", mask)
        if array.shape == shape:
            weights = [_as_bool(array)] * count
        elif channel_axis is not None and array.shape == _with_channels(shape, channel_axis, count):
            array = np.moveaxis(_as_bool(array), channel_axis, 0)
            weights = [array[0]] * count if (array == array[:1]).all() else list(array)
        else:
            msg = f"`mask` has shape {array.shape}; it must have the template's: {shape}, with or without channels"
            raise ValueError(msg)
        if array.min() < 0 or not array.any():
            msg = "`mask` has negative weights, or none above 0; it must say how much each pixel counts"
            raise ValueError(msg)
    if channel_weights is None:
        return weights
    factors = check_numbers("channel_weights", channel_weights)
    if channel_axis is None or factors.shape != (count,) or factors.min() < 0 or not factors.any():
        msg = (
            f"`channel_weights` is {channel_weights}; with channel_axis it must be {count} numbers, one for each "
            "channel, none below 0 and one above"
        )
        raise ValueError(msg)
    return weights if (factors == 1).all() else [w * float(f) for w, f in zip(weights, factors, strict=True)]


def _with_channels(shape: tuple[int, ...], channel_axis: int, count: int) -> tuple[int, ...]:
    axis = channel_axis % (len(shape) + 1)
    return (*shape[:axis], count, *shape[axis:])


def _near_one(weights: list[Array]) -> list[Array]:
    """Bring weights near 1 if they are far from it; normalised scores do not change."""
    exponent = int(np.frexp(max(float(w.max()) for w in weights))[1])
    if abs(exponent) < 30:
        return weights
    near = {id(w): np.ldexp(w.astype(np.float64), -exponent) for w in weights}
    return [near[id(w)] for w in weights]


def _as_bool(weights: Array) -> Array:
    return weights.astype(bool) if ((weights == 0) | (weights == 1)).all() else weights.astype(np.float64)


def _existing(image: list[Array], image_mask: ArrayLike | None, missing: Missing) -> Array | None:
    """Tell which pixels of the image there are, None for all."""
    exists: Array | None = None
    if image_mask is not None:
        exists = check_numbers("image_mask", image_mask, "b")
        if exists.shape != image[0].shape:
            msg = f"`image_mask` has shape {exists.shape}; it must have the image's without channels: {image[0].shape}"
            raise ValueError(msg)
    if missing == "ignore" and image[0].dtype.kind == "f":
        gone = np.isnan(image[0])
        for channel in image[1:]:
            gone |= np.isnan(channel)
        if gone.any():
            exists = ~gone if exists is None else exists & ~gone
    return None if exists is None or exists.all() else exists


# --- orientation: directions instead of values ----------------------------------------------------


def _directions(
    image: list[Array], exists: Array | None, *, border: bool
) -> tuple[list[Array], Array | None]:
    """Give for each channel the parts, along the axes, of unit vectors along its gradient, and where there are any."""
    if exists is not None:
        image = [np.where(exists, channel, channel.dtype.type(0)) for channel in image]
    check_finite("image", image)
    directions = [part for channel in image for part in _unit_gradient(channel)]
    if exists is None and not border:
        return directions, None  # windows' rims do not count, so the image's rim does not matter
    there = np.ones(image[0].shape, bool) if exists is None else exists
    return directions, _surrounded(there)


def _directions_of_template(template: list[Array], weights: list[Array]) -> tuple[list[Array], list[Array]]:
    """Do the same for a template, whose pixels without a gradient have no weight."""
    directions = [part for channel in template for part in _unit_gradient(channel)]
    inner = {id(w): np.where(_surrounded(w > 0), w, w.dtype.type(0)) for w in weights}
    if not any(w.any() for w in inner.values()):
        msg = (
            f"`template` of shape {template[0].shape} has no pixel whose neighbours count too, and so no gradient "
            'for metric="orientation"; use a larger one'
        )
        raise ValueError(msg)
    return directions, [inner[id(w)] for w in weights for _ in range(template[0].ndim)]


def _unit_gradient(channel: Array) -> list[Array]:
    """Central differences along each axis over their common length; 0 where all are 0 or on the rim."""
    values = channel.astype(np.result_type(channel.dtype, np.float64), copy=False)
    parts = []
    for axis, n in enumerate(values.shape):
        part = np.zeros(values.shape, values.dtype)
        inside = [slice(None)] * values.ndim
        later, before = list(inside), list(inside)
        inside[axis], later[axis], before[axis] = slice(1, -1), slice(2, None), slice(None, -2)
        if n > 2:
            part[tuple(inside)] = values[tuple(later)] / 2 - values[tuple(before)] / 2
        parts.append(part)
    largest = np.maximum.reduce([np.abs(part) for part in parts])
    largest[largest == 0] = 1
    parts = [part / largest for part in parts]  # so that no square is too small or too large
    length = np.sqrt(sum(part * part for part in parts))
    length[length == 0] = 1
    return [(part / length).astype(np.float64) for part in parts]


def _surrounded(exists: Array) -> Array:
    """Tell which pixels exist with both their neighbours on every axis."""
    padded = np.pad(exists, 1)
    inside = exists.copy()
    for axis in range(exists.ndim):
        for start in (0, 2):
            cut = [slice(1, -1)] * exists.ndim
            cut[axis] = slice(start, start + exists.shape[axis])
            inside &= padded[tuple(cut)]
    return inside
