"""The NumPy and SciPy engine; see `interface.Engine`."""

from tmatch._arrays.typing import Shape
from tmatch._engine.interface import Transforms
from tmatch._engine.numpy.fixed_point import (
    constant_windows,
    fixed_norms,
    scale_double,
    score_float_windows,
    split,
    weighted_norms,
)
from tmatch._engine.numpy.gradients import unit_gradient
from tmatch._engine.numpy.missing import (
    add_rectangles,
    constant_valid_windows,
    score_valid_exactly,
    score_valid_windows,
    valid_norms,
)
from tmatch._engine.numpy.noise import block_variances, second_differences
from tmatch._engine.numpy.peaks import expected_beside, explained_by_stronger, window_variances
from tmatch._engine.numpy.poses import block_means, cluster_products, drawn, fit_poses, pose_maxima, turned
from tmatch._engine.numpy.scoring import (
    add_masked_moments,
    inverse_norms,
    invert,
    load,
    moments,
    place,
    round_moments,
    score,
    score_alone,
    score_exactly,
    score_windows,
)
from tmatch._engine.numpy.summaries import (
    candidates,
    merge_summary,
    summarise,
    variance_in_ring,
    with_neighbours,
)
from tmatch._engine.numpy.taps import plan_taps, tap_passes
from tmatch._engine.numpy.transforms import SciPyTransforms
from tmatch._engine.numpy.volumes import scale_volume, score_volume, volume_norms
from tmatch._engine.tiling import plan_tiles

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

direct_products = None
residual_sums = None
max_mask_runs = 24


def transforms(image_shape: Shape, window: Shape) -> Transforms:
    """Plan the tiles of an image for SciPy's transforms."""
    return SciPyTransforms(plan_tiles(image_shape, window))
