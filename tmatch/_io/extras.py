"""Libraries that are not always installed."""

import importlib.util

_LIBRARIES = {  # by extra: what is imported, and of what it is said
    "video": ("av", "a video, which PyAV reads"),
    "zarr": ("zarr", "an array of zarr, which zarr reads"),
    "screen": ("mss", "the screen, which mss reads"),
    "dask": ("distributed", "the address of a cluster, which dask.distributed reaches"),
    "rois": ("roifile", "one of regions for ImageJ, which roifile makes"),
}


def require(extra: str, subject: str) -> None:
    """Refuse what cannot be read or written without a library that an extra of this package brings."""
    module, what = _LIBRARIES[extra]
    if importlib.util.find_spec(module) is None:
        msg = f"{subject} {what}; install it with: pip install 'tmatch[{extra}]'"
        raise ValueError(msg)
