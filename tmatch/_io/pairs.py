"""Read an image and templates to search in it: in colour or grey, with masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from tmatch._io.images import read_image, read_pixels, to_gray
from tmatch._io.limits import Pixels

Alpha = Literal["opaque", "weights", "black", "ignore"]


@dataclass(frozen=True)
class Pair:
    """An image and templates made alike, in colour or in grey, with their masks; label by label."""

    image: Pixels
    image_mask: Pixels | None
    templates: dict[str, Pixels]
    masks: dict[str, Pixels]
    channel_axis: int | None


def read_search_image(path: Path, alpha: Alpha = "opaque") -> tuple[Pixels, Pixels | None]:
    """Read a picture to search, and which of its pixels there are: those at least half opaque. None for all."""
    pixels, transparency = read_pixels(path)
    if alpha == "ignore" or transparency is None:
        return pixels, None
    there = np.asarray(
        transparency >= (np.iinfo(transparency.dtype).max / 2 if transparency.dtype.kind in "iu" else 0.5)
    )
    if not there.any():
        msg = f'"{path}" is transparent all over; let its colours count with --alpha ignore'
        raise ValueError(msg)
    return pixels, None if there.all() else there


def read_pair(
    picture: tuple[Pixels, Pixels | None],
    template_paths: Sequence[Path],
    *,
    gray: bool,
    alpha: Alpha = "opaque",
    mask: Path | None = None,
    image_mask: Path | None = None,
) -> Pair:
    """Read the templates for a picture: all in colour if all of them have it (and `gray` is off), else in grey.

    Labels are file names without ending; whole paths if two are alike. Masks come from files, or from alpha.
    """
    stems = [path.stem for path in template_paths]
    labels = stems if len(set(stems)) == len(stems) else [str(path) for path in template_paths]
    if len(set(labels)) < len(labels):
        msg = "the same template is given twice; name each one once"
        raise ValueError(msg)
    if mask and len(labels) > 1:
        msg = f"--mask is for one template, but {len(labels)} are given; search for them one by one"
        raise ValueError(msg)
    image, opaque = picture
    if image_mask:
        there = _read_mask(image_mask, image.shape[:2], "the image") > 0
        opaque = there if opaque is None else opaque & there
    templates, masks = {}, {}
    for label, path in zip(labels, template_paths, strict=True):
        templates[label], transparency = read_pixels(path)
        weights = _mask_of(path, templates[label], transparency, alpha)
        if mask:
            own = 1 if weights is None else weights
            weights = own * _read_mask(mask, templates[label].shape[:2], "the template")
            if not weights.any():
                msg = f'the mask "{mask}" is black wherever "{path}" has pixels that count; white is what counts'
                raise ValueError(msg)
        if weights is not None:
            masks[label] = weights
    image, *others = _of_one_depth([image, *templates.values()])
    templates = dict(zip(templates, others, strict=True))
    if not gray and all(a.ndim == 3 for a in (image, *templates.values())):
        return Pair(image, opaque, templates, masks, 2)
    return Pair(to_gray(image), opaque, {label: to_gray(t) for label, t in templates.items()}, masks, None)


def _of_one_depth(pictures: list[Pixels]) -> list[Pixels]:
    """Bring pictures of 8 bits to 16 if there is one of 16 among them: white stays white."""
    if {p.dtype.name for p in pictures} != {"uint8", "uint16"}:
        return pictures
    return [p.astype(np.uint16) * np.uint16(257) if p.dtype == np.uint8 else p for p in pictures]


def _opaque(alpha: Pixels) -> Pixels:
    return np.asarray(alpha == (np.iinfo(alpha.dtype).max if alpha.dtype.kind in "iu" else 1))


def _mask_of(path: Path, pixels: Pixels, transparency: Pixels | None, alpha: Alpha) -> Pixels | None:
    """Give the weights that a template brings with it."""
    weights: Pixels
    if alpha == "black":
        weights = np.asarray(pixels > 0 if pixels.ndim == 2 else (pixels > 0).any(axis=2))
    elif alpha == "ignore" or transparency is None or _opaque(transparency).all():
        return None
    elif alpha == "weights":
        weights = (
            transparency / np.iinfo(transparency.dtype).max
            if transparency.dtype.kind in "iu"
            else transparency
        )
    else:
        weights = _opaque(transparency)
    if not weights.any():
        what = {"black": "is black all over", "weights": "is transparent all over"}.get(
            alpha, "has no opaque pixel"
        )
        other = {"opaque": "--alpha weights", "weights": "--alpha ignore", "black": "--alpha opaque"}[alpha]
        msg = f'"{path}" {what}, so nothing of it would count; try {other}'
        raise ValueError(msg)
    return weights


def _read_mask(path: Path, shape: tuple[int, ...], whose: str) -> Pixels:
    """Read a mask from a picture: its grey levels, 0 to 1."""
    pixels = to_gray(read_image(path))
    if pixels.shape != shape:
        msg = f'the mask "{path}" is {_size(pixels.shape)}, but {whose} is {_size(shape)}; they must be of one size'
        raise ValueError(msg)
    return np.asarray(pixels / pixels.max()) if pixels.any() else pixels.astype(float)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]} pixels"
