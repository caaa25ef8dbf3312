"""Dask arrays are searched part by part, by any scheduler, with the matches of the same array in memory."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import tmatch
import worker_calls
from blocks import scene, tell
from tmatch._engine import execution
from tmatch._engine.progress import Resources
from tmatch._search import likeness
from tmatch._search.matcher import searches_of

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

from drawn_by_workers import CHUNK, CORNERS, PATCH, SIZE, fractions, noise  # noqa: E402  (it needs dask)


def chunks_of(shape, rng):
    """Cut each axis into chunks, some of them tiny."""
    cuts = [sorted(rng.integers(0, n + 1, rng.integers(0, 6)).tolist()) for n in shape]
    return tuple(tuple(np.diff([0, *some, n]).tolist()) for some, n in zip(cuts, shape, strict=True))


def cases(image, template, rng):
    """Return what is searched, for what, and how."""
    gaps = image.astype(float)
    gaps[rng.random(image.shape) < 0.003] = np.nan
    parts = {"a": template, "b": template[1:], "c": template[..., 1:]}
    yield image, template, {}
    yield image, template, {"threshold": 0.3}
    yield image, parts, {"masks": {"b": rng.random(template[1:].shape) < 0.8}}
    yield image, template, {"image_mask": rng.random(image.shape) < 0.97}
    yield gaps, template.astype(float), {"missing": "ignore"}
    yield image * np.pi, template * 1.0, {"metric": "orientation", "output": "same"}
    yield image.astype("i8"), template.astype("i8") * 1000003, {"metric": "ncc", "threshold": 0.7}
    yield image, template, {"metric": "ssd", "threshold": -3000.0, "output": "full"}
    yield image.astype("f4"), template, {"prefilter": "whiten"}
    yield (
        image,
        {"a": template, "b": template[::-1]},
        {"false_alarms": 1.0, "prefilter": "none", "flips": True},
    )


def check(ndim, seed):
    """Search in random chunks, tiles and parts."""
    rng = np.random.default_rng(seed)
    image, template = scene(ndim, seed, (3, 250)[seed % 2])
    case = seed // 2 % 10 if ndim == 2 else seed % 9
    pixels, templates, options = list(cases(image, template, rng))[case]
    tile = tuple(rng.integers(8, 40, ndim).tolist())
    part = int(rng.choice([50, 500, 1500, 2**22]))
    with (
        execution.using(tile=tile, min_compiled_side=1, block_peaks=(1, 16)[seed // 3 % 2], part_pixels=part),
        dask.config.set(scheduler=("sync", "threads")[seed % 2]),
    ):
        expected = tmatch.locate(pixels, templates, channel_axis=None, **options)
        if "image_mask" in options and rng.random() < 0.7:
            options["image_mask"] = da.from_array(options["image_mask"], chunks_of(image.shape, rng))
        lazy = da.from_array(pixels, chunks_of(image.shape, rng))
        found = tmatch.locate(lazy, templates, channel_axis=None, **options)
    assert tell(found) == tell(expected), (ndim, seed)


@pytest.mark.engine_free  # compiled transforms of so many lengths would take minutes
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("seed", range(10))
def test_any_chunks(ndim, seed):
    check(ndim, 2 * seed if ndim == 2 else seed)


@pytest.mark.one_engine
def test_colours_and_alpha():
    image = np.stack([scene(2, i, 250)[0] for i in range(3)], axis=2)
    template = image[10:20, 30:44]
    opaque = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    opaque[:5, :40, 3] = 0
    with execution.using(tile=(16, 20), part_pixels=1000):
        for pixels in (image, opaque):
            lazy = da.from_array(pixels, (31, 40, 2))
            assert tell(tmatch.locate(lazy, template)) == tell(tmatch.locate(pixels, template))
            assert tmatch.best_match(lazy, template) == tmatch.best_match(pixels, template)


@pytest.mark.one_engine
def test_least_variances():
    image, template = scene(2, 1, 250)
    matcher, parts = tmatch.Matcher(template), da.from_array(image, (31, 40))
    found = []
    with execution.using(part_pixels=1000):
        for pixels in (image, parts):
            [search] = searches_of(matcher, pixels, None)
            found.append(likeness._least_variances(search, (2, 3), Resources()))
    np.testing.assert_array_equal(*found)


@pytest.mark.engine_free
def test_nothing_is_computed_twice_and_progress_reaches_its_end():
    image, template = scene(2, 1, 250)
    computed, shares, searched = [], [], []

    def see(block, block_info=None):
        computed.append(tuple(block_info[0]["chunk-location"]))
        return block

    def follow(share):
        shares.append(share)
        searched.append(len(computed))

    lazy = da.from_array(image, 30).map_blocks(see, meta=np.empty((0, 0), np.uint8))
    with execution.using(tile=(16, 20), part_pixels=1000), dask.config.set(scheduler="sync"):
        assert tmatch.locate(lazy, template, threshold=0.9, metric="ncc", progress=follow)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) > 5
    assert searched[-1] == len(set(computed)) == 12


@pytest.mark.engine_free
def test_what_is_wrong_is_told_as_of_arrays_in_memory():
    image, template = scene(2, 1, 250)
    wrong = image.astype(float)
    wrong[50, 30] = np.nan
    with pytest.raises(ValueError, match=r"`image` is nan at \[50, 30\]"):
        tmatch.locate(da.from_array(wrong, 40), template)
    with pytest.raises(TypeError, match="`image` has dtype complex128"):
        tmatch.locate(da.from_array(wrong * 1j, 40), template)


# --- a cluster ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster():
    """Two processes with a thread each."""
    # A local cluster takes a worker for lost that is being started 15 s after it was killed.
    settings = {"distributed.deploy.lost-worker-timeout": "1 h"}
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50
        ) as cluster,
    ):
        yield cluster


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster) as client:
        yield client


@pytest.fixture
def parts(execute):
    """Cut the work into many parts."""
    execute(tile=(60, 64), part_pixels=5000)


@pytest.mark.one_engine
@pytest.mark.usefixtures("client", "parts")
def test_a_cluster_finds_the_same_whatever_becomes_of_its_workers(cluster):
    expected = tmatch.locate(noise().compute(scheduler="sync"), PATCH)
    assert len(expected) == len(CORNERS)
    assert tell(tmatch.locate(noise(), PATCH)) == tell(expected)
    rng, moments = np.random.default_rng(2), [0.1, 0.3, 0.6]

    def kill_some(share):
        if moments and share > moments[0]:
            moments.pop(0)
            pids = [nanny.pid for nanny in cluster.workers.values() if nanny.pid]
            os.kill(int(rng.choice(pids)), signal.SIGKILL)

    assert tell(tmatch.locate(noise(), PATCH, progress=kill_some)) == tell(expected)
    assert not moments


@pytest.mark.engine_free
@pytest.mark.usefixtures("parts")
def test_what_is_pending_is_cancelled_if_a_search_is_interrupted(client):
    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tmatch.locate(noise(), PATCH, progress=interrupt)
    end = time.monotonic() + 30
    while client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)):
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.engine_free
@pytest.mark.usefixtures("client", "parts")
def test_errors_of_workers_are_raised_here():
    wrong = noise().astype(float)
    wrong = da.where(da.arange(SIZE, chunks=CHUNK) == 250, np.nan, wrong)
    with pytest.raises(ValueError, match=r"`image` is nan at \[\d+, 250\]"):
        tmatch.locate(wrong, PATCH)


@pytest.mark.engine_free
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is told by Linux")
def test_no_worker_holds_much_of_a_large_array(client, execute):
    execute(part_pixels=2**18)
    floats = fractions(((500,) * 8,) * 2)
    template = floats[490:520, 985:1020].compute(scheduler="sync")
    assert tmatch.locate(floats[:1100, :1100], template)  # what is imported and planned stays
    before = client.run(worker_calls.peak_bytes)
    assert len(tmatch.locate(floats, template, prefilter="none")) == 1
    after = client.run(worker_calls.peak_bytes)
    assert max(after[worker] - before[worker] for worker in before) < floats.nbytes / 2
