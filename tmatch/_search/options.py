"""Options and labels of a search."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmatch._arrays.validation import check_numbers
from tmatch._io.given import ImageLike, is_image, labels_of

Labelled: TypeAlias = ImageLike | Sequence[ImageLike] | Mapping[str, ImageLike | Sequence[ImageLike]]
LabelledMasks: TypeAlias = (
    ImageLike | Sequence[ImageLike | None] | Mapping[str, ImageLike | Sequence[ImageLike | None]] | None
)


class NamedTemplate(NamedTuple):
    """A template with its label, "" if it has none, and its mask."""

    label: str
    template: ImageLike
    mask: ImageLike | None


def checked_copy(name: str, values: ArrayLike) -> NDArray[Any]:
    """Check that an array holds real numbers, and copy it."""
    return np.array(check_numbers(name, values, finite=False))


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


def named_templates(templates: Labelled, masks: LabelledMasks) -> list[NamedTemplate]:
    """List templates with their labels, "" for a single one, and their masks; check labels and numbers."""
    named = _by_label("templates", templates)
    given = _masks_by_label(masks, named, listed=is_list(templates))
    found = []
    for label, arrays in named.items():
        own = given.get(label) or [None] * len(arrays)
        if len(own) != len(arrays):
            msg = (
                f'`masks` has {len(own)} for the label "{label}", which has {len(arrays)} templates; it must be a list '
                "of as many, with None for those that have no mask"
            )
            raise ValueError(msg)
        found += [NamedTemplate(label, *each) for each in zip(arrays, own, strict=True)]
    return found


def _by_label(name: str, arrays: Any) -> dict[str, list[Any]]:
    """Return arrays by label, "" for a single one; those of a list by number, or by the names of files."""
    if is_list(arrays):
        _check_list(name, arrays)
        return {label: [each] for label, each in zip(labels_of(arrays), arrays, strict=True)}
    if not isinstance(arrays, Mapping):
        return {"": [arrays]}
    if not arrays and name == "templates":
        msg = f"`{name}` is an empty mapping; it must hold at least one template"
        raise ValueError(msg)
    if not all(isinstance(label, str) for label in arrays):
        msg = f"`{name}` has the labels {list(arrays)}; they must be strings"
        raise TypeError(msg)
    for label, each in arrays.items():
        if is_list(each):
            _check_list(f"{name}[{label!r}]", each)
    return {label: list(each) if is_list(each) else [each] for label, each in arrays.items()}


def _masks_by_label(masks: Any, named: Mapping[str, list[Any]], *, listed: bool) -> dict[str, list[Any]]:
    """Return masks by the labels of templates; those of a list of templates may be listed as these are."""
    if masks is None:
        return {}
    if listed and is_list(masks):
        if len(masks) != len(named):
            msg = f"`masks` has {len(masks)} and `templates` {len(named)}; there must be as many, but may be None"
            raise ValueError(msg)
        return {label: [each] for label, each in zip(named, masks, strict=True)}
    if not isinstance(masks, Mapping):
        if list(named) != [""]:
            what = "a list" if is_list(masks) else "one array"
            msg = f"`masks` is {what}, but `templates` has labels; give a mapping with these labels"
            raise ValueError(msg)
        if is_list(masks):
            msg = "`masks` is a list, but `templates` is a single image; give one mask"
            raise ValueError(msg)
        return {"": [masks]}
    found = _by_label("masks", masks)
    unknown = [label for label in found if label not in named]
    if unknown:
        msg = f"`masks` has the labels {unknown}, which `templates` has not; its labels are {list(named)}"
        raise ValueError(msg)
    return found


def is_list(arrays: Any) -> bool:
    """Check for a list of images, not one image as nested lists of numbers."""
    return isinstance(arrays, list | tuple) and any(map(is_image, arrays))


def _check_list(name: str, arrays: Sequence[Any]) -> None:
    other = next((i for i, each in enumerate(arrays) if each is not None and not is_image(each)), None)
    if other is None and name.startswith("templates"):
        other = next((i for i, each in enumerate(arrays) if each is None), None)
    if other is not None:
        msg = (
            f"`{name}` lists images, but what is at {other} is of type {type(arrays[other]).__name__}; "
            "make an array of it, or a path"
        )
        raise TypeError(msg)
