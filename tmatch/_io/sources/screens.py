"""The screen."""

import contextlib
import functools
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._io.extras import require
from tmatch._io.images import Pixels, reason_of
from tmatch._io.sources.source import Source

PREFIX = "screen:"


class ScreenImage:
    """All screens as one image ("screen:"), or one of them ("screen:1" is the first), as it is when it is read."""

    count: int | None = 1

    def __init__(self, name: str) -> None:
        number = name.removeprefix(PREFIX)
        if not re.fullmatch("([1-9][0-9]{0,3})?", number):
            msg = f'"{name}" is no screen; "{PREFIX}" is all of them, "{PREFIX}1" the first'
            raise ValueError(msg)
        self.name, self._number = name, int(number or 0)
        with _connected(name) as screens:
            count = len(screens.monitors) - 1
        if self._number > count:
            msg = (
                f'"{name}" is not there; the last screen is "{PREFIX}{count}", and "{PREFIX}" is all of them'
            )
            raise ValueError(msg)

    def __iter__(self) -> Iterator[Source]:
        yield Source(self.name, functools.partial(_grab, self.name, self._number))

    def counted(self) -> int:
        """Return that it is one image."""
        return 1


def _grab(name: str, number: int, _: object) -> Pixels:
    return Pixels.whole(np.ascontiguousarray(capture(name, number)[..., 2::-1]))


def capture(name: str, number: int) -> Array:
    """Capture all screens (0), or one of them, in blue, green, red and alpha."""
    with _connected(name) as screens:
        return np.asarray(screens.grab(screens.monitors[number]))  # the first of the list is all of them


@contextlib.contextmanager
def _connected(name: str) -> Iterator[Any]:
    """Connect to the screens, each time anew: a connection belongs to a thread."""
    require("screen", f'"{name}" is')
    import mss  # noqa: PLC0415

    try:
        with mss.MSS() as screens:
            yield screens
    except mss.ScreenShotError as error:
        msg = f'cannot read "{name}": there is no screen that can be seen ({reason_of(error)})'
        raise OSError(msg) from error
