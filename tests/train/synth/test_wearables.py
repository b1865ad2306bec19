"""Worn and held things fit the people whom they are made for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from train.synth.figure.facekit import HEAD_FROM_FACEKIT, NARROW_FACE_VERTICES, PARTS
from train.synth.streams import Streams
from train.synth.worn.fitting import anatomy
from train.synth.worn.glasses_design import draw_design
from train.synth.worn.hands import FIST, OPEN, pose_hand
from train.synth.worn.headwear import HATS
from train.synth.worn.occluders import GESTURES, occluders
from train.synth.worn.skull import Head
from train.synth.worn.wearables import clothes, glasses, headwear, mask

PEOPLE = 20


@pytest.fixture(scope="module")
def people(kit):
    """(PEOPLE, 26719, 3) expressionless people in the head frame."""
    found = []
    for seed in range(PEOPLE):
        identity = np.random.default_rng(seed).normal(0, 0.85, 100).astype(np.float32)
        raw = kit.blend(identity, {})
        marks = raw[kit.landmarks]
        origin = (marks[[36, 39, 42, 45]].mean(0) + marks[[31, 35]].mean(0)) / 2
        found.append(((raw - origin) @ HEAD_FROM_FACEKIT).astype(np.float32))
    return np.array(found)


def every_set(kit, calm, seed):
    """Parts of one of everything, by name."""
    streams = Streams(7, seed)
    marks = calm[kit.landmarks]
    skin = np.array([0.4, 0.25, 0.18], np.float32)
    sets = {name: headwear(streams, kit, calm, {name: True}) for name in HATS}
    sets["glasses"] = glasses(streams, kit, calm, {"glasses": True})
    sets["sunglasses"] = glasses(streams, kit, calm, {"sunglasses": True, "thick_frame": True})
    sets["mask"] = mask(streams, kit, calm, {"face_mask": True})
    sets["clothes"] = clothes(streams, kit, calm, {})
    for name in ("hand_on_face", "object_in_front"):
        sets[name] = occluders(streams, marks, {name: True}, skin)
    return sets


def test_every_mesh_is_sound_and_small(kit, people):
    most = {"glasses": 5000, "sunglasses": 5000, "hand_on_face": 3600, "object_in_front": 7500}
    for seed in range(6):
        for name, parts in every_set(kit, people[seed], seed).items():
            assert parts, name
            count = 0
            for part in parts:
                mesh = part.mesh
                assert mesh.vertices.dtype == mesh.normals.dtype == np.float32, name
                assert mesh.triangles.dtype == np.int32, name
                assert np.isfinite(mesh.vertices).all(), name
                assert np.abs(mesh.vertices).max() < 700, name
                length = np.linalg.norm(mesh.normals, axis=1)
                assert np.quantile(np.abs(length - 1), 0.99) < 0.02, name
                assert mesh.triangles.max() < len(mesh.vertices), name
                assert part.color.shape == (3,), name
                assert 0 <= part.color.min() <= part.color.max() <= 1.2, name
                count += len(mesh.triangles)
            assert count <= most.get(name, 4200), (name, count)


def test_nothing_is_worn_that_is_not_asked_for(kit, people):
    streams, calm = Streams(1, 2), people[0]
    assert glasses(streams, kit, calm, {"thick_frame": True}) == []
    assert headwear(streams, kit, calm, {"cap": False}) == []
    assert mask(streams, kit, calm, {}) == []
    assert occluders(streams, calm[kit.landmarks], {}, np.ones(3, np.float32)) == []


def test_glasses_sit_before_the_eyes(kit, people):
    for seed, calm in enumerate(people):
        parts = glasses(Streams(3, seed), kit, calm, {"glasses": True})
        cornea = min(calm[slice(*PARTS[f"eyeball_{s}"]), 2].min() for s in ("left", "right"))
        lenses = parts[-1]
        assert lenses.mesh.vertices[:, 2].max() < cornea - 2
        eyes = calm[kit.landmarks][[36, 39, 42, 45]]
        for side in (-1, 1):
            lens = lenses.mesh.vertices[lenses.mesh.vertices[:, 0] * side > 0]
            middle = eyes[eyes[:, 0] * side > 0].mean(0)
            low, high = lens.min(0), lens.max(0)
            assert low[0] + 4 < middle[0] < high[0] - 4
            assert low[1] - 6 < middle[1] < high[1] - 4
            front = lens[np.argmin(np.hypot(*(lens - middle)[:, :2].T))]
            assert 11 < cornea - front[2] < 34  # vertex distance; more on strong noses and brows
            assert 42 < high[0] - low[0] < 61
            assert 26 < high[1] - low[1] < 60


def test_rims_neither_cut_nor_float(kit, people):
    """No point of a rim is in the face, and the bridge is near the nose."""
    for seed, calm in enumerate(people):
        frame = glasses(Streams(4, seed), kit, calm, {"glasses": True, "thick_frame": True})[0]
        face = calm[anatomy(kit).front]
        v = frame.mesh.vertices
        v = v[(np.abs(v[:, 0]) < 60) & (v[:, 2] < 8)]
        near = np.hypot(v[:, None, 0] - face[:, 0], v[:, None, 1] - face[:, 1]) < 2.0
        depth = np.where(near, v[:, None, 2] - face[:, 2], -np.inf).max(1)
        assert np.quantile(depth, 0.98) < 1.5, seed
        bridge = v[np.abs(v[:, 0]) < 3]
        nose = face[(np.abs(face[:, 0]) < 3)]
        gap = np.linalg.norm(bridge[:, None] - nose, axis=-1).min()
        assert gap < 14, (seed, gap)


def test_temples_reach_the_ears(kit, people):
    body = anatomy(kit)
    for seed, calm in enumerate(people[:8]):
        parts = glasses(Streams(5, seed), kit, calm, {"glasses": True})
        v = np.vstack([p.mesh.vertices for p in parts])
        for side in (-1, 1):
            notch = calm[body.vertex(side * 77, -30, 94)]
            assert np.linalg.norm(v - notch, axis=1).min() < 8


def test_lenses_have_a_sphere_s_normals(kit, people):
    parts = glasses(Streams(6, 0), kit, people[0], {"sunglasses": True})
    lens = parts[-1].mesh
    half = len(lens.vertices) // 2
    for part in (slice(0, half), slice(half, None)):
        v, n = lens.vertices[part].astype(float), lens.normals[part].astype(float)
        shape = np.linalg.lstsq(
            np.column_stack([v - v.mean(0), np.ones(half)]), n[:, :2], rcond=None
        )[0]
        fitted = np.column_stack([v - v.mean(0), np.ones(half)]) @ shape
        assert np.abs(fitted - n[:, :2]).max() < 0.02  # linear in place, as on a sphere
        assert n[:, 2].max() < -0.7


def test_flags_change_their_own_thing_only(kit, people):
    def get(on):
        return glasses(Streams(8, 3), kit, people[3], {"glasses": True, **on})

    plain, tinted, mirrored = get({}), get({"tinted_lenses": True}), get({"lens_reflections": True})
    for other in (tinted, mirrored):
        for a, b in zip(plain[:-1], other[:-1], strict=True):
            assert np.array_equal(a.mesh.vertices, b.mesh.vertices)
    assert plain[-1].alpha < 0.1 < 0.15 <= tinted[-1].alpha <= 0.5
    assert plain[-1].reflection <= 0.1 < 0.35 <= mirrored[-1].reflection
    assert not plain[-1].hides
    dark = glasses(Streams(8, 3), kit, people[3], {"sunglasses": True})[-1]
    assert dark.hides
    assert 0.75 <= dark.alpha <= 0.98
    thin = draw_design(Streams(8, 3)("glasses"), thick=False, sun=False)
    thick = draw_design(Streams(8, 3)("glasses"), thick=True, sun=False)
    assert thick.rim[0] >= 5.0 > thin.rim[0]
    assert (thick.lens, thick.bridge, thick.drop) == (thin.lens, thin.bridge, thin.drop)


@pytest.mark.parametrize("name", HATS)
def test_hats_are_outside_of_the_skull(kit, people, name):
    for seed, calm in enumerate(people):
        head = Head(kit, calm)
        parts = headwear(Streams(9, seed), kit, calm, {name: True})
        v = np.vstack([p.mesh.vertices for p in parts]).astype(float)
        ray = v - head.center
        length = np.linalg.norm(ray, axis=1)
        azimuth, elevation = np.arctan2(ray[:, 0], -ray[:, 2]), np.arcsin(-ray[:, 1] / length)
        above = elevation > np.radians(5)
        skin = head.lifted(azimuth[above], elevation[above], np.zeros(above.sum()))
        inside = np.linalg.norm(skin - head.center, axis=1) - length[above]
        assert inside.max() < 3.0, (seed, inside.max())


@pytest.mark.parametrize("name", ["cap", "brimmed_hat", "beanie", "helmet"])
def test_brims_are_above_the_eyes(kit, people, name):
    for seed, calm in enumerate(people):
        eyes = calm[kit.landmarks][36:48]
        parts = headwear(Streams(10, seed), kit, calm, {name: True})
        # The chin's straps of a helmet may pass below.
        v = np.vstack([p.mesh.vertices for p in parts])
        front = v[(np.abs(v[:, 0]) < 45) & (v[:, 2] < 30)]
        if name == "helmet":
            front = front[front[:, 1] < 60]
        assert front[:, 1].max() < eyes[:, 1].min() - 3, (seed, front[:, 1].max())


def test_the_mask_follows_the_jaw(kit, people):
    raw = kit.blend(np.zeros(100, np.float32), {})
    marks = raw[kit.landmarks]
    origin = (marks[[36, 39, 42, 45]].mean(0) + marks[[31, 35]].mean(0)) / 2
    low = []
    for jaw in (0.0, 0.8):
        raw = kit.blend(np.zeros(100, np.float32), {"jawOpen": jaw})
        posed = ((raw - origin) @ HEAD_FROM_FACEKIT).astype(np.float32)
        cloth = mask(Streams(12, 0), kit, posed, {"face_mask": True})[0].mesh.vertices
        chin, nose, mouth = posed[kit.landmarks[[8, 30, 57]]]
        for point in (chin, nose, mouth):
            near = cloth[np.hypot(*(cloth - point)[:, :2].T) < 6]
            assert near[:, 2].min() < point[2] - 1
        low.append(cloth[:, 1].max())
    assert low[1] > low[0] + 5


def test_clothes_cover_the_shoulders_and_leave_the_face(kit, people):
    body = anatomy(kit)
    for seed, calm in enumerate(people):
        v = np.vstack([p.mesh.vertices for p in clothes(Streams(13, seed), kit, calm, {})])
        chin = calm[kit.landmarks[8]]
        assert v[:, 1].min() > chin[1] - 40
        front = v[(np.abs(v[:, 0]) < 20) & (v[:, 2] < 40)]
        assert front[:, 1].min() > chin[1]
        shoulder = calm[body.vertex(115, 145, 140)]
        assert np.ptp(v[:, 0]) > 2 * abs(shoulder[0])


def test_hands_have_five_fingers_and_mirror():
    right = pose_hand(OPEN, np.zeros(8), left=False)
    left = pose_hand(OPEN, np.zeros(8), left=True)
    assert right.tips[:, 0] == pytest.approx(-left.tips[:, 0])
    assert right.tips[2, 1] == pytest.approx(188, abs=6)  # wrist to the middle fingertip
    assert np.ptp(right.skin.vertices[:, 0]) == pytest.approx(150, abs=25)
    fist = pose_hand(FIST, np.zeros(8), left=False)
    assert fist.skin.vertices[:, 1].max() < right.skin.vertices[:, 1].max() - 60


@pytest.mark.parametrize("gesture", [g for g in GESTURES if g.touches])
def test_hands_touch_the_face(kit, people, monkeypatch, gesture):
    """A touching hand is near the skin and not deep inside it."""
    monkeypatch.setattr("train.synth.worn.occluders.GESTURES", (gesture,))
    for seed, calm in enumerate(people[:3]):
        marks, skin = calm[kit.landmarks], np.full(3, 0.3, np.float32)
        v = occluders(Streams(14, seed), marks, {"hand_on_face": True}, skin)[0].mesh.vertices
        face = calm[:NARROW_FACE_VERTICES]
        gap, nearest = cKDTree(face).query(v)
        assert gap.min() < 14
        outward = face - np.array([0.0, 12.0, 85.0])
        outward /= np.linalg.norm(outward, axis=1, keepdims=True)
        depth = (face[nearest] - v) * outward[nearest]
        assert not (gap < 14).any() or np.quantile(depth.sum(1)[gap < 14], 0.9) < 13


def test_a_thing_in_front_is_between_face_and_camera(kit, people):
    calm = people[0]
    for seed in range(14):
        toward = np.array([0.5, 0.1, -0.85])
        parts = occluders(
            Streams(15, seed),
            calm[kit.landmarks],
            {"object_in_front": True},
            np.ones(3, np.float32),
            tuple(toward),
        )
        v = parts[0].mesh.vertices
        mouth = calm[kit.landmarks][48:60].mean(0)
        assert ((v - mouth) @ toward).max() > 3
