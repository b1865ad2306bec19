"""The gaze network: where a face looks, in its normalised camera."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .._errors import ModelError
from .._options import EstimatorOptions
from .._results import Gaze
from ..geometry import GazeNormalization, HeadPose
from ..geometry.angles import vector_from_angles
from ..models.cards import ModelCard
from ..models.files import ModelFile
from .mirrored import load_crop_backend
from .sampling import sample_crops

_LOG_PI = math.log(math.pi)


class GazeNetwork:
    """Normalised crops in, gaze out; all crops of a call are one batch."""

    def __init__(self, model: ModelFile, options: EstimatorOptions) -> None:
        card = model.card
        self._options = options
        self._mean, self._std = card.mean_std()
        center_x, center_y = card.numbers("center_px", 2)
        self.normalization = GazeNormalization(
            focal_px=card.number("focal_px"),
            distance_mm=card.number("distance_mm"),
            size_px=_crop_size(card),
            center_px=(center_x, center_y),
        )
        self._backend = load_crop_backend(model, options)

    def sample(
        self, image: NDArray[np.uint8], image_from_crop: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Return the crops (N, 3, H, W) of homographies (N, 3, 3)."""
        width, height = self.normalization.size_px
        return sample_crops(
            image,
            image_from_crop,
            width=width,
            height=height,
            mean=self._mean,
            std=self._std,
            color=self._options.color,
            threads=self._options.threads,
        )

    def run(self, crops: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (pitch, yaw) (N, 2) in the normalised camera, and log sigma (N,), radians.

        Raises:
            BackendError: the runtime failed.
        """
        outputs = self._backend.run(crops)
        return outputs["pitch_yaw"].astype(np.float64), outputs["log_sigma"].astype(np.float64)

    def close(self) -> None:
        """Release the network; a second call does nothing."""
        self._backend.close()


def gaze_from_network(
    pitch_yaw: NDArray[np.float64],
    log_sigma: float,
    *,
    rotation: NDArray[np.float64],
    head_pose: HeadPose,
) -> Gaze | None:
    """Return the gaze in the camera frame, ``g = R^T g_n``.

    Args:
        pitch_yaw: (2,) of the network, radians in the normalised camera.
        log_sigma: natural log of radians.
        rotation: (3, 3) R, ``normalized_from_camera``.
        head_pose: whose translation is the gaze's origin.

    Returns:
        The gaze; None if the network's numbers are not finite.
    """
    if not (np.all(np.isfinite(pitch_yaw)) and np.isfinite(log_sigma)):
        return None
    vector = rotation.T @ vector_from_angles(pitch_yaw)
    vector = np.asarray(vector / np.linalg.norm(vector), dtype=np.float64)
    x, y, z = (float(v) for v in vector)
    return Gaze(
        pitch_rad=math.atan2(0.0 - y, math.hypot(x, z)),
        yaw_rad=math.atan2(0.0 - x, 0.0 - z),
        vector=vector,
        origin_mm=head_pose.translation_mm,
        uncertainty_rad=math.exp(min(float(log_sigma), _LOG_PI)),
    )


def _crop_size(card: ModelCard) -> tuple[int, int]:
    shape = card.inputs[0].shape
    if not isinstance(shape[2], int) or not isinstance(shape[3], int):
        raise ModelError(
            f"card {str(card.path)!r} has the input shape {list(shape)}; a gaze network has "
            "['batch', 3, height, width]. Take the card that came with the model."
        )
    return shape[3], shape[2]
