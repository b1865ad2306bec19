"""The normalised face crop as the SDK makes it, and what it truly shows; nothing here draws."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk.faces.sampling import sample_crops
from clipgaze_sdk.geometry import GazeNormalization

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

NORMALIZATION = GazeNormalization(
    focal_px=960.0, distance_mm=600.0, size_px=(224, 224), center_px=(111.5, 111.5)
)
CLASS_ROWS = (24, 136)
"""First row and end of the part of a crop whose pixels have classes: both eyes, whatever the errors
of landmarks."""


def cut_classes(classes: Pixels, image_from_crop: Floats) -> Pixels:
    """The classes (112, 224) of a crop's :data:`CLASS_ROWS`, of those (H, W) of an image's pixels.

    The nearest pixel's, as numbers of classes have no mean; 0 outside of the image.
    """
    first, end = CLASS_ROWS
    rows = np.array([[1, 0, 0], [0, 1, first], [0, 0, 1.0]])
    return np.asarray(
        cv2.warpPerspective(
            classes,
            image_from_crop @ rows,
            (NORMALIZATION.size_px[0], end - first),
            flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        ),
        np.uint8,
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


def sight_rotation(turn: Floats, assumed: Floats, true: Floats) -> Floats:
    """Rotation (3, 3) from the true camera into the one whose axes a crop's pixels show.

    ``turn`` (3, 3) is the normalisation's rotation, from the camera matrix that was ``assumed``.
    Where that is not the ``true`` one, a crop's middle is seen along another ray, and gaze turned
    by ``turn`` is off by what no picture tells.  Here the forward axis is the true ray of the
    crop's middle, and the true rays of its middle row lie in the plane of right and forward.
    """
    rays = turn @ (np.linalg.inv(true) @ assumed).T  # rows: the axes' true rays
    forward = rays[2] / np.linalg.norm(rays[2])
    right = rays[0] - forward * (forward @ rays[0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward])


def moved_points(points: Floats, homography: Floats) -> Floats:
    """(N, 2) pixels through a homography (3, 3)."""
    out = np.column_stack([points, np.ones(len(points))]) @ homography.T
    return np.asarray(out[:, :2] / out[:, 2:])
