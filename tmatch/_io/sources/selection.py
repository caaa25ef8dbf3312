"""Which pages of a file, or frames of a video."""

import itertools
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Selection:
    """Some of the images of a file, in the order of the file, each once.

    Parameters
    ----------
    ranges : tuple of pairs
        First and last page, which is None for all that follow. The first page of a file is 0.
    every : int
        Of the pages in these ranges every so many, from the first of them on.
    """

    ranges: tuple[tuple[int, int | None], ...]
    every: int = 1

    @classmethod
    def parse(cls, text: str, every: int = 1) -> "Selection":
        """Read "all", or numbers and ranges as "0", "2-5" or "0,3,7-"."""
        if text.strip() == "all":
            return cls.all(every)
        return cls(tuple(_parse_range(part.strip(), text) for part in text.split(",")), every)

    @classmethod
    def all(cls, every: int = 1) -> "Selection":
        """Choose all pages, or every so many."""
        return cls(((0, None),), every)

    def numbers(self, count: int | None = None) -> Iterator[int]:
        """Yield the pages that are chosen of so many; without a number, of as many as may come."""
        chosen = itertools.islice(self._in_ranges(), 0, None, min(self.every, sys.maxsize))
        return chosen if count is None else itertools.takewhile(lambda page: page < count, chosen)

    def _in_ranges(self) -> Iterator[int]:
        begin = 0
        for first, last in sorted(self.ranges, key=lambda each: each[0]):
            begin = max(first, begin)
            if last is None:
                yield from itertools.count(begin)
            else:
                yield from range(begin, last + 1)
                begin = max(begin, last + 1)

    def missing(self, count: int) -> int | None:
        """Return the first page that is asked for by its number, and that a file of so many does not have."""
        if any(last is None and first < count for first, last in self.ranges):
            return None
        return next((page for page in self.numbers() if page >= count), None)


def _parse_range(part: str, text: str) -> tuple[int, int | None]:
    found = re.fullmatch(r"([0-9]{1,9})(?:(-)([0-9]{0,9}))?", part)
    if found:
        first = int(found[1])
        last = None if found[2] and not found[3] else int(found[3] or first)
        if last is None or first <= last:
            return first, last
    msg = f'`pages` is "{text}"; it must be "all", or pages and ranges of them from 0 on, as "0", "2-5" or "0,3,7-"'
    raise ValueError(msg)
