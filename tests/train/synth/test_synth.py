"""The face model and the renderer: deterministic, and its labels are where the pixels say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clipgaze_sdk import Camera
from clipgaze_sdk.geometry import (
    angle_between,
    angles_from_vector,
    head_pose_from_landmarks,
    mirror_angles,
    vector_from_angles,
)
from train.factors import FACTORS
from train.synth.chances import sample_picture_factors
from train.synth.domains import domain
from train.synth.figure import facekit
from train.synth.figure.facekit import PARTS, load_facekit
from train.synth.render.looking import direction
from train.synth.render.posing import ENTRANCE_PUPIL_MM
from train.synth.render.scene import make_scene, rotation_from_angles
from train.synth.streams import Streams

PLAIN = {f.name: False for f in FACTORS}
MATRIX = np.array([[600.0, 0, 119.5], [0, 600.0, 119.5], [0, 0, 1]])
WINDOW = (0, 0, 240, 240)


@pytest.fixture(scope="module")
def person(studio):
    """Somebody bare-headed whose optical axes are the visual axes."""
    return replace(studio.people.make(Streams(3, 1, 0), PLAIN), kappa_rad=(0.0, 0.0))


def scene_looking(pitch, yaw, *, head=(0.0, 0.0), distance=500.0, seed=3):
    """A calm face before a camera, looking along (pitch, yaw) at something 900 mm away."""
    center = np.array([0.0, 0.0, distance])
    return replace(
        make_scene(Streams(seed, 2, 0), domain("lab"), PLAIN),
        camera_matrix=MATRIX,
        frame_px=(240, 240),
        face_center_mm=center,
        camera_from_head=rotation_from_angles(head[1], head[0], 0.0),
        target_mm=center + 900 * direction(pitch, yaw),
        expression={},
        blink=0.0,
    )


def labelled(studio, person, scene):
    """Labels without drawing."""
    poser = studio.renderer.poser
    return poser.label(person, scene, poser.pose(person, scene))


def test_directions_follow_the_convention():
    for pitch, yaw in ((0.0, 0.0), (0.3, -0.2), (-0.5, 1.0)):
        assert direction(pitch, yaw) == pytest.approx(vector_from_angles((pitch, yaw)))
        facing = rotation_from_angles(yaw, pitch, 0.4) @ np.array([0.0, 0.0, -1.0])
        assert angles_from_vector(facing) == pytest.approx((pitch, yaw))


def test_facekit_has_its_parts(kit):
    assert kit.neutral.shape == (26719, 3)
    assert kit.identity.shape == (100, 26719, 3)
    assert max(end for _, end in PARTS.values()) == 26719
    eyes = kit.neutral[kit.landmarks[[36, 39, 42, 45]]]
    assert np.linalg.norm(eyes[0] - eyes[3]) == pytest.approx(8.92, abs=0.05)  # cm
    with pytest.raises(KeyError, match="no expression"):
        kit.index("eyeLookSideways")


def test_a_folder_without_facekit_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"generic_neutral_mesh\.obj"):
        load_facekit(tmp_path)


GOOD = "\n".join(["v 1 2 3"] * facekit.VERTICES)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("v 1 2 3\nv 4 5", "2 vertices, expected 26719"),
        (GOOD + "\nvt 0 0\nf 1/1 2/1 3/1", "1 faces, expected 26384"),
        (GOOD + "\nvt 0 0\nf 1/1 2/9 3/1", "damaged"),
        (GOOD.replace("3", "nan", 1), "not finite"),
        (GOOD.replace("v 1 2 3", "v 1 2 x", 2), "could not convert"),
    ],
)
def test_damaged_meshes_are_named(tmp_path, text, complaint):
    path = tmp_path / "generic_neutral_mesh.obj"
    path.write_text(text)
    with pytest.raises(ValueError, match=complaint) as caught:
        load_facekit(tmp_path)
    assert str(path) in str(caught.value)


def test_packing_says_what_it_does(tmp_path, capsys):
    (tmp_path / "generic_neutral_mesh.obj").touch()
    with pytest.raises(ValueError, match="is damaged"):
        load_facekit(tmp_path)
    said = capsys.readouterr().err
    assert said.startswith("packing the face model into ")
    assert f"facekit-v{facekit.PACK_VERSION}.npz, once" in said


def test_a_damaged_pack_is_made_anew(tmp_path, monkeypatch, kit, facekit_folder):
    del kit  # asked for so that there is a pack
    pack = facekit_folder / f"facekit-v{facekit.PACK_VERSION}.npz"
    damaged = tmp_path / pack.name
    damaged.write_bytes(pack.read_bytes()[:100_000])
    with pytest.raises(FileNotFoundError, match="is damaged and"):
        load_facekit(tmp_path)
    (tmp_path / "generic_neutral_mesh.obj").touch()
    monkeypatch.setattr(facekit, "_write_pack", lambda _, to: to.write_bytes(pack.read_bytes()))
    assert load_facekit(tmp_path).neutral.shape == (26719, 3)


def test_blend_of_nothing_is_the_mean_face(kit):
    assert np.array_equal(kit.blend(np.zeros(100, np.float32), {}), kit.neutral)


@pytest.mark.parametrize(
    ("pitch", "yaw", "axis", "sign"),
    [(0.0, 0.5, 0, -1), (0.0, -0.5, 0, 1), (0.35, 0.0, 1, -1), (-0.35, 0.0, 1, 1)],
)
def test_irises_move_where_the_gaze_goes(studio, person, pitch, yaw, axis, sign):
    """Yaw towards the image's left moves irises to smaller x, pitch up to smaller y."""
    straight = labelled(studio, person, scene_looking(0.0, 0.0))
    turned = labelled(studio, person, scene_looking(pitch, yaw))
    moved = (turned.irises_px - straight.irises_px)[:, axis]
    assert np.all(moved * sign > 2.0)
    assert float(angle_between(turned.gaze, vector_from_angles((pitch, yaw)))) < 0.02


def test_eyes_meet_at_the_target(studio, person):
    """Centre of the eye, iris and target lie on one line; pixels are their projections."""
    for scene in (
        scene_looking(0.2, -0.3, head=(0.1, -0.4)),
        scene_looking(-0.3, 0.1, distance=350.0),
    ):
        labels = labelled(studio, person, scene)
        for eye in range(2):
            center, axis = labels.eye_centers_mm[eye], labels.eye_axes[eye]
            aim = scene.target_mm - center
            assert np.degrees(angle_between(axis, aim)) < 0.1
            pixel = MATRIX @ (center + ENTRANCE_PUPIL_MM * axis)
            assert labels.irises_px[eye] == pytest.approx(pixel[:2] / pixel[2], abs=1e-6)
        # The right eye turns more to the left than the left one, and so they converge.
        assert labels.eye_axes[0][0] > labels.eye_axes[1][0] - 1e-9


def test_the_visual_axis_is_kappa_from_the_optical_axis(studio, person):
    nasal, up = np.radians([5.0, 1.5])
    scene = scene_looking(0.0, 0.0)
    labels = labelled(studio, replace(person, kappa_rad=(nasal, up)), scene)
    for eye, sign in ((0, -1.0), (1, 1.0)):
        aim = scene.target_mm - labels.eye_centers_mm[eye]
        angle = angle_between(labels.eye_axes[eye], aim)
        assert np.degrees(angle) == pytest.approx(np.degrees(np.hypot(nasal, up)), abs=0.1)
        # The optical axis points to the temple: away from the other eye.
        outwards = labels.eye_axes[eye][0] - aim[0] / np.linalg.norm(aim)
        assert np.sign(outwards) == sign


def test_a_mirrored_scene_negates_yaw(studio, person):
    """On a symmetric head: the mean face's eyes mirror each other, modes of identity do not."""
    mean = replace(
        person,
        eye_centers=np.array([[-31, -5, 20], [31, -5, 20]], np.float32),
        kappa_rad=tuple(np.radians([5.0, 1.0])),
    )
    flip = np.diag([-1.0, 1.0, 1.0])
    scene = scene_looking(0.15, 0.4, head=(-0.1, 0.3))
    scene = replace(scene, face_center_mm=np.array([40.0, -20.0, 500.0]))
    mirrored = replace(
        scene,
        camera_from_head=flip @ scene.camera_from_head @ flip,
        face_center_mm=flip @ scene.face_center_mm,
        target_mm=flip @ scene.target_mm,
    )
    poser = studio.renderer.poser
    plain, other = labelled(studio, mean, scene), labelled(studio, mean, mirrored)
    assert poser.eye_axes(mean, mirrored) == pytest.approx(poser.eye_axes(mean, scene)[::-1] @ flip)
    width = 240
    assert other.irises_px[::-1, 0] == pytest.approx(width - 1 - plain.irises_px[:, 0], abs=1e-6)
    assert other.irises_px[::-1, 1] == pytest.approx(plain.irises_px[:, 1], abs=1e-6)
    aim = [s.target_mm - s.face_center_mm for s in (scene, mirrored)]
    angles = np.array([angles_from_vector(v / np.linalg.norm(v)) for v in aim])
    assert mirror_angles(angles[0]) == pytest.approx(angles[1])


def test_the_iris_label_is_on_the_dark_iris(studio, person):
    dark = replace(person, iris_colors=np.full((2, 3), 0.02, np.float32))
    drawn = studio.draw(dark, scene_looking(0.0, 0.25), WINDOW)
    grey, labels = drawn.rgba[..., :3].mean(-1), drawn.labels
    for eye, corners in ((0, (36, 39)), (1, (42, 45))):
        x, y = labels.irises_px[eye].round().astype(int)
        iris = grey[y - 1 : y + 2, x - 1 : x + 2].mean()
        # Looking left, the white is on the right of both irises.
        right = labels.landmarks_px[max(corners, key=lambda k: labels.landmarks_px[k][0])]
        white_x = int((0.55 * x + 0.45 * right[0]).round())
        assert iris < 0.75 * grey[y - 1 : y + 2, white_x - 1 : white_x + 2].mean()


def test_labels_of_the_head_agree_with_its_landmarks(studio):
    """PnP on the true landmarks finds the true head, as far as its mean face allows."""
    errors = []
    for seed in range(6):
        person = studio.people.make(Streams(seed, 1, 0), PLAIN)
        streams = Streams(seed, 2, 0)
        on = sample_picture_factors(streams, person.factors, domain("lab"))
        scene = make_scene(streams, domain("lab"), on)
        labels = labelled(studio, person, scene)
        pose = head_pose_from_landmarks(
            labels.landmarks_px, Camera(labels.camera_matrix, size_px=scene.frame_px)
        )
        forward = np.array([0.0, 0.0, -1.0])
        errors.append(
            angle_between(pose.camera_from_head @ forward, labels.camera_from_head @ forward)
        )
    assert float(np.degrees(np.median(errors))) < 6.0


def test_lids_follow_and_blinks_close(studio, person):
    scene = scene_looking(0.0, 0.0)
    opened = labelled(studio, person, scene)
    closed = labelled(studio, person, replace(scene, blink=1.0))
    assert np.all(opened.openness > 0.6)
    assert np.all(closed.openness < 0.25)
    assert (opened.eyes_closed, closed.eyes_closed) == (False, True)


def test_same_seed_same_picture(studio, person):
    other = studio.people.make(Streams(8, 1, 0), PLAIN)

    def draw(who):
        return studio.draw(who, scene_looking(0.1, 0.2), WINDOW)

    first, between, second = draw(person), draw(other), draw(person)
    assert np.array_equal(first.rgba, second.rgba)
    assert np.array_equal(first.labels.landmarks_px, second.labels.landmarks_px)
    assert not np.array_equal(first.rgba, between.rgba)
    assert 0.1 < (first.rgba[..., 3] > 0).mean() < 0.95


def test_landmarks_behind_the_head_are_not_visible(studio, person):
    scene = scene_looking(0.0, -0.9, head=(0.0, -1.0))  # towards the image's right
    labels = studio.draw(person, scene, WINDOW).labels
    assert not labels.visible[12:16].any()  # the person's left cheek, on the far side
    assert labels.visible[1:5].all()
    straight = studio.draw(person, scene_looking(0.0, 0.0), WINDOW).labels
    assert straight.visible[[30, 33, 36, 39, 42, 45, 48, 54, 68, 69]].all()
