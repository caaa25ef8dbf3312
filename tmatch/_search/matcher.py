"""Matcher: templates prepared once, for any number of images."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tmatch._arrays.arithmetic import own_errstate
from tmatch._arrays.keywords import answers_guesses
from tmatch._arrays.options import ChannelAxis, Means, Metric, Missing, Output, Precision, Prefilter
from tmatch._arrays.validation import check_count
from tmatch._detection.criterion import Criterion
from tmatch._engine.cluster import check_client, map_on_cluster
from tmatch._engine.in_order import map_in_order
from tmatch._engine.progress import ProgressCallback, Resources
from tmatch._io.given import VALID_OPACITY, ImageLike, PortableImage, read_given
from tmatch._poses.options import LEAST_CERTIFIED, Angles, PoseOptions, Scales, SearchName
from tmatch._results.collection import Matches
from tmatch._results.matches import Match
from tmatch._scoring.image import prepare_image
from tmatch._scoring.inputs import image_in, read_image_mask
from tmatch._scoring.maps import Scores, scores_of
from tmatch._scoring.metrics import ScoringOptions
from tmatch._scoring.search import Search, pair
from tmatch._scoring.template import PreparedTemplate
from tmatch._search.logged import log_image
from tmatch._search.many import is_here, named_errors, named_images, portable_images, raise_named
from tmatch._search.options import Labelled, LabelledMasks, call_with_label, named_templates
from tmatch._search.recipe import best_of, search
from tmatch._search.templates import Templates

if TYPE_CHECKING:
    from distributed import Client


class Matcher:
    """One template or several, prepared once for any number of images.

    Spectra and norms of the templates are cached for each size of image, and what is computed from an image is shared
    by all templates. The results are those of `match_template` and `locate`.

    Parameters
    ----------
    templates : image, list of images, or mapping of str to either
        What is to be found, see `locate`. They are copied, and files are read once.
    masks : mask, list of masks, mapping of str to either, or None
        Which pixels of the templates count, see `locate`.
    angles, scales, flips, search, subpixel
        The poses that are searched, and how, as in `locate`.
    metric, missing, min_overlap, output, channel_axis, channel_weights, channel_means, precision
        How similarity is measured, as in `match_template`. With `channel_axis` "auto" each image is searched in
        colours or as a volume, as it is: templates are prepared again if it is not what they look like. `precision` is
        that of score maps.

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

    @answers_guesses
    @own_errstate
    def __init__(
        self,
        templates: Labelled,
        /,
        *,
        masks: LabelledMasks = None,
        angles: Angles = None,
        scales: Scales = None,
        flips: bool = False,
        search: SearchName = "auto",
        subpixel: bool = False,
        metric: Metric = "zncc",
        missing: Missing = "refuse",
        min_overlap: float = 0.5,
        output: Output = "valid",
        channel_axis: ChannelAxis = "auto",
        channel_weights: Sequence[float] | None = None,
        channel_means: Means = "separate",
        precision: Precision = "double",
    ) -> None:
        poses = PoseOptions.of(angles, scales, flips, search, subpixel)
        named = named_templates(templates, masks)
        self._metric = metric
        options = ScoringOptions(
            metric, missing, min_overlap, output, None, channel_weights, channel_means, precision
        )
        self._templates = Templates(named, options, channel_axis, poses)
        self._poses = self._templates.poses
        self._labels = [each.label for each in named]
        self._single = not isinstance(templates, Mapping) and self._labels == [""]

    def __repr__(self) -> str:
        return f"Matcher({', '.join(map(_describe, self._templates.first))}; {self._metric})"

    @answers_guesses
    @own_errstate
    def score(
        self,
        image: ImageLike,
        /,
        *,
        image_mask: ImageLike | None = None,
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
        several = [label for label in self._labels if self._labels.count(label) > 1]
        if several:
            msg = f'label "{several[0]}" has several templates, and a score map is of one; give each its own label'
            raise ValueError(msg)
        maps = scores_of(self._searches(image, image_mask), Resources.of(workers, progress))
        return maps[0] if self._single else dict(zip(self._labels, maps, strict=True))

    @answers_guesses
    @own_errstate
    def locate(
        self,
        image: ImageLike,
        /,
        *,
        false_alarms: float | None = None,
        threshold: float | None = None,
        max_count: int | None = None,
        max_overlap: float = 0.3,
        min_distance: int = 1,
        prefilter: Prefilter = "auto",
        copies_only: bool = False,
        image_mask: ImageLike | None = None,
        workers: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> Matches:
        """Find every position in an image that matches a template.

        Parameters
        ----------
        image, false_alarms, threshold, max_count, max_overlap, min_distance, prefilter, copies_only
            What is searched and which positions are matches, as in `locate`.
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
        return Matches(found, shape=searches[0].image[0].shape, labels=self._labels)

    @answers_guesses
    def locate_many(
        self,
        images: Iterable[ImageLike | tuple[str, ImageLike]],
        /,
        *,
        jobs: int | None = None,
        client: "Client | None" = None,
        false_alarms: float | None = None,
        threshold: float | None = None,
        max_count: int | None = None,
        max_overlap: float = 0.3,
        min_distance: int = 1,
        prefilter: Prefilter = "auto",
        copies_only: bool = False,
        image_mask: ImageLike | None = None,
    ) -> Iterator[tuple[str, Matches]]:
        """Find every position that matches a template in each of many images.

        Parameters
        ----------
        images : iterable of images, or of (str, image)
            Images as in `locate`, with names or without, as `open_images` yields them. They are taken as they are
            needed, at most twice as many as `jobs` ahead, so that a generator of any length will do.
        jobs : int or None
            Images searched at a time, by threads; None for the number of cores. 1 searches one after the other, each
            with all threads. Results are equal.
        client : dask.distributed.Client or None
            A cluster whose workers search the images, one with each of their threads, instead of this process (extra
            `dask`). Results are equal. Paths are sent as paths, from this folder, and read by the workers; arrays and
            what else is no path are sent as pixels. `jobs` images are sent ahead; by default twice as many as the
            cluster has threads.
        false_alarms, threshold, max_count, max_overlap, min_distance, prefilter, copies_only
            As in `locate`, for each image.
        image_mask : array of bool or None
            Which pixels are valid, in all images.

        Returns
        -------
        iterator of (str, Matches)
            The name of each image: as given, or its path; "0", "1", ... for others. And what was found there, in
            the order of the images; `Matches.missing` and `Matches.best` tell what was not.

        Raises
        ------
        ValueError, TypeError, OSError
            As in `locate`, when the image is due; the text names it. With a `client`, an image that cannot be searched
            is tried twice; OSError also tells that workers die of it, or that the cluster is gone.

        Notes
        -----
        Nothing is lost with a worker that dies: what it had in hand is searched by others. To close the iterator, or to
        interrupt it, cancels what is in flight, and leaves the client open.

        Examples
        --------
        >>> import numpy as np
        >>> import tmatch
        >>> frames = np.random.default_rng(0).integers(0, 256, (3, 60, 80), dtype=np.uint8)
        >>> matcher = tmatch.Matcher({"patch": frames[1, 20:30, 40:52]})
        >>> [(name, len(matches), matches.missing) for name, matches in matcher.locate_many(frames)]
        [('0', 0, ['patch']), ('1', 1, []), ('2', 0, ['patch'])]
        """
        check_count("jobs", jobs, or_none=True)
        criterion = Criterion.of(
            self._metric, false_alarms=false_alarms, threshold=threshold, max_count=max_count,
            max_overlap=max_overlap, min_distance=min_distance, prefilter=prefilter, copies_only=copies_only,
        )  # fmt: skip
        check_poses(self._poses, criterion)
        named = named_images(images)
        if client is None:
            return map_in_order(_Located(self, criterion, image_mask), named, jobs)
        check_client(client)
        mask = None if image_mask is None else read_image_mask(image_mask)
        return map_on_cluster(
            _Located(self, criterion, mask), portable_images(named), client, failed=raise_named, jobs=jobs, here=is_here
        )  # fmt: skip

    @answers_guesses
    @own_errstate
    def best(
        self,
        image: ImageLike,
        /,
        *,
        image_mask: ImageLike | None = None,
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

    def _searches(self, image: PortableImage, image_mask: ImageLike | None) -> list[Search]:
        """Pair an image with each template."""
        pixels, valid = read_given("image", image, VALID_OPACITY, in_parts=True)
        layout, templates = self._templates.prepared_for(pixels.shape)
        prepared = prepare_image(*image_in(layout, pixels, valid, image_mask), templates[0].options)
        smallest = 1.0 if self._poses.exact else min(self._poses.scales.low, 1.0)
        return [call_with_label(each.label, pair, prepared, each, smallest) for each in templates]


@dataclass(frozen=True)
class _Located:
    """What is found in an image with a name; it can be pickled."""

    matcher: Matcher
    criterion: Criterion
    image_mask: ImageLike | None

    @own_errstate
    def __call__(self, named: tuple[str, PortableImage], resources: Resources) -> tuple[str, Matches]:
        name, image = named
        log_image(name)
        with named_errors(name):
            searches, poses = searches_of(self.matcher, image, self.image_mask), poses_of(self.matcher)
            return name, search(searches, self.criterion, resources, keep="matches", poses=poses).to_matches()


def searches_of(matcher: Matcher, image: PortableImage, image_mask: ImageLike | None) -> list[Search]:
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
