"""Reports in a browser: what is seen, and what can be done with mouse, keyboard and files."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import screens
import tmatch
from browser import chromium
from tmatch import Box, Match
from tmatch._results.collection import Matches
from tmatch._results.decisions import CandidateDecision
from tmatch._results.poses import Pose, bounding_box, corners_of
from tmatch.cli.app import app

pytestmark = pytest.mark.engine_free
api = pytest.importorskip("playwright.sync_api")
SMALL = (150, 260)
HOSTILE = '</script><img src=x onerror="window.hurt=1">&<svg onload=window.hurt=1>\u2028\'"'


@pytest.fixture(scope="module")
def browser():
    path = chromium()
    with api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser):
    """Open a report; in the end there must have been no error, no dialog and no request but for the file."""
    told, context = [], browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)

    def go(path):
        page = context.new_page()
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("dialog", lambda dialog: (told.append(dialog.message), dialog.dismiss()))
        schemes = ("data:", "blob:", path.as_uri())
        page.on("request", lambda request: request.url.startswith(schemes) or told.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-ready]")
        return page

    yield go
    context.close()
    assert told == []


@pytest.fixture(scope="module")
def shots(tmp_path_factory):
    """A folder of forty small screenshots, two templates of which one is missing from some, and their report."""
    folder = tmp_path_factory.mktemp("shots")
    (folder / "shots").mkdir()
    (folder / "icons").mkdir()
    for name in list(screens.ICONS)[:2]:
        Image.fromarray(screens.icon(name)).save(folder / "icons" / f"{name}.png")
    for number in range(40):
        Image.fromarray(screens.screen(number, SMALL).pixels).save(folder / "shots" / f"shot{number:02}.png")
    files = [part for name in ("csv", "json") for part in ("-o", folder / f"found.{name}")]
    run(folder / "shots", "-t", folder / "icons", "--copies-only", *files, "--report", folder / "found.html")
    return folder


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """Copies of a patch in more and more noise; its report holds good matches, poor ones and near misses."""
    folder = tmp_path_factory.mktemp("noisy")
    rng = np.random.default_rng(7)
    image, patch = rng.normal(size=(160, 200)) * 10, rng.normal(size=(14, 16)) * 20
    for k, (y, x) in enumerate((y, x) for y in (10, 60, 110) for x in (12, 70, 130)):
        image[y : y + 14, x : x + 16] += patch * 0.75**k
    image = (image * 2 + 128).clip(0, 255).astype(np.uint8)
    patch = (patch * 2 + 128).clip(0, 255).astype(np.uint8)
    for name, pixels in (("image", image), ("patch", patch)):
        Image.fromarray(pixels).save(folder / f"{name}.png")
    files = folder / "image.png", folder / "patch.png", "--prefilter", "none"
    run(*files, "--report", folder / "chance.html")
    run(*files, "--threshold", "0.8", "--report", folder / "score.html", "-o", folder / "score.csv")
    return folder, image, patch


def run(*arguments):
    return CliRunner().invoke(app, ["locate", *map(str, arguments)])


def rows(page):
    """Return the rows of the table, by the names of the columns."""
    names = page.eval_on_selector_all("#columns th", "heads => heads.map(head => head.dataset.column)")
    cells = page.eval_on_selector_all(
        "#rows tr", "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return [dict(zip(names, each, strict=True)) for each in cells]


def found(page):
    return [(int(row["x"]), int(row["y"])) for row in rows(page) if row["status"] == "match"]


def type_limit(page, name, value):
    page.fill(f"#{name}-value", str(value))
    page.press(f"#{name}-value", "Enter")
    settle(page)


def settle(page):
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def seen(page):
    return [float(part) for part in page.get_attribute("#canvas", "viewBox").split()]


def saved(page, button):
    with page.expect_download() as download:
        page.click(button)
    return download.value.path().read_bytes().decode()


# --- other limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["false_alarms", "threshold"])
def test_other_limits_find_what_a_new_search_finds(visit, noisy, name):
    folder, image, patch = noisy
    page = visit(folder / ("chance.html" if name == "false_alarms" else "score.html"))
    values = (0.01, 1e-6, 2.0, 1e-11) if name == "false_alarms" else (0.8, 0.95, 0.65, 0.9)
    counts = []
    for value in values:
        type_limit(page, "chance" if name == "false_alarms" else "threshold", value)
        expected = tmatch.locate(image, patch, prefilter="none", **{name: value})
        assert found(page) == [match.box.xywh[:2] for match in expected]
        counts.append(len(expected))
    assert len(set(counts)) > 2
    assert page.is_enabled("#reset")
    page.click("#reset")
    settle(page)
    assert len(found(page)) == counts[0]
    assert page.is_disabled("#reset")


def test_a_slider_moves_by_keys_and_ends_at_what_was_recorded(visit, noisy):
    page = visit(noisy[0] / "score.html")
    before = len(found(page))
    assert "Recorded down to 0.6; lower scores cannot come back." in page.inner_text("#threshold-note")
    page.focus("#threshold")
    page.keyboard.press("Home")
    settle(page)
    assert page.input_value("#threshold-value") == "0.6"
    most = len(found(page))
    assert most > before
    type_limit(page, "threshold", 0.1)
    assert page.input_value("#threshold-value") == "0.6"
    page.focus("#threshold")
    page.keyboard.press("End")
    settle(page)
    assert page.get_attribute("#threshold", "aria-valuetext") == "1"
    assert found(page) == []
    assert page.inner_text("#count") == "0 matches, 1 not found"
    assert page.is_visible("#missing")


def test_both_limits_may_be_used_together(visit, noisy):
    folder, image, patch = noisy
    page = visit(folder / "chance.html")
    type_limit(page, "threshold", 0.85)
    type_limit(page, "chance", 1e-4)
    expected = tmatch.locate(image, patch, prefilter="none", threshold=0.85, false_alarms=1e-4)
    assert found(page) == [match.box.xywh[:2] for match in expected]
    page.fill("#threshold-value", "")
    page.press("#threshold-value", "Enter")
    settle(page)
    expected = tmatch.locate(image, patch, prefilter="none", false_alarms=1e-4)
    assert found(page) == [match.box.xywh[:2] for match in expected]


def test_what_is_no_limit_changes_nothing(visit, noisy):
    page = visit(noisy[0] / "chance.html")
    before = found(page)
    for value in ("-1", "0", ""):
        type_limit(page, "chance", value)
        assert found(page) == before
        assert page.input_value("#chance-value") == "0.01"


# --- the table ----------------------------------------------------------------------------------------


def test_the_table_is_sorted_by_clicks_and_keys(visit, noisy):
    page = visit(noisy[0] / "chance.html")
    page.select_option("#show-filter", "all")
    settle(page)
    page.click("th[data-column=score] button")
    scores = [float(row["score"]) for row in rows(page)]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) > 10
    assert page.get_attribute("th[data-column=score]", "aria-sort") == "descending"
    page.focus("th[data-column=x] button")
    page.keyboard.press("Enter")
    places = [int(row["x"]) for row in rows(page)]
    assert places == sorted(places)
    assert page.get_attribute("th[data-column=x]", "aria-sort") == "ascending"
    assert page.get_attribute("th[data-column=score]", "aria-sort") is None
    page.keyboard.press("Space")
    assert [int(row["x"]) for row in rows(page)] == sorted(places, reverse=True)


def test_near_misses_are_marked_and_all_others_have_their_reason(visit, noisy):
    folder = noisy[0]
    page = visit(folder / "chance.html")
    done = json.loads(run(folder / "image.png", folder / "patch.png", "--prefilter", "none", "--json").stdout)
    near = [(int(row["x"]), int(row["y"])) for row in rows(page) if row["status"].startswith("near miss: ")]
    assert near == [(miss["x"], miss["y"]) for miss in done["near_misses"]]
    assert len(near) > 1
    page.select_option("#show-filter", "all")
    settle(page)
    told = {row["status"] for row in rows(page)}
    assert told >= {"match", "near miss: too many false alarms", "too many false alarms"}
    page.select_option("#show-filter", "found")
    settle(page)
    assert {row["status"] for row in rows(page)} == {"match"}


def test_a_label_filters_table_and_boxes(visit, tmp_path):
    matches = [Match(Box((10 * k, 5), (6, 6)), 0.9 - k / 100, "ab"[k % 2]) for k in range(6)]
    Matches(matches, shape=(80, 60), labels=["a", "b"]).save(tmp_path / "found.html")
    page = visit(tmp_path / "found.html")
    assert page.locator("#canvas polygon.box").count() == 6
    page.select_option("#label-filter", label="b")
    settle(page)
    assert [row["label"] for row in rows(page)] == ["b"] * 3
    assert page.locator("#canvas polygon.box").count() == 3


# --- the image ----------------------------------------------------------------------------------------


def test_the_image_is_zoomed_and_moved(visit, noisy):
    page = visit(noisy[0] / "chance.html")
    whole = seen(page)
    page.click("#zoom-in")
    assert seen(page)[2] == pytest.approx(whole[2] / 1.5, rel=1e-3)
    level = page.inner_text("#zoom-level")
    frame = page.locator("#viewer").bounding_box()
    page.mouse.move(frame["x"] + 100, frame["y"] + 80)
    page.mouse.wheel(0, -300)
    page.wait_for_function(
        "before => document.getElementById('zoom-level').textContent !== before", arg=level
    )
    closer = seen(page)
    assert closer[2] < whole[2] / 1.5
    page.mouse.down()
    page.mouse.move(frame["x"] + 60, frame["y"] + 50, steps=4)
    page.mouse.up()
    moved = seen(page)
    assert moved[0] - closer[0] == pytest.approx(40 * closer[2] / frame["width"], rel=0.15)
    assert moved[2] == closer[2]
    page.click("#zoom-fit")
    assert seen(page) == whole
    page.focus("#viewer")
    for key in "++":
        page.keyboard.press(key)
    assert seen(page)[2] == pytest.approx(whole[2] / 2.25, rel=1e-3)
    before = seen(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert seen(page)[0] > before[0]
    assert seen(page)[1] > before[1]
    page.keyboard.press("-")
    page.keyboard.press("0")
    assert seen(page) == whole


def test_the_wheel_scrolls_the_page_where_all_is_seen(visit, noisy):
    page = visit(noisy[0] / "chance.html")
    frame = page.locator("#viewer").bounding_box()
    page.mouse.move(frame["x"] + 50, frame["y"] + 50)
    page.mouse.wheel(0, 200)
    page.wait_for_function("() => scrollY > 0")


def test_a_row_shows_its_box_and_a_box_its_row(visit, noisy):
    page = visit(noisy[0] / "chance.html")
    whole = seen(page)
    page.locator("#rows tr button").nth(2).click()
    x, y, width, height = seen(page)
    row = rows(page)[2]
    assert x <= int(row["x"]) <= x + width
    assert y <= int(row["y"]) <= y + height
    assert width < whole[2]
    assert page.locator("#rows tr.chosen").count() == page.locator("#canvas g.chosen").count() == 1
    page.click("#zoom-fit")
    page.locator("#canvas g.found polygon.box").first.click()
    index = page.locator("#canvas g.chosen").get_attribute("data-candidate")
    assert page.locator("#rows tr.chosen").get_attribute("data-candidate") == index


def test_boxes_lie_where_matches_are(visit, tmp_path):
    outline = corners_of((40.0, 50.0), (20, 30), Pose(30.0, 1.2, flip=True))
    turned = Match(
        bounding_box(outline), 0.8, "turned", angle=30.0, scale=1.2, flip=True, template_shape=(20, 30),
        offset=tuple(np.subtract((40.0, 50.0), bounding_box(outline).center).tolist()),
    )  # fmt: skip
    matches = Matches([Match(Box((5, 7), (11, 13)), 0.9, "plain"), turned], shape=(90, 120))
    matches.save(tmp_path / "found.html", "photo.png", pixels=np.zeros((90, 120), np.uint8))
    page = visit(tmp_path / "found.html")
    points = {}
    for group in page.locator("#canvas g[data-candidate]").all():
        label = group.locator("title").text_content().split()[0]
        points[label] = [
            [float(value) for value in point.split(",")]
            for point in group.locator("polygon.box").get_attribute("points").split()
        ]
    assert points["plain"] == [[7, 5], [20, 5], [20, 16], [7, 16]]
    assert np.allclose(points["turned"], [(x + 0.5, y + 0.5) for y, x in outline], atol=1e-3)
    assert page.locator("#canvas polyline.side").count() == 1
    assert page.inner_text("#image-note") == "120 × 90 pixels, shown as it is."


def test_an_image_that_was_not_given_is_an_empty_ground(visit, tmp_path):
    Matches([Match(Box((5, 7), (11, 13)), 0.9)], shape=(90, 120)).save(tmp_path / "found.html")
    page = visit(tmp_path / "found.html")
    assert (
        page.inner_text("#image-note")
        == "120 × 90 pixels. The image was not given: boxes lie on an empty ground."
    )
    assert page.get_attribute("#canvas image", "href") is None


# --- files --------------------------------------------------------------------------------------------


def test_saved_files_are_those_of_the_command(visit, shots, noisy):
    page = visit(shots / "found.html")
    assert saved(page, "#save-csv") == (shots / "found.csv").read_bytes().decode()
    assert saved(page, "#save-json") == (shots / "found.json").read_bytes().decode()
    page = visit(noisy[0] / "score.html")
    assert saved(page, "#save-csv") == (noisy[0] / "score.csv").read_bytes().decode()


def test_saved_files_hold_what_other_limits_find(visit, noisy, tmp_path):
    folder = noisy[0]
    page = visit(folder / "score.html")
    type_limit(page, "threshold", 0.65)
    files = [part for name in ("csv", "json") for part in ("-o", tmp_path / f"found.{name}")]
    run(folder / "image.png", folder / "patch.png", "--prefilter", "none", "--threshold", "0.65", *files)
    assert saved(page, "#save-csv") == (tmp_path / "found.csv").read_bytes().decode()
    assert saved(page, "#save-json") == (tmp_path / "found.json").read_bytes().decode()


@pytest.mark.parametrize(
    "options",
    [["--pixel-ratio", "1.5"], ["--angles", "0,90"], ["--subpixel"], ["--region", "40,40,150,110"]],
    ids=["units", "poses", "subpixel", "region"],
)
def test_saved_files_are_those_of_the_command_with_other_options(visit, noisy, tmp_path, options):
    folder = noisy[0]
    files = [part for name in ("csv", "json") for part in ("-o", tmp_path / f"found.{name}")]
    shared = "--threshold", "0.8", *options, *files, "--report", tmp_path / "found.html"
    done = run(folder / "image.png", folder / "patch.png", *shared)
    assert done.exit_code in (0, 1), done.stderr
    page = visit(tmp_path / "found.html")
    assert saved(page, "#save-csv") == (tmp_path / "found.csv").read_bytes().decode()
    assert saved(page, "#save-json") == (tmp_path / "found.json").read_bytes().decode()


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--max-count", "2"],
        ["--max-overlap", "0", "--false-alarms", "1e-9"],
        ["--prefilter", "whiten", "--gray"],
        ["--threshold", "0.4"],
        ["--threshold", "0.5", "--false-alarms", "0.1"],
        ["--threshold", "0.7", "--metric", "ncc", "--max-count", "3"],
        ["--threshold", "-3e6", "--metric", "ssd"],
        ["--metric", "orientation"],
        ["--angles", "-20:20", "--gray", "--region", "10,10,200,120"],
        ["--scales", "0.5,1,2", "--flips"],
    ],
    ids=" ".join,
)
def test_saved_files_of_several_templates_are_those_of_the_command(visit, shots, tmp_path, options):
    for name in ("shot01.png", "shot11.png"):
        (tmp_path / name).symlink_to(shots / "shots" / name)
    icons = [part for path in sorted((shots / "icons").iterdir()) for part in ("-t", path)]
    (tmp_path / "mask.png").write_bytes((shots / "icons" / icons[1].name).read_bytes())
    several = "-t", f"{icons[1].stem}={tmp_path / 'mask.png'}"
    files = [part for name in ("csv", "json") for part in ("-o", tmp_path / f"found.{name}")]
    images = sorted(tmp_path.glob("shot*.png"))
    done = run(*images, *icons, *several, *options, *files, "--report", tmp_path / "found.html")
    assert done.exit_code in (0, 1), done.stderr
    page = visit(tmp_path / "found.html")
    assert saved(page, "#save-csv") == (tmp_path / "found.csv").read_bytes().decode()
    told, expected = (
        json.loads(text) for text in (saved(page, "#save-json"), (tmp_path / "found.json").read_text())
    )
    for image, other in zip(told, expected, strict=True):
        near = [
            [(miss["label"], miss["rule"]) for miss in each.pop("near_misses", [])] for each in (image, other)
        ]
        assert near[0] == near[1] or "--threshold" in options
        assert image == other


# --- many images, many matches ------------------------------------------------------------------------


def test_forty_images_are_listed_with_what_is_missing_first(visit, shots):
    page = visit(shots / "found.html")
    told = page.eval_on_selector_all("#image-list button", "all => all.map(each => each.innerText)")
    lacking = ["not found" in each for each in told]
    assert len(told) == 40
    assert lacking == sorted(lacking, reverse=True)
    assert 0 < sum(lacking) < 40
    rows_of_file = [*csv.DictReader(io.StringIO((shots / "found.csv").read_text(), newline=""))]
    n_missing = sum(row["found"] == "False" for row in rows_of_file)
    expected = f"{len(rows_of_file) - n_missing} matches in 40 images, {n_missing} not found"
    assert page.inner_text("#count") == expected
    assert page.locator("#missing-list li").count() == min(8, n_missing)
    page.click("#missing-more")
    assert page.locator("#missing-list li").count() == n_missing
    page.locator("#image-list button").last.click()
    settle(page)
    assert page.locator("#image-list button").last.get_attribute("aria-current") == "true"
    name = page.inner_text("#image-name")
    expected = [row for row in rows_of_file if row["image"] == name and row["found"] == "True"]
    assert found(page) == [(int(row["x"]), int(row["y"])) for row in expected]


def test_the_best_position_of_what_is_missing_is_shown(visit, shots):
    page = visit(shots / "found.html")
    page.locator("#missing-list button").last.click()
    settle(page)
    assert page.locator("#canvas g.near.chosen polygon.box").count() == 1


def test_five_hundred_matches_are_listed_and_drawn(visit, tmp_path):
    icon = screens.icon(next(iter(screens.ICONS)))
    tiles = np.full((25 * 44, 20 * 44, 3), 200, np.uint8)
    for k in range(500):
        y, x = 44 * (k // 20) + 5 + k % 3, 44 * (k % 20) + 5 + k % 5
        tiles[y : y + icon.shape[0], x : x + icon.shape[1]] = icon
    Image.fromarray(tiles).save(tmp_path / "tiles.png")
    Image.fromarray(icon).save(tmp_path / "icon.png")
    run(tmp_path / "tiles.png", tmp_path / "icon.png", "--report", tmp_path / "found.html")
    size = (tmp_path / "found.html").stat().st_size
    page = visit(tmp_path / "found.html")
    assert page.inner_text("#count") == "500 matches"
    assert len(found(page)) == page.locator("#canvas g.found polygon.box").count() == 500
    pixels = len(page.text_content("script[data-tmatch=pixels]"))
    print(f"500 matches: {(size - pixels) / 1000:.0f} kB beside the image")
    assert size - pixels < 2_000_000


def test_a_thousand_candidates_are_opened_quickly(visit, tmp_path):
    rng = np.random.default_rng(0)
    places = rng.integers(0, 1000, (1000, 2)).tolist()
    matches = [
        Match(Box((y, x), (20, 20)), float(rng.random()), "abc"[k % 3]) for k, (y, x) in enumerate(places)
    ]
    misses = [CandidateDecision(box=Box((1, 1), (9, 9)), reported=False, rule="unlike", score=0.5, label="a")]
    Matches(matches, shape=(1020, 1020), near_misses=misses).save(tmp_path / "found.html")
    visit(tmp_path / "found.html")
    page = visit(tmp_path / "found.html")
    ready = page.evaluate("() => performance.getEntriesByName('ready')[0].startTime")
    print(f"1000 candidates: ready {ready:.0f} ms after the page was asked for")
    assert len(rows(page)) == 1001


def test_of_very_many_matches_the_best_are_listed_and_files_hold_all(visit, tmp_path):
    scores = np.random.default_rng(0).random(2500).tolist()
    matches = Matches(
        [Match(Box((k // 50, k % 50), (1, 1)), score) for k, score in enumerate(scores)], shape=(50, 50)
    )
    matches.save(tmp_path / "found.html")
    page = visit(tmp_path / "found.html")
    listed = [float(row["score"]) for row in rows(page)]
    assert sorted(listed, reverse=True) == [round(score, 3) for score in sorted(scores, reverse=True)[:2000]]
    assert (
        page.inner_text("#table-note")
        == "the best 2,000 of 2,500 rows; 2,500 candidates recorded in this image."
    )
    assert len(saved(page, "#save-csv").splitlines()) == 2501


def test_large_images_are_reduced_and_their_boxes_are_not(visit, tmp_path):
    matches = Matches([Match(Box((50, 70), (600, 700)), 0.9)], shape=(2000, 3300))
    matches.save(tmp_path / "found.html", pixels=np.zeros((2000, 3300), np.uint8))
    page = visit(tmp_path / "found.html")
    assert page.inner_text("#image-note") == "3300 × 2000 pixels, shown 3 times smaller."
    points = page.get_attribute("#canvas polygon.box", "points")
    assert points == "70,50 770,50 770,650 70,650"
    assert page.get_attribute("#canvas image", "width") == "3300"


# --- names that would do harm -------------------------------------------------------------------------


def test_hostile_names_are_text(visit, tmp_path):
    near = CandidateDecision(
        box=Box((20, 20), (5, 5)), reported=False, rule="unlike", score=0.5, label=HOSTILE
    )
    lacking = HOSTILE + "2"
    matches = Matches(
        [Match(Box((2, 3), (4, 5)), 0.9, HOSTILE)],
        shape=(40, 60),
        labels=[HOSTILE, lacking, "__proto__", "constructor"],
        best={lacking: Match(Box((9, 9), (4, 4)), 0.3, lacking)},
        near_misses=[near],
    )
    matches.save(tmp_path / "found.html", HOSTILE + ".png", pixels=np.zeros((40, 60), np.uint8))
    page = visit(tmp_path / "found.html")
    assert page.locator("#missing-list b").all_inner_texts()[1:] == ["__proto__", "constructor"]
    page.click("#missing-list button")
    page.locator("#rows tr button").first.click()
    page.select_option("#show-filter", "all")
    settle(page)
    assert page.evaluate("() => window.hurt") is None
    assert page.locator("img[src=x], svg[onload]").count() == 0
    assert page.inner_text("#image-name").replace("\u2028", "") == (HOSTILE + ".png").replace("\u2028", "")
    assert rows(page)[0]["label"] == HOSTILE
    assert HOSTILE in page.locator("#canvas g title").last.text_content()
    [row, *_] = csv.DictReader(io.StringIO(saved(page, "#save-csv"), newline=""))
    assert (row["image"], row["label"]) == (HOSTILE + ".png", HOSTILE)
    assert json.loads(saved(page, "#save-json"))["matches"][0]["label"] == HOSTILE


def test_hostile_files_are_text(visit, tmp_path):
    folder = tmp_path / "<"
    folder.mkdir()
    names = "script><img src=x onerror=window.hurt=1>.png", "broken\"><svg onload='window.hurt=1'>.png"
    Image.fromarray(screens.screen(0, SMALL).pixels).save(folder / names[0])
    (folder / names[1]).write_bytes(b"no image")
    icon = tmp_path / "<img src=x onerror=window.hurt=1>.png"
    Image.fromarray(screens.icon(next(iter(screens.ICONS)))).save(icon)
    assert run(folder, "-t", icon, "--report", tmp_path / "found.html").exit_code == 2
    page = visit(tmp_path / "found.html")
    for button in page.locator("#image-list button").all():
        button.click()
        settle(page)
    assert page.evaluate("() => window.hurt") is None
    assert page.locator("img[src=x], svg[onload]").count() == 0
    assert "<img src=x onerror=window.hurt=1>" in page.inner_text("#templates")


# --- without a mouse ----------------------------------------------------------------------------------


def test_all_is_done_by_keys_alone(visit, noisy):
    page = visit(noisy[0] / "chance.html")
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("() => document.activeElement.closest('[id]')?.id"))
        if reached[-1] == "rows":
            break
    wanted = [
        "viewer",
        "zoom-in",
        "zoom-fit",
        "threshold",
        "chance",
        "show-filter",
        "save-csv",
        "save-json",
        "rows",
    ]
    assert [each for each in reached if each in wanted] == wanted
    assert page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert page.locator("#rows tr.chosen").count() == 1
    assert page.evaluate("() => document.activeElement.closest('tr').rowIndex") == 1


def test_everything_has_a_name_for_those_who_do_not_see_it(visit, shots):
    page = visit(shots / "found.html")
    unnamed = page.evaluate("""() => [
        ...document.querySelectorAll("button, input, select, nav, [role=img], [role=group]")
    ].filter((each) => !(each.getAttribute("aria-label") || each.labels?.length || each.textContent.trim()
            || each.getAttribute("aria-labelledby") || each.getAttribute("aria-describedby")))
        .map((each) => each.outerHTML.slice(0, 80))""")
    assert unnamed == []
    assert page.get_attribute("#count", "aria-live") == "polite"
    assert page.get_attribute("html", "lang") == "en"
    assert page.eval_on_selector_all("h1, h2, h3", "all => all.map(each => each.tagName)")[0] == "H1"


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_is_cut_off_at_the_side(visit, shots, width):
    page = visit(shots / "found.html")
    page.set_viewport_size({"width": width, "height": 800})
    settle(page)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_without_scripts_the_page_tells_what_was_found(browser, shots):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((shots / "found.html").as_uri())
    text = page.inner_text("body")
    assert "This report needs JavaScript" in text
    assert text.count("shot39.png: found: ") == 1
    context.close()
