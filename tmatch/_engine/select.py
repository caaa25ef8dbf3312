"""Choose the engine: NumPy and SciPy, always available, or compiled code, if numba is installed.

This is the only module that chooses.
"""

import contextlib
import logging
import math
import os
from dataclasses import replace

from tmatch._arrays.typing import Shape
from tmatch._engine import execution
from tmatch._engine.execution import Execution
from tmatch._engine.interface import Engine

ENGINES = ("auto", "numpy", "numba")
_MAX_COMPILED_CHANNELS = 4  # loops over channels are compiled for each number of channels

_log = logging.getLogger("tmatch.engine")
_work_done = 0.0
_compiled: Engine | None = None


def choose(work: float = 0.0, shape: Shape | None = None, channels: int = 1) -> Engine:
    """Return the engine for some work (passes times points).

    The compiled engine is loaded once the process has done about as much work without it as loading costs, so that
    short commands do not pay for it. TMATCH_ENGINE=numpy or numba in the environment overrides this. A `shape` means
    that the work is on tiles of an image of that shape; compiled code supports only two dimensions, and neither very
    thin images nor many channels.
    """
    requested = _requested_engine()
    if requested != "numpy" and _is_compiled_for(shape, channels):
        return _load(work, required=requested == "numba") or reference()
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
    """Return the NumPy engine, which supports all operations in any dimension."""
    from tmatch._engine.numpy import engine  # noqa: PLC0415

    return engine


def _requested_engine() -> str:
    requested = execution.current().engine or os.environ.get("TMATCH_ENGINE") or "auto"
    if requested not in ENGINES:
        msg = f"the environment's TMATCH_ENGINE is {requested!r}; it must be one of {', '.join(ENGINES)}"
        raise ValueError(msg)
    return requested


def current() -> str:
    """Return the name of the engine that is used from now on, where it supports the work."""
    return "numpy" if choose() is reference() else "numba"


def policy() -> Execution:
    """Return the current policy with the engine that is used from now on, for tasks that may be done elsewhere."""
    return replace(execution.current(), engine=current())


def requested_policy() -> Execution:
    """Return the current policy with the engine that is requested, for processes that choose as this one does."""
    return replace(execution.current(), engine=_requested_engine())


def settled(name: str) -> contextlib.AbstractContextManager[None]:
    """Use one engine within a context, in this thread: the one that all parts of some work are done by."""
    return execution.settled(replace(execution.current(), engine=name))


def load() -> bool:
    """Load the compiled engine at once, unless NumPy's is requested; return whether it is used from now on."""
    requested = _requested_engine()
    return requested != "numpy" and _load(math.inf, required=requested == "numba") is not None


def _load(work: float, *, required: bool) -> Engine | None:
    """Load the compiled engine if it is required, or if the work done so far justifies it.

    Where code cannot be kept, each process compiles it, and more work is needed to justify that.
    """
    global _work_done, _compiled  # noqa: PLW0603
    if _compiled is None and (required or _work_done < math.inf):
        _work_done += work
        limits = execution.current()
        if required or _work_done > limits.loading_work:
            try:
                from tmatch._engine.numba import cache, engine  # noqa: PLC0415
            except ImportError as error:
                _work_done = math.inf  # not tried again
                _log.debug("numba cannot be loaded: %s", error)
                if required:
                    msg = f"TMATCH_ENGINE is numba, which cannot be loaded ({error}); try pip install 'tmatch[fast]'"
                    raise ImportError(msg) from error
            else:
                if required or cache.folder() or _work_done > limits.compiling_work:
                    if _compiled is None:  # no other thread was faster
                        why = "it is asked for" if required else "enough work was done without it"
                        _log.debug("numba is loaded, as %s", why)
                    _compiled = engine
    return _compiled


def explain(shape: Shape, channels: int) -> str:
    """Say which engine works on an image from now on, and why it is not compiled code."""
    if _requested_engine() == "numpy":
        return "NumPy, as asked for"
    if not _is_compiled_for(shape, channels):
        return "NumPy, as numba is not for images of this shape"
    if _compiled is None:
        why = "cannot be loaded" if _work_done == math.inf else "is loaded after more work"
        return f"NumPy, as numba {why}"
    return "numba"


def describe_code() -> str:
    """Describe what compiled code this process has used, once the compiled engine is loaded."""
    from tmatch._engine.numba import cache  # noqa: PLC0415

    compiled, loaded = cache.counts()
    where = "not kept" if cache.folder() is None else f"kept in {cache.folder()}"
    return f"{compiled} functions compiled, {loaded} loaded; {where}"


def describe() -> str:
    """Describe which engine is used, and why."""
    import importlib.metadata  # noqa: PLC0415

    requested = _requested_engine()
    try:
        version = importlib.metadata.version("numba")
    except importlib.metadata.PackageNotFoundError:
        return (
            "NumPy and SciPy; small kernels and score maps are faster with numba: pip install 'tmatch[fast]'"
        )
    if requested == "numpy":
        return f"NumPy and SciPy, because TMATCH_ENGINE is numpy; numba {version} is installed"
    when = "from the start" if requested == "numba" else "once there is enough work to pay for loading it"
    return f"NumPy and SciPy, and numba {version} {when}"
