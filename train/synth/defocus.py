"""The blur of what is out of focus, for backgrounds and for the sensor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


def disk_kernel(radius: float) -> Image:
    """An evenly filled disk, anti-aliased; sums to 1."""
    half = int(np.ceil(radius + 0.5))
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    disk = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    return np.asarray(disk / disk.sum(), np.float32)
