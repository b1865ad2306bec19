"""What an estimator returns: frozen dataclasses with units in their names, arrays read-only.

Frames and signs: camera frame x right, y down, z forward, in millimetres; pitch up is positive, yaw
towards the image's left is positive.  Left and right of a face are always the person's.  Each has
``to_dict()``, ready for JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ._frozen import FrozenRecord

if TYPE_CHECKING:
    from .geometry.camera import Camera
    from .geometry.head_pose import HeadPose


@dataclass(frozen=True, slots=True, eq=False)
class Gaze(FrozenRecord):
    """Where one person looks, in the camera frame."""

    pitch_rad: float
    """Up is positive."""
    yaw_rad: float
    """Towards the image's left is positive."""
    vector: NDArray[np.float64]
    """(3,) unit direction; (0, 0, -1) looks straight into the camera."""
    origin_mm: NDArray[np.float64]
    """(3,) the face centre, from which the vector starts."""
    uncertainty_rad: float
    """Root mean square of the angle between prediction and truth that the network expects; not the
    standard deviation of that angle, which is about 0.6 times as much."""


@dataclass(frozen=True, slots=True, eq=False)
class FaceResult(FrozenRecord):
    """One face of one frame."""

    bbox_px: NDArray[np.float32]
    """(4,) x0, y0, x1, y1, forehead included."""
    confidence: float
    """In [0, 1], that this is a face: the landmark network's presence."""
    landmarks_px: NDArray[np.float32]
    """(68, 2) in Multi-PIE order."""
    irises_px: NDArray[np.float32]
    """(2, 2) centres of the irises, the person's right first."""
    head_pose: HeadPose
    """Position and rotation of the head."""
    eye_openness: NDArray[np.float32]
    """(2,) 0 closed to 1 open, the person's right first."""
    gaze: Gaze
    """Where the person looks."""
    track_id: int | None
    """Constant while a face is followed through a stream; None for a single image."""
    visibility: NDArray[np.float32] | None = None
    """(70,) in [0, 1], how likely each of the 68 landmarks, then each iris, is seen and not behind
    something; None where the landmark network does not say."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult(FrozenRecord):
    """All faces of one frame."""

    faces: tuple[FaceResult, ...]
    """Empty when nobody is in view; by descending area of the box."""
    image_size_px: tuple[int, int]
    """(width, height)."""
    camera: Camera
    """The camera used, at the size of this image."""
    camera_is_assumed: bool
    """True when no camera was given and a field of view was assumed: distances and, away from the
    middle of the image, angles are then approximate."""
    timestamp_s: float | None
    """As given; None for a single image."""
    detector_ran: bool
    """False when every face was followed from the frame before."""
    timings_ms: Mapping[str, float]
    """Wall-clock milliseconds of "detect", "landmarks", "pose", "normalize", "gaze" and "total"; a
    stage that did not run is 0.0.  In a batch, stages that ran once for all images are shared out
    evenly."""
