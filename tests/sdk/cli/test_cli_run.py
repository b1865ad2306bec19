from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from clipgaze_sdk._options import EstimatorOptions
from clipgaze_sdk.cli import main, make_parser, run
from clipgaze_sdk.media import opencv_build
from clipgaze_sdk.media.sources import open_source
from tests.fake_networks import draw_faces, write_networks
from tests.sdk.cli.conftest import UseFake
from tests.sdk.media.example_media import cut_file, gradient, write_video

pytestmark = pytest.mark.usefixtures("no_display")


def read_jsonl(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_picture_becomes_an_annotated_picture(
    tmp_path: Path, use_fake: UseFake, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = use_fake()
    cv2.imwrite(str(tmp_path / "a.png"), gradient(320, 240))
    assert main(["run", str(tmp_path / "a.png"), str(tmp_path / "out.png")]) == 0
    written = cv2.imread(str(tmp_path / "out.png"))
    assert written.shape == (240, 320, 3)
    assert (written != gradient(320, 240)).any()
    assert fake.stamps == [None]
    assert fake.closed
    out, err = capsys.readouterr()
    assert out == ""
    assert "1 frame, 1 face" in err
    assert "out.png" in err
    assert "assumed" not in err  # a picture holds no distance


def test_without_output_results_are_printed(
    tmp_path: Path, use_fake: UseFake, capsys: pytest.CaptureFixture[str]
) -> None:
    use_fake()
    cv2.imwrite(str(tmp_path / "a.png"), gradient(320, 240))
    assert main(["run", str(tmp_path / "a.png"), "--fov", "70"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "a.png: 1 face",
        "  face 0: gaze pitch +0.0 yaw +0.0 deg (sigma 5.7), 0.60 m away, box 96 48 192 192 px, "
        "confidence 0.90",
    ]
    assert "assumed" not in err


def test_nobody_in_view_is_a_result(
    tmp_path: Path, use_fake: UseFake, capsys: pytest.CaptureFixture[str]
) -> None:
    use_fake()
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((240, 320, 3), np.uint8))
    assert main(["run", str(tmp_path / "a.png")]) == 0
    assert capsys.readouterr().out == "a.png: nobody in view\n"


def test_a_video_gives_video_json_lines_and_csv(tmp_path: Path, use_fake: UseFake) -> None:
    fake = use_fake()
    clip = write_video(tmp_path / "clip.mp4", frames=10, fps=20.0)
    outputs = [tmp_path / name for name in ("out.mp4", "out.jsonl", "out.csv")]
    assert main(["run", str(clip), *map(str, outputs)]) == 0
    written = open_source(str(outputs[0]))
    assert len(list(written.frames())) == 10
    assert written.fps == pytest.approx(20.0)
    records = read_jsonl(outputs[1])
    assert [record["frame"] for record in records] == list(range(10))
    stamps = [record["timestamp_s"] for record in records]
    np.testing.assert_allclose(stamps, np.arange(10) / 20.0, atol=1e-3)
    assert records[4]["faces"][0]["gaze"]["yaw_rad"] == pytest.approx(math.radians(4))
    rows = read_csv(outputs[2])
    assert [row["track_id"] for row in rows] == ["0"] * 10
    assert fake.stamps == stamps


def test_a_folder_names_the_bad_picture_does_the_others_and_fails(
    tmp_path: Path, use_fake: UseFake, capsys: pytest.CaptureFixture[str]
) -> None:
    use_fake(refuse_width=99)
    pictures = tmp_path / "in"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "a.png"), gradient())
    cv2.imwrite(str(pictures / "c.png"), gradient())
    cv2.imwrite(str(pictures / "d.png"), gradient(99, 48))
    (pictures / "b.jpg").write_bytes(b"broken")
    outputs = [str(tmp_path / "out"), str(tmp_path / "faces.csv")]
    assert main(["run", str(pictures), *outputs]) == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]
    assert [row["source"] for row in read_csv(tmp_path / "faces.csv")] == ["a.png", "c.png"]
    err = capsys.readouterr().err
    assert "b.jpg" in err
    assert "d.png: image is 99 px wide" in err
    assert "2 of 4 pictures" in err


def test_a_good_folder_succeeds(tmp_path: Path, use_fake: UseFake) -> None:
    use_fake()
    cv2.imwrite(str(tmp_path / "a.png"), gradient())
    assert main(["run", str(tmp_path)]) == 0


def test_a_cut_video_keeps_what_was_read_and_warns(
    tmp_path: Path, use_fake: UseFake, capsys: pytest.CaptureFixture[str]
) -> None:
    use_fake()
    clip = cut_file(write_video(tmp_path / "clip.avi", frames=30), keep=0.5)
    outputs = [tmp_path / "out.avi", tmp_path / "out.jsonl"]
    assert main(["run", str(clip), *map(str, outputs)]) == 0
    count = len(read_jsonl(outputs[1]))
    assert 5 < count < 30
    assert len(list(open_source(str(outputs[0])).frames())) == count
    err = capsys.readouterr().err
    assert f"warning: the video ended early: {count} frames read, its header promises 30" in err


def test_a_video_with_nothing_to_decode_is_an_error(
    tmp_path: Path, use_fake: UseFake, capsys: pytest.CaptureFixture[str]
) -> None:
    use_fake()
    (tmp_path / "clip.mp4").write_bytes(b"no video at all" * 100)
    assert main(["run", str(tmp_path / "clip.mp4"), str(tmp_path / "out.jsonl")]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: cannot open video")
    assert err.count("\n") == 1
    assert not (tmp_path / "out.jsonl").exists()


def test_ctrl_c_keeps_what_was_written(
    tmp_path: Path, use_fake: UseFake, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = use_fake(interrupt_at=4)
    clip = write_video(tmp_path / "clip.mp4", frames=10)
    outputs = [tmp_path / "out.mp4", tmp_path / "out.jsonl"]
    assert main(["run", str(clip), *map(str, outputs)]) == 130
    assert len(read_jsonl(outputs[1])) == 4
    assert len(list(open_source(str(outputs[0])).frames())) == 4
    assert fake.closed
    assert "interrupted: 4 frames" in capsys.readouterr().err


def test_max_frames_stops_without_a_warning(
    tmp_path: Path, use_fake: UseFake, capsys: pytest.CaptureFixture[str]
) -> None:
    use_fake()
    clip = write_video(tmp_path / "clip.mp4", frames=10)
    assert main(["run", str(clip), str(tmp_path / "a.jsonl"), "--max-frames", "3"]) == 0
    assert len(read_jsonl(tmp_path / "a.jsonl")) == 3
    assert "warning" not in capsys.readouterr().err


class FakeWindows:
    """Stands in for OpenCV's windows; the viewer presses q on the third frame."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown: list[np.ndarray] = []
        self.open: set[str] = set()
        monkeypatch.setattr(opencv_build, "window_is_available", lambda: True)
        monkeypatch.setattr(cv2, "imshow", self.show)
        monkeypatch.setattr(cv2, "waitKey", lambda _: ord("q") if len(self.shown) == 3 else -1)
        monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: 1.0)
        monkeypatch.setattr(cv2, "destroyWindow", self.open.remove)

    def show(self, name: str, image: np.ndarray) -> None:
        self.open.add(name)
        self.shown.append(image)


def test_a_window_shows_a_video_until_q(
    tmp_path: Path, use_fake: UseFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_fake()
    windows = FakeWindows(monkeypatch)
    clip = write_video(tmp_path / "clip.mp4", frames=10)
    assert main(["run", str(clip)]) == 0
    assert len(windows.shown) == 3
    assert not windows.open


def test_a_window_that_the_viewer_closes_ends_the_run(
    tmp_path: Path, use_fake: UseFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_fake()
    windows = FakeWindows(monkeypatch)

    def destroy(name: str) -> None:
        raise cv2.error(f"NULL window: {name!r} in function 'cvDestroyWindow'")

    monkeypatch.setattr(
        cv2, "getWindowProperty", lambda *_: -1.0 if len(windows.shown) > 1 else 1.0
    )
    monkeypatch.setattr(cv2, "destroyWindow", destroy)
    assert main(["run", str(write_video(tmp_path / "clip.mp4", frames=10))]) == 0
    assert len(windows.shown) == 2


@pytest.mark.parametrize("extra", [["--headless"], ["{folder}/a.jsonl"]])
def test_no_window_when_headless_or_when_writing(
    tmp_path: Path, use_fake: UseFake, monkeypatch: pytest.MonkeyPatch, extra: list[str]
) -> None:
    use_fake()
    windows = FakeWindows(monkeypatch)
    clip = write_video(tmp_path / "clip.mp4", frames=4)
    assert main(["run", str(clip), *(part.format(folder=tmp_path) for part in extra)]) == 0
    assert windows.shown == []


def test_a_full_disk_is_one_line(
    tmp_path: Path,
    use_fake: UseFake,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    use_fake()
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    cv2.imwrite(str(tmp_path / "a.png"), gradient())
    (tmp_path / "a.jsonl").symlink_to("/dev/full")
    assert main(["run", str(tmp_path / "a.png"), str(tmp_path / "a.jsonl"), "--force"]) == 1
    assert capsys.readouterr().err.startswith(f"error: cannot write '{tmp_path}/a.jsonl': No space")


def test_networks_of_a_folder_follow_a_face_through_a_video(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    networks = write_networks(tmp_path / "networks")
    writer = cv2.VideoWriter(
        str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (640, 360)
    )
    for index in range(6):
        writer.write(draw_faces((640, 360), [(300 + 4 * index, 180)]))
    writer.release()
    output = tmp_path / "out.csv"
    arguments = ["--model", str(networks), "--fov", "50", "--threads", "1"]
    assert main(["run", str(tmp_path / "clip.avi"), str(output), *arguments]) == 0
    rows = read_csv(output)
    assert [row["track_id"] for row in rows] == ["0"] * 6
    centers = [(float(row["box_x0_px"]) + float(row["box_x1_px"])) / 2 for row in rows]
    np.testing.assert_allclose(np.diff(centers), 4.0, atol=0.5)


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [([], True), (["a.csv"], True), (["a.jsonl"], False), (["b.png"], False)],
)
def test_the_assumed_camera_is_told_once_where_distances_do_not_say_it(
    tmp_path: Path,
    use_fake: UseFake,
    capsys: pytest.CaptureFixture[str],
    outputs: list[str],
    expected: bool,
) -> None:
    use_fake()
    cv2.imwrite(str(tmp_path / "a.png"), gradient(320, 240))
    assert main(["run", str(tmp_path / "a.png"), *(str(tmp_path / name) for name in outputs)]) == 0
    err = capsys.readouterr().err
    assert err.count("60 degrees across are assumed") == expected
    assert not expected or "--camera FILE" in err


def test_faces_left_out_by_the_limit_are_told(
    tmp_path: Path, use_fake: UseFake, capsys: pytest.CaptureFixture[str]
) -> None:
    use_fake()
    clip = str(write_video(tmp_path / "clip.mp4", frames=5))
    assert main(["run", clip, "--max-faces", "1"]) == 0
    assert "5 of 5 frames had the most faces that are looked for (1)" in capsys.readouterr().err
    assert main(["run", clip, "--max-faces", "2"]) == 0
    assert "--max-faces" not in capsys.readouterr().err


def test_options_of_the_estimator_are_arguments() -> None:
    given = (
        "--precision int8 --fov 70 --threads 3 --max-faces 4 --min-confidence 0.3 "
        "--min-presence 0.5 --min-face-px 30 --detect-interval 5 "
        "--detector yunet --detector-path y.onnx --flip-augment"
    )
    options = run.estimator_options(make_parser().parse_args(["run", "a.jpg", *given.split()]))
    assert options == EstimatorOptions(
        horizontal_fov_deg=70.0,
        threads=3,
        max_faces=4,
        min_confidence=0.3,
        min_presence=0.5,
        min_face_px=30.0,
        detect_interval=5,
        detector="yunet",
        detector_path="y.onnx",
        flip_augment=True,
        precision="int8",
    )
    untouched = run.estimator_options(make_parser().parse_args(["run", "a.jpg"]))
    assert untouched == EstimatorOptions()


def test_formats_that_a_folder_run_leaves_out_are_told_in_one_line(
    tmp_path: Path, use_fake: UseFake, capsys: pytest.CaptureFixture[str]
) -> None:
    use_fake()
    cv2.imwrite(str(tmp_path / "a.png"), gradient())
    for name in ("10.HEIC", "9.heic", "b.avif", "c.gif", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert main(["run", str(tmp_path)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == (
        "note: formats that are not read are left out: 9.heic, 10.HEIC, b.avif and 1 more"
    )


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_disk_that_fills_under_a_video_is_said(
    suffix: str, tmp_path: Path, use_fake: UseFake, capsys: pytest.CaptureFixture[str]
) -> None:
    import resource
    import signal

    use_fake()
    noise = np.random.default_rng(0).integers(0, 255, (40, 120, 160, 3), dtype=np.uint8)
    writer = cv2.VideoWriter(
        str(tmp_path / "in.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (160, 120)
    )
    for image in noise:
        writer.write(image)
    writer.release()
    output = tmp_path / f"out{suffix}"
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    try:
        code = main(["run", str(tmp_path / "in.avi"), str(output)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert code == 1
    said = capsys.readouterr().err
    assert f"error: video '{output}' has 0 of 40 frames." in said
    assert "written to" not in said


def test_options_may_stand_between_outputs(tmp_path: Path, use_fake: UseFake) -> None:
    use_fake()
    cv2.imwrite(str(tmp_path / "a.png"), gradient())
    names = [str(tmp_path / name) for name in ("a.png", "b.png", "c.jsonl", "d.csv")]
    assert main(["run", names[0], names[1], "--force", names[2], "--fov", "70", names[3]]) == 0
    assert all(Path(name).exists() for name in names)
    with pytest.raises(SystemExit, match="2"):
        main(["run", names[0], "--force", names[1], "--nonsense"])
    with pytest.raises(SystemExit, match="2"):
        main(["doctor", names[0]])


def test_a_camera_that_goes_away_is_a_failure(
    tmp_path: Path,
    use_fake: UseFake,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Unplugged:
        left = 3

        def isOpened(self) -> bool:
            return True

        def read(self) -> tuple[bool, np.ndarray | None]:
            self.left -= 1
            return self.left >= 0, gradient() if self.left >= 0 else None

        def get(self, _: int) -> float:
            return 0.0

        def release(self) -> None:
            pass

    use_fake()
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: Unplugged())
    output = tmp_path / "out.jsonl"
    assert main(["run", "0", str(output)]) == 1
    assert "error: camera '0' gave no more frames after 3" in capsys.readouterr().err
    assert len(read_jsonl(output)) == 3
    assert main(["run", "0", str(output), "--force", "--max-frames", "3"]) == 0
