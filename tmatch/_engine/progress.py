"""Report how much of some work is done."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from tmatch._arrays.validation import check_count

Progress = Callable[[float], object]


class Meter:
    """Tells how much of some work is done, as a share that never shrinks."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._tell, self.total = progress, total
        self._done, self._told, self._lock = 0, 0.0, threading.Lock()

    def advance(self) -> None:
        """Count one more piece of work."""
        if self._tell is None:
            return
        with self._lock:
            self._done += 1
            share = min(self._done / self.total, 1.0)
            if share > self._told:
                self._told = share
                self._tell(share)


@dataclass
class Work:
    """How work is done: on how many threads, and whom to tell how much of it is done."""

    workers: int | None = None
    progress: Progress | None = None

    @classmethod
    def of(cls, workers: int | None, progress: Progress | None) -> "Work":
        """Check both."""
        check_count("workers", workers)
        if progress is not None and not callable(progress):
            msg = f"`progress` is {progress!r}; it must be a function of one number, as `bar.update`, or None"
            raise TypeError(msg)
        return cls(workers, progress)

    def step(self, number: int, count: int) -> "Work":
        """Give the work of one step among so many that may be needed."""
        tell = self.progress
        if tell is None or count == 1:
            return self
        return Work(self.workers, lambda share: tell((number - 1 + share) / count))

    def finish(self) -> None:
        """Tell that all is done, where not all steps were needed."""
        if self.progress is not None:
            self.progress(1.0)
