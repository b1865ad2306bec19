"""Averaging what a network says of a crop with what it says of the mirrored crop."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from .._options import EstimatorOptions
from ..backends import Backend, load_backend
from ..geometry.face_model import MIRRORED_POINTS
from ..models.files import ModelFile

_Floats = NDArray[np.float32]

MIRRORS: Mapping[str, Callable[[_Floats], _Floats]] = {
    "points": lambda v: v[:, MIRRORED_POINTS] * np.array([-1.0, 1.0], np.float32),
    "visibility": lambda v: v[:, MIRRORED_POINTS],
    "openness": lambda v: v[:, ::-1],
    "presence": lambda v: v,
    "pitch_yaw": lambda v: v * np.array([1.0, -1.0], np.float32),
    "log_sigma": lambda v: v,
}
"""By output: what it says of a mirrored crop, as it holds for the crop itself."""


class MirroredBackend:
    """A backend of twice the work: the mean of the answers to a crop and to its mirror image."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def run(self, images: _Floats) -> Mapping[str, _Floats]:
        """As :meth:`Backend.run`; an output that MIRRORS does not know is not averaged."""
        # Copies, since a backend may write its next answers into the same memory.
        said = {name: np.array(values) for name, values in self._backend.run(images).items()}
        mirrored = self._backend.run(np.ascontiguousarray(images[..., ::-1]))
        for name in said.keys() & MIRRORS.keys():
            said[name] = (said[name] + MIRRORS[name](mirrored[name])) / np.float32(2)
        return said

    def close(self) -> None:
        """Release the network; a second call does nothing."""
        self._backend.close()


def load_crop_backend(model: ModelFile, options: EstimatorOptions) -> Backend:
    """Load a network that looks at crops, to average with the mirrored ones where so asked.

    Raises as :func:`load_backend`.
    """
    backend = load_backend(model.path, model.card, threads=options.threads)
    return MirroredBackend(backend) if options.flip_augment else backend
