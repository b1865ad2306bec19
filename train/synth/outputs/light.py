"""Linear light: before a background, through a sensor, and as the bytes of a cut-out."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from train.synth.places.lighting import LUMINANCE
from train.synth.render.posing import Labels
from train.synth.render.scene import Window
from train.synth.render.sensor import Sensor, expose

Pixels = NDArray[np.uint8]
Image = NDArray[np.float32]
HEADROOM = 2.0
"""Linear light that a cut-out's byte 255 stands for."""


def composed(rgba: Image, behind: Image) -> Image:
    """Premultiplied light (H, W, 4) before a background (H, W, 3)."""
    return np.asarray(rgba[..., :3] + behind * (1 - rgba[..., 3:]), np.float32)


def face_light(rgba: Image, window: Window, labels: Labels) -> float:
    """Mean luminance of what is drawn from the brows to the nose; 0 where nothing is.

    ``rgba`` (H, W, 4) is the premultiplied window, labels are in the frame's pixels.  Every third
    pixel is enough for a mean.
    """
    marks = labels.landmarks_px[17:36] - window[:2]
    left, top = np.maximum(np.floor(marks.min(0)), 0).astype(int)
    right, bottom = np.maximum(np.ceil(marks.max(0)), 0).astype(int)
    part = rgba[top:bottom:3, left:right:3]
    cover = float(part[..., 3].sum())
    return float((part[..., :3].sum((0, 1)) @ LUMINANCE) / cover) if cover > 0 else 0.0


def exposed(
    rng: np.random.Generator,
    light: Image,
    sensor: Sensor,
    window: Window,
    frame_px: tuple[int, int],
) -> Pixels:
    """The sensor's picture of a part of its frame: the lens is dark in the frame's corners."""
    if sensor.vignette > 0.01:
        x = (np.arange(window[2]) + window[0] + 0.5) / frame_px[0] * 2 - 1
        y = (np.arange(window[3]) + window[1] + 0.5) / frame_px[1] * 2 - 1
        gain = 1 - sensor.vignette * np.clip((y[:, None] ** 2 + x**2) / 2, 0, 1)
        light = light * gain[..., None].astype(np.float32)
        sensor = replace(sensor, vignette=0.0)
    return expose(rng, light, sensor)


def encode_light(light: Image) -> Pixels:
    """Linear light as bytes: ``255 * (light / HEADROOM) ** (1 / 2.2)``, clipped at both ends.

    The headroom keeps highlights that a darker exposure shows; the power spends the bytes on what
    is dark.
    """
    return np.asarray(
        np.round(np.clip(light / HEADROOM, 0, 1) ** np.float32(1 / 2.2) * 255), np.uint8
    )


_LIGHT = (HEADROOM * (np.arange(256) / 255) ** 2.2).astype(np.float32)


def decode_light(encoded: Pixels) -> Image:
    """Linear light of :func:`encode_light`'s bytes."""
    return np.asarray(cv2.LUT(encoded, _LIGHT), np.float32)
