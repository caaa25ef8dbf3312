"""The help: its look, which is stored in help.txt (`python tests/refresh_docs.py`), and that its examples run."""

import re
import shlex
from collections import Counter
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

import tmatch
from help_pages import GROUP, PAGES, STORED, all_pages, printed, run
from loops import each
from tmatch.cli import options, parsing, suggestions
from tmatch.cli.help import command_panels, panels, paragraphs

pytestmark = pytest.mark.engine_free
ROOT = Path(__file__).parents[2]
WIDTHS = (40, 60, 80, 120)
COMMANDS = {"": GROUP, **GROUP.commands}


def context(name):
    top = GROUP.context_class(GROUP, info_name="tmatch")
    return top.__class__(COMMANDS[name], info_name=name, parent=top) if name else top


def rows(name):
    """Return what the help of a command tells of others, of arguments and of options."""
    told = [command_panels(COMMANDS[name]), panels(COMMANDS[name], context(name))]
    return [row for part in told for rows in part.values() for row in rows]


def examples(text):
    return [each.text for each in paragraphs(text) if each.is_command]


def examples_printed(page, width):
    """Return the commands that a page shows, without the breaks of lines."""
    text = printed(PAGES[page], width).replace(" \\\n     ", "")
    return re.findall(r"^  (tmatch .*)$", text, re.MULTILINE)


def pasted(lines):
    return [shlex.split(line) for line in lines]


# --- the look -----------------------------------------------------------------------------------------


def test_help_of_all_commands_is_as_stored():
    assert all_pages() == STORED.read_text()


@each("page, width", [(page, width) for page in PAGES for width in WIDTHS])
def test_no_line_is_wider_than_the_terminal_or_than_100_columns(page, width):
    lines = printed(PAGES[page], width).splitlines()
    assert max(map(len, lines)) <= min(width, 100)
    assert all(line == line.rstrip() for line in lines)


@each("name, width", [(name, width) for name in COMMANDS for width in WIDTHS[1:]])
def test_no_word_is_broken_and_none_is_lost(name, width):
    words = Counter(re.sub("[│╭╮╰╯─]", " ", printed([*filter(None, [name]), "--help"], width)).split())
    command = COMMANDS[name]
    texts = [command.help, command.epilog, *(" ".join(row) for row in rows(name))]
    assert Counter(" ".join(texts).split()) - words == Counter()


@each("page, width", [(page, width) for page in PAGES for width in WIDTHS])
def test_examples_can_be_pasted_at_any_width(page, width):
    assert pasted(examples_printed(page, width)) == pasted(examples_printed(page, 100))
    assert examples_printed(page, width)


def test_help_in_a_pipe_has_no_colours():
    for page in PAGES.values():
        assert "\x1b" not in run(*page).stdout


# --- what it tells ------------------------------------------------------------------------------------

PARAMETERS = [(name, each) for name, command in GROUP.commands.items() for each in command.params]


def choices(name, parameter):
    kind = get_type_hints(GROUP.commands[name].callback)[parameter.name]
    return [
        word for each in (kind, *get_args(kind)) if get_origin(each) is Literal for word in get_args(each)
    ]


@each("name, parameter", PARAMETERS)
def test_every_value_has_a_short_name_and_every_choice_is_told(name, parameter):
    if not getattr(parameter, "is_flag", False):
        of_options, of_arguments = r"[A-Z,]{1,8}", r"[A-Z]+( [A-Z]+)?(\.\.\.)?"
        expected = of_options if parameter.param_type_name == "option" else of_arguments
        assert re.fullmatch(expected, parameter.metavar)
    for choice in choices(name, parameter):
        assert re.search(rf"\b{choice}\b", parameter.help)


@each("name, parameter", PARAMETERS)
def test_defaults_are_told(name, parameter):
    told = panels(GROUP.commands[name], context(name))
    row = next(row for rows in told.values() for row in rows if parameter.help == row.text)
    if parameter.required and parameter.param_type_name == "option":
        assert row.note == "Required."
    elif parameter.default not in (None, False):
        default = row.note.removeprefix("Default: ").removesuffix(".")
        assert type(parameter.default)(default) == parameter.default


def test_what_several_commands_share_is_in_one_panel():
    homes = {}
    for _, parameter in PARAMETERS:
        assert parameter.rich_help_panel in options.PANELS
        for name in parameter.opts:
            homes.setdefault(name, set()).add(parameter.rich_help_panel)
    shared = {name: panels for name, panels in homes.items() if name.startswith("-")}
    assert {name: panels for name, panels in shared.items() if len(panels) > 1} == {}


def test_commands_are_in_the_order_of_use():
    assert list(command_panels(GROUP)) == ["Find", "Judge a template", "Filter images", "Installation"]
    assert next(iter(GROUP.commands)) == "locate"


# --- examples -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", *(name for name in GROUP.commands if name != "warm-up")])
def test_examples_of_the_help_run(name, tmp_path, monkeypatch):
    (tmp_path / "datasets").symlink_to(ROOT / "datasets")
    monkeypatch.chdir(tmp_path)
    shown = examples(COMMANDS[name].epilog) + ([] if name else examples_printed("tmatch", 100))
    assert shown
    for line in shown:
        result = run(*shlex.split(line)[1:])
        assert (result.exit_code, "error" in result.stderr) == (0, False), line
        for file in re.findall(r"(?:-o|--overlay|--plot) (\S+)", line):
            assert Path(file).exists()


def test_no_arguments_show_three_examples_and_are_no_success():
    result = run()
    assert result.exit_code == 2
    assert len(examples_printed("tmatch", 80)) == 3
    assert "tmatch --help" in result.stdout


# --- what may have been meant -------------------------------------------------------------------------


@each(
    "arguments, told",
    [
        ("find", 'there is no command "find"; did you mean tmatch locate?'),
        ("match a b", 'there is no command "match"; did you mean tmatch locate?'),
        ("search --help", 'there is no command "search"; did you mean tmatch locate?'),
        ("detect", 'there is no command "detect"; did you mean tmatch locate?'),
        ("Locate", 'there is no command "Locate"; did you mean tmatch locate?'),
        ("loacte", 'there is no command "loacte"; did you mean tmatch locate?'),
        ("convolve", 'there is no command "convolve"; did you mean tmatch filter?'),
        ("blur", 'there is no command "blur"; did you mean tmatch filter?'),
        ("warmup", 'there is no command "warmup"; did you mean tmatch warm-up?'),
        ("version", 'there is no command "version"; did you mean tmatch --version?'),
        ("help", 'there is no command "help"; did you mean tmatch --help?'),
        ("xyzzy", 'there is no command "xyzzy"; tmatch --help lists all'),
        (
            "photo.png eye.png",
            'there is no command "photo.png"; name one before the files, as in tmatch locate image.png template.png',
        ),
        (
            "locate a b --confidence 0.8",
            "tmatch locate has no option --confidence; did you mean --threshold?",
        ),
        ("locate a b --treshold 0.8", "tmatch locate has no option --treshold; did you mean --threshold?"),
        ("locate a b --max_count 3", "tmatch locate has no option --max_count; did you mean --max-count?"),
        ("locate a b --rotation 3", "tmatch locate has no option --rotation; did you mean --angles?"),
        ("locate a b --save x.csv", "tmatch locate has no option --save; did you mean --out?"),
        ("inspect a --json", "tmatch inspect has no option --json; did you mean --format?"),
        ("inspect a -o x.png", "tmatch inspect has no option -o; did you mean --plot?"),
        ("explain a b -o x", "tmatch explain has no option -o; results go to stdout, and > FILE writes them"),
        (
            "locate a b --quiet",
            "tmatch locate has no option --quiet; messages go to stderr, and 2>/dev/null leaves them out",
        ),
        (
            "locate a b --debug",
            "tmatch locate has no option --debug; it stands before the command, as in tmatch --debug locate",
        ),
        (
            "locate a b -v",
            "tmatch locate has no option -v; it stands before the command, as in tmatch -v locate",
        ),
        (
            "--threshold 0.8 locate a b",
            "tmatch has no option --threshold; it stands after the command, as in tmatch locate --threshold",
        ),
        ("locate a -V", "tmatch locate has no option -V; it stands before the command, as in tmatch -V"),
        ("locate a b -threshold 0.5", "-threshold begins with one dash; did you mean --threshold?"),
        ("locate a b -o=x.csv", "-o=x.csv has a = after a short name; write -o x.csv"),
        (
            "locate a b --threshold 0,5",
            "Invalid value for '--threshold': it must be a number, as in 0.5; see tmatch locate --help",
        ),
        (
            "locate a b --max-count 1.5",
            "Invalid value for '--max-count': it must be a whole number, as in 5; see tmatch locate --help",
        ),
        ("-v", "no command is given; see tmatch --help"),
        ("locate a -", 'a template is "-", which is stdin; only images are read from there, so name a file'),
        ("locate a b --xyzzy", "tmatch locate has no option --xyzzy; tmatch locate --help lists all"),
        ("--xyzzy", "tmatch has no option --xyzzy; tmatch --help lists all"),
        ("filter a", "Missing option '-o' / '--out'; see tmatch filter --help"),
        (
            "filter a -o b.png --op blur",
            "Invalid value for '--op': 'blur' is not one of 'convolve', 'correlate'; see tmatch filter --help",
        ),
    ],
)
def test_a_wrong_use_is_told_in_a_sentence_with_what_may_be_meant(arguments, told):
    result = run(*arguments.split())
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"error: {told}\n")


def test_what_is_suggested_exists():
    known = {name for each in COMMANDS.values() for name in parsing.names_of_options(each)}
    assert set(suggestions._OPTIONS) <= known
    assert set(suggestions._COMMANDS) <= {*GROUP.commands, *known, "--help"}


@each("option", ["-V", "--version"])
def test_version_has_a_short_name(option):
    assert run(option).stdout == f"tmatch {tmatch.__version__}\n"


# --- completion ---------------------------------------------------------------------------------------


@each(
    "words, expected",
    [
        ("tmatch loc", ["locate"]),
        ("tmatch locate --thr", ["--threshold"]),
        ("tmatch filter a --op co", ["convolve", "correlate"]),
    ],
)
def test_shells_complete_commands_options_and_choices(words, expected):
    result = run(_TMATCH_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=f"{len(words.split()) - 1}")
    assert result.stdout.split() == expected
