"""How floating-point errors are handled."""

import numpy as np

# Decorates public functions, so that `numpy.seterr` of the caller changes nothing: NumPy's defaults, which new threads
# have in any case.
own_errstate = np.errstate(divide="warn", over="warn", under="ignore", invalid="warn")
