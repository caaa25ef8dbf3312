"""The definitions, as plain loops in float64. This file is the specification: numpy only, never optimised."""

import itertools

import numpy as np


def windows(image, shape):
    """Every place a window of this shape fits, with the window."""
    places = [range(n - k + 1) for n, k in zip(image.shape, shape, strict=True)]
    for place in itertools.product(*places):
        yield place, image[tuple(slice(i, i + k) for i, k in zip(place, shape, strict=True))]


def _map(image, shape, value, dtype=np.float64):
    out = np.zeros([n - k + 1 for n, k in zip(image.shape, shape, strict=True)], dtype)
    for place, window in windows(image, shape):
        out[place] = value(window)
    return out


def correlate_valid(image, kernel):
    dtype = np.result_type(np.asarray(image), np.asarray(kernel), np.float64)
    image, kernel = np.asarray(image).astype(dtype), np.conj(np.asarray(kernel).astype(dtype))
    return _map(image, kernel.shape, lambda window: np.sum(window * kernel), dtype)


def sliding_sum(array, shape):
    return _map(np.asarray(array).astype(np.float64), shape, np.sum)


def sliding_max(array, shape):
    return _map(np.asarray(array), shape, np.max, np.asarray(array).dtype)


def sliding_min(array, shape):
    return _map(np.asarray(array), shape, np.min, np.asarray(array).dtype)


def outside(image, place, border, fill=0):
    """The pixel at any place, the image going on outside itself by the border's rule."""
    inside = []
    for i, n in zip(place, image.shape, strict=True):
        if border == "constant" and not 0 <= i < n:
            return fill
        if border == "edge":
            i = min(max(i, 0), n - 1)
        elif border == "wrap":
            i = i % n
        elif border == "symmetric":  # d c b a | a b c d | d c b a
            i = i % (2 * n)
            i = i if i < n else 2 * n - 1 - i
        elif border == "reflect":  # d c b | a b c d | c b a
            i = i % (2 * n - 2) if n > 1 else 0
            i = i if i < n else 2 * n - 2 - i
        inside.append(i)
    return image[tuple(inside)]


def correlate(image, kernel, border="constant", fill=0, output="same", flip=False):
    """Sum of pixel times (conjugated) weight, element n // 2 of the kernel on the pixel; flip = convolve."""
    image, kernel = np.asarray(image), np.asarray(kernel)
    dtype = np.result_type(image, kernel, np.float64)
    image, kernel = image.astype(dtype), kernel.astype(dtype)
    sides = range(image.ndim)
    centre = [n // 2 for n in kernel.shape]
    # How far a kernel element lies from the pixel it weighs: k - centre, or centre - k when flipped.
    reach = [
        [(c - k if flip else k - c) for k in range(n)] for c, n in zip(centre, kernel.shape, strict=True)
    ]
    low, high = [min(r) for r in reach], [max(r) for r in reach]
    if output == "same":
        ranges = [range(n) for n in image.shape]
    elif output == "valid":
        ranges = [range(-low[a], image.shape[a] - high[a]) for a in sides]
    else:
        ranges = [range(-high[a], image.shape[a] - low[a]) for a in sides]
    out = np.zeros([len(r) for r in ranges], dtype)
    for target, place in zip(np.ndindex(out.shape), itertools.product(*ranges), strict=True):
        for k in np.ndindex(kernel.shape):
            there = tuple(place[a] + reach[a][k[a]] for a in sides)
            weight = kernel[k] if flip else np.conj(kernel[k])
            out[target] += outside(image, there, border, fill) * weight
    return out


def zncc(image, template, channel_axis=None):
    """Correlation of the de-meaned template with the de-meaned window, over both norms; flat windows 0."""
    image = np.asarray(image).astype(np.longdouble)
    template = np.asarray(template).astype(np.longdouble)
    if channel_axis is None:
        image, template = image[..., None], template[..., None]
    else:
        image, template = np.moveaxis(image, channel_axis, -1), np.moveaxis(template, channel_axis, -1)
    sides = tuple(range(image.ndim - 1))
    centred = template - template.mean(axis=sides)  # each channel has its own mean
    centred -= centred.mean(axis=sides)  # the mean of large numbers is rounded, what is left of it hardly

    def score(window):
        if np.all(window == window[(0,) * len(sides)]):
            return 0.0
        window = window - window.mean(axis=sides)
        window -= window.mean(axis=sides)
        return float(np.sum(window * centred) / np.sqrt(np.sum(window**2) * np.sum(centred**2)))

    places = [range(n - k + 1) for n, k in zip(image.shape[:-1], template.shape[:-1], strict=True)]
    out = np.zeros([len(r) for r in places])
    for place in itertools.product(*places):
        out[place] = score(
            image[tuple(slice(i, i + k) for i, k in zip(place, template.shape[:-1], strict=True))]
        )
    return out


def peaks(scores, threshold=-np.inf):
    """Plateaus of equal scores whose every neighbour is lower: one place each, the middle one."""
    scores = np.asarray(scores)
    steps = [s for s in itertools.product((-1, 0, 1), repeat=scores.ndim) if any(s)]
    seen, found = set(), []
    for start in np.ndindex(scores.shape):
        if start in seen or not scores[start] >= threshold:
            continue
        plateau, todo, is_peak = [], [start], True
        seen.add(start)
        while todo:
            place = todo.pop()
            plateau.append(place)
            for step in steps:
                near = tuple(int(p + s) for p, s in zip(place, step, strict=True))
                if not all(0 <= i < n for i, n in zip(near, scores.shape, strict=True)):
                    continue
                if scores[near] > scores[place]:
                    is_peak = False
                elif scores[near] == scores[place] and near not in seen:
                    seen.add(near)
                    todo.append(near)
        if is_peak:
            middle = np.mean(plateau, axis=0)
            plateau.sort(key=lambda p: (round(float(np.sum((p - middle) ** 2)), 9), p))
            found.append(plateau[0])
    found.sort(key=lambda p: (-scores[p], p))
    return [tuple(int(i) for i in p) for p in found]


def iou(a, b):
    """Pixels in both boxes over pixels in either, counted one by one."""

    def pixels(box):
        ranges = [range(s, s + n) for s, n in zip(box.start, box.shape, strict=True)]
        return set(itertools.product(*ranges))

    return len(pixels(a) & pixels(b)) / len(pixels(a) | pixels(b))


def suppress(matches, max_overlap):
    """Best first, each kept unless it overlaps one already kept by more than max_overlap."""
    kept = []
    for match in sorted(matches, key=lambda m: (-m.score, m.box.start, m.box.shape, m.label)):
        if all(iou(match.box, other.box) <= max_overlap for other in kept):
            kept.append(match)
    return kept
