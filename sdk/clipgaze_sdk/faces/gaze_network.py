"""The gaze network: where a face looks, in its normalised camera, and where its irises are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .._errors import ConfigurationError, ModelError
from .._options import EstimatorOptions
from .._results import Gaze
from ..geometry import Camera, GazeNormalization, HeadPose, angles_from_vector, vector_from_angles
from ..models.files import ModelFile
from .crop_network import CropNetwork
from .eye_sheet import IRIS, EyeSheet, eye_middles
from .hysteresis import Crop

_Floats = NDArray[np.float64]
_LOG_PI = math.log(math.pi)


class GazeNetwork(CropNetwork):
    """Normalised crops, or sheets of their eyes and faces, in; gaze out."""

    def __init__(self, model: ModelFile, options: EstimatorOptions) -> None:
        card = model.card
        self._sheet = EyeSheet.of_card(card)
        super().__init__(model, options, parts=self._sheet.parts if self._sheet else ())
        crop_px = self._sheet.crop_px if self._sheet else self.size_px
        focal_px, distance_mm = card.number("focal_px"), card.number("distance_mm")
        center_x, center_y = card.numbers("center_px", 2)
        center_px = (center_x, center_y)
        try:
            self.normalization = GazeNormalization(focal_px, distance_mm, crop_px, center_px)
        except ConfigurationError as error:
            raise ModelError(f"card {str(card.path)!r}: {error}") from error

    def crop_of(self, head_pose: HeadPose, camera: Camera, landmarks_px: _Floats) -> Crop:
        """Return where the crop of a head lies in the camera's image."""
        center_mm = head_pose.translation_mm
        rotation = self.normalization.rotation(center_mm, head_pose.camera_from_head)
        place = self.normalization.image_from_crop(camera, center_mm, rotation)
        return Crop(place, rotation, eye_middles(landmarks_px))

    def places(self, crops: Sequence[Crop]) -> _Floats:
        """Return the homographies (N, 3, 3) of crops, or of their sheets' parts (N, P, 3, 3)."""
        if self._sheet is None:
            return np.reshape([crop.image_from_crop for crop in crops], (-1, 3, 3))
        return np.reshape([self._sheet.image_from_parts(crop) for crop in crops], (-1, 4, 3, 3))

    def run(
        self, crops: NDArray[np.float32], places: _Floats
    ) -> tuple[_Floats, _Floats, _Floats, _Floats]:
        """Return what the network says of crops (N, 3, H, W) that were cut at these places.

        (pitch, yaw) (N, 2) in the normalised camera and log sigma (N,), radians; pixels (N, 2, 2)
        of the image where irises are and openness of eyes (N, 2), NaN where nothing is said.

        Raises:
            BackendError: the runtime failed.
        """
        said = {name: v.astype(np.float64) for name, v in self.outputs(crops).items()}
        irises, openness = np.full((len(crops), 2, 2), np.nan), np.full((len(crops), 2), np.nan)
        if self._sheet:
            openness = said.get("eye_openness", openness)
            if "eye_points" in said:
                irises = self._sheet.in_image(said["eye_points"][:, :, IRIS], places)
        return said["pitch_yaw"], said["log_sigma"], irises, openness


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
