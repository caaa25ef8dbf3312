import json
import re
from pathlib import Path

import numpy as np
import pytest

import tmatch
from loops import each
from tmatch import Box

DATASETS = Path(__file__).parents[2] / "datasets"
SCENES = sorted(path.parent.name for path in DATASETS.glob("*/truth.json"))
SEARCHES = {
    f"{scene}-{Path(search['template']).stem}-{Path(search['image']).stem}": (scene, search)
    for scene in SCENES
    for search in json.loads((DATASETS / scene / "truth.json").read_text())["searches"]
}


def true_boxes(search):
    return [Box((b["y"], b["x"]), (b["height"], b["width"])) for b in search["boxes"]]


def grey(pixels):
    return pixels @ np.array([0.2125, 0.7154, 0.0721]) if pixels.ndim == 3 else pixels


# --- planted truth --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SEARCHES)
def test_each_search_finds_the_true_boxes_and_nothing_else(picture, name):
    scene, search = SEARCHES[name]
    image, template = picture(f"{scene}/{search['image']}"), picture(f"{scene}/{search['template']}")
    in_colour = image.ndim == template.ndim == 3
    if not in_colour:
        image, template = grey(image), grey(template)
    matches = tmatch.locate(
        image, template, threshold=search["threshold"], channel_axis=2 if in_colour else None
    )
    truth = true_boxes(search)
    assert len(matches) == len(truth)
    for box in truth:
        assert sum(tmatch.iou(box, match.box) >= 0.5 for match in matches) == 1


def test_without_any_threshold_nearly_all_is_found_and_nothing_else(picture):
    there = found = false = 0
    for scene, search in SEARCHES.values():
        image, template = picture(f"{scene}/{search['image']}"), picture(f"{scene}/{search['template']}")
        in_colour = image.ndim == template.ndim == 3
        if not in_colour:
            image, template = grey(image), grey(template)
        boxes = [m.box for m in tmatch.locate(image, template, channel_axis=2 if in_colour else None)]
        truth = true_boxes(search)
        hits = [any(tmatch.iou(box, other) >= 0.5 for other in boxes) for box in truth]
        false_here = sum(not any(tmatch.iou(box, other) >= 0.5 for other in truth) for box in boxes)
        assert truth or not boxes, scene
        there, found, false = there + len(truth), found + sum(hits), false + false_here
    assert found >= 0.9 * there
    assert false <= 1


def test_the_eye_of_the_raccoon_is_found_exactly_through_heavy_noise(picture):
    face, eye = picture("raccoon/face_gray.png"), picture("raccoon/eye.png")
    for seed in range(50):
        noise = np.random.default_rng(seed).normal(0, 50, face.shape)
        best = tmatch.best_match(tmatch.to_range(face + noise), eye)
        assert best.box == Box((300, 670), (65, 80)), f"seed {seed}"


# --- what the README of the datasets promises -----------------------------------------------------


@pytest.mark.engine_free
@each("name", SEARCHES)
def test_true_boxes_have_the_size_of_their_template_and_lie_inside(picture, name):
    scene, search = SEARCHES[name]
    image, template = picture(f"{scene}/{search['image']}"), picture(f"{scene}/{search['template']}")
    for box in true_boxes(search):
        assert box.shape == template.shape[:2]
        assert min(box.start) >= 0
        assert np.all(np.less_equal(box.stop, image.shape[:2]))


@pytest.mark.engine_free
def test_every_folder_is_a_scene_that_the_readme_lists():
    folders = sorted(path.name for path in DATASETS.iterdir() if path.is_dir())
    listed = re.findall(r"^\| \[(\w+)\]\(\1/SOURCE\.md\)", (DATASETS / "README.md").read_text(), re.MULTILINE)
    assert folders == SCENES == sorted(listed)
    assert len(SCENES) >= 11


@pytest.mark.engine_free
@each("scene", SCENES)
def test_every_scene_names_its_licence(scene):
    source = (DATASETS / scene / "SOURCE.md").read_text()
    licence = re.search(r"^- Licence: (.+(?:\n  .+)*)", source, re.MULTILINE)[1]
    known = r"CC0|public domain|No known\s+copyright restrictions|that of tmatch"
    assert re.search(known, licence, re.IGNORECASE)


@pytest.mark.engine_free
def test_all_pictures_together_stay_small():
    assert sum(path.stat().st_size for path in DATASETS.rglob("*") if path.is_file()) < 6_000_000
