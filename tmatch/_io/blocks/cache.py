"""Keep the blocks that were used last."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future

from tmatch._arrays.typing import Array

LEAST_BYTES, MOST_BYTES = 2**25, 2**27  # that are kept, but at least one block
Index = tuple[int, ...]


class BlockCache:
    """The blocks that were used last, of so many bytes as there is `room` for.

    Several threads may ask for blocks; one that is asked for by several at a time is loaded by the first of them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks: OrderedDict[Index, Array | Future[Array]] = OrderedDict()
        self.room, self.held = LEAST_BYTES, 0

    def reserve(self, count: int) -> None:
        """Make room for so many bytes, up to a bound."""
        if count > self.room:
            self.room = min(count, MOST_BYTES)

    def get(self, index: Index, load: Callable[[Index], Array]) -> Array:
        """Return a block, loaded if it is not kept; one that could not be loaded is tried again next time."""
        with self._lock:
            known = self._blocks.get(index)
            if known is not None:
                self._blocks.move_to_end(index)
            else:
                future = self._blocks[index] = Future[Array]()
        if known is None:
            return self._load(index, load, future)
        return known.result() if isinstance(known, Future) else known

    def _load(self, index: Index, load: Callable[[Index], Array], future: Future[Array]) -> Array:
        try:
            block = load(index)
        except BaseException as error:
            with self._lock:
                del self._blocks[index]
            future.set_exception(error)
            raise
        with self._lock:
            self.held += block.nbytes
            self._forget()
            self._blocks[index] = block
        future.set_result(block)
        return block

    def _forget(self) -> None:
        """Forget the blocks that were not used for longest; those that are being loaded are no burden yet."""
        while self.held > self.room:
            loaded = ((index, b) for index, b in self._blocks.items() if not isinstance(b, Future))
            oldest = next(loaded, None)
            if oldest is None:
                return
            self.held -= oldest[1].nbytes
            del self._blocks[oldest[0]]
