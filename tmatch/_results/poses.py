"""How a template lies in an image, and how exactly that is known."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Pose:
    """How a template lies in an image: flipped, then scaled, then rotated.

    Parameters
    ----------
    angle : float
        Degrees, counter-clockwise as seen on the screen (row 0 at the top).
    scale : float
        Factor of both sides, above 0; greater than 1 is larger.
    flip : bool
        Whether left and right are exchanged. Up and down exchanged is a flip rotated by 180 degrees.
    """

    angle: float = 0.0
    scale: float = 1.0
    flip: bool = False

    @property
    def inverse(self) -> NDArray[np.float64]:
        """Matrix from an offset (rows, columns) in the result to that in the original."""
        cosine, sine = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        matrix = np.array([[cosine, sine], [-sine, cosine]]) / self.scale
        return matrix * [[1], [-1]] if self.flip else matrix


@dataclass(frozen=True, slots=True)
class PoseErrors:
    """Standard errors of a refined pose. Fields are JSON-serializable.

    Parameters
    ----------
    center : tuple of float, or None
        Pixels, along rows and columns. None if the position cannot be told, as along a straight edge.
    angle : float or None
        Degrees. None if it was not searched for, or cannot be told, as of a disc.
    scale : float or None
        Of the factor. None if it was not searched for, or cannot be told.
    """

    center: tuple[float, float] | None = None
    angle: float | None = None
    scale: float | None = None
