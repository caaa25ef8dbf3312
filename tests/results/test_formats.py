import csv
import dataclasses
import io
import json
import re
import zipfile
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from loops import each
from tmatch import Box, Match, Matches
from tmatch._results import formats
from tmatch._results.poses import PoseErrors
from tmatch._results.records import Record

pytestmark = pytest.mark.engine_free

ERRORS = PoseErrors(center=(0.0123456, 0.25), angle=0.04321, scale=None)
# 20 x 30 pixels, twice as large, turned by 90 degrees: 40 columns from 20, 60 rows from 10; then a little moved.
TURNED = Match(
    Box((10, 20), (60, 40)), 0.9, "eye", (0.25, 0.0), angle=90.0, scale=2.0, flip=True, template_shape=(20, 30),
    errors=ERRORS,
)  # fmt: skip
PLAIN = Match(Box((3, 4), (5, 6)), 0.8, "ear")
CORNERS = [
    [19.5, 9.75],
    [19.5, 69.75],
    [59.5, 69.75],
    [59.5, 9.75],
]  # x, y, from the top left of what is flipped


def written(form, matches=(TURNED, PLAIN), **options):
    found = Matches(matches, shape=(200, 300), decision={"threshold": 0.7})
    return texts([Record("photo.png", matches=found)], form, single=True, **options)


def texts(records, form, **options):
    return formats.written(formats.writer_of(form, **options), records)


@each("form", ["json", "jsonl", "csv", "coco"])
def test_poses_are_told_only_on_request(form):
    plain = [
        dataclasses.replace(PLAIN, box=match.box, score=match.score, label=match.label)
        for match in (TURNED, PLAIN)
    ]
    assert written(form) == written(form, plain) != written(form, poses=True)


def test_rows_tell_the_pose_in_json():
    row, upright = json.loads(written("json", poses=True))["matches"]
    assert {name: row[name] for name in ("x", "y", "width", "height")} == {
        "x": 20,
        "y": 10,
        "width": 40,
        "height": 60,
    }
    assert (row["angle"], row["scale"], row["flip"]) == (90, 2, True)
    assert row["center"] == {"x": 39.5, "y": 39.75}
    assert row["corners"] == CORNERS
    assert row["errors"] == {"center_x": 0.25, "center_y": 0.0123, "angle": 0.0432, "scale": None}
    assert [*row][-6:] == ["angle", "scale", "flip", "center", "corners", "errors"]
    assert (upright["angle"], upright["scale"], upright["flip"], upright["errors"]) == (0, 1, False, None)
    assert upright["center"] == {"x": 6.5, "y": 5.0}
    assert upright["corners"] == [[3.5, 2.5], [9.5, 2.5], [9.5, 7.5], [3.5, 7.5]]
    lines = map(json.loads, written("jsonl", poses=True).splitlines())
    assert [line["matches"] for line in lines] == [[row], [upright]]


def test_lengths_of_poses_are_in_units():
    pixels, units = (json.loads(written("json", poses=True, pixel_ratio=r))["matches"][0] for r in (1, 2.5))
    assert np.array(units["corners"]) * 2.5 == pytest.approx(np.array(pixels["corners"]))
    assert units["center"] == {"x": 39.5 / 2.5, "y": 39.75 / 2.5}
    assert units["errors"] == {"center_x": 0.1, "center_y": 0.00494, "angle": 0.0432, "scale": None}
    assert (units["angle"], units["scale"]) == (90, 2)


def test_columns_tell_the_pose_and_what_is_not_known_is_empty():
    row, upright = csv.DictReader(io.StringIO(written("csv", poses=True)))
    added = [
        "angle",
        "scale",
        "flip",
        "center_x",
        "center_y",
        "center_x_error",
        "center_y_error",
        "angle_error",
        "scale_error",
    ]
    assert [*row][-10:] == [*added, "error"]
    assert [row[name] for name in added] == [
        "90.0",
        "2.0",
        "True",
        "39.5",
        "39.75",
        "0.25",
        "0.0123",
        "0.0432",
        "",
    ]
    assert [upright[name] for name in added] == ["0.0", "1.0", "False", "6.5", "5.0", "", "", "", ""]
    unplaced = dataclasses.replace(TURNED, errors=PoseErrors(angle=0.5))
    (row,) = csv.DictReader(io.StringIO(written("csv", [unplaced], poses=True)))
    assert [row[name] for name in added[5:]] == ["", "", "0.5", ""]
    assert written("csv", [], poses=True).endswith(",kind," + ",".join(added) + ",error\n")


@each("pixel_ratio", [1, 2])
def test_outlines_are_segments_that_their_boxes_bound_in_the_coordinates_of_coco(pixel_ratio):
    turned, upright = json.loads(written("coco", poses=True, pixel_ratio=pixel_ratio))["annotations"]
    assert turned["bbox"] == [20 / pixel_ratio, 10 / pixel_ratio, 40 / pixel_ratio, 60 / pixel_ratio]
    assert turned["segmentation"] == [[(value + 0.5) / pixel_ratio for corner in CORNERS for value in corner]]
    assert turned["area"] == 2400 / pixel_ratio**2
    x, y, width, height = upright["bbox"]
    assert upright["segmentation"] == [[x, y, x + width, y, x + width, y + height, x, y + height]]
    assert upright["area"] == width * height
    tilted = dataclasses.replace(TURNED, angle=30.0)
    (annotation,) = json.loads(written("coco", [tilted], poses=True))["annotations"]
    x, y = np.reshape(annotation["segmentation"], (-1, 2)).T
    shoelace = abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2
    assert annotation["area"] == pytest.approx(shoelace, rel=1e-4)


def test_digits_beyond_what_can_be_known_are_not_written():
    match = dataclasses.replace(TURNED, angle=12.34567891, scale=1.23456789, offset=(0.123456789, 0.0))
    (row,) = json.loads(written("json", [match], poses=True))["matches"]
    assert (row["angle"], row["scale"], row["center"]["y"]) == (12.3457, 1.234568, 39.6235)


def test_fields_of_poses_are_left_out_of_matches_alone():
    told = dataclasses.asdict(TURNED, dict_factory=formats.without_poses)
    assert [*told] == [
        "box", "score", "label", "offset", "false_alarms", "second_best", "expected_score", "kind",
    ]  # fmt: skip
    assert dataclasses.asdict(ERRORS, dict_factory=formats.without_poses) == dataclasses.asdict(ERRORS)


# One image, then many: each format is read by an independent reader.

MATCHES = [Match(Box((3, 4), (5, 6)), 0.9, "eye"), Match(Box((0, 1), (5, 6)), 0.8, 'a "b", c')]
UNKNOWN = dict.fromkeys(["false_alarms", "second_best", "expected_score", "kind"])
ROWS = [
    {"label": "eye", "x": 4, "y": 3, "width": 6, "height": 5, "score": 0.9, **UNKNOWN},
    {"label": 'a "b", c', "x": 1, "y": 0, "width": 6, "height": 5, "score": 0.8, **UNKNOWN},
]


def parsed(text):
    return ET.fromstring(text)  # noqa: S314


HEADER = (
    "image,page,time,label,found,x,y,width,height,score,false_alarms,second_best,expected_score,kind,error"
)


def one(matches, **facts):
    return [
        Record("photo.png", matches=Matches(matches, shape=(20, 30), decision={"threshold": 0.7}, **facts))
    ]


def test_matches_as_text_hold_the_same_facts():
    about = {"image": "photo.png", "width": 30, "height": 20}
    whole = json.loads(texts(one(MATCHES), "json", single=True))
    assert whole == {**about, "threshold": 0.7, "near_misses": [], "matches": ROWS, "missing": []}
    lines = texts(one(MATCHES), "jsonl").splitlines()
    assert [json.loads(line) for line in lines] == [
        {**about, "page": None, "time": None, "label": r["label"], "found": 1, "matches": [r], "best": None}
        for r in ROWS
    ]
    assert texts(one(MATCHES), "csv").splitlines() == [
        HEADER,
        "photo.png,,,eye,True,4,3,6,5,0.9,,,,,",
        'photo.png,,,"a ""b"", c",True,1,0,6,5,0.8,,,,,',
    ]
    coco = json.loads(texts(one(MATCHES), "coco"))
    assert coco["images"] == [{"id": 1, "file_name": "photo.png", "width": 30, "height": 20}]
    names = {c["id"]: c["name"] for c in coco["categories"]}
    assert [(names[a["category_id"]], a["bbox"], a["area"]) for a in coco["annotations"]] == [
        ("eye", [4, 3, 6, 5], 30),
        ('a "b", c', [1, 0, 6, 5], 30),
    ]


@each("records", [[], one([])])
def test_no_matches_are_still_valid_text(records):
    assert json.loads(texts(records, "json")) == [
        {
            "image": "photo.png", "page": None, "time": None, "width": 30, "height": 20, "threshold": 0.7,
            "near_misses": [], "matches": [], "missing": [],
        }
    ] * len(records)  # fmt: skip
    assert texts(records, "jsonl") == texts(records, "yolo") == ""
    assert texts(records, "csv") == HEADER + "\n"
    assert json.loads(texts(records, "coco"))["annotations"] == []
    assert json.loads(texts(records, "geojson")) == {"type": "FeatureCollection", "features": []}
    assert len(parsed(texts(records, "junit"))) == len(records)


LABELS = ["save", 'open "all"', "close\nnow", "<script>alert(1)</script>", "a,b;\r\x07\x00é漢"]


def batch():
    """Forty images and five labels: the third label is missing in every image, the fifth in every second one."""
    records = []
    for n in range(40):
        found = [
            Match(Box((10 + k, 20 + n), (5, 6)), 0.9 - k / 10, label, false_alarms=1e-9)
            for k, label in enumerate(LABELS)
            if k != 2 and (k != 4 or n % 2)
        ]
        best = {LABELS[2]: Match(Box((1, 2), (5, 6)), 0.5, LABELS[2], false_alarms=3.0)}
        record = Matches(found, shape=(200, 300), labels=LABELS, best=best)
        records.append(Record(f'shots/{n:02} "x"<&>\n,\x1b.png', page=n % 3, time=n / 4, matches=record))
    return records


def test_many_images_are_200_records_of_csv():
    rows = [*csv.DictReader(io.StringIO(texts(batch(), "csv"), newline=""))]
    assert len(rows) == 200  # each label once in each image, found or not
    assert [(r["image"], int(r["page"]), float(r["time"]), r["label"]) for r in rows] == [
        (b.image, b.page, b.time, label)
        for b in batch()
        for label in [m.label for m in b.matches] + b.matches.missing
    ]
    missing = [row for row in rows if row["found"] == "False"]
    assert len(missing) == 60
    assert not any(row[name] for row in missing for name in ("x", "y", "width", "height", "score", "kind"))
    frame = pytest.importorskip("pandas").read_csv(io.StringIO(texts(batch(), "csv"), newline=""))
    assert frame.groupby("found").size().to_dict() == {False: 60, True: 140}
    assert frame.x.dropna().tolist() == [m.x for b in batch() for m in b.matches]


def test_many_images_are_200_lines_of_json():
    lines = [formats.parse_line(line) for line in texts(batch(), "jsonl").splitlines()]
    assert [(e["image"], e["page"], e["label"]) for e in lines] == [
        (b.image, b.page, label) for b in batch() for label in LABELS
    ]
    assert sum(line["found"] for line in lines) == sum(len(line["matches"]) for line in lines) == 140
    assert {line["label"] for line in lines if line["best"]} == {LABELS[2]}
    assert lines[2]["best"]["score"] == 0.5
    whole = json.loads(texts(batch(), "json"))
    assert [(e["image"], e["page"], e["time"]) for e in whole] == [(b.image, b.page, b.time) for b in batch()]
    assert [e["matches"] for e in whole] == [b.matches.to_dicts() for b in batch()]
    assert [[m["label"] for m in e["missing"]] for e in whole] == [b.matches.missing for b in batch()]
    assert whole[0]["missing"][0]["best"]["false_alarms"] == 3.0
    assert whole[0]["missing"][1]["best"] is None


def test_many_images_have_common_categories_in_coco():
    coco = json.loads(texts(batch(), "coco"))
    assert [c["name"] for c in coco["categories"]] == sorted(LABELS)
    assert [(e["id"], e["file_name"], e["page"]) for e in coco["images"]] == [
        (n, b.image, b.page) for n, b in enumerate(batch(), 1)
    ]
    names = {c["id"]: c["name"] for c in coco["categories"]}
    assert [(a["image_id"], names[a["category_id"]], tuple(a["bbox"])) for a in coco["annotations"]] == [
        (n, m.label, m.box.xywh) for n, b in enumerate(batch(), 1) for m in b.matches
    ]
    assert [a["id"] for a in coco["annotations"]] == [*range(1, 141)]


def test_outlines_are_closed_rings_in_geojson_that_all_turn_the_same_way():
    features = json.loads(texts(batch(), "geojson"))["features"]
    assert [f["properties"]["label"] for f in features] == [m.label for b in batch() for m in b.matches]
    first = features[0]
    assert first["geometry"]["coordinates"] == [[[20, 10], [26, 10], [26, 15], [20, 15], [20, 10]]]
    assert first["properties"]["classification"] == {"name": "save"}
    assert first["properties"]["objectType"] == "annotation"
    tilted = [dataclasses.replace(TURNED, angle=30.0, flip=flip) for flip in (True, False)]
    records = one(tilted)
    for feature, match in zip(json.loads(texts(records, "geojson"))["features"], tilted, strict=True):
        (ring,) = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1]
        assert {(x, y) for x, y in ring} == {(round(x + 0.5, 4), round(y + 0.5, 4)) for y, x in match.corners}
        x, y = np.transpose(ring[:-1])
        assert (x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2 == pytest.approx(2400, rel=1e-3)
    assert texts(records, "geojson", pixel_ratio=2) == texts(records, "geojson")


def test_junit_names_what_is_missing_and_where_it_was_nearest():
    suites = parsed(texts(batch(), "junit"))
    assert (suites.tag, len(suites)) == ("testsuites", 40)
    assert [(s.get("tests"), s.get("failures"), s.get("errors")) for s in suites][:2] == [
        ("5", "2", "0"),
        ("5", "1", "0"),
    ]
    cases = [case for suite in suites for case in suite]
    assert len(cases) == 200
    assert [case.get("name") for case in cases[:5]] == [*LABELS[:4], "a,b;\ré漢"]
    assert {case.get("classname") for case in suites[3]} == {'shots/03 "x"<&>\n,.png[0]'}
    failed = [case.find("failure") for case in cases if len(case)]
    assert len(failed) == 60
    assert (
        failed[0].text
        == "the best position, at x=2, y=1, has score 0.500, with 3 false alarms expected at this score"
    )
    assert failed[0].get("message") == f"not found: {failed[0].text}"
    assert failed[1].text == "the best position is not known"


def test_an_image_that_was_not_searched_is_told_with_its_error():
    records = [Record("a.png", error='cannot read "a.png": <broken>\n'), *one([PLAIN])]
    row, _ = csv.DictReader(io.StringIO(texts(records, "csv"), newline=""))
    assert {name: value for name, value in row.items() if value} == {
        "image": "a.png",
        "error": records[0].error,
    }
    told = {"image": "a.png", "page": None, "time": None, "error": records[0].error}
    assert formats.parse_line(texts(records, "jsonl").splitlines()[0]) == told
    assert json.loads(texts(records, "json"))[0] == told
    assert [e["file_name"] for e in json.loads(texts(records, "coco"))["images"]] == ["photo.png"]
    suite, other = parsed(texts(records, "junit"))
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("1", "0", "1")
    assert suite[0].find("error").text == records[0].error
    assert other.get("errors") == "0"
    named = Record("a.png", matches=Matches(labels=LABELS), error="broken")
    assert len(parsed(texts([named], "junit"))[0].findall("testcase/error")) == 5


@each("line", ['{"image": "a.png", "pa', "", "[]", '{"image": "a.png", "page": 1}'])
def test_a_line_that_is_not_complete_is_refused(line):
    with pytest.raises(ValueError, match=r"^(Expecting|Unterminated|.* is no line of results)"):
        formats.parse_line(line)


def test_a_score_that_is_not_finite_is_null_in_json():
    (told,) = json.loads(texts(one([Match(Box((0, 0), (5, 5)), -np.inf)]), "json", single=True))["matches"]
    assert told["score"] is None


def test_pieces_of_a_file_are_written_as_images_come():
    for form in ("csv", "json", "jsonl", "geojson", "junit"):
        writer = formats.writer_of(form)
        pieces = [writer.begin(), *map(writer.add, batch()[:3]), writer.end()]
        assert "".join(pieces) == texts(batch()[:3], form)
        assert all(len(piece) > 300 for piece in pieces[1:4])


def test_yolo_tells_shares_of_the_image():
    leaving = [Match(Box((-5, 290), (25, 20)), 0.8, "ear"), Match(Box((-9, 0), (9, 9)), 0.7, "out")]
    record = Record(
        "a.png", matches=Matches([PLAIN, *leaving], shape=(200, 300), labels=["eye", "ear", "out"])
    )
    lines = [line.split() for line in texts([record], "yolo", pixel_ratio=2).splitlines()]
    assert [line[0] for line in lines] == ["0", "0"]  # ear, eye, out
    sides = np.array([300, 200, 300, 200])
    assert np.array(lines[0][1:], float) * sides == pytest.approx([7, 5.5, 6, 5], rel=1e-6)
    assert np.array(lines[1][1:], float) * sides == pytest.approx([295, 10, 10, 20], rel=1e-6)


def test_yolo_files_hold_one_image_whose_size_is_known():
    with pytest.raises(
        ValueError, match=r"^a YOLO file \(\.txt\) holds one image, and there are several; write"
    ):
        texts(batch(), "yolo")
    with pytest.raises(
        ValueError, match="`shape` of the matches is (); make them with".replace("()", r"\(\)")
    ):
        texts([Record("a.png", matches=Matches([PLAIN]))], "yolo")


def rois(records, tmp_path, **options):
    roifile = pytest.importorskip("roifile")
    path = tmp_path / "rois.zip"
    path.write_bytes(texts(records, "zip", **options))
    found = roifile.roiread(path)
    return [found] if isinstance(found, roifile.ImagejRoi) else found


def test_regions_of_imagej_are_rectangles_and_polygons(tmp_path):
    tilted = dataclasses.replace(TURNED, angle=30.0)
    far = Match(Box((3, 70000), (5, 6)), 0.7, "far")
    plain, again, turned, away = rois(one([PLAIN, PLAIN, tilted, far]), tmp_path, single=True)
    assert (plain.roitype.name, plain.left, plain.top, plain.right, plain.bottom) == ("RECT", 4, 3, 10, 8)
    assert [r.name for r in (plain, again, turned, away)] == [
        "ear 0.800", "ear 0.800 2", "eye 0.900", "far 0.700",
    ]  # fmt: skip
    assert (turned.roitype.name, plain.position) == ("POLYGON", 0)
    assert turned.coordinates() == pytest.approx(np.array(tilted.corners)[:, ::-1] + 0.5, abs=1e-3)
    assert away.coordinates().tolist() == [[70000, 3], [70006, 3], [70006, 8], [70000, 8]]
    assert plain.position == 0


def test_regions_of_many_images_tell_the_image_and_the_page(tmp_path):
    found = rois(batch(), tmp_path)
    assert [r.position for r in found] == [b.page + 1 for b in batch() for _ in b.matches]
    assert found[0].name == 'shots/00 "x"<&>_,_.png save 0.900'
    with zipfile.ZipFile(tmp_path / "rois.zip") as archive:
        names = archive.namelist()
    assert len(set(names)) == 140
    assert not any(set(name) & set('/\\:*?"<>|\n\x1b') for name in names)
    assert texts(batch(), "zip") == texts(batch(), "zip")


def test_an_archive_without_regions_is_one():
    pytest.importorskip("roifile")
    assert zipfile.ZipFile(io.BytesIO(texts([], "zip"))).namelist() == []


@each(
    "name, form",
    [
        ("a.csv", "csv"), ("A.CSV", "csv"), ("x/a.coco.json", "coco"), ("a.json", "json"), ("a.jsonl", "jsonl"),
        ("a.b.geojson", "geojson"), ("a.txt", "yolo"), ("a.xml", "junit"), ("a.zip", "zip"), ("coco.json", "json"),
    ],
)  # fmt: skip
def test_the_ending_tells_the_format(name, form):
    assert formats.form_of(name) == form


def test_an_unknown_ending_is_refused():
    known = ".csv, .json, .jsonl, .coco.json, .geojson, .txt, .xml, .zip"
    for name, what in [("a.tsv", '".tsv" is not a known format'), ("a", "its name has no ending")]:
        with pytest.raises(
            ValueError, match="^" + re.escape(f'cannot write "{name}": {what}; use one of {known}')
        ):
            formats.form_of(name)


@each("form", ["csv", "coco", "geojson", "yolo", "zip"])
def test_formats_of_x_and_y_refuse_other_numbers_of_axes(form):
    if form == "zip":
        pytest.importorskip("roifile")
    box = Box((1, 2, 3), (4, 5, 3))
    with pytest.raises(ValueError, match=r"axes has no .*channel_axis=-1"):
        texts([Record("a.png", matches=Matches([Match(box, 0.9)], shape=(20, 30)))], form)
