from __future__ import annotations

import csv
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from clipgaze_sdk._draw import draw_result
from clipgaze_sdk._errors import ConfigurationError, InputError
from clipgaze_sdk.media.pictures import write_image
from clipgaze_sdk.media.sinks import (
    CSV_HEADER,
    LineSink,
    PictureSink,
    VideoSink,
    check_outputs,
    open_sink,
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
    with pytest.raises(ConfigurationError, match=r"expected .*\.jsonl or \.csv"):
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


def test_an_unknown_suffix_is_refused_with_those_that_fit_the_input(tmp_path: Path) -> None:
    for name in ("a.xml", "a.mkv"):
        with pytest.raises(ConfigurationError, match=r"expected a video .*\.jsonl") as caught:
            check_outputs("0", "camera", [tmp_path / name], force=False)
        assert "image" not in str(caught.value)


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


def test_links_to_the_input_are_the_input(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), gradient())
    os.link(path, tmp_path / "hard.png")
    (tmp_path / "soft.png").symlink_to("a.png")
    for name in ("hard.png", "soft.png"):
        with pytest.raises(ConfigurationError, match=f"{name}.*is the input itself.*a.png"):
            check_outputs(str(path), "image", [tmp_path / name], force=True)


def test_links_to_the_inputs_in_an_output_folder_are_the_input(tmp_path: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    for folder in (source, output):
        folder.mkdir()
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(source / name), gradient())
    (output / "b.png").symlink_to("../in/a.png")
    with pytest.raises(ConfigurationError, match=r"b\.png.*is the input itself.*a\.png"):
        check_outputs(str(source), "folder", [output], force=True)
    os.link(source / "b.png", tmp_path / "faces.csv")
    with pytest.raises(ConfigurationError, match=r"faces\.csv.*is the input itself.*b\.png"):
        check_outputs(str(source), "folder", [tmp_path / "faces.csv"], force=True)


@pytest.mark.parametrize("name", ["out.png", "out.jsonl", "out.csv", "out.avi"])
def test_a_link_is_replaced_and_not_followed(tmp_path: Path, name: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / name).symlink_to(precious)
    sink = open_sink(tmp_path / name, fps=25.0)
    sink.write(frame(), example_result(example_face()))
    sink.close()
    assert precious.read_text() == "precious"
    assert not (tmp_path / name).is_symlink()
    assert (tmp_path / name).stat().st_size > 100


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
    sink = open_sink(tmp_path / "a.jsonl", fps=None)
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
    sink = open_sink(tmp_path / "a.csv", fps=None)
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
    sink = open_sink(tmp_path / "a.csv", fps=None)
    sink.write(frame(0), example_result(example_face()))
    sink.close()
    row = (tmp_path / "a.csv").read_text().splitlines()[1]
    assert row.startswith("a.png,0,,0,,0.9000,100.00000,60.00000,")


def test_a_picture_is_written_annotated(tmp_path: Path) -> None:
    result = example_result(example_face(yaw_deg=30))
    sink = PictureSink(tmp_path / "out.png", folder=False)
    sink.write(frame(0), result)
    sink.close()
    written = cv2.imread(str(tmp_path / "out.png"))
    np.testing.assert_array_equal(written, draw_result(gradient(320, 240), result))


def test_a_folder_is_made_and_keeps_the_names(tmp_path: Path) -> None:
    sink = PictureSink(tmp_path / "out", folder=True)
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
    sinks = [open_sink(tmp_path / name, fps=None) for name in names]
    kinds = [type(sink) for sink in sinks]
    for sink in sinks:
        sink.close()
    assert kinds == [PictureSink, VideoSink, LineSink, LineSink, PictureSink]


def test_a_file_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write"):
        open_sink(tmp_path / "no" / "a.jsonl", fps=None)
    with pytest.raises(InputError, match="cannot write"):
        write_image(tmp_path / "no" / "a.png", gradient())


def test_a_written_video_is_read_back_whole(tmp_path: Path) -> None:
    source = open_source(str(write_video(tmp_path / "in.mp4", frames=8)))
    sink = VideoSink(tmp_path / "out.mp4", fps=source.fps or 0.0)
    for item in source.frames():
        sink.write(item, example_result(size=(160, 120)))
    sink.close()
    assert len(list(open_source(str(tmp_path / "out.mp4")).frames())) == 8


def test_a_picture_that_does_not_fit_on_the_disk_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"whole")

    def fail(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(InputError, match=r"cannot write .*a\.png': No space left"):
        write_image(path, gradient())
    assert [item.name for item in tmp_path.iterdir()] == ["a.png"]
    assert path.read_bytes() == b"whole"


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of file size on this system")
def test_a_line_that_does_not_fit_on_the_disk_is_taken_back(tmp_path: Path) -> None:
    program = f"""
import resource, signal
from pathlib import Path
from clipgaze_sdk._errors import InputError
from clipgaze_sdk.media.sinks import open_sink
from tests.sdk.example_results import example_face, example_result
from tests.sdk.media.test_sinks import frame
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
sink = open_sink(Path({str(tmp_path / "a.jsonl")!r}), fps=None)
try:
    for index in range(100):
        sink.write(frame(index), example_result(example_face()))
except InputError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
    )
    assert "a.jsonl': File too large" in done.stdout, done.stderr
    text = (tmp_path / "a.jsonl").read_text()
    assert 5_000 < len(text) < 10_000
    assert text.endswith("\n")
    frames = [json.loads(line)["frame"] for line in text.splitlines()]
    assert frames == list(range(len(frames)))


def test_names_that_are_no_utf_8_are_written(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    name = "caf\udce9.png"  # as Python spells the byte E9
    outputs = [tmp_path / "out", tmp_path / "a.csv", tmp_path / "a.jsonl"]
    sinks = [open_sink(output, fps=None) for output in outputs]
    for sink in sinks:
        sink.write(frame(name=name), example_result(example_face()))
        sink.close()
    assert (tmp_path / "out" / name).stat().st_size > 100
    assert (tmp_path / "a.csv").read_text().splitlines()[1].startswith("caf\\xe9.png,0,")
    assert json.loads((tmp_path / "a.jsonl").read_text())["source"] == "caf\\xe9.png"
    video = tmp_path / "caf\udce9.mp4"
    for attempt in (
        lambda: VideoSink(video, fps=25.0),
        lambda: check_outputs("0", "camera", [tmp_path / "b.csv", video], force=False),
    ):
        with pytest.raises(InputError, match="not UTF-8"):
            attempt()
