"""MTM's ``matchTemplates`` and what belongs to it (Multi-Template-Matching 2.0), computed by tmatch.

The same arguments and results: hits are tuples of label, (x, y, width, height) and score, and methods are OpenCV's
numbers. `computeIoU`, which MTM had before 1.6, is here as well. Versions before 2.0 returned a data frame: ``label,
bbox, score = zip(*hits)`` are its columns.

Intentional differences from MTM:

- A template without contrast (zeros for methods 1 and 3) is refused, and so are NaN and infinity. There, every position
  scores 1 and none or the first is a hit; one NaN in the image hides all hits.
- Scores are computed in float64, and are Python's floats. There, all but 8-bit images are narrowed to float32, which
  merges whole numbers above 2**24, and float64 images are refused. Scores of 1.0000002 occur there.
- A plateau of equal scores is one hit, at its middle. There, each of its positions is one until `NMS`.
- If a template is as high or as wide as the image, the first and the last position count like any other. There, they
  are no hits, unless `N_object` is 1.
- Masks count in all six methods: as yes or no if they and both images have 8 bits, as weights otherwise. There, they
  are ignored with a warning in methods other than 0 and 3, or if shape or dtype are not the template's.
- A score that equals the threshold is a hit. There, it is not.
- Hits are in the order of templates, and best first; equal ones in row-major order. There, the order of templates
  depends on which thread ends first.
- `listTemplates` may be any iterable, as ``zip(labels, templates)``. There, that finds nothing.
- The intersection over union of a box inside another is what it is. There, `computeIoU` called it 1.
- Labels are drawn in Pillow's font.
"""

import numbers
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmatch._arrays.arithmetic import own_errstate
from tmatch._arrays.typing import Array
from tmatch._detection.peaks import find_peaks
from tmatch._results.boxes import Box, iou
from tmatch._results.matches import Match, non_max_suppression
from tmatch._search.options import call_with_label
from tmatch.compat._drawing import BBox, Hit, drawBoxesOnGray, drawBoxesOnRGB
from tmatch.compat._opencv import (
    TM_CCOEFF_NORMED,
    TM_SQDIFF,
    TM_SQDIFF_NORMED,
    check_method,
    opencv_scores,
    weights_of,
)
from tmatch.compat._pixels import crop

__all__ = [
    "NMS", "computeIoU", "computeScoreMap", "drawBoxesOnGray", "drawBoxesOnRGB", "findMatches", "matchTemplates",
]  # fmt: skip

Template = tuple[str, ArrayLike] | tuple[str, ArrayLike, ArrayLike | None]  # label, pixels, mask


def matchTemplates(
    listTemplates: Iterable[Template],
    image: ArrayLike,
    method: int = TM_CCOEFF_NORMED,
    N_object: float = float("inf"),
    score_threshold: float = 0.5,
    maxOverlap: float = 0.25,
    searchBox: BBox | None = None,
) -> list[Hit]:
    """Find the best positions of all templates that do not overlap too much.

    Parameters
    ----------
    listTemplates, image, method, N_object, score_threshold
        As in `findMatches`, but `method` must not be 0, whose scores have no bound.
    maxOverlap : float
        Intersection over union, in [0, 1], above which the weaker of two hits is dropped.
    searchBox
        As in `findMatches`.

    Returns
    -------
    list of (label, (x, y, width, height), score)
        Best first. With `N_object` 1 the best hit, whatever its score.

    Raises
    ------
    ValueError, TypeError
        As in `findMatches`, or if `maxOverlap` is out of range or `method` is 0.

    See Also
    --------
    tmatch.locate : decides by the number of false alarms instead of by a score.

    Examples
    --------
    >>> import numpy as np
    >>> from tmatch.compat import mtm
    >>> image = np.random.default_rng(0).integers(0, 256, (60, 80), np.uint8)
    >>> mtm.matchTemplates([("left", image[20:30, 5:17]), ("right", image[40:50, 60:70])], image)
    [('left', (5, 20, 12, 10), 1.0), ('right', (60, 40, 10, 10), 1.0)]
    """
    check_method(method)
    if method == TM_SQDIFF:
        msg = "`method` is 0, TM_SQDIFF, whose scores have no bound; use 1, TM_SQDIFF_NORMED, instead"
        raise ValueError(msg)
    _check_overlap(maxOverlap)
    hits = findMatches(listTemplates, image, method, N_object, score_threshold, searchBox)
    return NMS(hits, score_threshold, method == TM_SQDIFF_NORMED, N_object, maxOverlap)


def findMatches(
    listTemplates: Iterable[Template],
    image: ArrayLike,
    method: int = TM_CCOEFF_NORMED,
    N_object: float = float("inf"),
    score_threshold: float = 0.5,
    searchBox: BBox | None = None,
) -> list[Hit]:
    """Find every peak of the scores of each template, overlapping ones too.

    Parameters
    ----------
    listTemplates : iterable of (str, array) or (str, array, mask)
        Label, pixels and, if there is one, the mask of each template.
    image : (H, W) or (H, W, C) array of real numbers
        The array to search, with as many channels as the templates.
    method : int
        One of OpenCV's six, see `tmatch.compat.cv2`. In 0 and 1 low scores are the best.
    N_object : int or infinity
        1: the best position of each template, whatever its score. Otherwise without effect here.
    score_threshold : float
        Least score of a hit; in methods 0 and 1 the largest.
    searchBox : (x, y, width, height) or None
        The part of the image that is searched.

    Returns
    -------
    list of (label, (x, y, width, height), score)
        In the order of templates, and best first; boxes are in pixels of the whole image.

    Raises
    ------
    ValueError
        If a template is larger than what is searched, has nothing to compare, or an argument is out of range.
    TypeError
        If an array does not hold real numbers, or `N_object` is not a whole number.

    Examples
    --------
    >>> from tmatch.compat import mtm
    >>> mtm.findMatches([("step", [[1, 2]])], [[0, 1, 0, 0], [5, 9, 0, 3]])
    [('step', (0, 0, 2, 1), 1.0), ('step', (2, 1, 2, 1), 1.0)]
    """
    count = _check_count(N_object)
    check_method(method)
    pixels, (left, top) = np.asanyarray(image), (0, 0)
    if searchBox is not None:
        pixels, (left, top) = crop("searchBox", pixels, searchBox), searchBox[:2]
    hits: list[Hit] = []
    for number, each in enumerate(listTemplates):
        if not isinstance(each, Sequence) or len(each) not in (2, 3):
            found = f"`listTemplates` has {type(each).__name__} at {number}"
            msg = f"{found}; it must hold (label, array) or (label, array, mask)"
            raise ValueError(msg)
        label, template, *mask = each
        scores = call_with_label(label, computeScoreMap, template, pixels, method, *mask)
        height, width = np.shape(template)[:2]
        for row, column in _peaks(scores, method, count, score_threshold):
            hits.append((label, (left + column, top + row, width, height), float(scores[row, column])))
    return hits


def _peaks(scores: Array, method: int, count: int | None, threshold: float) -> list[list[int]]:
    """Find the peaks of a score map that reach the threshold, or the best position if only one is wanted."""
    sign = -1 if method in (TM_SQDIFF, TM_SQDIFF_NORMED) else 1
    if count == 1:
        return [[int(i) for i in np.unravel_index((sign * scores).argmax(), scores.shape)]]
    peaks: list[list[int]] = find_peaks(sign * scores, threshold=sign * threshold).tolist()
    return peaks


@own_errstate
def computeScoreMap(
    template: ArrayLike, image: ArrayLike, method: int = TM_CCOEFF_NORMED, mask: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Score a template at every position of an image by one of OpenCV's methods.

    Parameters
    ----------
    template : (h, w) or (h, w, C) array of real numbers
        The array to find.
    image : (H, W) or (H, W, C) array of real numbers
        The array to search.
    method : int
        One of OpenCV's six, see `tmatch.compat.cv2`.
    mask : (h, w) or (h, w, C) array or None
        Which pixels of the template count (those that are not 0, if it and both images have 8 bits), or how much.

    Returns
    -------
    (H - h + 1, W - w + 1) array of float64
        The numbers of ``cv2.matchTemplate``.

    Raises
    ------
    ValueError, TypeError
        As in `findMatches`.

    Examples
    --------
    >>> from tmatch.compat import mtm
    >>> mtm.computeScoreMap([[1, 2]], [[0, 1, 0, 0], [5, 9, 0, 3]], 0)
    array([[ 2.,  4.,  5.],
           [65., 68.,  2.]])
    """
    check_method(method)
    pattern, pixels = _with_channels("template", template), _with_channels("image", image)
    if mask is None:
        return opencv_scores(pixels, pattern, method, None)
    weights = np.asanyarray(mask)
    if {weights.dtype.itemsize, pattern.dtype.itemsize, pixels.dtype.itemsize} != {1}:
        weights = weights.astype(np.float32)
    return opencv_scores(pixels, pattern, method, weights_of(weights, pattern.shape))


def _with_channels(name: str, values: ArrayLike) -> Array:
    """Check the axes of an image, and add one of channels if there is none."""
    array = np.asanyarray(values)
    if array.ndim not in (2, 3):
        msg = f"`{name}` has shape {array.shape}; it must be (H, W), or (H, W, C) with channels"
        raise ValueError(msg)
    return array[..., None] if array.ndim == 2 else array


def NMS(
    listHit: Sequence[Hit],
    scoreThreshold: float = 0.5,
    sortAscending: bool = False,
    N_object: float = float("inf"),
    maxOverlap: float = 0.5,
) -> list[Hit]:
    """Keep the best hits and drop those that overlap a better one.

    Parameters
    ----------
    listHit : sequence of (label, (x, y, width, height), score)
        As from `findMatches`. A single one is kept, whatever its score.
    scoreThreshold : float
        Least score of a hit that is kept, or the largest if `sortAscending`.
    sortAscending : bool
        Whether low scores are the best, as in methods 0 and 1.
    N_object : int or infinity
        At most so many hits are kept. 1: the best, whatever its score.
    maxOverlap : float
        Intersection over union, in [0, 1], above which the weaker of two hits is dropped, whatever their labels.

    Returns
    -------
    list of (label, (x, y, width, height), score)
        Best first; equal scores in row-major order of position.

    Raises
    ------
    ValueError, TypeError
        If `maxOverlap` or `N_object` is out of range.

    Examples
    --------
    >>> from tmatch.compat import mtm
    >>> hits = [("a", (780, 350, 700, 480), 0.8), ("b", (806, 416, 716, 442), 0.6), ("c", (1074, 530, 680, 390), 0.4)]
    >>> [label for label, _, _ in mtm.NMS(hits, scoreThreshold=0.3)]
    ['a', 'c']
    """
    count = _check_count(N_object)
    _check_overlap(maxOverlap)
    sign = -1 if sortAscending else 1
    if len(listHit) <= 1:
        return list(listHit)
    if count == 1:
        return [max(listHit, key=lambda hit: sign * hit[2])]
    good = [hit for hit in listHit if sign * hit[2] >= sign * scoreThreshold]
    matches = [Match(_box(bbox), sign * score, f"{n:09}") for n, (_, bbox, score) in enumerate(good)]
    return [good[int(m.label)] for m in non_max_suppression(matches, max_overlap=maxOverlap, max_count=count)]


def computeIoU(BBox1: BBox, BBox2: BBox) -> float:
    """Compute the intersection over union of two boxes.

    Parameters
    ----------
    BBox1, BBox2 : (x, y, width, height)
        Boxes in pixels.

    Returns
    -------
    float
        Shared pixels over all pixels of the two, in [0, 1].

    Examples
    --------
    >>> from tmatch.compat import mtm
    >>> mtm.computeIoU((0, 0, 4, 2), (2, 0, 4, 2))
    0.3333333333333333
    """
    return iou(_box(BBox1), _box(BBox2))


def _box(bbox: BBox) -> Box:
    x, y, width, height = bbox
    return Box((y, x), (height, width))


def _check_count(count: float) -> int | None:
    """Return the number of objects, None if it is infinite."""
    if count == float("inf"):
        return None
    if not isinstance(count, numbers.Integral):
        msg = f"`N_object` is {count!r}; it must be a whole number, or infinity for no limit"
        raise TypeError(msg)
    if count < 1:
        msg = f"`N_object` is {count}; it must be at least 1, or infinity for no limit"
        raise ValueError(msg)
    return int(count)


def _check_overlap(overlap: float) -> None:
    if not 0 <= overlap <= 1:
        msg = f"`maxOverlap` is {overlap!r}; it must be from 0 (boxes may touch) to 1 (no suppression)"
        raise ValueError(msg)
