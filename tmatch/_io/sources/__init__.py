"""Sources of images: files, folders, globs, pages, frames, screens."""

from tmatch._io.sources.find import Sources, find_sources
from tmatch._io.sources.opened import open_images
from tmatch._io.sources.source import Source, portable

__all__ = ["Source", "Sources", "find_sources", "open_images", "portable"]
