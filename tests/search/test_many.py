"""Many images in one call: the images are named, errors too, and come in their turn."""

import itertools
import threading

import numpy as np
import pytest
from PIL import Image

import tmatch

pytestmark = pytest.mark.one_engine
RNG = np.random.default_rng(22)
FRAMES = RNG.integers(0, 256, (7, 40, 50), dtype=np.uint8)
PATCH = FRAMES[0, 10:18, 20:29].copy()
FRAMES[::3, 10:18, 20:29] = PATCH


def facts(results):
    return [(name, list(matches), matches.missing, matches.best) for name, matches in results]


@pytest.mark.parametrize("options", [{}, {"angles": (-5, 5)}, {"prefilter": "whiten"}, {"threshold": 0.7}])
def test_the_number_of_jobs_changes_nothing(options):
    templates = {"patch": PATCH, "absent": RNG.integers(0, 256, (6, 7), dtype=np.uint8)}
    first, *others = (facts(tmatch.locate_many(FRAMES, templates, jobs=n, **options)) for n in (1, 2, 3, 4))
    assert all(other == first for other in others)
    assert [name for name, found, _, _ in first if found] == ["0", "3", "6"]
    assert first[0][2] == ["absent"]


@pytest.mark.parametrize("jobs", [1, 2, 4, 10**20])
def test_what_was_found_before_an_error_of_the_caller_comes_first(jobs):
    def images():
        yield from FRAMES[:3]
        raise KeyError

    results = tmatch.locate_many(images(), PATCH, jobs=jobs)
    assert [name for name, _ in itertools.islice(results, 3)] == ["0", "1", "2"]
    with pytest.raises(KeyError):
        next(results)


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_names_its_image_whatever_the_name(jobs):
    named = [("one", FRAMES[0]), ("shape", np.zeros((3, 10)))]
    with pytest.raises(ValueError, match='^image "shape": template "0" has shape'):
        [*tmatch.locate_many(named, [PATCH, PATCH[1:]], jobs=jobs)]
    with pytest.raises(ValueError, match=r'^image "0": `template` has shape \(8, 9\), larger'):
        [*tmatch.locate_many([np.zeros((3, 10))], PATCH, jobs=jobs)]


def test_an_endless_generator_is_left_with_no_thread():
    closed = []

    def images():
        try:
            for number in itertools.count():
                yield FRAMES[number % 7]
        finally:
            closed.append(True)

    before = threading.active_count()
    results = tmatch.locate_many(images(), PATCH, jobs=3)
    assert next(results)[0] == "0"
    results.close()
    assert closed == [True]
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        ("shots", "`images` is 'shots'; give a list of images, or"),
        (
            {"a": FRAMES[0]},
            r"`images` is of type dict; give a list of images, `\.items\(\)` of a mapping, or",
        ),
        (None, "`images` is of type NoneType; give a list"),
        (Image.fromarray(FRAMES[0]), "`images` is of type Image; give a list"),
    ],
)
def test_what_is_not_many_images_is_refused_at_once(images, sentence):
    with pytest.raises(TypeError, match=sentence):
        tmatch.locate_many(images, PATCH)
