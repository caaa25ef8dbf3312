"""Decorators that compile functions with numba."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from tmatch._engine.numba import cache
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


def knows(dtype: np.dtype[Any]) -> bool:
    """Check that code can be compiled for a dtype: not so for half precision, or for more than double."""
    return dtype.kind in "iu" or (dtype.kind == "f" and dtype.itemsize in (4, 8))


def compiled(function: Callable[..., Any], fastmath: tuple[str, ...] = ("contract",)) -> Callable[..., Any]:
    """Compile a function when it is first called, and cache the code on disk if possible."""
    # "contract" fuses a product and a sum into one instruction, rounded once; no other fast-math flag is set.
    jit = functools.partial(numba.njit, nogil=True, fastmath=set(fastmath), error_model="numpy")
    dispatcher = jit()(function)
    cache.enable(dispatcher, function)
    return dispatcher


# "reassoc" allows sums in any order, which is faster: for estimates, checks, exact integers and tests whether all
# values are finite.
compiled_reassociating = functools.partial(compiled, fastmath=("contract", "reassoc"))


# Not cached separately: the code is part of its caller.
inline = numba.njit(nogil=True, fastmath={"contract"}, error_model="numpy")
