"""Geometry of faces, heads and gaze: what training and run time share.

Frames, signs and units are stated once, in :mod:`clipgaze_sdk._results`: camera frame x right,
y down, z forward; head frame x to the person's left, y down, z into the head; millimetres; pixel
centres at integers; rotations named ``target_from_source``.
"""

from __future__ import annotations

from .angles import angle_between as angle_between
from .angles import angles_from_vector as angles_from_vector
from .angles import mirror_angles as mirror_angles
from .angles import vector_from_angles as vector_from_angles
from .camera import Camera as Camera
from .crops import box_from_landmarks as box_from_landmarks
from .crops import face_crop_from_detection as face_crop_from_detection
from .crops import face_crop_from_landmarks as face_crop_from_landmarks
from .face_model import FACE_MODEL_MM as FACE_MODEL_MM
from .face_model import MIRRORED_POINTS as MIRRORED_POINTS
from .head_pose import HeadPose as HeadPose
from .head_pose import head_pose_from_landmarks as head_pose_from_landmarks
from .normalization import GazeNormalization as GazeNormalization
