"""The landmark network: 68 landmarks, irises, openness of the eyes, and whether a face is there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._errors import ModelError
from .._options import EstimatorOptions
from ..geometry import box_from_landmarks, face_crop_from_detection, face_crop_from_landmarks
from ..models.files import ModelFile
from .crop_network import CropNetwork, CropRequest

_Floats = NDArray[np.float64]

_OUTPUTS = ("points", "openness", "presence", "visibility")
"""Of the network; it need not have the last."""
_MAX_NUMBER = 100.0
"""Of a network's outputs; points are in units of half a crop, the rest in [0, 1]."""


class FaceObservation(NamedTuple):
    """What the landmark network says of one face, in pixels of the image."""

    landmarks_px: NDArray[np.float64]
    """(68, 2)."""
    irises_px: NDArray[np.float64]
    """(2, 2), the person's right first."""
    openness: NDArray[np.float64]
    """(2,) in [0, 1], the person's right first."""
    presence: float
    """In [0, 1]; -1 where the network's numbers were not finite, or none that it can mean."""
    box_px: NDArray[np.float32]
    """(4,) x0, y0, x1, y1, forehead included."""
    visibility: NDArray[np.float64] | None = None
    """(70,) in [0, 1], of the landmarks and then the irises; None where the network has none."""

    @property
    def is_finite(self) -> bool:
        """False if the network gave a number that is none; nothing else may be used then."""
        return self.presence >= 0.0


class LandmarkNetwork(CropNetwork):
    """Crops in, observations out."""

    def __init__(self, model: ModelFile, options: EstimatorOptions) -> None:
        super().__init__(model, options)
        width, height = self.size_px
        if width != height:
            raise ModelError(
                f"card {str(model.card.path)!r} has crops of {width}x{height} px; those of a "
                "landmark network are square. Take the card that came with the model."
            )
        self._scale = model.card.number("crop_scale")

    def crop_around(self, landmarks_px: _Floats) -> _Floats:
        """Return ``image_from_crop`` (3, 3) for a face whose landmarks are known."""
        return face_crop_from_landmarks(landmarks_px, size_px=self.size_px[0], scale=self._scale)

    def crop_of_detection(self, box_px: _Floats, points_px: _Floats) -> _Floats:
        """Return ``image_from_crop`` (3, 3) for a face whose box and five points are known."""
        size_px = self.size_px[0]
        return face_crop_from_detection(box_px, points_px, size_px=size_px, scale=self._scale)

    def observe(self, requests: Sequence[CropRequest]) -> list[list[FaceObservation]]:
        """Return an observation for each crop of each request.

        Raises:
            BackendError: the runtime failed.
        """
        crops = self.crops(requests)
        if len(crops) == 0:
            return [[] for _ in requests]
        outputs = self.outputs(crops)
        said = [outputs[name].astype(np.float64) for name in _OUTPUTS if name in outputs]
        places = np.concatenate([request.image_from_crop for request in requests])
        every = iter([self._observation(*row) for row in zip(places, *said, strict=True)])
        return [list(islice(every, len(request.image_from_crop))) for request in requests]

    def _observation(
        self, image_from_crop: _Floats, points: _Floats, *shares: _Floats
    ) -> FaceObservation:
        finite = all(np.all(np.abs(v) <= _MAX_NUMBER) for v in (points, *shares))  # false for NaN
        openness, presence, *visibility = (np.clip(v, 0.0, 1.0) for v in shares)
        if not finite:
            points = np.zeros_like(points)
        in_crop = (points + 1.0) / 2.0 * self.size_px[0] - 0.5
        in_image = in_crop @ image_from_crop[:2, :2].T + image_from_crop[:2, 2]
        return FaceObservation(
            landmarks_px=in_image[:68],
            irises_px=in_image[68:70],
            openness=openness,
            presence=float(presence) if finite else -1.0,
            box_px=box_from_landmarks(in_image),
            visibility=visibility[0] if visibility else None,
        )
