"""Draw the scenes whose objects are rotated, of another size or mirrored: cards, parts, toolbar and turned_coins.

Run ``python render_poses.py``: it writes images, templates, masks and ``truth.json`` into the folders of these scenes.
The truth is the poses in which things were drawn, by area; no matcher is asked.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from area_sampling import (
    Array,
    Inside,
    Pose,
    Thing,
    disc,
    draw,
    mask_of,
    noisy,
    polygon,
    rectangle,
    stroke,
    template_of,
    texture,
)
from PIL import Image
from scipy import ndimage

HERE = Path(__file__).parent


# --- cards ------------------------------------------------------------------------------------------

FELT, WHITE, RED, BLACK = (38, 104, 66), (246, 244, 238), (196, 30, 40), (34, 34, 40)
CARD = (92, 66)
MIDDLE = [(-14.0, -25.0), (14.0, -25.0), (-14.0, 0.0), (14.0, 0.0), (-14.0, 25.0), (14.0, 25.0)]
PIPS = {"A": [(0.0, 0.0)], "5": [*MIDDLE[:2], (0.0, 0.0), *MIDDLE[4:]], "7": [*MIDDLE, (0.0, -12.5)]}
RANKS = {
    "A": (((-0.45, 0.5), (0, -0.5), (0.45, 0.5)), ((-0.28, 0.15), (0.28, 0.15))),
    "5": (((0.4, -0.5), (-0.35, -0.5), (-0.4, -0.05), (0.3, -0.05), (0.4, 0.3), (0.1, 0.5), (-0.4, 0.45)),),
    "7": (((-0.4, -0.5), (0.4, -0.5), (-0.05, 0.5)),),
}


def hearts(x: Array, y: Array) -> Inside:
    lobes = disc(x, y, 0.29, (-0.25, -0.2)) | disc(x, y, 0.29, (0.25, -0.2))
    return lobes | polygon(x, y, (-0.455, 0), (-0.2, -0.3), (0.2, -0.3), (0.455, 0), (0, 0.5))


def spades(x: Array, y: Array) -> Inside:
    return hearts(x, -1.1 * y - 0.05) | polygon(x, y, (0, 0.05), (0.2, 0.5), (-0.2, 0.5))


def clubs(x: Array, y: Array) -> Inside:
    leaves = disc(x, y, 0.23, (0, -0.25)) | disc(x, y, 0.23, (-0.26, 0.1)) | disc(x, y, 0.23, (0.26, 0.1))
    return leaves | polygon(x, y, (0, -0.1), (0.2, 0.5), (-0.2, 0.5))


def diamonds(x: Array, y: Array) -> Inside:
    return np.abs(x) / 0.38 + np.abs(y) / 0.5 <= 1


def card(rank: str, suit: Callable[[Array, Array], Inside]) -> Thing:
    """Make a playing card. Turned by 180 degrees it is nearly the same, as its corners are; some pips differ."""

    def paint(x: Array, y: Array) -> tuple[Array, Inside]:
        inside = rectangle(x, y, CARD[1], CARD[0], 5)
        ink = np.zeros(x.shape, bool)
        for px, py in PIPS[rank]:
            size, up = (26 if rank == "A" else 13), (-1 if py > 0 else 1)
            ink |= suit((x - px) / size * up, (y - py) / size * up)
        for turn in (1, -1):
            across, down = turn * x + 27, turn * y + 38
            for line in RANKS[rank]:
                ink |= stroke(across / 8, down / 9, 0.2, *line)
            ink |= suit(across / 8, (down - 11) / 8)
        colour = np.where(ink[..., None], RED if suit in (hearts, diamonds) else BLACK, WHITE)
        rim = inside & ~rectangle(x, y, CARD[1] - 2, CARD[0] - 2, 4)
        return np.where(rim[..., None], (168, 166, 160), colour).astype(float), inside

    return Thing(paint, CARD)


def beside(pose: Pose, right: float, down: float, turn: float = 0) -> Pose:
    """Return the pose of a card that lies so far from another one, along the sides of that one."""
    cosine, sine = np.cos(np.radians(pose.angle)), np.sin(np.radians(pose.angle))
    x, y = pose.x + cosine * right + sine * down, pose.y - sine * right + cosine * down
    return Pose(round(x, 3), round(y, 3), round((pose.angle + turn + 180) % 360 - 180, 3))


def cards() -> None:
    """Draw cards on a table, some of which touch: in colour, and in grey with noise and slanting light."""
    height, width = CARD
    first, second = Pose(78.3, 84.6, 17.3), Pose(332.2, 194.7, -38.9)
    sought = {
        "seven": (card("7", hearts), [first, Pose(231.7, 92.4, -158.6), beside(second, width, 9.4, 180)]),
        "ace": (card("A", spades), [beside(first, 11.2, height), Pose(373.8, 66.1, 78.8)]),
    }
    others = [(card("7", diamonds), second), (card("5", clubs), Pose(211.4, 236.8, -7.7))]
    light = np.linspace(0.9, 1.05, 440)[:, None] * np.linspace(1.03, 0.92, 310)[:, None, None]
    table = light * np.array(FELT, float)
    for thing, poses in [*sought.values(), *((thing, [pose]) for thing, pose in others)]:
        for pose in poses:
            draw(table, thing, pose)
    save("cards/image", table)
    slant = np.linspace(0.5, 1.0, table.shape[1])
    save("cards/worn", noisy(grey(table) * slant, 6, seed=1))
    absent = card("5", hearts)
    searches = []
    for name, (thing, poses) in sought.items():
        save(f"cards/{name}", template_of(thing, FELT))
        searches += [search(image, name, poses, angles="all") for image in ("image", "worn")]
    save("cards/absent", template_of(absent, FELT))
    searches.append(search("image", "absent", [], angles="all", note="No five of hearts is there."))
    write_truth("cards", searches)


# --- parts ------------------------------------------------------------------------------------------


def gear() -> Thing:
    """Make a gear with 13 teeth, a shaft with a key, and four holes, of which one is wider."""

    def paint(x: Array, y: Array) -> tuple[Array, Inside]:
        radius, around = np.hypot(x, y), np.arctan2(y, x)
        wave = np.clip(2.2 * np.cos(13 * around), -1, 1)
        inside = radius <= 25 + 2.2 * wave
        inside &= ~(disc(x, y, 5.5) | ((np.abs(x) <= 1.6) & (y < 0) & (y > -8)))
        for turn, hole in zip(np.radians([45, 135, 225, 315]), (3.2, 3.2, 5.0, 3.2), strict=True):
            inside &= ~disc(x, y, hole, (14 * np.cos(turn), 14 * np.sin(turn)))
        level = 186 - 26 * (radius > 20.5) - 46 * (np.abs(radius - 20) < 0.9) - 34 * (radius < 9)
        return level.astype(float), inside

    return Thing(paint, (58, 58))


def bracket() -> Thing:
    """Make a plate with an arm, three holes, a slot and a bend. Mirrored it is another part."""

    def paint(x: Array, y: Array) -> tuple[Array, Inside]:
        inside = bracket_outline(x, y)
        inside &= ~(disc(x, y, 5, (-20, 16)) | disc(x, y, 3, (-20, -18)) | disc(x, y, 3, (24, 16)))
        inside &= ~stroke(x, y, 5, (1, 16), (12, 16))
        level = np.where(np.abs(y - 5.2) < 1, 96, np.where(y > 6, 178, 150)) + 0.4 * x
        return np.where(stroke(x, y, 1.6, (-8, 10), (-8, 22)), 90, level).astype(float), inside

    return Thing(paint, (58, 66))


def bracket_outline(x: Array, y: Array, more: float = 0) -> Inside:
    """Return the plate and the arm without their holes, wider all around by so many pixels."""
    plate = rectangle(x, y - 16, 60 + 2 * more, 20 + 2 * more, 3 + more)
    return plate | rectangle(x + 20, y, 20 + 2 * more, 52 + 2 * more, 3 + more)


def parts() -> None:
    """Draw parts of several sizes on a rough ground, as an old camera sees them from above."""
    shape, mean = (300, 420), 84.0
    scene = texture(shape, mean, 13, seed=2)
    gears = [
        Pose(66.4, 58.2, 24.6, 1.0),
        Pose(121.3, 86.8, -139.4, 0.84),
        Pose(343.7, 229.1, 101.7, 1.22),
        Pose(221.8, 52.6, -63.2, 1.11),
    ]
    right = [
        Pose(150.2, 158.7, 33.8, 1.0),
        Pose(330.6, 80.9, -112.5, 1.19),
        Pose(60.9, 236.3, 169.1, 0.81),
    ]
    left = [Pose(238.4, 232.7, 58.3, 0.93, flip=True), Pose(69.6, 149.8, -17.4, 1.07, flip=True)]
    plate = bracket()
    for pose in gears:
        draw(scene, gear(), pose)
    for pose in right + left:
        draw(scene, plate, pose)
    save("parts/image", noisy(scene, 7, seed=3))
    save("parts/gear", template_of(gear(), mean))
    save("parts/bracket", template_of(plate, mean))
    around = Thing(lambda x, y: (x, bracket_outline(x, y, 2)), plate.shape)
    save("parts/bracket_mask", mask_of(around))
    sizes = {"angles": "all", "scales": "0.8:1.25"}
    strict = {"mask": "bracket_mask", "threshold": 0.9} | sizes
    searches = [
        search("image", "gear", gears, **sizes),
        search("image", "bracket", right, **strict, note="The mirrored ones fit turned, with up to 0.82."),
        search("image", "bracket", right + left, **strict, flips=True),
    ]
    write_truth("parts", searches)


# --- a toolbar --------------------------------------------------------------------------------------

BAR, INK, BLUE, ORANGE = (236, 239, 244), (52, 60, 74), (38, 108, 200), (226, 140, 40)
ICON = 22


def icon(colour: tuple[int, int, int], shape: Callable[[Array, Array], Inside]) -> Thing:
    """Make an icon: a shape in one colour."""

    def paint(x: Array, y: Array) -> tuple[Array, Inside]:
        inside = shape(x, y)
        return np.broadcast_to(np.array(colour, float), (*inside.shape, 3)), inside

    return Thing(paint, (ICON, ICON))


def undo(x: Array, y: Array) -> Inside:
    """Return an arrow that comes round from the right and points to the left. Mirrored it means redo."""
    ring = (np.abs(np.hypot(x - 1.5, y - 1.5) - 5.5) < 1.1) & ((x > 1.5) | (y < -1.5) & (x > -1))
    return ring | stroke(x, y, 2.2, (1.5, 7), (-3, 7)) | polygon(x, y, (-9, -4), (-2, -9), (-2, 1))


def chevron(x: Array, y: Array) -> Inside:
    """Return an angle that points upwards."""
    return stroke(x, y, 2.6, (-6, 3), (0, -3), (6, 3))


def save_sign(x: Array, y: Array) -> Inside:
    """Return a disk with a label."""
    body = rectangle(x, y, 17, 17, 2) & (x - y < 13.5)
    return body & ~rectangle(x + 1, y + 5.5, 7, 5) & ~rectangle(x, y - 4, 10, 6)


def bin_sign(x: Array, y: Array) -> Inside:
    body = polygon(x, y, (-6, -4), (6, -4), (5, 8), (-5, 8)) | rectangle(x, y + 6.5, 16, 2.4)
    body |= rectangle(x, y + 8, 6, 2)
    return body & ~(rectangle(x - 2, y - 2, 1.5, 8) | rectangle(x + 2, y - 2, 1.5, 8))


def lens(x: Array, y: Array) -> Inside:
    return (np.abs(np.hypot(x + 2, y + 2) - 5.5) < 1.2) | stroke(x, y, 2.8, (2.5, 2.5), (7.5, 7.5))


def toolbar() -> None:
    """Draw a window with a toolbar, at one and at two device pixels a unit; there each pixel is repeated."""
    screen = np.full((150, 300, 3), 255.0)
    screen[:34] = BAR
    screen[33] = (206, 212, 220)
    tools = [(BLUE, save_sign), (INK, undo), (INK, undo), (INK, bin_sign), (INK, lens), (BLUE, save_sign)]
    arrow, keys = icon(INK, undo), icon(ORANGE, chevron)
    middles = [(20.5 + 34 * n, 16.5) for n in range(len(tools))]
    for n, ((colour, shape), middle) in enumerate(zip(tools, middles, strict=True)):
        draw(screen, icon(colour, shape), Pose(*middle, flip=n == 2))
    around = [Pose(246.5, 62.5), Pose(220.5, 88.5, 90), Pose(246.5, 114.5, 180), Pose(272.5, 88.5, -90)]
    for pose in around:
        draw(screen, keys, pose)
    lengths = np.random.default_rng(4).integers(4, 15, (9, 4))
    for line, words in enumerate(lengths.tolist()):
        left = 16
        for length in words:
            screen[48 + 10 * line : 52 + 10 * line, left : left + 3 * length] = (150, 156, 166)
            left += 3 * length + 6
    double = screen.repeat(2, axis=0).repeat(2, axis=1)
    save("toolbar/image", screen)
    save("toolbar/double", double)
    for name, (colour, shape) in {"save": tools[0], "chevron": (ORANGE, chevron)}.items():
        save(
            f"toolbar/{name}", template_of(icon(colour, shape), (255, 255, 255) if name == "chevron" else BAR)
        )
    save("toolbar/undo", template_of(arrow, BAR))
    both = [Pose(*middles[1]), Pose(*middles[2], flip=True)]
    saves = [Pose(*middles[0]), Pose(*middles[5])]
    searches = [
        search("image", "undo", both[:1], angles="0", note="The mirrored icon beside it means redo."),
        search("image", "undo", both, flips=True),
        search("image", "chevron", around, angles="0,90,180,270"),
        search("double", "save", doubled(saves), scales="1,2"),
        search("double", "undo", doubled(both), scales="1,2", flips=True),
        search("double", "chevron", doubled(around), angles="0,90,180,270", scales="2"),
    ]
    write_truth("toolbar", searches)


def doubled(poses: list[Pose]) -> list[Pose]:
    """Return the poses in an image whose pixels are repeated."""
    return [Pose(2 * p.x + 0.5, 2 * p.y + 0.5, p.angle, 2.0, p.flip) for p in poses]


# --- coins ------------------------------------------------------------------------------------------


def coin(x: float, y: float, radius: float) -> Thing:
    """Make a coin of the scene "coins": a disc about x, y, made continuous by a cubic spline."""
    photo = np.asarray(Image.open(HERE / "coins" / "image.png"), dtype=float)
    spline = ndimage.spline_filter(photo, order=3)

    def paint(right: Array, down: Array) -> tuple[Array, Inside]:
        values = ndimage.map_coordinates(spline, [down + y, right + x], order=3, prefilter=False)
        return values, disc(right, down, radius)

    side = 2 * int(np.ceil(radius)) + 1
    return Thing(paint, (side, side))


def turned_coins() -> None:
    """Draw coins of the photograph, turned and in part touching, on a dark cloth."""
    scene = texture((260, 360), 52, 6, seed=5)
    goddess, walker = coin(212.7, 192.8, 22.4), coin(334.6, 43.6, 27.0)
    lady, head = coin(102.2, 196.1, 20.3), coin(300.7, 263.7, 23.6)
    one, two = Pose(58.4, 62.7, 37.2), Pose(286.3, 184.9, -81.6)
    goddesses = [one, Pose(179.6, 138.3, -152.9), Pose(one.x + 27.0, one.y + 35.7, 118.4)]
    walkers = [two, Pose(262.7, 60.4, 14.7)]
    others = [(lady, Pose(149.2, 46.8, -29.3)), (lady, Pose(two.x - 40.7, two.y + 24.2, 95.1))]
    others += [(head, Pose(72.7, 192.4, 161.3)), (head, Pose(two.x + 28.8, two.y - 41.6, 8.8))]
    for thing, pose in [*((goddess, p) for p in goddesses), *((walker, p) for p in walkers), *others]:
        draw(scene, thing, pose)
    save("turned_coins/image", noisy(scene, 5, seed=6))
    searches = []
    for name, thing, poses in (("goddess", goddess, goddesses), ("walker", walker, walkers)):
        save(f"turned_coins/{name}", template_of(thing, 52))
        save(f"turned_coins/{name}_mask", mask_of(thing))
        searches.append(search("image", name, poses, mask=f"{name}_mask", angles="all"))
    write_truth("turned_coins", searches)


# --- files ------------------------------------------------------------------------------------------


def grey(image: Array) -> Array:
    return image @ (0.2125, 0.7154, 0.0721)


def save(name: str, image: Array) -> None:
    pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    (HERE / name).parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(HERE / f"{name}.png", optimize=True)


def search(image: str, template: str, poses: list[Pose], *, note: str = "", **options: Any) -> dict[str, Any]:
    """Write down one search: its files, its options in the words of the command line, and the true poses."""
    files = {"image": image, "template": template}
    files |= {"mask": options.pop("mask")} if "mask" in options else {}
    found: dict[str, Any] = (
        {name: f"{file}.png" for name, file in files.items()} | {"threshold": 0.8} | options
    )
    true = [{"x": p.x, "y": p.y, "angle": p.angle, "scale": p.scale, "flip": p.flip} for p in poses]
    return found | {"poses": true} | ({"note": note} if note else {})


def write_truth(scene: str, searches: list[dict[str, Any]]) -> None:
    text = json.dumps({"searches": [], "pose_searches": searches}, indent=2)
    (HERE / scene / "truth.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    for scene in (cards, parts, toolbar, turned_coins):
        scene()
