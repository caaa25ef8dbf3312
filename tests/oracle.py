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


def correlate(image, kernel, border="constant", fill=0, output="same", flip=False, missing="refuse"):
    """Sum of pixel times (conjugated) weight, element n // 2 of the kernel on the pixel; flip = convolve.

    With missing = "ignore", NaN and its weight are left out, and the sum is divided by the share of the weights that is
    left; it is NaN where these add up to at most a millionth of the magnitudes of all.
    """
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
        left = 0
        for k in np.ndindex(kernel.shape):
            there = tuple(place[a] + reach[a][k[a]] for a in sides)
            weight = kernel[k] if flip else np.conj(kernel[k])
            pixel = outside(image, there, border, fill)
            if missing == "refuse" or not np.isnan(pixel):
                out[target] += pixel * weight
                left += weight
        if missing == "ignore":
            whole = kernel.sum() if flip else np.conj(kernel.sum())
            out[target] = out[target] / left * whole if abs(left) > 1e-6 * np.abs(kernel).sum() else np.nan
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


# --- poses ----------------------------------------------------------------------------------------


def posed_score(image, template, mask, center, angle, scale=1, flip=False, channel_axis=None):
    """ZNCC over the pixels of the image that lie in a template that is flipped, scaled and rotated about its middle.

    A pixel lies in it if the template's outermost pixel centres have it between them. The template is a cubic spline
    there, through its pixels that count and, elsewhere, through the nearest that does; the mask is that of its nearest
    pixel. The angle is in degrees, counter-clockwise with row 0 at the top.
    """
    image, exists = _existing(image, None, "ignore", channel_axis)
    template, weights = _weighed(template, mask, channel_axis, None)
    channels = range(template.shape[-1])
    splines = [
        spline(_nearest_counted(template[..., c].astype(np.float64), weights[..., c])) for c in channels
    ]
    seen, expected, weight, group = [], [], [], []
    for pixel in np.ndindex(image.shape[:-1]):
        place = in_template(pixel, template.shape[:2], center, angle, scale, flip)
        if place is None:
            continue
        near = tuple(int(np.floor(p + 0.5)) for p in place)
        for channel, coefficients in enumerate(splines):
            if weights[near][channel] * exists[pixel][channel] > 0:
                seen.append(image[pixel][channel])
                expected.append(spline_value(coefficients, place))
                weight.append(weights[near][channel])
                group.append(channel)
    pixels = (np.array(part, np.longdouble) for part in (seen, expected, weight))
    return float(_fit(*pixels, np.array(group), "zncc", np.sum(weight))[0])


def _nearest_counted(values, weights):
    """The values, and where their weight is 0 that of the nearest one whose is not."""
    counted, filled = np.argwhere(weights > 0), values.copy()
    for place in np.argwhere(weights == 0):
        filled[tuple(place)] = values[tuple(counted[np.argmin(np.sum((counted - place) ** 2, axis=1))])]
    return filled


def in_template(pixel, shape, center, angle, scale, flip):
    """The place in a template, in its pixels, that a pixel of the image shows; None if it is not in it."""
    y, x = (p - c for p, c in zip(pixel, center, strict=True))
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    y, x = (cosine * y + sine * x) / scale, (cosine * x - sine * y) / scale
    middle = [(n - 1) / 2 for n in shape]
    place = [y + middle[0], (-x if flip else x) + middle[1]]
    if any(abs(p - m) > m + 1e-9 for p, m in zip(place, middle, strict=True)):
        return None
    return [min(max(p, 0), n - 1) for p, n in zip(place, shape, strict=True)]


def spline(values):
    """The coefficients of a cubic spline through these values, which are mirrored at their ends, on each axis."""
    for axis, n in enumerate(values.shape):
        weights = np.zeros((n, n))
        for i in range(n):
            for k in (-1, 0, 1):
                weights[i, _mirrored(i + k, n)] += 2 / 3 if k == 0 else 1 / 6
        values = np.apply_along_axis(
            lambda line, weights=weights: np.linalg.solve(weights, line), axis, values
        )
    return values


def spline_value(coefficients, place):
    """The value of a cubic spline at any place inside."""
    value = 0
    for step in np.ndindex((4,) * len(place)):
        there = [int(np.floor(p)) - 1 + k for p, k in zip(place, step, strict=True)]
        weight = np.prod([_cubic(abs(p - t)) for p, t in zip(place, there, strict=True)])
        value += weight * coefficients[tuple(map(_mirrored, there, coefficients.shape))]
    return value


def _cubic(distance):
    """The cubic B-spline."""
    if distance < 1:
        return 2 / 3 - distance**2 + distance**3 / 2
    return max(2 - distance, 0) ** 3 / 6


def _mirrored(i, n):
    """The index that stands for one outside, the ends not repeated."""
    if n == 1:
        return 0
    i = i % (2 * n - 2)
    return min(i, 2 * n - 2 - i)


# --- false alarms ---------------------------------------------------------------------------------

NEARLY_1 = 1 - 2**-12  # higher scores count as this one
COPY_SCORES = 1.0, 0.95, 0.85, 0.7, 0.5, 0.35  # of the copies that side lobes are computed for
REACH = 5  # cells


class _Map:
    """A score map in cells, each a tuple of indices; `height` has the peaks (0) and the negated minima (1) of them."""

    def __init__(self, scores, valid, window):
        self.size = [max(1, round(n / 4)) for n in window]
        members = {}
        for place in np.ndindex(scores.shape):
            cell = members.setdefault(self.cell(place), [])
            if valid[place]:
                cell.append(float(np.float32(scores[place])))
        self.cells = [*members]
        self.high = {c: max([0, *members[c]]) for c in members}
        self.height = [
            {c: min(max([0, *(sign * s for s in members[c])]), NEARLY_1) for c in members} for sign in (1, -1)
        ]
        shape = np.add(self.cells[-1], 1)
        self.squares, self.count = np.zeros(shape), np.zeros(shape)
        for c, each in members.items():
            self.squares[c], self.count[c] = sum(s**2 for s in each), len(each)
        self.everywhere = self.squares.sum() / max(self.count.sum(), 1)
        self.variance = self._variances()

    def cell(self, place):
        return tuple(int(p) // n for p, n in zip(place, self.size, strict=True))

    def neighbours(self, cell):
        near = (tuple(map(int, np.add(cell, step) - 1)) for step in np.ndindex((3,) * len(cell)))
        return [c for c in near if c in self.high]

    def tops(self, sign):
        """The cells whose extremum is as high as any next to it."""
        high = self.height[sign]
        return [
            c for c in self.cells if high[c] > 0 and 1.001 * high[c] >= max(map(high.get, self.neighbours(c)))
        ]

    def _variances(self):
        """Half the mean square of the whole map, half that of a ring, or of the cells about it if scores are smooth."""
        in_ring = {}
        for c in self.cells:
            (squares, n), (inner, n_inner) = (self._within(c, reach) for reach in (8, 4))
            here = (squares - inner) / (n - n_inner) if n > n_inner else self.everywhere
            in_ring[c] = (here + self.everywhere) / 2
        self.smooth = np.median([*in_ring.values()]) > 0.1
        if not self.smooth:
            return in_ring
        about = {c: self._within(c, 1) for c in self.cells}
        return {c: ((s / n if n else self.everywhere) + self.everywhere) / 2 for c, (s, n) in about.items()}

    def _within(self, cell, reach):
        part = tuple(slice(max(c - reach, 0), c + reach + 1) for c in cell)
        return self.squares[part].sum(), self.count[part].sum()


def evidence(score, variance):
    """How unlikely a score is where scores have this mean square."""
    score = min(max(score, 0), 1 - 1e-9)
    return -(1 - variance) / (2 * variance) * np.log(1 - score**2)


def around_copy(template):
    """For each shift, the scores expected there around copies of the scores above: highest and negated lowest ones.

    The ground around the copy is as high as its mean, as the median of its rim, or more of the template.
    """
    content = template - template.mean()
    content = content / np.sqrt(np.sum(content**2))
    last = [n - 1 for n in content.shape]
    on_rim = [any(i in (0, n) for i, n in zip(p, last, strict=True)) for p in np.ndindex(content.shape)]
    grounds = []
    for ground in (0, np.median(content[np.reshape(on_rim, content.shape)])):
        canvas = np.full([3 * n - 2 for n in content.shape], ground, np.float64)
        canvas[tuple(slice(n, 2 * n + 1) for n in last)] = content
        grounds.append(
            {place: (np.sum(content * w), w.size * np.var(w)) for place, w in windows(canvas, content.shape)}
        )
    out = np.zeros((len(COPY_SCORES), 2, *(2 * n - 1 for n in content.shape)))
    for place in grounds[0]:
        for level, score in enumerate(COPY_SCORES):
            noise = max(1 / score**2 - 1, 2e-3)
            expected = [each[place][0] / np.sqrt(each[place][1] + noise) for each in grounds]
            expected.append(score * grounds[0][place][0])
            out[(level, 0, *place)] = min(max(*expected, 0), 1)
            out[(level, 1, *place)] = min(max(*(-e for e in expected), 0), 1)
    return out


def around_in_cells(template, size):
    """The highest of those for each difference of cells: of all shifts from one cell to another, ends and all."""
    beside, found = around_copy(template), {}
    middle = [n // 2 for n in beside.shape[2:]]
    for step in itertools.product(range(-REACH, REACH + 1), repeat=len(size)):
        bounds = [(m + (d - 1) * n, m + (d + 1) * n) for d, n, m in zip(step, size, middle, strict=True)]
        part = beside[(..., *(slice(max(a, 0), max(b + 1, 0)) for a, b in bounds))]
        found[step] = (
            part.max(axis=tuple(range(2, part.ndim))) if part.size else np.zeros((len(COPY_SCORES), 2))
        )
    return found


def lobe(lobes, height, step, sign=0):
    """The score expected so many cells from a copy; of the other sign from a minimum."""
    if max(map(abs, step)) > REACH:
        return 0
    level = max(i for i, score in enumerate(COPY_SCORES) if score >= height)
    return lobes[step][level][sign] * height / COPY_SCORES[level]


def _side_lobes(grid, tops, lobes):
    """The extrema that are no higher than expected beside a higher one that is none itself."""
    root = np.sqrt(np.median([*grid.variance.values()]))
    strong = [(grid.height[s][c], s, c) for s in (0, 1) for c in tops[s] if grid.height[s][c] >= 2.5 * root]
    strong.sort(key=lambda each: (-each[0] * (0.9 if each[1] else 1), *each[1:]))
    found, others = set(), []
    for height, sign, cell in strong:
        steps = [tuple(map(int, np.subtract(cell, c))) for _, _, c in others]
        beside = [lobe(lobes, h, d, s ^ sign) for (h, s, _), d in zip(others, steps, strict=True)]
        expected = max(beside, default=0)
        if expected >= 2 * root and height <= 1.1 * expected + 2.5 * root:
            found.add((sign, cell))
        else:
            others.append((height, sign, cell))
    return found


class _Pareto:
    """The tail of the largest values, each to the power of 0.8."""

    def __init__(self, values):
        powers = sorted((q**0.8 for q in values), reverse=True)
        n = len(powers)
        self.k = min(max(20, int(0.03 * n)), max(n // 2, 1), n - 1)
        self.start = powers[self.k]
        self.scale = max(np.mean(powers[: self.k]) - self.start, 0.02 * self.start, 1e-9)

    def __call__(self, value):
        beyond = (value**0.8 - self.start) / self.scale
        return self.k / 2 * ((1 + beyond / self.k) ** -self.k if beyond > 0 else np.exp(min(-beyond, 50)))


def _group(peaks, minima, scores):
    """How many of the best peaks are above the widest gap that the tail below it hardly has, and the gap's chance."""
    order = sorted(range(len(peaks)), key=lambda i: -peaks[i])
    powers, lows = [peaks[i] ** 0.8 for i in order], sorted((q**0.8 for q in minima), reverse=True)
    widths = []
    for m in range(1, len(order) + 1):
        below = powers[m] if m < len(order) else 0
        widths.append(powers[m - 1] - max(below, lows[min(m // 10, len(lows) - 1)]))
    possible = [
        m
        for m in range(2, len(order) + 1)
        if sum(scores[i] >= 0.6 for i in order[:m]) >= 0.95 * m
        and widths[m - 1] > 0
        and len(order) + len(lows) - m >= 8
    ]
    possible.sort(key=lambda m: -m * widths[m - 1])
    gaps = []
    for m in possible[:40]:
        rest = [peaks[i] for i in order[m:]] + minima
        if len(rest) < 16:
            continue
        tail = _Pareto(rest)
        chance = m * (1 + m * widths[m - 1] / (tail.k * tail.scale)) ** -tail.k
        allowed = 1e-6 if min(scores[i] for i in order[:m]) >= 0.7 else 1e-10
        if widths[m - 1] >= 0.7 * tail.scale and chance <= allowed:
            gaps.append((widths[m - 1], m, chance))
    if not gaps:
        return [], 1
    widest, m, chance = max(gaps)
    if widths[0] >= 0.6 * widest and scores[order[0]] - scores[order[1]] >= 0.05:
        return [], 1
    return order[:m], chance


def _group_by_both(near, flat, scores):
    """The larger of the groups by two kinds of evidence, of peaks and minima, that is nearly one by the other, too."""
    best = [], 1
    for (peaks, minima), (others, other_minima) in ((near, flat), (flat, near)):
        members, chance = _group(peaks, minima, scores)
        if len(members) <= len(best[0]):
            continue
        least = np.quantile([others[i] for i in members], 0.1)
        intruders = [q for i, q in enumerate(others) if i not in members and q >= least]
        intruders += [q for q in other_minima if q >= least]
        alike = np.quantile([scores[i] for i in members], 0.1) >= 0.7
        if alike and len(intruders) <= 0.2 * len(members):
            best = members, chance
    return best


def _left_out(peaks, scores, minima):
    """How many of the best peaks are not fitted: the best, and further ones that can only be copies."""
    if sum(score >= 0.7 for score in scores) <= 1 or len(minima) < 2:
        return 1
    tail, count = _Pareto(minima), 1
    order = sorted(range(len(peaks)), key=lambda i: -peaks[i])
    for m, i in enumerate(order, 1):
        if scores[i] < 0.7 or 2 * tail(peaks[i]) >= 1e-4:
            break
        below = peaks[order[m]] ** 0.8 if m < len(order) else 0
        if peaks[i] ** 0.8 - below > 3 * tail.scale:
            count = m
    return count


def own_pixels(template):
    """Independent pixels of a template: as many as there are over the sum of its squared autocorrelation."""
    content = template - template.mean()
    canvas = np.pad(content, [(n - 1, n - 1) for n in content.shape])
    products = correlate_valid(canvas, content)
    return max(1, template.size / np.sum((products / products.max()) ** 2))


def reached_by_noise(score, pixels):
    """How often a correlation of white noise with so many pixels is above a score: the integral of its density."""

    def integral(low):
        angles = low + (np.pi / 2 - low) * (np.arange(4000) + 0.5) / 4000
        return np.sum(np.cos(angles) ** (pixels - 2)) * (np.pi / 2 - low)

    return integral(np.arcsin(min(score, 1 - 1e-9))) / (2 * integral(0))


def _white_noise(grid, peaks, lobes, template):
    """False alarms where there is too little to fit: of white noise, as in the cells that copies do not reach."""
    highest = max(grid.high.values())
    best = [c for c in grid.cells if grid.high[c] > 0 and 1.001 * grid.high[c] >= highest]
    best += [c for c in peaks if grid.height[0][c] >= 0.7]
    root = np.sqrt(np.median([*grid.variance.values()]))
    free = []
    for cell in grid.cells:
        steps = [tuple(map(int, np.subtract(cell, c))) for c in best]
        beside = [
            lobe(lobes, grid.height[0][c], d, s) for c, d in zip(best, steps, strict=True) for s in (0, 1)
        ]
        if max(beside, default=0) < max(0.15, 1.5 * root):
            free.append(cell)
    total = grid.count.sum()
    if sum(grid.count[c] for c in free) < 0.01 * total:
        mean = {c: grid.squares[c] / grid.count[c] for c in grid.cells if grid.count[c]}
        free = [c for c in mean if mean[c] <= np.quantile([*mean.values()], 0.1)]
    variance = sum(grid.squares[c] for c in free) / sum(grid.count[c] for c in free)
    n_free = sum(grid.count[c] > 0 for c in free)
    own = own_pixels(template)
    measured = min(max(1 - 2 / np.sqrt(n_free), 0) / variance, 4 * own)
    pixels = max(min(1 / variance, max(own, measured)), 1.1)
    return lambda _place, score: total * reached_by_noise(score, pixels)


def chance(scores, valid, template):
    """A function of place and score that gives the false alarms, and how many extrema its tail is fitted to."""
    template = np.asarray(template, np.float64)
    grid = _Map(scores, valid, template.shape)
    lobes = around_in_cells(template, grid.size)
    tops = [grid.tops(sign) for sign in (0, 1)]
    explained = _side_lobes(grid, tops, lobes)
    peaks, minima = ([c for c in tops[s] if (s, c) not in explained] for s in (0, 1))
    if len(minima) < 8 or len(peaks) + len(minima) <= 16:
        return _white_noise(grid, peaks, lobes, template), 0

    def all_evidence(variance):
        return [
            [evidence(grid.height[s][c], variance[c]) for c in part] for s, part in enumerate((peaks, minima))
        ]

    copies, chance_of_copies, members = set(), 1, True
    while members and not grid.smooth:  # once more without the members found before
        heights, near = [grid.height[0][c] for c in peaks], all_evidence(grid.variance)
        members, chance_of_group = _group_by_both(
            near, all_evidence(dict.fromkeys(grid.cells, grid.everywhere)), heights
        )
        chance_of_copies = min(chance_of_copies, chance_of_group)
        copies |= {peaks[i] for i in members}
        least = min((heights[i] for i in members), default=2), min((near[0][i] for i in members), default=0)
        copies |= {  # as good as one, if beside another
            c
            for s, c in explained
            if s == 0
            and grid.height[0][c] >= least[0]
            and evidence(grid.height[0][c], grid.variance[c]) >= least[1]
        }
        peaks = [c for i, c in enumerate(peaks) if i not in members]
    heights, near = [grid.height[0][c] for c in peaks], all_evidence(grid.variance)
    fitted = sorted(near[0], reverse=True)[_left_out(near[0], heights, near[1]) :] + near[1]
    if len(fitted) < 16:
        return _white_noise(grid, peaks, lobes, template), 0
    tail = _Pareto(fitted)

    def false_alarms(place, score):
        cell = grid.cell(place)
        expected = tail(evidence(min(score, NEARLY_1), grid.variance[cell]))
        if cell in copies and score >= grid.high[cell] - 2e-4:
            return min(expected, chance_of_copies)
        return expected

    return false_alarms, len(fitted)
