"""Small pictures and videos written for one test."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


def gradient(width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """(height, width, 3) BGR: blue grows to the right, green grows downwards, red is 90."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[..., 0] = np.linspace(0, 255, width).astype(np.uint8)[None, :]
    picture[..., 1] = np.linspace(0, 255, height).astype(np.uint8)[:, None]
    picture[..., 2] = 90
    return picture


def write_video(
    path: Path, *, frames: int = 12, fps: float = 25.0, size: tuple[int, int] = (160, 120)
) -> Path:
    """Write a clip that gets brighter; .avi is Motion-JPEG, .mp4 is MPEG-4."""
    code = "MJPG" if path.suffix == ".avi" else "mp4v"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), fps, size)
    assert writer.isOpened()
    noise = np.random.default_rng(0).integers(0, 60, (size[1], size[0], 3)).astype(np.uint8)
    for index in range(frames):
        writer.write(noise + np.uint8(index * 5))
    writer.release()
    return path


def cut_file(path: Path, *, keep: float) -> Path:
    """Cut a file so that only its first part, a share of `keep`, is left."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def write_jpeg_with_orientation(path: Path, picture: NDArray[np.uint8], orientation: int) -> Path:
    """Write a JPEG with an EXIF block that holds nothing but the orientation."""
    ok, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert ok
    data = encoded.tobytes()
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0" + tiff
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    path.write_bytes(data[:2] + segment + data[2:])
    return path
