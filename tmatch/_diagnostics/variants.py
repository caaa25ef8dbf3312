"""Resized, rotated and flipped variants of a template that match better than it."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tmatch._arrays.channels import channels_last
from tmatch._arrays.typing import Array
from tmatch._detection.criterion import DEFAULT_FALSE_ALARMS, Criterion
from tmatch._engine.progress import Resources
from tmatch._filtering.filters import correlate
from tmatch._poses.transform import resample, transform
from tmatch._results.boxes import Box
from tmatch._results.decisions import PASSED, Decision
from tmatch._results.explanation import Hint
from tmatch._results.matches import Match
from tmatch._results.poses import Pose
from tmatch._scoring.inputs import Inputs
from tmatch._scoring.maps import Preparing
from tmatch._scoring.search import Search
from tmatch._search.matcher import Matcher, searches_of
from tmatch._search.recipe import SearchResult, search

FACTORS = (1 / 2, 2 / 3, 3 / 4, 4 / 5, 9 / 10, 11 / 10, 5 / 4, 4 / 3, 3 / 2, 2.0)
TURNS = {
    "turned 90": Pose(angle=90),
    "turned 180": Pose(angle=180),
    "turned 270": Pose(angle=270),
    "mirrored left-right": Pose(flip=True),
    "mirrored up-down": Pose(angle=180, flip=True),
}
_FEW = 64  # pixels of a masked template: of fewer, hardly any are left at half the size
_MIN_SIDE = 3  # smaller templates match nearly everywhere
_BETTER = 10  # times fewer false alarms
_LEFT = 1 / 4  # share of the variance that a position does not explain, left by a variant that stands out
_MAX_FALSE_ALARMS = 1.0  # of a variant that stands out; look-alikes near it make them many
_REDUCTIONS = (4, 2)  # of the resolution
_MIN_REDUCED_SIDE = 12  # pixels of the smallest variant
_REFINED = 3  # positions of each variant that are scored at full resolution
_REFINED_FALSE_ALARMS = 10  # at reduced resolution, where fine details may be lost
_ROUNDING = 1e-10  # of sums of weights
_MIN_OVERLAP = 1e-3  # the position found at reduced resolution has enough


@dataclass(frozen=True)
class MaskedImage:
    """An image, (H, W) or (H, W, C), and which of its pixels are valid; None for all."""

    pixels: Array
    valid: Array | None

    def reduced(self, factor: int) -> "MaskedImage":
        """Reduce the resolution by block means; blocks are valid where all of their pixels are."""
        valid = None if self.valid is None else _block_means(self.valid, factor) == 1
        return MaskedImage(_reduce(self.pixels, factor), valid)

    def crop(self, start: Sequence[int], stop: Sequence[int]) -> "MaskedImage":
        """Cut a part out."""
        part = tuple(map(slice, start, stop))
        return MaskedImage(self.pixels[part], None if self.valid is None else self.valid[part])


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
        pixels, mask = resample(self.template, self.mask, lambda values: _block_means(values, factor))
        return replace(self, template=pixels, mask=mask)


@dataclass(frozen=True)
class VariantSearch:
    """Variants of a template that are searched for together, at reduced resolution where they are large enough."""

    image: MaskedImage
    variants: Mapping[str, Variant]
    reduction: int
    searches: list[Search]
    preparing: Preparing

    def find_hints(
        self, decision: Decision, near: Box | None, resources: Resources
    ) -> tuple[Hint | None, Hint | None]:
        """Find the best change of size, and the best rotation or flip.

        Their matches are clearly better than the position that was decided on, see `choose`. Their centres lie in the
        box `near`, if there is one.
        """
        reduced = self.reduction > 1
        criterion = Criterion.of(
            self.preparing.get("metric", "zncc"), max_overlap=1, prefilter="none",
            false_alarms=_REFINED_FALSE_ALARMS if reduced else _MAX_FALSE_ALARMS,
        )  # fmt: skip
        criterion = replace(criterion, must_be_alike=False)  # a changed template is only nearly the object
        result = search(self.searches, criterion, resources)
        matches = self._refined(result, near) if reduced else result.matches
        return choose(matches, self.variants, decision, near)

    def _refined(self, result: SearchResult, near: Box | None) -> list[Match]:
        """Score the best positions of each variant at full resolution; false alarms are those of the reduced one."""
        refined = []
        for found in result.stages[-1].found:
            variant = self.variants[found.label]
            shape, own = variant.template.shape[:2], [m for m in result.matches if m.label == found.label]
            boxes = [(m, Box(tuple(s * self.reduction for s in m.box.start), shape)) for m in own]
            best = [(match, box) for match, box in boxes if _is_near(box, near)][:_REFINED]
            if not best:
                continue
            matcher = self._matcher_at_full_resolution(variant)
            for match, box in best:
                exact, score = self._refine(matcher, box)
                position = found.search.position_of(match.box.start)
                [decided] = found.at(position, score, score).matches()
                refined.append(replace(decided, box=exact))
        return refined

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
        stop = [min(n, e + reach) for n, e in zip(self.image.pixels.shape, box.stop, strict=False)]
        crop = self.image.crop(start, stop)
        scores = np.asarray(matcher.score(crop.pixels, image_mask=crop.valid))
        first = start if self._whole else [s - n + 1 for s, n in zip(start, box.shape, strict=True)]
        starts = [np.arange(n) + f for n, f in zip(scores.shape, first, strict=True)]
        near = [np.flatnonzero(np.abs(a - s) <= reach) for a, s in zip(starts, box.start, strict=True)]
        part = scores[np.ix_(*near)]
        best = np.unravel_index(part.argmax(), part.shape)
        position = tuple(int(a[n[i]]) for a, n, i in zip(starts, near, best, strict=True))
        return Box(position, box.shape), float(part[best])


def prepare_variants(given: Inputs, preparing: Preparing) -> VariantSearch | None:
    """Prepare the search for variants, at the lowest resolution at which all have enough pixels and contrast.

    None if there are none: for images with other than two axes, and for small templates.
    """
    axis = given.channel_axis
    pixels, searched = channels_last(given.template, axis), channels_last(given.image, axis)
    weights = None if given.mask is None else np.asarray(given.mask)
    if pixels.ndim - (axis is not None) != 2 or (weights is not None and np.count_nonzero(weights) < _FEW):
        return None
    if weights is not None and weights.ndim == pixels.ndim:
        weights = channels_last(weights, axis)
    masked = MaskedImage(searched, None if given.image_mask is None else np.asarray(given.image_mask))
    preparing = {**preparing, "channel_axis": None if axis is None else -1}
    variants = _variants_of(pixels, weights, masked, preparing.get("output", "valid"))
    smallest = min((min(each.template.shape[:2]) for each in variants.values()), default=0)
    for factor in _REDUCTIONS:
        if smallest // factor >= _MIN_REDUCED_SIDE:
            reduced = {label: each.reduced(factor) for label, each in variants.items()}
            try:
                searches = _searches_of(reduced, masked.reduced(factor), preparing)
            except ValueError:  # fine details cancel out
                continue
            return _search_of(masked, variants, factor, searches, preparing)
    variants = {label: each for label, each in variants.items() if _can_be_compared(each, preparing)}
    searches = _searches_of(variants, masked, preparing) if variants else []
    return _search_of(masked, variants, 1, searches, preparing)


def _search_of(
    image: MaskedImage,
    variants: Mapping[str, Variant],
    reduction: int,
    searches: list[Search],
    preparing: Preparing,
) -> VariantSearch | None:
    """Make a search of the variants that have a score anywhere; None if there are none."""
    scorable = [each for each in searches if _has_overlap(each)]
    kept = {each.label: variants[each.label] for each in scorable}
    return VariantSearch(image, kept, reduction, scorable, preparing) if kept else None


def _has_overlap(search: Search) -> bool:
    """Check that enough of a template lies on valid pixels at some position."""
    shape = search.image[0].shape
    if search.valid is None and all(map(operator.le, search.window, shape)):
        return True
    valid = np.ones(shape) if search.valid is None else search.valid.astype(np.float64)
    weights = np.sum(search.weights, axis=0, dtype=np.float64)
    seen = correlate(np.pad(valid, search.margins), weights, output="valid")
    return bool(seen.max() >= search.min_weight * (1 + _ROUNDING))


def _searches_of(variants: Mapping[str, Variant], image: MaskedImage, preparing: Preparing) -> list[Search]:
    masks = {label: each.mask for label, each in variants.items() if each.mask is not None}
    templates = {label: each.template for label, each in variants.items()}
    return searches_of(Matcher(templates, masks=masks, **preparing), image.pixels, image.valid)


def choose(
    matches: Sequence[Match], variants: Mapping[str, Variant], decision: Decision, near: Box | None
) -> tuple[Hint | None, Hint | None]:
    """Choose the matches that are clearly better than a position; of these, those with the fewest false alarms.

    They stand out, or, if the position was not accepted, are rarer. Those that stand out come first.
    """
    close = [match for match in matches if _is_near(match.box, near)]
    close.sort(key=_expected)
    better = [match for match in close if _stands_out(match, decision)]
    if decision.rule not in PASSED:
        better += [match for match in close if _is_rarer(match, decision)]
    chosen = [(match, variants[match.label]) for match in better]
    hints = [Hint(replace(match, label=""), variant.factor, variant.turn) for match, variant in chosen]
    scale = next((hint for hint in hints if not hint.turn), None)
    return scale, next((hint for hint in hints if hint.turn), None)


def _variants_of(template: Array, mask: Array | None, image: MaskedImage, output: str) -> dict[str, Variant]:
    """Resize, rotate and flip a template, as far as the results fit into the image; number them."""
    variants = [Variant(*transform(template, mask, Pose(scale=factor)), factor) for factor in FACTORS]
    variants += [Variant(*transform(template, mask, pose), turn=name) for name, pose in TURNS.items()]
    room = np.array(image.pixels.shape[:2]) if output == "valid" else np.inf
    shapes = [np.array(each.template.shape[:2]) for each in variants]
    fitting = [v for v, s in zip(variants, shapes, strict=True) if s.min() >= _MIN_SIDE and (s <= room).all()]
    return {str(number): variant for number, variant in enumerate(fitting)}


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


def _can_be_compared(variant: Variant, preparing: Preparing) -> bool:
    """Check whether a variant has anything to compare: when made smaller it may be constant."""
    try:
        Matcher(variant.template, masks=variant.mask, **preparing)
    except ValueError:
        return False
    return True


def _stands_out(match: Match, decision: Decision) -> bool:
    """Check that a match leaves much less of the variance unexplained than a position: look-alikes may hide it."""
    left = 1 - max(decision.score or 0.0, 0.0) ** 2
    return 1 - match.score**2 <= _LEFT * left and _expected(match) <= _MAX_FALSE_ALARMS


def _is_rarer(match: Match, decision: Decision) -> bool:
    """Check that a match is accepted, has a higher score than a position, and clearly fewer false alarms."""
    if _expected(match) > DEFAULT_FALSE_ALARMS:
        return False
    if decision.score is None or decision.false_alarms is None:
        return True
    return match.score > decision.score and _expected(match) * _BETTER <= decision.false_alarms


def _expected(match: Match) -> float:
    """Return the expected number of false alarms; 0 where it is not known."""
    return match.false_alarms or 0.0


def _is_near(box: Box, near: Box | None) -> bool:
    """Check that the centre of a box lies in another."""
    if near is None:
        return True
    return all(s <= m < e for s, m, e in zip(near.start, box.center, near.stop, strict=True))
