"""Read the images that arguments name, one after the other."""

import os
from collections.abc import Iterator

from tmatch._arrays.typing import Array
from tmatch._io.decoders import pages as limits
from tmatch._io.images import held, refuse_transparency, whole_part
from tmatch._io.sources.find import Sources, find_sources


def open_images(
    *images: str | os.PathLike[str],
    pages: str | None = None,
    every: int = 1,
    level: int | None = None,
    channel: int | str | None = None,
) -> "OpenedImages":
    """Read many images one after the other: files, folders, globs, pages of stacks, frames of videos, screens.

    Parameters
    ----------
    *images : paths
        In this order: files; folders, whose image files are taken in the natural order of their names ("2.png" before
        "10.png"), without hidden ones and folders below; globs (``shots/*.png``, ``shots/**/*.png``), in the natural
        order of paths; "-" for stdin; "screen:" for all screens as one image, "screen:1" for the first (extra
        `screen`).
        A file is an image, a stack (TIFF, OME-TIFF, GIF, APNG, WebP, NPY, zarr with the extra `zarr`) or a video
        (extra `video`).
    pages : str, optional
        Which pages of a stack or frames of a video: "all", or as "0", "2-5" or "0,3,7-"; the first is 0, and they come
        in the order of the file. By default all frames of videos, and of others the first page, with a warning that
        says how many are left out.
    every : int
        Of these pages and frames every so many, from the first on.
    level : int, optional
        Level of an OME-Zarr or a pyramid in a TIFF: 0, the default, is the full resolution, 1 the next smaller one.
    channel : int or str, optional
        Channel of an OME-Zarr or OME-TIFF, by its number from 0 on; of an OME-Zarr also by its name. By default pages
        run over all channels.

    Returns
    -------
    iterable of (str, array)
        Names and pixels. A name is a path, followed by the page where a file has several, as "stack.tif[3]". Pixels are
        (H, W) or (H, W, 3) as `read_image` gives them; 8 bits of colour in videos. Each image is read when its turn
        comes, so that one at a time is in memory, and frames of a video are decoded once. `len` is how many there are,
        where files tell that. An image of more than 178,956,970 pixels, if its format allows it, is an object with
        `shape` and `dtype`, of which slices are read as arrays; `locate` searches it part by part.

    Raises
    ------
    OSError
        If an image is missing or broken, or there is no screen.
    ValueError
        If a folder holds no image, nothing matches a glob, a page does not exist, an image has transparent pixels, or
        an extra that is needed is not installed.

    Warns
    -----
    UserWarning
        If a file has several images and `pages` does not say which to read.

    Notes
    -----
    Pages of a TIFF or of an array with more than three axes run over all axes before those of the image (time, depth,
    channel), in the order of the file; only samples that are stored together are colours. In arrays of NPY and zarr the
    last axis is that of colours if it has a length of 1, 3 or 4. Of OME-TIFF and slides the first series is read, of
    OME-Zarr the largest size.

    Examples
    --------
    >>> import tmatch
    >>> for name, image in tmatch.open_images("datasets/cards/image.png", "datasets/raccoon/face*.png"):
    ...     print(name, image.shape)
    datasets/cards/image.png (310, 440, 3)
    datasets/raccoon/face.png (768, 1024, 3)
    datasets/raccoon/face_gray.png (768, 1024)
    """
    return OpenedImages(find_sources(images, pages=pages, every=every, level=level, channel=channel))


class OpenedImages:
    """Names and pixels of images, read when their turn comes."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def __iter__(self) -> Iterator[tuple[str, Array]]:
        for source in self._sources:
            pixels = source.read(whole_part)
            refuse_transparency(source.title, pixels.alpha)
            too_large = pixels.shape[0] * pixels.shape[1] > limits.MAX_PIXELS
            yield source.title, pixels.colours if too_large else held(pixels.colours, source.title)

    def __len__(self) -> int:
        count = self._sources.counted()
        if count is None:
            msg = "how many images there are is not known before a video was decoded, as it does not tell"
            raise TypeError(msg)
        return count

    def __bool__(self) -> bool:
        return True
