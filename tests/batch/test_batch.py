"""Many images: order, bounded reading ahead, journals and counts."""

import itertools
import json
import threading
import time
from pathlib import Path

import pytest

import tmatch
from tmatch._batch.journal import Journal
from tmatch._batch.outputs import appended, replaced
from tmatch._batch.tally import Tally, described
from tmatch._engine.in_order import map_in_order
from tmatch._results.collection import Matches
from tmatch._results.formats import writer_of
from tmatch._results.records import Record

pytestmark = pytest.mark.engine_free
LABELS = ("no", "ok")
FOUND = tmatch.Match(tmatch.Box((2, 3), (4, 5)), 0.9, "ok")


def record(name, *matches, error="", page=None):
    matches = Matches(matches, shape=(20, 30), labels=() if error else LABELS)
    return Record(name, page, matches=matches, error=error)


RECORDS = [
    record("a.png", FOUND),
    record("b.png", error="broken"),
    record("c.tif", page=0),
    record("c.tif", FOUND, FOUND, page=1),
    record("a.png", FOUND),
]


# --- several at a time --------------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", [1, 2, 5, None])
def test_results_come_in_the_order_of_items_whatever_the_number_of_jobs(jobs):
    def slow(item, _):
        time.sleep(0.002 * (item % 3))
        return item * item

    assert [*map_in_order(slow, range(40), jobs)] == [n * n for n in range(40)]


def test_items_are_taken_only_a_little_ahead_of_results():
    taken = []

    def items():
        for n in itertools.count():
            taken.append(n)
            yield n

    results = map_in_order(lambda item, _: item, items(), 2)
    for n in range(20):
        assert next(results) == n
        assert len(taken) <= n + 5
    results.close()


def test_an_error_is_raised_in_its_turn_and_the_rest_is_dropped():
    done = []

    def work(item, _):
        if item == 3:
            raise ValueError(item)
        done.append(item)
        return item

    results = map_in_order(work, range(1000), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="3"):
        next(results)
    assert len(done) < 20


def test_calls_whose_results_are_not_wanted_are_stopped():
    running, ended = threading.Barrier(3), []

    def work(item, resources):
        if item == 0:
            return item
        running.wait()
        try:
            for share in itertools.count(2):
                resources.progress(share)
        finally:
            ended.append(item)

    results = map_in_order(work, range(100), 2)
    assert next(results) == 0
    running.wait()
    results.close()
    assert sorted(ended) == [1, 2]


def test_a_single_item_may_use_all_threads():
    assert [*map_in_order(lambda _, resources: resources.workers, [0], 4)] == [None]
    assert all([*map_in_order(lambda _, resources: resources.workers, [0, 1], 4)])


# --- counts -------------------------------------------------------------------------------------------


def test_a_tally_tells_what_is_missing_and_whether_that_meets_what_is_required():
    tally = Tally(LABELS)
    for each in RECORDS:
        tally.add(each)
    assert (tally.images, tally.matches, tally.fewest, tally.n_missing) == (5, 4, 0, 5)
    both = [("a.png", ["no"]), ("c.tif[0]", ["no", "ok"]), ("c.tif[1]", ["no"]), ("a.png", ["no"])]
    assert tally.missing == both
    assert [tally.meets(required) for required in ("all", "any", "none", "1")] == [False, True, False, False]
    first, *rest = described(tally, 1)
    assert first == "5 images searched for 2 templates: 4 found, 5 of 8 not found, 1 could not be searched"
    assert rest == ["not found in a.png: no", "and 3 more images; the records tell all of them"]
    full = Tally(("ok",))
    full.add(record("a.png", FOUND))
    assert [full.meets(required) for required in ("all", "any", "none", "1", "2")] == [
        True,
        True,
        False,
        True,
        False,
    ]


# --- journals -----------------------------------------------------------------------------------------


def write(path, records, end=0, search="s"):
    with appended(path, writer_of("jsonl", search=search), end) as add:
        for each in records:
            add(each)


def test_a_journal_cut_anywhere_is_gone_on_with_to_the_same_bytes(tmp_path):
    whole = tmp_path / "whole.jsonl"
    write(whole, RECORDS)
    content = whole.read_bytes()
    path = tmp_path / "cut.jsonl"
    for size in range(len(content) + 1):
        path.write_bytes(content[:size])
        tally = Tally(LABELS)
        journal = Journal.read(path, LABELS, "s", tally)
        left = [each for each in RECORDS if not journal.skips((each.image, each.page))]
        assert tally.images + len(left) == len(RECORDS)
        write(path, left, journal.end)
        assert path.read_bytes() == content
    again = Tally(LABELS)
    Journal.read(whole, LABELS, "s", again)
    assert (again.images, again.matches, again.n_missing, again.errors) == (5, 4, 5, [("b.png", "broken")])


def test_a_file_that_a_run_appends_to_is_refused_to_others(tmp_path):
    path = tmp_path / "r.jsonl"
    with appended(path, writer_of("jsonl")) as add:
        add(RECORDS[0])
        written = path.read_bytes()
        with pytest.raises(
            OSError, match=r'cannot write ".*r\.jsonl": another run writes to it; let that end'
        ):
            write(path, RECORDS)
        assert path.read_bytes() == written
    write(path, RECORDS[:1], search="")
    assert path.read_bytes() == written


def test_what_keeps_nothing_cannot_be_gone_on_with():
    with pytest.raises(ValueError, match=r'"/dev/full" is a device or a pipe, and does not keep what'):
        Journal.read(Path("/dev/full"), LABELS, "s", Tally(LABELS))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("no json\n", r'line 1 of ".*" is no record of this search; write to another file, or remove this one'),
        ('{"image": "a", "page": null}\n', "line 1 of"),
        (json.dumps({"image": "a", "page": None, "search": "s", "label": "ok", "found": 1}) + "\n", "line 1 of"),
        (json.dumps({"image": "a", "page": None, "search": "t", "label": "no", "found": 1}) + "\n",
         "holds results of other templates or other options"),
    ],
)  # fmt: skip
def test_what_is_no_journal_of_this_search_is_refused_and_kept(tmp_path, text, sentence):
    path = tmp_path / "other.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=sentence):
        Journal.read(path, LABELS, "s", Tally(LABELS))
    assert path.read_text() == text


# --- files --------------------------------------------------------------------------------------------


def opened(how, path):
    return how(path, writer_of("jsonl"))


@pytest.mark.parametrize("how", [appended, replaced])
def test_only_errors_of_the_file_itself_name_it(tmp_path, how):
    gone = tmp_path / "no" / "a.jsonl"
    with (
        pytest.raises(OSError, match=r'^cannot write ".*a\.jsonl": no such file or directory$'),
        opened(how, gone),
    ):
        pass
    path = tmp_path / "a.jsonl"
    error = BrokenPipeError(32, "of the terminal")
    with pytest.raises(BrokenPipeError, match="of the terminal"), opened(how, path):
        raise error
    assert path.exists() == (how is appended)
    assert len([*tmp_path.iterdir()]) == path.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_disk_that_is_full_is_told():
    for how in (appended, replaced):
        with (
            pytest.raises(OSError, match='^cannot write "/dev/full": no space left on device$'),
            opened(how, Path("/dev/full")) as add,
        ):
            add(RECORDS[0])
