"""The file that a report is: what it holds, what it escapes, when it is there."""

import base64
import hashlib
import html.parser
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import screens
import tmatch
from tmatch import Box, Match
from tmatch._report import page, pixels
from tmatch._results.collection import Matches
from tmatch.cli.app import app

pytestmark = pytest.mark.engine_free
SMALL = (150, 260)
HOSTILE = "</script><img src=x onerror=alert(1)>&\u2028'\"<!--"


class Blocks(html.parser.HTMLParser):
    """The blocks of data of a page, the elements besides, and its policy."""

    def __init__(self, text):
        super().__init__()
        self.blocks, self.tags, self.policy, self._kind = [], [], "", None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.tags.append((tag, named))
        self._kind = named.get("data-tmatch") if tag == "script" else None
        if named.get("http-equiv") == "Content-Security-Policy":
            self.policy = named["content"]

        if self._kind:
            self.blocks.append((self._kind, ""))

    def handle_endtag(self, _):
        self._kind = None

    def handle_data(self, text):
        if self._kind:
            self.blocks[-1] = self._kind, text

    def read(self, kind):
        return [json.loads(text) if kind != "pixels" else text for name, text in self.blocks if name == kind]


def read(path):
    return Blocks(path.read_text("utf-8"))


def run(*arguments):
    return CliRunner().invoke(app, ["locate", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    (folder / "shots").mkdir()
    (folder / "icons").mkdir()
    for name in screens.ICONS:
        Image.fromarray(screens.icon(name)).save(folder / "icons" / f"{name}.png")
    for number in range(3):
        Image.fromarray(screens.screen(number, SMALL).pixels).save(folder / "shots" / f"shot{number}.png")
    return folder


# --- what it holds ------------------------------------------------------------------------------------


def test_one_image_has_its_pixels_templates_options_and_candidates(folder, tmp_path):
    target = tmp_path / "found.html"
    shot = folder / "shots" / "shot0.png"
    done = run(shot, "-t", folder / "icons", "--copies-only", "--json", "--report", target)
    found = json.loads(done.stdout)[0]
    assert done.stderr.splitlines()[-1 - ("not found" in done.stderr)] == f"written: {target}"
    told = read(target)
    [about], [image], [data] = told.read("about"), told.read("image"), told.read("pixels")
    assert about["labels"] == sorted(screens.ICONS)
    assert [each["label"] for each in about["templates"]] == sorted(screens.ICONS)
    assert about["options"] == [
        ["arguments", str(shot)],
        ["--template", str(folder / "icons")],
        ["--copies-only", "yes"],
    ]
    assert about["criterion"]["false_alarms"] == 0.01
    columns = image["columns"]
    rows = {(part["label"], *start) for part, start in _with_parts(image, columns["start"])}
    assert rows >= {(m["label"], m["y"], m["x"]) for m in found["matches"]}
    assert len({len(values) for values in columns.values()}) == 1
    assert (image["width"], image["height"]) == SMALL[::-1]
    embedded = Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2])))
    assert np.array_equal(np.asarray(embedded), screens.screen(0, SMALL).pixels)


def _with_parts(image, values):
    left = iter(values)
    for part in image["parts"]:
        for _ in range(part["count"]):
            yield part, next(left)


@pytest.mark.parametrize("jobs", [1, 3])
def test_many_images_come_in_their_order_with_their_own_pixels(folder, tmp_path, jobs):
    target = tmp_path / "found.html"
    (tmp_path / "shots").mkdir()
    for path in (folder / "shots").iterdir():
        (tmp_path / "shots" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "shots" / "broken.png").write_bytes(b"no image")
    done = run(tmp_path / "shots", "-t", folder / "icons", "--jobs", jobs, "--report", target)
    assert done.exit_code == 2
    assert f"written: {target}" in done.stderr
    told = read(target)
    names = [image["image"].rsplit("/", 1)[-1] for image in told.read("image")]
    assert names == ["broken.png", "shot0.png", "shot1.png", "shot2.png"]
    assert "cannot read" in told.read("image")[0]["error"]
    broken, *others = told.read("pixels")
    assert broken == ""
    for number, data in enumerate(others):
        embedded = Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2])))
        assert np.array_equal(np.asarray(embedded), screens.screen(number, SMALL).pixels)


def test_the_number_of_threads_changes_no_byte(folder, tmp_path):
    texts = []
    for jobs in (1, 3):
        run(folder / "shots", "-t", folder / "icons", "--jobs", jobs, "--report", tmp_path / "found.html")
        texts.append((tmp_path / "found.html").read_text("utf-8").replace(f'["--jobs","{jobs}"]', ""))
    assert texts[0] == texts[1]


def test_a_report_changes_nothing_else(folder, tmp_path):
    arguments = folder / "shots", "-t", folder / "icons", "--format", "json"
    assert run(*arguments).stdout == run(*arguments, "--report", tmp_path / "found.html").stdout


def test_large_images_are_reduced_by_whole_factors():
    image = np.add.outer(np.arange(3300) % 7, np.arange(1700) % 5).astype(np.uint8) * 20
    data, factor = pixels.embed(image)
    assert factor == 3
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))))
    assert shown.shape == (1100, 567)
    assert data.startswith("data:image/png;")
    means = image[:, :1698].reshape(1100, 3, 566, 3).mean(axis=(1, 3))
    assert np.abs(shown[:, :566] - means).max() <= 0.5
    noise = np.random.default_rng(0).integers(0, 256, (800, 800), np.uint8)
    assert pixels.embed(noise)[0].startswith("data:image/png;")
    photo = np.random.default_rng(0).normal(128, 3, (800, 800)).clip(0, 255).astype(np.uint8)
    assert len(pixels.embed(photo)[0]) < 400_000


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, bool])
@pytest.mark.parametrize("shape", [(40, 30), (40, 30, 3), (40, 30, 1), (1, 1), (2000, 3)])
def test_all_kinds_of_images_are_embedded(dtype, shape):
    image = np.random.default_rng(0).random(shape)
    data, factor = pixels.embed((image > 0.5) if dtype is bool else (image * 1000).astype(dtype))
    shown = Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2])))
    assert shown.size == (-(-shape[1] // factor), -(-shape[0] // factor))


def test_the_page_itself_is_small():
    assert len(page.head({}) + page.tail()) < 120_000


# --- matches that are saved ---------------------------------------------------------------------------


def located():
    image = np.random.default_rng(0).integers(0, 256, (60, 80), dtype=np.uint8)
    return image, tmatch.locate(image, {"patch": image[20:30, 40:52], "other": 255 - image[1:9, 1:9]})


def test_matches_are_saved_with_or_without_their_image(tmp_path):
    image, matches = located()
    matches.save(tmp_path / "with.html", "photo.png", pixels=image)
    matches.save(tmp_path / "without.HTML")
    for name, data in (("with.html", "data:image/png"), ("without.HTML", "")):
        told = read(tmp_path / name)
        [part] = told.read("image")
        assert (part["columns"]["start"], part["columns"]["score"]) == ([[20, 40]], [matches[0].score])
        assert part["labels"] == ["patch", "other"]
        assert part["shown"] == {"x": 0, "y": 0, "width": 80, "height": 60, "factor": 1}
        assert [text[:14] for text in told.read("pixels")] == [data]


def test_matches_of_unknown_images_have_a_ground_that_holds_them(tmp_path):
    Matches([Match(Box((5, 6), (7, 8)), 0.5)]).save(tmp_path / "found.html")
    [image] = read(tmp_path / "found.html").read("image")
    assert (image["shown"]["width"], image["shown"]["height"]) == (14, 12)
    Matches().save(tmp_path / "none.html")
    assert read(tmp_path / "none.html").read("image")[0]["parts"] == []


def test_other_than_two_axes_are_refused(tmp_path):
    volume = Matches([Match(Box((5, 6, 7), (1, 1, 1)), 0.5)], shape=(9, 9, 9))
    with pytest.raises(
        ValueError, match=re.escape("a report shows images of two axes, and `shape` of the matches is")
    ):
        volume.save(tmp_path / "found.html")
    image, matches = located()
    expected = "`pixels` has shape (50, 80); the matches are of an image of shape (60, 80): give that one"
    with pytest.raises(ValueError, match=re.escape(expected)):
        matches.save(tmp_path / "found.html", pixels=image[:50])
    assert not [*tmp_path.iterdir()]


# --- what is escaped ----------------------------------------------------------------------------------


def test_nothing_from_outside_is_markup(tmp_path):
    matches = Matches(
        [Match(Box((2, 3), (4, 5)), 0.9, HOSTILE)], shape=(20, 30), labels=[HOSTILE, "<b>", "\ud800"]
    )
    matches.save(tmp_path / "found.html", HOSTILE + "\udcff.png")
    told = read(tmp_path / "found.html")
    [image] = told.read("image")
    assert image["image"] == HOSTILE + "\udcff.png"
    assert [part["label"] for part in image["parts"]] == [HOSTILE]
    plain = tmp_path / "plain.html"
    Matches([Match(Box((2, 3), (4, 5)), 0.9, "a")], shape=(20, 30), labels=["a"]).save(plain)
    assert told.tags == read(plain).tags
    blocks = [text for kind, text in told.blocks if kind != "pixels"]
    assert not any(re.search("[<>&\u2028]", text) for text in blocks)


def test_only_the_script_and_the_style_of_the_page_may_run():
    text = page.head({"a": HOSTILE}) + page.tail()
    [style] = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    [script] = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    policy = Blocks(text).policy
    for content in (style, script):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in re.sub(r"http://www\.w3\.org/2000/svg|http-equiv", "", text)


def test_scripts_make_no_markup_of_values():
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function", page.script()
    )


# --- when it is there ---------------------------------------------------------------------------------


def test_a_run_that_fails_leaves_the_former_report(folder, tmp_path):
    target = tmp_path / "found.html"
    target.write_text("former")
    shot = folder / "shots" / "shot0.png"
    assert run(shot, folder / "icons" / "absent.png", "--report", target).exit_code == 2
    (tmp_path / "broken.png").write_bytes(b"no image")
    assert run(tmp_path / "broken.png", "-t", folder / "icons", "--report", target).exit_code == 2
    (tmp_path / "broken.png").unlink()
    assert target.read_text() == "former"
    assert [path.name for path in tmp_path.iterdir()] == ["found.html"]


def test_a_report_that_is_not_finished_is_no_file(tmp_path):
    from tmatch._report.writer import About, report

    failing = report(tmp_path / "found.html", About(["a"], None))
    failing.__enter__()
    assert not (tmp_path / "found.html").exists()
    assert failing.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None) is False
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--report", "found.pdf"], 'cannot write "found.pdf": --report writes HTML; use the ending .html'),
        (
            ["--report", "found.html", "-o", "found.html"],
            '"found.html" is named twice, or is one of the images read; write to another file',
        ),
        (
            ["-o", "a.jsonl", "--resume", "--report", "found.html"],
            "--resume goes on with a file, and a report would lack what is in it; leave --report out",
        ),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_work(
    folder, tmp_path, monkeypatch, arguments, sentence
):
    monkeypatch.chdir(tmp_path)
    done = run(folder / "shots", "-t", folder / "icons", *arguments)
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert not [*tmp_path.iterdir()]
