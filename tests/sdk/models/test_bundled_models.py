"""What the wheel's networks stand in for, and what happens without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipgaze_sdk import GazeEstimator, ModelError
from clipgaze_sdk.models import files as _models
from tests.fake_networks import draw_faces, write_networks


def test_what_a_folder_lacks_comes_from_the_wheel(
    fake_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_models, "BUNDLED_FOLDER", fake_models)
    write_networks(tmp_path, ("gaze",))
    for model in (tmp_path, tmp_path / "gaze.onnx", str(tmp_path)):
        with GazeEstimator(model) as made:
            assert {task: card.path.parent for task, card in made.cards.items()} == {
                "face_detector": fake_models,
                "face_landmarks": fake_models,
                "gaze": tmp_path,
            }
            assert len(made.estimate(draw_faces((640, 480), [(300, 240)])).faces) == 1


def test_nothing_given_is_the_wheels_own(
    fake_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_models, "BUNDLED_FOLDER", fake_models)
    with GazeEstimator() as made:
        assert made.cards["gaze"].path == fake_models / "gaze.json"


def test_an_installation_without_networks_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_models, "BUNDLED_FOLDER", tmp_path)
    with pytest.raises(ModelError, match=r"no bundled face_detector network.*Reinstall"):
        GazeEstimator()


def test_a_damaged_installation_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_networks(tmp_path)
    (tmp_path / "face_landmarks.onnx").write_bytes(b"")
    monkeypatch.setattr(_models, "BUNDLED_FOLDER", tmp_path)
    with pytest.raises(ModelError, match="SHA-256"):
        GazeEstimator()
