"""The samples, run as a user runs them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from clipgaze_sdk.geometry import angle_between, vector_from_angles

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"
MEDIA = SAMPLES / "media"

needs_media = pytest.mark.skipif(
    not (MEDIA / "clip.mp4").exists()
    or not (ROOT / "sdk" / "clipgaze_sdk" / "models" / "gaze.onnx").exists(),
    reason="samples/media or the bundled models are not in this checkout",
)


def run_sample(name: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SAMPLES / name), *arguments]
    environment = {**os.environ, "DISPLAY": "", "WAYLAND_DISPLAY": ""}  # as over ssh
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_each_sample_is_short() -> None:
    for path in SAMPLES.glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) < 60, path.name


@needs_media
def test_photo_finds_everyone_and_where_they_look(tmp_path: Path) -> None:
    done = run_sample("photo.py", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    printed = re.findall(r"^face \d: gaze pitch (\S+) yaw (\S+) deg", done.stdout, re.MULTILINE)
    found = vector_from_angles(np.radians(np.array(printed, float)))
    truths = json.loads((MEDIA / "portrait.json").read_text(encoding="utf-8"))["faces"]
    assert len(found) == len(truths)
    for truth in truths:
        apart = angle_between(found, vector_from_angles([truth["pitch_rad"], truth["yaw_rad"]]))
        assert np.degrees(apart.min()) < 15.0
    assert (tmp_path / "gaze.jpg").stat().st_size > 1000


@needs_media
@pytest.mark.parametrize("arguments", [("--headless",), ()])
def test_webcam_follows_one_person_through_the_clip(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = run_sample("webcam.py", str(MEDIA / "clip.mp4"), *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    frames = int(last.split()[0])
    assert frames > 10
    assert len(lines) >= 0.8 * frames
    assert all(" #0 " in line for line in lines)


@needs_media
@pytest.mark.skipif(not hasattr(cv2, "imwriteanimation"), reason="OpenCV is older than 4.11")
def test_moving_picture_makes_what_the_readme_shows(tmp_path: Path) -> None:
    done = run_sample("moving_picture.py", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "written: gaze.webp, 45 frames"
    made, shown = (
        cv2.imreadanimation(str(path))[1]
        for path in (tmp_path / "gaze.webp", ROOT / "docs" / "images" / "gaze.webp")
    )
    assert len(made.frames) == len(shown.frames)
    apart = [
        np.abs(one.astype(int) - other).mean()
        for one, other in zip(made.frames, shown.frames, strict=True)
    ]
    assert max(apart) < 2.0  # of 255: arrows, boxes and labels are where the picture has them


@pytest.mark.parametrize("name", ["photo.py", "webcam.py", "moving_picture.py"])
def test_a_missing_file_is_said_in_one_line(tmp_path: Path, name: str) -> None:
    done = run_sample(name, "missing.mp4", folder=tmp_path)
    if "writes no animations" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 1
    assert "missing.mp4" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(Path("/dev/video97").exists(), reason="there is such a camera")
def test_a_missing_camera_is_said_in_one_line(tmp_path: Path) -> None:
    done = run_sample("webcam.py", "97", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot open camera 97")
    assert done.stderr.count("\n") == 1


@needs_media
@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")
def test_names_that_are_no_utf_8_end_no_sample(tmp_path: Path) -> None:
    shutil.copy(MEDIA / "portrait.jpg", tmp_path / "caf\udce9.jpg")
    shutil.copy(MEDIA / "clip.mp4", tmp_path / "caf\udce9.mp4")
    done = run_sample("photo.py", "caf\udce9.jpg", "out.png", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.png").stat().st_size > 1000
    done = run_sample("webcam.py", "caf\udce9.mp4", folder=tmp_path)
    assert done.returncode == 1
    assert "not UTF-8" in done.stderr


@needs_media
def test_a_video_without_times_runs(tmp_path: Path) -> None:
    """Motion-JPEG one after another has no container that could hold times."""
    image = cv2.imread(str(MEDIA / "portrait.jpg"))
    data = cv2.imencode(".jpg", cv2.resize(image, (320, 180)))[1].tobytes()
    (tmp_path / "raw.mjpeg").write_bytes(data * 4)
    done = run_sample("webcam.py", "raw.mjpeg", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("4 frames")
