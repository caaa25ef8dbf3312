"""Compile, or load, all loops that the tests need, before several processes would each do so.

    python tests/compile_all.py

Numba keeps what it compiled beside the package, or in NUMBA_CACHE_DIR. What is forgotten here is compiled in a test.
"""

import concurrent.futures
import itertools
import multiprocessing
import os
import time

import numpy as np

import tmatch
from tmatch._engine import execution


def draw(shape, dtype, seed=0):
    rng, dtype = np.random.default_rng(seed), np.dtype(dtype)
    if dtype.kind in "iu":
        return rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype)
    values = rng.normal(size=shape)
    return values > 0 if dtype.kind == "b" else values.astype(dtype)


def search(dtypes):
    """Score in grey and colour by both ways of small templates, by masks, and several templates at a time."""
    for dtype, colours in itertools.product(dtypes, [3, None]):
        axis, more = (None, ()) if colours is None else (2, (colours,))
        image, large = draw((60, 70, *more), dtype), np.s_[7:31, 9:40]
        for template, direct in itertools.product(
            [image[7:12, 9:15], image[large], image[large].swapaxes(0, 1)], [None, False]
        ):
            with execution.using(direct_products=direct):
                for precision in ("double", "single"):
                    tmatch.match_template(image, template, precision=precision, channel_axis=axis)
                tmatch.locate(image, template, threshold=0.9, channel_axis=axis)
        disc = np.hypot(*np.mgrid[-12:12, -15:16]) < 12
        for precision in ("double", "single"):
            tmatch.match_template(image, image[large], mask=disc, precision=precision, channel_axis=axis)
        if dtype == "u1" or (dtype, colours) in {("u2", None), ("i2", None)}:
            several = tmatch.Matcher({"a": image[large], "b": image[large][::-1]}, channel_axis=axis)
            several.score(image)
            several.locate(image, threshold=0.9)


def decide():
    """Fit the null distribution to maps of one block and of several, of images of all kinds, with noisy copies."""
    for dtype in ["u1", "i2", "u2", "i4", "f4", "f8"]:
        image = draw((120, 130), dtype)
        image[70:94, 60:91] = image[7:31, 9:40]
        for tile, threshold in itertools.product([None, (40, 50)], [None, 0.9]):
            with execution.using(tile=tile):
                tmatch.locate(image, image[7:31, 9:40], threshold=threshold)


def search_in_more_colours():
    """Score in two and four channels, which are few."""
    for dtype, colours in [("u1", 2), ("u1", 4), ("i1", 2), ("i2", 2)]:
        image = draw((60, 70, colours), dtype)
        for template in (image[7:12, 9:15], image[7:31, 9:40]):
            tmatch.match_template(image, template, channel_axis=2)


def score():
    """Score by the sums of all metrics."""
    for dtype, metric in itertools.product(
        ["u1", "i2", "i4", "f4", "f8"], ["zncc", "ncc", "ssd", "orientation"]
    ):
        image = draw((40, 50, 3), dtype)
        for template, mask in itertools.product([image[3:9, 4:11], image[3:27, 4:31]], [None, 0.5]):
            for precision, (pixels, sought, axis) in itertools.product(
                ["double", "single"], [(image, template, 2), (image[..., 0], template[..., 0], None)]
            ):
                weights = (
                    None if mask is None else np.full(sought.shape[:2], mask) + np.eye(*sought.shape[:2])
                )
                options = {"metric": metric, "precision": precision, "channel_axis": axis, "mask": weights}
                tmatch.match_template(pixels, sought, **options)


def filter_images():
    """Filter by taps, axis after axis, and by transforms, small and large images, of several kinds of memory."""
    kernels = [
        draw((3, 4), "f8"),
        np.outer(draw(9, "f8"), draw(8, "f8")),
        draw((21, 20), "f8"),
        np.ones((9, 8)),
    ]
    for dtype, kernel in itertools.product(["u1", "i2", "u2", "f4", "f8"], kernels):
        images = [draw((40, 50), dtype), draw((700, 1300), dtype)]
        for image, result, fill in itertools.product(images, [None, "f4", "f8"], [0, 3]):
            tmatch.correlate(image, kernel, dtype=result, fill_value=fill)
        colour = draw((40, 50, 3), dtype)
        for image, axis in [(colour, 2), (colour[..., 0], None), (np.asfortranarray(images[0]), None)]:
            for output, stride in itertools.product(["same", "valid"], [1, (1, 2)]):
                tmatch.correlate(image, kernel, output=output, stride=stride, channel_axis=axis)


def search_poses():
    """Search in many poses, in grey and colour, of integers and floats, at levels and at full size."""
    image = draw((80, 90, 3), "u1")
    image[20:60, 20:60] = np.kron(draw((5, 5, 3), "u1", 1), np.ones((8, 8, 1), "u1"))
    for pixels, axis in [(image[..., 0], None), (image, 2), (image[..., 0] / 3.0, None)]:
        for how in ({}, {"search": "exhaustive"}, {"search": "certified"}):
            sought = {"angles": (-5, 5), "threshold": 0.8, "channel_axis": axis}
            tmatch.locate(pixels, pixels[20:60, 20:60], **sought, **how)


if __name__ == "__main__":
    os.environ["TMATCH_ENGINE"] = "numba"
    begun = time.monotonic()
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count(), context) as pool:
        parts = [
            (filter_images,),
            (search, ["u1", "?"]),
            (search, ["i2"]),
            (search, ["u2", "i1"]),
            (score,),
            (decide,),
            (search_in_more_colours,),
            (search_poses,),
        ]
        for done in [pool.submit(*part) for part in parts]:
            done.result()
    print(f"compiled or loaded in {time.monotonic() - begun:.0f} s")
