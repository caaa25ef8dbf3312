"""Matches as regions of interest of ImageJ, in a ZIP archive."""

import io
import re
import zipfile
from collections import Counter
from dataclasses import dataclass, field

from tmatch._io.extras import require
from tmatch._results.formats.rows import edge_points
from tmatch._results.formats.writers import Writer
from tmatch._results.matches import Match, outline_of
from tmatch._results.records import Record

_LOW, _HIGH = -5000, 60535  # pixels that ImageJ's rectangles can hold
_UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # in a name
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # of an archive, so that equal results are equal bytes


@dataclass
class RoiWriter(Writer):
    """A region for each match: a rectangle, or a polygon where it is turned."""

    _found: list[tuple[Record, Match]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        require("rois", "a .zip file is")

    def add(self, record: Record) -> str:
        """Keep the matches of an image."""
        about = Record(record.image, record.page)
        self._found += ((about, match) for match in record.matches)
        return ""

    def end(self) -> bytes:
        """Return the archive."""
        file, seen = io.BytesIO(), Counter[str]()
        with zipfile.ZipFile(file, "w") as archive:
            for record, match in self._found:
                name = self._name(record, match)
                inside = re.sub(r'[/\\:*?"<>|]', "_", name)
                seen[inside] += 1
                count = f" {seen[inside]}" if seen[inside] > 1 else ""
                entry = zipfile.ZipInfo(f"{inside}{count}.roi", _EARLIEST)
                archive.writestr(entry, _region(match, name + count, record.page), zipfile.ZIP_DEFLATED)
        return file.getvalue()

    def _name(self, record: Record, match: Match) -> str:
        parts = ("" if self.layout.single else record.image, match.label, f"{match.score:.3f}")
        return _UNFIT.sub("_", " ".join(filter(None, parts)))


def _region(match: Match, name: str, page: int | None) -> bytes:
    """Return a match as the bytes of a region."""
    import roifile  # noqa: PLC0415

    left, top, right, bottom = match.box.xyxy
    position = 0 if page is None else page + 1
    if outline_of(match) is None and min(left, top) >= _LOW and max(right, bottom) <= _HIGH:
        region = roifile.ImagejRoi(
            roitype=roifile.ROI_TYPE.RECT, left=left, top=top, right=right, bottom=bottom, name=name,
            position=position,
        )  # fmt: skip
    else:
        region = roifile.ImagejRoi.frompoints(edge_points(match), name=name)
        region.roitype, region.position = roifile.ROI_TYPE.POLYGON, position
    written: bytes = region.tobytes()
    return written
