"""What the studies of poses share: searches with seeds of their own, scenes, tables with bars."""

import argparse
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from common import from_tests
from detection_trials import verdict
from numpy.typing import NDArray

import tmatch

scenes = from_tests("pose_scenes")

# The number of a study is part of its seeds: new ones go to the end.
STUDIES = ("misses", "refinement", "absent", "present", "speed", "memory")
NEAR, NEAR_ANGLE = 2.0, 5.0  # pixels and degrees within which a match is that of an object
Z95 = 1.96  # standard errors on each side of a 95 % interval


class Job(NamedTuple):
    """One search."""

    study: str
    name: str  # of the kind of template
    sigma: int  # of the noise, in grey levels
    number: int
    seed: int
    mode: str = ""

    @property
    def kind(self) -> Any:
        return (scenes.KINDS | scenes.LONG)[self.name]

    def rng(self) -> np.random.Generator:
        about = [ord(letter) for letter in self.name + self.mode]
        return np.random.default_rng([self.seed, STUDIES.index(self.study), self.number, self.sigma, *about])

    def __str__(self) -> str:
        return " ".join(filter(None, [self.name, f"sigma {self.sigma}", f"number {self.number}", self.mode]))


def jobs_of(
    study: str, options: argparse.Namespace, names: Iterable[str], sigmas: Sequence[int], count: int
) -> list[Job]:
    """Return so many searches, by kind, then by sigma, then again with the next number."""
    cells = [(sigma, name) for sigma in sigmas for name in names]
    return [
        Job(study, cells[i % len(cells)][1], cells[i % len(cells)][0], i // len(cells), options.seed)
        for i in range(count)
    ]


def is_near(match: tmatch.Match | None, placed: Any) -> bool:
    """Whether a match is that of an object."""
    if match is None or match.flip != placed.flip:
        return False
    rows, columns, angle, _ = scenes.off_by(match, placed)
    return math.hypot(rows, columns) <= NEAR and abs(angle) <= NEAR_ANGLE


def score_at(image: NDArray[Any], template: NDArray[Any], placed: Any) -> float:
    """Return the score of a grey template at a pose, as oracle.posed_score does, but fast."""
    from scipy.ndimage import map_coordinates

    corners = placed.outline(template.shape)
    first = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    last = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, image.shape)
    pixels = np.mgrid[first[0] : last[0], first[1] : last[1]].reshape(2, -1)
    middle = (np.array(template.shape)[:, None] - 1) / 2
    where = np.linalg.inv(placed.matrix) @ (pixels - np.array(placed.center)[:, None])
    inside = (np.abs(where) <= middle + 1e-9).all(axis=0)
    seen = image[tuple(pixels[:, inside])].astype(float)
    expected = map_coordinates(template.astype(float), where[:, inside] + middle, order=3, mode="mirror")
    return float(np.corrcoef(seen, expected)[0, 1])


# --- tables ---------------------------------------------------------------------------------------


def barred(value: float, text: str, fits: bool | None) -> str:
    """Return a figure with what its bar says of it; without one if there is no bar."""
    return text.format(value) + ("" if fits is None else verdict(fits))


def print_table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table whose columns are as wide as they need to be."""
    lines = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    print(f"\n{title}")
    for line in lines:
        cells = [f"{cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True)]
        print("  ".join([f"{line[0]:{widths[0]}}", *cells]).rstrip(), flush=True)


Study = Callable[[argparse.Namespace], dict[str, Any]]
