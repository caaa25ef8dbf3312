"""Go over the blocks of scorers once: where they are scored may be decided by what holds the image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tmatch._arrays.dask_array import is_on_dask
from tmatch._arrays.known import Known
from tmatch._arrays.lazy import Pieces, as_array, as_lazy
from tmatch._arrays.typing import Array, Region
from tmatch._engine import threads
from tmatch._engine.progress import Resources
from tmatch._engine.tiling import Tiling
from tmatch._scoring.cache import Cache
from tmatch._scoring.scorer import Scorer
from tmatch._scoring.search import Search


@dataclass(frozen=True)
class Blocks:
    """Blocks of positions of some searches in one image, of which something else than scores is computed."""

    templates: Sequence[int]
    tiling: Tiling
    passes: float


@dataclass(frozen=True)
class Task:
    """What is done with each block of a scorer, or with some of them.

    `visit` computes something of a scorer, or else of a search, and a block, in any thread or process; it can be
    pickled. `use` takes that here, in any order, in any thread. The scorer is one of those planned for `searches`.
    """

    searches: Sequence[Search]
    scorer: Scorer | Blocks
    visit: Callable[[Any, Region], Any]
    use: Callable[[Any], None]
    blocks: Sequence[Region] | None = None

    @property
    def count(self) -> int:
        """Number of blocks."""
        return self.scorer.tiling.count if self.blocks is None else len(self.blocks)

    def work(self, block: Region) -> None:
        """Visit a block, and use what was found."""
        self.use(self.visit(self.subject, block))

    @property
    def subject(self) -> Scorer | Search:
        """What is visited: the scorer, or the search whose blocks these are."""
        return self.searches[self.scorer.templates[0]] if isinstance(self.scorer, Blocks) else self.scorer


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


def pixels_needed(search: Search, tiling: Tiling, block: Region) -> Region:
    """Return the region of the image from which a block is computed."""
    needed = tiling.needs(block)
    starts = search.start_of([part.start for part in needed])
    return tuple(
        slice(max(start, 0), min(start + part.stop - part.start, n))
        for start, part, n in zip(starts, needed, search.image[0].shape, strict=True)
    )


def with_pieces(search: Search, regions: Sequence[Region]) -> Search:
    """Return a search that has only some regions of its image; they are read at once."""

    def read(array: Array) -> Array:
        source = as_lazy(array)
        pieces = Pieces(source.shape, source.dtype, [*zip(regions, source.read_many(regions), strict=True)])
        facts = source.known_facts()
        return as_array(pieces if facts is None else Known(pieces, [facts]))

    valid = None if search.valid is None else read(search.valid)
    return replace(search, image=[*map(read, search.image)], valid=valid, image_cache=Cache())
