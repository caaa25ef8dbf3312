"""What each metric is."""

import numpy as np

from tmatch._arrays.typing import Array

CENTRED, NORMALISED, BOUNDED = (
    ("zncc", "zcc"),
    ("zncc", "ncc", "nssd", "orientation"),
    ("zncc", "ncc", "orientation"),
)


def normalise_weights(weights: list[Array]) -> list[Array]:
    """Bring weights near 1 if they are far from it; normalised scores do not change."""
    exponent = int(np.frexp(max(float(w.max()) for w in weights))[1])
    if abs(exponent) < 30:
        return weights
    near = {id(w): np.ldexp(w.astype(np.float64), -exponent) for w in weights}
    return [near[id(w)] for w in weights]


HAS_NULL_MODEL = ("zncc", "orientation")  # chance scores around 0
