"""The landmark network: 68 landmarks, irises, openness of the eyes, and whether a face is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._errors import ModelError
from .._options import EstimatorOptions
from ..geometry import box_from_landmarks, face_crop_from_landmarks
from ..models.cards import ModelCard
from ..models.files import ModelFile
from .mirrored import load_crop_backend
from .sampling import sample_crops


@dataclass(frozen=True, slots=True, eq=False)
class FaceObservation:
    """What the landmark network says of one face, in pixels of the image."""

    landmarks_px: NDArray[np.float64]
    """(68, 2)."""
    irises_px: NDArray[np.float64]
    """(2, 2), the person's right first."""
    openness: NDArray[np.float64]
    """(2,) in [0, 1], the person's right first."""
    presence: float
    """In [0, 1]; -1 where the network's numbers were not finite."""
    box_px: NDArray[np.float32]
    """(4,) x0, y0, x1, y1, forehead included."""
    visibility: NDArray[np.float64] | None = None
    """(70,) in [0, 1], of the landmarks and then the irises; None where the network has none."""

    @property
    def is_finite(self) -> bool:
        """False if the network gave a number that is none; nothing else may be used then."""
        return self.presence >= 0.0


@dataclass(frozen=True, slots=True, eq=False)
class CropRequest:
    """Crops to look at in one image."""

    image: NDArray[np.uint8]
    """As checked."""
    image_from_crop: NDArray[np.float64]
    """(n, 3, 3)."""


class LandmarkNetwork:
    """Crops in, observations out; all crops of a call are one batch."""

    def __init__(self, model: ModelFile, options: EstimatorOptions) -> None:
        card = model.card
        self._options = options
        self._mean, self._std = card.mean_std()
        self._size_px = _square_side(card)
        self._crop_scale = card.number("crop_scale")
        self._backend = load_crop_backend(model, options)

    @property
    def size_px(self) -> int:
        """Side of the network's square crop."""
        return self._size_px

    @property
    def crop_scale(self) -> float:
        """Side of the crop in units of the landmarks' longer side."""
        return self._crop_scale

    def crop_around(self, landmarks_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``image_from_crop`` (3, 3) for a face whose landmarks are known."""
        return face_crop_from_landmarks(landmarks_px, size_px=self._size_px, scale=self._crop_scale)

    def observe(self, requests: Sequence[CropRequest]) -> list[list[FaceObservation]]:
        """Return an observation for each crop of each request.

        Raises:
            BackendError: the runtime failed.
        """
        requests = list(requests)
        batches = [self._sample(request) for request in requests if len(request.image_from_crop)]
        if not batches:
            return [[] for _ in requests]
        outputs = self._backend.run(batches[0] if len(batches) == 1 else np.concatenate(batches))
        names = ("points", "openness", "presence")
        crops = np.concatenate([request.image_from_crop for request in requests])
        visibility = outputs["visibility"] if "visibility" in outputs else [None] * len(crops)
        rows = zip(crops, *(outputs[n].astype(np.float64) for n in names), visibility, strict=True)
        every = [self._observation(*row) for row in rows]
        ends = np.cumsum([len(request.image_from_crop) for request in requests])
        return [
            every[end - len(request.image_from_crop) : end]
            for request, end in zip(requests, ends, strict=True)
        ]

    def close(self) -> None:
        """Release the network; a second call does nothing."""
        self._backend.close()

    def _sample(self, request: CropRequest) -> NDArray[np.float32]:
        return sample_crops(
            request.image,
            request.image_from_crop,
            width=self._size_px,
            height=self._size_px,
            mean=self._mean,
            std=self._std,
            color=self._options.color,
            threads=self._options.threads,
        )

    def _observation(
        self,
        image_from_crop: NDArray[np.float64],
        points: NDArray[np.float64],
        openness: NDArray[np.float64],
        presence: NDArray[np.float64],
        visibility: NDArray[np.float64] | None,
    ) -> FaceObservation:
        in_crop = (points + 1.0) / 2.0 * self._size_px - 0.5
        in_image = in_crop @ image_from_crop[:2, :2].T + image_from_crop[:2, 2]
        numbers = [in_image, openness, presence, *([] if visibility is None else [visibility])]
        finite = all(np.all(np.isfinite(v)) for v in numbers)
        return FaceObservation(
            landmarks_px=in_image[:68],
            irises_px=in_image[68:70],
            openness=np.clip(openness, 0.0, 1.0),
            presence=float(np.clip(presence, 0.0, 1.0)) if finite else -1.0,
            box_px=box_from_landmarks(in_image) if finite else np.zeros(4, np.float32),
            visibility=None if visibility is None else np.clip(visibility, 0.0, 1.0),
        )


def _square_side(card: ModelCard) -> int:
    shape = card.inputs[0].shape
    if not isinstance(shape[2], int) or shape[2] != shape[3]:
        raise ModelError(
            f"card {str(card.path)!r} has the input shape {list(shape)}; a landmark network has "
            "['batch', 3, side, side]. Take the card that came with the model."
        )
    return shape[2]
