"""The resources of a call: its threads, and the progress that it reports."""

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tmatch._arrays.validation import check_count

ProgressCallback = Callable[[float], object]


class _Report:
    """Calls a function with a share that never shrinks, one thread at a time."""

    def __init__(self, callback: ProgressCallback | None) -> None:
        self.callback, self.lock, self._share = callback, threading.Lock(), 0.0

    def raise_to(self, share: float) -> None:
        if self.callback is not None and share > self._share:
            self._share = share
            self.callback(share)


class Progress:
    """The share of some work that is done. Parts of the work, made by `split`, report their own share of it."""

    def __init__(self, report: _Report | None = None, start: float = 0.0, stop: float = 1.0) -> None:
        self._report, self._start, self._stop = report or _Report(None), start, stop
        self._done = self._expected = 0

    @classmethod
    def of(cls, callback: ProgressCallback | None) -> "Progress":
        """Check what a caller has passed as `progress`."""
        if callback is not None and not callable(callback):
            msg = f"`progress` is {callback!r}; it must be a function of one number, as `bar.update`, or None"
            raise TypeError(msg)
        return cls(_Report(callback))

    def split(self, count: int) -> list["Progress"]:
        """Return the progress of equal parts, done one after another."""
        width = self._stop - self._start
        ends = [self._start + width * i / count for i in range(count)] + [self._stop]
        return [Progress(self._report, *bounds) for bounds in itertools.pairwise(ends)]

    def expect(self, count: int) -> None:
        """Add to the pieces of work that are expected; called by any thread."""
        with self._report.lock:
            self._expected += count

    def advance(self) -> None:
        """Count one piece of work as done; called by any thread."""
        if self._report.callback is None:
            return
        with self._report.lock:
            self._done += 1
            self._raise_to(min(self._done / self._expected, 1.0))

    def finish(self) -> None:
        """Report that all is done, where some parts were not needed."""
        with self._report.lock:
            self._raise_to(1.0)

    def __call__(self, share: float) -> None:
        """Report a share, as a callback of another call."""
        with self._report.lock:
            self._raise_to(share)

    def _raise_to(self, share: float) -> None:
        self._report.raise_to(self._stop if share == 1 else self._start + share * (self._stop - self._start))


@dataclass(frozen=True)
class Resources:
    """The maximum number of threads (None: one for each core) and the progress of a call."""

    workers: int | None = None
    progress: Progress = field(default_factory=Progress)

    @classmethod
    def of(cls, workers: int | None, callback: ProgressCallback | None) -> "Resources":
        """Check what a caller has passed as `workers` and `progress`."""
        check_count("workers", workers, or_none=True)
        return cls(workers, Progress.of(callback))

    def split(self, count: int) -> list["Resources"]:
        """Return the resources of equal parts, done one after another."""
        return [Resources(self.workers, part) for part in self.progress.split(count)]
