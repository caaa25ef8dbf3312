"""How functions are compiled by numba and kept on disk."""

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
    """Make a function for compiled code to call of one that writes instructions, given a `Code` and its arguments."""

    def define(_: Any, *kinds: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Sequence[Any]) -> Any:
            code = Code(context, builder, signature, args)
            write(code, *code.args)
            # Vectors put aside across two lines of cache, as LLVM may place them, cost double precision a quarter
            # of its time. Nothing here unwinds: llvmlite leaves an alignment out if there is no other attribute.
            builder.function.attributes.alignstack = VECTOR_BYTES
            builder.function.attributes.add("nounwind")
            return context.get_dummy_value()

        return types.void(*kinds), generate

    # Numba looks arguments up by their names, but for the first.
    functools.update_wrapper(define, write)
    make: Any = intrinsic
    return make(define)


def machine_code(
    function: Callable[..., Any], liberties: tuple[str, ...] = ("contract",)
) -> Callable[..., Any]:
    # "contract" lets a product and a sum be one instruction, rounded once; no other liberty is taken with results.
    compiled = functools.partial(numba.njit, nogil=True, fastmath=set(liberties), error_model="numpy")
    try:
        made: Any = compiled(cache=True)(function)
    except RuntimeError:  # no folder can be written to
        return compiled()(function)
    # Numba makes what it has on disk anew when the file of the function changes; what it calls counts too.
    kept: Any = getattr(made._cache, "_cache_file", None)  # noqa: SLF001
    if hasattr(kept, "_source_stamp"):
        kept._source_stamp = kept._source_stamp, _sources()  # noqa: SLF001
    return made  # type: ignore[no-any-return]


# With "reassoc" sums are added in any order, which is faster: for estimates, evidence, whole numbers, and to tell
# whether all are finite.
machine_code_for_sums = functools.partial(machine_code, liberties=("contract", "reassoc"))


@functools.cache
def _sources() -> str:
    """Tell the sources of compiled code from any others, and the width of vectors."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    texts = (file.read_bytes() for file in files if file.is_file())  # none, if all is in an archive
    return hashlib.sha256(b"".join(texts) + bytes([VECTOR_BYTES])).hexdigest()


# Without a place of its own on disk: it is kept there as a part of its caller.
inline = numba.njit(nogil=True, fastmath={"contract"}, error_model="numpy")
