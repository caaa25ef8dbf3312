"""Names of types that all modules share."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = tuple[int, ...]
Region = tuple[slice, ...]
Positions = NDArray[np.intp]
