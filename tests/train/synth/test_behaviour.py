"""How rendered people behave: lids, brows, gaze and head go together as people's do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clipgaze_sdk.geometry import angles_from_vector
from train.factors import FACTORS
from train.synth.chances import sample_picture_factors
from train.synth.domains import DOMAINS, domain
from train.synth.figure.lids import FOLLOWS, Lids, sample_lids
from train.synth.render.lids import LOWER, SLIT_MM, UPPER, brow_weights, kept_open
from train.synth.render.looking import FAR_DOWN_DEG, FAR_UP_DEG, FAR_YAW_DEG, direction
from train.synth.render.scene import make_scene, rotation_from_angles
from train.synth.streams import Streams

PLAIN = {f.name: False for f in FACTORS}
EVEN = Lids(follow=0.9, rest_mm=1.0, uneven_mm=0.0, lower=0.0, brow=0.0, brow_uneven=0.0)


@pytest.fixture(scope="module")
def people(studio):
    """Ten people with bare heads."""
    return [studio.people.make(Streams(12, 1, k), PLAIN) for k in range(10)]


def calm(pitch, *, blink=0.0):
    """A calm face half a metre away that looks along a pitch."""
    center = np.array([0.0, 0.0, 500.0])
    return replace(
        make_scene(Streams(3, 2, 0), domain("lab"), PLAIN),
        face_center_mm=center,
        camera_from_head=rotation_from_angles(0.0, 0.0, 0.0),
        target_mm=center + 900 * direction(pitch, 0.0),
        expression={},
        blink=blink,
        lid_shift_mm=np.zeros(2),
        brow_shift=0.0,
    )


def lids_of(studio, person, scene):
    """(2,) heights of the upper and of the lower lids over the middles of their eyes (mm)."""
    posed = studio.renderer.poser.pose(person, scene)
    marks = posed.vertices[studio.kit.landmarks]
    heights = (
        person.eye_centers[:, 1, None] - marks[[[*UPPER[0], *LOWER[0]], [*UPPER[1], *LOWER[1]]], 1]
    )
    return heights[:, :2].mean(1), heights[:, 2:].mean(1), posed


def test_resting_lids_cover_the_top_of_the_iris(studio, people):
    covered = []
    for person in people:
        upper, lower, posed = lids_of(studio, person, calm(0.0))
        iris = -10.4 * posed.axes[:, 1]
        covered += list(iris + person.iris_radius_mm - upper)
        assert np.all(upper - lower > SLIT_MM)
    assert 0.5 < np.median(covered) < 3.0
    assert np.std(covered) > 0.6


def test_lids_differ_while_the_gaze_does_not(studio, people):
    """Another person's lids on the same face: irises, gaze and all else stay."""
    first, second = (replace(people[0], lids=replace(EVEN, rest_mm=rest)) for rest in (0.2, 1.4))
    scene = calm(-0.1)
    low, _, a = lids_of(studio, first, scene)
    high, _, b = lids_of(studio, second, scene)
    assert high - low == pytest.approx([1.2, 1.2], abs=0.02)
    assert np.array_equal(a.axes, b.axes)
    shifted, _, _ = lids_of(studio, first, replace(scene, lid_shift_mm=np.array([0.5, -0.5])))
    assert shifted - low == pytest.approx([0.5, -0.5], abs=0.02)


@pytest.mark.parametrize("follow", [0.5, 1.1])
def test_upper_lids_follow_eyes_by_each_persons_own_rule(studio, people, follow):
    person = replace(people[1], lids=replace(EVEN, follow=follow))
    straight, low, posed = lids_of(studio, person, calm(0.0))
    down, low_down, other = lids_of(studio, person, calm(-0.4))
    iris = -10.4 * (other.axes - posed.axes)[:, 1]
    assert np.all(iris < -3.5)
    assert (down - straight) / iris == pytest.approx([follow, follow], abs=0.03)
    share = (low_down - low) / (down - straight)
    assert np.all((share > 0.3) & (share < 0.75))  # lower lids go down less, but go


def test_a_blink_closes_every_eye_wherever_it_looks(studio, people):
    for person in people:
        for pitch in (-0.5, 0.0, 0.3):
            _, _, posed = lids_of(studio, person, calm(pitch, blink=1.0))
            assert np.all(posed.openness < 0.2)
            _, _, opened = lids_of(studio, person, calm(pitch))
            assert np.all(opened.openness > 0.2)


def test_lids_never_cross():
    gaps = np.array([kept_open(g) for g in np.linspace(-6, 12, 60)])
    assert gaps.min() >= SLIT_MM
    assert np.all(np.diff(gaps) > 0)
    assert kept_open(9.0) == 9.0


def test_smiles_narrow_eyes_from_below(studio, people):
    smile = {f"{n}_{s}": 0.7 for n in ("mouthSmile", "cheekSquint", "eyeSquint") for s in "LR"}
    person = replace(people[2], lids=EVEN)
    upper, lower, _ = lids_of(studio, person, calm(0.0))
    up_smiling, low_smiling, _ = lids_of(studio, person, replace(calm(0.0), expression=smile))
    assert np.all(low_smiling - lower > 1.5)
    assert np.all(np.abs(up_smiling - upper) < 0.8)


def test_people_differ_in_lids_and_brows():
    made = [sample_lids(np.random.default_rng(k)) for k in range(300)]
    follow = np.array([one.follow for one in made])
    assert (follow.min() > FOLLOWS[0], follow.max() < FOLLOWS[1]) == (True, True)
    assert follow.std() > 0.15
    assert np.std([one.rest_mm for one in made]) == pytest.approx(1.2, abs=0.15)


def test_resting_brows_are_neither_raised_nor_frowning(people):
    for brow in (-3.0, -0.5, 0.5, 3.0):
        weights = brow_weights(replace(people[0], lids=replace(EVEN, brow=brow)), 0.0)
        assert max(weights.values()) <= 0.3
        assert (weights["browDown_L"] > 0) == (brow < 0)
        assert (weights["browOuterUp_R"] > 0) == (brow > 0)


def angles_of(preset, count):
    """(N, 4) gaze pitch and yaw, head pitch and yaw about the line of sight, degrees."""
    rows = []
    for index in range(count):
        scene = make_scene(Streams(70, 2, index), preset, PLAIN)
        forward = scene.face_center_mm / np.linalg.norm(scene.face_center_mm)
        right = np.cross([0.0, 1.0, 0.0], forward)
        right /= np.linalg.norm(right)
        turn = np.stack([right, np.cross(forward, right), forward])
        gaze = scene.target_mm - scene.face_center_mm
        facing = scene.camera_from_head @ [0.0, 0.0, -1.0]
        rows.append(
            [
                *angles_from_vector(turn @ gaze / np.linalg.norm(gaze)),
                *angles_from_vector(turn @ facing),
            ]
        )
    return np.degrees(rows)


def test_independent_heads_say_nothing_of_the_gaze():
    rows = angles_of(domain("independent"), 1200)
    assert np.abs(rows[:, 2:]).max() < 32
    assert rows[:, 2:].std(0) == pytest.approx([17.3, 17.3], abs=1.5)
    for k in range(2):
        assert abs(np.polyfit(rows[:, 2 + k], rows[:, k], 1)[0]) < 0.08
    assert rows[:, 0].std() > 10
    assert rows[:, 1].std() > 14


@pytest.mark.parametrize(
    ("name", "most"), [("mix", 0.55), ("lab", 0.75), ("laptop", 0.3), ("phone", 0.2)]
)
def test_heads_say_little_of_the_gaze_elsewhere(name, most):
    rows = angles_of(domain(name), 600)
    assert np.polyfit(rows[:, 2], rows[:, 0], 1)[0] < most


def test_heads_go_back_with_eyes_down_and_the_opposite():
    rows = angles_of(domain("heads_back"), 400)
    back = rows[:, 2] > 0
    assert 0.6 < back.mean() < 0.74
    assert np.all((rows[back, 0] < -9) & (rows[back, 0] > -36))
    assert np.all((rows[back, 2] > 9) & (rows[back, 2] < 36))
    assert np.all((rows[~back, 0] - rows[~back, 2]) > 14)
    low = angles_of(domain("phone"), 400)
    held_low = (low[:, 2] > 10) & (low[:, 0] < -2)
    assert held_low.mean() > 0.15


@pytest.mark.parametrize("name", ["mix", "lab", "independent", "heads_back"])
def test_eyes_turn_no_further_than_they_can(name):
    rows = angles_of(domain(name), 300)
    turned = rows[:, :2] - rows[:, 2:]
    assert turned[:, 0].min() > -FAR_DOWN_DEG - 1
    assert turned[:, 0].max() < FAR_UP_DEG + 1
    assert np.abs(turned[:, 1]).max() < FAR_YAW_DEG + 1


def test_eyes_are_closed_in_a_twentieth_of_the_pictures(studio, people):
    poser = studio.renderer.poser
    openness = []
    for index in range(480):
        preset = DOMAINS[index % len(DOMAINS)]
        person = people[index % len(people)]
        streams = Streams(71, 2, index)
        scene = make_scene(streams, preset, sample_picture_factors(streams, person.factors, preset))
        openness.append(poser.pose(person, scene).openness.mean())
    openness = np.array(openness)
    assert 0.02 < (openness < 0.15).mean() < 0.06
    assert 0.03 < (openness < 0.3).mean() < 0.08
    assert np.median(openness) > 0.75
