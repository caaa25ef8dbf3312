"""Vector instructions for compiled code, where LLVM does not vectorise by itself."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils
from numpy.typing import NDArray


def _has_long_vectors() -> bool:
    """Return whether code is compiled for AVX-512: on this processor, unless NUMBA_CPU_FEATURES names another's."""
    named: str | None = getattr(config, "CPU_FEATURES", None)
    return "+avx512f" in named if named is not None else bool(binding.get_host_cpu_features().get("avx512f"))


VECTOR_BYTES = 64 if _has_long_vectors() else 32


class Vector:
    """A vector in a register, and the builder of the code that uses it."""

    def __init__(self, code: Any, value: Any) -> None:
        self.code, self.value = code, value

    # "contract": a product and a sum may be fused into one instruction, rounded once.

    def __add__(self, other: "Vector | float") -> "Vector":
        if isinstance(self.value.type.element, ir.IntType):
            return Vector(self.code, self.code.add(self.value, self._operand(other)))
        return Vector(self.code, self.code.fadd(self.value, self._operand(other), flags=("contract",)))

    def __sub__(self, other: "Vector | float") -> "Vector":
        return Vector(self.code, self.code.fsub(self.value, self._operand(other), flags=("contract",)))

    def __rsub__(self, other: float) -> "Vector":
        return Vector(self.code, self.code.fsub(self._operand(other), self.value, flags=("contract",)))

    def __neg__(self) -> "Vector":
        return Vector(self.code, self.code.fneg(self.value))

    def __mul__(self, other: "Vector | float") -> "Vector":
        return Vector(self.code, self.code.fmul(self.value, self._operand(other), flags=("contract",)))

    def _operand(self, other: "Vector | float") -> Any:
        """Return the operand of an instruction; a number is repeated in all lanes."""
        if isinstance(other, Vector):
            return other.value
        return ir.Constant(self.value.type, [float(other)] * self.value.type.count)

    def clip(self, low: "Vector | float", high: "Vector | float") -> "Vector":
        """Clip floats to where they lie between two bounds."""
        value = self.value
        for relation, bound in ((">", self._operand(low)), ("<", self._operand(high))):
            value = self.code.select(self.code.fcmp_ordered(relation, value, bound), value, bound)
        return Vector(self.code, value)

    def floor(self) -> "Vector":
        """Round float64 down."""
        name = f"llvm.floor.v{self.value.type.count}f64"
        floor = self.code.module.declare_intrinsic(
            name, fnty=ir.FunctionType(self.value.type, [self.value.type])
        )
        return Vector(self.code, self.code.call(floor, [self.value]))

    def as_integers(self) -> "Vector":
        """Convert floats to 64-bit integers, towards zero."""
        vector_type = ir.VectorType(ir.IntType(64), self.value.type.count)
        return Vector(self.code, self.code.fptosi(self.value, vector_type))

    def as_doubles(self) -> "Vector":
        """Convert integers to float64."""
        vector_type = ir.VectorType(ir.DoubleType(), self.value.type.count)
        return Vector(self.code, self.code.sitofp(self.value, vector_type))


class Code:
    """Code under construction. Arguments are numbers, lists of them for tuples, and array data.

    Vectors have the dtype of the first array.
    """

    def __init__(self, context: Any, builder: Any, signature: Any, args: Sequence[Any]) -> None:
        self.builder = builder
        tools: Any = cgutils
        self.args = [
            tools.create_struct_proxy(arg_type)(context, builder, value=value).data
            if isinstance(arg_type, types.Array)
            else tools.unpack_tuple(builder, value)
            if isinstance(arg_type, types.BaseTuple)
            else value
            for arg_type, value in zip(signature.args, args, strict=True)
        ]
        item = signature.args[0].dtype
        self.lanes, self.align = VECTOR_BYTES * 8 // item.bitwidth, item.bitwidth // 8
        self.type = ir.VectorType(context.get_data_type(item), self.lanes)

    # Indices into array data count items; they are Python integers or values known when the code runs.

    def sum(self, *terms: Any) -> Any:
        """Add indices."""
        return functools.reduce(self.builder.add, map(_integer, terms))

    def product(self, a: Any, b: Any) -> Any:
        """Multiply indices."""
        return self.builder.mul(_integer(a), _integer(b))

    def item(self, data: Any, at: Any) -> Any:
        """Load one item."""
        return self.builder.load(self.builder.gep(data, [_integer(at)]))

    def load(self, data: Any, at: Any, lanes: int | None = None) -> Vector:
        """Load a vector, of fewer lanes if that is asked for."""
        vector_type = ir.VectorType(self.type.element, lanes or self.lanes)
        pointer = self.builder.bitcast(self.builder.gep(data, [_integer(at)]), vector_type.as_pointer())
        return Vector(self.builder, self.builder.load(pointer, align=self.align))

    def store(self, vector: Vector, data: Any, at: Any) -> None:
        """Store a vector."""
        pointer = self.builder.bitcast(self.builder.gep(data, [_integer(at)]), vector.value.type.as_pointer())
        self.builder.store(vector.value, pointer, align=self.align)

    def zero(self) -> Vector:
        """Return a vector of zeros."""
        return Vector(self.builder, ir.Constant(self.type, [0] * self.lanes))

    def broadcast(self, number: Any, group: int = 1, lanes: int | None = None) -> Vector:
        """Return a vector that repeats a number in all lanes, or a group of lanes given as one wide number."""
        vector_type = ir.VectorType(self.type.element, lanes or self.lanes)
        undefined = ir.Constant(ir.VectorType(number.type, vector_type.count // group), ir.Undefined)
        first = self.builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
        repeated = self._shuffle(first, undefined, [0] * undefined.type.count)
        return Vector(self.builder, self.builder.bitcast(repeated.value, vector_type))

    def sum_products(self, a: Vector, b: Vector) -> Vector:
        """Multiply integers and add pairs of neighbours, in half as many lanes of twice the width: one instruction."""
        wide_type = ir.VectorType(ir.IntType(2 * self.type.element.width), self.lanes)
        products = self.builder.mul(*(self.builder.sext(v.value, wide_type) for v in (a, b)))
        even, odd = (self._shuffle(products, products, range(first, self.lanes, 2)) for first in range(2))
        return even + odd

    def accumulate(
        self, start: Sequence[Vector], count: Any, terms: Callable[[Any], Sequence[Vector]]
    ) -> list[Vector]:
        """Add `terms(i)` for i from 1 to `count` - 1 to some vectors."""
        tools: Any = cgutils
        # LLVM promotes them to registers.
        slots = [tools.alloca_once_value(self.builder, vector.value) for vector in start]
        with tools.for_range(self.builder, count, _integer(1)) as loop:
            for slot, term in zip(slots, terms(loop.index), strict=True):
                total = Vector(self.builder, self.builder.load(slot)) + term
                self.builder.store(total.value, slot)
        return [Vector(self.builder, self.builder.load(slot)) for slot in slots]

    def cumulative_sum(self, vector: Vector) -> Vector:
        """Compute the cumulative sum of the lanes."""
        n, step = self.lanes, 1
        zero = ir.Constant(self.type, [0] * n)
        while step < n:
            shifted = [max(i - step, -1) % (2 * n) for i in range(n)]  # a lane of `zero` where there is none
            vector += self._shuffle(vector.value, zero, shifted)
            step *= 2
        return vector

    def interleave(self, a: Vector, b: Vector) -> list[Vector]:
        """Interleave the lanes of two vectors, into two vectors."""
        n = a.value.type.count
        halves = ([start + i // 2 + i % 2 * n for i in range(n)] for start in (0, n // 2))
        return [self._shuffle(a.value, b.value, half) for half in halves]

    def transpose(self, rows: Sequence[Vector]) -> list[Vector]:
        """Transpose a square of vectors by repeatedly interleaving its two halves."""
        n, vectors = len(rows), list(rows)
        for _ in range(n.bit_length() - 1):
            pairs = zip(vectors[: n // 2], vectors[n // 2 :], strict=True)
            vectors = [half for a, b in pairs for half in self.interleave(a, b)]
        return vectors

    def join(self, vectors: Sequence[Vector]) -> Vector:
        """Join the lanes of vectors, one vector after the other; their number is a power of 2."""
        if len(vectors) == 1:
            return vectors[0]
        first, second = (
            self.join(part) for part in (vectors[: len(vectors) // 2], vectors[len(vectors) // 2 :])
        )
        return self._shuffle(first.value, second.value, range(2 * first.value.type.count))

    def _shuffle(self, a: Any, b: Any, lanes: Sequence[int]) -> Vector:
        """Select lanes of two vectors; lane numbers of the second follow those of the first."""
        indices = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))
        return Vector(self.builder, self.builder.shuffle_vector(a, b, indices))


def _integer(number: Any) -> Any:
    return ir.Constant(ir.IntType(64), number) if isinstance(number, int) else number


def full_rows(part: NDArray[Any]) -> NDArray[Any]:
    """Extend a view to full rows, if possible: compiled code then knows that neighbours are contiguous."""
    pitch, step = part.strides
    if step != part.itemsize or pitch % step or pitch < part.shape[1] * step:
        return part
    return np.lib.stride_tricks.as_strided(part, (len(part), pitch // step))
