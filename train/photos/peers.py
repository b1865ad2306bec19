"""Other people's networks, to hold ours against: OpenVINO's gaze, and the frame it answers in.

``gaze-estimation-adas-0002`` takes two eye crops and the head's angles of
``head-pose-estimation-adas-0001``.  Needs the package ``openvino`` (the extra ``peers``), which
nothing else here does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from clipgaze_sdk import Camera

GAZE, HEAD = "gaze-estimation-adas-0002", "head-pose-estimation-adas-0001"
_CROP_PX = 60
_EYE_SCALE = 1.8
"""Side of an eye's crop in units of the distance between its corners, as in the peer's demo."""


class PeerUnavailableError(RuntimeError):
    """A peer cannot be run here; the message says what is missing."""


class OpenVinoGaze:
    """The peer for gaze, run as its authors' demo does.

    Args:
        folder: with both networks' ``.xml`` and ``.bin``.
        threads: of the CPU.

    Raises:
        PeerUnavailableError: the package or a file is missing.
    """

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        try:
            import openvino
        except ImportError as error:
            raise PeerUnavailableError(
                "the package openvino is not installed (pip install '.[peers]')"
            ) from error
        core = openvino.Core()
        settings = {"INFERENCE_NUM_THREADS": threads}
        networks = []
        for name in (GAZE, HEAD):
            path = folder / f"{name}.xml"
            if not path.is_file():
                raise PeerUnavailableError(f"{path.name} is not in the peers' folder")
            networks.append(core.compile_model(str(path), "CPU", settings))
        self._gaze: Any = networks[0]
        self._head: Any = networks[1]

    def direction(
        self,
        image_bgr: NDArray[np.uint8],
        box_px: Sequence[float],
        points_px: Mapping[str, Sequence[float]],
    ) -> NDArray[np.float64]:
        """Where one face looks, in the frame of :func:`sight_from_camera`.

        Args:
            image_bgr: (H, W, 3).
            box_px: x0, y0, x1, y1 of the face; the head's angles depend on how tight it is.
            points_px: of ``photos.json``; the four eye corners are used.

        Returns:
            (3,) unit vector: x right, y down, z away from the camera.
        """
        yaw_deg, pitch_deg, roll_deg = self._head_angles_deg(image_bgr, box_px)
        # "Left" is the person's, here as in the networks' names.
        eyes = {
            f"{side}_eye_image": _eye(
                image_bgr, points_px[f"{side}_eye_inner"], points_px[f"{side}_eye_outer"], roll_deg
            )
            for side in ("left", "right")
        }
        # The crops are upright already, so the head's roll is told as none.
        angles = np.array([[yaw_deg, pitch_deg, 0.0]], np.float32)
        answer = self._gaze({**eyes, "head_pose_angles": angles})[0]
        return from_openvino(np.asarray(answer, np.float64)[0], roll_deg)

    def _head_angles_deg(
        self, image_bgr: NDArray[np.uint8], box_px: Sequence[float]
    ) -> tuple[float, float, float]:
        x0, y0, x1, y1 = (max(round(v), 0) for v in box_px)
        crop = cv2.resize(image_bgr[y0:y1, x0:x1], (_CROP_PX, _CROP_PX))
        answer = self._head(_as_input(crop))
        yaw, pitch, roll = (
            float(np.ravel(answer[f"angle_{axis}_fc"])[0]) for axis in ("y", "p", "r")
        )
        return yaw, pitch, roll


def from_openvino(vector: ArrayLike, roll_deg: float) -> NDArray[np.float64]:
    """The peer's answer on crops turned upright by ``roll_deg``, with our axes.

    Args:
        vector: (3,) of any length; x right, y up, z negative towards the camera.
        roll_deg: how far the head leans clockwise as seen in the image; the crops were turned back
            by as much.

    Returns:
        (3,) unit vector; x right, y down, z away from the camera.
    """
    x, y, z = np.asarray(vector, np.float64) / np.linalg.norm(vector)
    cos, sin = np.cos(np.radians(roll_deg)), np.sin(np.radians(roll_deg))
    return np.array([x * cos + y * sin, -(y * cos - x * sin), z])


def sight_from_camera(camera: Camera, point_px: ArrayLike) -> NDArray[np.float64]:
    """Rotation from the camera frame to the one in which the line of sight is the z axis.

    The peer's z axis is the line between the eyes and the camera, not the camera's own axis, so
    that looking into the camera is (0, 0, -1) wherever in the picture the face is.  The two differ
    by up to half of the field of view.

    Args:
        camera: of the picture; its field of view matters.
        point_px: (2,) between the eyes.

    Returns:
        (3, 3); its rows are right, down and forward.
    """
    ray = camera.rays(np.asarray(point_px, np.float64).reshape(1, 2))[0]
    forward = ray / np.linalg.norm(ray)
    down = np.cross(forward, [1.0, 0.0, 0.0])
    down /= np.linalg.norm(down)
    return np.stack([np.cross(down, forward), down, forward])


def _eye(
    image_bgr: NDArray[np.uint8],
    inner_px: Sequence[float],
    outer_px: Sequence[float],
    roll_deg: float,
) -> NDArray[np.float32]:
    """An eye's crop, turned upright, as the network wants it."""
    corners = np.array([inner_px, outer_px], np.float64)
    center = corners.mean(axis=0)
    side = _EYE_SCALE * max(float(np.linalg.norm(corners[0] - corners[1])), 1.0)
    to_crop = cv2.getRotationMatrix2D((center[0], center[1]), roll_deg, _CROP_PX / side)
    # 30, not 29.5: so the references were made, and half a pixel moves the peer by a degree.
    to_crop[:, 2] += _CROP_PX / 2 - center
    return _as_input(cv2.warpAffine(image_bgr, to_crop, (_CROP_PX, _CROP_PX)))


def _as_input(crop_bgr: Any) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.asarray(crop_bgr, np.float32).transpose(2, 0, 1)[None])
