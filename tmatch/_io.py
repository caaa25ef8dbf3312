"""Files: pictures in, pictures, arrays and lists of matches out. No other module opens a file."""

import contextlib
import csv
import io
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from tmatch import kernels
from tmatch._match import Match

Pixels = NDArray[Any]
Format = Literal["table", "json", "jsonl", "csv", "coco"]

MAX_PIXELS = 178_956_970  # twice Pillow's own warning level: 512 MB as 8-bit colour
_GREY = (0.2125, 0.7154, 0.0721)  # red, green, blue by ITU-R BT.709, as scikit-image's rgb2gray
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


# --- pictures in ----------------------------------------------------------------------------------


def read_image(path: str | os.PathLike[str], /) -> Pixels:
    """Read a picture as it is meant to be seen.

    Parameters
    ----------
    path : path of a PNG, JPEG, TIFF, BMP, GIF or WebP file
        Or of anything else that Pillow reads. Of several pictures in one file the first is read.

    Returns
    -------
    (H, W) or (H, W, 3) array
        Grey, or red, green and blue. 8 bits are uint8 (1-bit pictures too: 0 and 255), 16 bits uint16,
        floats stay floats. Palettes are resolved, the camera's rotation (EXIF) is applied. Colour PNGs
        of 16 bits are read by their upper 8 bits.

    Raises
    ------
    OSError
        If the file is missing, empty, broken or no picture, or announces more than 178,956,970 pixels.
    ValueError
        If the picture has transparent pixels.

    Examples
    --------
    >>> import tmatch
    >>> tmatch.read_image("datasets/raccoon/eye.png").shape
    (65, 80)
    """
    pixels, alpha = _read(Path(path))
    if alpha is not None and alpha.min() < np.iinfo(alpha.dtype).max:
        msg = f'"{path}" has transparent pixels, which have no colour to match; save it on a solid ground'
        raise ValueError(msg)
    return pixels


def to_gray(pixels: Pixels) -> Pixels:
    """Make colour grey: 0.2125 red + 0.7154 green + 0.0721 blue; grey stays as it is."""
    return pixels if pixels.ndim == 2 else pixels @ np.array(_GREY)


Alpha = Literal["opaque", "weights", "black", "ignore"]


@dataclass(frozen=True)
class Pair:
    """An image and templates made alike, in colour or in grey, with their masks; label by label."""

    image: Pixels
    image_mask: Pixels | None
    templates: dict[str, Pixels]
    masks: dict[str, Pixels]
    channel_axis: int | None


def read_picture(path: Path, alpha: Alpha = "opaque") -> tuple[Pixels, Pixels | None]:
    """Read a picture to search, and which of its pixels there are: those at least half opaque. None for all."""
    pixels, transparency = _read(path)
    if alpha == "ignore" or transparency is None:
        return pixels, None
    there = np.asarray(
        transparency >= (np.iinfo(transparency.dtype).max / 2 if transparency.dtype.kind in "iu" else 0.5)
    )
    if not there.any():
        msg = f'"{path}" is transparent all over; let its colours count with --alpha ignore'
        raise ValueError(msg)
    return pixels, None if there.all() else there


def read_pair(
    picture: tuple[Pixels, Pixels | None],
    template_paths: Sequence[Path],
    *,
    gray: bool,
    alpha: Alpha = "opaque",
    mask: Path | None = None,
    image_mask: Path | None = None,
) -> Pair:
    """Read the templates for a picture: all in colour if all of them have it (and `gray` is off), else in grey.

    Labels are file names without ending; whole paths if two are alike. Masks come from files, or from alpha.
    """
    stems = [path.stem for path in template_paths]
    labels = stems if len(set(stems)) == len(stems) else [str(path) for path in template_paths]
    if len(set(labels)) < len(labels):
        msg = "the same template is given twice; name each one once"
        raise ValueError(msg)
    if mask and len(labels) > 1:
        msg = f"--mask is for one template, but {len(labels)} are given; search for them one by one"
        raise ValueError(msg)
    image, opaque = picture
    if image_mask:
        there = _read_mask(image_mask, image.shape[:2], "the image") > 0
        opaque = there if opaque is None else opaque & there
    templates, masks = {}, {}
    for label, path in zip(labels, template_paths, strict=True):
        templates[label], transparency = _read(path)
        weights = _mask_of(path, templates[label], transparency, alpha)
        if mask:
            own = 1 if weights is None else weights
            weights = own * _read_mask(mask, templates[label].shape[:2], "the template")
            if not weights.any():
                msg = f'the mask "{mask}" is black wherever "{path}" has pixels that count; white is what counts'
                raise ValueError(msg)
        if weights is not None:
            masks[label] = weights
    image, *others = _of_one_depth([image, *templates.values()])
    templates = dict(zip(templates, others, strict=True))
    if not gray and all(a.ndim == 3 for a in (image, *templates.values())):
        return Pair(image, opaque, templates, masks, 2)
    return Pair(to_gray(image), opaque, {label: to_gray(t) for label, t in templates.items()}, masks, None)


def _of_one_depth(pictures: list[Pixels]) -> list[Pixels]:
    """Bring pictures of 8 bits to 16 if there is one of 16 among them: white stays white."""
    if {p.dtype.name for p in pictures} != {"uint8", "uint16"}:
        return pictures
    return [p.astype(np.uint16) * np.uint16(257) if p.dtype == np.uint8 else p for p in pictures]


def _opaque(alpha: Pixels) -> Pixels:
    return np.asarray(alpha == (np.iinfo(alpha.dtype).max if alpha.dtype.kind in "iu" else 1))


def _mask_of(path: Path, pixels: Pixels, transparency: Pixels | None, alpha: Alpha) -> Pixels | None:
    """Give the weights that a template brings with it."""
    weights: Pixels
    if alpha == "black":
        weights = np.asarray(pixels > 0 if pixels.ndim == 2 else (pixels > 0).any(axis=2))
    elif alpha == "ignore" or transparency is None or _opaque(transparency).all():
        return None
    elif alpha == "weights":
        weights = (
            transparency / np.iinfo(transparency.dtype).max
            if transparency.dtype.kind in "iu"
            else transparency
        )
    else:
        weights = _opaque(transparency)
    if not weights.any():
        what = {"black": "is black all over", "weights": "is transparent all over"}.get(
            alpha, "has no opaque pixel"
        )
        other = {"opaque": "--alpha weights", "weights": "--alpha ignore", "black": "--alpha opaque"}[alpha]
        msg = f'"{path}" {what}, so nothing of it would count; try {other}'
        raise ValueError(msg)
    return weights


def _read_mask(path: Path, shape: tuple[int, ...], whose: str) -> Pixels:
    """Read a mask from a picture: its grey levels, 0 to 1."""
    pixels = to_gray(read_image(path))
    if pixels.shape != shape:
        msg = f'the mask "{path}" is {_size(pixels.shape)}, but {whose} is {_size(shape)}; they must be of one size'
        raise ValueError(msg)
    return np.asarray(pixels / pixels.max()) if pixels.any() else pixels.astype(float)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]} pixels"


def _read(path: Path) -> tuple[Pixels, Pixels | None]:
    """Read pixels, and alpha if there is any."""
    try:
        data = path.read_bytes()  # once: a pipe cannot be read again
    except OSError as error:
        msg = f'cannot read "{path}": {(error.strerror or str(error)).lower()}'
        raise OSError(msg) from error
    if not data:
        msg = f'cannot read "{path}": the file is empty'
        raise OSError(msg)
    try:
        pixels = _read_tiff(io.BytesIO(data)) if data[:4] in _TIFF else None
        pixels = _read_with_pillow(io.BytesIO(data)) if pixels is None else pixels
    except _TooLargeError as error:
        msg = f'"{path}" announces more than {MAX_PIXELS:,} pixels; crop it or shrink it first'
        raise OSError(msg) from error
    except MemoryError:
        raise
    except Exception as error:  # decoders of broken files raise almost anything
        msg = f'cannot read "{path}": not a picture, or a broken one ({_reason(error)})'
        raise OSError(msg) from error
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        return (pixels[..., 0] if pixels.shape[2] == 2 else pixels[..., :3]), pixels[..., -1]
    if pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3):
        return pixels, None
    msg = f'"{path}" holds an array of shape {pixels.shape}; a picture is grey, or has 3 colours, with or without alpha'
    raise OSError(msg)


class _TooLargeError(Exception):
    pass


def _reason(error: Exception) -> str:
    from PIL import UnidentifiedImageError  # noqa: PLC0415

    lines = str(error).splitlines() or [type(error).__name__]
    return "unknown format" if isinstance(error, UnidentifiedImageError) else lines[0][:120]


def _read_with_pillow(file: BinaryIO) -> Pixels:
    from PIL import Image, ImageOps  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns from half our limit on, and of odd metadata
        try:
            opened = Image.open(file)
        except Image.DecompressionBombError:
            raise _TooLargeError from None
        with opened as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise _TooLargeError
            upright = ImageOps.exif_transpose(picture)
            has_alpha = upright.has_transparency_data
            if upright.mode == "1":
                upright = upright.convert("L")
            elif upright.mode in {"LA", "La"}:
                upright = upright.convert("LA")
            elif upright.mode not in {"L", "I;16", "I;16L", "I;16B", "I;16N", "I", "F"}:
                upright = upright.convert("RGBA" if has_alpha else "RGB")
            elif has_alpha and upright.mode == "L":  # one grey level stands for transparent
                upright = upright.convert("LA")
            pixels = np.array(upright)
            clear = picture.info.get("transparency") if upright.mode.startswith("I") else None
            if clear is not None:  # the same of 16 bits, which Pillow does not convert
                alpha = np.where(pixels == clear, 0, 65535).astype(np.uint16)
                pixels = np.stack([pixels.astype(np.uint16), alpha], axis=-1)
    return pixels.astype(np.uint16) if pixels.dtype == ">u2" else pixels


def _read_tiff(data: BinaryIO) -> Pixels | None:
    """Read a TIFF of more than 8 bits, which Pillow would narrow; None for others, which Pillow reads better."""
    import tifffile  # noqa: PLC0415

    with tifffile.TiffFile(data) as file:
        page = file.pages.first
        if page.imagewidth * page.imagelength > MAX_PIXELS:
            raise _TooLargeError
        if page.bitspersample <= 8:
            return None
        try:
            pixels = np.asarray(page.asarray())
        except ValueError:  # a compression that only Pillow knows
            return None
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind in "ui":
            pixels = np.invert(pixels)
        if page.axes == "SYX":
            pixels = np.moveaxis(pixels, 0, -1)
        orientation = page.tags.get("Orientation")
    return _upright(pixels, 1 if orientation is None else int(orientation.value))


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo the eight orientations that TIFF and EXIF number: rows and columns swapped, then mirrored."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


# --- kernels in -----------------------------------------------------------------------------------


def find_kernel(source: str) -> Pixels:
    """Get a kernel by its name in the bank, from a file (text, CSV or NPY), or from numbers written out."""
    if source in kernels.names():
        return kernels.get(source)
    path = Path(source)
    if re.fullmatch(r"[-+\d.,;eEj\s]*\d[-+\d.,;eEj\s]*", source):
        return _kernel_array(source, lambda: _parse_kernel(source))
    if path.suffix.lower() == ".npy":
        return _kernel_array(source, lambda: _load_kernel(path))
    if path.is_file() or path.suffix.lower() in {".txt", ".csv"}:
        return _kernel_array(source, lambda: _parse_kernel(path.read_text(encoding="utf-8-sig")))
    return kernels.get(source)


def _load_kernel(path: Path) -> Pixels:
    with path.open("rb") as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def format_kernel(kernel: Pixels) -> str:
    """Write a kernel as text that `find_kernel` reads."""
    cells = [[f"{weight:g}" for weight in row] for row in kernel.tolist()]
    width = max(len(cell) for row in cells for cell in row)
    return "\n".join(" ".join(cell.rjust(width) for cell in row) for row in cells)


def _kernel_array(source: str, read: Callable[[], Pixels]) -> Pixels:
    try:
        kernel = read()
    except OSError as error:
        msg = f'cannot read "{source}": {(error.strerror or str(error)).lower()}'
        raise OSError(msg) from error
    except ValueError as error:
        msg = f'cannot read the kernel "{source}": {_reason(error)}'
        raise ValueError(msg) from error
    if (
        kernel.ndim != 2
        or kernel.size == 0
        or kernel.dtype.kind not in "biufc"
        or not np.isfinite(kernel).all()
    ):
        msg = f'the kernel "{source}" ({kernel.dtype}, shape {kernel.shape}) must be rows of finite numbers'
        raise ValueError(msg)
    return kernel.astype(np.result_type(kernel.dtype, np.float64))


def _parse_kernel(text: str) -> Pixels:
    """Read rows of numbers parted by commas, semicolons or spaces; rows of a single line are parted by semicolons.

    Text from # to the end of a line is a comment.
    """
    lines = [line for line in (line.split("#")[0].strip() for line in text.splitlines()) if line]
    if len(lines) == 1:
        lines = [part.strip() for part in lines[0].rstrip("; ").split(";")]
    rows = [re.split(r"\s*[,;]\s*|\s+", line) for line in lines]
    lengths = sorted({len(row) for row in rows}) or [0]
    if len(lengths) > 1 or lengths[0] == 0:
        msg = (
            f"rows of {lengths[0]} to {lengths[-1]} numbers; they must be equally long"
            if rows
            else "no numbers"
        )
        raise ValueError(msg)
    numbers = np.array([[_number(cell) for cell in row] for row in rows])
    return numbers if numbers.imag.any() else numbers.real.copy()


def _number(cell: str) -> complex:
    try:
        return complex(cell)
    except ValueError:
        msg = f'"{cell}" is no number'
        raise ValueError(msg) from None


# --- matches out ----------------------------------------------------------------------------------


def format_matches(
    matches: Sequence[Match],
    form: Format,
    *,
    about: Mapping[str, Any],
    size: tuple[int, int],
    pixel_ratio: float = 1.0,
) -> str:
    """Write matches as text for other programs; `size` is the image's (height, width), in pixels like the boxes.

    `about` are the image's name and how was decided. What is written is in units of `pixel_ratio` pixels.
    """
    rows = [_row(match, pixel_ratio) for match in matches]
    size = (in_units(size[0], pixel_ratio), in_units(size[1], pixel_ratio))  # type: ignore[assignment]
    if form == "json":
        image, *decision = about.items()
        sides = {"width": size[1], "height": size[0]}
        return json.dumps({**dict([image]), **sides, **dict(decision), "matches": rows}, indent=2)
    if form == "jsonl":
        return "\n".join(json.dumps({"image": about["image"], **row}) for row in rows)
    if form == "coco":
        return json.dumps(_coco(rows, about["image"], size), indent=2)
    text = io.StringIO()
    names = ["image", "label", "x", "y", "width", "height", "score", "false_alarms", "second_best"]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({"image": about["image"], **row} for row in rows)
    return text.getvalue().rstrip("\n")


def _row(match: Match, pixel_ratio: float) -> dict[str, Any]:
    x, y, width, height = (in_units(value, pixel_ratio) for value in match.box.xywh)
    judged = {"score": match.score, "false_alarms": match.false_alarms, "second_best": match.second_best}
    return {"label": match.label, "x": x, "y": y, "width": width, "height": height, **judged}


def in_units(pixels: int, pixel_ratio: float) -> int | float:
    """Give a number of pixels in units of so many; whole numbers stay such."""
    value = round(pixels / pixel_ratio, 3)
    return int(value) if value == int(value) else value


def _coco(rows: Sequence[dict[str, Any]], image: str, size: tuple[int, int]) -> dict[str, Any]:
    """Build the dictionary of the COCO data set: one image, labels as categories, matches as annotations."""
    numbers = {label: n for n, label in enumerate(sorted({row["label"] for row in rows}), 1)}
    return {
        "images": [{"id": 1, "file_name": image, "width": size[1], "height": size[0]}],
        "categories": [{"id": n, "name": label} for label, n in numbers.items()],
        "annotations": [
            {
                "id": n,
                "image_id": 1,
                "category_id": numbers[row["label"]],
                "bbox": [row["x"], row["y"], row["width"], row["height"]],
                "area": row["width"] * row["height"],
                "iscrowd": 0,
                "score": row["score"],
            }
            for n, row in enumerate(rows, 1)
        ],
    }


# --- files out ------------------------------------------------------------------------------------


def check_targets(inputs: Sequence[Path], figures: Sequence[Path], others: Sequence[Path] = ()) -> None:
    """Refuse, before any work, files that could not be written or would destroy something."""
    for path in figures:  # without figures matplotlib is not loaded
        from matplotlib.backend_bases import FigureCanvasBase  # noqa: PLC0415

        _check_ending(path, [f".{form}" for form in FigureCanvasBase.get_supported_filetypes()])
    seen = {path.resolve() for path in inputs}
    for path in (*figures, *others):
        if path.resolve() in seen:
            msg = f'"{path}" is named twice, or is one of the pictures read; write to a file of its own'
            raise ValueError(msg)
        seen.add(path.resolve())
        if not path.parent.is_dir():
            msg = f'cannot write "{path}": there is no folder "{path.parent}"'
            raise ValueError(msg)


def _check_ending(path: Path, known: Sequence[str]) -> None:
    if path.suffix.lower() not in known:
        common = ", ".join(e for e in (".png", ".jpg", ".pdf", ".svg", ".tif") if e in known)
        ending = f'"{path.suffix}" is no format known for it' if path.suffix else "its name has no ending"
        msg = f'cannot write "{path}": {ending}; use one of {common}'
        raise ValueError(msg)


def check_picture(path: Path) -> None:
    """Refuse a name whose ending tells no picture format."""
    from PIL import Image  # noqa: PLC0415

    Image.init()
    icons = {".ico", ".icns", ".cur"}  # which shrink what they hold
    _check_ending(
        path,
        [e for e, form in Image.registered_extensions().items() if form in Image.SAVE and e not in icons],
    )


def write_image(path: Path, pixels: Pixels) -> None:
    """Write 8-bit pixels, or grey ones of 16 bits, as a picture, its format by the file's ending."""
    from PIL import Image  # noqa: PLC0415

    Image.init()
    _check_ending(
        path, [ending for ending, form in Image.registered_extensions().items() if form in Image.SAVE]
    )
    if pixels.dtype != np.uint8 and (
        pixels.ndim == 3 or path.suffix.lower() not in {".png", ".tif", ".tiff"}
    ):
        msg = f'cannot write "{path}": 16 bits fit a grey .png or .tif, or .npy'
        raise ValueError(msg)
    picture, form = Image.fromarray(pixels), Image.registered_extensions()[path.suffix.lower()]
    _write(path, lambda file: picture.save(file, format=form))


def write_array(path: Path, array: Pixels) -> None:
    """Write an array as NPY."""
    _write(path, lambda file: np.save(file, array))


def write_figure(path: Path, figure: Any) -> None:
    """Write a matplotlib figure, its format by the file's ending."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # letters that the font lacks are drawn as boxes
        _write(path, lambda file: figure.savefig(file, format=path.suffix.lower().lstrip(".")))


def _write(path: Path, save: Callable[[BinaryIO], object]) -> None:
    try:
        with _complete(path) as file:
            save(file)
    except OSError as error:
        msg = f'cannot write "{path}": {(error.strerror or str(error)).lower()}'
        raise OSError(msg) from error


@contextlib.contextmanager
def _complete(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the path's place only when it is complete; what was there stays till then."""
    if path.exists() and not path.is_file():  # a device or pipe cannot be replaced
        with path.open("wb") as file:
            yield file
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("xb") as file:
            yield file
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
