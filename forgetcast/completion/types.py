"""Array types of the completion core."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Values = NDArray[np.floating[Any]]  # float32 or float64, possibly a memory map: what grows with M x N keeps its type
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]
