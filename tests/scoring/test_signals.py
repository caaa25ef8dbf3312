"""Long signals, in both precisions: every score is held against the definition in long double."""

import functools
import re

import numpy as np
import pytest

import hard_images
import tmatch
from hard_images import hard_image, zncc_at
from loops import each
from tmatch._scoring.signals import SignalScorer

BOUNDS = {"double": 1e-9, "single": 1e-4}  # what match_template promises
LENGTH, WINDOW = 33_000, 20  # 33 rows, of which the last is not full

precisions = pytest.mark.parametrize("precision", BOUNDS)


@functools.cache
def searched(name):
    """A hard signal, a template cut from its middle, some positions about all that is odd, and their scores."""
    signal = hard_image(name, (110, LENGTH // 110)).ravel().copy()
    template = signal[LENGTH // 2 + 7 :][:WINDOW].copy()
    if np.ptp(template) == 0:
        template = np.arange(WINDOW)
    rng, last = np.random.default_rng(0), LENGTH - WINDOW
    odd = 110 * 5 // 9 * (LENGTH // 110) + LENGTH // 110 * 25 // 48
    seams = np.arange(1024 - WINDOW + 1, last, 1024 - WINDOW + 1)[:, None] + np.arange(-2, 2)
    at = np.concatenate(
        [rng.integers(0, last, 500), odd + np.arange(-WINDOW, 3), seams.ravel(), [0, 1, last - 1, last]]
    )
    scores = zncc_at(signal[None], template[None], np.column_stack([np.zeros_like(at), at]))
    return signal, template, at, scores


def scorer_of(monkeypatch):
    """Count the blocks that are scored as rows."""
    blocks, score = [], SignalScorer.score

    def counted(scorer, block, **options):
        blocks.append(block)
        return score(scorer, block, **options)

    monkeypatch.setattr(SignalScorer, "score", counted)
    return blocks


@pytest.mark.parametrize("name", hard_images.NAMES)
@precisions
def test_windows_of_a_hard_signal_keep_their_scores(monkeypatch, name, precision):
    blocks = scorer_of(monkeypatch)
    signal, template, at, expected = searched(name)
    scores = tmatch.match_template(signal, template, precision=precision)
    assert scores.shape == (LENGTH - WINDOW + 1,)
    assert scores.dtype == (np.float64 if precision == "double" else np.float32)
    assert np.all(np.abs(scores) <= 1)
    np.testing.assert_allclose(scores[at], expected, rtol=0, atol=BOUNDS[precision])
    windows = np.lib.stride_tricks.sliding_window_view(signal, WINDOW)
    constant = windows.max(axis=1) == windows.min(axis=1)
    np.testing.assert_array_equal(tmatch.score_validity(signal, template), ~constant)
    assert np.all(scores[constant] == 0)
    assert blocks


@precisions
@pytest.mark.parametrize("tile", [(1, 30), (7, 500), None])
@each("count", [33_000, 32 * 1005 + 19, 32 * 1005 + 20, 33 * 1005 + 19])
def test_any_length_and_any_tiles_will_do(draw, execute, monkeypatch, precision, tile, count):
    execute(tile=tile, min_compiled_side=1)
    blocks = scorer_of(monkeypatch)
    signal, template = draw((count,), "f4"), draw((WINDOW,), "f4", 1)
    scores = tmatch.match_template(signal, template, precision=precision)
    at = np.arange(0, count - WINDOW + 1, 13)
    at[-1] = count - WINDOW
    expected = zncc_at(signal[None], template[None], np.column_stack([np.zeros_like(at), at]))
    np.testing.assert_allclose(scores[at], expected, rtol=0, atol=BOUNDS[precision])
    assert blocks
    if precision == "double":
        alone = tmatch.match_template(signal[:2000], template)  # not as rows
        np.testing.assert_allclose(scores[: len(alone)], alone, rtol=0, atol=1e-11)


@pytest.mark.parametrize("metric", ["zncc", "ncc", "ssd"])
@pytest.mark.parametrize("masked", [False, True])
def test_all_else_is_as_in_short_signals(draw, metric, masked):
    """A part of the signal has the scores of the whole."""
    signal, template = draw((LENGTH,)), draw((WINDOW,), seed=1)
    options = {"metric": metric, "mask": np.arange(WINDOW) % 3 > 0} if masked else {"metric": metric}
    whole = tmatch.match_template(signal, template, **options)
    part = tmatch.match_template(signal[1000:3000], template, **options)
    np.testing.assert_allclose(whole[1000:2981], part, rtol=1e-9, atol=1e-9)


@precisions
def test_integers_of_any_dtype_have_equal_bits_whatever_the_threads(draw, execute, precision):
    signal, template = draw((LENGTH,), "u1"), draw((WINDOW,), "u1", 1)
    expected = tmatch.match_template(signal, template, precision=precision)
    execute(cores=2, threaded_work=0, fused_threaded_work=0)
    for dtype in ("u1", "i4", "f4", "f8"):
        scores = tmatch.match_template(
            signal.astype(dtype), template.astype(dtype), precision=precision, workers=2
        )
        assert scores.tobytes() == expected.tobytes()


def test_channels_of_a_signal_are_compared_together(draw):
    signal, template = draw((LENGTH, 2)), draw((WINDOW, 2), seed=1)
    whole = tmatch.match_template(signal, template, channel_axis=1)
    part = tmatch.match_template(signal[-2000:], template, channel_axis=1)
    np.testing.assert_allclose(whole[-len(part) :], part, rtol=0, atol=1e-11)


@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_copies_are_located(dtype):
    rng = np.random.default_rng(1)
    signal = rng.normal(100, 20, 60_000).astype(dtype)
    template = rng.normal(100, 20, 200).astype(dtype)
    for place in (5000, 59_800):
        signal[place : place + 200] = template
    found = tmatch.locate(signal, template)
    assert sorted(match.box.start for match in found) == [(5000,), (59_800,)]


def test_signals_mapped_from_a_file_are_not_copied(tmp_path, draw, monkeypatch):
    blocks = scorer_of(monkeypatch)
    path = tmp_path / "signal.npy"
    np.save(path, draw((LENGTH,)))
    signal, template = np.load(path, mmap_mode="r"), draw((WINDOW,), seed=1)
    scores = tmatch.match_template(signal, template)
    assert not blocks
    np.testing.assert_allclose(scores, tmatch.match_template(np.array(signal), template), atol=1e-11)
    assert blocks


@precisions
@pytest.mark.parametrize("value", [np.nan, np.inf])
@each("place", [0, 20_000, LENGTH - 1])
def test_what_is_not_finite_is_refused_by_its_place(draw, precision, value, place):
    signal = np.array(draw((LENGTH,)))
    signal[place] = value
    sentence = f"`image` is {value} at [{place}]; all pixels must be finite: replace NaN and infinity"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        tmatch.match_template(signal, draw((WINDOW,), seed=1), precision=precision)
