"""What is kept of an array is not read again, and is what would be read."""

import numpy as np
import pytest

from tmatch._arrays.kept import Kept
from tmatch._arrays.lazy import Whole

RNG = np.random.default_rng(1)
IMAGE = RNG.integers(0, 256, (90, 120), dtype=np.uint8)


class Counted(Whole):
    """An array in memory that counts what is read of it."""

    def __init__(self, values):
        super().__init__(values)
        object.__setattr__(self, "reads", [])

    def read(self, region):
        self.reads.append(region)
        return super().read(region)


def kept_boxes(source, starts, side):
    """Keep boxes of an image that was read."""
    kept = Kept(source)
    kept.read(np.s_[0:90, 0:120])
    source.reads.clear()
    kept.keep(np.array(starts), (side, side))
    return kept


def test_regions_inside_kept_boxes_are_not_read():
    source = Counted(IMAGE)
    starts = np.random.default_rng(2).integers(-1, 90, (40, 2)).tolist()  # some reach beyond the image
    kept = kept_boxes(source, starts, 12)
    inside = [np.s_[max(y + 1, 0) : min(y + 9, 90), max(x + 1, 0) : min(x + 9, 120)] for y, x in starts]
    inside = [region for region in inside if IMAGE[region].size]
    for region, found in zip(inside, kept.read_many(inside), strict=True):
        assert np.array_equal(found, IMAGE[region])
    assert not source.reads
    outside = [np.s_[0:90, 0:3]]
    assert np.array_equal(kept.read_many(outside)[0], IMAGE[outside[0]])
    assert source.reads == outside


@pytest.mark.parametrize("step", [7, 25, 60])
def test_reserved_regions_are_gathered_from_overlapping_tiles(step):
    source = Counted(IMAGE)
    kept = Kept(source)
    regions = [np.s_[40:43, 0:120], np.s_[0:10, 0:10], np.s_[75:90, 100:120]]
    kept.reserve(regions)
    for top in range(0, 90, step):
        for left in range(0, 120, step):
            kept.read(np.s_[top : min(top + step + 6, 90), left : min(left + step + 6, 120)])
    count = len(source.reads)
    for region, found in zip(regions, kept.read_many(regions), strict=True):
        assert np.array_equal(found, IMAGE[region])
    assert len(source.reads) == count


def test_what_was_not_read_yet_is_read():
    kept = Kept(Counted(IMAGE))
    kept.reserve([np.s_[0:10, 0:10]])
    kept.read(np.s_[0:5, 0:120])
    assert np.array_equal(kept.read_many([np.s_[0:10, 0:10]])[0], IMAGE[:10, :10])


def test_boxes_beyond_the_limit_are_read_again(monkeypatch):
    monkeypatch.setattr("tmatch._arrays.kept._MAX_BYTES", 300)
    source = Counted(IMAGE)
    kept = kept_boxes(source, [(0, 0), (30, 30), (60, 60)], 12)
    regions = [np.s_[0:12, 0:12], np.s_[60:72, 60:72]]
    for region, found in zip(regions, kept.read_many(regions), strict=True):
        assert np.array_equal(found, IMAGE[region])
    assert source.reads == regions[1:]
