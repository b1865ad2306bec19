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

if TYPE_CHECKING:  # for type checkers, which cannot follow __getattr__
    from ._draw import draw_result as draw_result
    from ._errors import BackendError as BackendError
    from ._errors import ClipGazeError as ClipGazeError
    from ._errors import ConfigurationError as ConfigurationError
    from ._errors import InputError as InputError
    from ._errors import ModelError as ModelError
    from ._estimator import GazeEstimator as GazeEstimator
    from ._options import EstimatorOptions as EstimatorOptions
    from ._results import FaceResult as FaceResult
    from ._results import FrameResult as FrameResult
    from ._results import Gaze as Gaze
    from .geometry.camera import Camera as Camera
    from .geometry.head_pose import HeadPose as HeadPose
    from .models.cards import ModelCard as ModelCard

__version__ = "0.1.0"

_HOMES = {
    name: home
    for home, names in {
        "_draw": "draw_result",
        "_errors": "BackendError ClipGazeError ConfigurationError InputError ModelError",
        "_estimator": "GazeEstimator",
        "_options": "EstimatorOptions",
        "_results": "FaceResult FrameResult Gaze",
        "geometry.camera": "Camera",
        "geometry.head_pose": "HeadPose",
        "models.cards": "ModelCard",
    }.items()
    for name in names.split()
}
__all__ = sorted(_HOMES)


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
