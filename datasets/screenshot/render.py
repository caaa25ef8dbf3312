"""Draw the screenshot scene: one window, its templates and its truth.

Run ``python render.py``: it writes ``image.png``, the templates and
``truth.json`` into the folder of this file. Everything is drawn at whole
pixels, so equal things are equal copies. The true boxes are the places where
the things were drawn; no matcher is asked.
"""

import json
from pathlib import Path
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

Colour: TypeAlias = tuple[int, int, int]
Point: TypeAlias = tuple[int, int]

SIZE = (800, 500)
INK: Colour = (38, 44, 54)
MUTED: Colour = (118, 126, 138)
LINE: Colour = (218, 222, 228)
WHITE: Colour = (255, 255, 255)
ACCENT: Colour = (36, 112, 214)
NEUTRAL: Colour = (240, 240, 240)
RED: Colour = (220, 40, 40)
BLUE: Colour = (30, 77, 230)  # the same grey level as RED

ICON = (26, 24)
BUTTON = (84, 24)
CHECK = (20, 20)
DOT = (20, 20)
DIALOG = (40, 40)
SCALE = 8  # shapes are drawn this much larger and then reduced

ROWS = (
    ("folder", "Letters", "12 files", "Restore"),
    ("folder", "Photographs", "840 files", "Verify"),
    ("sheet", "accounts.csv", "18 kB", "Restore"),
    ("folder", "Music", "96 files", "Remove"),
    ("sheet", "journal.txt", "4 kB", "Restore"),
    ("folder", "Projects", "31 files", "Restore"),
    ("sheet", "map-of-town.pdf", "2.3 MB", "Release"),
    ("folder", "Recipes", "57 files", "Restore"),
)
SELECTED_ROW = 3
CHECKS = (
    ("Documents", True),
    ("Pictures", True),
    ("Hidden files", False),
    ("Mail", True),
    ("System", False),
    ("Downloads", False),
    ("Calendars", True),
)
DOTS = (
    (RED, "Server A: offline"),
    (BLUE, "Server B: copying"),
    (RED, "Disk 3: full"),
    (BLUE, "Disk 4: checking"),
)


def grey(colour: Colour) -> int:
    """Return the grey level of a colour, rounded."""
    red, green, blue = colour
    return round(0.2125 * red + 0.7154 * green + 0.0721 * blue)


class Window:
    """A picture with the few drawing steps that a window needs."""

    def __init__(self) -> None:
        self.image = Image.new("RGB", SIZE, WHITE)
        self.draw = ImageDraw.Draw(self.image)

    def area(self, left: int, top: int, right: int, bottom: int, fill: Colour) -> None:
        """Fill a rectangle; right and bottom are left out."""
        self.draw.rectangle((left, top, right - 1, bottom - 1), fill=fill)

    def text(self, at: Point, words: str, fill: Colour = INK, size: int = 13) -> None:
        """Write words; the point is the middle of their left edge."""
        font = ImageFont.load_default(size=size)
        self.draw.text(at, words, fill=fill, font=font, anchor="lm")

    def shape(self, at: Point, picture: Image.Image) -> None:
        """Lay a picture with transparency over the window."""
        self.image.paste(picture, at, picture)


def canvas(size: Point) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Return an empty enlarged picture and its pen."""
    image = Image.new("RGBA", (size[0] * SCALE, size[1] * SCALE))
    return image, ImageDraw.Draw(image)


def reduce(image: Image.Image) -> Image.Image:
    """Return an enlarged picture at its true size, with smooth edges."""
    return image.reduce(SCALE)


def folder() -> Image.Image:
    """Draw a folder."""
    image, pen = canvas(ICON)
    pen.rounded_rectangle((24, 28, 104, 90), 10, fill=(214, 150, 40))
    pen.rounded_rectangle((24, 48, 183, 163), 10, fill=(214, 150, 40))
    pen.rounded_rectangle((24, 68, 183, 163), 10, fill=(250, 200, 92))
    return reduce(image)


def sheet() -> Image.Image:
    """Draw a sheet of paper with lines on it."""
    image, pen = canvas(ICON)
    pen.polygon([(48, 16), (120, 16), (160, 56), (160, 176), (48, 176)], fill=MUTED)
    pen.polygon([(56, 24), (116, 24), (152, 60), (152, 168), (56, 168)], fill=WHITE)
    for y in (80, 104, 128):
        pen.rectangle((72, y, 135, y + 8), fill=ACCENT)
    return reduce(image)


def check(*, ticked: bool) -> Image.Image:
    """Draw a check box."""
    image, pen = canvas(CHECK)
    fill, edge = (ACCENT, ACCENT) if ticked else (WHITE, MUTED)
    pen.rounded_rectangle((16, 16, 143, 143), 24, fill=fill, outline=edge, width=10)
    if ticked:
        pen.line([(44, 82), (70, 108), (116, 54)], fill=WHITE, width=16, joint="curve")
    return reduce(image)


def dot(colour: Colour) -> Image.Image:
    """Draw a status light."""
    image, pen = canvas(DOT)
    pen.ellipse((24, 24, 135, 135), fill=colour)
    return reduce(image)


def dialog() -> Image.Image:
    """Draw the warning sign that this window does not show."""
    image, pen = canvas(DIALOG)
    pen.polygon([(160, 24), (300, 280), (20, 280)], fill=(240, 170, 20))
    pen.rounded_rectangle((148, 104, 172, 204), 12, fill=INK)
    pen.ellipse((146, 224, 174, 252), fill=INK)
    return reduce(image)


def button(words: str) -> Image.Image:
    """Draw a button that bears some words."""
    image, pen = canvas(BUTTON)
    width, height = BUTTON[0] * SCALE - 1, BUTTON[1] * SCALE - 1
    pen.rounded_rectangle((0, 0, width, height), 40, fill=ACCENT)
    small = reduce(image)
    font = ImageFont.load_default(size=13)
    centre = (BUTTON[0] // 2, BUTTON[1] // 2)
    ImageDraw.Draw(small).text(centre, words, fill=WHITE, font=font, anchor="mm")
    return small


def draw_frame(window: Window) -> None:
    """Draw the title bar, the tool bar and the empty panels."""
    window.area(0, 0, 800, 36, (44, 52, 66))
    window.text((16, 18), "Keeper - Archive of March", WHITE, 14)
    window.draw.line((706, 22, 716, 22), fill=WHITE, width=2)
    window.draw.rectangle((738, 13, 748, 23), outline=WHITE, width=2)
    window.draw.line((772, 13, 782, 23), fill=WHITE, width=2)
    window.draw.line((782, 13, 772, 23), fill=WHITE, width=2)
    window.area(0, 36, 800, 80, (247, 248, 250))
    for x, words in ((16, "File"), (66, "Edit"), (118, "Schedule"), (204, "Help")):
        window.text((x, 58), words, INK, 14)
    window.draw.rounded_rectangle((560, 46, 783, 70), 6, fill=WHITE, outline=LINE)
    window.text((572, 58), "Search in archive", MUTED)
    window.area(0, 79, 800, 80, LINE)
    window.area(0, 80, 190, 460, (238, 241, 246))
    window.area(190, 80, 191, 460, LINE)
    window.area(0, 460, 800, 500, NEUTRAL)
    window.area(0, 460, 800, 461, LINE)


def render() -> tuple[Image.Image, dict[str, list[Point]]]:
    """Return the picture and the top left corners of what is searched."""
    window = Window()
    places: dict[str, list[Point]] = {}
    draw_frame(window)

    window.text((16, 104), "Include", MUTED, 12)
    for index, (words, ticked) in enumerate(CHECKS):
        at = (14, 120 + 34 * index)
        window.shape(at, check(ticked=ticked))
        window.text((at[0] + 30, at[1] + 10), words)
        places.setdefault("ticked" if ticked else "empty", []).append(at)
    window.text((16, 436), "Last run: 4 March, 21:10", MUTED, 12)

    for x, words in ((244, "Name"), (500, "Size"), (690, "Action")):
        window.text((x, 104), words, MUTED, 12)
    for index, (icon, name, size, action) in enumerate(ROWS):
        top = 120 + 40 * index
        ground = (221, 234, 252) if index == SELECTED_ROW else WHITE
        window.area(191, top, 800, top + 40, ground)
        window.area(206, top + 39, 786, top + 40, LINE)
        window.shape((208, top + 8), folder() if icon == "folder" else sheet())
        window.text((244, top + 20), name, size=14)
        window.text((500, top + 20), size, MUTED)
        window.shape((690, top + 8), button(action))
        places.setdefault(icon, []).append((208, top + 8))
        places.setdefault(action, []).append((690, top + 8))

    for index, (colour, words) in enumerate(DOTS):
        at = (14 + 196 * index, 471)
        window.shape(at, dot(colour))
        window.text((at[0] + 28, at[1] + 10), words)
        places.setdefault("red" if colour == RED else "blue", []).append(at)
    return window.image, places


def main() -> None:
    """Write the picture, the templates and the truth."""
    if grey(RED) != grey(BLUE):
        message = "the two dots must have one grey level"
        raise ValueError(message)
    here = Path(__file__).parent
    image, places = render()
    image.save(here / "image.png", optimize=True)
    absent = Image.new("RGB", DIALOG, WHITE)
    absent.paste(dialog(), (0, 0), dialog())
    absent.save(here / "absent.png", optimize=True)

    both = sorted(places["red"] + places["blue"])
    in_grey = "As grey the red and the blue dots are one picture, so all are right."
    searches: list[dict[str, object]] = []
    for name, size, corners, note in (
        ("icon", ICON, places["folder"], "One folder is in the selected row."),
        ("button", BUTTON, places["Restore"], "The other buttons bear other words."),
        ("check", CHECK, places["ticked"], ""),
        ("dot", DOT, places["red"], "The blue dots differ by colour alone."),
        ("dot_gray", DOT, both, in_grey),
        ("absent", DIALOG, [], "This window shows no warning sign."),
    ):
        if corners and name != "dot_gray":
            x, y = corners[0]
            piece = image.crop((x, y, x + size[0], y + size[1]))
            piece.save(here / f"{name}.png", optimize=True)
        boxes = [{"x": x, "y": y, "width": size[0], "height": size[1]} for x, y in corners]
        search: dict[str, object] = {
            "image": "image.png",
            "template": f"{name}.png",
            "threshold": 0.8,
            "boxes": boxes,
        }
        searches.append(search | {"note": note} if note else search)
    matrix = (0.2125, 0.7154, 0.0721, 0.0)
    x, y = places["red"][0]
    red_dot = image.crop((x, y, x + DOT[0], y + DOT[1]))
    red_dot.convert("L", matrix).save(here / "dot_gray.png", optimize=True)
    text = json.dumps({"searches": searches}, indent=2)
    (here / "truth.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
