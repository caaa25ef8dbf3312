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


class RefusedError(ValueError):
    """There is no score at any place."""


def _refuse(reason):
    raise RefusedError(reason)


def score(
    image,
    template,
    metric="zncc",
    mask=None,
    image_mask=None,
    missing="refuse",
    min_overlap=0.5,
    output="valid",
    channel_axis=None,
    channel_weights=None,
    channel_means="separate",
):
    """Every window's score, whether it means something, and what its stated error is relative to.

    A window that starts outside the image has pixels that are missing, as those under image_mask are.
    """
    image, exists = _existing(image, image_mask, missing, channel_axis)
    template, weights = _weighed(template, mask, channel_axis, channel_weights)
    if metric == "orientation":
        image, exists = directions(image, exists)
        template, weights = directions(template, weights)
    _check_template(template, weights, metric, channel_means)

    starts = [
        {"valid": range(n - k + 1), "same": range(-(k // 2), n - k // 2), "full": range(1 - k, n)}[output]
        for n, k in zip(image.shape[:-1], template.shape[:-1], strict=True)
    ]
    scores = np.zeros([len(r) for r in starts])
    counts, valid, scale = np.zeros(scores.shape, bool), np.zeros(scores.shape, bool), np.zeros(scores.shape)
    total = np.sum(weights)
    for place, start in zip(np.ndindex(scores.shape), itertools.product(*starts), strict=True):
        inside, part = _overlap(start, image.shape, template.shape)
        seen = weights[part] * exists[inside]
        if np.sum(seen) < min_overlap * total * (1 - 1e-9):
            continue
        counts[place] = True
        where = np.nonzero(seen)
        pixels = image[inside][where], template[part][where], seen[where]
        group = where[-1] if channel_means == "separate" else np.zeros_like(where[-1])
        scores[place], valid[place], scale[place] = _fit(*pixels, group, metric, total)
    if not counts.any():
        _refuse("`min_overlap` is reached at no place")
    if metric in ("ssd", "nssd"):  # 0 is their best: what means nothing gets their worst, for nssd at most -1
        worst = scores[valid].min(initial=-1 if metric == "nssd" else 0)
        scores[~valid], scale[~valid] = worst, scale.max()
    return scores, valid, scale


def _fit(window, template, weight, group, metric, total):
    """Score, validity and scale from the pixels that count; those of one group share their mean."""
    if metric in ("zncc", "zcc"):
        window, template = centred(window, weight, group), centred(template, weight, group)
    ww, tt = np.sum(weight * window**2), np.sum(weight * template**2)
    norm = np.sqrt(ww * tt)
    whole = total / np.sum(weight)  # sums are scaled up to the template's whole weight
    if metric in ("cc", "zcc"):
        return whole * np.sum(weight * window * template), True, whole * norm
    if metric == "ssd":
        return -whole * np.sum(weight * (window - template) ** 2), True, whole * (ww + tt)
    if norm == 0:
        return 0, False, 0
    if metric == "nssd":
        difference = np.sum(weight * (window - template) ** 2) / norm
        return -difference, True, max(1, difference)
    return np.sum(weight * window * template) / norm, True, 1


def centred(values, weight, group):
    """Take off each group's weighted mean, and leave nothing at all of constant values."""
    values = values.copy()
    for g in set(group.tolist()):
        of, its_weight = values[group == g], weight[group == g]
        if _constant(of):
            of = np.zeros_like(of)
        for _ in range(2):  # the mean of large numbers is rounded, what is left of it hardly
            of = of - np.sum(its_weight * of) / np.sum(its_weight)
        values[group == g] = of
    return values


def _constant(values):
    return bool(np.all(values == values[0]))


def directions(values, weights):
    """Unit vectors of the central differences, as more channels.

    Their weight is the pixel's own, or 0 where the pixel or a neighbour on some axis has none.
    """
    dimensions = values.ndim - 1
    vectors = np.zeros((*values.shape, dimensions), np.longdouble)
    left = np.zeros(values.shape, np.longdouble)
    for place in np.ndindex(values.shape):
        near = [
            tuple(place[a] + step * (a == axis) for a in range(values.ndim))
            for axis in range(dimensions)
            for step in (-1, 1)
        ]
        inside = all(0 <= p < n for other in near for p, n in zip(other, values.shape, strict=True))
        if not inside or not all(weights[other] > 0 for other in (place, *near)):
            continue
        left[place] = weights[place]
        vector = [(values[near[2 * a + 1]] - values[near[2 * a]]) / 2 for a in range(dimensions)]
        length = np.sqrt(np.sum(np.square(vector)))
        if length > 0:
            vectors[place] = vector / length
    channels = (*values.shape[:-1], -1)
    return vectors.reshape(channels), np.repeat(left, dimensions, axis=-1)


def _overlap(start, image_shape, template_shape):
    """The part of the image that a window covers, and the part of the window that covers it."""
    sides = list(zip(start, image_shape, template_shape, strict=False))  # without the channels
    inside = tuple(slice(max(s, 0), min(s + k, n)) for s, n, k in sides)
    part = tuple(slice(max(-s, 0), min(k, n - s)) for s, n, k in sides)
    return inside, part


def _channels_last(array, channel_axis):
    array = np.asarray(array)
    return array[..., None] if channel_axis is None else np.moveaxis(array, channel_axis, -1)


def _existing(image, image_mask, missing, channel_axis):
    """The image, 0 where it has no pixel, and 1 where it has one; a pixel exists in all channels or in none."""
    image = _channels_last(image, channel_axis).astype(np.longdouble)
    exists = np.ones(image.shape[:-1], bool) if image_mask is None else np.asarray(image_mask)
    if missing == "ignore":
        exists = exists & ~np.isnan(image).any(axis=-1)
    exists = np.repeat(exists[..., None], image.shape[-1], axis=-1)
    image = np.where(exists, image, 0)
    if not np.isfinite(image).all():
        _refuse("`image` is not finite")
    return image, exists.astype(np.longdouble)


def _weighed(template, mask, channel_axis, channel_weights):
    """The template, 0 where its mask is, and every pixel's weight."""
    mask = np.ones(np.shape(template)) if mask is None else np.asarray(mask)
    mask = _channels_last(mask, channel_axis if mask.ndim == np.ndim(template) else None)
    template = _channels_last(template, channel_axis).astype(np.longdouble)
    mask = np.broadcast_to(mask, template.shape).astype(np.longdouble)
    template = np.where(mask > 0, template, 0)
    if not np.isfinite(template).all():
        _refuse("`template` is not finite")
    return template, mask * (1 if channel_weights is None else np.asarray(channel_weights, np.longdouble))


def _check_template(template, weights, metric, channel_means):
    """Refuse a template that has the same score, or none, in every window."""
    where = np.nonzero(weights)
    values = template[where]
    groups = where[-1] if channel_means == "separate" else np.zeros_like(where[-1])
    if values.size == 0:
        _refuse("`template` has no pixel that counts")
    if metric == "zncc" and all(_constant(values[groups == g]) for g in set(groups.tolist())):
        _refuse("`template` is constant")
    if metric in ("ncc", "nssd", "orientation") and not values.any():
        _refuse("`template` is zero")


def zncc(image, template, channel_axis=None):
    """Correlation of the de-meaned template with the de-meaned window, over both norms; flat windows 0."""
    return score(image, template, "zncc", channel_axis=channel_axis)[0]


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


# --- false alarms ---------------------------------------------------------------------------------


def evidence(score, usual):
    """How unlikely a score is where scores have this mean square."""
    score = min(max(score, 0), 1 - 1e-9)
    return -(1 - usual) / (2 * usual) * np.log(1 - score**2)


def chance(scores, valid, window):
    """A function of place and score that gives the false alarms; the map must have enough peaks to learn from."""
    size = [max(1, round(n / 4)) for n in window]
    cells = {}
    for place in np.ndindex(scores.shape):
        cell = tuple(p // n for p, n in zip(place, size, strict=True))
        cells.setdefault(cell, [])
        if valid[place]:
            cells[cell].append(float(scores[place]))
    around = {
        cell: [
            near
            for step in np.ndindex((3,) * scores.ndim)
            if (near := tuple(np.add(cell, step) - 1)) in cells
        ]
        for cell in cells
    }
    squares = {cell: [score**2 for near in around[cell] for score in cells[near]] for cell in cells}
    everywhere = np.mean([score**2 for cell in cells.values() for score in cell])
    usual = {cell: (np.mean(squares[cell] or [0]) + everywhere) / 2 for cell in cells}

    def tops(sign):
        found = {
            c: evidence(min(max([0, *(sign * s for s in cells[c])]), 1 - 2**-12), usual[c]) for c in cells
        }
        return [
            c for c in cells if found[c] > 0 and all(1.001 * found[c] >= found[near] for near in around[c])
        ], found

    (peaks, height), (hollows, depth) = tops(1), tops(-1)
    peaks, hollows = sorted((height[c] for c in peaks), reverse=True), [depth[c] for c in hollows]
    pool = sorted([q**0.8 for q in [*peaks[1:], *hollows]], reverse=True)
    k = max(20, int(0.03 * len(pool)))
    u, b = pool[k], max(np.mean(pool[:k]) - pool[k], 0.02 * pool[k])

    def false_alarms(place, score):
        score = min(score, 1 - 2**-12)
        beyond = (
            evidence(score, usual[tuple(p // n for p, n in zip(place, size, strict=True))]) ** 0.8 - u
        ) / b
        return k / 2 * (1 + beyond / k) ** -k if beyond > 0 else k / 2 * np.exp(min(-beyond, 50))

    return false_alarms
