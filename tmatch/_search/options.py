"""Options and labels of a search."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmatch._arrays.channels import mask_of
from tmatch._arrays.validation import check_numbers

Labelled = ArrayLike | Mapping[str, ArrayLike]


def checked_copy(name: str, values: ArrayLike) -> NDArray[Any]:
    """Check that an array holds real numbers, and copy it."""
    return np.array(check_numbers(name, values, finite=False, mask=mask_of(name)))


def call_with_label(label: str, function: Callable[..., Any], *arrays: Any, **options: Any) -> Any:
    """Call a function, and name the template in its errors by its label."""
    try:
        return function(*arrays, **options)
    except (ValueError, TypeError) as error:
        if not label:
            raise
        text = (
            str(error)
            .replace("`template`", f'template "{label}"')
            .replace("`mask`", f'the mask of "{label}"')
        )
        raise type(error)(text) from error


def by_label(
    arrays: Labelled, name: str = "templates", templates: Mapping[str, ArrayLike] | None = None
) -> Mapping[str, ArrayLike]:
    """Return arrays by label, "" for a single one; check the labels, those of masks against those of `templates`."""
    if not isinstance(arrays, Mapping):
        if templates is not None and list(templates) != [""]:
            msg = f"`{name}` is one array, but `templates` has labels; give a mapping with these labels"
            raise ValueError(msg)
        return {"": arrays}
    if not arrays and templates is None:
        msg = f"`{name}` is an empty mapping; it must hold at least one template"
        raise ValueError(msg)
    if not all(isinstance(label, str) for label in arrays):
        msg = f"`{name}` has the labels {list(arrays)}; they must be strings"
        raise TypeError(msg)
    unknown = [] if templates is None else [label for label in arrays if label not in templates]
    if templates is not None and unknown:
        msg = (
            f"`{name}` has the labels {unknown}, which `templates` has not; its labels are {list(templates)}"
        )
        raise ValueError(msg)
    return arrays
