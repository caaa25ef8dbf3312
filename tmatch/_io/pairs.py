"""Read an image and the templates to search in it: in colour or grey, with masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._io.decoders import FindPart
from tmatch._io.images import read_part, read_pixels, refuse_transparency, to_gray
from tmatch._io.tiff_parts import Part

Alpha = Literal["opaque", "weights", "black", "ignore"]


@dataclass(frozen=True)
class SearchImage:
    """The part of an image that is searched, and what was read around it to show."""

    pixels: Array
    valid: Array | None
    part: Part
    shape: tuple[int, int]  # of the whole image
    shown: Array
    shown_part: Part


@dataclass(frozen=True)
class Pair:
    """What is searched and templates by label, all in colour or all in grey, with their masks."""

    image: Array
    image_mask: Array | None
    templates: dict[str, Array]
    masks: dict[str, Array]
    channel_axis: int | None


def read_search_image(path: Path, alpha: Alpha = "opaque", find_part: FindPart | None = None) -> SearchImage:
    """Read an image to search, or the part of it that `find_part` names.

    Valid are the pixels that are at least half opaque; None: all are.
    """
    read = read_part(path, find_part)
    part = read.part if find_part is None else find_part(read.shape)
    here = _within(part, read.part)
    valid = None
    if alpha != "ignore" and read.alpha is not None:
        opaque = _opacity(read.alpha) >= 0.5
        if not opaque.any():
            msg = f'"{path}" is transparent all over; let its colours count with --alpha ignore'
            raise ValueError(msg)
        valid = None if opaque.all() else opaque[here]
    return SearchImage(read.colours[here], valid, part, read.shape, read.colours, read.part)


def _within(part: Part, whole: Part) -> Part:
    """Count a part of an image from the corner of another part."""
    rows, columns = (slice(p.start - w.start, p.stop - w.start) for p, w in zip(part, whole, strict=True))
    return rows, columns


def read_pair(
    search_image: SearchImage,
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
    image, valid, part = search_image.pixels, search_image.valid, search_image.part
    if image_mask:
        white = _read_mask(image_mask, search_image.shape, "the image", part) > 0
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


def _read_mask(path: Path, shape: tuple[int, ...], whose: str, part: Part | None = None) -> Array:
    """Read a mask, or the part of it that masks a part of an image: its grey levels, 0 to 1."""
    find_part = None if part is None else lambda _: part
    read = read_part(path, find_part)
    if read.shape != shape:
        msg = f'the mask "{path}" is {_size(read.shape)}, but {whose} is {_size(shape)}; they must be equal'
        raise ValueError(msg)
    refuse_transparency(path, read.alpha)
    pixels = to_gray(read.colours if part is None else read.colours[_within(part, read.part)])
    return np.asarray(pixels / pixels.max()) if pixels.any() else pixels.astype(float)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]} pixels"
