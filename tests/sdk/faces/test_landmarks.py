"""From the landmark network's numbers to an observation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipgaze_sdk import EstimatorOptions
from clipgaze_sdk.faces.crop_network import CropRequest
from clipgaze_sdk.faces.landmarks import FaceObservation, LandmarkNetwork
from clipgaze_sdk.models.files import resolve_models

IMAGE = np.zeros((480, 640, 3), np.uint8)
TWICE = np.array([[2.0, 0, 100], [0, 2, 50], [0, 0, 1]])
"""A crop of 256 px of the image, from (100, 50) on."""


class Saying:
    """A backend that always says the same of one crop."""

    def __init__(self, **changes: Any) -> None:
        self.said = {
            "points": np.linspace(-1, 1, 140, dtype=np.float32).reshape(1, 70, 2),
            "openness": np.array([[0.2, 0.7]], np.float32),
            "presence": np.array([0.9], np.float32),
            **changes,
        }

    def run(self, images: Any) -> Mapping[str, np.ndarray]:
        return self.said

    def close(self) -> None:
        self.said = {}


def observed(folder: Path, **changes: Any) -> FaceObservation:
    file = resolve_models(folder, tasks=("face_landmarks",))["face_landmarks"]
    network = LandmarkNetwork(file, EstimatorOptions(threads=1))
    network._backend = Saying(**changes)
    ((face,),) = network.observe([CropRequest(IMAGE, TWICE[None])])
    return face


def test_points_are_in_pixels_of_the_image_and_the_rest_as_said(fake_models: Path) -> None:
    face = observed(fake_models)
    # (-1, -1) is the crop's corner, half a pixel outside of its first one.
    assert face.landmarks_px[0, 0] == pytest.approx(100 + 2 * -0.5)
    assert face.irises_px[1, 1] == pytest.approx(50 + 2 * 127.5)
    assert face.openness.tolist() == pytest.approx([0.2, 0.7])
    assert face.presence == pytest.approx(0.9)
    assert face.visibility is None
    assert face.is_finite


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("name", ["points", "openness", "presence", "visibility"])
def test_numbers_that_mean_nothing_are_no_observation(
    name: str, number: float, fake_models: Path
) -> None:
    said = {**Saying().said, "visibility": np.ones((1, 70), np.float32)}
    wrong = said[name].copy()
    wrong.ravel()[-1] = number
    face = observed(fake_models, **{**said, name: wrong})
    assert not face.is_finite
    assert face.presence == -1.0
