"""Resized, rotated and flipped variants of a template that match better than it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._detection.criterion import DEFAULT_FALSE_ALARMS, Criterion
from tmatch._engine.progress import Resources
from tmatch._results.boxes import Box
from tmatch._results.decisions import Decision
from tmatch._results.explanation import Hint
from tmatch._results.matches import Match
from tmatch._scoring.maps import Preparing
from tmatch._search.matcher import Matcher, searches_of
from tmatch._search.poses import Pose, transform
from tmatch._search.recipe import SearchResult, search

FACTORS = (1 / 2, 2 / 3, 3 / 4, 4 / 5, 9 / 10, 11 / 10, 5 / 4, 4 / 3, 3 / 2, 2.0)
TURNS = {
    "turned 90": Pose(angle=90),
    "turned 180": Pose(angle=180),
    "turned 270": Pose(angle=270),
    "mirrored left-right": Pose(flip=True),
    "mirrored up-down": Pose(angle=180, flip=True),
}
_MIN_SIDE = 3  # smaller templates match nearly everywhere
_BETTER = 10  # times fewer false alarms
_REDUCTIONS = (4, 2)  # of the resolution
_MIN_REDUCED_SIDE = 12  # pixels of the smallest variant
_REFINED = 3  # positions of each variant that are scored at full resolution
_REFINED_FALSE_ALARMS = 10  # at reduced resolution, where fine details may be lost
_MIN_OVERLAP = 1e-3  # the position found at reduced resolution has enough


@dataclass(frozen=True)
class Scene:
    """An image of two axes, and perhaps one of channels after them, and which of its pixels are valid."""

    image: Array
    mask: Array | None

    def reduced(self, factor: int) -> "Scene":
        """Reduce the resolution by block means; blocks are valid where all of their pixels are."""
        mask = None if self.mask is None else _block_means(self.mask, factor) == 1
        return Scene(_reduce(self.image, factor), mask)

    def crop(self, start: Sequence[int], stop: Sequence[int]) -> "Scene":
        """Cut a part out."""
        part = tuple(map(slice, start, stop))
        return Scene(self.image[part], None if self.mask is None else self.mask[part])


@dataclass(frozen=True)
class Variant:
    """A transformed template, (H, W) or (H, W, C), with its mask."""

    template: Array
    mask: Array | None
    factor: float = 1.0
    turn: str = ""

    def reduced(self, factor: int) -> "Variant":
        """Reduce the resolution by block means; masked pixels do not spread."""
        if self.mask is None:
            return replace(self, template=_reduce(self.template, factor))
        weights = self.mask.reshape(self.mask.shape + (1,) * (self.template.ndim - self.mask.ndim))
        total = _block_means(np.where(weights > 0, self.template, 0.0) * weights, factor)
        weight, mask = _block_means(weights, factor), _block_means(self.mask, factor)
        pixels = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
        binary = ((self.mask == 0) | (self.mask == 1)).all()
        return replace(self, template=pixels, mask=mask > 0.5 if binary else mask)


@dataclass(frozen=True)
class VariantSearch:
    """Variants of a template that are searched for together, at reduced resolution where they are large enough."""

    scene: Scene
    variants: Mapping[str, Variant]
    reduction: int
    matcher: Matcher
    preparing: Preparing

    def find_hints(
        self,
        decision: Decision,
        near: Box | None,
        resources: Resources,
    ) -> tuple[Hint | None, Hint | None]:
        """Find the best change of size, and the best rotation or flip.

        They must be accepted among all variants, with a tenth of the false alarms of the position that was decided on,
        and a higher score; with their middle in the box `near`, if there is one.
        """
        reduced = self.reduction > 1
        criterion = Criterion.of(
            self.preparing.get("metric", "zncc"), false_alarms=_REFINED_FALSE_ALARMS if reduced else None,
            max_overlap=1, prefilter="none",
        )  # fmt: skip
        scene = self.scene.reduced(self.reduction) if reduced else self.scene
        result = search(searches_of(self.matcher, scene.image, scene.mask), criterion, resources)
        matches = self._refined(result, near) if reduced else result.matches
        return choose(matches, self.variants, decision, near)

    def _refined(self, result: SearchResult, near: Box | None) -> list[Match]:
        """Score the best positions of each variant at full resolution; false alarms are those of the reduced one."""
        refined = []
        for found in result.stages[-1].found:
            variant = self.variants[found.label]
            own = [match for match in result.matches if match.label == found.label]
            boxes = [(match, self._at_full_resolution(match.box, variant)) for match in own]
            boxes = [(match, box) for match, box in boxes if _is_near(box, near)][:_REFINED]
            matcher = self._matcher_at_full_resolution(variant) if boxes else self.matcher
            for match, box in boxes:
                exact, score = self._refine(matcher, box)
                position = found.search.position_of(match.box.start)
                [decided] = found.at(position, score, score).matches()
                refined.append(replace(decided, box=exact))
        return [each for each in refined if (each.false_alarms or 0.0) <= DEFAULT_FALSE_ALARMS]

    def _at_full_resolution(self, box: Box, variant: Variant) -> Box:
        return Box(tuple(s * self.reduction for s in box.start), variant.template.shape[:2])

    @property
    def _whole(self) -> bool:
        """Whether only windows inside the image count."""
        return self.preparing.get("output", "valid") == "valid"

    def _matcher_at_full_resolution(self, variant: Variant) -> Matcher:
        """Prepare a variant for a search around a position that has enough overlap."""
        options: dict[str, Any] = {
            **self.preparing,
            "output": "valid" if self._whole else "full",
            "min_overlap": _MIN_OVERLAP,
        }
        return Matcher(variant.template, masks=variant.mask, **options)

    def _refine(self, matcher: Matcher, box: Box) -> tuple[Box, float]:
        """Find the best position around one that is known at reduced resolution, and its score."""
        reach = 2 * self.reduction
        start = [max(0, s - reach) for s in box.start]
        stop = [min(n, e + reach) for n, e in zip(self.scene.image.shape, box.stop, strict=False)]
        crop = self.scene.crop(start, stop)
        scores = np.asarray(matcher.score(crop.image, image_mask=crop.mask))
        first = start if self._whole else [s - n + 1 for s, n in zip(start, box.shape, strict=True)]
        starts = [np.arange(n) + f for n, f in zip(scores.shape, first, strict=True)]
        near = [np.flatnonzero(np.abs(a - s) <= reach) for a, s in zip(starts, box.start, strict=True)]
        part = scores[np.ix_(*near)]
        best = np.unravel_index(part.argmax(), part.shape)
        position = tuple(int(a[n[i]]) for a, n, i in zip(starts, near, best, strict=True))
        return Box(position, box.shape), float(part[best])


def prepare_variants(scene: Scene, variants: Sequence[Variant], preparing: Preparing) -> VariantSearch | None:
    """Prepare the search for variants: at the lowest resolution at which all have enough pixels and contrast."""
    smallest = min((min(each.template.shape[:2]) for each in variants), default=0)
    numbered = {str(number): each for number, each in enumerate(variants)}
    for factor in _REDUCTIONS:
        if smallest // factor >= _MIN_REDUCED_SIDE:
            reduced = {label: each.reduced(factor) for label, each in numbered.items()}
            try:
                return VariantSearch(scene, numbered, factor, _matcher_of(reduced, preparing), preparing)
            except ValueError:  # fine details cancel out
                continue
    numbered = {label: each for label, each in numbered.items() if _can_be_compared(each, preparing)}
    if not numbered:
        return None
    return VariantSearch(scene, numbered, 1, _matcher_of(numbered, preparing), preparing)


def _matcher_of(variants: Mapping[str, Variant], preparing: Preparing) -> Matcher:
    masks = {label: each.mask for label, each in variants.items() if each.mask is not None}
    return Matcher({label: each.template for label, each in variants.items()}, masks=masks, **preparing)


def choose(
    matches: Sequence[Match], changes: Mapping[str, Variant], decision: Decision, near: Box | None
) -> tuple[Hint | None, Hint | None]:
    """Choose what does clearly better than a position, and of that what has the fewest false alarms."""
    better = [match for match in matches if _is_better(match, decision) and _is_near(match.box, near)]
    hints = []
    for match in sorted(better, key=lambda match: match.false_alarms or 0.0):
        change = changes[match.label]
        hints.append(Hint(replace(match, label=""), change.factor, change.turn))
    scale = next((hint for hint in hints if not hint.turn), None)
    return scale, next((hint for hint in hints if hint.turn), None)


def variants_of(template: Array, mask: Array | None, scene: Scene, output: str) -> list[Variant]:
    """Resize, rotate and flip a template, as far as the results fit into the image."""
    room = scene.image.shape if output == "valid" else None
    variants = [Variant(*transform(template, mask, Pose(scale=factor)), factor) for factor in FACTORS]
    variants += [Variant(*transform(template, mask, pose), turn=name) for name, pose in TURNS.items()]
    return [each for each in variants if _fits(each.template.shape, room)]


def _reduce(values: Array, factor: int) -> Array:
    """Reduce the resolution by block means, of small integers by sums: scores are the same, and whole numbers fast."""
    means = _block_means(values, factor)
    if values.dtype.kind in "bu" and values.dtype.itemsize == 1:
        means *= factor**2
        return np.asarray(np.rint(means), np.uint16)
    return np.asarray(np.rint(means), values.dtype) if values.dtype.kind in "iu" else means


def _block_means(values: Array, factor: int) -> Array:
    """Average blocks of the first two axes; what is left over at their ends is cut off."""
    height, width = (n // factor for n in values.shape[:2])
    blocks = values[: height * factor, : width * factor].reshape(
        height, factor, width, factor, *values.shape[2:]
    )
    means: Array = blocks.mean(axis=(1, 3), dtype=np.float64)
    return means


def _fits(shape: tuple[int, ...], room: tuple[int, ...] | None) -> bool:
    height, width, *_ = shape
    return min(height, width) >= _MIN_SIDE and (room is None or (height <= room[0] and width <= room[1]))


def _can_be_compared(variant: Variant, preparing: Preparing) -> bool:
    """Check whether a variant has anything to compare: when made smaller it may be constant."""
    try:
        Matcher(variant.template, masks=variant.mask, **preparing)
    except ValueError:
        return False
    return True


def _is_better(match: Match, decision: Decision) -> bool:
    """Check that a match is clearly better than a position."""
    unknown = decision.score is None or decision.false_alarms is None
    return unknown or (match.score > (decision.score or 0.0) and _is_rarer(match, decision))


def _is_rarer(match: Match, decision: Decision) -> bool:
    """Check that a match has clearly fewer false alarms than a position."""
    if decision.score is None or decision.false_alarms is None or match.false_alarms is None:
        return True
    return match.false_alarms * _BETTER <= decision.false_alarms


def _is_near(box: Box, near: Box | None) -> bool:
    """Check that the middle of a box lies in another."""
    if near is None:
        return True
    return all(s <= m < e for s, m, e in zip(near.start, box.center, near.stop, strict=True))
