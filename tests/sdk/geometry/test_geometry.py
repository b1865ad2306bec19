from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clipgaze_sdk import Camera, ConfigurationError, InputError
from clipgaze_sdk.geometry import (
    FACE_MODEL_MM,
    MIRRORED_POINTS,
    GazeNormalization,
    angles_from_vector,
    box_from_landmarks,
    face_crop_from_detection,
    face_crop_from_landmarks,
    mirror_angles,
    vector_from_angles,
)

from .synthetic_heads import MIRROR, Head, make_head, random_heads

CAMERA = Camera.from_fov(1280, 720)
BENT = Camera(CAMERA.matrix, np.array([-0.3, 0.1, 0.002, -0.003, 0.01]), size_px=CAMERA.size_px)
BAND = GazeNormalization(
    focal_px=960.0, distance_mm=600.0, size_px=(224, 96), center_px=(111.5, 79.5)
)
SQUARE = GazeNormalization(
    focal_px=960.0, distance_mm=600.0, size_px=(224, 224), center_px=(111.5, 111.5)
)


def applied(homography: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    mapped = np.column_stack([points, np.ones(len(points))]) @ homography.T
    return mapped[:, :2] / mapped[:, 2:]


def five_points(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    eyes = [landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)]
    return np.stack([*eyes, landmarks[30], landmarks[48], landmarks[54]])


# ---------------------------------------------------------------------------------- normalisation


def test_normalised_rotation_is_zhangs() -> None:
    for head in random_heads(CAMERA, 20):
        rotation = SQUARE.rotation(head.translation_mm, head.rotation)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1.0)
        # The face centre is straight ahead, and the head's x axis is level.
        ahead = rotation @ head.translation_mm
        np.testing.assert_allclose(ahead[:2], 0.0, atol=1e-9)
        assert ahead[2] == pytest.approx(np.linalg.norm(head.translation_mm))
        assert (rotation @ head.rotation)[1, 0] == pytest.approx(0.0, abs=1e-12)


def test_gaze_goes_with_the_rotation_alone() -> None:
    for head in random_heads(CAMERA, 20, seed=1):
        rotation = SQUARE.rotation(head.translation_mm, head.rotation)
        # Whoever looks into the camera has zero angles in the normalised camera.
        at_camera = -head.translation_mm / np.linalg.norm(head.translation_mm)
        np.testing.assert_allclose(angles_from_vector(rotation @ at_camera), 0.0, atol=1e-12)
        gaze = vector_from_angles([0.2, -0.4])
        back = rotation.T @ vector_from_angles(angles_from_vector(rotation @ gaze))
        np.testing.assert_allclose(back, gaze, atol=1e-12)


def test_crop_shows_the_face_as_the_virtual_camera_sees_it() -> None:
    for head in random_heads(CAMERA, 20, seed=2):
        rotation = BAND.rotation(head.translation_mm, head.rotation)
        image_from_crop = BAND.image_from_crop(CAMERA, head.translation_mm, rotation)
        crop_from_image = np.linalg.inv(image_from_crop)
        points = applied(crop_from_image, head.landmarks_px)
        # A virtual camera at the same place: the picture turns and zooms, nothing else.
        zoom = 600.0 / np.linalg.norm(head.translation_mm)
        seen = (FACE_MODEL_MM @ head.rotation.T + head.translation_mm) @ rotation.T
        expected = 960.0 * seen[:, :2] / (seen[:, 2:] * zoom) + (111.5, 79.5)
        np.testing.assert_allclose(points, expected, atol=1e-6)
        centre = applied(crop_from_image, CAMERA.project(head.translation_mm[None]))
        np.testing.assert_allclose(centre, [(111.5, 79.5)], atol=1e-6)


def test_face_crop_is_140_mm_across() -> None:
    rotation = SQUARE.rotation((0, 0, 600), np.eye(3))
    edges = CAMERA.project([[-70, 0, 600], [70, 0, 600]])
    crop = applied(np.linalg.inv(SQUARE.image_from_crop(CAMERA, (0, 0, 600), rotation)), edges)
    np.testing.assert_allclose(crop[:, 0], (-0.5, 223.5), atol=1e-9)


def test_frontal_head_gives_an_upright_crop() -> None:
    rotation = SQUARE.rotation((0, 0, 500), np.eye(3))
    np.testing.assert_allclose(rotation, np.eye(3), atol=1e-12)
    homography = SQUARE.image_from_crop(CAMERA, (0, 0, 500), rotation)
    np.testing.assert_allclose(applied(homography, np.array([[111.5, 111.5]])), [[639.5, 359.5]])


def test_bent_homography_is_near_the_lens_model() -> None:
    for head in random_heads(BENT, 20, seed=4):
        if np.linalg.norm(head.translation_mm) < 450:
            continue  # a crop over a third of the image: no homography fits the bend there
        rotation = BAND.rotation(head.translation_mm, head.rotation)
        homography = BAND.image_from_crop(BENT, head.translation_mm, rotation)
        x, y = np.meshgrid(np.linspace(0, 223, 12), np.linspace(0, 95, 8))
        crop = np.stack([x, y], axis=-1).reshape(-1, 2)
        scale = np.diag([1, 1, 600.0 / np.linalg.norm(head.translation_mm)])
        rays = (
            np.column_stack([crop, np.ones(len(crop))])
            @ np.linalg.inv(BAND.matrix @ scale @ rotation).T
        )
        error = np.linalg.norm(applied(homography, crop) - BENT.project(rays), axis=1)
        pixels_per_crop_pixel = np.sqrt(abs(np.linalg.det(homography[:2, :2])))
        assert np.mean(error) < 0.7 * max(pixels_per_crop_pixel, 1.0)


@pytest.mark.parametrize("camera", [CAMERA, BENT], ids=["straight", "bent"])
def test_normalisation_obeys_the_mirror_test(camera: Camera) -> None:
    gaze = np.array([0.2, -0.5])
    flip_crop = np.array([[-1.0, 0, 223], [0, 1, 0], [0, 0, 1]])
    flip_image = np.array([[-1.0, 0, 1279], [0, 1, 0], [0, 0, 1]])
    for head in random_heads(camera, 20, seed=5):
        center, turn = head.translation_mm, head.rotation
        rotation = BAND.rotation(center, turn)
        mirrored = BAND.rotation(center * (-1, 1, 1), MIRROR @ turn @ MIRROR)
        np.testing.assert_allclose(mirrored, MIRROR @ rotation @ MIRROR, atol=1e-12)
        here = angles_from_vector(rotation @ vector_from_angles(gaze))
        there = angles_from_vector(mirrored @ vector_from_angles(mirror_angles(gaze)))
        np.testing.assert_allclose(there, mirror_angles(here), atol=1e-12)
        one = BAND.image_from_crop(camera, center, rotation)
        other = BAND.image_from_crop(camera.mirrored(), center * (-1, 1, 1), mirrored)
        expected = flip_image @ one @ flip_crop
        corners = np.array([[0.0, 0.0], [223, 0], [0, 95], [223, 95]])
        np.testing.assert_allclose(
            applied(other, corners), applied(expected, corners), rtol=1e-6, atol=1e-4
        )


def test_ear_on_view_has_a_rotation() -> None:
    turn = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])  # the head's x axis along the view
    rotation = BAND.rotation((0, 0, 500), turn)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)


def test_bad_normalisation() -> None:
    with pytest.raises(ConfigurationError, match="focal_px is 0; expected a number between 1 and"):
        GazeNormalization(focal_px=0, distance_mm=600, size_px=(1, 1), center_px=(0, 0))
    with pytest.raises(InputError, match="at the camera"):
        BAND.rotation((0, 0, 0), np.eye(3))
    with pytest.raises(InputError, match=r"center_mm has shape \(2,\)"):
        BAND.rotation((0, 0), np.eye(3))
    with pytest.raises(InputError, match="all finite"):
        BAND.rotation((0, np.nan, 1), np.eye(3))


# -------------------------------------------------------------------------------------- face crops


def test_upright_face_crop_golden() -> None:
    points = np.full((68, 2), (120.0, 100.0))
    points[[0, 16]] = (100, 50), (140, 150)
    points[36:48], points[48:] = (120, 80), (120, 120)
    crop = face_crop_from_landmarks(points, size_px=100, scale=1.5)
    # 150 px of image around (120, 100); pixel edges at -0.5 and 99.5.
    edges = applied(crop, np.array([[-0.5, -0.5], [99.5, 99.5]]))
    np.testing.assert_allclose(edges, [[45, 25], [195, 175]])


def test_crop_of_a_turned_face_is_upright() -> None:
    landmarks = FACE_MODEL_MM[:, :2] * 2 + 300
    upright = face_crop_from_landmarks(landmarks, size_px=128, scale=1.5)
    for angle in (0.5, -2.0, np.pi):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        crop = face_crop_from_landmarks(landmarks @ turn.T, size_px=128, scale=1.5)
        inside = applied(np.linalg.inv(crop), landmarks @ turn.T)
        expected = applied(np.linalg.inv(upright), landmarks)
        np.testing.assert_allclose(inside, expected, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(
    st.floats(-2, 2),
    st.floats(5, 300),
    st.floats(-500, 500),
    st.floats(1.0, 2.0),
    st.integers(0, 1000),
)
def test_crop_holds_all_points(
    angle: float, size: float, shift: float, scale: float, seed: int
) -> None:
    points = np.random.default_rng(seed).normal(0, size, (68, 2)) + shift
    points[48:] += 3 * size * np.array([np.sin(angle), np.cos(angle)])  # the mouth
    crop = face_crop_from_landmarks(points, size_px=64, scale=scale)
    inside = applied(np.linalg.inv(crop), points)
    assert inside.min() >= -0.5 - 1e-6
    assert inside.max() <= 63.5 + 1e-6
    np.testing.assert_allclose(
        crop[:2, :2].T @ crop[:2, :2],
        np.eye(2) * crop[0, 0] ** 2 + np.eye(2) * crop[1, 0] ** 2,
        atol=1e-6,
    )


def test_crops_and_boxes_obey_the_mirror_test() -> None:
    flip_crop = np.array([[-1.0, 0, 127], [0, 1, 0], [0, 0, 1]])
    flip_image = np.array([[-1.0, 0, 1279], [0, 1, 0], [0, 0, 1]])
    for head in random_heads(CAMERA, 20, seed=6):
        landmarks = head.landmarks_px
        mirrored = landmarks[MIRRORED_POINTS[:68]] * (-1, 1) + (1279, 0)
        crop = face_crop_from_landmarks(landmarks, size_px=128, scale=1.5)
        other = face_crop_from_landmarks(mirrored, size_px=128, scale=1.5)
        np.testing.assert_allclose(other, flip_image @ crop @ flip_crop, atol=1e-9)
        x0, y0, x1, y1 = box_from_landmarks(landmarks)
        box = np.array([1279 - x1, y0, 1279 - x0, y1])
        np.testing.assert_allclose(box_from_landmarks(mirrored), box, atol=1e-3)
        crop = face_crop_from_detection(
            (x0, y0, x1, y1), five_points(landmarks), size_px=128, scale=1.5
        )
        other = face_crop_from_detection(box, five_points(mirrored), size_px=128, scale=1.5)
        np.testing.assert_allclose(other, flip_image @ crop @ flip_crop, atol=1e-2)


def test_detection_crop_is_near_the_landmark_crop() -> None:
    for head in random_heads(CAMERA, 100, seed=7, max_yaw=1.2):
        wanted = face_crop_from_landmarks(head.landmarks_px, size_px=128, scale=1.5)
        crop = face_crop_from_detection(
            box_from_landmarks(head.landmarks_px),
            five_points(head.landmarks_px),
            size_px=128,
            scale=1.5,
        )
        relation = np.linalg.inv(wanted) @ crop
        scale = float(np.hypot(relation[0, 0], relation[1, 0]))
        turn = float(np.arctan2(relation[1, 0], relation[0, 0]))
        shift = applied(relation, np.array([[63.5, 63.5]]))[0] - 63.5
        assert 0.75 < scale < 1.35
        assert abs(turn) < 0.25
        assert np.abs(shift).max() < 20


def test_box_includes_the_forehead() -> None:
    landmarks = FACE_MODEL_MM[:, :2]
    x0, y0, x1, y1 = box_from_landmarks(landmarks)
    brow, chin = landmarks[17:27, 1].min(), landmarks[8, 1]
    assert (x0, x1) == pytest.approx((landmarks[0, 0], landmarks[16, 0]), abs=1e-4)
    assert y1 == pytest.approx(chin, abs=1e-4)
    assert y0 == pytest.approx(brow - 0.35 * (chin - brow), abs=1e-3)


def test_degenerate_faces_give_finite_crops() -> None:
    spot = np.full((68, 2), 40.0)
    assert np.all(np.isfinite(face_crop_from_landmarks(spot, size_px=128, scale=1.5)))
    crop = face_crop_from_detection((5, 5, 5, 5), np.zeros((5, 2)), size_px=128, scale=1.5)
    assert np.all(np.isfinite(crop))


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((67, 2)), r"shape \(67, 2\); expected \(68, 2\)"),
        (np.zeros((68, 3)), r"shape \(68, 3\)"),
        (np.full((68, 2), np.inf), "not finite"),
    ],
)
def test_bad_landmarks(points: NDArray[np.float64], message: str) -> None:
    with pytest.raises(InputError, match=message):
        face_crop_from_landmarks(points, size_px=128, scale=1.5)
    with pytest.raises(InputError, match=message):
        box_from_landmarks(points)


def test_crop_agrees_with_opencvs_warp() -> None:
    head: Head = make_head(CAMERA, angles=(0, 0.3, 0.4), translation_mm=(60, -40, 700))
    image = np.zeros((720, 1280), np.float32)
    cv2.circle(image, tuple(np.round(head.landmarks_px[30]).astype(int).tolist()), 3, 1.0, -1)
    crop = face_crop_from_landmarks(head.landmarks_px, size_px=128, scale=1.5)
    warped = cv2.warpPerspective(
        image, crop, (128, 128), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    weights = warped / warped.sum()
    rows, columns = np.mgrid[:128, :128]
    found = ((weights * columns).sum(), (weights * rows).sum())
    np.testing.assert_allclose(
        found, applied(np.linalg.inv(crop), np.round(head.landmarks_px[30:31]))[0], atol=0.1
    )
