"""What a wrong use of the command line may have meant: names that are nearly right, and those of other programs."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tmatch.cli.parsing import names_of_options, options_of

_COMMANDS = {
    "locate": "find match search detect grep template matchtemplate",
    "heatmap": "score scores scoremap map plot show",
    "explain": "why debug reason",
    "inspect": "check quality assess template-quality",
    "robustness": "robust stress distort noise",
    "filter": "convolve correlate convolution correlation conv blur sharpen edges smooth",
    "kernels": "list list-kernels",
    "info": "about versions env doctor",
    "warm-up": "compile warmup precompile",
    "--help": "help usage man",
    "--version": "version",
}
# What other programs call them; of several that a command may have, the first is suggested.
_OPTIONS = {
    "--threshold": "confidence score min-score similarity min-similarity precision accuracy minimum",
    "--false-alarms": "nfa fpr false-positives significance",
    "--max-count": "limit top n max count max-results max-matches best n-objects",
    "--max-overlap": "nms iou nms-threshold overlap",
    "--metric": "method measure",
    "--gray": "grey grayscale greyscale mono",
    "--region": "roi crop bbox area rect",
    "--angles": "angle rotation rotations rotate rotated",
    "--scales": "scale size sizes resize scaled zoom",
    "--flips": "flip mirror mirrored",
    "--jobs": "j workers threads processes parallel n-jobs",
    "--resume": "continue",
    "--require": "expect assert fail fail-if",
    "--report": "html",
    "--out": "output save outfile out-file write file export csv",
    "--plot": "output out o save outfile figure draw show",
    "--overlay": "draw show plot figure annotate visualize vis boxes",
    "--format": "f json csv type output-format",
    "--places": "mode",
    "--border": "padding pad mode boundary",
    "--op": "operation",
    "--kernel": "filter",
    "--at": "position xy point",
    "--trials": "repeats repetitions n iterations runs",
    "--seed": "rng random-state",
}
_STREAMS = {
    "q quiet silent": "messages go to stderr, and 2>/dev/null leaves them out",
    "o out output save file": "results go to stdout, and > FILE writes them",
}


# What typer says, in our words.
_WORDS = {
    "Missing command": "no command is given",
    "Input should be a valid number, unable to parse string as a number": "it must be a number, as in 0.5",
    "Input should be a valid integer, unable to parse string as an integer": "it must be a whole number, as in 5",
}


def no_command(word: str, names: Collection[str]) -> str:
    """Say that there is no command of a name, and which one it may be."""
    there_is_none = f'there is no command "{word}"'
    suggested = _by_other_name(word, _COMMANDS, {*names, "--help", "--version"}) or _nearest(word, names)
    if suggested:
        return f"{there_is_none}; did you mean tmatch {suggested}?"
    if Path(word).exists() or Path(word).suffix:
        return f"{there_is_none}; name one before the files, as in tmatch locate image.png template.png"
    return f"{there_is_none}; tmatch --help lists all"


def bad_usage(error: Any) -> str:
    """Say in a sentence what is wrong with the use of a command, and how to mend it."""
    ctx = getattr(error, "ctx", None)
    if hasattr(error, "possibilities"):
        return _no_option(error.option_name, ctx)
    message = " ".join(error.format_message().split()).removesuffix(".").replace("Value error, ", "")
    for words, ours in _WORDS.items():
        message = message.replace(words, ours)
    return f"{message}; see {'tmatch' if ctx is None else ctx.command_path} --help"


def _no_option(name: str, ctx: Any) -> str:
    """Say that a command has no option of a name, and which one it may be."""
    command, parent = ctx.command, ctx.parent
    there_is_none = f"{ctx.command_path} has no option {name}"
    if parent is not None and name in names_of_options(parent.command):
        is_alone = name in ("-V", "--version") or name.endswith("-completion")
        example = f"tmatch {name}" if is_alone else f"tmatch {name} {command.name}"
        return f"{there_is_none}; it stands before the command, as in {example}"
    others = getattr(command, "commands", {}).values()
    owners = [each.name for each in others if name in names_of_options(each)]
    if owners:
        return f"{there_is_none}; it stands after the command, as in tmatch {owners[0]} {name}"
    word = name.lstrip("-")
    names = options_of(command)
    advice = [text for words, text in _STREAMS.items() if word in words.split()]
    suggested = _by_other_name(word, _OPTIONS, names) or (None if advice else _nearest(word, names))
    if suggested:
        return f"{there_is_none}; did you mean {suggested}?"
    return f"{there_is_none}; {advice[0] if advice else f'{ctx.command_path} --help lists all'}"


def _by_other_name(word: str, known: Mapping[str, str], names: Collection[str]) -> str | None:
    """Return the one of some names that is known by a word in other programs."""
    word = word.lower().replace("_", "-")
    return next((name for name, words in known.items() if name in names and word in words.split()), None)


def _nearest(word: str, names: Collection[str]) -> str | None:
    """Return the name that a word resembles most, if any."""
    bare = {name.lstrip("-"): name for name in names}
    return next((bare[each] for each in get_close_matches(word.lower(), bare, n=1)), None)
