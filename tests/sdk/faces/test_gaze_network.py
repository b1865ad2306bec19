"""From the gaze network's numbers to a gaze in the camera frame."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from clipgaze_sdk import Gaze, HeadPose
from clipgaze_sdk.faces.gaze_network import gaze_from_network

HEAD = HeadPose(np.eye(3), np.array([30.0, -20.0, 500.0]))
QUARTER_TURN = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
"""The virtual camera's right is the camera's forward, and its forward the camera's left: a turn
that is not its own inverse."""


def gaze(
    pitch_yaw: tuple[float, float],
    log_sigma: float = -2.0,
    rotation: NDArray[np.float64] = QUARTER_TURN,
) -> Gaze | None:
    return gaze_from_network(np.array(pitch_yaw), log_sigma, rotation=rotation, head_pose=HEAD)


def test_the_rotation_turns_the_gaze_back_to_the_camera() -> None:
    """Straight into the virtual camera, (0, 0, -1) there, is the camera's right here."""
    found = gaze((0.0, 0.0))
    assert found is not None
    np.testing.assert_allclose(found.vector, [1.0, 0.0, 0.0], atol=1e-12)
    assert (found.pitch_rad, found.yaw_rad) == pytest.approx((0.0, -math.pi / 2))
    assert found.origin_mm.tolist() == [30.0, -20.0, 500.0]
    assert found.uncertainty_rad == pytest.approx(math.exp(-2.0))


def test_a_small_turn_by_hand() -> None:
    """A virtual camera that looks 30 degrees to the image's right sees a gaze of 10 degrees to its
    left: who looks into it looks 30 degrees to the left already."""
    c, s = math.cos(math.radians(30)), math.sin(math.radians(30))
    rotation = np.array([[c, 0.0, -s], [0.0, 1.0, 0.0], [s, 0.0, c]])
    np.testing.assert_allclose(rotation @ [s, 0, c], [0, 0, 1], atol=1e-12)
    found = gaze((0.0, math.radians(10)), rotation=rotation)
    assert found is not None
    assert math.degrees(found.yaw_rad) == pytest.approx(10 + 30)
    assert found.pitch_rad == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("log_sigma", [math.log(math.pi), 1.2, 1000.0])
def test_no_direction_is_more_uncertain_than_all_of_them(log_sigma: float) -> None:
    found = gaze((0.1, 0.2), log_sigma)
    assert found is not None
    assert found.uncertainty_rad == pytest.approx(math.pi)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e30, -1e30, 3.2])
def test_what_is_no_angle_is_no_gaze(number: float) -> None:
    assert gaze((number, 0.0)) is None
    assert gaze((0.0, number)) is None


@pytest.mark.parametrize("log_sigma", [math.nan, math.inf, -math.inf])
def test_an_uncertainty_that_is_no_number_is_no_gaze(log_sigma: float) -> None:
    assert gaze((0.1, 0.2), log_sigma) is None
