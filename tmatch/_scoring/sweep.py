"""Go over the blocks of scorers once: where they are scored may be decided by what holds the image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tmatch._arrays.dask_array import is_on_dask
from tmatch._arrays.typing import Region
from tmatch._engine import threads
from tmatch._engine.progress import Resources
from tmatch._scoring.scorer import Scorer
from tmatch._scoring.search import Search


@dataclass(frozen=True)
class Task:
    """What is done with each block of a scorer, or with some of them.

    `visit` computes something of a block, in any thread or process; it can be pickled. `use` takes that here, in any
    order, in any thread. The scorer is one of those planned for `searches`.
    """

    searches: Sequence[Search]
    scorer: Scorer
    visit: Callable[[Any, Region], Any]
    use: Callable[[Any], None]
    blocks: Sequence[Region] | None = None

    @property
    def count(self) -> int:
        """Number of blocks."""
        return self.scorer.tiling.count if self.blocks is None else len(self.blocks)

    def work(self, block: Region) -> None:
        """Visit a block, and use what was found."""
        self.use(self.visit(self.scorer, block))


def sweep(tasks: Sequence[Task], resources: Resources) -> None:
    """Do all tasks on one image: near blocks together, so that what is read for one serves others, too.

    They are done by threads or, where the image is a dask array, by dask's scheduler, which may be a cluster.
    """
    resources.progress.expect(sum(task.count for task in tasks))
    if is_on_dask(tasks[0].searches[0].image[0]):
        from tmatch._scoring.dask_sweep import sweep_on_dask  # noqa: PLC0415

        sweep_on_dask(tasks, resources)
        return
    jobs = [threads.Job(t.work, t.scorer.tiling, t.scorer.passes, t.blocks) for t in tasks]
    threads.run(*jobs, resources=resources, together=True)
