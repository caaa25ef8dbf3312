"""The matches of one image, and what was sought there."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, SupportsIndex, overload

import numpy as np
from numpy.typing import ArrayLike

from tmatch._arrays.typing import Array
from tmatch._io.given import VALID_OPACITY, ImageLike, read_given
from tmatch._results.decisions import CandidateDecision
from tmatch._results.matches import Match

if TYPE_CHECKING:
    from tmatch._results.formats.html import Html

# `_results.formats` is made of what is defined here, so methods import it.


class Matches(list[Match]):
    """The matches of one image, best first: a list that knows what was sought, and where.

    Parameters
    ----------
    matches : iterable of Match
        Best first.
    shape : tuple of int
        Shape of the image in pixels, without channels; empty if not known.
    labels : iterable of str
        All labels that were sought, in the order of the templates.
    best : mapping of str to Match
        The best position of labels without a match, where it is known.
    near_misses : iterable of CandidateDecision
        Positions that nearly are matches.
    decision : mapping of str
        How it was decided; JSON-serializable.

    Notes
    -----
    Slices and copies know the same; what was found and is cut off by a slice is not `missing` from it. Lists that are
    made of it otherwise, as by `sorted` or ``+``, are plain ones.

    Examples
    --------
    >>> from tmatch import Box
    >>> found = Matches([Match(Box((20, 30), (5, 6)), 0.9, "eye")], shape=(60, 80), labels=["eye", "ear"])
    >>> found.missing
    ['ear']
    >>> found.to_dicts()[0]["label"], found.table()["x"].tolist()
    ('eye', [30])
    """

    def __init__(
        self,
        matches: Iterable[Match] = (),
        /,
        *,
        shape: Iterable[int] = (),
        labels: Iterable[str] = (),
        best: Mapping[str, Match] | None = None,
        near_misses: Iterable[CandidateDecision] = (),
        decision: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(matches)
        self.shape = tuple(shape)
        self.labels = tuple(dict.fromkeys(labels))
        self.best = dict(best or {})
        self.near_misses = tuple(near_misses)
        self.decision = dict(decision or {})
        self._found = frozenset(match.label for match in self)

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Match: ...
    @overload
    def __getitem__(self, index: slice, /) -> Self: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> Match | Self:
        if not isinstance(index, slice):
            return super().__getitem__(index)
        part = type(self)(super().__getitem__(index))
        vars(part).update(vars(self))
        return part

    def copy(self) -> Self:
        """Return a copy that knows the same."""
        return self[:]

    @property
    def missing(self) -> list[str]:
        """The labels that were sought and not found."""
        found = self._found.union(match.label for match in self)
        return [label for label in self.labels if label not in found]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return a flat JSON-serializable dictionary of each match, named as the columns of CSV.

        Boxes are told by `x`, `y`, `width` and `height`, or by `start` and `shape` if they have not two axes. If any
        match is in a pose, or has a sub-pixel place, all have `angle`, `scale`, `flip`, `center_x`, `center_y` and
        their errors, too.
        """
        from tmatch._results.formats import flat_row, is_posed  # noqa: PLC0415

        poses = any(map(is_posed, self))
        return [flat_row(match, poses=poses) for match in self]

    def table(self) -> dict[str, Array]:
        """Return the matches as columns, named as those of CSV.

        Numbers that are not known are NaN, and texts empty. Boxes that have not two axes are told by `start_0`,
        `start_1` ... and `shape_0`, `shape_1` ... .
        """
        from tmatch._results.formats import columns_of  # noqa: PLC0415

        return columns_of(self, len(self[0].box.shape) if self else len(self.shape) or 2)

    def to_frame(self) -> Any:
        """Return the matches as a ``pandas.DataFrame`` with the columns of `table`."""
        try:
            import pandas as pd  # noqa: PLC0415
        except ImportError as error:
            msg = "`to_frame` needs pandas, which is not installed: pip install pandas; `table` does without"
            raise ImportError(msg) from error
        return pd.DataFrame(self.table())

    def save(self, path: str | os.PathLike[str], image: str = "", *, pixels: ArrayLike | None = None) -> None:
        """Write the matches to a file, whose ending tells the format.

        Parameters
        ----------
        path : path
            Ends with .csv, .json, .jsonl, .coco.json, .geojson, .txt (YOLO), .xml (JUnit), .zip (regions of ImageJ,
            which needs the package roifile), or .html (a page with boxes, a table, and limits that can be moved). A
            file that is there is replaced when the new one is complete.
        image : str
            Name of the image, to be written to the file.
        pixels : (H, W) or (H, W, C) array of real numbers, or None
            The image that was searched, to be shown in a page; without it, boxes lie on an empty ground. Other formats
            do not hold it.
        """
        if os.fspath(path).lower().endswith((".html", ".htm")):
            from tmatch._report.saving import save_report  # noqa: PLC0415

            save_report(Path(path), self, image, None if pixels is None else np.asarray(pixels))
            return
        from tmatch._io.writing import write_bytes  # noqa: PLC0415
        from tmatch._results.formats import form_of, is_posed, writer_of, written  # noqa: PLC0415
        from tmatch._results.records import Record  # noqa: PLC0415

        writer = writer_of(form_of(path), poses=any(map(is_posed, self)), single=True)
        content = written(writer, [Record(image, matches=self)])
        write_bytes(Path(path), content if isinstance(content, bytes) else content.encode("utf-8", "replace"))

    def preview(self, image: ImageLike, /) -> "Html":
        """Return a table of the best matches with what is seen in each box, which notebooks show.

        Parameters
        ----------
        image : (H, W) or (H, W, C) array of real numbers, path, open file or Pillow image
            The image that was searched.
        """
        from tmatch._results.formats.html import preview_of  # noqa: PLC0415

        return preview_of(self, np.asarray(read_given("image", image, VALID_OPACITY)[0]))

    def _repr_html_(self) -> str:
        from tmatch._results.formats.html import table_of  # noqa: PLC0415

        return table_of(self).text
