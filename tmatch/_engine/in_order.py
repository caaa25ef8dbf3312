"""Several calls at a time, with results in order."""

import collections
import itertools
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

from tmatch._engine.progress import Resources
from tmatch._engine.threads import available_cores

Item = TypeVar("Item")
Result = TypeVar("Result")
_MOST_JOBS = 1 << 16  # no machine runs more threads


def map_in_order(
    function: Callable[[Item, Resources], Result], items: Iterable[Item], jobs: int | None = None
) -> Generator[Result]:
    """Call a function on each item, `jobs` at a time (None: one for each core); yield the results in order.

    The second argument of the function is what it may use itself: all threads if it is called alone. A call that
    reports its progress there is stopped when results are no longer wanted, so that nobody waits for it.
    Items are taken by the caller's thread, at most twice as many as `jobs` ahead of the results, so that memory is
    bounded. What raises, the function or the items, does so in its turn: after the results of the items before it.
    """
    failed: list[Exception] = []
    yield from _map(function, until_error(items, failed), min(jobs or available_cores(), _MOST_JOBS))
    if failed:
        raise failed[0]


def until_error(items: Iterable[Item], failed: list[Exception]) -> Iterator[Item]:
    """Take items, and keep the error that ends them."""
    try:
        yield from items
    except Exception as error:  # noqa: BLE001  (whatever it is, it is raised later)
        failed.append(error)


class _StoppedError(Exception):
    """A call whose result is no longer wanted."""


def _map(
    function: Callable[[Item, Resources], Result], items: Iterator[Item], jobs: int
) -> Generator[Result]:
    first = [*itertools.islice(items, jobs)]
    if len(first) < 2 or jobs == 1:
        yield from (function(item, Resources()) for item in itertools.chain(first, items))
        return
    from concurrent.futures import Future, ThreadPoolExecutor  # noqa: PLC0415

    workers, over = max(1, available_cores() // jobs), threading.Event()

    def go_on(_: float) -> None:
        if over.is_set():
            raise _StoppedError

    pending: collections.deque[Future[Result]] = collections.deque()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            for item in itertools.chain(first, items):
                pending.append(pool.submit(function, item, Resources.of(workers, go_on)))
                if len(pending) == 2 * jobs:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            over.set()
            for future in pending:
                future.cancel()
