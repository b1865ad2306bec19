"""Products of rendered people: pure functions whose labels agree with the SDK's own geometry."""

from __future__ import annotations

import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest

from clipgaze_sdk import Camera
from clipgaze_sdk.geometry import (
    angle_between,
    angles_from_vector,
    head_pose_from_landmarks,
    vector_from_angles,
)
from train.factors import FACTORS
from train.synth.domains import domain
from train.synth.figure.motion import Blinks, Eyes, minimum_jerk, saccade_s, wander
from train.synth.outputs.clips import make_clip
from train.synth.outputs.disturb import assumed_matrix, noisy_landmarks
from train.synth.outputs.frames import MOST_OVERLAP, _overlap, make_frame
from train.synth.outputs.framing import CROP_REACH_PX, scaled
from train.synth.outputs.light import HEADROOM, decode_light, encode_light
from train.synth.outputs.normalization import NORMALIZATION, moved_points, sampled
from train.synth.outputs.records import affine, moved
from train.synth.outputs.studio import normalized
from train.synth.render.sensor import identity_sensor
from train.synth.streams import Streams

MIX = domain("mix")
QUIET = replace(
    domain("laptop"),
    name="quiet",
    face_px=(60, 90),
    backgrounds={"plain": 1.0},
    frame_px=((320, 240),),
    chances=dict.fromkeys(
        ("motion_blur", "defocus", "low_resolution", "jpeg_artifacts", "noise"), 0.0
    ),
)


@pytest.fixture(scope="module")
def crop(studio):
    return studio.crop(5, 9, QUIET, clean=True)


def test_a_picture_shows_its_window(studio):
    picture = studio.picture(5, 3, QUIET)
    left, top, width, height = picture.window
    assert picture.rgb.shape == (height, width, 3)
    assert (left >= 0, top >= 0) == (True, True)
    assert left + width <= picture.frame_px[0]
    assert top + height <= picture.frame_px[1]
    labels = picture.labels
    seen = labels.camera_matrix @ labels.face_center_mm
    assert seen[:2] / seen[2] == pytest.approx(labels.landmarks_px[[27, 30]].mean(0), abs=30)
    # The window's camera is the frame's, moved.
    shift = picture.scene.camera_matrix - labels.camera_matrix
    assert shift == pytest.approx(np.array([[0, 0, left], [0, 0, top], [0, 0, 0]]))
    record = picture.record
    assert vector_from_angles(record["gaze_pitch_yaw_rad"]) == pytest.approx(labels.gaze, abs=1e-6)
    assert set(record["factors"]) == {f.name for f in FACTORS}
    assert record["caption"].endswith(".")
    assert len(record["identity"]) == 100
    assert record["person"] == "5-0"


def test_near_faces_are_drawn_smaller_with_the_same_rays(studio):
    near = replace(QUIET, face_px=(400, 400))
    picture = studio.picture(5, 2, near, most_face_px=80.0)
    assert picture.scale == pytest.approx(0.2)
    assert picture.labels.face_px == pytest.approx(80.0)
    assert max(picture.rgb.shape) < 160
    ray = np.linalg.inv(picture.labels.camera_matrix) @ [*picture.labels.irises_px[0], 1]
    labels = picture.labels
    iris = labels.eye_centers_mm[0] + 10.4 * labels.eye_axes[0]
    assert ray[:2] == pytest.approx(iris[:2] / iris[2], abs=1e-6)


def test_scaling_keeps_edges_where_they_are():
    matrix = affine(0.5, 3, 4)
    assert matrix @ [-0.5, 99.5, 1] == pytest.approx([-3.5, 45.5, 1])


def test_blur_shrinks_with_the_picture(studio):
    scene = studio.picture(5, 3, QUIET).scene
    sensor = replace(identity_sensor(), defocus_px=4.0, motion_px=8.0, downscale=3.0)
    half = scaled(replace(scene, sensor=sensor), 0.5)
    assert (half.sensor.defocus_px, half.sensor.motion_px) == (2.0, 4.0)
    assert half.sensor.downscale == 1.5
    assert half.face_px == pytest.approx(scene.face_px / 2)


def test_crops_are_what_the_sdk_makes_of_the_whole_frame(crop):
    """The frame around the picture is black here; the crop's pixels and labels are the same."""
    picture = crop.picture
    left, top, width, height = picture.window
    frame = np.zeros((picture.frame_px[1], picture.frame_px[0], 3), np.uint8)
    frame[top : top + height, left : left + width] = picture.rgb
    whole = moved(picture.labels, left=-left, top=-top)
    camera = Camera(picture.scene.camera_matrix, size_px=picture.frame_px)
    pose = head_pose_from_landmarks(whole.landmarks_px, camera)
    turn = NORMALIZATION.rotation(pose.translation_mm, pose.camera_from_head)
    assert turn == pytest.approx(crop.crop_from_camera, abs=1e-9)
    assert angles_from_vector(turn @ whole.gaze) == pytest.approx(crop.gaze, abs=1e-9)
    # What the network is to say, turned back, is the true gaze in the camera's frame.
    assert turn.T @ vector_from_angles(crop.gaze) == pytest.approx(whole.gaze)
    warp = NORMALIZATION.image_from_crop(camera, pose.translation_mm, turn)
    pixels = sampled(frame, warp, NORMALIZATION.size_px).astype(int)
    corners = np.stack([*np.indices((224, 224))[::-1], np.ones((224, 224))], -1).reshape(-1, 3)
    xy = corners @ warp.T
    xy = xy[:, :2] / xy[:, 2:] - [left, top]
    inside = ((xy > 1) & (xy < [width - 2, height - 2])).all(1)
    assert inside.mean() > 0.8
    assert np.abs(pixels - crop.rgb).reshape(-1, 3)[inside].max() <= 1


def test_a_crop_shows_the_face_where_it_says(crop):
    assert crop.rgb.shape == (224, 224, 3)
    eyes = crop.landmarks_px[36:48].mean(0)
    assert eyes == pytest.approx([111.5, 75], abs=30)
    assert crop.landmarks_px[36, 0] < crop.landmarks_px[45, 0]
    assert np.hypot(*(crop.landmarks_px[68] - crop.landmarks_px[36:42].mean(0))) < 15
    assert crop.record["landmarks_px"] == pytest.approx(crop.landmarks_px[:68], abs=1e-3)
    assert crop.record["crop_gaze_pitch_yaw_rad"] == pytest.approx(crop.gaze, abs=1e-6)
    facing = crop.picture.labels.camera_from_head @ [0, 0, -1.0]
    back = crop.crop_from_camera.T @ vector_from_angles(crop.head)
    assert back == pytest.approx(facing)


def test_run_time_errors_change_the_crop_and_its_labels_alike(studio, crop):
    rough = studio.crop(5, 9, QUIET)
    assert rough.picture.scene.face_px == crop.picture.scene.face_px
    assert not np.array_equal(rough.rgb, crop.rgb)
    back = rough.crop_from_camera.T @ vector_from_angles(rough.gaze)
    assert back == pytest.approx(rough.picture.labels.gaze)


def test_a_crop_draws_what_it_shows_and_no_more(studio):
    crop, whole = studio.crop(5, 9, QUIET), studio.picture(5, 9, QUIET)
    labels = whole.labels
    rng = whole.scene.streams("landmark errors")
    marks = noisy_landmarks(rng, labels.landmarks_px, labels.visible[:68])
    same = normalized(whole, marks, assumed_matrix(rng, labels.camera_matrix))
    # Seen from the frame, both are the same; what run time guesses of hidden points may differ.
    assert crop.landmarks_px == pytest.approx(same.landmarks_px, abs=3)
    assert crop.gaze == pytest.approx(same.gaze, abs=0.02)
    small = [cv2.resize(c.rgb, (28, 28), interpolation=cv2.INTER_AREA) for c in (crop, same)]
    assert np.abs(small[0].astype(int) - small[1])[:, 4:24].mean() < 8
    area = [np.prod(p.window[2:]) for p in (crop.picture, whole)]
    assert area[0] < 0.65 * area[1]
    low, high = CROP_REACH_PX[0], CROP_REACH_PX[2]
    corners = moved_points(
        np.array([[low, low], [high, low], [low, high], [high, high]]), crop.picture_from_crop
    )
    assert corners.min(0) == pytest.approx([0, 0], abs=2)
    assert corners.max(0) == pytest.approx(crop.picture.window[2:], abs=2)


def test_what_a_crop_leaves_out_of_the_frame_is_not_hidden(studio):
    crop = studio.crop(5, 9, QUIET, clean=True, band=True)
    left, top, width, height = crop.picture.window
    points = crop.picture.labels.landmarks_px[:68]
    beyond = ((points.round() < 0) | (points.round() >= (width, height))).any(1)
    frame = points + (left, top)
    in_frame = ((frame >= 0) & (frame < np.array(crop.picture.frame_px) - 1)).all(1)
    assert 5 < (beyond & in_frame).sum() < 40
    assert crop.picture.labels.visible[:68][beyond & in_frame].all()


def test_landmark_errors_follow_visibility():
    points = np.random.default_rng(1).uniform(0, 200, (68, 2))
    hidden = np.zeros(68, bool)
    seen, unseen = (noisy_landmarks(np.random.default_rng(2), points, v) for v in (~hidden, hidden))
    common = 2 * seen - unseen  # without each landmark's own error
    own = np.abs(seen - common).mean()
    assert np.abs(unseen - common).mean() == pytest.approx(2 * own)
    assert np.array_equal(seen, noisy_landmarks(np.random.default_rng(2), points))


def test_half_of_the_cameras_have_a_wrong_focal_length():
    rng = np.random.default_rng(3)
    matrix = np.array([[500.0, 0, 100], [0, 500, 80], [0, 0, 1]])
    made = np.array([assumed_matrix(rng, matrix) for _ in range(200)])
    wrong = made[:, 0, 0] != 500
    assert 0.4 < wrong.mean() < 0.6
    assert np.all(made[:, 0, 0] == made[:, 1, 1])
    assert np.all(made[:, :2, 2] == [100, 80])
    assert np.std(np.log(made[wrong, 0, 0] / 500)) == pytest.approx(0.2, abs=0.04)


def test_products_depend_on_seed_and_index_alone(studio):
    first = studio.crop(5, 9, QUIET)
    studio.crop(5, 30, QUIET)
    make_frame(studio, 5, 1, QUIET)
    again = studio.crop(5, 9, QUIET)
    assert np.array_equal(first.rgb, again.rgb)
    assert first.record == again.record
    assert not np.array_equal(first.rgb, studio.crop(6, 9, QUIET).rgb)


def test_a_switched_factor_changes_that_alone(studio):
    off, on = (
        studio.picture(5, 9, QUIET, switched={"sunglasses": value}) for value in (False, True)
    )
    changed = {n for n, v in on.record["factors"].items() if v != off.record["factors"][n]}
    assert changed - {"glasses", "tinted_lenses", "lens_reflections", "thick_frame"} == {
        "sunglasses"
    }
    assert np.array_equal(on.labels.landmarks_px, off.labels.landmarks_px)
    assert np.array_equal(on.labels.gaze, off.labels.gaze)
    dark = on.rgb.astype(float) - off.rgb
    (left, top), (right, bottom) = (f(off.labels.landmarks_px[36:42], 0) for f in (np.min, np.max))
    assert dark[int(top) : int(bottom) + 1, int(left) : int(right) + 1].mean() < -3
    assert not on.labels.visible[68:].any()
    with pytest.raises(ValueError, match="shape"):
        studio.picture(5, 9, QUIET, switched={"feminine": True})


def test_cutouts_are_premultiplied_and_of_one_size(studio):
    cut = studio.cutout(5, 9, QUIET, face_px=60.0)
    assert cut.labels.face_px == pytest.approx(60.0)
    assert cut.rgb.shape[:2] == cut.alpha.shape
    assert 0.2 < (cut.alpha == 255).mean() < 0.9
    assert cut.rgb[cut.alpha == 0].max() == 0
    x, y = cut.labels.landmarks_px[30].round().astype(int)
    assert cut.alpha[y, x] == 255
    assert cut.record["headroom"] == HEADROOM


def test_light_survives_its_bytes():
    light = np.linspace(0, HEADROOM, 500, dtype=np.float32).reshape(10, 50, 1).repeat(3, -1)
    back = decode_light(encode_light(light))
    assert back == pytest.approx(light, abs=0.01 * HEADROOM)
    small = np.full((1, 1, 3), 0.05, np.float32)
    assert decode_light(encode_light(small)) == pytest.approx(small, rel=0.03)
    assert decode_light(encode_light(small + 9)).max() == pytest.approx(HEADROOM)


def test_frames_hold_people_from_far_to_near(studio):
    crowd = replace(QUIET, people={3: 1.0}, distance_mm=(400, 900))
    frame = make_frame(studio, 2, 4, crowd)
    assert frame.rgb.shape == (240, 320, 3)
    assert len(frame.faces) >= 2
    depths = [face.labels.face_center_mm[2] for face in frame.faces]
    assert depths == sorted(depths, reverse=True)
    for face in frame.faces:
        labels = face.labels
        assert np.array_equal(labels.camera_matrix, frame.camera_matrix)
        assert labels.face_px == pytest.approx(
            frame.camera_matrix[0, 0] * 140 / labels.face_center_mm[2], rel=0.03
        )
        iris = labels.eye_centers_mm + 10.4 * labels.eye_axes
        pixels = iris @ frame.camera_matrix.T
        assert labels.irises_px == pytest.approx(pixels[:, :2] / pixels[:, 2:], abs=1e-6)
        factors = face.record["factors"]
        shared = frame.record["factors"]
        assert {name: factors[name] for name in shared} == shared
    people = [face.record["person"] for face in frame.faces]
    assert len(set(people)) == len(people)


def test_nobody_can_be_in_a_frame(studio):
    empty = next(i for i in range(200) if Streams(2, 3, i)("places").random() < 0.06)
    frame = make_frame(studio, 2, empty, QUIET)
    assert frame.faces == []
    assert frame.rgb.std() > 0


def test_landmarks_behind_a_nearer_person_are_hidden(studio, monkeypatch):
    def places(*_):
        return [np.array([30.0, 0, 1500.0]), np.array([0.0, 0, 600.0])]

    monkeypatch.setattr("train.synth.outputs.frames._sample_places", places)
    far, near = make_frame(studio, 2, 7, QUIET).faces
    assert not far.labels.visible.any()
    assert far.ignore
    assert not near.ignore
    assert near.labels.visible[:68].mean() > 0.4


def test_overlap_is_that_of_the_smaller_box():
    assert _overlap((0, 0, 10, 10), (5, 5, 9, 9)) == 1.0
    assert _overlap((0, 0, 4, 4), (3, 3, 9, 9)) == pytest.approx(1 / 16)
    assert _overlap((0, 0, 4, 4), (5, 0, 9, 9)) == 0.0
    assert 0 < MOST_OVERLAP < 1


def test_clips_move_smoothly(studio):
    clip = make_clip(studio, 4, 2, QUIET, frames=40, fps=20.0)
    heads = [scene.camera_from_head @ [0, 0, -1.0] for scene in clip.scenes]
    steps = np.degrees([angle_between(a, b) for a, b in itertools.pairwise(heads)])
    assert 0 < steps.max() < 12  # 240 degrees per second
    centers = np.array([scene.face_center_mm for scene in clip.scenes])
    assert np.linalg.norm(np.diff(centers, axis=0), axis=1).max() < 8
    shots = clip.frames()
    first, second = next(shots), next(shots)
    assert first.rgb.shape == second.rgb.shape
    assert first.record["time_s"] == 0.0
    assert second.record["time_s"] == 0.05
    assert np.array_equal(first.rgb, next(clip.frames()).rgb)
    still = replace(clip, scenes=[clip.scenes[0]] * 2)
    a, b = (shot.rgb.astype(int) for shot in still.frames())
    assert np.array_equal(clip.scenes[0].factors, clip.scenes[-1].factors)
    assert 0 < np.abs(a - b).mean() < 20  # noise alone
    with pytest.raises(ValueError, match="frames is 0"):
        make_clip(studio, 4, 2, QUIET, frames=0, fps=20.0)


def test_eyes_jump_along_the_main_sequence():
    assert saccade_s(10) == pytest.approx(0.043)
    ahead = np.array([0.0, 0.0, -1.0])
    eyes = Eyes(np.random.default_rng(0), [(0.0, ahead, 600.0)], 30.0)
    times = np.arange(0, 30, 0.001)
    lines = np.array([eyes.at(t)[0] for t in times])
    speed = np.degrees(angle_between(lines[1:], lines[:-1])) * 1000
    assert 100 < speed.max() < 900
    assert np.median(speed) < 30  # fixations and pursuits
    lengths = np.diff([s.start for s in eyes.segments])
    assert lengths.min() >= 0.2
    assert lengths.max() <= 1.6
    assert all(300 < eyes.at(t)[1] < 1200 for t in times[::100])


def test_blinks_close_faster_than_they_open():
    blinks = Blinks(np.random.default_rng(1), 60.0)
    lengths = [length for _, length in blinks.times]
    assert 5 < len(lengths) < 40
    assert min(lengths) >= 0.1
    assert max(lengths) <= 0.4
    start, length = blinks.times[0]
    t = np.linspace(start, start + length, 400)
    values = np.array([blinks.at(x) for x in t])
    assert values.max() > 0.99
    assert (t[values.argmax()] - start) / length == pytest.approx(0.35, abs=0.02)
    assert blinks.at(start - 0.01) == 0.0


def test_motion_is_smooth():
    assert [minimum_jerk(t) for t in (-1, 0, 0.5, 1, 2)] == [0, 0, 0.5, 1, 1]
    curve = wander(np.random.default_rng(0), 5.0)
    points = np.array([curve(t) for t in np.arange(0, 60, 0.02)])
    assert 2 < points.std() < 9
    assert np.abs(np.diff(points, axis=0)).max() < 1.5


def test_a_band_is_the_crop_with_its_middle_rows_alone(studio):
    """The same gaze, and the same picture where the band is; drawn by fewer pixels."""
    whole = studio.crop(5, 9, QUIET, clean=True)
    band = studio.crop(5, 9, QUIET, clean=True, band=True)
    assert np.allclose(band.gaze, whole.gaze, atol=1e-9)
    assert band.rgb.shape == (224, 224, 3)
    assert np.prod(band.picture.rgb.shape) < 0.65 * np.prod(whole.picture.rgb.shape)
    small = [
        cv2.resize(c.rgb[32:128], (56, 24), interpolation=cv2.INTER_AREA).astype(float)
        for c in (whole, band)
    ]
    assert np.abs(small[0] - small[1]).mean() < 6
    assert np.allclose(band.landmarks_px, whole.landmarks_px, atol=1e-6)
    outside = band.landmarks_px[:68, 1] > 160
    assert outside.any()
    assert np.array(band.record["visible"])[:68][outside].all()
