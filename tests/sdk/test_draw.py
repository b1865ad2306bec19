from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from clipgaze_sdk._draw import draw_result, label_text
from clipgaze_sdk._errors import InputError
from tests.sdk.example_results import example_face, example_result

AMBER = np.array([0, 190, 255])


def arrow_pixels(image: np.ndarray) -> np.ndarray:
    """(N, 2) x, y of the pixels in the arrow's colour."""
    ys, xs = np.nonzero(np.abs(image.astype(int) - AMBER).sum(axis=2) < 30)
    return np.stack([xs, ys], axis=1)


def blank(value: int = 0, size: tuple[int, int] = (320, 240)) -> np.ndarray:
    return np.full((size[1], size[0], 3), value, np.uint8)


@pytest.mark.parametrize(
    ("pitch_deg", "yaw_deg", "side"),
    [
        (0, 40, (-1, 0)),  # positive yaw: to the image's left
        (0, -40, (1, 0)),
        (40, 0, (0, -1)),  # positive pitch: up
        (-40, 0, (0, 1)),
    ],
)
def test_the_arrow_points_where_the_person_looks(
    pitch_deg: float, yaw_deg: float, side: tuple[int, int]
) -> None:
    face = example_face(pitch_deg=pitch_deg, yaw_deg=yaw_deg)
    image = draw_result(blank(), example_result(face))
    away = arrow_pixels(image) - face.landmarks_px[0]
    along = away @ np.array(side)
    assert along.max() == pytest.approx(100 * np.sin(np.radians(40)), abs=5)
    assert along.min() > -12  # only the dot at the tail


def test_the_tip_lies_where_pitch_and_yaw_together_say() -> None:
    pitch, yaw = np.radians((17, -29))
    face = example_face(pitch_deg=17, yaw_deg=-29)
    away = arrow_pixels(draw_result(blank(), example_result(face))) - face.landmarks_px[0]
    tip = away[np.argmax(np.linalg.norm(away, axis=1))]
    expected = (-100 * np.sin(yaw) * np.cos(pitch), -100 * np.sin(pitch))
    np.testing.assert_allclose(tip, expected, atol=5)
    assert tip[0] > 0 > tip[1]  # to the image's right, and up


def test_a_gaze_into_the_camera_is_a_dot() -> None:
    face = example_face()
    pixels = arrow_pixels(draw_result(blank(), example_result(face)))
    assert len(pixels) > 4
    assert np.abs(pixels - face.landmarks_px[0]).max() < 8


def test_mirroring_the_result_mirrors_the_arrow() -> None:
    left = example_face(pitch_deg=15, yaw_deg=30, box=(120, 60, 200, 160))
    right = example_face(pitch_deg=15, yaw_deg=-30, box=(119, 60, 199, 160))
    one = arrow_pixels(draw_result(blank(), example_result(left)))
    two = arrow_pixels(draw_result(blank(), example_result(right)))
    np.testing.assert_allclose(319 - one[:, 0].mean(), two[:, 0].mean(), atol=1.5)
    np.testing.assert_allclose(one[:, 1].mean(), two[:, 1].mean(), atol=1.5)


def test_the_picture_itself_is_left_alone() -> None:
    image = blank(80)
    image.setflags(write=False)
    drawn = draw_result(image[:, ::-1], example_result(example_face()))
    assert drawn.flags.writeable
    assert (image == 80).all()
    assert (drawn != 80).any()


def test_nobody_in_view_draws_nothing() -> None:
    image = blank(80)
    np.testing.assert_array_equal(draw_result(image, example_result()), image)


@pytest.mark.parametrize("value", [0, 255])
def test_lines_stand_out_on_dark_and_on_light(value: int) -> None:
    drawn = draw_result(blank(value), example_result(example_face(yaw_deg=30))).astype(int)
    changed = drawn[np.abs(drawn - value).sum(axis=2) > 300]
    assert len(changed) > 800


def test_lines_grow_with_the_picture() -> None:
    small = example_face(yaw_deg=30, box=(300, 180, 540, 480))
    large = example_face(yaw_deg=30, box=(900, 540, 1620, 1440))
    changed = [
        (draw_result(blank(80, size), example_result(face, size=size)) != 80).any(axis=2).mean()
        for face, size in ((small, (960, 720)), (large, (2880, 2160)))
    ]
    assert changed[1] == pytest.approx(changed[0], rel=0.3)


def test_landmarks_are_drawn_on_request() -> None:
    result = example_result(example_face(yaw_deg=60))
    plain = draw_result(blank(), result)
    dotted = draw_result(blank(), result, landmarks=True)
    assert (plain != dotted).any()


@pytest.mark.parametrize(
    "box",
    [(-50, -40, 30, 60), (300, 200, 420, 330), (0, 0, 319, 239), (1e7, 1e7, 2e7, 2e7)],
)
def test_a_face_partly_outside_is_drawn_without_complaint(
    box: tuple[float, float, float, float],
) -> None:
    face = example_face(box=box, yaw_deg=80, track_id=12)
    assert draw_result(blank(), example_result(face)).shape == (240, 320, 3)


def test_the_label_says_identity_and_degrees() -> None:
    assert label_text(example_face(pitch_deg=4.4, yaw_deg=-12)) == "pitch +4 yaw -12 deg"
    assert label_text(example_face(track_id=3)) == "#3 pitch +0 yaw +0 deg"


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"shape \(4, 4\); expected \(H, W, 3\)"),
        (np.zeros((4, 4, 3), np.float32), "dtype float32; expected uint8"),
        (np.zeros((4, 4, 4), np.uint8), "alpha"),
        (np.zeros((0, 0, 3), np.uint8), "empty"),
        (None, "image is None"),
        ([1], "image is a list"),
    ],
)
def test_only_bgr_pictures_are_drawn_on(image: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        draw_result(image, example_result())


def test_only_results_are_drawn() -> None:
    with pytest.raises(InputError, match="result is a list; expected the FrameResult"):
        draw_result(blank(), [])  # type: ignore[arg-type]
