"""Several calls at a time, with results in order."""

import collections
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

from tmatch._engine.threads import available_cores

Item = TypeVar("Item")
Result = TypeVar("Result")
_MOST_JOBS = 1 << 16  # no machine runs more threads


def map_in_order(
    function: Callable[[Item, int | None], Result], items: Iterable[Item], jobs: int | None = None
) -> Generator[Result]:
    """Call a function on each item, `jobs` at a time (None: one for each core); yield the results in order.

    The second argument of the function is the number of threads that it may use itself; None if it is called alone.
    Items are taken by the caller's thread, at most twice as many as `jobs` ahead of the results, so that memory is
    bounded. What raises, the function or the items, does so in its turn: after the results of the items before it.
    """
    failed: list[Exception] = []
    yield from _map(function, _until_error(items, failed), min(jobs or available_cores(), _MOST_JOBS))
    if failed:
        raise failed[0]


def _until_error(items: Iterable[Item], failed: list[Exception]) -> Iterator[Item]:
    """Take items, and keep the error that ends them."""
    try:
        yield from items
    except Exception as error:  # noqa: BLE001  (whatever it is, it is raised later)
        failed.append(error)


def _map(
    function: Callable[[Item, int | None], Result], items: Iterator[Item], jobs: int
) -> Generator[Result]:
    first = [*itertools.islice(items, jobs)]
    if len(first) < 2 or jobs == 1:
        yield from (function(item, None) for item in itertools.chain(first, items))
        return
    from concurrent.futures import Future, ThreadPoolExecutor  # noqa: PLC0415

    workers = max(1, available_cores() // jobs)
    pending: collections.deque[Future[Result]] = collections.deque()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            for item in itertools.chain(first, items):
                pending.append(pool.submit(function, item, workers))
                if len(pending) == 2 * jobs:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
