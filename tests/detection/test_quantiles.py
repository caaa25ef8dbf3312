"""Quantiles are those of NumPy."""

import numpy as np
import pytest

from tmatch._arrays.quantiles import median, quantile

pytestmark = pytest.mark.engine_free


@pytest.mark.parametrize("count", [1, 2, 3, 10, 11, 121, 4096])
@pytest.mark.parametrize("dtype", ["i4", "f8"])
def test_quantile_and_median_are_those_of_numpy(draw, count, dtype):
    values = draw(count, dtype)
    for share in (0, 0.1, 0.5, 0.93, 1):
        assert quantile(values, share) == pytest.approx(np.quantile(values, share), rel=1e-14)
    assert median(values) == np.median(values)
    assert median(np.full(count, values[0])) == values[0]
