"""Read an image and the templates to search in it: in colour or grey, with masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._io.images import read_image, read_pixels, to_gray

Alpha = Literal["opaque", "weights", "black", "ignore"]


@dataclass(frozen=True)
class Pair:
    """An image and templates, all in colour or all in grey, with their masks; templates by label."""

    image: Array
    image_mask: Array | None
    templates: dict[str, Array]
    masks: dict[str, Array]
    channel_axis: int | None


def read_search_image(path: Path, alpha: Alpha = "opaque") -> tuple[Array, Array | None]:
    """Read an image to search, and a mask of its valid pixels: those at least half opaque. None: all are valid."""
    pixels, transparency = read_pixels(path)
    if alpha == "ignore" or transparency is None:
        return pixels, None
    valid = _opacity(transparency) >= 0.5
    if not valid.any():
        msg = f'"{path}" is transparent all over; let its colours count with --alpha ignore'
        raise ValueError(msg)
    return pixels, None if valid.all() else valid


def read_pair(
    search_image: tuple[Array, Array | None],
    template_paths: Sequence[Path],
    *,
    gray: bool,
    alpha: Alpha = "opaque",
    mask: Path | None = None,
    image_mask: Path | None = None,
) -> Pair:
    """Read the templates for an image: all in colour if all of them have it (and `gray` is off), else in grey.

    Labels are file names without ending; whole paths if two are equal. Masks come from files, or from alpha.
    """
    labels = _labels_of(template_paths)
    if mask and len(labels) > 1:
        msg = f"--mask is for one template, but {len(labels)} are given; search for them one by one"
        raise ValueError(msg)
    image, valid = search_image
    if image_mask:
        white = _read_mask(image_mask, image.shape[:2], "the image") > 0
        valid = white if valid is None else valid & white
    templates, masks = {}, {}
    for label, path in zip(labels, template_paths, strict=True):
        templates[label], weights = _read_template(path, alpha, mask)
        if weights is not None:
            masks[label] = weights
    image, *others = _with_equal_depth([image, *templates.values()])
    templates = dict(zip(templates, others, strict=True))
    if not gray and all(a.ndim == 3 for a in (image, *templates.values())):
        return Pair(image, valid, templates, masks, 2)
    return Pair(to_gray(image), valid, {label: to_gray(t) for label, t in templates.items()}, masks, None)


def _labels_of(paths: Sequence[Path]) -> list[str]:
    stems = [path.stem for path in paths]
    labels = stems if len(set(stems)) == len(stems) else [str(path) for path in paths]
    if len(set(labels)) < len(labels):
        msg = "the same template is given twice; name each one once"
        raise ValueError(msg)
    return labels


def _read_template(path: Path, alpha: Alpha, mask: Path | None) -> tuple[Array, Array | None]:
    """Read a template and the weights of its pixels: from its alpha, times those of a mask file."""
    pixels, transparency = read_pixels(path)
    weights = _weights_of(path, pixels, transparency, alpha)
    if mask is None:
        return pixels, weights
    product = (1 if weights is None else weights) * _read_mask(mask, pixels.shape[:2], "the template")
    if not product.any():
        msg = f'the mask "{mask}" is black wherever "{path}" has pixels that count; white is what counts'
        raise ValueError(msg)
    return pixels, product


def _with_equal_depth(images: list[Array]) -> list[Array]:
    """Convert images of 8 bits to 16 if there is one of 16 among them: white stays white."""
    if {image.dtype.name for image in images} != {"uint8", "uint16"}:
        return images
    return [p.astype(np.uint16) * np.uint16(257) if p.dtype == np.uint8 else p for p in images]


def _opacity(alpha: Array) -> Array:
    """Return alpha from 0 to 1."""
    return alpha / np.iinfo(alpha.dtype).max if alpha.dtype.kind in "iu" else alpha


def _weights_of(path: Path, pixels: Array, transparency: Array | None, alpha: Alpha) -> Array | None:
    """Return the weights that a template brings with it; None if all its pixels count."""
    if alpha == "black":
        weights = np.asarray(pixels > 0 if pixels.ndim == 2 else (pixels > 0).any(axis=2))
    elif alpha == "ignore" or transparency is None or (_opacity(transparency) == 1).all():
        return None
    else:
        opacity = _opacity(transparency)
        weights = opacity if alpha == "weights" else opacity == 1
    if not weights.any():
        what = {"black": "is black all over", "weights": "is transparent all over"}.get(
            alpha, "has no opaque pixel"
        )
        other = {"opaque": "--alpha weights", "weights": "--alpha ignore", "black": "--alpha opaque"}[alpha]
        msg = f'"{path}" {what}, so nothing of it would count; try {other}'
        raise ValueError(msg)
    return weights


def _read_mask(path: Path, shape: tuple[int, ...], whose: str) -> Array:
    """Read a mask from an image: its grey levels, 0 to 1."""
    pixels = to_gray(read_image(path))
    if pixels.shape != shape:
        msg = f'the mask "{path}" is {_size(pixels.shape)}, but {whose} is {_size(shape)}; they must be equal'
        raise ValueError(msg)
    return np.asarray(pixels / pixels.max()) if pixels.any() else pixels.astype(float)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]} pixels"
