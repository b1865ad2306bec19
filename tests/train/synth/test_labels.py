"""Labels of crops and of irises: what is true, and what run time would know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clipgaze_sdk import Camera
from clipgaze_sdk.geometry import angle_between, head_pose_from_landmarks, vector_from_angles
from train.synth.domains import domain
from train.synth.outputs.normalization import NORMALIZATION, moved_points, sight_rotation
from train.synth.outputs.records import moved
from train.synth.outputs.studio import normalized

QUIET = replace(
    domain("laptop"),
    name="quiet",
    face_px=(60, 90),
    backgrounds={"plain": 1.0},
    frame_px=((320, 240),),
)
FORWARD = np.array([0.0, 0.0, -1.0])


@pytest.fixture(scope="module")
def picture(studio):
    return studio.picture(5, 9, QUIET)


def cut(picture, factor):
    """The crop of exact landmarks with a focal length that is wrong by a factor."""
    matrix = picture.labels.camera_matrix.copy()
    matrix[[0, 1], [0, 1]] *= factor
    return normalized(picture, picture.labels.landmarks_px, matrix)


def test_with_the_true_camera_the_line_of_sight_is_the_gaze(picture):
    crop = cut(picture, 1.0)
    assert crop.sight_gaze == pytest.approx(crop.gaze, abs=1e-12)
    record = crop.record
    assert record["crop_sight_gaze_pitch_yaw_rad"] == record["crop_gaze_pitch_yaw_rad"]


@pytest.mark.parametrize("factor", [0.6, 1.5])
def test_with_a_wrong_focal_length_the_line_of_sight_is_what_pixels_show(picture, factor):
    """Angles between the gaze and the true rays of crop pixels, whatever camera was assumed."""
    crop = cut(picture, factor)
    labels = picture.labels
    assert np.degrees(np.abs(crop.sight_gaze - crop.gaze).max()) > 0.3

    def true_ray(pixel):
        ray = np.linalg.inv(labels.camera_matrix) @ crop.picture_from_crop @ [*pixel, 1.0]
        return ray / np.linalg.norm(ray)

    gaze = vector_from_angles(crop.sight_gaze)
    assert np.linalg.norm(gaze) == pytest.approx(1.0)
    middle, right = true_ray((111.5, 111.5)), true_ray((150.0, 111.5))
    # The crop's optical axis goes through its middle pixel ...
    assert angle_between(gaze, [0, 0, 1.0]) == pytest.approx(angle_between(labels.gaze, middle))
    # ... and its x axis through the pixels to the right of it.
    level = np.cross(middle, right) / np.linalg.norm(np.cross(middle, right))
    assert gaze[1] == pytest.approx(labels.gaze @ level)


def test_the_sight_camera_is_a_rotation():
    true = np.array([[800.0, 0, 300], [0, 800, 200], [0, 0, 1]])
    assumed = np.array([[500.0, 0, 310], [0, 500, 190], [0, 0, 1]])
    turn = NORMALIZATION.rotation([200.0, -120.0, 600.0], np.eye(3))
    sight = sight_rotation(turn, assumed, true)
    assert sight @ sight.T == pytest.approx(np.eye(3))
    assert np.linalg.det(sight) == pytest.approx(1.0)
    assert np.degrees(angle_between(sight[2], turn[2])) > 2
    assert sight_rotation(turn, true, true) == pytest.approx(turn)


def test_the_seen_head_and_eyes_are_what_the_sdk_says(studio):
    """From the same landmarks with errors and the assumed camera, not from the truth."""
    crop = studio.crop(5, 9, QUIET)
    exact = cut(crop.picture, 1.0)
    wrong = np.array(crop.record["assumed_camera_matrix"])
    marks = crop.picture.labels.landmarks_px + [[3.0, -2.0]]
    told = normalized(crop.picture, marks, wrong)
    height, width = crop.picture.rgb.shape[:2]
    pose = head_pose_from_landmarks(marks, Camera(wrong, size_px=(width, height)))
    facing = told.crop_from_camera @ pose.camera_from_head @ FORWARD
    assert vector_from_angles(told.seen_head) == pytest.approx(facing)
    corners = marks[[36, 39, 42, 45]]
    in_crop = moved_points(corners, np.linalg.inv(told.picture_from_crop)).reshape(2, 2, 2)
    assert told.seen_eyes_px == pytest.approx(in_crop.mean(1))
    true = exact.landmarks_px[[36, 39, 42, 45]].reshape(2, 2, 2).mean(1)
    assert exact.seen_eyes_px == pytest.approx(true)
    assert np.abs(crop.seen_eyes_px - crop.landmarks_px[[36, 42]]).max() > 0.5
    for name, value in (
        ("crop_seen_head_pitch_yaw_rad", crop.seen_head),
        ("seen_eyes_px", crop.seen_eyes_px),
        ("iris_rims_px", crop.rims_px),
    ):
        assert crop.record[name] == pytest.approx(value, abs=1e-3), name


def test_rims_lie_on_the_irises(picture):
    """Each rim point is a person's radius from the iris's middle, in the plane across the axis."""
    labels, radius = picture.labels, picture.person.iris_radius_mm
    for eye in range(2):
        axis = labels.eye_axes[eye]
        middle = labels.eye_centers_mm[eye] + 10.4 * axis
        rays = np.column_stack([labels.rims_px[eye], np.ones(8)])
        rays = rays @ np.linalg.inv(labels.camera_matrix).T
        points = rays * ((middle @ axis) / (rays @ axis))[:, None]
        assert np.linalg.norm(points - middle, axis=1) == pytest.approx(np.full(8, radius))
        steps = points - middle
        across = labels.camera_from_head[:, 0]
        assert (steps @ across).argmax() == 0  # towards the person's left first,
        assert (steps @ labels.camera_from_head[:, 1]).argmax() == 2  # then towards the chin
        assert steps[4] == pytest.approx(-steps[0])
        # Seen from half a metre, an iris's ellipse is round about its middle.
        assert labels.rims_px[eye].mean(0) == pytest.approx(labels.irises_px[eye], abs=0.1)


def test_rims_move_with_the_picture_and_into_the_crop(picture):
    labels = picture.labels
    half = moved(labels, scale=0.5, left=4, top=7)
    shift = np.array([-0.25 - 4, -0.25 - 7])
    assert half.rims_px == pytest.approx(labels.rims_px * 0.5 + shift)
    crop = cut(picture, 1.2)
    back = moved_points(crop.rims_px.reshape(-1, 2), crop.picture_from_crop)
    assert back == pytest.approx(labels.rims_px.reshape(-1, 2))
    # In the crop an iris is about 960 / 600 mm of its own size across.
    across = np.linalg.norm(crop.rims_px[:, 0] - crop.rims_px[:, 4], axis=1)
    assert across == pytest.approx(np.full(2, 2 * picture.person.iris_radius_mm * 1.6), rel=0.25)
