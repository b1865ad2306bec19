"""What the landmark network and the gaze network have in common: crops in, numbers out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._errors import ModelError
from .._options import EstimatorOptions
from ..backends import load_backend
from ..geometry.face_model import MIRRORED_POINTS
from ..models.cards import ModelCard
from ..models.files import ModelFile
from .sampling import Part, sample_crops

_Floats = NDArray[np.float32]

MIRRORS: Mapping[str, Callable[[_Floats], _Floats]] = {
    "points": lambda v: v[:, MIRRORED_POINTS] * np.array([-1.0, 1.0], np.float32),
    "visibility": lambda v: v[:, MIRRORED_POINTS],
    "openness": lambda v: v[:, ::-1],
    "presence": lambda v: v,
    "pitch_yaw": lambda v: v * np.array([1.0, -1.0], np.float32),
    "log_sigma": lambda v: v,
    "eye_points": lambda v: v[:, ::-1],
    "eye_openness": lambda v: v[:, ::-1],
}
"""By output: what it says of a mirrored crop, as it holds for the crop itself."""


class CropRequest(NamedTuple):
    """Crops to look at in one image."""

    image: NDArray[np.uint8]
    """As checked."""
    image_from_crop: NDArray[np.float64]
    """(n, 3, 3); (n, P, 3, 3) where crops have P parts."""


class CropNetwork:
    """A network that looks at crops; all crops of a call are one batch.

    Raises:
        ModelError: the file or its card cannot be used.
        BackendError: the runtime is not installed.
    """

    def __init__(
        self, model: ModelFile, options: EstimatorOptions, *, parts: Sequence[Part] = ()
    ) -> None:
        self._flip_augment = options.flip_augment
        self._has_sides = bool(parts)
        self.size_px = width, height = _crop_size(model.card)
        """(width, height) of a crop."""
        mean, std = model.card.mean_std()
        sample = partial(sample_crops, width=width, height=height, mean=mean, std=std, parts=parts)
        self._sample = partial(sample, color=options.color, threads=options.threads)
        self._backend = load_backend(model, threads=options.threads)

    def crops(self, requests: Sequence[CropRequest]) -> _Floats:
        """Return all crops (N, 3, H, W) of all requests, in their order."""
        parts = [self._sample(*request) for request in requests]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def outputs(self, crops: _Floats) -> Mapping[str, _Floats]:
        """Return what the network says of crops (N, 3, H, W), N at least 1, by output.

        With ``flip_augment``, the mean with what it says of the mirrored crops; an output that
        MIRRORS does not know is not averaged.

        Raises:
            BackendError: the runtime failed.
            ModelError: there is not an answer for each crop.
        """
        said = self._backend.run(crops)
        if self._flip_augment:
            # Copies, since a backend may write its next answers into the same memory.
            said = {name: np.array(values) for name, values in said.items()}
            # Parts are of two sides of the face, which swap.
            turned = np.roll(crops, crops.shape[3] // 2, 3) if self._has_sides else crops[..., ::-1]
            mirrored = self._backend.run(np.ascontiguousarray(turned))
            for name in said.keys() & MIRRORS.keys():
                said[name] = (said[name] + MIRRORS[name](mirrored[name])) / np.float32(2)
        return said

    def close(self) -> None:
        """Release the network; a second call does nothing."""
        self._backend.close()


def _crop_size(card: ModelCard) -> tuple[int, int]:
    shape = card.inputs[0].shape
    sides = [n for n in shape[2:] if isinstance(n, int)]
    if len(sides) != 2:
        raise ModelError(
            f"card {str(card.path)!r} has the input shape {list(shape)}; expected ['batch', 3, "
            "height, width] with fixed sides. Take the card that came with the model."
        )
    return sides[1], sides[0]
