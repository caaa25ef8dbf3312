"""Compiled code on disk: what is wrong with it costs the time to compile anew, and nothing else."""

import contextlib
import functools
import hashlib
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.core import caching, serialize

from tmatch._engine.numba.vectors import VECTOR_BYTES

# Numba has no types.
_dumps: Any = serialize.dumps
_CompileResultCacheImpl: Any = caching.CompileResultCacheImpl
_FunctionCache: Any = caching.FunctionCache

_REMEDY = "every run compiles anew; name a folder that can be written in NUMBA_CACHE_DIR"
_warned: set[str] = set()
_functions: list[Any] = []


class _CheckedCode(_CompileResultCacheImpl):  # type: ignore[misc]
    """Compiled code with a hash: LLVM would end the process on damaged code, or run it."""

    def reduce(self, cres: Any) -> tuple[bytes, bytes]:
        code = _dumps(super().reduce(cres))
        return hashlib.sha256(code).digest(), code

    def rebuild(self, target_context: Any, payload: tuple[bytes, bytes]) -> Any:
        digest, code = payload
        if hashlib.sha256(code).digest() != digest:
            msg = "damaged code"
            raise ValueError(msg)
        return super().rebuild(target_context, pickle.loads(code))  # noqa: S301

    @property
    def _locator_classes(self) -> list[Any]:
        return [_readable(each) for each in super()._locator_classes]


def _readable(locator: Any) -> Any:
    """Return a locator that also takes a folder which cannot be written, if it holds code, as in a sealed container."""

    class Locator(locator):  # type: ignore[misc]
        def ensure_cache_path(self) -> None:
            try:
                super().ensure_cache_path()
            except OSError:
                if not any(Path(self.get_cache_path()).glob("*.nbi")):
                    raise

    return Locator


class _CodeCache(_FunctionCache):  # type: ignore[misc]
    """The code of a function on disk; a folder that is damaged, full or closed is as good as an empty one."""

    _impl_class = _CheckedCode

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        cache_file: Any = getattr(self, "_cache_file", None)
        if hasattr(cache_file, "_source_stamp"):
            cache_file._source_stamp = _stamp(function, cache_file._source_stamp)  # noqa: SLF001

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the code for a signature; None if there is none that can be used."""
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # noqa: BLE001  (damaged files raise almost anything)
            _warn(f'compiled code in "{self.cache_path}" cannot be used', error, "it is compiled anew")
            with contextlib.suppress(OSError):
                self.flush()  # a damaged index could not be added to
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save the code for a signature, if possible."""
        try:
            super().save_overload(sig, data)
        except Exception as error:  # noqa: BLE001
            _warn(f'compiled code cannot be kept in "{self.cache_path}"', error, _REMEDY)


def enable(dispatcher: Any, function: Callable[..., Any]) -> None:
    """Let compiled code be kept on disk, if possible."""
    _functions.append(dispatcher)
    try:
        dispatcher._cache = _CodeCache(function)  # noqa: SLF001
    except (RuntimeError, OSError) as error:  # no folder can be written, or the source cannot be read
        _warn("compiled code cannot be kept in any folder", error, _REMEDY)


def folder() -> str | None:
    """Return the folder of compiled code; None if it is not kept."""
    paths = (function._cache.cache_path for function in _functions)  # noqa: SLF001
    return next((path for path in paths if path is not None), None)


def counts() -> tuple[int, int]:
    """Count what this process has compiled so far, and what it has loaded."""
    stats = [function.stats for function in _functions]
    compiled, loaded = ([sum(each[i].values()) for each in stats] for i in (2, 1))
    return sum(compiled), sum(loaded)


def _warn(what: str, error: Exception, then: str) -> None:
    """Warn of the first fault of a process; others have the same cause."""
    if not _warned:
        _warned.add(what)
        reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
        warnings.warn(f"{what} ({reason[:120].lower()}); {then}", RuntimeWarning, stacklevel=2)


def _stamp(function: Callable[..., Any], stamp: Any) -> Any:
    """Return what code on disk must have been made of: the source of the function, and those of its callees.

    Older versions of numba look at the date of the source, which the layers of a container image round.
    """
    source = Path(function.__code__.co_filename)
    own = hashlib.sha256(source.read_bytes()).hexdigest() if source.is_file() else stamp
    return own, _sources()


@functools.cache
def _sources() -> str:
    """Return a hash of the sources of compiled code and of the vector width."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    texts = (file.read_bytes() for file in files if file.is_file())  # none if the package is in an archive
    return hashlib.sha256(b"".join(texts) + bytes([VECTOR_BYTES])).hexdigest()
