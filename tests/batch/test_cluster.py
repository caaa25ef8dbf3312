"""Many images on a cluster: the same results as by threads, whatever becomes of workers and of the client."""

import functools
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

import tmatch
import worker_calls
from tmatch._batch.images import ImageSearch
from tmatch._detection.criterion import Criterion
from tmatch._engine.cluster import ClusterError, map_on_cluster
from tmatch._io.pairs import read_templates
from tmatch._io.sources import Source, find_sources
from tmatch.cli.app import app

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.engine_free
RNG = np.random.default_rng(23)
FRAMES = RNG.integers(0, 256, (14, 40, 50), dtype=np.uint8)
PATCH = FRAMES[0, 10:18, 20:29].copy()
FRAMES[::3, 10:18, 20:29] = PATCH
_ANY_PORT = "127.0.0.1:0"
TEMPLATES = {"patch": PATCH, "absent": RNG.integers(0, 256, (6, 7), dtype=np.uint8)}


@pytest.fixture(scope="module")
def cluster(engine):  # noqa: ARG001  (which workers inherit)
    """Two processes with a thread each; what one has in hand when it dies is searched once more, alone."""
    # A local cluster takes a worker for lost that is being started 15 s after it was killed.
    settings = {"distributed.scheduler.allowed-failures": 0, "distributed.deploy.lost-worker-timeout": "1 h"}
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=_ANY_PORT,
            memory_limit="1GiB",
            silence_logs=50,
        ) as cluster,
    ):
        yield cluster


@pytest.fixture(scope="module")
def client(cluster):
    with distributed.Client(cluster, set_as_default=False) as client:
        yield client


def facts(results):
    return [
        (name, repr((list(found), found.best, found.near_misses, found.decision)), found.shape, found.labels)
        for name, found in results
    ]


def until(condition):
    """Wait until something is so that is bound to be."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def kill(cluster, pid=None):
    """Kill a worker, or any, as soon as another one would be started in its place."""

    def running():
        nannies = [nanny for nanny in cluster.workers.values() if nanny.process]
        return [
            each.pid for each in nannies if each.process.status == distributed.Status.running and each.pid
        ]

    until(lambda: pid in running() if pid else running())
    os.kill(pid or running()[0], signal.SIGKILL)


@pytest.fixture
def deadly(cluster, tmp_path):
    """A folder: workers that tell their number in it are killed."""
    folder, over = tmp_path / "deadly", threading.Event()
    folder.mkdir()

    def reap():
        while not over.wait(0.005):
            for path in folder.iterdir():
                kill(cluster, int(path.name))
                path.unlink()

    reaper = threading.Thread(target=reap)
    reaper.start()
    yield folder
    over.set()
    reaper.join()


# --- calls in order -----------------------------------------------------------------------------------


def fail(_, error):
    raise error


def test_calls_use_one_thread_and_a_function_that_workers_keep(client):
    told = [*map_on_cluster(worker_calls.Loaded(), range(30), client, failed=fail)]
    assert [item for item, *_ in told] == [*range(30)]
    assert {threads for *_, threads in told} == {1}
    assert (
        len({(pid, number) for _, pid, number, _ in told}) < 8
    )  # dask may drop what it has, and fetch it again


@pytest.mark.parametrize(("jobs", "most"), [(None, 4), (1, 1), (3, 3)])
def test_items_are_taken_as_results_are_wanted(client, jobs, most):
    taken = []

    def endless():
        for number in itertools.count():
            taken.append(number)
            yield number

    results = map_on_cluster(worker_calls.Loaded(), endless(), client, failed=fail, jobs=jobs)
    for number in range(12):
        assert next(results)[0] == number
        assert len(taken) <= number + most
    results.close()


def test_what_is_not_wanted_any_more_is_cancelled_and_the_client_stays_open(client, cluster, tmp_path):
    gate = tmp_path / "gate"
    results = map_on_cluster(worker_calls.Gate(gate), range(30), client, failed=fail, jobs=30)
    assert next(results) == 0
    results.close()
    until(lambda: not cluster.scheduler.tasks)
    gate.touch()
    assert client.submit(len, [1]).result() == 1
    assert len([*tmp_path.iterdir()]) < 10  # what was not begun never is


def test_a_call_that_fails_is_tried_once_more(client, tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    once = worker_calls.Once(tmp_path / "1", 1)
    assert [*map_on_cluster(once, range(5), client, failed=fail)] == [*range(5)]
    twice = worker_calls.Once(tmp_path / "2", 2)
    told = map_on_cluster(twice, range(3), client, failed=lambda item, error: (item, error.args))
    assert [*told] == [(n, (n,)) for n in range(3)]


def test_workers_use_the_engine_of_the_client(client, execute):
    pytest.importorskip("numba")
    for engine in ("numba", "numpy"):
        execute(engine=engine)
        assert {*map_on_cluster(worker_calls.engine_of, range(4), client, failed=fail)} == {engine}


def test_an_error_of_the_items_comes_after_the_results_before_it(client):
    def items():
        yield from range(3)
        raise KeyError

    results = map_on_cluster(worker_calls.Loaded(), items(), client, failed=fail)
    assert [item for item, *_ in itertools.islice(results, 3)] == [0, 1, 2]
    with pytest.raises(KeyError):
        next(results)


def test_a_cluster_that_is_gone_is_no_fault_of_an_item():
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=_ANY_PORT, silence_logs=50
        ) as cluster,
        distributed.Client(cluster, set_as_default=False, timeout="2s") as client,
    ):
        results = map_on_cluster(worker_calls.Loaded(), itertools.count(), client, failed=lambda *_: None)
        assert next(results)[0] == 0
        cluster.close()
        with pytest.raises(
            ClusterError, match=r"^the cluster at .* is gone, was restarted, or has no workers; start it, and"
        ):
            list(results)


def test_a_worker_that_lacks_a_library_is_no_fault_of_an_item(client):
    results = map_on_cluster(worker_calls.import_what_is_absent, range(5), client, failed=lambda *_: None)
    with pytest.raises(
        ClusterError, match=r"^the cluster at tcp://\S+ lacks what is needed \(No module named 'absent'\)"
    ):
        next(results)


# --- locate_many --------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"prefilter": "whiten"}, {"angles": [0, 90]}])
def test_results_are_those_of_threads(client, options):
    expected = facts(tmatch.locate_many(FRAMES, TEMPLATES, **options))
    assert facts(tmatch.locate_many(iter(FRAMES), TEMPLATES, client=client, **options)) == expected
    assert facts(tmatch.locate_many(FRAMES, TEMPLATES, client=client, jobs=1, **options)) == expected


def test_images_of_all_kinds_are_searched_and_paths_are_read_by_workers(client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(FRAMES[0]).save("a.png")
    np.save("b.npy", FRAMES[3])
    masked = np.ma.MaskedArray(FRAMES[6], FRAMES[6] == 200)
    valid = np.arange(2000).reshape(40, 50) % 97 > 0

    def images():
        yield from ("a.png", tmp_path / "b.npy", ("masked", masked), FRAMES[1].tolist())
        yield from (FRAMES[0].astype(">u2"), FRAMES[3, ::-1, ::-1][::-1, ::-1], Image.fromarray(FRAMES[6]))
        yield io.BytesIO((tmp_path / "a.png").read_bytes())

    matcher = tmatch.Matcher(TEMPLATES)
    for options in ({}, {"image_mask": valid}):
        expected = facts(matcher.locate_many(images(), **options))
        assert facts(matcher.locate_many(images(), client=client, **options)) == expected
    Image.fromarray(valid).save("mask.png")
    assert facts(matcher.locate_many(images(), client=client, image_mask="mask.png")) == expected


def test_an_error_names_its_image_and_comes_in_its_turn(client, tmp_path, deadly):
    absent, broken = tmp_path / "absent.png", tmp_path / "broken.png"
    broken.write_text("this is text")
    cases = [
        (absent, FileNotFoundError, f'cannot read "{absent}": no such file or directory on a worker of the cluster'),
        (broken, OSError, f'cannot read "{broken}": not an image, or a broken one'),
        (("small", FRAMES[0, :3]), ValueError, 'image "small": template "patch" has shape (8, 9), larger than'),
        (("open", io.BytesIO(b"text")), OSError, 'image "open": cannot read "open file": not an image'),
        (("deadly", worker_calls.Deadly(deadly)), OSError,
         'image "deadly": the workers that worked on it have died, 2 one after the other; give each more memory, or'),
    ]  # fmt: skip
    for image, kind, sentence in cases:
        results = tmatch.locate_many([*FRAMES[:2], image, *FRAMES[2:]], TEMPLATES, client=client)
        assert [name for name, _ in itertools.islice(results, 2)] == ["0", "1"]
        with pytest.raises(kind) as error:
            next(results)
        assert str(error.value).startswith(sentence)


@pytest.mark.parametrize("allowed", [0, 3])
def test_workers_that_are_killed_change_nothing(client, cluster, monkeypatch, allowed):
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", allowed)
    images, found = [*FRAMES] * 3, []
    expected = facts(tmatch.locate_many(images, TEMPLATES, threshold=0.7))
    for number, each in enumerate(tmatch.locate_many(images, TEMPLATES, threshold=0.7, client=client)):
        found.append(each)
        if number in (0, 20):
            kill(cluster)
    assert facts(found) == expected


@pytest.mark.parametrize("client", [True, "tcp://127.0.0.1:8786"])
def test_what_is_no_client_is_refused_at_once(client):
    with pytest.raises(
        TypeError, match=r"^`client` is of type \w+; it must be a `dask.distributed.Client`, or None$"
    ):
        tmatch.locate_many(FRAMES, TEMPLATES, client=client)


# --- records ------------------------------------------------------------------------------------------


@pytest.fixture
def shots(tmp_path, monkeypatch):
    """A folder of images, the third broken, and templates; all paths are relative."""
    monkeypatch.chdir(tmp_path)
    for folder in ("shots", "icons"):
        (tmp_path / folder).mkdir()
    for label, template in TEMPLATES.items():
        Image.fromarray(template).save(f"icons/{label}.png")
    for number, frame in enumerate(FRAMES):
        Image.fromarray(frame).save(f"shots/{number:02}.png")
    (tmp_path / "shots" / "02.png").write_text("this is text")
    return tmp_path


def test_an_image_that_ends_its_workers_is_a_record_and_others_are_found(client, shots, deadly):
    search = ImageSearch(
        read_templates([(None, path) for path in sorted((shots / "icons").iterdir())]),
        Criterion.of("zncc"),
        {},
    )
    sources = [*find_sources(["shots"])]
    deadly = Source("deadly.png", functools.partial(worker_calls.die, deadly), elsewhere=True)
    expected = [*search.records(sources)]
    found = [*search.records([*sources[:4], deadly, *sources[4:]], client=client)]
    assert found[4].error.startswith("the workers that worked on it have died, 2 one after the other")
    assert [repr(record) for record in found[:4] + found[5:]] == [repr(record) for record in expected]


def run(*arguments, **options):
    result = CliRunner().invoke(app, ["locate", *map(str, arguments)], **options)
    return result.exit_code, result.stdout, result.stderr


def files_in(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_command_writes_the_same_bytes(cluster, shots):
    tifffile.imwrite("stack.tif", FRAMES)
    frames = [Image.fromarray(frame) for frame in FRAMES[:5]]
    frames[0].save("frames.gif", save_all=True, append_images=frames[1:])
    (shots / "scheduler.json").write_text(json.dumps({"address": cluster.scheduler_address}))
    arguments = [
        "shots",
        "stack.tif",
        "frames.gif",
        "-",
        "-t",
        "icons",
        "--pages",
        "all",
        "--region",
        "2,2,45,36",
        "--threshold",
        0.7,
    ]
    told = {}
    for place in ("", cluster.scheduler_address, "scheduler.json"):
        out = shots / "out"
        out.mkdir()
        outputs = [part for name in ("r.csv", "r.jsonl", "r.json", "r.xml") for part in ("-o", f"out/{name}")]
        options = ["--overlay", "out", *(["--cluster", place] if place else [])]
        ended = run(*arguments, *outputs, *options, input=(shots / "shots" / "00.png").read_bytes())
        told[place] = ended, files_in(out)
        out.rename(f"out{len(told)}")
    first, *others = told.values()
    assert first[0][0] == 2
    assert len(first[1]) == 4 + 13 + 14 + 5 + 1
    assert others == [first, first]


def test_a_run_whose_client_is_killed_goes_on_to_the_same_bytes(cluster, shots):
    images = [*["shots"] * 4, "-t", "icons", "--threshold", "0.7"]
    assert run(*images, "-o", "whole.jsonl")[0] == 2
    path, arguments = (
        shots / "cut.jsonl",
        ["--resume", "-o", "cut.jsonl", "--cluster", cluster.scheduler_address],
    )
    command = [sys.executable, "-m", "tmatch", "locate", *images, *arguments]
    for size in (1, 3000):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            until(functools.partial(has_written, path, size, process))
            process.kill()
    assert run(*images, *arguments)[0] == 2
    assert path.read_bytes() == (shots / "whole.jsonl").read_bytes()


def has_written(path, size, process):
    return process.poll() is not None or (path.exists() and path.stat().st_size >= size)


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        (
            "nowhere",
            '--cluster is "nowhere"; it must be the address of a scheduler, as tcp://host:8786, or the file',
        ),
        (
            "shots/00.png",
            '--cluster "shots/00.png" is no file of `dask scheduler --scheduler-file`: it holds no addr',
        ),
        (
            "tcp://127.0.0.1:1",
            'there is no scheduler at --cluster "tcp://127.0.0.1:1", or it cannot be reached',
        ),
        (
            "what://127.0.0.1:1",
            'there is no scheduler at --cluster "what://127.0.0.1:1", or it cannot be reached',
        ),
    ],
)
def test_what_is_no_cluster_is_refused_before_any_work(shots, place, sentence):
    with dask.config.set({"distributed.comm.timeouts.connect": "0.2s"}):
        code, out, err = run("shots", "-t", "icons", "--cluster", place, "-o", "r.csv")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {sentence}")
    assert not (shots / "r.csv").exists()


@pytest.mark.usefixtures("shots")
def test_a_cluster_needs_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    code, _, err = run("shots", "-t", "icons", "--cluster", "tcp://127.0.0.1:1")
    assert code == 2
    assert err == (
        'error: "tcp://127.0.0.1:1" is the address of a cluster, which dask.distributed reaches; install it with: '
        "pip install 'tmatch[dask]'\n"
    )
