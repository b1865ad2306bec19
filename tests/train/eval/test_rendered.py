"""Figures on rendered people: of answers made up for labels made up, and end to end."""

from __future__ import annotations

import json
import tarfile
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from clipgaze_sdk.geometry import vector_from_angles
from train.eval.frozen_set import FORWARD
from train.eval.irises import CORNERS
from train.eval.rendered import main
from train.eval.rendered_people import figures, head_back_eyes_down
from train.eval.sdk_rows import answers, eye_rows, gaze_row, nearest
from train.synth.domains import domain
from train.synth.outputs.shards import Sample, add_member, jpeg

MATRIX = np.array([[960.0, 0, 159.5], [0, 960.0, 119.5], [0, 0, 1]])
EYES_PX = np.array([[[114.5, 119.5], [144.5, 119.5]], [[174.5, 119.5], [204.5, 119.5]]])


def head_of(pitch_deg: float, yaw_deg: float) -> np.ndarray:
    """A head without roll that looks there; its x axis stays level."""
    back = -vector_from_angles(np.radians([pitch_deg, yaw_deg]))
    right = np.cross([0.0, 1.0, 0.0], back)
    right /= np.linalg.norm(right)
    return np.column_stack([right, np.cross(back, right), back])


def sample(gaze_deg: Any, head_deg: Any, *, person: str = "p", iris_off_px: float = 0.0) -> Sample:
    """A face straight before the camera at 600 mm, where a pixel is one of the 224 crop's."""
    marks = np.zeros((68, 2))
    marks[:, 1] = np.linspace(60, 180, 68)
    for eye, (first, second) in enumerate(CORNERS):
        marks[range(36 + 6 * eye, 42 + 6 * eye)] = EYES_PX[eye].mean(0)
        marks[[first, second]] = EYES_PX[eye]
    labels = {
        "gaze": vector_from_angles(np.radians(gaze_deg)).tolist(),
        "camera_from_head": head_of(*head_deg).tolist(),
        "camera_matrix": MATRIX.tolist(),
        "face_center_mm": [0.0, 0.0, 600.0],
        "landmarks_px": marks.tolist(),
        "irises_px": (EYES_PX.mean(1) + [iris_off_px, 0.0]).tolist(),
        "visible": [1] * 70,
        "eyes_closed": False,
        "factors": {"sunglasses": False},
        "domain": "lab",
        "person": person,
        "face_px": 224.0,
    }
    return Sample("x", [np.zeros((240, 320, 3), np.uint8)], None, labels)


def answer(
    true: Sample, said_deg: Any, *, iris_off_px: float = 0.0, lids_off_px: float = 0.0
) -> Any:
    marks = np.array(true.labels["landmarks_px"]) + [0.0, lids_off_px]
    return SimpleNamespace(
        gaze=SimpleNamespace(vector=vector_from_angles(np.radians(said_deg))),
        landmarks_px=marks,
        irises_px=EYES_PX.mean(1) + [iris_off_px, lids_off_px],
    )


def test_a_row_has_what_was_said_and_what_is_true():
    true = sample((-10.0, 25.0), (6.0, 12.0))
    row = gaze_row(answer(true, (-4.0, 25.0)), true)
    got = [
        row[name] for name in ("pitch", "yaw", "head_pitch", "head_yaw", "said_pitch", "said_yaw")
    ]
    assert got == pytest.approx([-10.0, 25.0, 6.0, 12.0, -4.0, 25.0], abs=1e-9)
    assert (row["error"], row["pitch_off"], row["missed"]) == pytest.approx((6.0, 6.0, 0.0))
    assert row["sign_right"] == 1.0
    assert gaze_row(answer(true, (4.0, 25.0)), true)["sign_right"] == 0.0
    missed = gaze_row(None, true)
    assert missed["missed"] == 1.0
    assert np.isnan([missed["error"], missed["said_pitch"]]).all()
    assert set(missed) == set(row)


def test_a_head_that_leans_changes_nothing():
    """The frame is the head's: with head and gaze turned about the line of sight, angles stay."""
    true = sample((-10.0, 25.0), (6.0, 12.0))
    c, s = np.cos(0.4), np.sin(0.4)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    labels = true.labels
    leaning = Sample(
        "x",
        true.frames,
        None,
        labels
        | {
            "gaze": (turn @ labels["gaze"]).tolist(),
            "camera_from_head": (turn @ np.array(labels["camera_from_head"])).tolist(),
        },
    )
    rows = [gaze_row(None, each) for each in (true, leaning)]
    for name in ("pitch", "yaw", "head_pitch", "head_yaw"):
        assert rows[1][name] == pytest.approx(rows[0][name], abs=1e-9)
    assert np.array(labels["camera_from_head"]) @ FORWARD == pytest.approx(
        vector_from_angles(np.radians([6.0, 12.0]))
    )


@pytest.mark.parametrize(
    ("gaze_pitch", "head_pitch", "wanted"),
    [(-12, 5, True), (-6, 3, True), (-4, 6, False), (-12, -2, False), (-5.5, 2, False)],
)
def test_heads_back_with_eyes_down(gaze_pitch, head_pitch, wanted):
    row = gaze_row(None, sample((gaze_pitch, 0), (head_pitch, 0)))
    assert head_back_eyes_down(row) is wanted


def made_up(*, label: float, leak: float, iris: float) -> tuple[list[Any], list[Any]]:
    """Rows of 240 pictures in which that much of label, head and iris offset is said."""
    rng = np.random.default_rng(3)
    gaze, eyes = [], []
    for k in range(240):
        pitch, yaw, head_pitch, head_yaw = rng.uniform(-30, 30, 4)
        off = 0.2 * (yaw - head_yaw) + rng.normal(0, 1.0)
        true = sample((pitch, yaw), (head_pitch, head_yaw), person=str(k // 4), iris_off_px=off)
        said = answer(
            true,
            (label * pitch + leak * head_pitch + 1.0, 0.9 * yaw),
            iris_off_px=iris * off + 0.1 * head_yaw,
            lids_off_px=2.0,
        )
        gaze.append(gaze_row(said if k else None, true))
        eyes += eye_rows(said if k else None, true)
    return gaze, eyes


def test_slopes_leak_and_irises_of_made_up_answers_come_out(capsys):
    new, old = made_up(label=1.0, leak=0.0, iris=1.0), made_up(label=0.6, leak=0.3, iris=0.25)
    told = figures([new, old], draws=60)
    capsys.readouterr()
    visible = told["visible"]["all"]["figures"]
    assert visible["pitch_of_head"]["value"] == pytest.approx(0.0, abs=1e-4)
    assert visible["pitch_of_head"]["against"]["value"] == pytest.approx(0.3, abs=1e-4)
    assert visible["pitch_of_head"]["difference"]["high"] == pytest.approx(-0.3, abs=1e-4)
    assert visible["pitch_of_label"]["against"]["value"] == pytest.approx(0.6, abs=1e-4)
    assert visible["pitch_slope"]["value"] == pytest.approx(1.0, abs=1e-4)
    assert visible["pitch_slope_beyond_20"]["value"] == pytest.approx(1.0, abs=1e-4)
    assert visible["yaw_slope"]["value"] == pytest.approx(0.9, abs=1e-4)
    assert visible["yaw_of_head"]["value"] == pytest.approx(0.0, abs=1e-4)
    assert visible["pitch_bias_deg"]["value"] == pytest.approx(1.0, abs=1e-4)
    assert told["gaze"]["missed_share"]["figures"]["missed_share"]["value"] == pytest.approx(
        1 / 240, abs=1e-5
    )
    back = told["head_back_eyes_down"]["all"]
    assert 20 < back["rows"] < 100
    assert back["figures"]["sign_right_share"]["value"] == 1.0
    assert back["figures"]["pitch_bias_deg"]["value"] == pytest.approx(1.0, abs=1e-4)
    assert back["figures"]["pitch_bias_deg"]["against"]["value"] > 5.0
    irises = told["irises"]["all"]["figures"]
    assert irises["along_slope_head_fixed"]["value"] == pytest.approx(1.0, abs=1e-3)
    assert irises["along_slope_head_fixed"]["against"]["value"] == pytest.approx(0.25, abs=1e-3)
    assert irises["along_correlation_head_fixed"]["value"] > 0.999
    # The head's yaw moves what was said the other way: without holding it fixed, the slope is off.
    assert irises["along_slope"]["against"]["value"] < 0.2
    assert irises["corners_and_lids_mean_px_of_224"]["value"] == pytest.approx(2.0, abs=1e-4)


def test_eyes_that_are_not_seen_have_no_row():
    true = sample((0, 0), (0, 0))
    assert len(list(eye_rows(None, true))) == 2
    true.labels["visible"][CORNERS[0][1]] = 0
    (left,) = eye_rows(answer(true, (0, 0), iris_off_px=3.0), true)
    assert left["left"] == 1.0
    assert (left["along"], left["true_along"], left["iris_px"]) == pytest.approx((0.1, 0.0, 3.0))
    true.labels["eyes_closed"] = True
    assert not list(eye_rows(None, true))


def test_the_nearest_face_is_taken_within_a_third_of_its_size():
    true = sample((0, 0), (0, 0))
    near, far = answer(true, (0, 0), lids_off_px=30.0), answer(true, (0, 0), lids_off_px=90.0)
    assert nearest((far, near), true) is near
    assert nearest((far,), true) is None
    assert nearest((), true) is None


def test_four_pictures_end_to_end(studio, tmp_path, capsys):
    with tarfile.open(tmp_path / "shard-00000.tar", "w") as tar:
        for k in range(4):
            picture = studio.picture(5, 8 * k, domain("laptop"))
            add_member(tar, f"{k}.jpg", jpeg(picture.rgb))
            add_member(tar, f"{k}.json", json.dumps(picture.record).encode())
    found = list(answers(None, tmp_path, limit=None, threads=1))
    assert sum(face is not None for _, face, _ in found) >= 3
    out = tmp_path / "x.json"
    assert main(["--data", str(tmp_path), "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["frozen_set"] is False
    assert 0 < report["gaze"]["all"]["figures"]["error_mean_deg"]["value"] < 40
    assert "quote no figure" in capsys.readouterr().out
