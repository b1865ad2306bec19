"""CLIP-Gaze SDK: where people look, from images, video and cameras.

Example:
    >>> from clipgaze_sdk import GazeEstimator
    >>> with GazeEstimator() as estimator:  # doctest: +SKIP
    ...     for face in estimator.estimate(image).faces:
    ...         print(face.gaze.pitch_rad, face.gaze.yaw_rad)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._draw import draw_result
    from ._errors import BackendError, ClipGazeError, ConfigurationError, InputError, ModelError
    from ._estimator import GazeEstimator
    from ._options import EstimatorOptions
    from ._results import FaceResult, FrameResult, Gaze
    from .geometry.camera import Camera
    from .geometry.head_pose import HeadPose
    from .models.cards import ModelCard

__version__ = "0.1.0"

__all__ = [
    "BackendError",
    "Camera",
    "ClipGazeError",
    "ConfigurationError",
    "EstimatorOptions",
    "FaceResult",
    "FrameResult",
    "Gaze",
    "GazeEstimator",
    "HeadPose",
    "InputError",
    "ModelCard",
    "ModelError",
    "draw_result",
]

_HOMES = {
    "BackendError": "_errors",
    "Camera": "geometry.camera",
    "ClipGazeError": "_errors",
    "ConfigurationError": "_errors",
    "EstimatorOptions": "_options",
    "FaceResult": "_results",
    "FrameResult": "_results",
    "Gaze": "_results",
    "GazeEstimator": "_estimator",
    "HeadPose": "geometry.head_pose",
    "InputError": "_errors",
    "ModelCard": "models.cards",
    "ModelError": "_errors",
    "draw_result": "_draw",
}


def __getattr__(name: str) -> object:
    # PEP 562: modules load when a name is first used, so that importing the package is quick and
    # loads neither OpenCV nor a network runtime.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
