"""Read an image and the templates to search in it: in colour or grey, with masks."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tmatch._arrays.channels import split_channels
from tmatch._arrays.geometry import within
from tmatch._arrays.lazy import all_in, any_in, computed, is_lazy
from tmatch._arrays.typing import Array
from tmatch._io.decoders import FindPart, Part
from tmatch._io.given import VALID_OPACITY, file_labels
from tmatch._io.images import (
    held,
    opacity,
    opaque_pixels,
    read_part,
    read_pixels,
    refuse_transparency,
    to_gray,
    weights_in,
)
from tmatch._io.sources import Source

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
    """What is searched and templates, all in colour or all in grey and of equal depth, with their masks.

    `kind` says how templates were converted for the image: for images of one kind they are the same.
    """

    image: Array
    image_mask: Array | None
    labels: Sequence[str]
    arrays: Sequence[Array]
    weights: Sequence[Array | None]
    channel_axis: int | None
    kind: tuple[bool, bool] = (False, False)

    @property
    def only(self) -> tuple[Array, Array | None]:
        """The only template and its mask."""
        [array], [weights] = self.arrays, self.weights
        return array, weights

    @property
    def templates(self) -> dict[str, Array | list[Array]]:
        """The templates by label: lists of labels that several have."""
        return {label: own if len(own) > 1 else own[0] for label, own in self._by_label(self.arrays).items()}

    @property
    def masks(self) -> dict[str, Array | list[Array]]:
        """The masks by label, of labels that have any."""
        masks: dict[str, Array | list[Array]] = {}
        arrays = self._by_label(self.arrays)
        for label, own in self._by_label(self.weights).items():
            if any(weights is not None for weights in own):
                pairs = zip(arrays[label], own, strict=True)
                full = [np.ones(a.shape[:2], bool) if w is None else w for a, w in pairs]
                masks[label] = full if len(full) > 1 else full[0]
        return masks

    def _by_label(self, values: Sequence[Any]) -> dict[str, list[Any]]:
        gathered: dict[str, list[Any]] = {}
        for label, value in zip(self.labels, values, strict=True):
            gathered.setdefault(label, []).append(value)
        return gathered


@dataclass(frozen=True)
class Templates:
    """Templates as they were read, in the order of their files; several may have one label."""

    labels: Sequence[str]
    paths: Sequence[Path]
    arrays: Sequence[Array]
    weights: Sequence[Array | None]

    def pair_with(self, searched: SearchImage, *, gray: bool, image_mask: Path | None = None) -> Pair:
        """Pair the templates with an image: all in colour if all of them have it (and `gray` is off), else in grey."""
        image, valid = searched.pixels, searched.valid
        if image_mask:
            mask = _read_mask(image_mask, searched.shape, "the image", searched.part)
            mask = mask if is_lazy(image) else held(mask, str(image_mask))
            white = computed(_above_black, bool, mask)
            valid = white if valid is None else computed(np.logical_and, bool, valid, white)
        image, *arrays = _with_equal_depth([image, *self.arrays])
        gray = gray or any(array.ndim == 2 for array in (image, *arrays))
        kind = (gray, any(a is not b for a, b in zip(arrays, self.arrays, strict=True)))
        if gray:
            image, arrays = to_gray(image), [to_gray(array) for array in arrays]
        return Pair(image, valid, self.labels, arrays, self.weights, None if gray else 2, kind)

    def pair_alone(self, *, gray: bool) -> Pair:
        """Pair the templates as with an image of their own kind."""
        pixels = self.arrays[0]
        shape, part = pixels.shape[:2], (slice(0, pixels.shape[0]), slice(0, pixels.shape[1]))
        return self.pair_with(SearchImage(pixels, None, part, shape, pixels, part), gray=gray)


def read_search_image(
    path: Path, alpha: Alpha = "opaque", find_part: FindPart | None = None, nodata: float | None = None
) -> SearchImage:
    """Read an image to search, or the part of it that `find_part` names, see `search_image`."""
    return search_image(file_source(path), alpha, find_part, nodata)


def file_source(path: Path) -> Source:
    """Return the first image of a file as a source."""
    return Source(str(path), functools.partial(read_part, path))


def search_image(
    source: Source,
    alpha: Alpha = "opaque",
    find_part: FindPart | None = None,
    nodata: float | None = None,
    *,
    in_parts: bool = False,
) -> SearchImage:
    """Read an image to search, or the part of it that `find_part` names; a large one later, if it may be `in_parts`.

    Valid are the pixels that are at least half opaque, and in which a channel is not `nodata`; None: all are.
    """
    read = source.read(find_part)
    part = read.part if find_part is None else find_part(read.shape)
    here = _within(part, read.part)
    colours, opacities = read.colours, read.alpha
    if not in_parts:
        colours, opacities = (
            held(colours, source.title),
            opacities if opacities is None else held(opacities, ""),
        )
    valid = None
    if alpha != "ignore" and opacities is not None:
        opaque = opaque_pixels(opacities, VALID_OPACITY)
        if opaque is not None and not any_in(opaque):
            msg = f'"{source.title}" is transparent all over; let its colours count with --alpha ignore'
            raise ValueError(msg)
        valid = None if opaque is None else _cut(opaque, here)
    pixels = _cut(colours, here)
    if nodata is not None:
        known = computed(functools.partial(_any_known, nodata=nodata), bool, *_channels(pixels))
        if not any_in(known):
            msg = f'"{source.title}" has no other value than the --nodata of {nodata:g}, so there is nothing to search'
            raise ValueError(msg)
        valid = known if valid is None else computed(np.logical_and, bool, valid, known)
        valid = None if all_in(valid) else valid
    return SearchImage(pixels, valid, part, read.shape, colours, read.part)


def _cut(array: Array, here: Part) -> Array:
    """Return a part of an array; of one that is read later, which is no more than that, the array itself."""
    return array if is_lazy(array) else array[here]


def _channels(pixels: Array) -> list[Array]:
    return split_channels(pixels, None if pixels.ndim == 2 else 2)


def _any_known(*channels: Array, nodata: float) -> Array:
    """Find the pixels of which a channel is not `nodata`."""
    known = [c == c if math.isnan(nodata) else c != nodata for c in channels]  # noqa: PLR0124  (NaN is not itself)
    return np.asarray(np.logical_or.reduce(known))


def _above_black(mask: Array) -> Array:
    return np.asarray(mask > 0)


def _within(part: Part, whole: Part) -> Part:
    """Count a part of an image from the corner of another part."""
    rows, columns = within(part, whole)
    return rows, columns


def read_pair(
    searched: SearchImage,
    template_paths: Sequence[Path],
    *,
    gray: bool,
    alpha: Alpha = "opaque",
    mask: Path | None = None,
    image_mask: Path | None = None,
) -> Pair:
    """Read the templates for an image, under their labels; masks come from files, or from alpha."""
    templates = read_templates([(None, path) for path in template_paths], alpha=alpha, mask=mask)
    return templates.pair_with(searched, gray=gray, image_mask=image_mask)


def read_templates(
    named: Sequence[tuple[str | None, Path]], *, alpha: Alpha = "opaque", mask: Path | None = None
) -> Templates:
    """Read templates; without a label, one has its file's name without ending, or its path if two names are equal."""
    paths = [path for _, path in named]
    if mask and len(paths) > 1:
        msg = f"--mask is for one template, but {len(paths)} are given; search for them one by one"
        raise ValueError(msg)
    if len(set(named)) < len(named):
        msg = "the same template is given twice; name each one once"
        raise ValueError(msg)
    read = [_read_template(path, alpha, mask) for path in paths]
    return Templates(_labels_of(named), paths, [array for array, _ in read], [weights for _, weights in read])


def _labels_of(named: Sequence[tuple[str | None, Path]]) -> list[str]:
    given = {label for label, _ in named if label is not None}
    others = iter(file_labels([path for label, path in named if label is None], given))
    return [next(others) if label is None else label for label, _ in named]


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
    return [computed(_deepened, np.uint16, p) if p.dtype == np.uint8 else p for p in images]


def _deepened(pixels: Array) -> Array:
    return pixels.astype(np.uint16) * np.uint16(257)


def _weights_of(path: Path, pixels: Array, transparency: Array | None, alpha: Alpha) -> Array | None:
    """Return the weights that a template brings with it; None if all its pixels count."""
    if alpha == "black":
        weights = np.asarray(pixels > 0 if pixels.ndim == 2 else (pixels > 0).any(axis=2))
    else:
        opaque = None if alpha == "ignore" or transparency is None else opaque_pixels(transparency, 1)
        if transparency is None or opaque is None:
            return None
        weights = opacity(transparency) if alpha == "weights" else opaque
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
    return weights_in(read.colours if part is None else _cut(read.colours, _within(part, read.part)))


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]} pixels"
