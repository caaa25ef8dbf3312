"""Searches and filters of small images that use all compiled code once."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tmatch._arrays.options import Metric, Output, Precision, Prefilter
from tmatch._engine import select
from tmatch._engine.progress import Progress, ProgressCallback
from tmatch._filtering.filters import correlate
from tmatch._poses.options import SearchName
from tmatch._scoring.maps import match_template
from tmatch._search.locate import locate
from tmatch._search.matcher import Matcher

DTYPES = ("uint8", "bool", "int8", "int16", "uint16", "int32", "float32", "float64")
_METRICS: tuple[Metric, ...] = ("zncc", "ncc", "ssd", "orientation")
_PRECISIONS: tuple[Precision, ...] = ("double", "single")
_OUTPUTS: tuple[Output, ...] = ("same", "valid")
_STRIDES: tuple[int | tuple[int, int], ...] = (1, (1, 2))
_SEARCHES: tuple[SearchName, ...] = ("auto", "exhaustive", "certified")
_PREFILTERS: tuple[Prefilter, ...] = ("none", "whiten")
_LARGE = np.s_[7:31, 9:40]


def warm_up(
    dtypes: DTypeLike | Sequence[DTypeLike] | None = None, /, *, progress: ProgressCallback | None = None
) -> bool:
    """Load the compiled engine, and compile all that searches and filters use, so that the next call is fast.

    Code that an earlier process compiled is loaded from disk, which takes a second or two for one dtype. Otherwise it
    is compiled, which takes a minute or two, and kept, if a folder can be written.

    Parameters
    ----------
    dtypes : dtype, sequence of dtypes or None
        The dtypes of the images that will be searched and filtered, each of bool, integers or real floats. None: all
        that have code of their own.
    progress : callable or None
        Called with the share of the work done so far, a float in (0, 1].

    Returns
    -------
    bool
        Whether compiled code is used from now on. False if numba is not installed, or TMATCH_ENGINE is numpy in the
        environment: then nothing was done, and NumPy and SciPy do all work.

    Raises
    ------
    TypeError
        If a dtype is not one of bool, integers or real floats.
    ImportError
        If TMATCH_ENGINE is numba, which cannot be loaded.

    Notes
    -----
    Without it, a process loads compiled code once it has done as much work as loading costs, about half a second of
    work. Processes that are forked later share what was loaded. docs/how-to/services.md tells how to put compiled code
    into a container image.

    Examples
    --------
    >>> import tmatch
    >>> fast = tmatch.warm_up("uint8")
    """
    each = Progress.of(progress)
    parts = parts_of(dtypes)
    if not select.load():
        return False
    each.expect(len(parts))
    for part in parts:
        part()
        each.advance()
    return True


def parts_of(dtypes: DTypeLike | Sequence[DTypeLike] | None = None) -> list[Callable[[], None]]:
    """Return functions that together use all compiled code for images of some dtypes; None for all."""
    named: Sequence[Any] = dtypes if isinstance(dtypes, (list, tuple)) else [dtypes]
    checked = [_check_dtype(dtype) for dtype in (DTYPES if dtypes is None else named)]
    # Whole numbers are searched as integers.
    if any(dtype.kind == "f" or dtype.itemsize > 2 for dtype in checked):
        checked += [dtype for dtype in (np.dtype("uint8"), np.dtype("uint16")) if dtype not in checked]
    kinds = (
        _filter, _search, _search_several, _search_large, _score_by_metrics, _score_what_is_there, _search_poses,
    )  # fmt: skip
    return [functools.partial(use, dtype) for dtype in checked for use in kinds]


def _check_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    try:
        checked = np.dtype(dtype)
    except TypeError:
        checked = None
    if checked is None or checked.kind not in "biuf":
        msg = f'`dtypes` has {dtype}, which is no dtype of images; name those of bool, integers or floats, as "uint8"'
        raise TypeError(msg)
    return checked


def _draw(shape: tuple[int, ...], dtype: np.dtype[Any], seed: int = 0) -> NDArray[Any]:
    values = np.random.default_rng(seed).integers(0, 2 if dtype.kind == "b" else 128, shape)
    # Floats that are whole numbers would be searched as integers.
    return (values + 0.25 if dtype.kind == "f" else values).astype(dtype)


def _images(dtype: np.dtype[Any]) -> list[tuple[NDArray[Any], int | None]]:
    """Draw images with two copies of a part, in all layouts that code differs for, with the axis of their channels."""
    colour = _draw((60, 70, 3), dtype)
    colour[35:59, 39:70] = colour[_LARGE]
    grey = np.ascontiguousarray(colour[..., 0])
    return [(grey, None), (colour, 2), (colour[..., 0], None), (np.asfortranarray(grey), None)]


def _search(dtype: np.dtype[Any]) -> None:
    """Search for what is there and what is not, by both ways of small templates, and by masks."""
    disc = np.hypot(*np.mgrid[-12:12, -15:16]) < 12
    odd = np.indices(disc.shape).sum(axis=0) % 2 == 1
    for image, axis in _images(dtype):
        large = image[_LARGE]
        for template in (image[7:12, 9:15], large, large.swapaxes(0, 1)):
            locate(image, template, threshold=0.9, channel_axis=axis)
            for part in (template, template[::-1]):
                for how in _PREFILTERS:
                    locate(image, part, prefilter=how, channel_axis=axis)
            for precision in _PRECISIONS:
                match_template(image, template, precision=precision, channel_axis=axis)
        for mask, precision in itertools.product([disc, odd], _PRECISIONS):
            match_template(image, large, mask=mask, precision=precision, channel_axis=axis)
        locate(image, large, masks=disc, channel_axis=axis)


def _search_several(dtype: np.dtype[Any]) -> None:
    """Search for several templates at a time, and in two and four channels, which are few."""
    for image, axis in _images(dtype)[:2]:
        several = Matcher({"a": image[_LARGE], "b": image[_LARGE][::-1]}, channel_axis=axis)
        several.score(image)
        several.locate(image, threshold=0.9)
    for channels in (2, 4):
        image = _draw((60, 70, channels), dtype)
        for template in (image[7:12, 9:15], image[_LARGE]):
            match_template(image, template, channel_axis=2)


def _search_large(dtype: np.dtype[Any]) -> None:
    """Search for a template whose sums need wider integers, and in an image of several tiles."""
    image = _draw((120, 200), dtype)
    template = image[20:80, 10:130]
    for precision, mask in itertools.product(_PRECISIONS, [None, np.indices(template.shape).sum(axis=0) % 2]):
        match_template(image, template, mask=mask, precision=precision)
    locate(image, template, threshold=0.9)
    several_tiles = _draw((400, 900, 3), dtype)
    locate(several_tiles, several_tiles[20:80, 10:130], threshold=0.9, channel_axis=2)
    grey = np.ascontiguousarray(several_tiles[..., 0])
    locate(grey, grey[_LARGE])


def _score_by_metrics(dtype: np.dtype[Any]) -> None:
    """Score by the sums of all metrics, with soft masks and without."""
    for image, axis in _images(dtype)[:2]:
        for template, soft in itertools.product([image[3:9, 4:11], image[3:27, 4:31]], [False, True]):
            mask = 0.5 + np.eye(*template.shape[:2]) if soft else None
            for metric, precision in itertools.product(_METRICS, _PRECISIONS):
                match_template(
                    image, template, metric=metric, mask=mask, precision=precision, channel_axis=axis
                )


def _score_what_is_there(dtype: np.dtype[Any]) -> None:
    """Score where pixels are missing, few and many, where they hide all of a template, and at the border."""
    few = np.ones((60, 70), bool)
    few[2:20, 4:20] = False
    many = np.indices(few.shape).sum(axis=0) % 3 > 0
    many[2:40, 4:60] = False
    for image, axis in _images(dtype)[:2]:
        flat = image.copy()
        flat[:30] = flat[0, 0]
        for valid, precision in itertools.product([few, many], _PRECISIONS):
            for template in (image[_LARGE], np.where(np.indices((9, 9))[0] < 5, 1, image[3:12, 3:12].T).T):
                match_template(
                    flat, template, image_mask=valid, min_overlap=0.01, precision=precision, output="full",
                    channel_axis=axis,
                )  # fmt: skip


def _filter(dtype: np.dtype[Any]) -> None:
    """Filter by taps, axis after axis, and by transforms, images of several layouts."""
    rng = np.random.default_rng(0)
    line = rng.normal(size=9)
    kernels = [rng.normal(size=(3, 4)), np.outer(line, line[:8]), rng.normal(size=(21, 20)), np.ones((9, 8))]
    colour = _draw((40, 50, 3), dtype)
    grey = colour[..., 0]
    for kernel in kernels:
        for result, fill in itertools.product([None, "f4", "f8"], [0, 3]):
            correlate(np.ascontiguousarray(grey), kernel, dtype=result, fill_value=fill)
        for image, axis in [(colour, 2), (grey, None), (np.asfortranarray(grey), None)]:
            for output, stride in itertools.product(_OUTPUTS, _STRIDES):
                correlate(image, kernel, output=output, stride=stride, channel_axis=axis)


def _search_poses(dtype: np.dtype[Any]) -> None:
    """Search in many poses, in grey and colour, at levels and at full size."""
    image = _draw((80, 90, 3), dtype)
    image[20:60, 20:60] = np.kron(_draw((5, 5, 3), dtype, 1), np.ones((8, 8, 1), dtype))
    for pixels, axis in [(image[..., 0], None), (image, 2)]:
        for how in _SEARCHES:
            locate(pixels, pixels[20:60, 20:60], angles=(-5, 5), threshold=0.8, channel_axis=axis, search=how)
