"""Errors of ZNCC maps on data that is hard on them. Nothing is timed."""

import itertools
import re
import string
import textwrap
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from common import from_tests, optional, photo

import tmatch

Case = tuple[str, np.ndarray, np.ndarray, dict]  # its name, image, template, options of match_template


class Reasons(dict[str, str]):
    """Why arguments were refused, with a letter each, for the lines below the table."""

    def letter(self, reason: str) -> str:
        return self.setdefault(reason, string.ascii_letters[len(self)])


def robust() -> dict[str, Any]:
    """Errors of ZNCC maps on data that is hard on them, against the definition in long double."""
    oracle = from_tests("oracle")
    searchers = searchers_of_robust(optional("cv2"), optional("skimage"))
    print(
        "largest error against the definition; refused: an error with a reason; silent: no error, and wrong"
    )
    print(f"{'':30}" + "".join(f"{name:22}" for name in searchers).rstrip())
    reasons, table = Reasons(), {}
    for name, image, template, options in robust_cases():
        try:
            expected = oracle.score(image, template, **options)[0]
        except ValueError:  # there is nothing to compare, or nowhere
            expected = None
        table[name] = {
            who: outcome(search, image, template, options, expected, reasons)
            for who, search in searchers.items()
        }
        print(f"{name:30}" + "".join(f"{cell:22}" for cell in table[name].values()).rstrip(), flush=True)
    print("\nrefused because:")
    for reason, letter in reasons.items():
        print(f"  ({letter}) {textwrap.shorten(reason, 110, placeholder=' ..')}")
    return {"cases": table, "reasons": {letter: reason for reason, letter in reasons.items()}}


def searchers_of_robust(cv2, skimage) -> dict[str, Callable[..., np.ndarray]]:
    """All with the signature of tmatch.match_template, as far as they can do what it asks for."""

    def by_opencv(image, template, mask=None, channel_axis=None) -> np.ndarray:  # noqa: ARG001 - it guesses the axis
        if mask is not None:
            mask = mask.astype(np.uint8 if mask.dtype == bool else np.float32)
        return cv2.matchTemplate(image, template, cv2.TM_CCOEFF_NORMED, mask=mask)

    def by_skimage(image, template, mask=None, channel_axis=None) -> np.ndarray:  # noqa: ARG001 - to it colour is depth
        if mask is not None:
            msg = "has no masks"
            raise NotImplementedError(msg)
        return skimage.feature.match_template(image, template).squeeze()

    def by_tmatch_single(*arrays, **options) -> np.ndarray:
        return tmatch.match_template(*arrays, **options, precision="single")

    searchers: dict[str, Callable[..., np.ndarray]] = {}
    if cv2:
        searchers[f"OpenCV {cv2.__version__}"] = by_opencv
    if skimage:
        searchers[f"scikit-image {skimage.__version__}"] = by_skimage
    return searchers | {"tmatch": tmatch.match_template, "tmatch, single": by_tmatch_single}


def robust_cases() -> Iterator[Case]:
    """The template is always a piece of the image, unless that is the point."""
    noise, piece = np.random.default_rng(0).normal(size=(48, 60)), np.s_[24:33, 36:47]
    single = noise.astype(np.float32)

    def cut(name: str, image: np.ndarray, **options) -> Case:
        return name, image, image[piece].copy(), options

    yield cut("8 bits, a photo", photo(400, 700)[300:348, 600:660])
    for dtype, offset in itertools.product(("f4", "f8"), (1e2, 1e3, 1e4, 1e6, 1e8)):
        yield cut(f"offset {offset:.0e}, float{8 * np.dtype(dtype).itemsize}", (noise + offset).astype(dtype))
    for dtype, scale in itertools.product(("f4", "f8"), (1e-9, 1e9)):
        yield cut(f"scale {scale:.0e}, float{8 * np.dtype(dtype).itemsize}", (noise * scale).astype(dtype))
    left = np.arange(60) < 30
    yield cut("faint beside a bright flat", np.where(left, np.float32(1e4), single))
    yield cut("flat windows, float32", np.where(left, np.float32(0.1), single))
    yield "flat template", single, np.full((9, 11), 0.1, np.float32), {}
    yield cut(
        "one NaN in a corner", np.where(np.indices(noise.shape).sum(axis=0) == 0, np.float32(np.nan), single)
    )
    yield cut("uint16", (noise * 5000 + 32768).astype(np.uint16))
    yield cut("bool", noise > 0)
    distance = np.hypot(*(np.indices((9, 11)) - np.array([[[4]], [[5]]])))
    yield cut("mask", single, mask=distance < 4.5)
    yield cut("mask, half is flat", np.where(left, np.float32(100), single), mask=distance < 4.5)
    yield cut("soft mask", single, mask=np.clip((5.5 - distance) / 4, 0, 1).astype(np.float32))
    yield "swapped arguments", single[piece].copy(), single, {}
    colour = np.random.default_rng(1).normal(size=(48, 60, 3)).astype(np.float32)
    yield "colour cast", colour + np.float32([0, 1, 3]), colour[piece].copy(), {"channel_axis": 2}


def outcome(
    search: Callable[..., np.ndarray], image, template, options: dict, expected, reasons: Reasons
) -> str:
    """One cell of the table: how far off the scores are, or what else happened."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores = np.asarray(search(image, template, **options))
    except Exception as error:  # noqa: BLE001 - every peer has its own
        reason = re.sub(r"^OpenCV.* error: \(.*?\) ", "", str(error)).splitlines()[0]
        return f"refused ({reasons.letter(reason)})"
    if not np.isfinite(scores).all():
        what = "NaN" if np.isnan(scores).any() else "inf"
        return f"{what} at {np.mean(~np.isfinite(scores)):.0%} of places"
    if scores.min() == scores.max():
        return f"silent: all {scores.min():zg}"
    if expected is None:
        swapped = image.shape < template.shape and np.array_equal(scores, search(template, image, **options))
        return "silent: swapped" if swapped else f"silent: up to {scores.max():.2g}"
    return f"{np.abs(scores - expected).max():.0e}"
