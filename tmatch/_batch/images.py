"""Search many images for the same templates."""

import collections
import contextlib
import hashlib
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmatch._arrays.typing import Array
from tmatch._detection.criterion import Criterion
from tmatch._engine.cluster import map_on_cluster
from tmatch._engine.in_order import map_in_order
from tmatch._engine.progress import Resources
from tmatch._io.decoders import FindPart
from tmatch._io.images import open_file
from tmatch._io.pairs import Alpha, Pair, SearchImage, Templates, search_image
from tmatch._io.sources import Source, portable
from tmatch._results.boxes import Box
from tmatch._results.collection import Matches
from tmatch._results.decisions import CandidateDecision
from tmatch._results.matches import Match
from tmatch._results.records import Record
from tmatch._scoring.maps import ScoreMap, score_maps
from tmatch._scoring.search import Search
from tmatch._search.logged import log_image
from tmatch._search.matcher import Matcher, check_poses, poses_of, searches_of
from tmatch._search.recipe import Keep, SearchResult, search

if TYPE_CHECKING:
    from distributed import Client

_ERRORS = (OSError, ValueError, TypeError, MemoryError)  # that keep one image from being searched


@dataclass(frozen=True)
class OpenImage:
    """An image that was read, or a part of it, with a matcher for it; matches are in pixels of the whole image."""

    searched: SearchImage
    matcher: Matcher
    image: Array
    image_mask: Array | None

    def search(
        self, criterion: Criterion, resources: Resources, *, keep: Keep, recorded: bool = False
    ) -> SearchResult:
        """Search once; with `recorded`, candidates of a looser criterion are kept, too."""
        poses = poses_of(self.matcher)
        check_poses(poses, criterion)
        searches = self._searches()
        looser = criterion.loosened(searches[0].metric) if recorded else None
        return search(searches, criterion, resources, keep=keep, poses=poses, looser=looser)

    def score_maps(self, resources: Resources) -> list[ScoreMap]:
        """Score every position with each template, or each exact copy of it."""
        return score_maps(self._searches(), resources)

    def _searches(self) -> list[Search]:
        return searches_of(self.matcher, self.image, self.image_mask)

    def matches_of(self, result: SearchResult) -> Matches:
        """Return the matches of a search with what is known of it."""
        found = result.to_matches()
        best = {label: self.in_image(match) for label, match in found.best.items()}
        return Matches(
            [self.in_image(match) for match in found], shape=self.searched.shape, labels=found.labels, best=best,
            near_misses=[self._decision_in_image(miss) for miss in found.near_misses], decision=found.decision,
        )  # fmt: skip

    def in_image(self, match: Match) -> Match:
        """Return a match in the part as one in the whole image."""
        return replace(match, box=self._box_in_image(match.box))

    def _box_in_image(self, box: Box) -> Box:
        """Return a box in the part as one in the whole image."""
        part = self.searched.part
        return replace(box, start=tuple(s + p.start for s, p in zip(box.start, part, strict=True)))

    def _decision_in_image(self, decision: CandidateDecision) -> CandidateDecision:
        """Return what was decided about a box in the part as one about a box in the whole image."""
        posed = None if decision.posed is None else self.in_image(decision.posed)
        return replace(decision, box=self._box_in_image(decision.box), posed=posed)


@dataclass(frozen=True)
class ImageSearch:
    """How images are searched: for which templates, what is a match, and how images are read.

    `preparing` are options of `Matcher`. `image_mask` masks every image. Large images may be searched `in_parts`.
    `level` and `channel` are those of the sources. With `recorded`, candidates of a looser criterion are kept, too.
    """

    templates: Templates
    criterion: Criterion
    preparing: Mapping[str, Any]
    alpha: Alpha = "opaque"
    gray: bool = False
    image_mask: Path | None = None
    find_part: FindPart | None = None
    nodata: float | None = None
    in_parts: bool = False
    channel: int | str | None = None
    level: int | None = None
    recorded: bool = False
    _matchers: dict[tuple[bool, bool], Matcher] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __reduce__(self) -> tuple[type["ImageSearch"], tuple[Any, ...]]:
        """Pickle without matchers, which are made again where they are needed."""
        return ImageSearch, tuple(getattr(self, each.name) for each in fields(self) if each.name[0] != "_")

    def digest(self, *others: object) -> str:
        """Return a short text that differs if results could: by the templates, the options, or `others`."""
        made = hashlib.sha256()
        part = getattr(self.find_part, "args", None)  # of a partial function
        level = [each for each in (self.level, self.channel) if each is not None]
        how = (
            sorted(self.preparing.items()),
            self.alpha,
            self.gray,
            self.image_mask,
            part,
            self.nodata,
            *level,
        )
        made.update(
            repr((self.templates.labels, self.criterion, *how, *others)).encode(errors="surrogateescape")
        )
        for array in (*self.templates.arrays, *self.templates.weights):
            made.update(b"" if array is None else repr((array.dtype, array.shape)).encode() + array.tobytes())
        return made.hexdigest()[:12]

    def check(self) -> None:
        """Refuse what would fail in each image: templates that can be found in none, options, a missing mask."""
        alone = self.templates.pair_alone(gray=self.gray)
        check_poses(poses_of(self._matcher_of(alone)), self.criterion)
        if self.image_mask:
            open_file(str(self.image_mask)).close()

    def open(self, source: Source) -> OpenImage:
        """Read an image, and prepare the templates for its kind."""
        log_image(source.title)
        searched = search_image(source, self.alpha, self.find_part, self.nodata, in_parts=self.in_parts)
        pair = self.templates.pair_with(searched, gray=self.gray, image_mask=self.image_mask)
        return OpenImage(searched, self._matcher_of(pair), pair.image, pair.image_mask)

    def _matcher_of(self, pair: Pair) -> Matcher:
        with self._lock:
            if pair.kind not in self._matchers:
                self._matchers[pair.kind] = Matcher(
                    pair.templates, masks=pair.masks, channel_axis=pair.channel_axis, **self.preparing
                )
            return self._matchers[pair.kind]

    def records(
        self,
        sources: Iterable[Source],
        jobs: int | None = None,
        on_error: Callable[[Exception], str] = str,
        on_found: Callable[[OpenImage, Record, SearchResult | None], None] | None = None,
        client: "Client | None" = None,
    ) -> Generator[Record]:
        """Search images, `jobs` at a time; yield what was found in each, in their order.

        An image that cannot be read or searched has a record of the error, in the words of `on_error`. `on_found` is
        told of the others, one at a time, in any order. With a `client`, workers of its cluster search.
        """
        telling = threading.Lock()  # not that of the matchers, which other images wait for

        def failed(source: Source, error: Exception) -> Record:
            if isinstance(error, _ERRORS):
                return Record(
                    source.name, source.page, source.time, error=on_error(error), level=source.level
                )
            raise error

        def record(source: Source, resources: Resources) -> Record:
            try:
                opened, found, result = self._find(source, resources)
            except _ERRORS as error:
                return failed(source, error)
            if on_found is not None:
                with telling:
                    on_found(opened, found, result)
            return found

        if client is None:
            yield from map_in_order(record, sources, jobs)
        else:
            yield from self._records_of(client, sources, jobs, failed, on_found)

    def _records_of(
        self,
        client: "Client",
        sources: Iterable[Source],
        jobs: int | None,
        failed: Callable[[Source, Exception], Record],
        on_found: Callable[[OpenImage, Record, SearchResult | None], None] | None,
    ) -> Generator[Record]:
        """Search images on a cluster; those that `on_found` is told of are read here, too."""
        sent: collections.deque[Source] = collections.deque()

        def portables() -> Iterator[Source]:
            for source in sources:
                sent.append(portable(source, self.find_part))
                yield sent[-1]

        records = map_on_cluster(self._found, portables(), client, failed=failed, jobs=jobs)
        with contextlib.closing(records):
            for record in records:
                source = sent.popleft()
                if on_found is not None and not record.error:
                    on_found(self.open(source), record, None)
                yield record

    def _found(self, source: Source, resources: Resources) -> Record:
        return self._find(source, resources)[1]

    def _find(self, source: Source, resources: Resources) -> tuple[OpenImage, Record, SearchResult]:
        opened = self.open(source)
        result = opened.search(self.criterion, resources, keep="matches", recorded=self.recorded)
        found = Record(source.name, source.page, source.time, opened.matches_of(result), level=source.level)
        return opened, found, result
