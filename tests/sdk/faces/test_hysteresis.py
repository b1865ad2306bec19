"""Crops of followed faces: kept while near, taken anew beyond, never shared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clipgaze_sdk import Camera, EstimatorOptions, GazeEstimator
from clipgaze_sdk.faces.hysteresis import TOLERANCE, Crop, CropHysteresis
from tests.fake_networks import draw_faces

SIDE = 100
DIAGONAL = 2 * (SIDE - 1) * 2**0.5
"""In the image, of crops that :func:`crop` makes."""


def crop(shift: float = 0.0, turn: float = 0.0, scale: float = 2.0) -> Crop:
    """A crop of twice as many pixels of its image, moved and turned there."""
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    return Crop(np.array([[c, -s, 50 + shift], [s, c, 80.0], [0, 0, 1]]))


def test_a_crop_stays_while_it_is_near() -> None:
    crops = CropHysteresis((SIDE, SIDE))
    first = crop()
    assert crops.choose([(7, first)]) == [first]
    for shift in (0.3, -0.5, 0.9):
        assert crops.choose([(7, crop(shift * TOLERANCE * DIAGONAL))]) == [first]


@pytest.mark.parametrize(
    "moved",
    [
        crop(1.1 * TOLERANCE * DIAGONAL),
        crop(turn=1.1 * TOLERANCE * 2**0.5),
        crop(scale=2.0 * (1 + 1.1 * TOLERANCE)),
        crop(float("nan")),
    ],
)
def test_a_crop_is_taken_anew_beyond(moved: Crop) -> None:
    crops = CropHysteresis((SIDE, SIDE))
    crops.choose([(7, crop())])
    assert crops.choose([(7, moved)]) == [moved]


def test_slow_movement_is_followed() -> None:
    """Nearness is to the crop that was kept, so that small moves add up."""
    crops = CropHysteresis((SIDE, SIDE))
    step = 0.3 * TOLERANCE * DIAGONAL
    shown = [crops.choose([(0, crop(k * step))])[0] for k in range(20)]
    off = [abs(s.image_from_crop[0, 2] - 50 - k * step) for k, s in enumerate(shown)]
    assert max(off) <= TOLERANCE * DIAGONAL
    assert len({id(s) for s in shown}) == 5  # of 20


def test_faces_are_apart_and_forgotten_once_they_are_gone() -> None:
    crops = CropHysteresis((SIDE, SIDE))
    near = 0.1 * TOLERANCE * DIAGONAL
    first, second = crop(), crop(near)
    assert crops.choose([(0, first), (1, second)]) == [first, second]
    assert crops.choose([(1, crop(2 * near))]) == [second]
    later = crop(near)
    assert crops.choose([(0, later)]) == [later]
    crops.clear()
    assert crops.choose([(0, first)]) == [first]


def test_faces_without_an_identity_get_their_own_crop() -> None:
    crops = CropHysteresis((SIDE, SIDE))
    given = [crop(), crop()]
    crops.choose([(0, given[0])])
    assert [crops.choose([(None, one)])[0] for one in given] == given
    # And what is known of the stream's faces stays.
    assert crops.choose([(0, crop(0.1))])[0] is given[0]


@pytest.fixture
def estimator(fake_models: Path) -> GazeEstimator:
    return GazeEstimator(fake_models, options=EstimatorOptions(threads=1))


def test_a_still_face_keeps_its_virtual_camera(estimator: GazeEstimator) -> None:
    """Of the same pixels, and nothing but these, comes the same gaze."""
    image = draw_faces((640, 480), [(200, 240)])
    with estimator:
        results = [estimator.estimate(image, timestamp_s=float(k)).faces[0] for k in range(6)]
    yaws = [face.gaze.yaw_rad for face in results[1:]]
    assert max(yaws) == min(yaws)


def test_another_camera_begins_anew(estimator: GazeEstimator) -> None:
    """A rotation of one camera's is none of another's: gaze is as if nothing had been before."""
    image = draw_faces((640, 480), [(200, 240)])
    narrow, wide = (Camera.from_fov(640, 480, horizontal_fov_deg=f) for f in (60.0, 60.5))
    with estimator:
        for time in range(3):
            estimator.estimate(image, timestamp_s=float(time), camera=narrow)
        after = estimator.estimate(image, timestamp_s=3.0, camera=wide).faces[0]
        estimator.reset()
        for time in range(3):
            estimator.estimate(image, timestamp_s=float(time), camera=wide)
        estimator._gaze_crops.clear()
        alone = estimator.estimate(image, timestamp_s=3.0, camera=wide).faces[0]
    assert after.gaze.yaw_rad == alone.gaze.yaw_rad
    assert abs(after.gaze.yaw_rad) > 1e-3
