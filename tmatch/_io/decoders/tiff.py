"""Decode TIFF: more than 8 bits by tifffile, others by Pillow."""

import contextlib
import functools
import math
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from tmatch._arrays.lazy import LazyArray, as_array, computed
from tmatch._arrays.typing import Array
from tmatch._io.blocks import tiff as tiff_blocks
from tmatch._io.decoders import pages
from tmatch._io.decoders.pages import Choice, Decoded, FindPart, NoImageError, decoded_part, too_large
from tmatch._io.decoders.pillow import PillowPages

_NO_PART = ", or save it in tiles without compression, as no part of it can be read now: {}"
_MAX_CHANNELS = 4
_EQUAL_SERIES = {"generic", "uniform", "shaped", "imagej"}  # of tifffile: all of them are images of their own


class TiffPages:
    """The images of a TIFF at one of its resolutions; of its channels one may be chosen."""

    unit = "pages"

    def __init__(self, file: BinaryIO, choice: Choice) -> None:
        import tifffile  # noqa: PLC0415

        self._tiff = tifffile.TiffFile(file)
        self._pillow = PillowPages(file)
        self._name, self._choice = getattr(file, "name", "-"), choice
        levels = _levels_of(self._tiff.series)
        choice.check_level(len(levels))
        self._series = levels[choice.level]
        axes = self._series[0].axes
        self._channel_axis = axes.find("C") if "C" in axes[:-2] else None
        n_channels = 0 if self._channel_axis is None else self._series[0].shape[self._channel_axis]
        self._channel = choice.number_of_channel(n_channels)

    @functools.cached_property
    def count(self) -> int:
        """Count the images."""
        if self._channel is not None:
            return math.prod(self._counted)
        return max(1, sum(map(_images_in, self._series)))

    @property
    def _counted(self) -> list[int]:
        """Lengths of the axes along which images are counted, if one channel of several is chosen."""
        before = self._series[0].shape[: self._series[0].axes.index("Y")]
        return [n for axis, n in enumerate(before) if axis != self._channel_axis]

    def _number_of(self, page: int) -> int:
        """Return the number of an image among those of all channels."""
        if self._channel is None or self._channel_axis is None:
            return page
        index = [*map(int, np.unravel_index(page, self._counted))] if self._counted else []
        index.insert(self._channel_axis, self._channel)
        before = self._series[0].shape[: len(index)]
        return int(np.ravel_multi_index(index, before))

    def decode(self, page: int, find_part: FindPart | None = None) -> Decoded:
        """Decode an image; of one that is large, only the part that `find_part` names, if any and if that can be."""
        frame, index = self._find(self._number_of(page))
        with _opened(frame.parent.filehandle):
            return self._decode(frame, index, find_part, f"[{page}]" if self.count > 1 else "")

    def _decode(self, frame: Any, index: int, find_part: FindPart | None, number: str) -> Decoded:
        first = frame.keyframe
        if first.samplesperpixel == 2 and 0 in first.extrasamples:  # of unknown meaning, so no alpha
            msg = f"an array of shape {first.shape}"
            raise NoImageError(msg)
        size = first.imagelength * first.imagewidth
        reason = ""
        if find_part is not None and pages.is_large(size):
            reason = _reason_against(frame.aspage())
            if not reason:
                blocks = tiff_blocks.tiff_blocks(f'"{self._name}{number}"', frame.aspage(), index)
                return decoded_part(_plain_parts(first, blocks), find_part)
        if size > pages.MAX_PIXELS:
            raise too_large(_NO_PART.format(reason) if reason else "")
        return Decoded.whole(self._read(frame, index))

    def _find(self, page: int) -> tuple[Any, int]:
        """Find a page, and which image of it, as one page may stand for many whose pixels lie in a row."""
        if len(self._series) > 1 and self._series[0].kind == "generic":
            return self._in_order[page], 0
        for series in self._series:
            count = _images_in(series)
            if page < count:
                frame, index = (series[page], 0) if len(series) == count else (series[0], page)
                if frame is not None:
                    return frame, index
                break
            page -= count
        msg = "the page is missing"
        raise ValueError(msg)

    @functools.cached_property
    def _in_order(self) -> list[Any]:
        """Pages in the order of the file; series hold those of one shape."""
        return sorted((page for series in self._series for page in series), key=lambda page: page.treeindex)

    def _read(self, frame: Any, index: int) -> Array:
        if index:
            return _plain(frame.keyframe, self._read_in_row(frame, index))
        pixels = _read_deep(frame)
        if pixels is not None:
            return pixels
        if frame.parent is not self._tiff or len(frame.treeindex) > 1:  # of another file, or below a page
            return _plain(frame.keyframe, np.asarray(frame.asarray()))
        return self._pillow.decode(frame.index).pixels

    def _read_in_row(self, frame: Any, index: int) -> Array:
        first = frame.keyframe
        offset = first.dataoffsets[0] + index * first.nbytes
        dtype = first.dtype.newbyteorder(self._tiff.byteorder)
        pixels = self._tiff.filehandle.read_array(dtype, math.prod(first.shape), offset)
        return np.asarray(pixels).reshape(first.shape)

    def close(self) -> None:
        """Close what reads the file."""
        self._pillow.close()
        self._tiff.close()


@contextlib.contextmanager
def _opened(handle: Any) -> Iterator[None]:
    """Open the file of a page, if it is not that which was opened: OME-TIFF may lie in several."""
    was_closed = handle.closed
    if was_closed:
        handle.open()
    try:
        yield
    finally:
        if was_closed:
            handle.close()


def _images_in(series: Any) -> int:
    return int(series.size // series.keyframe.size)


def _refuse_cut_array(series: Any) -> None:
    """Refuse an array whose channels are last, and which was cut into pages as if they were columns."""
    shape = series.shape
    if len(shape) > 2 and series.axes.endswith("YX") and shape[-1] <= _MAX_CHANNELS:
        count = math.prod(shape[:-2])
        msg = f"an array of shape {shape} in {count} pages of {shape[-1]} x {shape[-2]} pixels"
        raise NoImageError(msg)


def _read_deep(page: Any) -> Array | None:
    """Read more than 8 bits, which Pillow would narrow; None for others, which Pillow reads better."""
    if page.keyframe.bitspersample <= 8:
        return None
    try:
        pixels = np.asarray(page.asarray())
    except ValueError:  # a compression that only Pillow knows
        return None
    orientation = page.keyframe.tags.get("Orientation")
    return _upright(_plain(page.keyframe, pixels), 1 if orientation is None else int(orientation.value))


def _levels_of(series: Any) -> list[list[Any]]:
    """Return the series whose images count, at each resolution from the full one on.

    Of formats that say what is in a file (OME-TIFF, slides), only the first series counts. Smaller versions are levels
    of a series, or series of their own that say so.
    """
    series = list(series)
    _refuse_cut_array(series[0])
    whole = [each for each in series if not each.keyframe.is_reduced] or series[:1]
    whole = whole if series[0].kind in _EQUAL_SERIES else whole[:1]
    count = min(len(each.levels) for each in whole)
    levels = [[each.levels[level] for each in whole] for level in range(count)]
    smaller = [each for each in series if each not in whole and each.keyframe.is_reduced]
    if count == 1 == len(whole):
        levels += [[each] for each in sorted(smaller, key=lambda each: -each.keyframe.imagewidth)]
    return levels


def _reason_against(page: Any) -> str:
    """Return why a page cannot be read in parts; empty if it can."""
    if pages.is_large(tiff_blocks.segment_pixels(page)):
        return "its pixels are stored in one piece"
    return tiff_blocks.reason_against(page)


def _plain(page: Any, pixels: Array) -> Array:
    """Return the pixels of a page with black as 0, channels last."""
    if _is_negative(page, pixels.dtype):
        pixels = np.invert(pixels)
    return np.moveaxis(pixels, 0, -1) if page.axes == "SYX" else pixels


def _plain_parts(page: Any, blocks: LazyArray) -> Any:
    """Return the same of pixels that are read in parts, whose channels are last."""
    return computed(np.invert, blocks.dtype, as_array(blocks)) if _is_negative(page, blocks.dtype) else blocks


def _is_negative(page: Any, dtype: np.dtype[Any]) -> bool:
    """Return whether the pixels of a page are integers of which 0 is white."""
    import tifffile  # noqa: PLC0415

    return page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and dtype.kind in "ui"


def _upright(pixels: Array, orientation: int) -> Array:
    """Undo the eight orientations that TIFF and EXIF number: rows and columns swapped, then flipped."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
