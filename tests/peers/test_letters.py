import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import tmatch
from tmatch import Box, Match

LETTERS = Path(__file__).parents[2] / "datasets" / "letters"

_READ = {"false_alarms": 10, "prefilter": "none"}  # on a page of 279 glyphs, for 25 templates


def confusion(truth, matches):
    """Count what each true glyph is read as: {true label: Counter of read labels, or "none"}.

    `truth` holds a label and a box for each glyph. A glyph is read by the best match that covers it,
    with an intersection over union of at least 0.5.
    """
    best_first = sorted(matches, key=lambda match: -match.score)
    matrix = {label: Counter() for label, _ in truth}
    for label, box in truth:
        read = (match.label for match in best_first if tmatch.iou(box, match.box) >= 0.5)
        matrix[label][next(read, "none")] += 1
    return matrix


@pytest.fixture(scope="module")
def truth():
    glyphs = json.loads((LETTERS / "page.json").read_text())["glyphs"]
    return [(g["label"], Box((g["y"], g["x"]), (g["height"], g["width"]))) for g in glyphs]


@pytest.fixture(scope="module")
def templates(picture):
    names = sorted(path.stem for path in (LETTERS / "glyphs").glob("*.png"))
    return {name: picture(f"letters/glyphs/{name}.png") for name in names}


@pytest.fixture(scope="module")
def matches(picture, templates, engine):  # noqa: ARG001 - made anew for each
    return tmatch.locate(picture("letters/image.png"), templates, **_READ)


# --- the matrix, by hand --------------------------------------------------------------------------


@pytest.mark.engine_free
def test_confusion_counts_what_each_glyph_is_read_as():
    here, there = Box((0, 0), (4, 4)), Box((0, 9), (4, 4))
    truth = [("O", here), ("O", there), ("I", Box((9, 0), (4, 2)))]
    matches = [
        Match(Box((0, 1), (4, 4)), 0.7, "Q"),  # iou 0.6, but there is a better one
        Match(here, 0.9, "O"),
        Match(Box((2, 9), (4, 4)), 0.8, "O"),  # iou 1/3: does not cover
        Match(Box((9, 0), (4, 4)), 0.6, "l"),  # iou 1/2: just covers
    ]
    assert confusion(truth, matches) == {"O": {"O": 1, "none": 1}, "I": {"l": 1}}


# --- planted truth --------------------------------------------------------------------------------


def test_the_page_is_read(truth, templates, matches):
    matrix = {label: reads for label, reads in confusion(truth, matches).items() if label in templates}
    right = sum(reads[label] for label, reads in matrix.items())
    wrong = {
        (label, read): n for label, reads in matrix.items() for read, n in reads.items() if read != label
    }
    assert right >= 0.95 * sum(reads.total() for reads in matrix.values()), wrong


def test_glyphs_that_are_not_on_the_page_are_not_read(truth, templates, matches):
    absent = templates.keys() - {label for label, _ in truth}
    assert absent == {"upper_G", "upper_R", "lower_u", "digit_6"}
    assert len([match for match in matches if match.label in absent]) <= 1


# --- what the source promises ---------------------------------------------------------------------


@pytest.mark.engine_free
def test_true_boxes_have_the_size_of_their_template_and_lie_inside(picture, truth, templates):
    page = picture("letters/image.png")
    assert len(truth) == 279
    assert sum(label in templates for label, _ in truth) == 248
    for label, box in truth:
        assert label not in templates or box.shape == templates[label].shape
        assert min(box.start) >= 0
        assert np.all(np.less_equal(box.stop, page.shape))


@pytest.mark.engine_free
def test_templates_are_cut_with_a_margin_of_two_pixels(templates):
    for template in templates.values():
        rows, columns = np.nonzero(template != 226)
        assert (rows.min(), columns.min()) == (2, 2)
        assert (rows.max() + 3, columns.max() + 3) == template.shape
