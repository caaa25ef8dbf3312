"""Products of small templates of 8 bits without transforms: the same numbers, to the last bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
import tmatch
from tmatch._scoring import maps

pytest.importorskip("numba")

from tmatch._engine.numba import pairs

pytestmark = pytest.mark.numba_only


def summed(tile, template):
    """Sum products straight from a tile, which lies in a room full of other numbers."""
    places = tuple(np.subtract(tile.shape[1:], template.shape[1:]) + 1)
    room = pairs.empty_tile(len(tile), tile.shape[1:])
    room[:] = 77
    room[:, : tile.shape[1], : tile.shape[2]] = tile
    products = pairs.correlate(room, pairs.prepare(list(template)), places)
    return products[tuple(map(slice, places))]


def by_definition(tile, template):
    windows = np.lib.stride_tricks.sliding_window_view(tile.astype(int), template.shape[1:], axis=(1, 2))
    return np.einsum("cyxij,cij->yx", windows, template.astype(int))


@given(
    st.integers(1, 4),
    st.tuples(st.integers(1, 9), st.integers(1, 20)),
    st.tuples(st.integers(1, 9), st.integers(1, 200)),
    st.integers(0, 10**6),
)
def test_sums_of_products_are_by_definition(channels, window, places, seed):
    rng = np.random.default_rng(seed)
    template = rng.integers(-128, 128, (channels, *window)) * (rng.random((channels, *window)) < 0.7)
    template[-1, -1, -1] = 1
    tile = rng.integers(-128, 128, (channels, *(np.add(window, places) - 1)))
    np.testing.assert_array_equal(summed(tile, template), by_definition(tile, template))


@pytest.mark.parametrize("low", [-128, -(2**14)])
def test_the_largest_numbers_do_not_wrap_round(low):
    high = -low - 1
    size = (20, 21) if low == -128 else (1, 7)  # beyond, sums pass 2**31
    for a in (low, high):
        tile = np.full((1, 40, 150), a)
        for b in (low, high):
            template = np.full((1, *size), b)
            np.testing.assert_array_equal(summed(tile, template), a * b * template.size)


@pytest.fixture
def count_direct(monkeypatch):
    """Count the tiles whose products are summed directly."""
    tiles = []
    correlate = pairs.correlate
    monkeypatch.setenv("TMATCH_ENGINE", "numba")
    monkeypatch.setattr(pairs, "correlate", lambda *args: tiles.append(args) or correlate(*args))
    return tiles


CASES = [
    ("u1", (8, 8), 1),
    ("u1", (16, 16), 1),
    ("u1", (3, 67), 1),
    ("i1", (9, 7), 1),
    ("?", (12, 11), 1),
    ("u1", (7, 9), 3),
    ("i1", (5, 1), 2),
]


@pytest.mark.parametrize(("dtype", "size", "channels"), CASES)
@pytest.mark.parametrize("masked", [False, True])
def test_scores_are_those_of_transforms(draw, execute, count_direct, cut, dtype, size, channels, masked):
    image = draw((50, 110, channels), dtype)
    template = draw((*size, channels), dtype, seed=1)
    mask = draw(size, "?", seed=2) if masked else None
    expected, *_ = oracle.score(image, template, mask=mask, channel_axis=2)
    for precision in ("single", "double"):
        scores = []
        count_direct.clear()
        for direct in (False, True):
            execute(direct_products=direct)
            for block in [(200, 200), (13, 29)]:
                cut(block)
                found = tmatch.match_template(image, template, mask=mask, channel_axis=2, precision=precision)
                scores.append(found)
            assert bool(count_direct) == direct
        np.testing.assert_allclose(scores[2], expected, rtol=0, atol=1e-9 if precision == "double" else 1e-6)
        np.testing.assert_array_equal(scores[2], scores[3])
        if precision == "double":
            np.testing.assert_array_equal(scores[0], scores[2])
        else:
            np.testing.assert_allclose(scores[0], scores[2], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("dtype", "size", "precision", "direct"),
    [
        ("u1", (19, 19), "double", True),
        ("u1", (24, 24), "double", False),
        ("u1", (12, 12), "single", True),
        ("u1", (14, 14), "single", False),
        ("u2", (8, 8), "double", False),
        ("f4", (8, 8), "double", True),  # whole numbers
    ],
)
def test_only_small_numbers_and_templates_are_summed_directly(
    draw, monkeypatch, count_direct, dtype, size, precision, direct
):
    image = draw((90, 100), "u1").astype(dtype)
    tmatch.match_template(image, image[: size[0], : size[1]], precision=precision)
    assert bool(count_direct) == direct
    count_direct.clear()
    monkeypatch.setenv("TMATCH_ENGINE", "numpy")
    tmatch.match_template(image, image[: size[0], : size[1]], precision=precision)
    assert not count_direct


def test_where_single_precision_is_too_coarse_products_are_summed_directly(draw, count_direct):
    image = np.where(draw((300, 700), "u1") < 128, 0, np.uint8(255))
    image[:, 350:] = 100
    image[::9, 350::9] = 101  # far fainter than the rest
    template = image[30:44, 390:404]
    scores = tmatch.match_template(image, template, precision="single")
    assert count_direct
    exact = tmatch.match_template(image, template)
    np.testing.assert_allclose(scores, exact, rtol=0, atol=1e-6)
    for y, x, height, width in [
        (0, 0, 1, 687),
        (25, 320, 10, 80),
        (283, 400, 4, 287),
    ]:  # bright, both, faint
        expected = oracle.zncc(image[y : y + height + 13, x : x + width + 13], template)
        np.testing.assert_allclose(scores[y : y + height, x : x + width], expected, rtol=0, atol=1e-6)


def test_scattered_pixels_are_half_pairs(draw, count_direct):
    image, rows, columns = draw((90, 100), "u1"), *np.ogrid[:22, :22]
    for mask in [(rows + columns) % 2 == 0, (columns % 2 == 0) & (rows >= 0)]:
        tmatch.match_template(image, image[:22, :22], mask=mask)
        assert np.count_nonzero(mask) == 242
        assert not count_direct
    tmatch.match_template(image, image[:22, :22], mask=(rows < 11) & (columns >= 0))
    assert count_direct


def test_templates_of_other_sizes_share_a_tile(draw, count_direct, cut):
    image, places = draw((80, 150), "u1"), [(5, 7, 8, 8), (60, 100, 8, 10), (30, 2, 11, 8), (70, 141, 10, 9)]
    templates = {str(i): image[y : y + h, x : x + w] for i, (y, x, h, w) in enumerate(places)}
    for block in [(500, 500), (20, 30)]:
        cut(block)
        found = tmatch.Matcher(templates).locate(image, threshold=0.99)
        assert {m.label: (*m.box.start, *m.box.shape) for m in found} == dict(
            zip(templates, places, strict=True)
        )
    shapes = {args[-1] for args in count_direct}  # in the large tile and in many small ones
    assert len(shapes) > len(templates)


def test_copies_of_tiny_templates_are_found_in_single_precision_too(draw, count_direct):
    image = np.full((60, 200), 200, np.uint8)  # mostly flat: windows without contrast have no score
    image[20:26, 50:57] = draw((6, 7), "u1")
    found = maps.score_map(image, image[20:26, 50:57], precision="single")
    scores, valid = found.scores, found.valid
    assert count_direct
    assert np.unravel_index(scores.argmax(), scores.shape) == (20, 50)
    assert scores.dtype == np.float32
    assert (scores[~valid] == 0).all()
    assert 0 < valid.mean() < 0.1
