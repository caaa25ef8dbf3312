"""Matcher: templates prepared once, for any number of images."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike

from tmatch._arrays.arithmetic import own_errstate
from tmatch._arrays.options import Prefilter
from tmatch._arrays.validation import check_options
from tmatch._detection.criterion import Criterion
from tmatch._engine.progress import ProgressCallback, Resources
from tmatch._poses.exact import exact_copies
from tmatch._poses.options import LEAST_CERTIFIED, Angles, PoseOptions, Scales, SearchName
from tmatch._results.collection import Matches
from tmatch._results.matches import Match
from tmatch._results.poses import PosedShape
from tmatch._scoring.image import prepare_image
from tmatch._scoring.maps import Preparing, Scores, scores_of
from tmatch._scoring.metrics import ScoringOptions
from tmatch._scoring.search import Search, pair
from tmatch._scoring.template import PreparedTemplate, prepare_template
from tmatch._search.options import Labelled, by_label, call_with_label, checked_copy
from tmatch._search.recipe import best_of, search


class Matcher:
    """One template or several, prepared once for any number of images.

    Spectra and norms of the templates are cached for each size of image, and what is computed from an image is shared
    by all templates. The results are those of `match_template` and `locate`.

    Parameters
    ----------
    templates : array of real numbers, or mapping of str to such arrays
        The array to find, or several with a label each. They are copied.
    masks : array of bool or of weights, mapping of str to such arrays, or None
        The template's mask, see `match_template`; with several templates those of some or all, by label.
    angles, scales, flips, search, subpixel
        The poses that are searched, and how, as in `locate`.
    **preparing
        How similarity is measured: `metric`, `missing`, `min_overlap`, `output`, `channel_axis`, `channel_weights`,
        `channel_means`, `precision` as in `match_template`. `precision` is that of score maps.

    Raises
    ------
    ValueError, TypeError
        As in `match_template`, if a template could not be found in any image.

    See Also
    --------
    locate : the same for one image.

    Notes
    -----
    A matcher may be used by several threads at a time.

    Examples
    --------
    >>> import numpy as np
    >>> import tmatch
    >>> frames = np.random.default_rng(0).integers(0, 256, (3, 60, 80), dtype=np.uint8)
    >>> matcher = tmatch.Matcher(frames[1, 20:30, 40:52])
    >>> [len(matcher.locate(frame)) for frame in frames]
    [0, 1, 0]
    """

    @own_errstate
    def __init__(
        self,
        templates: Labelled,
        /,
        *,
        masks: Labelled | None = None,
        angles: Angles = None,
        scales: Scales = None,
        flips: bool = False,
        search: SearchName = "auto",
        subpixel: bool = False,
        **preparing: Unpack[Preparing],
    ) -> None:
        check_options(preparing, Preparing.__annotations__)
        self._poses = PoseOptions.of(angles, scales, flips, search, subpixel)
        named = by_label(templates)
        named_masks = {} if masks is None else by_label(masks, "masks", named)
        self._single = not isinstance(templates, Mapping)
        self._options = ScoringOptions(**preparing)
        self._metric = self._options.metric
        if self._options.info.directions and not self._poses.exact:  # directions turn with the template
            self._poses = self._poses.as_list(
                max(math.hypot(*np.shape(array)[:2]) for array in named.values())
            )
        self._prepared: list[PreparedTemplate] = [
            prepared
            for label, template in named.items()
            for prepared in call_with_label(
                label, _prepare, template, named_masks.get(label), self._options, label, self._poses
            )
        ]

    def __repr__(self) -> str:
        return f"Matcher({', '.join(map(_describe, self._prepared))}; {self._metric})"

    @own_errstate
    def score(
        self,
        image: ArrayLike,
        /,
        *,
        image_mask: ArrayLike | None = None,
        workers: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> Scores | dict[str, Scores]:
        """Score how well each template fits at every position in an image.

        Parameters
        ----------
        image, image_mask, workers, progress
            As in `match_template`.

        Returns
        -------
        array, or dict of str to array
            The score map; maps by label if the templates have labels. With `precision` "single" the last digits may
            depend on which templates are searched for together.

        Raises
        ------
        ValueError, TypeError
            As in `match_template`; and if the matcher has poses, as a score map is of one.

        Examples
        --------
        >>> import tmatch
        >>> tmatch.Matcher([1, 2]).score([0, 0, 0, 1, 3])
        array([0., 0., 1., 1.])
        """
        if not self._poses.upright:
            msg = "this matcher has poses, and a score map is of one; make a matcher without angles, scales and flips"
            raise ValueError(msg)
        maps = scores_of(self._searches(image, image_mask), Resources.of(workers, progress))
        return maps[0] if self._single else {p.label: m for p, m in zip(self._prepared, maps, strict=True)}

    @own_errstate
    def locate(
        self,
        image: ArrayLike,
        /,
        *,
        false_alarms: float | None = None,
        threshold: float | None = None,
        max_count: int | None = None,
        max_overlap: float = 0.3,
        min_distance: int = 1,
        prefilter: Prefilter = "auto",
        copies_only: bool = False,
        image_mask: ArrayLike | None = None,
        workers: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> Matches:
        """Find every position in an image that matches a template.

        Parameters
        ----------
        image, false_alarms, threshold, max_count, max_overlap, min_distance, prefilter, copies_only,
        image_mask, workers, progress
            As in `locate`.

        Returns
        -------
        Matches
            As from `locate`.

        Raises
        ------
        ValueError, TypeError
            As in `locate`.

        Examples
        --------
        >>> import numpy as np
        >>> import tmatch
        >>> image = np.random.default_rng(0).integers(0, 256, (60, 80), dtype=np.uint8)
        >>> parts = {"left": image[20:30, 5:15], "right": image[40:50, 60:70]}
        >>> [match.label for match in tmatch.Matcher(parts).locate(image)]
        ['left', 'right']
        """
        criterion = Criterion.of(
            self._metric, false_alarms=false_alarms, threshold=threshold, max_count=max_count,
            max_overlap=max_overlap, min_distance=min_distance, prefilter=prefilter, copies_only=copies_only,
        )  # fmt: skip
        check_poses(self._poses, criterion)
        searches = self._searches(image, image_mask)
        resources = Resources.of(workers, progress)
        found = search(searches, criterion, resources, keep="matches", poses=self._poses).matches
        return Matches(
            found, shape=searches[0].image[0].shape, labels=(each.label for each in self._prepared)
        )

    @own_errstate
    def best(
        self,
        image: ArrayLike,
        /,
        *,
        image_mask: ArrayLike | None = None,
        workers: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> Match:
        """Find the position with the highest score, however low it is.

        Parameters
        ----------
        image, image_mask, workers, progress
            As in `match_template`.

        Returns
        -------
        Match
            The best position; of equal ones the first in row-major order.

        Raises
        ------
        ValueError, TypeError
            As in `locate`.

        Examples
        --------
        >>> import tmatch
        >>> tmatch.Matcher([[1, 2]]).best([[0, 1, 0, 0], [5, 9, 0, 3]]).box.start
        (0, 0)
        """
        return best_of(self._searches(image, image_mask), Resources.of(workers, progress), self._poses)

    def _searches(self, image: ArrayLike, image_mask: ArrayLike | None) -> list[Search]:
        """Pair an image with each template."""
        prepared = prepare_image(image, image_mask, self._options)
        smallest = 1.0 if self._poses.exact else min(self._poses.scales.low, 1.0)
        return [call_with_label(each.label, pair, prepared, each, smallest) for each in self._prepared]


def searches_of(matcher: Matcher, image: ArrayLike, image_mask: ArrayLike | None) -> list[Search]:
    """Pair an image with each template of a matcher, for callers that want more than matches."""
    return matcher._searches(image, image_mask)  # noqa: SLF001


def poses_of(matcher: Matcher) -> PoseOptions:
    """Return the poses that a matcher searches for."""
    return matcher._poses  # noqa: SLF001


def check_poses(poses: PoseOptions, criterion: Criterion) -> None:
    """Check that a search over poses can be decided so."""
    if not poses.exact and criterion.prefilter not in ("auto", "none"):
        msg = (
            f'`prefilter` is "{criterion.prefilter}", which is for upright templates and exact copies of them; '
            "leave it out where templates are rotated or resized by other than right angles and whole numbers"
        )
        raise ValueError(msg)
    if poses.search == "certified" and not (criterion.threshold or 0) >= LEAST_CERTIFIED:
        least = f"at least {LEAST_CERTIFIED:g}"
        msg = f'`search` is "certified", which needs a `threshold` of {least}: with a lower one, little is ruled out'
        raise ValueError(msg)


def _describe(template: PreparedTemplate) -> str:
    channels = "" if template.options.channel_axis is None else f" with {template.n_channels} channels"
    return f"{template.label or 'template'} {template.shape}{channels}"


def _prepare(
    template: ArrayLike, mask: ArrayLike | None, options: ScoringOptions, label: str, poses: PoseOptions
) -> list[PreparedTemplate]:
    """Prepare a copy of a template, or all copies in poses that are exact."""
    copied, copied_mask = (
        checked_copy("template", template),
        None if mask is None else checked_copy("mask", mask),
    )
    prepared = prepare_template(copied, copied_mask, options, label)
    if not poses.upright or poses.subpixel:
        _check_dimensions(prepared, poses)
    if poses.upright or not poses.exact:
        return [prepared]
    shape = prepared.shape
    return [
        replace(prepare_template(turned, turned_mask, options, label), posed=PosedShape(pose, shape))
        for pose, turned, turned_mask in exact_copies(copied, copied_mask, poses, options.channel_axis)
    ]


def _check_dimensions(template: PreparedTemplate, poses: PoseOptions) -> None:
    """Check that a template can be searched for in poses."""
    if len(template.shape) != 2:
        axes = "axis" if len(template.shape) == 1 else "axes"
        msg = (
            f"`template` has {len(template.shape)} {axes} without channels; poses and sub-pixel places are for images, "
            "which have 2: leave angles, scales, flips and subpixel out"
        )
        raise ValueError(msg)
    if poses.exact and not poses.subpixel:
        return
    options = template.options
    if options.metric != "zncc" and not poses.exact:
        msg = (
            f'`metric` is "{options.metric}"; poses that need interpolation are searched by "zncc" or "orientation": '
            "use one of them, or right angles and whole-number scales"
        )
        raise ValueError(msg)
    if options.metric != "zncc":
        msg = f'`metric` is "{options.metric}"; sub-pixel places are fitted by "zncc": use that, or leave subpixel out'
        raise ValueError(msg)
    if options.output != "valid":
        msg = f'`output` is "{options.output}"; in poses the template must lie inside the image: use "valid"'
        raise ValueError(msg)
