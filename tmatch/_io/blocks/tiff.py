"""Pages of TIFF, read by their tiles or strips."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tmatch._arrays.lazy import LazyArray
from tmatch._arrays.typing import Array, Region
from tmatch._io.blocks.array import BlockArray
from tmatch._io.blocks.cache import Index
from tmatch._io.blocks.raw import RawArray, RawFile


def reason_against(page: Any) -> str:
    """Return why no part of a page can be read that is as it is meant to be seen; empty if it can."""
    import tifffile  # noqa: PLC0415

    plain = tifffile.PHOTOMETRIC.MINISWHITE, tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB
    orientation = page.tags.get("Orientation")
    known = page.bitspersample in {8, 16, 32, 64} and page.axes in {"YX", "YXS", "SYX"}
    if page.photometric not in plain or not known:
        return "it is neither grey nor RGB of at least 8 bits"
    if orientation is not None and int(orientation.value) != 1:
        return "it is rotated"
    if not (page.is_memmappable or page.compression == tifffile.COMPRESSION.NONE):
        return _missing_decoder(page)
    return ""


def _missing_decoder(page: Any) -> str:
    """Return what tifffile says of a compression that it cannot decode; empty if it can."""
    import tifffile  # noqa: PLC0415

    try:
        tifffile.TIFF.DECOMPRESSORS[page.compression]
        if page.predictor != 1:
            tifffile.TIFF.UNPREDICTORS[page.predictor]
    except (KeyError, ImportError) as error:  # which codecs there are depends on what is installed
        return str(error).strip("\"'")
    return ""


def tiff_blocks(name: str, page: Any, number: int = 0) -> LazyArray:
    """Return a page in parts, channels last; of images that lie in a row behind one page, that of some number."""
    handle = page.parent.filehandle
    stored = Path(handle.path) if handle.is_file else handle
    if page.is_memmappable:
        dtype = page.dtype.newbyteorder(page.parent.byteorder)
        offset = page.dataoffsets[0] + number * page.nbytes
        file = RawFile(Path(handle.path), dtype, offset, page.shape, channels_first=page.axes == "SYX")
        return RawArray(name, file)
    is_planar = page.axes == "SYX"
    shape = page.shape[1:] + page.shape[:1] if is_planar else page.shape
    sides = (*page.chunks, 1) if is_planar else page.chunks
    return BlockArray(name, shape, page.dtype, sides, _Segments.of(page, stored))


@dataclass(frozen=True)
class _Segments:
    """Loads the tiles or strips of a page: from a file that is opened each time, as several threads may read."""

    stored: Any
    offsets: Any
    counts: Any
    decode: Any
    tables: dict[str, Any]
    chunked: tuple[int, ...]
    is_planar: bool
    has_samples: bool
    fill: Any

    @classmethod
    def of(cls, page: Any, stored: Any) -> "_Segments":
        tables = {"jpegtables": page.jpegtables} if page.jpegtables is not None else {}
        return cls(
            stored, page.dataoffsets, page.databytecounts, page.decode, tables, page.chunked,
            page.axes == "SYX", page.axes != "YX", page.nodata,
        )  # fmt: skip

    def __call__(self, index: Index, region: Region) -> Array:
        shape = tuple(part.stop - part.start for part in region)
        segment = int(
            np.ravel_multi_index((*index[2:], *index[:2]) if self.is_planar else index, self.chunked)
        )
        data = self._read(segment)
        piece = self.decode(data, segment, **self.tables)[0] if data else None
        if piece is None:  # sparse files leave out what is black
            return np.full(shape, self.fill)
        pixels = piece[0] if self.has_samples else piece[0, ..., 0]
        return np.asarray(pixels[: shape[0], : shape[1]])

    def _read(self, segment: int) -> bytes:
        offset, count = self.offsets[segment], self.counts[segment]
        if isinstance(self.stored, Path):
            with self.stored.open("rb", buffering=0) as file:
                file.seek(offset)
                data = file.read(count)
        else:
            self.stored.seek(offset)
            data = self.stored.read(count)
        if len(data) < count:
            msg = f"the file ends {count - len(data):,} bytes too early"
            raise ValueError(msg)
        return bytes(data)


def segment_pixels(page: Any) -> int:
    """Return how many pixels must be read at once."""
    return 1 if page.is_memmappable else math.prod(page.chunks[:2])
