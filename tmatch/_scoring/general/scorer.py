"""Scores of any search, block by block: all metrics, with masks and missing pixels, in any dimension."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Region
from tmatch._engine import select
from tmatch._engine.interface import Transforms
from tmatch._engine.real_tiles import SCORE_STEPS
from tmatch._scoring.general.exact import prepare_exact
from tmatch._scoring.general.floats import prepare_floats
from tmatch._scoring.general.sums import SumBlock, WindowSums
from tmatch._scoring.scorer import NO_FLOOR, Grid, ScoredBlock
from tmatch._scoring.search import PASSES, Search

_OVERSHOOT = 1e-9  # maximum excess of a score over 1 by rounding


class GeneralScorer:
    """Scores one search; see `scorer.Scorer`."""

    passes = float(PASSES)

    def __init__(self, number: int, search: Search, transforms: Transforms | None = None) -> None:
        self.templates: Sequence[int] = [number]
        self.search = search
        if transforms is None:
            engine = select.choose(PASSES * math.prod(search.shape), search.shape, len(search.image))
            transforms = engine.transforms(search.shape, search.template[0].shape)
        self.tiling = transforms.tiling
        with np.errstate(over="ignore", invalid="ignore"):  # reported by `_scores`
            self._sum_block, self._exact = _prepare(search, transforms)

    def score(
        self,
        block: Region,
        *,
        floor: float = NO_FLOOR,  # noqa: ARG002
        grids: Mapping[int, Grid] | None = None,  # noqa: ARG002
    ) -> Iterator[ScoredBlock]:
        """Score a block of positions; there are no summaries."""
        search = self.search
        with np.errstate(over="ignore", invalid="ignore"):
            sums = self._sum_block(block)
        shape = tuple(s.stop - s.start for s in block)
        valid = np.array(np.broadcast_to(sums.weight >= search.min_weight, shape))
        if search.metric.normalised:
            valid &= (sums.image_square > 0) & (sums.template_square > 0)
        scores = _scores(sums, search, valid, exact=self._exact)
        yield ScoredBlock(self.templates[0], block, scores, valid, overlap=float(np.max(sums.weight)))

    def finish(self, overlap: float) -> None:
        """Raise if no position has enough overlap."""
        check_overlap(self.search, overlap)


def check_overlap(search: Search, largest: float) -> None:
    """Raise if no position has enough weight on valid pixels."""
    if largest < search.min_weight:
        msg = (
            f"at most {max(largest / search.total, 0):.2g} of the template lies on valid pixels at any "
            f"position, and `min_overlap` asks for {search.min_weight / search.total:.2g}: lower it, use a smaller "
            "template, or see which pixels of the image are missing"
        )
        raise ValueError(msg)


def _prepare(search: Search, transforms: Transforms) -> tuple[SumBlock, bool]:
    """Return a function that sums over a block of positions, and whether its sums are exact.

    Sums are those of double precision: here, transforms in single precision save less than their checks cost.
    """
    exact = prepare_exact(search, transforms)
    return exact or prepare_floats(search, transforms), exact is not None


def _scores(
    sums: WindowSums, search: Search, valid: NDArray[np.bool_], *, exact: bool
) -> NDArray[np.float64]:
    """Compute scores from sums; 0 where they are not valid."""
    product, metric = sums.product, search.metric
    if metric.differences:
        difference = sums.difference
        if difference is None:
            difference = sums.image_square + sums.template_square - 2 * product
        product = np.minimum(-difference, 0)
    with np.errstate(over="ignore", invalid="ignore"):  # checked below where it matters
        if metric.normalised and metric.differences:
            norm = np.sqrt(sums.image_square, dtype=np.float64) * np.sqrt(sums.template_square)
        elif metric.normalised:
            squares = np.asarray(sums.image_square, np.float64), np.asarray(sums.template_square, np.float64)
            norm = np.multiply(*squares)
            np.sqrt(norm, out=norm)
        else:
            weight = np.asarray(sums.weight, np.float64)
            norm = np.broadcast_to(np.asarray(sums.factor, np.float64) * (weight / search.total), valid.shape)
        scores: NDArray[np.float64]
        if valid.all():
            scores = np.divide(product, norm)
        else:
            scores = np.divide(product, norm, out=np.zeros(valid.shape), where=valid)
    if metric.bounded and not exact:
        # Scores that differ only by rounding become equal: plateaus stay connected, exact copies score 1.
        scores *= SCORE_STEPS
        np.rint(scores, out=scores)
        scores /= SCORE_STEPS
    lowest, highest = float(scores.min()), float(scores.max())
    if metric.bounded:
        _check_bounds(lowest, highest)
        return np.clip(scores, -1, 1, out=scores) if lowest < -1 or highest > 1 else scores
    dtype = np.float32 if search.single else np.float64
    if not max(highest, -lowest) <= float(np.finfo(dtype).max):
        msg = f'"{metric.name}" scores pass the largest {dtype.__name__}; scale `image` and `template` down'
        raise ValueError(msg)
    return scores


def _check_bounds(lowest: float, highest: float) -> None:
    """Check that scores exceed 1 by no more than rounding; anything else, and NaN, is a bug."""
    if not (lowest >= -1 - _OVERSHOOT and highest <= 1 + _OVERSHOOT):
        msg = f"scores from {lowest} to {highest} are outside [-1, 1]: this is a bug in tmatch, please report it"
        raise ArithmeticError(msg)
