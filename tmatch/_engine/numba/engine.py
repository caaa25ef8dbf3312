"""The compiled engine; see `interface.Engine`. Fused loops replace many NumPy passes. Needs numba."""

from tmatch._arrays.typing import Shape
from tmatch._engine.interface import Transforms
from tmatch._engine.numba import pairs as direct_products
from tmatch._engine.numba.fitting import cluster_products, drawn, fit_poses
from tmatch._engine.numba.fixed_point import (
    constant_windows,
    fixed_norms,
    scale_double,
    score_float_windows,
    split,
    weighted_norms,
)
from tmatch._engine.numba.gradients import unit_gradient
from tmatch._engine.numba.missing import (
    add_rectangles,
    constant_valid_windows,
    score_valid_exactly,
    score_valid_windows,
    valid_norms,
)
from tmatch._engine.numba.noise import block_variances, second_differences
from tmatch._engine.numba.peaks import expected_beside, explained_by_stronger, residual_sums, window_variances
from tmatch._engine.numba.poses import block_means, pose_maxima, turned
from tmatch._engine.numba.scoring import score, score_alone, score_exactly, score_windows
from tmatch._engine.numba.slices import SliceTransforms
from tmatch._engine.numba.summaries import (
    candidates,
    merge_summary,
    summarise,
    variance_in_ring,
    with_neighbours,
)
from tmatch._engine.numba.taps import plan_taps, tap_passes
from tmatch._engine.numba.transforms import STEP, CompiledTransforms
from tmatch._engine.numba.volumes import scale_volume, score_volume, volume_norms
from tmatch._engine.numba.window_sums import (
    add_masked_moments,
    inverse_norms,
    invert,
    load,
    moments,
    place,
    round_moments,
)
from tmatch._engine.numpy.transforms import SciPyTransforms
from tmatch._engine.tiling import plan_slices, plan_tiles

__all__ = [
    "add_masked_moments",
    "add_rectangles",
    "block_means",
    "block_variances",
    "candidates",
    "cluster_products",
    "constant_valid_windows",
    "constant_windows",
    "direct_products",
    "drawn",
    "expected_beside",
    "explained_by_stronger",
    "fit_poses",
    "fixed_norms",
    "inverse_norms",
    "invert",
    "load",
    "max_mask_runs",
    "merge_summary",
    "moments",
    "place",
    "plan_taps",
    "pose_maxima",
    "residual_sums",
    "round_moments",
    "scale_double",
    "scale_volume",
    "score",
    "score_alone",
    "score_exactly",
    "score_float_windows",
    "score_valid_exactly",
    "score_valid_windows",
    "score_volume",
    "score_windows",
    "second_differences",
    "split",
    "summarise",
    "tap_passes",
    "transforms",
    "turned",
    "unit_gradient",
    "valid_norms",
    "variance_in_ring",
    "volume_norms",
    "weighted_norms",
    "window_variances",
    "with_neighbours",
]

max_mask_runs = 64
_MAX_DEPTH = 64  # of templates; transforms in three dimensions are faster than sums of more products


def transforms(image_shape: Shape, window: Shape) -> Transforms:
    """Plan the tiles of an image, or of the slices of a volume, for compiled transforms."""
    if len(window) == 3 and window[0] > _MAX_DEPTH:
        return SciPyTransforms(plan_tiles(image_shape, window))
    if len(window) == 3:
        return SliceTransforms(plan_slices(image_shape, window, step=STEP))
    return CompiledTransforms(plan_tiles(image_shape, window, step=STEP))
