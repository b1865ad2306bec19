"""Square crops of faces, from detections and from landmarks; and the boxes of faces.

A crop is (3, 3) float64 ``image_from_crop``, of ``size_px`` a side, whose edges are at -0.5 and
``size_px - 0.5``.  A wrong shape and numbers that are not finite are an :class:`InputError`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import finite_array, landmark_pixels

_Floats = NDArray[np.float64]
_EYES = slice(36, 48)
_MOUTH = slice(48, 68)
_BROWS = slice(17, 27)

_FOREHEAD = 0.35
"""Height of the forehead above the brows, in units of the height from brows to chin."""
_BOX_ASPECT = 0.78
"""Width over height of an upright box with forehead, between a frontal face and a half profile."""


def face_crop_from_landmarks(
    landmarks_px: ArrayLike, *, size_px: int, scale: float
) -> NDArray[np.float64]:
    """Return the similarity that cuts an upright square around landmarks.

    "Up" is the direction from the mouth to the eyes.  The square is centred on the landmarks'
    bounding box in that rotated frame, and its side is ``scale`` times the box's longer side.

    Args:
        landmarks_px: (68, 2) in Multi-PIE order; more are left out.
        size_px: side of the crop, pixels.
        scale: side of the square in units of the box's longer side.
    """
    points = landmark_pixels(landmarks_px)
    axes = _face_axes(points[_EYES], points[_MOUTH])
    along = points @ axes
    low, high = along.min(axis=0), along.max(axis=0)
    side = scale * float(np.max(high - low))
    return _similarity(axes @ ((low + high) / 2.0), axes, side=side, size_px=size_px)


def face_crop_from_detection(
    box_px: ArrayLike, points_px: ArrayLike, *, size_px: int, scale: float
) -> NDArray[np.float64]:
    """Return nearly the crop that the landmarks of a detected face would give.

    The box is upright in the image and includes the forehead; its size in the face's own rotated
    frame follows from the roll and an average aspect ratio.

    Args:
        box_px: (4,) x0, y0, x1, y1.
        points_px: (5, 2) right eye, left eye, nose tip, right and left mouth corner.
        size_px: side of the crop, pixels.
        scale: as for :func:`face_crop_from_landmarks`.
    """
    x0, y0, x1, y1 = finite_array("box_px", box_px, (4,))
    points = finite_array("points_px", points_px, (5, 2))
    axes = _face_axes(points[:2], points[3:])
    # An ellipse of width a and height b fills its upright box of size w by h when turned by the
    # roll: w^2 + h^2 = a^2 + b^2, whatever the roll.
    height = float(np.hypot(x1 - x0, y1 - y0)) / float(np.hypot(1.0, _BOX_ASPECT))
    below_brows = height / (1.0 + _FOREHEAD)
    center = np.array([x0 + x1, y0 + y1]) / 2.0 + axes[:, 1] * (height - below_brows) / 2.0
    side = scale * max(below_brows, _BOX_ASPECT * height)
    return _similarity(center, axes, side=side, size_px=size_px)


def box_from_landmarks(landmarks_px: ArrayLike) -> NDArray[np.float32]:
    """Return the upright box of a face, forehead included, as a detector gives it.

    It is (4,) float32 x0, y0, x1, y1, of landmarks (68, 2) in Multi-PIE order.
    """
    points = landmark_pixels(landmarks_px)
    down = _face_axes(points[_EYES], points[_MOUTH])[:, 1]
    depth = points @ down
    forehead = points[_BROWS] - down * _FOREHEAD * float(depth.max() - depth[_BROWS].min())
    everything = np.vstack([points, forehead])
    return np.concatenate([everything.min(axis=0), everything.max(axis=0)]).astype(np.float32)


def _face_axes(eyes_px: _Floats, mouth_px: _Floats) -> _Floats:
    """Return right and down of a face as columns (2, 2); the image's own if eyes meet mouth."""
    down = mouth_px.mean(axis=0) - eyes_px.mean(axis=0)
    length = float(np.linalg.norm(down))
    x, y = down / length if length > 1e-6 else (0.0, 1.0)
    return np.array([[y, x], [-x, y]])


def _similarity(center: _Floats, axes: _Floats, *, side: float, size_px: int) -> _Floats:
    axes = axes * (max(side, 1e-3) / size_px)
    corner = center - axes.sum(axis=1) * (size_px - 1) / 2.0
    return np.vstack([np.column_stack([axes, corner]), (0.0, 0.0, 1.0)])
