"""Choose the engine: NumPy and SciPy, always there, or compiled code, where numba is installed."""

import importlib.metadata
import math
import os
from types import ModuleType

ENGINES = ("auto", "numpy", "numba")
_LOADING_WORK = 2e9  # passes over points that NumPy does in the half second that loading takes, measured
_work_seen = 0.0
_compiled: ModuleType | None = None


def compiled(work: float) -> ModuleType | None:
    """Give the compiled engine, or None for NumPy's.

    It is loaded once the process has done as much `work` (passes times points) without it as loading costs, so that
    a short command never pays for it. TMATCH_ENGINE=numpy or numba in the environment overrules that.
    """
    global _work_seen, _compiled  # noqa: PLW0603
    wanted = os.environ.get("TMATCH_ENGINE") or "auto"
    if wanted not in ENGINES:
        msg = f"the environment's TMATCH_ENGINE is {wanted!r}; it must be one of {', '.join(ENGINES)}"
        raise ValueError(msg)
    if wanted == "numpy":
        return None
    if _compiled is None and (wanted == "numba" or _work_seen < math.inf):
        _work_seen += work
        if wanted == "numba" or _work_seen > _LOADING_WORK:
            try:
                _compiled = importlib.import_module("tmatch._engine.numba.engine")
            except ImportError as error:
                _work_seen = math.inf  # do not try again
                if wanted == "numba":
                    msg = f"TMATCH_ENGINE is numba, which cannot be loaded ({error}); try pip install 'tmatch[fast]'"
                    raise ImportError(msg) from error
    return _compiled


def describe() -> str:
    """Say which engine will do the work, and why."""
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
