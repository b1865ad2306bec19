"""Draw results on a picture: box, identity, gaze arrow and angles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._errors import InputError
from ._images import checked_image
from ._opencv import cv2
from ._results import FaceResult, FrameResult

_ARROW = (0, 190, 255)  # BGR, amber: apart from skin, sky and screens
_BOX = (255, 255, 255)
_POINT = (120, 255, 120)
_OUTLINE = (0, 0, 0)  # under every line, so that each shows on dark and on light
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_EYES = slice(36, 48)  # both eyes' contours among the 68 landmarks

_Image = NDArray[np.uint8]


def draw_result(
    image_bgr: NDArray[np.uint8], result: FrameResult, *, landmarks: bool = False
) -> NDArray[np.uint8]:
    """Draw each face's box, identity, gaze arrow and angles on a copy of the picture.

    The arrow starts between the eyes and has the length of the box's longer side when the gaze is
    parallel to the picture: dx = -L sin(yaw) cos(pitch), dy = -L sin(pitch). A gaze into the
    camera is a dot. Lines and text scale with the picture.

    Args:
        image_bgr: (H, W, 3) uint8, BGR: the picture that ``result`` came from. Not changed.
        result: what ``GazeEstimator.estimate`` returned for it.
        landmarks: draw the 68 landmarks and the irises' centres too.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        InputError: ``image_bgr`` is not (H, W, 3) uint8, or ``result`` is no result.
    """
    canvas = np.array(checked_image(image_bgr, "bgr")[0])
    if not isinstance(result, FrameResult):
        raise InputError(
            f"result is a {type(result).__name__}; expected the FrameResult of this picture."
        )
    for face in result.faces:
        line_px = _line_px(canvas, face)
        _draw_box(canvas, face, line_px)
        if landmarks:
            _draw_landmarks(canvas, face, line_px)
        _draw_arrow(canvas, face, line_px)
    for face in result.faces:  # above every box and arrow
        _draw_label(canvas, face)
    return canvas


def _line_px(canvas: _Image, face: FaceResult) -> int:
    """Thickness by the picture, held back on small faces so that they stay visible."""
    return max(1, int(min(min(canvas.shape[:2]) / 300.0, _box_side_px(face) / 30.0) + 0.5))


def _outlined(line_px: int) -> int:
    return line_px + 2 * max(1, round(line_px / 3))


def _box_side_px(face: FaceResult) -> float:
    return float(max(1.0, *(face.bbox_px[2:] - face.bbox_px[:2])))


def _draw_box(canvas: _Image, face: FaceResult, line_px: int) -> None:
    corners = _pixel(face.bbox_px[:2]), _pixel(face.bbox_px[2:])
    cv2.rectangle(canvas, *corners, _OUTLINE, _outlined(line_px), cv2.LINE_AA)
    cv2.rectangle(canvas, *corners, _BOX, line_px, cv2.LINE_AA)


def _draw_landmarks(canvas: _Image, face: FaceResult, line_px: int) -> None:
    for point in face.landmarks_px:
        _draw_dot(canvas, point, line_px, _POINT)
    for point in face.irises_px:
        _draw_dot(canvas, point, line_px + 1, _ARROW)


def _draw_arrow(canvas: _Image, face: FaceResult, line_px: int) -> None:
    eyes = face.landmarks_px[_EYES].mean(axis=0)
    offset = face.gaze.vector[:2] * _box_side_px(face)
    tail, tip = _pixel(eyes), _pixel(eyes + offset)
    thick_px = line_px + max(1, line_px // 2)
    length_px = math.hypot(*offset)
    if length_px > 3.0 * thick_px:
        head = min(0.5, 5.0 * thick_px / length_px)
        cv2.arrowedLine(canvas, tail, tip, _OUTLINE, _outlined(thick_px), cv2.LINE_AA, 0, head)
        cv2.arrowedLine(canvas, tail, tip, _ARROW, thick_px, cv2.LINE_AA, 0, head)
    _draw_dot(canvas, eyes, max(2, round(1.5 * thick_px)), _ARROW)


def _draw_dot(
    canvas: _Image, point: NDArray[Any], radius_px: int, colour: tuple[int, int, int]
) -> None:
    centre = _pixel(point)
    rim_px = max(1, radius_px // 3)
    cv2.circle(canvas, centre, radius_px + rim_px, _OUTLINE, cv2.FILLED, cv2.LINE_AA)
    cv2.circle(canvas, centre, radius_px, colour, cv2.FILLED, cv2.LINE_AA)


def _draw_label(canvas: _Image, face: FaceResult) -> None:
    """Write the angles above the box, or where the picture ends below it."""
    height, width = canvas.shape[:2]
    text = label_text(face)
    scale = max(0.35, min(min(height, width) / 900.0, _box_side_px(face) / 260.0))
    (text_width, _), _ = cv2.getTextSize(text, _FONT, scale, max(1, round(scale * 1.6)))
    scale = max(0.2, scale * min(1.0, (width - 8) / text_width))
    weight = max(1, round(scale * 1.6))
    (text_width, text_height), below = cv2.getTextSize(text, _FONT, scale, weight)
    pad = max(2, text_height // 4)
    (x0, y0), (_, y1) = _pixel(face.bbox_px[:2]), _pixel(face.bbox_px[2:])
    x = max(pad, min(x0 + pad, width - text_width - pad))
    y = y0 - below - 2 * pad
    if y - text_height < pad:
        y = y1 + text_height + 2 * pad
    y = max(text_height + pad, min(y, height - below - pad))
    # A plate, for an outline of thicker text does not fit around thinner text in every OpenCV.
    corners = (x - pad, y - text_height - pad), (x + text_width + pad, y + below + pad)
    cv2.rectangle(canvas, *corners, _OUTLINE, cv2.FILLED)
    cv2.putText(canvas, text, (x, y), _FONT, scale, _BOX, weight, cv2.LINE_AA)


def label_text(face: FaceResult) -> str:
    """Say a face's identity and gaze in degrees, as it is drawn beside its box."""
    identity = "" if face.track_id is None else f"#{face.track_id} "
    pitch_deg, yaw_deg = math.degrees(face.gaze.pitch_rad), math.degrees(face.gaze.yaw_rad)
    return f"{identity}pitch {pitch_deg:+.0f} yaw {yaw_deg:+.0f} deg"


def _pixel(point: NDArray[Any]) -> tuple[int, int]:
    """Round (2,) to a pixel that OpenCV's 16-bit drawing coordinates can hold."""
    x, y = np.clip(np.rint(point), -30000, 30000).tolist()
    return int(x), int(y)
