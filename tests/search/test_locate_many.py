"""Many images in one call: what is found in each, under which name, and whose errors are told."""

import numpy as np
import pytest
from PIL import Image

import tmatch
from loops import each

pytestmark = pytest.mark.one_engine

FRAMES = np.random.default_rng(0).integers(0, 256, (5, 40, 50), dtype=np.uint8)
PATCH = FRAMES[1, 20:30, 30:42].copy()


def test_each_image_has_what_locate_finds_there_whatever_the_number_of_jobs():
    expected = [(str(n), tmatch.locate(frame, {"patch": PATCH})) for n, frame in enumerate(FRAMES)]
    assert [len(matches) for _, matches in expected] == [0, 1, 0, 0, 0]
    for jobs in (1, 2, None):
        found = [*tmatch.locate_many(iter(FRAMES), {"patch": PATCH}, jobs=jobs)]
        assert found == expected
        assert [matches.missing for _, matches in found] == [["patch"], [], ["patch"], ["patch"], ["patch"]]
        for frame, (_, matches) in zip(FRAMES, found, strict=True):
            if not matches:
                assert matches.best["patch"].box == tmatch.best_match(frame, PATCH).box


def test_images_have_the_names_that_are_given_or_their_paths_or_numbers(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(FRAMES[1]).save(path)
    images = [("first", FRAMES[0]), FRAMES[1], path, str(path)]
    found = dict(tmatch.Matcher(PATCH).locate_many(images))
    assert {name: len(matches) for name, matches in found.items()} == {"first": 0, "1": 1, str(path): 1}


@each(
    "images, error, text",
    [
        ([FRAMES[0], FRAMES[1, :5]], ValueError, r'^image "1": `template` has shape \(10, 12\), larger than'),
        ([FRAMES[0, :5]], ValueError, r'^image "0": `template` has shape \(10, 12\), larger than'),
        ([("there", np.ones((40, 50), complex))], TypeError, '^image "there": `image` has dtype complex128'),
        (["missing.png"], OSError, '^cannot read "missing.png": no such file or directory$'),
    ],
)
def test_errors_name_the_image_once_when_it_is_due(images, error, text):
    found = tmatch.locate_many(images, PATCH, jobs=1)
    for _ in images[1:]:
        next(found)
    with pytest.raises(error, match=text):
        next(found)


def test_a_single_path_is_no_list_of_images():
    with pytest.raises(
        TypeError, match="^`images` is 'a.png'; give a list of images, or `tmatch.open_images"
    ):
        next(tmatch.locate_many("a.png", PATCH))
