"""Draw the tiles scene: a floor of touching tiles, its template and its truth.

Run ``python render.py``: it writes ``image.png``, ``worn.png``,
``template.png`` and ``truth.json`` into the folder of this file. Forty tiles
lie upright, twenty are turned; the true boxes are the places where the upright
ones were laid.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

TILE = 48
COLUMNS, ROWS = 10, 6
TURNED = 20
MARGIN = 12
SCALE = 8  # the tile is drawn this much larger and then reduced


def draw_tile() -> Image.Image:
    """Draw one tile: a leaf in one corner, a ring and a band."""
    side = TILE * SCALE
    image = Image.new("RGB", (side, side), (226, 214, 190))
    pen = ImageDraw.Draw(image)
    pen.pieslice((-180, 140, 200, 520), 270, 360, fill=(34, 92, 120))
    pen.pieslice((-120, 200, 140, 460), 270, 360, fill=(238, 230, 212))
    pen.ellipse((212, 36, 348, 172), fill=(176, 70, 48))
    pen.ellipse((248, 72, 312, 136), fill=(226, 214, 190))
    pen.polygon([(384, 236), (384, 312), (236, 384), (150, 384)], fill=(92, 122, 70))
    pen.rectangle((32, 40, 140, 64), fill=(52, 44, 40))
    pen.rectangle((0, 0, side - 1, side - 1), outline=(150, 140, 124), width=SCALE)
    return image.reduce(SCALE)


def lay_floor(tile: Image.Image) -> tuple[Image.Image, list[tuple[int, int]]]:
    """Lay the floor; return it with the corners of the upright tiles."""
    size = (COLUMNS * TILE + 2 * MARGIN, ROWS * TILE + 2 * MARGIN)
    floor = Image.new("RGB", size, (96, 88, 80))
    rng = np.random.default_rng(7)
    turns = np.zeros(COLUMNS * ROWS, dtype=np.int64)
    turned = rng.choice(turns.size, TURNED, replace=False)
    turns[turned] = rng.integers(1, 4, TURNED)
    upright: list[tuple[int, int]] = []
    for index, turn in enumerate(turns.tolist()):
        corner = (
            MARGIN + TILE * (index % COLUMNS),
            MARGIN + TILE * (index // COLUMNS),
        )
        floor.paste(tile.rotate(90 * turn), corner)
        if turn == 0:
            upright.append(corner)
    return floor, upright


def wear(floor: Image.Image) -> Image.Image:
    """Return a grey, noisy photograph of the floor in slanting light."""
    clean = np.asarray(floor, dtype=np.float64) @ (0.2125, 0.7154, 0.0721)
    light = np.linspace(0.35, 1.0, clean.shape[1])
    noise = np.random.default_rng(8).normal(0.0, 10.0, clean.shape)
    worn = np.clip(np.rint(clean * light + noise), 0, 255)
    return Image.fromarray(worn.astype(np.uint8))


def main() -> None:
    """Write the pictures, the template and the truth."""
    here = Path(__file__).parent
    tile = draw_tile()
    floor, upright = lay_floor(tile)
    floor.save(here / "image.png", optimize=True)
    wear(floor).save(here / "worn.png", optimize=True)
    tile.save(here / "template.png", optimize=True)
    boxes = [{"x": x, "y": y, "width": TILE, "height": TILE} for x, y in upright]
    notes = {
        "image.png": "Forty exact copies that touch; the turned tiles are no match.",
        "worn.png": "The same floor, in grey, darker to the left and noisy.",
    }
    searches = [
        {
            "image": name,
            "template": "template.png",
            "threshold": 0.8,
            "boxes": boxes,
            "note": note,
        }
        for name, note in notes.items()
    ]
    text = json.dumps({"searches": searches}, indent=2)
    (here / "truth.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
