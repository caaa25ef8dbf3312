"""The option --places, and its former name --output, which is read for one more release."""

from collections.abc import Callable
from typing import Any, get_args

from tmatch._arrays.options import Output

_FORMER = "--output"
_FILES = {"locate": "--overlay, --heatmap or --scores", "heatmap": "--out", "filter": "--out"}


def options_of(command: Any) -> list[str]:
    """Return the long options of a command."""
    return [name for parameter in command.params for name in parameter.opts if name.startswith("--")]


def with_places(arguments: list[str], command: str, say: Callable[[str], None]) -> list[str]:
    """Rename --output to --places among the arguments of a command, and say so; refuse it before a file."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    renamed = list(arguments)
    for i, argument in enumerate(arguments[:end]):
        name, equals, value = argument.partition("=")
        if name != _FORMER:
            continue
        value = value if equals else "".join(arguments[i + 1 : i + 2])
        if value not in get_args(Output):
            raise ValueError(_refusal(command, value))
        renamed[i] = f"--places{equals}{value if equals else ''}"
        say(f"note: --output is now --places, and will be gone in the next release; use --places {value}")
    return renamed


def _refusal(command: str, value: str) -> str:
    files = f"name a file with {_FILES[command]}" if command in _FILES else "results go to stdout"
    return f'--output is "{value}"; it is the former name of --places, which is valid, same or full; {files}'
