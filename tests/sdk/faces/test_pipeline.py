"""Detect, observe, refine: what the second look changes, and what it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from clipgaze_sdk import EstimatorOptions
from clipgaze_sdk._call import Call
from clipgaze_sdk.faces.crop_network import CropRequest
from clipgaze_sdk.faces.detector import Detections
from clipgaze_sdk.faces.landmarks import FaceObservation
from clipgaze_sdk.faces.pipeline import FacePipeline
from clipgaze_sdk.geometry import FACE_MODEL_MM, box_from_landmarks

IMAGE = np.zeros((480, 640, 3), np.uint8)


class OneFace:
    """A detector that finds one face in every image."""

    def find(self, image: Any) -> Detections:
        return Detections(np.array([[250.0, 120, 350, 260]]), np.ones((1, 5, 2)))


class TwoLooks:
    """A landmark network that says one thing at the first look, another at the second."""

    size_px = (128, 128)

    def __init__(self, *presences: float) -> None:
        self.presences = list(presences)
        self.looked_at: list[float] = []

    def crop_around(self, landmarks_px: Any) -> np.ndarray:
        return np.eye(3) * landmarks_px[30, 0]

    def crop_of_detection(self, box_px: Any, points_px: Any) -> np.ndarray:
        return np.eye(3) * box_px[0]

    def observe(self, requests: Sequence[CropRequest]) -> list[list[FaceObservation]]:
        observed = []
        for request in requests:
            self.looked_at += request.image_from_crop[:, 0, 0].tolist()
            observed.append([self.face() for _ in request.image_from_crop])
        return observed

    def face(self) -> FaceObservation:
        presence = self.presences.pop(0)
        landmarks = FACE_MODEL_MM[:, :2] + (310 - 10 * len(self.presences), 200)
        return FaceObservation(
            landmarks_px=landmarks,
            irises_px=landmarks[[36, 45]],
            openness=np.ones(2),
            presence=presence,
            box_px=box_from_landmarks(landmarks),
        )


def faces(*presences: float, least: float = 0.9) -> tuple[list[FaceObservation], TwoLooks, Call]:
    landmarks: Any = TwoLooks(*presences)
    detector: Any = OneFace()
    call = Call()
    pipeline = FacePipeline(detector, landmarks, EstimatorOptions(min_presence=least))
    (found,) = pipeline.find([IMAGE], [(640, 480)], call)
    return found, landmarks, call


def test_presence_is_the_mean_of_both_looks_and_landmarks_are_of_the_second() -> None:
    (face,), landmarks, call = faces(0.9, 0.96)
    assert face.presence == pytest.approx(0.93)
    assert face.landmarks_px[30].tolist() == [310.0, FACE_MODEL_MM[30, 1] + 200]
    # First in the detection's crop, then in the one that the first landmarks give.
    assert landmarks.looked_at == [250.0, 300.0]
    assert not call.saw_invalid_numbers


def test_one_good_look_is_not_enough() -> None:
    assert faces(0.7, 0.99)[0] == []
    assert faces(0.99, 0.7)[0] == []


def test_a_second_look_is_given_from_half_the_presence_on() -> None:
    assert len(faces(0.45, 0.5, least=0.9)[1].looked_at) == 2
    assert len(faces(0.44, 0.5, least=0.9)[1].looked_at) == 1


@pytest.mark.parametrize("presences", [(-1.0,), (0.99, -1.0)])
def test_numbers_that_are_none_are_left_out_and_said(presences: tuple[float, ...]) -> None:
    found, _, call = faces(*presences)
    assert found == []
    assert call.saw_invalid_numbers
