"""A report of matches that are at hand, without the search that found them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmatch._arrays.typing import Array
from tmatch._report import page
from tmatch._report.pixels import embed
from tmatch._report.writer import About, report, shown_part, summary_of, told_of
from tmatch._results.collection import Matches
from tmatch._results.formats import is_posed, pose_row
from tmatch._results.records import Record

if TYPE_CHECKING:
    from tmatch._results.decisions import CandidateDecision
    from tmatch._results.matches import Match


def save_report(path: Path, matches: Matches, name: str, pixels: Array | None) -> None:
    """Write a report of matches and near misses; without the pixels of the image, boxes are on an empty ground."""
    if any(len(match.box.shape) != 2 for match in matches) or len(matches.shape) not in (0, 2):
        msg = (
            f'cannot write "{path}": a report shows images of two axes, and `shape` of the matches is {matches.shape}; '
            "write .json or .csv"
        )
        raise ValueError(msg)
    if pixels is not None and matches.shape and pixels.shape[:2] != matches.shape:
        msg = f"`pixels` has shape {pixels.shape}; the matches are of an image of shape {matches.shape}: give that one"
        raise ValueError(msg)
    poses = any(map(is_posed, matches))
    labels = [*dict.fromkeys((*matches.labels, *(match.label for match in matches)))]
    data, factor = ("", 1) if pixels is None else embed(pixels)
    bottom, right = matches.shape or (_extent(matches) if pixels is None else pixels.shape[:2])
    record = Record(name, matches=matches)
    told = {
        **told_of(record, 1.0, poses=poses),
        "origin": [0, 0],
        "shown": shown_part(0, 0, right, bottom, factor),
        **_columns(matches, poses=poses),
        "chance": [],
    }
    with report(path, About(labels, None, poses=poses, single=True)) as writer:
        writer.add_piece(page.piece(told, data, summary_of(record)))


def _extent(matches: Matches) -> tuple[int, int]:
    """Return the smallest image that holds all matches."""
    stops = [match.box.stop for match in matches]
    return max((y for y, _ in stops), default=1), max((x for _, x in stops), default=1)


def _columns(matches: Matches, *, poses: bool) -> dict[str, Any]:
    """Return matches and near misses as recorded candidates, which overlap no more than allowed."""
    misses = [miss for miss in matches.near_misses if miss.rule in ("unlike", "alike", "false alarms")]
    pairs: list[tuple[Match, CandidateDecision | None]] = [(match, None) for match in matches]
    pairs += [(miss.match, miss) for miss in misses]
    pairs.sort(key=lambda pair: pair[0].label)
    parts: list[dict[str, Any]] = []
    for match, _ in pairs:
        if not parts or parts[-1]["label"] != match.label:
            parts.append(_part(match.label))
        parts[-1]["count"] += 1
        parts[-1]["has_null"] |= match.false_alarms is not None
    every = [match for match, _ in pairs]
    told = {
        "decision": [None if miss is None else miss.filtered_score for _, miss in pairs],
        "chance": [match.false_alarms for match in every],
        "alike": [int(miss is None or miss.rule == "false alarms") for _, miss in pairs],
        "copy": [None] * len(pairs),
        "fits": [int(miss is not None) for _, miss in pairs],
        "outline": [None] * len(pairs),
        "place": [None] * len(pairs),
        "evidence": [0.0] * len(pairs),
        "start": [[*match.box.start] for match in every],
        "shape": [[*match.box.shape] for match in every],
        **{
            name: [getattr(match, name) for match in every]
            for name in ("score", "false_alarms", "second_best", "expected_score", "kind")
        },
        **({"pose": [pose_row(match) for match in every]} if poses else {}),
    }
    return {"parts": parts, "limits": {"score": None, "false_alarms": None}, "columns": told}


def _part(label: str) -> dict[str, Any]:
    return {"label": label, "prefilter": "none", "n_tests": 1.0, "count": 0, "has_null": False, "lobes": []}
