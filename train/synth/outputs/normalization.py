"""The normalised face crop as the SDK makes it; nothing here draws."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk.faces.sampling import sample_crops
from clipgaze_sdk.geometry import GazeNormalization

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

NORMALIZATION = GazeNormalization(
    focal_px=960.0, distance_mm=600.0, size_px=(224, 224), center_px=(111.5, 111.5)
)


def sampled(image: Pixels, image_from_crop: Floats, size: tuple[int, int]) -> Pixels:
    """The SDK's sampling of an RGB image, kept as bytes; black outside of the image."""
    crop = sample_crops(
        np.ascontiguousarray(image),
        image_from_crop[None],
        width=size[0],
        height=size[1],
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        color="rgb",
    )[0]
    return np.ascontiguousarray(np.round(crop.transpose(1, 2, 0) * 255).astype(np.uint8))
