import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

import tmatch
from loops import each
from tmatch import Box

DATASETS = Path(__file__).parents[2] / "datasets"
SCENES = sorted(path.parent.name for path in DATASETS.glob("*/truth.json"))
TRUTH = {scene: json.loads((DATASETS / scene / "truth.json").read_text()) for scene in SCENES}
SEARCHES = {
    f"{scene}-{Path(search['template']).stem}-{Path(search['image']).stem}": (scene, search)
    for scene, truth in TRUTH.items()
    for search in truth["searches"]
}
POSE_SEARCHES = {
    f"{scene}-{number}-{Path(search['template']).stem}-{Path(search['image']).stem}": (scene, search)
    for scene, truth in TRUTH.items()
    for number, search in enumerate(truth.get("pose_searches", ()))
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


# --- planted poses --------------------------------------------------------------------------------

POSE = {"x": 0.0, "y": 0.0, "angle": 0.0, "scale": 1.0, "flip": False}
WRONG = {"x": 1.5, "y": -1.5, "angle": 3.0, "scale": 0.05}


def offsets_in_template(pose, image_shape):
    """Return the offset (rows, columns) from the template's middle of each pixel of the image."""
    right, down = np.meshgrid(np.arange(image_shape[1]) - pose["x"], np.arange(image_shape[0]) - pose["y"])
    sine, cosine = np.sin(np.radians(pose["angle"])), np.cos(np.radians(pose["angle"]))
    across, along = cosine * right - sine * down, sine * right + cosine * down
    return np.stack([along, -across if pose["flip"] else across]) / pose["scale"]


def score_at(image, template, mask, pose):
    """Score the template, turned onto the pixels of the image whose centres lie in its outline."""
    offsets, shape = offsets_in_template(pose, image.shape), np.array(template.shape)
    places = offsets + (shape - 1)[:, None, None] / 2
    counts = (np.abs(offsets) < shape[:, None, None] / 2).all(axis=0)
    counts[counts] = ndimage.map_coordinates(mask.astype(float), places[:, counts], order=1) > 0.5
    turned = ndimage.map_coordinates(template.astype(float), places[:, counts], order=3, mode="nearest")
    return np.corrcoef(turned, image[counts])[0, 1]


def read_pose_search(picture, name):
    """Return image, template and mask of a search, in grey, and its true poses."""
    scene, search = POSE_SEARCHES[name]
    image, template = (grey(picture(f"{scene}/{search[key]}")) for key in ("image", "template"))
    mask = picture(f"{scene}/{search['mask']}") > 0 if "mask" in search else np.ones(template.shape, bool)
    return image, template, mask, search["poses"]


@pytest.mark.engine_free
@each("name", POSE_SEARCHES)
def test_true_poses_lie_inside_and_fit_better_than_poses_near_them(picture, name):
    image, template, mask, poses = read_pose_search(picture, name)
    for pose in poses:
        assert pose.keys() == POSE.keys()
        within = np.abs(offsets_in_template(pose, image.shape)) < np.array(template.shape)[:, None, None] / 2
        assert within.all(axis=0)[1:-1, 1:-1].sum() == within.all(axis=0).sum()
        score = score_at(image, template, mask, pose)
        assert score >= POSE_SEARCHES[name][1]["threshold"]
        for key, step in WRONG.items():
            for change in (step, -step):
                assert score_at(image, template, mask, pose | {key: pose[key] + change}) < score, (pose, key)
        assert score_at(image, template, mask, pose | {"angle": pose["angle"] + 180}) < score
        mirrored = score_at(image, template, mask, pose | {"flip": not pose["flip"]})
        assert mirrored < score or np.array_equal(template, template[:, ::-1])


def among(words):
    """Return poses in words as an argument: "all", a range as a tuple, or a list."""
    if words is None or words == "all":
        return words
    values = [float(word) for word in words.replace(":", ",").split(",")]
    return tuple(values) if ":" in words else values


def locate_poses(picture, name, **options):
    scene, search = POSE_SEARCHES[name]
    image, template = (picture(f"{scene}/{search[key]}") for key in ("image", "template"))
    in_colour = image.ndim == template.ndim == 3
    if not in_colour:
        image, template = grey(image), grey(template)
    options |= {key: among(search.get(key)) for key in ("angles", "scales")}
    options |= {"masks": picture(f"{scene}/{search['mask']}") > 0} if "mask" in search else {}
    options |= {"channel_axis": 2} if in_colour else {}
    return tmatch.locate(image, template, flips=search.get("flips", False), **options)


def is_pose(match, pose):
    turn = (match.angle - pose["angle"] + 180) % 360 - 180
    return (
        np.hypot(match.center[0] - pose["y"], match.center[1] - pose["x"]) <= 0.25
        and abs(turn) <= 0.5
        and abs(match.scale / pose["scale"] - 1) <= 0.01
        and match.flip == pose["flip"]
    )


@pytest.mark.parametrize("name", POSE_SEARCHES)
def test_each_search_finds_the_true_poses_and_nothing_else(picture, name):
    search = POSE_SEARCHES[name][1]
    matches = locate_poses(picture, name, threshold=search["threshold"])
    assert len(matches) == len(search["poses"])
    for pose in search["poses"]:
        assert sum(is_pose(match, pose) for match in matches) == 1, pose


@pytest.mark.one_engine
def test_without_any_threshold_all_poses_are_found_and_what_is_else_is_alike(picture):
    for name, (_, search) in POSE_SEARCHES.items():
        matches = locate_poses(picture, name)
        for pose in search["poses"]:
            assert sum(is_pose(match, pose) for match in matches) == 1, (name, pose)
        others = [match for match in matches if not any(is_pose(match, pose) for pose in search["poses"])]
        assert all(match.kind == "alike" for match in others), name


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
