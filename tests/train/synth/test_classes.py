"""What each pixel shows: iris, pupil, white, skin and glasses, where the labels say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.train.synth.test_synth import MATRIX, PLAIN, WINDOW, scene_looking
from train.synth.domains import domain
from train.synth.outputs.normalization import CLASS_ROWS, cut_classes
from train.synth.streams import Streams

NOTHING, SKIN, WHITE, IRIS, PUPIL, GLASSES = range(6)
QUIET = {"hand_on_face": False, "object_in_front": False, "sunglasses": False, "squint": False}


@pytest.fixture(scope="module")
def person(studio):
    return replace(studio.people.make(Streams(3, 1, 0), PLAIN), kappa_rad=(0.0, 0.0))


@pytest.mark.parametrize("gaze", [(0.0, 0.0), (0.05, 0.3), (-0.1, -0.35)])
def test_iris_and_pupil_are_where_the_labels_say(studio, person, gaze):
    drawn = studio.draw(person, scene_looking(*gaze), WINDOW)
    labels, classes = drawn.labels, drawn.classes
    y, x = np.indices(classes.shape)
    for eye in range(2):
        center, axis = labels.eye_centers_mm[eye], labels.eye_axes[eye]
        middle = labels.irises_px[eye]
        near = np.hypot(x - middle[0], y - middle[1]) < 20
        at = np.stack([x[near & (classes == PUPIL)], y[near & (classes == PUPIL)]], 1)
        assert len(at) > 4
        assert at.mean(0) == pytest.approx(middle, abs=1.0)
        # Each pixel's ray meets the plane of the entrance pupil inside of the iris, or outside.
        ray = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(MATRIX).T
        plane = center + 10.4 * axis
        hit = ray * ((plane @ axis) / (ray @ axis))[..., None]
        radius = np.linalg.norm(hit - plane, axis=-1)
        pixel_mm = plane[2] / MATRIX[0, 0]
        edge = person.iris_radius_mm
        iris = near & ((classes == IRIS) | (classes == PUPIL))
        assert iris.sum() > 60
        assert radius[iris].max() < edge + pixel_mm
        assert radius[near & (classes == WHITE)].min() > edge - pixel_mm


def test_classes_are_of_the_drawn_kinds_alone(studio, person):
    drawn = studio.draw(person, scene_looking(0.0, 0.0), WINDOW)
    assert drawn.classes.shape == drawn.rgba.shape[:2]
    assert set(np.unique(drawn.classes)) == {NOTHING, SKIN, WHITE, IRIS, PUPIL}
    assert not drawn.classes[drawn.rgba[..., 3] == 0].any()
    x, y = drawn.labels.landmarks_px[30].round().astype(int)
    assert drawn.classes[y, x] == SKIN
    covered = drawn.rgba[..., 3] > 0.99
    assert (covered & (drawn.classes == NOTHING)).sum() > 100  # hair


def test_closed_eyes_show_no_iris(studio, person):
    seen = [
        (studio.draw(person, replace(scene_looking(0.0, 0.0), blink=b), WINDOW).classes == k).sum()
        for b in (0.0, 1.0)
        for k in (IRIS, PUPIL)
    ]
    assert seen[0] + seen[1] > 150
    assert seen[2] + seen[3] == 0


def test_dark_glasses_hide_the_eyes_and_clear_ones_do_not(studio):
    where = domain("laptop")
    for worn in ("glasses", "sunglasses"):
        crop = studio.crop(5, 9, where, switched={**QUIET, worn: True}, clean=True, band=True)
        eyes = [(crop.classes == k).sum() for k in (WHITE, IRIS)]
        x, y = (crop.landmarks_px[68:] - [0, CLASS_ROWS[0]]).round().astype(int).T
        assert (crop.classes == GLASSES).sum() > 150
        if worn == "glasses":
            assert set(crop.classes[y, x]) <= {IRIS, PUPIL}
            assert min(eyes) > 30
        else:
            assert set(crop.classes[y, x]) == {GLASSES}
            assert max(eyes) < 20


def test_a_crop_has_the_nearest_pixel_of_its_picture(studio):
    crop = studio.crop(5, 9, domain("laptop"), band=True)
    assert crop.classes.shape == (112, 224)
    y, x = np.indices(crop.classes.shape)
    at = np.stack([x, y + CLASS_ROWS[0], np.ones_like(x)], -1) @ crop.picture_from_crop.T
    at = np.floor(at[..., :2] / at[..., 2:] + 0.5).astype(int)
    seen = crop.picture.classes
    inside = ((at >= 0) & (at < seen.shape[::-1])).all(-1)
    column, row = np.where(inside[..., None], at, 0)[..., 0], np.where(inside, at[..., 1], 0)
    wanted = np.where(inside, seen[row, column], 0)
    assert (wanted == crop.classes).mean() > 0.995  # OpenCV rounds its homographies to 1/32 px
    assert set(np.unique(crop.classes)) <= set(range(6))
    outside = cut_classes(np.full((4, 4), 3, np.uint8), np.eye(3))
    assert not outside.any()
