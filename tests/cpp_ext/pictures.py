"""Images and numbers that the tests of the kernels share."""

from __future__ import annotations

import numpy as np

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """Uniform uint8 noise: the steepest picture that there is."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def waves(height: int, width: int) -> np.ndarray:
    """A smooth (height, width, 3) picture with different channels."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    channels = (np.sin(x / 31 + 1), np.cos(y / 23), np.sin((x + 2 * y) / 47))
    return np.rint(127.5 + 120 * np.stack(channels, axis=2)).astype(np.uint8)


def grey_levels(difference: np.ndarray, std=STD) -> float:
    """The largest difference of normalised (..., 3, H, W) arrays, in grey levels."""
    return float(np.abs(difference * np.reshape(std, (3, 1, 1)) * 255).max(initial=0.0))
