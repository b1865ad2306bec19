"""Where irises are in their eyes: along and across the line between an eye's corners."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

CORNERS = ((36, 39), (42, 45))
"""The corners of each eye among the 68 landmarks, the person's right eye first: left to right in
the picture of an upright face, so the right eye's are outer and inner, the left eye's the other way
round."""


def offsets(corners_px: ArrayLike, irises_px: ArrayLike) -> Floats:
    """How far irises are from the middles of their eyes, in widths of those eyes.

    Args:
        corners_px: (2, 2, 2) eye, corner in the order of :data:`CORNERS`, pixel.
        irises_px: (2, 2) of each eye.

    Returns:
        (2, 2) of each eye: along the line from its first corner to its second, and across, which is
        down in the picture of an upright face.
    """
    corners = np.asarray(corners_px, np.float64)
    line = corners[:, 1] - corners[:, 0]
    width = np.maximum(np.linalg.norm(line, axis=1, keepdims=True), 1e-6)
    unit = line / width
    off = (np.asarray(irises_px, np.float64) - corners.mean(axis=1)) / width
    across = np.column_stack([-unit[:, 1], unit[:, 0]])
    return np.column_stack([(off * unit).sum(axis=1), (off * across).sum(axis=1)])


def widths_px(corners_px: ArrayLike) -> Floats:
    """(2,) distances between each eye's corners (2, 2, 2)."""
    corners = np.asarray(corners_px, np.float64)
    return np.asarray(np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1))
