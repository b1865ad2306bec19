"""Images to compare an engine with ONNX Runtime on: drawn faces, the same everywhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..models.cards import ModelCard

_SKIN = ((0.85, 0.66, 0.55), (0.45, 0.31, 0.24))
_GROUND = ((0.30, 0.32, 0.36), (0.62, 0.60, 0.55))
_GAZE = ((0.0, 0.0), (-0.4, 0.2), (0.4, -0.2), (0.2, 0.4))


def sample_images(card: ModelCard, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return normalised drawn faces of a shape (N, 3, H, W), for a network of a card.

    They look to different sides, in different light.  A crop is filled by a face; a whole image,
    as the face detector takes it, has one of two fifths of its height.
    """
    count, _, height, width = shape
    mean, std = (np.array(v, np.float32)[:, None, None] for v in card.mean_std())
    radius = 0.2 * height if card.task == "face_detector" else 0.45 * min(height, width)
    if card.task == "gaze":  # the crop is wide, and shows the region of the eyes
        radius = 0.5 * width
    images = [_face(height, width, radius, index) for index in range(count)]
    return np.ascontiguousarray((np.stack(images) - mean) / std, dtype=np.float32)


def _face(height: int, width: int, radius: float, index: int) -> NDArray[np.float32]:
    """Draw one face (3, H, W) in [0, 1]."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    u, v = (x - (width - 1) / 2) / radius, (y - (height - 1) / 2) / radius
    light = 1.0 + 0.3 * np.sin(2.0 * u + index) * np.cos(1.5 * v)
    image = _filled(_GROUND[index % 2], light)
    dx, dy = _GAZE[index % len(_GAZE)]
    skin = np.array(_SKIN[index // 2 % 2], np.float32)
    _paint(image, (u / 0.75) ** 2 + v**2, _filled(skin, light))
    for side in (-1.0, 1.0):
        eye = ((u - 0.3 * side) / 0.16, (v + 0.15) / 0.07)
        _paint(image, eye[0] ** 2 + eye[1] ** 2, _filled((0.92, 0.92, 0.92), light))
        iris = (u - 0.3 * side - 0.12 * dx) ** 2 + (v + 0.15 - 0.05 * dy) ** 2
        _paint(image, iris / 0.065**2, _filled((0.15, 0.12, 0.10), light))
        brow = ((u - 0.3 * side) / 0.2) ** 2 + ((v + 0.32) / 0.03) ** 2
        _paint(image, brow, _filled((0.2, 0.15, 0.12), light))
    _paint(image, (u / 0.08) ** 2 + ((v - 0.1) / 0.2) ** 2, _filled(skin * 0.85, light))
    _paint(image, (u / 0.28) ** 2 + ((v - 0.5) / 0.08) ** 2, _filled((0.6, 0.3, 0.3), light))
    return np.clip(image, 0.0, 1.0)


def _filled(color: object, light: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(color, np.float32)[:, None, None] * light[None]


def _paint(
    image: NDArray[np.float32], distance: NDArray[np.float32], color: NDArray[np.float32]
) -> None:
    """Fill where ``distance`` is below one, with a soft edge."""
    weight = np.clip((1.15 - distance) / 0.3, 0.0, 1.0)
    image += weight[None] * (color - image)
