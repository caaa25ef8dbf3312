import copy
import csv
import dataclasses
import html.parser
import io
import json
import math
import pickle
import re
import sys

import numpy as np
import pytest

import tmatch
from loops import each
from tmatch import Box, Match, Matches
from tmatch._results.poses import PoseErrors

pytestmark = pytest.mark.engine_free

EYE = Match(Box((3, 4), (5, 6)), 0.9, "eye", false_alarms=1e-9, kind="copy")
EAR = Match(Box((10, 20), (5, 6)), 0.8, "ear")
TURNED = Match(
    Box((10, 20), (60, 40)), 0.7, "eye", (0.25, 0.0), angle=90.0, scale=2.0, flip=True, template_shape=(20, 30),
    errors=PoseErrors(center=(0.0123456, 0.25), angle=0.04321),
)  # fmt: skip
FACTS = {
    "shape": (60, 80),
    "labels": ["eye", "ear", "nose"],
    "best": {"nose": EAR},
    "decision": {"threshold": 1},
}
FOUND = Matches([EYE, EAR], **FACTS)
PLAIN_KEYS = [
    "label", "x", "y", "width", "height", "score", "false_alarms", "second_best", "expected_score", "kind",
]  # fmt: skip
POSE_KEYS = [
    "angle", "scale", "flip", "center_x", "center_y", "center_x_error", "center_y_error", "angle_error", "scale_error",
]  # fmt: skip


def facts(matches):
    return matches.shape, matches.labels, matches.best, matches.near_misses, matches.decision, matches.missing


@each(
    "again",
    [
        FOUND.copy(), FOUND[:], copy.copy(FOUND), copy.deepcopy(FOUND),
        pickle.loads(pickle.dumps(FOUND)),  # noqa: S301
        Matches(FOUND, **FACTS), FOUND[::-1][::-1],
    ],
)  # fmt: skip
def test_copies_are_equal_and_know_the_same(again):
    assert again == FOUND == [EYE, EAR]
    assert type(again) is Matches
    assert again is not FOUND
    assert facts(again) == facts(FOUND)


def test_it_is_a_list():
    assert isinstance(FOUND, list)
    assert (repr(FOUND), FOUND[0], FOUND[-1], len(FOUND)) == (repr([EYE, EAR]), EYE, EAR, 2)
    assert type(sorted(FOUND, key=lambda match: match.label)) is list
    assert [] == Matches() != FOUND
    again = FOUND.copy()
    again.append(dataclasses.replace(EAR, label="nose"))
    assert (again.missing, FOUND.missing) == ([], ["nose"])


def test_what_a_slice_cuts_off_is_not_missing_from_it():
    assert FOUND[:1] == [EYE]
    assert FOUND[:1].missing == FOUND[:0].missing == ["nose"]
    assert Matches([EYE], **FACTS).missing == ["ear", "nose"]


def test_a_search_knows_what_was_sought_and_where():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    parts = {"there": image[5:15, 8:20], "absent": image[20:30, 8:20, ::-1].copy()}
    for found in (
        tmatch.locate(image, parts, channel_axis=-1, threshold=0.9),
        tmatch.Matcher(parts, channel_axis=-1).locate(image, threshold=0.9),
    ):
        assert type(found) is Matches
        assert (found.shape, found.labels, found.missing) == ((40, 50), ("there", "absent"), ["absent"])
        assert [match.box.start for match in found] == [(5, 8)]
    turned = tmatch.locate(image[..., 0], parts["there"][..., 0], angles=[0, 90], threshold=0.9)
    assert (turned.shape, turned.labels, turned.missing) == ((40, 50), ("",), [])


def test_a_match_is_a_flat_dictionary():
    assert (EYE.x, EYE.y, EYE.width, EYE.height) == (4, 3, 6, 5)
    told = EYE.to_dict()
    assert [*told] == PLAIN_KEYS
    assert [*told.values()] == ["eye", 4, 3, 6, 5, 0.9, 1e-9, None, None, "copy"]
    told = TURNED.to_dict()
    assert [*told] == PLAIN_KEYS + POSE_KEYS
    assert [told[name] for name in POSE_KEYS] == [90, 2, True, 39.5, 39.75, 0.25, 0.0123, 0.0432, None]
    refined = Match(Box((0, 0), (5, 5)), 0.9, offset=(0.25, 0.5)).to_dict()
    assert (refined["center_x"], refined["center_y"], refined["angle_error"]) == (2.5, 2.25, None)


def test_dictionaries_have_the_same_keys_and_are_json():
    assert FOUND.to_dicts() == [EYE.to_dict(), EAR.to_dict()]
    plain, turned = Matches([EYE, TURNED]).to_dicts()
    assert [*plain] == [*turned] == PLAIN_KEYS + POSE_KEYS
    assert json.loads(json.dumps([plain, turned])) == [plain, turned]
    assert Matches().to_dicts() == []


def test_columns_have_one_dtype_each_also_when_empty():
    kinds = dict.fromkeys(PLAIN_KEYS, "f") | dict.fromkeys(("x", "y", "width", "height"), "i")
    kinds |= {"label": "U", "kind": "U"}
    for found in (FOUND, Matches()):
        table = found.table()
        assert {name: column.dtype.kind for name, column in table.items()} == kinds
        assert {column.shape for column in table.values()} == {(len(found),)}
    table = Matches([EYE, TURNED]).table()
    assert [*table] == PLAIN_KEYS + POSE_KEYS
    assert table["flip"].tolist() == [False, True]
    assert table["kind"].tolist() == ["copy", ""]
    assert math.isnan(table["false_alarms"][1])
    assert table["center_x"].tolist() == [6.5, 39.5]


@each("start, shape", [((3,), (5,)), ((1, 2, 3), (4, 5, 6))])
def test_other_numbers_of_axes_have_start_and_shape(start, shape):
    match = Match(Box(start, shape), 0.9)
    told = match.to_dict()
    assert (told["start"], told["shape"]) == ([*start], [*shape])
    assert "x" not in told
    for found in (Matches([match]), Matches(shape=shape)):
        table = found.table()
        names = [f"{name}_{axis}" for name in ("start", "shape") for axis in range(len(start))]
        assert [*table][1 : 1 + len(names)] == names
        assert [table[name].tolist() for name in names] == [[v] * len(found) for v in (*start, *shape)]
    for name in ("x", "y", "width", "height"):
        with pytest.raises(ValueError, match=f"^a Box with {len(start)} axes has no x and y; use `start`"):
            getattr(match, name)
    assert "<td>" in Matches([match], shape=shape)._repr_html_()


def test_three_axes_may_be_colours():
    hint = "; use `{}`, or search with channel_axis=-1 if the last axis holds colours"
    match = Match(Box((1, 2, 0), (4, 5, 3)), 0.9)
    for name in ("xywh", "xyxy"):
        with pytest.raises(ValueError, match="x and y" + hint.format("start` and `shape")):
            getattr(match.box, name)
    with pytest.raises(ValueError, match="no corners" + hint.format("box")):
        _ = match.corners
    with pytest.raises(ValueError, match="no x and y; use `start` and `shape`$"):
        _ = Box((1, 2, 0, 0), (4, 5, 3, 1)).xywh


def test_a_data_frame_has_the_same_columns():
    pytest.importorskip("pandas")
    frame = FOUND.to_frame()
    assert frame.columns.tolist() == PLAIN_KEYS
    assert frame[frame.label == "ear"].x.tolist() == [20]
    assert Matches().to_frame().shape == (0, 10)


def test_without_pandas_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(
        ImportError, match="^`to_frame` needs pandas, which is not installed: pip install pandas; "
    ):
        FOUND.to_frame()


def test_without_roifile_a_sentence_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "roifile", None)
    told = r"^a .zip file is one of regions for ImageJ, .*; install it with: pip install 'tmatch\[rois\]'$"
    with pytest.raises(ValueError, match=told):
        FOUND.save(tmp_path / "a.zip")
    assert [*tmp_path.iterdir()] == []


def test_saved_files_hold_the_matches_and_the_name_of_the_image(tmp_path):
    FOUND.save(str(tmp_path / "a.csv"), "é.png")
    rows = [*csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text("utf-8"), newline=""))]
    assert [(r["image"], r["label"], r["found"]) for r in rows] == [
        ("é.png", "eye", "True"), ("é.png", "ear", "True"), ("é.png", "nose", "False"),
    ]  # fmt: skip
    FOUND.save(tmp_path / "a.json", image="a.png")
    told = json.loads((tmp_path / "a.json").read_text())
    assert (told["image"], told["width"], told["height"]) == ("a.png", 80, 60)
    assert told["matches"] == FOUND.to_dicts()
    assert [(each["label"], each["best"]["score"]) for each in told["missing"]] == [("nose", 0.8)]
    Matches([TURNED], shape=(60, 80)).save(tmp_path / "a.jsonl")
    assert json.loads((tmp_path / "a.jsonl").read_text())["matches"][0]["angle"] == 90
    Matches([EYE]).save(tmp_path / "unknown.json")
    told = json.loads((tmp_path / "unknown.json").read_text())
    assert (told["width"], told["height"]) == (None, None)
    assert "near_misses" not in told  # nobody looked for any


def test_a_file_that_cannot_be_written_is_refused_and_the_old_one_stays(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(ValueError, match="`shape` of the matches"):
        Matches([EYE]).save(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "old"
    with pytest.raises(ValueError, match='there is no folder ".*nowhere"$'):
        FOUND.save(tmp_path / "nowhere" / "a.csv")
    with pytest.raises(ValueError, match=r'".tsv" is not a known format; use one of .csv, '):
        FOUND.save(tmp_path / "a.tsv")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_names_that_are_no_unicode_are_saved(tmp_path):
    FOUND.save(tmp_path / "a.csv", "\udcff.png")
    assert "?.png" in (tmp_path / "a.csv").read_text("utf-8")


class Page(html.parser.HTMLParser):
    """Read a page: its tags, which must be closed in order, and its text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def named(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def test_notebooks_show_a_table_and_a_map():
    page = Page(FOUND._repr_html_())
    assert "2 matches in 80 × 60 pixels; not found: nose" in page.texts
    assert len(page.named("tr")) == 3
    assert [p["points"] for p in page.named("polygon")] == ["4,3 10,3 10,8 4,8", "20,10 26,10 26,15 20,15"]
    assert page.named("svg")[0]["viewbox"] == "0 0 80 60"
    assert "eye 0.900" in page.texts
    turned = Page(Matches([EYE, TURNED])._repr_html_())
    assert {"flip", "center x", "90.00", "yes"} <= set(turned.texts)
    assert not turned.named("svg")  # the size is not known
    assert "0 matches" in Page(Matches()._repr_html_()).texts


def test_many_matches_are_shown_in_part():
    many = Matches(
        [dataclasses.replace(EYE, box=Box((n, n), (5, 5))) for n in range(2000)], shape=(3000, 3000)
    )
    page = Page(many._repr_html_())
    assert len(page.named("tr")) == 21
    assert "and 1,980 more" in page.texts
    assert len(page.named("polygon")) == 500


def test_labels_in_pages_are_escaped():
    label = '"><script>alert(1)</script>&\x00\udcff'
    found = Matches([dataclasses.replace(EYE, label=label)], shape=(60, 80), labels=[label, "<b>"])
    for text in (found._repr_html_(), str(found.preview(np.zeros((60, 80))))):
        page = Page(text.encode("utf-8").decode())
        assert not page.named("script")
        assert not page.named("b")
        assert "1 match in 80 × 60 pixels; not found: <b>" in page.texts
        assert any("<script>alert(1)</script>&" in told for told in page.texts)


@each("channels", [(), (1,), (2,), (3,), (4,)])
@each("dtype", [np.uint8, np.uint16, np.float32, np.bool_])
def test_a_preview_shows_what_is_in_the_boxes(channels, dtype):
    image = np.zeros((60, 80, *channels), dtype)
    image[3:8, 4:10] = 1 if dtype is np.bool_ else 200
    if channels in ((2,), (4,)):
        image[..., -1] = 255
    leaving = Match(Box((-3, 70), (10, 20)), 0.5)
    outside = Match(Box((-3, -70), (3, 20)), 0.5)
    page = Page(Matches([EYE, EAR, leaving, outside], shape=(60, 80)).preview(image)._repr_html_())
    crops = [crop(attributes["src"]) for attributes in page.named("img")]
    assert [c.shape[:2] for c in crops] == [(5, 6), (5, 6), (7, 10)]
    colours = [c.reshape(*c.shape[:2], -1)[..., :3] if channels in ((3,), (4,)) else c for c in crops]
    assert colours[0].min() >= 199
    assert colours[1].max() == 0


def crop(source):
    import base64

    from PIL import Image

    data = re.fullmatch("data:image/png;base64,(.*)", source)[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_a_preview_reads_files(tmp_path):
    from PIL import Image

    pixels = np.arange(60 * 80, dtype=np.uint8).reshape(60, 80)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    for given in (tmp_path / "image.png", str(tmp_path / "image.png")):
        assert str(FOUND.preview(given)) == str(FOUND.preview(pixels))


def test_a_preview_of_another_image_or_of_large_crops():
    with pytest.raises(
        ValueError, match=r"^`image` has shape \(60, 81\); the matches are of an image of shape"
    ):
        FOUND.preview(np.zeros((60, 81)))
    large = Matches([Match(Box((0, 0), (1000, 600)), 0.9)])
    (attributes,) = Page(large.preview(np.zeros((1000, 600), np.uint8))._repr_html_()).named("img")
    assert crop(attributes["src"]).shape == (250, 150)
