"""Find a small picture in a big one by normalized cross-correlation, and say how sure that is."""

from tmatch import kernels, synthetic
from tmatch._explain import explain
from tmatch._filter import convolve, correlate, to_range
from tmatch._inspect import Inspection, inspect_template
from tmatch._io import read_image
from tmatch._locate import best_match, locate
from tmatch._match import Box, Match, iou, non_max_suppression
from tmatch._matcher import Matcher
from tmatch._peaks import find_peaks
from tmatch._plot import plot_heatmap, plot_matches
from tmatch._plot_inspect import plot_inspection
from tmatch._plot_robustness import plot_robustness
from tmatch._prefilter import estimate_noise
from tmatch._robustness import RobustnessRow, robustness
from tmatch._score import match_template, score_validity
from tmatch._significance import Chance, estimate_chance
from tmatch._verdict import Explanation

__version__ = "0.1.0"
__all__ = [
    "Box",
    "Chance",
    "Explanation",
    "Inspection",
    "Match",
    "Matcher",
    "RobustnessRow",
    "best_match",
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
    "match_template",
    "non_max_suppression",
    "plot_heatmap",
    "plot_inspection",
    "plot_matches",
    "plot_robustness",
    "read_image",
    "robustness",
    "score_validity",
    "synthetic",
    "to_range",
]
