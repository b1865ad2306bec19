"""The renderer: deterministic, and its labels are where the pixels say."""

from __future__ import annotations

import numpy as np
import pytest

from clipgaze_sdk import Camera
from clipgaze_sdk.geometry import (
    angle_between,
    angles_from_vector,
    head_pose_from_landmarks,
    vector_from_angles,
)
from train.demo_media import staged
from train.synth.backgrounds import sample_background
from train.synth.facekit import PARTS, load_facekit
from train.synth.people import sample_person
from train.synth.scene import direction, rotation_from_angles, sample_scene
from train.synth.write import WriteOptions, read_shard, write_shards


def scene_looking(kit, pitch, yaw, *, seed=3):
    rng = np.random.default_rng(seed)
    person = sample_person(rng, kit)
    person.kappa_rad = (0.0, 0.0)
    scene = staged(rng, person, center_mm=(0, 0, 500), head=(0, 0), gaze=(pitch, yaw))
    scene.glasses, scene.size_px = "none", 240
    scene.camera_matrix = np.array([[600.0, 0, 119.5], [0, 600.0, 119.5], [0, 0, 1]])
    return person, scene


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


def test_blend_of_nothing_is_the_mean_face(kit):
    assert np.array_equal(kit.blend(np.zeros(100, np.float32), {}), kit.neutral)


@pytest.mark.parametrize(
    ("pitch", "yaw", "axis", "sign"),
    [(0.0, 0.5, 0, -1), (0.0, -0.5, 0, 1), (0.35, 0.0, 1, -1), (-0.35, 0.0, 1, 1)],
)
def test_irises_move_where_the_gaze_goes(kit, renderer, pitch, yaw, axis, sign):
    """Yaw towards the image's left moves irises to smaller x, pitch up to smaller y."""
    straight = renderer.render(*scene_looking(kit, 0.0, 0.0))[1]
    turned = renderer.render(*scene_looking(kit, pitch, yaw))[1]
    moved = (turned.irises_px - straight.irises_px)[:, axis]
    assert np.all(moved * sign > 2.0)
    assert float(angle_between(turned.gaze, vector_from_angles((pitch, yaw)))) < 0.02


def test_the_iris_label_is_on_the_dark_iris(kit, renderer):
    person, scene = scene_looking(kit, 0.0, 0.25)
    person.iris_colors[:] = 0.02
    rgba, labels = renderer.render(person, scene)
    grey = rgba[..., :3].mean(-1)
    for eye, corners in ((0, (36, 39)), (1, (42, 45))):
        x, y = labels.irises_px[eye].round().astype(int)
        iris = grey[y - 1 : y + 2, x - 1 : x + 2].mean()
        # Looking left, the white is on the right of both irises.
        right = labels.landmarks_px[max(corners, key=lambda k: labels.landmarks_px[k][0])]
        white_x = int((0.55 * x + 0.45 * right[0]).round())
        assert iris < 0.75 * grey[y - 1 : y + 2, white_x - 1 : white_x + 2].mean()


def test_labels_of_the_head_agree_with_its_landmarks(kit, renderer):
    """PnP on the true landmarks finds the true head, as far as its mean face allows."""
    errors = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        person = sample_person(rng, kit)
        labels = renderer.render(person, sample_scene(rng, person, size_px=240))[1]
        pose = head_pose_from_landmarks(
            labels.landmarks_px, Camera(labels.camera_matrix, size_px=(240, 240))
        )
        forward = np.array([0.0, 0.0, -1.0])
        errors.append(
            angle_between(pose.camera_from_head @ forward, labels.camera_from_head @ forward)
        )
    assert float(np.degrees(np.median(errors))) < 6.0


def test_lids_follow_and_blinks_close(kit, renderer):
    person, scene = scene_looking(kit, 0.0, 0.0)
    opened = renderer.render(person, scene)[1].openness
    scene.blink = 1.0
    closed = renderer.render(person, scene)[1].openness
    assert np.all(opened > 0.6)
    assert np.all(closed < 0.25)


def test_same_seed_same_picture(kit, renderer):
    def draw():
        rng = np.random.default_rng([4, 2])
        person = sample_person(rng, kit)
        return renderer.render(person, sample_scene(rng, person, size_px=240))

    (first, labels), (second, again) = draw(), draw()
    assert np.array_equal(first, second)
    assert np.array_equal(labels.landmarks_px, again.landmarks_px)
    assert 0.1 < (first[..., 3] > 0).mean() < 0.95


def test_shards_do_not_depend_on_the_workers(facekit_folder, renderer, tmp_path, monkeypatch):
    del renderer  # asked for so that this skips where nothing can be drawn
    monkeypatch.setattr("train.synth.write.SHARD_SIZE", 3)
    options = WriteOptions(facekit_folder, tmp_path / "a", 4, seed=9, size_px=96, workers=1)
    write_shards(options)
    pictures = [p for s in sorted((tmp_path / "a").glob("*.tar")) for p in read_shard(s)]
    assert [p.labels["index"] for p in pictures] == [0, 1, 2, 3]
    # A shard that is made again alone is the same, byte for byte.
    second = tmp_path / "a" / "shard-00001.tar"
    before = second.read_bytes()
    second.unlink()
    write_shards(options)
    assert second.read_bytes() == before
    assert pictures[0].labels["person"] == pictures[3].labels["person"]


def test_backgrounds_differ_and_fit():
    a, b = (sample_background(np.random.default_rng(k), 90, 50) for k in (1, 2))
    assert a.shape == b.shape == (50, 90, 3)
    assert np.abs(a.astype(int) - b).mean() > 5
