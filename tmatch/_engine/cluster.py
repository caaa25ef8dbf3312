"""Calls on the workers of a cluster of dask, with results in order.

`distributed` schedules them, and calls again what was lost with a worker; it is imported only where there is a client.
"""

import collections
import contextlib
import itertools
import os
import pkgutil
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from tmatch._engine import execution, select
from tmatch._engine.execution import Execution
from tmatch._engine.in_order import until_error
from tmatch._engine.progress import Resources
from tmatch._io.files import paths_from

if TYPE_CHECKING:
    from distributed import Client, Future

Item = TypeVar("Item")
Result = TypeVar("Result")
_RECOUNT = 2.0  # seconds after which threads are counted again, as a cluster may grow


class ClusterError(ConnectionError):
    """The cluster is gone, has dropped what it was asked for, or cannot do it."""


def check_client(client: object) -> None:
    """Refuse what is no client of a cluster, or one that cannot wait for results."""
    import distributed  # noqa: PLC0415

    if not isinstance(client, distributed.Client):
        msg = f"`client` is of type {type(client).__name__}; it must be a `dask.distributed.Client`, or None"
        raise TypeError(msg)
    if client.asynchronous:
        msg = "`client` is asynchronous, and results are waited for; make one without asynchronous=True"
        raise ValueError(msg)


def map_on_cluster(
    function: Callable[[Item, Resources], Result],
    items: Iterable[Item],
    client: "Client",
    *,
    failed: Callable[[Item, Exception], Result],
    jobs: int | None = None,
    here: Callable[[Item], bool] = lambda _: False,
) -> Generator[Result]:
    """Call a function on each item, on the workers of a cluster; yield the results in order.

    As `map_in_order`, with these differences: the function and the items are pickled, the function once for each
    worker, where it may use one thread. Items for which `here` is true are handed to it in this process. At most `jobs`
    items (None: twice the threads of the cluster) wait or are worked on. A call that raises, or whose worker dies, is
    called again; of one that fails twice, `failed` returns a result, or raises. Those that are not wanted any more are
    cancelled; the client stays open.
    """
    raised: list[Exception] = []
    with contextlib.closing(_Calls(client, function, failed, jobs)) as calls:
        for item in until_error(items, raised):
            calls.begin(item, here=here(item))
            while calls.are_enough:
                yield calls.finish()
        while calls.pending:
            yield calls.finish()
    if raised:
        raise raised[0]


@dataclass(frozen=True)
class _Work(Generic[Item, Result]):
    """A function with what it depends on in this process: the engine, and the folder that paths count from."""

    function: Callable[[Item, Resources], Result]
    policy: Execution = field(default_factory=select.requested_policy)
    folder: str = field(default_factory=os.getcwd)

    def on(self, item: Item) -> Result:
        """Call the function in the process of a worker."""
        with execution.settled(self.policy), paths_from(self.folder), _as_a_worker_sees_it():
            return self.function(item, Resources(workers=1))


@contextlib.contextmanager
def _as_a_worker_sees_it() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        msg = f"{error} on a worker of the cluster, which reads files itself; name those that all workers see"
        raise FileNotFoundError(msg) from error


@dataclass(frozen=True)
class _Opaque(Generic[Item]):
    """An item that the scheduler does not look into."""

    item: Item


def _load(work: _Work[Item, Result]) -> _Work[Item, Result]:
    return work


def _call(work: _Work[Item, Result], given: _Opaque[Item]) -> Result:
    return work.on(given.item)


class _Calls(Generic[Item, Result]):
    """Calls in flight, in the order of their items."""

    def __init__(
        self,
        client: "Client",
        function: Callable[[Item, Resources], Result],
        failed: Callable[[Item, Exception], Result],
        jobs: int | None,
    ) -> None:
        self._client, self._function, self._failed, self._jobs = client, function, failed, jobs
        self._work = _Work(function)
        self.pending: collections.deque[tuple[Item, Future | None]] = collections.deque()
        self._most, self._counted = 0, -_RECOUNT
        with self._reached():
            self._check_workers()
            self._loaded = self._load()

    def begin(self, item: Item, *, here: bool) -> None:
        """Have an item worked on."""
        with self._reached():
            self.pending.append((item, None if here else self._submit(item)))

    @property
    def are_enough(self) -> bool:
        """Whether so many items wait or are worked on that no more are taken."""
        if self._jobs is not None:
            return len(self.pending) >= self._jobs
        if time.monotonic() - self._counted >= _RECOUNT:
            with self._reached():
                self._most = max(2, 2 * sum(self._client.nthreads().values()))
            self._counted = time.monotonic()
        return len(self.pending) >= self._most

    def finish(self) -> Result:
        """Wait for the result of the first item."""
        item, future = self.pending[0]  # where it is cancelled if the wait is interrupted
        try:
            result = self._function(item, Resources()) if future is None else self._result(item, future)
        except ClusterError:
            raise
        except Exception as error:  # noqa: BLE001  (whatever it is, the caller decides)
            result = self._failed(item, error)
        self.pending.popleft()
        return result

    def close(self) -> None:
        """Cancel what is in flight."""
        if self._client.status == "running":
            self._client.cancel([self._loaded, *(future for _, future in self.pending if future is not None)])
        self.pending.clear()

    def _check_workers(self) -> None:
        """Refuse workers without this package, which would end when they are sent something of it."""
        found = self._client.run(pkgutil.resolve_name, f"{__name__}:{_call.__name__}", on_error="return")
        for outcome in found.values():
            if isinstance(outcome, ImportError):
                raise outcome

    def _load(self) -> "Future":
        """Have the function sent to a worker, from which others fetch it.

        As the result of a call it is made again if it is lost with a worker, which scattered data would not be.
        """
        return self._send(_load, self._work)

    def _submit(self, item: Item) -> "Future":
        return self._send(_call, self._loaded, _Opaque(item), retries=1)

    def _send(self, function: Callable[..., object], *arguments: object, retries: int = 0) -> "Future":
        import dask  # noqa: PLC0415

        # Images make no large graph, of which dask would warn.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": sys.maxsize}):
            return self._client.submit(function, *arguments, pure=False, retries=retries, fifo_timeout=0)

    def _result(self, item: Item, future: "Future") -> Result:
        from distributed.scheduler import KilledWorker  # noqa: PLC0415

        with self._reached():
            try:
                return self._wait_for(future)
            except KilledWorker:
                pass
            try:
                return self._wait_for(self._submit_alone(item))
            except KilledWorker as error:
                died = 2 * (error.allowed_failures + 1)
                msg = (
                    f"the workers that worked on it have died, {died} one after the other; give each more memory, or "
                    "see their logs for why"
                )
                raise OSError(msg) from None

    def _submit_alone(self, item: Item) -> "Future":
        """Have an item worked on while nothing else is: all that a worker has in hand is blamed for its end."""
        for _, future in itertools.islice(self.pending, 1, None):
            if future is not None:
                future.exception()  # which waits
        self._loaded = self._load()  # it may have been blamed, too
        return self._submit(item)

    def _wait_for(self, future: "Future") -> Result:
        result: Result = future.result()
        return result

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        """Tell errors of the cluster from those of an item."""
        from distributed import CancelledError  # noqa: PLC0415
        from distributed.scheduler import NoValidWorkerError  # noqa: PLC0415

        try:
            yield
        except Exception as error:
            missing = next((each for each in (error, error.__cause__) if isinstance(each, ImportError)), None)
            if missing is not None:
                what = f"lacks what is needed ({missing}); install there what is installed here"
            elif isinstance(error, CancelledError | NoValidWorkerError) or self._client.status != "running":
                what = "is gone, was restarted, or has no workers; start it, and search what is left"
            else:
                raise
            address = getattr(self._client.scheduler, "address", "an unknown address")
            msg = f"the cluster at {address} {what}"
            raise ClusterError(msg) from error
