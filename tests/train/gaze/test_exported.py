"""Weights that are kept but for what their exported network holds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("lightning", reason="training tests need the extra [train]")

from export import export_onnx
from tests.train.fake_runs import fake_run
from train.eval.protocol import read_card
from train.gaze import exported
from train.gaze.checkpoints import load_model
from train.gaze.shipped import ship
from train.loop import weight_cards
from train.loop.states import CheckpointError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module", params=[False, True], ids=["unsigned", "signed"])
def run(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    return fake_run(out, backbone="twin", half=True, signed=request.param)


@pytest.fixture(scope="module")
def onnx_file(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("models")
    export_onnx.main(["gaze", "--run", str(run), "--out", str(out), "--command", "python -m x"])
    return out / "gaze.onnx"


@pytest.fixture
def commit(run):
    """The run's card with a commit."""
    path = run / "model.json"
    whole = path.read_text()

    def write(name):
        path.write_text(json.dumps(json.loads(whole) | {"commit": name}))

    write("0123abc")
    yield write
    path.write_text(whole)


def test_a_shipped_run_is_small_and_loads_as_it_was(run, onnx_file, commit, tmp_path, monkeypatch):
    monkeypatch.setattr(exported, "bundled", lambda name: onnx_file.with_name(name))
    out = ship(run, onnx_file, tmp_path / "shipped")
    before, after = (path / "model.safetensors" for path in (run, out))
    assert after.stat().st_size < 0.75 * before.stat().st_size
    old, new = load_model(run), load_model(out)
    for name, value in old.state_dict().items():
        assert torch.allclose(new.state_dict()[name], value, rtol=1e-5, atol=1e-7), name
    image = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    with torch.inference_mode():
        for a, b in zip(old(image)[:6], new(image)[:6], strict=True):
            assert torch.allclose(a, b, atol=1e-5)


def test_another_network_in_the_files_place_is_refused(
    run, onnx_file, commit, tmp_path, monkeypatch
):
    out = ship(run, onnx_file, tmp_path / "shipped")
    with pytest.raises(CheckpointError, match="is another network than the one"):
        load_model(out)  # the SDK's own file is of other weights
    monkeypatch.setattr(exported, "bundled", lambda name: tmp_path / name)
    with pytest.raises(CheckpointError, match=r"gaze\.onnx is missing"):
        load_model(out)
    other = fake_run(tmp_path / "other", seed=9, backbone="twin", half=True)
    with pytest.raises(exported.ExportedMismatch, match="was not exported from this model"):
        exported.rest_of(load_model(other), onnx_file)
    wide = fake_run(tmp_path / "wide", backbone="twin", half=True, width=32)
    with pytest.raises(exported.ExportedMismatch, match="was not exported from this model"):
        exported.rest_of(load_model(wide), onnx_file)
    small = fake_run(tmp_path / "small", half=False, signed=False)
    with pytest.raises(exported.ExportedMismatch, match="the model 14"):
        exported.rest_of(load_model(small), onnx_file)


@pytest.mark.parametrize("name", ["0123abc-dirty", None])
def test_weights_that_cannot_be_made_again_do_not_ship(
    name, run, onnx_file, commit, tmp_path, monkeypatch
):
    commit(name)
    with pytest.raises(ValueError, match="cannot be made again"):
        ship(run, onnx_file, tmp_path / "shipped")
    monkeypatch.setattr(weight_cards, "commit", lambda: name)
    monkeypatch.setattr(weight_cards, "SHIPPED", tmp_path)
    with pytest.raises(ValueError, match="cannot be made again"):
        weight_cards.commit_to_begin(tmp_path / "prompts_pco")
    assert not (tmp_path / "shipped").exists()


def test_a_backbone_of_another_width_has_a_projection_unsigned_too(tmp_path):
    """Export joins it with the separator's first layer, of which nothing is left in the file."""
    run = fake_run(tmp_path / "run", backbone="resnet18", signed=False)
    model = load_model(run)
    assert isinstance(model.projection, torch.nn.Linear)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # some begin as 0, which joins to nothing
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    weight_cards.write_weights(run, "model", model.state_dict(), read_card(run))
    given = ["gaze", "--run", str(run), "--out", str(tmp_path), "--command", "python -m x"]
    export_onnx.main(given)
    rest, about = exported.rest_of(model, tmp_path / "gaze.onnx")
    again = exported.completed(model, rest, tmp_path / "gaze.onnx", about["sha256"])
    for name, value in model.state_dict().items():
        assert torch.allclose(again[name], value, rtol=1e-4, atol=1e-6), name


class Once(type(Path())):
    """A file that is gone when it has been read, as one that another process replaces."""

    def read_bytes(self):
        data = super().read_bytes()
        self.unlink()
        return data


def test_what_is_hashed_is_what_is_read(run, onnx_file, tmp_path):
    model = load_model(run)
    copy = Once(tmp_path / "gaze.onnx")
    copy.write_bytes(onnx_file.read_bytes())
    rest, about = exported.rest_of(model, copy)
    assert about["sha256"] == hashlib.sha256(onnx_file.read_bytes()).hexdigest()
    copy.write_bytes(onnx_file.read_bytes())
    whole = exported.completed(model, rest, copy, about["sha256"])
    assert whole.keys() == model.state_dict().keys()
