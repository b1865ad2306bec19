"""The arithmetic of ``train.photos``, on made-up faces, and all of it on two photographs."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from clipgaze_sdk import Camera, EstimatorOptions, GazeEstimator
from clipgaze_sdk.geometry import vector_from_angles
from train.photos import contact_sheet as photo_sheet
from train.photos import detection as photo_detection
from train.photos import gaze as photo_gaze
from train.photos import landmarks as photo_landmarks
from train.photos import photographs
from train.photos import report as photo_report
from train.photos.__main__ import main
from train.photos.peers import OpenVinoGaze, PeerUnavailableError, from_openvino, sight_from_camera
from train.photos.photographs import gaze_report, mirror_report, photograph
from train.photos.speed import peak_of, peak_rss_mb
from train.photos.stability import followed, spread_deg, still_frames, stillest

BOX = [10.0, 10.0, 50.0, 60.0]


def face_at(pitch_deg: float, yaw_deg: float) -> Any:
    pitch, yaw = np.radians([pitch_deg, yaw_deg])
    gaze = SimpleNamespace(pitch_rad=pitch, yaw_rad=yaw, vector=vector_from_angles([pitch, yaw]))
    return SimpleNamespace(gaze=gaze)


def test_each_box_is_paired_once() -> None:
    near = [12.0, 10.0, 52.0, 60.0]
    assert photo_detection.pairs([near, BOX], [BOX]) == {0: 1}
    assert photo_detection.pairs([BOX], [near, BOX]) == {1: 0}
    assert photo_detection.pairs(np.zeros((0, 4)), [BOX]) == {}
    assert photo_detection.pairs([[200.0, 200.0, 250.0, 260.0]], [BOX]) == {}
    assert photo_detection.iou([0, 0, 2, 1], [1, 0, 3, 1]) == pytest.approx(1 / 3)


def test_boxes_shrink_with_the_picture() -> None:
    image = np.zeros((101, 200, 3), np.uint8)
    image[20:40, 40:80] = 255
    small, boxes = photo_detection.shrunk(image, [[39.5, 19.5, 79.5, 39.5]], 4)
    assert small.shape == (25, 50, 3)
    np.testing.assert_allclose(boxes[0, [0, 2]], [9.5, 19.5])
    np.testing.assert_allclose(boxes[0, [1, 3]], [20 * 25 / 101 - 0.5, 40 * 25 / 101 - 0.5])
    assert small[7, 15, 0] == 255
    assert small[7, 25, 0] == 0


def test_recall_asks_for_faces_that_are_large_enough() -> None:
    images = {"a": np.zeros((200, 200, 3), np.uint8), "b": np.zeros((200, 200, 3), np.uint8)}
    large, small = [20.0, 20.0, 90.0, 120.0], [120.0, 20.0, 150.0, 52.5]
    entries = {
        "a": {"faces": [{"bbox_xyxy_px": large}, {"bbox_xyxy_px": small}]},
        "b": {"faces": [{"bbox_xyxy_px": large}]},
    }

    def find(image: np.ndarray) -> np.ndarray:
        """Finds the small one and something else, and in small copies all."""
        return (
            np.array([small, [0.0, 150.0, 40.0, 190.0]]) if len(image) == 200 else np.zeros((0, 4))
        )

    whole = photo_detection.recall(find, images, entries, 1)
    assert (whole["found"], whole["of"]) == (1, 3)
    assert whole["missed"] == [
        {"photo": "a", "face": 0, "long_side_px": 100},
        {"photo": "b", "face": 0, "long_side_px": 100},
    ]
    # On "b" the small box is unknown too: no reference is there.
    assert len(whole["unknown"]) == 3
    half = photo_detection.recall(find, images, entries, 2)
    assert (half["found"], half["of"]) == (0, 2)  # the small one has 16 px now
    false = photo_detection.false_faces(find, images)
    assert (false["faces"], false["pictures"], false["of_pictures"]) == (4, 2, 2)


def test_eyes_of_a_turned_head_are_measured_by_its_height() -> None:
    points = {"right_eye_outer": [0.0, 0.0], "left_eye_outer": [100.0, 0.0], "chin": [50.0, 120.0]}
    assert photo_landmarks.outer_distance_px(points) == 100.0
    turned = points | {"left_eye_outer": [40.0, 0.0], "chin": [20.0, 120.0]}
    assert photo_landmarks.outer_distance_px(turned) == pytest.approx(0.75 * 120.0)


def test_landmark_errors_by_kind() -> None:
    marks = np.zeros((68, 2), np.float32)
    marks[36], marks[45], marks[8] = (0, 0), (100, 0), (50, 120)
    irises = np.array([[0.0, 3.0], [4.0, 0.0]])
    face: Any = SimpleNamespace(landmarks_px=marks, irises_px=irises)
    names = [n for names in photo_landmarks.KINDS.values() for n in names]
    points = {name: [0.0, 0.0] for name in names}
    points |= {"left_eye_outer": [100.0, 0.0], "chin": [50.0, 120.0], "nose_tip": [0.0, 10.0]}
    errors = photo_landmarks.landmark_errors(face, points)
    assert errors == pytest.approx(
        {"eye corners": 0.0, "irises": 3.5, "nose tip": 10.0, "mouth corners": 0.0, "chin": 0.0}
    )
    rows = [{"photo": "a", "face": 0, "landmark_errors": errors}, {"photo": "b", "face": 1}]
    figures = photo_landmarks.summary(rows)
    assert figures["faces"] == 1
    assert figures["kinds"]["all points"]["mean"] == pytest.approx((2 * 3.5 + 10.0) / 10)
    assert figures["photos"]["a"] == {"kind": "nose tip", "error": pytest.approx(10.0), "face": 0}


def test_the_peers_axes() -> None:
    """Its y is up; a lean of the head, which its crops do not have, is put back."""
    into_camera = from_openvino([0.0, 0.0, -3.0], 20.0)
    np.testing.assert_allclose(into_camera, [0.0, 0.0, -1.0])
    np.testing.assert_allclose(from_openvino([0.0, 1.0, 0.0], 0.0), [0.0, -1.0, 0.0])
    # The top of a head that leans clockwise points right: so does its "up".
    np.testing.assert_allclose(from_openvino([0.0, 1.0, 0.0], 90.0), [1.0, 0.0, 0.0], atol=1e-12)


def test_into_the_camera_is_zero_along_the_line_of_sight() -> None:
    camera = Camera.from_fov(640, 480)
    for point in ([319.5, 239.5], [20.0, 50.0], [600.0, 400.0]):
        sight = sight_from_camera(camera, point)
        np.testing.assert_allclose(sight @ sight.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(sight) == pytest.approx(1.0)
        ray = camera.rays(np.array([point]))[0]
        np.testing.assert_allclose(sight @ (-ray / np.linalg.norm(ray)), [0, 0, -1], atol=1e-12)


def test_gaze_beside_the_peer_and_the_eye() -> None:
    camera = Camera.from_fov(640, 480)
    reference = {
        "points_px": {"right_eye_outer": [309.5, 239.5], "left_eye_outer": [329.5, 239.5]},
        "peer_gaze": {"pitch_rad": 0.0, "yaw_rad": float(np.radians(30.0))},
    }
    mark = {"tags": ["smiling"], "looks": "left", "pitch_deg": 0, "yaw_deg": 25}
    row = photo_gaze.gaze_row(face_at(0.0, 10.0), reference, camera, mark)
    assert row["angle_deg"] == pytest.approx(20.0)
    assert row["angle_as_stored_deg"] == pytest.approx(20.0)
    assert (row["ours_off_deg"], row["peer_off_deg"]) == pytest.approx((15.0, 5.0))
    assert row["nearer"] == "peer"
    assert photo_gaze.nearer(3.0, 7.0) == "even"
    assert photo_gaze.nearer(3.0, 9.0) == "ours"
    unmarked = photo_gaze.gaze_row(face_at(0.0, 10.0), reference, camera)
    figures = photo_gaze.summary([row, unmarked])
    assert figures["all"]["faces"] == 2
    assert (figures["smiling"]["nearer_peer"], figures["smiling"]["judged"]) == (1, 1)
    assert "squinting" not in figures
    # Off the axis the stored answer is not one in the camera frame: 30° here.
    reference["points_px"] = {"right_eye_outer": [-0.5, 239.5], "left_eye_outer": [-0.5, 239.5]}
    aside = photo_gaze.gaze_row(face_at(0.0, 0.0), reference, camera)
    assert aside["ours_deg"][1] == pytest.approx(30.0)
    assert aside["angle_deg"] == pytest.approx(0.0, abs=1e-6)
    assert aside["angle_as_stored_deg"] == pytest.approx(30.0)


def test_mirrored_gaze_is_the_same_gaze() -> None:
    assert photo_gaze.mirror_angle_deg(face_at(5, 20), face_at(5, -20)) == pytest.approx(
        0.0, abs=1e-6
    )
    assert photo_gaze.mirror_angle_deg(face_at(0, 20), face_at(0, -17)) == pytest.approx(3.0)


def test_marks_are_of_annotated_faces(shared_assets: Path) -> None:
    entries = json.loads((shared_assets / "photos.json").read_text())
    annotated = {
        (name, number)
        for name, entry in entries.items()
        for number, face in enumerate(entry["faces"])
        if "points_px" in face
    }
    assert set(photo_gaze.load_marks()) == annotated


def test_spread_and_drift() -> None:
    time = np.linspace(0.0, 1.0, 101)
    tremble = 0.5 * np.where(np.arange(101) % 2, 1, -1)
    spread = spread_deg(np.radians(np.stack([tremble, 10 * time + tremble], axis=1)))
    assert spread["pitch_deg"] == pytest.approx(0.5, rel=0.01)
    assert spread["yaw_deg"] == pytest.approx(np.hypot(10 / 12**0.5, 0.5), rel=0.02)
    assert spread["yaw_without_drift_deg"] == pytest.approx(0.5, rel=0.01)


def test_the_stillest_stretch_has_a_face_throughout() -> None:
    shape = np.zeros((68, 2))
    shape[45] = [50.0, 0.0]
    x = np.array([0, 9, 0, 9, 4, 4, 5, 4, 0, 0, 0, 0, 20], np.float64)
    landmarks = shape + np.stack([x, np.zeros_like(x)], axis=1)[:, None]
    landmarks[10] = np.nan
    found = stillest(landmarks, 4)
    assert found is not None
    start, strayed = found
    assert start == 4
    assert strayed == pytest.approx(0.75 / 50)
    assert stillest(landmarks[8:], 4) is None


def test_a_face_found_again_is_another_stretch() -> None:
    def seen(identity: int) -> Any:
        face = face_at(1.0, 2.0)
        face.landmarks_px, face.track_id = np.zeros((68, 2)), identity
        return SimpleNamespace(faces=(face,))

    results = iter([seen(0), seen(0), SimpleNamespace(faces=()), seen(1), seen(1)])
    estimator: Any = SimpleNamespace(
        reset=lambda: None, estimate=lambda _, timestamp_s: next(results)
    )
    gaze, landmarks = followed(estimator, iter([np.zeros((2, 2, 3), np.uint8)] * 5), 30.0)
    assert np.isfinite(gaze).all(axis=1).tolist() == [True, True, False, True, True]
    assert landmarks.shape == (5, 68, 2)
    results = iter([seen(0), seen(1), seen(1)])
    gaze, _ = followed(estimator, iter([np.zeros((2, 2, 3), np.uint8)] * 3), 30.0)
    assert np.isfinite(gaze).all(axis=1).tolist() == [True, False, True]


def test_still_frames_differ_by_noise_and_less_than_a_pixel() -> None:
    image = np.full((60, 80, 3), 128, np.uint8)
    image[:, 40:] = 200
    first, second = still_frames(image, frames=2)
    assert first.dtype == np.uint8
    assert not np.array_equal(first, second)
    assert np.array_equal(first, next(still_frames(image, frames=1)))
    assert np.std(first[:, :35].astype(float)) == pytest.approx(2.0, abs=0.2)
    np.testing.assert_array_less(np.abs(first[:, :38].astype(float) - 128), 15)
    edges = [
        [int(np.argmax(f[30, :, 0] > 164)) for f in still_frames(image, frames=12, shift_px=shift)]
        for shift in (0.0, 1.5)
    ]
    assert set(edges[0]) == {40}
    assert len(set(edges[1])) > 1


def test_arrows_point_as_the_convention_says() -> None:
    left, up = photo_sheet.tip((100.0, 100.0), (0.0, 90.0)), photo_sheet.tip((100, 100), (90.0, 0))
    assert left[0] < 100
    assert left[1] == 100
    assert up[0] == 100
    assert up[1] < 100
    assert photo_sheet.tip((100, 100), (0.0, 0.0)) == (100, 100)


def test_a_page_is_small_enough(tmp_path: Path) -> None:
    tiles = [np.random.default_rng(k).integers(0, 255, (280, 280, 3), np.uint8) for k in range(6)]
    page = photo_sheet.sheet(tiles, [("ours", photo_sheet.OURS)])
    assert page.shape == (photo_sheet._BAR_PX + 2 * 280, 5 * 280, 3)
    photo_sheet.write_jpeg(tmp_path / "page.jpg", page, most_bytes=600_000)
    assert (tmp_path / "page.jpg").stat().st_size < 600_000


def test_peak_memory() -> None:
    assert peak_rss_mb() > 10
    assert peak_of("1280x720\npeak_rss_mb=12.5\n") == 12.5


def test_two_photographs(shared_assets: Path, tmp_path: Path) -> None:
    """Rows, detectors, the peer and the text of a report, without its slow parts."""
    names = ("film0.jpg", "single_face.jpg")
    entries = {n: json.loads((shared_assets / "photos.json").read_text())[n] for n in names}
    images = photo_detection.read_pictures([shared_assets / "photos" / n for n in names])
    options = EstimatorOptions(max_faces=32, threads=1)
    with GazeEstimator(options=options) as estimator:
        rows = [r for n in names for r in photograph(estimator, n, images[n], entries[n])]
    gaze = gaze_report(rows)
    assert [row["angle_deg"] for row in gaze["rows"]] == sorted(
        (row["angle_deg"] for row in gaze["rows"]), reverse=True
    )
    assert gaze["summary"]["all"]["faces"] == 2
    gaze["peer_run_here"] = {"skipped": "tested elsewhere"}
    detection = photo_detection.compare_detectors(
        shared_assets,
        None,
        images=images,
        empty={"nothing": np.full((90, 120, 3), 127, np.uint8)},
        entries=entries,
        options=options,
        rounds=1,
    )
    assert detection["ours"]["recall"]["1/1"]["of"] == 2
    text = photo_report.markdown(
        {
            "detection": detection,
            "landmarks": photo_landmarks.summary(rows),
            "gaze": gaze,
            "mirror": mirror_report(rows),
            "stability": {"photographs": {"photos": {}}, "clip": {"skipped": "left out"}},
            "speed": {"skipped": "left out"},
        }
    )
    assert "| faces found, shrunk to 1/4 |" in text
    assert "film0.jpg 0" in text
    for line in text.splitlines():
        assert "nan" not in line
    references = {
        (n, 0): (
            entries[n]["faces"][0]["bbox_xyxy_px"],
            photo_gaze.eyes_middle(entries[n]["faces"][0]["points_px"]),
        )
        for n in names
    }
    photo_sheet.write_jpeg(
        tmp_path / "gaze.jpg", photo_sheet.gaze_sheet(gaze["rows"], images, references)
    )
    assert cv2.imread(str(tmp_path / "gaze.jpg")) is not None


def test_the_peer_run_here_answers_as_stored(shared_assets: Path) -> None:
    """Signs, frame, left and right eye: a mistake in any shows as many degrees."""
    try:
        OpenVinoGaze(shared_assets / "peers")
    except PeerUnavailableError as error:
        pytest.skip(str(error))
    names = ("image00.jpg", "src_friends.jpg", "film3.jpg")
    entries = {n: json.loads((shared_assets / "photos.json").read_text())[n] for n in names}
    images = photo_detection.read_pictures([shared_assets / "photos" / n for n in names])
    here = photo_gaze.live_peer(shared_assets, entries, images)
    assert here["faces"] == 4
    assert here["worst_deg"] <= 1.5


def test_without_the_peer_the_report_says_why(tmp_path: Path) -> None:
    here = photo_gaze.live_peer(tmp_path, {}, {})
    assert "openvino" in here["skipped"] or "peers" in here["skipped"]


def test_each_stage_says_what_it_does(tmp_path, monkeypatch, capsys):
    (tmp_path / "photos.json").write_text('{"a.jpg": {"faces": []}}')
    monkeypatch.setattr(photographs, "read_pictures", lambda paths: {p.name: None for p in paths})
    monkeypatch.setattr(photographs, "GazeEstimator", lambda *_, **__: contextlib.nullcontext())
    detection = {"sdk_with_ours": {"false": {"faces": 0}}}
    for name, value in (("speed", {}), ("photograph", []), ("compare_detectors", detection)):
        monkeypatch.setattr(photographs, name, lambda *_, value=value, **__: value)
    for name in ("gaze_report", "mirror_report", "stability_report", "report"):
        monkeypatch.setattr(photographs, name, lambda *_, **__: {})
    monkeypatch.setattr(photographs, "one_face_photos", lambda _: [])
    monkeypatch.setattr(photographs, "markdown", lambda _: "")
    monkeypatch.setattr(photo_landmarks, "summary", lambda _: {})
    monkeypatch.setattr(photo_gaze, "live_peer", lambda *_: {})
    assert main(["--assets", str(tmp_path), "--frames", "5"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in said] == [
        *("reading", "timing", "finding", "comparing", "running", "measuring")
    ]


def test_a_folder_without_photographs_is_refused(tmp_path):
    with pytest.raises(SystemExit, match=r"photos\.json cannot be read"):
        main(["--assets", str(tmp_path)])
