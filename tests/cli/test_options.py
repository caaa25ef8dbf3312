import re

import pytest
import typer
from typer.testing import CliRunner

from loops import each
from tmatch.cli import options, parsing

pytestmark = pytest.mark.engine_free


@each(
    "text, angles",
    [
        (None, None),
        ("all", "all"),
        ("-30:30", (-30, 30)),
        ("170:190", (170, 190)),
        ("350:10", (350, 10)),  # whether it may wrap is for the library to say
        ("0,90,180,270", [0, 90, 180, 270]),
        ("-12.5", [-12.5]),
        (" 1e1 , -2 ", [10, -2]),
    ],
)
def test_angles_are_all_a_range_or_a_list(text, angles):
    read = parsing.read_angles(text)
    assert (read, type(read)) == (angles, type(angles))


@each(
    "text, scales",
    [(None, None), ("0.8:1.25", (0.8, 1.25)), ("1:1", (1, 1)), ("2", [2]), ("2, .5,1", [2, 0.5, 1])],
)
def test_scales_are_a_range_or_a_list(text, scales):
    read = parsing.read_scales(text)
    assert (read, type(read)) == (scales, type(scales))


BAD = [
    "",
    " ",
    "some",
    "ALL",
    ":",
    "3:",
    ":3",
    "1:2:3",
    "1,,2",
    "1,2,",
    "1;2",
    "1:2,3",
    "nan",
    "0:inf",
    "-inf,0",
    "90°",
]


@each("text", BAD)
def test_angles_that_are_none_are_refused(text):
    sentence = (
        f'--angles is "{text}"; it must be all, a range of degrees with a colon, as in -30:30, or degrees with commas, '
        "as in 0,90,180,270"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        parsing.read_angles(text)


@each("text", [*BAD, "all", "0", "1,0", "-1:2", "0:2", "1.25:0.8"])
def test_scales_that_are_none_are_refused(text):
    sentence = (
        f'--scales is "{text}"; it must be a range of factors above 0 with a colon, the smaller first, as in 0.8:1.25, '
        "or factors with commas, as in 0.5,1,2"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        parsing.read_scales(text)


app = typer.Typer()


@app.command()
def show(
    angles: options.AnglesText = None,
    scales: options.ScalesText = None,
    flips: options.Flips = False,
    search: options.PoseSearch = "auto",
    subpixel: options.Subpixel = False,
) -> None:
    print(angles, scales, flips, search, subpixel)


@each(
    "arguments, shown",
    [
        ([], "None None False auto False"),
        (["--angles=-30:30"], "-30:30 None False auto False"),
        (["--angles", "-30:30"], "-30:30 None False auto False"),
        (["--angles", "-90,0,90", "--flips"], "-90,0,90 None True auto False"),
        (["--scales", "0.5,1", "--search", "certified", "--subpixel"], "None 0.5,1 False certified True"),
    ],
)
def test_options_of_poses_take_what_is_typed(arguments, shown):
    assert CliRunner().invoke(app, arguments).stdout.strip() == shown


def test_poses_have_a_heading_of_their_own_in_the_help():
    told = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout
    (panel,) = re.findall(r"─ Poses: rotation, size, mirroring ─.*?╰", told, re.DOTALL)
    assert all(name in panel for name in ("--angles", "--scales", "--flips", "--search", "--subpixel"))
