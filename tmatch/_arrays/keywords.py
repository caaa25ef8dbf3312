"""Answer calls with arguments that a function has not: name the right ones."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
# What options are called elsewhere: their names here, and what to say besides.
_ELSEWHERE = {
    "method": (("metric",), ""),
    "min_score": (("threshold",), ""),
    "score_threshold": (("threshold",), ", or `tmatch.compat.mtm`"),
    "confidence": (("threshold",), ", or `tmatch.compat.pyscreeze`"),
    "rotation": (("angles",), ""),
    "rotations": (("angles",), ""),
    "angle": (("angles",), ""),
    "scale": (("scales",), ""),
    "pad_input": (("output",), ', as in output="same", or `tmatch.compat.skimage`'),
    "mode": (("border", "output"), ""),
    "boundary": (("border",), ""),
    "cval": (("fill_value",), ""),
    "N_object": (("max_count",), ", or `tmatch.compat.mtm`"),
    "maxOverlap": (("max_overlap",), ", or `tmatch.compat.mtm`"),
    "multichannel": (("channel_axis",), ""),
    "mask": (("masks",), ""),
    "masks": (("mask",), ""),
}
_EXAMPLES = ("threshold=0.8", 'metric="ncc"', 'border="reflect"')


def answers_guesses(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function such that calls with unknown arguments are told which there are."""
    parameters = inspect.signature(function).parameters.values()
    positional = [parameter.name for parameter in parameters if parameter.kind in _POSITIONAL]
    options = [parameter.name for parameter in parameters if parameter.kind not in _POSITIONAL]
    known, most = frozenset(options), len(positional)

    @functools.wraps(function)
    def call(*args: P.args, **given: P.kwargs) -> R:
        if len(args) > most or not known.issuperset(given):
            _refuse(function.__qualname__, positional, options, len(args), given)
        return function(*args, **given)

    return call


def _refuse(
    name: str, positional: Sequence[str], options: Sequence[str], count: int, given: Mapping[str, Any]
) -> NoReturn:
    name, arrays = name.removesuffix(".__init__"), [each for each in positional if each != "self"]
    unknown = next((each for each in given if each not in options), None)
    if unknown is None or unknown in arrays:
        example = next(text for text in (*_EXAMPLES, options[0]) if text.split("=")[0] in options)
        given_count = count - (len(positional) - len(arrays))
        found = f"{given_count} are given" if unknown is None else f"`{unknown}` is named"
        msg = f"`{name}` takes {' and '.join(arrays)} without names, and {found}; name all others, as in {example}"
    else:
        msg = f"`{name}` has no option `{unknown}`{_remedy(unknown, options)}; its options are {', '.join(options)}"
    raise TypeError(msg)


def _remedy(unknown: str, options: Sequence[str]) -> str:
    """Name the option that was meant."""
    import difflib  # noqa: PLC0415

    names, besides = _ELSEWHERE.get(unknown, ((), ""))
    here = [f"`{name}`" for name in names if name in options]
    near = difflib.get_close_matches(unknown, options, n=1)
    if here:
        return f" (use {' or '.join(here)}{besides})"
    if near and not besides:
        return f" (did you mean `{near[0]}`?)"
    return f" (use `{names[-1]}` of `tmatch.locate`{besides})" if names else ""
