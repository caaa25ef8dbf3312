"""Draw the letters scene: a printed page, one template for each of 25 glyphs, and its truth.

Run ``python render.py``: it writes ``image.png``, the templates in ``glyphs``,
``page.json`` and ``truth.json`` into the folder of this file. Every glyph stands
at a whole pixel; then the page is blurred, lit from one side and made noisy. The
true boxes are the places where the glyphs were drawn; no matcher is asked.
"""

import json
from pathlib import Path
from typing import TypeAlias

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Box: TypeAlias = tuple[int, int, int, int]

SIZE = (640, 420)
PAPER, INK = 226, 44
HEIGHT = 24  # of the font, in pixels
LEFT, BASELINE, PITCH = 28, 50, 42
SPACE = 11
MARGIN = 2  # of paper around the ink of a glyph

LINES = (
    "Ellen and Tariq met in Qatar on 1 March",
    "BO8 80B B0Q QO0 EFE FEF 8B8 OQ0 0O8",
    "Fred did not learn the modern norm in Iraq",
    "Il1 lI1 1lI Il 11l bdpq pqdb dbqp qpbd",
    "stern corn born morn mom hem hen horn",
    "Bob cooed once or echoed on Monday noon",
    "hnhn rnm mrn nhm rm nm ceo oec eco coe",
    "In 1980 Della moored an old Finnish barge",
    "Qoph FB10 O8E8 E1F0 IQ81 Ql0d 8E0B I01F",
)
# What there is a template for: glyphs of the lines above, and glyphs that stand in none of them.
PRESENT = "BEFIOQbcdehlmnopqr018"
ABSENT = "GRu6"


def name(glyph: str) -> str:
    """Name a glyph so that every file system tells it from the others."""
    kind = "digit" if glyph.isdigit() else "upper" if glyph.isupper() else "lower"
    return f"{kind}_{glyph}"


def load_font() -> ImageFont.FreeTypeFont:
    """Load DejaVu Sans as it comes with Matplotlib."""
    path = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(path, HEIGHT, layout_engine=ImageFont.Layout.BASIC)


def write(image: Image.Image, at: tuple[int, int], glyph: str, font: ImageFont.FreeTypeFont) -> None:
    """Draw one glyph; the point is where its baseline begins."""
    ImageDraw.Draw(image).text(at, glyph, fill=INK, font=font, anchor="ls")


def measure(glyph: str, font: ImageFont.FreeTypeFont) -> Box:
    """Return the box of a glyph, its margin included, from the beginning of its baseline."""
    trial = Image.new("L", (4 * HEIGHT, 4 * HEIGHT), PAPER)
    write(trial, (2 * HEIGHT, 2 * HEIGHT), glyph, font)
    rows, columns = np.nonzero(np.asarray(trial) != PAPER)
    left, right = int(columns.min()) - MARGIN, int(columns.max()) + 1 + MARGIN
    top, bottom = int(rows.min()) - MARGIN, int(rows.max()) + 1 + MARGIN
    return left - 2 * HEIGHT, top - 2 * HEIGHT, right - left, bottom - top


def draw_template(glyph: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """Draw one glyph clean on paper."""
    left, top, width, height = measure(glyph, font)
    image = Image.new("L", (width, height), PAPER)
    write(image, (-left, -top), glyph, font)
    return image


def draw_page(font: ImageFont.FreeTypeFont) -> tuple[Image.Image, list[tuple[str, Box]]]:
    """Draw the clean page; return it with every glyph and its box, in reading order."""
    page = Image.new("L", SIZE, PAPER)
    truth: list[tuple[str, Box]] = []
    for line, text in enumerate(LINES):
        x, y = LEFT, BASELINE + PITCH * line
        for glyph in text:
            if glyph == " ":
                x += SPACE
                continue
            left, top, width, height = measure(glyph, font)
            write(page, (x, y), glyph, font)
            truth.append((glyph, (x + left, y + top, width, height)))
            if x + left + width > SIZE[0] or y + top + height > SIZE[1]:
                message = f"the page is too small for {text!r}"
                raise ValueError(message)
            x += round(font.getlength(glyph))
    return page, truth


def photograph(page: Image.Image) -> Image.Image:
    """Return the page a little blurred, unevenly lit and noisy."""
    soft = np.asarray(page.filter(ImageFilter.GaussianBlur(0.8)), dtype=np.float64)
    down, across = np.mgrid[0 : 1 : soft.shape[0] * 1j, 0 : 1 : soft.shape[1] * 1j]
    light = 1.04 - 0.14 * across - 0.08 * down**2
    noise = np.random.default_rng(9).normal(0.0, 8.0, soft.shape)
    return Image.fromarray(np.clip(np.rint(soft * light + noise), 0, 255).astype(np.uint8))


def as_json(box: Box) -> dict[str, int]:
    """Write a box as the truth has it."""
    return dict(zip(("x", "y", "width", "height"), box, strict=True))


def main() -> None:
    """Write the page, the templates and the truth."""
    here = Path(__file__).parent
    font = load_font()
    page, truth = draw_page(font)
    photograph(page).save(here / "image.png", optimize=True)
    (here / "glyphs").mkdir(exist_ok=True)
    for glyph in PRESENT + ABSENT:
        draw_template(glyph, font).save(here / "glyphs" / f"{name(glyph)}.png", optimize=True)

    glyphs = [json.dumps({"label": name(glyph), **as_json(box)}) for glyph, box in truth]
    text = '{\n  "glyphs": [\n    ' + ",\n    ".join(glyphs) + "\n  ]\n}\n"
    (here / "page.json").write_text(text, encoding="utf-8")

    searches = [
        {
            "image": "image.png",
            "template": f"glyphs/{name(glyph)}.png",
            "threshold": threshold,
            "boxes": [as_json(box) for drawn, box in truth if drawn == glyph],
            "note": note,
        }
        for glyph, threshold, note in (
            ("m", 0.9, "Nothing else reaches 0.78: n, h, and rn side by side."),
            ("B", 0.9, "The 8 reaches 0.801, so 0.8 would take it for a B."),
            ("R", 0.9, "There is none on this page; the B is nearest, at 0.792."),
        )
    ]
    text = json.dumps({"searches": searches}, indent=2)
    (here / "truth.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
