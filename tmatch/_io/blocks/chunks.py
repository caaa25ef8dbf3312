"""Chunks of zarr in a folder, decoded without zarr's event loop, which would take as long again for each.

What is not known here zarr itself reads, with the same result.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array, Region
from tmatch._io.blocks.cache import Index

_COMPRESSORS = {"zstd": "zstd", "gzip": "gzip", "blosc": "blosc"}  # of zarr 3, as numcodecs calls them


@dataclass(frozen=True)
class Chunks:
    """Loads the chunks of an array in a folder; of a stack, what they have of the image with an index."""

    folder: Path
    metadata: Any
    sides: tuple[int, ...]
    dtype: np.dtype[Any]
    order: str
    decoders: Sequence[Any]
    fill: Any
    stack: Index = ()

    def __call__(self, index: Index, region: Region) -> Array:
        first = tuple(at // side for at, side in zip(self.stack, self.sides, strict=False))
        inside = tuple(at % side for at, side in zip(self.stack, self.sides, strict=False))
        shape = tuple(part.stop - part.start for part in region)
        try:
            data: Any = (self.folder / self.metadata.encode_chunk_key((*first, *index))).read_bytes()
        except FileNotFoundError:  # what was never written
            return np.full(shape, self.fill, self.dtype)
        for decoder in self.decoders:
            data = decoder.decode(data)
        chunk: Any = np.frombuffer(data, self.dtype).reshape(
            self.sides, order="F" if self.order == "F" else "C"
        )
        block: Array = chunk[(*inside, *map(slice, shape))]
        return block


def chunks_of(array: Any, stack: Index) -> Chunks | None:
    """Return what loads the chunks of an array of zarr; None if zarr itself must."""
    import zarr  # noqa: PLC0415

    how = _decoders_of(array.metadata)
    if how is None or not isinstance(array.store, zarr.storage.LocalStore):
        return None
    decoders, endian, order = how
    dtype = array.dtype.newbyteorder(endian) if endian else array.dtype
    fill = 0 if array.fill_value is None else array.fill_value
    folder = Path(array.store.root).absolute() / array.path
    return Chunks(folder, array.metadata, tuple(array.chunks), dtype, order, decoders, fill, stack)


def _decoders_of(metadata: Any) -> tuple[list[Any], str, str] | None:
    """Return how chunks are decoded, in which byte order, if not that of the dtype, and which layout."""
    import numcodecs  # noqa: PLC0415

    if metadata.zarr_format == 2:
        if metadata.filters or metadata.dtype.to_native_dtype().kind not in "buif":
            return None
        return [each for each in [metadata.compressor] if each is not None], "", metadata.order
    first, *others = (codec.to_dict() for codec in metadata.codecs)
    names = [each["name"] for each in others]
    if first["name"] != "bytes" or not _COMPRESSORS.keys() >= set(names):
        return None
    endian = first.get("configuration", {}).get("endian")
    decoders = [numcodecs.get_codec({"id": _COMPRESSORS[name]}) for name in reversed(names)]
    return decoders, {"little": "<", "big": ">"}.get(endian, ""), "C"
