"""Geometry of faces, heads and gaze: what training and run time share.

Frames, signs and units are stated once, in :mod:`clipgaze_sdk._results`: camera frame x right,
y down, z forward; head frame x to the person's left, y down, z into the head; millimetres; pixel
centres at integers; rotations named ``target_from_source``.
"""

from __future__ import annotations

from .angles import (
    angle_between,
    angles_from_vector,
    draw_arrow_offset,
    mirror_angles,
    vector_from_angles,
)
from .camera import Camera
from .crops import (
    box_from_landmarks,
    face_crop,
    face_crop_from_detection,
    face_crop_from_landmarks,
)
from .face_model import FACE_MODEL_MM, MIRRORED_LANDMARKS, MIRRORED_POINTS
from .head_pose import HeadPose, head_pose_from_landmarks
from .normalization import GazeNormalization

__all__ = [
    "FACE_MODEL_MM",
    "MIRRORED_LANDMARKS",
    "MIRRORED_POINTS",
    "Camera",
    "GazeNormalization",
    "HeadPose",
    "angle_between",
    "angles_from_vector",
    "box_from_landmarks",
    "draw_arrow_offset",
    "face_crop",
    "face_crop_from_detection",
    "face_crop_from_landmarks",
    "head_pose_from_landmarks",
    "mirror_angles",
    "vector_from_angles",
]
