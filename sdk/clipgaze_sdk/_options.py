"""Options of a :class:`~clipgaze_sdk.GazeEstimator`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ._checks import checked_count, checked_number, shown
from ._errors import ConfigurationError

ColorOrder = Literal["bgr", "rgb", "nv12"]
DetectorName = Literal["bundled", "yunet"]
Precision = Literal["fp32", "fp16", "int8"]

_COUNTS = {"threads": 1024, "max_faces": 10_000, "detect_interval": 10**9}
"""By option, the most."""
_RANGES = {
    "min_confidence": (0.0, 1.0),
    "min_presence": (0.0, 1.0),
    "nms_iou": (1e-6, 1.0),
    "horizontal_fov_deg": (1.0, 179.0),
    "min_face_px": (1.0, 1e6),
}
"""By option, the least and the most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatorOptions:
    """Settings of an estimator; every one has a default that suits a webcam.

    Raises:
        ConfigurationError: a value is outside its range, or two do not go together.

    Example:
        >>> EstimatorOptions(color="rgb", threads=4).threads
        4
    """

    color: ColorOrder = "bgr"
    """Layout of the images: "bgr" and "rgb" are (H, W, 3); "nv12" is (H * 3 / 2, W), as hardware
    decoders give it (BT.601, limited range)."""
    threads: int = 2
    """CPU threads that each network and each pixel operation may use, 1 to 1024."""
    min_confidence: float = 0.4
    """Detections below this score are not looked at, in [0, 1]."""
    max_faces: int = 16
    """Only so many faces are followed, the most certain first; 1 to 10,000."""
    detect_interval: int = 30
    """In a stream, the detector looks for new faces on every ``detect_interval``-th frame, and on
    every frame while there is nobody to follow; at least 1."""
    nms_iou: float = 0.4
    """Of two detections that overlap more than this (intersection over union), the weaker goes; in
    (0, 1]."""
    detector: DetectorName = "bundled"
    """"bundled" is this project's network; "yunet" runs OpenCV's YuNet from ``detector_path``."""
    detector_path: str | Path | None = None
    """YuNet's ONNX file; needed with, and only with, ``detector="yunet"``."""
    horizontal_fov_deg: float = 60.0
    """Field of view assumed when no camera is given, degrees, 1 to 179."""
    min_presence: float = 0.9
    """A new face whose landmark network is less certain than this that a face is there is dropped,
    in [0, 1]; one that is followed already is let go below 0.6 times as much."""
    min_face_px: float = 20.0
    """Faces whose box has a longer side below this are dropped, pixels, at least 1."""
    flip_augment: bool = False
    """Show the landmark network and the gaze network each face also mirrored, and take the mean of
    both answers: steadier, for twice the time of these two networks."""
    precision: Precision | None = None
    """Of all networks (YuNet is as its file is): "int8" is the fastest on a CPU; "fp16" is for
    GPUs, and slower than "fp32" on ONNX Runtime's CPU.  None is "fp32" where the estimator's
    ``model`` does not say otherwise; a model of another precision than is asked for here is
    refused."""

    def __post_init__(self) -> None:
        _check_choice("color", self.color, get_args(ColorOrder))
        _check_choice("detector", self.detector, get_args(DetectorName))
        _check_choice("precision", self.precision, (None, *get_args(Precision)))
        for name, high in _COUNTS.items():
            object.__setattr__(self, name, checked_count(name, getattr(self, name), high=high))
        for name, (low, most) in _RANGES.items():
            number = checked_number(name, getattr(self, name), low=low, high=most)
            object.__setattr__(self, name, number)
        if not isinstance(self.flip_augment, bool):
            raise ConfigurationError(
                f"flip_augment is {shown(self.flip_augment)}; expected True or False."
            )
        if self.detector == "yunet" and self.detector_path is None:
            raise ConfigurationError(
                'detector="yunet" was given without detector_path; expected the path of YuNet\'s '
                "ONNX file. Pass detector_path, or leave detector at its default."
            )
        if self.detector == "bundled" and self.detector_path is not None:
            raise ConfigurationError(
                f"detector_path={str(self.detector_path)!r} was given with detector="
                '"bundled", which has no use for it. Pass detector="yunet" as well, or give a '
                "folder with your own face_detector.onnx as the estimator's model."
            )


def _check_choice(name: str, value: object, choices: tuple[str | None, ...]) -> None:
    if not isinstance(value, str | None) or value not in choices:
        raise ConfigurationError(
            f"{name} is {shown(value)}; expected one of {', '.join(map(repr, choices))}."
        )
