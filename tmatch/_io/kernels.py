"""Read and write kernels as text."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tmatch import kernels
from tmatch._arrays.typing import Array
from tmatch._io.files import named
from tmatch._io.images import reason_of


def find_kernel(source: str) -> Array:
    """Return a kernel by its name, from a file (text, CSV or NPY), or from numbers as text."""
    if source in kernels.names():
        return kernels.get(source)
    path = Path(source)
    if re.fullmatch(r"[-+\d.,;eEj\s]*\d[-+\d.,;eEj\s]*", source):
        return _kernel_array(source, lambda: _parse_kernel(source))
    if path.suffix.lower() == ".npy":
        return _kernel_array(source, lambda: _load_kernel(path))
    if path.is_file() or path.suffix.lower() in {".txt", ".csv"}:
        return _kernel_array(source, lambda: _parse_kernel(path.read_text(encoding="utf-8-sig")))
    return kernels.get(source)


def _load_kernel(path: Path) -> Array:
    with path.open("rb") as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def format_kernel(kernel: Array) -> str:
    """Format a kernel as text that `find_kernel` reads."""
    cells = [[f"{weight:g}" for weight in row] for row in kernel.tolist()]
    width = max(len(cell) for row in cells for cell in row)
    return "\n".join(" ".join(cell.rjust(width) for cell in row) for row in cells)


def _kernel_array(source: str, read: Callable[[], Array]) -> Array:
    try:
        with named(source):
            kernel = read()
    except ValueError as error:
        msg = f'cannot read the kernel "{source}": {reason_of(error)}'
        raise ValueError(msg) from error
    if (
        kernel.ndim != 2
        or kernel.size == 0
        or kernel.dtype.kind not in "biufc"
        or not np.isfinite(kernel).all()
    ):
        msg = f'the kernel "{source}" ({kernel.dtype}, shape {kernel.shape}) must be rows of finite numbers'
        raise ValueError(msg)
    return kernel.astype(np.result_type(kernel.dtype, np.float64))


def _parse_kernel(text: str) -> Array:
    """Parse rows of numbers separated by commas, semicolons or spaces; in a single line semicolons separate rows.

    Text from # to the end of a line is a comment.
    """
    lines = [line for line in (line.split("#")[0].strip() for line in text.splitlines()) if line]
    if len(lines) == 1:
        lines = [part.strip() for part in lines[0].rstrip("; ").split(";")]
    rows = [re.split(r"\s*[,;]\s*|\s+", line) for line in lines]
    lengths = sorted({len(row) for row in rows}) or [0]
    if len(lengths) > 1 or lengths[0] == 0:
        msg = (
            f"rows of {lengths[0]} to {lengths[-1]} numbers; they must be equally long"
            if rows
            else "no numbers"
        )
        raise ValueError(msg)
    numbers = np.array([[_number(cell) for cell in row] for row in rows])
    return numbers if numbers.imag.any() else numbers.real.copy()


def _number(cell: str) -> complex:
    try:
        return complex(cell)
    except ValueError:
        msg = f'"{cell}" is not a number'
        raise ValueError(msg) from None
