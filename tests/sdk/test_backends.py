from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from clipgaze_sdk import BackendError, Camera, ModelError
from clipgaze_sdk.backends import load_backend
from clipgaze_sdk.models.files import load_model_file
from tests.fake_networks import write_card, write_networks


def test_runs_a_network(fake_models: Path) -> None:
    backend = load_backend(load_model_file(fake_models / "gaze.onnx"), threads=1)
    images = np.zeros((3, 3, 96, 224), np.float32)
    images[1, :, :, 112:] = 1.0  # bright on the right: a look to the image's right
    images[2, :, :48] = 1.0  # bright at the top: a look up
    outputs = backend.run(images)
    assert list(outputs) == ["pitch_yaw", "log_sigma"]
    np.testing.assert_allclose(
        outputs["pitch_yaw"], [[0, 0], [0, -0.5], [0.5, 0]], rtol=0, atol=1e-5
    )
    np.testing.assert_allclose(outputs["log_sigma"], np.log([0.1] * 3), rtol=1e-6)
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.run(images)


def test_a_wrong_input_is_a_typed_error(fake_models: Path) -> None:
    backend = load_backend(load_model_file(fake_models / "gaze.onnx"), threads=1)
    with pytest.raises(BackendError, match=r"shape \(1, 3, 8, 8\)"):
        backend.run(np.zeros((1, 3, 8, 8), np.float32))


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08\x12\x04junk" * 50])
def test_a_file_that_is_no_model(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "gaze.onnx"
    path.write_bytes(content)
    write_card(path, "gaze")
    with pytest.raises(ModelError, match=r"cannot load .*gaze\.onnx"):
        load_backend(load_model_file(path), threads=1)


IMAGE = {"name": "image", "dtype": "float32", "shape": ["batch", 3, 96, 224]}
ANGLES = {"name": "pitch_yaw", "dtype": "float32", "shape": ["batch", 2]}
SIGMA = {"name": "log_sigma", "dtype": "float32", "shape": ["batch"]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"inputs": [{**IMAGE, "shape": ["batch", 3, 64, 224]}]}, "image"),
        ({"inputs": [{**IMAGE, "dtype": "float16"}]}, "image"),
        ({"outputs": [ANGLES, {**SIGMA, "dtype": "float16"}]}, "pitch_yaw"),
        ({"outputs": [ANGLES, SIGMA, {**SIGMA, "name": "more"}]}, "pitch_yaw"),
    ],
)
def test_tensors_that_are_not_those_of_the_card(
    changes: dict[str, object], expected: str, tmp_path: Path
) -> None:
    write_networks(tmp_path, ("gaze",))
    write_card(tmp_path / "gaze.onnx", "gaze", **changes)
    with pytest.raises(ModelError, match=f"the card expects {expected}"):
        load_backend(load_model_file(tmp_path / "gaze.onnx"), threads=1)


def test_without_onnx_runtime(fake_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendError, match="pip install onnxruntime"):
        load_backend(load_model_file(fake_models / "gaze.onnx"), threads=1)


def test_without_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "clipgaze_sdk._opencv", raising=False)
    monkeypatch.setitem(sys.modules, "cv2", None)
    bent = Camera(np.diag([500.0, 500.0, 1.0]), np.full(5, 0.1), size_px=(64, 48))
    with pytest.raises(ImportError, match=r"JetPack.*pip install opencv-python"):
        bent.project([[0.0, 0.0, 1.0]])
