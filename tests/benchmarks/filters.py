"""Convolution with zeros outside, results as large as the image, in the precision of the image (8 bit: double)."""

import itertools
import math

import numpy as np
from common import Contest, Report, Setup, opencv, photo, race, within

import tmatch

PEERS = [
    "fftconvolve", "oaconvolve", "ndimage", "convolve2d", "filter2D", "1d chain", "sepFilter2D",
]  # fmt: skip


def filters(setup: Setup) -> Report:
    from scipy import ndimage, signal

    cv2 = opencv(setup)
    shapes = [(512, 512), (1080, 1920)] + ([(2160, 3840)] if setup.full else [])
    columns = "".join(f"{peer:>{len(peer) + 2}}" for peer in PEERS)
    print("results were compared: within 1e-8 of 255 grey levels, float32 within 2e-3; c: colours")
    print(f"{'':35}tmatch; and times as long as that")
    print(f"{'image':>9} c type kernel {'':9}     ms{columns}")
    report, worst = Report(), {}
    for (height, width), colours, dtype in itertools.product(shapes, (1, 3), ("u1", "f4", "f8")):
        image = np.stack([photo(height, width)] * 3, axis=-1).astype(dtype)
        image = image if colours == 3 else np.ascontiguousarray(image[..., 0])
        sizes = (3, 7, 21) if setup.quick or (colours == 3 and not setup.full) else (3, 5, 7, 11, 21, 31, 64)
        for separable, size in itertools.product((False, True), sizes):
            kernel, column, row = make_kernel(size, separable=separable)
            contest = contest_of_filters(image, kernel, signal, ndimage, cv2, setup.threads)
            if separable:
                contest |= contest_of_separable(image, column, row, ndimage, cv2)
            check = within(1e-8 if dtype != "f4" else 2e-3)  # of grey levels up to 255 times weights of sum 1
            timings = race(contest, setup.rounds if height < 2000 else 3, check)
            times = {name: timing.ms for name, timing in timings.items()}
            kind = "separable" if separable else "general"
            case = f"{height}x{width} {colours} {dtype} {size}x{size} {kind}"
            report.add(case, times, groups=(kind,))
            of_peers = report.cases[case]["ratios"]["tmatch"]
            for name, ratio in of_peers.items():
                for key in bars(name, size, dtype, separable=separable):
                    worst[key] = min(worst.get(key, math.inf), ratio)
            shown = "".join(
                f"{format(of_peers[peer], '.2f') + 'x' if peer in of_peers else '-':>{len(peer) + 2}}"
                for peer in PEERS
            )
            start = f"{f'{height}x{width}':>9} {colours}  {dtype}  {f'{size}x{size}':>5}  {kind:9}"
            print(f"{start}{times['tmatch']:8.2f}{shown}", flush=True)
    print("\nleast ratio over the table (above 1: tmatch is faster)")
    for key, ratio in sorted(worst.items()):
        print(f"  {key:60} {ratio:.2f}x")
    return report


def make_kernel(size: int, *, separable: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(size)
    column, row = random.random(size), random.random(size)
    kernel = np.outer(column, row) if separable else random.random((size, size))
    return kernel / kernel.sum(), column / column.sum(), row / row.sum()


def contest_of_filters(image, kernel, signal, ndimage, cv2, workers: int | None) -> Contest:
    size, colour = len(kernel), image.ndim == 3
    single = image.dtype == np.float32
    weights = kernel[..., None] if colour else kernel
    weights = weights.astype(np.float32) if single else weights
    origin = [(size % 2) - 1] * 2 + [0] * colour  # ndimage's centre of even kernels lies one pixel further
    anchor = ((size - 1) // 2,) * 2
    target = np.float32 if single else np.float64
    contest: Contest = {
        "tmatch": lambda: tmatch.convolve(
            image, kernel, anchor=anchor, channel_axis=2 if colour else None, workers=workers
        ),
        "fftconvolve": lambda: signal.fftconvolve(image, weights, mode="same", axes=(0, 1)),
        "oaconvolve": lambda: signal.oaconvolve(image, weights, mode="same", axes=(0, 1)),
    }
    if image.size * size * size < 3e8:  # beyond that these take seconds
        contest["ndimage"] = lambda: ndimage.convolve(
            image, weights, output=target, mode="constant", origin=origin
        )
        if not colour:
            contest["convolve2d"] = lambda: signal.convolve2d(image, weights, mode="same")
    if cv2:
        flipped = np.ascontiguousarray(kernel[::-1, ::-1])
        depth = cv2.CV_32F if single else cv2.CV_64F
        contest["filter2D"] = lambda: cv2.filter2D(image, depth, flipped, borderType=cv2.BORDER_CONSTANT)
    return contest


def contest_of_separable(image, column, row, ndimage, cv2) -> Contest:
    single = image.dtype == np.float32
    origin = (len(row) % 2) - 1
    options = {"output": np.float32 if single else np.float64, "mode": "constant", "origin": origin}

    def chain() -> np.ndarray:
        return ndimage.convolve1d(
            ndimage.convolve1d(image, column, axis=0, **options), row, axis=1, **options
        )

    contest: Contest = {"1d chain": chain}
    if cv2:
        depth = cv2.CV_32F if single else cv2.CV_64F
        x, y = row[::-1].copy(), column[::-1].copy()
        contest["sepFilter2D"] = lambda: cv2.sepFilter2D(image, depth, x, y, borderType=cv2.BORDER_CONSTANT)
    return contest


def bars(name: str, size: int, dtype: str, *, separable: bool) -> list[str]:
    """The promises a peer's ratio counts for."""
    if name in ("fftconvolve", "oaconvolve", "1d chain"):
        return ["any of SciPy: at least 1"]
    if name == "convolve2d":
        return ["any of SciPy: at least 1", "scipy.signal.convolve2d: at least 5"]
    if name == "ndimage":
        return ["any of SciPy: at least 1"] + (
            ["scipy.ndimage from 7 x 7 on: at least 5"] if size >= 7 else []
        )
    if name == "filter2D" and size >= 21 and dtype == "f4" and not separable:
        return ["cv2.filter2D, general, from 21 x 21 on, float32: at least 2"]
    return []
