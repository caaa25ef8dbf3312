"""Explanations of searches over poses."""

import dataclasses
import json

import numpy as np
import pytest

import pose_scenes
import tmatch
from loops import each

pytestmark = pytest.mark.one_engine
WIDE = {"angles": (0, 90), "scales": (0.9, 1.1)}


@pytest.fixture(scope="module")
def scene():
    kind, random = pose_scenes.KINDS["eye"], np.random.default_rng(5)
    placed = [pose_scenes.Placed((60.3, 60.8), 25.5, 1.05), pose_scenes.Placed((140.6, 190.2), 70.25, 0.95)]
    ground, _ = pose_scenes.ground_of(random, kind.source, (200, 260))
    for one in placed:
        pose_scenes.draw(ground, pose_scenes.finer(kind), one)
    return pose_scenes.Scene(
        pose_scenes.expose(ground, random, sigma=5), pose_scenes.template_of(kind), placed
    )


def test_the_best_match_is_explained_with_its_pose(scene):
    told, [best, other] = (
        tmatch.explain(scene.image, scene.template, **WIDE),
        tmatch.locate(*scene[:2], **WIDE),
    )
    assert (told.reported, told.number, told.rank, told.matches, told.asked) == (True, 1, 1, 2, False)
    assert (told.box, told.score, told.false_alarms, told.kind) == (
        best.box,
        best.score,
        best.false_alarms,
        best.kind,
    )
    assert (told.posed.angle, told.posed.center) == (best.angle, best.center)
    assert [each.box for each in told.best[:2]] == [best.box, other.box]
    assert (told.tried, told.scale_hint, told.nearest_peak) == (0, None, None)
    first, second, last = told.text.split("\n")
    assert (
        f"(rotated by {best.angle:.4g} degrees, {best.scale:.4g} times the size) is reported, match number 1"
        in first
    )
    assert f"(rotated by {other.angle:.4g} degrees, {other.scale:.4g} times the size; reported)" in second
    assert last.startswith(
        f"{told.poses.number} poses searched, in an image {told.poses.reduction} times smaller, which"
    )


@each("number", [0, 1])
def test_a_candidate_is_looked_up_by_the_middle_of_the_template(scene, number):
    placed = scene.placed[number]
    told = tmatch.explain(*scene[:2], at=[round(c) + 2 for c in placed.center], **WIDE)
    assert told.asked
    assert told.reported
    assert told.posed.center == pytest.approx(placed.center, abs=0.1)
    assert told.posed.angle == pytest.approx(placed.angle, abs=0.3)
    assert told.text.startswith("Nearest to that place: x=")


def test_what_has_too_many_false_alarms_is_told(scene):
    told = tmatch.explain(*scene[:2], false_alarms=1e-300, **WIDE)
    assert (told.reported, told.rule, told.matches) == (False, "false alarms", 0)
    assert told.posed.center == pytest.approx(
        scene.placed[0].center, abs=0.2
    ) or told.posed.center == pytest.approx(scene.placed[1].center, abs=0.2)
    assert len(told.near_misses) >= 2
    assert "allow" in told.text


def test_a_threshold_is_told(scene):
    told = tmatch.explain(*scene[:2], threshold=0.999, **WIDE)
    assert (told.rule, told.least_score) == ("threshold", 0.999)


def test_exact_poses_are_explained_too(scene):
    image = scene.image.copy()
    image[100:148, 20:68] = np.rot90(scene.template)
    poses = {"angles": [0, 90, 180, 270], "flips": True}
    told, [match] = (
        tmatch.explain(image, scene.template, **poses),
        tmatch.locate(image, scene.template, **poses),
    )
    assert (told.box, told.rank, told.posed.angle) == (match.box, 1, 90)
    assert told.poses.number == 8
    asked = tmatch.explain(image, scene.template, at=(123, 43), **poses)
    assert asked.box == match.box


def test_without_candidates_the_best_position_is_told():
    flat = np.full((60, 70), 90, np.uint8)
    template = np.random.default_rng(0).integers(0, 256, (20, 24), np.uint8)
    told = tmatch.explain(flat, template, angles=(0, 30))
    assert (told.rule, told.lacks, told.posed) == ("no score", "contrast", None)


def test_it_can_be_told_as_json(scene):
    told = json.loads(json.dumps(dataclasses.asdict(tmatch.explain(*scene[:2], **WIDE))))
    assert told["posed"]["angle"] == pytest.approx(25.5, abs=90)
    assert told["poses"]["number"] > 10


def test_upright_poses_change_nothing(scene):
    plain = tmatch.explain(*scene[:2])
    assert tmatch.explain(*scene[:2], angles=[0], scales=[1]) == plain
    assert (plain.posed, plain.poses) == (None, None)
