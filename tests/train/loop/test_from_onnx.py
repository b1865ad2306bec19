"""Networks that go on from an exported file."""

from __future__ import annotations

import hashlib

import pytest
import torch

from export.conversion import converted
from export.trained import TASKS, Trained, _Named
from train.front.networks import DetectorNetwork, LandmarkNetwork
from train.loop.from_onnx import OnnxMismatch, load_onnx


def shaken(network, size):
    """Some network whose batch norms have seen pictures and have scales of their own."""
    torch.manual_seed(3)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.2)
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(8, 3, *size))
    return network.eval()


def exported(network, task, path):
    path.write_bytes(converted(Trained(_Named(network, list(task.outputs)).eval(), task)))
    return path


@pytest.mark.parametrize(
    ("name", "make", "size"),
    [
        ("face_landmarks", LandmarkNetwork, (128, 128)),
        ("face_detector", DetectorNetwork, (64, 96)),
    ],
)
def test_it_computes_what_the_file_does(name, make, size, tmp_path):
    old = shaken(make(), size)
    path = exported(old, TASKS[name], tmp_path / "old.onnx")
    images = torch.randn(16, 3, *size, generator=torch.Generator().manual_seed(5))
    new = make()
    assert load_onnx(new, path, images) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert new.training
    with torch.no_grad():
        wanted, found = old(images[:2]), new.eval()(images[:2])
        for key, value in wanted.items():
            assert torch.allclose(found[key], value, atol=1e-4), key
        # In training, on the same images, as well: batch norm has their statistics.
        new.train()
        for module in new.modules():
            if isinstance(module, torch.nn.modules.dropout._DropoutNd):
                module.eval()
        again = new(images)
    if name != "face_detector":  # whose head sees three levels, each with statistics of its own
        key = next(iter(wanted))
        with torch.no_grad():
            assert torch.allclose(again[key][:2], wanted[key], atol=2e-3)


def test_another_network_is_refused(tmp_path):
    network = shaken(LandmarkNetwork(), (128, 128))
    path = exported(network, TASKS["face_landmarks"], tmp_path / "old.onnx")
    wide = LandmarkNetwork(width=32)
    before = {k: v.clone() for k, v in wide.state_dict().items()}
    with pytest.raises(OnnxMismatch, match="expected"):
        load_onnx(wide, path, torch.randn(2, 3, 128, 128))
    assert all(torch.equal(v, before[k]) for k, v in wide.state_dict().items())
    with pytest.raises(OnnxMismatch):
        load_onnx(DetectorNetwork(), path, torch.randn(2, 3, 128, 128))
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_onnx(wide, tmp_path / "none.onnx", torch.randn(2, 3, 128, 128))
