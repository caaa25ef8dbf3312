"""Write images, arrays and figures; a file is replaced only when the new one is complete."""

import base64
import contextlib
import errno
import io
import os
import secrets
import stat
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._io.files import named

_LARGE, _QUALITY = 100_000, 88  # bytes of a PNG that may become a JPEG, and of what quality


def check_targets(inputs: Sequence[Path], figures: Sequence[Path], others: Sequence[Path] = ()) -> None:
    """Refuse, before any work, files that could not be written or would destroy something."""
    for path in figures:  # without figures matplotlib is not loaded
        from matplotlib.backend_bases import FigureCanvasBase  # noqa: PLC0415

        _check_ending(path, [f".{form}" for form in FigureCanvasBase.get_supported_filetypes()])
    seen = {_identity(path) for path in inputs}
    for path in (*figures, *others):
        _check_can_be_written(path)
        if _identity(path) in seen:
            msg = f'"{path}" is named twice, or is one of the images read; write to another file'
            raise ValueError(msg)
        seen.add(_identity(path))


def _identity(path: Path) -> object:
    """Return what all names of a file have in common, symbolic and hard links too."""
    try:
        found = path.stat()
    except OSError:  # not there yet, or not readable, which is told when it is read
        return os.path.realpath(path)
    return found.st_dev, found.st_ino


def _check_can_be_written(path: Path) -> None:
    if not path.parent.is_dir():
        msg = f'cannot write "{path}": there is no folder "{path.parent}"'
        raise ValueError(msg)
    try:
        reason = "is a directory" if stat.S_ISDIR(path.stat().st_mode) else ""
    except FileNotFoundError:
        reason = ""
    except OSError as error:  # a name that is too long, or links in a circle
        reason = (error.strerror or str(error)).lower()
    if reason:
        msg = f'cannot write "{path}": {reason}'
        raise ValueError(msg)


def _check_ending(path: Path, known: Sequence[str]) -> None:
    if path.suffix.lower() not in known:
        common = ", ".join(e for e in (".png", ".jpg", ".pdf", ".svg", ".tif") if e in known)
        ending = f'"{path.suffix}" is not a known format' if path.suffix else "its name has no ending"
        msg = f'cannot write "{path}": {ending}; use one of {common}'
        raise ValueError(msg)


def check_image_target(path: Path) -> None:
    """Refuse a name whose ending is not that of an image format."""
    from PIL import Image  # noqa: PLC0415

    Image.init()
    icons = {".ico", ".icns", ".cur"}  # which shrink what they hold
    _check_ending(
        path,
        [e for e, form in Image.registered_extensions().items() if form in Image.SAVE and e not in icons],
    )


def write_image(path: Path, pixels: Array) -> None:
    """Write 8-bit pixels, or grey ones of 16 bits, as an image, its format by the file's ending."""
    from PIL import Image  # noqa: PLC0415

    check_image_target(path)
    if pixels.dtype != np.uint8 and (
        pixels.ndim == 3 or path.suffix.lower() not in {".png", ".tif", ".tiff"}
    ):
        msg = f'cannot write "{path}": 16 bits fit a grey .png or .tif, or .npy'
        raise ValueError(msg)
    image, form = Image.fromarray(pixels), Image.registered_extensions()[path.suffix.lower()]
    _write(path, lambda file: image.save(file, format=form))


def write_array(path: Path, array: Array) -> None:
    """Write an array as NPY."""
    _write(path, lambda file: np.save(file, array))


def write_figure(path: Path, figure: Any) -> None:
    """Write a matplotlib figure, its format by the file's ending."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # letters that the font lacks are drawn as boxes
        _write(path, lambda file: figure.savefig(file, format=path.suffix.lower().lstrip(".")))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file of any format."""
    _check_can_be_written(path)
    _write(path, lambda file: file.write(content))


def png_of(pixels: Array) -> bytes:
    """Return 8-bit pixels, grey or colour, as the bytes of a PNG file."""
    from PIL import Image  # noqa: PLC0415

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def embedded(pixels: Array) -> str:
    """Return 8-bit pixels, grey or colour, as a data URL: PNG, or JPEG of large images that it makes much smaller."""
    from PIL import Image  # noqa: PLC0415

    content, form = png_of(pixels), "png"
    if len(content) > _LARGE and pixels.shape[-1] != 4:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format="JPEG", quality=_QUALITY)
        if 2 * file.tell() < len(content):
            content, form = file.getvalue(), "jpeg"
    return f"data:image/{form};base64,{base64.b64encode(content).decode()}"


def _write(path: Path, save: Callable[[BinaryIO], object]) -> None:
    with open_complete(path) as file, named(path, "write"):
        save(file)


@contextlib.contextmanager
def open_complete(path: Path) -> Iterator[BinaryIO]:
    """Open a file that replaces the one at `path` only when it is complete."""
    is_replaced = path.is_file() or not path.exists()  # a device or pipe cannot be
    target = Path(os.path.realpath(path))  # a link stays, and what it points to is replaced
    place = target.with_name(f".tmatch-{secrets.token_hex(8)}.part") if is_replaced else path
    with named(path, "write"):
        file = place.open("xb" if is_replaced else "wb")
    try:
        yield file
        with named(path, "write"):
            file.close()
            if is_replaced:
                place.replace(target)
    finally:
        with contextlib.suppress(OSError):  # which was told, or another error is
            file.close()
        if is_replaced:
            place.unlink(missing_ok=True)


@contextlib.contextmanager
def open_appended(path: Path, end: int) -> Iterator[Callable[[bytes], None]]:
    """Open a file to append to after `end` bytes; each piece is handed to the system as soon as it comes."""
    with named(path, "write"):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        with named(path, "write"):
            _lock(descriptor)
            if os.fstat(descriptor).st_size != end:
                os.ftruncate(descriptor, end)

        def append(piece: bytes) -> None:
            with named(path, "write"):
                while piece:
                    piece = piece[os.write(descriptor, piece) :]

        yield append
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Refuse a file to which another run appends, until that ends."""
    try:
        import fcntl  # noqa: PLC0415
    except ImportError:  # on Windows
        return
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OSError(errno.EBUSY, "another run writes to it; let that end, or name another file") from None
    except OSError:  # a file system without locks
        return
