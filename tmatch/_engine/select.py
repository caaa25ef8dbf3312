"""Choose the engine: NumPy and SciPy, always there, or compiled code, where numba is installed.

This is the only place that decides.
"""

import importlib.metadata
import math
import os

from tmatch._arrays.typing import Shape
from tmatch._engine import execution
from tmatch._engine.interface import Engine

ENGINES = ("auto", "numpy", "numba")
_MAX_COMPILED_CHANNELS = 4  # loops over channels are compiled anew for each number of them

_work_seen = 0.0
_compiled: Engine | None = None


def choose(work: float = 0.0, shape: Shape | None = None, channels: int = 1) -> Engine:
    """Return the engine for some work (passes times points).

    The compiled engine is loaded once the process has done as much work without it as loading costs, so that a short
    command never pays for it. TMATCH_ENGINE=numpy or numba in the environment overrules that. With a `shape`, the work
    is on tiles of such an image, which compiled code does only in two dimensions, and not of very thin images or many
    channels.
    """
    wanted = _wanted()
    if wanted != "numpy" and _is_compiled_for(shape, channels):
        return _load(work, required=wanted == "numba") or reference()
    return reference()


def _is_compiled_for(shape: Shape | None, channels: int) -> bool:
    if shape is None:
        return True
    return (
        len(shape) == 2
        and min(shape) >= execution.current().min_compiled_side
        and channels <= _MAX_COMPILED_CHANNELS
    )


def reference() -> Engine:
    """Return the NumPy engine, which has all operations in any dimension."""
    from tmatch._engine.numpy import engine  # noqa: PLC0415

    return engine


def _wanted() -> str:
    wanted = execution.current().engine or os.environ.get("TMATCH_ENGINE") or "auto"
    if wanted not in ENGINES:
        msg = f"the environment's TMATCH_ENGINE is {wanted!r}; it must be one of {', '.join(ENGINES)}"
        raise ValueError(msg)
    return wanted


def _load(work: float, *, required: bool) -> Engine | None:
    """Load the compiled engine if it is required, or if the work seen so far pays for it."""
    global _work_seen, _compiled  # noqa: PLW0603
    if _compiled is None and (required or _work_seen < math.inf):
        _work_seen += work
        if required or _work_seen > execution.current().loading_work:
            try:
                from tmatch._engine.numba import engine  # noqa: PLC0415
            except ImportError as error:
                _work_seen = math.inf  # do not try again
                if required:
                    msg = f"TMATCH_ENGINE is numba, which cannot be loaded ({error}); try pip install 'tmatch[fast]'"
                    raise ImportError(msg) from error
            else:
                _compiled = engine
    return _compiled


def describe() -> str:
    """Say which engine is used, and why."""
    wanted = os.environ.get("TMATCH_ENGINE") or "auto"
    try:
        version = importlib.metadata.version("numba")
    except importlib.metadata.PackageNotFoundError:
        return (
            "NumPy and SciPy; small kernels and score maps are faster with numba: pip install 'tmatch[fast]'"
        )
    if wanted == "numpy":
        return f"NumPy and SciPy, because TMATCH_ENGINE is numpy; numba {version} is there"
    when = "from the start" if wanted == "numba" else "once there is work enough to pay for loading it"
    return f"NumPy and SciPy, and numba {version} {when}"
