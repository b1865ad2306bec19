"""Networks that look at crops: averaging with the mirrored crop, and answers that do not fit."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from clipgaze_sdk import EstimatorOptions, GazeEstimator
from clipgaze_sdk.faces.crop_network import MIRRORS, CropNetwork
from clipgaze_sdk.faces.gaze_network import GazeNetwork
from clipgaze_sdk.geometry import angle_between
from clipgaze_sdk.models.files import resolve_models

PORTRAIT = Path(__file__).parents[3] / "samples" / "media" / "portrait.jpg"
TASKS = ("face_landmarks", "gaze")


class Overwriting:
    """A backend that writes every answer into the same memory, as an engine's may be."""

    def __init__(self) -> None:
        self.memory = np.zeros((1, 2), np.float32)

    def run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        self.memory[:] = images[0, 0, 0, 0], images[0, 0, 0, -1]
        return {"pitch_yaw": self.memory, "other": self.memory}

    def close(self) -> None:
        self.memory = np.zeros(0, np.float32)


def crop(size: tuple[int, int]) -> NDArray[np.float32]:
    image = cv2.imread(str(PORTRAIT))[..., ::-1]
    pixels = cv2.resize(image, size).astype(np.float32) / 255 - 0.45
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None] / 0.25)


def network(task: str, *, flip_augment: bool = False) -> CropNetwork:
    (file,) = resolve_models(None, tasks=(task,)).values()
    options = EstimatorOptions(threads=1, flip_augment=flip_augment)
    return (GazeNetwork if task == "gaze" else CropNetwork)(file, options)


@pytest.mark.parametrize("task", TASKS)
def test_a_mirrored_crop_has_the_mirrored_answer(task: str) -> None:
    one, averaged = network(task), network(task, flip_augment=True)
    image = crop(one.size_px)
    is_sheet = one.size_px[0] == 208  # of two sides, which swap
    turned = np.roll(image, 104, axis=-1) if is_sheet else np.ascontiguousarray(image[..., ::-1])
    plain = one.outputs(image)
    for name, values in averaged.outputs(image).items():
        assert values.shape == plain[name].shape
        again = MIRRORS[name](averaged.outputs(turned)[name])
        assert again == pytest.approx(values, abs=1e-4)
        mean = (plain[name] + MIRRORS[name](one.outputs(turned)[name])) / 2
        assert values == pytest.approx(mean, abs=1e-5)
    one.close()
    averaged.close()


def test_answers_in_reused_memory_are_copied_and_unknown_ones_kept() -> None:
    image = np.zeros((1, 3, 2, 4), np.float32)
    image[0, 0, 0] = [1, 0, 0, 3]
    made = network("face_landmarks", flip_augment=True)
    made._backend = Overwriting()
    said = made.outputs(image)
    assert said["pitch_yaw"].tolist() == [[2.0, 1.0]]  # (1 + 3) / 2 and (3 - 1) / 2
    assert said["other"].tolist() == [[1.0, 3.0]]


def test_the_option_brings_mirrored_pictures_nearer() -> None:
    image = cv2.imread(str(PORTRAIT))
    apart = []
    for flip_augment in (False, True):
        options = EstimatorOptions(threads=1, flip_augment=flip_augment)
        with GazeEstimator(options=options) as made:
            plain, mirrored = (
                sorted(made.estimate(np.ascontiguousarray(x)).faces, key=lambda f: f.bbox_px[0])
                for x in (image, image[:, ::-1])
            )
        assert len(plain) == len(mirrored) == 2
        angles = [
            angle_between(face.gaze.vector, other.gaze.vector * [-1.0, 1.0, 1.0])
            for face, other in zip(plain, reversed(mirrored), strict=True)
        ]
        apart.append(float(np.degrees(np.mean(angles))))
    assert apart[1] < 0.7 * apart[0]
