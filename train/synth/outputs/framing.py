"""Which part of a camera's frame is drawn, and how large."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from train.synth.outputs.normalization import moved_points
from train.synth.outputs.records import affine
from train.synth.render.scene import Scene, Window

MOST_FACE_PX = 224.0
"""Larger faces are drawn at this size, 1.6 pixels a millimetre: a face crop has no more.

Eye bands too: at 150 pixels, as they once were, they took 125 ms and not 141, but an iris had 12
pixels across where a crop has 19.
"""
CROP_REACH_PX = (-8.0, -8.0, 231.0, 231.0)
"""Left, top, right and bottom of what is drawn for a crop, in its pixels: a margin for blur, and
for landmarks whose errors are larger since something hides them."""
BAND_REACH_PX = (-16.0, 14.0, 239.0, 146.0)
"""The same for an eye band: rows 32 to 127, and a margin for augmentation too."""
HALF_WINDOW = 0.9
"""Half a picture's side, in units of 140 mm at the face."""
CUTOUT_FACE_PX = 200.0
CUTOUT_WINDOW = (1.25, 1.2, 1.3)
"""A cut-out's reach beside, above and below the face centre, in units of 140 mm."""


def scaled(scene: Scene, scale: float) -> Scene:
    """The scene as a camera of ``scale`` times the resolution sees it, its blur alike."""
    if scale == 1:
        return scene
    width, height = (max(1, round(n * scale)) for n in scene.frame_px)
    sensor = replace(
        scene.sensor,
        defocus_px=scene.sensor.defocus_px * scale,
        motion_px=scene.sensor.motion_px * scale,
        downscale=max(1.0, scene.sensor.downscale * scale),
    )
    return replace(
        scene,
        camera_matrix=affine(scale) @ scene.camera_matrix,
        frame_px=(width, height),
        sensor=sensor,
    )


def around(scene: Scene, beside: float, above: float, below: float) -> Window:
    """The part of the frame around the face centre, in units of 140 mm there."""
    center = scene.camera_matrix @ scene.face_center_mm
    x, y = center[:2] / center[2]
    size = scene.face_px
    left, top = round(x - beside * size), round(y - above * size)
    return left, top, round(x + beside * size) - left, round(y + below * size) - top


def shown(frame_from_crop: NDArray[np.float64], reach: tuple[float, float, float, float]) -> Window:
    """The part of the frame that a part of the crop shows: left, top, right, bottom in its pixels.

    ``frame_from_crop`` (3, 3) is a homography between pixels.
    """
    left, top, right, bottom = reach
    corners = np.array([[left, top], [right, top], [left, bottom], [right, bottom]])
    pixels = moved_points(corners, frame_from_crop)
    low, high = np.floor(pixels.min(0)).astype(int), np.ceil(pixels.max(0)).astype(int)
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


def clipped(window: Window, frame_px: tuple[int, int]) -> Window:
    """The part of a window that is inside of the frame, at least one pixel."""
    left, top = max(window[0], 0), max(window[1], 0)
    right = min(window[0] + window[2], frame_px[0])
    bottom = min(window[1] + window[3], frame_px[1])
    return left, top, max(right - left, 1), max(bottom - top, 1)
