"""Decorators that compile functions with numba and cache the code on disk."""

import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numba
from numba import types
from numba.extending import intrinsic

from tmatch._engine.numba.vectors import VECTOR_BYTES, Code


def instructions(write: Callable[..., None]) -> Any:
    """Return an intrinsic, callable from compiled code, of a function that emits instructions into a `Code`."""

    def resolve(_: Any, *arg_types: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Sequence[Any]) -> Any:
            code = Code(context, builder, signature, args)
            write(code, *code.args)
            # LLVM may spill vectors across two cache lines, which costs a quarter of the time in double precision.
            # No code here unwinds; llvmlite omits the alignment if there is no other attribute.
            builder.function.attributes.alignstack = VECTOR_BYTES
            builder.function.attributes.add("nounwind")
            return context.get_dummy_value()

        return types.void(*arg_types), generate

    # Numba matches all arguments but the first by name.
    functools.update_wrapper(resolve, write)
    typed_intrinsic: Any = intrinsic
    return typed_intrinsic(resolve)


def compiled(function: Callable[..., Any], fastmath: tuple[str, ...] = ("contract",)) -> Callable[..., Any]:
    """Compile a function when it is first called, and cache the code on disk if possible."""
    # "contract" fuses a product and a sum into one instruction, rounded once; no other fast-math flag is set.
    jit = functools.partial(numba.njit, nogil=True, fastmath=set(fastmath), error_model="numpy")
    try:
        dispatcher: Any = jit(cache=True)(function)
    except RuntimeError:  # no cache folder is writable
        return jit()(function)
    # Numba recompiles if the file of the function changes; the files of its callees must count too.
    cache_file: Any = getattr(dispatcher._cache, "_cache_file", None)  # noqa: SLF001
    if hasattr(cache_file, "_source_stamp"):
        cache_file._source_stamp = cache_file._source_stamp, _sources()  # noqa: SLF001
    return dispatcher  # type: ignore[no-any-return]


# "reassoc" allows sums in any order, which is faster: for estimates, checks, exact integers and tests whether all
# values are finite.
compiled_reassociating = functools.partial(compiled, fastmath=("contract", "reassoc"))


@functools.cache
def _sources() -> str:
    """Return a hash of the sources of compiled code and of the vector width."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    texts = (file.read_bytes() for file in files if file.is_file())  # none if the package is in an archive
    return hashlib.sha256(b"".join(texts) + bytes([VECTOR_BYTES])).hexdigest()


# Not cached separately: the code is part of its caller.
inline = numba.njit(nogil=True, fastmath={"contract"}, error_model="numpy")
