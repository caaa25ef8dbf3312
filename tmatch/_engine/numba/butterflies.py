"""The instructions of compiled transforms: butterflies, products of spectra, and the halves of a real tile."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numba

from tmatch._arrays.typing import Array
from tmatch._engine.numba.compiler import instructions
from tmatch._engine.numba.vectors import Code, Vector


@dataclass(frozen=True, slots=True)
class Complex:
    """A complex number whose parts are any two values that can be added and multiplied."""

    re: Any
    im: Any

    def __add__(self, other: "Complex") -> "Complex":
        return Complex(self.re + other.re, self.im + other.im)

    def __sub__(self, other: "Complex") -> "Complex":
        return Complex(self.re - other.re, self.im - other.im)

    def __mul__(self, other: "Complex") -> "Complex":
        return Complex(self.re * other.re - self.im * other.im, self.re * other.im + self.im * other.re)

    def times(self, number: "float | Vector") -> "Complex":
        return Complex(self.re * number, self.im * number)

    def times_i(self, sign: int) -> "Complex":
        return Complex(-self.im, self.re) if sign > 0 else Complex(self.im, -self.re)

    def conj(self) -> "Complex":
        return Complex(self.re, -self.im)


def dft(x: Sequence[Complex], sign: int) -> list[Complex]:
    """Compute the discrete Fourier transform: ``x[j] exp(sign 2 pi i j k / n)`` summed over j, for each k."""
    n, half = len(x), len(x) // 2
    if n == 1:
        return list(x)
    if n % 2 == 0:
        even, odd = dft(x[::2], sign), dft(x[1::2], sign)
        rotated = [_times_root(odd[k], k, n, sign) for k in range(half)]
        pairs = list(zip(even, rotated, strict=True))
        return [e + t for e, t in pairs] + [e - t for e, t in pairs]
    sums = [x[j] + x[n - j] for j in range(1, half + 1)]
    differences = [x[j] - x[n - j] for j in range(1, half + 1)]
    low = [functools.reduce(Complex.__add__, sums, x[0])]
    high: list[Complex] = []
    for k in range(1, half + 1):
        angles = [2 * math.pi * (j * k % n) / n for j in range(1, half + 1)]
        cosines = (s.times(math.cos(a)) for s, a in zip(sums, angles, strict=True))
        sines = (d.times(math.sin(a)) for d, a in zip(differences, angles, strict=True))
        even_part = functools.reduce(Complex.__add__, cosines, x[0])
        odd_part = functools.reduce(Complex.__add__, sines).times_i(sign)
        low.append(even_part + odd_part)
        high.insert(0, even_part - odd_part)
    return low + high


def _times_root(x: Complex, k: int, n: int, sign: int) -> Complex:
    """Multiply by ``exp(sign 2 pi i k / n)``."""
    if k == 0:
        return x
    if 4 * k == n:
        return x.times_i(sign)
    angle = 2 * math.pi * k / n
    return x * Complex(math.cos(angle), sign * math.sin(angle))


def _load(code: Code, data: Any, at: Any, gap: Any) -> Complex:
    return Complex(code.load(data, at), code.load(data, code.sum(at, gap)))


def _store(code: Code, number: Complex, data: Any, at: Any, gap: Any) -> None:
    code.store(number.re, data, at)
    code.store(number.im, data, code.sum(at, gap))


def _butterfly(radix: int, sign: int) -> Any:
    """Generate a butterfly of a transform (sign -1) or of its inverse (1) on `radix` complex vectors, in place."""

    @instructions
    def butterfly(code: Code, values: Any, at: Any, gap: Any, step: Any, roots: Any, first: Any) -> None:
        positions = [at]
        for _ in range(radix - 1):
            positions.append(code.sum(positions[-1], step))
        x = [_load(code, values, position, gap) for position in positions]
        indices = [code.sum(code.product(first, 2), i) for i in range(2 * (radix - 1))]
        broadcast = [code.broadcast(code.item(roots, value)) for value in indices]
        factors = [Complex(*pair) for pair in zip(broadcast[::2], broadcast[1::2], strict=True)]
        if sign < 0:
            x = dft([x[0], *(a * w for a, w in zip(x[1:], factors, strict=True))], sign)
        else:
            x = dft(x, sign)
            x = [x[0], *(a * w.conj() for a, w in zip(x[1:], factors, strict=True))]
        for value, position in zip(x, positions, strict=True):
            _store(code, value, values, position, gap)

    return butterfly


def _product(*, add: bool) -> Any:
    """Generate the scaled product of vectors of two spectra, stored in a buffer or added to it."""

    @instructions
    def product(code: Code, spectrum: Any, kernel: Any, number: Any, at: Any, gap: Any, buffer: Any) -> None:
        factors = _load(code, spectrum, at, gap), _load(code, kernel, at, gap)
        result = (factors[0] * factors[1]).times(code.broadcast(number))
        if add:
            result += _load(code, buffer, at, gap)
        _store(code, result, buffer, at, gap)

    return product


def _sums_of_products(outputs: int) -> Any:
    """Generate the scaled sums of products of vectors of several spectra with those of a kernel.

    The vectors of spectra, and those of the kernel, are `step` apart. Each output begins one spectrum later, and is
    stored two times `gap` later in the buffer. Two at once make better use of what is loaded.
    """

    @instructions
    def sums(
        code: Code, spectra: Any, first: Any, kernel: Any, at: Any, gap: Any, step: Any, count: Any, number: Any,
        buffer: Any, to: Any,
    ) -> None:  # fmt: skip
        def products(i: Any) -> list[Vector]:
            factor, found = _load(code, kernel, code.sum(at, code.product(step, i)), gap), []
            for n in range(outputs):
                value = _load(code, spectra, code.sum(first, code.product(step, code.sum(i, n))), gap)
                found += [
                    value.re * factor.re,
                    value.im * factor.im,
                    value.re * factor.im,
                    value.im * factor.re,
                ]
            return found

        totals, scale = code.accumulate(products(0), count, products), code.broadcast(number)
        for n in range(outputs):
            a, b, c, d = totals[4 * n : 4 * n + 4]
            target = code.sum(to, code.product(gap, 2 * n))
            _store(code, Complex(a - b, c + d).times(scale), buffer, target, gap)

    return sums


def _mirrored_rows(code: Code, rows: Any, first: Any, x: Any, pitch: Any) -> list[tuple[Any, Any]]:
    """Return where the vectors of each frequency and its mirror begin, for as many rows as there are lanes."""
    indices = [code.product(code.sum(first, lane), 2) for lane in range(code.lanes)]
    pairs = [(code.item(rows, n), code.item(rows, code.sum(n, 1))) for n in indices]
    return [(code.sum(code.product(u, pitch), x), code.sum(code.product(v, pitch), x)) for u, v in pairs]


@instructions
def split(
    code: Code, tile: Any, rows: Any, first: Any, x: Any, half: Any, pitch: Any, gap: Any, block: Any
) -> None:
    """Generate the separation of the spectra of both halves, scaled by 2 and transposed."""
    positions = _mirrored_rows(code, rows, first, x, pitch)
    left = code.product(x, code.lanes)
    right = code.sum(left, code.product(half, code.lanes))
    parts: tuple[tuple[Any, Callable[[Complex, Complex], Vector]], ...] = (
        (left, lambda u, v: (u + v).re),
        (code.sum(left, gap), lambda u, v: (u + v).im),
        (right, lambda u, v: (u - v).times_i(-1).re),
        (code.sum(right, gap), lambda u, v: (u - v).times_i(-1).im),
    )
    for target, part in parts:  # reloading for each part is faster than spilling registers
        pairs = ((_load(code, tile, u, half), _load(code, tile, v, half).conj()) for u, v in positions)
        for i, vector in enumerate(code.transpose([part(u, v) for u, v in pairs])):
            code.store(vector, block, code.sum(target, i * code.lanes))


@instructions
def join(
    code: Code, tile: Any, rows: Any, first: Any, x: Any, half: Any, pitch: Any, gap: Any, block: Any
) -> None:
    """Generate the inverse of `split`."""
    positions = _mirrored_rows(code, rows, first, x, pitch)
    left = code.product(x, code.lanes)
    right = code.sum(left, code.product(half, code.lanes))

    def transposed(start: Any) -> list[Vector]:
        return code.transpose([code.load(block, code.sum(start, i * code.lanes)) for i in range(code.lanes)])

    for (u, v), re, im in zip(positions, transposed(left), transposed(code.sum(right, gap)), strict=True):
        code.store(re - im, tile, u)
        code.store(re + im, tile, v)
    for (u, v), im, re in zip(positions, transposed(code.sum(left, gap)), transposed(right), strict=True):
        code.store(im + re, tile, code.sum(u, half))
        code.store(re - im, tile, code.sum(v, half))


def _step(sign: int) -> Any:
    """Return a function that computes a butterfly of any radix."""
    by_3, by_4, by_5, by_8 = (_butterfly(radix, sign) for radix in (3, 4, 5, 8))

    @numba.njit(inline="always")  # a call per butterfly would cost more than the branch
    def step_by(radix: int, values: Array, at: int, gap: int, step: int, roots: Array, first: int) -> None:
        if radix == 8:
            by_8(values, at, gap, step, roots, first)
        elif radix == 4:
            by_4(values, at, gap, step, roots, first)
        elif radix == 3:
            by_3(values, at, gap, step, roots, first)
        else:
            by_5(values, at, gap, step, roots, first)

    return step_by


step_forward, step_back = _step(-1), _step(1)
sums_of_products, pair_of_sums_of_products = _sums_of_products(1), _sums_of_products(2)
set_product, add_product = _product(add=False), _product(add=True)
