"""What commands do with one image that was read, or a part of it, with progress on the console."""

from collections.abc import Sequence
from typing import Any

import tmatch
from tmatch._batch.images import OpenImage
from tmatch._detection.criterion import Criterion
from tmatch._engine.progress import Resources
from tmatch._plotting.poses import plot_best_poses
from tmatch._scoring.maps import ScoreMap
from tmatch._search.pose_maps import best_poses
from tmatch._search.recipe import Keep, SearchResult
from tmatch.cli.console import Console


def search_once(
    console: Console, opened: OpenImage, criterion: Criterion, *, keep_maps: bool, recorded: bool = False
) -> tuple[SearchResult, tmatch.Match | None]:
    """Search once: return the result and, if there are no matches, the best position."""
    keep: Keep = "maps" if keep_maps else "candidates"
    with console.progress("searching") as progress:
        result = opened.search(criterion, Resources.of(None, progress), keep=keep, recorded=recorded)
    if result.matches:
        return result, None
    with console.progress("looking for the best position") as progress:
        return result, opened.in_image(result.best(Resources.of(None, progress)))


def score_maps(console: Console, opened: OpenImage) -> list[ScoreMap]:
    """Score every position with each template, or each exact copy of it."""
    with console.progress("scoring every position") as progress:
        return opened.score_maps(Resources.of(None, progress))


def draw(opened: OpenImage, result: SearchResult, matches: list[tmatch.Match]) -> Any:
    """Draw the score maps of a search that kept them, or those of the best poses."""
    lost = [opened.in_image(match) for match in result.lost]
    if result.poses.upright:
        return draw_scores(opened, result.maps, matches, lost)
    rows, columns = opened.searched.part
    return plot_best_poses(best_poses(result), matches, first=(rows.start, columns.start), lost=lost)


def draw_scores(
    opened: OpenImage, maps: list[ScoreMap], matches: list[tmatch.Match], lost: Sequence[tmatch.Match] = ()
) -> Any:
    """Draw score maps of templates as they are."""
    part = opened.searched.part
    first = {m.label: tuple(f + p.start for f, p in zip(m.first, part, strict=True)) for m in maps}
    return tmatch.plot_heatmap({m.label: m.masked_scores for m in maps}, matches, first=first, lost=lost)
