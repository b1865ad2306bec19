"""Runs to ONNX: front end and gaze, both kinds of batches, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from clipgaze_sdk import GazeEstimator, ModelError
from clipgaze_sdk.models.cards import ModelCard
from export import conversion, export_onnx
from export.model_files import load_network
from export.trained import NETWORKS
from tests.train.fake_runs import fake_run
from train.gaze.checkpoints import load_model
from train.gaze.models import GazeModel
from train.loop.weight_cards import write_weights
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


def front_run(folder: Path, name: str) -> Path:
    """A finished run of a front-end network with random weights."""
    torch.manual_seed(0)
    folder.mkdir()
    card = {
        "architecture": {"network": name},
        "trained_on": {"samples": 5},
        "command": "python -m train.front.x",
        "seed": 3,
        "metrics": {"steps": 7.0},
    }
    write_weights(folder, "model", NETWORKS[name]().state_dict(), card)
    return folder


def test_a_front_end_network_with_its_card(tmp_path: Path):
    run = front_run(tmp_path / "run", "face_landmarks")
    told = ("--trained-on", "nothing", "--command", "none", "--seed", "2")
    path = exported(run, tmp_path / "out", *told, task="face_landmarks")
    entries = json.loads(path.with_suffix(".json").read_text())
    assert (entries["trained_on"], entries["command"], entries["seed"]) == ("nothing", "none", 2)
    assert entries["last_log"] == {"steps": 7.0}
    assert load_network(path).card.task == "face_landmarks"
    path = exported(run, tmp_path / "out", task="face_landmarks")
    entries = json.loads(path.with_suffix(".json").read_text())
    assert (json.loads(entries["trained_on"]), entries["seed"]) == ({"samples": 5}, 3)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three networks with random weights, exported with cards."""
    folder = tmp_path_factory.mktemp("models")
    runs = tmp_path_factory.mktemp("runs")
    for name in NETWORKS:
        exported(front_run(runs / name, name), folder, task=name)
    exported(run_of(runs / "gaze", band=True), folder)
    return folder


def test_exported_networks_run_in_the_sdk(bundle: Path):
    with GazeEstimator(bundle) as estimator:
        result = estimator.estimate(np.zeros((240, 320, 3), np.uint8))
    assert result.image_size_px == (320, 240)
    card = json.loads((bundle / "gaze.json").read_text())
    assert card["outputs"][0] == {"name": "pitch_yaw", "dtype": "float32", "shape": ["batch", 2]}


def test_a_card_of_other_weights_is_refused(bundle: Path, tmp_path: Path):
    for path in bundle.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with (tmp_path / "gaze.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError, match="SHA-256"):
        GazeEstimator(tmp_path)


def failure(*arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        export_onnx.main([*arguments])
    return str(caught.value)


def test_runs_that_cannot_be_exported(tmp_path: Path):
    out = ("--out", str(tmp_path / "out"))
    said = failure("gaze", "--run", str(tmp_path), *out)
    assert "model.safetensors does not exist (there is nothing)" in said
    fitted = fake_run(tmp_path / "fitted")
    said = failure("face_detector", "--run", str(fitted), *out)
    assert "is a run of a gaze network, not of face_detector" in said
    assert "give --command" in failure("gaze", "--run", str(fitted), *out)
    front = front_run(tmp_path / "front", "face_detector")
    assert "of a face_detector network, not of gaze" in failure("gaze", "--run", str(front), *out)
    weights = front / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"....")
    assert "SHA-256" in failure("face_detector", "--run", str(front), *out)
    (front / "model.json").unlink()
    write_weights(
        front, "model", {"a": torch.zeros(1)}, {"architecture": {"network": "face_detector"}}
    )
    assert "is of another architecture" in failure("face_detector", "--run", str(front), *out)
    (fitted / "model.json").unlink()
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
