"""Images that are read in parts are searched in one pass over their blocks, with the matches of those in memory."""

import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tmatch
from blocks import WINDOWS, scene, tell
from tmatch._arrays.lazy import Whole
from tmatch._detection.block_peaks import SinglePeaks, Wanted
from tmatch._detection.criterion import Criterion
from tmatch._detection.one_pass import find_in_blocks
from tmatch._engine.progress import Resources
from tmatch._engine.tiling import Tiling
from tmatch._scoring.image import prepare_image
from tmatch._scoring.metrics import ScoringOptions
from tmatch._scoring.scorer import ScoredBlock
from tmatch._scoring.search import pair
from tmatch._scoring.template import prepare_template


class Counting(Whole):
    """An array that counts how often its regions are read."""

    def __init__(self, values):
        super().__init__(values)
        object.__setattr__(self, "reads", Counter())

    def read(self, region):
        self.reads[tuple((part.start, part.stop) for part in region)] += 1
        return super().read(region)


def same(image, templates, **options):
    """Check that both ways give the same, and return it."""
    expected = tmatch.locate(image, templates, **options)
    options = {name: Whole(value) if name == "image_mask" else value for name, value in options.items()}
    assert tell(tmatch.locate(Whole(image), templates, **options)) == tell(expected)
    return expected


@pytest.mark.engine_free  # compiled transforms of so many lengths would take minutes
@pytest.mark.parametrize("ndim", WINDOWS)
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("peaks", [1, 16])
def test_any_blocks(execute, ndim, seed, peaks):
    rng = np.random.default_rng(seed)
    tile = tuple(int(n) for n in rng.integers(max(WINDOWS[ndim]) // 2, 40, ndim))
    execute(tile=tile, min_compiled_side=1, block_peaks=peaks)
    image, template = scene(ndim, seed, (3, 250)[seed % 2])
    options = {"channel_axis": None}
    assert same(image, template, **options)
    same(image, template, threshold=0.2, **options)
    mask = rng.random(template.shape) < 0.8
    same(image, {"a": template, "b": template[1:], "c": template[..., 2:]}, masks={"b": mask[1:]}, **options)
    same(image, template, image_mask=rng.random(image.shape) < 0.97, **options)
    same(image.astype(float) * np.pi, template * 1.0, metric="orientation", output="same", **options)
    for metric, threshold in (("ssd", -3000.0), ("cc", 1e4), ("ncc", 0.7)):
        same(image, template, metric=metric, threshold=threshold, output="full", **options)


@pytest.mark.parametrize("peaks", [1, 16])
def test_plateaus_that_go_on_in_other_blocks(execute, peaks):
    execute(tile=(7, 9), min_compiled_side=1, block_peaks=peaks)
    image = np.zeros((60, 70), np.uint8)
    image[10:50, 20:52] = 200
    template = image[6:14, 30:38]  # an edge, which matches all along
    for metric in ("zncc", "ncc", "ssd", "orientation"):
        for mask in (None, np.eye(8) < 1):
            assert len(
                same(image, template, metric=metric, masks=mask, threshold=-0.001 if metric == "ssd" else 0.9)
            )


def test_loud_and_quiet_blocks(execute):
    execute(tile=(32, 32), min_compiled_side=1, block_peaks=1)
    rng = np.random.default_rng(3)
    template = rng.normal(size=(16, 16)).cumsum(0).cumsum(1)
    image = rng.normal(size=(200, 200)) * 0.3
    image[:, 100:] += rng.normal(size=(200, 100)).cumsum(0).cumsum(1)
    for corner in ((20, 25), (60, 44), (24, 31), (150, 90), (170, 150)):
        image[corner[0] : corner[0] + 16, corner[1] : corner[1] + 16] += template * rng.uniform(0.1, 1)
    for mask in (None, rng.random((16, 16)) < 0.9):
        for false_alarms in (1e-6, 0.01, 1.0, 100.0):
            same(image, template, masks=mask, false_alarms=false_alarms, prefilter="none")


@pytest.mark.parametrize("mask", [None, np.tri(9, 11) > 0])
def test_each_block_is_read_once(execute, mask):
    execute(tile=(32, 40), min_compiled_side=1)
    image, template = scene(2, 1, 250)
    counting = Counting(image)
    threshold = {"threshold": 0.9}
    found = tmatch.locate(counting, {"a": template, "b": template[1:]}, masks={"a": mask}, **threshold)
    assert tell(found) == tell(
        tmatch.locate(image, {"a": template, "b": template[1:]}, masks={"a": mask}, **threshold)
    )
    blocks = [times for (rows, _), times in counting.reads.items() if rows[1] - rows[0] >= 30]
    assert len(blocks) >= 6
    assert set(blocks) == {1}


@pytest.mark.parametrize("deep", [False, True])
def test_few_blocks_are_read_again_to_find_what_is_there(execute, deep):
    execute(tile=(32, 40), min_compiled_side=1, block_peaks=1)
    rng = np.random.default_rng(5)
    template = rng.integers(0, 256, (9, 11)).astype(np.uint8)
    image = rng.integers(0, 256, (400, 400)).astype(np.uint8)
    slope = np.linspace(0, 100, 11)
    for y in range(0, 380, 20) if deep else ():  # minima that are lower than the copies are high
        for x in range(0, 380, 20):
            image[y : y + 9, x : x + 11] = 0.6 * (255 - template) + slope
    for y, x in ((50, 60), (210, 310), (330, 331)):
        copy = template + rng.normal(size=template.shape) * 70
        image[y : y + 9, x : x + 11] = np.clip(copy, 0, 255)
    for false_alarms in (0.01, 1, 50):
        counting = Counting(image)
        expected = tmatch.locate(image, template, false_alarms=false_alarms)
        assert len(expected) >= 3
        assert tell(tmatch.locate(counting, template, false_alarms=false_alarms)) == tell(expected)
        blocks = [times for (rows, _), times in counting.reads.items() if rows[1] - rows[0] >= 40]
        assert len(blocks) >= 40
        again = np.mean([times > 1 for times in blocks])
        assert 0 < again < 0.03 if deep and false_alarms <= 1 else again < 0.01


@pytest.mark.engine_free
def test_threads_that_learn_of_chance_together_do_not_disturb_each_other():
    wanted = Wanted((100, 100), (5, 5), 25, summary=True, rare=True)
    scores = np.ones((10, 10))
    block = ScoredBlock(0, (slice(0, 10), slice(0, 10)), scores, scores, summary=np.ones((6, 2, 2)))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(100):
            peaks = SinglePeaks({0: wanted})
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(peaks._by_chance, [block] * 400))
    finally:
        sys.setswitchinterval(interval)


def test_progress_reaches_its_end(execute):
    execute(tile=(32, 40), min_compiled_side=1, block_peaks=1)
    image, template = scene(2, 1, 250)
    shares = []
    tmatch.locate(Whole(image), template, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) > 5


def test_too_little_overlap_is_known_at_the_end():
    image, template = scene(2, 1, 250)
    valid = np.zeros(image.shape, bool)
    valid[3, 4] = True
    with pytest.raises(ValueError, match="of the template lies on valid pixels") as expected:
        tmatch.locate(image, template, image_mask=valid)
    with pytest.raises(ValueError, match="of the template lies on valid pixels") as told:
        tmatch.locate(Whole(image), template, image_mask=Whole(valid))
    assert str(told.value) == str(expected.value)


def test_the_best_position():
    image, template = scene(2, 1, 3)
    assert tmatch.best_match(Whole(image), template) == tmatch.best_match(image, template)


class Given:
    """A scorer of given scores."""

    templates, passes = (0,), 1.0

    def __init__(self, scores, window, block):
        self.scores, self.tiling = scores, Tiling(scores.shape, window, block)

    def score(self, block, **_):
        yield ScoredBlock(0, block, self.scores[block], np.ones_like(self.scores[block]))

    def finish(self, overlap):
        assert overlap == np.inf


class AnyAt(Criterion):
    """Accepts all that reach 0.3, of which only one cell is known to."""

    def floors(self, null):
        floors = np.full(null.cells.high.shape, np.inf)
        floors[2, 3] = 0.3
        return floors

    def accepts(self, found):
        return np.ones(len(found.positions), bool)


def test_peaks_beside_a_block_that_kept_only_higher_ones(execute):
    execute(block_peaks=1)
    image, template = scene(2, 1, 250)
    search = pair(
        prepare_image(image[:23, :23], None, ScoringOptions()),
        prepare_template(template[:8, :8], None, ScoringOptions()),
    )
    scores = np.zeros((16, 16))
    scores[4, 7] = 0.5
    scores[5, 8], scores[2, 12] = 0.6, 0.9  # in one block
    scorer = Given(scores, (8, 8), (8, 8))
    found = find_in_blocks([search], [scorer], AnyAt.of("zncc"), Resources())[0]
    assert found.positions.tolist() == [[2, 12], [5, 8]]
