"""Heads at known places, for tests of geometry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk import Camera
from clipgaze_sdk.geometry import FACE_MODEL_MM

MIRROR = np.diag([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Head:
    """A mean face with a known pose, and its exact landmarks."""

    rotation: NDArray[np.float64]
    translation_mm: NDArray[np.float64]
    landmarks_px: NDArray[np.float64]


def head_rotation(pitch: float, yaw: float, roll: float) -> NDArray[np.float64]:
    """Ry(yaw) Rx(-pitch) Rz(roll), written out from the axes' definitions."""
    cp, sp, cy, sy, cr, sr = (f(a) for a in (pitch, yaw, roll) for f in (np.cos, np.sin))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def make_head(
    camera: Camera, *, angles: tuple[float, float, float], translation_mm: tuple[float, ...]
) -> Head:
    """Project the mean face; ``angles`` are (pitch, yaw, roll) in radians."""
    rotation, translation = head_rotation(*angles), np.array(translation_mm)
    return Head(rotation, translation, camera.project(FACE_MODEL_MM @ rotation.T + translation))


def random_heads(camera: Camera, count: int, *, seed: int = 0, max_yaw: float = 1.3) -> list[Head]:
    """Heads with all turns that a landmark network can follow, all over the image."""
    rng = np.random.default_rng(seed)
    heads = []
    for _ in range(count):
        angles = rng.uniform((-0.7, -max_yaw, -0.9), (0.7, max_yaw, 0.9))
        z = rng.uniform(280, 2500)
        x, y = rng.uniform((-0.4, -0.2), (0.4, 0.2)) * z
        heads.append(make_head(camera, angles=tuple(angles), translation_mm=(x, y, z)))
    return heads
