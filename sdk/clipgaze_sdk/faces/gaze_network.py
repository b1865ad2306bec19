"""The gaze network: where a face looks, in its normalised camera."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .._errors import ConfigurationError, ModelError
from .._options import EstimatorOptions
from .._results import Gaze
from ..geometry import Camera, GazeNormalization, HeadPose, angles_from_vector, vector_from_angles
from ..models.files import ModelFile
from .crop_network import CropNetwork
from .hysteresis import Crop

_LOG_PI = math.log(math.pi)


class GazeNetwork(CropNetwork):
    """Normalised crops in, gaze out."""

    def __init__(self, model: ModelFile, options: EstimatorOptions) -> None:
        card = model.card
        super().__init__(model, options)
        focal_px, distance_mm = card.number("focal_px"), card.number("distance_mm")
        center_x, center_y = card.numbers("center_px", 2)
        center_px = (center_x, center_y)
        try:
            self.normalization = GazeNormalization(focal_px, distance_mm, self.size_px, center_px)
        except ConfigurationError as error:
            raise ModelError(f"card {str(card.path)!r}: {error}") from error

    def crop_of(self, head_pose: HeadPose, camera: Camera) -> Crop:
        """Return where the crop of a head lies in the camera's image."""
        center_mm = head_pose.translation_mm
        rotation = self.normalization.rotation(center_mm, head_pose.camera_from_head)
        return Crop(self.normalization.image_from_crop(camera, center_mm, rotation), rotation)

    def run(self, crops: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (pitch, yaw) (N, 2) in the normalised camera, and log sigma (N,), radians.

        Raises:
            BackendError: the runtime failed.
        """
        outputs = self.outputs(crops)
        return outputs["pitch_yaw"].astype(np.float64), outputs["log_sigma"].astype(np.float64)


def gaze_from_network(
    pitch_yaw: NDArray[np.float64],
    log_sigma: float,
    *,
    rotation: NDArray[np.float64],
    head_pose: HeadPose,
) -> Gaze | None:
    """Return the gaze in the camera frame, ``g = R^T g_n``; None if the numbers are no angles.

    The network's ``pitch_yaw`` (2,) is in radians of the normalised camera, its ``log_sigma`` the
    natural log of radians; ``rotation`` is R (3, 3), ``normalized_from_camera``.
    """
    if not (np.all(np.abs(pitch_yaw) <= math.pi) and math.isfinite(log_sigma)):  # false for NaN
        return None
    vector = rotation.T @ vector_from_angles(pitch_yaw)
    vector = np.asarray(vector / np.linalg.norm(vector), dtype=np.float64)
    pitch_rad, yaw_rad = angles_from_vector(vector).tolist()
    return Gaze(
        pitch_rad=pitch_rad,
        yaw_rad=yaw_rad,
        vector=vector,
        origin_mm=head_pose.translation_mm,
        uncertainty_rad=math.exp(min(log_sigma, _LOG_PI)),
    )
