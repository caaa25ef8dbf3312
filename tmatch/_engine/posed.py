"""What engines are given, and return, of templates in many poses."""

from typing import NamedTuple

from tmatch._arrays.typing import Array


class FitTemplate(NamedTuple):
    """A template for fits: spline coefficients with a rim of two, channels first, and what goes with them.

    `weights` is empty if all pixels count equally. `centre` is the middle in pixels of these arrays, `spin` is -1 for a
    mirrored template, `radius` the distance of the corners from the middle.
    """

    coefficients: Array
    weights: Array
    centre: tuple[float, float]
    spin: float
    radius: float


class FitWindows(NamedTuple):
    """Windows of an image to which poses are fitted: one after the other, each (channels, rows, columns).

    `valid` says which pixels count, (rows, columns) of each window; it is empty if all do.
    """

    pixels: Array
    valid: Array
    shapes: Array  # (windows, 3)


class FitResults(NamedTuple):
    """Fitted poses (row, column, radians, logarithm of the scale) and their scores.

    `sums` are those of the pixels compared, for each channel, and `products` those of all without means; see
    `least_squares`.
    """

    poses: Array
    scores: Array
    sums: Array
    products: Array
    passes: Array


class PoseKernels(NamedTuple):
    """Spectra of the copies of a template in many poses, one array for each channel.

    `masks` is for each pose the number of its mask, `bounds` the positions where it lies inside the image: first and
    end row, first and end column. `first` is the number of the first pose.
    """

    spectra: tuple[Array, ...]
    masks: Array
    bounds: Array
    first: int


class Maxima(NamedTuple):
    """The best and the worst score over poses at each position, and which poses have them; sums of squares, numbers."""

    inverse_norms: Array  # one plane for each mask
    high: Array
    pose: Array
    low: Array
    low_pose: Array
    squares: Array
    numbers: Array
