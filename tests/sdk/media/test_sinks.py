from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from clipgaze_sdk._draw import draw_result
from clipgaze_sdk._errors import ConfigurationError, InputError
from clipgaze_sdk.media.sinks import (
    CSV_HEADER,
    CsvSink,
    FolderSink,
    ImageSink,
    JsonlSink,
    VideoSink,
    check_outputs,
    open_sinks,
    write_image,
)
from clipgaze_sdk.media.sources import SourceFrame, SourceKind, open_source
from tests.sdk.example_results import example_face, example_result
from tests.sdk.media.example_media import gradient, write_video


def frame(
    index: int = 0, *, name: str = "a.png", size: tuple[int, int] = (320, 240)
) -> SourceFrame:
    return SourceFrame(gradient(*size), name, index, index / 25.0)


@pytest.mark.parametrize(
    ("kind", "output"),
    [
        ("image", "a.mp4"),
        ("image", "folder"),
        ("folder", "a.jpg"),
        ("folder", "a.avi"),
        ("video", "a.jpg"),
        ("video", "folder"),
        ("camera", "a.png"),
    ],
)
def test_an_output_that_does_not_fit_the_input_is_refused(
    tmp_path: Path, kind: SourceKind, output: str
) -> None:
    cv2.imwrite(str(tmp_path / "picture.png"), gradient())
    with pytest.raises(ConfigurationError, match=r"expected .*\.jsonl, \.csv"):
        check_outputs(str(tmp_path), kind, [tmp_path / output], force=True)


@pytest.mark.parametrize(
    ("kind", "outputs"),
    [
        ("image", ["a.jpg", "a.jsonl", "a.csv"]),
        ("folder", ["out", "a.csv"]),
        ("video", ["a.mp4", "b.avi", "a.jsonl"]),
        ("camera", ["a.mp4"]),
        ("video", []),
    ],
)
def test_outputs_that_fit_are_accepted_and_not_touched(
    tmp_path: Path, kind: SourceKind, outputs: list[str]
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    cv2.imwrite(str(source / "picture.png"), gradient())
    check_outputs(str(source), kind, [tmp_path / output for output in outputs], force=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_an_unknown_suffix_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"suffix '\.xml' is unknown.*\.jsonl"):
        check_outputs("0", "camera", [tmp_path / "a.xml"], force=False)


def test_an_existing_file_needs_force(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("precious")
    with pytest.raises(ConfigurationError, match="--force"):
        check_outputs("0", "camera", [path], force=False)
    check_outputs("0", "camera", [path], force=True)
    assert path.read_text() == "precious"


def test_an_existing_picture_in_the_output_folder_needs_force(tmp_path: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    for folder in (source, output):
        folder.mkdir()
        cv2.imwrite(str(folder / "picture.png"), gradient())
    with pytest.raises(ConfigurationError, match=r"picture\.png.*--force"):
        check_outputs(str(source), "folder", [output], force=False)
    check_outputs(str(source), "folder", [output], force=True)


def test_the_input_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), gradient())
    with pytest.raises(ConfigurationError, match="is the input itself"):
        check_outputs(str(path), "image", [tmp_path / "." / "a.png"], force=True)


def test_the_same_output_twice_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="given twice"):
        check_outputs("0", "camera", [tmp_path / "a.csv", tmp_path / "a.csv"], force=False)
    with pytest.raises(ConfigurationError, match="there is no folder"):
        check_outputs("0", "camera", [tmp_path / "no" / "a.csv"], force=False)


def test_a_file_where_a_folder_belongs_and_the_reverse_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "a.png"), gradient())
    (tmp_path / "out").write_text("a file")
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(ConfigurationError, match="is a file"):
        check_outputs(str(tmp_path / "in"), "folder", [tmp_path / "out"], force=True)
    with pytest.raises(ConfigurationError, match="is a folder"):
        check_outputs("0", "camera", [tmp_path / "a.csv"], force=True)


def test_json_lines_hold_one_frame_each_and_are_on_disk_at_once(tmp_path: Path) -> None:
    sink = JsonlSink(tmp_path / "a.jsonl")
    sink.write(frame(0), example_result(example_face(pitch_deg=10), timestamp_s=0.0))
    sink.write(frame(1), example_result(timestamp_s=0.04))
    lines = (tmp_path / "a.jsonl").read_text().splitlines()  # before close
    sink.close()
    sink.close()
    first, second = map(json.loads, lines)
    assert (first["source"], first["frame"], second["frame"]) == ("a.png", 0, 1)
    assert first["faces"][0]["gaze"]["pitch_rad"] == pytest.approx(np.radians(10))
    assert first["faces"][0]["bbox_px"] == [100.0, 60.0, 180.0, 160.0]
    assert second["faces"] == []
    assert second["timestamp_s"] == 0.04


def test_csv_holds_one_row_a_face(tmp_path: Path) -> None:
    sink = CsvSink(tmp_path / "a.csv")
    faces = (example_face(pitch_deg=10, yaw_deg=-20, track_id=3), example_face(track_id=4))
    sink.write(frame(0), example_result(*faces, timestamp_s=0.0))
    sink.write(frame(1), example_result(timestamp_s=0.04))
    with (tmp_path / "a.csv").open(newline="") as file:  # before close
        rows = list(csv.DictReader(file))
    sink.close()
    assert tuple(rows[0]) == CSV_HEADER
    assert [row["track_id"] for row in rows] == ["3", "4"]
    assert [row["face"] for row in rows] == ["0", "1"]
    first = rows[0]
    assert float(first["gaze_pitch_rad"]) == pytest.approx(np.radians(10), abs=1e-5)
    assert float(first["gaze_yaw_rad"]) == pytest.approx(np.radians(-20), abs=1e-5)
    assert float(first["gaze_x"]) == pytest.approx(0.33682, abs=1e-5)
    assert float(first["origin_z_mm"]) == 600.0
    assert float(first["box_x1_px"]) == 180.0
    assert float(first["head_yaw_rad"]) == 0.0
    assert float(first["eye_openness_left"]) == pytest.approx(0.7)


def test_csv_of_a_picture_leaves_time_and_track_empty(tmp_path: Path) -> None:
    sink = CsvSink(tmp_path / "a.csv")
    sink.write(frame(0), example_result(example_face()))
    sink.close()
    row = (tmp_path / "a.csv").read_text().splitlines()[1]
    assert row.startswith("a.png,0,,0,,0.9000,100.00000,60.00000,")


def test_a_picture_is_written_annotated(tmp_path: Path) -> None:
    result = example_result(example_face(yaw_deg=30))
    sink = ImageSink(tmp_path / "out.png")
    sink.write(frame(0), result)
    sink.close()
    written = cv2.imread(str(tmp_path / "out.png"))
    np.testing.assert_array_equal(written, draw_result(gradient(320, 240), result))


def test_a_folder_is_made_and_keeps_the_names(tmp_path: Path) -> None:
    sink = FolderSink(tmp_path / "out")
    sink.write(frame(0, name="a.png"), example_result())
    sink.write(frame(1, name="b.jpg"), example_result())
    sink.close()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.jpg"]


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_video_keeps_rate_size_and_count(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    sink = VideoSink(path, fps=12.5)
    for index in range(5):
        sink.write(frame(index), example_result(example_face()))
    sink.write(frame(5, size=(160, 120)), example_result())  # the stream changes its size
    sink.close()
    sink.close()
    source = open_source(str(path))
    frames = list(source.frames())
    assert source.fps == pytest.approx(12.5)
    assert len(frames) == 6
    assert frames[-1].image.shape == (240, 320, 3)


def test_a_video_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "no" / "out.avi", fps=25.0)
    with pytest.raises(InputError, match="cannot write video"):
        sink.write(frame(0), example_result())


def test_sinks_follow_the_suffixes(tmp_path: Path) -> None:
    names = ["a.jpg", "a.avi", "a.jsonl", "a.csv", "out"]
    sinks = open_sinks([tmp_path / name for name in names], fps=None)
    kinds = [type(sink) for sink in sinks]
    for sink in sinks:
        sink.close()
    assert kinds == [ImageSink, VideoSink, JsonlSink, CsvSink, FolderSink]


def test_a_file_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write"):
        open_sinks([tmp_path / "a.csv", tmp_path / "no" / "a.jsonl"], fps=None)
    with pytest.raises(InputError, match="cannot write"):
        write_image(tmp_path / "no" / "a.png", gradient())


def test_a_written_video_is_read_back_whole(tmp_path: Path) -> None:
    source = open_source(str(write_video(tmp_path / "in.mp4", frames=8)))
    sink = VideoSink(tmp_path / "out.mp4", fps=source.fps or 0.0)
    for item in source.frames():
        sink.write(item, example_result(size=(160, 120)))
    sink.close()
    assert len(list(open_source(str(tmp_path / "out.mp4")).frames())) == 8
