"""``clipgaze bench --compare`` and ``clipgaze doctor`` where TensorRT is, or is not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import onnx
import pytest

from clipgaze_sdk import ModelCard
from clipgaze_sdk.cli import doctor, main
from clipgaze_sdk.models.files import BUNDLED_FOLDER
from tests.fake_networks import write_card
from tests.tensorrt.graphs import gaze_graph
from tests.tensorrt_double import World, install


def test_compares_graphs_and_engines(
    world: World, gaze_onnx: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build-engine", str(gaze_onnx), "--fp16"]) == 0
    (folder / "other.engine").write_bytes(b"no side-car")
    words = ["--frames", "2", "--threads", "1", "--json", "out.json"]
    assert main(["bench", "--compare", str(gaze_onnx.parent), *words]) == 0
    report = json.loads((folder / "out.json").read_text())
    assert set(report["tasks"]) == {"face_detector", "face_landmarks", "gaze"}
    gaze = report["tasks"]["gaze"]
    assert gaze["rounds"] == 2
    models = {m["name"]: m for m in gaze["models"]}
    assert gaze["models"][0]["name"] == "gaze.onnx"
    size = ModelCard.load(BUNDLED_FOLDER / "gaze.json").inputs[0].shape[1:]
    assert gaze["models"][0]["shape"] == [1, *size]
    assert gaze["models"][0]["ratio"] == 1.0
    assert models["gaze.fp16.engine"]["backend"] == "tensorrt"
    assert models["gaze.fp16.engine"]["precision"] == "fp16"
    assert models[str(gaze_onnx.with_name("gaze.int8.onnx"))]["backend"] == "onnxruntime"
    bundled = {"gaze.onnx", "gaze.fp16.onnx", "gaze.int8.onnx", "gaze.int8_cpu.onnx"}
    assert bundled <= set(models)
    for model in gaze["models"]:
        assert 0 < model["p50_ms"] <= model["p99_ms"]
        first = gaze["models"][0]["p50_ms"]
        assert model["ratio"] == pytest.approx(first / model["p50_ms"])
    assert list(report["skipped"]) == ["other.engine"]
    text = capsys.readouterr().out
    assert "gaze.fp16.engine" in text
    assert "left out: other.engine: card" in text
    assert world.nothing_is_left()


def test_an_engine_of_another_machine_is_left_out(
    gaze_onnx: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, "11.4.0.106")
    assert main(["build-engine", str(gaze_onnx), "--int8"]) == 0
    install(monkeypatch, "10.3.0")
    assert main(["bench", "--compare", "--frames", "1", "--json", "out.json"]) == 0
    report = json.loads((folder / "out.json").read_text())
    assert "here 10.3.0" in report["skipped"]["gaze.int8.engine"]


def test_a_network_of_another_size_is_compared_too(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = gaze_graph("fp32")
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 64
    onnx.save(model, tmp_path / "small.onnx")
    image = {"name": "image", "dtype": "float32", "shape": ["batch", 3, 64, 224]}
    write_card(tmp_path / "small.onnx", "gaze", inputs=[image])
    words = ["--frames", "1", "--threads", "1", "--json", "out.json"]
    assert main(["bench", "--compare", str(tmp_path / "small.onnx"), *words]) == 0
    *_, last = json.loads((folder / "out.json").read_text())["tasks"]["gaze"]["models"]
    assert (last["name"], last["shape"]) == (str(tmp_path / "small.onnx"), [1, 3, 64, 224])
    assert "1x3x64x224" in capsys.readouterr().out


def test_what_does_not_exist(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--compare", "no.engine"]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_the_doctor_names_the_gpu(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: name)
    (check,) = doctor.check_tensorrt()
    assert (check.name, check.status) == ("backend tensorrt", "ok")
    assert check.found.startswith("10.13.3.9; Orin, compute capability 8.7")
    world.gpus = 0
    (check,) = doctor.check_tensorrt()
    assert (check.status, check.advice) == ("warn", "or use the .onnx models")
    assert "no NVIDIA GPU" in check.found


@pytest.mark.parametrize("on_jetson", [False, True])
def test_the_doctor_without_tensorrt(monkeypatch: pytest.MonkeyPatch, on_jetson: bool) -> None:
    from clipgaze_sdk.backends import cuda as _cuda

    monkeypatch.setattr(_cuda, "is_jetson", lambda: on_jetson)
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(sys, "prefix", "/venv")
    checks = {check.name: check for check in doctor.check_tensorrt()}
    assert [check.status for check in checks.values()] == ["warn" if on_jetson else "ok"] * 2
    if on_jetson:
        assert "--system-site-packages" in checks["tensorrt"].advice
        assert "nvcc" in checks["pycuda"].advice
