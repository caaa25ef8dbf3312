"""The stages in JavaScript decide as those in Python do, on random records and on real searches."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from types import SimpleNamespace

import numpy as np
import pytest

import screens
from browser import run_script
from tmatch import Matcher
from tmatch._detection.criterion import Candidates, Criterion
from tmatch._detection.decide import TemplateCandidates, decide
from tmatch._detection.false_alarms import NullDistribution
from tmatch._detection.near_misses import near_misses
from tmatch._detection.recorded import record_all
from tmatch._engine.progress import Resources
from tmatch._poses.options import PoseOptions
from tmatch._report import candidates as recorded_candidates
from tmatch._report.candidates import columns_of
from tmatch._results.boxes import Box
from tmatch._results.matches import Match, order_of
from tmatch._results.poses import Pose, bounding_box, corners_of
from tmatch._search.matcher import poses_of, searches_of
from tmatch._search.recipe import SearchResult, search
from tmatch._search.stages import Stage, StageResult

pytestmark = pytest.mark.engine_free
DECIDE = """
return told.map(({ image, criteria }) => {
  const candidates = candidatesOf(image);
  return criteria.map((criterion) => {
    const decided = decide(candidates, image.parts, criterion);
    return {
      rules: decided.rules, numbers: [...decided.numbers].sort((a, b) => a[0] - b[0]),
      matches: matchesOf(candidates, decided).map((c) => c.index),
      misses: nearMisses(candidates, decided, criterion).map((c) => [c.label, c.start, decided.rules[c.index]]),
    };
  });
});
"""


class PlainNull:
    """A null distribution as it is recorded: a table of numbers."""

    side_lobes = NullDistribution.side_lobes
    has_copies = False

    def __init__(self, positions, chance, copies, beside):
        self.index = {tuple(position): i for i, position in enumerate(positions.tolist())}
        self.chance, self.copies, self.pairs = chance, copies, beside

    def _of(self, positions):
        return np.array([self.index[tuple(position)] for position in positions.tolist()], int)

    def false_alarms(self, positions, _scores, *, n_tests=1.0):
        values = self.chance[self._of(positions)] * n_tests
        return values if n_tests == 1 else np.array([float(f"{value:.3g}") for value in values])

    def as_copies(self, positions, _scores):
        return self.copies[self._of(positions)]

    def beside(self, positions, scores, i, others):
        numbers = self._of(positions)
        for k in others:
            if scores[i] < scores[k] and (expected := self.pairs.get((numbers[i], numbers[k]))) is not None:
                yield k, expected

    def others(self, *_):
        return SimpleNamespace(positions=np.empty((0, 2), int))


@dataclass(frozen=True, kw_only=True)
class Planted(TemplateCandidates):
    """Candidates with values at random."""

    drawn: dict

    @cached_property
    def boxes(self):
        return self.drawn["boxes"]

    @cached_property
    def outlines(self):
        return self.drawn["outlines"]

    def alike(self, which=slice(None), *, asked_to_filter=False):
        del asked_to_filter
        return self.drawn["alike"][which]

    def compare(self, which, white_noise=None):
        del white_noise
        return [self.drawn["compared"][i] for i in which]

    def evidence(self):
        return self.drawn["evidence"]

    def matches(self):
        numbers = self.false_alarms() or [None] * len(self.boxes)
        rows = zip(self.boxes, self.peaks.scores.tolist(), numbers, strict=True)
        return [Match(box, score, self.label, false_alarms=number) for box, score, number in rows]

    def select(self, which):
        drawn = {name: [values[i] for i in which] for name, values in self.drawn.items()}
        arrays = {name: self.drawn[name][which] for name in ("alike", "evidence")}
        return replace(self, peaks=self.peaks.select(which), drawn={**drawn, **arrays})


def planted(rng, label, prefilter, n_tests):
    """Draw the candidates of one template: many ties, near ones, overlapping ones, some turned."""
    n, extent = int(rng.integers(0, 12)), int(rng.integers(8, 60))
    cells = rng.choice(extent * extent, size=n, replace=False)
    cells.sort()
    positions = np.stack(np.divmod(cells, extent), axis=1)
    shape = tuple(map(int, rng.integers(3, 20, 2)))
    turned = rng.random(n) < rng.choice([0, 0.5])
    boxes, outlines = [], []
    for (y, x), is_turned in zip(positions.tolist(), turned.tolist(), strict=True):
        pose = Pose(float(rng.uniform(-180, 180)), float(rng.uniform(0.7, 1.4)), bool(rng.random() < 0.5))
        outline = corners_of((y + shape[0] / 2, x + shape[1] / 2), shape, pose)
        boxes.append(bounding_box(outline) if is_turned else Box((y, x), shape))
        outlines.append(outline if is_turned else None)
    scores = rng.choice([rng.uniform(-0.1, 1, n), rng.integers(3, 11, n) / 10])
    filtered = None if prefilter == "none" else rng.uniform(0, 1, n)
    pairs = {
        (i, k): float(10 ** rng.uniform(-8, 3))
        for i in range(n)
        for k in range(n)
        if i != k and rng.random() < 0.4
    }
    copies = np.where(rng.random(n) < 0.3, 10 ** rng.uniform(-12, 0, n), math.inf)
    null = PlainNull(
        positions, np.array([float(f"{v:.3g}") for v in 10 ** rng.uniform(-10, 2, n)]), copies, pairs
    )
    kinds = rng.choice(np.array(["copy", "alike"]), n).tolist()
    drawn = {
        "boxes": boxes, "outlines": outlines, "alike": rng.random(n) < 0.8, "evidence": rng.integers(0, 30, n) / 2,
        "compared": [(kind, 0.9) for kind in kinds],
    }  # fmt: skip
    peaks = Candidates(positions, scores, None if rng.random() < 0.1 else null, filtered)
    search = SimpleNamespace(label=label, posed=None)
    return Planted(search, peaks, n_tests, prefilter, drawn=drawn)


def random_record(seed):
    """Draw what was found, and criteria to decide on it."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(np.array(["a", "b", "\ufb01", "\U0001f600", ""]), int(rng.integers(1, 4))).tolist()
    hows = ["none", "whiten"] if rng.random() < 0.4 else ["none"]
    n_tests = float(len(labels) * len(hows))
    found = [planted(rng, label, how, n_tests) for how in hows for label in labels]
    fixed = {
        "max_count": [None, int(rng.integers(1, 6))][int(rng.random() < 0.3)],
        "max_overlap": float(rng.choice([0, 0.1, 0.3, 0.7, 1])), "min_distance": int(rng.choice([1, 1, 4])),
        "copies_only": bool(rng.random() < 0.2), "must_be_alike": bool(rng.random() < 0.8),
    }  # fmt: skip
    criteria = [
        Criterion(
            false_alarms=None if rng.random() < 0.3 else float(10 ** rng.uniform(-9, 2)),
            threshold=None if rng.random() < 0.4 else float(rng.choice([0.3, 0.5, rng.uniform(0, 1)])), **fixed,
        )
        for _ in range(3)
    ]  # fmt: skip
    return found, criteria


def plain(criterion):
    names = (
        "threshold",
        "false_alarms",
        "max_count",
        "max_overlap",
        "min_distance",
        "copies_only",
        "must_be_alike",
    )
    return {name: getattr(criterion, name) for name in names}


def recorded(found, criterion):
    """Return the columns of candidates that are all recorded."""
    stage = StageResult(Stage("none"), found, [], [], recorded=[*map(record_all, found)])
    result = SearchResult(
        [], [stage], [], criterion, looser=replace(criterion, threshold=None, false_alarms=None)
    )
    return columns_of(result, lambda match: match, 1.0, poses=False)


def test_random_records_are_decided_on_as_in_python():
    records = [random_record(seed) for seed in range(300)]
    told = [
        {"image": recorded(found, criteria[0]), "criteria": [*map(plain, criteria)]}
        for found, criteria in records
    ]
    decided = 0
    seen = set()
    for (found, criteria), answers in zip(records, run_script(DECIDE, told), strict=True):
        for criterion, answer in zip(criteria, answers, strict=True):
            decisions = decide(found, criterion)
            assert answer["rules"] == [each.rule for each in decisions]
            assert answer["numbers"] == [[i, each.number] for i, each in enumerate(decisions) if each.number]
            order = sorted(
                (i for i, e in enumerate(decisions) if e.reported), key=lambda i: order_of(decisions[i].match)
            )
            assert answer["matches"] == order
            decided += len(decisions)
            seen.update(answer["rules"])
    assert decided > 5000
    assert seen == {
        "reported", "threshold", "false alarms", "unlike", "alike", "distance", "side lobe", "overlap", "count",
    }  # fmt: skip


# --- real searches ------------------------------------------------------------------------------------


def searched(image, templates, criterion, keep="matches", **preparing):
    matcher = Matcher(templates, **preparing)
    searches = searches_of(matcher, image, None)
    looser = criterion.loosened(searches[0].metric)
    return search(searches, criterion, Resources(1), keep=keep, poses=poses_of(matcher), looser=looser)


def scenes():
    """Searches of drawn screens and of noise: several labels, thresholds, filters, poses."""
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(90, 120)) * 20
    patch = rng.normal(size=(12, 15)) * 20
    for y, x in ((10, 20), (40, 70), (60, 15)):
        noise[y : y + 12, x : x + 15] += patch
    screen = screens.screen(0, (150, 260)).pixels
    icons = {name: screens.icon(name) for name in screens.ICONS}
    yield noise, {"patch": patch}, Criterion.of("zncc"), {}
    yield noise, {"patch": patch, "turned": patch[::-1]}, Criterion.of("zncc", false_alarms=1e-4), {}
    yield noise, {"patch": patch}, Criterion.of("zncc", threshold=0.4), {}
    yield noise, {"patch": patch}, Criterion.of("zncc", threshold=0.4, false_alarms=0.1, max_count=2), {}
    yield noise, {"patch": patch}, Criterion.of("ssd", threshold=-140_000), {"metric": "ssd"}
    yield noise, {"patch": patch}, Criterion.of("zncc"), {"angles": [0, 90, 180]}
    yield screen, icons, Criterion.of("zncc"), {}
    yield screen, icons, Criterion.of("zncc", copies_only=True, max_overlap=0.0), {}
    yield screen, icons, Criterion.of("zncc", prefilter="whiten"), {}
    yield (
        screen.mean(axis=2),
        {"one": [each.mean(axis=2) for each in icons.values()]},
        Criterion.of("zncc"),
        {},
    )


@pytest.mark.parametrize("keep", ["matches", "maps"])
def test_real_searches_are_decided_on_as_in_python(keep):
    cases = []
    for image, templates, criterion, preparing in scenes():
        result = searched(image, templates, criterion, keep=keep, **preparing)
        others = [criterion]
        if criterion.false_alarms is not None:
            others += [
                replace(criterion, false_alarms=f) for f in (1e-12, 1e-3, 1.0, result.looser.false_alarms)
            ]
        if criterion.threshold is not None:
            others += [
                replace(criterion, threshold=t) for t in (result.looser.threshold, criterion.threshold / 2)
            ]
        others.append(
            replace(
                criterion, threshold=max(criterion.threshold or 0.0, 0.0 if preparing.get("metric") else 0.8)
            )
        )
        cases.append((result, others))
    told = [
        {"image": columns_of(result, lambda m: m, 1.0, poses=False), "criteria": [*map(plain, others)]}
        for result, others in cases
    ]
    sizes = []
    for (result, others), answers, each in zip(cases, run_script(DECIDE, told), told, strict=True):
        columns = each["image"]["columns"]
        for criterion, answer in zip(others, answers, strict=True):
            decisions = decide([r.found for r in result.recorded], criterion)
            if each["image"]["limits"]["score"] is None:
                assert answer["rules"] == [d.rule for d in decisions]
            found = sorted((d.match for d in decisions if d.reported), key=order_of)
            assert [columns["start"][i] for i in answer["matches"]] == [[*m.box.start] for m in found]
            assert [columns["kind"][i] for i in answer["matches"]] == [m.kind for m in found]
            assert [columns["expected_score"][i] for i in answer["matches"]] == [
                m.expected_score for m in found
            ]
            sizes.append(len(found))
        first = answers[0]
        assert [columns["start"][i] for i in first["matches"]] == [[*m.box.start] for m in result.matches]
    assert len(set(sizes)) > 5


def test_recording_changes_no_match_and_no_near_miss():
    for image, templates, criterion, preparing in scenes():
        matcher = Matcher(templates, **preparing)
        searches = searches_of(matcher, image, None)
        one = search(searches, criterion, Resources(1), keep="matches", poses=poses_of(matcher))
        other = searched(image, templates, criterion, **preparing)
        assert one.matches == other.matches
        assert one.near_misses == other.near_misses
        assert one.best_besides == other.best_besides


def test_near_misses_are_those_of_python():
    counts = []
    for image, templates, criterion, preparing in scenes():
        if criterion.threshold is not None:  # what is below it was not recorded
            continue
        result = searched(image, templates, criterion, **preparing)
        told = [{"image": columns_of(result, lambda m: m, 1.0, poses=False), "criteria": [plain(criterion)]}]
        [[answer]] = run_script(DECIDE, told)
        misses = [
            [m.label, [*m.box.start], m.rule] for m in near_misses(result._found, result.decisions, criterion)
        ]
        assert answer["misses"] == misses
        counts.append(len(misses))
    assert sum(counts) >= 10


def test_poses_that_need_interpolation_are_decided_on_as_in_python():
    rng = np.random.default_rng(5)
    from skimage.transform import resize, rotate

    part = resize(rng.normal(size=(10, 12)), (30, 36), order=3)
    image = rng.normal(size=(160, 160)) * 0.1
    turned = rotate(part, 25, resize=True, order=3)
    image[30 : 30 + turned.shape[0], 60 : 60 + turned.shape[1]] += turned
    image[100:130, 20:56] += part
    criterion = Criterion.of("zncc")
    result = searched(image, part, criterion, angles=(-40, 40))
    others = [replace(criterion, false_alarms=f) for f in (0.01, 1e-8, 5.0)]
    told = [{"image": columns_of(result, lambda m: m, 1.0, poses=True), "criteria": [*map(plain, others)]}]
    [answers] = run_script(DECIDE, told)
    columns = told[0]["image"]["columns"]
    assert PoseOptions.of((-40, 40)).exact is False
    for other, answer in zip(others, answers, strict=True):
        found = sorted((d.match for d in decide(result._found, other) if d.reported), key=order_of)
        assert [columns["score"][i] for i in answer["matches"]] == [m.score for m in found]
    assert len(answers[0]["matches"]) == len(result.matches) == 2
    assert {name for pose in columns["pose"] for name in pose} == {
        "angle", "scale", "flip", "center", "corners", "errors",
    }  # fmt: skip


def test_more_candidates_than_are_recorded_end_where_all_are_known(monkeypatch):
    monkeypatch.setattr(recorded_candidates, "MOST", 30)
    rng = np.random.default_rng(0)
    image, template = rng.normal(size=(80, 80)), rng.normal(size=(5, 5))
    result = searched(image, template, Criterion.of("zncc", threshold=0.6))
    told = columns_of(result, lambda m: m, 1.0, poses=False)
    scores = sorted(told["columns"]["score"], reverse=True)
    every = sorted(result.recorded[0].found.peaks.scores.tolist(), reverse=True)
    assert scores == every[:30]
    assert every[30] < told["limits"]["score"] <= every[29]


def test_among_very_many_a_threshold_alone_decides(monkeypatch):
    monkeypatch.setattr(recorded_candidates, "_CROWDED", 30)
    rng = np.random.default_rng(0)
    image, template = rng.normal(size=(80, 80)), rng.normal(size=(5, 5))
    criterion = Criterion.of("zncc", threshold=0.5)
    result = searched(image, template, criterion)
    told = {"image": columns_of(result, lambda m: m, 1.0, poses=False), "criteria": [plain(criterion)]}
    assert told["image"]["parts"][0]["lobes"] == []
    assert not told["image"]["parts"][0]["has_null"]
    [[answer]] = run_script(DECIDE, [told])
    starts = told["image"]["columns"]["start"]
    assert [starts[i] for i in answer["matches"]] == [[*match.box.start] for match in result.matches]


def test_an_image_without_candidates_is_decided_on():
    [[answer]] = run_script(
        DECIDE, [{"image": {"parts": [], "columns": {}}, "criteria": [plain(Criterion.of("zncc"))]}]
    )
    assert answer == {"rules": [], "numbers": [], "matches": [], "misses": []}
