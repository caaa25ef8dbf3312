"""Scores of any search, block by block: each metric, with masks and missing pixels, in any dimension."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Region
from tmatch._engine import select
from tmatch._engine.interface import Transforms
from tmatch._scoring.general.exact import prepare_exact
from tmatch._scoring.general.floats import prepare_floats
from tmatch._scoring.general.sums import WindowSums
from tmatch._scoring.scorer import NO_FLOOR, Grid, ScoredBlock
from tmatch._scoring.search import PASSES, TRUSTED_SINGLE, Search

_OVERSHOOT = 1e-9  # a score may pass 1 by rounding, and by no more
_STEPS = 2.0**40  # scores of floats are multiples of 2**-40, about 1e-12


class GeneralScorer:
    """Scores one search; see `scorer.Scorer`."""

    passes = float(PASSES)

    def __init__(self, number: int, search: Search) -> None:
        self.templates: Sequence[int] = [number]
        self.search = search
        engine = select.choose(PASSES * math.prod(search.shape), search.shape, len(search.image))
        transforms = engine.transforms(search.shape, search.template[0].shape)
        self.tiling = transforms.tiling
        with np.errstate(over="ignore", invalid="ignore"):  # refused by `_scores`
            self._sum_block, self._exact = _prepare(search, transforms)
        self._overlaps: list[float] = []

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
        self._overlaps.append(float(np.max(sums.weight)))
        shape = tuple(s.stop - s.start for s in block)
        valid = np.array(np.broadcast_to(sums.weight >= search.least, shape))
        if search.metric.normalised:
            valid &= (sums.image_square > 0) & (sums.template_square > 0)
        scores = _scores(sums, search, valid, exact=self._exact)
        yield ScoredBlock(self.templates[0], block, scores, valid)

    def finish(self) -> None:
        """Refuse a search in which no place has enough overlap; known once all blocks are scored."""
        search, most = self.search, max(self._overlaps)
        if most < search.least:
            msg = (
                f"at most {max(most / search.total, 0):.2g} of the template lies on existing pixels at any place, "
                f"and `min_overlap` asks for {search.least / search.total:.2g}: lower it, use a smaller template, or "
                "see which pixels of the image are missing"
            )
            raise ValueError(msg)


def _prepare(search: Search, transforms: Transforms) -> tuple[Callable[[Region], WindowSums], bool]:
    """Prepare the sums over a block of places, and say whether they are exact."""
    exact = prepare_exact(search, transforms)
    sum_block = exact or prepare_floats(search, transforms)

    def sum_double_where_needed(block: Region) -> WindowSums:
        sums = sum_block(block, search.single)
        if not search.single:
            return sums
        if _too_coarse(search, sums):
            return sum_block(block, False)  # noqa: FBT003
        return sums

    return sum_double_where_needed, exact is not None and not search.single


def _too_coarse(search: Search, sums: WindowSums) -> bool:
    """Tell whether sums in single precision leave some score of the tile in doubt."""
    squares = np.asarray(sums.image_square, np.float64), np.asarray(sums.template_square, np.float64)
    norms = np.sqrt(np.maximum(squares[0], 0)) * np.sqrt(np.maximum(squares[1], 0))
    counts = (norms > 0) & (sums.weight >= search.least)
    return bool(
        (counts & (norms < sums.error_single * np.asarray(sums.factor, float) / TRUSTED_SINGLE)).any()
    )


def _scores(
    sums: WindowSums, search: Search, valid: NDArray[np.bool_], *, exact: bool
) -> NDArray[np.float64]:
    """Make scores of sums; 0 where there is none."""
    product, metric = sums.product, search.metric
    if search.single and not metric.normalised:
        product = np.where(sums.image_square > 0, product, 0)  # of nothing nothing is left but rounding
    if metric.differences:
        difference = sums.difference
        if difference is None:
            difference = sums.image_square + sums.template_square - 2 * product
        product = np.minimum(-difference, 0)
    with np.errstate(over="ignore", invalid="ignore"):  # where it matters, told below
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
    if metric.bounded and not exact and not search.single:
        # Equal scores that rounding set apart become equal again: plateaus stay whole, exact copies score 1.
        scores *= _STEPS
        np.rint(scores, out=scores)
        scores /= _STEPS
    least, most = float(scores.min()), float(scores.max())
    if metric.bounded:
        _check_bounds(least, most, 1e-4 if search.single else _OVERSHOOT)
        return np.clip(scores, -1, 1, out=scores) if least < -1 or most > 1 else scores
    dtype = np.float32 if search.single else np.float64
    if not max(most, -least) <= float(np.finfo(dtype).max):
        msg = f'"{metric.name}" scores pass the largest {dtype.__name__}; scale `image` and `template` down'
        raise ValueError(msg)
    return scores


def _check_bounds(least: float, most: float, allowed: float) -> None:
    """Allow for the little by which rounding may pass 1; anything more, and NaN, is an error of ours."""
    if not (least >= -1 - allowed and most <= 1 + allowed):
        msg = f"scores from {least} to {most} are outside [-1, 1]: this is a bug in tmatch, please report it"
        raise ArithmeticError(msg)
