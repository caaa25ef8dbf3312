"""Check arrays and options; refuse bad ones in one sentence."""

import numbers
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike

from tmatch._arrays.lazy import LazyArray, as_array, is_lazy
from tmatch._arrays.typing import Array


def check_numbers(name: str, values: ArrayLike, kinds: str = "biuf", *, finite: bool = True) -> Array:
    """Check that an array holds numbers of these kinds, and finite ones if `finite`."""
    if np.ma.isMaskedArray(values):
        msg = f"`{name}` is a masked array; fill it first, for instance with `{name}.filled(0)`"
        raise TypeError(msg)
    try:
        array = as_array(values) if isinstance(values, LazyArray) else np.asarray(values)
    except ValueError as error:  # rows of unequal length
        msg = f"`{name}` is no array: {error}"
        raise ValueError(msg) from error
    if array.dtype.kind not in kinds:
        what = {"b": f"bool, as `{name} > 0` does"}.get(kinds, "real numbers (bool, integers or floats)")
        what = "numbers" if "c" in kinds else what
        msg = f"`{name}` has dtype {array.dtype}; it must hold {what}"
        raise TypeError(msg)
    if finite and not is_lazy(array) and array.dtype.kind in "fc" and not np.isfinite(array).all():
        raise ValueError(describe_not_finite(name, array))
    return array


def describe_not_finite(name: str, array: Array, position: Sequence[int] | None = None) -> str:
    """Write where the first value is that is not finite, if that is not known already, and what to do."""
    position = position or np.argwhere(~np.isfinite(array))[0].tolist()
    return (
        f"`{name}` has NaN or infinite values, the first at {position}; replace them first, for instance with "
        "np.nan_to_num"
    )


def check_axis(name: str, array: Array, channel_axis: int | None) -> int | None:
    """Return the axis counted from the first."""
    if channel_axis is None:
        return None
    if not isinstance(channel_axis, numbers.Integral) or not -array.ndim <= channel_axis < array.ndim:
        msg = f"`channel_axis` is {channel_axis!r}, but `{name}` has only {array.ndim} axes"
        raise ValueError(msg)
    return int(channel_axis) % array.ndim


def check_name(option: str, value: object, known: Any) -> None:
    """Check that an option has one of the names of its type; suggest the most similar."""
    names = get_args(known)
    if not isinstance(value, str) or value not in names:
        import difflib  # noqa: PLC0415

        near = difflib.get_close_matches(str(value), names, n=1)
        hint = f'did you mean "{near[0]}"?' if near else ""
        listed = ", ".join(f'"{name}"' for name in names)
        msg = f"`{option}` is {value!r}; it must be one of {listed}; {hint}".rstrip("; ")
        raise ValueError(msg)


def check_count(name: str, count: int | None, *, or_none: bool = False) -> None:
    """Check that a count is a whole number of at least 1, or None if that is a value of the option."""
    if count is None and or_none:
        return
    if not isinstance(count, numbers.Integral) or count < 1:
        no_limit = ", or None for no limit" if name == "max_count" else ""
        msg = f"`{name}` is {count!r}; it must be a whole number of at least 1{no_limit}"
        raise ValueError(msg)
