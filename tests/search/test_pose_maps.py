"""Maps of the best score over poses."""

import math

import numpy as np
import pytest

import pose_scenes
import tmatch
from loops import each
from tmatch._detection.criterion import Criterion
from tmatch._engine.progress import Resources
from tmatch._plotting.poses import plot_best_poses
from tmatch._results.poses import Pose
from tmatch._search.matcher import poses_of, searches_of
from tmatch._search.pose_maps import BestPoses, best_poses
from tmatch._search.recipe import search

pytestmark = pytest.mark.one_engine
NOTHING = Criterion(threshold=math.inf)


def searched(image, template, **options):
    matcher = tmatch.Matcher(template, **options)
    searches = searches_of(matcher, image, None)
    return best_poses(search(searches, NOTHING, Resources(), keep="maps", poses=poses_of(matcher)))


@each("shape", [(5, 8), (6, 6), (3, 7)])
@each("output", ["valid", "same", "full"])
def test_the_best_of_exact_copies_is_told_about_their_middles(shape, output):
    random = np.random.default_rng(0)
    image, template = random.integers(0, 256, (30, 40), np.uint8), random.integers(0, 256, shape, np.uint8)
    [made] = searched(image, template, angles=[0, 90], flips=True, output=output)
    best = np.full(image.shape, -np.inf)
    for flipped in (template, template[:, ::-1]):
        for copy in (flipped, np.rot90(flipped)):
            scores = tmatch.match_template(image, copy, output=output)
            scores[~tmatch.score_validity(image, copy, output=output)] = -np.inf
            missing = {"valid": 0, "same": [n // 2 for n in copy.shape], "full": [n - 1 for n in copy.shape]}
            first = np.broadcast_to((np.array(copy.shape) - 1) // 2 - missing[output], 2)
            for (i, j), score in np.ndenumerate(scores):
                row, column = first[0] + i, first[1] + j
                if 0 <= row < 30 and 0 <= column < 40:
                    best[row, column] = max(best[row, column], score)
    known = made.scores > -np.inf
    assert made.scores[known] == pytest.approx(best[known], abs=1e-9)
    assert (known == (best > -np.inf)).all()
    assert {(pose.angle, pose.flip) for pose in made.poses} == {
        (0, False),
        (90, False),
        (0, True),
        (90, True),
    }


def test_which_exact_copy_is_best_is_told():
    random = np.random.default_rng(0)
    image, template = random.integers(0, 256, (30, 40), np.uint8), random.integers(0, 256, (5, 9), np.uint8)
    image[10:19, 20:25] = np.rot90(template, 3)
    [made] = searched(image, template, angles=[0, 90, 180, 270])
    assert made.best == (pytest.approx(1), (14, 22))
    assert made.poses[made.which[14, 22]] == Pose(-90)


@each("options", [{"search": "auto"}, {"search": "exhaustive"}])
def test_the_best_of_poses_in_a_smaller_image_is_where_the_object_is(options):
    kind, random = pose_scenes.KINDS["eye"], np.random.default_rng(1)
    scene = pose_scenes.make_scene(kind, random, shape=(150, 170), angles=(20, 40), sigma=5)
    [made] = searched(scene.image, scene.template, angles=(0, 60), **options)
    assert (made.reduction == 1) == (options["search"] == "exhaustive")
    score, middle = made.best
    assert score > 0.9
    assert middle == pytest.approx(scene.placed[0].center, abs=made.reduction)
    at = tuple(round(m / made.reduction) for m in middle)
    assert made.poses[made.which[at]].angle == pytest.approx(scene.placed[0].angle, abs=6)


@each(
    "poses, name",
    [
        ([Pose(angle) for angle in (0, 90, 180, 270)], "angle, degrees"),
        ([Pose(angle, scale) for angle in (170, 190) for scale in (1, 2)], "angle, degrees"),
        ([Pose(0, scale) for scale in (0.5, 1, 2)], "scale"),
        ([Pose(), Pose(flip=True)], "mirrored"),
    ],
)
def test_a_figure_tells_scores_and_poses(poses, name):
    random = np.random.default_rng(0)
    scores = random.uniform(-1, 0.5, (20, 30))
    scores[:3] = -np.inf
    scores[7, 12] = 0.9
    made = BestPoses("eye", scores, random.integers(0, len(poses), scores.shape), poses, reduction=4)
    figure = plot_best_poses([made], first=(10, 100))
    left, right = figure.axes
    assert left.get_title() == "eye: best 0.900 at x=149.5, y=39.5"
    assert right.get_title() == f"{len(poses)} poses, in an image 4 times smaller; dark: low scores"
    assert [image.get_extent() for axes in (left, right) for image in axes.images] == [
        [99.5, 219.5, 89.5, 9.5],
        [99.5, 219.5, 89.5, 9.5],
    ]
    [bar] = [child for child in right.child_axes if child.get_ylabel()]
    assert bar.get_ylabel() == name
    opacity = right.images[0].get_alpha()
    assert opacity[7, 12] == 1
    assert (opacity[:3] == 0).all()


def test_rings_are_about_the_middles_of_matches_and_tell_their_refined_scores():
    made = BestPoses("eye", np.zeros((9, 9)), np.zeros((9, 9), int), [Pose()])
    match = tmatch.Match(
        tmatch.Box((2, 3), (4, 4)), 0.8, "eye", offset=(0.25, -0.25), angle=30, template_shape=(3, 3)
    )
    figure = plot_best_poses([made], [match])
    for axes in figure.axes:
        [line] = axes.lines
        assert line.get_xydata().tolist() == [[4.25, 3.75]]
    assert figure.axes[0].get_title() == "eye: best 0.800 at x=4.2, y=3.8"


def test_maps_without_scores_are_drawn():
    made = BestPoses("", np.full((4, 5), -np.inf), np.zeros((4, 5), int), [Pose(), Pose(90)])
    assert plot_best_poses([made]).axes[0].get_title() == "no score"
