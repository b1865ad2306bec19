from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from clipgaze_sdk import EstimatorOptions, GazeEstimator, ModelError
from clipgaze_sdk.faces.detector import YuNetDetector


@pytest.fixture(scope="module")
def yunet(shared_assets: Path) -> Path:
    path = shared_assets / "peers" / "yunet.onnx"
    if not path.is_file():
        pytest.skip(f"needs YuNet in {path}")
    return path


def options(path: Path, **changes: object) -> EstimatorOptions:
    return EstimatorOptions(detector="yunet", detector_path=path, **changes)  # type: ignore[arg-type]


def test_finds_the_face_of_a_photograph(yunet: Path, shared_assets: Path) -> None:
    image = cv2.imread(str(shared_assets / "photos" / "single_face.jpg"))
    detector = YuNetDetector(options(yunet))
    rows = detector.detect(np.asarray(image, np.uint8))
    assert len(rows) >= 1
    x0, y0, x1, y1, score, *points = rows[0]
    right_eye, left_eye, nose, right_mouth, left_mouth = np.reshape(points, (5, 2))
    assert score > 0.5
    assert x0 < right_eye[0] < left_eye[0] < x1
    assert y0 < right_eye[1] < nose[1] < right_mouth[1] < y1
    assert right_mouth[0] < left_mouth[0]
    of_rgb = YuNetDetector(options(yunet, color="rgb"))
    rgb = of_rgb.detect(np.ascontiguousarray(np.asarray(image, np.uint8)[:, :, ::-1]))
    np.testing.assert_allclose(rgb, rows)


def test_serves_the_estimator(yunet: Path, fake_models: Path) -> None:
    with GazeEstimator(fake_models, options=options(yunet)) as made:
        assert set(made.cards) == {"face_landmarks", "gaze"}
        assert made.estimate(np.zeros((48, 64, 3), np.uint8)).faces == ()


def test_missing_or_wrong_files(fake_models: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        GazeEstimator(fake_models, options=options(tmp_path / "none.onnx"))
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    for path in (tmp_path / "junk.onnx", fake_models / "gaze.onnx"):
        with pytest.raises(ModelError, match="expected YuNet's ONNX file"):
            GazeEstimator(fake_models, options=options(path))


def test_opencv_is_quiet(yunet: Path) -> None:
    program = f"""
from clipgaze_sdk import EstimatorOptions
from clipgaze_sdk.faces.detector import YuNetDetector
YuNetDetector(EstimatorOptions(detector="yunet", detector_path={str(yunet)!r}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
