"""The frames of a video."""

import contextlib
import functools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._io.images import Pixels, missing_page, open_path, reason_of
from tmatch._io.sources.selection import Selection
from tmatch._io.sources.source import Source, failing, held

ENDINGS = {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg"}
# Not those that name other files or addresses to read, as lists of parts do.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,mpeg,mpegvideo,mpegts,m4v"
_DEEP = "gray16le"
Frame = tuple[int, float | None, Array]  # number, seconds, pixels


class VideoFrames:
    """The chosen frames of a video. They are decoded in order, no further than asked for; a source holds its frame.

    `count` is how many the file announces, and after the last how many there were.
    """

    def __init__(self, name: str, chosen: Selection) -> None:
        self.name, self._chosen = name, chosen
        self.count: int | None = None

    def __iter__(self) -> Iterator[Source]:
        count, decoder = 0, _Decoder(self.name, self._chosen)
        try:
            for page, time, pixels in decoder.frames():
                self.count = decoder.announced
                count += 1
                yield Source(self.name, functools.partial(held, Pixels.whole(pixels)), page, time)
        except (OSError, ValueError) as error:
            count += 1
            yield failing(self.name, error, decoder.position)
        self.count = count

    def counted(self) -> int | None:
        """Return how many frames are chosen, if some were decoded already."""
        return self.count


class _Decoder:
    """Decode the chosen frames of a video; `position` is the number of the next one of all."""

    def __init__(self, name: str, chosen: Selection) -> None:
        self._name, self._chosen = name, chosen
        self.position = 0
        self.announced: int | None = None

    def frames(self) -> Iterator[Frame]:
        """Yield the chosen frames; in the end, refuse those that are asked for and not there."""
        import av  # noqa: PLC0415

        chosen = self._chosen.numbers()
        page = next(chosen, None)
        with (
            open_path(Path(self._name)) as file,
            self._told(),
            av.open(file, "r", options={"format_whitelist": _FORMATS}) as container,
        ):
            stream = container.streams.video[0]
            stream.thread_type = (
                "SLICE"  # threads that share out frames decode broken ones now so, now otherwise
            )
            if stream.frames:
                self.announced = sum(1 for _ in self._chosen.numbers(stream.frames))
            for frame in container.decode(stream):
                if self.position == page:
                    yield page, _time_of(frame, stream), _upright(frame)
                    page = next(chosen, None)
                self.position += 1
                if page is None:
                    return
            announced = stream.frames
        self._check_end(announced)

    def _check_end(self, announced: int) -> None:
        if not self.position:
            msg = f'"{self._name}" has no frames'
            raise OSError(msg)
        if self.position < announced:
            msg = f'"{self._name}" announces {announced:,} frames, but only {self.position:,} can be read'
            warnings.warn(msg, stacklevel=5)
        missing = self._chosen.missing(self.position)
        if missing is not None:
            raise missing_page(self._name, self.position, "frames", missing)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Say of errors which video they are about, and where in it."""
        try:
            yield
        except MemoryError:
            raise
        except Exception as error:  # of PyAV, which has a class for each error of FFmpeg
            what = (
                f"broken after {self.position:,} frames" if self.position else "not a video, or a broken one"
            )
            msg = f'cannot read "{self._name}": {what} ({reason_of(error)})'
            raise OSError(msg) from error


def _time_of(frame: Any, stream: Any) -> float | None:
    """Return the seconds from the first frame of a video."""
    return None if frame.pts is None else float((frame.pts - (stream.start_time or 0)) * frame.time_base)


def _upright(frame: Any) -> Array:
    """Return the pixels as they are meant to be seen: grey of 8 or 16 bits, or colours of 8 bits."""
    grey = {
        "gray": "gray",
        "gray9le": _DEEP,
        "gray10le": _DEEP,
        "gray12le": _DEEP,
        "gray14le": _DEEP,
        _DEEP: _DEEP,
    }
    pixels = frame.to_ndarray(format=grey.get(frame.format.name, "rgb24"))
    quarters = round(getattr(frame, "rotation", 0) / 90)  # which old versions of PyAV do not tell
    return np.ascontiguousarray(np.rot90(pixels, quarters))
