"""What eyes look like: pupils that follow the light, irises darker than the white, lashes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.train.synth.test_synth import PLAIN, WINDOW, scene_looking
from train.synth.figure.eye_looks import LIGHT_IRISES, eye_look, iris_colors, sclera_color
from train.synth.render.eyes import light_shapes, pixel_mm, pupil_radius
from train.synth.render.lashes import LashShapes
from train.synth.render.scene import PUPILS_MM, sample_pupil
from train.synth.streams import Streams

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
IRIS, PUPIL, WHITE = 3, 4, 2


@pytest.fixture(scope="module")
def person(studio):
    return studio.people.make(Streams(3, 1, 0), PLAIN)


def test_an_iris_is_darker_than_the_white_in_every_person():
    """In photographs it has 0.37 of the light of the white where it is light, 0.17 where dark."""
    shares = {}
    for light in (True, False):
        made = []
        for k in range(200):
            streams = Streams(8, 1, k)
            iris = iris_colors(streams("eyes"), {"light_eyes": light}).mean(0) @ LUMINANCE
            white = sclera_color(streams("white"), streams("sclera")) @ LUMINANCE
            made.append(iris / white)
        shares[light] = np.percentile(made, [0, 50, 100])
    assert shares[True][1] == pytest.approx(0.31, abs=0.05)
    assert shares[False][1] < 0.15
    assert shares[True][2] < 0.65
    assert len(LIGHT_IRISES) == 3


def test_pupils_are_small_in_the_sun_and_large_at_night():
    def typical(kind, **on):
        chosen = {"dark": False, "near_infrared": False} | on
        drawn = [sample_pupil(np.random.default_rng(k), kind, chosen) for k in range(300)]
        assert min(drawn) >= 1.0
        assert max(drawn) <= 3.8
        return float(np.median(drawn))

    assert typical("sun") == pytest.approx(PUPILS_MM["sun"], rel=0.05)
    assert typical("sun") < typical("office") < typical("lamp") < typical("night_street")
    assert typical("office", dark=True) > 1.1 * typical("office")
    assert typical("window", near_infrared=True) == pytest.approx(2.5, rel=0.05)


def test_a_wide_pupil_leaves_some_iris(person):
    scene = replace(scene_looking(0.0, 0.0), pupil_radius_mm=3.8)
    wide = replace(person, eyes=replace(person.eyes, pupil_scale=2.0))
    assert pupil_radius(wide, scene) == pytest.approx(0.68 * person.iris_radius_mm)


def test_the_drawn_pupil_has_its_size(studio, person):
    plain = replace(person, eyes=replace(person.eyes, pupil_scale=1.0))
    areas = []
    for radius in (1.2, 2.4):
        scene = replace(scene_looking(0.0, 0.0), pupil_radius_mm=radius)
        areas.append((studio.draw(plain, scene, WINDOW).classes == PUPIL).sum())
    assert areas[1] / areas[0] == pytest.approx(4.0, rel=0.3)
    # Two pupils of 2.4 mm, 1.2 pixels a millimetre.
    assert areas[1] == pytest.approx(2 * np.pi * (2.4 * 1.2) ** 2, rel=0.25)


def test_an_eye_mirrors_the_lamp_before_it(studio, person):
    """With a lamp beside the camera, the brightest of iris and pupil is far above the rest."""
    scene = scene_looking(0.0, 0.0)
    lamp = replace(
        scene.lighting.lights[0],
        direction=np.array([0.0, -0.1, -0.995]),
        color=np.full(3, 0.6, np.float32),
        size_rad=0.15,
    )
    dark = replace(lamp, color=np.zeros(3, np.float32))
    brightest = []
    for lights in ((lamp, dark, dark), (dark, dark, dark)):
        lit = replace(scene, lighting=replace(scene.lighting, lights=lights))
        drawn = studio.draw(person, lit, WINDOW)
        inside = np.isin(drawn.classes, (IRIS, PUPIL))
        brightest.append(np.sort(drawn.rgba[..., :3].mean(-1)[inside])[-1])
    assert brightest[0] > brightest[1] + 0.25
    shapes = light_shapes(scene)
    assert shapes.shape == (3, 3)
    assert np.isin(shapes[:, 2], (0, 1)).all()


def test_lashes_grow_from_the_lids_and_keep_their_cover(kit, person):
    shapes = LashShapes(kit)
    ahead = np.array([0.0, 0.0, -1.0])
    near, far = (shapes.vertices(person, person.calm, ahead, mm) for mm in (0.02, 2.0))
    assert near.shape == far.shape == (shapes.count, 4)
    assert shapes.triangles.max() == shapes.count - 1
    assert 0 < near[:, 3].max() <= 1.0
    assert near[:, 3].max() > 3 * far[far[:, 3] > 0][:, 3].min()
    # Wider ribbons cover less: the same hair.
    strands = near[:, 3] == 1.0
    assert strands.sum() > 500
    assert far[strands, 3].max() < 0.4
    # Each eye's lashes are around that eye, within a lash's length of its lids.
    marks = person.calm[kit.landmarks]
    for corners in ((36, 39), (42, 45)):
        middle = marks[list(corners)].mean(0)
        mine = np.abs(near[:, 0] - middle[0]) < 26
        assert mine.sum() > 0.4 * len(near)
        assert np.abs(near[mine, 1] - middle[1]).max() < 22
        # Upper ones stand higher (smaller y), out of the face (smaller z).
        assert near[mine, 2].min() < middle[2] - 3


def test_looks_differ_by_person_and_stay_with_the_person():
    hair = np.array([0.05, 0.04, 0.03], np.float32)
    on = {"eye_shadow": False, "feminine": False}
    looks = [eye_look(Streams(1, 1, k), on, hair) for k in range(40)]
    again = eye_look(Streams(1, 1, 7), on, hair)
    assert again.limbus_mm == looks[7].limbus_mm
    assert np.array_equal(again.upper.length_mm, looks[7].upper.length_mm)
    for name in ("limbus_mm", "ring", "collarette", "fibres", "pupil_scale", "redness"):
        values = np.array([getattr(look, name) for look in looks])
        assert values.std() > 0.05, name
    made_up = eye_look(Streams(1, 1, 7), on | {"eye_shadow": True}, hair)
    assert made_up.upper.width_mm > 1.3 * looks[7].upper.width_mm
    assert made_up.lash_color.max() < looks[7].lash_color.max()


def test_a_drawn_pixel_is_half_of_a_picture_s():
    assert pixel_mm(scene_looking(0.0, 0.0)) == pytest.approx(500 / 600 / 2)
