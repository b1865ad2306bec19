"""Figures on real people: of answers made up for faces that look into the lens, and end to end."""

from __future__ import annotations

import functools
import json
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from clipgaze_sdk import Camera
from clipgaze_sdk.geometry import vector_from_angles
from train.eval.over_people import section
from train.eval.real import main
from train.eval.real_people import (
    IRISES,
    LENS,
    MIRROR,
    PUPILS,
    iris_rows,
    lens_row,
    look_at_lens,
    look_at_photographs,
)
from train.photos.stability import photograph_stability

CAMERA = Camera.from_fov(640, 480)
CORNERS_PX = np.array([[[280.0, 240.0], [310.0, 240.0]], [[330.0, 240.0], [360.0, 240.0]]])
POINTS = {
    "right_eye_outer": [280, 240],
    "right_eye_inner": [310, 240],
    "left_eye_inner": [330, 240],
    "left_eye_outer": [360, 240],
}


def sight(center: np.ndarray) -> np.ndarray:
    """Right, down and forward of who looks along the line of sight, as rows."""
    forward = center / np.linalg.norm(center)
    down = np.cross(forward, [1.0, 0, 0])
    down /= np.linalg.norm(down)
    return np.stack([np.cross(down, forward), down, forward])


def face(
    center: Any = (0.0, 0, 600),
    *,
    off_deg: Any = (0.0, 0.0),
    head_deg: Any = (0.0, 0.0),
    irises: Any = ((295.0, 240.0), (345.0, 240.0)),
) -> Any:
    """A face whose gaze and head are so far from the line of sight to its centre."""
    center = np.array(center, float)
    to_camera = sight(center)
    vector = to_camera.T @ vector_from_angles(np.radians(off_deg))
    into_head = -to_camera.T @ vector_from_angles(np.radians(head_deg))
    marks = np.zeros((68, 2))
    marks[[36, 39, 42, 45]] = CORNERS_PX.reshape(4, 2)
    angles = dict(zip(("pitch_rad", "yaw_rad"), np.radians(off_deg), strict=True))
    return SimpleNamespace(
        gaze=SimpleNamespace(vector=vector, origin_mm=center, **angles),
        head_pose=SimpleNamespace(camera_from_head=np.column_stack([np.zeros((3, 2)), into_head])),
        landmarks_px=marks,
        irises_px=np.array(irises),
        bbox_px=np.array([270.0, 200, 370, 330]),
    )


class Fake:
    """An estimator that says the faces that it was given, one list a call."""

    def __init__(self, *answers: list[Any]) -> None:
        self.answers = list(answers)

    def estimate(self, image: np.ndarray) -> Any:
        return SimpleNamespace(faces=self.answers.pop(0), camera=CAMERA)


@pytest.mark.parametrize("center", [(0, 0, 600), (150, -90, 500), (-200, 100, 700)])
def test_the_gaze_is_measured_from_the_line_of_sight(center):
    row = lens_row(face(center, off_deg=(3.0, -4.0), head_deg=(12.0, 5.0)), CAMERA)
    assert (row["pitch_deg"], row["yaw_deg"]) == pytest.approx((3.0, -4.0), abs=1e-6)
    assert row["head_pitch_deg"] == pytest.approx(12.0, abs=1e-6)
    assert row["angle_deg"] == pytest.approx(5.0, abs=0.01)
    assert set(lens_row(None, CAMERA)) == set(row)


def test_bias_spread_and_leak_of_made_up_answers_come_out(tmp_path):
    """Pitch is 2 + 0.3 of the head's, smiling ones 1 more; irises 4 % of the eye's width off."""
    rng = np.random.default_rng(1)
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((480, 640, 3), np.uint8))
    labels, answers, pitch = [], [], []
    for k in range(120):
        smiling, head = k % 2, rng.normal(0, 8)
        pitch.append(2.0 + 0.3 * head + smiling)
        pupil = [] if smiling else ["295", "240", "345", "240"]
        names = ("right_pupil_x", "right_pupil_y", "left_pupil_x", "left_pupil_y")
        labels.append(
            {"image": "a.png", "person": f"p{k // 2}", "look": ("neutral", "smiling")[smiling]}
            | dict.fromkeys(names, "")
            | dict(zip(names, pupil, strict=False))
        )
        said = face(
            off_deg=(pitch[-1], -1.0), head_deg=(head, 0.0), irises=[[296.2, 240], [345, 241.2]]
        )
        answers.append([said] if k < 118 else [])
    rows = look_at_lens(Fake(*answers), tmp_path, labels)  # type: ignore[arg-type]
    told = section("lens", [rows["lens"]], LENS, by="look", draws=30)
    assert told["missed_share"]["figures"]["missed_share"]["value"] == pytest.approx(
        2 / 120, abs=1e-5
    )
    found = np.array(pitch[:118])
    figures = {group: part["figures"] for group, part in told.items()}
    assert figures["all"]["pitch_spread_deg"]["value"] == pytest.approx(found.std(ddof=1), abs=1e-4)
    assert figures["neutral"]["pitch_slope_on_head"]["value"] == pytest.approx(0.3, abs=1e-4)
    assert figures["smiling"]["pitch_correlation_with_head"]["value"] == pytest.approx(
        1.0, abs=1e-4
    )
    biases = [figures[look]["pitch_bias_deg"]["value"] for look in ("neutral", "smiling")]
    assert biases == pytest.approx([found[::2].mean(), found[1::2].mean()], abs=1e-4)
    assert figures["all"]["yaw_bias_deg"]["value"] == pytest.approx(-1.0, abs=1e-4)
    assert figures["all"]["yaw_spread_deg"]["value"] == pytest.approx(0.0, abs=1e-4)
    assert len(rows["pupils"]) == 120
    told = section("pupils", [rows["pupils"]], PUPILS, draws=30)
    assert told["all"]["figures"]["iris_error_median_percent"]["value"] == pytest.approx(
        4.0, abs=1e-4
    )


def test_irises_are_held_against_mediapipes_along_the_eye():
    points = POINTS | {"right_iris": [301, 240], "left_iris": [339, 243]}
    right, left = iris_rows(face(irises=[[298.0, 241], [342, 240]]), points)
    assert (right["along"], right["their_along"]) == pytest.approx((0.1, 0.2))
    assert (left["along"], left["their_along"]) == pytest.approx((-0.1, -0.2))
    assert (left["inwards"], left["their_inwards"]) == pytest.approx((0.1, 0.2))
    assert (left["their_across"], right["across"]) == pytest.approx((0.1, 1 / 30))
    assert [row["missed"] for row in iris_rows(None, points)] == [1.0, 1.0]


def test_photographs_of_made_up_faces():
    """Irises at half of MediaPipe's offsets, and a mirrored gaze that is 3 degrees off in yaw."""
    images = {f"{k}.jpg": np.zeros((480, 640, 3), np.uint8) for k in range(5)}
    entries: dict[str, Any] = {}
    answers = []
    for k, name in enumerate(images):
        off = 3.0 * (k - 2)
        points = POINTS | {"right_iris": [295 + off, 240], "left_iris": [345 + off, 240]}
        box = [270.0, 200.0, 370.0, 330.0]
        entries[name] = {
            "faces": [{"bbox_xyxy_px": box, "points_px": points}, {"bbox_xyxy_px": box}]
        }
        answers.append(
            [face(off_deg=(1.0, 5.0), irises=[[295 + off / 2, 240], [345 + off / 2, 240]])]
        )
        answers.append([face(off_deg=(1.0, -8.0))] if k else [])
    rows = look_at_photographs(Fake(*answers), images, entries)  # type: ignore[arg-type]
    figures = section("irises", [rows["irises"]], IRISES, draws=30)["all"]["figures"]
    assert figures["along_correlation"]["value"] == pytest.approx(1.0)
    assert figures["along_slope"]["value"] == pytest.approx(0.5)
    told = section("mirror", [rows["mirror"]], MIRROR, draws=30)
    assert told["missed_share"]["figures"]["missed_share"]["value"] == pytest.approx(0.2)
    assert told["all"]["figures"]["mirror_median_deg"]["value"] == pytest.approx(3.0, abs=0.01)


def test_four_pictures_end_to_end(shared_assets, tmp_path, capsys, monkeypatch):
    if not (shared_assets / "lens" / "labels.csv").is_file():
        pytest.skip("lens/ is not among the shared assets")
    few = functools.partial(photograph_stability, frames=5)
    monkeypatch.setattr("train.eval.real_people.photograph_stability", few)
    out = tmp_path / "real.json"
    assert main(["--assets", str(shared_assets), "--limit", "4", "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["lens"]["all"]["rows"] == 4
    assert 0 < report["lens"]["all"]["figures"]["angle_mean_deg"]["value"] < 15
    assert report["pupils"]["all"]["figures"]["iris_error_median_percent"]["value"] < 15
    assert report["mirror"]["all"]["people"] == 4
    assert "angle_mean_deg" in capsys.readouterr().out


def test_a_folder_without_the_pictures_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="give --assets as --help says"):
        main(["--assets", str(tmp_path)])
