from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from clipgaze_sdk import Camera, HeadPose, InputError
from clipgaze_sdk.geometry import (
    FACE_MODEL_MM,
    MIRRORED_POINTS,
    angle_between,
    head_pose_from_landmarks,
    vector_from_angles,
)

from .synthetic_heads import MIRROR, head_rotation, make_head, random_heads

CAMERA = Camera.from_fov(1280, 720)
BENT = Camera(CAMERA.matrix, np.array([-0.3, 0.1, 0.002, -0.003, 0.01]), size_px=CAMERA.size_px)


def test_face_model_is_centred_and_symmetric() -> None:
    eyes, nose = FACE_MODEL_MM[[36, 39, 42, 45]].mean(axis=0), FACE_MODEL_MM[[31, 35]].mean(axis=0)
    np.testing.assert_allclose((eyes + nose) / 2, 0.0, atol=0.01)
    np.testing.assert_array_equal(FACE_MODEL_MM[MIRRORED_POINTS[:68]] @ MIRROR, FACE_MODEL_MM)
    assert FACE_MODEL_MM[36, 0] < 0 < FACE_MODEL_MM[45, 0]  # the person's right eye is at -x
    assert FACE_MODEL_MM[27, 1] < FACE_MODEL_MM[8, 1]  # the chin is below
    assert FACE_MODEL_MM[30, 2] < FACE_MODEL_MM[0, 2]  # the nose is in front of the ears


def test_frontal_upright_head_has_the_identity() -> None:
    head = make_head(CAMERA, angles=(0, 0, 0), translation_mm=(0, 0, 600))
    # Its right eye is on the left of the image.
    assert head.landmarks_px[36, 0] < 639.5 < head.landmarks_px[45, 0]
    pose = head_pose_from_landmarks(head.landmarks_px, CAMERA)
    np.testing.assert_allclose(pose.camera_from_head, np.eye(3), atol=1e-7)
    np.testing.assert_allclose(pose.translation_mm, (0, 0, 600), atol=1e-4)
    assert (pose.pitch_rad, pose.yaw_rad, pose.roll_rad) == pytest.approx((0, 0, 0), abs=1e-7)


@pytest.mark.parametrize("camera", [CAMERA, BENT], ids=["straight", "bent"])
def test_known_poses_come_back(camera: Camera) -> None:
    for head in random_heads(camera, 60):
        pose = head_pose_from_landmarks(head.landmarks_px, camera)
        np.testing.assert_allclose(pose.camera_from_head, head.rotation, atol=1e-6)
        np.testing.assert_allclose(pose.translation_mm, head.translation_mm, atol=1e-2)


@pytest.mark.parametrize("angles", [(0.4, 0, 0), (0, 0.7, 0), (0, 0, 0.5), (-0.3, -1.2, 0.8)])
def test_angles_of_a_pose(angles: tuple[float, float, float]) -> None:
    pose = HeadPose(head_rotation(*angles), np.zeros(3))
    assert (pose.pitch_rad, pose.yaw_rad, pose.roll_rad) == pytest.approx(angles)
    looks = pose.camera_from_head @ (0, 0, -1)
    np.testing.assert_allclose(vector_from_angles(angles[:2]), looks, atol=1e-12)


def test_signs_in_the_image() -> None:
    def nose_from_eyes(angles: tuple[float, float, float]) -> NDArray[np.float64]:
        px = make_head(CAMERA, angles=angles, translation_mm=(0, 0, 600)).landmarks_px
        return px[30] - px[[36, 45]].mean(axis=0)

    frontal = nose_from_eyes((0, 0, 0))
    assert nose_from_eyes((0.3, 0, 0))[1] < frontal[1]  # pitch up: the nose rises
    assert nose_from_eyes((0, 0.3, 0))[0] < frontal[0]  # yaw: the nose goes to the image's left
    tilted = make_head(CAMERA, angles=(0, 0, 0.3), translation_mm=(0, 0, 600)).landmarks_px
    assert tilted[27, 0] > tilted[8, 0]  # roll: the top of the head leans to the image's right


@pytest.mark.parametrize("camera", [CAMERA, BENT], ids=["straight", "bent"])
def test_mirrored_landmarks_give_the_mirrored_pose(camera: Camera) -> None:
    rng = np.random.default_rng(3)
    for head in random_heads(camera, 30, seed=1):
        noisy = head.landmarks_px + rng.normal(0, 1.5, (68, 2))
        mirrored = noisy[MIRRORED_POINTS[:68]]
        mirrored[:, 0] = 1279 - mirrored[:, 0]
        pose = head_pose_from_landmarks(noisy, camera)
        other = head_pose_from_landmarks(mirrored, camera.mirrored())
        np.testing.assert_allclose(
            MIRROR @ other.camera_from_head @ MIRROR, pose.camera_from_head, atol=1e-7
        )
        np.testing.assert_allclose(
            other.translation_mm * (-1, 1, 1), pose.translation_mm, rtol=1e-6, atol=1e-4
        )
        assert other.yaw_rad == pytest.approx(-pose.yaw_rad, abs=1e-6)
        assert other.roll_rad == pytest.approx(-pose.roll_rad, abs=1e-6)
        assert other.pitch_rad == pytest.approx(pose.pitch_rad, abs=1e-6)


def test_noise_of_one_pixel_in_a_small_face() -> None:
    rng = np.random.default_rng(4)
    errors = []
    for head in random_heads(CAMERA, 100, seed=2):
        side = float(np.ptp(head.landmarks_px, axis=0).max())
        noisy = head.landmarks_px + rng.normal(0, side / 128, (68, 2))
        pose = head_pose_from_landmarks(noisy, CAMERA)
        errors.append(angle_between(pose.camera_from_head[:, 2], head.rotation[:, 2]))
    assert np.degrees(np.median(errors)) < 0.7
    assert np.degrees(np.max(errors)) < 3.0


def test_people_and_expressions_that_are_not_the_mean_face() -> None:
    rng = np.random.default_rng(5)
    mouth_and_chin = np.array([*range(4, 13), *range(48, 68)])
    errors = []
    for head in random_heads(CAMERA, 60, seed=3, max_yaw=1.0):
        shape = FACE_MODEL_MM * rng.normal(1.0, 0.04, 3) + rng.normal(0, 1.5, (68, 3))
        shape[mouth_and_chin] += (0, rng.uniform(0, 25), 0)  # an open mouth
        shape[17:27] += (0, rng.uniform(-6, 3), 0)  # raised or lowered brows
        px = CAMERA.project(shape @ head.rotation.T + head.translation_mm)
        pose = head_pose_from_landmarks(px, CAMERA)
        errors.append(angle_between(pose.camera_from_head[:, 2], head.rotation[:, 2]))
    assert np.degrees(np.median(errors)) < 3.5
    assert np.degrees(np.max(errors)) < 9.0


def test_one_wild_landmark_hardly_matters() -> None:
    head = make_head(CAMERA, angles=(0.1, 0.3, 0.0), translation_mm=(50, 20, 600))
    landmarks = head.landmarks_px.copy()
    landmarks[1] += (-60, 30)
    pose = head_pose_from_landmarks(landmarks, CAMERA)
    error = angle_between(pose.camera_from_head[:, 2], head.rotation[:, 2])
    assert np.degrees(error) < 3.0


@pytest.mark.parametrize("camera", [CAMERA, Camera.from_fov(1280, 720, 179.0)], ids=["60", "179"])
def test_never_behind_the_camera(camera: Camera) -> None:
    rng = np.random.default_rng(6)
    for _ in range(50):
        landmarks = rng.uniform(0, 700, (68, 2))
        pose = head_pose_from_landmarks(landmarks, camera)
        assert pose.translation_mm[2] > 0
        np.testing.assert_allclose(
            pose.camera_from_head @ pose.camera_from_head.T, np.eye(3), atol=1e-9
        )
        assert np.linalg.det(pose.camera_from_head) > 0


@pytest.mark.parametrize(
    ("landmarks", "message"),
    [
        (np.zeros((5, 2)), r"shape \(5, 2\); expected \(68, 2\)"),
        (np.full((68, 2), np.nan), "not finite"),
        (np.full((68, 2), 100.0), "all in one place"),
    ],
)
def test_bad_landmarks(landmarks: NDArray[np.float64], message: str) -> None:
    with pytest.raises(InputError, match=message):
        head_pose_from_landmarks(landmarks, CAMERA)
