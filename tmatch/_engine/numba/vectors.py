"""Vector instructions for compiled code, where the compiler does not find them by itself."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numpy.typing import NDArray

VECTOR_BYTES = 64 if binding.get_host_cpu_features().get("avx512f") else 32


class Vector:
    """A vector in a register, and the code being written."""

    def __init__(self, code: Any, value: Any) -> None:
        self.code, self.value = code, value

    # "contract": a product and a sum may be one instruction, rounded once.

    def __add__(self, other: "Vector") -> "Vector":
        if isinstance(self.value.type.element, ir.IntType):
            return Vector(self.code, self.code.add(self.value, other.value))
        return Vector(self.code, self.code.fadd(self.value, other.value, flags=("contract",)))

    def __sub__(self, other: "Vector") -> "Vector":
        return Vector(self.code, self.code.fsub(self.value, other.value, flags=("contract",)))

    def __neg__(self) -> "Vector":
        return Vector(self.code, self.code.fneg(self.value))

    def __mul__(self, other: "Vector | float") -> "Vector":
        kind = self.value.type
        factor = other.value if isinstance(other, Vector) else ir.Constant(kind, [float(other)] * kind.count)
        return Vector(self.code, self.code.fmul(self.value, factor, flags=("contract",)))

    def as_doubles(self) -> "Vector":
        """Turn integers into floats of 64 bits."""
        kind = ir.VectorType(ir.DoubleType(), self.value.type.count)
        return Vector(self.code, self.code.sitofp(self.value, kind))


class Code:
    """Code whose arguments are integers, numbers, and the data of arrays; vectors are mostly of the first array's."""

    def __init__(self, context: Any, builder: Any, signature: Any, args: Sequence[Any]) -> None:
        self.builder = builder
        tools: Any = cgutils
        self.args = [
            tools.create_struct_proxy(kind)(context, builder, value=value).data
            if isinstance(kind, types.Array)
            else value
            for kind, value in zip(signature.args, args, strict=True)
        ]
        item = signature.args[0].dtype
        self.lanes, self.align = VECTOR_BYTES * 8 // item.bitwidth, item.bitwidth // 8
        self.type = ir.VectorType(context.get_data_type(item), self.lanes)

    # Positions in arrays are counted in items, by integers known now or only when the code runs.

    def sum(self, *terms: Any) -> Any:
        """Add places."""
        return functools.reduce(self.builder.add, map(_integer, terms))

    def product(self, a: Any, b: Any) -> Any:
        """Multiply places."""
        return self.builder.mul(_integer(a), _integer(b))

    def item(self, data: Any, at: Any) -> Any:
        """Fetch one number."""
        return self.builder.load(self.builder.gep(data, [_integer(at)]))

    def load(self, data: Any, at: Any) -> Vector:
        """Fetch a vector."""
        place = self.builder.bitcast(self.builder.gep(data, [at]), self.type.as_pointer())
        return Vector(self.builder, self.builder.load(place, align=self.align))

    def store(self, vector: Vector, data: Any, at: Any) -> None:
        """Put a vector back."""
        place = self.builder.bitcast(self.builder.gep(data, [at]), vector.value.type.as_pointer())
        self.builder.store(vector.value, place, align=self.align)

    def zero(self) -> Vector:
        """Make a vector of zeros."""
        return Vector(self.builder, ir.Constant(self.type, [0] * self.lanes))

    def spread(self, number: Any, together: int = 1) -> Vector:
        """Put a number in all lanes; or several, side by side again and again, given as one so many times as wide."""
        none = ir.Constant(ir.VectorType(number.type, self.lanes // together), ir.Undefined)
        first = self.builder.insert_element(none, number, ir.Constant(ir.IntType(32), 0))
        numbers = self._shuffle(first, none, [0] * none.type.count)
        return Vector(self.builder, self.builder.bitcast(numbers.value, self.type))

    def sum_products(self, a: Vector, b: Vector) -> Vector:
        """Multiply integers, and add each two neighbours, in half as many lanes twice as wide: one instruction."""
        wide = ir.VectorType(ir.IntType(2 * self.type.element.width), self.lanes)
        products = self.builder.mul(*(self.builder.sext(v.value, wide) for v in (a, b)))
        even, odd = (self._shuffle(products, products, range(first, self.lanes, 2)) for first in range(2))
        return even + odd

    def accumulate(
        self, start: Sequence[Vector], count: Any, terms: Callable[[Any], Sequence[Vector]]
    ) -> list[Vector]:
        """Begin with some vectors and add others to them, step by step, of the step's number, from 1."""
        tools: Any = cgutils
        places = [tools.alloca_once_value(self.builder, vector.value) for vector in start]  # become registers
        with tools.for_range(self.builder, count, _integer(1)) as loop:
            for place, term in zip(places, terms(loop.index), strict=True):
                total = Vector(self.builder, self.builder.load(place)) + term
                self.builder.store(total.value, place)
        return [Vector(self.builder, self.builder.load(place)) for place in places]

    def add_up(self, vector: Vector) -> Vector:
        """Sum all lanes up to each."""
        n, step = self.lanes, 1
        zero = ir.Constant(self.type, [0] * n)
        while step < n:
            before = [max(i - step, -1) % (2 * n) for i in range(n)]  # the last lane of zero, if none
            vector += self._shuffle(vector.value, zero, before)
            step *= 2
        return vector

    def interleave(self, a: Vector, b: Vector) -> list[Vector]:
        """Take lanes from one vector and the other in turns, in two vectors."""
        n = a.value.type.count
        halves = ([start + i // 2 + i % 2 * n for i in range(n)] for start in (0, n // 2))
        return [self._shuffle(a.value, b.value, half) for half in halves]

    def turn_over(self, rows: Sequence[Vector]) -> list[Vector]:
        """Transpose as many vectors as each has lanes, by interleaving one half of them with the other."""
        n, vectors = self.lanes, list(rows)
        for _ in range(n.bit_length() - 1):
            pairs = zip(vectors[: n // 2], vectors[n // 2 :], strict=True)
            vectors = [half for a, b in pairs for half in self.interleave(a, b)]
        return vectors

    def _shuffle(self, a: Any, b: Any, lanes: Sequence[int]) -> Vector:
        """Take lanes of two vectors, those of the second counted on."""
        numbers = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))
        return Vector(self.builder, self.builder.shuffle_vector(a, b, numbers))


def _integer(number: Any) -> Any:
    return ir.Constant(ir.IntType(64), number) if isinstance(number, int) else number


def whole_rows(part: NDArray[Any]) -> NDArray[Any]:
    """See a part of an array with whole rows: only then compiled code knows that neighbours lie side by side."""
    pitch, step = part.strides
    if step != part.itemsize or pitch % step or pitch < part.shape[1] * step:
        return part
    return np.lib.stride_tricks.as_strided(part, (len(part), pitch // step))
