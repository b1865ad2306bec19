"""Checkpoints to ONNX: both kinds of runs, both kinds of batches, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from clipgaze_sdk import GazeEstimator
from clipgaze_sdk.models.cards import ModelCard
from export import conversion, export_onnx
from export.model_files import load_network
from export.trained import TASKS
from tests.train.runs import fake_run
from train.front.networks import LandmarkNetwork
from train.gaze.checkpoints import load_model, write_weights
from train.gaze.models import GazeModel
from train.synth.outputs.normalization import NORMALIZATION
from train.synth.outputs.shards import read_shard


def run_of(
    folder: Path, *, backbone: str = "small", band: bool = False, half: bool = False
) -> Path:
    """A finished run of train.gaze.fit with random weights."""
    torch.manual_seed(1)
    model = GazeModel(backbone, 16, band=band, half=half)
    card = {**model.card(), "trained_on": {"name": "rendered"}, "seed": 4}
    folder.mkdir()
    write_weights(
        folder, "model", model.state_dict(), card | {"command": "python -m train.gaze.fit …"}
    )
    return folder


def exported(run: Path, out: Path, *options: str, task: str = "gaze") -> Path:
    export_onnx.main([task, "--run", str(run), "--out", str(out), *options])
    return out / f"{task}.onnx"


def outputs_of(path: Path, image: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["pitch_yaw", "log_sigma"], {"image": image})


@pytest.mark.parametrize(
    ("backbone", "band", "half", "size", "center"),
    [
        ("small", True, False, [96, 224], [111.5, 79.5]),
        ("small", False, False, [224, 224], [111.5, 111.5]),
        ("small", True, True, [96, 224], [111.5, 79.5]),
        ("twin", True, True, [96, 224], [111.5, 79.5]),
        ("resnet10t", True, True, [96, 224], [111.5, 79.5]),
    ],
)
def test_a_fitted_model_answers_as_in_training(
    backbone: str,
    band: bool,
    half: bool,
    size: list[int],
    center: list[float],
    crops: Path,
    tmp_path: Path,
):
    """The card's rows, mean and standard deviation make of pixels what the model makes of them."""
    run = run_of(tmp_path / "run", backbone=backbone, band=band, half=half)
    path = exported(run, tmp_path, "--crops", str(crops))
    card = ModelCard.load(path.with_suffix(".json"))
    assert list(card.inputs[0].shape) == ["batch", 3, *size]
    assert card.preprocessing["center_px"] == center
    assert card.number("focal_px") == NORMALIZATION.focal_px
    assert card.number("distance_mm") == NORMALIZATION.distance_mm
    assert (card.precision, card.seed, card.command) == ("fp32", 4, "python -m train.gaze.fit …")
    assert json.loads(card.trained_on) == {"name": "rendered"}
    picture = next(read_shard(crops / "shard-00000.tar")).rgb
    top = round(NORMALIZATION.center_px[1] - center[1])
    mean, std = (np.array(v, np.float32) for v in card.mean_std())
    part = (picture[top : top + size[0]].astype(np.float32) / 255 - mean) / std
    gaze, sigma = outputs_of(path, part.transpose(2, 0, 1)[None].copy())
    with torch.inference_mode():
        expected = load_model(run)(torch.from_numpy(picture.copy()).permute(2, 0, 1)[None])
    assert gaze == pytest.approx(expected.gaze.numpy(), abs=1e-5)
    assert sigma == pytest.approx(expected.log_sigma[:, 0].numpy(), abs=1e-5)
    with GazeEstimator(path) as estimator:
        assert estimator.cards["gaze"].sha256 == card.sha256


def test_a_backbone_of_timm(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = exported(run_of(tmp_path / "run", backbone="resnet10t", band=True), tmp_path)
    said = capsys.readouterr().out
    assert "PyTorch against ONNX Runtime on random inputs (give --crops for real ones)" in said
    operators = {node.op_type for node in load_network(path).model.graph.node}
    assert "BatchNormalization" not in operators


def test_a_fixed_batch(tmp_path: Path):
    path = exported(run_of(tmp_path / "run", band=True), tmp_path, "--batch", "3")
    card = ModelCard.load(path.with_suffix(".json"))
    assert card.inputs[0].shape == (3, 3, 96, 224)
    assert [spec.shape for spec in card.outputs] == [(3, 2), (3,)]
    gaze, sigma = outputs_of(path, np.zeros((3, 3, 96, 224), np.float32))
    assert gaze.shape == (3, 2)
    assert sigma.shape == (3,)


def test_a_first_network_with_its_card(tmp_path: Path):
    torch.manual_seed(0)
    torch.save({"average": LandmarkNetwork().state_dict()}, tmp_path / "checkpoint.pt")
    (tmp_path / "log.jsonl").write_text('{"step": 7}\n')
    told = ("--trained-on", "nothing", "--command", "none", "--seed", "2")
    path = exported(tmp_path, tmp_path / "out", *told, task="face_landmarks")
    entries = json.loads(path.with_suffix(".json").read_text())
    assert (entries["trained_on"], entries["seed"]) == ("nothing", 2)
    assert entries["last_log"] == {"step": 7}
    assert load_network(path).card.task == "face_landmarks"


def failure(*arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        export_onnx.main([*arguments])
    return str(caught.value)


def test_runs_that_cannot_be_exported(tmp_path: Path):
    out = ("--out", str(tmp_path / "out"))
    assert "holds neither checkpoint.pt" in failure("gaze", "--run", str(tmp_path), *out)
    fitted = fake_run(tmp_path / "fitted")
    said = failure("face_detector", "--run", str(fitted), *out)
    assert "is a run of train.gaze.fit, which trains gaze models, not face_detector" in said
    assert "give --command" in failure("gaze", "--run", str(fitted), *out)
    torch.save({"average": TASKS["gaze"].model().state_dict()}, tmp_path / "checkpoint.pt")
    said = failure("face_landmarks", "--run", str(tmp_path), *out)
    assert "is no finished face_landmarks network" in said
    (tmp_path / "checkpoint.pt").write_bytes(b"x")
    assert "is no finished gaze network" in failure("gaze", "--run", str(tmp_path), *out)
    weights = fitted / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "is damaged" in failure("gaze", "--run", str(fitted), *out)
    assert not (tmp_path / "out").exists()


def test_a_difference_beyond_the_tolerance_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(conversion, "TOLERANCE", -1.0)
    run = run_of(tmp_path / "run", band=True)
    said = failure("gaze", "--run", str(run), "--out", str(tmp_path / "out"))
    assert "gaze: differs by" in said
    assert "not written" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("batch", ["0", "-1", "many"])
def test_batches_that_are_none(batch: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        export_onnx.main(["gaze", "--run", "r", "--out", "o", f"--batch={batch}"])
    assert caught.value.code == 2
    assert "expected dynamic, or a number of 1 or more" in capsys.readouterr().err
