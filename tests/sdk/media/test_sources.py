from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from clipgaze_sdk._errors import InputError
from clipgaze_sdk.media.sources import CaptureSource, open_source, source_kind
from tests.sdk.media.example_media import (
    cut_file,
    gradient,
    write_video,
)


def test_the_kind_of_a_source_is_told_from_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.JPG").write_bytes(b"x")
    (tmp_path / "clip.mkv").write_bytes(b"x")
    assert source_kind(str(tmp_path / "a.JPG")) == "image"
    assert source_kind(str(tmp_path / "clip.mkv")) == "video"
    assert source_kind(str(tmp_path)) == "folder"
    assert source_kind("0") == "camera"
    assert source_kind("/dev/video12") == "camera"
    (tmp_path / "20261122").mkdir()  # too long a number for a webcam
    monkeypatch.chdir(tmp_path)
    assert source_kind("20261122") == "folder"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("nothing.jpg", "no such file"), ("rtsp://host/stream", "not supported yet")],
)
def test_a_source_that_is_not_there_says_what_can_be_given(name: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected) as caught:
        source_kind(name)
    assert "webcam index" in str(caught.value)


def test_a_folder_gives_its_pictures_by_name_and_reports_the_bad_one(tmp_path: Path) -> None:
    for name in ("b.png", "a.png"):
        cv2.imwrite(str(tmp_path / name), gradient())
    (tmp_path / "ab.jpg").write_bytes(b"broken")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "sub.png").mkdir()
    bad: list[InputError] = []
    source = open_source(str(tmp_path), on_unreadable=bad.append)
    frames = list(source.frames())
    assert source.frame_count == 3
    assert [(frame.name, frame.index) for frame in frames] == [("a.png", 0), ("b.png", 2)]
    assert all(frame.timestamp_s is None for frame in frames)
    assert len(bad) == 1
    assert "ab.jpg" in str(bad[0])


def test_a_folder_is_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    names = ["1.png", "2.png", "9.png", "10.png", "a2.png", "a010.png", "a11.png"]
    for name in reversed(names):
        cv2.imwrite(str(tmp_path / name), gradient())
    assert [frame.name for frame in open_source(str(tmp_path)).frames()] == names


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp"])
def test_a_picture_is_known_by_its_content(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "photo").write_bytes(cv2.imencode(suffix, gradient())[1].tobytes())
    source = open_source(str(tmp_path / "photo"))
    assert source.kind == "image"
    assert next(source.frames()).image.shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("name", "head", "format_name"),
    [
        ("phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        ("phone.HIF", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        ("web.avif", b"\0\0\0\x1cftypavif\0\0\0\0", "AVIF"),
        ("raw.dng", b"II*\0\x08\0\0\0", "TIFF"),
        ("a.jxl", b"\xff\x0a\xfa\x1f", "JPEG XL"),
        ("a.psd", b"8BPS\0\1", "PSD"),
    ],
)
def test_a_picture_that_is_not_read_is_refused_by_name(
    tmp_path: Path, name: str, head: bytes, format_name: str
) -> None:
    (tmp_path / name).write_bytes(head + bytes(100))
    with pytest.raises(InputError, match=f"a {format_name} picture") as caught:
        source_kind(str(tmp_path / name))
    assert name in str(caught.value)


def test_a_video_with_huge_frames_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Huge(FakeCapture):
        def get(self, key: int) -> float:
            sides = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
            return 20000.0 if key in sides else super().get(key)

    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: Huge([0.0]))
    with pytest.raises(InputError, match="20000x20000 px"):
        CaptureSource(Path("clip.mkv"))


def test_a_video_whose_name_is_no_utf_8_is_refused() -> None:
    with pytest.raises(InputError, match="not UTF-8"):
        CaptureSource(Path("caf\udce9.mp4"))


def test_without_a_listener_the_bad_picture_raises(tmp_path: Path) -> None:
    (tmp_path / "ab.jpg").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"ab\.jpg"):
        list(open_source(str(tmp_path)).frames())


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no picture in folder"):
        open_source(str(tmp_path))


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_a_video_gives_the_timestamps_of_its_container(tmp_path: Path, suffix: str) -> None:
    source = open_source(str(write_video(tmp_path / f"clip{suffix}", frames=12, fps=25.0)))
    frames = list(source.frames())
    source.close()
    assert source.fps == pytest.approx(25.0)
    assert source.frame_count == 12
    assert [frame.index for frame in frames] == list(range(12))
    stamps = [frame.timestamp_s for frame in frames]
    np.testing.assert_allclose(np.array(stamps, float), np.arange(12) / 25.0, atol=1e-3)
    assert frames[0].image.shape == (120, 160, 3)
    assert frames[0].image.dtype == np.uint8


def test_a_cut_video_gives_what_is_left(tmp_path: Path) -> None:
    path = cut_file(write_video(tmp_path / "clip.avi", frames=30), keep=0.5)
    source = open_source(str(path))
    frames = list(source.frames())
    assert source.frame_count == 30
    assert 5 < len(frames) < 30


@pytest.mark.parametrize("content", [b"", b"this is text, not a video" * 50])
def test_an_unreadable_video_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"cannot open video .*clip\.mp4"):
        open_source(str(path))


def test_a_video_cut_before_its_index_is_refused(tmp_path: Path) -> None:
    path = cut_file(write_video(tmp_path / "clip.mp4"), keep=0.5)
    with pytest.raises(InputError, match="cut off before its index"):
        open_source(str(path))


class FakeCapture:
    """Stands in for cv2.VideoCapture, with timestamps of its own making."""

    def __init__(self, stamps_ms: list[float], *, opened: bool = True) -> None:
        self._stamps_ms = stamps_ms
        self._next = 0
        self._opened = opened

    def isOpened(self) -> bool:
        return self._opened

    def read(self) -> tuple[bool, np.ndarray | None]:
        if self._next >= len(self._stamps_ms):
            return False, None
        self._next += 1
        return True, np.zeros((4, 6, 3), np.uint8)

    def get(self, key: int) -> float:
        if key == cv2.CAP_PROP_POS_MSEC:
            return self._stamps_ms[self._next - 1]
        return 20.0 if key == cv2.CAP_PROP_FPS else -1.0

    def release(self) -> None:
        self._opened = False


def test_timestamps_that_do_not_increase_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    stamps = [0.0, 50.0, 50.0, 20.0, float("nan"), 400.0]
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: FakeCapture(stamps))
    source = CaptureSource(Path("clip.mkv"))
    assert source.frame_count is None
    seconds = [frame.timestamp_s for frame in source.frames()]
    assert seconds == pytest.approx([0.0, 0.05, 0.10, 0.15, 0.20, 0.40])


@pytest.mark.parametrize("nothing", [0.0, float("nan"), float("inf"), -3.6893488147419104e20])
def test_a_video_without_timestamps_counts_by_its_frame_rate(
    monkeypatch: pytest.MonkeyPatch, nothing: float
) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: FakeCapture([nothing] * 4))
    seconds = [frame.timestamp_s for frame in CaptureSource(Path("clip.h264")).frames()]
    assert seconds == pytest.approx([0.0, 0.05, 0.10, 0.15])


def test_a_camera_counts_seconds_from_its_first_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: FakeCapture([0.0] * 3))
    source = open_source("/dev/video0")
    assert source.kind == "camera"
    frames = list(source.frames())
    seconds = [frame.timestamp_s for frame in frames]
    assert seconds[0] == 0.0
    assert seconds == sorted(set(seconds))
    assert frames[0].name == "camera 0"


def test_a_camera_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: FakeCapture([], opened=False))
    with pytest.raises(InputError, match="cannot open camera 7"):
        open_source("7")


def test_a_camera_that_gives_no_frame_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: FakeCapture([]))
    with pytest.raises(InputError, match="gave no frame"):
        list(open_source("0").frames())


ROOT = Path(__file__).parents[3]
_TAKES_A_PATH = re.compile(
    r"cv2\.(VideoCapture|VideoWriter|imread|imwrite|imwriteanimation|FileStorage|"
    r"FaceDetectorYN\.create)\(\s*([\w.]+)"
)


def test_no_path_is_handed_to_opencv_unchecked() -> None:
    """OpenCV ends the process where a name is not UTF-8."""
    found = {}
    for folder in ("sdk", "samples"):
        for file in (ROOT / folder).rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            for call, argument in _TAKES_A_PATH.findall(text):
                either = r"\w+ if isinstance\(\w+, int\) else "
                checked = rf"\b{argument} = ({either})?opencv_path\("
                found[f"{file.name}: {call}"] = re.search(checked, text) is not None
    assert set(found) >= {"sources.py: VideoCapture", "sinks.py: VideoWriter"}
    assert all(found.values()), found
