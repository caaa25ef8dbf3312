"""The image's channels and valid pixels, and what image and template must have in common."""

import numpy as np
from numpy.typing import ArrayLike

from tmatch._arrays.options import Metric, Missing, Output
from tmatch._arrays.typing import Array
from tmatch._arrays.validation import check_numbers


def subtract_common_offset(
    image: list[Array], template: list[Array], metric: Metric
) -> tuple[list[Array], list[Array]]:
    """Take a common offset off integers that have more digits than float64, where scores do not change by it."""
    if metric in ("zncc", "zcc", "orientation"):
        return _subtract_minimum(image), _subtract_minimum(template)
    if metric != "ssd" or image[0].dtype.kind not in "iu" or template[0].dtype.kind not in "iu":
        return image, template
    both = _subtract_minimum([*image, *template])
    return both[: len(image)], both[len(image) :]


def _subtract_minimum(channels: list[Array]) -> list[Array]:
    """Subtract the least of all values from 64-bit integers that float64 could not hold; nothing wraps round."""
    if not all(c.dtype.kind in "iu" and c.dtype.itemsize == 8 for c in channels):
        return channels
    low, high = min(int(c.min()) for c in channels), max(int(c.max()) for c in channels)
    if max(-low, high) < 2**53 or high - low >= 2**63:
        return channels
    return [(c.astype(np.uint64) - np.uint64(low % 2**64)).astype(np.int64) for c in channels]


def scale_together(image: list[Array], template: list[Array]) -> tuple[list[Array], list[Array]]:
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


def check_pair(image: list[Array], template: list[Array], output: Output) -> None:
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


def valid_pixels(image: list[Array], image_mask: ArrayLike | None, missing: Missing) -> Array | None:
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
