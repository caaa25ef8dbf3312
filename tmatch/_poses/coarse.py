"""The best score over all poses at every position of a coarse level."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.lazy import as_array, is_lazy
from tmatch._arrays.typing import Array, Region, Shape
from tmatch._detection.null.summary import ScoreSummary, SummaryBuilder
from tmatch._engine import select, threads
from tmatch._engine.interface import Engine, Transforms
from tmatch._engine.posed import Maxima, PoseKernels
from tmatch._engine.progress import Resources
from tmatch._poses.levels import LEAST_SHARE, FullSize, ImageLevels
from tmatch._poses.plan import Copies, Plan
from tmatch._scoring.cache import Cache

_FLAT = 1e-5  # windows with a smaller share of the largest energy have no score
_EXTREME = 100.0  # times the median magnitude: pixels farther from the others are cut off
_USUAL = 0.99  # share of the pixels that are never cut off
_BAND = 256  # rows that are summarised at a time
_SPECTRA_BYTES = 2**25  # of copies that are held at a time


Level = tuple[list[Array], Array | None]


@dataclass(frozen=True)
class PoseMap:
    """The best score over poses with the middle of the template on each pixel of a level, and which pose has it.

    `low` are the worst scores, of the poses `low_pose`, and `squares` the means of the squared scores. `valid` is where
    some pose has a score.
    """

    factor: int
    high: NDArray[np.float32]
    pose: NDArray[np.int32]
    low: NDArray[np.float32]
    low_pose: NDArray[np.int32]
    squares: NDArray[np.float32]
    valid: NDArray[np.bool_]

    def summary(self, window: Shape, n_poses: int) -> ScoreSummary:
        """Summarise the map in cells: peaks of the best scores, minima of the worst; each pose counts."""
        builders = [SummaryBuilder(self.high.shape, window) for _ in range(3)]
        for first in range(0, len(self.high), _BAND):
            band = slice(first, min(first + _BAND, len(self.high)))
            part = band, slice(0, self.high.shape[1])
            planes = self.high[band], self.low[band], np.sqrt(self.squares[band])
            for builder, scores in zip(builders, planes, strict=True):
                builder.add(part, scores.astype(np.float64), self.valid[band])
        parts = [builder.merged() for builder in builders]
        high, low, squares = parts
        return ScoreSummary(
            high.size, high.map_shape, np.stack([high.extrema[0], low.extrema[1]]),
            np.stack([high.places[0], low.places[1]]), squares.sums * n_poses,
        )  # fmt: skip


def pose_map(
    levels: ImageLevels,
    plan: Plan,
    cache: Cache,
    resources: Resources,
    opened: NDArray[np.bool_] | None = None,
) -> PoseMap:
    """Search all poses at the coarse level of an image; only the positions that are `opened`, if that is given."""
    level = level_of(levels, plan.factor)
    made = PoseMaps(level[0][0].shape)
    transforms, engine, batches = plan_tiles(level, plan)
    blocks = [b for b in transforms.tiling.blocks() if opened is None or opened[b].any()]
    resources.progress.expect(len(batches) * len(blocks))
    for batch in batches:
        make = functools.partial(Spectra, plan, batch, transforms)
        kept = cache.get(("spectra", plan.options, transforms), make) if len(batches) == 1 else make()
        tiles = Tiles(engine, transforms, plan, kept, level, levels.shape, made)
        if blocks:
            job = threads.Job(tiles.search, transforms.tiling, 20.0 * len(batch), blocks)
            threads.run(job, resources=resources)
    if opened is not None:
        made.count[~opened] = 0
    return made.finished(plan.factor)


def plan_tiles(level: Level, plan: Plan) -> tuple[Transforms, Engine, list[range]]:
    """Plan the tiles of a level, and the batches of poses whose spectra are held at a time."""
    reach, count, channels = plan.side // 2, len(plan.poses), len(level[0])
    height, width = (n + 2 * reach for n in level[0][0].shape)
    engine = select.choose(20.0 * count * height * width, (height, width), channels)
    window = plan.side, plan.side
    transforms = engine.transforms((height, width), window)
    if (
        transforms.tiling.count == 1 and height > 2 * plan.side
    ):  # one tile of many poses is work for two threads
        positions = transforms.tiling.positions
        halves: Any = engine.transforms((-(-positions[0] // 2) + plan.side - 1, width), window)
        transforms = replace(halves, tiling=replace(halves.tiling, positions=positions))
    step = max(1, _SPECTRA_BYTES // (4 * channels * math.prod(transforms.tiling.fft_shape)))
    return transforms, engine, [range(i, min(i + step, count)) for i in range(0, count, step)]


def level_of(levels: ImageLevels, factor: int) -> Level:
    """Return the channels of a level, and the share of each pixel that is valid; None for all."""
    if factor > 1:
        return levels.at(factor)
    if is_lazy(levels.channels[0]):
        channels = [as_array(FullSize(levels, number)) for number in range(len(levels.channels))]
        return channels, None if levels.valid is None else as_array(FullSize(levels, None))
    pixels, valid = levels.window(1, 0, 0, levels.shape)
    return [*pixels.astype(np.float32)], valid.astype(np.float32) if valid.size else None


class Spectra:
    """The spectra of some copies of a template, and of their masks."""

    def __init__(self, plan: Plan, numbers: range, transforms: Transforms) -> None:
        copies: Copies = plan.copies_of(numbers)
        channels = range(copies.kernels.shape[1])
        self.numbers, self.masks, self.which = numbers, copies.masks, copies.which
        self.kernels = tuple(transforms.kernel_spectra(copies.kernels[:, c]) for c in channels)
        self.of_masks = tuple(transforms.kernel_spectra(copies.masks[:, c]) for c in channels)
        self.totals = copies.masks.sum(axis=(2, 3), dtype=np.float64)


class PoseMaps:
    """The maps while they are made."""

    def __init__(self, shape: Shape) -> None:
        self.high, self.low = np.full(shape, -2, np.float32), np.full(shape, 2, np.float32)
        self.pose, self.low_pose = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        self.squares, self.count = np.zeros(shape, np.float32), np.zeros(shape, np.int32)

    @property
    def planes(self) -> tuple[Array, ...]:
        """The maps in the order of `Maxima`."""
        return self.high, self.pose, self.low, self.low_pose, self.squares, self.count

    def finished(self, factor: int) -> PoseMap:
        """Return the finished maps; no more may be added to them."""
        valid = self.count > 0
        self.squares /= np.maximum(self.count, 1)
        for plane in (self.high, self.low):  # in place: these are large
            plane[~valid] = 0
            np.clip(plane, -1, 1, out=plane)
        np.minimum(self.squares, 1, out=self.squares)
        return PoseMap(factor, self.high, self.pose, self.low, self.low_pose, self.squares, valid)


@dataclass(frozen=True)
class Tiles:
    """The search of one tile after the other, for a batch of poses."""

    engine: Engine
    transforms: Transforms
    plan: Plan
    spectra: Spectra
    level: Level
    image_shape: Shape
    made: PoseMaps

    def search(self, block: Region) -> None:
        """Search a block of positions."""
        tiles, share = self.read(block)
        shape = tuple(s.stop - s.start for s in block)
        transformed = tuple(self.transforms.transform(tile) for tile in tiles)
        norms = self._inverse_norms(tiles, transformed, shape)
        if share is not None:
            norms *= self._seen(share, shape)
        parts = [plane[block].copy() for plane in self.made.planes]
        spectra = self.spectra
        kernels = PoseKernels(spectra.kernels, spectra.which, self.bounds(block), spectra.numbers.start)
        self.engine.pose_maxima(transformed, kernels, self.transforms, Maxima(norms, *parts))
        for plane, part in zip(self.made.planes, parts, strict=True):
            plane[block] = part

    def read(self, block: Region) -> tuple[list[Array], Array | None]:
        """Read the tile of a block, 0 beyond the image; around the mean of its pixels."""
        channels, share = self.level
        if share is None:
            return [self.padded(channel, block, _centred) for channel in channels], None
        counted = self.padded(share, block)

        def centred(pixels: Array, weights: Array) -> Array:
            return np.where(weights >= LEAST_SHARE, _centred(pixels, weights), 0)

        return [self.padded(channel, block, centred, share) for channel in channels], counted

    def padded(
        self, values: Array, block: Region, change: Callable[..., Array] | None = None, *others: Array
    ) -> Array:
        """Cut out what the windows of a block hold, change it, and add zeros beyond the image."""
        reach = self.plan.side // 2
        wanted = [(s.start - reach, s.stop + reach) for s in block]
        inner = tuple(slice(max(a, 0), min(b, n)) for (a, b), n in zip(wanted, values.shape, strict=True))
        tile = np.zeros([b - a for a, b in wanted], np.float32)
        place = tuple(slice(i.start - a, i.stop - a) for i, (a, _) in zip(inner, wanted, strict=True))
        tile[place] = values[inner] if change is None else change(values[inner], *(o[inner] for o in others))
        return tile

    def _inverse_norms(
        self, tiles: list[Array], transformed: tuple[Array, ...], shape: Shape
    ) -> NDArray[np.float32]:
        """Compute the inverse norms of all windows without their means, for each mask; 0 where there is no contrast."""
        energies, least = self.energies(tiles, transformed, shape)
        flat = energies <= np.maximum(least, 1e-30)[:, None, None]
        energies[flat] = 1
        return np.where(flat, 0, 1 / np.sqrt(energies)).astype(np.float32)

    def energies(
        self, tiles: list[Array], transformed: tuple[Array, ...], shape: Shape
    ) -> tuple[Array, Array]:
        """Compute the squared norms of all windows without their means, for each mask; and which are too small."""
        part = tuple(slice(0, n) for n in shape)
        squares = [self.transforms.transform(tile * tile) for tile in tiles]
        energies, least = np.empty((len(self.spectra.totals), *shape)), np.empty(len(self.spectra.totals))
        for number, totals in enumerate(self.spectra.totals):
            masks = [each[number] for each in self.spectra.of_masks]
            energy = energies[number]
            energy[:] = self.transforms.correlate(zip(squares, masks, strict=True))[part]
            least[number] = max(float(energy.max()), 0.0) * _FLAT
            sums = [
                self.transforms.correlate([(t, m)])[part] for t, m in zip(transformed, masks, strict=True)
            ]
            if self.plan.joint:
                energy -= sum(sums[1:], sums[0]) ** 2 / totals.sum()
            else:
                for values, total in zip(sums, totals.tolist(), strict=True):
                    energy -= values * values / max(total, 1e-9)
        return energies, least

    def _seen(self, share: Array, shape: Shape) -> NDArray[np.bool_]:
        """Check where at least half of each mask lies on valid pixels."""
        part = tuple(slice(0, n) for n in shape)
        spectrum = self.transforms.transform(share)
        seen = np.empty((len(self.spectra.totals), *shape), bool)
        for number, totals in enumerate(self.spectra.totals):
            on = self.transforms.correlate([(spectrum, self.spectra.of_masks[0][number])])[part]
            seen[number] = on >= 0.5 * totals[0]
        return seen

    def bounds(self, block: Region) -> NDArray[np.intp]:
        """Compute where each pose may lie, in the block."""
        starts = np.repeat([s.start for s in block], 2)
        stops = np.repeat([s.stop - s.start for s in block], 2)
        return np.asarray(np.clip(self._whole_bounds - starts, 0, stops), np.intp)

    @functools.cached_property
    def _whole_bounds(self) -> NDArray[np.intp]:
        """Where each pose may lie in the image; the same for all blocks."""
        poses = [self.plan.poses[n] for n in self.spectra.numbers]
        return np.array([self.plan.bounds(pose, self.image_shape) for pose in poses], np.intp)


def _centred(pixels: Array, counted: Array | None = None) -> Array:
    """Subtract the mean of the pixels that count.

    Values so far from all others that these would drown in rounding are cut off; fits see them as they are.
    """
    weights = np.ones(pixels.shape) if counted is None else counted
    total = max(float(weights.sum()), 1e-9)
    around = pixels - np.float32((pixels * weights).sum(dtype=np.float64) / total)
    magnitudes = np.abs(around)
    if magnitudes.max(initial=0) <= _EXTREME * magnitudes.mean():
        return around
    around = pixels - np.median(pixels)
    magnitudes = np.abs(around)
    limit = max(_EXTREME * float(np.median(magnitudes)), float(np.quantile(magnitudes, _USUAL)))
    around = np.clip(around, -limit, limit)
    return np.asarray(around - np.float32((around * weights).sum(dtype=np.float64) / total))
