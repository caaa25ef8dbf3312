"""Find a small image in a big one by zero-mean normalized cross-correlation, and say how sure each match is."""

from tmatch import _start, compat, kernels, synthetic  # noqa: F401  (_start acts when it is loaded)
from tmatch._detection.chance import Chance, estimate_chance
from tmatch._detection.peaks import find_peaks
from tmatch._diagnostics.explain import explain
from tmatch._diagnostics.robustness import RobustnessRow, robustness
from tmatch._diagnostics.template_quality import Inspection, inspect_template
from tmatch._filtering.filters import convolve, correlate
from tmatch._filtering.noise import estimate_noise
from tmatch._filtering.ranges import to_range
from tmatch._io.images import read_image
from tmatch._io.sources import open_images
from tmatch._plotting.heatmap import plot_heatmap
from tmatch._plotting.matches import plot_matches
from tmatch._plotting.robustness import plot_robustness
from tmatch._plotting.template_quality import plot_inspection
from tmatch._results.boxes import Box, iou
from tmatch._results.collection import Matches
from tmatch._results.explanation import Explanation
from tmatch._results.matches import Match, non_max_suppression
from tmatch._results.poses import PoseErrors
from tmatch._scoring.maps import match_template, score_validity
from tmatch._search.locate import best_match, locate, locate_many
from tmatch._search.matcher import Matcher
from tmatch._search.warm_up import warm_up

__version__ = "0.1.0"
__all__ = [
    "Box",
    "Chance",
    "Explanation",
    "Inspection",
    "Match",
    "Matcher",
    "Matches",
    "PoseErrors",
    "RobustnessRow",
    "best_match",
    "compat",
    "convolve",
    "correlate",
    "estimate_chance",
    "estimate_noise",
    "explain",
    "find_peaks",
    "inspect_template",
    "iou",
    "kernels",
    "locate",
    "locate_many",
    "match_template",
    "non_max_suppression",
    "open_images",
    "plot_heatmap",
    "plot_inspection",
    "plot_matches",
    "plot_robustness",
    "read_image",
    "robustness",
    "score_validity",
    "synthetic",
    "to_range",
    "warm_up",
]
