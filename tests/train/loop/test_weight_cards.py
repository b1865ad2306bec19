"""Weights and the cards beside them: whole, of each other, or refused in words."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import pytest
import torch

from tests.train.fake_runs import fake_run
from train.front import mean
from train.gaze.checkpoints import load_model
from train.loop.states import CheckpointError
from train.loop.weight_cards import (
    CARD,
    read_halves,
    read_weights,
    write_halves,
    write_weights,
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return fake_run(tmp_path / "run", method="erm", separator=False)


def flipped(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 64
    path.write_bytes(data)


def test_a_bit_that_flipped_is_seen(run: Path) -> None:
    assert load_model(run).architecture.width == 16
    flipped(run / "model.safetensors", -100)
    with pytest.raises(CheckpointError, match=r"has the SHA-256 .*its card model\.json says"):
        load_model(run)


def test_weights_of_another_run_are_not_those_of_the_card(run: Path, tmp_path: Path) -> None:
    other = fake_run(tmp_path / "other", method="erm", separator=False, seed=1)
    (other / "model.safetensors").replace(run / "model.safetensors")
    with pytest.raises(CheckpointError, match="damaged or of another run; copy both again"):
        load_model(run)


def test_a_card_may_be_absent_but_not_damaged(run: Path) -> None:
    card = run / "model.json"
    for text in ("{", "[" * 100_000, "[1]", "3"):
        card.write_text(text)
        with pytest.raises(CheckpointError, match=r"model\.json is no card"):
            load_model(run)
    card.unlink()
    assert load_model(run).architecture.width == 16


def test_headers_that_flipped_are_refused(run: Path, tmp_path: Path) -> None:
    """Without a card nothing else tells: every byte of the header, one after the other."""
    whole = (run / "model.safetensors").read_bytes()
    path = tmp_path / "model.safetensors"
    size = struct.unpack("<Q", whole[:8])[0]
    refused = 0
    for place in [*range(8), *range(8, 8 + size, 23)]:
        data = bytearray(whole)
        data[place] ^= 1 << (place % 7)
        path.write_bytes(data)
        try:
            load_model(tmp_path)
        except CheckpointError:
            refused += 1
    assert refused > size / 23 / 2


@pytest.mark.parametrize(
    "change",
    [
        {"mean": [0.5]},
        {"mean": [[0.5, 0.5, 0.5]] * 3},
        {"std": [0, 0, 0]},
        {"std": 10**400},
        {"width": 10**9},
        {"width": "16"},
        {"backbone": "resnet18x"},
        {"backbone": None},
        {"colour": 1},
    ],
)
def test_architectures_that_cannot_be(change: dict[str, object], run: Path) -> None:
    weights, about = read_weights(run)
    write_weights(run, "model", weights, {"architecture": about["architecture"] | change})
    with pytest.raises(CheckpointError, match=r"model\.safetensors states no usable architecture"):
        load_model(run)


def test_names_too_long_are_of_no_file(tmp_path: Path) -> None:
    for folder in ("a" * 5000, "a\0b"):
        with pytest.raises(FileNotFoundError, match=r"does not exist \(there is nothing\)"):
            load_model(folder)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_model(tmp_path, "m" * 5000)


def test_published_weights_are_compared_with_their_card(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 2)
    path = tmp_path / "a.safetensors"
    write_halves(model, path)
    assert read_halves(path)["weight"].dtype == torch.float32
    card = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    (tmp_path / CARD).write_text(json.dumps(card))
    assert read_halves(path)["weight"].shape == (2, 3)
    flipped(path, -1)
    with pytest.raises(CheckpointError, match=r"its card card\.json says"):
        read_halves(path)
    write_halves(model, path)  # other bytes than the card's, which goes
    assert not (tmp_path / CARD).exists()
    path.write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="is damaged"):
        read_halves(path)


# The mean of runs


def small(folder: Path, value: float, **about: object) -> Path:
    folder.mkdir()
    weights = {"weight": torch.full((2,), value), "count": torch.tensor(4)}
    card = {"architecture": {"network": "face_detector", **about}}
    write_weights(folder, "model", weights, card)
    return folder


def test_the_mean_of_two_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = small(tmp_path / "a", 1.0), small(tmp_path / "b", 3.0)
    assert mean.main([str(a), str(b), "--out", str(tmp_path / "c")]) == 0
    weights, about = read_weights(tmp_path / "c")
    assert weights["weight"].tolist() == [2.0, 2.0]
    assert weights["count"] == 4
    assert about == {"architecture": {"network": "face_detector"}}
    card = json.loads((tmp_path / "c" / "model.json").read_text())
    expected = [hashlib.sha256((f / "model.safetensors").read_bytes()).hexdigest() for f in (a, b)]
    assert card["mean_of_sha256"] == expected

    def refused(*runs: Path) -> str:
        assert mean.main([*map(str, runs), "--out", str(tmp_path / "none")]) == 2
        assert not (tmp_path / "none").exists()
        return capsys.readouterr().err

    assert "at least 2" in refused(a)
    assert "does not exist" in refused(a, tmp_path / "nowhere")
    rest = tmp_path / "rest"
    rest.mkdir()
    about = {"architecture": {"network": "face_detector"}}
    lacking = {"weight": torch.ones(2), "count": torch.tensor(4)}
    write_weights(rest, "model", lacking, about, exported_to={"file": "gaze.onnx", "sha256": "0"})
    assert "holds only what its gaze.onnx lacks; give whole runs" in refused(rest, rest)
    assert "another network" in refused(a, small(tmp_path / "d", 1.0, network="face_landmarks"))
