from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clipgaze_sdk.cli import doctor, main
from clipgaze_sdk.cli.doctor import Check
from clipgaze_sdk.cli.versions import numbers_of
from clipgaze_sdk.media import opencv_build
from clipgaze_sdk.models import files as _models
from tests.fake_networks import write_networks

JETPACK = """
  Video I/O:
    FFMPEG:                      NO
    GStreamer:                   YES (1.20.3)
  GUI:                           GTK3
"""
HEADLESS = """
    FFMPEG:                      YES
    GStreamer:                   NO
  GUI:                           NONE
"""


def checks_by_name(checks: object) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_the_abilities_of_opencv_are_read_from_its_build() -> None:
    jetpack = opencv_build.read_opencv_build(JETPACK)
    assert (jetpack.ffmpeg, jetpack.gstreamer, jetpack.gui) == (False, True, "GTK3")
    headless = opencv_build.read_opencv_build(HEADLESS)
    assert (headless.ffmpeg, headless.gstreamer, headless.gui) == (True, False, "NONE")
    assert isinstance(opencv_build.read_opencv_build().ffmpeg, bool)


def test_a_window_needs_a_display_and_a_toolkit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not opencv_build.window_is_available()
    monkeypatch.setenv("DISPLAY", ":0")
    build = opencv_build.read_opencv_build
    monkeypatch.setattr(opencv_build, "read_opencv_build", lambda: build(HEADLESS))
    assert not opencv_build.window_is_available()
    monkeypatch.setattr(opencv_build, "read_opencv_build", lambda: build(JETPACK))
    assert opencv_build.window_is_available()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4.10.0.84", (4, 10, 0, 84)), ("2.0.0rc1", (2, 0, 0)), ("1.26", (1, 26)), ("dev", ())],
)
def test_versions_are_compared_by_their_numbers(text: str, expected: tuple[int, ...]) -> None:
    assert numbers_of(text) == expected


def test_the_libraries_here_pass() -> None:
    checks = checks_by_name(doctor.check_libraries())
    for name in ("numpy", "cv2", "onnxruntime"):
        assert checks[name].status in ("ok", "warn")
        assert checks[name].found[0].isdigit()
    assert "CPUExecutionProvider" in checks["onnxruntime"].found
    assert checks_by_name(doctor.check_system())["compiled module"].status == "ok"


def test_an_old_library_is_a_warning_and_a_missing_one_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import numpy

    monkeypatch.setattr(numpy, "__version__", "1.21.0")
    old = doctor.check_library("numpy", "numpy")
    assert (old.status, old.advice) == ("warn", "python -m pip install 'numpy>=1.26'")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    missing = doctor.check_library("onnxruntime", "onnxruntime")
    assert (missing.status, missing.advice) == (
        "fail",
        "python -m pip install 'onnxruntime>=1.18'",
    )


@pytest.mark.parametrize(
    "package",
    ["opencv-python", "opencv-python-headless", "opencv-contrib-python-headless"],
)
def test_the_doctor_is_content_with_any_opencv(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    import cv2

    monkeypatch.setattr(
        doctor, "installed_version", lambda *names: "4.9" if names == (package,) else None
    )
    headless = opencv_build.read_opencv_build(HEADLESS)
    monkeypatch.setattr(opencv_build, "read_opencv_build", lambda: headless)
    checks = [*doctor.check_libraries(), *doctor.check_opencv()]
    assert all(check.status == "ok" and not check.advice for check in checks)
    monkeypatch.setattr(cv2, "__version__", "4.5.1")
    old = checks_by_name(doctor.check_libraries())["cv2"]
    assert old.status == "warn"
    assert f"pip install '{package}>=4.8.1'" in old.advice


def test_two_opencvs_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "installed_version", lambda *_: "4.9")
    assert checks_by_name(doctor.check_libraries())["OpenCV packages"].status == "warn"


def test_models_that_are_not_there_fail_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_models, "BUNDLED_FOLDER", tmp_path)
    checks = checks_by_name(doctor.check_models())
    for name in ("model face_detector", "model face_landmarks", "model gaze"):
        assert checks[name].status == "fail"
        assert "install clipgaze-sdk again" in checks[name].advice
    assert checks["backend onnxruntime"].status == "fail"


def test_good_models_pass_and_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_models, "BUNDLED_FOLDER", write_networks(tmp_path / "networks"))
    checks = checks_by_name(doctor.check_models())
    assert [check.status for check in checks.values()] == ["ok"] * 4
    assert "fake gaze 0, SHA-256 matches" in checks["model gaze"].found
    assert "loads the models and runs" in checks["backend onnxruntime"].found


def test_cameras_are_found_and_their_permission_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = [tmp_path / "video0", tmp_path / "video1"]
    monkeypatch.setattr(doctor.Path, "glob", lambda *_: devices)
    monkeypatch.setattr(doctor.os, "access", lambda path, _: path == devices[0])
    first, second = doctor.check_cameras()
    assert first.status == "ok"
    assert (second.status, "usermod -aG video" in second.advice) == ("warn", True)


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("warn", 0), ("fail", 1)])
def test_the_exit_code_tells_whether_gaze_can_be_estimated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: str, code: int
) -> None:
    checks = [Check("python", "ok", "3.11"), Check("thing", status, "found", "do that")]
    monkeypatch.setattr(doctor, "all_checks", lambda: checks)
    assert main(["doctor"]) == code
    out = capsys.readouterr().out
    assert f"{status:<4}  thing   found\n" in out
    assert "-> do that" in out
    assert main(["doctor", "--json"]) == code
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is (code == 0)
    assert report["checks"][1] == {
        "name": "thing",
        "status": status,
        "found": "found",
        "advice": "do that",
    }


def test_the_doctor_comes_even_when_every_library_is_missing() -> None:
    program = (
        "import sys\n"
        "for name in ('numpy', 'cv2', 'onnxruntime'): sys.modules[name] = None\n"
        "from clipgaze_sdk.cli import main\n"
        "sys.exit(main(['doctor']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for name in ("numpy", "cv2", "onnxruntime"):
        assert f"fail  {name}" in done.stdout
    assert "pip install 'numpy>=1.26'" in done.stdout


def test_a_missing_library_is_one_line_elsewhere(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "sys.modules['cv2'] = None\n"
        "from clipgaze_sdk.cli import main\n"
        "sys.exit(main(['run', 'a.jpg']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "cv2" in done.stderr
    for name in ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "JetPack"):
        assert name in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_module_runs_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "clipgaze_sdk", "--version"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stdout[:9]) == (0, "clipgaze ")
