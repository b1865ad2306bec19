from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from clipgaze_sdk import (
    BackendError,
    ClipGazeError,
    ConfigurationError,
    EstimatorOptions,
    InputError,
    ModelError,
)


@pytest.mark.parametrize(
    "change",
    [
        {"color": "gray"},
        {"detector": "haar"},
        {"threads": 0},
        {"threads": 2.0},
        {"threads": True},
        {"max_faces": -1},
        {"detect_interval": 0},
        {"min_confidence": 1.5},
        {"min_confidence": float("nan")},
        {"min_presence": "high"},
        {"nms_iou": 0.0},
        {"horizontal_fov_deg": 180.0},
        {"min_face_px": 0},
        {"detector": "yunet"},
        {"flip_augment": 1},
        {"detector_path": "yunet.onnx"},
    ],
)
def test_values_out_of_range_name_the_option(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(change))):
        EstimatorOptions(**change)


def test_unknown_options_are_errors() -> None:
    with pytest.raises(TypeError, match="thread_count"):
        EstimatorOptions(thread_count=2)  # type: ignore[call-arg]


def test_options_cannot_be_changed_but_replaced() -> None:
    options = EstimatorOptions()
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.threads = 3  # type: ignore[misc]
    assert dataclasses.replace(options, threads=3).threads == 3
    with pytest.raises(ConfigurationError, match="threads"):
        dataclasses.replace(options, threads=0)


def test_error_tree() -> None:
    for kind in (BackendError, ConfigurationError, InputError, ModelError):
        assert issubclass(kind, ClipGazeError)
    assert issubclass(InputError, ValueError)
    assert issubclass(ConfigurationError, ValueError)
