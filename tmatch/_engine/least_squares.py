"""Steps of a least-squares fit of a pose, from sums over pixels. Both engines use them; numba compiles them.

There are six quantities at each pixel: the derivatives of the template by row, column, angle (radians) and logarithm
of the scale; the template; and the image. Their weighted sums come first, then those of their products, row by row.
"""

import math

import numpy as np

from tmatch._arrays.typing import Array

N_FREE = 4  # row, column, angle, logarithm of the scale
TEMPLATE, IMAGE = 4, 5
N_SUMS = 1 + 6 + 21  # of weights, of quantities, of products
SINGULAR = 1e-7  # share of a derivative's energy that nothing else explains, at least
EQUAL = 1e-3  # by which a step may lower the score, as pixels at the edge come and go


def centre(sums: Array, joint: bool, products: Array) -> None:  # noqa: FBT001
    """Compute products without the means of each channel, or of all."""
    products[:] = 0.0
    groups = 1 if joint else sums.shape[0]
    for group in range(groups):
        together = sums[group] if groups > 1 or sums.shape[0] == 1 else sums.sum(axis=0)
        at = 7
        for i in range(6):
            for j in range(i, 6):
                mean = together[1 + i] * together[1 + j] / max(together[0], 1e-300)
                products[i, j] += together[at] - mean
                at += 1
    for i in range(6):
        for j in range(i):
            products[i, j] = products[j, i]


def score_of(products: Array) -> float:
    """Compute the score from centred products; 0 without contrast."""
    both = products[TEMPLATE, TEMPLATE] * products[IMAGE, IMAGE]
    return products[TEMPLATE, IMAGE] / math.sqrt(both) if both > 0 else 0.0


def step_of(products: Array, free: Array, radius: float, trust: float, step: Array) -> float:
    """Compute the next step of the pose, cut to a distance that no corner moves farther; return that distance.

    These are the normal equations of the free parameters, gain and offsets eliminated, solved by steps of Gauss and
    Jordan. A parameter stays if the others explain almost all of its derivative.
    """
    energy, shared = products[TEMPLATE, TEMPLATE], products[TEMPLATE, IMAGE]
    step[:] = 0.0
    if not energy > 0 or shared == 0:
        return 0.0
    beside = products[:N_FREE, TEMPLATE]
    system = np.zeros((N_FREE, N_FREE + 1))
    for i in range(N_FREE):
        # The columns of what is not free stay 0, so that nothing is made of them.
        system[i, :N_FREE] = (products[i, :N_FREE] - beside[i] * beside / energy) * free * free[i]
        system[i, N_FREE] = (products[i, IMAGE] * energy / shared - beside[i]) * free[i]
    for k in range(N_FREE):
        row = system[k] / system[k, k] if system[k, k] > SINGULAR * products[k, k] else np.zeros(N_FREE + 1)
        for i in range(N_FREE):
            system[i] -= system[i, k] * row
        system[k] = row
    step[:] = system[:, N_FREE]
    moved = max(abs(step[0]), abs(step[1]), radius * max(abs(step[2]), abs(step[3])))
    if moved > trust:
        step *= trust / moved
    return float(min(moved, trust))
