"""What the library says in the words of Python, in those of the command line."""

import os
import re
from collections.abc import Iterable

_ARGUMENTS = {
    "image": "IMAGE",
    "images": "IMAGE",
    "template": "TEMPLATE",
    "explain": "`tmatch explain`",
    "dtypes": "DTYPE",
}
_OPTIONS = {"output": "--places", "box": "--at", "rng": "--seed"}  # of other names than the library's
_POSITION = r"\((-?\d+), (-?\d+)\)"
_SENTENCES = (
    (re.compile(r"(?<!block) at \[(\d+), (\d+)\]"), r" at x=\2, y=\1"),
    (re.compile(rf"best position, {_POSITION},"), r"best position, x=\2, y=\1,"),
    (
        re.compile(
            rf"`box` goes from {_POSITION} to {_POSITION}, which is not all inside `image` {_POSITION}"
        ),
        r"the box at --at goes from x=\2, y=\1 to x=\4, y=\3, which is not all inside IMAGE of \6 x \5 pixels",
    ),
    (re.compile(r"`scales` is \(([^,]+), ([^)]+)\)"), r"`scales` is \1:\2"),
    (re.compile(r"`scales` is \[([^\]]+)\]"), r"`scales` is \1"),
    (re.compile(rf" of shape {_POSITION};"), r" of \2 x \1 pixels;"),
    (re.compile(r", or None for no limit"), "; leave it out for no limit"),
    (re.compile(r", for instance with np\.nan_to_num"), ""),
    (re.compile(r"make one with `to_range`"), "save the image with 8 bits"),
    (
        re.compile(r'choose pages "all", or some as "2-5", to read them'),
        "--pages all reads them, or some as 2-5",
    ),
    (re.compile(r"output \"(\w+)\""), r"--places \1"),
)
_MISSING = ', or let NaN count as missing with missing="ignore"'


def in_options(text: str, options: Iterable[str]) -> str:
    """Name the options of a command, such as --max-count, and x and y, where a text names arguments and indices."""
    known = {option.removeprefix("--").replace("-", "_"): option for option in options}
    known |= {name: option for name, option in _OPTIONS.items() if option in known.values()}
    ignored = ", let NaN count as missing with --missing ignore" if "missing" in known else ""
    masked = ", or name an --image-mask that is black there" if "image_mask" in known else ""
    text = text.replace(_MISSING, ignored + masked)
    for pattern, words in _SENTENCES:
        text = pattern.sub(words, text)
    named = known | _ARGUMENTS
    text = re.sub(r"`(\w+)`", lambda found: named.get(found[1], found[0]), text)
    # What is quoted is the name of a file or a label.
    return re.sub(r'"[^"]*"|(?<![\w-])[a-z]+_[a-z]+(?!\w)', lambda found: known.get(found[0], found[0]), text)


def describe_error(error: Exception, options: Iterable[str]) -> str:
    """Write what went wrong in one line, in the words of a command with these options."""
    return in_options(_describe(error), options)


def _describe(error: Exception) -> str:
    """Return what went wrong, in one line."""
    if isinstance(error, MemoryError):
        return "not enough memory; crop or shrink the image"
    if isinstance(error, OSError) and error.errno is not None and error.filename is None:
        return f"cannot write to stdout: {os.strerror(error.errno).lower()}"  # what concerns files says so
    return " ".join(str(error).split()) or type(error).__name__
