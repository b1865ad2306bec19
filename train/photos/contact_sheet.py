"""Pages of small pictures: gaze beside the peer's, and what was taken for a face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from clipgaze_sdk.geometry import vector_from_angles

TILE_PX = 280
COLUMNS = 5
MOST_TILES = 20
OURS, PEER, JUDGED = (0, 190, 255), (255, 120, 40), (255, 255, 255)
"""Amber, blue and white, in BGR."""
_FACE_OF_TILE = 0.62
_ARROW_OF_TILE = 0.42
_BAR_PX = 34
_QUALITIES = (88, 80, 70, 60)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
Image = NDArray[np.uint8]


def crop(image_bgr: Image, box_px: ArrayLike) -> tuple[Image, NDArray[np.float64]]:
    """A square tile around a box (4,), and the (2, 3) matrix from the picture to it."""
    x0, y0, x1, y1 = np.asarray(box_px, np.float64)
    scale = _FACE_OF_TILE * TILE_PX / max(x1 - x0, y1 - y0, 1.0)
    middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    to_tile = np.array([[scale, 0.0, 0.0], [0.0, scale, 0.0]])
    to_tile[:, 2] = TILE_PX / 2 - scale * middle
    # A large face is shrunk by more than bilinear sampling can: halve it first.
    source, half = image_bgr, to_tile.copy()
    while half[0, 0] < 0.5:
        source = np.asarray(cv2.resize(source, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
        half[:, :2] *= 2
    tile = cv2.warpAffine(source, half, (TILE_PX, TILE_PX), flags=cv2.INTER_CUBIC)
    return np.asarray(tile, np.uint8), to_tile


def tip(start: ArrayLike, pitch_yaw_deg: Sequence[float]) -> tuple[int, int]:
    """Where an arrow ends that starts at a pixel (2,) of a tile."""
    x, y, _ = vector_from_angles(np.radians(pitch_yaw_deg))
    end = np.asarray(start, np.float64) + _ARROW_OF_TILE * TILE_PX * np.array([x, y])
    return round(float(end[0])), round(float(end[1]))


def gaze_tile(
    image_bgr: Image, box_px: ArrayLike, eyes_px: ArrayLike, row: Mapping[str, Any]
) -> Image:
    """One face with both arrows, from between the eyes; seen along the line of sight.

    Args:
        image_bgr: the photograph.
        box_px: (4,) of the face.
        eyes_px: (2,) between the eyes.
        row: of :func:`train.photos.gaze.gaze_row`, with ``photo`` and ``face``.
    """
    tile, to_tile = crop(image_bgr, box_px)
    start = to_tile[:, :2] @ np.asarray(eyes_px, np.float64) + to_tile[:, 2]
    at = round(float(start[0])), round(float(start[1]))
    if "judged_deg" in row:
        ring = tip(start, row["judged_deg"])
        cv2.circle(tile, ring, 8, (0, 0, 0), 4, cv2.LINE_AA)
        cv2.circle(tile, ring, 8, JUDGED, 2, cv2.LINE_AA)
    for key, color in (("peer_deg", PEER), ("ours_deg", OURS)):
        end = tip(start, row[key])
        cv2.line(tile, at, end, (0, 0, 0), 6, cv2.LINE_AA)
        cv2.line(tile, at, end, color, 3, cv2.LINE_AA)
        cv2.circle(tile, end, 6, (0, 0, 0), cv2.FILLED, cv2.LINE_AA)
        cv2.circle(tile, end, 4, color, cv2.FILLED, cv2.LINE_AA)
    name = f"{Path(row['photo']).stem} {row['face']}"
    _write(tile, f"{row['angle_deg']:.1f} deg", (6, 24), 0.7)
    _write(tile, name, (6, TILE_PX - 8), 0.5)
    return tile


def box_tile(image_bgr: Image, box_px: ArrayLike, name: str) -> Image:
    """Something that was taken for a face, with its box and a name."""
    tile, to_tile = crop(image_bgr, box_px)
    x0, y0, x1, y1 = np.asarray(box_px, np.float64) * to_tile[0, 0] + np.tile(to_tile[:, 2], 2)
    corners = (round(x0), round(y0)), (round(x1), round(y1))
    cv2.rectangle(tile, *corners, OURS, 2, cv2.LINE_AA)
    _write(tile, name, (6, TILE_PX - 8), 0.5)
    return tile


def sheet(tiles: Sequence[Image], legend: Sequence[tuple[str, tuple[int, int, int]]]) -> Image:
    """Tiles in rows under a bar that says what the colours are."""
    columns = min(COLUMNS, max(len(tiles), 1))
    blank = np.zeros((TILE_PX, TILE_PX, 3), np.uint8)
    padded = [*tiles, *[blank] * (-len(tiles) % columns)]
    rows = [np.hstack(padded[k : k + columns]) for k in range(0, len(padded), columns)]
    bar = np.full((_BAR_PX, columns * TILE_PX, 3), 40, np.uint8)
    x = 10
    for text, color in legend:
        cv2.circle(bar, (x + 6, _BAR_PX // 2), 6, color, cv2.FILLED, cv2.LINE_AA)
        _write(bar, text, (x + 20, _BAR_PX // 2 + 6), 0.5)
        x += 40 + cv2.getTextSize(text, _FONT, 0.5, 1)[0][0]
    return np.vstack([bar, *rows])


def gaze_sheet(
    rows: Sequence[Mapping[str, Any]],
    images: Mapping[str, Image],
    references: Mapping[tuple[str, int], tuple[ArrayLike, ArrayLike]],
) -> Image:
    """The faces on which ours and the peer differ most, worst first.

    Args:
        rows: of :func:`train.photos.gaze.gaze_row`, sorted, with ``photo`` and ``face``.
        images: photographs by name.
        references: box (4,) and middle of the eyes (2,) by photograph and face.
    """
    tiles = [
        gaze_tile(images[row["photo"]], *references[row["photo"], row["face"]], row)
        for row in rows[:MOST_TILES]
    ]
    legend = [
        ("ours", OURS),
        ("peer (OpenVINO)", PEER),
        ("ring: where the eye sees them look", JUDGED),
        ("seen along the line of sight; a dot is into the camera; angle: ours to peer", (90,) * 3),
    ]
    return sheet(tiles, legend)


def write_jpeg(path: Path, image_bgr: Image, *, most_bytes: int = 1_200_000) -> None:
    """Write a page, at the best quality of a few with which it is small enough."""
    data = b""
    for quality in _QUALITIES:
        data = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(data) <= most_bytes:
            break
    path.write_bytes(data)


def _write(image_bgr: Image, text: str, at: tuple[int, int], size: float) -> None:
    # The outline is the same text moved about: a thicker one is wider too with OpenCV 5's fonts.
    around = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
    for dx, dy in around:
        place = at[0] + dx, at[1] + dy
        cv2.putText(image_bgr, text, place, _FONT, size, (0, 0, 0), 1, cv2.LINE_AA)
    cv2.putText(image_bgr, text, at, _FONT, size, (255, 255, 255), 1, cv2.LINE_AA)
