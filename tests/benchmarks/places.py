"""Where templates are: one in one image, one in many images, many in one image."""

import functools
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from common import Contest, Report, Setup, Times, keep_memory, opencv, optional, photo, race

import tmatch

SIDE, THRESHOLD = 48, 0.8
Places = dict[str, tuple[int, int]]  # row and column of the best place, by label
LOCATE, MATCHER, MADE = "tmatch.locate", "tmatch.Matcher", "tmatch.Matcher anew"
OPENCV, MTM, MTM_ONE = "OpenCV", "MTM, score_threshold", "MTM, N_object=1"


def locate(setup: Setup) -> Report:
    """One template, in one large image and in a series of small ones."""
    cv2, mtm = opencv(setup), optional("MTM", install="Multi-Template-Matching (MTM)")
    keep_memory()
    print(
        f"All report places with a score of at least {THRESHOLD}; the best was checked to be where the template is.\n"
        "tmatch.Matcher: made before. OpenCV: matchTemplate, np.argwhere, and the best of these; memory is kept."
    )
    if mtm:
        print("MTM works in its own pool of half the cores, whatever --threads says.")
    report = Report([LOCATE, MATCHER])
    image, templates, truth = cut_from_photo(1)
    template = templates["0"]
    matcher = tmatch.Matcher(template)
    contest: Contest = {
        LOCATE: lambda: best_of(tmatch.locate(image, template, threshold=THRESHOLD, workers=setup.threads)),
        MATCHER: lambda: best_of(matcher.locate(image, threshold=THRESHOLD, workers=setup.threads)),
    }
    if cv2:
        contest[OPENCV] = lambda: {"0": best_by_opencv(cv2, image, template)}
    if mtm:
        contest[MTM] = lambda: best_by_mtm(mtm, image, templates)
    case = f"one template of {SIDE}x{SIDE} in one image of {image.shape[0]}x{image.shape[1]}"
    run(report, case, contest, truth, setup)

    series, template, truth = make_series(20 if setup.quick else 200)
    matcher = tmatch.Matcher(template)
    contest = {
        LOCATE: lambda: in_each(
            series, lambda i: best_of(tmatch.locate(i, template, workers=setup.threads))["0"]
        ),
        MATCHER: lambda: in_each(series, lambda i: best_of(matcher.locate(i, workers=setup.threads))["0"]),
    }
    if cv2:
        contest[OPENCV] = lambda: in_each(series, lambda i: best_by_opencv(cv2, i, template))
    case = f"one template of {SIDE}x{SIDE} in each of {len(series)} images of 480x640"
    run(report, case, contest, truth, setup, images=len(series))
    return report


def multi(setup: Setup) -> Report:
    """Many templates in one image."""
    cv2, mtm = opencv(setup), optional("MTM", install="Multi-Template-Matching (MTM)")
    keep_memory()
    print(
        "The best place of each template, checked to be where it was cut.\n"
        f"tmatch: places with a score of at least {THRESHOLD}; anew: the matcher is made at each call.\n"
        "OpenCV: matchTemplate and minMaxLoc in a loop, in the state in which memory is kept."
    )
    if mtm:
        print(
            f"MTM: a threshold of {THRESHOLD}; in its own pool of half the cores, whatever --threads says.\n"
            "MTM, N_object=1: seeks the best place of each template, but tells only the best of all; that was checked."
        )
    report = Report([MADE, MATCHER])
    for count in (1, 10, 50):
        image, templates, truth = cut_from_photo(count)
        contest = contest_of_many(image, templates, setup.threads, cv2, mtm)
        case = f"{count} template{'s' * (count > 1)} of {SIDE}x{SIDE} in one image of {image.shape[0]}x{image.shape[1]}"
        run(report, case, contest, truth, setup)
    print_means(report)
    return report


def contest_of_many(
    image: np.ndarray, templates: Mapping[str, np.ndarray], workers: int | None, cv2, mtm
) -> Contest:
    matcher = tmatch.Matcher(templates)
    contest: Contest = {
        MADE: lambda: best_of(tmatch.Matcher(templates).locate(image, threshold=THRESHOLD, workers=workers)),
        MATCHER: lambda: best_of(matcher.locate(image, threshold=THRESHOLD, workers=workers)),
    }
    if cv2:
        contest[OPENCV] = lambda: {label: highest_by_opencv(cv2, image, t) for label, t in templates.items()}
    if mtm:
        contest[MTM] = lambda: best_by_mtm(mtm, image, templates)
        contest[MTM_ONE] = lambda: best_by_mtm(mtm, image, templates, N_object=1)
    return contest


# --- what is searched -----------------------------------------------------------------------------


def cut_from_photo(count: int) -> tuple[np.ndarray, dict[str, np.ndarray], Places]:
    """A photo, templates cut from it which do not overlap, and where."""
    image, random = photo(1080, 1920), np.random.default_rng(1)
    cells = random.permutation([(row, column) for row in range(10) for column in range(18)])[:count]
    corners = (100 * cells + random.integers(0, 100 - SIDE, cells.shape)).tolist()
    truth = {str(i): (row, column) for i, (row, column) in enumerate(corners)}
    templates = {
        label: image[row : row + SIDE, column : column + SIDE].copy()
        for label, (row, column) in truth.items()
    }
    return image, templates, truth


def make_series(count: int) -> tuple[list[np.ndarray], np.ndarray, Places]:
    """Pieces of a photo with one thing in each of them, the thing, and where it is."""
    scene, random = photo(1500, 2000), np.random.default_rng(2)
    template = np.ascontiguousarray(scene[300 : 300 + SIDE, 700 : 700 + SIDE].T)
    images, truth = [], {}
    for i in range(count):
        top, left = random.integers(0, (1500 - 480, 2000 - 640)).tolist()
        row, column = random.integers(0, (480 - SIDE, 640 - SIDE)).tolist()
        images.append(scene[top : top + 480, left : left + 640].copy())
        images[-1][row : row + SIDE, column : column + SIDE] = template
        truth[str(i)] = row, column
    return images, template, truth


# --- how each answers -----------------------------------------------------------------------------


def best_of(matches: Iterable[tmatch.Match]) -> Places:
    places: Places = {}
    for match in matches:  # the best come first
        places.setdefault(match.label or "0", match.box.start)
    return places


def best_by_opencv(cv2, image: np.ndarray, template: np.ndarray) -> tuple[int, int]:
    scores = cv2.matchTemplate(image, template, cv2.TM_CCOEFF_NORMED)
    places = np.argwhere(scores >= THRESHOLD)
    row, column = places[scores[tuple(places.T)].argmax()]
    return int(row), int(column)


def highest_by_opencv(cv2, image: np.ndarray, template: np.ndarray) -> tuple[int, int]:
    column, row = cv2.minMaxLoc(cv2.matchTemplate(image, template, cv2.TM_CCOEFF_NORMED))[3]
    return row, column


def best_by_mtm(mtm, image: np.ndarray, templates: Mapping[str, np.ndarray], **options) -> Places:
    places: Places = {}
    for label, (x, y, _, _), _ in mtm.matchTemplates(
        list(templates.items()), image, score_threshold=THRESHOLD, **options
    ):
        places.setdefault(label, (y, x))
    return places


def in_each(images: list[np.ndarray], place_in: Callable[[np.ndarray], tuple[int, int]]) -> Places:
    return {str(i): place_in(image) for i, image in enumerate(images)}


# --- the race -------------------------------------------------------------------------------------


def run(report: Report, case: str, contest: Contest, truth: Places, setup: Setup, images: int = 1) -> None:
    """Race, and print who took how long, for each image."""
    timings = race(contest, setup.rounds, functools.partial(check, truth))
    times = {name: timing.ms / images for name, timing in timings.items()}
    report.add(case, times)
    print(f"\n{case}" + ", ms an image" * (images > 1))
    print_ranking(times, report.ours)


def check(truth: Places, name: str, places: Places, _first: Places) -> None:
    asked = 1 if name == MTM_ONE else len(truth)
    if len(places) != asked or not places.items() <= truth.items():
        msg = f"{name} found {places}, but the templates are at {truth}"
        raise AssertionError(msg)


def print_ranking(times: Times, ours: list[str]) -> None:
    print(f"{'':26}{'ms':>9}" + "".join(f"{'x ' + our:>26}" for our in ours))
    for name, ms in times.items():
        print(
            f"  {name:24}{ms:9.1f}" + "".join(f"{f'{ms / times[our]:.2f}x':>26}" for our in ours), flush=True
        )


def print_means(report: Report) -> None:
    means = report.means().get("all", {})
    print("\ngeometric means of the times, as many times as tmatch's")
    print(f"{'':35}" + "".join(f"{'x ' + our:>26}" for our in means))
    for peer in next(iter(means.values()), {}):
        print(f"  {peer:33}" + "".join(f"{f'{of_ours[peer]:.2f}x':>26}" for of_ours in means.values()))
