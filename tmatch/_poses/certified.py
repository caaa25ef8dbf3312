"""Which positions no pose can match: a bound on scores at full size, from those of a smaller image.

Let P average blocks of pixels, w be a window and t a copy, both without their means on a disc. By Cauchy and Schwarz
``<w, t> / |w| |t| <= sqrt(a b) c + sqrt((1 - a) (1 - b))``, with the shares a and b of the energy of w and t that P
keeps, and their score c at the smaller size. Within a cell of poses, c is at most ``cos(arccos(c0) - beta)``, with c0
in its middle and beta the largest angle between the copies there and elsewhere in the cell, which is found on samples.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array, Region
from tmatch._engine import threads
from tmatch._engine.posed import Maxima, PoseKernels
from tmatch._engine.progress import Resources
from tmatch._poses.coarse import PoseMaps, Spectra, Tiles, level_of, plan_tiles
from tmatch._poses.levels import ImageLevels
from tmatch._poses.plan import Plan
from tmatch._results.poses import Pose


def score_bounds(levels: ImageLevels, plan: Plan, resources: Resources) -> NDArray[np.float64]:
    """Bound the scores on the inscribed disc, of all poses with their middle on a pixel of the smaller image."""
    level = level_of(levels, plan.factor)
    bounds = np.full(level[0][0].shape, -1.0)
    transforms, engine, batches = plan_tiles(level, plan)
    within = levels.spread(plan.factor)
    resources.progress.expect(len(batches) * transforms.tiling.count)
    for batch in batches:
        spectra = Spectra(plan, batch, transforms)
        laws = [_law(plan, scale) for scale in dict.fromkeys(plan.poses[n].scale for n in batch)]
        tiles = _Bounds(
            engine, transforms, plan, spectra, level, levels.shape, PoseMaps((0, 0)), bounds, laws, within
        )  # fmt: skip
        job = threads.Job(tiles.search, transforms.tiling, 20.0 * len(batch))
        threads.run(job, resources=resources)
    bounds[bounds < 0] = 1.0  # at the border, none of the poses lies in the image, but others may
    return bounds


def at_full_size(values: Array, plan: Plan, shape: tuple[int, ...]) -> Array:
    """Repeat the values of a smaller image for each pixel of the image."""
    for axis, n in enumerate(shape):
        values = np.repeat(values, plan.factor, axis=axis).take(range(n), axis=axis)
    return values


@dataclass(frozen=True)
class _Law:
    """The share of the energy of copies at one scale that the smaller size keeps, and the angle within a cell."""

    kept: float
    beta: float


@dataclass(frozen=True)
class _Bounds(Tiles):
    """Bounds the scores of one tile after the other."""

    bounds_made: Array
    laws: list[_Law]
    within: list[Array]  # variances within the blocks of the smaller image

    def search(self, block: Region) -> None:
        """Bound the scores of all poses in a block."""
        tiles, share = self.read(block)
        if share is not None:
            self.bounds_made[block] = 1.0  # parts of windows are not compared: nothing is ruled out
            return
        shape = tuple(s.stop - s.start for s in block)
        part = tuple(slice(0, n) for n in shape)
        transformed = tuple(self.transforms.transform(tile) for tile in tiles)
        coarse, least = self.energies(tiles, transformed, shape)
        spread = [self.transforms.transform(self.padded(values, block)) for values in self.within]
        bounds = self.bounds(block)
        best = self.bounds_made[block]
        for number, law in enumerate(self.laws):
            masks = [each[number] for each in self.spectra.of_masks]
            fine = coarse[number] + np.maximum(
                self.transforms.correlate(zip(spread, masks, strict=True))[part], 0
            )
            flat = coarse[number] <= least[number]
            kept = np.where(flat, 1.0, np.clip(coarse[number] / np.maximum(fine, 1e-30), 0, 1))
            high = self._highest(
                transformed, bounds, number, np.where(flat, 0, 1 / np.sqrt(np.maximum(coarse[number], 1e-30)))
            )
            angle = np.maximum(np.arccos(np.clip(high, -1, 1)) - law.beta, 0)
            reached = np.sqrt(kept * law.kept) * np.cos(angle) + np.sqrt((1 - kept) * (1 - law.kept))
            reached[flat] = 1.0  # what rounding leaves of them is not known
            np.maximum(best, np.where(high > -2, reached, -1.0), out=best)

    def _highest(self, transformed: tuple[Array, ...], bounds: Array, number: int, inverse: Array) -> Array:
        """Return the highest scores over the poses with one mask; -2 where none lies in the image."""
        which = np.flatnonzero(self.spectra.which == number)
        first, last = int(which[0]), int(which[-1]) + 1
        spectra = tuple(each[first:last] for each in self.spectra.kernels)
        out = Maxima(inverse[None].astype(np.float32), *PoseMaps(inverse.shape).planes)
        kernels = PoseKernels(spectra, np.zeros(last - first, np.intp), bounds[first:last], 0)
        self.engine.pose_maxima(transformed, kernels, self.transforms, out)
        return np.asarray(out.high)


def _law(plan: Plan, scale: float) -> _Law:
    """Measure the copies at one scale."""
    return _Law(plan.kept_energy(scale), _angle_in_cell(plan, scale))


def _angle_in_cell(plan: Plan, scale: float) -> float:
    """Compute the largest angle between a copy and those elsewhere in its cell of poses: corners, edges and faces."""
    turn, growth = plan.half_steps(scale, plan.factor)
    least = 1.0
    for dy, dx, turns, grows in itertools.product((-1, 0, 1), repeat=4):
        pose = Pose(turns * turn, scale * math.exp(grows * growth))
        least = min(least, plan.likeness(Pose(0.0, scale), pose, (dy / 2, dx / 2), plan.factor))
    return math.acos(max(min(least, 1.0), -1.0))
