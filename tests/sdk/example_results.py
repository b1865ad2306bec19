"""Results made by hand, for tests of what is done with results."""

from __future__ import annotations

import math

import numpy as np

from clipgaze_sdk import HeadPose
from clipgaze_sdk._results import FaceResult, FrameResult, Gaze
from clipgaze_sdk.geometry.camera import Camera

STAGES = ("detect", "landmarks", "pose", "normalize", "gaze", "total")


def example_face(
    *,
    pitch_deg: float = 0.0,
    yaw_deg: float = 0.0,
    box: tuple[float, float, float, float] = (100.0, 60.0, 180.0, 160.0),
    track_id: int | None = None,
) -> FaceResult:
    """A face whose landmarks all lie at the middle of the box's upper half."""
    pitch, yaw = math.radians(pitch_deg), math.radians(yaw_deg)
    x0, y0, x1, y1 = box
    eyes = np.array([(x0 + x1) / 2, (3 * y0 + y1) / 4], np.float32)
    return FaceResult(
        bbox_px=np.array(box, np.float32),
        confidence=0.9,
        landmarks_px=np.tile(eyes, (68, 1)),
        irises_px=eyes + np.array([[-20, 0], [20, 0]], np.float32),
        head_pose=HeadPose(
            camera_from_head=np.eye(3), translation_mm=np.array([10.0, -20.0, 600.0])
        ),
        eye_openness=np.array([0.8, 0.7], np.float32),
        gaze=Gaze(
            pitch_rad=pitch,
            yaw_rad=yaw,
            vector=np.array(
                [
                    -math.cos(pitch) * math.sin(yaw),
                    -math.sin(pitch),
                    -math.cos(pitch) * math.cos(yaw),
                ]
            ),
            origin_mm=np.array([10.0, -20.0, 600.0]),
            uncertainty_rad=0.1,
        ),
        track_id=track_id,
    )


def example_result(
    *faces: FaceResult, size: tuple[int, int] = (320, 240), timestamp_s: float | None = None
) -> FrameResult:
    return FrameResult(
        faces=faces,
        image_size_px=size,
        camera=Camera.from_fov(*size),
        camera_is_assumed=True,
        timestamp_s=timestamp_s,
        detector_ran=True,
        timings_ms=dict.fromkeys(STAGES, 1.0),
    )
