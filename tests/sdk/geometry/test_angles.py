from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipgaze_sdk import InputError
from clipgaze_sdk.geometry import (
    angle_between,
    angles_from_vector,
    mirror_angles,
    vector_from_angles,
)

pitches = st.floats(-1.57, 1.57)
yaws = st.floats(-3.14, 3.14)


@pytest.mark.parametrize(
    ("pitch_yaw", "vector"),
    [
        ((0.0, 0.0), (0.0, 0.0, -1.0)),
        ((np.pi / 6, 0.0), (0.0, -0.5, -np.sqrt(0.75))),
        ((0.0, np.pi / 6), (-0.5, 0.0, -np.sqrt(0.75))),
        ((0.0, np.pi / 2), (-1.0, 0.0, 0.0)),
        ((np.pi / 2, 0.0), (0.0, -1.0, 0.0)),
    ],
)
def test_golden_directions(
    pitch_yaw: tuple[float, float], vector: tuple[float, float, float]
) -> None:
    np.testing.assert_allclose(vector_from_angles(pitch_yaw), vector, atol=1e-15)
    np.testing.assert_allclose(angles_from_vector(vector), pitch_yaw, atol=1e-15)


def test_sample_rows_of_public_labels() -> None:
    # Gaze360's 3D is x left, y up, z away from the camera's view: g = (-x, -y, z).
    gaze360 = np.array([-0.6258, 0.3859, -0.6778])
    np.testing.assert_allclose(angles_from_vector(gaze360), (-0.3962, 0.7455), atol=1e-4)
    eyediap = np.array([0.1408, -0.3197, -0.9370])
    np.testing.assert_allclose(angles_from_vector(eyediap), (0.3254, -0.1492), atol=1e-4)


@given(pitches, yaws)
def test_angles_round_trip(pitch: float, yaw: float) -> None:
    vector = vector_from_angles([pitch, yaw])
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-14)
    assert float(angle_between(vector, vector_from_angles(angles_from_vector(vector)))) < 1e-14


@given(pitches, yaws)
def test_mirrored_angles_are_those_of_the_mirrored_vector(pitch: float, yaw: float) -> None:
    mirrored = vector_from_angles([pitch, yaw]) * (-1, 1, 1)
    np.testing.assert_allclose(
        vector_from_angles(mirror_angles([pitch, yaw])), mirrored, atol=1e-15
    )


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 1.0, np.pi - 1e-9, np.pi])
def test_angle_between_is_precise_at_both_ends(angle: float) -> None:
    first, second = (3.0, 0.0, 0.0), (np.cos(angle), np.sin(angle), 0.0)
    assert float(angle_between(first, second)) == pytest.approx(angle, rel=1e-7, abs=1e-15)


def test_shapes_broadcast() -> None:
    many = np.zeros((4, 5, 2))
    assert vector_from_angles(many).shape == (4, 5, 3)
    assert angles_from_vector(np.ones((4, 5, 3))).shape == (4, 5, 2)
    assert angle_between(np.ones((4, 5, 3)), (0, 0, -1)).shape == (4, 5)


@pytest.mark.parametrize("function", [vector_from_angles, angles_from_vector, mirror_angles])
def test_wrong_last_axis(function: object) -> None:
    with pytest.raises(InputError, match=r"shape \(4,\).*expected"):
        function(np.zeros(4))  # type: ignore[operator]
