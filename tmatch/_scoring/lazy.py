"""Score maps of dask arrays: graphs of tasks, each of which scores a part of the map."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from tmatch._arrays.arithmetic import own_errstate
from tmatch._arrays.dask_array import DaskArray, Tasks, building, facts_tasks, is_dask
from tmatch._arrays.dask_chunks import Intervals
from tmatch._arrays.facts import Facts
from tmatch._arrays.known import Known
from tmatch._arrays.lazy import LazyArray, Pieces, as_array
from tmatch._arrays.options import ChannelAxis
from tmatch._arrays.typing import Region
from tmatch._arrays.validation import check_axis, check_count, check_numbers
from tmatch._engine import select, threads
from tmatch._engine.lazy_results import Axis, Parts, Reach, lazy_result
from tmatch._engine.progress import Resources
from tmatch._engine.targets import Target
from tmatch._engine.tiling import Tiling
from tmatch._io.given import ImageLike, read_mask
from tmatch._scoring.image import prepare_image
from tmatch._scoring.inputs import Layout, image_in, layout_of, read_template, template_in
from tmatch._scoring.metrics import ScoringOptions
from tmatch._scoring.planning import plan
from tmatch._scoring.scorer import ScoredBlock
from tmatch._scoring.search import Search, pair
from tmatch._scoring.template import PreparedTemplate, prepare_template

_NAMES = {"scores": "match-template", "validity": "score-validity"}
Wanted = Literal["scores", "validity", "lowest"]

# Extremes of whole numbers that are searched in different ways, and with them on different tiles.
_WHOLE = ((0, 255), (0, 2**16 - 1), (0, 2**31 - 1), (0, 2**62), (2**62, 2**62 + 9))
_OPAQUE = 2**16 - 1
_UNREAD = Facts(0.0, 1.0, whole=False, missing=False)


@dataclass(frozen=True)
class _Map:
    """What a task has to know to score any part of a map."""

    template: PreparedTemplate
    layout: Layout
    wanted: Wanted
    engine: str = ""

    @property
    def key(self) -> tuple[Any, ...]:
        """What results depend on."""
        template = self.template
        return template.channels, template.weights, template.options, self.layout, self.engine

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of results."""
        if self.wanted == "validity":
            return np.dtype(bool)
        return np.dtype(np.float32 if self.template.options.precision == "single" else np.float64)

    def has_alpha(self, image: LazyArray) -> bool:
        """Return whether a channel says which pixels are valid."""
        return self.layout.alpha and image.shape[self.layout.axis or 0] == 4

    def needs_facts(self, image: LazyArray) -> bool:
        """Return whether something has to be known of all pixels before any are scored."""
        if image.dtype.kind == "f" or image.dtype.itemsize > 2 or self.has_alpha(image):
            return True
        is_scaled = self.template.options.info.gain == "both"  # by the largest of both
        return is_scaled and any(channel.dtype.kind == "f" for channel in self.template.channels)

    def may_lack_scores(self, image: LazyArray, *, masked: bool) -> bool:
        """Return whether positions may get the lowest score of all, as they have none."""
        options = self.template.options
        missing = options.missing == "ignore" and image.dtype.kind == "f"
        partly = masked or missing or options.output != "valid" or self.has_alpha(image)
        return options.info.differences and (options.info.normalised or partly)

    def search(self, image: LazyArray, mask: LazyArray | None) -> Search:
        """Prepare an image as one in memory, and pair it with the template."""
        given = None if mask is None else as_array(mask)
        pixels, valid = image_in(self.layout, as_array(image), None, given)
        return pair(prepare_image(pixels, valid, self.template.options), self.template)

    def score(self, search: Search, region: Region, lowest: float | None) -> Any:
        """Score a region of the map, tile by tile; positions without a score get the lowest, if there is one."""
        shape = [part.stop - part.start for part in region]
        values = np.empty(shape, np.float32 if search.single else np.float64)
        scores, valid = (Target(each, region, search.map_shape) for each in (values, np.empty(shape, bool)))

        def put(scored: ScoredBlock) -> None:
            scores.put(scored.region, scored.scores)
            valid.put(scored.region, scored.valid)

        jobs = [
            threads.Job(
                partial(_score, scorer, put), scorer.tiling, scorer.passes, [*scorer.tiling.blocks(region)]
            )
            for scorer in plan([search])
        ]
        threads.run(*jobs, resources=Resources(1))
        if self.wanted == "validity":
            return valid.array
        if self.wanted == "lowest":
            return values.min(initial=search.metric.no_score, where=valid.array)
        if lowest is not None:
            np.copyto(values, lowest, where=~valid.array)
        return values


def _score(scorer: Any, put: Any, block: Region) -> None:
    for scored in scorer.score(block):
        put(scored)


def check_lazy(out: object, workers: int | None, progress: object) -> None:
    """Refuse what a lazy map cannot do."""
    check_count("workers", workers, or_none=True)
    if out is not None:
        msg = "`out` is given, but scores of a dask array are lazy; write them with dask.array.store"
        raise ValueError(msg)
    if progress is not None:
        msg = "`progress` is given, but scores of a dask array are lazy; use dask.diagnostics.ProgressBar"
        raise ValueError(msg)


@building()
def lazily_scored(
    image: Any,
    template: ImageLike,
    mask: ImageLike | None,
    image_mask: ImageLike | None,
    channel_axis: ChannelAxis,
    wanted: Wanted,
    **options: Any,
) -> Any:
    """Return the lazy array of the scores of a template in an image, or of their validity."""
    pixels = DaskArray(image)
    check_numbers("image", as_array(pixels), finite=False)
    pattern, counts = read_template(template)
    layout = layout_of(channel_axis, pixels.shape, [pattern.shape])
    checked = ScoringOptions(channel_axis=layout.axis, **options)
    prepared = prepare_template(*template_in(layout, pattern, counts, mask), checked)
    axis = check_axis("image", as_array(pixels), layout.axis)
    made = _Map(prepared, layout, wanted)
    sources = _Sources.of(pixels, axis, image_mask, facts=made.needs_facts(pixels))
    engine, tilings, search = _tilings(made, sources)
    made = replace(made, engine=engine)
    axes, parts = _parts(search, sources, tilings)
    token = sources.token(made.key)
    facts, upstream = sources.facts_tasks()
    lowest = None
    if wanted == "scores" and made.may_lack_scores(pixels, masked=sources.mask is not None):
        first = _part_tasks(
            f"lowest-{token}", replace(made, wanted="lowest"), sources.twin(), parts, [*facts, None], upstream
        )
        lowest = first.merged([first.ref((first.name, *index)) for index, _, _ in parts], min)
        upstream = [*upstream, first]
    name = f"{_NAMES[wanted]}-tiles-{token}"
    tasks = _part_tasks(name, made, sources, parts, [*facts, lowest], upstream)
    return lazy_result(tasks, made.dtype, axes, parts)


def _part_tasks(
    name: str, made: _Map, sources: "_Sources", parts: Parts, args: Sequence[Any], upstream: Sequence[Tasks]
) -> Tasks:
    """Return tasks, one for each part of a map."""
    tasks = Tasks(name, *upstream)
    shared = tasks.constant((f"template-{name}", 0), made)
    for index, region, pixels in parts:
        tasks.add((name, *index), _score_part, sources.needs(pixels), shared, region, *args)
    return tasks


@own_errstate
def _score_part(*given: Any) -> Any:
    """Score a region of a map from pieces of the image, and of its mask if it has one."""
    image, *masks, made, region, facts, mask_facts, lowest = given
    if facts is not None:
        axis = made.layout.axis
        image = Known(image, facts, None if axis is None else axis % image.ndim)
    mask = Known(masks[0], mask_facts) if masks else None
    with select.settled(made.engine):
        return made.score(made.search(image, mask), region, lowest)


@dataclass(frozen=True)
class _Sources:
    """An image, the axis of its channels, and its mask. `facts`: something has to be known of all of its pixels.

    `mask_facts` are those of the mask, if it is in memory.
    """

    image: DaskArray
    axis: int | None
    mask: DaskArray | None
    mask_facts: Sequence[Facts] | None
    facts: bool

    @classmethod
    def of(cls, image: DaskArray, axis: int | None, given: ImageLike | None, *, facts: bool) -> "_Sources":
        """Divide a mask in memory as the image is."""
        if given is None:
            return cls(image, axis, None, None, facts)
        if is_dask(given):
            mask = DaskArray(given, "image_mask")
            check_numbers("image_mask", as_array(mask), "b")
            return cls(image, axis, mask, None, facts)
        read = read_mask("image_mask", given)
        values = check_numbers("image_mask", read if read is given else np.asarray(read) > 0, "b")
        from dask.array import from_array  # noqa: PLC0415

        chunks = tuple(sizes for number, sizes in enumerate(image.array.chunks) if number != axis)
        alike = values.shape == tuple(sum(sizes) for sizes in chunks)  # refused later
        mask = DaskArray(from_array(values, chunks if alike else -1), "image_mask")
        return cls(image, axis, mask, [Facts.of(values)], facts)

    def twin(self) -> "_Sources":
        """Return the same, read a second time."""
        mask = self.mask and self.mask.twin("lowest")
        return replace(self, image=self.image.twin("lowest"), mask=mask)

    def token(self, *others: Any) -> str:
        """Return a token of both, and of what is made of them."""
        return self.image.token(self.mask and self.mask.array.name, *others)

    def facts_tasks(self) -> tuple[list[Any], list[Tasks]]:
        """Return the facts of the channels and of the mask, or references to them, and the tasks that find them."""
        facts: list[Any] = [None, self.mask_facts]
        upstream = []
        if self.facts:
            tasks, facts[0] = facts_tasks(self.image, self.axis, of_twin=True)
            upstream.append(tasks)
        if self.mask and not self.mask_facts:
            tasks, facts[1] = facts_tasks(self.mask, None, of_twin=True)
            upstream.append(tasks)
        return facts, upstream

    def needs(self, pixels: Sequence[Intervals]) -> list[tuple[DaskArray, Sequence[Intervals]]]:
        """Return what is needed of both for some pixels."""
        of_image = [*pixels]
        if self.axis is not None:
            of_image.insert(self.axis, [(0, self.image.shape[self.axis])])
        return [(self.image, of_image), *([(self.mask, pixels)] if self.mask else [])]

    def plane(self, axes: Sequence[Any]) -> list[Any]:
        """Return what there is for each axis, without that of channels."""
        return [each for number, each in enumerate(axes) if number != self.axis]


def _tilings(made: _Map, sources: _Sources) -> tuple[str, list[Tiling], Search]:
    """Choose an engine, and return the tilings that a map may be scored on, the likeliest first, and a search like it.

    Tilings depend on whether numbers are whole, small enough for exact sums, and all there.
    """
    searches = [made.search(*unread) for unread in _unread(made, sources)]
    plan(searches[:1])  # the work counts once for the choice of the engine
    engine = select.current()
    with select.settled(engine):
        found = [scorer.tiling for search in searches for scorer in plan([search])]
    return engine, [*dict.fromkeys(found)], searches[0]


def _unread(made: _Map, sources: _Sources) -> Iterator[tuple[LazyArray, LazyArray | None]]:
    """Return images and masks of which all that may be known is known, but no pixel."""
    image, mask, axis = sources.image, sources.mask, sources.axis
    n = 1 if axis is None else image.shape[axis]
    found = [Facts(low, True, whole=True, missing=False) for low in (False, True)]  # noqa: FBT003
    masks = [mask and Known(Pieces(mask.shape, mask.dtype, []), [facts]) for facts in found]
    pixels = Pieces(image.shape, image.dtype, [])
    if not sources.facts:
        yield from ((pixels, each) for each in (masks if mask else masks[:1]))
        return
    for facts in _facts_of_kinds(image.dtype):
        channels = [facts] * n
        yield from ((Known(pixels, channels, axis), each) for each in (masks if mask else masks[:1]))
        if made.has_alpha(image):
            opaque = Facts(_OPAQUE, _OPAQUE, whole=True, missing=False)
            yield Known(pixels, [*channels[1:], opaque], axis), masks[1]


def _facts_of_kinds(dtype: np.dtype[Any]) -> list[Facts]:
    """Return facts of each kind of numbers that a dtype can hold."""
    if dtype.kind == "b":
        return [Facts(0, 1, whole=True, missing=False)]
    most = int(np.finfo(dtype).max if dtype.kind == "f" else np.iinfo(dtype).max)
    known = [Facts(low, high, whole=True, missing=False) for low, high in _WHOLE if high < most]
    if dtype.kind == "f":
        return [_UNREAD, replace(_UNREAD, missing=True), *known]
    return [Facts(0, most, whole=True, missing=False), *known]


def _parts(search: Search, sources: _Sources, tilings: Sequence[Tiling]) -> tuple[list[Axis], Parts]:
    """Return the axes of a map, and its parts."""
    axes, ends, pixels = [], [], []
    chunks, around = sources.plane(sources.image.chunk_ends), int(search.metric.directions)
    for number, (k, (before, _)) in enumerate(zip(search.window, search.margins, strict=True)):
        axis = Axis.of(chunks[number], before - k // 2, search.map_shape[number])
        reach = Reach(chunks[number][-1], before, around=around)
        axes.append(axis)
        ends.append(axis.aligned(tilings[0].block[number]))
        spans = [slice(*pair) for pair in itertools.pairwise(ends[-1])]
        pixels.append([reach.pixels(tilings, number, span) for span in spans])
    return axes, Parts(ends, pixels)
