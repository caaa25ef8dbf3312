"""Draw the figures of docs/explanation/decision.md: python notebooks/figures/decision.py."""
# ruff: noqa: SLF001

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter, maximum_filter

import tmatch
from tmatch._detection.null.footprint import Footprint

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "datasets"
POWER = 0.8
FONT = ImageFont.load_default(size=11)


def evidence_of_extrema(scores, chance):
    """Compute the evidence, to a power, of the local maxima and minima of cells, highest first."""
    variance, size = chance._null.local_variance, chance.cell_shape
    padded = np.pad(scores, [(0, -n % k) for n, k in zip(scores.shape, size, strict=True)])
    cells = padded.reshape(variance.shape[0], size[0], variance.shape[1], size[1])
    result = []
    for heights in (cells.max(axis=(1, 3)), -cells.min(axis=(1, 3))):
        tops = (heights > 0) & (heights == maximum_filter(heights, 3))
        evidence = evidence_of(heights.clip(0, 1 - 2**-12), variance)[tops]
        result.append(np.sort(evidence)[::-1] ** POWER)
    return result


def evidence_of(scores, variance):
    return -(1 - variance) / (2 * variance) * np.log1p(-(scores**2))


def draw_null():
    """The eye in the noisy raccoon: scores of peaks and minima, and the tail fitted to their evidence."""
    image, eye = (tmatch.read_image(DATA / "raccoon" / name) for name in ("noisy.png", "eye.png"))
    scores = tmatch.match_template(image, eye)
    chance = tmatch.estimate_chance(scores, eye)
    peaks, minima = evidence_of_extrema(scores, chance)
    position = np.unravel_index(scores.argmax(), scores.shape)
    variance = chance._null.local_variance[tuple(np.array(position) // chance.cell_shape)]
    some = np.linspace(0.001, 0.999, 1000)
    limit = evidence_of(some, variance)
    expected = chance.false_alarms(np.tile(position, (1000, 1)), some)

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    bins = np.linspace(-0.95, 0.95, 96)
    left.hist(scores.ravel(), bins, color="0.75", log=True)
    arrow = {"arrowstyle": "->", "color": "crimson"}
    left.annotate("the eye", (0.79, 1.5), (0.66, 300), color="crimson", arrowprops=arrow)
    left.set(xlabel="score", ylabel="positions", title="all scores of the map")

    known = np.sort(np.concatenate([peaks[1:], minima]))[::-1]
    right.semilogy(
        known, np.arange(1, len(known) + 1) / 2, ".", color="0.4", label="half the number of peaks and minima"
    )
    tail = chance._null.tail
    beyond = limit**POWER > tail.start
    right.semilogy((limit**POWER)[beyond], expected[beyond], color="tab:blue", label="fitted tail")
    right.semilogy(peaks[0], chance.false_alarms([position], [scores.max()])[0], "*", ms=13, color="crimson")
    right.annotate("the eye", (peaks[0], 0.01), (peaks[0] - 1.2, 0.0045), color="crimson")
    right.axvline(tail.start, color="0.7", lw=1, ls=":")
    right.set(xlim=(0, 16), ylim=(1e-3, 200), xlabel="evidence$^{0.8}$")
    right.set(ylabel="false alarms", title="the tail of the null distribution")
    right.legend()
    return figure


def draw_footprint():
    """A striped template: what is expected around a copy, and what the score map holds."""
    side, score = 32, 0.9
    stripes = np.tile(np.sin(2 * np.pi * np.arange(side) / 8), (side, 1)) * np.hanning(side + 2)[1:-1, None]
    image = np.random.default_rng(3).normal(0, stripes.std() * np.sqrt(1 / score**2 - 1), (160, 160))
    image[64 : 64 + side, 64 : 64 + side] += stripes
    scores = tmatch.match_template(image, stripes)
    highest, lowest = Footprint([stripes], [np.ones_like(stripes)]).at(scores[64, 64])
    around = scores[64 - side + 1 : 64 + side, 64 - side + 1 : 64 + side]

    figure, axes = plt.subplots(1, 4, figsize=(11, 2.9), width_ratios=[1, 1, 1, 1.5], layout="constrained")
    shift = np.arange(1 - side, side)
    extent = (-side + 0.5, side - 0.5, side - 0.5, -side + 0.5)
    crop = image[64 - side : 64 + 2 * side, 64 - side : 64 + 2 * side]
    axes[0].imshow(crop, cmap="gray")
    axes[0].add_patch(Rectangle((side - 0.5, side - 0.5), side, side, fill=False, ec="crimson", lw=1.5))
    axes[0].set(title="a copy in noise", xticks=[], yticks=[])
    both = np.where(highest > lowest, highest, -lowest)
    for axis, values, title in zip(axes[1:], (around, both), ("scores around it", "expected"), strict=False):
        shown = axis.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, extent=extent)
        axis.set(title=title, xlabel="shift in x", yticks=[])
    axes[1].set_ylabel("shift in y")
    figure.colorbar(shown, ax=axes[2], label="score")
    axes[3].fill_between(shift, -lowest[side - 1], highest[side - 1], color="0.8", label="expected at most")
    axes[3].plot(shift, around[side - 1], color="crimson", lw=1.2, label="scores")
    axes[3].set(xlabel="shift in x", ylabel="score", title="one row of both", ylim=(-1.1, 1.6))
    axes[3].legend(fontsize=8, loc="upper right", ncols=2)
    return figure


def draw_sheet(seed=2, rows=12, blocks=2):
    """An answer sheet with one bubble of each row filled; also the positions of the filled ones."""
    rng = np.random.default_rng(seed)
    page = Image.new("L", (225 * blocks + 10, 25 * rows + 25), 250)
    pen = ImageDraw.Draw(page)
    filled = []
    for number in range(rows * blocks):
        y, left = 15 + 25 * (number % rows), 20 + 225 * (number // rows)
        pen.text((left, y + 3), str(number + 1), fill=60, font=FONT)
        for k, letter in enumerate("ABCDE"):
            x = left + 40 + 32 * k
            pen.ellipse([x, y, x + 17, y + 17], outline=120)
            pen.text((x + 9, y + 9), letter, fill=120, font=FONT, anchor="mm")
        filled.append((y, left + 40 + 32 * int(rng.integers(5))))
    pixels = np.array(page, float)
    for y, x in filled:
        middle = 8.5 + rng.normal(0, 0.5, 2)
        distance = np.hypot(*(np.mgrid[:18, :18] - middle[:, None, None]))
        blot = gaussian_filter((distance < rng.uniform(7, 8.3)).astype(float), 0.7)
        pencil = rng.uniform(30, 90) + gaussian_filter(rng.normal(0, 40, (18, 18)), 1)
        there = pixels[y : y + 18, x : x + 18]
        there += blot * (pencil - there)
    return tmatch.to_range(gaussian_filter(pixels, 0.6) + rng.normal(0, 3, pixels.shape)), filled


def draw_group():
    """Filled bubbles of an answer sheet: a group of peaks above a gap."""
    page, filled = draw_sheet()
    y, x = filled[5]
    template = page[y : y + 18, x : x + 18]
    matches = tmatch.locate(page, template)
    scores = tmatch.match_template(page, template)
    peaks, minima = evidence_of_extrema(scores, tmatch.estimate_chance(scores, template))

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), width_ratios=[1.3, 1], layout="constrained")
    left.imshow(page, cmap="gray")
    for match in matches:
        (top, start), (height, width) = match.box.start, match.box.shape
        left.add_patch(Rectangle((start - 0.5, top - 0.5), width, height, fill=False, ec="crimson", lw=1.5))
    left.set(xticks=[], yticks=[], title=f"{len(filled)} filled bubbles, {len(matches)} matches")
    for values, marker, colour, name in ((peaks, "o", "tab:blue", "peaks"), (minima, "x", "0.5", "minima")):
        right.plot(np.arange(1, len(values) + 1), values, marker, ms=4, color=colour, label=name)
    n = len(matches)
    right.axhspan(max(peaks[n], minima[0]), peaks[n - 1], color="gold", alpha=0.4, lw=0, label="gap")
    right.set(xlim=(0, 80), xlabel="rank", ylabel="evidence$^{0.8}$", title="a group above its gap")
    right.legend(loc="upper right")
    return figure


if __name__ == "__main__":
    mpl.use("agg")
    for name, draw in (("null", draw_null), ("footprint", draw_footprint), ("group", draw_group)):
        draw().savefig(HERE / f"{name}.png", dpi=80)
