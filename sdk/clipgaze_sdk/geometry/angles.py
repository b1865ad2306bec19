"""Gaze angles and direction vectors, in the package's one convention.

Camera frame: x right, y down, z forward.  ``pitch = asin(-y)``, up is positive;
``yaw = atan2(-x, -z)``, towards the image's left is positive.  Looking straight into the camera is
``(0, 0, -1)``, pitch and yaw zero.  The order is always (pitch, yaw), in radians.

A last axis of another length than is written is an :class:`InputError`.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import components


def vector_from_angles(pitch_yaw: ArrayLike) -> NDArray[np.float64]:
    """Return the unit directions (..., 3) of (..., 2) angles.

    These are ``(-cos p sin y, -sin p, -cos p cos y)``.
    """
    angles = components("pitch_yaw", pitch_yaw, 2)
    pitch, yaw = angles[..., 0], angles[..., 1]
    cos_pitch = np.cos(pitch)
    return np.stack([-cos_pitch * np.sin(yaw), -np.sin(pitch), -cos_pitch * np.cos(yaw)], axis=-1)


def angles_from_vector(vector: ArrayLike) -> NDArray[np.float64]:
    """Return the (pitch, yaw) (..., 2) of directions (..., 3) of any length.

    Pitch is in [-pi/2, pi/2], yaw in [-pi, pi].
    """
    v = components("vector", vector, 3)
    # atan2 keeps full precision near straight up and down, where asin loses half of the digits.
    pitch = np.arctan2(0.0 - v[..., 1], np.hypot(v[..., 0], v[..., 2]))
    # 0 - x and not -x: a negative zero would turn the yaw of straight up, 0 by choice, into -pi.
    yaw = np.arctan2(0.0 - v[..., 0], 0.0 - v[..., 2])
    return np.stack([pitch, yaw], axis=-1)


def angle_between(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Return the angle (...) between directions (..., 3) of any length above zero.

    In [0, pi], and precise near both; ``second`` is broadcast against ``first``.
    """
    a, b = (
        v / np.linalg.norm(v, axis=-1, keepdims=True)
        for v in (components("first", first, 3), components("second", second, 3))
    )
    # Kahan's formula: the arccos of a dot product loses half of the digits near 0 and pi.
    apart, along = np.linalg.norm(a - b, axis=-1), np.linalg.norm(a + b, axis=-1)
    return cast("NDArray[np.float64]", 2.0 * np.arctan2(apart, along))


def mirror_angles(pitch_yaw: ArrayLike) -> NDArray[np.float64]:
    """Return (..., 2) angles as they are in the mirrored image: pitch stays, yaw negates."""
    return components("pitch_yaw", pitch_yaw, 2) * (1.0, -1.0)
