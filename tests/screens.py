"""Drawn screenshots with known icons, for tests and benchmarks of many images."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

ICONS = ("ok", "warn", "error", "save", "lock")
_COLOURS = {"ok": "green", "warn": "orange", "error": "red", "save": "navy", "lock": "dimgray"}


@dataclass(frozen=True)
class Screen:
    """A screenshot, and where each icon lies on it: x, y; None where it is absent."""

    pixels: np.ndarray
    icons: dict[str, tuple[int, int] | None]

    @property
    def missing(self):
        return [name for name, place in self.icons.items() if place is None]


def icon(name: str, side: int = 32) -> np.ndarray:
    """An icon with a shape of its own, drawn over white."""
    image = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(image)
    colour, last, half = _COLOURS[name], side - 3, side // 2
    if name == "ok":
        draw.line([(4, half), (half - 3, last - 3), (last, 5)], fill=colour, width=4)
    elif name == "warn":
        draw.polygon([(half, 2), (last, last), (2, last)], fill=colour)
        draw.rectangle([half - 1, 11, half + 1, 20], fill="black")
        draw.rectangle([half - 1, 23, half + 1, 25], fill="black")
    elif name == "error":
        draw.ellipse([2, 2, last, last], fill=colour)
        draw.line([(10, 10), (side - 11, side - 11)], fill="white", width=3)
        draw.line([(10, side - 11), (side - 11, 10)], fill="white", width=3)
    elif name == "save":
        draw.rectangle([3, 3, last, last], fill=colour)
        draw.rectangle([9, 3, last - 8, 11], fill="lightgray")
        draw.rectangle([8, 17, last - 6, last], fill="whitesmoke")
    else:
        draw.arc([9, 2, side - 10, 20], 180, 360, fill=colour, width=3)
        draw.rectangle([5, 13, last - 3, last], fill=colour)
        draw.ellipse([half - 3, 17, half + 2, 22], fill="gold")
    return np.array(image)


def screen(seed: int, shape: tuple[int, int] = (800, 1280), absent: float = 0.22) -> Screen:
    """A window with bars, fields and lines like text, and each icon once, or not at all."""
    rng = np.random.default_rng(seed)
    height, width = shape
    image = Image.new("RGB", (width, height), tuple(int(v) for v in rng.integers(200, 256, 3)))
    draw = ImageDraw.Draw(image)
    draw.rectangle([0, 0, width, 27], fill="steelblue")
    for _ in range(height * width // 20000):
        x, y = int(rng.integers(0, width)), int(rng.integers(28, height))
        wide, high = int(rng.integers(20, width // 4)), int(rng.integers(8, 60))
        shade = tuple(int(v) for v in rng.integers(150, 256, 3))
        draw.rectangle([x, y, x + wide, y + high], fill=shade, outline="gray")
        for top in range(y + 4, y + high - 5, 9):  # lines like text
            for left in range(x + 4, x + wide - 6, 6):
                if rng.random() < 0.7:
                    draw.rectangle([left, top, left + int(rng.integers(1, 4)), top + 4], fill="black")
    places: dict[str, tuple[int, int] | None] = {}
    cells = rng.permutation(((height - 30) // 48) * (width // 48))
    for name, cell in zip(ICONS, cells, strict=False):
        row, column = divmod(int(cell), width // 48)
        x, y = column * 48 + int(rng.integers(0, 16)), 30 + row * 48 + int(rng.integers(0, 16))
        places[name] = (x, y) if rng.random() >= absent else None
        if places[name]:
            image.paste(Image.fromarray(icon(name)), (x, y))
    return Screen(np.array(image), places)
