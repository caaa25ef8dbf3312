"""Hashes of results that a change of structure must not change.

    python tests/frozen.py --write FILE      # before
    python tests/frozen.py --check FILE      # after; names what differs

Each result is computed by both engines from the public functions and the command line alone.
"""

import argparse
import hashlib
import io
import itertools
import json
import os
import pickle
import tempfile
from dataclasses import asdict, is_dataclass
from pathlib import Path

import numpy as np

import tmatch
from tmatch.compat import cv2, skimage

ROOT = Path(__file__).parents[1]
DATA = ROOT / "datasets"
CASES = {}


def case(name, function):
    assert name not in CASES, name
    CASES[name] = function


def draw(shape, dtype="f8", seed=0):
    rng, dtype = np.random.default_rng(seed), np.dtype("?" if dtype == "b" else dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        return rng.integers(bounds.min, bounds.max, shape, dtype.newbyteorder("="), endpoint=True).astype(
            dtype
        )
    values = rng.normal(size=shape)
    if dtype.kind == "c":
        values = values + 1j * rng.normal(size=shape)
    return values.astype(dtype)


def planted(shape, size, dtype="u1", seed=0, places=3, noise=20):
    """An image with some noisy copies of a template, and the template."""
    rng = np.random.default_rng(seed)
    image, template = rng.normal(128, 40, shape), rng.normal(128, 40, size)
    for _ in range(places):
        start = [rng.integers(n - k + 1) for n, k in zip(shape, size, strict=True)]
        image[tuple(slice(s, s + k) for s, k in zip(start, size, strict=True))] = template + rng.normal(
            0, noise, size
        )
    if np.dtype(dtype).kind in "iu":
        return tuple(np.clip(np.rint(a), 0, 255).astype(dtype) for a in (image, template))
    return image.astype(dtype), template.astype(dtype)


# --- score maps -------------------------------------------------------------------------------------

METRICS = ("zncc", "ncc", "zcc", "cc", "ssd", "nssd", "orientation")
for metric, dtype in itertools.product(METRICS, ("u1", "i4", "f8")):
    case(
        f"map {metric} {dtype}",
        lambda m=metric, d=dtype: tmatch.match_template(draw((47, 53), d), draw((9, 8), d, 1), metric=m),
    )
for metric in METRICS:
    mask = draw((9, 8), "b", 5)
    case(
        f"map {metric} single",
        lambda m=metric: tmatch.match_template(
            draw((147, 153), "f4"), draw((19, 18), "f4", 1), metric=m, precision="single"
        ),
    )
    case(
        f"map {metric} u1 single",
        lambda m=metric: tmatch.match_template(
            draw((147, 153), "u1"), draw((29, 18), "u1", 1), metric=m, precision="single"
        ),
    )
    for output in ("same", "full"):
        case(
            f"map {metric} {output}",
            lambda m=metric, o=output: tmatch.match_template(
                draw((17, 23)), draw((9, 8), seed=1), metric=m, output=o, min_overlap=0.3
            ),
        )
        case(
            f"map {metric} {output} u1 validity",
            lambda m=metric, o=output: tmatch.score_validity(
                draw((17, 23), "u1"), draw((9, 8), "u1", seed=1), metric=m, output=o
            ),
        )
    for kind, weights in (("bool", mask), ("weights", np.abs(draw((9, 8), seed=6)))):
        for dtype in ("u1", "f8"):
            case(
                f"map {metric} mask {kind} {dtype}",
                lambda m=metric, d=dtype, w=weights: tmatch.match_template(
                    draw((47, 53), d), draw((9, 8), d, 1), metric=m, mask=w
                ),
            )
    holes = np.ones((47, 53), bool)
    holes[10:20, 12:40] = False
    case(
        f"map {metric} image_mask",
        lambda m=metric, h=holes: tmatch.match_template(
            draw((47, 53), "u1"), draw((9, 8), "u1", 1), metric=m, image_mask=h
        ),
    )
    gaps = draw((47, 53))
    gaps[5:9, 40:] = np.nan
    case(
        f"map {metric} missing",
        lambda m=metric, g=gaps: tmatch.match_template(
            g, draw((9, 8), seed=1), metric=m, missing="ignore", mask=draw((9, 8), "b", 5)
        ),
    )
    case(f"map {metric} 1-D", lambda m=metric: tmatch.match_template(draw(400), draw(31, seed=1), metric=m))
    case(
        f"map {metric} 3-D",
        lambda m=metric: tmatch.match_template(
            draw((14, 15, 16), "u1"), draw((4, 5, 3), "u1", seed=1), metric=m
        ),
    )
    for means in ("separate", "joint"):
        case(
            f"map {metric} colour {means}",
            lambda m=metric, j=means: tmatch.match_template(
                draw((47, 53, 3), "u1"), draw((9, 8, 3), "u1", 1), metric=m, channel_axis=2, channel_means=j
            ),
        )
    case(
        f"map {metric} weighted colour",
        lambda m=metric: tmatch.match_template(
            draw((3, 47, 53)), draw((3, 9, 8), seed=1), metric=m, channel_axis=0, channel_weights=[1, 0.5, 2]
        ),
    )
for dtype in ("b", "u2", "i1", "i8", "u8", "f2", "f4", ">u2"):
    case(f"map {dtype}", lambda d=dtype: tmatch.match_template(draw((47, 53), d), draw((9, 8), d, 1)))
for size in ((3, 3), (11, 12), (24, 26), (90, 70), (31, 200)):
    for precision in ("double", "single"):
        case(
            f"map large {size} {precision}",
            lambda s=size, p=precision: tmatch.match_template(
                draw((320, 417), "u1"), draw(s, "u1", 1), precision=p
            ),
        )
case(
    "map masked large",
    lambda: tmatch.match_template(
        draw((320, 417), "u1"), draw((40, 40), "u1", 1), mask=np.hypot(*np.mgrid[-20:20, -20:20]) < 18
    ),
)
case(
    "map masked runs",
    lambda: tmatch.match_template(
        draw((320, 417), "u1"), draw((40, 40), "u1", 1), mask=draw((40, 40), "b", 3), precision="single"
    ),
)
case("map flat", lambda: tmatch.match_template(np.pad(draw((30, 30), "u1"), 25), draw((9, 8), "u1", 1)))
case("map out", lambda: tmatch.match_template(draw((47, 53)), draw((9, 8), seed=1), out=np.empty((39, 46))))


def maps_of_many(precision, dtype="u1"):
    sizes = [(9, 8), (9, 8), (12, 15), (40, 30), (33, 31)]
    templates = {f"t{i}": draw(s, dtype, i + 1) for i, s in enumerate(sizes)}
    return tmatch.Matcher(templates, precision=precision).score(draw((220, 217), dtype))


for precision, dtype in itertools.product(("double", "single"), ("u1", "f8")):
    case(f"many maps {precision} {dtype}", lambda p=precision, d=dtype: maps_of_many(p, d))

# --- locate and best_match --------------------------------------------------------------------------

SHAPES = (((240, 260), (15, 17)), ((240, 260), (30, 28)), ((900,), (40,)), ((30, 32, 34), (6, 7, 8)))
for (shape, size), dtype in itertools.product(SHAPES, ("u1", "f8")):
    for options in (
        {},
        {"threshold": 0.5},
        {"false_alarms": 1},
        {"prefilter": "whiten"},
        {"prefilter": "bandpass"},
        {"metric": "ncc", "threshold": 0.9, "max_count": 5},
        {"min_distance": 9, "threshold": 0.2},
    ):
        case(
            f"locate {shape} {size} {dtype} {options}",
            lambda s=shape, k=size, d=dtype, o=options: tmatch.locate(*planted(s, k, d), **o),
        )
    case(
        f"best {shape} {size} {dtype}", lambda s=shape, k=size, d=dtype: tmatch.best_match(*planted(s, k, d))
    )
    case(
        f"absent {shape} {size} {dtype}",
        lambda s=shape, k=size, d=dtype: tmatch.locate(planted(s, k, d)[0], planted(s, k, d, seed=9)[1]),
    )
for options in (
    {"output": "same"},
    {"output": "full", "min_overlap": 0.4},
    {"metric": "orientation"},
    {"metric": "ssd", "threshold": -1e6},
    {"metric": "nssd", "threshold": -0.5},
):
    case(f"locate {options}", lambda o=options: tmatch.locate(*planted((120, 130), (15, 17)), **o))


def several(**options):
    image, template = planted((240, 260), (25, 27))
    other = draw((20, 20), "u1", 77)
    image[10:30, 10:30] = other
    return tmatch.locate(
        image,
        {"one": template, "two": other, "none": draw((9, 9), "u1", 78), "part": template[3:, 2:]},
        **options,
    )


for options in (
    {},
    {"threshold": 0.6},
    {"false_alarms": 1e-6},
    {"max_overlap": 1},
    {"max_count": 2},
    {"masks": {"one": np.hypot(*np.mgrid[-12:13, -13:14]) < 12}},
):
    case(f"several {sorted(options)}", lambda o=options: several(**o))
case(
    "locate colour",
    lambda: tmatch.locate(draw((90, 95, 3), "u1"), draw((90, 95, 3), "u1")[20:40, 30:55], channel_axis=2),
)


def photo(name):
    return tmatch.read_image(DATA / name)


PHOTOS = (
    ("raccoon/noisy.png", "raccoon/eye.png"),
    ("camera/image.png", "camera/template.png"),
    ("camera/image.png", "camera/absent.png"),
    ("tiles/image.png", "tiles/template.png"),
    ("coins/image.png", "coins/head.png"),
    ("text/image.png", "text/letter.png"),
)
for image, template in PHOTOS:
    case(f"photo {image} {template}", lambda i=image, t=template: tmatch.locate(photo(i), photo(t)))

# --- studies ----------------------------------------------------------------------------------------

EXPLAINED = (
    ({}, None),
    ({}, (50, 60)),
    ({"threshold": 0.5}, None),
    ({"false_alarms": 1e-30}, None),
    ({"max_count": 1}, None),
    ({"prefilter": "whiten"}, (3, 4)),
    ({"metric": "ncc", "threshold": 0.99}, None),
    ({"output": "same"}, (-2, -3)),
    ({"min_distance": 40, "threshold": 0.3}, None),
)


def explained(options, at, turned):
    image, template = planted((120, 130), (15, 15))
    return asdict(tmatch.explain(image, np.rot90(template) if turned else template, at=at, **options))


for (options, at), turned in itertools.product(EXPLAINED, (False, True)):
    case(
        f"explain {options} {at} {turned}",
        lambda o=options, a=at, t=turned: {k: v for k, v in explained(o, a, t).items() if k != "text"},
    )
    case(
        f"words explain {options} {at} {turned}", lambda o=options, a=at, t=turned: explained(o, a, t)["text"]
    )
case(
    "explain found",
    lambda: [
        asdict(tmatch.explain(*planted((120, 130), (15, 17)), at=tuple(m.box.start)))
        for m in tmatch.locate(*planted((120, 130), (15, 17)))
    ],
)
case("explain float", lambda: asdict(tmatch.explain(*planted((120, 130), (15, 17), "f8", seed=3))))
for name in ("raccoon/eye.png", "coins/head.png", "text/letter.png", "tiles/template.png"):
    case(
        f"inspect {name}",
        lambda n=name: {k: v for k, v in asdict(tmatch.inspect_template(photo(n))).items() if k != "advice"},
    )
case(
    "inspect image",
    lambda: asdict(tmatch.inspect_template(photo("coins/head.png"), photo("coins/image.png"))),
)
case("inspect masked", lambda: asdict(tmatch.inspect_template(draw((20, 21)), mask=draw((20, 21), "b", 3))))
case(
    "robustness",
    lambda: tmatch.robustness(*planted((120, 130), (25, 27), places=1, noise=5), trials=2, rng=0),
)
case(
    "robustness colour",
    lambda: tmatch.robustness(
        draw((90, 95, 3), "u1"),
        draw((90, 95, 3), "u1")[20:40, 30:55],
        channel_axis=2,
        trials=1,
        rng=0,
        kinds=["noise", "rotation", "scale", "jpeg"],
    ),
)


def chances(shape, size, dtype):
    image, template = planted(shape, size, dtype)
    chance = tmatch.estimate_chance(tmatch.match_template(image, template), template)
    at = [[0] * len(shape), [3] * len(shape)]
    return (
        chance.effective_pixels,
        chance.learnt_from,
        chance.cell_shape,
        chance.false_alarms(at, [0.3, 0.9]),
        chance.least_scores(0.01),
    )


for (shape, size), dtype in itertools.product(SHAPES, ("u1", "f8")):
    case(f"chance {shape} {size} {dtype}", lambda s=shape, k=size, d=dtype: chances(s, k, d))
case(
    "noise",
    lambda: [
        tmatch.estimate_noise(photo("raccoon/noisy.png")),
        tmatch.estimate_noise(draw((30, 31, 3)), channel_axis=2),
    ],
)
case(
    "peaks",
    lambda: [tmatch.find_peaks(draw((40, 50), "u1") // 64, threshold=2, min_distance=d) for d in (1, 4)],
)
case(
    "suppression",
    lambda: tmatch.non_max_suppression(
        tmatch.locate(*planted((120, 130), (15, 17)), threshold=0.1, max_overlap=1), max_overlap=0.1
    ),
)

# --- filters ----------------------------------------------------------------------------------------

for border, output, dtype in itertools.product(
    ("constant", "edge", "reflect", "symmetric", "wrap"), ("same", "valid", "full"), ("u1", "f4")
):
    case(
        f"convolve {border} {output} {dtype}",
        lambda b=border, o=output, d=dtype: tmatch.convolve(
            draw((31, 37), d), draw((4, 5), seed=1), border=b, output=o
        ),
    )
for kernel in ("sobel_x", "gaussian", "scharr_complex", "box", "large_blur"):
    for op in (tmatch.correlate, tmatch.convolve):
        case(
            f"{op.__name__} {kernel}",
            lambda k=kernel, f=op: f(
                draw((90, 97, 3), "u1"), tmatch.kernels.get(k), border="reflect", channel_axis=2
            ),
        )
for dtype in ("u2", "i8", "f8", "c16", "b"):
    case(
        f"correlate {dtype}",
        lambda d=dtype: tmatch.correlate(draw((90, 97), d), draw((5, 5), "c16", 2), stride=2),
    )
    case(
        f"correlate large {dtype}",
        lambda d=dtype: tmatch.correlate(draw((190, 197), d), draw((45, 35), "f8", 2)),
    )
case(
    "correlate 1-D 3-D",
    lambda: [
        tmatch.correlate(draw(99), draw(8, seed=1), anchor=[2]),
        tmatch.convolve(draw((9, 10, 11)), draw((3, 2, 4), seed=1)),
    ],
)
for how in ("clip", "rescale", "wrap", "abs"):
    case(f"to_range {how}", lambda h=how: tmatch.to_range(300 * draw((20, 21)), how=h))
case("kernels", lambda: {n: tmatch.kernels.get(n) for n in tmatch.kernels.names()})
case(
    "synthetic",
    lambda: tmatch.synthetic.make_scene(
        tmatch.synthetic.make_clutter((60, 70), rng=1), draw((8, 9)), [(3, 4)]
    ),
)
for method in range(6):
    case(
        f"cv2 {method}",
        lambda m=method: [
            cv2.matchTemplate(draw((47, 53, 3), "u1"), draw((9, 8, 3), "u1", 1), m),
            cv2.matchTemplate(
                draw((47, 53), "f4"), draw((9, 8), "f4", 1), m, mask=np.abs(draw((9, 8), "f4", 2))
            ),
        ],
    )
for pad in (False, True):
    case(
        f"skimage {pad}",
        lambda p=pad: skimage.match_template(
            draw((47, 53)), draw((9, 8), seed=1), pad_input=p, mode="reflect"
        ),
    )

# --- the command line -------------------------------------------------------------------------------

PAIR = ["datasets/raccoon/noisy.png", "datasets/raccoon/eye.png"]
CLEAN = ["datasets/raccoon/face_gray.png", "datasets/raccoon/eye.png"]
DOT = ["datasets/screenshot/image.png", "datasets/screenshot/dot.png"]
MISS = ["datasets/raccoon/noisy.png", "datasets/coins/big.png"]
for form in ("table", "json", "jsonl", "csv", "coco"):
    for pair in (DOT, MISS):
        case(f"cli locate {form} {pair[1]}", lambda f=form, p=pair: program("locate", *p, "--format", f))
COMMANDS = {
    "files": ["locate", *DOT, "--overlay", "a.png", "--heatmap", "b.png", "--scores", "c.npy"],
    "miss files": ["locate", *MISS, "--overlay", "a.png", "--heatmap", "b.png", "--scores", "c.npy"],
    "region": ["locate", *CLEAN, "--region", "500,200,400,300", "--metric", "orientation", "--format", "csv"],
    "ratio": ["locate", *DOT, "--pixel-ratio", "2", "--format", "json"],
    "full": ["locate", *DOT, "--output", "full", "--threshold", "0.9", "--format", "csv"],
    "several": ["locate", *DOT, "datasets/screenshot/check.png", "datasets/screenshot/icon.png"],
    "heatmap": ["heatmap", *PAIR, "-o", "a.png"],
    "explain": ["explain", *CLEAN, "--at", "400,300"],
    "explain json": ["explain", *CLEAN, "--format", "json"],
    "explain miss": ["explain", *MISS],
    "inspect": ["inspect", PAIR[1], "--plot", "a.png"],
    "inspect json": ["inspect", *CLEAN[::-1], "--format", "json"],
    "robustness": [
        "robustness",
        *CLEAN,
        "--kinds",
        "noise,scale",
        "--trials",
        "1",
        "--seed",
        "0",
        "--plot",
        "a.png",
    ],
    "robustness csv": ["robustness", *CLEAN, "--kinds", "blur", "--format", "csv"],
    "kernels": ["kernels"],
    "kernel": ["kernels", "sobel_x", "--plot", "a.png"],
    "filter": ["filter", CLEAN[0], "-k", "sobel_x", "--border", "reflect", "--range", "abs", "-o", "a.png"],
    "filter compare": [
        "filter",
        "datasets/chelsea/image.png",
        "--bank",
        "small_blur,sharpen",
        "--compare",
        "--against",
        "scipy",
        "-o",
        "a.png",
    ],
    "bad": ["locate", "datasets/README.md", DOT[1]],
    "bad threshold": ["locate", *DOT, "--threshold", "7"],
    "version": ["--version"],
    "help": ["--help"],
    "help locate": ["locate", "--help"],
}
for name, arguments in COMMANDS.items():
    case(f"cli {name}", lambda a=arguments: program(*a))


def program(*arguments):
    """Run a command in a folder of its own: exit code, both streams, and the files it wrote."""
    from typer.testing import CliRunner

    from tmatch.cli.app import app

    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "datasets").symlink_to(DATA)
        os.chdir(folder)
        try:
            done = CliRunner().invoke(app, list(arguments))
            files = {p.name: _content(p) for p in sorted(Path(folder).iterdir()) if p.is_file()}
        finally:
            os.chdir(here)
    return done.exit_code, done.stdout, done.stderr, files


def _content(path):
    if path.suffix == ".npy":
        return np.load(path)
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture)


# --- hashes -----------------------------------------------------------------------------------------


def plain(value):
    """Give a value as bytes that depend on nothing but what it says."""
    if isinstance(value, np.ndarray):
        file = io.BytesIO()
        np.save(file, np.ascontiguousarray(value), allow_pickle=False)
        return file.getvalue()
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return b"{" + b",".join(plain(k) + b":" + plain(v) for k, v in sorted(value.items())) + b"}"
    if isinstance(value, (list, tuple)):
        return b"[" + b",".join(map(plain, value)) + b"]"
    return repr(value).encode()


def run(engine):
    os.environ["TMATCH_ENGINE"] = engine
    return {f"{engine}: {name}": function() for name, function in CASES.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path)
    parser.add_argument("--check", type=Path)
    parser.add_argument("--engine", choices=["numpy", "numba"])
    options = parser.parse_args()
    engines = [options.engine] if options.engine else ["numpy", "numba"]
    results = {name: value for engine in engines for name, value in run(engine).items()}
    hashes = {name: hashlib.sha256(plain(value)).hexdigest()[:16] for name, value in results.items()}
    if options.write:
        options.write.write_text(json.dumps(hashes, indent=1))
        options.write.with_suffix(".pickle").write_bytes(
            pickle.dumps({n: plain(v) for n, v in results.items()})
        )
    if options.check:
        known = json.loads(options.check.read_text())
        kept = options.check.with_suffix(".pickle")
        before = pickle.loads(kept.read_bytes()) if kept.exists() else {}  # noqa: S301  (our own)
        differ = [name for name, value in hashes.items() if known.get(name) != value]
        for name in differ:
            print("DIFFERS", name)
            if name in before:
                print("   was", before[name][-400:])
                print("   is ", plain(results[name])[-400:])
        print(f"{len(hashes)} results, {len(differ)} differ")
        raise SystemExit(bool(differ))


if __name__ == "__main__":
    main()
